"""Make the short black-and-white film that ships as ``filmcolorizer_cli/sample.mp4``.

``filmcolorizer demo`` colorizes it: six seconds in three shots, camera moves over photographs, with
the wear of an old print: gate weave, flicker, grain, dust, a scratch and faded blacks. The sound is
that of a projector, made of filtered noise and a sine.

The sources are files in scikit-image's wheel, so that nothing is downloaded:

- ``skimage.data.astronaut()``: Eileen Collins, photographed by NASA; public domain, no known
  copyright restrictions (https://flic.kr/p/r9qvLn).
- ``skimage.data.chelsea()``: a cat, photographed by Stefan van der Walt; CC0.
- ``skimage.data.coffee()``: a cup of coffee, photographed by Rachel Michetti, courtesy of Pikolo
  Espresso Bar; CC0.

No other material is used, so the film may be used as freely as these. To make it again, with the
package and its dev extra installed::

    python docs/make_sample.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import ffmpeg
import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage import data
from skimage.filters import gaussian

from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.ffmpeg import Process, local_file

SAMPLE = Path(__file__).resolve().parents[1] / "filmcolorizer_cli" / "sample.mp4"
MAX_BYTES = 500_000  # size limit of the file, since it is part of every installation
SEED = 1927

WIDTH, HEIGHT = 480, 360  # pixels
FRAME_RATE = Fraction(24)  # frames per second
SHOT_FRAMES = 48

LUMA_WEIGHTS = (0.2126, 0.7152, 0.0722)  # BT.709's for R', G' and B'
LEVELS_PERCENTILES = (0.5, 99.5)  # percentiles of a photograph's luma made black and white
FADED_BLACK, FADED_WHITE = 0.055, 0.93  # luma of the faded print's black and white, 0 to 1
LENS_BLUR = 0.65  # standard deviation, in pixels
HALATION = 0.07  # share of the light reflected by the film base
HALATION_BLUR = 9.0  # standard deviation, in pixels
VIGNETTE = 0.22  # share of the light lost in the corners

WEAVE = (0.35, 0.55)  # standard deviations across and down, in pixels
WEAVE_FRAMES = 1.6  # standard deviation of its smoothing in time, in frames
FLICKER = 0.02  # standard deviation of the relative exposure
FLICKER_FRAMES = 0.8  # standard deviation of its smoothing in time, in frames
GRAIN = 0.018  # standard deviation in the midtones, as a share of the luma range
GRAIN_BLUR = 0.75  # standard deviation, in pixels

SPECKS_PER_FRAME = 0.7
SPECK_RADIUS = (0.8, 3.0)  # range, in pixels
SPECK_CORNERS = 9
HAIRS_PER_FRAME = 0.035
HAIR_LENGTH = 34  # pixels, with one point of the line for each
DIRT_OVERSAMPLING = 4
SCRATCH_FRAMES = range(58, 112)
SCRATCH_COLUMN = 331.0  # pixels from the left
SCRATCH_STRENGTH = 0.26  # share of the difference to white

CRF = 24
SOUND_RATE = 44_100  # Hz
SOUND_BITRATE = "32k"
SOUND_FADE = 0.25  # seconds, at either end
RATTLE_BAND = (500, 3500)  # Hz
HUM = 100  # Hz
COLOR_TAGS = {
    "colorspace": "bt709",
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "color_range": "tv",
}

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class View:
    """Centre and width of the part of a photograph that fills the frame, in its pixels."""

    x: float
    y: float
    width: float

    def towards(self, other: View, share: float) -> View:
        """Return the view at a share, 0 to 1, of the way to another."""
        return View(
            self.x + share * (other.x - self.x),
            self.y + share * (other.y - self.y),
            # A zoom looks uniform when each frame enlarges by the same factor.
            self.width * (other.width / self.width) ** share,
        )

    def box(self, shift: Floats) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom, shifted by (x, y) in pixels of the frame."""
        scale = self.width / WIDTH
        x, y = self.x + scale * shift[0], self.y + scale * shift[1]
        half_width, half_height = self.width / 2, scale * HEIGHT / 2
        return x - half_width, y - half_height, x + half_width, y + half_height


@dataclass(frozen=True)
class Shot:
    """A camera move over a photograph."""

    photograph: Callable[[], NDArray[np.uint8]]
    first: View
    last: View


SHOTS = (
    Shot(data.astronaut, View(254, 190, 496), View(240, 148, 384)),
    Shot(data.chelsea, View(198, 152, 384), View(252, 148, 384)),
    Shot(data.coffee, View(292, 178, 380), View(290, 200, 518)),
)


def main(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = SAMPLE,
) -> None:
    """Make the black-and-white sample film."""
    write(output, frames(np.random.default_rng(SEED)))
    size = output.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{output} has {size} bytes, more than {MAX_BYTES}; raise CRF")
    print(f"{output}: {size} bytes")


def frames(rng: np.random.Generator) -> Iterator[Floats]:
    """Yield the film's frames as luma (HEIGHT, WIDTH) in [0, 1]."""
    count = len(SHOTS) * SHOT_FRAMES
    weave = np.stack([size * wander(rng, count, WEAVE_FRAMES) for size in WEAVE], axis=1)
    exposures = 1 + FLICKER * wander(rng, count, FLICKER_FRAMES)
    scratches = SCRATCH_COLUMN + 1.5 * wander(rng, count, 6.0)
    for number in range(count):
        shot = SHOTS[number // SHOT_FRAMES]
        if number % SHOT_FRAMES == 0:
            negative = expose(shot.photograph())
        share = (number % SHOT_FRAMES) / (SHOT_FRAMES - 1)
        view = shot.first.towards(shot.last, ease(share))
        luma = through_lens(crop(negative, view.box(weave[number])))
        luma = with_grain(luma * exposures[number], rng)
        luma = FADED_BLACK + (FADED_WHITE - FADED_BLACK) * luma
        luma = with_dirt(luma, rng)
        if number in SCRATCH_FRAMES:
            luma = with_scratch(luma, scratches[number], rng)
        yield luma.clip(0, 1)


def wander(rng: np.random.Generator, count: int, smoothing: float) -> Floats:
    """Return smoothly changing random values of mean 0 and standard deviation 1."""
    values = blur(rng.standard_normal(count), smoothing)
    return (values - values.mean()) / values.std()


def ease(share: float) -> float:
    """Ease a share of a camera move in and out, without stopping at either end."""
    return 0.5 * share + 0.5 * share * share * (3 - 2 * share)


def blur(values: Floats, deviation: float) -> Floats:
    """Blur values by a Gaussian of this standard deviation."""
    blurred: Floats = gaussian(values, deviation)
    return blurred


def expose(photograph: NDArray[np.uint8]) -> Image.Image:
    """Return a photograph's luma, stretched to the range from black to white."""
    luma = photograph / 255 @ np.array(LUMA_WEIGHTS)
    black, white = np.percentile(luma, LEVELS_PERCENTILES)
    return Image.fromarray(((luma - black) / (white - black)).clip(0, 1).astype(np.float32))


def crop(picture: Image.Image, box: tuple[float, float, float, float]) -> Floats:
    """Crop a box, which may end between pixels, and scale it to the frame's size."""
    return np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box))


def through_lens(luma: Floats) -> Floats:
    """Add blur, halation around bright areas, and vignetting."""
    glow = blur(luma**2, HALATION_BLUR)
    luma = blur(luma, LENS_BLUR) * (1 - HALATION) + HALATION * glow
    y, x = np.ogrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    return luma * (1 - VIGNETTE * ((x * x + y * y) / 2) ** 1.5)


def with_grain(luma: Floats, rng: np.random.Generator) -> Floats:
    """Add grain, which is strongest in the midtones."""
    grain = blur(rng.standard_normal(luma.shape, np.float32), GRAIN_BLUR)
    midtones = 0.4 + 2.4 * luma * (1 - luma)
    return luma + GRAIN / grain.std() * grain * midtones.clip(0)


def with_dirt(luma: Floats, rng: np.random.Generator) -> Floats:
    """Add specks and hairs, dark for dirt on the print and white for dirt on the negative."""
    for tone, share in ((0.04, 0.65), (0.97, 0.35)):
        mask = dirt(rng, share)
        luma = luma + (tone - luma) * mask
    return luma


def dirt(rng: np.random.Generator, share: float) -> Floats:
    """Return how far dirt covers each pixel of a frame, 0 to 1; ``share`` scales its amount."""
    image = Image.new("L", (WIDTH * DIRT_OVERSAMPLING, HEIGHT * DIRT_OVERSAMPLING))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.poisson(share * SPECKS_PER_FRAME)):
        draw.polygon(points(speck(rng), rng, image.size), fill=int(rng.uniform(150, 240)))
    for _ in range(rng.poisson(share * HAIRS_PER_FRAME)):
        draw.line(points(hair(rng), rng, image.size), fill=170, width=DIRT_OVERSAMPLING)
    small = image.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    return blur(np.asarray(small, np.float32) / 255, 0.4)


def points(
    outline: Floats, rng: np.random.Generator, size: tuple[int, int]
) -> list[tuple[float, float]]:
    """Move an outline to a random place in the oversampled frame, as points for Pillow."""
    return [(x, y) for x, y in rng.uniform(0, size) + outline * DIRT_OVERSAMPLING]


def speck(rng: np.random.Generator) -> Floats:
    """Return the corners (count, 2) of a ragged speck, in pixels from its centre."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, SPECK_CORNERS))
    radii = rng.uniform(*SPECK_RADIUS) * rng.uniform(0.4, 1.1, (SPECK_CORNERS, 1))
    return radii * directions(angles)


def hair(rng: np.random.Generator) -> Floats:
    """Return points (count, 2) along a curled hair, in pixels from its start."""
    bends = rng.normal(rng.normal(0, 0.1), 0.14, HAIR_LENGTH)
    return np.cumsum(directions(rng.uniform(0, 2 * np.pi) + np.cumsum(bends)), axis=0)


def directions(angles: Floats) -> Floats:
    """Return unit vectors (count, 2) at angles in radians."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def with_scratch(luma: Floats, column: float, rng: np.random.Generator) -> Floats:
    """Add a light vertical scratch of varying strength."""
    profile = np.exp(-(((np.arange(WIDTH) - column) / 0.7) ** 2))
    strength = SCRATCH_STRENGTH * (0.75 + 0.3 * wander(rng, HEIGHT, 40.0)).clip(0.1)
    return luma + strength[:, None] * profile * (1 - luma)


def projector_sound(seconds: float) -> Any:
    """Return the sound of a distant projector: a rattle at the frame rate and a hum."""
    length = {"sample_rate": SOUND_RATE, "duration": seconds}
    rattle = (
        lavfi("anoisesrc", color="pink", amplitude=0.2, seed=SEED, **length)
        .filter("highpass", RATTLE_BAND[0])
        .filter("lowpass", RATTLE_BAND[1])
        .filter("tremolo", f=float(FRAME_RATE), d=0.7)
    )
    hum = lavfi("sine", frequency=HUM, **length).filter("volume", 0.12)
    mixed = ffmpeg.filter([rattle, hum], "amix", inputs=2, normalize=0)
    mixed = mixed.filter("afade", t="in", d=SOUND_FADE)
    return mixed.filter("afade", t="out", st=seconds - SOUND_FADE, d=SOUND_FADE)


def lavfi(source: str, **options: Any) -> Any:
    """Return a synthetic ffmpeg source, such as a tone."""
    settings = ":".join(f"{name}={value}" for name, value in options.items())
    return ffmpeg.input(f"{source}={settings}", format="lavfi")


def write(target: Path, pictures: Iterator[Floats]) -> None:
    """Write H.264 (yuv420p, BT.709, limited range) with AAC sound to an mp4."""
    film = ffmpeg.input(
        "pipe:",
        format="rawvideo",
        pix_fmt="yuv420p",
        video_size=(WIDTH, HEIGHT),
        framerate=str(FRAME_RATE),
        **COLOR_TAGS,
    )
    output = ffmpeg.output(
        film.video,
        projector_sound(float(len(SHOTS) * SHOT_FRAMES / FRAME_RATE)),
        filename=local_file(target),
        format="mp4",
        movflags="+faststart",
        fflags="+bitexact",
        pix_fmt="yuv420p",
        preset="veryslow",
        tune="film",
        crf=CRF,
        # x264's output depends on the number of threads; one gives the same everywhere.
        threads=1,
        **{"c:v": "libx264", "c:a": "aac", "b:a": SOUND_BITRATE, **COLOR_TAGS},
    ).overwrite_output()
    chroma = np.full(WIDTH * HEIGHT // 2, 128, np.uint8)
    with Process(output, reads_stdin=True) as process:
        for luma in pictures:
            codes = (16 + 219 * luma).round().astype(np.uint8)
            if not process.feed(codes.tobytes() + chroma.tobytes()):
                break  # ffmpeg has exited; its last words give the reason
        if not process.wait():
            raise VideoError(f"{target} could not be written (ffmpeg: {process.last_words()})")


if __name__ == "__main__":
    typer.run(main)

"""Films made by written recipes with the real ffmpeg, and what they show."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data

from filmcolorizer_cli.ffmpeg import find_binary
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.signatures import Signatures, read_signatures
from filmcolorizer_cli.video import probe

SAMPLE_FRAMES = 144  # of the sample film, at 24 fps; its three shots change at 48 and 96
BUNNY_FRAMES = 600  # of `bunny`, at 24 fps
BUNNY_CUTS = (41, 89, 128, 196, 205, 214, 323, 340, 416, 471, 512)  # where its shots change
PAN_SIZE = 128, 96  # width and height of what `panned` shows
PAN_PIXELS_A_FRAME = 2
NUMBER_BITS = 8  # of a frame's number in the bars of a numbered clip
NUMBERED_SIZE = (128, 32)
# Frame N shows N in binary, lowest bit left, as bars of luma 220 and 30.
_NUMBERS = (
    "color=black:size={width}x{height}:rate={frame_rate}:duration={seconds},format=yuv420p,"
    "geq=lum='30+190*mod(floor(N/pow(2,floor(X*8/W))),2)':cb=128:cr=128"
)
# Silence, then from the middle on a tone.
_SOUND = "aevalsrc=0.5*sin(2765*t)*gte(t\\,{seconds}/2):sample_rate=44100:duration={seconds}"
X264 = ("-c:v", "libx264", "-preset", "ultrafast")
LOSSLESS = (*X264, "-qp", "0")
SUBTITLES = """1
00:00:00,500 --> 00:00:01,000
Good evening

2
00:00:01,200 --> 00:00:01,800
Good night
"""
CHAPTERS = """;FFMETADATA1
title=The Kid
artist=Chaplin
notes=from the attic
[CHAPTER]
TIMEBASE=1/1000
START=0
END=800
title=Evening
[CHAPTER]
TIMEBASE=1/1000
START=800
END=2000
title=Night
"""


def run_ffmpeg(*arguments: object, stdin: bytes = b"") -> bytes:
    """Run the program's own ffmpeg binary, by hand, and give what it writes to ``pipe:1``."""
    command = [find_binary(), "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def make_clip(
    path: Path,
    *,
    picture: str = "testsrc2=size={width}x{height}:rate={frame_rate}:duration={seconds},hue=s=0",
    seconds: float = 2.0,
    size: tuple[int, int] = (64, 48),
    frame_rate: str = "25",
    layout: str = "yuv420p",
    codec: tuple[str, ...] = X264,
    sound: str | None = None,
    extra: tuple[object, ...] = (),
) -> Path:
    """A clip of a moving grey picture and, if ``sound`` names a codec, a tone from its middle on.

    ffmpeg -f lavfi -i testsrc2=...,hue=s=0 [-f lavfi -i aevalsrc=... -c:a SOUND] -c:v libx264 PATH
    """
    width, height = size
    source = picture.format(width=width, height=height, frame_rate=frame_rate, seconds=seconds)
    inputs = ["-f", "lavfi", "-i", source]
    if sound is not None:
        inputs += ["-f", "lavfi", "-i", _SOUND.format(seconds=seconds), "-c:a", sound]
    run_ffmpeg(*inputs, *codec, "-pix_fmt", layout, *extra, path)
    return path


def make_numbered_clip(path: Path, **recipe: Any) -> Path:
    """A clip whose every frame tells its number; see `frame_number`."""
    return make_clip(path, picture=_NUMBERS, size=NUMBERED_SIZE, **recipe)


def frame_number(luma: np.ndarray) -> int:
    """The number that a numbered clip's frame shows, at any size and quality."""
    bars = np.array_split(luma, NUMBER_BITS, axis=1)
    middles = [bar[:, bar.shape[1] // 4 : -bar.shape[1] // 4].mean() for bar in bars]
    return sum(1 << bit for bit, middle in enumerate(middles) if middle > 125)


def make_raw_clip(
    path: Path,
    pictures: np.ndarray,
    *,
    size: tuple[int, int],
    layout: str,
    frame_rate: Fraction = Fraction(25),
    codec: tuple[str, ...] = LOSSLESS,
    extra: tuple[str, ...] = (),
) -> Path:
    """A lossless clip of these very samples, in the order that ``layout`` stores them in."""
    width, height = size
    raw = ("-f", "rawvideo", "-pix_fmt", layout, "-video_size", f"{width}x{height}")
    run_ffmpeg(
        *raw, "-framerate", frame_rate, *extra, "-i", "pipe:0", *codec, *extra, path,
        stdin=pictures.tobytes(),
    )  # fmt: skip
    return path


def make_color_clip(path: Path, pictures: list[np.ndarray]) -> Path:
    """Pictures (96, 128, 3) as a film, 24 frames a second, lossless but for halved chroma."""
    return make_raw_clip(
        path,
        np.stack(pictures),
        size=(128, 96),
        layout="rgb24",
        frame_rate=Fraction(24),
        codec=(*LOSSLESS, "-pix_fmt", "yuv420p"),
    )


def graded_film(path: Path, filters: str, *, source: Path = SAMPLE_FILM, crf: int = 20) -> Path:
    """A part of a film, or another version of it, through these ffmpeg filters; no sound.

    ffmpeg -i SOURCE -vf FILTERS -c:v libx264 -preset veryfast -crf CRF PATH
    """
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-crf", crf, "-pix_fmt", "yuv420p")
    run_ffmpeg("-i", source, "-an", "-vf", filters, *encoder, path)
    return path


def frames_only(*runs: tuple[int, int]) -> str:
    """The ffmpeg filter that keeps these runs of a film's frames at 24 fps, one after the other."""
    kept = "+".join(f"between(n,{begin},{end - 1})" for begin, end in runs)
    return f"select='{kept}',setpts=N/24/TB"


def decode_planes(path: Path, layout: str, size: tuple[int, int]) -> list[np.ndarray]:
    """What an ffmpeg told nothing else decodes: Y', Cb and Cr, each (frames, height, width)."""
    width, height = size
    across, down = {"yuv420p": (2, 2), "yuv422p": (2, 1), "yuv444p": (1, 1)}[layout]
    data = run_ffmpeg(
        "-i", path, "-map", "0:v:0", "-f", "rawvideo", "-pix_fmt", layout,
        "-fps_mode", "passthrough", "pipe:1",
    )  # fmt: skip
    chroma_shape = (-(-height // down), -(-width // across))
    luma_size, chroma_size = height * width, chroma_shape[0] * chroma_shape[1]
    frames = np.frombuffer(data, np.uint8).reshape(-1, luma_size + 2 * chroma_size)
    luma, cb, cr = np.split(frames, [luma_size, luma_size + chroma_size], axis=1)
    return [luma.reshape(-1, height, width), *(c.reshape(-1, *chroma_shape) for c in (cb, cr))]


def combing(pictures: list[np.ndarray]) -> float:
    """How much rows of pictures (H, W) differ from both of their neighbours."""
    rows = np.stack(pictures).astype(int)
    return float(np.abs(rows[:, 1:-1] * 2 - rows[:, :-2] - rows[:, 2:]).mean())


def signatures_of(path: Path) -> Signatures:
    """The small pictures of every frame of a film."""
    film = probe(path)
    return read_signatures(film, film, track=lambda frames, total, label: frames)[0]


def panned(plane: np.ndarray, number: int) -> np.ndarray:
    """What a camera shows in a frame of this number that pans to the right over such a plane."""
    width, height = PAN_SIZE
    left = number * PAN_PIXELS_A_FRAME
    return np.ascontiguousarray(plane[60 : 60 + height, left : left + width])


def photographs() -> tuple[np.ndarray, np.ndarray]:
    """Parts of two colour photographs (H, W, 3), uint8."""
    return skimage.data.astronaut()[40:], skimage.data.coffee()[150:, 100:]

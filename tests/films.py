"""Make films with the real ffmpeg, and read what they show."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import skimage.data
from numpy.typing import ArrayLike
from PIL import Image

from filmcolorizer_cli.ffmpeg import find_binary
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.signatures import Signatures, read_signatures
from filmcolorizer_cli.video import probe
from tests.values import present

SAMPLE_FRAMES = 144  # frames of the sample film, at 24 fps; its cuts are at 48 and 96
BUNNY_FRAMES = 600  # frames of `bunny`, at 24 fps
BUNNY_CUTS = (41, 89, 128, 196, 205, 214, 323, 340, 416, 471, 512)  # frames at its cuts
PAN_SIZE = 128, 96  # width and height of pictures from `panned`
PAN_PIXELS_A_FRAME = 2
NUMBER_BITS = 8  # bits of the frame number, a bar each, in numbered clips
NUMBERED_SIZE = (128, 32)
# Frame N shows N in binary, lowest bit left, as bars of luma 220 and 30.
_NUMBERS = (
    "color=black:size={width}x{height}:rate={frame_rate}:duration={seconds},format=yuv420p,"
    "geq=lum='30+190*mod(floor(N/pow(2,floor(X*8/W))),2)':cb=128:cr=128"
)
# Silence in the first half, then a tone.
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
FRAME = 1 / 25  # seconds per frame of `make_clip` by default
LATE_SECONDS = 0.48  # seconds by which `delay` delays picture or sound
ODD_NAMES = ["two words.mp4", 'it\'s "q".mp4', "-v.mp4", "100%d.mp4", "a:b.mp4", "ä[0],;\\.mp4"]
# Text files, given as a film, that reference another file.
HOSTILE = {
    "ffconcat": "ffconcat version 1.0\nfile {name}\n",
    "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{name}\n#EXT-X-ENDLIST\n",
    "remote playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/{name}\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "SVG": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{name}"/></svg>',
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
    "<AdaptationSet><Representation><BaseURL>{name}</BaseURL></Representation></AdaptationSet>"
    "</Period></MPD>",
}


def run_ffmpeg(*arguments: object, stdin: bytes = b"") -> bytes:
    """Run the ffmpeg binary that the program uses; return what it writes to ``pipe:1``."""
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
    """Make a clip of a moving grey picture; ``sound`` names a codec for a tone in its second half.

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
    """Make a clip whose frames encode their numbers; see `frame_number`."""
    return make_clip(path, picture=_NUMBERS, size=NUMBERED_SIZE, **recipe)


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
    """Make a lossless clip of exactly these samples, stored in the order of ``layout``."""
    width, height = size
    raw = ("-f", "rawvideo", "-pix_fmt", layout, "-video_size", f"{width}x{height}")
    run_ffmpeg(
        *raw, "-framerate", frame_rate, *extra, "-i", "pipe:0", *codec, *extra, path,
        stdin=pictures.tobytes(),
    )  # fmt: skip
    return path


def photographs() -> tuple[np.ndarray, np.ndarray]:
    """Return parts of two colour photographs (H, W, 3), uint8."""
    return skimage.data.astronaut()[40:], skimage.data.coffee()[150:, 100:]


def panned(plane: np.ndarray, number: int) -> np.ndarray:
    """Return frame ``number`` of a camera that pans to the right over a plane."""
    width, height = PAN_SIZE
    left = number * PAN_PIXELS_A_FRAME
    return np.ascontiguousarray(plane[60 : 60 + height, left : left + width])


def make_color_clip(path: Path, pictures: list[np.ndarray]) -> Path:
    """Make a 24 fps film of pictures (96, 128, 3), lossless except for halved chroma."""
    return make_raw_clip(
        path,
        np.stack(pictures),
        size=(128, 96),
        layout="rgb24",
        frame_rate=Fraction(24),
        codec=(*LOSSLESS, "-pix_fmt", "yuv420p"),
    )


def make_pictures(pattern: Path, *, first: int, count: int, mode: str = "L") -> list[np.ndarray]:
    """Write numbered 16x12 ramps, each encoding its number, with Pillow; return them as R'G'B'."""
    made = []
    for number in range(first, first + count):
        ramp = (np.arange(12 * 16).reshape(12, 16) + 5 * number) % 256
        if mode == "RGB":
            picture = np.stack((ramp, 255 - ramp, ramp // 2), axis=-1).astype(np.uint8)
        elif mode == "I;16":
            picture = (ramp * 257).astype(np.uint16)
        else:
            picture = ramp.astype(np.uint8)
        name = pattern.name % number
        quality: dict[str, Any] = (
            {"quality": 100, "subsampling": 0} if pattern.suffix == ".jpg" else {}
        )
        Image.fromarray(picture).save(pattern.with_name(name), **quality)
        made.append(picture if mode == "RGB" else np.repeat(ramp[..., None], 3, axis=-1))
    return made


def read_png(path: Path) -> np.ndarray:
    """Return the pixels (H, W, 3) of a picture, which must be a PNG."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def graded_film(path: Path, filters: str, *, source: Path = SAMPLE_FILM, crf: int = 20) -> Path:
    """Make a version of a film, or of a part of it, with ffmpeg filters and without sound.

    ffmpeg -i SOURCE -vf FILTERS -c:v libx264 -preset veryfast -crf CRF PATH
    """
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-crf", crf, "-pix_fmt", "yuv420p")
    run_ffmpeg("-i", source, "-an", "-vf", filters, *encoder, path)
    return path


def frames_only(*runs: tuple[int, int]) -> str:
    """Return the ffmpeg filter that keeps only these runs of frames, joined at 24 fps."""
    kept = "+".join(f"between(n,{begin},{end - 1})" for begin, end in runs)
    return f"select='{kept}',setpts=N/24/TB"


def delay(clip: Path, target: Path, *, what: str) -> Path:
    """Copy a clip with its picture ("v") or sound ("a") delayed by LATE_SECONDS."""
    other = "a" if what == "v" else "v"
    late = ("-itsoffset", LATE_SECONDS, "-i", clip)
    run_ffmpeg(
        "-i", clip, *late, "-map", f"0:{other}", "-map", f"1:{what}", "-c", "copy", target
    )  # fmt: skip
    return target


def decode_planes(path: Path, layout: str, size: tuple[int, int]) -> list[np.ndarray]:
    """Decode with ffmpeg's defaults to Y', Cb and Cr, each (frames, height, width)."""
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


def frame_number(luma: np.ndarray) -> int:
    """Return the number that a numbered clip's frame encodes, at any size and quality."""
    bars = np.array_split(luma, NUMBER_BITS, axis=1)
    middles = [bar[:, bar.shape[1] // 4 : -bar.shape[1] // 4].mean() for bar in bars]
    return sum(1 << bit for bit, middle in enumerate(middles) if middle > 125)


def times_of(path: Path) -> list[float]:
    """Return the presentation times of a film's frames, in seconds."""
    with av.open(str(path)) as container:
        return [present(frame.time) for frame in container.decode(video=0)]


def combing(pictures: ArrayLike) -> float:
    """Measure how much rows of pictures (N, H, W) differ from both of their neighbours."""
    rows = np.asarray(pictures).astype(int)
    return float(np.abs(rows[:, 1:-1] * 2 - rows[:, :-2] - rows[:, 2:]).mean())


def said_in(path: Path) -> list[tuple[float, str]]:
    """Return each subtitle's start time and text, as ffmpeg converts them to SubRip."""
    text = run_ffmpeg("-i", path, "-map", "0:s:0", "-f", "srt", "pipe:1").decode()
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    times = [re.match(r"00:00:(\d\d),(\d+)", block[1]) for block in blocks]
    return [
        (int(time[1]) + int(time[2]) / 1000, block[2])
        for time, block in zip(times, blocks, strict=True)
        if time
    ]


def signatures_of(path: Path) -> Signatures:
    """Return the small pictures of all frames of a film."""
    film = probe(path)
    return read_signatures(film, film, track=lambda frames, total, label: frames)[0]

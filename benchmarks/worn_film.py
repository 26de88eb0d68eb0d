"""Measure whether colours stay steady on old film: grain, dust, scratches, weave, flicker, splices.

    python -m benchmarks.worn_film FOLDER FILM... [--model default]

Each colour film is made grey at 360 lines, worn in each way, and colorized losslessly by the
command. Prints means over the films (and the value of the worst film):

- flicker: mean absolute change of chroma along the motion of the unworn film, relative to that of
  the true chroma, as in `eval`.
- off: mean difference of chroma from that of the unworn film when colorized, in 8-bit codes.
- colour: mean distance of chroma from grey, relative to that of the unworn film.

Films should be short parts of one shot, since all their frames are held in memory.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.random import Generator
from torch import Tensor

from benchmarks.programs import FILMCOLORIZER
from filmcolorizer_cli.filtergraphs import MATRIX_NAMES
from filmcolorizer_cli.frames import read_pictures
from filmcolorizer_cli.motion import is_reliable, optical_flow, warp
from filmcolorizer_cli.planes import NEUTRAL, Coding, Floats, Plane
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import Film, probe

LINES = 360
BLACK, WHITE = 16, 235

GRAIN_CODES, GRAIN_PIXELS = 9.0, 0.8  # standard deviation of luma, and radius of a grain
# Standard deviation of the exposure, as a share; frames only get dimmer. Brighter ones would have
# highlights without room for any colour, which no program can keep steady.
EXPOSURE = 0.12
WEAVE_PIXELS = 1.2  # standard deviation of a frame's position in each direction
SPECKS, SPECK_PIXELS = 12.0, 7  # mean number per frame, and limit (exclusive) of their radii
BLOTCH_SHARE, BLOTCH_PIXELS, BLOTCH_STRENGTH = 0.25, (20, 90), 0.7
SPLICE_FRAMES, SPLICE_EVERY = 6, 20  # frames lost at a splice, and from one splice to the next

Worn = Iterator[tuple[int, Floats]]  # numbers of the remaining frames, and their luma (H, W)


def _unworn(lumas: Sequence[Plane]) -> Worn:
    yield from enumerate(luma.astype(np.float32) for luma in lumas)


def _grainy(frames: Worn, rng: Generator) -> Worn:
    for number, luma in frames:
        noise = rng.normal(size=luma.shape).astype(np.float32)
        grain = cv2.GaussianBlur(noise, (0, 0), GRAIN_PIXELS)
        yield number, luma + grain * (GRAIN_CODES / grain.std())


def _flickering(frames: Worn, rng: Generator) -> Worn:
    for number, luma in frames:
        yield number, (luma - BLACK) * (1 - abs(rng.normal(0, EXPOSURE))) + BLACK


def _weaving(frames: Worn, rng: Generator) -> Worn:
    for number, luma in frames:
        right, down = rng.normal(0, WEAVE_PIXELS, 2)
        shift, size = np.array([[1, 0, right], [0, 1, down]], np.float32), luma.shape[::-1]
        moved = cv2.warpAffine(luma, shift, size, borderMode=cv2.BORDER_REPLICATE)
        yield number, np.asarray(moved, np.float32)


def _dirty(frames: Worn, rng: Generator) -> Worn:
    """Add specks for one frame each, occasional blotches, and a lasting scratch."""
    scratch: float | None = None
    for number, luma in frames:
        height, width = luma.shape
        worn = luma.copy()
        for _ in range(rng.poisson(SPECKS)):
            tone = float(rng.choice((BLACK, WHITE)))
            _spot(worn, rng, (1, SPECK_PIXELS), tone)
        if rng.random() < BLOTCH_SHARE:
            blotch = np.zeros_like(luma)
            _spot(blotch, rng, BLOTCH_PIXELS, BLOTCH_STRENGTH)
            worn += cv2.GaussianBlur(blotch, (0, 0), 6) * (float(rng.choice((60, 200))) - worn)
        scratch = (width * 0.3 if scratch is None else scratch) + rng.normal(0, 0.6)
        cv2.line(worn, (int(scratch), 0), (int(scratch) + 3, height), 215.0)
        yield number, worn


def _spot(plane: Floats, rng: Generator, radii: tuple[int, int], tone: float) -> None:
    """Paint an ellipse at a random place into a plane (H, W)."""
    column, row = (int(rng.integers(side)) for side in plane.shape[::-1])
    axes = [int(radius) for radius in rng.integers(*radii, 2)]
    cv2.ellipse(plane, (column, row), axes, rng.uniform(0, 180), 0, 360, tone, cv2.FILLED)


def _spliced(frames: Worn, rng: Generator) -> Worn:
    for number, luma in frames:
        if number % SPLICE_EVERY < SPLICE_EVERY - SPLICE_FRAMES:
            yield number, luma


WAYS: dict[str, Sequence[Callable[[Worn, Generator], Worn]]] = {
    "not worn": (),
    "grain": (_grainy,),
    "exposure that flickers": (_flickering,),
    "weave": (_weaving,),
    "dust, blotches, a scratch": (_dirty,),
    "splices": (_spliced,),
    "all of these": (_weaving, _dirty, _flickering, _grainy, _spliced),
}


def main(
    folder: Path, films: list[Path], model: Annotated[str, typer.Option()] = "default"
) -> None:
    """Print how steady colours are on each kind of worn film."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for path in films:
        film = probe(path)
        pictures = _pictures(film)
        lumas, true_chroma = [luma for luma, _ in pictures], [chroma for _, chroma in pictures]
        motion = [_motion(*pair) for pair in pairwise(lumas)]
        unworn: list[Plane] = []
        for way, wears in WAYS.items():
            rng, frames = np.random.default_rng(2026), _unworn(lumas)
            for wear in wears:
                frames = wear(frames, rng)
            left = {number: np.clip(luma, BLACK, WHITE) for number, luma in frames}
            colored = folder / f"{path.stem}-{way.replace(' ', '-').replace(',', '')}.mkv"
            _colorize(film, list(left.values()), colored, model)
            chroma = dict(zip(left, [c for _, c in _pictures(probe(colored))], strict=True))
            unworn = unworn or list(chroma.values())
            rows[way].append(_measure(chroma, unworn, true_chroma, motion))
    print(f"{'':26} flicker        off          colour")
    for way, measured in rows.items():
        flicker, off, colour = zip(*measured, strict=True)
        worst = max(flicker), max(off), min(colour)
        means = fmean(flicker), fmean(off), fmean(colour)
        print(f"{way:26}", *(f"{m:.2f} ({w:.2f}) " for m, w in zip(means, worst, strict=True)))


def _pictures(film: Film) -> list[tuple[Plane, Plane]]:
    """Return luma (H, W) and chroma (2, H / 2, W / 2) of all frames, uint8."""
    width = round(film.width * LINES / film.height / 2) * 2
    sampling = Sampling(width, LINES, frame_rate=film.frame_rate)
    pictures = read_pictures(film, sampling, Coding(matrix=film.coding.matrix))
    return [(luma.astype(np.uint8), chroma.astype(np.uint8)) for luma, chroma in pictures]


def _colorize(film: Film, lumas: Sequence[Floats], colored: Path, model: str) -> None:
    """Write lumas (H, W) as a grey film and colorize it."""
    height, width = lumas[0].shape
    grey = colored.with_name(f"{colored.stem}-grey.mkv")
    kind = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}")
    matrix = ("-vf", f"setparams=colorspace={MATRIX_NAMES[film.coding.matrix]}")
    rate = ("-r", str(film.frame_rate), "-i", "-", *matrix, "-c:v", "ffv1")
    neutral = bytes([NEUTRAL]) * (height * width // 2)
    planes = b"".join(np.round(luma).astype(np.uint8).tobytes() + neutral for luma in lumas)
    command = [get_ffmpeg_exe(), "-y", "-v", "error", *kind, *rate, str(grey)]
    subprocess.run(command, input=planes, check=True)
    program = [*FILMCOLORIZER, "colorize", str(grey)]
    options = ("--model", model, "--codec", "ffv1", "--fps", "source", "--overwrite")
    subprocess.run([*program, "-o", str(colored), *options], check=True, capture_output=True)


def _motion(luma: Plane, other: Plane) -> tuple[Tensor, Tensor]:
    """Return the flow (1, 2, H / 2, W / 2) from one frame to another, and where it is reliable."""
    half, other_half = _halved(luma), _halved(other)
    flow, flow_back = optical_flow(half, other_half), optical_flow(other_half, half)
    light, other_light = (torch.from_numpy(p)[None, None] / 255 for p in (half, other_half))
    return flow, is_reliable(light, other_light, flow, flow_back)[0, 0]


def _halved(luma: Plane) -> Plane:
    return np.asarray(cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def _measure(
    chroma: dict[int, Plane],
    unworn: Sequence[Plane],
    true_chroma: Sequence[Plane],
    motion: Sequence[tuple[Tensor, Tensor]],
) -> tuple[float, float, float]:
    """Return flicker (a ratio), the chroma's error in codes, and colour (a ratio)."""
    frames = {number: _centred(planes) for number, planes in chroma.items()}
    before = [_centred(unworn[number]) for number in frames]
    off = fmean(_distance(planes - b) for planes, b in zip(frames.values(), before, strict=True))
    colour = fmean(map(_distance, frames.values())) / fmean(map(_distance, before))
    changes = true_changes = 0.0
    for number, (flow, reliable) in enumerate(motion):
        if number in frames and number + 1 in frames:
            changes += _change(frames[number], frames[number + 1], flow, reliable)
            true, true_next = map(_centred, true_chroma[number : number + 2])
            true_changes += _change(true, true_next, flow, reliable)
    return changes / true_changes, off, colour


def _centred(chroma: Plane) -> Floats:
    return chroma.astype(np.float32) - NEUTRAL


def _distance(chroma: Floats) -> float:
    """Return the mean distance from grey over a picture, in codes."""
    return float(np.abs(chroma).mean())


def _change(one: Floats, other: Floats, flow: Tensor, reliable: Tensor) -> float:
    """Return the sum of absolute changes of chroma (2, H, W) along a flow, where it is reliable."""
    moved = warp(torch.from_numpy(other)[None], flow)[0]
    return float((moved - torch.from_numpy(one)).abs().mean(dim=0)[reliable].sum())


if __name__ == "__main__":
    typer.run(main)

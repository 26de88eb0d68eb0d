"""Print how well networks learn the colours of one film, beside the naive baseline.

    python -m benchmarks.film_colors FILM FOLDER [--duration 486] [--only NAME ...]

FILM is a colour film; everything is kept in FOLDER, and what is there already is not made again, so
that a run may be stopped and taken up. Ways to measure (see `WAYS`):

- story: split by time, 70/15/15, as in 2020; the later parts show other places.
- itself: every other still is trained on, the stills half-way between are tested.
- planted: as `itself`, trained on a cropped, re-graded, noisy, compressed copy that sync lined up
  with the film in grey, and tested on clean colours of the same grade.

All numbers are mean squared errors on R'G'B' in [-1, 1] at 64x64, as in 2020.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from imageio_ffmpeg import get_ffmpeg_exe
from rich.console import Console

# The grade that the copy's colours have, and what else the years did to it.
GRADE = "eq=saturation=0.85"
WEAR = "eq=gamma=1.15:contrast=0.95,crop=iw*0.94:ih*0.92,scale=320:180,noise=alls=10:allf=t"
COPY_BITRATE = "400k"

# Stills of every so many frames, and which of them train.
WAYS = {"story": ("6", "70,15,15"), "itself": ("12", "interleaved")}
# name: (size of the stills, options of train); without options the shipped model is measured.
NETWORKS: dict[str, tuple[str, list[str] | None]] = {
    "classic, 10 epochs": ("64", ["--arch", "classic", "--epochs", "10"]),
    "classic, 100 epochs": ("64", ["--arch", "classic", "--epochs", "100"]),
    "default, untouched": ("192", None),
    "film, from scratch": ("192", ["--init", "none"]),
    "film, from the default": ("192", []),
}
PLANTED = "film, from the default"  # the network that the planted copy trains


def run(*arguments: object) -> Any:
    """What a filmcolorizer command says as JSON."""
    command = [sys.executable, "-m", "filmcolorizer_cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def encode(film: Path, target: Path, duration: float, filters: str, *settings: str) -> Path:
    """A copy of the film's first part, without sound."""
    if not target.exists():
        part = target.with_suffix(".part.mp4")
        command = [get_ffmpeg_exe(), "-y", "-v", "error", "-i", film, "-t", str(duration)]
        subprocess.run([*command, "-an", "-vf", filters, *settings, part], check=True)
        part.rename(target)
    return target


def extract(folder: Path, films: list[Path], every: str, size: str, duration: float) -> Path:
    """A folder of pairs; what is there already is taken as it is."""
    if not folder.exists():
        run(
            "extract",
            *films,
            "--every",
            every,
            "--size",
            size,
            "--duration",
            duration,
            "-o",
            folder,
        )
    return folder


def train(pairs: Path, weights: Path, split: str, options: list[str]) -> float:
    """Seconds that a training took; 0 where its weights are there already."""
    if weights.exists():
        return 0.0
    started = time.monotonic()
    checkpoint = weights.with_name(f"{weights.stem}.checkpoint.safetensors")
    resume = ["--resume"] if checkpoint.exists() else []
    run("train", pairs, "--split", split, *options, *resume, "-o", weights)
    return time.monotonic() - started


def show(console: Console, name: str, pairs: Path, model: object, seconds: float) -> None:
    """One row of the table, and before the first network of a set of pairs, its baseline."""
    result = run("eval", pairs, "--model", model, "--baseline", "--size", 64)
    cells = []
    for part in ("train", "validation", "test"):
        score = result["network"][part]
        cells.append(f"{score['mse']:.4f} ({score['mse_ratio']:.2f})")
    test = result["network"]["test"]
    vividness = f"{test['colorfulness']:.1f} of {test['true_colorfulness']:.1f}"
    minutes = f"{seconds / 60:.0f} min" if seconds else ""
    console.print(f"| {name} | {' | '.join(cells)} | {vividness} | {minutes} |")


def main(
    film: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    folder: Path,
    duration: float = 486.0,
    only: Annotated[list[str] | None, typer.Option(help="Ways, and networks, to measure.")] = None,
) -> None:
    """Print one table for each way."""
    console = Console(width=200)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = set(only or [*WAYS, "planted", *NETWORKS])
    for way, (every, split) in WAYS.items():
        if way not in wanted:
            continue
        console.print(f"\n{way}: train, validation, test (ratio to the naive baseline)")
        for name, (size, options) in NETWORKS.items():
            if name not in wanted:
                continue
            pairs = extract(folder / f"{way}-{size}", [film], every, size, duration)
            weights = folder / f"{way}-{name.replace(', ', '-').replace(' ', '-')}.safetensors"
            seconds = 0.0 if options is None else train(pairs, weights, split, options)
            show(console, name, pairs, "default" if options is None else weights, seconds)
    if "planted" in wanted:
        every, split = WAYS["itself"]
        size, options = NETWORKS[PLANTED]
        lossless = ("-crf", "12", "-preset", "fast")
        grey = encode(film, folder / "grey.mp4", duration, "format=gray,format=yuv420p", *lossless)
        clean = encode(film, folder / "clean.mp4", duration, GRADE, *lossless)
        copy = encode(film, folder / "copy.mp4", duration, f"{GRADE},{WEAR}", "-b:v", COPY_BITRATE)
        truth = extract(folder / "truth", [clean], every, size, duration)
        pairs = extract(folder / "planted", [grey, copy], every, size, duration)
        weights = folder / "planted.safetensors"
        seconds = train(pairs, weights, split, options or [])
        console.print("\nplanted: tested on clean colours of the same grade")
        show(console, f"{PLANTED}, by its worn copy", truth, weights, seconds)


if __name__ == "__main__":
    typer.run(main)

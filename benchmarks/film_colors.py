"""Print how well networks learn the colours of one film, compared with the naive baseline.

    python -m benchmarks.film_colors FILM FOLDER [--way WAY]... [--network NETWORK]...

FILM is a colour film. Everything is kept in FOLDER, and existing results are not made again, so a
run can be stopped and resumed. Use another folder for another film, another part of it or other
shipped weights. The ways to measure:

- story: split by time, 70/15/15, as in 2020; the later parts show other places.
- itself: training on every other still, testing on the stills half-way between.
- planted: like `itself`, but training on a cropped, re-graded, noisy, compressed copy that sync
  lined up with the film in grey, and testing on clean colours of the same grade.

All numbers are mean squared errors on R'G'B' in [-1, 1] at 64x64, as in 2020.
"""

from __future__ import annotations

import csv
import json
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from imageio_ffmpeg import get_ffmpeg_exe
from rich.console import Console

from benchmarks.programs import FILMCOLORIZER

GREY = "format=gray,format=yuv420p"
# The grade of the copy's colours, and its other changes, such as from wear.
GRADE = "eq=saturation=0.85"
WEAR = "eq=gamma=1.15:contrast=0.95,crop=iw*0.94:ih*0.92,scale=320:180,noise=alls=10:allf=t"
COPY_BITRATE = "400k"
NEAR_LOSSLESS = ("-crf", "12", "-preset", "fast")


class Way(StrEnum):
    """A way to sample and split pairs."""

    story = "story"
    itself = "itself"
    planted = "planted"


class Candidate(StrEnum):
    """A network and its training."""

    classic_10 = "classic-10"
    classic_100 = "classic-100"
    untouched = "untouched"
    scratch = "scratch"
    default = "default"


# Frames from one still to the next, and the split of the stills.
SAMPLINGS = {
    Way.story: ("6", "70,15,15"),
    Way.itself: ("12", "interleaved"),
    Way.planted: ("12", "interleaved"),
}
# Name in the table, size of the stills, and training options, or None without training.
NETWORKS: dict[Candidate, tuple[str, str, list[str] | None]] = {
    Candidate.classic_10: ("`classic`, 10 epochs", "64", ["--arch", "classic", "--epochs", "10"]),
    Candidate.classic_100: (
        "`classic`, 100 epochs",
        "64",
        ["--arch", "classic", "--epochs", "100"],
    ),
    Candidate.untouched: ("the shipped default, untouched", "192", None),
    Candidate.scratch: ("`film` from scratch", "192", ["--init", "none"]),
    Candidate.default: ("`film` from the default", "192", []),
}


def run(*arguments: object) -> Any:
    """Run a filmcolorizer command and return its JSON output."""
    command = [*FILMCOLORIZER, *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def encode(film: Path, target: Path, duration: float, filters: str, *settings: str) -> Path:
    """Encode the first part of a film without sound, unless the target exists."""
    if not target.exists():
        part = target.with_suffix(".part.mp4")
        command = [get_ffmpeg_exe(), "-y", "-v", "error", "-i", film, "-t", str(duration)]
        subprocess.run([*command, "-an", "-vf", filters, *settings, part], check=True)
        part.rename(target)
    return target


def extract(folder: Path, films: list[Path], every: str, size: str, duration: float) -> Path:
    """Extract a folder of pairs, unless it exists."""
    if not folder.exists():
        sampling = ("--every", every, "--size", size, "--duration", duration)
        run("extract", *films, *sampling, "-o", folder)
    return folder


def train(pairs: Path, weights: Path, split: str, options: list[str]) -> float:
    """Train unless the weights exist; return the minutes that all epochs took."""
    if not weights.exists():
        checkpoint = weights.with_name(f"{weights.stem}.checkpoint.safetensors")
        resume = ["--resume"] if checkpoint.exists() else []
        run("train", pairs, "--split", split, *options, *resume, "-o", weights)
    with weights.with_suffix(".csv").open(newline="") as history:
        return sum(float(epoch["seconds"]) for epoch in csv.DictReader(history)) / 60


def show(console: Console, name: str, scores: dict[str, Any], minutes: float | None = None) -> None:
    """Print one row of a table."""
    cells = [
        f"{score['mse']:.4f} ({score['mse_ratio']:.2f})"
        for score in (scores[part] for part in ("train", "validation", "test"))
    ]
    test = scores["test"]
    colors = f"{test['colorfulness']:.1f} of {test['true_colorfulness']:.1f}"
    took = "" if minutes is None else f"{minutes:.0f}"
    console.print(f"| {name} | {' | '.join(cells)} | {colors} | {took} |")


def main(
    film: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    folder: Path,
    duration: float = 486.0,
    ways: Annotated[list[Way] | None, typer.Option("--way")] = None,
    networks: Annotated[list[Candidate] | None, typer.Option("--network")] = None,
) -> None:
    """Print one table for each way."""
    console = Console(width=200)
    folder.mkdir(parents=True, exist_ok=True)
    for way in ways or Way:
        every, split = SAMPLINGS[way]
        console.print(f"\n| {way.value} | train | validation | test | colourfulness | minutes |")
        console.print("| --- | --- | --- | --- | --- | --- |")
        baselines = set()
        for network in networks or Candidate:
            name, size, options = NETWORKS[network]
            if way == Way.planted:
                grey = encode(film, folder / "grey.mp4", duration, GREY, *NEAR_LOSSLESS)
                clean = encode(film, folder / "clean.mp4", duration, GRADE, *NEAR_LOSSLESS)
                bitrate = ("-b:v", COPY_BITRATE)
                copy = encode(film, folder / "copy.mp4", duration, f"{GRADE},{WEAR}", *bitrate)
                truth = extract(folder / f"clean-{size}", [clean], every, size, duration)
                pairs = extract(folder / f"planted-{size}", [grey, copy], every, size, duration)
            else:
                truth = pairs = extract(
                    folder / f"{way.value}-{size}", [film], every, size, duration
                )
            if options is None:
                model, minutes = "default", None
            else:
                model = str(folder / f"{way.value}-{network.value}.safetensors")
                minutes = train(pairs, Path(model), split, options)
            measured = ("--model", model, "--split", split, "--size", "64", "--baseline")
            scores = run("eval", truth, *measured)
            if size not in baselines:  # larger stills come out a little sharper at 64x64
                baselines.add(size)
                show(console, f"naive baseline, stills of {size} lines", scores["baseline"])
            show(console, name, scores["network"], minutes)


if __name__ == "__main__":
    typer.run(main)

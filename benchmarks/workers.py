"""Time rendering by several workers and by one, in turn, and compare the results.

    python -m benchmarks.workers FILM FOLDER [--workers 2] [--rounds 3]

Prints the median ratio of the times, and whether the decoded frames are the same.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

import typer

from benchmarks.kills import command, frames_of


def seconds(film: Path, target: Path, workers: int) -> float:
    """Return how many seconds a rendering takes."""
    target.unlink(missing_ok=True)
    started = time.monotonic()
    rendering = [*command(film, target), "--workers", str(workers)]
    subprocess.run(rendering, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def main(film: Path, folder: Path, workers: int = 2, rounds: int = 3) -> None:
    """Print the ratio."""
    folder.mkdir(parents=True, exist_ok=True)
    one, several = folder / "one.mp4", folder / "several.mp4"
    ratios = [seconds(film, several, workers) / seconds(film, one, 1) for _ in range(rounds)]
    same = frames_of(one) == frames_of(several)
    print(f"{workers} workers take {statistics.median(ratios):.2f} times as long as one")
    print(f"(from {min(ratios):.2f} to {max(ratios):.2f}); the frames are", end=" ")
    print("the same." if same else "NOT the same.")


if __name__ == "__main__":
    typer.run(main)

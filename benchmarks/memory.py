"""Print the peak memory of colorize on one minute and on ten minutes of a film, and their ratio.

python -m benchmarks.memory FILM   (ten minutes or longer; Linux only)
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.programs import FILMCOLORIZER, run_watched

MINUTES = (1, 10)
GOAL = 1.1  # maximum ratio of the longer part's peak to the shorter one's


def colorize_peak(film: Path, minutes: int, folder: Path) -> int:
    """Return the peak memory, in bytes, of colorize on the first minutes of a film."""
    target = str(folder / f"{minutes}.mp4")
    program = [*FILMCOLORIZER, "colorize", str(film), "-o", target]
    usual = ["--model", "default", "--recolor", "--workers", "1", "--preset", "ultrafast"]
    return run_watched([*program, *usual, "--duration", str(60 * minutes)])[1]


def main(film: Annotated[Path, typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Colorize both lengths."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (colorize_peak(film, minutes, Path(folder)) for minutes in MINUTES)
    for minutes, peak in zip(MINUTES, (short, long), strict=True):
        print(f"{minutes} min: peak {peak / 1e6:.0f} MB")
    print(f"ratio {long / short:.3f} (goal: at most {GOAL:g})")


if __name__ == "__main__":
    typer.run(main)

"""Print the cost of sync: its time relative to decoding both films, and its peak memory.

python -m benchmarks.sync_cost FILM   (a whole colour film, such as Big Buck Bunny; Linux only)

The coloured version is made from the film: with some frames removed, cropped, re-graded, with
grain, at 320x180 and 300 kbit/s.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.programs import FILMCOLORIZER, run_watched
from filmcolorizer_cli.ffmpeg import find_binary

ROUNDS = 5
GOAL_RATIO, GOAL_MEGABYTES = 1.5, 700
EDIT = (
    "select='not(lt(n,120)+between(n,2000,2300)+eq(n,3001)+between(n,7000,7040)"
    "+between(n,9000,9500))',setpts=N/24/TB,crop=0.9*iw:0.94*ih,scale=320:180,"
    "eq=gamma=1.3:contrast=1.1,noise=alls=6:allf=t"
)


def make_copy(film: Path, target: Path) -> None:
    """Write an edited copy of a film, without sound."""
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "300k", "-an")
    run(find_binary(), "-loglevel", "error", "-i", str(film), "-vf", EDIT, *encoder, str(target))


def run(*command: str) -> float:
    """Run a command and return how many seconds it took."""
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begin


def decode(film: Path) -> float:
    """Return how many seconds ffmpeg takes to decode and discard the pictures of a film."""
    pictures = ("-map", "0:v:0", "-f", "null", "-")
    return run(find_binary(), "-loglevel", "error", "-i", str(film), *pictures)


def main(film: Annotated[Path, typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Time both, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mp4"
        make_copy(film, copy)
        sync = (*FILMCOLORIZER, "sync", str(film), str(copy), "--offset")
        ratios = []
        for number in range(1, ROUNDS + 1):
            decoding = decode(film) + decode(copy)
            syncing = run(*sync)
            ratios.append(syncing / decoding)
            print(f"round {number}: {decoding:.1f} s to decode, {syncing:.1f} s to line up")
        peak = run_watched([*sync])[1] / 1e6
    median = sorted(ratios)[ROUNDS // 2]
    print(f"ratio {median:.2f}, from {min(ratios):.2f} to {max(ratios):.2f} (goal: {GOAL_RATIO:g})")
    print(f"peak {peak:.0f} MB (goal: {GOAL_MEGABYTES})")


if __name__ == "__main__":
    typer.run(main)

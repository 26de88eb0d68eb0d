"""Kill a rendering at random moments, resume it, and compare it with an uninterrupted one.

    python -m benchmarks.kills FILM FOLDER [--kills 30] [--seed 0]

FILM is rendered once without interruption, then repeatedly until there were so many kills (SIGKILL,
each at a random moment). Every result is compared with the first by its decoded frames. Prints how
many differ, how many files were left behind, and the mean time of the interrupted renderings, as a
ratio to that of the uninterrupted one.
"""

from __future__ import annotations

import hashlib
import random
import shlex
import subprocess
import time
from pathlib import Path
from typing import Annotated

import typer
from imageio_ffmpeg import get_ffmpeg_exe

from benchmarks.programs import FILMCOLORIZER


def command(film: Path, target: Path) -> list[str]:
    """Return the command that renders with the shipped model, as a user would."""
    program = [*FILMCOLORIZER, "colorize", str(film), "-o", str(target)]
    return [*program, "--model", "default", "--preset", "ultrafast", "--recolor"]


def frames_of(film: Path) -> str:
    """Return a checksum of all decoded frames and their times."""
    decode = [
        get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(film),
        "-map",
        "0:v",
        "-f",
        "framemd5",
        "-",
    ]
    listed = subprocess.run(decode, check=True, capture_output=True).stdout
    return hashlib.md5(listed).hexdigest()


def main(
    film: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    folder: Path,
    kills: int = 30,
    seed: int = 0,
) -> None:
    """Print what the kills did."""
    folder.mkdir(parents=True, exist_ok=True)
    peaceful, target = folder / "peaceful.mp4", folder / "killed.mp4"
    for path in (peaceful, target):
        path.unlink(missing_ok=True)
    there = {*folder.iterdir(), peaceful, target}
    started = time.monotonic()
    subprocess.run(command(film, peaceful), check=True, stdout=subprocess.DEVNULL)
    in_peace = time.monotonic() - started
    expected = frames_of(peaceful)
    rng = random.Random(seed)
    done, renderings, differing, lost, spent = 0, 0, 0, 0, 0.0
    while done < kills:
        renderings += 1
        while not target.exists():
            started = time.monotonic()
            program = subprocess.Popen(
                command(film, target), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                if program.wait(rng.uniform(0, in_peace) if done < kills else None):
                    raise SystemExit(
                        f"colorize failed by itself; try {shlex.join(command(film, target))}"
                    )
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
                done += 1
            spent += time.monotonic() - started
        differing += frames_of(target) != expected
        lost += len({*folder.iterdir()} - there)
        target.unlink()
    print(f"{done} kills in {renderings} renderings: {differing} came out otherwise,")
    print(f"{lost} files were left behind, and they took {spent / renderings / in_peace:.2f} times")
    print("as long as an uninterrupted one.")


if __name__ == "__main__":
    typer.run(main)

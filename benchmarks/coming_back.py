"""Measure whether what comes back into view has the same colours as before.

    python -m benchmarks.coming_back FILM FOLDER [--start 0] [--seconds 3] [--title-seconds 0]
        [--model default]

A part of the film is played forwards and then backwards, at 360 lines, so that each of its frames
appears twice; with `--title-seconds`, a title is shown in between, as in silent films. Prints the
mean absolute difference of their chroma, in 8-bit codes, and the mean distance of chroma from grey.
`--start` and `--seconds` should select a part of one shot. Colorizing each frame on its own would
give no difference at all, but no steadiness either.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import typer
from imageio_ffmpeg import get_ffmpeg_exe

from benchmarks.programs import FILMCOLORIZER
from filmcolorizer_cli.frames import read_pictures
from filmcolorizer_cli.planes import NEUTRAL, Coding
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import probe


def main(
    film: Path,
    folder: Path,
    start: float = 0.0,
    seconds: float = 3.0,
    title_seconds: float = 0.0,
    model: str = "default",
) -> None:
    """Print the difference."""
    folder.mkdir(parents=True, exist_ok=True)
    both_ways, colored = str(folder / "both-ways.mkv"), folder / "both-ways-color.mkv"
    title = (
        f"tpad=stop_mode=clone:stop_duration={title_seconds},"
        f"trim=start={seconds},setpts=PTS-STARTPTS,"
        "drawbox=t=fill:color=black,drawbox=x=iw/4:y=ih/3:w=iw/2:h=ih/9:t=fill:color=white,"
        "drawbox=x=iw/3:y=ih/2:w=iw/3:h=ih/9:t=fill:color=white"
    )
    graph = (
        "scale=-2:360,format=gray,format=yuv420p,split=3[a][b][c];"
        f"[b]{title}[title];[c]reverse[back];[a][title][back]concat=n=3"
    )
    resample_part = ("-ss", str(start), "-t", str(seconds), "-i", str(film))
    lossless = ("-an", "-filter_complex", graph, "-c:v", "ffv1", both_ways)
    subprocess.run([get_ffmpeg_exe(), "-y", "-v", "error", *resample_part, *lossless], check=True)
    program = [*FILMCOLORIZER, "colorize", both_ways]
    options = ("--model", model, "--codec", "ffv1", "--fps", "source", "--overwrite")
    subprocess.run([*program, "-o", str(colored), *options], check=True)
    found = probe(colored)
    sampling = Sampling(found.width, found.height, frame_rate=found.frame_rate)
    pictures = read_pictures(found, sampling, Coding(matrix=found.coding.matrix))
    chroma = np.stack([planes for _, planes in pictures]).astype(int)  # (N, 2, H / 2, W / 2)
    count = (len(chroma) - round(title_seconds * found.frame_rate)) // 2
    there, back = chroma[:count], chroma[::-1][:count]  # without the title between
    differences = np.abs(there - back).mean(axis=(1, 2, 3))
    print(f"{count} frames come back with chroma that is off by {differences.mean():.2f} codes,")
    print(f"at the end by {differences[0]:.2f};", end=" ")
    print(f"it is {np.abs(there - NEUTRAL).mean():.2f} codes from grey.")


if __name__ == "__main__":
    typer.run(main)

"""Make a worn coloured copy of the sample film, like an old television transfer.

The sample film is made of colour photographs. The copy shows them in colour, but lacks the first
half second, runs at PAL's 25 frames per second, and is cropped, re-graded, noisy and small::

    python docs/make_copy.py copy.mp4
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import ffmpeg
import numpy as np
import typer
from make_sample import HEIGHT, SHOT_FRAMES, SHOTS, WIDTH
from paint_stills import view_at

from filmcolorizer_cli.ffmpeg import Process, local_file

MISSING_FRAMES = 12  # frames that the copy lacks at the beginning


def main(target: Annotated[Path, typer.Argument(help="The film to write.")]) -> None:
    """Make a worn coloured copy of the sample film."""
    size = (WIDTH, HEIGHT)
    film = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", video_size=size, framerate=25)
    film = film.filter("crop", 430, 330, 28, 12).filter("scale", 320, 240)
    film = film.filter("eq", gamma=1.2, contrast=1.1).filter("noise", alls=5, allf="t")
    options = {"c:v": "libx264", "b:v": "400k", "pix_fmt": "yuv420p"}
    output = film.output(filename=local_file(target), **options).overwrite_output()
    with Process(output, reads_stdin=True) as process:
        for frame in range(MISSING_FRAMES, len(SHOTS) * SHOT_FRAMES):
            process.feed(np.asarray(view_at(frame)).tobytes())
        if not process.wait():
            raise SystemExit(process.last_words())


if __name__ == "__main__":
    typer.run(main)

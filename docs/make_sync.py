"""Make ``docs/sync.png``: the sample film aligned with a worn copy of its coloured version.

The copy lacks the first half second and a second in the middle, runs at PAL's 25 frames per second,
and is cropped, rotated by half a degree, re-graded, noisy and small. To make it again::

    python docs/make_sync.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from filmcolorizer_cli.colorizing import colorize
from filmcolorizer_cli.ffmpeg import Process, local_file, open_input
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.models import DEFAULT_MODEL, find_model
from filmcolorizer_cli.rendering import ColorizeOptions
from filmcolorizer_cli.report import save_sync_preview
from filmcolorizer_cli.sync import align
from filmcolorizer_cli.video import probe
from filmcolorizer_cli.weights import load

PICTURE = Path(__file__).resolve().parent / "sync.png"


def wear(film: Path, copy: Path) -> None:
    """Write a worn copy of a film."""
    stream = open_input(film).video
    stream = stream.filter("select", "gte(n,12)*not(between(n,60,83))")
    stream = stream.filter("setpts", "N/25/TB").filter("crop", 430, 330, 28, 12)
    stream = stream.filter("rotate", 0.008).filter("scale", 320, 240)
    stream = stream.filter("eq", gamma=1.2, contrast=1.1).filter("noise", alls=5, allf="t")
    options = {"r": "25", "c:v": "libx264", "b:v": "400k"}
    with Process(stream.output(filename=local_file(copy), **options)) as process:
        if not process.wait():
            raise SystemExit(process.last_words())


def main() -> None:
    """Colorize the sample, make a worn copy, align both and draw the result."""
    with tempfile.TemporaryDirectory() as folder:
        color, copy = Path(folder) / "color.mp4", Path(folder) / "copy.mp4"
        bw = probe(SAMPLE_FILM)
        network = load(find_model(DEFAULT_MODEL))
        for _ in colorize(bw, color, network, ColorizeOptions(), torch.device("cpu")):
            pass
        wear(color, copy)
        worn = probe(copy)
        save_sync_preview(bw, worn, align(bw, worn), PICTURE)


if __name__ == "__main__":
    main()

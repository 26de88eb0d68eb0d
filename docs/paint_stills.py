"""Stands in for a painter: gives stills of the sample film the colours of its photographs.

The sample film is made of colour photographs, so that what a painter would have to imagine is
known. Of a folder of pairs taken from it, every colour still is painted anew, on its own luma::

    python docs/paint_stills.py pairs
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from make_sample import HEIGHT, SHOT_FRAMES, SHOTS, WIDTH, ease
from PIL import Image

from filmcolorizer_cli.color import rgb_to_ycbcr, ycbcr_to_rgb
from filmcolorizer_cli.pairs import read_pairs
from filmcolorizer_cli.pictures import to_bytes
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE


def main(folder: Annotated[Path, typer.Argument(help="The folder of pairs.")]) -> None:
    """Paint the colour stills of pairs of the sample film."""
    pairs = read_pairs(folder)
    for pair in pairs.pairs:
        grey, _, _ = pairs.read(pair)
        photograph = view_at(round(pair.bw_seconds * TIMELINE_FRAME_RATE))
        painting = photograph.resize((pairs.width, pairs.height), Image.Resampling.BICUBIC)
        rgb = torch.from_numpy(np.array(painting)).permute(2, 0, 1).float() / 255  # (3, H, W)
        ycbcr = rgb_to_ycbcr(rgb)
        ycbcr[0] = torch.from_numpy(grey.copy()).float() / 255
        painted = to_bytes(ycbcr_to_rgb(ycbcr))
        Image.fromarray(painted).save(folder / "color" / f"{pair.name}.png")
    print(f"painted {len(pairs.pairs)} stills")


def view_at(frame: int) -> Image.Image:
    """What the camera of the sample film sees of the photograph, in colour."""
    shot = SHOTS[min(frame // SHOT_FRAMES, len(SHOTS) - 1)]
    share = ease(frame % SHOT_FRAMES / (SHOT_FRAMES - 1))
    box = shot.first.towards(shot.last, share).box(np.zeros(2))
    photograph = Image.fromarray(shot.photograph())
    return photograph.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box)


if __name__ == "__main__":
    typer.run(main)

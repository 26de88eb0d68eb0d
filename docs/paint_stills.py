"""Stand in for a painter: give stills of the sample film the colours of its photographs.

The sample film is made of colour photographs, so the true colours that a painter would imagine are
known. Every colour still in a folder of pairs is overwritten with them, on the grey still's luma::

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
    """Overwrite the colour stills of pairs of the sample film with their true colours."""
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
    """Return the sample film's frame of this number in colour, without wear."""
    shot = SHOTS[min(frame // SHOT_FRAMES, len(SHOTS) - 1)]
    share = ease(frame % SHOT_FRAMES / (SHOT_FRAMES - 1))
    box = shot.first.towards(shot.last, share).box(np.zeros(2))
    photograph = Image.fromarray(shot.photograph())
    return photograph.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box)


if __name__ == "__main__":
    typer.run(main)

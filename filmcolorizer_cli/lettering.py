"""Letters in pictures."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from PIL import ImageFont


def load_font(size: float) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic and some others.

    Args:
        size: in pixels.
    """
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, size)


def shortened(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """Text that takes no more than so many pixels; what is too much is left out in its middle.

    There the names of versions of one film are the same.
    """
    kept = len(text)
    short = text
    while font.getlength(short) > room and kept:
        kept -= 1
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return short

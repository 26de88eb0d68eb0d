"""Letters in pictures."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

LAST_RESORT = "LastResort"  # Apple's font, which has a box for each letter
ELLIPSIS, REPLACEMENT = "…", "\N{REPLACEMENT CHARACTER}"


def load_font(size: float, text: str = "") -> ImageFont.FreeTypeFont:
    """A font for a text: DejaVu Sans, which comes with matplotlib, where it has all its letters.

    It has those of Latin, Greek, Cyrillic and some others. For Chinese, Japanese and the like the
    machine's first font is taken that has them; where none has, they come out as boxes.

    Args:
        size: in pixels.
    """
    own = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    wanted = {ord(letter) for letter in text + ELLIPSIS if letter.isprintable()} - {ord(" ")}
    path = own
    if not wanted <= _letters_of(own):
        from matplotlib.font_manager import findSystemFonts  # which may take seconds to import

        found = sorted(font for font in findSystemFonts() if LAST_RESORT not in font)
        path = next((font for font in found if wanted <= _letters_of(font)), own)
    return ImageFont.truetype(path, size)


@cache
def _letters_of(font: str) -> frozenset[int]:
    """The code points that a font file has a picture of; none of a file that is no such font."""
    with suppress(OSError, RuntimeError):
        return frozenset(FT2Font(font).get_charmap())
    return frozenset()


def shortened(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """Text that takes no more than so many pixels; what is too much is left out in its middle.

    There the names of versions of one film are the same. What cannot be drawn, such as the end of a
    line in a file's name, is replaced.
    """
    text = "".join(letter if letter.isprintable() else REPLACEMENT for letter in text)
    kept = len(text)
    short = text
    while font.getlength(short) > room and kept:
        kept -= 1
        short = f"{text[: (kept + 1) // 2]}{ELLIPSIS}{text[len(text) - kept // 2 :]}"
    return short

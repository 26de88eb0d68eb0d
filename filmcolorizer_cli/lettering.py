"""Fonts and fitting for text in pictures."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

LAST_RESORT = "LastResort"  # Apple's font that has a placeholder box for every character
ELLIPSIS, REPLACEMENT = "…", "\N{REPLACEMENT CHARACTER}"


def load_font(size: float, text: str = "") -> ImageFont.FreeTypeFont:
    """Load a font for a text: DejaVu Sans, which comes with matplotlib, if it has all characters.

    It covers Latin, Greek, Cyrillic and some other scripts. For others, such as Chinese and
    Japanese, the machine's first font that covers the text is used; if there is none, missing
    characters appear as boxes.

    Args:
        size: font size in pixels.
    """
    own = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    wanted = {ord(letter) for letter in text + ELLIPSIS if letter.isprintable()} - {ord(" ")}
    path = own
    if not wanted <= _letters_of(own):
        from matplotlib.font_manager import findSystemFonts  # may take seconds to import

        found = sorted(font for font in findSystemFonts() if LAST_RESORT not in font)
        path = next((font for font in found if wanted <= _letters_of(font)), own)
    return ImageFont.truetype(path, size)


@cache
def _letters_of(font: str) -> frozenset[int]:
    """Return the code points that a font file has glyphs for; none if it cannot be read."""
    with suppress(OSError, RuntimeError):
        return frozenset(FT2Font(font).get_charmap())
    return frozenset()


def shortened(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """Shorten a text in its middle to at most so many pixels.

    The middle is where the names of versions of one film are alike. Characters that cannot be
    drawn, such as a line break in a file name, are replaced.
    """
    text = "".join(letter if letter.isprintable() else REPLACEMENT for letter in text)
    kept = len(text)
    short = text
    while font.getlength(short) > room and kept:
        kept -= 1
        short = f"{text[: (kept + 1) // 2]}{ELLIPSIS}{text[len(text) - kept // 2 :]}"
    return short

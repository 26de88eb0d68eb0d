"""Planes of samples, and the coding of their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
DeepPlane = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16, by the bit depth of its `Coding`
Floats = NDArray[np.float32]
CODE_DEPTHS = (8, 10, 12, 16)  # bit depths of planes; those in between are read at the next


@dataclass(frozen=True)
class Coding:
    """The coding of Y'CbCr as integers, and their colorimetry.

    Attributes:
        bit_depth: bits per code, one of ``CODE_DEPTHS``.
        range: range of luma codes: 16 to 235 at 8 bits (limited), or all (full).
        matrix: a key of ``color.MATRICES``.
        primaries, transfer: as numbered in ITU-T H.273 (ColourPrimaries, TransferCharacteristics);
            1 is BT.709.
    """

    bit_depth: int = 8
    range: Literal["limited", "full"] = "limited"
    matrix: str = "bt709"
    primaries: int = 1
    transfer: int = 1

    @property
    def sample_type(self) -> type[np.uint8] | type[np.uint16]:
        """NumPy type of a plane's samples."""
        return np.uint8 if self.bit_depth == 8 else np.uint16

    def pixel_format(self, layout: str) -> str:
        """Return ffmpeg's name of a layout such as ``yuv420p`` or ``gray`` at this bit depth."""
        return layout if self.bit_depth == 8 else f"{layout}{self.bit_depth}le"


PLAIN = Coding()  # the coding that even the most limited players support
BLACK, WHITE, NEUTRAL = 16, 235, 128  # luma codes, and the chroma code of no colour, in that coding
SMALL_SIZE = 32, 24  # width and height of frames in which small movements do not count


def quantile(codes: Plane, share: float) -> float:
    """Return the code that this share of a plane is darker than, as `numpy.quantile` does.

    Counting the 256 codes takes an eighth of the time of its sorting.

    Args:
        codes: array of any shape, not empty.
        share: from 0 to 1.
    """
    up_to = np.bincount(codes.ravel(), minlength=256).cumsum()
    place = share * (codes.size - 1)
    ranks = int(place), min(int(place) + 1, codes.size - 1)
    below, above = np.searchsorted(up_to, ranks, side="right").tolist()
    return float(below + (place - ranks[0]) * (above - below))

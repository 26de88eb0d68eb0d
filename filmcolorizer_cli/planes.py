"""Planes of samples, and how these are coded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
DeepPlane = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16, by the depth of its `Coding`
Floats = NDArray[np.float32]
CODE_DEPTHS = (8, 10, 12, 16)  # bits that planes are read with; what lies between takes the next


@dataclass(frozen=True)
class Coding:
    """How Y'CbCr is coded as whole numbers, and what they stand for.

    Attributes:
        bit_depth: of a code, one of ``CODE_DEPTHS``.
        range: of luma, from 16 to 235 at 8 bits, or all there is.
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
        """What a plane's samples are."""
        return np.uint8 if self.bit_depth == 8 else np.uint16

    def pixel_format(self, layout: str) -> str:
        """ffmpeg's name for a layout such as ``yuv420p`` or ``gray`` at this depth."""
        return layout if self.bit_depth == 8 else f"{layout}{self.bit_depth}le"


PLAIN = Coding()  # what players take that take little
NEUTRAL = 128  # its code of chroma of no colour


def quantile(codes: Plane, share: float) -> float:
    """The code that so much of a plane is darker than, as `numpy.quantile` has it.

    That sorts; there are but 256 codes to count, in an eighth of the time.

    Args:
        codes: one or more, of any shape.
        share: from 0 to 1.
    """
    up_to = np.bincount(codes.ravel(), minlength=256).cumsum()
    place = share * (codes.size - 1)
    ranks = int(place), min(int(place) + 1, codes.size - 1)
    below, above = np.searchsorted(up_to, ranks, side="right").tolist()
    return float(below + (place - ranks[0]) * (above - below))

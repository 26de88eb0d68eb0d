"""Parts of a picture, in pixels and in [0, 1] of its sides, and maps from one to another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import DeepPlane

Affine = NDArray[np.float64]  # (2, 3), takes a point (x, y, 1) to another one

RIM = 1  # pixel, at the edge of a part of a picture, that its surroundings show through
_CORNERS = np.array(((0, 1, 0, 1), (0, 0, 1, 1), (1, 1, 1, 1)))  # of a picture, as columns


def composed(after: Affine, before: Affine) -> Affine:
    """The affine map that applies ``before``, then ``after``."""
    return np.asarray(after @ np.vstack((before, (0, 0, 1))))


def inverse(affine: Affine) -> Affine:
    """The affine map the other way."""
    return np.asarray(np.linalg.inv(np.vstack((affine, (0, 0, 1))))[:2])


def translation(across: float, down: float) -> Affine:
    """The affine map that moves by so much, in [0, 1] of the sides."""
    return np.array(((1, 0, across), (0, 1, down)))


def farthest_move(difference: Affine) -> float:
    """How far apart two affine maps take a corner of a picture, in x or in y, at most."""
    return float(np.abs(difference @ _CORNERS).max())


class Area(NamedTuple):
    """A part of a picture in [0, 1] of its sides, from the top left; all of it by default."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def trimmed(self, shape: float) -> Area:
        """The middle of it that is ``shape`` times as wide as high."""
        across = max(self.width - self.height * shape, 0) / 2
        down = max(self.height - self.width / shape, 0) / 2
        return Area(self.left + across, self.top + down, self.right - across, self.bottom - down)

    def within(self, outer: Area) -> Area:
        """Where it lies in another one, in [0, 1] of that; what is beyond is left out."""
        across = ((edge - outer.left) / outer.width for edge in (self.left, self.right))
        down = ((edge - outer.top) / outer.height for edge in (self.top, self.bottom))
        (left, right), (top, bottom) = (
            (min(max(edge, 0.0), 1.0) for edge in edges) for edges in (across, down)
        )
        return Area(left, top, right, bottom)

    def kept(self, across: float, down: float) -> Area:
        """What is still in it when it moves so far to the right and down."""
        return Area(
            self.left + max(across, 0),
            self.top + max(down, 0),
            self.right + min(across, 0),
            self.bottom + min(down, 0),
        )

    def inner_pixels(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """The rows and columns of a picture (H, W) that show nothing from beyond it."""
        return _inner(self.top, self.bottom, shape[0]), _inner(self.left, self.right, shape[1])

    def affine(self) -> Affine:
        """What takes points of it, in [0, 1] of its own, to the whole picture."""
        return np.array(((self.width, 0, self.left), (0, self.height, self.top)))


WHOLE = Area()


def _inner(begin: float, end: float, side: int) -> slice:
    first = math.ceil(begin * side) + RIM if begin > 0 else 0
    last = math.floor(end * side) - RIM if end < 1 else side
    return slice(first, max(last, first))


@dataclass(frozen=True)
class PixelArea:
    """The picture inside its bars, in pixels of the upright frame.

    All edges are even, so that chroma planes of half the size can be cut as well, but for an edge
    of the frame itself where that is odd.
    """

    left: int
    top: int
    width: int
    height: int

    def of(self, luma: DeepPlane) -> DeepPlane:
        """The part of a luma plane (H, W) that is in it."""
        return luma[self.top : self.top + self.height, self.left : self.left + self.width]

    def of_chroma(self, chroma: DeepPlane) -> DeepPlane:
        """The part of chroma planes (2, ceil(H / 2), ceil(W / 2)) that is in it."""
        top, left = self.top // 2, self.left // 2
        bottom, right = top - -self.height // 2, left - -self.width // 2
        return chroma[:, top:bottom, left:right]

    def within(self, width: int, height: int) -> Area:
        """In [0, 1] of the sides of a frame of this size."""
        right, bottom = self.left + self.width, self.top + self.height
        return Area(self.left / width, self.top / height, right / width, bottom / height)

    def scaled(self, before: tuple[int, int], after: tuple[int, int]) -> PixelArea:
        """The same part of a frame that was resized, from and to these widths and heights."""
        left, right = (
            _scaled_edge(edge, before[0], after[0]) for edge in (self.left, self.left + self.width)
        )
        top, bottom = (
            _scaled_edge(edge, before[1], after[1]) for edge in (self.top, self.top + self.height)
        )
        return PixelArea(left, top, right - left, bottom - top)

    def framed(self, chroma: DeepPlane, shape: tuple[int, ...], neutral: int) -> DeepPlane:
        """Chroma of the area (2, ceil(height / 2), ceil(width / 2)), with neutral bars around it.

        Args:
            shape: of the frame's luma.
            neutral: the code of no colour.
        """
        if shape == (self.height, self.width):
            return chroma
        top, left = self.top // 2, self.left // 2
        bottom = -(-shape[0] // 2) - top - chroma.shape[1]
        right = -(-shape[1] // 2) - left - chroma.shape[2]
        return np.pad(chroma, ((0, 0), (top, bottom), (left, right)), constant_values=neutral)


def _scaled_edge(edge: int, before: int, after: int) -> int:
    """The even place of an edge when a side becomes so long; its end stays its end."""
    return after if edge == before else round(edge * after / before / 2) * 2

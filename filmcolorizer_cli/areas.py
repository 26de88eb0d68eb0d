"""Areas of a picture, in pixels or as shares of its sides, and affine maps between pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import DeepPlane

Affine = NDArray[np.float64]  # (2, 3), maps a point (x, y, 1) to another point

RIM = 1  # pixels at an area's edge that may be mixed with its surroundings
_CORNERS = np.array(((0, 1, 0, 1), (0, 0, 1, 1), (1, 1, 1, 1)))  # a picture's corners, as columns


def composed(after: Affine, before: Affine) -> Affine:
    """Return the affine map that applies ``before``, then ``after``."""
    return np.asarray(after @ np.vstack((before, (0, 0, 1))))


def inverse(affine: Affine) -> Affine:
    """Return the inverse of an affine map."""
    return np.asarray(np.linalg.inv(np.vstack((affine, (0, 0, 1))))[:2])


def translation(across: float, down: float) -> Affine:
    """Return the affine map that moves points by these shares of a picture's sides."""
    return np.array(((1, 0, across), (0, 1, down)))


def farthest_move(difference: Affine) -> float:
    """Return how far apart, in x or y, two maps with this difference move a corner at most."""
    return float(np.abs(difference @ _CORNERS).max())


class Area(NamedTuple):
    """An area as shares of a picture's sides, from the top left; by default the whole picture."""

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
        """Return the largest centred part of the area that is ``shape`` times as wide as high."""
        across = max(self.width - self.height * shape, 0) / 2
        down = max(self.height - self.width / shape, 0) / 2
        return Area(self.left + across, self.top + down, self.right - across, self.bottom - down)

    def within(self, outer: Area) -> Area:
        """Return this area in shares of another area's sides, clipped to that area."""
        across = ((edge - outer.left) / outer.width for edge in (self.left, self.right))
        down = ((edge - outer.top) / outer.height for edge in (self.top, self.bottom))
        (left, right), (top, bottom) = (
            (min(max(edge, 0.0), 1.0) for edge in edges) for edges in (across, down)
        )
        return Area(left, top, right, bottom)

    def overlap_when_moved(self, across: float, down: float) -> Area:
        """Return the overlap of the area with itself moved this far to the right and down."""
        return Area(
            self.left + max(across, 0),
            self.top + max(down, 0),
            self.right + min(across, 0),
            self.bottom + min(down, 0),
        )

    def inner_pixels(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the rows and columns of a picture (H, W) that show nothing outside the area."""
        return _inner(self.top, self.bottom, shape[0]), _inner(self.left, self.right, shape[1])

    def affine(self) -> Affine:
        """Return the affine map from shares of the area's sides to shares of the picture's."""
        return np.array(((self.width, 0, self.left), (0, self.height, self.top)))


WHOLE = Area()


def _inner(begin: float, end: float, side: int) -> slice:
    first = math.ceil(begin * side) + RIM if begin > 0 else 0
    last = math.floor(end * side) - RIM if end < 1 else side
    return slice(first, max(last, first))


@dataclass(frozen=True)
class PixelArea:
    """The picture inside its bars, in pixels of the upright frame.

    All edges are even, so that chroma planes of half the size can be cut as well. Only an edge that
    coincides with an odd edge of the frame is odd.
    """

    left: int
    top: int
    width: int
    height: int

    def crop(self, luma: DeepPlane) -> DeepPlane:
        """Return the part of a luma plane (H, W) inside the area."""
        return luma[self.top : self.top + self.height, self.left : self.left + self.width]

    def crop_chroma(self, chroma: DeepPlane) -> DeepPlane:
        """Return the part of chroma planes (2, ceil(H / 2), ceil(W / 2)) inside the area."""
        top, left = self.top // 2, self.left // 2
        bottom, right = top - -self.height // 2, left - -self.width // 2
        return chroma[:, top:bottom, left:right]

    def as_shares(self, width: int, height: int) -> Area:
        """Return the area in shares of the sides of a frame of this size."""
        right, bottom = self.left + self.width, self.top + self.height
        return Area(self.left / width, self.top / height, right / width, bottom / height)

    def scaled(self, before: tuple[int, int], after: tuple[int, int]) -> PixelArea:
        """Return the area of a frame resized from and to these sizes (width, height)."""
        left, right = (
            _scaled_edge(edge, before[0], after[0]) for edge in (self.left, self.left + self.width)
        )
        top, bottom = (
            _scaled_edge(edge, before[1], after[1]) for edge in (self.top, self.top + self.height)
        )
        return PixelArea(left, top, right - left, bottom - top)

    def pad_to_frame(self, chroma: DeepPlane, shape: tuple[int, ...], neutral: int) -> DeepPlane:
        """Pad the area's chroma (2, ceil(height / 2), ceil(width / 2)) with neutral bars.

        Args:
            shape: shape of the frame's luma.
            neutral: the chroma code of no colour.
        """
        if shape == (self.height, self.width):
            return chroma
        top, left = self.top // 2, self.left // 2
        bottom = -(-shape[0] // 2) - top - chroma.shape[1]
        right = -(-shape[1] // 2) - left - chroma.shape[2]
        return np.pad(chroma, ((0, 0), (top, bottom), (left, right)), constant_values=neutral)


def _scaled_edge(edge: int, before: int, after: int) -> int:
    """Return an edge's place on a resized side, rounded to even; the side's end stays its end."""
    return after if edge == before else round(edge * after / before / 2) * 2

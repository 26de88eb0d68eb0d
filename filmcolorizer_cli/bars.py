"""Detection of the picture area inside black bars."""

from __future__ import annotations

from collections import deque

import numpy as np

from filmcolorizer_cli.areas import PixelArea
from filmcolorizer_cli.planes import Plane

MAX_BLACK = 40  # luma code up to which a bar may be lifted, with its noise
PICTURE_LIFT = 10  # luma codes by which the picture must exceed the bar somewhere in the film
MIN_LIT = 0.6  # share of a bar's inner edge along which the picture must start
MIN_LIT_INSIDE = 0.9  # share of the rows (columns) between bars that must be lit; titles light less
EDGE_TOLERANCE = 0.02  # share of the side by which an edge may be slanted, bent or blurred
EDGE_TOLERANCE_PIXELS = 4  # minimum of that tolerance, in pixels
# Widths of bars. The dark part of a scene may look like one bar, but seldom like two similar ones.
MAX_BAR = 0.3  # share of the side
MAX_LONE_BAR = 0.04  # share of the side, for a bar without a counterpart at the other end
MIN_BAR_OF_OTHER = 0.5  # share of the other bar's width from which a bar is its counterpart

PEAK_FRAMES = 3  # consecutive frames in which a pixel must be lit to count as picture
EDGE_CELLS = 4  # blur of two opposite edges together, in pixels of small frames


class Peaks:
    """Highest brightness of each pixel of small frames, over all frames.

    Runs of full-size frames are seconds apart, in long films half a minute. A wider picture that is
    shown only between them would be taken for bars. Specks are ignored, and so is any widening
    within the blur of the edges.

    Args:
        height, width: H and W of the small frames.
    """

    def __init__(self, height: int, width: int) -> None:
        self._recent: deque[Plane] = deque(maxlen=PEAK_FRAMES)
        self._peaks = np.zeros((height, width), np.uint8)

    def add(self, luma: Plane) -> None:
        """Add the next frame (H, W), limited range."""
        self._recent.append(luma)
        if len(self._recent) == PEAK_FRAMES:
            np.maximum(self._peaks, np.minimum.reduce(list(self._recent)), out=self._peaks)

    def widened(
        self, area: PixelArea, rows: Plane, columns: Plane, max_black: float = MAX_BLACK
    ) -> PixelArea:
        """Return the area found in runs, or a wider one if there is picture outside it.

        Args:
            rows, columns, max_black: those of the runs, as `find_area` takes them.
        """
        if not len(rows) or not len(columns):
            return area
        padded = np.pad(self._peaks, 1, mode="edge")
        inner = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).min(axis=(2, 3))
        wider = find_area(
            np.concatenate((rows, _stretched(inner, *rows.shape[1:])[None])),
            np.concatenate((columns, _stretched(inner, *columns.shape[1:])[None])),
            max_black,
        )
        height, width = self._peaks.shape
        more_rows = (wider.height - area.height) * height / rows.shape[1]
        more_columns = (wider.width - area.width) * width / columns.shape[2]
        return wider if max(more_rows, more_columns) > EDGE_CELLS else area


def _stretched(plane: Plane, height: int, width: int) -> Plane:
    """Resize a plane by nearest neighbour."""
    row = np.arange(height) * plane.shape[0] // height
    column = np.arange(width) * plane.shape[1] // width
    return plane[row][:, column]


def find_area(rows: Plane, columns: Plane, max_black: float = MAX_BLACK) -> PixelArea:
    """Find the picture inside black bars.

    Args:
        rows: (N, height, parts), mean luma of parts of the rows of N frames, uint8, limited range.
        columns: (N, parts, width), the same for parts of the columns.
        max_black: the code up to which a bar may be lifted.
    """
    height, width = rows.shape[1], columns.shape[2]
    if not len(rows) or not len(columns):
        return PixelArea(0, 0, width, height)
    # What is picture in one frame counts as picture in all of them.
    row_peaks, column_peaks = rows.max(axis=0), columns.max(axis=0).T
    top, bottom = _bars(row_peaks, max_black)
    left, right = _bars(_inside(column_peaks, top, bottom, height), max_black)
    top, bottom = _bars(_inside(row_peaks, left, right, width), max_black)
    left, top = left - left % 2, top - top % 2
    right_edge, bottom_edge = width - right, height - bottom
    right_edge = min(right_edge + right_edge % 2, width)
    bottom_edge = min(bottom_edge + bottom_edge % 2, height)
    return PixelArea(left, top, right_edge - left, bottom_edge - top)


def _inside(peaks: Plane, before: int, after: int, side: int) -> Plane:
    """Select the parts of peaks (lines, parts) that lie wholly between the bars across them."""
    edges = np.linspace(0, side, peaks.shape[1] + 1)
    return peaks[:, (edges[:-1] >= before) & (edges[1:] <= side - after)]


def _bars(peaks: Plane, max_black: float) -> tuple[int, int]:
    """Return how many of the first and of the last lines of peak luma (lines, parts) are bars."""
    side = len(peaks)
    bars = [_bar(peaks, max_black), _bar(peaks[::-1], max_black)]
    for number, other in ((0, bars[1]), (1, bars[0])):
        if bars[number] > MAX_LONE_BAR * side and other < MIN_BAR_OF_OTHER * bars[number]:
            bars[number] = 0
    return bars[0], bars[1]


def _bar(peaks: Plane, max_black: float) -> int:
    """Return how many of the first lines of peak luma (lines, parts) are certainly a bar."""
    side = len(peaks)
    black = float(np.median(peaks[0]))
    if black > max_black:
        return 0
    lit = (peaks > black + PICTURE_LIFT).mean(axis=1)
    picture = np.flatnonzero(lit >= MIN_LIT)
    bar = int(np.argmax(lit > 0))
    if not len(picture) or bar > MAX_BAR * side:
        return 0
    tolerance = max(EDGE_TOLERANCE * side, EDGE_TOLERANCE_PIXELS)
    is_straight = picture[0] - bar <= tolerance
    is_filled = len(picture) >= MIN_LIT_INSIDE * (picture[-1] + 1 - picture[0])
    return bar if is_straight and is_filled else 0

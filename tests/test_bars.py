"""Bars in synthetic lines; `test_survey` covers those of films."""

from __future__ import annotations

import numpy as np

from filmcolorizer_cli.areas import PixelArea
from filmcolorizer_cli.bars import find_area


def test_find_area_without_frames_is_the_whole_frame() -> None:
    rows, columns = np.zeros((0, 360, 12), np.uint8), np.zeros((0, 12, 640), np.uint8)
    assert find_area(rows, columns) == PixelArea(0, 0, 640, 360)


def test_find_area_is_what_any_frame_shows() -> None:
    """One frame is lit only in its left half, the other in its right half; the bars never are."""
    rows, columns = np.full((2, 100, 12), 16, np.uint8), np.full((2, 12, 200), 16, np.uint8)
    rows[0, 10:90, :6] = rows[1, 10:90, 6:] = 100
    columns[0, 1:11, :100] = columns[1, 1:11, 100:] = 100
    assert find_area(rows, columns) == PixelArea(0, 10, 200, 80)

from __future__ import annotations

import numpy as np
import pytest
import torch

from filmcolorizer_cli.pictures import picture_to_rgb, to_bytes, to_rgb
from tests.colors import BT709_BARS_100


def test_to_rgb_of_published_colour_bars() -> None:
    bars = np.array([[*BT709_BARS_100.values()]], np.uint8)  # (1, 8, 3)
    expected = 255 * np.array([[*BT709_BARS_100]])
    assert np.abs(to_rgb(bars, "bt709").astype(int) - expected).max() <= 1
    assert np.abs(to_rgb(bars, "bt601").astype(int) - expected).max() > 20


def test_picture_to_rgb_enlarges_chroma_to_its_luma() -> None:
    luma, chroma = np.full((8, 12), 63, np.uint8), np.full((2, 4, 6), 102, np.uint8)
    chroma[1] = 240
    pixels = picture_to_rgb(luma, chroma, "bt709", (24, 16))
    assert (pixels.shape, pixels.dtype) == ((16, 24, 3), np.uint8)
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 1


@pytest.mark.parametrize(
    ("value", "code"), [(0.0, 0), (0.4 / 255, 0), (0.6 / 255, 1), (1.0, 255), (-0.1, 0), (1.1, 255)]
)
def test_to_bytes_rounds_and_clips(value: float, code: int) -> None:
    rgb = torch.zeros(3, 2, 4)
    rgb[1, 0, 2] = value
    pixels = to_bytes(rgb)
    assert (pixels.shape, pixels.dtype) == ((2, 4, 3), np.uint8)
    assert pixels[0, 2].tolist() == [0, code, 0]

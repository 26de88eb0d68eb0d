"""Colours and pictures of them, with reference values from standards and papers."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image

# 8-bit limited-range Y', Cb, Cr of colour bars, from ITU-R BT.709-6 and SMPTE RP 219.
BT709_BARS_100 = {
    (1, 1, 1): (235, 128, 128),
    (1, 1, 0): (219, 16, 138),
    (0, 1, 1): (188, 154, 16),
    (0, 1, 0): (173, 42, 26),
    (1, 0, 1): (78, 214, 230),
    (1, 0, 0): (63, 102, 240),
    (0, 0, 1): (32, 240, 118),
    (0, 0, 0): (16, 128, 128),
}
Color = tuple[float, float, float]
NEUTRAL: Color = (0.5, 0.5, 0.5)


def pixel(values: tuple[float, ...]) -> torch.Tensor:
    """Return one pixel as (1, C, 1, 1)."""
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def flat(color: Color, width: int = 32) -> torch.Tensor:
    """Return a picture (3, 32, width) of one colour."""
    return torch.tensor(color)[:, None, None].expand(-1, 32, width)


def random_rgb(seed: int = 0) -> torch.Tensor:
    return noise(2, 3, 9, 11, seed=seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return noise in [0, 1]."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pillow_resize(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(plane.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def chroma_by_hand(color: Color) -> tuple[float, float]:
    red, green, blue = color
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # BT.709-6 item 3.2
    return (blue - luma) / 1.8556, (red - luma) / 1.5748  # item 3.3


def hasler_suesstrunk(photo: np.ndarray) -> float:
    """Return M^(3) of the paper, from the formulas of its section 7."""
    red, green, blue = (photo[..., channel].astype(float) for channel in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    sigma = math.hypot(np.std(rg), np.std(yb))
    mu = math.hypot(np.mean(rg), np.mean(yb))
    return sigma + 0.3 * mu

"""Random changes to pictures, so that training sees more than there is."""

from __future__ import annotations

import random

from torch import Tensor

from filmcolorizer_cli.color import resize


def random_square(
    picture: Tensor, size: int, dice: random.Random, *, least: float, mirrors: bool
) -> Tensor:
    """A square part of a picture.

    Args:
        picture: (C, H, W), uint8.
        size: to which the part is scaled, in pixels.
        least: the part's smallest side, as a share of the picture's short side.
        mirrors: whether half of the parts are mirrored.

    Returns:
        (C, size, size), in [0, 1].
    """
    height, width = picture.shape[-2:]
    side = round(min(height, width) * dice.uniform(least, 1.0))
    top, left = dice.randint(0, height - side), dice.randint(0, width - side)
    square = scaled_square(picture, top, left, side, size)
    return square.flip(-1) if mirrors and dice.random() < 0.5 else square


def scaled_square(picture: Tensor, top: int, left: int, side: int, size: int) -> Tensor:
    """One square part of a picture (C, H, W), uint8, scaled to (C, size, size) in [0, 1]."""
    square = picture[None, :, top : top + side, left : left + side].float() / 255
    return resize(square, size, size)[0].clamp(0, 1)


def vary_tone(luma: Tensor, dice: random.Random) -> Tensor:
    """Luma in [0, 1] as another copy shows it: with another gamma, crushed, faded or blown out.

    The result is not clipped.
    """
    low, high = dice.uniform(-0.15, 0.12), dice.uniform(0.8, 1.25)
    return luma.clamp(0, 1) ** dice.uniform(0.6, 1.6) * (high - low) + low

"""Random changes to pictures, so that training sees more than there is."""

from __future__ import annotations

import random

from torch import Tensor

from filmcolorizer_cli.color import resize

Size = tuple[int, int]  # height and width, in pixels


def random_part(
    picture: Tensor, size: Size, dice: random.Random, *, least: float, mirrors: bool
) -> Tensor:
    """A part of a picture, of the shape that it is scaled to.

    Args:
        picture: (C, H, W), uint8.
        size: to which the part is scaled.
        least: the part's smallest size, as a share of the largest part of this shape.
        mirrors: whether half of the parts are mirrored.

    Returns:
        (C, *size), in [0, 1].
    """
    height, width = picture.shape[-2:]
    scale = min(height / size[0], width / size[1]) * dice.uniform(least, 1.0)
    part = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    top, left = dice.randint(0, height - part[0]), dice.randint(0, width - part[1])
    scaled = scaled_part(picture, top, left, part, size)
    return scaled.flip(-1) if mirrors and dice.random() < 0.5 else scaled


def scaled_part(picture: Tensor, top: int, left: int, part: Size, size: Size) -> Tensor:
    """One part of a picture (C, H, W), uint8, scaled to (C, *size) in [0, 1]."""
    pixels = picture[None, :, top : top + part[0], left : left + part[1]].float() / 255
    return resize(pixels, *size)[0].clamp(0, 1)


def vary_tone(luma: Tensor, dice: random.Random) -> Tensor:
    """Luma in [0, 1] as another copy shows it: with another gamma, crushed, faded or blown out.

    The result is not clipped.
    """
    low, high = dice.uniform(-0.15, 0.12), dice.uniform(0.8, 1.25)
    return luma.clamp(0, 1) ** dice.uniform(0.6, 1.6) * (high - low) + low

"""Random changes to pictures, which increase the variety of the training data."""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor

from filmcolorizer_cli.color import resize

Size = tuple[int, int]  # height and width, in pixels


MAX_STRETCH = 0.4  # largest change to the logarithm of the aspect ratio
MIN_PATCH = 0.1  # smallest area of a patch, as a share of the picture's


def random_part(
    picture: Tensor,
    size: Size,
    rng: random.Random,
    *,
    least: float,
    mirrors: bool,
    stretch: float = 0.0,
) -> Tensor:
    """Crop a random part with about the aspect ratio of ``size``, and scale it to ``size``.

    Args:
        picture: (C, H, W), uint8.
        size: the size of the result.
        least: the part's smallest scale, as a share of the largest part of this shape.
        mirrors: whether half of the parts are mirrored.
        stretch: standard deviation of the random change to the logarithm of the part's aspect
            ratio, before the part is limited to the picture.

    Returns:
        (C, *size), in [0, 1].
    """
    height, width = picture.shape[-2:]
    scale = min(height / size[0], width / size[1]) * rng.uniform(least, 1.0)
    log_stretch = rng.gauss(0.0, stretch) if stretch else 0.0
    wider = math.exp(max(min(log_stretch, MAX_STRETCH), -MAX_STRETCH) / 2)
    part = (
        min(max(round(size[0] * scale / wider), 1), height),
        min(max(round(size[1] * scale * wider), 1), width),
    )
    top, left = rng.randint(0, height - part[0]), rng.randint(0, width - part[1])
    scaled = scaled_part(picture, top, left, part, size)
    return scaled.flip(-1) if mirrors and rng.random() < 0.5 else scaled


def scaled_part(picture: Tensor, top: int, left: int, part: Size, size: Size) -> Tensor:
    """Crop this part of a picture (C, H, W), uint8, and scale it to (C, *size) in [0, 1]."""
    pixels = picture[None, :, top : top + part[0], left : left + part[1]].float() / 255
    return resize(pixels, *size)[0].clamp(0, 1)


def vary_tone(luma: Tensor, rng: random.Random) -> Tensor:
    """Change the tone of luma in [0, 1] as another copy might: gamma, crushed, faded or blown out.

    The result is not clipped.
    """
    low, high = rng.uniform(-0.15, 0.12), rng.uniform(0.8, 1.25)
    return luma.clamp(0, 1) ** rng.uniform(0.6, 1.6) * (high - low) + low


def patched(
    pictures: Tensor, share: float, generator: torch.Generator, *, largest: float
) -> Tensor:
    """Paste a rectangle of the previous picture of the batch into a share of the pictures.

    This keeps the network from recognizing whole pictures. Source: Yun et al. 2019, "CutMix".

    Args:
        pictures: (B, C, H, W).
        generator: on the pictures' device.
        largest: area of the largest rectangles, as a share of the picture's.
    """
    count, _, height, width = pictures.shape
    device = pictures.device

    def uniform() -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator, device=device)

    area = MIN_PATCH + (largest - MIN_PATCH) * uniform()
    shape = (2 * uniform() - 1).exp()
    tall, wide = (area * shape).sqrt().clamp_max(1), (area / shape).sqrt().clamp_max(1)
    top, left = uniform() * (1 - tall), uniform() * (1 - wide)
    rows = torch.linspace(0, 1, height, device=device)[:, None]
    columns = torch.linspace(0, 1, width, device=device)
    is_inside = (rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide)
    return torch.where((uniform() < share) & is_inside, pictures.roll(1, dims=0), pictures)

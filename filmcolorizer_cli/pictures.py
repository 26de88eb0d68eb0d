"""R'G'B' pictures (H, W, 3), uint8, for display, from films and networks.

Separate from `frames`, because lining up films needs that module but not torch, which loads slowly.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from filmcolorizer_cli.color import chroma_from_codes, luma_from_codes, luma_to_codes, ycbcr_to_rgb
from filmcolorizer_cli.frames import read_ycbcr
from filmcolorizer_cli.planes import DeepPlane, Plane
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import Film


def read_rgb(film: Film, sampling: Sampling) -> Generator[Plane, None, None]:
    """Yield pictures (height, width, 3) of R', G' and B', uint8.

    Raises:
        VideoError: the film is broken or cut short; ffmpeg's last words are in the message.
    """
    with closing(read_ycbcr(film, sampling)) as pictures:
        for ycbcr in pictures:
            yield to_rgb(ycbcr, film.coding.matrix)


def to_rgb(ycbcr: Plane, matrix: str) -> Plane:
    """Convert Y'CbCr (H, W, 3), limited range, of this matrix to R'G'B' (H, W, 3); both uint8."""
    codes = torch.from_numpy(np.ascontiguousarray(ycbcr.transpose(2, 0, 1)))  # (3, H, W)
    luma = luma_from_codes(codes[:1], range="limited")
    chroma = chroma_from_codes(codes[1:], range="limited")
    return to_bytes(ycbcr_to_rgb(torch.cat((luma, chroma)), matrix))


def picture_to_rgb(luma: DeepPlane, chroma: DeepPlane, matrix: str, size: tuple[int, int]) -> Plane:
    """Convert luma (H, W) and chroma (2, h, w), limited range, to R'G'B' (height, width, 3).

    All are uint8.

    Args:
        matrix: the picture's matrix, a key of ``color.MATRICES``.
        size: width and height of the result.
    """
    planes = (Image.fromarray(plane) for plane in (luma, *chroma))
    resized = [plane.resize(size, Image.Resampling.BICUBIC) for plane in planes]
    return to_rgb(np.dstack([np.asarray(plane) for plane in resized]), matrix)


def to_bytes(rgb: Tensor) -> Plane:
    """Convert R'G'B' (3, H, W), black at 0 and white at 1, to uint8 (H, W, 3), clipped."""
    pixels: Plane = luma_to_codes(rgb, range="full").permute(1, 2, 0).contiguous().numpy()
    return pixels

"""Y'CbCr and RGB: matrices, ranges, bit depths.

Computations use float32 tensors: luma Y' and R'G'B' in [0, 1], chroma Cb and Cr in [-0.5, 0.5].
Only this module defines what integer codes stand for. It also scales them, except those of whole
frames, which `painting` and `upsampling` scale as numpy planes with the values defined here.

Sources: ITU-R BT.601-7 section 2.5, ITU-R BT.709-6 sections 3 and 4, ITU-R BT.2020-2 tables 4 and 5
(non-constant luminance); full range as in JFIF 1.02 and ITU-T H.273 (VideoFullRangeFlag).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Range = Literal["limited", "full"]


@dataclass(frozen=True)
class Matrix:
    """The luma coefficients of a Y'CbCr matrix; the three sum to 1."""

    kr: float
    kb: float

    @property
    def kg(self) -> float:
        return 1.0 - self.kr - self.kb


MATRICES: dict[str, Matrix] = {
    "bt601": Matrix(kr=0.299, kb=0.114),
    "bt709": Matrix(kr=0.2126, kb=0.0722),
    "bt2020": Matrix(kr=0.2627, kb=0.0593),
}

# The matrix of all input and output of networks.
WORKING_MATRIX = "bt709"

MIN_KNOWN = 0.05  # share of a pixel's colour that must be known, else rounding errors dominate


def rgb_to_ycbcr(rgb: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
    """Convert R'G'B' to Y'CbCr.

    Args:
        rgb: (..., 3, H, W), in [0, 1].
        matrix: a key of ``MATRICES``.

    Returns:
        (..., 3, H, W): Y' in [0, 1], Cb and Cr in [-0.5, 0.5].
    """
    m = MATRICES[matrix]
    red, green, blue = rgb.unbind(-3)
    luma = m.kr * red + m.kg * green + m.kb * blue
    cb = (blue - luma) / (2 * (1 - m.kb))
    cr = (red - luma) / (2 * (1 - m.kr))
    return torch.stack((luma, cb, cr), dim=-3)


def ycbcr_to_rgb(ycbcr: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
    """Convert Y'CbCr to R'G'B', the exact inverse of `rgb_to_ycbcr`; the result is not clipped.

    Args:
        ycbcr: (..., 3, H, W): Y' in [0, 1], Cb and Cr in [-0.5, 0.5].
        matrix: a key of ``MATRICES``.

    Returns:
        (..., 3, H, W), in [0, 1] where the colour lies in the RGB gamut.
    """
    m = MATRICES[matrix]
    luma, cb, cr = ycbcr.unbind(-3)
    red = 2 * (1 - m.kr) * cr
    blue = 2 * (1 - m.kb) * cb
    green = -(m.kr * red + m.kb * blue) / m.kg
    return torch.stack((luma + red, luma + green, luma + blue), dim=-3)


def change_matrix(chroma: Tensor, before: str, after: str) -> Tensor:
    """Convert chroma (..., 2, H, W) of one matrix to that of the same colours in another matrix.

    Luma is not needed: it would change too, but with luma left as it is, the differences between
    red, green and blue stay the same.
    """
    if before == after:
        return chroma
    no_luma = torch.zeros_like(chroma[..., :1, :, :])
    rgb = ycbcr_to_rgb(torch.cat((no_luma, chroma), dim=-3), before)
    return rgb_to_ycbcr(rgb, after)[..., 1:, :, :]


def unpremultiplied(rgb: Tensor, known: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
    """Restore the colours of pixels that resizing has mixed with grey ones of unknown colour.

    Luma is kept, unless the result is clipped to [0, 1].

    Args:
        rgb: (B, 3, H, W) in [0, 1].
        known: (B, 1, H, W), the share of each pixel whose colour is known; the rest is grey. Where
            it is below ``MIN_KNOWN``, the colours stay too pale.
        matrix: the matrix that defines luma, a key of ``MATRICES``.
    """
    if bool((known == 1).all()):
        return rgb
    ycbcr = rgb_to_ycbcr(rgb, matrix)
    chroma = ycbcr[:, 1:] / known.clamp_min(MIN_KNOWN)
    colors = ycbcr_to_rgb(torch.cat((ycbcr[:, :1], chroma), dim=1), matrix).clamp(0, 1)
    return torch.where(known < 1, colors, rgb)


def with_luma(rgb: Tensor, luma: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
    """Give colours another luma, with the same chroma, or paler where it leaves the gamut.

    Args:
        rgb: (..., 3, H, W) in [0, 1].
        luma: (..., 1, H, W) in [0, 1].
        matrix: the matrix that defines luma, a key of ``MATRICES``.

    Returns:
        (..., 3, H, W) in [0, 1].
    """
    color = rgb - rgb_to_ycbcr(rgb, matrix)[..., :1, :, :]  # contribution of chroma to R'G'B'
    most, least = (bound.clamp_min(1e-6) for bound in (color.amax(-3), -color.amin(-3)))
    room = torch.minimum((1 - luma) / most.unsqueeze(-3), luma / least.unsqueeze(-3))
    return (luma + color * room.clamp_max(1)).clamp(0, 1)


def half_size(planes: Tensor) -> Tensor:
    """Average 2x2 blocks, (B, C, H, W) to (B, C, ceil(H/2), ceil(W/2)), as for 4:2:0 chroma."""
    return F.avg_pool2d(planes, 2, ceil_mode=True, count_include_pad=False)


def resize(planes: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, C, H, W) to (B, C, height, width), bilinearly and without aliasing."""
    if planes.shape[-2:] == (height, width):
        return planes
    shrinks = height < planes.shape[-2] or width < planes.shape[-1]
    return F.interpolate(
        planes, size=(height, width), mode="bilinear", align_corners=False, antialias=shrinks
    )


def colored(luma: Tensor, chroma: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
    """Combine luma and chroma into R'G'B' (B, 3, H, W) in [0, 1], paler where outside the gamut.

    Args:
        luma: (B, 1, H, W), in [0, 1].
        chroma: (B, 2, h, w), in [-0.5, 0.5], of any size.
        matrix: the matrix of both, a key of ``MATRICES``.
    """
    full = resize(chroma, *luma.shape[-2:])
    return with_luma(ycbcr_to_rgb(torch.cat((luma, full), dim=1), matrix), luma, matrix)


@dataclass(frozen=True)
class CodeScale:
    """Coding of values: ``value * span + offset``, rounded, clipped to ``lowest``..``highest``."""

    offset: float
    span: float
    lowest: float
    highest: float


def luma_code_scale(range: Range, bit_depth: int) -> CodeScale:
    """Return the scale of luma in [0, 1]."""
    if range == "full":
        return CodeScale(0.0, 2.0**bit_depth - 1, 0.0, 2.0**bit_depth - 1)
    unit = 2.0 ** (bit_depth - 8)
    return CodeScale(16 * unit, 219 * unit, 16 * unit, 235 * unit)


def chroma_code_scale(range: Range, bit_depth: int) -> CodeScale:
    """Return the scale of chroma in [-0.5, 0.5]."""
    neutral = 2.0 ** (bit_depth - 1)
    if range == "full":
        return CodeScale(neutral, 2.0**bit_depth - 1, 0.0, 2.0**bit_depth - 1)
    unit = 2.0 ** (bit_depth - 8)
    return CodeScale(neutral, 224 * unit, 16 * unit, 240 * unit)


def luma_from_codes(codes: Tensor, *, range: Range, bit_depth: int = 8) -> Tensor:
    """Scale integer luma codes to float32, black at 0 and white at 1, without clipping."""
    return _from_codes(codes, luma_code_scale(range, bit_depth))


def chroma_from_codes(codes: Tensor, *, range: Range, bit_depth: int = 8) -> Tensor:
    """Scale integer chroma codes to float32 in [-0.5, 0.5], neutral at 0."""
    return _from_codes(codes, chroma_code_scale(range, bit_depth))


def luma_to_codes(luma: Tensor, *, range: Range, bit_depth: int = 8) -> Tensor:
    """Round luma in [0, 1] to integer codes, uint8 (int32 above 8 bits), clipped to the range."""
    return _to_codes(luma, luma_code_scale(range, bit_depth), bit_depth)


def chroma_to_codes(chroma: Tensor, *, range: Range, bit_depth: int = 8) -> Tensor:
    """Round chroma in [-0.5, 0.5] to codes, uint8 (int32 above 8 bits), clipped to the range."""
    return _to_codes(chroma, chroma_code_scale(range, bit_depth), bit_depth)


def _from_codes(codes: Tensor, scale: CodeScale) -> Tensor:
    return (codes.float() - scale.offset) / scale.span


def _to_codes(values: Tensor, scale: CodeScale, bit_depth: int) -> Tensor:
    codes = (values * scale.span + scale.offset).round().clamp_(scale.lowest, scale.highest)
    return codes.to(torch.uint8 if bit_depth == 8 else torch.int32)

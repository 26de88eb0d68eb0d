"""Y'CbCr and RGB: matrices, ranges, bit depths.

Everything computed on is a float32 tensor: luma Y' and R'G'B' in [0, 1], chroma Cb and Cr in
[-0.5, 0.5]. Integer codes are scaled to and from that once, here.

Sources: ITU-R BT.601-7 section 2.5, ITU-R BT.709-6 sections 3 and 4, ITU-R BT.2020-2 tables 4 and 5
(non-constant luminance); full range as in JFIF 1.02 and ITU-T H.273 (VideoFullRangeFlag).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Floats = NDArray[np.float32]
Range = Literal["limited", "full"]


@dataclass(frozen=True)
class Matrix:
    """The luma coefficients that define a Y'CbCr matrix; ``kg`` is what remains of 1."""

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

# The guided filter that chroma is enlarged with: its window, in pixels to either side, and the
# variance of luma under which a window counts as flat, so that grain gets no colours of its own.
GUIDED_RADIUS = 2
GUIDED_EPSILON = 0.002

# The one matrix that networks see.
WORKING_MATRIX = "bt709"


def rgb_to_ycbcr(rgb: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
    """Turn R'G'B' into Y'CbCr.

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
    """Turn Y'CbCr into R'G'B', the exact inverse of `rgb_to_ycbcr`; the result is not clipped.

    Args:
        ycbcr: (..., 3, H, W): Y' in [0, 1], Cb and Cr in [-0.5, 0.5].
        matrix: a key of ``MATRICES``.

    Returns:
        (..., 3, H, W), in [0, 1] where the colour lies in the RGB gamut.
    """
    luma, cb, cr = ycbcr.unbind(-3)
    return torch.stack(
        [luma + difference for difference in _rgb_minus_luma(cb, cr, matrix)], dim=-3
    )


def limit_to_gamut(luma: Tensor, chroma: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
    """Scale chroma towards neutral, keeping its hue, until the colour lies in the RGB gamut.

    A player clips what lies outside, and clipping one of R'G'B' changes the luma. Black and white
    have no room for chroma at all, so bars and titles come out exactly neutral.

    Args:
        luma: (B, 1, H, W); what lies outside [0, 1] counts as 0 or 1.
        chroma: (B, 2, H, W), in [-0.5, 0.5].

    Returns:
        (B, 2, H, W).
    """
    cb, cr = chroma.unbind(1)
    red, green, blue = _rgb_minus_luma(cb, cr, matrix)
    # In place where it can be: at the size of a film most of the time goes into fresh memory.
    above = torch.maximum(red, green)
    torch.maximum(above, blue, out=above)
    below = torch.minimum(red, green, out=red)
    torch.minimum(below, blue, out=below)
    room = luma[:, 0].clamp(1e-6, 1)
    below.div_(room).neg_()
    above.div_(torch.sub(1, luma[:, 0], out=room).clamp_(1e-6, 1))
    excess = torch.maximum(above, below, out=above).clamp_min_(1)
    return chroma / excess.unsqueeze(1)


def change_matrix(chroma: Tensor, before: str, after: str) -> Tensor:
    """The chroma (..., 2, H, W) by which the same colours are coded in another matrix.

    Luma, which would change as well, is not asked for: with it left as it is, the colours keep how
    much red, green and blue differ.
    """
    if before == after:
        return chroma
    no_luma = torch.zeros_like(chroma[..., :1, :, :])
    rgb = ycbcr_to_rgb(torch.cat((no_luma, chroma), dim=-3), before)
    return rgb_to_ycbcr(rgb, after)[..., 1:, :, :]


def fit_chroma(
    luma: Tensor, chroma: Tensor, *, matrix: str = WORKING_MATRIX, vividness: float = 1.0
) -> Tensor:
    """Bring chroma to half the size of its luma, along its edges and within the RGB gamut.

    Args:
        luma: (B, 1, H, W), in [0, 1].
        chroma: (B, 2, h, w), in [-0.5, 0.5], of any size.
        matrix: what both are in, a key of ``MATRICES``.
        vividness: what the chroma is multiplied by.

    Returns:
        (B, 2, ceil(H/2), ceil(W/2)).
    """
    half_luma = half_size(luma)
    full = chroma_at_size_of(half_luma, chroma * vividness)
    return limit_to_gamut(half_luma, full, matrix)


def chroma_at_size_of(half_luma: Tensor, chroma: Tensor) -> Tensor:
    """Bring chroma (B, 2, h, w) to the size of its luma (B, 1, H, W), along its edges."""
    height, width = half_luma.shape[-2:]
    if height > chroma.shape[-2] and width > chroma.shape[-1]:
        return enlarge_along_edges(chroma, half_luma)
    return resize(chroma, height, width)


def enlarge_along_edges(planes: Tensor, guide: Tensor) -> Tensor:
    """Enlarge planes so that their edges fall on those of the guide.

    The fast guided filter (He and Sun 2015, algorithm 2): within each small window the planes are
    a linear function of the guide; the functions are enlarged, and applied to the large guide. What
    of the planes is no such function, a coloured thing as bright as what surrounds it, is enlarged
    as it is and added. So the offsets of the functions cancel out, and only their slopes remain.

    Args:
        planes: (B, C, h, w).
        guide: (B, 1, H, W), larger than the planes.

    Returns:
        (B, C, H, W).
    """
    pictures = zip(planes, resize(guide, *planes.shape[-2:]), guide, strict=True)
    return torch.stack([_enlarge_along_edges(*picture) for picture in pictures])


def _enlarge_along_edges(planes: Tensor, small: Tensor, guide: Tensor) -> Tensor:
    """One picture: planes (C, h, w), the small guide (1, h, w) and the large one (1, H, W).

    By OpenCV, which blurs and enlarges ten times as fast as torch does on a CPU.
    """
    low, high = small[0].numpy(), guide[0].numpy()
    whole = _window_sum(np.ones_like(low))
    mean = _window_sum(low) / whole
    variance = _window_sum(low * low) / whole - mean * mean + np.float32(GUIDED_EPSILON)
    enlarged = torch.empty(len(planes), *high.shape)
    for plane, large in zip(planes.numpy(), enlarged.numpy(), strict=True):
        covariance = _window_sum(low * plane) / whole - mean * (_window_sum(plane) / whole)
        slope: Floats = _window_sum(covariance / variance) / whole
        size = high.shape[1], high.shape[0]
        np.multiply(cv2.resize(slope, size), high, out=large)
        large += np.asarray(cv2.resize(plane - slope * low, size), np.float32)
    return enlarged


def _window_sum(plane: Floats) -> Floats:
    """The sum of what lies in the window around each pixel."""
    side = 2 * GUIDED_RADIUS + 1
    border = cv2.BORDER_CONSTANT
    total = cv2.boxFilter(plane, -1, (side, side), normalize=False, borderType=border)
    return np.asarray(total, np.float32)


def half_size(planes: Tensor) -> Tensor:
    """Average 2x2 blocks, (B, C, H, W) to (B, C, ceil(H/2), ceil(W/2)), as 4:2:0 chroma is made."""
    return F.avg_pool2d(planes, 2, ceil_mode=True, count_include_pad=False)


def resize(planes: Tensor, height: int, width: int) -> Tensor:
    """Resize (B, C, H, W) to (B, C, height, width), bilinear and without aliasing."""
    if planes.shape[-2:] == (height, width):
        return planes
    shrinks = height < planes.shape[-2] or width < planes.shape[-1]
    return F.interpolate(
        planes, size=(height, width), mode="bilinear", align_corners=False, antialias=shrinks
    )


def luma_from_codes(codes: Tensor, *, range: Range, bit_depth: int = 8) -> Tensor:
    """Scale integer luma codes to float32, black at 0 and white at 1 (codes beyond stay beyond)."""
    offset, span = _luma_code_scale(range, bit_depth)
    return (codes.float() - offset) / span


def chroma_from_codes(codes: Tensor, *, range: Range, bit_depth: int = 8) -> Tensor:
    """Scale integer chroma codes to float32 in [-0.5, 0.5], neutral at 0."""
    offset, span = _chroma_code_scale(range, bit_depth)
    return (codes.float() - offset) / span


def luma_to_codes(luma: Tensor, *, range: Range, bit_depth: int = 8) -> Tensor:
    """Round luma in [0, 1] to integer codes, uint8 (int32 above 8 bits), clipped to legal ones."""
    offset, span = _luma_code_scale(range, bit_depth)
    return _to_codes(luma * span + offset, offset, offset + span, bit_depth)


def chroma_to_codes(chroma: Tensor, *, range: Range, bit_depth: int = 8) -> Tensor:
    """Round chroma in [-0.5, 0.5] to integer codes, uint8 (int32 above 8 bits), clipped."""
    offset, span = _chroma_code_scale(range, bit_depth)
    highest = min(offset + span / 2, 2**bit_depth - 1)
    return _to_codes(chroma * span + offset, max(offset - span / 2, 0), highest, bit_depth)


def _rgb_minus_luma(cb: Tensor, cr: Tensor, matrix: str) -> tuple[Tensor, Tensor, Tensor]:
    """What chroma adds to luma in each of R', G' and B'."""
    m = MATRICES[matrix]
    red = 2 * (1 - m.kr) * cr
    blue = 2 * (1 - m.kb) * cb
    green = (red * (-m.kr / m.kg)).sub_(blue, alpha=m.kb / m.kg)
    return red, green, blue


def _luma_code_scale(range: Range, bit_depth: int) -> tuple[float, float]:
    if range == "full":
        return 0.0, float(2**bit_depth - 1)
    return 16.0 * 2 ** (bit_depth - 8), 219.0 * 2 ** (bit_depth - 8)


def _chroma_code_scale(range: Range, bit_depth: int) -> tuple[float, float]:
    neutral = float(2 ** (bit_depth - 1))
    if range == "full":
        return neutral, float(2**bit_depth - 1)
    return neutral, 224.0 * 2 ** (bit_depth - 8)


def _to_codes(values: Tensor, lowest: float, highest: float, bit_depth: int) -> Tensor:
    codes = values.round().clamp_(lowest, highest)
    return codes.to(torch.uint8 if bit_depth == 8 else torch.int32)

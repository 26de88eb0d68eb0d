"""Upsampling of small chroma to a film's size, along the edges of luma and within the RGB gamut.

At the size of a film, allocating memory would take most of the time. So planes are enlarged into
buffers that are kept from frame to frame, and the rest is done in strips of rows that fit into a
processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filmcolorizer_cli.color import (
    MATRICES,
    WORKING_MATRIX,
    Range,
    chroma_code_scale,
    half_size,
    resize,
)
from filmcolorizer_cli.planes import Floats

Codes = NDArray[np.unsignedinteger[Any]]

STRIP_PIXELS = 32_000  # pixels of chroma per strip

# The guided filter: its window, in pixels to either side, and the variance of luma below which a
# window counts as flat, so that grain gets no colours of its own.
GUIDED_RADIUS = 2
GUIDED_EPSILON = 0.002

MIN_ROOM = 1e-6  # distance of luma to black or white, at least, to avoid division by 0


class Upsampler:
    """Upsampling of chroma to one size, frame after frame; each thread needs one of its own.

    Args:
        height, width: H and W of the resulting chroma.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._strip_rows = min(max(STRIP_PIXELS // width, 1), height)
        self._planes = np.empty((2, 2, height, width), np.float32)
        self._strip = np.empty((2, self._strip_rows, width), np.float32)
        self._scratch = np.empty((4, self._strip_rows, width), np.float32)

    def fit(
        self, luma: Floats, chroma: Floats, small_luma: Floats, matrix: str = WORKING_MATRIX
    ) -> Iterator[tuple[slice, Floats]]:
        """Yield strips of rows of chroma, enlarged along the edges of luma, limited to the gamut.

        Chroma is scaled towards neutral, keeping its hue, until the colour lies in the RGB gamut: a
        player clips what lies outside, and clipping one of R'G'B' changes the luma. Black and white
        leave no room for chroma, so bars and titles come out exactly neutral.

        Args:
            luma: (H, W), in [0, 1].
            chroma: (2, h, w), in [-0.5, 0.5], of any size.
            small_luma: (h, w).
            matrix: of luma and chroma, a key of ``MATRICES``.

        Yields:
            The rows, and their chroma (2, rows, W), which may be modified; the next strip
            overwrites it.
        """
        for rows, strip in self.enlarge(luma, chroma, small_luma):
            self._limit_to_gamut(luma[rows], strip, matrix)
            yield rows, strip

    def codes(
        self,
        luma: Floats,
        chroma: Floats,
        small_luma: Floats,
        *,
        range: Range,
        bit_depth: int = 8,
        matrix: str = WORKING_MATRIX,
    ) -> Codes:
        """Return what `fit` yields, (2, H, W), as integer codes, uint8 (uint16 above 8 bits)."""
        scale = chroma_code_scale(range, bit_depth)
        add: Any = cv2.add  # OpenCV's stubs lack scalars
        kind, depth = (np.uint8, cv2.CV_8U) if bit_depth == 8 else (np.uint16, cv2.CV_16U)
        codes = np.empty((2, self.height, self.width), kind)
        for rows, strip in self.fit(luma, chroma, small_luma, matrix):
            strip *= scale.span
            np.minimum(strip, scale.highest - scale.offset, out=strip)
            for plane, part in zip(codes, strip, strict=True):
                add(part, scale.offset, dst=plane[rows], dtype=depth)  # rounds
        return codes

    def enlarge(
        self, guide: Floats, planes: Floats, small_guide: Floats
    ) -> Iterator[tuple[slice, Floats]]:
        """Yield strips of rows of planes, enlarged so that their edges coincide with the guide's.

        The fast guided filter (He and Sun 2015, algorithm 2): within each small window the planes
        are a linear function of the guide; its coefficients are enlarged, and applied to the large
        guide. The residual, such as a coloured thing as bright as its surroundings, is enlarged
        directly and added. So the offsets of the functions cancel out, and only their slopes
        remain.

        Planes that are not smaller in both directions are only resized.

        Args:
            guide: (H, W).
            planes: (2, h, w).
            small_guide: (h, w).

        Yields:
            As `fit` does.
        """
        size = self.width, self.height
        enlarges = self.height > planes.shape[1] and self.width > planes.shape[2]
        if enlarges:
            slopes = _slopes(planes, small_guide)
            for large, slope, plane in zip(self._planes, slopes, planes, strict=True):
                cv2.resize(slope, size, dst=large[0])
                cv2.resize(plane - slope * small_guide, size, dst=large[1])
        else:
            resized = resize(torch.from_numpy(planes)[None], self.height, self.width)
            self._planes[:, 1] = resized[0].numpy()
        for top in range(0, self.height, self._strip_rows):
            rows = slice(top, min(top + self._strip_rows, self.height))
            strip = self._strip[:, : rows.stop - top]
            for part, (slope, rest) in zip(strip, self._planes[:, :, rows], strict=True):
                if enlarges:
                    np.multiply(slope, guide[rows], out=part)
                    part += rest
                else:
                    part[:] = rest
            yield rows, strip

    def _limit_to_gamut(self, luma: Floats, chroma: Floats, matrix: str) -> None:
        """Scale chroma (2, rows, W) in place until the colours (rows, W) lie in the gamut."""
        m = MATRICES[matrix]
        cb, cr = chroma
        red, blue, green, most = self._scratch[:, : len(luma)]
        # Contribution of chroma to each of R', G' and B'; see `color.ycbcr_to_rgb`.
        np.multiply(cr, 2 * (1 - m.kr), out=red)
        np.multiply(cb, 2 * (1 - m.kb), out=blue)
        np.multiply(red, -m.kr / m.kg, out=green)
        np.multiply(blue, m.kb / m.kg, out=most)
        green -= most
        np.maximum(red, blue, out=most)
        np.maximum(most, green, out=most)
        least = np.minimum(red, blue, out=red)
        np.minimum(least, green, out=least)
        # Distance of the colour from luma, as a multiple of that of the gamut's edge.
        room = np.subtract(1, luma, out=blue)
        most /= np.maximum(room, MIN_ROOM, out=room)
        np.maximum(luma, MIN_ROOM, out=room)
        least /= np.negative(room, out=room)
        np.maximum(most, least, out=most)
        chroma /= np.maximum(most, 1, out=most)


def fit_chroma(luma: Tensor, chroma: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
    """Bring chroma to half the size of its luma, as `Upsampler.fit` does.

    Args:
        luma: (B, 1, H, W), in [0, 1].
        chroma: (B, 2, h, w), in [-0.5, 0.5], of any size.
        matrix: of luma and chroma, a key of ``MATRICES``.

    Returns:
        (B, 2, ceil(H/2), ceil(W/2)).
    """
    half_luma = half_size(luma)
    small_luma = resize(half_luma, *chroma.shape[-2:])
    fitted = torch.empty(len(luma), 2, *half_luma.shape[-2:])
    upsampler = Upsampler(*half_luma.shape[-2:])
    for number, planes in enumerate(chroma.numpy()):
        guide, small = half_luma[number, 0].numpy(), small_luma[number, 0].numpy()
        for rows, strip in upsampler.fit(guide, planes, small, matrix):
            fitted[number, :, rows] = torch.from_numpy(strip)
    return fitted


def _slopes(planes: Floats, guide: Floats) -> Iterator[Floats]:
    """Yield the local slopes (h, w) of each plane as a linear function of the guide (h, w).

    OpenCV blurs ten times as fast as torch does on a CPU.
    """
    whole = _window_sum(np.ones_like(guide))
    mean = _window_sum(guide) / whole
    variance = _window_sum(guide * guide) / whole - mean * mean + np.float32(GUIDED_EPSILON)
    for plane in planes:
        covariance = _window_sum(guide * plane) / whole - mean * (_window_sum(plane) / whole)
        yield _window_sum(covariance / variance) / whole


def _window_sum(plane: Floats) -> Floats:
    """Return the sum over the window around each pixel."""
    side = 2 * GUIDED_RADIUS + 1
    border = cv2.BORDER_CONSTANT
    total = cv2.boxFilter(plane, -1, (side, side), normalize=False, borderType=border)
    return np.asarray(total, np.float32)

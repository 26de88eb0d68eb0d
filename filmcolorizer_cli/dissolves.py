"""Detection of dissolves from one shot to the next.

Throughout a dissolve, each frame is a mixture of the frames at its two ends, in shares that change
evenly from one to the other, and the two ends show different things. Motion within a shot, in
contrast, passes through places where neither end shows it, and a change of light leaves the content
the same.
"""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import SMALL_SIZE, Floats, Plane
from filmcolorizer_cli.timeline import Spans

LENGTHS = (5, 7, 9, 11, 13, 17, 21, 25)  # lengths of the windows tried for a dissolve, in frames
SURROUNDINGS = (9, 9)  # width and height, in pixels, of the local mean subtracted to get details
MIN_CONTRAST = 2.0  # codes added in quadrature to local contrast, so that grain is no detail
# Luma code that each pixel of the picture exceeds sooner or later, and those of bars do not. Bars
# are common to both ends of a dissolve, so only the picture, without its edges, is compared.
LIT = 40
EDGE = np.ones((3, 3), np.uint8)

MAX_RESIDUAL = 0.28  # rms residual of mixtures of the ends, relative to the ends' difference
MAX_CORRELATION = 0.25  # correlation of the details at the two ends
MIN_DETAIL = 4.0  # contrast of details at either end, in codes: black and blank frames only fade
MAX_STEP = 2.5  # largest step of the share, relative to an even one; a cut is steeper
# Share of either end in the frames that certainly belong to the dissolve. From the last of them,
# its end is extrapolated at the same pace, to where nothing of the first end is left.
MIN_SHARE = 0.1
MIN_WINDOWS = 2  # overlapping or adjacent windows that must contain a dissolve


class Dissolves:
    """Detector of dissolves in frames that are added one by one.

    Args:
        frame_rate: frames per second; with about 6, dissolves of half a second to four seconds are
            found.
    """

    def __init__(self, frame_rate: float) -> None:
        self.frame_rate = frame_rate
        self._windows: list[tuple[int, int]] = []  # start and end of the dissolve found in each
        self._count = 0
        self._peak = np.zeros(SMALL_SIZE[::-1], np.float32)  # highest luma of each pixel
        self._frames: deque[Floats] = deque(maxlen=max(LENGTHS))

    def add(self, luma: Plane) -> None:
        """Analyse the next frame (H, W), uint8."""
        small = cv2.resize(luma, SMALL_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        self._peak = np.maximum(self._peak, small)
        self._frames.append(small)
        self._count += 1
        if len(self._frames) < min(LENGTHS):
            return
        frames, details, contrasts = self._pictures()
        products, similarities = _products(frames), _products(details)
        norms = np.sqrt(np.diagonal(similarities))
        similarities /= np.maximum(np.outer(norms, norms), 1e-6)
        for length in LENGTHS:
            if (
                length > len(products)
                or min(contrasts[-length], contrasts[-1]) < MIN_DETAIL
                or similarities[-length, -1] > MAX_CORRELATION
            ):
                continue
            shares = _shares(products[-length:, -length:])
            if shares is not None:
                end = int(np.flatnonzero(shares >= 1 - MIN_SHARE)[0])
                begin = int(np.flatnonzero(shares[:end] <= MIN_SHARE)[-1])
                end += math.ceil((end - begin) * MIN_SHARE / (1 - 2 * MIN_SHARE))
                first = self._count - length
                self._windows.append((first + begin, first + end))

    def _pictures(self) -> tuple[Floats, Floats, Floats]:
        """Return the latest frames, their details, and the contrast of the details.

        The frames (H, W, N) have mean 0, the details (H, W, N) equal contrast everywhere. Both are
        0 outside the picture, which is the same for all frames. The contrasts (N,) are in codes.
        """
        lit = (self._peak > LIT).astype(np.float32)
        picture = np.asarray(cv2.erode(lit, EDGE), np.float32)
        pixels = max(float(picture.sum()), 1.0)
        share = np.maximum(cv2.blur(picture, SURROUNDINGS), 1e-6)[..., None]
        picture = picture[..., None]
        frames = np.dstack(self._frames)
        around = np.asarray(cv2.blur(frames * picture, SURROUNDINGS), np.float32) / share
        details: Floats = np.asarray((frames - around) * picture, np.float32)
        contrasts = np.sqrt(np.square(details).sum(axis=(0, 1)) / pixels)
        variances = cv2.blur(np.square(details), SURROUNDINGS) / share
        details = np.asarray(details / np.sqrt(variances + MIN_CONTRAST**2), np.float32)
        frames = (frames - (frames * picture).sum(axis=(0, 1)) / pixels) * picture
        return frames, details, contrasts

    def spans(self) -> Spans:
        """Return the starts and ends of the dissolves found so far, ascending.

        They are in seconds from the first frame, accurate to one frame. An end is the time of the
        first frame that shows nothing of the earlier shot.
        """
        found: list[tuple[int, int, int]] = []
        for begin, end in sorted(self._windows):
            if found and begin <= found[-1][1]:
                first, last, windows = found.pop()
                found.append((first, max(last, end), windows + 1))
            else:
                found.append((begin, end, 1))
        return tuple(
            (begin / self.frame_rate, end / self.frame_rate)
            for begin, end, windows in found
            if windows >= MIN_WINDOWS
        )


def _products(planes: Floats) -> NDArray[np.float64]:
    """Return the inner products (N, N) of planes (H, W, N)."""
    columns = planes.reshape(-1, planes.shape[-1])
    return np.asarray(columns.T @ columns, np.float64)


def _shares(products: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the share (N,) of the last frame in each frame; None if they are not a dissolve.

    Args:
        products: (N, N), the inner products of the frames.
    """
    change = products[0, 0] - 2 * products[0, -1] + products[-1, -1]
    # Squared length of each frame's difference from the first, and its share of the last frame's.
    lengths = np.diagonal(products) - 2 * products[0] + products[0, 0]
    shares = (products[-1] - products[0] - products[0, -1] + products[0, 0]) / change
    residual = (lengths - np.square(shares) * change)[1:-1].mean() / change
    steps = np.diff(shares) * (len(products) - 1)
    return shares if steps.max() < MAX_STEP and residual < MAX_RESIDUAL**2 else None

"""Where one shot dissolves into the next.

All the while a dissolve lasts, a frame is a mixture of those at its two ends, in shares that go
evenly from the one to the other, and these two show different things. Whatever moves through a shot
passes by places where neither of its ends shows it; what is lit up or down stays the same thing.
"""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import Floats, Plane
from filmcolorizer_cli.timeline import Spans

SIZE = 32, 24  # width and height that frames are looked at in, so that small movements do not count
LENGTHS = (5, 7, 9, 11, 13, 17, 21, 25)  # of the windows that a dissolve may fill, in frames
SURROUNDINGS = (9, 9)  # pixels that details differ from, in width and height
MIN_CONTRAST = 2.0  # codes, so that grain is no detail
# Luma code that the picture reaches at each place sooner or later, and bars do not, which both ends
# of a dissolve have in common. Only the picture, but for its edges, is looked at.
LIT = 40
EDGE = np.ones((3, 3), np.uint8)

MAX_RESIDUAL = 0.28  # of the difference of the ends, which is no mixture of them
MAX_SIMILARITY = 0.25  # of the details at the ends, as a correlation
MIN_DETAIL = 4.0  # codes, at either end: black and blank frames fade, and do not dissolve
MAX_STEP = 2.5  # from frame to frame, times an even one: a cut is steep
# Of either end, in frames that certainly belong to the dissolve. Behind the last of them it goes on
# as evenly, to where nothing is left of what was there before.
MIN_SHARE = 0.1
MIN_WINDOWS = 2  # that touch each other


class Dissolves:
    """Looks for dissolves in frames that are added one by one.

    Args:
        frame_rate: frames a second, about 6 of them, so that dissolves of half a second to four are
            found.
    """

    def __init__(self, frame_rate: float) -> None:
        self.frame_rate = frame_rate
        self._windows: list[tuple[int, int]] = []  # first and last frame of what dissolves in each
        self._count = 0
        self._peak = np.zeros(SIZE[::-1], np.float32)  # of luma, at each place
        self._frames: deque[Floats] = deque(maxlen=max(LENGTHS))

    def add(self, luma: Plane) -> None:
        """Look at the next frame (H, W), uint8."""
        small = cv2.resize(luma, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
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
                or similarities[-length, -1] > MAX_SIMILARITY
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
        """The last frames (H, W, N), of mean 0, their details of equal contrast, and that (N,).

        Frames and details are 0 outside the picture, which is the same for all of them.
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
        """Begins and ends of those found so far, in seconds from the first frame, ascending.

        They are known to one frame; an end is that of the first frame with nothing of what was
        there before.
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
    """The inner products (N, N) of planes (H, W, N)."""
    columns = planes.reshape(-1, planes.shape[-1])
    return np.asarray(columns.T @ columns, np.float64)


def _shares(products: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The share (N,) that the last one of some frames has in each; None of what is no dissolve.

    Args:
        products: (N, N), the inner products of these frames.
    """
    change = products[0, 0] - 2 * products[0, -1] + products[-1, -1]
    # Each frame's difference from the first one, and the part of it along that of the last one.
    lengths = np.diagonal(products) - 2 * products[0] + products[0, 0]
    shares = (products[-1] - products[0] - products[0, -1] + products[0, 0]) / change
    residual = (lengths - np.square(shares) * change)[1:-1].mean() / change
    steps = np.diff(shares) * (len(products) - 1)
    return shares if steps.max() < MAX_STEP and residual < MAX_RESIDUAL**2 else None

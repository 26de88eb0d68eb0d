"""Where one shot dissolves into the next.

All the while a dissolve lasts, a frame is a mixture of those at its two ends, in shares that go
evenly from the one to the other, and these two show different things. Whatever moves through a shot
passes by places where neither of its ends shows it; what is lit up or down stays the same thing.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.video import Plane, Spans

Floats = NDArray[np.float32]

SIZE = 32, 24  # width and height that frames are looked at in, so that small movements do not count
HALVES = (2, 3, 4, 5, 6, 8, 10, 12)  # of the windows that a dissolve may fill, in frames
SURROUNDINGS = 9  # pixels, in width and height, that details differ from
LEAST_CONTRAST = 2.0  # codes, so that grain is no detail

MAX_RESIDUAL = 0.25  # of the difference of the ends, which is no mixture of them
MAX_LIKENESS = 0.25  # of the details at the ends, as a correlation
MIN_CHANGE = 12.0  # codes, from end to end
MIN_DETAIL = 4.0  # codes, at either end: black and blank frames fade, and do not dissolve
MIN_STEP, MAX_STEP = -0.5, 2.5  # from frame to frame, as shares of an even step
MIN_SHARE = 0.1  # of either end, in frames of the dissolve itself
MIN_WINDOWS = 2  # that agree


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
        self._frames: deque[Floats] = deque(maxlen=2 * max(HALVES) + 1)  # (H * W,), of mean 0
        self._details: deque[Floats] = deque(maxlen=2 * max(HALVES) + 1)  # as well, of length 1
        self._contrasts: deque[float] = deque(maxlen=2 * max(HALVES) + 1)

    def add(self, luma: Plane) -> None:
        """Look at the next frame (H, W), uint8."""
        small = cv2.resize(luma, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        detail = small - cv2.blur(small, (SURROUNDINGS, SURROUNDINGS))
        self._contrasts.append(float(np.sqrt(np.square(detail).mean())))
        around = cv2.blur(np.square(detail), (SURROUNDINGS, SURROUNDINGS))
        detail /= np.sqrt(around + LEAST_CONTRAST**2)
        self._frames.append((small - small.mean()).ravel())
        self._details.append(detail.ravel() / max(float(np.linalg.norm(detail)), 1e-6))
        self._count += 1
        frames = np.stack(self._frames)
        products = (frames @ frames.T).astype(np.float64)
        for half in HALVES:
            length = 2 * half + 1
            if len(frames) >= length:
                shares = self._dissolve(products[-length:, -length:])
                if shares is not None:
                    begin = np.flatnonzero(shares <= MIN_SHARE)[-1]
                    end = np.flatnonzero(shares >= 1 - MIN_SHARE)[0]
                    first = self._count - length
                    self._windows.append((first + int(begin), first + int(end)))

    def _dissolve(self, products: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The share (N,) that the last one of some frames has in each, if they dissolve into it.

        Args:
            products: (N, N), the inner products of these frames, the last ones so far.
        """
        count, first = len(products), -len(products)
        change = products[0, 0] - 2 * products[0, -1] + products[-1, -1]
        if (
            change < MIN_CHANGE**2 * SIZE[0] * SIZE[1]
            or min(self._contrasts[first], self._contrasts[-1]) < MIN_DETAIL
            or float(self._details[first] @ self._details[-1]) > MAX_LIKENESS
        ):
            return None
        # Each frame's difference from the first one, and the part of it along that of the last one.
        lengths = np.diagonal(products) - 2 * products[0] + products[0, 0]
        shares = (products[-1] - products[0] - products[0, -1] + products[0, 0]) / change
        residual = (lengths - np.square(shares) * change)[1:-1].mean() / change
        steps = np.diff(shares) * (count - 1)
        is_even = steps.min() > MIN_STEP and steps.max() < MAX_STEP
        return shares if is_even and residual < MAX_RESIDUAL**2 else None

    def spans(self) -> Spans:
        """Begins and ends of those found so far, in seconds from the first frame, ascending."""
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

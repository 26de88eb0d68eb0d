"""Detection of shots that are already in colour, rather than tinted, dirty or noisy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from filmcolorizer_cli.planes import NEUTRAL, Floats, Plane
from filmcolorizer_cli.timeline import Spans

CELL = 8  # width and height, in pixels, of the cells over which chroma is averaged
TONES = 64  # groups of equally many pixels by luma; the median chroma of each is taken for tint
# Chroma beyond the tint, in code values, above which a shot is in colour: in untinted film (dirt
# and noise of copies reach 1.4, colour films fall to 2.7), and how much more for each code value of
# tint, since strong compression leaves traces of the tint.
MIN_CHROMA = 1.6
MIN_CHROMA_OF_TINT = 0.03


class ColorDetector:
    """Measurement of the colour beyond a tint, as two numbers per frame.

    Tints and casts give pixels of the same luma the same chroma, so the median of each tone is
    subtracted. In the rest, noise differs from frame to frame, so only what a frame has in common
    with the one before counts.

    Args:
        frame_rate: frames that are added per second of film.
    """

    def __init__(self, frame_rate: float) -> None:
        self.frame_rate = frame_rate
        self.common: list[float] = []  # product of chroma beyond tint with the frame before's, mean
        self.chroma_power: list[float] = []  # square of the whole chroma, mean over cells
        self._before: Floats | None = None

    def add(self, frame: Plane) -> None:
        """Analyse the next frame, Y'CbCr (H, W, 3); H and W are multiples of ``CELL``."""
        shape = frame.shape[:2]
        luma, *planes = frame.transpose(2, 0, 1)
        chroma = np.stack(planes).reshape(2, -1).astype(np.float32) - NEUTRAL
        order = np.argsort(luma, axis=None, kind="stable")
        tones = chroma[:, order].reshape(2, TONES, -1)
        tones -= np.median(tones, axis=2, keepdims=True)
        beyond = np.empty_like(chroma)
        beyond[:, order] = tones.reshape(2, -1)
        cells = _cells(beyond, shape)
        before = cells if self._before is None else self._before
        self.common.append(float((cells * before).sum(axis=0).mean()))
        self.chroma_power.append(float(np.square(_cells(chroma, shape)).sum(axis=0).mean()))
        self._before = cells

    def is_colored(self, begin_seconds: float, end_seconds: float) -> bool | None:
        """Whether the shot between these times has colour beyond a tint; None if too short."""
        begin, end = (math.ceil(s * self.frame_rate - 1e-3) for s in (begin_seconds, end_seconds))
        if end - begin < 2:
            return None
        # The first frame of a shot has nothing in common with the frame before it.
        common = max(float(np.median(self.common[begin + 1 : end])), 0.0)
        chroma_power = float(np.median(self.chroma_power[begin:end]))
        return math.sqrt(common) > MIN_CHROMA + MIN_CHROMA_OF_TINT * math.sqrt(chroma_power)

    def colored(self, bounds: Sequence[float]) -> Spans:
        """Return the spans of shots in colour, merged where they touch, given the bounds of all.

        A shot that is too short to measure is treated like the one before it.
        """
        spans: list[tuple[float, float]] = []
        for begin, end in pairwise(bounds):
            follows = bool(spans) and spans[-1][1] == begin
            is_colored = self.is_colored(begin, end)
            if is_colored or (is_colored is None and follows):
                spans.append((spans.pop()[0] if follows else begin, end))
        return tuple(spans)


def has_color(frames: Sequence[Plane]) -> bool:
    """Whether frames of one shot have colour beyond a tint.

    Args:
        frames: two or more, evenly spaced, as `ColorDetector.add` takes them.
    """
    detector = ColorDetector(frame_rate=1)
    for frame in frames:
        detector.add(frame)
    return bool(detector.is_colored(0, len(frames)))


def _cells(chroma: Floats, shape: tuple[int, ...]) -> Floats:
    """Return the means of the square cells of chroma (2, H * W) of this shape (H, W)."""
    height, width = (side // CELL for side in shape)
    parts = chroma.reshape(2, height, CELL, width, CELL)
    means: Floats = parts.mean(axis=4).mean(axis=2)
    return means

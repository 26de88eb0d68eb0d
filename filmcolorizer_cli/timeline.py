"""When frames are shown: at a constant rate, or each at its own time."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Spans = tuple[tuple[float, float], ...]  # (begin, end) in seconds, ascending

# Frames by which the time at which a frame was found may differ from its own time: readers take
# the nearest frame in time and round halves up.
ROUNDING_FRAMES = 0.501


@dataclass(frozen=True)
class Timeline:
    """The times at which a film's pictures are shown.

    Attributes:
        frame_rate: pictures per second; approximate where durations vary.
        time_base: seconds in one unit of ``pts``.
        pts: start of each picture, ascending; a range where all durations are equal.
        end: pts at which the last picture ends, where known.
    """

    frame_rate: Fraction
    time_base: Fraction
    pts: Sequence[int]
    end: int | None = None

    @classmethod
    def steady(cls, frame_rate: Fraction, frames: int) -> Timeline:
        """Return a timeline of frames of equal duration."""
        step = frame_rate.denominator
        pts = range(0, frames * step, step)
        return cls(frame_rate, Fraction(1, frame_rate.numerator), pts)

    @property
    def is_steady(self) -> bool:
        """Whether all pictures have the same duration."""
        return isinstance(self.pts, range)

    def pts_of(self, number: int) -> int:
        """Return a picture's pts; extrapolate before the first picture and after the last."""
        if isinstance(self.pts, range):
            return self.pts.start + number * self.pts.step
        last = len(self.pts) - 1
        if number < 0:
            return self.pts[0] + number * (self.pts[1] - self.pts[0] if last else 1)
        if number > last:
            pace = self.pts[last] - self.pts[last - 1] if last else 1
            if self.end is not None:
                pace = max(self.end - self.pts[last], 1)
            return self.pts[last] + (number - last) * pace
        return self.pts[number]

    def seconds(self, number: int) -> float:
        """Return the time at which a picture is shown."""
        return float(self.pts_of(number) * self.time_base)

    def number_at(self, seconds: float) -> int:
        """Return the number of the first picture found at this time or later."""
        if self.is_steady:
            return math.ceil(seconds * self.frame_rate - ROUNDING_FRAMES)
        rounded = seconds - float(ROUNDING_FRAMES / self.frame_rate)
        return bisect_left(self.pts, rounded / float(self.time_base))

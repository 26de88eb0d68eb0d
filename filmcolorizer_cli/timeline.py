"""When frames are shown: all equally long, or each at a time of its own."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Spans = tuple[tuple[float, float], ...]  # begins and ends, in seconds, ascending

# By which the time that a frame was found at may differ from its own: the nearest ones in time are
# looked at, and halves are rounded up.
ROUNDING_FRAMES = 0.501


@dataclass(frozen=True)
class Timeline:
    """When each picture of a film is shown.

    Attributes:
        frame_rate: pictures a second; about, where they are not all shown equally long.
        time_base: seconds in one unit of ``pts``.
        pts: of each picture, ascending; a range where all are shown equally long.
        end: of the last one, where that is known.
    """

    frame_rate: Fraction
    time_base: Fraction
    pts: Sequence[int]
    end: int | None = None

    @classmethod
    def steady(cls, frame_rate: Fraction, frames: int) -> Timeline:
        """Of frames that are all shown equally long."""
        step = frame_rate.denominator
        pts = range(0, frames * step, step)
        return cls(frame_rate, Fraction(1, frame_rate.numerator), pts)

    @property
    def is_steady(self) -> bool:
        """Whether all pictures are shown equally long."""
        return isinstance(self.pts, range)

    def pts_of(self, number: int) -> int:
        """Of a picture; what lies before the first or after the last goes on at its pace."""
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
        """When a picture is shown."""
        return float(self.pts_of(number) * self.time_base)

    def number_at(self, seconds: float) -> int:
        """The number of the first picture that was found then, or later."""
        if self.is_steady:
            return math.ceil(seconds * self.frame_rate - ROUNDING_FRAMES)
        rounded = seconds - float(ROUNDING_FRAMES / self.frame_rate)
        return bisect_left(self.pts, rounded / float(self.time_base))

"""Which pairs train, which validate, and which test."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol

from filmcolorizer_cli.errors import PairsError
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE

DEFAULT_SPLIT = (0.70, 0.15, 0.15)

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
INTERLEAVED_PARTS: tuple[Part, ...] = ("train", "validation", "train", "test")


class PairLike(Protocol):
    """What a split looks at of a `pairs.Pair`."""

    @property
    def bw_seconds(self) -> float: ...

    @property
    def shot(self) -> int: ...


@dataclass(frozen=True)
class TimeSplit:
    """Which times of a film train, validate and test; each part begins with a new shot."""

    measured: ClassVar = PARTS
    validation_from_seconds: float
    test_from_seconds: float

    def holds(self, part: Part, pair: PairLike) -> bool:
        """Whether a pair belongs to this part."""
        times = (self.validation_from_seconds, self.test_from_seconds)
        return PARTS[bisect.bisect_right(times, pair.bw_seconds)] == part

    def describe(self) -> dict[str, float]:
        """Plain values, of which `read_split` makes a split again."""
        return asdict(self)


@dataclass(frozen=True)
class InterleavedSplit:
    """Every other moment trains; those between them validate and test by turns.

    For a coloured copy that covers the whole film: nothing is foreign to a network that saw it so.

    Attributes:
        every: a moment comes after so many frames of the 24 fps timeline.
    """

    measured: ClassVar = PARTS
    every: int

    def holds(self, part: Part, pair: PairLike) -> bool:
        """Whether a pair belongs to this part, whichever others were deleted."""
        number = round(pair.bw_seconds * (TIMELINE_FRAME_RATE / self.every))
        return INTERLEAVED_PARTS[number % len(INTERLEAVED_PARTS)] == part

    def describe(self) -> dict[str, int]:
        """Plain values, of which `read_split` makes a split again."""
        return {"every": self.every}


@dataclass(frozen=True)
class Undivided:
    """All pairs train, and the same ones tell when it is enough; there are none to test.

    For a handful of stills painted by hand, of which none is to be held back.
    """

    measured: ClassVar[tuple[Part, ...]] = ("train",)

    def holds(self, part: Part, pair: PairLike) -> bool:
        """Whether a pair belongs to this part: every pair belongs to all."""
        return True

    def describe(self) -> dict[str, bool]:
        """Plain values, of which `read_split` makes a split again."""
        return {"undivided": True}


# Each tells, as ``measured``, of which parts a network's scores mean something.
Split = TimeSplit | InterleavedSplit | Undivided


def read_split(description: Any) -> Split:
    """The split that these plain values describe.

    Raises:
        ValueError: they describe none.
    """
    with suppress(AttributeError, OverflowError, TypeError):  # OverflowError of huge integers
        if description == Undivided().describe():
            return Undivided()
        if "every" in description:
            interleaved = InterleavedSplit(**description)
            if type(interleaved.every) is int and interleaved.every > 0:  # True is an int as well
                return interleaved
        elif all(math.isfinite(seconds) for seconds in description.values()):
            return TimeSplit(**description)
    raise ValueError(f"{description!r} describes no split")


def split_by_time(pairs: Sequence[PairLike], sizes: tuple[float, ...] = DEFAULT_SPLIT) -> TimeSplit:
    """Split pairs into training, validation and test parts, in this order of time.

    The borders are moved to the nearest change of shot, so that no shot straddles two parts.

    Args:
        pairs: in order of time.
        sizes: three shares that add up to 1, or two counts (training and validation).

    Raises:
        PairsError: there are too few pairs or shots for three parts.
    """
    total = len(pairs)
    if len(sizes) == 2 and sum(sizes) >= total:
        raise PairsError(
            f"there are {total} pairs, too few for {sizes[0]:g} of training, {sizes[1]:g} of"
            " validation and some to test; give smaller numbers, or three shares such as 70,15,15"
        )
    counts = [size * total for size in sizes] if len(sizes) == 3 else list(sizes)
    ideals = (counts[0], counts[0] + counts[1])
    starts = [i for i in range(1, total) if pairs[i].shot != pairs[i - 1].shot]
    if len(starts) < 2:
        raise PairsError(
            f"the pairs show only {len(starts) + 1} shot(s), and training, validation and test"
            " need one each; extract a longer part of the film, or more stills with --every, or"
            " give --split interleaved, which has no foreign shots to test, or --split none for a"
            " few painted stills"
        )
    first = min(starts[:-1], key=lambda start: abs(start - ideals[0]))
    second = min(
        (start for start in starts if start > first), key=lambda start: abs(start - ideals[1])
    )
    return TimeSplit(pairs[first].bw_seconds, pairs[second].bw_seconds)

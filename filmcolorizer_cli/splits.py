"""Splits of pairs into training, validation and test parts."""

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
MIN_OF_REQUESTED = 0.45  # share of the requested pairs, below which a part falls short

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
INTERLEAVED_PARTS: tuple[Part, ...] = ("train", "validation", "train", "test")


class PairLike(Protocol):
    """The attributes of a `pairs.Pair` that a split needs."""

    @property
    def bw_seconds(self) -> float: ...

    @property
    def shot(self) -> int: ...


@dataclass(frozen=True)
class TimeSplit:
    """A split into consecutive spans of a film; each part begins with a new shot."""

    measured: ClassVar = PARTS
    validation_from_seconds: float
    test_from_seconds: float

    def holds(self, part: Part, pair: PairLike) -> bool:
        """Whether a pair belongs to this part."""
        times = (self.validation_from_seconds, self.test_from_seconds)
        return PARTS[bisect.bisect_right(times, pair.bw_seconds)] == part

    def describe(self) -> dict[str, float]:
        """Return plain values from which `read_split` restores the split."""
        return asdict(self)


@dataclass(frozen=True)
class InterleavedSplit:
    """A split in which every other moment trains, and those in between validate and test by turns.

    For a coloured copy that covers the whole film: training then covers every part of it.

    Attributes:
        every: frames of the 24 fps timeline from one moment to the next.
    """

    measured: ClassVar = PARTS
    every: int

    def holds(self, part: Part, pair: PairLike) -> bool:
        """Whether a pair belongs to this part, whichever others were deleted."""
        number = round(pair.bw_seconds * (TIMELINE_FRAME_RATE / self.every))
        return INTERLEAVED_PARTS[number % len(INTERLEAVED_PARTS)] == part

    def describe(self) -> dict[str, int]:
        """Return plain values from which `read_split` restores the split."""
        return {"every": self.every}


@dataclass(frozen=True)
class Undivided:
    """A split in which every part, training, validation and test, consists of all pairs.

    For a handful of hand-painted stills, too few to hold any back.
    """

    measured: ClassVar[tuple[Part, ...]] = ("train",)

    def holds(self, part: Part, pair: PairLike) -> bool:
        """Whether a pair belongs to this part: always true."""
        return True

    def describe(self) -> dict[str, bool]:
        """Return plain values from which `read_split` restores the split."""
        return {"undivided": True}


# The ``measured`` attribute of each lists the parts in which a network's scores are meaningful.
Split = TimeSplit | InterleavedSplit | Undivided


def choose_split(pairs: Sequence[PairLike], every: int, wanted: tuple[float, ...] | str) -> Split:
    """Return the split that a user wants.

    Args:
        pairs: in order of time.
        every: frames of the 24 fps timeline from one pair to the next.
        wanted: sizes as in `split_by_time`, or ``interleaved`` or ``none``.

    Raises:
        PairsError: there are too few pairs or shots for three parts.
    """
    if isinstance(wanted, tuple):
        return split_by_time(pairs, wanted)
    return InterleavedSplit(every) if wanted == "interleaved" else Undivided()


def falls_short(sizes: tuple[float, ...], found: Sequence[int]) -> bool:
    """Whether a part has far fewer pairs than wanted.

    Args:
        sizes: as in `split_by_time`.
        found: the number of pairs in each part.
    """
    unit = sum(found) if len(sizes) == 3 else 1
    parts = zip(sizes, found, strict=False)  # two counts leave the size of the test part open
    return any(count < MIN_OF_REQUESTED * size * unit for size, count in parts)


def read_split(description: Any) -> Split:
    """Return the split that these plain values describe.

    Raises:
        ValueError: they describe none.
    """
    with suppress(AttributeError, OverflowError, TypeError):  # huge integers overflow
        if description == Undivided().describe():
            return Undivided()
        if "every" in description:
            interleaved = InterleavedSplit(**description)
            if type(interleaved.every) is int and interleaved.every > 0:  # not bool
                return interleaved
        elif all(math.isfinite(seconds) for seconds in description.values()):
            return TimeSplit(**description)
    raise ValueError(f"{description!r} does not describe a split")


def split_by_time(pairs: Sequence[PairLike], sizes: tuple[float, ...] = DEFAULT_SPLIT) -> TimeSplit:
    """Split pairs by time into training, validation and test parts, in this order.

    The borders are moved to the nearest cut, so that no shot straddles two parts.

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
            f"the pairs show only {len(starts) + 1} shot(s), and training, validation and test need"
            " one each; extract a longer part of the film, or more stills with --every, or give"
            " --split interleaved, which tests no unseen shots, or --split none for a few painted"
            " stills"
        )
    first = min(starts[:-1], key=lambda start: abs(start - ideals[0]))
    second = min(
        (start for start in starts if start > first), key=lambda start: abs(start - ideals[1])
    )
    return TimeSplit(pairs[first].bw_seconds, pairs[second].bw_seconds)

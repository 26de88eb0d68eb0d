from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from filmcolorizer_cli.errors import PairsError
from filmcolorizer_cli.pairs import Pair, Pairs, read_pairs
from filmcolorizer_cli.splits import (
    PARTS,
    InterleavedSplit,
    Part,
    Split,
    TimeSplit,
    Undivided,
    choose_split,
    falls_short,
    read_split,
    split_by_time,
)


def make_pairs(shots: Sequence[int]) -> list[Pair]:
    """Make pairs a second apart, with this many in each shot."""
    numbers = [shot for shot, count in enumerate(shots) for _ in range(count)]
    return [Pair(f"{i:06d}", float(i), float(i), shot) for i, shot in enumerate(numbers)]


def parts_of(pairs: Sequence[Pair], split: Split) -> list[Part]:
    """Return the part of each pair, after checking that it is in exactly one."""
    held = [[part for part in PARTS if split.holds(part, pair)] for pair in pairs]
    assert {len(parts) for parts in held} == {1}
    return [part for [part] in held]


def part_sizes(pairs: Sequence[Pair], split: Split) -> list[int]:
    parts = parts_of(pairs, split)
    return [parts.count(part) for part in PARTS]


def test_split_by_time_is_70_15_15_by_default() -> None:
    pairs = make_pairs([1] * 100)
    split = split_by_time(pairs)
    assert split == TimeSplit(70.0, 85.0)
    assert part_sizes(pairs, split) == [70, 15, 15]
    parts = parts_of(pairs, split)
    assert [parts[i] for i in (0, 69, 70, 84, 85, 99)] == [
        *["train"] * 2,
        *["validation"] * 2,
        *["test"] * 2,
    ]


@pytest.mark.parametrize(
    ("shots", "sizes", "expected"),
    [
        # Changes at 66 and 73: the second is nearer to 70. Then at 84 and 90, nearer to 85.
        ([66, 7, 11, 6, 10], (0.7, 0.15, 0.15), [73, 11, 16]),
        # Changes at 68 and 73: the first is nearer.
        ([68, 5, 13, 14], (0.7, 0.15, 0.15), [68, 18, 14]),
        # The second border comes after the first, however near another one is.
        ([10, 80, 10], (0.05, 0.05, 0.9), [10, 80, 10]),
        ([80, 10, 10], (0.7, 0.15, 0.15), [80, 10, 10]),
        # No change near either: each part still gets a shot.
        ([98, 1, 1], (0.7, 0.15, 0.15), [98, 1, 1]),
        ([1, 1, 98], (0.7, 0.15, 0.15), [1, 1, 98]),
        ([25, 25, 25, 25], (0.25, 0.5, 0.25), [25, 50, 25]),
    ],
)
def test_split_by_time_moves_borders_to_the_nearest_cuts(
    shots: list[int], sizes: tuple[float, ...], expected: list[int]
) -> None:
    pairs = make_pairs(shots)
    assert part_sizes(pairs, split_by_time(pairs, sizes)) == expected


def test_split_by_time_by_counts_as_in_2020() -> None:
    pairs = make_pairs([50] * 123)
    assert part_sizes(pairs, split_by_time(pairs, (4000, 1000))) == [4000, 1000, 1150]
    pairs = make_pairs([3990, 25, 500, 480, 20, 985])
    assert part_sizes(pairs, split_by_time(pairs, (4000, 1000))) == [3990, 1005, 1005]


@pytest.mark.parametrize("counts", [(50, 50), (90, 10), (200, 1)])
def test_split_by_time_refuses_counts_that_there_are_not(counts: tuple[int, int]) -> None:
    """A split of 50,50, for example, may be meant as shares."""
    with pytest.raises(PairsError, match=f"there are 100 pairs, too few for {counts[0]} of train"):
        split_by_time(make_pairs([25] * 4), counts)


def test_split_by_time_never_divides_a_shot() -> None:
    numbers = random.Random(0)
    for _ in range(200):
        pairs = make_pairs([numbers.randint(1, 30) for _ in range(numbers.randint(3, 12))])
        shares = [numbers.uniform(0.05, 1) for _ in PARTS]
        split = split_by_time(pairs, tuple(share / sum(shares) for share in shares))
        parts_of_shots: dict[int, set[str]] = {}
        for pair, part in zip(pairs, parts_of(pairs, split), strict=True):
            parts_of_shots.setdefault(pair.shot, set()).add(part)
        assert all(len(parts) == 1 for parts in parts_of_shots.values())
        assert min(part_sizes(pairs, split)) > 0


@pytest.mark.parametrize(("shots", "count"), [([10], 1), ([10, 10], 2)])
def test_split_by_time_refuses_too_few_shots(shots: list[int], count: int) -> None:
    with pytest.raises(PairsError) as caught:
        split_by_time(make_pairs(shots))
    assert str(caught.value) == (
        f"the pairs show only {count} shot(s), and training, validation and test need one each;"
        " extract a longer part of the film, or more stills with --every, or give --split"
        " interleaved, which tests no unseen shots, or --split none for a few painted stills"
    )


def regular(count: int, every: int, first: int = 0) -> list[Pair]:
    """Make a pair every so many frames, with times rounded to microseconds as by `extract`."""
    moments = [round(number * every / 24, 6) for number in range(first, first + count)]
    return [Pair(f"{i:06d}", moment, moment, 1) for i, moment in enumerate(moments, start=1)]


@pytest.mark.parametrize("every", [1, 5, 6, 24, 100])
@pytest.mark.parametrize("first", [0, 7])
def test_interleaved_split_takes_moments_by_turns(every: int, first: int) -> None:
    """This holds for long films, although 1/24 s has no finite decimal form."""
    turns: list[Part] = ["train", "validation", "train", "test"]
    split = InterleavedSplit(every)
    for number, pair in enumerate(regular(200_000, every, first), start=first):
        assert split.holds(turns[number % 4], pair)


def test_interleaved_split_of_extracted_pairs_shows_all_shots(pairs: Pairs) -> None:
    assert pairs.every == 6
    split = InterleavedSplit(pairs.every)
    assert part_sizes(pairs.pairs, split) == [12, 6, 6]
    for shot in (1, 2, 3):
        own = [pair for pair in pairs.pairs if pair.shot == shot]
        assert part_sizes(own, split) == [4, 2, 2]


def test_interleaved_split_stays_when_other_pairs_are_deleted(own_pairs: Pairs) -> None:
    split = InterleavedSplit(own_pairs.every)
    parts = dict(zip(own_pairs.pairs, parts_of(own_pairs.pairs, split), strict=True))
    for number in (1, 2, 3, 7, 8, 9, 14, 20, 24):
        for side in ("bw", "color"):
            (own_pairs.folder / side / f"{number:06d}.png").unlink()
    left = read_pairs(own_pairs.folder)
    assert len(left.pairs) == 15
    kept = [parts[pair] for pair in left.pairs]
    assert parts_of(left.pairs, InterleavedSplit(left.every)) == kept
    # By their index in the list, they would have changed parts.
    turns = ["train", "validation", "train", "test"]
    assert kept != [turns[index % 4] for index in range(15)]


def test_time_split_begins_parts_at_their_very_moments() -> None:
    pairs = make_pairs([1] * 7)
    expected = ["train"] * 2 + ["validation"] * 3 + ["test"] * 2
    assert parts_of(pairs, TimeSplit(2.0, 5.0)) == expected


@pytest.mark.parametrize(
    ("split", "description"),
    [
        (TimeSplit(1.25, 4.5), {"validation_from_seconds": 1.25, "test_from_seconds": 4.5}),
        (InterleavedSplit(12), {"every": 12}),
        (Undivided(), {"undivided": True}),
    ],
)
def test_read_split_undoes_describe(split: Split, description: Any) -> None:
    assert split.describe() == description
    assert read_split(json.loads(json.dumps(description))) == split


@pytest.mark.parametrize(
    "description",
    [
        "soon",
        None,
        7,
        "interleaved",
        ["interleaved"],
        {},
        {"every": 0},
        {"every": -6},
        {"every": True},
        {"validation_from_seconds": 10**400, "test_from_seconds": 1},
        {"every": 1.5},
        {"every": None},
        {"every": "6"},
        {"every": 6, "test_from_seconds": 2},
        {"undivided": False},
        {"undivided": True, "every": 6},
        {"x": 1},
        {"validation_from_seconds": 1},
        {"validation_from_seconds": None, "test_from_seconds": 2},
        {"validation_from_seconds": "a", "test_from_seconds": 2},
        {"validation_from_seconds": float("nan"), "test_from_seconds": 2},
        {"validation_from_seconds": 1, "test_from_seconds": float("inf")},
        {"validation_from_seconds": 1, "test_from_seconds": 2, "x": 3},
    ],
)
def test_read_split_refuses_what_is_none(description: Any) -> None:
    with pytest.raises(ValueError) as caught:
        read_split(description)
    assert str(caught.value) == f"{description!r} does not describe a split"


def test_choose_split_is_what_the_user_wants() -> None:
    pairs = make_pairs([1] * 100)
    assert choose_split(pairs, 12, (0.6, 0.2, 0.2)) == TimeSplit(60.0, 80.0)
    assert choose_split(pairs, 12, (50.0, 30.0)) == TimeSplit(50.0, 80.0)
    assert choose_split(pairs, 12, "interleaved") == InterleavedSplit(12)
    assert choose_split(pairs, 12, "none") == Undivided()


@pytest.mark.parametrize(
    ("sizes", "found", "expected"),
    [
        ((0.7, 0.15, 0.15), [70, 15, 15], False),
        ((0.7, 0.15, 0.15), [85, 7, 8], False),  # 7 of 15
        ((0.7, 0.15, 0.15), [86, 6, 8], True),  # 6 of 15
        ((60.0, 20.0), [80, 10, 10], False),
        ((60.0, 20.0), [80, 8, 12], True),
        ((60.0, 20.0), [60, 20, 0], False),  # nothing is said of the test part
    ],
)
def test_falls_short_of_less_than_half_or_so(
    sizes: tuple[float, ...], found: list[int], expected: bool
) -> None:
    assert falls_short(sizes, found) is expected

from __future__ import annotations

import functools
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from filmcolorizer_cli.alignment import (
    GAP_COST,
    KNOWN_RATES,
    SLIP_COST,
    Films,
    Stretch,
    Vectors,
    Window,
    _carry,
    _chain_rate,
    _running_max,
    align,
    best_chain,
    bridge,
    find_chain,
    find_rate,
    find_windows,
    measure_confidence,
)
from filmcolorizer_cli.lettering import load_font
from filmcolorizer_cli.registration import Comparison, Placement, Rectangle
from filmcolorizer_cli.signatures import HEIGHT, WIDTH, Frames, Signatures
from tests.conftest import SAMPLE_FRAMES

FRAME = 1 / 24  # seconds
PLACEMENT = Placement(np.eye(2, 3), Rectangle(), Rectangle())
FOREIGN = -1  # a frame that the film does not hold
Run = tuple[int, int]


@pytest.fixture(scope="module")
def film(sample_signatures: Signatures) -> Frames:
    """(432, 768): the sample film, then left and right swapped, then upside down: 18 s."""
    pictures = sample_signatures.frames.reshape(-1, HEIGHT, WIDTH)
    thrice = np.concatenate((pictures, pictures[:, :, ::-1], pictures[:, ::-1]))
    return thrice.reshape(-1, HEIGHT * WIDTH)


def frames_of(*runs: Run) -> NDArray[np.int64]:
    """The numbers of these runs of frames."""
    return np.concatenate([np.arange(begin, end) for begin, end in runs])


def foreign(count: int) -> NDArray[np.int64]:
    return np.full(count, FOREIGN)


class Version:
    """A film of these frames of another one, graded and with noise.

    Attributes:
        numbers: (N,), of the frames.
    """

    def __init__(
        self,
        film: Frames,
        numbers: NDArray[np.int64],
        *,
        frame_rate: float = 24,
        gamma: float = 1.0,
        seed: int = 0,
    ) -> None:
        chance = np.random.default_rng(seed)
        light = np.clip((film[numbers] - 16.0) / 219, 0, 1) ** gamma
        pictures = 16 + 219 * light + chance.normal(0, 1.5, light.shape)
        other = np.kron(chance.uniform(16, 235, (len(numbers), 6, 8)), np.ones((4, 4)))
        pictures = np.where((numbers == FOREIGN)[:, None], other.reshape(-1, 768), pictures)
        frames = np.clip(pictures, 16, 235).round().astype(np.uint8)
        self.numbers = numbers
        self.signatures = Signatures(frames, np.arange(len(numbers)) / frame_rate)


def aligned(bw: Version, color: Version) -> list[Stretch]:
    return align(bw.signatures, color.signatures, PLACEMENT)


def borders(stretches: list[Stretch], color: Version) -> list[tuple[int, int, int]]:
    """Where stretches begin and end, and the coloured frame that they begin with."""
    begins = [float(s.color_seconds(np.array(s.begin * FRAME))) for s in stretches]
    frames = color.signatures.at(np.array(begins))
    return [(s.begin, s.end, int(n)) for s, n in zip(stretches, frames, strict=True)]


def errors(stretches: list[Stretch], bw: Version, color: Version) -> NDArray[np.int64]:
    """By how many frames the counterparts of all frames in stretches are off."""
    off = []
    for stretch in stretches:
        inside = np.arange(stretch.begin, stretch.end)
        found = color.signatures.at(stretch.color_seconds(bw.signatures.seconds[inside]))
        off.append(color.numbers[found] - bw.numbers[inside])
    return np.abs(np.concatenate(off))


# Runs of frames of both versions, and the borders of stretches: both versions' runs cut the film
# where either has a gap.
CUTS: dict[str, tuple[list[Run], list[Run], list[tuple[int, int, int]]]] = {
    "none": ([(0, 432)], [(0, 432)], [(0, 432, 0)]),
    "later": ([(100, 432)], [(0, 400)], [(0, 300, 100)]),
    "earlier": ([(0, 300)], [(60, 432)], [(60, 300, 0)]),
    "color-lacks-a-shot": ([(0, 432)], [(0, 144), (192, 432)], [(0, 144, 0), (192, 432, 144)]),
    "bw-lacks-a-shot": ([(0, 144), (192, 432)], [(0, 432)], [(0, 144, 0), (144, 384, 192)]),
    "both-lack-a-shot": (
        [(0, 96), (144, 432)],
        [(0, 288), (336, 432)],
        [(0, 96, 0), (96, 240, 144), (288, 384, 288)],
    ),
    "color-lacks-frames": ([(0, 432)], [(0, 110), (122, 432)], [(0, 110, 0), (122, 432, 110)]),
    "bw-lacks-frames": ([(0, 110), (122, 432)], [(0, 432)], [(0, 110, 0), (110, 420, 122)]),
    "color-lacks-a-second": ([(0, 432)], [(0, 250), (274, 432)], [(0, 250, 0), (274, 432, 250)]),
    "bw-lacks-a-second": ([(0, 250), (274, 432)], [(0, 432)], [(0, 250, 0), (250, 408, 274)]),
}


@pytest.mark.parametrize("name", CUTS)
def test_align_is_exact_to_the_frame(name: str, film: Frames) -> None:
    bw_runs, color_runs, expected = CUTS[name]
    bw = Version(film, frames_of(*bw_runs), gamma=1.2, seed=1)
    color = Version(film, frames_of(*color_runs), gamma=0.9, seed=2)
    stretches = aligned(bw, color)
    assert borders(stretches, color) == expected
    assert errors(stretches, bw, color).max() == 0
    assert min(stretch.confidence for stretch in stretches) > 0.9
    assert {stretch.rate for stretch in stretches} == {1.0}


@pytest.mark.parametrize("side", ["bw", "color"])
def test_align_leaves_out_what_is_foreign(side: str, film: Frames) -> None:
    """An intro of two seconds, a second in between and an end are on one side only."""
    edited = Version(
        film,
        np.concatenate(
            (foreign(48), frames_of((0, 192)), foreign(24), frames_of((192, 432)), foreign(40))
        ),
        seed=3,
    )
    whole = Version(film, frames_of((0, 432)), seed=4)
    bw, color = (edited, whole) if side == "bw" else (whole, edited)
    stretches = aligned(bw, color)
    expected = {
        "bw": [(48, 240, 0), (264, 504, 192)],
        "color": [(0, 192, 48), (192, 432, 264)],
    }
    assert borders(stretches, color) == expected[side]
    assert errors(stretches, bw, color).max() == 0


RATES = [(24, 25), (25, 24), (24, 20), (18, 24)]


@pytest.mark.parametrize(("bw_fps", "color_fps"), RATES)
def test_align_finds_the_rate_of_a_speed_up(bw_fps: int, color_fps: int, film: Frames) -> None:
    """The same frames are shown faster or slower, as on PAL television or at silent speed."""
    bw = Version(film, frames_of((0, 432)), frame_rate=bw_fps, seed=1)
    color = Version(film, frames_of((48, 432)), frame_rate=color_fps, seed=2)
    [stretch] = aligned(bw, color)
    assert stretch.rate == pytest.approx(bw_fps / color_fps, abs=0.0005)
    assert (stretch.begin, stretch.end) == (48, 432)
    assert errors([stretch], bw, color).max() == 0


@pytest.mark.parametrize("first", [0, 144, 288])
@pytest.mark.parametrize(("bw_fps", "color_fps"), [*RATES, (24, 18), (24, 16), (28, 20), (20, 25)])
def test_align_finds_the_rate_of_a_few_seconds(
    bw_fps: int, color_fps: int, first: int, film: Frames
) -> None:
    """The chain through six seconds rises by far too little."""
    numbers = frames_of((first, first + 144))
    bw = Version(film, numbers, frame_rate=bw_fps, gamma=1.2, seed=1)
    color = Version(film, numbers, frame_rate=color_fps, seed=2)
    [stretch] = aligned(bw, color)
    assert stretch.rate == pytest.approx(bw_fps / color_fps, abs=0.0005)
    assert (stretch.begin, stretch.end) == (0, 144)
    assert errors([stretch], bw, color).max() <= 1


@pytest.mark.parametrize("gamma", [1.0, 1.1, 1.2])
@pytest.mark.parametrize(("bw_fps", "color_fps"), [(24, 24), *RATES])
def test_align_takes_splices_for_no_other_rate(
    bw_fps: int, color_fps: int, gamma: float, film: Frames
) -> None:
    """The coloured film lacks a few frames every two or three seconds."""
    runs = [(0, 50), (53, 110), (114, 160), (165, 230), (233, 290), (296, 350), (354, 432)]
    bw = Version(film, frames_of((0, 432)), frame_rate=bw_fps, gamma=gamma, seed=1)
    color = Version(film, frames_of(*runs), frame_rate=color_fps, seed=2)
    stretches = aligned(bw, color)
    for stretch in stretches:
        assert stretch.rate == pytest.approx(bw_fps / color_fps, abs=0.0005)
    assert [(stretch.begin, stretch.end) for stretch in stretches] == runs
    assert errors(stretches, bw, color).max() == 0


@pytest.mark.parametrize("color_fps", [25, 24])
def test_align_of_four_seconds_at_an_odd_speed(color_fps: int, film: Frames) -> None:
    """Of which the two or three windows overlap; 25 frames a second are not PAL's speed here."""
    shown = np.floor(np.arange(0, 96 * 1.25 * color_fps / 24) * 24 / color_fps / 1.25)
    bw = Version(film, frames_of((150, 246)), gamma=1.2, seed=1)
    color = Version(film, 150 + shown.astype(int), frame_rate=color_fps, seed=2)
    stretches = aligned(bw, color)
    assert [stretch.rate for stretch in stretches] == pytest.approx([1.25], abs=0.015)
    assert errors(stretches, bw, color).max() <= 1


@pytest.mark.parametrize(("bw_fps", "color_fps"), RATES)
def test_align_finds_the_rate_of_a_speed_up_with_a_cut(
    bw_fps: int, color_fps: int, film: Frames
) -> None:
    """The coloured film lacks a second in the middle of a shot as well."""
    bw = Version(film, frames_of((0, 432)), frame_rate=bw_fps, seed=1)
    color = Version(film, frames_of((0, 212), (236, 432)), frame_rate=color_fps, seed=2)
    stretches = aligned(bw, color)
    assert [(stretch.begin, stretch.end) for stretch in stretches] == [(0, 212), (236, 432)]
    for stretch in stretches:
        assert stretch.rate == pytest.approx(bw_fps / color_fps, abs=0.0005)
    assert errors(stretches, bw, color).max() == 0


def test_align_follows_repeated_frames(film: Frames) -> None:
    """Every fourth frame is shown twice, at 30 frames a second."""
    bw = Version(film, frames_of((0, 432)), seed=1)
    repeated = np.repeat(frames_of((36, 432)), [1, 1, 1, 2] * 99)
    color = Version(film, repeated, frame_rate=30, seed=2)
    [stretch] = aligned(bw, color)
    assert (stretch.begin, stretch.end, stretch.rate) == (36, 432, 1.0)
    off = errors([stretch], bw, color)
    assert off.max() <= 1
    assert (off == 0).mean() > 0.95


def test_align_follows_a_variable_frame_rate(film: Frames) -> None:
    """A tenth of the frames is left out at random, the others keep their times."""
    bw = Version(film, frames_of((0, 432)), seed=1)
    kept = np.sort(np.random.default_rng(6).choice(432, 389, replace=False))
    color = Version(film, kept, seed=2)
    color.signatures = Signatures(color.signatures.frames, kept * FRAME - kept[0] * FRAME)
    [stretch] = aligned(bw, color)
    assert stretch.rate == 1.0
    assert stretch.begin <= 1 and stretch.end >= 431
    off = errors([stretch], bw, color)
    there = np.isin(bw.numbers[stretch.begin : stretch.end], kept)
    assert off[there].max() == 0


def test_align_of_a_real_film(bunny_signatures: Signatures) -> None:
    film = bunny_signatures.frames
    bw_runs, color_runs = [(0, 89), (120, 410), (420, 600)], [(30, 323), (340, 600)]
    bw = Version(film, frames_of(*bw_runs), gamma=1.3, seed=1)
    color = Version(film, np.append(foreign(30), frames_of(*color_runs)), gamma=0.8, seed=2)
    stretches = aligned(bw, color)
    # Of the film 30 to 89, 120 to 323, 340 to 410 and 420 to 600.
    assert borders(stretches, color) == [
        (30, 89, 30),
        (89, 292, 120),
        (309, 379, 323),
        (379, 559, 403),
    ]
    assert errors(stretches, bw, color).max() == 0
    assert min(stretch.confidence for stretch in stretches) > 0.9


def test_align_of_films_without_anything_in_common_is_unsure(film: Frames) -> None:
    bw = Version(film, frames_of((0, 96)))
    color = Version(film, frames_of((240, 288), (384, 432)), seed=1)  # the third shot
    assert all(stretch.confidence < 0.3 for stretch in aligned(bw, color))


def test_align_of_a_film_that_is_too_short_for_a_chain_is_empty(film: Frames) -> None:
    bw, color = Version(film, frames_of((0, 5))), Version(film, frames_of((0, 432)))
    assert aligned(bw, color) == []


def test_color_seconds_runs_at_the_rate() -> None:
    stretch = Stretch(0, 10, 5.0, 0.5, PLACEMENT)
    assert stretch.color_seconds(np.array([0.0, 2.0, 10.0])).tolist() == [5.0, 6.0, 10.0]


def chain_value(path: list[tuple[int, int]], gains: NDArray[np.float32]) -> float:
    """What a chain of cells is worth by the rules of the module, told from its cells alone."""
    if not path:
        return 0.0
    value = float(gains[path[0]]) - GAP_COST
    for (row, column), (next_row, next_column) in pairwise(path):
        gain = float(gains[next_row, next_column])
        step = next_row - row, next_column - column
        costs = [GAP_COST] if min(step) >= 1 else []
        if step == (1, 1):
            costs.append(0.0)
        elif step == (1, 0):
            costs.append(SLIP_COST + max(gain, 0))
        elif step == (1, 2):
            costs.append(SLIP_COST)
        assert costs, f"no step from {row, column} to {next_row, next_column}"
        value += gain - min(costs)
    return value


def brute_force(gains: NDArray[np.float32]) -> float:
    """The value of the best of all chains of cells, by trying each way on from each cell."""
    rows, columns = gains.shape

    @functools.cache
    def from_cell(row: int, column: int) -> float:
        best = 0.0  # the chain ends here
        for r in range(row + 1, rows):
            for c in range(column, columns):
                if c == column and r > row + 1:
                    continue
                if c == column and r == row + 1:
                    step = SLIP_COST + max(float(gains[r, c]), 0)
                elif r == row + 1 and c == column + 1:
                    step = 0.0
                elif r == row + 1 and c == column + 2:
                    step = SLIP_COST
                else:
                    step = GAP_COST
                best = max(best, float(gains[r, c]) - step + from_cell(r, c))
        return best

    starts = [float(gains[r, c]) + from_cell(r, c) for r in range(rows) for c in range(columns)]
    return max(0.0, max(starts) - GAP_COST)


@pytest.mark.parametrize("seed", range(12))
def test_best_chain_is_worth_as_much_as_the_best_of_all(seed: int) -> None:
    chance = np.random.default_rng(seed)
    rows, columns = chance.integers(5, 13, 2)
    # Large gains here and there, so that runs of a few cells pay for gaps.
    gains = chance.uniform(-2, 2.5, (rows, columns))
    for _ in range(3):
        row, column = chance.integers(0, rows), chance.integers(0, columns)
        for n in range(int(chance.integers(3, 6))):
            if row + n < rows and column + n < columns:
                gains[row + n, column + n] = 6
    gains = gains.astype(np.float32)
    path = [(int(row), int(column)) for row, column in best_chain(gains)]
    best = brute_force(gains)
    assert best > 0, "a recipe without a chain tests nothing"
    assert chain_value(path, gains) == pytest.approx(best, abs=1e-3)


def diagonal(shape: tuple[int, int], *runs: tuple[int, int, int]) -> NDArray[np.float32]:
    """Gains of 2 along diagonals of (row, column, cells), else -5."""
    gains = np.full(shape, -5, np.float32)
    for row, column, cells in runs:
        for n in range(cells):
            gains[row + n, column + n] = 2
    return gains


@pytest.mark.parametrize(
    "runs",
    [
        [(0, 0, 20)],
        [(0, 12, 8), (8, 20, 12)],  # a gap in neither: one run
        [(0, 0, 8), (8, 12, 8)],  # columns that no row shows
        [(0, 0, 8), (12, 8, 8)],  # rows that no column shows
        [(2, 3, 7), (12, 14, 6), (20, 26, 8)],
    ],
)
def test_best_chain_bridges_gaps_on_either_side(runs: list[tuple[int, int, int]]) -> None:
    gains = diagonal((30, 40), *runs)
    expected = [(row + n, column + n) for row, column, cells in runs for n in range(cells)]
    assert best_chain(gains).tolist() == [list(cell) for cell in expected]


def test_best_chain_never_runs_backwards() -> None:
    """Two runs in the wrong order: only the longer can be told in one chain."""
    gains = diagonal((30, 30), (0, 20, 8), (15, 0, 10))
    assert best_chain(gains).tolist() == [[15 + n, n] for n in range(10)]


def test_best_chain_overlooks_what_does_not_pay_for_a_gap() -> None:
    gains = diagonal((30, 30), (0, 0, 10), (20, 25, 3))  # 3 cells of 2 are less than GAP_COST
    assert GAP_COST > 6
    assert best_chain(gains).tolist() == [[n, n] for n in range(10)]


def test_best_chain_follows_a_slow_drift() -> None:
    """At PAL's speed the coloured film passes 24 cells in 25 of the other."""
    gains = np.full((75, 75), -1, np.float32)
    cells = [(row, row * 24 // 25) for row in range(75)]
    for cell in cells:
        gains[cell] = 2
    path = best_chain(gains)
    assert path[0].max() <= 1
    assert path[-1].tolist() == [74, 71]
    assert np.abs(path[:, 1] - path[:, 0] * 24 / 25).max() <= 1


def test_best_chain_of_nothing_alike_is_empty() -> None:
    assert best_chain(np.full((8, 9), -1, np.float32)).shape == (0, 2)


def test_find_chain_tells_times_of_both_films(film: Frames) -> None:
    bw = Version(film, frames_of((96, 432))).signatures
    color = Version(film, frames_of((0, 432))).signatures
    color = Signatures(color.frames, color.seconds + 10)
    chain = find_chain(bw, color, PLACEMENT)
    assert len(chain) > 40
    delays = chain[:, 1] - chain[:, 0]
    assert np.abs(delays - 14).max() <= 0.5
    assert (np.diff(chain, axis=0) >= 0).all()


def chain_of(*delays: float) -> NDArray[np.float64]:
    """A chain of cells of a quarter of a second with these delays."""
    seconds = np.arange(len(delays)) / 4
    return np.stack((seconds, seconds + np.array(delays)), axis=1)


@pytest.mark.parametrize("rate", [1.0, 0.96, 25 / 24, 0.8, 1.3])
def test_chain_rate_is_the_slope_of_a_run(rate: float) -> None:
    seconds = np.arange(100) / 4
    run = np.stack((seconds, np.floor(seconds * rate * 4) / 4), axis=1)
    assert _chain_rate([run], 1.0) == pytest.approx(rate, abs=0.01)


def test_chain_rate_of_runs_that_are_too_short_is_the_expected_one() -> None:
    assert _chain_rate([chain_of(*[0.0] * 5), chain_of(*[1.0] * 9)], 0.96) == 0.96


def test_chain_rate_of_two_equal_modes_is_one_of_them() -> None:
    """Slopes of 1 and, as often, of a run with a cut: their median lies in between, near none."""
    even = chain_of(*[0.0] * 21)
    rising = chain_of(*[0.0] * 10, *[1.0] * 11)
    assert _chain_rate([even, rising], 1.0) == pytest.approx(1, abs=0.01)


def windows_at(
    true_rate: float,
    found_at: float,
    *,
    seconds: float = 60.0,
    jumps: float = 0.0,
    noise: float = 0.2,
    sharpness: float = 5.0,
) -> list[Window]:
    """Windows of a film that runs at a rate, as they are found at another one.

    Args:
        jumps: seconds by which the offset changes every 20 seconds.
        noise: of the offsets, in frames.
    """
    chance = np.random.default_rng(3)
    windows = []
    for begin in np.arange(0, seconds, 1.5):
        offset = 3 + (true_rate - found_at) * begin + jumps * (begin // 20)
        offset += chance.uniform(-noise, noise) * FRAME
        windows.append(Window(begin, offset, 0.95, sharpness))
    return windows


@pytest.mark.parametrize("found_at", [-0.01, 0.004])
@pytest.mark.parametrize("true_rate", [float(rate) for rate in KNOWN_RATES])
def test_find_rate_finds_known_rates(true_rate: float, found_at: float) -> None:
    """The chain tells the rate to a hundredth; in two minutes, 23.976 fps are three frames off."""
    rate = true_rate + found_at
    assert find_rate(windows_at(true_rate, rate, seconds=150), rate, 1.0, FRAME) == true_rate


@pytest.mark.parametrize("jumps", [0.5, -2.0])
@pytest.mark.parametrize("true_rate", [1.0, 0.96])
def test_find_rate_is_not_led_astray_by_cuts(true_rate: float, jumps: float) -> None:
    rate = true_rate + 0.01
    windows = windows_at(true_rate, rate, seconds=150, jumps=jumps)
    assert find_rate(windows, rate, 1.0, FRAME) == true_rate


@pytest.mark.parametrize(
    "cuts",
    [
        [(9.0, 0.8)],
        [(7.0, 1.3), (15.0, -0.6)],
    ],
)
def test_find_rate_of_a_short_film_with_cuts_is_the_expected_one(
    cuts: list[tuple[float, float]],
) -> None:
    """No odd rate, at which windows before and behind cuts happen to agree."""
    chance = np.random.default_rng(1)
    windows = []
    for begin in np.arange(0, 20, 1.5):
        offset = sum(jump for at, jump in cuts if begin >= at) + chance.uniform(-0.2, 0.2) * FRAME
        windows.append(Window(float(begin), offset, 0.95, 5.0))
    assert find_rate(windows, 1.0, 1.0, FRAME) == 1.0


def test_find_rate_finds_an_unknown_rate() -> None:
    windows = windows_at(0.9871, 0.98, seconds=90)
    assert find_rate(windows, 0.98, 1.0, FRAME) == pytest.approx(0.9871, abs=0.0003)


def test_find_rate_at_an_unknown_rate_without_anything_that_moves_keeps_it() -> None:
    assert find_rate(windows_at(1.27, 1.27, sharpness=0.05), 1.27, 1.0, FRAME) == 1.27


@pytest.mark.parametrize("count", [0, 1, 30])
def test_find_rate_without_anything_that_moves_is_the_expected_one(count: int) -> None:
    windows = windows_at(0.99, 1.0, sharpness=0.05)[:count]
    assert find_rate(windows, 1.0, 1.001, FRAME) == 1.001


def test_find_windows_are_exact_to_the_frame(film: Frames) -> None:
    bw, color = Version(film, frames_of((31, 432))), Version(film, frames_of((0, 432)), seed=1)
    films = Films(bw.signatures, color.signatures, PLACEMENT)
    chain = find_chain(films.bw, films.color, PLACEMENT)
    windows = find_windows(films, [chain], 1.0)
    assert len(windows) >= 8
    for window in windows:
        assert window.offset_seconds == pytest.approx(31 * FRAME, abs=0.01)
        assert window.likeness > 0.9
    assert np.median([window.sharpness for window in windows]) > 0.5


def test_running_max_is_the_largest_so_far() -> None:
    largest, at = _running_max(np.array([2.0, 1.0, 2.0, 5.0, 4.0, -1.0, 6.0]))
    assert largest.tolist() == [2, 2, 2, 5, 5, 5, 6]
    values = np.array([2.0, 1.0, 2.0, 5.0, 4.0, -1.0, 6.0])
    np.testing.assert_array_equal(values[at], largest)
    assert (at <= np.arange(7)).all()


def test_carry_takes_scores_to_the_states_that_stay() -> None:
    old, new = np.array([3, 5, 9]), np.array([4, 5, 6, 9])
    on, off = np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0])
    left = np.array([0.1, 0.2, 0.3])
    kept, moved, on_new, off_new, left_new = _carry(old, new, on, off, left)
    # 3 ends: who is in it cannot go on; its gap goes to the nearest state above.
    assert kept.tolist() == [-1, 1, -1, 2]
    assert moved.tolist() == [0, 1, -1, 2]
    assert on_new[[1, 3]].tolist() == [2, 3]
    assert off_new[[0, 1, 3]].tolist() == [10, 30, 20]
    assert left_new[[0, 1, 3]].tolist() == [0.1, 0.2, 0.3]
    assert (on_new[[0, 2]] < -1e6).all()
    assert off_new[2] < -1e6


def test_carry_of_two_gaps_to_one_state_keeps_the_better() -> None:
    old, new = np.array([1, 2, 8]), np.array([3])
    off = np.array([5.0, 7.0, 6.0])
    _, moved, _, off_new, left_new = _carry(old, new, off * 0, off, np.array([0.1, 0.2, 0.3]))
    assert (moved.tolist(), off_new.tolist(), left_new.tolist()) == ([1], [7], [0.2])


def test_vectors_are_held_to_a_hundredth(film: Frames) -> None:
    comparison = Comparison(PLACEMENT)
    vectors = Vectors(comparison, comparison.flat_bw, film)
    assert len(vectors) == 432
    exact = comparison.bw(film)
    np.testing.assert_allclose(vectors[:], exact, atol=0.002)
    np.testing.assert_allclose((vectors[::7] * exact[::7]).sum(axis=1), 1, atol=0.01)
    np.testing.assert_array_equal(vectors.lengths, 1)
    black = Vectors(comparison, comparison.flat_bw, np.full((3, 768), 16, np.uint8))
    np.testing.assert_allclose(black[:], 0, atol=1e-3)
    np.testing.assert_allclose(black.lengths, 0, atol=1e-3)


def title_card(text: str) -> NDArray[np.uint8]:
    """(768,): white letters on black, whose few bright pixels are most of the picture."""
    card = Image.new("L", (WIDTH * 10, HEIGHT * 10), 16)
    draw = ImageDraw.Draw(card)
    draw.text((20, 100), text, 235, load_font(36))
    return np.asarray(card.resize((WIDTH, HEIGHT), Image.Resampling.BOX)).reshape(-1)


CARDS = ["Who are you?", "The next morning", "At last!", "My son", "No one knew", "The End"]


def test_vectors_of_title_cards_are_no_more_than_alike() -> None:
    cards = np.stack([title_card(text) for text in CARDS])
    vectors = Vectors(Comparison(PLACEMENT), Comparison(PLACEMENT).flat_bw, cards)
    np.testing.assert_allclose(np.linalg.norm(vectors[:], axis=1), 1, atol=1e-5)


def test_align_is_sure_of_title_cards() -> None:
    film = np.repeat(np.stack([title_card(text) for text in CARDS]), 48, axis=0)
    times = np.arange(len(film)) / 24
    [stretch] = align(Signatures(film, times), Signatures(film, times), PLACEMENT)
    assert (stretch.begin, stretch.end, stretch.rate) == (0, len(film), 1.0)
    assert 0.9 < stretch.confidence <= 1


def films_of(bw: Version, color: Version) -> Films:
    return Films(bw.signatures, color.signatures, PLACEMENT)


def stretch_of(begin: int, end: int, offset_frames: float, **values: Any) -> Stretch:
    return replace(Stretch(begin, end, offset_frames * FRAME, 1.0, PLACEMENT), **values)


def test_bridge_closes_a_gap_in_which_both_go_on(film: Frames) -> None:
    films = films_of(Version(film, frames_of((0, 144))), Version(film, frames_of((0, 144)), seed=1))
    closed = bridge(films, [stretch_of(0, 60, 0), stretch_of(70, 144, 0)])
    assert closed == [stretch_of(0, 144, 0)]


def test_bridge_leaves_a_gap_in_which_the_one_film_shows_something_else(film: Frames) -> None:
    numbers = np.concatenate((frames_of((0, 60)), foreign(20), frames_of((80, 144))))
    films = films_of(Version(film, frames_of((0, 144))), Version(film, numbers, seed=1))
    apart = [stretch_of(0, 60, 0), stretch_of(80, 144, 0)]
    assert bridge(films, apart) == apart


def test_bridge_closes_a_gap_in_which_both_are_black(film: Frames) -> None:
    dark = film.copy()
    dark[60:84] = 16
    films = films_of(Version(dark, frames_of((0, 144))), Version(dark, frames_of((0, 144)), seed=1))
    closed = bridge(films, [stretch_of(0, 60, 0), stretch_of(84, 144, 0)])
    assert closed == [stretch_of(0, 144, 0)]


def test_bridge_keeps_stretches_of_different_offsets_apart(film: Frames) -> None:
    numbers = frames_of((0, 60), (72, 144))
    films = films_of(Version(film, frames_of((0, 144))), Version(film, numbers, seed=1))
    apart = [stretch_of(0, 60, 0), stretch_of(72, 144, -12)]
    assert bridge(films, apart) == apart
    assert bridge(films, []) == []


def test_measure_confidence_is_high_for_what_is_right(film: Frames) -> None:
    films = films_of(
        Version(film, frames_of((0, 432))), Version(film, frames_of((20, 432)), seed=1)
    )
    assert measure_confidence(films, stretch_of(20, 432, -20)) > 0.99


@pytest.mark.parametrize("late", [-30, -10, 10, 200])
def test_measure_confidence_is_low_for_wrong_offsets(late: int, film: Frames) -> None:
    films = films_of(Version(film, frames_of((0, 432))), Version(film, frames_of((0, 432)), seed=1))
    assert measure_confidence(films, stretch_of(30, 200, late)) < 0.3


def test_measure_confidence_is_low_where_nothing_moves(film: Frames) -> None:
    """Both show the same still picture for two seconds: when, nobody can tell."""
    still = np.full(48, 60)
    films = films_of(Version(film, still), Version(film, still, seed=1))
    assert measure_confidence(films, stretch_of(0, 48, 0)) < 0.3


def test_measure_confidence_of_black_is_none() -> None:
    black = Signatures(np.full((48, 768), 16, np.uint8), np.arange(48) * FRAME)
    films = Films(black, black, PLACEMENT)
    assert measure_confidence(films, stretch_of(0, 48, 0)) == 0


def test_sample_is_as_long_as_tests_count_on(film: Frames) -> None:
    assert len(film) == 3 * SAMPLE_FRAMES

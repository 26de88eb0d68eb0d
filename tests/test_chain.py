from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from filmcolorizer_cli import chain
from filmcolorizer_cli.chain import GAP_COST, SLIP_COST, best_chain, find_chain, runs_of
from filmcolorizer_cli.signatures import Frames, Signatures
from tests.versions import FOREIGN, PLACEMENT, Version, foreign, frames_of


def chain_value(path: list[tuple[int, int]], gains: NDArray[np.float32]) -> float:
    """Return the value of a chain of cells by the module's rules, from its cells alone."""
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
    """Return the value of the best chain of cells, by trying every continuation of every cell."""
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
    drawn = chance.uniform(-2, 2.5, (rows, columns))
    for _ in range(3):
        row, column = chance.integers(0, rows), chance.integers(0, columns)
        for n in range(int(chance.integers(3, 6))):
            if row + n < rows and column + n < columns:
                drawn[row + n, column + n] = 6
    gains = drawn.astype(np.float32)
    path = [(int(row), int(column)) for row, column in best_chain(gains)]
    best = brute_force(gains)
    assert best > 0, "a recipe without a chain tests nothing"
    assert chain_value(path, gains) == pytest.approx(best, abs=1e-3)


def diagonal(shape: tuple[int, int], *runs: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return gains of 2 along diagonals of (row, column, cells), else -5."""
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
    """Of two runs in the wrong order, one chain can hold only the longer."""
    gains = diagonal((30, 30), (0, 20, 8), (15, 0, 10))
    assert best_chain(gains).tolist() == [[15 + n, n] for n in range(10)]


def test_best_chain_overlooks_what_does_not_pay_for_a_gap() -> None:
    gains = diagonal((30, 30), (0, 0, 10), (20, 25, 3))  # 3 cells of 2 are less than GAP_COST
    assert GAP_COST > 6
    assert best_chain(gains).tolist() == [[n, n] for n in range(10)]


def test_best_chain_follows_a_slow_drift() -> None:
    """At PAL speed, the coloured film passes 24 cells in 25 of the other."""
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
    found = find_chain(bw, color, PLACEMENT)
    assert len(found) > 40
    delays = found[:, 1] - found[:, 0]
    assert np.abs(delays - 14).max() <= 0.5
    assert (np.diff(found, axis=0) >= 0).all()


def test_find_chain_of_long_films_is_of_fewer_cells(
    film: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 36 cells at most, 18 s make cells of half a second; the limit bounds memory use."""
    monkeypatch.setattr(chain, "MAX_CELLS", 36)
    whole = Version(film, frames_of((0, 432))).signatures
    found = find_chain(whole, whole, PLACEMENT)
    assert 30 < len(found) <= 36
    assert np.diff(found[:, 0]).min() == pytest.approx(0.5)


@pytest.mark.parametrize("others", [(3, 4, 5), (1, 2, 3)])
def test_find_chain_looks_at_several_frames_of_a_cell(
    others: tuple[int, ...], film: Frames
) -> None:
    """Of every six frames, the coloured film shows something else in some."""
    numbers = np.arange(432)
    bw = Version(film, numbers, seed=1).signatures
    seen = np.where(np.isin(numbers % 6, others), FOREIGN, numbers)
    found = find_chain(bw, Version(film, seed=2, numbers=seen).signatures, PLACEMENT)
    assert len(found) > 60
    assert np.abs(found[:, 1] - found[:, 0]).max() <= 0.5


def test_find_chain_goes_on_over_a_moment_of_something_else(film: Frames) -> None:
    """The interruption costs less than a gap."""
    bw = Version(film, np.concatenate((frames_of((0, 200)), foreign(6), frames_of((206, 432)))))
    color = Version(film, frames_of((0, 432)), seed=1)
    [run] = runs_of(find_chain(bw.signatures, color.signatures, PLACEMENT))
    assert len(run) > 65


def test_runs_of_parts_a_chain_where_either_film_has_a_gap() -> None:
    """A repeated or skipped cell is no gap."""
    parts = ([(0, 0), (1, 1), (2, 3), (3, 3)], [(6, 4), (7, 5)], [(8, 9), (9, 10)])
    times = [np.array(part) * 0.25 + (10, 3) for part in parts]
    for found, expected in zip(runs_of(np.concatenate(times)), times, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("count", [0, 1])
def test_runs_of_a_chain_that_is_too_short_are_none(count: int) -> None:
    assert runs_of(np.zeros((count, 2))) == []


def test_gains_go_by_how_well_the_black_and_white_film_is_found() -> None:
    """It is a sixth of the coloured film, most of which therefore matches nothing."""
    similarity = np.full((10, 60), 0.6, np.float32)
    similarity[np.arange(10), np.arange(10)] = 0.97
    gains = chain._gains(similarity.copy())
    assert ((gains > 0) == (similarity > 0.9)).all()

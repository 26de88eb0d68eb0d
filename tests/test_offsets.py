from __future__ import annotations

import numpy as np
import pytest

from filmcolorizer_cli.offsets import Offsets, _carry, _running_max, _Scores
from filmcolorizer_cli.signatures import Frames
from filmcolorizer_cli.similarity import Films, Window
from tests.versions import FRAME, PLACEMENT, Version, frames_of


def test_running_max_is_the_largest_so_far() -> None:
    largest, at = _running_max(np.array([2.0, 1.0, 2.0, 5.0, 4.0, -1.0, 6.0]))
    assert largest.tolist() == [2, 2, 2, 5, 5, 5, 6]
    values = np.array([2.0, 1.0, 2.0, 5.0, 4.0, -1.0, 6.0])
    np.testing.assert_array_equal(values[at], largest)
    assert (at <= np.arange(7)).all()


def test_carry_takes_scores_to_the_states_that_stay() -> None:
    old, new = np.array([3, 5, 9]), np.array([4, 5, 6, 9])
    states, gaps = np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0])
    kept, moved, scores = _carry(old, new, _Scores(states, gaps, np.array([0.1, 0.2, 0.3])))
    # State 3 ends, and so do the paths in it; its gap goes to the next state up.
    assert kept.tolist() == [-1, 1, -1, 2]
    assert moved.tolist() == [0, 1, -1, 2]
    assert scores.states[[1, 3]].tolist() == [2, 3]
    assert scores.gaps[[0, 1, 3]].tolist() == [10, 30, 20]
    assert scores.gap_starts[[0, 1, 3]].tolist() == [0.1, 0.2, 0.3]
    assert (scores.states[[0, 2]] < -1e6).all()
    assert scores.gaps[2] < -1e6


def test_carry_of_two_gaps_to_one_state_keeps_the_better() -> None:
    old, new = np.array([1, 2, 8]), np.array([3])
    gaps = np.array([5.0, 7.0, 6.0])
    _, moved, scores = _carry(old, new, _Scores(gaps * 0, gaps, np.array([0.1, 0.2, 0.3])))
    assert moved.tolist() == [1]
    assert (scores.gaps.tolist(), scores.gap_starts.tolist()) == ([7], [0.2])


@pytest.mark.parametrize("blurred", [[], [Window(7.5, -17 * FRAME, 0.95, 0.0)]])
def test_offsets_far_from_windows_are_those_of_the_next_ones(
    blurred: list[Window], film: Frames
) -> None:
    """The nearest sharp ones, that is: windows where nothing moves may have any offset."""
    bw = Version(film, frames_of((0, 216), (264, 432)))
    films = Films(bw.signatures, Version(film, frames_of((0, 432)), seed=1).signatures, PLACEMENT)
    windows = [Window(1.0, 0.0, 0.95, 5.0), *blurred, Window(15.0, 48 * FRAME, 0.95, 5.0)]
    offsets, gained = Offsets(films, windows, 1.0).find()
    np.testing.assert_allclose(offsets[:216], 0, atol=1e-6)
    np.testing.assert_allclose(offsets[216:], 48 * FRAME, atol=1e-6)
    assert gained > 300

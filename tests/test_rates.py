from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from filmcolorizer_cli.rates import KNOWN_RATES, find_rate, rate_of_chain
from filmcolorizer_cli.similarity import Window
from tests.versions import FRAME


def chain_of(*delays: float) -> NDArray[np.float64]:
    """Return a chain of cells of a quarter of a second with these delays."""
    seconds = np.arange(len(delays)) / 4
    return np.stack((seconds, seconds + np.array(delays)), axis=1)


@pytest.mark.parametrize("rate", [1.0, 0.96, 25 / 24, 0.8, 1.3])
def test_rate_of_chain_is_the_slope_of_a_run(rate: float) -> None:
    seconds = np.arange(100) / 4
    run = np.stack((seconds, np.floor(seconds * rate * 4) / 4), axis=1)
    assert rate_of_chain([run], 1.0) == pytest.approx(rate, abs=0.01)


def test_rate_of_chain_of_runs_that_are_too_short_is_the_expected_one() -> None:
    assert rate_of_chain([chain_of(*[0.0] * 5), chain_of(*[1.0] * 9)], 0.96) == 0.96


def test_rate_of_chain_of_two_equal_modes_is_one_of_them() -> None:
    """Slopes of 1 and, as often, those of a run with a cut: their median is near neither."""
    even = chain_of(*[0.0] * 21)
    rising = chain_of(*[0.0] * 10, *[1.0] * 11)
    assert rate_of_chain([even, rising], 1.0) == pytest.approx(1, abs=0.01)


def windows_at(
    true_rate: float,
    found_at: float,
    *,
    seconds: float = 60.0,
    jumps: float = 0.0,
    noise: float = 0.2,
    sharpness: float = 5.0,
) -> list[Window]:
    """Return windows of a film that runs at one rate, as they are found at another one.

    Args:
        jumps: seconds by which the offset changes every 20 seconds.
        noise: largest error of the offsets, in frames.
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
    """The chain gives the rate to 0.01; over two minutes, 23.976 fps is three frames off."""
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
    """Not an odd rate, at which windows before and after cuts happen to agree."""
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

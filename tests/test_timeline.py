from __future__ import annotations

from fractions import Fraction

import pytest

from filmcolorizer_cli.timeline import Timeline

MILLISECOND = Fraction(1, 1000)
UNEVEN = Timeline(Fraction(25), MILLISECOND, [0, 45, 80, 500], end=600)


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001)])
def test_steady_frames_are_shown_at_their_rate(rate: Fraction) -> None:
    times = Timeline.steady(rate, 10)
    assert times.is_steady
    assert len(times.pts) == 10
    for number in (0, 1, 9, 10, -3):
        assert times.pts_of(number) * times.time_base == number / rate
        assert times.seconds(number) == pytest.approx(number / rate)
        assert times.number_at(times.seconds(number)) == number
        assert times.number_at(times.seconds(number) + 0.6 / float(rate)) == number + 1


def test_uneven_frames_are_shown_at_their_own_times() -> None:
    assert not UNEVEN.is_steady
    assert [UNEVEN.seconds(number) for number in range(4)] == [0, 0.045, 0.08, 0.5]
    assert UNEVEN.seconds(4) == 0.6
    assert UNEVEN.pts_of(-1) == -45


@pytest.mark.parametrize(
    ("seconds", "number"),
    [(0.0, 0), (0.045, 1), (0.06, 1), (0.07, 2), (0.1, 2), (0.11, 3), (0.7, 4)],
)
def test_number_at_finds_the_first_frame_then_or_later(seconds: float, number: int) -> None:
    """A frame up to half a frame earlier counts, too, to allow for rounded times."""
    assert UNEVEN.number_at(seconds) == number


def test_number_at_rounds_to_the_nearest_frame() -> None:
    times = Timeline.steady(Fraction(24), 9)
    assert [times.number_at(n / 24) for n in (0, 1, 1.4, 1.6, 2)] == [0, 1, 1, 2, 2]

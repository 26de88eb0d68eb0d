from __future__ import annotations

from fractions import Fraction

import pytest
import typer

from filmcolorizer_cli.options import parse_frame_rate, parse_seconds, parse_split


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("24", Fraction(24)),
        ("source", None),
        ("24000/1001", Fraction(24000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("23.97", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("12.5", Fraction(25, 2)),
        ("60", Fraction(60)),
        ("10", Fraction(10)),  # although 10000/1001 is near
        ("9.99", Fraction(10000, 1001)),
        ("16.98", Fraction(17000, 1001)),
        ("16.99", Fraction(1699, 100)),
        ("19.99", Fraction(1999, 100)),
        ("23.9", Fraction(239, 10)),
        ("1699/100", Fraction(1699, 100)),
        ("2398/100", Fraction(1199, 50)),
        ("1", Fraction(1)),
    ],
)
def test_parse_frame_rate_is_exact(text: str, rate: Fraction | None) -> None:
    assert parse_frame_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("80.5", 80.5), ("1:20", 80), ("1:02:03.25", 3723.25), ("90:00", 5400)],
)
def test_parse_seconds_takes_clock_times(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1:60", "1:-2", "1:2:3:4", "nan", "inf", "1e8", "a:b"])
def test_parse_seconds_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a time; write seconds"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("70,15,15", (0.7, 0.15, 0.15)),
        ("2,1,1", (0.5, 0.25, 0.25)),
        ("4000,1000", (4000, 1000)),
    ],
)
def test_parse_split_takes_shares_and_counts(text: str, sizes: tuple[float, ...]) -> None:
    assert parse_split(text) == pytest.approx(sizes)


@pytest.mark.parametrize("text", ["interleaved", "none"])
def test_parse_split_takes_names(text: str) -> None:
    assert parse_split(text) == text


@pytest.mark.parametrize(
    "text", ["", "70", "70,30,0", "0.5,1000", "1,1,inf", "1e308,1e308,1e308", "1,1,1,1", "all"]
)
def test_parse_split_refuses_what_is_no_split(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a split; write three shares"):
        parse_split(text)

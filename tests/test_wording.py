from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from filmcolorizer_cli.encoding import CODECS, Encoding
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.training import Outcome
from filmcolorizer_cli.video import Subtitle, probe
from filmcolorizer_cli.wording import (
    describe_losses,
    describe_more,
    describe_outcome,
    describe_size,
    describe_time,
)
from tests.films import run_ffmpeg


def test_describe_outcome_tells_how_far_a_blend_goes() -> None:
    assert describe_outcome(Outcome(0.75, 0.12344, 1.5, 2.0, 4)) == (
        "kept weights 75% of the way from the first ones to those of epoch 4: validation MSE"
        " 0.1234, before training 1.5000"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00.000"), (59.9996, "0:01:00.000"), (3661.25, "1:01:01.250")],
)
def test_describe_time_carries_what_is_rounded_up(seconds: float, text: str) -> None:
    assert describe_time(seconds) == text


def test_describe_size_tells_of_pixels_that_are_no_squares() -> None:
    film = replace(probe(SAMPLE_FILM), width=720, height=576)
    assert describe_size(film) == "720x576"
    wide = replace(film, sample_aspect_ratio=Fraction(64, 45))
    assert describe_size(wide) == "720x576 with pixels of 64:45"


@pytest.mark.parametrize(
    ("codec", "language", "target", "fate"),
    [
        (
            "dvd_subtitle",
            "eng",
            "o.mp4",
            "dvd_subtitle (eng) left out, since mp4 cannot hold them (mkv can hold all known"
            " kinds)",
        ),
        ("dvd_subtitle", "eng", "o.mkv", "dvd_subtitle (eng) kept"),
        ("unknown", None, "o.mkv", "unknown left out, since mkv cannot hold them"),
    ],
)
def test_describe_more_tells_of_subtitles_that_no_file_holds(
    codec: str, language: str | None, target: str, fate: str
) -> None:
    """The film is changed to list them, since ffmpeg makes no picture subtitles from text."""
    film = replace(probe(SAMPLE_FILM), subtitles=(Subtitle(1, codec, language),))
    assert describe_more(film, Path(target))[0] == ("subtitles", fate)


@pytest.mark.parametrize(
    ("part", "fate"),
    [((0.0, None), "12 kept"), ((0.0, 9.0), "12 kept, as far as they lie in this part")],
)
def test_describe_more_counts_chapters(part: tuple[float, float | None], fate: str) -> None:
    film = replace(probe(SAMPLE_FILM), chapters=12)
    assert describe_more(film, Path("o.mkv"), Fraction(24), *part) == [("chapters", fate)]


def test_describe_losses_of_a_deep_film_of_full_range_in_prores() -> None:
    film = probe(SAMPLE_FILM)
    film = replace(film, width=853, coding=replace(film.coding, bit_depth=12, range="full"))
    told = describe_losses(film, Encoding(codec="prores", coding=CODECS["prores"].coding_of(film)))
    assert told == [
        ("luma", "12 bits become the 10 of ProRes; --codec ffv1 keeps them all"),
        (
            "luma",
            "the full range becomes the limited one of ProRes; any other --codec keeps it",
        ),
    ]
    assert (
        describe_losses(film, Encoding(codec="ffv1", coding=CODECS["ffv1"].coding_of(film))) == []
    )


@pytest.mark.parametrize(
    ("select", "fate"),
    [("1", "kept"), ("mod(n\\,10)", "left out, since it counts other frames")],
)
def test_describe_more_tells_of_a_time_code_at_the_films_own_times(
    select: str, fate: str, tmp_path: Path
) -> None:
    uneven = ("-vf", f"select={select},scale=64:48", "-fps_mode", "vfr", "-timecode", "01:00:00:00")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", *uneven, tmp_path / "film.mkv")
    told = describe_more(probe(tmp_path / "film.mkv"), Path("o.mkv"), None)
    assert told == [("time code", f"01:00:00:00 {fate}")]

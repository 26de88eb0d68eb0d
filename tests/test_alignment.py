from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from filmcolorizer_cli.alignment import Stretch, align, bridge, measure_confidence
from filmcolorizer_cli.signatures import Frames, Signatures
from filmcolorizer_cli.similarity import Films
from tests.films import SAMPLE_FRAMES
from tests.versions import CARDS, FRAME, PLACEMENT, Run, Version, foreign, frames_of, title_card


def aligned(bw: Version, color: Version) -> list[Stretch]:
    return align(bw.signatures, color.signatures, PLACEMENT)


def borders(stretches: list[Stretch], color: Version) -> list[tuple[int, int, int]]:
    """Return where stretches begin and end, and the coloured frame at which they begin."""
    begins = [float(s.color_seconds(np.array(s.begin * FRAME))) for s in stretches]
    frames = color.signatures.at(np.array(begins))
    return [(s.begin, s.end, int(n)) for s, n in zip(stretches, frames, strict=True)]


def errors(stretches: list[Stretch], bw: Version, color: Version) -> NDArray[np.int64]:
    """Return by how many frames the counterparts of all frames in stretches are off."""
    off = []
    for stretch in stretches:
        inside = np.arange(stretch.begin, stretch.end)
        found = color.signatures.at(stretch.color_seconds(bw.signatures.seconds[inside]))
        off.append(color.numbers[found] - bw.numbers[inside])
    return np.abs(np.concatenate(off))


# Runs of frames of both versions, and the expected stretches, which end wherever either version has
# a gap.
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("side", ["bw", "color"])
def test_align_leaves_out_what_is_foreign(side: str, film: Frames) -> None:
    """One side has an extra intro of two seconds, a second in the middle, and an ending."""
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
    """Over six seconds, the chain alone underestimates the rate by far."""
    numbers = frames_of((first, first + 144))
    bw = Version(film, numbers, frame_rate=bw_fps, gamma=1.2, seed=1)
    color = Version(film, numbers, frame_rate=color_fps, seed=2)
    [stretch] = aligned(bw, color)
    assert stretch.rate == pytest.approx(bw_fps / color_fps, abs=0.0005)
    assert (stretch.begin, stretch.end) == (0, 144)
    assert errors([stretch], bw, color).max() <= 1


@pytest.mark.slow
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
    """Such a film has only two or three windows, which overlap; 25 fps is not PAL speed here."""
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
    """A tenth of the frames is dropped at random; the others keep their times."""
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
    # Shared frames of the film: 30 to 89, 120 to 323, 340 to 410 and 420 to 600.
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
    """Both show the same still picture for two seconds, so that any offset fits."""
    still = np.full(48, 60)
    films = films_of(Version(film, still), Version(film, still, seed=1))
    assert measure_confidence(films, stretch_of(0, 48, 0)) < 0.3


def test_measure_confidence_of_black_is_none() -> None:
    black = Signatures(np.full((48, 768), 16, np.uint8), np.arange(48) / 24)
    films = Films(black, black, PLACEMENT)
    assert measure_confidence(films, stretch_of(0, 48, 0)) == 0


def test_sample_is_as_long_as_tests_count_on(film: Frames) -> None:
    assert len(film) == 3 * SAMPLE_FRAMES

"""The benchmark of `sync` in docs/measured.md: its pairs, and how they are scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import sync_accuracy
from benchmarks.drawn_pairs import CADENCES, WRONG_KINDS, draw_recipe, draw_wrong_recipe
from benchmarks.sync_accuracy import Score, score
from filmcolorizer_cli.maps import Segment, SyncMap
from tests.planter import Planted, Reel

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
RATE, FRAMES, LATE = 24, 240, 24  # the coloured film begins a second into the other one


@pytest.mark.parametrize("seed", range(1, 9))
def test_draw_recipe_is_one_that_can_be_planted(seed: int, shared_data: Path) -> None:
    recipe = draw_recipe(seed, shared_data)
    assert recipe == draw_recipe(seed, shared_data)
    films = {run.what: run for run in (*recipe.bw.runs, *recipe.color.runs)}
    assert films["film"].first + films["film"].count <= recipe.source.length
    cadence = list(CADENCES)[seed % len(CADENCES)]
    assert cadence in recipe.kinds or {"easy", "equal"} <= set(recipe.kinds)
    assert not recipe.is_wrong


@pytest.mark.parametrize("kind", WRONG_KINDS)
def test_draw_wrong_recipe_takes_films_apart(kind: str) -> None:
    recipe = draw_wrong_recipe(kind, 5, Path("data"))
    assert recipe.is_wrong
    assert recipe.kinds[0] == kind
    assert recipe.color.film != recipe.source


@pytest.fixture
def pair(color_film: Path) -> Planted:
    """Ten seconds; the coloured film lacks the first one, and ends with one of another film."""
    times = np.arange(FRAMES) / RATE
    color_source = np.arange(FRAMES) + LATE
    color_source[color_source >= FRAMES] = -1
    reel = Reel(0, FRAMES, IDENTITY, CORNERS)
    stretches = ((LATE, FRAMES),)
    return Planted(
        color_film, color_film, "", (), times, np.arange(FRAMES), times, color_source, (reel,),
        stretches,
    )  # fmt: skip


def scored(pair: Planted, monkeypatch: pytest.MonkeyPatch, *segments: Segment) -> Score:
    found = SyncMap({}, {}, segments)
    monkeypatch.setattr(sync_accuracy, "align", lambda pair: (found, "", 1.0))
    return score(1, pair)


PERFECT = Segment(LATE / RATE, FRAMES / RATE, 0.0, 1.0, 1.0)


def test_score_of_the_truth_is_perfect(pair: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    found = scored(pair, monkeypatch, PERFECT)
    assert (found.near_share, found.wrong_share, found.found_share) == (1, 0, 1)
    assert (found.median_error, found.corner_error) == (0, 0)
    assert found.claimed == found.claimable == found.shared == FRAMES - LATE


@pytest.mark.parametrize(("frames", "near"), [(1, 1.0), (2, 0.0), (-2, 0.0)])
def test_score_tells_how_many_frames_a_map_is_off(
    frames: int, near: float, pair: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    color_start = 0.5 + frames / RATE
    off = replace(
        PERFECT, bw_start_seconds=1.5, bw_end_seconds=9.0, color_start_seconds=color_start
    )
    found = scored(pair, monkeypatch, off)
    assert (found.near_share, found.median_error) == (near, abs(frames))


def test_score_counts_what_has_no_counterpart(
    pair: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first second of the film has none, as the coloured film lacks it."""
    early = Segment(0.0, 1.0, 5.0, 1.0, 1.0)
    found = scored(pair, monkeypatch, early, PERFECT)
    assert found.wrong_share == pytest.approx(LATE / FRAMES, abs=0.01)
    assert found.found_share == 1
    halved = scored(pair, monkeypatch, replace(PERFECT, bw_end_seconds=5.5))
    assert halved.found_share == pytest.approx(0.5)


def test_score_tells_how_far_a_corner_is_off(
    pair: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = replace(PERFECT, matrix=((1.0, 0.0, 0.02), (0.0, 1.0, 0.0)))
    assert scored(pair, monkeypatch, moved).corner_error == pytest.approx(0.02)
    zoomed = replace(PERFECT, matrix=((1.03, 0.0, 0.0), (0.0, 1.0, 0.0)))
    assert scored(pair, monkeypatch, zoomed).corner_error == pytest.approx(0.03)

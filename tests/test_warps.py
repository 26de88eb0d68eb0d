from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import probe
from filmcolorizer_cli.warps import (
    MAX_PAST_FRAMES,
    PAST_DISTANCE,
    Motion,
    PastKey,
    Warp,
    has_dissolved,
    past_keys_of,
    shows_same_scene,
)
from tests.films import PAN_PIXELS_A_FRAME, PAN_SIZE, panned

WIDTH, HEIGHT = PAN_SIZE


def test_motion_follows_a_pan_both_ways(picture: tuple[np.ndarray, np.ndarray]) -> None:
    luma, _ = picture
    motion = Motion(panned(luma, 0), panned(luma, 1))
    identity = Warp.identity((HEIGHT, WIDTH)).coordinates
    inner = slice(16, -16)
    for warp, pixels in (
        (motion.backward, PAN_PIXELS_A_FRAME),
        (motion.forward, -PAN_PIXELS_A_FRAME),
    ):
        moved = (warp.coordinates - identity)[inner, inner]
        assert np.median(np.abs(moved[..., 0] - pixels)) < 0.2
        assert np.median(np.abs(moved[..., 1])) < 0.2
        assert np.median(warp.confidence[inner, inner]) > 0.8


def test_motion_trusts_none_between_unrelated_pictures() -> None:
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (2, HEIGHT, WIDTH), np.uint8)
    assert np.median(Motion(*pictures).backward.confidence) < 0.1


def test_composed_warps_join_to_the_sum_of_their_ways() -> None:
    identity = Warp.identity((20, 30))
    step = Warp(
        identity.coordinates + np.array([1.5, 0.25], np.float32),
        identity.confidence * np.float32(0.5),
    )
    surer = Warp(step.coordinates, identity.confidence * np.float32(0.75))
    both = step.composed_with(surer)
    inner = (slice(2, 15), slice(2, 20))
    expected = np.broadcast_to([3.0, 0.5], (13, 18, 2))
    # OpenCV interpolates at steps of 1/32 pixel.
    np.testing.assert_allclose(
        (both.coordinates - identity.coordinates)[inner], expected, atol=1 / 32
    )
    # A chain has the confidence of its weakest link.
    np.testing.assert_allclose(both.confidence[inner], 0.5, atol=1e-6)
    np.testing.assert_allclose(surer.composed_with(step).confidence[inner], 0.5, atol=1e-6)


@pytest.mark.parametrize("gap", [1, 3, 7, 24])
def test_past_keys_of_keeps_some_key_frames_of_the_last_second(gap: int) -> None:
    identity = Warp.identity((HEIGHT, WIDTH))
    step = Warp(identity.coordinates + np.array([0.5, 0], np.float32), identity.confidence)
    luma, past_keys = np.zeros((HEIGHT, WIDTH), np.uint8), list[PastKey]()
    for _ in range(80 // gap):
        past_keys = past_keys_of(luma, step, gap, past_keys)
    frames = [int(past_key.frames) for past_key in past_keys]
    assert frames[0] == gap
    assert frames == sorted(frames)
    assert max(frames) <= MAX_PAST_FRAMES
    assert max(frames) > MAX_PAST_FRAMES - gap - PAST_DISTANCE
    assert len(frames) <= 2 + MAX_PAST_FRAMES // PAST_DISTANCE
    for past_key in past_keys:
        way = (past_key.coordinates - identity.coordinates)[:, : WIDTH // 2, 0]
        np.testing.assert_allclose(way, 0.5 * past_key.frames / gap, atol=0.1)


@pytest.mark.parametrize(
    "name", ["blackswan", "camel", "car-shadow", "dance-twirl", "parkour", "soapbox"]
)
@pytest.mark.parametrize("speed", [1, 2])
def test_no_movement_of_live_action_is_taken_for_a_dissolve(
    name: str, speed: int, shared_data: Path
) -> None:
    film = probe(shared_data / "davis" / f"{name}.mp4")
    lumas = list(read_luma(film, Sampling(170, 96)))[::speed]
    for gap in (2, 5, 12):
        past_keys = list[PastKey]()
        for first in range(0, len(lumas) - gap, gap):
            warp = Motion(lumas[first], lumas[first + 1]).backward
            for number in range(first + 1, first + gap):
                warp = Motion(lumas[number], lumas[number + 1]).backward.composed_with(warp)
            past_keys = past_keys_of(lumas[first], warp, gap, past_keys)
            assert not has_dissolved(past_keys, lumas[first + gap])


@pytest.mark.parametrize("light", [1.0, 0.1])
def test_shows_same_scene_tells_the_same_picture_from_another_one(
    light: float, picture: tuple[np.ndarray, np.ndarray]
) -> None:
    """It does so in the dark, a little later, in other light and under grain."""
    luma = picture[0]
    grain = np.random.default_rng(0).normal(0, 0.5, (2, HEIGHT, WIDTH))
    ended, begun = (
        np.clip(16 + panned(luma, n) * share * light + grain[n // 3], 0, 255).astype(np.uint8)
        for n, share in ((0, 1.0), (3, 0.8))
    )
    assert shows_same_scene(ended, begun)
    assert not shows_same_scene(ended, np.ascontiguousarray(begun[::-1, ::-1]))


@pytest.mark.parametrize("light", [1.0, 0.25])
def test_shows_same_scene_tells_vignettes_apart(
    light: float, picture: tuple[np.ndarray, np.ndarray]
) -> None:
    """The black around them is the same."""
    luma = picture[0]
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    is_shown = np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2) < 0.42 * HEIGHT
    ended, begun = (np.where(is_shown, 6 + panned(luma, n) * light, 6) for n in (0, 2))
    other = np.where(is_shown, 6 + panned(luma, 0)[::-1, ::-1] * light, 6)
    frames = [frame.clip(0, 255).astype(np.uint8) for frame in (ended, begun, other)]
    assert shows_same_scene(*frames[:2])
    assert not shows_same_scene(frames[0], frames[2])


def test_shows_same_scene_is_false_where_nothing_is_to_be_seen() -> None:
    black = np.zeros((HEIGHT, WIDTH), np.uint8)
    spots = np.stack([black, black])
    spots[0, 20:30, 20:30], spots[1, 60:75, 90:100] = 200, 180
    ramp = np.tile(np.linspace(20, 220, WIDTH), (HEIGHT, 1)).astype(np.uint8)
    for ended, begun in ((black, black), (black, black + 235), (black + 90, ramp), spots):
        assert not shows_same_scene(ended, begun)


def test_warps_that_are_wrong_from_the_start_tell_of_no_dissolve(shared_data: Path) -> None:
    """Warps go wrong in rolling credits, here those of Big Buck Bunny."""
    film = probe(shared_data / "film" / "big_buck_bunny_360p.mp4")
    part = Sampling(170, 96, start_seconds=535.0, duration_seconds=5.0)
    lumas, past_keys = list(read_luma(film, part)), list[PastKey]()
    for before, after in pairwise(lumas):
        past_keys = past_keys_of(before, Motion(before, after).backward, 1, past_keys)
        assert not has_dissolved(past_keys, after)

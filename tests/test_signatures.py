from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.signatures import HEIGHT, WIDTH, Signatures, read_moment, read_signatures
from filmcolorizer_cli.video import probe
from tests.films import (
    LATE_SECONDS,
    X264,
    delay,
    frame_number,
    make_clip,
    make_numbered_clip,
    make_raw_clip,
    run_ffmpeg,
    signatures_of,
)
from tests.machine import our_children

PLAIN = "color={color}:size={{width}}x{{height}}:rate={{frame_rate}}:duration={{seconds}}"


def at_times(*seconds: float) -> Signatures:
    """Return frames at these times; every code of frame n is n."""
    frames = np.repeat(np.arange(len(seconds), dtype=np.uint8)[:, None], WIDTH * HEIGHT, axis=1)
    return Signatures(frames, np.array(seconds))


def shown(signatures: Signatures) -> list[int]:
    """Return the frame numbers that a numbered clip shows."""
    return [frame_number(frame.reshape(HEIGHT, WIDTH)) for frame in signatures.frames]


@pytest.mark.parametrize(
    ("seconds", "frame"),
    [
        (-5.0, 0),
        (0.0, 0),
        (0.019, 0),  # frame 1 is shown from 0.02 s on: half a frame before its time
        (0.021, 1),
        (0.04, 1),
        (0.059, 1),
        (0.061, 2),
        (0.16, 4),
        (0.179, 4),
        (0.3, 4),
        (99.0, 4),
    ],
)
def test_at_finds_the_nearest_frame_at_regular_times(seconds: float, frame: int) -> None:
    assert at_times(0.0, 0.04, 0.08, 0.12, 0.16).at(np.array([seconds])).tolist() == [frame]


def test_at_holds_frames_until_the_next_at_irregular_times() -> None:
    """A player shows a frame until the next comes, however late that is."""
    signatures = at_times(0.0, 0.04, 0.08, 0.6, 0.64, 0.68)
    assert signatures.frame_seconds == pytest.approx(0.04)
    times = np.array([[0.08, 0.3, 0.57], [0.59, 0.6, 0.65]])
    assert signatures.at(times).tolist() == [[2, 2, 2], [3, 3, 4]]


def test_at_counts_from_a_later_first_frame() -> None:
    signatures = at_times(10.0, 10.5, 11.0)
    assert signatures.at(np.array([0.0, 10.1, 10.3, 10.9, 12.0])).tolist() == [0, 0, 1, 2, 2]


def test_duration_seconds_lasts_until_the_last_frame_was_shown() -> None:
    signatures = at_times(2.0, 2.1, 2.2, 2.3)
    assert signatures.end_seconds == pytest.approx(2.4)
    assert signatures.duration_seconds == pytest.approx(0.4)
    assert len(signatures) == 4


@pytest.mark.parametrize("count", [0, 1])
def test_duration_seconds_is_nothing_for_less_than_two_frames(count: int) -> None:
    assert at_times(*[3.0] * count).duration_seconds == 0


def test_part_keeps_the_times_of_its_frames() -> None:
    part = at_times(0.0, 0.1, 0.25, 0.3, 0.4).part(1, 4)
    assert part.seconds.tolist() == [0.1, 0.25, 0.3]
    assert part.frames[:, 0].tolist() == [1, 2, 3]
    assert len(part.part(2, 2)) == 0


def test_reversed_runs_backwards_from_zero() -> None:
    backwards = at_times(0.0, 0.1, 0.25, 0.4).reversed()
    assert backwards.frames[:, 0].tolist() == [3, 2, 1, 0]
    np.testing.assert_allclose(backwards.seconds, [0.0, 0.15, 0.3, 0.4])


def test_reversed_twice_is_the_film_itself(sample_signatures: Signatures) -> None:
    twice = sample_signatures.reversed().reversed()
    np.testing.assert_array_equal(twice.frames, sample_signatures.frames)
    np.testing.assert_allclose(twice.seconds, sample_signatures.seconds, atol=1e-12)


def untracked(frames: Iterable[Plane], total: int, label: str) -> Iterable[Plane]:
    return frames


def test_read_signatures_reads_every_frame_of_both_films(
    numbered_clip: Path, tmp_path: Path
) -> None:
    other = make_numbered_clip(tmp_path / "other.mkv", seconds=2, frame_rate="24000/1001")
    first, second = read_signatures(probe(numbered_clip), probe(other), track=untracked)
    assert first.frames.shape == (100, HEIGHT * WIDTH)
    assert (first.frames.dtype, first.seconds.dtype) == (np.uint8, np.float64)
    assert shown(first) == list(range(100))
    np.testing.assert_allclose(first.seconds, np.arange(100) / 25, atol=1e-6)
    assert first.duration_seconds == pytest.approx(4)
    assert shown(second) == list(range(48))
    # mkv stores times in milliseconds.
    np.testing.assert_allclose(second.seconds, np.arange(48) * 1001 / 24000, atol=0.00051)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_read_signatures_tells_times_of_a_variable_frame_rate(suffix: str, tmp_path: Path) -> None:
    dropped = {7, 8, 9, 10, 20, 21, 40}
    kept = [n for n in range(50) if n not in dropped]
    lacking = "not(" + "+".join(f"eq(n,{n})" for n in sorted(dropped)) + ")"
    numbered = make_numbered_clip(tmp_path / "even.mp4", seconds=2)
    clip = tmp_path / f"vfr.{suffix}"
    run_ffmpeg("-i", numbered, "-vf", f"select='{lacking}'", "-fps_mode", "vfr", clip)
    signatures = signatures_of(clip)
    assert shown(signatures) == kept
    np.testing.assert_allclose(signatures.seconds, np.array(kept) / 25, atol=0.00051)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_read_signatures_counts_from_a_late_first_frame(
    suffix: str, numbered_clip: Path, tmp_path: Path
) -> None:
    late = delay(numbered_clip, tmp_path / f"late.{suffix}", what="v")
    assert probe(late).start_seconds == pytest.approx(LATE_SECONDS, abs=0.05)
    signatures = signatures_of(late)
    assert shown(signatures) == list(range(100))
    np.testing.assert_allclose(signatures.seconds, np.arange(100) / 25, atol=0.00051)


def test_read_signatures_of_one_frame(tmp_path: Path) -> None:
    signatures = signatures_of(make_clip(tmp_path / "one.mp4", seconds=0.04))
    assert signatures.seconds.tolist() == [0.0]
    assert signatures.duration_seconds == 0


@pytest.mark.parametrize(
    ("size", "block"), [((96, 72), (3, 3)), ((128, 48), (4, 2)), ((32, 24), (1, 1))]
)
def test_read_signatures_averages_areas(
    size: tuple[int, int], block: tuple[int, int], tmp_path: Path
) -> None:
    width, height = size
    chance = np.random.default_rng(5)
    luma = chance.integers(16, 236, (4, height * width), dtype=np.uint8)
    chroma = np.full((4, height * width // 2), 128, np.uint8)
    pictures = np.concatenate((luma, chroma), axis=1)
    clip = make_raw_clip(tmp_path / "noise.mp4", pictures, size=size, layout="yuv420p")
    across, down = block
    means = luma.reshape(4, HEIGHT, down, WIDTH, across).mean(axis=(2, 4)).reshape(4, -1)
    # Rounded twice: as means, and as codes of full range.
    assert np.abs(signatures_of(clip).frames - to_full(means)).max() <= 1.2


def to_full(codes: NDArray[Any]) -> NDArray[np.float64]:
    """Convert luma from limited range (16 to 235) to full, by ITU-T H.273 equations 20 and 29."""
    return (np.asarray(codes, np.float64) - 16) * 255 / 219


@pytest.mark.parametrize("is_full", [False, True])
def test_read_signatures_brings_luma_to_full_range(is_full: bool, tmp_path: Path) -> None:
    codes = np.array([0, 64, 128, 200, 255] if is_full else [16, 17, 60, 128, 235], np.uint8)
    luma = np.repeat(codes, 64 * 48).reshape(5, -1)
    pictures = np.concatenate((luma, np.full((5, 64 * 24), 128, np.uint8)), axis=1)
    clip = make_raw_clip(
        tmp_path / "plain.mp4", pictures, size=(64, 48), layout="yuv420p",
        extra=("-color_range", "pc" if is_full else "tv"),
    )  # fmt: skip
    frames = signatures_of(clip).frames
    assert frames.min(axis=1).tolist() == frames.max(axis=1).tolist()
    expected = codes if is_full else to_full(codes)
    assert np.abs(frames[:, 0] - expected).max() <= 0.6


def test_read_signatures_takes_a_film_without_times(plain_clip: Path, tmp_path: Path) -> None:
    """Bare H.264 holds no times: its frames follow each other at its frame rate."""
    bare = tmp_path / "bare.h264"
    run_ffmpeg("-i", plain_clip, "-c", "copy", bare)
    signatures = signatures_of(bare)
    np.testing.assert_array_equal(signatures.frames, signatures_of(plain_clip).frames)
    np.testing.assert_allclose(signatures.seconds, np.arange(50) / 25, atol=1e-6)


def test_read_signatures_reads_an_upright_picture_of_a_turned_film(tmp_path: Path) -> None:
    """A phone stores its film sideways; the bright top must come out on top."""
    halves = "color=black:size={width}x{height}:rate={frame_rate}:duration={seconds},drawbox=w=iw/2"
    halves += ":color=white:t=fill"
    lying = make_clip(tmp_path / "lying.mp4", picture=halves, seconds=0.4)
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", "-90", "-i", lying, "-c", "copy", turned)
    film = probe(turned)
    assert (film.width, film.height) == (48, 64)
    picture = signatures_of(turned).frames[0].reshape(HEIGHT, WIDTH)
    assert picture[:11].min() > 200
    assert picture[-11:].max() < 50


def test_read_signatures_lets_both_films_advance_together(tmp_path: Path) -> None:
    """Both are decoded in step, in proportion to their lengths, rather than one after the other."""
    clips = []
    for color, seconds in (("black", 1.0), ("white", 3.0)):
        clip = make_clip(
            tmp_path / f"{color}.mp4", picture=PLAIN.format(color=color), seconds=seconds
        )
        clips.append(probe(clip))
    seen: list[Any] = []

    def track(frames: Iterable[Plane], total: int, label: str) -> Iterable[Plane]:
        seen.append((total, label))
        for frame in frames:
            seen.append(int(frame.mean()) > 100)
            yield frame

    black, white = read_signatures(*clips, track=track)
    assert (len(black), len(white)) == (25, 75)
    assert seen[0] == (100, "frames of both films")
    is_white = seen[1:]
    assert (len(is_white), sum(is_white)) == (100, 75)
    for n in range(0, 100, 4):
        assert abs(sum(is_white[: n + 4]) - 0.75 * (n + 4)) <= 1


def test_read_signatures_knows_how_many_pictures_a_telecined_film_has(
    bunny: Path, tmp_path: Path
) -> None:
    woven = "telecine=first_field=top:pattern=23,setparams=field_mode=tff"
    path = tmp_path / "telecined.mp4"
    run_ffmpeg("-i", bunny, "-an", "-vf", woven, *X264, "-flags", "+ilme+ildct", path)
    totals: list[int] = []

    def track(frames: Iterable[Plane], total: int, label: str) -> Iterable[Plane]:
        totals.append(total)
        return frames

    telecined, film = read_signatures(probe(path), probe(bunny), track=track)
    assert len(telecined) == pytest.approx(len(film), abs=2)
    assert totals == [pytest.approx(len(telecined) + len(film), abs=3)]


@pytest.mark.parametrize("broken_one", [0, 1])
def test_read_signatures_refuses_a_film_that_is_cut_short(
    broken_one: int, plain_clip: Path, tmp_path: Path
) -> None:
    whole = make_clip(tmp_path / "whole.mp4", extra=("-movflags", "+faststart")).read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole[: len(whole) * 6 // 10])
    films = [probe(plain_clip)]
    films.insert(broken_one, probe(broken))
    before = our_children()
    with pytest.raises(VideoError) as caught:
        read_signatures(*films, track=untracked)
    assert our_children() == before, "the other film's ffmpeg is still running"
    assert str(caught.value).startswith(
        f"{broken} is damaged or cut short and could not be read beyond "
    )


def test_read_moment_is_the_frame_that_is_shown_then(plain_clip: Path) -> None:
    """Its codes are those of the signatures, so that bars are equally black in it."""
    film = probe(plain_clip)
    signatures = signatures_of(plain_clip)
    for frame, seconds in zip(signatures.frames, signatures.seconds, strict=True):
        moment = read_moment(film, float(seconds))
        assert np.abs(moment.astype(int) - frame).max() <= 1
    assert not read_moment(film, film.duration_seconds + 1).any()

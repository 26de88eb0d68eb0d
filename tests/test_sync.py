from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from filmcolorizer_cli.areas import WHOLE
from filmcolorizer_cli.errors import OptionError, SyncError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.maps import Segment, SyncMap
from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.sync import align, constant_offset, with_placement
from filmcolorizer_cli.video import Film, film_identity, probe
from tests import planter
from tests.films import (
    BUNNY_CUTS,
    BUNNY_FRAMES,
    LOSSLESS,
    SAMPLE_FRAMES,
    X264,
    frames_only,
    graded_film,
    make_clip,
    run_ffmpeg,
)

SIZE = (480, 360)  # pixels of the sample film
# Two gradings of one film: a noisy grey print, and a darker and sharper colour one.
BW_LOOK = "format=gray,eq=gamma=1.3,noise=alls=10:allf=t:all_seed=3"
COLOR_LOOK = "eq=gamma=0.75:contrast=1.15,noise=alls=14:allf=t:all_seed=5"
HOW = "give the offset with `filmcolorizer sync --offset FRAMES`"
VERSIONS_OR_HOW = f"use two versions of the same film, or {HOW}"
IDENTITY = np.eye(2, 3)
PICTURE_ERROR = 0.01  # tolerance, as a share of the picture's width or height
Box = tuple[float, float, float, float]  # left, top, right and bottom


def versions(folder: Path, bw: str, color: str, *, source: Path = SAMPLE_FILM) -> tuple[Film, Film]:
    """Make a grey and a coloured version of a film, each by its filters and a grading."""
    return (
        probe(graded_film(folder / "bw.mp4", f"{bw},{BW_LOOK}", source=source, crf=28)),
        probe(graded_film(folder / "color.mp4", f"{color},{COLOR_LOOK}", source=source)),
    )


def frames_of(sync_map: SyncMap) -> list[tuple[int, int, int]]:
    """Return each segment's first frame, end frame and first coloured frame, at 24 fps."""
    found = []
    for segment in sync_map.segments:
        begin, end = segment.bw_start_seconds * 24, segment.bw_end_seconds * 24
        assert (begin, end) == pytest.approx((round(begin), round(end)), abs=0.01)
        found.append((round(begin), round(end), round(segment.color_start_seconds * 24)))
    return found


def picture_errors(segment: Segment, truth: NDArray[np.float64], area: Box) -> tuple[float, float]:
    """Return the largest errors of a segment's matrix, at the true corners, and of its area."""
    corners = np.array([(x, y, 1) for x in (area[0], area[2]) for y in (area[1], area[3])])
    moved = np.abs(corners @ (np.array(segment.matrix) - truth).T).max()
    return float(moved), float(np.abs(np.array(segment.area) - area).max())


def crop(left: int, top: int, right: int, bottom: int) -> tuple[str, NDArray[np.float64], Box]:
    """Return ffmpeg's filter that crops the sample's picture, the matrix and the area."""
    (width, height), (new_width, new_height) = SIZE, (right - left, bottom - top)
    matrix = np.array(
        ((width / new_width, 0, -left / new_width), (0, height / new_height, -top / new_height))
    )
    area = left / width, top / height, right / width, bottom / height
    return f"crop={new_width}:{new_height}:{left}:{top}", matrix, area


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bw", "color"),
    [
        ((30, SAMPLE_FRAMES), (0, 110)),
        ((0, 120), (25, SAMPLE_FRAMES)),
        ((0, SAMPLE_FRAMES), (60, 130)),
    ],
    ids=["later", "earlier", "within"],
)
def test_align_is_exact(bw: tuple[int, int], color: tuple[int, int], tmp_path: Path) -> None:
    """The versions differ in their first and last frames, size, grading and noise."""
    bw_filters = f"{frames_only(bw)},scale=160:120"
    films = versions(tmp_path, bw_filters, f"{frames_only(color)},scale=240:180")
    sync_map = align(*films)
    first, end = max(bw[0], color[0]), min(bw[1], color[1])
    assert frames_of(sync_map) == [(first - bw[0], end - bw[0], first - color[0])]
    [segment] = sync_map.segments
    assert segment.rate == 1.0
    assert 0.95 < segment.confidence <= 1
    assert max(picture_errors(segment, IDENTITY, WHOLE)) < PICTURE_ERROR
    assert (sync_map.bw, sync_map.color) == tuple(map(film_identity, films))


@pytest.mark.slow
def test_align_finds_a_crop(tmp_path: Path) -> None:
    cropping, matrix, area = crop(40, 30, 456, 342)
    bw_filters = f"{frames_only((0, 130))},scale=240:180"
    color_filters = f"{frames_only((7, SAMPLE_FRAMES))},{cropping},scale=160:120"
    sync_map = align(*versions(tmp_path, bw_filters, color_filters))
    assert frames_of(sync_map) == [(7, 130, 0)]
    assert max(picture_errors(sync_map.segments[0], matrix, area)) < PICTURE_ERROR


@pytest.mark.slow
def test_align_finds_that_the_black_and_white_film_is_cropped(tmp_path: Path) -> None:
    cropping, inverse, area = crop(48, 0, 432, 306)
    sync_map = align(*versions(tmp_path, f"{cropping},scale=240:180", "scale=160:120"))
    assert frames_of(sync_map) == [(0, SAMPLE_FRAMES, 0)]
    matrix = np.array(((area[2] - area[0], 0, area[0]), (0, area[3] - area[1], area[1])))
    assert max(picture_errors(sync_map.segments[0], matrix, WHOLE)) < PICTURE_ERROR
    corner = np.linalg.inv(np.vstack((inverse, (0, 0, 1)))) @ (1, 1, 1)
    assert corner[:2] == pytest.approx((area[2], area[3])), "the recipe contradicts itself"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bw", "color", "matrix", "area"),
    [
        # A widescreen film in 4:3 with bars, and its coloured version without bars.
        (
            "crop=480:270:0:45,pad=480:360:0:45",
            "crop=480:270:0:45",
            ((1, 0, 0), (0, 4 / 3, -1 / 6)),
            (0, 0.125, 1, 0.875),
        ),
        ("null", "pad=640:360:80:0", ((0.75, 0, 0.125), (0, 1, 0)), WHOLE),
        # Both have bars, of different sizes.
        (
            "pad=480:480:0:60",
            "pad=600:400:60:20",
            ((0.8, 0, 0.1), (0, 1.2, -0.1)),
            (0, 0.125, 1, 0.875),
        ),
    ],
    ids=["letterboxed-bw", "pillarboxed-color", "both"],
)
def test_align_leaves_bars_out(bw: str, color: str, matrix: Any, area: Box, tmp_path: Path) -> None:
    sync_map = align(*versions(tmp_path, f"{bw},scale=160:120", f"{color},scale=240:160"))
    assert frames_of(sync_map) == [(0, SAMPLE_FRAMES, 0)]
    [segment] = sync_map.segments
    moved, trimmed = picture_errors(segment, np.array(matrix), area)
    assert moved < PICTURE_ERROR
    assert trimmed < 0.03, "a pixel of a signature"
    left, top, right, bottom = segment.area
    assert left >= area[0] - 0.002 and right <= area[2] + 0.002
    assert top >= area[1] - 0.002 and bottom <= area[3] + 0.002


ALL = (0, SAMPLE_FRAMES)
BLACK_INTRO = "tpad=start=60:color=black"
OTHER_INTRO = (
    "scale=240:180,format=yuv420p[film];"
    "testsrc2=size=240x180:rate=24:duration=2,format=yuv420p[intro];[intro][film]concat"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bw", "color", "expected"),
    [
        (frames_only(ALL), frames_only((0, 48), (96, 144)), [(0, 48, 0), (96, 144, 48)]),
        (frames_only((0, 48), (96, 144)), frames_only(ALL), [(0, 48, 0), (48, 96, 96)]),
        (frames_only(ALL), frames_only((0, 60), (84, 144)), [(0, 60, 0), (84, 144, 60)]),
        (BLACK_INTRO, frames_only(ALL), [(60, 204, 0)]),
        (frames_only(ALL), OTHER_INTRO, [(0, 144, 48)]),
        (frames_only((0, 70), (80, 144)), f"{frames_only((12, 144))},{BLACK_INTRO}",
         [(12, 70, 60), (70, 134, 128)]),
    ],
    ids=["color-lacks-a-shot", "bw-lacks-a-shot", "color-lacks-a-second", "black-intro",
         "other-intro", "edited"],
)  # fmt: skip
def test_align_leaves_out_what_only_one_film_shows(
    bw: str, color: str, expected: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    sync_map = align(*versions(tmp_path, f"{bw},scale=240:180", f"{color},scale=240:180"))
    assert frames_of(sync_map) == expected
    for segment in sync_map.segments:
        assert segment.rate == 1.0
        assert segment.confidence > 0.9
        assert max(picture_errors(segment, IDENTITY, WHOLE)) < PICTURE_ERROR
    shared = sum(end - begin for begin, end, _ in expected) / 24
    assert sync_map.shared_seconds == pytest.approx(shared, abs=0.001)


@pytest.mark.slow
def test_align_follows_pal(long_film: Path, tmp_path: Path) -> None:
    """The coloured film plays at 25 frames a second and lacks 1.5 s at the start."""
    pal = f"{frames_only((36, 432))},setpts=PTS*24/25,fps=25"
    films = versions(tmp_path, "null", pal, source=long_film)
    assert (films[1].frame_rate, films[1].frame_count()) == (25, 396)
    [segment] = align(*films).segments
    assert segment.rate == pytest.approx(24 / 25)
    assert segment.bw_start_seconds * 24 == pytest.approx(36, abs=0.01)
    assert segment.bw_end_seconds * 24 == pytest.approx(432, abs=0.01)
    for frame in range(36, 432, 12):
        assert segment.color_seconds(frame / 24) * 25 == pytest.approx(frame - 36, abs=0.5)


@pytest.mark.slow
def test_align_follows_every_fourth_frame_twice(long_film: Path, tmp_path: Path) -> None:
    doubled = f"{frames_only((36, 432))},fps=30"
    films = versions(tmp_path, "null", doubled, source=long_film)
    assert films[1].frame_count() == 396 * 30 / 24
    [segment] = align(*films).segments
    assert segment.rate == 1.0
    assert segment.offset_seconds == pytest.approx(-1.5, abs=1 / 24)
    assert (segment.bw_start_seconds, segment.bw_end_seconds) == pytest.approx((1.5, 18), abs=0.01)


@pytest.mark.slow
def test_align_of_a_real_film_with_cuts_on_both_sides(bunny: Path, tmp_path: Path) -> None:
    """Each version lacks a shot; the coloured one has an intro and is cropped, darker and small."""
    bw_shots = [(0, BUNNY_CUTS[5]), (BUNNY_CUTS[7], BUNNY_FRAMES)]  # frames 0 to 214, 340 to 600
    color_shots = [(BUNNY_CUTS[0], BUNNY_CUTS[8]), (BUNNY_CUTS[9], BUNNY_FRAMES)]  # 41, 416, 471
    cropped = "crop=272:144:16:27:exact=1,scale=160:120,tpad=start=30:color=black"
    bw, color = frames_only(*bw_shots), f"{frames_only(*color_shots)},{cropped}"
    sync_map = align(*versions(tmp_path, f"{bw},scale=160:90", color, source=bunny))
    assert frames_of(sync_map) == [
        (41, 214, 30),
        (214, 290, 30 + 340 - 41),
        (290 + 471 - 416, 600 - 126, 30 + 416 - 41),
    ]
    matrix = np.array(((320 / 272, 0, -16 / 272), (0, 180 / 144, -27 / 144)))
    area = 16 / 320, 27 / 180, 288 / 320, 171 / 180
    for segment in sync_map.segments:
        assert segment.rate == 1.0
        assert segment.confidence > 0.9
        assert max(picture_errors(segment, matrix, area)) < PICTURE_ERROR


@pytest.mark.slow
def test_align_of_a_real_film_in_pal(bunny: Path, tmp_path: Path) -> None:
    pal = f"{frames_only((20, BUNNY_FRAMES))},setpts=PTS*24/25,fps=25,pad=320:240:0:30"
    films = versions(tmp_path, "scale=160:90", pal, source=bunny)
    [segment] = align(*films).segments
    assert segment.rate == pytest.approx(24 / 25)
    assert segment.bw_start_seconds * 24 == pytest.approx(20, abs=0.01)
    assert segment.color_start_seconds == pytest.approx(0, abs=0.5 / 25)
    matrix = np.array(((1, 0, 0), (0, 0.75, 0.125)))
    assert max(picture_errors(segment, matrix, WHOLE)) < PICTURE_ERROR


@pytest.mark.slow
def test_align_of_a_real_film_in_two_reels(bunny: Path, tmp_path: Path) -> None:
    """From frame 340 on, in the middle of a segment, the coloured film has another crop."""
    border = BUNNY_CUTS[7]
    reels = (
        "split[a][b];"
        f"[a]trim=end_frame={border},crop=288:162:16:9:exact=1,scale=240:136,setsar=1[c];"
        f"[b]trim=start_frame={border},setpts=PTS-STARTPTS,crop=280:180:40:0,scale=240:136,setsar=1[d];"
        "[c][d]concat"
    )
    sync_map = align(*versions(tmp_path, "scale=160:90", reels, source=bunny))
    assert frames_of(sync_map) == [(0, border, 0), (border, BUNNY_FRAMES, border)]
    truths = [
        (((320 / 288, 0, -16 / 288), (0, 180 / 162, -9 / 162)), (0.05, 0.05, 0.95, 0.95)),
        (((320 / 280, 0, -40 / 280), (0, 1, 0)), (0.125, 0.0, 1.0, 1.0)),
    ]
    for segment, (matrix, area) in zip(sync_map.segments, truths, strict=True):
        assert max(picture_errors(segment, np.array(matrix), area)) < PICTURE_ERROR


@pytest.mark.slow
@pytest.mark.parametrize(("left", "top"), [(10, 10), (32, 20)])
def test_align_of_a_cropped_copy_of_a_shot_that_moves_sideways(
    left: int, top: int, shared_data: Path, tmp_path: Path
) -> None:
    """In such a shot, a small offset sideways looks like a small offset in time."""
    film = shared_data / "old" / "a-bomb_blast_effects_part.mp4"
    crop = f"crop=400:300:{left}:{top}"
    bw, color = versions(tmp_path, "null", f"colorbalance=gs=.3:bs=-.3,{crop}", source=film)
    (segment,) = align(bw, color).segments
    assert (segment.bw_start_seconds, segment.color_start_seconds) == (0, 0)
    assert segment.bw_end_seconds == pytest.approx(bw.duration_seconds, abs=0.04)
    truth = ((432 / 400, 0, -left / 400), (0, 320 / 300, -top / 300))
    error, _ = picture_errors(segment, np.array(truth), segment.area)
    assert error < PICTURE_ERROR


@pytest.mark.slow
def test_align_follows_a_picture_that_is_panned_and_scanned(
    shared_data: Path, tmp_path: Path
) -> None:
    """The crop rests for some seconds, moves for one, and so on: no single placement fits all."""
    film, clip = shared_data / "film" / "big_buck_bunny_360p.mp4", tmp_path / "clip.mp4"
    run_ffmpeg("-ss", 330, "-t", 60, "-i", film, "-an", "-vf", "scale=240:136", *X264, clip)
    moves = ((0.7, -0.2), (10.3, 0.4), (19.8, -0.6), (27.8, 0.2), (34.3, -0.2), (41.3, 0.2),
             (49.1, 0.2))  # fmt: skip
    left = "0.7" + "".join(f"+({by})*clip(t-{at},0,1)" for at, by in moves)
    crop = f"crop=181:136:'59*({left})':0:exact=1,scale=192:144"
    sync_map = align(*versions(tmp_path, "null", crop, source=clip))
    assert sync_map.shared_seconds > 45  # the crop rests for 53 s
    for segment in sync_map.segments:
        assert abs(segment.offset_seconds) < 1.5 / 24
        middle = (segment.bw_start_seconds + segment.bw_end_seconds) / 2
        true_left = 59 / 240 * (0.7 + sum(by for at, by in moves if at < middle))
        shown_left = -segment.matrix[0][2] / segment.matrix[0][0]
        assert shown_left == pytest.approx(true_left, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("borders", [(0, 312, 624, 960), (0, 240, 480, 720, 960)])
def test_align_of_reels_in_reverse_order(
    borders: tuple[int, ...], shared_data: Path, tmp_path: Path
) -> None:
    film, clip = shared_data / "film" / "big_buck_bunny_360p.mp4", tmp_path / "clip.mp4"
    run_ffmpeg("-ss", 60, "-t", 40, "-i", film, "-an", "-vf", "scale=160:90", *X264, clip)
    reels = list(pairwise(borders))
    names = "".join(f"[r{n}]" for n in range(len(reels)))
    trims = "".join(
        f"[r{n}]trim=start_frame={begin}:end_frame={end},setpts=PTS-STARTPTS[s{n}];"
        for n, (begin, end) in enumerate(reels)
    )
    turned = "".join(f"[s{n}]" for n in reversed(range(len(reels))))
    order = f"split={len(reels)}{names};{trims}{turned}concat=n={len(reels)}"
    found = frames_of(align(*versions(tmp_path, "null", order, source=clip)))
    assert found == [(begin, end, borders[-1] - end) for begin, end in reels]


@pytest.fixture(scope="module")
def planted(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> planter.Planted:
    """A scratched print, and a turned, tinted and cut coloured version of 160x120."""
    size = (320, 180)
    bunny = planter.Piece(shared_data / planter.BUNNY, 9380, 320)
    clip = planter.Piece(shared_data / "davis" / "car-shadow.mp4", 0, 40)
    bw = planter.Version(
        runs=(planter.Run("film", 0, 140), planter.Run("film", 164, 156)),
        size=(240, 136),
        look=planter.Look(gamma=1.3, saturation=0, grain=5, specks=2, scratches=1, flicker=0.02),
        encoding=planter.Encoding(crf=26),
    )
    color = planter.Version(
        runs=(
            planter.Run("foreign", 0, 40),
            planter.Run("film", 0, 220),
            planter.Run("title", 7, 30),
            planter.Run("film", 244, 76),
        ),
        size=(160, 120),
        framings=((0, planter.Framing((0.06, 0.04, 0.03, 0.08), rotation_degrees=0.8)),),
        look=planter.Look(gamma=0.8, contrast=1.1, tint=(-6, 8), grain=2),
        foreign=planter.Source((clip,), size),
    )
    recipe = planter.Recipe(1, planter.Source((bunny,), size), bw, color)
    return planter.plant(recipe, tmp_path_factory.mktemp("planted"))


@pytest.mark.slow
def test_align_of_a_planted_pair(planted: planter.Planted) -> None:
    sync_map = align(probe(planted.bw_path), probe(planted.color_path))
    assert planted.stretches == ((0, 140), (164, 220), (244, 320))
    segments = frames_of(sync_map)
    # In frames of the two files, which lack or add runs compared with the film.
    truth = [(0, 140, 40), (140, 196, 204), (220, 296, 290)]
    assert len(segments) == len(truth)
    for found, expected in zip(segments, truth, strict=True):
        assert np.abs(np.array(found) - expected).max() <= 2
        assert found[2] - found[0] == expected[2] - expected[0], "the offset is exact"
    claimed = 0
    for segment, (begin, end, _) in zip(sync_map.segments, segments, strict=True):
        for frame in range(begin, end):
            shown = segment.color_seconds(planted.bw_seconds[frame])
            counterpart = int(np.abs(planted.color_seconds - shown).argmin())
            assert planted.color_source[counterpart] == planted.bw_source[frame]
            claimed += 1
        [reel] = planted.reels
        corners = np.array([(*corner, 1) for corner in reel.corners])
        off = corners @ (np.array(segment.matrix) - reel.matrix).T
        assert np.abs(off).max() < PICTURE_ERROR
    assert claimed >= 0.97 * (140 + 56 + 76)


@pytest.mark.slow
@pytest.mark.parametrize("tail", ["hflip,vflip,trim=end_frame=96", None])
def test_align_ends_where_the_coloured_film_leaves_a_held_frame(
    tail: str | None, tmp_path: Path
) -> None:
    """The black-and-white film stores a card as one frame and holds it for four seconds.

    The coloured film shows it for a frame and half a second; then it shows something else, or ends.
    """
    parts = "split[a][b];[a]trim=end_frame=120{held}[c];[b]{tail},setpts=PTS-STARTPTS[d];"
    parts += "[c][d]concat,setpts='{times}/24/TB'"
    bw = parts.format(held="", tail="vflip,trim=end_frame=96", times="(N+96*gte(N,120))")
    held = ",tpad=stop_mode=clone:stop_duration=0.5"
    color = parts.format(held=held, tail=tail, times="N") if tail else f"trim=end_frame=120{held}"
    films = versions(tmp_path, bw, color)
    assert frames_of(align(*films)) == [(0, 132, 0)]


def test_align_lets_progress_be_shown(tmp_path: Path) -> None:
    film = probe(graded_film(tmp_path / "film.mp4", f"{frames_only((24, 96))},scale=96:72"))
    seen: list[tuple[str, int, int]] = []

    def track(frames: Iterable[Plane], total: int, label: str) -> Iterable[Plane]:
        frames = list(frames)
        seen.append((label, total, len(frames)))
        return frames

    assert frames_of(align(film, film, track=track)) == [(0, 72, 0)]
    assert seen == [("frames of both films", 144, 144)]


def refusal(bw: Film, color: Film) -> str:
    with pytest.raises(SyncError) as caught:
        align(bw, color)
    return str(caught.value)


@pytest.mark.slow
def test_align_refuses_different_films(tmp_path: Path) -> None:
    zoom = "mandelbrot=size={width}x{height}:rate={frame_rate},trim=duration={seconds}"
    other = probe(make_clip(tmp_path / "other.mp4", picture=zoom, seconds=5))
    assert refusal(probe(SAMPLE_FILM), other) == (
        f"{SAMPLE_FILM} and {other.path} do not look like the same film: no shot that both show was"
        f" found with certainty; {VERSIONS_OR_HOW}"
    )


@pytest.mark.slow
def test_align_refuses_different_real_films(shared_data: Path) -> None:
    old = shared_data / "old"
    films = probe(old / "chaplin.mp4"), probe(old / "a-bomb_blast_effects_part.mp4")
    assert "do not look like the same film: no shot that both show" in refusal(*films)


@pytest.mark.slow
def test_align_refuses_a_film_that_runs_backwards(tmp_path: Path) -> None:
    bw, color = versions(tmp_path, "scale=240:180", "scale=160:120,reverse")
    assert refusal(bw, color) == (
        f"{bw.path} and {color.path} do not look like the same film: the second runs backwards;"
        " reverse it"
    )


@pytest.mark.slow
def test_align_refuses_a_film_that_is_mirrored(tmp_path: Path) -> None:
    bw, color = versions(tmp_path, "scale=240:180", "scale=160:120,hflip")
    assert refusal(bw, color) == (
        f"{bw.path} and {color.path} do not look like the same film: the second is mirrored; flip"
        " it, as with ffmpeg's hflip"
    )


@pytest.mark.parametrize("short_one", [0, 1])
@pytest.mark.parametrize(("seconds", "told"), [(1.92, "1.9"), (0.04, "0.0")])
def test_align_refuses_a_film_that_is_too_short(
    short_one: int, seconds: float, told: str, plain_clip: Path, tmp_path: Path
) -> None:
    short = probe(make_clip(tmp_path / "short.mp4", seconds=seconds))
    films = [probe(plain_clip)]
    films.insert(short_one, short)
    assert refusal(*films) == (
        f"{short.path} is only {told} s long; lining up takes at least 2 s, so {HOW}"
    )


@pytest.mark.parametrize(("picture", "code"), [("black", 0), ("gray", 128)])
@pytest.mark.parametrize("empty_one", [0, 1])
def test_align_refuses_an_empty_picture(
    picture: str, code: int, empty_one: int, plain_clip: Path, tmp_path: Path
) -> None:
    recipe = f"color={picture}:size={{width}}x{{height}}:rate={{frame_rate}}:duration={{seconds}}"
    clip = make_clip(tmp_path / "empty.mp4", picture=recipe, seconds=3, codec=LOSSLESS)
    films = [probe(plain_clip)]
    films.insert(empty_one, probe(clip))
    assert refusal(*films) == (
        f"{clip} shows an empty picture throughout (luma {code} to {code}), so it cannot be lined"
        f" up; {HOW}"
    )


def test_align_refuses_a_still_picture(tmp_path: Path) -> None:
    recipe = "smptebars=size={width}x{height}:rate={frame_rate}:duration={seconds}"
    still = make_clip(tmp_path / "still.mp4", picture=recipe, seconds=3, codec=LOSSLESS)
    assert refusal(probe(SAMPLE_FILM), probe(still)) == (
        f"{still} shows a still picture throughout, so it cannot be lined up; {HOW}"
    )


@pytest.mark.slow
def test_with_placement_finds_the_crop_of_a_stated_offset(tmp_path: Path) -> None:
    """The copy is cropped and letterboxed, and starts half a second into the film."""
    copy = tmp_path / "copy.mp4"
    cropped = "crop=iw*0.9:ih*0.9,scale=160:120,pad=160:160:0:20"
    run_ffmpeg("-ss", 0.5, "-i", SAMPLE_FILM, "-vf", cropped, "-an", *X264, copy)
    bw, color = probe(SAMPLE_FILM), probe(copy)
    found = with_placement(bw, color, constant_offset(bw, color, -12))
    assert found is not None
    [segment] = found.segments
    assert (segment.bw_start_seconds, segment.color_start_seconds) == (0.5, 0.0)
    # The copy shows 5% to 95% of the picture, between bars of an eighth each.
    expected = np.array(((1 / 0.9, 0, -0.05 / 0.9), (0, 0.75 / 0.9, 0.125 - 0.75 * 0.05 / 0.9)))
    np.testing.assert_allclose(np.array(segment.matrix), expected, atol=0.01)
    np.testing.assert_allclose(segment.area, (0.05, 0.05, 0.95, 0.95), atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("bars", ["", ",pad=180:120:26:0"])
def test_with_placement_of_what_was_made_of_a_film_is_all_of_it(bars: str, tmp_path: Path) -> None:
    """The area is exact to the pixel, despite re-encoding and other colours."""
    bw, color = tmp_path / "bw.mp4", tmp_path / "color.mp4"
    run_ffmpeg("-i", SAMPLE_FILM, "-vf", f"scale=128:120{bars}", "-an", *X264, bw)
    painted = "geq=lum='lum(X,Y)':cb='128+lum(X,Y)/9':cr='120'"
    run_ffmpeg("-i", bw, "-vf", f"format=yuv420p,{painted}", *X264, "-crf", 28, color)
    stated = constant_offset(probe(bw), probe(color), 0)
    assert with_placement(probe(bw), probe(color), stated) == stated


@pytest.mark.slow
def test_with_placement_of_what_cannot_be_compared_is_as_it_was(tmp_path: Path) -> None:
    """One film is damaged almost throughout, the other shows nothing."""
    data = SAMPLE_FILM.read_bytes()
    cut, grey = tmp_path / "cut.mp4", tmp_path / "grey.mp4"
    cut.write_bytes(data[: len(data) // 6])
    run_ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x48:d=6:r=24", *X264, grey)
    for bw in (probe(cut), probe(grey)):
        stated = constant_offset(bw, probe(SAMPLE_FILM), 0)
        assert with_placement(bw, probe(SAMPLE_FILM), stated) == stated


@pytest.mark.slow
def test_with_placement_of_pictures_that_are_not_alike_is_none(bunny: Path, tmp_path: Path) -> None:
    bw, color = probe(SAMPLE_FILM), probe(bunny)
    assert with_placement(bw, color, constant_offset(bw, color, 0)) is None
    assert with_placement(bw, bw, constant_offset(bw, bw, 60)) is None


@pytest.mark.parametrize(
    ("offset", "bw_start", "bw_end", "color_start"),
    [
        (0, 0.0, 2.0, 0.0),
        (25, 0.0, 1.0, 1.0),
        (-25, 1.0, 3.0, 0.0),
        (-75, 3.0, 4.0, 0.0),
        (49, 0.0, 0.04, 1.96),
        (-99, 3.96, 4.0, 0.0),
    ],
)
def test_constant_offset_covers_what_both_films_show(
    offset: int,
    bw_start: float,
    bw_end: float,
    color_start: float,
    long_and_short: tuple[Film, Film],
) -> None:
    sync_map = constant_offset(*long_and_short, offset)
    [segment] = sync_map.segments
    values = (segment.bw_start_seconds, segment.bw_end_seconds, segment.color_start_seconds)
    assert values == pytest.approx((bw_start, bw_end, color_start))
    assert (segment.rate, segment.confidence) == (1.0, 1.0)
    assert segment.color_seconds(bw_start + 0.5) == pytest.approx(color_start + 0.5)
    assert segment.offset_seconds == pytest.approx(offset / 25)
    assert segment.matrix == ((1, 0, 0), (0, 1, 0))
    assert segment.area == WHOLE


@pytest.mark.parametrize("offset", [50, 1000, -100, -5000])
def test_constant_offset_refuses_to_put_films_apart(
    offset: int, long_and_short: tuple[Film, Film]
) -> None:
    with pytest.raises(OptionError) as caught:
        constant_offset(*long_and_short, offset)
    assert str(caught.value) == (
        f"an offset of {offset} frames leaves no overlap between the two films; it can be from -99"
        " to 49"
    )

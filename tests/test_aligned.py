from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from filmcolorizer_cli.aligned import (
    AlignedPicture,
    Moments,
    Reading,
    area_aspect_ratio,
    read_aligned,
    render,
    resample_part,
    shared_aspect_ratio,
)
from filmcolorizer_cli.areas import Area
from filmcolorizer_cli.cadence import Cadence
from filmcolorizer_cli.encoding import PictureWriter
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.frames import read_luma, read_ycbcr
from filmcolorizer_cli.maps import Segment, SyncMap
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.sidecars import ShotFiles, read_pts, read_small_frames
from filmcolorizer_cli.video import Film, probe
from tests.films import (
    NUMBERED_SIZE,
    combing,
    decode_planes,
    frame_number,
    frames_only,
    graded_film,
)
from tests.machine import files_in
from tests.versions import to_part

FRAMES = 144  # frames of the numbered film, at 24 fps
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def version(numbered: Film, path: Path, filters: str) -> Film:
    """Make another version of the numbered film."""
    return probe(graded_film(path, filters, source=numbered.path, crf=10))


def segment(
    bw_start: float, bw_end: float, color_start: float, rate: float = 1.0, **picture: Any
) -> Segment:
    """Return a segment whose times are given in frames at 24 fps."""
    return Segment(bw_start / 24, bw_end / 24, color_start / 24, rate, 1.0, **picture)


def map_of(*segments: Segment) -> SyncMap:
    return SyncMap({}, {}, segments)


def shown(pictures: list[AlignedPicture]) -> list[tuple[int, int]]:
    """Return the numbers of the frames that both sides show."""
    return [(frame_number(p.luma), frame_number(p.ycbcr[..., 0])) for p in pictures]


@pytest.mark.parametrize("every", [1, 2, 7, 24])
@pytest.mark.parametrize("part", [(0.0, None), (1.0, None), (0.51, 1.0), (0.0, 0.04), (9.9, None)])
@pytest.mark.parametrize("times", [(0.0, 2.0), (0.7, 1.9), (1.001, 1.0011), (1 / 3, 3.0)])
def test_numbers_are_of_the_moments_within_both(
    times: tuple[float, float], part: tuple[float, float | None], every: int
) -> None:
    start, duration = part
    moments = Moments(every, start, duration)
    end = 1e9 if duration is None else start + duration
    step = Fraction(every, 24)
    inside = [
        number
        for number in range(300)
        if max(times[0], start) - 1e-6 <= number * step < min(times[1], end) - 1e-6
    ]
    assert list(moments.numbers(Segment(*times, 0.0, 1.0, 1.0))) == inside
    assert moments.step_seconds == pytest.approx(every / 24)


@pytest.mark.parametrize("digits", [6, 3])
@pytest.mark.parametrize("first", [5, 7, 8, 14])
def test_numbers_are_exact_for_rounded_times(first: int, digits: int) -> None:
    """Maps store times in microseconds, and mkv files in milliseconds.

    Six frames from frame 7 on begin at 0.291667 s, a little after 7/24 s, and end at 0.541667 s.
    """
    begin, end = round(first / 24, digits), round((first + 6) / 24, digits)
    assert Moments().numbers(Segment(begin, end, 0.0, 1.0, 1.0)) == range(first, first + 6)


def test_numbers_of_adjacent_segments_hold_each_moment_once() -> None:
    first, second = segment(0, 31.5, 0), segment(31.5, 60, 90)
    for every in (1, 5, 24):
        moments = Moments(every)
        together = [*moments.numbers(first), *moments.numbers(second)]
        assert together == list(range(-(-60 // every)))


def test_count_adds_all_segments_up() -> None:
    sync_map = map_of(segment(0, 48, 0), segment(72, 144, 48))
    assert Moments().count(sync_map) == 120
    assert Moments(every=12).count(sync_map) == 10
    assert (
        Moments(every=12, start_seconds=1.5, duration_seconds=2.0).count(sync_map) == 2
    )  # 1.5 and 3 s
    assert Moments(start_seconds=2.0, duration_seconds=0.9).count(sync_map) == 0


def test_shared_aspect_ratio_is_of_the_longest_segment(numbered: Film) -> None:
    sync_map = map_of(
        segment(0, 48, 0, area=Area(0.0, 0.0, 0.5, 0.5)),
        segment(48, 144, 48, area=Area(0.1, 0.25, 0.9, 0.75)),
    )
    assert (numbered.width, numbered.height) == NUMBERED_SIZE == (128, 32)
    assert shared_aspect_ratio(sync_map, numbered) == pytest.approx(128 * 0.8 / (32 * 0.5))
    wide = replace(numbered, sample_aspect_ratio=Fraction(4, 3))
    assert shared_aspect_ratio(sync_map, wide) == pytest.approx(128 * 4 / 3 * 0.8 / (32 * 0.5))


@pytest.fixture(scope="module")
def noise() -> NDArray[np.uint8]:
    """A picture (40, 60, 3) in which no part resembles another."""
    return np.random.default_rng(2).integers(16, 236, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("is_color", [True, False])
def test_resample_part_of_whole_pixels_is_a_slice(is_color: bool, noise: NDArray[np.uint8]) -> None:
    picture = noise if is_color else noise[..., 0]
    part = resample_part(picture, to_part(10 / 60, 5 / 40, 40 / 60, 25 / 40), (30, 20))
    np.testing.assert_array_equal(part, picture[5:25, 10:40])
    np.testing.assert_array_equal(resample_part(picture, np.eye(2, 3), (60, 40)), picture)


def test_resample_part_that_is_reduced_averages(noise: NDArray[np.uint8]) -> None:
    part = resample_part(noise, to_part(12 / 60, 4 / 40, 52 / 60, 36 / 40), (20, 16))
    means = noise[4:36, 12:52].reshape(16, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(part - means).mean() < 0.5
    assert np.abs(part - means).max() < 1.5


def test_resample_part_that_is_enlarged_is_pillows_crop(noise: NDArray[np.uint8]) -> None:
    """Pillow's resize with a box is another implementation, with a slightly softer filter.

    A shift by a third of a pixel would make a mean difference of 3 codes.
    """
    smooth = np.asarray(Image.fromarray(noise[::8, ::8]).resize((60, 40), Image.Resampling.BICUBIC))
    part = resample_part(smooth, to_part(0.25, 0.2, 0.75, 0.7), (60, 40))
    expected = Image.fromarray(smooth).resize(
        (60, 40), Image.Resampling.BICUBIC, box=(15, 8, 45, 28)
    )
    difference = np.abs(part.astype(int) - np.asarray(expected))
    assert difference.mean() < 2
    assert difference.max() < 9


def test_resample_part_is_black_outside(noise: NDArray[np.uint8]) -> None:
    affine = to_part(-0.5, 0, 0.5, 1)  # moved by half a picture to the right
    part = resample_part(noise, affine, (60, 40))
    np.testing.assert_array_equal(part[:, 30:], noise[:, :30])
    assert (part[:, :30] == (16, 128, 128)).all()
    grey = resample_part(noise[..., 0], affine, (60, 40))
    assert (grey[:, :30] == 16).all()


def test_resample_part_follows_a_turn() -> None:
    y, x = np.mgrid[:90, :120]
    picture = (40 + x + y / 2).astype(np.uint8)
    affine = np.array(((0.7, 0.1, 0.1), (-0.1, 0.6, 0.25)))
    part = resample_part(picture, affine, (80, 60))
    row, column = np.mgrid[:60, :80]
    points = np.stack(((column + 0.5) / 80, (row + 0.5) / 60, np.ones((60, 80))))
    u, v = np.tensordot(affine, points, axes=1)  # in [0, 1] of the picture
    expected = 40 + (u * 120 - 0.5) + (v * 90 - 0.5) / 2
    assert np.abs(part - expected).max() < 1.5


def test_resample_part_can_be_written_to(noise: NDArray[np.uint8]) -> None:
    """torch warns about read-only arrays."""
    for size in ((30, 20), (15, 10)):
        assert resample_part(noise, to_part(0, 0, 0.5, 0.5), size).flags.writeable


@pytest.mark.parametrize("every", [1, 5, 12])
def test_read_aligned_shows_the_same_frames_across_gaps(
    every: int, numbered: Film, tmp_path: Path
) -> None:
    """Frames 20 to 49 are in black and white only, frames 70 to 79 in colour only."""
    bw_frames = frames_only((0, 70), (80, 144))
    color_frames = frames_only((0, 20), (50, 144))
    bw = version(numbered, tmp_path / "bw.mp4", bw_frames)
    color = version(numbered, tmp_path / "color.mp4", color_frames)
    sync_map = map_of(segment(0, 20, 0), segment(50, 70, 20), segment(70, 134, 50))
    moments = Moments(every)
    pictures = list(read_aligned(bw, color, sync_map, moments, NUMBERED_SIZE))
    in_bw = [*range(70), *range(80, 144)]
    numbers = [n for n in range(0, 134, every) if not 20 <= n < 50]
    expected = [in_bw[n] for n in numbers]
    assert shown(pictures) == [(number, number) for number in expected]
    assert len(pictures) == moments.count(sync_map)
    np.testing.assert_allclose([p.bw_seconds for p in pictures], np.array(numbers) / 24)
    in_color = [number if number < 20 else number - 30 for number in expected]
    np.testing.assert_allclose([p.color_seconds for p in pictures], np.array(in_color) / 24)


@pytest.mark.parametrize(
    ("start", "duration", "expected"),
    [
        (0.5, 1.0, [*range(12, 20)]),
        (1.0, None, [*range(50, 144)]),
        (0.0, 2.5, [*range(20), *range(50, 60)]),
        (1.0, 0.5, []),
        (7.0, None, []),
    ],
)
def test_read_aligned_takes_a_part(
    start: float, duration: float | None, expected: list[int], numbered: Film, tmp_path: Path
) -> None:
    color = version(numbered, tmp_path / "color.mp4", frames_only((0, 20), (50, 144)))
    sync_map = map_of(segment(0, 20, 0), segment(50, 144, 20))
    moments = Moments(1, start, duration)
    pictures = list(read_aligned(numbered, color, sync_map, moments, NUMBERED_SIZE))
    assert shown(pictures) == [(number, number) for number in expected]


def test_read_aligned_shows_the_whole_picture_and_what_the_coloured_film_does(
    numbered: Film, tmp_path: Path
) -> None:
    """The coloured film lacks the left quarter; the black-and-white one has bars in its frame."""
    color = version(numbered, tmp_path / "color.mp4", "crop=96:32:32:0")
    matrix = ((128 / 96, 0.0, -32 / 96), (0.0, 1.0, 0.0))
    inside = Area(0.05, 0.0, 0.95, 1.0)
    sync_map = map_of(segment(0, 144, 0, matrix=matrix, area=Area(0.25, 0.0, 1.0, 1.0)))
    size = round(128 * 0.9), 32
    assert area_aspect_ratio(numbered, inside) == pytest.approx(128 * 0.9 / 32)
    pictures = list(read_aligned(numbered, color, sync_map, Moments(37), size, picture=inside))
    frames = list(read_luma(numbered, Sampling(*NUMBERED_SIZE, every=37)))
    assert len(pictures) == 4
    for picture, frame in zip(pictures, frames, strict=True):
        assert picture.shown == pytest.approx((0.2 / 0.9, 0, 1, 1))
        edge = round(size[0] * picture.shown[0])
        seen = slice(edge + 2, None)
        # The coloured side shows the same, and black where the coloured film shows nothing.
        difference = picture.ycbcr[:, seen, 0].astype(int) - picture.luma[:, seen]
        assert np.abs(difference).mean() < 8
        assert (picture.ycbcr[:, : edge - 2] == (16, 128, 128)).all()
        assert np.abs(picture.luma.astype(int) - frame[:, 6 : 6 + size[0]]).mean() < 8
    assert np.ptp(pictures[-1].luma) > 100


def test_read_aligned_follows_scenes_in_another_order(numbered: Film, tmp_path: Path) -> None:
    swapped = "split[a][b];[a]trim=start_frame=96,setpts=PTS-STARTPTS[c];"
    swapped += "[b]trim=end_frame=96[d];[c][d]concat"
    color = version(numbered, tmp_path / "color.mp4", swapped)
    sync_map = map_of(segment(0, 96, 48), segment(96, 144, 0))
    pictures = list(read_aligned(numbered, color, sync_map, Moments(4), NUMBERED_SIZE))
    assert shown(pictures) == [(number, number) for number in range(0, 144, 4)]


@pytest.mark.parametrize("frame_rate", [25, 20, 30])
def test_read_aligned_follows_rates(frame_rate: int, numbered: Film, tmp_path: Path) -> None:
    """The same frames, faster or slower; the map leaves out frames 40 to 59."""
    faster = f"{frames_only((0, 144))},setpts=PTS*24/{frame_rate},fps={frame_rate}"
    color = version(numbered, tmp_path / "color.mp4", faster)
    rate = 24 / frame_rate
    sync_map = map_of(segment(0, 40, 0, rate), segment(60, 144, 60 * rate, rate))
    pictures = list(read_aligned(numbered, color, sync_map, Moments(), NUMBERED_SIZE))
    assert shown(pictures) == [(n, n) for n in [*range(40), *range(60, 144)]]


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("telecined", ["bw", "color"])
def test_read_aligned_shows_the_same_frames_of_telecined_films(
    telecined: str, is_known: bool, numbered: Film, tmp_path: Path
) -> None:
    """After 2:3 pulldown, two of five frames weave fields of two film frames."""
    woven = "telecine=first_field=top:pattern=23,setparams=field_mode=tff"
    films = {"bw": numbered, "color": numbered}
    films[telecined] = version(numbered, tmp_path / "telecined.mp4", woven)
    cadence: dict[str, Any] = {f"{telecined}_cadence": Cadence("top", is_known, is_known)}
    reading = Reading(**cadence)
    moments, sync_map = Moments(), map_of(segment(0, 143, 0))
    bw, color = films.values()
    pictures = read_aligned(bw, color, sync_map, moments, NUMBERED_SIZE, reading=reading)
    pairs = shown(list(pictures))
    assert len(pairs) == 143
    if telecined == "color" or is_known:
        assert pairs == [(n, n) for n in range(143)]
    else:  # without the cadence, some frames come twice and others not at all
        assert max(abs(one - other) for one, other in pairs) <= 1
        assert sum(one == other for one, other in pairs) >= 107


def test_read_aligned_shows_the_same_part_of_the_picture(numbered: Film, tmp_path: Path) -> None:
    """The bars of each film, which differ in place and thickness, are left out."""
    bw = version(numbered, tmp_path / "bw.mp4", "pad=160:64:8:16:white")
    color = version(numbered, tmp_path / "color.mp4", "scale=256:64,pad=320:96:48:24:white")
    # From the padded picture to the whole one, and from there to the other padded one.
    matrix = (
        (160 / 128 * 256 / 320, 0.0, -8 / 128 * 256 / 320 + 48 / 320),
        (0.0, 64 / 32 * 64 / 96, -16 / 32 * 64 / 96 + 24 / 96),
    )
    area = Area(8 / 160, 16 / 64, 136 / 160, 48 / 64)
    sync_map = map_of(segment(0, 144, 0, matrix=matrix, area=area))
    pictures = list(read_aligned(bw, color, sync_map, Moments(9), NUMBERED_SIZE))
    assert shown(pictures) == [(number, number) for number in range(0, 144, 9)]
    luma, _, _ = decode_planes(numbered.path, "yuv420p", NUMBERED_SIZE)
    for picture, original in zip(pictures, luma[::9], strict=True):
        for side in (picture.luma, picture.ycbcr[..., 0]):
            assert side.shape == (32, 128)
            assert np.abs(side.astype(int) - original).mean() < 4


def test_read_aligned_trims_other_shapes_to_the_longest_ones(numbered: Film) -> None:
    """The second segment shares only the upper half, which is trimmed to its middle half."""
    sync_map = map_of(segment(0, 96, 0), segment(96, 144, 96, area=Area(0.0, 0.0, 1.0, 0.5)))
    pictures = list(read_aligned(numbered, numbered, sync_map, Moments(48), NUMBERED_SIZE))
    luma, _, _ = decode_planes(numbered.path, "yuv420p", NUMBERED_SIZE)
    middle = Image.fromarray(luma[96, :16, 32:96]).resize((128, 32), Image.Resampling.BICUBIC)
    for side in (pictures[2].luma, pictures[2].ycbcr[..., 0]):
        assert np.abs(side.astype(int) - np.asarray(middle)).mean() < 4
    assert shown(pictures[:2]) == [(0, 0), (48, 48)]


def test_read_aligned_ends_a_segment_where_the_coloured_film_ends(
    numbered: Film, tmp_path: Path
) -> None:
    """A hand-written map may reach beyond the end of the film."""
    color = version(numbered, tmp_path / "color.mp4", frames_only((0, 30)))
    sync_map = map_of(segment(0, 60, 0), segment(100, 140, 10))
    pictures = list(read_aligned(numbered, color, sync_map, Moments(), NUMBERED_SIZE))
    assert shown(pictures) == [
        *((number, number) for number in range(30)),
        *((number, number - 90) for number in range(100, 120)),
    ]


def test_read_aligned_writes_cuts_from_the_first_moment_on(
    color_film: Path, tmp_path: Path
) -> None:
    film = probe(color_film)
    files = ShotFiles(tmp_path / "cuts", tmp_path / "frames")
    # The film's cuts are at 2 and 4 s; the segment border at 3 s is no cut.
    sync_map = map_of(segment(12, 72, 12), segment(72, 144, 72))
    pictures = list(read_aligned(film, film, sync_map, Moments(6), (48, 36), shot_files=files))
    assert pictures[0].bw_seconds == 0.5
    assert read_pts(files.cuts_file) == [36, 84]  # counted from the first moment
    assert files.frames_file is not None
    assert len(read_small_frames(files.frames_file)) == 132


def test_read_aligned_brings_colours_to_a_matrix(color_film: Path) -> None:
    film = probe(color_film)
    assert film.coding.matrix != "bt2020"
    sync_map = map_of(segment(0, 144, 0))
    own, other = (
        next(read_aligned(film, film, sync_map, Moments(), (48, 36), matrix=matrix))
        for matrix in (None, "bt2020")
    )
    np.testing.assert_array_equal(own.luma, other.luma)
    assert np.abs(own.ycbcr[..., 1:].astype(int) - other.ycbcr[..., 1:]).max() > 2


def test_render_writes_both_films_aligned(numbered: Film, tmp_path: Path) -> None:
    bw = version(numbered, tmp_path / "bw.mkv", frames_only((0, 70), (80, 144)))
    color = version(
        numbered, tmp_path / "color.mkv", f"{frames_only((0, 20), (50, 144))},scale=64:64"
    )
    sync_map = map_of(segment(0, 20, 0), segment(50, 70, 20), segment(70, 134, 50))
    targets = tmp_path / "a.mp4", tmp_path / "b.mp4"
    written = list(render(bw, color, sync_map, *targets))
    assert written == list(range(1, 105))
    expected = [*range(20), *range(50, 70), *range(80, 144)]
    for target in targets:
        film = probe(target)
        assert (film.width, film.height, film.frame_rate) == (*NUMBERED_SIZE, 24)
        assert film.sounds == ()
        luma, _, _ = decode_planes(target, "yuv420p", NUMBERED_SIZE)
        assert [frame_number(plane) for plane in luma] == expected


def test_render_keeps_colours_of_the_coloured_film_only(color_film: Path, tmp_path: Path) -> None:
    film = probe(color_film)
    sync_map = map_of(segment(0, 24, 24, area=Area(0.0, 0.125, 1.0, 0.875)))
    targets = tmp_path / "bw.mp4", tmp_path / "color.mp4"
    assert len(list(render(film, film, sync_map, *targets))) == 24
    size = (96, 54)
    _, *grey = decode_planes(targets[0], "yuv420p", size)
    assert all(np.abs(plane.astype(int) - 128).max() <= 2 for plane in grey)
    _, *chroma = decode_planes(targets[1], "yuv420p", size)
    _, *original = decode_planes(color_film, "yuv420p", (96, 72))
    # A quarter of the chroma rows is left out: 4 or 5 of 36 both above and below.
    for plane, whole in zip(chroma, original, strict=True):
        assert plane.shape == (24, 27, 48)
        assert plane.mean() == pytest.approx(whole[24:48, 5:31].mean(), abs=3)
        assert plane.std() > 3


def test_render_converts_colours_to_the_matrix_that_it_writes(
    color_film: Path, tmp_path: Path
) -> None:
    vivid = "hue=s=3,scale=out_color_matrix=bt601,setparams=colorspace=smpte170m"
    film = probe(graded_film(tmp_path / "film.mp4", vivid, source=color_film, crf=4))
    targets = tmp_path / "bw.mp4", tmp_path / "color.mp4"
    list(render(film, film, map_of(segment(0, 144, 0)), *targets))
    whole, shown = (
        next(read_ycbcr(version, Sampling(), matrix="bt709")).astype(int)
        for version in (film, probe(targets[1]))
    )
    off = (whole - shown)[..., 1:].reshape(9, 8, 12, 8, 2).mean(axis=(1, 3))
    assert np.abs(off).mean() < 1.5


def test_render_makes_whole_pictures_of_fields(woven_film: Film, tmp_path: Path) -> None:
    film, targets = woven_film, (tmp_path / "a.mp4", tmp_path / "b.mp4")
    list(render(film, film, map_of(segment(0, 48, 0)), *targets))
    woven = combing(list(read_luma(film, Sampling(duration_seconds=2.0))))
    for target in targets:
        assert combing(list(read_luma(probe(target), Sampling()))) < 0.6 * woven


@pytest.mark.parametrize("failing", ["a.mp4", "b.mp4"])
def test_render_writes_none_of_both_where_one_fails(
    failing: str, numbered: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = PictureWriter.finish

    def fail(writer: PictureWriter) -> None:
        finish(writer)
        if writer.target.name == failing:
            raise VideoError("the disk is full")

    monkeypatch.setattr(PictureWriter, "finish", fail)
    targets = tmp_path / "a.mp4", tmp_path / "b.mp4"
    with pytest.raises(VideoError, match="the disk is full"):
        list(render(numbered, numbered, map_of(segment(0, 24, 0)), *targets))
    assert files_in(tmp_path) == []


def test_render_that_is_interrupted_leaves_nothing(numbered: Film, tmp_path: Path) -> None:
    sync_map = map_of(segment(0, 144, 0))
    frames = render(numbered, numbered, sync_map, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert [next(frames), next(frames)] == [1, 2]
    frames.close()
    assert files_in(tmp_path) == []

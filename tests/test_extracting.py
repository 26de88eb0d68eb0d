from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from filmcolorizer_cli import extracting, stills
from filmcolorizer_cli.areas import Area
from filmcolorizer_cli.configs import FilmConfig
from filmcolorizer_cli.errors import FilmColorizerError, OptionError, VideoError
from filmcolorizer_cli.extracting import ExtractOptions, count_stills, extract
from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.maps import Segment, SyncMap
from filmcolorizer_cli.pairs import Pairs, read_pairs
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.splits import InterleavedSplit
from filmcolorizer_cli.sync import constant_offset
from filmcolorizer_cli.video import Film, probe
from tests.films import (
    LOSSLESS,
    combing,
    decode_planes,
    frame_number,
    graded_film,
    make_raw_clip,
    photographs,
    run_ffmpeg,
)
from tests.machine import file_size_limit, files_in, our_children

NUMBERED_FRAMES = 144  # frames of the numbered film, at 24 fps


@pytest.fixture(autouse=True)
def grey_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow pairs of numbered frames, which have no colours."""
    monkeypatch.setattr(stills, "MIN_CHROMA", -1.0)


def version(numbered: Film, path: Path, filters: str) -> Film:
    """Make another version of the numbered film."""
    return probe(graded_film(path, filters, source=numbered.path))


def extract_all(
    bw: Film | None, color: Film, sync_map: SyncMap, folder: Path, **options: Any
) -> Pairs:
    written = list(extract(bw, color, sync_map, folder, ExtractOptions(**options)))
    pairs = read_pairs(folder)
    assert written == list(range(1, len(pairs.pairs) + 1))
    assert len(written) == count_stills(sync_map, ExtractOptions(**options))
    return pairs


def alone(film: Film) -> SyncMap:
    return constant_offset(film, film, 0)


def shown(pairs: Pairs) -> list[tuple[int, int]]:
    """Return the numbers of the frames that grey and colour stills show."""
    stills = [pairs.read(pair) for pair in pairs.pairs]
    return [(frame_number(grey), frame_number(color[..., 1])) for grey, color, _ in stills]


def times(pairs: Pairs) -> list[float]:
    return [pair.bw_seconds for pair in pairs.pairs]


@pytest.mark.parametrize(("every", "count"), [(24, 6), (6, 24), (36, 4), (100, 2), (144, 1)])
def test_extract_takes_a_still_of_every_so_many_frames(
    every: int, count: int, numbered: Film, tmp_path: Path
) -> None:
    pairs = extract_all(None, numbered, alone(numbered), tmp_path / "pairs", every=every)
    frames = [every * index for index in range(count)]
    assert shown(pairs) == [(frame, frame) for frame in frames]
    assert times(pairs) == pytest.approx([frame / 24 for frame in frames])
    assert [pair.color_seconds for pair in pairs.pairs] == times(pairs)
    names = [f"{number:06d}" for number in range(1, count + 1)]
    assert [pair.name for pair in pairs.pairs] == names
    assert files_in(tmp_path) == ["pairs"]
    assert files_in(pairs.folder) == ["bw", "color", "pairs.json"]
    for side in ("bw", "color"):
        assert files_in(pairs.folder / side) == [f"{name}.png" for name in names]


@pytest.fixture(scope="module")
def panned(clip_folder: Path) -> Film:
    """Pans over two colour photographs: 256x192, 2 s, 24 fps, lossless."""
    views = [
        photograph[number : number + 192, 4 * number : 4 * number + 256]
        for photograph in photographs()
        for number in range(24)
    ]
    film = make_raw_clip(
        clip_folder / "panned.mp4",
        np.stack(views),
        size=(256, 192),
        layout="rgb24",
        frame_rate=Fraction(24),
        codec=(*LOSSLESS, "-pix_fmt", "yuv420p"),
    )
    return probe(film)


def colour_error(pairs: Pairs, true: Pairs) -> float:
    """Return the mean R'G'B' error, in codes, of colour stills where their colours are known."""
    errors = []
    for pair, true_pair in zip(pairs.pairs, true.pairs, strict=True):
        (_, color, known), (_, true_color, _) = pairs.read(pair), true.read(true_pair)
        errors.append(np.abs(color.astype(int) - true_color)[known > 0].mean())
    return float(np.mean(errors))


@pytest.mark.slow
def test_extract_puts_late_chroma_back(panned: Film, tmp_path: Path) -> None:
    """For a pair of films, and for a coloured film alone."""
    notes, errors = list[str](), list[float]()
    late = "chromashift=cbh=4:crh=4:cbv=-2:crv=-2"  # in pixels of chroma
    true = extract_all(None, panned, alone(panned), tmp_path / "true", every=4, size=128)
    for filters in ("null", late):
        copy = version(panned, tmp_path / "copy.mp4", filters)
        for bw in (panned, None):
            options = ExtractOptions(every=4, size=128)
            pairs = tmp_path / "pairs"
            list(extract(bw, copy, alone(panned), pairs, options, notes.append))
            errors.append(colour_error(read_pairs(pairs), true))
    assert len(notes) == 2
    for note in notes:
        right, high = re.findall(r"(\d+\.\d)% of the", note)
        assert "to the right" in note and "upwards" in note
        assert (float(right), float(high)) == pytest.approx((100 * 8 / 256, 100 * 4 / 192), abs=0.3)
    assert max(errors[2:]) < 1.15 * max(errors[:2])


@pytest.mark.slow
def test_extract_lays_each_still_upon_the_other(panned: Film, tmp_path: Path) -> None:
    """The copy weaves by up to four pixels from frame to frame, as film does in a gate."""
    woven = "crop=240:180:'8+4*sin(2*n)':'6+3*sin(3*n)'"
    matrix = ((256 / 240, 0.0, -8 / 240), (0.0, 192 / 180, -6 / 180))
    area = Area(8 / 256, 6 / 192, 1 - 8 / 256, 1 - 6 / 192)
    sync_map = SyncMap({}, {}, (Segment(0.0, 2.0, 0.0, 1.0, 1.0, matrix, area),))
    true = extract_all(None, panned, alone(panned), tmp_path / "true", every=4, size=128)
    errors = []
    for filters in ("crop=240:180:8:6", woven):
        copy = version(panned, tmp_path / "copy.mp4", filters)
        pairs = extract_all(panned, copy, sync_map, tmp_path / "pairs", every=4, size=128)
        errors.append(colour_error(pairs, true))
    assert errors[1] < 1.2 * errors[0]


@pytest.mark.slow
def test_extract_tells_of_stills_without_colours(
    color_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Titles on black, which have none, are not reported."""
    monkeypatch.setattr(stills, "MIN_CHROMA", 1.0)
    grey = "hue=s=0:enable='gte(n,48)*lt(n,96)'"
    title = "drawbox=w=iw:h=ih:color=black:t=fill:enable='lt(n,24)'"
    for filters, expected in (
        (
            grey,
            "8 of 24 colour stills show no colours: 000009 to 000016 (2.0 to 3.8 s)",
        ),
        (title, None),
    ):
        film = probe(graded_film(tmp_path / "film.mp4", filters, source=color_film))
        notes = list[str]()
        list(extract(None, film, alone(film), tmp_path / "pairs", ExtractOptions(6), notes.append))
        assert len(notes) == (expected is not None)
        assert all(note.startswith(f"{expected}; if the film had any") for note in notes)


def test_extract_of_a_film_that_begins_black(color_film: Path, tmp_path: Path) -> None:
    """Its copy already shows a picture then."""
    black = "drawbox=w=iw:h=ih:color=black:t=fill:enable='lt(n,24)'"
    bw, copy = probe(graded_film(tmp_path / "bw.mp4", black, source=color_film)), probe(color_film)
    pairs = extract_all(bw, copy, alone(bw), tmp_path / "pairs", every=6, size=72)
    assert len(pairs.pairs) == 24


def test_extract_of_a_bare_stream_puts_late_chroma_back(panned: Film, tmp_path: Path) -> None:
    """Bare streams do not allow seeking."""
    late, bare, notes = "chromashift=cbh=4:crh=4", tmp_path / "copy.h264", list[str]()
    copy = version(panned, tmp_path / "copy.mp4", late).path
    run_ffmpeg("-i", copy, "-c", "copy", bare)
    film, options = probe(bare), ExtractOptions(every=4, size=128)
    list(extract(None, film, alone(film), tmp_path / "pairs", options, notes.append))
    (note,) = notes
    assert re.search(r"is off by 3\.[0-2]% of the width to the right;", note)


def test_extract_leaves_out_what_the_copy_alone_fades(color_film: Path, tmp_path: Path) -> None:
    """As before an advertisement; the second shot is darker throughout, and is kept."""
    bw, notes = probe(color_film), list[str]()
    filters = "fade=out:st=1:d=0.9:enable='lt(t,2)',eq=contrast=0.5:enable='between(t,2,3.99)'"
    copy = probe(graded_film(tmp_path / "copy.mp4", filters, source=color_film, crf=4))
    folder = tmp_path / "pairs"
    list(extract(bw, copy, alone(bw), folder, ExtractOptions(every=6, size=72), notes.append))
    assert notes == [
        "2 of 24 stills are left out, since only the coloured film fades there: 000007 to 000008"
        " (1.5 to 1.8 s)"
    ]
    pairs = read_pairs(folder)
    left = [f"{number:06d}" for number in range(1, 25) if number not in (7, 8)]
    assert [pair.name for pair in pairs.pairs] == left
    assert files_in(folder / "bw") == files_in(folder / "color") == [f"{n}.png" for n in left]


@pytest.mark.slow
def test_extract_makes_whole_pictures_of_fields(woven_film: Film, tmp_path: Path) -> None:
    film = woven_film
    woven = list(read_luma(film, Sampling(every=24)))
    for bw, folder in ((None, "one"), (film, "two")):
        pairs = extract_all(bw, film, alone(film), tmp_path / folder, every=24, size=240)
        for side in (0, 1):
            stills = [pairs.read(pair)[side] for pair in pairs.pairs]
            assert combing(stills) < 0.6 * combing(woven)


@pytest.mark.parametrize(
    ("start", "duration", "frames"),
    [
        (0.0, 1.0, [0, 6, 12, 18]),
        (1.1, 1.0, [30, 36, 42, 48]),
        (1.25, 1.0, [30, 36, 42, 48]),
        (5.0, 60.0, [120, 126, 132, 138]),
        (5.3, None, [132, 138]),
        (0.0, 0.1, [0]),
    ],
)
def test_extract_takes_a_part_on_the_same_grid(
    start: float, duration: float | None, frames: list[int], numbered: Film, tmp_path: Path
) -> None:
    part = {"start_seconds": start, "duration_seconds": duration}
    pairs = extract_all(None, numbered, alone(numbered), tmp_path / "pairs", every=6, **part)
    assert shown(pairs) == [(frame, frame) for frame in frames]
    assert times(pairs) == pytest.approx([frame / 24 for frame in frames])


def test_extract_takes_times_not_counts_of_another_frame_rate(
    numbered_clip: Path, tmp_path: Path
) -> None:
    film = probe(numbered_clip)
    assert film.frame_rate == 25
    pairs = extract_all(None, film, alone(film), tmp_path / "pairs", every=24)
    assert shown(pairs) == [(0, 0), (25, 25), (50, 50), (75, 75)]


def test_extract_options_are_for_what_the_shipped_network_looks_at() -> None:
    assert ExtractOptions().size == FilmConfig().size == 192
    assert ExtractOptions().every == 24


@pytest.mark.parametrize(("size", "shape"), [(64, (64, 64)), (256, (1024, 256)), (32, (128, 32))])
def test_extract_writes_png_of_the_wanted_size(
    size: int, shape: tuple[int, int], numbered: Film, tmp_path: Path
) -> None:
    pairs = extract_all(None, numbered, alone(numbered), tmp_path / "pairs", every=72, size=size)
    assert (pairs.width, pairs.height) == shape
    for side, mode in (("bw", "L"), ("color", "RGB")):
        with Image.open(pairs.folder / side / "000002.png") as image:
            assert (image.format, image.mode, image.size) == ("PNG", mode, shape)


def test_extract_writes_an_index(color_film: Path, tmp_path: Path) -> None:
    film = probe(color_film)
    part = {"start_seconds": 1.5, "duration_seconds": 3.0}
    pairs = extract_all(None, film, alone(film), tmp_path / "pairs", every=12, size=32, **part)
    identity = {"path": str(color_film), "frame_rate": "24", "duration_seconds": 6.0}
    moments = [(1.5, 1), (2.0, 2), (2.5, 2), (3.0, 2), (3.5, 2), (4.0, 3)]
    written = json.loads((pairs.folder / "pairs.json").read_text())
    checksums = written.pop("checksums")
    assert {*checksums} == {f"{side}/{n:06d}.png" for side in ("bw", "color") for n in range(1, 7)}
    assert written == {
        "format": "filmcolorizer-pairs/1",
        "bw": identity,
        "matrix": "bt709",
        "is_faded": False,
        "color": identity,
        "aspect_ratio": pytest.approx(4 / 3),
        "width": 43,
        "height": 32,
        "every": 12,
        "pairs": [
            {"name": f"{number:06d}", "bw_seconds": time, "color_seconds": time, "shot": shot}
            for number, (time, shot) in enumerate(moments, start=1)
        ],
    }


def test_extract_counts_shots(pairs: Pairs) -> None:
    assert [pair.shot for pair in pairs.pairs] == [1] * 8 + [2] * 8 + [3] * 8


@pytest.mark.parametrize(
    "look",
    [
        "drawbox=c=white:t=fill:enable='eq(n,20)+eq(n,70)'",
        "lutyuv=y='16+val*0.12':u='128+(val-128)*0.12':v='128+(val-128)*0.12'",
    ],
    ids=["flashes", "little-contrast"],
)
def test_extract_counts_shots_as_colorize_finds_them(
    look: str, color_film: Path, tmp_path: Path
) -> None:
    film = probe(graded_film(tmp_path / "film.mp4", look, source=color_film, crf=4))
    for bw, name in ((None, "one"), (film, "two")):
        pairs = extract_all(bw, film, alone(film), tmp_path / name, every=6, size=32)
        assert [pair.shot for pair in pairs.pairs] == [1] * 8 + [2] * 8 + [3] * 8
        assert files_in(tmp_path / name) == ["bw", "color", "pairs.json"]


def test_extract_of_one_film_takes_the_grey_from_its_luma(color_film: Path, tmp_path: Path) -> None:
    film = probe(color_film)
    folder = tmp_path / "pairs"
    pairs = extract_all(None, film, alone(film), folder, every=36, size=film.height)
    assert (pairs.width, pairs.height) == (96, 72)
    luma, _, _ = decode_planes(color_film, "yuv420p", (96, 72))
    for pair, codes in zip(pairs.pairs, luma[::36], strict=True):
        grey, color, known = pairs.read(pair)
        assert known.all()
        expected = ((codes.astype(float) - 16) * 255 / 219).round().clip(0, 255)
        np.testing.assert_array_equal(grey, expected)
        # The colour still has the same luma, by BT.709-6 item 3.2, where nothing is clipped.
        of_color = color @ np.array([0.2126, 0.7152, 0.0722])
        inside = (color > 0).all(axis=2) & (color < 255).all(axis=2)
        assert inside.mean() > 0.5
        assert np.abs(of_color - grey)[inside].max() <= 1
        assert np.abs(color[..., 0].astype(int) - color[..., 2]).max() > 50, "no colour at all"


@pytest.mark.slow
def test_extract_takes_noise_off_the_colours_of_a_copy(mixed_film: Path, tmp_path: Path) -> None:
    """A film extracted alone is its own truth and keeps its noise."""
    noise = "noise=c1s=12:c1f=t+u:c2s=12:c2f=t+u"
    clean = probe(mixed_film)
    noisy = probe(graded_film(tmp_path / "noisy.mp4", noise, source=mixed_film, crf=4))

    def differences(bw: Film | None, color: Film, name: str) -> np.ndarray:
        """Return R' - G' and B' - G' inside the stills, which do not depend on luma."""
        pairs = extract_all(bw, color, alone(color), tmp_path / name, every=6, size=96)
        stills = np.stack([pairs.read(pair)[1][4:-4, 4:-4] for pair in pairs.pairs]).astype(int)
        return stills[..., ::2] - stills[..., 1:2]

    true = differences(None, clean, "true")
    noise_of_film = np.abs(differences(None, noisy, "noisy") - true).mean()
    noise_of_copy = np.abs(differences(clean, noisy, "quiet") - true).mean()
    assert noise_of_film > 3
    assert noise_of_copy < 0.7 * noise_of_film


@pytest.mark.parametrize(
    ("first_bw", "first_color", "first_time"), [(0, 10, 0.5), (10, 0, 0.0), (25, 0, 0.0)]
)
def test_extract_of_two_films_takes_the_same_moments(
    first_bw: int, first_color: int, first_time: float, numbered: Film, tmp_path: Path
) -> None:
    bw = version(numbered, tmp_path / "bw.mp4", f"trim=start_frame={first_bw},setpts=PTS-STARTPTS")
    color = version(
        numbered, tmp_path / "c.mp4", f"trim=start_frame={first_color},setpts=PTS-STARTPTS"
    )
    sync_map = constant_offset(bw, color, first_bw - first_color)
    pairs = extract_all(bw, color, sync_map, tmp_path / "pairs", every=12)
    first_shown = first_bw + round(24 * first_time)
    expected = list(range(first_shown, NUMBERED_FRAMES, 12))
    assert shown(pairs) == [(number, number) for number in expected]
    assert times(pairs)[0] == first_time
    delay = (first_bw - first_color) / 24
    for pair in pairs.pairs:
        assert pair.color_seconds == pytest.approx(pair.bw_seconds + delay, abs=1e-5)


@pytest.mark.parametrize("frame_rate", [25, 20])
def test_extract_follows_the_rate_of_the_coloured_film(
    frame_rate: int, numbered: Film, tmp_path: Path
) -> None:
    """The coloured film shows the same frames, but faster, as PAL television does, or slower."""
    filters = f"setpts=PTS*24/{frame_rate},fps={frame_rate}"
    color = version(numbered, tmp_path / "color.mp4", filters)
    assert (color.frame_rate, color.frame_count()) == (frame_rate, NUMBERED_FRAMES)
    segment = Segment(0.0, 6.0, 0.0, 24 / frame_rate, 1.0)
    pairs = extract_all(numbered, color, SyncMap({}, {}, (segment,)), tmp_path / "pairs", every=12)
    assert shown(pairs) == [(number, number) for number in range(0, NUMBERED_FRAMES, 12)]


def test_extract_follows_all_segments(numbered: Film, tmp_path: Path) -> None:
    """The coloured film lacks the frames from 2 to 3 s."""
    color = version(numbered, tmp_path / "c.mp4", "select='not(between(n,48,71))',setpts=N/24/TB")
    segments = (Segment(0.0, 2.0, 0.0, 1.0, 1.0), Segment(3.0, 6.0, 2.0, 1.0, 1.0))
    pairs = extract_all(numbered, color, SyncMap({}, {}, segments), tmp_path / "pairs", every=12)
    expected = [0, 12, 24, 36, 72, 84, 96, 108, 120, 132]
    assert shown(pairs) == [(number, number) for number in expected]
    assert [pair.name for pair in pairs.pairs] == [f"{n:06d}" for n in range(1, 11)]


@pytest.mark.parametrize(
    "segments",
    [
        # Borders within shots, some with a gap; the film's cuts are at 2 and 4 s.
        [(0.0, 1.0, 0.0), (1.25, 3.0, 1.0), (3.0, 6.0, 3.0)],
        # The coloured film lacks the cuts, so those of the black-and-white film count.
        [(0.25, 1.5, 0.0), (2.5, 3.5, 2.5), (4.5, 6.0, 4.5)],
        [(0.0, 2.0, 0.5), (2.0, 4.0, 2.75), (4.0, 5.75, 4.25)],
    ],
    ids=["within-shots", "around-cuts", "at-cuts"],
)
def test_extract_begins_shots_at_cuts_not_at_borders_of_segments(
    segments: list[tuple[float, float, float]], color_film: Path, tmp_path: Path
) -> None:
    film = probe(color_film)
    parts = tuple(Segment(begin, end, color, 1.0, 1.0) for begin, end, color in segments)
    pairs = extract_all(film, film, SyncMap({}, {}, parts), tmp_path / "pairs", every=6, size=32)
    assert len(pairs.pairs) > 10
    for pair in pairs.pairs:
        assert pair.shot == 1 + int(pair.bw_seconds >= 2) + int(pair.bw_seconds >= 4)


def test_extract_knows_colours_where_both_films_show_the_picture(
    color_film: Path, tmp_path: Path
) -> None:
    """The coloured version is cropped to 72x54 of 96x72, without scaling.

    Stills show the whole black-and-white picture, as `colorize` does.
    """
    bw = probe(color_film)
    cropped = graded_film(tmp_path / "c.mp4", "crop=72:54:16:12", source=color_film, crf=4)
    matrix = ((96 / 72, 0.0, -16 / 72), (0.0, 72 / 54, -12 / 54))
    area = Area(16 / 96, 12 / 72, 88 / 96, 66 / 72)
    sync_map = SyncMap({}, {}, (Segment(0.0, 6.0, 0.0, 1.0, 1.0, matrix, area),))
    folder = tmp_path / "pairs"
    pairs = extract_all(bw, probe(cropped), sync_map, folder, every=18, size=72)
    assert (pairs.width, pairs.height) == (96, 72)
    assert pairs.aspect_ratio == pytest.approx(4 / 3)
    luma, _, _ = decode_planes(color_film, "yuv420p", (96, 72))
    for pair, whole in zip(pairs.pairs, luma[::18], strict=True):
        grey, color, known = pairs.read(pair)
        expected = (whole.astype(float) - 16) * 255 / 219
        assert np.abs(grey - expected.clip(0, 255)).max() <= 2
        assert known[13:65, 17:87].all()
        assert known.sum() == 255 * 52 * 70, "all but a rim of a pixel"
        # By BT.709-6 item 3.2, which does not hold where colours are clipped.
        of_color = color @ np.array([0.2126, 0.7152, 0.0722])
        inside = (color > 0).all(axis=2) & (color < 255).all(axis=2) & (known > 0)
        assert np.abs(of_color - grey)[inside].mean() < 3


def test_extract_follows_the_area_of_each_segment(color_film: Path, tmp_path: Path) -> None:
    """The stills are square."""
    film = probe(color_film)
    wide, narrow = Area(0.0, 0.25, 1.0, 0.75), Area(0.25, 0.0, 0.75, 1.0)
    segments = (
        Segment(0.0, 2.0, 0.0, 1.0, 1.0, area=wide),
        Segment(2.0, 6.0, 2.0, 1.0, 1.0, area=narrow),
    )
    folder = tmp_path / "pairs"
    pairs = extract_all(film, film, SyncMap({}, {}, segments), folder, every=72, size=64)
    shown = [pairs.read(pair)[2] > 0 for pair in pairs.pairs]
    assert shown[0][17:47, :].all() and shown[0].sum() == 30 * 64
    assert shown[1][:, 17:47].all() and shown[1].sum() == 30 * 64


@pytest.mark.slow
def test_extract_of_a_copy_by_another_matrix_takes_its_colours(
    color_film: Path, tmp_path: Path
) -> None:
    vivid = graded_film(tmp_path / "bw.mp4", "hue=s=3", source=color_film, crf=4)
    bt601 = "scale=out_color_matrix=bt601,setparams=colorspace=smpte170m"
    bw, copy = probe(vivid), probe(graded_film(tmp_path / "c.mp4", bt601, source=vivid, crf=4))
    same = extract_all(copy, copy, alone(copy), tmp_path / "same", every=36, size=72)
    other = extract_all(bw, copy, alone(bw), tmp_path / "other", every=36, size=72)
    assert (same.matrix, other.matrix) == ("bt601", "bt709")
    for pair in same.pairs:
        np.testing.assert_array_equal(same.read(pair)[1], other.read(pair)[1])


def test_extract_leaves_out_what_the_coloured_film_does_not_show(
    color_film: Path, tmp_path: Path
) -> None:
    """A hand-written map shares a strip narrower than a pixel, and then the whole picture."""
    film = probe(color_film)
    segments = (
        Segment(0.0, 3.0, 0.0, 1.0, 1.0, area=Area(0.5, 0.0, 0.505, 1.0)),
        Segment(3.0, 6.0, 3.0, 1.0, 1.0),
    )
    folder = tmp_path / "pairs"
    list(extract(film, film, SyncMap({}, {}, segments), folder, ExtractOptions(every=24, size=64)))
    assert times(read_pairs(folder)) == [3.0, 4.0, 5.0]
    nothing = SyncMap({}, {}, segments[:1])
    with pytest.raises(OptionError, match="there is no still in this part of the films"):
        list(extract(film, film, nothing, tmp_path / "none", ExtractOptions(every=24, size=64)))
    assert files_in(tmp_path) == ["pairs"]


@pytest.mark.parametrize("films", [1, 2])
def test_extract_takes_the_shape_of_the_black_and_white_picture(
    films: int, color_film: Path, tmp_path: Path
) -> None:
    """Stills of a letterboxed film leave out exactly the rows of its bars, as `colorize` does."""
    letterbox = "crop=96:56:0:8,pad=96:72:0:8"
    film = probe(graded_film(tmp_path / "wide.mp4", letterbox, source=color_film, crf=4))
    sync_map = alone(film)
    bw = film if films == 2 else None
    pairs = extract_all(bw, film, sync_map, tmp_path / "pairs", every=72, size=56)
    assert (pairs.width, pairs.height, pairs.aspect_ratio) == (96, 56, pytest.approx(96 / 56))
    luma, _, _ = decode_planes(film.path, "yuv420p", (96, 72))
    for pair, whole in zip(pairs.pairs, luma[::72], strict=True):
        grey, color, known = pairs.read(pair)
        expected = (whole[8:64].astype(float) - 16) * 255 / 219
        assert np.abs(grey - expected.clip(0, 255)).mean() < 1
        assert known.all()
        assert np.ptp(color.astype(int), axis=2).max() > 20
    squares = extract_all(bw, film, sync_map, tmp_path / "squares", every=72, size=64)
    assert (squares.width, squares.height) == (64, 64)
    assert squares.aspect_ratio == pairs.aspect_ratio


def ramp(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a picture, 0 to 1, that slopes along both axes."""
    return 0.15 + 0.5 * x + 0.3 * y


@pytest.mark.parametrize(
    "matrix",
    [
        ((0.5, 0.0, 0.25), (0.0, 0.5, 0.3)),
        ((0.8, 0.1, 0.05), (-0.15, 0.9, 0.2)),
        ((1.0, 0.0, 0.25), (0.0, 1.0, 0.0)),
    ],
    ids=["cropped", "sheared", "moved"],
)
def test_extract_registers_the_colour_picture(
    matrix: Any, plain_clip: Path, tmp_path: Path
) -> None:
    size = (96, 64)
    y, x = np.mgrid[:64, :96]
    codes = 16 + 219 * ramp((x + 0.5) / 96, (y + 0.5) / 64)
    frames = np.repeat(codes.round().astype(np.uint8)[None], 24, axis=0)
    grey = np.full((24, 64, 96), 128, np.uint8)
    pictures = np.stack((frames, grey, grey), axis=1)  # (24, 3, 64, 96)
    color = probe(make_raw_clip(tmp_path / "c.mp4", pictures, size=size, layout="yuv444p"))
    bw = probe(plain_clip)
    sync_map = SyncMap({}, {}, (Segment(0.0, 0.5, 0.0, 1.0, 1.0, matrix),))
    pairs = extract_all(bw, color, sync_map, tmp_path / "pairs", size=48)
    assert (pairs.width, pairs.height) == (64, 48)
    _, rgb, _ = pairs.read(pairs.pairs[0])
    # The matrix maps (x, y) of the black-and-white picture to (u, v) of the colour one.
    y, x = np.mgrid[:48, :64]
    x, y = (x + 0.5) / 64, (y + 0.5) / 48
    (a, b, tx), (c, d, ty) = matrix
    u, v = a * x + b * y + tx, c * x + d * y + ty
    margin = 2 / 48  # resampling at the edges mixes in what is outside
    inside = (np.minimum(u, v) > margin) & (np.maximum(u, v) < 1 - margin)
    outside = (np.minimum(u, v) < -margin) | (np.maximum(u, v) > 1 + margin)
    assert inside.mean() > 0.5
    error = np.abs(rgb - 255 * ramp(u, v)[..., None])
    assert error[inside].max() < 3
    assert (rgb[outside] == 0).all()


@pytest.mark.slow
def test_extract_through_a_link_keeps_the_link(numbered: Film, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link, folder = tmp_path / "pairs", tmp_path / "disk" / "pairs"
    link.symlink_to(folder)
    for every in (6, 12):
        extract_all(None, numbered, alone(numbered), link, every=every)
        assert link.is_symlink()
        assert read_pairs(folder).every == every
    assert files_in(tmp_path) == ["disk", "pairs"]
    assert files_in(folder.parent) == ["pairs"]


def test_extract_refuses_a_film_without_colors(
    numbered: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    options = ExtractOptions(every=24)
    for bw, more in ((None, ""), (numbered, ", after the black-and-white one")):
        with pytest.raises(OptionError) as caught:
            list(extract(bw, numbered, alone(numbered), tmp_path / "pairs", options))
        assert str(caught.value) == (
            f"{numbered.path} shows no colours in these stills; give a coloured film{more}"
        )
    assert files_in(tmp_path) == []


def test_extract_replaces_an_older_folder(numbered: Film, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    extract_all(None, numbered, alone(numbered), folder, every=12)
    extract_all(None, numbered, alone(numbered), folder, every=72)
    assert files_in(folder / "bw") == ["000001.png", "000002.png"]
    assert files_in(tmp_path) == ["pairs"]


def test_extract_that_is_interrupted_leaves_nothing(numbered: Film, tmp_path: Path) -> None:
    stills = extract(None, numbered, alone(numbered), tmp_path / "pairs", ExtractOptions(every=6))
    assert [next(stills), next(stills)] == [1, 2]
    [temporary] = tmp_path.iterdir()
    assert temporary.name.startswith(".")
    stills.close()
    assert files_in(tmp_path) == []


def test_extract_that_is_interrupted_leaves_the_older_folder(
    numbered: Film, tmp_path: Path
) -> None:
    folder = tmp_path / "pairs"
    extract_all(None, numbered, alone(numbered), folder, every=72)
    stills = extract(None, numbered, alone(numbered), folder, ExtractOptions(every=6))
    next(stills)
    stills.close()
    assert files_in(tmp_path) == ["pairs"]
    assert shown(read_pairs(folder)) == [(0, 0), (72, 72)]


@pytest.mark.slow
def test_extract_stopped_while_it_replaces_a_folder_leaves_one(
    numbered: Film, tmp_path: Path
) -> None:
    """Ctrl-C comes after the older folder is moved away; hand-painted stills could be lost."""
    folder = tmp_path / "pairs"
    extract_all(None, numbered, alone(numbered), folder, every=72)
    program = f"""
import os, signal
from fractions import Fraction
from pathlib import Path
from filmcolorizer_cli import stills
from filmcolorizer_cli.extracting import ExtractOptions, extract
from filmcolorizer_cli.stopping import heed_signals
from filmcolorizer_cli.sync import constant_offset
from filmcolorizer_cli.video import probe

class Interrupted(type(Path())):
    def replace(self, target):
        super().replace(target)
        os.kill(os.getpid(), {signal.SIGINT.value})
        [None for _ in range(100)]  # where what waits would be raised

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests ignored
heed_signals()
stills.MIN_CHROMA = -1.0  # the film has no colours
film = probe(Path({str(numbered.path)!r}))
try:
    folder, itself = Interrupted({str(folder)!r}), constant_offset(film, film, 0)
    list(extract(None, film, itself, folder, ExtractOptions(every=6)))
except KeyboardInterrupt:
    print("stopped")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("stopped\n", "")
    assert files_in(tmp_path) == ["pairs"]
    assert len(read_pairs(folder).pairs) == 24


def test_extract_on_a_full_disk_leaves_nothing(color_film: Path, tmp_path: Path) -> None:
    film, folder = probe(color_film), tmp_path / "pairs"
    stills = extract(None, film, alone(film), folder, ExtractOptions(every=6))
    with file_size_limit(20_000), pytest.raises(FilmColorizerError) as caught:
        list(stills)
    assert str(caught.value) == (
        f"cannot write {folder} (File too large); make room there, or choose another place"
    )
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("from_two_films", [True, False])
def test_extract_that_fails_has_ended_its_ffmpeg_before_it_removes_the_folder(
    from_two_films: bool, color_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, before, alive = probe(color_film), our_children(), list[bool]()

    def fail(*_: object) -> None:
        raise VideoError("a still cannot be made")

    def remove(folder: Path, **_: object) -> None:
        alive.append(our_children() != before)

    monkeypatch.setattr(extracting, "_save_pair", fail)
    monkeypatch.setattr(shutil, "rmtree", remove)
    bw = film if from_two_films else None
    with pytest.raises(VideoError):
        list(extract(bw, film, alone(film), tmp_path / "pairs", ExtractOptions(every=1)))
    assert alive
    assert not any(alive)


@pytest.mark.parametrize(
    "options", [{"start_seconds": 7.0}, {"start_seconds": 0.1, "duration_seconds": 0.2}]
)
def test_extract_refuses_a_part_without_stills(
    options: dict[str, Any], numbered: Film, tmp_path: Path
) -> None:
    with pytest.raises(OptionError) as caught:
        list(extract(None, numbered, alone(numbered), tmp_path / "p", ExtractOptions(**options)))
    assert str(caught.value) == (
        "there is no still in this part of the films; give another --start, --duration or a"
        " smaller --every"
    )
    assert files_in(tmp_path) == []


def test_extract_refuses_a_missing_parent_folder(numbered: Film, tmp_path: Path) -> None:
    folder = tmp_path / "missing" / "pairs"
    with pytest.raises(FilmColorizerError, match="does not exist; create it"):
        list(extract(None, numbered, alone(numbered), folder, ExtractOptions()))
    assert files_in(tmp_path) == []


def test_extract_at_double_density_takes_the_same_stills_to_train_on(
    color_film: Path, tmp_path: Path
) -> None:
    film = probe(color_film)
    trained = []
    for every in (12, 6):
        folder = tmp_path / f"every-{every}"
        some = {"every": every, "size": 32, "start_seconds": 1.0, "duration_seconds": 4.0}
        pairs = extract_all(None, film, alone(film), folder, **some)
        chosen = pairs.part("train", InterleavedSplit(pairs.every))
        trained.append({pair.bw_seconds: pairs.read(pair)[1].tobytes() for pair in chosen})
    sparse, dense = trained
    assert list(sparse) == [1.0, 2.0, 3.0, 4.0]
    assert len(dense) == 8
    assert sparse.items() <= dense.items()

from __future__ import annotations

import json
import math
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli import files
from filmcolorizer_cli import pairs as pairing
from filmcolorizer_cli.errors import FilmColorizerError, OptionError, PairsError, VideoError
from filmcolorizer_cli.networks import FilmConfig
from filmcolorizer_cli.pairs import (
    PARTS,
    ExtractOptions,
    InterleavedSplit,
    Pair,
    Pairs,
    Split,
    TimeSplit,
    Undivided,
    count_stills,
    extract,
    foreign_stills,
    read_pairs,
    read_split,
    split_by_time,
    still_size,
    true_colors,
)
from filmcolorizer_cli.sync import Segment, SyncMap, constant_offset
from filmcolorizer_cli.video import Film, probe
from tests.conftest import (
    decode_planes,
    file_size_limit,
    files_in,
    frame_number,
    graded_film,
    make_color_clip,
    make_numbered_clip,
    make_raw_clip,
    our_children,
)

NUMBERED_FRAMES = 144  # at 24 fps
ORANGE = (204, 102, 51)  # one that web palettes have


@pytest.fixture(autouse=True)
def grey_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pairs be taken of numbered frames, which have no colours."""
    monkeypatch.setattr(pairing, "MIN_CHROMA", -1.0)


@pytest.fixture(scope="module")
def numbered(clip_folder: Path) -> Film:
    """6 s of numbered frames at 24 fps."""
    return probe(make_numbered_clip(clip_folder / "numbered24.mp4", seconds=6, frame_rate="24"))


def version(numbered: Film, path: Path, filters: str) -> Film:
    """Another version of the numbered film."""
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
    return constant_offset(film, film, 0, 1.0)


def shown(pairs: Pairs) -> list[tuple[int, int]]:
    """The numbers of the frames that grey and colour stills show."""
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


@pytest.mark.parametrize(
    ("size", "aspect_ratio", "expected"),
    [
        (64, 16 / 9, (64, 64)),
        (64, 0.5, (64, 64)),
        (256, 16 / 9, (455, 256)),
        (256, 4 / 3, (341, 256)),
        (256, 1.0, (256, 256)),
        (256, 0.5, (256, 512)),
        (63, 2.0, (126, 63)),
    ],
)
def test_still_size_squares_64_and_else_keeps_the_shape(
    size: int, aspect_ratio: float, expected: tuple[int, int]
) -> None:
    assert still_size(size, aspect_ratio) == expected


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
        # The colour still has that luma, by BT.709-6 item 3.2, where nothing was clipped.
        of_color = color @ np.array([0.2126, 0.7152, 0.0722])
        inside = (color > 0).all(axis=2) & (color < 255).all(axis=2)
        assert inside.mean() > 0.5
        assert np.abs(of_color - grey)[inside].max() <= 1
        assert np.abs(color[..., 0].astype(int) - color[..., 2]).max() > 50, "no colour at all"


def test_extract_takes_noise_off_the_colours_of_a_copy(mixed_film: Path, tmp_path: Path) -> None:
    """But not off those of a film that is its own truth."""
    noise = "noise=c1s=12:c1f=t+u:c2s=12:c2f=t+u"
    clean = probe(mixed_film)
    noisy = probe(graded_film(tmp_path / "noisy.mp4", noise, source=mixed_film, crf=4))

    def differences(bw: Film | None, color: Film, name: str) -> np.ndarray:
        """R' - G' and B' - G', which luma has no part in, amid the stills."""
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
    sync_map = constant_offset(bw, color, first_bw - first_color, 1.0)
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
        # Borders within shots, some with a gap; the film's shots change at 2 and 4 s.
        [(0.0, 1.0, 0.0), (1.25, 3.0, 1.0), (3.0, 6.0, 3.0)],
        # The coloured film lacks the changes, and the black-and-white one's count.
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
    """The coloured version is cropped: 72x54 of 96x72, and a pixel stays a pixel.

    Stills show the whole of the black-and-white picture, as `colorize` will.
    """
    bw = probe(color_film)
    cropped = graded_film(tmp_path / "c.mp4", "crop=72:54:16:12", source=color_film, crf=4)
    matrix = ((96 / 72, 0.0, -16 / 72), (0.0, 72 / 54, -12 / 54))
    area = (16 / 96, 12 / 72, 88 / 96, 66 / 72)
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
        # By BT.709-6 item 3.2; where colours were clipped it is off.
        of_color = color @ np.array([0.2126, 0.7152, 0.0722])
        inside = (color > 0).all(axis=2) & (color < 255).all(axis=2) & (known > 0)
        assert np.abs(of_color - grey)[inside].mean() < 3


def test_extract_follows_the_area_of_each_segment(color_film: Path, tmp_path: Path) -> None:
    """Squares as well."""
    film = probe(color_film)
    wide, narrow = (0.0, 0.25, 1.0, 0.75), (0.25, 0.0, 0.75, 1.0)
    segments = (
        Segment(0.0, 2.0, 0.0, 1.0, 1.0, area=wide),
        Segment(2.0, 6.0, 2.0, 1.0, 1.0, area=narrow),
    )
    folder = tmp_path / "pairs"
    pairs = extract_all(film, film, SyncMap({}, {}, segments), folder, every=72, size=64)
    shown = [pairs.read(pair)[2] > 0 for pair in pairs.pairs]
    assert shown[0][17:47, :].all() and shown[0].sum() == 30 * 64
    assert shown[1][:, 17:47].all() and shown[1].sum() == 30 * 64


def test_extract_leaves_out_what_the_coloured_film_does_not_show(
    color_film: Path, tmp_path: Path
) -> None:
    """By a map that a person wrote: a strip narrower than a pixel, and then all of it."""
    film = probe(color_film)
    segments = (
        Segment(0.0, 3.0, 0.0, 1.0, 1.0, area=(0.5, 0.0, 0.505, 1.0)),
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
    """A letterboxed film's stills have no bars, to the row, as `colorize` sees it."""
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
    """A picture that tells every place apart, 0 to 1."""
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
    # The point (x, y) of the black-and-white picture is where the matrix says in the colour one.
    y, x = np.mgrid[:48, :64]
    x, y = (x + 0.5) / 64, (y + 0.5) / 48
    (a, b, tx), (c, d, ty) = matrix
    u, v = a * x + b * y + tx, c * x + d * y + ty
    margin = 2 / 48  # at the edges the resampling mixes in what is outside
    inside = (np.minimum(u, v) > margin) & (np.maximum(u, v) < 1 - margin)
    outside = (np.minimum(u, v) < -margin) | (np.maximum(u, v) > 1 + margin)
    assert inside.mean() > 0.5
    error = np.abs(rgb - 255 * ramp(u, v)[..., None])
    assert error[inside].max() < 3
    assert (rgb[outside] == 0).all()


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


def test_extract_stopped_while_it_replaces_a_folder_leaves_one(
    numbered: Film, tmp_path: Path
) -> None:
    """Ctrl-C after the older folder has made way, where hand-painted stills would be lost."""
    folder = tmp_path / "pairs"
    extract_all(None, numbered, alone(numbered), folder, every=72)
    program = f"""
import os, signal
from pathlib import Path
from filmcolorizer_cli import pairs as pairing
from filmcolorizer_cli.pairs import ExtractOptions, extract
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
pairing.MIN_CHROMA = -1.0  # the film has no colours
film = probe(Path({str(numbered.path)!r}))
try:
    folder, itself = Interrupted({str(folder)!r}), constant_offset(film, film, 0, 1.0)
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

    monkeypatch.setattr(pairing, "_save_pair", fail)
    monkeypatch.setattr(files.shutil, "rmtree", remove)
    bw = film if from_two_films else None
    with pytest.raises(VideoError):
        list(extract(bw, film, alone(film), tmp_path / "pairs", ExtractOptions(every=1)))
    assert alive
    assert not any(alive)


@pytest.mark.parametrize(
    "options", [{"start_seconds": 7.0}, {"start_seconds": 0.1, "duration_seconds": 0.2}]
)
def test_extract_refuses_a_part_without_stills(
    options: dict[str, float], numbered: Film, tmp_path: Path
) -> None:
    with pytest.raises(OptionError) as caught:
        list(extract(None, numbered, alone(numbered), tmp_path / "p", ExtractOptions(**options)))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "there is no still in this part of the films; give another --start, --duration or a"
        " smaller --every"
    )
    assert files_in(tmp_path) == []


def test_extract_refuses_a_missing_parent_folder(numbered: Film, tmp_path: Path) -> None:
    folder = tmp_path / "missing" / "pairs"
    with pytest.raises(FilmColorizerError, match="does not exist; make it"):
        list(extract(None, numbered, alone(numbered), folder, ExtractOptions()))
    assert files_in(tmp_path) == []


PAIR = {"name": "000001", "bw_seconds": 0.0, "color_seconds": 0.0, "shot": 1}


def refusal(folder: Path) -> str:
    with pytest.raises(PairsError) as caught:
        read_pairs(folder)
    return str(caught.value)


@pytest.mark.parametrize("side", ["bw", "color"])
@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_read_refuses_stills_of_more_than_8_bits(side: str, mode: str, own_pairs: Pairs) -> None:
    """Pillow would make all but their darkest pixels white."""
    path = own_pairs.folder / side / "000002.png"
    kinds = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
    still = Image.fromarray(np.full((32, 43), 40_000).astype(kinds[mode]))
    assert still.mode == mode
    still.save(path, "TIFF")
    with pytest.raises(PairsError, match="it has more than 8 bits; save it with 8"):
        own_pairs.read(own_pairs.pairs[1])


def test_read_pairs_leaves_out_a_deleted_pair(own_pairs: Pairs) -> None:
    for side in ("bw", "color"):
        (own_pairs.folder / side / "000003.png").unlink()
    left = read_pairs(own_pairs.folder)
    assert left.pairs == own_pairs.pairs[:2] + own_pairs.pairs[3:]


@pytest.mark.parametrize(("side", "other"), [("bw", "color"), ("color", "bw")])
def test_read_pairs_refuses_half_a_pair(side: str, other: str, own_pairs: Pairs) -> None:
    folder = own_pairs.folder
    for name in ("000004", "000007"):
        (folder / other / f"{name}.png").unlink()
    assert refusal(folder) == (
        f"{folder}/{side}/000004.png has no counterpart in {folder}/{other} (2 such);"
        " put it back or delete the whole pair"
    )


def test_read_pairs_refuses_an_additional_pair(own_pairs: Pairs) -> None:
    folder = own_pairs.folder
    for side in ("bw", "color"):
        Image.new("RGB", (43, 32)).save(folder / side / "000099.png")
    assert refusal(folder) == (
        f"{folder}/bw/000099.png is not listed in {folder}/pairs.json;"
        " stills can be replaced or deleted, not added"
    )


def test_read_pairs_refuses_a_folder_whose_pairs_are_all_deleted(own_pairs: Pairs) -> None:
    for still in own_pairs.folder.glob("*/*.png"):
        still.unlink()
    assert refusal(own_pairs.folder) == (
        f"{own_pairs.folder} holds no pairs; make some with `filmcolorizer extract`"
    )


def test_read_pairs_refuses_what_is_no_folder_of_pairs(plain_clip: Path, tmp_path: Path) -> None:
    end = "; make one with `filmcolorizer extract`"
    for folder, reason in (
        (tmp_path, "No such file or directory"),
        (tmp_path / "missing", "No such file or directory"),
        (plain_clip, "Not a directory"),
    ):
        message = refusal(folder)
        assert message.startswith(f"{folder} is no folder of pairs (pairs.json: ")
        assert reason in message
        assert message.endswith(end)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other/1"}, "its format is 'other/1', not 'filmcolorizer-pairs/1'"),
        ({"pairs": [{"name": "000001"}]}, "'bw_seconds'"),
        ({"pairs": 3}, "'int' object is not iterable"),
        ({"width": "wide"}, "invalid literal for int()"),
        ({"aspect_ratio": None}, "NoneType"),
        ({"every": 0}, "a still of every 0 frames"),
        ({"aspect_ratio": 0}, "stills of 43x32 with an aspect ratio of 0.0"),
        ({"height": -32}, "stills of 43x-32 with an aspect ratio of"),
        ({"pairs": [PAIR | {"bw_seconds": "1.0"}]}, "must be real number, not str"),
        ({"pairs": [PAIR | {"color_seconds": math.nan}]}, "the times of pair 000001 are no"),
        ({"bw": None}, "'NoneType' object is not iterable"),
        ({"every": math.inf}, "cannot convert float infinity to integer"),
        ({"pairs": [PAIR | {"name": []}]}, "a pair called []"),
    ],
)
def test_read_pairs_refuses_a_broken_index(
    change: dict[str, Any], reason: str, own_pairs: Pairs
) -> None:
    index = own_pairs.folder / "pairs.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), **change}))
    message = refusal(own_pairs.folder)
    assert message.startswith(f"{own_pairs.folder} is no folder of pairs (pairs.json: ")
    assert reason in message


def test_read_pairs_refuses_half_an_index(own_pairs: Pairs) -> None:
    index = own_pairs.folder / "pairs.json"
    index.write_text(index.read_text()[:-100])
    assert "is no folder of pairs (pairs.json: " in refusal(own_pairs.folder)


def test_read_pairs_tells_of_a_side_that_cannot_be_read(own_pairs: Pairs) -> None:
    """Stills that are there are not called missing, lest the others be deleted."""
    stills = own_pairs.folder / "color"
    shutil.rmtree(stills)
    for reason in ("No such file or directory", "Not a directory"):
        assert refusal(own_pairs.folder) == (
            f"the stills in {stills} cannot be read ({reason}); put them back, or change their"
            " permissions"
        )
        stills.touch()


@pytest.mark.parametrize("beneath", [(0, 0, 0, 0), (255, 0, 255, 0), (255, 0, 255, 254)])
def test_read_knows_no_colours_where_a_still_is_transparent(
    beneath: tuple[int, ...], own_pairs: Pairs
) -> None:
    """Whatever lies beneath; a person painted the coat alone."""
    path = own_pairs.folder / "color" / "000002.png"
    painted = Image.new("RGBA", (43, 32), beneath)
    painted.paste((*ORANGE, 255), (10, 5, 30, 25))
    painted.save(path)
    grey, color, known = own_pairs.read(own_pairs.pairs[1])
    coat = np.zeros((32, 43), bool)
    coat[5:25, 10:30] = True
    np.testing.assert_array_equal(known, coat * 255)
    assert (color[coat] == ORANGE).all()
    np.testing.assert_array_equal(color[~coat], np.stack([grey[~coat]] * 3, axis=1))


def test_read_knows_no_colours_where_a_larger_still_is_transparent(own_pairs: Pairs) -> None:
    """What a pixel shows in part is unknown, and what it shows wholly is unmixed."""
    painted = Image.new("RGBA", (86, 64), (0, 0, 0, 0))
    painted.paste((*ORANGE, 255), (21, 11, 60, 50))
    painted.save(own_pairs.folder / "color" / "000002.png")
    _, color, known = own_pairs.read(own_pairs.pairs[1])
    assert (known[8:23, 13:28] == 255).all()
    assert not known[:5].any() and not known[26:].any()
    assert not known[:, :10].any() and not known[:, 31:].any()
    assert np.abs(color[known == 255].astype(int) - ORANGE).max() <= 1


def test_read_refuses_a_grey_still_with_transparent_parts(own_pairs: Pairs) -> None:
    path = own_pairs.folder / "bw" / "000002.png"
    with Image.open(path) as still:
        erased = still.convert("LA")
    erased.save(path)
    own_pairs.read(own_pairs.pairs[1])
    erased.putpixel((3, 3), (0, 0))
    erased.save(path)
    with pytest.raises(PairsError, match=r"\(it has transparent parts\); replace it or delete"):
        own_pairs.read(own_pairs.pairs[1])


def test_read_refuses_a_colour_still_that_is_opaque_nowhere(own_pairs: Pairs) -> None:
    layer = Image.new("RGBA", (43, 32), (255, 128, 0, 128))
    layer.save(own_pairs.folder / "color" / "000002.png")
    with pytest.raises(PairsError) as caught:
        own_pairs.read(own_pairs.pairs[1])
    assert str(caught.value) == (
        f"the colour still of pair 000002 in {own_pairs.folder} is opaque nowhere; merge all its"
        " layers at full opacity, or delete the pair"
    )


def paint(pairs: Pairs, side: str, size: tuple[int, int], *, mode: str = "RGB") -> Pair:
    """Replace a still of the second pair by a flat orange one."""
    picture = Image.new("RGB", size, ORANGE).convert(mode)
    picture.save(pairs.folder / side / "000002.png")
    return pairs.pairs[1]


@pytest.mark.parametrize("size", [(43, 32), (430, 320), (1290, 968), (86, 64), (20, 15)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_read_takes_a_hand_painted_still_of_any_size(
    size: tuple[int, int], mode: str, own_pairs: Pairs
) -> None:
    grey_before, _, _ = own_pairs.read(own_pairs.pairs[1])
    grey, color, known = own_pairs.read(paint(own_pairs, "color", size, mode=mode))
    assert known.shape == (32, 43) and (known == 255).all()
    np.testing.assert_array_equal(grey, grey_before)
    assert color.shape == (32, 43, 3)
    assert (color == np.array(ORANGE)).all()


@pytest.mark.parametrize("size", [(430, 300), (32, 43), (43, 30), (64, 64)])
def test_read_refuses_a_colour_still_of_another_shape(
    size: tuple[int, int], own_pairs: Pairs
) -> None:
    pair = paint(own_pairs, "color", size)
    with pytest.raises(PairsError) as caught:
        own_pairs.read(pair)
    assert str(caught.value) == (
        f"the stills of pair 000002 in {own_pairs.folder} have different shapes, grey 43x32 and"
        f" colour {size[0]}x{size[1]}; crop the colour one or delete the pair"
    )


def test_read_refuses_a_grey_still_of_another_size(own_pairs: Pairs) -> None:
    pair = paint(own_pairs, "bw", (86, 64), mode="L")
    with pytest.raises(PairsError) as caught:
        own_pairs.read(pair)
    assert str(caught.value) == (
        f"the grey still of pair 000002 in {own_pairs.folder} is 86x64, not 43x32;"
        " put the extracted one back or delete the pair"
    )


def as_tensors(pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All luma (N, 1, H, W), R'G'B' (N, 3, H, W) and where it is known, by `Pairs.read`."""
    read = [pairs.read(pair) for pair in pairs.pairs]
    grey, color, known = (np.stack(planes) / np.float32(255) for planes in zip(*read, strict=True))
    luma, rgb, where = map(torch.from_numpy, (grey[:, None], color.transpose(0, 3, 1, 2), known))
    return luma, rgb, where[:, None]


def test_true_colors_have_the_luma_of_the_film(pairs: Pairs) -> None:
    """A copy that is darker, in its own colours, is as true as one that is not."""
    luma, rgb, known = as_tensors(pairs)
    assert torch.equal(true_colors(luma, rgb, known, pairs.matrix), rgb)
    darker = rgb - rgb.amin(1, keepdim=True) / 2
    assert (rgb - darker).max() > 0.3
    found = true_colors(luma, darker, known, pairs.matrix)
    is_clipped = ((rgb == 0) | (rgb == 1)).any(1, keepdim=True)
    assert is_clipped.float().mean() < 0.2
    torch.testing.assert_close(
        found * ~is_clipped, rgb * ~is_clipped, atol=3 / 255, rtol=0
    )  # in whole codes


def test_true_colors_change_nothing_where_nothing_is_known(pairs: Pairs) -> None:
    luma, rgb, known = as_tensors(pairs)
    known[..., :20] = 0
    darker = rgb / 2
    found = true_colors(luma, darker, known, pairs.matrix)
    assert torch.equal(found[..., :20], darker[..., :20])
    assert not torch.equal(found[..., 20:], darker[..., 20:])


def test_true_colors_of_a_film_in_bt601_are_the_film_itself(tmp_path: Path) -> None:
    """In BT.709 the luma of saturated colours would be off by a tenth."""
    colors = [np.full((96, 128, 3), color, np.uint8) for color in ((200, 40, 40), (40, 60, 190))]
    film = probe(make_color_clip(tmp_path / "film.mp4", [c for c in colors for _ in range(24)]))
    assert film.coding.matrix == "bt601"
    folder = tmp_path / "pairs"
    options = ExtractOptions(every=12, size=32)
    list(extract(None, film, constant_offset(film, film, 0, 1.0), folder, options))
    pairs = read_pairs(folder)
    assert pairs.matrix == "bt601"
    luma, rgb, known = as_tensors(pairs)
    assert torch.equal(true_colors(luma, rgb, known, "bt601"), rgb)
    assert not torch.equal(true_colors(luma, rgb, known, "bt709"), rgb)
    index = json.loads((folder / "pairs.json").read_text())
    del index["matrix"]  # as in folders of older versions
    (folder / "pairs.json").write_text(json.dumps(index))
    assert read_pairs(folder).matrix == "bt709"


def test_foreign_stills_are_those_that_show_something_else(own_pairs: Pairs) -> None:
    colors = own_pairs.folder / "color"
    assert foreign_stills(own_pairs) == []
    with Image.open(colors / "000003.png") as still:
        brighter = still.point(lambda code: 60 + code * 2 // 3)
        mirrored = still.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    brighter.save(colors / "000003.png")
    mirrored.save(colors / "000004.png")
    (colors / "000005.png").write_bytes((colors / "000020.png").read_bytes())
    stroke = Image.new("RGBA", (43, 32))
    stroke.paste((200, 30, 30, 255), (5, 5, 20, 10))
    stroke.save(colors / "000006.png")
    layer = Image.new("RGB", (43, 32))
    layer.paste(stroke)
    layer.save(colors / "000007.png")
    Image.new("RGB", (43, 32)).save(colors / "000008.png")
    found = [still.stem for still in foreign_stills(own_pairs)]
    assert found == ["000004", "000005", "000007", "000008"]


def test_read_takes_a_still_with_the_profile_of_a_screen(own_pairs: Pairs) -> None:
    painted = Image.new("RGB", (own_pairs.width, own_pairs.height), (200, 30, 30))
    profile = bytes(1_500_000)
    painted.save(own_pairs.folder / "color" / "000001.png", icc_profile=profile)
    _, color, _ = own_pairs.read(own_pairs.pairs[0])
    assert (color == (200, 30, 30)).all()


@pytest.mark.parametrize("side", ["bw", "color"])
@pytest.mark.parametrize("damage", ["half", "text", "empty", "a chunk"])
def test_read_refuses_a_damaged_still(side: str, damage: str, own_pairs: Pairs) -> None:
    path = own_pairs.folder / side / "000002.png"
    data = path.read_bytes()
    path.write_bytes(
        {
            "half": data[: len(data) // 2],
            "text": b"not a picture",
            "empty": b"",
            "a chunk": data.replace(b"IDAT", b"\0\0\0\0"),
        }[damage]
    )
    with pytest.raises(PairsError) as caught:
        own_pairs.read(own_pairs.pairs[1])
    message = str(caught.value)
    assert message.startswith(f"{path} cannot be read as a picture (")
    assert message.endswith("); replace it or delete the pair")


def make_pairs(shots: Sequence[int]) -> list[Pair]:
    """Pairs a second apart, so many of each shot."""
    numbers = [shot for shot, count in enumerate(shots) for _ in range(count)]
    return [Pair(f"{i:06d}", float(i), float(i), shot) for i, shot in enumerate(numbers)]


def part_sizes(pairs: list[Pair], split: Split) -> list[int]:
    parts = split.parts(pairs)
    return [parts.count(part) for part in PARTS]


def test_split_by_time_is_70_15_15_by_default() -> None:
    pairs = make_pairs([1] * 100)
    split = split_by_time(pairs)
    assert split == TimeSplit(70.0, 85.0)
    assert part_sizes(pairs, split) == [70, 15, 15]
    parts = split.parts(pairs)
    assert [parts[i] for i in (0, 69, 70, 84, 85, 99)] == [
        *["train"] * 2,
        *["validation"] * 2,
        *["test"] * 2,
    ]


@pytest.mark.parametrize(
    ("shots", "sizes", "expected"),
    [
        # Changes at 66 and 73: the second is nearer to 70. Then at 84 and 90, nearer to 85.
        ([66, 7, 11, 6, 10], (0.7, 0.15, 0.15), [73, 11, 16]),
        # Changes at 68 and 73: the first is nearer.
        ([68, 5, 13, 14], (0.7, 0.15, 0.15), [68, 18, 14]),
        # The second border comes after the first, however near another one is.
        ([10, 80, 10], (0.05, 0.05, 0.9), [10, 80, 10]),
        ([80, 10, 10], (0.7, 0.15, 0.15), [80, 10, 10]),
        # No change near either: each part still gets a shot.
        ([98, 1, 1], (0.7, 0.15, 0.15), [98, 1, 1]),
        ([1, 1, 98], (0.7, 0.15, 0.15), [1, 1, 98]),
        ([25, 25, 25, 25], (0.25, 0.5, 0.25), [25, 50, 25]),
    ],
)
def test_split_by_time_moves_borders_to_the_nearest_cuts(
    shots: list[int], sizes: tuple[float, ...], expected: list[int]
) -> None:
    pairs = make_pairs(shots)
    assert part_sizes(pairs, split_by_time(pairs, sizes)) == expected


def test_split_by_time_by_counts_as_in_2020() -> None:
    pairs = make_pairs([50] * 123)
    assert part_sizes(pairs, split_by_time(pairs, (4000, 1000))) == [4000, 1000, 1150]
    pairs = make_pairs([3990, 25, 500, 480, 20, 985])
    assert part_sizes(pairs, split_by_time(pairs, (4000, 1000))) == [3990, 1005, 1005]


@pytest.mark.parametrize("counts", [(50, 50), (90, 10), (200, 1)])
def test_split_by_time_refuses_counts_that_there_are_not(counts: tuple[int, int]) -> None:
    """50,50 may be meant as shares."""
    with pytest.raises(PairsError, match=f"there are 100 pairs, too few for {counts[0]} of train"):
        split_by_time(make_pairs([25] * 4), counts)


def test_split_by_time_never_divides_a_shot() -> None:
    numbers = random.Random(0)
    for _ in range(200):
        pairs = make_pairs([numbers.randint(1, 30) for _ in range(numbers.randint(3, 12))])
        shares = [numbers.uniform(0.05, 1) for _ in PARTS]
        split = split_by_time(pairs, tuple(share / sum(shares) for share in shares))
        parts_of_shots: dict[int, set[str]] = {}
        for pair, part in zip(pairs, split.parts(pairs), strict=True):
            parts_of_shots.setdefault(pair.shot, set()).add(part)
        assert all(len(parts) == 1 for parts in parts_of_shots.values())
        assert min(part_sizes(pairs, split)) > 0


@pytest.mark.parametrize(("shots", "count"), [([10], 1), ([10, 10], 2)])
def test_split_by_time_refuses_too_few_shots(shots: list[int], count: int) -> None:
    with pytest.raises(PairsError) as caught:
        split_by_time(make_pairs(shots))
    assert str(caught.value) == (
        f"the pairs show only {count} shot(s), and training, validation and test need one each;"
        " extract a longer part of the film, or more stills with --every, or"
        " give --split interleaved, which has no foreign shots to test, or --split none for a few"
        " painted stills"
    )


def regular(count: int, every: int, first: int = 0) -> list[Pair]:
    """Pairs of every so many frames, their moments in microseconds, as `extract` writes them."""
    moments = [round(number * every / 24, 6) for number in range(first, first + count)]
    return [Pair(f"{i:06d}", moment, moment, 1) for i, moment in enumerate(moments, start=1)]


@pytest.mark.parametrize("every", [1, 5, 6, 24, 100])
@pytest.mark.parametrize("first", [0, 7])
def test_parts_interleaved_take_moments_by_turns(every: int, first: int) -> None:
    """However long the film, and though no 24th of a second has an end in decimals."""
    turns = ["train", "validation", "train", "test"]
    pairs = regular(200_000, every, first)
    expected = [turns[(first + index) % 4] for index in range(200_000)]
    assert InterleavedSplit(every).parts(pairs) == expected


def test_parts_interleaved_of_extracted_pairs_show_all_shots(pairs: Pairs) -> None:
    assert pairs.every == 6
    split = InterleavedSplit(pairs.every)
    assert part_sizes(list(pairs.pairs), split) == [12, 6, 6]
    for shot in (1, 2, 3):
        own = [pair for pair in pairs.pairs if pair.shot == shot]
        assert part_sizes(own, split) == [4, 2, 2]


def test_parts_interleaved_stay_when_other_pairs_are_deleted(own_pairs: Pairs) -> None:
    split = InterleavedSplit(own_pairs.every)
    parts = dict(zip(own_pairs.pairs, split.parts(own_pairs.pairs), strict=True))
    for number in (1, 2, 3, 7, 8, 9, 14, 20, 24):
        for side in ("bw", "color"):
            (own_pairs.folder / side / f"{number:06d}.png").unlink()
    left = read_pairs(own_pairs.folder)
    assert len(left.pairs) == 15
    assert InterleavedSplit(left.every).parts(left.pairs) == [parts[pair] for pair in left.pairs]
    # By their place in the list, they would have changed parts.
    turns = ["train", "validation", "train", "test"]
    assert [parts[pair] for pair in left.pairs] != [turns[index % 4] for index in range(15)]


def test_parts_interleaved_train_on_the_same_stills_at_double_density(
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


def test_parts_of_time_begin_at_their_very_moments() -> None:
    pairs = make_pairs([1] * 7)
    assert TimeSplit(2.0, 5.0).parts(pairs) == ["train"] * 2 + ["validation"] * 3 + ["test"] * 2


def test_part_of_undivided_pairs_is_all_of_them(pairs: Pairs) -> None:
    for part in PARTS:
        assert pairs.part(part, Undivided()) == list(pairs.pairs)


@pytest.mark.parametrize(
    ("split", "description"),
    [
        (TimeSplit(1.25, 4.5), {"validation_from_seconds": 1.25, "test_from_seconds": 4.5}),
        (InterleavedSplit(12), {"every": 12}),
        (Undivided(), {"undivided": True}),
    ],
)
def test_read_split_undoes_describe(split: Split, description: Any) -> None:
    assert split.describe() == description
    assert read_split(json.loads(json.dumps(description))) == split


@pytest.mark.parametrize(
    "description",
    [
        "soon",
        None,
        7,
        "interleaved",
        ["interleaved"],
        {},
        {"every": 0},
        {"every": -6},
        {"every": True},
        {"validation_from_seconds": 10**400, "test_from_seconds": 1},
        {"every": 1.5},
        {"every": None},
        {"every": "6"},
        {"every": 6, "test_from_seconds": 2},
        {"undivided": False},
        {"undivided": True, "every": 6},
        {"x": 1},
        {"validation_from_seconds": 1},
        {"validation_from_seconds": None, "test_from_seconds": 2},
        {"validation_from_seconds": "a", "test_from_seconds": 2},
        {"validation_from_seconds": float("nan"), "test_from_seconds": 2},
        {"validation_from_seconds": 1, "test_from_seconds": float("inf")},
        {"validation_from_seconds": 1, "test_from_seconds": 2, "x": 3},
    ],
)
def test_read_split_refuses_what_is_none(description: Any) -> None:
    with pytest.raises(ValueError) as caught:
        read_split(description)
    assert str(caught.value) == f"{description!r} describes no split"


def test_part_interleaved_holds_every_other_pair(pairs: Pairs) -> None:
    split = InterleavedSplit(6)
    train, validation, test = (pairs.part(part, split) for part in PARTS)
    assert train == list(pairs.pairs[::2])
    assert validation == list(pairs.pairs[1::4])
    assert test == list(pairs.pairs[3::4])


def test_part_interleaved_refuses_an_empty_part(pairs: Pairs) -> None:
    few, split = replace(pairs, pairs=pairs.pairs[:3]), InterleavedSplit(6)
    assert [pair.name for pair in few.part("validation", split)] == ["000002"]
    with pytest.raises(PairsError) as caught:
        few.part("test", split)
    assert str(caught.value) == (
        f"the test part of the pairs in {pairs.folder} is empty; extract pairs of the whole film,"
        " or give another --split"
    )


def test_part_holds_the_pairs_of_its_time(pairs: Pairs) -> None:
    split = split_by_time(pairs.pairs)
    assert [pairs.part(part, split) for part in PARTS] == [
        list(pairs.pairs[begin : begin + 8]) for begin in (0, 8, 16)
    ]


def test_part_refuses_an_empty_part(pairs: Pairs) -> None:
    with pytest.raises(PairsError) as caught:
        pairs.part("test", TimeSplit(2.0, 100.0))
    assert str(caught.value) == (
        f"the test part of the pairs in {pairs.folder} is empty; extract pairs of the whole film,"
        " or give another --split"
    )

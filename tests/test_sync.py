from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from filmcolorizer_cli.errors import FilmColorizerError, OptionError, SyncError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.sync import (
    Segment,
    SyncMap,
    constant_offset,
    find_offset,
    read_map,
    write_map,
)
from filmcolorizer_cli.video import Film, probe
from tests.conftest import LOSSLESS, files_in, graded_film, make_clip, run_ffmpeg

SAMPLE_FRAMES = 144  # of the sample film, at 24 fps
# Two gradings of one film: a noisy grey print, and a cropped, darker and sharper colour one.
BW_LOOK = "scale=160:120,format=gray,eq=gamma=1.3,noise=alls=10:allf=t:all_seed=3"
COLOR_LOOK = (
    "crop=iw*0.94:ih*0.9:iw*0.02:ih*0.06,scale=240:180,eq=gamma=0.75:contrast=1.15,"
    "noise=alls=14:allf=t:all_seed=5"
)
MAP = {
    "format": "filmcolorizer-sync/1",
    "bw": {"path": "bw.mkv", "frame_rate": "24000/1001", "duration_seconds": 60.06},
    "color": {"path": "color.mp4", "frame_rate": "25", "duration_seconds": 50.0},
    "segments": [
        {
            "bw_start_seconds": 2.0,
            "bw_end_seconds": 12.5,
            "color_start_seconds": 0.5,
            "rate": 0.96,
            "confidence": 0.9,
        },
        {
            "bw_start_seconds": 14.0,
            "bw_end_seconds": 60.0,
            "color_start_seconds": 10.0,
            "rate": 1.0,
            "confidence": 1.0,
        },
    ],
    "picture": {"matrix": [[0.9, 0.0, 0.05], [0.01, 1.1, -0.02]]},
}


def part(first: int, end: int) -> str:
    """The filter that keeps these frames."""
    return f"trim=start_frame={first}:end_frame={end},setpts=PTS-STARTPTS"


def planted(
    folder: Path,
    bw: tuple[int, int],
    color: tuple[int, int],
    *,
    source: Path = SAMPLE_FILM,
    rates: tuple[int, int] = (24, 24),
) -> tuple[Film, Film]:
    """A grey and a coloured version that begin and end at these frames of one film."""
    bw_filters = f"{part(*bw)},{BW_LOOK},fps={rates[0]}"
    color_filters = f"{part(*color)},{COLOR_LOOK},fps={rates[1]}"
    return (
        probe(graded_film(folder / "bw.mkv", bw_filters, source=source, crf=30)),
        probe(graded_film(folder / "color.mp4", color_filters, source=source, crf=18)),
    )


@pytest.mark.parametrize(
    ("bw", "color"),
    [
        ((30, SAMPLE_FRAMES), (0, 110)),
        ((0, 120), (25, SAMPLE_FRAMES)),
        ((0, SAMPLE_FRAMES), (0, SAMPLE_FRAMES)),
        ((0, SAMPLE_FRAMES), (60, 130)),
        ((40, 100), (0, SAMPLE_FRAMES)),
    ],
    ids=["later", "earlier", "together", "within-bw", "within-color"],
)
def test_find_offset_is_exact(bw: tuple[int, int], color: tuple[int, int], tmp_path: Path) -> None:
    offset, confidence = find_offset(*planted(tmp_path, bw, color))
    assert offset == bw[0] - color[0]
    assert 0.95 < confidence <= 1


@pytest.mark.parametrize("rates", [(24, 25), (25, 24)])
@pytest.mark.parametrize(("bw", "color"), [(24, 0), (0, 24)])
def test_find_offset_between_frame_rates(
    rates: tuple[int, int], bw: int, color: int, tmp_path: Path
) -> None:
    """Versions that run alike but were re-timed by repeating frames, as for PAL broadcasts."""
    films = planted(tmp_path, (bw, SAMPLE_FRAMES), (color, SAMPLE_FRAMES), rates=rates)
    assert [film.frame_rate for film in films] == list(rates)
    # A second apart, in frames of the black-and-white film.
    assert find_offset(*films)[0] == (bw - color) // 24 * rates[0]


@pytest.mark.parametrize(("bw", "color"), [((100, 240), (37, 288)), ((0, 288), (150, 288))])
def test_find_offset_is_exact_on_a_real_film(
    bw: tuple[int, int], color: tuple[int, int], shared_data: Path, tmp_path: Path
) -> None:
    film = shared_data / "film" / "big_buck_bunny_360p.mp4"
    source = tmp_path / "part.mp4"
    run_ffmpeg("-ss", 120, "-i", film, "-t", 12, "-an", "-c", "copy", source)
    offset, confidence = find_offset(*planted(tmp_path, bw, color, source=source))
    assert offset == bw[0] - color[0]
    assert confidence > 0.9


def test_find_offset_lets_progress_be_shown(plain_clip: Path) -> None:
    film = probe(plain_clip)
    seen: list[tuple[str, int, int]] = []

    def track(frames: Any, total: int, label: str) -> Any:
        frames = list(frames)
        seen.append((label, total, len(frames)))
        return frames

    assert find_offset(film, film, track=track) == (0, 1.0)
    assert seen == [("black-and-white film", 50, 50), ("coloured film", 50, 50)]


def refusal(bw: Film, color: Film) -> str:
    with pytest.raises(SyncError) as caught:
        find_offset(bw, color)
    return str(caught.value)


def test_find_offset_refuses_different_films(tmp_path: Path) -> None:
    zoom = "mandelbrot=size={width}x{height}:rate={frame_rate},trim=duration={seconds}"
    other = probe(make_clip(tmp_path / "other.mp4", picture=zoom, seconds=5))
    message = refusal(probe(SAMPLE_FILM), other)
    assert re.fullmatch(
        rf"{re.escape(str(SAMPLE_FILM))} and {re.escape(str(other.path))} do not look like one"
        r" film: at the best offset \(-?\d+ frames\) only \d% of the pictures agree; give two"
        r" versions of the same film, or state the offset with --offset FRAMES",
        message,
    )


def test_find_offset_refuses_different_real_films(shared_data: Path) -> None:
    old = shared_data / "old"
    films = probe(old / "chaplin.mp4"), probe(old / "a-bomb_blast_effects_part.mp4")
    assert "do not look like one film" in refusal(*films)


@pytest.mark.parametrize("short_one", [0, 1])
def test_find_offset_refuses_a_film_that_is_too_short(short_one: int, tmp_path: Path) -> None:
    short = probe(make_clip(tmp_path / "short.mp4", seconds=1.92))
    films = [probe(make_clip(tmp_path / "long.mp4", seconds=4))]
    films.insert(short_one, short)
    assert refusal(*films) == (
        f"{short.path} is only 1.9 s long; lining up takes at least 2 s, so state the offset with"
        " --offset FRAMES"
    )


@pytest.mark.parametrize("picture", ["color=gray", "smptebars"])
def test_find_offset_refuses_a_still_picture(picture: str, tmp_path: Path) -> None:
    recipe = picture + ("=" if "=" not in picture else ":")
    recipe += "size={width}x{height}:rate={frame_rate}:duration={seconds}"
    still = probe(make_clip(tmp_path / "still.mp4", picture=recipe, seconds=3, codec=LOSSLESS))
    assert refusal(probe(SAMPLE_FILM), still) == (
        f"{still.path} shows a still or empty picture throughout, so nothing tells when it is;"
        " state the offset with --offset FRAMES"
    )


@pytest.fixture(scope="module")
def long_and_short(clip_folder: Path) -> tuple[Film, Film]:
    """Films of 4 s at 25 fps and of 2 s at 24 fps."""
    long = make_clip(clip_folder / "long.mp4", seconds=4)
    return probe(long), probe(make_clip(clip_folder / "brief.mp4", frame_rate="24"))


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
    sync_map = constant_offset(*long_and_short, offset, 0.75)
    [segment] = sync_map.segments
    values = (segment.bw_start_seconds, segment.bw_end_seconds, segment.color_start_seconds)
    assert values == pytest.approx((bw_start, bw_end, color_start))
    assert (segment.rate, segment.confidence) == (1.0, 0.75)
    assert segment.color_seconds(bw_start + 0.5) == pytest.approx(color_start + 0.5)
    assert not sync_map.is_registered


@pytest.mark.parametrize("offset", [50, 1000, -100, -5000])
def test_constant_offset_refuses_to_put_films_apart(
    offset: int, long_and_short: tuple[Film, Film]
) -> None:
    with pytest.raises(OptionError) as caught:
        constant_offset(*long_and_short, offset, 1.0)
    assert str(caught.value) == (
        f"an offset of {offset} frames puts the two films apart entirely; it can be from -99 to 49"
    )


def test_segment_runs_at_its_rate() -> None:
    segment = Segment(10.0, 20.0, 5.0, 0.5, 1.0)
    assert [segment.color_seconds(t) for t in (10, 12, 20)] == [5, 6, 10]


def test_write_map_writes_the_format_of_the_documentation(
    long_and_short: tuple[Film, Film], tmp_path: Path
) -> None:
    bw, color = long_and_short
    path = tmp_path / "sync.json"
    write_map(constant_offset(bw, color, -25, 0.875), path)
    assert json.loads(path.read_text()) == {
        "format": "filmcolorizer-sync/1",
        "bw": {"path": str(bw.path), "frame_rate": "25", "duration_seconds": 4.0},
        "color": {"path": str(color.path), "frame_rate": "24", "duration_seconds": 2.0},
        "segments": [
            {
                "bw_start_seconds": 1.0,
                "bw_end_seconds": 3.0,
                "color_start_seconds": 0.0,
                "rate": 1.0,
                "confidence": 0.875,
            }
        ],
        "picture": {"matrix": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]},
    }
    assert files_in(tmp_path) == ["sync.json"]


def test_read_map_reads_what_a_person_wrote(tmp_path: Path) -> None:
    path = tmp_path / "sync.json"
    path.write_text(json.dumps(MAP))
    sync_map = read_map(path)
    assert sync_map == SyncMap(
        bw=MAP["bw"],
        color=MAP["color"],
        segments=(Segment(2.0, 12.5, 0.5, 0.96, 0.9), Segment(14.0, 60.0, 10.0, 1.0, 1.0)),
        matrix=((0.9, 0.0, 0.05), (0.01, 1.1, -0.02)),
    )
    assert sync_map.is_registered
    write_map(sync_map, path)
    assert json.loads(path.read_text()) == MAP


def test_write_map_and_read_map_are_inverse(
    long_and_short: tuple[Film, Film], tmp_path: Path
) -> None:
    path = tmp_path / "sync.json"
    bw, color = long_and_short
    assert bw.frame_rate == Fraction(25)
    for offset in (-7, 0, 13):  # thirteen 25ths have no exact float
        sync_map = constant_offset(bw, color, offset, 1 / 3)
        write_map(sync_map, path)
        assert read_map(path) == sync_map


def test_write_map_tells_where_it_cannot_write(
    long_and_short: tuple[Film, Film], tmp_path: Path
) -> None:
    path = tmp_path / "missing" / "sync.json"
    with pytest.raises(FilmColorizerError) as caught:
        write_map(constant_offset(*long_and_short, 0, 1.0), path)
    assert str(caught.value) == (
        f"cannot write {path} (No such file or directory); make room there, or choose another"
        " place with -o"
    )


def changed(**changes: Any) -> str:
    return json.dumps({**MAP, **changes})


def changed_segment(**changes: Any) -> str:
    segments: Any = MAP["segments"]
    return changed(segments=[{**segments[0], **changes}])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[1, 2]", "list indices must be integers"),
        ("{}", "'format'"),
        ('{"format": "srt"}', "its format is 'srt', not 'filmcolorizer-sync/1'"),
        (changed(picture={}), "'matrix'"),
        (changed(picture={"matrix": [[1, 0], [0, 1]]}), "not enough values"),
        (changed(picture={"matrix": [["1", "x", "0"], [0, 1, 0]]}), "could not convert"),
        (changed(segments=[5]), "'int' object is not iterable"),
        (changed(segments=[{"bw_start_seconds": 0}]), "missing 4 required"),
        (changed_segment(speed=2), "unexpected keyword argument 'speed'"),
        (changed_segment(bw_end_seconds="late"), "could not convert string to float: 'late'"),
        (changed_segment(bw_end_seconds=None), "not 'NoneType'"),
        (changed_segment(bw_end_seconds=float("nan")), "nan is no finite number"),
        (changed_segment(rate=0), "a segment's rate is 0, not above 0"),
        (changed_segment(rate=-1), "a segment's rate is -1, not above 0"),
    ],
)
def test_read_map_refuses_a_broken_file(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "sync.json"
    path.write_text(text)
    with pytest.raises(SyncError) as caught:
        read_map(path)
    message = str(caught.value)
    assert message.startswith(f"{path} holds no sync map (")
    assert reason in message
    assert message.endswith("); make one with `filmcolorizer sync BW COLOR`")


def edited_map(tmp_path: Path, **changes: Any) -> Path:
    """A map of one segment from 0 to 2 s, with other values."""
    segment = {
        "bw_start_seconds": 0.0,
        "bw_end_seconds": 2.0,
        "color_start_seconds": 0.0,
        "rate": 1.0,
        "confidence": 1.0,
    }
    content = {
        "format": "filmcolorizer-sync/1",
        "bw": {},
        "color": {},
        "segments": changes.get("segments", [segment | changes.get("segment", {})]),
        "picture": {"matrix": changes.get("matrix", [[1, 0, 0], [0, 1, 0]])},
    }
    path = tmp_path / "sync.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"segments": []}, "it has no segments"),
        ({"segment": {"bw_end_seconds": 0.0}}, "the segment from 0 to 0 s is empty"),
        ({"segment": {"color_start_seconds": -3.0}}, "color_start_seconds is -3, below 0"),
        ({"matrix": [[0, 0, 0], [0, 0, 0]]}, "its picture matrix squeezes the picture to a line"),
    ],
)
def test_read_map_refuses_what_cannot_be(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    read_map(edited_map(tmp_path))
    with pytest.raises(SyncError) as caught:
        read_map(edited_map(tmp_path, **changes))
    assert f"holds no sync map ({reason}" in str(caught.value)


def test_read_map_refuses_a_missing_file_and_a_film(plain_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(SyncError, match="No such file or directory"):
        read_map(tmp_path / "sync.json")
    with pytest.raises(SyncError, match="codec can't decode"):
        read_map(plain_clip)

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from filmcolorizer_cli.areas import WHOLE, Area
from filmcolorizer_cli.errors import FilmColorizerError, SyncError
from filmcolorizer_cli.maps import Segment, SyncMap, check_films, read_map, write_map
from filmcolorizer_cli.sync import constant_offset
from filmcolorizer_cli.video import Film, film_identity
from tests.machine import files_in

MAP: dict[str, Any] = {
    "format": "filmcolorizer-sync/2",
    "bw": {"path": "bw.mkv", "frame_rate": "24000/1001", "duration_seconds": 60.06},
    "color": {"path": "color.mp4", "frame_rate": "25", "duration_seconds": 50.0},
    "segments": [
        {
            "bw_start_seconds": 2.0,
            "bw_end_seconds": 12.5,
            "color_start_seconds": 0.5,
            "rate": 0.96,
            "confidence": 0.9,
            "matrix": [[0.9, 0.0, 0.05], [0.01, 1.1, -0.02]],
            "area": [0.0, 0.125, 1.0, 0.875],
        },
        {
            "bw_start_seconds": 14.0,
            "bw_end_seconds": 60.0,
            "color_start_seconds": 10.0,
            "rate": 1.0,
            "confidence": 1.0,
            "matrix": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            "area": [0.0, 0.0, 1.0, 1.0],
        },
    ],
}


def test_segment_runs_at_its_rate() -> None:
    segment = Segment(10.0, 20.0, 5.0, 0.5, 1.0)
    assert [segment.color_seconds(t) for t in (10, 12, 20)] == [5, 6, 10]
    assert segment.offset_seconds == -5
    assert segment.duration_seconds == 10


def test_sync_map_sums_up_its_segments() -> None:
    segments = (
        Segment(0.0, 2.0, 0.0, 1.0, 1.0),
        Segment(3.0, 7.5, 2.0, 1.0, 0.5),
        Segment(9.0, 13.0, 7.0, 0.96, 1.0),
    )
    sync_map = SyncMap({}, {}, segments)
    assert sync_map.longest is segments[1]
    assert sync_map.shared_seconds == pytest.approx(10.5)


def at_confidence(confidence: float, sync_map: SyncMap) -> SyncMap:
    segments = (replace(segment, confidence=confidence) for segment in sync_map.segments)
    return replace(sync_map, segments=tuple(segments))


def test_write_map_writes_the_format_of_the_documentation(
    long_and_short: tuple[Film, Film], tmp_path: Path
) -> None:
    bw, color = long_and_short
    path = tmp_path / "sync.json"
    write_map(at_confidence(0.875, constant_offset(bw, color, -25)), path)
    assert json.loads(path.read_text()) == {
        "format": "filmcolorizer-sync/2",
        "bw": {"path": str(bw.path), "frame_rate": "25", "duration_seconds": 4.0},
        "color": {"path": str(color.path), "frame_rate": "24", "duration_seconds": 2.0},
        "segments": [
            {
                "bw_start_seconds": 1.0,
                "bw_end_seconds": 3.0,
                "color_start_seconds": 0.0,
                "rate": 1.0,
                "confidence": 0.875,
                "matrix": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
                "area": [0.0, 0.0, 1.0, 1.0],
            }
        ],
    }
    assert files_in(tmp_path) == ["sync.json"]


def test_read_map_reads_what_a_person_wrote(tmp_path: Path) -> None:
    path = tmp_path / "sync.json"
    path.write_text(json.dumps(MAP))
    sync_map = read_map(path)
    matrix, area = ((0.9, 0.0, 0.05), (0.01, 1.1, -0.02)), Area(0.0, 0.125, 1.0, 0.875)
    assert sync_map == SyncMap(
        bw=MAP["bw"],
        color=MAP["color"],
        segments=(
            Segment(2.0, 12.5, 0.5, 0.96, 0.9, matrix, area),
            Segment(14.0, 60.0, 10.0, 1.0, 1.0),
        ),
    )
    write_map(sync_map, path)
    assert json.loads(path.read_text()) == MAP


def test_read_map_takes_numbers_as_texts_and_a_mark_of_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "sync.json"
    path.write_text(changed_segment(rate="0.96", bw_start_seconds="2"), encoding="utf-8-sig")
    [segment, _] = read_map(path).segments
    assert (segment.rate, segment.bw_start_seconds) == (0.96, 2.0)


def test_read_map_takes_a_copy_that_shows_the_most_of_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "sync.json"
    path.write_text(changed_segment(matrix=[[1, 0, 0.45], [0, 1.3, -0.1]], area=[0, 0, 1, 1]))
    assert read_map(path).segments[0].matrix == ((1, 0, 0.45), (0, 1.3, -0.1))


def test_read_map_takes_the_whole_picture_where_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sync.json"
    segments: Any = MAP["segments"]
    kept = [
        {name: value for name, value in segment.items() if name not in ("matrix", "area")}
        for segment in segments
    ]
    path.write_text(changed(segments=kept))
    assert read_map(path).segments == (
        Segment(2.0, 12.5, 0.5, 0.96, 0.9, ((1, 0, 0), (0, 1, 0)), WHOLE),
        Segment(14.0, 60.0, 10.0, 1.0, 1.0, ((1, 0, 0), (0, 1, 0)), WHOLE),
    )


def test_write_map_and_read_map_are_inverse(
    long_and_short: tuple[Film, Film], tmp_path: Path
) -> None:
    path = tmp_path / "sync.json"
    bw, color = long_and_short
    assert bw.frame_rate == Fraction(25)
    for offset in (-7, 0, 13):  # thirteen 25ths have no exact float
        sync_map = at_confidence(1 / 3, constant_offset(bw, color, offset))
        write_map(sync_map, path)
        assert read_map(path) == sync_map


def test_write_map_tells_where_it_cannot_write(
    long_and_short: tuple[Film, Film], tmp_path: Path
) -> None:
    path = tmp_path / "missing" / "sync.json"
    with pytest.raises(FilmColorizerError) as caught:
        write_map(constant_offset(*long_and_short, 0), path)
    assert str(caught.value) == (
        f"cannot write {path} (No such file or directory); check that its folder is still there, or"
        " choose another place"
    )


def changed(**changes: Any) -> str:
    return json.dumps({**MAP, **changes})


def changed_segment(**changes: Any) -> str:
    segments: Any = MAP["segments"]
    return changed(segments=[{**segments[0], **changes}, segments[1]])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[1, 2]", "(it is [1, 2], not a JSON object ({...}))"),
        ("{}", "(it lacks 'format')"),
        (changed(bw=[1]), "(bw is [1], not {...})"),
        (changed(segments={"a": 1}), "(segments is {'a': 1}, not [...])"),
        (changed(format=2), "(format is 2, not text)"),
        ('{"format": "srt"}', "its format is 'srt', not 'filmcolorizer-sync/2'"),
        (
            changed(format="filmcolorizer-sync/1"),
            "its format is 'filmcolorizer-sync/1', not 'filmcolorizer-sync/2'",
        ),
        (changed_segment(matrix=[[1, 0], [0, 1]]), "(matrix has [1, 0], not 3 numbers)"),
        (changed_segment(matrix=[[1, 0, 0]]), "(matrix is [[1, 0, 0]], not two rows)"),
        (changed_segment(matrix=[["1", "x", "0"], [0, 1, 0]]), "(matrix has 'x', which is not a "),
        (changed_segment(matrix=None), "(matrix is None, not two rows)"),
        (
            changed_segment(matrix=[[1, 0, float("inf")], [0, 1, 0]]),
            "(matrix has inf, which is not a finite number)",
        ),
        (changed_segment(area=[0, 0, 1]), "(area has [0, 0, 1], not 4 numbers)"),
        (
            changed_segment(area=["left", 0, 1, 1]),
            "(area has 'left', which is not a finite number)",
        ),
        (changed(segments=[5]), "(a segment is 5, not a JSON object ({...}))"),
        (changed(segments=[{"bw_start_seconds": 0}]), "(a segment lacks 'bw_end_seconds')"),
        (
            changed_segment(speed=2),
            "(a segment has a 'speed', which is none of bw_start_seconds, bw_end_seconds, ",
        ),
        (
            changed_segment(bw_end_seconds="late"),
            "(bw_end_seconds has 'late', which is not a finite",
        ),
        (changed_segment(bw_end_seconds=None), "(bw_end_seconds has None, which is not a finite"),
        (changed_segment(bw_end_seconds=float("nan")), "(bw_end_seconds has nan, which is not a "),
        (changed_segment(bw_end_seconds=10**400), "(bw_end_seconds has 1000000000"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_read_map_refuses_a_broken_file(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "sync.json"
    path.write_text(text)
    with pytest.raises(SyncError) as caught:
        read_map(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not a sync map (")
    assert reason in message
    assert message.endswith("); make one with `filmcolorizer sync BW COLOR`")


EMPTY = " s is empty, or begins before the one before it ends"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (changed(segments=[]), "it has no segments"),
        (changed_segment(bw_end_seconds=2.0), f"the segment from 2 to 2{EMPTY}"),
        (changed_segment(bw_end_seconds=1.0), f"the segment from 2 to 1{EMPTY}"),
        (changed_segment(bw_start_seconds=-1.0), f"the segment from -1 to 12.5{EMPTY}"),
        (changed_segment(bw_end_seconds=14.5), f"the segment from 14 to 60{EMPTY}"),
        (changed_segment(color_start_seconds=-3.0), "color_start_seconds is -3, below 0"),
        (changed_segment(rate=0), "a segment's rate is 0, not from 0.2 to 5"),
        (changed_segment(rate=-1), "a segment's rate is -1, not from 0.2 to 5"),
        (changed_segment(rate=5.5), "a segment's rate is 5.5, not from 0.2 to 5"),
        (changed_segment(confidence=-0.1), "a segment's confidence is -0.1, not from 0 to 1"),
        (changed_segment(confidence=1.5), "a segment's confidence is 1.5, not from 0 to 1"),
        (
            changed_segment(matrix=[[0, 0, 0], [0, 0, 0]]),
            "a segment's matrix scales by 0 and 0, not by 0.2 to 5",
        ),
        (
            changed_segment(matrix=[[1, 0, 0], [0, 6, 0]]),
            "a segment's matrix scales by 1 and 6, not by 0.2 to 5",
        ),
        (
            changed_segment(matrix=[[-1, 0, 1], [0, 1, 0]]),
            "a segment's matrix scales by -1 and 1, not by 0.2 to 5",
        ),
        (
            changed_segment(matrix=[[1, 0.3, 0], [0, 1, 0]]),
            "a segment's matrix rotates the picture by more than a little",
        ),
        (
            changed_segment(matrix=[[1, 0, 0], [-0.3, 1, 0]]),
            "a segment's matrix rotates the picture by more than a little",
        ),
        (
            changed_segment(area=[0, 0, 1, 1.5]),
            "a segment's area (0.0, 0.0, 1.0, 1.5) is not part of a picture",
        ),
        (
            changed_segment(area=[-0.5, 0, 1, 1]),
            "a segment's area (-0.5, 0.0, 1.0, 1.0) is not part of a picture",
        ),
        *(
            (
                changed_segment(matrix=matrix),
                "a segment's matrix leads out of the coloured picture",
            )
            for matrix in (
                [[1, 0, 0.51], [0, 1, 0]],
                [[1, 0, 0], [0, 1, -5]],
                [[1, 0, 1e16], [0, 1, 0]],
                [[2.1, 0, -0.5], [0, 2.1, -0.5]],
            )
        ),
        (
            changed_segment(area=[0.5, 0, 0.5, 1]),
            "a segment's area (0.5, 0.0, 0.5, 1.0) is not part of a picture",
        ),
    ],
)
def test_read_map_refuses_what_cannot_be(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "sync.json"
    path.write_text(text)
    with pytest.raises(SyncError) as caught:
        read_map(path)
    assert str(caught.value) == (
        f"{path} is not a sync map ({reason}); make one with `filmcolorizer sync BW COLOR`"
    )


def test_read_map_refuses_a_missing_file_and_a_film(plain_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(SyncError, match="No such file or directory"):
        read_map(tmp_path / "sync.json")
    with pytest.raises(SyncError, match="codec can't decode"):
        read_map(plain_clip)


def test_check_films_takes_the_films_of_the_map(long_and_short: tuple[Film, Film]) -> None:
    bw, color = long_and_short
    sync_map = constant_offset(bw, color, 0)
    check_films(sync_map, bw, color)
    moved = {**sync_map.bw, "path": "elsewhere.mp4"}
    check_films(SyncMap(moved, {}, sync_map.segments), bw, color)
    check_films(SyncMap({}, {"frame_rate": "24"}, sync_map.segments), bw, color)


@pytest.mark.parametrize(
    ("side", "changes", "told"),
    [
        ("bw", {"frame_rate": "24"}, "its frame_rate is 24, the film's 25"),
        ("bw", {"duration_seconds": 5.0}, "its duration_seconds is 5.0, the film's 4.0"),
        ("color", {"frame_rate": "25"}, "its frame_rate is 25, the film's 24"),
        ("color", {"duration_seconds": 1.0}, "its duration_seconds is 1.0, the film's 2.0"),
    ],
)
def test_check_films_refuses_other_films(
    side: str, changes: dict[str, Any], told: str, long_and_short: tuple[Film, Film]
) -> None:
    films = dict(zip(("bw", "color"), long_and_short, strict=True))
    identities = {name: film_identity(film) for name, film in films.items()}
    identities[side] |= changes
    segments = constant_offset(*long_and_short, 0).segments
    with pytest.raises(SyncError) as caught:
        check_films(SyncMap(segments=segments, **identities), *long_and_short)
    assert str(caught.value) == (
        f"the map is for another film than {films[side].path}: {told}; make a new map with"
        " `filmcolorizer sync BW COLOR`"
    )


@pytest.mark.parametrize(
    ("segment", "late_one", "told"),
    [
        (Segment(0.0, 4.6, 0.0, 0.3, 1.0), 0, "4.60 s of {}, which ends at 4.00 s"),
        (Segment(0.0, 3.0, 0.0, 1.0, 1.0), 1, "3.00 s of {}, which ends at 2.00 s"),
        (Segment(0.0, 1.0, 0.0, 2.6, 1.0), 1, "2.60 s of {}, which ends at 2.00 s"),
    ],
)
def test_check_films_refuses_a_map_that_goes_on_beyond_a_film(
    segment: Segment, late_one: int, told: str, long_and_short: tuple[Film, Film]
) -> None:
    with pytest.raises(SyncError) as caught:
        check_films(SyncMap({}, {}, (segment,)), *long_and_short)
    assert str(caught.value) == (
        f"the map goes on to {told.format(long_and_short[late_one].path)}; make a new one with"
        " `filmcolorizer sync BW COLOR`"
    )
    # Containers state rough durations, so this much is tolerated.
    check_films(SyncMap({}, {}, (Segment(0.0, 2.4, 0.0, 1.0, 1.0),)), *long_and_short)


def test_sure_leaves_doubtful_segments_out() -> None:
    doubtful, sure = Segment(0.0, 1.0, 0.0, 1.0, 0.49), Segment(1.0, 2.0, 1.0, 1.0, 0.5)
    sync_map = SyncMap({"path": "a"}, {"path": "b"}, (doubtful, sure))
    assert sync_map.sure() == SyncMap({"path": "a"}, {"path": "b"}, (sure,))
    with pytest.raises(SyncError) as caught:
        SyncMap({}, {}, (doubtful,)).sure()
    assert str(caught.value) == (
        "the map has no segment with a confidence of 0.5 or more; make a new one with"
        " `filmcolorizer sync BW COLOR`"
    )

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from filmcolorizer_cli import segments
from filmcolorizer_cli.edits import Edits
from filmcolorizer_cli.errors import FilmColorizerError
from filmcolorizer_cli.segments import Parts, Segment, encoder_of_parts, parts_folder, plan_segments
from tests.machine import file_size_limit, files_in

BEGUN_WITH: dict[str, Any] = {"crf": 18, "duration": None}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "film.mp4"


def opened(
    target: Path,
    frames: int = 25,
    begun_with: dict[str, Any] = BEGUN_WITH,
    *,
    overwrite: bool = False,
) -> Parts:
    parts = Parts(target, begun_with, overwrite=overwrite)
    if not parts.segments:
        parts.begin(plan_segments(frames, 10), {"found": [1, 2]})
    return parts


@pytest.mark.parametrize(
    ("frames", "cuts", "starts"),
    [
        (25, (), [0, 10, 20]),
        (20, (), [0, 10]),
        (21, (), [0, 10, 20]),
        (1, (), [0]),
        (0, (), [0]),
        (30, (5, 7, 15, 16), [0, 7, 16, 26]),  # 5 is too early, 16 is nearer to 17 than 15
        (30, (14,), [0, 14, 24]),
        (25, (3, 24), [0, 10, 24]),
        (20, (19, 20, 21), [0, 10]),
        (21, (20, 23), [0, 10, 20]),
    ],
)
def test_plan_segments_begins_them_with_shots_and_leaves_the_last_one_open(
    frames: int, cuts: tuple[int, ...], starts: list[int]
) -> None:
    *others, last = plan_segments(frames, 10, Edits(cuts))
    ends = [*starts[1:], None]
    assert others == [
        Segment(number, start, end - start)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
        if end
    ]
    assert last == Segment(len(others), starts[-1], None)


def test_plan_segments_goes_on_where_a_shot_does_with_one_of_an_earlier_segment() -> None:
    edits = Edits(cuts=[4, 10, 15, 20], returns={20: 4})
    assert plan_segments(30, 10, edits, step=5) == [
        Segment(0, 0, 10),
        Segment(1, 10, 10, needs_colors=True),  # passes them on from segment 0 to 2
        Segment(2, 20, None, needs_colors=True),
    ]
    alone = [Segment(0, 0, 10), Segment(1, 10, 10), Segment(2, 20, None)]
    assert plan_segments(30, 10, edits) == alone
    assert plan_segments(30, 10, Edits(cuts=[10, 20], returns={15: 10}), step=5) == alone


def test_plan_segments_begins_them_best_where_nothing_is_carried_into() -> None:
    edits = Edits(cuts=[6, 8, 11], returns={11: 6})
    assert plan_segments(15, 10, edits, step=5)[1] == Segment(1, 6, None)
    assert plan_segments(15, 10, edits)[1] == Segment(1, 11, None)


def test_parts_remember_what_is_done(target: Path, plain_clip: Path) -> None:
    parts = opened(target)
    first, second, third = parts.missing()
    for segment in (first, second):
        shutil.copy(plain_clip, parts.file_of(segment))  # 50 pictures
    parts.finish(first, 50)
    parts.finish(second, 49)  # the file holds 50
    assert parts.frames_done == 99
    parts.close()
    again = opened(target)
    assert again.discarded is None
    assert again.frames_done == 50
    assert [segment.first_frame for segment in again.missing()] == [10, 20]
    assert again.files == [parts_folder(target) / "000001.mp4"]
    again.finish(second, 49)
    again.finish(third, 0)  # the film ended before this segment
    assert [path.name for path in again.files] == ["000001.mp4"]
    again.close()


def test_parts_keep_the_colours_that_the_next_segment_needs_and_no_others(
    target: Path, plain_clip: Path
) -> None:
    parts = Parts(target, BEGUN_WITH)
    parts.begin(plan_segments(40, 10, Edits([20]), step=10), {})
    first, second, third, _ = parts.segments  # the third begins with a shot
    assert [*map(parts.leaves_colors, parts.segments)] == [True, False, True, False]
    for segment in (first, third, second):
        shutil.copy(plain_clip, parts.file_of(segment))  # 50 pictures
        if parts.leaves_colors(segment):
            parts.colors_file(segment).touch()
        parts.finish(segment, 50)
    assert not parts.colors_file(first).exists()
    assert parts.colors_file(third).exists()
    parts.close()
    parts = Parts(target, BEGUN_WITH)
    assert [segment.first_frame for segment in parts.missing()] == [30]
    parts.file_of(parts.segments[1]).unlink()
    parts.close()
    parts = Parts(target, BEGUN_WITH)  # the lost one needs the first one's colours
    assert [segment.first_frame for segment in parts.missing()] == [0, 10, 30]
    parts.close()


def test_parts_without_a_segment_leave_nothing(target: Path, tmp_path: Path) -> None:
    parts = opened(target)
    assert files_in(tmp_path) == ["film.mp4.parts"]
    parts.close()
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("manifest_there", "reason"),
    [
        (None, "crf 18, not 20"),
        ('{"format": "filmcolorizer-parts/1", "frames": 50}', "another version of this program"),
    ],
)
def test_parts_of_another_rendering_give_way_only_where_they_may(
    manifest_there: str | None, reason: str, target: Path, plain_clip: Path
) -> None:
    parts = opened(target)
    [first, *_] = parts.missing()
    shutil.copy(plain_clip, parts.file_of(first))
    parts.finish(first, 50)
    parts.close()
    with pytest.raises(FilmColorizerError, match="continue with that"):
        Parts(target, {**BEGUN_WITH, "crf": 20}, ".mkv")  # another codec's container
    if manifest_there:
        manifest = parts_folder(target) / "manifest.json"
        manifest.write_text(manifest_there)
    begun_with: dict[str, object] = {**BEGUN_WITH, "crf": 20}
    for _ in range(2):  # the first attempt leaves no lock
        with pytest.raises(FilmColorizerError, match=f"used {reason}; continue with that, or"):
            opened(target, begun_with=begun_with)
    assert (parts_folder(target) / "000001.mp4").exists()
    other = opened(target, begun_with=begun_with, overwrite=True)
    assert other.discarded == reason
    assert other.frames_done == 0
    assert not (parts_folder(target) / "000001.mp4").exists()
    other.close()


@pytest.mark.parametrize("manifest", ["", "{}", "[]", "[" * 100_000])
def test_parts_never_take_a_folder_of_something_else(manifest: str, target: Path) -> None:
    folder = parts_folder(target)
    folder.mkdir()
    (folder / "manifest.json").write_text(manifest)
    assert encoder_of_parts(target) is None
    with pytest.raises(FilmColorizerError, match="holds something else; move it away"):
        opened(target, overwrite=True)
    assert (folder / "manifest.json").read_text() == manifest


def test_parts_of_another_rendering_give_way_before_a_segment_is_done(target: Path) -> None:
    parts = opened(target)
    shutil.copytree(parts_folder(target), kept := target.with_name("kept"))
    parts.close()
    kept.rename(parts_folder(target))  # as a killed process leaves it
    other = opened(target, begun_with={**BEGUN_WITH, "crf": 20})
    assert other.discarded == "crf 18, not 20"
    other.close()


def test_parts_without_room_for_the_manifest_leave_nothing(target: Path, tmp_path: Path) -> None:
    with (
        file_size_limit(0),
        pytest.raises(FilmColorizerError, match=r"cannot write .* \(File too la"),
    ):
        opened(target)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_parts_lie_on_a_disk_that_knows_no_locks(
    reason: int, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", refuse)
    opened(target).close()
    assert not parts_folder(target).exists()


def test_parts_tell_of_a_folder_that_cannot_be_written(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(FilmColorizerError, match=r"cannot write .*Input/output error"):
        opened(target)


def test_parts_tell_of_a_lock_that_cannot_be_made(target: Path) -> None:
    parts_folder(target).mkdir()
    (parts_folder(target) / ".lock").mkdir()
    with pytest.raises(FilmColorizerError, match=r"cannot write .*; choose another place"):
        opened(target)


def test_parts_whose_removal_was_killed_are_known_again(
    target: Path, plain_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = opened(target)
    for segment in [*parts.missing()]:
        shutil.copy(plain_clip, parts.file_of(segment))
        parts.finish(segment, 50)
    monkeypatch.setattr(shutil, "rmtree", lambda *arguments, **more: None)
    parts.remove()
    monkeypatch.undo()
    parts.close()
    assert set(files_in(parts.folder)) <= {"manifest.json", ".lock"}
    again = opened(target)
    assert (again.frames_done, again.discarded) == (0, None)
    again.close()
    assert not parts.folder.exists()


def test_parts_are_one_process_s_own(target: Path) -> None:
    parts = opened(target)
    with pytest.raises(FilmColorizerError, match="another filmcolorizer is rendering in "):
        opened(target)
    parts.close()
    opened(target).close()


@pytest.mark.parametrize("is_whole", [False, True])
def test_parts_know_what_another_process_did_until_it_let_go(
    is_whole: bool, target: Path, plain_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, lock = opened(target), segments._lock
    first, *_ = parts.missing()

    def lock_after_it(folder: Path) -> object:
        monkeypatch.setattr(segments, "_lock", lock)
        shutil.copy(plain_clip, parts.file_of(first))
        parts.finish(first, 50)
        if is_whole:
            parts.remove()
            folder.mkdir()  # a third process has begun
        parts.close()
        return lock(folder)

    monkeypatch.setattr(segments, "_lock", lock_after_it)
    again = opened(target)
    assert again.frames_done == (0 if is_whole else 50)
    again.close()


def test_parts_gather_where_a_link_leads(tmp_path: Path) -> None:
    """It may lead to another disk, to which files beside the link cannot be renamed."""
    (tmp_path / "disk").mkdir()
    link = tmp_path / "film.mp4"
    link.symlink_to(tmp_path / "disk" / "a.mp4")
    assert parts_folder(link) == tmp_path / "disk" / "a.mp4.parts"


def test_plan_segments_begins_those_amid_a_shot_at_multiples_of_a_step() -> None:
    assert [segment.first_frame for segment in plan_segments(40, 10, step=4)] == [0, 12, 24, 36]


@pytest.fixture
def carried(target: Path) -> Parts:
    """Four segments of one shot, each of which continues the one before."""
    parts = Parts(target, BEGUN_WITH)
    parts.begin(plan_segments(40, 10, step=10), {})
    return parts


def test_parts_render_again_back_to_the_first_where_colours_are_gone(
    carried: Parts, target: Path, plain_clip: Path
) -> None:
    for segment in carried.segments:
        shutil.copy(plain_clip, carried.file_of(segment))
        if carried.leaves_colors(segment):
            carried.colors_file(segment).touch()
        carried.finish(segment, 50)
    carried.file_of(carried.segments[2]).unlink()
    carried.close()
    again = Parts(target, BEGUN_WITH)
    assert [segment.first_frame for segment in again.missing()] == [0, 10, 20]
    again.close()


def test_chains_end_where_a_segment_is_done(carried: Parts, plain_clip: Path) -> None:
    first, second, third, fourth = carried.segments
    shutil.copy(plain_clip, carried.file_of(second))
    carried.finish(second, 50, [9])
    assert carried.chains() == [[first], [third, fourth]]
    carried.finish(first, 50, [0, 7])
    assert carried.pts == [0, 7, 9]
    carried.close()


def test_parts_take_the_folder_that_a_kill_left_before_the_first_manifest(target: Path) -> None:
    folder = parts_folder(target)
    folder.mkdir()
    for name in (".lock", ".manifest.json.1.part"):
        (folder / name).touch()
    opened(target).close()
    assert not folder.exists()

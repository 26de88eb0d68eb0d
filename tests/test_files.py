from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from filmcolorizer_cli.errors import FilmColorizerError
from filmcolorizer_cli.files import (
    SAMPLE_FILM,
    cannot_write,
    check_folder,
    lack_of_room,
    put_back,
    replacing,
    replacing_folder,
    temporary_beside,
)
from tests.machine import file_size_limit, files_in, ordinary_user


def test_replacing_makes_a_file_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == tmp_path, "a rename must not cross file systems"
        assert temporary.name.startswith(".")
    assert path.read_text() == "whole"
    assert files_in(tmp_path) == ["new.txt"]


def test_replacing_takes_the_place_of_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_text("older")
    with replacing(path) as temporary:
        temporary.write_text("newer")
        assert path.read_text() == "older"
    assert path.read_text() == "newer"


def test_replacing_has_the_file_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "new.txt", []

    def fsync(descriptor: int) -> None:
        assert not path.exists()
        seen.append(os.pread(descriptor, 100, 0))

    monkeypatch.setattr(os, "fsync", fsync)
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert seen == [b"whole"]
    assert path.exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_replacing_leaves_the_older_file_when_the_block_fails(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "old.txt"
    path.write_text("older")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "older"
    assert files_in(tmp_path) == ["old.txt"]


def test_nothing_that_came_to_a_place_meanwhile_is_replaced(tmp_path: Path) -> None:
    """Nor is the target of a link that was created there."""
    source, path, link, folder = (tmp_path / name for name in ("s", "new", "link", "pairs"))
    source.write_text("precious")
    with pytest.raises(FilmColorizerError) as caught, replacing(path) as temporary:
        temporary.write_text("ours")
        path.write_text("theirs")
    assert str(caught.value) == (
        f"{path} was meanwhile written by another program; move it away and run the same command"
        " again"
    )
    with pytest.raises(FilmColorizerError, match="meanwhile"), replacing(link) as temporary:
        temporary.write_text("ours")
        link.symlink_to(source)
    folder.mkdir()  # an empty folder counts as none
    with pytest.raises(FilmColorizerError, match="meanwhile"), replacing_folder(folder):
        (folder / "painted.png").touch()
    assert (source.read_text(), path.read_text()) == ("precious", "theirs")
    assert files_in(folder) == ["painted.png"]
    assert files_in(tmp_path) == ["link", "new", "pairs", "s"]


def test_replacing_tells_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    with (
        file_size_limit(1000),
        pytest.raises(FilmColorizerError) as caught,
        replacing(path) as temporary,
    ):
        temporary.write_bytes(bytes(2000))
    assert str(caught.value) == (
        f"cannot write {path} (File too large); make room there, or choose another place"
    )
    assert files_in(tmp_path) == []


def test_replacing_tells_when_the_block_wrote_nothing(tmp_path: Path) -> None:
    path = tmp_path / "never.txt"
    with pytest.raises(FilmColorizerError, match=r"No such file or directory"), replacing(path):
        pass
    assert files_in(tmp_path) == []


def test_temporary_beside_removes_what_a_killed_program_left(tmp_path: Path) -> None:
    """Only for the same target, and not what a running program still writes."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    target = tmp_path / "pairs[1]"
    left = tmp_path / f".pairs[1].{ended.pid}.part"
    (left / "bw").mkdir(parents=True)
    (left / "bw" / "000001.png").touch()
    kept = {
        f".pairs[1].{os.getppid()}.part",
        f".pairs1.{ended.pid}.part",
        f".pairs[1].v2.{ended.pid}.part",
        ".pairs[1].x.part",
        f".pairs[1].{10**22}.part",  # too large for a process id
    }
    for name in kept:
        (tmp_path / name).touch()
    assert temporary_beside(target).name == f".pairs[1].{os.getpid()}.part"
    assert set(files_in(tmp_path)) == kept
    left.touch()
    temporary_beside(target)
    assert set(files_in(tmp_path)) == kept
    own = tmp_path / f".pairs[1].{os.getpid()}.part"  # left by one with our id, in a container
    own.mkdir()
    assert temporary_beside(target) == own
    assert set(files_in(tmp_path)) == kept


def test_replacing_folder_that_was_killed_half_way_is_undone(tmp_path: Path) -> None:
    """Between its two renames, neither the older nor the new folder has the target's name."""
    target, older = tmp_path / "pairs", tmp_path / f".pairs.{os.getpid()}.old"
    older.mkdir()
    (older / "painted.png").touch()
    put_back(target)
    assert files_in(tmp_path) == ["pairs"]
    assert files_in(target) == ["painted.png"]
    older.mkdir()
    put_back(target)  # the new folder is in place, so the older one goes
    assert files_in(tmp_path) == ["pairs"]
    assert files_in(target) == ["painted.png"]


def test_replacing_folder_has_its_files_on_the_disk_before_the_older_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, seen = tmp_path / "pairs", []
    target.mkdir()
    (target / "older.png").touch()

    def fsync(descriptor: int) -> None:
        assert files_in(target) == ["older.png"]
        seen.append(os.pread(descriptor, 100, 0))

    monkeypatch.setattr(os, "fsync", fsync)
    with replacing_folder(target) as temporary:
        (temporary / "bw").mkdir()
        (temporary / "bw" / "new.png").write_text("new")
        (temporary / "pairs.json").write_text("pairs")
    assert sorted(seen) == [b"new", b"pairs"]
    assert (target / "bw" / "new.png").exists()


def test_replacing_folder_leaves_the_older_one_where_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "pairs"
    with replacing_folder(target) as temporary:
        (temporary / "first.png").touch()
    with pytest.raises(KeyError), replacing_folder(target) as temporary:
        (temporary / "second.png").touch()
        raise KeyError
    assert files_in(tmp_path) == ["pairs"]
    assert files_in(target) == ["first.png"]
    with replacing_folder(target) as temporary:
        (temporary / "second.png").touch()
    assert files_in(tmp_path) == ["pairs"]
    assert files_in(target) == ["second.png"]


def test_replacing_folder_leaves_the_older_one_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "pairs"
    with replacing_folder(target) as temporary:
        (temporary / "painted.png").touch()
    move = Path.replace

    def fail_of_new(path: Path, to: Path) -> Path:
        if path.name.endswith(".part"):
            raise OSError(errno.EIO, "broken")
        return move(path, to)

    monkeypatch.setattr(Path, "replace", fail_of_new)
    with pytest.raises(FilmColorizerError, match="broken"), replacing_folder(target) as temporary:
        (temporary / "second.png").touch()
    assert files_in(tmp_path) == ["pairs"]
    assert files_in(target) == ["painted.png"]


def test_temporary_beside_differs_between_processes(tmp_path: Path) -> None:
    name = temporary_beside(tmp_path / "film.mp4").name
    assert str(os.getpid()) in name
    assert "film.mp4" in name


def test_cannot_write_gives_an_error_without_a_system_message_in_full() -> None:
    error = cannot_write(Path("a.png"), OSError("encoder error -2"))
    assert str(error) == (
        "cannot write a.png (encoder error -2); make room there, or choose another place"
    )


@pytest.mark.parametrize(
    ("reason", "lack"),
    [
        ("No space left on device", "No space left on device"),
        ("[Errno 27] File too large: 'o.mp4'", "File too large"),
        ("av_interleaved_write_frame(): Disk quota exceeded; x", "Disk quota exceeded"),
        ("Permission denied", None),
        ("", None),
    ],
)
def test_lack_of_room_tells_a_full_disk_from_other_reasons(reason: str, lack: str | None) -> None:
    assert lack_of_room(reason) == lack
    assert cannot_write(Path("a.png"), OSError(reason)).lack_of_room == lack


def test_check_folder_accepts_one_that_can_be_written(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(Path())
    assert files_in(tmp_path) == []


def test_check_folder_refuses_a_missing_one(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with pytest.raises(FilmColorizerError) as caught:
        check_folder(folder)
    assert str(caught.value) == (
        f"the folder {folder} does not exist; create it, or choose another place with -o"
    )


def test_check_folder_refuses_a_file(sound_clip: Path) -> None:
    with pytest.raises(FilmColorizerError, match="does not exist"):
        check_folder(sound_clip)


def test_check_folder_refuses_one_that_may_not_be_written() -> None:
    folder = Path("/")
    with ordinary_user(), pytest.raises(FilmColorizerError) as caught:
        check_folder(folder)
    assert str(caught.value) == (
        "the folder / is not writable; change its permissions, or choose another place with -o"
    )


def test_sample_film_ships_and_is_small() -> None:
    assert 100_000 < SAMPLE_FILM.stat().st_size < 500_000


def test_replacing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "disk" / "film.txt")
    for text in ("first", "second"):
        with replacing(link) as temporary:
            temporary.write_text(text)
        assert link.is_symlink()
        assert (tmp_path / "disk" / "film.txt").read_text() == text


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOENT, "check that its folder is still there, or choose another place"),
        (errno.EIO, "choose another place"),
        (errno.ENOSPC, "make room there, or choose another place"),
    ],
)
def test_cannot_write_gives_advice_that_fits(code: int, advice: str) -> None:
    error = cannot_write(Path("a.png"), OSError(code, os.strerror(code)))
    assert str(error) == f"cannot write a.png ({os.strerror(code)}); {advice}"


def test_cannot_write_too_long_a_name() -> None:
    error = OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    assert str(cannot_write(Path("a.png"), error)) == (
        "cannot write a.png (File name too long); choose a shorter name"
    )

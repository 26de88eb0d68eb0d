from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from filmcolorizer_cli.errors import FilmColorizerError
from filmcolorizer_cli.locks import lock, locked_beside
from tests.machine import files_in


def test_locked_beside_keeps_others_out_until_it_ends(tmp_path: Path) -> None:
    target = tmp_path / "film.safetensors"
    with locked_beside(target, "training it"):
        assert files_in(tmp_path) == [".film.safetensors.lock"]
        with (
            pytest.raises(FilmColorizerError, match="another filmcolorizer is training it; wait"),
            locked_beside(target, "training it"),
        ):
            pass
    assert files_in(tmp_path) == []
    with locked_beside(target, "training it"):
        pass


def test_locked_beside_takes_what_a_kill_left(tmp_path: Path) -> None:
    (tmp_path / ".film.lock").touch()
    with locked_beside(tmp_path / "film", "training"):
        pass
    assert files_in(tmp_path) == []


def test_locked_beside_holds_no_file_that_the_one_before_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is opened, but not yet locked, when the process before deletes it."""
    take, hidden = fcntl.flock, tmp_path / ".film.lock"
    deletes = iter([True, False])

    def delete_at_first(file: int, how: int) -> None:
        if next(deletes):
            hidden.unlink()
        take(file, how)

    monkeypatch.setattr(fcntl, "flock", delete_at_first)
    with locked_beside(tmp_path / "film", "training"):
        assert files_in(tmp_path) == [".film.lock"]
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_locked_beside_leaves_nothing_on_a_disk_that_knows_no_locks(
    reason: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked_beside(tmp_path / "film", "training"):
        pass
    assert files_in(tmp_path) == []


def test_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(FilmColorizerError) as caught:
        lock(path, "training")
    assert str(caught.value) == f"cannot write {path} (File name too long); choose a shorter name"

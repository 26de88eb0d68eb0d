"""Files that are written whole or not at all, and where the shipped ones lie."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from filmcolorizer_cli.errors import FilmColorizerError, reason_of
from filmcolorizer_cli.stopping import held_signals

SAMPLE_FILM = Path(__file__).parent / "sample.mp4"  # made by docs/make_sample.py
_PROCESS = re.compile("[0-9]{1,9}")  # a number; psutil fails at longer ones, which none has
CHECKSUMS_FILE = "SHA256SUMS"  # of the shipped weights, beside them, as sha256sum writes it


def models_folder() -> Path:
    """Where the shipped weights lie: in the installed package, or in a checkout's ``models/``."""
    installed = Path(__file__).parent / "models"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "models"


def followed(path: Path) -> Path:
    """Where a link leads, so that it stays one when that is written.

    Raises:
        FilmColorizerError: it leads to itself.
    """
    if not path.is_symlink():
        return path
    leads_to = Path(os.path.realpath(path))
    if leads_to.is_symlink():
        raise FilmColorizerError(
            f"{path} is a link that leads to itself; delete it, or choose another place"
        )
    return leads_to


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same folder, for what will be renamed to ``path`` once it is whole.

    What a program that was killed has left there is removed.
    """
    path = followed(path)
    for left in _left_beside(path, "part"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _left_beside(path: Path, ending: str) -> list[Path]:
    """What programs that were killed have left there under hidden names, made as below.

    Our own number may have been that of one before, as in a container.
    """
    left = []
    for hidden in sorted(path.parent.glob(f".{glob.escape(path.name)}.*.{ending}")):
        process = hidden.name.removeprefix(f".{path.name}.").removesuffix(f".{ending}")
        if _PROCESS.fullmatch(process):  # and not what belongs to another name that begins alike
            is_dead = int(process) == os.getpid() or not psutil.pid_exists(int(process))
            left += [hidden] if is_dead else []
    return left


def put_in_place(temporary: Path, path: Path, *, was_free: bool) -> None:
    """Rename a file that is whole, once the disk has it, so that no power cut leaves it empty.

    Args:
        was_free: whether nothing was there when it was begun, so that nobody has said that what is
            there by now may go.

    Raises:
        FilmColorizerError: something has come there since.
    """
    _store(temporary)
    check_free(path, was_free=was_free)
    temporary.replace(followed(path))


def check_free(path: Path, *, was_free: bool) -> None:
    """Make sure that nothing came to a place that was free.

    Raises:
        FilmColorizerError: something has.
    """
    if was_free and not _is_free(path):
        raise FilmColorizerError(
            f"{path} was written by something else meanwhile; move it away and give the same"
            " command again"
        )


def _is_free(path: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _store(file: Path) -> None:
    """Wait until the disk has a file."""
    with file.open("rb+") as content:
        os.fsync(content.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write, which becomes ``path`` when the block ends well.

    Raises:
        FilmColorizerError: the file cannot be written; ``path`` is as it was before.
    """
    temporary, was_free = temporary_beside(path), not path.exists()
    try:
        yield temporary
        put_in_place(temporary, path, was_free=was_free)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, which becomes ``path`` when the block ends well.

    A folder that is there already makes way only then.

    Raises:
        FilmColorizerError: the folder cannot be written; ``path`` is as it was before.
    """
    path = followed(path)
    put_back(path)
    temporary, was_free = temporary_beside(path), _is_free(path)
    older = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _store(file)
        check_free(path, was_free=was_free)
        with held_signals():  # between the two there would be neither the older nor the new one
            if path.exists():
                path.replace(older)
            try:
                temporary.replace(path)
            finally:
                put_back(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with held_signals():
            shutil.rmtree(temporary, ignore_errors=True)


def put_back(path: Path) -> None:
    """Put an older folder back in its place, whose replacement was killed half-way."""
    path = followed(path)
    for older in _left_beside(path, "old"):
        if path.exists():
            shutil.rmtree(older, ignore_errors=True)
        else:
            older.replace(path)


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Make a folder for what the block writes into it; a new one goes again if that is nothing."""
    is_new = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        yield
    finally:
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def cannot_write(path: Path, error: OSError) -> FilmColorizerError:
    """The sentence for a file or folder that could not be written."""
    reason = reason_of(error)
    mend = "choose another place"
    if error.errno is None or lack_of_room(reason):
        mend = "make room there, or choose another place"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        mend = "check that its folder is still there, or choose another place"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        mend = "check its permissions, or choose another place"
    if error.errno == errno.ENAMETOOLONG:  # with what is added to it while it is written
        mend = "choose a shorter name"
    return FilmColorizerError(
        f"cannot write {path} ({reason}); {mend}",
        lack_of_room=lack_of_room(reason),
    )


def lack_of_room(reason: str) -> str | None:
    """The part of a reason that tells of a full disk, a full quota or too large a file, if any."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return next((os.strerror(code) for code in codes if os.strerror(code) in reason), None)


def check_folder(folder: Path, option: str = "-o") -> None:
    """Make sure that files can be made in a folder, before hours are spent on one.

    Args:
        option: that names the folder, or what is in it.

    Raises:
        FilmColorizerError: the folder is missing or may not be written to.
    """
    if not folder.is_dir():
        raise FilmColorizerError(
            f"the folder {folder} does not exist; make it, or choose another place with {option}"
        )
    if not os.access(folder, os.W_OK):
        raise FilmColorizerError(
            f"the folder {folder} may not be written to; change its permissions, or choose another"
            f" place with {option}"
        )

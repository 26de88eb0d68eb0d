"""Writing files completely or not at all, and locating shipped files."""

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
_PROCESS = re.compile("[0-9]{1,9}")  # a process id; psutil fails for longer numbers
CHECKSUMS_FILE = "SHA256SUMS"  # checksums beside the shipped weights, in sha256sum's format


def models_folder() -> Path:
    """Return the folder of the shipped weights, in the installed package or a checkout."""
    installed = Path(__file__).parent / "models"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "models"


def followed(path: Path) -> Path:
    """Resolve a symbolic link, so that writing to its target leaves the link in place.

    Raises:
        FilmColorizerError: the link leads to itself.
    """
    if not path.is_symlink():
        return path
    leads_to = Path(os.path.realpath(path))
    if leads_to.is_symlink():
        raise FilmColorizerError(
            f"{path} is a link that points to itself; delete it, or choose another place"
        )
    return leads_to


def temporary_beside(path: Path) -> Path:
    """Return a hidden name in the same folder, to be renamed to ``path`` once it is complete.

    Leftovers of killed programs under such names are deleted.
    """
    path = followed(path)
    for left in _left_beside(path, "part"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _left_beside(path: Path, ending: str) -> list[Path]:
    """Return what killed programs have left beside ``path``, under hidden names with this ending.

    A name with our own process id counts too: ids repeat, for example in containers.
    """
    left = []
    for hidden in sorted(path.parent.glob(f".{glob.escape(path.name)}.*.{ending}")):
        process = hidden.name.removeprefix(f".{path.name}.").removesuffix(f".{ending}")
        if _PROCESS.fullmatch(process):  # and not a file of a longer name with the same beginning
            is_dead = int(process) == os.getpid() or not psutil.pid_exists(int(process))
            left += [hidden] if is_dead else []
    return left


def put_in_place(temporary: Path, path: Path, *, was_free: bool) -> None:
    """Flush a complete file to disk and rename it, so that no power cut leaves it empty.

    Args:
        was_free: whether ``path`` did not exist when the file was begun; then nobody has allowed
            replacing what may be there since.

    Raises:
        FilmColorizerError: ``path`` was free, and exists.
    """
    _flush(temporary)
    check_free(path, was_free=was_free)
    temporary.replace(followed(path))


def check_free(path: Path, *, was_free: bool) -> None:
    """Make sure that a path that was free still is.

    Raises:
        FilmColorizerError: something has been written there.
    """
    if was_free and not _is_free(path):
        raise FilmColorizerError(
            f"{path} was meanwhile written by another program; move it away and run the same"
            " command again"
        )


def _is_free(path: Path) -> bool:
    """Whether the path does not exist, or is an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _flush(file: Path) -> None:
    """Flush a file to disk."""
    with file.open("rb+") as content:
        os.fsync(content.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which becomes ``path`` if the block ends normally.

    Raises:
        FilmColorizerError: the file cannot be written; ``path`` is unchanged.
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
    """Yield a temporary folder to fill, which becomes ``path`` if the block ends normally.

    A folder that exists at ``path`` is replaced only then.

    Raises:
        FilmColorizerError: the folder cannot be written; ``path`` is unchanged.
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
                _flush(file)
        check_free(path, was_free=was_free)
        with held_signals():  # between the two renames, there is no folder at ``path``
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
    """Restore an old folder whose replacement was interrupted; delete it if ``path`` exists."""
    path = followed(path)
    for older in _left_beside(path, "old"):
        if path.exists():
            shutil.rmtree(older, ignore_errors=True)
        else:
            older.replace(path)


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Create a folder for the block to write into; delete a new one that is still empty after."""
    is_new = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        yield
    finally:
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def cannot_write(path: Path, error: OSError) -> FilmColorizerError:
    """Return the error for a file or folder that could not be written."""
    reason = reason_of(error)
    mend = "choose another place"
    if error.errno is None or lack_of_room(reason):
        mend = "make room there, or choose another place"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        mend = "check that its folder is still there, or choose another place"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        mend = "check its permissions, or choose another place"
    if error.errno == errno.ENAMETOOLONG:  # the temporary name is longer than the name
        mend = "choose a shorter name"
    return FilmColorizerError(
        f"cannot write {path} ({reason}); {mend}",
        lack_of_room=lack_of_room(reason),
    )


def lack_of_room(reason: str) -> str | None:
    """Return the part of a reason that names a full disk or quota or too large a file, or None."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return next((os.strerror(code) for code in codes if os.strerror(code) in reason), None)


def check_folder(folder: Path, option: str = "-o") -> None:
    """Make sure that a folder can be written to, before hours are spent on a file for it.

    Args:
        option: the option that names the folder, or a file in it.

    Raises:
        FilmColorizerError: the folder is missing or may not be written to.
    """
    if not folder.is_dir():
        raise FilmColorizerError(
            f"the folder {folder} does not exist; create it, or choose another place with {option}"
        )
    if not os.access(folder, os.W_OK):
        raise FilmColorizerError(
            f"the folder {folder} is not writable; change its permissions, or choose another place"
            f" with {option}"
        )

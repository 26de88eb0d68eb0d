"""Files that are written whole or not at all, and where the shipped ones lie."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from filmcolorizer_cli.errors import FilmColorizerError

SAMPLE_FILM = Path(__file__).parent / "sample.mp4"  # made by docs/make_sample.py
CHECKSUMS_FILE = "SHA256SUMS"  # of the shipped weights, beside them, as sha256sum writes it


def models_folder() -> Path:
    """Where the shipped weights lie: in the installed package, or in a checkout's ``models/``."""
    installed = Path(__file__).parent / "models"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "models"


def followed(path: Path) -> Path:
    """Where a link leads, so that it stays one when that is written."""
    return path.resolve() if path.is_symlink() else path


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same folder, for what will be renamed to ``path`` once it is whole.

    What a program that was killed has left there is removed.
    """
    path = followed(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        process = left.name.removesuffix(".part").rpartition(".")[2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a file that is whole, once the disk has it, so that no power cut leaves it empty."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(followed(path))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write, which becomes ``path`` when the block ends well.

    Raises:
        FilmColorizerError: the file cannot be written; ``path`` is as it was before.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        put_in_place(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> FilmColorizerError:
    """The sentence for a file or folder that could not be written."""
    reason = error.strerror or str(error)
    sentence = FilmColorizerError(
        f"cannot write {path} ({reason}); make room there, or choose another place with -o"
    )
    sentence.lack_of_room = lack_of_room(reason)
    return sentence


def lack_of_room(reason: str) -> str | None:
    """The part of a reason that tells of a full disk, a full quota or too large a file, if any."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return next((os.strerror(code) for code in codes if os.strerror(code) in reason), None)


def check_folder(folder: Path) -> None:
    """Make sure that files can be made in a folder, before hours are spent on one.

    Raises:
        FilmColorizerError: the folder is missing or may not be written to.
    """
    if not folder.is_dir():
        raise FilmColorizerError(
            f"the folder {folder} does not exist; make it, or choose another place with -o"
        )
    if not os.access(folder, os.W_OK):
        raise FilmColorizerError(
            f"the folder {folder} may not be written to; change its permissions, or choose another"
            " place with -o"
        )

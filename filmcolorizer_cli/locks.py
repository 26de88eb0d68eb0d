"""Files by which two programs do not write the same thing at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filmcolorizer_cli.errors import FilmColorizerError
from filmcolorizer_cli.files import cannot_write, followed

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def lock(path: Path, work: str) -> IO[str] | None:
    """A file that is locked until it is closed or this process ends.

    None without such locks, as on Windows and on some disks at the other end of a network, where
    nothing keeps two programs apart.

    Args:
        path: is made where there is none.
        work: what is done alone, as in "rendering in film.mp4.parts".

    Raises:
        FilmColorizerError: another process has it, or it cannot be made.
    """
    try:
        import fcntl
    except ImportError:
        return None
    try:
        file = path.open("w")
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FilmColorizerError(
            f"another filmcolorizer is {work}; wait for it or stop it, or choose another place"
            " with -o"
        ) from None
    except OSError as error:
        file.close()
        path.unlink(missing_ok=True)
        if error.errno not in _NO_LOCKS:
            raise cannot_write(path, error) from None
        return None
    return file


@contextmanager
def locked_beside(path: Path, work: str) -> Iterator[None]:
    """Hold a hidden lock beside a file that is going to be written; it goes when the block ends.

    Raises:
        FilmColorizerError: as `lock`.
    """
    path = followed(path)
    hidden = path.with_name(f".{path.name}.lock")
    file = lock(hidden, work)
    while file is not None and not _is_there(hidden, file):  # deleted by the one before
        file.close()
        file = lock(hidden, work)
    try:
        yield
    finally:
        if file is not None:
            hidden.unlink(missing_ok=True)
            file.close()


def _is_there(path: Path, file: IO[str]) -> bool:
    """Whether an open file still is the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False

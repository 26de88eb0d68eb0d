"""Lock files that keep two programs from writing the same file at once."""

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
    """Return a file that stays locked until it is closed or this process ends.

    Return None where there are no such locks, as on Windows and some network disks; nothing keeps
    two programs apart there.

    Args:
        path: the lock file, created if it does not exist.
        work: what the lock protects, as in "rendering in film.mp4.parts".

    Raises:
        FilmColorizerError: another process holds the lock, or the file cannot be created.
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
    """Hold a hidden lock file beside a file to be written; it is deleted when the block ends.

    Raises:
        FilmColorizerError: as for `lock`.
    """
    path = followed(path)
    hidden = path.with_name(f".{path.name}.lock")
    file = lock(hidden, work)
    while file is not None and not _is_there(hidden, file):  # deleted by its previous holder
        file.close()
        file = lock(hidden, work)
    try:
        yield
    finally:
        if file is not None:
            hidden.unlink(missing_ok=True)
            file.close()


def _is_there(path: Path, file: IO[str]) -> bool:
    """Whether the file at this path is this open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False

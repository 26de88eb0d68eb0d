"""The files that a film is read from, and checks that they have not changed."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from filmcolorizer_cli.errors import VideoError, reason_of
from filmcolorizer_cli.video import Film, sequence_file, sequence_files

MARGIN_SECONDS = 2.0  # pictures may be read this long before and after a span
# Number and size of the blocks read to identify a film file without reading all of it.
BLOCKS, BLOCK_BYTES = 64, 1 << 16


class _Stamp(NamedTuple):
    """A file's size and modification time, which reveal a change."""

    size: int
    changed_ns: int  # nanoseconds since 1970


class Source:
    """A film's file, or its numbered pictures, in their state on construction.

    Attributes:
        identity: plain values by name that differ between films. A copy of a film file elsewhere,
            with another modification time, has the same identity; a local repair of the file may
            show in ``changed_ns`` only.
        changed_ns: modification time, in nanoseconds since 1970; for pictures, the sum of theirs.

    Raises:
        VideoError: a file is missing.
    """

    def __init__(self, film: Film) -> None:
        self.film = film
        self._stamps = _stamps(_files(film))
        self.changed_ns = sum(stamp.changed_ns for stamp in self._stamps.values())
        self.identity = self._identity()

    def _identity(self) -> dict[str, Any]:
        stamps = self._stamps.values()
        size = sum(stamp.size for stamp in stamps)
        if self.film.first_number is None:
            checksum = _checksum(self.film.path, size)
            return {"source's size": size, "source's checksum": checksum}
        return {
            "source's pictures": len(stamps),
            "source's first number": self.film.first_number,
            "source's frame rate": str(self.film.frame_rate),
            "source's size": size,
            "source's time of change": self.changed_ns,
        }

    def check(self) -> None:
        """Check that no file has changed since construction.

        Raises:
            VideoError: a file is missing, changed or new.
        """
        self._check(self._stamps)
        self._check(file for file in _files(self.film) if file not in self._stamps)

    def check_between(self, begin: float, end: float) -> None:
        """Check that no file shown between two times, in seconds, has changed.

        Of numbered pictures only these are checked, since there may be a hundred thousand across a
        network. Of new files only the one with the number after the last is looked for.

        Raises:
            VideoError: a file is missing, changed or new.
        """
        files = list(self._stamps)
        if self.film.first_number is not None:
            behind = sequence_file(self.film.path, self.film.first_number + len(files))
            first = math.floor((begin - MARGIN_SECONDS) * self.film.frame_rate)
            last = min((end + MARGIN_SECONDS) * self.film.frame_rate, len(files))
            files = files[max(first, 0) : math.ceil(last)]
            files += [behind] if behind.exists() else []
        self._check(files)

    def _check(self, files: Iterable[Path]) -> None:
        for file, stamp in _stamps(files).items():
            if file not in self._stamps:
                raise VideoError(
                    f"{file} appeared among the others while they were being read; move it away and"
                    " run the same command again to continue, or give --overwrite to start over"
                    " with all of them"
                )
            if stamp != self._stamps[file]:
                raise VideoError(
                    f"{file} was changed while it was being read; put the previous file back and"
                    " run the same command again to continue, or give --overwrite to start over"
                    " with this one"
                )


def _files(film: Film) -> list[Path]:
    """Return all files that a film is read from, numbered pictures in their order."""
    if film.first_number is None:
        return [film.path]
    return list(sequence_files(film.path).values())


def _checksum(file: Path, size: int) -> int:
    """Return the CRC-32 of blocks spread evenly over a file, from its start to its end."""
    checksum, last_block = 0, max(size - BLOCK_BYTES, 0)
    try:
        with file.open("rb") as content:
            for number in range(BLOCKS):
                content.seek(last_block * number // (BLOCKS - 1))
                checksum = zlib.crc32(content.read(BLOCK_BYTES), checksum)
    except OSError as error:
        raise _unreadable(file, error) from None
    return checksum


def _stamps(files: Iterable[Path]) -> dict[Path, _Stamp]:
    stamps = {}
    for file in files:
        try:
            stat = file.stat()
        except OSError as error:
            raise _unreadable(file, error) from None
        stamps[file] = _Stamp(stat.st_size, stat.st_mtime_ns)
    return stamps


def _unreadable(file: Path, error: OSError) -> VideoError:
    return VideoError(
        f"{file} cannot be read any more ({reason_of(error)}); put it back, and run the same"
        " command again to continue"
    )

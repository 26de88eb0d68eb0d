"""Small pictures of every frame of a film, from which two versions of it are aligned."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.cadence import ONE_TO_ONE, may_be_pulled_down
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.frames import read_coded_luma, read_every_frame
from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.progress import Track
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.sidecars import read_times, sidecar_error
from filmcolorizer_cli.survey import cadence_of
from filmcolorizer_cli.video import Film

WIDTH, HEIGHT = 32, 24  # pixels; 768 bytes a frame
TIMES_BYTES = 1 << 16  # size of the blocks in which frame times are written, at most

Frames = NDArray[np.uint8]
Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Signatures:
    """A film, or a part of one, as small pictures.

    Attributes:
        frames: (N, 768) uint8, rows of `HEIGHT` by `WIDTH` pixels of luma, full range.
        seconds: (N,) presentation times from the film's first frame, ascending.
    """

    frames: Frames
    seconds: Seconds

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def frame_seconds(self) -> float:
        """The median duration of a frame."""
        return float(np.median(np.diff(self.seconds)))

    @property
    def end_seconds(self) -> float:
        """The end of the last frame's display."""
        return float(self.seconds[-1]) + self.frame_seconds

    @property
    def duration_seconds(self) -> float:
        """The duration from the first frame to `end_seconds`; 0 for fewer than two frames."""
        return self.end_seconds - float(self.seconds[0]) if len(self) > 1 else 0.0

    def reversed(self) -> Signatures:
        """Return the same film backwards."""
        return Signatures(self.frames[::-1], (self.seconds[-1] - self.seconds)[::-1])

    def mirrored(self) -> Signatures:
        """Return the same film with left and right exchanged."""
        rows = self.frames.reshape(-1, HEIGHT, WIDTH)[..., ::-1]
        return Signatures(np.ascontiguousarray(rows).reshape(self.frames.shape), self.seconds)

    def at(self, seconds: Seconds) -> NDArray[np.intp]:
        """Return the frames shown at these times: the last that have begun, to half a frame."""
        begun = np.searchsorted(self.seconds - self.frame_seconds / 2, seconds, side="right")
        return np.maximum(begun - 1, 0)

    def part(self, begin: int, end: int) -> Signatures:
        """Return the frames from ``begin`` up to ``end``, with their times unchanged."""
        return Signatures(self.frames[begin:end], self.seconds[begin:end])


def read_signatures(bw: Film, color: Film, *, track: Track) -> tuple[Signatures, Signatures]:
    """Read two films at once, each in one pass; telecined ones are reduced to their film frames.

    Raises:
        VideoError: a film cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        times_files = (Path(folder) / "bw.txt", Path(folder) / "color.txt")
        films = [_Reading(bw, times_files[0]), _Reading(color, times_files[1])]
        total = sum(film.expected for film in films)
        with closing(films[0].frames), closing(films[1].frames):  # if either one is damaged
            for _ in track(_alternate(films), total, "frames of both films"):
                pass
        return films[0].signatures(), films[1].signatures()


def read_moment(film: Film, seconds: float) -> Frames:
    """Seek to a time and read its small picture (768,), full range; black beyond the end.

    Raises:
        VideoError: the film cannot be read there.
    """
    sampling = Sampling(WIDTH, HEIGHT, film.frame_rate, seconds, float(1 / film.frame_rate))
    coding = replace(film.coding, bit_depth=8, range="full")
    with closing(read_coded_luma(film, sampling, coding)) as frames:
        moment = next(frames, np.zeros((HEIGHT, WIDTH), np.uint8))
        return moment.astype(np.uint8, copy=False).reshape(-1)


class _Reading:
    """A film that is being read."""

    def __init__(self, film: Film, times_file: Path) -> None:
        cadence = ONE_TO_ONE
        if may_be_pulled_down(film):
            found = cadence_of(film, 0.0, film.duration_seconds)
            cadence = found if found.is_film_in_fields else ONE_TO_ONE
        self.expected = film.frame_count(cadence.picture_rate(film.frame_rate))
        self.count = 0
        self._film, self._times_file = film, times_file
        self.frames = read_every_frame(film, WIDTH, HEIGHT, times_file, cadence)
        self._data = bytearray()

    def advance(self) -> Plane | None:
        """Read and return the next frame, or None at the film's end."""
        frame = next(self.frames, None)
        if frame is not None:
            self._data += frame.data
            self.count += 1
        return frame

    def signatures(self) -> Signatures:
        frames = np.frombuffer(self._data, np.uint8).reshape(-1, HEIGHT * WIDTH)
        seconds = np.asarray(read_times(self._times_file), np.float64)
        free = shutil.disk_usage(self._times_file.parent).free
        if len(seconds) < len(frames) and free < TIMES_BYTES:  # ffmpeg reports no error
            raise sidecar_error(self._film, self._times_file, os.strerror(errno.ENOSPC))
        if len(seconds) != len(frames) or (np.diff(seconds) < 0).any():
            raise VideoError(
                f"{self._film.path} has frames without a time of their own, or out of order;"
                " convert it with another program"
            )
        return Signatures(frames, seconds)


def _alternate(films: list[_Reading]) -> Iterator[Plane]:
    """Yield the frames of both films, always from the one that has progressed less."""
    rest = list(films)
    while rest:
        film = min(rest, key=lambda film: film.count / film.expected)
        frame = film.advance()
        if frame is None:
            rest.remove(film)
        else:
            yield frame

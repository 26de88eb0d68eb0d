"""Files that ffmpeg writes beside the frames it decodes: what it finds out about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.planes import SMALL_SIZE, Plane
from filmcolorizer_cli.video import Film

FIELD_WIDTH, FIELD_HEIGHT = 32, 24  # pixels of the downscaled fields used to find a cadence
STRIP_WIDTH, MIN_STRIPS = 64, 12  # pixels in a part of a row or column, and least number of parts
LOOK_SIZE = 128, 96  # width and height of frames analysed for cuts and colour


@dataclass(frozen=True)
class Bursts:
    """Short runs of consecutive frames, spread over the part read, to analyse at full size.

    Only the results of ffmpeg's analysis are kept, in files.

    Attributes:
        every_seconds: interval between the first frames of successive runs.
        run_seconds: duration of a run.
        field_orders_file: which field of each frame is the earlier; see `read_field_orders`.
        rows_file, columns_file: for one frame per run, the mean luma of every row in parts of about
            ``STRIP_WIDTH``, and of every column likewise; see `read_strips`.
        fields_file: for each frame, its downscaled fields; see `read_fields`.
    """

    every_seconds: float
    run_seconds: float
    field_orders_file: Path
    rows_file: Path
    columns_file: Path
    fields_file: Path | None = None


@dataclass(frozen=True)
class ShotFiles:
    """Files to which a reader writes the data from which `shots.Shots` finds shots.

    They cover all frames of the wanted times, including those that ``every`` drops, and are
    complete after the last picture.

    Attributes:
        cuts_file: numbers of the frames at which ffmpeg's scdet finds the start of a shot, in
            frames of ``LOOK_SIZE``; see `read_pts`.
        frames_file: luma of all these frames in ``SMALL_SIZE``; see `read_small_frames`. None if
            the frames read have ``LOOK_SIZE`` themselves, and ``every`` is 1.
    """

    cuts_file: Path
    frames_file: Path | None = None


def sidecar_error(film: Film, file: Path, reason: str) -> VideoError:
    """Return the error for a full disk on writing a file of notes in a temporary folder."""
    return VideoError(
        f"cannot write notes on {film.path} in {file.parents[1]} ({reason}); make room there",
        lack_of_room=reason,
    )


def read_pts(path: Path) -> list[int]:
    """Return the times in a file written by a reader, ascending, in the units of that file.

    These are the film's time base for the ``pts_file`` of `Sampling`, and frames for the
    ``cuts_file`` of `ShotFiles`.
    """
    if not path.is_file():
        return []
    return [int(pts) for pts in re.findall(r"^frame:\S+\s+pts:(-?\d+)", path.read_text(), re.M)]


def read_times(path: Path) -> list[float]:
    """Return the times that `read_every_frame` wrote, in seconds from the first frame."""
    times = read_pts(path)
    return [(time - times[0]) / 1e6 for time in times]


def read_small_frames(path: Path, first: int = 0) -> Plane:
    """Return luma (N, height, width) of ``SMALL_SIZE`` from a `ShotFiles` file, even if it grows.

    uint8, limited range; N is 0 if there are no frames yet.

    Args:
        first: number of the first frame to read.
    """
    width, height = SMALL_SIZE
    if not path.exists():
        return np.empty((0, height, width), np.uint8)
    count = max(path.stat().st_size // (width * height) - first, 0)
    size, offset = count * width * height, first * width * height
    return np.fromfile(path, np.uint8, size, offset=offset).reshape(-1, height, width)


def read_field_orders(path: Path) -> list[tuple[float, str]]:
    """Return each frame's time, in seconds from ``start_seconds``, and field order from `Bursts`.

    The order is ``tff`` or ``bff`` if the top or bottom field is the earlier, else ``progressive``
    or ``undetermined``.
    """
    if not path.is_file():
        return []
    found = re.findall(
        r"pts:(-?\d+) .*\nlavfi\.idet\.single\.current_frame=(\w+)", path.read_text()
    )
    return [(int(pts) / 1e6, word) for pts, word in found]


def read_fields(bursts: Bursts) -> Plane:
    """Return downscaled fields (N, FIELD_HEIGHT, 2, FIELD_WIDTH) of `Bursts`, top before bottom.

    uint8, limited range; N is 0 if none were requested.
    """
    if bursts.fields_file is None:
        return np.empty((0, FIELD_HEIGHT, 2, FIELD_WIDTH), np.uint8)
    pictures = np.fromfile(bursts.fields_file, np.uint8)
    return pictures.reshape(-1, FIELD_HEIGHT, 2, FIELD_WIDTH)


def read_strips(film: Film, bursts: Bursts) -> tuple[Plane, Plane]:
    """Return the mean luma of rows (N, height, parts) and columns (N, parts, width) of `Bursts`.

    uint8, limited range (black 16, white 235); N is 0 if there were no frames.
    """
    shapes = (film.height, strip_count(film.width)), (strip_count(film.height), film.width)
    files = bursts.rows_file, bursts.columns_file
    rows, columns = (
        np.fromfile(file, np.uint8).reshape(-1, *shape)
        for file, shape in zip(files, shapes, strict=True)
    )
    return rows, columns


def strip_count(side: int) -> int:
    """Return the number of parts into which a side in pixels is divided for `read_strips`."""
    return max(-(-side // STRIP_WIDTH), min(side, MIN_STRIPS))

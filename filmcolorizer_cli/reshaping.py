"""Detection of changes of frame size or sample aspect ratio within a film, as in recordings."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple

import av

from filmcolorizer_cli.video import BARE_STREAMS, MPEG_STREAMS, Film, opened

# Seconds between looks, and how many there are at most: in long films they are farther apart. A
# change that lasts for less than this distance may be missed.
LOOK_SECONDS, MAX_LOOKS = 20.0, 250
# MPEG streams are sought by position, not by time: seek this many seconds before the wanted time.
MPEG_MARGIN_SECONDS = 2.0
MAX_SECONDS_AHEAD = 20.0  # how far after a time a key frame is searched for
# Precision of the time of a change, and how many bisection steps are made at most.
NEAR_SECONDS, MAX_HALVINGS = 0.5, 20


class Shape(NamedTuple):
    """Size of frames as coded, in pixels, and width over height of a pixel."""

    width: int
    height: int
    sample_aspect_ratio: Fraction

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}"
        ratio = self.sample_aspect_ratio
        if ratio == 1:
            return f"{size} with square pixels"
        return f"{size} with pixels of {ratio.numerator}:{ratio.denominator}"


# Returns when the key frame near a time is shown, and its shape.
Look = Callable[[float], tuple[float, Shape] | None]


class ShapeChange(NamedTuple):
    """A change of shape, in seconds from the film's first frame, with both shapes."""

    seconds: float
    after: Shape
    before: Shape


def find_shape_change(film: Film, begin_seconds: float, end_seconds: float) -> ShapeChange | None:
    """Find where a part of a film first differs in shape from the film's first frame.

    Only some key frames are decoded. Where the container's sample aspect ratio differs from the
    stream's, it applies to all frames, so that only sizes are compared.

    Returns:
        The change; None if there is none, or the film cannot be sought.

    Raises:
        VideoError: the film can no longer be read.
    """
    if film.container in BARE_STREAMS or film.first_number is not None:
        return None
    is_mpeg = film.container in MPEG_STREAMS
    margin = MPEG_MARGIN_SECONDS if is_mpeg else 0.0
    with opened(film) as container:
        stream = container.streams[film.stream_index]
        stream.codec_context.skip_frame = "NONKEY"

        def look(seconds: float) -> tuple[float, Shape] | None:
            with suppress(av.FFmpegError):  # nothing can be read beyond damage
                pts = film.first_pts + math.floor((seconds - margin) / film.time_base)
                container.seek(pts, stream=stream)
                return _shape_at(seconds, film, container, stream, reads_on=is_mpeg)
            return None

        first = look(0.0)
        if first is None:
            return None
        before = first[1]
        tells_shapes = before.sample_aspect_ratio == _stored_aspect_ratio(film)

        def is_other(shape: Shape) -> bool:
            return shape != before if tells_shapes else shape[:2] != before[:2]

        count = math.ceil(min((end_seconds - begin_seconds) / LOOK_SECONDS, MAX_LOOKS))
        apart = (end_seconds - begin_seconds) / max(count, 1)
        low = begin_seconds
        for number in range(count + 1):
            time = begin_seconds + number * apart
            found = look(time)
            if found is not None and is_other(found[1]):
                return ShapeChange(*_narrowed(look, is_other, low, *found), before)
            low = time
    return None


def _narrowed(
    look: Look, is_other: Callable[[Shape], bool], low: float, high: float, after: Shape
) -> tuple[float, Shape]:
    """Find when another shape begins between two times, and which, by bisection."""
    for _ in range(MAX_HALVINGS):
        if high - low < NEAR_SECONDS:
            break
        middle = (low + high) / 2
        nearer = look(middle)
        if nearer is not None and is_other(nearer[1]) and nearer[0] < high:
            high, after = nearer
        else:
            low = middle
    return high, after


def _stored_aspect_ratio(film: Film) -> Fraction:
    """Return the sample aspect ratio as stored, before rotation."""
    ratio = film.sample_aspect_ratio
    return 1 / ratio if film.rotation % 180 == 90 else ratio


def _shape_at(
    seconds: float, film: Film, container: Any, stream: Any, *, reads_on: bool
) -> tuple[float, Shape] | None:
    """Return time and shape of the next key frame; None if none is near or its pts is unknown.

    Args:
        reads_on: continue to the last key frame that is shown by ``seconds``.
    """
    found = None
    for packet in container.demux(stream):
        for frame in packet.decode():
            if frame.pts is None:
                return None
            shown = float((frame.pts - film.first_pts) * film.time_base)
            if found is not None and shown > seconds:
                return found
            ratio = stream.codec_context.sample_aspect_ratio or _stored_aspect_ratio(film)
            found = shown, Shape(frame.width, frame.height, ratio)
            if not reads_on:
                return found
        if packet.pts is not None:
            ahead = float((packet.pts - film.first_pts) * film.time_base) - seconds
            if ahead > (0 if found is not None else MAX_SECONDS_AHEAD):
                return found
    return found

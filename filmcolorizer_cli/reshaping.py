"""Where a film's pictures change their size, or the shape of their pixels, as recordings do."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple

import av

from filmcolorizer_cli.video import BARE_STREAMS, MPEG_STREAMS, Film, opened

# From one look to the next, of which long films have no more than so many, farther apart; what is
# another for less may be missed.
LOOK_SECONDS, MAX_LOOKS = 20.0, 250
# Before a time, from which a key frame is looked for in what is sought by place and not by time.
MPEG_MARGIN_SECONDS = 2.0
MAX_SECONDS_AHEAD = 20.0  # up to which a key frame is looked for behind a time
# By which the begin of another size or shape is known, and in how many steps it is looked for.
NEAR_SECONDS, MAX_HALVINGS = 0.5, 20


class Shape(NamedTuple):
    """Of pictures as they are coded: in pixels, and width over height of a pixel."""

    width: int
    height: int
    sample_aspect_ratio: Fraction

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}"
        ratio = self.sample_aspect_ratio
        if ratio == 1:
            return f"{size} with square pixels"
        return f"{size} with pixels of {ratio.numerator}:{ratio.denominator}"


# What key frame there is at a time, or before: when it is shown, and its shape.
Look = Callable[[float], tuple[float, Shape] | None]


class Reshaped(NamedTuple):
    """A change of pictures: in seconds from the film's first frame, to what, and from what."""

    seconds: float
    after: Shape
    before: Shape


def find_reshaped(film: Film, begin_seconds: float, end_seconds: float) -> Reshaped | None:
    """Where a part of a film first is of another size or shape than the film's first frame.

    Key frames alone are decoded, here and there. Where the container tells another shape of pixels
    than the stream does, all are shown by that, and sizes alone count.

    Returns:
        None where there is no such place, or nothing can be sought.

    Raises:
        VideoError: the film cannot be read any more.
    """
    if film.container in BARE_STREAMS or film.first_number is not None:
        return None
    is_mpeg = film.container in MPEG_STREAMS
    margin = MPEG_MARGIN_SECONDS if is_mpeg else 0.0
    with opened(film) as container:
        stream = container.streams[film.stream_index]
        stream.codec_context.skip_frame = "NONKEY"

        def look(seconds: float) -> tuple[float, Shape] | None:
            with suppress(av.FFmpegError):  # beyond damage nothing is told
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
                return Reshaped(*_narrowed(look, is_other, low, *found), before)
            low = time
    return None


def _narrowed(
    look: Look, is_other: Callable[[Shape], bool], low: float, high: float, after: Shape
) -> tuple[float, Shape]:
    """When another shape begins between two times, and what it is, by bisection."""
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
    """Of a pixel as it is stored, before the picture is turned."""
    ratio = film.sample_aspect_ratio
    return 1 / ratio if film.rotation % 180 == 90 else ratio


def _shape_at(
    seconds: float, film: Film, container: Any, stream: Any, *, reads_on: bool
) -> tuple[float, Shape] | None:
    """When the next key frame is shown, and its shape; None where none is near, or tells a time.

    Args:
        reads_on: up to the last one that is shown by a time.
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

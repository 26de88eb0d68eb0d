"""Where a film's pictures change their size, or the shape of their pixels, as recordings do."""

from __future__ import annotations

import math
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple

import av

from filmcolorizer_cli.video import BARE_STREAMS, MPEG_STREAMS, Film, opened

LOOK_SECONDS = 20.0  # from one look to the next; what is another for less may be missed
MAX_LOOKS = 250
# Before a time, from which a key frame is looked for in what is sought by place and not by time.
MPEG_MARGIN_SECONDS = 2.0
# By which the begin of another size or shape is known, and in how many steps it is looked for.
NEAR_SECONDS, MOST_HALVINGS = 0.5, 20


class Shape(NamedTuple):
    """Of pictures as they are coded: in pixels, and width over height of a pixel."""

    width: int
    height: int
    pixel_aspect_ratio: Fraction

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}"
        ratio = self.pixel_aspect_ratio
        if ratio == 1:
            return f"{size} with square pixels"
        return f"{size} with pixels of {ratio.numerator}:{ratio.denominator}"


class Reshaped(NamedTuple):
    """A change of pictures, when from the film's first frame, in seconds, and the two shapes."""

    seconds: float
    before: Shape
    after: Shape


def find_reshaped(film: Film, begin_seconds: float, end_seconds: float) -> Reshaped | None:
    """The first change of a part of a film; None where there is none, or nothing can be sought.

    Key frames alone are decoded, here and there.

    Raises:
        VideoError: the film cannot be read any more.
    """
    if film.container in BARE_STREAMS or film.first_number is not None:
        return None
    apart = max(LOOK_SECONDS, (end_seconds - begin_seconds) / MAX_LOOKS)
    with opened(film) as container:
        stream = container.streams[film.stream_index]
        stream.codec_context.skip_frame = "NONKEY"
        margin = MPEG_MARGIN_SECONDS if film.container in MPEG_STREAMS else 0.0

        def look(seconds: float) -> tuple[float, Shape] | None:
            with suppress(av.FFmpegError):  # beyond damage nothing is told
                tick = film.first_tick + math.floor((seconds - margin) / film.time_base)
                container.seek(tick, stream=stream)
                return _shape_at(seconds, film, container, stream)
            return None

        first = look(begin_seconds)
        if first is None:
            return None
        low, before = first
        while low < end_seconds:
            high = min(low + apart, end_seconds)
            found = look(high)
            if found is None or found[1] == before:
                low = high
                continue
            high, after = found
            for _ in range(MOST_HALVINGS):
                if high - low < NEAR_SECONDS:
                    break
                middle = (low + high) / 2
                found = look(middle)
                if found is not None and found[1] != before and found[0] < high:
                    high, after = found
                else:
                    low = middle
            return Reshaped(high, before, after)
    return None


def _shape_at(
    seconds: float, film: Film, container: Any, stream: Any
) -> tuple[float, Shape] | None:
    """When the last key frame up to a time is shown, or else the next one, and its shape.

    None where that is not told, or there is none.
    """
    found = None
    for packet in container.demux(stream):
        for frame in packet.decode():
            if frame.pts is None:
                return None
            shown = float((frame.pts - film.first_tick) * film.time_base)
            if found is not None and shown > seconds:
                return found
            ratio = stream.codec_context.sample_aspect_ratio or Fraction(1)
            found = shown, Shape(frame.width, frame.height, ratio)
        is_timed = found is not None and packet.pts is not None
        if is_timed and float((packet.pts - film.first_tick) * film.time_base) > seconds:
            return found
    return found

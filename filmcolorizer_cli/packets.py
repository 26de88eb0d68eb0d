"""What the packets of a film tell: when its frames are shown, and where it is damaged."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np

from filmcolorizer_cli.video import Film, Spans, opened

CONTAINER_ROUNDING_SECONDS = 0.0011  # Matroska counts in milliseconds
MAX_GAP_FRAMES = 0.6  # after a frame has been shown, where none is missing
MAX_MISSING_END_SECONDS = 0.5  # by which containers may be wrong


def find_damage(film: Film) -> Generator[float, None, Spans]:
    """Find what of a film cannot be decoded, in seconds from its first frame.

    It begins with a frame that is broken, or with a gap before it, and ends with the next key
    frame: what is decoded between is made from what is broken. A gap alone is a frame that is held,
    as a title card is.

    Yields:
        How far it has come, in seconds, after each frame.
    """
    frame_seconds = float(1 / film.frame_rate)
    first = float(film.first_tick * film.time_base)
    spans: list[tuple[float, float]] = []
    last_end, gap_from, broken_from = 0.0, math.inf, math.inf
    for frame in _decoded(film):
        now = last_end if frame.seconds is None else frame.seconds - first
        if frame.kind == "broken":
            broken_from = min(broken_from, now)
            continue
        if now - last_end > MAX_GAP_FRAMES * frame_seconds:
            gap_from = min(gap_from, last_end)
        if frame.kind == "key":
            if now > broken_from:
                spans.append((min(gap_from, broken_from), now))
                broken_from = math.inf
            gap_from = math.inf
        last_end = max(last_end, now + max(frame.duration_seconds, frame_seconds))
        yield max(now, 0.0)
    end = film.duration_seconds
    if end - last_end > MAX_MISSING_END_SECONDS:
        broken_from = min(broken_from, last_end)
    if broken_from < end:
        spans.append((min(gap_from, broken_from), end))
    return tuple(spans)


@dataclass(frozen=True)
class _Decoded:
    """A frame as the container and the decoder tell of it.

    Attributes:
        seconds: its time, if that is told.
        duration_seconds: for how long it is shown; 0 where that is not told.
    """

    seconds: float | None
    duration_seconds: float
    kind: Literal["key", "whole", "broken"]


def _decoded(film: Film) -> Iterator[_Decoded]:
    """The frames of a film, and what is broken of it, in the order that the decoder has."""
    with opened(film) as container:
        stream = container.streams[film.stream_index]
        stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # what follows cannot even be found
                return
            if packet is None:
                return
            seconds = None if packet.pts is None else float(packet.pts * film.time_base)
            if packet.is_corrupt:  # something is missing before it
                yield _Decoded(seconds, 0.0, "broken")
            try:
                for frame in packet.decode():
                    kind: Literal["key", "whole"] = "key" if frame.key_frame else "whole"
                    shown = float((frame.duration or 0) * film.time_base)
                    yield _Decoded(frame.time, shown, "broken" if frame.is_corrupt else kind)
            except av.FFmpegError:
                yield _Decoded(seconds, 0.0, "broken")


def uneven_ticks(film: Film) -> list[int] | None:
    """The times of a film's frames, in ticks of its time base, as its packets tell them.

    None for a film whose frames are evenly spaced, but for the rounding of its container, or that
    does not tell.
    """
    if film.first_number is not None:
        return None
    with opened(film) as container:
        packets = container.demux(container.streams[film.stream_index])
        ticks: list[Any] = []
        with suppress(av.FFmpegError):  # damaged: what follows cannot be told
            ticks.extend(packet.pts for packet in packets if _is_shown(packet, film.codec))
    if not ticks or None in ticks:
        return None
    ticks.sort()
    rounding = max(float(film.time_base) / 2, CONTAINER_ROUNDING_SECONDS) * film.frame_rate
    step = float(film.time_base * film.frame_rate)
    places = (np.array(ticks) - ticks[0]) * step
    drift = np.abs(places - np.arange(len(ticks)))
    if drift.max() <= rounding or np.diff(ticks).min() <= 0:
        return None
    return ticks


def _is_shown(packet: Any, codec: str) -> bool:
    """Whether a packet holds a picture to show.

    Some of VP8 are only there for others to refer to (RFC 6386, section 9.1: the fifth bit).
    """
    if not packet.size:
        return False
    return codec != "vp8" or bool(memoryview(packet)[0] & 0x10)

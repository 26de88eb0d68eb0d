"""Analysis of a film's packets: when its frames are shown, and where it is damaged."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import av
import numpy as np

from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.timeline import Spans
from filmcolorizer_cli.video import (
    CONTAINER_ROUNDING_SECONDS,
    MPEG_STREAMS,
    UNTIMED,
    Film,
    count_pictures,
    opened,
)

NEAR_FRAMES = 0.6  # frames by which the times of a packet and of its frame may differ
MAX_MISSING_END_SECONDS = 0.5  # a container's duration may be too long by this much
# Seconds between packets from which ffmpeg takes the clock to jump: forwards, which is its
# dts_delta_threshold, and backwards.
MAX_CLOCK_STEP, CLOCK_JITTER_SECONDS = 10.0, 0.1
PACKETS_OF_JUMP = 10  # more packets after a jump are another recording, not damaged times


def find_damage(film: Film, until_seconds: float = math.inf) -> Generator[float, None, Spans]:
    """Find the spans of a film that cannot be decoded, in seconds from its first frame.

    A span lasts from a broken frame to the next key frame, as frames in between are predicted from
    broken ones. A gap without stored frames is no damage: a frame is held, as for a title card.
    But where both pictures and sound end long before the stated duration, the rest was cut off.

    Args:
        until_seconds: where to stop, at the next key frame.

    Yields:
        The time reached, in seconds, after each frame.

    Raises:
        VideoError: the film can no longer be read.
    """
    frame_seconds = float(1 / film.frame_rate)
    first = float(film.first_pts * film.time_base)
    spans: list[tuple[float, float]] = []
    shown_until = heard_until = 0.0
    broken_from, broken_until = math.inf, -math.inf
    for kind, seconds, duration in _decoded(film):
        now = shown_until if seconds is None else seconds - first
        if kind == "heard":
            heard_until = max(heard_until, now)
        elif kind == "broken":
            if now >= 0:  # frames before the first one refer to frames that are not stored
                broken_from, broken_until = min(broken_from, now), max(broken_until, now)
        else:
            # Decoders read ahead, so that a broken frame may be reported long before its time.
            if kind == "key" and broken_until < now:
                if broken_from < now:
                    spans.append((broken_from, now))
                broken_from, broken_until = math.inf, -math.inf
                if now > until_seconds:
                    return tuple(spans)
            shown_until = max(shown_until, now + max(duration, frame_seconds))
            yield max(now, 0.0)
    end = film.duration_seconds
    if broken_from < end:
        spans.append((broken_from, end))
    elif end - max(shown_until, heard_until) > MAX_MISSING_END_SECONDS:
        spans.append((shown_until, end))
    return tuple(spans)


Kind = Literal["key", "whole", "broken", "heard"]


def _decoded(film: Film, since: float | None = None) -> Iterator[tuple[Kind, float | None, float]]:
    """Yield a film's frames, including broken ones, and its sound packets, not decoded.

    A packet that yields no frame is broken, whether or not the decoder reports it. With frame
    threading, decoders report it some packets later, and lose their pending frames at the film's
    end. So it is off for the end, and for containers whose packets have no times.

    Args:
        since: container time from which to decode a film's end; None for all of the film.

    Yields:
        The kind, the container time in seconds, or None if unknown, and the duration, or 0 if
        unknown.
    """
    tells_times = film.container not in UNTIMED
    near = NEAR_FRAMES / float(film.frame_rate)  # rounding, and the second field of a frame
    expected: list[float] = []
    is_suspect = False
    with opened(film) as container:
        stream = container.streams[film.stream_index]
        stream.thread_type = "AUTO" if tells_times and since is None else "SLICE"
        if since is not None:
            container.seek(math.floor(since / film.time_base), stream=stream)  # or to before it
        packets = container.demux(stream, *container.streams.audio)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # the packets that follow cannot be found
                return
            if packet is None:
                break
            seconds = None if packet.pts is None else float(packet.pts * packet.time_base)
            if packet.stream_index != film.stream_index:
                yield "heard", seconds, 0.0
                continue
            if packet.size and not packet.is_discard:
                # Data lost after a corrupt packet may include the start of the next one.
                if packet.is_corrupt or is_suspect:
                    yield "broken", seconds, 0.0
                is_suspect = packet.is_corrupt
                if tells_times and seconds is not None and _is_shown(packet, film.codec):
                    expected.append(seconds)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                frames = []
                if not tells_times or seconds is None:
                    yield "broken", seconds, 0.0
            for frame in frames:
                if frame.time is not None:
                    for missed in (time for time in expected if time < frame.time - near):
                        yield "broken", missed, 0.0
                    expected = [time for time in expected if time > frame.time + near]
                kind: Kind = "key" if frame.key_frame else "whole"
                shown = float((frame.duration or 0) * film.time_base)
                yield "broken" if frame.is_corrupt else kind, frame.time, shown
    if expected and since is None:
        end = min(expected)
        of_end = _decoded(film, end)
        yield from (it for it in of_end if it[1] is not None and it[1] > end - near)
    else:
        yield from (("broken", missed, 0.0) for missed in expected)


def check_clock(film: Film) -> None:
    """Refuse a file of MPEG streams, joined from several, whose clock jumps.

    When ffmpeg reads all of it, it removes the jump; but seeking by time fails.

    Raises:
        VideoError: the clock jumps.
    """
    if film.container in MPEG_STREAMS and _clock_jumps(film):
        raise VideoError(
            f"{film.path} is joined from recordings whose clocks differ, so no part of it can be"
            " found by its time; convert it without loss, with `ffmpeg -i FILM -c:v ffv1 -c:a flac"
            " ONE.mkv`, and use that"
        )


@lru_cache(maxsize=4)
def _clock_jumps(film: Film) -> bool:
    """Whether the times of a film's packets jump for good; brief jumps are damaged times.

    The whole file is read, once, without decoding.
    """
    before: float | None = None  # time of the previous packet
    jumped: float | None = None  # time of the last packet before a jump
    since = 0
    # Read errors are reported where the film is decoded.
    with opened(film) as container, suppress(av.FFmpegError, IndexError):
        for packet in container.demux(container.streams[film.stream_index]):
            if packet.dts is None:
                continue
            now = float(packet.dts * film.time_base)
            if jumped is not None and _goes_on(jumped, now):
                jumped = None
            elif before is not None and not _goes_on(before, now):
                jumped, since = before if jumped is None else jumped, 0
            since += 1
            if jumped is not None and since > PACKETS_OF_JUMP:
                return True
            before = now
    return False


def _goes_on(before: float, now: float) -> bool:
    return -CLOCK_JITTER_SECONDS < now - before < MAX_CLOCK_STEP


def with_damaged_sound(film: Film) -> Film:
    """Return the film with its damaged sounds, which cannot be copied, marked.

    Where a recording lost a packet, an AAC frame lacks a part, or its header (ADTS; ISO/IEC
    13818-7, 6.2), and ffmpeg stops copying there. The whole file is read.

    Raises:
        VideoError: the film can no longer be read.
    """
    adts = [s.index for s in film.sounds if s.codec == "aac" and film.container in MPEG_STREAMS]
    if not adts:
        return film
    damaged, suspect = set[int](), set[int]()
    # Read errors are reported where the film is decoded.
    with opened(film) as container, suppress(av.FFmpegError, IndexError):
        for packet in container.demux([container.streams[index] for index in adts]):
            if packet.size and packet.stream_index in suspect:
                damaged.add(packet.stream_index)  # a truncated last frame can be copied
            elif packet.size and not _is_adts_frame(bytes(packet)):
                suspect.add(packet.stream_index)
    sounds = (replace(s, is_damaged=True) if s.index in damaged else s for s in film.sounds)
    return replace(film, sounds=tuple(sounds))


def _is_adts_frame(data: bytes) -> bool:
    """Whether this is an ADTS frame of the length given in its header."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return False
    return (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5 == len(data)


@lru_cache(maxsize=2)
def uneven_pts(film: Film) -> tuple[int, ...] | None:
    """Return the pts of a film's frames, in units of its time base, from its packets.

    None if the frames are evenly spaced, apart from the container's rounding, or their pts are
    missing or not distinct. The whole file is read; the result is cached for later callers.

    Raises:
        VideoError: the film can no longer be read.
    """
    if film.first_number is not None:
        return None
    with opened(film) as container:
        packets = container.demux(container.streams[film.stream_index])
        pts: list[Any] = []
        with suppress(av.FFmpegError):  # nothing can be read after this damage
            pts.extend(packet.pts for packet in packets if _is_shown(packet, film.codec))
    if not pts or None in pts:
        return None
    pts.sort()
    rounding = max(float(film.time_base) / 2, CONTAINER_ROUNDING_SECONDS) * film.frame_rate
    step = float(film.time_base * film.frame_rate)
    places = (np.array(pts) - pts[0]) * step
    drift = np.abs(places - np.arange(len(pts)))
    if drift.max() <= rounding or np.diff(pts).min() <= 0:
        return None
    return tuple(pts)


def own_rate(film: Film) -> Fraction:
    """Return how many frames a second a film stores.

    If the container states only its time resolution, this is the mean rate of the frames, but at
    least 24: some frames may be held for long, and a single one for any time.

    Raises:
        VideoError: the film can no longer be read.
    """
    if film.credible_rate == film.frame_rate:
        return film.frame_rate
    pts = uneven_pts(film)
    if pts is None:
        is_lone = film.first_number is None and count_pictures(film.path) == 1
        return film.credible_rate if is_lone else film.frame_rate
    seconds = (pts[-1] - pts[0]) * film.time_base
    return max(((len(pts) - 1) / seconds).limit_denominator(1000), film.credible_rate)


def _is_shown(packet: Any, codec: str) -> bool:
    """Whether a packet holds a picture to show.

    Some VP8 frames serve only as references (RFC 6386, section 9.1: the fifth bit is 0).
    """
    if not packet.size:
        return False
    return codec != "vp8" or bool(memoryview(packet)[0] & 0x10)

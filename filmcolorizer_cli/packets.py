"""What the packets of a film tell: when its frames are shown, and where it is damaged."""

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

NEAR_FRAMES = 0.6  # by which the times of a packet and of its frame may differ
MAX_MISSING_END_SECONDS = 0.5  # by which containers may be wrong
# What ffmpeg takes for a jump of the clock: by its dts_delta_threshold onwards, by this backwards.
MAX_CLOCK_STEP, CLOCK_JITTER_SECONDS = 10.0, 0.1
PACKETS_OF_JUMP = 10  # after which it is no damaged time, but another recording


def find_damage(film: Film, until_seconds: float = math.inf) -> Generator[float, None, Spans]:
    """Find what of a film cannot be decoded, in seconds from its first frame.

    It begins with a frame that is broken, and ends with the next key frame: what is decoded between
    is made from what is broken. Where no frame is stored, one is held, as a title card is; but
    where both pictures and sound end long before the film is said to, the rest was cut off.

    Args:
        until_seconds: how far to look, and on to the next key frame.

    Yields:
        How far it has come, in seconds, after each frame.

    Raises:
        VideoError: the film cannot be read any more.
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
            if now >= 0:  # what comes before the first frame is made from what is not there
                broken_from, broken_until = min(broken_from, now), max(broken_until, now)
        else:
            # Decoders look ahead, so that what is broken may be known long before.
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
    """What comes of a film's packets: frames, broken ones among them, and sound, not decoded.

    A packet of which no frame came is broken, whether the decoder says so or not. Several threads
    say so only some packets later, and at the film's end lose what they have of it; one alone is
    asked there, and where times do not tell.

    Args:
        since: what is wanted of a film's end, from this time of the container on.

    Yields:
        What it is, when in the container's time, if that is told, and for how long; 0 where that is
        not told.
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
            except av.FFmpegError:  # what follows cannot even be found
                return
            if packet is None:
                break
            seconds = None if packet.pts is None else float(packet.pts * packet.time_base)
            if packet.stream_index != film.stream_index:
                yield "heard", seconds, 0.0
                continue
            if packet.size and not packet.is_discard:
                # What is missing after a packet may be the begin of the next one.
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
    """Refuse a file of MPEG streams, joined of several, whose clock jumps.

    Read as a whole, ffmpeg takes the jump out; but nothing can be found in it by its time.

    Raises:
        VideoError: the clock jumps.
    """
    if film.container in MPEG_STREAMS and _clock_jumps(film):
        raise VideoError(
            f"{film.path} is joined of recordings whose clocks differ, so that no part of it can be"
            " found by its time; make one of it without loss, with `ffmpeg -i FILM -c:v ffv1 -c:a"
            " flac ONE.mkv`, and take that"
        )


@lru_cache(maxsize=4)
def _clock_jumps(film: Film) -> bool:
    """Whether the times of a film's packets jump, and stay there; what does not is damaged.

    All of the file is read, once, and nothing of it decoded.
    """
    before: float | None = None  # the packet before
    jumped: float | None = None  # the last one of before a jump
    since = 0
    # What cannot be read is told where it is decoded.
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
    """The film, with those of its sounds marked that cannot be copied.

    Of a recording that lost a packet, a frame of AAC lacks a part, or its header (ADTS; ISO/IEC
    13818-7, 6.2), at which ffmpeg gives up copying. All of the file is read.

    Raises:
        VideoError: the film cannot be read any more.
    """
    adts = [s.index for s in film.sounds if s.codec == "aac" and film.container in MPEG_STREAMS]
    if not adts:
        return film
    damaged, suspect = set[int](), set[int]()
    # What cannot be read is told where it is decoded.
    with opened(film) as container, suppress(av.FFmpegError, IndexError):
        for packet in container.demux([container.streams[index] for index in adts]):
            if packet.size and packet.stream_index in suspect:
                damaged.add(packet.stream_index)  # a last frame that is cut off can be copied
            elif packet.size and not _is_adts_frame(bytes(packet)):
                suspect.add(packet.stream_index)
    sounds = (replace(s, is_damaged=True) if s.index in damaged else s for s in film.sounds)
    return replace(film, sounds=tuple(sounds))


def _is_adts_frame(data: bytes) -> bool:
    """Whether this is a frame that is as long as its header says."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return False
    return (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5 == len(data)


@lru_cache(maxsize=2)
def uneven_pts(film: Film) -> tuple[int, ...] | None:
    """The times of a film's frames, in units of its time base, as its packets tell them.

    None for a film whose frames are evenly spaced, but for the rounding of its container, or that
    does not tell. All of the file is read, once: what follows asks for it again.

    Raises:
        VideoError: the film cannot be read any more.
    """
    if film.first_number is not None:
        return None
    with opened(film) as container:
        packets = container.demux(container.streams[film.stream_index])
        pts: list[Any] = []
        with suppress(av.FFmpegError):  # damaged: what follows cannot be told
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
    """How many frames of a film are stored for each second.

    Where its container only tells how finely it counts time, this is their mean, but no less than
    24: some may be held for long, and one alone for as long as it likes.

    Raises:
        VideoError: the film cannot be read any more.
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

    Some of VP8 are only there for others to refer to (RFC 6386, section 9.1: the fifth bit).
    """
    if not packet.size:
        return False
    return codec != "vp8" or bool(memoryview(packet)[0] & 0x10)

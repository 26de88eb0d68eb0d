"""Cutting the subtitles of a part of a film, packet by packet.

When ffmpeg is asked for a part, it drops subtitles that begin before the part, or shows them and
all later ones late. It may also include subtitles from after the part's end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import av

from filmcolorizer_cli.encoding import cannot_write_film
from filmcolorizer_cli.ffmpeg import local_file, open_input
from filmcolorizer_cli.video import Film, Subtitle, open_file, opened

MAX_SUBTITLE_SECONDS = 60.0  # how long before a part a subtitle shown at its start may begin
STRAY_SECONDS = 10.0  # how far apart in a file packets for the same time may lie
_MP4_TEXT = frozenset({"mov_text"})
_MP4_GAP = b"\0\0"  # start of an empty text, with which mp4 fills the gaps between subtitles
_MATROSKA_SUBTITLES = frozenset(
    {"ass", "dvb_subtitle", "dvd_subtitle", "hdmv_pgs_subtitle", "subrip", "webvtt"}
)


def cut_subtitles(
    source: Film,
    subtitles: Sequence[tuple[Subtitle, Any]],
    part: tuple[float, float | None],
    target: Path,
) -> list[tuple[Subtitle, Any]]:
    """Cut the subtitles of a part of a film, with times that count from the part's start.

    Args:
        subtitles: tracks with their ffmpeg-python streams; kinds that cannot be cut keep theirs.
        target: the file for the cut subtitles; it is written only if there are any.

    Returns:
        The tracks with subtitles in the part, each with its ffmpeg-python stream.

    Raises:
        VideoError: the film cannot be read any more, or the target cannot be written.
    """
    begin, duration = part
    end = math.inf if duration is None else begin + duration
    is_text_of_mp4 = any(subtitle.codec in _MP4_TEXT for subtitle, _ in subtitles)
    muxer, held = ("mp4", _MP4_TEXT) if is_text_of_mp4 else ("matroska", _MATROSKA_SUBTITLES)
    indices = [subtitle.index for subtitle, _ in subtitles if subtitle.codec in held]
    if not indices:
        return list(subtitles)
    with opened(source) as film:
        origin = (film.start_time or 0) / av.time_base
        between = origin + begin, origin + end
        packets = _shown_between(
            _packets_around(film, source.stream_index, indices, *between), *between
        )
        shown = [index for index in indices if any(p.stream.index == index for p in packets)]
        if shown:
            _write_packets(packets, [film.streams[index] for index in shown], target, muxer)
    cut = _open_cut(target) if shown else {}
    numbers = {index: str(number) for number, index in enumerate(shown)}
    return [
        (subtitle, cut[numbers[subtitle.index]] if subtitle.codec in held else plain)
        for subtitle, plain in subtitles
        if subtitle.codec not in held or subtitle.index in numbers
    ]


def _packets_around(
    film: Any, pictures: int, subtitles: Sequence[int], begin: float, end: float
) -> Iterator[Any]:
    """Yield the packets of these subtitle streams, from before a part of a film until after it.

    Reading stops at a packet of the pictures; with sparse subtitle tracks alone, all of a long film
    would be read.
    """
    with suppress(av.FFmpegError):  # a film that cannot be sought is read from its beginning
        film.seek(round(max(begin - MAX_SUBTITLE_SECONDS, 0) * av.time_base))
    for packet in film.demux([film.streams[index] for index in (pictures, *subtitles)]):
        if packet.stream.index != pictures:
            yield packet
        elif packet.dts is not None and float(packet.dts * packet.time_base) > end + STRAY_SECONDS:
            return


def _open_cut(path: Path) -> Any:
    """Return an ffmpeg-python input of a file that keeps the file's times."""
    with open_file(path) as container:
        late = (container.start_time or 0) / av.time_base  # ffmpeg would subtract this
    return open_input(path, itsoffset=f"{late:.6f}")


def _shown_between(packets: Iterable[Any], begin: float, end: float) -> list[Any]:
    """Return the packets of subtitles shown between two times, with pts counted from the first.

    Packets of text have a duration. Pictures often stay until the next packet of their stream,
    which may be empty.
    """
    shown, begun = [], {}
    for packet in packets:
        if packet.pts is None or bytes(packet)[:2] == _MP4_GAP:
            continue
        unit = packet.time_base
        first = float(packet.pts * unit)
        last = first + float((packet.duration or 0) * unit)
        is_open = not packet.duration
        if is_open and first <= begin:
            begun[packet.stream] = packet
        elif first < end and last > begin:
            shown_from = max(first, begin)
            packet.pts = packet.dts = round((shown_from - begin) / unit)
            packet.duration = 0 if is_open else round((min(last, end) - shown_from) / unit)
            shown.append(packet)
    for packet in begun.values():
        packet.pts = packet.dts = 0
    return [*begun.values(), *shown]


def _write_packets(
    packets: Sequence[Any], streams: Sequence[Any], target: Path, muxer: str
) -> None:
    """Write packets of some streams of a film to a file.

    Raises:
        VideoError: the target cannot be written.
    """
    try:
        with av.open(local_file(target), "w", format=muxer) as container:
            written = {}
            for stream in streams:
                written[stream] = container.add_stream_from_template(stream)
                written[stream].metadata.update(stream.metadata)
            for packet in packets:
                unit = packet.time_base
                packet.stream = written[packet.stream]
                packet.time_base = unit
                container.mux(packet)
    except (av.FFmpegError, OSError) as problem:
        raise cannot_write_film(target, str(problem)) from None

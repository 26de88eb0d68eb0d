"""Joining encoded segments into one film, with the sound and other streams of its source."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg

from filmcolorizer_cli.containers import (
    CONTAINERS,
    COVER_FILES,
    MOVIE_TIMESCALE,
    QUICKTIME_LANGUAGES,
    Container,
    is_pcm,
)
from filmcolorizer_cli.encoding import cannot_write_film
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.ffmpeg import Process, local_file, open_input
from filmcolorizer_cli.files import cannot_write, check_folder, followed, put_in_place
from filmcolorizer_cli.subtitles import cut_subtitles
from filmcolorizer_cli.timeline import Timeline
from filmcolorizer_cli.video import (
    MPEG_STREAMS,
    Attachment,
    Film,
    Sound,
    Subtitle,
    count_pictures,
    open_file,
    opened,
)

SOUND_BITRATE_KBPS = 96  # per channel of sound that has to be re-encoded to AAC
# Metadata that describes the file, not the film.
_OF_THE_FILE = frozenset(
    {"compatible_brands", "encoder", "major_brand", "minor_version", "timecode"}
)
# Codecs that are joined in Matroska if the target is Matroska, which keeps chapters of any kind.
# Other codecs would lose something on the way.
_THROUGH_MATROSKA = frozenset({"h264", "hevc"})
_CODECS_WITH_SHAPES = frozenset({"h264", "hevc"})  # they store the sample aspect ratio
_PLAIN_NAME = re.compile(r"\w[\w .()-]{,80}")


def join_film(
    parts: Sequence[Path],
    target: Path,
    source: Film,
    timeline: Timeline,
    *,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    was_free: bool,
) -> None:
    """Join files of a `PictureWriter` into one film, without re-encoding.

    The source's sound, subtitles, chapters, attachments and metadata are added, as far as the
    container holds them.

    Args:
        parts: files in order, with the same encoding. The film is built beside the first, so that
            after a crash only the owner of the parts has to clean up.
        timeline: the times of all their pictures.
        target: the film, which appears once it is complete; its ending is a key of ``CONTAINERS``.
        source: the film whose sound and other streams are added.
        start_seconds, duration_seconds: the part of the source that the pictures show.
        was_free: whether there was no target when the rendering of the pictures began.

    Raises:
        FilmColorizerError: the target cannot be written, or was created by something else.
        VideoError: ffmpeg cannot write the film; the message contains the end of its output.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """
    check_folder(followed(target).parent)
    container = CONTAINERS[target.suffix.lower()]
    folder = parts[0].with_name("joined")
    joined, whole = (folder / f"{name}{parts[0].suffix}" for name in ("joined", "whole"))
    try:
        shutil.rmtree(folder, ignore_errors=True)  # left by a program that was killed
        folder.mkdir()
        if container.muxer == "matroska" and _codec_of(parts[0]) in _THROUGH_MATROSKA:
            joined = joined.with_suffix(".mkv")
        part = _part(source, start_seconds, duration_seconds)
        metadata, chapters = _metadata_and_chapters(source, part)
        if joined.suffix != ".mkv":
            _entitle(chapters)
        rate = timeline.frame_rate if timeline.is_steady else None
        if source.time_code and keeps_time_code(source, rate, start_seconds):
            metadata["timecode"] = source.time_code
        lead = _join_pictures(parts, joined, timeline, metadata, chapters)
        delay = 0.0 if start_seconds else source.start_seconds
        pictures = open_input(joined, itsoffset=f"{delay:.6f}")
        tracks, track_options = _tracks(source, container, part, folder / "subtitles")
        attached, attached_options = _attached(source, container, folder / "attached")
        options = _output_options(joined, source, container, metadata)
        options["bsf:v:0"] = _held_to_the_end(timeline, delay, lead)
        output = ffmpeg.output(
            pictures["v"],
            *tracks,
            *attached,
            filename=local_file(whole),
            **{**options, **track_options, **attached_options},
        ).overwrite_output()
        with Process(output) as process:
            if not process.wait():
                process.check_itself(f"writing {target}")
                raise cannot_write_film(target, process.last_words())
        if (found := count_pictures(whole)) != (wanted := len(timeline.pts)):
            raise VideoError(
                f"{target} came out with {found} of {wanted} pictures; report this bug, with the"
                " source"
            )
        put_in_place(whole, target, was_free=was_free)
    except OSError as problem:
        raise cannot_write(target, problem) from None
    except av.FFmpegError as problem:
        raise cannot_write_film(target, str(problem)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def are_coded_alike(one: Path, other: Path) -> bool:
    """Whether the pictures of two files of a `PictureWriter` can be decoded as one stream."""
    headers = []
    for path in (one, other):
        with open_file(path) as container:
            context = container.streams.video[0].codec_context
            headers.append((context.name, context.extradata))
    return headers[0] == headers[1]


def keeps_time_code(source: Film, frame_rate: Fraction | None, start_seconds: float) -> bool:
    """Whether a film's time code still counts the frames that are written."""
    return frame_rate == source.frame_rate and not start_seconds


def _join_pictures(
    parts: Sequence[Path],
    target: Path,
    timeline: Timeline,
    metadata: dict[str, str],
    chapters: list[Any],
) -> float:
    """Write all packets to one file, each with the pts that the timeline has for its picture.

    Returns:
        The time in seconds from decoding the first picture to showing it.
    """
    orders = [_display_order(part) for part in parts]
    # How many places a picture is coded behind its place in display order, at most: encoders code
    # it after the later pictures that it is predicted from.
    delay = max(max(coded - shown for coded, shown in enumerate(order)) for order in orders)
    lead = timeline.pts_of(0) - timeline.pts_of(-delay)
    count = sum(map(len, orders))
    muxer = CONTAINERS[target.suffix].muxer
    # Metadata that mp4 has no field for goes into tags of their own, which ffmpeg reads back.
    options = {}
    if muxer != "matroska":
        options = {"movflags": "use_metadata_tags", "movie_timescale": MOVIE_TIMESCALE}
    with av.open(local_file(target), "w", format=muxer, container_options=options) as container:
        container.metadata.update(metadata)
        container.set_chapters(chapters)
        stream = None
        first = 0
        for part, order in zip(parts, orders, strict=True):
            with open_file(part) as source:
                if stream is None:
                    stream = container.add_stream_from_template(
                        source.streams.video[0], opaque=True
                    )
                    stream.time_base = timeline.time_base
                packets = (packet for packet in source.demux(video=0) if packet.size)
                for coded, (packet, shown) in enumerate(zip(packets, order, strict=True)):
                    number = first + shown
                    packet.stream = stream
                    packet.time_base = timeline.time_base
                    packet.pts = timeline.pts_of(number)
                    packet.dts = timeline.pts_of(first + coded - delay)
                    if first + coded == count - 1:  # mp4 takes a film's duration from it
                        packet.dts = max(packet.dts, packet.pts - lead)
                    packet.duration = timeline.pts_of(number + 1) - packet.pts
                    container.mux(packet)
            first += len(order)
    return float(lead * timeline.time_base)


def _held_to_the_end(timeline: Timeline, delay_seconds: float, lead_seconds: float) -> str:
    """Return ffmpeg's bitstream filter that shows the last picture until the timeline ends.

    The joined file loses this duration if the last picture shown is not the last in the file, whose
    duration counts in mp4, or if the codec stores no frame rate.

    Args:
        delay_seconds: how much later than on the timeline all pictures are shown.
        lead_seconds: return value of `_join_pictures`.
    """
    count = len(timeline.pts)
    last, end = timeline.seconds(count - 1), timeline.seconds(count)
    before = timeline.seconds(count - 2) if count > 1 else last - 1
    is_shown_last = f"gte(PTS*TB,{delay_seconds + (before + last) / 2:.6f})"
    end_of_film = f"round({delay_seconds + end:.6f}/TB)"
    of_last_in_file = f"{end_of_film}-max(PTS,DTS+round({lead_seconds:.6f}/TB))"
    duration = f"if(eq(N,{count - 1}),{of_last_in_file},DURATION)"
    duration = f"if({is_shown_last},{end_of_film}-PTS,{duration})"
    return f"setts=pts=PTS:dts=DTS:duration='{duration}'"


def _codec_of(part: Path) -> str:
    with open_file(part) as container:
        return str(container.streams.video[0].codec_context.name)


def _output_options(
    joined: Path, source: Film, container: Container, metadata: dict[str, str]
) -> dict[str, str]:
    """Return the ffmpeg options for the film as a whole and for its pictures.

    Args:
        metadata: the film's metadata; ffmpeg copies all of it by itself, except the creation time.
    """
    options = {"format": container.muxer, "c:v": "copy", **container.options}
    options |= _picture_options(joined, source, container)
    if source.title:
        options["metadata:s:v:0"] = f"title={source.title}"
    if source.language:
        # The same track by its number among all tracks: ffmpeg-python takes each option only once.
        options["metadata:s:0"] = f"language={_language_code(source.language, container.muxer)}"
    if created := metadata.get("creation_time"):
        options["metadata"] = f"creation_time={created}"
    return options


def _picture_options(joined: Path, source: Film, container: Container) -> dict[str, str]:
    """Return the options for properties that the container has to store, as the codec does not."""
    with open_file(joined) as encoded:
        context = encoded.streams.video[0].codec_context
        shape = source.sample_aspect_ratio * Fraction(context.width, context.height)
        is_told = context.name in _CODECS_WITH_SHAPES or source.sample_aspect_ratio == 1
        options = {} if is_told else {"aspect:v:0": _ratio(shape)}
        if context.name == "hevc" and container.muxer in ("mp4", "mov"):
            options["tag:v:0"] = "hvc1"  # Apple's players refuse other tags
        return options


def _ratio(ratio: Fraction) -> str:
    return f"{ratio.numerator}:{ratio.denominator}"


def _display_order(part: Path) -> list[int]:
    """Return for each packet of a file the number of its picture in display order."""
    with open_file(part) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    order = [0] * len(times)
    for shown, coded in enumerate(sorted(range(len(times)), key=times.__getitem__)):
        order[coded] = shown
    return order


def _part(
    source: Film, start_seconds: float, duration_seconds: float | None
) -> tuple[float, float | None]:
    """Return where a part begins, in the container's time, and its length, both in seconds."""
    begin = source.start_seconds + start_seconds if start_seconds else 0.0
    if duration_seconds is None:
        return begin, None
    late = 0.0 if start_seconds else source.start_seconds
    return begin, late + duration_seconds


def _metadata_and_chapters(
    source: Film, part: tuple[float, float | None]
) -> tuple[dict[str, str], list[Any]]:
    """Return the container's metadata, and the chapters that overlap with a part of it."""
    if source.first_number is not None:
        return {}, []
    begin, duration = part
    end = math.inf if duration is None else begin + duration
    with opened(source) as container:
        metadata = {k: v for k, v in container.metadata.items() if k.lower() not in _OF_THE_FILE}
        origin = (container.start_time or 0) / av.time_base
        chapters = []
        for chapter in container.chapters():
            unit = chapter["time_base"]
            times = (float(chapter[side] * unit) - origin for side in ("start", "end"))
            first, last = (min(max(time, begin), end) - begin for time in times)
            if last > first:
                first, last = round(first / unit), round(last / unit)
                chapters.append({**chapter, "start": first, "end": last})
    return metadata, chapters


def _entitle(chapters: list[Any]) -> None:
    """Give chapters without titles a numbered title; mp4 and mov would lose them otherwise."""
    for number, chapter in enumerate(chapters, 1):
        chapter["metadata"] = {"title": f"Chapter {number}", **chapter["metadata"]}


def _tracks(
    source: Film, container: Container, part: tuple[float, float | None], subtitles_file: Path
) -> tuple[list[Any], dict[str, str]]:
    """Return the source's sound and subtitle streams, and the options to copy or re-encode each.

    Args:
        subtitles_file: the file for cut subtitles, if the part is not the whole film.
    """
    encoders = {sound: container.sound_encoder(sound) for sound in source.sounds}
    sounds = [sound for sound, encoder in encoders.items() if encoder]
    subtitles = [subtitle for subtitle in source.subtitles if container.subtitle_encoder(subtitle)]
    if not sounds and not subtitles:
        return [], {}
    begin, duration = part
    options: dict[str, str] = {}
    if begin:
        options["ss"] = f"{begin:.6f}"
    if source.container in MPEG_STREAMS and sounds:
        first = min(sound.start_seconds for sound in sounds)
        options["itsoffset"] = f"{max(first - begin, 0.0):.6f}"
    if duration is not None:
        options["t"] = f"{duration:.6f}"
    # Matroska has no edit lists: packets copied from before the start would precede the pictures.
    before = {"copypriorss": "0"} if begin and container.muxer == "matroska" else {}
    stream = open_input(source.path, **options)
    said = [(subtitle, stream[str(subtitle.index)]) for subtitle in subtitles]
    if begin or duration is not None:
        said = cut_subtitles(source, said, part, subtitles_file)
    subtitles = [subtitle for subtitle, _ in said]
    codecs = {
        **before,
        **_track_options("a", sounds, 1, container.muxer),
        **_track_options("s", subtitles, 1 + len(sounds), container.muxer),
    }
    for number, sound in enumerate(sounds):
        encoder = str(encoders[sound])
        if sound.is_damaged:  # what is lost stays a gap, filled with silence
            codecs[f"filter:a:{number}"] = "aresample=async=1"
        if container.muxer == "mov" and is_pcm(sound.codec) and "mov" not in source.container:
            # QuickTime cannot hold a gap in PCM: sound after one would come too early.
            codecs[f"filter:a:{number}"] = "aresample=async=1"
            encoder = sound.codec if encoder == "copy" else encoder
        codecs[f"c:a:{number}"] = encoder
        if encoder == "aac":
            codecs[f"b:a:{number}"] = f"{SOUND_BITRATE_KBPS * max(sound.channels, 1)}k"
            if sound.channels == 1:  # some decoders do not report mono as the layout
                codecs[f"ac:a:{number}"] = "1"
    for number, subtitle in enumerate(subtitles):
        codecs[f"c:s:{number}"] = str(container.subtitle_encoder(subtitle))
    heard = [stream[str(sound.index)] for sound in sounds]
    return [*heard, *(track for _, track in said)], codecs


def _track_options(
    kind: str, tracks: Sequence[Sound | Subtitle], first: int, muxer: str
) -> dict[str, str]:
    """Return options for titles, dispositions, and languages with another code in the container.

    By default, ffmpeg marks one of several tracks as default.

    Args:
        first: number of the first of these tracks among all tracks of the film.
    """
    marks = {}
    for number, track in enumerate(tracks):
        marks[f"disposition:{kind}:{number}"] = "+".join(track.dispositions) or "0"
        if track.title:
            marks[f"metadata:s:{kind}:{number}"] = f"title={track.title}"
        if track.language and (code := _language_code(track.language, muxer)) != track.language:
            marks[f"metadata:s:{first + number}"] = f"language={code}"
    return marks


def _language_code(language: str, muxer: str) -> str:
    """Return the code that ffmpeg needs to write a language into this kind of container."""
    return QUICKTIME_LANGUAGES.get(language, language) if muxer == "mov" else language


def _attached(source: Film, container: Container, folder: Path) -> tuple[list[Any], dict[str, Any]]:
    """Return the source's streams of covers and other attached files, and their options.

    Args:
        folder: created for covers of Matroska, which ffmpeg takes only from files.
    """
    attachments = [a for a in source.attachments if container.attaches(a)]
    if not attachments:
        return [], {}
    stream = open_input(source.path)
    covers = [attachment for attachment in attachments if attachment.codec]
    if container.muxer != "matroska":
        return [stream[str(cover.index)] for cover in covers], {}
    files = [attachment for attachment in attachments if not attachment.codec]
    options: dict[str, Any] = {"c:t": "copy"} if files else {}
    contents = [(cover, content) for cover in covers if (content := _content_of(source, cover))]
    for number, (cover, content) in enumerate(contents, len(files)):
        name, mime_type = COVER_FILES.get(str(cover.codec), (f"cover.{cover.codec}", None))
        if cover.name and _PLAIN_NAME.fullmatch(cover.name):
            name = cover.name
        path = folder / str(number) / name  # ffmpeg stores the file name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        options[f"attach:{number}"] = local_file(path)
        options[f"metadata:s:t:{number}"] = f"mimetype={cover.mime_type or mime_type}"
    return [stream[str(file.index)] for file in files], options


def _content_of(source: Film, cover: Attachment) -> bytes:
    """Return the bytes of a cover's picture; empty if the film file is truncated before it."""
    with opened(source) as container:
        packets = container.demux(container.streams[cover.index])
        return bytes(next((packet for packet in packets if packet.size), b""))

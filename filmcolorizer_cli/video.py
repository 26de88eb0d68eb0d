"""Probing of film files: their pictures, the coding of these, and their other streams."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
from av.codec.context import Flags

from filmcolorizer_cli.errors import VideoError, reason_of
from filmcolorizer_cli.ffmpeg import ONLY_THE_FILE, local_file, local_sequence, sequence_options
from filmcolorizer_cli.planes import CODE_DEPTHS, Coding

TIMELINE_FRAME_RATE = Fraction(24)  # frames a second of films written and of stills taken
MAX_FRAME_RATE = 60  # a higher rate from a container is its time resolution, not a frame rate
RGB_MATRIX = "bt709"  # matrix by which ffmpeg converts R'G'B' films to Y'CbCr
SD_HEIGHT = 576  # untagged pictures up to this height count as BT.601, as in players
SEQUENCE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
UNKNOWN_CODEC = "unknown"
# ffmpeg's names of formats without a container, which can only be read from their start.
BARE_STREAMS = frozenset({"h261", "h263", "h264", "hevc", "mpegvideo", "obu", "vc1", "vvc"})
# Formats whose packets do not have the times at which their pictures are shown.
UNTIMED = BARE_STREAMS | {"avi"}
CONTAINER_ROUNDING_SECONDS = 0.0011  # rounding of frame intervals; Matroska counts milliseconds
# ITU-T H.273 MatrixCoefficients of each matrix; the first one is written.
MATRIX_TAGS = {"bt709": (1,), "bt601": (6, 4, 5), "bt2020": (9, 10)}
_MATRIX_BY_TAG = {tag: matrix for matrix, tags in MATRIX_TAGS.items() for tag in tags}
_UNSPECIFIED = 2  # value of matrix, primaries and transfer in ITU-T H.273
_FULL_RANGE_TAG = 2  # libav's AVCOL_RANGE_JPEG
# Codecs whose luma is limited unless tagged otherwise; untagged grey pictures of other codecs have
# full range, as still pictures do.
_LIMITED_UNLESS_TOLD = frozenset({"h264", "hevc", "libdav1d", "av1", "vp9"})
# ffmpeg's names of containers whose time may jump: ffmpeg counts time from the start of the first
# stream that it reads, not from the container's start, unless it seeks beyond that.
MPEG_STREAMS = frozenset({"mpeg", "mpegts"})
# Which field of a frame comes first: as measured, or, for "flagged", as flagged in each frame.
FieldOrder = Literal["progressive", "top", "bottom", "flagged"]
# ffmpeg's names of field orders
FIELDS: dict[FieldOrder, str] = {"top": "tff", "bottom": "bff"}


@dataclass(frozen=True)
class Sound:
    """One sound track of a film.

    Attributes:
        start_seconds: when the track starts, from the container's start.
        dispositions: ffmpeg's names of its flags, such as ``default`` or ``comment``.
        is_damaged: whether it is known that ffmpeg cannot copy it; see `with_damaged_sound`.
    """

    index: int
    codec: str
    channels: int
    sample_rate: int
    language: str | None
    start_seconds: float
    title: str | None = None
    dispositions: tuple[str, ...] = ()
    is_damaged: bool = False


@dataclass(frozen=True)
class Subtitle:
    """One subtitle track of a film; ``dispositions`` as in `Sound`."""

    index: int
    codec: str
    language: str | None
    title: str | None = None
    dispositions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attachment:
    """A cover, font or other file attached to a film.

    Attributes:
        codec: codec of a cover's picture; None for other files.
        name, mime_type: the file's name and type, where the container has them.
    """

    index: int
    codec: str | None
    name: str | None
    mime_type: str | None


@dataclass(frozen=True)
class Film:
    """The properties of a film file, as its container states them.

    Attributes:
        width, height: size of the upright picture, in pixels; readers yield it by default.
        rotation: degrees by which the stored picture is rotated for display; ``width`` and
            ``height`` are those after rotation.
        frame_rate: frames a second, exact.
        start_seconds: when the first frame is shown, from the container's start.
        stored_from_seconds: when the stored pictures begin, from the container's start. That may be
            before ``start_seconds``: a recording that begins within a group of pictures cannot be
            decoded before the next one.
        first_pts: stored pts of the first frame, in units of ``time_base``.
        duration_seconds: duration of the pictures.
        coding: coding of the pictures; for RGB pictures, the coding to which they are converted.
        is_matrix_tagged: whether ``coding.matrix`` is tagged, rather than guessed from the height.
        sounds, subtitles: the tracks, in order.
        chapters: number of chapters.
        attachments: covers and other files, in order.
        time_code: time code of the first frame, as hours:minutes:seconds:frames.
        language, title: of the picture track.
        other_picture_codecs: codecs of further picture streams, which are not used.
        first_number: number of the first file if the film is a sequence of numbered pictures, with
            ``path`` as its printf pattern; otherwise None.
    """

    path: Path
    container: str
    stream_index: int
    codec: str
    pixel_format: str
    width: int
    height: int
    sample_aspect_ratio: Fraction
    rotation: int
    frame_rate: Fraction
    time_base: Fraction
    start_seconds: float
    stored_from_seconds: float
    first_pts: int
    duration_seconds: float
    coding: Coding
    is_matrix_tagged: bool
    sounds: tuple[Sound, ...]
    subtitles: tuple[Subtitle, ...]
    chapters: int
    attachments: tuple[Attachment, ...] = ()
    time_code: str | None = None
    language: str | None = None
    title: str | None = None
    other_picture_codecs: tuple[str, ...] = ()
    first_number: int | None = None

    @property
    def aspect_ratio(self) -> float:
        """Width over height as displayed."""
        return float(self.sample_aspect_ratio * self.width / self.height)

    @property
    def credible_rate(self) -> Fraction:
        """The frame rate, or 24 where the container states only its time resolution."""
        return self.frame_rate if self.frame_rate <= MAX_FRAME_RATE else TIMELINE_FRAME_RATE

    def frame_count(self, frame_rate: Fraction | None = None) -> int:
        """Return about how many frames the film has at this rate, by default its own."""
        return max(round(self.duration_seconds * (frame_rate or self.frame_rate)), 1)


def film_identity(film: Film) -> dict[str, Any]:
    """Return what identifies a film: path, frame rate and duration."""
    return {
        "path": str(film.path),
        "frame_rate": str(film.frame_rate),
        "duration_seconds": film.duration_seconds,
    }


def may_be_same_film(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results of `film_identity` may be of one film, whatever their paths.

    The durations in two containers may differ by less than half a frame.
    """
    try:
        rates = [Fraction(identity["frame_rate"]) for identity in (one, other)]
        apart = abs(one["duration_seconds"] - other["duration_seconds"])
        return rates[0] == rates[1] and bool(apart * rates[0] < 0.5)
    except (KeyError, TypeError, ValueError, ArithmeticError):  # a map written by hand
        return False


# Paths that name other files in ffmpeg's process than in this one.
_OWN_FILE = re.compile(r"/dev/(stdin|fd/\d+)|/proc/(self|thread-self)/fd/\d+")
_NUMBER = re.compile(r"((?:[^%]|%%)*)%(\d{0,3})d((?:[^%]|%%)*)")  # a printf pattern
# A URL, of whose two slashes Path keeps one; a Windows drive has a single letter.
_ADDRESS = re.compile(r"(?!file:)[a-z]{3,}:/", re.I)


def is_sequence(path: Path) -> bool:
    """Whether this is a printf pattern of numbered pictures, such as frames/%05d.png."""
    is_pattern = _NUMBER.fullmatch(path.name) and path.suffix.lower() in SEQUENCE_ENDINGS
    return bool(is_pattern) and not path.exists()


def sequence_file(pattern: Path, number: int) -> Path:
    """Return the path of the picture of this number in an image sequence; it need not exist."""
    before, width, after = _parts_of(pattern)
    return pattern.with_name(f"{before}{number:0{width}d}{after}")


def _parts_of(pattern: Path) -> tuple[str, int, str]:
    """Return a pattern's text before the number, its minimum digits, and the text after it."""
    found = _NUMBER.fullmatch(pattern.name)
    assert found is not None
    before, after = (found[side].replace("%%", "%") for side in (1, 3))
    return before, int(found[2] or 1), after


def sequence_files(pattern: Path) -> dict[int, Path]:
    """Return the files of an image sequence by their numbers, which are consecutive.

    Raises:
        VideoError: there are none, or one between the first and the last is missing.
    """
    before, _, after = _parts_of(pattern)
    digits = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}", re.ASCII)
    try:
        names = {path.name for path in pattern.parent.iterdir()}
    except OSError:
        names = set()
    numbers = sorted({int(found[1]) for found in map(digits.fullmatch, names) if found})
    files = {number: sequence_file(pattern, number) for number in numbers}
    files = {number: file for number, file in files.items() if file.name in names}
    if not files:
        raise VideoError(
            f"no file matches {pattern}; give the pattern of numbered pictures, as in"
            " frames/%05d.png for frames/00001.png"
        )
    for number in range(min(files), max(files)):
        if number not in files:
            raise VideoError(
                f"{sequence_file(pattern, number)} is missing from the pictures of {pattern}; put"
                " it back, or number them without gaps"
            )
    return files


def probe(path: Path, *, sequence_rate: Fraction = TIMELINE_FRAME_RATE) -> Film:
    """Read the properties of a film file or a sequence of numbered pictures.

    Args:
        sequence_rate: frames a second of numbered pictures, whose files do not state it.

    Raises:
        VideoError: the file is missing, no video, or has no pictures.
    """
    if is_sequence(path):
        return _probe_sequence(path, sequence_rate)
    try:
        if not path.is_file() or _OWN_FILE.fullmatch(str(path)):
            raise VideoError(f"{path} {_what_is_no_film(path)}")
        with open_file(path) as container:
            return _probe_container(path, container)
    except (av.FFmpegError, OSError) as error:
        reason = reason_of(error)
        if isinstance(error, av.ArgumentError):
            reason = "a single picture, a playlist, or another kind of file that holds no film"
        wanted = "a film file such as an mp4 or mkv"
        if path.suffix.lower() in SEQUENCE_ENDINGS:
            wanted = "the pattern of numbered pictures, such as frames/%05d.png"
        if isinstance(error, av.InvalidDataError) and _is_mp4(path):
            reason = "its index, moov, usually at the end, is missing"
            wanted = "the complete file"
        raise VideoError(f"{path} cannot be read as a video ({reason}); give {wanted}") from None


def _is_mp4(path: Path) -> bool:
    """Whether a file begins like mp4 and mov files."""
    with path.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def _what_is_no_film(path: Path) -> str:
    """Return the part of an error message that says what a path is, and what to give instead."""
    if path.is_dir():
        return "is a folder; give a film file, or numbered pictures such as frames/%05d.png"
    if path.is_file():
        return "is a stream that ffmpeg cannot open by this name; give the film file's path"
    if path.exists():
        return "is not a regular file; give a film file"
    if _NUMBER.fullmatch(path.name):
        return f"names no pictures that can be read; give {', '.join(SEQUENCE_ENDINGS)}"
    if path.suffix.lower() in SEQUENCE_ENDINGS:
        return "does not exist; give the pattern of numbered pictures, such as frames/%05d.png"
    if _ADDRESS.match(str(path)):
        return "is an address, not a file; download the film first, and give that"
    return "does not exist; give a film file"


def _probe_sequence(pattern: Path, frame_rate: Fraction) -> Film:
    files = sequence_files(pattern)
    first = min(files)
    options = sequence_options(first, frame_rate)
    try:
        with _open(local_sequence(pattern), format="image2", options=options) as container:
            film = _probe_container(pattern, container)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{files[first]} cannot be read as a picture ({reason_of(error)}); give PNG, JPEG"
            " or TIFF files"
        ) from None
    return replace(film, first_number=first, frame_rate=frame_rate)


def _probe_container(path: Path, container: Any) -> Film:
    stream, frame = _stream_and_first_frame(path, container)
    context = stream.codec_context
    height, width, rotation = frame.height, frame.width, int(frame.rotation) % 360
    sar = stream.sample_aspect_ratio or Fraction(1)
    if rotation % 180 == 90:
        height, width, sar = width, height, 1 / sar
    first_pts = (stream.start_time or 0) if frame.pts is None else frame.pts
    stored_from = first_pts
    if container.format.name not in UNTIMED and stream.start_time is not None:
        stored_from = min(stream.start_time, first_pts)
    return Film(
        path=path,
        container=container.format.name,
        stream_index=stream.index,
        codec=context.codec.canonical_name,
        pixel_format=frame.format.name,
        width=width,
        height=height,
        sample_aspect_ratio=sar,
        rotation=rotation,
        frame_rate=Fraction(stream.guessed_rate),
        time_base=stream.time_base,
        start_seconds=_start_seconds(stream, first_pts),
        # ffmpeg counts from the container's start; if that is unknown, it leaves times unchanged.
        stored_from_seconds=(
            0.0 if container.start_time is None else _start_seconds(stream, stored_from)
        ),
        first_pts=first_pts,
        duration_seconds=_duration_seconds(path, container, stream, first_pts, stored_from),
        coding=_coding(context, frame.format, frame.height),
        is_matrix_tagged=int(context.colorspace) in _MATRIX_BY_TAG,
        sounds=tuple(_sound(stream) for stream in container.streams.audio),
        subtitles=tuple(_subtitle(stream) for stream in container.streams.subtitles),
        chapters=len(container.chapters()),
        attachments=tuple(_attachment(s) for s in container.streams if _is_attached(s)),
        time_code=_time_code(container),
        language=_language(stream),
        title=_title(stream),
        other_picture_codecs=tuple(_codec_name(s) for s in _pictures(container) if s is not stream),
    )


def _stream_and_first_frame(path: Path, container: Any) -> tuple[Any, Any]:
    """Return the picture stream to use, and its first frame.

    PyAV knows a stream's rotation and true size only from a frame.
    """
    pictures = _pictures(container)
    if not pictures:
        raise VideoError(
            f"{path} has no pictures, only sound or data; give a file with a film in it"
        )
    stream = next((s for s in pictures if s.codec_context), None)
    if stream is None:
        raise VideoError(
            f"{path} has pictures in a codec that cannot be decoded here; convert it to another"
        )
    frame = _first_frame(container, stream)
    if frame is None or not stream.guessed_rate:
        raise VideoError(f"{path} has a video stream without a single picture; give another file")
    return stream, frame


def _duration_seconds(
    path: Path, container: Any, stream: Any, first_pts: int, stored_from: int
) -> float:
    """Return the duration from the first frame on, by stream, tags, container or else packets."""
    if stream.duration:
        return float((stream.duration - (first_pts - stored_from)) * stream.time_base)
    end = _tagged_end(stream.metadata)
    if end is not None:
        return end - float(first_pts * stream.time_base)
    if container.duration:
        return float(container.duration / av.time_base) - _start_seconds(stream, first_pts)
    return _measured_duration(path, container, stream, first_pts)


def _first_frame(container: Any, stream: Any) -> Any:
    """Return the first frame that can be decoded; None if the stream holds none.

    Raises:
        av.FFmpegError: no frame could be decoded, because of damage.
    """
    damage = None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            damage = damage or error
            continue
        if frames:
            return frames[0]
    if damage is not None:
        raise damage
    return None


def _pictures(container: Any) -> list[Any]:
    """Return the streams of moving pictures, those that players show by default first.

    Covers and chapter thumbnails are not included.
    """
    moving = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    return sorted(moving, key=lambda s: not s.disposition & s.disposition.default)


def _codec_name(stream: Any) -> str:
    """Return a stream's codec; ``UNKNOWN_CODEC`` if libav has no decoder, as for teletext."""
    context = stream.codec_context
    return str(context.codec.canonical_name) if context else UNKNOWN_CODEC


def _is_attached(stream: Any) -> bool:
    if stream.type == "attachment":
        return True
    flags = stream.disposition
    return bool(flags & flags.attached_pic) and not flags & flags.timed_thumbnails


def _attachment(stream: Any) -> Attachment:
    is_cover = stream.type == "video"
    told = {key.lower(): value for key, value in stream.metadata.items()}
    return Attachment(
        index=stream.index,
        codec=_codec_name(stream) if is_cover else None,
        name=told.get("filename"),
        mime_type=told.get("mimetype"),
    )


def _time_code(container: Any) -> str | None:
    """Return the time code in the metadata of the container, of its pictures or another stream."""
    for told in (container, *container.streams):
        for key, value in told.metadata.items():
            if key.lower() == "timecode":
                return str(value)
    return None


def open_file(path: Path) -> Any:
    """Open a file as a container, without access to other files.

    Raises:
        av.FFmpegError: it is no container.
        OSError: it cannot be read.
    """
    return _open(local_file(path), options=ONLY_THE_FILE)


def _open(source: Path, **how: Any) -> Any:
    """Open a source with `av.open`; read titles that are no UTF-8, as in old AVIs, as cp1252.

    Raises:
        av.FFmpegError: it is no container.
        OSError: it cannot be read.
    """
    container: Any
    try:
        container = av.open(source, **how)
        container.chapters()  # decodes chapter titles, which `av.open` does not
    except UnicodeDecodeError:
        container = av.open(source, metadata_encoding="cp1252", metadata_errors="replace", **how)
    for stream in container.streams.video:
        if stream.codec_context:  # else left cropping is rounded, unlike in ffmpeg
            stream.codec_context.flags |= Flags.unaligned
    return container


@contextmanager
def opened(film: Film) -> Iterator[Any]:
    """Open the container of a probed film for the duration of a ``with`` block.

    Raises:
        VideoError: it can no longer be read.
    """
    if film.first_number is None:
        source, kind, options = local_file(film.path), None, ONLY_THE_FILE
    else:
        source, kind = local_sequence(film.path), "image2"
        options = sequence_options(film.first_number, film.frame_rate)
    try:
        with _open(source, format=kind, options=options) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{film.path} cannot be read any more ({reason_of(error)}); put it back, and run the"
            " same command again"
        ) from None


def _measured_duration(path: Path, container: Any, stream: Any, first_pts: int) -> float:
    """Return a duration measured from packets, for containers without one, as of live recordings.

    The packets after the first frame are read, but not decoded.
    """
    times = [p.pts for p in container.demux(stream) if p.size and p.pts is not None]
    one_frame = 1 / stream.guessed_rate
    if not times:  # as in bare H.264
        return float(count_pictures(path) * one_frame)
    return float((max(times) - first_pts) * stream.time_base + one_frame)


def _coding(context: Any, pixel_format: Any, height: int) -> Coding:
    bits = max((component.bits for component in pixel_format.components), default=8)
    is_rgb = pixel_format.is_rgb or pixel_format.name.startswith("pal")
    guessed = "bt601" if height <= SD_HEIGHT else "bt709"
    is_full = int(context.color_range) == _FULL_RANGE_TAG or pixel_format.name.startswith("yuvj")
    if not int(context.color_range) and context.name not in _LIMITED_UNLESS_TOLD:
        is_full |= pixel_format.name.startswith(("gray", "mono"))
    primaries, transfer = int(context.color_primaries), int(context.color_trc)
    return Coding(
        bit_depth=min((depth for depth in CODE_DEPTHS if depth >= bits), default=CODE_DEPTHS[-1]),
        range="full" if is_full and not is_rgb else "limited",
        matrix=RGB_MATRIX if is_rgb else _MATRIX_BY_TAG.get(int(context.colorspace), guessed),
        primaries=1 if primaries == _UNSPECIFIED else primaries,
        transfer=1 if transfer == _UNSPECIFIED else transfer,
    )


def _start_seconds(stream: Any, first_pts: int) -> float:
    """Convert a pts of a stream to seconds from its container's start, at least 0."""
    container_start = (stream.container.start_time or 0) / av.time_base
    return max(float(first_pts * stream.time_base) - container_start, 0.0)


def _tagged_end(tags: Mapping[str, str]) -> float | None:
    """Return a stream's end in seconds from Matroska's tag ``DURATION`` or ``DURATION-eng``."""
    ends = (value for name, value in tags.items() if name.partition("-")[0] == "DURATION")
    found = re.fullmatch(r"(\d+):(\d+):([\d.]+)", next(ends, ""))
    if found is None:
        return None
    hours, minutes, seconds = map(float, found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _sound(stream: Any) -> Sound:
    context = stream.codec_context
    return Sound(
        index=stream.index,
        codec=_codec_name(stream),
        channels=context.channels if context else 0,
        sample_rate=(context.sample_rate or 0) if context else 0,
        language=_language(stream),
        start_seconds=_start_seconds(stream, stream.start_time or 0),
        title=_title(stream),
        dispositions=_dispositions(stream),
    )


def _subtitle(stream: Any) -> Subtitle:
    marks = _language(stream), _title(stream), _dispositions(stream)
    return Subtitle(stream.index, _codec_name(stream), *marks)


def _language(stream: Any) -> str | None:
    return None if stream.language in (None, "und") else str(stream.language)


def _title(stream: Any) -> str | None:
    """Return a track's title; in mp4, ffmpeg writes it under one name and reads it by another."""
    return stream.metadata.get("title") or stream.metadata.get("name")


def _dispositions(stream: Any) -> tuple[str, ...]:
    flags = stream.disposition
    return tuple(str(flag.name) for flag in type(flags) if flag in flags)


def count_pictures(path: Path) -> int:
    """Return how many pictures a film file holds, from its packets; 0 if it is no film."""
    try:
        with open_file(path) as container:
            pictures = _pictures(container)[0]
            return sum(1 for packet in container.demux(pictures) if packet.size)
    except (av.FFmpegError, IndexError, OSError):
        return 0

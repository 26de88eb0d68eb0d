"""What a film file is (probe), reading its frames, writing frames to a file."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import ffmpeg
import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.ffmpeg import ONLY_THE_FILE, Process, local_file, open_input
from filmcolorizer_cli.files import (
    cannot_write,
    check_folder,
    put_in_place,
    temporary_beside,
)

TIMELINE_FRAME_RATE = Fraction(24)  # of films we write and of the stills we take
SEEK_MARGIN_SECONDS = 1.0  # a seek lands so much earlier; the exact frame is then found by its time
# MPEG streams have no index, so that a seek lands up to a group of pictures late.
MPEG_SEEK_MARGIN_SECONDS = 15.0
RGB_MATRIX = "bt709"  # that ffmpeg is told to turn R'G'B' films to Y'CbCr by
CONTAINER_ROUNDING_SECONDS = 0.0011  # Matroska counts in milliseconds
SD_HEIGHT = 576  # untagged pictures up to this height are taken for BT.601, as players do
CUT_THRESHOLD = 8.0  # ffmpeg's scdet score, 0 to 100, above which a new shot begins

# ffmpeg's idet: how much better a field must fit to one neighbour's than to the other's.
FIELD_THRESHOLD = 1.1
STRIP_WIDTH, MIN_STRIPS = 64, 12  # pixels, and how many at least, of parts of rows and columns

SOUND_BITRATE_KBPS = 192  # of what has to be re-encoded to AAC
UNKNOWN_CODEC = "unknown"
PICTURE_SUBTITLES = frozenset({"dvb_subtitle", "dvd_subtitle", "hdmv_pgs_subtitle", "xsub"})

# ITU-T H.273 MatrixCoefficients.
_MATRIX_BY_TAG = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
_UNSPECIFIED = 2  # in ITU-T H.273, of matrix, primaries and transfer
_FULL_RANGE_TAG = 2  # libav's AVCOL_RANGE_JPEG
# Codecs that say that luma is limited where they do not say otherwise; other untagged grey pictures
# have the full range, as those of still pictures.
_LIMITED_UNLESS_TOLD = frozenset({"h264", "hevc", "libdav1d", "av1", "vp9"})
CODE_DEPTHS = (8, 10, 12, 16)  # bits that planes are read with; what lies between takes the next
_FFMPEG_MATRIX = {"bt601": "smpte170m", "bt709": "bt709", "bt2020": "bt2020"}
# Names, in ffmpeg, of containers whose time may jump: ffmpeg counts it from the start of the first
# stream that it reads, rather than from the container's, unless it seeks beyond.
_MPEG_STREAMS = frozenset({"mpeg", "mpegts"})
# Metadata that tells of the file that it stands in, not of the film.
_OF_THE_FILE = frozenset({"compatible_brands", "encoder", "major_brand", "minor_version"})

# Which field of a frame comes first: as measured, or as each frame is flagged.
FieldOrder = Literal["progressive", "top", "bottom", "flagged"]
Plane = NDArray[np.uint8]
DeepPlane = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16, by the depth of its `Coding`


@dataclass(frozen=True)
class Coding:
    """How Y'CbCr is coded as whole numbers, and what they stand for.

    Attributes:
        bit_depth: of a code, one of ``CODE_DEPTHS``.
        range: of luma, from 16 to 235 at 8 bits, or all there is.
        matrix: a key of ``color.MATRICES``.
        primaries, transfer: as numbered in ITU-T H.273 (ColourPrimaries, TransferCharacteristics);
            1 is BT.709.
    """

    bit_depth: int = 8
    range: Literal["limited", "full"] = "limited"
    matrix: str = "bt709"
    primaries: int = 1
    transfer: int = 1

    @property
    def sample_type(self) -> type[np.uint8] | type[np.uint16]:
        """What a plane's samples are."""
        return np.uint8 if self.bit_depth == 8 else np.uint16

    def pixel_format(self, layout: str) -> str:
        """ffmpeg's name for a layout such as ``yuv420p`` or ``gray`` at this depth."""
        return layout if self.bit_depth == 8 else f"{layout}{self.bit_depth}le"


PLAIN = Coding()  # what players take that take little


@dataclass(frozen=True)
class Container:
    """A kind of film file that is written, and what it holds.

    Attributes:
        muxer: ffmpeg's name for it.
        sound_codecs: of the sound that it holds as it is; None for all.
        text_codecs: of the subtitles of text that it holds as they are; others become the first.
        holds_picture_subtitles: such as those of DVDs.
        options: ffmpeg's, with which it is written.
    """

    muxer: str
    sound_codecs: frozenset[str] | None
    text_codecs: tuple[str, ...]
    holds_picture_subtitles: bool
    options: dict[str, str]

    def keeps(self, sound: Sound) -> bool:
        """Whether a sound track goes along as it is; otherwise it is re-encoded to AAC."""
        return self.sound_codecs is None or sound.codec in self.sound_codecs

    def holds(self, subtitle: Subtitle) -> bool:
        """Whether subtitles go along at all."""
        if subtitle.codec == UNKNOWN_CODEC:
            return False
        return self.holds_picture_subtitles or subtitle.codec not in PICTURE_SUBTITLES


_INDEX_FIRST = {"movflags": "+faststart"}
_MP4_SOUND = frozenset({"aac", "ac3", "alac", "eac3", "mp2", "mp3", "opus"})
_MOV_SOUND = frozenset({"aac", "ac3", "alac", "eac3", "mp2", "mp3", "pcm_s16be", "pcm_s16le",
                        "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le"})  # fmt: skip
CONTAINERS = {
    ".mp4": Container("mp4", _MP4_SOUND, ("mov_text",), False, _INDEX_FIRST),
    ".mov": Container("mov", _MOV_SOUND, ("mov_text",), False, _INDEX_FIRST),
    # Without edit lists what was copied from before a part's start would come before its pictures.
    ".mkv": Container("matroska", None, ("subrip", "ass", "webvtt"), True, {"copypriorss": "0"}),
}


@dataclass(frozen=True)
class Sound:
    """One sound track of a film.

    Attributes:
        start_seconds: how long after the container's start it is first heard.
    """

    index: int
    codec: str
    channels: int
    sample_rate: int
    language: str | None
    start_seconds: float


@dataclass(frozen=True)
class Subtitle:
    """One track of subtitles of a film."""

    index: int
    codec: str
    language: str | None


@dataclass(frozen=True)
class Film:
    """What a film file is, as its container says.

    Attributes:
        width, height: of the upright picture, in pixels; what readers yield unless asked otherwise.
        rotation: degrees that the stored picture is turned by for display (already undone in
            ``width`` and ``height``).
        frame_rate: frames a second, exact.
        start_seconds: how long after the container's start the first frame is shown.
        first_tick: the time of the first frame as it is stored, in ticks of ``time_base``.
        duration_seconds: of the picture.
        coding: of its pictures; of what RGB pictures are turned to.
        is_matrix_tagged: whether ``coding.matrix`` is known; otherwise it is guessed by the height.
        sounds, subtitles: the tracks, in order.
        chapters: how many there are.
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
    first_tick: int
    duration_seconds: float
    coding: Coding
    is_matrix_tagged: bool
    sounds: tuple[Sound, ...]
    subtitles: tuple[Subtitle, ...]
    chapters: int

    @property
    def aspect_ratio(self) -> float:
        """Width over height as displayed."""
        return float(self.sample_aspect_ratio * self.width / self.height)

    def frame_count(self, frame_rate: Fraction | None = None) -> int:
        """About how many frames the film has at this rate (its own when not given)."""
        return max(round(self.duration_seconds * (frame_rate or self.frame_rate)), 1)


def probe(path: Path) -> Film:
    """Read what a film file is.

    Raises:
        VideoError: the file is missing, no video, or has no pictures.
    """
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise VideoError(f"{path} {what}; give a film file")
        with av.open(local_file(path), options=ONLY_THE_FILE) as container:
            return _probe_container(path, container)
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or str(error)
        if isinstance(error, av.ArgumentError):
            reason = "a playlist, or another kind of file without pictures of its own"
        raise VideoError(
            f"{path} cannot be read as a video ({reason}); give a film file such as an mp4 or mkv"
        ) from None


def _probe_container(path: Path, container: Any) -> Film:
    pictures = [
        s for s in container.streams.video if not s.disposition & s.disposition.attached_pic
    ]
    if not pictures:
        raise VideoError(
            f"{path} has no pictures, only sound or data; give a file with a film in it"
        )
    stream = pictures[0]
    # PyAV tells a stream's rotation and true shape with its first frame only.
    frame = next(container.decode(stream), None)
    if frame is None or not stream.guessed_rate:
        raise VideoError(f"{path} has a video stream without a single picture; give another file")
    context = stream.codec_context
    height, width, rotation = frame.height, frame.width, int(frame.rotation) % 360
    sar = stream.sample_aspect_ratio or Fraction(1)
    if rotation % 180:
        height, width, sar = width, height, 1 / sar
    start = _start_seconds(stream)
    if stream.duration:
        duration = float(stream.duration * stream.time_base)
    elif tag := re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = map(float, tag.groups())  # Matroska's
        duration = hours * 3600 + minutes * 60 + seconds - start
    elif container.duration:
        duration = container.duration / av.time_base - start
    else:
        duration = _measured_duration(container, stream)
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
        start_seconds=start,
        first_tick=stream.start_time or 0,
        duration_seconds=duration,
        coding=_coding(context, frame.format, height),
        is_matrix_tagged=int(context.colorspace) in _MATRIX_BY_TAG,
        sounds=tuple(_sound(stream) for stream in container.streams.audio),
        subtitles=tuple(_subtitle(stream) for stream in container.streams.subtitles),
        chapters=len(container.chapters()),
    )


def _measured_duration(container: Any, stream: Any) -> float:
    """The duration of a film whose container tells none, such as a live recording, by its packets.

    They are read on from the first frame, without being decoded.
    """
    packets = [packet for packet in container.demux(stream) if packet.size]
    times = [packet.pts for packet in packets if packet.pts is not None]
    one_frame = 1 / stream.guessed_rate
    if not times:  # as in bare H.264
        return float((len(packets) + 1) * one_frame)
    return float((max(times) - (stream.start_time or 0)) * stream.time_base + one_frame)


def _coding(context: Any, pixel_format: Any, height: int) -> Coding:
    bits = max((component.bits for component in pixel_format.components), default=8)
    is_rgb = pixel_format.is_rgb or pixel_format.name.startswith("pal")
    guessed = "bt601" if height <= SD_HEIGHT else "bt709"
    is_full = int(context.color_range) == _FULL_RANGE_TAG or pixel_format.name.startswith("yuvj")
    if not int(context.color_range) and context.name not in _LIMITED_UNLESS_TOLD:
        is_full |= pixel_format.name.startswith("gray")
    primaries, transfer = int(context.color_primaries), int(context.color_trc)
    return Coding(
        bit_depth=min((depth for depth in CODE_DEPTHS if depth >= bits), default=CODE_DEPTHS[-1]),
        range="full" if is_full and not is_rgb else "limited",
        matrix=RGB_MATRIX if is_rgb else _MATRIX_BY_TAG.get(int(context.colorspace), guessed),
        primaries=1 if primaries == _UNSPECIFIED else primaries,
        transfer=1 if transfer == _UNSPECIFIED else transfer,
    )


def _start_seconds(stream: Any) -> float:
    """When a stream starts, counted from its container's start."""
    container_start = (stream.container.start_time or 0) / av.time_base
    return max(float((stream.start_time or 0) * stream.time_base) - container_start, 0.0)


def _sound(stream: Any) -> Sound:
    context = stream.codec_context
    return Sound(
        index=stream.index,
        codec=context.codec.canonical_name,
        channels=context.channels,
        sample_rate=context.sample_rate or 0,
        language=_language(stream),
        start_seconds=_start_seconds(stream),
    )


def _subtitle(stream: Any) -> Subtitle:
    context = stream.codec_context  # none for what libav does not know, such as teletext
    codec = context.codec.canonical_name if context else UNKNOWN_CODEC
    return Subtitle(stream.index, codec, _language(stream))


def _language(stream: Any) -> str | None:
    return None if stream.language in (None, "und") else str(stream.language)


@dataclass(frozen=True)
class Sampling:
    """Which frames of a film to read, and how large.

    Times count from the film's first frame. The frame at a time is the last one that has begun by
    then, to half a frame of ``frame_rate``, so frames are repeated or left out by time, never by
    count.

    Attributes:
        width, height: of the frames; the film's own when not given.
        frame_rate: frames a second.
        start_seconds: the time of the first frame.
        duration_seconds: how much of the film; to its end when not given.
        rate: seconds of the film that pass in a second of ``frame_rate``.
        every: keep one frame of so many.
        cuts_file: a file into which the times of shot changes are written, in seconds from
            ``start_seconds``; see `read_cuts`.
        ticks: read the frames that are stored from the first of these times on and before the
            second, where there is one, in ticks of the film's time base as `uneven_ticks` gives
            them, whatever the rate and times above.
        ticks_file: a file into which the times of these frames are written; see `read_ticks`.
        field_order: the order of the fields that frames are woven of, to make whole pictures of.
    """

    width: int | None = None
    height: int | None = None
    frame_rate: Fraction = TIMELINE_FRAME_RATE
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    rate: float = 1.0
    every: int = 1
    cuts_file: Path | None = None
    ticks: tuple[int, int | None] | None = None
    ticks_file: Path | None = None
    field_order: FieldOrder = "progressive"

    def frame_count(self, film: Film) -> int:
        """About how many frames will come."""
        rest = max(film.duration_seconds - self.start_seconds, 0.0)
        wanted = rest if self.duration_seconds is None else min(self.duration_seconds, rest)
        return self.frames_in(wanted)

    def frames_in(self, seconds: float) -> int:
        """How many frames are kept of so many seconds of film."""
        return math.ceil(round(seconds / self.rate * self.frame_rate) / self.every)


@dataclass(frozen=True)
class Bursts:
    """Short runs of consecutive frames, all over what is read, that are looked at in full size.

    Only what ffmpeg finds in them is kept, in three files.

    Attributes:
        every_seconds: from the first frame of a run to that of the next.
        run_seconds: how long a run is.
        fields_file: for each frame, which of its two fields is the earlier; see `read_fields`.
        rows_file, columns_file: of one frame a run, the mean luma of every row in parts of about
            ``STRIP_WIDTH``, and of every column; see `read_strips`.
    """

    every_seconds: float
    run_seconds: float
    fields_file: Path
    rows_file: Path
    columns_file: Path


def read_luma(film: Film, sampling: Sampling) -> Generator[Plane, None, None]:
    """Yield luma planes (height, width), uint8, limited range (black 16, white 235).

    At the film's own size an 8-bit limited-range luma comes bit for bit as it is stored.

    Raises:
        VideoError: the film is broken or cut short; ffmpeg's last words are in the message.
    """
    plain = replace(film.coding, bit_depth=8, range="limited")
    for luma in read_coded_luma(film, sampling, plain):
        yield luma.astype(np.uint8, copy=False)


def read_coded_luma(
    film: Film, sampling: Sampling, coding: Coding
) -> Generator[DeepPlane, None, None]:
    """Yield luma planes (height, width) in this depth and range.

    At the film's own size, depth and range they come bit for bit as they are stored.

    Raises:
        VideoError: the film is broken or cut short; ffmpeg's last words are in the message.
    """
    shape = sampling.height or film.height, sampling.width or film.width
    stored = film.pixel_format if _stores_luma(film, coding) else coding.pixel_format("yuv444p")
    graph = _frames(film, sampling, coding).filter("format", stored).filter("extractplanes", "y")
    layout = coding.pixel_format("gray")
    for data in _read_raw(film, sampling, graph, layout, math.prod(shape), coding):
        yield data.reshape(shape)


def read_pictures(
    film: Film, sampling: Sampling, coding: Coding
) -> Generator[tuple[DeepPlane, DeepPlane], None, None]:
    """Yield luma as `read_coded_luma` does, and chroma (2, ceil(height / 2), ceil(width / 2)).

    Raises:
        VideoError: the film is broken or cut short; ffmpeg's last words are in the message.
    """
    height, width = sampling.height or film.height, sampling.width or film.width
    chroma_shape = 2, -(-height // 2), -(-width // 2)
    layout = coding.pixel_format("yuv420p")
    graph = _frames(film, sampling, coding).filter("format", layout)
    samples = height * width + math.prod(chroma_shape)
    for data in _read_raw(film, sampling, graph, layout, samples, coding):
        luma, chroma = data[: height * width], data[height * width :]
        yield luma.reshape(height, width), chroma.reshape(chroma_shape)


def read_every_frame(
    film: Film, width: int, height: int, times_file: Path
) -> Generator[Plane, None, None]:
    """Yield the luma (height, width) of each frame that is stored, uint8, full range.

    Args:
        times_file: a file into which the frames' times are written; see `read_times`.

    Raises:
        VideoError: the film is broken or cut short; ffmpeg's last words are in the message.
    """
    stream = open_input(film.path, xerror=None)[str(film.stream_index)]
    stream = stream.filter("settb", "1/1000000")
    stream = stream.filter(
        "scale",
        width,
        height,
        flags="area",
        in_range=film.coding.range,
        out_range="full",
    ).filter("format", "gray")
    # scdet gives every frame a score, without which metadata would print nothing of it
    stream = stream.filter("scdet").filter("metadata", mode="print", file=local_file(times_file))
    sampling = Sampling(frame_rate=film.frame_rate)
    for data in _read_raw(film, sampling, stream, "gray", height * width):
        yield data.reshape(height, width)


def uneven_ticks(film: Film) -> list[int] | None:
    """The times of a film's frames, in ticks of its time base, as its packets tell them.

    None for a film whose frames are evenly spaced, but for the rounding of its container, or that
    does not tell.
    """
    with _opened(film) as container:
        packets = container.demux(container.streams[film.stream_index])
        ticks = [packet.pts for packet in packets if packet.size]
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


def read_ticks(path: Path) -> list[int]:
    """The times in a file that a `Sampling` named, in ticks of the film's time base, ascending."""
    if not path.is_file():
        return []
    return [int(pts) for pts in re.findall(r"^frame:\S+\s+pts:(-?\d+)", path.read_text(), re.M)]


def read_times(path: Path) -> list[float]:
    """The presentation times that `read_every_frame` wrote, in seconds from the first frame."""
    if not path.is_file():
        return []
    times = [int(pts) for pts in re.findall(r"^frame:\S+\s+pts:(-?\d+)", path.read_text(), re.M)]
    return [(time - times[0]) / 1e6 for time in times]


def read_ycbcr(
    film: Film, sampling: Sampling, *, matrix: str | None = None, bursts: Bursts | None = None
) -> Generator[Plane, None, None]:
    """Yield pictures (height, width, 3) of Y', Cb and Cr, uint8, limited range.

    Args:
        matrix: a key of ``color.MATRICES`` to convert to; the film's own if not given.
        bursts: what to look at in the same pass; its files are whole after the last picture.

    Raises:
        VideoError: the film is broken or cut short; ffmpeg's last words are in the message.
    """
    height, width = sampling.height or film.height, sampling.width or film.width
    coding = Coding(matrix=matrix or film.coding.matrix)
    timed = _timed(film, sampling)
    outputs = []
    if bursts is not None:
        branches = timed.split()
        timed, outputs = branches[0], _burst_outputs(film, sampling, bursts, branches[1])
    graph = _sampled(film, sampling, timed, coding).filter("format", "yuv444p")
    samples = 3 * height * width
    for data in _read_raw(film, sampling, graph, "yuv444p", samples, PLAIN, outputs):
        yield data.reshape(3, height, width).transpose(1, 2, 0)  # planes to (H, W, 3)


def read_rgb(film: Film, sampling: Sampling) -> Iterator[Plane]:
    """Yield pictures (height, width, 3) of R', G' and B', uint8.

    Raises:
        VideoError: the film is broken or cut short; ffmpeg's last words are in the message.
    """
    for ycbcr in read_ycbcr(film, sampling):
        yield to_rgb(ycbcr, film.coding.matrix)


def to_rgb(ycbcr: Plane, matrix: str) -> Plane:
    """Y'CbCr (H, W, 3), limited range, in this matrix, to R'G'B' (H, W, 3); both uint8."""
    # Here and not above: lining films up reads frames, but needs no torch, which loads slowly.
    import torch

    from filmcolorizer_cli.color import (
        chroma_from_codes,
        luma_from_codes,
        luma_to_codes,
        ycbcr_to_rgb,
    )

    codes = torch.from_numpy(np.ascontiguousarray(ycbcr.transpose(2, 0, 1)))  # (3, H, W)
    luma = luma_from_codes(codes[:1], range="limited")
    chroma = chroma_from_codes(codes[1:], range="limited")
    rgb = ycbcr_to_rgb(torch.cat((luma, chroma)), matrix)
    pixels: Plane = luma_to_codes(rgb, range="full").permute(1, 2, 0).contiguous().numpy()
    return pixels


def read_cuts(path: Path) -> list[float]:
    """The times of shot changes in a file that a `Sampling` named, in seconds, ascending."""
    if not path.is_file():  # ffmpeg makes it with the first cut it finds
        return []
    return [float(time) for time in re.findall(r"lavfi\.scd\.time=([\d.]+)", path.read_text())]


def read_fields(path: Path) -> list[tuple[float, str]]:
    """What `Bursts` found of the fields of each frame: seconds from ``start_seconds``, and a word.

    The word is ``tff`` or ``bff`` where the top or bottom field is the earlier, else
    ``progressive`` or ``undetermined``.
    """
    if not path.is_file():
        return []
    found = re.findall(
        r"pts:(-?\d+) .*\nlavfi\.idet\.single\.current_frame=(\w+)", path.read_text()
    )
    return [(int(pts) / 1e6, word) for pts, word in found]


def read_strips(film: Film, bursts: Bursts) -> tuple[Plane, Plane]:
    """The mean luma of rows (N, height, parts) and columns (N, parts, width) that `Bursts` found.

    uint8, limited range (black 16, white 235); N is 0 where there were no frames.
    """
    shapes = (film.height, _strips(film.width)), (_strips(film.height), film.width)
    files = bursts.rows_file, bursts.columns_file
    rows, columns = (
        np.fromfile(file, np.uint8).reshape(-1, *shape)
        for file, shape in zip(files, shapes, strict=True)
    )
    return rows, columns


def _strips(side: int) -> int:
    """Into how many parts a side of so many pixels is divided for `read_strips`."""
    return max(-(-side // STRIP_WIDTH), min(side, MIN_STRIPS))


def _stores_luma(film: Film, coding: Coding) -> bool:
    """Whether the stored luma plane is what is wanted, so that ffmpeg need not touch it."""
    layouts = ("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "gray")
    stored = {coding.pixel_format(layout) for layout in layouts}
    if coding.bit_depth == 8 and coding.range == "full":
        stored |= {"yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p"}
    return film.pixel_format in stored and film.coding.range == coding.range


def _frames(film: Film, sampling: Sampling, coding: Coding) -> Any:
    """The filter graph up to frames of the wanted times, size, range and matrix."""
    if sampling.ticks is not None:
        stream = _as_stored(film, sampling, sampling.ticks)
        return _scaled(film, stream, film.width, film.height, coding)
    return _sampled(film, sampling, _timed(film, sampling), coding)


def _sampled(film: Film, sampling: Sampling, stream: Any, coding: Coding) -> Any:
    """The frames of the wanted times, size, range and matrix, of those of `_timed`."""
    rate = sampling.frame_rate
    stream = stream.filter("fps", fps=f"{rate.numerator}/{rate.denominator}", start_time=0)
    width, height = sampling.width or film.width, sampling.height or film.height
    stream = _scaled(film, stream, width, height, coding)
    if sampling.cuts_file is not None:
        stream = stream.filter("scdet", threshold=CUT_THRESHOLD)
        stream = stream.filter(
            "metadata", mode="print", key="lavfi.scd.time", file=local_file(sampling.cuts_file)
        )
    return stream


def _scaled(film: Film, stream: Any, width: int, height: int, coding: Coding) -> Any:
    before, after = film.coding.range, coding.range
    if film.pixel_format.startswith("gray") and before == after:
        before = after = "full"  # which is all that ffmpeg's scaler knows of grey pictures
    return stream.filter(
        "scale",
        width,
        height,
        flags="area+accurate_rnd+full_chroma_int",
        in_color_matrix=_FFMPEG_MATRIX[film.coding.matrix],
        out_color_matrix=_FFMPEG_MATRIX[coding.matrix],
        in_range=before,
        out_range=after,
    )


def _burst_outputs(film: Film, sampling: Sampling, bursts: Bursts, stream: Any) -> list[Any]:
    """The outputs by which ffmpeg writes what it finds in bursts."""
    every, run = f"{bursts.every_seconds:.6f}", f"{bursts.run_seconds:.6f}"
    if sampling.duration_seconds is not None:
        stream = stream.filter("trim", end=f"{sampling.duration_seconds:.6f}")
    stream = stream.filter("select", f"gte(t,0)*lt(mod(t,{every}),{run})")
    stream = stream.filter("idet", intl_thres=FIELD_THRESHOLD)
    stream = stream.filter(
        "metadata",
        mode="print",
        key="lavfi.idet.single.current_frame",
        file=local_file(bursts.fields_file),
    )
    one_a_run = f"isnan(prev_selected_t)+gte(t-prev_selected_t,{run})"
    branches = stream.filter("select", one_a_run).split()
    sizes = (_strips(film.width), film.height), (film.width, _strips(film.height))
    files = bursts.rows_file, bursts.columns_file
    outputs = []
    for number, (size, file) in enumerate(zip(sizes, files, strict=True)):
        strips = _scaled(film, branches[number], *size, PLAIN).filter("format", "yuv444p")
        strips = strips.filter("extractplanes", "y")
        options = {"format": "rawvideo", "pix_fmt": "gray", "fps_mode": "passthrough"}
        outputs.append(strips.output(local_file(file), **options))
    return outputs


def _timed(film: Film, sampling: Sampling) -> Any:
    """All frames that are stored, from before the start on; their times count from there."""
    start = film.start_seconds + sampling.start_seconds
    stream, origin = _from(film, start, sampling.field_order)
    stream = stream.filter("settb", "1/1000000")
    return stream.filter("setpts", f"(PTS-{start - origin:.6f}/TB)/{sampling.rate!r}")


def _as_stored(film: Film, sampling: Sampling, ticks: tuple[int, int | None]) -> Any:
    """The film's pictures as they are stored, at their own times."""
    begin, end = ticks
    seconds = float((begin - film.first_tick) * film.time_base) + film.start_seconds
    stream, _ = _from(film, seconds, sampling.field_order, copyts=None)
    stream = stream.filter("settb", f"{film.time_base.numerator}/{film.time_base.denominator}")
    stream = stream.filter("trim", start_pts=begin, **({} if end is None else {"end_pts": end}))
    if sampling.ticks_file is not None:
        stream = stream.filter("metadata", mode="add", key="kept", value="1")
        stream = stream.filter("metadata", mode="print", file=local_file(sampling.ticks_file))
    return stream


def _from(film: Film, start: float, field_order: FieldOrder, **options: None) -> tuple[Any, float]:
    """The film's whole pictures from some moment before ``start``, which they count time from.

    Both are in seconds from the container's start.
    """
    if film.container in _MPEG_STREAMS:
        seek = max(start - MPEG_SEEK_MARGIN_SECONDS, 0.0)
        origin = max(seek, film.start_seconds)
    else:
        origin = seek = max(start - SEEK_MARGIN_SECONDS, 0.0)
    seeking = {"ss": f"{seek:.6f}"} if seek else {}
    # -xerror: a damaged packet or frame ends the reading instead of coming out as grey mush.
    stream = open_input(film.path, xerror=None, **seeking, **options)[str(film.stream_index)]
    if field_order != "progressive":
        parity = {"top": "tff", "bottom": "bff", "flagged": "auto"}[field_order]
        stream = stream.filter("bwdif", mode="send_frame", parity=parity, deint="all")
    return stream, origin


def _read_raw(
    film: Film,
    sampling: Sampling,
    stream: Any,
    layout: str,
    samples: int,
    coding: Coding = PLAIN,
    outputs: Sequence[Any] = (),
) -> Iterator[Any]:
    """Yield what a frame is made of, (samples,), of ``coding.sample_type``.

    Args:
        outputs: what ffmpeg writes elsewhere meanwhile.
    """
    if sampling.every > 1:
        stream = stream.filter("select", f"not(mod(n,{sampling.every}))")
    options = {"format": "rawvideo", "pix_fmt": layout, "fps_mode": "passthrough"}
    if sampling.duration_seconds is not None:
        options["frames:v"] = str(sampling.frames_in(sampling.duration_seconds))
    count = 0
    output = ffmpeg.merge_outputs(stream.output("pipe:", **options), *outputs)
    with Process(output, writes_stdout=True) as process:
        while True:
            data = np.empty(samples, coding.sample_type)
            got = process.stdout.readinto(data.view(np.uint8))  # type: ignore[attr-defined]
            if got < data.nbytes:
                break
            count += 1
            yield data
        if not process.wait() or got:
            read = count * sampling.every / float(sampling.frame_rate) * sampling.rate
            raise VideoError(
                f"{film.path} is damaged or cut short and could not be read beyond"
                f" {sampling.start_seconds + read:.1f} s (ffmpeg: {process.last_words()}); repair"
                " it, or take a part with --start and --duration"
            )


def count_pictures(path: Path) -> int:
    """How many pictures a whole film file holds, by its packets; 0 for what is none."""
    try:
        with av.open(local_file(path), options=ONLY_THE_FILE) as container:
            return sum(1 for packet in container.demux(video=0) if packet.size)
    except (av.FFmpegError, IndexError, OSError):
        return 0


@dataclass(frozen=True)
class Timeline:
    """When each picture of a film is shown.

    Attributes:
        time_base: seconds in a tick.
        ticks: of each picture, ascending.
    """

    time_base: Fraction
    ticks: Sequence[int]

    @classmethod
    def steady(cls, frame_rate: Fraction, frames: int) -> Timeline:
        """Of frames that are all shown equally long."""
        step = frame_rate.denominator
        return cls(Fraction(1, frame_rate.numerator), range(0, frames * step, step))

    def tick(self, number: int) -> int:
        """Of a picture; what lies before the first or after the last goes on at its pace."""
        last = len(self.ticks) - 1
        if last < 1:
            return self.ticks[0] + number
        if number < 0:
            return self.ticks[0] + number * (self.ticks[1] - self.ticks[0])
        if number > last:
            return self.ticks[last] + (number - last) * (self.ticks[last] - self.ticks[last - 1])
        return self.ticks[number]


def join_film(
    parts: Sequence[Path],
    target: Path,
    source: Film,
    timeline: Timeline,
    *,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
) -> None:
    """Join files of a `PictureWriter` into one film, without encoding anew.

    A film's sound, subtitles, chapters and metadata go along, as far as the container holds them.

    Args:
        parts: in order, made with the same encoding; the joined pictures lie beside the first for
            a while.
        timeline: of all their pictures.
        target: appears when it is whole; its ending is a key of ``CONTAINERS``.
        source: whose sound and all else goes along.
        start_seconds, duration_seconds: the part of the source that the pictures show.

    Raises:
        FilmColorizerError: the target cannot be written.
        VideoError: ffmpeg cannot write the film; its last words are in the message.
    """
    check_folder(target.parent)
    joined, temporary = parts[0].with_stem("joined"), temporary_beside(target)
    try:
        part = _part(source, start_seconds, duration_seconds)
        _join_pictures(parts, joined, timeline, *_told(source, part))
        delay = 0.0 if start_seconds else source.start_seconds
        pictures = open_input(joined, itsoffset=f"{delay:.6f}")
        container = CONTAINERS[target.suffix.lower()]
        tracks, track_options = _tracks(source, container, part)
        output = ffmpeg.output(
            pictures["v"],
            *tracks,
            local_file(temporary),
            format=container.muxer,
            **{"c:v": "copy", **track_options, **container.options},
        ).overwrite_output()
        with Process(output) as process:
            if not process.wait():
                raise cannot_write_film(target, process.last_words())
        if (found := count_pictures(temporary)) != (wanted := len(timeline.ticks)):
            raise VideoError(
                f"{target} came out with {found} of {wanted} pictures; report this, with the source"
            )
        put_in_place(temporary, target)
    except OSError as problem:
        raise cannot_write(target, problem) from None
    except av.FFmpegError as problem:
        raise cannot_write_film(target, str(problem)) from None
    finally:
        joined.unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)


def cannot_write_film(target: Path, last_words: str) -> VideoError:
    """The sentence for a film that ffmpeg could not write."""
    return VideoError(
        f"{target} could not be written (ffmpeg: {last_words});"
        " make room there, or choose another place with -o"
    )


def _join_pictures(
    parts: Sequence[Path],
    target: Path,
    timeline: Timeline,
    metadata: dict[str, str],
    chapters: list[Any],
) -> None:
    """Write one file of all packets, each at the time that the timeline has for its picture."""
    orders = [_display_order(part) for part in parts]
    # How far encoders keep pictures back that are shown before those that they are made from.
    delay = max(max(coded - shown for coded, shown in enumerate(order)) for order in orders)
    muxer = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}[target.suffix]
    # What mp4 has no place for goes into a place of its own, from where ffmpeg takes it again.
    options = {} if muxer == "matroska" else {"movflags": "use_metadata_tags"}
    with av.open(local_file(target), "w", format=muxer, container_options=options) as container:
        container.metadata.update(metadata)
        container.set_chapters(chapters)
        stream = None
        first = 0
        for part, order in zip(parts, orders, strict=True):
            with av.open(local_file(part), options=ONLY_THE_FILE) as opened:
                if stream is None:
                    stream = container.add_stream_from_template(
                        opened.streams.video[0], opaque=True
                    )
                    stream.time_base = timeline.time_base
                packets = (packet for packet in opened.demux(video=0) if packet.size)
                for coded, (packet, shown) in enumerate(zip(packets, order, strict=True)):
                    number = first + shown
                    packet.stream = stream
                    packet.time_base = timeline.time_base
                    packet.pts = timeline.tick(number)
                    packet.dts = timeline.tick(first + coded - delay)
                    packet.duration = timeline.tick(number + 1) - packet.pts
                    container.mux(packet)
            first += len(order)


def _display_order(part: Path) -> list[int]:
    """Which of a file's pictures each of its packets is, in the order that they are shown."""
    with av.open(local_file(part), options=ONLY_THE_FILE) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    order = [0] * len(times)
    for shown, coded in enumerate(sorted(range(len(times)), key=times.__getitem__)):
        order[coded] = shown
    return order


def _part(
    source: Film, start_seconds: float, duration_seconds: float | None
) -> tuple[float, float | None]:
    """Where a part of the pictures begins and how long it is, in the container's time."""
    begin = source.start_seconds + start_seconds if start_seconds else 0.0
    if duration_seconds is None:
        return begin, None
    late = 0.0 if start_seconds else source.start_seconds
    return begin, late + duration_seconds


def _told(source: Film, part: tuple[float, float | None]) -> tuple[dict[str, str], list[Any]]:
    """The container's metadata, and the chapters that begin or go on in a part of it."""
    begin, duration = part
    end = math.inf if duration is None else begin + duration
    with _opened(source) as container:
        metadata = {k: v for k, v in container.metadata.items() if k not in _OF_THE_FILE}
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


@contextmanager
def _opened(source: Film) -> Iterator[Any]:
    try:
        with av.open(local_file(source.path), options=ONLY_THE_FILE) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{source.path} cannot be read any more ({error.strerror or error}); put it back, and"
            " give the same command again"
        ) from None


def _tracks(
    source: Film, container: Container, part: tuple[float, float | None]
) -> tuple[list[Any], dict[str, str]]:
    """The source's sound and subtitles, and for each whether it is copied or re-encoded."""
    subtitles = [subtitle for subtitle in source.subtitles if container.holds(subtitle)]
    if not source.sounds and not subtitles:
        return [], {}
    begin, duration = part
    options: dict[str, str] = {}
    if begin:
        options["ss"] = f"{begin:.6f}"
    if source.container in _MPEG_STREAMS and source.sounds:
        first = min(sound.start_seconds for sound in source.sounds)
        options["itsoffset"] = f"{max(first - begin, 0.0):.6f}"
    if duration is not None:
        options["t"] = f"{duration:.6f}"
    stream = open_input(source.path, **options)
    codecs = {}
    for number, sound in enumerate(source.sounds):
        if container.keeps(sound):
            codecs[f"c:a:{number}"] = "copy"
        else:
            codecs |= {f"c:a:{number}": "aac", f"b:a:{number}": f"{SOUND_BITRATE_KBPS}k"}
    for number, subtitle in enumerate(subtitles):
        is_held = subtitle.codec in {*container.text_codecs, *PICTURE_SUBTITLES}
        codecs[f"c:s:{number}"] = "copy" if is_held else container.text_codecs[0]
    indices = [sound.index for sound in source.sounds] + [s.index for s in subtitles]
    return [stream[str(index)] for index in indices], codecs

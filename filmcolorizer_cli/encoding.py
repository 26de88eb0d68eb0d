"""Video encoding: codecs, their quality settings, and the writer of video-only files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import ffmpeg
import numpy as np

from filmcolorizer_cli.containers import CONTAINERS
from filmcolorizer_cli.errors import OptionError, VideoError
from filmcolorizer_cli.ffmpeg import Process, encoder_names, encoders_of, local_file
from filmcolorizer_cli.files import (
    cannot_write,
    check_folder,
    followed,
    lack_of_room,
    put_in_place,
    temporary_beside,
)
from filmcolorizer_cli.planes import PLAIN, Coding, DeepPlane
from filmcolorizer_cli.video import FIELDS, MATRIX_TAGS, TIMELINE_FRAME_RATE, FieldOrder, Film

FIELD_ENCODERS = frozenset({"libx264", "prores_ks", "ffv1"})
# The presets of x264 and x265, and the nearest ones of SVT-AV1.
PRESETS = {
    "ultrafast": 12,
    "superfast": 11,
    "veryfast": 10,
    "faster": 9,
    "fast": 8,
    "medium": 6,
    "slow": 5,
    "slower": 4,
    "veryslow": 2,
}
DEFAULT_PRESET = "medium"
WITH_PRESETS = ("libx264", "libx265", "libsvtav1")
# Suffixes of ffmpeg's names of hardware encoders: NVIDIA's, Intel's, AMD's and Apple's.
HARDWARE = ("nvenc", "qsv", "amf", "videotoolbox")
TRIAL_SIDE = 256  # width and height, in pixels, of the frames that an encoder is tried with
_RANGE_TAGS = {"limited": "tv", "full": "pc"}


@dataclass(frozen=True)
class Codec:
    """A video codec, and how it is used.

    Attributes:
        name: its common name, for messages.
        encoder: ffmpeg's name of the default encoder.
        layout: pixel format without the bit depth; all have luma at full resolution.
        bit_depths: bit depths that it can write, ascending.
        endings: file name endings of the films that may hold it; the first is the default.
        crf: default constant rate factor; None for a codec without that setting.
        highest_crf: the constant rate factor of the worst quality.
        holds_full_range: whether the file can signal full-range luma to players.
        holds_odd_sizes: whether a width or height may be odd.
        options: further ffmpeg options, for the default encoder.
    """

    name: str
    encoder: str
    layout: str
    bit_depths: tuple[int, ...]
    endings: tuple[str, ...]
    crf: int | None = None
    highest_crf: int = 51
    holds_full_range: bool = True
    holds_odd_sizes: bool = False
    options: dict[str, str] = field(default_factory=dict)

    @property
    def segment_muxer(self) -> str:
        """ffmpeg's muxer for the segment files, which are joined later."""
        return CONTAINERS[self.endings[0]].muxer

    def coding_of(self, film: Film) -> Coding:
        """Return the coding in which a film's pictures are written in this codec.

        It is the film's own, except that bit depth and range are limited to what the codec has.
        """
        wanted = film.coding.bit_depth
        deep_enough = (depth for depth in self.bit_depths if depth >= wanted)
        return replace(
            film.coding,
            bit_depth=next(deep_enough, self.bit_depths[-1]),
            range=film.coding.range if self.holds_full_range else "limited",
        )


CODECS = {
    "h264": Codec("H.264", "libx264", "yuv420p", (8, 10), (".mp4", ".mov", ".mkv"), 18),
    "hevc": Codec(
        "HEVC", "libx265", "yuv420p", (8, 10, 12), (".mp4", ".mov", ".mkv"), 20,
        options={"x265-params": "log-level=error"},
    ),
    "av1": Codec(
        "AV1", "libsvtav1", "yuv420p", (8, 10), (".mp4", ".mkv"), 24, 63, holds_odd_sizes=True
    ),
    "prores": Codec(
        "ProRes", "prores_ks", "yuv422p", (10,), (".mov", ".mkv"),
        holds_full_range=False, holds_odd_sizes=True,
        options={"profile:v": "hq", "vendor": "apl0"},
    ),
    "ffv1": Codec(
        "FFV1", "ffv1", "yuv420p", (8, 10, 12, 16), (".mkv",), holds_odd_sizes=True,
        options={"level": "3", "g": "1", "slicecrc": "1"},  # the settings that archives use
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Encoding:
    """How a film is encoded.

    Attributes:
        codec: a key of ``CODECS``.
        encoder: ffmpeg's name of another encoder of that codec, such as a graphics card's.
        crf: the constant rate factor, 0 to the codec's ``highest_crf``; lower values give better
            quality and larger files.
        preset: how much time to spend on a smaller file, a key of ``PRESETS``; None stands for
            ``DEFAULT_PRESET``.
        coding: the coding of the pictures that are written.

    Raises:
        OptionError: the codec or encoder has no such quality, or no presets.
    """

    frame_rate: Fraction = TIMELINE_FRAME_RATE
    crf: int | None = None
    preset: str | None = None
    codec: str = "h264"
    encoder: str | None = None
    coding: Coding = PLAIN

    def __post_init__(self) -> None:
        codec = CODECS[self.codec]
        if codec.crf is None:
            for option, value in (("--crf", self.crf), ("--preset", self.preset)):
                if value is not None:
                    raise OptionError(
                        f"{codec.name} has no {option}; leave it out, or choose another --codec"
                    )
        if self.encoder is not None:
            self._check_encoder_options(self.encoder)
        if self.crf is not None and self.crf > codec.highest_crf:
            raise OptionError(
                f"a --crf of {self.crf} is too high for {codec.name}; give 0 to {codec.highest_crf}"
            )

    def _check_encoder_options(self, encoder: str) -> None:
        """Refuse options that ffmpeg would ignore silently; graphics cards have other presets."""
        has_quality = bool(_quality(encoder, 0, DEFAULT_PRESET))
        for option, value, is_known in (
            ("--crf", self.crf, has_quality),
            ("--preset", self.preset, encoder in WITH_PRESETS),
        ):
            if value is not None and not is_known:
                raise OptionError(
                    f"the encoder {encoder} has no {option} here; leave it out, or name another"
                )

    def with_encoder(self, encoder: str | None) -> Encoding:
        """Return a copy for an encoder that the user did not name; hardware ones get no preset."""
        preset = None if str(encoder).endswith(HARDWARE) else self.preset
        return replace(self, encoder=encoder, preset=preset)

    @property
    def options(self) -> dict[str, str]:
        """All ffmpeg options except those of the muxer."""
        codec = CODECS[self.codec]
        encoder = self.encoder or codec.encoder
        options = {"c:v": encoder, "fps_mode": "passthrough", **_color_tags(self.coding)}
        options["pix_fmt"] = self.coding.pixel_format(codec.layout)
        if encoder == codec.encoder:
            options |= codec.options
        crf = codec.crf if self.crf is None else self.crf
        if crf is not None:
            options |= _quality(encoder, crf, self.preset or DEFAULT_PRESET)
        return options


def _quality(encoder: str, crf: int, preset: str) -> dict[str, str]:
    """Return the encoder options nearest to a constant rate factor and preset of x264.

    An unknown encoder gets no options, and thus ffmpeg's default quality.
    """
    if encoder == "libsvtav1":
        return {"crf": str(crf), "preset": str(PRESETS[preset])}
    if encoder in WITH_PRESETS:
        return {"crf": str(crf), "preset": preset}
    if encoder.endswith("_nvenc"):
        return {"rc": "vbr", "cq": str(max(crf, 1)), "b:v": "0"}  # 0 would let the card choose
    if encoder.endswith("_qsv"):
        return {"global_quality": str(crf)}
    if encoder.endswith("_amf"):
        return {"rc": "cqp", "qp_i": str(crf), "qp_p": str(crf)}
    if encoder.endswith("_videotoolbox"):
        return {"q:v": str(max(100 - 2 * crf, 1))}
    return {"crf": str(crf)} if encoder == "libaom-av1" else {}


def _color_tags(coding: Coding) -> dict[str, str]:
    """Return the ffmpeg options that say how pictures, of an input or an output, are coded."""
    return {
        "colorspace": str(MATRIX_TAGS[coding.matrix][0]),
        "color_primaries": str(coding.primaries),
        "color_trc": str(coding.transfer),
        "color_range": _RANGE_TAGS[coding.range],
    }


def even(pixels: float) -> int:
    """Return the nearest even number of pixels, at least 2; most codecs need even sides."""
    return max(round(pixels / 2) * 2, 2)


def check_encoder(encoding: Encoding, *, exactly: bool = False) -> None:
    """Try an encoder on a few frames, before hours are spent on rendering for it.

    Args:
        exactly: whether the encoder must take the pictures in their own pixel format; otherwise
            ffmpeg may convert them to one that it takes, with fewer bits.

    Raises:
        OptionError: ffmpeg does not have the encoder, or it is for another codec, does not keep
            luma, or cannot run on this machine.
    """
    if str(encoding.encoder).endswith("rgb"):
        raise OptionError(
            f"the encoder {encoding.encoder} converts to RGB, which changes the film's luma; name"
            " another"
        )
    if encoding.encoder is not None:
        fit = {name for name in encoders_of(encoding.codec) if not name.endswith("rgb")}
        if encoding.encoder in encoder_names() - fit:
            raise OptionError(
                f"the encoder {encoding.encoder} does not encode {CODECS[encoding.codec].name};"
                f" name one of {', '.join(sorted(fit))}, or choose another --codec"
            )
    options = encoding.options
    layout = options["pix_fmt"]
    if exactly:
        options["pix_fmt"] = f"+{layout}"
    pictures = ffmpeg.input(
        "pipe:",
        format="rawvideo",
        pix_fmt=layout if exactly else encoding.coding.pixel_format("yuv420p"),
        video_size=(TRIAL_SIDE, TRIAL_SIDE),
        **_color_tags(encoding.coding),
    )
    output = ffmpeg.output(pictures.video, "-", format="null", **options)
    # A whole number of frames, whether chroma is halved in one direction or in both.
    pixels = np.zeros(TRIAL_SIDE * TRIAL_SIDE * 6, encoding.coding.sample_type)
    with Process(output, reads_stdin=True) as process:
        process.feed(pixels.data)
        if not process.wait():
            mend = "name another, or leave out --encoder and --hwaccel"
            if encoding.encoder is None:
                mend = "choose another --codec, or name an ffmpeg that has it with --ffmpeg"
            raise OptionError(
                f"the encoder {options['c:v']} cannot be used here (ffmpeg:"
                f" {process.last_words()}); {mend}"
            )


def find_hardware_encoder(encoding: Encoding) -> str | None:
    """Return a hardware encoder of the codec that works here and keeps the bit depth, if any."""
    for kind in HARDWARE:
        candidate = encoding.with_encoder(f"{encoding.codec}_{kind}")
        with suppress(OptionError):
            check_encoder(candidate, exactly=True)
            return candidate.encoder
    return None


class PictureWriter:
    """Writer of a film file without sound, as a context manager.

    The file is written under a temporary name beside the target. It is renamed when the ``with``
    block ends without an error, and deleted otherwise.

    Args:
        target: the file to write.
        source: the film whose width, height and sample aspect ratio the pictures have.
        fields: which field comes first in interlaced pictures; it is signalled to players.

    Raises:
        FilmColorizerError: the target's folder cannot be written to.
        VideoError: ffmpeg cannot write the film; the message contains the end of its output.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """

    def __init__(
        self,
        target: Path,
        source: Film,
        encoding: Encoding,
        *,
        fields: FieldOrder = "progressive",
    ) -> None:
        self.target = target
        self._temporary, self._was_free = temporary_beside(target), not target.exists()
        codec = CODECS[encoding.codec]
        # Codecs that need even sides get the last row or column of an odd one twice.
        multiple = 1 if codec.holds_odd_sizes else 2
        self._more_rows = -source.height % multiple
        self._more_columns = -source.width % multiple
        self._sample_type = encoding.coding.sample_type
        check_folder(followed(target).parent)
        pictures = ffmpeg.input(
            "pipe:",
            format="rawvideo",
            pix_fmt=encoding.coding.pixel_format("yuv420p"),
            video_size=(source.width + self._more_columns, source.height + self._more_rows),
            framerate=str(encoding.frame_rate),
            **_color_tags(encoding.coding),
        )
        shape = source.sample_aspect_ratio
        # Without a max, ffmpeg rounds the ratio to numbers of two digits.
        most = max(shape.as_integer_ratio())
        shown = pictures.video.filter("setsar", sar=str(shape), max=most)
        options = dict(encoding.options)
        if fields in FIELDS:
            shown = shown.filter("setfield", mode=FIELDS[fields])
            options |= _field_options(options["c:v"], fields, source.height + self._more_rows)
        self._output = ffmpeg.output(
            shown, filename=local_file(self._temporary), format=codec.segment_muxer, **options
        ).overwrite_output()

    def __enter__(self) -> PictureWriter:
        try:
            self._process = Process(self._output, reads_stdin=True)
        except BaseException:  # such as from Ctrl-C: ffmpeg may have created the file already
            self._temporary.unlink(missing_ok=True)
            raise
        return self

    def write(self, luma: DeepPlane, chroma: DeepPlane) -> None:
        """Append a picture.

        Args:
            luma: (height, width).
            chroma: (2, ceil(height / 2), ceil(width / 2)), Cb and Cr.
                Both are coded as the encoding's ``coding`` says.
        """
        if self._more_rows or self._more_columns:
            luma = np.pad(luma, ((0, self._more_rows), (0, self._more_columns)), mode="edge")
        for plane in (luma, chroma):
            if not self._process.feed(np.ascontiguousarray(plane, self._sample_type).data):
                self._process.wait()
                raise self._failure()

    def finish(self) -> None:
        """Wait until everything is written; the file still has its temporary name then.

        Raises:
            VideoError: the film could not be written.
        """
        if not self._process.wait():
            raise self._failure()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with self._process:
                if error is None:
                    self.finish()
                    put_in_place(self._temporary, self.target, was_free=self._was_free)
        except OSError as problem:
            raise cannot_write(self.target, problem) from None
        finally:
            self._temporary.unlink(missing_ok=True)

    def _failure(self) -> VideoError:
        self._process.check_itself(f"writing {self.target}")
        return cannot_write_film(self.target, self._process.last_words())


def _field_options(encoder: str, fields: FieldOrder, height: int) -> dict[str, str]:
    """Return the ffmpeg options that make an encoder, where it can, code fields separately."""
    if encoder == "libx264" and height % 4:  # x264 refuses these heights
        return {}
    flags = {"flags": "+ilme+ildct"} if encoder in FIELD_ENCODERS else {}
    # x264 also signals the field order of the whole stream.
    return flags | ({"x264-params": "bff=1"} if (encoder, fields) == ("libx264", "bottom") else {})


def cannot_write_film(target: Path, last_words: str) -> VideoError:
    """Return the error for a film that ffmpeg could not write."""
    room = lack_of_room(last_words)
    mend = "make room there, or choose another place" if room else "choose another place or --codec"
    return VideoError(
        f"{target} could not be written (ffmpeg: {last_words}); {mend}", lack_of_room=room
    )

"""Containers of the films that are written, and the codecs that each can hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

from filmcolorizer_cli.video import UNKNOWN_CODEC, Attachment, Sound, Subtitle

PICTURE_SUBTITLES = frozenset({"dvb_subtitle", "dvd_subtitle", "hdmv_pgs_subtitle", "xsub"})
MAX_AAC_CHANNELS = 8
MIN_MP3_RATE_HZ = 16_000  # lowest in MP4; lower rates are MPEG-2.5, which is no official standard


@dataclass(frozen=True)
class Container:
    """A container format, and what it can hold.

    Attributes:
        muxer: ffmpeg's name of the container.
        sound_codecs: codecs of sound that can be copied into it.
        text_codecs: codecs of text subtitles that can be copied into it; other text subtitles are
            converted to the first.
        picture_codecs: codecs of picture subtitles, such as those of DVDs, that can be copied.
        options: ffmpeg options for writing the container.
    """

    muxer: str
    sound_codecs: frozenset[str]
    text_codecs: tuple[str, ...]
    picture_codecs: frozenset[str]
    options: dict[str, str]

    def sound_encoder(self, sound: Sound) -> str | None:
        """Return the encoder for a sound track: ``copy`` if possible, None if there is none.

        Uncompressed sound is converted to lossless PCM if the container holds that.
        """
        if sound.codec == UNKNOWN_CODEC:
            return None
        is_held = sound.codec in self.sound_codecs and not sound.is_damaged
        if is_held and not self._is_refused_by_ffmpeg(sound):
            return "copy"
        if (pcm := _pcm_like(sound.codec)) in self.sound_codecs:
            return pcm
        return "aac" if sound.channels <= MAX_AAC_CHANNELS else None

    def _is_refused_by_ffmpeg(self, sound: Sound) -> bool:
        """Whether ffmpeg refuses to copy a sound track although the container holds its codec."""
        return self.muxer == "mp4" and sound.codec == "mp3" and sound.sample_rate < MIN_MP3_RATE_HZ

    def subtitle_encoder(self, subtitle: Subtitle) -> str | None:
        """Return the encoder for a subtitle track: ``copy`` if possible, None if there is none."""
        if subtitle.codec in {*self.text_codecs, *self.picture_codecs}:
            return "copy"
        if subtitle.codec in PICTURE_SUBTITLES | {UNKNOWN_CODEC}:
            return None
        return self.text_codecs[0]

    def attaches(self, attachment: Attachment) -> bool:
        """Whether the container can hold this cover or other attached file."""
        if self.muxer == "matroska":
            return bool(attachment.mime_type or attachment.codec in COVER_FILES)
        return self.muxer == "mp4" and attachment.codec in _MP4_COVERS


def is_pcm(codec: str) -> bool:
    """Whether a sound codec is uncompressed."""
    return codec.startswith("pcm_") or codec == "s302m"


def _pcm_like(codec: str) -> str | None:
    """Return the little-endian PCM codec that holds an uncompressed one losslessly, else None."""
    if not is_pcm(codec):
        return None
    form = re.match(r"pcm_([fsu])(\d+)", codec)
    if form is None:  # PCM of DVDs, Blu-rays and the like
        return "pcm_s24le"
    bits = int(form[2])
    if form[1] == "f":
        return "pcm_f64le" if bits > 32 else "pcm_f32le"
    return "pcm_u8" if bits == 8 else f"pcm_s{bits}le"


_MP4_COVERS = frozenset({"bmp", "mjpeg", "png"})
# File name and MIME type of a Matroska cover, by the codec of its picture.
COVER_FILES = {
    "bmp": ("cover.bmp", "image/bmp"),
    "gif": ("cover.gif", "image/gif"),
    "mjpeg": ("cover.jpg", "image/jpeg"),
    "png": ("cover.png", "image/png"),
}
# The code under which ffmpeg finds QuickTime's number of a language, by ISO 639-2 code: mostly the
# bibliographic code, for some languages the terminologic one, or another (measured).
QUICKTIME_LANGUAGES = {
    "bod": "tib", "cym": "wel", "cze": "ces", "deu": "ger", "ell": "gre", "eus": "baq",
    "fas": "per", "fil": "tgl", "fre": "fra", "gle": "iri", "hye": "arm", "isl": "ice",
    "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "nob": "nor",
    "rum": "ron", "slo": "slk", "sqi": "alb", "swe": "sve", "zho": "chi",
}  # fmt: skip
# Time units per second of an mp4 file. ffmpeg stores the durations of chapters in this unit, in 32
# bits. By default it picks a time scale in which the times of all tracks are whole numbers. That is
# so fine that chapters longer than a few seconds overflow, and are dropped silently.
MOVIE_TIMESCALE = "90000"
_MP4_OPTIONS = {"movflags": "+faststart", "movie_timescale": MOVIE_TIMESCALE}
_MP4_SOUND = frozenset({"aac", "ac3", "alac", "eac3", "mp2", "mp3", "opus"})
_MOV_SOUND = frozenset({"aac", "ac3", "alac", "eac3", "mp2", "mp3", "pcm_s16be", "pcm_s16le",
                        "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le"})  # fmt: skip
# Codecs that ffmpeg has a tag for: one of Matroska's own or one of Windows.
_MKV_SOUND = frozenset({
    "aac", "ac3", "adpcm_g722", "adpcm_g726", "adpcm_ima_wav", "adpcm_ms",
    "adpcm_yamaha", "alac", "amr_nb", "atrac3", "cook", "dts", "eac3", "flac", "g723_1", "mlp",
    "mp1", "mp2", "mp3", "opus", "pcm_alaw", "pcm_f32le", "pcm_f64le", "pcm_mulaw", "pcm_s16be",
    "pcm_s16le", "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_s64le", "pcm_u8",
    "qdm2", "ra_144", "ra_288", "sipr", "speex", "truehd", "tta", "vorbis", "wavpack",
    "wmalossless", "wmapro", "wmav1", "wmav2", "wmavoice",
})  # fmt: skip
_MKV_OPTIONS = {"disposition:v:0": "default"}
_MKV_TEXT = ("subrip", "ass", "webvtt")
CONTAINERS = {
    ".mp4": Container("mp4", _MP4_SOUND, ("mov_text",), frozenset(), _MP4_OPTIONS),
    ".mov": Container("mov", _MOV_SOUND, ("mov_text",), frozenset(), _MP4_OPTIONS),
    ".mkv": Container(
        "matroska", _MKV_SOUND, _MKV_TEXT, PICTURE_SUBTITLES - {"xsub"}, _MKV_OPTIONS
    ),
}

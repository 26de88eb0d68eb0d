from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args, get_type_hints

import av
import numpy as np
import pytest

from filmcolorizer_cli import cli
from filmcolorizer_cli.encoding import (
    CODECS,
    PRESETS,
    Encoding,
    PictureWriter,
    check_encoder,
    find_hardware_encoder,
)
from filmcolorizer_cli.errors import OptionError, VideoError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.planes import Coding
from filmcolorizer_cli.video import Film, probe
from tests.films import make_clip, make_raw_clip, run_ffmpeg
from tests.machine import files_in

RATE = Fraction(24)
# Two codings of films, with their matrix, primaries and transfer codes of ITU-T H.273.
TAGS = {
    "pal": (Coding(matrix="bt601", primaries=5, transfer=6), (6, 5, 6)),
    "hdr": (Coding(bit_depth=10, matrix="bt2020", primaries=9, transfer=16), (9, 9, 16)),
}


def real_pictures(bit_depth: int, count: int = 4) -> tuple[list[np.ndarray], np.ndarray]:
    """Return luma of the sample film, with made-up bits below the eighth, and made-up chroma."""
    data = run_ffmpeg(
        "-ss", 1, "-i", SAMPLE_FILM, "-frames:v", count,
        "-vf", "scale=160:120,format=yuv420p,extractplanes=y",
        "-f", "rawvideo", "pipe:1",
    )  # fmt: skip
    luma = np.frombuffer(data, np.uint8).reshape(count, 120, 160)
    spare = bit_depth - 8
    deep = (luma.astype(np.uint16) << spare) + luma.astype(np.uint16) % (1 << spare)
    chroma = np.full((2, 60, 80), 100 << spare)
    chroma[1, :, 40:] = 160 << spare
    kind = np.uint8 if bit_depth == 8 else np.uint16
    return [frame.astype(kind) for frame in deep], chroma.astype(kind)


def preset_of(codec: str, preset: str) -> str | None:
    """Return the preset if the codec has presets, else None."""
    return None if CODECS[codec].crf is None else preset


def written(path: Path, encoding: Encoding, lumas: list[np.ndarray], chroma: np.ndarray) -> Film:
    shape = probe(make_clip(path.with_name("shape.mp4"), size=(160, 120), seconds=0.1))
    with PictureWriter(path, shape, encoding) as writer:
        for luma in lumas:
            writer.write(luma, chroma)
    return probe(path)


@pytest.mark.parametrize(
    ("codec", "bit_depth"),
    [(name, depth) for name, codec in CODECS.items() for depth in codec.bit_depths],
)
def test_picture_writer_keeps_the_depth_of_luma(codec: str, bit_depth: int, tmp_path: Path) -> None:
    lumas, chroma = real_pictures(bit_depth)
    coding = Coding(bit_depth=bit_depth)
    ending = CODECS[codec].endings[0]
    encoding = Encoding(RATE, preset=preset_of(codec, "fast"), codec=codec, coding=coding)
    film = written(tmp_path / f"out{ending}", encoding, lumas, chroma)
    assert film.codec == {"av1": "libdav1d"}.get(codec, codec) or film.codec == codec
    assert film.coding == coding
    layout = coding.pixel_format("yuv420p")
    data = run_ffmpeg("-i", film.path, "-f", "rawvideo", "-pix_fmt", layout, "pipe:1")
    planes = np.frombuffer(data, coding.sample_type).reshape(len(lumas), -1)
    luma = planes[:, : 160 * 120].reshape(-1, 120, 160).astype(float)
    off = np.abs(luma - lumas).mean() / 2 ** (bit_depth - 8)
    assert off == 0 if codec == "ffv1" else off < 3
    cb, cr = np.split(planes[:, 160 * 120 :].astype(float), 2, axis=1)
    scale = 2 ** (bit_depth - 8)
    assert cb.mean() / scale == pytest.approx(100, abs=1.5)
    right = cr.reshape(-1, 60, 80)[:, :, 45:]
    assert right.mean() / scale == pytest.approx(160, abs=1.5)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1"])
@pytest.mark.parametrize("name", TAGS)
def test_picture_writer_tells_what_the_codes_stand_for(
    name: str, codec: str, tmp_path: Path
) -> None:
    coding, tags = TAGS[name]
    lumas, chroma = real_pictures(coding.bit_depth, count=1)
    encoding = Encoding(RATE, preset=preset_of(codec, "ultrafast"), codec=codec, coding=coding)
    film = written(tmp_path / f"out{CODECS[codec].endings[0]}", encoding, lumas, chroma)
    assert film.coding == coding
    with av.open(str(film.path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == tags


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1"])
def test_picture_writer_keeps_full_range(codec: str, tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None], (1, 2)).reshape(1, 16, 32)
    ramp = np.repeat(np.repeat(ramp[0], 8, 0)[:120], 5, 1)
    coding = Coding(range="full")
    encoding = Encoding(RATE, crf=None if codec == "ffv1" else 1, codec=codec, coding=coding)
    chroma = np.full((2, 60, 80), 128, np.uint8)
    film = written(tmp_path / f"out{CODECS[codec].endings[0]}", encoding, [ramp], chroma)
    assert film.coding.range == "full"
    data = run_ffmpeg(
        "-i", film.path, "-vf", "format=yuvj420p,extractplanes=y", "-f", "rawvideo", "pipe:1"
    )
    luma = np.frombuffer(data, np.uint8).reshape(120, 160)
    assert np.abs(luma.astype(int) - ramp).mean() < 2
    assert luma.min() <= 2
    assert luma.max() >= ramp.max() - 2


@pytest.mark.parametrize(
    ("codec", "source", "coding"),
    [
        ("h264", Coding(bit_depth=12), Coding(bit_depth=10)),
        ("h264", Coding(bit_depth=10, range="full"), Coding(bit_depth=10, range="full")),
        ("hevc", Coding(bit_depth=12), Coding(bit_depth=12)),
        ("hevc", Coding(bit_depth=16), Coding(bit_depth=12)),
        ("prores", Coding(range="full"), Coding(bit_depth=10)),
        ("ffv1", Coding(bit_depth=16, matrix="bt601"), Coding(bit_depth=16, matrix="bt601")),
    ],
)
def test_codec_keeps_what_it_holds(
    codec: str, source: Coding, coding: Coding, tmp_path: Path
) -> None:
    blank = np.zeros((3, 4, 4), np.uint8)
    film = probe(make_raw_clip(tmp_path / "a.mkv", blank, size=(4, 4), layout="yuv444p"))
    assert CODECS[codec].coding_of(Film(**{**vars(film), "coding": source})) == coding


@pytest.mark.parametrize("encoder", ["libopenh264", "libx264"])
def test_picture_writer_takes_another_encoder(encoder: str, tmp_path: Path) -> None:
    lumas, chroma = real_pictures(8)
    encoding = Encoding(RATE, encoder=encoder)
    assert written(tmp_path / "out.mp4", encoding, lumas, chroma).codec == "h264"


def test_picture_writer_tells_of_an_encoder_that_there_is_not(tmp_path: Path) -> None:
    lumas, chroma = real_pictures(8)
    with pytest.raises(VideoError, match="h264_mine"):
        written(tmp_path / "out.mp4", Encoding(RATE, encoder="h264_mine"), lumas, chroma)
    assert files_in(tmp_path) == ["shape.mp4"]


def test_encoding_by_a_card_keeps_within_its_qualities() -> None:
    assert Encoding(encoder="h264_videotoolbox", crf=51).options["q:v"] == "1"
    assert Encoding(encoder="h264_nvenc", crf=0).options["cq"] == "1"


@pytest.mark.parametrize(
    ("codec", "options", "words"),
    [
        ("h264", {"crf": 52}, "a --crf of 52 is too high for H.264; give 0 to 51"),
        ("ffv1", {"crf": 18}, "FFV1 has no --crf; leave it out, or choose another --codec"),
        (
            "h264",
            {"encoder": "libopenh264", "crf": 5},
            "the encoder libopenh264 has no --crf here; leave it out, or name another",
        ),
        (
            "av1",
            {"encoder": "libaom-av1", "crf": 5, "preset": "fast"},
            "the encoder libaom-av1 has no --preset here; leave it out, or name another",
        ),
        (
            "h264",
            {"encoder": "h264_nvenc", "preset": "slow"},
            "the encoder h264_nvenc has no --preset here; leave it out, or name another",
        ),
        (
            "prores",
            {"preset": "medium"},
            "ProRes has no --preset; leave it out, or choose another --codec",
        ),
    ],
)
def test_encoding_refuses_a_quality_that_there_is_not(
    codec: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError) as caught:
        Encoding(codec=codec, **options)
    assert str(caught.value) == words


def test_encoding_by_a_card_leaves_the_preset_out() -> None:
    encoding = Encoding(preset="slow", crf=20)
    card = encoding.with_encoder("h264_nvenc")
    assert (card.encoder, card.preset, card.options["cq"]) == ("h264_nvenc", None, "20")
    assert encoding.with_encoder("libx264").options["preset"] == "slow"
    assert encoding.with_encoder(None) == encoding


def test_check_encoder_tells_what_cannot_be_used() -> None:
    for encoder in ("libx264", "libopenh264"):
        check_encoder(Encoding(encoder=encoder))
    with pytest.raises(OptionError) as caught:
        check_encoder(Encoding(encoder="h264_mine"))
    told = str(caught.value)
    assert told.startswith("the encoder h264_mine cannot be used here (ffmpeg: Unknown encoder")
    assert told.endswith("); name another, or leave out --encoder and --hwaccel")


def test_find_hardware_encoder_takes_the_first_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    prores = Encoding(codec="prores", coding=Coding(bit_depth=10))
    monkeypatch.setattr("filmcolorizer_cli.encoding.HARDWARE", ("mine",))
    assert find_hardware_encoder(prores) is None
    monkeypatch.setattr("filmcolorizer_cli.encoding.HARDWARE", ("mine", "ks", "yours"))
    assert find_hardware_encoder(prores) == "prores_ks"


@pytest.mark.parametrize(
    ("codec", "encoder", "sentence"),
    [
        ("hevc", "libx264", "the encoder libx264 does not encode HEVC; name one of .*libx265"),
        ("h264", "mpeg4", "the encoder mpeg4 does not encode H.264; name one of .*libx264"),
        ("h264", "aac", "the encoder aac does not encode H.264; name one of .*libx264"),
        ("h264", "libx264rgb", "the encoder libx264rgb converts to RGB"),
    ],
)
def test_check_encoder_refuses_those_of_other_codecs_and_of_rgb(
    codec: str, encoder: str, sentence: str
) -> None:
    with pytest.raises(OptionError, match=sentence):
        check_encoder(Encoding(codec=codec, encoder=encoder))


def test_check_encoder_tells_of_one_that_takes_fewer_bits() -> None:
    """ffmpeg would convert the pictures to what the encoder takes."""
    deep = Encoding(encoder="libopenh264", coding=Coding(bit_depth=10))
    check_encoder(deep)
    check_encoder(replace(deep, coding=Coding()), exactly=True)
    with pytest.raises(OptionError, match="the encoder libopenh264 cannot be used here"):
        check_encoder(deep, exactly=True)


def test_colorize_offers_the_codecs_and_presets_that_there_are() -> None:
    """The command lists them itself, as it must answer without loading the encoding modules."""
    hints = get_type_hints(cli.colorize, include_extras=True)
    codecs, *_ = get_args(hints["codec"])
    assert list(get_args(codecs)) == list(CODECS)
    (presets, _), *_ = map(get_args, get_args(hints["preset"]))
    assert list(get_args(presets)) == list(PRESETS)

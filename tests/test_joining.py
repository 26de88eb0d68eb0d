from __future__ import annotations

import dataclasses
import itertools
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from filmcolorizer_cli import ffmpeg as our_ffmpeg
from filmcolorizer_cli.containers import CONTAINERS
from filmcolorizer_cli.encoding import Encoding, PictureWriter
from filmcolorizer_cli.errors import FfmpegError, FilmColorizerError, VideoError
from filmcolorizer_cli.ffmpeg import BINARY_VARIABLE
from filmcolorizer_cli.joining import join_film
from filmcolorizer_cli.planes import PLAIN
from filmcolorizer_cli.timeline import Timeline
from filmcolorizer_cli.video import count_pictures, probe
from filmcolorizer_cli.wording import describe_sounds
from tests.films import (
    FRAME,
    LATE_SECONDS,
    ODD_NAMES,
    SUBTITLES,
    X264,
    decode_planes,
    delay,
    make_clip,
    make_pictures,
    make_raw_clip,
    run_ffmpeg,
    said_in,
    times_of,
)
from tests.machine import file_size_limit, files_in, ordinary_user, our_children
from tests.values import present
from tests.written import FAST, grey, noise, write_film, write_pictures


def sound_of(path: Path) -> tuple[float, float, float]:
    """Return when tone begins, sound starts and ends, in seconds after the first picture."""
    with av.open(str(path)) as container:
        first_picture = present(next(container.decode(video=0)).time)
    times, levels = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(float)).reshape(-1)
            times.append(present(frame.time) + np.arange(len(samples)) / frame.sample_rate)
            levels.append(samples / (32768 if "s16" in frame.format.name else 1))
    when, level = np.concatenate(times), np.concatenate(levels)
    onset = when[np.argmax(level > 0.1)]
    return onset - first_picture, when[0] - first_picture, when[-1] - first_picture


def packets(path: Path, *, sound: int = 0) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=sound) if packet.size]


def test_join_film_writes_what_every_player_takes(plain_clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    encoding = Encoding(frame_rate=Fraction(30000, 1001), preset="ultrafast")
    film = write_film(target, probe(plain_clip), noise(64, 48, 30), encoding)
    assert (film.codec, film.pixel_format, film.width, film.height) == ("h264", "yuv420p", 64, 48)
    assert (film.coding, film.is_matrix_tagged) == (PLAIN, True)
    assert film.frame_rate == Fraction(30000, 1001)
    assert film.duration_seconds == pytest.approx(30 * 1.001 / 30)
    assert film.sounds == ()
    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        # ITU-T H.273: 1 is BT.709 in all three; libav's range 1 is limited.
        assert context.colorspace == context.color_primaries == context.color_trc == 1
        assert context.color_range == 1
        assert len(list(container.decode(video=0))) == 30
    data = target.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # so that playback can start early


def test_join_film_at_crf_0_keeps_every_sample(plain_clip: Path, tmp_path: Path) -> None:
    pictures = noise(64, 48, 8)
    target = tmp_path / "out.mp4"
    write_film(target, probe(plain_clip), pictures)
    luma, cb, cr = decode_planes(target, "yuv420p", (64, 48))
    np.testing.assert_array_equal(luma, [luma for luma, _ in pictures])
    np.testing.assert_array_equal(np.stack((cb, cr), 1), [chroma for _, chroma in pictures])


def test_picture_writer_takes_planes_that_are_views(plain_clip: Path, tmp_path: Path) -> None:
    (luma, chroma), *_ = noise(64, 48, 1)
    target = tmp_path / "out.mp4"
    views = (luma.T.copy().T, np.stack(tuple(chroma), axis=-1).transpose(2, 0, 1))
    assert not any(view.flags.c_contiguous for view in views)
    write_pictures(target, probe(plain_clip), [views])
    planes = decode_planes(target, "yuv420p", (64, 48))
    np.testing.assert_array_equal(planes[0][0], luma)
    np.testing.assert_array_equal([planes[1][0], planes[2][0]], chroma)


@pytest.mark.parametrize(("width", "height"), [(853, 481), (853, 480), (852, 481)])
def test_join_film_evens_odd_sizes(width: int, height: int, tmp_path: Path) -> None:
    blank = np.full((3, height, width), 128, np.uint8)
    clip = make_raw_clip(tmp_path / "odd.mkv", blank, size=(width, height), layout="yuv444p")
    source = probe(clip)
    assert (source.width, source.height) == (width, height)
    ((luma, chroma),) = noise(width, height, 1)
    target = tmp_path / "out.mp4"
    film = write_film(target, source, [(luma, chroma)])
    even = (width + width % 2, height + height % 2)
    assert (film.width, film.height) == even
    written, cb, cr = (plane[0] for plane in decode_planes(target, "yuv420p", even))
    np.testing.assert_array_equal(written[:height, :width], luma)
    np.testing.assert_array_equal(written[-1, :width], luma[-1])
    np.testing.assert_array_equal(written[:height, -1], luma[:, -1])
    np.testing.assert_array_equal([cb, cr], chroma)


@pytest.mark.parametrize("shape", ["64/45", "118/81", "128/117", "1001/1000"])
def test_join_film_keeps_the_shape_of_pixels(shape: str, tmp_path: Path) -> None:
    extra = ("-vf", f"setsar={shape}:max=10000")
    source = probe(make_clip(tmp_path / "pal.mp4", size=(72, 58), seconds=0.2, extra=extra))
    assert write_film(tmp_path / "out.mp4", source).sample_aspect_ratio == Fraction(shape)


def test_join_film_writes_a_turned_film_upright(plain_clip: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", 90, "-i", plain_clip, "-c", "copy", turned)
    film = write_film(tmp_path / "out.mp4", probe(turned))
    assert (film.width, film.height, film.rotation) == (48, 64, 0)


@pytest.mark.parametrize(
    ("suffix", "encoder"),
    [("mp4", "aac"), ("mp4", "libmp3lame"), ("mp4", "ac3"), ("mkv", "libopus")],
)
def test_join_film_copies_sound(suffix: str, encoder: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / f"clip.{suffix}", sound=encoder)
    source = probe(clip)
    target = tmp_path / "out.mp4"
    film = write_film(target, source, grey(source))
    assert [s.codec for s in film.sounds] == [s.codec for s in source.sounds]
    assert packets(target) == packets(clip)


@pytest.mark.parametrize(("suffix", "encoder"), [("mov", "pcm_s16le"), ("mkv", "flac")])
def test_join_film_re_encodes_what_mp4_does_not_hold(
    suffix: str, encoder: str, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / f"clip.{suffix}", sound=encoder)
    source = probe(clip)
    target = tmp_path / "out.mp4"
    film = write_film(target, source, grey(source))
    assert [sound.codec for sound in film.sounds] == ["aac"]
    onset, start, end = sound_of(target)
    assert (onset, start, end) == pytest.approx((1, 0, 2), abs=0.05)


@pytest.mark.parametrize("suffix", ["mov", "mkv", "mp4"])
def test_join_film_keeps_a_gap_in_sound_that_is_not_compressed(suffix: str, tmp_path: Path) -> None:
    """The sound after the gap keeps its time."""
    clip, gappy = make_clip(tmp_path / "clip.mkv", sound="pcm_s16le"), tmp_path / "gappy.mkv"
    dropped = "noise=drop='between(pts*tb,0.3,0.7)'"
    run_ffmpeg("-i", clip, "-c", "copy", "-bsf:a", dropped, gappy)
    source, target = probe(gappy), tmp_path / f"out.{suffix}"
    film = write_film(target, source, grey(source))
    assert film.sounds[0].codec == ("aac" if suffix == "mp4" else "pcm_s16le")
    onset, start, end = sound_of(target)
    assert (onset, start, end) == pytest.approx((1, 0, 2), abs=0.05)


def samples_of(path: Path) -> np.ndarray:
    """Return the decoded sound of a film as 16-bit samples."""
    pcm = run_ffmpeg("-i", path, "-map", "0:a:0", "-f", "s16le", "pipe:1")
    return np.frombuffer(pcm, np.int16)


@pytest.mark.parametrize(
    ("suffix", "encoder", "found"),
    [
        ("m2ts", "pcm_bluray", "pcm_s24le"),
        ("mov", "pcm_f32be", "pcm_f32le"),
        ("mov", "pcm_s8", "pcm_u8"),
        ("ts", "s302m", "pcm_s24le"),
        ("mov", "adpcm_ima_qt", "aac"),
    ],
)
def test_join_film_re_encodes_what_mkv_does_not_hold(
    suffix: str, encoder: str, found: str, tmp_path: Path
) -> None:
    extra = ("-ac", "2", "-ar", "48000", "-strict", "-2")
    clip = make_clip(tmp_path / f"clip.{suffix}", sound=encoder, extra=extra)
    source, target = probe(clip), tmp_path / "out.mkv"
    assert [sound.codec for sound in source.sounds] == [encoder]
    film = write_film(target, source, grey(source))
    assert [sound.codec for sound in film.sounds] == [found]
    if found != "aac":
        np.testing.assert_array_equal(samples_of(target), samples_of(clip))


@pytest.mark.parametrize(
    ("ending", "fate", "kept"),
    [
        (".mkv", "pcm_f32be to PCM", [("pcm_f32le", 16)]),
        (".mp4", "pcm_f32be left out, since AAC cannot hold its 16 channels", []),
    ],
)
def test_join_film_of_many_channels(
    ending: str, fate: str, kept: list[tuple[str, int]], tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mov", sound="pcm_f32be", extra=("-ac", "16"))
    source, target = probe(clip), tmp_path / f"out{ending}"
    assert describe_sounds(source, target) == [fate]
    film = write_film(target, source)
    assert [(sound.codec, sound.channels) for sound in film.sounds] == kept


@pytest.mark.parametrize(
    ("name", "sound", "rate", "target", "found"),
    [
        ("clip.avi", "libmp3lame", 11025, "out.mp4", "aac"),
        ("clip.avi", "libmp3lame", 11025, "out.mov", "mp3"),
        ("clip.avi", "libmp3lame", 16000, "out.mp4", "mp3"),
        ("clip.flv", "adpcm_swf", 11025, "out.mkv", "aac"),
        ("clip.mkv", "tta", 48000, "out.mp4", "aac"),
    ],
)
def test_join_film_takes_along_sound_that_ffmpeg_does_not_copy(
    name: str, sound: str, rate: int, target: str, found: str, tmp_path: Path
) -> None:
    """Otherwise ffmpeg would fail after all pictures are rendered."""
    clip = make_clip(tmp_path / name, sound=sound, extra=("-ar", rate, "-ac", 1))
    source, out = probe(clip), tmp_path / target
    fate = "copied" if found in sound else "to AAC"
    assert describe_sounds(source, out) == [f"{source.sounds[0].codec} {fate}"]
    film = write_film(out, source)
    assert [(s.codec, s.channels) for s in film.sounds] == [(found, 1)]
    heard = [
        len(run_ffmpeg("-i", path, "-f", "s16le", "-ar", 8000, "pipe:1")) for path in (clip, out)
    ]
    assert heard[1] == pytest.approx(heard[0], rel=0.2)


def test_join_film_leaves_out_sound_that_nothing_decodes(tmp_path: Path) -> None:
    """Such as sound of a codec that is newer than this ffmpeg."""
    tracks = ("-map", "0", "-map", "1", "-map", "1", "-c:a:1", "flac")
    clip = make_clip(tmp_path / "clip.mkv", sound="aac", extra=tracks)
    data = clip.read_bytes()
    assert data.count(b"A_FLAC") == 1
    clip.write_bytes(data.replace(b"A_FLAC", b"A_XLAC"))
    source, target = probe(clip), tmp_path / "out.mkv"
    assert [sound.codec for sound in source.sounds] == ["aac", "unknown"]
    assert describe_sounds(source, target) == [
        "aac copied",
        "unknown left out, since it cannot be decoded here",
    ]
    film = write_film(target, source)
    assert [sound.codec for sound in film.sounds] == ["aac"]


def test_join_film_takes_all_sound_tracks_along(tmp_path: Path) -> None:
    tracks = ("-map", "0", "-map", "1", "-map", "1", "-c:a:1", "flac")
    extra = (*tracks, "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra")
    source = probe(make_clip(tmp_path / "clip.mkv", sound="aac", extra=extra))
    film = write_film(tmp_path / "out.mp4", source)
    assert [s.codec for s in source.sounds] == ["aac", "flac"]
    assert [(s.codec, s.language) for s in film.sounds] == [("aac", "eng"), ("aac", "fra")]


def streams_of(path: Path) -> list[tuple[str, str, str | None, bool]]:
    """Return kind, codec, language and default flag of each sound and subtitle stream."""
    with av.open(str(path)) as container:
        return [
            (
                stream.type,
                stream.codec_context.codec.canonical_name,
                None if stream.language == "und" else stream.language,
                bool(stream.disposition & stream.disposition.default),
            )
            for stream in container.streams
            if stream.type in ("audio", "subtitle")
        ]


def chapters_of(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        return [
            (
                float(chapter["start"] * present(chapter["time_base"])),
                float(chapter["end"] * present(chapter["time_base"])),
                chapter["metadata"]["title"],
            )
            for chapter in container.chapters()
        ]


@pytest.mark.parametrize(
    ("ending", "sounds", "text"),
    [
        (".mp4", ["aac", "aac"], "mov_text"),
        (".mov", ["aac", "aac"], "mov_text"),
        (".mkv", ["aac", "flac"], "subrip"),
    ],
)
def test_join_film_keeps_what_goes_with_the_pictures(
    ending: str, sounds: list[str], text: str, rich_clip: Path, tmp_path: Path
) -> None:
    source = probe(rich_clip)
    assert [(s.codec, s.language) for s in source.subtitles] == [("subrip", "spa")]
    assert source.chapters == 2
    target = tmp_path / f"out{ending}"
    film = write_film(target, source, grey(source))
    assert film.frame_count() == source.frame_count()
    kinds = [("audio", sounds[0], "eng", False), ("audio", sounds[1], "fra", True)]
    found = streams_of(target)
    assert found[:2] == kinds
    assert [stream[:3] for stream in found[2:]] == [("subtitle", text, "spa")]
    assert said_in(target) == [
        (pytest.approx(0.5, abs=0.01), "Good evening"),
        (pytest.approx(1.2, abs=0.01), "Good night"),
    ]
    assert chapters_of(target) == [(0, 0.8, "Evening"), (0.8, 2, "Night")]
    with av.open(str(target)) as container:
        told = {key.lower(): value for key, value in container.metadata.items()}
    assert (told["title"], told["artist"]) == ("The Kid", "Chaplin")
    if ending == ".mkv":
        assert told["notes"] == "from the attic"


@pytest.fixture
def storied_clip(tmp_path: Path) -> Path:
    """Make a film of 2 s with a date and chapters that begin late, one without a title."""
    marks = ((0.5, 1.0, "title=Evening"), (1.0, 1.5, ""), (1.5, 2.0, "title=Night"))
    lines = [";FFMETADATA1", "title=Two nights", "creation_time=2001-02-03T04:05:06.000000Z"]
    for begin, end, title in marks:
        times = f"START={begin * 1000:.0f}\nEND={end * 1000:.0f}"
        lines.append(f"[CHAPTER]\nTIMEBASE=1/1000\n{times}\n{title}")
    (tmp_path / "story.txt").write_text("\n".join(lines) + "\n")
    plain, clip = make_clip(tmp_path / "plain.mkv"), tmp_path / "storied.mkv"
    told = ("-i", tmp_path / "story.txt", "-map_metadata", 1, "-map_chapters", 1)
    run_ffmpeg("-i", plain, *told, "-map", 0, "-c", "copy", clip)
    return clip


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_join_film_keeps_any_chapters_in_matroska(
    codec: str, storied_clip: Path, tmp_path: Path
) -> None:
    source, target = probe(storied_clip), tmp_path / "out.mkv"
    write_film(target, source, grey(source), Encoding(codec=codec))
    with av.open(str(storied_clip)) as before, av.open(str(target)) as after:
        assert after.chapters() == before.chapters()
        assert len(after.chapters()) == 3
        told = {k.lower(): v for k, v in after.metadata.items()}
        assert told.pop("encoder")
        assert told == {"title": "Two nights", "creation_time": "2001-02-03T04:05:06.000000Z"}


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "prores", "ffv1"])
def test_join_film_tells_matroska_all_of_the_pictures(codec: str, tmp_path: Path) -> None:
    """The codec tag, which alone names the kind of ProRes, the default flag and the rate."""
    clip = make_clip(tmp_path / "clip.mp4", frame_rate="24000/1001")
    source, target = probe(clip), tmp_path / "out.mkv"
    encoding = Encoding(codec=codec, frame_rate=Fraction(24000, 1001))
    write_film(target, source, grey(source), encoding)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == pytest.approx(24000 / 1001, rel=1e-4)
        assert stream.disposition & stream.disposition.default
        assert codec != "prores" or stream.codec_context.codec_tag == "apch"


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("is_silent", [False, True])
def test_join_film_keeps_long_chapters(ending: str, is_silent: bool, tmp_path: Path) -> None:
    """With sound at 48 kHz and subtitles; mp4 stores the duration of a chapter in 32 bits."""
    told = ";FFMETADATA1\n"
    for begin, end, title in ((0, 50, "One"), (50, 110, "Two"), (110, 120, "Three")):
        told += f"[CHAPTER]\nTIMEBASE=1/1\nSTART={begin}\nEND={end}\ntitle={title}\n"
    (tmp_path / "chapters.txt").write_text(told)
    (tmp_path / "said.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nGood evening\n")
    pictures, source = tmp_path / "000001.mp4", tmp_path / "film.mkv"
    black = ("-f", "lavfi", "-i", "color=black:s=32x24:r=24:d=120", *X264)
    run_ffmpeg(*black, pictures)
    tracks = ("-f", "lavfi", "-i", "sine=r=48000:d=120", "-i", tmp_path / "said.srt")
    maps = (*(() if is_silent else ("-map", 1, "-map", 2)), "-map_chapters", 3)
    copied = ("-map", 0, *maps, "-c", "copy", "-c:a", "aac")
    run_ffmpeg("-i", pictures, *tracks, "-i", tmp_path / "chapters.txt", *copied, source)
    target = tmp_path / f"out{ending}"
    join_film([pictures], target, probe(source), Timeline.steady(Fraction(24), 2880), was_free=True)
    assert chapters_of(target) == [
        (0, 50, "One"), (50, 110, "Two"), (110, pytest.approx(120, abs=0.1), "Three")
    ]  # fmt: skip


@pytest.mark.parametrize(("ending", "codec"), [(".mp4", "h264"), (".mov", "h264"), (".mkv", "av1")])
def test_join_film_names_chapters_that_have_no_title(
    ending: str, codec: str, storied_clip: Path, tmp_path: Path
) -> None:
    source, target = probe(storied_clip), tmp_path / f"out{ending}"
    write_film(target, source, grey(source), Encoding(codec=codec))
    chapters = chapters_of(target)
    assert [title for _, _, title in chapters] == ["Evening", "Chapter 2", "Night"]
    assert [end for _, end, _ in chapters] == [1.0, 1.5, 2.0]
    with av.open(str(target)) as container:
        told = {key.lower(): value for key, value in container.metadata.items()}
        assert told["creation_time"] == "2001-02-03T04:05:06.000000Z"


def test_join_film_of_a_part_shifts_chapters_and_subtitles(rich_clip: Path, tmp_path: Path) -> None:
    source, target = probe(rich_clip), tmp_path / "out.mkv"
    part: dict[str, Any] = {"start_seconds": 0.5, "duration_seconds": 1.0}
    write_film(target, source, grey(source, **part), **part)
    assert chapters_of(target) == [(0, 0.3, "Evening"), (0.3, 1, "Night")]
    assert said_in(target) == [(0, "Good evening"), (pytest.approx(0.7, abs=0.01), "Good night")]


MARKS = ["eng Main default", "eng Commentary comment", "deu For the blind visual_impaired"]
ADDED_MARKS = ("captions", "descriptions")  # ffmpeg adds them to mp4 tracks for the deaf and blind
SAID_MARKS = ["spa Signs forced", "eng For the deaf hearing_impaired"]


@pytest.fixture
def covered_clip(tmp_path: Path) -> Path:
    """Make a film with three marked sounds, two non-default subtitles, covers and two files."""
    (tmp_path / "said.srt").write_text(SUBTITLES)
    for name, codec in (("cover.jpg", "mjpeg"), ("small_cover.png", "png"), ("odd.gif", "gif")):
        run_ffmpeg(
            "-f", "lavfi", "-i", "testsrc2=size=60x80", "-frames:v", 1, "-c:v", codec,
            "-strict", "unofficial", tmp_path / name,
        )  # fmt: skip
    (tmp_path / "old type.ttf").write_bytes(bytes(range(256)))
    (tmp_path / "notes.txt").write_text("from the attic")
    plain = make_clip(tmp_path / "plain.mkv", sound="aac")
    types = ("image/jpeg", "application/x-truetype-font", "image/png", "text/plain", "image/gif")
    names = ("cover.jpg", "old type.ttf", "small_cover.png", "notes.txt", "odd.gif")
    marks: list[object] = []
    for number, (kind, mime_type) in enumerate(zip(names, types, strict=True)):
        marks += ["-attach", tmp_path / kind, f"-metadata:s:t:{number}", f"mimetype={mime_type}"]
    for kind, tracks in (("a", MARKS), ("s", SAID_MARKS)):
        for number, mark in enumerate(tracks):
            language, *title, disposition = mark.split()
            marks += [f"-metadata:s:{kind}:{number}", f"language={language}"]
            marks += [f"-metadata:s:{kind}:{number}", f"title={' '.join(title)}"]
            marks += [f"-disposition:{kind}:{number}", disposition]
    clip = tmp_path / "covered.mkv"
    sounds, said = ("-map", "1:a") * 3, ("-map", "0") * 2
    run_ffmpeg(
        "-i", tmp_path / "said.srt", "-i", plain, "-map", "1:v", *sounds, *said,
        "-c", "copy", "-c:s", "subrip", *marks, clip,
    )  # fmt: skip
    return clip


def marks_of(path: Path, kind: str) -> list[str]:
    """Return language, title and disposition of each track of a kind, as libav reads them."""
    with av.open(str(path)) as container:
        return [
            " ".join(
                [
                    str(stream.language),
                    stream.metadata.get("title") or stream.metadata["name"],
                    *(str(flag.name) for flag in type(stream.disposition)
                      if flag in stream.disposition and flag.name not in ADDED_MARKS),
                ]
            )
            for stream in container.streams
            if stream.type == kind
        ]  # fmt: skip


def pictures_of(path: Path) -> list[tuple[str, bytes]]:
    """Return codec and content of each cover."""
    with av.open(str(path)) as container:
        covers = [s for s in container.streams.video if s.disposition & s.disposition.attached_pic]
        return [
            (stream.codec_context.codec.canonical_name, bytes(next(container.demux(stream))))
            for stream in covers
        ]


def files_attached_to(path: Path, folder: Path) -> dict[str, bytes]:
    """Return name and content of each attachment that is no cover, as ffmpeg unpacks it."""
    with av.open(str(path)) as container:
        names = {
            stream.index: stream.metadata["filename"]
            for stream in container.streams
            if stream.type == "attachment"
        }
    for index in names:
        dumped = folder / f"attached {index}"
        run_ffmpeg(f"-dump_attachment:{index}", dumped, "-i", path, "-t", 0, "-f", "null", "-")
    return {name: (folder / f"attached {index}").read_bytes() for index, name in names.items()}


@pytest.mark.parametrize("part", [{}, {"start_seconds": 0.8, "duration_seconds": 0.8}])
@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_join_film_keeps_covers_and_attached_files(
    ending: str, part: dict[str, Any], covered_clip: Path, tmp_path: Path
) -> None:
    source, folder = probe(covered_clip), tmp_path / "out"
    assert [(a.codec, a.name) for a in source.attachments] == [
        ("mjpeg", "cover.jpg"),
        (None, "old type.ttf"),
        ("png", "small_cover.png"),
        (None, "notes.txt"),
        ("gif", "odd.gif"),
    ]
    folder.mkdir()
    target = folder / f"out{ending}"
    film = write_film(target, source, grey(source, **part), **part)
    assert (film.codec, film.stream_index, film.other_picture_codecs) == ("h264", 0, ())
    assert files_in(folder) == [target.name]
    covers = [
        (codec, (tmp_path / name).read_bytes())
        for codec, name in (("mjpeg", "cover.jpg"), ("png", "small_cover.png"), ("gif", "odd.gif"))
    ]
    kept = {".mp4": covers[:2], ".mov": [], ".mkv": covers}[ending]
    assert pictures_of(target) == kept
    assert [CONTAINERS[ending].attaches(a) for a in source.attachments if a.codec] == [
        cover in kept for cover in covers
    ]
    files = {name: (tmp_path / name).read_bytes() for name in ("old type.ttf", "notes.txt")}
    assert files_attached_to(target, folder) == (files if ending == ".mkv" else {})
    assert [CONTAINERS[ending].attaches(a) for a in source.attachments if not a.codec] == [
        ending == ".mkv"
    ] * 2


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_join_film_keeps_covers_of_an_mp4(ending: str, covered_clip: Path, tmp_path: Path) -> None:
    """An mp4 names its streams and sound tracks in other ways than Matroska."""
    source = probe(covered_clip)
    mp4 = write_film(tmp_path / "source.mp4", source, grey(source))
    target = tmp_path / f"out{ending}"
    film = write_film(target, mp4, grey(mp4))
    assert pictures_of(target) == pictures_of(mp4.path) != []
    if ending == ".mkv":
        names = [(a.name, a.mime_type) for a in film.attachments]
        assert names == [("cover.jpg", "image/jpeg"), ("cover.png", "image/png")]
    assert marks_of(target, "audio") == MARKS


def test_join_film_keeps_covers_with_hostile_names(tmp_path: Path) -> None:
    cover = tmp_path / "cover.png"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=60x80", "-frames:v", 1, cover)
    for number, name in enumerate(("../../escaped.png", "..", "x" * 300, "/escaped.png")):
        clip, folder = tmp_path / f"{number}.mkv", tmp_path / f"out{number}"
        named = ("-metadata:s:t", "mimetype=image/png", "-metadata:s:t:0", f"filename={name}")
        make_clip(clip, seconds=0.2, extra=("-attach", str(cover), *named))
        source = probe(clip)
        assert [a.name for a in source.attachments] == [name]
        folder.mkdir()
        before = files_in(tmp_path)
        film = write_film(folder / "out.mkv", source, grey(source))
        assert [a.name for a in film.attachments] == ["cover.png"]
        assert files_in(tmp_path) == before


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_join_film_keeps_what_tracks_are_marked_as(
    ending: str, covered_clip: Path, tmp_path: Path
) -> None:
    source = probe(covered_clip)
    target = tmp_path / f"out{ending}"
    film = write_film(target, source, grey(source))
    assert marks_of(target, "audio") == MARKS
    said = marks_of(target, "subtitle")
    if ending == ".mp4":  # one track of each kind is enabled
        assert said.pop(0) == "spa Signs default forced"
        assert said == SAID_MARKS[1:]
    else:
        assert said == SAID_MARKS
    assert [track.title for track in film.sounds] == ["Main", "Commentary", "For the blind"]


@pytest.mark.parametrize(
    ("rate", "part", "is_kept"),
    [("25", {}, True), ("24", {}, False), ("25", {"start_seconds": 0.2}, False)],
)
@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_join_film_keeps_a_time_code_that_counts_its_frames(
    ending: str, rate: str, part: dict[str, float], is_kept: bool, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mov", extra=("-timecode", "10:20:30:04"))
    source = probe(clip)
    assert source.time_code == "10:20:30:04"
    encoding = Encoding(frame_rate=Fraction(rate), preset="ultrafast")
    film = write_film(tmp_path / f"out{ending}", source, grey(source, **part), encoding, **part)
    assert film.time_code == ("10:20:30:04" if is_kept else None)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
@pytest.mark.parametrize(("start", "seconds"), [(0.0, 2.6), (1.0, 1.8), (1.48, 1.0), (0.52, 3.48)])
def test_join_film_cuts_sound_to_the_part(
    suffix: str, start: float, seconds: float, numbered_clip: Path, tmp_path: Path
) -> None:
    clip = tmp_path / f"clip.{suffix}"
    sound = "pcm_s16le" if suffix == "mov" else "copy"
    run_ffmpeg("-i", numbered_clip, "-c:v", "copy", "-c:a", sound, clip)
    source = probe(clip)
    part: dict[str, Any] = {"start_seconds": start, "duration_seconds": seconds}
    target = tmp_path / "out.mp4"
    film = write_film(target, source, grey(source, **part), **part)
    assert film.duration_seconds == pytest.approx(seconds)
    onset, sound_start, sound_end = sound_of(target)
    assert onset == pytest.approx(2 - start, abs=0.05)
    assert sound_end - sound_start == pytest.approx(seconds, abs=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("what", ["v", "a"])
@pytest.mark.parametrize("start", [0.0, 0.2])
def test_join_film_keeps_picture_and_sound_together(
    suffix: str, what: str, start: float, sound_clip: Path, tmp_path: Path
) -> None:
    source = probe(delay(sound_clip, tmp_path / f"late.{suffix}", what=what))
    before, _, _ = sound_of(source.path)
    target = tmp_path / "out.mp4"
    write_film(target, source, grey(source, start_seconds=start), start_seconds=start)
    after, _, _ = sound_of(target)
    assert before == pytest.approx(1 + LATE_SECONDS * (-1 if what == "v" else 1), abs=0.06)
    assert after == pytest.approx(before - start, abs=FRAME)


def test_join_film_ends_sound_with_a_late_picture(sound_clip: Path, tmp_path: Path) -> None:
    source = probe(delay(sound_clip, tmp_path / "late.mp4", what="v"))
    target = tmp_path / "out.mp4"
    write_film(target, source, grey(source, duration_seconds=1.0), duration_seconds=1.0)
    _, start, end = sound_of(target)
    assert start == pytest.approx(-LATE_SECONDS, abs=FRAME)
    assert end == pytest.approx(1, abs=FRAME)


def test_join_film_starts_a_late_picture_late(sound_clip: Path, tmp_path: Path) -> None:
    source = probe(delay(sound_clip, tmp_path / "late.mp4", what="v"))
    film = write_film(tmp_path / "out.mp4", source, grey(source))
    assert film.start_seconds == pytest.approx(LATE_SECONDS, abs=FRAME)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_join_film_takes_any_name(
    name: str, sound_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    source = Path("in") / name
    source.write_bytes(sound_clip.read_bytes())
    write_film(Path(name), probe(source))
    assert files_in(tmp_path) == sorted(["in", name])


@pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt])
def test_picture_writer_leaves_nothing_when_the_block_raises(
    problem: type[BaseException],
    sound_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(our_ffmpeg, "QUIT_SECONDS", 5.0)
    before = our_children()
    source = probe(sound_clip)
    with (
        pytest.raises(problem),
        PictureWriter(tmp_path / "out.mp4", source, FAST) as writer,
    ):
        for luma, chroma in noise(64, 48, 30):
            writer.write(luma, chroma)
        while not files_in(tmp_path):
            time.sleep(0.01)
        began = time.monotonic()
        raise problem
    assert files_in(tmp_path) == []
    assert our_children() == before
    assert time.monotonic() - began < 2.5, "it had to be killed"


def test_picture_writer_keeps_an_older_film_until_the_new_one_is_whole(
    plain_clip: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("an older film")
    with PictureWriter(target, probe(plain_clip), FAST) as writer:
        for luma, chroma in noise(64, 48, 3):
            writer.write(luma, chroma)
        assert target.read_text() == "an older film"
    assert probe(target).frame_count() == 3
    assert files_in(tmp_path) == ["out.mp4"]


def test_picture_writer_refuses_a_missing_folder(plain_clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with pytest.raises(FilmColorizerError) as caught:
        PictureWriter(folder / "out.mp4", probe(plain_clip), FAST)
    assert str(caught.value) == (
        f"the folder {folder} does not exist; create it, or choose another place with -o"
    )


def test_picture_writer_refuses_a_folder_that_may_not_be_written_to(plain_clip: Path) -> None:
    source = probe(plain_clip)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with ordinary_user(), pytest.raises(FilmColorizerError) as caught:
            PictureWriter(folder / "out.mp4", source, FAST)
    assert str(caught.value) == (
        f"the folder {folder} is not writable; change its permissions, or choose another place with"
        " -o"
    )


def test_picture_writer_refuses_a_folder_as_target(plain_clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.mkdir()
    with pytest.raises(FilmColorizerError) as caught:
        write_pictures(target, probe(plain_clip))
    assert str(caught.value) == (f"cannot write {target} (Is a directory); choose another place")
    assert files_in(tmp_path) == ["out.mp4"]
    assert files_in(target) == []


@pytest.mark.parametrize("count", [40, 1500], ids=["at the end", "midway"])
def test_picture_writer_leaves_nothing_on_a_full_disk(
    count: int, plain_clip: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    source = probe(plain_clip)
    pictures = noise(64, 48, 40) * (count // 40)
    with file_size_limit(100_000), pytest.raises(VideoError) as caught:
        write_pictures(target, source, pictures)
    message = str(caught.value)
    assert message.startswith(f"{target} could not be written (ffmpeg: ")
    assert "File too large" in message
    assert message.endswith("); make room there, or choose another place")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(25, 2)])
def test_join_film_begins_each_part_where_the_last_one_ends(
    rate: Fraction, plain_clip: Path, tmp_path: Path
) -> None:
    source, encoding = probe(plain_clip), Encoding(frame_rate=rate, preset="medium", crf=0)
    pictures = noise(64, 48, 30)
    parts = []
    for number, (begin, end) in enumerate(((0, 13), (13, 14), (14, 30))):
        parts.append(tmp_path / f"{number}.mp4")
        write_pictures(parts[-1], source, pictures[begin:end], encoding)
    target = tmp_path / "out.mp4"
    join_film(parts, target, source, Timeline.steady(rate, 30), was_free=True)
    assert times_of(target) == pytest.approx([number / rate for number in range(30)], abs=1e-4)
    luma, *_ = decode_planes(target, "yuv420p", (64, 48))
    np.testing.assert_array_equal(luma, [picture for picture, _ in pictures])
    assert count_pictures(target) == 30
    assert files_in(tmp_path) == ["0.mp4", "1.mp4", "2.mp4", "out.mp4"]


def test_join_film_of_parts_that_are_stored_in_other_orders(
    plain_clip: Path, tmp_path: Path
) -> None:
    """Parts with B-frames store frames out of order; a part of a single picture does not."""
    source, encoding, parts = probe(plain_clip), Encoding(preset="medium"), list[Path]()
    pictures = [*grey(source)]
    for number, (begin, end) in enumerate(((0, 30), (30, 31), (31, 50))):
        parts.append(tmp_path / f"{number}.mp4")
        write_pictures(parts[-1], source, pictures[begin:end], encoding)
    assert stored_order(parts[0]) != list(range(30))
    target = tmp_path / "out.mp4"
    join_film(parts, target, source, Timeline.steady(Fraction(24), 50), was_free=True)
    assert times_of(target) == pytest.approx([number / 24 for number in range(50)], abs=1e-4)


def stored_order(path: Path) -> list[int]:
    """Return the display order of a film's video packets, as they are stored."""
    with av.open(str(path)) as container:
        times = [present(packet.pts) for packet in container.demux(video=0) if packet.size]
    return [sorted(times).index(time) for time in times]


@pytest.mark.parametrize("count", [17, 18])
def test_join_film_holds_the_last_picture_wherever_it_is_stored(
    count: int, plain_clip: Path, tmp_path: Path
) -> None:
    source, part, target = probe(plain_clip), tmp_path / "part.mp4", tmp_path / "out.mp4"
    pictures = itertools.islice(grey(source), count)
    write_pictures(part, source, [*pictures], Encoding(preset="veryfast"))
    is_stored_last = stored_order(part)[-1] == count - 1
    assert is_stored_last == (count == 17)
    # The picture before the last one is held as well.
    pts, held = [*range(0, 1000 * (count - 1), 1000), 1000 * (count + 5)], 15_000
    timeline = Timeline(Fraction(24), Fraction(1, 24000), pts, pts[-1] + held)
    join_film([part], target, source, timeline, was_free=True)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        seconds = present(stream.duration) * present(stream.time_base)
    assert float(seconds) == pytest.approx((pts[-1] + held) / 24000, abs=1e-3)


def test_join_film_of_a_part_leaves_earlier_chapters_out(rich_clip: Path, tmp_path: Path) -> None:
    source, target = probe(rich_clip), tmp_path / "out.mp4"
    write_film(target, source, grey(source, start_seconds=1.0), start_seconds=1.0)
    assert chapters_of(target) == [(0, 1, "Night")]


def test_join_film_gives_each_channel_its_bits(tmp_path: Path) -> None:
    """When it has to encode sound, here noise, which uses all of its bit rate."""
    clip, target = tmp_path / "clip.mkv", tmp_path / "out.mp4"
    noisy = ("-f", "lavfi", "-i", "anoisesrc=d=3,aformat=channel_layouts=stereo")
    pictures = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:d=3")
    run_ffmpeg(*pictures, *noisy, *X264, "-c:a", "flac", clip)
    source = probe(clip)
    write_film(target, source, grey(source))
    with av.open(str(target)) as container:
        bits = sum(packet.size for packet in container.demux(audio=0)) * 8
    assert 150_000 < bits / 3 < 250_000


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_join_film_tags_hevc_as_apple_wants_it(
    ending: str, plain_clip: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"out.{ending}"
    hevc = Encoding(codec="hevc", preset="ultrafast")
    write_film(target, probe(plain_clip), noise(64, 48, 3), hevc)
    assert b"hvc1" in target.read_bytes()


def test_join_film_goes_on_after_one_that_was_killed(covered_clip: Path, tmp_path: Path) -> None:
    """What the killed run left beside the parts does no harm."""
    folder = tmp_path / "parts"
    for name in ("joined.mkv", "whole.mp4", "subtitles", "attached/2/cover.jpg"):
        left = folder / "joined" / name
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("cut short")
    source, part, target = probe(covered_clip), folder / "000001.mp4", tmp_path / "out.mkv"
    write_pictures(part, source)
    join_film([part], target, source, Timeline.steady(FAST.frame_rate, 3), was_free=True)
    assert count_pictures(target) == 3
    assert len(probe(target).attachments) == 5
    assert files_in(folder) == ["000001.mp4"]


def test_join_film_tells_when_the_source_is_gone(sound_clip: Path, tmp_path: Path) -> None:
    source = dataclasses.replace(probe(sound_clip), path=tmp_path / "gone.mp4")
    target = tmp_path / "out.mp4"
    with pytest.raises(VideoError) as caught:
        write_film(target, source, noise(64, 48, 20))
    assert str(caught.value) == (
        f"{source.path} cannot be read any more (No such file or directory); put it back, and run"
        " the same command again"
    )
    assert files_in(tmp_path) == []


def test_picture_writer_leaves_nothing_when_ffmpeg_is_missing(
    plain_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = probe(plain_clip)
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path / "no-ffmpeg"))
    with pytest.raises(FfmpegError, match="no-ffmpeg is not a program that can be run"):
        write_pictures(tmp_path / "out.mp4", source)
    assert files_in(tmp_path) == []


def test_join_film_of_numbered_pictures(tmp_path: Path) -> None:
    make_pictures(tmp_path / "%d.png", first=3, count=6)
    source = probe(tmp_path / "%d.png", sequence_rate=Fraction(18))
    parts: list[dict[str, Any]] = [{}, {"start_seconds": 2 / 18}]
    for part in parts:
        film = write_film(tmp_path / "out.mkv", source, grey(source, **part), **part)
        assert film.frame_count(Fraction(25)) == (4 if part else 6)
        assert (film.sounds, film.attachments, film.chapters) == ((), (), 0)


def test_mkv_keeps_the_sound_from_its_very_begin(tmp_path: Path) -> None:
    """AAC begins with a packet before the first picture, which its decoder needs."""
    source = tmp_path / "source.mp4"
    tone = ("-f", "lavfi", "-i", "sine=440:sample_rate=44100:duration=2")
    pictures = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=2")
    run_ffmpeg(*pictures, *tone, "-c:v", "libx264", "-c:a", "aac", source)
    target = tmp_path / "target.mkv"
    write_film(target, probe(source), grey(probe(source)))
    starts, loudness = [], []
    for path in (source, target):
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(audio=0) if packet.size]
            starts.append([float(present(p.pts) * p.time_base) for p in packets])
        with av.open(str(path)) as container:
            first = next(container.decode(audio=0)).to_ndarray()
            loudness.append(np.square(first).mean())
    assert starts[1] == pytest.approx(starts[0], abs=0.001)
    assert starts[0][0] < 0
    assert loudness[1] == pytest.approx(loudness[0], rel=0.01)


@pytest.mark.parametrize("language", ["fre", "fra", "swe", "cze", "ces", "ron", "slo", "deu"])
def test_mov_keeps_languages_by_whatever_code_they_are_told(language: str, tmp_path: Path) -> None:
    marks = ("-metadata:s:a:0", f"language={language}")
    source = make_clip(tmp_path / "source.mkv", sound="aac", extra=marks)
    target = tmp_path / "target.mov"
    write_film(target, probe(source), grey(probe(source)))
    meant = {"fre": "fra", "swe": "sve", "cze": "ces", "slo": "slk", "deu": "ger"}
    [sound] = probe(target).sounds
    assert sound.language == meant.get(language, language)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_join_film_keeps_the_title_and_language_of_the_pictures(
    suffix: str, tmp_path: Path
) -> None:
    marks = ("-metadata:s:v:0", "title=Restored", "-metadata:s:v:0", "language=fra")
    source = probe(make_clip(tmp_path / "source.mkv", sound="aac", extra=marks))
    assert (source.title, source.language) == ("Restored", "fra")
    target = tmp_path / f"target{suffix}"
    write_film(target, source, grey(source))
    assert (probe(target).title, probe(target).language) == ("Restored", "fra")

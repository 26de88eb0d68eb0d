from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from filmcolorizer_cli import video
from filmcolorizer_cli.containers import CONTAINERS
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.ffmpeg import whole_picture
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.planes import Coding
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import (
    Film,
    Sound,
    count_pictures,
    film_identity,
    may_be_same_film,
    opened,
    probe,
)
from tests.films import (
    FRAME,
    HOSTILE,
    LATE_SECONDS,
    decode_planes,
    delay,
    make_clip,
    make_pictures,
    run_ffmpeg,
)
from tests.machine import ordinary_user


def test_probe_tells_size_rate_and_length(plain_clip: Path) -> None:
    assert probe(plain_clip) == Film(
        path=plain_clip,
        container="mov,mp4,m4a,3gp,3g2,mj2",
        stream_index=0,
        codec="h264",
        pixel_format="yuv420p",
        width=64,
        height=48,
        sample_aspect_ratio=Fraction(1),
        rotation=0,
        frame_rate=Fraction(25),
        time_base=Fraction(1, 12800),
        start_seconds=0.0,
        stored_from_seconds=0.0,
        first_pts=0,
        duration_seconds=2.0,
        coding=Coding(matrix="bt601"),
        is_matrix_tagged=False,
        sounds=(),
        subtitles=(),
        chapters=0,
    )


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize("frame_rate", ["24", "30000/1001", "24000/1001"])
def test_probe_tells_the_exact_frame_rate(suffix: str, frame_rate: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / f"clip.{suffix}", frame_rate=frame_rate)
    film = probe(clip)
    assert film.frame_rate == Fraction(frame_rate)
    assert film.frame_count() == 2 * round(Fraction(frame_rate))
    assert film.frame_count(Fraction(12)) == 24


def test_probe_tells_an_anamorphic_pictures_shape(tmp_path: Path) -> None:
    shape = ("-vf", "setsar=64/45")
    film = probe(make_clip(tmp_path / "pal.mp4", size=(720, 576), seconds=0.2, extra=shape))
    assert (film.width, film.height) == (720, 576)
    assert film.sample_aspect_ratio == Fraction(64, 45)
    assert film.aspect_ratio == pytest.approx(16 / 9)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_probe_undoes_a_rotation(degrees: int, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=0.2, extra=("-vf", "setsar=4/3"))
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", degrees, "-i", clip, "-c", "copy", turned)
    film = probe(turned)
    upright = (64, 48, Fraction(4, 3)) if degrees == 180 else (48, 64, Fraction(3, 4))
    assert (film.width, film.height, film.sample_aspect_ratio) == upright
    assert film.rotation == degrees


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_probe_tells_the_size_of_what_is_cropped_in_its_stream(
    codec: str, is_old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders round a crop at the left unless told not to; ffmpeg tells them from 7.1 on."""
    if is_old:
        monkeypatch.setattr("filmcolorizer_cli.ffmpeg._crops", lambda binary: False)
        assert whole_picture() == {"flags": "unaligned"}
    whole, cropped = tmp_path / "whole.mp4", tmp_path / "cropped.mp4"
    encoder = {"h264": ("libx264",), "hevc": ("libx265", "-x265-params", "log-level=-1")}
    make_clip(whole, size=(320, 240), codec=("-c:v", *encoder[codec]))
    crop = f"{codec}_metadata=crop_left=20:crop_right=4:crop_top=16"
    run_ffmpeg("-i", whole, "-c", "copy", "-bsf:v", crop, cropped)
    film = probe(cropped)
    assert (film.width, film.height) == (296, 224)
    luma, *_ = decode_planes(cropped, "yuv420p", (296, 224))
    read = read_luma(film, Sampling(frame_rate=film.frame_rate))
    np.testing.assert_array_equal(np.stack(list(read)), luma)


def test_probe_of_a_picture_that_is_turned_a_bit_keeps_its_sides(tmp_path: Path) -> None:
    clip, turned = make_clip(tmp_path / "clip.mp4", seconds=0.2), tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", 10, "-i", clip, "-c", "copy", turned)
    film = probe(turned)
    assert (film.width, film.height) == (64, 48)


@pytest.mark.parametrize("suffix", ["avi", "mkv"])
def test_probe_reads_titles_that_are_no_utf_8(suffix: str, tmp_path: Path) -> None:
    """Old programs wrote such titles."""
    path = tmp_path / f"clip.{suffix}"
    titled = ("-metadata", "title=Die BXchse", "-metadata:s:v", "title=BXchse")
    make_clip(path, seconds=0.2, codec=("-c:v", "mpeg4"), extra=titled)
    path.write_bytes(path.read_bytes().replace(b"BXchse", b"B\xfcchse"))
    film = probe(path)
    assert film.frame_count() == 5
    with opened(film) as container:
        assert container.metadata["title"] == "Die Büchse"


@pytest.mark.parametrize(
    ("tag", "matrix"),
    [
        ("smpte170m", "bt601"),
        ("bt470bg", "bt601"),
        ("bt709", "bt709"),
        ("bt2020nc", "bt2020"),
    ],
)
def test_probe_takes_the_matrix_from_its_tag(tag: str, matrix: str, tmp_path: Path) -> None:
    film = probe(make_clip(tmp_path / "clip.mp4", seconds=0.2, extra=("-colorspace", tag)))
    assert (film.coding.matrix, film.is_matrix_tagged) == (matrix, True)


@pytest.mark.parametrize(("height", "matrix"), [(576, "bt601"), (578, "bt709")])
def test_probe_guesses_an_untagged_matrix_from_the_height(
    height: int, matrix: str, tmp_path: Path
) -> None:
    film = probe(make_clip(tmp_path / "clip.mp4", size=(64, height), seconds=0.2))
    assert (film.coding.matrix, film.is_matrix_tagged) == (matrix, False)


@pytest.mark.parametrize(
    ("layout", "extra"), [("yuvj420p", ()), ("yuv420p", ("-color_range", "pc"))]
)
def test_probe_tells_full_range(layout: str, extra: tuple[str, ...], tmp_path: Path) -> None:
    film = probe(make_clip(tmp_path / "clip.mp4", seconds=0.2, layout=layout, extra=extra))
    assert film.coding.range == "full"


@pytest.mark.parametrize(
    ("suffix", "encoder", "codec", "is_kept"),
    [
        ("mp4", "aac", "aac", True),
        ("mp4", "libmp3lame", "mp3", True),
        ("mp4", "ac3", "ac3", True),
        ("mkv", "libopus", "opus", True),
        ("mov", "pcm_s16le", "pcm_s16le", False),
        ("mkv", "flac", "flac", False),
        ("mkv", "libvorbis", "vorbis", False),
    ],
)
def test_probe_tells_the_sounds_codec(
    suffix: str, encoder: str, codec: str, is_kept: bool, tmp_path: Path
) -> None:
    (sound,) = probe(make_clip(tmp_path / f"clip.{suffix}", seconds=0.2, sound=encoder)).sounds
    assert (sound.codec, sound.channels) == (codec, 1)
    assert CONTAINERS[".mp4"].sound_encoder(sound) == ("copy" if is_kept else "aac")


def test_probe_tells_all_sound_tracks(tmp_path: Path) -> None:
    tracks = ("-map", "0", "-map", "1", "-map", "1", "-ac:a:1", "2", "-ar:a:1", "48000")
    extra = (*tracks, "-metadata:s:a:1", "language=fra")
    film = probe(make_clip(tmp_path / "clip.mp4", seconds=0.2, sound="aac", extra=extra))
    assert film.sounds == (
        Sound(
            index=1,
            codec="aac",
            channels=1,
            sample_rate=44100,
            language=None,
            start_seconds=0.0,
            dispositions=("default",),
        ),
        Sound(
            index=2, codec="aac", channels=2, sample_rate=48000, language="fra", start_seconds=0.0
        ),
    )


@pytest.mark.parametrize("rotation", [0, 90])
def test_probe_guesses_the_matrix_by_the_height_that_is_stored(
    rotation: int, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", size=(640, 360), seconds=0.2)
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", rotation, "-i", clip, "-c", "copy", turned)
    film = probe(turned)
    assert film.height == (640 if rotation else 360)
    assert film.coding.matrix == "bt601"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_probe_tells_when_a_late_picture_starts(
    suffix: str, sound_clip: Path, tmp_path: Path
) -> None:
    film = probe(delay(sound_clip, tmp_path / f"late.{suffix}", what="v"))
    assert film.start_seconds == pytest.approx(LATE_SECONDS, abs=FRAME)
    assert film.duration_seconds == pytest.approx(2, abs=FRAME)


@pytest.mark.parametrize("name", ["DURATION", "DURATION-eng"])
def test_probe_of_matroska_tells_the_pictures_length_not_the_sounds(
    name: str, tmp_path: Path
) -> None:
    film = tmp_path / "film.mkv"
    pictures, sound = ("testsrc2=size=64x48:rate=25:duration=2", "sine=duration=5")
    inputs = ("-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound)
    run_ffmpeg(*inputs, "-metadata:s:v", "DURATION-eng=00:00:02.000000000", film)
    if name != "DURATION":  # other programs write this tag only with a language
        content = film.read_bytes()
        film.write_bytes(content.replace(b"DURATIOND\x87", b"OTHERTAGD\x87"))
    assert probe(film).duration_seconds == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("ending", ["h264", "hevc"])
def test_probe_counts_the_pictures_of_a_bare_stream(ending: str, tmp_path: Path) -> None:
    """With B-frames, several packets are read before the first frame comes out."""
    codec = ("-c:v", {"h264": "libx264", "hevc": "libx265"}[ending], "-bf", "3")
    film = tmp_path / f"film.{ending}"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=64:48", *codec, "-r", "24", film)
    assert probe(film).duration_seconds == pytest.approx(6.0)
    assert probe(film).frame_count() == count_pictures(film) == 144


def test_probe_takes_rgb_for_the_working_matrix(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264rgb")
    film = probe(make_clip(tmp_path / "rgb.mp4", seconds=0.2, codec=codec, layout="rgb24"))
    assert (film.pixel_format, film.height, film.coding.matrix) == ("gbrp", 48, "bt709")


def test_probe_of_a_whole_film(shared_data: Path) -> None:
    film = probe(shared_data / "film" / "big_buck_bunny_360p.mp4")
    assert (film.width, film.height, film.frame_rate, film.codec) == (640, 360, 24, "h264")
    assert film.frame_count() == 14_315
    assert [(sound.codec, sound.channels) for sound in film.sounds] == [("aac", 2)]


def test_probe_refuses_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    run_ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", path)
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert str(caught.value) == (
        f"{path} has no pictures, only sound or data; give a file with a film in it"
    )


def test_probe_does_not_take_a_cover_for_a_film(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    cover = ("-f", "lavfi", "-i", "color=size=64x64:duration=0.04", "-c:v", "mjpeg")
    disposition = ("-disposition:v", "attached_pic")
    run_ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", *cover, *disposition, path)
    with pytest.raises(VideoError, match="has no pictures, only sound or data"):
        probe(path)


@pytest.mark.parametrize("content", ["", "once upon a time\n" * 50])
def test_probe_refuses_what_is_no_film(content: str, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text(content)
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert str(caught.value) == (
        f"{path} cannot be read as a video (Invalid data found when processing input);"
        " give a film file such as an mp4 or mkv"
    )


@pytest.mark.parametrize("ending", ["mp4", "m3u8", "sdp", "svg", "mpd"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_probe_opens_no_file_but_the_one_it_is_given(
    kind: str, ending: str, plain_clip: Path, tmp_path: Path
) -> None:
    shutil.copy(plain_clip, tmp_path / "other.mp4")
    film = tmp_path / f"film.{ending}"
    film.write_text(HOSTILE[kind].format(name="other.mp4"))
    with pytest.raises(VideoError, match=r"cannot be read as a video \("):
        probe(film)


def test_probe_refuses_what_may_not_be_read(plain_clip: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "film.mp4"
        path.write_bytes(plain_clip.read_bytes())
        path.chmod(0o000)
        with ordinary_user(), pytest.raises(VideoError) as caught:
            probe(path)
    assert str(caught.value) == (
        f"{path} cannot be read as a video (Permission denied);"
        " give a film file such as an mp4 or mkv"
    )


def test_probe_refuses_what_lies_in_a_folder_out_of_reach(plain_clip: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        path.write_bytes(plain_clip.read_bytes())
        Path(folder).chmod(0o600)
        try:
            with ordinary_user(), pytest.raises(VideoError, match=f"^{re.escape(str(path))} "):
                probe(path)
        finally:
            Path(folder).chmod(0o700)


def test_probe_refuses_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "missing.mp4"
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert str(caught.value) == f"{path} does not exist; give a film file"


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="there are no such files here")
@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_probe_refuses_what_only_one_process_has_open(name: str, plain_clip: Path) -> None:
    """Another process could not open it, and would report it as damaged."""
    code = f"from filmcolorizer_cli.video import *\ntry: probe(Path({name!r}))\n"
    code += "except VideoError as error: print(error)"
    with plain_clip.open("rb") as file:
        told = subprocess.run([sys.executable, "-c", code], stdin=file, capture_output=True)
    why = "is a stream that ffmpeg cannot open by this name; give the film file's path"
    assert told.stdout.decode() == f"{name} {why}\n"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there are no such files here")
def test_probe_takes_a_film_that_another_process_has_open(plain_clip: Path) -> None:
    """A deleted film can be rescued in this way."""
    with plain_clip.open("rb") as file:
        assert probe(Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")).width == 64


def test_probe_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        probe(tmp_path)
    hint = "give a film file, or numbered pictures such as frames/%05d.png"
    assert str(caught.value) == f"{tmp_path} is a folder; {hint}"


def test_probe_tells_of_subtitles_that_libav_does_not_know() -> None:
    """Teletext in TV recordings is an example, which ffmpeg cannot write."""
    no_flags = av.stream.Disposition(0)
    stream = SimpleNamespace(
        index=3, codec_context=None, language="deu", metadata={}, disposition=no_flags
    )
    subtitle = video._subtitle(stream)
    assert (subtitle.index, subtitle.codec, subtitle.language) == (3, "unknown", "deu")
    assert not any(container.subtitle_encoder(subtitle) for container in CONTAINERS.values())


def test_probe_of_pictures_that_nothing_decodes(tmp_path: Path) -> None:
    """As a further stream they are reported; a film of nothing else is refused."""
    extra = ("-map", "0", "-map", "0", "-c:v:1", "mpeg4")
    clip = make_clip(tmp_path / "clip.mkv", seconds=0.2, extra=extra)
    data = clip.read_bytes()
    clip.write_bytes(data.replace(b"V_MPEG4/ISO/ASP", b"V_XPEG4/ISO/ASP"))
    assert probe(clip).other_picture_codecs == ("unknown",)
    clip.write_bytes(data.replace(b"V_MPEG4", b"V_XPEG4"))
    with pytest.raises(VideoError, match="in a codec that cannot be decoded here; convert it"):
        probe(clip)


def test_probe_tells_of_further_pictures(tmp_path: Path) -> None:
    extra = ("-map", "0", "-map", "0", "-c:v:1", "mpeg4")
    film = probe(make_clip(tmp_path / "clip.mkv", seconds=0.2, extra=extra))
    assert (film.codec, film.stream_index, film.other_picture_codecs) == ("h264", 0, ("mpeg4",))


def test_probe_takes_the_pictures_that_are_shown_by_default(tmp_path: Path) -> None:
    """Here these are the second stream's, which are smaller and fewer."""
    extra = ("-map", "0", "-map", "0", "-c:v:1", "mpeg4", "-s:v:1", "32x24")
    default = ("-disposition:v:0", "0", "-disposition:v:1", "default", "-frames:v:1", 10)
    film = probe(make_clip(tmp_path / "clip.mkv", seconds=1, extra=(*extra, *default)))
    assert (film.codec, film.stream_index, film.other_picture_codecs) == ("mpeg4", 1, ("h264",))
    assert (film.width, film.height, count_pictures(film.path)) == (32, 24, 10)
    assert [frame.shape for frame in read_luma(film, Sampling())] == [(24, 32)] * 10


def test_count_pictures_counts_no_cover(plain_clip: Path, tmp_path: Path) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=60x80", "-frames:v", 1, tmp_path / "cover.png")
    clip = tmp_path / "clip.mp4"
    run_ffmpeg(
        "-i", tmp_path / "cover.png", "-i", plain_clip, "-map", 0, "-map", 1, "-c", "copy",
        "-disposition:v:0", "attached_pic", clip,
    )  # fmt: skip
    assert count_pictures(clip) == 50
    assert probe(clip).duration_seconds == 2.0


def test_count_pictures_of_what_is_no_film_is_0(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    assert [count_pictures(tmp_path / name) for name in ("text.mp4", "missing.mp4")] == [0, 0]


def test_probe_takes_numbered_pictures_at_24_fps_unless_told(tmp_path: Path) -> None:
    make_pictures(tmp_path / "%02d.png", first=0, count=3)
    (tmp_path / "3.png").write_text("not of this pattern")
    (tmp_path / "00.png.bak").write_text("nor this")
    film = probe(tmp_path / "%02d.png")
    assert (film.frame_rate, film.frame_count(), film.container) == (24, 3, "image2")


def test_probe_names_the_first_picture_that_is_missing(tmp_path: Path) -> None:
    pattern = tmp_path / "%05d.png"
    make_pictures(pattern, first=1, count=9)
    for number in (4, 7):
        (tmp_path / f"{number:05d}.png").unlink()
    with pytest.raises(VideoError) as caught:
        probe(pattern)
    assert str(caught.value) == (
        f"{tmp_path / '00004.png'} is missing from the pictures of {pattern}; put it back, or"
        " number them without gaps"
    )


def test_probe_tells_when_there_are_no_numbered_pictures(tmp_path: Path) -> None:
    make_pictures(tmp_path / "%05d.png", first=1, count=3)
    for pattern in (tmp_path / "%04d.png", tmp_path / "a%05d.png", tmp_path / "no" / "%d.png"):
        with pytest.raises(VideoError) as caught:
            probe(pattern)
        assert str(caught.value) == (
            f"no file matches {pattern}; give the pattern of numbered pictures, as in"
            " frames/%05d.png for frames/00001.png"
        )
    with pytest.raises(VideoError, match=r"names no pictures that can be read; give \.png, "):
        probe(tmp_path / "%d.dpx")
    for name in ("%s.png", "%d%d.png", "%%d.png"):
        with pytest.raises(VideoError, match="does not exist; give the pattern of numbered pic"):
            probe(tmp_path / name)


def test_probe_of_one_picture_tells_of_patterns(tmp_path: Path) -> None:
    picture = tmp_path / "00001.png"
    Image.new("L", (64, 48)).save(picture)
    pattern = "give the pattern of numbered pictures, such as frames/%05d.png"
    with pytest.raises(VideoError, match=re.escape(pattern)):
        probe(picture)
    with pytest.raises(VideoError, match=re.escape(f"*.png does not exist; {pattern}")):
        probe(tmp_path / "*.png")
    with pytest.raises(VideoError, match="does not exist"):
        probe(tmp_path / f"%{10**20}d.png")


def test_may_be_same_film_asks_for_what_tells_films_apart() -> None:
    known = {"path": "a.mp4", "frame_rate": "24", "duration_seconds": 6.0}
    assert may_be_same_film(known, known | {"path": "b.mp4"})
    assert not may_be_same_film(known, known | {"duration_seconds": 7.0})
    assert not may_be_same_film({}, {})
    assert not may_be_same_film(known, known | {"duration_seconds": "six"})


@pytest.mark.parametrize("ending", ["mkv", "ts", "mov", "avi"])
def test_may_be_same_film_in_another_container(ending: str, tmp_path: Path) -> None:
    film, other = tmp_path / "film.mp4", tmp_path / f"film.{ending}"
    rate = ("-r", "24000/1001", "-vf", "scale=96:72")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", *rate, "-c:v", "libx264", "-bf", "0", film)
    run_ffmpeg("-i", film, "-c", "copy", other)
    assert may_be_same_film(film_identity(probe(film)), film_identity(probe(other)))

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from filmcolorizer_cli import video
from filmcolorizer_cli.encoding import Encoding, PictureWriter
from filmcolorizer_cli.errors import FilmColorizerError, VideoError
from filmcolorizer_cli.ffmpeg import BINARY_VARIABLE, QUIT_SECONDS
from filmcolorizer_cli.video import (
    CONTAINERS,
    PLAIN,
    Coding,
    Film,
    Sampling,
    Sound,
    Timeline,
    count_pictures,
    join_film,
    probe,
    read_coded_luma,
    read_cuts,
    read_luma,
    read_pictures,
    read_ycbcr,
)
from tests.conftest import (
    BT709_BARS_100,
    LOSSLESS,
    decode_planes,
    file_size_limit,
    files_in,
    frame_number,
    make_clip,
    make_numbered_clip,
    make_raw_clip,
    ordinary_user,
    our_children,
    run_ffmpeg,
)

FRAME = 1 / 25  # seconds
LATE_SECONDS = 0.48
ODD_NAMES = ["two words.mp4", 'it\'s "q".mp4', "-v.mp4", "100%d.mp4", "a:b.mp4", "ä[0],;\\.mp4"]
FAST = Encoding(frame_rate=Fraction(25), crf=0, preset="ultrafast")


def numbers(film: Film, **sampling: Any) -> list[int]:
    """The numbers of the frames that a sampling of a numbered clip picks."""
    sampling.setdefault("frame_rate", film.frame_rate)
    return [frame_number(luma) for luma in read_luma(film, Sampling(**sampling))]


def all_luma(film: Film, **sampling: Any) -> np.ndarray:
    sampling.setdefault("frame_rate", film.frame_rate)
    return np.stack(list(read_luma(film, Sampling(**sampling))))


def delay(clip: Path, target: Path, *, what: str) -> Path:
    """A copy of a clip whose picture ("v") or sound ("a") comes LATE_SECONDS later."""
    other = "a" if what == "v" else "v"
    late = ("-itsoffset", LATE_SECONDS, "-i", clip)
    run_ffmpeg(
        "-i", clip, *late, "-map", f"0:{other}", "-map", f"1:{what}", "-c", "copy", target
    )  # fmt: skip
    return target


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
        first_tick=0,
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
    assert CONTAINERS[".mp4"].keeps(sound) == is_kept


def test_probe_tells_all_sound_tracks(tmp_path: Path) -> None:
    tracks = ("-map", "0", "-map", "1", "-map", "1", "-ac:a:1", "2", "-ar:a:1", "48000")
    extra = (*tracks, "-metadata:s:a:1", "language=fra")
    film = probe(make_clip(tmp_path / "clip.mp4", seconds=0.2, sound="aac", extra=extra))
    assert film.sounds == (
        Sound(
            index=1, codec="aac", channels=1, sample_rate=44100, language=None, start_seconds=0.0
        ),
        Sound(
            index=2, codec="aac", channels=2, sample_rate=48000, language="fra", start_seconds=0.0
        ),
    )


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_probe_tells_when_a_late_picture_starts(
    suffix: str, sound_clip: Path, tmp_path: Path
) -> None:
    film = probe(delay(sound_clip, tmp_path / f"late.{suffix}", what="v"))
    assert film.start_seconds == pytest.approx(LATE_SECONDS, abs=FRAME)
    assert film.duration_seconds == pytest.approx(2, abs=FRAME)


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


HOSTILE = {
    "ffconcat": "ffconcat version 1.0\nfile {name}\n",
    "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{name}\n#EXT-X-ENDLIST\n",
    "remote playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/{name}\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "SVG": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{name}"/></svg>',
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
    "<AdaptationSet><Representation><BaseURL>{name}</BaseURL></Representation></AdaptationSet>"
    "</Period></MPD>",
}


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


def test_reading_opens_no_file_but_the_one_it_is_given(plain_clip: Path, tmp_path: Path) -> None:
    """Nor when the film was swapped for a playlist once it was probed."""
    shutil.copy(plain_clip, tmp_path / "other.mp4")
    playlist = tmp_path / "film.mp4"
    playlist.write_text(HOSTILE["ffconcat"].format(name="other.mp4"))
    film = dataclasses.replace(probe(plain_clip), path=playlist)
    with pytest.raises(VideoError, match=r"could not be read beyond 0\.0 s"):
        list(read_luma(film, Sampling()))


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


def test_probe_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        probe(tmp_path)
    assert str(caught.value) == f"{tmp_path} is a folder; give a film file"


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv444p"])
def test_read_luma_is_the_stored_luma_bit_for_bit(layout: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", layout=layout)
    expected = decode_planes(clip, layout, (64, 48))[0]
    assert len(expected) == 50
    np.testing.assert_array_equal(all_luma(probe(clip)), expected)


@pytest.mark.parametrize("rotation", [90, 180])
def test_read_luma_is_upright(rotation: int, plain_clip: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", rotation, "-i", plain_clip, "-c", "copy", turned)
    stored = decode_planes(plain_clip, "yuv420p", (64, 48))[0]
    np.testing.assert_array_equal(
        all_luma(probe(turned)), np.rot90(stored, rotation // 90, axes=(1, 2))
    )


@pytest.mark.parametrize("name", ODD_NAMES)
def test_read_luma_takes_any_name(
    name: str, numbered_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(numbered_clip.read_bytes())
    assert numbers(probe(Path(name)), duration_seconds=0.12) == [0, 1, 2]


def test_read_luma_gives_every_frame_once(numbered_clip: Path) -> None:
    assert numbers(probe(numbered_clip)) == list(range(100))


@pytest.mark.parametrize("first", [0, 1, 2, 7, 24, 25, 26, 49, 50, 51, 74, 98])
def test_read_luma_starts_at_the_exact_frame(first: int, numbered_clip: Path) -> None:
    film = probe(numbered_clip)
    start = first * FRAME
    assert numbers(film, start_seconds=start, duration_seconds=2 * FRAME) == [first, first + 1]


@pytest.mark.parametrize(
    ("suffix", "sound", "codec"),
    [
        ("mkv", "libopus", "libx264"),
        ("mov", "pcm_s16le", "libx264"),
        ("ts", "aac", "libx264"),
        ("mpg", "mp2", "mpeg2video"),
        ("webm", "libopus", "libvpx"),
    ],
)
@pytest.mark.parametrize("frame_rate", ["25", "24000/1001"])
def test_read_luma_is_exact_in_any_container(
    suffix: str, sound: str, codec: str, frame_rate: str, tmp_path: Path
) -> None:
    clip = make_numbered_clip(
        tmp_path / f"clip.{suffix}",
        seconds=4,
        frame_rate=frame_rate,
        codec=("-c:v", codec, "-g", "60", "-b:v", "2M"),
        sound=sound,
    )
    film = probe(clip)
    assert numbers(film)[:90] == list(range(90))
    for first in (1, 40, 59, 60, 75):
        part = {"start_seconds": float(first / film.frame_rate), "duration_seconds": 0.08}
        assert numbers(film, **part) == [first, first + 1]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_read_luma_counts_time_from_a_late_first_frame(
    suffix: str, numbered_clip: Path, tmp_path: Path
) -> None:
    film = probe(delay(numbered_clip, tmp_path / f"late.{suffix}", what="v"))
    assert numbers(film, duration_seconds=0.12) == [0, 1, 2]
    assert numbers(film, start_seconds=2.4, duration_seconds=0.12) == [60, 61, 62]


@pytest.mark.parametrize("seconds", [0, 63, 300, 590])
def test_read_luma_is_exact_deep_in_a_film(seconds: int, shared_data: Path) -> None:
    film = probe(shared_data / "film" / "big_buck_bunny_360p.mp4")
    with av.open(str(film.path)) as container:
        stream = container.streams.video[0]
        container.seek(int(seconds / stream.time_base), stream=stream)
        expected = next(
            frame.to_ndarray()[:360]
            for frame in container.decode(stream)
            if frame.time >= seconds - FRAME / 2
        )
    options = {"start_seconds": seconds, "duration_seconds": FRAME}
    np.testing.assert_array_equal(all_luma(film, **options), [expected])


@pytest.mark.parametrize("name", ["a-bomb_blast_effects_part.mp4", "chaplin.mp4"])
def test_read_luma_gives_every_frame_of_an_old_film(name: str, shared_data: Path) -> None:
    film = probe(shared_data / "old" / name)
    with av.open(str(film.path)) as container:
        count = sum(1 for _ in container.decode(video=0))
    options = Sampling(width=16, height=16, frame_rate=film.frame_rate)
    assert sum(1 for _ in read_luma(film, options)) == count


def test_read_luma_every_keeps_one_frame_of_so_many(numbered_clip: Path) -> None:
    film = probe(numbered_clip)
    assert numbers(film, every=30) == [0, 30, 60, 90]
    assert numbers(film, every=7, start_seconds=1, duration_seconds=0.6) == [25, 32, 39]


def test_read_luma_leaves_frames_out_by_time(numbered_clip: Path) -> None:
    shown = numbers(probe(numbered_clip), frame_rate=Fraction(24))
    assert len(shown) == 96
    # Frame k of 25 a second lies at k / 25; the one nearest to n / 24 is a tie at n = 12 + 24 i.
    for n, k in enumerate(shown):
        assert abs(k * 24 - n * 25) <= 12, (n, k)


def test_read_luma_repeats_frames_by_time(tmp_path: Path) -> None:
    film = probe(make_numbered_clip(tmp_path / "slow.mp4", frame_rate="12", seconds=1))
    expected = [n // 2 for n in range(24)]
    assert numbers(film, frame_rate=Fraction(24)) == expected


def test_read_luma_at_another_rate_undoes_a_speed_up(numbered_clip: Path) -> None:
    film = probe(numbered_clip)  # 24 frames a second, shown at 25
    options = {"frame_rate": Fraction(24), "rate": 25 / 24}
    slowed_down = {"frame_rate": Fraction(24), "rate": 24 / 25}
    assert numbers(film, **slowed_down) == list(range(100))
    assert numbers(film, **slowed_down, start_seconds=1.0, duration_seconds=0.2) == [*range(25, 30)]
    assert len(numbers(film, **options)) == pytest.approx(100 * 24 * 24 / 25 / 25, abs=1)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"duration_seconds": 1.0}, 25),
        ({"duration_seconds": 1.0, "frame_rate": Fraction(24)}, 24),
        ({"duration_seconds": 1.0, "frame_rate": Fraction(24), "every": 10}, 3),
        ({"duration_seconds": 1.0, "frame_rate": Fraction(24), "rate": 0.5}, 48),
        ({"duration_seconds": 0.0}, 0),
        ({"start_seconds": 3.6}, 10),
        ({"start_seconds": 3.6, "duration_seconds": 5.0}, 10),
        ({"start_seconds": 7.0}, 0),
    ],
)
def test_sampling_foretells_how_many_frames_come(
    options: dict[str, Any], count: int, numbered_clip: Path
) -> None:
    film = probe(numbered_clip)
    options.setdefault("frame_rate", film.frame_rate)
    sampling = Sampling(**options)
    assert len(list(read_luma(film, sampling))) == count
    assert sampling.frame_count(film) == count


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p"])
def test_read_luma_brings_full_range_to_limited(layout: str, tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    chroma = np.full((2, 1, 128) if layout == "yuv420p" else (2, 2, 256), 128, np.uint8)
    samples = np.concatenate((ramp.ravel(), chroma.ravel()))
    clip = make_raw_clip(
        tmp_path / "full.mp4",
        samples,
        size=(256, 2),
        layout=layout,
        extra=("-color_range", "pc"),
    )
    film = probe(clip)
    assert film.coding.range == "full"
    luma = all_luma(film)[0].astype(int)
    expected = 16 + 219 * ramp.astype(float) / 255
    assert np.abs(luma - expected).max() <= 1
    assert luma[:, 0].tolist() == [16, 16]
    assert luma[:, -1].tolist() == [235, 235]


def samples_of(path: Path, layout: str) -> bytes:
    """What an ffmpeg told nothing else decodes, in this layout."""
    return run_ffmpeg(
        "-i", path, "-map", "0:v:0", "-f", "rawvideo", "-pix_fmt", layout,
        "-fps_mode", "passthrough", "pipe:1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "bit_depth", "extra"),
    [
        ("yuv420p10le", 10, ()),
        ("yuv422p10le", 10, ()),
        ("yuv444p12le", 12, ()),
        ("yuv420p10le", 10, ("-color_range", "pc")),
        ("yuv420p", 8, ("-color_range", "pc")),
        ("gray", 8, ()),
        ("gray10le", 10, ()),
        ("gray12le", 12, ()),
        ("gray16le", 16, ()),
        ("gray10le", 10, ("-color_range", "tv")),
    ],
)
def test_read_coded_luma_is_the_stored_luma_bit_for_bit(
    layout: str, bit_depth: int, extra: tuple[str, ...], tmp_path: Path
) -> None:
    size = width, height = 50, 30
    codes = np.random.default_rng(0).integers(0, 2**bit_depth, (3, height, width), dtype=np.uint16)
    samples = codes.astype(np.uint8 if bit_depth == 8 else "<u2")
    if not layout.startswith("gray"):
        down, across = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}[layout[3:6]]
        grey = np.full((3, 2 * (height // down) * (width // across)), 1 << (bit_depth - 1))
        samples = np.hstack((samples.reshape(3, -1), grey.astype(samples.dtype)))
    clip = make_raw_clip(
        tmp_path / "deep.mkv", samples, size=size, layout=layout, codec=("-c:v", "ffv1"),
        extra=extra,
    )  # fmt: skip
    film = probe(clip)
    is_full = extra == ("-color_range", "pc") or (layout.startswith("gray") and not extra)
    assert (film.coding.bit_depth, film.coding.range) == (
        bit_depth, "full" if is_full else "limited",
    )  # fmt: skip
    sampling = Sampling(frame_rate=film.frame_rate)
    luma = np.stack(list(read_coded_luma(film, sampling, film.coding)))
    assert luma.dtype == (np.uint8 if bit_depth == 8 else np.uint16)
    np.testing.assert_array_equal(luma, codes)
    pictures = list(read_pictures(film, sampling, film.coding))
    np.testing.assert_array_equal([luma for luma, _ in pictures], codes)
    assert [chroma.shape for _, chroma in pictures] == [(2, 15, 25)] * 3
    assert np.all([chroma == 1 << (bit_depth - 1) for _, chroma in pictures])


@pytest.mark.parametrize("layout", ["nv12", "yuyv422", "gray10be"])
def test_read_coded_luma_unpacks_luma_without_loss(layout: str, tmp_path: Path) -> None:
    """Layouts that store luma among the chroma, or its bytes the other way round."""
    clip = make_clip(
        tmp_path / "packed.nut", layout=layout, seconds=0.2, codec=("-c:v", "rawvideo")
    )
    film = probe(clip)
    stored = {"nv12": "yuv420p", "yuyv422": "yuv422p", "gray10be": "gray10le"}[layout]
    data = np.frombuffer(samples_of(clip, stored), film.coding.sample_type)
    frame = data.reshape(5, -1)[:, : 64 * 48].reshape(5, 48, 64)
    luma = read_coded_luma(film, Sampling(frame_rate=film.frame_rate), film.coding)
    np.testing.assert_array_equal(np.stack(list(luma)), frame)


def test_read_coded_luma_of_eight_bits_at_ten_is_shifted(plain_clip: Path) -> None:
    film = probe(plain_clip)
    deep = dataclasses.replace(film.coding, bit_depth=10)
    luma = np.stack(list(read_coded_luma(film, Sampling(frame_rate=film.frame_rate), deep)))
    np.testing.assert_array_equal(luma, all_luma(film).astype(np.uint16) * 4)


def test_read_luma_brings_ten_bits_to_eight(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(64, 941, 4, dtype=np.uint16)[:218], (2, 1))
    samples = np.concatenate((ramp.ravel(), np.full(218, 512, np.uint16)))
    clip = make_raw_clip(tmp_path / "ten.mp4", samples, size=(218, 2), layout="yuv420p10le")
    film = probe(clip)
    assert film.pixel_format == "yuv420p10le"
    np.testing.assert_array_equal(all_luma(film)[0], ramp // 4)


def test_read_luma_scaled_averages_areas(plain_clip: Path) -> None:
    stored = decode_planes(plain_clip, "yuv420p", (64, 48))[0].astype(float)
    scaled = all_luma(probe(plain_clip), width=32, height=12)
    assert scaled.shape == (50, 12, 32)
    expected = stored.reshape(50, 12, 4, 32, 2).mean(axis=(2, 4))
    assert np.abs(scaled - expected).max() <= 1


@pytest.mark.parametrize(("matrix", "tag"), [("bt709", "bt709"), ("bt601", "smpte170m")])
def test_read_ycbcr_keeps_the_films_own_codes(matrix: str, tag: str, tmp_path: Path) -> None:
    codes = (168, 44, 136)  # a yellow bar at 75 %, by BT.709
    samples = np.repeat(np.array(codes, np.uint8), (64, 16, 16))
    clip = make_raw_clip(
        tmp_path / "bar.mp4", samples, size=(8, 8), layout="yuv420p", extra=("-colorspace", tag)
    )
    film = probe(clip)
    assert film.coding.matrix == matrix
    (picture,) = read_ycbcr(film, Sampling(frame_rate=film.frame_rate))
    assert picture.shape == (8, 8, 3)
    assert (picture == codes).all()


def test_read_ycbcr_of_rgb_gives_published_colour_bars(tmp_path: Path) -> None:
    bars = np.repeat(np.array([*BT709_BARS_100], np.uint8) * 255, 8, axis=0)  # (64, 3)
    samples = np.tile(bars, (4, 1, 1))
    clip = make_raw_clip(
        tmp_path / "bars.mkv", samples, size=(64, 4), layout="rgb24",
        codec=("-c:v", "ffv1", "-pix_fmt", "gbrp"),
    )  # fmt: skip
    film = probe(clip)
    (picture,) = read_ycbcr(film, Sampling(frame_rate=film.frame_rate))
    middles = picture[2, 4::8]
    assert [tuple(middle) for middle in middles.tolist()] == [*BT709_BARS_100.values()]


def test_read_ycbcr_holds_the_luma_of_read_luma(numbered_clip: Path) -> None:
    film = probe(numbered_clip)
    sampling = Sampling(frame_rate=film.frame_rate, start_seconds=1.0, duration_seconds=0.2)
    lumas = [picture[..., 0] for picture in read_ycbcr(film, sampling)]
    np.testing.assert_array_equal(lumas, list(read_luma(film, sampling)))


@pytest.mark.parametrize("read", [read_luma, read_ycbcr])
def test_reading_a_truncated_film_tells_ffmpegs_words(read: Any, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "whole.mp4", extra=("-movflags", "+faststart"))
    data = clip.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 6 // 10])
    film = probe(cut)
    frames = read(film, Sampling(frame_rate=film.frame_rate))
    with pytest.raises(VideoError) as caught:
        count = 0
        for _ in frames:
            count += 1
    message = str(caught.value)
    start = f"{cut} is damaged or cut short and could not be read beyond "
    assert message.startswith(start)
    told = re.match(r"(\d\.\d) s \(ffmpeg: ", message.removeprefix(start))
    assert told is not None
    assert float(told[1]) == pytest.approx(count / 25, abs=0.06)
    assert "Invalid data found when processing input" in message
    assert message.endswith("); repair it, or take a part with --start and --duration")


def test_reading_a_damaged_frame_is_no_grey_mush(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", extra=("-movflags", "+faststart"))
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    clip.write_bytes(data)
    with pytest.raises(VideoError, match=re.escape(f"{clip} is damaged or cut short")):
        all_luma(probe(clip))


def test_reading_stopped_early_leaves_no_ffmpeg(numbered_clip: Path) -> None:
    film = probe(numbered_clip)
    before = our_children()
    frames = read_luma(film, Sampling(width=1280, height=720))
    next(frames)
    assert len(our_children() - before) == 1
    began = time.monotonic()
    frames.close()
    assert our_children() == before
    assert time.monotonic() - began < QUIT_SECONDS / 2


def hard_cut(path: Path) -> Path:
    """One second of testsrc2, then one of mandelbrot, at 25 frames a second."""
    second = "mandelbrot=size=64x48:rate=25"
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=1", "-f", "lavfi", "-i", second,
        "-filter_complex", "concat=n=2", "-t", 2, *LOSSLESS, "-pix_fmt", "yuv420p", path,
    )  # fmt: skip
    return path


@pytest.mark.parametrize(("start", "cut"), [(0.0, 1.0), (0.4, 0.6)])
def test_read_cuts_finds_a_hard_cut(start: float, cut: float, tmp_path: Path) -> None:
    film = probe(hard_cut(tmp_path / "cut.mp4"))
    cuts_file = tmp_path / "cuts.txt"
    frames = all_luma(film, start_seconds=start, cuts_file=cuts_file, every=2)
    assert len(frames) == np.ceil((50 - start * 25) / 2)
    assert read_cuts(cuts_file) == pytest.approx([cut])


@pytest.mark.parametrize("name", [*ODD_NAMES, " blank first"])
def test_read_cuts_takes_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film = probe(hard_cut(tmp_path / "cut.mp4"))
    all_luma(film, cuts_file=Path(name))
    assert read_cuts(Path(name)) == [1.0]


def test_read_cuts_finds_none_in_one_shot(plain_clip: Path, tmp_path: Path) -> None:
    cuts_file = tmp_path / "cuts.txt"
    cuts_file.write_text("lavfi.scd.time=7.5\n")  # of an earlier run
    all_luma(probe(plain_clip), cuts_file=cuts_file)
    assert read_cuts(cuts_file) == []
    assert read_cuts(tmp_path / "missing.txt") == []


def noise(width: int, height: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures of legal random luma (H, W) and chroma (2, ceil(H / 2), ceil(W / 2))."""
    random = np.random.default_rng(0)
    chroma_shape = (2, -(-height // 2), -(-width // 2))
    return [
        (
            random.integers(16, 236, (height, width), dtype=np.uint8),
            random.integers(16, 241, chroma_shape, dtype=np.uint8),
        )
        for _ in range(count)
    ]


Pictures = Iterable[tuple[np.ndarray, np.ndarray]]


def write_pictures(
    target: Path, source: Film, pictures: Pictures | None = None, encoding: Encoding = FAST
) -> Film:
    with PictureWriter(target, source, encoding) as writer:
        for luma, chroma in pictures or noise(source.width, source.height, 3):
            writer.write(luma, chroma)
    return probe(target)


def write_film(
    target: Path,
    source: Film,
    pictures: Pictures | None = None,
    encoding: Encoding = FAST,
    **part: float,
) -> Film:
    with tempfile.TemporaryDirectory() as folder:
        pictures_alone = Path(folder) / "pictures.mp4"
        write_pictures(pictures_alone, source, pictures, encoding)
        timeline = Timeline.steady(encoding.frame_rate, count_pictures(pictures_alone))
        join_film([pictures_alone], target, source, timeline, **part)
    return probe(target)


def grey(film: Film, **sampling: Any) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """A film's own pictures at its own rate, without colour."""
    chroma = np.full((2, -(-film.height // 2), -(-film.width // 2)), 128, np.uint8)
    for luma in read_luma(film, Sampling(frame_rate=film.frame_rate, **sampling)):
        yield luma, chroma


def sound_of(path: Path) -> tuple[float, float, float]:
    """When the tone begins after the first picture, and when the sound starts and ends, seconds."""
    with av.open(str(path)) as container:
        first_picture = next(container.decode(video=0)).time
    times, levels = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(float)).reshape(-1)
            times.append(frame.time + np.arange(len(samples)) / frame.sample_rate)
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
    assert data.index(b"moov") < data.index(b"mdat")  # a player can start before it has it all


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


def test_join_film_keeps_the_shape_of_pixels(tmp_path: Path) -> None:
    shape = ("-vf", "setsar=64/45")
    source = probe(make_clip(tmp_path / "pal.mp4", size=(72, 58), seconds=0.2, extra=shape))
    assert write_film(tmp_path / "out.mp4", source).sample_aspect_ratio == Fraction(64, 45)


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


def test_join_film_takes_all_sound_tracks_along(tmp_path: Path) -> None:
    tracks = ("-map", "0", "-map", "1", "-map", "1", "-c:a:1", "flac")
    extra = (*tracks, "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra")
    source = probe(make_clip(tmp_path / "clip.mkv", sound="aac", extra=extra))
    film = write_film(tmp_path / "out.mp4", source)
    assert [s.codec for s in source.sounds] == ["aac", "flac"]
    assert [(s.codec, s.language) for s in film.sounds] == [("aac", "eng"), ("aac", "fra")]


SUBTITLES = """1
00:00:00,500 --> 00:00:01,000
Good evening

2
00:00:01,200 --> 00:00:01,800
Good night
"""
CHAPTERS = """;FFMETADATA1
title=The Kid
artist=Chaplin
notes=from the attic
[CHAPTER]
TIMEBASE=1/1000
START=0
END=800
title=Evening
[CHAPTER]
TIMEBASE=1/1000
START=800
END=2000
title=Night
"""


@pytest.fixture
def rich_clip(tmp_path: Path) -> Path:
    """Two seconds with two sounds, subtitles of text and of pictures, chapters and metadata."""
    (tmp_path / "said.srt").write_text(SUBTITLES)
    (tmp_path / "told.txt").write_text(CHAPTERS)
    plain = make_clip(tmp_path / "plain.mkv", sound="aac")
    clip = tmp_path / "rich.mkv"
    run_ffmpeg(
        "-i", plain, "-i", tmp_path / "said.srt", "-i", tmp_path / "told.txt",
        "-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "1", "-map_metadata", 2,
        "-map_chapters", 2, "-c", "copy", "-c:a:1", "flac", "-c:s", "subrip",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra",
        "-metadata:s:a:1", "title=Commentary", "-metadata:s:s:0", "language=spa",
        "-disposition:a:0", 0, "-disposition:a:1", "default", clip,
    )  # fmt: skip
    return clip


def streams_of(path: Path) -> list[tuple[str, str, str | None, bool]]:
    """Kind, codec, language and default flag of each stream but the pictures."""
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


def said_in(path: Path) -> list[tuple[float, str]]:
    """When each subtitle begins, and its text, by ffmpeg's SubRip."""
    text = run_ffmpeg("-i", path, "-map", "0:s:0", "-f", "srt", "pipe:1").decode()
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    times = [re.match(r"00:00:(\d\d),(\d+)", block[1]) for block in blocks]
    return [
        (int(time[1]) + int(time[2]) / 1000, block[2])
        for time, block in zip(times, blocks, strict=True)
        if time
    ]


def chapters_of(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        return [
            (
                float(chapter["start"] * chapter["time_base"]),
                float(chapter["end"] * chapter["time_base"]),
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


def test_probe_tells_of_subtitles_that_libav_does_not_know() -> None:
    """As of teletext in a TV recording, which ffmpeg does not write."""
    stream = SimpleNamespace(index=3, codec_context=None, language="deu")
    subtitle = video._subtitle(stream)
    assert (subtitle.index, subtitle.codec, subtitle.language) == (3, "unknown", "deu")
    assert not any(container.holds(subtitle) for container in CONTAINERS.values())


def test_join_film_of_a_part_shifts_chapters_and_subtitles(rich_clip: Path, tmp_path: Path) -> None:
    source, target = probe(rich_clip), tmp_path / "out.mkv"
    part = {"start_seconds": 0.5, "duration_seconds": 1.0}
    write_film(target, source, grey(source, **part), **part)
    assert chapters_of(target) == [(0, 0.3, "Evening"), (0.3, 1, "Night")]
    assert (pytest.approx(0.7, abs=0.01), "Good night") in said_in(target)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
@pytest.mark.parametrize(("start", "seconds"), [(0.0, 2.6), (1.0, 1.8), (1.48, 1.0), (0.52, 3.48)])
def test_join_film_cuts_sound_to_the_part(
    suffix: str, start: float, seconds: float, numbered_clip: Path, tmp_path: Path
) -> None:
    clip = tmp_path / f"clip.{suffix}"
    sound = "pcm_s16le" if suffix == "mov" else "copy"
    run_ffmpeg("-i", numbered_clip, "-c:v", "copy", "-c:a", sound, clip)
    source = probe(clip)
    part = {"start_seconds": start, "duration_seconds": seconds}
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
    problem: type[BaseException], sound_clip: Path, tmp_path: Path
) -> None:
    before = our_children()
    source = probe(sound_clip)
    began = time.monotonic()
    with (
        pytest.raises(problem),
        PictureWriter(tmp_path / "out.mp4", source, FAST) as writer,
    ):
        for luma, chroma in noise(64, 48, 30):
            writer.write(luma, chroma)
        while not files_in(tmp_path):
            time.sleep(0.01)
        raise problem
    assert files_in(tmp_path) == []
    assert our_children() == before
    assert time.monotonic() - began < QUIT_SECONDS / 2


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
        f"the folder {folder} does not exist; make it, or choose another place with -o"
    )


def test_picture_writer_refuses_a_folder_that_may_not_be_written_to(plain_clip: Path) -> None:
    source = probe(plain_clip)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with ordinary_user(), pytest.raises(FilmColorizerError) as caught:
            PictureWriter(folder / "out.mp4", source, FAST)
    assert str(caught.value) == (
        f"the folder {folder} may not be written to; change its permissions, or choose another"
        " place with -o"
    )


def test_picture_writer_refuses_a_folder_as_target(plain_clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.mkdir()
    with pytest.raises(FilmColorizerError) as caught:
        write_pictures(target, probe(plain_clip))
    assert str(caught.value) == (
        f"cannot write {target} (Is a directory); make room there, or choose another place with -o"
    )
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
    assert message.endswith("); make room there, or choose another place with -o")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(25, 2)])
def test_join_film_begins_each_part_where_the_last_one_ends(
    rate: Fraction, plain_clip: Path, tmp_path: Path
) -> None:
    """Also where frames are stored in another order than they are shown."""
    source, encoding = probe(plain_clip), Encoding(frame_rate=rate, preset="medium", crf=0)
    pictures = noise(64, 48, 30)
    parts = []
    for number, (begin, end) in enumerate(((0, 13), (13, 14), (14, 30))):
        parts.append(tmp_path / f"{number}.mp4")
        write_pictures(parts[-1], source, pictures[begin:end], encoding)
    target = tmp_path / "out.mp4"
    join_film(parts, target, source, Timeline.steady(rate, 30))
    with av.open(str(target)) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx(
            [float(number / rate) for number in range(30)], abs=1e-4
        )
    luma, *_ = decode_planes(target, "yuv420p", (64, 48))
    np.testing.assert_array_equal(luma, [picture for picture, _ in pictures])
    assert count_pictures(target) == 30
    assert files_in(tmp_path) == ["0.mp4", "1.mp4", "2.mp4", "out.mp4"]


def test_count_pictures_of_what_is_no_film_is_0(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    assert [count_pictures(tmp_path / name) for name in ("text.mp4", "missing.mp4")] == [0, 0]


def test_join_film_tells_when_the_source_is_gone(sound_clip: Path, tmp_path: Path) -> None:
    source = dataclasses.replace(probe(sound_clip), path=tmp_path / "gone.mp4")
    target = tmp_path / "out.mp4"
    with pytest.raises(VideoError) as caught:
        write_film(target, source, noise(64, 48, 20))
    assert str(caught.value) == (
        f"{source.path} cannot be read any more (No such file or directory); put it back, and give"
        " the same command again"
    )
    assert files_in(tmp_path) == []


def test_picture_writer_leaves_nothing_when_ffmpeg_is_missing(
    plain_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = probe(plain_clip)
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path / "no-ffmpeg"))
    with pytest.raises(VideoError, match="no-ffmpeg is not a program that can be run"):
        write_pictures(tmp_path / "out.mp4", source)
    assert files_in(tmp_path) == []

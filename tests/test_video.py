from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from filmcolorizer_cli import ffmpeg as our_ffmpeg
from filmcolorizer_cli import video
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.joining import CONTAINERS
from filmcolorizer_cli.video import (
    Coding,
    Film,
    Sampling,
    Sound,
    count_pictures,
    find_damage,
    find_hardware_decoder,
    probe,
    read_coded_luma,
    read_cuts,
    read_luma,
    read_pictures,
    read_ycbcr,
    uneven_ticks,
)
from tests.conftest import (
    BT709_BARS_100,
    LOSSLESS,
    X264,
    decode_planes,
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
    if name != "DURATION":  # other programs write no such tag without a language
        content = film.read_bytes()
        film.write_bytes(content.replace(b"DURATIOND\x87", b"OTHERTAGD\x87"))
    assert probe(film).duration_seconds == pytest.approx(2.0, abs=0.05)


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
    hint = "give a film file, or numbered pictures such as frames/%05d.png"
    assert str(caught.value) == f"{tmp_path} is a folder; {hint}"


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
    assert "corrupt" in message
    assert message.endswith(
        "); repair it, take a part with --start and --duration, or colorize what can be read"
        " with --skip-damaged"
    )


def test_reading_a_damaged_frame_is_no_grey_mush(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", extra=("-movflags", "+faststart"))
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    clip.write_bytes(data)
    with pytest.raises(VideoError, match=re.escape(f"{clip} is damaged or cut short")):
        all_luma(probe(clip))


def test_reading_stopped_early_leaves_no_ffmpeg(
    numbered_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(our_ffmpeg, "QUIT_SECONDS", 5.0)
    film = probe(numbered_clip)
    before = our_children()
    frames = read_luma(film, Sampling(width=1280, height=720))
    next(frames)
    assert len(our_children() - before) == 1
    began = time.monotonic()
    frames.close()
    assert our_children() == before
    assert time.monotonic() - began < 2.5, "it had to be killed"


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


def test_probe_tells_of_subtitles_that_libav_does_not_know() -> None:
    """As of teletext in a TV recording, which ffmpeg does not write."""
    no_flags = av.stream.Disposition(0)
    stream = SimpleNamespace(
        index=3, codec_context=None, language="deu", metadata={}, disposition=no_flags
    )
    subtitle = video._subtitle(stream)
    assert (subtitle.index, subtitle.codec, subtitle.language) == (3, "unknown", "deu")
    assert not any(container.holds(subtitle) for container in CONTAINERS.values())


def test_probe_of_pictures_that_nothing_decodes(tmp_path: Path) -> None:
    """A further stream of them is told of, and a film of nothing else refused."""
    extra = ("-map", "0", "-map", "0", "-c:v:1", "mpeg4")
    clip = make_clip(tmp_path / "clip.mkv", seconds=0.2, extra=extra)
    data = clip.read_bytes()
    clip.write_bytes(data.replace(b"V_MPEG4/ISO/ASP", b"V_XPEG4/ISO/ASP"))
    assert probe(clip).other_pictures == ("unknown",)
    clip.write_bytes(data.replace(b"V_MPEG4", b"V_XPEG4"))
    with pytest.raises(VideoError, match="in a codec that nothing here decodes; write it anew"):
        probe(clip)


def test_probe_tells_of_further_pictures(tmp_path: Path) -> None:
    extra = ("-map", "0", "-map", "0", "-c:v:1", "mpeg4")
    film = probe(make_clip(tmp_path / "clip.mkv", seconds=0.2, extra=extra))
    assert (film.codec, film.stream_index, film.other_pictures) == ("h264", 0, ("mpeg4",))


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


def make_pictures(pattern: Path, *, first: int, count: int, mode: str = "L") -> list[np.ndarray]:
    """Numbered pictures 16x12 by Pillow, each a ramp that tells its number; gives R', G' and B'."""
    made = []
    for number in range(first, first + count):
        ramp = (np.arange(12 * 16).reshape(12, 16) + 5 * number) % 256
        if mode == "RGB":
            picture = np.stack((ramp, 255 - ramp, ramp // 2), axis=-1).astype(np.uint8)
        elif mode == "I;16":
            picture = (ramp * 257).astype(np.uint16)
        else:
            picture = ramp.astype(np.uint8)
        name = pattern.name % number
        quality = {"quality": 100, "subsampling": 0} if pattern.suffix == ".jpg" else {}
        Image.fromarray(picture).save(pattern.with_name(name), **quality)
        made.append(picture if mode == "RGB" else np.repeat(ramp[..., None], 3, axis=-1))
    return made


def expected_luma(rgb: np.ndarray, red: float, blue: float) -> np.ndarray:
    """Limited-range luma by ITU-R BT.601-7 or BT.709-6."""
    luma = rgb @ np.array([red, 1 - red - blue, blue]) / 255
    return 16 + 219 * luma


@pytest.mark.parametrize(
    ("name", "mode", "weights", "error"),
    [
        ("%05d.png", "L", (0.2126, 0.0722), 1),
        ("scan-%d.png", "RGB", (0.2126, 0.0722), 1),
        ("%05d.png", "I;16", (0.2126, 0.0722), 2),  # ffmpeg dithers 16 bits
        ("100%% %03d.tif", "L", (0.2126, 0.0722), 1),
        ("%04d.tiff", "I;16", (0.2126, 0.0722), 2),
        ("%04d.TIF", "RGB", (0.2126, 0.0722), 1),
        ("%04d.jpg", "L", (0.299, 0.114), 2),
        ("%04d.jpg", "RGB", (0.299, 0.114), 3),
    ],
)
def test_read_luma_of_numbered_pictures(
    name: str, mode: str, weights: tuple[float, float], error: int, tmp_path: Path
) -> None:
    folder = tmp_path / "100%d sure"
    folder.mkdir()
    pictures = make_pictures(folder / name, first=8, count=5, mode=mode)
    film = probe(folder / name, sequence_rate=Fraction(18))
    assert (film.width, film.height, film.frame_rate) == (16, 12, 18)
    assert (film.first_number, film.frame_count(), film.sounds) == (8, 5, ())
    assert film.duration_seconds == pytest.approx(5 / 18)
    for sampling, shown in (({}, pictures), ({"start_seconds": 2 / 18}, pictures[2:])):
        luma = all_luma(film, **sampling).astype(float)
        expected = np.stack([expected_luma(picture, *weights) for picture in shown])
        assert luma.shape == expected.shape
        assert np.abs(luma - expected).max() <= error


def test_read_luma_of_many_numbered_pictures_starts_anywhere(
    numbered_clip: Path, tmp_path: Path
) -> None:
    run_ffmpeg("-i", numbered_clip, "-start_number", 9990, tmp_path / "%d.png")
    film = probe(tmp_path / "%d.png", sequence_rate=Fraction(24000, 1001))
    assert (film.first_number, film.frame_count()) == (9990, 100)
    for first in (0, 1, 23, 24, 25, 60, 99):
        start = first * 1001 / 24000
        assert numbers(film, start_seconds=start) == list(range(first, 100))


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
        f"{tmp_path / '00004.png'} is missing amid the pictures of {pattern}; put it back, or"
        " number them without gaps"
    )


def test_probe_tells_when_there_are_no_numbered_pictures(tmp_path: Path) -> None:
    make_pictures(tmp_path / "%05d.png", first=1, count=3)
    for pattern in (tmp_path / "%04d.png", tmp_path / "a%05d.png", tmp_path / "no" / "%d.png"):
        with pytest.raises(VideoError) as caught:
            probe(pattern)
        assert str(caught.value) == (
            f"no file is called like {pattern}; give the pattern of numbered pictures, as in"
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


@pytest.mark.parametrize("kind", HOSTILE)
def test_numbered_pictures_open_no_file_but_themselves(
    kind: str, plain_clip: Path, tmp_path: Path
) -> None:
    content = HOSTILE[kind].format(name=plain_clip)
    (tmp_path / "1.png").write_text(content)
    with pytest.raises(VideoError, match=r"cannot be read as a picture|without a single picture"):
        probe(tmp_path / "%d.png")
    # A film whose own name is a pattern is that film, or nothing.
    (tmp_path / "%d.png").write_text(content)
    with pytest.raises(VideoError, match="cannot be read as a video"):
        probe(tmp_path / "%d.png")


def test_find_hardware_decoder_does_not_take_the_processor_for_a_card(
    plain_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ffmpeg does silently, for what a card cannot decode."""
    methods = {"mine": "mine", "none": "yuv420p", "auto": "cuda"}
    monkeypatch.setattr("filmcolorizer_cli.video.HARDWARE_DECODERS", methods)
    assert find_hardware_decoder(probe(plain_clip)) is None


def damage_of(path: Path) -> video.Spans:
    search = find_damage(probe(path))
    while True:
        try:
            next(search)
        except StopIteration as end:
            spans: video.Spans = end.value
            return spans


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("film.mkv", X264),
        ("film.mp4", X264),
        ("film.mkv", ("-c:v", "mpeg4")),
        ("film.avi", ("-c:v", "mpeg4")),
        ("film.webm", ("-c:v", "libvpx", "-deadline", "realtime")),
    ],
)
@pytest.mark.parametrize("left", ["mod(n\\,10)", "lt(n\\,12)+gte(n\\,44)"])
def test_find_damage_finds_none_where_frames_are_held(
    left: str, name: str, codec: tuple[str, ...], tmp_path: Path
) -> None:
    filters = f"select={left},scale=96:72"
    film = tmp_path / name
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", filters, "-fps_mode", "vfr", *codec, film)
    assert damage_of(film) == ()


@pytest.mark.parametrize("codec", [("-c:v", "mpeg2video", "-bf", "2"), X264])
def test_find_damage_of_a_recording_that_lacks_a_piece(
    codec: tuple[str, ...], tmp_path: Path
) -> None:
    """It begins where frames are missing, and ends with the key frame after them."""
    whole, cut = tmp_path / "whole.ts", tmp_path / "cut.ts"
    options = ("-g", "24", "-sc_threshold", "0")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", *codec, *options, whole)
    packets = whole.read_bytes()
    half = len(packets) // 188 // 2 * 188
    cut.write_bytes(packets[:half] + packets[half + 6 * 188 :])
    with av.open(str(whole)) as container:
        keys = [float(f.time) for f in container.decode(video=0) if f.key_frame]
    [(begin, end)] = damage_of(cut)
    assert min(abs(key - keys[0] - end) for key in keys) < 0.01
    assert 0.04 < end - begin <= 1.0


def test_uneven_ticks_of_frames_that_are_never_shown(tmp_path: Path) -> None:
    """VP8 of two passes refers to such frames, which come at the time of another one."""
    film, notes = tmp_path / "film.webm", tmp_path / "pass"
    vp8 = ("-c:v", "libvpx", "-b:v", "200k", "-auto-alt-ref", "1", "-lag-in-frames", "16")
    uneven = ("-vf", "select=mod(n\\,10),scale=96:72", "-fps_mode", "vfr")
    for number in (1, 2):
        passes = ("-pass", number, "-passlogfile", notes)
        run_ffmpeg("-y", "-i", SAMPLE_FILM, "-an", *uneven, *vp8, *passes, film)
    with av.open(str(film)) as container:
        shown = [frame.pts for frame in container.decode(video=0)]
    assert count_pictures(film) > len(shown), "else the film shows nothing of this"
    assert uneven_ticks(probe(film)) == shown

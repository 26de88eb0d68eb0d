from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from filmcolorizer_cli import packets
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.packets import check_clock, find_damage, own_rate, uneven_pts
from filmcolorizer_cli.timeline import Spans
from filmcolorizer_cli.video import Film, count_pictures, opened, probe
from tests.damage import spoil_packets
from tests.films import X264, make_pictures, run_ffmpeg
from tests.values import present


def damage_of(path: Path, **options: float) -> Spans:
    search = find_damage(probe(path), **options)
    while True:
        try:
            next(search)
        except StopIteration as end:
            spans: Spans = end.value
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


def test_find_damage_looks_no_further_than_it_is_asked_to(tmp_path: Path) -> None:
    """That is, up to the next key frame, which ends any damage that begins before."""
    film, options = tmp_path / "film.mkv", ("-g", "24", "-sc_threshold", "0")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", *X264, *options, film)
    data = bytearray(film.read_bytes())
    data[-len(data) // 4 :] = bytes(len(data) // 4)
    film.write_bytes(data)
    [(begin, _)] = damage_of(film)
    assert begin > 3
    assert damage_of(film, until_seconds=1.5) == ()
    assert max(find_damage(probe(film), 1.5)) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("codec", [("-c:v", "mpeg2video", "-bf", "2"), X264])
def test_find_damage_of_a_recording_that_lacks_a_piece(
    codec: tuple[str, ...], tmp_path: Path
) -> None:
    """The damage begins where frames are missing, and ends at the next key frame."""
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


@pytest.mark.parametrize("number", [25, 26])
def test_find_damage_of_what_a_recording_lacks_behind_a_key_frame(
    number: int, tmp_path: Path
) -> None:
    """The gap is found before the decoder returns the key frame, and without a decoder error.

    Frames in the packets next to the gap may be damaged, but none before, nor from the next key
    frame on.
    """
    whole, cut = tmp_path / "whole.ts", tmp_path / "cut.ts"
    codec = (*X264, "-g", "24", "-bf", "0", "-sc_threshold", "0")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", "-t", 4, *codec, whole)
    data = whole.read_bytes()
    with av.open(str(whole)) as container:
        stored = [present(packet.pos) for packet in container.demux(video=0) if packet.size]
    cut.write_bytes(data[: stored[number]] + data[stored[number] + 188 :])
    pictures = []
    for path in (whole, cut):
        with av.open(str(path)) as container:
            pictures.append(
                {round(f.time * 24): f.to_ndarray(format="gray") for f in container.decode(video=0)}
            )
    first = min(pictures[0])
    changed = [
        n - first
        for n, picture in pictures[0].items()
        if n not in pictures[1] or not np.array_equal(picture, pictures[1][n])
    ]
    assert changed, "else nothing is damaged"
    [(begin, end)] = damage_of(cut)
    assert number - 2.01 < begin * 24 <= min(changed) + 0.01
    assert max(changed) + 0.99 < end * 24 < 48.01


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize(
    ("name", "codec", "frames"),
    [
        ("film.mkv", ("-c:v", "ffv1", "-level", "3", "-g", "1"), (45, 46)),
        ("film.mov", ("-c:v", "prores_ks"), (45, 46)),
        ("film.avi", ("-c:v", "ffv1", "-level", "3", "-g", "1"), (45, 46)),
        ("film.avi", (*X264, "-g", "24", "-bf", "0"), (45, 48)),
        ("film.mkv", (*X264, "-g", "24", "-bf", "0"), (45, 48)),
        ("film.mkv", ("-c:v", "mpeg2video", "-g", "24", "-sc_threshold", "1000000000"), (45, 48)),
        # Near the end, where decoding in several threads would lose the frames that follow.
        ("film.mkv", ("-c:v", "ffv1", "-level", "3", "-g", "1"), (68, 69)),
        ("film.mov", ("-c:v", "prores_ks"), (68, 69)),
        ("film.mp4", (*X264, "-g", "2", "-bf", "0"), (68, 70)),
        ("film.mkv", (*X264, "-g", "24", "-bf", "0"), (69, 72)),
        ("film.mkv", ("-c:v", "ffv1", "-level", "3", "-g", "1"), (71, 72)),
    ],
)
def test_find_damage_of_one_frame(
    name: str, codec: tuple[str, ...], frames: tuple[int, int], threads: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With any number of decoding threads, whether the decoder reports an error or not."""
    film = tmp_path / name
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", "-t", 3, *codec, film)
    spoil_packets(film, {frames[0]})

    @contextmanager
    def opened_for_threads(film: Film) -> Iterator[Any]:
        with opened(film) as container:
            container.streams[film.stream_index].codec_context.thread_count = threads
            yield container

    monkeypatch.setattr(packets, "opened", opened_for_threads)
    begin, end = (number / 24 for number in frames)
    assert damage_of(film) == (pytest.approx((begin, end), abs=0.002),)


@pytest.mark.parametrize(
    ("name", "codec", "end"),
    [
        ("film.mkv", ("-c:v", "mpeg2video", "-g", "24", "-sc_threshold", "1000000000"), 48),
        ("film.mp4", ("-c:v", "mpeg4", "-g", "24", "-sc_threshold", "1000000000"), 48),
        ("film.mov", ("-c:v", "prores_ks"), 46),
    ],
)
def test_find_damage_of_a_part_of_a_frame(
    name: str, codec: tuple[str, ...], end: int, tmp_path: Path
) -> None:
    """The decoder conceals the rest of the frame, and reports it."""
    film = tmp_path / name
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", "-t", 3, *codec, film)
    spoil_packets(film, {45}, share=0.5)
    assert damage_of(film) == (pytest.approx((45 / 24, end / 24), abs=0.002),)


@pytest.mark.parametrize(
    ("name", "codec"), [("film.mkv", ("-c:v", "mpeg2video")), ("film.mp4", (*X264, "-bf", "0"))]
)
def test_find_damage_of_the_last_frames(name: str, codec: tuple[str, ...], tmp_path: Path) -> None:
    """No frame follows them."""
    film = tmp_path / name
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", "-t", 2, *codec, film)
    spoil_packets(film, {45, 46, 47})
    assert damage_of(film) == (pytest.approx((45 / 24, 2), abs=0.002),)


def test_find_damage_of_a_last_picture_that_is_held(tmp_path: Path) -> None:
    film = tmp_path / "film.gif"
    filters = ("-vf", "scale=96:72", "-t", 1, "-final_delay", 300)
    run_ffmpeg("-i", SAMPLE_FILM, "-an", *filters, film)
    assert probe(film).duration_seconds > 3.9
    assert damage_of(film) == ()


def test_find_damage_of_a_film_of_two_parts_of_one_file(tmp_path: Path) -> None:
    """As QuickTime edits films: what lies between the parts is stored, but not shown."""
    film = tmp_path / "film.mp4"
    codec = (*X264, "-g", "24", "-bf", "0")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", "-t", 4, *codec, film)
    data = bytearray(film.read_bytes())
    scale = probe(film).time_base.denominator
    edits = [(1500, 0, 65536), (1000, 11 * scale // 4, 65536)]  # 0 to 1.5, and 2.75 to 3.75 s
    table = b"elst" + struct.pack(">II", 0, 2) + b"".join(struct.pack(">IiI", *e) for e in edits)
    begin = data.find(b"elst")
    size = int.from_bytes(data[begin - 4 : begin])
    data[begin - 4 : begin - 4 + size] = struct.pack(">I", len(table) + 4) + table
    for box in (b"edts", b"trak", b"moov"):  # the boxes that contain it
        at = data.rfind(box, 0, begin) - 4
        grown = int.from_bytes(data[at : at + 4]) + len(table) + 4 - size
        data[at : at + 4] = struct.pack(">I", grown)
    film.write_bytes(data)
    with av.open(str(film)) as container:
        discarded = [packet.is_discard for packet in container.demux(video=0)]
    assert any(discarded)
    assert probe(film).duration_seconds == 2.5
    assert damage_of(film) == ()


def test_find_damage_goes_on_where_damage_reaches_into_a_key_frame(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    codec = (*X264, "-g", "24", "-bf", "0", "-sc_threshold", "0")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", *codec, film)
    spoil_packets(film, {45, 46, 47, 48})
    assert damage_of(film) == (pytest.approx((45 / 24, 72 / 24), abs=0.002),)


def test_find_damage_of_a_film_whose_sound_goes_on(tmp_path: Path) -> None:
    """Its last picture stays; the container states the duration of the sound."""
    film = tmp_path / "film.flv"
    sound = ("-f", "lavfi", "-i", "sine=duration=9", "-c:a", "aac")
    run_ffmpeg("-i", SAMPLE_FILM, *sound, "-map", "0:v", "-map", "1:a", *X264, film)
    assert probe(film).duration_seconds == pytest.approx(9, abs=0.1)
    assert damage_of(film) == ()


def test_find_damage_of_b_frames_in_avi(tmp_path: Path) -> None:
    """Their stored times are those of other frames."""
    film = tmp_path / "film.avi"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", "-c:v", "libx264", "-bf", 3, film)
    assert damage_of(film) == ()


def test_probe_of_a_film_whose_first_picture_is_damaged(tmp_path: Path) -> None:
    """It begins with the first picture that can be decoded."""
    film = tmp_path / "film.mp4"
    options = ("-g", "24", "-sc_threshold", "0", "-bf", "0")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", *X264, *options, film)
    whole = probe(film)
    spoil_packets(film, {0})
    spoiled = probe(film)
    assert 0 < spoiled.start_seconds <= 1.0
    lost = spoiled.start_seconds - whole.start_seconds
    assert spoiled.duration_seconds == pytest.approx(whole.duration_seconds - lost)
    assert damage_of(film) == (), "what cannot be decoded lies before its begin"


@pytest.mark.parametrize(("ending", "offset"), [("ts", 500), ("ts", -1), ("vob", 0), ("vob", 500)])
def test_check_clock_refuses_what_is_joined(ending: str, offset: int, tmp_path: Path) -> None:
    film = tmp_path / f"joined.{ending}"
    codec = X264 if ending == "ts" else ("-c:v", "mpeg2video")
    for number in range(2):
        part = tmp_path / f"part.{ending}"
        at = ("-output_ts_offset", 1 + number * offset)
        run_ffmpeg("-y", "-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", *codec, *at, part)
        check_clock(probe(part))
        with film.open("ab") as joined:
            joined.write(part.read_bytes())
    with pytest.raises(VideoError, match="is joined from recordings whose clocks differ, so no"):
        check_clock(probe(film))
    one = tmp_path / "one.mkv"
    run_ffmpeg("-i", film, "-c:v", "ffv1", "-c:a", "flac", one)
    check_clock(probe(one))
    assert probe(one).duration_seconds == pytest.approx(12, abs=0.2)


def test_check_clock_takes_a_damaged_time_for_no_jump(tmp_path: Path) -> None:
    film, parts = tmp_path / "film.ts", []
    for begin, count, clock in ((0.0, 40, 1.0), (1.7, 4, 500.0), (2.0, 60, 3.0), (2.0, 20, 500.0)):
        part = tmp_path / "part.ts"
        at = ("-ss", begin, "-i", SAMPLE_FILM, "-an", "-frames:v", count, "-vf", "scale=96:72")
        run_ffmpeg(*at, *X264, "-bf", "0", "-output_ts_offset", clock, part)
        parts.append(part.read_bytes())
    film.write_bytes(b"".join(parts[:3]))
    check_clock(probe(film))
    film.write_bytes(parts[0] + parts[3])
    with pytest.raises(VideoError, match="is joined from recordings whose clocks differ"):
        check_clock(probe(film))


def test_check_clock_takes_a_little_back_for_none(tmp_path: Path) -> None:
    """Such as in recordings that overlap by a frame or two."""
    film, codec = tmp_path / "joined.ts", (*X264, "-bf", "0")
    for number in range(2):
        part = tmp_path / "part.ts"
        at = ("-output_ts_offset", 1 + number * 5.92)
        run_ffmpeg("-y", "-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", *codec, *at, part)
        with film.open("ab") as joined:
            joined.write(part.read_bytes())
    with av.open(str(film)) as container:
        times = [packet.dts * packet.time_base for packet in container.demux(video=0) if packet.dts]
    assert -0.1 < min(np.diff(np.array(times, float))) < 0
    check_clock(probe(film))


UNEVEN = "settb=1/90000,setpts='(N/24+0.005*mod(N\\,3))/TB'"


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_uneven_pts_of_frames_that_refer_to_later_ones(name: str, tmp_path: Path) -> None:
    """Such frames are stored after those that they refer to."""
    film = tmp_path / name
    how = ("-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-c:v", "libx264", "-bf", 3)
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", f"{UNEVEN},scale=96:72", "-t", 2, *how, film)
    with av.open(str(film)) as container:
        shown = [frame.pts for frame in container.decode(video=0)]
    assert uneven_pts(probe(film)) == tuple(shown)


@pytest.mark.parametrize("name", ["film.avi", "film.h264"])
def test_uneven_pts_of_packets_that_do_not_tell(name: str, tmp_path: Path) -> None:
    film = tmp_path / name
    codec = ("-c:v", "libx264", "-bf", 3)
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", "-t", 1, *codec, film)
    assert uneven_pts(probe(film)) is None


def test_uneven_pts_of_what_a_container_rounds(tmp_path: Path) -> None:
    """The first pts as well: 41.67 and 83.33 ms are rounded to 42 and 83 ms."""
    film = tmp_path / "film.mkv"
    late = "scale=96:72,trim=start_frame=1:end_frame=49"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", late, *X264, film)
    assert probe(film).first_pts == 42
    assert uneven_pts(probe(film)) is None


def test_uneven_pts_of_frames_that_are_never_shown(tmp_path: Path) -> None:
    """Two-pass VP8 refers to such frames; each has the pts of another one."""
    film, notes = tmp_path / "film.webm", tmp_path / "pass"
    vp8 = ("-c:v", "libvpx", "-b:v", "200k", "-auto-alt-ref", "1", "-lag-in-frames", "16")
    uneven = ("-vf", "select=mod(n\\,10),scale=96:72", "-fps_mode", "vfr")
    for number in (1, 2):
        passes = ("-pass", number, "-passlogfile", notes)
        run_ffmpeg("-y", "-i", SAMPLE_FILM, "-an", *uneven, *vp8, *passes, film)
    with av.open(str(film)) as container:
        shown = [frame.pts for frame in container.decode(video=0)]
    assert count_pictures(film) > len(shown), "else the film shows nothing of this"
    assert uneven_pts(probe(film)) == tuple(shown)


@pytest.mark.parametrize(
    ("codec", "ending", "times", "expected"),
    [
        ("msmpeg4", "asf", "N*40+5*mod(N\\,3)", 25),  # asf only states a time base of 1/1000
        ("mpeg4", "mp4", "N*40+5*mod(N\\,3)", 25),
        ("msmpeg4", "asf", "N*40+5*mod(N\\,3)+60000*gte(N\\,70)", 24),  # one frame is held
        ("mpeg4", "mp4", "N*40+5*mod(N\\,3)+7000", 25),  # begins late
        ("mpeg4", "mp4", "N*8", 125),
        ("mpeg4", "mp4", "N*8+mod(N\\,3)", 125),
    ],
)
def test_own_rate_is_that_of_the_frames(
    codec: str, ending: str, times: str, expected: int, tmp_path: Path
) -> None:
    film = tmp_path / f"film.{ending}"
    filters = f"scale=64:48,settb=1/1000,setpts='{times}'"
    how = ("-fps_mode", "passthrough", "-enc_time_base", "1/1000", "-c:v", codec)
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", filters, *how, film)
    assert float(own_rate(probe(film))) == pytest.approx(expected, rel=0.003)


def test_own_rate_of_numbered_pictures_is_as_stated(tmp_path: Path) -> None:
    pattern = tmp_path / "%03d.png"
    make_pictures(pattern, first=1, count=3)
    assert own_rate(probe(pattern, sequence_rate=Fraction(240))) == 240


def test_own_rate_of_a_lone_picture_is_credible(tmp_path: Path) -> None:
    """Its container only states the time base in which its duration is counted."""
    film = tmp_path / "film.gif"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=64:48", "-frames:v", 1, film)
    assert probe(film).frame_rate > 60
    assert own_rate(probe(film)) == 24

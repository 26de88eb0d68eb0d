from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import struct
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from filmcolorizer_cli import ffmpeg as our_ffmpeg
from filmcolorizer_cli.cadence import Cadence
from filmcolorizer_cli.errors import FfmpegError, VideoError
from filmcolorizer_cli.ffmpeg import Process
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import (
    find_hardware_decoder,
    read_coded_luma,
    read_luma,
    read_pictures,
    read_ycbcr,
)
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.sidecars import ShotFiles, read_pts, read_small_frames
from filmcolorizer_cli.survey import cadence_of, glance
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE, FieldOrder, Film, probe
from tests.colors import BT709_BARS_100
from tests.damage import spoil_frames
from tests.films import (
    FRAME,
    HOSTILE,
    LOSSLESS,
    ODD_NAMES,
    X264,
    decode_planes,
    delay,
    frame_number,
    make_clip,
    make_numbered_clip,
    make_pictures,
    make_raw_clip,
    run_ffmpeg,
)
from tests.machine import our_children
from tests.values import present


def numbers(film: Film, **sampling: Any) -> list[int]:
    """Return the numbers of the frames that a sampling of a numbered clip picks."""
    sampling.setdefault("frame_rate", film.frame_rate)
    return [frame_number(luma) for luma in read_luma(film, Sampling(**sampling))]


def all_luma(film: Film, *, shot_files: ShotFiles | None = None, **sampling: Any) -> np.ndarray:
    sampling.setdefault("frame_rate", film.frame_rate)
    return np.stack(list(read_luma(film, Sampling(**sampling), shot_files)))


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("kill -SEGV $$", "crashed while {} or was built without what that needs (ffmpeg: nothing"),
        (
            "echo Unrecognized option fps_mode. >&2; exit 1",
            "crashed while {} or was built without what that needs (ffmpeg: Unrecognized option",
        ),
        ("kill -KILL $$", "ffmpeg was killed while {} (signal 9), as happens when memory"),
    ],
)
def test_an_ffmpeg_that_cannot_read_is_no_damage_of_the_film(
    end: str, words: str, plain_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = probe(plain_clip)
    unfit = tmp_path / "ffmpeg"
    unfit.write_text(
        f'#!/bin/sh\ncase "$*" in *-version) echo ffmpeg version 9.0;; *) {end};; esac\n'
    )
    unfit.chmod(0o755)
    monkeypatch.setenv("FILMCOLORIZER_FFMPEG", str(unfit))
    sentence = words.format(f"reading {plain_clip}")
    with pytest.raises(FfmpegError, match=re.escape(sentence)) as caught:
        all_luma(film)
    named = "crashed" in sentence
    assert str(caught.value).startswith(f"{unfit} crashed" if named else "ffmpeg was killed")
    assert str(caught.value).endswith(
        "; use the bundled one, without --ffmpeg" if named else "command again"
    )
    for look in (glance, cadence_of):  # these skip what is damaged
        with pytest.raises(FfmpegError):
            look(film, 0.0, film.duration_seconds)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGHUP])
def test_an_ffmpeg_that_is_ended_from_outside_is_no_damage_of_the_film(
    number: signal.Signals, bunny: Path
) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("a test that is run by nohup hands that on")
    before, luma = our_children(), read_luma(probe(bunny), Sampling())
    next(luma)
    (child,) = our_children() - before
    os.kill(child, number)
    with pytest.raises(FfmpegError, match=f"was killed while reading {bunny}"):
        list(luma)


def test_reading_opens_no_file_but_the_one_it_is_given(plain_clip: Path, tmp_path: Path) -> None:
    """Not even when the film is replaced by a playlist after it was probed."""
    shutil.copy(plain_clip, tmp_path / "other.mp4")
    playlist = tmp_path / "film.mp4"
    playlist.write_text(HOSTILE["ffconcat"].format(name="other.mp4"))
    film = dataclasses.replace(probe(plain_clip), path=playlist)
    with pytest.raises(VideoError, match=r"could not be read beyond 0\.0 s"):
        list(read_luma(film, Sampling()))


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


@pytest.mark.parametrize("sound", [None, "mp2"])
def test_read_luma_of_a_recording_that_begins_amid_a_group_of_pictures(
    sound: str | None, tmp_path: Path
) -> None:
    """Packets before the first key frame, which cannot be decoded, take no time."""
    codec = ("-c:v", "libx264", "-g", "50", "-bf", "2", "-sc_threshold", "0")
    whole = make_numbered_clip(tmp_path / "whole.ts", seconds=6, codec=codec, sound=sound)
    packets = whole.read_bytes()
    begun = tmp_path / "begun.ts"
    begun.write_bytes(packets[len(packets) // 188 // 4 * 188 :])  # in its first or second group
    film = probe(begun)
    first, *others = numbers(film)
    assert first in (50, 100)
    assert others == list(range(first + 1, 150))
    assert film.frame_count() == 150 - first
    assert numbers(film, start_seconds=1.0, duration_seconds=2 * FRAME) == [first + 25, first + 26]


@pytest.mark.parametrize("seconds", [0, 63, 300, 590])
def test_read_luma_is_exact_deep_in_a_film(seconds: int, shared_data: Path) -> None:
    film = probe(shared_data / "film" / "big_buck_bunny_360p.mp4")
    with av.open(str(film.path)) as container:
        stream = container.streams.video[0]
        container.seek(int(seconds / present(stream.time_base)), stream=stream)
        expected = next(
            frame.to_ndarray()[:360]
            for frame in container.decode(stream)
            if frame.time >= seconds - FRAME / 2
        )
    luma = all_luma(film, start_seconds=seconds, duration_seconds=FRAME)
    np.testing.assert_array_equal(luma, [expected])


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
    # At 25 fps, frame k is at k / 25 s; which one is nearest to n / 24 s is a tie at n = 12 + 24 i.
    for n, k in enumerate(shown):
        assert abs(k * 24 - n * 25) <= 12, (n, k)


def test_read_luma_repeats_frames_by_time(tmp_path: Path) -> None:
    film = probe(make_numbered_clip(tmp_path / "slow.mp4", frame_rate="12", seconds=1))
    expected = [n // 2 for n in range(24)]
    assert numbers(film, frame_rate=Fraction(24)) == expected


@pytest.mark.parametrize("rate", ["240", "480", "960"])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_read_luma_at_a_high_rate_gives_each_frame_once(
    rate: str, suffix: str, tmp_path: Path
) -> None:
    film = probe(make_numbered_clip(tmp_path / f"fast.{suffix}", frame_rate=rate, seconds=0.25))
    assert numbers(film) == list(range(int(rate) // 4))
    assert numbers(film, start_seconds=0.125) == list(range(int(rate) // 8, int(rate) // 4))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("rate", ["60", "48", "60000/1001", "24"])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_read_luma_at_half_the_rate_gives_every_second_frame(
    rate: str, start: float, suffix: str, tmp_path: Path
) -> None:
    """The frames in between start exactly half-way; taking one now and then would judder."""
    film = probe(make_numbered_clip(tmp_path / f"fast.{suffix}", frame_rate=rate, seconds=2))
    half = Fraction(rate) / 2
    shown = numbers(film, frame_rate=half, start_seconds=start)
    first = 2 * round(start * half)
    assert shown == list(range(first, first + 2 * len(shown), 2))
    assert len(shown) == pytest.approx((2 - start) * half, abs=1)


def crop(path: Path, width: int, height: int) -> None:
    """Add a centred clean aperture to a mov whose header follows its pictures."""
    data = bytearray(path.read_bytes())
    begin, end, atoms = 0, len(data), []
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        begin = data.index(name, begin, end) - 4
        end = begin + int.from_bytes(data[begin : begin + 4], "big")
        atoms.append(begin)
    entry = begin + 16
    atoms.append(entry)
    numbers = (40, int.from_bytes(b"clap", "big"), width, 1, height, 1, 0, 1, 0, 1)
    aperture = struct.pack(">10I", *numbers)
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    for atom in atoms:
        size = int.from_bytes(data[atom : atom + 4], "big") + len(aperture)
        data[atom : atom + 4] = size.to_bytes(4, "big")
    data[end:end] = aperture
    path.write_bytes(data)


def test_read_luma_reads_what_the_container_crops(tmp_path: Path) -> None:
    """A clean aperture, as QuickTime sets for PAL, changes neither luma nor its shape."""
    clip = make_clip(tmp_path / "clip.mov", size=(96, 64), seconds=0.4, codec=("-c:v", "mpeg4"))
    film = probe(clip)
    before = np.stack(list(read_luma(film, Sampling(frame_rate=film.frame_rate))))
    crop(clip, 80, 56)
    with av.open(str(clip)) as container:  # it is still a valid film
        assert sum(1 for _ in container.decode(video=0)) == 10
    film = probe(clip)
    after = np.stack(list(read_luma(film, Sampling(frame_rate=film.frame_rate))))
    np.testing.assert_array_equal(after, before)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize(
    ("layout", "encoder"),
    [
        ("yuv420p", ("-c:v", "ffv1")),
        ("yuv422p", ("-c:v", "ffv1")),
        ("yuv411p", ("-c:v", "ffv1")),
        ("yuvj420p", (*X264, "-qp", 0, "-color_range", "pc")),
    ],
)
def test_read_coded_luma_puts_telecined_pictures_together_bit_for_bit(
    layout: str, encoder: tuple[object, ...], first: FieldOrder, tmp_path: Path
) -> None:
    plain, woven = tmp_path / "plain.mkv", tmp_path / "woven.mkv"
    scaled = f"scale=400:300:out_range={'pc' if layout == 'yuvj420p' else 'tv'},format={layout}"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", scaled, *encoder, plain)
    run_ffmpeg("-i", plain, "-vf", f"telecine=first_field={first}:pattern=23", *encoder, woven)
    film, cadence = probe(woven), Cadence(first, fields_match=True, repeats=True)
    assert (film.frame_rate, film.pixel_format) == (30, layout)

    def read(film: Film, **sampling: Any) -> np.ndarray:
        return np.stack(list(read_coded_luma(film, Sampling(**sampling), film.coding)))

    pictures = read(probe(plain))
    assert len(pictures) == 144
    np.testing.assert_array_equal(read(film, cadence=cadence), pictures)
    for number in (1, 30, 61, 99):
        part = read(film, cadence=cadence, start_seconds=number / 24, duration_seconds=0.5)
        np.testing.assert_array_equal(part, pictures[number : number + 12])
    # At the film's own rate there are as many frames, each of them a whole picture.
    frames = read(film, cadence=cadence, frame_rate=Fraction(30))
    assert len(frames) == 180
    for number, frame in enumerate(frames):
        near = pictures[max(number * 4 // 5 - 2, 0) : number * 4 // 5 + 3]
        assert (near == frame).all(axis=(1, 2)).any()


@pytest.mark.slow
def test_read_coded_luma_of_deep_telecined_film_shows_each_picture_once(
    shared_data: Path, tmp_path: Path
) -> None:
    """In the bit depth of the film, though not line for line."""
    plain, woven = tmp_path / "plain.mkv", tmp_path / "woven.mkv"
    source, lossless = shared_data / "davis" / "parkour.mp4", ("-c:v", "ffv1")
    scaled = ("-vf", "scale=400:300,format=yuv422p10le")
    run_ffmpeg("-i", source, "-an", *scaled, *lossless, plain)
    run_ffmpeg("-i", plain, "-vf", "telecine=first_field=top:pattern=23", *lossless, woven)
    film, cadence = probe(woven), Cadence("top", repeats=True)
    coding = film.coding
    frames = np.stack(list(read_coded_luma(film, Sampling(cadence=cadence), coding))).astype(int)
    pictures = np.stack(list(read_coded_luma(probe(plain), Sampling(), coding))).astype(int)
    assert len(frames) == len(pictures)
    assert len(np.unique(frames % 4)) == 4
    for number, frame in enumerate(frames[1:-1], 1):
        off = np.abs(pictures[number - 1 : number + 2] - frame).mean(axis=(1, 2))
        assert off.argmin() == 1


@pytest.mark.slow
def test_read_coded_luma_puts_pictures_together_that_are_spread_over_two_frames(
    tmp_path: Path,
) -> None:
    plain, late = tmp_path / "plain.mkv", tmp_path / "late.mkv"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "setpts=N/25/TB", "-r", 25, "-c:v", "ffv1", plain)
    run_ffmpeg("-i", plain, "-vf", "phase=mode=t", "-c:v", "ffv1", late)
    film, cadence = probe(late), Cadence("bottom", fields_match=True)
    sampling = Sampling(frame_rate=Fraction(25), cadence=cadence)
    frames = np.stack(list(read_coded_luma(film, sampling, film.coding)))
    pictures = decode_planes(plain, "yuv420p", (480, 360))[0]
    whole = [(frames == picture).all(axis=(1, 2)).any() for picture in pictures[1:-1]]
    assert all(whole)


@pytest.mark.parametrize(
    ("pictures", "rate", "missed"),
    [
        ("20", "30", 0),
        ("20", "30000/1001", 0),
        ("20", "25", 0),
        ("20", "29", 1),
        ("24", "25", 0),
    ],
)
def test_read_luma_leaves_out_the_frames_that_repeat_others(
    pictures: str, rate: str, missed: int, tmp_path: Path
) -> None:
    """A film of `pictures` a second is brought to `rate` by repeating frames."""
    film = probe(make_numbered_clip(tmp_path / "plain.mp4", frame_rate=pictures, seconds=6))
    repeated = tmp_path / "repeated.mp4"
    run_ffmpeg("-i", film.path, "-an", "-vf", f"fps={rate}", *X264, "-qp", 10, repeated)
    sampling = {"frame_rate": Fraction(24), "cadence": Cadence(repeats=True)}
    shown = numbers(probe(repeated), **sampling)
    assert len(shown) == pytest.approx(144, abs=1)
    steps = np.diff(shown).tolist()
    assert set(steps) <= {0, 1, 2}
    assert steps.count(2) == missed  # dropping one in six leaves 24.17 of 29 fps
    by_time = np.diff(numbers(probe(repeated), frame_rate=Fraction(24))).tolist()
    assert by_time.count(2) > missed
    assert numbers(probe(repeated), start_seconds=3.5, **sampling) == shown[84:]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_read_luma_evens_what_players_pull_down(suffix: str, tmp_path: Path) -> None:
    """Frames last two and three fields alternately; at 24 fps, one is repeated every 41.7 s."""
    film = probe(make_numbered_clip(tmp_path / "plain.mp4", frame_rate="24", seconds=42))
    flagged = tmp_path / f"flagged.{suffix}"
    times = "setpts='(floor(N/2)*5+2*mod(N\\,2))*1001/60000/TB'"
    uneven = ("-fps_mode", "passthrough", "-enc_time_base", "1001/60000")
    run_ffmpeg("-i", film.path, "-an", "-vf", times, *uneven, *X264, "-qp", 10, flagged)
    sampling = {"frame_rate": Fraction(24), "cadence": Cadence(is_soft_pulldown=True)}
    shown = numbers(probe(flagged), **sampling)
    steps = (np.diff(shown) % 256).tolist()  # clips number frames modulo 256
    assert (steps.count(0), steps.count(1)) == (1, len(steps) - 1)
    for start in (1, 77, 500, 800):
        assert numbers(probe(flagged), start_seconds=start / 24, **sampling) == shown[start:]
    by_time = np.diff(numbers(probe(flagged), frame_rate=Fraction(24))).tolist()
    assert by_time.count(2) > 20


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi"])
def test_read_luma_skips_nothing_of_23_976_frames_at_24(suffix: str, tmp_path: Path) -> None:
    plain = make_numbered_clip(tmp_path / "plain.mp4", frame_rate="24", seconds=42)
    slower = tmp_path / f"slower.{suffix}"
    times = ("-vf", "setpts=N*1001/24000/TB", "-r", "24000/1001")
    run_ffmpeg("-i", plain, "-an", *times, *X264, "-qp", 10, slower)
    steps = np.diff(numbers(probe(slower), frame_rate=Fraction(24))) % 256
    assert (steps == 0).sum() == 1
    assert (steps == 1).sum() == len(steps) - 1


def test_read_luma_of_an_avi_with_b_frames_starts_anywhere(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-preset", "medium", "-g", "30")
    film = probe(make_numbered_clip(tmp_path / "old.avi", frame_rate="24", seconds=5, codec=codec))
    whole = numbers(film, frame_rate=Fraction(24))
    for first in (23, 24, 25, 30, 48, 70):
        part = numbers(film, frame_rate=Fraction(24), start_seconds=first / 24)
        assert part == whole[first:]


def test_read_luma_at_another_rate_undoes_a_speed_up(numbered_clip: Path) -> None:
    film = probe(numbered_clip)  # 24 frames a second, shown at 25
    options = {"frame_rate": Fraction(24), "rate": 25 / 24}
    slowed_down = {"frame_rate": Fraction(24), "rate": 24 / 25}
    assert numbers(film, **slowed_down) == list(range(100))
    assert numbers(film, **slowed_down, start_seconds=1.0, duration_seconds=0.2) == [*range(25, 30)]
    assert len(numbers(film, **options)) == pytest.approx(100 * 24 * 24 / 25 / 25, abs=1)


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
    """Return what ffmpeg decodes without further options, in this layout."""
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
    """Layouts that do not store three planes, or store big-endian samples."""
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


@pytest.mark.parametrize("tag", ["ycgco", "bt2020c", "ictcp", "smpte2085"])
def test_read_luma_whatever_matrix_is_told(tag: str, plain_clip: Path, tmp_path: Path) -> None:
    """Even one that ffmpeg's scaler does not know, as only luma is read."""
    clip = tmp_path / "tagged.mp4"
    run_ffmpeg("-i", plain_clip, "-vf", f"setparams=colorspace={tag}", *LOSSLESS, clip)
    np.testing.assert_array_equal(all_luma(probe(clip)), all_luma(probe(plain_clip)))


@pytest.mark.parametrize("read", [read_luma, read_ycbcr])
def test_ctrl_c_is_not_lost_while_a_reading_is_ended(
    read: Any, plain_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nested reader that is left to the garbage collector would lose it."""
    end = Process.__exit__

    def stopped(process: Process, *error: Any) -> None:
        end(process, *error)
        raise KeyboardInterrupt

    monkeypatch.setattr(Process, "__exit__", stopped)
    frames = read(probe(plain_clip), Sampling())
    next(frames)
    with pytest.raises(KeyboardInterrupt):
        frames.close()


@pytest.mark.parametrize("layout", ["monob", "monow"])
def test_pictures_of_one_bit_have_the_full_range(layout: str, tmp_path: Path) -> None:
    clip = tmp_path / "film.nut"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-t", 0.2, "-pix_fmt", layout, "-c:v", "rawvideo", clip)
    film = probe(clip)
    assert film.coding.range == "full"
    [luma, *_] = read_coded_luma(film, Sampling(), film.coding)
    assert set(np.unique(luma)) == {0, 255}


def test_a_stream_of_one_picture_is_one_frame(tmp_path: Path) -> None:
    """MPEG-TS starts at 1.4 s, and states no start time if no other frame follows."""
    clip = tmp_path / "one.ts"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-frames:v", 1, "-c:v", "mpeg2video", clip)
    assert len(all_luma(probe(clip), frame_rate=TIMELINE_FRAME_RATE)) == 1


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


def chroma_of(film: Film, **sampling: Any) -> np.ndarray:
    pictures = list(read_ycbcr(film, Sampling(frame_rate=film.frame_rate, **sampling)))
    return np.stack(pictures)[..., 1:].astype(float)


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv420p10le", "uyvy422"])
def test_read_ycbcr_takes_noise_off_chroma(
    layout: str, every: int, mixed_film: Path, tmp_path: Path
) -> None:
    """Most of it is removed where nothing moves; luma is left as it is."""
    noise = "noise=c1s=12:c1f=t+u:c2s=12:c2f=t+u"
    path = tmp_path / "noisy.nut"
    codec = "rawvideo" if layout == "uyvy422" else "ffv1"  # captures of tapes are raw uyvy422
    run_ffmpeg("-i", mixed_film, "-vf", f"{noise},format={layout}", "-c:v", codec, path)
    film = probe(path)
    true = chroma_of(probe(mixed_film), every=every)
    noisy = chroma_of(film, every=every)
    quiet = chroma_of(film, every=every, denoises_chroma=True)
    before, after = (np.abs(chroma - true).mean() for chroma in (noisy, quiet))
    assert before > 1.5
    assert after < 0.6 * before
    plain, same = (
        [picture[..., 0] for picture in read_ycbcr(film, Sampling(every=every, denoises_chroma=q))]
        for q in (False, True)
    )
    np.testing.assert_array_equal(plain, same)


def test_pictures_without_chroma_are_not_quieted(mixed_film: Path, tmp_path: Path) -> None:
    """Otherwise red and blue would be denoised, and luma with them, but not green."""
    path = tmp_path / "rgb.mkv"
    run_ffmpeg("-i", mixed_film, "-vf", "noise=alls=12:allf=t", "-pix_fmt", "gbrp", "-c:v", "ffv1",
               path)  # fmt: skip
    film = probe(path)
    plain, same = (
        list(read_ycbcr(film, Sampling(every=5, denoises_chroma=q))) for q in (False, True)
    )
    np.testing.assert_array_equal(plain, same)


def test_quieted_chroma_of_a_clean_film_stays(moving_film: Path) -> None:
    """Everything moves, and no colour of the first shot gets into the second.

    The last frames are exempt: no later frame shows where they move.
    """
    film = probe(moving_film)
    true, quiet = chroma_of(film), chroma_of(film, denoises_chroma=True)
    change = np.abs(quiet - true).mean(axis=(1, 2, 3))
    assert change[:-2].max() < 1
    assert np.abs(true[12] - true[11]).mean() > 10, "the shots have other colours"


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
        "); repair it, or use another part of it with --start and --duration if the command has"
        " them; `filmcolorizer colorize --skip-damaged` skips what is damaged"
    )


def test_reading_damaged_slides_tells_when_the_last_good_one_begins(
    numbered_clip: Path, tmp_path: Path
) -> None:
    """The times of frames that keep their own do not follow from how many were read."""
    slides = tmp_path / "slides.mp4"
    run_ffmpeg(
        "-i", numbered_clip, "-an", "-frames:v", 10, "-vf", "settb=1/90000,setpts='2*N/TB'",
        "-fps_mode", "passthrough", *X264, "-g", 1, "-enc_time_base", "1/90000", slides,
    )  # fmt: skip
    film = probe(spoil_frames(slides, tmp_path / "bad.mp4", 14, 16, frame_rate=1))
    sampling = Sampling(pts=(film.first_pts, None), pts_file=tmp_path / "pts")
    with pytest.raises(VideoError, match=r"could not be read beyond (\d+\.\d) s") as caught:
        list(read_luma(film, sampling))
    assert "beyond 12.0 s" in str(caught.value)


@pytest.mark.parametrize("keeps_times", [False, True])
def test_reading_leaves_out_any_number_of_damaged_frames(keeps_times: bool) -> None:
    film = probe(SAMPLE_FILM)
    damaged = range(2, 144, 2) if keeps_times else range(3, 140, 3)
    frame = 1 / 24
    damage = tuple((number * frame, (number + 0.5) * frame) for number in damaged)
    damage += tuple((90.0 + number, 90.5 + number) for number in range(200))
    pts = (film.first_pts, None) if keeps_times else None
    found = all_luma(film, damage=damage, pts=pts)
    shown = [n for n in range(144) if n not in damaged]
    if not keeps_times:
        shown = [n - (n in damaged) for n in range(144)]
    np.testing.assert_array_equal(found, all_luma(film)[shown])


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
    """Write one second of testsrc2, then one of mandelbrot, at 25 fps."""
    second = "mandelbrot=size=64x48:rate=25"
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=1", "-f", "lavfi", "-i", second,
        "-filter_complex", "concat=n=2", "-t", 2, *LOSSLESS, "-pix_fmt", "yuv420p", path,
    )  # fmt: skip
    return path


@pytest.mark.parametrize(("start", "cut"), [(0.0, 1.0), (0.4, 0.6)])
@pytest.mark.parametrize("duration", [None, 1.4])
def test_read_luma_notes_a_hard_cut_and_all_frames_small(
    start: float, cut: float, duration: float | None, tmp_path: Path
) -> None:
    film = probe(hard_cut(tmp_path / "cut.mp4"))
    files = ShotFiles(tmp_path / "cuts", tmp_path / "frames")
    part: dict[str, Any] = {"start_seconds": start, "duration_seconds": duration}
    frames = all_luma(film, shot_files=files, every=2, **part)
    count = round(((2 - start) if duration is None else duration) * 25)
    assert len(frames) == np.ceil(count / 2)
    assert read_pts(files.cuts_file) == [round(cut * 25)]
    assert files.frames_file is not None
    small = read_small_frames(files.frames_file)
    assert small.shape == (count, 24, 32)
    seen = all_luma(film, width=128, height=96, **part)  # the size that `survey` reads
    expected = seen.reshape(count, 24, 4, 32, 4).mean(axis=(2, 4))
    assert np.abs(small - expected).max() <= 1


@pytest.mark.parametrize("name", [*ODD_NAMES, " blank first"])
def test_read_luma_notes_cuts_in_a_file_of_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film = probe(hard_cut(tmp_path / "cut.mp4"))
    all_luma(film, shot_files=ShotFiles(Path(name)))
    assert read_pts(Path(name)) == [25]


def test_read_luma_notes_no_cuts_in_one_shot(plain_clip: Path, tmp_path: Path) -> None:
    cuts_file = tmp_path / "cuts.txt"
    cuts_file.write_text("frame:0 pts:180 pts_time:7.5\n")  # left by an earlier run
    all_luma(probe(plain_clip), shot_files=ShotFiles(cuts_file))
    assert read_pts(cuts_file) == []
    assert read_pts(tmp_path / "missing.txt") == []


def expected_luma(rgb: np.ndarray, red: float, blue: float) -> np.ndarray:
    """Return limited-range luma by ITU-R BT.601-7 or BT.709-6."""
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
    for start, shown in ((0.0, pictures), (2 / 18, pictures[2:])):
        luma = all_luma(film, start_seconds=start).astype(float)
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


@pytest.mark.parametrize("kind", HOSTILE)
def test_numbered_pictures_open_no_file_but_themselves(
    kind: str, plain_clip: Path, tmp_path: Path
) -> None:
    content = HOSTILE[kind].format(name=plain_clip)
    (tmp_path / "1.png").write_text(content)
    with pytest.raises(VideoError, match=r"cannot be read as a picture|without a single picture"):
        probe(tmp_path / "%d.png")
    # A file whose own name is a pattern is only read as that file.
    (tmp_path / "%d.png").write_text(content)
    with pytest.raises(VideoError, match="cannot be read as a video"):
        probe(tmp_path / "%d.png")


def test_find_hardware_decoder_does_not_take_the_processor_for_a_card(
    plain_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a card cannot decode, ffmpeg silently decodes on the processor."""
    methods = {"mine": "mine", "none": "yuv420p", "auto": "cuda"}
    monkeypatch.setattr("filmcolorizer_cli.frames.HARDWARE_DECODERS", methods)
    assert find_hardware_decoder(probe(plain_clip)) is None

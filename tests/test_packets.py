from __future__ import annotations

from pathlib import Path

import av
import pytest

from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.packets import find_damage, uneven_ticks
from filmcolorizer_cli.video import Spans, count_pictures, probe
from tests.conftest import X264, run_ffmpeg


def damage_of(path: Path) -> Spans:
    search = find_damage(probe(path))
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

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from typing import Any

import av
import pytest

from filmcolorizer_cli.video import probe
from tests.films import run_ffmpeg, said_in
from tests.values import present
from tests.written import grey, write_film


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("source_ending", [".mp4", ".mkv"])
def test_join_film_of_a_part_shows_subtitles_that_began_before_it(
    source_ending: str, ending: str, rich_clip: Path, tmp_path: Path
) -> None:
    """For a part, ffmpeg itself drops these subtitles in mkv, and delays all later ones in mp4."""
    clip = tmp_path / f"said{source_ending}"
    text = {".mp4": "mov_text", ".mkv": "copy"}[source_ending]
    marks = ("-disposition:s:0", "forced", "-metadata:s:s:0", "title=Signs")
    run_ffmpeg("-i", rich_clip, "-map", 0, "-c", "copy", "-c:s", text, *marks, clip)
    source, target = probe(clip), tmp_path / f"out{ending}"
    part: dict[str, Any] = {"start_seconds": 0.7, "duration_seconds": 1.0}
    write_film(target, source, grey(source, **part), **part)
    assert said_in(target) == [(0, "Good evening"), (pytest.approx(0.5, abs=0.01), "Good night")]
    found = probe(target).subtitles
    assert [(s.language, s.title) for s in found] == [("spa", "Signs")]
    with av.open(str(target)) as container:
        packets = [p for p in container.demux(subtitles=0) if p.size > 2]  # mp4's gap fillers
        times = [
            (float(present(p.pts) * p.time_base), float(present(p.duration) * p.time_base))
            for p in packets
        ]
    assert times == [
        (0, pytest.approx(0.3, abs=0.01)),
        (pytest.approx(0.5, abs=0.01), pytest.approx(0.5, abs=0.01)),
    ]
    assert not list(tmp_path.glob("**/subtitles"))


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("source_ending", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("start", "duration", "said"),
    [(0.0, 0.4, []), (1.85, None, []), (0.0, 1.1, [(0.5, "Good evening")])],
)
def test_join_film_of_a_part_has_no_subtitles_of_others(
    start: float,
    duration: float | None,
    said: list[tuple[float, str]],
    source_ending: str,
    ending: str,
    rich_clip: Path,
    tmp_path: Path,
) -> None:
    """A subtitle track that would be empty is left out."""
    clip = tmp_path / f"said{source_ending}"
    text = {".mp4": "mov_text", ".mkv": "copy"}[source_ending]
    run_ffmpeg("-i", rich_clip, "-map", 0, "-c", "copy", "-c:s", text, clip)
    source, target = probe(clip), tmp_path / f"out{ending}"
    part: dict[str, Any] = {"start_seconds": start, "duration_seconds": duration}
    write_film(target, source, grey(source, **part), **part)
    assert len(probe(target).sounds) == 2
    assert len(probe(target).subtitles) == bool(said)
    assert (said_in(target) if said else []) == [
        (pytest.approx(seconds, abs=0.01), text) for seconds, text in said
    ]


def display_set(seconds: float, number: int, *, shows: bool) -> bytes:
    """Return a Blu-ray display set that shows a bar of 40x4 pixels, or nothing, from a time on.

    It consists of presentation graphics segments as FFmpeg's decoder (pgssubdec.c) reads them.
    """

    def segment(kind: int, body: bytes) -> bytes:
        return b"PG" + struct.pack(">IIBH", round(seconds * 90_000), 0, kind, len(body)) + body

    place = struct.pack(">HBBHH", 0, 0, 0, 8, 40) if shows else b""
    state = 0x80 if shows else 0
    composition = struct.pack(">HHBHBBBB", 64, 48, 0x10, number, state, 0, 0, shows) + place
    window = struct.pack(">BBHHHH", 1, 0, 8, 40, 40, 4)
    line = bytes([0, 0x80 | 40, 1, 0, 0])  # 40 pixels of colour 1
    pixels = struct.pack(">HH", 40, 4) + line * 4
    picture = struct.pack(">HBB", 0, 0, 0xC0) + len(pixels).to_bytes(3, "big") + pixels
    palette = bytes([0, 0, 1, 235, 128, 128, 255])
    drawn = segment(0x14, palette) + segment(0x15, picture) if shows else b""
    return segment(0x16, composition) + segment(0x17, window) + drawn + segment(0x80, b"")


def test_join_film_of_a_part_shows_pictures_until_the_next_ones(
    rich_clip: Path, tmp_path: Path
) -> None:
    """Picture subtitles store no durations; text subtitles beside them keep their times."""
    moments = [(0.2, True), (0.9, False), (1.3, True), (1.7, False)]
    sets = [display_set(at, number, shows=shows) for number, (at, shows) in enumerate(moments)]
    (tmp_path / "said.sup").write_bytes(b"".join(sets))
    clip, target = tmp_path / "said.mkv", tmp_path / "out.mkv"
    run_ffmpeg(
        "-copyts", "-i", tmp_path / "said.sup", "-i", rich_clip,
        "-map", "1:v", "-map", "0", "-map", "1:s", "-c", "copy", clip,
    )  # fmt: skip
    source = probe(clip)
    assert [s.codec for s in source.subtitles] == ["hdmv_pgs_subtitle", "subrip"]
    part: dict[str, Any] = {"start_seconds": 0.5, "duration_seconds": 1.0}
    write_film(target, source, grey(source, **part), **part)
    with av.open(str(target)) as container:
        packets = list(container.demux(container.streams.subtitles))
        times = [
            (packet.stream.index, float(packet.pts * packet.time_base), packet.size > 40)
            for packet in packets
            if packet.pts is not None
        ]
    near = partial(pytest.approx, abs=0.01)
    assert [(at, big) for index, at, big in times if index == 1] == [
        (0, True),
        (near(0.4), False),
        (near(0.8), True),
    ]
    assert [at for index, at, _ in times if index == 2] == [0, near(0.7)]

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from filmcolorizer_cli import reshaping
from filmcolorizer_cli.colorizing import colorize
from filmcolorizer_cli.encoding import Encoding
from filmcolorizer_cli.rendering import ColorizeOptions
from filmcolorizer_cli.reshaping import ShapeChange, find_shape_change
from filmcolorizer_cli.video import Film, opened, probe
from tests.films import make_clip, run_ffmpeg
from tests.networks import vivid_network

SIZE = 160, 128
PARTS_SECONDS = 3


def recording(path: Path, *filters: str) -> Path:
    """Make an MPEG-2 television recording with one part for each of these filters."""
    listed = ""
    for number, part in enumerate(filters):
        file = path.with_name(f"{path.stem}-{number}.ts")
        source = f"testsrc2=size=160x128:rate=25:duration={PARTS_SECONDS}"
        run_ffmpeg(
            "-f", "lavfi", "-i", source, "-vf", f"{part},format=yuv420p", "-c:v", "mpeg2video",
            "-b:v", "2M", "-output_ts_offset", number * PARTS_SECONDS, file,
        )  # fmt: skip
        listed += f"file {file.name}\n"
    names = path.with_suffix(".txt")
    names.write_text(listed)
    run_ffmpeg("-f", "concat", "-i", names, "-c", "copy", path)
    return path


def found_in(path: Path, begin: float = 0.0) -> ShapeChange | None:
    film = probe(path)
    return find_shape_change(film, begin, film.duration_seconds)


@pytest.mark.parametrize("ending", [".ts", ".vob", ".mkv"])
@pytest.mark.parametrize(
    ("after", "said"),
    [("setsar=64/45", "160x128 with pixels of 64:45"), ("scale=128:128,setsar=16/15", "128x128")],
    ids=["shape", "size"],
)
def test_find_shape_change_finds_the_first_change(
    after: str, said: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reshaping, "LOOK_SECONDS", 2.0)
    path = recording(tmp_path / f"film{ending}", "setsar=16/15", after, "setsar=16/15")
    change = found_in(path)
    assert change is not None
    # A decoder may report a new shape half a second before its first frame of that shape.
    assert PARTS_SECONDS - 0.6 < change.seconds < PARTS_SECONDS + 0.6
    assert str(change.before) == "160x128 with pixels of 16:15"
    assert str(change.after).startswith(said)


def test_find_shape_change_finds_none_in_a_film_of_one_shape(tmp_path: Path) -> None:
    path = recording(tmp_path / "film.ts", "setsar=16/15", "setsar=16/15")
    assert found_in(path) is None
    assert found_in(make_clip(tmp_path / "square.mp4")) is None
    bare = tmp_path / "bare.m2v"
    run_ffmpeg("-i", path, "-c", "copy", bare)
    assert found_in(bare) is None


def test_find_shape_change_looks_at_a_part(tmp_path: Path) -> None:
    film = probe(recording(tmp_path / "film.mkv", "setsar=16/15", "setsar=64/45"))
    assert find_shape_change(film, 0.0, 2.0) is None
    assert find_shape_change(film, 1.0, 5.0) is not None
    behind = find_shape_change(film, 4.0, 6.0)  # compared with the film's first frame, too
    assert behind is not None
    assert behind.seconds <= 4.0


def test_find_shape_change_heeds_what_the_container_tells_of_pixels(tmp_path: Path) -> None:
    """Players apply the container's sample aspect ratio to all frames."""
    stream = recording(tmp_path / "film.ts", "setsar=1", "setsar=16/15")
    told, sized = tmp_path / "told.mkv", tmp_path / "sized.mkv"
    run_ffmpeg("-i", stream, "-c", "copy", "-aspect", "4:3", told)
    assert probe(told).sample_aspect_ratio == Fraction(16, 15)
    assert found_in(told) is None
    other = recording(tmp_path / "other.ts", "setsar=1", "scale=128:128,setsar=16/15")
    run_ffmpeg("-i", other, "-c", "copy", "-aspect", "4:3", sized)
    assert found_in(sized) is not None


def test_find_shape_change_reads_little_where_key_frames_are_rare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mkv"
    source = "testsrc2=size=64x48:rate=25:duration=120"
    rare = ("-c:v", "libx264", "-preset", "veryfast", "-g", 100000, "-sc_threshold", 0)
    run_ffmpeg("-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", *rare, path)
    film, read = probe(path), 0

    @contextmanager
    def counted(film: Film) -> Iterator[Any]:
        with opened(film) as container:

            def demux(stream: Any) -> Iterator[Any]:
                nonlocal read
                for packet in container.demux(stream):
                    read += 1
                    yield packet

            yield SimpleNamespace(streams=container.streams, seek=container.seek, demux=demux)

    monkeypatch.setattr(reshaping, "opened", counted)
    assert find_shape_change(film, 0.0, film.duration_seconds) is None
    assert 0 < read < 600, "of 3,000 packets, at each of seven looks"


def test_colorize_tells_of_another_shape(tmp_path: Path) -> None:
    film = probe(recording(tmp_path / "film.ts", "setsar=16/15", "setsar=64/45"))
    notes = list[str]()
    options = ColorizeOptions(Encoding(), recolor=True)
    target, cpu = tmp_path / "out.mp4", torch.device("cpu")
    list(colorize(film, target, vivid_network(), options, cpu, note=notes.append))
    (note,) = (note for note in notes if "shape" in note or "pixels" in note)
    assert note.startswith("from about ")
    assert note.endswith(
        " s on, the pictures are 160x128 with pixels of 64:45, before that 160x128 with pixels"
        " of 16:15; all are given the shape of the film's first one; if another programme begins"
        " there, cut the film there and colorize each part by itself"
    )

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from filmcolorizer_cli import reshaping
from filmcolorizer_cli.colorizing import ColorizeOptions, colorize
from filmcolorizer_cli.encoding import Encoding
from filmcolorizer_cli.reshaping import Reshaped, find_reshaped
from filmcolorizer_cli.video import probe
from tests.films import make_clip, run_ffmpeg
from tests.networks import vivid_network

SIZE = 160, 128
PARTS_SECONDS = 3


def recording(path: Path, *filters: str) -> Path:
    """A television recording, of MPEG-2, whose parts are scaled and shaped by these filters."""
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


def found_in(path: Path, begin: float = 0.0) -> Reshaped | None:
    film = probe(path)
    return find_reshaped(film, begin, film.duration_seconds)


@pytest.mark.parametrize("ending", [".ts", ".vob", ".mkv"])
@pytest.mark.parametrize(
    ("after", "said"),
    [("setsar=64/45", "160x128 with pixels of 64:45"), ("scale=128:128,setsar=16/15", "128x128")],
    ids=["shape", "size"],
)
def test_find_reshaped_finds_the_first_change(
    after: str, said: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reshaping, "LOOK_SECONDS", 2.0)
    path = recording(tmp_path / f"film{ending}", "setsar=16/15", after, "setsar=16/15")
    change = found_in(path)
    assert change is not None
    # A decoder may know of another shape half a second before it shows it.
    assert PARTS_SECONDS - 0.6 < change.seconds < PARTS_SECONDS + 0.6
    assert str(change.before) == "160x128 with pixels of 16:15"
    assert str(change.after).startswith(said)


def test_find_reshaped_finds_none_in_a_film_of_one_shape(tmp_path: Path) -> None:
    path = recording(tmp_path / "film.ts", "setsar=16/15", "setsar=16/15")
    assert found_in(path) is None
    assert found_in(make_clip(tmp_path / "square.mp4")) is None
    bare = tmp_path / "bare.m2v"
    run_ffmpeg("-i", path, "-c", "copy", bare)
    assert found_in(bare) is None


def test_find_reshaped_looks_at_a_part(tmp_path: Path) -> None:
    film = probe(recording(tmp_path / "film.mkv", "setsar=16/15", "setsar=64/45"))
    assert find_reshaped(film, 0.0, 2.0) is None
    assert find_reshaped(film, 4.0, 6.0) is None
    assert find_reshaped(film, 1.0, 5.0) is not None


def test_colorize_tells_of_another_shape(tmp_path: Path) -> None:
    film = probe(recording(tmp_path / "film.ts", "setsar=16/15", "setsar=64/45"))
    notes = list[str]()
    options = ColorizeOptions(Encoding(), recolor=True)
    target, cpu = tmp_path / "out.mp4", torch.device("cpu")
    list(colorize(film, target, vivid_network(), options, cpu, note=notes.append))
    (note,) = (note for note in notes if "shape" in note or "pixels" in note)
    assert note.startswith("from about ")
    assert note.endswith(
        " s on the pictures are 160x128 with pixels of 64:45, before 160x128 with pixels of 16:15;"
        " all are drawn as the film's first one, so cut the film there and colorize each part by"
        " itself"
    )

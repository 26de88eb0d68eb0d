"""`filmcolorizer sync`, end to end."""

from __future__ import annotations

import json
import signal
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filmcolorizer_cli import maps
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.video import probe
from tests.commands import (
    copy_here,
    fail,
    finish,
    misuse,
    processes_naming,
    run,
    start,
    succeed,
    table_cells,
    wait_for,
)
from tests.films import decode_planes, frames_only, graded_film, run_ffmpeg
from tests.machine import files_in


@pytest.mark.slow
@pytest.mark.parametrize(
    "order",
    [
        ["BW", "COLOR", "--offset"],
        ["BW", "--offset", "COLOR"],
        ["--offset", "BW", "COLOR"],
        ["BW", "COLOR", "--offset", "--json"],
    ],
    ids=["last", "middle", "first", "before-an-option"],
)
def test_sync_offset_alone_only_finds_and_prints(
    order: list[str], versions: tuple[Path, Path]
) -> None:
    names = dict(zip(("BW", "COLOR"), versions, strict=True))
    said = succeed("sync", *(names.get(word, word) for word in order))
    if "--json" in order:
        facts = json.loads(said)
        [segment] = facts.pop("segments")
        assert facts == {
            "offset_frames": -24,
            "offset_seconds": -1.0,
            "confidence": 1.0,
            "shared_seconds": 4.0,
            "output": None,
        }
        assert set(segment) == {field.name for field in fields(maps.Segment)}
        assert (segment["bw_start_seconds"], segment["bw_end_seconds"]) == (1.0, 5.0)
    else:
        assert said == (
            "offset -24 frames (-1.000 s), confidence 1.00\n"
            f"4.0 s that both films show, 80% of {versions[0]}\n"
        )
    assert files_in(Path()) == []


@pytest.mark.slow
def test_sync_finds_and_writes_a_map(versions: tuple[Path, Path]) -> None:
    bw, color = (copy_here(path, f"{name}.mp4") for path, name in zip(versions, "ab", strict=True))
    assert succeed("sync", bw, color) == (
        "offset -24 frames (-1.000 s), confidence 1.00\n"
        "wrote sync.json: 4.0 s that both films show, 80% of a.mp4\n"
    )
    sync_map = maps.read_map(Path("sync.json"))
    [segment] = sync_map.segments
    assert segment.bw_start_seconds == pytest.approx(1)
    assert segment.bw_end_seconds == pytest.approx(5)
    assert segment.color_start_seconds == pytest.approx(0, abs=0.5 / 24)
    assert (segment.rate, segment.confidence) == (1.0, 1.0)
    assert np.abs(np.array(segment.matrix) - np.eye(2, 3)).max() < 0.01
    assert np.abs(np.array(segment.area) - (0, 0, 1, 1)).max() < 0.01
    assert (sync_map.bw["path"], sync_map.color["path"]) == ("a.mp4", "b.mp4")


@pytest.fixture(scope="module")
def cut_version(clip_folder: Path, color_film: Path) -> Path:
    """The sample film in colour without frames 48 to 71, the first second of its second shot."""
    kept = frames_only((0, 48), (72, 144))
    return graded_film(clip_folder / "color-cut.mp4", kept, source=color_film)


@pytest.mark.slow
def test_sync_lists_segments(versions: tuple[Path, Path], cut_version: Path) -> None:
    said = succeed("sync", versions[0], cut_version)
    first, *_, last = said.splitlines()
    assert first == "offset +0 frames (+0.000 s), confidence 1.00"
    assert last == f"wrote sync.json: 4.0 s that both films show, 80% of {versions[0]}"
    assert "2 segments that both films show" in said
    head, *rows = table_cells(said)
    assert head == ["from", "to", "colour from", "offset", "rate", "confidence"]
    assert [row[:3] for row in rows] == [
        ["0:00:00.000", "0:00:02.000", "0:00:00.000"],
        ["0:00:03.000", "0:00:05.000", "0:00:02.000"],
    ]
    assert [(float(row[3]), float(row[4])) for row in rows] == [(0, 1), (-24, 1)]
    facts = json.loads(succeed("sync", versions[0], cut_version, "--offset", "--json"))
    assert facts["shared_seconds"] == pytest.approx(4.0)
    assert [segment["bw_end_seconds"] for segment in facts["segments"]] == [2.0, 5.0]


@pytest.mark.slow
def test_sync_says_at_which_speed_the_coloured_film_runs(
    versions: tuple[Path, Path], clip_folder: Path, color_film: Path
) -> None:
    """The coloured film plays at 18 frames a second, some of them shown twice to make 24."""
    slower = graded_film(clip_folder / "slow.mp4", "setpts=4/3*PTS,fps=24", source=color_film)
    assert succeed("sync", versions[0], slower, "--offset") == (
        "offset +0 frames (+0.000 s), rate 1.33333, confidence 1.00\n"
        f"5.0 s that both films show, 100% of {versions[0]}\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "frames", "seconds", "shared"),
    [
        (["--offset", "-3"], -3, "-0.125", "4.9"),
        (["--offset", "5"], 5, "+0.208", "4.8"),
        (["--offset=5"], 5, "+0.208", "4.8"),
        (["--offset=-3"], -3, "-0.125", "4.9"),
        (["--offset", "+5"], 5, "+0.208", "4.8"),
        (["--offset", "0"], 0, "+0.000", "5.0"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_sync_takes_a_stated_offset(
    words: list[str],
    frames: int,
    seconds: str,
    shared: str,
    is_first: bool,
    versions: tuple[Path, Path],
) -> None:
    arguments = [*words, *versions] if is_first else [*versions, *words]
    share = round(float(shared) / 5 * 100)
    assert succeed("sync", *arguments) == (
        f"offset {frames:+d} frames ({seconds} s), as given\n"
        f"wrote sync.json: {shared} s that both films show, {share}% of {versions[0]}\n"
    )
    [segment] = maps.read_map(Path("sync.json")).segments
    apart = segment.color_start_seconds - segment.bw_start_seconds
    assert apart == pytest.approx(frames / 24)


@pytest.mark.slow
def test_sync_tells_where_the_pictures_are_not_alike(bunny: Path) -> None:
    result = run("sync", SAMPLE_FILM, bunny, "--offset", 0)
    assert result.exit_code == 0
    assert result.stderr == (
        "the pictures do not look alike at this offset, so each is assumed to fill the other's"
        " frame; check with --preview FILE.png\n"
    )


@pytest.mark.slow
def test_sync_writes_a_preview_and_both_films_aligned(versions: tuple[Path, Path]) -> None:
    pictures = ("--preview", "p.png", "--render", "both")
    result = run("sync", *versions, "--offset", "-24", *pictures)
    assert (result.exit_code, result.stdout) == (
        0,
        "offset -24 frames (-1.000 s), as given\n"
        f"wrote sync.json: 4.0 s that both films show, 80% of {versions[0]}\n",
    )
    assert result.stderr == (
        "wrote p.png: matched frames and the segments\n"
        "wrote both/bw.mp4 and color.mp4: 96 frames each\n"
    )
    assert files_in(Path()) == ["both", "p.png", "sync.json"]
    assert files_in(Path("both")) == ["bw.mp4", "color.mp4"]
    lumas = []
    for name, source, first in (("bw.mp4", versions[0], 24), ("color.mp4", versions[1], 0)):
        film = probe(Path("both") / name)
        assert (film.width, film.height, film.frame_rate) == (96, 72, 24)
        luma, _, _ = decode_planes(film.path, "yuv420p", (96, 72))
        original, _, _ = decode_planes(source, "yuv420p", (96, 72))
        assert len(luma) == 96
        assert np.abs(luma.astype(int) - original[first : first + 96]).mean() < 3
        lumas.append(luma)
    with Image.open("p.png") as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 100, "a blank picture"
    # Existing outputs are replaced only with --overwrite.
    assert fail("sync", *versions, "-o", "new.json", "--offset", "0", "--preview", "p.png") == (
        "p.png exists already; name another file with --preview, or give --overwrite"
    )
    assert fail("sync", *versions, "-o", "new.json", "--offset", "0", "--render", "both") == (
        "both/bw.mp4 exists already; name another folder with --render, or give --overwrite"
    )
    succeed("sync", *versions, "--offset", "0", *pictures, "--overwrite")


def test_sync_refuses_pictures_that_it_cannot_write(versions: tuple[Path, Path]) -> None:
    alone = ("sync", *versions, "--offset", "0")
    Path("file").write_text("dear")
    assert fail(*alone, "--render", "file") == "file is a file; name a folder with --render"
    assert fail(*alone, "--preview", "p.jpg", code=2) == (
        "p.jpg does not end in .png; name a file that does with --preview"
    )
    here = Path().resolve()
    for targets in (("-o", "p.png", "--preview", "./p.png"), ("-o", "d/bw.mp4", "--render", "d")):
        Path("d").mkdir(exist_ok=True)
        written = here / targets[1]
        assert fail(*alone, *targets, code=2) == (
            f"{written} would be written twice; name different files with -o, --preview and"
            " --render"
        )
    said = fail(*alone, "--preview", "both.png", "--render", "both.png", code=2)
    assert said.startswith(f"{here / 'both.png'} would be a file and a folder; name different ones")
    bw = copy_here(versions[0], "d/bw.mp4")
    said = fail("sync", bw, versions[1], "--offset", "0", "--render", "d", "--overwrite")
    assert said == "d/bw.mp4 is the source itself; name another folder with --render"
    assert Path("file").read_text() == "dear"


def test_sync_writes_where_it_is_told(versions: tuple[Path, Path]) -> None:
    said = json.loads(succeed("sync", *versions, "-o", "map.json", "--offset", "--json"))
    assert (said["offset_frames"], said["output"]) == (-24, "map.json")
    assert files_in(Path()) == ["map.json"]


@pytest.mark.parametrize("frames", [-120, 120, 999999])
def test_sync_refuses_an_offset_out_of_range(frames: int, versions: tuple[Path, Path]) -> None:
    assert fail("sync", *versions, "--offset", frames, code=2) == (
        f"an offset of {frames} frames leaves no overlap between the two films; it can be from -119"
        " to 119"
    )


@pytest.mark.parametrize("word", ["x", "1.5", "--3", "+-3", "", "1" * 10])
def test_sync_refuses_what_is_no_number_of_frames(word: str, versions: tuple[Path, Path]) -> None:
    said = misuse("sync", *versions, f"--offset={word}")
    assert f"Invalid value for --offset: {word!r} is not a whole number of frames" in said


@pytest.mark.slow
def test_sync_refuses_different_films(versions: tuple[Path, Path], numbered_clip: Path) -> None:
    assert fail("sync", versions[0], numbered_clip) == (
        f"{versions[0]} and {numbered_clip} do not look like the same film: no shot that both show"
        " was found with certainty; use two versions of the same film, or give the offset with"
        " `filmcolorizer sync --offset FRAMES`"
    )


def test_sync_refuses_a_film_that_runs_backwards(versions: tuple[Path, Path]) -> None:
    backwards = graded_film(Path("backwards.mp4"), "reverse", source=versions[1])
    assert fail("sync", versions[0], backwards) == (
        f"{versions[0]} and backwards.mp4 do not look like the same film: the second runs"
        " backwards; reverse it"
    )


@pytest.mark.slow
def test_sync_and_extract_tell_of_films_in_the_wrong_order(
    moving_film: Path, versions: tuple[Path, Path]
) -> None:
    told = f"{moving_film} is in colour and {versions[0]} is not; give the black-and-white film"
    for command in ("sync", "extract"):
        result = run(command, moving_film, versions[0])
        assert result.stderr.startswith(f"{told} first\n")
        for right in ((versions[0], moving_film), (moving_film, moving_film), versions):
            assert "is in colour" not in run(command, *right).stderr


@pytest.mark.slow
def test_sync_stopped_by_ctrl_c_leaves_nothing() -> None:
    film = Path("long.mp4")
    run_ffmpeg("-stream_loop", 99, "-i", SAMPLE_FILM, "-c", "copy", film)
    here = str(Path.cwd())
    program = start("sync", film.absolute(), film.absolute())
    readers = lambda: [line for line in processes_naming(here) if "ffmpeg" in line]  # noqa: E731
    wait_for(lambda: len(readers()) == 2, program)
    assert finish(program, signal.SIGINT) == (
        130,
        "filmcolorizer: stopped; no unfinished file was left behind\n",
    )
    assert files_in(Path()) == ["long.mp4"]
    assert readers() == []


def test_sync_writes_no_map_under_the_name_of_a_film(plain_clip: Path) -> None:
    said = fail("sync", plain_clip, plain_clip, "--offset", 0, "-o", "film.mp4", code=2)
    assert said == "film.mp4 does not end in .json; name a file that does with -o"

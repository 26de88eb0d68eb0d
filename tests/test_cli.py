"""Every command, end to end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import typer.main
from PIL import Image
from safetensors.torch import save_file

from filmcolorizer_cli import (
    batches,
    cli,
    colorizing,
    console,
    evaluation_page,
    film_evaluation,
    maps,
    metrics,
    models,
    networks,
    painting,
    pair_evaluation,
    propagation,
    recipes,
    report,
    sync,
    trails,
    training,
    weights,
)
from filmcolorizer_cli.configs import ClassicConfig, FilmConfig
from filmcolorizer_cli.errors import FilmColorizerError
from filmcolorizer_cli.extracting import ExtractOptions
from filmcolorizer_cli.ffmpeg import BINARY_VARIABLE, find_binary
from filmcolorizer_cli.files import SAMPLE_FILM, models_folder
from filmcolorizer_cli.history import Epoch, read_history
from filmcolorizer_cli.networks import build
from filmcolorizer_cli.pairs import Pairs, read_pairs
from filmcolorizer_cli.splits import split_by_time
from filmcolorizer_cli.video import Film, film_identity, probe
from tests.commands import fail, misuse, run, succeed
from tests.films import (
    LOSSLESS,
    X264,
    decode_planes,
    frames_only,
    graded_film,
    make_clip,
    run_ffmpeg,
)
from tests.machine import file_size_limit, files_in, ordinary_user
from tests.networks import TINY, vivid_network
from tests.values import finished, present

# Loaded before a test gives up root's right to read them.
LOADED = (colorizing, film_evaluation, pair_evaluation, networks, report, sync, training, weights)
WAIT_SECONDS = 60.0  # for another process to get somewhere
SMALL = ("--batch-size", 4, "--size", 32, "--device", "cpu")
QUICK_TRAINING = ("--epochs", 2, *SMALL)
QUICK_FILM_TRAINING = ("--epochs", 2, "--batch-size", 32, "--size", 32, "--device", "cpu")
LONG_TRAINING = ("--arch", "classic", "--epochs", 40, *SMALL)


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """End what a failed test started, which would starve the tests after it."""
    yield
    while _started:
        program = _started.pop()
        assert program.stderr is not None
        program.stderr.close()
        program.kill()
        program.wait()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, and forget an ffmpeg that a command was told to use."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    # The first makes sure that what a command sets is undone at the end.
    named = os.environ.get(BINARY_VARIABLE)
    monkeypatch.setenv(BINARY_VARIABLE, "")
    if named is None:
        monkeypatch.delenv(BINARY_VARIABLE)
    else:
        monkeypatch.setenv(BINARY_VARIABLE, named)
    return folder


def copy_here(path: Path, name: str | None = None) -> Path:
    """A file in the current folder, as a user would have it."""
    return Path(shutil.copy(path, name or path.name))


@pytest.fixture(scope="module")
def versions(clip_folder: Path, color_film: Path) -> tuple[Path, Path]:
    """The sample film up to 5 s, and its colour version from 1 s on: 24 frames apart."""
    bw = graded_film(clip_folder / "bw.mp4", "trim=end_frame=120,scale=96:72,eq=gamma=1.2")
    late = "trim=start_frame=24,setpts=PTS-STARTPTS"
    return bw, graded_film(clip_folder / "color-late.mp4", late, source=color_film)


def test_info_tells_what_a_film_is(color_film: Path) -> None:
    film = copy_here(color_film, "old film.mp4")
    said = re.sub(r" *\n {2,}", " ", succeed("info", film))  # joins what was wrapped
    facts = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in said.splitlines())
    assert facts == {
        "film": "old film.mp4 (mov,mp4,m4a,3gp,3g2,mj2)",
        "picture": "96x72, h264",
        "frame rate": "24 frames a second",
        "length": "6.00 s, about 144 frames",
        "colour tags": "BT.709, limited range, yuv420p",
        "sound": "aac copied",
        "colorize": "writes old film-color.mp4: 144 frames at 24 frames a second, H.264 in mp4,"
        " with the model default",
    }
    assert files_in(Path()) == ["old film.mp4"]


def test_info_tells_of_unusual_films() -> None:
    make_clip(
        Path("odd.mkv"),
        frame_rate="24000/1001",
        sound="flac",
        extra=("-vf", "setsar=4/3", "-metadata:s:a:0", "language=fre"),
    )
    said = succeed("info", "odd.mkv")
    assert "64x48 with pixels of 4:3" in said
    assert "24000/1001 (23.976) frames a second" in said
    assert "BT.601 (guessed), limited range" in said
    assert "flac (fre) to AAC" in said


def test_info_as_json(plain_clip: Path) -> None:
    facts = json.loads(succeed("info", plain_clip, "--json"))
    assert {key: facts[key] for key in ("path", "width", "height", "frame_rate")} == {
        "path": str(plain_clip),
        "width": 64,
        "height": 48,
        "frame_rate": "25",
    }
    assert facts["coding"]["matrix"] == "bt601"
    assert facts["duration_seconds"] == 2.0
    assert facts["sounds"] == []
    assert facts["colorize"] == {
        "target": str(plain_clip.with_name("plain-color.mp4")),
        "frames": 48,
        "frame_rate": "24",
        "model": "default",
    }


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
    """Shot at 18 frames a second, of which some are shown twice to make 24."""
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
        f"offset {frames:+d} frames ({seconds} s), as stated\n"
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
        "the pictures do not look alike at this offset, so each is taken to fill the other's frame;"
        " look at them with --preview FILE.png\n"
    )


@pytest.mark.slow
def test_sync_writes_a_preview_and_both_films_aligned(versions: tuple[Path, Path]) -> None:
    pictures = ("--preview", "p.png", "--render", "both")
    result = run("sync", *versions, "--offset", "-24", *pictures)
    assert (result.exit_code, result.stdout) == (
        0,
        "offset -24 frames (-1.000 s), as stated\n"
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
    # Again, and only when told to replace what is there.
    assert fail("sync", *versions, "-o", "new.json", "--offset", "0", "--preview", "p.png") == (
        "p.png exists already; name another file with --preview, or give --overwrite"
    )
    assert fail("sync", *versions, "-o", "new.json", "--offset", "0", "--render", "both") == (
        "both/bw.mp4 exists already; name another file with --render, or give --overwrite"
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
    assert said == "d/bw.mp4 is the source itself; name another file with --render"
    assert Path("file").read_text() == "dear"


@pytest.mark.slow
def test_extract_writes_a_preview_and_both_films_aligned(versions: tuple[Path, Path]) -> None:
    succeed("sync", *versions, "--offset", "-24")
    pictures = ("--preview", "p.png", "--render", "both")
    succeed("extract", *versions, "--sync", "sync.json", "--size", "32", *pictures)
    assert files_in(Path()) == ["both", "p.png", "pairs", "sync.json"]
    assert [probe(Path("both") / name).frame_count() for name in ("bw.mp4", "color.mp4")] == [
        96,
        96,
    ]


@pytest.mark.parametrize("option", [("--preview", "p.png"), ("--render", "both")])
def test_extract_needs_two_films_for_pictures_of_both(
    option: tuple[str, str], color_film: Path
) -> None:
    said = misuse("extract", color_film, *option)
    assert f"Invalid value for {option[0]}: it needs both films, BW and COLOR" in said


def test_sync_writes_where_it_is_told(versions: tuple[Path, Path]) -> None:
    said = json.loads(succeed("sync", *versions, "-o", "map.json", "--offset", "--json"))
    assert (said["offset_frames"], said["output"]) == (-24, "map.json")
    assert files_in(Path()) == ["map.json"]


@pytest.mark.parametrize("frames", [-120, 120, 999999])
def test_sync_refuses_an_offset_out_of_range(frames: int, versions: tuple[Path, Path]) -> None:
    assert fail("sync", *versions, "--offset", frames, code=2) == (
        f"an offset of {frames} frames puts the two films apart entirely; it can be from -119 to"
        " 119"
    )


@pytest.mark.parametrize("word", ["x", "1.5", "--3", "+-3", "", "1" * 10])
def test_sync_refuses_what_is_no_number_of_frames(word: str, versions: tuple[Path, Path]) -> None:
    said = misuse("sync", *versions, f"--offset={word}")
    assert f"Invalid value for --offset: {word!r} is no number of frames" in said


@pytest.mark.slow
def test_sync_refuses_different_films(versions: tuple[Path, Path], numbered_clip: Path) -> None:
    assert fail("sync", versions[0], numbered_clip) == (
        f"{versions[0]} and {numbered_clip} do not look like one film: no shot that both show was"
        " found with certainty; give two versions of the same film, or state the offset with"
        " `filmcolorizer sync --offset FRAMES`"
    )


def test_sync_refuses_a_film_that_runs_backwards(versions: tuple[Path, Path]) -> None:
    backwards = graded_film(Path("backwards.mp4"), "reverse", source=versions[1])
    assert fail("sync", versions[0], backwards) == (
        f"{versions[0]} and backwards.mp4 do not look like one film: the second runs backwards;"
        " turn it round"
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


def test_extract_of_two_films_lines_them_up(versions: tuple[Path, Path]) -> None:
    result = run("extract", *versions, "--every", "12", "--size", "64")
    assert result.stdout == "wrote pairs: 8 pairs of 64x64 stills from 3 shots\n"
    assert result.stderr == "lined up 4.0 s in 1 segment\n"
    assert result.exit_code == 0
    pairs = read_pairs(Path("pairs"))
    assert [pair.bw_seconds for pair in pairs.pairs] == [1 + n / 2 for n in range(8)]
    assert [pair.color_seconds for pair in pairs.pairs] == [n / 2 for n in range(8)]
    for pair in pairs.pairs:  # gamma apart, they show the same
        grey, color, _ = pairs.read(pair)
        correlation = np.corrcoef(grey.ravel(), color[..., 1].ravel())[0, 1]
        assert correlation > 0.9


def test_extract_takes_stills_of_the_shipped_networks_size(color_film: Path) -> None:
    assert succeed("extract", color_film, "--every", "72") == (
        "wrote pairs: 2 pairs of 256x192 stills from 2 shots\n"
    )
    with Image.open("pairs/color/000002.png") as still:
        assert still.size == (256, 192)
    shipped = models.find_model("default").config
    assert shipped["size"] == 192


def test_extract_follows_a_map(versions: tuple[Path, Path]) -> None:
    succeed("sync", *versions, "--offset", "-36", "-o", "map.json")
    said = succeed(
        "extract", *versions, "--sync", "map.json", "-o", "stills", "--size", 32, "--json"
    )
    assert json.loads(said) == {"output": "stills", "pairs": 3, "shots": 2}
    pairs = read_pairs(Path("stills"))
    assert [(p.bw_seconds, p.color_seconds) for p in pairs.pairs] == [(2, 0.5), (3, 1.5), (4, 2.5)]


@pytest.mark.slow
def test_extract_of_a_cropped_copy_shows_the_whole_film(
    versions: tuple[Path, Path], color_film: Path
) -> None:
    """The coloured film is cropped to 72x54 of 96x72, off the middle, and enlarged."""
    crop = "crop=72:54:20:6,scale=128:96"
    cropped = graded_film(Path("cropped.mp4"), crop, source=color_film)
    assert succeed("extract", versions[0], cropped, "--every", "10", "--size", "72") == (
        "wrote pairs: 12 pairs of 96x72 stills from 3 shots\n"
    )
    pairs = read_pairs(Path("pairs"))
    assert pairs.aspect_ratio == pytest.approx(4 / 3, rel=0.03)
    luma, _, _ = decode_planes(versions[0], "yuv420p", (96, 72))
    for pair, whole in zip(pairs.pairs, luma[::10], strict=True):
        grey, color, known = pairs.read(pair)
        assert np.corrcoef(grey.ravel(), whole.ravel())[0, 1] > 0.999
        # Colours are known where the recipe says, and gamma apart show the same.
        rows, columns = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
        assert (rows[0], columns[0]) == pytest.approx((6, 20), abs=3)
        assert (rows[-1], columns[-1]) == pytest.approx((59, 91), abs=3)
        seen = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        assert known[seen].all()
        grey, green = grey[seen], color[..., 1][seen]
        fit = np.corrcoef(grey.ravel(), green.ravel())[0, 1]
        assert fit > 0.9
        assert np.corrcoef(grey[:, 6:].ravel(), green[:, :-6].ravel())[0, 1] < fit


def test_extract_begins_no_shot_where_a_segment_begins(color_film: Path) -> None:
    """Shots change at 2 and 4 s; the gap from 2.5 to 3.5 s lies in the second."""
    film = probe(color_film)
    segments = (maps.Segment(0.0, 2.5, 0.0, 1.0, 1.0), maps.Segment(3.5, 5.0, 3.5, 1.0, 1.0))
    identity = film_identity(film)
    maps.write_map(maps.SyncMap(identity, identity, segments), Path("map.json"))
    both = (film.path, film.path, "--sync", "map.json")
    said = succeed("extract", *both, "--every", "6", "--size", "32", "--json")
    assert json.loads(said) == {"output": "pairs", "pairs": 16, "shots": 3}
    index = json.loads(Path("pairs/pairs.json").read_text())["pairs"]
    assert [(pair["bw_seconds"], pair["shot"]) for pair in index] == [
        *((n / 4, 1) for n in range(8)),
        *((n / 4, 2) for n in (8, 9, 14, 15)),
        *((n / 4, 3) for n in range(16, 20)),
    ]


def test_extract_leaves_doubtful_segments_of_a_map_out(color_film: Path) -> None:
    film = probe(color_film)
    segments = (maps.Segment(0.0, 2.0, 0.0, 1.0, 0.49), maps.Segment(2.0, 5.0, 2.0, 1.0, 0.51))
    maps.write_map(maps.SyncMap({}, {}, segments), Path("map.json"))
    both = (film.path, film.path, "--sync", "map.json")
    succeed("extract", *both, "--size", "32")
    assert [pair.bw_seconds for pair in read_pairs(Path("pairs")).pairs] == [2.0, 3.0, 4.0]
    maps.write_map(maps.SyncMap({}, {}, segments[:1]), Path("map.json"))
    assert fail("extract", *both, "-o", "others") == (
        "the map has no segment with a confidence of 0.5 or more; make a new one with"
        " `filmcolorizer sync BW COLOR`"
    )


def test_extract_of_one_film_takes_a_part(color_film: Path) -> None:
    part = ("--start", "0:01", "--duration", "0:00:03.5", "--every", "6", "--size", "32")
    said = succeed("extract", color_film, *part)
    assert said == "wrote pairs: 14 pairs of 43x32 stills from 3 shots\n"
    times = [pair.bw_seconds for pair in read_pairs(Path("pairs")).pairs]
    assert (times[0], times[-1]) == (1.0, 4.25)


def test_extract_replaces_a_folder_of_pairs_only_when_told(color_film: Path) -> None:
    succeed("extract", color_film, "--every", "36", "--size", "32")
    before = sorted(Path("pairs").rglob("*.png"))
    assert fail("extract", color_film) == (
        "pairs exists already; name another folder with -o, or give --overwrite"
    )
    assert sorted(Path("pairs").rglob("*.png")) == before
    succeed("extract", color_film, "--every", "72", "--size", "32", "--overwrite")
    assert len(read_pairs(Path("pairs")).pairs) == 2


def test_extract_takes_an_empty_folder(color_film: Path) -> None:
    Path("pairs").mkdir()
    succeed("extract", color_film, "--every", 72, "--size", 32)
    assert len(read_pairs(Path("pairs")).pairs) == 2


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_extract_never_replaces_another_folder(overwrite: list[str], color_film: Path) -> None:
    Path("photos").mkdir()
    Path("photos/grandma.jpg").write_text("dear")
    assert fail("extract", color_film, "-o", "photos", *overwrite) == (
        "photos exists and is no folder of pairs; name another folder with -o"
    )
    assert Path("photos/grandma.jpg").read_text() == "dear"
    Path("file").write_text("dear")
    assert "no folder of pairs" in fail("extract", color_film, "-o", "file", *overwrite)
    assert Path("file").read_text() == "dear"


def test_extract_needs_two_films_for_a_map(color_film: Path) -> None:
    said = misuse("extract", color_film, "--sync", "map.json")
    assert "Invalid value for --sync: it needs both films, BW and COLOR" in said


def test_extract_refuses_a_part_without_stills(color_film: Path) -> None:
    assert fail("extract", color_film, "--start", "7", code=2) == (
        "there is no still in this part of the films; give another --start, --duration or a"
        " smaller --every"
    )


def kept_weights(said: str, history: list[Epoch]) -> float:
    """The error before training, of what is said of a training that did good."""
    best = min(history, key=lambda epoch: epoch.validation_loss)
    first, second, _ = said.splitlines()
    assert first == (
        f"best of {len(history)} epochs: {best.epoch}, training loss {best.training_loss:.4f},"
        f" validation loss {best.validation_loss:.4f}"
    )
    errors = r"validation MSE (\d\.\d{4}), before training (\d\.\d{4})"
    found = re.fullmatch(f"kept the weights of epoch {best.epoch}: {errors}", second)
    assert found is not None, second
    assert float(found[1]) < float(found[2])
    return float(found[2])


@pytest.mark.slow
def test_train_film_writes_weights_and_figures(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "PICTURES_PER_EPOCH", 256)
    some = ("--init", "none", "--lr", 0.001, *QUICK_FILM_TRAINING)
    said = succeed("train", pairs.folder, *some)
    history = read_history(Path("film.safetensors"))
    assert said.endswith("\nwrote film.safetensors, film.csv, film-loss.png, film-samples.png\n")
    # An untrained network leaves everything grey, whatever its first weights are.
    parts = split_by_time(pairs.pairs)
    untrained = build(TINY)
    first = recipes.default_options("film", 8, is_pretrained=False, shows_all=False)
    source = batches.PairSource(pairs, parts, first, height=32, width=43)
    [(luma, rgb, _)] = source.validation_batches()
    grey = metrics.mse(untrained.eval().predict_rgb(luma), rgb).mean().item()
    assert kept_weights(said, history) == pytest.approx(grey, abs=1e-4)
    assert len(history) == 2
    names = ["film-loss.png", "film-samples.png", "film.csv", "film.safetensors"]
    assert files_in(Path()) == names
    model = models.find_model()
    assert (model.name, model.config) == (
        "film.safetensors",
        {
            "arch": "film",
            "size": 32,
            "decoder_widths": [192, 128, 96, 64, 32],
            "encoder": "lite0",
            "clears_veil": False,
        },
    )
    chosen = model.about["training"]
    assert chosen["augmentation"] == asdict(recipes.TO_GENERALIZE)
    assert (chosen["frozen_stages"], chosen["blend"]) == (0, False)
    for name in ("film-loss.png", "film-samples.png"):
        with Image.open(name) as picture:
            assert np.ptp(np.asarray(picture.convert("L"))) > 100, "a blank picture"
    modes = {stat.S_IMODE(Path(name).stat().st_mode) for name in names}
    assert len(modes) == 1, "whoever may read one of them may read all"


@pytest.mark.slow
def test_train_classic_as_json(pairs: Pairs) -> None:
    said = json.loads(
        succeed(
            "train",
            pairs.folder,
            "--arch",
            "classic",
            *QUICK_TRAINING,
            "--json",
            "-o",
            "c.safetensors",
        )
    )
    assert said["written"] == ["c.safetensors", "c.csv", "c-loss.png", "c-samples.png"]
    assert said["best"]["seconds"] > 0
    best = min(epoch.validation_loss for epoch in read_history(Path("c.safetensors")))
    assert said["best"]["validation_loss"] == best
    model = models.find_model("c.safetensors")
    measured = {
        "trained_share",
        "validation_mse",
        "first_validation_mse",
        "grey_validation_mse",
        "epoch",
    }
    assert set(said["kept"]) == measured
    assert said["kept"]["epoch"] == model.about["epoch"] == said["best"]["epoch"]
    first = said["kept"]["first_validation_mse"]
    assert said["kept"]["validation_mse"] == pytest.approx(min(best, first), rel=2e-3)
    assert said["kept"]["trained_share"] == model.about["trained_share"] == float(best <= first)
    assert model.config == {"arch": "classic", "size": 32}
    # The defaults are those of 2020, but for what was asked for.
    assert model.about["training"] == {
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-4,
        "seed": 0,
        "augmentation": None,
        "frozen_stages": 0,
        "blend": False,
        "most_trained": 1.0,
        "weight_decay": 0.01,
        "colorfulness_weight": 0.0,
        "liveliness": 0.0,
        "cooldown_share": 0.4,
        "averaging_share": 0.05,
        "path_drop_rate": 0.0,
        "feature_drop_rate": 0.0,
        "shot_balance": 0.0,
    }


def test_train_tells_when_nothing_beats_the_first_weights(own_pairs: Pairs) -> None:
    """What is trained on is orange, and what is validated on blue."""
    for pair in own_pairs.pairs:
        color = (204, 128, 51) if pair.bw_seconds < 2 else (51, 128, 204)
        Image.new("RGB", (43, 32), color).save(own_pairs.folder / "color" / f"{pair.name}.png")
    torch.manual_seed(1)
    first = build(ClassicConfig(size=32))
    weights.save(first, Path("first.safetensors"), about={})
    some = ("--arch", "classic", "--init", "first.safetensors", *QUICK_TRAINING, "--lr", 0.005)
    _, said, _ = succeed("train", own_pairs.folder, *some).splitlines()
    found = re.fullmatch(
        r"nothing beat the first weights on the validation part, so they are kept: validation MSE"
        r" (\d\.\d{4}), before training (\d\.\d{4})",
        said,
    )
    assert found is not None, said
    assert found[1] == found[2]
    model = models.find_model("film.safetensors")
    assert model.about["trained_share"] == 0
    for before, after in zip(
        first.state_dict().values(), weights.load(model).state_dict().values(), strict=True
    ):
        assert torch.equal(before, after)


def test_help_tells_the_defaults_that_there_are() -> None:
    program: Any = typer.main.get_command(cli.app)
    shown = {
        parameter.name: parameter.show_default for parameter in program.commands["train"].params
    }
    film, by_heart, classic = (
        recipes.default_options(arch, 1000, is_pretrained=True, shows_all=shows_all)
        for arch, shows_all in (("film", False), ("film", True), ("classic", False))
    )
    assert shown["epochs"] == (
        f"what makes {recipes.FILM_PICTURES:,} pictures, {recipes.SCRATCH_PICTURES:,} where"
        f" --init is none, {recipes.WHOLE_FILM_PICTURES:,} where --split is interleaved,"
        f" {recipes.PAINTED_PICTURES:,} where it is none;"
        f" {classic.epochs} for classic"
    )
    assert shown["learning_rate"] == (
        f"{film.learning_rate:g} for film, {by_heart.learning_rate:g} where --split is interleaved"
        f" or none, {classic.learning_rate:.4f} for classic"
    )
    assert shown["batch_size"] == str(film.batch_size) == str(classic.batch_size)
    [size] = [p for p in program.commands["extract"].params if p.name == "size"]
    assert size.default == ExtractOptions().size


@pytest.mark.slow
def test_train_film_takes_by_default_what_suits_the_pairs(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"SCRATCH_PICTURES": 48, "PICTURES_PER_EPOCH": 16, "FEWEST_EPOCHS": 1}
    for name, value in changes.items():
        monkeypatch.setattr(recipes, name, value)
    succeed("train", pairs.folder, "--init", "none", "--size", 32, "--device", "cpu")
    chosen = models.find_model("film.safetensors").about["training"]
    assert chosen["epochs"] == len(read_history(Path("film.safetensors"))) == 3
    suitable = recipes.default_options("film", 8, is_pretrained=False, shows_all=False)
    assert chosen == asdict(suitable)


@pytest.mark.slow
def test_train_starts_from_the_weights_it_is_given(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "PICTURES_PER_EPOCH", 8)
    torch.manual_seed(1)
    first = build(FilmConfig(size=32))
    weights.save(first, Path("first.safetensors"), about={})
    still = ("--lr", 0, "--epochs", 1, "--batch-size", 64, "--size", 32)
    succeed("train", pairs.folder, "--init", "first.safetensors", *still)
    trained = weights.load(models.find_model("film.safetensors"))
    for (name, before), after in zip(first.named_parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(after, before, msg=name)


@pytest.mark.slow
def test_train_film_starts_from_the_shipped_weights_by_default(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "PICTURES_PER_EPOCH", 8)
    still = ("--lr", 0, "--epochs", 1, "--batch-size", 64)
    succeed("train", pairs.folder, *still)
    shipped = weights.load(models.find_model("default"))
    chosen = models.find_model("film.safetensors").about["training"]
    assert chosen["augmentation"] == asdict(recipes.TO_GENERALIZE)
    assert chosen["frozen_stages"] > 0
    assert chosen["blend"]
    trained = weights.load(models.find_model("film.safetensors"))
    assert trained.config.size == 32, "the size of the stills"
    assert isinstance(trained.config, FilmConfig)
    assert not trained.config.clears_veil, "it learns how the film is"
    lively = (
        present(trained.head.bias).norm() / present(shipped.head.bias).norm()
    )  # made up for at last
    assert 0.999 < lively < 1.101
    for (name, before), after in zip(shipped.named_parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(after, before * lively if name.startswith("head.") else before)


@pytest.mark.slow
def test_train_learns_by_heart_what_is_interleaved(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "PICTURES_PER_EPOCH", 8)
    some = ("--init", "none", "--size", 32, "--epochs", 1, "--split", "interleaved")
    succeed("train", pairs.folder, *some)
    chosen = models.find_model("film.safetensors").about["training"]
    assert chosen["augmentation"] == asdict(recipes.BY_HEART)


def test_train_splits_as_it_is_told(pairs: Pairs) -> None:
    succeed(
        "train", pairs.folder, "--arch", "classic", *QUICK_TRAINING, "--split", "16,4",
        "--epochs", 1,
    )  # fmt: skip
    about = models.find_model("film.safetensors").about
    # There are three shots of eight pairs: each part still gets one.
    assert about["split"] == {"validation_from_seconds": 2.0, "test_from_seconds": 4.0}
    assert about["pairs"] == 8


@pytest.mark.slow
def test_train_classic_looks_at_64_lines_whatever_the_stills(pairs: Pairs) -> None:
    succeed("train", pairs.folder, "--arch", "classic", "--epochs", 1, "-o", "c.safetensors")
    assert models.find_model("c.safetensors").config == {"arch": "classic", "size": 64}


def test_train_refuses_an_empty_test_part_before_any_work(own_pairs: Pairs) -> None:
    for pair in own_pairs.pairs[3:]:
        for side in ("bw", "color"):
            (own_pairs.folder / side / f"{pair.name}.png").unlink()
    assert fail("train", own_pairs.folder, *QUICK_TRAINING, "--split", "interleaved") == (
        f"the test part of the pairs in {own_pairs.folder} is empty; extract pairs of the whole"
        " film, or give another --split"
    )
    assert files_in(Path()) == []


def test_train_and_eval_take_every_other_pair(pairs: Pairs) -> None:
    some = ("--arch", "classic", *QUICK_TRAINING, "--epochs", 1, "--split", "interleaved")
    succeed("train", pairs.folder, *some)
    about = models.find_model("film.safetensors").about
    assert (about["split"], about["pairs"]) == ({"every": 6}, 12)
    network = json.loads(succeed("eval", pairs.folder, "--json"))["network"]
    assert {part: network[part]["pairs"] for part in network} == {
        "train": 12,
        "validation": 6,
        "test": 6,
    }


def test_train_learns_all_of_a_few_painted_stills(own_pairs: Pairs) -> None:
    for pair in own_pairs.pairs[2:]:
        for side in ("bw", "color"):
            (own_pairs.folder / side / f"{pair.name}.png").unlink()
    assert fail("train", own_pairs.folder, *QUICK_TRAINING) == (
        "the pairs show only 1 shot(s), and training, validation and test need one each; extract a"
        " longer part of the film, or more stills with --every, or give --split interleaved, which"
        " has no foreign shots to test, or --split none for a few painted stills"
    )
    some = ("--arch", "classic", *QUICK_TRAINING, "--epochs", 1, "--split", "none")
    painted = own_pairs.folder / "color" / f"{own_pairs.pairs[0].name}.png"
    with Image.open(painted) as still:
        reddish = still.convert("RGB", (1, 0.1, 0.1, 0, 0, 1, 0, 0, 0, 0, 1, 0))
    reddish.save(painted)
    assert run("train", own_pairs.folder, *some).stderr.splitlines()[0] == (
        "learning from 2 pairs, 1 changed by hand; none is held back, so that losses are those of"
        " what is learnt"
    )
    about = models.find_model("film.safetensors").about
    assert (about["split"], about["pairs"]) == ({"undivided": True}, 2)
    said = json.loads(succeed("eval", own_pairs.folder, "--json", "--report", "page"))
    assert {part: score["pairs"] for part, score in said["network"].items()} == {"train": 2}
    assert "Stills of the train part" in Path("page/index.html").read_text()
    assert "Stills of the test part" not in Path("page/index.html").read_text()
    assert table_cells(succeed("eval", own_pairs.folder))[0][2] == "train (2)"


@pytest.mark.parametrize(
    "split",
    [
        "x",
        "Interleaved",
        "70",
        "70,30,-1",
        "0,10,20",
        "70,nan,15",
        "70,inf,15",
        "1.5,3",
        "1,2,3,4",
        "",
    ],
)
def test_train_refuses_what_is_no_split(split: str, pairs: Pairs) -> None:
    said = misuse("train", pairs.folder, f"--split={split}")
    assert (
        f"{split!r} is no split; write three shares such as 70,15,15, the numbers of training and"
        " validation pairs such as 4000,1000, interleaved, or none" in said
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("--epochs", 0), ("--batch-size", 1), ("--lr", -1), ("--lr", 2), ("--size", 8)],
)
def test_train_refuses_options_out_of_range(option: str, value: int, pairs: Pairs) -> None:
    assert f"Invalid value for '{option}'" in misuse("train", pairs.folder, option, value)


def test_train_refuses_weights_of_another_network(pairs: Pairs) -> None:
    weights.save(build(ClassicConfig(size=32)), Path("c.safetensors"), about={})
    assert fail("train", pairs.folder, "--init", "c.safetensors", code=2) == (
        "the weights c.safetensors are of the network 'classic', not 'film'; give --arch classic,"
        " or another --init"
    )


def test_train_keeps_trained_weights_unless_told(pairs: Pairs) -> None:
    Path("film.safetensors").write_text("a night's work")
    assert fail("train", pairs.folder) == (
        "film.safetensors exists already; name another file with -o, or give --overwrite"
    )
    Path("film.safetensors").unlink()
    checkpoint = Path("film.checkpoint.safetensors")
    weights.write_tensors(checkpoint, {"half": torch.zeros(1)}, {"history": "[]"})
    assert fail("train", pairs.folder) == (
        "an interrupted training is kept in film.checkpoint.safetensors; go on with --resume, or"
        " start anew with --overwrite"
    )
    succeed("train", pairs.folder, "--arch", "classic", *QUICK_TRAINING, "--overwrite")
    assert "film.checkpoint.safetensors" not in files_in(Path())


@pytest.mark.parametrize("option", [None, "--overwrite", "--resume"])
@pytest.mark.parametrize("kind", ["notes", "weights"])
def test_train_keeps_what_has_the_name_of_its_checkpoint(
    kind: str, option: str | None, pairs: Pairs
) -> None:
    other = Path("film.checkpoint.safetensors")
    if kind == "notes":
        other.write_text("my notes")
    else:
        weights.save(build(TINY), other, about={})
    content = other.read_bytes()
    assert fail("train", pairs.folder, *([option] if option else [])) == (
        "film.checkpoint.safetensors, the name of this training's checkpoint, is something else or"
        " damaged; move it away, or name another file with -o"
    )
    assert other.read_bytes() == content


@pytest.mark.slow
def test_train_refuses_to_resume_from_other_first_weights(pairs: Pairs) -> None:
    some = ("train", pairs.folder, "--size", 32, "--batch-size", 4, "--epochs", 2)
    weights.save(build(TINY), Path("own.safetensors"), about={})
    usual = recipes.default_options("film", 8, is_pretrained=True, shows_all=False)
    begun = training.train(
        build(TINY),
        pairs,
        split_by_time(pairs.pairs),
        replace(usual, epochs=2, batch_size=4),
        Path("film.safetensors"),
        device=torch.device("cpu"),
        init=str(Path("own.safetensors").resolve()),
    )
    next(step for step in begun if step.finished)
    begun.close()
    own = Path("own.safetensors").resolve()
    for option, name in ((["--init", "none"], "none"), ([], "default")):
        assert fail(*some, *option, "--resume") == (
            "the interrupted training in film.checkpoint.safetensors was started with --init"
            f" {own}, not {name}; resume it with the same pairs, --init and other options, or"
            " start anew with --overwrite"
        )


@pytest.mark.slow
def test_train_says_a_line_an_epoch_without_a_terminal(pairs: Pairs) -> None:
    result = run("train", pairs.folder, "--arch", "classic", *QUICK_TRAINING)
    assert result.exit_code == 0
    history = read_history(Path("film.safetensors"))
    best = min(history, key=lambda epoch: epoch.validation_loss).epoch
    parts, first, second, note = result.stderr.splitlines()
    assert parts == "learning from 8 pairs; 8 for validation, 8 to test"
    assert first.startswith(f"epoch 1: training loss {history[0].training_loss:.4f}, ")
    assert first.endswith("; best epoch 1")
    assert f"validation loss {history[1].validation_loss:.4f}, " in second
    assert second.endswith(f"; best epoch {best}")
    grey = "no better than to leave the film grey, which has a validation MSE of"
    assert re.match(grey + r" 0\.\d{4}; train for more --epochs, or from weights ", note)


@pytest.mark.slow
def test_train_tells_a_terminal_that_it_chooses_the_weights(
    pairs: Pairs, terminal: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes a while after the last epoch."""
    shown_before: list[str] = []
    finish = training.Trainer.finish

    def slowly(trainer: training.Trainer) -> Any:
        time.sleep(0.5)  # the bar is drawn ten times a second
        shown_before.append(terminal.getvalue())
        return finish(trainer)

    monkeypatch.setattr(console, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(training.Trainer, "finish", slowly)
    succeed("train", pairs.folder, "--arch", "classic", *QUICK_TRAINING)
    [shown] = shown_before
    assert "choosing weights" in shown


@pytest.mark.slow
def test_train_tells_of_weights_that_know_what_its_parts_hold_back(pairs: Pairs) -> None:
    def said(*options: object) -> str:
        result = run("train", pairs.folder, "--arch", "classic", *QUICK_TRAINING, *options)
        assert result.exit_code == 0
        return result.stderr

    assert "hold back" not in said("--split", "interleaved", "-o", "other.safetensors")
    begins = ("--init", "other.safetensors", "--overwrite")
    assert (
        "other.safetensors was trained on other parts of this film; it may know what the validation"
        " and test parts hold back, so that their scores tell too good a tale\n"
    ) in said(*begins)
    model = models.read_model(Path("film.safetensors"))
    assert model.about["init"] == "other.safetensors"
    assert [training["split"] for training in model.lineage] == [
        models.read_model(Path("other.safetensors")).about["split"],
        model.about["split"],
    ]
    assert "hold back" in run("eval", pairs.folder, "--model", "film.safetensors").stderr
    assert "hold back" not in said(*begins, "--split", "interleaved")
    assert "hold back" not in said(*begins, "--split", "none")
    measured = ("eval", pairs.folder, "--model", "other.safetensors")
    assert "hold back" in run(*measured, "--split", "70,15,15").stderr
    assert "hold back" not in run(*measured).stderr


@pytest.mark.slow
def test_train_logs_for_tensorboard(pairs: Pairs) -> None:
    pytest.importorskip("tensorboard")
    some = ("--arch", "classic", *QUICK_TRAINING)
    succeed("train", pairs.folder, *some, "--tensorboard", "board")
    assert len(files_in(Path("board"))) == 1
    Path("file").touch()
    assert fail("train", pairs.folder, *some, "-o", "b.safetensors", "--tensorboard", "file",
                code=2) == "file is a file; name a folder with --tensorboard"  # fmt: skip


def test_train_has_nothing_to_resume(pairs: Pairs) -> None:
    assert fail("train", pairs.folder, "--init", "none", "--resume") == (
        "there is no interrupted training to resume: film.checkpoint.safetensors does not exist;"
        " start one without --resume"
    )


@pytest.mark.slow
def test_train_resumed_after_a_kill_is_identical(pairs: Pairs) -> None:
    some = ("--arch", "classic", "--epochs", 6, *SMALL)
    program = start("train", pairs.folder, *some)
    wait_for(lambda: Path("film.csv").exists(), program)
    assert finish(program, signal.SIGKILL)[0] == -signal.SIGKILL
    assert "film.safetensors" not in files_in(Path())
    succeed("train", pairs.folder, *some, "--resume")
    succeed("train", pairs.folder, *some, "-o", "whole.safetensors")
    metadata, resumed = weights.read_tensors(Path("film.safetensors"))
    other_metadata, whole = weights.read_tensors(Path("whole.safetensors"))
    assert metadata == other_metadata
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    histories = [
        [(epoch.epoch, epoch.training_loss, epoch.validation_loss) for epoch in history]
        for history in map(read_history, (Path("film.safetensors"), Path("whole.safetensors")))
    ]
    assert histories[0] == histories[1]
    assert len(histories[0]) == 6


@pytest.mark.slow
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_train_stopped_says_how_to_go_on(
    number: signal.Signals, expected: int, pairs: Pairs
) -> None:
    program = start("train", pairs.folder, *LONG_TRAINING)
    wait_for(lambda: Path("film.csv").exists(), program)
    wait_for(lambda: Path("film-samples.png").exists(), program)
    code, said = finish(program, number)
    parts, *epochs, kept, stopped = said.splitlines()
    assert parts == "learning from 8 pairs; 8 for validation, 8 to test"
    assert all(line.startswith(f"epoch {n}: training loss") for n, line in enumerate(epochs, 1))
    assert kept == "the finished epochs are kept: go on with the same command and --resume"
    assert stopped == "filmcolorizer: stopped; no unfinished file was left behind"
    assert code == expected
    pictures = ["film-loss.png", "film-samples.png"]
    assert files_in(Path()) == [*pictures, "film.checkpoint.safetensors", "film.csv"]
    assert fail("train", pairs.folder, *LONG_TRAINING, "--seed", 1, "--resume") == (
        "the interrupted training in film.checkpoint.safetensors was started with seed 0, not 1;"
        " resume it with the same pairs, --init and other options, or start anew with --overwrite"
    )


def table_cells(said: str) -> list[list[str]]:
    lines = [line for line in said.splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


@pytest.mark.slow
def test_eval_writes_a_report(pairs: Pairs, vivid_weights: Path) -> None:
    some = ("eval", pairs.folder, "--model", vivid_weights)
    result = run(*some, "--json", "--report", "report")
    assert result.exit_code == 0
    assert result.stderr == "wrote report/index.html; open it in a browser\n"
    assert files_in(Path()) == ["report"]
    assert files_in(Path("report")) == ["index.html"]
    told = json.loads(result.stdout)
    assert told.keys() == {"model", "pairs", "network"}
    page = Path("report/index.html").read_text()
    for score in told["network"].values():
        assert f"<td>{score['mse']:.4f}</td>" in page
    sentence = (
        "report/index.html exists already; name another folder with --report, or give --overwrite"
    )
    assert fail(*some, "--report", "report") == sentence
    assert run(*some, "--report", "report", "--overwrite").exit_code == 0
    Path("file").touch()
    assert fail(*some, "--report", "file") == "file is a file; name a folder with --report"
    assert fail(*some, "--report", "missing/report") == (
        "the folder missing does not exist; make it, or choose another place with --report"
    )


def test_eval_tells_the_scores_where_the_report_cannot_be_written(
    pairs: Pairs, moving_film: Path, vivid_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise FilmColorizerError("cannot write report/index.html (no room)")

    for name in ("save_pairs_page", "save_films_page"):
        monkeypatch.setattr(evaluation_page, name, fails)
    for measured, key in ((pairs.folder, "network"), (moving_film, "mean")):
        some = ("eval", measured, "--model", vivid_weights, "--report", "report")
        result = run(*some, "--json")
        assert key in json.loads(result.stdout)
        assert (result.exit_code, files_in(Path())) == (1, [])
        assert result.stderr.endswith("cannot write report/index.html (no room)\n")


def test_eval_report_tells_of_the_training(pairs: Pairs) -> None:
    folder = Path("x[/old]")  # what rich would take for markup
    folder.parent.mkdir()
    shutil.copytree(pairs.folder, folder)
    about: dict[str, Any] = {"epoch": 3, "trained_share": 0.75}
    weights.save(build(TINY), Path("film.safetensors"), about=about)
    some = ("eval", folder, "--model", "film.safetensors", "--report", "report", "--overwrite")
    assert succeed(*some).startswith(f"{folder}, network film: ")
    page = Path("report/index.html").read_text()
    for name, value in (("epoch", "3"), ("trained share", "0.75")):
        assert re.search(f">{name}</t[hd]>\\s*<td>{value}</td>", page), page[-3000:]
    assert "do not tell how they were trained" in page
    epochs = [Epoch(n, 1 / n, loss, 1e-3, None) for n, loss in ((1, 0.75), (2, 0.5))]
    about["history"] = [asdict(epoch) for epoch in epochs]
    weights.save(build(TINY), Path("film.safetensors"), about=about)
    Path("film.csv").write_text("of another training, or of anything else")
    succeed(*some)
    assert (
        "the best for the validation part is epoch 2, with 0.5"
        in Path("report/index.html").read_text()
    )
    for broken in ({"name": "bread"}, {**about["history"][0], "validation_loss": None}):
        about["history"] = [broken]
        weights.save(build(TINY), Path("film.safetensors"), about=about)
        assert fail(*some) == (
            "what the weights in film.safetensors tell of their training is damaged; give others"
        )


def test_eval_of_films_writes_a_report(moving_film: Path, vivid_weights: Path) -> None:
    film = copy_here(moving_film, "a & b.mkv")
    some = ("eval", film, "--model", vivid_weights, "--json", "--report", "report")
    [told] = json.loads(succeed(*some))["films"]
    page = Path("report/index.html").read_text()
    assert "<h2>a &amp; b.mkv</h2>" in page
    assert f"<td>{told['network']['psnr']:.2f}</td>" in page
    assert f"<td>{told['network']['flicker_ratio']:.2f}</td>" in page


def test_eval_tells_of_a_film_that_the_network_knows(moving_film: Path) -> None:
    film = probe(moving_film)
    for learnt, known in ((film, True), (replace(film, duration_seconds=60.0), False)):
        weights.save(build(TINY), Path("film.safetensors"), about={"film": film_identity(learnt)})
        result = run("eval", moving_film)
        said = (
            f"film.safetensors may have been trained on {moving_film}, and is then measured on"
            " what it knows"
        )
        assert result.exit_code == 0
        assert (said in result.stderr) == known


def test_eval_prints_a_table(pairs: Pairs, vivid_weights: Path) -> None:
    copy_here(vivid_weights, "a.safetensors")
    arguments = ("eval", pairs.folder, "--model", "a.safetensors", "--baseline")
    result = json.loads(succeed(*arguments, "--json"))
    assert (result["model"], result["pairs"]) == ("a.safetensors", str(pairs.folder))
    assert result["baseline"]["test"]["mse_ratio"] == 1
    parts = ("train", "validation", "test")

    def row(way: str, measure: str, shown: str, digits: int) -> list[str]:
        return [shown, *(f"{result[way][part][measure]:.{digits}f}" for part in parts)]

    measures = [("mse", "MSE", 4), ("mse_ratio", "/ baseline", 2)]
    measures += [("psnr", "PSNR, dB", 2), ("colorfulness", "colourfulness", 1)]
    expected = [row(way, *measure) for way in ("baseline", "network") for measure in measures]
    expected.append(row("network", "true_colorfulness", "colourfulness", 1))
    names = ["naive baseline", "", "", "", "a.safetensors", "", "", "", "truth"]
    head, *rows = table_cells(succeed(*arguments))
    assert head == ["", "", "train (8)", "validation (8)", "test (8)"]
    assert rows == [[name, *cells] for name, cells in zip(names, expected, strict=True)]


def test_eval_shows_the_network_alone_unless_told(pairs: Pairs, vivid_weights: Path) -> None:
    said = succeed("eval", pairs.folder, "--model", vivid_weights)
    assert "naive" not in said
    assert "truth" in said
    result = json.loads(succeed("eval", pairs.folder, "--model", vivid_weights, "--json"))
    assert set(result) == {"model", "pairs", "network"}


def test_eval_compares_at_another_size(pairs: Pairs, vivid_weights: Path) -> None:
    arguments = ("eval", pairs.folder, "--model", vivid_weights, "--baseline", "--json")
    network, split = weights.load(models.read_model(vivid_weights)), split_by_time(pairs.pairs)
    results = {}
    for size in (None, 32, 64):
        told = json.loads(succeed(*arguments, *(() if size is None else ("--size", size))))
        device = networks.pick_device("auto")
        _, expected = finished(pair_evaluation.evaluate(pairs, split, network, device, size=size))
        scores = {way: asdict(expected)[way] for way in ("network", "baseline")}
        assert {"network": told["network"], "baseline": told["baseline"]} == scores
        results[size] = told
    assert results[32] == results[None] != results[64]
    assert "Invalid value for '--size': " in misuse("eval", pairs.folder, "--size", 15)


def test_eval_measures_the_parts_that_it_is_told(pairs: Pairs, vivid_weights: Path) -> None:
    """Also where the network was trained with other ones."""
    torch.manual_seed(0)
    split = {"validation_from_seconds": 1.0, "test_from_seconds": 3.0}
    weights.save(build(TINY), Path("own.safetensors"), about={"split": split, "film": pairs.film})
    for model in (vivid_weights, "own.safetensors"):
        for parts, counts in (("interleaved", [12, 6, 6]), ("70,15,15", [8, 8, 8])):
            arguments = ("--model", model, "--split", parts, "--json")
            network = json.loads(succeed("eval", pairs.folder, *arguments))["network"]
            assert [network[part]["pairs"] for part in network] == counts
    assert "is no split" in misuse("eval", pairs.folder, "--split", "some")


def test_eval_uses_the_films_own_weights_and_split(pairs: Pairs) -> None:
    torch.manual_seed(0)
    split = {"validation_from_seconds": 1.0, "test_from_seconds": 3.0}
    about = {"split": split, "film": pairs.film}
    weights.save(build(TINY), Path("film.safetensors"), about=about)
    result = json.loads(succeed("eval", pairs.folder, "--json"))
    assert result["model"] == "film.safetensors"
    network = result["network"]
    assert {part: network[part]["pairs"] for part in network} == {
        "train": 4,
        "validation": 8,
        "test": 12,
    }
    assert network["test"]["mse_ratio"] == pytest.approx(1)  # untrained, it leaves the film grey


def test_options_reach_what_they_are_for(moving_film: Path, vivid_weights: Path) -> None:
    """Those that are tested elsewhere without the command line."""
    film = ("--model", vivid_weights, "--device", "cpu")
    scores = [
        json.loads(succeed("eval", moving_film, *film, *more, "--json"))["films"][0]["network"]
        for more in ((), ("--no-temporal",))
    ]
    assert scores[0]["flicker"] < scores[1]["flicker"]
    quick = ("colorize", moving_film, *film, "--preset", "ultrafast", "-o", "out.mp4")
    assert "mpeg2video" in fail(*quick, "--encoder", "mpeg2video", code=2)
    notes = [run(*quick, *more, "--overwrite").stderr for more in ((), ("--recolor",))]
    assert ["are in colour already" in note for note in notes] == [True, False]
    carried = Path("out.mp4").read_bytes()
    succeed(*quick, "--recolor", "--no-temporal", "--overwrite")
    assert Path("out.mp4").read_bytes() != carried


def test_eval_of_films_prints_a_section_for_each_and_their_mean(
    moving_film: Path, vivid_weights: Path
) -> None:
    copy_here(vivid_weights, "a.safetensors")
    films = [copy_here(moving_film, name) for name in ("one.mp4", "two.mp4")]
    arguments = ("eval", *films, "--model", "a.safetensors", "--baseline", "--size", 48)
    result = json.loads(succeed(*arguments, "--json"))
    assert result["model"] == "a.safetensors"
    assert [film["film"] for film in result["films"]] == ["one.mp4", "two.mp4"]

    def rows(name: str, scores: dict[str, Any]) -> list[list[str]]:
        grey, network, truth = (scores[way] for way in ("baseline", "network", "truth"))
        numbers = [
            [
                f"{score['psnr']:.2f}",
                f"{score['psnr'] - grey['psnr']:+.2f}",
                f"{score['colorfulness']:.1f}",
                f"{score['flicker_ratio']:.2f}",
                f"{score['cdc']:.5f}",
            ]
            for score in (grey, network)
        ]
        return [
            [name, "", "", "", "", ""],
            ["naive baseline", *numbers[0]],
            ["a.safetensors", *numbers[1]],
            ["truth", "-", "-", f"{truth['colorfulness']:.1f}", "1.00", f"{truth['cdc']:.5f}"],
        ]

    head, *found = table_cells(succeed(*arguments))
    assert head == ["", "PSNR, dB", "over grey", "colourfulness", "flicker", "CDC"]
    expected = [row for film in result["films"] for row in rows(film["film"], film)]
    assert found == [*expected, *rows("mean of 2 films", result["mean"])]


def test_eval_of_a_film_is_what_the_library_finds(moving_film: Path, vivid_weights: Path) -> None:
    network = weights.load(models.read_model(vivid_weights))
    options = film_evaluation.FilmOptions(48, 0.25, 0.25)
    device = networks.pick_device("auto")
    _, expected = finished(
        film_evaluation.evaluate_film(probe(moving_film), network, options, device)
    )
    part = ("--size", 48, "--start", "0.25", "--duration", "0.25")
    arguments = ("eval", moving_film, "--model", vivid_weights, *part)
    [film] = json.loads(succeed(*arguments, "--json"))["films"]
    whole = asdict(expected) | {"frame_rate": str(expected.frame_rate)}
    del whole["series"], whole["baseline"], whole["found"]
    whole["shots"] = [{k: v for k, v in s.items() if k != "baseline"} for s in whole["shots"]]
    assert film == {"film": str(moving_film), **whole}
    said = succeed(*arguments)
    assert "naive" not in said
    assert "mean of" not in said


def test_eval_of_a_film_fits_a_narrow_terminal(
    moving_film: Path, vivid_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_here(vivid_weights, "film.safetensors")
    monkeypatch.setenv("COLUMNS", "80")
    lines = succeed("eval", moving_film, "--baseline", "--size", 48).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("│  film.safetensors ") for line in lines), "not folded"


def test_eval_tells_pairs_from_films(pairs: Pairs, moving_film: Path) -> None:
    for option in ("--start", "--duration", "--input-fps"):
        assert "it is for films, not for a folder of pairs" in misuse(
            "eval", pairs.folder, option, 1
        )
    assert "it is for a folder of pairs, not for films" in misuse(
        "eval", moving_film, "--split", "interleaved"
    )
    assert fail("eval", "none.mp4") == "none.mp4 does not exist; give a film file"
    for sources in ((moving_film, pairs.folder), (pairs.folder, moving_film)):
        said = fail("eval", *sources, code=2)
        hint = "eval takes one folder of pairs and nothing else, or films"
        assert said == f"{pairs.folder} is a folder; {hint}"


def test_eval_refuses_a_film_without_colours() -> None:
    assert fail("eval", SAMPLE_FILM) == (
        f"{SAMPLE_FILM} shows no colours that others could be compared with; give a film in"
        " colour, or another part of it with --start and --duration"
    )
    said = fail("eval", SAMPLE_FILM, "--start", 7, code=2)
    assert said == f"{SAMPLE_FILM} ends at 6.00 s, before the start at 7 s; give a smaller --start"


def test_colorize_writes_beside_the_film(color_film: Path, vivid_weights: Path) -> None:
    Path("films").mkdir()
    film = copy_here(color_film, "films/old film.avi.mp4")
    result = run("colorize", film, "--model", vivid_weights, "--preset", "ultrafast")
    assert result.exit_code == 0
    assert result.stdout == (
        "wrote films/old film.avi-color.mp4: 144 frames, 6.00 s at 24 frames a second, 96x72;"
        " sound: aac copied\n"
    )
    where = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        where = "mps"
    assert result.stderr == (
        f"colorizing films/old film.avi.mp4 with the model {vivid_weights} on {where}\n"
    )
    target = probe(Path("films/old film.avi-color.mp4"))
    assert (target.frame_rate, target.duration_seconds) == (24, 6.0)
    assert [sound.codec for sound in target.sounds] == ["aac"]


def quick(film: Path, model: Path, *more: object) -> Film:
    """Colorize a film's first half second to ``out.mp4``, and probe that."""
    fast = ("--preset", "ultrafast", "--duration", "0.5", "--overwrite", "--device", "cpu")
    said = succeed("colorize", film, "-o", "out.mp4", "--model", model, *fast, "--json", *more)
    target = probe(Path("out.mp4"))
    assert json.loads(said) == {
        "output": "out.mp4",
        "frames": target.frame_count(),
        "model": str(model),
    }
    return target


@pytest.mark.parametrize(
    ("fps", "rate"), [("source", Fraction(25)), ("24000/1001", Fraction(24000, 1001))]
)
def test_colorize_takes_a_frame_rate(
    fps: str, rate: Fraction, plain_clip: Path, vivid_weights: Path
) -> None:
    target = quick(plain_clip, vivid_weights, "--fps", fps)
    assert target.frame_rate == rate
    assert target.frame_count() == round(rate / 2)


@pytest.mark.parametrize("fps", ["abc", "0", "-24", "241", "24/0", "nan", "inf", "", "24/1/1"])
def test_colorize_refuses_what_is_no_frame_rate(fps: str, plain_clip: Path) -> None:
    said = misuse("colorize", plain_clip, f"--fps={fps}")
    assert (
        f"Invalid value for --fps: {fps!r} is no frame rate from 1 to 240; write a number such as"
        " 24, a fraction such as 24000/1001, or source" in said
    )


@pytest.mark.parametrize(
    ("start", "frame"), [("1", 24), ("1.5", 36), ("0:01", 24), ("00:00:02", 48), ("0:4.25", 102)]
)
def test_colorize_takes_a_start(
    start: str, frame: int, color_film: Path, vivid_weights: Path
) -> None:
    quick(color_film, vivid_weights, "--start", start, "--crf", 0)
    written = decode_planes(Path("out.mp4"), "yuv420p", (96, 72))[0]
    source = decode_planes(color_film, "yuv420p", (96, 72))[0]
    np.testing.assert_array_equal(written, source[frame : frame + 12])


@pytest.mark.parametrize("option", ["--start", "--duration"])
@pytest.mark.parametrize(
    "value",
    ["soon", "-1", "1:x", "1:-2", "1:60", "1:60:00", "1:2:3:4", "nan", "inf", "1::2", ""],
)
def test_colorize_refuses_what_is_no_time(option: str, value: str, plain_clip: Path) -> None:
    said = misuse("colorize", plain_clip, f"{option}={value}")
    assert f"Invalid value for '{option}': {value!r} is no time; write seconds, or" in said


def test_colorize_refuses_to_start_behind_the_end(plain_clip: Path, vivid_weights: Path) -> None:
    arguments = ("colorize", plain_clip, "-o", "o.mp4", "--model", vivid_weights)
    assert fail(*arguments, "--start", "1:02", code=2) == (
        f"{plain_clip} ends at 2.00 s, before the start at 62 s; give a smaller --start"
    )
    for command in (arguments, ("preview", *arguments[1:2], "--model", vivid_weights)):
        assert fail(*command, "--start", "1.99", code=2) == (
            f"no frame of {plain_clip} begins at 1.99 s or later; give a smaller --start"
        )
        succeed(*command, "--start", "1.97", "--device", "cpu")  # the last frame begins at 1.96


@pytest.mark.slow
def test_colorize_tells_where_the_pictures_of_a_half_copied_film_end(
    numbered_clip: Path, vivid_weights: Path
) -> None:
    film = Path("film.mkv")
    run_ffmpeg("-i", numbered_clip, "-c", "copy", "-cluster_time_limit", "500", film)
    quick = ("--model", vivid_weights, "--preset", "ultrafast", "--device", "cpu")
    whole = run("colorize", film, "-o", "whole.mp4", *quick)
    assert whole.exit_code == 0 and "the pictures end" not in whole.stderr
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    half = run("colorize", film, "-o", "half.mp4", *quick)
    [told] = re.findall("the pictures end at (.*) s, the file at 4.0 s; ", half.stderr)
    assert float(told) == pytest.approx(probe(Path("half.mp4")).duration_seconds, abs=0.1)
    part = run("colorize", film, "-o", "part.mp4", "--duration", "0.5", *quick)
    assert part.exit_code == 0 and "the pictures end" not in part.stderr


def test_colorize_crf_and_preset_reach_the_encoder(color_film: Path, vivid_weights: Path) -> None:
    sizes = {}
    for crf in (10, 40):
        quick(color_film, vivid_weights, "--crf", crf)
        sizes[crf] = Path("out.mp4").stat().st_size
    assert sizes[10] > 2 * sizes[40]
    quick(color_film, vivid_weights, "--preset", "veryfast")
    assert b"me=hex subme=2" in Path("out.mp4").read_bytes()  # x264 tells its settings in the film


def test_colorize_with_hwaccel_keeps_the_luma_with_and_without_a_card(
    color_film: Path, vivid_weights: Path
) -> None:
    shared = ("colorize", color_film, "--model", vivid_weights, "--fps", "source")
    result = run(*shared, "--codec", "ffv1", "--hwaccel", "auto", "-o", "out.mkv")
    assert result.exit_code == 0
    decodes = r"(none here decodes this|decodes by \w+)"
    encodes = r"(none encodes|encodes by ffv1_\w+)"
    assert re.search(f"^graphics card: {decodes}, {encodes}; ", result.stderr, re.MULTILINE)
    careful = ("--hwaccel", "auto", "--skip-damaged", "--duration", 0.1, "-o", "o.mp4")
    told = run(*shared, *careful).stderr
    assert "graphics card: decodes nothing, since it might hide damage, " in told
    luma, source = (
        decode_planes(path, "yuv420p", (96, 72))[0] for path in (Path("out.mkv"), color_film)
    )
    np.testing.assert_array_equal(luma, source)


@pytest.mark.slow
def test_colorize_takes_a_vividness(color_film: Path, vivid_weights: Path) -> None:
    planes = {}
    for vividness in (None, 0, 1, 1.5, 4):
        option = () if vividness is None else ("--vividness", vividness)
        quick(color_film, vivid_weights, "--crf", 0, *option)
        planes[vividness] = decode_planes(Path("out.mp4"), "yuv420p", (96, 72))
    strengths = {v: np.abs(np.stack(p[1:]).astype(int) - 128).mean() for v, p in planes.items()}
    source = decode_planes(color_film, "yuv420p", (96, 72))[0][:12]
    for luma, _, _ in planes.values():
        np.testing.assert_array_equal(luma, source)
    assert strengths[0] == 0
    assert strengths[None] == strengths[1] > 5
    assert strengths[1] * 1.1 < strengths[1.5] <= strengths[1] * 1.55
    assert strengths[4] >= strengths[1.5]  # where it is at its most vivid already


@pytest.mark.parametrize("vividness", ["-0.1", "4.1", "-1", "nan", "inf", "much", ""])
def test_colorize_refuses_a_vividness_out_of_range(vividness: str, plain_clip: Path) -> None:
    said = misuse("colorize", plain_clip, f"--vividness={vividness}")
    assert "Invalid value for '--vividness': " in said


@pytest.mark.parametrize(("chosen", "expected"), [((), 4), (("--workers", 3), 3)])
def test_colorize_renders_as_much_at_once_as_the_processors_do(
    chosen: tuple[object, ...],
    expected: int,
    plain_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    rendering = colorizing.colorize

    def watched(*arguments: Any, **more: Any) -> Any:
        asked.append(more["workers"])
        return rendering(*arguments, **more)

    monkeypatch.setattr(colorizing, "colorize", watched)
    monkeypatch.setattr(colorizing, "count_processors", lambda: 16)
    succeed("colorize", plain_clip, "-o", "o.mp4", *chosen)
    assert asked == [expected]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_colorize_refuses_a_device_that_is_not_there(plain_clip: Path) -> None:
    assert fail("colorize", plain_clip, "-o", "o.mp4", "--device", "cuda", code=2) == (
        f"there is no device 'cuda' here that torch {torch.__version__} can use; use --device auto"
        " or --device cpu"
    )


@pytest.mark.slow
def test_colorize_takes_the_weights_in_the_folder(plain_clip: Path, vivid_weights: Path) -> None:
    copy_here(vivid_weights, "film.safetensors")
    short = ("--duration", "0.2", "--device", "cpu")
    result = run("colorize", plain_clip, "-o", "own.mp4", *short)
    assert result.stderr == f"colorizing {plain_clip} with the model film.safetensors on cpu\n"
    result = run("colorize", plain_clip, "-o", "given.mp4", "--model", vivid_weights, *short)
    assert result.exit_code == 0
    planes = [decode_planes(Path(name), "yuv420p", (64, 48)) for name in ("own.mp4", "given.mp4")]
    np.testing.assert_array_equal(planes[0][1], planes[1][1])
    result = run("colorize", plain_clip, "-o", "shipped.mp4", "--model", "default", *short)
    assert result.stderr == f"colorizing {plain_clip} with the model default on cpu\n"
    shipped = decode_planes(Path("shipped.mp4"), "yuv420p", (64, 48))
    assert (planes[0][1] != shipped[1]).any()


def test_colorize_takes_the_shipped_model_by_default(plain_clip: Path) -> None:
    arguments = ("colorize", plain_clip, "-o", "o.mp4", "--duration", "0.2", "--json")
    assert json.loads(succeed(*arguments)) == {"output": "o.mp4", "frames": 5, "model": "default"}


def test_colorize_takes_the_ffmpeg_it_is_told(plain_clip: Path, vivid_weights: Path) -> None:
    wrapper = Path("my-ffmpeg").absolute()
    wrapper.write_text(f'#!/bin/sh\ntouch used\nexec "{find_binary()}" "$@"\n')
    wrapper.chmod(0o755)
    quick(plain_clip, vivid_weights, "--ffmpeg", wrapper)
    assert Path("used").exists()


@pytest.mark.parametrize("command", [["colorize"], ["preview"], ["extract"], ["sync"]])
def test_a_program_that_is_no_ffmpeg_is_refused_before_it_sees_the_film(
    command: list[str], plain_clip: Path
) -> None:
    """It would be taken for an ffmpeg that finds the film damaged, or empty."""
    other = Path("other-program").absolute()
    other.write_text("#!/bin/sh\necho cat 9.4\n")
    other.chmod(0o755)
    films = [plain_clip] * (2 if command == ["sync"] else 1)
    assert fail(*command, *films, "--ffmpeg", other) == (
        f"cannot run {other} (it is no ffmpeg: asked for its version, it says 'cat 9.4'); name an"
        " ffmpeg with --ffmpeg"
    )


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize(
    ("version", "is_refused"),
    [
        ("4.4.2-0ubuntu0.22.04.1", True),
        ("n5.0.1", True),
        ("5.1.6-0+deb12u1", False),
        ("N-118000-g1a2b3c", False),
        ("2024-02-01-git-1a2b3c-full_build", False),
        ("N-47683-g0e8eb07980\nlibavformat     58. 24.101 / 58. 24.101", True),
        ("N-109000-g0e8eb07980\nlibavformat     61.  7.100 / 61.  7.100", False),
    ],
)
def test_an_ffmpeg_that_is_too_old_is_refused_before_it_sees_the_film(
    version: str,
    is_refused: bool,
    is_named: bool,
    plain_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would not know our options, and be taken for one that finds the film damaged."""
    old = Path("old-ffmpeg").absolute()
    version, _, libraries = version.partition("\n")
    told = f"ffmpeg version {version} Copyright (c) 2000-2024\n{libraries}"
    real = f'exec "{find_binary()}" "$@"'
    old.write_text(f'#!/bin/sh\ncase "$*" in *-version) echo "{told}";; *) {real};; esac\n')
    old.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(old))  # as on a machine without a wheel for it
    named = ("--ffmpeg", old) if is_named else ()
    said = run("extract", plain_clip, *named).stderr
    sentence = (
        f"cannot run {old} (it is ffmpeg {version}, and 5.1 is the oldest that will do); name an"
        " ffmpeg with --ffmpeg"
    )
    assert sentence in said if is_refused else "shows no colours in these stills" in said


def test_colorize_tells_when_the_named_ffmpeg_is_none(
    plain_clip: Path, vivid_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("colorize", plain_clip, "-o", "o.mp4", "--model", vivid_weights)
    said = (
        "nonexist is not a program that can be run; name an ffmpeg with --ffmpeg or"
        " FILMCOLORIZER_FFMPEG, or leave both out to use the bundled one"
    )
    assert fail(*arguments, "--ffmpeg", "nonexist") == said
    monkeypatch.setenv(BINARY_VARIABLE, "nonexist")
    assert fail(*arguments) == said


def test_colorize_refuses_to_overwrite_unless_told(plain_clip: Path, vivid_weights: Path) -> None:
    film = copy_here(plain_clip, "film.mp4")
    target = Path("film-color.mp4")
    target.write_text("older")
    assert fail("colorize", film, "--model", vivid_weights) == (
        "film-color.mp4 exists already; name another file with -o, or give --overwrite"
    )
    assert target.read_text() == "older"
    succeed("colorize", film, "--model", vivid_weights, "--overwrite")
    assert probe(target).frame_count() == 48


def link(film: Path, kind: str) -> Path:
    if kind == "itself":
        return film
    if kind == "another spelling":
        return Path("..") / Path.cwd().name / film
    target = Path("link.mp4")
    if kind == "symlink":
        target.symlink_to(film)
    else:
        target.hardlink_to(film)
    return target


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("kind", ["itself", "another spelling", "symlink", "hardlink"])
def test_commands_never_write_over_their_source(
    kind: str, overwrite: list[str], plain_clip: Path, vivid_weights: Path
) -> None:
    film = copy_here(plain_clip, "film.mp4")
    target = link(film, kind)
    sentence = f"{target} is the source itself; name another file with -o"
    colorize = ("colorize", film, "-o", target, "--model", vivid_weights)
    assert fail(*colorize, *overwrite) == sentence
    for films in ((film, plain_clip), (plain_clip, film)):
        assert fail("sync", *films, "-o", target, "--offset", "0", *overwrite) == sentence
    assert film.read_bytes() == plain_clip.read_bytes()


@pytest.mark.slow
def test_preview_writes_a_page_and_a_sheet(vivid_weights: Path) -> None:
    film = copy_here(SAMPLE_FILM, "an <old> film.mp4")
    models = ("--model", "default", "--model", vivid_weights)
    assert succeed("preview", film, "--frames", 3, *models) == (
        "wrote an <old> film-preview.html: 3 frames, grey and as coloured by default,"
        f" {vivid_weights}; open it in a browser\n"
        "wrote an <old> film-preview.png: the same on one sheet\n"
    )
    assert files_in(Path()) == [
        "an <old> film-preview.html", "an <old> film-preview.png", "an <old> film.mp4",
    ]  # fmt: skip
    page = Path("an <old> film-preview.html").read_text()
    assert "<h1>an &lt;old&gt; film.mp4</h1>" in page
    command = "filmcolorizer colorize &#39;an &lt;old&gt; film.mp4&#39; --start T --duration 20<"
    assert command in page
    labels = re.findall(r"<b>(0:00:0\d\.\d\d)</b>", page)
    assert len(labels) == 3
    with Image.open("an <old> film-preview.png") as sheet:
        assert sheet.width > 3 * 2 * 288
    # Each frame's time is one that colorize takes.
    succeed("colorize", film, "--start", labels[1], "--duration", "0.1", "-o", "shot.mp4")
    assert fail("preview", film, "--frames", 3) == (
        "an <old> film-preview.html exists already; name another file with -o, or give --overwrite"
    )
    told = json.loads(succeed("preview", film, "--frames", 2, "--overwrite", "--json"))
    assert told["page"] == "an <old> film-preview.html"
    assert [frame["in_color_already"] for frame in told["frames"]] == [False, False]


def test_preview_refuses_what_it_cannot_do(plain_clip: Path) -> None:
    film = copy_here(plain_clip)
    assert fail("preview", film, "-o", "page.png", code=2) == (
        "page.png does not end in .html; name a file that does with -o"
    )
    assert fail("preview", "none.mp4") == "none.mp4 does not exist; give a film file"
    assert "there is no model 'none'" in fail("preview", film, "--model", "none")
    assert "Invalid value for '--frames'" in misuse("preview", film, "--frames", 0)


@pytest.mark.slow
def test_compare_writes_a_film_and_a_sheet(sound_clip: Path, color_film: Path) -> None:
    film, other = copy_here(sound_clip, "bw.mp4"), copy_here(color_film, "color.mp4")
    assert succeed("compare", film, other, "--stills", 5) == (
        "wrote bw-compare.mp4: 48 frames, 2.00 s at 24 frames a second, 132x48\n"
        "wrote bw-compare.png: 5 of them on one sheet\n"
    )
    assert files_in(Path()) == ["bw-compare.mp4", "bw-compare.png", "bw.mp4", "color.mp4"]
    assert [sound.codec for sound in probe(Path("bw-compare.mp4")).sounds] == ["aac"]
    assert fail("compare", film, other) == (
        "bw-compare.mp4 exists already; name another file with -o, or give --overwrite"
    )
    part = ("--start", "0.5", "--other-start", "0", "--duration", "0.5", "--layout", "split")
    told = json.loads(
        succeed("compare", film, other, *part, "--labels", "a", "b", "-o", "c.mkv", "--json")
    )
    assert told == {"output": "c.mkv", "sheet": "c.png", "frames": 12}


def test_compare_refuses_what_it_cannot_do(plain_clip: Path, sound_clip: Path) -> None:
    film, other = copy_here(plain_clip), copy_here(sound_clip)
    assert fail("compare", film, other, "-o", "c.avi", code=2) == (
        "c.avi does not end in .mp4, .mov or .mkv; name a file that does with -o"
    )
    assert fail("compare", film, other, "-o", other, "--overwrite") == (
        "sound.mp4 is the source itself; name another file with -o"
    )
    assert fail("compare", film, other, "--other-start", "2", code=2) == (
        "sound.mp4 ends at 2.00 s, before the start at 2 s; give a smaller --other-start"
    )
    assert fail("compare", film, other, "--start", "1.99", code=2) == (
        "plain.mp4 and sound.mp4 gave no pictures to compare; give an earlier --start"
    )


def test_models_lists_the_shipped_networks() -> None:
    shipped = models.shipped_models()
    assert "default" in [model.name for model in shipped]
    said = succeed("models")
    result = json.loads(succeed("models", "--json"))
    assert [model["name"] for model in result] == [model.name for model in shipped]
    for model, told in zip(shipped, result, strict=True):
        assert told["path"] == str(models_folder() / f"{model.name}.safetensors")
        assert told["size_bytes"] == Path(told["path"]).stat().st_size
        assert (told["config"], told["about"]) == (model.config, model.about)
        assert model.name in said
        assert f"{told['size_bytes'] / 1e6:.1f} MB" in said


def test_doctor_looks_at_everything() -> None:
    said = succeed("doctor")
    names = [line.split("  ")[0] for line in said.splitlines() if not line.startswith(" ")]
    assert names[:4] == ["filmcolorizer", "python", "ffmpeg", "encoders"]
    assert max(map(len, said.splitlines())) <= 80
    told = json.loads(succeed("doctor", "--json"))
    assert list(told) == names
    assert told["memory"].keys() == {"name", "found", "hint", "is_fatal"}
    assert files_in(Path()) == []


def test_doctor_fails_where_no_film_can_be_colorized() -> None:
    for form in ((), ("--json",)):
        result = run("doctor", "--ffmpeg", "no-such-ffmpeg", *form)
        assert result.exit_code == 1
        assert "no-such-ffmpeg is not a program" in re.sub(r"\s+", " ", result.stdout)
        assert result.stderr == (
            "filmcolorizer: no film can be colorized here, for want of ffmpeg; follow the hints\n"
        )


@pytest.mark.slow
def test_demo_makes_a_coloured_film_and_a_picture() -> None:
    assert succeed("demo") == (
        "wrote filmcolorizer-sample.mp4: the black-and-white sample, 6 s\n"
        "wrote filmcolorizer-sample-color.mp4: its 144 frames in colour, by the model default\n"
        "wrote filmcolorizer-sample.png: before and after\n"
    )
    assert files_in(Path()) == [
        "filmcolorizer-sample-color.mp4",
        "filmcolorizer-sample.mp4",
        "filmcolorizer-sample.png",
    ]
    assert Path("filmcolorizer-sample.mp4").read_bytes() == SAMPLE_FILM.read_bytes()
    film = probe(Path("filmcolorizer-sample-color.mp4"))
    assert (film.width, film.height, film.frame_count()) == (480, 360, 144)
    assert [sound.codec for sound in film.sounds] == ["aac"]
    with Image.open("filmcolorizer-sample.png") as picture:
        before, after = np.split(np.asarray(picture).astype(int), 2)
    assert before.shape == (360, 3 * 480, 3)
    assert np.ptp(before, axis=2).max() == 0, "before, all is grey"
    assert np.ptp(after, axis=2).mean() > 3, "after, there is colour"
    assert np.abs(before.mean(axis=2) - after.mean(axis=2)).mean() < 12, "of the same picture"
    assert fail("demo") == (
        "filmcolorizer-sample-color.mp4 exists already; name another folder with -o, or give"
        " --overwrite"
    )
    assert fail("demo", "-o", "nowhere").startswith("the folder nowhere does not exist; ")
    Path("there").mkdir()
    shutil.copy(SAMPLE_FILM, "there/filmcolorizer-sample.mp4")  # as an interrupted one leaves it
    succeed("demo", "-o", "there")
    assert files_in(Path("there")) == files_in(Path())[:-1]


def no_video(name: str, plain_clip: Path) -> Path:
    """A file that cannot be colorized."""
    path = Path(name)
    if name == "text.mp4":
        path.write_text("once upon a time there was a film")
    elif name == "empty.mp4":
        path.touch()
    elif name == "folder.mp4":
        path.mkdir()
    elif name == "sound.m4a":
        run_ffmpeg("-f", "lavfi", "-i", "sine=duration=1", path)
    elif name == "cover.mp3":
        Image.new("RGB", (64, 64)).save("cover.png")
        run_ffmpeg(
            "-f", "lavfi", "-i", "sine=duration=1", "-i", "cover.png", "-map", 0, "-map", 1,
            "-c:v", "png", "-disposition:v", "attached_pic", path,
        )  # fmt: skip
    elif name == "head.mp4":
        path.write_bytes(plain_clip.read_bytes()[:200])
    return path


NO_VIDEOS = {
    "text.mp4": "text.mp4 cannot be read as a video (Invalid data found when processing input);"
    " give a film file such as an mp4 or mkv",
    "empty.mp4": "empty.mp4 cannot be read as a video (Invalid data found when processing input);"
    " give a film file such as an mp4 or mkv",
    "head.mp4": "head.mp4 cannot be read as a video (its index, moov, which mostly lies at the"
    " end, is missing); give the whole file",
    "folder.mp4": "folder.mp4 is a folder; give a film file, or numbered pictures such as"
    " frames/%05d.png",
    "missing.mp4": "missing.mp4 does not exist; give a film file",
    "sound.m4a": "sound.m4a has no pictures, only sound or data; give a file with a film in it",
    "cover.mp3": "cover.mp3 has no pictures, only sound or data; give a file with a film in it",
}


@pytest.mark.parametrize("name", NO_VIDEOS)
def test_commands_refuse_what_is_no_video(name: str, plain_clip: Path) -> None:
    path = no_video(name, plain_clip)
    for arguments in (
        ("info", path),
        ("colorize", path),
        ("sync", path, plain_clip),
        ("sync", plain_clip, path, "--offset", 0),
        ("extract", path),
        ("extract", plain_clip, path),
    ):
        assert fail(*arguments) == NO_VIDEOS[name]


def test_colorize_tells_of_an_ffmpeg_without_the_encoder_before_any_work() -> None:
    """As those of some distributions are, for want of a licence."""
    lacking = Path("lacking")
    encoder = "*libsvtav1*) echo 'Unknown encoder libsvtav1' >&2; exit 1"
    lacking.write_text(
        f'#!/bin/sh\ncase "$*" in {encoder};; *) exec "{find_binary()}" "$@";; esac\n'
    )
    lacking.chmod(0o755)
    message = fail("colorize", SAMPLE_FILM, "--codec", "av1", "--ffmpeg", lacking.resolve(), code=2)
    assert message == (
        "the encoder libsvtav1 cannot be used here (ffmpeg: Unknown encoder libsvtav1); choose"
        " another --codec, or an ffmpeg that has it by --ffmpeg"
    )


@pytest.mark.slow
def test_eval_of_films_leaves_out_what_cannot_be_compared(
    moving_film: Path, vivid_weights: Path
) -> None:
    options = ("--model", vivid_weights, "--duration", 1, "--json")
    result = run("eval", SAMPLE_FILM, moving_film, *options)
    assert result.exit_code == 1
    assert f"{SAMPLE_FILM} shows no colours that others could be compared with" in result.stderr
    [film] = json.loads(result.stdout)["films"]
    assert film["film"] == str(moving_film)
    none = run("eval", SAMPLE_FILM, SAMPLE_FILM, *options)
    assert (none.exit_code, none.stdout) == (1, "")
    assert none.stderr.count("shows no colours that others could be compared with") == 2


@pytest.mark.slow
def test_train_tells_of_a_still_that_shows_something_else(own_pairs: Pairs) -> None:
    """And how many stills of the training part were changed; here another one is of the test's."""
    colors = own_pairs.folder / "color"
    still, last = (colors / f"{own_pairs.pairs[number].name}.png" for number in (4, -1))
    still.write_bytes((colors / "000020.png").read_bytes())
    last.write_bytes(last.read_bytes() + b"as another program leaves it")
    said = run("train", own_pairs.folder, "--arch", "classic", *QUICK_TRAINING).stderr
    assert f"{still} does not show what its grey still does; mend it, or delete the pair" in said
    assert ", 1 changed by hand; " in said


@pytest.mark.slow
def test_train_tells_when_the_shots_allow_no_split_that_is_near(own_pairs: Pairs) -> None:
    """Of 24 pairs in shots of 2, 2 and 20 the training part gets 2."""
    index_file = own_pairs.folder / "pairs.json"
    index = json.loads(index_file.read_text())
    for number, entry in enumerate(index["pairs"]):
        entry["shot"] = 1 + min(number // 2, 2)
    index_file.write_text(json.dumps(index))
    said = run("train", own_pairs.folder, "--arch", "classic", *QUICK_TRAINING).stderr
    assert (
        "the film's shots do not allow the split 70,15,15; extract pairs of a longer part" in said
    )
    said = run("train", own_pairs.folder, "--split", "2,2", "--arch", "classic", "--overwrite",
               *QUICK_TRAINING).stderr  # fmt: skip
    assert "do not allow the split" not in said


def test_eval_refuses_an_empty_split() -> None:
    assert "'' is no split" in misuse("eval", "pairs", "--split", "")


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] not enough memory: you tried to"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (cv2.error("(-4:Insufficient memory) Failed to allocate 99 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("more than one element refers to a single memory location"), False),
    ],
)
def test_commands_tell_of_a_lack_of_memory_and_of_nothing_else(
    error: Exception, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises() -> None:
        raise error

    monkeypatch.setattr("filmcolorizer_cli.models.shipped_models", raises)
    if is_told:
        assert fail("models").startswith("there is not enough memory for this; close other")
    else:
        with pytest.raises(RuntimeError, match="single memory location"):
            run("models")


def test_what_is_no_command_is_no_lack_of_memory() -> None:
    assert "No such command" in misuse("out of memory")


@pytest.mark.slow
def test_commands_tell_of_a_film_that_is_cut_short(vivid_weights: Path) -> None:
    data = SAMPLE_FILM.read_bytes()
    Path("cut.mp4").write_bytes(data[: len(data) // 3])
    start = "cut.mp4 is damaged or cut short and could not be read beyond "
    take_a_part = (
        "); repair it, or take another part of it where --start and --duration can be given;"
        " `filmcolorizer colorize --skip-damaged` goes on behind what is damaged"
    )
    tell = "); repair it, or tell `filmcolorizer sync` by --offset how far the films are apart"
    for arguments, end in (
        (("colorize", "cut.mp4", "--model", vivid_weights), take_a_part),
        (("sync", "cut.mp4", SAMPLE_FILM), tell),
        (("extract", "cut.mp4"), take_a_part),
        (("extract", "cut.mp4", SAMPLE_FILM), tell),
    ):
        said = fail(*arguments)
        assert said.startswith(start)
        assert said.endswith(end)


@pytest.mark.parametrize("command", ["train", "eval"])
def test_commands_refuse_a_bad_folder_of_pairs(command: str, own_pairs: Pairs) -> None:
    Path("empty").mkdir()
    reason = "No such file or directory"
    for folder in ("empty", "pairs", "missing"):
        arguments = [command] if folder == "pairs" else [command, folder]
        assert fail(*arguments) == (
            f"{folder} is no folder of pairs (pairs.json: {reason.format(folder=folder)});"
            " make one with `filmcolorizer extract`"
        )
    damaged = own_pairs.folder
    (damaged / "bw" / "000003.png").unlink()
    assert fail(command, damaged) == (
        f"{damaged}/color/000003.png has no counterpart in {damaged}/bw (1 such);"
        " put that back, or delete this one"
    )
    for still in damaged.glob("*/*.png"):
        still.unlink()
    assert fail(command, damaged) == (
        f"{damaged} holds no pairs; make some with `filmcolorizer extract`"
    )


@pytest.mark.parametrize("command", ["train", "eval"])
def test_commands_refuse_stills_that_do_not_match(command: str, own_pairs: Pairs) -> None:
    Image.new("RGB", (32, 43)).save(own_pairs.folder / "color" / "000003.png")
    assert fail(command, own_pairs.folder) == (
        f"the stills of pair 000003 in {own_pairs.folder} have different shapes, grey 43x32 and"
        " colour 32x43; crop the colour one or delete the pair"
    )


def test_train_refuses_pairs_of_too_few_shots(color_film: Path) -> None:
    succeed("extract", color_film, "--duration", "2", "--every", "48", "--size", "32")
    assert fail("train") == (
        "the pairs show only 1 shot(s), and training, validation and test need one each; extract"
        " a longer part of the film, or more stills with --every, or"
        " give --split interleaved, which has no foreign shots to test, or --split none for a few"
        " painted stills"
    )


@pytest.fixture
def bad_weights(vivid_weights: Path, own_folder: Path) -> dict[str, str]:
    """Files that are no weights, and the start of what is said of each."""
    data = vivid_weights.read_bytes()
    Path("half.safetensors").write_bytes(data[: len(data) // 2])
    Path("text.safetensors").write_text("not weights")
    save_file({"a": torch.zeros(2)}, "other.safetensors")
    metadata, _ = weights.read_tensors(vivid_weights)
    classic = build(ClassicConfig()).state_dict()
    save_file(classic, "classic.safetensors", metadata)
    return {
        "half.safetensors": "cannot read the weights in half.safetensors (",
        "text.safetensors": "cannot read the weights in text.safetensors (",
        "other.safetensors": "other.safetensors holds no network that filmcolorizer knows",
        "classic.safetensors": "the weights in classic.safetensors do not fit the network",
        "missing.safetensors": "there is no model 'missing.safetensors': give a .safetensors file",
    }


def test_commands_refuse_bad_weights(
    bad_weights: dict[str, str], plain_clip: Path, pairs: Pairs
) -> None:
    for name, start in bad_weights.items():
        assert fail("colorize", plain_clip, "-o", "o.mp4", "--model", name).startswith(start)
        assert fail("eval", pairs.folder, "--model", name).startswith(start)
        assert fail("train", pairs.folder, "--init", name).startswith(start)


def test_commands_refuse_bad_weights_in_the_folder(
    bad_weights: dict[str, str], plain_clip: Path, pairs: Pairs
) -> None:
    copy_here(Path("half.safetensors"), "film.safetensors")
    for arguments in (
        ("colorize", plain_clip, "-o", "o.mp4"),
        ("eval", pairs.folder),
    ):
        said = fail(*arguments)
        assert said.startswith("cannot read the weights in film.safetensors (")
    told = " ".join(succeed("info", plain_clip).split())
    assert "colorize not with the weights there are: cannot read the weights in" in told
    assert json.loads(succeed("info", plain_clip, "--json"))["colorize"]["model"] is None


def test_extract_never_replaces_more_than_pairs(color_film: Path, own_pairs: Pairs) -> None:
    folder = own_pairs.folder
    film = copy_here(color_film, str(folder / "film.mp4"))
    said = fail("extract", film, "-o", folder, "--overwrite")
    assert said == f"{folder} holds more than pairs ({film}); name another folder with -o"
    assert film.exists()


def test_extract_replaces_pairs_that_a_file_manager_looked_into(
    color_film: Path, own_pairs: Pairs
) -> None:
    for name in (".DS_Store", "bw/.DS_Store", "color/._000001.png", "bw/Thumbs.db"):
        (own_pairs.folder / name).touch()
    succeed("extract", color_film, "-o", own_pairs.folder, "--overwrite")
    assert not (own_pairs.folder / ".DS_Store").exists()


def test_extract_never_replaces_the_current_folder(
    color_film: Path, own_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own_pairs.folder)
    said = fail("extract", color_film, "-o", ".", "--overwrite")
    assert said == ". is the current folder; name another folder with -o"


@pytest.mark.slow
def test_extract_refuses_the_map_of_other_films(
    versions: tuple[Path, Path], color_film: Path
) -> None:
    succeed("sync", *versions, "--offset", "-24")
    said = fail("extract", color_film, versions[1], "--sync", "sync.json", "-o", "other")
    assert said == (
        f"the map is of another film than {color_film}: its duration_seconds is 5.0, the film's"
        " 6.0; make a new map with `filmcolorizer sync BW COLOR`"
    )


def test_train_never_writes_over_a_file_beside_its_weights(pairs: Pairs) -> None:
    Path("film.csv").write_text("my notes")
    said = fail("train", pairs.folder, *QUICK_TRAINING)
    assert said == "film.csv exists already; name another file with -o, or give --overwrite"
    assert Path("film.csv").read_text() == "my notes"


def test_colorize_refuses_less_than_a_frame(plain_clip: Path) -> None:
    said = fail("colorize", plain_clip, "-o", "o.mp4", "--duration", "0", code=2)
    assert said == "a duration of 0 s is shorter than a frame; give a longer --duration"


def test_colorize_takes_a_film_that_does_not_tell_its_length(
    plain_clip: Path, vivid_weights: Path
) -> None:
    run_ffmpeg("-i", plain_clip, "-an", "-c:v", "copy", "bare.h264")
    result = run("colorize", "bare.h264", "--model", vivid_weights, "--preset", "ultrafast")
    assert result.exit_code == 0, result.stderr
    expected = round(probe(plain_clip).duration_seconds * 24)
    assert abs(probe(Path("bare-color.mp4")).frame_count() - expected) <= 1


def test_commands_refuse_a_bad_map(versions: tuple[Path, Path]) -> None:
    for name in ("srt", "filmcolorizer-sync/1"):
        Path("map.json").write_text(json.dumps({"format": name}))
        assert fail("extract", *versions, "--sync", "map.json") == (
            f"map.json holds no sync map (its format is '{name}', not 'filmcolorizer-sync/2');"
            " make one with `filmcolorizer sync BW COLOR`"
        )


def writers(plain_clip: Path, pairs: Pairs, model: Path, folder: str) -> Iterator[tuple[Any, ...]]:
    """Each command that writes, told to write into a folder."""
    yield ("colorize", plain_clip, "--model", model, "-o", f"{folder}/o.mp4")
    yield ("sync", plain_clip, plain_clip, "-o", f"{folder}/o.json")
    yield ("extract", plain_clip, "-o", f"{folder}/o")
    yield ("train", pairs.folder, "--arch", "classic", "-o", f"{folder}/o.safetensors")


def test_commands_refuse_a_missing_target_folder(
    plain_clip: Path, pairs: Pairs, vivid_weights: Path
) -> None:
    for arguments in writers(plain_clip, pairs, vivid_weights, "missing"):
        assert fail(*arguments) == (
            "the folder missing does not exist; make it, or choose another place with -o"
        )


def test_commands_refuse_a_folder_as_target(
    plain_clip: Path, pairs: Pairs, vivid_weights: Path
) -> None:
    for target, arguments in (
        ("o.mp4", ("colorize", plain_clip, "--model", vivid_weights)),
        ("o.json", ("sync", plain_clip, plain_clip)),
        ("o.safetensors", ("train", pairs.folder, "--arch", "classic")),
    ):
        Path(target).mkdir()
        sentence = f"{target} is a folder; name a file with -o"
        assert fail(*arguments, "-o", target) == sentence
        assert fail(*arguments, "-o", target, "--overwrite") == sentence


@pytest.mark.parametrize("target", ["o", "o.avi", "mp4", "o.mp4.txt", ".mp4"])
def test_colorize_refuses_a_target_that_is_no_film(target: str, plain_clip: Path) -> None:
    assert fail("colorize", plain_clip, "-o", target, code=2) == (
        f"{target} does not end in .mp4, .mov or .mkv; name a file that does with -o"
    )


@pytest.fixture
def film_with_subtitles() -> Path:
    """A second with a chapter and subtitles of text."""
    Path("said.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n")
    Path("told.txt").write_text(";FFMETADATA1\n[CHAPTER]\nSTART=0\nEND=900000000\ntitle=One\n")
    film = Path("film.mkv")
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc=size=64x48:duration=1,hue=s=0",
        "-i", "said.srt", "-i", "told.txt",
        "-map", "0", "-map", "1", "-c:s", "subrip", "-metadata:s:s:0", "language=eng", film,
    )  # fmt: skip
    return film


@pytest.mark.slow
def test_colorize_tells_first_what_goes_along(
    film_with_subtitles: Path, vivid_weights: Path
) -> None:
    arguments = ("colorize", film_with_subtitles, "--model", vivid_weights, "--overwrite")
    program = start(*arguments, "--device", "cpu")
    _, said = program.communicate(timeout=WAIT_SECONDS)
    kept = "subtitles: subrip (eng) to mov_text\nchapters: 1 kept\n"
    assert said == f"colorizing film.mkv with the model {vivid_weights} on cpu\n{kept}"
    [subtitle] = probe(Path("film-color.mp4")).subtitles
    assert (subtitle.codec, subtitle.language) == ("mov_text", "eng")
    told = succeed("info", film_with_subtitles)
    assert "subtitles    subrip (eng) to mov_text" in told
    assert "chapters     1 kept" in told


def numbered_pictures(folder: str, count: int = 9) -> Path:
    """Grey pictures 64x48 of luma 20, 40, 60 and so on, numbered from 11."""
    Path(folder).mkdir()
    for number in range(count):
        Image.new("L", (64, 48), 20 * (number + 1)).save(f"{folder}/{number + 11:05d}.png")
    return Path(folder, "%05d.png")


@pytest.mark.slow
def test_colorize_takes_numbered_pictures(vivid_weights: Path) -> None:
    pictures = numbered_pictures("frames")
    quick = ("--model", vivid_weights, "--crf", "0", "--preset", "ultrafast", "--vividness", "0")
    told = succeed("colorize", pictures, "--input-fps", 18, "--fps", "source", *quick)
    assert told == (
        "wrote frames-color.mp4: 9 frames, 0.50 s at 18 frames a second, 64x48;"
        " sound: the source has none\n"
    )
    [luma, _, _] = decode_planes(Path("frames-color.mp4"), "yuv420p", (64, 48))
    assert probe(Path("frames-color.mp4")).coding.range == "full"  # as that of grey pictures
    assert luma.mean(axis=(1, 2)) == pytest.approx([20 * (n + 1) for n in range(9)])
    film = quick_from(pictures, vivid_weights, "--input-fps", "24000/1001", "--fps", "source")
    assert film.frame_rate == Fraction(24000, 1001)
    told = succeed("info", pictures, "--input-fps", 18)
    assert "length       0.50 s, about 9 frames" in told
    assert "writes frames-color.mp4: 12 frames at 24 frames" in told
    os.chdir("frames")
    there = json.loads(succeed("info", "%05d.png", "--json"))["colorize"]["target"]
    assert there == str(Path("../frames-color.mp4").resolve())


def quick_from(pictures: Path, model: Path, *more: object) -> Film:
    succeed("colorize", pictures, "-o", "o.mp4", "--model", model, *more)
    return probe(Path("o.mp4"))


@pytest.mark.slow
def test_preview_of_numbered_pictures_tells_a_command_that_shows_the_same(
    vivid_weights: Path,
) -> None:
    pictures = numbered_pictures("-scans", 3)
    options = ("--input-fps", 12, "--vividness", 2, "--recolor", "--model", vivid_weights)
    succeed("preview", "--frames", 1, *options, "-o", "p.html", "--", pictures)
    told = " ".join(map(str, options[:4])), f"--recolor --model {vivid_weights}"
    command = f"filmcolorizer colorize ./-scans/%05d.png --start T --duration 20 {' '.join(told)}"
    assert command in Path("p.html").read_text()
    sheet = ("--frames", 1, "-o", "-scans/00011.html", "--overwrite", "--", pictures)
    assert fail("preview", *sheet) == (
        "-scans/00011.png is the source itself; name another file with -o"
    )


def test_compare_takes_numbered_pictures_at_their_rate(plain_clip: Path) -> None:
    pictures = numbered_pictures("scans", 6)
    succeed("compare", pictures, plain_clip, "--input-fps", 3, "-o", "c.mp4")
    assert probe(Path("c.mp4")).duration_seconds == pytest.approx(2.0, abs=0.05)


def test_eval_takes_numbered_pictures_at_their_rate(vivid_weights: Path) -> None:
    Path("frames").mkdir()
    colors = np.random.default_rng(1).integers(40, 200, (6, 8, 3), np.uint8)
    picture = Image.fromarray(colors).resize((64, 48), Image.Resampling.NEAREST)
    for number in range(12):
        picture.save(f"frames/{number:05d}.png")
    rated = ("--input-fps", 6, "--model", vivid_weights, "--json")
    [film] = json.loads(succeed("eval", "frames/%05d.png", *rated))["films"]
    assert (film["frame_rate"], film["frames"]) == ("6", 12)
    assert film["shots"][-1]["end_seconds"] == pytest.approx(2.0)


def test_colorize_refuses_an_input_rate_of_a_film(plain_clip: Path) -> None:
    sentence = (
        f"--input-fps is for numbered pictures such as frames/%05d.png, which {plain_clip} is not;"
        " leave it out"
    )
    for command in ("colorize", "info"):
        assert fail(command, plain_clip, "--input-fps", 18, code=2) == sentence
    pictures = numbered_pictures("frames", 2)
    for rate in ("source", "0", "x", "241"):
        said = misuse("colorize", pictures, "--input-fps", rate)
        assert f"{rate!r} is no frame rate from 1 to 240; write a number such as 18" in said


def test_colorize_names_a_picture_that_is_missing() -> None:
    pictures = numbered_pictures("frames")
    Path("frames/00014.png").unlink()
    assert fail("colorize", pictures) == (
        "frames/00014.png is missing amid the pictures of frames/%05d.png; put it back, or number"
        " them without gaps"
    )


@pytest.mark.slow
def test_colorize_tells_first_what_becomes_of_attachments(vivid_weights: Path) -> None:
    Path("type.ttf").write_bytes(bytes(100))
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=60x80", "-frames:v", 1, "cover.png")
    types = ("-metadata:s:t:0", "mimetype=font/ttf", "-metadata:s:t:1", "mimetype=image/png")
    more = ("-map", "0", "-map", "0", "-timecode", "01:00:00:00")
    attached = ("-attach", "type.ttf", "-attach", "cover.png", *types)
    film = make_clip(Path("film.mkv"), seconds=0.5, extra=(*attached, *more))
    named = ("colorize", film, "--model", vivid_weights)
    told = run(*named, "-o", "o.mp4").stderr
    assert run(*named, "-o", "o2.mp4", "--json").stderr == told, "scripts are told as well"
    lost = "left out, since mp4 cannot hold them (an mkv holds all that are known)"
    assert told.splitlines()[1:] == [
        f"attachments: type.ttf {lost}; cover (png) kept",
        "time code: 01:00:00:00 left out, since it counts other frames",
        "more pictures: h264 left out",
    ]
    assert [a.codec for a in probe(Path("o.mp4")).attachments] == ["png"]
    assert "attachments    type.ttf left out, since mp4 cannot" in succeed("info", film)
    whole = ("--fps", "source", "-o", "o.mkv")
    told = run("colorize", film, "--model", vivid_weights, *whole).stderr
    assert told.splitlines()[1:3] == [
        "attachments: type.ttf kept; cover (png) kept",
        "time code: 01:00:00:00 kept",
    ]
    written = probe(Path("o.mkv"))
    assert {a.name for a in written.attachments} == {"cover.png", "type.ttf"}
    assert written.time_code == "01:00:00:00"


def test_train_refuses_a_target_that_is_no_safetensors(pairs: Pairs) -> None:
    assert fail("train", pairs.folder, "-o", "film.pt", code=2) == (
        "film.pt does not end in .safetensors; name a file that does with -o"
    )


def test_commands_refuse_a_target_folder_that_may_not_be_written(pairs: Pairs) -> None:
    sentence = (
        "the folder / may not be written to; change its permissions, or choose another place"
        " with -o"
    )
    for arguments in (
        ("colorize", SAMPLE_FILM, "-o", "/o.mp4"),
        ("sync", SAMPLE_FILM, SAMPLE_FILM, "-o", "/o.json", "--offset", "0"),
        ("extract", SAMPLE_FILM, "-o", "/o"),
    ):
        with ordinary_user():
            result = run(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"filmcolorizer: {sentence}\n"


@pytest.mark.slow
def test_commands_tell_when_the_target_is_full(
    color_film: Path, pairs: Pairs, vivid_weights: Path
) -> None:
    device = ("--device", "cpu")
    for limit_bytes, arguments in (
        (20_000, ("colorize", color_film, "--model", vivid_weights, "-o", "o.mp4", *device)),
        (100, ("sync", color_film, color_film, "--offset", "0")),
        (20_000, ("extract", color_film)),
        (100_000, ("train", pairs.folder, "--arch", "classic", "--size", 32, *device)),
        (100_000, ("demo", *device)),
    ):
        with file_size_limit(limit_bytes):
            said = fail(*arguments)
        assert re.search(r"File too large|\(os error 27\)", said), said
        assert said.endswith("make room there, or choose another place")


@pytest.mark.slow
@pytest.mark.parametrize(("when", "parts_done"), [("keeping", 2), ("rendering", 4), ("joining", 8)])
def test_colorize_on_a_full_disk_tells_how_much_it_needs_and_goes_on(
    when: str, parts_done: int, vivid_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While colours are kept for the next segment, as one is rendered, and as all are joined."""
    monkeypatch.setattr(colorizing, "SEGMENT_SECONDS", 0.5)
    for module in (colorizing, painting):
        monkeypatch.setattr(module, "CHUNK_FRAMES", 12)
    if when != "keeping":  # so that no file of colours is larger than a segment of noise
        monkeypatch.setattr(propagation, "MAX_REMEMBERED", 2)
        monkeypatch.setattr(trails, "MOST_SIGHT_FRAMES", 0)
    # 2 s of a still picture, then 2 s of noise, which takes more room.
    film = Path("film.mp4")
    still, noisy = "testsrc2=size=128x96:rate=24:duration=2,loop=-1:1,trim=end=2", "nullsrc"
    run_ffmpeg(
        "-f", "lavfi", "-i", f"{still},format=gray[a];"
        f"{noisy}=size=128x96:rate=24:duration=2,geq=lum='random(1)*255',format=gray[b];"
        "[a][b]concat,format=yuv420p",
        *LOSSLESS, film,
    )  # fmt: skip
    quality = ("--crf", "2", "--preset", "ultrafast")
    quick = ("colorize", film, "--model", vivid_weights, *quality, "--device", "cpu")
    succeed(*quick, "-o", "whole.mp4")
    whole = Path("whole.mp4").stat().st_size
    # The colours of three key frames and sights of two take 200 kB; a fifth of the film is more
    # than a still segment, and less than one of noise.
    limit_bytes = {"keeping": 210_000, "rendering": whole // 5, "joining": whole // 2}
    with file_size_limit(limit_bytes[when]):
        result = run(*quick, "-o", "o.mp4")
    assert (result.exit_code, result.stdout) == (1, "")
    sentence = result.stderr.splitlines()[-1]
    parts = sorted(Path("o.mp4.parts").glob("*.mp4"))
    assert len(parts) == parts_done
    frames = 12 * len(parts)
    taken = sum(path.stat().st_size for path in parts) / 1e6
    assert sentence == (
        f"filmcolorizer: there is no room left for o.mp4 (File too large): {frames} of about 96"
        f" frames take {taken:.1f} MB, so that all are going to take about"
        f" {taken * 96 / frames:.1f} MB, and twice as much beside while they are joined; make room"
        " and give the same command again, which goes on from there, or choose another place with"
        " -o"
    )
    assert files_in(Path()) == ["film.mp4", "o.mp4.parts", "whole.mp4"]
    assert not [name for name in files_in(Path("o.mp4.parts")) if name.endswith(".part")]
    result = run(*quick, "-o", "o.mp4")
    assert f"going on after the {frames} frames" in result.stderr
    ours, theirs = (
        decode_planes(Path(name), "yuv420p", (128, 96)) for name in ("o.mp4", "whole.mp4")
    )
    for plane, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(plane, other)
    assert files_in(Path()) == ["film.mp4", "o.mp4", "whole.mp4"]


ODD_NAMES = [
    b"two words",
    b'it\'s "q"',
    b"-v",
    b"100%d %05d",
    b"new\nline",
    "\u00e4 \u6f2b [bold]".encode(),
    b"no utf-8 \xff\xfe",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "encoding"),
    [(name, "ascii") for name in ODD_NAMES]
    + [(name, "utf-8") for name in ODD_NAMES if not name.isascii()],
)
def test_colorize_takes_any_name(
    name: bytes, encoding: str, plain_clip: Path, vivid_weights: Path
) -> None:
    film, target = (Path(os.fsdecode(name + ending)) for ending in (b".mp4", b" in colour.mkv"))
    shutil.copy(plain_clip, film)
    arguments = ("--model", vivid_weights, "--duration", "0.2", "-o", target, "--", film)
    done = subprocess.run(
        [sys.executable, "-m", "filmcolorizer_cli", "colorize", *map(str, arguments)],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = str(target).encode(encoding, "backslashreplace")
    assert done.stdout.startswith(b"wrote " + shown + b": 5 frames, 0.21 s")
    assert files_in(Path()) == sorted([str(film), str(target)])
    assert probe(target).frame_count() == 5
    told = run("info", "--json", "--", film)
    assert json.loads(told.stdout)["path"] == str(film)


def test_colorize_writes_to_another_file_system(plain_clip: Path, vivid_weights: Path) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == Path().stat().st_dev:
        pytest.skip("there is no other file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        target = Path(folder) / "o.mkv"
        succeed("colorize", plain_clip, "--model", vivid_weights, "--duration", "0.2", "-o", target)
        assert files_in(Path(folder)) == ["o.mkv"]
        assert probe(target).frame_count() == 5


def start(*arguments: object) -> subprocess.Popen[str]:
    """The program in a process of its own, which Ctrl-C can end even if we run in a background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        program = subprocess.Popen(
            [sys.executable, "-m", "filmcolorizer_cli", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    _started.append(program)
    return program


def wait_for(condition: Callable[[], bool], program: subprocess.Popen[str]) -> None:
    """Wait until the program got somewhere."""
    give_up = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert program.poll() is None, program.communicate()[1]
        assert time.monotonic() < give_up
        time.sleep(0.005)


def finish(program: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal; the exit code and what was said on stderr."""
    program.send_signal(number)
    _, said = program.communicate(timeout=WAIT_SECONDS)
    return program.returncode, said


def processes_naming(text: str) -> list[str]:
    """The command lines of all processes that name something, but ours."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc to look for processes in")
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in line and int(path.parent.name) != os.getpid():
            found.append(line)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (signal.SIGINT, 130, "filmcolorizer: stopped; no unfinished file was left behind\n"),
        (signal.SIGTERM, 143, "filmcolorizer: stopped; no unfinished file was left behind\n"),
    ],
)
def test_colorize_stopped_early_by_a_signal_leaves_nothing(
    number: signal.Signals, code: int, sentence: str, vivid_weights: Path
) -> None:
    film = Path("long.mp4")
    run_ffmpeg("-stream_loop", 9, "-i", SAMPLE_FILM, "-c", "copy", film)
    program = start("colorize", film, "--model", vivid_weights, "--device", "cpu")
    here = str(Path.cwd())
    ffmpegs = lambda: [line for line in processes_naming(here) if "ffmpeg" in line]  # noqa: E731
    wait_for(lambda: len(ffmpegs()) == 2, program)
    returncode, said = finish(program, number)
    assert said == f"colorizing long.mp4 with the model {vivid_weights} on cpu\n{sentence}"
    assert returncode == code
    assert files_in(Path()) == ["long.mp4"]
    assert processes_naming(here) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_colorize_stopped_later_goes_on_from_there(
    number: signal.Signals, vivid_weights: Path
) -> None:
    film, parts = Path("long.mp4"), Path("long-color.mp4.parts")
    run_ffmpeg("-stream_loop", 3, "-i", SAMPLE_FILM, "-c", "copy", film)
    arguments = ("colorize", film, "--model", vivid_weights, "--preset", "ultrafast")
    program = start(*arguments)
    manifest = parts / "manifest.json"
    done = re.compile('"frames": [1-9]')
    wait_for(lambda: manifest.exists() and done.search(manifest.read_text()) is not None, program)
    _, said = finish(program, number)
    kept = "what is rendered is kept: go on with the same command\n"
    assert (kept in said) == (number != signal.SIGKILL)
    assert files_in(Path()) == ["long-color.mp4.parts", "long.mp4"]
    kept_frames = sum(
        s["frames"] or 0 for s in json.loads((parts / "manifest.json").read_text())["segments"]
    )
    note = f"going on after the {kept_frames} frames that an interrupted rendering left\n"
    finished = start(*arguments)
    _, said = finished.communicate(timeout=100)
    assert finished.returncode == 0
    assert note in said
    assert files_in(Path()) == ["long-color.mp4", "long.mp4"]
    planes = decode_planes(Path("long-color.mp4"), "yuv420p", (480, 360))
    assert len(planes[0]) == probe(film).frame_count()
    if number == signal.SIGKILL:
        succeed(*arguments, "-o", "whole.mp4")
        for found, expected in zip(
            planes, decode_planes(Path("whole.mp4"), "yuv420p", (480, 360)), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_colorize_of_a_large_film_stops_at_once(
    number: signal.Signals, vivid_weights: Path
) -> None:
    """In less time than it took to begin, on a machine however busy; alone it is less than 2 s."""
    film, parts = Path("large.mp4"), Path("large-color.mp4.parts")
    enlarged = ("-vf", "scale=1280:720,noise=alls=20:allf=t", "-an", *X264)
    run_ffmpeg("-i", SAMPLE_FILM, *enlarged, film)
    started = time.monotonic()
    program = start("colorize", film, "--model", vivid_weights, "--preset", "veryslow")
    here = str(Path.cwd())
    begun = lambda: any(path.stat().st_size > 1e5 for path in parts.glob(".000001*"))  # noqa: E731
    wait_for(begun, program)
    began = time.monotonic()
    finish(program, number)
    assert time.monotonic() - began < began - started
    assert processes_naming(here) == []
    assert files_in(Path()) == ["large.mp4"]


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


@pytest.mark.slow
def test_extract_stopped_by_ctrl_c_leaves_nothing() -> None:
    film = Path("long.mp4")
    run_ffmpeg("-stream_loop", 99, "-i", SAMPLE_FILM, "-c", "copy", film)
    program = start("extract", film, "--every", 1, "--size", 64)
    wait_for(lambda: len(list(Path().glob(".pairs*/bw/*.png"))) > 2, program)
    assert finish(program, signal.SIGINT) == (
        130,
        "filmcolorizer: stopped; no unfinished file was left behind\n",
    )
    assert files_in(Path()) == ["long.mp4"]
    assert processes_naming(str(Path.cwd())) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "size"), [("yuv420p", (96, 72)), ("yuv420p10le", (96, 72)), ("gray", (53, 41))]
)
def test_colorize_to_ffv1_keeps_luma_bit_for_bit(
    layout: str, size: tuple[int, int], vivid_weights: Path, tmp_path: Path
) -> None:
    """Checked by ffmpeg's own checksums of every frame's luma."""
    source, target = tmp_path / "film.mkv", tmp_path / "out.mkv"
    scale = f"scale={size[0]}:{size[1]},noise=alls=8:allf=t,format={layout}"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-t", 2, "-vf", scale, "-c:v", "ffv1", source)
    options = ["--codec", "ffv1", "--fps", "source", "--model", vivid_weights]
    result = run("colorize", source, *options, "-o", target)
    assert result.exit_code == 0, result.stderr
    planar = "gray10le" if "10" in layout else "gray"
    sums = [
        run_ffmpeg("-i", path, "-vf", f"format={kept},extractplanes=y", "-pix_fmt", planar,
                   "-f", "framemd5", "pipe:1").splitlines()[-48:]
        for path, kept in ((source, layout), (target, layout.replace("gray", "yuv420p")))
    ]  # fmt: skip
    assert [line.split()[-1] for line in sums[0]] == [line.split()[-1] for line in sums[1]]
    assert (probe(target).width, probe(target).height) == size


@pytest.mark.parametrize(
    ("codec", "ending", "words"),
    [
        ("ffv1", ".mp4", "does not hold FFV1; give it the ending .mkv with -o"),
        ("prores", ".mp4", "does not hold ProRes; give it the ending .mov or .mkv with -o"),
        ("av1", ".mov", "does not hold AV1; give it the ending .mp4 or .mkv with -o"),
    ],
)
def test_colorize_refuses_a_codec_that_the_file_does_not_hold(
    codec: str, ending: str, words: str, plain_clip: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"out{ending}"
    result = run("colorize", plain_clip, "--codec", codec, "-o", target)
    assert result.exit_code == 2
    assert words in result.stderr


def test_colorize_tells_of_bits_that_get_lost(vivid_weights: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "film.mkv", tmp_path / "out.mp4"
    deep = ("-vf", "format=gray12le", "-c:v", "ffv1")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-t", 0.5, *deep, source)
    result = run("colorize", source, "--model", vivid_weights, "-o", target)
    assert result.exit_code == 0, result.stderr
    assert "luma: 12 bits become the 10 that H.264 has" in result.stderr
    assert probe(target).pixel_format == "yuv420p10le"


def test_commands_refuse_joined_recordings(vivid_weights: Path) -> None:
    """In which nothing can be found by its time, see `packets.check_clock`."""
    joined = Path("joined.ts")
    for number in range(2):
        later = ("-output_ts_offset", 1 + 500 * number)
        run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", *X264, *later, "part.ts")
        with joined.open("ab") as file:
            file.write(Path("part.ts").read_bytes())
    for command in (
        ("sync", joined, "part.ts"),
        ("sync", joined, "part.ts", "--offset", 0),
        ("extract", joined),
        ("preview", joined, "--model", vivid_weights),
        ("eval", joined, "--model", vivid_weights),
        ("eval", joined, "--model", vivid_weights, "--start", 1),
        ("colorize", joined, "--model", vivid_weights),
    ):
        assert fail(*command).startswith(f"{joined} is joined of recordings whose clocks differ")


def test_names_do_not_command_the_terminal(plain_clip: Path) -> None:
    film = Path("\x1b[31mred\r\x9b.mp4")  # \x9b is \x1b[ in one
    shutil.copy(plain_clip, film)
    said = fail("extract", film, code=2)
    assert said.startswith("\ufffd[31mred\ufffd\ufffd.mp4 shows no colours in these stills")
    assert "\ufffd[31mred\ufffd\ufffd.mp4" in succeed("info", film)


def test_colorize_tells_of_uneven_times(vivid_weights: Path) -> None:
    filters = ("-vf", "select=mod(n\\,10),scale=96:72", "-fps_mode", "vfr", "-t", 1)
    run_ffmpeg("-i", SAMPLE_FILM, "-an", *filters, "-c:v", "libx264", "film.mkv")
    options = ("--fps", "source", "--model", vivid_weights, "-o", "o.mp4")
    said = succeed("colorize", "film.mkv", *options)
    assert re.search(r"^wrote o\.mp4: 21 frames, \d\.\d\d s each at its own time, 96x72;", said)


@pytest.mark.slow
def test_films_that_may_not_be_read_are_no_wrong_options(
    plain_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever Typer thinks of a file, it is opened; see what `probe` says where it cannot be."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK and access(path, mode))
    succeed("info", plain_clip)
    succeed("sync", plain_clip, plain_clip, "--offset", 0)
    said = fail("extract", plain_clip, plain_clip, "--sync", "sync.json", code=2)
    assert "shows no colours in these stills" in said
    succeed("compare", plain_clip, plain_clip, "-o", "both.mp4")


def test_sync_writes_no_map_under_the_name_of_a_film(plain_clip: Path) -> None:
    said = fail("sync", plain_clip, plain_clip, "--offset", 0, "-o", "film.mp4", code=2)
    assert said == "film.mp4 does not end in .json; name a file that does with -o"


@pytest.mark.slow
def test_weights_in_the_folder_that_know_another_film_are_told_of() -> None:
    film = Path("film.mp4")
    shutil.copy(SAMPLE_FILM, film)
    known = {"path": "other.mp4", "frame_rate": "25", "duration_seconds": 9.64}
    note = (
        "film.safetensors in this folder was trained on other.mp4, not on film.mp4; --model default"
        " names the shipped model"
    )
    for is_another in (True, False):
        learnt = known if is_another else film_identity(probe(film)) | {"path": "moved.mp4"}
        weights.save(vivid_network(), Path("film.safetensors"), about={"film": learnt})
        part = ("--duration", 0.5, "--overwrite")
        for command in (("info",), ("colorize", *part), ("preview", "--frames", 1, *part)):
            told = " ".join(run(command[0], film, *command[1:]).stderr.split())
            assert (note in told) == is_another
    named = ("--model", "film.safetensors", "--duration", 0.5, "--overwrite")
    assert "was trained on" not in run("colorize", film, *named).stderr


@pytest.mark.parametrize(
    "error",
    ["ImportError('no libcudart')", "type('', (OSError,), {'winerror': 126})('no libcudart')"],
)
def test_a_library_that_cannot_be_loaded_is_named(
    error: str, color_film: Path, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text(f"raise {error}")
    command = [sys.executable, "-m", "filmcolorizer_cli", "colorize", str(color_film)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert result.stderr == (
        "filmcolorizer: a library cannot be loaded (no libcudart); install filmcolorizer and what"
        " it needs anew, as in the README\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_is_printed_to_a_full_disk_tells_of_its_room(color_film: Path) -> None:
    command = [sys.executable, "-m", "filmcolorizer_cli", "info", str(color_film)]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert (
        result.stderr == "filmcolorizer: No space left on device; make room where this is written\n"
    )


def test_too_long_a_name_is_told_of_as_such(color_film: Path) -> None:
    long = copy_here(color_film, "n" * 245 + ".mkv")
    for command in ("colorize", "preview"):
        assert fail(command, long).endswith("File name too long; choose a shorter name")

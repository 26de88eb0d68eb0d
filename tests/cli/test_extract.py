"""`filmcolorizer extract`, end to end."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filmcolorizer_cli import maps, models
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.pairs import Pairs, read_pairs
from filmcolorizer_cli.video import film_identity, probe
from tests.commands import (
    copy_here,
    fail,
    finish,
    misuse,
    processes_naming,
    run,
    start,
    succeed,
    wait_for,
)
from tests.films import decode_planes, graded_film, run_ffmpeg
from tests.machine import files_in


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


def test_extract_of_two_films_lines_them_up(versions: tuple[Path, Path]) -> None:
    result = run("extract", *versions, "--every", "12", "--size", "64")
    assert result.stdout == "wrote pairs: 8 pairs of 64x64 stills from 3 shots\n"
    assert result.stderr == "lined up 4.0 s in 1 segment\n"
    assert result.exit_code == 0
    pairs = read_pairs(Path("pairs"))
    assert [pair.bw_seconds for pair in pairs.pairs] == [1 + n / 2 for n in range(8)]
    assert [pair.color_seconds for pair in pairs.pairs] == [n / 2 for n in range(8)]
    for pair in pairs.pairs:  # the stills differ in gamma only
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
    assert json.loads(said) == {
        "output": "stills",
        "pairs": 3,
        "shots": 2,
        "width": 43,
        "height": 32,
        "notes": [],
    }
    pairs = read_pairs(Path("stills"))
    assert [(p.bw_seconds, p.color_seconds) for p in pairs.pairs] == [(2, 0.5), (3, 1.5), (4, 2.5)]


@pytest.mark.slow
def test_extract_of_a_cropped_copy_shows_the_whole_film(
    versions: tuple[Path, Path], color_film: Path
) -> None:
    """The coloured film is an enlarged, off-centre crop of 72x54 of 96x72."""
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
        # Colours are known inside the crop only, and there the stills differ in gamma only.
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
    told = json.loads(said)
    assert (told["output"], told["pairs"], told["shots"]) == ("pairs", 16, 3)
    assert (told["width"], told["height"], told["notes"]) == (43, 32, [])
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
        "photos exists and is not a folder of pairs; name another folder with -o"
    )
    assert Path("photos/grandma.jpg").read_text() == "dear"
    Path("file").write_text("dear")
    assert "not a folder of pairs" in fail("extract", color_film, "-o", "file", *overwrite)
    assert Path("file").read_text() == "dear"


def test_extract_needs_two_films_for_a_map(color_film: Path) -> None:
    said = misuse("extract", color_film, "--sync", "map.json")
    assert "Invalid value for --sync: it needs both films, BW and COLOR" in said


def test_extract_refuses_a_part_without_stills(color_film: Path) -> None:
    assert fail("extract", color_film, "--start", "7", code=2) == (
        "there is no still in this part of the films; give another --start, --duration or a"
        " smaller --every"
    )


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
        f"the map is for another film than {color_film}: its duration_seconds is 5.0, the film's"
        " 6.0; make a new map with `filmcolorizer sync BW COLOR`"
    )


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

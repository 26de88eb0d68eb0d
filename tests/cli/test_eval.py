"""`filmcolorizer eval`, end to end."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli import (
    evaluation_page,
    film_evaluation,
    models,
    networks,
    pair_evaluation,
    weights,
)
from filmcolorizer_cli.errors import FilmColorizerError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.history import Epoch
from filmcolorizer_cli.networks import build
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.splits import split_by_time
from filmcolorizer_cli.video import film_identity, probe
from tests.commands import copy_here, fail, misuse, run, succeed, table_cells
from tests.machine import files_in
from tests.networks import TINY
from tests.values import finished


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
        "the folder missing does not exist; create it, or choose another place with --report"
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
    folder = Path("x[/old]")  # rich would take this for markup
    folder.parent.mkdir()
    shutil.copytree(pairs.folder, folder)
    about: dict[str, Any] = {"epoch": 3, "trained_share": 0.75}
    weights.save(build(TINY), Path("film.safetensors"), about=about)
    some = ("eval", folder, "--model", "film.safetensors", "--report", "report", "--overwrite")
    assert succeed(*some).startswith(f"{folder}, network film: ")
    page = Path("report/index.html").read_text()
    for name, value in (("epoch", "3"), ("trained share", "0.75")):
        assert re.search(f">{name}</t[hd]>\\s*<td>{value}</td>", page), page[-3000:]
    assert "have no record of their training" in page
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
            "the training history stored in the weights film.safetensors is damaged; give others"
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
            f"film.safetensors may have been trained on {moving_film}; if so, its scores are"
            " too good"
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
    """The given split applies even if the network was trained with another one."""
    torch.manual_seed(0)
    split = {"validation_from_seconds": 1.0, "test_from_seconds": 3.0}
    weights.save(build(TINY), Path("own.safetensors"), about={"split": split, "film": pairs.film})
    for model in (vivid_weights, "own.safetensors"):
        for parts, counts in (("interleaved", [12, 6, 6]), ("70,15,15", [8, 8, 8])):
            arguments = ("--model", model, "--split", parts, "--json")
            network = json.loads(succeed("eval", pairs.folder, *arguments))["network"]
            assert [network[part]["pairs"] for part in network] == counts
    assert "is not a split" in misuse("eval", pairs.folder, "--split", "some")


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
        hint = "eval takes either one folder of pairs or films"
        assert said == f"{pairs.folder} is a folder; {hint}"


def test_eval_refuses_a_film_without_colours() -> None:
    assert fail("eval", SAMPLE_FILM) == (
        f"{SAMPLE_FILM} shows no colours to compare with; give a film in colour, or another part of"
        " it with --start and --duration"
    )
    said = fail("eval", SAMPLE_FILM, "--start", 7, code=2)
    assert said == f"{SAMPLE_FILM} ends at 6.00 s, before the start at 7 s; give a smaller --start"


@pytest.mark.slow
def test_eval_of_films_leaves_out_what_cannot_be_compared(
    moving_film: Path, vivid_weights: Path
) -> None:
    options = ("--model", vivid_weights, "--duration", 1, "--json")
    result = run("eval", SAMPLE_FILM, moving_film, *options)
    assert result.exit_code == 1
    assert f"{SAMPLE_FILM} shows no colours to compare with" in result.stderr
    [film] = json.loads(result.stdout)["films"]
    assert film["film"] == str(moving_film)
    none = run("eval", SAMPLE_FILM, SAMPLE_FILM, *options)
    assert (none.exit_code, none.stdout) == (1, "")
    assert none.stderr.count("shows no colours to compare with") == 2


def test_eval_refuses_an_empty_split() -> None:
    assert "'' is not a split" in misuse("eval", "pairs", "--split", "")


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

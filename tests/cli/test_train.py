"""`filmcolorizer train`, end to end."""

from __future__ import annotations

import json
import re
import signal
import stat
import time
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli import batches, console, metrics, models, recipes, training, weights
from filmcolorizer_cli.configs import ClassicConfig, FilmConfig
from filmcolorizer_cli.history import Epoch, read_history
from filmcolorizer_cli.networks import build
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.splits import split_by_time
from tests.commands import fail, finish, misuse, run, start, succeed, table_cells, wait_for
from tests.machine import files_in
from tests.networks import TINY
from tests.trainings import PLAIN_OPTIONS
from tests.values import present

SMALL = ("--batch-size", 4, "--size", 32, "--device", "cpu")
QUICK_TRAINING = ("--epochs", 2, *SMALL)
QUICK_FILM_TRAINING = ("--epochs", 2, "--batch-size", 32, "--size", 32, "--device", "cpu")
LONG_TRAINING = ("--arch", "classic", "--epochs", 40, *SMALL)


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
    assert chosen["augmentation"] == asdict(recipes.GENERALIZE)
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
        **PLAIN_OPTIONS,
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


@pytest.mark.slow
def test_train_film_takes_by_default_what_suits_the_pairs(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"SCRATCH_PICTURES": 48, "PICTURES_PER_EPOCH": 16, "MIN_EPOCHS": 1}
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
    assert chosen["augmentation"] == asdict(recipes.GENERALIZE)
    assert chosen["frozen_stages"] > 0
    assert chosen["blend"]
    trained = weights.load(models.find_model("film.safetensors"))
    assert trained.config.size == 32, "the size of the stills"
    assert isinstance(trained.config, FilmConfig)
    assert not trained.config.clears_veil, "its film has blacks"
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
    assert chosen["augmentation"] == asdict(recipes.MEMORIZE)


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
        " tests no unseen shots, or --split none for a few painted stills"
    )
    some = ("--arch", "classic", *QUICK_TRAINING, "--epochs", 1, "--split", "none")
    painted = own_pairs.folder / "color" / f"{own_pairs.pairs[0].name}.png"
    with Image.open(painted) as still:
        reddish = still.convert("RGB", (1, 0.1, 0.1, 0, 0, 1, 0, 0, 0, 0, 1, 0))
    reddish.save(painted)
    assert run("train", own_pairs.folder, *some).stderr.splitlines()[0] == (
        "learning from 2 pairs, 1 changed by hand; none is held back, so the losses are those of"
        " the training pairs"
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
        f"{split!r} is not a split; write three shares such as 70,15,15, the numbers of training"
        " and validation pairs such as 4000,1000, interleaved, or none" in said
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
        "the weights c.safetensors are for the network 'classic', not 'film'; give --arch classic,"
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
        "an interrupted training is kept in film.checkpoint.safetensors; continue with --resume, or"
        " start over with --overwrite"
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
        "film.checkpoint.safetensors should be this training's checkpoint, but is damaged or"
        " something else; move it away, or name another file with -o"
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
            " start over with --overwrite"
        )


@pytest.mark.slow
def test_train_says_a_line_an_epoch_without_a_terminal(pairs: Pairs) -> None:
    result = run("train", pairs.folder, "--arch", "classic", *QUICK_TRAINING)
    assert result.exit_code == 0
    history = read_history(Path("film.safetensors"))
    best = min(history, key=lambda epoch: epoch.validation_loss).epoch
    parts, first, second, note = result.stderr.splitlines()
    assert parts == "learning from 8 pairs; 8 for validation, 8 for testing"
    assert first.startswith(f"epoch 1: training loss {history[0].training_loss:.4f}, ")
    assert first.endswith("; best epoch 1")
    assert f"validation loss {history[1].validation_loss:.4f}, " in second
    assert second.endswith(f"; best epoch {best}")
    grey = "no better than leaving the film grey, which has a validation MSE of"
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

    assert "may know pairs of" not in said("--split", "interleaved", "-o", "other.safetensors")
    begins = ("--init", "other.safetensors", "--overwrite")
    assert (
        "other.safetensors was trained on other parts of this film; it may know pairs of the"
        " validation and test parts, so their scores may be too good\n"
    ) in said(*begins)
    model = models.read_model(Path("film.safetensors"))
    assert model.about["init"] == "other.safetensors"
    assert [training["split"] for training in model.lineage] == [
        models.read_model(Path("other.safetensors")).about["split"],
        model.about["split"],
    ]
    assert "may know pairs of" in run("eval", pairs.folder, "--model", "film.safetensors").stderr
    assert "may know pairs of" not in said(*begins, "--split", "interleaved")
    assert "may know pairs of" not in said(*begins, "--split", "none")
    measured = ("eval", pairs.folder, "--model", "other.safetensors")
    assert "may know pairs of" in run(*measured, "--split", "70,15,15").stderr
    assert "may know pairs of" not in run(*measured).stderr


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
    assert parts == "learning from 8 pairs; 8 for validation, 8 for testing"
    assert all(line.startswith(f"epoch {n}: training loss") for n, line in enumerate(epochs, 1))
    assert kept == "the finished epochs are kept: continue with the same command and --resume"
    assert stopped == "filmcolorizer: stopped; no unfinished file was left behind"
    assert code == expected
    pictures = ["film-loss.png", "film-samples.png"]
    assert files_in(Path()) == [*pictures, "film.checkpoint.safetensors", "film.csv"]
    assert fail("train", pairs.folder, *LONG_TRAINING, "--seed", 1, "--resume") == (
        "the interrupted training in film.checkpoint.safetensors was started with seed 0, not 1;"
        " resume it with the same pairs, --init and other options, or start over with --overwrite"
    )


@pytest.mark.slow
def test_train_tells_of_a_still_that_shows_something_else(own_pairs: Pairs) -> None:
    """And how many stills of the training part were changed; here another one is of the test's."""
    colors = own_pairs.folder / "color"
    still, last = (colors / f"{own_pairs.pairs[number].name}.png" for number in (4, -1))
    still.write_bytes((colors / "000020.png").read_bytes())
    last.write_bytes(last.read_bytes() + b"as another program leaves it")
    said = run("train", own_pairs.folder, "--arch", "classic", *QUICK_TRAINING).stderr
    assert f"{still} does not show what its grey still does; correct it, or delete the pair" in said
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


def test_train_refuses_pairs_of_too_few_shots(color_film: Path) -> None:
    succeed("extract", color_film, "--duration", "2", "--every", "48", "--size", "32")
    assert fail("train") == (
        "the pairs show only 1 shot(s), and training, validation and test need one each; extract a"
        " longer part of the film, or more stills with --every, or give --split interleaved, which"
        " tests no unseen shots, or --split none for a few painted stills"
    )


def test_train_never_writes_over_a_file_beside_its_weights(pairs: Pairs) -> None:
    Path("film.csv").write_text("my notes")
    said = fail("train", pairs.folder, *QUICK_TRAINING)
    assert said == "film.csv exists already; name another file with -o, or give --overwrite"
    assert Path("film.csv").read_text() == "my notes"


def test_train_refuses_a_target_that_is_no_safetensors(pairs: Pairs) -> None:
    assert fail("train", pairs.folder, "-o", "film.pt", code=2) == (
        "film.pt does not end in .safetensors; name a file that does with -o"
    )

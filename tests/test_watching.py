from __future__ import annotations

import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli.errors import FilmColorizerError, OptionError
from filmcolorizer_cli.history import Epoch
from filmcolorizer_cli.networks import Network, build
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.splits import split_by_time
from filmcolorizer_cli.training import Outcome, Step
from filmcolorizer_cli.watching import Watcher
from tests.machine import files_in
from tests.networks import TINY, vivid_network
from tests.values import finished

CPU = torch.device("cpu")
LOSSES = ((0.9, 0.7), (0.6, 0.5), (0.3, 0.8))


def steps(network: Network, per_epoch: int = 2) -> Generator[Step, None, Outcome]:
    """Yield the steps of a training of three epochs, the second of which is the best."""
    for number, losses in enumerate(LOSSES, 1):
        for _ in range(per_epoch - 1):
            yield Step(number, losses[0] + 0.1, 8)
        epoch = Epoch(number, *losses, learning_rate=0.01, seconds=2.0)
        yield Step(number, losses[0] - 0.1, 8, epoch, network)
    return Outcome(1.0, 0.1, 0.2, 0.3, 3)


def watcher(pairs: Pairs, output: Path, board: Path | None = None) -> Watcher:
    return Watcher(pairs, split_by_time(pairs.pairs), output, [], device=CPU, board=board)


def saturation(path: Path) -> float:
    """Return the mean spread of R, G and B in the sheet's first row of output stills."""
    with Image.open(path) as image:
        sheet = np.asarray(image.convert("RGB")).astype(int)
    return float(np.ptp(sheet[150 + 22 : 300], axis=2).mean())


@pytest.mark.slow
def test_follow_passes_all_steps_on_and_tells_of_epochs(pairs: Pairs, tmp_path: Path) -> None:
    told: list[str] = []
    watching = watcher(pairs, tmp_path / "film.safetensors")
    followed, outcome = finished(watching.follow(steps(build(TINY)), 2, note=told.append))
    assert [step.epoch for step in followed] == [1, 1, 2, 2, 3, 3]
    assert outcome == Outcome(1.0, 0.1, 0.2, 0.3, 3)
    assert told == [
        "epoch 1: training loss 0.9000, validation loss 0.7000, 2 s; best epoch 1",
        "epoch 2: training loss 0.6000, validation loss 0.5000, 2 s; best epoch 2",
        "epoch 3: training loss 0.3000, validation loss 0.8000, 2 s; best epoch 2",
    ]
    assert watching.best is not None
    assert watching.best.epoch == 2


def test_follow_refreshes_the_pictures_after_every_epoch(pairs: Pairs, tmp_path: Path) -> None:
    network = build(TINY)
    watching = watcher(pairs, tmp_path / "film.safetensors")
    followed = watching.follow(steps(network), 2)
    next(followed)
    assert files_in(tmp_path) == []
    next(followed)
    assert files_in(tmp_path) == ["film-loss.png", "film-samples.png"]
    assert saturation(watching.samples) < 2, "an untrained network leaves the film grey"
    loss_figure = watching.loss_figure.read_bytes()
    network.load_state_dict(vivid_network().state_dict())
    next(followed), next(followed)
    assert saturation(watching.samples) > 20
    assert watching.loss_figure.read_bytes() != loss_figure


@pytest.mark.slow
def test_follow_shows_stills_that_were_read_before_they_were_deleted(
    own_pairs: Pairs, tmp_path: Path
) -> None:
    network = vivid_network()
    sheets = []
    for output, is_read in (
        (tmp_path / "a.safetensors", False),
        (tmp_path / "b.safetensors", True),
    ):
        watching = watcher(own_pairs, output)
        if is_read:
            watching.read(network)
            shutil.rmtree(own_pairs.folder)
        list(watching.follow(steps(network), 2))
        sheets.append(watching.samples.read_bytes())
    assert sheets[0] == sheets[1]


def test_follow_goes_on_from_the_epochs_that_there_are(pairs: Pairs, tmp_path: Path) -> None:
    before = [Epoch(1, 0.9, 0.1, 0.01, 2.0)]
    parts = split_by_time(pairs.pairs)
    watching = Watcher(pairs, parts, tmp_path / "film.safetensors", before, device=CPU)
    assert watching.best == before[0]
    told: list[str] = []
    list(watching.follow(steps(build(TINY)), 2, note=told.append))
    assert [line.rpartition(" ")[2] for line in told] == ["1", "1", "1"]


@pytest.mark.slow
def test_follow_logs_scalars_and_samples(pairs: Pairs, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = tmp_path / "board"
    list(watcher(pairs, tmp_path / "film.safetensors", board).follow(steps(build(TINY)), 2))
    events = accumulator.EventAccumulator(str(board)).Reload()
    logged = {
        tag: [(event.step, round(event.value, 4)) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    assert logged["loss/training"] == [(n, loss) for n, (loss, _) in enumerate(LOSSES, 1)]
    assert logged["loss/validation"] == [(n, loss) for n, (_, loss) in enumerate(LOSSES, 1)]
    assert [step for step, _ in logged["loss/step"]] == [1, 2, 3, 4, 5, 6]
    assert len(logged["learning rate"]) == 3
    images = events.Images("samples")
    assert [image.step for image in images] == [1, 2, 3]
    with Image.open(tmp_path / "film-samples.png") as sheet:
        assert (images[-1].width, images[-1].height) == sheet.size


@pytest.mark.slow
def test_follow_logs_no_step_twice(pairs: Pairs, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board, output = tmp_path / "board", tmp_path / "film.safetensors"
    list(watcher(pairs, output, board).follow(steps(build(TINY), 3), 3))
    anew = watcher(pairs, output, board).follow(steps(build(TINY), 3), 3)
    for _ in range(5):  # killed in its second epoch
        next(anew)
    anew.close()
    before = [Epoch(1, *LOSSES[0], learning_rate=0.01, seconds=2.0)]
    resumed = Watcher(pairs, split_by_time(pairs.pairs), output, before, device=CPU, board=board)
    going_on = steps(build(TINY), 3)
    for _ in range(3):
        next(going_on)
    list(resumed.follow(going_on, 3))
    events = accumulator.EventAccumulator(str(board)).Reload()
    assert [event.step for event in events.Scalars("loss/step")] == list(range(1, 10))
    assert [event.step for event in events.Scalars("loss/training")] == [1, 2, 3]


def test_follow_without_tensorboard(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    watching = watcher(pairs, tmp_path / "film.safetensors", tmp_path / "board")
    with pytest.raises(OptionError, match="--tensorboard needs the package tensorboard; install"):
        list(watching.follow(steps(build(TINY)), 2))
    assert files_in(tmp_path) == []


def test_follow_refuses_a_board_in_no_folder(pairs: Pairs, tmp_path: Path) -> None:
    watching = watcher(pairs, tmp_path / "film.safetensors", tmp_path / "missing" / "board")
    with pytest.raises(FilmColorizerError, match="missing does not exist"):
        list(watching.follow(steps(build(TINY)), 2))

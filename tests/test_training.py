from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli import recipes, training
from filmcolorizer_cli.batches import Batch
from filmcolorizer_cli.color import resize
from filmcolorizer_cli.configs import Config
from filmcolorizer_cli.errors import FilmColorizerError, TrainingError, WeightsError
from filmcolorizer_cli.extracting import ExtractOptions, extract
from filmcolorizer_cli.history import Epoch, checkpoint_file, history_file, read_history
from filmcolorizer_cli.losses import loss_of
from filmcolorizer_cli.models import find_model, read_model
from filmcolorizer_cli.networks import FilmNetwork, InvertedResidual, Network, autocast, build
from filmcolorizer_cli.pair_evaluation import predict_rgb, read_batch
from filmcolorizer_cli.pairs import Pair, Pairs, read_pairs
from filmcolorizer_cli.recipes import (
    Augmentation,
    TrainingOptions,
    default_options,
    steps_per_epoch,
)
from filmcolorizer_cli.splits import InterleavedSplit, split_by_time
from filmcolorizer_cli.sync import constant_offset
from filmcolorizer_cli.training import Outcome, Step, Trainer, train
from filmcolorizer_cli.video import probe
from filmcolorizer_cli.weights import load, read_tensors, write_tensors
from tests.colors import Color, flat
from tests.machine import file_size_limit, files_in
from tests.networks import CLASSIC, TINY, film_network_of, fresh
from tests.trainings import (
    GROWING,
    PLAIN_OPTIONS,
    SQUARES,
    batch_of,
    options,
    source,
    split_of,
    stills,
)
from tests.values import finished

CPU = torch.device("cpu")
CONFIGS = pytest.mark.parametrize("config", [TINY, CLASSIC], ids=["film", "classic"])
STEPS_PER_EPOCH = 2  # with 8 training pairs in batches of 4


def run(
    config: Config, pairs: Pairs, output: Path, chosen: TrainingOptions, **more: Any
) -> Generator[Step, None, Outcome]:
    network = fresh(config, more.pop("init_seed", 0))
    return train(network, pairs, split_of(pairs), chosen, output, device=CPU, **more)


def run_to_end(*arguments: Any, **more: Any) -> tuple[list[Step], Outcome]:
    """Run a training to its end; return its steps and outcome."""
    return finished(run(*arguments, **more))


class Noise:
    """Batches of four noise pictures, more orange than blue."""

    identity: dict[str, Any] = {"pictures": "noise"}  # noqa: RUF012
    matrix = "bt709"

    def __init__(self, steps_per_epoch: int) -> None:
        self.steps_per_epoch = steps_per_epoch

    def training_batches(self, epoch: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(epoch)
        for _ in range(self.steps_per_epoch):
            both = torch.rand(4, 4, 32, 32, generator=generator)
            orange = both[:, 1:] * torch.tensor([1.0, 0.6, 0.2]).view(3, 1, 1)
            yield both[:, :1], orange, torch.ones(4, 1, 32, 32)

    def validation_batches(self) -> Iterator[Batch]:
        yield next(self.training_batches(0))


def trainer_of(network: Network, batches: Any, chosen: TrainingOptions, tmp_path: Path) -> Trainer:
    checkpoint = tmp_path / "noise.checkpoint.safetensors"
    return Trainer(network, batches, chosen, checkpoint=checkpoint, device=CPU)


def copied(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same_tensors(
    found: dict[str, torch.Tensor],
    expected: dict[str, torch.Tensor],
    *,
    atol: float = 0,
    rtol: float = 0,
) -> None:
    """Assert that tensors are equal, bit for bit unless a tolerance is given."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=atol, rtol=rtol)


@pytest.mark.parametrize("batch_size", [5, 16, 17, 64])
def test_steps_per_epoch_is_what_pair_source_gives(
    batch_size: int, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "PICTURES_PER_EPOCH", 256)
    chosen = options(batch_size=batch_size, augmentation=SQUARES)
    sizes = [
        len(luma)
        for luma, _, _ in source(
            pairs, batch_size=batch_size, augmentation=SQUARES
        ).training_batches(1)
    ]
    assert len(sizes) == steps_per_epoch(8, chosen)
    assert set(sizes[:-1]) == {batch_size}
    assert sizes[-1] > 1
    assert sum(sizes) == 256


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "rate"), [(TINY, 5e-3), (CLASSIC, 2e-3)], ids=["film", "classic"]
)
def test_train_learns_the_colours_of_a_film(
    config: Config, rate: float, pairs: Pairs, tmp_path: Path
) -> None:
    output = tmp_path / "film.safetensors"
    steps, outcome = run_to_end(config, pairs, output, options(epochs=6, learning_rate=rate))
    losses = [step.finished.training_loss for step in steps if step.finished]
    assert losses[-1] < 0.6 * losses[0]
    validation = [epoch.validation_loss for epoch in read_history(output)]
    assert min(validation[1:]) < validation[0]
    assert outcome.trained_share == 1
    assert outcome.validation_mse < outcome.first_validation_mse


@pytest.mark.slow
@CONFIGS
def test_train_yields_each_step_and_writes_all_it_promises(
    config: Config, pairs: Pairs, tmp_path: Path
) -> None:
    output = tmp_path / "my film.safetensors"
    chosen = options(epochs=3, seed=5)
    steps, outcome = run_to_end(config, pairs, output, chosen)
    assert [step.epoch for step in steps] == [1, 1, 2, 2, 3, 3]
    assert [step.finished is not None for step in steps] == [False, True] * 3
    epochs = [step.finished for step in steps if step.finished]
    for number, epoch in enumerate(epochs):
        of_steps = [step.loss for step in steps[2 * number : 2 * number + 2]]
        assert epoch.training_loss == pytest.approx(sum(of_steps) / 2)
    assert files_in(tmp_path) == ["my film.csv", "my film.safetensors"]
    with (tmp_path / "my film.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["epoch", "training_loss", "validation_loss", "learning_rate", "seconds"]
    assert [list(row) for row in rows] == [columns] * 3
    assert [float(row["validation_loss"]) for row in rows] == [e.validation_loss for e in epochs]
    assert read_history(output) == [replace(epoch, seconds=None) for epoch in epochs]
    model = read_model(output)
    best = min(epochs, key=lambda epoch: epoch.validation_loss)
    assert model.about == {
        "description": "the colours of pairs",
        "film": pairs.film,
        "split": {"validation_from_seconds": 2.0, "test_from_seconds": 4.0},
        "training": {
            "epochs": 3,
            "batch_size": 4,
            "learning_rate": 2e-3,
            "seed": 5,
            **PLAIN_OPTIONS,
        },
        "epoch": best.epoch,
        "trained_share": outcome.trained_share,
        "pairs": 8,
        "init": None,
        "lineage": [],
        "history": [asdict(replace(epoch, seconds=None)) for epoch in epochs],
    }
    assert load(model).config == config


def test_train_leaves_alone_what_another_trains(pairs: Pairs, tmp_path: Path) -> None:
    output, chosen = tmp_path / "film.safetensors", options(epochs=1)
    steps = run(CLASSIC, pairs, output, chosen)
    next(steps)
    for resume in (False, True):
        with pytest.raises(FilmColorizerError) as caught:
            next(run(CLASSIC, pairs, output, chosen, resume=resume))
        assert str(caught.value) == (
            f"another filmcolorizer is training {output}; wait for it or stop it, or choose another"
            " place with -o"
        )
    list(steps)
    assert files_in(tmp_path) == ["film.csv", "film.safetensors"]


def test_train_writes_over_no_weights_that_came_meanwhile(pairs: Pairs, tmp_path: Path) -> None:
    """The trained weights are kept in the checkpoint."""
    output, chosen = tmp_path / "film.safetensors", options(epochs=1)
    steps = run(CLASSIC, pairs, output, chosen)
    next(steps)
    output.write_text("others")
    with pytest.raises(FilmColorizerError, match="was meanwhile written by another program"):
        list(steps)
    assert output.read_text() == "others"
    output.unlink()
    run_to_end(CLASSIC, pairs, output, chosen, resume=True)
    assert files_in(tmp_path) == ["film.csv", "film.safetensors"]


def test_train_splits_as_it_is_told(pairs: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "film.safetensors"
    chosen = options(1, learning_rate=0.0)
    split = InterleavedSplit(6)
    steps = train(fresh(CLASSIC), pairs, split, chosen, output, device=CPU)
    assert len(list(steps)) == 3  # 12 pairs in batches of 4
    about = read_model(output).about
    assert (about["split"], about["pairs"]) == ({"every": 6}, 12)


ORANGE, FAINT_ORANGE, BLUE = (204, 128, 51), (140, 128, 116), (51, 128, 204)


def contrary(pairs: Pairs, validation: tuple[int, int, int]) -> Pairs:
    """Paint the training part orange, and the validation part in another colour."""
    for pair in pairs.pairs[:16]:
        color = ORANGE if pair.bw_seconds < 2 else validation
        Image.new("RGB", (43, 32), color).save(pairs.folder / "color" / f"{pair.name}.png")
    return pairs


@pytest.mark.slow
@CONFIGS
def test_train_keeps_the_weights_of_the_best_epoch(
    config: Config, own_pairs: Pairs, tmp_path: Path
) -> None:
    """The validation part is a faint orange, which training first reaches and then overshoots."""
    pairs = contrary(own_pairs, FAINT_ORANGE)
    output = tmp_path / "film.safetensors"
    network = fresh(config)
    states = []
    # With this share, the average is the network itself.
    chosen = options(8, learning_rate=5e-3, averaging_share=0.0)
    for step in train(network, pairs, split_of(pairs), chosen, output, device=CPU):
        if isinstance(step, Step) and step.finished:
            states.append(copied(network))
    losses = [epoch.validation_loss for epoch in read_history(output)]
    best = losses.index(min(losses))
    assert best < 7, "the last epoch should do harm"
    about = read_model(output).about
    assert (about["epoch"], about["trained_share"]) == (best + 1, 1)
    _, saved = read_tensors(output)
    assert_same_tensors(saved, states[best])
    assert not torch.equal(saved["head.weight"], states[-1]["head.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("blend", [False, True])
@CONFIGS
def test_train_keeps_the_first_weights_when_training_does_only_harm(
    config: Config, blend: bool, own_pairs: Pairs, tmp_path: Path
) -> None:
    """The training part is orange, and the validation part blue."""
    pairs = contrary(own_pairs, BLUE)
    output = tmp_path / "film.safetensors"
    network = fresh(config)
    first = copied(network)
    chosen = options(3, blend=blend)
    _, outcome = finished(train(network, pairs, split_of(pairs), chosen, output, device=CPU))
    assert outcome.trained_share == 0
    assert outcome.validation_mse == outcome.first_validation_mse
    assert read_model(output).about["trained_share"] == 0
    assert_same_tensors(read_tensors(output)[1], first)
    assert not torch.equal(network.state_dict()["head.weight"], first["head.weight"])


def says(network: Network, color: tuple[float, float]) -> dict[str, torch.Tensor]:
    """Return weights with which an untrained network predicts this chroma everywhere."""
    return copied(network) | {"head.bias": torch.tensor(color)}


def blueless(share: float) -> Color:
    """Return grey with Cb lowered by ``share / 8`` (ITU-R BT.709-6 item 3.3)."""
    missing = share * 1.8556 / 8
    return 0.5, 0.5 + 0.0722 * missing / 0.7152, 0.5 - missing


def trained_to_say(share: float, pairs: Pairs, tmp_path: Path, **changes: Any) -> Trainer:
    """Return a trainer whose network predicts ``share`` times the true chroma, a Cb of -1/8."""
    color = [round(255 * value) for value in blueless(1)]
    for pair in pairs.pairs:
        Image.new("RGB", (43, 32), tuple(color)).save(pairs.folder / "color" / f"{pair.name}.png")
        Image.new("L", (43, 32), 128).save(pairs.folder / "bw" / f"{pair.name}.png")
    network = fresh(TINY)
    trainer = trainer_of(network, source(pairs), options(1, **changes), tmp_path)
    trainer.best_state = says(network, (-share / 8, 0.0)) | {
        "encoder.stem.1.num_batches_tracked": torch.tensor(7)
    }
    network.load_state_dict(trainer.best_state)
    trainer.history.append(Epoch(1, 0.0, trainer._validation_loss(network), 1e-3, 1.0))
    return trainer


@pytest.mark.usefixtures("all_lit")
@pytest.mark.parametrize(
    ("share", "blend"), [(1, 1.0), (4 / 3, 0.75), (2, 0.5), (4, 0.25), (-1, 0.0), (0.9, 1.0)]
)
def test_finish_blends_as_does_best_on_the_validation_part(
    share: float, blend: float, own_pairs: Pairs, tmp_path: Path
) -> None:
    """The first weights predict neutral, so a blend predicts a share of the trained chroma."""
    trainer = trained_to_say(share, own_pairs, tmp_path, blend=True)
    first = trainer.first_state
    state, outcome = trainer.finish()
    assert outcome.trained_share == blend
    said = max(blend * share, 0.0)
    torch.testing.assert_close(state["head.bias"], torch.tensor((-said / 8, 0.0)))
    if blend < 1:  # batch counts cannot be blended
        assert state["encoder.stem.1.num_batches_tracked"] == 0
    for name, tensor in first.items():
        if tensor.is_floating_point():
            between = tensor + blend * (trainer.best_state[name] - tensor)
            torch.testing.assert_close(state[name], between)
    # The tolerance allows for stills of 8 bits.
    errors = [np.mean((2 * np.subtract(blueless(1), blueless(s))) ** 2) for s in (said, 0.0)]
    assert outcome.validation_mse == pytest.approx(errors[0], rel=0.03, abs=1e-3)
    assert outcome.first_validation_mse == pytest.approx(errors[1], rel=0.03)


@pytest.mark.usefixtures("all_lit")
@pytest.mark.parametrize(("share", "blend"), [(1, 0.7), (2, 0.5), (-1, 0.0)])
def test_finish_takes_no_more_of_the_trained_weights_than_it_may(
    share: float, blend: float, own_pairs: Pairs, tmp_path: Path
) -> None:
    trainer = trained_to_say(share, own_pairs, tmp_path, blend=True, max_trained_share=0.7)
    _, outcome = trainer.finish()
    assert outcome.trained_share == blend


@pytest.mark.slow
@pytest.mark.usefixtures("all_lit")
@pytest.mark.parametrize(
    ("last_share", "blends", "blend", "epoch"),
    [(1, True, 1.0, 2), (2, True, 0.5, 2), (2.5, True, 0.75, 1), (1, False, 1.0, 1)],
)
def test_finish_blends_the_last_weights_as_well_as_the_best(
    last_share: float, blends: bool, blend: float, epoch: int, own_pairs: Pairs, tmp_path: Path
) -> None:
    """The weights of least loss predict 1.3 times the truth; without blending they are kept."""
    trainer = trained_to_say(1.3, own_pairs, tmp_path, blend=blends)
    last = says(trainer.network, (-last_share / 8, 0.0))
    trainer.averaged.load_state_dict(last)
    trainer.history.append(Epoch(2, 0.0, trainer.best.validation_loss + 1, 1e-3, 1.0))
    state, outcome = trainer.finish()
    assert (outcome.trained_share, outcome.epoch) == (blend, epoch)
    said = blend * (last_share if epoch == 2 else 1.3)
    torch.testing.assert_close(state["head.bias"], torch.tensor((-said / 8, 0.0)))


@pytest.mark.usefixtures("all_lit")
@pytest.mark.parametrize(("share", "blend"), [(1.9, 1.0), (2.1, 0.0)])
def test_finish_without_blending_takes_all_or_nothing(
    share: float, blend: float, own_pairs: Pairs, tmp_path: Path
) -> None:
    trainer = trained_to_say(share, own_pairs, tmp_path)
    state, outcome = trainer.finish()
    assert outcome.trained_share == blend
    assert_same_tensors(state, trainer.best_state if blend else trainer.first_state)


@pytest.mark.usefixtures("all_lit")
@pytest.mark.parametrize(
    ("share", "colorfulness_restored", "said"),
    [
        (0.96, 1.0, 1.0),  # the whole shortfall is restored
        (0.96, 0.5, 0.98),
        (0.8, 1.0, 0.88),  # at most a tenth is added
        (1.2, 1.0, 1.2),  # an excess is not reduced
        (2.1, 1.0, 0.0),  # the first weights get no gain
    ],
)
def test_finish_makes_up_for_colourfulness(
    share: float, colorfulness_restored: float, said: float, own_pairs: Pairs, tmp_path: Path
) -> None:
    trainer = trained_to_say(
        share, own_pairs, tmp_path, colorfulness_restored=colorfulness_restored
    )
    state, outcome = trainer.finish()
    expected = torch.tensor((-said / 8, 0.0))
    torch.testing.assert_close(state["head.bias"], expected, rtol=0.01, atol=1e-4)
    kept = trainer.best_state if outcome.trained_share else trainer.first_state
    assert_same_tensors({**state, "head.bias": 0 * expected}, {**kept, "head.bias": 0 * expected})
    error = np.mean((2 * np.subtract(blueless(1), blueless(said))) ** 2)
    assert outcome.validation_mse == pytest.approx(error, rel=0.03, abs=1e-3)


@pytest.mark.usefixtures("all_lit")
def test_finish_makes_up_for_nothing_that_makes_colours_worse_than_at_first(
    own_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trained_to_say(1.9, own_pairs, tmp_path, colorfulness_restored=1.0)
    monkeypatch.setattr(trainer, "_chroma_gain", lambda network: 1.1)  # 2.09 times the truth
    state, outcome = trainer.finish()
    assert_same_tensors(state, trainer.best_state)
    assert outcome.validation_mse < outcome.first_validation_mse


@pytest.mark.slow
@CONFIGS
def test_train_validates_the_weights_as_they_will_be_used(
    config: Config, pairs: Pairs, tmp_path: Path
) -> None:
    """Errors are means over pictures in evaluation mode, independent of the batch size."""
    output = tmp_path / "film.safetensors"
    _, outcome = run_to_end(config, pairs, output, options(2, batch_size=3))
    luma, rgb = (stills(pairs, side, range(9, 17)) for side in ("bw", "color"))
    height, width = config.working_size(pairs.aspect_ratio)
    luma, rgb = (resize(planes * 255, height, width).round() / 255 for planes in (luma, rgb))
    networks = [network.eval() for network in (load(read_model(output)), fresh(config))]
    known = torch.ones_like(luma)
    pictures = list(zip(luma[:, None], rgb[:, None], known[:, None], strict=True))
    with torch.inference_mode(), autocast(CPU):
        loss = sum(loss_of(networks[0], *picture).item() for picture in pictures) / 8
        kept, first = (
            np.mean(
                [4 * (network.predict_rgb(a) - b).square().mean().item() for a, b, _ in pictures]
            )
            for network in networks
        )
    assert min(e.validation_loss for e in read_history(output)) == pytest.approx(loss, rel=2e-3)
    assert kept < 0.99 * first
    assert outcome.validation_mse == pytest.approx(kept, rel=2e-3)
    assert outcome.first_validation_mse == pytest.approx(first, rel=2e-3)


@pytest.mark.usefixtures("all_lit")
def test_finish_validates_where_colours_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prediction for a flat picture is flat, so the unknown half could be cut off."""
    network = film_network_of((0.6, 0.5, 0.45))
    orange, blue = flat((0.62, 0.5, 0.44)), flat((0.1, 0.5, 0.9))
    _, *whole = batch_of(orange, orange)
    _, *half = batch_of(*[torch.cat((orange, blue), dim=2)] * 2)
    half[1][..., 32:] = 0
    found = []
    for rgb, known in (whole, half):
        batches = Noise(steps_per_epoch=1)
        grey = torch.full_like(known, 0.5)
        monkeypatch.setattr(batches, "validation_batches", partial(iter, [(grey, rgb, known)]))
        trainer = trainer_of(network, batches, options(1, colorfulness_restored=0.4), tmp_path)
        found.append(
            (
                trainer._validation_loss(network),
                trainer._validation_mse(network),
                trainer._chroma_gain(network),
            )
        )
    assert found[1] == pytest.approx(found[0], rel=2e-3)
    assert 1.02 < found[0][2] < 1.1


def test_run_validates_and_keeps_the_average_of_the_last_weights(
    tmp_path: Path,
) -> None:
    """It reaches two of eight steps back: each new state counts half. Statistics are included."""
    network, batches = fresh(TINY), Noise(steps_per_epoch=8)
    chosen = options(1, learning_rate=2e-2, averaging_share=1 / 4)
    trainer = trainer_of(network, batches, chosen, tmp_path)
    states = []
    for _ in trainer.run():
        states.append(copied(network))
    floating = {name for name, tensor in states[0].items() if tensor.is_floating_point()}
    assert "encoder.stem.1.running_var" in floating
    average = {name: states[0][name] for name in floating}
    for state in states[1:]:
        average = {name: (average[name] + state[name]) / 2 for name in floating}
    found = {name: trainer.best_state[name] for name in floating}
    assert_same_tensors(found, average, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(found["head.weight"], states[-1]["head.weight"], atol=1e-5)
    averaged = fresh(TINY)
    averaged.load_state_dict(trainer.best_state)
    [validation] = batches.validation_batches()
    with torch.inference_mode(), autocast(CPU):
        of_average, of_last = (loss_of(n.eval(), *validation).item() for n in (averaged, network))
    assert of_last != pytest.approx(of_average, rel=2e-3)
    assert trainer.history[-1].validation_loss == pytest.approx(of_average, rel=2e-4)


def test_trainer_leaves_out_as_much_as_its_options_tell(tmp_path: Path) -> None:
    network = fresh(TINY)
    assert isinstance(network, FilmNetwork)
    chosen = options(1, path_drop_rate=0.2, feature_drop_rate=0.1)
    trainer_of(network, Noise(steps_per_epoch=1), chosen, tmp_path)
    assert network.feature_drop_rate == 0.1
    *_, last = (m for m in network.encoder.modules() if isinstance(m, InvertedResidual))
    assert 0.15 < last.drop_rate < 0.2


def test_run_keeps_the_very_weights_of_classic(tmp_path: Path) -> None:
    network, chosen = fresh(CLASSIC), options(1, averaging_share=1 / 4)
    trainer = trainer_of(network, Noise(steps_per_epoch=8), chosen, tmp_path)
    list(trainer.run())
    assert_same_tensors(trainer.best_state, network.state_dict())


@pytest.mark.slow
def test_run_warms_up_holds_and_cools_the_rate_of_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20 steps, two warm up and eight cool down; the encoder has a quarter of the rate."""
    monkeypatch.setattr(training, "WARMUP_STEPS", 200)
    monkeypatch.setattr(training, "ENCODER_LEARNING_RATE_SHARE", 0.25)
    chosen = options(2, learning_rate=1e-3, cooldown_share=0.4)
    trainer = trainer_of(fresh(TINY), Noise(steps_per_epoch=10), chosen, tmp_path)
    rates, of_epochs = [], []
    for step in trainer.run():
        rates.append([group["lr"] for group in trainer.optimizer.param_groups])
        if step.finished:
            of_epochs.append(step.finished.learning_rate)
    shares = [1 / 3, 2 / 3, *[1.0] * 11, *(n / 8 for n in range(7, 0, -1))]
    assert [of_decoder for _, of_decoder in rates] == pytest.approx([1e-3 * s for s in shares])
    assert [of_encoder for of_encoder, _ in rates] == pytest.approx([25e-5 * s for s in shares])
    assert of_epochs == pytest.approx([1e-3, 1e-3 / 8])


def test_run_warms_up_no_longer_than_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "WARMUP_STEPS", 1)
    chosen = options(10, learning_rate=1e-3)
    trainer = trainer_of(fresh(TINY), Noise(steps_per_epoch=10), chosen, tmp_path)
    rates = []
    for _ in zip(range(3), trainer.run(), strict=False):
        rates.append(trainer.optimizer.param_groups[-1]["lr"])
    assert rates == pytest.approx([0.5e-3, 1e-3, 1e-3])


@pytest.mark.parametrize("stages", [0, 2])
def test_run_leaves_frozen_stages_as_they_were(stages: int, tmp_path: Path) -> None:
    """The stem and these stages keep their weights and statistics; everything else learns."""
    network = fresh(TINY)
    assert isinstance(network, FilmNetwork)
    before = copied(network)
    chosen = options(1, frozen_stages=stages)
    trainer = trainer_of(network, Noise(steps_per_epoch=5), chosen, tmp_path)
    list(trainer.run())
    parts = ("stem.", "stages.0.", "stages.1.") if stages else ()
    frozen = {n for n in before if n.removeprefix("encoder.").startswith(parts)}
    # A weight and a batch norm's five for the stem, and for 2 and 2 * 3 layers of the stages.
    assert len(frozen) == (6 * (1 + 2 + 2 * 3) if stages else 0)
    for state in (network.state_dict(), trainer.best_state):
        changed = {name for name in before if not torch.equal(state[name], before[name])}
        assert changed == before.keys() - frozen


def test_train_keeps_the_rate_of_classic(pairs: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "film.safetensors"
    list(run(CLASSIC, pairs, output, options(3, learning_rate=1e-4)))
    assert [epoch.learning_rate for epoch in read_history(output)] == [1e-4] * 3


def assert_same_result(one: Path, other: Path) -> None:
    """Assert that two trainings have the same weights, bit for bit, metadata and history."""
    (metadata, tensors), (other_metadata, others) = read_tensors(one), read_tensors(other)
    assert metadata == other_metadata
    assert_same_tensors(tensors, others)
    histories = [
        [(e.epoch, e.training_loss, e.validation_loss, e.learning_rate) for e in read_history(path)]
        for path in (one, other)
    ]
    assert histories[0] == histories[1]


# The weights are averaged over two of the six steps.
THREE_EPOCHS: dict[str, tuple[Config, TrainingOptions]] = {
    "film": (TINY, options(3, averaging_share=1 / 3)),
    "film-own": (
        TINY,
        options(
            3,
            averaging_share=1 / 3,
            augmentation=replace(GROWING, stretch=0.2, patched_share=0.5, max_patch=0.5),
            frozen_stages=2,
            blend=True,
            path_drop_rate=0.2,
            feature_drop_rate=0.2,
            shot_balance=0.5,
        ),
    ),
    "classic": (CLASSIC, options(3, averaging_share=1 / 3)),
}


@contextmanager
def eight_pictures_an_epoch() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "PICTURES_PER_EPOCH", 8)
        yield


@pytest.fixture(scope="module", params=THREE_EPOCHS)
def whole(
    request: pytest.FixtureRequest, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, TrainingOptions, Path, Outcome]:
    """An uninterrupted training of three epochs."""
    config, chosen = THREE_EPOCHS[request.param]
    output = tmp_path_factory.mktemp("whole") / "film.safetensors"
    with eight_pictures_an_epoch():
        _, outcome = run_to_end(config, pairs, output, chosen)
    return config, chosen, output, outcome


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [3, 4, 6], ids=["mid-epoch", "between", "at-the-end"])
def test_train_resumed_is_identical_to_uninterrupted(
    stop_after: int,
    whole: tuple[Config, TrainingOptions, Path, Outcome],
    pairs: Pairs,
    tmp_path: Path,
) -> None:
    config, chosen, uninterrupted, outcome = whole
    stopped = tmp_path / "film.safetensors"
    with eight_pictures_an_epoch():
        steps = run(config, pairs, stopped, chosen)
        for _ in range(stop_after):
            next(steps)
        steps.close()
        assert not stopped.exists()
        history_file(stopped).unlink()  # as if killed before this was written
        # The resumed run's first weights do not matter, nor does torch's random state.
        resumed, same = run_to_end(config, pairs, stopped, chosen, resume=True, init_seed=9)
    epochs_done = stop_after // STEPS_PER_EPOCH
    assert [step.epoch for step in resumed] == [
        epoch for epoch in range(epochs_done + 1, 4) for _ in range(STEPS_PER_EPOCH)
    ]
    assert same == outcome
    assert_same_result(stopped, uninterrupted)
    assert files_in(tmp_path) == ["film.csv", "film.safetensors"]


def test_load_checkpoint_takes_up_average_and_first_weights(tmp_path: Path) -> None:
    chosen = options(2, averaging_share=1 / 2)
    stopped = trainer_of(fresh(TINY), Noise(steps_per_epoch=4), chosen, tmp_path)
    for _ in zip(range(4), stopped.run(), strict=False):
        pass
    resumed = trainer_of(fresh(TINY, seed=9), Noise(steps_per_epoch=4), chosen, tmp_path)
    assert not torch.equal(
        resumed.first_state["encoder.stem.0.weight"], stopped.first_state["encoder.stem.0.weight"]
    )
    resumed.load_checkpoint()
    assert_same_tensors(resumed.first_state, stopped.first_state)
    assert_same_tensors(resumed.best_state, stopped.best_state)
    assert_same_tensors(resumed.average.state_dict(), stopped.average.state_dict())
    assert_same_tensors(resumed.network.state_dict(), stopped.network.state_dict())
    trained, average = stopped.network.state_dict(), stopped.average.module.state_dict()
    assert not torch.equal(trained["head.weight"], average["head.weight"])


def squared_errors(pairs: Pairs, chosen: list[Pair], network: Network) -> np.ndarray:
    """Return the mean squared error of each predicted picture, on R'G'B' in [0, 1]."""
    errors = []
    for begin in range(0, len(chosen), 32):
        luma, truth, _ = read_batch(pairs, chosen[begin : begin + 32], network)
        output = predict_rgb(network.eval(), luma, pairs.aspect_ratio, CPU)
        errors.append(np.square(output.numpy() - truth.numpy()).mean(axis=(1, 2, 3)))
    return np.concatenate(errors)


@pytest.mark.slow
def test_train_on_a_handful_of_stills_helps_and_does_not_ruin_the_rest(
    shared_data: Path, tmp_path: Path
) -> None:
    """Eight stills of as many shots, from two minutes of a ten-minute film, have true colours.

    The other stills are deleted, as after painting a few by hand. Eight of the default 16 epochs
    are enough.
    """
    film = probe(shared_data / "film" / "big_buck_bunny_360p.mp4")
    every_still = ExtractOptions(every=48, size=96)
    folder = tmp_path / "pairs"
    list(extract(None, film, constant_offset(film, film, 0), folder, every_still))
    everything = read_pairs(folder)
    shots: dict[int, list[Pair]] = {}
    for pair in everything.pairs:
        if 60 <= pair.bw_seconds < 180:
            shots.setdefault(pair.shot, []).append(pair)
    long_shots = [shot for shot in shots.values() if len(shot) > 1]
    assert len(long_shots) >= 8
    painted = [long_shots[index * len(long_shots) // 8][0] for index in range(8)]
    handful = tmp_path / "handful"
    shutil.copytree(folder, handful)
    for pair in everything.pairs:
        if pair not in painted:
            for side in ("bw", "color"):
                (handful / side / f"{pair.name}.png").unlink()
    few = read_pairs(handful)
    assert list(few.pairs) == painted
    split = split_by_time(few.pairs)
    trained_shots = {pair.shot for pair in few.part("train", split)}
    assert len(trained_shots) == len(few.part("train", split)) >= 5

    shipped = load(find_model("default"))
    network = build(replace(shipped.config, size=96))
    network.load_state_dict(shipped.state_dict())
    suitable = default_options("film", len(trained_shots), is_pretrained=True, shows_all=False)
    chosen, output = replace(suitable, epochs=8), tmp_path / "film.safetensors"
    list(train(network, few, split, chosen, output, device=CPU))
    own = load(read_model(output))

    others = [pair for pair in everything.pairs if pair not in painted]
    is_near = np.array([pair.shot in trained_shots for pair in others])
    assert is_near.sum() >= 8
    before, after = (squared_errors(everything, others, n) for n in (shipped, own))
    assert after[is_near].mean() < 0.75 * before[is_near].mean()
    assert after[~is_near].mean() < 0.95 * before[~is_near].mean()


@pytest.mark.slow
@pytest.mark.parametrize("augmentation", [None, SQUARES])
def test_train_depends_on_the_seed(
    augmentation: Augmentation | None, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "PICTURES_PER_EPOCH", 8)
    results = []
    for seed in (1, 1, 2):
        network, chosen = fresh(TINY), options(1, seed=seed, augmentation=augmentation)
        output = tmp_path / "film.safetensors"
        list(train(network, pairs, split_of(pairs), chosen, output, device=CPU))
        results.append(network.state_dict()["head.weight"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.fixture
def interrupted(pairs: Pairs, tmp_path: Path) -> Path:
    """The target of an interrupted training with the default `options`."""
    output = tmp_path / "film.safetensors"
    steps = run(TINY, pairs, output, options())
    for _ in range(STEPS_PER_EPOCH):
        next(steps)
    steps.close()
    assert files_in(tmp_path) == ["film.checkpoint.safetensors", "film.csv"]
    return output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 5}, "epochs 4, not 5"),
        ({"batch_size": 8}, "batch_size 4, not 8"),
        ({"learning_rate": 1e-3}, "learning_rate 0.002, not 0.001"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"augmentation": SQUARES}, f"augmentation None, not {asdict(SQUARES)}"),
        ({"frozen_stages": 2}, "frozen_stages 0, not 2"),
        ({"blend": True}, "blend False, not True"),
    ],
)
def test_train_refuses_to_resume_with_other_options(
    changes: dict[str, Any], words: str, pairs: Pairs, interrupted: Path
) -> None:
    checkpoint = checkpoint_file(interrupted)
    before = checkpoint.read_bytes()
    with pytest.raises(TrainingError) as caught:
        list(run(TINY, pairs, interrupted, options(**changes), resume=True))
    assert str(caught.value) == (
        f"the interrupted training in {checkpoint} was started with {words}; resume it with the"
        " same pairs, --init and other options, or start over with --overwrite"
    )
    assert checkpoint.read_bytes() == before


def test_train_refuses_to_resume_with_other_pairs(pairs: Pairs, interrupted: Path) -> None:
    """Other pairs are reported before other options, since options may follow from the pairs."""
    fewer = replace(pairs, pairs=pairs.pairs[1:])
    with pytest.raises(TrainingError, match=r"training pairs (\d+), not \d+; resume it with"):
        list(run(TINY, fewer, interrupted, options(epochs=9), resume=True))


def test_train_refuses_to_resume_with_a_still_painted_over(
    own_pairs: Pairs, tmp_path: Path
) -> None:
    output = tmp_path / "film.safetensors"
    steps = run(TINY, own_pairs, output, options())
    for _ in range(STEPS_PER_EPOCH):
        next(steps)
    steps.close()
    Image.new("RGB", (43, 32), (255, 0, 0)).save(own_pairs.folder / "color" / "000001.png")
    with pytest.raises(TrainingError, match=r"started with checksum of the pictures \d+, not \d+"):
        list(run(TINY, own_pairs, output, options(), resume=True))


def test_train_anew_forgets_an_interrupted_training(pairs: Pairs, interrupted: Path) -> None:
    next(run(TINY, pairs, interrupted, options(seed=3)))
    assert not checkpoint_file(interrupted).exists()


def test_train_refuses_to_resume_at_another_size(pairs: Pairs, interrupted: Path) -> None:
    larger = replace(TINY, size=TINY.size * 2)
    with pytest.raises(TrainingError, match=r"started with picture size \d+x\d+, not \d+x\d+;"):
        list(run(larger, pairs, interrupted, options(), resume=True))


def test_train_refuses_to_resume_another_network(pairs: Pairs, interrupted: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        list(run(CLASSIC, pairs, interrupted, options(), resume=True))
    assert str(caught.value) == (
        f"the interrupted training in {checkpoint_file(interrupted)} was started with arch film,"
        " not classic; resume it with the same pairs, --init and other options, or start over with"
        " --overwrite"
    )


def test_train_refuses_to_resume_from_a_damaged_checkpoint(pairs: Pairs, interrupted: Path) -> None:
    checkpoint = checkpoint_file(interrupted)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"cannot read the weights in .*film\.checkpoint"):
        list(run(TINY, pairs, interrupted, options(), resume=True))


def test_train_refuses_to_resume_what_never_began(pairs: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "film.safetensors"
    with pytest.raises(TrainingError) as caught:
        list(run(TINY, pairs, output, options(), resume=True))
    assert str(caught.value) == (
        "there is no interrupted training to resume:"
        f" {tmp_path}/film.checkpoint.safetensors does not exist; start one without --resume"
    )
    assert files_in(tmp_path) == []


@CONFIGS
def test_train_tells_when_the_loss_is_no_number(
    config: Config, pairs: Pairs, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError) as caught:
        chosen = options(learning_rate=1e30, batch_size=2)
        list(run(config, pairs, tmp_path / "film.safetensors", chosen))
    message = str(caught.value)
    assert message.startswith("the loss became ")
    assert message.split()[3] in {"nan", "inf"}
    assert message.endswith(" in epoch 1; start again with a lower --lr than 1e+30")
    assert files_in(tmp_path) == []


def test_train_tells_when_the_validation_loss_is_no_number(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its history would pass for one of usable weights."""
    monkeypatch.setattr(Trainer, "_validation_loss", lambda trainer, network: math.inf)
    with pytest.raises(TrainingError, match=r"^the loss became inf in epoch 1; start again with"):
        list(run(TINY, pairs, tmp_path / "film.safetensors", options()))


def test_train_on_a_full_disk_leaves_no_half_file(pairs: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "film.safetensors"
    with file_size_limit(100_000), pytest.raises(FilmColorizerError) as caught:
        list(run(TINY, pairs, output, options()))
    assert "cannot write " in str(caught.value)
    assert "make room there" in str(caught.value)
    assert files_in(tmp_path) == []


def test_train_tells_of_a_damaged_still(own_pairs: Pairs, tmp_path: Path) -> None:
    (own_pairs.folder / "color" / "000010.png").write_bytes(b"")
    with pytest.raises(FilmColorizerError, match=r"000010\.png cannot be read as a picture"):
        list(run(TINY, own_pairs, tmp_path / "film.safetensors", options()))


def test_train_follows_a_hand_painted_still(own_pairs: Pairs) -> None:
    Image.new("RGB", (86, 64), (255, 0, 0)).save(own_pairs.folder / "color" / "000001.png")
    _, rgb, _ = source(own_pairs).training
    assert rgb[0].float().mean(dim=(1, 2)).tolist() == [255, 0, 0]


def test_checkpoint_holds_its_options_and_history_in_the_open(interrupted: Path) -> None:
    metadata, tensors = read_tensors(checkpoint_file(interrupted))
    begun_with = json.loads(metadata["begun_with"])
    options_and_arch = {
        "arch": "film",
        "epochs": 4,
        "batch_size": 4,
        "learning_rate": 2e-3,
        "seed": 0,
        **PLAIN_OPTIONS,
    }
    assert begun_with.items() >= options_and_arch.items()
    assert begun_with.keys() - options_and_arch.keys() == {
        "training pairs",
        "validation pairs",
        "picture size",
        "checksum of the pictures",
        "--init",
    }
    [epoch] = json.loads(metadata["history"])
    assert epoch["epoch"] == 1
    kinds = {name.split(".")[0] for name in tensors}
    assert kinds == {"network", "average", "first", "best", "optimizer"}
    first = {k.removeprefix("first."): v for k, v in tensors.items() if k.startswith("first.")}
    assert_same_tensors(first, fresh(TINY).state_dict())


def test_train_refuses_to_resume_from_an_older_checkpoint(pairs: Pairs, interrupted: Path) -> None:
    """The older checkpoint lacks the first weights and the average."""
    checkpoint = checkpoint_file(interrupted)
    metadata, tensors = read_tensors(checkpoint)
    older = {k: v for k, v in tensors.items() if not k.startswith(("first.", "average."))}
    write_tensors(checkpoint, older, metadata)
    with pytest.raises(TrainingError) as caught:
        list(run(TINY, pairs, interrupted, options(), resume=True))
    assert str(caught.value) == (
        f"the checkpoint {checkpoint} does not fit this training; resume with the same pairs and"
        " --arch as it was started with, or start over with --overwrite"
    )

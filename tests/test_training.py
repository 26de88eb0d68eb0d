from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli.color import resize
from filmcolorizer_cli.errors import FilmColorizerError, TrainingError, WeightsError
from filmcolorizer_cli.networks import ClassicConfig, Config, Network, autocast, build
from filmcolorizer_cli.pairs import Pairs, Split, split_by_time
from filmcolorizer_cli.training import (
    DEFAULT_OPTIONS,
    PairSource,
    Step,
    TrainingOptions,
    checkpoint_file,
    classic_loss,
    film_loss,
    history_file,
    loss_of,
    read_history,
    train,
)
from filmcolorizer_cli.weights import load, read_model, read_tensors
from tests.conftest import TINY, file_size_limit, files_in

CPU = torch.device("cpu")
CLASSIC = ClassicConfig(size=32)
CONFIGS = pytest.mark.parametrize("config", [TINY, CLASSIC], ids=["film", "classic"])
STEPS_PER_EPOCH = 2  # with 8 training pairs in batches of 4


def options(epochs: int = 4, **changes: Any) -> TrainingOptions:
    return TrainingOptions(**{"epochs": epochs, "batch_size": 4, "learning_rate": 2e-3, **changes})


def fresh(config: Config, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return build(config)


def split_of(pairs: Pairs) -> Split:
    return split_by_time(pairs.pairs)


def run(
    config: Config, pairs: Pairs, output: Path, chosen: TrainingOptions, **more: Any
) -> Iterator[Step]:
    network = fresh(config, more.pop("init_seed", 0))
    return train(network, pairs, split_of(pairs), chosen, output, device=CPU, **more)


def source(pairs: Pairs, *, flips: bool = False, **changes: Any) -> PairSource:
    return PairSource(pairs, split_of(pairs), options(**changes), height=32, width=43, flips=flips)


def stills(pairs: Pairs, side: str, numbers: range) -> torch.Tensor:
    """Stills (N, C, 32, 43) in [0, 1], read by Pillow."""
    arrays = [np.array(Image.open(pairs.folder / side / f"{n:06d}.png")) for n in numbers]
    channels_last = torch.from_numpy(np.stack(arrays).reshape(len(numbers), 32, 43, -1))
    return channels_last.permute(0, 3, 1, 2) / 255


def indices(pictures: torch.Tensor, among: torch.Tensor) -> list[int]:
    """Which of some pictures these are."""
    return [
        next(i for i, other in enumerate(among) if torch.equal(picture, other))
        for picture in pictures
    ]


def test_pair_source_gives_each_training_pair_once_an_epoch(pairs: Pairs) -> None:
    grey, color = (stills(pairs, side, range(1, 9)) for side in ("bw", "color"))
    orders = []
    for epoch in (1, 2):
        batches = list(source(pairs).training_batches(epoch))
        assert [len(luma) for luma, _ in batches] == [4, 4]
        order = indices(torch.cat([luma for luma, _ in batches]), grey)
        assert indices(torch.cat([rgb for _, rgb in batches]), color) == order
        assert sorted(order) == list(range(8))
        orders.append(order)
    assert orders[0] != orders[1]


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(2, [2, 2, 2, 2]), (3, [3, 3, 2]), (5, [5, 3]), (7, [8]), (8, [8]), (64, [8])],
)
def test_pair_source_leaves_no_pair_alone_in_a_batch(
    batch_size: int, sizes: list[int], pairs: Pairs
) -> None:
    chosen = source(pairs, batch_size=batch_size)
    assert [len(luma) for luma, _ in chosen.training_batches(1)] == sizes
    assert chosen.steps_per_epoch == len(sizes)


def test_pair_source_refuses_a_single_training_pair(pairs: Pairs) -> None:
    with pytest.raises(TrainingError) as caught:
        PairSource(pairs, Split(0.25, 4.0), options(), height=32, width=43, flips=False)
    assert str(caught.value) == (
        f"the train part of the pairs in {pairs.folder} holds a single pair, and training needs"
        " two or more; extract more stills with --every, or give another --split"
    )


def test_pair_source_validates_on_the_second_part_in_order(pairs: Pairs) -> None:
    luma, rgb = (torch.cat(part) for part in zip(*source(pairs).validation_batches(), strict=True))
    assert torch.equal(luma, stills(pairs, "bw", range(9, 17)))
    assert torch.equal(rgb, stills(pairs, "color", range(9, 17)))


def test_pair_source_depends_on_seed_and_epoch_alone(pairs: Pairs) -> None:
    def batches(epoch: int, seed: int) -> torch.Tensor:
        torch.rand(3)  # what else was drawn before does not matter
        chosen = source(pairs, flips=True, seed=seed)
        return torch.cat([luma for luma, _ in chosen.training_batches(epoch)])

    assert torch.equal(batches(3, 7), batches(3, 7))
    assert not torch.equal(batches(3, 7), batches(3, 8))


def test_pair_source_mirrors_half_of_the_batches(pairs: Pairs) -> None:
    grey, color = (stills(pairs, side, range(1, 9)) for side in ("bw", "color"))
    both_ways = torch.cat((grey, grey.flip(-1)))
    mirrored = []
    for epoch in range(1, 31):
        for luma, rgb in source(pairs, flips=True).training_batches(epoch):
            found = indices(luma, both_ways)
            assert len({index >= 8 for index in found}) == 1, "a batch is mirrored as a whole"
            mirrored.append(found[0] >= 8)
            expected = color[[index % 8 for index in found]]
            assert torch.equal(rgb, expected.flip(-1) if mirrored[-1] else expected)
    assert 20 <= sum(mirrored) <= 40  # of 60


def test_pair_source_keeps_stills_as_bytes(pairs: Pairs) -> None:
    for part in (source(pairs).training, source(pairs).validation):
        assert [tensor.dtype for tensor in part] == [torch.uint8, torch.uint8]


def test_film_loss_by_hand() -> None:
    """An untrained network says neutral, so the error is the truth itself."""
    network = fresh(TINY).eval()
    rgb = torch.tensor([[0.9, 0.3, 0.2], [0.5, 0.5, 0.5], [0.5, 0.52, 0.55]])
    expected = []
    for red, green, blue in rgb.tolist():
        luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # BT.709-6 item 3.2
        chroma = (blue - luma) / 1.8556, (red - luma) / 1.5748  # item 3.3
        errors = [c * c / 0.1 if abs(c) < 0.05 else abs(c) - 0.025 for c in chroma]
        expected.append(sum(errors) * (1 + 15 * math.hypot(*chroma)))
    assert expected[1] == 0 < expected[2] < 0.01 < 0.1 < expected[0]
    pictures = rgb[:, :, None, None].expand(-1, -1, 32, 32)
    losses = [film_loss(network, torch.rand(1, 1, 32, 32), p[None]).item() for p in pictures]
    assert losses == pytest.approx(expected, rel=1e-4, abs=1e-9)
    together = film_loss(network, torch.rand(3, 1, 32, 32), pictures)
    assert together.item() == pytest.approx(sum(expected) / 3, rel=1e-4)


def test_classic_loss_by_hand() -> None:
    network = fresh(CLASSIC)
    torch.nn.init.zeros_(network.head.weight)
    network.head.bias = torch.nn.Parameter(torch.tensor([0.5, 0.0, -0.5]))
    rgb = torch.tensor([1.0, 0.5, 0.0])[None, :, None, None].expand(2, -1, 32, 32)
    # On [-1, 1] the truth is 1, 0, -1 and the output 0.5, 0, -0.5.
    loss = classic_loss(network, torch.rand(2, 1, 32, 32), rgb)
    assert loss.item() == pytest.approx((0.25 + 0 + 0.25) / 3)


def test_default_options_of_classic_are_those_of_2020() -> None:
    assert DEFAULT_OPTIONS["classic"].learning_rate == 1e-4
    assert set(DEFAULT_OPTIONS) == {"film", "classic"}


@CONFIGS
def test_train_learns_the_colours_of_a_film(config: Config, pairs: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "film.safetensors"
    steps = list(run(config, pairs, output, options(epochs=6)))
    losses = [step.finished.training_loss for step in steps if step.finished]
    assert losses[-1] < 0.5 * losses[0]
    validation = [epoch.validation_loss for epoch in read_history(output)]
    assert min(validation[1:]) < validation[0]


@CONFIGS
def test_train_yields_each_step_and_writes_all_it_promises(
    config: Config, pairs: Pairs, tmp_path: Path
) -> None:
    output = tmp_path / "my film.safetensors"
    chosen = options(epochs=3, seed=5)
    steps = list(run(config, pairs, output, chosen))
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
    assert read_history(output) == epochs
    model = read_model(output)
    best = min(epochs, key=lambda epoch: epoch.validation_loss)
    assert model.about == {
        "description": "the colours of pairs",
        "film": pairs.film,
        "split": {"validation_from_seconds": 2.0, "test_from_seconds": 4.0},
        "training": {"epochs": 3, "batch_size": 4, "learning_rate": 2e-3, "seed": 5},
        "best_epoch": best.epoch,
        "pairs": 8,
    }
    assert load(model).config == config


def contrary(pairs: Pairs) -> Pairs:
    """Paint what is trained on orange and what is validated on blue: training does only harm."""
    for pair in pairs.pairs[:16]:
        color = (204, 128, 51) if pair.bw_seconds < 2 else (51, 128, 204)
        Image.new("RGB", (43, 32), color).save(pairs.folder / "color" / f"{pair.name}.png")
    return pairs


@CONFIGS
def test_train_keeps_the_weights_of_the_best_epoch(
    config: Config, own_pairs: Pairs, tmp_path: Path
) -> None:
    pairs = contrary(own_pairs)
    output = tmp_path / "film.safetensors"
    network = fresh(config)
    states = []
    for step in train(network, pairs, split_of(pairs), options(5), output, device=CPU):
        if step.finished:
            states.append({k: v.clone() for k, v in network.state_dict().items()})
    losses = [epoch.validation_loss for epoch in read_history(output)]
    best = losses.index(min(losses))
    assert best < 4, "the last epoch should do harm"
    assert read_model(output).about["best_epoch"] == best + 1
    _, saved = read_tensors(output)
    assert saved.keys() == states[best].keys()
    assert all(torch.equal(saved[name], states[best][name]) for name in saved)
    assert not torch.equal(saved["head.weight"], states[-1]["head.weight"])


@CONFIGS
def test_train_validates_the_weights_as_they_will_be_used(
    config: Config, pairs: Pairs, tmp_path: Path
) -> None:
    """In evaluation mode, as a mean over the pictures, however they were batched."""
    output = tmp_path / "film.safetensors"
    list(run(config, pairs, output, options(2, batch_size=3)))
    luma, rgb = (stills(pairs, side, range(9, 17)) for side in ("bw", "color"))
    height, width = config.working_size(pairs.aspect_ratio)
    luma, rgb = (resize(planes * 255, height, width).round() / 255 for planes in (luma, rgb))
    network = load(read_model(output))
    with torch.inference_mode(), autocast(CPU):
        losses = [
            loss_of(network, *p).item() for p in zip(luma[:, None], rgb[:, None], strict=True)
        ]
    best = min(epoch.validation_loss for epoch in read_history(output))
    assert best == pytest.approx(sum(losses) / 8, rel=2e-3)


def test_train_anneals_the_rate_of_film_along_a_cosine(pairs: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "film.safetensors"
    list(run(TINY, pairs, output, options(4, learning_rate=1e-3)))
    last_steps = [STEPS_PER_EPOCH * epoch - 1 for epoch in (1, 2, 3, 4)]
    expected = [1e-3 * (0.5 + 0.5 * math.cos(math.pi * step / 8)) for step in last_steps]
    rates = [epoch.learning_rate for epoch in read_history(output)]
    assert rates == pytest.approx(expected)


def test_train_keeps_the_rate_of_classic(pairs: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "film.safetensors"
    list(run(CLASSIC, pairs, output, options(3, learning_rate=1e-4)))
    assert [epoch.learning_rate for epoch in read_history(output)] == [1e-4] * 3


def assert_same_result(one: Path, other: Path) -> None:
    """Both trainings gave the same weights, to the bit, by the same way."""
    (metadata, tensors), (other_metadata, others) = read_tensors(one), read_tensors(other)
    assert metadata == other_metadata
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    histories = [
        [(e.epoch, e.training_loss, e.validation_loss, e.learning_rate) for e in read_history(path)]
        for path in (one, other)
    ]
    assert histories[0] == histories[1]


@pytest.fixture(scope="module", params=[TINY, CLASSIC], ids=["film", "classic"])
def whole(
    request: pytest.FixtureRequest, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, Path]:
    """An uninterrupted training of three epochs."""
    output = tmp_path_factory.mktemp("whole") / "film.safetensors"
    list(run(request.param, pairs, output, options(epochs=3)))
    return request.param, output


@pytest.mark.parametrize("stop_after", [3, 4, 6], ids=["mid-epoch", "between", "at-the-end"])
def test_train_resumed_is_identical_to_uninterrupted(
    stop_after: int, whole: tuple[Config, Path], pairs: Pairs, tmp_path: Path
) -> None:
    config, uninterrupted = whole
    stopped = tmp_path / "film.safetensors"
    steps = run(config, pairs, stopped, options(epochs=3))
    for _ in range(stop_after):
        next(steps)
    steps.close()
    assert not stopped.exists()
    history_file(stopped).unlink()  # as if the kill had come before it
    # The first weights of the resumed run do not matter, nor does what torch has drawn since.
    resumed = run(config, pairs, stopped, options(epochs=3), resume=True, init_seed=9)
    epochs_done = stop_after // STEPS_PER_EPOCH
    assert [step.epoch for step in resumed] == [
        epoch for epoch in range(epochs_done + 1, 4) for _ in range(STEPS_PER_EPOCH)
    ]
    assert_same_result(stopped, uninterrupted)
    assert files_in(tmp_path) == ["film.csv", "film.safetensors"]


def test_train_depends_on_the_seed(pairs: Pairs, tmp_path: Path) -> None:
    results = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        output = tmp_path / f"{name}.safetensors"
        list(run(TINY, pairs, output, options(1, seed=seed)))
        results.append(read_tensors(output)[1]["head.weight"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.fixture
def interrupted(pairs: Pairs, tmp_path: Path) -> Path:
    """Where an interrupted training with the default `options` would have put its weights."""
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
        " same options, or start anew with --overwrite"
    )
    assert checkpoint.read_bytes() == before


def test_train_refuses_to_resume_with_other_pairs(pairs: Pairs, interrupted: Path) -> None:
    fewer = replace(pairs, pairs=pairs.pairs[1:])
    with pytest.raises(TrainingError, match=r"training pairs (\d+), not \d+; resume it with"):
        list(run(TINY, fewer, interrupted, options(), resume=True))


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
        " not classic; resume it with the same options, or start anew with --overwrite"
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
    _, rgb = source(own_pairs).training
    assert rgb[0].float().mean(dim=(1, 2)).tolist() == [255, 0, 0]


def test_checkpoint_holds_its_options_and_history_in_the_open(interrupted: Path) -> None:
    metadata, _ = read_tensors(checkpoint_file(interrupted))
    begun_with = json.loads(metadata["begun_with"])
    options_and_arch = {"epochs": 4, "batch_size": 4, "learning_rate": 2e-3, "seed": 0} | {
        "arch": "film"
    }
    assert begun_with.items() >= options_and_arch.items()
    assert begun_with.keys() - options_and_arch.keys() == {
        "training pairs",
        "validation pairs",
        "picture size",
        "checksum of the pictures",
    }
    [epoch] = json.loads(metadata["history"])
    assert epoch["epoch"] == 1

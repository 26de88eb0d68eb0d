from __future__ import annotations

import csv
import json
import math
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli import training
from filmcolorizer_cli.color import resize, rgb_to_ycbcr
from filmcolorizer_cli.errors import FilmColorizerError, TrainingError, WeightsError
from filmcolorizer_cli.evaluation import predict_rgb, read_batch
from filmcolorizer_cli.networks import (
    ClassicConfig,
    Config,
    FilmNetwork,
    InvertedResidual,
    Network,
    autocast,
    build,
)
from filmcolorizer_cli.pairs import (
    ExtractOptions,
    InterleavedSplit,
    Pair,
    Pairs,
    Split,
    TimeSplit,
    Undivided,
    extract,
    read_pairs,
    split_by_time,
)
from filmcolorizer_cli.sync import constant_offset
from filmcolorizer_cli.training import (
    COLORFULNESS_FLOOR,
    FILM_PICTURES,
    GOOD_LOSS,
    PAINTED_PICTURES,
    SCRATCH_PICTURES,
    WHOLE_FILM_PICTURES,
    Augmentation,
    Batch,
    Epoch,
    Outcome,
    PairSource,
    Step,
    Trainer,
    TrainingOptions,
    checkpoint_file,
    classic_loss,
    default_options,
    default_size,
    film_loss,
    history_file,
    loss_of,
    pictures_per_epoch,
    read_history,
    steps_per_epoch,
    train,
)
from filmcolorizer_cli.video import probe
from filmcolorizer_cli.weights import find_model, load, read_model, read_tensors, write_tensors
from tests.conftest import TINY, file_size_limit, files_in

CPU = torch.device("cpu")
CLASSIC = ClassicConfig(size=32)
CONFIGS = pytest.mark.parametrize("config", [TINY, CLASSIC], ids=["film", "classic"])
SQUARES = Augmentation(
    squares=True, least_crop=0.6, early_scale=1 / 2, scale=1 / 2, tone_share=0.5, mirrors=True
)
GROWING = replace(SQUARES, scale=1.0)
COLORFULNESS_WEIGHT = 0.03  # in `film_loss`
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
) -> Iterator[Step | Outcome]:
    network = fresh(config, more.pop("init_seed", 0))
    return train(network, pairs, split_of(pairs), chosen, output, device=CPU, **more)


def run_to_end(*arguments: Any, **more: Any) -> tuple[list[Step], Outcome]:
    """All that a training yields: its steps and, last of all, its outcome."""
    *steps, outcome = run(*arguments, **more)
    assert all(isinstance(step, Step) for step in steps)
    assert isinstance(outcome, Outcome)
    return steps, outcome  # type: ignore[return-value]


def source(pairs: Pairs, *, height: int = 32, width: int = 43, **changes: Any) -> PairSource:
    return PairSource(pairs, split_of(pairs), options(**changes), height=height, width=width)


class Noise:
    """Pictures of noise, more orange than blue, four to a batch."""

    identity: dict[str, Any] = {"pictures": "noise"}  # noqa: RUF012

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
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], **tolerance: float
) -> None:
    """To the bit, unless a tolerance is given."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, **(tolerance or {"atol": 0, "rtol": 0}))


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
        assert [len(luma) for luma, _, _ in batches] == [4, 4]
        order = indices(torch.cat([luma for luma, _, _ in batches]), grey)
        assert indices(torch.cat([rgb for _, rgb, _ in batches]), color) == order
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
    assert [len(luma) for luma, _, _ in chosen.training_batches(1)] == sizes
    assert chosen.steps_per_epoch == len(sizes)


def test_pair_source_refuses_a_single_training_pair(pairs: Pairs) -> None:
    with pytest.raises(TrainingError) as caught:
        PairSource(pairs, TimeSplit(0.25, 4.0), options(), height=32, width=43)
    assert str(caught.value) == (
        f"the train part of the pairs in {pairs.folder} holds a single pair, and training needs"
        " two or more; extract more stills with --every, or give another --split"
    )


def test_pair_source_refuses_a_single_painted_still(own_pairs: Pairs) -> None:
    for pair in own_pairs.pairs[1:]:
        for side in ("bw", "color"):
            (own_pairs.folder / side / f"{pair.name}.png").unlink()
    with pytest.raises(TrainingError) as caught:
        PairSource(read_pairs(own_pairs.folder), Undivided(), options(), height=32, width=43)
    assert str(caught.value) == (
        f"{own_pairs.folder} holds a single pair, and training needs two or more; extract more"
        " stills with --every, and paint another"
    )


def test_pair_source_validates_on_the_second_part_in_order(pairs: Pairs) -> None:
    luma, rgb, known = (
        torch.cat(part) for part in zip(*source(pairs).validation_batches(), strict=True)
    )
    assert torch.equal(luma, stills(pairs, "bw", range(9, 17)))
    assert torch.equal(rgb, stills(pairs, "color", range(9, 17)))
    assert torch.equal(known, torch.ones_like(luma))


@pytest.mark.parametrize("augmentation", [None, SQUARES])
def test_pair_source_depends_on_seed_and_epoch_alone(
    augmentation: Augmentation | None, pairs: Pairs
) -> None:
    def batches(epoch: int, seed: int) -> torch.Tensor:
        torch.rand(3), random.random()  # what else was drawn before does not matter
        chosen = source(pairs, augmentation=augmentation, seed=seed, batch_size=64)
        return torch.cat([luma for luma, _, _ in chosen.training_batches(epoch)])

    assert torch.equal(batches(3, 7), batches(3, 7))
    assert not torch.equal(batches(3, 7), batches(3, 8))
    assert not torch.equal(batches(3, 7), batches(4, 7))


@pytest.fixture
def telling_pairs(own_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> Pairs:
    """Noise as grey still and as red; its inverse as green; a pair's number in tens as blue."""
    monkeypatch.setattr(training, "PICTURES_PER_EPOCH", 256)
    generator = np.random.default_rng(0)
    for number, pair in enumerate(own_pairs.pairs, start=1):
        grey = generator.integers(0, 256, (32, 43), np.uint8)
        color = np.stack((grey, 255 - grey, np.full_like(grey, 10 * number)), axis=-1)
        for side, still in (("bw", grey), ("color", color)):
            Image.fromarray(still).save(own_pairs.folder / side / f"{pair.name}.png")
    return own_pairs


def augmented(pairs: Pairs, epoch: int = 1, **changes: Any) -> Batch:
    """All luma, all R'G'B' and where it is known, of an epoch of augmented pictures."""
    augmentation = replace(SQUARES, largest_patch=0.5, **changes)
    batches = source(pairs, augmentation=augmentation).training_batches(epoch)
    luma, rgb, known = (torch.cat(planes) for planes in zip(*batches, strict=True))
    return luma, rgb, known


def test_pair_source_augmented_shows_the_same_part_of_both_stills(telling_pairs: Pairs) -> None:
    luma, rgb, known = augmented(telling_pairs)
    assert luma.shape == known.shape == (256, 1, 16, 16)
    assert rgb.shape == (256, 3, 16, 16)
    torch.testing.assert_close(known, torch.ones_like(known))
    red, green, blue = rgb.unbind(1)
    torch.testing.assert_close(red + green, torch.ones_like(red))
    assert red.std() > 0.1
    # Each pair is seen as often as the others, and nearly each time another part of it.
    numbers = (blue * 25.5).round()
    torch.testing.assert_close(blue * 25.5, numbers, atol=1e-4, rtol=0)
    assert torch.equal(numbers, numbers[:, :1, :1].expand_as(numbers))
    assert sorted(numbers[:, 0, 0].tolist()) == [n for n in range(1, 9) for _ in range(32)]
    assert len(red.flatten(1).unique(dim=0)) > 240
    # Where the luma is another one, it is a tone of the still's: what is lighter stays lighter.
    is_toned = (luma[:, 0] - red).abs().amax(dim=(1, 2)) > 1e-5
    for tone, still in zip(luma[is_toned].flatten(1), red[is_toned].flatten(1), strict=True):
        assert (tone[still.argsort()].diff() >= -1e-6).all()


def test_pair_source_augmented_patches_luma_and_colours_alike(telling_pairs: Pairs) -> None:
    """Red is luma and green its inverse, wherever they come from; blue tells from which pair."""
    luma, rgb, _ = augmented(telling_pairs, tone_share=0.0, patched_share=0.5)
    red, green, blue = rgb.unbind(1)
    torch.testing.assert_close(luma[:, 0], red)
    torch.testing.assert_close(red + green, torch.ones_like(red))
    numbers = (blue * 25.5).round().flatten(1)
    is_of_two = (numbers != numbers[:, :1]).any(dim=1)
    # Half are patched, and one in eight patches is of the same pair.
    assert 0.3 < is_of_two.float().mean() < 0.6
    assert all(len(picture.unique()) <= 2 for picture in numbers)


@pytest.mark.parametrize(("balance", "expected"), [(0.0, 2.0), (0.5, 2**0.5), (1.0, 1.0)])
def test_pair_source_shows_long_shots_less_often(
    balance: float, expected: float, telling_pairs: Pairs
) -> None:
    """Of the eight pairs to train on, two are a shot of their own, and four another one."""
    shots = {**dict.fromkeys((1, 2), 1), **dict.fromkeys((3, 4, 5, 6), 2), 7: 3, 8: 4}
    pairs = replace(
        telling_pairs,
        pairs=tuple(
            replace(pair, shot=shots.get(number, 9))
            for number, pair in enumerate(telling_pairs.pairs, start=1)
        ),
    )
    counts: Counter[int] = Counter()
    chosen = PairSource(
        pairs,
        split_of(telling_pairs),
        options(augmentation=SQUARES, shot_balance=balance),
        height=32,
        width=43,
    )
    for epoch in range(1, 13):
        pictures = torch.cat([rgb for _, rgb, _ in chosen.training_batches(epoch)])
        assert len(pictures) == 256
        numbers = (pictures[:, 2, 8, 8] * 25.5).round().int().tolist()
        counts.update(shots[number] for number in numbers)
    assert counts[2] / counts[1] == pytest.approx(expected, rel=0.1)
    assert counts[2] / counts[3] == pytest.approx(expected**2, rel=0.15)


@pytest.mark.parametrize("patched_share", [0.0, 0.5])
def test_pair_source_augmented_shows_where_colours_are_known(
    patched_share: float, telling_pairs: Pairs
) -> None:
    """The red of each still is its luma; where it is transparent it is grey, so green is as well.

    Parts are enlarged or reduced, so that in between both mix.
    """
    for pair in telling_pairs.pairs:
        path = telling_pairs.folder / "color" / f"{pair.name}.png"
        with Image.open(path) as still:
            painted = still.convert("RGBA")
        painted.paste((0, 0, 0, 0), (0, 0, 20, 32))
        painted.save(path)
    _, rgb, known = augmented(telling_pairs, patched_share=patched_share)
    red, green, _ = rgb.unbind(1)
    is_known, is_unknown = known[:, 0] > 0.99, known[:, 0] < 1e-6
    assert is_known.float().mean() > 0.3 < is_unknown.float().mean()
    assert (is_known | is_unknown).float().mean() > 0.8
    assert ((red + green)[is_known] - 1).abs().max() < 0.02
    assert (red - green)[is_unknown].abs().max() < 0.02


@pytest.mark.parametrize("augmentation", [None, SQUARES])
def test_pair_source_knows_the_colours_of_thin_strokes(
    augmentation: Augmentation | None, own_pairs: Pairs
) -> None:
    """A person painted lines of a pixel; smaller ones keep their colours, and count for less."""
    orange = (230, 130, 60)
    for pair in own_pairs.pairs:
        path = own_pairs.folder / "bw" / f"{pair.name}.png"
        Image.new("L", (43, 32), 100).save(path)
        painted = Image.new("RGBA", (43, 32), (0, 0, 0, 0))
        for x in range(3, 43, 8):
            painted.paste((*orange, 255), (x, 0, x + 1, 32))
        painted.save(own_pairs.folder / "color" / path.name)
    batches = source(own_pairs, augmentation=augmentation, height=24, width=32)
    truth = rgb_to_ycbcr(torch.tensor(orange)[:, None, None] / 255)[1:]
    for _, rgb, known in (*batches.training_batches(1), *batches.validation_batches()):
        assert 0.05 < known.mean() < 0.25
        chroma = rgb_to_ycbcr(rgb)[:, 1:].movedim(1, -1)[known[:, 0] > 0.2]
        assert len(chroma) > 100
        assert (chroma - truth.flatten()).abs().max() < 0.03


def test_pair_source_augmented_shows_parts_of_the_films_shape(telling_pairs: Pairs) -> None:
    changes = {"squares": False, "scale": 1.0, "early_scale": 0.5}
    early, late = (augmented(telling_pairs, epoch, **changes) for epoch in (1, 9))
    for (luma, rgb, _), (height, width) in ((early, (16, 22)), (late, (32, 43))):
        assert luma.shape == (256, 1, height, width)
        torch.testing.assert_close(rgb[:, 0] + rgb[:, 1], torch.ones_like(rgb[:, 0]))


@pytest.mark.parametrize(
    ("arch", "shows_all", "size"), [("film", False, 32), ("film", True, 32), ("classic", True, 64)]
)
def test_default_size(arch: str, shows_all: bool, size: int, pairs: Pairs) -> None:
    assert default_size(arch, pairs, shows_all=shows_all) == size
    larger = replace(pairs, width=341, height=192)
    sizes = {False: 192, True: 160} if arch == "film" else {True: 64}
    assert default_size(arch, larger, shows_all=shows_all) == sizes[shows_all]


def test_pair_source_augmented_varies_the_tone_of_some(telling_pairs: Pairs) -> None:
    for share in (0.0, 0.5, 1.0):
        luma, rgb, _ = augmented(telling_pairs, tone_share=share)
        is_toned = (luma - rgb[:, :1]).abs().amax(dim=(1, 2, 3)) > 1e-5
        assert is_toned.float().mean() == pytest.approx(share, abs=0.1)


def test_pair_source_augmented_shows_no_luma_beyond_black_and_white(
    telling_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tones may go beyond; there the luma stays black or white, and the colours as they were."""
    monkeypatch.setattr(training, "vary_tone", lambda luma, dice: luma * 2 - 0.5)
    luma, rgb, _ = augmented(telling_pairs, tone_share=1.0)
    red = rgb[:, :1].double()
    expected = np.clip(red.numpy() * 2 - 0.5, 0, 1)
    np.testing.assert_allclose(luma, expected, atol=1e-5)
    assert (luma == 0).float().mean() > 0.01
    assert (luma == 1).float().mean() > 0.01
    torch.testing.assert_close(rgb[:, 0] + rgb[:, 1], torch.ones_like(rgb[:, 0]))


def test_pair_source_augmented_validates_on_whole_stills(pairs: Pairs) -> None:
    chosen = source(pairs, augmentation=SQUARES)
    luma, rgb, _ = (torch.cat(part) for part in zip(*chosen.validation_batches(), strict=True))
    assert torch.equal(luma, stills(pairs, "bw", range(9, 17)))
    assert torch.equal(rgb, stills(pairs, "color", range(9, 17)))


@pytest.mark.parametrize(
    ("height", "width", "crop"), [(192, 256, 128), (120, 96, 64), (32, 43, 16), (8, 11, 16)]
)
def test_pair_source_augmented_shows_squares_of_whole_cells(
    height: int, width: int, crop: int, pairs: Pairs
) -> None:
    """Two thirds of the network's size, to the nearest multiple of 16."""
    chosen = source(
        pairs,
        augmentation=replace(SQUARES, early_scale=2 / 3),
        height=height,
        width=width,
    )
    luma, rgb, _ = next(chosen.training_batches(1))
    assert (luma.shape, rgb.shape) == ((4, 1, crop, crop), (4, 3, crop, crop))


def test_pair_source_augmented_shows_larger_squares_once_the_rate_cools_down(pairs: Pairs) -> None:
    augmentation = replace(SQUARES, early_scale=1 / 4, scale=1 / 2)
    chosen = source(pairs, augmentation=augmentation, epochs=5, height=64, width=64)
    sides = [next(chosen.training_batches(epoch))[0].shape[-1] for epoch in range(1, 6)]
    assert sides == [16, 16, 16, 32, 32]


@pytest.mark.parametrize(
    ("pairs", "augmentation", "batch_size", "expected"),
    [
        (8, None, 4, 2),
        (9, None, 4, 2),  # the ninth joins the batch before it
        (10, None, 4, 3),
        (2, None, 16, 1),
        (8, SQUARES, 4, 26),  # 13 times, since 12 times would be fewer than 100
        (99, SQUARES, 16, 13),  # twice
        (100, SQUARES, 16, 7),
        (101, SQUARES, 10, 10),
        (1000, SQUARES, 16, 63),
    ],
)
def test_steps_per_epoch_counts_batches_of_all_pairs(
    pairs: int,
    augmentation: Augmentation | None,
    batch_size: int,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When augmented, as often as makes a hundred pictures."""
    monkeypatch.setattr(training, "PICTURES_PER_EPOCH", 100)
    chosen = options(batch_size=batch_size, augmentation=augmentation)
    assert steps_per_epoch(pairs, chosen) == expected


@pytest.mark.parametrize("batch_size", [5, 16, 17, 64])
def test_steps_per_epoch_is_what_pair_source_gives(
    batch_size: int, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PICTURES_PER_EPOCH", 256)
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


def test_pair_source_keeps_stills_as_bytes(pairs: Pairs) -> None:
    for part in (source(pairs).training, source(pairs).validation):
        assert [tensor.dtype for tensor in part] == [torch.uint8] * 3


Color = tuple[float, float, float]
NEUTRAL: Color = (0.5, 0.5, 0.5)


def chroma_by_hand(color: Color) -> tuple[float, float]:
    red, green, blue = color
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # BT.709-6 item 3.2
    return (blue - luma) / 1.8556, (red - luma) / 1.5748  # item 3.3


def error_by_hand(truth: Color, output: Color = NEUTRAL) -> float:
    """Of a pixel of this colour, weighted, before the logarithm."""
    true, said = chroma_by_hand(truth), chroma_by_hand(output)
    misses = [abs(a - b) for a, b in zip(true, said, strict=True)]
    errors = [miss * miss / 0.1 if miss < 0.05 else miss - 0.025 for miss in misses]
    return sum(errors) * (1 + 15 * math.hypot(*true))


def colorfulness_by_hand(*colors: Color) -> float:
    """Of a picture of these colours, as much of each (Hasler and Suesstrunk 2003, M^(3))."""
    red, green, blue = 255 * np.array(colors).T
    rg, yb = red - green, (red + green) / 2 - blue
    sigma = math.sqrt(np.var(rg) + np.var(yb) + COLORFULNESS_FLOOR)
    mu = math.sqrt(np.mean(rg) ** 2 + np.mean(yb) ** 2 + COLORFULNESS_FLOOR)
    return sigma + 0.3 * mu


def film_loss_by_hand(truth: list[Color], output: list[Color]) -> float:
    """Of a picture with as much of each of these colours."""
    errors = [error_by_hand(*pixel) for pixel in zip(truth, output, strict=True)]
    excess = colorfulness_by_hand(*output) - colorfulness_by_hand(*truth)
    logarithm = math.log1p(sum(errors) / len(errors) / GOOD_LOSS)
    return logarithm + COLORFULNESS_WEIGHT * abs(excess)


def weighed_film_loss(network: FilmNetwork, *batch: torch.Tensor) -> torch.Tensor:
    return film_loss(network, *batch, colorfulness_weight=COLORFULNESS_WEIGHT)


def flat(color: Color, width: int = 32) -> torch.Tensor:
    """A picture (3, 32, width) of one colour."""
    return torch.tensor(color)[:, None, None].expand(-1, 32, width)


def batch_of(*pictures: torch.Tensor) -> Batch:
    """Pictures (3, H, W) that are known all over, behind any luma."""
    rgb = torch.stack(pictures)
    luma = torch.rand(len(rgb), 1, *rgb.shape[-2:])
    return luma, rgb, torch.ones_like(luma)


def film_network_of(output: Color) -> FilmNetwork:
    """A network that paints everything in this colour, whatever its luma."""
    network = fresh(TINY).eval()
    assert isinstance(network, FilmNetwork)
    network.head.bias = torch.nn.Parameter(torch.tensor(chroma_by_hand(output)))
    return network


def test_film_loss_by_hand() -> None:
    """An untrained network says neutral, so the error is the truth itself."""
    network = fresh(TINY).eval()
    colors: list[Color] = [(0.9, 0.3, 0.2), NEUTRAL, (0.5, 0.52, 0.55)]
    of_pixels = [error_by_hand(color) for color in colors]
    assert of_pixels[1] == 0 < of_pixels[2] < 0.01 < 0.1 < of_pixels[0]
    expected = [film_loss_by_hand([color], [NEUTRAL]) for color in colors]
    pictures = torch.stack([flat(color) for color in colors])
    losses = [weighed_film_loss(network, *batch_of(picture)).item() for picture in pictures]
    assert losses == pytest.approx(expected, rel=1e-4, abs=1e-4)
    together = weighed_film_loss(network, *batch_of(*pictures))
    assert together.item() == pytest.approx(sum(expected) / 3, rel=1e-4)


def test_film_loss_takes_the_logarithm_of_a_whole_picture() -> None:
    left, right = (0.9, 0.3, 0.2), (0.3, 0.35, 0.4)
    picture = torch.cat((flat(left, 16), flat(right, 16)), dim=2)
    loss = weighed_film_loss(fresh(TINY).eval(), *batch_of(picture))
    expected = film_loss_by_hand([left, right], [NEUTRAL, NEUTRAL])
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    apart = [film_loss_by_hand([color], [NEUTRAL]) for color in (left, right)]
    assert abs(sum(apart) / 2 - expected) > 0.05


@pytest.mark.parametrize(
    ("output", "truth"),
    [
        ((0.7, 0.5, 0.4), (0.6, 0.5, 0.45)),  # too much of the right colour
        ((0.6, 0.5, 0.45), (0.7, 0.5, 0.4)),  # too little
        ((0.4, 0.5, 0.7), (0.7, 0.5, 0.4)),  # another colour
        ((0.7, 0.5, 0.4), NEUTRAL),
        ((0.7, 0.5, 0.4), (0.7, 0.5, 0.4)),
    ],
)
def test_film_loss_counts_colours_that_are_too_strong_or_too_weak(
    output: Color, truth: Color
) -> None:
    loss = weighed_film_loss(film_network_of(output), *batch_of(flat(truth)))
    assert loss.item() == pytest.approx(film_loss_by_hand([truth], [output]), rel=1e-3, abs=1e-4)


def test_film_loss_of_halves_that_one_colour_cannot_match() -> None:
    """What is painted flat lacks the deviation of the truth, not its mean alone."""
    left, right, output = (0.7, 0.5, 0.4), (0.4, 0.5, 0.65), (0.6, 0.5, 0.5)
    picture = torch.cat((flat(left, 16), flat(right, 16)), dim=2)
    loss = weighed_film_loss(film_network_of(output), *batch_of(picture))
    expected = film_loss_by_hand([left, right], [output, output])
    assert loss.item() == pytest.approx(expected, rel=1e-3)


def test_film_loss_measures_the_colourfulness_of_each_picture() -> None:
    """One too strong does not make up for one too weak."""
    strong, weak, output = (0.8, 0.5, 0.3), (0.52, 0.5, 0.48), (0.65, 0.5, 0.4)
    loss = weighed_film_loss(film_network_of(output), *batch_of(flat(strong), flat(weak)))
    apart = [film_loss_by_hand([color], [output]) for color in (strong, weak)]
    assert loss.item() == pytest.approx(sum(apart) / 2, rel=1e-3)


def test_film_loss_counts_only_what_is_known() -> None:
    left, right, output = (0.8, 0.5, 0.3), (0.1, 0.5, 0.9), (0.65, 0.5, 0.4)
    luma, rgb, known = batch_of(torch.cat((flat(left, 15), flat(right, 17)), dim=2))
    known[..., 15:] = 0  # a pixel of chroma is known by half
    loss = weighed_film_loss(film_network_of(output), luma, rgb, known)
    assert loss.item() == pytest.approx(film_loss_by_hand([left], [output]), rel=1e-3)


def test_film_loss_counts_a_picture_by_how_much_of_it_is_known() -> None:
    strong, weak, output = (0.8, 0.5, 0.3), (0.52, 0.5, 0.48), (0.65, 0.5, 0.4)
    luma, rgb, known = batch_of(flat(strong), flat(weak), flat(strong))
    known[1, :, 8:] = 0
    known[2] = 0
    loss = weighed_film_loss(film_network_of(output), luma, rgb, known)
    apart = [film_loss_by_hand([color], [output]) for color in (strong, weak)]
    assert loss.item() == pytest.approx((apart[0] + apart[1] / 4) / 1.25, rel=1e-3)


def test_film_loss_of_what_is_not_known_at_all_teaches_nothing() -> None:
    """A random part of a still that was painted in one corner."""
    network = film_network_of((0.65, 0.5, 0.4))
    luma, rgb, known = batch_of(flat((0.8, 0.5, 0.3)))
    loss = weighed_film_loss(network, luma, rgb, torch.zeros_like(known))
    loss.backward()
    assert loss.item() == 0
    gradients = [p.grad for p in network.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)


def test_film_loss_does_not_depend_on_luma() -> None:
    """Neither on that which is seen, here, nor on that of the truth, even beyond white."""
    network, truth = film_network_of((0.7, 0.5, 0.4)), flat((0.6, 0.4, 0.45))
    expected = film_loss_by_hand([(0.6, 0.4, 0.45)], [(0.7, 0.5, 0.4)])
    for shade in (-0.35, 0.0, 0.39, torch.rand(1, 32, 32) - 0.4):
        loss = weighed_film_loss(network, *batch_of(truth + shade))
        assert loss.item() == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("truth", [(0.9, 0.3, 0.2), NEUTRAL, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("training_mode", [False, True])
def test_film_loss_has_a_gradient_where_all_is_grey(truth: Color, training_mode: bool) -> None:
    """An untrained network says 0 of everything, and the truth may be grey as well."""
    network = fresh(TINY).train(training_mode)
    batch = batch_of(flat(truth), flat(NEUTRAL))
    assert not network(batch[0]).any()
    weighed_film_loss(network, *batch).backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    bias = gradients["head.bias"]
    assert bias is not None
    # Towards what is red: less Cb, more Cr. There is nothing to learn where all is as it should be.
    expected = [1, -1] if truth == (0.9, 0.3, 0.2) else [0, 0]
    assert bias.sign().tolist() == expected


def test_classic_loss_by_hand() -> None:
    network = fresh(CLASSIC)
    torch.nn.init.zeros_(network.head.weight)
    network.head.bias = torch.nn.Parameter(torch.tensor([0.5, 0.0, -0.5]))
    rgb = torch.tensor([1.0, 0.5, 0.0])[None, :, None, None].expand(2, -1, 32, 32)
    # On [-1, 1] the truth is 1, 0, -1 and the output 0.5, 0, -0.5.
    loss = classic_loss(network, *batch_of(*rgb))
    assert loss.item() == pytest.approx((0.25 + 0 + 0.25) / 3)


def test_classic_loss_counts_only_what_is_known() -> None:
    network = fresh(CLASSIC)
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    luma, rgb, known = batch_of(torch.cat((flat((1.0, 0.5, 0.0)), flat((1.0, 1.0, 1.0))), dim=2))
    known[..., 32:] = 0
    assert classic_loss(network, luma, rgb, known).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("is_pretrained", [False, True])
@pytest.mark.parametrize("pairs", [10, 5000])
def test_default_options_of_classic_are_those_of_2020(pairs: int, is_pretrained: bool) -> None:
    chosen = default_options("classic", pairs, is_pretrained=is_pretrained, shows_all=False)
    assert chosen == TrainingOptions(epochs=20, batch_size=16, learning_rate=1e-4)
    assert not (chosen.augmentation or chosen.frozen_stages or chosen.blend)


@pytest.mark.parametrize("is_pretrained", [False, True])
def test_default_options_of_film_hold_on_to_what_is_known_already(is_pretrained: bool) -> None:
    chosen = default_options("film", 500, is_pretrained=is_pretrained, shows_all=False)
    assert (chosen.frozen_stages > 0, chosen.blend) == (is_pretrained, is_pretrained)


def test_default_options_of_film_learn_by_heart_what_shows_all() -> None:
    """What is foreign is seen in more ways, what is to be known by heart closer and more often."""
    some, everything = (
        default_options("film", 500, is_pretrained=True, shows_all=shows_all)
        for shows_all in (False, True)
    )
    assert some.augmentation is not None
    assert everything.augmentation is not None
    assert everything.augmentation.least_crop > some.augmentation.least_crop
    assert everything.augmentation.tone_share < some.augmentation.tone_share
    assert some.augmentation.mirrors and not everything.augmentation.mirrors
    assert everything.epochs > some.epochs
    assert everything.augmentation.patched_share == 0 < some.augmentation.patched_share
    assert everything.feature_drop_rate == 0 < some.feature_drop_rate
    assert everything.shot_balance == 0 < some.shot_balance
    for chosen in (some, everything):
        assert chosen.colorfulness_weight == 0 < chosen.liveliness


@pytest.mark.parametrize(
    ("pairs", "epochs"),
    [
        (20, 100),
        (60, 83),  # each is seen twice in an epoch, that is 120 pictures
        (99, 51),
        (100, 100),
        (101, 99),
        (500, 20),
        (9000, 3),
    ],
)
def test_default_options_of_film_take_as_long_however_many_pairs(
    pairs: int, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "FILM_PICTURES", 10_000)
    monkeypatch.setattr(training, "PICTURES_PER_EPOCH", 100)
    monkeypatch.setattr(training, "FEWEST_EPOCHS", 3)
    chosen = default_options("film", pairs, is_pretrained=True, shows_all=False)
    assert chosen.epochs == epochs


@pytest.mark.parametrize(
    ("is_pretrained", "shows_all", "pictures"),
    [
        (True, False, FILM_PICTURES),
        (False, False, SCRATCH_PICTURES),
        (True, True, WHOLE_FILM_PICTURES),
        (False, True, WHOLE_FILM_PICTURES),
    ],
)
def test_default_options_of_film_show_as_many_pictures_whatever_the_count(
    is_pretrained: bool, shows_all: bool, pictures: int
) -> None:
    for pairs in range(2, 4001):
        chosen = default_options("film", pairs, is_pretrained=is_pretrained, shows_all=shows_all)
        seen = chosen.epochs * steps_per_epoch(pairs, chosen) * chosen.batch_size
        assert pictures / 1.5 < seen < pictures * 1.5, f"{seen} pictures of {pairs} pairs"


@pytest.mark.parametrize("pairs", [2, 8, 50])
def test_default_options_of_a_few_painted_stills_learn_them_by_heart_in_less_time(
    pairs: int,
) -> None:
    painted, by_heart = (
        default_options("film", pairs, is_pretrained=True, shows_all=True, is_painted=painted)
        for painted in (True, False)
    )
    assert painted == replace(by_heart, epochs=painted.epochs)
    assert painted.epochs * pictures_per_epoch(pairs, painted) > PAINTED_PICTURES / 1.5
    assert painted.epochs * 2 < by_heart.epochs


@pytest.mark.parametrize("count", [2, 3, 8])
def test_default_options_of_film_show_few_pairs_often(count: int, pairs: Pairs) -> None:
    """Of a few pairs, an epoch shows more than 512 parts, and so does a step several of each."""
    chosen = default_options("film", count, is_pretrained=True, shows_all=False)
    few = replace(pairs, pairs=(*pairs.pairs[:count], pairs.pairs[8], pairs.pairs[16]))
    found = PairSource(few, TimeSplit(2.0, 4.0), chosen, height=32, width=43)
    sizes = [len(luma) for luma, _, _ in found.training_batches(1)]
    assert 512 <= sum(sizes) < 512 + count
    assert len(sizes) == found.steps_per_epoch
    assert FILM_PICTURES / 1.5 < sum(sizes) * chosen.epochs < FILM_PICTURES * 1.5


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
            "augmentation": None,
            "frozen_stages": 0,
            "blend": False,
            "weight_decay": 0.01,
            "colorfulness_weight": 0.0,
            "liveliness": 0.0,
            "cooldown_share": 0.4,
            "averaging_share": 0.05,
            "path_drop_rate": 0.0,
            "feature_drop_rate": 0.0,
            "shot_balance": 0.0,
        },
        "epoch": best.epoch,
        "trained_share": outcome.trained_share,
        "pairs": 8,
        "history": [asdict(replace(epoch, seconds=None)) for epoch in epochs],
    }
    assert load(model).config == config


def test_train_splits_as_it_is_told(pairs: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "film.safetensors"
    chosen = options(1, learning_rate=0.0)
    split = InterleavedSplit(6)
    steps = train(fresh(CLASSIC), pairs, split, chosen, output, device=CPU)
    assert len(list(steps)) == 3 + 1  # 12 pairs in batches of 4, and the outcome
    about = read_model(output).about
    assert (about["split"], about["pairs"]) == ({"every": 6}, 12)


ORANGE, FAINT_ORANGE, BLUE = (204, 128, 51), (140, 128, 116), (51, 128, 204)


def contrary(pairs: Pairs, validation: tuple[int, int, int]) -> Pairs:
    """Paint what is trained on orange, and what is validated on in another colour."""
    for pair in pairs.pairs[:16]:
        color = ORANGE if pair.bw_seconds < 2 else validation
        Image.new("RGB", (43, 32), color).save(pairs.folder / "color" / f"{pair.name}.png")
    return pairs


@CONFIGS
def test_train_keeps_the_weights_of_the_best_epoch(
    config: Config, own_pairs: Pairs, tmp_path: Path
) -> None:
    """What is validated is a faint orange, which training comes to first and then goes beyond."""
    pairs = contrary(own_pairs, FAINT_ORANGE)
    output = tmp_path / "film.safetensors"
    network = fresh(config)
    states = []
    # The average is the network itself.
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


@pytest.mark.parametrize("blend", [False, True])
@CONFIGS
def test_train_keeps_the_first_weights_when_training_does_only_harm(
    config: Config, blend: bool, own_pairs: Pairs, tmp_path: Path
) -> None:
    """What is trained on is orange, and what is validated on blue."""
    pairs = contrary(own_pairs, BLUE)
    output = tmp_path / "film.safetensors"
    network = fresh(config)
    first = copied(network)
    chosen = options(3, blend=blend)
    *_, outcome = train(network, pairs, split_of(pairs), chosen, output, device=CPU)
    assert isinstance(outcome, Outcome)
    assert outcome.trained_share == 0
    assert outcome.validation_mse == outcome.first_validation_mse
    assert read_model(output).about["trained_share"] == 0
    assert_same_tensors(read_tensors(output)[1], first)
    assert not torch.equal(network.state_dict()["head.weight"], first["head.weight"])


def says(network: Network, color: tuple[float, float]) -> dict[str, torch.Tensor]:
    """The weights with which an untrained network says this chroma of everything."""
    return copied(network) | {"head.bias": torch.tensor(color)}


def blueless(share: float) -> Color:
    """Grey, but for so many eighths of Cb too little (ITU-R BT.709-6 item 3.3)."""
    missing = share * 1.8556 / 8
    return 0.5, 0.5 + 0.0722 * missing / 0.7152, 0.5 - missing


def trained_to_say(share: float, pairs: Pairs, tmp_path: Path, **changes: Any) -> Trainer:
    """A trainer whose network says so many times what is true of the validation part, Cb -1/8."""
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
    """The first weights say neutral, so a blend says a share of what the trained ones say."""
    trainer = trained_to_say(share, own_pairs, tmp_path, blend=True)
    first = trainer.first_state
    state, outcome = trainer.finish()
    assert outcome.trained_share == blend
    said = max(blend * share, 0.0)
    torch.testing.assert_close(state["head.bias"], torch.tensor((-said / 8, 0.0)))
    if blend < 1:  # counts of batches cannot be blended
        assert state["encoder.stem.1.num_batches_tracked"] == 0
    for name, tensor in first.items():
        if tensor.is_floating_point():
            between = tensor + blend * (trainer.best_state[name] - tensor)
            torch.testing.assert_close(state[name], between)
    # Codes of 8 bits are near enough.
    errors = [np.mean((2 * np.subtract(blueless(1), blueless(s))) ** 2) for s in (said, 0.0)]
    assert outcome.validation_mse == pytest.approx(errors[0], rel=0.03, abs=1e-3)
    assert outcome.first_validation_mse == pytest.approx(errors[1], rel=0.03)


@pytest.mark.usefixtures("all_lit")
@pytest.mark.parametrize(
    ("last_share", "blends", "blend", "epoch"),
    [(1, True, 1.0, 2), (2, True, 0.5, 2), (2.5, True, 0.75, 1), (1, False, 1.0, 1)],
)
def test_finish_blends_the_last_weights_as_well_as_the_best(
    last_share: float, blends: bool, blend: float, epoch: int, own_pairs: Pairs, tmp_path: Path
) -> None:
    """The best ones by their loss say 1.3 times what is true; without blending these are kept."""
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
    ("share", "liveliness", "said"),
    [
        (0.96, 1.0, 1.0),  # all that is lacking
        (0.96, 0.5, 0.98),
        (0.8, 1.0, 0.88),  # no more than a tenth
        (1.2, 1.0, 1.2),  # nothing is taken away
        (2.1, 1.0, 0.0),  # nor anything added to the first weights
    ],
)
def test_finish_makes_up_for_colourfulness(
    share: float, liveliness: float, said: float, own_pairs: Pairs, tmp_path: Path
) -> None:
    trainer = trained_to_say(share, own_pairs, tmp_path, liveliness=liveliness)
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
    trainer = trained_to_say(1.9, own_pairs, tmp_path, liveliness=1.0)
    monkeypatch.setattr(trainer, "_liveliness", lambda network: 1.1)  # 2.09 times the truth
    state, outcome = trainer.finish()
    assert_same_tensors(state, trainer.best_state)
    assert outcome.validation_mse < outcome.first_validation_mse


@CONFIGS
def test_train_validates_the_weights_as_they_will_be_used(
    config: Config, pairs: Pairs, tmp_path: Path
) -> None:
    """In evaluation mode, as a mean over the pictures, however they were batched."""
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
def test_finish_validates_where_colours_are_known(tmp_path: Path) -> None:
    """What the network makes of a flat picture is flat, so what is not known could be cut off."""
    network = film_network_of((0.6, 0.5, 0.45))
    orange, blue = flat((0.62, 0.5, 0.44)), flat((0.1, 0.5, 0.9))
    _, *whole = batch_of(orange, orange)
    _, *half = batch_of(*[torch.cat((orange, blue), dim=2)] * 2)
    half[1][..., 32:] = 0
    found = []
    for rgb, known in (whole, half):
        batches = Noise(steps_per_epoch=1)
        grey = torch.full_like(known, 0.5)
        batches.validation_batches = lambda batch=(grey, rgb, known): iter([batch])  # type: ignore[method-assign]
        trainer = trainer_of(network, batches, options(1, liveliness=0.4), tmp_path)
        found.append(
            (
                trainer._validation_loss(network),
                trainer._validation_mse(network),
                trainer._liveliness(network),
            )
        )
    assert found[1] == pytest.approx(found[0], rel=2e-3)
    assert 1.02 < found[0][2] < 1.1


def test_run_validates_and_keeps_the_average_of_the_last_weights(
    tmp_path: Path,
) -> None:
    """Over two of eight steps back: each new one counts for half. Statistics are averaged too."""
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


def test_run_warms_up_holds_and_cools_the_rate_of_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of warm-up, of twenty, and eight of cooling down; a quarter for the encoder."""
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
    """Weights and statistics of the stem and so many stages; all else learns."""
    network = fresh(TINY)
    assert isinstance(network, FilmNetwork)
    before = copied(network)
    chosen = options(1, frozen_stages=stages)
    trainer = trainer_of(network, Noise(steps_per_epoch=5), chosen, tmp_path)
    list(trainer.run())
    parts = ("stem.", "stages.0.", "stages.1.") if stages else ()
    frozen = {n for n in before if n.removeprefix("encoder.").startswith(parts)}
    # A weight and a batch norm's five of the stem, of two layers and of twice three.
    assert len(frozen) == (6 * (1 + 2 + 2 * 3) if stages else 0)
    for state in (network.state_dict(), trainer.best_state):
        changed = {name for name in before if not torch.equal(state[name], before[name])}
        assert changed == before.keys() - frozen


def test_train_keeps_the_rate_of_classic(pairs: Pairs, tmp_path: Path) -> None:
    output = tmp_path / "film.safetensors"
    list(run(CLASSIC, pairs, output, options(3, learning_rate=1e-4)))
    assert [epoch.learning_rate for epoch in read_history(output)] == [1e-4] * 3


def assert_same_result(one: Path, other: Path) -> None:
    """Both trainings gave the same weights, to the bit, by the same way."""
    (metadata, tensors), (other_metadata, others) = read_tensors(one), read_tensors(other)
    assert metadata == other_metadata
    assert_same_tensors(tensors, others)
    histories = [
        [(e.epoch, e.training_loss, e.validation_loss, e.learning_rate) for e in read_history(path)]
        for path in (one, other)
    ]
    assert histories[0] == histories[1]


# Averaged over two of the six steps.
THREE_EPOCHS = {
    "film": (TINY, options(3, averaging_share=1 / 3)),
    "film-own": (
        TINY,
        options(
            3,
            averaging_share=1 / 3,
            augmentation=replace(GROWING, stretch=0.2, patched_share=0.5, largest_patch=0.5),
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
        patch.setattr(training, "PICTURES_PER_EPOCH", 8)
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
        history_file(stopped).unlink()  # as if the kill had come before it
        # The first weights of the resumed run do not matter, nor does what torch has drawn since.
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
    """Of each picture as the network colours it, on R'G'B' in [0, 1]."""
    errors = []
    for begin in range(0, len(chosen), 32):
        luma, truth, _ = read_batch(pairs, chosen[begin : begin + 32])
        output = predict_rgb(network.eval(), luma, pairs.aspect_ratio, CPU)
        errors.append(np.square(output.numpy() - truth.numpy()).mean(axis=(1, 2, 3)))
    return np.concatenate(errors)


@pytest.mark.slow
def test_train_on_a_handful_of_stills_helps_and_does_not_ruin_the_rest(
    shared_data: Path, tmp_path: Path
) -> None:
    """Eight stills of as many shots, of two minutes of a film of ten; their colours are true.

    A hand that paints stills leaves them so, and deletes the others. Eight epochs of the 16 that
    are the default already do it.
    """
    film = probe(shared_data / "film" / "big_buck_bunny_360p.mp4")
    every_still = ExtractOptions(every=48, size=96)
    folder = tmp_path / "pairs"
    list(extract(None, film, constant_offset(film, film, 0, 1.0), folder, every_still))
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


@pytest.mark.parametrize("augmentation", [None, SQUARES])
def test_train_depends_on_the_seed(
    augmentation: Augmentation | None, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PICTURES_PER_EPOCH", 8)
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
        " same pairs, --init and other options, or start anew with --overwrite"
    )
    assert checkpoint.read_bytes() == before


def test_train_refuses_to_resume_with_other_pairs(pairs: Pairs, interrupted: Path) -> None:
    """Whatever else differs, since the options may follow from the pairs."""
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
        " not classic; resume it with the same pairs, --init and other options, or start anew with"
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
    """It would be taken for the history of weights that do something."""
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
        "augmentation": None,
        "frozen_stages": 0,
        "blend": False,
        "weight_decay": 0.01,
        "colorfulness_weight": 0.0,
        "liveliness": 0.0,
        "cooldown_share": 0.4,
        "averaging_share": 0.05,
        "path_drop_rate": 0.0,
        "feature_drop_rate": 0.0,
        "shot_balance": 0.0,
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
    """One without the first weights and the average."""
    checkpoint = checkpoint_file(interrupted)
    metadata, tensors = read_tensors(checkpoint)
    older = {k: v for k, v in tensors.items() if not k.startswith(("first.", "average."))}
    write_tensors(checkpoint, older, metadata)
    with pytest.raises(TrainingError) as caught:
        list(run(TINY, pairs, interrupted, options(), resume=True))
    assert str(caught.value) == (
        f"the checkpoint {checkpoint} does not fit this training; resume with the same pairs and"
        " --arch as it was started with, or start anew with --overwrite"
    )

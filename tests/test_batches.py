from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli import batches, recipes
from filmcolorizer_cli.batches import Batch, PairSource
from filmcolorizer_cli.color import rgb_to_ycbcr
from filmcolorizer_cli.errors import TrainingError
from filmcolorizer_cli.pairs import Pair, Pairs, read_pairs
from filmcolorizer_cli.recipes import Augmentation
from filmcolorizer_cli.splits import TimeSplit, Undivided
from tests.trainings import GROWING, SQUARES, options, source, split_of, stills


def indices(pictures: torch.Tensor, among: torch.Tensor) -> list[int]:
    """Return the index of each picture among others."""
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
    """Pairs of noise: red is the grey still, green its inverse, blue 10 times the pair's number."""
    monkeypatch.setattr(recipes, "PICTURES_PER_EPOCH", 256)
    generator = np.random.default_rng(0)
    for number, pair in enumerate(own_pairs.pairs, start=1):
        grey = generator.integers(0, 256, (32, 43), np.uint8)
        color = np.stack((grey, 255 - grey, np.full_like(grey, 10 * number)), axis=-1)
        for side, still in (("bw", grey), ("color", color)):
            Image.fromarray(still).save(own_pairs.folder / side / f"{pair.name}.png")
    return own_pairs


def augmented(pairs: Pairs, epoch: int = 1, **changes: Any) -> Batch:
    """Return the luma, the R'G'B' and the known masks of an epoch of augmented pictures."""
    augmentation = replace(SQUARES, max_patch=0.5, **changes)
    batches = source(pairs, augmentation=augmentation).training_batches(epoch)
    luma, rgb, known = (torch.cat(planes) for planes in zip(*batches, strict=True))
    return luma, rgb, known


@pytest.mark.parametrize("squares", [True, False])
def test_pair_source_augmented_shows_parts_of_squeezed_squares_undistorted(
    squares: bool, tmp_path: Path
) -> None:
    rows, columns = np.mgrid[:64, :64] - 31.5
    is_disc = np.hypot(rows, columns * 16 / 9) < 16  # a disc in the displayed picture
    still = Image.fromarray(np.where(is_disc, 255, 0).astype(np.uint8))
    for side in ("bw", "color"):
        (tmp_path / side).mkdir()
        for number in range(1, 25):
            still.convert("L" if side == "bw" else "RGB").save(
                tmp_path / side / f"{number:06d}.png"
            )
    listed = tuple(Pair(f"{n:06d}", n / 4, n / 4, 1 + (n - 1) // 8) for n in range(1, 25))
    folder = Pairs(tmp_path, 16 / 9, 64, 64, 6, listed, {})
    augmentation = replace(GROWING, squares=squares, early_scale=1.0, tone_share=0.0)
    batches = source(folder, height=64, width=114, augmentation=augmentation).training_batches(1)
    shapes = []
    for [part] in torch.cat([luma for luma, _, _ in batches]):
        across, down = (torch.nonzero((part > 0.5).any(dim=axis))[:, 0] for axis in (0, 1))
        is_whole = len(across) and across[0] > 0 and across[-1] < part.shape[1] - 1
        if is_whole and down[0] > 0 and down[-1] < part.shape[0] - 1:
            shapes.append(len(across) / len(down))
    assert len(shapes) > 20
    assert max(abs(shape - 1) for shape in shapes) < 0.15


def test_pair_source_augmented_shows_the_same_part_of_both_stills(telling_pairs: Pairs) -> None:
    luma, rgb, known = augmented(telling_pairs)
    assert luma.shape == known.shape == (256, 1, 16, 16)
    assert rgb.shape == (256, 3, 16, 16)
    torch.testing.assert_close(known, torch.ones_like(known))
    red, green, blue = rgb.unbind(1)
    torch.testing.assert_close(red + green, torch.ones_like(red))
    assert red.std() > 0.1
    # All pairs are shown equally often, nearly each time in another part.
    numbers = (blue * 25.5).round()
    torch.testing.assert_close(blue * 25.5, numbers, atol=1e-4, rtol=0)
    assert torch.equal(numbers, numbers[:, :1, :1].expand_as(numbers))
    assert sorted(numbers[:, 0, 0].tolist()) == [n for n in range(1, 9) for _ in range(32)]
    assert len(red.flatten(1).unique(dim=0)) > 240
    # Where the luma differs, it is a tone of the still's: what is lighter stays lighter.
    is_toned = (luma[:, 0] - red).abs().amax(dim=(1, 2)) > 1e-5
    for tone, still in zip(luma[is_toned].flatten(1), red[is_toned].flatten(1), strict=True):
        assert (tone[still.argsort()].diff() >= -1e-6).all()


def test_pair_source_augmented_patches_luma_and_colours_alike(telling_pairs: Pairs) -> None:
    """Red is luma and green its inverse, in patches too; blue identifies the pair."""
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
    """The eight training pairs are two of one shot, four of another, and one each of two more."""
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
    """The red of each still is its luma; transparent pixels are grey, so their green is too.

    Resampling mixes known and unknown pixels at their borders.
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
    """Painted lines of one pixel keep their colours when reduced, but count for less."""
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


def test_pair_source_augmented_varies_the_tone_of_some(telling_pairs: Pairs) -> None:
    for share in (0.0, 0.5, 1.0):
        luma, rgb, _ = augmented(telling_pairs, tone_share=share)
        is_toned = (luma - rgb[:, :1]).abs().amax(dim=(1, 2, 3)) > 1e-5
        assert is_toned.float().mean() == pytest.approx(share, abs=0.1)


def test_pair_source_augmented_shows_no_luma_beyond_black_and_white(
    telling_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a tone goes beyond, luma is clipped to black or white, and colours are unchanged."""
    monkeypatch.setattr(batches, "vary_tone", lambda luma, rng: luma * 2 - 0.5)
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


def test_pair_source_keeps_stills_as_bytes(pairs: Pairs) -> None:
    for part in (source(pairs).training, source(pairs).validation):
        assert [tensor.dtype for tensor in part] == [torch.uint8] * 3

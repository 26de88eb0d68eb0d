from __future__ import annotations

from dataclasses import replace

import pytest

from filmcolorizer_cli import recipes
from filmcolorizer_cli.batches import PairSource
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.recipes import (
    FILM_PICTURES,
    PAINTED_PICTURES,
    PAINTED_SHARE,
    SCRATCH_PICTURES,
    WHOLE_FILM_PICTURES,
    Augmentation,
    TrainingOptions,
    default_options,
    default_size,
    pictures_per_epoch,
    steps_per_epoch,
)
from filmcolorizer_cli.splits import TimeSplit
from tests.trainings import SQUARES, options


@pytest.mark.parametrize(
    ("arch", "shows_all", "size"), [("film", False, 32), ("film", True, 32), ("classic", True, 64)]
)
def test_default_size(arch: str, shows_all: bool, size: int, pairs: Pairs) -> None:
    assert default_size(arch, pairs, shows_all=shows_all) == size
    larger = replace(pairs, width=341, height=192)
    sizes = {False: 192, True: 160} if arch == "film" else {True: 64}
    assert default_size(arch, larger, shows_all=shows_all) == sizes[shows_all]


@pytest.mark.parametrize(
    ("pairs", "augmentation", "batch_size", "expected"),
    [
        (8, None, 4, 2),
        (9, None, 4, 2),  # the ninth joins the batch before it
        (10, None, 4, 3),
        (2, None, 16, 1),
        (8, SQUARES, 4, 26),  # 13 times, since 12 times would be fewer than 100
        (99, SQUARES, 16, 13),  # each pair twice
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
    """Augmented pairs are repeated until there are at least 100 pictures."""
    monkeypatch.setattr(recipes, "PICTURES_PER_EPOCH", 100)
    chosen = options(batch_size=batch_size, augmentation=augmentation)
    assert steps_per_epoch(pairs, chosen) == expected


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
    """Part of a film is augmented more; a whole film less, and trained for more epochs."""
    some, everything = (
        default_options("film", 500, is_pretrained=True, shows_all=shows_all)
        for shows_all in (False, True)
    )
    assert some.augmentation is not None
    assert everything.augmentation is not None
    assert everything.augmentation.min_crop > some.augmentation.min_crop
    assert everything.augmentation.tone_share < some.augmentation.tone_share
    assert some.augmentation.mirrors and not everything.augmentation.mirrors
    assert everything.epochs > some.epochs
    assert everything.augmentation.patched_share == 0 < some.augmentation.patched_share
    assert everything.feature_drop_rate == 0 < some.feature_drop_rate
    assert everything.shot_balance == 0 < some.shot_balance
    for chosen in (some, everything):
        assert chosen.colorfulness_weight == 0 < chosen.colorfulness_restored


@pytest.mark.parametrize(
    ("pairs", "epochs"),
    [
        (20, 100),
        (60, 83),  # an epoch has each twice, that is 120 pictures
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
    monkeypatch.setattr(recipes, "FILM_PICTURES", 10_000)
    monkeypatch.setattr(recipes, "PICTURES_PER_EPOCH", 100)
    monkeypatch.setattr(recipes, "MIN_EPOCHS", 3)
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
    assert painted == replace(by_heart, epochs=painted.epochs, max_trained_share=PAINTED_SHARE)
    assert painted.epochs * pictures_per_epoch(pairs, painted) > PAINTED_PICTURES / 1.5
    assert painted.epochs * 2 < by_heart.epochs


@pytest.mark.parametrize("count", [2, 3, 8])
def test_default_options_of_film_show_few_pairs_often(count: int, pairs: Pairs) -> None:
    """With few pairs, an epoch has at least 512 crops, and so a batch has several of each."""
    chosen = default_options("film", count, is_pretrained=True, shows_all=False)
    few = replace(pairs, pairs=(*pairs.pairs[:count], pairs.pairs[8], pairs.pairs[16]))
    found = PairSource(few, TimeSplit(2.0, 4.0), chosen, height=32, width=43)
    sizes = [len(luma) for luma, _, _ in found.training_batches(1)]
    assert 512 <= sum(sizes) < 512 + count
    assert len(sizes) == found.steps_per_epoch
    assert FILM_PICTURES / 1.5 < sum(sizes) * chosen.epochs < FILM_PICTURES * 1.5

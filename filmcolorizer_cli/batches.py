"""Batches for training: stills of a film, whole or in random parts."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from filmcolorizer_cli.augmentation import patched, random_part, vary_tone
from filmcolorizer_cli.color import resize, unpremultiplied
from filmcolorizer_cli.errors import TrainingError
from filmcolorizer_cli.pairs import Pair, Pairs, true_colors
from filmcolorizer_cli.recipes import (
    Augmentation,
    TrainingOptions,
    multiple_of_16,
    pictures_per_epoch,
    steps_per_epoch,
)
from filmcolorizer_cli.splits import Split, Undivided

# Luma (B, 1, H, W), R'G'B' (B, 3, H, W), and how far colours are known (B, 1, H, W); in [0, 1].
Batch = tuple[Tensor, Tensor, Tensor]


class BatchSource(Protocol):
    """A source of training and validation batches, determined by the number of the epoch.

    Attributes:
        identity: plain values that identify the source, under names that users understand.
        matrix: the Y'CbCr matrix of the pictures, a key of ``color.MATRICES``.
    """

    steps_per_epoch: int
    matrix: str
    identity: dict[str, Any]

    def training_batches(self, epoch: int) -> Iterator[Batch]: ...

    def validation_batches(self) -> Iterator[Batch]: ...


class PairSource:
    """The training and validation parts of a folder of pairs, kept decoded as uint8 in memory.

    Args:
        height, width: the network's input size.
        paints_luma: whether the network learns the colour stills' luma as well, as `classic` does.

    Raises:
        PairsError: a still cannot be read, or a part is empty.
        TrainingError: there is only one pair to train on.
    """

    def __init__(
        self,
        pairs: Pairs,
        split: Split,
        options: TrainingOptions,
        *,
        height: int,
        width: int,
        paints_luma: bool = False,
    ) -> None:
        self.options = options
        self.size = height, width
        self.matrix = pairs.matrix
        # Stills to take parts from keep their size, so that parts are scaled only once. Square
        # stills are the exception: they hold squeezed pictures, so they are stretched first.
        size = pairs.undistorted_size[::-1] if options.augmentation else self.size
        chosen = pairs.part("train", split)
        if len(chosen) < 2:
            raise _single_pair(pairs, split)
        self.training = _load_stills(pairs, chosen, *size)
        self.shot_weights = _shot_weights(chosen, options.shot_balance)
        luma, rgb, known = _load_stills(pairs, pairs.part("validation", split), *self.size)
        if not paints_luma:
            rgb = _true_colors(luma, rgb, known, pairs.matrix)
        self.validation = luma, rgb, known
        self.steps_per_epoch = steps_per_epoch(len(self.training[0]), options)
        self.identity = {
            "training pairs": len(self.training[0]),
            "validation pairs": len(self.validation[0]),
            "picture size": f"{width}x{height}",
            "checksum of the pictures": _checksum(
                *self.training, *self.validation, self.shot_weights
            ),
        }

    def training_batches(self, epoch: int) -> Iterator[Batch]:
        seed = self.options.seed_of(epoch)
        generator, rng = torch.Generator().manual_seed(seed), random.Random(seed)
        luma, rgb, known = self.training
        ends = [self.options.batch_size * step for step in range(1, self.steps_per_epoch)]
        for chosen in self._order(generator).tensor_split(ends):
            if self.options.augmentation is None:
                yield _to_unit((luma[chosen], rgb[chosen], known[chosen]))
            else:
                yield self._parts(chosen, self.options.augmentation, epoch, rng, generator)

    def _order(self, generator: torch.Generator) -> Tensor:
        """Return the indices of the stills that an epoch shows, in order."""
        count = len(self.training[0])
        pictures = pictures_per_epoch(count, self.options)
        if self.options.shot_balance:
            return self.shot_weights.multinomial(pictures, replacement=True, generator=generator)
        passes = pictures // count
        return torch.cat([torch.randperm(count, generator=generator) for _ in range(passes)])

    def _parts(
        self,
        chosen: Tensor,
        augmentation: Augmentation,
        epoch: int,
        rng: random.Random,
        generator: torch.Generator,
    ) -> Batch:
        is_early = epoch <= self.options.early_epochs
        scale = augmentation.early_scale if is_early else augmentation.scale
        height, width = (round(side * scale) for side in self.size)
        size = (
            (multiple_of_16(min(height, width)),) * 2 if augmentation.squares else (height, width)
        )
        batch = []
        for index in chosen.tolist():
            stills = torch.cat([planes[index] for planes in self.training])  # (5, H, W)
            part = random_part(
                stills,
                size,
                rng,
                least=augmentation.min_crop,
                mirrors=augmentation.mirrors,
                stretch=augmentation.stretch,
            )
            if rng.random() < augmentation.tone_share:
                part[:1] = vary_tone(part[:1], rng).clamp(0, 1)
            batch.append(part)
        parts = torch.stack(batch)
        if augmentation.patched_share:
            parts = patched(
                parts, augmentation.patched_share, generator, largest=augmentation.max_patch
            )
        luma, rgb, known = parts.split((1, 3, 1), dim=1)
        return luma, unpremultiplied(rgb, known, self.matrix), known

    def validation_batches(self) -> Iterator[Batch]:
        yield from map(
            _to_unit, zip(*(p.split(self.options.batch_size) for p in self.validation), strict=True)
        )


def _shot_weights(chosen: list[Pair], balance: float) -> Tensor:
    """Return unnormalized sampling weights of the pairs, (N,)."""
    lengths = Counter(pair.shot for pair in chosen)
    return torch.tensor([lengths[pair.shot] ** -balance for pair in chosen])


def _single_pair(pairs: Pairs, split: Split) -> TrainingError:
    """Return the error for a train part with a single pair."""
    part, mend = f"the train part of the pairs in {pairs.folder}", "or give another --split"
    if isinstance(split, Undivided):
        part, mend = str(pairs.folder), "and paint another"
    return TrainingError(
        f"{part} holds a single pair, and training needs two or more; extract more stills with"
        f" --every, {mend}"
    )


def _load_stills(pairs: Pairs, chosen: list[Pair], height: int, width: int) -> Batch:
    """Load all chosen pairs as one `Batch`, but uint8."""
    luma, rgb, known = (
        torch.empty(len(chosen), planes, height, width, dtype=torch.uint8) for planes in (1, 3, 1)
    )
    for index, pair in enumerate(chosen):
        grey, color, mask = (torch.from_numpy(np.array(still)) for still in pairs.read(pair))
        luma[index] = resize(grey[None, None], height, width)[0]
        known[index] = resize(mask[None, None], height, width)[0]
        resized = resize(color.permute(2, 0, 1)[None], height, width)
        colors = unpremultiplied(resized / 255, known[index] / 255, pairs.matrix)
        rgb[index] = (colors * 255).round()[0]
    return luma, rgb, known


def _true_colors(luma: Tensor, rgb: Tensor, known: Tensor, matrix: str) -> Tensor:
    """Compute `pairs.true_colors` of uint8 stills."""
    colors = torch.empty_like(rgb)
    stills = zip(luma.split(1), rgb.split(1), known.split(1), strict=True)  # one by one, for memory
    for color, still in zip(colors.split(1), stills, strict=True):
        color.copy_((true_colors(*_to_unit(still), matrix) * 255).round())
    return colors


def _checksum(*pictures: Tensor) -> int:
    checksum = 0
    for part in pictures:
        checksum = zlib.crc32(part.numpy().data, checksum)
    return checksum


def _to_unit(batch: Batch) -> Batch:
    luma, rgb, known = (planes.float() / 255 for planes in batch)
    return luma, rgb, known

"""Data and options of short trainings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from filmcolorizer_cli.batches import Batch, PairSource
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.recipes import Augmentation, TrainingOptions
from filmcolorizer_cli.splits import Split, split_by_time

SQUARES = Augmentation(
    squares=True, min_crop=0.6, early_scale=1 / 2, scale=1 / 2, tone_share=0.5, mirrors=True
)
GROWING = replace(SQUARES, scale=1.0)
# What weights and checkpoints record of a 2020-style training, besides epochs, batches and rate.
PLAIN_OPTIONS = {
    "augmentation": None,
    "frozen_stages": 0,
    "blend": False,
    "max_trained_share": 1.0,
    "weight_decay": 0.01,
    "colorfulness_weight": 0.0,
    "colorfulness_restored": 0.0,
    "cooldown_share": 0.4,
    "averaging_share": 0.05,
    "path_drop_rate": 0.0,
    "feature_drop_rate": 0.0,
    "shot_balance": 0.0,
}


def options(epochs: int = 4, **changes: Any) -> TrainingOptions:
    return TrainingOptions(**{"epochs": epochs, "batch_size": 4, "learning_rate": 2e-3, **changes})


def split_of(pairs: Pairs) -> Split:
    return split_by_time(pairs.pairs)


def source(pairs: Pairs, *, height: int = 32, width: int = 43, **changes: Any) -> PairSource:
    return PairSource(pairs, split_of(pairs), options(**changes), height=height, width=width)


def stills(pairs: Pairs, side: str, numbers: range) -> torch.Tensor:
    """Read stills (N, C, 32, 43) in [0, 1] with Pillow."""
    arrays = [np.array(Image.open(pairs.folder / side / f"{n:06d}.png")) for n in numbers]
    channels_last = torch.from_numpy(np.stack(arrays).reshape(len(numbers), 32, 43, -1))
    return channels_last.permute(0, 3, 1, 2) / 255


def batch_of(*pictures: torch.Tensor) -> Batch:
    """Return a batch of pictures (3, H, W), known everywhere, with random luma."""
    rgb = torch.stack(pictures)
    luma = torch.rand(len(rgb), 1, *rgb.shape[-2:])
    return luma, rgb, torch.ones_like(luma)

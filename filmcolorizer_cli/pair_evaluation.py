"""Metrics over pairs, for a network and the naive baseline."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from filmcolorizer_cli import metrics
from filmcolorizer_cli.color import WORKING_MATRIX, change_matrix, colored, resize, unpremultiplied
from filmcolorizer_cli.errors import PairsError, WeightsError
from filmcolorizer_cli.networks import ClassicNetwork, Network, autocast, for_inference
from filmcolorizer_cli.pairs import Pair, Pairs, still_size, true_colors
from filmcolorizer_cli.splits import (
    InterleavedSplit,
    Part,
    Split,
    Undivided,
    read_split,
    split_by_time,
)
from filmcolorizer_cli.upsampling import fit_chroma
from filmcolorizer_cli.video import may_be_same_film

# Limits of a batch of stills: their number, and their pixels in all.
BATCH_SIZE, BATCH_PIXELS = 32, 1 << 21


@dataclass(frozen=True)
class Score:
    """Metrics of one way of colouring on one part of the pairs, as means over the pictures.

    Each picture is measured where its colours are known; all pictures have the same weight.

    Attributes:
        mse: mean squared error on R'G'B' in [-1, 1], as in 2020.
        mse_ratio: mse divided by the naive baseline's; None if the truth itself is grey.
        psnr: in dB.
        colorfulness, true_colorfulness: colourfulness of the output and of the truth.
    """

    pairs: int
    mse: float
    mse_ratio: float | None
    psnr: float
    colorfulness: float
    true_colorfulness: float


@dataclass(frozen=True)
class PairScore:
    """Metrics of one pair, as in `Score`; ``grey_mse`` and ``grey_psnr`` are the baseline's."""

    pair: Pair
    part: Part
    mse: float
    psnr: float
    colorfulness: float
    grey_mse: float
    grey_psnr: float
    true_colorfulness: float


@dataclass(frozen=True)
class Evaluation:
    """Scores by part, for the naive baseline (the grey frame itself) and for the network.

    Attributes:
        pairs: metrics of each pair, part by part in order of time.
    """

    baseline: dict[Part, Score]
    network: dict[Part, Score]
    pairs: tuple[PairScore, ...] = ()


def split_for(pairs: Pairs, about: dict[str, Any]) -> Split:
    """Return the split that a model was trained with on this film; 70/15/15 by time for others.

    A model trained with ``--split none`` counts as another model if there are more pairs than it
    was trained on.

    Args:
        about: the model's description; training writes ``split``, ``film`` and ``pairs``, the
            number of training pairs, into it.

    Raises:
        PairsError: the pairs show too few shots to be split, or their spacing is not the split's.
        WeightsError: the description is damaged.
    """
    if "split" not in about:
        return split_by_time(pairs.pairs)
    film, count = about.get("film", {}), about.get("pairs", 0)
    if not isinstance(film, dict) or not isinstance(count, int):
        raise WeightsError(
            "the record of the training film in the weights is damaged"
            f" ({film}, {count} pairs); give others with --model"
        )
    if not may_be_same_film(film, pairs.film):
        return split_by_time(pairs.pairs)
    try:
        split = read_split(about["split"])
    except ValueError:
        raise WeightsError(
            f"the split stored in the weights is damaged ({about['split']}); give others with"
            " --model"
        ) from None
    if isinstance(split, Undivided) and len(pairs.pairs) > count:
        return split_by_time(pairs.pairs)
    if isinstance(split, InterleavedSplit) and split.every != pairs.every:
        raise PairsError(
            f"the network was trained on every other still of one in {split.every} frames, and"
            f" {pairs.folder} holds one in {pairs.every}; extract pairs with --every {split.every}"
        )
    return split


def evaluate(
    pairs: Pairs, split: Split, network: Network, device: torch.device, *, size: int | None = None
) -> Generator[int, None, Evaluation]:
    """Colorize all grey stills like frames of films, and compare them with the colour stills.

    Args:
        size: size of the comparison, as in `pairs.still_size`; None for the size of the stills.

    Yields:
        The number of pairs compared so far.

    Raises:
        PairsError: a part has no pairs, or a still cannot be read.
    """
    members = {part: pairs.part(part, split) for part in split.measured}
    rows: dict[Part, list[Tensor]] = {part: [] for part in members}
    folded = for_inference(network, device, is_faded=pairs.is_faded)
    done = 0
    stored = pairs.width, pairs.height
    width, height = stored if size is None else still_size(size, pairs.aspect_ratio)
    step = max(min(BATCH_SIZE, BATCH_PIXELS // max(prod(stored), width * height)), 1)
    for part, chosen in members.items():
        for start in range(0, len(chosen), step):
            luma, truth, known = read_batch(pairs, chosen[start : start + step], network)
            output = predict_rgb(folded, luma, pairs.aspect_ratio, device, pairs.matrix)
            if size is not None:
                luma, output, truth, known = (
                    resize(p, height, width) for p in (luma, output, truth, known)
                )
                truth = unpremultiplied(truth, known, pairs.matrix)
            rows[part].append(_measure(luma, output, truth, known))
            for _ in truth:
                done += 1
                yield done
    measured = {part: torch.cat(rows[part]) for part in members}
    return Evaluation(
        baseline={part: _score(measured[part], is_baseline=True) for part in members},
        network={part: _score(measured[part], is_baseline=False) for part in members},
        pairs=tuple(
            PairScore(pair, part, *row)
            for part in members
            for pair, row in zip(members[part], measured[part].tolist(), strict=True)
        ),
    )


@torch.inference_mode()
def predict_rgb(
    network: Network,
    luma: Tensor,
    aspect_ratio: float,
    device: torch.device,
    matrix: str = WORKING_MATRIX,
) -> Tensor:
    """Colour stills like frames of films: chroma is predicted at the network's size, luma is kept.

    Smaller stills, which are rare among films, are not enlarged, since that would only blur the
    network's input. `classic` predicts R'G'B' itself, which is returned as it is, as in 2020.

    Args:
        luma: (B, 1, H, W) in [0, 1].
        aspect_ratio: display aspect ratio of the film.
        matrix: the film's Y'CbCr matrix, a key of ``color.MATRICES``.

    Returns:
        R'G'B' (B, 3, H, W) in [0, 1].
    """
    height, width = luma.shape[-2:]
    config = replace(network.config, size=min(network.config.size, height, width))
    small = resize(luma, *config.working_size(aspect_ratio))
    small = small.to(device, memory_format=torch.channels_last)
    with autocast(device):
        if isinstance(network, ClassicNetwork):
            return resize(network.predict_rgb(small).cpu(), height, width)
        chroma = network.predict_chroma(small).cpu()
    chroma = change_matrix(chroma, WORKING_MATRIX, matrix)
    return colored(luma, fit_chroma(luma, chroma, matrix), matrix)


def read_batch(pairs: Pairs, chosen: list[Pair], network: Network) -> tuple[Tensor, Tensor, Tensor]:
    """Read luma (B, 1, H, W), R'G'B' (B, 3, H, W) and its known share (B, 1, H, W), in [0, 1].

    The colours are the network's target: `pairs.true_colors`, or the colour stills themselves for
    `classic`, which predicts luma as well.
    """
    grey, color, known = (np.stack(planes) for planes in zip(*map(pairs.read, chosen), strict=True))
    planes = (grey[..., None], color, known[..., None])
    luma, rgb, where = (torch.from_numpy(p).permute(0, 3, 1, 2).float() / 255 for p in planes)
    if not isinstance(network, ClassicNetwork):
        rgb = true_colors(luma, rgb, where, pairs.matrix)
    return luma, rgb, where


def _measure(luma: Tensor, output: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Return the metrics of `PairScore` for each pair, (B, 6), where colours are known."""
    grey = luma.expand(-1, 3, -1, -1)
    columns = (
        metrics.mse(output, truth, known),
        metrics.psnr(output, truth, known),
        metrics.colorfulness(output, known),
        metrics.mse(grey, truth, known),
        metrics.psnr(grey, truth, known),
        metrics.colorfulness(truth, known),
    )
    return torch.stack(columns, dim=1)


def _score(rows: Tensor, *, is_baseline: bool) -> Score:
    mse, psnr, colorfulness, grey_mse, grey_psnr, true_colorfulness = rows.mean(dim=0).tolist()
    if is_baseline:
        mse, psnr, colorfulness = grey_mse, grey_psnr, 0.0
    ratio = mse / grey_mse if grey_mse else None
    return Score(len(rows), mse, ratio, psnr, colorfulness, true_colorfulness)

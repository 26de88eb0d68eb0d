"""Losses and the training loop."""

from __future__ import annotations

import copy
import csv
import json
import math
import random
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from filmcolorizer_cli import metrics, weights
from filmcolorizer_cli.augmentation import patched, random_part, vary_tone
from filmcolorizer_cli.color import (
    LEAST_KNOWN,
    half_size,
    resize,
    rgb_to_ycbcr,
    unmixed,
    ycbcr_to_rgb,
)
from filmcolorizer_cli.errors import OptionError, TrainingError, WeightsError
from filmcolorizer_cli.files import replacing
from filmcolorizer_cli.networks import (
    ARCHITECTURES,
    ClassicConfig,
    ClassicNetwork,
    FilmNetwork,
    Network,
    autocast,
    build,
    for_inference,
)
from filmcolorizer_cli.pairs import Pair, Pairs, Split, Undivided

CHROMA_LOSS_BETA = 0.05  # chroma error at which the film loss turns from squared to absolute
SATURATION_WEIGHT = 15.0  # a pixel of chroma c counts 1 + 15 |c| times, since most pixels are dull
ENCODER_LEARNING_RATE_SHARE = 0.25  # the encoder comes pretrained and moves gently
WARMUP_STEPS = 200
# Up to about this a picture's loss counts in proportion, beyond it by its logarithm, as in PSNR.
GOOD_LOSS = 0.02
COLORFULNESS_FLOOR = 0.01  # where colourfulness begins to count, squared

# A film's own training: minutes on two cores, however many pairs there are.
FILM_PICTURES = 8_000  # that a training sees where later shots are foreign to it
SCRATCH_PICTURES = 16_000  # and where it begins with weights that know no colours
WHOLE_FILM_PICTURES = 18_000  # and where it sees all shots, and is to learn them by heart
# And where these are a few painted ones: of eight shots of Big Buck Bunny three times as many made
# the error no less, and that of all others more.
PAINTED_PICTURES = 6_000
FEWEST_EPOCHS = 2  # however many pairs there are
FEWEST_EPOCHS_BY_HEART = 4
PICTURES_PER_EPOCH = 512  # or more, so that the batch norms of a few pairs see many of their parts
FROZEN_STAGES = 2  # of the encoder: edges and textures are the same in any film
BLENDS = (0.25, 0.5, 0.75)  # shares of the trained weights that are tried, besides none and all
# The share that is made up for of what colours lack of colourfulness, since small coloured things
# come out paler, and foreign ones too; all of it would make the others wrong. And by what, at most.
LIVELINESS = 0.4
LIVELIEST = 1.1

# Luma (B, 1, H, W), R'G'B' (B, 3, H, W), and where that is known (B, 1, H, W); all in [0, 1].
Batch = tuple[Tensor, Tensor, Tensor]


class BatchSource(Protocol):
    """Where training takes its pictures from; what it yields depends on the epoch alone.

    Attributes:
        identity: plain values that tell one source from another, by what a user would call them.
    """

    steps_per_epoch: int
    identity: dict[str, Any]

    def training_batches(self, epoch: int) -> Iterator[Batch]: ...

    def validation_batches(self) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Augmentation:
    """Which random parts of the stills training sees, and how they vary.

    Attributes:
        squares: whether they are squares; else they have the shape of the film's picture.
        least_crop: the smallest part, as a share of the largest of its shape.
        early_scale, scale: what parts are scaled to, as shares of the network's size: small and
            cheap ones at first, larger ones once the learning rate cools down.
        tone_share: of the parts, seen in another tone.
        mirrors: whether half of the parts are mirrored.
        stretch: by how much they differ in shape; see `augmentation.random_part`.
        patched_share: of the parts, that show another one in a rectangle.
        largest_patch: of these rectangles, as a share of the part's area.
    """

    squares: bool
    least_crop: float
    early_scale: float
    scale: float
    tone_share: float
    mirrors: bool
    stretch: float = 0.0
    patched_share: float = 0.0
    largest_patch: float = 0.0


# For shots that are foreign to the network, and for those that it is to learn by heart: as they are
# looked at later, since what is learnt so is known in this size and place alone.
TO_GENERALIZE = Augmentation(
    squares=True,
    least_crop=0.35,
    early_scale=5 / 6,
    scale=5 / 6,
    tone_share=0.5,
    mirrors=True,
    stretch=0.15,
    patched_share=0.4,
    largest_patch=0.3,
)
BY_HEART = Augmentation(
    squares=False, least_crop=0.9, early_scale=0.6, scale=1.0, tone_share=0.0, mirrors=False
)
BY_HEART_SIZE = 5 / 6  # of the stills' size; more takes longer than it is worth


@dataclass(frozen=True)
class TrainingOptions:
    """What decides the result of a training run, besides the pictures and the first weights.

    Attributes:
        learning_rate: of the decoder at its highest; `classic` uses it throughout.
        augmentation: None to show the stills themselves, whole.
        frozen_stages: so many of the encoder's first stages (and what comes before them) keep the
            weights they came with.
        blend: keep what does best between the first weights and the trained ones, be it those with
            the least loss or the last, and not only one of both.
        weight_decay: of `film` (AdamW's).
        colorfulness_weight: of a unit of colourfulness too much or too little, in `film_loss`.
        liveliness: of `film`; the share that is made up for, once it is trained, of what colours
            lack of colourfulness on the validation part.
        cooldown_share: of the steps of `film`, at the end, over which the learning rate falls to
            nothing.
        averaging_share: of the steps of `film`, that the moving average of the weights reaches
            back over.
        path_drop_rate, feature_drop_rate: of `film`; how often parts of it are left out at random
            (`Encoder.drop_paths`, `FilmNetwork.drop_features`).
        shot_balance: how much the stills of long shots are shown less often: 0 shows each as often
            as the others, 1 each shot; beyond 0 they are drawn with replacement, so that an epoch
            leaves some out. 0.5 is square-root sampling (Mahajan et al. 2018, "Exploring
            the limits of weakly supervised pretraining").
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    augmentation: Augmentation | None = None
    frozen_stages: int = 0
    blend: bool = False
    weight_decay: float = 0.01
    colorfulness_weight: float = 0.0
    liveliness: float = 0.0
    cooldown_share: float = 0.4
    averaging_share: float = 0.05
    path_drop_rate: float = 0.0
    feature_drop_rate: float = 0.0
    shot_balance: float = 0.0

    def seed_of(self, epoch: int) -> int:
        """What decides all that is random in an epoch."""
        return (self.seed * 1_000_003 + epoch) % 2**63

    @property
    def early_epochs(self) -> int:
        """How many epochs show small pictures: those before the learning rate cools down."""
        return math.floor(self.epochs * (1 - self.cooldown_share))


def default_options(
    arch: str, pairs: int, *, is_pretrained: bool, shows_all: bool, is_painted: bool = False
) -> TrainingOptions:
    """What suits the training on so many pairs of one film; `classic` trains as in 2020.

    Args:
        is_pretrained: whether the first weights know colours already.
        shows_all: whether the pairs show all shots that matter, or others will come.
        is_painted: whether these are a handful, painted by hand.
    """
    if arch == ClassicConfig.arch:
        return TrainingOptions(epochs=20, batch_size=16, learning_rate=1e-4)
    if is_painted:
        pictures = PAINTED_PICTURES
    elif shows_all:
        pictures = WHOLE_FILM_PICTURES
    else:
        pictures = FILM_PICTURES if is_pretrained else SCRATCH_PICTURES
    fewest = FEWEST_EPOCHS_BY_HEART if shows_all else FEWEST_EPOCHS
    options = TrainingOptions(
        epochs=max(fewest, round(pictures / (pairs * _passes(pairs)))),
        batch_size=16,
        learning_rate=3e-3,
        augmentation=BY_HEART,
        frozen_stages=FROZEN_STAGES if is_pretrained else 0,
        blend=is_pretrained,
        liveliness=LIVELINESS,
    )
    if shows_all:
        return options
    # A film has few shots, and they are learnt by heart soon, which tells nothing of the others. So
    # parts of them and of the network are left out at random, and no rate falls for long.
    return replace(
        options,
        learning_rate=2e-3,
        augmentation=TO_GENERALIZE,
        weight_decay=0.05,
        cooldown_share=0.1,
        averaging_share=0.1,
        path_drop_rate=0.2,
        feature_drop_rate=0.15,
        shot_balance=0.5,
    )


def default_size(arch: str, pairs: Pairs, *, shows_all: bool) -> int:
    """The short side, in pixels, of the picture that a network looks at which learns these pairs.

    Args:
        shows_all: as in `default_options`.
    """
    if arch == ClassicConfig.arch:
        return ClassicConfig.size
    side = min(pairs.width, pairs.height)
    return _multiple_of_16(side * BY_HEART_SIZE) if shows_all else side


@dataclass(frozen=True)
class Epoch:
    """One line of a training's history; losses are means over the part.

    Attributes:
        seconds: that it took; None by the history in weights, since the same training is to give
            the same file.
    """

    epoch: int
    training_loss: float
    validation_loss: float
    learning_rate: float
    seconds: float | None


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The epoch with the lowest validation loss, of one or more."""
    return min(history, key=lambda epoch: epoch.validation_loss)


@dataclass(frozen=True)
class Outcome:
    """Which weights a training keeps.

    Attributes:
        trained_share: 1 for the trained weights, 0 for those it began with, between for a blend.
        validation_mse, first_validation_mse: of these weights, and of those it began with; on
            R'G'B' in [-1, 1] at the size that the network looks at.
        epoch: whose trained weights have a share in these; of no meaning where that is 0.
    """

    trained_share: float
    validation_mse: float
    first_validation_mse: float
    epoch: int


@dataclass(frozen=True)
class Step:
    """How far training is after a step.

    Attributes:
        pictures: how many it learned from in this step.
        finished: on the last step of an epoch, how that went.
        network: then, with the weights that were validated; it goes on changing.
    """

    epoch: int
    loss: float
    pictures: int
    finished: Epoch | None = None
    network: Network | None = None


class PairSource:
    """The training and validation parts of a folder of pairs, kept decoded as uint8 in memory.

    Args:
        height, width: the size that the network works in.

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
    ) -> None:
        self.options = options
        self.size = height, width
        # Parts are scaled once.
        size = (pairs.height, pairs.width) if options.augmentation else self.size
        chosen = pairs.part("train", split)
        if len(chosen) < 2:
            raise _single_pair(pairs, split)
        self.training = _load_stills(pairs, chosen, *size)
        self.shot_weights = _shot_weights(chosen, options.shot_balance)
        self.validation = _load_stills(pairs, pairs.part("validation", split), *self.size)
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
        generator, dice = torch.Generator().manual_seed(seed), random.Random(seed)
        luma, rgb, known = self.training
        ends = [self.options.batch_size * step for step in range(1, self.steps_per_epoch)]
        for chosen in self._order(generator).tensor_split(ends):
            if self.options.augmentation is None:
                yield _to_unit((luma[chosen], rgb[chosen], known[chosen]))
            else:
                yield self._parts(chosen, self.options.augmentation, epoch, dice, generator)

    def _order(self, generator: torch.Generator) -> Tensor:
        """The numbers of the stills that an epoch shows."""
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
        dice: random.Random,
        generator: torch.Generator,
    ) -> Batch:
        is_early = epoch <= self.options.early_epochs
        scale = augmentation.early_scale if is_early else augmentation.scale
        height, width = (round(side * scale) for side in self.size)
        size = (
            (_multiple_of_16(min(height, width)),) * 2 if augmentation.squares else (height, width)
        )
        batch = []
        for index in chosen.tolist():
            stills = torch.cat([planes[index] for planes in self.training])  # (5, H, W)
            part = random_part(
                stills,
                size,
                dice,
                least=augmentation.least_crop,
                mirrors=augmentation.mirrors,
                stretch=augmentation.stretch,
            )
            if dice.random() < augmentation.tone_share:
                part[:1] = vary_tone(part[:1], dice).clamp(0, 1)
            batch.append(part)
        parts = torch.stack(batch)
        if augmentation.patched_share:
            parts = patched(
                parts, augmentation.patched_share, generator, largest=augmentation.largest_patch
            )
        luma, rgb, known = parts.split((1, 3, 1), dim=1)
        return luma, unmixed(rgb, known), known

    def validation_batches(self) -> Iterator[Batch]:
        yield from map(
            _to_unit, zip(*(p.split(self.options.batch_size) for p in self.validation), strict=True)
        )


def _multiple_of_16(pixels: float) -> int:
    """So that the deepest features, at a 32nd, cut off little."""
    return max(round(pixels / 16), 1) * 16


def steps_per_epoch(pairs: int, options: TrainingOptions) -> int:
    """How many batches show so many pictures as `pictures_per_epoch` tells.

    A last one alone joins the batch before it, since batch norm cannot learn from one picture.
    """
    return max(math.ceil((pictures_per_epoch(pairs, options) - 1) / options.batch_size), 1)


def pictures_per_epoch(pairs: int, options: TrainingOptions) -> int:
    """How many pictures an epoch shows of so many training pairs."""
    return pairs * _passes(pairs) if options.augmentation else pairs


def _passes(pairs: int) -> int:
    """How often an epoch shows pairs of which it takes random parts: a few of them more often."""
    return math.ceil(PICTURES_PER_EPOCH / pairs)


def film_loss(
    network: FilmNetwork,
    luma: Tensor,
    rgb: Tensor,
    known: Tensor,
    colorfulness_weight: float = 0.0,
) -> Tensor:
    """Smooth L1 on chroma at half size, weighted by saturation, as a mean of logarithms.

    A pixel counts by the saturation of the truth, a picture by the logarithm of its loss: what can
    have any colour does not outweigh what can be known. What is left to guess would come out grey,
    the mean of all guesses; so the colourfulness of each picture may be held to that of the truth.
    A picture of which less is known counts less.
    """
    share = half_size(known)
    truth = half_size(rgb_to_ycbcr(rgb)[:, 1:] * known) / share.clamp_min(LEAST_KNOWN)
    output = network(luma).float()
    error = F.smooth_l1_loss(output, truth, beta=CHROMA_LOSS_BETA, reduction="none")
    error = error.sum(dim=1, keepdim=True)
    weight = 1 + SATURATION_WEIGHT * truth.square().sum(dim=1, keepdim=True).sqrt()
    losses = (metrics.mean(error * weight, share) / GOOD_LOSS).log1p()
    if colorfulness_weight:
        excess = _colorfulness(output, share) - _colorfulness(truth, share)
        losses = losses + colorfulness_weight * excess.abs()
    counts = share.sum(dim=(1, 2, 3))
    return (losses * counts).sum() / counts.sum().clamp_min(1)


def _colorfulness(chroma: Tensor, known: Tensor) -> Tensor:
    """Of each picture (B,), which its luma has no part in."""
    picture = F.pad(chroma, (0, 0, 0, 0, 1, 0))  # luma 0 before both planes of chroma
    return metrics.colorfulness(ycbcr_to_rgb(picture), known, floor=COLORFULNESS_FLOOR)


def classic_loss(network: ClassicNetwork, luma: Tensor, rgb: Tensor, known: Tensor) -> Tensor:
    """Mean squared error on RGB in [-1, 1], as in 2020."""
    error = (network(luma.expand(-1, 3, -1, -1) * 2 - 1).float() - (rgb * 2 - 1)).square()
    return (error * known).sum() / (known.sum() * 3).clamp_min(1e-6)


def loss_of(
    network: Network,
    luma: Tensor,
    rgb: Tensor,
    known: Tensor,
    colorfulness_weight: float = 0.0,
) -> Tensor:
    """The network's own loss; only that of `film` heeds the weight."""
    if isinstance(network, FilmNetwork):
        return film_loss(network, luma, rgb, known, colorfulness_weight)
    return classic_loss(network, luma, rgb, known)


class Trainer:
    """Trains a network, keeps its best weights, and can go on after a kill as if nothing happened.

    After each epoch everything needed to go on lies in the checkpoint file. What an epoch does
    depends on the seed and its number alone, so a resumed run equals an uninterrupted one.

    Args:
        init: what the network's weights are called; none are resumed that began with others.
    """

    def __init__(
        self,
        network: Network,
        source: BatchSource,
        options: TrainingOptions,
        *,
        checkpoint: Path,
        device: torch.device,
        init: str | None = None,
    ) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.source = source
        self.options = options
        self.checkpoint = checkpoint
        self.device = device
        self.init = init
        self.history: list[Epoch] = []
        self.first_state = _snapshot(network)
        self.best_state = self.first_state
        if isinstance(network, FilmNetwork):
            network.encoder.freeze(options.frozen_stages)
            network.encoder.drop_paths(options.path_drop_rate)
            network.drop_features(options.feature_drop_rate)
        self.optimizer = _optimizer(network, options)
        self.average = self._moving_average()

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation loss so far; its weights are ``best_state``."""
        return best_epoch(self.history)

    def run(self) -> Iterator[Step]:
        """Train the epochs that remain, yielding after every step.

        Raises:
            TrainingError: the loss is no longer a number.
            FilmColorizerError: the checkpoint cannot be written.
        """
        for number in range(len(self.history) + 1, self.options.epochs + 1):
            started = time.monotonic()
            losses: list[float] = []
            torch.manual_seed(self.options.seed_of(number))  # which parts are left out
            for batch in self.source.training_batches(number):
                self._set_learning_rate((number - 1) * self.source.steps_per_epoch + len(losses))
                losses.append(self._step(batch))
                self._check_finite(losses[-1], number)
                if len(losses) < self.source.steps_per_epoch:
                    yield Step(number, losses[-1], len(batch[0]))
            validation_loss = self._validation_loss(self.averaged)
            self._check_finite(validation_loss, number)
            epoch = Epoch(
                epoch=number,
                training_loss=sum(losses) / len(losses),
                validation_loss=validation_loss,
                learning_rate=self.optimizer.param_groups[-1]["lr"],
                seconds=time.monotonic() - started,
            )
            self.history.append(epoch)
            if self.best is epoch:
                self.best_state = _snapshot(self.averaged)
            self.save_checkpoint()
            yield Step(number, losses[-1], len(batch[0]), epoch, self.averaged)

    def _check_finite(self, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} in epoch {epoch}; start again with a lower --lr than"
                f" {self.options.learning_rate:g}"
            )

    def finish(self) -> tuple[dict[str, Tensor], Outcome]:
        """The weights to keep, once all epochs are done: those nearest to the validation part.

        Between weights that know much and those trained from them on little lie weights that know
        both (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). What tells them apart
        is the squared error that `eval` shows, not the loss; so blends are made of the last weights
        as well as of those with the least loss. Of the colourfulness that is lacking some is made
        up for at last, which may cost a part of what the error has gained, but never all of it.
        """
        network = copy.deepcopy(self.network)
        ends, shares = {self.best.epoch: self.best_state}, [1.0]
        if self.options.blend:
            # Of trained weights, the loss of which may be higher already, a blend is often better.
            ends.setdefault(len(self.history), _snapshot(self.averaged))
            shares = [*BLENDS, 1.0]
        found: dict[tuple[float, int], float] = {}
        for share, epoch in [(0.0, self.best.epoch), *product(shares, ends)]:
            network.load_state_dict(_blended(self.first_state, ends[epoch], share))
            found[share, epoch] = self._validation_mse(network)
        first_mse = found[0.0, self.best.epoch]
        kept, epoch = min(found, key=lambda way: found[way])
        state, mse = _blended(self.first_state, ends[epoch], kept), found[kept, epoch]
        if kept and self.options.liveliness and isinstance(network, FilmNetwork):
            network.load_state_dict(state)
            livelier = _livelier(state, self._liveliness(network))
            network.load_state_dict(livelier)
            if (livelier_mse := self._validation_mse(network)) < first_mse:
                mse, state = livelier_mse, livelier
        return state, Outcome(kept, mse, first_mse, epoch)

    def save_checkpoint(self) -> None:
        """Write all state, in place of the checkpoint before."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"first.{k}": v for k, v in self.first_state.items()}
        tensors |= {f"best.{k}": v for k, v in self.best_state.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        metadata = {
            "begun_with": json.dumps(self._begun_with()),
            "history": json.dumps([asdict(epoch) for epoch in self.history]),
        }
        weights.write_tensors(self.checkpoint, tensors, metadata)

    def load_checkpoint(self) -> None:
        """Take up where the checkpoint was written.

        Raises:
            TrainingError: there is none, or it was made with other options or for another network.
        """
        if not self.checkpoint.is_file():
            raise TrainingError(
                f"there is no interrupted training to resume: {self.checkpoint} does not exist;"
                " start one without --resume"
            )
        metadata, tensors = weights.read_tensors(self.checkpoint)
        try:
            self._check_options(json.loads(metadata["begun_with"]))
            self.network.load_state_dict(_with_prefix(tensors, "network."))
            self.average.load_state_dict(_with_prefix(tensors, "average."))
            self.first_state = _with_prefix(tensors, "first.")
            self.best_state = _with_prefix(tensors, "best.")
            self.history = [Epoch(**epoch) for epoch in json.loads(metadata["history"])]
            self._load_optimizer(_with_prefix(tensors, "optimizer."))
        except (KeyError, RuntimeError, TypeError, ValueError):
            raise TrainingError(
                f"the checkpoint {self.checkpoint} does not fit this training; resume with the same"
                " pairs and --arch as it was started with, or start anew with --overwrite"
            ) from None

    def _begun_with(self) -> dict[str, Any]:
        """What a resumed training must have in common with the interrupted one, by name."""
        # Options may follow from the pairs and the first weights, so that others are named first.
        arch = self.network.config.arch
        return {"arch": arch, **self.source.identity, "--init": self.init, **asdict(self.options)}

    def _check_options(self, begun_with: dict[str, Any]) -> None:
        for name, value in self._begun_with().items():
            if begun_with[name] != value:
                raise TrainingError(
                    f"the interrupted training in {self.checkpoint} was started with"
                    f" {name} {begun_with[name]}, not {value}; resume it with the same pairs,"
                    " --init and other options, or start anew with --overwrite"
                )

    def _load_optimizer(self, tensors: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _set_learning_rate(self, step: int) -> None:
        """`classic` keeps its rate, as in 2020; `film` warms up, holds it, and cools down."""
        rate = self.options.learning_rate
        groups = self.optimizer.param_groups
        if len(groups) == 1:
            return
        warmup = min(WARMUP_STEPS, self._steps // 10)
        cooldown = max(round(self._steps * self.options.cooldown_share), 1)
        rate *= min((step + 1) / (warmup + 1), (self._steps - step) / cooldown, 1.0)
        groups[0]["lr"] = rate * ENCODER_LEARNING_RATE_SHARE
        groups[1]["lr"] = rate

    @property
    def _steps(self) -> int:
        return self.options.epochs * self.source.steps_per_epoch

    def _moving_average(self) -> AveragedModel:
        """What is validated and kept: the average of the last weights; for `classic` the last."""
        share = self.options.averaging_share if isinstance(self.network, FilmNetwork) else 0.0
        decay = 1 - 1 / max(share * self._steps, 1.0)
        average = get_ema_multi_avg_fn(decay)
        return AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)

    @property
    def averaged(self) -> Network:
        """The network with the moving average of its weights."""
        module: Any = self.average.module
        return module

    def _step(self, batch: Batch) -> float:
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device):
            loss = loss_of(self.network, *self._move(batch), self.options.colorfulness_weight)
        loss.backward()
        self.optimizer.step()
        self.average.update_parameters(self.network)
        return loss.item()

    @torch.no_grad()
    def _validation_loss(self, network: Network) -> float:
        network = for_inference(network.eval(), self.device)
        total, count = 0.0, 0.0
        for batch in self.source.validation_batches():
            with autocast(self.device):
                loss = loss_of(network, *self._move(batch), self.options.colorfulness_weight)
            known = batch[2].sum().item()
            total += loss.item() * known
            count += known
        return total / max(count, 1.0)

    def _validation_mse(self, network: Network) -> float:
        errors = [metrics.mse(*outcome) for outcome in self._validation_outputs(network)]
        return torch.cat(errors).mean().item()

    def _liveliness(self, network: Network) -> float:
        """By what chroma is to be multiplied, for some of the colourfulness that it lacks."""
        both = [
            torch.stack([metrics.colorfulness(rgb, known) for rgb in (output, truth)])
            for output, truth, known in self._validation_outputs(network)
        ]
        found, true = torch.cat(both, dim=1).mean(dim=1).clamp(min=COLORFULNESS_FLOOR).tolist()
        return min(max(1 + self.options.liveliness * (true / found - 1), 1.0), LIVELIEST)

    @torch.no_grad()
    def _validation_outputs(self, network: Network) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """R'G'B' of the validation part: what the network makes, the truth, where it is known."""
        network = for_inference(network.eval(), self.device)
        for luma, rgb, known in self.source.validation_batches():
            with autocast(self.device):
                output = network.predict_rgb(luma.to(self.device))
            yield output.cpu(), rgb, known

    def _move(self, batch: Batch) -> Batch:
        luma, rgb, known = batch
        luma = luma.to(self.device, memory_format=torch.channels_last)
        return luma, rgb.to(self.device), known.to(self.device)


def first_network(arch: str, init: str, short_side: int, seed: int) -> tuple[Network, bool]:
    """The network that training starts from, and whether it knows colours already."""
    torch.manual_seed(seed)
    if init == "none":
        return build(ARCHITECTURES[arch][0](size=short_side)), False
    model = weights.find_model(init)
    if model.config["arch"] != arch:
        raise OptionError(
            f"the weights {model.path} are of the network {model.config['arch']!r}, not"
            f" {arch!r}; give --arch {model.config['arch']}, or another --init"
        )
    trained = weights.load(model)
    network = build(replace(trained.config, size=short_side))
    network.load_state_dict(trained.state_dict())
    return network, True


def train(
    network: Network,
    pairs: Pairs,
    split: Split,
    options: TrainingOptions,
    output: Path,
    *,
    device: torch.device,
    init: str | None = None,
    resume: bool = False,
) -> Iterator[Step | Outcome]:
    """Train a network on a film's pairs and write the weights that do best on its validation part.

    Beside ``output`` stand its history, for people (`history_file`), and until the end its
    checkpoint (`checkpoint_file`).

    Args:
        init: what the network's weights are called.
        resume: go on from the checkpoint, of a training that began with weights called so.

    Yields:
        After every step, so that progress can be shown; last of all the `Outcome`.

    Raises:
        PairsError: a still cannot be read, or a part is empty.
        TrainingError: training cannot be resumed, there is only one pair to train on, or the loss
            is no longer a number.
        FilmColorizerError: weights or checkpoint cannot be written.
    """
    height, width = network.config.working_size(pairs.aspect_ratio)
    source = PairSource(pairs, split, options, height=height, width=width)
    checkpoint = checkpoint_file(output)
    trainer = Trainer(network, source, options, checkpoint=checkpoint, device=device, init=init)
    if resume:
        trainer.load_checkpoint()
        _write_history(trainer.history, history_file(output))  # the kill may have come before it
    else:  # a checkpoint of an earlier training must not be taken for this one's
        checkpoint.unlink(missing_ok=True)
    for step in trainer.run():
        if step.finished:
            _write_history(trainer.history, history_file(output))
        yield step
    state, outcome = trainer.finish()
    about = {
        "description": f"the colours of {pairs.folder.resolve().name}",
        "film": pairs.film,
        "split": split.describe(),
        "training": asdict(options),
        "epoch": outcome.epoch,
        "trained_share": outcome.trained_share,
        "pairs": len(source.training[0]),
        "history": [asdict(replace(epoch, seconds=None)) for epoch in trainer.history],
    }
    weights.save(network, output, about=about, state=state)
    checkpoint.unlink()
    yield outcome


def checkpoint_file(output: Path) -> Path:
    """Where training keeps what it needs to go on."""
    return output.with_name(f"{output.stem}.checkpoint.safetensors")


def history_file(output: Path) -> Path:
    """Where training writes a line per epoch."""
    return output.with_suffix(".csv")


def read_history(output: Path) -> list[Epoch]:
    """The epochs that led to these weights, as they tell themselves; none where they do not.

    Raises:
        WeightsError: they cannot be read, or are damaged.
    """
    try:
        return [
            Epoch(
                int(epoch["epoch"]),
                float(epoch["training_loss"]),
                float(epoch["validation_loss"]),
                float(epoch["learning_rate"]),
                seconds=None,
            )
            for epoch in weights.read_model(output).about.get("history", [])
        ]
    except (KeyError, TypeError, ValueError):
        raise WeightsError(
            f"the weights in {output} tell of a training that is none; they are damaged, so give"
            " others"
        ) from None


def interrupted_history(output: Path) -> list[Epoch]:
    """The epochs that an interrupted training has finished; none where there is no such training.

    Raises:
        TrainingError: what has the name of its checkpoint is none, or is damaged.
    """
    checkpoint = checkpoint_file(output)
    if not checkpoint.exists():
        return []
    try:
        history = json.loads(weights.read_metadata(checkpoint)["history"])
        return [Epoch(**epoch) for epoch in history]
    except (KeyError, TypeError, ValueError, WeightsError):
        raise TrainingError(
            f"{checkpoint}, the name of this training's checkpoint, is something else or damaged;"
            " move it away, or name another file with -o"
        ) from None


def _write_history(history: list[Epoch], path: Path) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        table.writeheader()
        table.writerows(asdict(epoch) for epoch in history)


def _optimizer(network: Network, options: TrainingOptions) -> torch.optim.Optimizer:
    """The last parameter group learns at ``learning_rate``, the encoder at a share of it."""
    if isinstance(network, ClassicNetwork):
        return torch.optim.Adam(network.parameters(), options.learning_rate)
    encoder = [p for p in network.encoder.parameters() if p.requires_grad]
    decoder = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    return torch.optim.AdamW(
        [{"params": encoder}, {"params": decoder}],
        options.learning_rate,
        weight_decay=options.weight_decay,
    )


def _snapshot(network: Network) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _blended(
    first: dict[str, Tensor], trained: dict[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Weights, and statistics, between two networks; counts of a blend are those of the first."""
    if share == 1:
        return trained
    return {
        name: torch.lerp(tensor, trained[name], share) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
    }


def _livelier(state: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """Weights of `film` whose chroma is so many times as large."""
    return {k: v * factor if k.startswith("head.") else v for k, v in state.items()}


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _shot_weights(chosen: list[Pair], balance: float) -> Tensor:
    """How often each pair is shown, (N,), to be compared with each other only."""
    lengths = Counter(pair.shot for pair in chosen)
    return torch.tensor([lengths[pair.shot] ** -balance for pair in chosen])


def _single_pair(pairs: Pairs, split: Split) -> TrainingError:
    """The sentence for a train part of one still."""
    part, mend = f"the train part of the pairs in {pairs.folder}", "or give another --split"
    if isinstance(split, Undivided):
        part, mend = str(pairs.folder), "and paint another"
    return TrainingError(
        f"{part} holds a single pair, and training needs two or more; extract more stills with"
        f" --every, {mend}"
    )


def _load_stills(pairs: Pairs, chosen: list[Pair], height: int, width: int) -> Batch:
    """A `Batch` of all, of uint8."""
    luma, rgb, known = (
        torch.empty(len(chosen), planes, height, width, dtype=torch.uint8) for planes in (1, 3, 1)
    )
    for index, pair in enumerate(chosen):
        grey, color, mask = (torch.from_numpy(np.array(still)) for still in pairs.read(pair))
        luma[index] = resize(grey[None, None], height, width)[0]
        known[index] = resize(mask[None, None], height, width)[0]
        resized = resize(color.permute(2, 0, 1)[None], height, width)
        rgb[index] = (unmixed(resized / 255, known[index] / 255) * 255).round()[0]
    return luma, rgb, known


def _checksum(*pictures: Tensor) -> int:
    checksum = 0
    for part in pictures:
        checksum = zlib.crc32(part.numpy().data, checksum)
    return checksum


def _to_unit(batch: Batch) -> Batch:
    luma, rgb, known = (planes.float() / 255 for planes in batch)
    return luma, rgb, known

"""The training loop, its checkpoints, and the choice of the weights to keep."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from filmcolorizer_cli import metrics, models, weights
from filmcolorizer_cli.batches import Batch, BatchSource, PairSource
from filmcolorizer_cli.configs import CONFIGS, FilmConfig
from filmcolorizer_cli.errors import OptionError, TrainingError
from filmcolorizer_cli.files import check_free
from filmcolorizer_cli.history import (
    Epoch,
    best_epoch,
    checkpoint_file,
    history_file,
    write_history,
)
from filmcolorizer_cli.locks import locked_beside
from filmcolorizer_cli.losses import COLORFULNESS_FLOOR, loss_of
from filmcolorizer_cli.networks import (
    ClassicNetwork,
    FilmNetwork,
    Network,
    autocast,
    build,
    for_inference,
)
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.recipes import TrainingOptions
from filmcolorizer_cli.splits import Split

ENCODER_LEARNING_RATE_SHARE = 0.25  # share of the decoder's rate, since the encoder is pretrained
WARMUP_STEPS = 200
BLENDS = (0.25, 0.5, 0.75)  # shares of the trained weights to try, besides 0 and the largest share
MAX_CHROMA_GAIN = 1.1  # largest factor on chroma to restore missing colourfulness


@dataclass(frozen=True)
class Outcome:
    """The weights that a training keeps, and their errors.

    Attributes:
        trained_share: 1 for the trained weights, 0 for the first ones, in between for a blend.
        validation_mse, first_validation_mse: errors of these and of the first weights, on R'G'B' in
            [-1, 1] at the network's input size.
        grey_validation_mse: the same for the grey frame itself.
        epoch: the epoch whose trained weights these contain; meaningless if the share is 0.
    """

    trained_share: float
    validation_mse: float
    first_validation_mse: float
    grey_validation_mse: float
    epoch: int


@dataclass(frozen=True)
class Step:
    """The state of a training after a step.

    Attributes:
        pictures: number of pictures in the step's batch.
        finished: on the last step of an epoch, that epoch's results.
        network: on the last step of an epoch, the network with the validated weights; later steps
            change it.
    """

    epoch: int
    loss: float
    pictures: int
    finished: Epoch | None = None
    network: Network | None = None


class Trainer:
    """A training of one network that keeps its best weights and can be resumed after a kill.

    After each epoch, the checkpoint file holds everything needed to resume. The randomness of an
    epoch depends only on the seed and its number, so on a CPU a resumed run equals an uninterrupted
    one.

    Args:
        init: name of the network's first weights; checkpoints with another name are rejected.
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
            TrainingError: the loss is not finite.
            FilmColorizerError: the checkpoint cannot be written.
        """
        for number in range(len(self.history) + 1, self.options.epochs + 1):
            started = time.monotonic()
            losses: list[float] = []
            torch.manual_seed(self.options.seed_of(number))  # for dropped residuals and features
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
        """Choose the weights to keep after all epochs: those with the lowest validation error.

        Blends of general weights with weights fine-tuned from them on few data can do well on both
        kinds of data (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). They are
        compared by the squared error that `eval` shows, not by the loss; so both the last weights
        and those with the lowest loss are blended. A few painted stills are validated on
        themselves, which does not measure other shots, so `max_trained_share` limits the blend. At
        last, some missing colourfulness is restored, unless that gives up all of the error's
        decrease.
        """
        network = copy.deepcopy(self.network)
        ends, shares = {self.best.epoch: self.best_state}, [1.0]
        if self.options.blend:
            # The last weights often make a better blend, even if their loss is higher again.
            ends.setdefault(len(self.history), _snapshot(self.averaged))
            most = self.options.max_trained_share
            shares = [*(share for share in BLENDS if share < most), most]
        found: dict[tuple[float, int], float] = {}
        for share, epoch in [(0.0, self.best.epoch), *product(shares, ends)]:
            network.load_state_dict(_blended(self.first_state, ends[epoch], share))
            found[share, epoch] = self._validation_mse(network)
        first_mse = found[0.0, self.best.epoch]
        kept, epoch = min(found, key=lambda way: found[way])
        state, mse = _blended(self.first_state, ends[epoch], kept), found[kept, epoch]
        if kept and self.options.colorfulness_restored and isinstance(network, FilmNetwork):
            network.load_state_dict(state)
            livelier = _more_colorful(state, self._chroma_gain(network))
            network.load_state_dict(livelier)
            if (livelier_mse := self._validation_mse(network)) < first_mse:
                mse, state = livelier_mse, livelier
        return state, Outcome(kept, mse, first_mse, self._grey_mse(), epoch)

    def save_checkpoint(self) -> None:
        """Write the whole state, replacing the previous checkpoint."""
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
        """Restore the state in the checkpoint.

        Raises:
            TrainingError: there is none, or it is for other options, pictures, first weights or
                another network.
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
                " pairs and --arch as it was started with, or start over with --overwrite"
            ) from None

    def _begun_with(self) -> dict[str, Any]:
        """Return, by name, the values that must be the same when training is resumed."""
        # Options come last: they may depend on the pairs and first weights, and the first
        # difference is the one reported.
        arch = self.network.config.arch
        return {"arch": arch, **self.source.identity, "--init": self.init, **asdict(self.options)}

    def _check_options(self, begun_with: dict[str, Any]) -> None:
        for name, value in self._begun_with().items():
            if begun_with[name] != value:
                raise TrainingError(
                    f"the interrupted training in {self.checkpoint} was started with {name}"
                    f" {begun_with[name]}, not {value}; resume it with the same pairs, --init and"
                    " other options, or start over with --overwrite"
                )

    def _load_optimizer(self, tensors: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _set_learning_rate(self, step: int) -> None:
        """Set a step's rate: constant for `classic`; warm-up, hold and cool-down for `film`."""
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
        """Return an exponential moving average of the weights; for `classic`, the last weights."""
        share = self.options.averaging_share if isinstance(self.network, FilmNetwork) else 0.0
        decay = 1 - 1 / max(share * self._steps, 1.0)
        average = get_ema_multi_avg_fn(decay)
        return AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)

    @property
    def averaged(self) -> Network:
        """The network with the moving average of its weights, which are validated and kept."""
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
        network = self._ready(network)
        total, count = 0.0, 0.0
        for batch in self.source.validation_batches():
            with autocast(self.device):
                loss = loss_of(network, *self._move(batch), self.options.colorfulness_weight)
            known = batch[2].sum().item()
            total += loss.item() * known
            count += known
        return total / max(count, 1.0)

    def _ready(self, network: Network) -> Network:
        """Return an inference copy; the config already reflects whether the film is faded."""
        return for_inference(network.eval(), self.device, is_faded=True)

    def _validation_mse(self, network: Network) -> float:
        errors = [metrics.mse(*outcome) for outcome in self._validation_outputs(network)]
        return torch.cat(errors).mean().item()

    def _grey_mse(self) -> float:
        errors = [
            metrics.mse(luma.expand_as(rgb), rgb, known)
            for luma, rgb, known in self.source.validation_batches()
        ]
        return torch.cat(errors).mean().item()

    def _chroma_gain(self, network: Network) -> float:
        """Return the factor on chroma that restores a share of the missing colourfulness."""
        both = [
            torch.stack([metrics.colorfulness(rgb, known) for rgb in (output, truth)])
            for output, truth, known in self._validation_outputs(network)
        ]
        found, true = torch.cat(both, dim=1).mean(dim=1).clamp(min=COLORFULNESS_FLOOR).tolist()
        gain = 1 + self.options.colorfulness_restored * (true / found - 1)
        return min(max(gain, 1.0), MAX_CHROMA_GAIN)

    @torch.no_grad()
    def _validation_outputs(self, network: Network) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield output R'G'B', true R'G'B' and the known share for each validation batch."""
        network = self._ready(network)
        for luma, rgb, known in self.source.validation_batches():
            with autocast(self.device):
                output = network.predict_rgb(luma.to(self.device), self.source.matrix)
            yield output.cpu(), rgb, known

    def _move(self, batch: Batch) -> Batch:
        luma, rgb, known = batch
        luma = luma.to(self.device, memory_format=torch.channels_last)
        return luma, rgb.to(self.device), known.to(self.device)


def first_network(
    arch: str, init: str, short_side: int, seed: int, *, is_faded: bool
) -> tuple[Network, models.Model | None]:
    """Return the network that training starts from, and the model of its weights, if any.

    Args:
        is_faded: whether the film has lost its blacks; for other films, ``clears_veil`` is off.
    """
    torch.manual_seed(seed)
    if init == "none":
        return build(CONFIGS[arch](size=short_side)), None
    model = models.find_model(init)
    if model.config["arch"] != arch:
        raise OptionError(
            f"the weights {model.path} are for the network {model.config['arch']!r}, not {arch!r};"
            f" give --arch {model.config['arch']}, or another --init"
        )
    trained = weights.load(model)
    config = replace(trained.config, size=short_side)
    if isinstance(config, FilmConfig):
        config = replace(config, clears_veil=config.clears_veil and is_faded)
    network = build(config)
    network.load_state_dict(trained.state_dict())
    return network, model


def train(
    network: Network,
    pairs: Pairs,
    split: Split,
    options: TrainingOptions,
    output: Path,
    *,
    device: torch.device,
    init: str | None = None,
    lineage: Sequence[Mapping[str, Any]] = (),
    resume: bool = False,
) -> Generator[Step, None, Outcome]:
    """Train a network on a film's pairs and write the weights that do best on its validation part.

    Next to ``output``, it writes the history for people to read (`history_file`) and, until the
    end, the checkpoint (`checkpoint_file`).

    Args:
        init: name of the network's first weights.
        lineage: that of the first weights, see `models.Model.lineage`.
        resume: resume from the checkpoint, whose ``init`` must be the same.

    Yields:
        After every step, so that progress can be shown.

    Raises:
        PairsError: a still cannot be read, or a part is empty.
        TrainingError: training cannot be resumed, there is only one pair to train on, or the loss
            is not finite.
        FilmColorizerError: weights or checkpoint cannot be written, or another process trains them.
    """
    height, width = network.config.working_size(pairs.aspect_ratio)
    paints_luma = isinstance(network, ClassicNetwork)
    source = PairSource(pairs, split, options, height=height, width=width, paints_luma=paints_luma)
    checkpoint, was_free = checkpoint_file(output), not output.exists()
    trainer = Trainer(network, source, options, checkpoint=checkpoint, device=device, init=init)
    with locked_beside(checkpoint, f"training {output}"):
        if resume:
            trainer.load_checkpoint()
            write_history(trainer.history, history_file(output))  # a kill may have prevented it
        else:  # a checkpoint of an earlier training must not be mistaken for this one's
            checkpoint.unlink(missing_ok=True)
        for step in trainer.run():
            if step.finished:
                write_history(trainer.history, history_file(output))
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
            "init": init and Path(init).name,
            "lineage": [
                {key: earlier[key] for key in ("film", "split") if key in earlier}
                for earlier in lineage
                if "film" in earlier
            ],
            "history": [asdict(replace(epoch, seconds=None)) for epoch in trainer.history],
        }
        check_free(output, was_free=was_free)
        weights.save(network, output, about=about, state=state)
        checkpoint.unlink()
        return outcome


def _optimizer(network: Network, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimizer; its last group learns at ``learning_rate``, the encoder more slowly."""
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
    """Interpolate weights and statistics of two networks; integers of a blend are the first's."""
    if share == 1:
        return trained
    return {
        name: torch.lerp(tensor, trained[name], share) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
    }


def _more_colorful(state: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """Return weights of `film` with chroma scaled by a factor."""
    return {k: v * factor if k.startswith("head.") else v for k, v in state.items()}


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

"""Time `train --arch classic` against plain float32 PyTorch code, taking turns by epoch.

    python -m benchmarks.training_speed PAIRS [--epochs 5] [--rounds 3]

PAIRS is a folder of pairs from a coloured film that is not cropped. Both train the network of 2020
at 64x64 from the same initial weights, on the same pictures in the same order, with a batch size of
64. Prints the median ratio of pictures per second, and the losses after the last epoch.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from filmcolorizer_cli.batches import PairSource
from filmcolorizer_cli.configs import ClassicConfig
from filmcolorizer_cli.networks import ClassicNetwork, build
from filmcolorizer_cli.pairs import read_pairs
from filmcolorizer_cli.recipes import TrainingOptions
from filmcolorizer_cli.splits import split_by_time
from filmcolorizer_cli.training import Trainer

BATCH_SIZE = 64
GOAL = 2.5  # minimum ratio to the pictures per second of the plain code
LOSS_GOAL = 0.03  # relative difference of the losses, at most


class PlainNetwork(nn.Module):
    """The same network as a student would write it: it enlarges, then makes three channels."""

    def __init__(self, parts: ClassicNetwork) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = parts.encoder, parts.decoder, parts.head
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, grey: Tensor) -> Tensor:
        """Return R'G'B' (B, 3, H, W) in [-1, 1] for grey pictures of the same shape and range."""
        first = self.encoder[0](grey)
        second = self.encoder[1](first)
        x = self.encoder[2](second)
        x = self.decoder[0](torch.cat((self.enlarge(x), second), dim=1))
        x = self.decoder[1](torch.cat((self.enlarge(x), first), dim=1))
        output: Tensor = self.head(self.enlarge(x))
        return output


def plain_training(
    network: PlainNetwork, source: PairSource, options: TrainingOptions
) -> Iterator[tuple[float, float]]:
    """Train epoch by epoch; yield each mean training loss of the batches and validation loss."""
    optimizer = torch.optim.Adam(network.parameters(), options.learning_rate)

    def loss_of(luma: Tensor, rgb: Tensor) -> Tensor:
        return F.mse_loss(network(luma.repeat(1, 3, 1, 1) * 2 - 1), rgb * 2 - 1)

    for epoch in range(1, options.epochs + 1):
        network.train()
        training, validation = [], []
        for luma, rgb, _ in source.training_batches(epoch):
            optimizer.zero_grad()
            loss = loss_of(luma, rgb)
            loss.backward()
            optimizer.step()
            training.append(loss.item())
        network.eval()
        with torch.no_grad():
            for luma, rgb, _ in source.validation_batches():
                validation += [loss_of(luma, rgb).item()] * len(luma)
        yield statistics.mean(training), statistics.mean(validation)


def our_training(
    network: ClassicNetwork, source: PairSource, options: TrainingOptions, folder: Path
) -> Iterator[tuple[float, float]]:
    """Do the same with the trainer of `train`, which also writes a checkpoint after each epoch."""
    checkpoint = folder / "benchmark.checkpoint.safetensors"
    trainer = Trainer(network, source, options, checkpoint=checkpoint, device=torch.device("cpu"))
    for step in trainer.run():
        if step.finished:
            yield step.finished.training_loss, step.finished.validation_loss


def main(pairs: Path, epochs: int = 5, rounds: int = 3) -> None:
    """Print the ratio and the losses."""
    options = TrainingOptions(epochs=epochs, batch_size=BATCH_SIZE, learning_rate=1e-4)
    config = ClassicConfig()
    found = read_pairs(pairs)
    split = split_by_time(found.pairs)
    source = PairSource(found, split, options, height=config.size, width=config.size)
    ratios, rates, losses = [], [], []
    for number in range(rounds):
        torch.manual_seed(number)
        ours = build(config)
        assert isinstance(ours, ClassicNetwork)
        plain = PlainNetwork(ClassicNetwork(config))
        plain.load_state_dict(ours.state_dict(), strict=True)
        with tempfile.TemporaryDirectory() as folder:
            trainings = (
                plain_training(plain, source, options),
                our_training(ours, source, options, Path(folder)),
            )
            for _ in range(epochs):
                seconds = []
                ends = []
                for training in trainings:
                    started = time.perf_counter()
                    ends.append(next(training))
                    seconds.append(time.perf_counter() - started)
                ratios.append(seconds[0] / seconds[1])
                rates.append(len(source.training[0]) / seconds[1])
            losses.append(ends)
    print(
        f"{statistics.median(ratios):.2f} times the pictures a second of plain float32 code"
        f" ({min(ratios):.2f} to {max(ratios):.2f}; goal: at least {GOAL:g});"
        f" {statistics.median(rates):.0f} a second, validation and checkpoint included"
    )
    for part, name in enumerate(("training", "validation")):
        differences = [ends[1][part] / ends[0][part] - 1 for ends in losses]
        print(
            f"{name} loss after {epochs} epochs: {losses[0][1][part]:.4f} against"
            f" {losses[0][0][part]:.4f}; in {rounds} runs it differs by"
            f" {', '.join(f'{difference:+.1%}' for difference in differences)}"
            f" (goal: at most {LOSS_GOAL:.0%})"
        )


if __name__ == "__main__":
    typer.run(main)

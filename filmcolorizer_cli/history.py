"""What a training has come to, epoch by epoch, and the files that tell of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from filmcolorizer_cli import models
from filmcolorizer_cli.errors import TrainingError, WeightsError
from filmcolorizer_cli.files import replacing


@dataclass(frozen=True)
class Epoch:
    """One line of a training's history; losses are means over the part.

    Attributes:
        seconds: that it took; None in the copy within the weights, so that equal trainings give
            equal files.
    """

    epoch: int
    training_loss: float
    validation_loss: float
    learning_rate: float
    seconds: float | None


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The epoch with the lowest validation loss, of one or more."""
    return min(history, key=lambda epoch: epoch.validation_loss)


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
            for epoch in models.read_model(output).about.get("history", [])
        ]
    except (KeyError, TypeError, ValueError):
        raise WeightsError(
            f"what the weights in {output} tell of their training is damaged; give others"
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
        history = json.loads(models.read_metadata(checkpoint)["history"])
        return [Epoch(**epoch) for epoch in history]
    except (KeyError, TypeError, ValueError, WeightsError):
        raise TrainingError(
            f"{checkpoint}, the name of this training's checkpoint, is something else or damaged;"
            " move it away, or name another file with -o"
        ) from None


def write_history(history: list[Epoch], path: Path) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        table.writeheader()
        table.writerows(asdict(epoch) for epoch in history)

"""The history of a training, epoch by epoch, and the files that hold it."""

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
        seconds: duration of the epoch; None in the copy in the weights file, so that equal
            trainings give equal files.
    """

    epoch: int
    training_loss: float
    validation_loss: float
    learning_rate: float
    seconds: float | None


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the lowest validation loss; needs at least one epoch."""
    return min(history, key=lambda epoch: epoch.validation_loss)


def checkpoint_file(output: Path) -> Path:
    """Return the path of the checkpoint that training resumes from."""
    return output.with_name(f"{output.stem}.checkpoint.safetensors")


def history_file(output: Path) -> Path:
    """Return the path of the CSV file with one line per epoch."""
    return output.with_suffix(".csv")


def read_history(output: Path) -> list[Epoch]:
    """Read the history in the metadata of weights; empty if it holds none.

    Raises:
        WeightsError: the weights cannot be read, or the history is damaged.
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
            f"the training history stored in the weights {output} is damaged; give others"
        ) from None


def interrupted_history(output: Path) -> list[Epoch]:
    """Read the finished epochs of an interrupted training; empty if there is no checkpoint.

    Raises:
        TrainingError: the file with the checkpoint's name is no checkpoint, or is damaged.
    """
    checkpoint = checkpoint_file(output)
    if not checkpoint.exists():
        return []
    try:
        history = json.loads(models.read_metadata(checkpoint)["history"])
        return [Epoch(**epoch) for epoch in history]
    except (KeyError, TypeError, ValueError, WeightsError):
        raise TrainingError(
            f"{checkpoint} should be this training's checkpoint, but is damaged or something else;"
            " move it away, or name another file with -o"
        ) from None


def write_history(history: list[Epoch], path: Path) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        table.writeheader()
        table.writerows(asdict(epoch) for epoch in history)

"""Pictures of a running training (loss curve, samples) and logging for TensorBoard."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from filmcolorizer_cli.errors import OptionError
from filmcolorizer_cli.files import check_folder
from filmcolorizer_cli.generators import Returning
from filmcolorizer_cli.history import Epoch, best_epoch
from filmcolorizer_cli.networks import Network
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.plots import save_loss_figure
from filmcolorizer_cli.progress import Note, no_note
from filmcolorizer_cli.report import Samples, draw_samples, read_samples, save_image
from filmcolorizer_cli.splits import Split
from filmcolorizer_cli.training import Outcome, Step


class Watcher:
    """Pictures and logs of a training, updated after every epoch.

    Args:
        history: finished epochs of an interrupted training that is resumed.
        device: the device that colours samples.
        board: a folder to log to for TensorBoard.

    Attributes:
        history: the epochs so far.
        loss_figure, samples: paths of the pictures, in the folder of the weights.
    """

    def __init__(
        self,
        pairs: Pairs,
        split: Split,
        output: Path,
        history: Iterable[Epoch],
        *,
        device: torch.device,
        board: Path | None = None,
    ) -> None:
        self.pairs, self.split, self.device = pairs, split, device
        self.history = list(history)
        self.loss_figure = output.with_name(f"{output.stem}-loss.png")
        self.samples = output.with_name(f"{output.stem}-samples.png")
        self.board = board
        self._samples: Samples | None = None

    @property
    def best(self) -> Epoch | None:
        """The epoch with the lowest validation loss so far; None before the first has ended."""
        return best_epoch(self.history) if self.history else None

    def read(self, network: Network) -> None:
        """Read the sample stills into memory, so that later changes to their files do not matter.

        Args:
            network: the network to train; its kind decides what its truth is.

        Raises:
            PairsError: a still cannot be read.
        """
        self._samples = read_samples(self.pairs, self.split, network)

    def follow(
        self,
        steps: Generator[Step, None, Outcome],
        steps_per_epoch: int,
        *,
        note: Note = no_note,
    ) -> Generator[Step, None, Outcome]:
        """Pass on the steps of a training, and update the pictures and logs after each epoch.

        Args:
            note: called with a description of each epoch.

        Raises:
            FilmColorizerError: a picture cannot be written; or any error of the training.
            OptionError: TensorBoard is not installed, or its folder cannot be used.
        """
        number = len(self.history) * steps_per_epoch
        with _open_board(self.board, number) if self.board else nullcontext() as board:
            returning = Returning(steps)
            for step in returning:
                number += 1
                if board is not None:
                    board.add_scalar("loss/step", step.loss, number)
                if step.finished is not None and step.network is not None:
                    self.history.append(step.finished)
                    sheet = self.show(step.network)
                    if board is not None:
                        _log(board, step.finished, sheet)
                    note(self._describe(step.finished))
                yield step
        return returning.value

    def show(self, network: Network) -> Image.Image:
        """Write both pictures and return the one of the samples.

        Raises:
            FilmColorizerError: a picture cannot be written.
            PairsError: a still cannot be read.
        """
        save_loss_figure(self.history, self.loss_figure)
        samples = self._samples or read_samples(self.pairs, self.split, network)
        sheet = draw_samples(samples, self.pairs, network, self.device)
        save_image(sheet, self.samples)
        return sheet

    def _describe(self, epoch: Epoch) -> str:
        return (
            f"epoch {epoch.epoch}: training loss {epoch.training_loss:.4f}, validation loss"
            f" {epoch.validation_loss:.4f}, {epoch.seconds:.0f} s; best epoch"
            f" {best_epoch(self.history).epoch}"
        )


def _open_board(folder: Path, steps: int) -> Any:
    """Return a TensorBoard writer for a folder, as a context manager.

    Args:
        steps: number of finished steps; TensorBoard discards logged values of later ones.
    """
    check_folder(folder.parent, "--tensorboard")
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"{folder} is a file; name a folder with --tensorboard")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise OptionError(
            "--tensorboard needs the package tensorboard; install it with pip install tensorboard,"
            " or leave the option out"
        ) from None
    return SummaryWriter(folder, purge_step=steps + 1)


def _log(board: Any, epoch: Epoch, samples: Image.Image) -> None:
    """Log an epoch for TensorBoard."""
    board.add_scalar("loss/training", epoch.training_loss, epoch.epoch)
    board.add_scalar("loss/validation", epoch.validation_loss, epoch.epoch)
    board.add_scalar("learning rate", epoch.learning_rate, epoch.epoch)
    board.add_image("samples", np.asarray(samples), epoch.epoch, dataformats="HWC")
    board.flush()

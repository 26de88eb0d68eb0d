"""Shipped and trained models by name, and the metadata of their weights files.

Does not load torch; see `weights` for the tensors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from filmcolorizer_cli.configs import config_from_dict
from filmcolorizer_cli.errors import WeightsError, reason_of
from filmcolorizer_cli.files import models_folder

DEFAULT_MODEL = "default"
FILM_WEIGHTS = "film.safetensors"  # default output of `train`, and what `colorize` looks for
FORMAT = "filmcolorizer-weights/1"  # format name in the metadata of weights files


@dataclass(frozen=True)
class Model:
    """A weights file and its metadata.

    Attributes:
        name: the shipped model's name, or the file's name.
        about: free text by topic, such as ``description``, ``data``, ``licence``.
    """

    name: str
    path: Path
    config: dict[str, Any]
    about: dict[str, Any]

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """Descriptions of all trainings that led to these weights, oldest first.

        Earlier ones hold ``film`` and ``split``; the last one is this model's own ``about``.
        """
        told = self.about.get("lineage")
        before = told if isinstance(told, list) else []
        return [training for training in (*before, self.about) if isinstance(training, dict)]

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size


def shipped_models() -> list[Model]:
    """Return the models that ship with the program, in order of name."""
    return [read_model(path) for path in sorted(models_folder().glob("*.safetensors"))]


def find_model(name: str | None = None) -> Model:
    """Return the model of this name or file.

    Args:
        name: a weights file or a shipped model's name; None for ``film.safetensors`` in the current
            folder if it exists, else the shipped default.

    Raises:
        WeightsError: there is no such model, or it cannot be read.
    """
    if name is None:
        film_weights = Path(FILM_WEIGHTS)
        return read_model(film_weights) if film_weights.is_file() else find_model(DEFAULT_MODEL)
    path = Path(name)
    if path.is_file():
        return read_model(path)
    shipped = models_folder() / f"{name}.safetensors"
    if path.name == name and shipped.is_file():
        return read_model(shipped)
    names = ", ".join(path.stem for path in sorted(models_folder().glob("*.safetensors")))
    raise WeightsError(
        f"there is no model {name!r}: give a .safetensors file that exists"
        f" or one of the shipped models ({names or 'none is shipped here'})"
    )


def read_model(path: Path) -> Model:
    """Read the metadata of a weights file, without its tensors.

    Raises:
        WeightsError: the file is missing or damaged, or holds no network that this version knows.
    """
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path} holds no network that filmcolorizer knows"
            f" (its format is {metadata.get('format')!r}, not {FORMAT!r}); give another file"
        )
    try:
        config, about = (dict(json.loads(metadata[key])) for key in ("config", "about"))
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(path, error) from None
    config_from_dict(config)  # raises if the config is invalid
    is_shipped = path.parent == models_folder()
    return Model(name=path.stem if is_shipped else str(path), path=path, config=config, about=about)


def read_metadata(path: Path) -> dict[str, str]:
    """Read only the metadata of a safetensors file.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        with path.open("rb"):  # safetensors reports a file without read permission as missing
            pass
        with safe_open(path, framework="np") as file:  # torch's rejects non-UTF-8 names
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> WeightsError:
    """Return the error for a weights file that cannot be read."""
    if isinstance(error, PermissionError):
        return WeightsError(
            f"the weights in {path} are not readable; change the file's permissions, or give"
            " another file"
        )
    return WeightsError(
        f"cannot read the weights in {path} ({reason_of(error)}); the file is missing, damaged or"
        " not a safetensors file, so give another one"
    )

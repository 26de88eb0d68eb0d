"""safetensors with the network's config in the metadata; shipped and trained models by name."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file
from torch import Tensor

from filmcolorizer_cli.errors import WeightsError, reason_of
from filmcolorizer_cli.files import lack_of_room, models_folder, replacing
from filmcolorizer_cli.networks import Network, build, config_from_dict, config_to_dict

DEFAULT_MODEL = "default"
FILM_WEIGHTS = "film.safetensors"  # what `train` writes and `colorize` looks for
_FORMAT = "filmcolorizer-weights/1"


@dataclass(frozen=True)
class Model:
    """A weights file and what its metadata says.

    Attributes:
        name: the shipped model's name, or the file's name.
        about: free text by topic, such as ``description``, ``data``, ``licence``.
    """

    name: str
    path: Path
    config: dict[str, Any]
    about: dict[str, Any]

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size


def shipped_models() -> list[Model]:
    """The models that come with the program, by name."""
    return [read_model(path) for path in sorted(models_folder().glob("*.safetensors"))]


def find_model(name: str | None = None) -> Model:
    """The model of this name or file.

    Args:
        name: a weights file, a shipped model's name, or None: the current folder's
            ``film.safetensors`` when there is one, else the shipped default.

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
    """Read what a weights file says of itself, without its tensors.

    Raises:
        WeightsError: the file is damaged or holds no network of ours.
    """
    metadata = read_metadata(path)
    if metadata.get("format") != _FORMAT:
        raise WeightsError(
            f"{path} holds no network that filmcolorizer knows"
            f" (its format is {metadata.get('format')!r}, not {_FORMAT!r}); give another file"
        )
    try:
        config, about = (dict(json.loads(metadata[key])) for key in ("config", "about"))
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from None
    config_from_dict(config)  # raises where no network is like that
    is_shipped = path.parent == models_folder()
    return Model(name=path.stem if is_shipped else str(path), path=path, config=config, about=about)


def load(model: Model) -> Network:
    """Build the model's network with its weights, in float32 and evaluation mode.

    Raises:
        WeightsError: the weights do not fit the network that the metadata names, or are damaged.
    """
    network = build(config_from_dict(model.config))
    _, tensors = read_tensors(model.path)
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise WeightsError(
            f"some of the weights in {model.path} are no numbers; the file is damaged, so give"
            " another one"
        )
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise WeightsError(
            f"the weights in {model.path} do not fit the network {model.config} that it names;"
            " the file is damaged or was made by another version, so give another one"
        ) from None
    return network.eval()


def save(
    network: Network,
    path: Path,
    *,
    about: dict[str, Any],
    state: dict[str, Tensor] | None = None,
    half_precision: bool = False,
) -> None:
    """Write a network's weights and config, whole or not at all.

    Args:
        about: plain values that describe the weights.
        state: the weights, where not the network's present ones.
        half_precision: store floats as float16, at half the size; loading widens them again.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    tensors = state if state is not None else network.state_dict()
    if half_precision:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    metadata = {
        "format": _FORMAT,
        "config": json.dumps(config_to_dict(network.config)),
        "about": json.dumps(about),
    }
    write_tensors(path, tensors, metadata)


def checksum(network: Network) -> int:
    """A number that changes when any weight does."""
    result = 0
    for tensor in network.state_dict().values():
        result = zlib.crc32(tensor.detach().cpu().contiguous().numpy().data, result)
    return result


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file under a temporary name and rename it into place.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with replacing(path) as temporary:
            temporary.touch()
            mode = temporary.stat().st_mode
            save_file(contiguous, temporary, metadata)
            temporary.chmod(mode)  # safetensors lets nobody but the owner read
    except SafetensorError as error:
        raise WeightsError(
            f"cannot write {path} ({error}); make room there, or choose another place",
            lack_of_room=lack_of_room(str(error)),
        ) from None


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """A safetensors file's metadata and tensors.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    metadata = read_metadata(path)
    try:
        return metadata, load_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None


def read_metadata(path: Path) -> dict[str, str]:
    """A safetensors file's metadata alone.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        with path.open("rb"):  # what may not be read, safetensors calls missing
            pass
        with safe_open(path, framework="np") as file:  # torch's takes no name that is not UTF-8
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> WeightsError:
    if isinstance(error, PermissionError):
        return WeightsError(
            f"the weights in {path} may not be read; change the file's permissions, or give another"
            " one"
        )
    return WeightsError(
        f"cannot read the weights in {path} ({reason_of(error)});"
        " the file is missing, damaged or no safetensors file, so give another one"
    )

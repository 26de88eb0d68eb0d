"""Weights of networks as safetensors files, with the network's config in the metadata."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file
from torch import Tensor

from filmcolorizer_cli.configs import config_from_dict, config_to_dict
from filmcolorizer_cli.errors import WeightsError
from filmcolorizer_cli.files import lack_of_room, replacing
from filmcolorizer_cli.models import FORMAT, Model, read_metadata, unreadable
from filmcolorizer_cli.networks import Network, build


def load(model: Model) -> Network:
    """Build the model's network with its weights, in float32 and evaluation mode.

    Raises:
        WeightsError: the weights do not fit the config in the metadata, or are damaged.
    """
    network = build(config_from_dict(model.config))
    _, tensors = read_tensors(model.path)
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise WeightsError(
            f"some of the weights in {model.path} are NaN or infinite; the file is damaged, so give"
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
    """Write a network's weights and config atomically.

    Args:
        about: plain values that describe the weights, for the metadata.
        state: the weights to write instead of the network's current ones.
        half_precision: store floats as float16, at half the size; loading gives float32.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    tensors = state if state is not None else network.state_dict()
    if half_precision:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    metadata = {
        "format": FORMAT,
        "config": json.dumps(config_to_dict(network.config)),
        "about": json.dumps(about),
    }
    write_tensors(path, tensors, metadata)


def checksum(network: Network) -> int:
    """Return a CRC-32 of all weights."""
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
            temporary.chmod(mode)  # safetensors makes the file readable only by its owner
    except SafetensorError as error:
        raise WeightsError(
            f"cannot write {path} ({error}); make room there, or choose another place",
            lack_of_room=lack_of_room(str(error)),
        ) from None


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read the metadata and tensors of a safetensors file.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    metadata = read_metadata(path)
    try:
        return metadata, load_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from None

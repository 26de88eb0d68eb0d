"""Configurations of the networks as plain values, usable without loading torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from filmcolorizer_cli.errors import WeightsError

# Factors of each encoder for the channels and the repeats of EfficientNet-Lite0's stages.
EFFICIENTNET_LITE = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}
MAX_ASPECT_RATIO = 16  # ratio of long to short side; pictures beyond it are squeezed to it


@dataclass(frozen=True)
class FilmConfig:
    """The product's own network: luma in, chroma at half size out.

    Attributes:
        size: short side of the network's input, in pixels.
        decoder_widths: channels of the decoder at 1/32, 1/16, 1/8, 1/4 and 1/2.
        encoder: which EfficientNet, a key of ``EFFICIENTNET_LITE``.
        clears_veil: whether the input's blacks are restored if the film has lost them, as in a
            faded print; applies to training as well.
    """

    arch: ClassVar[str] = "film"
    size: int = 192
    decoder_widths: tuple[int, int, int, int, int] = (192, 128, 96, 64, 32)
    encoder: str = "lite0"
    clears_veil: bool = False

    def __post_init__(self) -> None:
        _check_sizes((self.size, *self.decoder_widths))
        if self.encoder not in EFFICIENTNET_LITE:
            raise ValueError(f"{self.encoder!r} is not an encoder")
        if len(self.decoder_widths) != 5:
            raise ValueError(f"the decoder has 5 widths, not {len(self.decoder_widths)}")

    def working_size(self, aspect_ratio: float) -> tuple[int, int]:
        """Return the input height and width for a picture of this display aspect ratio."""
        return input_size(self.size, aspect_ratio)


@dataclass(frozen=True)
class ClassicConfig:
    """The 2020 student project's network: RGB in [-1, 1] in and out, 64x64 whatever the film."""

    arch: ClassVar[str] = "classic"
    size: int = 64

    def __post_init__(self) -> None:
        _check_sizes((self.size,))

    def working_size(self, aspect_ratio: float) -> tuple[int, int]:
        """Return the input height and width: a square whatever the aspect ratio, as in 2020."""
        return self.size, self.size


Config = FilmConfig | ClassicConfig
CONFIGS: dict[str, type[Config]] = {kind.arch: kind for kind in (FilmConfig, ClassicConfig)}


def input_size(short_side: int, aspect_ratio: float) -> tuple[int, int]:
    """Return height and width of a picture of this display aspect ratio, in square pixels.

    Pictures beyond ``MAX_ASPECT_RATIO`` are squeezed, since they would take minutes per frame.
    """
    if aspect_ratio >= 1:
        return short_side, round(short_side * min(aspect_ratio, MAX_ASPECT_RATIO))
    return round(short_side * min(1 / aspect_ratio, MAX_ASPECT_RATIO)), short_side


def config_to_dict(config: Config) -> dict[str, Any]:
    """Return the config as plain values, with the architecture's name under ``arch``."""
    return {"arch": config.arch, **asdict(config)}


def config_from_dict(values: dict[str, Any]) -> Config:
    """Return the config for these values, the inverse of `config_to_dict`.

    Raises:
        WeightsError: the architecture or a field is unknown, or a value is invalid.
    """
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "arch"
    }
    try:
        return CONFIGS[values["arch"]](**fields)
    except (KeyError, TypeError, ValueError):
        raise WeightsError(
            f"the network config {values} is not one that this version knows"
            f" (architectures: {', '.join(CONFIGS)}); use a newer filmcolorizer"
        ) from None


def _check_sizes(sizes: tuple[int, ...]) -> None:
    for size in sizes:
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{size!r} is not a number of pixels or channels")

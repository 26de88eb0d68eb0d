"""What makes one network differ from another, in plain values; known without loading torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from filmcolorizer_cli.errors import WeightsError

# By what the encoders multiply the channels and the repeats of EfficientNet-Lite0's stages.
EFFICIENTNET_LITE = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}
MAX_STRETCHED = 16  # times as long as wide, that pictures are looked at


@dataclass(frozen=True)
class FilmConfig:
    """The product's own network: luma in, chroma at half size out.

    Attributes:
        size: short side, in pixels, of the picture that the network looks at.
        decoder_widths: channels of the decoder at 1/32, 1/16, 1/8, 1/4 and 1/2.
        encoder: which EfficientNet, a key of ``EFFICIENTNET_LITE``.
        clears_veil: whether pictures of a film that has lost its blacks, as a faded print has, are
            looked at as if they had some. So it is trained then, too.
    """

    arch: ClassVar[str] = "film"
    size: int = 192
    decoder_widths: tuple[int, int, int, int, int] = (192, 128, 96, 64, 32)
    encoder: str = "lite0"
    clears_veil: bool = False

    def __post_init__(self) -> None:
        _check_sizes((self.size, *self.decoder_widths))
        if self.encoder not in EFFICIENTNET_LITE:
            raise ValueError(f"{self.encoder!r} is no encoder")
        if len(self.decoder_widths) != 5:
            raise ValueError(f"the decoder has 5 widths, not {len(self.decoder_widths)}")

    def working_size(self, aspect_ratio: float) -> tuple[int, int]:
        """Height and width that a picture of this display aspect ratio is looked at in."""
        return size_to_look_at(self.size, aspect_ratio)


@dataclass(frozen=True)
class ClassicConfig:
    """The 2020 student project's network: RGB in [-1, 1] in and out, 64x64 whatever the film."""

    arch: ClassVar[str] = "classic"
    size: int = 64

    def __post_init__(self) -> None:
        _check_sizes((self.size,))

    def working_size(self, aspect_ratio: float) -> tuple[int, int]:
        """Height and width that a picture is looked at in: a square, as in 2020."""
        return self.size, self.size


Config = FilmConfig | ClassicConfig
CONFIGS: dict[str, type[Config]] = {kind.arch: kind for kind in (FilmConfig, ClassicConfig)}


def size_to_look_at(short_side: int, aspect_ratio: float) -> tuple[int, int]:
    """Height and width of a picture of this display aspect ratio, in square pixels.

    Beyond ``MAX_STRETCHED`` it is squeezed, since it would take minutes a frame.
    """
    if aspect_ratio >= 1:
        return short_side, round(short_side * min(aspect_ratio, MAX_STRETCHED))
    return round(short_side * min(1 / aspect_ratio, MAX_STRETCHED)), short_side


def config_to_dict(config: Config) -> dict[str, Any]:
    """The config as plain values, with the architecture's name under ``arch``."""
    return {"arch": config.arch, **asdict(config)}


def config_from_dict(values: dict[str, Any]) -> Config:
    """The inverse of `config_to_dict`.

    Raises:
        WeightsError: an unknown architecture or unknown fields.
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
            raise ValueError(f"{size!r} is no number of pixels or channels")

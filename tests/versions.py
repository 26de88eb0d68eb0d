"""Versions of a film as small pictures, for alignment tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from filmcolorizer_cli.areas import Area
from filmcolorizer_cli.lettering import load_font
from filmcolorizer_cli.registration import Placement
from filmcolorizer_cli.signatures import HEIGHT, WIDTH, Frames, Signatures

FRAME = 1 / 24  # seconds
PLACEMENT = Placement(np.eye(2, 3), Area(), Area())
FOREIGN = -1  # a frame that the film does not hold
Run = tuple[int, int]


def frames_of(*runs: Run) -> NDArray[np.int64]:
    """Return the frame numbers in these runs."""
    return np.concatenate([np.arange(begin, end) for begin, end in runs])


def to_part(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    """Return the affine map from a whole picture to this part of another, in [0, 1]."""
    return np.array(((right - left, 0, left), (0, bottom - top, top)))


def foreign(count: int) -> NDArray[np.int64]:
    return np.full(count, FOREIGN)


class Version:
    """A film made of another film's frames, graded and with noise.

    Attributes:
        numbers: (N,), the frames' numbers in the other film; `FOREIGN` for foreign ones.
    """

    def __init__(
        self,
        film: Frames,
        numbers: NDArray[np.int64],
        *,
        frame_rate: float = 24,
        gamma: float = 1.0,
        seed: int = 0,
    ) -> None:
        chance = np.random.default_rng(seed)
        light = np.clip((film[numbers] - 16.0) / 219, 0, 1) ** gamma
        pictures = 16 + 219 * light + chance.normal(0, 1.5, light.shape)
        other = np.kron(chance.uniform(16, 235, (len(numbers), 6, 8)), np.ones((4, 4)))
        pictures = np.where((numbers == FOREIGN)[:, None], other.reshape(-1, 768), pictures)
        frames = np.clip(pictures, 16, 235).round().astype(np.uint8)
        self.numbers = numbers
        self.signatures = Signatures(frames, np.arange(len(numbers)) / frame_rate)


def title_card(text: str) -> NDArray[np.uint8]:
    """Return (768,): white letters on black, whose few bright pixels carry the contrast."""
    card = Image.new("L", (WIDTH * 10, HEIGHT * 10), 16)
    draw = ImageDraw.Draw(card)
    draw.text((20, 100), text, 235, load_font(36))
    return np.asarray(card.resize((WIDTH, HEIGHT), Image.Resampling.BOX)).reshape(-1)


CARDS = ["Who are you?", "The next morning", "At last!", "My son", "No one knew", "The End"]

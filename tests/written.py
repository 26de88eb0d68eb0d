"""Write films as the program does, of grey or random pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from filmcolorizer_cli.encoding import CODECS, Encoding, PictureWriter
from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.joining import join_film
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.timeline import Timeline
from filmcolorizer_cli.video import Film, count_pictures, probe

FAST = Encoding(frame_rate=Fraction(25), crf=0, preset="ultrafast")
Pictures = Iterable[tuple[np.ndarray, np.ndarray]]


def noise(width: int, height: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pictures of legal random luma (H, W) and chroma (2, ceil(H / 2), ceil(W / 2))."""
    random = np.random.default_rng(0)
    chroma_shape = (2, -(-height // 2), -(-width // 2))
    return [
        (
            random.integers(16, 236, (height, width), dtype=np.uint8),
            random.integers(16, 241, chroma_shape, dtype=np.uint8),
        )
        for _ in range(count)
    ]


def grey(film: Film, **sampling: Any) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield a film's own pictures at its own rate, without colour."""
    chroma = np.full((2, -(-film.height // 2), -(-film.width // 2)), 128, np.uint8)
    for luma in read_luma(film, Sampling(frame_rate=film.frame_rate, **sampling)):
        yield luma, chroma


def write_pictures(
    target: Path, source: Film, pictures: Pictures | None = None, encoding: Encoding = FAST
) -> Film:
    with PictureWriter(target, source, encoding) as writer:
        for luma, chroma in pictures or noise(source.width, source.height, 3):
            writer.write(luma, chroma)
    return probe(target)


def write_film(
    target: Path,
    source: Film,
    pictures: Pictures | None = None,
    encoding: Encoding = FAST,
    **part: float,
) -> Film:
    with tempfile.TemporaryDirectory() as folder:
        pictures_alone = Path(folder) / f"pictures{CODECS[encoding.codec].endings[0]}"
        write_pictures(pictures_alone, source, pictures, encoding)
        timeline = Timeline.steady(encoding.frame_rate, count_pictures(pictures_alone))
        join_film([pictures_alone], target, source, timeline, was_free=False, **part)
    return probe(target)

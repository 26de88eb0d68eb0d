"""How the library tells how far it is, and what it has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

# Passes frames on and shows how far it is, of how many, with a word for what is done with them.
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]
Note = Callable[[str], object]  # takes a sentence for people


def no_track(frames: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    """Pass frames on and show nothing."""
    return frames


def no_note(sentence: str) -> None:
    """Keep a sentence to oneself."""

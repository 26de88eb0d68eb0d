"""Callbacks through which the library reports its progress and findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

# Passes frames on and shows progress; takes the frames, their total number, and a label.
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]
Note = Callable[[str], object]  # takes a sentence for the user


def no_track(frames: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    """Pass frames on without showing progress."""
    return frames


def no_note(sentence: str) -> None:
    """Ignore a sentence."""

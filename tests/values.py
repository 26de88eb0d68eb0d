"""What values are taken out of."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from filmcolorizer_cli.generators import Item, Result, Returning

Value = TypeVar("Value")


def present(value: Value | None) -> Value:
    """What may be None by its annotation, and never is where a test looks."""
    assert value is not None
    return value


def finished(generator: Generator[Item, None, Result]) -> tuple[list[Item], Result]:
    """All that a generator yields, and what it returns."""
    returning = Returning(generator)
    return list(returning), returning.value

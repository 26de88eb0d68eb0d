"""Unwrap values of optionals and generators."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from filmcolorizer_cli.generators import Item, Result, Returning

Value = TypeVar("Value")


def present(value: Value | None) -> Value:
    """Return a value that its annotation allows to be None, but that never is in a test."""
    assert value is not None
    return value


def finished(generator: Generator[Item, None, Result]) -> tuple[list[Item], Result]:
    """Return all items that a generator yields, and its return value."""
    returning = Returning(generator)
    return list(returning), returning.value

from __future__ import annotations

from typing import Any

import pytest

from filmcolorizer_cli.cadence import Cadence
from filmcolorizer_cli.rendering import ColorizeOptions


@pytest.mark.parametrize(
    ("options", "found", "cadence"),
    [
        ({}, Cadence("top", True, True), Cadence("top", True, True)),
        ({}, Cadence(is_soft_pulldown=True), Cadence(is_soft_pulldown=True)),
        ({"keeps_times": True}, Cadence(is_soft_pulldown=True), Cadence()),
        ({"keeps_times": True}, Cadence("top", True), Cadence("top", True)),
        ({"deinterlace": "on"}, Cadence("top", True, True), Cadence("top")),
        ({"deinterlace": "on"}, Cadence(repeats=True), Cadence("flagged")),
        ({"deinterlace": "off"}, Cadence("bottom", True, True), Cadence()),
        ({"deinterlace": "off"}, Cadence(repeats=True), Cadence(repeats=True)),
    ],
)
def test_reading_cadence_follows_the_options(
    options: dict[str, Any], found: Cadence, cadence: Cadence
) -> None:
    assert ColorizeOptions(**options).reading_cadence(found) == cadence

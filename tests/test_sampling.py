from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import probe


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"duration_seconds": 1.0}, 25),
        ({"duration_seconds": 1.0, "frame_rate": Fraction(24)}, 24),
        ({"duration_seconds": 1.0, "frame_rate": Fraction(24), "every": 10}, 3),
        ({"duration_seconds": 1.0, "frame_rate": Fraction(24), "rate": 0.5}, 48),
        ({"duration_seconds": 0.0}, 0),
        ({"start_seconds": 3.6}, 10),
        ({"start_seconds": 3.6, "duration_seconds": 5.0}, 10),
        ({"start_seconds": 7.0}, 0),
    ],
)
def test_sampling_foretells_how_many_frames_come(
    options: dict[str, Any], count: int, numbered_clip: Path
) -> None:
    film = probe(numbered_clip)
    options.setdefault("frame_rate", film.frame_rate)
    sampling = Sampling(**options)
    assert len(list(read_luma(film, sampling))) == count
    assert sampling.frame_count(film) == count

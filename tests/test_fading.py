from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from filmcolorizer_cli.fading import black_of, is_faded
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import Sampling, read_luma
from filmcolorizer_cli.survey import glance, survey
from filmcolorizer_cli.video import probe
from tests.conftest import X264, run_ffmpeg

FADED = "lutyuv=y='90+(val-16)*145/219'"  # blacks at a third of white


def test_black_of_is_told_beside_bars() -> None:
    luma = np.linspace(100, 200, 96 * 100).reshape(96, 100).astype(np.uint8)
    assert black_of(luma) == pytest.approx(102, abs=1)
    barred = np.pad(luma, ((0, 0), (14, 14)), constant_values=16)
    barred[:, 13] = barred[:, -14] = 60  # the blur of an edge
    assert black_of(barred) == pytest.approx(101, abs=1)
    assert black_of(np.full((96, 128), 20, np.uint8)) == 0


def test_is_faded_goes_by_most_pictures() -> None:
    assert is_faded([90.0] * 9 + [0.0])
    assert not is_faded([90.0] * 7 + [20.0] * 3)
    assert not is_faded([])


@pytest.mark.parametrize("bars", ["null", "scale=144:108,pad=192:108:24"])
def test_survey_tells_a_faded_film(bars: str, tmp_path: Path) -> None:
    film, grey = tmp_path / "film.mp4", tmp_path / "grey.mp4"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", f"{FADED},{bars}", *X264, film)
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", bars, *X264, grey)
    assert survey(probe(film)).is_faded
    assert survey(probe(film), start_seconds=1.0, duration_seconds=1.0).is_faded
    assert glance(probe(film), 0.0, 6.0).is_faded
    assert not survey(probe(grey)).is_faded
    assert not glance(probe(grey), 0.0, 6.0).is_faded


def test_survey_takes_one_bright_shot_for_no_faded_film(tmp_path: Path) -> None:
    """Nor where that shot alone is looked at."""
    path = tmp_path / "film.mp4"
    shot = f"{FADED}:enable='between(t,2,4)'"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", shot, *X264, path)
    film = probe(path)
    bright = read_luma(film, Sampling(128, 96, start_seconds=2.5, duration_seconds=1.0))
    assert is_faded([black_of(luma) for luma in bright])
    part = {"start_seconds": 2.5, "duration_seconds": 1.0}
    assert not survey(film).is_faded
    assert not survey(film, **part).is_faded
    assert not glance(film, *part.values()).is_faded

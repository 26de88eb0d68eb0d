"""`filmcolorizer demo`, end to end."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.video import probe
from tests.commands import fail, succeed
from tests.machine import files_in


@pytest.mark.slow
def test_demo_makes_a_coloured_film_and_a_picture() -> None:
    assert succeed("demo") == (
        "wrote filmcolorizer-sample.mp4: the black-and-white sample, 6 s\n"
        "wrote filmcolorizer-sample-color.mp4: its 144 frames in colour, by the model default\n"
        "wrote filmcolorizer-sample.png: before and after\n"
    )
    assert files_in(Path()) == [
        "filmcolorizer-sample-color.mp4",
        "filmcolorizer-sample.mp4",
        "filmcolorizer-sample.png",
    ]
    assert Path("filmcolorizer-sample.mp4").read_bytes() == SAMPLE_FILM.read_bytes()
    film = probe(Path("filmcolorizer-sample-color.mp4"))
    assert (film.width, film.height, film.frame_count()) == (480, 360, 144)
    assert [sound.codec for sound in film.sounds] == ["aac"]
    with Image.open("filmcolorizer-sample.png") as picture:
        before, after = np.split(np.asarray(picture).astype(int), 2)
    assert before.shape == (360, 3 * 480, 3)
    assert np.ptp(before, axis=2).max() == 0, "before, all is grey"
    assert np.ptp(after, axis=2).mean() > 3, "after, there is colour"
    assert np.abs(before.mean(axis=2) - after.mean(axis=2)).mean() < 12, "of the same picture"
    assert fail("demo") == (
        "filmcolorizer-sample-color.mp4 exists already; name another folder with -o, or give"
        " --overwrite"
    )
    assert fail("demo", "-o", "nowhere").startswith("the folder nowhere does not exist; ")
    Path("there").mkdir()
    shutil.copy(SAMPLE_FILM, "there/filmcolorizer-sample.mp4")  # as an interrupted demo leaves it
    succeed("demo", "-o", "there")
    assert files_in(Path("there")) == files_in(Path())[:-1]

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.sources import Source
from filmcolorizer_cli.video import probe


def numbered(folder: Path, count: int) -> Source:
    """Make an image sequence of small pictures, from number 5 on, at one a second."""
    for number in range(5, 5 + count):
        Image.new("L", (16, 12), number).save(folder / f"{number:03d}.png")
    return Source(probe(folder / "%03d.png", sequence_rate=Fraction(1)))


def test_identity_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    """The file's path and times do not matter."""
    clip, copy = tmp_path / "clip.mp4", tmp_path / "copy.mp4"
    shutil.copy(SAMPLE_FILM, clip)
    shutil.copy(clip, copy)
    os.utime(copy, (1, 1))
    before = Source(probe(clip)).identity
    assert Source(probe(copy)).identity == before
    content = copy.read_bytes()
    for begin in (0, len(content) // 2, len(content) - 9):
        spoiled = bytearray(content)
        spoiled[begin : begin + 9] = b"something"
        clip.write_bytes(spoiled)
        assert Source(replace(probe(copy), path=clip)).identity != before
    clip.write_bytes(content + b"more")
    assert Source(probe(clip)).identity != before


@pytest.mark.parametrize("change", ["a picture", "its time", "one more", "the rate"])
def test_identity_of_numbered_pictures_changes_with_each(change: str, tmp_path: Path) -> None:
    for number in range(5, 9):
        Image.new("L", (16, 12), number).save(tmp_path / f"{number:03d}.png")
    film = probe(tmp_path / "%03d.png")
    before = Source(film).identity
    assert Source(film).identity == before
    if change == "a picture":
        noise = Image.effect_noise((16, 12), 50)
        noise.save(tmp_path / "006.png")
        os.utime(tmp_path / "006.png", (1, 1))
    elif change == "its time":
        os.utime(tmp_path / "006.png", (4e9, 4e9))
    elif change == "one more":
        (tmp_path / "009.png").hardlink_to(tmp_path / "008.png")
    else:
        film = probe(tmp_path / "%03d.png", sequence_rate=Fraction(18))
    assert Source(film).identity != before


def test_check_between_looks_at_what_is_shown_there(tmp_path: Path) -> None:
    source = numbered(tmp_path, 20)
    source.check()
    os.utime(tmp_path / "015.png", (1, 1))  # shown from 10 to 11 s
    source.check_between(0, 5)
    source.check_between(16, float("inf"))
    for begin, end in ((8, 9), (10, 11), (0, float("inf"))):
        with pytest.raises(VideoError, match=r"015\.png was changed while it was being read; put"):
            source.check_between(begin, end)
    with pytest.raises(VideoError, match=r"015\.png was changed while it was being read; put"):
        source.check()


@pytest.mark.parametrize(("gone", "elsewhere"), [(5, 6), (9, 0), (14, 3)])
def test_check_tells_which_picture_is_gone(gone: int, elsewhere: int, tmp_path: Path) -> None:
    """It may be the first one, one in the middle or the last one."""
    source = numbered(tmp_path, 10)
    (tmp_path / f"{gone:03d}.png").unlink()
    source.check_between(elsewhere, elsewhere + 1)
    told = (
        rf"{gone:03d}\.png cannot be read any more \(No such file or directory\); put it back, and"
        " run the same command again to continue"
    )
    for check in (source.check, lambda: source.check_between(gone - 5, gone - 4)):
        with pytest.raises(VideoError, match=told):
            check()


def test_check_tells_of_a_picture_that_came_to_the_others(tmp_path: Path) -> None:
    source = numbered(tmp_path, 10)
    Image.new("L", (16, 12)).save(tmp_path / "015.png")
    for check in (source.check, lambda: source.check_between(0, 1)):
        with pytest.raises(
            VideoError, match=r"015\.png appeared among the others while they were being"
        ):
            check()


def test_check_between_looks_at_all_of_a_film_in_one_file(plain_clip: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    shutil.copy(plain_clip, clip)
    source = Source(probe(clip))
    source.check_between(0, 1)
    clip.unlink()
    with pytest.raises(VideoError, match=r"clip\.mp4 cannot be read any more"):
        source.check_between(0, 1)

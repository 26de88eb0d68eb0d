from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from filmcolorizer_cli.errors import FilmColorizerError, OptionError
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.targets import (
    beside,
    check_ending,
    check_folder_target,
    check_target,
    default_target,
)


@pytest.mark.parametrize(
    ("film", "target"),
    [
        ("old.film.avi", "old.film-color.mp4"),
        ("reels/one.mkv", "reels/one-color.mp4"),
        ("frames/%05d.png", "frames-color.mp4"),
        ("reels/one/f%d.tif", "reels/one-color.mp4"),
    ],
)
def test_default_target_lies_beside_the_film(film: str, target: str) -> None:
    assert default_target(Path(film)) == Path(target)


def test_beside_pictures_of_the_current_folder_is_named_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reel"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert beside(Path("%05d.png"), "-preview.html") == tmp_path / "reel-preview.html"


def test_check_target_never_lets_a_source_be_written_over(tmp_path: Path) -> None:
    source, link = tmp_path / "film.mp4", tmp_path / "link.mp4"
    source.touch()
    link.symlink_to(source)
    picture = tmp_path / "001.png"
    picture.touch()
    for sources, target in (([source], source), ([source], link), ([link], source)):
        with pytest.raises(FilmColorizerError, match="is the source itself; name another file"):
            check_target(target, sources, overwrite=True)
    with pytest.raises(FilmColorizerError, match=r"001\.png is the source itself"):
        check_target(picture, [tmp_path / "%03d.png"], overwrite=True)
    check_target(tmp_path / "other.mp4", [source], overwrite=False)


def test_check_target_lets_others_be_written_over_where_told(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    target.touch()
    with pytest.raises(FilmColorizerError, match="exists already; name another file with --render"):
        check_target(target, [], overwrite=False, option="--render")
    check_target(target, [], overwrite=True)


def pairs_folder(folder: Path) -> Path:
    """Make a folder of the files that extract writes, its index last."""
    for side in ("bw", "color"):
        (folder / side).mkdir(parents=True)
        (folder / side / "000001.png").touch()
    (folder / "pairs.json").touch()
    return folder


def test_check_folder_target_keeps_what_was_painted_by_hand(own_pairs: Pairs) -> None:
    """File times do not matter, since copying a folder changes them."""
    folder = own_pairs.folder
    with pytest.raises(FilmColorizerError, match="pairs exists already; name another folder"):
        check_folder_target(folder, overwrite=False)
    still = folder / "color" / "000001.png"
    os.utime(still)
    (folder / "bw" / "000002.png").unlink()
    (folder / "color" / "000002.png").unlink()
    check_folder_target(folder, overwrite=True)
    Image.new("RGB", (43, 32), (255, 0, 0)).save(still)
    os.utime(still, (1, 1))
    with pytest.raises(FilmColorizerError, match=f"{still} was changed since it was extracted"):
        check_folder_target(folder, overwrite=True)


def test_check_folder_target_keeps_what_nothing_is_known_of(own_pairs: Pairs) -> None:
    index = own_pairs.folder / "pairs.json"
    index.write_text("{}")
    with pytest.raises(FilmColorizerError, match=r"bw/000001\.png was changed since"):
        check_folder_target(own_pairs.folder, overwrite=True)


def test_check_folder_target_finds_what_a_kill_left_aside(tmp_path: Path) -> None:
    pairs_folder(tmp_path / f".pairs.{os.getpid()}.old")
    with pytest.raises(FilmColorizerError, match="pairs exists already; name another folder"):
        check_folder_target(tmp_path / "pairs", overwrite=False)


@pytest.mark.parametrize(
    ("endings", "listed"), [((".png",), ".png"), ((".mp4", ".mov", ".mkv"), ".mp4, .mov or .mkv")]
)
def test_check_ending_lists_what_may_be(endings: tuple[str, ...], listed: str) -> None:
    check_ending(Path(f"film{endings[-1].upper()}"), *endings)
    with pytest.raises(OptionError, match=f"film.gif does not end in {listed}; name a file"):
        check_ending(Path("film.gif"), *endings)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python takes it for a free place")
def test_check_target_tells_of_a_link_that_leads_to_itself(tmp_path: Path) -> None:
    link = tmp_path / "film.mp4"
    link.symlink_to(link)
    with pytest.raises(FilmColorizerError, match=r"is a link that points to itself; delete it"):
        check_target(link, [], overwrite=False)


def test_check_target_looks_at_the_folder_that_a_link_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "film.mp4"
    link.symlink_to(tmp_path / "gone" / "film.mp4")
    with pytest.raises(FilmColorizerError, match=r"the folder .*/gone does not exist; create it"):
        check_target(link, [], overwrite=False)

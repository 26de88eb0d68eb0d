"""The pictures that models/old_film.py trains the shipped model with."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from filmcolorizer_cli.color import rgb_to_ycbcr

OLD_FILM = runpy.run_path(str(Path(__file__).parents[1] / "models" / "old_film.py"))
CPU = torch.device("cpu")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_random_squares_show_nothing_but_the_photo() -> None:
    """Photos of two shapes are stored in equal squares, which are black beyond them."""
    photos = [torch.full((3, *size), 255, dtype=torch.uint8) for size in ((20, 50), (40, 20))]
    album = OLD_FILM["Album"](photos, CPU)
    chosen = torch.arange(200) % 2
    squares = album.random_squares(chosen, 16, least=0.4, generator=generator())
    assert squares.shape == (200, 3, 16, 16)
    assert squares.min() > 0.999


def test_random_squares_are_mirrored_turned_and_of_all_sizes() -> None:
    """Red grows to the right and green downwards, which shows where a pixel comes from."""
    ramp = torch.linspace(0, 255, 64)
    across, down = ramp.expand(64, 64), ramp[:, None].expand(64, 64)
    photo = torch.stack((across, down, torch.zeros(64, 64))).byte()
    album = OLD_FILM["Album"]([photo], CPU)
    squares = album.random_squares(torch.zeros(400).long(), 16, least=0.4, generator=generator())
    red, green, _ = squares[:, :, 4:12, 4:12].unbind(1)
    to_the_right = (red[:, :, -1] - red[:, :, 0]).mean(dim=1) / 7 * 16
    assert 0.4 < (to_the_right > 0).float().mean() < 0.6
    assert (green[:, -1] > green[:, 0]).all()  # none is upside down
    side = to_the_right.abs()
    assert 0.3 < side.min() < 0.5
    assert side.max() > 0.85
    # Green is constant along a row, unless the square is rotated.
    is_turned = (green[:, :, -1] - green[:, :, 0]).abs().mean(dim=1) > 1e-3
    assert 0.4 < is_turned.float().mean() < 0.6


def some_pictures(count: int = 400) -> torch.Tensor:
    """Return R'G'B' (count, 3, 32, 32): smooth coloured pictures, all different."""
    small = torch.rand(count, 3, 4, 4, generator=generator()) * 0.6 + 0.2
    return torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear")


def wear() -> Any:
    return OLD_FILM["Wear"](generator(), OLD_FILM["titles"](32, 0, CPU))


def test_film_wears_half_of_the_lumas() -> None:
    rgb = some_pictures()
    clean, worn = rgb_to_ycbcr(rgb)[:, :1], wear().film(rgb)
    assert worn.shape == clean.shape
    assert 0 <= worn.min() <= worn.max() <= 1
    is_worn = (worn - clean).abs().amax(dim=(1, 2, 3)) > 1e-4
    assert is_worn.float().mean() == pytest.approx(OLD_FILM["WORN_SHARE"], abs=0.08)


@pytest.mark.parametrize(
    "name", ["_tone", "_blurred", "_shrunk", "_dirty", "_grainy", "_compressed"]
)
def test_each_wear_changes_the_luma_and_leaves_the_picture(name: str) -> None:
    luma = rgb_to_ycbcr(some_pictures(64))[:, :1]
    changed = getattr(wear(), name)(luma)
    assert (changed - luma).abs().mean() > 1e-4
    similarity = torch.corrcoef(torch.stack((changed.flatten(), luma.flatten())))[0, 1]
    assert 0.5 < similarity < 1


def test_emulsions_see_colours_in_other_lumas() -> None:
    red = torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1).expand(64, 3, 8, 8)
    lumas = wear()._emulsion(red)[:, 0, 0, 0]
    assert lumas.min() < 0.2
    assert lumas.max() > 0.4
    white = wear()._emulsion(torch.ones(4, 3, 8, 8))
    torch.testing.assert_close(white, torch.ones(4, 1, 8, 8))


def test_stage_shows_titles_blanks_and_bars_in_their_shares() -> None:
    rgb = some_pictures(2000)
    staged = wear().stage(rgb)
    is_grey = (staged - staged.mean(dim=1, keepdim=True)).abs().amax(dim=(1, 2, 3)) < 1e-5
    shares = OLD_FILM["TITLE_SHARE"] + OLD_FILM["BLANK_SHARE"]
    assert is_grey.float().mean() == pytest.approx(shares, abs=0.02)
    is_black = (staged == 0).all(dim=1)
    has_bars = ~is_grey & (is_black.all(dim=2).any(dim=1) | is_black.all(dim=1).any(dim=1))
    barred = OLD_FILM["BARS_SHARE"] * (1 - shares)
    assert has_bars.float().mean() == pytest.approx(barred, abs=0.02)

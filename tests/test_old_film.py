"""What the shipped model's training shows: models/old_film.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import torch

OLD_FILM = runpy.run_path(str(Path(__file__).parents[1] / "models" / "old_film.py"))
CPU = torch.device("cpu")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_random_squares_show_nothing_but_the_photo() -> None:
    """Photos of two shapes lie in one square, which is black beyond them."""
    photos = [torch.full((3, *size), 255, dtype=torch.uint8) for size in ((20, 50), (40, 20))]
    album = OLD_FILM["Album"](photos, CPU)
    chosen = torch.arange(200) % 2
    squares = album.random_squares(chosen, 16, least=0.4, generator=generator())
    assert squares.shape == (200, 3, 16, 16)
    assert squares.min() > 0.999


def test_random_squares_are_mirrored_turned_and_of_all_sizes() -> None:
    """Red grows to the right and green downwards, so that they tell where a pixel comes from."""
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
    # Along a row that is not turned green stays.
    is_turned = (green[:, :, -1] - green[:, :, 0]).abs().mean(dim=1) > 1e-3
    assert 0.4 < is_turned.float().mean() < 0.6

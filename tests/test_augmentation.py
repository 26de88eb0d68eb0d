from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli.augmentation import patched, random_part, scaled_part, vary_tone


def places(height: int, width: int) -> torch.Tensor:
    """Return a picture whose two planes encode row and column, in steps of 4."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (4 * torch.stack((rows, columns))).byte()


def bounds(plane: torch.Tensor, axis: int) -> tuple[float, float, bool]:
    """Return where a square of `places` begins and ends, and whether it is mirrored."""
    line = (plane * 255 / 4).mean(dim=1 - axis)
    assert plane.std(dim=1 - axis).max() < 1e-4, "rotated or sheared"
    is_mirrored = bool(line[0] > line[-1])
    steps = line.flip(0).diff() if is_mirrored else line.diff()
    assert (steps > 0).all()
    pixel = steps[len(steps) // 2].item()
    lowest, highest = line.min().item(), line.max().item()
    return lowest + 0.5 - pixel / 2, highest + 0.5 + pixel / 2, is_mirrored


def squares(
    picture: torch.Tensor, size: int, least: float, count: int = 400, mirrors: bool = True
) -> torch.Tensor:
    rng = random.Random(0)
    return torch.stack(
        [
            random_part(picture, (size, size), rng, least=least, mirrors=mirrors)
            for _ in range(count)
        ]
    )


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40), (48, 48)])
def test_random_part_shows_all_places_in_all_sizes(height: int, width: int) -> None:
    found = squares(places(height, width), 16, 0.5)
    assert found.shape == (400, 2, 16, 16)
    sides, tops, lefts, rights, bottoms = [], [], [], [], []
    for rows, columns in found:
        top, bottom, is_upside_down = bounds(rows, 0)
        left, right, _ = bounds(columns, 1)
        assert not is_upside_down
        assert bottom - top == pytest.approx(right - left, abs=0.3), "no square"
        sides.append(bottom - top)
        tops.append(top)
        bottoms.append(bottom)
        lefts.append(left)
        rights.append(right)
    short = min(height, width)
    assert short / 2 - 0.7 <= min(sides) < 0.55 * short
    assert 0.95 * short < max(sides) <= short + 0.3
    assert np.mean(sides) == pytest.approx(0.75 * short, rel=0.05)
    assert min(tops) == pytest.approx(0, abs=0.5)
    assert max(bottoms) == pytest.approx(height, abs=0.5)
    assert min(lefts) == pytest.approx(0, abs=0.5)
    assert max(rights) == pytest.approx(width, abs=0.5)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40)])
def test_random_part_has_the_shape_that_it_is_scaled_to(height: int, width: int) -> None:
    rng, wholes = random.Random(0), []
    for _ in range(100):
        part = random_part(places(height, width), (16, 32), rng, least=0.8, mirrors=False)
        assert part.shape == (2, 16, 32)
        (top, bottom, _), (left, right, _) = bounds(part[0], 0), bounds(part[1], 1)
        assert (right - left) == pytest.approx(2 * (bottom - top), abs=2)
        wholes.append(right - left)
    assert 0.8 * width - 1 <= min(wholes) < 0.83 * width
    assert 0.97 * width < max(wholes) <= width + 0.3


def test_random_part_stretched_has_another_shape() -> None:
    """Wider or taller than a square, with equal chance, and inside the picture."""
    rng, logarithms = random.Random(0), []
    for _ in range(400):
        part = random_part(places(60, 60), (16, 16), rng, least=0.5, mirrors=False, stretch=0.15)
        assert part.shape == (2, 16, 16)
        (top, bottom, _), (left, right, _) = bounds(part[0], 0), bounds(part[1], 1)
        assert -0.5 <= min(top, left) <= max(bottom, right) <= 60.5
        logarithms.append(math.log((right - left) / (bottom - top)))
    assert np.mean(logarithms) == pytest.approx(0, abs=0.03)
    assert np.std(logarithms) == pytest.approx(0.15, abs=0.03)
    assert max(np.abs(logarithms)) < 0.45


def test_random_part_mirrors_half_of_the_time_or_never() -> None:
    mirrored = [bounds(columns, 1)[2] for _, columns in squares(places(40, 60), 16, 0.6)]
    assert 160 <= sum(mirrored) <= 240  # of 400: four standard deviations to either side
    unmirrored = squares(places(40, 60), 16, 0.6, mirrors=False)
    assert not any(bounds(columns, 1)[2] for _, columns in unmirrored)


def test_random_part_of_the_whole_is_the_picture() -> None:
    picture = torch.randint(0, 256, (3, 32, 32), generator=torch.Generator().manual_seed(0))
    expected = picture / 255
    found = squares(picture.byte(), 32, 1.0, count=20)
    is_mirrored = [torch.equal(square, expected.flip(-1)) for square in found]
    assert 0 < sum(is_mirrored) < 20
    for square, mirrored in zip(found, is_mirrored, strict=True):
        assert torch.equal(square, expected.flip(-1) if mirrored else expected)


def test_random_part_depends_on_the_dice_alone() -> None:
    picture = places(40, 60)
    results = []
    for seed in (1, 1, 2):
        torch.rand(3), random.random()  # what else was drawn before does not matter
        results.append(random_part(picture, (16, 16), random.Random(seed), least=0.5, mirrors=True))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("size", [8, 20, 33])
def test_scaled_part_agrees_with_pillow(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (2, 30, 50), generator=generator).byte()
    square = scaled_part(picture, 7, 24, (20, 20), (size, size))
    assert square.shape == (2, size, size)
    for plane, found in zip(picture.float(), square, strict=True):
        part = Image.fromarray(plane.numpy()).crop((24, 7, 44, 27))
        expected = np.asarray(part.resize((size, size), Image.Resampling.BILINEAR)) / 255
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_scaled_part_leaves_the_picture_as_it_was() -> None:
    picture = places(20, 20)
    before = picture.clone()
    scaled_part(picture, 0, 0, (20, 20), (20, 20)).zero_()
    assert torch.equal(picture, before)


class Middling(random.Random):
    """A generator whose numbers are always the middle of their range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


RAMP = torch.linspace(0, 1, 101)[None, None]


def toned(count: int = 300) -> torch.Tensor:
    """Return the ramp in ``count`` random tones, (count, 101)."""
    rng = random.Random(0)
    return torch.cat([vary_tone(RAMP, rng) for _ in range(count)]).flatten(1)


def test_vary_tone_is_a_power_between_black_and_white() -> None:
    tones = toned()
    black, mid, white = tones[:, :1], tones[:, 50:51], tones[:, -1:]
    powers = ((mid - black) / (white - black)).log() / math.log(0.5)
    expected = black + (white - black) * RAMP[0] ** powers
    torch.testing.assert_close(tones, expected, atol=1e-5, rtol=0)
    assert powers.min() < 0.8 < 1.25 < powers.max()


def test_vary_tone_keeps_order_and_clips_nothing() -> None:
    tones = toned()
    assert (tones.diff(dim=1) > 0).all(), "what is lighter stays lighter"
    blacks, mids, whites = tones[:, 0], tones[:, 50], tones[:, -1]
    assert -0.3 < blacks.min() < -0.1, "not clipped, so that whoever shows it can"
    assert 1.1 < whites.max() < 1.5
    assert 0.3 < (blacks < 0).float().mean() < 0.8, "some blacks are crushed, some faded"
    assert 0.3 < (whites > 1).float().mean() < 0.8, "some whites are blown out, some dull"
    assert mids.min() < 0.4 < 0.6 < mids.max()
    assert mids.median() == pytest.approx(0.5, abs=0.06), "neither darker nor lighter, as a rule"


def test_vary_tone_of_a_middle_copy_is_nearly_the_same() -> None:
    assert (vary_tone(RAMP, Middling()) - RAMP).abs().max() < 0.06


def test_vary_tone_leaves_the_luma_as_it_was() -> None:
    luma = RAMP.clone()
    assert vary_tone(luma, random.Random(1)).shape == luma.shape
    assert torch.equal(luma, RAMP)
    # Luma beyond black and white counts as black and white.
    beyond = torch.tensor([-0.2, 0.0, 1.0, 1.3])
    found = vary_tone(beyond, random.Random(1))
    assert found[0] == found[1]
    assert found[2] == found[3]


@pytest.mark.parametrize("largest", [0.3, 0.5])
def test_patched_shows_the_picture_before_in_a_rectangle(largest: float) -> None:
    count = 300
    numbers = torch.arange(count).float()[:, None, None, None].expand(count, 3, 24, 24) / count
    found = patched(numbers, 0.4, torch.Generator().manual_seed(0), largest=largest)
    is_other = (found != numbers)[:, 0]
    torch.testing.assert_close(found[:, 0][is_other], numbers.roll(1, 0)[:, 0][is_other])
    share = is_other.flatten(1).float().mean(dim=1)
    assert 0.3 < (share > 0).float().mean() < 0.5
    assert largest - 0.08 < share.max() < largest + 0.05
    assert 0.05 < share[share > 0].min() < 0.15
    for mask in is_other[share > 0]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert torch.equal(mask, rows[:, None] & columns)

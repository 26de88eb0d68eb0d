from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from filmcolorizer_cli.color import Range, chroma_to_codes, resize, rgb_to_ycbcr, ycbcr_to_rgb
from filmcolorizer_cli.upsampling import (
    GUIDED_EPSILON,
    GUIDED_RADIUS,
    STRIP_PIXELS,
    Upsampler,
    fit_chroma,
)
from tests.colors import BT709_BARS_100, noise, pillow_resize, pixel, random_rgb


def limit_to_gamut(luma: Tensor, chroma: Tensor) -> Tensor:
    """Return chroma of the luma's own size, limited to the gamut."""
    blocks = luma.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    return fit_chroma(blocks, chroma)


def enlarge_along_edges(planes: Tensor, guide: Tensor) -> Tensor:
    """Enlarge planes (B, 2, h, w) to the size of their guides (B, 1, H, W)."""
    found = torch.empty(len(planes), 2, *guide.shape[-2:])
    upsampler = Upsampler(*guide.shape[-2:])
    small_guide = resize(guide, *planes.shape[-2:])
    for number in range(len(planes)):
        parts = (part[number].numpy() for part in (guide[:, 0], planes, small_guide[:, 0]))
        for rows, strip in upsampler.enlarge(*parts):
            found[number, :, rows] = torch.from_numpy(strip)
    return found


def test_limit_to_gamut_leaves_colours_inside_alone() -> None:
    ycbcr = rgb_to_ycbcr(random_rgb() * 0.98 + 0.01)
    luma, chroma = ycbcr[:, :1], ycbcr[:, 1:]
    torch.testing.assert_close(limit_to_gamut(luma, chroma), chroma, atol=1e-6, rtol=0)


@pytest.mark.parametrize("color", [c for c in BT709_BARS_100 if 0 < sum(c) < 3])
def test_limit_to_gamut_brings_overdone_bars_back_to_the_bars(color: tuple[int, ...]) -> None:
    ycbcr = rgb_to_ycbcr(pixel(color))
    limited = limit_to_gamut(ycbcr[:, :1], 1.7 * ycbcr[:, 1:])
    torch.testing.assert_close(limited, ycbcr[:, 1:], atol=1e-6, rtol=0)


def test_limit_to_gamut_scales_no_more_than_needed() -> None:
    generator = torch.Generator().manual_seed(1)
    luma = torch.rand(1, 1, 20, 20, generator=generator)
    chroma = torch.rand(1, 2, 20, 20, generator=generator) - 0.5
    limited = limit_to_gamut(luma, chroma)
    rgb = ycbcr_to_rgb(torch.cat((luma, limited), dim=1))
    assert rgb.min() >= -1e-5
    assert rgb.max() <= 1 + 1e-5
    scales = limited / chroma
    torch.testing.assert_close(scales[:, 0], scales[:, 1])  # the hue is kept
    was_scaled = scales[:, 0] < 0.999
    distance_to_edge = torch.minimum(rgb.amin(1).abs(), (1 - rgb.amax(1)).abs())
    assert 0.2 < was_scaled.float().mean() < 0.95
    assert distance_to_edge[was_scaled].max() < 1e-5


@pytest.mark.parametrize("luma", [-0.05, 0.0, 1.0, 1.09])
def test_limit_to_gamut_leaves_no_chroma_in_black_and_white(luma: float) -> None:
    limited = limit_to_gamut(pixel((luma,)), pixel((0.3, -0.2)))
    assert limited.abs().max() < 1e-5
    assert chroma_to_codes(limited, range="limited").flatten().tolist() == [128, 128]


def step(height: int, width: int, column: int, dark: float = 0.25, light: float = 0.75) -> Tensor:
    """Return a plane (1, 1, H, W) that is dark up to a column and light from there on."""
    plane = torch.full((1, 1, height, width), dark)
    plane[..., column:] = light
    return plane


def guided_filter(plane: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Apply the fast guided filter by its definition, a ridge regression in each window.

    He, Sun and Tang 2013, "Guided Image Filtering", equation 4: the slope a and offset b minimize
    the sum over the window of (a I + b - p)^2 + epsilon a^2. Their means over all windows that
    contain a pixel (equation 8) are enlarged and applied to the guide. The residual is enlarged
    and added.
    """
    height, width = plane.shape
    small = pillow_resize(guide, height, width)

    def window(row: int, column: int) -> tuple[slice, slice]:
        rows, columns = (
            slice(max(place - GUIDED_RADIUS, 0), place + GUIDED_RADIUS + 1)
            for place in (row, column)
        )
        return rows, columns

    functions = np.zeros((2, height, width))
    for row, column in np.ndindex(height, width):
        seen, wanted = (planes[window(row, column)].ravel() for planes in (small, plane))
        ridge = np.array([[np.sqrt(len(seen) * GUIDED_EPSILON), 0]])
        rows = np.vstack((np.stack((seen, np.ones_like(seen)), axis=1), ridge))
        functions[:, row, column] = np.linalg.lstsq(rows, np.append(wanted, 0), rcond=None)[0]
    means = np.zeros_like(functions)
    for row, column in np.ndindex(height, width):
        means[:, row, column] = functions[(slice(None), *window(row, column))].mean(axis=(1, 2))
    rest = plane - (means[0] * small + means[1])
    slope, offset, rest = (pillow_resize(part, *guide.shape) for part in (*means, rest))
    return slope * guide + offset + rest


@pytest.mark.parametrize("large", [(23, 31), (14, 18), (8, 40)])
def test_enlarge_along_edges_is_the_fast_guided_filter(large: tuple[int, int]) -> None:
    guide, planes = noise(2, 1, *large), noise(2, 2, 7, 9, seed=1) - 0.5
    found = enlarge_along_edges(planes, guide)
    assert found.shape == (2, 2, *large)
    for number, channel in np.ndindex(2, 2):
        expected = guided_filter(planes[number, channel].numpy(), guide[number, 0].numpy())
        np.testing.assert_allclose(found[number, channel], expected, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 5), (47, 63), (7, 101)])
@pytest.mark.parametrize("small", [(1, 1), (1, 2), (2, 1)])
def test_enlarge_along_edges_takes_the_smallest_planes(
    height: int, width: int, small: tuple[int, int]
) -> None:
    planes = torch.tensor([0.1, -0.2]).view(1, 2, 1, 1).expand(3, 2, *small)
    found = enlarge_along_edges(planes, noise(3, 1, height, width))
    expected = torch.tensor([0.1, -0.2]).view(1, 2, 1, 1).expand(3, 2, height, width)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_enlarge_along_edges_keeps_what_is_constant() -> None:
    found = enlarge_along_edges(torch.full((1, 2, 12, 16), 0.3), noise(1, 1, 90, 120))
    torch.testing.assert_close(found, torch.full((1, 2, 90, 120), 0.3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("column", [64, 65, 66, 67])  # a small pixel is four large ones wide
def test_enlarge_along_edges_makes_edges_as_sharp_as_the_guides(column: int) -> None:
    guide = step(80, 120, column)
    truth = (0.4 * guide - 0.2).expand(-1, 2, -1, -1)
    small = resize(truth, 20, 30)
    row, plain = (p[0, 0, 40] for p in (enlarge_along_edges(small, guide), resize(small, 80, 120)))

    def columns_between(values: Tensor) -> int:
        """Count the columns that reach neither side's colour within a tenth of the step."""
        return int((((values + 0.1) > 0.02) & ((values - 0.1) < -0.02)).sum())

    assert columns_between(plain) >= 4
    assert columns_between(row) == 0
    assert (row - truth[0, 0, 40]).abs().max() < 0.02
    assert (plain - truth[0, 0, 40]).abs().max() > 0.05


@pytest.mark.parametrize(
    ("pattern", "deviation", "least", "most"),
    [
        pytest.param(resize(noise(1, 1, 24, 32), 96, 128), 0.2, 0.8, 1.0, id="texture"),
        pytest.param(noise(1, 1, 96, 128), 0.03, 0.0, 0.15, id="grain"),
    ],
)
def test_enlarge_along_edges_follows_texture_but_no_grain(
    pattern: Tensor, deviation: float, least: float, most: float
) -> None:
    """True chroma follows luma in both, but of grain only what the small planes show is kept."""
    guide = 0.5 + (pattern - 0.5) * deviation / pattern.std()
    truth = (0.3 * guide).expand(-1, 2, -1, -1)
    found = enlarge_along_edges(resize(truth, 24, 32), guide)
    assert least <= (found.std() / truth.std()).item() <= most
    assert found.mean().item() == pytest.approx(truth.mean().item(), rel=0.02)


def test_enlarge_along_edges_gives_each_picture_its_own() -> None:
    guide, planes = noise(3, 1, 40, 50), noise(3, 2, 10, 12, seed=1)
    together = enlarge_along_edges(planes, guide)
    for number in range(3):
        alone = enlarge_along_edges(planes[number : number + 1], guide[number : number + 1])
        torch.testing.assert_close(together[number : number + 1], alone)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (31, 33), (48, 64), (65, 97)])
@pytest.mark.parametrize("small", [(1, 1), (5, 7), (16, 17), (24, 32), (40, 20)])
def test_fit_chroma_gives_half_the_size_rounded_up(
    size: tuple[int, int], small: tuple[int, int]
) -> None:
    chroma = torch.tensor([0.05, -0.03]).view(1, 2, 1, 1).expand(2, 2, *small)
    found = fit_chroma(0.4 + 0.2 * noise(2, 1, *size), chroma)
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    expected = torch.tensor([0.05, -0.03]).view(1, 2, 1, 1).expand(2, 2, *half)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_fit_chroma_of_half_the_size_is_only_limited() -> None:
    luma, chroma = noise(2, 1, 12, 18), noise(2, 2, 6, 9, seed=1) - 0.5
    scales = fit_chroma(luma, chroma) / chroma
    torch.testing.assert_close(scales[:, 0], scales[:, 1])
    assert 0 < scales.min() < 0.9
    faint = chroma * 0.02
    torch.testing.assert_close(fit_chroma(0.4 + 0.2 * luma, faint), faint)


def test_fit_chroma_shrinks_as_pillow_does() -> None:
    chroma = 0.1 * (noise(1, 2, 20, 30) - 0.5)
    found = fit_chroma(torch.full((1, 1, 12, 9), 0.5), chroma)
    for plane, expected in zip(found[0], chroma[0], strict=True):
        np.testing.assert_allclose(plane, pillow_resize(expected.numpy(), 6, 5), atol=1e-5)


def test_fit_chroma_enlarges_along_the_edges_of_its_luma() -> None:
    luma = step(160, 240, 130)
    truth = 0.2 * step(80, 120, 65).expand(-1, 2, -1, -1) - 0.1
    found = fit_chroma(luma, resize(truth, 20, 30))
    assert (found - truth).abs().max() < 0.01


@pytest.mark.parametrize("vividness", [1.0, 4.0])
@pytest.mark.parametrize("small", [(7, 9), (20, 30), (50, 60)])
def test_fit_chroma_never_leaves_the_gamut(vividness: float, small: tuple[int, int]) -> None:
    luma, chroma = noise(2, 1, 40, 60), noise(2, 2, *small, seed=1) - 0.5
    found = fit_chroma(luma, chroma * vividness)
    blocks = luma.view(2, 1, 20, 2, 30, 2).mean(dim=(3, 5))
    rgb = ycbcr_to_rgb(torch.cat((blocks, found), dim=1))
    assert rgb.min() >= -1e-5
    assert rgb.max() <= 1 + 1e-5
    assert found.abs().mean() > 0.05


@pytest.mark.parametrize("bar", [0.0, 1.0])
def test_fit_chroma_leaves_bars_neutral(bar: float) -> None:
    luma = 0.3 + 0.4 * noise(1, 1, 90, 120)
    luma[..., :20, :] = bar
    luma[..., -20:, :] = bar
    chroma = torch.tensor([0.2, -0.15]).view(1, 2, 1, 1).expand(1, 2, 20, 28)
    found = fit_chroma(luma, chroma * 4)
    codes = chroma_to_codes(found, range="limited").int()
    assert (codes[..., :10, :] == 128).all()
    assert (codes[..., -10:, :] == 128).all()
    assert (codes[..., 10:-10, :] - 128).abs().min() > 10


def test_upsampler_works_in_strips_of_any_height(monkeypatch: pytest.MonkeyPatch) -> None:
    guide, planes = noise(1, 1, 50, 40), noise(1, 2, 10, 8, seed=1) - 0.5
    whole = enlarge_along_edges(planes, guide)
    assert STRIP_PIXELS > 50 * 40
    for pixels in (1, 40 * 7, 40 * 50):
        monkeypatch.setattr("filmcolorizer_cli.upsampling.STRIP_PIXELS", pixels)
        torch.testing.assert_close(enlarge_along_edges(planes, guide), whole, atol=0, rtol=0)


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
@pytest.mark.parametrize("range", ["limited", "full"])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_upsampler_gives_the_codes_of_what_it_fits(
    matrix: str, range: Range, bit_depth: int
) -> None:
    """This includes colours at the edge of the gamut, with the highest and lowest codes."""
    luma, small = noise(40, 60).numpy(), noise(7, 9, seed=1).numpy()
    planes = (noise(2, 7, 9, seed=2) - 0.5).numpy()
    upsampler = Upsampler(40, 60)
    fitted = torch.empty(2, 40, 60)
    for rows, strip in upsampler.fit(luma, planes, small, matrix):
        fitted[:, rows] = torch.from_numpy(strip)
    codes = upsampler.codes(luma, planes, small, matrix=matrix, range=range, bit_depth=bit_depth)
    assert codes.dtype == (np.uint8 if bit_depth == 8 else np.uint16)
    expected = chroma_to_codes(fitted, range=range, bit_depth=bit_depth).numpy().astype(int)
    assert np.abs(codes.astype(int) - expected).max() <= 1  # rounding order differs at halves
    assert (codes != expected).mean() < 1e-3


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_codes_of_the_purest_blue_stay_in_the_full_range(depth: int) -> None:
    """Its chroma is half a code beyond the highest one."""
    luma, chroma = np.full((8, 8), 0.0722, np.float32), np.zeros((2, 8, 8), np.float32)
    chroma[0], chroma[1] = 0.5, -0.0722 / 1.5748
    codes = Upsampler(8, 8).codes(luma, chroma, luma, range="full", bit_depth=depth)
    assert codes[0].min() == codes[0].max() == 2**depth - 1

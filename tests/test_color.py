from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2ycbcr
from torch import Tensor

from filmcolorizer_cli.color import (
    GUIDED_EPSILON,
    GUIDED_RADIUS,
    chroma_from_codes,
    chroma_to_codes,
    enlarge_along_edges,
    fit_chroma,
    half_size,
    limit_to_gamut,
    luma_from_codes,
    luma_to_codes,
    resize,
    rgb_to_ycbcr,
    ycbcr_to_rgb,
)
from tests.conftest import BT709_BARS_100

# Bars at 75 %: R'G'B' against Y', Cb, Cr codes, limited range.
BT709_BARS_75 = {
    (1, 1, 0): (168, 44, 136),
    (0, 1, 1): (145, 147, 44),
    (0, 1, 0): (133, 63, 52),
    (1, 0, 1): (63, 193, 204),
    (1, 0, 0): (51, 109, 212),
    (0, 0, 1): (28, 212, 120),
}
BT709_BARS_75_10_BIT = {  # SMPTE RP 219-1
    (1, 1, 0): (674, 176, 543),
    (0, 1, 1): (581, 589, 176),
    (0, 1, 0): (534, 253, 207),
    (1, 0, 1): (251, 771, 817),
    (1, 0, 0): (204, 435, 848),
    (0, 0, 1): (111, 848, 481),
}
BT601_BARS_75 = {
    (1, 1, 0): (162, 44, 142),
    (0, 1, 1): (131, 156, 44),
    (0, 1, 0): (112, 72, 58),
    (1, 0, 1): (84, 184, 198),
    (1, 0, 0): (65, 100, 212),
    (0, 0, 1): (35, 212, 114),
}
JFIF_PRIMARIES = {  # full range
    (1, 0, 0): (76, 85, 255),
    (0, 1, 0): (150, 44, 21),
    (0, 0, 1): (29, 255, 107),
    (1, 1, 1): (255, 128, 128),
}
# E'Cb = (E'B - E'Y) / first, E'Cr = (E'R - E'Y) / second, as the recommendations print them.
CHROMA_DIVISORS = {
    "bt601": (1.772, 1.402),
    "bt709": (1.8556, 1.5748),
    "bt2020": (1.8814, 1.4746),
}
LUMA_COEFFICIENTS = {  # of E'R, E'G and E'B
    "bt601": (0.299, 0.587, 0.114),
    "bt709": (0.2126, 0.7152, 0.0722),
    "bt2020": (0.2627, 0.6780, 0.0593),
}


def pixel(values: tuple[float, ...]) -> torch.Tensor:
    """One pixel as (1, C, 1, 1)."""
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def random_rgb(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(seed))


def codes_of(
    rgb: torch.Tensor, matrix: str, *, range: str = "limited", bit_depth: int = 8
) -> list[int]:
    ycbcr = rgb_to_ycbcr(rgb, matrix)
    luma = luma_to_codes(ycbcr[:, :1], range=range, bit_depth=bit_depth)
    chroma = chroma_to_codes(ycbcr[:, 1:], range=range, bit_depth=bit_depth)
    return [*luma.flatten().tolist(), *chroma.flatten().tolist()]


@pytest.mark.parametrize(
    ("bars", "matrix", "level", "bit_depth"),
    [
        pytest.param(BT709_BARS_100, "bt709", 1.0, 8, id="bt709-100"),
        pytest.param(BT709_BARS_75, "bt709", 0.75, 8, id="bt709-75"),
        pytest.param(BT709_BARS_75_10_BIT, "bt709", 0.75, 10, id="bt709-75-10bit"),
        pytest.param(BT601_BARS_75, "bt601", 0.75, 8, id="bt601-75"),
    ],
)
def test_rgb_to_ycbcr_gives_published_colour_bars(
    bars: dict[tuple[int, ...], tuple[int, ...]], matrix: str, level: float, bit_depth: int
) -> None:
    found = {
        color: tuple(codes_of(level * pixel(color), matrix, bit_depth=bit_depth)) for color in bars
    }
    assert found == bars


@pytest.mark.parametrize("color", JFIF_PRIMARIES)
def test_rgb_to_ycbcr_gives_jfif_primaries(color: tuple[int, ...]) -> None:
    assert tuple(codes_of(pixel(color), "bt601", range="full")) == JFIF_PRIMARIES[color]


@pytest.mark.parametrize("matrix", CHROMA_DIVISORS)
def test_rgb_to_ycbcr_follows_the_printed_equations(matrix: str) -> None:
    rgb = random_rgb().double()
    red, green, blue = rgb.unbind(1)
    of_red, of_green, of_blue = LUMA_COEFFICIENTS[matrix]
    luma = of_red * red + of_green * green + of_blue * blue
    for_cb, for_cr = CHROMA_DIVISORS[matrix]
    expected = torch.stack((luma, (blue - luma) / for_cb, (red - luma) / for_cr), dim=1)
    torch.testing.assert_close(rgb_to_ycbcr(rgb, matrix), expected, atol=1e-6, rtol=0)


def test_rgb_to_ycbcr_agrees_with_scikit_image() -> None:
    rgb = random_rgb()
    expected = rgb2ycbcr(rgb.numpy(), channel_axis=1)
    ycbcr = rgb_to_ycbcr(rgb, "bt601").numpy()
    codes = ycbcr * np.array([219, 224, 224]).reshape(3, 1, 1)
    codes += np.array([16, 128, 128]).reshape(3, 1, 1)
    np.testing.assert_allclose(codes, expected, atol=2e-3)


def test_rgb_to_ycbcr_works_in_bt709_unless_told() -> None:
    assert torch.equal(rgb_to_ycbcr(random_rgb()), rgb_to_ycbcr(random_rgb(), "bt709"))
    assert torch.equal(ycbcr_to_rgb(random_rgb()), ycbcr_to_rgb(random_rgb(), "bt709"))


def test_ycbcr_to_rgb_follows_jfif() -> None:
    luma, cb, cr = 0.5, 0.1, -0.2
    expected = pixel((luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb))
    found = ycbcr_to_rgb(pixel((luma, cb, cr)), "bt601")
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("matrix", CHROMA_DIVISORS)
def test_ycbcr_to_rgb_undoes_rgb_to_ycbcr(matrix: str) -> None:
    rgb = random_rgb()
    torch.testing.assert_close(
        ycbcr_to_rgb(rgb_to_ycbcr(rgb, matrix), matrix), rgb, atol=1e-6, rtol=0
    )


def test_ycbcr_to_rgb_does_not_clip() -> None:
    red = ycbcr_to_rgb(pixel((1.0, 0.0, 0.5)))[0, 0].item()
    assert red == pytest.approx(1 + 0.5 * 1.5748)


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
    torch.testing.assert_close(scales[:, 0], scales[:, 1])  # the hue stays
    was_scaled = scales[:, 0] < 0.999
    distance_to_edge = torch.minimum(rgb.amin(1).abs(), (1 - rgb.amax(1)).abs())
    assert 0.2 < was_scaled.float().mean() < 0.95
    assert distance_to_edge[was_scaled].max() < 1e-5


@pytest.mark.parametrize("luma", [-0.05, 0.0, 1.0, 1.09])
def test_limit_to_gamut_leaves_no_chroma_in_black_and_white(luma: float) -> None:
    limited = limit_to_gamut(pixel((luma,)), pixel((0.3, -0.2)))
    assert limited.abs().max() < 1e-5
    assert chroma_to_codes(limited, range="limited").flatten().tolist() == [128, 128]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Noise in [0, 1]."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def step(height: int, width: int, column: int, dark: float = 0.25, light: float = 0.75) -> Tensor:
    """A plane (1, 1, H, W) that is dark up to a column and light from there on."""
    plane = torch.full((1, 1, height, width), dark)
    plane[..., column:] = light
    return plane


def pillow_resize(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(plane.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def guided_filter(plane: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """The fast guided filter by its definition, a ridge regression in each window.

    He, Sun and Tang 2013, "Guided Image Filtering", equation 4: the slope a and offset b that make
    the sum over the window of (a I + b - p)^2 + epsilon a^2 least; their means over all windows
    that a pixel lies in (equation 8) are enlarged and applied to the guide. What they do not
    explain is enlarged and added.
    """
    height, width = plane.shape
    small = pillow_resize(guide, height, width)

    def window(row: int, column: int) -> tuple[slice, slice]:
        return tuple(
            slice(max(place - GUIDED_RADIUS, 0), place + GUIDED_RADIUS + 1)
            for place in (row, column)
        )

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
    truth = 0.4 * guide - 0.2
    small = resize(truth, 20, 30)
    row, plain = (p[0, 0, 40] for p in (enlarge_along_edges(small, guide), resize(small, 80, 120)))

    def columns_between(values: Tensor) -> int:
        """In how many columns neither side's colour is reached, to a tenth of the step."""
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
    """Chroma goes with luma alike in both, but of grain there stays what the small planes show."""
    guide = 0.5 + (pattern - 0.5) * deviation / pattern.std()
    truth = 0.3 * guide
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
    blocks = luma.view(2, 1, 6, 2, 9, 2).mean(dim=(3, 5))
    torch.testing.assert_close(fit_chroma(luma, chroma), limit_to_gamut(blocks, chroma))
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


@pytest.mark.parametrize("vividness", [0.0, 0.5, 1.0, 2.0])
def test_fit_chroma_multiplies_by_the_vividness(vividness: float) -> None:
    luma, chroma = 0.4 + 0.2 * noise(2, 1, 30, 41), 0.1 * (noise(2, 2, 8, 9) - 0.5)
    found = fit_chroma(luma, chroma, vividness=vividness)
    torch.testing.assert_close(found, vividness * fit_chroma(luma, chroma))
    assert (found.abs().max() > 0.005) == (vividness > 0)


@pytest.mark.parametrize("vividness", [1.0, 4.0])
@pytest.mark.parametrize("small", [(7, 9), (20, 30), (50, 60)])
def test_fit_chroma_never_leaves_the_gamut(vividness: float, small: tuple[int, int]) -> None:
    luma, chroma = noise(2, 1, 40, 60), noise(2, 2, *small, seed=1) - 0.5
    found = fit_chroma(luma, chroma, vividness=vividness)
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
    found = fit_chroma(luma, chroma, vividness=4.0)
    codes = chroma_to_codes(found, range="limited").int()
    assert (codes[..., :10, :] == 128).all()
    assert (codes[..., -10:, :] == 128).all()
    assert (codes[..., 10:-10, :] - 128).abs().min() > 10


def test_half_size_averages_blocks_and_what_is_left_at_odd_edges() -> None:
    planes = torch.arange(1.0, 16.0).view(1, 1, 3, 5)
    expected = torch.tensor([[4.0, 6.0, 7.5], [11.5, 13.5, 15.0]])
    assert torch.equal(half_size(planes), expected.view(1, 1, 2, 3))


def test_resize_gives_back_planes_of_that_size() -> None:
    planes = random_rgb()
    assert resize(planes, 9, 11) is planes


@pytest.mark.parametrize(("height", "width"), [(4, 5), (27, 31), (5, 31), (9, 3)])
def test_resize_agrees_with_pillow(height: int, width: int) -> None:
    plane = random_rgb()[:1, :1]
    picture = Image.fromarray(plane[0, 0].numpy())
    expected = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(resize(plane, height, width)[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("range", "bit_depth", "black", "white"),
    [("limited", 8, 16, 235), ("limited", 10, 64, 940), ("full", 8, 0, 255), ("full", 10, 0, 1023)],
)
def test_luma_from_codes_puts_black_at_0_and_white_at_1(
    range: str, bit_depth: int, black: int, white: int
) -> None:
    luma = luma_from_codes(torch.tensor([black, white]), range=range, bit_depth=bit_depth)
    assert luma.dtype == torch.float32
    assert luma.tolist() == [0.0, 1.0]


def test_luma_from_codes_keeps_what_lies_beyond_black_and_white() -> None:
    luma = luma_from_codes(torch.tensor([0, 255], dtype=torch.uint8), range="limited")
    assert luma.tolist() == pytest.approx([-16 / 219, 239 / 219])


@pytest.mark.parametrize(
    ("range", "bit_depth", "codes", "expected"),
    [
        ("limited", 8, [16, 128, 240], [-0.5, 0, 0.5]),
        ("limited", 10, [64, 512, 960], [-0.5, 0, 0.5]),
        ("full", 8, [0, 128, 255], [-128 / 255, 0, 127 / 255]),
    ],
)
def test_chroma_from_codes_puts_neutral_at_0(
    range: str, bit_depth: int, codes: list[int], expected: list[float]
) -> None:
    chroma = chroma_from_codes(torch.tensor(codes), range=range, bit_depth=bit_depth)
    assert chroma.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("range", "bit_depth", "lowest", "highest"),
    [("limited", 8, 16, 235), ("limited", 10, 64, 940), ("full", 8, 0, 255)],
)
def test_luma_to_codes_clips_to_legal_codes(
    range: str, bit_depth: int, lowest: int, highest: int
) -> None:
    codes = luma_to_codes(torch.tensor([-0.3, 1.3]), range=range, bit_depth=bit_depth)
    assert codes.dtype == (torch.uint8 if bit_depth == 8 else torch.int32)
    assert codes.tolist() == [lowest, highest]


@pytest.mark.parametrize(
    ("range", "bit_depth", "lowest", "highest"),
    [("limited", 8, 16, 240), ("limited", 10, 64, 960), ("full", 8, 0, 255), ("full", 10, 0, 1023)],
)
def test_chroma_to_codes_clips_to_legal_codes(
    range: str, bit_depth: int, lowest: int, highest: int
) -> None:
    codes = chroma_to_codes(torch.tensor([-0.7, -0.5, 0.5, 0.7]), range=range, bit_depth=bit_depth)
    assert codes.dtype == (torch.uint8 if bit_depth == 8 else torch.int32)
    assert codes.tolist() == [lowest, lowest, highest, highest]


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
@pytest.mark.parametrize("range", ["limited", "full"])
def test_to_codes_undoes_from_codes(range: str, bit_depth: int) -> None:
    scale = 2 ** (bit_depth - 8)
    black, white, most = (16 * scale, 235 * scale, 240 * scale)
    if range == "full":
        black, white, most = 0, 256 * scale - 1, 256 * scale - 1
    options = {"range": range, "bit_depth": bit_depth}
    luma = torch.arange(black, white + 1)
    assert torch.equal(luma_to_codes(luma_from_codes(luma, **options), **options).long(), luma)
    chroma = torch.arange(black, most + 1)
    found = chroma_to_codes(chroma_from_codes(chroma, **options), **options)
    assert torch.equal(found.long(), chroma)

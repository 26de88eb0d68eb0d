from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2ycbcr

from filmcolorizer_cli.color import (
    MATRICES,
    Range,
    chroma_from_codes,
    chroma_to_codes,
    half_size,
    luma_from_codes,
    luma_to_codes,
    resize,
    rgb_to_ycbcr,
    unpremultiplied,
    with_luma,
    ycbcr_to_rgb,
)
from tests.colors import BT709_BARS_100, pixel, random_rgb

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


def codes_of(
    rgb: torch.Tensor, matrix: str, *, range: Range = "limited", bit_depth: int = 8
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
def test_rgb_to_ycbcr_gives_jfif_primaries(color: tuple[int, int, int]) -> None:
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
    range: Range, bit_depth: int, black: int, white: int
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
    range: Range, bit_depth: int, codes: list[int], expected: list[float]
) -> None:
    chroma = chroma_from_codes(torch.tensor(codes), range=range, bit_depth=bit_depth)
    assert chroma.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("range", "bit_depth", "lowest", "highest"),
    [("limited", 8, 16, 235), ("limited", 10, 64, 940), ("full", 8, 0, 255)],
)
def test_luma_to_codes_clips_to_legal_codes(
    range: Range, bit_depth: int, lowest: int, highest: int
) -> None:
    codes = luma_to_codes(torch.tensor([-0.3, 1.3]), range=range, bit_depth=bit_depth)
    assert codes.dtype == (torch.uint8 if bit_depth == 8 else torch.int32)
    assert codes.tolist() == [lowest, highest]


@pytest.mark.parametrize(
    ("range", "bit_depth", "lowest", "highest"),
    [("limited", 8, 16, 240), ("limited", 10, 64, 960), ("full", 8, 0, 255), ("full", 10, 0, 1023)],
)
def test_chroma_to_codes_clips_to_legal_codes(
    range: Range, bit_depth: int, lowest: int, highest: int
) -> None:
    codes = chroma_to_codes(torch.tensor([-0.7, -0.5, 0.5, 0.7]), range=range, bit_depth=bit_depth)
    assert codes.dtype == (torch.uint8 if bit_depth == 8 else torch.int32)
    assert codes.tolist() == [lowest, lowest, highest, highest]


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
@pytest.mark.parametrize("range", ["limited", "full"])
def test_to_codes_undoes_from_codes(range: Range, bit_depth: int) -> None:
    scale = 2 ** (bit_depth - 8)
    black, white, most = (16 * scale, 235 * scale, 240 * scale)
    if range == "full":
        black, white, most = 0, 256 * scale - 1, 256 * scale - 1
    luma = torch.arange(black, white + 1)
    scaled = luma_from_codes(luma, range=range, bit_depth=bit_depth)
    assert torch.equal(luma_to_codes(scaled, range=range, bit_depth=bit_depth).long(), luma)
    chroma = torch.arange(black, most + 1)
    scaled = chroma_from_codes(chroma, range=range, bit_depth=bit_depth)
    assert torch.equal(chroma_to_codes(scaled, range=range, bit_depth=bit_depth).long(), chroma)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("known", [0.25, 0.5, 0.75, 1.0])
def test_unpremultiplied_gives_the_colours_that_were_mixed_with_grey(
    matrix: str, known: float
) -> None:
    """The grey has the luma of the colours, by the film's matrix."""
    blue = torch.tensor((0.3, 0.4, 0.9))[:, None, None]
    grey = rgb_to_ycbcr(blue, matrix)[:1].expand(3, -1, -1)
    mixed = known * blue + (1 - known) * grey
    found = unpremultiplied(mixed[None], torch.full((1, 1, 1, 1), known), matrix)
    torch.testing.assert_close(found[0], blue)


@pytest.mark.parametrize("matrix", MATRICES)
def test_with_luma_keeps_how_much_the_colours_differ(matrix: str) -> None:
    generator = torch.Generator().manual_seed(0)
    rgb = 0.4 + 0.2 * torch.rand(2, 3, 8, 9, generator=generator)
    luma = 0.4 + 0.2 * torch.rand(2, 1, 8, 9, generator=generator)
    moved = with_luma(rgb, luma, matrix)
    torch.testing.assert_close(moved[:, :2] - moved[:, 1:], rgb[:, :2] - rgb[:, 1:])
    torch.testing.assert_close(rgb_to_ycbcr(moved, matrix)[:, :1], luma)


def test_with_luma_makes_paler_what_lies_beyond_the_gamut() -> None:
    """On black and white no colour is left; 0.5774 is the orange's luma (BT.709-6 item 3.2)."""
    orange = torch.tensor([1.0, 0.5, 0.1]).view(3, 1, 1).expand(3, 1, 4)
    luma = torch.tensor([[[0.0, 0.2, 0.5774, 1.0]]])
    moved = with_luma(orange, luma)
    torch.testing.assert_close(rgb_to_ycbcr(moved)[:1], luma, atol=1e-5, rtol=0)
    assert moved[:, 0, 0].tolist() == [0, 0, 0]
    assert moved[:, 0, 3].tolist() == [1, 1, 1]
    assert moved[2, 0, 1] == pytest.approx(0, abs=1e-5)  # the edge of the gamut
    hues = (moved - moved.mean(0))[:, 0, 1:3]
    torch.testing.assert_close(hues[:, 0] / hues[0, 0], hues[:, 1] / hues[0, 1])


def test_with_luma_leaves_grey_grey() -> None:
    grey, luma = torch.full((3, 2, 2), 0.3), torch.full((1, 2, 2), 0.6)
    torch.testing.assert_close(with_luma(grey, luma), luma.expand(3, 2, 2))

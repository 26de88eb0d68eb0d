from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from filmcolorizer_cli.areas import Area
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.registration import (
    COARSE,
    MIN_MOVE,
    Comparison,
    Placement,
    dissimilarity,
    find_content,
    find_placement,
    normal_equations,
    refine,
    solve_step,
    split_by_placement,
)
from filmcolorizer_cli.signatures import HEIGHT, WIDTH, Frames, Signatures
from tests.films import SAMPLE_FRAMES, decode_planes, graded_film, signatures_of
from tests.versions import to_part

SIZE = (480, 360)  # pixels of the sample film; 15x15 make one of a signature
IDENTITY = np.eye(2, 3)
PRECISION = 0.003  # tolerance for corners, as a share of the picture's width or height
ROUGH = 0.02  # the same, where neighbouring frames may be confused
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def lumas() -> NDArray[np.uint8]:
    """(48, 360, 480): every third frame of the sample film, 16 of each shot."""
    return decode_planes(SAMPLE_FILM, "yuv420p", SIZE)[0][::3]


def small(pictures: NDArray[np.uint8]) -> Frames:
    """Reduce pictures (N, 360, 480) to signatures (N, 768)."""
    blocks = pictures.reshape(-1, HEIGHT, SIZE[1] // HEIGHT, WIDTH, SIZE[0] // WIDTH)
    return blocks.mean(axis=(2, 4)).round().astype(np.uint8).reshape(-1, HEIGHT * WIDTH)


def warped(pictures: NDArray[np.uint8], affine: Array) -> Frames:
    """Return signatures of pictures that show at (x, y) what these show at ``affine @ (x, y, 1)``.

    Pillow warps the pictures at full size; points outside are black.
    """
    (a, b, x), (c, d, y) = affine
    width, height = SIZE
    pixels = (a, b * width / height, x * width, c * height / width, d, y * height)
    moved = [
        Image.fromarray(picture).transform(
            SIZE, Image.Transform.AFFINE, pixels, Image.Resampling.BICUBIC, fillcolor=16
        )
        for picture in pictures
    ]
    return small(np.stack([np.asarray(picture) for picture in moved]))


def turned(degrees: float, zoom: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> Array:
    """Return a turn and zoom about a 4:3 picture's middle, and a shift, as a map in [0, 1]."""
    cos, sin = zoom * math.cos(math.radians(degrees)), zoom * math.sin(math.radians(degrees))
    aspect = SIZE[0] / SIZE[1]
    square = np.array(((cos, -sin / aspect), (sin * aspect, cos)))
    return np.column_stack((square, np.array((0.5, 0.5)) - square @ (0.5, 0.5) + shift))


def placed(affine: Array) -> Placement:
    return Placement(affine, Area(), Area())


def corner_error(affine: Array, truth: Array) -> float:
    """Return the largest coordinate difference of a picture's corners under two affine maps."""
    corners = np.array(((0, 1, 0, 1), (0, 0, 1, 1), (1, 1, 1, 1)))
    return float(np.abs((affine - truth) @ corners).max())


@pytest.mark.parametrize(
    "bars",
    [
        (0, 0, 0, 0),
        (0, 45, 0, 45),  # 3 signature pixels
        (60, 0, 60, 0),
        (0, 50, 0, 38),  # edges inside signature pixels
        (40, 0, 22, 0),
        (30, 45, 75, 15),
        (0, 0, 0, 45),
    ],
    ids=["none", "letterbox", "pillarbox", "uneven", "within-pixels", "all-round", "below"],
)
def test_find_content_leaves_bars_out(bars: tuple[int, int, int, int], tmp_path: Path) -> None:
    left, top, right, bottom = bars
    width, height = SIZE[0] - left - right, SIZE[1] - top - bottom
    pad = f"pad={SIZE[0]}:{SIZE[1]}:{left}:{top}"
    filters = f"select='not(mod(n,6))',scale={width}:{height},{pad}"
    film = graded_film(tmp_path / "bars.mp4", filters)
    content = find_content(signatures_of(film).frames)
    # It contains no bar, and lacks at most one signature pixel of the picture.
    for found, bar, pixels, size in (
        (content.left, left, WIDTH, SIZE[0]),
        (content.top, top, HEIGHT, SIZE[1]),
        (1 - content.right, right, WIDTH, SIZE[0]),
        (1 - content.bottom, bottom, HEIGHT, SIZE[1]),
    ):
        assert bar / size - 0.001 <= found <= bar / size + 1 / pixels, bars
        assert bar or found == 0


@pytest.mark.parametrize("code", [16, 29])
def test_find_content_of_a_dark_film_is_the_whole_picture(code: int) -> None:
    frames = np.full((10, WIDTH * HEIGHT), code, np.uint8)
    assert find_content(frames) == Area(0, 0, 1, 1)


def test_find_content_takes_a_small_lit_spot_for_no_picture() -> None:
    """A title of a few letters on black does not make the rest a bar."""
    frames = np.full((10, HEIGHT, WIDTH), 16, np.uint8)
    frames[:, 10:13, 12:18] = 200
    assert find_content(frames.reshape(10, -1)) == Area(0, 0, 1, 1)


def test_find_content_forgives_specks_in_bars(sample_signatures: Signatures) -> None:
    """A scratch or a subtitle in one frame of a hundred does not turn a bar into picture."""
    frames = sample_signatures.frames.copy().reshape(-1, HEIGHT, WIDTH)
    frames[:, :4], frames[:, -4:] = 16, 16
    frames[70, :] = 235
    content = find_content(frames.reshape(len(frames), -1))
    assert (content.top, content.bottom) == (4 / 24, 20 / 24)


def test_matrix_goes_from_black_and_white_to_colour() -> None:
    # The coloured film shows the part from (0.1, 0.2) to (0.6, 0.8) of the other's picture.
    matrix = placed(to_part(0.1, 0.2, 0.6, 0.8)).bw_to_color()
    assert matrix @ (0.1, 0.2, 1) == pytest.approx((0, 0))
    assert matrix @ (0.6, 0.8, 1) == pytest.approx((1, 1))
    assert matrix @ (0.1, 0.8, 1) == pytest.approx((0, 1))


@pytest.mark.parametrize(
    ("affine", "bw_content", "color_content", "expected"),
    [
        (IDENTITY, Area(), Area(), (0, 0, 1, 1)),
        (to_part(0.1, 0.2, 0.6, 0.8), Area(), Area(), (0.1, 0.2, 0.6, 0.8)),
        # The coloured film shows more than the whole other picture.
        (to_part(-0.2, -0.1, 1.3, 1.1), Area(), Area(), (0, 0, 1, 1)),
        (to_part(-0.2, 0.1, 0.9, 1.1), Area(), Area(), (0, 0.1, 0.9, 1)),
        (IDENTITY, Area(0, 0.125, 1, 0.875), Area(), (0, 0.125, 1, 0.875)),
        (IDENTITY, Area(), Area(0.125, 0, 0.75, 1), (0.125, 0, 0.75, 1)),
        # The coloured film shows half the width and height; its outer quarters are bars.
        (
            to_part(0.2, 0.2, 0.7, 0.7),
            Area(0.0, 0.5, 1, 1),
            Area(0.25, 0, 0.75, 1),
            (0.325, 0.5, 0.575, 0.7),
        ),
    ],
)
def test_area_is_what_both_show_without_bars(
    affine: Array,
    bw_content: Area,
    color_content: Area,
    expected: tuple[float, float, float, float],
) -> None:
    area = Placement(affine, bw_content, color_content).area()
    assert (area.left, area.top, area.right, area.bottom) == pytest.approx(expected)


@pytest.mark.parametrize("degrees", [-2.0, -0.5, 0.5, 2.0])
@pytest.mark.parametrize("zoom", [0.8, 1.0, 1.2])
def test_area_of_a_turned_picture_lies_within_both(degrees: float, zoom: float) -> None:
    placement = placed(turned(degrees, zoom, (0.03, -0.02)))
    area = placement.area()
    corners = np.array(
        [(x, y, 1) for x in (area.left, area.right) for y in (area.top, area.bottom)]
    )
    in_color = corners @ placement.bw_to_color().T
    for points in (corners[:, :2], in_color):
        assert points.min() >= -1e-9
        assert points.max() <= 1 + 1e-9
    # It covers nearly all that both show, as measured on a grid of points.
    y, x = (np.mgrid[:200, :200] + 0.5) / 200
    points = np.stack((x.ravel(), y.ravel(), np.ones(x.size)))
    shown = placement.bw_to_color() @ points
    shared = ((shown >= 0) & (shown <= 1)).all(axis=0).mean()
    size = (area.right - area.left) * (area.bottom - area.top)
    assert shared * 0.85 < size <= shared + 0.001


def by_hand(frame: Frames, radius: int) -> Array:
    """Return a picture (768,) minus the mean of the square around each pixel, as a unit vector."""
    picture = frame.astype(float).reshape(HEIGHT, WIDTH)
    flat = np.empty_like(picture)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            rows = slice(max(y - radius, 0), y + radius + 1)
            columns = slice(max(x - radius, 0), x + radius + 1)
            flat[y, x] = picture[y, x] - picture[rows, columns].mean()
    return flat.ravel() / np.linalg.norm(flat)


def test_comparison_makes_unit_vectors_without_shading(sample_signatures: Signatures) -> None:
    frames = sample_signatures.frames[[5, 60, 130]]
    comparison = Comparison(placed(IDENTITY))
    assert (comparison.mask == 1).all()
    assert comparison.shared == 1
    expected = [by_hand(frame, radius=4) for frame in frames]
    np.testing.assert_allclose(comparison.bw(frames), expected, atol=1e-4)
    np.testing.assert_allclose(comparison.color(frames), expected, atol=1e-4)


@pytest.mark.parametrize("grid_name", ["fine", "coarse"])
def test_comparison_forgets_brightness_contrast_and_shading(
    grid_name: str, sample_signatures: Signatures
) -> None:
    grid = [COARSE] if grid_name == "coarse" else []
    frames = sample_signatures.frames[::20]
    x = np.tile(np.linspace(-1, 1, WIDTH), HEIGHT)
    graded = np.clip(frames * 0.7 + 30 + 8 * x, 0, 255).round().astype(np.uint8)
    comparison = Comparison(placed(IDENTITY), *grid)
    similarity = (comparison.bw(frames) * comparison.color(graded)).sum(axis=1)
    assert similarity.min() > 0.98
    assert similarity.max() < 1.0001
    others = (comparison.bw(frames) * comparison.color(graded[::-1])).sum(axis=1)
    assert np.abs(others).max() < 0.5, "frames of other shots"


def test_comparison_shortens_faint_pictures(sample_signatures: Signatures) -> None:
    sharp = sample_signatures.frames[60].astype(float)
    mean = sharp.mean()
    factors = (1, 0.1, 0.01, 0)
    frames = np.stack([(mean + factor * (sharp - mean)).round() for factor in factors])
    comparison = Comparison(placed(IDENTITY))
    vectors = comparison.bw(frames.astype(np.uint8))
    lengths = np.linalg.norm(vectors, axis=1)
    assert lengths[0] == pytest.approx(1, abs=1e-5)
    assert lengths[1] > lengths[2]
    assert lengths[2] < 0.5
    assert lengths[3] == pytest.approx(0, abs=1e-4)
    contrasts = comparison.contrast(comparison.flat_bw(frames.astype(np.uint8)))
    np.testing.assert_allclose(np.minimum(contrasts, 1), lengths, atol=1e-5)


def test_comparison_moves_black_and_white_frames_onto_coloured_ones(
    sample_signatures: Signatures,
) -> None:
    """The coloured picture lies 8 columns left and 6 rows down: whole pixels, so nothing blurs."""
    bw = sample_signatures.frames[::30]
    color = np.zeros((len(bw), HEIGHT, WIDTH), np.uint8)
    color[:, 6:, :-8] = bw.reshape(-1, HEIGHT, WIDTH)[:, :-6, 8:]
    placement = placed(np.array(((1, 0, 8 / WIDTH), (0, 1, -6 / HEIGHT))))
    comparison = Comparison(placement)
    mask = comparison.mask.reshape(HEIGHT, WIDTH)
    assert mask[6:, :-8].all()
    assert mask.sum() == 18 * 24
    assert comparison.shared == pytest.approx(18 * 24 / 768)
    color[:, :6], color[:, :, -8:] = 200, 90  # what only the coloured film shows is ignored
    vectors = comparison.bw(bw), comparison.color(color.reshape(-1, 768))
    np.testing.assert_allclose(*vectors, atol=1e-4)
    assert (vectors[0][:, comparison.mask == 0] == 0).all()


def test_comparison_leaves_bars_out(sample_signatures: Signatures) -> None:
    content = Area(4 / WIDTH, 0, 1, 1)
    comparison = Comparison(Placement(IDENTITY, content, Area(0, 0, 1, 20 / HEIGHT)))
    mask = comparison.mask.reshape(HEIGHT, WIDTH)
    expected = np.zeros((HEIGHT, WIDTH))
    expected[:20, 4:] = 1
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    "truth",
    [
        IDENTITY,
        turned(0, 0.97, (0.01, -0.01)),
        turned(1.0),
        turned(-1.5, 1.03, (0.0, 0.02)),
        to_part(0.02, 0.03, 0.95, 0.99),
        np.array(((0.98, 0.02, 0.0), (-0.01, 1.02, 0.01))),
    ],
    ids=["same", "zoomed", "turned", "turned-and-moved", "cropped", "sheared"],
)
def test_refine_recovers_a_known_affine_map(truth: Array, lumas: NDArray[np.uint8]) -> None:
    found = refine(small(lumas), warped(lumas, truth), placed(IDENTITY))
    assert corner_error(found.color_to_bw, truth) < PRECISION


def test_refine_is_not_led_astray_by_pairs_that_are_not_alike(
    lumas: NDArray[np.uint8],
) -> None:
    truth = turned(1.0, 0.97)
    bw, color = small(lumas), warped(lumas, truth)
    color[::4] = color[::-1][::4]
    assert corner_error(refine(bw, color, placed(IDENTITY)).color_to_bw, truth) < PRECISION


@pytest.fixture(scope="module")
def every_luma() -> NDArray[np.uint8]:
    """(144, 360, 480): every frame of the sample film."""
    return decode_planes(SAMPLE_FILM, "yuv420p", SIZE)[0]


def as_film(frames: Frames) -> Signatures:
    return Signatures(frames, np.arange(len(frames)) / 24)


@pytest.mark.parametrize(
    "truth",
    [to_part(0.1, 0.05, 0.85, 0.8), to_part(0.0, 0.13, 1.0, 0.87), turned(1, 0.9)],
    ids=["cropped", "widescreen", "turned"],
)
def test_find_placement_without_knowing_when(truth: Array, every_luma: NDArray[np.uint8]) -> None:
    bw = as_film(small(every_luma[:120]))
    graded = (warped(every_luma[30:], truth) * 0.8 + 20).round().astype(np.uint8)
    found = find_placement(bw, as_film(graded))
    assert found is not None
    assert corner_error(found.color_to_bw, truth) < ROUGH
    assert found.bw_content == found.color_content == Area()
    # Refined with frames known to match, it is exact.
    exact = refine(bw.frames[30::3], graded[:90:3], found)
    assert corner_error(exact.color_to_bw, truth) < PRECISION


def test_find_placement_finds_what_the_other_crops(every_luma: NDArray[np.uint8]) -> None:
    """The black-and-white film shows a part of what the coloured one shows."""
    truth = to_part(0.1, 0.05, 0.9, 0.85)
    bw, color = as_film(warped(every_luma, truth)), as_film(small(every_luma))
    found = find_placement(bw, color)
    assert found is not None
    assert corner_error(found.bw_to_color(), truth) < ROUGH


def test_find_placement_of_black_films_is_none() -> None:
    black = as_film(np.full((100, WIDTH * HEIGHT), 16, np.uint8))
    assert find_placement(black, black) is None


def reels(lumas: NDArray[np.uint8], truths: list[Array], borders: list[int]) -> Frames:
    """Warp the frames by the first map, and from each border on by the next one."""
    ranges = pairwise((0, *borders, len(lumas)))
    parts = [
        warped(lumas[begin:end], truth) for truth, (begin, end) in zip(truths, ranges, strict=True)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("border", [16, 20, 37], ids=["at-a-cut", "in-a-shot", "in-the-last"])
def test_split_by_picture_finds_the_border(border: int, lumas: NDArray[np.uint8]) -> None:
    truths = [to_part(0.01, 0.02, 0.97, 0.96), to_part(0.03, 0.0, 0.99, 0.97)]
    color = reels(lumas, truths, [border])
    start = placed(to_part(0.02, 0.01, 0.98, 0.965))
    parts = split_by_placement(small(lumas), color, start)
    assert [first for first, _ in parts] == [0, border]
    for (_, found), truth in zip(parts, truths, strict=True):
        assert corner_error(found.color_to_bw, truth) < PRECISION


def test_split_by_picture_finds_three_parts(lumas: NDArray[np.uint8]) -> None:
    truths = [IDENTITY, turned(0, 0.97), turned(0, 1.0, (0.02, 0.0))]
    parts = split_by_placement(small(lumas), reels(lumas, truths, [14, 30]), placed(IDENTITY))
    assert [first for first, _ in parts] == [0, 14, 30]
    for (_, found), truth in zip(parts, truths, strict=True):
        assert corner_error(found.color_to_bw, truth) < PRECISION


@pytest.mark.parametrize("truth", [IDENTITY, turned(1, 0.98)], ids=["same", "turned"])
def test_split_by_picture_of_one_picture_is_one_part(
    truth: Array, lumas: NDArray[np.uint8]
) -> None:
    noise = np.random.default_rng(1).normal(0, 2, (48, 768))
    color = np.clip(warped(lumas, truth) + noise, 0, 255).round().astype(np.uint8)
    [(first, found)] = split_by_placement(small(lumas), color, placed(IDENTITY))
    assert first == 0
    assert corner_error(found.color_to_bw, truth) < PRECISION


def test_split_by_picture_overlooks_what_nobody_sees(lumas: NDArray[np.uint8]) -> None:
    truths = [IDENTITY, turned(0, 1.0, (MIN_MOVE / 3, 0))]
    parts = split_by_placement(small(lumas), reels(lumas, truths, [24]), placed(IDENTITY))
    assert len(parts) == 1


def test_dissimilarity_is_one_less_the_correlation(sample_signatures: Signatures) -> None:
    frames = sample_signatures.frames[[5, 60, 130]]
    placement = placed(IDENTITY)
    assert dissimilarity(frames, frames, placement) == pytest.approx(0, abs=1e-5)
    negative = 251 - frames
    assert dissimilarity(frames, negative, placement) == pytest.approx(2, abs=1e-5)
    one, other = by_hand(frames[0], 4), by_hand(frames[1], 4)
    expected = 1 - float(one @ other)
    found = dissimilarity(frames[:1], frames[1:2], placement)
    assert found == pytest.approx(expected, abs=1e-4)


def test_normal_equations_ignore_pairs_that_are_not_alike(
    sample_signatures: Signatures,
) -> None:
    frames = sample_signatures.frames[[5, 5, 60, 130]]
    others = sample_signatures.frames[[6, 60, 61, 5]]
    squares, rights = normal_equations(frames, others, placed(IDENTITY))
    assert (squares.shape, rights.shape) == ((4, 6, 6), (4, 6))
    says_something = [bool(np.abs(square).max() > 0) for square in squares]
    assert says_something == [True, False, True, False]
    assert not rights[[1, 3]].any()


def test_solve_step_of_nothing_is_no_step() -> None:
    np.testing.assert_array_equal(solve_step(np.zeros((6, 6)), np.zeros(6)), np.zeros((2, 3)))


def test_sample_has_the_frames_that_tests_count_on(every_luma: NDArray[np.uint8]) -> None:
    assert len(every_luma) == SAMPLE_FRAMES

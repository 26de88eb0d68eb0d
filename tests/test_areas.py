"""Parts of pictures, in fractions of their sides and in pixels."""

from __future__ import annotations

import numpy as np
import pytest

from filmcolorizer_cli.areas import (
    WHOLE,
    Area,
    PixelArea,
    composed,
    farthest_move,
    inverse,
    translation,
)


@pytest.mark.parametrize(
    ("area", "shape", "expected"),
    [
        (WHOLE, 1.0, WHOLE),
        (Area(0.2, 0.1, 0.6, 0.5), 1.0, Area(0.2, 0.1, 0.6, 0.5)),
        (Area(0.0, 0.0, 1.0, 0.5), 1.0, Area(0.25, 0.0, 0.75, 0.5)),
        (Area(0.0, 0.25, 0.5, 0.75), 2.0, Area(0.0, 0.375, 0.5, 0.625)),
        (Area(0.1, 0.2, 0.9, 1.0), 0.5, Area(0.3, 0.2, 0.7, 1.0)),
    ],
)
def test_area_is_trimmed_to_a_shape(area: Area, shape: float, expected: Area) -> None:
    assert area.trimmed(shape) == pytest.approx(expected)


def test_area_within_another_is_in_its_coordinates_and_ends_at_its_edges() -> None:
    outer = Area(0.2, 0.0, 0.7, 0.8)
    assert Area(0.3, 0.2, 0.5, 0.6).within(outer) == pytest.approx((0.2, 0.25, 0.6, 0.75))
    assert Area(0.0, 0.4, 0.45, 1.0).within(outer) == pytest.approx((0.0, 0.5, 0.5, 1.0))
    assert outer.within(outer) == pytest.approx(WHOLE)


def test_area_that_moves_keeps_what_is_still_in_it() -> None:
    area = Area(0.25, 0.0, 0.75, 0.5)
    assert area.overlap_when_moved(0.125, -0.25) == Area(0.375, 0.0, 0.75, 0.25)
    assert area.overlap_when_moved(-0.25, 0.125) == Area(0.25, 0.125, 0.5, 0.5)


def test_inner_pixels_of_an_area_leave_out_its_rim_amid_the_picture() -> None:
    rows, columns = Area(0.26, 0.0, 0.74, 1.0).inner_pixels((10, 100))
    assert (rows, columns) == (slice(0, 10), slice(27, 73))
    rows, _ = Area(0.0, 0.5, 1.0, 0.4).inner_pixels((10, 100))
    assert len(range(10)[rows]) == 0


def test_pixel_area_within_its_frame_is_in_parts_of_it() -> None:
    assert PixelArea(32, 0, 96, 60).as_shares(128, 120) == Area(0.25, 0.0, 1.0, 0.5)


def test_affine_of_an_area_leads_back_from_within_it() -> None:
    area = Area(0.2, 0.0, 0.7, 0.8)
    left, top = area.affine() @ (0.2, 0.25, 1)
    assert (left, top) == pytest.approx((0.3, 0.2))


@pytest.mark.parametrize(
    ("before", "size", "after"),
    [
        (PixelArea(0, 44, 640, 272), (320, 180), PixelArea(0, 22, 320, 136)),
        (PixelArea(0, 44, 640, 272), (64, 36), PixelArea(0, 4, 64, 28)),  # 4.4 to 31.6, made even
        (
            PixelArea(80, 0, 560, 360),
            (161, 91),
            PixelArea(20, 0, 141, 91),
        ),  # odd only where the frame is
        (PixelArea(0, 44, 640, 272), (640, 360), PixelArea(0, 44, 640, 272)),
    ],
)
def test_pixel_area_is_the_same_part_of_a_resized_frame(
    before: PixelArea, size: tuple[int, int], after: PixelArea
) -> None:
    assert before.scaled((640, 360), size) == after


@pytest.mark.parametrize(
    "area", [PixelArea(2, 4, 8, 6), PixelArea(2, 4, 9, 7), PixelArea(0, 0, 11, 11)]
)
def test_pixel_area_cuts_chroma_where_it_cuts_luma(area: PixelArea) -> None:
    rows, columns = np.mgrid[:11, :11].astype(np.uint8)
    chroma = np.stack((rows[::2, ::2], columns[::2, ::2]))  # the place of each sample's luma
    expected = area.crop(rows)[::2, ::2], area.crop(columns)[::2, ::2]
    np.testing.assert_array_equal(area.crop_chroma(chroma), expected)
    framed = area.pad_to_frame(area.crop_chroma(chroma), rows.shape, 99)
    np.testing.assert_array_equal(area.crop_chroma(framed), expected)


def test_inverse_undoes_an_affine_map() -> None:
    affine = np.array(((0.8, 0.1, 0.05), (-0.15, 0.9, 0.2)))
    back = inverse(affine)
    assert back.shape == (2, 3)
    for x, y in ((0.0, 0.0), (1.0, 0.0), (0.3, 0.8)):
        there = affine @ (x, y, 1)
        assert back @ (*there, 1) == pytest.approx((x, y))


def test_composed_applies_the_second_map_first() -> None:
    halved = np.array(((0.5, 0, 0), (0, 0.5, 0)))
    moved = translation(0.2, -0.1)
    assert composed(halved, moved) @ (0.4, 0.5, 1) == pytest.approx((0.3, 0.2))
    assert composed(moved, halved) @ (0.4, 0.5, 1) == pytest.approx((0.4, 0.15))


def test_farthest_move_is_that_of_a_corner() -> None:
    assert farthest_move(translation(0.2, -0.3) - translation(0, 0)) == pytest.approx(0.3)
    turned = np.array(((1, -0.1, 0.05), (0.1, 1, -0.05)))
    assert farthest_move(turned - translation(0, 0)) == pytest.approx(0.05)
    zoomed = np.array(((1.2, 0, 0), (0, 1.1, 0)))
    assert farthest_move(zoomed - translation(0, 0)) == pytest.approx(0.2)

from __future__ import annotations

import cv2
import numpy as np
import pytest

from filmcolorizer_cli.displacement import MIN_SIDE, chroma_delay, displacement
from filmcolorizer_cli.planes import Plane
from tests.films import photographs

SHIFTS = [(4, 0), (0, -3), (-6, 2), (12, -5)]


def views(across: int = 0, down: int = 0) -> list[Plane]:
    """Return eight parts (192, 320, 3) of photographs, in Y'CbCr, shifted by these pixels."""
    return [
        cv2.cvtColor(
            photograph[24 + down : 216 + down, left + across : left + 320 + across],
            cv2.COLOR_RGB2YCrCb,
        )[..., [0, 2, 1]].astype(np.uint8)
        for photograph in photographs()
        for left in (20, 50, 80, 110)
    ]


def worn(luma: Plane, seed: int = 0) -> Plane:
    """Degrade luma like an old transfer: low resolution, other contrast, noise."""
    noise = np.random.default_rng(seed).normal(0, 6, (128, 213))
    small = cv2.resize(luma, (213, 128), interpolation=cv2.INTER_AREA) * 0.7 + 40 + noise
    return np.asarray(cv2.resize(small, luma.shape[::-1]).clip(0, 255), np.uint8)


@pytest.mark.parametrize(("across", "down"), [*SHIFTS, (1, 1)])
def test_displacement_is_how_far_a_worn_copy_lies_beside(across: int, down: int) -> None:
    for one, other in zip(views(), views(-across, -down), strict=True):
        found = displacement(one[..., 0], worn(other[..., 0]))
        assert found == pytest.approx((across, down), abs=0.3)


def test_displacement_is_none_where_nothing_is_clear() -> None:
    one, *others = (view[..., 0] for view in views())
    assert displacement(one, worn(one)) is None  # not displaced
    assert displacement(one, others[-1]) is None  # another picture
    assert displacement(one, np.roll(one, 40, axis=1)) is None  # too far
    assert displacement(one, np.full_like(one, 128)) is None
    small = MIN_SIDE - 1
    assert displacement(one[:small], others[0][:small]) is None


@pytest.mark.parametrize(("across", "down"), SHIFTS)
def test_chroma_delay_is_how_far_chroma_lies_beside_luma(across: int, down: int) -> None:
    late = [
        np.dstack((worn(one[..., 0], seed), other[..., 1:]))
        for seed, (one, other) in enumerate(zip(views(), views(-across, -down), strict=True))
    ]
    right, below = chroma_delay(late)
    assert (right * 320, below * 192) == pytest.approx((across, down), abs=0.6)


def test_chroma_delay_is_none_where_it_is_not_certain() -> None:
    assert chroma_delay(views()) == (0, 0)
    assert chroma_delay([]) == (0, 0)
    late = [
        np.dstack((one[..., :1], other[..., 1:]))
        for one, other in zip(views(), views(-6), strict=True)
    ]
    assert chroma_delay(late)[0] > 0
    assert chroma_delay(late[:4]) == (0, 0)  # too few
    assert chroma_delay(late[:1] * 20) == (0, 0)  # too few different ones
    early = [np.dstack((view[..., :1], np.roll(view[..., 1:], -6, axis=1))) for view in views()]
    assert chroma_delay([*late[:4], *early[4:]]) == (0, 0)  # they do not agree
    noise = np.random.default_rng(1).integers(100, 156, (8, 192, 320, 2), dtype=np.uint8)
    grey = [np.dstack((view[..., :1], chroma)) for view, chroma in zip(views(), noise, strict=True)]
    assert chroma_delay(grey) == (0, 0)

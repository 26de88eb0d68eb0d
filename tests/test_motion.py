from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from filmcolorizer_cli.motion import is_reliable, optical_flow, warp

MARGIN = 16  # pixels at the edges, where motion leads out of the picture


def photograph() -> np.ndarray:
    """Return the luma of a photograph (512, 512)."""
    return cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


def window(right: int, down: int) -> np.ndarray:
    """Return a part of the photograph (180, 240), shifted by this many pixels."""
    return np.ascontiguousarray(photograph()[100 + down :, 120 + right :][:180, :240])


def light(luma: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(luma)[None, None] / 255


def flows(luma: np.ndarray, other: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return optical_flow(luma, other), optical_flow(other, luma)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, -2), (-9, 5)])
def test_optical_flow_of_a_panned_photograph(right: int, down: int) -> None:
    flow = optical_flow(window(right, down), window(0, 0))
    assert flow.shape == (1, 2, 180, 240)
    inner = flow[0, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
    error = (inner - torch.tensor([right, down])[:, None, None]).norm(dim=0)
    assert error.median() < 0.1
    assert (error < 1).float().mean() > 0.97


def test_warp_is_opencvs_remap() -> None:
    picture = data.astronaut()[:60, :80].astype(np.float32) / 255
    generator = np.random.default_rng(0)
    flow = generator.uniform(-8, 8, (60, 80, 2)).astype(np.float32)
    rows, columns = np.mgrid[:60, :80].astype(np.float32)
    expected = cv2.remap(
        picture,
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    as_planes = [torch.from_numpy(a).permute(2, 0, 1)[None] for a in (picture, flow)]
    found = warp(*as_planes)[0].permute(1, 2, 0)
    np.testing.assert_allclose(found, expected, atol=0.02)  # remap rounds places to 1/32 pixel


def test_is_reliable_in_what_stays_in_the_picture() -> None:
    now, before = window(6, 4), window(0, 0)
    reliable = is_reliable(light(now), light(before), *flows(now, before))[0, 0]
    assert reliable.dtype == torch.bool
    # What is right of column 233 or below row 175 was not in the picture before.
    assert reliable[:174, :232].float().mean() > 0.95
    assert not reliable[177:].any()
    assert not reliable[:, 235:].any()


def test_is_reliable_nowhere_between_different_pictures() -> None:
    now = window(0, 0)
    other = np.ascontiguousarray(cv2.cvtColor(data.coffee(), cv2.COLOR_RGB2GRAY)[:180, :240])
    reliable = is_reliable(light(now), light(other), *flows(now, other))
    assert reliable.float().mean() < 0.1


def test_is_reliable_heeds_each_of_its_signs() -> None:
    luma = torch.full((1, 1, 8, 8), 0.5)
    still = torch.zeros(1, 2, 8, 8)
    right = torch.tensor([2.0, 0.0])[None, :, None, None].expand(1, 2, 8, 8)
    assert is_reliable(luma, luma, still, still).all()
    assert not is_reliable(luma, luma + 0.06, still, still).any()
    assert is_reliable(luma, luma + 0.04, still, still).all()
    assert is_reliable(luma, luma, right, -right)[..., :6].all()
    assert not is_reliable(luma, luma, right, -right)[..., 6:].any()  # outside of the picture
    assert not is_reliable(luma, luma, right, right).any()  # does not lead back


def test_optical_flow_takes_a_part_of_a_larger_plane() -> None:
    """Such as the picture inside its bars, in which `eval` follows the motion."""
    planes = np.random.default_rng(0).integers(0, 256, (2, 64, 96), np.uint8)
    parts = planes[:, 8:-8, 8:-8]
    whole = optical_flow(*(np.ascontiguousarray(part) for part in parts))
    assert torch.equal(optical_flow(*parts), whole)

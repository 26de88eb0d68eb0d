"""Optical flow for measurements, and where it is reliable.

It is slower and stricter than the flow along which `propagation` carries colours, and separate from
it, so that propagation is not measured against its own flow.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from filmcolorizer_cli.planes import Plane

# The largest forward-backward error, in squared pixels, and how much more is allowed per squared
# pixel of the flow's length, there and back (Sundaram, Brox and Keutzer 2010, equation 5).
MAX_RETURN_ERROR = 0.5
MAX_RETURN_ERROR_PER_LENGTH = 0.01
MAX_LUMA_CHANGE = 0.05  # of luma in [0, 1] along the flow, where both ends show the same thing


def optical_flow(luma: Plane, other: Plane) -> Tensor:
    """Compute the flow from a frame to another one, by dense inverse search.

    Source: Kroeger, Timofte, Dai and Van Gool, "Fast optical flow using dense inverse search", ECCV
    2016, in OpenCV's implementation with its preset "medium".

    Args:
        luma, other: (H, W) each.

    Returns:
        (1, 2, H, W): the offset of each pixel in ``other``, in pixels to the right and down.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_MEDIUM)
    # OpenCV rejects views of larger planes, such as a picture inside its bars.
    luma, other = np.ascontiguousarray(luma), np.ascontiguousarray(other)
    flow = search.calc(luma, other, np.zeros((*luma.shape, 2), np.float32))
    return torch.from_numpy(np.ascontiguousarray(flow)).permute(2, 0, 1)[None]


def warp(planes: Tensor, flow: Tensor) -> Tensor:
    """Sample planes (B, C, H, W) bilinearly where a flow (B, 2, H, W) points to.

    Beyond the picture's edge, the edge is repeated.
    """
    height, width = planes.shape[-2:]
    column, row = _pointed_at(flow)
    # grid_sample's coordinates run from -1, the centre of the first pixel, to 1, that of the last.
    places = torch.stack((column * 2 / max(width - 1, 1) - 1, row * 2 / max(height - 1, 1) - 1), -1)
    return F.grid_sample(planes, places, padding_mode="border", align_corners=True)


def is_reliable(luma: Tensor, other: Tensor, flow: Tensor, flow_back: Tensor) -> Tensor:
    """Whether a flow is reliable at each pixel.

    It is where it stays inside the picture, the forward-backward error is within
    ``MAX_RETURN_ERROR`` and ``MAX_RETURN_ERROR_PER_LENGTH``, and luma changes along it by no more
    than ``MAX_LUMA_CHANGE``.

    Args:
        luma, other: (B, 1, H, W), in [0, 1].
        flow: (B, 2, H, W), from ``luma`` to ``other``.
        flow_back: (B, 2, H, W), from ``other`` to ``luma``.

    Returns:
        (B, 1, H, W), bool.
    """
    height, width = luma.shape[-2:]
    column, row = _pointed_at(flow)
    is_inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
    back = warp(flow_back, flow)
    error = (flow + back).square().sum(1)
    way = flow.square().sum(1) + back.square().sum(1)
    returns = error <= MAX_RETURN_ERROR + MAX_RETURN_ERROR_PER_LENGTH * way
    stays_alike = (luma - warp(other, flow)).abs()[:, 0] <= MAX_LUMA_CHANGE
    return (is_inside & returns & stays_alike)[:, None]


def _pointed_at(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the columns and rows (B, H, W) that a flow (B, 2, H, W) points to."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device)
    return flow[:, 0] + columns, flow[:, 1] + rows[:, None]

"""What is measured, on tensors of R'G'B' (B, 3, H, W) in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

HIGHEST_PSNR = 100.0  # dB, for pictures that are the same


def mse(output: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of each picture on R'G'B' scaled to [-1, 1], as in 2020; (B,)."""
    return ((output - truth) * 2).square().mean(dim=(1, 2, 3))


def psnr(output: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB, in float over all channels; (B,)."""
    error = (output - truth).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error.clamp_min(1e-12))).clamp_max(HIGHEST_PSNR)


def colorfulness(rgb: Tensor, *, floor: float = 0.0) -> Tensor:
    """Colourfulness of each picture; (B,), 0 for grey, about 33 moderate, above 80 strong.

    Source: Hasler and Suesstrunk, "Measuring colourfulness in natural images", SPIE 2003, metric
    M^(3), on R'G'B' scaled to [0, 255], with signed opponent axes.

    Args:
        floor: added under both roots, so that a grey picture has a gradient.
    """
    red, green, blue = (rgb * 255).unbind(1)
    rg = (red - green).flatten(1)
    yb = ((red + green) / 2 - blue).flatten(1)
    deviation = torch.sqrt(rg.var(1, correction=0) + yb.var(1, correction=0) + floor)
    mean = torch.sqrt(rg.mean(1).square() + yb.mean(1).square() + floor)
    return deviation + 0.3 * mean

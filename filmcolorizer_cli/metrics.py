"""Metrics of pictures and shots; R'G'B' tensors are (B, 3, H, W) in [0, 1]."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

MAX_PSNR = 100.0  # dB, the value for identical pictures
CDC_STEPS = (1, 2, 4)  # distances, in frames, between histograms that are compared


def mean(values: Tensor, known: Tensor | None = None) -> Tensor:
    """Return the mean of each picture (B, C, H, W) over its pixels and channels; (B,).

    Args:
        known: (B, 1, H, W), weight of each pixel; without it, all weigh the same.
    """
    if known is None:
        return values.mean(dim=(1, 2, 3))
    total = (values * known).sum(dim=(1, 2, 3))
    return total / (known.sum(dim=(1, 2, 3)) * values.shape[1]).clamp_min(1e-6)


def mse(output: Tensor, truth: Tensor, known: Tensor | None = None) -> Tensor:
    """Return each picture's mean squared error on R'G'B' in [-1, 1], as the 2020 project did; (B,).

    Args:
        known: as in `mean`.
    """
    return mean(((output - truth) * 2).square(), known)


def psnr(output: Tensor, truth: Tensor, known: Tensor | None = None) -> Tensor:
    """Return each picture's peak signal-to-noise ratio in dB, in float over all channels; (B,).

    Args:
        known: as in `mean`.
    """
    return psnr_of_error(mean((output - truth).square(), known))


def psnr_of_error(error: Tensor) -> Tensor:
    """Return the PSNR in dB for mean squared errors, of any shape, on R'G'B' in [0, 1]."""
    return (-10 * torch.log10(error.clamp_min(1e-12))).clamp_max(MAX_PSNR)


def colorfulness(rgb: Tensor, known: Tensor | None = None, *, floor: float = 0.0) -> Tensor:
    """Return each picture's colourfulness; (B,), 0 for grey, about 33 moderate, above 80 strong.

    Source: Hasler and Suesstrunk, "Measuring colourfulness in natural images", SPIE 2003, metric
    M^(3), on R'G'B' scaled to [0, 255], with signed opponent axes.

    Args:
        known: as in `mean`.
        floor: added under both roots, so that a grey picture has a gradient.
    """
    red, green, blue = (rgb * 255).split(1, dim=1)
    axes = (red - green, (red + green) / 2 - blue)
    rg, yb = (mean(axis, known)[:, None, None, None] for axis in axes)
    distances = (axes[0] - rg).square() + (axes[1] - yb).square()
    deviation = torch.sqrt(mean(distances, known) + floor)
    return deviation + 0.3 * torch.sqrt(rg.square() + yb.square() + floor).flatten()


def flicker(chroma: Tensor, carried: Tensor, reliable: Tensor) -> Tensor:
    """Return how much chroma changes along the motion since the frame before, per picture; (B,).

    F = sum over x of R(x) (|dCb(x)| + |dCr(x)|) / (2 * sum over x of R(x)), with
    dC(x) = C_t(x) - C_(t-1)(x + w(x)), the flow w from frame t to t - 1 and R = 1 where it is
    reliable. Divided by the F of the true film along the same flow, 1 is as steady as that film.

    Source: the warping error of Lai et al., "Learning blind video temporal consistency", ECCV 2018,
    here on chroma and without squares.

    Args:
        chroma: (B, 2, H, W), C_t in [-0.5, 0.5].
        carried: (B, 2, H, W), the chroma of the frame before, sampled where the flow points to.
        reliable: (B, 1, H, W), R as a bool.

    Returns:
        (B,), in [0, 1]; 0 where nothing is reliable.
    """
    change = (chroma - carried).abs().mean(dim=1, keepdim=True) * reliable
    return change.sum(dim=(1, 2, 3)) / reliable.sum(dim=(1, 2, 3)).clamp_min(1)


def histograms(rgb: Tensor) -> Tensor:
    """Return the share of pixels with each of 256 codes, per channel; (B, 3, 256), float64."""
    codes = (rgb * 255).round().clamp(0, 255).long().flatten(2)  # (B, 3, H * W)
    offsets = 256 * torch.arange(3 * len(rgb)).reshape(-1, 3, 1)
    counts = torch.bincount((codes + offsets).flatten(), minlength=256 * 3 * len(rgb))
    return counts.reshape(-1, 3, 256).double() / codes.shape[-1]


def jensen_shannon_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return the divergence of distributions (..., N), in nats; (...,), from 0 to ln 2."""
    middle = (p + q) / 2
    # Where p is 0, middle may be 0 as well, and the term is 0.
    terms = [torch.xlogy(d, d / middle.clamp_min(1e-300)) for d in (p, q)]
    return (terms[0] + terms[1]).sum(dim=-1) / 2


class ColorDistributionConsistency:
    """Colour distribution consistency (CDC) of a shot, in nats; 0 where colours never change.

    The Jensen-Shannon divergence of two frames' histograms, averaged over channels, over all pairs
    of frames at one distance, and over the distances ``CDC_STEPS``. It involves no true colours: a
    grey or frozen shot scores best, so it is meaningful only beside the CDC of the true film.

    Source: Liu et al., "Temporally consistent video colorization with deep feature propagation and
    self-regularization learning", 2021, arXiv 2110.04562.
    """

    def __init__(self) -> None:
        self._recent: deque[Tensor] = deque(maxlen=max(CDC_STEPS))
        self._sums = dict.fromkeys(CDC_STEPS, 0.0)
        self._counts = dict.fromkeys(CDC_STEPS, 0)

    def add(self, histogram: Tensor) -> None:
        """Add the histograms (3, 256) of the next frame."""
        for step in CDC_STEPS:
            if step <= len(self._recent):
                divergence = jensen_shannon_divergence(histogram, self._recent[-step])
                self._sums[step] += divergence.mean().item()
                self._counts[step] += 1
        self._recent.append(histogram)

    def value(self) -> float | None:
        """Return the CDC of the frames so far; None while they are too few for the longest step."""
        if not all(self._counts.values()):
            return None
        means = [self._sums[step] / self._counts[step] for step in CDC_STEPS]
        return sum(means) / len(means)

"""What training makes small: how far the colours of a network are from the true ones."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from filmcolorizer_cli import metrics
from filmcolorizer_cli.color import MIN_KNOWN, half_size, rgb_to_ycbcr, ycbcr_to_rgb
from filmcolorizer_cli.networks import ClassicNetwork, FilmNetwork, Network

CHROMA_LOSS_BETA = 0.05  # chroma error at which the film loss turns from squared to absolute
SATURATION_WEIGHT = 15.0  # a pixel of chroma c counts 1 + 15 |c| times, since most pixels are dull
# Up to about this a picture's loss counts in proportion, beyond it by its logarithm, as in PSNR.
GOOD_LOSS = 0.02
COLORFULNESS_FLOOR = 0.01  # where colourfulness begins to count, squared


def film_loss(
    network: FilmNetwork,
    luma: Tensor,
    rgb: Tensor,
    known: Tensor,
    colorfulness_weight: float = 0.0,
) -> Tensor:
    """Smooth L1 on chroma at half size, weighted by saturation, as a mean of logarithms.

    A pixel counts by the saturation of the truth, a picture by the logarithm of its loss: what can
    have any colour does not outweigh what can be known. What is left to guess would come out grey,
    the mean of all guesses; so the colourfulness of each picture may be held to that of the truth.
    A picture of which less is known counts less.
    """
    share = half_size(known)
    truth = half_size(rgb_to_ycbcr(rgb)[:, 1:] * known) / share.clamp_min(MIN_KNOWN)
    output = network(luma).float()
    error = F.smooth_l1_loss(output, truth, beta=CHROMA_LOSS_BETA, reduction="none")
    error = error.sum(dim=1, keepdim=True)
    weight = 1 + SATURATION_WEIGHT * truth.square().sum(dim=1, keepdim=True).sqrt()
    losses = (metrics.mean(error * weight, share) / GOOD_LOSS).log1p()
    if colorfulness_weight:
        excess = _colorfulness(output, share) - _colorfulness(truth, share)
        losses = losses + colorfulness_weight * excess.abs()
    counts = share.sum(dim=(1, 2, 3))
    return (losses * counts).sum() / counts.sum().clamp_min(1)


def _colorfulness(chroma: Tensor, known: Tensor) -> Tensor:
    """Of each picture (B,), which its luma has no part in."""
    picture = F.pad(chroma, (0, 0, 0, 0, 1, 0))  # luma 0 before both planes of chroma
    return metrics.colorfulness(ycbcr_to_rgb(picture), known, floor=COLORFULNESS_FLOOR)


def classic_loss(network: ClassicNetwork, luma: Tensor, rgb: Tensor, known: Tensor) -> Tensor:
    """Mean squared error on RGB in [-1, 1], as in 2020."""
    error = (network(luma.expand(-1, 3, -1, -1) * 2 - 1).float() - (rgb * 2 - 1)).square()
    return (error * known).sum() / (known.sum() * 3).clamp_min(1e-6)


def loss_of(
    network: Network,
    luma: Tensor,
    rgb: Tensor,
    known: Tensor,
    colorfulness_weight: float = 0.0,
) -> Tensor:
    """The network's own loss; only that of `film` heeds the weight."""
    if isinstance(network, FilmNetwork):
        return film_loss(network, luma, rgb, known, colorfulness_weight)
    return classic_loss(network, luma, rgb, known)

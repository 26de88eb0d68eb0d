"""Training losses: how far the colours of a network are from the true ones."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from filmcolorizer_cli import metrics
from filmcolorizer_cli.color import MIN_KNOWN, half_size, rgb_to_ycbcr, ycbcr_to_rgb
from filmcolorizer_cli.networks import ClassicNetwork, FilmNetwork, Network

CHROMA_LOSS_BETA = 0.05  # chroma error at which the film loss turns from squared to absolute
SATURATION_WEIGHT = 15.0  # a pixel of chroma c has weight 1 + 15 |c|, since most pixels are dull
# Pictures' losses count linearly up to about this one, logarithmically beyond it, as in PSNR.
GOOD_LOSS = 0.02
COLORFULNESS_FLOOR = 0.01  # `metrics.colorfulness`'s floor, squared units of colourfulness


def film_loss(
    network: FilmNetwork,
    luma: Tensor,
    rgb: Tensor,
    known: Tensor,
    colorfulness_weight: float = 0.0,
) -> Tensor:
    """Return smooth L1 on chroma at half size, weighted by saturation, as a mean of logarithms.

    Pixels are weighted by the saturation of the truth. The logarithm of each picture's loss keeps
    objects that can have any colour from outweighing predictable ones. Unpredictable colours would
    come out grey, the mean of all guesses; ``colorfulness_weight`` penalizes the difference between
    each picture's colourfulness and the truth's. Pictures count by their known share.
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
    """Return the colourfulness of each picture (B,), which does not depend on its luma."""
    picture = F.pad(chroma, (0, 0, 0, 0, 1, 0))  # luma 0 before both planes of chroma
    return metrics.colorfulness(ycbcr_to_rgb(picture), known, floor=COLORFULNESS_FLOOR)


def classic_loss(network: ClassicNetwork, luma: Tensor, rgb: Tensor, known: Tensor) -> Tensor:
    """Return the mean squared error on RGB in [-1, 1], as in 2020."""
    error = (network(luma.expand(-1, 3, -1, -1) * 2 - 1).float() - (rgb * 2 - 1)).square()
    return (error * known).sum() / (known.sum() * 3).clamp_min(1e-6)


def loss_of(
    network: Network,
    luma: Tensor,
    rgb: Tensor,
    known: Tensor,
    colorfulness_weight: float = 0.0,
) -> Tensor:
    """Return the network's own loss; ``colorfulness_weight`` applies to `film` only."""
    if isinstance(network, FilmNetwork):
        return film_loss(network, luma, rgb, known, colorfulness_weight)
    return classic_loss(network, luma, rgb, known)

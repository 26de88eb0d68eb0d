"""Small networks, and stand-ins for them."""

from __future__ import annotations

import torch
from torch import nn

from filmcolorizer_cli.color import half_size
from filmcolorizer_cli.configs import FilmConfig
from filmcolorizer_cli.networks import FilmNetwork

TINY = FilmConfig(size=32, decoder_widths=(16, 16, 8, 8, 8))


def vivid_network() -> FilmNetwork:
    """A tiny untrained network that paints strong colours all over the picture."""
    torch.manual_seed(0)
    network = FilmNetwork(TINY)
    nn.init.normal_(network.head.weight, std=0.5)
    network.head.bias = nn.Parameter(torch.tensor([-0.2, 0.2]))
    return network.eval()


class EchoNetwork(nn.Module):
    """A network that gives lights one colour and darks another, by so much."""

    config = TINY

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
        plane = self.strength * half_size(luma - 0.5)
        return torch.cat((plane, -plane), dim=1)

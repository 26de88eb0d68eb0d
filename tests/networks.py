"""Small networks, and stand-ins for them."""

from __future__ import annotations

import torch
from torch import nn

from filmcolorizer_cli.color import half_size
from filmcolorizer_cli.configs import ClassicConfig, Config, FilmConfig
from filmcolorizer_cli.networks import ClassicNetwork, FilmNetwork, Network, build
from tests.colors import Color, chroma_by_hand, noise

TINY = FilmConfig(size=32, decoder_widths=(16, 16, 8, 8, 8))
CLASSIC = ClassicConfig(size=32)


def vivid_network() -> FilmNetwork:
    """Build a tiny untrained network that predicts strong colours all over the picture."""
    torch.manual_seed(0)
    network = FilmNetwork(TINY)
    nn.init.normal_(network.head.weight, std=0.5)
    network.head.bias = nn.Parameter(torch.tensor([-0.2, 0.2]))
    return network.eval()


class EchoNetwork(nn.Module):
    """A network that predicts Cb = ``strength`` * (luma - 0.5) and Cr = -Cb."""

    config = TINY

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
        plane = self.strength * half_size(luma - 0.5)
        return torch.cat((plane, -plane), dim=1)


def random_luma(height: int, width: int, batch: int = 2) -> torch.Tensor:
    return noise(batch, 1, height, width)


def fresh(config: Config, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return build(config)


def film_network_of(output: Color) -> FilmNetwork:
    """Build a network that predicts this colour everywhere, whatever the luma."""
    network = fresh(TINY).eval()
    assert isinstance(network, FilmNetwork)
    network.head.bias = torch.nn.Parameter(torch.tensor(chroma_by_hand(output)))
    return network


def classic_network_of(output: Color) -> ClassicNetwork:
    """Build a network whose output, in [-1, 1], is these numbers everywhere."""
    network = fresh(CLASSIC)
    assert isinstance(network, ClassicNetwork)
    torch.nn.init.zeros_(network.head.weight)
    network.head.bias = torch.nn.Parameter(torch.tensor(output))
    return network

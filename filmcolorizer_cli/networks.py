"""The networks, devices and mixed precision.

Both networks answer the same two questions, so that every command works with either:
``predict_chroma`` for films (the picture keeps its own luma) and ``predict_rgb`` for comparisons.
"""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from filmcolorizer_cli.color import (
    WORKING_MATRIX,
    change_matrix,
    colored,
    half_size,
    resize,
    rgb_to_ycbcr,
)
from filmcolorizer_cli.configs import (
    EFFICIENTNET_LITE,
    ClassicConfig,
    Config,
    FilmConfig,
)
from filmcolorizer_cli.errors import OptionError

# EfficientNet-Lite0 (Tan and Le 2019, the Lite variant without squeeze-and-excitation): expansion,
# kernel, stride, channels, repeats of each stage.
_LITE0_STAGES = (
    (1, 3, 1, 16, 1),  # 1/2
    (6, 3, 2, 24, 2),  # 1/4
    (6, 5, 2, 40, 2),  # 1/8
    (6, 3, 2, 80, 3),  # 1/16
    (6, 5, 1, 112, 3),  # 1/16
    (6, 5, 2, 192, 4),  # 1/32
    (6, 3, 1, 320, 1),  # 1/32
)
STEM_CHANNELS = 32
SKIP_STAGES = (0, 1, 2, 4)  # the last stage at 1/2, 1/4, 1/8 and 1/16

# A picture is dim where no more than a hundredth of it is brighter than this luma.
LIT_LUMA = 0.8
BRIGHTEST_SHARE = 0.99
LIGHT_PIXELS = 32  # of a picture's short side that are looked at for this, or up to twice as many
MIN_BRIGHTNESS = 0.1  # in darker ones there is too little to be seen
# A picture is veiled where no more than so much of it is darker than a luma that photos hardly
# reach. Of the veil twice as much is taken off as its blacks are beyond that, up to most of it.
DARKEST_SHARE, VEILED_LUMA = 0.004, 0.2
USUAL_BLACK, MAX_VEIL = 0.06, 0.7
# The contrast that is left, below which colours are paler: what fades luma fades chroma.
FULL_CONTRAST = 0.5


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution that is trained in float32 on CPUs.

    There the gradient of a bfloat16 one takes up to fifteen times as long as a float32 one; in
    inference bfloat16 is the faster.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and x.device.type == "cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(x.dtype)


class _ConvNorm(nn.Sequential):
    """Convolution, batch norm and, unless linear, a ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        convolution = nn.Conv2d if groups == 1 else DepthwiseConv
        super().__init__(
            convolution(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
            activation or nn.Identity(),
        )


class InvertedResidual(nn.Module):
    """Expand, filter by depth, project (Sandler et al. 2018, figure 4), with ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, *, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        steps = []
        if expansion != 1:
            steps.append(_ConvNorm(inputs, hidden, 1, activation=nn.ReLU6()))
        depthwise = _ConvNorm(
            hidden, hidden, kernel, stride=stride, groups=hidden, activation=nn.ReLU6()
        )
        self.steps = nn.Sequential(*steps, depthwise, _ConvNorm(hidden, outputs, 1))
        self.is_residual = stride == 1 and inputs == outputs
        self.drop_rate = 0.0

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.steps(x)
        if not self.is_residual:
            return y
        if self.training and self.drop_rate:
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop_rate
            y = y * (kept / (1 - self.drop_rate)).to(y.dtype)
        return x + y


def _efficientnet_stages(name: str) -> list[tuple[int, int, int, int, int]]:
    """Expansion, kernel, stride, channels and repeats of each stage.

    Channels are rounded to multiples of 8; the first and the last stage are repeated no more
    often, as in the reference implementation (round_filters, round_repeats and fix_head_stem of
    tensorflow/tpu, efficientnet/lite).

    Args:
        name: a key of ``EFFICIENTNET_LITE``.
    """
    width, depth = EFFICIENTNET_LITE[name]
    stages = []
    for number, (expansion, kernel, stride, channels, repeats) in enumerate(_LITE0_STAGES):
        is_outer = number in (0, len(_LITE0_STAGES) - 1)
        stages.append(
            (
                expansion,
                kernel,
                stride,
                int(channels * width + 4) // 8 * 8,
                repeats if is_outer else math.ceil(repeats * depth),
            )
        )
    return stages


class Encoder(nn.Module):
    """An EfficientNet-Lite without its head, for one plane of luma.

    Args:
        name: a key of ``EFFICIENTNET_LITE``.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.stem = _ConvNorm(1, STEM_CHANNELS, 3, stride=2, activation=nn.ReLU6())
        stages, inputs = [], STEM_CHANNELS
        for expansion, kernel, stride, outputs, repeats in _efficientnet_stages(name):
            blocks = []
            for block in range(repeats):
                first = block == 0
                blocks.append(
                    InvertedResidual(
                        inputs if first else outputs,
                        outputs,
                        expansion=expansion,
                        kernel=kernel,
                        stride=stride if first else 1,
                    )
                )
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.stages = nn.ModuleList(stages)
        self.frozen: tuple[nn.Module, ...] = ()

    @property
    def delicate(self) -> tuple[nn.Module, ...]:
        """What computes in float32 always.

        In bfloat16 the first depthwise convolution, with its batch norm folded into it, shifts the
        chroma of all that is seen by a code and more: its rounded weights no longer sum up to what
        they did. The film's error was a tenth larger so; and in float32 these take no longer.
        """
        return self.stem, self.stages[0]

    def freeze(self, stages: int) -> None:
        """Train neither so many stages nor the stem before them, batch norms included.

        Args:
            stages: 0 trains all.
        """
        self.requires_grad_(True)
        self.frozen = (self.stem, *self.stages[:stages]) if stages else ()
        for module in self.frozen:
            module.requires_grad_(False)
        self.train(self.training)

    def drop_paths(self, rate: float) -> None:
        """Leave residuals out at random in training (Huang et al. 2016, "Stochastic depth").

        Args:
            rate: towards which their chance grows, in a line from 0 at the first block; that of the
                last one is just below it.
        """
        blocks = [block for block in self.modules() if isinstance(block, InvertedResidual)]
        for number, block in enumerate(blocks):
            block.drop_rate = rate * number / len(blocks)

    def train(self, mode: bool = True) -> Encoder:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def forward(self, luma: Tensor) -> list[Tensor]:
        """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of (B, 1, H, W), sizes rounded up."""
        with torch.autocast(luma.device.type, enabled=False):
            x = luma.float() * 2 - 1
            for module in self.delicate:
                x = module(x)
        features = [x]
        for number, stage in enumerate(self.stages[1:], start=1):
            x = stage(x)
            if number in SKIP_STAGES:
                features.append(x)
        return [*features, x]


class FilmNetwork(nn.Module):
    """A U-Net on an EfficientNet-Lite encoder; any input size."""

    def __init__(self, config: FilmConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        channels = [stage[3] for stage in _efficientnet_stages(config.encoder)]
        skips = [channels[number] for number in reversed(SKIP_STAGES)]
        bottom, *widths = config.decoder_widths
        self.bottom = _ConvNorm(channels[-1], bottom, 1, activation=nn.ReLU())
        self.decoder = nn.ModuleList(
            _ConvNorm(below + skip, width, 3, activation=nn.ReLU())
            for below, skip, width in zip(config.decoder_widths, skips, widths, strict=False)
        )
        self.refine = _ConvNorm(widths[-1], widths[-1], 3, activation=nn.ReLU())
        self.head = nn.Conv2d(widths[-1], 2, 1)
        self.feature_drop_rate = 0.0
        nn.init.zeros_(self.head.weight)  # an untrained network leaves the film grey
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, luma: Tensor) -> Tensor:
        """Chroma (B, 2, ceil(H/2), ceil(W/2)) for luma (B, 1, H, W) in [0, 1].

        A dim picture, as in a fade, is seen as if it were lit, and its chroma is as dim again: what
        fades R'G'B' fades luma and chroma alike. One without blacks is seen as if it had some,
        where the config says so.
        """
        veil = _veil(luma) if self.config.clears_veil else torch.zeros(1, device=luma.device)
        luma = (luma - veil).clamp_min(0) / (1 - veil)
        brightness = _brightness(luma)
        *fine, eighth, sixteenth, x = self.encoder((luma / brightness).clamp(0, 1))
        skips = (*fine, self._thinned(eighth), self._thinned(sixteenth))
        x = self.bottom(self._thinned(x))
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(_joined(x, skip))
        chroma: Tensor = self.head(self.refine(x)) * brightness
        return chroma * ((1 - veil) / FULL_CONTRAST).clamp_max(1)

    def drop_features(self, rate: float) -> None:
        """Leave features at 1/8, 1/16 and 1/32 out at random in training, each in all its places.

        Source: Tompson et al. 2015, "Efficient object localization using convolutional networks".

        Args:
            rate: how often.
        """
        self.feature_drop_rate = rate

    def _thinned(self, features: Tensor) -> Tensor:
        if not (self.training and self.feature_drop_rate):
            return features
        return F.dropout2d(features, self.feature_drop_rate)

    def predict_chroma(self, luma: Tensor) -> Tensor:
        """Chroma (B, 2, ceil(H/2), ceil(W/2)) in [-0.5, 0.5] for luma (B, 1, H, W)."""
        chroma: Tensor = self(luma).float()
        return chroma.clamp(-0.5, 0.5)

    def predict_rgb(self, luma: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
        """R'G'B' (B, 3, H, W) in [0, 1] for luma (B, 1, H, W): the luma itself, coloured.

        Args:
            matrix: by which it is the luma of colours, a key of ``color.MATRICES``.
        """
        chroma = change_matrix(self.predict_chroma(luma), WORKING_MATRIX, matrix)
        return colored(luma, chroma, matrix)


def _brightness(luma: Tensor) -> Tensor:
    """How much light is in pictures (B, 1, H, W): (B, 1, 1, 1), from ``MIN_BRIGHTNESS`` to 1."""
    return (_quantile(luma, BRIGHTEST_SHARE) / LIT_LUMA).clamp(MIN_BRIGHTNESS, 1)


def _veil(luma: Tensor) -> Tensor:
    """The luma to take off pictures (B, 1, H, W), so that they have blacks: (B, 1, 1, 1)."""
    black = _quantile(luma, DARKEST_SHARE)
    return torch.minimum(2 * (black - VEILED_LUMA), black - USUAL_BLACK).clamp(0, MAX_VEIL)


def _quantile(luma: Tensor, share: float) -> Tensor:
    """The luma that so much of pictures (B, 1, H, W) is darker than: (B, 1, 1, 1)."""
    stride = max(min(luma.shape[-2:]) // LIGHT_PIXELS, 1)
    pixels = luma[..., ::stride, ::stride].flatten(1).float()
    return torch.quantile(pixels, share, dim=1)[:, None, None, None]


def _joined(x: Tensor, skip: Tensor) -> Tensor:
    """Features enlarged to the size of the encoder's, and those, as channels of one tensor."""
    enlarged = resize(x, *skip.shape[-2:])
    if enlarged.requires_grad:
        # What flows back is a part of a larger tensor. CPUs shrink a copy of it in a quarter of the
        # time; a graphics card makes that copy anyway.
        enlarged.register_hook(
            lambda gradient: gradient.contiguous(memory_format=torch.channels_last)
        )
    return torch.cat((enlarged, skip), dim=1)


def _double_convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class ClassicNetwork(nn.Module):
    """The U-Net of the 2020 student project, to the parameter (1,885,827)."""

    def __init__(self, config: ClassicConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.ModuleList(
            _double_convolution(inputs, outputs, stride=2)
            for inputs, outputs in ((3, 64), (64, 128), (128, 256))
        )
        self.decoder = nn.ModuleList(
            _double_convolution(inputs, outputs, stride=1)
            for inputs, outputs in ((256 + 128, 128), (128 + 64, 64))
        )
        self.head = nn.Conv2d(64, 3, 1)

    def forward(self, rgb: Tensor) -> Tensor:
        """R'G'B' (B, 3, H, W) in [-1, 1] for a grey picture of the same shape and range."""
        features, x = [], rgb
        for block in self.encoder:
            x = block(x)
            features.append(x)
        for block, skip in zip(self.decoder, reversed(features[:-1]), strict=True):
            x = block(_joined(x, skip))
        # The 1x1 convolution and the upsampling commute; in this order it costs a quarter.
        return resize(self.head(x), *rgb.shape[-2:])

    def predict_rgb(self, luma: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
        """R'G'B' (B, 3, H, W) in [0, 1] for luma (B, 1, H, W), as the network paints it.

        In no matrix: it paints luma as well.
        """
        rgb: Tensor = self(luma.expand(-1, 3, -1, -1) * 2 - 1).float()
        return (rgb / 2 + 0.5).clamp(0, 1)

    def predict_chroma(self, luma: Tensor) -> Tensor:
        """Chroma (B, 2, ceil(H/2), ceil(W/2)) in [-0.5, 0.5] of `predict_rgb`."""
        return half_size(rgb_to_ycbcr(self.predict_rgb(luma))[:, 1:])


Network = FilmNetwork | ClassicNetwork


def build(config: Config) -> Network:
    """An untrained network of this config."""
    if isinstance(config, FilmConfig):
        return FilmNetwork(config)
    return ClassicNetwork(config)


def fold_batch_norms(network: Network) -> Network:
    """A copy for inference, with each batch norm folded into the convolution before it."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                first, second = module[index], module[index + 1]
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    module[index] = fuse_conv_bn_eval(first, second)
                    module[index + 1] = nn.Identity()
    return folded


def pick_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is the fastest that is there.

    Raises:
        OptionError: this machine, or this build of torch, has no such device.
    """
    is_there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, there in is_there.items() if there))
    if not is_there.get(name, False):
        raise OptionError(
            f"there is no device {name!r} here that torch {torch.__version__} can use;"
            " use --device auto or --device cpu"
        )
    return torch.device(name)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has bfloat16 of its own, in which it computes faster."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch has no public name for this, and may drop the private one.
    knows = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device.type == "cpu" and bool(knows())


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Mixed precision where it helps: bfloat16 on GPUs and CPUs that compute in it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bfloat16(device))


def for_inference(network: Network, device: torch.device, *, is_faded: bool = False) -> Network:
    """A copy that predicts fast: batch norms folded, channels last, on its device.

    Activations overwrite what they are given, and weights are in bfloat16 already where `autocast`
    would turn them into it for each picture anew.

    Args:
        is_faded: whether the pictures are of a film that has lost its blacks. In others what is
            bright all over is no veil, and skies turn green without it.
    """
    folded: Any = fold_batch_norms(network).to(device)
    if isinstance(folded, FilmNetwork) and not is_faded:
        folded.config = replace(folded.config, clears_veil=False)
    delicate = folded.encoder.delicate if isinstance(folded, FilmNetwork) else ()
    in_float32 = {part for module in delicate for part in module.modules()}
    in_bfloat16 = computes_in_bfloat16(device)
    for module in folded.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = True
        elif isinstance(module, nn.Conv2d) and in_bfloat16 and module not in in_float32:
            module.bfloat16()
    return folded.to(memory_format=torch.channels_last)

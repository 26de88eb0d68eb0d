"""The networks, devices and mixed precision.

Both networks have the same two methods, so every command works with either: ``predict_chroma`` for
films (the picture keeps its own luma) and ``predict_rgb`` for comparisons.
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
from filmcolorizer_cli.configs import EFFICIENTNET_LITE, ClassicConfig, Config, FilmConfig
from filmcolorizer_cli.errors import OptionError

# EfficientNet-Lite0 (Tan and Le 2019, the Lite variant without squeeze-and-excitation): expansion,
# kernel, stride, channels, repeats of each stage; the comments give the output scale.
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
SKIP_STAGES = (0, 1, 2, 4)  # the last stages at 1/2, 1/4, 1/8 and 1/16

# A picture counts as dim if at least BRIGHTEST_SHARE of it is darker than LIT_LUMA.
LIT_LUMA = 0.8
BRIGHTEST_SHARE = 0.99
LIGHT_PIXELS = 32  # pixels sampled along the short side to measure luma, or up to twice as many
MIN_BRIGHTNESS = 0.1  # lower bound of the measured brightness; darker pictures show too little
# A picture counts as veiled if no more than DARKEST_SHARE of it is darker than VEILED_LUMA; the
# blacks of photos are hardly ever that bright. Twice the excess over VEILED_LUMA is subtracted, but
# blacks keep at least USUAL_BLACK, and no more than MAX_VEIL is subtracted.
DARKEST_SHARE, VEILED_LUMA = 0.004, 0.2
USUAL_BLACK, MAX_VEIL = 0.06, 0.7
# Remaining contrast below which chroma is reduced: what fades luma fades chroma.
FULL_CONTRAST = 0.5


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution that is trained in float32 on CPUs.

    On CPUs, its gradient takes up to fifteen times as long in bfloat16 as in float32; for
    inference, bfloat16 is faster.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and x.device.type == "cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(x.dtype)


class _ConvNorm(nn.Sequential):
    """Convolution, batch norm and an optional activation."""

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
    """Expansion, depthwise filter, projection (Sandler et al. 2018, figure 4), with ReLU6."""

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
    """Return expansion, kernel, stride, channels and repeats of each stage.

    Channels are rounded to multiples of 8, and the repeats of the first and last stage are not
    scaled, as in the reference implementation (round_filters, round_repeats and fix_head_stem of
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
    """EfficientNet-Lite without its head, for one luma plane.

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
    def float32_modules(self) -> tuple[nn.Module, ...]:
        """The modules that always compute in float32.

        In bfloat16, the first depthwise convolution, with its batch norm folded in, shifts all
        chroma by a code or more, because rounding changes the sum of its weights. That makes the
        error on a film a tenth larger, while float32 is no slower for these modules.
        """
        return self.stem, self.stages[0]

    def freeze(self, stages: int) -> None:
        """Exclude the stem and the first stages, including batch norms, from training.

        Args:
            stages: how many stages to freeze; 0 trains everything, the stem too.
        """
        self.requires_grad_(True)
        self.frozen = (self.stem, *self.stages[:stages]) if stages else ()
        for module in self.frozen:
            module.requires_grad_(False)
        self.train(self.training)

    def drop_paths(self, rate: float) -> None:
        """Drop residuals at random in training (Huang et al. 2016, "Stochastic depth").

        Args:
            rate: bound of the probabilities, which grow linearly from 0 at the first block to just
                below this rate at the last one.
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
        """Return features at 1/2, 1/4, 1/8, 1/16 and 1/32 of (B, 1, H, W), sizes rounded up."""
        with torch.autocast(luma.device.type, enabled=False):
            x = luma.float() * 2 - 1
            for module in self.float32_modules:
                x = module(x)
        features = [x]
        for number, stage in enumerate(self.stages[1:], start=1):
            x = stage(x)
            if number in SKIP_STAGES:
                features.append(x)
        return [*features, x]


class FilmNetwork(nn.Module):
    """U-Net with an EfficientNet-Lite encoder, for any input size."""

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
        """Return chroma (B, 2, ceil(H/2), ceil(W/2)) for luma (B, 1, H, W) in [0, 1].

        A dim picture, as in a fade, is brightened for the encoder, and its chroma is dimmed by the
        same factor: fading R'G'B' scales luma and chroma alike. If the config has ``clears_veil``,
        a picture without blacks is stretched so that it has some.
        """
        veil = _veil(luma) if self.config.clears_veil else torch.zeros(1, device=luma.device)
        luma = (luma - veil).clamp_min(0) / (1 - veil)
        brightness = _brightness(luma)
        *fine, eighth, sixteenth, x = self.encoder((luma / brightness).clamp(0, 1))
        skips = (*fine, self._thinned(eighth), self._thinned(sixteenth))
        x = self.bottom(self._thinned(x))
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(_upsample_and_concat(x, skip))
        chroma: Tensor = self.head(self.refine(x)) * brightness
        return chroma * ((1 - veil) / FULL_CONTRAST).clamp_max(1)

    def drop_features(self, rate: float) -> None:
        """Drop whole feature maps at 1/8, 1/16 and 1/32 at random in training.

        Source: Tompson et al. 2015, "Efficient object localization using convolutional networks".

        Args:
            rate: the probability of dropping a feature map.
        """
        self.feature_drop_rate = rate

    def _thinned(self, features: Tensor) -> Tensor:
        if not (self.training and self.feature_drop_rate):
            return features
        return F.dropout2d(features, self.feature_drop_rate)

    def predict_chroma(self, luma: Tensor) -> Tensor:
        """Return chroma (B, 2, ceil(H/2), ceil(W/2)) in [-0.5, 0.5] for luma (B, 1, H, W)."""
        chroma: Tensor = self(luma).float()
        return chroma.clamp(-0.5, 0.5)

    def predict_rgb(self, luma: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
        """Return R'G'B' (B, 3, H, W) in [0, 1] with this luma (B, 1, H, W) and predicted chroma.

        Args:
            matrix: the Y'CbCr matrix of the luma, a key of ``color.MATRICES``.
        """
        chroma = change_matrix(self.predict_chroma(luma), WORKING_MATRIX, matrix)
        return colored(luma, chroma, matrix)


def _brightness(luma: Tensor) -> Tensor:
    """Return the brightness (B, 1, 1, 1) of pictures (B, 1, H, W), ``MIN_BRIGHTNESS`` to 1."""
    return (_quantile(luma, BRIGHTEST_SHARE) / LIT_LUMA).clamp(MIN_BRIGHTNESS, 1)


def _veil(luma: Tensor) -> Tensor:
    """Return the luma (B, 1, 1, 1) to subtract from pictures (B, 1, H, W) to restore blacks."""
    black = _quantile(luma, DARKEST_SHARE)
    return torch.minimum(2 * (black - VEILED_LUMA), black - USUAL_BLACK).clamp(0, MAX_VEIL)


def _quantile(luma: Tensor, share: float) -> Tensor:
    """Return the luma (B, 1, 1, 1) below which this share of each picture (B, 1, H, W) lies."""
    stride = max(min(luma.shape[-2:]) // LIGHT_PIXELS, 1)
    pixels = luma[..., ::stride, ::stride].flatten(1).float()
    return torch.quantile(pixels, share, dim=1)[:, None, None, None]


def _upsample_and_concat(x: Tensor, skip: Tensor) -> Tensor:
    """Enlarge features to the size of the encoder's and concatenate both along the channels."""
    enlarged = resize(x, *skip.shape[-2:])
    if enlarged.requires_grad:
        # The gradient is a slice of a larger tensor. On CPUs, resizing a contiguous copy of it back
        # takes a quarter of the time; GPUs make that copy anyway.
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
    """The U-Net of the 2020 student project, with exactly its 1,885,827 parameters."""

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
        """Return R'G'B' (B, 3, H, W) in [-1, 1] for a grey picture of this shape and range."""
        features, x = [], rgb
        for block in self.encoder:
            x = block(x)
            features.append(x)
        for block, skip in zip(self.decoder, reversed(features[:-1]), strict=True):
            x = block(_upsample_and_concat(x, skip))
        # The 1x1 convolution and the upsampling commute; this order costs a quarter as much.
        return resize(self.head(x), *rgb.shape[-2:])

    def predict_rgb(self, luma: Tensor, matrix: str = WORKING_MATRIX) -> Tensor:
        """Return the network's R'G'B' (B, 3, H, W) in [0, 1] for luma (B, 1, H, W).

        The matrix is ignored, since the network predicts luma as well.
        """
        rgb: Tensor = self(luma.expand(-1, 3, -1, -1) * 2 - 1).float()
        return (rgb / 2 + 0.5).clamp(0, 1)

    def predict_chroma(self, luma: Tensor) -> Tensor:
        """Return the chroma (B, 2, ceil(H/2), ceil(W/2)) in [-0.5, 0.5] of `predict_rgb`."""
        return half_size(rgb_to_ycbcr(self.predict_rgb(luma))[:, 1:])


Network = FilmNetwork | ClassicNetwork


def build(config: Config) -> Network:
    """Return an untrained network for this config."""
    if isinstance(config, FilmConfig):
        return FilmNetwork(config)
    return ClassicNetwork(config)


def fold_batch_norms(network: Network) -> Network:
    """Return an inference copy with each batch norm folded into the convolution before it."""
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
    """Return the device of this name; ``auto`` is the fastest one available.

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
    """Whether a device has native bfloat16 support, and so computes faster in it."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch has no public function for this and may drop the private one.
    knows = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device.type == "cpu" and bool(knows())


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Return a mixed precision context: bfloat16 on devices with native support, else no-op."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bfloat16(device))


def for_inference(network: Network, device: torch.device, *, is_faded: bool = False) -> Network:
    """Return a fast inference copy: batch norms folded, channels last, on this device.

    Activations work in place, and weights that `autocast` would convert to bfloat16 for every
    picture are stored in bfloat16.

    Args:
        is_faded: whether the film has lost its blacks. In other films, a picture that is bright
            everywhere has no veil, and subtracting one turns skies green.
    """
    folded: Any = fold_batch_norms(network).to(device)
    if isinstance(folded, FilmNetwork) and not is_faded:
        folded.config = replace(folded.config, clears_veil=False)
    float32_modules = folded.encoder.float32_modules if isinstance(folded, FilmNetwork) else ()
    in_float32 = {part for module in float32_modules for part in module.modules()}
    in_bfloat16 = computes_in_bfloat16(device)
    for module in folded.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = True
        elif isinstance(module, nn.Conv2d) and in_bfloat16 and module not in in_float32:
            module.bfloat16()
    return folded.to(memory_format=torch.channels_last)

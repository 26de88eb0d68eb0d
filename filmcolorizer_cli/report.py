"""Figures for people to look at."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator
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
from filmcolorizer_cli.frames import Sampling
from filmcolorizer_cli.history import Epoch, best_epoch
from filmcolorizer_cli.lettering import load_font, shortened
from filmcolorizer_cli.maps import SyncMap, nothing_shared
from filmcolorizer_cli.networks import Network, for_inference
from filmcolorizer_cli.pages import Slide
from filmcolorizer_cli.pair_evaluation import predict_rgb, read_batch
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.pictures import read_rgb, to_bytes, to_rgb
from filmcolorizer_cli.planes import NEUTRAL, Plane
from filmcolorizer_cli.splits import Part, Split
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE, Film
from filmcolorizer_cli.wording import counted, describe_time

SAMPLES_PER_PART = 6
SAMPLE_HEIGHT = 128  # pixels of a still in the samples picture
GAP = 4  # pixels between pictures
PREVIEW_MOMENTS = 8  # of two films that line up
PREVIEW_HEIGHT = 132  # pixels of a picture of theirs
LEAST_PLOT_WIDTH = 480  # pixels, in which its words have room
CHECKS = 6  # squares across and down in a checkerboard of both
LABEL_HEIGHT = 22  # pixels
LETTERS = 13  # pixels
SHEET_WIDTH = 1800  # pixels, more or less, of a contact sheet
SHEET_STILL_WIDTH = 288  # pixels of a picture on it
# Of drawings on pages, which are light or dark.
INK_OF_PAGE = "#010203"  # stands for the colour of the page's text
SERIES_COLORS = ("#d95f1a", "#3f87c9", "#8a8a8a", "#5a9e4b")
MOST_POINTS = 600  # of a line
FEW_POINTS = 60  # up to which each is marked
TIME_STEPS_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
MOST_TICKS = 7  # on the axis of time
BACKGROUND, INK = (24, 24, 24), (230, 230, 230)

Samples = dict[Part, tuple[Tensor, Tensor, Tensor]]  # what `read_batch` gives, of each part


def save_loss_figure(history: Sequence[Epoch], path: Path) -> None:
    """Plot training and validation loss over the epochs as a PNG.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    _draw_losses(axes, history, ("C0", "C1"))
    best = best_epoch(history)
    axes.plot(best.epoch, best.validation_loss, "o", mfc="none", ms=12, color="C1", label="best")
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def plot_losses(history: Sequence[Epoch]) -> str:
    """Training and validation loss over the epochs, as an SVG element."""
    figure, axes = _drawing()
    _draw_losses(axes, history, SERIES_COLORS)
    return _finish(figure, axes)


def _draw_losses(axes: Axes, history: Sequence[Epoch], colors: Sequence[str]) -> None:
    epochs = [epoch.epoch for epoch in history]
    training = [epoch.training_loss for epoch in history]
    validation = [epoch.validation_loss for epoch in history]
    axes.plot(epochs, training, label="training", marker=".", color=colors[0])
    axes.plot(epochs, validation, label="validation", marker=".", color=colors[1])
    axes.set(xlabel="epoch", ylabel="loss", xlim=(0.5, len(history) + 0.5), ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def plot_over_time(
    seconds: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    label: str,
    parts: Sequence[tuple[float, str]] = (),
    from_zero: bool = True,
) -> str:
    """What was measured of stills or frames over the time of a film, as an SVG element.

    Args:
        seconds: of each, ascending.
        series: what was measured, by what it is called; long ones are drawn as means of spans.
        label: of the vertical axis.
        parts: when each part of the film begins, and what it is called.
        from_zero: whether the vertical axis begins there.
    """
    figure, axes = _drawing()
    ends = np.linspace(0, len(seconds), min(len(seconds), MOST_POINTS) + 1).astype(int)
    spans = [slice(begin, end) for begin, end in pairwise(ends)]
    times = [float(np.mean(seconds[span])) for span in spans]
    for (name, values), color in zip(series.items(), SERIES_COLORS, strict=False):
        marker = "." if len(times) < FEW_POINTS else None
        means = [float(np.mean(values[span])) for span in spans]
        axes.plot(times, means, label=name, color=color, marker=marker, linewidth=1.2)
    for number, (begin, name) in enumerate(parts):
        if number:
            axes.axvline(begin, color=INK_OF_PAGE, linewidth=0.8, linestyle=":")
        axes.text(begin, 1.01, f" {name}", transform=axes.get_xaxis_transform(), color=INK_OF_PAGE)
    axes.set(ylabel=label, **({"ylim": (0, None)} if from_zero else {}))
    return _finish(figure, axes, has_times=True)


def plot_shots(
    spans: Sequence[tuple[float, float]],
    series: Mapping[str, Sequence[float | None]],
    *,
    label: str,
) -> str:
    """What was measured of each shot of a film, over its time, as an SVG element.

    Args:
        spans: when each shot begins and ends, in seconds.
        series: what was measured, by what it is called; None where there is nothing to measure.
        label: of the vertical axis.
    """
    figure, axes = _drawing()
    begins, ends = ([span[side] for span in spans] for side in (0, 1))
    for (name, values), color in zip(series.items(), SERIES_COLORS, strict=False):
        heights = [np.nan if value is None else value for value in values]
        axes.hlines(heights, begins, ends, label=name, color=color, linewidth=2.5)
    axes.set(ylabel=label, ylim=(0, None))
    return _finish(figure, axes, has_times=True)


def _drawing() -> tuple[Figure, Axes]:
    """An empty drawing for a page: what is not drawn shows the page."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set_color(INK_OF_PAGE)
    axes.tick_params(colors=INK_OF_PAGE)
    axes.xaxis.label.set_color(INK_OF_PAGE)
    axes.yaxis.label.set_color(INK_OF_PAGE)
    axes.grid(color=INK_OF_PAGE, alpha=0.15)
    return figure, axes


def _finish(figure: Figure, axes: Axes, *, has_times: bool = False) -> str:
    """The drawing as an SVG element, whose ink has the colour of the page's text."""
    if has_times:
        axes.set_xlabel("time in the film")
        axes.xaxis.set_major_formatter(lambda seconds, _: _minutes(seconds))
        begin, end = axes.get_xlim()
        steps = (step for step in TIME_STEPS_SECONDS if end - begin <= MOST_TICKS * step)
        axes.xaxis.set_major_locator(MultipleLocator(next(steps, TIME_STEPS_SECONDS[-1])))
    figure.legend(loc="outside upper right", ncols=4, frameon=False, labelcolor=INK_OF_PAGE)
    buffer = io.StringIO()
    # Letters stay letters, for reading aloud and searching; no date, so that nothing changes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "filmcolorizer"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(INK_OF_PAGE, "currentColor")


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def read_samples(pairs: Pairs, split: Split, network: Network) -> Samples:
    """Pairs spread over each part, as `read_batch` gives them for a network.

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
    """Grey, output and truth of these samples of some pairs, in rows."""
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
    """Write a PNG with frames of a film in a row, and below them the same of its coloured version.

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
    """Write a PNG with all slides, the versions of each side by side.

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
    """The versions of a slide side by side, below what they are called."""
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
    """A picture (H, W, 3) at the size of a contact sheet."""
    height = max(round(picture.shape[0] * SHEET_STILL_WIDTH / picture.shape[1]), 1)
    image = Image.fromarray(picture)
    return image.resize((SHEET_STILL_WIDTH, height), Image.Resampling.BICUBIC)


def save_sync_preview(bw: Film, color: Film, sync_map: SyncMap, path: Path) -> None:
    """Write a PNG that tells at a glance whether two films line up.

    Matched frames in black and white, in colour, and as a checkerboard of both; below them, when
    the coloured film shows what the other one does.

    Raises:
        FilmColorizerError: the file cannot be written.
        SyncError: there is no moment that both show.
        VideoError: a film cannot be read.
    """
    reading = Reading(cadence_of_bw(bw, sync_map), cadence_of_color(color, sync_map))
    found = [_triple(bw, color, sync_map, reading, seconds) for seconds in _spread(sync_map)]
    triples = [triple for triple in found if triple is not None]
    if not triples:
        raise nothing_shared(bw, color)
    rows = [np.hstack(triples[n : n + 2]) for n in range(0, len(triples), 2)]
    width = max(LEAST_PLOT_WIDTH, *(row.shape[1] for row in rows))
    pictures = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    plot = _time_plot(sync_map, bw.duration_seconds, color.duration_seconds, width)
    save_image(Image.fromarray(np.vstack((*pictures, plot))), path)


def _spread(sync_map: SyncMap) -> list[float]:
    """Moments of the 24 fps timeline, spread evenly over what both films show."""
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
    """A moment (H, W, 3) in black and white, in colour, and as a checkerboard of both.

    None where a film has ended by then.
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


def _time_plot(sync_map: SyncMap, bw_end: float, color_end: float, width: int) -> Plane:
    """Colour time against black-and-white time (H, W, 3), one line a segment."""
    dpi = 100
    figure = Figure(figsize=(width / dpi, 3.6), dpi=dpi, layout="constrained")
    axes = figure.subplots()
    colors = colormaps["viridis_r"]
    bw_ranges, color_ranges = [], []
    for segment in sync_map.segments:
        times = (segment.bw_start_seconds, segment.bw_end_seconds)
        shown = (segment.color_seconds(times[0]), segment.color_seconds(times[1]))
        axes.plot(times, shown, color=colors(segment.confidence), linewidth=2.5)
        bw_ranges.append(times)
        color_ranges.append(shown)
    for begin, end in _between(bw_ranges, bw_end):
        axes.axvspan(begin, end, color="tab:orange", alpha=0.2, linewidth=0)
    for begin, end in _between(color_ranges, color_end):
        axes.axhspan(begin, end, color="tab:orange", alpha=0.2, linewidth=0)
    axes.set(
        xlim=(0, bw_end),
        ylim=(0, color_end),
        xlabel="black and white, seconds",
        ylabel="colour, seconds",
        title=f"{counted(len(sync_map.segments), 'segment')}, {sync_map.shared_seconds:.1f} s that"
        " both films show; what is shaded is in one of them only",
    )
    figure.colorbar(ScalarMappable(Normalize(0, 1), colors), ax=axes, label="confidence")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    fitted: Plane = np.zeros((pixels.shape[0], width, 3), np.uint8)
    fitted[:, : pixels.shape[1]] = pixels[:, :width]
    return fitted


def _between(ranges: list[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """What ranges of time leave out up to ``end``, if for longer than a frame."""
    left_out, covered = [], 0.0
    for begin, until in sorted(ranges) + [(end, end)]:
        if begin - covered > 1 / TIMELINE_FRAME_RATE:
            left_out.append((covered, begin))
        covered = max(covered, until)
    return left_out


def _frame_at(film: Film, seconds: float) -> Plane:
    one_frame = float(1 / TIMELINE_FRAME_RATE)
    sampling = Sampling(start_seconds=seconds, duration_seconds=one_frame)
    with closing(read_rgb(film, sampling)) as pictures:
        frame = next(pictures, None)
    if frame is None:
        raise VideoError(
            f"{film.path} has ended {seconds:g} s after its start; take an earlier time"
        )
    return frame


def _strip(pictures: Tensor, aspect_ratio: float) -> Image.Image:
    """Pictures (B, 1 or 3, H, W) in [0, 1] side by side, in their displayed shape."""
    width = round(SAMPLE_HEIGHT * aspect_ratio)
    strip = Image.new("RGB", (len(pictures) * (width + GAP), SAMPLE_HEIGHT), BACKGROUND)
    for index, picture in enumerate(pictures.expand(-1, 3, -1, -1)):
        pixels = to_bytes(picture)
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
        draw.text((GAP, index * step + 3), label, fill=INK, font=load_font(LETTERS))
        sheet.paste(strip, (0, index * step + LABEL_HEIGHT))
    return sheet


def save_image(image: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")

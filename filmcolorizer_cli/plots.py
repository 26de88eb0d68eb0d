"""Plots of measurements."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from filmcolorizer_cli.files import replacing
from filmcolorizer_cli.history import Epoch, best_epoch
from filmcolorizer_cli.maps import SyncMap
from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE
from filmcolorizer_cli.wording import counted

INK_OF_PAGE = "#010203"  # placeholder that is replaced by the text colour of the page
SERIES_COLORS = ("#d95f1a", "#3f87c9", "#8a8a8a", "#5a9e4b")  # legible on light and dark pages
MAX_POINTS = 600  # points of a line, at most
FEW_POINTS = 60  # lines of fewer points have a marker at each
TIME_STEPS_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
MAX_TICKS = 7  # intervals between ticks on the time axis, at most


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
    """Plot training and validation loss over the epochs as an SVG element."""
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
    """Plot measurements of stills or frames over a film's time as an SVG element.

    Args:
        seconds: the time of each still or frame, ascending.
        series: the values of each measurement, by its name; long series are drawn as means over
            spans.
        label: the label of the vertical axis.
        parts: the start in seconds and the name of each part of the film.
        from_zero: whether the vertical axis starts at zero.
    """
    figure, axes = _drawing()
    ends = np.linspace(0, len(seconds), min(len(seconds), MAX_POINTS) + 1).astype(int)
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
    """Plot measurements of each shot over a film's time as an SVG element.

    Args:
        spans: the start and end of each shot, in seconds.
        series: the values of each measurement, by its name; None where nothing could be measured.
        label: the label of the vertical axis.
    """
    figure, axes = _drawing()
    begins, ends = ([span[side] for span in spans] for side in (0, 1))
    for (name, values), color in zip(series.items(), SERIES_COLORS, strict=False):
        heights = [np.nan if value is None else value for value in values]
        axes.hlines(heights, begins, ends, label=name, color=color, linewidth=2.5)
    axes.set(ylabel=label, ylim=(0, None))
    return _finish(figure, axes, has_times=True)


def draw_map(sync_map: SyncMap, bw_end: float, color_end: float, width: int) -> Plane:
    """Plot the time in the coloured film against that in the other, with a line per segment.

    Args:
        bw_end, color_end: the durations of the films, in seconds.
        width: the width of the plot, in pixels.

    Returns:
        R'G'B' (H, width, 3), uint8.
    """
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
    for begin, end in _gaps_between(bw_ranges, bw_end):
        axes.axvspan(begin, end, color="tab:orange", alpha=0.2, linewidth=0)
    for begin, end in _gaps_between(color_ranges, color_end):
        axes.axhspan(begin, end, color="tab:orange", alpha=0.2, linewidth=0)
    axes.set(
        xlim=(0, bw_end),
        ylim=(0, color_end),
        xlabel="black and white, seconds",
        ylabel="colour, seconds",
        title=f"{counted(len(sync_map.segments), 'segment')}, {sync_map.shared_seconds:.1f} s that"
        " both films show; shaded parts are in only one of them",
    )
    figure.colorbar(ScalarMappable(Normalize(0, 1), colors), ax=axes, label="confidence")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    fitted: Plane = np.zeros((pixels.shape[0], width, 3), np.uint8)
    fitted[:, : pixels.shape[1]] = pixels[:, :width]
    return fitted


def _gaps_between(ranges: list[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Return the gaps between these time ranges, up to ``end``, that are longer than a frame."""
    left_out, covered = [], 0.0
    for begin, until in sorted(ranges) + [(end, end)]:
        if begin - covered > 1 / TIMELINE_FRAME_RATE:
            left_out.append((covered, begin))
        covered = max(covered, until)
    return left_out


def _drawing() -> tuple[Figure, Axes]:
    """Return an empty drawing with a transparent background, for a page."""
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
    """Return the drawing as an SVG element, with its ink in the page's text colour."""
    if has_times:
        axes.set_xlabel("time in the film")
        axes.xaxis.set_major_formatter(lambda seconds, _: _minutes(seconds))
        begin, end = axes.get_xlim()
        steps = (step for step in TIME_STEPS_SECONDS if end - begin <= MAX_TICKS * step)
        axes.xaxis.set_major_locator(MultipleLocator(next(steps, TIME_STEPS_SECONDS[-1])))
    figure.legend(loc="outside upper right", ncols=4, frameon=False, labelcolor=INK_OF_PAGE)
    buffer = io.StringIO()
    # Text stays text, for screen readers and searching. Without a date, output is reproducible.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "filmcolorizer"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(INK_OF_PAGE, "currentColor")


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from filmcolorizer_cli import plots
from filmcolorizer_cli.errors import FilmColorizerError
from filmcolorizer_cli.history import Epoch
from filmcolorizer_cli.plots import (
    INK_OF_PAGE,
    SERIES_COLORS,
    plot_losses,
    plot_over_time,
    plot_shots,
    save_loss_figure,
)
from tests.films import read_png
from tests.machine import files_in

BLUE, ORANGE = (31, 119, 180), (255, 127, 14)  # the colours of matplotlib's first two lines


def history(*losses: tuple[float, float]) -> list[Epoch]:
    return [Epoch(n, *loss, 1e-3, 1.0) for n, loss in enumerate(losses, start=1)]


def rows_of(picture: np.ndarray, color: tuple[int, int, int]) -> tuple[float, float]:
    """Return the mean row of the leftmost and of the rightmost pixels of this colour."""
    ys, xs = np.nonzero((picture == color).all(axis=2))
    return ys[xs == xs.min()].mean(), ys[xs == xs.max()].mean()


def test_save_loss_figure_draws_both_losses(tmp_path: Path) -> None:
    path = tmp_path / "loss.png"
    save_loss_figure(history((1.0, 0.4), (0.7, 0.6), (0.2, 0.9)), path)
    picture = read_png(path)
    assert picture.shape == (504, 840, 3)
    plot = picture[:440, 230:]  # without the legend
    training, validation = rows_of(plot, BLUE), rows_of(plot, ORANGE)
    assert training[0] < training[1], "the training loss falls, downwards on the page"
    assert validation[0] > validation[1], "the validation loss rises"
    assert files_in(tmp_path) == ["loss.png"]


def test_save_loss_figure_of_a_single_epoch(tmp_path: Path) -> None:
    save_loss_figure(history((0.5, 0.6)), tmp_path / "loss.png")
    picture = read_png(tmp_path / "loss.png")
    assert (picture == BLUE).all(axis=2).any()
    assert (picture == ORANGE).all(axis=2).any()


def test_save_loss_figure_tells_where_it_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "loss.png"
    with pytest.raises(FilmColorizerError, match=r"cannot write .*loss\.png \(No such file"):
        save_loss_figure(history((0.5, 0.6)), path)


def texts_of(svg: str) -> list[str]:
    """Return the texts in a drawing."""
    names = {"svg": "http://www.w3.org/2000/svg"}
    return [node.text or "" for node in ElementTree.fromstring(svg).iterfind(".//svg:text", names)]


def lines_of(svg: str, color: str) -> list[list[tuple[float, float]]]:
    """Return the points of the lines of this colour in a drawing; y grows downwards."""
    paths = re.findall(rf'<path d="([^"]+)"[^>]*style="[^"]*stroke: {color}', svg)
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path)]
        for path in paths
    ]


def test_plot_losses_draws_both_losses() -> None:
    svg = plot_losses(history((1.0, 0.4), (0.7, 0.6), (0.2, 0.9)))
    assert {"training", "validation", "epoch", "loss"} <= set(texts_of(svg))
    training = max(lines_of(svg, SERIES_COLORS[0]), key=len)
    validation = max(lines_of(svg, SERIES_COLORS[1]), key=len)
    assert training[0][1] < training[1][1] < training[2][1], "the training loss falls"
    assert validation[0][1] > validation[1][1] > validation[2][1], "the validation loss rises"
    assert training[0][1] < validation[2][1] < training[1][1], "1.0 lies above 0.9 above 0.7"


def test_plots_take_the_ink_of_the_page_and_are_the_same_again() -> None:
    svg = plot_losses(history((1.0, 0.4), (0.7, 0.6)))
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert INK_OF_PAGE not in svg
    assert "#ffffff" not in re.sub(r"<defs>.*?</defs>", "", svg, flags=re.DOTALL)
    assert svg == plot_losses(history((1.0, 0.4), (0.7, 0.6)))


def test_plot_over_time_draws_long_series_as_means() -> None:
    """A series that jumps from 0 to 2 and back at every frame, and one that rises."""
    seconds = [n / 24 for n in range(24_000)]
    series: dict[str, list[float]] = {
        "jumps": [n % 2 * 2 for n in range(24_000)],
        "rises": [n / 24_000 for n in range(24_000)],
    }
    svg = plot_over_time(seconds, series, label="error", parts=[(0.0, "train"), (700.0, "test")])
    assert len(svg) < 100_000
    assert {"jumps", "rises", "error", "time in the film", "5:00"} <= set(texts_of(svg))
    assert {" train", " test"} <= set(texts_of(svg)) or {"train", "test"} <= set(texts_of(svg))
    jumps, rises = (max(lines_of(svg, color), key=len) for color in SERIES_COLORS[:2])
    assert len(jumps) <= 600
    assert np.ptp([y for _, y in jumps]) < 1, "each mean is 1"
    assert rises[0][1] > rises[-1][1] + 50


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (0, 9 * 3600, {"1:00:00", "9:00:00"}),  # longer than the steps are made for
        (3600, 3610, {"1:00:02", "1:00:08"}),  # a part far into a film
        (50, 70, {"0:55", "1:05"}),
    ],
)
def test_plot_over_time_tells_times_of_all_parts_of_films(
    begin: int, end: int, expected: set[str]
) -> None:
    seconds = np.linspace(begin, end, 50).tolist()
    assert expected <= set(texts_of(plot_over_time(seconds, {"a": seconds}, label="b")))


def test_plot_shots_leaves_out_what_was_not_measured() -> None:
    spans = [(0.0, 5.0), (5.0, 6.0), (6.0, 10.0)]
    svg = plot_shots(spans, {"output": [0.3, None, 0.1], "truth": [0.1, 0.1, 0.1]}, label="flicker")
    drawn = [line for line in lines_of(svg, SERIES_COLORS[0]) if len(line) == 2]
    flat = [line for line in drawn if line[0][1] == line[1][1]]
    assert len(flat) == 3, "two shots, and the legend"
    first, last = sorted(flat, key=lambda line: line[0][1])[-2:]
    lengths = sorted(line[1][0] - line[0][0] for line in flat)
    assert lengths[-1] / lengths[-2] == pytest.approx(5 / 4, rel=0.01)
    assert first != last


def test_gaps_between_is_what_no_range_covers() -> None:
    """Except gaps of a single frame, and whatever the order of the ranges."""
    assert plots._gaps_between([(3.0, 4.0), (0.5, 3.5), (1.0, 2.0)], 6.0) == [
        (0.0, 0.5),
        (4.0, 6.0),
    ]
    assert plots._gaps_between([(0.0, 1.0), (1.03, 6.0)], 6.0) == []

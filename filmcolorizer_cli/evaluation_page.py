"""The evaluation page: where a network comes close to the true colours, and where it does not."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from filmcolorizer_cli import __version__
from filmcolorizer_cli.color import resize
from filmcolorizer_cli.film_evaluation import WAYS, FilmEvaluation, FilmOptions, paint_frame
from filmcolorizer_cli.history import Epoch, best_epoch, read_history
from filmcolorizer_cli.models import Model
from filmcolorizer_cli.networks import Network, for_inference
from filmcolorizer_cli.pages import Page, Plot, Section, Slide, Table, save_page
from filmcolorizer_cli.pair_evaluation import Evaluation, PairScore, predict_rgb, read_batch
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.pictures import picture_to_rgb, to_bytes
from filmcolorizer_cli.planes import NEUTRAL, Plane
from filmcolorizer_cli.plots import plot_losses, plot_over_time, plot_shots
from filmcolorizer_cli.splits import Split, TimeSplit
from filmcolorizer_cli.video import Film
from filmcolorizer_cli.wording import (
    FILM_COLUMNS,
    counted,
    describe_time,
    film_score_rows,
    pair_score_rows,
)

STILL_HEIGHT = 360  # pixels; smaller stills are enlarged to this height
VERSIONS = ("output", "grey", "truth")  # sliders initially compare the first with the last


@dataclass(frozen=True)
class Provenance:
    """How the numbers of a page came about.

    Attributes:
        name: the name of the network.
        history: the epochs of its training; empty where they are unknown.
        facts: options and versions, by name.
    """

    name: str
    history: Sequence[Epoch]
    facts: Mapping[str, str]


def provenance_of(model: Model, device: str, options: Mapping[str, object]) -> Provenance:
    """Return the provenance of a page's numbers."""
    topics = ("description", "epoch", "trained_share", "data", "licence")
    about = {t.replace("_", " "): str(model.about[t]) for t in topics if t in model.about}
    facts = {
        "model": str(model.path),
        "network": ", ".join(f"{name} {value}" for name, value in model.config.items()),
        **about,
        **{name: str(value) for name, value in options.items() if value is not None},
        "device": device,
        "filmcolorizer": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    return Provenance(model.name, read_history(model.path), facts)


def save_pairs_page(
    result: Evaluation,
    pairs: Pairs,
    split: Split,
    network: Network,
    device: torch.device,
    path: Path,
    provenance: Provenance,
) -> None:
    """Write a page on how well a network colours a folder of pairs.

    Raises:
        FilmColorizerError: the page cannot be written.
        PairsError: a still cannot be read.
    """
    name = provenance.name
    title = f"{name} on {pairs.folder}"
    text = (
        f"How close {name} comes to the true colours of {len(result.pairs)} pairs of stills,"
        " compared with the naive baseline, the grey still itself.",
    )
    sections = [
        Section("Scores", tables=[_scores(result, name)]),
        _losses(provenance.history),
        _over_time(result, split),
        *_stills(result, pairs, network, device),
        _facts(provenance),
    ]
    save_page(Page(title, text, sections=sections), path)


def save_films_page(
    results: Sequence[tuple[Film, FilmEvaluation]],
    network: Network,
    options: FilmOptions,
    device: torch.device,
    path: Path,
    provenance: Provenance,
) -> None:
    """Write a page on how well a network colours whole colour films.

    Raises:
        FilmColorizerError: the page cannot be written.
        VideoError: a film cannot be read.
    """
    name = provenance.name
    names = ", ".join(film.path.name for film, _ in results)
    text = (
        f"Colour films were made grey and colorized by {name}; here its colours are compared with"
        " the originals. A grey film has the lowest flicker and CDC of all, so both mean something"
        " only where the colourfulness is close to that of the truth.",
    )
    sections = []
    for film, result in results:
        slides = [
            _film_slide(
                film, result, number, rank,
                paint_frame(film, result, network, options, device, number),
            )
            for number, rank in _ranked(result.series.psnr).items()
        ]  # fmt: skip
        sections += [
            Section(film.path.name, tables=[_film_scores(result, name)], plots=_film_plots(result)),
            Section(f"Frames of {film.path.name}", slides=slides),
        ]
    sections += [_losses(provenance.history), _facts(provenance)]
    save_page(Page(f"{name} on {names}", text, sections=sections), path)


def _film_scores(result: FilmEvaluation, name: str) -> Table:
    scores = {way: getattr(result, way) for way in WAYS}
    rows = [list(FILM_COLUMNS), *map(list, film_score_rows(scores, name, with_baseline=True))]
    caption = (
        f"means over {result.frames} frames in {counted(len(result.shots), 'shot')},"
        f" at {result.width}x{result.height}; flicker as a ratio to the truth's"
    )
    return Table(caption, rows)


def _film_plots(result: FilmEvaluation) -> list[Plot]:
    series = result.series
    quality = {"output": series.psnr, "naive baseline": series.baseline_psnr}
    color = {"output": series.colorfulness, "truth": series.true_colorfulness}
    spans = [(shot.begin_seconds, shot.end_seconds) for shot in result.shots]
    flicker = {
        "output": [shot.network.flicker for shot in result.shots],
        "truth": [shot.truth.flicker for shot in result.shots],
    }
    return [
        Plot(
            "PSNR of each frame: above the baseline, colours are closer to the truth than grey is",
            plot_over_time(series.seconds, quality, label="PSNR, dB", from_zero=False),
        ),
        Plot(
            "Colourfulness of each frame: below the truth, colours are muted",
            plot_over_time(series.seconds, color, label="colourfulness"),
        ),
        Plot(
            "Flicker of each shot, the change of chroma along the motion: above the truth, colours"
            " are unsteady",
            plot_shots(spans, flicker, label="flicker"),
        ),
    ]


def _ranked(scores: Sequence[float]) -> dict[int, str]:
    """Return the indices of the best (highest), median and worst score, in this order.

    Of two scores, none is the median; a single one is the best.
    """
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    ranks = {order[len(order) // 2]: "median", order[-1]: "worst", order[0]: "best"}
    return {number: ranks[number] for number in order if number in ranks}


def _film_slide(
    film: Film, result: FilmEvaluation, number: int, rank: str, painted: tuple[Plane, Plane, Plane]
) -> Slide:
    """Return a slide of a frame whose planes `paint_frame` returned."""
    luma, chroma, true_chroma = painted
    pixel_shape = film.aspect_ratio * result.height / result.width
    size = round(luma.shape[1] * pixel_shape), luma.shape[0]
    pictures = [
        picture_to_rgb(luma, planes, film.coding.matrix, size)
        for planes in (chroma, np.full_like(chroma, NEUTRAL), true_chroma)
    ]
    series = result.series
    note = f"PSNR {series.psnr[number]:.2f} dB, grey {series.baseline_psnr[number]:.2f} dB"
    label = f"{rank}, {describe_time(series.seconds[number])}"
    return Slide(label, dict(zip(VERSIONS, pictures, strict=True)), note)


def _scores(result: Evaluation, name: str) -> Table:
    rows = [["", *(f"{part} ({score.pairs})" for part, score in result.network.items())]]
    for section in pair_score_rows(result, name, with_baseline=True):
        rows += [[f"{way}: {measure}", *numbers] for way, measure, *numbers in section]
    return Table("means over the pairs of each part; MSE on RGB in [-1, 1]", rows)


def _losses(history: Sequence[Epoch]) -> Section:
    if not history:
        return Section("Training", "These weights have no record of their training.")
    best = best_epoch(history)
    caption = (
        f"Loss over {len(history)} epochs; the best for the validation part is epoch {best.epoch},"
        f" with {best.validation_loss:.4f}"
    )
    return Section("Training", plots=[Plot(caption, plot_losses(history))])


def _over_time(result: Evaluation, split: Split) -> Section:
    """Return plots of error and colourfulness over the film's time."""
    scores = sorted(result.pairs, key=lambda score: score.pair.bw_seconds)
    seconds = [score.pair.bw_seconds for score in scores]
    begins: list[tuple[float, str]] = []
    if isinstance(split, TimeSplit):
        for part in split.measured:
            first = next(score for score in result.pairs if score.part == part)
            begins.append((first.pair.bw_seconds, part))
    error = {"output": [s.mse for s in scores], "naive baseline": [s.grey_mse for s in scores]}
    color = {
        "output": [s.colorfulness for s in scores],
        "truth": [s.true_colorfulness for s in scores],
    }
    plots = [
        Plot(
            "Error of each still: below the baseline, colours are closer to the truth than grey is",
            plot_over_time(seconds, error, label="MSE", parts=begins),
        ),
        Plot(
            "Colourfulness of each still: below the truth, colours are muted",
            plot_over_time(seconds, color, label="colourfulness", parts=begins),
        ),
    ]
    return Section("Over the film's time", plots=plots)


def _stills(
    result: Evaluation, pairs: Pairs, network: Network, device: torch.device
) -> list[Section]:
    """Return a section for each part, with its best, median and worst still."""
    ready = for_inference(network, device, is_faded=pairs.is_faded)
    sections = []
    for part in result.network:
        scores = [score for score in result.pairs if score.part == part]
        ranked = _ranked([-score.mse for score in scores])
        slides = [
            _slide(scores[number], rank, pairs, ready, device) for number, rank in ranked.items()
        ]
        sections.append(Section(f"Stills of the {part} part", slides=slides))
    return sections


def _slide(
    score: PairScore, rank: str, pairs: Pairs, ready: Network, device: torch.device
) -> Slide:
    luma, truth, known = read_batch(pairs, [score.pair], ready)
    output = predict_rgb(ready, luma, pairs.aspect_ratio, device, pairs.matrix)
    pictures = [
        _displayed(picture, pairs.aspect_ratio)
        for picture in (output, luma.expand(-1, 3, -1, -1), truth * known)
    ]
    label = f"{rank}, {describe_time(score.pair.bw_seconds)}"
    note = f"pair {score.pair.name}: MSE {score.mse:.4f}, grey {score.grey_mse:.4f}"
    return Slide(label, dict(zip(VERSIONS, pictures, strict=True)), note)


def _displayed(picture: Tensor, aspect_ratio: float) -> Plane:
    """Convert R'G'B' (1, 3, H, W) in [0, 1] to (h, w, 3) uint8, at the display aspect ratio."""
    height = max(picture.shape[-2], STILL_HEIGHT)
    return to_bytes(resize(picture, height, round(height * aspect_ratio))[0])


def _facts(provenance: Provenance) -> Section:
    rows = [["option", "value"], *([name, value] for name, value in provenance.facts.items())]
    return Section("How this page was made", tables=[Table("options and versions", rows, False)])

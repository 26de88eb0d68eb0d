from __future__ import annotations

import base64
import io
import re
from contextlib import closing
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli import evaluation_page
from filmcolorizer_cli.evaluation_page import (
    Provenance,
    provenance_of,
    save_films_page,
    save_pairs_page,
)
from filmcolorizer_cli.film_evaluation import FilmOptions, evaluate_film
from filmcolorizer_cli.history import Epoch
from filmcolorizer_cli.models import read_model
from filmcolorizer_cli.pair_evaluation import Evaluation, evaluate
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.pictures import read_rgb
from filmcolorizer_cli.plots import plot_over_time, plot_shots
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.splits import PARTS, InterleavedSplit, split_by_time
from filmcolorizer_cli.video import probe
from tests.films import LOSSLESS, run_ffmpeg
from tests.machine import files_in
from tests.networks import vivid_network
from tests.values import finished

CPU = torch.device("cpu")
HISTORY = (
    Epoch(1, 0.9, 0.7, 0.01, 2.0),
    Epoch(2, 0.6, 0.5, 0.01, 2.0),
    Epoch(3, 0.3, 0.8, 0.01, 2.0),
)
MADE_BY = Provenance("<b>vivid</b>", HISTORY, {"size": "64", "torch": "2 <3"})


class Reader(HTMLParser):
    """A parser of a page's table rows, headings, slide captions and pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.captions: list[str] = []
        self.pictures: list[tuple[str, np.ndarray]] = []
        self._into: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        self._into = {
            "th": self.rows[-1] if self.rows else None,
            "td": self.rows[-1] if self.rows else None,
            "h2": self.headings,
            "figcaption": self.captions,
        }.get(tag, self._into if tag == "b" else None)
        if self._into is not None and tag != "b":
            self._into.append("")
        if tag == "img":
            data = base64.b64decode(str(values["src"]).partition(",")[2])
            with Image.open(io.BytesIO(data)) as image:
                self.pictures.append((str(values["alt"]), np.asarray(image.convert("RGB"))))

    def handle_endtag(self, tag: str) -> None:
        if tag != "b":
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data


@pytest.fixture(scope="module")
def pairs_result(pairs: Pairs) -> Evaluation:
    _, result = finished(evaluate(pairs, split_by_time(pairs.pairs), vivid_network(), CPU))
    return result


@pytest.fixture(scope="module")
def pairs_page(
    pairs: Pairs, pairs_result: Evaluation, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    split = split_by_time(pairs.pairs)
    save_pairs_page(pairs_result, pairs, split, vivid_network(), CPU, path, MADE_BY)
    assert files_in(path.parent) == ["index.html"]
    return path


def test_save_pairs_page_tells_the_scores(pairs_page: Path, pairs_result: Evaluation) -> None:
    page = Reader(pairs_page.read_text())
    cells = {row[0]: row[1:] for row in page.rows}
    assert cells[""] == [f"{part} (8)" for part in PARTS]
    network, baseline = pairs_result.network, pairs_result.baseline
    assert cells["naive baseline: MSE"] == [f"{baseline[part].mse:.4f}" for part in PARTS]
    assert cells["<b>vivid</b>: MSE"] == [f"{network[part].mse:.4f}" for part in PARTS]
    ratios = [f"{network[part].mse / baseline[part].mse:.2f}" for part in PARTS]
    assert cells["<b>vivid</b>: MSE / baseline"] == ratios
    truth = [f"{network[part].true_colorfulness:.1f}" for part in PARTS]
    assert cells["truth: colourfulness"] == truth
    assert cells["torch"] == ["2 <3"]
    assert "Loss over 3 epochs; the best for the validation part is epoch 2, with 0.5000" in (
        page.captions
    )


def test_save_pairs_page_draws_the_stills_over_the_film(
    pairs_page: Path, pairs_result: Evaluation, pairs: Pairs, tmp_path: Path
) -> None:
    """Stills are in film order, even if parts are interleaved, whose starts are not marked."""
    pages = [(pairs_page, pairs_result, [(0.0, "train"), (2.0, "validation"), (4.0, "test")])]
    split, path = InterleavedSplit(pairs.every), tmp_path / "index.html"
    _, result = finished(evaluate(pairs, split, vivid_network(), CPU))
    save_pairs_page(result, pairs, split, vivid_network(), CPU, path, MADE_BY)
    pages.append((path, result, []))
    for page, shown, parts in pages:
        text = page.read_text()
        scores = sorted(shown.pairs, key=lambda score: score.pair.name)
        seconds = [number / 4 for number in range(24)]
        error = {
            "output": [score.mse for score in scores],
            "naive baseline": [score.grey_mse for score in scores],
        }
        assert plot_over_time(seconds, error, label="MSE", parts=parts) in text
        color = {
            "output": [score.colorfulness for score in scores],
            "truth": [score.true_colorfulness for score in scores],
        }
        assert plot_over_time(seconds, color, label="colourfulness", parts=parts) in text


def test_displayed_draws_out_squares() -> None:
    assert evaluation_page._displayed(torch.rand(1, 3, 64, 64), 16 / 9).shape == (360, 640, 3)
    assert evaluation_page._displayed(torch.rand(1, 3, 480, 640), 4 / 3).shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("scores", "ranks"),
    [
        ([3.0], {0: "best"}),
        ([3.0, 5.0], {1: "best", 0: "worst"}),
        ([3.0, 5.0, 4.0], {1: "best", 2: "median", 0: "worst"}),
        ([3.0, 5.0, 4.0, 1.0, 2.0], {1: "best", 0: "median", 3: "worst"}),
    ],
)
def test_ranked(scores: list[float], ranks: dict[int, str]) -> None:
    assert list(evaluation_page._ranked(scores).items()) == list(ranks.items())


def test_save_pairs_page_shows_the_best_the_median_and_the_worst(
    pairs_page: Path, pairs_result: Evaluation, pairs: Pairs
) -> None:
    page = Reader(pairs_page.read_text())
    captions = [c for c in page.captions if re.match("best|median|worst", c)]
    assert len(captions) == 9
    assert len(page.pictures) == 27
    for number, part in enumerate(PARTS):
        ranked = sorted((s for s in pairs_result.pairs if s.part == part), key=lambda s: s.mse)
        chosen = (ranked[0], ranked[4], ranked[7])
        for place, (rank, score) in enumerate(
            zip(("best", "median", "worst"), chosen, strict=True)
        ):
            caption = captions[3 * number + place]
            assert caption.startswith(f"{rank}, 0:00:{score.pair.bw_seconds:06.3f} pair")
            assert f"pair {score.pair.name}: MSE {score.mse:.4f}" in caption
            shown = page.pictures[9 * number + 3 * place :][:3]
            assert [alt.partition(",")[0] for alt, _ in shown] == ["output", "grey", "truth"]
            grey, truth, _ = pairs.read(score.pair)
            for picture, still in ((shown[1][1], np.dstack([grey] * 3)), (shown[2][1], truth)):
                small = Image.fromarray(picture).resize((43, 32), Image.Resampling.BOX)
                assert np.abs(np.asarray(small).astype(int) - still).mean() < 8
            assert np.ptp(shown[0][1].astype(int), axis=2).mean() > 20, "strong colours"


def test_save_pairs_page_without_a_history(
    pairs: Pairs, pairs_result: Evaluation, tmp_path: Path
) -> None:
    path, split = tmp_path / "index.html", split_by_time(pairs.pairs)
    save_pairs_page(pairs_result, pairs, split, vivid_network(), CPU, path, Provenance("v", (), {}))
    assert "These weights have no record of their training." in path.read_text()


def test_save_films_page_tells_scores_and_shows_frames(moving_film: Path, tmp_path: Path) -> None:
    film, options, path = probe(moving_film), FilmOptions(), tmp_path / "index.html"
    _, result = finished(evaluate_film(film, vivid_network(), options, CPU))
    save_films_page([(film, result)], vivid_network(), options, CPU, path, MADE_BY)
    page = Reader(path.read_text())
    rows = {row[0]: row[1:] for row in page.rows}
    network, truth, grey = result.network, result.truth, result.baseline
    assert network.psnr is not None
    assert grey.psnr is not None
    assert rows["<b>vivid</b>"] == [
        f"{network.psnr:.2f}", f"{network.psnr - grey.psnr:+.2f}", f"{network.colorfulness:.1f}",
        f"{network.flicker_ratio:.2f}", f"{network.cdc:.5f}",
    ]  # fmt: skip
    assert rows["truth"] == ["-", "-", f"{truth.colorfulness:.1f}", "1.00", f"{truth.cdc:.5f}"]
    assert page.headings[:2] == [film.path.name, f"Frames of {film.path.name}"]
    captions = [c for c in page.captions if re.match("best|median|worst", c)]
    psnr = sorted(result.series.psnr, reverse=True)
    for caption, value in zip(captions, (psnr[0], psnr[12], psnr[-1]), strict=True):
        assert f"PSNR {value:.2f} dB" in caption
    assert [alt.partition(",")[0] for alt, _ in page.pictures] == ["output", "grey", "truth"] * 3
    assert {picture.shape for _, picture in page.pictures} == {(96, 128, 3)}


def test_save_films_page_draws_frames_and_shots(moving_film: Path, tmp_path: Path) -> None:
    """The second shot is a single frame, which has no flicker."""
    path, short, options = tmp_path / "index.html", tmp_path / "short.mp4", FilmOptions()
    wide = ("-vf", "trim=end_frame=13,setsar=2", *LOSSLESS)
    run_ffmpeg("-i", moving_film, *wide, short)
    film = probe(short)
    _, result = finished(evaluate_film(film, vivid_network(), options, CPU))
    save_films_page([(film, result)], vivid_network(), options, CPU, path, MADE_BY)
    text, series, (first, second) = path.read_text(), result.series, result.shots
    quality = {"output": series.psnr, "naive baseline": series.baseline_psnr}
    assert plot_over_time(series.seconds, quality, label="PSNR, dB", from_zero=False) in text
    color = {"output": series.colorfulness, "truth": series.true_colorfulness}
    assert plot_over_time(series.seconds, color, label="colourfulness") in text
    flicker = {"output": [first.network.flicker, None], "truth": [first.truth.flicker, None]}
    spans = [(0, 0.5), (second.begin_seconds, second.end_seconds)]
    assert plot_shots(spans, flicker, label="flicker") in text
    pictures = Reader(text).pictures
    assert {picture.shape for _, picture in pictures} == {(96, 256, 3)}
    best = int(np.argmax(series.psnr))
    with closing(read_rgb(film, Sampling())) as frames:
        true = next(islice(frames, best, None))
    output, grey, truth = (picture.astype(int) for _, picture in pictures[:3])
    shown = np.asarray(Image.fromarray(true).resize((256, 96), Image.Resampling.BICUBIC))
    assert np.abs(truth - shown).mean() < 6
    assert np.abs(output - shown).mean() > 12
    assert np.ptp(grey, axis=2).mean() < 4


def test_provenance_of_tells_what_was_asked_for(vivid_weights: Path) -> None:
    made = provenance_of(read_model(vivid_weights), "cpu", {"size": None, "start_seconds": 0.0})
    assert "size" not in made.facts
    assert made.facts["start_seconds"] == "0.0"
    assert made.facts["description"] == "strong colours"
    assert made.history == []

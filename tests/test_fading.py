from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from filmcolorizer_cli import (
    colorizing,
    evaluation_page,
    film_evaluation,
    painting,
    pair_evaluation,
    preview,
    rendering,
    report,
    training,
)
from filmcolorizer_cli.areas import PixelArea
from filmcolorizer_cli.configs import FilmConfig
from filmcolorizer_cli.encoding import Encoding
from filmcolorizer_cli.extracting import ExtractOptions, extract
from filmcolorizer_cli.fading import black_of, is_faded, passing_veils
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import read_luma, read_ycbcr
from filmcolorizer_cli.models import find_model
from filmcolorizer_cli.networks import Network, autocast, for_inference
from filmcolorizer_cli.pairs import read_pairs
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.splits import Undivided
from filmcolorizer_cli.survey import glance, survey
from filmcolorizer_cli.sync import constant_offset
from filmcolorizer_cli.video import probe
from filmcolorizer_cli.weights import load
from tests.films import X264, run_ffmpeg
from tests.networks import vivid_network
from tests.values import finished

FADED = "lutyuv=y='90+(val-16)*145/219'"  # black is lifted to a third of white


def test_black_of_is_told_beside_bars() -> None:
    luma = np.linspace(100, 200, 96 * 100).reshape(96, 100).astype(np.uint8)
    assert black_of(luma) == pytest.approx(102, abs=1)
    barred = np.pad(luma, ((0, 0), (14, 14)), constant_values=16)
    barred[:, 13] = barred[:, -14] = 60  # the blur of an edge
    assert black_of(barred) == pytest.approx(101, abs=1)
    title = np.full((96, 128), 16, np.uint8)
    assert black_of(title) == 0
    title[40:56, 30:98] = 235
    title[48, 40:90] = 16
    assert black_of(title) == 16


def test_is_faded_goes_by_most_pictures() -> None:
    assert is_faded([90.0] * 9 + [0.0])
    assert not is_faded([90.0] * 7 + [20.0] * 3)
    assert not is_faded([])


@pytest.mark.parametrize("bars", ["null", "scale=144:108,pad=192:108:24"])
def test_survey_tells_a_faded_film(bars: str, tmp_path: Path) -> None:
    film, grey = tmp_path / "film.mp4", tmp_path / "grey.mp4"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", f"{FADED},{bars}", *X264, film)
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", bars, *X264, grey)
    assert survey(probe(film)).is_faded
    assert survey(probe(film), start_seconds=1.0, duration_seconds=1.0).is_faded
    assert glance(probe(film), 0.0, 6.0).is_faded
    assert not survey(probe(grey)).is_faded
    assert not glance(probe(grey), 0.0, 6.0).is_faded


def test_survey_takes_one_bright_shot_for_no_faded_film(tmp_path: Path) -> None:
    """Not even if only that shot is surveyed."""
    path = tmp_path / "film.mp4"
    shot = f"{FADED}:enable='between(t,2,4)'"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", shot, *X264, path)
    film = probe(path)
    bright = read_luma(film, Sampling(128, 96, start_seconds=2.5, duration_seconds=1.0))
    assert is_faded([black_of(luma) for luma in bright])
    part: dict[str, Any] = {"start_seconds": 2.5, "duration_seconds": 1.0}
    assert not survey(film).is_faded
    assert not survey(film, **part).is_faded
    assert not glance(film, *part.values()).is_faded
    walled = tmp_path / "walled.mp4"
    walls = ",".join(
        f"drawbox=x={x}:w=80:h=ih:color=0x606060:t=fill:enable='between(t,2,4)'" for x in (0, 400)
    )
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", f"{shot},{walls}", *X264, walled)
    whole = PixelArea(0, 0, 480, 360)
    assert survey(probe(walled), **part).area == glance(probe(walled), 2.5, 1.0).area == whole


def test_survey_finds_bars_that_have_faded_with_the_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    run_ffmpeg(
        "-i", SAMPLE_FILM, "-an", "-vf", f"scale=144:108,pad=192:108:24,{FADED}", *X264, path
    )
    found = survey(probe(path))
    assert found.is_faded
    assert found.area == PixelArea(24, 0, 144, 108)


def pan(width: int, count: int, step: int) -> list[np.ndarray]:
    """Return parts (96, 128), 0 to 255, of a smooth wide picture, each further to the right."""
    rng = np.random.default_rng(1)
    wide = cv2.resize(rng.uniform(5, 200, (8, width // 16)), (width, 96)).astype(np.float32)
    return [wide[:, step * n : step * n + 128] for n in range(count)]


def bytes_of(pictures: list[np.ndarray]) -> list[np.ndarray]:
    return [picture.round().clip(0, 255).astype(np.uint8) for picture in pictures]


@pytest.mark.parametrize("way", ["from white", "to white", "into the next pictures"])
def test_passing_veils_are_those_of_a_fade(way: str) -> None:
    """Also if the picture becomes clear only after the last frame given."""
    clear = pan(512, 24, 2)
    last = 0.3 if way == "into the next pictures" else 0.0
    veils = np.linspace(1.0, last, 24)
    veils = veils[::-1] if way == "to white" else veils
    faded = [255 * veil + (1 - veil) * own for veil, own in zip(veils, clear, strict=True)]
    found = passing_veils(bytes_of(faded))
    assert found == pytest.approx(list(veils), abs=0.08)


def test_passing_veils_are_none_where_nothing_fades() -> None:
    assert passing_veils(bytes_of(pan(512, 24, 2))) == [0.0] * 24
    bright = [120 + 0.5 * picture for picture in pan(512, 24, 2)]
    assert passing_veils(bytes_of(bright)) == [0.0] * 24, "all of it is bright"
    # Something dark enters from the right.
    coming = bytes_of(bright)
    for number, picture in enumerate(coming):
        picture[:, 128 - 4 * number :] = 10
    assert passing_veils(coming) == [0.0] * 24
    # Something small and dark leaves.
    leaving = bytes_of(bright)
    for number, picture in enumerate(leaving):
        picture[:, max(112 - 8 * number, 0) : max(124 - 8 * number, 0)] = 10
    assert passing_veils(leaving) == [0.0] * 24


def test_passing_veils_leave_alone_what_is_clear() -> None:
    """A picture that does not change is clear, however bright."""
    bright = 120 + 0.5 * pan(512, 1, 0)[0]
    clear = [bright] * 12
    going = [255 * veil + (1 - veil) * bright for veil in np.linspace(0.1, 1.0, 12)]
    found = passing_veils(bytes_of(clear + going))
    assert found[:12] == pytest.approx([0.0] * 12, abs=0.01)
    assert found[-1] == 1
    flash = passing_veils(bytes_of([bright] * 5 + [np.full_like(bright, 255)] + [bright] * 5))
    assert flash[:5] == flash[6:] == pytest.approx([0.0] * 5, abs=0.01)


@pytest.mark.slow
def test_colours_behind_a_fade_from_white_are_those_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear, faded = tmp_path / "clear.mp4", tmp_path / "faded.mp4"
    small = "scale=320:240"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-t", 1.9, "-vf", small, *X264, clear)
    run_ffmpeg(
        "-i",
        SAMPLE_FILM,
        "-an",
        "-t",
        1.9,
        "-vf",
        f"{small},fade=in:0:36:color=white",
        *X264,
        faded,
    )

    def chroma(path: Path) -> np.ndarray:
        network = load(find_model("default"))
        options, cpu = rendering.ColorizeOptions(Encoding()), torch.device("cpu")
        target = tmp_path / "out.mp4"
        list(colorizing.colorize(probe(path), target, network, options, cpu, overwrite=True))
        last = Sampling(160, 120, start_seconds=1.8, duration_seconds=0.05)
        return next(iter(read_ycbcr(probe(target), last)))[..., 1:].astype(float)

    truth, found = chroma(clear), chroma(faded)
    monkeypatch.setattr(painting, "passing_veils", lambda lumas: [0.0] * len(lumas))
    veiled = chroma(faded)
    assert np.abs(found - truth).mean() < 0.7 * np.abs(veiled - truth).mean()


@pytest.mark.parametrize("is_faded", [True, False])
@pytest.mark.parametrize("module", [colorizing, film_evaluation, preview])
def test_networks_are_told_of_faded_films(
    module: Any,
    is_faded: bool,
    moving_film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, told = tmp_path / "film.mp4", []
    look = FADED if is_faded else "null"
    run_ffmpeg("-i", moving_film, "-vf", look, *X264, path)

    def ready(network: Network, device: torch.device, *, is_faded: bool = False) -> Network:
        told.append(is_faded)
        return for_inference(network, device)

    monkeypatch.setattr(module, "for_inference", ready)
    film, network, cpu = probe(path), vivid_network(), torch.device("cpu")
    options = rendering.ColorizeOptions(Encoding(), recolor=True)
    if module is colorizing:
        list(colorizing.colorize(film, tmp_path / "out.mp4", network, options, cpu))
    elif module is preview:
        list(preview.preview(film, {"vivid": network}, options, cpu, frames=2))
    else:
        list(film_evaluation.evaluate_film(film, network, film_evaluation.FilmOptions(), cpu))
    assert set(told) == {is_faded}


@pytest.mark.parametrize("faded", [True, False])
def test_pairs_of_a_faded_film_are_looked_at_as_it_is(
    faded: bool, moving_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    run_ffmpeg("-i", moving_film, "-vf", FADED if faded else "null", *X264, path)
    film, folder, cpu = probe(path), tmp_path / "pairs", torch.device("cpu")
    options = ExtractOptions(every=12, size=32)
    list(extract(None, film, constant_offset(film, film, 0), folder, options))
    pairs = read_pairs(folder)
    assert pairs.is_faded is faded
    network, model = training.first_network("film", "default", 32, 0, is_faded=pairs.is_faded)
    assert isinstance(network.config, FilmConfig)
    assert network.config.clears_veil is faded
    assert model is not None

    told: list[bool] = []

    def ready(network: Network, device: torch.device, *, is_faded: bool = False) -> Network:
        told.append(is_faded)
        return for_inference(network, device)

    for module in (pair_evaluation, evaluation_page, report):
        monkeypatch.setattr(module, "for_inference", ready)
    _, result = finished(pair_evaluation.evaluate(pairs, Undivided(), network, cpu))
    page, made_by = tmp_path / "page.html", evaluation_page.provenance_of(model, "cpu", {})
    evaluation_page.save_pairs_page(result, pairs, Undivided(), network, cpu, page, made_by)
    report.draw_samples(report.read_samples(pairs, Undivided(), network), pairs, network, cpu)
    assert told == [faded] * 3


@pytest.mark.parametrize("faded", [True, False])
def test_training_sees_faded_pictures_as_films_are_seen(faded: bool) -> None:
    network, _ = training.first_network("film", "default", 32, 0, is_faded=faded)
    veiled = np.linspace(0.35, 0.9, 64 * 64, dtype=np.float32).reshape(1, 1, 64, 64)
    shipped, cpu = load(find_model("default")), torch.device("cpu")
    with autocast(cpu):
        seen, same, other = (
            ready.predict_chroma(torch.from_numpy(veiled))
            for ready in (
                network.eval(),
                for_inference(shipped, cpu, is_faded=faded),
                for_inference(shipped, cpu, is_faded=not faded),
            )
        )
    assert (seen - same).abs().mean() < 0.1 * (seen - other).abs().mean()


@pytest.mark.parametrize("learnt", [True, False])
def test_colorize_tells_where_it_looks_through_a_veil(
    learnt: bool, moving_film: Path, tmp_path: Path
) -> None:
    """Networks that have learnt the look of their film are shown it unchanged."""
    path, notes = tmp_path / "film.mp4", list[str]()
    run_ffmpeg("-i", moving_film, "-vf", FADED, *X264, path)
    network = vivid_network() if learnt else load(find_model("default"))
    options = rendering.ColorizeOptions(Encoding(), recolor=True, duration_seconds=1.0)
    target, cpu = tmp_path / "out.mp4", torch.device("cpu")
    list(colorizing.colorize(probe(path), target, network, options, cpu, note=notes.append))
    said = (
        "the film has hardly any blacks, like a faded print; the network is shown it with blacks"
        " restored"
    )
    assert (said in notes) is not learnt


def test_parts_of_a_faded_film_are_faded_as_it_is(moving_film: Path, tmp_path: Path) -> None:
    """Also if the part contains a black title; the film without the veil is not faded."""
    path = tmp_path / "film.mp4"
    title = "drawbox=c=black:t=fill:enable='between(t,1.5,1.9)'"
    run_ffmpeg("-stream_loop", 3, "-i", moving_film, "-vf", f"{FADED},{title}", *X264, path)
    film = probe(path)
    assert survey(film).is_faded
    assert survey(film, start_seconds=1.2, duration_seconds=1.0).is_faded
    assert glance(film, 0.0, film.duration_seconds).is_faded
    assert not survey(probe(moving_film), start_seconds=0.2, duration_seconds=0.5).is_faded

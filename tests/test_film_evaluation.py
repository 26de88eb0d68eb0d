from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from filmcolorizer_cli import film_evaluation, painting
from filmcolorizer_cli.colorizing import colorize
from filmcolorizer_cli.encoding import Encoding
from filmcolorizer_cli.errors import OptionError, VideoError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.film_evaluation import (
    FilmEvaluation,
    FilmOptions,
    FilmScore,
    evaluate_film,
    mean_score,
    paint_frame,
)
from filmcolorizer_cli.networks import Network
from filmcolorizer_cli.painting import Painter
from filmcolorizer_cli.pictures import picture_to_rgb
from filmcolorizer_cli.rendering import ColorizeOptions
from filmcolorizer_cli.video import probe
from tests.colors import hasler_suesstrunk
from tests.films import (
    LOSSLESS,
    combing,
    decode_planes,
    graded_film,
    make_color_clip,
    photographs,
    run_ffmpeg,
)
from tests.networks import TINY, vivid_network
from tests.values import finished, present

CPU = torch.device("cpu")
SIZE = (128, 96)  # width and height of `moving_film`
STEP = 14 / 224  # chroma difference of a whole number of codes


class FlatNetwork(torch.nn.Module):
    """A network that predicts one colour per frame, each from a given sequence."""

    config = TINY

    def __init__(self, *chroma: float) -> None:
        super().__init__()
        self.chroma = list(chroma)
        self.batches: list[int] = []

    def __deepcopy__(self, memo: object) -> FlatNetwork:
        return self  # one sequence, even where each shot has its own copy

    def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(luma))
        own = torch.tensor([self.chroma.pop(0) for _ in luma])
        return own[:, None, None, None].expand(-1, 2, 16, 16)


def evaluated(
    path: Path, network: Network | FlatNetwork, options: FilmOptions | None = None
) -> FilmEvaluation:
    given: Any = network
    counts, result = finished(evaluate_film(probe(path), given, options or FilmOptions(), CPU))
    assert counts == list(range(1, result.frames + 1))
    return result


def rgb_pictures(path: Path) -> Iterator[np.ndarray]:
    """Yield pictures of a clip like `moving_film` as R'G'B' (H, W, 3) in [0, 1], by BT.601."""
    planes = decode_planes(path, "yuv420p", SIZE)
    for luma, *chroma in zip(*planes, strict=True):
        light = (luma.astype(float) - 16) / 219
        cb, cr = (cv2.resize((c.astype(np.float32) - 128) / 224, SIZE) for c in chroma)
        red, blue = light + 1.402 * cr, light + 1.772 * cb
        green = (light - 0.299 * red - 0.114 * blue) / 0.587
        yield np.stack((red, green, blue), axis=-1).clip(0, 1)


@pytest.mark.parametrize("name", ["moving_film", "mixed_film"])
def test_evaluate_film_compares_what_colorize_paints(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    film: Path = request.getfixturevalue(name)
    target = tmp_path / "colorized.mkv"
    encoding = Encoding(codec="ffv1", coding=probe(film).coding)
    options = ColorizeOptions(encoding, recolor=True)
    list(colorize(probe(film), target, vivid_network(), options, CPU))
    outputs, truths = list(rgb_pictures(target)), list(rgb_pictures(film))
    greys = [
        np.repeat((luma[..., None].astype(float) - 16) / 219, 3, axis=-1).clip(0, 1)
        for luma in decode_planes(film, "yuv420p", SIZE)[0]
    ]
    result = evaluated(film, vivid_network())
    assert bool(result.found.dissolves) == (name == "mixed_film")
    series = result.series
    assert series.seconds == pytest.approx([number / 24 for number in range(len(truths))])
    for name, pictures in (("psnr", outputs), ("baseline_psnr", greys)):
        expected = [
            peak_signal_noise_ratio(truth, picture, data_range=1)
            for truth, picture in zip(truths, pictures, strict=True)
        ]
        assert getattr(series, name) == pytest.approx(expected, abs=1e-2)
        score = result.network if name == "psnr" else result.baseline
        assert score.psnr == pytest.approx(np.mean(expected), abs=1e-2)
        pooled = peak_signal_noise_ratio(np.stack(truths), np.stack(pictures), data_range=1)
        assert score.pooled_psnr == pytest.approx(pooled, abs=1e-2)
    for name, pictures in (("colorfulness", outputs), ("true_colorfulness", truths)):
        expected = [hasler_suesstrunk(picture * 255) for picture in pictures]
        assert getattr(series, name) == pytest.approx(expected, rel=1e-3)
    assert result.network.colorfulness == pytest.approx(np.mean(series.colorfulness))
    assert result.truth.colorfulness == pytest.approx(np.mean(series.true_colorfulness))


def test_evaluate_film_measures_each_shot(moving_film: Path) -> None:
    result = evaluated(moving_film, vivid_network())
    assert [(shot.begin_seconds, shot.end_seconds) for shot in result.shots] == [(0, 0.5), (0.5, 1)]
    assert [shot.frames for shot in result.shots] == [12, 12]
    for way in film_evaluation.WAYS:
        whole, *halves = (getattr(part, way) for part in (result, *result.shots))
        assert whole.colorfulness == pytest.approx(np.mean([h.colorfulness for h in halves]))
        assert whole.cdc == pytest.approx(np.mean([h.cdc for h in halves]))
        assert min(h.flicker for h in halves) <= whole.flicker <= max(h.flicker for h in halves)
    first, second = result.shots
    assert first.network != second.network


def test_evaluate_film_finds_cuts_at_the_rate_of_the_film(
    moving_film: Path, tmp_path: Path
) -> None:
    """At 50 fps the cut is at frame 9, which falls between two frames at 24 fps."""
    fast = tmp_path / "fast.mp4"
    trimmed = ("-vf", "trim=start_frame=3,setpts=PTS-STARTPTS", *LOSSLESS)
    run_ffmpeg("-r", 50, "-i", moving_film, *trimmed, fast)
    result = evaluated(fast, vivid_network())
    assert [shot.frames for shot in result.shots] == [9, 12]
    assert result.frame_rate == 50


def test_evaluate_film_of_a_shot_of_one_frame_has_no_flicker_of_it(
    moving_film: Path, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    run_ffmpeg("-i", moving_film, "-vf", "trim=end_frame=13", *LOSSLESS, film)
    result = evaluated(film, vivid_network())
    assert [shot.frames for shot in result.shots] == [12, 1]
    whole, (first, last) = result.network, result.shots
    assert (last.network.flicker, last.network.flicker_ratio, last.network.cdc) == (None,) * 3
    assert whole.flicker == pytest.approx(first.network.flicker)
    assert whole.cdc == pytest.approx(first.network.cdc)
    assert last.network.psnr == pytest.approx(result.series.psnr[12])


def test_evaluate_film_shows_the_network_the_picture_in_its_shape(
    moving_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = tmp_path / "wide.mp4"
    run_ffmpeg("-i", moving_film, "-vf", "setsar=2", *LOSSLESS, wide)
    network = vivid_network()
    seen: list[tuple[int, ...]] = []
    predict = network.predict_chroma

    def predict_chroma(luma: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(luma.shape[-2:]))
        return predict(luma)

    monkeypatch.setattr(network, "predict_chroma", predict_chroma)
    evaluated(wide, network, FilmOptions(temporal=False))
    assert set(seen) == {TINY.working_size(8 / 3)}


def test_evaluate_film_of_the_true_colours_is_as_the_truth(
    moving_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, *chroma = decode_planes(moving_film, "yuv420p", SIZE)
    truths = iter(np.stack(chroma, axis=1))

    def paint(painter: Painter, lumas: Iterable[Any], *_: Any) -> Iterator[Any]:
        return ((luma, next(truths)) for luma in lumas)

    monkeypatch.setattr(Painter, "paint", paint)
    result = evaluated(moving_film, vivid_network())
    assert result.network == replace(result.truth, psnr=100, pooled_psnr=100)
    assert result.network.flicker_ratio == 1
    assert result.network.flicker is not None
    # Interpolation between pixels leaves a little flicker in a picture that only moves. Without
    # motion compensation, chroma changes by 0.0058 from frame to frame.
    assert 0 < result.network.flicker < 0.002


@pytest.fixture(scope="module")
def medium_film(moving_film: Path, clip_folder: Path) -> Path:
    """Return `moving_film` without darks and lights, and in BT.709, so that any chroma is kept."""
    path = clip_folder / "medium.mp4"
    filters = "eq=contrast=0.6,setparams=colorspace=bt709"
    run_ffmpeg("-i", moving_film, "-vf", filters, *LOSSLESS, path)
    return path


def test_evaluate_film_measures_planted_flicker(medium_film: Path) -> None:
    """Each frame is colorized on its own."""
    alone = FilmOptions(temporal=False)
    result = evaluated(medium_film, FlatNetwork(*[STEP, -STEP] * 12), alone)
    assert result.network.flicker == pytest.approx(2 * STEP, rel=1e-4)
    assert result.truth.flicker is not None
    assert result.network.flicker_ratio == pytest.approx(2 * STEP / result.truth.flicker, rel=1e-4)
    assert result.baseline.flicker == result.baseline.flicker_ratio == 0


def test_evaluate_film_counts_no_change_across_a_cut(
    medium_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "FRAMES_OF_THREAD", painting.BATCH_SIZE)  # as on a GPU
    network = FlatNetwork(*[STEP] * 12, *[-STEP] * 12)
    result = evaluated(medium_film, network, FilmOptions(temporal=False))
    assert result.network.flicker == pytest.approx(0, abs=1e-6)
    assert network.batches == [8, 4, 4, 8], "no batch holds frames of both shots"


def test_evaluate_film_takes_a_part(moving_film: Path) -> None:
    options = FilmOptions(start_seconds=0.25, duration_seconds=0.25, temporal=False)
    part = evaluated(moving_film, vivid_network(), options)
    [shot] = part.shots
    assert (shot.begin_seconds, shot.end_seconds, shot.frames) == (0.25, 0.5, 6)
    assert part.series.seconds == pytest.approx([number / 24 for number in range(6, 12)])
    whole = evaluated(moving_film, vivid_network(), FilmOptions(temporal=False))
    assert part.series.psnr == pytest.approx(whole.series.psnr[6:12], abs=1e-4)


def test_evaluate_film_carries_colours_unless_told_otherwise(medium_film: Path) -> None:
    """Carrying damps a network whose predictions change in every frame."""
    results = [
        evaluated(medium_film, FlatNetwork(*[STEP, -STEP] * 12), FilmOptions(temporal=temporal))
        for temporal in (True, False)
    ]
    carried, alone = (result.network.flicker for result in results)
    assert carried is not None
    assert alone is not None
    assert carried < alone / 10


@pytest.mark.parametrize(("size", "compared"), [(360, (128, 96)), (48, (64, 48)), (50, (66, 50))])
def test_evaluate_film_compares_at_a_bounded_size(
    size: int, compared: tuple[int, int], moving_film: Path
) -> None:
    result = evaluated(moving_film, vivid_network(), FilmOptions(size=size))
    assert (result.width, result.height) == compared


def test_evaluate_film_measures_inside_bars(moving_film: Path, tmp_path: Path) -> None:
    barred = tmp_path / "barred.mp4"
    pad = "pad=128:128:0:16"
    run_ffmpeg("-i", moving_film, "-vf", pad, *LOSSLESS, "-pix_fmt", "yuv420p", barred)
    result, whole = (evaluated(path, vivid_network()) for path in (barred, moving_film))
    assert (result.network, result.truth) == (whole.network, whole.truth)


def test_evaluate_film_refuses_a_film_without_colours(color_film: Path, tmp_path: Path) -> None:
    """Whether it is black and white or tinted."""
    for path in (graded_film(tmp_path / "grey.mp4", "scale=96:72"), color_film):
        with pytest.raises(VideoError) as caught:
            evaluated(path, vivid_network())
        assert str(caught.value) == (
            f"{path} shows no colours to compare with; give a film in colour, or another part of it"
            " with --start and --duration"
        )


def test_evaluate_film_refuses_a_part_too_short_to_tell(moving_film: Path) -> None:
    short = FilmOptions(start_seconds=0.5, duration_seconds=0.1)
    with pytest.raises(VideoError, match="are too short to tell whether they are in colour; give"):
        evaluated(moving_film, vivid_network(), short)


@pytest.mark.parametrize(("width", "height"), [(128, 12), (12, 128)])
def test_evaluate_film_refuses_one_that_is_too_small(
    width: int, height: int, moving_film: Path, tmp_path: Path
) -> None:
    small = graded_film(tmp_path / "small.mp4", f"scale={width}:{height}", source=moving_film)
    words = f"is compared at {width}x{height} pixels, too few to follow motion"
    with pytest.raises(VideoError, match=words):
        evaluated(small, vivid_network())


def test_evaluate_film_refuses_parts_without_a_frame() -> None:
    for options, words in (
        (FilmOptions(start_seconds=7), "ends at 6.00 s, before the start at 7 s"),
        (FilmOptions(duration_seconds=0.01), "a duration of 0.01 s is shorter than a frame"),
    ):
        with pytest.raises(OptionError, match=words):
            evaluated(SAMPLE_FILM, vivid_network(), options)


def test_film_options_heed_no_rate_that_is_none(moving_film: Path) -> None:
    film = probe(moving_film)
    for rate, expected in ((25, 25), (1000, 24)):
        sampling = FilmOptions().sampling(replace(film, frame_rate=Fraction(rate)))
        assert sampling.frame_rate == expected


def test_evaluate_film_of_a_real_clip(shared_data: Path) -> None:
    """The colours of an untrained network flicker more than those of the clip."""
    options = FilmOptions(size=120, duration_seconds=0.5)
    result = evaluated(shared_data / "davis" / "blackswan.mp4", vivid_network(), options)
    assert (result.width, result.height, result.frames) == (214, 120, 12)
    assert result.network.flicker_ratio is not None
    assert result.network.flicker_ratio > 1
    assert 15 < present(result.baseline.psnr) < 30
    assert result.truth.colorfulness == pytest.approx(37, abs=3)


def test_mean_score_is_of_the_films_that_have_the_number() -> None:
    scores = [
        FilmScore(20, 19, 10, 0.02, None, None),
        FilmScore(30, 25, 30, 0.04, 1.5, 0.001),
    ]
    assert astuple(mean_score(scores)) == (25, 22, 20, pytest.approx(0.03), 1.5, 0.001)


def test_paint_frame_gives_a_frame_as_it_was_compared(moving_film: Path) -> None:
    film, network, options = probe(moving_film), vivid_network(), FilmOptions()
    result = evaluated(moving_film, network, options)
    luma, cb, cr = decode_planes(moving_film, "yuv420p", SIZE)
    for number in (0, 9, 12, 23):
        light, chroma, true_chroma = paint_frame(film, result, network, options, CPU, number)
        np.testing.assert_array_equal(light, luma[number])
        np.testing.assert_array_equal(true_chroma, (cb[number], cr[number]))
        pictures = [
            picture_to_rgb(light, planes, film.coding.matrix, SIZE)
            for planes in (chroma, true_chroma)
        ]
        psnr = peak_signal_noise_ratio(pictures[1], pictures[0])
        assert psnr == pytest.approx(result.series.psnr[number], abs=0.5)


def test_paint_frame_alone_is_of_that_frame_alone(moving_film: Path) -> None:
    film, network, alone = probe(moving_film), vivid_network(), FilmOptions(temporal=False)
    result = evaluated(moving_film, network, alone)
    later = FilmOptions(start_seconds=7 / 24, duration_seconds=0.25, temporal=False)
    first = paint_frame(film, evaluated(moving_film, network, later), network, later, CPU, 0)
    for planes, expected in zip(
        paint_frame(film, result, network, alone, CPU, 7), first, strict=True
    ):
        np.testing.assert_array_equal(planes, expected)


def test_evaluate_film_compares_whole_pictures_of_fields(tmp_path: Path) -> None:
    fields, film = tmp_path / "fields.mp4", tmp_path / "film.mp4"
    photograph = photographs()[0][:96, :128]
    make_color_clip(fields, [np.roll(photograph, 3 * n, axis=1) for n in range(48)])
    weave = "tinterlace=interleave_top,setfield=prog"
    run_ffmpeg("-r", 50, "-i", fields, "-vf", weave, *LOSSLESS, "-pix_fmt", "yuv420p", film)
    result = evaluated(film, vivid_network())
    assert result.found.cadence.field_order == "top"
    whole, _, _ = paint_frame(probe(film), result, vivid_network(), FilmOptions(), CPU, 12)
    woven = decode_planes(film, "yuv420p", SIZE)[0][12]
    assert combing([whole]) < 0.6 * combing([woven])

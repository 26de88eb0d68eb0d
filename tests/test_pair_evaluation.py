from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from filmcolorizer_cli import pair_evaluation
from filmcolorizer_cli.color import half_size, rgb_to_ycbcr
from filmcolorizer_cli.configs import ClassicConfig
from filmcolorizer_cli.errors import PairsError, WeightsError
from filmcolorizer_cli.networks import Network, build
from filmcolorizer_cli.pair_evaluation import Evaluation, evaluate, predict_rgb, split_for
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.splits import (
    PARTS,
    InterleavedSplit,
    Split,
    TimeSplit,
    Undivided,
    split_by_time,
)
from tests.colors import hasler_suesstrunk
from tests.networks import TINY, EchoNetwork, vivid_network
from tests.values import finished

CPU = torch.device("cpu")
NUMBERS = {"train": range(1, 9), "validation": range(9, 17), "test": range(17, 25)}


def evaluated(
    pairs: Pairs, network: Network, split: Split | None = None, **more: Any
) -> Evaluation:
    parts = split or split_by_time(pairs.pairs)
    counts, result = finished(evaluate(pairs, parts, network, CPU, **more))
    assert counts == sorted(counts)
    assert counts[-1] == len(pairs.pairs)
    return result


def stills(pairs: Pairs, numbers: range) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read grey and colour stills with Pillow, both (H, W, 3)."""
    both = []
    for number in numbers:
        with (
            Image.open(pairs.folder / "bw" / f"{number:06d}.png") as grey,
            Image.open(pairs.folder / "color" / f"{number:06d}.png") as color,
        ):
            both.append((np.asarray(grey.convert("RGB")), np.asarray(color)))
    return both


def constant(network: Network, *bias: float) -> Network:
    """Make a network predict the same everywhere, in all pictures."""
    nn.init.zeros_(network.head.weight)
    network.head.bias = nn.Parameter(torch.tensor(bias))
    return network.eval()


def test_evaluate_baseline_is_the_grey_frame_itself(pairs: Pairs) -> None:
    result = evaluated(pairs, vivid_network())
    for part in PARTS:
        both = stills(pairs, NUMBERS[part])
        score = result.baseline[part]
        errors = [np.mean((grey / 127.5 - color / 127.5) ** 2) for grey, color in both]
        assert score.pairs == 8
        assert score.mse == pytest.approx(np.mean(errors), rel=1e-4)
        assert score.mse > 0.01
        assert score.mse_ratio == 1
        psnrs = [peak_signal_noise_ratio(color, grey) for grey, color in both]
        assert score.psnr == pytest.approx(np.mean(psnrs), abs=1e-3)
        assert score.colorfulness == 0
        truths = [hasler_suesstrunk(color) for _, color in both]
        assert score.true_colorfulness == pytest.approx(np.mean(truths), rel=1e-4)
        assert result.network[part].true_colorfulness == score.true_colorfulness


def test_evaluate_tells_what_was_measured_of_each_pair(pairs: Pairs) -> None:
    result = evaluated(pairs, vivid_network())
    assert [score.pair for score in result.pairs] == list(pairs.pairs)
    assert [score.part for score in result.pairs] == [part for part in PARTS for _ in range(8)]
    for part in PARTS:
        its = [score for score in result.pairs if score.part == part]
        score = result.network[part]
        for name in ("mse", "psnr", "colorfulness", "true_colorfulness"):
            mean = np.mean([getattr(pair, name) for pair in its])
            assert mean == pytest.approx(getattr(score, name), rel=1e-5)
        errors = [
            np.mean((grey / 127.5 - color / 127.5) ** 2)
            for grey, color in stills(pairs, NUMBERS[part])
        ]
        assert [pair.grey_mse for pair in its] == pytest.approx(errors, rel=1e-4)


def test_evaluate_counts_only_where_colours_are_known(own_pairs: Pairs) -> None:
    """Here for a coloured film that is cropped to its upper left."""
    for pair in own_pairs.pairs:
        path = own_pairs.folder / "color" / f"{pair.name}.png"
        with Image.open(path) as still:
            cropped = Image.new("RGBA", still.size)
            cropped.paste(still.convert("RGBA").crop((0, 0, 20, 16)))
        cropped.save(path)
    found = evaluated(own_pairs, build(TINY).eval())
    for score in found.pairs:
        grey, color, _ = own_pairs.read(score.pair)
        error = (grey[:16, :20, None].astype(float) - color[:16, :20]) / 255
        assert score.grey_mse == pytest.approx(4 * np.square(error).mean(), rel=1e-4)
        assert score.mse == pytest.approx(score.grey_mse, rel=1e-3)


def test_evaluate_of_an_untrained_film_network_is_the_baseline(pairs: Pairs) -> None:
    torch.manual_seed(0)
    result = evaluated(pairs, build(TINY))
    for part in PARTS:
        network, baseline = result.network[part], result.baseline[part]
        assert network.mse_ratio == pytest.approx(1, rel=1e-5)
        assert network.mse == pytest.approx(baseline.mse, rel=1e-5)
        assert network.psnr == pytest.approx(baseline.psnr, abs=1e-4)
        assert network.colorfulness == pytest.approx(0, abs=1e-3)


CB, CR = 1 / 32, -3 / 64  # exact in bfloat16, and within the gamut of all `greys`
# ITU-R BT.709-6 items 3.2 and 3.3, solved for R', G' and B'.
RED, BLUE = 1.5748 * CR, 1.8556 * CB
SHIFT = np.array([RED, -(0.2126 * RED + 0.0722 * BLUE) / 0.7152, BLUE])


@pytest.fixture
def greys(own_pairs: Pairs) -> Pairs:
    """Replace stills: noise of medium greys, and noise of colours on their luma."""
    generator = np.random.default_rng(0)
    for path in (own_pairs.folder / "bw").iterdir():
        grey = generator.integers(60, 190, (32, 43), np.uint8)
        color = grey[..., None] + 255 * SHIFT * generator.uniform(-2, 2, (32, 43, 1))
        Image.fromarray(grey).save(path)
        Image.fromarray(color.round().astype(np.uint8)).save(own_pairs.folder / "color" / path.name)
    return own_pairs


@pytest.mark.usefixtures("all_lit")
def test_evaluate_puts_the_colour_of_film_on_the_stills_own_luma(greys: Pairs) -> None:
    result = evaluated(greys, constant(build(TINY), CB, CR))
    for part in PARTS:
        outputs = [
            (grey / 255 + SHIFT, grey / 255, color / 255)
            for grey, color in stills(greys, NUMBERS[part])
        ]
        mses = [4 * np.mean((output - truth) ** 2) for output, _, truth in outputs]
        unpainted = [4 * np.mean((grey - truth) ** 2) for _, grey, truth in outputs]
        colorful = [hasler_suesstrunk(output * 255) for output, _, _ in outputs]
        score = result.network[part]
        assert score.mse == pytest.approx(np.mean(mses), rel=1e-3)
        assert score.mse_ratio == pytest.approx(np.mean(mses) / np.mean(unpainted), rel=1e-3)
        assert score.colorfulness == pytest.approx(np.mean(colorful), rel=1e-3)


def shrunk(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize a picture (H, W, 3) with Pillow, without rounding its numbers."""
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in picture.transpose(2, 0, 1)]
    small = [plane.resize((width, height), Image.Resampling.BILINEAR) for plane in planes]
    return np.stack([np.asarray(plane) for plane in small], axis=-1)


@pytest.mark.usefixtures("all_lit")
@pytest.mark.parametrize(("size", "shape"), [(64, (64, 64)), (24, (32, 24)), (18, (24, 18))])
def test_evaluate_compares_at_another_size(size: int, shape: tuple[int, int], greys: Pairs) -> None:
    result = evaluated(greys, constant(build(TINY), CB, CR), size=size)
    for part in PARTS:
        both = [
            (shrunk(grey / 255, *shape), shrunk(color / 255, *shape))
            for grey, color in stills(greys, NUMBERS[part])
        ]
        network, baseline = result.network[part], result.baseline[part]
        assert (network.pairs, baseline.pairs) == (8, 8)
        mses = [4 * np.mean((grey + SHIFT - truth) ** 2) for grey, truth in both]
        assert network.mse == pytest.approx(np.mean(mses), rel=1e-3)
        greys_alone = [4 * np.mean((grey - truth) ** 2) for grey, truth in both]
        assert baseline.mse == pytest.approx(np.mean(greys_alone), rel=1e-3)
        psnrs = [peak_signal_noise_ratio(truth, grey, data_range=1) for grey, truth in both]
        assert baseline.psnr == pytest.approx(np.mean(psnrs), abs=1e-2)
        truths = [hasler_suesstrunk(truth * 255) for _, truth in both]
        assert network.true_colorfulness == pytest.approx(np.mean(truths), rel=1e-3)


def test_evaluate_at_the_size_of_the_stills_is_as_without(pairs: Pairs) -> None:
    network = vivid_network()
    as_they_are = evaluated(pairs, network)
    assert evaluated(pairs, network, size=32) == as_they_are
    assert evaluated(pairs, network, size=None) == as_they_are
    assert evaluated(pairs, network, size=16) != as_they_are


def test_evaluate_shows_the_network_the_whole_still_at_any_size(pairs: Pairs) -> None:
    network = vivid_network()
    seen: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    evaluated(pairs, network, size=16)
    assert seen == [(8, 1, 32, 43)] * 3


@pytest.mark.parametrize(("pixels", "batch"), [(4 * 32 * 43, 4), (100, 1)])
def test_evaluate_looks_at_few_large_stills_at_once(
    pixels: int, batch: int, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever size they are compared; a single one may exceed the limit."""
    network = vivid_network()
    seen: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    expected = evaluated(pairs, network, size=16)
    seen.clear()
    monkeypatch.setattr(pair_evaluation, "BATCH_PIXELS", pixels)
    result = evaluated(pairs, network, size=16)
    assert seen == [batch] * (24 // batch)
    assert result.network["test"].mse == pytest.approx(expected.network["test"].mse, rel=1e-4)


def paint(pairs: Pairs, color: np.ndarray, *, width: int = 43) -> None:
    """Make all grey stills one grey, and colour stills one colour, up to column `width`."""
    for pair in pairs.pairs:
        Image.new("L", (43, 32), 120).save(pairs.folder / "bw" / f"{pair.name}.png")
        still = Image.new("RGBA", (43, 32))
        still.paste((*color.round().astype(int).tolist(), 255), (0, 0, width, 32))
        still.save(pairs.folder / "color" / f"{pair.name}.png")


@pytest.mark.usefixtures("all_lit")
def test_evaluate_puts_colours_on_luma_by_the_matrix_of_the_film(own_pairs: Pairs) -> None:
    """The network predicts in BT.709; in BT.601, its colours have another luma."""
    color = 120 + 255 * (SHIFT - SHIFT @ (0.299, 0.587, 0.114))
    paint(own_pairs, color)
    result = evaluated(replace(own_pairs, matrix="bt601"), constant(build(TINY), CB, CR))
    assert result.network["test"].mse == pytest.approx(0, abs=5e-5)
    assert result.baseline["test"].mse > 0.005


@pytest.mark.usefixtures("all_lit")
@pytest.mark.parametrize("size", [None, 18, 50])
def test_evaluate_mixes_no_colours_with_what_is_unknown(size: int | None, own_pairs: Pairs) -> None:
    """When stills are resized, and their colours are known only in part."""
    paint(own_pairs, 120 + 255 * SHIFT, width=20)
    result = evaluated(own_pairs, constant(build(TINY), CB, CR), size=size)
    assert result.network["test"].mse == pytest.approx(0, abs=5e-5)
    assert result.baseline["test"].mse > 0.005


def test_predict_rgb_puts_colours_on_the_edges_of_the_still() -> None:
    """The network's input has a quarter of the still's size, and its output an eighth."""
    luma = torch.full((1, 1, 128, 192), 0.4)
    luma[..., 98:] = 0.7
    network: Any = EchoNetwork(0.2)
    rgb = predict_rgb(network, luma, 1.5, CPU)
    chroma = rgb_to_ycbcr(rgb)[0, 1:, 64]  # (2, 192)
    expected = torch.tensor([0.2, -0.2])[:, None] * (luma[0, 0, 64] - 0.5)
    # Chroma steps by 0.06; enlarged without regard to the edge, it would be off by half of that.
    assert (chroma - expected)[:, :97].abs().max() < 0.01
    assert (chroma - expected)[:, 99:].abs().max() < 0.01
    torch.testing.assert_close(rgb_to_ycbcr(rgb)[:, :1], luma)


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (48, 64), (64, 48)])
def test_predict_rgb_enlarges_no_stills_that_are_smaller_than_the_network_asks_for(
    shape: tuple[int, int],
) -> None:
    seen: list[tuple[int, ...]] = []

    def predict_chroma(luma: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(luma.shape[-2:]))
        return half_size(luma.expand(-1, 2, -1, -1) * 0)

    network: Any = EchoNetwork(0.0)
    network.predict_chroma = predict_chroma
    predict_rgb(network, torch.rand(1, 1, *shape), shape[1] / shape[0], CPU)
    assert seen == [shape if min(shape) < TINY.size else TINY.working_size(shape[1] / shape[0])]
    seen.clear()
    predict_rgb(network, torch.rand(1, 1, 64, 64), 16 / 9, CPU)
    assert seen == [TINY.working_size(16 / 9)], "squares are drawn out again"


@pytest.mark.parametrize("matrix", ["bt709", "bt601"])
def test_predict_rgb_leaves_luma_as_it_is(matrix: str) -> None:
    network: Any = EchoNetwork(0.2)
    luma = torch.linspace(0.2, 0.8, 48 * 64).reshape(1, 1, 48, 64)
    rgb = predict_rgb(network, luma, 4 / 3, CPU, matrix)
    assert (rgb[:, 0] - rgb[:, 2]).abs().max() > 0.1
    torch.testing.assert_close(rgb_to_ycbcr(rgb, matrix)[:, :1], luma)


@pytest.mark.parametrize("matrix", ["bt709", "bt601", "bt2020"])
@pytest.mark.parametrize("color", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_predict_rgb_reaches_the_purest_colours_of_any_matrix(
    color: tuple[float, float, float], matrix: str
) -> None:
    truth = torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 48, 64)
    network: Any = EchoNetwork(0.0)  # its prediction is replaced below
    network.predict_chroma = lambda luma: half_size(
        rgb_to_ycbcr(truth[..., : luma.shape[-2], : luma.shape[-1]])[:, 1:]
    )
    luma = rgb_to_ycbcr(truth, matrix)[:, :1]
    torch.testing.assert_close(
        predict_rgb(network, luma, 4 / 3, CPU, matrix), truth, atol=1e-4, rtol=0
    )


def test_evaluate_does_not_count_how_dark_the_coloured_film_is(own_pairs: Pairs) -> None:
    network = vivid_network()
    scores = []
    for darker_by in (0, 50):
        for pair in own_pairs.pairs:
            grey, color, _ = own_pairs.read(pair)
            if not darker_by:  # within the gamut, so that no luma is lost
                grey, color = (60 + (still / 2).astype(np.uint8) for still in (grey, color))
            for side, still in (("bw", grey), ("color", color - np.uint8(darker_by))):
                Image.fromarray(still).save(own_pairs.folder / side / f"{pair.name}.png")
        scores.append(evaluated(own_pairs, network))
    for part in PARTS:
        for way in ("baseline", "network"):
            as_it_was, darker = (getattr(score, way)[part].mse for score in scores)
            assert darker == pytest.approx(
                as_it_was, rel=0.03
            )  # if they counted, 50 codes would make it 20 times as much


def test_evaluate_takes_classic_at_its_word(pairs: Pairs) -> None:
    """It predicts R'G'B', luma included, as in 2020."""
    result = evaluated(pairs, constant(build(ClassicConfig(size=32)), 0.5, 0.0, -0.25))
    flat = np.array([0.5, 0.0, -0.25])
    for part in PARTS:
        errors = [
            np.mean((flat - (color / 127.5 - 1)) ** 2) for _, color in stills(pairs, NUMBERS[part])
        ]
        assert result.network[part].mse == pytest.approx(np.mean(errors), rel=1e-4)


def test_evaluate_compares_classic_with_the_stills_as_they_are(own_pairs: Pairs) -> None:
    """Classic learns the brightness of the coloured copy as well."""
    for pair in own_pairs.pairs:
        for side in ("bw", "color"):
            still = (
                np.full((32, 43), 90, np.uint8)
                if side == "bw"
                else np.full((32, 43, 3), 180, np.uint8)
            )
            Image.fromarray(still).save(own_pairs.folder / side / f"{pair.name}.png")
    result = evaluated(own_pairs, constant(build(ClassicConfig(size=32)), *[180 / 127.5 - 1] * 3))
    assert result.network["test"].mse == pytest.approx(0, abs=1e-4)
    assert result.baseline["test"].mse == pytest.approx((90 / 127.5) ** 2, rel=1e-3)


def test_evaluate_uses_the_split_that_it_is_given(pairs: Pairs) -> None:
    result = evaluated(pairs, vivid_network(), TimeSplit(1.0, 5.0))
    assert [result.network[part].pairs for part in PARTS] == [4, 16, 4]
    errors = [np.mean((g / 127.5 - c / 127.5) ** 2) for g, c in stills(pairs, range(1, 5))]
    assert result.baseline["train"].mse == pytest.approx(np.mean(errors), rel=1e-4)


def test_evaluate_uses_an_interleaved_split(pairs: Pairs) -> None:
    result = evaluated(pairs, vivid_network(), InterleavedSplit(6))
    assert [result.network[part].pairs for part in PARTS] == [12, 6, 6]
    errors = [np.mean((g / 127.5 - c / 127.5) ** 2) for g, c in stills(pairs, range(4, 25, 4))]
    assert result.baseline["test"].mse == pytest.approx(np.mean(errors), rel=1e-4)


def test_evaluate_of_a_grey_film_has_no_ratio(own_pairs: Pairs) -> None:
    for path in (own_pairs.folder / "bw").iterdir():
        with Image.open(path) as grey:
            grey.convert("RGB").save(own_pairs.folder / "color" / path.name)
    result = evaluated(own_pairs, vivid_network())
    assert result.baseline["test"].mse == 0
    assert result.network["test"].mse_ratio is None
    assert result.network["test"].mse > 0


def test_evaluate_refuses_an_empty_part(pairs: Pairs) -> None:
    with pytest.raises(PairsError, match=r"the validation part of the pairs in .* is empty"):
        evaluated(pairs, vivid_network(), TimeSplit(3.0, 3.0))


def test_evaluate_tells_of_a_damaged_still(own_pairs: Pairs) -> None:
    path: Path = own_pairs.folder / "bw" / "000020.png"
    path.write_bytes(b"")
    with pytest.raises(PairsError, match=r"bw/000020\.png cannot be read as a picture"):
        evaluated(own_pairs, vivid_network())


def test_split_for_is_what_the_model_was_trained_with(pairs: Pairs) -> None:
    split = {"validation_from_seconds": 1.25, "test_from_seconds": 4.5}
    assert split_for(pairs, {"split": split, "film": pairs.film}) == TimeSplit(1.25, 4.5)
    split = {"every": 6}
    assert split_for(pairs, {"split": split, "film": pairs.film}) == InterleavedSplit(6)


def test_split_for_more_pairs_than_all_that_were_painted_is_by_time(pairs: Pairs) -> None:
    about = {"split": {"undivided": True}, "film": pairs.film}
    assert split_for(pairs, about | {"pairs": 24}) == Undivided()
    assert split_for(pairs, about | {"pairs": 8}) == TimeSplit(2.0, 4.0)


def test_split_for_refuses_other_moments_than_those_that_were_split(pairs: Pairs) -> None:
    with pytest.raises(PairsError) as caught:
        split_for(pairs, {"split": {"every": 12}, "film": pairs.film})
    assert str(caught.value) == (
        "the network was trained on every other still of one in 12 frames, and"
        f" {pairs.folder} holds one in 6; extract pairs with --every 12"
    )


def test_split_for_a_model_of_another_film_is_by_time(pairs: Pairs) -> None:
    split = {"validation_from_seconds": 1.25, "test_from_seconds": 4.5}
    another = pairs.film | {"duration_seconds": 5400.0}
    for described in (split, {"every": 12}):
        assert split_for(pairs, {"split": described, "film": another}) == TimeSplit(2.0, 4.0)


@pytest.mark.parametrize(
    "split",
    [
        {"x": 1},
        "soon",
        "interleaved",
        {"validation_from_seconds": "a"},
        {"every": 0},
        None,
    ],
)
def test_split_for_refuses_what_is_no_split(split: object, pairs: Pairs) -> None:
    with pytest.raises(WeightsError) as caught:
        split_for(pairs, {"split": split, "film": pairs.film})
    assert str(caught.value) == (
        f"the split stored in the weights is damaged ({split}); give others with --model"
    )


@pytest.mark.parametrize("damage", [{"film": "a"}, {"film": None}, {"pairs": "8"}])
def test_split_for_refuses_what_is_no_film(damage: dict[str, Any], pairs: Pairs) -> None:
    about = {"split": {"split": "none"}, "film": pairs.film, "pairs": 8, **damage}
    with pytest.raises(
        WeightsError, match=r"the record of the training film in the weights is damaged"
    ):
        split_for(pairs, about)


def test_split_for_a_model_without_a_split_is_by_time(pairs: Pairs) -> None:
    assert split_for(pairs, {"description": "any film"}) == TimeSplit(2.0, 4.0)

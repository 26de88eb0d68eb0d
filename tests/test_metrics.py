from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from filmcolorizer_cli.metrics import (
    MAX_PSNR,
    ColorDistributionConsistency,
    colorfulness,
    flicker,
    histograms,
    jensen_shannon_divergence,
    mse,
    psnr,
    psnr_of_error,
)
from tests.colors import hasler_suesstrunk


def pictures(*rgb: tuple[float, float, float]) -> torch.Tensor:
    """Return a batch of flat pictures (B, 3, 4, 4)."""
    return torch.tensor(rgb)[:, :, None, None].expand(-1, 3, 4, 4)


def photograph(name: str) -> np.ndarray:
    return np.asarray(getattr(data, name)())[:200, :200]


def as_batch(*photographs: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2).float() / 255


def noisy(photo: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, photo.shape)
    return (photo + noise).round().clip(0, 255).astype(np.uint8)


def test_mse_by_hand() -> None:
    output = pictures((0.5, 0.5, 0.5), (1, 0, 0), (0, 0, 0))
    truth = pictures((0.5, 0.5, 0.5), (0, 0, 0), (1, 1, 1))
    # On [-1, 1]: no difference; 2 in one channel of three; 2 in all.
    torch.testing.assert_close(mse(output, truth), torch.tensor([0, 4 / 3, 4]))


def test_mse_is_four_times_that_on_0_to_1() -> None:
    photo = photograph("astronaut")
    other = noisy(photo, 20)
    expected = 4 * np.mean((photo / 255 - other / 255) ** 2)
    assert mse(as_batch(other), as_batch(photo)).tolist() == [pytest.approx(expected, rel=1e-5)]


def test_mse_and_psnr_are_of_each_picture() -> None:
    photos = [photograph("astronaut"), photograph("coffee")]
    outputs = [noisy(photos[0], 5), noisy(photos[1], 40)]
    for metric in (mse, psnr):
        together = metric(as_batch(*outputs), as_batch(*photos))
        apart = [metric(as_batch(a), as_batch(b)) for a, b in zip(outputs, photos, strict=True)]
        torch.testing.assert_close(together, torch.cat(apart))
        assert together[0] != together[1]


@pytest.mark.parametrize("deviation", [1, 10, 60])
def test_psnr_is_scikit_images(deviation: float) -> None:
    photo = photograph("chelsea")
    other = noisy(photo, deviation)
    expected = peak_signal_noise_ratio(photo, other)
    assert psnr(as_batch(other), as_batch(photo)).item() == pytest.approx(expected, abs=1e-3)


def test_psnr_by_hand() -> None:
    # Apart by a tenth of the range everywhere: 20 dB.
    assert psnr(pictures((0.5, 0.6, 0.7)), pictures((0.6, 0.7, 0.8))).item() == pytest.approx(20)


def test_psnr_of_the_same_picture_is_the_highest() -> None:
    photo = as_batch(photograph("coffee"))
    assert psnr(photo, photo).item() == MAX_PSNR == 100


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_colorfulness_is_hasler_and_suesstrunks(name: str) -> None:
    photo = photograph(name)
    expected = hasler_suesstrunk(photo)
    assert expected > 5
    assert colorfulness(as_batch(photo)).item() == pytest.approx(expected, rel=1e-4)


def test_colorfulness_by_hand() -> None:
    # One opponent axis only: red against green by 100, yellow against blue by -150.
    flat = pictures((100 / 255, 0, 200 / 255))
    assert colorfulness(flat).item() == pytest.approx(0.3 * math.hypot(100, -150), rel=1e-5)


def test_colorfulness_has_signed_axes() -> None:
    """Half red, half green: the deviation is that of +255 and -255, not of 255 throughout."""
    halves = pictures((1.0, 0, 0)).clone()
    halves[..., 2:] = pictures((0, 1, 0))[..., 2:]
    # rg is +-255, mean 0, deviation 255; yb is 127.5 throughout.
    assert colorfulness(halves).item() == pytest.approx(255 + 0.3 * 127.5, rel=1e-5)


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_colorfulness_adds_the_floor_under_both_roots(name: str) -> None:
    photo = photograph(name)
    red, green, blue = (photo[..., channel].astype(float) for channel in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    sigma = math.sqrt(np.var(rg) + np.var(yb) + 900)
    mu = math.sqrt(np.mean(rg) ** 2 + np.mean(yb) ** 2 + 900)
    found = colorfulness(as_batch(photo), floor=900.0).item()
    assert found == pytest.approx(sigma + 0.3 * mu, rel=1e-4)
    assert found > hasler_suesstrunk(photo) + 3


def test_colorfulness_of_grey_has_a_gradient_above_a_floor() -> None:
    grey = pictures((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).clone().requires_grad_()
    found = colorfulness(grey, floor=0.01)
    assert found.tolist() == pytest.approx([0.1 + 0.3 * 0.1] * 2, rel=1e-5)
    [gradient] = torch.autograd.grad(found.sum(), grey)
    assert gradient.isfinite().all()
    [without] = torch.autograd.grad(colorfulness(grey).sum(), grey)
    assert without.isnan().any(), "what the floor is there for"


def test_colorfulness_of_nearly_grey_grows_with_its_colour() -> None:
    """Its gradient matches finite differences of the formula in double precision."""
    colors = np.array([[0.5, 0.5, 0.5], [0.501, 0.5, 0.499]])

    def by_hand(rgb: np.ndarray) -> float:
        rg, yb = 255 * (rgb[:, 0] - rgb[:, 1]), 255 * (rgb[:, :2].mean(axis=1) - rgb[:, 2])
        return float(
            math.sqrt(np.var(rg) + np.var(yb) + 0.01)
            + 0.3 * math.sqrt(np.mean(rg) ** 2 + np.mean(yb) ** 2 + 0.01)
        )

    expected = np.zeros_like(colors)
    for place in np.ndindex(colors.shape):
        step = np.zeros_like(colors)
        step[place] = 1e-6
        expected[place] = (by_hand(colors + step) - by_hand(colors - step)) / 2e-6
    rgb = torch.from_numpy(colors.T[None, :, None]).requires_grad_()  # (1, 3, 1, 2)
    [gradient] = torch.autograd.grad(colorfulness(rgb, floor=0.01).sum(), rgb)
    np.testing.assert_allclose(gradient[0, :, 0].T, expected, rtol=1e-4)
    assert np.abs(expected).min() > 1


def test_colorfulness_of_grey_is_none() -> None:
    grey = as_batch(photograph("coffee")).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    assert colorfulness(grey).item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("metric", [mse, psnr])
def test_metrics_of_two_pictures_count_what_is_known(metric: Callable[..., torch.Tensor]) -> None:
    """They equal those of the known part alone, whatever lies beyond it."""
    photo, other = (as_batch(photograph(name)) for name in ("chelsea", "chelsea"))
    other = other * 0.8
    known = torch.zeros_like(photo[:, :1])
    known[..., 20:80, 30:200] = 1
    part = (..., slice(20, 80), slice(30, 200))
    expected = metric(other[part], photo[part])
    torch.testing.assert_close(metric(other, photo, known), expected)
    torch.testing.assert_close(metric(other, photo, 0 * known + 1), metric(other, photo))
    assert metric(other, photo).item() != pytest.approx(expected.item(), rel=1e-2)


def test_colorfulness_counts_what_is_known() -> None:
    photo = as_batch(photograph("chelsea"))
    known = torch.zeros_like(photo[:, :1])
    known[..., 20:80, 30:200] = 1
    expected = colorfulness(photo[..., 20:80, 30:200])
    torch.testing.assert_close(colorfulness(photo, known), expected, rtol=1e-4, atol=0)
    assert colorfulness(photo).item() != pytest.approx(expected.item(), rel=1e-2)


def test_psnr_of_error_is_that_of_pictures() -> None:
    photo = as_batch(photograph("chelsea"))
    other = as_batch(noisy(photograph("chelsea"), 20))
    error = (photo - other).square().mean()
    assert psnr_of_error(error).item() == pytest.approx(psnr(other, photo).item(), abs=1e-4)


def test_flicker_by_hand() -> None:
    """The mean over both planes, and over the reliable half of the pixels."""
    chroma = torch.tensor([[[[0.1, 0.5]], [[-0.1, 0.5]]], [[[0.2, 0.0]], [[0.2, 0.0]]]])
    carried = torch.tensor([[[[0.3, -0.5]], [[0.0, -0.5]]], [[[0.2, 0.0]], [[0.2, 0.0]]]])
    reliable = torch.tensor([[[[True, False]]], [[[True, True]]]])
    torch.testing.assert_close(flicker(chroma, carried, reliable), torch.tensor([0.15, 0.0]))


def test_flicker_is_none_where_nothing_is_reliable() -> None:
    chroma = torch.full((1, 2, 4, 4), 0.25)
    nowhere = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    assert flicker(chroma, -chroma, nowhere).tolist() == [0]


def test_histograms_are_numpys() -> None:
    photos = [photograph("astronaut"), photograph("coffee")]
    expected = [
        [np.bincount(photo[..., channel].ravel(), minlength=256) / 40000 for channel in range(3)]
        for photo in photos
    ]
    found = histograms(as_batch(*photos))
    assert found.shape == (2, 3, 256)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("off", [-0.4, 0.4])
def test_histograms_are_of_the_nearest_codes(off: float) -> None:
    photo = as_batch(photograph("astronaut"))
    codes = (photo * 255).clamp(1, 254)
    assert torch.equal(histograms((codes + off) / 255), histograms(codes / 255))


def test_jensen_shannon_divergence_is_scipys_distance_squared() -> None:
    p, q = histograms(as_batch(photograph("astronaut"), photograph("coffee")))
    expected = [jensenshannon(p[channel], q[channel]) ** 2 for channel in range(3)]
    np.testing.assert_allclose(jensen_shannon_divergence(p, q), expected, rtol=1e-9)


def test_jensen_shannon_divergence_of_what_never_meets_is_ln_2() -> None:
    p, q = torch.eye(4, dtype=torch.float64)[:2]
    assert jensen_shannon_divergence(p, q).item() == pytest.approx(math.log(2))
    assert jensen_shannon_divergence(p, p).item() == 0


def test_color_distribution_consistency_is_the_mean_over_steps_and_pairs() -> None:
    photo = photograph("coffee")
    shares = histograms(as_batch(*(noisy(photo, deviation) for deviation in (0, 9, 2, 20, 5, 40))))
    means = []
    for step in (1, 2, 4):
        pairs = [(shares[i], shares[i + step]) for i in range(6 - step)]
        divergences = [jensenshannon(p[c], q[c]) ** 2 for p, q in pairs for c in range(3)]
        means.append(np.mean(divergences))
    consistency = ColorDistributionConsistency()
    for share in shares:
        consistency.add(share)
    assert consistency.value() == pytest.approx(np.mean(means), rel=1e-9)


def test_color_distribution_consistency_needs_five_frames() -> None:
    [share] = histograms(as_batch(photograph("coffee")))
    consistency = ColorDistributionConsistency()
    for _ in range(4):
        consistency.add(share)
    assert consistency.value() is None
    consistency.add(share)
    assert consistency.value() == 0

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from filmcolorizer_cli.losses import COLORFULNESS_FLOOR, GOOD_LOSS, classic_loss, film_loss
from filmcolorizer_cli.networks import FilmNetwork, Network
from tests.colors import NEUTRAL, Color, chroma_by_hand, flat
from tests.networks import TINY, classic_network_of, film_network_of, fresh
from tests.trainings import batch_of

COLORFULNESS_WEIGHT = 0.03  # the weight of colourfulness in `film_loss`


def error_by_hand(truth: Color, output: Color = NEUTRAL) -> float:
    """Return the weighted error of a pixel of this colour, before the logarithm."""
    true, said = chroma_by_hand(truth), chroma_by_hand(output)
    misses = [abs(a - b) for a, b in zip(true, said, strict=True)]
    errors = [miss * miss / 0.1 if miss < 0.05 else miss - 0.025 for miss in misses]
    return sum(errors) * (1 + 15 * math.hypot(*true))


def colorfulness_by_hand(*colors: Color) -> float:
    """Return M^(3) (Hasler and Suesstrunk 2003) of equal parts of these colours."""
    red, green, blue = 255 * np.array(colors).T
    rg, yb = red - green, (red + green) / 2 - blue
    sigma = math.sqrt(np.var(rg) + np.var(yb) + COLORFULNESS_FLOOR)
    mu = math.sqrt(np.mean(rg) ** 2 + np.mean(yb) ** 2 + COLORFULNESS_FLOOR)
    return sigma + 0.3 * mu


def film_loss_by_hand(truth: list[Color], output: list[Color]) -> float:
    """Return the loss of a picture of equal parts of these colours."""
    errors = [error_by_hand(*pixel) for pixel in zip(truth, output, strict=True)]
    excess = colorfulness_by_hand(*output) - colorfulness_by_hand(*truth)
    logarithm = math.log1p(sum(errors) / len(errors) / GOOD_LOSS)
    return logarithm + COLORFULNESS_WEIGHT * abs(excess)


def weighed_film_loss(
    network: Network, luma: torch.Tensor, rgb: torch.Tensor, known: torch.Tensor
) -> torch.Tensor:
    assert isinstance(network, FilmNetwork)
    return film_loss(network, luma, rgb, known, colorfulness_weight=COLORFULNESS_WEIGHT)


def test_film_loss_by_hand() -> None:
    """An untrained network predicts neutral, so the error is the truth itself."""
    network = fresh(TINY).eval()
    colors: list[Color] = [(0.9, 0.3, 0.2), NEUTRAL, (0.5, 0.52, 0.55)]
    of_pixels = [error_by_hand(color) for color in colors]
    assert of_pixels[1] == 0 < of_pixels[2] < 0.01 < 0.1 < of_pixels[0]
    expected = [film_loss_by_hand([color], [NEUTRAL]) for color in colors]
    pictures = torch.stack([flat(color) for color in colors])
    losses = [weighed_film_loss(network, *batch_of(picture)).item() for picture in pictures]
    assert losses == pytest.approx(expected, rel=1e-4, abs=1e-4)
    together = weighed_film_loss(network, *batch_of(*pictures))
    assert together.item() == pytest.approx(sum(expected) / 3, rel=1e-4)


def test_film_loss_takes_the_logarithm_of_a_whole_picture() -> None:
    left, right = (0.9, 0.3, 0.2), (0.3, 0.35, 0.4)
    picture = torch.cat((flat(left, 16), flat(right, 16)), dim=2)
    loss = weighed_film_loss(fresh(TINY).eval(), *batch_of(picture))
    expected = film_loss_by_hand([left, right], [NEUTRAL, NEUTRAL])
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    apart = [film_loss_by_hand([color], [NEUTRAL]) for color in (left, right)]
    assert abs(sum(apart) / 2 - expected) > 0.05


@pytest.mark.parametrize(
    ("output", "truth"),
    [
        ((0.7, 0.5, 0.4), (0.6, 0.5, 0.45)),  # too much of the right colour
        ((0.6, 0.5, 0.45), (0.7, 0.5, 0.4)),  # too little
        ((0.4, 0.5, 0.7), (0.7, 0.5, 0.4)),  # another colour
        ((0.7, 0.5, 0.4), NEUTRAL),
        ((0.7, 0.5, 0.4), (0.7, 0.5, 0.4)),
    ],
)
def test_film_loss_counts_colours_that_are_too_strong_or_too_weak(
    output: Color, truth: Color
) -> None:
    loss = weighed_film_loss(film_network_of(output), *batch_of(flat(truth)))
    assert loss.item() == pytest.approx(film_loss_by_hand([truth], [output]), rel=1e-3, abs=1e-4)


def test_film_loss_of_halves_that_one_colour_cannot_match() -> None:
    """A flat output lacks the deviation of the truth, and not only its mean."""
    left, right, output = (0.7, 0.5, 0.4), (0.4, 0.5, 0.65), (0.6, 0.5, 0.5)
    picture = torch.cat((flat(left, 16), flat(right, 16)), dim=2)
    loss = weighed_film_loss(film_network_of(output), *batch_of(picture))
    expected = film_loss_by_hand([left, right], [output, output])
    assert loss.item() == pytest.approx(expected, rel=1e-3)


def test_film_loss_measures_the_colourfulness_of_each_picture() -> None:
    """A picture that is too strong does not make up for one that is too weak."""
    strong, weak, output = (0.8, 0.5, 0.3), (0.52, 0.5, 0.48), (0.65, 0.5, 0.4)
    loss = weighed_film_loss(film_network_of(output), *batch_of(flat(strong), flat(weak)))
    apart = [film_loss_by_hand([color], [output]) for color in (strong, weak)]
    assert loss.item() == pytest.approx(sum(apart) / 2, rel=1e-3)


def test_film_loss_counts_only_what_is_known() -> None:
    left, right, output = (0.8, 0.5, 0.3), (0.1, 0.5, 0.9), (0.65, 0.5, 0.4)
    luma, rgb, known = batch_of(torch.cat((flat(left, 15), flat(right, 17)), dim=2))
    known[..., 15:] = 0  # one pixel of chroma is half known
    loss = weighed_film_loss(film_network_of(output), luma, rgb, known)
    assert loss.item() == pytest.approx(film_loss_by_hand([left], [output]), rel=1e-3)


def test_film_loss_counts_a_picture_by_how_much_of_it_is_known() -> None:
    strong, weak, output = (0.8, 0.5, 0.3), (0.52, 0.5, 0.48), (0.65, 0.5, 0.4)
    luma, rgb, known = batch_of(flat(strong), flat(weak), flat(strong))
    known[1, :, 8:] = 0
    known[2] = 0
    loss = weighed_film_loss(film_network_of(output), luma, rgb, known)
    apart = [film_loss_by_hand([color], [output]) for color in (strong, weak)]
    assert loss.item() == pytest.approx((apart[0] + apart[1] / 4) / 1.25, rel=1e-3)


def test_film_loss_of_what_is_not_known_at_all_teaches_nothing() -> None:
    """Such as a random crop of a still that was painted in one corner only."""
    network = film_network_of((0.65, 0.5, 0.4))
    luma, rgb, known = batch_of(flat((0.8, 0.5, 0.3)))
    loss = weighed_film_loss(network, luma, rgb, torch.zeros_like(known))
    loss.backward()
    assert loss.item() == 0
    gradients = [p.grad for p in network.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)


def test_film_loss_does_not_depend_on_luma() -> None:
    """Neither on that of the input, with this network, nor on the truth's, even beyond white."""
    network, truth = film_network_of((0.7, 0.5, 0.4)), flat((0.6, 0.4, 0.45))
    expected = film_loss_by_hand([(0.6, 0.4, 0.45)], [(0.7, 0.5, 0.4)])
    for shade in (-0.35, 0.0, 0.39, torch.rand(1, 32, 32) - 0.4):
        loss = weighed_film_loss(network, *batch_of(truth + shade))
        assert loss.item() == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("truth", [(0.9, 0.3, 0.2), NEUTRAL, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("training_mode", [False, True])
def test_film_loss_has_a_gradient_where_all_is_grey(truth: Color, training_mode: bool) -> None:
    """An untrained network predicts 0 everywhere, and the truth may be grey as well."""
    network = fresh(TINY).train(training_mode)
    batch = batch_of(flat(truth), flat(NEUTRAL))
    assert not network(batch[0]).any()
    weighed_film_loss(network, *batch).backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    bias = gradients["head.bias"]
    assert bias is not None
    # Towards red: less Cb, more Cr. Where output and truth agree, there is nothing to learn.
    expected = [1, -1] if truth == (0.9, 0.3, 0.2) else [0, 0]
    assert bias.sign().tolist() == expected


def test_classic_loss_by_hand() -> None:
    network = classic_network_of((0.5, 0.0, -0.5))
    rgb = torch.tensor([1.0, 0.5, 0.0])[None, :, None, None].expand(2, -1, 32, 32)
    # On [-1, 1] the truth is 1, 0, -1 and the output 0.5, 0, -0.5.
    loss = classic_loss(network, *batch_of(*rgb))
    assert loss.item() == pytest.approx((0.25 + 0 + 0.25) / 3)


def test_classic_loss_counts_only_what_is_known() -> None:
    network = classic_network_of((0.0, 0.0, 0.0))
    luma, rgb, known = batch_of(torch.cat((flat((1.0, 0.5, 0.0)), flat((1.0, 1.0, 1.0))), dim=2))
    known[..., 32:] = 0
    assert classic_loss(network, luma, rgb, known).item() == pytest.approx(2 / 3)

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from filmcolorizer_cli.edits import Edits
from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.propagation import (
    FIRST_WEIGHT,
    MAX_GAIN_BETWEEN,
    MAX_GAP,
    MAX_REMEMBERED,
    MAX_WEIGHT,
    KeyFrame,
    Propagator,
    _as_colorful,
    _between,
    _colorfulness,
    _spread,
)
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import probe
from filmcolorizer_cli.warps import Motion, Warp
from tests.films import PAN_PIXELS_A_FRAME, PAN_SIZE, panned

WIDTH, HEIGHT = PAN_SIZE
LIVE_SIZE = 170, 96  # width and height


def carried(
    lumas: Sequence[np.ndarray],
    seen: Sequence[np.ndarray],
    propagator: Propagator | None = None,
    *,
    dissolves: bool = False,
) -> tuple[list[np.ndarray], list[int]]:
    """Return the chroma of frames, and the numbers of those that were predicted."""
    looked_at: list[int] = []

    def predict(numbers: list[int]) -> list[np.ndarray]:
        looked_at.extend(numbers)
        return [seen[number] for number in numbers]

    return (propagator or Propagator()).propagate(lumas, predict, dissolves=dissolves), looked_at


def test_propagate_takes_colours_along_a_pan(picture: tuple[np.ndarray, np.ndarray]) -> None:
    """Frames without a prediction get the colours that they truly have."""
    count = MAX_GAP + 1
    lumas, truth = ([panned(p, n) for n in range(count)] for p in picture)
    found, looked_at = carried(lumas, truth)
    assert len(found) == count
    assert looked_at[0] == 0
    assert looked_at[-1] == count - 1
    assert len(looked_at) <= count // 6
    farthest = max(range(count), key=lambda n: min(abs(n - key) for key in looked_at))
    error = np.abs(found[farthest] - truth[farthest]).mean()
    assert error < 0.1 * np.abs(truth[0] - truth[farthest]).mean()


def test_propagate_is_steadier_than_what_the_network_sees(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    luma, chroma = picture
    lumas = [panned(luma, 0)] * 60
    generator = np.random.default_rng(1)
    seen = [panned(chroma, 0) + np.float32(generator.normal(0, 0.05)) for _ in lumas]
    found, looked_at = carried(lumas, seen)
    steps = [np.abs(b - a).mean() for a, b in pairwise(found)]
    assert max(steps) < 0.01
    # No fading and no drift: near the mean of all frames' predictions, and nearer to that of the
    # predictions used, of which the first counts `FIRST_WEIGHT` times.
    np.testing.assert_allclose(found[-1].mean(), np.mean([s.mean() for s in seen]), atol=0.02)
    weights = [FIRST_WEIGHT, *[1] * (len(looked_at) - 1)]
    mean = np.average([seen[number].mean() for number in looked_at], weights=weights)
    np.testing.assert_allclose(found[-1].mean(), mean, atol=0.005)


def test_propagate_keeps_colours_through_a_flicker_of_exposure(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    luma, chroma = picture
    dimmed = panned(luma, 0).astype(np.float32) * 0.8 + 10
    lumas = [panned(luma, 0), dimmed.astype(np.uint8)]
    seen = [panned(chroma, 0), -panned(chroma, 0)]
    found, _ = carried(lumas, seen)
    before, after = (np.abs(found[1] - colors).mean() for colors in seen)
    assert before < after


def test_propagate_keeps_the_colours_of_what_moves_under_grain(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    """No step of the warp is quite certain, but each is confident enough."""
    luma, chroma = picture
    generator = np.random.default_rng(0)
    count = 2 * MAX_GAP
    lumas = [
        np.clip(panned(luma, number) + grain, 0, 255).astype(np.uint8)
        for number, grain in enumerate(generator.normal(0, 4, (count, HEIGHT, WIDTH)))
    ]
    seen = [panned(chroma, number) for number in range(count)]
    truth = seen[-1]
    seen[-1] = -truth  # the last prediction is altogether different
    propagator = Propagator()
    _, looked_at_first = carried(lumas[:MAX_GAP], seen[:MAX_GAP], propagator)
    found, looked_at_later = carried(lumas[MAX_GAP:], seen[MAX_GAP:], propagator)
    assert len(looked_at_first) + len(looked_at_later) <= 5
    known = np.s_[:, : WIDTH // 2]  # what has been in the picture for long
    before, after = (np.abs(found[-1] - colors)[known].mean() for colors in (truth, -truth))
    assert before < 0.5 * after


def test_propagate_leaves_no_ghost_of_what_was_dissolved(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    """A dissolve of one second in small steps, then one second of the incoming picture."""
    before, after = ([p.copy(), p[::-1, ::-1].copy()] for p in (panned(q, 0) for q in picture))
    shares = np.clip(np.arange(2 * MAX_GAP) / MAX_GAP, 0, 1)
    lumas = [(before[0] * (1 - s) + before[1] * s).astype(np.uint8) for s in shares]
    seen = [(after[0] * (1 - s) + after[1] * s).astype(np.float32) for s in shares]
    propagator = Propagator()
    for first in range(0, len(lumas), MAX_GAP):
        found, _ = carried(
            lumas[first : first + MAX_GAP], seen[first : first + MAX_GAP], propagator
        )
    ghost = np.abs(found[-1] - after[1]).mean() / np.abs(after[0] - after[1]).mean()
    assert ghost < 0.05  # 0.33 if only adjacent key frames are compared; 0.61 with `anew` at 0


@pytest.mark.slow
@pytest.mark.parametrize("frames", [10, 24, 36])
@pytest.mark.parametrize(
    "names", [("camel", "parkour"), ("dance-twirl", "soapbox"), ("soapbox", "camel")]
)
def test_propagate_leaves_no_cast_behind_a_dissolve_of_live_action(
    names: tuple[str, str], frames: int, shared_data: Path
) -> None:
    """The dissolve is not among the edits, and each of its steps is small."""
    one, other = (
        list(read_luma(probe(shared_data / "davis" / f"{name}.mp4"), Sampling(*LIVE_SIZE)))
        for name in names
    )
    shares = np.arange(1, frames + 1) / (frames + 1)
    mixed = [
        (before * (1 - share) + after * share).astype(np.uint8)
        for before, after, share in zip(one[60 - frames : 60], other, shares, strict=False)
    ]
    lumas = [*one[: 60 - frames], *mixed, *other[frames:]]
    casts = [*np.zeros(60 - frames), *shares, *np.ones(len(other) - frames)]
    seen = [np.full((*LIVE_SIZE[::-1], 2), 0.1 * cast, np.float32) for cast in casts]
    propagator, found = Propagator(), list[np.ndarray]()
    for first in range(0, len(lumas), MAX_GAP):
        part = slice(first, first + MAX_GAP)
        found += carried(lumas[part], seen[part], propagator)[0]
    left = [1 - chroma.mean() / 0.1 for chroma in found]
    assert left[60 - frames - 1] > 0.85
    assert left[60 + 24] < 0.3  # share of the old cast; up to 0.38 if no dissolve is detected


def test_propagate_begins_anew_in_a_dissolve(picture: tuple[np.ndarray, np.ndarray]) -> None:
    """Colours change in even steps to those predicted at its end; none of the old ones are left."""
    luma, chroma = (panned(plane, 0) for plane in picture)
    propagator = Propagator()
    carried([luma] * MAX_GAP, [chroma] * MAX_GAP, propagator)
    last = propagator.state
    assert last is not None
    found, looked_at = carried([luma] * MAX_GAP, [-chroma] * MAX_GAP, propagator, dissolves=True)
    assert looked_at == [MAX_GAP - 1]
    shares = (np.arange(MAX_GAP) + 1) / MAX_GAP
    for share, there in zip(shares, found, strict=True):
        np.testing.assert_allclose(there, chroma * (1 - 2 * share), atol=2e-3)
    assert propagator.state is not None
    assert propagator.state.key_frame.weight.max() < last.key_frame.weight.max()
    carried([luma], [-chroma], propagator)
    np.testing.assert_allclose(propagator.state.key_frame.chroma, -chroma, atol=1e-6)


def test_propagate_looks_anew_at_what_the_motion_does_not_explain() -> None:
    generator = np.random.default_rng(2)
    lumas = list(generator.integers(0, 256, (4, HEIGHT, WIDTH), np.uint8))
    seen = [np.full((HEIGHT, WIDTH, 2), n / 10, np.float32) for n in range(4)]
    _, looked_at = carried(lumas, seen)
    assert looked_at == [0, 1, 2, 3]


def test_colors_lose_a_stain_and_keep_what_a_whole_thing_has() -> None:
    """After a few key frames in which the network predicts neither."""
    columns = np.indices((96, 170))[1]
    luma = np.asarray(100 + columns / 4, np.uint8)
    stain, thing = np.zeros((96, 170), bool), np.zeros((96, 170), bool)
    stain[46:50, 10:80] = True  # a streak on something flat, as left by what passed there
    thing[:, 110:] = True
    known, seen = np.zeros((2, 96, 170, 2), np.float32)
    known[stain | thing] = -0.1, 0.12
    colors = KeyFrame.first(luma, known)
    for _ in range(4):
        colors = colors.renewed(Warp.identity(luma.shape), luma, seen)
    left = np.linalg.norm(colors.chroma, axis=2) / np.linalg.norm((-0.1, 0.12))
    assert left[stain].mean() < 0.3
    assert left[:, 140:].mean() > 0.7


def there_and_back(plane: np.ndarray) -> list[np.ndarray]:
    """Return a pan until nothing is left of its first frame, and back."""
    turn = WIDTH // PAN_PIXELS_A_FRAME
    return [panned(plane, number) for number in (*range(turn), *reversed(range(turn)))]


def test_what_comes_back_has_the_colours_that_it_had(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    """Although its predictions are a little different by then."""
    lumas, seen = map(there_and_back, picture)
    cast = np.array([0.03, -0.03], np.float32)
    seen[len(seen) // 2 :] = [chroma + cast for chroma in seen[len(seen) // 2 :]]
    propagator, found = Propagator(), []
    for first in range(0, len(lumas), MAX_GAP):
        part = slice(first, first + MAX_GAP)
        found += carried(lumas[part], seen[part], propagator)[0]
        # However long the shot is, no more than that is kept.
        assert len(propagator.planes()["luma"]) <= MAX_REMEMBERED + 1
    assert len(propagator.planes()["luma"]) == MAX_REMEMBERED + 1
    assert np.abs(found[-1] - found[0]).mean() < 0.4 * np.abs(cast).mean()


def test_what_comes_back_otherwise_is_not_taken_for_the_same(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    """Such as a lawn where a wall of the same grey was."""
    lumas, seen = map(there_and_back, picture)
    cast = np.array([0.3, -0.3], np.float32)
    half = len(seen) // 2
    seen[half:] = [chroma + cast for chroma in seen[half:]]
    propagator, found = Propagator(), []
    for first in range(0, len(lumas), MAX_GAP):
        part = slice(first, first + MAX_GAP)
        found += carried(lumas[part], seen[part], propagator)[0]
    assert np.abs(found[-1] - seen[-1]).mean() < 0.25 * np.abs(cast).mean()


def test_nothing_is_remembered_beyond_a_shot(picture: tuple[np.ndarray, np.ndarray]) -> None:
    lumas, seen = map(there_and_back, picture)
    half = len(lumas) // 2
    propagator, alone = Propagator(), Propagator()
    for first in range(0, half, MAX_GAP):
        carried(lumas[first : min(first + MAX_GAP, half)], seen[first:half], propagator)
    propagator.begin_shot(half)
    for first in range(half, len(lumas), MAX_GAP):
        part = slice(first, first + MAX_GAP)
        darker = [chroma - np.float32(0.05) for chroma in seen[part]]
        found, _ = carried(lumas[part], darker, propagator)
        expected, _ = carried(lumas[part], darker, alone)
        np.testing.assert_array_equal(found, expected)


def begun_again(
    shots: Sequence[tuple[np.ndarray, np.ndarray]], goes_on_with: int | None
) -> np.ndarray:
    """Return the chroma of the last of some one-frame shots, given as luma and chroma."""
    propagator, last = Propagator(), len(shots) - 1
    edits = Edits(returns={} if goes_on_with is None else {last: goes_on_with})
    for number, (luma, seen) in enumerate(shots):
        if number:
            propagator.begin_shot(number, edits)
        [found], _ = carried([luma], [seen], propagator)
        if number < last:
            propagator = Propagator.from_planes(propagator.planes())
    return found


def test_a_shot_goes_on_with_the_colours_of_an_earlier_one(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    """It begins a little later than that one ended, in other light, which changes predictions."""
    first, later = ((panned(picture[0], n), panned(picture[1], n)) for n in (0, 3))
    other_hues = np.ascontiguousarray(later[1][..., ::-1])
    darker = (later[0] * 0.8).astype(np.uint8)
    other = np.ascontiguousarray(first[0][::-1, ::-1]), -first[1]
    shots = [first, other, (darker, other_hues)]
    inside = (slice(8, -8), slice(8, -8))
    error = np.abs(begun_again(shots, 0) - later[1])[inside].mean()
    assert error < 0.2 * np.abs(other_hues - later[1]).mean()
    np.testing.assert_array_equal(begun_again(shots, None), other_hues)


@pytest.mark.parametrize("light", [1.0, 0.1])
def test_a_shot_goes_on_with_none_that_ended_otherwise(
    light: float, picture: tuple[np.ndarray, np.ndarray]
) -> None:
    """Also in the dark, where everything looks alike."""
    luma, seen = panned(picture[0], 0), panned(picture[1], 0)
    other = np.ascontiguousarray(luma[::-1, ::-1])
    dim, dim_other = ((16 + plane * light).clip(0, 255).astype(np.uint8) for plane in (luma, other))
    np.testing.assert_array_equal(begun_again([(dim, -seen), (dim_other, seen)], 0), seen)
    assert np.abs(begun_again([(dim, -seen), (dim, seen)], 0) - seen).mean() > 0.05


def test_a_shot_that_goes_on_remembers_what_the_earlier_one_did(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    """As where the camera pans back after a title."""
    lumas, seen = map(there_and_back, picture)
    half, title = len(lumas) // 2, np.zeros((HEIGHT, WIDTH), np.uint8)
    propagator, edits = Propagator(), Edits(returns={half + 1: 0})
    there: list[np.ndarray] = []
    for first in range(0, half, MAX_GAP):
        part = slice(first, min(first + MAX_GAP, half))
        there += carried(lumas[part], seen[part], propagator)[0]
    propagator.begin_shot(half, edits)
    carried([title], [np.zeros_like(seen[0])], propagator)
    propagator.begin_shot(half + 1, edits)
    cast = np.float32(0.05)
    for first in range(half, len(lumas), MAX_GAP):
        part = slice(first, first + MAX_GAP)
        found = carried(lumas[part], [c + cast for c in seen[part]], propagator)[0]
    assert np.abs(found[-1] - there[0]).mean() < 0.4 * cast


def test_propagator_keeps_only_what_a_shot_goes_on_with(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    luma, seen = panned(picture[0], 0), panned(picture[1], 0)
    propagator = Propagator()
    edits = Edits(returns={3: 1, 4: 1, 5: 0})
    kept = []
    for number in range(7):
        if number:
            propagator.begin_shot(number, edits)
        kept.append(len(set(propagator.planes().get("begin", np.zeros(0)).tolist())))
        carried([luma], [seen], propagator)
    assert kept == [0, 1, 2, 2, 2, 1, 0]


def test_saturation_does_not_pump(picture: tuple[np.ndarray, np.ndarray]) -> None:
    """One prediction that is far more vivid than those before it counts little."""
    luma, chroma = picture
    propagator = Propagator()
    for strength in (*[1.0] * 8, 2.0):
        seen = [panned(chroma, 0) * np.float32(strength)]
        [found], _ = carried([panned(luma, 0)], seen, propagator)
    assert np.linalg.norm(found) < 1.3 * np.linalg.norm(panned(chroma, 0))


def test_saturation_does_not_rise_faster_where_key_frames_are_many() -> None:
    """Fast motion makes many frames key frames, and would flare up."""
    luma = np.full((HEIGHT, WIDTH), 90, np.uint8)
    warm = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    warm[..., 1] = 0.1
    pale = KeyFrame(
        luma, warm * 0, np.full(luma.shape, MAX_WEIGHT, np.float32), np.ones((), np.float32)
    )
    slow = pale.renewed(Warp.identity(luma.shape), luma, warm, gap=MAX_GAP)
    fast = pale
    for _ in range(MAX_GAP // 4):
        paler = KeyFrame(luma, pale.chroma, pale.weight, fast.gain)
        fast = paler.renewed(Warp.identity(luma.shape), luma, warm, gap=4)
    np.testing.assert_allclose(fast.gain, slow.gain, rtol=1e-5)
    assert slow.gain > 1.1


@pytest.mark.slow
def test_propagator_goes_on_from_its_planes(picture: tuple[np.ndarray, np.ndarray]) -> None:
    lumas, seen = map(there_and_back, picture)
    first, second, whole, other = Propagator(), Propagator(), [], []
    for begin in range(0, len(lumas), 16):
        part = slice(begin, begin + 16)
        first = Propagator.from_planes(first.planes())
        for name, planes in first.planes().items():
            np.testing.assert_array_equal(planes, second.planes()[name])
        whole += carried(lumas[part], seen[part], first)[0]
        other += carried(lumas[part], seen[part], second)[0]
    for one, two in zip(whole, other, strict=True):
        np.testing.assert_array_equal(one, two)


def test_propagator_of_no_planes_begins_a_shot() -> None:
    assert Propagator().planes() == {}
    assert Propagator.from_planes({}).state is None


@pytest.mark.parametrize("shape", ["field", "spots"])
def test_colors_paint_as_vividly_as_the_network_saw(shape: str) -> None:
    """Reds and blues of one strength have a paler mean; their strength returns gradually."""
    luma = np.full((HEIGHT, WIDTH), 90, np.uint8)
    warm, cold = (np.full((HEIGHT, WIDTH, 2), v, np.float32) for v in ((0, 0.2), (0.2, 0)))
    if shape == "spots":
        for seen in (warm, cold):
            seen[::2] = 0
    colors = KeyFrame.first(luma, warm)
    strengths = []
    for seen in (cold, warm, cold, warm):
        colors = colors.renewed(Warp.identity(luma.shape), luma, seen)
        strengths.append(
            [np.linalg.norm(c, axis=2).max() for c in (colors.chroma, colors.painted())]
        )
    assert all(mean < painted < 0.21 for mean, painted in strengths)
    assert strengths[-1][1] > 0.19


@pytest.mark.parametrize("from_code", [0, 255])
def test_a_fade_from_black_or_white_takes_the_colours_that_are_seen_later(
    from_code: int, picture: tuple[np.ndarray, np.ndarray]
) -> None:
    """The network predicts no colours for either, which does not keep the shot pale."""
    luma, chroma = (panned(plane, 0) for plane in picture)
    strengths = np.minimum(np.arange(3 * MAX_GAP + 1) / MAX_GAP, 1)
    luma = np.where(luma < np.percentile(luma, 10), 20, luma)  # some blacks, as films have
    lumas = [
        (luma * strength + from_code * (1 - strength)).astype(np.uint8) for strength in strengths
    ]
    propagator, found = Propagator(), []
    for first in range(0, len(lumas), MAX_GAP):
        part = slice(first, first + MAX_GAP)
        seen = [chroma * np.float32(strength > 0.2) for strength in strengths[part]]
        found += carried(lumas[part], seen, propagator)[0]
    assert np.abs(found[0]).max() == 0
    bright = luma > 60
    assert np.abs(found[-1] - chroma)[bright].mean() < 0.4 * np.abs(chroma)[bright].mean()


def test_an_iris_that_opens_takes_the_colours_that_are_seen_later(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    """While it is nearly shut, the network paints the disc in the black brown."""
    luma, chroma = (panned(plane, 0) for plane in picture)
    luma = np.maximum(luma, 60)
    rows, columns = np.indices(luma.shape)
    distance = np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2)
    brown = np.full_like(chroma, 0) + np.array((-0.1, 0.1), np.float32)
    lumas, seen = [], []
    for number in range(2 * MAX_GAP):
        opened = distance < (number + 1) / MAX_GAP * distance.max() * 1.1
        lumas.append(np.where(opened, luma, 0))
        share = np.float32(opened.mean())
        seen.append(np.where(opened[..., None], chroma * share + brown * (1 - share), 0))
    propagator, found = Propagator(), []
    for first in range(0, len(lumas), MAX_GAP):
        part = slice(first, first + MAX_GAP)
        found += carried(lumas[part], seen[part], propagator)[0]
    assert np.abs(found[-1] - chroma).mean() < 0.3 * np.abs(brown - chroma).mean()


def test_what_is_seen_in_the_dark_does_not_tint_what_is_lit(
    picture: tuple[np.ndarray, np.ndarray],
) -> None:
    """In a fade of two key frames, the second one is lit: its prediction counts as a first."""
    luma, chroma = (panned(plane, 0) for plane in picture)
    strengths = np.linspace(0.4, 1.0, MAX_GAP + 1)
    lumas = [(luma * strength).astype(np.uint8) for strength in strengths]
    tinted = chroma + np.array((-0.05, 0.1), np.float32)
    propagator, found = Propagator(), []
    for part, seen in ((slice(0, 1), tinted), (slice(1, None), chroma)):
        found += carried(lumas[part], [seen] * len(lumas[part]), propagator)[0]
    bright = luma > 100
    assert np.median((found[-1] - chroma)[bright][:, 1]) < 0.04  # 0.087 otherwise


def test_propagate_keeps_a_fast_limbs_colours_in_key_frames() -> None:
    """The flow misses its motion, as it is little brighter than the lawn: predictions count."""
    generator = np.random.default_rng(0)
    lawn = 110 + 5 * np.kron(generator.standard_normal((HEIGHT // 4, WIDTH // 4)), np.ones((4, 4)))
    lumas, seen, limbs = [], [], []
    for number in range(MAX_GAP):
        left = round(60 + 45 * np.sin(0.9 * number))
        limbs.append((slice(20, 76), slice(left, left + 7)))
        luma, chroma = lawn.copy(), np.full((HEIGHT, WIDTH, 2), -0.1, np.float32)
        luma[limbs[-1]], chroma[limbs[-1]] = 140, (-0.05, 0.12)
        lumas.append(luma.astype(np.uint8))
        seen.append(chroma)
    found, looked_at = carried(lumas, seen)
    for number in looked_at:
        assert np.median(found[number][limbs[number]][:, :, 1]) > 0.06


def test_frames_between_are_as_colourful_as_the_key_frames_beside_them() -> None:
    """A mix of two predictions that disagree on hues is paler than both."""
    luma = np.tile(np.linspace(40, 200, WIDTH), (HEIGHT, 1)).astype(np.uint8)
    first, last = (np.full((HEIGHT, WIDTH, 2), c, np.float32) for c in ((0.1, 0), (0.08, 0.06)))
    for chroma in (first, last):
        chroma[:, WIDTH // 2 :] *= -1
    identity = Warp.identity(luma.shape)
    [middle] = mixed = _between(first, last, [identity], [Motion(luma, luma)])
    [given_back] = _as_colorful(mixed, first, last)
    wanted = (_colorfulness(first) + _colorfulness(last)) / 2
    assert _colorfulness(middle) < 0.97 * wanted
    assert _colorfulness(given_back) == pytest.approx(wanted, rel=1e-3)
    [limited] = _as_colorful([middle / np.float32(4)], first, last)
    np.testing.assert_allclose(limited, middle / 4 * MAX_GAIN_BETWEEN, rtol=1e-6)
    [grey] = _as_colorful([np.zeros_like(middle)], first, last)
    assert not grey.any()
    assert _as_colorful([], first, last) == []


@pytest.mark.parametrize("height", [96, 90])
def test_spread_keeps_tones_and_places_apart(height: int) -> None:
    """Two tones alternate by column, and each takes over its own values."""
    columns = np.arange(WIDTH)
    luma = np.tile(np.where(columns % 2, 200, 40), (height, 1)).astype(np.uint8)
    slope = np.tile(columns / np.float32(WIDTH), (height, 1))
    planes = np.dstack((luma / 255, slope)).astype(np.float32)
    means, weights = _spread(planes, np.full(luma.shape, 5.0, np.float32), luma)
    np.testing.assert_allclose(means[..., 0], planes[..., 0], atol=1e-5)
    inner = np.s_[:, 40:-40]
    np.testing.assert_allclose(means[inner][..., 1], slope[inner], atol=0.01)
    np.testing.assert_allclose(weights, 5.0, rtol=1e-5)

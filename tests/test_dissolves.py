"""Dissolves between shots of the sample film, and what is not one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from filmcolorizer_cli.dissolves import Dissolves
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.survey import FRAMES_A_SECOND
from filmcolorizer_cli.timeline import Spans
from filmcolorizer_cli.video import probe
from tests.films import SAMPLE_FRAMES

SHOT_FRAMES = SAMPLE_FRAMES // 3
SLOWNESS = 4  # factor; the sample film pans fast over drawings of fine lines
Frames = np.ndarray  # (N, H, W), float


@pytest.fixture(scope="module")
def shots() -> list[Frames]:
    """Three shots of four seconds at 24 fps."""
    frames = np.stack(list(read_luma(probe(SAMPLE_FILM), Sampling(128, 96)))).astype(float)
    shots = frames.reshape(3, SHOT_FRAMES, *frames.shape[1:])[:, : 96 // SLOWNESS]
    return list(np.repeat(shots, SLOWNESS, axis=1))


def found(frames: Iterable[np.ndarray]) -> Spans:
    dissolves = Dissolves(FRAMES_A_SECOND)
    for frame in list(frames)[:: 24 // FRAMES_A_SECOND]:
        dissolves.add(np.clip(frame, 0, 255).astype(np.uint8))
    return dissolves.spans()


def dissolved(before: Frames, after: Frames, length: int) -> Frames:
    """Dissolve one shot into another over ``length`` frames."""
    shares = (np.arange(length) + 0.5)[:, None, None] / length
    mixed = before[-length:] * (1 - shares) + after[:length] * shares
    return np.concatenate((before[:-length], mixed, after[length:]))


def worn(frames: Frames) -> Frames:
    """Add grain and exposure flicker."""
    generator = np.random.default_rng(3)
    exposure = 1 + generator.normal(0, 0.03, (len(frames), 1, 1))
    return frames * exposure + generator.normal(0, 3, frames.shape)


def letterboxed(frames: Frames) -> Frames:
    """Put black bars at the top and bottom."""
    barred = frames.copy()
    barred[:, :12] = barred[:, -12:] = 16
    return barred


def scanned(frames: Frames) -> Frames:
    """Add wear and the edges of the film gate, as of a 4:3 film in a wide picture."""
    barred = worn(frames)
    barred[:, :, :16] = barred[:, :, -16:] = 16
    barred[:, :4] *= 0.2
    barred[:, -4:] *= 0.2
    return barred


@pytest.mark.parametrize("length", [12, 24, 40])
@pytest.mark.parametrize("wear", [np.copy, worn, letterboxed, scanned])
def test_a_dissolve_is_found(
    length: int, wear: Callable[[Frames], Frames], shots: list[Frames]
) -> None:
    begin, end = (len(shots[0]) - length) / 24, len(shots[0]) / 24
    ((first, last),) = found(wear(dissolved(shots[0], shots[1], length)))
    assert begin - 0.35 < first <= begin + 0.1 * (end - begin) + 0.17
    assert end - 0.05 <= last < end + 0.7


def test_two_dissolves_are_two(shots: list[Frames]) -> None:
    assert len(found(dissolved(dissolved(shots[0], shots[1], 20), shots[2], 20))) == 2


@pytest.mark.parametrize("number", range(3))
def test_a_shot_is_no_dissolve(number: int, shots: list[Frames]) -> None:
    assert found(worn(shots[number])) == ()


def test_a_cut_is_no_dissolve(shots: list[Frames]) -> None:
    assert found(np.concatenate(shots)) == ()


def test_a_pan_is_no_dissolve(shots: list[Frames]) -> None:
    still = np.concatenate((shots[0][0], shots[1][0], shots[2][0]), axis=1)
    assert found(still[:, 4 * number :][:, :128] for number in range(60)) == ()


def test_a_lamp_is_no_dissolve(shots: list[Frames]) -> None:
    """The lamp lights up the whole picture, the part between bars, or the middle."""
    still, steps = shots[1][0], np.linspace(0.3, 1, 48)
    rows, columns = np.mgrid[-1:1:96j, -1:1:128j]
    spot = np.exp(-2 * (rows**2 + columns**2))
    lit = np.stack([still * step for step in steps])
    assert found(lit) == found(letterboxed(lit)) == ()
    assert found(still * (0.3 + (step - 0.3) * spot) for step in steps) == ()


def test_a_fade_is_no_dissolve(shots: list[Frames]) -> None:
    """Fades to and from black and white."""
    blank = np.zeros_like(shots[0])
    for other in (blank, blank + 235):
        assert found(dissolved(shots[0], other, 30)) == ()
        assert found(dissolved(other, shots[1], 30)) == ()


def test_spans_joins_windows_that_touch_each_other() -> None:
    """Windows may come in any order; a single one counts as chance."""
    dissolves = Dissolves(FRAMES_A_SECOND)
    dissolves._windows = [(12, 24), (6, 30), (30, 36), (60, 66), (90, 96), (96, 102)]
    assert dissolves.spans() == ((1.0, 6.0), (15.0, 17.0))

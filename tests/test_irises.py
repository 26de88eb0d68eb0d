from __future__ import annotations

import numpy as np
import pytest
import torch

from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.irises import without_iris
from filmcolorizer_cli.models import find_model
from filmcolorizer_cli.networks import for_inference
from filmcolorizer_cli.painting import Painter
from filmcolorizer_cli.planes import Floats, Plane
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import probe
from filmcolorizer_cli.weights import load

HEIGHT, WIDTH = 192, 256
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def frame() -> Plane:
    """Return the luma of a frame of the sample film, limited range."""
    return next(read_luma(probe(SAMPLE_FILM), Sampling(WIDTH, HEIGHT, start_seconds=1.0)))


def within(radius: float) -> Floats:
    """Return the share of each pixel inside a circle of this radius around the centre."""
    rows, columns = np.indices((HEIGHT, WIDTH), np.float32)
    distance = np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2)
    return np.asarray(np.clip((radius - distance) / 2 + 0.5, 0, 1), np.float32)


def within_rows(count: int) -> Floats:
    """Return a black square with white rows in its middle, as between closing doors."""
    rows = np.arange(HEIGHT) - HEIGHT // 2
    return np.asarray(((rows >= 0) & (rows < count))[:, None] * np.ones(HEIGHT), np.float32)


def light_of(luma: Plane) -> Floats:
    return np.asarray((luma.astype(np.float32) - 16) / 219, np.float32)


@pytest.mark.parametrize("radius", [30, 60, 80])
@pytest.mark.parametrize("black", [0.0, 0.04])
def test_without_iris_fills_the_black_around_it(radius: float, black: float, frame: Plane) -> None:
    light = black + np.maximum(light_of(frame), 0.3) * within(radius) * (1 - black)
    picture, shown = without_iris(light)
    assert shown is not None
    core, outside = within(radius - 12) == 1, within(radius + 4) == 0
    assert (shown[core] > 0.99).all()
    assert (shown[outside] < 0.01).all()
    np.testing.assert_allclose(picture[core], light[core], atol=0.01)
    np.testing.assert_allclose(picture[outside], light[shown > 0.99].mean(), atol=0.05)


def pictures() -> dict[str, Floats]:
    """Return pictures without an iris, by name."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    letters = ((rows // 12 % 2 == 0) & (columns // 6 % 2 == 0)).astype(np.float32)
    letters[:60] = letters[132:] = letters[:, :40] = letters[:, 216:] = 0
    lights = np.hypot(rows % 64 - 32, columns % 64 - 32) < 12
    return {
        "black": np.zeros((HEIGHT, WIDTH), np.float32),
        "white": np.ones((HEIGHT, WIDTH), np.float32),
        "title": letters,
        "many lights": lights.astype(np.float32),
        "a speck": within(8),
        "rounded corners": 0.5 * within(150),
        **{f"a line of {width}": within_rows(width) for width in (2, 4, 6, 9)},
        **{f"a line of {width} upright": within_rows(width).T for width in (4, 9)},
    }


@pytest.mark.parametrize("name", pictures())
def test_without_iris_leaves_other_pictures_as_they_are(name: str, frame: Plane) -> None:
    light = pictures()[name]
    picture, shown = without_iris(light)
    assert shown is None
    assert picture is light
    assert without_iris(light_of(frame))[1] is None


def test_painter_sees_in_an_iris_about_what_it_sees_without(frame: Plane) -> None:
    painter = Painter(for_inference(load(find_model("default")), CPU), CPU)
    inside = within(50)
    masked = np.asarray(16 + (frame - 16.0) * inside, np.uint8)
    (_, whole), (_, shown) = painter.paint([frame, masked])
    core, outside = inside[::2, ::2] == 1, within(60)[::2, ::2] == 0
    error = np.abs(whole.astype(int) - shown)[:, core].mean()
    assert error < 0.8 * np.abs(whole.astype(int) - 128)[:, core].mean()
    assert (shown[:, outside] == 128).all()

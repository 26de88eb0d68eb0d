"""The pages, opened from disk in a headless Chromium."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli.evaluation_page import Provenance, save_pairs_page
from filmcolorizer_cli.history import Epoch
from filmcolorizer_cli.pages import Page, Section, Slide, save_page
from filmcolorizer_cli.pair_evaluation import Evaluation, evaluate
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.splits import PARTS, split_by_time
from tests.networks import vivid_network
from tests.values import finished

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")

CPU = torch.device("cpu")
RED, GREEN, BLUE = (200, 30, 30), (30, 160, 30), (30, 30, 200)
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
TOLERANCE = 12  # codes by which a colour may be off after WebP compression


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        # The sandbox does not run in containers; the pages are our own.
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """A function that opens a page; console messages and network requests fail the test."""
    complaints: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_file(path: Path, **settings: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": DESKTOP, **settings}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def flat(color: tuple[int, int, int]) -> np.ndarray:
    return np.full((120, 160, 3), color, np.uint8)


@pytest.fixture(scope="module")
def colors_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two slides, each in red, green and blue."""
    versions = {"red": flat(RED), "green": flat(GREEN), "blue": flat(BLUE)}
    slides = [Slide("0:00:01.00", versions), Slide("0:00:02.00", versions)]
    path = tmp_path_factory.mktemp("colors") / "page.html"
    save_page(Page("a <film>", sections=[Section(slides=slides)]), path)
    return path


def color_at(page: Any, frame: Any, share: float) -> tuple[int, ...]:
    """Return the screen's colour at three quarters of a frame's height and a share of its width."""
    box = frame.bounding_box()
    clip = {"x": box["x"] + share * box["width"], "y": box["y"] + 0.75 * box["height"]}
    png = page.screenshot(clip={**clip, "width": 1, "height": 1}, scale="css")
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == (1, 1)
        return tuple(image.convert("RGB").tobytes())


def shows(page: Any, frame: Any, share: float, color: tuple[int, int, int]) -> bool:
    found = color_at(page, frame, share)
    return all(abs(a - b) <= TOLERANCE for a, b in zip(found, color, strict=True))


def split_of(frame: Any) -> float:
    """Return the divider's position, in percent of the width."""
    return float(
        frame.evaluate(
            "(frame) => { const box = frame.getBoundingClientRect();"
            " const line = frame.querySelector('.divider').getBoundingClientRect();"
            " return (100 * (line.left + line.width / 2 - box.left)) / box.width; }"
        )
    )


def test_slider_follows_the_mouse(colors_page: Path, open_page: Any) -> None:
    page = open_page(colors_page)
    frame, other = page.locator(".frame").nth(0), page.locator(".frame").nth(1)
    assert split_of(frame) == pytest.approx(50, abs=0.5)
    assert shows(page, frame, 0.4, RED)
    assert shows(page, frame, 0.6, BLUE)
    box = frame.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=5)
    page.mouse.up()
    assert split_of(frame) == pytest.approx(80, abs=1)
    assert float(frame.locator("input").input_value()) == pytest.approx(80, abs=1)
    assert shows(page, frame, 0.6, RED)
    assert shows(page, frame, 0.9, BLUE)
    page.mouse.move(box["x"] + 0.2 * box["width"], middle)
    assert split_of(frame) == pytest.approx(80, abs=1), "the button is up"
    assert split_of(other) == pytest.approx(50, abs=0.5), "each for itself"


def test_slider_follows_the_keyboard(colors_page: Path, open_page: Any) -> None:
    page = open_page(colors_page)
    frame = page.locator(".frame").nth(0)
    frame.locator("input").focus()
    for key, expected in (("ArrowRight", 51), ("PageUp", 61), ("Home", 0), ("End", 100)):
        page.keyboard.press(key)
        assert split_of(frame) == pytest.approx(expected, abs=0.5), key
    assert shows(page, frame, 0.9, RED)
    outline = frame.evaluate("(frame) => getComputedStyle(frame).outlineStyle")
    assert outline == "solid", "what has the focus shows it"


def test_slider_follows_a_finger(colors_page: Path, open_page: Any) -> None:
    page = open_page(colors_page, viewport=PHONE, has_touch=True, is_mobile=True)
    frame = page.locator(".frame").nth(0)
    box = frame.bounding_box()
    page.touchscreen.tap(box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2)
    assert split_of(frame) == pytest.approx(25, abs=1)
    assert shows(page, frame, 0.4, BLUE)
    assert frame.evaluate("(frame) => getComputedStyle(frame).touchAction") == "pan-y"


def test_versions_can_be_chosen(colors_page: Path, open_page: Any) -> None:
    page = open_page(colors_page)
    page.select_option("select[name=left]", label="green")
    for number in (0, 1):
        frame = page.locator(".frame").nth(number)
        assert frame.locator(".name.left").inner_text() == "green"
        assert shows(page, frame, 0.4, GREEN)
        assert shows(page, frame, 0.6, BLUE)
    page.select_option("select[name=right]", label="red")
    assert shows(page, page.locator(".frame").nth(1), 0.6, RED)


def test_page_without_scripts_shows_all_pictures(colors_page: Path, open_page: Any) -> None:
    page = open_page(colors_page, java_script_enabled=False)
    images = page.locator("img")
    boxes = [images.nth(number).bounding_box() for number in range(images.count())]
    assert len({(box["x"], box["y"]) for box in boxes}) == 6
    assert not page.locator(".divider").nth(0).is_visible()


@pytest.fixture(scope="module")
def result(pairs: Pairs) -> Evaluation:
    _, found = finished(evaluate(pairs, split_by_time(pairs.pairs), vivid_network(), CPU))
    return found


@pytest.fixture(scope="module")
def report(pairs: Pairs, result: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "index.html"
    history = [Epoch(1, 0.9, 0.7, 0.01, 2.0), Epoch(2, 0.6, 0.5, 0.01, 2.0)]
    provenance = Provenance("a" * 90 + "<script>alert(1)</script>", history, {"size": "64"})
    split = split_by_time(pairs.pairs)
    save_pairs_page(result, pairs, split, vivid_network(), CPU, path, provenance)
    return path


def test_report_shows_its_figures(report: Path, result: Evaluation, open_page: Any) -> None:
    page = open_page(report)
    table = page.locator("table").nth(0)
    assert table.locator("thead th").all_inner_texts() == ["", *(f"{part} (8)" for part in PARTS)]
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in table.locator("tbody tr").all()
    }
    assert rows["naive baseline: MSE"] == [f"{result.baseline[part].mse:.4f}" for part in PARTS]
    [ours] = (rows[name] for name in rows if name.endswith("</script>: PSNR, dB"))
    assert ours == [f"{result.network[part].psnr:.2f}" for part in PARTS]
    plots = page.locator(".plot svg")
    assert plots.count() == 3
    for number in range(3):
        box = plots.nth(number).bounding_box()
        assert box["width"] > 300
        assert box["height"] > 150
    assert page.locator(".slide").count() == 9


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_report_fits_the_screen_in_both_themes(
    viewport: dict[str, int], theme: str, report: Path, open_page: Any
) -> None:
    page = open_page(report, viewport=viewport, color_scheme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    brightness = {}
    for element, style in (("body", "backgroundColor"), ("h1", "color"), (".plot text", "fill")):
        color = page.evaluate(f"getComputedStyle(document.querySelector('{element}')).{style}")
        brightness[element] = sum(int(part) for part in color[4:-1].split(",")) / 3
    assert brightness[".plot text"] == brightness["h1"]
    if theme == "dark":
        assert brightness["body"] < 50 < 180 < brightness["h1"]
    else:
        assert brightness["h1"] < 60 < 230 < brightness["body"]

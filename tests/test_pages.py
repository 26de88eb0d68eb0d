from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filmcolorizer_cli.errors import FilmColorizerError, OptionError
from filmcolorizer_cli.pages import MAX_PAGE_BYTES, Page, Plot, Section, Slide, Table, save_page
from tests.machine import files_in

HOSTILE = """</title><script>alert(1)</script>"'><img src=x onerror=alert(1)>{{ 7 * 7 }}&amp;"""


class Reader(HTMLParser):
    """Parser of a page, which collects elements with their attributes, and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def picture(color: tuple[int, int, int], size: tuple[int, int] = (80, 60)) -> np.ndarray:
    return np.full((size[1], size[0], 3), color, np.uint8)


def write(path: Path, page: Page) -> Reader:
    save_page(page, path)
    return Reader(path.read_text(encoding="utf-8"))


def page_of(slides: list[Slide]) -> Page:
    return Page("film.mp4", sections=[Section(slides=slides)])


def test_save_page_shows_all_versions_of_all_slides(tmp_path: Path) -> None:
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    names = ["grey", "a", "b"]
    versions = dict(zip(names, map(picture, colors), strict=True))
    slides = [Slide("0:00:01.00", versions), Slide("0:00:02.00", versions, "a note")]
    page = write(tmp_path / "page.html", page_of(slides))
    assert files_in(tmp_path) == ["page.html"]
    images = page.named("img")
    assert [image["alt"] for image in images] == [
        f"{name}, {slide.label}" for slide in slides for name in names
    ]
    for number, image in enumerate(images):
        kind, data = str(image["src"]).split(",")
        assert kind == "data:image/webp;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as decoded:
            assert decoded.size == (80, 60)
            shown = np.asarray(decoded.convert("RGB")).reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(shown, colors[number % 3], atol=6)
    assert [option["value"] for option in page.named("option")] == ["0", "1", "2"] * 2
    assert len(page.named("input")) == 2
    assert any("a note" in text for text in page.texts)


def test_save_page_of_two_versions_has_nothing_to_choose(tmp_path: Path) -> None:
    versions = {"grey": picture((9, 9, 9)), "default": picture((9, 90, 9))}
    page = write(tmp_path / "page.html", page_of([Slide("0:00:01.00", versions)]))
    assert not page.named("select")


def test_save_page_takes_names_for_names(tmp_path: Path) -> None:
    versions = {HOSTILE: picture((0, 0, 0)), "b": picture((0, 0, 0)), "c": picture((0, 0, 0))}
    tables = [Table(HOSTILE, [[HOSTILE, HOSTILE], [HOSTILE, HOSTILE]])]
    slides = [Slide(HOSTILE, versions, HOSTILE)]
    plots = [Plot(HOSTILE, "<svg></svg>")]
    section = Section(HOSTILE, HOSTILE, tables, plots, slides)
    page = write(tmp_path / "page.html", Page(HOSTILE, [HOSTILE], HOSTILE, [section]))
    assert len(page.named("script")) == 1
    assert len(page.named("img")) == 3
    assert len(page.named("svg")) == 1
    assert not any(name.startswith("on") for _, its in page.elements for name in its)
    # Twice the title, the text and the command; title and text of the section; a table's caption
    # and four cells; a plot's caption; the version as two options and a name; label and note.
    assert "".join(page.texts).count(HOSTILE) == 4 + 2 + 5 + 1 + 3 + 2
    assert page.named("img")[0]["alt"] == f"{HOSTILE}, {HOSTILE}"


def test_save_page_takes_names_that_are_no_text(tmp_path: Path) -> None:
    page = write(tmp_path / "page.html", Page("film-\udcff.mp4"))
    assert "film-?.mp4" in page.texts


def test_save_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    versions = {"grey": picture((9, 9, 9)), "default": picture((9, 90, 9))}
    page = write(tmp_path / "page.html", page_of([Slide("0:00:01.00", versions)]))
    for _, attributes in page.elements:
        for name in ("src", "href", "action", "data", "srcset"):
            assert str(attributes.get(name, "data:")).startswith("data:")
    text = (tmp_path / "page.html").read_text()
    assert "@import" not in text
    assert "url(" not in text
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = [m["content"] for m in page.named("meta") if "http-equiv" in m]
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline';"
        f" script-src 'sha256-{digest}'"
    )


def test_save_page_shows_tables_and_plots(tmp_path: Path) -> None:
    table = Table("scores", [["", "MSE"], ["network", "0.0123"]])
    words = Table("facts", [["option", "value"], ["size", "64"]], has_numbers=False)
    drawing = '<svg viewBox="0 0 1 1"><text>loss</text></svg>'
    section = Section("Scores", "text", [table, words], [Plot("losses", drawing)])
    page = write(tmp_path / "page.html", Page("title", ["first", "second"], sections=[section]))
    texts = [text.strip() for text in page.texts if text.strip()]
    for text in ("title", "first", "second", "Scores", "text", "MSE", "network", "0.0123", "loss"):
        assert text in texts
    assert [its.get("class") for its in page.named("table")] == ["numbers", None]
    assert [its.get("aria-label") for its in page.named("div") if its.get("role") == "img"] == [
        "losses"
    ]
    assert drawing in (tmp_path / "page.html").read_text()


def noise(width: int, height: int) -> np.ndarray:
    """Return a picture that no encoder makes small."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_save_page_fits_many_pictures(tmp_path: Path) -> None:
    picture = noise(640, 480)
    slides = [Slide(str(n), {"a": picture, "b": picture}) for n in range(15)]
    write(tmp_path / "page.html", page_of(slides))
    assert MAX_PAGE_BYTES / 2 < (tmp_path / "page.html").stat().st_size < MAX_PAGE_BYTES


@pytest.mark.slow
def test_save_page_refuses_more_pictures_than_fit(tmp_path: Path) -> None:
    picture = noise(160, 120)
    slides = [Slide(str(n), {"a": picture, "b": picture}) for n in range(400)]
    with pytest.raises(OptionError, match="800 pictures are too many for one page of 5 MB"):
        write(tmp_path / "page.html", page_of(slides))
    assert files_in(tmp_path) == []


def test_save_page_tells_where_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(FilmColorizerError, match=r"cannot write .*page\.html \(No such file"):
        write(tmp_path / "missing" / "page.html", Page("film.mp4"))


def test_save_page_shows_a_picture_that_is_hardly_higher_than_a_line(tmp_path: Path) -> None:
    page = write(
        tmp_path / "page.html", page_of([Slide("0:00", {"a": picture((9, 9, 9), (2000, 1))})])
    )
    [image] = page.named("img")
    with Image.open(io.BytesIO(base64.b64decode(str(image["src"]).split(",")[1]))) as decoded:
        assert decoded.size == (640, 1)

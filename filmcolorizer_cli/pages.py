"""Web pages that show results, each a single self-contained file."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from filmcolorizer_cli import __version__
from filmcolorizer_cli.errors import OptionError
from filmcolorizer_cli.files import replacing
from filmcolorizer_cli.planes import Plane

TEMPLATES = Path(__file__).parent / "templates"
MAX_PAGE_BYTES = 5_000_000
MAX_PICTURES_BYTES = 4_500_000  # bytes of a page that its base64-encoded pictures may take
# Maximum width in pixels and WebP quality; a page takes the first with which all its pictures fit.
PICTURE_FORMATS = ((640, 80), (480, 80), (400, 75), (320, 70), (240, 60), (160, 50))


@dataclass(frozen=True, eq=False)
class Slide:
    """One moment of a film in several versions, two of which a slider compares.

    Attributes:
        label: text that identifies the slide, such as its time.
        pictures: the versions by name, R'G'B' (H, W, 3) uint8, all of one size.
        note: further information.
    """

    label: str
    pictures: dict[str, Plane]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first row and the first cell of each row are headers.

    Attributes:
        has_numbers: whether cells hold numbers, and are right-aligned rather than left-aligned.
    """

    caption: str
    rows: Sequence[Sequence[str]]
    has_numbers: bool = True


@dataclass(frozen=True)
class Plot:
    """A drawing.

    Attributes:
        caption: a description of the drawing, also for those who cannot see it.
        svg: an SVG element, which is put into the page unescaped.
    """

    caption: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A part of a page; its contents are shown in the order of the attributes."""

    title: str = ""
    text: str = ""
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    slides: Sequence[Slide] = ()


@dataclass(frozen=True)
class Page:
    """The content of a page; all text is escaped, so it may hold any characters.

    Attributes:
        command: a command line to copy.
        sections: the slides of all sections have the same versions; sliders initially compare the
            first version with the last.
    """

    title: str
    text: Sequence[str] = ()
    command: str = ""
    sections: Sequence[Section] = ()

    @property
    def slides(self) -> list[Slide]:
        """The slides of all sections."""
        return [slide for section in self.sections for slide in section.slides]


def save_page(page: Page, path: Path) -> None:
    """Write a page as HTML.

    Raises:
        FilmColorizerError: the file cannot be written.
        OptionError: there are too many pictures for a page.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawing"] = Markup
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html = environment.get_template("page.html").render(
        page=page,
        addresses=_addresses(page.slides),
        versions=list(page.slides[0].pictures) if page.slides else [],
        script=Markup(script),
        # Browsers run only this script, and fetch nothing.
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline';"
        f" script-src 'sha256-{digest}'",
        program=f"filmcolorizer {__version__}",
    )
    with replacing(path) as temporary:
        # File names may hold bytes that are not valid text.
        temporary.write_bytes(html.encode("utf-8", "replace"))


def _addresses(slides: Sequence[Slide]) -> dict[Slide, list[str]]:
    """Return data URLs of the pictures of each slide, as large as fit into a page."""
    for width, quality in PICTURE_FORMATS:
        addresses = _all_addresses(slides, width, quality)
        if addresses is not None:
            return addresses
    raise OptionError(
        f"{sum(len(slide.pictures) for slide in slides)} pictures are too many for one page of"
        f" {MAX_PAGE_BYTES / 1e6:g} MB; ask for fewer"
    )


def _all_addresses(
    slides: Sequence[Slide], width: int, quality: int
) -> dict[Slide, list[str]] | None:
    """Return data URLs in this width and quality; None where they do not fit into a page."""
    room = MAX_PICTURES_BYTES
    addresses = {}
    for slide in slides:
        addresses[slide] = [_address(p, width, quality) for p in slide.pictures.values()]
        room -= sum(map(len, addresses[slide]))
        if room < 0:
            return None
    return addresses


def _address(picture: Plane, width: int, quality: int) -> str:
    """Return a data URL (RFC 2397) of a picture, scaled down to ``width`` if it is wider."""
    image = Image.fromarray(picture)
    if image.width > width:
        size = width, max(round(image.height * width / image.width), 1)
        image = image.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"

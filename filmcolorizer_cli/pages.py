"""Web pages for people to look at, each one file that needs nothing from elsewhere."""

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
MAX_PICTURES_BYTES = 4_500_000  # of these, as text
# Width in pixels at most, and WebP's quality: the first with which all pictures of a page fit.
PICTURE_FORMATS = ((640, 80), (480, 80), (400, 75), (320, 70), (240, 60), (160, 50))


@dataclass(frozen=True, eq=False)
class Slide:
    """One moment of a film in several versions, of which a slider uncovers two.

    Attributes:
        label: what tells it from others, such as its time.
        pictures: R'G'B' (H, W, 3) uint8, all of one size, by what each is called.
        note: what else there is to say of it.
    """

    label: str
    pictures: dict[str, Plane]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Cells in rows; the first row and the first cell of each row say what the others are.

    Attributes:
        has_numbers: which are aligned at their right, as words are at their left.
    """

    caption: str
    rows: Sequence[Sequence[str]]
    has_numbers: bool = True


@dataclass(frozen=True)
class Plot:
    """A drawing of ours.

    Attributes:
        caption: what it shows, for those as well who cannot see it.
        svg: an SVG element, which is put into the page as it is.
    """

    caption: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A part of a page, in the order that it is shown in."""

    title: str = ""
    text: str = ""
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    slides: Sequence[Slide] = ()


@dataclass(frozen=True)
class Page:
    """What a page shows, as text that comes out as it is, whatever characters it holds.

    Attributes:
        command: a command line to copy.
        sections: the slides of all have the same versions; at first sliders are between the first
            and the last of them.
    """

    title: str
    text: Sequence[str] = ()
    command: str = ""
    sections: Sequence[Section] = ()

    @property
    def slides(self) -> list[Slide]:
        """Those of all sections."""
        return [slide for section in self.sections for slide in section.slides]


def save_page(page: Page, path: Path) -> None:
    """Write a page.

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
        # The only script that browsers run on the page; nothing is fetched from anywhere.
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline';"
        f" script-src 'sha256-{digest}'",
        program=f"filmcolorizer {__version__}",
    )
    with replacing(path) as temporary:
        # File names may hold bytes that no text does.
        temporary.write_bytes(html.encode("utf-8", "replace"))


def _addresses(slides: Sequence[Slide]) -> dict[Slide, list[str]]:
    """Addresses of the pictures of each slide, which hold the data themselves."""
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
    """The addresses in this width and quality; None where they do not fit into a page."""
    room = MAX_PICTURES_BYTES
    addresses = {}
    for slide in slides:
        addresses[slide] = [_address(p, width, quality) for p in slide.pictures.values()]
        room -= sum(map(len, addresses[slide]))
        if room < 0:
            return None
    return addresses


def _address(picture: Plane, width: int, quality: int) -> str:
    """A data URL (RFC 2397) of a picture, no wider than asked for."""
    image = Image.fromarray(picture)
    if image.width > width:
        size = width, max(round(image.height * width / image.width), 1)
        image = image.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"

"""Web pages for people to look at, each one file that needs nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from filmcolorizer_cli import __version__
from filmcolorizer_cli.errors import OptionError
from filmcolorizer_cli.files import replacing
from filmcolorizer_cli.video import Plane

TEMPLATES = Path(__file__).parent / "templates"
MAX_PAGE_BYTES = 5_000_000
MAX_PICTURES_BYTES = 4_500_000  # of these, as text
# Width in pixels at most, and WebP's quality: the first with which all pictures of a page fit.
PICTURE_FORMATS = ((640, 80), (480, 80), (400, 75), (320, 70), (240, 60), (160, 50))


@dataclass(frozen=True)
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


def save_page(template: str, slides: Sequence[Slide], path: Path, **content: Any) -> None:
    """Write a page.

    Args:
        template: the name of a file in ``TEMPLATES``.
        slides: all with the same versions; at first the slider is between the first and the last.
        content: what else the template shows. Whatever it holds comes out as text, but for
            ``Markup``.

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
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template(template).render(
        slides=_with_addresses(slides),
        versions=list(slides[0].pictures) if slides else [],
        script=Markup(script),
        # The only script that browsers run on the page; nothing is fetched from anywhere.
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline';"
        f" script-src 'sha256-{digest}'",
        program=f"filmcolorizer {__version__}",
        **content,
    )
    with replacing(path) as temporary:
        # File names may hold bytes that no text does.
        temporary.write_bytes(page.encode("utf-8", "replace"))


def _with_addresses(slides: Sequence[Slide]) -> list[dict[str, Any]]:
    """The slides as templates take them, their pictures as addresses that hold the data."""
    for width, quality in PICTURE_FORMATS:
        addresses = _all_addresses(slides, width, quality)
        if addresses is not None:
            return [
                {"label": slide.label, "note": slide.note, "pictures": its}
                for slide, its in zip(slides, addresses, strict=True)
            ]
    raise OptionError(
        f"{sum(len(slide.pictures) for slide in slides)} pictures are too many for one page of"
        f" {MAX_PAGE_BYTES / 1e6:g} MB; ask for fewer"
    )


def _all_addresses(slides: Sequence[Slide], width: int, quality: int) -> list[list[str]] | None:
    """The addresses of each slide's pictures; None where they do not fit into a page."""
    room = MAX_PICTURES_BYTES
    addresses = []
    for slide in slides:
        its = [_address(picture, width, quality) for picture in slide.pictures.values()]
        room -= sum(map(len, its))
        if room < 0:
            return None
        addresses.append(its)
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

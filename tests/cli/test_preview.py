"""`filmcolorizer preview`, end to end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from filmcolorizer_cli.files import SAMPLE_FILM
from tests.commands import copy_here, fail, misuse, numbered_pictures, succeed
from tests.machine import files_in


@pytest.mark.slow
def test_preview_writes_a_page_and_a_sheet(vivid_weights: Path) -> None:
    film = copy_here(SAMPLE_FILM, "an <old> film.mp4")
    models = ("--model", "default", "--model", vivid_weights)
    assert succeed("preview", film, "--frames", 3, *models) == (
        "wrote an <old> film-preview.html: 3 frames, grey and as coloured by default,"
        f" {vivid_weights}; open it in a browser\n"
        "wrote an <old> film-preview.png: the same on one sheet\n"
    )
    assert files_in(Path()) == [
        "an <old> film-preview.html", "an <old> film-preview.png", "an <old> film.mp4",
    ]  # fmt: skip
    page = Path("an <old> film-preview.html").read_text()
    assert "<h1>an &lt;old&gt; film.mp4</h1>" in page
    command = "filmcolorizer colorize &#39;an &lt;old&gt; film.mp4&#39; --start T --duration 20<"
    assert command in page
    labels = re.findall(r"<b>(0:00:0\d\.\d\d)</b>", page)
    assert len(labels) == 3
    with Image.open("an <old> film-preview.png") as sheet:
        assert sheet.width > 3 * 2 * 288
    # colorize accepts a frame's label as --start.
    succeed("colorize", film, "--start", labels[1], "--duration", "0.1", "-o", "shot.mp4")
    assert fail("preview", film, "--frames", 3) == (
        "an <old> film-preview.html exists already; name another file with -o, or give --overwrite"
    )
    told = json.loads(succeed("preview", film, "--frames", 2, "--overwrite", "--json"))
    assert told["page"] == "an <old> film-preview.html"
    assert [frame["in_color_already"] for frame in told["frames"]] == [False, False]


def test_preview_refuses_what_it_cannot_do(plain_clip: Path) -> None:
    film = copy_here(plain_clip)
    assert fail("preview", film, "-o", "page.png", code=2) == (
        "page.png does not end in .html; name a file that does with -o"
    )
    assert fail("preview", "none.mp4") == "none.mp4 does not exist; give a film file"
    assert "there is no model 'none'" in fail("preview", film, "--model", "none")
    assert "Invalid value for '--frames'" in misuse("preview", film, "--frames", 0)


@pytest.mark.slow
def test_preview_of_numbered_pictures_tells_a_command_that_shows_the_same(
    vivid_weights: Path,
) -> None:
    pictures = numbered_pictures("-scans", 3)
    options = ("--input-fps", 12, "--vividness", 2, "--recolor", "--model", vivid_weights)
    succeed("preview", "--frames", 1, *options, "-o", "p.html", "--", pictures)
    told = " ".join(map(str, options[:4])), f"--recolor --model {vivid_weights}"
    command = f"filmcolorizer colorize ./-scans/%05d.png --start T --duration 20 {' '.join(told)}"
    assert command in Path("p.html").read_text()
    sheet = ("--frames", 1, "-o", "-scans/00011.html", "--overwrite", "--", pictures)
    assert fail("preview", *sheet) == (
        "-scans/00011.png is the source itself; name another file with -o"
    )

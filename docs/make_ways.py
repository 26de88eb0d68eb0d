"""Run the commands in the tutorial pages, and update the output and pictures shown there::

    python docs/make_ways.py [PAGE...]

Each page's console blocks are run from top to bottom in a new folder, with the program's own ffmpeg
on the path and this folder as ``docs``. A picture that a page shows as ``ways/PAGE/NAME.jpg`` is
made from the file ``NAME.png`` that its commands wrote.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from filmcolorizer_cli.ffmpeg import find_binary

DOCS = Path(__file__).resolve().parent
WAYS = ("old-film", "coloured-copy", "painted-stills")
MAX_WIDTH = 1200  # of pictures, in pixels
JPEG_QUALITY = 82
BLOCK = re.compile(r"(```console\n)(.*?)(```)", re.DOTALL)


def main(names: list[str]) -> None:
    """Update these pages, or all if none are named."""
    for name in names or WAYS:
        page = DOCS / f"{name}.md"
        with tempfile.TemporaryDirectory() as folder:
            make(page, Path(folder))


def make(page: Path, folder: Path) -> None:
    """Run a page's commands in a folder, and update the page's output and pictures."""
    text = page.read_text()

    def run_block(block: re.Match[str]) -> str:
        steps = [f"$ {step}\n{run(step, folder)}" for step, _ in steps_of(block[2])]
        return block[1] + "".join(steps) + block[3]

    prepare(folder)
    page.write_text(BLOCK.sub(run_block, text))
    for target in re.findall(r"\]\((ways/\S+\.jpg)\)", text):
        picture = DOCS / target
        picture.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(folder / f"{picture.stem}.png") as image:
            image.thumbnail((MAX_WIDTH, MAX_WIDTH * 4))
            image.convert("RGB").save(picture, quality=JPEG_QUALITY)


def steps_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, each with its output."""
    for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = step.partition("\n")
        yield command, output


def prepare(folder: Path) -> None:
    """Put ``docs`` and the ffmpeg program into a folder, for the commands."""
    (folder / "docs").symlink_to(DOCS)
    (folder / ".bin").mkdir()
    (folder / ".bin" / "ffmpeg").symlink_to(find_binary())


def run(command: str, folder: Path) -> str:
    """Run a command, and return what it prints for a terminal of 80 columns."""
    programs = (folder / ".bin", Path(sys.executable).parent, os.environ["PATH"])
    path = os.pathsep.join(map(str, programs))
    environment = os.environ | {"PATH": path, "COLUMNS": "80"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    main(sys.argv[1:])

"""Whether the pages in docs/ match the program."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.commands import words_of

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    DOCS.parent / "README.md",
    DOCS.parent / "models" / "default.md",
    *sorted(DOCS.glob("*.md")),
]
WAYS = runpy.run_path(str(DOCS / "make_ways.py"))
# What a training keeps depends on its initial weights.
KEPT = re.compile(r"^(kept |nothing beat ).*\n", re.MULTILINE)


def test_reference_is_fresh() -> None:
    generator = runpy.run_path(str(DOCS / "make_reference.py"))
    assert (DOCS / "reference.md").read_text() == generator["reference"](), (
        "run python docs/make_reference.py"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if "://" not in target:
            place = page.parent / target if target else page
            assert place.exists(), target
            assert not heading or heading in headings_of(place), f"{target}#{heading}"


def headings_of(page: Path) -> list[str]:
    """Return a page's headings as links name them: lower case, with hyphens for spaces."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_docs_name_exist(page: Path) -> None:
    reference = (DOCS / "reference.md").read_text()
    text = re.sub(r"`(python|pip)[^`]*`|^    python.*$", "", page.read_text(), flags=re.MULTILINE)
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)):
        assert option in reference, f"run python docs/make_reference.py, or {option} is gone"


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS["WAYS"])
def test_ways_show_what_the_commands_print(name: str, tmp_path: Path) -> None:
    WAYS["prepare"](tmp_path)
    text = (DOCS / f"{name}.md").read_text()
    steps = [step for block in WAYS["BLOCK"].findall(text) for step in WAYS["steps_of"](block[1])]
    for command, shown in steps:
        printed = WAYS["run"](command, tmp_path)
        assert words_of(command, KEPT.sub("", printed)) == words_of(command, KEPT.sub("", shown)), (
            command
        )
    for picture in re.findall(r"\]\(ways/\S+/(\S+)\.jpg\)", text):
        assert (tmp_path / f"{picture}.png").is_file()

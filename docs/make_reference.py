"""Write ``docs/reference.md``, all commands and options, from the program's own help.

Usage: ``python docs/make_reference.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer.main

from filmcolorizer_cli.cli import app

REFERENCE = Path(__file__).resolve().parent / "reference.md"
HEAD = """# All commands and options

Written by `python docs/make_reference.py` from what the program itself says; a test holds it to
that. Every command takes `--help`.
"""


def reference() -> str:
    """Return the text of the page."""
    program: Any = typer.main.get_command(app)
    context = typer.Context(program, info_name="filmcolorizer")
    parts = [HEAD, describe(program, context)]
    for name in sorted(program.commands):
        command = program.commands[name]
        parts.append(describe(command, typer.Context(command, info_name=name, parent=context)))
    return "\n".join(parts)


def describe(command: Any, context: Any) -> str:
    """Return the section of a command: heading, description, usage and table of parameters."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    paragraphs = (" ".join(paragraph.split()) for paragraph in command.help.split("\n\n"))
    lines = [f"## {context.command_path}", "", *paragraphs, "", f"    {usage}", ""]
    records = [parameter.get_help_record(context) for parameter in command.params]
    if records:
        lines += ["| | | |", "| --- | --- | --- |", *(row(*record) for record in records), ""]
    return "\n".join(lines)


def row(names: str, text: str) -> str:
    """Return a table row: a parameter's names, its description, and notes such as its default."""
    words, _, more = text.partition("  [")
    more = re.sub(r"default: \((.*?)\)(?=;|$)", r"default: \1", more.removesuffix("]"))
    return f"| `{escaped(names)}` | {escaped(words)} | {escaped(more)} |"


def escaped(text: str) -> str:
    """Escape text for a cell of a Markdown table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE.write_text(reference())

"""Commands run as a user runs them, and what they say."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner, Result

from filmcolorizer_cli import cli
from tests.machine import files_in

BOX = re.compile(r"[│╭╮╰╯─\s]+")  # that wrong options are told in


def run(*arguments: object) -> Result:
    """Run a command; an exception that it does not handle fails the test."""
    return CliRunner().invoke(
        cli.app, [str(a) for a in arguments], prog_name="filmcolorizer", catch_exceptions=False
    )


def succeed(*arguments: object) -> str:
    """What a command prints that does what it is told."""
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def fail(*arguments: object, code: int = 1) -> str:
    """The one sentence of a command that fails, which leaves no file behind."""
    before = files_in(Path())
    result = run(*arguments)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    *notes, sentence = result.stderr.splitlines()
    assert all(note.startswith(("colorizing ", "learning from ", "lined up ")) for note in notes)
    assert files_in(Path()) == before
    return sentence.removeprefix("filmcolorizer: ")


def misuse(*arguments: object) -> str:
    """What a command says of a wrong option."""
    before = files_in(Path())
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert files_in(Path()) == before
    return BOX.sub(" ", result.stderr)


def words_of(command: str, output: str) -> list[str]:
    """Output without the width of its tables, and without numbers that are of a training."""
    words = re.sub(r"[━─┏┓┳┡┩╇│┃├┤┼└┘┴\s]+", " ", output)
    is_of_training = command.split()[1] in ("train", "eval")
    return (re.sub(r"[\d.+%:-]+", "0", words) if is_of_training else words).split()

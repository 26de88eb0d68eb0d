"""Commands run as a user runs them, and what they say."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from filmcolorizer_cli import cli
from tests.machine import files_in

BOX = re.compile(r"[│╭╮╰╯─\s]+")  # that wrong options are told in
WAIT_SECONDS = 60.0  # for another process to get somewhere

started: list[subprocess.Popen[str]] = []  # and may have to be ended


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


def table_cells(said: str) -> list[list[str]]:
    lines = [line for line in said.splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def words_of(command: str, output: str) -> list[str]:
    """Output without the width of its tables, and without numbers that are of a training."""
    words = re.sub(r"[━─┏┓┳┡┩╇│┃├┤┼└┘┴\s]+", " ", output)
    is_of_training = command.split()[1] in ("train", "eval")
    return (re.sub(r"[\d.+%:-]+", "0", words) if is_of_training else words).split()


def copy_here(path: Path, name: str | None = None) -> Path:
    """A file in the current folder, as a user would have it."""
    return Path(shutil.copy(path, name or path.name))


def numbered_pictures(folder: str, count: int = 9) -> Path:
    """Grey pictures 64x48 of luma 20, 40, 60 and so on, numbered from 11."""
    Path(folder).mkdir()
    for number in range(count):
        Image.new("L", (64, 48), 20 * (number + 1)).save(f"{folder}/{number + 11:05d}.png")
    return Path(folder, "%05d.png")


def start(*arguments: object) -> subprocess.Popen[str]:
    """The program in a process of its own, which Ctrl-C can end even if we run in a background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        program = subprocess.Popen(
            [sys.executable, "-m", "filmcolorizer_cli", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    started.append(program)
    return program


def wait_for(condition: Callable[[], bool], program: subprocess.Popen[str]) -> None:
    """Wait until the program got somewhere."""
    give_up = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert program.poll() is None, program.communicate()[1]
        assert time.monotonic() < give_up
        time.sleep(0.005)


def finish(program: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal; the exit code and what was said on stderr."""
    program.send_signal(number)
    _, said = program.communicate(timeout=WAIT_SECONDS)
    return program.returncode, said


def processes_naming(text: str) -> list[str]:
    """The command lines of all processes that name something, but ours."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc to look for processes in")
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in line and int(path.parent.name) != os.getpid():
            found.append(line)
    return found

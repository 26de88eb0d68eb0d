"""Run commands as a user does, and check what they print."""

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

BOX = re.compile(r"[│╭╮╰╯─\s]+")  # frame around messages about wrong options, and white space
WAIT_SECONDS = 60.0  # longest wait for another process

started: list[subprocess.Popen[str]] = []  # processes that may still run when a test ends


def run(*arguments: object) -> Result:
    """Run a command; an exception that it does not handle fails the test."""
    return CliRunner().invoke(
        cli.app, [str(a) for a in arguments], prog_name="filmcolorizer", catch_exceptions=False
    )


def succeed(*arguments: object) -> str:
    """Run a command that must succeed, and return its stdout."""
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def fail(*arguments: object, code: int = 1) -> str:
    """Run a command that must fail and leave no new file; return its error message."""
    before = files_in(Path())
    result = run(*arguments)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    *notes, sentence = result.stderr.splitlines()
    assert all(note.startswith(("colorizing ", "learning from ", "lined up ")) for note in notes)
    assert files_in(Path()) == before
    return sentence.removeprefix("filmcolorizer: ")


def misuse(*arguments: object) -> str:
    """Run a command with a wrong option, and return its error message."""
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
    """Return the words of an output without table borders; numbers of train and eval become 0."""
    words = re.sub(r"[━─┏┓┳┡┩╇│┃├┤┼└┘┴\s]+", " ", output)
    is_of_training = command.split()[1] in ("train", "eval")
    return (re.sub(r"[\d.+%:-]+", "0", words) if is_of_training else words).split()


def copy_here(path: Path, name: str | None = None) -> Path:
    """Copy a file into the current folder, as a user would have it."""
    return Path(shutil.copy(path, name or path.name))


def numbered_pictures(folder: str, count: int = 9) -> Path:
    """Write grey 64x48 pictures of luma 20, 40 and so on, numbered from 11; return the pattern."""
    Path(folder).mkdir()
    for number in range(count):
        Image.new("L", (64, 48), 20 * (number + 1)).save(f"{folder}/{number + 11:05d}.png")
    return Path(folder, "%05d.png")


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the program in its own process, which Ctrl-C ends even if tests run in background."""
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
    """Wait until a condition holds; fail if the program ends before."""
    give_up = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert program.poll() is None, program.communicate()[1]
        assert time.monotonic() < give_up
        time.sleep(0.005)


def finish(program: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal; return the exit code and stderr."""
    program.send_signal(number)
    _, said = program.communicate(timeout=WAIT_SECONDS)
    return program.returncode, said


def processes_naming(text: str) -> list[str]:
    """Return the command lines of all other processes that contain a text."""
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

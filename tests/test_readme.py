"""The commands in README.md give the output that it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import words_of

README = (Path(__file__).parents[1] / "README.md").read_text()


def shown() -> list[tuple[str, str]]:
    """Return (command, output) of each `$ ` line in the README's console blocks, in order."""
    steps = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for step in block.split("$ ")[1:]:
            command, _, output = step.partition("\n")
            steps.append((command, output))
    return steps


@pytest.mark.slow
def test_readme_shows_what_the_commands_print(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "COLUMNS": "80"}
    steps = shown()
    named = {command.split()[1] for command, _ in steps}
    assert named >= {"demo", "info", "sync", "extract", "train", "eval", "colorize", "models"}
    for command, output in steps:
        done = subprocess.run(
            command.split(), cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert words_of(command, done.stdout) == words_of(command, output), command


def test_readme_has_the_two_lines() -> None:
    lines = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)
    assert len(lines) == 2
    assert lines[0].endswith("filmcolorizer demo")
    assert lines[1].endswith("python -m pytest")

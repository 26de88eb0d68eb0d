from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "completions"
GENERATOR = runpy.run_path(str(FOLDER / "generate.py"))


@pytest.mark.parametrize("shell", GENERATOR["FILES"])
def test_completions_are_fresh(shell: str) -> None:
    assert (FOLDER / GENERATOR["FILES"][shell]).read_text() == GENERATOR["script"](shell)


def complete_in_bash(words: list[str], folder: Path) -> list[str]:
    """Return what bash offers after these words, with the script in completions/."""
    script = f"""
        source '{FOLDER / "filmcolorizer.bash"}'
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
        COMP_CWORD={len(words) - 1}
        _filmcolorizer_completion filmcolorizer
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (["filmcolorizer", "col"], ["colorize"]),
        (["filmcolorizer", "colorize", "--mod"], ["--model"]),
        (["filmcolorizer", "colorize", "--device", "c"], ["cpu", "cuda"]),
        (["filmcolorizer", "colorize", "--model", ""], ["default", "mine.safetensors"]),
        (["filmcolorizer", "train", "--init", "n"], ["none"]),
        (["filmcolorizer", "colorize", "old"], []),  # bash then completes file names itself
    ],
)
def test_bash_completion_offers(words: list[str], offers: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").touch()
    assert complete_in_bash(words, tmp_path) == offers


def test_bash_completion_falls_back_to_file_names() -> None:
    assert "complete -o default" in (FOLDER / "filmcolorizer.bash").read_text()

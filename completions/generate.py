"""Write the completion scripts of all shells into this folder: python completions/generate.py"""

from __future__ import annotations

from pathlib import Path

from typer.completion import get_completion_script  # type: ignore[attr-defined]

PROGRAM = "filmcolorizer"
FILES = {
    "bash": "filmcolorizer.bash",
    "zsh": "_filmcolorizer",
    "fish": "filmcolorizer.fish",
    "powershell": "filmcolorizer.ps1",
}


def script(shell: str) -> str:
    """The script that makes this shell ask the program for completions."""
    text = get_completion_script(
        prog_name=PROGRAM, complete_var=f"_{PROGRAM.upper()}_COMPLETE", shell=shell
    )
    return text.strip() + "\n"


if __name__ == "__main__":
    for shell, name in FILES.items():
        (Path(__file__).parent / name).write_text(script(shell))

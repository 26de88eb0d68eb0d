"""The package's structure, checked against the table in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import filmcolorizer_cli
from filmcolorizer_cli.cli import app
from filmcolorizer_cli.files import SAMPLE_FILM
from tests.values import present

PACKAGE = Path(filmcolorizer_cli.__file__).parent
MODULES = {path.stem: ast.parse(path.read_text()) for path in PACKAGE.glob("*.py")}
CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"

# The only modules that may import a library.
LIBRARIES = {
    "subprocess": {"ffmpeg"},
    "multiprocessing": set(),
    "imageio_ffmpeg": {"ffmpeg"},
    "ffmpeg": {"encoding", "ffmpeg", "filtergraphs", "frames", "joining"},
    "av": {"cadence", "filtergraphs", "joining", "packets", "reshaping", "subtitles", "video"},
    "typer": {"cli", "options"},
    "rich": {"console"},
    "cv2": {
        "aligned",
        "displacement",
        "dissolves",
        "extracting",
        "irises",
        "shots",
        "stills",
        "motion",
        "painting",
        "pairs",
        "propagation",
        "warps",
        "upsampling",
    },
    "jinja2": {"pages"},
    "markupsafe": {"pages"},
    "matplotlib": {"lettering", "plots"},
    "psutil": {"doctor", "files"},
    "safetensors": {"models", "weights"},
    "pickle": set(),
    "shelve": set(),
    "joblib": set(),
    "dill": set(),
}
STARTS_PROCESS = re.compile(
    r"os\.(system|popen|fork|forkpty|spawn\w+|exec\w+|posix_spawnp?)|ffmpeg\.(run|run_async|probe)"
)
FORCES_COLOR = {"FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"}
SLOW_LIBRARIES = {
    "PIL", "av", "cv2", "ffmpeg", "jinja2", "matplotlib", "numpy", "safetensors", "torch",
}  # fmt: skip


def table() -> dict[str, set[str] | None]:
    """Return each module's imports by CONTRIBUTING.md; None if it may import anything."""
    section = CONTRIBUTING.read_text().split("\n## Who imports whom\n")[1].split("\n## ")[0]
    rows: dict[str, set[str] | None] = {}
    for line in re.findall(r"^    (\S.*)$", section, re.MULTILINE):
        names, imports = re.split(r"\s{2,}", line)
        for name in names.split(", "):
            assert name not in rows
            anything = imports == "anything"
            rows[name] = None if anything else set(imports.split(", ")) - {"nothing"}
    return rows


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names of all modules and names that a module imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports would slip through"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of_ours(tree: ast.Module) -> set[str]:
    names = {name.split(".")[1] for name in imported(tree) if name.startswith("filmcolorizer_cli.")}
    return names & set(MODULES)


def calls(tree: ast.Module) -> set[str]:
    """Return all callees in a module, as written."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def commands() -> dict[str, Any]:
    """Return all commands by name, including the program itself."""
    program: Any = typer.main.get_command(app)
    return {"filmcolorizer": program, **program.commands}


def run_program(*arguments: str, **environment: str) -> tuple[int, str, set[str]]:
    """Run the program; return its exit code, its output and the top-level modules it imported."""
    plain = {k: v for k, v in os.environ.items() if k not in FORCES_COLOR}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "filmcolorizer_cli", *arguments],
        capture_output=True,
        text=True,
        env={**plain, "COLUMNS": "200", **environment},
        check=False,
    )
    timings = re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE)
    said = re.sub(r"^import time: .*\n", "", done.stderr, flags=re.MULTILINE)
    return done.returncode, done.stdout + said, {name.split(".")[0] for name in timings}


def test_imports_are_those_of_the_table() -> None:
    rows = table()
    assert set(rows) == set(MODULES) - {"__init__", "__main__"}
    actual = {name: imports_of_ours(MODULES[name]) for name in rows}
    assert actual == {
        name: actual[name] if allowed is None else allowed for name, allowed in rows.items()
    }
    assert [name for name, allowed in rows.items() if allowed is None] == ["cli"]


def test_imports_go_one_way() -> None:
    before: set[str] = set()
    waiting = {name: imports_of_ours(tree) for name, tree in MODULES.items()}
    while waiting:
        ready = {name for name, imports in waiting.items() if imports <= before}
        assert ready, f"a circle among {sorted(waiting)}"
        before |= ready
        waiting = {name: imports for name, imports in waiting.items() if name not in ready}


def test_nobody_imports_cli_but_main() -> None:
    assert {name for name, tree in MODULES.items() if "cli" in imports_of_ours(tree)} == {
        "__main__"
    }
    assert imports_of_ours(MODULES["__main__"]) == {"cli", "stopping"}
    assert imports_of_ours(MODULES["__init__"]) == set()


@pytest.mark.parametrize("library", LIBRARIES)
def test_library_is_imported_only_where_it_belongs(library: str) -> None:
    users = {
        module
        for module, tree in MODULES.items()
        if any(name == library or name.startswith(f"{library}.") for name in imported(tree))
    }
    assert users == LIBRARIES[library]


def test_only_ffmpeg_starts_processes() -> None:
    starters = {
        module
        for module, tree in MODULES.items()
        if any(STARTS_PROCESS.fullmatch(call) for call in calls(tree))
        or any(STARTS_PROCESS.fullmatch(name) for name in imported(tree))
    }
    assert starters == set()  # ffmpeg.py uses subprocess, which only it may import


def test_libraries_that_are_imported_are_declared() -> None:
    """Being installed as a dependency of another library is not enough."""
    names = {name.split(".")[0] for tree in MODULES.values() for name in imported(tree)}
    foreign = names - set(sys.stdlib_module_names) - {"filmcolorizer_cli"}
    declared = {
        present(re.match("[a-z0-9-]+", line))[0]
        for line in importlib.metadata.requires("filmcolorizer") or ()
        if "extra ==" not in line or "tensorboard" in line
    }
    packages = importlib.metadata.packages_distributions()
    missing = {name for name in foreign if not declared & {*map(str.lower, packages.get(name, ()))}}
    assert missing == set()


def test_library_neither_prints_nor_exits() -> None:
    talking = {
        "print", "input", "exit", "quit", "sys.exit", "os._exit", "os.abort", "sys.stdout.write",
        "sys.stderr.write",
    }  # fmt: skip
    library = {name: tree for name, tree in MODULES.items() if name not in ("cli", "console")}
    said = {name: words for name, tree in library.items() if (words := calls(tree) & talking)}
    assert said == {"stopping": {"sys.exit"}}


def test_nothing_is_unpickled() -> None:
    unpickling = {"torch.load", "torch.save", "np.load", "numpy.load", "torch.jit.load"}
    used = {
        name: names
        for name, tree in MODULES.items()
        if (names := (calls(tree) | set(imported(tree))) & unpickling)
    }
    assert used == {}


@pytest.mark.parametrize("name", commands())
def test_command_has_help_for_itself_and_all_it_takes(name: str) -> None:
    command = commands()[name]
    assert command.help.endswith(".")
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.opts} has no help"
        assert parameter.help.endswith("."), f"{name} {parameter.opts}"
        assert "[default" not in parameter.help, "rich takes brackets for markup; use show_default"


def test_commands_are_those_that_are_promised() -> None:
    promised = {
        "colorize", "compare", "demo", "doctor", "eval", "extract", "info", "models",
        "preview", "sync", "train",
    }  # fmt: skip
    assert set(commands()) == promised | {"filmcolorizer"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "Colorize old black-and-white films."),
        ([], 2, "Colorize old black-and-white films."),
        (["--version"], 0, f"filmcolorizer {filmcolorizer_cli.__version__}\n"),
        (["train", "--help"], 0, "Train a network for one film on the pairs taken from it."),
        (["--nope"], 2, "No such option: --nope"),
        (["colorize"], 2, "Missing argument 'FILM'"),
        (["colorize", "film.mp4", "--crf", "64"], 2, "Invalid value for '--crf'"),
        (["colorize", "film.mp4", "--fps", "abc"], 2, "'abc' is not a frame rate from 1 to 240"),
        (["colorize", "film.mp4", "--start", "soon"], 2, "'soon' is not a time"),
        (["sync", "a.mp4", "b.mp4", "--offset=x"], 2, "'x' is not a whole number of frames"),
        (["extract", "a.mp4", "--sync", "m.json"], 2, "it needs both films, BW and COLOR"),
        (["train", "--split", "x"], 2, "'x' is not a split"),
        (["eval", "--start", "1"], 2, "it is for films, not for a folder of pairs"),
        (["eval", "a.mp4", "--split", "interleaved"], 2, "it is for a folder of pairs"),
    ],
)
def test_program_answers_without_heavy_libraries(
    arguments: list[str], code: int, words: str
) -> None:
    returncode, said, modules = run_program(*arguments)
    assert words in said
    assert returncode == code
    assert "typer" in modules, "the import times were not read"
    assert modules & SLOW_LIBRARIES == set()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("filmcolorizer col", "colorize"),
        ("filmcolorizer colorize film.mp4 --pre", "--preset"),
        ("filmcolorizer colorize film.mp4 --preset ultra", "ultrafast"),
        ("filmcolorizer train --init no", "none"),
    ],
)
def test_completion_answers_without_heavy_libraries(line: str, expected: str) -> None:
    words = len(line.split()) - 1
    code, said, modules = run_program(
        _FILMCOLORIZER_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(words)
    )
    assert said.split() == [expected]
    assert code == 0
    assert "typer" in modules, "the import times were not read"
    assert modules & SLOW_LIBRARIES == set()


@pytest.mark.parametrize("arguments", [("info", str(SAMPLE_FILM)), ("models",)])
def test_command_that_only_tells_does_not_load_torch(arguments: tuple[str, ...]) -> None:
    code, said, modules = run_program(*arguments)
    assert code == 0
    assert "default" in said
    assert "torch" not in modules


@pytest.mark.parametrize("arguments", [("colorize", "missing.mp4"), ("sync", "missing.mp4", "b")])
def test_command_tells_of_a_missing_film_without_loading_torch(arguments: tuple[str, ...]) -> None:
    code, said, modules = run_program(*arguments)
    assert (code, said) == (1, "filmcolorizer: missing.mp4 does not exist; give a film file\n")
    assert "torch" not in modules

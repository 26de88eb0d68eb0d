"""Print the times of help and completion as ratios to that of importing only Typer and rich.

python -m benchmarks.startup
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from benchmarks.programs import FILMCOLORIZER

ROUNDS = 11
GOAL = 3.0  # maximum ratio to the time of the bare imports
BARE = [sys.executable, "-c", "import typer, rich.console"]
COMPLETION = {
    "_FILMCOLORIZER_COMPLETE": "complete_bash",
    "COMP_WORDS": "filmcolorizer colorize --mod",
    "COMP_CWORD": "2",
}


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Return the wall time of one run."""
    started = time.perf_counter()
    subprocess.run(command, env=os.environ | environment, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Time all in turn, so that drift in the machine's speed affects them alike."""
    cases = {"--help": ([*FILMCOLORIZER, "--help"], {}), "completion": (FILMCOLORIZER, COMPLETION)}
    ratios: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        bare = seconds(BARE, {})
        for name, (command, environment) in cases.items():
            ratios[name].append(seconds(command, environment) / bare)
    for name, values in ratios.items():
        middle = statistics.median(values)
        print(f"{name}: {middle:.2f} times the bare imports (goal: at most {GOAL:g})")


if __name__ == "__main__":
    main()

"""Print the peak memory of colorize on one minute and on ten minutes of a film, and their ratio.

python benchmarks/memory.py FILM   (ten minutes or longer)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

MINUTES = (1, 10)
GOAL = 1.1  # times the peak of the shorter one
SAMPLING_SECONDS = 0.1


def peak_bytes(film: str, minutes: int, folder: Path) -> int:
    """Highest sum of the unshared memory of colorize and its ffmpeg processes."""
    command = [sys.executable, "-m", "filmcolorizer_cli", "colorize", film, "--preset", "ultrafast"]
    command += ["--duration", str(60 * minutes), "-o", str(folder / f"{minutes}.mp4")]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(member.memory_full_info().uss for member in family))
        except psutil.NoSuchProcess:
            continue
        time.sleep(SAMPLING_SECONDS)
    if process.returncode != 0:
        raise SystemExit(f"colorize ended with exit code {process.returncode}")
    return peak


def main() -> None:
    """Colorize both lengths of the film named on the command line."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (peak_bytes(sys.argv[1], minutes, Path(folder)) for minutes in MINUTES)
    for minutes, peak in zip(MINUTES, (short, long), strict=True):
        print(f"{minutes} min: peak {peak / 1e6:.0f} MB")
    print(f"ratio {long / short:.3f} (goal: at most {GOAL:g})")


if __name__ == "__main__":
    main()

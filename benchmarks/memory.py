"""Print the peak memory of colorize on one minute and on ten minutes of a film, and their ratio.

python -m benchmarks.memory FILM   (ten minutes or longer; Linux only)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import psutil
import typer

MINUTES = (1, 10)
GOAL = 1.1  # times the peak of the shorter one
SAMPLING_SECONDS = 0.5


def high_water_bytes(process: int) -> int:
    """The most resident memory that a process has had, as the kernel kept it."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def peak_of(process: psutil.Popen, ended: threading.Event) -> int:
    """The most that a process and its children have had together until it ended, in bytes.

    At each look the sum of the high-water marks of those that live, so it may be a little high;
    an encoder that has ended gave back what the next one takes. A child that has yet to become
    ffmpeg is left out: until then its memory is that of the process that started it.
    """
    peak = 0
    while not ended.wait(SAMPLING_SECONDS):
        marks = [0]
        with suppress(psutil.NoSuchProcess):
            for member in [process, *process.children(recursive=True)]:
                # One may end between being listed and being looked at.
                with suppress(psutil.Error, OSError, IndexError):
                    if member is process or member.exe() != process.exe():
                        marks.append(high_water_bytes(member.pid))
        peak = max(peak, sum(marks))
    return peak


def run_watched(command: list[str]) -> tuple[float, int]:
    """Seconds that a command takes, and its peak memory in bytes."""
    ended = threading.Event()
    started = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with ThreadPoolExecutor(1) as pool:
        peak = pool.submit(peak_of, process, ended)
        try:
            code = process.wait()
            seconds = time.monotonic() - started
        finally:
            ended.set()
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with exit code {code}")
    return seconds, peak.result()


def colorize_peak(film: Path, minutes: int, folder: Path) -> int:
    """The peak of colorize on the first minutes of a film."""
    target = str(folder / f"{minutes}.mp4")
    program = [sys.executable, "-m", "filmcolorizer_cli", "colorize", str(film), "-o", target]
    usual = ["--model", "default", "--recolor", "--workers", "1", "--preset", "ultrafast"]
    return run_watched([*program, *usual, "--duration", str(60 * minutes)])[1]


def main(film: Annotated[Path, typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Colorize both lengths."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (colorize_peak(film, minutes, Path(folder)) for minutes in MINUTES)
    for minutes, peak in zip(MINUTES, (short, long), strict=True):
        print(f"{minutes} min: peak {peak / 1e6:.0f} MB")
    print(f"ratio {long / short:.3f} (goal: at most {GOAL:g})")


if __name__ == "__main__":
    typer.run(main)

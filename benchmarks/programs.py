"""The program that is measured, and programs watched while they run."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

FILMCOLORIZER = [sys.executable, "-m", "filmcolorizer_cli"]
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

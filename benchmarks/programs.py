"""The command of the measured program, and functions that watch programs while they run."""

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
    """Return the peak resident memory of a process, as recorded by the kernel."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def peak_of(process: psutil.Popen, ended: threading.Event) -> int:
    """Return the peak memory, in bytes, of a process and its children together until it ends.

    Each sample adds up the high-water marks of the live processes, so the peak may be slightly too
    high. An encoder that has ended does not count, since the next one reuses its memory. Nor does a
    child that has yet to become ffmpeg: until then it shares the memory of its parent.
    """
    peak = 0
    while not ended.wait(SAMPLING_SECONDS):
        marks = [0]
        with suppress(psutil.NoSuchProcess):
            for member in [process, *process.children(recursive=True)]:
                # A process may end after it was listed.
                with suppress(psutil.Error, OSError, IndexError):
                    if member is process or member.exe() != process.exe():
                        marks.append(high_water_bytes(member.pid))
        peak = max(peak, sum(marks))
    return peak


def run_watched(command: list[str]) -> tuple[float, int]:
    """Run a command; return the seconds it takes and its peak memory in bytes."""
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

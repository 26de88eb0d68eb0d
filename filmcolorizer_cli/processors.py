"""The number of processors that are available."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

# On Linux: the microseconds that a container may compute per period, or "max"; then the period's
# microseconds.
CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def count_processors() -> int:
    """Return how many processors this process may use, within a container's CPU quota."""
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    else:
        there = os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = map(int, CPU_QUOTA_FILE.read_text().split())
        return max(min(there, math.ceil(quota / period)), 1)
    return there

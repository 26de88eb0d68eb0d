"""The processors that there are to share out."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

# Of Linux: how many microseconds a container may compute in so many, or "max" for the first.
CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def count_processors() -> int:
    """Those that this process may use, of which a container may have a part of the time alone."""
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    else:
        there = os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = map(int, CPU_QUOTA_FILE.read_text().split())
        return max(min(there, math.ceil(quota / period)), 1)
    return there

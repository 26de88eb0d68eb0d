from __future__ import annotations

import os
from pathlib import Path

import pytest

from filmcolorizer_cli import processors


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (None, 8),
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("6400000 100000", 8),
        ("", 8),
    ],
)
def test_count_processors_heeds_what_a_container_may_use(
    quota: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as `docker run --cpus 2`; see "cpu.max" in the kernel's documentation of cgroup v2."""
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(f"{quota}\n")
    monkeypatch.setattr(processors, "CPU_QUOTA_FILE", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert processors.count_processors() == expected

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal
from filmcolorizer_cli.stopping import check_signals, heed_signals

class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        [None for _ in range(100)]  # where it is raised

signal.signal(signal.{name}, signal.SIG_DFL)  # whatever started the tests ignored
heed_signals()
last = Last()
del last
print("lost")
check_signals()
print("never")
"""


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", -2), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_check_signals_raises_what_a_finalizer_lost(name: str, code: int) -> None:
    """Python reports no ignored exception."""
    done = run_program(PROGRAM.format(name=name))
    assert done.stdout == "lost\n"
    assert done.returncode == code
    assert "Exception ignored" not in done.stderr
    assert ("KeyboardInterrupt" in done.stderr) == (name == "SIGINT")  # nobody catches it here


def test_other_errors_in_finalizers_are_told() -> None:
    done = run_program(PROGRAM.format(name="SIGINT").replace("os.kill", "1 / 0; os.kill"))
    assert "ZeroDivisionError" in done.stderr
    assert done.stdout == "lost\nnever\n"

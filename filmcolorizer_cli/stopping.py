"""Ctrl-C and SIGTERM, which end a command as an error does."""

from __future__ import annotations

import signal
import sys
from types import FrameType

TERMINATED = 128 + signal.SIGTERM  # the exit code that shells give to what this signal ended

_stopped_by: int | None = None


def heed_signals() -> None:
    """Let both signals unwind what is going on, so that nothing half-written stays."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)


def check_signals() -> None:
    """Raise again what a signal raised.

    An exception that comes while a finalizer runs is lost, so work that takes long asks.
    """
    if _stopped_by is not None:
        _raise(_stopped_by)


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopped_by
    _stopped_by = number
    _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)

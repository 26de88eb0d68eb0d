"""Ctrl-C, SIGTERM and SIGHUP, which end a command as an error does."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# The exit codes that shells give to what these signals ended.
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
HUNG_UP = 129  # SIGHUP's, which Windows does not know
# What else ends a program; Windows knows no closed terminal. They are left alone where they are
# ignored, as under nohup.
_SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]

_stopped_by: int | None = None
_holds = 0
_waiting = False


def heed_signals() -> None:
    """Let these signals unwind what is going on, so that nothing half-written stays."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _tell_unraisable


def check_signals() -> None:
    """Raise again what a signal raised.

    An exception that comes while a finalizer runs is lost, so work that takes long asks, and so
    does a command at its end.
    """
    if _stopped_by is not None:
        _raise(_stopped_by)


@contextmanager
def held_signals() -> Iterator[None]:
    """Let a signal wait until the block is done, which must be soon.

    Between starting a process and noting that it has to be ended, nothing may be raised. Only the
    main thread is ever interrupted, so in others there is nothing to hold.
    """
    global _holds, _waiting
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _holds += 1
    try:
        yield
    finally:
        _holds -= 1
        if _waiting and not _holds:
            _waiting = False
            check_signals()


def _tell_unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Say what was lost in a finalizer, but for what `check_signals` raises again."""
    if not issubclass(lost.exc_type, KeyboardInterrupt | SystemExit):
        sys.__unraisablehook__(lost)


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopped_by, _waiting
    _stopped_by = number
    if _holds:
        _waiting = True
    else:
        _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)

"""Handling of Ctrl-C, SIGTERM and SIGHUP, which end a command as an error does."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Shells' exit codes for programs that these signals ended.
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
HUNG_UP = 129  # that of SIGHUP, which Windows does not have
# The signals that are handled. Those that are ignored, as under nohup, stay ignored.
_SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]

_stopped_by: int | None = None
_holds = 0
_waiting = False


def heed_signals() -> None:
    """Let these signals raise an exception, so that no partly written file is left behind."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _tell_unraisable


def check_signals() -> None:
    """Raise the exception of a signal again, if one has come.

    An exception raised while a finalizer runs is lost. Therefore long work calls this, and so does
    a command at its end.
    """
    if _stopped_by is not None:
        _raise(_stopped_by)


@contextmanager
def held_signals() -> Iterator[None]:
    """Defer signals until the end of the block, which must be short.

    For example, nothing may be raised between starting a process and registering that it has to be
    ended. Only the main thread is ever interrupted, so other threads have nothing to defer.
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
    """Report an exception lost in a finalizer, unless `check_signals` raises it again."""
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

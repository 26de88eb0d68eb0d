from __future__ import annotations

import fcntl
import json
import os
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from filmcolorizer_cli import console


def test_track_passes_everything_on() -> None:
    assert list(console.track(iter("abc"), 3, "letters")) == ["a", "b", "c"]


def test_track_is_silent_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "QUIET_SECONDS", 0.0)
    list(console.track(range(3), 3, "numbers"))
    assert capsys.readouterr() == ("", "")


def test_track_takes_whole_numbers_for_how_far_it_has_come(
    terminal: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a rendering that resumes an interrupted one."""
    monkeypatch.setattr(console, "QUIET_SECONDS", 0.0)
    list(console.track([30, 31, 32], 40, "numbers"))
    assert "32/40" in terminal.getvalue()


def test_track_shows_no_bar_for_quick_work(terminal: StringIO) -> None:
    list(console.track(range(3), 3, "numbers"))
    assert "numbers" not in terminal.getvalue()


def test_track_shows_a_bar_for_longer_work(
    terminal: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "QUIET_SECONDS", 0.0)
    list(console.track("abcd", 4, "numbers", unit="pairs"))
    shown = terminal.getvalue()
    assert "numbers" in shown
    assert "4/4" in shown
    assert "pairs/s" in shown
    assert "\x1b[?25h" in shown, "the cursor is given back"


@pytest.mark.parametrize("width", [80, 60, 40])
def test_track_shows_the_status_of_each_item_on_one_line(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = StringIO()
    narrow = Console(file=screen, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(console, "err", narrow)
    monkeypatch.setattr(console, "QUIET_SECONDS", 0.0)

    def status(item: str) -> console.Status:
        return console.Status(16, f"epoch {item}/12", "loss 0.1234, best 11")

    list(console.track("123", 16_000, "training", unit="pairs", status=status))
    lines = re.split(r"[\r\n]|\x1b\[[?\d]*[A-Za-z]", screen.getvalue())
    assert all(len(line) <= width for line in lines)
    if width == 80:
        words = ("epoch 3/12 ", " 48/16000 ", " loss 0.1234, best 11")
        assert any(all(word in line for word in words) for line in lines)


def shown_in_window(columns: list[int], **environment: str) -> str:
    """Return what a program with a bar writes to a terminal that is resized to these widths.

    Each width lasts for ten items.
    """
    program = """
import os, sys, time
from filmcolorizer_cli import console
console.QUIET_SECONDS = 0.0
def items():
    for number in range(10 * int(sys.argv[1])):
        sys.stdin.readline()
        time.sleep(0.12)  # longer than from one drawing of the bar to the next
        yield number
for number in console.track(items(), 10 * int(sys.argv[1]), "frames looked at"):
    os.write(1, b"done\\n")  # not through the bar
console.table("a title", ("name", "size"), [[("x" * 50, "1"), ("b", "2")]])
"""
    ours, theirs = os.openpty()
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns[0], 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(len(columns))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**plain, "TERM": "xterm", **environment},
        text=True,
    )
    os.close(theirs)
    assert process.stdin is not None
    assert process.stdout is not None
    shown = b""
    for width in columns:
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        for _ in range(10):
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            shown += os.read(ours, 65536) if select.select([ours], [], [], 0)[0] else b""
    process.communicate()
    while select.select([ours], [], [], 0.1)[0]:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # how Linux reports that the other side is closed
            break
    os.close(ours)
    return shown.decode()


def test_track_follows_a_window_that_is_resized() -> None:
    shown = shown_in_window([90, 45])
    lines = [re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", shown)]
    bars = [line for line in lines if "/20" in line]
    early = [line for line in bars if re.search(r"\b[2-8]/20", line)]
    late = [line for line in bars if re.search(r"\b1[3-9]/20", line)]
    assert early and max(map(len, early)) > 70
    assert late and max(map(len, late)) <= 45
    assert all("frames looked at" in line for line in late)


def test_track_needs_no_colours() -> None:
    shown = shown_in_window([80], NO_COLOR="1")
    assert "frames looked at ━" in shown
    assert re.findall(r"\x1b\[[\d;]*m", shown) == []


def test_track_is_silent_at_a_terminal_that_draws_nothing_anew() -> None:
    assert shown_in_window([80], TERM="dumb") == ""


def test_log_speaks_only_where_there_is_no_terminal(
    terminal: StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console.log("epoch 1")
    assert terminal.getvalue() == ""
    monkeypatch.setattr(console, "err", Console(stderr=True, force_terminal=False))
    console.log("epoch [2]")
    assert capsys.readouterr() == ("", "epoch [2]\n")


def test_track_ends_the_work_when_it_is_stopped(terminal: StringIO) -> None:
    ended = []

    def work() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            ended.append(True)

    tracked = console.track(work(), 100, "numbers")
    assert next(tracked) == 0
    tracked.close()
    del tracked
    assert ended == [True]


@pytest.mark.parametrize("text", ["a [bold] film", "100% [/] of it", "ä, 漫", "x" * 300])
def test_words_are_printed_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.say(text)
    console.note(text)
    console.fail(text)
    console.facts([("name", text)])
    out, err = capsys.readouterr()
    assert err == f"{text}\nfilmcolorizer: {text}\n"
    assert out.startswith(f"{text}\n")
    if len(text) < 60:
        assert out == f"{text}\nname  {text}\n"


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    content = {"path": "a [red] film.mp4", "long": "x" * 500, "numbers": [1, 2.5, None]}
    console.json(content)
    out, err = capsys.readouterr()
    assert json.loads(out) == content
    assert err == ""


def test_table_shows_all_cells(capsys: pytest.CaptureFixture[str]) -> None:
    console.table("title", ("name", "[size]"), [[("a", "[bold]")], [("b", "2")]])
    out = capsys.readouterr().out
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "title"
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert rows == [["a", "[bold]"], ["b", "2"]]


def test_track_ends_at_a_signal_whose_exception_was_lost() -> None:
    """Python drops exceptions raised in a finalizer."""
    program = """
import os, signal
from filmcolorizer_cli import console
from filmcolorizer_cli.stopping import heed_signals

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIG{name})

def items():
    for number in range(3):
        print(number, flush=True)
        Finalized() if number == 1 else None
        yield number

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests ignored
heed_signals()
try:
    list(console.track(items(), 3, "working"))
except (KeyboardInterrupt, SystemExit) as stop:
    print(type(stop).__name__, stop.args)
"""
    for name, said in (("INT", "KeyboardInterrupt ()"), ("TERM", "SystemExit (143,)")):
        command = [sys.executable, "-c", program.replace("{name}", name)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stdout == f"0\n1\n{said}\n"
        assert done.stderr == ""

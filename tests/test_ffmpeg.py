from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg
import pytest

from filmcolorizer_cli import ffmpeg as our_ffmpeg
from filmcolorizer_cli.errors import FfmpegError
from filmcolorizer_cli.ffmpeg import BINARY_VARIABLE, Process, find_binary, local_file, open_input
from tests.values import present

ODD_NAMES = ["two words.mp4", 'it\'s "q".mp4', "-v.mp4", "100%d.mp4", "http:x.mp4", "ä[0],;\\.mp4"]


def script(path: Path, text: str) -> Path:
    """Write a short Python program that stands in for a misbehaving ffmpeg."""
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


def endless() -> Any:
    """Return a stream that writes pictures to a pipe without end."""
    source = ffmpeg.input("testsrc2=size=64x48", format="lavfi")
    return source.output("pipe:", format="rawvideo")


def to_nowhere(source: Any) -> Any:
    return source.output("pipe:", format="null")


def test_find_binary_takes_the_installed_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BINARY_VARIABLE, raising=False)
    assert Path(find_binary()).parent == Path(imageio_ffmpeg.__file__).parent / "binaries"


@pytest.mark.parametrize("how", ["path", "name"])
def test_find_binary_takes_the_named_one(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = script(tmp_path / "my-ffmpeg", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(BINARY_VARIABLE, str(named) if how == "path" else named.name)
    assert find_binary() == str(named)


def test_find_binary_refuses_a_name_that_cannot_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "ffmpeg"
    named.write_text("not executable")
    monkeypatch.setenv(BINARY_VARIABLE, str(named))
    with pytest.raises(FfmpegError) as caught:
        find_binary()
    assert str(caught.value) == (
        f"{named} is not a program that can be run; name an ffmpeg with --ffmpeg or"
        " FILMCOLORIZER_FFMPEG, or leave both out to use the bundled one"
    )


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let imageio-ffmpeg have no binary for this platform."""

    def fail() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.delenv(BINARY_VARIABLE, raising=False)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", fail)


@pytest.mark.usefixtures("no_wheel")
def test_find_binary_falls_back_to_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = script(tmp_path / "ffmpeg", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == str(on_path)


@pytest.mark.usefixtures("no_wheel")
def test_find_binary_tells_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FfmpegError) as caught:
        find_binary()
    assert str(caught.value) == (
        "no ffmpeg was found, neither in the imageio-ffmpeg package nor on the PATH;"
        " install one, or name it with --ffmpeg"
    )


@pytest.mark.parametrize("name", ODD_NAMES)
def test_local_file_takes_any_name(
    name: str, plain_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    source, target = Path("in") / name, Path(name)
    source.write_bytes(plain_clip.read_bytes())
    stream = open_input(source).output(filename=local_file(target), c="copy")
    with Process(stream) as process:
        assert process.wait(), process.last_words()
    assert target.stat().st_size > 1000


def test_open_input_refuses_what_lies_on_the_network(tmp_path: Path) -> None:
    session = tmp_path / "film.sdp"
    session.write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 33\n"
    )
    with Process(to_nowhere(open_input(session))) as process:
        assert not process.wait()
        assert "Format not on whitelist" in process.last_words()


def test_process_hands_over_what_ffmpeg_writes() -> None:
    source = ffmpeg.input("color=white:size=8x4:duration=0.12", format="lavfi")
    stream = source.output("pipe:", format="rawvideo", pix_fmt="gray")
    with Process(stream, writes_stdout=True) as process:
        data = process.stdout.read()
        assert process.wait()
    assert data == bytes([255]) * 8 * 4 * 3


def test_process_hands_over_what_ffmpeg_reads() -> None:
    source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="gray", video_size=(8, 4))
    stream = source.filter("negate").output("pipe:", format="rawvideo", pix_fmt="gray")
    with Process(stream, reads_stdin=True, writes_stdout=True) as process:
        assert process.feed(bytes(range(32)))
        assert process.wait()
        data = process.stdout.read()
    assert data == bytes(255 - value for value in range(32))


def test_process_quotes_long_words_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import sys; sys.exit('cannot parse ' + 1000 * 'very ' + 'long words')"
    monkeypatch.setenv(BINARY_VARIABLE, str(script(tmp_path / "ffmpeg", text)))
    with Process(to_nowhere(open_input(tmp_path / "film.mp4"))) as process:
        process.wait()
    said = process.last_words()
    assert said.startswith("cannot parse very very ")
    assert " ... " in said
    assert said.endswith(" very long words")
    assert len(said) < 500


@pytest.mark.parametrize("system", ["posix", "nt"])
def test_broken_pipe_is_called_otherwise_on_windows(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "name", system)
    with our_ffmpeg._broken_pipe():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    with nullcontext() if system == "nt" else pytest.raises(OSError), our_ffmpeg._broken_pipe():
        raise OSError(errno.EINVAL, "Invalid argument")
    with pytest.raises(OSError), our_ffmpeg._broken_pipe():
        raise OSError(errno.ENOSPC, "No space left on device")


def test_process_tells_a_failure_in_ffmpegs_words(tmp_path: Path) -> None:
    missing = tmp_path / "missing.mp4"
    with Process(to_nowhere(open_input(missing))) as process:
        assert not process.wait()
        assert process.last_words() == (
            f"Error opening input: No such file or directory; Error opening input file"
            f" file:{missing}.; Error opening input files: No such file or directory"
        )


def test_process_with_a_reader_gone_fails(tmp_path: Path) -> None:
    with Process(endless(), writes_stdout=True) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert not process.wait()
        assert "Broken pipe" in process.last_words()


def test_last_words_are_the_last_four_lines_without_addresses_and_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["one", "two", "[h264 @ 0x55d0c8] [aac @ 0x12ab] three", "  ", "four", "four", "five"]
    fake = script(tmp_path / "ffmpeg", f"import sys; sys.exit({chr(10).join(lines)!r})")
    monkeypatch.setenv(BINARY_VARIABLE, str(fake))
    with Process(endless()) as process:
        assert not process.wait()
        assert process.last_words() == "two; three; four; five"


def test_last_words_of_a_silent_ffmpeg_are_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, str(script(tmp_path / "ffmpeg", "raise SystemExit(7)")))
    with Process(endless()) as process:
        assert not process.wait()
        assert process.last_words() == "nothing, exit code 7"


def test_process_refuses_a_binary_of_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "ffmpeg"
    binary.write_bytes(b"\x7fELF of another machine")
    binary.chmod(0o755)
    monkeypatch.setenv(BINARY_VARIABLE, str(binary))
    message = f"cannot run {binary} ([Errno 8] Exec format error"
    with pytest.raises(FfmpegError, match=re.escape(message)) as caught:
        Process(endless())
    assert str(caught.value).endswith("; name an ffmpeg with --ffmpeg")


@pytest.mark.parametrize("waits_at", ["stdin", "stdout"])
def test_process_ends_an_ffmpeg_that_waits_at_a_pipe(
    waits_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(our_ffmpeg, "QUIT_SECONDS", 5.0)
    if waits_at == "stdin":
        source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="gray", video_size=(8, 4))
        process = Process(to_nowhere(source), reads_stdin=True)
    else:
        process = Process(endless(), writes_stdout=True)
    with process:
        if waits_at == "stdin":
            assert process.feed(bytes(32))
            present(process._popen.stdin).flush()
            time.sleep(0.2)
        else:
            process.stdout.read(64 * 48)
        began = time.monotonic()
    assert time.monotonic() - began < 2.5, "it had to be killed"
    assert process._popen.returncode is not None


def test_process_kills_an_ffmpeg_that_does_not_end_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = "import signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    deaf += "sys.stdout.write('up')\nsys.stdout.flush()\ntime.sleep(60)\n"
    monkeypatch.setenv(BINARY_VARIABLE, str(script(tmp_path / "ffmpeg", deaf)))
    monkeypatch.setattr(our_ffmpeg, "QUIT_SECONDS", 0.1)
    with Process(endless(), writes_stdout=True) as process:
        assert process.stdout.read(2) == b"up"
    assert process._popen.returncode == -signal.SIGKILL


def test_process_ends_ffmpeg_when_the_block_raises() -> None:
    with pytest.raises(KeyboardInterrupt), Process(endless(), writes_stdout=True) as process:
        process.stdout.read(1)
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(process._popen.pid, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["starts", "ends"])
def test_a_signal_while_an_ffmpeg_starts_or_ends_leaves_none(
    when: str, number: signal.Signals
) -> None:
    """Such as Ctrl-C after the process has started and before anything refers to it."""
    program = f"""
import os, signal, subprocess
import ffmpeg
from filmcolorizer_cli.ffmpeg import Process, find_binary
from filmcolorizer_cli.stopping import heed_signals

started = []

def interrupt(when):
    if when == {when!r}:
        os.kill(os.getpid(), {number.value})
        [None for _ in range(100)]  # where what waits would be raised

class Popen(subprocess.Popen):
    def _execute_child(self, *arguments):
        super()._execute_child(*arguments)
        started.append(self.pid)
        interrupt("starts")

    def terminate(self):
        interrupt("ends")
        super().terminate()

find_binary()  # which tries the binary, and remembers it
subprocess.Popen = Popen
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests ignored
heed_signals()
source = ffmpeg.input("testsrc2=size=64x48", format="lavfi").output("pipe:", format="null")
try:
    try:
        with Process(source):
            pass
    finally:  # where callers delete what it may have begun to write
        try:
            os.kill(started[0], 0)
        except ProcessLookupError:
            print("ended")
except (KeyboardInterrupt, SystemExit) as stop:
    print(type(stop).__name__)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    name = "KeyboardInterrupt" if number == signal.SIGINT else "SystemExit"
    assert (done.stdout, done.stderr) == (f"ended\n{name}\n", "")


def test_a_process_that_nobody_took_over_is_ended() -> None:
    process = Process(endless(), writes_stdout=True)
    pid = process._popen.pid
    del process
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_process_is_out_of_reach_of_the_terminals_interrupt() -> None:
    with Process(endless(), writes_stdout=True) as process:
        assert os.getpgid(process._popen.pid) != os.getpgid(0)

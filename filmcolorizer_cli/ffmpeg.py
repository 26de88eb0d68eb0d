"""Finds the ffmpeg binary, runs it, keeps the tail of what it said.

The only module that starts processes.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EINVAL
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import ffmpeg
import imageio_ffmpeg

from filmcolorizer_cli.errors import FfmpegError
from filmcolorizer_cli.stopping import held_signals

BINARY_VARIABLE = "FILMCOLORIZER_FFMPEG"
OLDEST_VERSION = 5, 1  # the first that knows -fps_mode
OLDEST_LIBAVFORMAT = 59, 27  # that version's
_CRASHES = {
    getattr(signal, name)
    for name in ("SIGILL", "SIGABRT", "SIGFPE", "SIGSEGV", "SIGBUS", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
}
_HEEDED = 255  # ffmpeg's exit code when it was asked to end, by SIGTERM for one
WINDOWS_CRASH = 0xC0000000  # exit codes from there on are of errors that ended a program
# What ffmpeg says of a task that it was built without, or is too old for.
_UNFIT = re.compile(
    "Unrecognized option|Option not found|No such filter|Unknown decoder|[Dd]ecoder .*not found"
    "|Decoding requested, but no decoder found for: (?!none)"  # which a damaged file is of
)
PIPE_BYTES = 1 << 20  # the most that Linux gives to anyone
LAST_WORDS_LINES = 4  # of ffmpeg's messages, kept for errors
MAX_LINE = 400  # characters of each; some repeat what ffmpeg was told, which may be kilobytes
QUIT_SECONDS = 0.5  # that an ffmpeg may take to end; x264 would encode all that it looks ahead at


def find_binary() -> str:
    """The ffmpeg to run: named by FILMCOLORIZER_FFMPEG, the imageio-ffmpeg wheel's, or PATH's.

    Raises:
        FfmpegError: there is none, or the named one cannot be run.
    """
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise FfmpegError(
                f"{named} is not a program that can be run; name an ffmpeg with --ffmpeg or"
                f" {BINARY_VARIABLE}, or leave both out to use the bundled one"
            )
        return found
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        on_path = shutil.which("ffmpeg")
        if on_path is None:
            raise FfmpegError(
                "no ffmpeg was found, neither in the imageio-ffmpeg package nor on the PATH;"
                " install one, or name it with --ffmpeg"
            ) from None
        return on_path


def is_bundled() -> bool:
    """Whether the ffmpeg to run is the one of the imageio-ffmpeg wheel.

    Raises:
        FfmpegError: there is none, or the named one cannot be run.
    """
    return Path(find_binary()).is_relative_to(Path(imageio_ffmpeg.__file__).parent)


def version() -> str:
    """The version that ffmpeg says it is.

    Raises:
        FfmpegError: there is none, it does not run, it is another program, or older than
            ``OLDEST_VERSION``.
    """
    said = _ask("-version")
    found = re.search(r"^ffmpeg version (\S+)", said, re.MULTILINE)
    if found is None:
        first_line = said.partition("\n")[0]
        raise _cannot_run(
            find_binary(), f"it is no ffmpeg: asked for its version, it says {first_line!r}"
        )
    # Builds of a day, between versions, call themselves by numbers of other kinds.
    numbers = re.match(r"n?(\d{1,2})\.(\d+)", found[1])
    if numbers:
        is_old = tuple(map(int, numbers.groups())) < OLDEST_VERSION
    else:
        is_old = (_libavformat(said) or OLDEST_LIBAVFORMAT) < OLDEST_LIBAVFORMAT
    if is_old:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise _cannot_run(
            find_binary(), f"it is ffmpeg {found[1]}, and {oldest} is the oldest that will do"
        )
    return found[1]


def whole_picture() -> dict[str, str]:
    """The option of an input by which its pictures are cropped as their stream says, to the pixel.

    From 7.1 on (libavformat 61.7) ffmpeg else leaves out what the container says is not to be
    shown, such as the edges of PAL in QuickTime, and players decide about. Before, it else rounds
    what streams say of cropping at the left.
    """
    return {"apply_cropping": "codec"} if _crops(find_binary()) else {"flags": "unaligned"}


@cache
def _crops(binary: str) -> bool:
    """Whether this ffmpeg, the one to run, heeds what containers say of cropping."""
    libavformat = _libavformat(_ask("-version"))
    return libavformat is not None and libavformat >= (61, 7)


def _libavformat(said: str) -> tuple[int, ...] | None:
    """The version of libavformat that an ffmpeg tells of, if it does."""
    found = re.search(r"^libavformat +(\d+)\. *(\d+)", said, re.MULTILINE)
    return tuple(map(int, found.groups())) if found else None


def encoder_names() -> set[str]:
    """The encoders of pictures and sound that ffmpeg was built with; not all may run here.

    Raises:
        FfmpegError: there is no ffmpeg, or it does not run.
    """
    return set(re.findall(r"^ [VAS][A-Z.]{5} (\w\S*)", _ask("-encoders"), re.MULTILINE))


def encoders_of(codec: str) -> set[str]:
    """The encoders, of those that ffmpeg was built with, that make this codec.

    Raises:
        FfmpegError: there is no ffmpeg, or it does not run.
    """
    line = re.search(rf"^ \S+ {codec} .*\(encoders: ([^)]*)\)", _ask("-codecs"), re.MULTILINE)
    return set(line[1].split()) if line else {codec}


def _ask(*arguments: str) -> str:
    """What ffmpeg prints of itself."""
    binary = find_binary()
    try:
        done = subprocess.run(
            [binary, "-hide_banner", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise _cannot_run(binary, str(error)) from None
    if done.returncode:
        raise _cannot_run(
            binary, f"exit code {done.returncode}: {' '.join(done.stderr.split())[-200:]}"
        )
    return done.stdout


def _cannot_run(binary: str, reason: str) -> FfmpegError:
    return FfmpegError(f"cannot run {binary} ({reason}); name an ffmpeg with --ffmpeg")


# Kinds of files that hold their pictures, or at least their sound, themselves. A playlist, a concat
# script or a drawing could name other files and hosts, and is read as one whatever its own name.
_FORMATS = (
    "amv,apng,asf,avi,av1,bink,cavsvideo,cine,dirac,dnxhd,dv,dxa,ea,film_cpk,flic,flv,gif,gxf,h261,"
    "h263,h264,hevc,ipmovie,ivf,live_flv,lvf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mtv,mv,"
    "mvi,mxf,nsv,nut,nuv,obu,ogg,pmp,psxstr,pva,r3d,rm,roq,rpl,sdr2,ser,smk,smush,swf,thp,txd,vc1,"
    "vc1test,vivo,vmd,vvc,wtv,xmv,yop,yuv4mpegpipe,aac,ac3,aiff,flac,mp3,wav"
)
# With these ffmpeg opens the named local file and nothing else.
ONLY_THE_FILE = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}


def local_file(path: Path) -> Path:
    """A path as ffmpeg's file protocol takes it, whatever characters are in its name.

    No text: of that ffmpeg-python makes UTF-8, which not every name is.
    """
    return Path(f"file:{path.absolute()}")


def sequence_options(first_number: int, frame_rate: Fraction) -> dict[str, str]:
    """With these ffmpeg opens the numbered pictures of a printf pattern and nothing else."""
    return {
        "protocol_whitelist": "file",
        "format_whitelist": "image2",
        "pattern_type": "sequence",
        "start_number": str(first_number),
        "start_number_range": "1",
        "framerate": str(frame_rate),
    }


def local_sequence(pattern: Path) -> Path:
    """A printf pattern as ffmpeg takes it: only the name's own percent signs count."""
    pattern = pattern.absolute()
    folder = str(pattern.parent).replace("%", "%%")
    return Path(f"file:{folder}", pattern.name)


def open_sequence(pattern: Path, first_number: int, frame_rate: Fraction, **options: Any) -> Any:
    """An ffmpeg-python input that reads these numbered pictures and nothing else."""
    only = sequence_options(first_number, frame_rate)
    return ffmpeg.input(local_sequence(pattern), format="image2", **only, **options)


def open_input(path: Path, **options: Any) -> Any:
    """An ffmpeg-python input that reads this local file and nothing else."""
    return ffmpeg.input(local_file(path), **ONLY_THE_FILE, **options)


# What ffmpeg says of each of its threads after it has said what went wrong.
_CONSEQUENCE = re.compile(
    r"Task finished with error|Terminating thread with|Nothing was written into output"
)


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold about a frame, where that can be asked for, so that neither side waits."""
    with suppress(ImportError, AttributeError, OSError):  # of Linux alone, and not without limit
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class Process:
    """A running ffmpeg, as a context manager that always ends it.

    Attributes:
        stdin: what ffmpeg reads as ``pipe:``, if it does.
        stdout: what ffmpeg writes to ``pipe:``, if it does.
    """

    def __init__(self, stream: Any, *, reads_stdin: bool = False, writes_stdout: bool = False):
        binary = find_binary()
        command = stream.global_args("-hide_banner", "-nostats", "-loglevel", "error").compile(
            cmd=binary
        )
        with ExitStack() as stack:  # what a signal raises here ends ffmpeg before anything else
            with held_signals():
                try:
                    self._popen = subprocess.Popen(
                        command,
                        stdin=subprocess.PIPE if reads_stdin else subprocess.DEVNULL,
                        stdout=subprocess.PIPE if writes_stdout else subprocess.DEVNULL,
                        stderr=subprocess.PIPE,
                        # Signals that Python ignores stay ignored, so that a full quota reaches
                        # ffmpeg as an error it can name; its own group, so that Ctrl-C reaches only
                        # us and we end it.
                        restore_signals=False,
                        start_new_session=True,
                    )
                except OSError as error:
                    raise _cannot_run(binary, str(error)) from None
                # Also when it comes between here and the block that would end it.
                self._ending = weakref.finalize(self, _end, self._popen)
                stack.callback(self._ending)
            for pipe in (self._popen.stdin, self._popen.stdout):
                if pipe is not None:
                    _widen(pipe)
            self._said: deque[str] = deque(maxlen=LAST_WORDS_LINES)
            self._listener = threading.Thread(
                target=_listen, args=(self._popen.stderr, self._said), daemon=True
            )
            self._listener.start()
            stack.pop_all()

    def feed(self, data: memoryview | bytes) -> bool:
        """Write to ffmpeg's stdin, and tell whether it is still there to read it."""
        assert self._popen.stdin is not None
        with _broken_pipe():
            self._popen.stdin.write(data)
            return True
        return False

    @property
    def stdout(self) -> IO[bytes]:
        assert self._popen.stdout is not None
        return self._popen.stdout

    def wait(self) -> bool:
        """Close ffmpeg's stdin, wait for its end, and tell whether it succeeded."""
        if self._popen.stdin is not None:
            with _broken_pipe():  # ffmpeg is gone already; its exit code tells why
                self._popen.stdin.close()
        code = self._popen.wait()
        self._listener.join()
        return code == 0

    def check_itself(self, work: str, or_else: str = "") -> None:
        """Make sure that it was not ffmpeg itself that failed, whatever it was given.

        Args:
            work: what it did, as in "reading film.mp4".
            or_else: what else can be done about it.

        Raises:
            FfmpegError: it crashed, was ended from outside, or cannot do what it was asked to.
        """
        code = self._popen.poll() or 0
        self._listener.join()
        is_crash = -code in _CRASHES or code >= WINDOWS_CRASH
        if (code < 0 and not is_crash) or (code == _HEEDED and not self._said):
            reason = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise FfmpegError(
                f"ffmpeg was ended from outside while {work} ({reason}), as a system does that runs"
                " out of memory; close other programs and give the same command again"
            )
        if is_crash or _UNFIT.search(self.last_words()):
            mend = "use the bundled one, without --ffmpeg"
            if is_bundled():
                mend = "name another with --ffmpeg"
                if or_else:
                    mend += f"; where the film is damaged, {or_else}"
            raise FfmpegError(
                f"{find_binary()} crashed while {work} or was built without what that takes"
                f" (ffmpeg: {self.last_words()}); {mend}"
            )

    def last_words(self) -> str:
        """The end of what ffmpeg said, as one line; complete once it has ended."""
        if self._popen.poll() is not None:
            self._listener.join()
        return "; ".join(self._said) or f"nothing, exit code {self._popen.poll()}"

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with held_signals():  # the finalizer does its work once, and would leave it half done
            self._ending()
        self._listener.join()


def _end(popen: subprocess.Popen[bytes]) -> None:
    """End an ffmpeg, if it still runs, and close what we wrote to and read from."""
    pipes = [pipe for pipe in (popen.stdin, popen.stdout) if pipe is not None]
    # As a finalizer it has nobody to raise to: what a signal raises, `check_signals` raises again.
    with suppress(KeyboardInterrupt, SystemExit), held_signals():
        if popen.poll() is None:
            # An ffmpeg that waits at a pipe heeds no signal. Only the raw end is closed: flushing
            # what is buffered could wait as well.
            for pipe in pipes:
                pipe.raw.close()  # type: ignore[attr-defined]
            popen.terminate()
            try:
                popen.wait(QUIT_SECONDS)
            except subprocess.TimeoutExpired:
                popen.kill()
                with suppress(subprocess.TimeoutExpired):  # as where a disk hangs
                    popen.wait(QUIT_SECONDS)
        for pipe in pipes:
            with _broken_pipe():  # what was still buffered has nowhere to go
                pipe.close()


@contextmanager
def _broken_pipe() -> Iterator[None]:
    """Go on where nobody reads any more what is written to a pipe."""
    try:
        yield
    except OSError as error:
        # Windows calls it an invalid argument.
        if not isinstance(error, BrokenPipeError) and (os.name, error.errno) != ("nt", EINVAL):
            raise


def _listen(stderr: IO[bytes], said: deque[str]) -> None:
    """Gather what an ffmpeg says, until it ends."""
    with stderr:
        for line in stderr:
            text = line.decode(errors="replace").strip()
            text = re.sub(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )+", "", text)  # "[h264 @ 0x55d0c8] "
            if said and _CONSEQUENCE.match(text):
                continue
            if len(text) > MAX_LINE:
                text = f"{text[: MAX_LINE // 2]} ... {text[-MAX_LINE // 2 :]}"
            if text and (not said or said[-1] != text):
                said.append(text)

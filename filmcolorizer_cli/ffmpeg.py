"""Find the ffmpeg binary, run it, and keep its last messages.

No other module starts processes.
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
OLDEST_VERSION = 5, 1  # the first with -fps_mode
OLDEST_LIBAVFORMAT = 59, 27  # libavformat of OLDEST_VERSION
_CRASHES = {
    getattr(signal, name)
    for name in ("SIGILL", "SIGABRT", "SIGFPE", "SIGSEGV", "SIGBUS", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
}
_ENDED_ON_REQUEST = 255  # ffmpeg's exit code when asked to end, for example by SIGTERM
WINDOWS_CRASH = 0xC0000000  # exit codes from here on mean that a program crashed
# Messages of an ffmpeg that is too old for a task or was built without what it takes.
_LACKS_FEATURE = re.compile(
    "Unrecognized option|Option not found|No such filter|Unknown decoder|[Dd]ecoder .*not found"
    "|Decoding requested, but no decoder found for: (?!none)"  # "none" is a damaged file's codec
)
PIPE_BYTES = 1 << 20  # the largest pipe that Linux grants to any user
LAST_WORDS_LINES = 4  # lines of ffmpeg's messages kept for errors
MAX_LINE = 400  # characters kept of a line; some quote ffmpeg's arguments, which may be kilobytes
QUIT_SECONDS = 0.5  # time for ffmpeg to end; x264 would first encode all of its lookahead


def find_binary() -> str:
    """Return the ffmpeg to run: FILMCOLORIZER_FFMPEG, or imageio-ffmpeg's, or that on the PATH.

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
    """Whether the ffmpeg to run is that of the imageio-ffmpeg wheel.

    Raises:
        FfmpegError: there is none, or the named one cannot be run.
    """
    return Path(find_binary()).is_relative_to(Path(imageio_ffmpeg.__file__).parent)


def version() -> str:
    """Return the version that ffmpeg reports.

    Raises:
        FfmpegError: there is none, it does not run, it is another program, or older than
            ``OLDEST_VERSION``.
    """
    said = _ask("-version")
    found = re.search(r"^ffmpeg version (\S+)", said, re.MULTILINE)
    if found is None:
        first_line = said.partition("\n")[0]
        raise _cannot_run(
            find_binary(), f"it is not ffmpeg: asked for its version, it says {first_line!r}"
        )
    # Daily builds between versions have version strings of other forms.
    numbers = re.match(r"n?(\d{1,2})\.(\d+)", found[1])
    if numbers:
        is_old = tuple(map(int, numbers.groups())) < OLDEST_VERSION
    else:
        is_old = (_libavformat(said) or OLDEST_LIBAVFORMAT) < OLDEST_LIBAVFORMAT
    if is_old:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise _cannot_run(
            find_binary(), f"it is ffmpeg {found[1]}, but {oldest} or newer is needed"
        )
    return found[1]


def whole_picture() -> dict[str, str]:
    """Return the input option that crops pictures exactly as their stream states.

    By default, ffmpeg from 7.1 on (libavformat 61.7) also crops what the container marks as hidden,
    such as the edges of PAL in QuickTime, where players differ. Earlier versions by default round
    the stream's left cropping.
    """
    return {"apply_cropping": "codec"} if _crops(find_binary()) else {"flags": "unaligned"}


@cache
def _crops(binary: str) -> bool:
    """Whether the ffmpeg to run, which is ``binary``, applies the container's cropping."""
    libavformat = _libavformat(_ask("-version"))
    return libavformat is not None and libavformat >= (61, 7)


def _libavformat(said: str) -> tuple[int, ...] | None:
    """Return the libavformat version in ffmpeg's output, if it is there."""
    found = re.search(r"^libavformat +(\d+)\. *(\d+)", said, re.MULTILINE)
    return tuple(map(int, found.groups())) if found else None


def encoder_names() -> set[str]:
    """Return the names of all encoders that ffmpeg was built with; not all may run here.

    Raises:
        FfmpegError: there is no ffmpeg, or it does not run.
    """
    return set(re.findall(r"^ [VAS][A-Z.]{5} (\w\S*)", _ask("-encoders"), re.MULTILINE))


def encoders_of(codec: str) -> set[str]:
    """Return the encoders for this codec that ffmpeg was built with.

    Raises:
        FfmpegError: there is no ffmpeg, or it does not run.
    """
    line = re.search(rf"^ \S+ {codec} .*\(encoders: ([^)]*)\)", _ask("-codecs"), re.MULTILINE)
    return set(line[1].split()) if line else {codec}


def _ask(*arguments: str) -> str:
    """Return what ffmpeg prints for informational options such as ``-version``."""
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


# Containers that hold their pictures, or at least their sound, themselves. Playlists, concat
# scripts and drawings may refer to other files and hosts, and are recognised whatever their name.
_FORMATS = (
    "amv,apng,asf,avi,av1,bink,cavsvideo,cine,dirac,dnxhd,dv,dxa,ea,film_cpk,flic,flv,gif,gxf,h261,"
    "h263,h264,hevc,ipmovie,ivf,live_flv,lvf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mtv,mv,"
    "mvi,mxf,nsv,nut,nuv,obu,ogg,pmp,psxstr,pva,r3d,rm,roq,rpl,sdr2,ser,smk,smush,swf,thp,txd,vc1,"
    "vc1test,vivo,vmd,vvc,wtv,xmv,yop,yuv4mpegpipe,aac,ac3,aiff,flac,mp3,wav"
)
# Input options with which ffmpeg opens the named local file and nothing else.
ONLY_THE_FILE = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}


def local_file(path: Path) -> Path:
    """Return a path in the form of ffmpeg's file protocol, safe for any characters in its name.

    It is no ``str``, which ffmpeg-python would encode as UTF-8; not every file name is UTF-8.
    """
    return Path(f"file:{path.absolute()}")


def sequence_options(first_number: int, frame_rate: Fraction) -> dict[str, str]:
    """Return options with which ffmpeg opens a printf pattern's pictures and nothing else."""
    return {
        "protocol_whitelist": "file",
        "format_whitelist": "image2",
        "pattern_type": "sequence",
        "start_number": str(first_number),
        "start_number_range": "1",
        "framerate": str(frame_rate),
    }


def local_sequence(pattern: Path) -> Path:
    """Return a printf pattern for ffmpeg, with the percent signs of its folder escaped."""
    pattern = pattern.absolute()
    folder = str(pattern.parent).replace("%", "%%")
    return Path(f"file:{folder}", pattern.name)


def open_sequence(pattern: Path, first_number: int, frame_rate: Fraction, **options: Any) -> Any:
    """Return an ffmpeg-python input that reads these numbered pictures and nothing else."""
    only = sequence_options(first_number, frame_rate)
    return ffmpeg.input(local_sequence(pattern), format="image2", **only, **options)


def open_input(path: Path, **options: Any) -> Any:
    """Return an ffmpeg-python input that reads this local file and nothing else."""
    return ffmpeg.input(local_file(path), **ONLY_THE_FILE, **options)


# Messages that ffmpeg adds for each of its threads after the one that names the error.
_CONSEQUENCE = re.compile(
    r"Task finished with error|Terminating thread with|Nothing was written into output"
)


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold about a frame, where the system allows it, so that neither side waits."""
    with suppress(ImportError, AttributeError, OSError):  # Linux only, and limited there
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class Process:
    """A running ffmpeg, as a context manager that always ends it.

    Attributes:
        stdout: what ffmpeg writes to ``pipe:``, if it does.
    """

    def __init__(self, stream: Any, *, reads_stdin: bool = False, writes_stdout: bool = False):
        binary = find_binary()
        command = stream.global_args("-hide_banner", "-nostats", "-loglevel", "error").compile(
            cmd=binary
        )
        with ExitStack() as stack:  # an exception raised here by a signal ends ffmpeg first
            with held_signals():
                try:
                    self._popen = subprocess.Popen(
                        command,
                        stdin=subprocess.PIPE if reads_stdin else subprocess.DEVNULL,
                        stdout=subprocess.PIPE if writes_stdout else subprocess.DEVNULL,
                        stderr=subprocess.PIPE,
                        # Signals that Python ignores stay ignored, so that ffmpeg reports a full
                        # quota as an error. In a session of its own ffmpeg gets no Ctrl-C; this
                        # process gets it and ends ffmpeg.
                        restore_signals=False,
                        start_new_session=True,
                    )
                except OSError as error:
                    raise _cannot_run(binary, str(error)) from None
                # Ends ffmpeg even if a signal arrives before the caller's `with` block.
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
        """Write to ffmpeg's stdin, and return whether ffmpeg still reads it."""
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
        """Close ffmpeg's stdin, wait for it to exit, and return whether it succeeded."""
        if self._popen.stdin is not None:
            with _broken_pipe():  # ffmpeg has exited already; its exit code says why
                self._popen.stdin.close()
        code = self._popen.wait()
        self._listener.join()
        return code == 0

    def check_itself(self, work: str, or_else: str = "") -> None:
        """Check that a failure is not due to ffmpeg itself, rather than to its input.

        Args:
            work: what ffmpeg did, as in "reading film.mp4".
            or_else: another remedy to suggest.

        Raises:
            FfmpegError: it crashed, was ended from outside, or lacks what the task takes.
        """
        code = self._popen.poll() or 0
        self._listener.join()
        is_crash = -code in _CRASHES or code >= WINDOWS_CRASH
        if (code < 0 and not is_crash) or (code == _ENDED_ON_REQUEST and not self._said):
            reason = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise FfmpegError(
                f"ffmpeg was killed while {work} ({reason}), as happens when memory runs out; close"
                " other programs and run the same command again"
            )
        if is_crash or _LACKS_FEATURE.search(self.last_words()):
            mend = "use the bundled one, without --ffmpeg"
            if is_bundled():
                mend = "name another with --ffmpeg"
                if or_else:
                    mend += f"; if the film is damaged, {or_else}"
            raise FfmpegError(
                f"{find_binary()} crashed while {work} or was built without what that needs"
                f" (ffmpeg: {self.last_words()}); {mend}"
            )

    def last_words(self) -> str:
        """Return ffmpeg's last messages as one line; complete once it has ended."""
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
        with held_signals():  # the finalizer runs only once, so it must not be interrupted
            self._ending()
        self._listener.join()


def _end(popen: subprocess.Popen[bytes]) -> None:
    """End an ffmpeg, if it still runs, and close the pipes to and from it."""
    pipes = [pipe for pipe in (popen.stdin, popen.stdout) if pipe is not None]
    # Exceptions raised in a finalizer are lost; `check_signals` raises those of signals again.
    with suppress(KeyboardInterrupt, SystemExit), held_signals():
        if popen.poll() is None:
            # An ffmpeg blocked on a pipe ignores signals. Only the raw end is closed, because
            # flushing the buffer could block as well.
            for pipe in pipes:
                pipe.raw.close()  # type: ignore[attr-defined]
            popen.terminate()
            try:
                popen.wait(QUIT_SECONDS)
            except subprocess.TimeoutExpired:
                popen.kill()
                with suppress(subprocess.TimeoutExpired):  # for example, if a disk hangs
                    popen.wait(QUIT_SECONDS)
        for pipe in pipes:
            with _broken_pipe():  # buffered data can no longer be written
                pipe.close()


@contextmanager
def _broken_pipe() -> Iterator[None]:
    """Ignore the error of writing to a pipe that nobody reads any more."""
    try:
        yield
    except OSError as error:
        # Windows reports it as an invalid argument.
        if not isinstance(error, BrokenPipeError) and (os.name, error.errno) != ("nt", EINVAL):
            raise


def _listen(stderr: IO[bytes], said: deque[str]) -> None:
    """Collect an ffmpeg's messages until it ends."""
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

"""Which frames of a film to read, and how large."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from filmcolorizer_cli.cadence import ONE_TO_ONE, Cadence
from filmcolorizer_cli.errors import OptionError
from filmcolorizer_cli.packets import check_clock
from filmcolorizer_cli.timeline import Spans
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE, FieldOrder, Film

ROUNDING_SECONDS = 5e-4  # error of frame times in containers due to rounding, at most


@dataclass(frozen=True)
class Sampling:
    """Which frames of a film to read, and at which size.

    Times count from the film's first frame. The frame at a time is the last one that has begun by
    then, within half a frame of ``frame_rate``. Frames are thus repeated or dropped by time, never
    by count.

    Attributes:
        width, height: size of the frames; None for the film's own.
        frame_rate: frames a second.
        start_seconds: time of the first frame.
        duration_seconds: duration of the part to read; None to read to the film's end.
        rate: seconds of film per second of output at ``frame_rate``.
        every: keep one frame out of this many.
        pts: first pts to read, and the pts to stop before, or None, in units of the film's time
            base as from `uneven_pts`. All stored frames between are read, whatever the rate and
            times above.
        pts_file: file to which the times of these frames are written; see `read_pts`.
        cadence: how pictures became the film's frames. Fields are turned into whole pictures:
            the original film pictures if fields match. If fewer frames are wanted than stored,
            repeated ones are dropped and the others spaced evenly. Frames with soft pulldown are
            spaced evenly too.
        first_fields: the field order if only each frame's first field is to be read.
        denoises_chroma: whether to denoise chroma, where it is stored as such.
        damage: spans to leave out, as from `find_damage`, in which the frame before is repeated;
            None to raise where decoding fails.
        hardware: decoding method on a graphics card, from `find_hardware_decoder`, if any.
    """

    width: int | None = None
    height: int | None = None
    frame_rate: Fraction = TIMELINE_FRAME_RATE
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    rate: float = 1.0
    every: int = 1
    pts: tuple[int, int | None] | None = None
    pts_file: Path | None = None
    cadence: Cadence = ONE_TO_ONE
    first_fields: FieldOrder = "progressive"
    denoises_chroma: bool = False
    damage: Spans | None = None
    hardware: str | None = None

    def frame_count(self, film: Film) -> int:
        """Return about how many frames will be read."""
        rest = max(film.duration_seconds - self.start_seconds, 0.0)
        wanted = rest if self.duration_seconds is None else min(self.duration_seconds, rest)
        return self.frames_in(wanted)

    def frames_in(self, seconds: float) -> int:
        """Return how many frames are kept of this many seconds of film."""
        return math.ceil(round(seconds / self.rate * self.frame_rate) / self.every)


def check_part(film: Film, sampling: Sampling, option: str = "--start") -> None:
    """Refuse a part of a film that contains no frame.

    Args:
        option: the command-line option for the part's start.

    Raises:
        OptionError: the film ends before the part begins, or the part is shorter than a frame.
        VideoError: the film is joined from recordings, so that it cannot be sought.
    """
    if sampling.start_seconds or sampling.duration_seconds is not None:
        check_clock(film)
    if sampling.start_seconds >= film.duration_seconds:
        raise OptionError(
            f"{film.path} ends at {film.duration_seconds:.2f} s, before the start at"
            f" {sampling.start_seconds:g} s; give a smaller {option}"
        )
    if sampling.duration_seconds is not None and not sampling.frames_in(sampling.duration_seconds):
        raise OptionError(
            f"a duration of {sampling.duration_seconds:g} s is shorter than a frame; give a longer"
            " --duration"
        )


def is_left_out(seconds: float, damage: Spans | None) -> bool:
    """Whether a frame that begins at this time, from the film's first frame, is in a span."""
    rounded = seconds + ROUNDING_SECONDS
    return any(begin <= rounded < end for begin, end in damage or ())

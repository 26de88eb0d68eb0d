"""Rendering of a film's segments: read, coloured and encoded, in turn or several at once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, groupby
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import torch

from filmcolorizer_cli.cadence import ONE_TO_ONE, Cadence
from filmcolorizer_cli.edits import Edits
from filmcolorizer_cli.encoding import Encoding, PictureWriter
from filmcolorizer_cli.errors import FilmColorizerError, OptionError, VideoError
from filmcolorizer_cli.frames import read_coded_luma, read_pictures
from filmcolorizer_cli.generators import Returning
from filmcolorizer_cli.joining import are_coded_alike
from filmcolorizer_cli.painting import Painter, leaving_processors
from filmcolorizer_cli.planes import DeepPlane
from filmcolorizer_cli.propagation import Propagator
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.segments import Parts, Segment
from filmcolorizer_cli.sidecars import read_pts
from filmcolorizer_cli.sources import Source
from filmcolorizer_cli.survey import Survey
from filmcolorizer_cli.timeline import ROUNDING_FRAMES, Spans, Timeline
from filmcolorizer_cli.video import FIELDS, FieldOrder, Film
from filmcolorizer_cli.weights import read_tensors, write_tensors


@dataclass(frozen=True)
class ColorizeOptions:
    """What of a film to colorize, and how to write it.

    Attributes:
        start_seconds, duration_seconds: the part, in time from the first frame.
        vividness: factor on the saturation.
        keeps_times: where frames are unevenly spaced, write each stored frame at its own time,
            instead of at the encoding's frame rate.
        deinterlace: make whole pictures of fields; ``auto`` where the survey finds them.
        recolor: also colorize shots that are in colour already.
        skips_damage: hold the last picture where the film cannot be decoded.
        temporal: carry colours along the motion; otherwise, predict each frame on its own.
        hardware: the hardware decoder, as `find_hardware_decoder` names it, if any.
    """

    encoding: Encoding = field(default_factory=Encoding)
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    vividness: float = 1.0
    keeps_times: bool = False
    deinterlace: Literal["auto", "on", "off"] = "auto"
    recolor: bool = False
    skips_damage: bool = False
    temporal: bool = True
    hardware: str | None = None

    def reading_cadence(self, found: Cadence) -> Cadence:
        """Return the cadence to read the film with, given the one found in it.

        Repeats cannot be found in fields that are left woven, or turned into one picture per frame;
        and frames that keep their times are not evened.
        """
        if self.keeps_times:
            found = replace(found, is_soft_pulldown=False)
        if self.deinterlace == "on":
            return Cadence(found.field_order if found.field_order in FIELDS else "flagged")
        if self.deinterlace == "off" and found.field_order in FIELDS:
            return ONE_TO_ONE
        return found

    def sampling(self) -> Sampling:
        """Return the sampling of frames to read: at the film's size and the output's rate."""
        return Sampling(
            frame_rate=self.encoding.frame_rate,
            start_seconds=self.start_seconds,
            duration_seconds=self.duration_seconds,
            hardware=self.hardware,
        )


def no_picture(film: Film, start_seconds: float) -> FilmColorizerError:
    """Return the error for a film without any picture from the start on."""
    if start_seconds:
        return OptionError(
            f"no frame of {film.path} begins at {start_seconds:g} s or later; give a smaller"
            " --start"
        )
    return VideoError(f"{film.path} gave no picture to colorize; check it in a player")


def in_color_already(film: Film) -> OptionError:
    """Return the error for a film that has no shot to colorize."""
    return OptionError(
        f"{film.path} is already in colour; give --recolor to colorize it anyway, for example if"
        " only a logo, subtitles or stains are coloured"
    )


@dataclass(frozen=True)
class Job:
    """What rendering a segment requires.

    Attributes:
        damage: spans that are left out; None to fail there.
        pts: the stored pts of the frames to write, where they are unevenly spaced and keep their
            times.
        times: when these frames are shown in the film that is written.
    """

    source: Source
    painter: Painter
    options: ColorizeOptions
    survey: Survey
    damage: Spans | None
    pts: Sequence[int] | None
    times: Timeline

    @property
    def film(self) -> Film:
        """The film to render."""
        return self.source.film

    @cached_property
    def edits(self) -> Edits:
        """The edits, as `Survey.edits` returns them."""
        return self.survey.edits(self.times)

    @property
    def fields_left(self) -> FieldOrder:
        """The order of fields that are left woven in the written pictures."""
        found = self.survey.cadence.field_order
        return found if self.options.deinterlace == "off" else "progressive"

    def is_colored(self, number: int) -> bool:
        """Whether a frame has colours of its own, which it keeps."""
        if self.options.recolor:
            return False
        rounding = float(ROUNDING_FRAMES / self.times.frame_rate)
        seconds = self.times.seconds(number) + rounding
        return any(begin <= seconds < end for begin, end in self.survey.colored)

    def has_color(self, segment: Segment) -> bool:
        """Whether a segment may contain frames that keep colours of their own."""
        if self.options.recolor or not self.survey.colored:
            return False
        begin = self.times.seconds(segment.first_frame)
        end = math.inf if segment.planned_end is None else self.times.seconds(segment.planned_end)
        return any(first < end and begin < last for first, last in self.survey.colored)

    def sampling(self, segment: Segment, pts_file: Path) -> Sampling:
        """Return the sampling of a segment's frames."""
        cadence = self.options.reading_cadence(self.survey.cadence)
        sampling = replace(self.options.sampling(), cadence=cadence, damage=self.damage)
        if self.pts is not None:
            end = None if self.options.duration_seconds is None else self.pts[-1] + 1
            if segment.planned_end is not None:
                end = self.pts[segment.planned_end]
            span = self.pts[segment.first_frame], end
            return replace(
                sampling,
                start_seconds=0.0,
                duration_seconds=None,
                pts=span,
                pts_file=pts_file,
            )
        frames, rate = segment.planned_frames, sampling.frame_rate
        if frames is None and sampling.duration_seconds is not None:  # the last segment
            frames = sampling.frames_in(sampling.duration_seconds) - segment.first_frame
        return replace(
            sampling,
            start_seconds=sampling.start_seconds + float(segment.first_frame / rate),
            duration_seconds=None if frames is None else float(frames / rate),
        )


def render(parts: Parts, job: Job, workers: int) -> Iterator[int]:
    """Write the missing segments; yield as `colorize` does."""
    written = parts.frames_done
    if written:
        yield written
    chains = parts.chains()
    workers = max(min(workers, len(chains)), 1)
    if workers > 1:
        frames = _render_at_once(parts, chains, job, workers)
    else:
        frames = _render_in_turn(parts, chains, job)
    with leaving_processors(workers), closing(frames):
        for number, _ in enumerate(frames, written + 1):
            yield number


def _render_in_turn(
    parts: Parts, chains: list[list[Segment]], job: Job
) -> Generator[None, None, None]:
    """Write one segment after the other, starting each while the encoder of the last one finishes.

    That takes a second or two. Only the next encoder waits for it: at the size of a film, two
    encoders take more memory than all the rest.
    """
    ending: tuple[Segment, int, Future[None]] | None = None

    def wait() -> None:
        nonlocal ending
        before, ending = ending, None
        _finish_ended(parts, before, job)

    with ThreadPoolExecutor(1) as pool:
        try:
            for segment in chain.from_iterable(chains):
                frames, end = yield from _counted(_write_segment(parts, segment, job, wait))
                wait()
                ending = segment, frames, pool.submit(end)
        finally:
            wait()


def _finish_ended(parts: Parts, ending: tuple[Segment, int, Future[None]] | None, job: Job) -> None:
    """Wait for a segment's encoder to end, and mark the segment as done."""
    if ending is not None:
        segment, frames, encoder = ending
        encoder.result()
        _finish(parts, segment, frames, job)


def _counted(
    frames: Generator[None, None, Callable[[], None]],
) -> Generator[None, None, tuple[int, Callable[[], None]]]:
    """Pass on what a segment yields; return how many items these were, and its own return value."""
    count, segment = 0, Returning(frames)
    with closing(frames):
        for _ in segment:
            count += 1
            yield
    return count, segment.value


def _render_at_once(
    parts: Parts, chains: list[list[Segment]], job: Job, workers: int
) -> Generator[None, None, None]:
    """Write segments in threads: the work is ffmpeg's and torch's, outside Python's lock.

    With processes, a kill would leave some behind.
    """
    events: SimpleQueue[tuple[Segment, int] | BaseException | None] = SimpleQueue()
    stop = threading.Event()

    def work(segments: list[Segment]) -> None:
        try:
            for segment in segments:
                with closing(_counted(_write_segment(parts, segment, job))) as written:
                    counted = Returning(written)
                    for _ in counted:
                        if stop.is_set():
                            return
                        events.put(None)
                frames, end = counted.value
                end()
                events.put((segment, frames))
        except BaseException as error:
            events.put(error)

    with ThreadPoolExecutor(workers) as pool:
        try:
            for segments in chains:
                pool.submit(work, segments)
            unfinished = sum(map(len, chains))
            while unfinished:
                event = events.get()
                if isinstance(event, BaseException):
                    raise event
                if event is None:
                    yield
                else:
                    _finish(parts, *event, job)
                    unfinished -= 1
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
            while not events.empty():
                if isinstance(event := events.get(), tuple):
                    with suppress(FilmColorizerError):  # the first error is raised
                        _finish(parts, *event, job)


def _finish(parts: Parts, segment: Segment, frames: int, job: Job) -> None:
    """Mark a segment as done, with the pts of its frames if it wrote them.

    Raises:
        FilmColorizerError: it is coded differently from those before, and cannot be joined with
            them.
        VideoError: frames are missing that were present when the film was surveyed.
    """
    if job.pts is None and frames < (segment.planned_frames or 0):
        begin = job.options.start_seconds + job.times.seconds(segment.first_frame)
        raise VideoError(
            f"{job.film.path} gave {frames} of {segment.planned_frames} frames at {begin:.1f} s, as"
            " happens if its times are wrong or it can only be read from its beginning; convert it"
            " without loss, with `ffmpeg -i FILM -c:v ffv1 -c:a flac ONE.mkv`, and colorize that"
        )
    first_file = parts.first_file
    if frames and first_file and not are_coded_alike(first_file, parts.file_of(segment)):
        encoder = job.options.encoding.options["c:v"]
        raise FilmColorizerError(
            f"{parts.folder} holds parts from another build of {encoder}, which cannot be joined"
            " with those of this one; use the previous ffmpeg, or delete that folder to start over"
        )
    pts_file = _pts_file(parts.file_of(segment))
    parts.finish(segment, frames, read_pts(pts_file)[:frames] or None)
    pts_file.unlink(missing_ok=True)


def _pts_file(segment_file: Path) -> Path:
    return segment_file.with_suffix(".pts")


def _write_segment(
    parts: Parts, segment: Segment, job: Job, wait: Callable[[], None] = lambda: None
) -> Generator[None, None, Callable[[], None]]:
    """Write one segment; no file where the film has ended before it.

    Args:
        wait: called before the encoder is started.

    Returns:
        A function that waits for the encoder to end, and moves the file to its place.
    """
    target = parts.file_of(segment)
    sampling, coding = job.sampling(segment, _pts_file(target)), job.options.encoding.coding
    propagator = Propagator() if job.options.temporal else None
    if segment.needs_colors:
        _, planes = read_tensors(parts.colors_file(parts.before(segment)))
        propagator = Propagator.from_planes({name: plane.numpy() for name, plane in planes.items()})
    frames: Generator[Any, None, None]
    if job.has_color(segment):
        frames = read_pictures(job.film, sampling, coding)
        colored = _keep_or_paint(frames, segment.first_frame, job, propagator)
    else:
        frames = read_coded_luma(job.film, sampling, coding)
        colored = job.painter.paint(frames, propagator, job.edits, segment.first_frame)
    with closing(frames), ExitStack() as stack:
        if (first := next(colored, None)) is not None:
            wait()
            written = PictureWriter(target, job.film, job.options.encoding, fields=job.fields_left)
            writer = stack.enter_context(written)
            for luma, chroma in chain((first,), colored):
                writer.write(luma, chroma)
                yield
        begin, seconds = sampling.start_seconds, sampling.duration_seconds
        job.source.check_between(begin, math.inf if seconds is None else begin + seconds)
        if propagator is not None and parts.leaves_colors(segment):
            planes = {k: torch.from_numpy(v) for k, v in propagator.planes().items()}
            known = {"first_frame": str(segment.first_frame)}  # an empty file is not read
            write_tensors(parts.colors_file(segment), planes, known)
        return stack.pop_all().close


def _keep_or_paint(
    pictures: Iterable[tuple[DeepPlane, DeepPlane]],
    first_frame: int,
    job: Job,
    propagator: Propagator | None,
) -> Iterator[tuple[DeepPlane, DeepPlane]]:
    """Yield pictures, with chroma predicted for those that have no colours of their own."""
    numbered = enumerate(pictures, first_frame)
    for keeps, run in groupby(numbered, key=lambda frame: job.is_colored(frame[0])):
        if keeps:
            yield from (picture for _, picture in run)
        else:
            first = next(run)
            lumas = (luma for _, (luma, _) in chain((first,), run))
            yield from job.painter.paint(lumas, propagator, job.edits, first[0])

"""Colorization of a film: survey, rendering in segments, and resuming after an interruption."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import chain, groupby
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import torch

from filmcolorizer_cli import __version__
from filmcolorizer_cli.cadence import ONE_TO_ONE, Cadence
from filmcolorizer_cli.configs import FilmConfig, config_to_dict
from filmcolorizer_cli.edits import Edits
from filmcolorizer_cli.encoding import (
    CODECS,
    HARDWARE,
    Encoding,
    PictureWriter,
    check_encoder,
    find_hardware_encoder,
)
from filmcolorizer_cli.errors import FilmColorizerError, OptionError, VideoError
from filmcolorizer_cli.ffmpeg import is_bundled
from filmcolorizer_cli.frames import (
    Sampling,
    check_part,
    is_left_out,
    read_coded_luma,
    read_pictures,
    read_pts,
)
from filmcolorizer_cli.generators import Returning
from filmcolorizer_cli.joining import are_coded_alike, join_film
from filmcolorizer_cli.networks import Network, for_inference
from filmcolorizer_cli.packets import check_clock, find_damage, uneven_pts
from filmcolorizer_cli.painting import CHUNK_FRAMES, BatchSize, Painter, leaving_processors
from filmcolorizer_cli.planes import DeepPlane
from filmcolorizer_cli.processors import count_processors
from filmcolorizer_cli.progress import Note, Track, no_note, no_track
from filmcolorizer_cli.propagation import Propagator
from filmcolorizer_cli.reshaping import find_reshaped
from filmcolorizer_cli.segments import (
    Parts,
    Segment,
    encoder_of_parts,
    parts_folder,
    plan_segments,
)
from filmcolorizer_cli.sources import Source
from filmcolorizer_cli.survey import Survey, survey
from filmcolorizer_cli.timeline import ROUNDING_FRAMES, Spans, Timeline
from filmcolorizer_cli.video import FIELDS, FieldOrder, Film
from filmcolorizer_cli.weights import checksum, read_tensors, write_tensors

SEGMENT_SECONDS = 10  # seconds of film per segment, about; a crash costs one segment
LONG_LOOK_SECONDS = 60.0  # seconds; a longer survey is kept even without any segment
MAX_GREY_OF_COLOR_FILM = 0.01  # share of a colour film that may be grey, such as titles on black
MAX_SPANS_TOLD = 5
PROCESSORS_OF_WORKER = 4  # processors that a segment's thread and its encoder about keep busy
PIXELS_AT_ONCE = 4 * 1920 * 1080  # pixels of one frame per worker, added up; more takes gigabytes
MAX_UNTOLD_SECONDS = 1.0  # seconds that pictures may end before file or sound, unreported


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

    def cadence_to_be(self, found: Cadence) -> Cadence:
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


def colorize(
    film: Film,
    target: Path,
    network: Network,
    options: ColorizeOptions,
    device: torch.device,
    *,
    workers: int = 1,
    overwrite: bool = False,
    note: Note = no_note,
    track: Track = no_track,
) -> Generator[int, None, None]:
    """Write a colour version of a film: its own luma, the network's chroma, its sound.

    The film is surveyed first. It is rendered in segments, which are collected in
    ``<target>.parts`` and joined at the end. After any interruption, another call resumes after
    the finished segments.

    Args:
        workers: number of segments rendered at once. The result is the same, except for single
            codes of chroma where this changes the network's number of threads.
        overwrite: start over where an interrupted rendering has other options, and replace a target
            that has appeared in the meantime.
        note: called with what was found in the film, and when an interrupted rendering is resumed
            or discarded.
        track: wraps the frames that are surveyed, given their number and a label.

    Yields:
        The number of frames written so far: first those of an interrupted rendering, if there are
        any, then after each frame.

    Raises:
        OptionError: the film ends before ``start_seconds``, not a single frame is wanted, all of
            the film is in colour already, or the encoder cannot be used.
        FilmColorizerError: the target or its parts cannot be written, or the parts belong to
            another rendering.
        VideoError: the film cannot be read, or the target cannot be written; no target is left.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """
    sampling, was_free = options.sampling(), not overwrite and not target.exists()
    _check_possible(film, target, options)
    source = Source(film)
    parts = _open_parts(target, source, network, options, overwrite=overwrite, note=note)
    try:
        job = _begin(parts, source, network, options, device, note, track)
        yield from _render(parts, job, workers)
        if not parts.frames_done:
            raise no_picture(film, options.start_seconds)
        source.check()
        join_film(
            parts.files,
            target,
            film,
            _timeline(film, options, parts.frames_done, parts.pts),
            start_seconds=options.start_seconds,
            duration_seconds=options.duration_seconds,
            was_free=was_free,
        )
        parts.remove()
    except FilmColorizerError as error:
        if isinstance(error, VideoError) and not error.lack_of_room:
            source.check()  # explains more than ffmpeg's message
        if error.lack_of_room and parts.frames_done:
            frames = max(parts.frames_done, sampling.frame_count(film))
            raise _no_room(target, parts, frames, error.lack_of_room) from None
        raise
    finally:
        parts.close(keeps_plan=parts.known.get("look_seconds", 0) > LONG_LOOK_SECONDS)


def _check_possible(film: Film, target: Path, options: ColorizeOptions) -> None:
    """Reject what cannot be rendered, before the film is surveyed."""
    check_part(film, options.sampling())
    if options.skips_damage:
        check_clock(film)
    if film.path.resolve().is_relative_to(parts_folder(target).resolve()):
        raise OptionError(
            f"{film.path} lies among the parts of {target}, which make way for new ones; name"
            " another place with -o"
        )
    if options.encoding.encoder is not None or not is_bundled():
        check_encoder(options.encoding)


def _open_parts(
    target: Path,
    source: Source,
    network: Network,
    options: ColorizeOptions,
    *,
    overwrite: bool,
    note: Note,
) -> Parts:
    """Open the parts of an interrupted rendering, or new ones."""
    begun_with = _begun_with(source, network, options)
    ending = CODECS[options.encoding.codec].endings[0]
    parts = Parts(target, begun_with, ending, overwrite=overwrite)
    if parts.discarded:
        note(f"starting anew: the interrupted rendering was begun with {parts.discarded}")
    elif parts.frames_done:
        note(f"going on after the {parts.frames_done} frames that an interrupted rendering left")
    elif parts.segments:
        note("going on with what an interrupted rendering found in the film")
    return parts


def _begin(
    parts: Parts,
    source: Source,
    network: Network,
    options: ColorizeOptions,
    device: torch.device,
    note: Note,
    track: Track,
) -> _Job:
    """Survey the film, unless that is done already, and plan its segments."""
    film, begun = source.film, time.monotonic()
    found, damage = _known(parts) or _look_through(film, options, note, track)
    pts = _stored_pts(film, options, damage) if options.keeps_times else None
    frames = round(found.seconds * options.encoding.frame_rate)
    times = _timeline(film, options, frames, pts)
    if not parts.segments:
        segments = _plan(found, times, options)
        look_seconds = time.monotonic() - begun
        known = {"survey": asdict(found), "damage": damage, "look_seconds": look_seconds}
        parts.begin(segments, known)
    ready = for_inference(network, device, is_faded=found.is_faded)
    if isinstance(ready.config, FilmConfig) and ready.config.clears_veil:
        note("hardly any picture has blacks; those without are looked at as if they had some")
    painter = Painter(
        ready,
        device,
        sample_aspect_ratio=float(film.sample_aspect_ratio),
        coding=options.encoding.coding,
        area=found.area,
        vividness=options.vividness,
        batch_size=BatchSize(note=note),
    )
    return _Job(source, painter, options, found, damage, pts, times)


def encoder_on_card(encoding: Encoding, target: Path) -> str | None:
    """Return the encoder to use: an interrupted rendering's, else a graphics card's, if any."""
    codec = encoding.codec
    begun_with = encoder_of_parts(target)
    if begun_with in {CODECS[codec].encoder, *(f"{codec}_{kind}" for kind in HARDWARE)}:
        return begun_with
    return find_hardware_encoder(encoding)


def usual_workers(film: Film, encoding: Encoding) -> int:
    """Return the default number of segments to render at once.

    A segment's thread keeps few processors busy. Encoders other than x264 are slower than that
    thread, and graphics cards encode few films at a time.
    """
    if encoding.options["c:v"] != "libx264":
        return 1
    by_processors = count_processors() // PROCESSORS_OF_WORKER
    return max(min(by_processors, PIXELS_AT_ONCE // (film.width * film.height)), 1)


def _known(parts: Parts) -> tuple[Survey, Spans | None] | None:
    """Return the findings of an interrupted rendering, if there is one."""
    if not parts.segments:
        return None
    return Survey.of(parts.known["survey"]), parts.known["damage"]


def _look_through(
    film: Film, options: ColorizeOptions, note: Note, track: Track
) -> tuple[Survey, Spans | None]:
    """Survey a film, including its damage if that is skipped, and report the findings."""
    _tell_of_shapes(film, options, note)
    damage = _find_damage(film, options, track, note) if options.skips_damage else None
    found = survey(
        film,
        start_seconds=options.start_seconds,
        duration_seconds=options.duration_seconds,
        frame_rate=options.encoding.frame_rate,
        damage=damage,
        cadence_to_be=options.cadence_to_be,
        track=track,
    )
    _tell(found, film, options, note)
    return found, damage


def _tell_of_shapes(film: Film, options: ColorizeOptions, note: Note) -> None:
    """Report where pictures change size or shape, which a single film cannot contain."""
    begin, end = options.start_seconds, film.duration_seconds
    if options.duration_seconds is not None:
        end = min(end, begin + options.duration_seconds)
    change = find_reshaped(film, begin, end)
    if change is not None:
        note(
            f"from about {change.seconds:.1f} s on the pictures are {change.after}, before"
            f" {change.before}; all are drawn as the film's first one: if another programme begins"
            " there, cut the film there and colorize each part by itself"
        )


def no_picture(film: Film, start_seconds: float) -> FilmColorizerError:
    """Return the error for a film without any picture from the start on."""
    if start_seconds:
        return OptionError(
            f"no frame of {film.path} begins at {start_seconds:g} s or later; give a smaller"
            " --start"
        )
    return VideoError(f"{film.path} gave no picture to colorize; look at it with a player")


def in_color_already(film: Film) -> OptionError:
    """Return the error for a film that has no shot to colorize."""
    return OptionError(
        f"{film.path} is in colour already; give --recolor to colorize it all the same, as where"
        " only a logo, subtitles or stains are coloured"
    )


def _no_room(target: Path, parts: Parts, frames: int, reason: str) -> FilmColorizerError:
    whole = parts.size_bytes / parts.frames_done * frames
    return FilmColorizerError(
        f"there is no room left for {target} ({reason}): {parts.frames_done} of about {frames}"
        f" frames take {parts.size_bytes / 1e6:.1f} MB, so that all are going to take about"
        f" {whole / 1e6:.1f} MB, and twice as much beside while they are joined; make room and give"
        " the same command again, which goes on from there, or choose another place with -o"
    )


def _stored_pts(film: Film, options: ColorizeOptions, damage: Spans | None) -> list[int] | None:
    """Return the pts of the wanted frames, beginning with the one that is shown at the start.

    None where frames are evenly spaced.
    """
    base = float(film.time_base)
    pts = [
        time
        for time in uneven_pts(film) or ()
        if not is_left_out((time - film.first_pts) * base, damage)
    ]
    if not pts:
        return None
    begin, half_frame = film.first_pts, 1 / (2 * options.encoding.frame_rate)
    if options.start_seconds:
        begin += round((Fraction(options.start_seconds) + half_frame) / film.time_base)
    part = pts[max(bisect_right(pts, begin) - 1, 0) :]
    if options.duration_seconds is None:
        return part
    seconds = Fraction(options.start_seconds) + Fraction(options.duration_seconds) - half_frame
    end = film.first_pts + round(seconds / film.time_base)
    return part[:1] + [time for time in part[1:] if time < end]


def _timeline(
    film: Film, options: ColorizeOptions, frames: int, pts: Sequence[int] | None
) -> Timeline:
    """Return when the written frames are shown.

    Args:
        frames: their number, where they are evenly spaced.
        pts: their stored pts, where they are not.
    """
    rate = options.encoding.frame_rate
    if pts is None:
        return Timeline.steady(rate, frames)
    base = film.time_base
    start = film.first_pts + round(Fraction(options.start_seconds) / base)
    # If the part begins with damage, the first picture after it is shown from the start.
    written = [0, *(time - start for time in pts[1:])]
    end = film.duration_seconds
    if options.duration_seconds is not None:
        end = min(end, options.start_seconds + options.duration_seconds)
    return Timeline(rate, base, written, film.first_pts + round(end / float(base)) - start)


def _tell(found: Survey, film: Film, options: ColorizeOptions, note: Note) -> None:
    """Report findings that a person might not expect.

    Raises:
        OptionError: all of the film is in colour already.
    """
    sampling = options.sampling()
    wanted = sampling.frame_count(film) / sampling.frame_rate
    untold = max(MAX_UNTOLD_SECONDS, float(1 / film.frame_rate))
    if 0 < found.seconds < wanted - untold and not options.skips_damage:
        note(
            f"the pictures end at {options.start_seconds + found.seconds:.1f} s, the file at"
            f" {film.duration_seconds:.1f} s; if they should go on, get the whole file"
        )
    colored = sum(end - begin for begin, end in found.colored)
    if colored and not options.recolor:
        if colored > (1 - MAX_GREY_OF_COLOR_FILM) * found.seconds:
            raise in_color_already(film)
        note(
            f"{colored:.1f} of {found.seconds:.1f} s are in colour already and stay as they are"
            f" ({_describe_spans(found.colored, options.start_seconds)}); give --recolor to"
            " colorize them as well, as where only a logo, subtitles or stains are coloured"
        )
    if (found.area.width, found.area.height) != (film.width, film.height):
        note(
            f"bars stay black: the picture is {found.area.width}x{found.area.height} of"
            f" {film.width}x{film.height}"
        )
    cadence = options.cadence_to_be(found.cadence)
    if cadence.field_order in FIELDS and options.deinterlace == "auto":
        note(_describe_fields(cadence))
    elif cadence.cycle(film.frame_rate, options.encoding.frame_rate):
        note("frames that repeat others are left out first; give --fps source to keep all")


def _describe_fields(cadence: Cadence) -> str:
    """Describe the fields that whole pictures are made of."""
    first = f"{cadence.field_order} field first"
    if not cadence.fields_match:
        return (
            f"interlaced, {first}: whole pictures are made of the fields; give --deinterlace off to"
            " leave them"
        )
    return (
        f"film in fields, {first}: its pictures are put together again; give --deinterlace on to"
        " make a picture of each frame instead, off to leave the fields"
    )


def _describe_spans(spans: Spans, start_seconds: float) -> str:
    """List spans of a part of a film, in the film's own time; only the first ones of many."""
    told = [
        f"{start_seconds + begin:.1f} to {start_seconds + end:.1f} s"
        for begin, end in spans[:MAX_SPANS_TOLD]
    ]
    more = len(spans) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _find_damage(film: Film, options: ColorizeOptions, track: Track, note: Note) -> Spans:
    """Find and report what of a film is left out, up to the end of the wanted part."""
    until = film.duration_seconds
    if options.duration_seconds is not None:
        until = min(until, options.start_seconds + options.duration_seconds)
    search = Returning(find_damage(film, until))
    for _ in track(map(int, search), round(until), "seconds checked"):
        pass
    for begin, end in search.value:
        if end <= options.start_seconds or begin >= until:
            continue
        ends = end >= film.duration_seconds
        instead = "the film ends there" if ends else "the frame before stays"
        note(f"damaged: nothing is shown of {begin:.2f} to {end:.2f} s, {instead}")
    return search.value


def _plan(found: Survey, times: Timeline, options: ColorizeOptions) -> list[Segment]:
    """Plan the segments of a film."""
    frames = len(times.pts)
    rate = max(frames, 1) / times.seconds(max(frames, 1))
    # At borders between chunks, colours are carried on as they are within a segment.
    step = CHUNK_FRAMES if options.temporal else None
    usual_frames = max(round(SEGMENT_SECONDS * rate), 1)
    return plan_segments(frames, usual_frames, found.edits(times), step=step)


@dataclass(frozen=True)
class _Job:
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
        cadence = self.options.cadence_to_be(self.survey.cadence)
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


def _render(parts: Parts, job: _Job, workers: int) -> Iterator[int]:
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
    parts: Parts, chains: list[list[Segment]], job: _Job
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


def _finish_ended(
    parts: Parts, ending: tuple[Segment, int, Future[None]] | None, job: _Job
) -> None:
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
    parts: Parts, chains: list[list[Segment]], job: _Job, workers: int
) -> Generator[None, None, None]:
    """Write segments in threads: the work is ffmpeg's and torch's, outside Python's lock.

    With processes, a kill would leave some behind.
    """
    events: SimpleQueue[tuple[Segment, int] | BaseException | None] = SimpleQueue()
    stop = threading.Event()

    def render(segments: list[Segment]) -> None:
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
                pool.submit(render, segments)
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


def _finish(parts: Parts, segment: Segment, frames: int, job: _Job) -> None:
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
            " a film does whose times are wrong or that can only be read from its beginning; make"
            " one of it without loss, with `ffmpeg -i FILM -c:v ffv1 -c:a flac ONE.mkv`, and"
            " colorize that"
        )
    first_file = parts.first_file
    if frames and first_file and not are_coded_alike(first_file, parts.file_of(segment)):
        encoder = job.options.encoding.options["c:v"]
        raise FilmColorizerError(
            f"{parts.folder} keeps what another build of {encoder} made, which cannot be joined"
            " with what this one makes; go on with the ffmpeg of before, or delete that folder to"
            " start anew"
        )
    pts_file = _pts_file(parts.file_of(segment))
    parts.finish(segment, frames, read_pts(pts_file)[:frames] or None)
    pts_file.unlink(missing_ok=True)


def _pts_file(segment_file: Path) -> Path:
    return segment_file.with_suffix(".pts")


def _write_segment(
    parts: Parts, segment: Segment, job: _Job, wait: Callable[[], None] = lambda: None
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
    if segment.goes_on:
        _, planes = read_tensors(parts.colors_file(parts.before(segment)))
        propagator = Propagator.of({name: plane.numpy() for name, plane in planes.items()})
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
    job: _Job,
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


def _begun_with(source: Source, network: Network, options: ColorizeOptions) -> dict[str, Any]:
    """Return what determines how the segments look, by name."""
    return {
        **source.identity,
        "frame rate": str(options.encoding.frame_rate),
        **options.encoding.options,
        "start": options.start_seconds,
        "duration": options.duration_seconds,
        "vividness": options.vividness,
        "--fps source": _as_word(options.keeps_times),
        "--deinterlace": options.deinterlace,
        "--recolor": _as_word(options.recolor),
        "--skip-damaged": _as_word(options.skips_damage),
        # Another copy of a film may be whole where this one is damaged.
        **({"source's time of change": source.changed_ns} if options.skips_damage else {}),
        "--no-temporal": _as_word(not options.temporal),
        "--model whose weights have the checksum": checksum(network),
        "network": config_to_dict(network.config),
        "version": __version__,
    }


def _as_word(is_given: bool) -> str:
    return "yes" if is_given else "no"

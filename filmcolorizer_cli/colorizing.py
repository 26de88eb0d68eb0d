"""Colorization of a film: survey, rendering in segments, and resuming after an interruption."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Generator, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from filmcolorizer_cli import __version__
from filmcolorizer_cli.cadence import Cadence
from filmcolorizer_cli.configs import FilmConfig, config_to_dict
from filmcolorizer_cli.encoding import (
    CODECS,
    HARDWARE,
    Encoding,
    check_encoder,
    find_hardware_encoder,
)
from filmcolorizer_cli.errors import FilmColorizerError, OptionError, VideoError
from filmcolorizer_cli.ffmpeg import is_bundled
from filmcolorizer_cli.generators import Returning
from filmcolorizer_cli.joining import join_film
from filmcolorizer_cli.networks import Network, for_inference
from filmcolorizer_cli.packets import check_clock, find_damage, uneven_pts
from filmcolorizer_cli.painting import CHUNK_FRAMES, BatchSize, Painter
from filmcolorizer_cli.processors import count_processors
from filmcolorizer_cli.progress import Note, Track, no_note, no_track
from filmcolorizer_cli.rendering import ColorizeOptions, Job, in_color_already, no_picture, render
from filmcolorizer_cli.reshaping import find_shape_change
from filmcolorizer_cli.sampling import check_part, is_left_out
from filmcolorizer_cli.segments import Parts, Segment, encoder_of_parts, parts_folder, plan_segments
from filmcolorizer_cli.sources import Source
from filmcolorizer_cli.survey import Survey, survey
from filmcolorizer_cli.timeline import Spans, Timeline
from filmcolorizer_cli.video import FIELDS, Film
from filmcolorizer_cli.weights import checksum

SEGMENT_SECONDS = 10  # seconds of film per segment, about; a crash costs one segment
MIN_KEPT_SURVEY_SECONDS = 60.0  # seconds; a longer survey is kept even without any segment
MAX_GREY_OF_COLOR_FILM = 0.01  # share of a colour film that may be grey, such as titles on black
MAX_SPANS_REPORTED = 5
PROCESSORS_OF_WORKER = 4  # processors that a segment's thread and its encoder about keep busy
PIXELS_AT_ONCE = 4 * 1920 * 1080  # pixels of one frame per worker, added up; more takes gigabytes
MAX_UNREPORTED_END_SECONDS = 1.0  # seconds that pictures may end before file or sound, unreported


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
        yield from render(parts, job, workers)
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
        parts.close(keeps_plan=parts.known.get("look_seconds", 0) > MIN_KEPT_SURVEY_SECONDS)


def _check_possible(film: Film, target: Path, options: ColorizeOptions) -> None:
    """Reject what cannot be rendered, before the film is surveyed."""
    check_part(film, options.sampling())
    if options.skips_damage:
        check_clock(film)
    if film.path.resolve().is_relative_to(parts_folder(target).resolve()):
        raise OptionError(
            f"{film.path} is inside the folder of parts of {target}, which is going to be replaced;"
            " name another place with -o"
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
        note(f"starting over: the interrupted rendering used {parts.discarded}")
    elif parts.frames_done:
        note(f"resuming after the {parts.frames_done} frames of an interrupted rendering")
    elif parts.segments:
        note("reusing what an interrupted rendering found in the film")
    return parts


def _begin(
    parts: Parts,
    source: Source,
    network: Network,
    options: ColorizeOptions,
    device: torch.device,
    note: Note,
    track: Track,
) -> Job:
    """Survey the film, unless that is done already, and plan its segments."""
    film, begun = source.film, time.monotonic()
    found, damage = _known(parts) or _survey_film(film, options, note, track)
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
        note(
            "the film has hardly any blacks, like a faded print; the network is shown it with"
            " blacks restored"
        )
    painter = Painter(
        ready,
        device,
        sample_aspect_ratio=float(film.sample_aspect_ratio),
        coding=options.encoding.coding,
        area=found.area,
        vividness=options.vividness,
        batch_size=BatchSize(note=note),
    )
    return Job(source, painter, options, found, damage, pts, times)


def choose_encoder(encoding: Encoding, target: Path) -> str | None:
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
    return Survey.from_plain(parts.known["survey"]), parts.known["damage"]


def _survey_film(
    film: Film, options: ColorizeOptions, note: Note, track: Track
) -> tuple[Survey, Spans | None]:
    """Survey a film, including its damage if that is skipped, and report the findings."""
    _report_shape_change(film, options, note)
    damage = _find_damage(film, options, track, note) if options.skips_damage else None
    found = survey(
        film,
        start_seconds=options.start_seconds,
        duration_seconds=options.duration_seconds,
        frame_rate=options.encoding.frame_rate,
        damage=damage,
        reading_cadence=options.reading_cadence,
        track=track,
    )
    _report_findings(found, film, options, note)
    return found, damage


def _report_shape_change(film: Film, options: ColorizeOptions, note: Note) -> None:
    """Report where pictures change size or shape, which a single film cannot contain."""
    begin, end = options.start_seconds, film.duration_seconds
    if options.duration_seconds is not None:
        end = min(end, begin + options.duration_seconds)
    change = find_shape_change(film, begin, end)
    if change is not None:
        note(
            f"from about {change.seconds:.1f} s on, the pictures are {change.after}, before that"
            f" {change.before}; all are given the shape of the film's first one; if another"
            " programme begins there, cut the film there and colorize each part by itself"
        )


def _no_room(target: Path, parts: Parts, frames: int, reason: str) -> FilmColorizerError:
    whole = parts.size_bytes / parts.frames_done * frames
    return FilmColorizerError(
        f"there is no room left for {target} ({reason}): {parts.frames_done} of about {frames}"
        f" frames take {parts.size_bytes / 1e6:.1f} MB, so all of them need about {whole / 1e6:.1f}"
        " MB, plus twice that while they are joined; make room and run the same command again to"
        " continue, or choose another place with -o"
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


def _report_findings(found: Survey, film: Film, options: ColorizeOptions, note: Note) -> None:
    """Report findings that a person might not expect.

    Raises:
        OptionError: all of the film is in colour already.
    """
    sampling = options.sampling()
    wanted = sampling.frame_count(film) / sampling.frame_rate
    untold = max(MAX_UNREPORTED_END_SECONDS, float(1 / film.frame_rate))
    if 0 < found.seconds < wanted - untold and not options.skips_damage:
        note(
            f"the pictures end at {options.start_seconds + found.seconds:.1f} s, the file at"
            f" {film.duration_seconds:.1f} s; if pictures are missing, get the complete file"
        )
    colored = sum(end - begin for begin, end in found.colored)
    if colored and not options.recolor:
        if colored > (1 - MAX_GREY_OF_COLOR_FILM) * found.seconds:
            raise in_color_already(film)
        note(
            f"{colored:.1f} of {found.seconds:.1f} s are already in colour and stay as they are"
            f" ({_describe_spans(found.colored, options.start_seconds)}); give --recolor to"
            " colorize them too, for example if only a logo, subtitles or stains are coloured"
        )
    if (found.area.width, found.area.height) != (film.width, film.height):
        note(
            f"bars stay black: the picture fills {found.area.width}x{found.area.height} of"
            f" {film.width}x{film.height}"
        )
    cadence = options.reading_cadence(found.cadence)
    if cadence.field_order in FIELDS and options.deinterlace == "auto":
        note(_describe_fields(cadence))
    elif cadence.cycle(film.frame_rate, options.encoding.frame_rate):
        note("repeated frames are left out; give --fps source to keep them")


def _describe_fields(cadence: Cadence) -> str:
    """Describe the fields that whole pictures are made of."""
    first = f"{cadence.field_order} field first"
    if not cadence.fields_match:
        return (
            f"interlaced, {first}: whole pictures are made from the fields; give --deinterlace off"
            " to keep the fields"
        )
    return (
        f"film in fields, {first}: its pictures are reassembled; give --deinterlace on to make a"
        " picture from each frame instead, off to keep the fields"
    )


def _describe_spans(spans: Spans, start_seconds: float) -> str:
    """List spans of a part of a film, in the film's own time; only the first ones of many."""
    told = [
        f"{start_seconds + begin:.1f} to {start_seconds + end:.1f} s"
        for begin, end in spans[:MAX_SPANS_REPORTED]
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
        instead = "so the picture freezes or ends there" if ends else "so the frame before stays"
        note(f"damaged: {begin:.2f} to {end:.2f} s cannot be shown, {instead}")
    return search.value


def _plan(found: Survey, times: Timeline, options: ColorizeOptions) -> list[Segment]:
    """Plan the segments of a film."""
    frames = len(times.pts)
    rate = max(frames, 1) / times.seconds(max(frames, 1))
    # At borders between chunks, colours are carried on as they are within a segment.
    step = CHUNK_FRAMES if options.temporal else None
    usual_frames = max(round(SEGMENT_SECONDS * rate), 1)
    return plan_segments(frames, usual_frames, found.edits(times), step=step)


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

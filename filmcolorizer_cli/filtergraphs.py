"""ffmpeg filter graphs: from a film to frames of the wanted times, size and matrix."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import ffmpeg

from filmcolorizer_cli.cadence import NTSC_FIELD_SECONDS, Cadence
from filmcolorizer_cli.ffmpeg import local_file, open_input, open_sequence, whole_picture
from filmcolorizer_cli.planes import PLAIN, SMALL_SIZE, Coding
from filmcolorizer_cli.sampling import ROUNDING_SECONDS, Sampling
from filmcolorizer_cli.sidecars import (
    FIELD_HEIGHT,
    FIELD_WIDTH,
    LOOK_SIZE,
    Bursts,
    ShotFiles,
    strip_count,
)
from filmcolorizer_cli.timeline import Spans
from filmcolorizer_cli.video import (
    BARE_STREAMS,
    CONTAINER_ROUNDING_SECONDS,
    MPEG_STREAMS,
    Film,
    opened,
)

SEEK_MARGIN_SECONDS = 1.0  # seeks go this much too early; the exact frame is then found by time
# The same for MPEG streams, without an index, where a seek lands up to a group of pictures late.
MPEG_SEEK_MARGIN_SECONDS = 15.0
SPANS_AT_ONCE = 64  # spans in one expression; ffmpeg's parser refuses 99
SCALING = "area+accurate_rnd+full_chroma_int"  # flags of ffmpeg's scaler
CUT_THRESHOLD = 8.0  # ffmpeg's scdet score, 0 to 100, above which a new shot begins
# ffmpeg's atadenoise, for chroma: a pixel becomes the mean over nine frames. To either side they
# count as long as each differs by no more than A, and all together by no more than B, of the range.
CHROMA_DENOISING = {"p": 0b110, "1a": 0.04, "1b": 0.1, "2a": 0.04, "2b": 0.1}
# Cycles read before the wanted part: what repeats in the first one is unknown, and the second may
# reach into the wanted part.
CYCLES_BEFORE = 2
# Combed pixels in a 16x16 block from which ffmpeg's fieldmatch takes a frame to be combed; a lower
# value takes fine detail for combing.
MIN_COMBED_PIXELS = 128
# ffmpeg's idet: how much better a field must fit one neighbouring frame than the other.
FIELD_THRESHOLD = 1.1
# ffmpeg's names of matrices in frame tags.
MATRIX_NAMES = {"bt709": "bt709", "bt601": "smpte170m", "bt2020": "bt2020nc"}


def can_match_fields(film: Film) -> bool:
    """Whether ffmpeg's fieldmatch can weave a film's fields; beyond 8 bits it copies only half."""
    return film.coding.bit_depth == 8 and _stores_chroma(film) and film.height % 2 == 0


def stores_luma(film: Film, coding: Coding) -> bool:
    """Whether the stored luma plane is in the wanted coding, so that it needs no conversion."""
    layouts = ("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "gray")
    stored = {coding.pixel_format(layout) for layout in layouts}
    if coding.bit_depth == 8 and coding.range == "full":
        stored |= {"yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p"}
    return film.pixel_format in stored and film.coding.range == coding.range


def _stores_chroma(film: Film) -> bool:
    """Whether pixels are stored as Y'CbCr, in any order, and not as R'G'B' or grey."""
    layout = av.VideoFormat(film.pixel_format)
    return len(layout.components) >= 3 and not layout.is_rgb


def frame_graph(
    film: Film, sampling: Sampling, coding: Coding, shot_files: ShotFiles | None = None
) -> tuple[Any, list[Any]]:
    """Build the filter graph for frames of the wanted times, size, range and matrix.

    Returns:
        The graph, and the outputs that write ``shot_files``.
    """
    if sampling.pts is not None:
        stream = _as_stored(film, sampling, sampling.pts)
        return _scaled(film, stream, film.width, film.height, coding), []
    return sampled_graph(film, sampling, timed_graph(film, sampling), coding, shot_files)


def timed_graph(film: Film, sampling: Sampling) -> Any:
    """Return the stored frames from before the start on, with times counted from the start."""
    start = begin = film.start_seconds + sampling.start_seconds
    cycle = sampling.cadence.cycle(film.frame_rate, sampling.frame_rate)
    if cycle:
        cycle_seconds = float(cycle / film.frame_rate)
        number = math.floor(sampling.start_seconds / cycle_seconds) - CYCLES_BEFORE
        begin = film.start_seconds + max(number, 0) * cycle_seconds
    stream, origin = _seek_and_open(film, begin, sampling)
    stream = _undamaged(stream, sampling.damage, film.start_seconds - origin)
    if cycle:
        stream = _without_repeats(film, stream, sampling.cadence, cycle, begin - origin)
    else:
        stream = _deinterlaced(film, stream, sampling.cadence)
    stream = stream.filter("settb", "1/1000000")
    if not cycle:
        without_frame_repeats = sampling.cadence.is_soft_pulldown
        step = NTSC_FIELD_SECONDS if without_frame_repeats else float(1 / film.frame_rate)
        stream = _with_exact_times(stream, film.start_seconds - origin, step)
    if sampling.cadence.is_soft_pulldown:
        stream = _evenly_spaced(stream)
    # At half the film's rate, every second frame begins half-way between two wanted times. Shifted
    # slightly later, it belongs to the second one, however its time is rounded. The shift is less
    # than half a frame, even at hundreds of frames a second.
    later = min(CONTAINER_ROUNDING_SECONDS, 0.4 / float(film.frame_rate))
    zero = start - origin - later
    return stream.filter("setpts", f"(PTS-{zero:.6f}/TB)/{sampling.rate!r}")


def sampled_graph(
    film: Film, sampling: Sampling, stream: Any, coding: Coding, shot_files: ShotFiles | None
) -> tuple[Any, list[Any]]:
    """Build the filter graph as `frame_graph` does, from the stream of `timed_graph`."""
    rate = sampling.frame_rate
    if sampling.denoises_chroma and _stores_chroma(film):
        stream = stream.filter("atadenoise", **CHROMA_DENOISING)
    stream = stream.filter("fps", fps=str(rate), start_time=0)
    if sampling.first_fields in ("top", "bottom"):
        stream = stream.filter("field", type=sampling.first_fields)
    size = sampling.width or film.width, sampling.height or film.height
    outputs = []
    if shot_files is not None and shot_files.frames_file is not None:
        branches = stream.split()
        own_matrix = Coding(matrix=film.coding.matrix)
        stream, looked_at = branches[0], _scaled(film, branches[1], *LOOK_SIZE, own_matrix)
        small = _with_cuts(looked_at.filter("format", "yuv444p"), shot_files.cuts_file)
        small = small.filter("scale", *SMALL_SIZE, flags=SCALING)
        outputs.append(_luma_output(small, shot_files.frames_file, _max_frames(sampling)))
    if sampling.every > 1:
        stream = stream.filter("select", f"not(mod(n,{sampling.every}))")
    stream = _scaled(film, stream, *size, coding)
    if shot_files is not None and not outputs:
        stream = _with_cuts(stream, shot_files.cuts_file)
    return stream, outputs


def burst_outputs(film: Film, sampling: Sampling, bursts: Bursts, stream: Any) -> list[Any]:
    """Return the outputs that write the analysis of bursts."""
    every, run = f"{bursts.every_seconds:.6f}", f"{bursts.run_seconds:.6f}"
    if sampling.duration_seconds is not None:
        stream = stream.filter("trim", end=f"{sampling.duration_seconds:.6f}")
    # Select the first frame always, even one before the part: an output without frames is an error.
    in_runs = f"isnan(prev_selected_t)+gte(t,0)*lt(mod(t,{every}),{run})"
    stream = stream.filter("select", in_runs)
    stream = stream.filter("idet", intl_thres=FIELD_THRESHOLD)
    stream = stream.filter(
        "metadata",
        mode="print",
        key="lavfi.idet.single.current_frame",
        file=local_file(bursts.field_orders_file),
    )
    one_a_run = f"isnan(prev_selected_t)+lt(prev_selected_t,0)+gte(t-prev_selected_t,{run})"
    outputs = []
    if bursts.fields_file is not None:
        branches = stream.split()
        size = FIELD_WIDTH, 2 * FIELD_HEIGHT
        fields = _scaled(film, branches[0], *size, PLAIN, by_fields=True)
        outputs.append(_luma_output(fields, bursts.fields_file))
        stream = branches[1]
    branches = stream.filter("select", one_a_run).split()
    sizes = (strip_count(film.width), film.height), (film.width, strip_count(film.height))
    files = bursts.rows_file, bursts.columns_file
    for number, (size, file) in enumerate(zip(sizes, files, strict=True)):
        outputs.append(_luma_output(_scaled(film, branches[number], *size, PLAIN), file))
    return outputs


def open_film(film: Film, **options: Any) -> Any:
    """Return an ffmpeg-python input that reads a film."""
    if film.first_number is None:
        return open_input(film.path, **whole_picture(), **options)
    return open_sequence(film.path, film.first_number, film.frame_rate, **options)


def _stream(film: Film, **options: Any) -> Any:
    """Return a film's pictures as an ffmpeg-python stream of constant size and pixel format.

    Where these change midway, ffmpeg would restart all filters, which then lose count of time. The
    matrix is tagged anew, since ffmpeg's scaler fails at tags that it does not know, such as YCgCo,
    which would be taken for damage; luma is valid under any tag.
    """
    stream = open_film(film, reinit_filter="0", **options)[str(film.stream_index)]
    stream = stream.filter("setparams", colorspace=MATRIX_NAMES[film.coding.matrix])
    return stream.filter("scale", film.width, film.height, flags=SCALING)


def _with_cuts(stream: Any, cuts_file: Path) -> Any:
    """Add filters that write the numbers of frames that begin a shot."""
    stream = stream.filter("scdet", threshold=CUT_THRESHOLD)
    return stream.filter("metadata", mode="print", key="lavfi.scd.time", file=local_file(cuts_file))


def _max_frames(sampling: Sampling) -> int | None:
    """Return the maximum number of frames before ``every`` drops any; None if unlimited."""
    if sampling.duration_seconds is None:
        return None
    return replace(sampling, every=1).frames_in(sampling.duration_seconds)


def _scaled(
    film: Film, stream: Any, width: int, height: int, coding: Coding, *, by_fields: bool = False
) -> Any:
    before, after = film.coding.range, coding.range
    if film.pixel_format.startswith("gray") and before == after:
        before = after = "full"  # the only range that ffmpeg's scaler knows for grey pictures
    return stream.filter(
        "scale",
        width,
        height,
        flags=SCALING,
        in_color_matrix=film.coding.matrix,  # ffmpeg uses the same names
        out_color_matrix=coding.matrix,
        in_range=before,
        out_range=after,
        interl=int(by_fields),
    )


def _luma_output(stream: Any, file: Path, most: int | None = None) -> Any:
    """Return an output that writes the luma of successive pictures.

    Args:
        most: maximum number of pictures; None for all.
    """
    luma = stream.filter("format", "yuv444p").filter("extractplanes", "y")
    options = {"format": "rawvideo", "pix_fmt": "gray", "fps_mode": "passthrough"}
    if most is not None:
        options["frames:v"] = str(most)
    return luma.output(filename=local_file(file), **options)


def _as_stored(film: Film, sampling: Sampling, pts: tuple[int, int | None]) -> Any:
    """Return the film's pictures as stored, at their own times."""
    begin, end = pts
    seconds = float((begin - film.first_pts) * film.time_base) + film.start_seconds
    stream, _ = _seek_and_open(film, seconds, sampling, copyts=None)
    stream = _undamaged(stream, sampling.damage, float(film.first_pts * film.time_base))
    stream = _deinterlaced(film, stream, sampling.cadence)
    stream = stream.filter("settb", str(film.time_base))
    stream = stream.filter("trim", start_pts=begin, **({} if end is None else {"end_pts": end}))
    if sampling.pts_file is not None:
        stream = stream.filter("metadata", mode="add", key="kept", value="1")
        stream = stream.filter("metadata", mode="print", file=local_file(sampling.pts_file))
    return stream


def _undamaged(stream: Any, damage: Spans | None, first_seconds: float) -> Any:
    """Drop the frames in damaged spans, whose times count from the film's first frame.

    Args:
        first_seconds: stream time of the film's first frame.
    """
    offset = first_seconds - ROUNDING_SECONDS
    spans = [(offset + begin, offset + end) for begin, end in damage or ()]
    for number in range(0, len(spans), SPANS_AT_ONCE):
        some = spans[number : number + SPANS_AT_ONCE]
        left_out = "+".join(f"gte(t,{begin:.6f})*lt(t,{end:.6f})" for begin, end in some)
        stream = stream.filter("select", f"not({left_out})")
    return stream


def _seek_and_open(
    film: Film, start: float, sampling: Sampling, **options: None
) -> tuple[Any, float]:
    """Open a film at a position before ``start`` from which it can be decoded.

    Returns:
        Its pictures, and the origin of their times, like ``start`` in seconds from the container's
        start.
    """
    start = film.start_seconds + _shown_since(film, start - film.start_seconds, sampling.damage)
    is_mpeg = film.container in MPEG_STREAMS
    seek = start - (MPEG_SEEK_MARGIN_SECONDS if is_mpeg else SEEK_MARGIN_SECONDS)
    # ffmpeg seeks slightly before the given time. If an AVI with B-frames stores nothing that
    # early, the seek lands at a later key frame.
    if film.container in BARE_STREAMS or seek < SEEK_MARGIN_SECONDS:
        seek = 0.0
    origin = max(seek, film.stored_from_seconds) if is_mpeg else seek
    seeking = {"ss": f"{seek:.6f}"} if seek else {}
    # A damaged packet or frame ends the reading, or is dropped; it is not shown as grey smear.
    on_damage = {"xerror": None} if sampling.damage is None else {"max_error_rate": "1"}
    on_card = {"hwaccel": sampling.hardware} if sampling.hardware else {}
    stream = _stream(film, **on_damage, **on_card, **seeking, **options)
    return stream, origin


def _deinterlaced(film: Film, stream: Any, cadence: Cadence) -> Any:
    """Turn frames of fields into the same number of whole pictures."""
    if cadence.field_order == "progressive":
        return stream
    which = "all"
    if cadence.fields_match:
        # fieldmatch compares its first input and outputs its second one, which would get the format
        # of the first were its own not set. Without the cloned frame, the last one is held back.
        branches = stream.filter("format", film.pixel_format).split()
        copies = branches[0].filter("tpad", stop=1, stop_mode="clone").filter("format", "yuv420p")
        options = {"order": cadence.parity, "mchroma": 0, "combmatch": "full", "ppsrc": 1}
        stream = ffmpeg.filter(
            [copies, branches[1]], "fieldmatch", combpel=MIN_COMBED_PIXELS, **options
        )
        which = "interlaced"  # frames whose fields have no match, as in video between film
    return stream.filter("bwdif", mode="send_frame", parity=cadence.parity, deint=which)


def _with_exact_times(stream: Any, first_seconds: float, step_seconds: float) -> Any:
    """Restore exact frame times, which containers round, where they are near whole steps.

    Where frames at 23.976 a second begin half-way between frames at 24 a second, times rounded to
    milliseconds would alternately drop and repeat frames.
    """
    steps = f"(T-({first_seconds:.6f}))/{step_seconds:.9f}"
    is_near = f"lt(abs({steps}-round({steps}))*{step_seconds:.9f},{CONTAINER_ROUNDING_SECONDS})"
    exact = f"{first_seconds:.6f}+round({steps})*{step_seconds:.9f}"
    return stream.filter("setpts", f"if({is_near},({exact})/TB,PTS)")


def _evenly_spaced(stream: Any) -> Any:
    """Space frames evenly that alternately last two and three fields.

    Each frame moves half-way to where it would be if the one before had the mean duration.
    """
    picture = 2.5 * NTSC_FIELD_SECONDS
    off = f"({picture:.9f}-(PTS-PREV_INPTS)*TB)"
    return stream.filter("setpts", f"PTS+if(lt(abs({off}),{picture / 3:.9f}),{off}/2/TB,0)")


def _without_repeats(
    film: Film, stream: Any, cadence: Cadence, cycle: int, first_seconds: float
) -> Any:
    """Return whole pictures, each once, evenly spaced.

    One frame of each cycle is dropped. Cycles are counted from the film's first frame, so that they
    do not depend on where reading starts.

    Args:
        cycle: frames per cycle.
        first_seconds: stream time of a frame that begins a cycle.
    """
    stream = stream.filter("settb", "1/1000000").filter("setpts", f"PTS-{first_seconds:.6f}/TB")
    stream = stream.filter("fps", fps=str(film.frame_rate), start_time=0)
    stream = _deinterlaced(film, stream, cadence)
    stream = stream.filter("decimate", cycle=cycle, dupthresh=100, chroma=0).filter(
        "settb", "1/1000000"
    )
    # decimate counts time from the first frame that it keeps, which may be the second of its cycle.
    rate = float(film.frame_rate * (cycle - 1) / cycle)
    return stream.filter("setpts", f"({first_seconds:.6f}+N/{rate!r})/TB")


def _shown_since(film: Film, seconds: float, damage: Spans | None) -> float:
    """Return when the frame shown at a time of the film, or a frame before it, begins.

    Slides and title cards may begin long before. Where the film cannot be searched, the result is
    the given time.
    """
    for begin, end in damage or ():
        if begin <= seconds < end:
            seconds = max(begin - float(1 / film.frame_rate), 0.0)
    if film.first_number is not None:
        return math.floor(seconds * film.frame_rate) / float(film.frame_rate)
    if seconds <= 0 or film.container in MPEG_STREAMS | BARE_STREAMS:
        return seconds
    pts = film.first_pts + math.floor(seconds / film.time_base)
    begun = []
    with opened(film) as container, suppress(av.FFmpegError):  # nothing can be read beyond damage
        stream = container.streams[film.stream_index]
        container.seek(pts, stream=stream)  # to a key frame, then or before
        for packet in container.demux(stream):
            if packet.pts is None or (packet.dts or packet.pts) > pts:
                break
            if packet.pts <= pts:
                begun.append(packet.pts)
    if not begun:
        return seconds
    return min(max(float((max(begun) - film.first_pts) * film.time_base), 0.0), seconds)

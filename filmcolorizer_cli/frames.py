"""Reading a film's frames: selection, size, and planes."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg
import numpy as np

from filmcolorizer_cli.cadence import NTSC_FIELD_SECONDS, ONE_TO_ONE, Cadence
from filmcolorizer_cli.errors import OptionError, VideoError
from filmcolorizer_cli.ffmpeg import (
    Process,
    local_file,
    open_input,
    open_sequence,
    whole_picture,
)
from filmcolorizer_cli.files import lack_of_room
from filmcolorizer_cli.packets import check_clock
from filmcolorizer_cli.planes import PLAIN, Coding, DeepPlane, Plane
from filmcolorizer_cli.shots import SMALL_SIZE
from filmcolorizer_cli.timeline import Spans
from filmcolorizer_cli.video import (
    BARE_STREAMS,
    CONTAINER_ROUNDING_SECONDS,
    MPEG_STREAMS,
    TIMELINE_FRAME_RATE,
    FieldOrder,
    Film,
    opened,
)

SEEK_MARGIN_SECONDS = 1.0  # seeks go this much too early; the exact frame is then found by time
# The same for MPEG streams, without an index, where a seek lands up to a group of pictures late.
MPEG_SEEK_MARGIN_SECONDS = 15.0
ROUNDING_SECONDS = 5e-4  # error of frame times in containers due to rounding, at most
SPANS_AT_ONCE = 64  # spans in one expression; ffmpeg's parser refuses 99
# ffmpeg's names of the decoding methods of NVIDIA, Intel and Apple cards, of Windows and of Linux,
# and of the pixel formats of their frames on the card.
HARDWARE_DECODERS = {
    "cuda": "cuda", "qsv": "qsv", "videotoolbox": "videotoolbox_vld", "d3d11va": "d3d11",
    "vaapi": "vaapi",
}  # fmt: skip
SCALING = "area+accurate_rnd+full_chroma_int"  # flags of ffmpeg's scaler
LOOK_SIZE = 128, 96  # width and height of frames analysed for cuts and colour
CUT_THRESHOLD = 8.0  # ffmpeg's scdet score, 0 to 100, above which a new shot begins
# ffmpeg's atadenoise, for chroma: a pixel becomes the mean over nine frames. To either side they
# count as long as each differs by no more than A, and all together by no more than B, of the range.
QUIET_CHROMA = {"p": 0b110, "1a": 0.04, "1b": 0.1, "2a": 0.04, "2b": 0.1}
# Cycles read before the wanted part: what repeats in the first one is unknown, and the second may
# reach into the wanted part.
CYCLES_BEFORE = 2
# Frames a second. Above, pictures are shown so often that reading 24 frames a second misses none.
MAX_CADENCE_RATE = 31
# Combed pixels in a 16x16 block from which ffmpeg's fieldmatch takes a frame to be combed; a lower
# value takes fine detail for combing.
COMBED = 128
FIELD_WIDTH, FIELD_HEIGHT = 32, 24  # pixels of the downscaled fields used to find a cadence
# ffmpeg's idet: how much better a field must fit one neighbouring frame than the other.
FIELD_THRESHOLD = 1.1
# ffmpeg's names of matrices in frame tags.
MATRIX_NAMES = {"bt709": "bt709", "bt601": "smpte170m", "bt2020": "bt2020nc"}
STRIP_WIDTH, MIN_STRIPS = 64, 12  # pixels in a part of a row or column, and least number of parts


def _open_film(film: Film, **options: Any) -> Any:
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
    stream = _open_film(film, reinit_filter="0", **options)[str(film.stream_index)]
    stream = stream.filter("setparams", colorspace=MATRIX_NAMES[film.coding.matrix])
    return stream.filter("scale", film.width, film.height, flags=SCALING)


def find_hardware_decoder(film: Film) -> str | None:
    """Return ffmpeg's name of a method that decodes a film's first frame on a graphics card here.

    Each method is tried, as ``-hwaccel auto`` ends some builds of ffmpeg where a driver is missing.
    If ffmpeg falls back to the CPU, downloading the frame from the card fails.
    """
    for method, frames in HARDWARE_DECODERS.items():
        stream = _open_film(film, hwaccel=method, hwaccel_output_format=frames, xerror=None)
        stream = stream[str(film.stream_index)].filter("hwdownload")
        stream = stream.filter("format", "nv12|p010le|p012le|p016le")
        with Process(stream.output("-", format="null", **{"frames:v": 1})) as process:
            if process.wait():
                return method
    return None


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
        quiets_chroma: whether to denoise chroma, where it is stored as such.
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
    quiets_chroma: bool = False
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


@dataclass(frozen=True)
class Bursts:
    """Short runs of consecutive frames, spread over the part read, to analyse at full size.

    Only the results of ffmpeg's analysis are kept, in files.

    Attributes:
        every_seconds: interval between the first frames of successive runs.
        run_seconds: duration of a run.
        fields_file: for each frame, which of its two fields is the earlier; see `read_fields`.
        rows_file, columns_file: for one frame per run, the mean luma of every row in parts of about
            ``STRIP_WIDTH``, and of every column likewise; see `read_strips`.
        pictures_file: for each frame, its downscaled fields; see `read_field_pictures`.
    """

    every_seconds: float
    run_seconds: float
    fields_file: Path
    rows_file: Path
    columns_file: Path
    pictures_file: Path | None = None


@dataclass(frozen=True)
class ShotFiles:
    """Files to which a reader writes the data from which `shots.Shots` finds shots.

    They cover all frames of the wanted times, including those that ``every`` drops, and are
    complete after the last picture.

    Attributes:
        cuts_file: numbers of the frames at which ffmpeg's scdet finds the start of a shot, in
            frames of ``LOOK_SIZE``; see `read_pts`.
        frames_file: luma of all these frames in ``SMALL_SIZE``; see `read_small_frames`. None if
            the frames read have ``LOOK_SIZE`` themselves, and ``every`` is 1.
    """

    cuts_file: Path
    frames_file: Path | None = None


def read_luma(
    film: Film, sampling: Sampling, shot_files: ShotFiles | None = None
) -> Generator[Plane, None, None]:
    """Yield luma planes (height, width), uint8, limited range (black 16, white 235).

    At the film's own size, stored 8-bit limited-range luma is returned bit for bit.

    Args:
        shot_files: files to write in the same pass.

    Raises:
        VideoError: the film is broken or truncated; the message has ffmpeg's last messages.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """
    coding = replace(film.coding, bit_depth=8, range="limited")
    yield from read_coded_luma(film, sampling, coding, shot_files)


def read_coded_luma(
    film: Film, sampling: Sampling, coding: Coding, shot_files: ShotFiles | None = None
) -> Generator[DeepPlane, None, None]:
    """Yield luma planes (height, width) in this depth and range.

    At the film's own size, depth and range, stored luma is returned bit for bit.

    Args:
        shot_files: files to write in the same pass.

    Raises:
        VideoError: the film is broken or truncated; the message has ffmpeg's last messages.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """
    shape = sampling.height or film.height, sampling.width or film.width
    stored = film.pixel_format if _stores_luma(film, coding) else coding.pixel_format("yuv444p")
    graph, outputs = _frames(film, sampling, coding, shot_files)
    graph = graph.filter("format", stored).filter("extractplanes", "y")
    layout = coding.pixel_format("gray")
    yield from _read_raw(film, sampling, graph, layout, shape, coding, outputs, shot_files)


def read_pictures(
    film: Film, sampling: Sampling, coding: Coding
) -> Generator[tuple[DeepPlane, DeepPlane], None, None]:
    """Yield luma as `read_coded_luma` does, and chroma (2, ceil(height / 2), ceil(width / 2)).

    Raises:
        VideoError: the film is broken or truncated; the message has ffmpeg's last messages.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """
    height, width = sampling.height or film.height, sampling.width or film.width
    chroma_shape = 2, -(-height // 2), -(-width // 2)
    layout = coding.pixel_format("yuv420p")
    graph, _ = _frames(film, sampling, coding)
    graph = graph.filter("format", layout)
    shape = (height * width + math.prod(chroma_shape),)
    frames = _read_raw(film, sampling, graph, layout, shape, coding)
    with closing(frames):
        for frame in frames:
            luma, chroma = frame[: height * width], frame[height * width :]
            yield luma.reshape(height, width), chroma.reshape(chroma_shape)


def read_every_frame(
    film: Film, width: int, height: int, times_file: Path, cadence: Cadence = ONE_TO_ONE
) -> Generator[Plane, None, None]:
    """Yield the luma (height, width) of each stored frame, uint8, full range.

    Args:
        times_file: file to which the frames' times are written; see `read_times`.
        cadence: how pictures became frames; repeated frames that it drops are not yielded.

    Raises:
        VideoError: the film is broken or truncated; the message has ffmpeg's last messages.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """
    sampling = Sampling(frame_rate=cadence.picture_rate(film.frame_rate), cadence=cadence)
    stream = _timed(film, sampling)
    stream = stream.filter(
        "scale",
        width,
        height,
        flags="area",
        in_range=film.coding.range,
        out_range="full",
    ).filter("format", "gray")
    # scdet gives every frame a score; metadata prints nothing for frames without an entry
    stream = stream.filter("scdet").filter("metadata", mode="print", file=local_file(times_file))
    mend = "repair it, or tell `filmcolorizer sync` by --offset how far the films are apart"
    yield from _read_raw(film, sampling, stream, "gray", (height, width), mend=mend)


def cannot_note(film: Film, notes: Path, reason: str) -> VideoError:
    """Return the error for a full disk on writing a file of notes in a temporary folder."""
    return VideoError(
        f"cannot write in {notes.parents[1]} what is noted of {film.path} ({reason}); make room"
        " there",
        lack_of_room=reason,
    )


def read_pts(path: Path) -> list[int]:
    """Return the times in a file written by a reader, ascending, in the units of that file.

    These are the film's time base for the ``pts_file`` of `Sampling`, and frames for the
    ``cuts_file`` of `ShotFiles`.
    """
    if not path.is_file():
        return []
    return [int(pts) for pts in re.findall(r"^frame:\S+\s+pts:(-?\d+)", path.read_text(), re.M)]


def read_times(path: Path) -> list[float]:
    """Return the times that `read_every_frame` wrote, in seconds from the first frame."""
    times = read_pts(path)
    return [(time - times[0]) / 1e6 for time in times]


def read_ycbcr(
    film: Film,
    sampling: Sampling,
    *,
    matrix: str | None = None,
    bursts: Bursts | None = None,
    shot_files: ShotFiles | None = None,
) -> Generator[Plane, None, None]:
    """Yield pictures (height, width, 3) of Y', Cb and Cr, uint8, limited range.

    Args:
        matrix: a key of ``color.MATRICES`` to convert to; None for the film's own.
        bursts: runs to analyse in the same pass; the files are complete after the last picture.
        shot_files: files to write in the same pass.

    Raises:
        VideoError: the film is broken or truncated; the message has ffmpeg's last messages.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """
    height, width = sampling.height or film.height, sampling.width or film.width
    coding = Coding(matrix=matrix or film.coding.matrix)
    timed = _timed(film, sampling)
    outputs = []
    if bursts is not None:
        branches = timed.split()
        timed, outputs = branches[0], _burst_outputs(film, sampling, bursts, branches[1])
    graph, more = _sampled(film, sampling, timed, coding, shot_files)
    graph, outputs = graph.filter("format", "yuv444p"), [*outputs, *more]
    shape = 3, height, width
    frames = _read_raw(film, sampling, graph, "yuv444p", shape, PLAIN, outputs, shot_files)
    with closing(frames):
        for frame in frames:
            yield frame.transpose(1, 2, 0)  # planes to (H, W, 3)


def read_small_frames(path: Path, first: int = 0) -> Plane:
    """Return luma (N, height, width) of ``SMALL_SIZE`` from a `ShotFiles` file, even if it grows.

    uint8, limited range; N is 0 if there are no frames yet.

    Args:
        first: number of the first frame to read.
    """
    width, height = SMALL_SIZE
    if not path.exists():
        return np.empty((0, height, width), np.uint8)
    count = max(path.stat().st_size // (width * height) - first, 0)
    size, offset = count * width * height, first * width * height
    return np.fromfile(path, np.uint8, size, offset=offset).reshape(-1, height, width)


def read_fields(path: Path) -> list[tuple[float, str]]:
    """Return each frame's time, in seconds from ``start_seconds``, and field order from `Bursts`.

    The order is ``tff`` or ``bff`` if the top or bottom field is the earlier, else ``progressive``
    or ``undetermined``.
    """
    if not path.is_file():
        return []
    found = re.findall(
        r"pts:(-?\d+) .*\nlavfi\.idet\.single\.current_frame=(\w+)", path.read_text()
    )
    return [(int(pts) / 1e6, word) for pts, word in found]


def may_be_pulled_down(film: Film) -> bool:
    """Whether a film may have more frames than pictures, or fields that match other frames'.

    Only cases that matter at 24 frames a second count. R'G'B' is excluded, as ffmpeg could compare
    it only after conversion.
    """
    is_faster = TIMELINE_FRAME_RATE < film.frame_rate <= MAX_CADENCE_RATE
    return is_faster and not av.VideoFormat(film.pixel_format).is_rgb


def can_match_fields(film: Film) -> bool:
    """Whether ffmpeg's fieldmatch can weave a film's fields; beyond 8 bits it copies only half."""
    return film.coding.bit_depth == 8 and _stores_chroma(film) and film.height % 2 == 0


def read_field_pictures(bursts: Bursts) -> Plane:
    """Return downscaled fields (N, FIELD_HEIGHT, 2, FIELD_WIDTH) of `Bursts`, top before bottom.

    uint8, limited range; N is 0 if none were requested.
    """
    if bursts.pictures_file is None:
        return np.empty((0, FIELD_HEIGHT, 2, FIELD_WIDTH), np.uint8)
    pictures = np.fromfile(bursts.pictures_file, np.uint8)
    return pictures.reshape(-1, FIELD_HEIGHT, 2, FIELD_WIDTH)


def read_strips(film: Film, bursts: Bursts) -> tuple[Plane, Plane]:
    """Return the mean luma of rows (N, height, parts) and columns (N, parts, width) of `Bursts`.

    uint8, limited range (black 16, white 235); N is 0 if there were no frames.
    """
    shapes = (film.height, _strips(film.width)), (_strips(film.height), film.width)
    files = bursts.rows_file, bursts.columns_file
    rows, columns = (
        np.fromfile(file, np.uint8).reshape(-1, *shape)
        for file, shape in zip(files, shapes, strict=True)
    )
    return rows, columns


def _strips(side: int) -> int:
    """Return the number of parts into which a side in pixels is divided for `read_strips`."""
    return max(-(-side // STRIP_WIDTH), min(side, MIN_STRIPS))


def _stores_luma(film: Film, coding: Coding) -> bool:
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


def _frames(
    film: Film, sampling: Sampling, coding: Coding, shot_files: ShotFiles | None = None
) -> tuple[Any, list[Any]]:
    """Build the filter graph for frames of the wanted times, size, range and matrix.

    Returns:
        The graph, and the outputs that write ``shot_files``.
    """
    if sampling.pts is not None:
        stream = _as_stored(film, sampling, sampling.pts)
        return _scaled(film, stream, film.width, film.height, coding), []
    return _sampled(film, sampling, _timed(film, sampling), coding, shot_files)


def _sampled(
    film: Film, sampling: Sampling, stream: Any, coding: Coding, shot_files: ShotFiles | None
) -> tuple[Any, list[Any]]:
    """Build the filter graph as `_frames` does, from the stream of `_timed`."""
    rate = sampling.frame_rate
    if sampling.quiets_chroma and _stores_chroma(film):
        stream = stream.filter("atadenoise", **QUIET_CHROMA)
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


def _burst_outputs(film: Film, sampling: Sampling, bursts: Bursts, stream: Any) -> list[Any]:
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
        file=local_file(bursts.fields_file),
    )
    one_a_run = f"isnan(prev_selected_t)+lt(prev_selected_t,0)+gte(t-prev_selected_t,{run})"
    outputs = []
    if bursts.pictures_file is not None:
        branches = stream.split()
        size = FIELD_WIDTH, 2 * FIELD_HEIGHT
        fields = _scaled(film, branches[0], *size, PLAIN, by_fields=True)
        outputs.append(_luma_output(fields, bursts.pictures_file))
        stream = branches[1]
    branches = stream.filter("select", one_a_run).split()
    sizes = (_strips(film.width), film.height), (film.width, _strips(film.height))
    files = bursts.rows_file, bursts.columns_file
    for number, (size, file) in enumerate(zip(sizes, files, strict=True)):
        outputs.append(_luma_output(_scaled(film, branches[number], *size, PLAIN), file))
    return outputs


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


def _timed(film: Film, sampling: Sampling) -> Any:
    """Return the stored frames from before the start on, with times counted from the start."""
    start = begin = film.start_seconds + sampling.start_seconds
    cycle = sampling.cadence.cycle(film.frame_rate, sampling.frame_rate)
    if cycle:
        cycle_seconds = float(cycle / film.frame_rate)
        number = math.floor(sampling.start_seconds / cycle_seconds) - CYCLES_BEFORE
        begin = film.start_seconds + max(number, 0) * cycle_seconds
    stream, origin = _from(film, begin, sampling)
    stream = _undamaged(stream, sampling.damage, film.start_seconds - origin)
    if cycle:
        stream = _without_repeats(film, stream, sampling.cadence, cycle, begin - origin)
    else:
        stream = _whole(film, stream, sampling.cadence)
    stream = stream.filter("settb", "1/1000000")
    if not cycle:
        in_fields = sampling.cadence.is_soft_pulldown
        step = NTSC_FIELD_SECONDS if in_fields else float(1 / film.frame_rate)
        stream = _exact(stream, film.start_seconds - origin, step)
    if sampling.cadence.is_soft_pulldown:
        stream = _evened(stream)
    # At half the film's rate, every second frame begins half-way between two wanted times. Shifted
    # slightly later, it belongs to the second one, however its time is rounded. The shift is less
    # than half a frame, even at hundreds of frames a second.
    later = min(CONTAINER_ROUNDING_SECONDS, 0.4 / float(film.frame_rate))
    zero = start - origin - later
    return stream.filter("setpts", f"(PTS-{zero:.6f}/TB)/{sampling.rate!r}")


def _as_stored(film: Film, sampling: Sampling, pts: tuple[int, int | None]) -> Any:
    """Return the film's pictures as stored, at their own times."""
    begin, end = pts
    seconds = float((begin - film.first_pts) * film.time_base) + film.start_seconds
    stream, _ = _from(film, seconds, sampling, copyts=None)
    stream = _undamaged(stream, sampling.damage, float(film.first_pts * film.time_base))
    stream = _whole(film, stream, sampling.cadence)
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


def is_left_out(seconds: float, damage: Spans | None) -> bool:
    """Whether a frame that begins at this time, from the film's first frame, is in a span."""
    rounded = seconds + ROUNDING_SECONDS
    return any(begin <= rounded < end for begin, end in damage or ())


def _from(film: Film, start: float, sampling: Sampling, **options: None) -> tuple[Any, float]:
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


def _whole(film: Film, stream: Any, cadence: Cadence) -> Any:
    """Turn frames of fields into the same number of whole pictures."""
    if cadence.field_order == "progressive":
        return stream
    which = "all"
    if cadence.fields_match:
        # fieldmatch compares its first input and outputs its second one, which would get the format
        # of the first were its own not set. Without the cloned frame, the last one is held back.
        branches = stream.filter("format", film.pixel_format).split()
        copies = branches[0].filter("tpad", stop=1, stop_mode="clone").filter("format", "yuv420p")
        options = {"order": cadence.parity, "mchroma": 0, "combmatch": "full", "combpel": COMBED}
        stream = ffmpeg.filter([copies, branches[1]], "fieldmatch", ppsrc=1, **options)
        which = "interlaced"  # frames whose fields have no match, as in video between film
    return stream.filter("bwdif", mode="send_frame", parity=cadence.parity, deint=which)


def _exact(stream: Any, first_seconds: float, step_seconds: float) -> Any:
    """Restore exact frame times, which containers round, where they are near whole steps.

    Where frames at 23.976 a second begin half-way between frames at 24 a second, times rounded to
    milliseconds would alternately drop and repeat frames.
    """
    steps = f"(T-({first_seconds:.6f}))/{step_seconds:.9f}"
    is_near = f"lt(abs({steps}-round({steps}))*{step_seconds:.9f},{CONTAINER_ROUNDING_SECONDS})"
    exact = f"{first_seconds:.6f}+round({steps})*{step_seconds:.9f}"
    return stream.filter("setpts", f"if({is_near},({exact})/TB,PTS)")


def _evened(stream: Any) -> Any:
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
    stream = _whole(film, stream, cadence)
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


def _read_raw(
    film: Film,
    sampling: Sampling,
    stream: Any,
    layout: str,
    shape: tuple[int, ...],
    coding: Coding = PLAIN,
    outputs: Sequence[Any] = (),
    shot_files: ShotFiles | None = None,
    mend: str = "repair it, or take another part of it where --start and --duration can be given;"
    " `filmcolorizer colorize --skip-damaged` goes on behind what is damaged",
) -> Generator[Any, None, None]:
    """Yield the samples of each frame, in this shape and of ``coding.sample_type``.

    Args:
        outputs: further outputs that ffmpeg writes in the same pass.
        shot_files: the files in a temporary folder that are among these.
        mend: advice for a film that cannot be read.
    """
    options = {"format": "rawvideo", "pix_fmt": layout, "fps_mode": "passthrough"}
    if sampling.duration_seconds is not None:
        options["frames:v"] = str(sampling.frames_in(sampling.duration_seconds))
    count = 0
    output = ffmpeg.merge_outputs(stream.output("pipe:", **options), *outputs)
    output = output.overwrite_output()  # else ffmpeg ends without a message
    with Process(output, writes_stdout=True) as process:
        while True:
            data = np.empty(shape, coding.sample_type)
            got = process.stdout.readinto(data.view(np.uint8))  # type: ignore[attr-defined]
            if got < data.nbytes:
                break
            count += 1
            yield data
        if not process.wait() or got:
            reason = lack_of_room(process.last_words())
            if reason and shot_files:
                raise cannot_note(film, shot_files.cuts_file, reason)
            process.check_itself(f"reading {film.path}", mend)
            check_clock(film)  # its error explains more than ffmpeg's messages
            read = count * sampling.every / float(sampling.frame_rate) * sampling.rate
            begin = sampling.start_seconds
            if sampling.pts is not None:
                begin = float((sampling.pts[0] - film.first_pts) * film.time_base)
            raise VideoError(
                f"{film.path} is damaged or cut short and could not be read beyond"
                f" {begin + read:.1f} s (ffmpeg: {process.last_words()}); {mend}"
            )

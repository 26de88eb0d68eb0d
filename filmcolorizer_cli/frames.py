"""Reading a film's frames as planes."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from filmcolorizer_cli.cadence import ONE_TO_ONE, Cadence
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.ffmpeg import Process, local_file
from filmcolorizer_cli.files import lack_of_room
from filmcolorizer_cli.filtergraphs import (
    burst_outputs,
    frame_graph,
    open_film,
    sampled_graph,
    stores_luma,
    timed_graph,
)
from filmcolorizer_cli.packets import check_clock
from filmcolorizer_cli.planes import PLAIN, Coding, DeepPlane, Plane
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.sidecars import Bursts, ShotFiles, read_pts, sidecar_error
from filmcolorizer_cli.video import Film

# ffmpeg's names of the decoding methods of NVIDIA, Intel and Apple cards, of Windows and of Linux,
# and of the pixel formats of their frames on the card.
HARDWARE_DECODERS = {
    "cuda": "cuda", "qsv": "qsv", "videotoolbox": "videotoolbox_vld", "d3d11va": "d3d11",
    "vaapi": "vaapi",
}  # fmt: skip


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
    stored = film.pixel_format if stores_luma(film, coding) else coding.pixel_format("yuv444p")
    graph, outputs = frame_graph(film, sampling, coding, shot_files)
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
    graph, _ = frame_graph(film, sampling, coding)
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
    stream = timed_graph(film, sampling)
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
    mend = "repair it, or give the offset of the films with `filmcolorizer sync --offset FRAMES`"
    yield from _read_raw(film, sampling, stream, "gray", (height, width), mend=mend)


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
    timed = timed_graph(film, sampling)
    outputs = []
    if bursts is not None:
        branches = timed.split()
        timed, outputs = branches[0], burst_outputs(film, sampling, bursts, branches[1])
    graph, more = sampled_graph(film, sampling, timed, coding, shot_files)
    graph, outputs = graph.filter("format", "yuv444p"), [*outputs, *more]
    shape = 3, height, width
    frames = _read_raw(film, sampling, graph, "yuv444p", shape, PLAIN, outputs, shot_files)
    with closing(frames):
        for frame in frames:
            yield frame.transpose(1, 2, 0)  # planes to (H, W, 3)


def find_hardware_decoder(film: Film) -> str | None:
    """Return ffmpeg's name of a method that decodes a film's first frame on a graphics card here.

    Each method is tried, as ``-hwaccel auto`` ends some builds of ffmpeg where a driver is missing.
    If ffmpeg falls back to the CPU, downloading the frame from the card fails.
    """
    for method, frames in HARDWARE_DECODERS.items():
        stream = open_film(film, hwaccel=method, hwaccel_output_format=frames, xerror=None)
        stream = stream[str(film.stream_index)].filter("hwdownload")
        stream = stream.filter("format", "nv12|p010le|p012le|p016le")
        with Process(stream.output("-", format="null", **{"frames:v": 1})) as process:
            if process.wait():
                return method
    return None


def _read_raw(
    film: Film,
    sampling: Sampling,
    stream: Any,
    layout: str,
    shape: tuple[int, ...],
    coding: Coding = PLAIN,
    outputs: Sequence[Any] = (),
    shot_files: ShotFiles | None = None,
    mend: str = "repair it, or use another part of it with --start and --duration if the command"
    " has them; `filmcolorizer colorize --skip-damaged` skips what is damaged",
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
                raise sidecar_error(film, shot_files.cuts_file, reason)
            process.check_itself(f"reading {film.path}", mend)
            check_clock(film)  # its error explains more than ffmpeg's messages
            raise VideoError(
                f"{film.path} is damaged or cut short and could not be read beyond"
                f" {_seconds_read(film, sampling, count):.1f} s (ffmpeg: {process.last_words()});"
                f" {mend}"
            )


def _seconds_read(film: Film, sampling: Sampling, count: int) -> float:
    """Return about how far a film was read, in seconds from its first frame.

    Args:
        count: the number of frames read.
    """
    if sampling.pts is not None:
        noted = read_pts(sampling.pts_file) if sampling.pts_file else []
        last = noted[-1] if noted else sampling.pts[0]
        return float((last - film.first_pts) * film.time_base)
    read = count * sampling.every / float(sampling.frame_rate) * sampling.rate
    return sampling.start_seconds + read

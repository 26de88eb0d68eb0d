"""Extraction of pairs of stills from two versions of a film, or from a colour film alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from filmcolorizer_cli.aligned import (
    AlignedPicture,
    Moments,
    Reading,
    area_aspect_ratio,
    cadence_of_color,
    read_aligned,
    reading_size,
    register_picture,
)
from filmcolorizer_cli.areas import WHOLE, Area
from filmcolorizer_cli.color import luma_from_codes, luma_to_codes
from filmcolorizer_cli.displacement import chroma_delay
from filmcolorizer_cli.errors import OptionError, VideoError
from filmcolorizer_cli.files import check_folder, followed, replacing_folder
from filmcolorizer_cli.frames import read_ycbcr
from filmcolorizer_cli.maps import SyncMap
from filmcolorizer_cli.packets import check_clock
from filmcolorizer_cli.pairs import OPAQUE, Pair, Pairs, still_size, write_index
from filmcolorizer_cli.pictures import to_rgb
from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.progress import Note, no_note
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.shots import Shots
from filmcolorizer_cli.sidecars import ShotFiles, read_pts, read_small_frames
from filmcolorizer_cli.stills import (
    TakenStill,
    faded_stills,
    measure_still,
    report_stills,
    shots_of,
)
from filmcolorizer_cli.stopping import held_signals
from filmcolorizer_cli.survey import Glance, glance
from filmcolorizer_cli.video import BARE_STREAMS, TIMELINE_FRAME_RATE, Film, film_identity

DEFAULT_SIZE = 192  # pixels, the short side of the shipped network's input
SAVERS = 2  # threads that write stills, which takes as long as decoding the film
DELAY_LOOKS = 24  # about so many frames are read to measure the coloured film's chroma delay
ONE_FRAME_SECONDS = float(1 / TIMELINE_FRAME_RATE)


@dataclass(frozen=True)
class ExtractOptions:
    """Which stills to take, and their size.

    Attributes:
        every: frames of the 24 fps timeline from one still to the next.
        size: 64 for squares of 64x64, as in 2020; otherwise the short side, aspect ratio kept.
        start_seconds, duration_seconds: the part of the black-and-white film.
    """

    every: int = 24
    size: int = DEFAULT_SIZE
    start_seconds: float = 0.0
    duration_seconds: float | None = None

    @property
    def moments(self) -> Moments:
        return Moments(self.every, self.start_seconds, self.duration_seconds)


def extract(
    bw: Film | None,
    color: Film,
    sync_map: SyncMap,
    folder: Path,
    options: ExtractOptions,
    note: Note = no_note,
) -> Generator[int, None, None]:
    """Write aligned stills of two versions of a film, or of a colour film and its own luma.

    The stills are written to a temporary folder beside ``folder``, which replaces ``folder`` once
    it is complete.

    Args:
        bw: the black-and-white film; None to take the grey stills from the luma of ``color``.
        folder: replaced if it exists.
        note: receives messages about displaced chroma, stills left out because only the coloured
            film fades there, and stills without colours.

    Yields:
        The number of pairs taken so far, after each pair; the last ones are still being written.

    Raises:
        OptionError: the part holds no still, or none with colours.
        FilmColorizerError: the folder cannot be written.
        VideoError: a film cannot be read.
        FfmpegError: ffmpeg itself failed, or was killed.
    """
    master = bw or color
    check_folder(followed(folder).parent)
    for film in filter(None, (bw, color)):
        check_clock(film)
    if not count_stills(sync_map, options):
        raise _no_stills()
    with replacing_folder(folder) as temporary:
        (temporary / "bw").mkdir()
        (temporary / "color").mkdir()
        shot_files = ShotFiles(temporary / "cuts", temporary / "frames")
        seen = _glance(master, sync_map, options)
        area = seen.area.as_shares(master.width, master.height)
        aspect_ratio = area_aspect_ratio(master, area)
        size = still_size(options.size, aspect_ratio)
        delay = _chroma_delay(color, sync_map, options, note)
        reading = Reading(bw_cadence=seen.cadence.without_frame_repeats, delay=delay)
        if bw is not None:
            reading = _reading_of_copy(reading, color, sync_map)
        read = _read_stills(bw, color, sync_map, options, area, size, reading, shot_files)
        taken, found = list[TakenStill](), _FoundShots(shot_files)
        with closing(read):  # ends ffmpeg, which writes into the folder, before that is removed
            for name, picture in _save_stills(read, color.coding.matrix, temporary):
                taken.append(measure_still(name, picture))
                found.update()
                yield len(taken)
        if not taken:
            raise _no_stills()
        if not any(still.has_color for still in taken):
            raise OptionError(
                f"{color.path} shows no colours in these stills; give a coloured film"
                + (", after the black-and-white one" if bw else "")
            )
        shots = shots_of(taken, found.cuts(), options.moments.first_seconds(sync_map))
        faded = faded_stills(taken, shots)
        for still in faded:
            for side in ("bw", "color"):
                (temporary / side / f"{still.name}.png").unlink()
        kept = Pairs(
            temporary,
            aspect_ratio,
            *size,
            options.every,
            tuple(
                Pair(still.name, round(still.bw_seconds, 6), round(still.color_seconds, 6), shot)
                for still, shot in zip(taken, shots, strict=True)
                if still not in faded
            ),
            film_identity(master),
            master.coding.matrix,
            seen.is_faded,
        )
        write_index(kept, film_identity(color))
    report_stills(taken, faded, note)


def _reading_of_copy(reading: Reading, color: Film, sync_map: SyncMap) -> Reading:
    """Return how to read both films where the colours come from a copy, which may be worn."""
    return replace(
        reading,
        color_cadence=cadence_of_color(color, sync_map),
        denoises_chroma=True,  # the network would memorize the noise
        follows_weave=True,
    )


def _no_stills() -> OptionError:
    """Return the error for a part that is too short for a single still."""
    return OptionError(
        "there is no still in this part of the films; give another --start, --duration or a"
        " smaller --every"
    )


def count_stills(sync_map: SyncMap, options: ExtractOptions) -> int:
    """Return how many pairs `extract` will take, unless a film ends early."""
    return options.moments.count(sync_map)


def _read_stills(
    bw: Film | None,
    color: Film,
    sync_map: SyncMap,
    options: ExtractOptions,
    picture: Area,
    size: tuple[int, int],
    reading: Reading,
    shot_files: ShotFiles,
) -> Generator[AlignedPicture, None, None]:
    moments = options.moments
    if bw is not None:
        read = read_aligned(
            bw,
            color,
            sync_map,
            moments,
            size,
            picture=picture,
            reading=reading,
            shot_files=shot_files,
        )
        with closing(read) as stills:
            yield from (still for still in stills if still.luma[still.shown_pixels].size)
        return
    onto_frame = picture.affine()
    numbers = moments.numbers(sync_map.longest)
    sampling = Sampling(
        *reading_size(color, size, [onto_frame]),
        start_seconds=numbers.start * moments.step_seconds,
        duration_seconds=len(numbers) * moments.step_seconds,
        every=moments.every,
        cadence=reading.bw_cadence,
    )
    if not numbers:
        return
    with closing(read_ycbcr(color, sampling, shot_files=shot_files)) as pictures:
        # Pictures come first in zip, so that ffmpeg is read to its end and writes all shot notes.
        for ycbcr, number in zip(pictures, numbers, strict=False):
            seconds = number * moments.step_seconds
            still, shown = register_picture(None, ycbcr, onto_frame, WHOLE, reading.delay, size)
            yield AlignedPicture(seconds, seconds, still[..., 0], still, shown)


class _FoundShots:
    """Shot detection, as in `colorize`, on frames that ffmpeg is still writing.

    Frames are processed as they arrive, so that little is left to do after the last still.
    """

    def __init__(self, files: ShotFiles) -> None:
        self._files = files
        self._shots = Shots(float(TIMELINE_FRAME_RATE))
        self._count = 0

    def update(self) -> None:
        """Process the frames written since the last call."""
        assert self._files.frames_file is not None
        frames = read_small_frames(self._files.frames_file, self._count)
        for luma in frames:
            self._shots.add(luma)
        self._count += len(frames)

    def cuts(self) -> list[float]:
        """Return the starts of shots, in seconds from the first still, and delete the files.

        Call it once ffmpeg has written all notes.
        """
        self.update()
        cuts = self._shots.begins(read_pts(self._files.cuts_file))
        for file in filter(None, (self._files.cuts_file, self._files.frames_file)):
            file.unlink(missing_ok=True)
        return [float(cut / TIMELINE_FRAME_RATE) for cut in cuts]


def _glance(master: Film, sync_map: SyncMap, options: ExtractOptions) -> Glance:
    """Return what `colorize` would find of bars, cadence and fading."""
    begin, end = sync_map.segments[0].bw_start_seconds, sync_map.segments[-1].bw_end_seconds
    try:
        return glance(master, begin, end - begin)
    except VideoError:  # perhaps damaged outside the part; a part alone shows bars less reliably
        first = max(begin, options.start_seconds)
        if options.duration_seconds is not None:
            end = min(end, options.start_seconds + options.duration_seconds)
        return glance(master, first, end - first)


def _chroma_delay(
    color: Film, sync_map: SyncMap, options: ExtractOptions, note: Note
) -> tuple[float, float]:
    """Measure the coloured film's chroma delay, as in a `Reading`, and note it if there is any.

    Damaged places are skipped.
    """
    every = max(options.moments.count(sync_map) // DELAY_LOOKS, 1)
    seconds = [
        segment.color_seconds(number * options.moments.step_seconds)
        for segment in sync_map.segments
        for number in options.moments.numbers(segment)
    ][every // 2 :: every]
    pictures = list[Plane]()
    for sampling in _delay_samplings(color, sorted(seconds)):
        with suppress(VideoError), closing(read_ycbcr(color, sampling)) as read:
            pictures.extend(read)
    across, down = delay = chroma_delay(pictures)
    if any(delay):
        where = [
            f"{abs(part):.1%} of the {side} {way}"
            for part, side, way in (
                (across, "width", "to the right" if across > 0 else "to the left"),
                (down, "height", "downwards" if down > 0 else "upwards"),
            )
            if part
        ]
        note(f"the chroma of {color.path} is off by {' and '.join(where)}; the stills correct this")
    return delay


def _delay_samplings(color: Film, seconds: list[float]) -> Iterator[Sampling]:
    """Yield samplings that read frames at about these times, which must be ascending.

    Each frame is read on its own, except from bare streams, which do not allow seeking.
    """
    sampling = Sampling(*still_size(DEFAULT_SIZE, color.aspect_ratio))
    if color.container not in BARE_STREAMS:
        for start in seconds:
            yield replace(sampling, start_seconds=start, duration_seconds=ONE_FRAME_SECONDS)
    elif seconds:
        first, last = seconds[0], seconds[-1]
        every = max(int((last - first) * TIMELINE_FRAME_RATE) // DELAY_LOOKS, 1)
        part = last - first + ONE_FRAME_SECONDS
        yield replace(sampling, start_seconds=first, duration_seconds=part, every=every)


def _save_stills(
    stills: Iterable[AlignedPicture], matrix: str, folder: Path
) -> Iterator[tuple[str, AlignedPicture]]:
    """Write stills in background threads; yield each with its name, perhaps not written yet."""
    saving: deque[Future[None]] = deque()
    savers = ThreadPoolExecutor(SAVERS)
    try:
        for number, still in enumerate(stills, 1):
            name = f"{number:06d}"
            saving.append(savers.submit(_save_pair, still, matrix, folder, name))
            if len(saving) > SAVERS:
                saving.popleft().result()
            yield name, still
        for saved in saving:
            saved.result()
    finally:
        with held_signals():  # so that all writing has ended when the folder is removed
            savers.shutdown(cancel_futures=True)


def _save_pair(still: AlignedPicture, matrix: str, folder: Path, name: str) -> None:
    grey, rgb = _to_grey(still.luma), to_rgb(still.ycbcr, matrix)
    if still.shown != WHOLE:
        shown = still.shown_pixels
        rgba = np.dstack((grey, grey, grey, np.zeros_like(grey)))
        rgba[shown] = np.dstack((rgb, np.full_like(grey, OPAQUE)))[shown]
        rgb = rgba
    _save_still(grey, folder / "bw" / f"{name}.png")
    _save_still(rgb, folder / "color" / f"{name}.png")


def _save_still(pixels: Plane, path: Path) -> None:
    if pixels.ndim == 3:  # to OpenCV's channel order
        pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
    # OpenCV takes less than half the time that Pillow takes for files of this size.
    _, png = cv2.imencode(".png", pixels)
    path.write_bytes(png.data)


def _to_grey(luma: Plane) -> Plane:
    grey = luma_from_codes(torch.from_numpy(luma), range="limited")
    codes: Plane = luma_to_codes(grey, range="full").numpy()
    return codes

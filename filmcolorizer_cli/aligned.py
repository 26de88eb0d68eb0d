"""Pictures of two versions of a film at the same moments, in register."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from filmcolorizer_cli.areas import WHOLE, Affine, Area, composed, translation
from filmcolorizer_cli.cadence import ONE_TO_ONE, Cadence
from filmcolorizer_cli.color import WORKING_MATRIX, half_size
from filmcolorizer_cli.displacement import displacement
from filmcolorizer_cli.encoding import Encoding, PictureWriter, even
from filmcolorizer_cli.frames import read_luma, read_ycbcr
from filmcolorizer_cli.maps import Segment, SyncMap, nothing_shared
from filmcolorizer_cli.planes import BLACK, NEUTRAL, Plane
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.sidecars import ShotFiles
from filmcolorizer_cli.survey import cadence_of
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE, Film

OVERSAMPLING = 2  # pixels read per output pixel, along each side, where pictures are resampled
ROUNDING_FRAMES = 0.05  # frames, the tolerance for rounded times
_UNMOVED = np.eye(2, 3)


@dataclass(frozen=True)
class AlignedPicture:
    """One moment of both films.

    Attributes:
        bw_seconds, color_seconds: the moment, counted from the first frame of each film.
        luma: (H, W) of the black-and-white film, uint8, limited range.
        ycbcr: (H, W, 3) of the coloured film, uint8, limited range; undefined outside ``shown``.
        shown: the part of the picture that the coloured film covers.
    """

    bw_seconds: float
    color_seconds: float
    luma: Plane
    ycbcr: Plane
    shown: Area = WHOLE

    @property
    def shown_pixels(self) -> tuple[slice, slice]:
        """The rows and columns that lie entirely within ``shown``."""
        return self.shown.inner_pixels(self.luma.shape)


@dataclass(frozen=True)
class Reading:
    """How to read two films, and which defects of the coloured one to correct.

    Attributes:
        bw_cadence, color_cadence: see `Sampling`.
        denoises_chroma: see `Sampling`; applies to the coloured film.
        delay: the shift of the coloured film's chroma to the right of and below its luma, as
            fractions of its width and height; it is undone.
        follows_weave: whether to align each picture on its own where it is displaced, as with gate
            weave, or while a film is being panned.
    """

    bw_cadence: Cadence = ONE_TO_ONE
    color_cadence: Cadence = ONE_TO_ONE
    denoises_chroma: bool = False
    delay: tuple[float, float] = (0.0, 0.0)
    follows_weave: bool = False


AS_STORED = Reading()


@dataclass(frozen=True)
class Moments:
    """Which moments of a film's 24 fps timeline to read.

    Attributes:
        every: frames from one moment to the next.
        start_seconds, duration_seconds: the part of the black-and-white film.
    """

    every: int = 1
    start_seconds: float = 0.0
    duration_seconds: float | None = None

    @property
    def step_seconds(self) -> float:
        return float(self.every / TIMELINE_FRAME_RATE)

    def numbers(self, segment: Segment) -> range:
        """Return the moments within a segment, counted in steps from the film's first frame."""
        begin = max(segment.bw_start_seconds, self.start_seconds)
        end = segment.bw_end_seconds
        if self.duration_seconds is not None:
            end = min(end, self.start_seconds + self.duration_seconds)
        # Maps hold rounded times, and mkv files store times in milliseconds.
        frames = (
            float(seconds * TIMELINE_FRAME_RATE) - ROUNDING_FRAMES for seconds in (begin, end)
        )
        return range(*(math.ceil(frame / self.every) for frame in frames))

    def first_seconds(self, sync_map: SyncMap) -> float:
        """Return the time of the first moment in any segment; there must be one."""
        numbers = map(self.numbers, sync_map.segments)
        return min(part.start for part in numbers if part) * self.step_seconds

    def count(self, sync_map: SyncMap) -> int:
        """Return the number of moments in all segments."""
        return sum(len(self.numbers(segment)) for segment in sync_map.segments)


def shared_aspect_ratio(sync_map: SyncMap, bw: Film) -> float:
    """Return the display aspect ratio of the part of the picture that both films show."""
    return area_aspect_ratio(bw, sync_map.longest.area)


def area_aspect_ratio(film: Film, area: Area) -> float:
    """Return the display aspect ratio (width over height) of a part of a film's picture."""
    return film.aspect_ratio * area.width / area.height


def read_aligned(
    bw: Film,
    color: Film,
    sync_map: SyncMap,
    moments: Moments,
    size: tuple[int, int],
    *,
    picture: Area | None = None,
    matrix: str | None = None,
    reading: Reading = AS_STORED,
    shot_files: ShotFiles | None = None,
) -> Generator[AlignedPicture, None, None]:
    """Yield both films' pictures of each moment that lies in a segment, in order.

    The black-and-white film is read in one pass, the coloured one segment by segment.

    Args:
        size: width and height of the pictures.
        picture: the part of the black-and-white film's frames to show. Without it, pictures show
            the area that both films share, trimmed to its aspect ratio in the longest segment.
        matrix: the Y'CbCr matrix of the coloured pictures, a key of ``color.MATRICES``; by default
            the coloured film's own.
        shot_files: files to write shot notes of the black-and-white film to, from the first moment
            on.

    Raises:
        VideoError: a film cannot be read.
        FfmpegError: ffmpeg itself failed, or was killed.
    """
    numbers = [moments.numbers(segment) for segment in sync_map.segments]
    chosen = [n for part in numbers for n in (part[:1], part[-1:]) if n]
    if not chosen:
        return
    first, last = chosen[0][0], chosen[-1][0]
    longest = sync_map.longest.area
    shape = longest.width / longest.height
    areas = [picture or segment.area.trimmed(shape) for segment in sync_map.segments]
    affines = [area.affine() for area in areas]
    apart = _start_correction_seconds(bw, reading.bw_cadence, 1.0)
    bw_sampling = Sampling(
        *reading_size(bw, size, affines),
        start_seconds=first * moments.step_seconds + apart,
        duration_seconds=(last + 1 - first) * moments.step_seconds,
        every=moments.every,
        cadence=reading.bw_cadence,
    )
    with closing(read_luma(bw, bw_sampling, shot_files)) as read:
        lumas = enumerate(read, first)
        for segment, part, area, onto_bw in zip(
            sync_map.segments, numbers, areas, affines, strict=True
        ):
            if not part:
                continue
            onto_color = composed(np.array(segment.matrix), onto_bw)
            color_size = reading_size(color, size, [onto_color])
            sampling = _color_sampling(bw, color, segment, part, moments, color_size, reading)
            with closing(read_ycbcr(color, sampling, matrix=matrix)) as colors:
                for wanted, ycbcr in zip(part, colors, strict=False):
                    luma = next((plane for number, plane in lumas if number == wanted), None)
                    if luma is None:
                        return
                    seconds = wanted * moments.step_seconds
                    picture_of_bw = resample_part(luma, onto_bw, size)
                    laid, shown = register_picture(
                        picture_of_bw if reading.follows_weave else None,
                        ycbcr,
                        onto_color,
                        segment.area.within(area),
                        reading.delay,
                        size,
                    )
                    yield AlignedPicture(
                        seconds, segment.color_seconds(seconds), picture_of_bw, laid, shown
                    )
        for _ in lumas:  # read to the end, so that ffmpeg writes all shot notes
            pass


def _color_sampling(
    bw: Film,
    color: Film,
    segment: Segment,
    part: range,
    moments: Moments,
    size: tuple[int, int],
    reading: Reading,
) -> Sampling:
    """Return how to read the coloured film at the moments of a segment, numbered by ``part``."""
    begin = segment.color_seconds(part.start * moments.step_seconds)
    begin += _start_correction_seconds(color, reading.color_cadence, segment.rate)
    begin += _first_field_lead_seconds(color, reading.color_cadence)
    begin -= segment.rate * _first_field_lead_seconds(bw, reading.bw_cadence)
    return Sampling(
        *size,
        start_seconds=begin,
        duration_seconds=len(part) * moments.step_seconds * segment.rate,
        rate=segment.rate,
        every=moments.every,
        cadence=reading.color_cadence,
        denoises_chroma=reading.denoises_chroma,
    )


def cadence_of_bw(bw: Film, sync_map: SyncMap) -> Cadence:
    """Return the field cadence of the black-and-white film over the span that both films share."""
    begin, end = sync_map.segments[0].bw_start_seconds, sync_map.segments[-1].bw_end_seconds
    return cadence_of(bw, begin, end - begin).without_frame_repeats


def cadence_of_color(color: Film, sync_map: SyncMap) -> Cadence:
    """Return the field cadence of the coloured film over the span that both films share."""
    times = [
        segment.color_seconds(seconds)
        for segment in sync_map.segments
        for seconds in (segment.bw_start_seconds, segment.bw_end_seconds)
    ]
    begin = max(min(times), 0.0)
    return cadence_of(color, begin, max(times) - begin).without_frame_repeats


def render(
    bw: Film, color: Film, sync_map: SyncMap, bw_target: Path, color_target: Path
) -> Generator[int, None, None]:
    """Re-encode both films, cut to the shared moments and picture area, at 24 frames a second.

    Both have the resolution of the black-and-white film, the same number of frames, and no sound.

    Yields:
        The number of frames written so far, after each frame.

    Raises:
        FilmColorizerError: a target cannot be written.
        SyncError: the films share no moment.
        VideoError: a film cannot be read.
        FfmpegError: ffmpeg itself failed, or was killed.
    """
    area = sync_map.longest.area
    size = even(area.width * bw.width), even(area.height * bw.height)
    shape = replace(bw, width=size[0], height=size[1])
    grey = np.full((2, size[1] // 2, size[0] // 2), NEUTRAL, np.uint8)
    read = read_aligned(
        bw,
        color,
        sync_map,
        Moments(),
        size,
        matrix=WORKING_MATRIX,
        reading=Reading(cadence_of_bw(bw, sync_map), cadence_of_color(color, sync_map)),
    )
    with (
        closing(read) as pictures,
        PictureWriter(bw_target, shape, Encoding()) as bw_writer,
        PictureWriter(color_target, shape, Encoding()) as color_writer,
    ):
        number = 0
        for number, picture in enumerate(pictures, 1):
            bw_writer.write(picture.luma, grey)
            codes = torch.from_numpy(picture.ycbcr).permute(2, 0, 1).float()  # (3, H, W)
            chroma = half_size(codes[None, 1:])[0].round().byte().numpy()
            color_writer.write(picture.ycbcr[..., 0], chroma)
            yield number
        if not number:
            raise nothing_shared(bw, color)
        for writer in (bw_writer, color_writer):  # both, before either is put in place
            writer.finish()


def register_picture(
    luma: Plane | None,
    ycbcr: Plane,
    affine: Affine,
    shown: Area,
    delay: tuple[float, float],
    size: tuple[int, int],
) -> tuple[Plane, Area]:
    """Resample a coloured picture so that it is in register with a grey one.

    Args:
        luma: (height, width), the grey picture, to correct a remaining displacement; None where
            ``affine`` is exact.
        ycbcr: (H, W, 3).
        affine: maps a point (x, y, 1) of the output to the coloured picture, both in [0, 1].
        shown: the part of the output that the coloured picture covers.
        delay: as in a `Reading`.
        size: width and height of the output.

    Returns:
        The output (height, width, 3), and the part of it that is valid: ``shown`` without what the
        corrections moved in from outside it.
    """
    laid = resample_part(ycbcr, affine, size)
    if luma is not None:
        inside = shown.inner_pixels(luma.shape)
        beside = displacement(luma[inside], laid[inside][..., 0])
        if beside is not None:
            across, down = np.divide(beside, size)
            affine = composed(affine, translation(across, down))
            shown = shown.overlap_when_moved(-across, -down)
            laid = resample_part(ycbcr, affine, size)
    if any(delay):
        late = resample_part(ycbcr, composed(translation(*delay), affine), size)
        laid = np.dstack((laid[..., :1], late[..., 1:]))
        # The same delay in coordinates of the output; its rotation is negligible.
        across, down = delay / np.diag(affine)
        shown = shown.overlap_when_moved(-across, -down)
    return laid, shown


def resample_part(picture: Plane, affine: Affine, size: tuple[int, int]) -> Plane:
    """Resample a part of a picture (H, W) or (H, W, 3); the area outside the picture is black.

    Args:
        affine: maps a point (x, y, 1) of the output to the picture, both in [0, 1].
        size: width and height of the output.
    """
    height, width = picture.shape[:2]
    if np.array_equal(affine, _UNMOVED) and (width, height) == size:
        return picture
    density = min(abs(affine[0, 0]) * width / size[0], abs(affine[1, 1]) * height / size[1])
    finer = OVERSAMPLING if density > 1.5 else 1
    wide, high = size[0] * finer, size[1] * finer
    matrix = np.diag((width, height)) @ affine / (wide, high, 1)  # in pixels
    # OpenCV's origin is the centre of the first pixel.
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    moved = _resampled(picture, matrix, (wide, high), cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    inside = np.ones((height, width), np.uint8)
    is_inside = _resampled(inside, matrix, (wide, high), cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    moved[is_inside == 0] = (BLACK, NEUTRAL, NEUTRAL) if picture.ndim == 3 else BLACK
    if finer == 1:
        return moved
    return np.asarray(cv2.resize(moved, size, interpolation=cv2.INTER_AREA), np.uint8)


def _resampled(
    picture: Plane, matrix: Affine, size: tuple[int, int], interpolation: int, border: int
) -> Plane:
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=border), np.uint8
    )


def _start_correction_seconds(film: Film, cadence: Cadence, rate: float) -> float:
    """Return the seconds to add to a read time so that frames begin half their duration early.

    Sync maps assume this, whereas a `Sampling` lets frames begin half a timeline frame early.
    """
    picture_seconds = 1 / cadence.picture_rate(film.frame_rate)
    return float((picture_seconds - Fraction(rate) / TIMELINE_FRAME_RATE) / 2)


def _first_field_lead_seconds(film: Film, cadence: Cadence) -> float:
    """Return by how many seconds a deinterlaced picture precedes the moment a map assumes for it.

    It shows the moment of the first field, whereas films are aligned by the mean of both fields.
    """
    if cadence.field_order == "progressive" or cadence.is_film_in_fields:
        return 0.0
    return float(1 / film.frame_rate / 4)


def reading_size(film: Film, size: tuple[int, int], affines: list[Affine]) -> tuple[int, int]:
    """Return the size to read a film's frames at, to resample parts of them to ``size``."""
    if all(np.array_equal(affine, _UNMOVED) for affine in affines):
        return size
    across = min(float(np.hypot(*affine[:, 0])) for affine in affines)
    down = min(float(np.hypot(*affine[:, 1])) for affine in affines)
    return (
        min(math.ceil(OVERSAMPLING * size[0] / across), film.width),
        min(math.ceil(OVERSAMPLING * size[1] / down), film.height),
    )

"""A preview of a colorized film: some frames from all over it.

The film is not decoded as a whole; only short parts are sought and read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from filmcolorizer_cli.areas import PixelArea
from filmcolorizer_cli.cadence import Cadence
from filmcolorizer_cli.color_detection import has_color
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.frames import read_pictures
from filmcolorizer_cli.networks import Network, for_inference
from filmcolorizer_cli.packets import check_clock
from filmcolorizer_cli.painting import Painter
from filmcolorizer_cli.pictures import picture_to_rgb
from filmcolorizer_cli.planes import NEUTRAL, Coding, DeepPlane, Plane
from filmcolorizer_cli.progress import Note, no_note
from filmcolorizer_cli.rendering import ColorizeOptions, in_color_already, no_picture
from filmcolorizer_cli.sampling import Sampling, check_part
from filmcolorizer_cli.sidecars import LOOK_SIZE
from filmcolorizer_cli.survey import FRAMES_A_SECOND, Glance, glance
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE, Film

GREY = "grey"
STILL_WIDTH, STILL_HEIGHT = 640, 480  # maximum size of a preview picture, in pixels

# Where in its share of the film each frame is sought: at a multiple of the golden ratio, which is
# in step with no rhythm of the film, then at two detours from there until it shows something new.
GOLDEN_RATIO = (5**0.5 - 1) / 2
DETOURS = (0.0, 1 / 3, 2 / 3)
MIN_CONTRAST = 8.0  # luma codes, standard deviation; fades and blank frames have less
MIN_CHANGE = 8.0  # luma codes, mean difference from any earlier frame; one shot often has less
SMALL = 32, 24  # width and height, in pixels, at which frames are compared
FRAMES_PER_PLACE = 3  # frames read at each place, to detect whether it is in colour

# Luma (H, W) and chroma (2, ceil(H/2), ceil(W/2)) of some frames of a shot.
Shot = list[tuple[DeepPlane, DeepPlane]]


@dataclass(frozen=True)
class Moment:
    """A frame of a film in several versions.

    Attributes:
        seconds: time from the film's first frame.
        is_colored: whether the frame is already in colour and keeps its colours.
        pictures: R'G'B' (H, W, 3) as displayed: ``GREY`` first, then one by each network's name.
    """

    seconds: float
    is_colored: bool
    pictures: dict[str, Plane]


def preview(
    film: Film,
    networks: Mapping[str, Network],
    options: ColorizeOptions,
    device: torch.device,
    *,
    frames: int,
    note: Note = no_note,
) -> Iterator[Moment]:
    """Colorize some frames of a film, one from each equal share of it.

    Each is chosen to be neither blank nor like an earlier one, if its share has such a frame.

    Args:
        networks: networks by the names that their pictures get.
        options: which part of the film to colorize, and how.
        frames: how many frames to show, if the film has that many.
        note: called with a message if damaged places were left out.

    Yields:
        The moments, in order.

    Raises:
        OptionError: the film ends before the part begins, no frame begins after that, or all of it
            is already in colour.
        VideoError: the film cannot be read anywhere.
    """
    check_part(film, options.sampling())
    check_clock(film)
    start, seconds = options.start_seconds, film.duration_seconds - options.start_seconds
    seconds = min(seconds, options.duration_seconds or seconds)
    try:
        found = glance(film, start, seconds)
    except VideoError:  # damaged; what can be read is still shown
        found = Glance(PixelArea(0, 0, film.width, film.height))
    cadence = options.reading_cadence(found.cadence).without_frame_repeats
    painters = {
        name: Painter(
            for_inference(network, device, is_faded=found.is_faded),
            device,
            sample_aspect_ratio=float(film.sample_aspect_ratio),
            coding=_plain_coding(film),
            area=found.area,
            vividness=options.vividness,
        )
        for name, network in networks.items()
    }
    is_colored, all_colored, when = False, not options.recolor, None
    reader = _Reader(film, cadence)
    for when, shot in _shots(reader, start, seconds, frames):
        if len(shot) > 1 and not options.recolor:  # colour cannot be detected in one frame
            is_colored = _is_colored(shot)
        all_colored &= is_colored
        luma, own_chroma = shot[0]
        pictures = {GREY: _displayed(film, luma, np.full_like(own_chroma, NEUTRAL))}
        for name, painter in painters.items():
            chroma = own_chroma if is_colored else next(painter.paint([luma]))[1]
            pictures[name] = _displayed(film, luma, chroma)
        yield Moment(when, is_colored, pictures)
    if when is None:
        raise reader.damage or no_picture(film, start)
    if reader.damage:
        note(f"damaged places were left out: {reader.damage}")
    if all_colored:
        raise in_color_already(film)


class _Reader:
    """Reader of a few frames at any time of a film.

    Attributes:
        damage: the first damage encountered, if any.
    """

    def __init__(self, film: Film, cadence: Cadence) -> None:
        self.film, self.cadence = film, cadence
        self.damage: VideoError | None = None

    def read(self, seconds: float) -> Shot:
        """Return the frame at this time and some later ones; none where the film is damaged."""
        every = round(TIMELINE_FRAME_RATE / FRAMES_A_SECOND)
        sampling = Sampling(
            start_seconds=seconds,
            duration_seconds=float(FRAMES_PER_PLACE * every / TIMELINE_FRAME_RATE),
            every=every,
            cadence=self.cadence,
        )
        try:
            return list(read_pictures(self.film, sampling, _plain_coding(self.film)))
        except VideoError as error:
            self.damage = self.damage or error
            return []


def _shots(
    reader: _Reader, start: float, seconds: float, frames: int
) -> Iterator[tuple[float, Shot]]:
    """Yield the shot to show for each share of a part of a film, and its time."""
    count = max(min(frames, int(seconds * TIMELINE_FRAME_RATE)), 1)
    before: list[Plane] = []
    for number in range(count):
        places = (((number + 1) * GOLDEN_RATIO + detour) % 1 for detour in DETOURS)
        times = [round(start + (number + place) * seconds / count, 2) for place in places]
        taken = _take(reader, times, before)
        if taken is not None:
            before.append(_small(taken[1]))
            yield taken
    if not before and (only := _take(reader, [start], before)) is not None:
        yield only  # the part is hardly longer than a frame


def _take(reader: _Reader, times: list[float], before: list[Plane]) -> tuple[float, Shot] | None:
    """Return the first shot at these times that shows something new, else the highest-contrast one.

    Return None if the pictures have ended or are damaged at all of these times.
    """
    found = []
    for seconds in times:
        shot = reader.read(seconds)
        if not shot:
            continue
        small = _small(shot).astype(np.float32)
        contrast = float(small.std())
        change = min((float(np.abs(small - other).mean()) for other in before), default=np.inf)
        if contrast >= MIN_CONTRAST and change >= MIN_CHANGE:
            return seconds, shot
        found.append((contrast, seconds, shot))
    if not found:
        return None
    _, seconds, shot = max(found, key=lambda candidate: candidate[0])
    return seconds, shot


def _plain_coding(film: Film) -> Coding:
    return replace(film.coding, bit_depth=8, range="limited")


def _small(shot: Shot) -> Plane:
    """Return the luma of a shot's first frame, reduced for comparison."""
    return _resized(shot[0][0], SMALL)


def _is_colored(shot: Shot) -> bool:
    frames = [
        np.dstack([_resized(plane, LOOK_SIZE) for plane in (luma, *chroma)])
        for luma, chroma in shot
    ]
    return has_color(frames)


def _displayed(film: Film, luma: DeepPlane, chroma: DeepPlane) -> Plane:
    """Convert to R'G'B' (h, w, 3) in the film's display shape, no larger than a still."""
    width, height = float(film.width * film.sample_aspect_ratio), float(film.height)
    scale = min(STILL_WIDTH / width, STILL_HEIGHT / height, 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return picture_to_rgb(luma, chroma, film.coding.matrix, size)


def _resized(plane: DeepPlane, size: tuple[int, int]) -> Plane:
    """Resize an 8-bit plane (H, W) to this width and height."""
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))

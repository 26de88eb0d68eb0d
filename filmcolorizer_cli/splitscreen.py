"""Two films in one picture, for comparing them."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from filmcolorizer_cli.encoding import Encoding, PictureWriter, even
from filmcolorizer_cli.errors import OptionError
from filmcolorizer_cli.files import cannot_write, check_folder, followed, temporary_beside
from filmcolorizer_cli.frames import read_pictures
from filmcolorizer_cli.joining import join_film
from filmcolorizer_cli.lettering import load_font, shortened
from filmcolorizer_cli.packets import check_clock, with_damaged_sound
from filmcolorizer_cli.pictures import picture_to_rgb
from filmcolorizer_cli.planes import BLACK, NEUTRAL, PLAIN, WHITE, DeepPlane, Plane
from filmcolorizer_cli.sampling import Sampling, check_part
from filmcolorizer_cli.survey import cadence_of
from filmcolorizer_cli.timeline import Timeline
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE, UNKNOWN_CODEC, Film

Layout = Literal["side", "split"]

MAX_PANEL_WIDTH: dict[Layout, int] = {"side": 960, "split": 1920}  # pixels of one film's picture
GAP = 4  # pixels between two pictures side by side
LINE = 2  # width of the line where a picture is split, in pixels
LABEL_SHARE = 1 / 22  # height of a label's letters, as a share of the picture's height
MIN_LETTERS = 11  # least height of a label's letters, in pixels
MAX_STILL = 640  # longer side in pixels: more than a sheet shows; 200 of both films take 400 MB
LABEL_OPACITY = 0.6  # opacity of the black box behind a label's letters

Picture = tuple[DeepPlane, DeepPlane]  # luma (H, W) and chroma (2, H / 2, W / 2), uint8


@dataclass(frozen=True)
class CompareOptions:
    """Options for showing two films together.

    Attributes:
        layout: side by side, or the left half of the first film and the right half of the second.
        labels: the text written on each film's picture.
        start_seconds, other_start_seconds: where to start in the first and the second film.
        duration_seconds: length to show; None shows up to the end of the shorter film.
        stills: how many frames to keep as stills.
    """

    labels: tuple[str, str]
    layout: Layout = "side"
    start_seconds: float = 0.0
    other_start_seconds: float = 0.0
    duration_seconds: float | None = None
    stills: int = 12


@dataclass(frozen=True)
class Still:
    """A frame of each film at the same moment, as R'G'B' (H, W, 3) uint8.

    Attributes:
        seconds: time from the beginning of the first film.
    """

    seconds: float
    pictures: tuple[Plane, Plane]


def compare(
    first: Film, second: Film, target: Path, options: CompareOptions
) -> Generator[int, None, tuple[int, list[Still]]]:
    """Write a film that shows two films at once, with the sound of the first that has any.

    Both are fitted into the picture shape of the first, and converted to one frame rate.

    Yields:
        The number of frames written so far, after each frame.

    Returns:
        The number of frames, and stills spread evenly over them.

    Raises:
        FilmColorizerError: the target cannot be written.
        OptionError: a film ends before its start, or has no frame after it.
        VideoError: a film cannot be read, or the target cannot be written; no target is left.
    """
    for source in (first, second):
        check_clock(source)
    film = followed(target)
    check_folder(film.parent)
    folder = temporary_beside(film.with_name(f"{film.name}-pictures"))
    was_free = not target.exists()
    stills: list[Still] = []
    try:
        folder.mkdir()
        pictures, frames = folder / "pictures.mp4", 0
        for frames in _write(first, second, pictures, options, stills):
            yield frames
        if not frames:
            raise OptionError(
                f"{first.path} and {second.path} gave no pictures to compare; give an earlier"
                " --start"
            )
        rate = frame_rate(first, second)
        heard, start = _sound_source(first, second, options)
        join_film(
            [pictures],
            target,
            with_damaged_sound(heard),
            Timeline.steady(rate, frames),
            start_seconds=start,
            duration_seconds=float(frames / rate),
            was_free=was_free,
        )
    except OSError as error:
        raise cannot_write(target, error) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return frames, stills


def frame_rate(first: Film, second: Film) -> Fraction:
    """Return the films' common frame rate, or ``TIMELINE_FRAME_RATE`` if they differ."""
    return first.credible_rate if first.frame_rate == second.frame_rate else TIMELINE_FRAME_RATE


def frame_count(first: Film, second: Film, options: CompareOptions) -> int:
    """Return the approximate number of frames to be written.

    Raises:
        OptionError: a film ends before its start, or the part is shorter than a frame.
    """
    rate, counts = frame_rate(first, second), []
    starts = (options.start_seconds, "--start"), (options.other_start_seconds, "--other-start")
    for film, (start, name) in zip((first, second), starts, strict=True):
        part = Sampling(None, None, rate, start, options.duration_seconds)
        check_part(film, part, name)
        counts.append(part.frame_count(film))
    return max(min(counts), 1)


def _write(
    first: Film, second: Film, target: Path, options: CompareOptions, stills: list[Still]
) -> Iterator[int]:
    """Write the pictures of both films, append to ``stills``, and yield the number of frames."""
    rate, total = frame_rate(first, second), frame_count(first, second, options)
    size = _panel_size(first, MAX_PANEL_WIDTH[options.layout])
    starts = options.start_seconds, options.other_start_seconds
    count = min(options.stills, total)
    kept = {(2 * number + 1) * total // (2 * count) for number in range(count)}
    join = _Joiner(size, options)
    shape = replace(first, width=join.width, height=join.height, sample_aspect_ratio=Fraction(1))
    seconds = float(total / rate)
    samplings = []
    for source, start in zip((first, second), starts, strict=True):
        cadence = cadence_of(source, start, seconds)
        samplings.append(Sampling(None, None, rate, start, seconds, cadence=cadence))
    with (
        closing(_read(first, size, samplings[0])) as ours,
        closing(_read(second, size, samplings[1])) as theirs,
        PictureWriter(target, shape, Encoding(frame_rate=rate)) as writer,
    ):
        last: tuple[int, tuple[Picture, Picture]] | None = None
        for number, both in enumerate(zip(ours, theirs, strict=False)):
            last = number, both
            if number in kept:
                stills.append(_still(starts[0] + float(number / rate), both))
            writer.write(*join(*both))
            yield number + 1
        if last and not stills:  # the pictures ended sooner than the files' durations say
            stills.append(_still(starts[0] + float(last[0] / rate), last[1]))


def _still(seconds: float, both: tuple[Picture, Picture]) -> Still:
    return Still(seconds, (_to_rgb(both[0]), _to_rgb(both[1])))


def _panel_size(film: Film, widest: int) -> tuple[int, int]:
    """Return width and height of a film's picture as displayed, at most ``widest``, both even."""
    width = float(film.width * film.sample_aspect_ratio)
    scale = min(widest / width, 1.0)
    return even(width * scale), even(film.height * scale)


def _sound_source(first: Film, second: Film, options: CompareOptions) -> tuple[Film, float]:
    """Return the film whose sound, chapters and title are used, and its start in seconds."""
    film, start = first, options.start_seconds
    if _is_heard(second) and not _is_heard(first):
        film, start = second, options.other_start_seconds
    return replace(film, subtitles=(), attachments=(), time_code=None), start


def _is_heard(film: Film) -> bool:
    return any(sound.codec != UNKNOWN_CODEC for sound in film.sounds)


def _read(film: Film, size: tuple[int, int], sampling: Sampling) -> Generator[Picture, None, None]:
    """Yield a film's pictures, each centred in a black panel of this width and height."""
    width, height = size
    scale = min(width / film.aspect_ratio, height)
    across, down = min(even(scale * film.aspect_ratio), width), min(even(scale), height)
    left, top = (width - across) // 4 * 2, (height - down) // 4 * 2
    sides = ((top, height - down - top), (left, width - across - left))
    halves = ((0, 0), *((before // 2, after // 2) for before, after in sides))
    fitted = replace(sampling, width=across, height=down)
    with closing(read_pictures(film, fitted, PLAIN)) as pictures:
        for luma, chroma in pictures:
            yield (
                np.pad(luma, sides, constant_values=BLACK),
                np.pad(chroma, halves, constant_values=NEUTRAL),
            )


class _Joiner:
    """Joiner of two pictures of the same size into one, with a label each.

    Attributes:
        width, height: size of the joined picture, in pixels.
    """

    def __init__(self, size: tuple[int, int], options: CompareOptions) -> None:
        self.is_split = options.layout == "split"
        width, self.height = size
        self.width = width if self.is_split else 2 * width + GAP
        self.middle = width // 4 * 2 if self.is_split else width + GAP // 2
        letters = max(round(self.height * LABEL_SHARE), MIN_LETTERS)
        self.margin = letters // 4 * 2
        room = self.width // 2 - 2 * self.margin, self.height - 2 * self.margin
        self.labels = [_label(text, letters, room) for text in options.labels]

    def __call__(self, first: Picture, second: Picture) -> Picture:
        """Return luma and chroma of the joined picture."""
        luma = np.full((self.height, self.width), BLACK, np.uint8)
        chroma = np.full((2, self.height // 2, self.width // 2), NEUTRAL, np.uint8)
        for joined, mine, other, scale in zip((luma, chroma), first, second, (1, 2), strict=True):
            middle = self.middle // scale
            if self.is_split:
                joined[..., :middle] = mine[..., :middle]
                joined[..., middle:] = other[..., middle:]
            else:
                joined[..., : mine.shape[-1]] = mine
                joined[..., -other.shape[-1] :] = other
        if self.is_split:
            luma[:, self.middle - LINE // 2 : self.middle + LINE // 2] = WHITE
        left, right = self.labels
        beyond = max(self.width - self.margin - right.shape[1], 0)
        _put(left, luma, chroma, self.margin, self.margin)
        _put(right, luma, chroma, beyond if self.is_split else self.middle + GAP, self.margin)
        return luma, chroma


def _label(text: str, letters: int, room: tuple[int, int]) -> NDArray[np.float32]:
    """Return a box (h, w) with letters this many pixels high, as whiteness from 0 to 1.

    Args:
        room: maximum width and height of the box.
    """
    font = load_font(letters, text)
    text = shortened(text, font, room[0] - letters)
    left, _, right, _ = font.getbbox(text)
    width = max(min(even(right - left + letters), room[0] // 2 * 2), 2)
    height = max(min(even(1.6 * letters), room[1] // 2 * 2), 2)
    image = Image.new("L", (width, height))
    middle = (width / 2, height / 2)
    ImageDraw.Draw(image).text(middle, text, fill=255, font=font, anchor="mm")
    return np.asarray(image, np.float32) / np.float32(255)


def _put(
    letters: NDArray[np.float32], luma: DeepPlane, chroma: DeepPlane, left: int, top: int
) -> None:
    """Draw a label over a picture, in place; what does not fit is cut off."""
    height, width = letters.shape
    area = luma[top : top + height, left : left + width]
    letters = letters[: area.shape[0], : area.shape[1]]
    shaded = BLACK + (area - float(BLACK)) * (1 - LABEL_OPACITY)
    area[:] = np.round(shaded + letters * (WHITE - shaded))
    half = chroma[:, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
    half[:] = np.round(NEUTRAL + (half - float(NEUTRAL)) * (1 - LABEL_OPACITY))


def _to_rgb(picture: Picture) -> Plane:
    luma, chroma = picture
    scale = min(MAX_STILL / max(luma.shape), 1.0)
    height, width = (max(round(side * scale), 1) for side in luma.shape)
    return picture_to_rgb(luma, chroma, PLAIN.matrix, (width, height))

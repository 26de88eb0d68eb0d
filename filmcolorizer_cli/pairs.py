"""The folder of (grey, colour) pairs: writing, reading, splitting."""

from __future__ import annotations

import bisect
import json
import math
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from filmcolorizer_cli.aligned import (
    AlignedPicture,
    Moments,
    area_affine,
    area_aspect_ratio,
    cut_out,
    read_aligned,
    reading_size,
)
from filmcolorizer_cli.color import (
    MATRICES,
    WORKING_MATRIX,
    luma_from_codes,
    luma_to_codes,
    on_luma,
    rgb_to_ycbcr,
)
from filmcolorizer_cli.errors import OptionError, PairsError, VideoError, reason_of
from filmcolorizer_cli.files import check_folder, followed, replacing_folder
from filmcolorizer_cli.frames import Sampling, read_cuts, read_ycbcr, to_rgb
from filmcolorizer_cli.stopping import held_signals
from filmcolorizer_cli.survey import glance
from filmcolorizer_cli.sync import WHOLE, Area, SyncMap, film_identity
from filmcolorizer_cli.video import TIMELINE_FRAME_RATE, Film, Plane

SQUARE_SIZE = 64  # pixels; stills of this size are squares, as in 2020
DEFAULT_SIZE = 192  # pixels, the short side that the shipped network looks at
DEFAULT_SPLIT = (0.70, 0.15, 0.15)
SAVERS = 2  # threads that write stills, which takes as long as decoding the film
MIN_CHROMA = 1.0  # code values, of the mean over a still: less is noise of a grey film
SHAPE_TOLERANCE = 0.03  # by which a hand-painted still's aspect ratio may be off
# Of stills that show the same, by hand or not: how alike they are, at this size, where there is
# anything to see.
LEAST_LIKENESS, LEAST_CONTRAST, SMALL = 0.6, 4.0, (32, 24)
OPAQUE = 255  # alpha of a colour that is known
# Codes of luma by which stills differ for rounding alone, and the share of a still, of what the
# gamut has not clipped, that differs by more where the coloured film is another one.
ROUNDING_CODES, DIFFERING_SHARE = 2.0, 0.1
RIM = 1  # pixel, at the edge of what a cropped copy shows, that its surroundings show through
SIDES = ("bw", "color")  # folders of stills
_FORMAT = "filmcolorizer-pairs/1"
PngImagePlugin.MAX_TEXT_CHUNK = 1 << 26  # bytes; paint programs embed the profile of a screen

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
INTERLEAVED_PARTS: tuple[Part, ...] = ("train", "validation", "train", "test")


@dataclass(frozen=True)
class Pair:
    """One moment of a film, in grey and in colour.

    Attributes:
        name: of both files, without ``.png``.
        bw_seconds, color_seconds: the moment, from the first frame of each film.
        shot: a number that all pairs of one shot share.
    """

    name: str
    bw_seconds: float
    color_seconds: float
    shot: int


@dataclass(frozen=True)
class TimeSplit:
    """Which times of a film train, validate and test; each part begins with a new shot."""

    measured: ClassVar = PARTS
    validation_from_seconds: float
    test_from_seconds: float

    def parts(self, pairs: Sequence[Pair]) -> list[Part]:
        """The part of each pair."""
        times = (self.validation_from_seconds, self.test_from_seconds)
        return [PARTS[bisect.bisect_right(times, pair.bw_seconds)] for pair in pairs]

    def describe(self) -> dict[str, float]:
        """Plain values, of which `read_split` makes a split again."""
        return asdict(self)


@dataclass(frozen=True)
class InterleavedSplit:
    """Every other moment trains; those between them validate and test by turns.

    For a coloured copy that covers the whole film: nothing is foreign to a network that saw it so.

    Attributes:
        every: a moment comes after so many frames of the 24 fps timeline.
    """

    measured: ClassVar = PARTS
    every: int

    def parts(self, pairs: Sequence[Pair]) -> list[Part]:
        """The part of each pair, whichever others were deleted."""
        rate = TIMELINE_FRAME_RATE / self.every
        numbers = (round(pair.bw_seconds * rate) for pair in pairs)
        return [INTERLEAVED_PARTS[number % len(INTERLEAVED_PARTS)] for number in numbers]

    def describe(self) -> dict[str, int]:
        """Plain values, of which `read_split` makes a split again."""
        return {"every": self.every}


@dataclass(frozen=True)
class Undivided:
    """All pairs train, and the same ones tell when it is enough; there are none to test.

    For a handful of stills painted by hand, of which none is to be held back.
    """

    measured: ClassVar[tuple[Part, ...]] = ("train",)

    def describe(self) -> dict[str, bool]:
        """Plain values, of which `read_split` makes a split again."""
        return {"undivided": True}


# Each tells, as ``measured``, of which parts a network's scores mean something.
Split = TimeSplit | InterleavedSplit | Undivided


def read_split(description: Any) -> Split:
    """The split that these plain values describe.

    Raises:
        ValueError: they describe none.
    """
    with suppress(AttributeError, OverflowError, TypeError):  # OverflowError of huge integers
        if description == Undivided().describe():
            return Undivided()
        if "every" in description:
            interleaved = InterleavedSplit(**description)
            if type(interleaved.every) is int and interleaved.every > 0:  # True is an int as well
                return interleaved
        elif all(math.isfinite(seconds) for seconds in description.values()):
            return TimeSplit(**description)
    raise ValueError(f"{description!r} describes no split")


@dataclass(frozen=True)
class Pairs:
    """A folder of pairs.

    Attributes:
        aspect_ratio: width over height, as displayed, of the black-and-white picture without its
            bars; the stills may be squeezed into squares.
        width, height: of the stills.
        every: of how many frames of the 24 fps timeline a still was taken.
        film: what identifies the black-and-white film (see `sync.film_identity`).
        matrix: by which its luma is that of colours, a key of ``color.MATRICES``.
    """

    folder: Path
    aspect_ratio: float
    width: int
    height: int
    every: int
    pairs: tuple[Pair, ...]
    film: dict[str, Any]
    matrix: str = WORKING_MATRIX

    def part(self, part: Part, split: Split) -> list[Pair]:
        """The pairs of one part.

        Raises:
            PairsError: there are none.
        """
        if isinstance(split, Undivided):
            return list(self.pairs)
        parts = split.parts(self.pairs)
        chosen = [pair for pair, its in zip(self.pairs, parts, strict=True) if its == part]
        if not chosen:
            raise PairsError(
                f"the {part} part of the pairs in {self.folder} is empty; extract pairs of the"
                " whole film, or give another --split"
            )
        return chosen

    def read(self, pair: Pair) -> tuple[Plane, Plane, Plane]:
        """A pair's grey still (H, W), its colour still (H, W, 3), R'G'B', and where that is known.

        Where the colour still is transparent, such as where the coloured film is cropped, colours
        are unknown; it is grey there.

        Returns:
            Three planes of uint8; the last (H, W) is 255 where colours are known, and else 0.

        Raises:
            PairsError: a still cannot be read, has another shape than the others, or no colours.
        """
        grey = _read_still(self.folder / "bw" / f"{pair.name}.png", "L")
        color = _read_still(self.folder / "color" / f"{pair.name}.png", "RGBA")
        if grey.size != (self.width, self.height):
            raise PairsError(
                f"the grey still of pair {pair.name} in {self.folder} is {grey.width}x"
                f"{grey.height}, not {self.width}x{self.height}; put the extracted one back or"
                " delete the pair"
            )
        if color.size != grey.size:
            stretch = (color.width / color.height) / (grey.width / grey.height)
            if abs(math.log(stretch)) > SHAPE_TOLERANCE:
                raise PairsError(
                    f"the stills of pair {pair.name} in {self.folder} have different shapes, grey"
                    f" {grey.width}x{grey.height} and colour {color.width}x{color.height};"
                    " crop the colour one or delete the pair"
                )
            # Sharper filters would mix some of what is transparent into what is opaque.
            color = color.resize(grey.size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        luma, rgba = np.asarray(grey), np.asarray(color)
        known = rgba[..., 3] == OPAQUE
        if not known.any():
            raise PairsError(
                f"the colour still of pair {pair.name} in {self.folder} is opaque nowhere; merge"
                " all its layers at full opacity, or delete the pair"
            )
        rgb = np.where(known[..., None], rgba[..., :3], luma[..., None])
        return luma, rgb, known * np.uint8(OPAQUE)


@dataclass(frozen=True)
class ExtractOptions:
    """Which stills are taken, and how large.

    Attributes:
        every: one still of so many frames of the 24 fps timeline.
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


def still_size(size: int, aspect_ratio: float) -> tuple[int, int]:
    """Width and height of stills: 64 gives squares, as in 2020; otherwise it is the short side."""
    if size == SQUARE_SIZE:
        return size, size
    if aspect_ratio >= 1:
        return round(size * aspect_ratio), size
    return size, round(size / aspect_ratio)


def extract(
    bw: Film | None,
    color: Film,
    sync_map: SyncMap,
    folder: Path,
    options: ExtractOptions,
) -> Iterator[int]:
    """Write aligned stills of two versions of a film, or of one and its own luma.

    The stills are gathered in a temporary folder beside ``folder``, which takes its place when all
    are there.

    Args:
        bw: the black-and-white film; None to take the grey stills from the luma of ``color``.
        folder: replaced where it exists.

    Yields:
        The number of pairs taken so far, after each; the last ones are still being written.

    Raises:
        OptionError: the part holds no still, or none with colours.
        FilmColorizerError: the folder cannot be written.
        VideoError: a film cannot be read.
    """
    check_folder(followed(folder).parent)
    if not count_stills(sync_map, options):
        raise _no_stills()
    with replacing_folder(folder) as temporary:
        (temporary / "bw").mkdir()
        (temporary / "color").mkdir()
        cuts_file = temporary / "cuts.txt"
        picture = _picture(bw or color, sync_map, options)
        aspect_ratio = area_aspect_ratio(bw or color, picture)
        size = still_size(options.size, aspect_ratio)
        stills: list[tuple[str, float, float]] = []
        has_color = False
        # Closed before the folder goes, into which ffmpeg writes.
        with closing(_read_stills(bw, color, sync_map, options, picture, size, cuts_file)) as read:
            for name, still in _save_stills(read, color.coding.matrix, temporary):
                stills.append((name, still.bw_seconds, still.color_seconds))
                has_color = has_color or _has_color(still)
                yield len(stills)
        if not stills:
            raise _no_stills()
        if not has_color:
            raise OptionError(
                f"{color.path} shows no colours in these stills; give a coloured film"
                + (", after the black-and-white one" if bw else "")
            )
        first_seconds = options.moments.first_seconds(sync_map)
        pairs = _number_shots(stills, read_cuts(cuts_file), first_seconds)
        cuts_file.unlink(missing_ok=True)
        _write_index(temporary, bw or color, color, aspect_ratio, size, options.every, pairs)


def _no_stills() -> OptionError:
    """The sentence for a part that is too short for a single still."""
    return OptionError(
        "there is no still in this part of the films; give another --start, --duration or a"
        " smaller --every"
    )


def count_stills(sync_map: SyncMap, options: ExtractOptions) -> int:
    """How many pairs `extract` will write, unless a film ends early."""
    return options.moments.count(sync_map)


def read_pairs(folder: Path) -> Pairs:
    """Read what a folder of pairs holds; pairs whose two stills were deleted are left out.

    Raises:
        PairsError: the folder is missing, empty or inconsistent.
    """
    index_file = folder / "pairs.json"
    try:
        index = json.loads(index_file.read_text())
        if index["format"] != _FORMAT:
            raise ValueError(f"its format is {index['format']!r}, not {_FORMAT!r}")
        listed = [
            Pair(*(entry[key] for key in ("name", "bw_seconds", "color_seconds", "shot")))
            for entry in index["pairs"]
        ]
        for pair in listed:
            if not (isinstance(pair.name, str) and isinstance(pair.shot, int)):
                raise TypeError(f"a pair called {pair.name}, of shot {pair.shot}")
            if not all(map(math.isfinite, (pair.bw_seconds, pair.color_seconds))):
                raise ValueError(f"the times of pair {pair.name} are no numbers")
        shape = float(index["aspect_ratio"]), int(index["width"]), int(index["height"])
        if not (0 < shape[0] < math.inf and min(shape[1:]) > 0):
            raise ValueError(f"stills of {shape[1]}x{shape[2]} with an aspect ratio of {shape[0]}")
        every, film = int(index["every"]), dict(index["bw"])
        if every < 1:
            raise ValueError(f"a still of every {every} frames")
        matrix = index.get("matrix", WORKING_MATRIX)  # older folders do not tell it
        if matrix not in MATRICES:
            raise ValueError(f"its matrix is {matrix!r}, not one of {', '.join(MATRICES)}")
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PairsError(
            f"{folder} is no folder of pairs ({index_file.name}: {reason_of(error)});"
            " make one with `filmcolorizer extract`"
        ) from None
    present = {side: {still.stem for still in _stills_of(folder / side)} for side in SIDES}
    for side, other in (("bw", "color"), ("color", "bw")):
        lone = sorted(present[side] - present[other])
        if lone:
            raise PairsError(
                f"{folder / side / lone[0]}.png has no counterpart in {folder / other}"
                f" ({len(lone)} such); put it back or delete the whole pair"
            )
    unlisted = sorted(present["bw"] - {pair.name for pair in listed})
    if unlisted:
        raise PairsError(
            f"{folder / 'bw' / unlisted[0]}.png is not listed in {index_file};"
            " stills can be replaced or deleted, not added"
        )
    pairs = tuple(pair for pair in listed if pair.name in present["bw"])
    if not pairs:
        raise PairsError(f"{folder} holds no pairs; make some with `filmcolorizer extract`")
    return Pairs(folder, *shape, every, pairs, film, matrix)


def true_colors(luma: Tensor, rgb: Tensor, known: Tensor, matrix: str) -> Tensor:
    """The colours of stills on the luma of the film, which is what colorizing can make of it.

    A copy, and what is painted, may be darker or brighter than the film. The film as its own truth
    stays as it is.

    Args:
        luma: (B, 1, H, W).
        rgb: (B, 3, H, W).
        known: (B, 1, H, W); all in [0, 1].
        matrix: a key of ``color.MATRICES``.

    Returns:
        (B, 3, H, W).
    """
    differs = (rgb_to_ycbcr(rgb, matrix)[:, :1] - luma).abs() * 255 > ROUNDING_CODES
    telling = known * ((rgb > 0) & (rgb < 1)).all(dim=1, keepdim=True)
    share = (differs * telling).sum(dim=(1, 2, 3)) / telling.sum(dim=(1, 2, 3)).clamp_min(1)
    is_other = (share > DIFFERING_SHARE)[:, None, None, None]
    return torch.where(is_other & (known > 0), on_luma(rgb, luma, matrix), rgb)


def split_by_time(pairs: Sequence[Pair], sizes: tuple[float, ...] = DEFAULT_SPLIT) -> TimeSplit:
    """Split pairs into training, validation and test parts, in this order of time.

    The borders are moved to the nearest change of shot, so that no shot straddles two parts.

    Args:
        pairs: in order of time.
        sizes: three shares that add up to 1, or two counts (training and validation).

    Raises:
        PairsError: there are too few pairs or shots for three parts.
    """
    total = len(pairs)
    if len(sizes) == 2 and sum(sizes) >= total:
        raise PairsError(
            f"there are {total} pairs, too few for {sizes[0]:g} of training, {sizes[1]:g} of"
            " validation and some to test; give smaller numbers, or three shares such as 70,15,15"
        )
    counts = [size * total for size in sizes] if len(sizes) == 3 else list(sizes)
    ideals = (counts[0], counts[0] + counts[1])
    starts = [i for i in range(1, total) if pairs[i].shot != pairs[i - 1].shot]
    if len(starts) < 2:
        raise PairsError(
            f"the pairs show only {len(starts) + 1} shot(s), and training, validation and test"
            " need one each; extract a longer part of the film, or more stills with --every, or"
            " give --split interleaved, which has no foreign shots to test, or --split none for a"
            " few painted stills"
        )
    first = min(starts[:-1], key=lambda start: abs(start - ideals[0]))
    second = min(
        (start for start in starts if start > first), key=lambda start: abs(start - ideals[1])
    )
    return TimeSplit(pairs[first].bw_seconds, pairs[second].bw_seconds)


def _read_stills(
    bw: Film | None,
    color: Film,
    sync_map: SyncMap,
    options: ExtractOptions,
    picture: Area,
    size: tuple[int, int],
    cuts_file: Path,
) -> Generator[AlignedPicture, None, None]:
    moments = options.moments
    if bw is not None:
        # Noise of a worn copy would be learnt by heart, as if it were the film's.
        read = read_aligned(
            bw,
            color,
            sync_map,
            moments,
            size,
            picture=picture,
            quiets_chroma=True,
            cuts_file=cuts_file,
        )
        with closing(read) as stills:
            yield from (still for still in stills if still.luma[_shown_pixels(still)].size)
        return
    onto_frame = area_affine(picture)
    numbers = moments.numbers(sync_map.longest)
    sampling = Sampling(
        *reading_size(color, size, [onto_frame]),
        start_seconds=numbers.start * moments.step_seconds,
        duration_seconds=len(numbers) * moments.step_seconds,
        every=moments.every,
        cuts_file=cuts_file,
    )
    if not numbers:
        return
    with closing(read_ycbcr(color, sampling)) as pictures:
        # They come first in zip, so that ffmpeg is read to its end and has written all cuts.
        for ycbcr, number in zip(pictures, numbers, strict=False):
            seconds = number * moments.step_seconds
            still = cut_out(ycbcr, onto_frame, size)
            yield AlignedPicture(seconds, seconds, still[..., 0], still)


def _picture(master: Film, sync_map: SyncMap, options: ExtractOptions) -> Area:
    """The part of the frame inside its bars, which is what `colorize` looks at."""
    begin, end = sync_map.segments[0].bw_start_seconds, sync_map.segments[-1].bw_end_seconds
    try:
        area, _ = glance(master, begin, end - begin)
    except VideoError:  # damaged elsewhere, perhaps; less of it tells bars from dark sets less well
        first = max(begin, options.start_seconds)
        if options.duration_seconds is not None:
            end = min(end, options.start_seconds + options.duration_seconds)
        area, _ = glance(master, first, end - first)
    return (
        area.left / master.width,
        area.top / master.height,
        (area.left + area.width) / master.width,
        (area.top + area.height) / master.height,
    )


def _has_color(still: AlignedPicture) -> bool:
    """Whether a coloured still, or a tinted one, is more than noise around grey."""
    chroma = still.ycbcr[_shown_pixels(still)][..., 1:]
    small = cv2.resize(chroma, (16, 16), interpolation=cv2.INTER_AREA)
    return float(np.abs(small.astype(float) - 128).mean()) > MIN_CHROMA


def _number_shots(
    stills: list[tuple[str, float, float]], cuts: list[float], begin: float
) -> list[Pair]:
    """Turn names and times into pairs; cuts count from ``begin``, in seconds."""
    return [
        Pair(
            name=name,
            bw_seconds=round(bw_seconds, 6),
            color_seconds=round(color_seconds, 6),
            shot=1 + bisect.bisect_right(cuts, bw_seconds - begin + 1e-3),
        )
        for name, bw_seconds, color_seconds in stills
    ]


def _save_stills(
    stills: Iterable[AlignedPicture], matrix: str, folder: Path
) -> Iterator[tuple[str, AlignedPicture]]:
    """Write stills beside their reading; yields each with its name, soon to be written."""
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
        with held_signals():  # so that nothing is written any more when the folder is removed
            savers.shutdown(cancel_futures=True)


def _save_pair(still: AlignedPicture, matrix: str, folder: Path, name: str) -> None:
    grey, rgb = _to_grey(still.luma), to_rgb(still.ycbcr, matrix)
    if still.shown != WHOLE:
        shown = _shown_pixels(still)
        rgba = np.dstack((grey, grey, grey, np.zeros_like(grey)))
        rgba[shown] = np.dstack((rgb, np.full_like(grey, OPAQUE)))[shown]
        rgb = rgba
    _save_still(grey, folder / "bw" / f"{name}.png")
    _save_still(rgb, folder / "color" / f"{name}.png")


def _shown_pixels(still: AlignedPicture) -> tuple[slice, slice]:
    """The rows and columns that show nothing from beyond what the coloured film shows."""
    left, top, right, bottom = still.shown
    height, width = still.luma.shape
    return _inner_pixels(top, bottom, height), _inner_pixels(left, right, width)


def _inner_pixels(begin: float, end: float, side: int) -> slice:
    first = math.ceil(begin * side) + RIM if begin > 0 else 0
    last = math.floor(end * side) - RIM if end < 1 else side
    return slice(first, max(last, first))


def _save_still(pixels: Plane, path: Path) -> None:
    if pixels.ndim == 3:  # OpenCV's order of channels
        pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
    # In less than half of the time that Pillow takes for files of this size.
    _, png = cv2.imencode(".png", pixels)
    path.write_bytes(png.data)


def _to_grey(luma: Plane) -> Plane:
    grey = luma_from_codes(torch.from_numpy(luma), range="limited")
    codes: Plane = luma_to_codes(grey, range="full").numpy()
    return codes


def _write_index(
    folder: Path,
    master: Film,
    color: Film,
    aspect_ratio: float,
    size: tuple[int, int],
    every: int,
    pairs: list[Pair],
) -> None:
    content = {
        "format": _FORMAT,
        "bw": film_identity(master),
        "color": film_identity(color),
        "matrix": master.coding.matrix,
        "aspect_ratio": aspect_ratio,
        "width": size[0],
        "height": size[1],
        "every": every,
        "pairs": [asdict(pair) for pair in pairs],
        "checksums": {_name_of(still): _checksum(still) for still in _stills_in(folder)},
    }
    (folder / "pairs.json").write_text(json.dumps(content, indent=1) + "\n")


def changed_stills(folder: Path) -> list[Path]:
    """The stills that are not as `extract` wrote them, such as painted ones; by name.

    Without what it noted of them, that is all.
    """
    try:
        written = dict(json.loads((folder / "pairs.json").read_text())["checksums"])
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        written = {}
    return [s for s in _stills_in(folder) if written.get(_name_of(s)) != _checksum(s)]


def foreign_stills(pairs: Pairs) -> list[Path]:
    """Colour stills put there by hand that do not show what their grey stills do; by name.

    Such as one that was saved under another's name, mirrored, or is a layer of paint on black. What
    is transparent in part is left out: strokes need not show anything.

    Raises:
        PairsError: a still cannot be read.
    """
    changed = set(changed_stills(pairs.folder))
    foreign = []
    for pair in pairs.pairs:
        still = pairs.folder / "color" / f"{pair.name}.png"
        if still not in changed:
            continue
        grey, rgb, known = pairs.read(pair)
        small = [cv2.resize(s, SMALL, interpolation=cv2.INTER_AREA) for s in (grey, rgb.mean(2))]
        if known.all() and small[0].std() > LEAST_CONTRAST:
            own, other = (plane - plane.mean() for plane in small)
            if (own * other).mean() < LEAST_LIKENESS * own.std() * other.std() + 1e-6:
                foreign.append(still)
    return foreign


def _stills_in(folder: Path) -> list[Path]:
    return sorted(still for side in SIDES for still in (folder / side).glob("*.png"))


def _stills_of(folder: Path) -> list[Path]:
    """The stills of one side, by name.

    Raises:
        PairsError: the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".png")
    except OSError as error:
        raise PairsError(
            f"the stills in {folder} cannot be read ({error.strerror}); put them back, or change"
            " their permissions"
        ) from None


def _name_of(still: Path) -> str:
    return f"{still.parent.name}/{still.name}"


def _checksum(still: Path) -> int:
    return zlib.crc32(still.read_bytes())


def _read_still(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            if mode == "L" and image.convert("RGBA").getextrema()[3][0] < OPAQUE:
                raise OSError("it has transparent parts")
            if image.mode.startswith(("I", "F")):  # which Pillow would cut off at 255
                raise OSError("it has more than 8 bits; save it with 8")
            return image.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PairsError(
            f"{path} cannot be read as a picture ({error}); replace it or delete the pair"
        ) from None

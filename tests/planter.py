"""Plant pairs of films, a black-and-white and an edited coloured one, with known truth.

A `Recipe` defines a pair made from a real film: each `Version` is a list of runs of the film's
frames and of foreign ones, with a cadence, framing, grading, damage and encoding. The truth holds
each frame's presentation time and the frame of the film that it shows, and the matrix from one
version's picture to the other's.

`plant` makes the two files, and `load` reads a planted pair; benchmarks/drawn_pairs.py draws
recipes.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import json
import math
import random
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FILM_RATE = Fraction(24)  # frames per second of every source; each frame is shown once
SIZE = (640, 360)  # working width and height, in pixels

BUNNY = "film/big_buck_bunny_360p.mp4"

SMALL = (64, 36)  # width and height, in pixels, of the pictures that `changes` compares
STILL_CHANGE = 0.6  # mean luma codes; a frame that changes less nearly repeats the one before
MAX_DROP_FRAMES = 4

BLACK, WHITE, NEUTRAL = 16, 235, 128  # codes of limited-range Y', Cb and Cr

Plane = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.int64]
Picture = tuple[Plane, Plane]  # luma (H, W); Cb and Cr (2, H / 2, W / 2)
Box = tuple[float, float, float, float]  # left, top, right, bottom
Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Piece:
    """``count`` frames of a file, from frame ``first`` on."""

    path: Path
    first: int
    count: int
    is_mirrored: bool = False
    is_reversed: bool = False


@dataclass(frozen=True)
class Source:
    """A film made of pieces, scaled to one size; its frames are counted from 0."""

    pieces: tuple[Piece, ...]
    size: tuple[int, int] = SIZE

    @property
    def length(self) -> int:
        return sum(piece.count for piece in self.pieces)

    def __str__(self) -> str:
        first = self.pieces[0]
        if len(self.pieces) == 1:
            return f"{first.path.stem}[{first.first}:{first.first + first.count}]"
        return f"{len(self.pieces)} pieces from {first.path.stem} on, {self.length} frames"


@dataclass(frozen=True)
class Run:
    """Consecutive frames: of the ``film``, ``foreign`` ones, ``black``, or a ``title`` card.

    Attributes:
        first: the first frame's index in the film or the foreign film; a title's seed.
    """

    what: str
    first: int
    count: int

    def __str__(self) -> str:
        return f"{self.what}[{self.first}:{self.first + self.count}]"


@dataclass(frozen=True)
class Cadence:
    """When frames are shown, and which are shown twice or dropped.

    Attributes:
        double_every: n, if every n-th frame is shown twice; 0 for none.
        drop_share: share of frames dropped at random; the others keep their times.
        drops_still: whether near-identical frames are dropped likewise.
    """

    frame_rate: Fraction = FILM_RATE
    double_every: int = 0
    drop_share: float = 0.0
    drops_still: bool = False

    def __str__(self) -> str:
        doubled = f" every {self.double_every}th doubled" if self.double_every else ""
        dropped = f" {self.drop_share:.0%} dropped" if self.drop_share else ""
        still = " still ones dropped" if self.drops_still else ""
        return f"{self.frame_rate} fps{doubled}{dropped}{still}"


@dataclass(frozen=True)
class Framing:
    """How the film's picture is placed in a version's.

    Attributes:
        crop: parts of the film's picture cut off at its sides; negative ones add black instead.
        area: the box of the version's picture, in [0, 1], that the rest fills; bars surround it.
        rotation_degrees: rotation of the film's picture about its middle.
    """

    crop: Box = (0.0, 0.0, 0.0, 0.0)
    area: Box = (0.0, 0.0, 1.0, 1.0)
    rotation_degrees: float = 0.0

    def __str__(self) -> str:
        crop, area = ("/".join(f"{part:.3f}" for part in box) for box in (self.crop, self.area))
        return f"crop {crop} area {area} turned {self.rotation_degrees:.2f}"

    def matrix(self, aspect: float) -> Floats:
        """Return (3, 3): maps (x, y, 1) of the film's picture to the version's, both in [0, 1]."""
        left, top, right, bottom = self.crop
        x0, y0, x1, y1 = self.area
        angle = math.radians(self.rotation_degrees)
        cos, sin = math.cos(angle), math.sin(angle)
        middle = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        turn = np.array([[cos, -sin / aspect, 0.5], [sin * aspect, cos, 0.5], [0, 0, 1]])
        width, height = 1 - left - right, 1 - top - bottom
        cut = np.array([[1 / width, 0, -left / width], [0, 1 / height, -top / height], [0, 0, 1]])
        place = np.array([[x1 - x0, 0, x0], [0, y1 - y0, y0], [0, 0, 1]])
        whole: Floats = place @ cut @ turn @ middle
        return whole


@dataclass(frozen=True)
class Look:
    """Grading and damage.

    Attributes:
        lift: luma codes added everywhere; values below black are crushed.
        tint: codes added to Cb and Cr.
        grain: standard deviation, in luma codes.
        specks: mean number of dust specks per frame.
        scratches: number of scratched columns; each scratch comes and goes.
        flicker: standard deviation of the exposure.
    """

    gamma: float = 1.0
    contrast: float = 1.0
    lift: float = 0.0
    saturation: float = 1.0
    tint: tuple[float, float] = (0.0, 0.0)
    grain: float = 0.0
    specks: float = 0.0
    scratches: int = 0
    flicker: float = 0.0

    def __str__(self) -> str:
        tint = "/".join(f"{codes:.0f}" for codes in self.tint)
        return (
            f"gamma {self.gamma:.2f} contrast {self.contrast:.2f} lift {self.lift:.0f}"
            f" saturation {self.saturation:.2f} tint {tint} grain {self.grain:.1f}"
            f" specks {self.specks:.1f} scratches {self.scratches} flicker {self.flicker:.3f}"
        )

    def luma_codes(self, exposure: float = 1.0) -> Plane:
        """Return (256,): the graded code of each luma code."""
        light = np.clip((np.arange(256) - BLACK) / (WHITE - BLACK), 0, 1) ** self.gamma
        light = ((light - 0.5) * self.contrast + 0.5) * exposure
        codes = BLACK + (WHITE - BLACK) * light + self.lift
        return np.clip(np.rint(codes), BLACK, WHITE).astype(np.uint8)

    def chroma_codes(self) -> Plane:
        """Return (2, 256): the graded code of each code of Cb and Cr."""
        spread = (np.arange(256) - NEUTRAL) * self.saturation + NEUTRAL
        codes = spread + np.array(self.tint)[:, None]
        return np.clip(np.rint(codes), 16, 240).astype(np.uint8)


@dataclass(frozen=True)
class Encoding:
    """x264 settings: the bit rate if given, else the constant rate factor."""

    crf: int = 20
    bitrate_kbps: int | None = None
    preset: str = "ultrafast"
    container: str = "mp4"

    def __str__(self) -> str:
        quality = f"crf {self.crf}" if self.bitrate_kbps is None else f"{self.bitrate_kbps}k"
        return f"{quality} {self.preset} {self.container}"


@dataclass(frozen=True)
class Version:
    """One of the two films of a pair.

    Attributes:
        framings: (first frame of the film, framing) of each reel, ascending from 0 on.
        foreign: the film that foreign frames are taken from, in ascending order.
        film: replaces the recipe's film, which makes the pair a wrong one.
    """

    runs: tuple[Run, ...]
    cadence: Cadence = Cadence()
    framings: tuple[tuple[int, Framing], ...] = ((0, Framing()),)
    size: tuple[int, int] = SIZE
    look: Look = Look()
    encoding: Encoding = Encoding()
    foreign: Source | None = None
    film: Source | None = None

    def framing_at(self, index: int) -> Framing:
        """Return the framing of this frame of the film."""
        reel = bisect.bisect_right([first for first, _ in self.framings], index) - 1
        return self.framings[max(reel, 0)][1]

    def __str__(self) -> str:
        runs = " ".join(map(str, self.runs))
        framings = " then ".join(f"{framing} from {first}" for first, framing in self.framings)
        size = "x".join(map(str, self.size))
        return f"{size} {self.encoding}, {self.cadence}, {framings}, {self.look}, {runs}"


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a pair; equal recipes plant equal pairs.

    Attributes:
        seed: seed of what the recipe leaves to chance: grain, dust, which frames are dropped.
        kinds: short labels of what makes the pair hard.
    """

    seed: int
    source: Source
    bw: Version
    color: Version
    kinds: tuple[str, ...] = ()

    @property
    def is_wrong(self) -> bool:
        return self.color.film is not None

    def __str__(self) -> str:
        return (
            f"{self.seed}: {self.source}, {float(self.source.length / FILM_RATE):.0f} s"
            f" ({', '.join(self.kinds)}); bw: {self.bw}; color: {self.color}"
        )


@dataclass(frozen=True)
class Reel:
    """Frames of the film in [first, end), which share one matrix.

    Attributes:
        matrix: maps a point (x, y, 1) of the black-and-white picture to the coloured one.
        corners: (x, y) of the part of the black-and-white picture that both versions show.
    """

    first: int
    end: int
    matrix: Matrix
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Planted:
    """A planted pair and its truth.

    Attributes:
        recipe: the recipe as text.
        bw_seconds, color_seconds: (frames,), presentation times, counted from the first frame.
        bw_source, color_source: (frames,), the film frame that each frame shows; -1 for none.
        reels: empty for a wrong pair.
        stretches: (first, end) of film frames that both show uncut; empty for a wrong pair.
    """

    bw_path: Path
    color_path: Path
    recipe: str
    kinds: tuple[str, ...]
    bw_seconds: Floats
    bw_source: Indices
    color_seconds: Floats
    color_source: Indices
    reels: tuple[Reel, ...]
    stretches: tuple[tuple[int, int], ...]


def plant(recipe: Recipe, folder: Path) -> Planted:
    """Make both films of a recipe in a folder, and write the truth last.

    ``truth.npz`` holds the four arrays, ``truth.json`` everything else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bw_path = folder / f"bw.{recipe.bw.encoding.container}"
    color_path = folder / f"color.{recipe.color.encoding.container}"
    bw_seconds, bw_source = _make(recipe, recipe.bw, bw_path)
    color_seconds, color_source = _make(recipe, recipe.color, color_path)
    if recipe.is_wrong:
        color_source[:] = -1
    np.savez_compressed(
        folder / "truth.npz",
        bw_seconds=bw_seconds,
        bw_source=bw_source,
        color_seconds=color_seconds,
        color_source=color_source,
    )
    facts = {
        "bw": bw_path.name,
        "color": color_path.name,
        "recipe": str(recipe),
        "kinds": recipe.kinds,
        "reels": [asdict(reel) for reel in _reels(recipe)],
        "stretches": _stretches(recipe),
    }
    temporary = folder / "truth.json.part"
    temporary.write_text(json.dumps(facts, indent=1) + "\n")
    temporary.replace(folder / "truth.json")
    return load(folder)


def _make(recipe: Recipe, version: Version, path: Path) -> tuple[Floats, Indices]:
    """Write a version's film; return its frames' times and the film frames that they show."""
    rng = np.random.default_rng((recipe.seed, int(version is recipe.color)))
    timeline = _timeline(version, version.film or recipe.source, rng)
    _write(path, version, timeline.pts, _pictures(version, recipe.source, timeline, rng))
    seconds = shown_seconds(path)
    if len(seconds) != len(timeline.pts):
        raise RuntimeError(f"{path} holds {len(seconds)} frames of {len(timeline.pts)}")
    return seconds, timeline.film_indices()


def load(folder: Path) -> Planted:
    """Read a pair that `plant` made in this folder.

    Raises:
        FileNotFoundError: the folder holds no pair, or only a part of one.
    """
    facts = json.loads((folder / "truth.json").read_text())
    with np.load(folder / "truth.npz") as arrays:
        truth = dict(arrays)
    reels = tuple(
        Reel(
            reel["first"],
            reel["end"],
            (tuple(reel["matrix"][0]), tuple(reel["matrix"][1])),
            tuple((x, y) for x, y in reel["corners"]),
        )
        for reel in facts["reels"]
    )
    return Planted(
        bw_path=folder / facts["bw"],
        color_path=folder / facts["color"],
        recipe=facts["recipe"],
        kinds=tuple(facts["kinds"]),
        reels=reels,
        stretches=tuple((first, end) for first, end in facts["stretches"]),
        **truth,
    )


def shown_seconds(path: Path) -> Floats:
    """Return (frames,): the presentation times of a file's frames, counted from its first."""
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    pts = sorted(packet.pts for packet in packets if packet.pts is not None)
    base = packets[0].time_base
    return np.array([float((time - pts[0]) * base) for time in pts])


def _reels(recipe: Recipe) -> tuple[Reel, ...]:
    if recipe.is_wrong:
        return ()
    firsts = {first for version in (recipe.bw, recipe.color) for first, _ in version.framings}
    width, height = recipe.source.size
    bounds = sorted(firsts) + [recipe.source.length]
    reels = []
    for first, end in itertools.pairwise(bounds):
        bw, color = (version.framing_at(first) for version in (recipe.bw, recipe.color))
        matrix, corners = _between(bw, color, width / height)
        reels.append(Reel(first, end, matrix, corners))
    return tuple(reels)


def _stretches(recipe: Recipe) -> list[tuple[int, int]]:
    if recipe.is_wrong:
        return []
    bw, color = (
        [(run.first, run.first + run.count) for run in version.runs if run.what == "film"]
        for version in (recipe.bw, recipe.color)
    )
    both = [(max(a[0], b[0]), min(a[1], b[1])) for a in bw for b in color]
    return [(first, end) for first, end in both if first < end]


def _between(
    bw: Framing, color: Framing, aspect: float
) -> tuple[Matrix, tuple[tuple[float, float], ...]]:
    """Return the matrix from ``bw`` to ``color``, and the corners in ``bw`` of what both show."""
    to_bw, to_color = bw.matrix(aspect), color.matrix(aspect)
    matrix = to_color @ np.linalg.inv(to_bw)
    shared = _box_corners(bw.area)
    shared = _clipped(shared, _moved(_box_corners((0, 0, 1, 1)), to_bw))
    shared = _clipped(shared, _moved(_box_corners(color.area), np.linalg.inv(matrix)))
    (a, b, tx), (c, d, ty) = matrix[:2].tolist()
    return ((a, b, tx), (c, d, ty)), tuple((float(x), float(y)) for x, y in shared)


def _box_corners(box: Box) -> Floats:
    x0, y0, x1, y1 = box
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def _moved(points: Floats, matrix: Floats) -> Floats:
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def _clipped(polygon: Floats, window: Floats) -> Floats:
    """Clip a polygon to a convex one, both clockwise (Sutherland and Hodgman, 1974)."""
    for start, end in zip(window, np.roll(window, -1, axis=0), strict=True):
        edge = end - start
        inside = edge[0] * (polygon[:, 1] - start[1]) - edge[1] * (polygon[:, 0] - start[0])
        kept: list[Floats] = []
        for here, there in zip(range(-1, len(polygon) - 1), range(len(polygon)), strict=True):
            if (inside[here] >= 0) != (inside[there] >= 0):
                share = inside[here] / (inside[here] - inside[there])
                kept.append(polygon[here] + share * (polygon[there] - polygon[here]))
            if inside[there] >= 0:
                kept.append(polygon[there])
        polygon = np.array(kept).reshape(-1, 2)
    return polygon


@dataclass(frozen=True)
class _Timeline:
    """A version's frames and their times.

    Attributes:
        frames: (what, index) of each frame, as in `Run`.
        pts: (frames,), in a time base of one frame at the cadence's rate.
    """

    frames: list[tuple[str, int]]
    pts: Indices

    def film_indices(self) -> Indices:
        return np.array([index if what == "film" else -1 for what, index in self.frames])


def _timeline(version: Version, film: Source, rng: np.random.Generator) -> _Timeline:
    cadence = version.cadence
    frames = []
    for run in version.runs:
        steps = range(run.first, run.first + run.count)
        still = run.what in ("black", "title")
        frames += [(run.what, run.first if still else index) for index in steps]
    repeats = np.ones(len(frames), int)
    if cadence.double_every:
        repeats[cadence.double_every - 1 :: cadence.double_every] = 2
    elif cadence.drop_share:
        repeats[rng.random(len(frames)) < cadence.drop_share] = 0
    elif cadence.drops_still:
        repeats[_repeated(frames, changes(film))] = 0
    repeats[[0, -1]] = 1
    order = np.repeat(np.arange(len(frames)), repeats)
    pts = order if 0 in repeats else np.arange(len(order))
    return _Timeline([frames[n] for n in order], pts)


def _repeated(frames: list[tuple[str, int]], change: Floats) -> Indices:
    """Return the frames that nearly repeat the one before, MAX_DROP_FRAMES in a row at most."""
    dropped: list[int] = []
    in_a_row = 0
    for n, (what, index) in enumerate(frames[1:], 1):
        is_next = frames[n - 1] == (what, index - 1)
        still = (is_next and change[index] < STILL_CHANGE) if what == "film" else False
        in_a_row = in_a_row + 1 if still and in_a_row < MAX_DROP_FRAMES else 0
        if in_a_row:
            dropped.append(n)
    return np.array(dropped, int)


def read_source(source: Source) -> Generator[Picture, None, None]:
    """Yield a source's pictures in order."""
    for piece in source.pieces:
        with closing(_read_piece(piece, source.size)) as pictures:
            yield from reversed(list(pictures)) if piece.is_reversed else pictures


def _read_piece(piece: Piece, size: tuple[int, int]) -> Generator[Picture, None, None]:
    step = -1 if piece.is_mirrored else 1
    for frame in _decode(piece):
        luma, chroma = _filling(frame, size)
        yield luma[:, ::step], chroma[:, :, ::step]


def _decode(piece: Piece) -> Iterator[Any]:
    with av.open(piece.path) as container:
        stream: Any = container.streams.video[0]
        stream.codec_context.thread_count = 1
        if piece.first:
            container.seek(int(piece.first / stream.guessed_rate / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            index = round(frame.pts * stream.time_base * stream.guessed_rate)
            if index >= piece.first + piece.count:
                break
            if index >= piece.first:
                yield frame


def _filling(frame: Any, size: tuple[int, int]) -> Picture:
    """Return the largest centred part of a frame with the shape of ``size``, scaled to it."""
    width, height = size
    scale = max(width / frame.width, height / frame.height)
    # Even sizes, so that chroma is cut where luma is.
    scaled = [2 * math.ceil(round(scale * side) / 2) for side in (frame.width, frame.height)]
    if (frame.width, frame.height) != size or frame.format.name != "yuv420p":
        frame = frame.reformat(*scaled, format="yuv420p", interpolation="BICUBIC")
    planes: Plane = frame.to_ndarray()
    luma = planes[: frame.height]
    chroma = planes[frame.height :].reshape(2, frame.height // 2, frame.width // 2)
    x, y = (frame.width - width) // 4, (frame.height - height) // 4
    luma = luma[2 * y : 2 * y + height, 2 * x : 2 * x + width]
    return luma, chroma[:, y : y + height // 2, x : x + width // 2]


@functools.lru_cache(maxsize=4)
def changes(source: Source) -> Floats:
    """Return (frames,): mean absolute luma difference of each frame to the one before, in codes."""
    found = []
    last: NDArray[np.int16] | None = None
    for luma, _ in read_source(source):
        rows, columns = (max(luma.shape[axis] // SMALL[1 - axis], 1) for axis in (0, 1))
        small = luma[rows // 2 :: rows, columns // 2 :: columns].astype(np.int16)
        found.append(math.inf if last is None else float(np.abs(small - last).mean()))
        last = small
    return np.array(found)


class _Cursor:
    """A reader of a source's pictures by ascending index."""

    def __init__(self, source: Source) -> None:
        self._pictures = read_source(source)
        self._at = -1

    def picture(self, index: int) -> Picture:
        if index < self._at:
            raise ValueError(f"frame {index} comes after frame {self._at}")
        while self._at < index:
            self._last = next(self._pictures)
            self._at += 1
        return self._last

    def close(self) -> None:
        self._pictures.close()


def _pictures(
    version: Version, source: Source, timeline: _Timeline, rng: np.random.Generator
) -> Iterator[Picture]:
    """Yield a version's pictures, frame by frame."""
    film = version.film or source
    studio = _Studio(version, film.size, rng)
    with ExitStack() as stack:
        cursors = {"film": stack.enter_context(closing(_Cursor(film)))}
        if version.foreign is not None:
            cursors["foreign"] = stack.enter_context(closing(_Cursor(version.foreign)))
        at, last = 0, None
        for what, index in timeline.frames:
            if what not in cursors:
                card = _title_card(film.size, index if what == "title" else None)
                shown = studio.shoot(card, version.framing_at(at))
            elif (what, index) != last:  # otherwise the last picture is shown again
                at = index if what == "film" else at
                shown = studio.shoot(cursors[what].picture(index), version.framing_at(at))
            last = what, index
            yield shown


@functools.lru_cache(maxsize=4)
def _title_card(size: tuple[int, int], seed: int | None) -> Picture:
    """Draw white words on black; without a seed, only black."""
    width, height = size
    card = Image.new("L", size, BLACK)
    if seed is not None:
        rng = random.Random(seed)
        font = ImageFont.load_default(size=height // rng.randint(9, 14))
        words = ["".join(rng.choices("aeioulmnrst", k=rng.randint(3, 9))) for _ in range(9)]
        lines = [" ".join(words[n : n + 3]).capitalize() for n in range(0, 9, 3)]
        middle = (width / 2, height * rng.uniform(0.4, 0.6))
        ImageDraw.Draw(card).multiline_text(
            middle, "\n".join(lines), fill=WHITE, font=font, anchor="mm", align="center"
        )
    return np.asarray(card), np.full((2, height // 2, width // 2), NEUTRAL, np.uint8)


class _Studio:
    """A stage that grades, frames and damages pictures, and scales them to a version's size.

    Each picture is warped once, onto a canvas at least as wide as the film's picture. The canvas is
    then reduced with an antialiasing filter, so that the framing's matrix is exact.
    """

    def __init__(self, version: Version, size: tuple[int, int], rng: np.random.Generator) -> None:
        width, height = version.size
        self._look, self._film_size, self._size = version.look, size, version.size
        scale = max(1.0, size[0] / width)
        self._canvas = (_even(width * scale), _even(height * scale))
        self._damage = _Damage(version.look, self._canvas, rng)
        self._chroma_codes = version.look.chroma_codes()
        self._view = functools.lru_cache(maxsize=4)(self._make_view)

    def shoot(self, picture: Picture, framing: Framing) -> Picture:
        """Return the version's picture of this picture of the film."""
        luma, chroma = picture
        view = self._view(framing)
        luma = np.take(self._look.luma_codes(self._damage.next_exposure()), luma)
        canvas = view.warp(luma[None], BLACK)[0]
        canvas = self._damage.apply(canvas) * view.mask + BLACK
        return self._codes(canvas[None], self._size)[0], self._chroma(chroma, view)

    def _chroma(self, chroma: Plane, view: _View) -> Plane:
        width, height = self._size
        half = (width // 2, height // 2)
        if self._look.saturation == 0:
            tint = np.rint(np.array(self._look.tint) + NEUTRAL).astype(np.uint8)
            return np.broadcast_to(tint[:, None, None], (2, half[1], half[0]))
        pairs = zip(self._chroma_codes, chroma, strict=True)
        graded = np.stack([np.take(codes, plane) for codes, plane in pairs])
        canvas = view.chroma.warp(graded, NEUTRAL) * view.chroma.mask + NEUTRAL
        return self._codes(canvas, half)

    def _codes(self, canvas: torch.Tensor, size: tuple[int, int]) -> Plane:
        """Scale a canvas (C, H, W) to a size, and round it to codes (C, h, w)."""
        if (canvas.shape[2], canvas.shape[1]) != size:
            canvas = F.interpolate(canvas[None], size[::-1], mode="bilinear", antialias=True)[0]
        return canvas.round_().clamp_(1, 254).to(torch.uint8).numpy()

    def _make_view(self, framing: Framing) -> _View:
        width, height = self._film_size
        inverse: Floats = np.linalg.inv(framing.matrix(width / height))
        columns, rows = self._canvas
        chroma = _View(inverse, framing.area, (columns // 2, rows // 2), (width // 2, height // 2))
        return _View(inverse, framing.area, self._canvas, self._film_size, chroma)


class _View:
    """A framing's resampling grid and its mask of bars, for planes of one size."""

    def __init__(
        self,
        inverse: Floats,
        area: Box,
        canvas: tuple[int, int],
        film_size: tuple[int, int],
        chroma: _View | None = None,
    ) -> None:
        self._chroma = chroma
        # Bilinear where the canvas is enlarged or reduced, and for chroma, which nothing measures.
        self._mode = "bicubic" if chroma is not None and canvas == film_size else "bilinear"
        (x0, y0, x1, y1), (width, height) = area, canvas
        columns, rows = np.arange(width), np.arange(height)
        # The share of each pixel that lies between the bars.
        across = np.minimum(columns + 1, x1 * width) - np.maximum(columns, x0 * width)
        down = np.minimum(rows + 1, y1 * height) - np.maximum(rows, y0 * height)
        mask = np.clip(down, 0, 1)[:, None] * np.clip(across, 0, 1)
        self.mask = torch.from_numpy(mask.astype(np.float32))
        self._grid: torch.Tensor | None = None
        if canvas != film_size or not np.allclose(inverse, np.eye(3), atol=1e-9):
            x, y = np.meshgrid((columns + 0.5) / width, (rows + 0.5) / height)
            points = np.stack((x, y), axis=-1) @ inverse[:2, :2].T + inverse[:2, 2]
            self._grid = torch.from_numpy((2 * points - 1).astype(np.float32))[None]

    @property
    def chroma(self) -> _View:
        if self._chroma is None:
            raise ValueError("a view of chroma has none itself")
        return self._chroma

    def warp(self, planes: Plane, outside: int) -> torch.Tensor:
        """Warp planes (C, h, w) to (C, H, W), less ``outside``, so that the outside is 0."""
        values = torch.from_numpy(planes).float().sub_(outside)[None]
        if self._grid is not None:
            values = F.grid_sample(values, self._grid, mode=self._mode, align_corners=False)
        return values[0]


class _Damage:
    """Grain, dust, scratches and flicker of one print."""

    GRAIN_MARGIN = 64  # pixels; range of the random shifts of the grain field between frames

    def __init__(self, look: Look, size: tuple[int, int], rng: np.random.Generator) -> None:
        self._look, self._rng, self._size = look, rng, size
        self._exposure, self._frame = 0.0, 0
        width, height = (side + self.GRAIN_MARGIN for side in size)
        fine = rng.standard_normal((height + 1, width + 1), np.float32)
        coarse = fine[:-1, :-1] + fine[1:, :-1] + fine[:-1, 1:] + fine[1:, 1:]
        self._grain = torch.from_numpy(coarse * np.float32(look.grain / 2))
        self._scratches = rng.uniform(0.05, 0.95, look.scratches)

    def next_exposure(self) -> float:
        """Return the next frame's exposure, which varies around 1."""
        self._exposure = 0.7 * self._exposure + 0.7 * self._rng.standard_normal()
        return 1 + self._look.flicker * self._exposure

    def apply(self, canvas: torch.Tensor) -> torch.Tensor:
        """Damage a canvas (H, W) in which black is 0."""
        self._frame += 1
        if self._look.grain:
            x, y = self._rng.integers(0, self.GRAIN_MARGIN, 2)
            height, width = canvas.shape
            canvas = canvas + self._grain[y : y + height, x : x + width]
        if self._look.specks or self._look.scratches:
            canvas = canvas.clone()
            self._scratch(canvas)
            for _ in range(self._rng.poisson(self._look.specks)):
                self._speck(canvas)
        return canvas

    def _scratch(self, canvas: torch.Tensor) -> None:
        width = canvas.shape[1]
        for n, place in enumerate(self._scratches):
            phase = self._frame / (40 + 13 * n) + 10 * place
            if math.sin(phase) > 0:
                x = int(place * width + 0.004 * width * math.sin(self._frame / 7 + n))
                canvas[:, x : x + max(width // 500, 1)] += 50

    def _speck(self, canvas: torch.Tensor) -> None:
        height, width = canvas.shape
        radii = self._rng.uniform(0.7, 4.0, 2) * width / SIZE[0]
        x, y = self._rng.uniform((0, 0), (width, height))
        left, top = int(max(x - radii[0], 0)), int(max(y - radii[1], 0))
        patch = canvas[top : int(y + radii[1]) + 1, left : int(x + radii[0]) + 1]
        rows = (torch.arange(patch.shape[0]) + top - y) / radii[1]
        columns = (torch.arange(patch.shape[1]) + left - x) / radii[0]
        shape = rows[:, None] ** 2 + columns**2 <= 1
        patch[shape] = float(WHITE - BLACK if self._rng.random() < 0.6 else 0)


def _even(side: float) -> int:
    return 2 * round(side / 2)


def _write(path: Path, version: Version, pts: Indices, pictures: Iterable[Picture]) -> None:
    encoding = version.encoding
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("libx264", rate=version.cadence.frame_rate)
        stream.width, stream.height = version.size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": encoding.preset, "threads": "1"}
        if encoding.bitrate_kbps is None:
            stream.options |= {"crf": str(encoding.crf)}
        else:
            rate = f"{encoding.bitrate_kbps}k"
            stream.options |= {"b": rate, "maxrate": rate, "bufsize": rate}
        for time, (luma, chroma) in zip(pts, pictures, strict=True):
            planes = np.concatenate((luma, chroma.reshape(-1, luma.shape[1])))
            frame: Any = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.time_base = 1 / version.cadence.frame_rate
            frame.pts = int(time)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

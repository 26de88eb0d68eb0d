"""Seeded random pairs of films for the benchmark of `sync`, planted from real films.

`draw_recipe` draws a recipe for two versions of a film, `draw_wrong_recipe` one for two films that
do not belong together; `planted` and `planted_wrong` plant them.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.planter import (
    BUNNY,
    FILM_RATE,
    SIZE,
    Box,
    Cadence,
    Encoding,
    Framing,
    Look,
    Piece,
    Planted,
    Recipe,
    Run,
    Source,
    Version,
    changes,
    load,
    plant,
)

NTSC_FILM_RATE = Fraction(24000, 1001)
PAL_RATE = Fraction(25)

BUNNY_FRAMES = 14_315
STORY_FRAMES = 486 * 24  # credits follow
# Two halves of the reel, one for each version, so that the two never share foreign frames.
REEL_HALVES = (
    {"davis/blackswan.mp4": 50, "davis/car-shadow.mp4": 40, "davis/parkour.mp4": 100,
     "old/chaplin.mp4": 241},
    {"davis/camel.mp4": 90, "davis/dance-twirl.mp4": 90, "davis/soapbox.mp4": 99,
     "old/a-bomb_blast_effects_part.mp4": 360},
)  # fmt: skip
REEL = REEL_HALVES[0] | REEL_HALVES[1]
REVERSED_PIECE_FRAMES = 96  # frames that are held in memory to be yielded backwards

CUT_CHANGE = 10.0  # luma codes; mean difference of two frames above which a shot may begin
CUT_RATIO = 2.5  # ratio to the changes just before and after that a cut must exceed
MIN_SHOT_FRAMES = 12

WRONG_KINDS = ("other-film", "other-part", "reversed")
CADENCES = {
    "equal": (Cadence(), Cadence()),
    "b-ntsc": (Cadence(), Cadence(NTSC_FILM_RATE)),
    "a-ntsc": (Cadence(NTSC_FILM_RATE), Cadence()),
    "pal": (Cadence(), Cadence(PAL_RATE)),
    "a-pal": (Cadence(PAL_RATE), Cadence()),
    "25-doubled": (Cadence(), Cadence(PAL_RATE, double_every=24)),
    "30-doubled": (Cadence(), Cadence(Fraction(30), double_every=4)),
    "2997-doubled": (Cadence(), Cadence(Fraction(30000, 1001), double_every=4)),
    "vfr-dropped": (Cadence(), Cadence(drop_share=0.15)),
    "vfr-still": (Cadence(), Cadence(drops_still=True)),
}
LEVELS = ("easy", "medium", "hard")
LEVEL_SHARES = (0.2, 0.6, 0.2)
CHANCE_BY_LEVEL = {"easy": 0.2, "medium": 1.0, "hard": 2.2}
MIN_KEPT_FRAMES = 20 * 24  # frames of the film that both versions must show
# Sizes of coloured versions, and the bit rates in kbit/s to choose from.
COLOR_SIZES = {
    (640, 360): (300, 500, 900),
    (480, 360): (250, 400, 800),
    (320, 240): (150, 300, 500),
    (160, 120): (60, 120, 250),
    (1280, 720): (600, 1000, 2000),
}
LONG_MINUTES = 2.5  # longer and hard pairs have up to two cuts per minute, others one
SHORT_SEEDS = 24  # seeds up to this one plant films of 60 to 150 seconds


def draw_recipe(seed: int, data: Path) -> Recipe:
    """Draw a pair of two versions; ``data`` is the folder of films, described in its README."""
    dice = _Dice(seed)
    source, foreign = _draw_source(dice, data, seed)
    edits = _Edits(foreign[0]), _Edits(foreign[1])
    _draw_ends(dice, edits, source.length)
    _draw_cuts(dice, edits, source)
    # Cadences take turns, so that a few pairs cover them all.
    cadence = "equal" if dice.level == "easy" else list(CADENCES)[seed % len(CADENCES)]
    dice.kinds.append(cadence)
    size = _draw_color_size(dice)
    if (edits[0].kept(source.length) & edits[1].kept(source.length)).sum() < MIN_KEPT_FRAMES:
        raise RuntimeError(f"the recipe of seed {seed} keeps too little of the film")
    bw_runs, color_runs = (
        edit.runs(source.length, 1000 * seed + 100 * n) for n, edit in enumerate(edits)
    )
    bw_cadence, color_cadence = CADENCES[cadence]
    bw = Version(
        bw_runs,
        bw_cadence,
        ((0, _draw_bw_framing(dice)),),
        dice.rng.choices([SIZE, (480, 270), (1280, 720)], [0.8, 0.12, 0.08])[0],
        _draw_bw_look(dice),
        Encoding(dice.rng.randint(18, 24)),
        foreign[0],
    )
    color = Version(
        color_runs,
        color_cadence,
        _draw_color_framings(dice, size, source),
        size,
        _draw_color_look(dice),
        _draw_color_encoding(dice, size, cadence),
        foreign[1],
    )
    return Recipe(seed, source, bw, color, tuple(dice.kinds))


def draw_wrong_recipe(kind: str, seed: int, data: Path) -> Recipe:
    """Draw two films that do not belong together, 20 to 60 s each."""
    dice = _Dice(seed)
    rng = dice.rng
    lengths = [dice.frames(20, 60) for _ in range(2)]
    first = rng.randrange(0, STORY_FRAMES // 2 - lengths[0])
    bw_film = _bunny(data, first, lengths[0])
    if kind == "other-film":
        color_film = _reel(data, REEL, rng)
    elif kind == "other-part":
        second = rng.randrange(STORY_FRAMES // 2, STORY_FRAMES - lengths[1])
        color_film = _bunny(data, second, lengths[1])
    elif kind == "reversed":
        color_film = _bunny(data, first, lengths[0], is_reversed=True)
    else:
        raise ValueError(f"{kind!r} is none of {', '.join(WRONG_KINDS)}")
    count = min(color_film.length, max(lengths))
    size = _draw_color_size(dice)
    framing = _draw_framing(dice, size)
    look, encoding = _draw_color_look(dice), _draw_color_encoding(dice, size, "equal")
    return Recipe(
        seed,
        bw_film,
        Version((Run("film", 0, lengths[0]),), look=_draw_bw_look(dice)),
        Version(
            (Run("film", 0, count),), Cadence(), ((0, framing),), size, look, encoding,
            film=color_film,
        ),
        (kind, *dice.kinds),
    )  # fmt: skip


def planted(seed: int, data: Path, cache: Path) -> Planted:
    """Return the drawn pair of this seed; plant it unless the cache has it."""
    folder = cache / f"{seed:04d}"
    if not (folder / "truth.json").is_file():
        return plant(draw_recipe(seed, data), folder)
    return load(folder)


def plant_wrong(kind: str, seed: int, folder: Path, data: Path) -> Planted:
    """Plant two films that do not belong together; ``kind`` is one of WRONG_KINDS."""
    return plant(draw_wrong_recipe(kind, seed, data), folder)


def planted_wrong(seed: int, data: Path, cache: Path) -> Planted:
    """Return the wrong pair of this seed; plant it unless the cache has it. Kinds take turns."""
    kind = WRONG_KINDS[seed % len(WRONG_KINDS)]
    folder = cache / f"wrong-{seed:02d}-{kind}"
    if not (folder / "truth.json").is_file():
        return plant_wrong(kind, seed, folder, data)
    return load(folder)


class _Dice:
    """Random choices for a pair, and the kinds that describe it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.level = self.rng.choices(LEVELS, LEVEL_SHARES)[0]
        self.kinds = [self.level]

    def wants(self, kind: str, chance: float) -> bool:
        """Draw whether the pair is of this kind; ``chance`` is that of a pair of medium level."""
        wanted = self.rng.random() < min(chance * CHANCE_BY_LEVEL[self.level], 0.9)
        if wanted and kind not in self.kinds:
            self.kinds.append(kind)
        return wanted

    def between(self, low: float, high: float) -> float:
        return self.rng.uniform(low, high)

    def frames(self, low_seconds: float, high_seconds: float) -> int:
        return round(self.rng.uniform(low_seconds, high_seconds) * FILM_RATE)


@dataclass
class _Edits:
    """The frames that one version removes from the film, and those it inserts."""

    foreign: Source
    removed: list[range] = field(default_factory=list)
    inserted: dict[int, tuple[str, int]] = field(default_factory=dict)  # kind and count by index

    def kept(self, length: int) -> NDArray[np.bool_]:
        kept = np.ones(length, bool)
        for part in self.removed:
            kept[part.start : part.stop] = False
        return kept

    def runs(self, length: int, seed: int) -> tuple[Run, ...]:
        """Return the version's runs; each foreign frame is used once, then title cards instead."""
        kept = self.kept(length)
        steps = np.flatnonzero(np.diff(kept)) + 1
        bounds = sorted({0, length, *steps.tolist(), *self.inserted})
        runs: list[Run] = []
        used = 0
        for start, end in zip(bounds, bounds[1:] + [length], strict=True):
            if start in self.inserted:
                what, count = self.inserted[start]
                if what == "foreign" and used + count > self.foreign.length:
                    what = "title"
                runs.append(Run(what, used if what == "foreign" else seed + len(runs), count))
                used += count if what == "foreign" else 0
            if start < end and kept[start]:
                runs.append(Run("film", start, end - start))
        return tuple(runs)


def _bunny(data: Path, first: int, count: int, *, is_reversed: bool = False) -> Source:
    step = REVERSED_PIECE_FRAMES if is_reversed else count
    starts = range(first, first + count, step)
    pieces = [
        Piece(data / BUNNY, start, min(step, first + count - start), is_reversed=is_reversed)
        for start in starts
    ]
    return Source(tuple(pieces[::-1] if is_reversed else pieces))


def _reel(data: Path, clips: dict[str, int], rng: random.Random) -> Source:
    """Return the clips and their mirror images as shots in random order."""
    pieces = [
        Piece(data / name, 0, count, is_mirrored)
        for name, count in clips.items()
        for is_mirrored in (False, True)
    ]
    rng.shuffle(pieces)
    return Source(tuple(pieces))


def _draw_source(dice: _Dice, data: Path, seed: int) -> tuple[Source, tuple[Source, Source]]:
    """Draw the film, and the foreign frames of each version."""
    rng = dice.rng
    if rng.random() < 0.22:
        dice.kinds.append("reel")
        firsts = rng.randrange(0, 5000), rng.randrange(6000, 10_000)
        first, second = (_bunny(data, first, 1500) for first in firsts)
        return _reel(data, REEL, rng), (first, second)
    first, second = (_reel(data, half, rng) for half in REEL_HALVES)
    seconds = dice.between(60, 150)
    if seed > SHORT_SEEDS:
        ranges = [(60, 180), (180, 360), (360, 480)]
        seconds = dice.between(*rng.choices(ranges, [0.7, 0.22, 0.08])[0])
        if rng.random() < 0.06:
            dice.kinds.append("whole-film")
            return _bunny(data, 0, BUNNY_FRAMES), (first, second)
    count = round(seconds * FILM_RATE)
    return _bunny(data, rng.randrange(0, STORY_FRAMES - count), count), (first, second)


def _draw_ends(dice: _Dice, edits: tuple[_Edits, _Edits], length: int) -> None:
    """Draw intros and outros, and beginnings and ends that are cut off."""
    for edit in edits:
        if dice.wants("intro", 0.3):
            what = dice.rng.choice(["foreign", "foreign", "title", "black"])
            edit.inserted[0] = (what, dice.frames(0.5, 20 if what == "foreign" else 8))
    both = [*edits]
    dice.rng.shuffle(both)
    if dice.wants("late-start", 0.3):
        share = min(dice.rng.expovariate(8), 1 / 3)
        both[0].removed.append(range(0, round(share * length)))
    if dice.wants("early-end", 0.3):
        share = min(dice.rng.expovariate(8), 1 / 3)
        edit = dice.rng.choice(both)
        edit.removed.append(range(length - round(share * length), length))
    if dice.wants("outro", 0.15):
        what = dice.rng.choice(["foreign", "title", "black"])
        dice.rng.choice(both).inserted[length] = (what, dice.frames(0.5, 6))


def _draw_cuts(dice: _Dice, edits: tuple[_Edits, ...], source: Source) -> None:
    """Draw edits within the film, up to 20 per ten minutes."""
    minutes = float(source.length / FILM_RATE / 60)
    if not dice.wants("cuts", 0.65):
        return
    is_cut_much = dice.level == "hard" or minutes > LONG_MINUTES
    most = (2 if is_cut_much else 1) * minutes
    shots = find_shots(source)
    for _ in range(max(1, round(dice.between(0.2, 1.0) * most))):
        edit, shot = dice.rng.choice(edits), dice.rng.choice(shots)
        kinds = ["missing-shot", "single-frames", "trim", "insert", "black"]
        kind = dice.rng.choices(kinds, [2, 2, 3, 2, 1])[0]
        if kind not in dice.kinds:
            dice.kinds.append(kind)
        if kind == "missing-shot":
            edit.removed.append(range(shot.start, min(shot.stop, shot.start + 12 * 24)))
        elif kind == "single-frames":
            frames = dice.rng.choices(range(1, source.length - 1), k=dice.rng.randint(1, 4))
            edit.removed += [range(frame, frame + 1) for frame in frames]
        elif kind == "trim":
            edit.removed.append(_trim(dice, shot))
        elif shot.start not in edit.inserted:
            seconds = (1, 4) if kind == "insert" else (0.2, 2)
            what = "foreign" if kind == "insert" else "black"
            edit.inserted[shot.start] = (what, dice.frames(*seconds))
    if minutes > 4 and dice.wants("missing-minute", 0.2):
        start = dice.rng.randrange(0, source.length - 60 * 24)
        dice.rng.choice(edits).removed.append(range(start, start + 60 * 24))


def find_shots(source: Source) -> list[range]:
    """Find the shots of a source; if it has several pieces, each is a shot."""
    if len(source.pieces) > 1:
        ends = itertools.accumulate(piece.count for piece in source.pieces)
        return [range(end - p.count, end) for end, p in zip(ends, source.pieces, strict=True)]
    change = changes(source)
    shots, start = [], 0
    for n in range(MIN_SHOT_FRAMES, len(change) + 1):
        if n < len(change):
            beside = max(change[n - 1], change[n + 1] if n + 1 < len(change) else 0.0)
            if change[n] <= max(CUT_CHANGE, CUT_RATIO * beside):
                continue
        if n - start >= MIN_SHOT_FRAMES:
            shots.append(range(start, n))
            start = n
    return shots


def _trim(dice: _Dice, shot: range) -> range:
    """Draw 3 to 40 frames at the start or the end of a shot."""
    count = min(dice.rng.randint(3, 40), len(shot) - 1)
    if dice.rng.random() < 0.5:
        return range(shot.start, shot.start + count)
    return range(shot.stop - count, shot.stop)


def _draw_color_size(dice: _Dice) -> tuple[int, int]:
    weights = [5, 1, 1, 0.5, 0.5] if dice.level == "easy" else [3, 2, 2, 1.5, 1]
    size = dice.rng.choices(list(COLOR_SIZES), weights)[0]
    dice.kinds.append("x".join(map(str, size)))
    return size


def _draw_color_framings(
    dice: _Dice, size: tuple[int, int], source: Source
) -> tuple[tuple[int, Framing], ...]:
    framings = [(0, _draw_framing(dice, size))]
    if dice.wants("reel-change", 0.15):
        start = round(dice.between(0.25, 0.75) * source.length)
        shot = min(find_shots(source), key=lambda shot: abs(shot.start - start))
        if shot.start:
            framings.append((shot.start, _draw_framing(dice, size)))
    return tuple(framings)


def _draw_bw_framing(dice: _Dice) -> Framing:
    crop, area = (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 1.0)
    if dice.wants("bw-crop", 0.12):
        left, top, right, bottom = (dice.between(0, 0.04) for _ in range(4))
        crop = (left, top, right, bottom)
    if dice.wants("bw-bars", 0.06):
        side = dice.between(0.02, 0.1)
        area = (side, 0.0, 1 - side, 1.0)
    return Framing(crop, area)


def _draw_framing(dice: _Dice, size: tuple[int, int]) -> Framing:
    """Draw a coloured version's framing; 16:9 is fitted into 4:3 in several ways."""
    (left, top, right, bottom), area = _draw_fit(dice, size)
    if dice.wants("crop", 0.4):
        most = 0.12 if dice.level == "hard" else 0.08
        left, right = left + dice.between(0, most), right + dice.between(0, most)
        top, bottom = top + dice.between(0, most), bottom + dice.between(0, most)
    elif dice.wants("zoom", 0.15):
        side = dice.between(0.01, 0.08)
        left, top, right, bottom = left + side, top + side, right + side, bottom + side
    if dice.wants("shift", 0.25):
        x, y = dice.between(-0.02, 0.02), dice.between(-0.02, 0.02)
        left, top, right, bottom = left + x, top + y, right - x, bottom - y
    turn = dice.between(-1, 1) if dice.wants("rotation", 0.25) else 0.0
    return Framing((left, top, right, bottom), area, turn)


def _draw_fit(dice: _Dice, size: tuple[int, int]) -> tuple[Box, Box]:
    """Draw the crop and the area by which the film fits into a picture of this size."""
    narrower = size[0] / size[1] / (SIZE[0] / SIZE[1])
    nothing, whole = (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 1.0)
    if narrower < 0.99:
        fit = dice.rng.choice(["letterbox", "letterbox", "pan-scan", "squeezed"])
        if fit not in dice.kinds:
            dice.kinds.append(fit)
        if fit == "letterbox":
            return nothing, (0.0, (1 - narrower) / 2, 1.0, (1 + narrower) / 2)
        side = (1 - narrower) / 2 if fit == "pan-scan" else 0.0
        return (side, 0.0, side, 0.0), whole
    if dice.wants("matte", 0.12):
        bar = dice.between(0.03, 0.13)
        return (0.0, bar, 0.0, bar), (0.0, bar, 1.0, 1 - bar)
    if dice.wants("pillarbox", 0.12):
        bar = dice.between(0.03, 0.125)
        crop = bar if dice.rng.random() < 0.5 else 0.0  # without a crop, it is squeezed
        return (crop, 0.0, crop, 0.0), (bar, 0.0, 1 - bar, 1.0)
    return nothing, whole


def _draw_bw_look(dice: _Dice) -> Look:
    is_damaged = dice.wants("bw-damage", 0.35)
    return Look(
        gamma=dice.between(0.85, 1.2),
        contrast=dice.between(0.85, 1.1),
        lift=dice.between(-4, 8),
        saturation=0.0,
        grain=dice.between(2, 7) if is_damaged else dice.between(0, 1.5),
        specks=dice.between(0.3, 3) if is_damaged else 0.0,
        scratches=dice.rng.randint(0, 3) if is_damaged else 0,
        flicker=dice.between(0.01, 0.05) if is_damaged else 0.0,
    )


def _draw_color_look(dice: _Dice) -> Look:
    is_graded = dice.wants("graded", 0.6)
    is_damaged = dice.wants("damage", 0.2)
    return Look(
        gamma=math.exp(dice.between(math.log(0.6), math.log(1.6))) if is_graded else 1.0,
        contrast=dice.between(0.75, 1.3) if is_graded else 1.0,
        lift=dice.between(-15, 20) if is_graded else 0.0,
        saturation=dice.between(0.3, 1.4) if is_graded else 1.0,
        tint=(dice.between(-10, 10), dice.between(-10, 10)) if is_graded else (0.0, 0.0),
        grain=dice.between(2, 6) if is_damaged else 0.0,
        specks=dice.between(0.2, 2) if is_damaged else 0.0,
        scratches=dice.rng.randint(0, 2) if is_damaged else 0,
        flicker=dice.between(0.01, 0.04) if is_damaged else 0.0,
    )


def _draw_color_encoding(dice: _Dice, size: tuple[int, int], cadence: str) -> Encoding:
    container = "mp4"
    if cadence.startswith("vfr"):
        container = dice.rng.choice(["mp4", "mkv"])
    elif dice.wants("mkv", 0.1):
        container = "mkv"
    preset = dice.rng.choice(["ultrafast", "veryfast"])
    if dice.wants("low-bitrate", 0.3):
        rate = dice.rng.choice(COLOR_SIZES[size])
        dice.kinds.append(f"{rate}k")
        return Encoding(bitrate_kbps=rate, preset=preset, container=container)
    return Encoding(crf=dice.rng.randint(20, 27), preset=preset, container=container)

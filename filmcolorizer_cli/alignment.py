"""Temporal alignment of two versions of a film.

Three steps, from coarse to fine: a chain of best matches through both films (`chain`); the speed of
one film relative to the other (`rates`); and the likeliest sequence of offsets, frame by frame
(`offsets`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from filmcolorizer_cli.chain import find_chain, runs_of
from filmcolorizer_cli.offsets import NEAR_SECONDS, Offsets
from filmcolorizer_cli.rates import (
    SHORT_FILM_SECONDS,
    Reel,
    find_rate,
    find_reels,
    first_windows,
    likeliest_rate,
    rate_of_chain,
    rate_of_pictures,
)
from filmcolorizer_cli.registration import REFINING_FRAMES, Placement, is_moved, refine
from filmcolorizer_cli.signatures import Seconds, Signatures
from filmcolorizer_cli.similarity import Films, Indices, Window, find_windows

MIN_FRAMES = 8  # frames in the shortest film, or part of one, that can be aligned

CONFIDENCE_FRAMES = 200  # frames to measure confidence on, at least; or all of a shorter stretch
CLEAR_CONTRAST = 3.0  # above this contrast, a picture is more than noise
UNLIKE, ALIKE = 0.3, 0.7  # mean correlations of pictures that cannot and that may well match


@dataclass(frozen=True)
class Stretch:
    """Frames ``begin`` up to ``end`` of a black-and-white film that a coloured one also shows.

    The frame at time t is at ``offset_seconds`` + ``rate`` * t in the coloured film.

    Attributes:
        placement: spatial registration of the two pictures.
        confidence: confidence in the match, from 0 to 1; see `measure_confidence`.
    """

    begin: int
    end: int
    offset_seconds: float
    rate: float
    placement: Placement
    confidence: float = 0.0

    def color_seconds(self, bw_seconds: Seconds) -> Seconds:
        """Return the coloured film's times for these times of the black-and-white film."""
        return self.offset_seconds + self.rate * bw_seconds


def align(
    bw: Signatures, color: Signatures, placement: Placement, expected_rate: float = 1.0
) -> list[Stretch]:
    """Find all stretches that two films share, given an approximate placement.

    Args:
        expected_rate: rate to prefer where no other fits better.

    Returns:
        The stretches, in order, with the placement refined on their frames if that moves it.
    """
    if min(len(bw), len(color)) < MIN_FRAMES:
        return []
    runs = [run for run in runs_of(find_chain(bw, color, placement)) if len(run) >= 2]
    if not runs:
        return []
    films = Films(bw, color, placement)
    picture_rate = rate_of_pictures(films, runs, rate_of_chain(runs, expected_rate))
    rate, windows = first_windows(films, runs, picture_rate, expected_rate)
    if not windows:
        return []
    refined = find_rate(windows, rate, expected_rate, color.frame_seconds)
    if bw.duration_seconds < SHORT_FILM_SECONDS:
        # Poorly registered pictures do not distinguish rates well.
        films = Films(bw, color, _refine(films, windows, rate))
        found = {rate, refined, picture_rate}
        rate, windows = likeliest_rate(films, runs, expected_rate, found)
    elif refined != rate:
        rate, windows = refined, find_windows(films, runs, refined)
    reels = find_reels(windows, rate, color.frame_seconds)
    if len(reels) > 1:
        return _align_reels(bw, color, placement, reels)
    refined_placement = _refine(films, windows, rate)
    if is_moved(films.placement, refined_placement):
        del films  # frees its vectors before new ones are made
        films = Films(bw, color, refined_placement)
    offsets, _ = Offsets(films, windows, rate).find()
    stretches = bridge(films, _stretches(offsets, rate, films.placement))
    return [_finish(films, stretch) for stretch in stretches]


def _align_reels(
    bw: Signatures, color: Signatures, placement: Placement, reels: list[Reel]
) -> list[Stretch]:
    """Align parts of a black-and-white film that the coloured one shows at different rates."""
    stretches: list[Stretch] = []
    borders = [-np.inf, *(reel.begin_seconds for reel in reels[1:]), np.inf]
    for reel, (begin, end) in zip(reels, pairwise(borders), strict=True):
        first, last = np.searchsorted(bw.seconds, (begin, end))
        shown = (reel.color_begin_seconds - NEAR_SECONDS, reel.color_end_seconds + NEAR_SECONDS)
        color_first, color_last = np.searchsorted(color.seconds, shown)
        parts = bw.part(int(first), int(last)), color.part(int(color_first), int(color_last))
        stretches += shift(align(*parts, placement, reel.rate), int(first))
    return stretches


def shift(stretches: list[Stretch], frames: int) -> list[Stretch]:
    """Return the stretches moved ``frames`` frames later in the black-and-white film."""
    return [
        replace(stretch, begin=stretch.begin + frames, end=stretch.end + frames)
        for stretch in stretches
    ]


def _refine(films: Films, windows: list[Window], rate: float) -> Placement:
    """Refine a placement on frames of the windows that match best."""
    good = sorted(windows, key=lambda window: -window.similarity)[: len(windows) // 2 + 1]
    chosen = [
        good[n]
        for n in np.linspace(0, len(good) - 1, min(len(good), REFINING_FRAMES)).round().astype(int)
    ]
    seconds = np.array([window.seconds for window in chosen])
    offsets = np.array([window.offset_seconds for window in chosen])
    bw_frames = films.bw.frames[films.bw.at(seconds)]
    color_frames = films.color.frames[films.color.at(rate * seconds + offsets)]
    return refine(bw_frames, color_frames, films.placement)


def _finish(films: Films, stretch: Stretch) -> Stretch:
    """Refine a stretch's offset to a part of a frame, and measure its confidence."""
    frames = np.arange(stretch.begin, stretch.end)
    offset = films.centre(frames, stretch.rate, stretch.offset_seconds)
    if films.step_seconds(stretch.rate) < films.color.frame_seconds:
        offset = _best_between(films, frames[:: len(frames) // 2000 + 1], stretch.rate, offset)
    settled = replace(stretch, offset_seconds=offset)
    return replace(settled, confidence=measure_confidence(films, settled))


def _best_between(films: Films, frames: Indices, rate: float, offset: float) -> float:
    """Return the middle of the best offsets for repeated frames, in eighths of a frame."""
    shifts = np.arange(-6, 7) / 8 * films.color.frame_seconds
    times = rate * films.bw.seconds[frames][:, None] + offset
    means = np.array([films.similarity(frames, times + shift).mean() for shift in shifts])
    good = means > means.max() - 0.02 * (1 - means.max()) - 1e-5
    best = int(means.argmax())
    first = best - int(np.argmin(good[best::-1])) + 1 if not good[: best + 1].all() else 0
    last = best + int(np.argmin(good[best:])) - 1 if not good[best:].all() else len(good) - 1
    return offset + float(shifts[first] + shifts[last]) / 2


def _stretches(offsets: Seconds, rate: float, placement: Placement) -> list[Stretch]:
    """Return the runs of frames with one offset."""
    stretches = []
    marks = np.where(np.isnan(offsets), -1e9, offsets)
    borders = np.flatnonzero(np.abs(np.diff(marks)) > 1e-6) + 1
    for begin, end in pairwise((0, *borders, len(offsets))):
        if not np.isnan(offsets[begin]):
            offset = float(offsets[begin])
            stretches.append(Stretch(int(begin), int(end), offset, rate, placement))
    return stretches


def bridge(films: Films, stretches: list[Stretch]) -> list[Stretch]:
    """Close gaps across which the offset stays the same, unless their frames do not match."""
    closed: list[Stretch] = []
    for stretch in stretches:
        last = closed[-1] if closed else None
        step = films.color.frame_seconds
        if last is None or abs(last.offset_seconds - stretch.offset_seconds) > 0.6 * step:
            closed.append(stretch)
            continue
        between = np.arange(last.end, stretch.begin)
        if _may_match(films, between, last.color_seconds(films.bw.seconds[between])):
            closed[-1] = last = replace(last, end=stretch.begin)
        if last.end == stretch.begin and last.offset_seconds == stretch.offset_seconds:
            closed[-1] = replace(last, end=stretch.end)
        else:
            closed.append(stretch)
    return closed


def _may_match(films: Films, frames: Indices, color_seconds: Seconds) -> bool:
    """Whether most frames at least vaguely match those at these times, or have low contrast."""
    if not len(frames):
        return True
    found = films.color.at(color_seconds)
    similarity = films.similarity_at(frames, color_seconds)
    contrasts = np.maximum(films.bw_vectors.contrasts[frames], films.color_vectors.contrasts[found])
    return bool(((similarity < UNLIKE) & (contrasts > CLEAR_CONTRAST)).mean() < 0.3)


def measure_confidence(films: Films, stretch: Stretch) -> float:
    """Measure the confidence in a stretch, from 0 to 1.

    It is the product of how well the pictures correlate, and how much better they do so than at
    wrong times: with time mirrored, and half a second and a second early and late. The time of a
    stretch without motion or cuts cannot be determined.
    """
    step = max((stretch.end - stretch.begin) // CONFIDENCE_FRAMES, 1)
    frames = np.arange(stretch.begin, stretch.end, step)
    times = stretch.color_seconds(films.bw.seconds[frames])
    seen = float(films.strength(frames, films.color.at(times)).sum())
    if seen < 1:
        return 0.0
    right = float(films.similarity_at(frames, times).sum()) / seen
    wrong_times = [times[0] + times[-1] - times, *(times + late for late in (-1, -0.5, 0.5, 1))]
    wrong = max(float(films.similarity_at(frames, t).sum()) / seen for t in wrong_times)
    sharpness = max(right - wrong, 0) / (1.005 - right)
    picture = min(max((right - UNLIKE) / (ALIKE - UNLIKE), 0), 1)
    return picture * (1 - float(np.exp(-sharpness)))

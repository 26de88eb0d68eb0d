"""Which moments of two versions of a film are the same.

Three steps, from coarse to fine: a chain of best matches through both films at a few pictures a
second, with gaps on either side (after T. F. Smith and M. S. Waterman, "Identification of Common
Molecular Subsequences", 1981, with gaps that cost the same however long); the speed of the one film
in the other; and the likeliest sequence of offsets, frame by frame (A. J. Viterbi, 1967).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.registration import (
    COARSE,
    REFINING_FRAMES,
    Comparison,
    Placement,
    is_moved,
    refine,
)
from filmcolorizer_cli.signatures import Floats, Frames, Seconds, Signatures

CELLS_PER_SECOND = 4.0  # of the coarse chain
LARGEST_CHAIN = 4096  # cells a side; longer films are looked at in larger cells
LOOKS_PER_SECOND = 12.0  # at the coloured film within its cells
GAP_COST = 8.0  # of the coarse chain; a match gains up to LARGEST_GAIN a cell
SLIP_COST = 0.7  # for a cell that is passed over or shown twice
LARGEST_GAIN, LARGEST_LOSS = 2.5, 2.0

WINDOW_SECONDS = 3.0  # in which one offset is sought
WINDOW_STEP_SECONDS = 1.5
# Seconds of the coloured film in a second of the other, from the likeliest: the same speed, 23.976
# for 24 frames a second, PAL's 25, and both; then silent film at other speeds.
COMMON_RATES = tuple(
    map(
        Fraction,
        ("1", "1001/1000", "1000/1001", "24/25", "25/24", "960/1001", "1001/960"),
    )
)
SILENT_RATES = tuple(Fraction(n, 24) for n in (16, 18, 20, 22))
KNOWN_RATES = (*COMMON_RATES, *SILENT_RATES, *(1 / rate for rate in SILENT_RATES))
LIKELIER = 1.05  # times as unlike may windows be at a rate that is likelier beforehand
RATE_LAG_CELLS = 40  # over which the chain's rise is measured
RATES = np.arange(0.5, 2.0, 0.02)  # that are tried, in steps that a window tells apart
RATE_WINDOWS = 12  # at most, whose pictures are asked for the rate
RATE_REACH = 0.03  # by which the rate that pictures tell may be off
RATE_STEP = 0.0001
SHORT_FILM_SECONDS = 60.0  # in which rates are tried frame by frame
PLAUSIBLE = 4.0  # times as unlike may windows be at a rate that is tried
ABOUT_AS_GOOD = 0.9  # of the votes for one known rate are enough for a likelier one
RATE_DOUBT = 0.3  # of the best rate's votes are enough for a likely one
REEL_VOTE_SECONDS = 20.0  # around a window, within which others vote for its rate
REEL_COST = 4.0  # of a change of rate, in windows whose neighbours all agree

JUMP_COST = 20.0  # of a change of offset, in what a good frame gains
NEIGHBOURS = 6  # frames around a likely offset that are considered
NEAR_SECONDS = 4.0  # offsets that are likely somewhere are considered so far around
BLOCK_FRAMES = 48
FEWEST_FRAMES = 8  # of a film, or a part of one, that can be aligned
VECTORS_AT_ONCE = 4096

CONFIDENCE_FRAMES = 200  # of a stretch, that its confidence is measured on
CLEAR_CONTRAST = 3.0  # of a picture that is more than noise
UNLIKE, ALIKE = 0.3, 0.7  # mean correlations of pictures that cannot and that may well be the same
IMPOSSIBLE = -1e9

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Stretch:
    """Frames ``begin`` up to ``end`` of a black-and-white film, which a coloured one shows as well.

    At t it shows them at ``offset_seconds`` + ``rate`` * t.

    Attributes:
        placement: how the pictures lie upon each other.
        confidence: how sure all this is, from 0 to 1; see `measure_confidence`.
    """

    begin: int
    end: int
    offset_seconds: float
    rate: float
    placement: Placement
    confidence: float = 0.0

    def color_seconds(self, bw_seconds: Seconds) -> Seconds:
        """When the coloured film shows what the black-and-white one shows at these times."""
        return self.offset_seconds + self.rate * bw_seconds


class Vectors:
    """The vectors of a film's frames in a `Comparison`, held in a byte a pixel.

    Attributes:
        contrasts: (N,): how much there is to see; below 1 a picture is faint.
        lengths: (N,): 1, or less for faint pictures.
    """

    def __init__(self, comparison: Comparison, flat: Callable[[Frames], Floats], frames: Frames):
        parts, scales, contrasts = [], [], []
        for begin in range(0, len(frames), VECTORS_AT_ONCE):
            pictures = flat(frames[begin : begin + VECTORS_AT_ONCE])
            contrasts.append(comparison.contrast(pictures))
            vectors = comparison.shorten(pictures)
            largest = np.abs(vectors).max(axis=1, keepdims=True)
            rounded = np.round(vectors / np.maximum(largest, 1e-9) * 127)
            parts.append(rounded.astype(np.int8))
            # Rounding lengthens some, by which they would be more than alike.
            scales.append(_lengths(vectors) / np.maximum(_lengths(rounded), 1))
        self._bytes, self._scales = np.concatenate(parts), np.concatenate(scales)
        self.contrasts = np.concatenate(contrasts)
        self.lengths = np.minimum(self.contrasts, 1)

    def __len__(self) -> int:
        return len(self._bytes)

    def __getitem__(self, frames: slice | Indices) -> Floats:
        return np.asarray(self._bytes[frames] * self._scales[frames], np.float32)


def _lengths(vectors: Floats) -> Floats:
    return np.asarray(np.linalg.norm(vectors, axis=1, keepdims=True))


@dataclass(frozen=True)
class Window:
    """A few seconds of a black-and-white film, and where the coloured one shows them.

    Attributes:
        likeness: mean correlation of the pictures, up to 1.
        sharpness: by how much offsets more than two frames away fit worse; about 0 where nothing
            moves.
    """

    seconds: float
    offset_seconds: float
    likeness: float
    sharpness: float


def align(
    bw: Signatures, color: Signatures, placement: Placement, expected_rate: float = 1.0
) -> list[Stretch]:
    """Find all stretches that two films share, given about how their pictures lie upon each other.

    Args:
        expected_rate: what is taken where others do no better.

    Returns:
        The stretches, in order, with the placement refined on what they show.
    """
    if min(len(bw), len(color)) < FEWEST_FRAMES:
        return []
    runs = [run for run in _runs(find_chain(bw, color, placement)) if len(run) >= 2]
    if not runs:
        return []
    films = Films(bw, color, placement)
    picture_rate = _picture_rate(films, runs, _chain_rate(runs, expected_rate))
    rate, windows = _first_windows(films, runs, picture_rate, expected_rate)
    if not windows:
        return []
    refined = find_rate(windows, rate, expected_rate, color.frame_seconds)
    if bw.duration_seconds < SHORT_FILM_SECONDS:
        # Pictures that lie badly upon each other tell rates apart badly.
        films = Films(bw, color, _refine(films, windows, rate))
        found = {rate, refined, picture_rate}
        rate, windows = _likeliest_rate(films, runs, expected_rate, found)
    elif refined != rate:
        rate, windows = refined, find_windows(films, runs, refined)
    reels = find_reels(windows, rate, color.frame_seconds)
    if len(reels) > 1:
        return _align_reels(bw, color, placement, reels)
    refined_placement = _refine(films, windows, rate)
    if is_moved(films.placement, refined_placement):
        del films  # which is large
        films = Films(bw, color, refined_placement)
    offsets, _ = _Offsets(films, windows, rate).find()
    stretches = bridge(films, _stretches(offsets, rate, films.placement))
    return [_finish(films, stretch) for stretch in stretches]


def _first_windows(
    films: Films, runs: list[Seconds], rate: float, expected_rate: float
) -> tuple[float, list[Window]]:
    """A rate, or a likelier one at which windows are about as good, and the windows there."""
    windows = find_windows(films, runs, rate)
    if not windows:
        return rate, windows
    for likelier in _likely_rates(films, expected_rate):
        if likelier == rate:
            break
        others = find_windows(films, runs, likelier)
        unlike, unlike_others = (
            sum(1 - window.likeness for window in part) for part in (windows, others)
        )
        if unlike_others < (LIKELIER + 1 / len(windows)) * unlike:  # few of them tell little
            return likelier, others
    return rate, windows


def _likely_rates(films: Films, expected_rate: float) -> list[float]:
    """The rates that are likely beforehand: frame by frame, if that is common, and the expected."""
    frame_by_frame = films.color.frame_seconds / films.bw.frame_seconds
    common = [float(known) for known in COMMON_RATES if abs(known - frame_by_frame) < 1e-4]
    return [*common, expected_rate]


def _likeliest_rate(
    films: Films, runs: list[Seconds], expected_rate: float, found: set[float]
) -> tuple[float, list[Window]]:
    """The rate at which a short film is followed best, and its windows there.

    In a few seconds windows tell a rate from splices badly: what lacks a few frames here and there
    seems to be slower. Followed frame by frame, each splice costs once, and a wrong rate all along.

    Args:
        found: rates to try beside the known ones and the expected one.
    """
    likely = _likely_rates(films, expected_rate)
    rates = dict.fromkeys((*likely, *map(float, KNOWN_RATES), *sorted(found)))
    ways = {rate: find_windows(films, runs, rate) for rate in rates}  # from the likeliest
    unlike = {rate: _mean_unlikeness(windows) for rate, windows in ways.items()}
    usual = min(_usual_unlikeness([w.likeness for w in windows]) for windows in ways.values())
    scores = {
        rate: _Offsets(films, windows, rate, usual).find()[1]
        for rate, windows in ways.items()
        if unlike[rate] <= PLAUSIBLE * min(unlike.values())
    }
    enough = max(scores.values()) - JUMP_COST
    likeliest = next(rate for rate, score in scores.items() if score >= enough)
    return likeliest, ways[likeliest]


def _mean_unlikeness(windows: list[Window]) -> float:
    """The geometric mean, as windows with cuts in them fit badly at any rate; 1 of none."""
    unlike = [1.001 - window.likeness for window in windows]
    return statistics.geometric_mean(unlike) if unlike else 1.0


def _usual_unlikeness(likeness: Floats | list[float]) -> float:
    """How unlike pictures are that show the same, by noise, grading and the like.

    Args:
        likeness: the best ones found, of which the better half shows the same.
    """
    ascending = np.sort(likeness)
    return max(1 - float(np.median(ascending[len(ascending) // 2 :])), 0.02)


def _best_between(films: Films, frames: Indices, rate: float, offset: float) -> float:
    """The middle of the offsets, by eighths of a frame, that suit most of repeated frames best."""
    shifts = np.arange(-6, 7) / 8 * films.color.frame_seconds
    times = rate * films.bw.seconds[frames][:, None] + offset
    means = np.array([films.likeness(frames, times + shift).mean() for shift in shifts])
    good = means > means.max() - 0.02 * (1 - means.max()) - 1e-5
    best = int(means.argmax())
    first = best - int(np.argmin(good[best::-1])) + 1 if not good[: best + 1].all() else 0
    last = best + int(np.argmin(good[best:])) - 1 if not good[best:].all() else len(good) - 1
    return offset + float(shifts[first] + shifts[last]) / 2


def _align_reels(
    bw: Signatures, color: Signatures, placement: Placement, reels: list[Reel]
) -> list[Stretch]:
    """Align parts of a black-and-white film that a coloured one shows at different speeds."""
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
    """Stretches of a part of a film that begins after so many frames, as those of the film."""
    return [
        replace(stretch, begin=stretch.begin + frames, end=stretch.end + frames)
        for stretch in stretches
    ]


def _finish(films: Films, stretch: Stretch) -> Stretch:
    """Settle a stretch's offset between frames, and measure how sure it is."""
    frames = np.arange(stretch.begin, stretch.end)
    offset = films.centre(frames, stretch.rate, stretch.offset_seconds)
    if films.step_seconds(stretch.rate) < films.color.frame_seconds:
        offset = _best_between(films, frames[:: len(frames) // 2000 + 1], stretch.rate, offset)
    settled = replace(stretch, offset_seconds=offset)
    return replace(settled, confidence=measure_confidence(films, settled))


def _refine(films: Films, windows: list[Window], rate: float) -> Placement:
    """Refine a placement on frames of windows in which time is sure."""
    good = sorted(windows, key=lambda window: -window.likeness)[: len(windows) // 2 + 1]
    chosen = [
        good[n]
        for n in np.linspace(0, len(good) - 1, min(len(good), REFINING_FRAMES)).round().astype(int)
    ]
    seconds = np.array([window.seconds for window in chosen])
    offsets = np.array([window.offset_seconds for window in chosen])
    bw_frames = films.bw.frames[films.bw.at(seconds)]
    color_frames = films.color.frames[films.color.at(rate * seconds + offsets)]
    return refine(bw_frames, color_frames, films.placement)


class Films:
    """Both films and their vectors, at one placement."""

    def __init__(self, bw: Signatures, color: Signatures, placement: Placement) -> None:
        comparison = Comparison(placement)
        self.bw, self.color, self.placement = bw, color, placement
        self.bw_vectors = Vectors(comparison, comparison.flat_bw, bw.frames)
        self.color_vectors = Vectors(comparison, comparison.flat_color, color.frames)

    def step_seconds(self, rate: float) -> float:
        """The steps in which offsets are told apart: a coloured frame, where there is one for each
        of the other film; half of one where frames are repeated, which makes finer ones differ."""
        step = self.color.frame_seconds
        is_even = abs(rate * self.bw.frame_seconds / step - 1) < 0.01
        return step if is_even else step / 2

    def centre(self, frames: Indices, rate: float, offset: float) -> float:
        """The middle of all offsets that give nine tenths of the frames the same counterparts."""
        times = rate * self.bw.seconds[frames]
        found = self.color.at(times + offset)
        half = self.color.frame_seconds / 2
        begin = self.color.seconds[found] - half
        end = self.color.seconds[np.minimum(found + 1, len(self.color) - 1)] - half
        end = np.maximum(end, begin + 2 * half)
        low, high = np.percentile(begin - times, 95), np.percentile(end - times, 5)
        return float(low + high) / 2 if low < high else offset

    def likeness(self, frames: Indices, color_seconds: Seconds) -> Floats:
        """Correlations (N, K) of N frames with the coloured frames at times (N, K)."""
        found = self.color.at(color_seconds)
        if found.shape[1] == 1:
            pairs = self.bw_vectors[frames], self.color_vectors[found[:, 0]]
            return np.asarray((pairs[0] * pairs[1]).sum(axis=1, keepdims=True))
        low, high = int(found.min()), int(found.max()) + 1
        table = self.bw_vectors[frames] @ self.color_vectors[low:high].T
        return np.asarray(np.take_along_axis(table, found - low, axis=1))


def find_chain(bw: Signatures, color: Signatures, placement: Placement) -> Seconds:
    """The best chain of matches through both films.

    Returns:
        (N, 2): times in the black-and-white film and in the coloured one, both ascending.
    """
    longest = max(bw.end_seconds - bw.seconds[0], color.end_seconds - color.seconds[0])
    cell = max(1 / CELLS_PER_SECOND, longest / LARGEST_CHAIN)
    gains = _gains(_coarse_likeness(bw, color, placement, cell))
    path = best_chain(gains)
    return path * cell + (bw.seconds[0], color.seconds[0])


def _coarse_likeness(
    bw: Signatures, color: Signatures, placement: Placement, cell: float
) -> Floats:
    """(N, M): how much a frame at each cell of the one film resembles any in each of the other."""
    comparison = Comparison(placement, COARSE)
    rows = np.arange(bw.seconds[0], bw.end_seconds, cell)
    columns = np.arange(color.seconds[0], color.end_seconds, cell)
    sought = comparison.bw(bw.frames[bw.at(rows)])
    looks = max(round(cell * LOOKS_PER_SECOND), 1)
    likeness: Floats | None = None
    for look in range(looks):
        shift = ((look + 0.5) / looks - 0.5) * cell
        found = comparison.color(color.frames[color.at(columns + shift)])
        table = sought @ found.T
        likeness = table if likeness is None else np.maximum(likeness, table, out=likeness)
    assert likeness is not None
    return likeness


def _gains(likeness: Floats) -> Floats:
    """What a match is worth: nothing at a likeness that good matches stay clear of."""
    unlikeness = _usual_unlikeness(likeness.max(axis=1))
    border = 1 - min(max(4 * unlikeness, 0.15), 0.5)
    gains = (likeness - border) * np.float32(3 / (1 - border))
    return np.clip(gains, -LARGEST_LOSS, LARGEST_GAIN, out=gains)


def best_chain(gains: Floats) -> NDArray[np.int64]:
    """The chain of cells with the largest sum of gains (N, M), less the cost of its gaps.

    Returns:
        (L, 2): rows and columns, ascending.
    """
    rows, columns = gains.shape
    # How the best chain that ends in a cell came there, and whence the best that ended before is.
    came = np.zeros((rows, columns), np.uint8)
    ended = np.zeros((rows, columns), np.uint8)
    none = np.full(1, IMPOSSIBLE, np.float32)
    here = np.full(columns, IMPOSSIBLE, np.float32)
    before = np.zeros(columns, np.float32)
    every = np.arange(columns)
    for row in range(rows):
        gain = gains[row]
        ways = np.stack(
            (
                np.concatenate((np.zeros(1, np.float32), before[:-1])),  # a new run after a gap
                np.concatenate((none, here[:-1])),  # the next cell of both
                here - SLIP_COST - np.maximum(gain, 0),  # the same coloured cell again
                np.concatenate((none, none, here[:-2])) - SLIP_COST,  # one coloured cell over
            )
        )
        came[row] = ways.argmax(axis=0)
        here = ways[came[row], every] + gain
        candidates = np.maximum(here - GAP_COST, before)
        after = np.maximum.accumulate(candidates)
        ended[row] = np.where(after > candidates, _LEFT, np.where(candidates > before, _HERE, _UP))
        before = after
    return _trace_chain(came, ended)


_LEFT, _UP, _HERE = range(3)


def _trace_chain(came: NDArray[np.uint8], ended: NDArray[np.uint8]) -> NDArray[np.int64]:
    row, column = came.shape[0] - 1, came.shape[1] - 1
    path = []
    in_gap = True
    while row >= 0 and column >= 0:
        if in_gap:
            if ended[row, column] == _LEFT:
                column -= 1
            elif ended[row, column] == _UP:
                row -= 1
            else:
                in_gap = False
            continue
        path.append((row, column))
        way = came[row, column]
        in_gap = way == 0
        row -= 1
        column -= (1, 1, 0, 2)[way]
    return np.array(path[::-1], np.int64).reshape(-1, 2)


def _runs(chain: Seconds) -> list[Seconds]:
    """The chain (N, 2) in parts without gaps."""
    if len(chain) < 2:
        return []
    steps = np.diff(chain, axis=0)
    cell = steps[:, 0].min()
    breaks = np.flatnonzero((steps[:, 0] > 1.5 * cell) | (steps[:, 1] > 2.5 * cell))
    return np.split(chain, breaks + 1)


def _chain_rate(runs: list[Seconds], expected_rate: float) -> float:
    """The speed of the coloured film along the runs of a chain, to a hundredth or two."""
    slopes = []
    for run in runs:
        lag = min(RATE_LAG_CELLS, len(run) - 1)
        if lag >= RATE_LAG_CELLS // 4:
            rise = run[lag:] - run[:-lag]
            slopes.append(rise[:, 1] / rise[:, 0])
    together = np.concatenate(slopes) if slopes else np.zeros(0)
    near = np.abs(together - np.median(together)) < RATE_REACH if slopes else together > 0
    if not near.any():
        return expected_rate
    return _known_near(float(together[near].mean()))


def _known_near(rate: float) -> float:
    """The known rate that is as good as this one, or the rate itself."""
    nearest = min(map(float, KNOWN_RATES), key=lambda known: abs(known - rate))
    return nearest if abs(nearest - rate) < RATE_REACH / 2 else rate


def _picture_rate(films: Films, runs: list[Seconds], chain_rate: float) -> float:
    """The rate at which pictures within windows are most alike, to a hundredth or two.

    A chain rises in whole cells, and rather less than the film does: over a few seconds by up to
    a third. Where nothing moves all rates do, and it keeps its own.
    """
    cell = float(np.diff(runs[0][:, 0]).min())
    size = max(round(WINDOW_SECONDS / cell), 2)
    parts = [
        run[first : first + size]
        for run in runs
        for first in range(0, max(len(run) - size, 0) + 1, size)
    ]
    chosen = np.linspace(0, len(parts) - 1, min(len(parts), RATE_WINDOWS)).round().astype(int)
    parts = [parts[n] for n in chosen]

    def unlikeness(rate: float) -> float:
        return _mean_unlikeness(find_windows(films, parts, rate))

    unlike = {rate: unlikeness(rate) for rate in map(float, RATES)}
    best = min(unlike, key=unlike.__getitem__)
    return chain_rate if unlikeness(chain_rate) <= LIKELIER * unlike[best] else _known_near(best)


def find_windows(films: Films, runs: list[Seconds], rate: float) -> list[Window]:
    """Where the coloured film shows each few seconds along a chain, to the frame."""
    step = films.step_seconds(rate)
    cell = float(np.diff(runs[0][:, 0]).min())
    reach = int(np.ceil(4 * cell / step))
    shifts = np.asarray(np.arange(-reach, reach + 1) * step, np.float64)
    windows = []
    for run in runs:
        last = max(run[-1, 0] - WINDOW_SECONDS / 2, run[0, 0] + cell / 2)
        for begin in np.arange(run[0, 0], last, WINDOW_STEP_SECONDS):
            first, end = np.searchsorted(films.bw.seconds, (begin, begin + WINDOW_SECONDS))
            inside = run[(run[:, 0] >= begin) & (run[:, 0] < begin + WINDOW_SECONDS)]
            if end - first < 2 or not len(inside):
                continue
            coarse = float(np.median(inside[:, 1] - rate * inside[:, 0]))
            seconds = films.bw.seconds[first:end]
            middle = float(seconds[len(seconds) // 2])
            windows.append(_window(films, np.arange(first, end), rate, coarse + shifts, middle))
    return windows


def _window(films: Films, frames: Indices, rate: float, offsets: Seconds, middle: float) -> Window:
    times = rate * films.bw.seconds[frames][:, None] + offsets
    likeness = films.likeness(frames, times).mean(axis=0)
    best = int(likeness.argmax())
    elsewhere = likeness[np.abs(offsets - offsets[best]) > 2.5 * films.color.frame_seconds]
    other = float(elsewhere.max()) if len(elsewhere) else float(likeness[best])
    sharpness = (likeness[best] - other) / (1.001 - likeness[best])
    offset = films.centre(frames, rate, float(offsets[best]))
    return Window(middle, offset, float(likeness[best]), float(sharpness))


def find_rate(
    windows: list[Window], rate: float, expected_rate: float, frame_seconds: float
) -> float:
    """The rate at which windows' offsets change least, a known one where it does as well.

    Windows up to two minutes apart vote for the rates at which one offset would hold for both: the
    more, the longer they are apart and the nearer it comes, if within half a frame.

    Args:
        rate: at which the offsets were found.
    """
    sharp = [window for window in windows if window.sharpness > 0.2]
    seconds = np.array([window.seconds for window in sharp])
    offsets = np.array([window.offset_seconds for window in sharp])
    pairs = [(seconds[lag:] - seconds[:-lag], offsets[lag:] - offsets[:-lag]) for lag in _lags(120)]
    apart, drift = (np.concatenate(part) for part in zip(*pairs, strict=True))
    is_far = (apart > WINDOW_STEP_SECONDS * 1.5) & (apart < 120)
    apart, drift = apart[is_far], drift[is_far]
    weights = apart * np.exp(-apart / 30)

    def votes(candidate: float) -> float:
        missed = np.abs(drift - (candidate - rate) * apart)
        return float((weights * np.maximum(1 - missed / (frame_seconds / 2), 0)).sum())

    steps = np.arange(rate - RATE_REACH, rate + RATE_REACH, RATE_STEP)
    best = round(float(max(steps, key=votes)), 6)
    near = [r for r in (expected_rate, *map(float, KNOWN_RATES)) if abs(r - rate) < RATE_REACH]
    most = max(map(votes, near), default=0.0)
    if not votes(best):  # hardly anything moves
        best = rate
    known = next((r for r in near if votes(r) >= ABOUT_AS_GOOD * most), best)
    return known if votes(known) >= RATE_DOUBT * votes(best) else best


@dataclass(frozen=True)
class Reel:
    """A part of a black-and-white film that a coloured one shows at one speed.

    Attributes:
        begin_seconds: in the black-and-white film.
        color_begin_seconds, color_end_seconds: from where to where the coloured film shows it.
    """

    begin_seconds: float
    rate: float
    color_begin_seconds: float
    color_end_seconds: float


def find_reels(windows: list[Window], rate: float, frame_seconds: float) -> list[Reel]:
    """Where another known rate than the film's holds for a while.

    Each window's neighbours vote for the rates at which they share its offset; the rates with the
    most votes win, less what changing between them costs.

    Args:
        rate: at which the windows' offsets were found, and that mostly holds.
    """
    others = [float(known) for known in KNOWN_RATES if abs(float(known) - rate) > RATE_REACH / 2]
    candidates = np.array([rate, *others])
    seconds = np.array([window.seconds for window in windows])
    shown = np.array([window.offset_seconds for window in windows]) + rate * seconds
    scores = np.zeros((len(windows), len(candidates)))
    votes = np.full((len(windows), 1), 1e-9)
    for lag in _lags(REEL_VOTE_SECONDS):
        apart = (seconds[lag:] - seconds[:-lag])[:, None]
        is_near = (apart > 2 * WINDOW_STEP_SECONDS) & (apart < REEL_VOTE_SECONDS)
        missed = np.abs((shown[lag:] - shown[:-lag])[:, None] - candidates * apart)
        agree = is_near * np.maximum(1 - missed / frame_seconds, 0)
        for side in (slice(lag, None), slice(None, -lag)):
            scores[side] += agree
            votes[side] += is_near
    scores /= votes
    rates = candidates[_steady(scores, REEL_COST)]
    starts = [0, *(int(n) + 1 for n in np.flatnonzero(np.diff(rates)))]
    reels = []
    for first, end in pairwise((*starts, len(windows))):
        begin = _meeting(seconds, shown, rates, first) if first else 0.0
        part = shown[first:end]
        reels.append(Reel(begin, float(rates[first]), float(part.min()), float(part.max())))
    return reels


def _lags(seconds: float) -> range:
    """By how many windows those are apart that lie up to so many seconds apart."""
    return range(1, int(seconds / WINDOW_STEP_SECONDS) + 1)


def _steady(scores: Seconds, cost: float) -> Indices:
    """The choice (N,) from scores (N, K) with the largest sum, less a cost for each change."""
    total = scores[0]
    came = np.zeros(scores.shape, np.intp)
    every = np.arange(scores.shape[1])
    for number, score in enumerate(scores[1:], 1):
        best = int(total.argmax())
        came[number] = np.where(total[best] - cost > total, best, every)
        total = np.maximum(total, total[best] - cost) + score
    choice = np.empty(len(scores), np.intp)
    choice[-1] = total.argmax()
    for number in range(len(scores) - 1, 0, -1):
        choice[number - 1] = came[number, choice[number]]
    return choice


def _meeting(seconds: Seconds, shown: Seconds, rates: Seconds, first: int) -> float:
    """When the reel that ends before window ``first`` runs over into the next one."""
    before, after = slice(max(first - 5, 0), first), slice(first, first + 5)
    offsets = [np.median(shown[part] - rates[part][0] * seconds[part]) for part in (before, after)]
    meeting = float((offsets[0] - offsets[1]) / (rates[first] - rates[first - 1]))
    if seconds[before][-1] - NEAR_SECONDS < meeting < seconds[first] + NEAR_SECONDS:
        return meeting
    return float(seconds[first - 1] + seconds[first]) / 2


class _Offsets:
    """Finds the likeliest sequence of offsets, frame by frame.

    A state is an offset, in frames of the coloured film; considered are those near which windows
    lie. A frame gains by how well it resembles the one that an offset gives it. Changing the offset
    costs, and forwards only in the coloured film: what it lacks is passed in a gap, in which frames
    gain nothing.
    """

    def __init__(
        self, films: Films, windows: list[Window], rate: float, unlikeness: float | None = None
    ) -> None:
        self.films, self.rate = films, rate
        self.step = films.step_seconds(rate)
        reach = NEIGHBOURS * round(films.color.frame_seconds / self.step)
        self.around = np.arange(-reach, reach + 1)
        # Repeated frames come early and late in turn, which no single offset follows.
        is_even = self.step == films.color.frame_seconds
        self.slacks = (0.0,) if is_even else (-self.step / 2, self.step / 2)
        self.window_seconds = np.array([window.seconds for window in windows])
        offsets = np.array([window.offset_seconds for window in windows]) / self.step
        self.phase = float(np.angle(np.exp(2j * np.pi * offsets).mean()) / (2 * np.pi))
        self.window_states = np.round(offsets - self.phase).astype(np.int64)
        self.is_sharp = np.array([window.sharpness for window in windows]) > 0.5
        self.unlikeness = unlikeness or _usual_unlikeness([w.likeness for w in windows])

    def find(self) -> tuple[Seconds, float]:
        """The offset of each black-and-white frame, in seconds, and what they gain together.

        That is less what changes of offset cost; the offset of a frame without one is nan.
        """
        frames = len(self.films.bw)
        states = np.zeros(0, np.int64)
        on, off, left = np.zeros(0), np.zeros(0), np.zeros(0)
        history: list[_Step] = []
        for begin in range(0, frames, BLOCK_FRAMES):
            block = np.arange(begin, min(begin + BLOCK_FRAMES, frames))
            wanted = self._states(block)
            gains = self._gains(block, wanted)
            kept, moved, on, off, left = _carry(states, wanted, on, off, left)
            states = wanted
            for row, gain in enumerate(gains):
                step = _Step(states, None if row else (kept, moved))
                on, off, left = self._advance(step, begin + row, gain, on, off, left)
                history.append(step)
        return self._trace(history, on, off), float(max(on.max(), off.max()))

    def _offset(self, states: NDArray[np.int64]) -> Seconds:
        return np.asarray((states + self.phase) * self.step, np.float64)

    def _states(self, block: Indices) -> NDArray[np.int64]:
        """The states to consider for a block of frames, ascending."""
        begin, end = self.films.bw.seconds[block[[0, -1]]]
        low, high = np.searchsorted(self.window_seconds, (begin - NEAR_SECONDS, end + NEAR_SECONDS))
        near = set(range(low, high))
        for sure in (np.arange(len(self.is_sharp)), np.flatnonzero(self.is_sharp)):
            after = int(np.searchsorted(self.window_seconds[sure], begin))
            near |= {int(sure[n]) for n in (after - 1, after) if 0 <= n < len(sure)}
        return np.unique(self.window_states[sorted(near)][:, None] + self.around)

    def _gains(self, block: Indices, states: NDArray[np.int64]) -> Floats:
        """What each frame of a block gains in each state, (N, K).

        That of the best state tells whether the frame has a counterpart at all. By how much others
        are worse is known far better, as noise and grading are the same for all of them.
        """
        films = self.films
        times = self.rate * films.bw.seconds[block][:, None] + self._offset(states)
        unlikeness = np.empty(times.shape)
        strength = np.empty(times.shape)
        breaks = np.flatnonzero(np.diff(states) > 4 * NEIGHBOURS) + 1
        for part in np.split(np.arange(len(states)), breaks):
            found = films.color.at(times[:, part])
            lengths = films.color_vectors.lengths[found]
            strength[:, part] = np.maximum(films.bw_vectors.lengths[block][:, None], lengths)
            likeness = [films.likeness(block, times[:, part] + slack) for slack in self.slacks]
            unlikeness[:, part] = strength[:, part] - np.maximum.reduce(likeness)
        half = films.color.frame_seconds / 2
        first, last = films.color.seconds[[0, -1]]
        outside = (times < first - half) | (times > last + half)
        unlikeness[outside] = 5
        least = unlikeness.min(axis=1, keepdims=True)
        border = min(max(5 * self.unlikeness, 0.15), 0.5)
        gain = np.clip(1.5 * strength - 1.5 * least / border, -1.5, 1)
        noise = np.maximum(self.unlikeness, np.minimum(least, 0.5)) / 4
        gain -= np.minimum((unlikeness - least) / noise, 4)
        gain[outside] = -6
        return np.asarray(gain, np.float32)

    def _advance(
        self, step: _Step, frame: int, gain: Floats, on: Seconds, off: Seconds, left: Seconds
    ) -> tuple[Seconds, Seconds, Seconds]:
        """One frame further: scores in each state, in the gap after it, and when it was left."""
        count = len(on)
        every = np.arange(count)
        now = self.rate * self.films.bw.seconds[frame]
        offsets = self._offset(step.states)
        # From gaps: to where the coloured film is further than when the gap began.
        reachable = np.searchsorted(offsets, left - now + self.step / 2)
        order = np.argsort(off, kind="stable")
        order = order[reachable[order] < count]
        entry, entered = np.full(count, IMPOSSIBLE), np.full(count, -1)
        entry[reachable[order]], entered[reachable[order]] = off[order], order
        from_gap, gap_at = _running_max(entry)
        # From other states: over coloured frames that the other film lacks.
        best, best_at = _running_max(on)
        forward = np.concatenate(([IMPOSSIBLE], best[:-1] - JUMP_COST))
        ways = np.stack((on, forward, from_gap, np.zeros(count)))
        step.way = ways.argmax(axis=0).astype(np.uint8)
        forward_at = np.concatenate(([-1], best_at[:-1]))
        sources = np.stack((every, forward_at, entered[gap_at], np.full(count, -1)))
        step.source = sources[step.way, every].astype(np.int32)
        step.stays = off >= on - JUMP_COST
        left = np.where(step.stays, left, now - self._frame_seconds(frame) + offsets)
        off = np.where(step.stays, off, on - JUMP_COST)
        return ways[step.way, every] + gain, off, left

    def _frame_seconds(self, frame: int) -> float:
        seconds = self.films.bw.seconds
        return self.rate * float(seconds[frame] - seconds[frame - 1]) if frame else 0.0

    def _trace(self, history: list[_Step], on: Seconds, off: Seconds) -> Seconds:
        offsets = np.full(len(history), np.nan)
        in_gap = off.max() > on.max()
        state = int((off if in_gap else on).argmax())
        for frame in range(len(history) - 1, -1, -1):
            step = history[frame]
            if in_gap:
                in_gap = bool(step.stays[state])
            else:
                offsets[frame] = self._offset(step.states[state])
                way = step.way[state]
                if way == _ANEW:
                    break
                state, in_gap = int(step.source[state]), way == _FROM_GAP
            if step.origins is not None:
                state = int(step.origins[1 if in_gap else 0][state])
                if state < 0:
                    break
        return offsets


_FROM_GAP, _ANEW = 2, 3


class _Step:
    """How each state of a frame was reached.

    Attributes:
        origins: where the states of a new block, and the gaps after them, come from.
        way: 0 the same state, 1 a lower one, 2 a gap, 3 the beginning.
        stays: whether the gap is an old one.
    """

    __slots__ = ("origins", "source", "states", "stays", "way")

    def __init__(self, states: NDArray[np.int64], origins: tuple[Indices, Indices] | None) -> None:
        self.states, self.origins = states, origins
        self.way = np.zeros(0, np.uint8)
        self.source = np.zeros(0, np.int32)
        self.stays = np.zeros(0, np.bool_)


def _carry(
    old: NDArray[np.int64], new: NDArray[np.int64], on: Seconds, off: Seconds, left: Seconds
) -> tuple[Indices, Indices, Seconds, Seconds, Seconds]:
    """Take scores over to other states: of states that stay, and of all gaps, to the nearest."""
    kept, moved = np.full(len(new), -1), np.full(len(new), -1)
    on_new, off_new = np.full(len(new), IMPOSSIBLE), np.full(len(new), IMPOSSIBLE)
    left_new = np.zeros(len(new))
    if len(old):
        place = np.minimum(np.searchsorted(new, old), len(new) - 1)
        stays = np.flatnonzero(new[place] == old)
        kept[place[stays]], on_new[place[stays]] = stays, on[stays]
        order = np.argsort(off, kind="stable")  # the best gap comes last and wins
        moved[place[order]] = order
        off_new[place[order]], left_new[place[order]] = off[order], left[order]
    return kept, moved, on_new, off_new, left_new


def _running_max(values: Seconds) -> tuple[Seconds, Indices]:
    """The largest value up to each place, and where it stands."""
    largest = np.maximum.accumulate(values)
    at = np.maximum.accumulate(np.where(values >= largest, np.arange(len(values)), 0))
    return largest, at


def _stretches(offsets: Seconds, rate: float, placement: Placement) -> list[Stretch]:
    """Runs of frames with one offset."""
    stretches = []
    marks = np.where(np.isnan(offsets), -1e9, offsets)
    borders = np.flatnonzero(np.abs(np.diff(marks)) > 1e-6) + 1
    for begin, end in pairwise((0, *borders, len(offsets))):
        if not np.isnan(offsets[begin]):
            offset = float(offsets[begin])
            stretches.append(Stretch(int(begin), int(end), offset, rate, placement))
    return stretches


def bridge(films: Films, stretches: list[Stretch]) -> list[Stretch]:
    """Close gaps that both films pass at the same speed, unless what lies there contradicts it."""
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
    """Whether most frames resemble those at these times a little, or have little contrast."""
    if not len(frames):
        return True
    found = films.color.at(color_seconds)
    likeness = films.likeness(frames, color_seconds[:, None])[:, 0]
    contrasts = np.maximum(films.bw_vectors.contrasts[frames], films.color_vectors.contrasts[found])
    return bool(((likeness < UNLIKE) & (contrasts > CLEAR_CONTRAST)).mean() < 0.3)


def _likeness(films: Films, frames: Indices, color_seconds: Seconds) -> tuple[Floats, Floats]:
    """How much frames resemble those at these times, and how much there is to see, both (N,)."""
    found = films.color.at(color_seconds)
    strength = np.maximum(films.bw_vectors.lengths[frames], films.color_vectors.lengths[found])
    return films.likeness(frames, color_seconds[:, None])[:, 0], strength


def measure_confidence(films: Films, stretch: Stretch) -> float:
    """How sure a stretch is, from 0 to 1.

    The product of how much its pictures resemble each other, and how much better they do than at
    wrong times: with time mirrored, half a second and a second early and late. A stretch in which
    nothing moves, and no shot changes, does not tell when it is.
    """
    step = max((stretch.end - stretch.begin) // CONFIDENCE_FRAMES, 1)
    frames = np.arange(stretch.begin, stretch.end, step)
    times = stretch.color_seconds(films.bw.seconds[frames])
    likeness, strength = _likeness(films, frames, times)
    seen = float(strength.sum())
    if seen < 1:
        return 0.0
    right = float(likeness.sum()) / seen
    wrong_times = [times[0] + times[-1] - times, *(times + late for late in (-1, -0.5, 0.5, 1))]
    wrong = max(float(films.likeness(frames, t[:, None]).sum()) / seen for t in wrong_times)
    sharpness = max(right - wrong, 0) / (1.005 - right)
    picture = min(max((right - UNLIKE) / (ALIKE - UNLIKE), 0), 1)
    return picture * (1 - float(np.exp(-sharpness)))

"""The speed of one film relative to another, and reels whose speed differs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from filmcolorizer_cli.offsets import JUMP_COST, NEAR_SECONDS, Offsets
from filmcolorizer_cli.signatures import Seconds
from filmcolorizer_cli.similarity import (
    WINDOW_SECONDS,
    WINDOW_STEP_SECONDS,
    Films,
    Indices,
    Window,
    find_windows,
    mean_dissimilarity,
    usual_dissimilarity,
)

# Seconds of the coloured film per second of the other, likeliest first: the same speed, 23.976
# for 24 frames a second, PAL's 25, and both; then silent film at other speeds.
COMMON_RATES = tuple(
    map(
        Fraction,
        ("1", "1001/1000", "1000/1001", "24/25", "25/24", "960/1001", "1001/960"),
    )
)
SILENT_RATES = tuple(Fraction(n, 24) for n in (16, 18, 20, 22))
KNOWN_RATES = (*COMMON_RATES, *SILENT_RATES, *(1 / rate for rate in SILENT_RATES))
LIKELIER = 1.05  # factor of dissimilarity that a rate with the higher prior may have
RATE_LAG_CELLS = 40  # cells over which the chain's slope is measured
RATES = np.arange(0.5, 2.0, 0.02)  # rates to try, in steps that a window can distinguish
RATE_WINDOWS = 12  # windows whose pictures the rate is estimated from, at most
RATE_REACH = 0.03  # largest error of a rate estimated from pictures
RATE_STEP = 0.0001
SHORT_FILM_SECONDS = 60.0  # below this duration, rates are tried frame by frame
PLAUSIBLE = 4.0  # factor of the least dissimilarity up to which a rate is tried frame by frame
ABOUT_AS_GOOD = 0.9  # share of the best known rate's votes that suffices for a likelier one
RATE_DOUBT = 0.3  # share of the best rate's votes that suffices for a known one
REEL_VOTE_SECONDS = 20.0  # windows less than this far from a window vote for its rate
REEL_COST = 4.0  # cost of a change of rate, in windows whose neighbours all agree


def rate_of_chain(runs: list[Seconds], expected_rate: float) -> float:
    """Estimate the rate from the slope of a chain's runs, to within 0.01 or 0.02."""
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


def rate_of_pictures(films: Films, runs: list[Seconds], chain_rate: float) -> float:
    """Find the rate at which pictures within windows match best, to within 0.01 or 0.02.

    A chain advances in whole cells and underestimates the rate, over a few seconds by up to a
    third. Where nothing moves, all rates fit, and the chain's rate is kept.
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

    def dissimilarity(rate: float) -> float:
        return mean_dissimilarity(find_windows(films, parts, rate))

    dissimilarities = {rate: dissimilarity(rate) for rate in map(float, RATES)}
    best = min(dissimilarities, key=dissimilarities.__getitem__)
    if dissimilarity(chain_rate) <= LIKELIER * dissimilarities[best]:
        return chain_rate
    return _known_near(best)


def _known_near(rate: float) -> float:
    """Return the nearest known rate if it is close enough, else the rate itself."""
    nearest = min(map(float, KNOWN_RATES), key=lambda known: abs(known - rate))
    return nearest if abs(nearest - rate) < RATE_REACH / 2 else rate


def first_windows(
    films: Films, runs: list[Seconds], rate: float, expected_rate: float
) -> tuple[float, list[Window]]:
    """Return the rate, or a likelier one at which windows match about as well, and its windows."""
    windows = find_windows(films, runs, rate)
    if not windows:
        return rate, windows
    for likelier in _likely_rates(films, expected_rate):
        if likelier == rate:
            break
        others = find_windows(films, runs, likelier)
        own, other = (sum(1 - window.similarity for window in p) for p in (windows, others))
        if other < (LIKELIER + 1 / len(windows)) * own:  # few windows are weak evidence
            return likelier, others
    return rate, windows


def likeliest_rate(
    films: Films, runs: list[Seconds], expected_rate: float, found: set[float]
) -> tuple[float, list[Window]]:
    """Find the rate at which a short film is followed best, and its windows there.

    Within a few seconds, windows hardly distinguish a rate from splices: a coloured film that lacks
    a few frames seems to have a lower rate. Followed frame by frame, each splice costs only once,
    but a wrong rate costs all along.

    Args:
        found: rates to try besides the known ones and the expected one.
    """
    likely = _likely_rates(films, expected_rate)
    rates = dict.fromkeys((*likely, *map(float, KNOWN_RATES), *sorted(found)))
    ways = {rate: find_windows(films, runs, rate) for rate in rates}  # likeliest first
    dissimilarities = {rate: mean_dissimilarity(windows) for rate, windows in ways.items()}
    usual = min(usual_dissimilarity([w.similarity for w in windows]) for windows in ways.values())
    scores = {
        rate: Offsets(films, windows, rate, usual).find()[1]
        for rate, windows in ways.items()
        if dissimilarities[rate] <= PLAUSIBLE * min(dissimilarities.values())
    }
    enough = max(scores.values()) - JUMP_COST
    likeliest = next(rate for rate, score in scores.items() if score >= enough)
    return likeliest, ways[likeliest]


def _likely_rates(films: Films, expected_rate: float) -> list[float]:
    """Return the rates with the highest prior: frame for frame, if common, and the expected."""
    frame_by_frame = films.color.frame_seconds / films.bw.frame_seconds
    common = [float(known) for known in COMMON_RATES if abs(known - frame_by_frame) < 1e-4]
    return [*common, expected_rate]


def find_rate(
    windows: list[Window], rate: float, expected_rate: float, frame_seconds: float
) -> float:
    """Find the rate at which windows' offsets change least, preferring a known one.

    Each two windows up to two minutes apart vote for the rates at which their offsets would agree
    within half a frame. Closer agreement weighs more, and pairs 30 seconds apart weigh most.

    Args:
        rate: the rate at which the offsets were found.
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
    """A part of a black-and-white film that a coloured one shows at one rate.

    Attributes:
        begin_seconds: start in the black-and-white film.
        color_begin_seconds, color_end_seconds: range in the coloured film.
    """

    begin_seconds: float
    rate: float
    color_begin_seconds: float
    color_end_seconds: float


def find_reels(windows: list[Window], rate: float, frame_seconds: float) -> list[Reel]:
    """Split a film into reels where a known rate other than the film's holds for a while.

    Each window's neighbours vote for the rates at which their offsets agree with its own. The
    sequence of rates with the most votes wins, after subtracting a cost for each change.

    Args:
        rate: the film's main rate, at which the windows' offsets were found.
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
    """Return the index differences of windows up to ``seconds`` apart."""
    return range(1, int(seconds / WINDOW_STEP_SECONDS) + 1)


def _steady(scores: Seconds, cost: float) -> Indices:
    """Choose one of K for each of N scores (N, K): largest sum, minus a cost for each change."""
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
    """Return the time at which the reel of window ``first`` and the one before it meet."""
    before, after = slice(max(first - 5, 0), first), slice(first, first + 5)
    offsets = [np.median(shown[part] - rates[part][0] * seconds[part]) for part in (before, after)]
    meeting = float((offsets[0] - offsets[1]) / (rates[first] - rates[first - 1]))
    if seconds[before][-1] - NEAR_SECONDS < meeting < seconds[first] + NEAR_SECONDS:
        return meeting
    return float(seconds[first - 1] + seconds[first]) / 2

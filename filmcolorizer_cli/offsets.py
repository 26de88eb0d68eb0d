"""Likeliest sequence of offsets between two films, frame by frame (A. J. Viterbi, 1967)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import Floats
from filmcolorizer_cli.signatures import Seconds
from filmcolorizer_cli.similarity import Films, Indices, Window, usual_dissimilarity

JUMP_COST = 20.0  # cost of a change of offset; a frame that matches well gains 1
NEIGHBOURS = 6  # coloured frames to consider on either side of a likely offset
NEAR_SECONDS = 4.0  # a window's offset is considered this far before and after the window
BLOCK_FRAMES = 48  # frames with one set of states

# Transitions into a state: from itself, from a lower state, from a gap, and as the start.
_SAME, _FORWARD, _FROM_GAP, _START = range(4)


class _Scores(NamedTuple):
    """Best scores (K,) of the paths to a frame, for each of K states.

    Attributes:
        states: of paths that end in a state.
        gaps: of paths that end in a gap after a state; -inf for none.
        gap_starts: time in the coloured film, in seconds, at which that gap began.
    """

    states: Seconds
    gaps: Seconds
    gap_starts: Seconds


class Offsets:
    """A search for the likeliest sequence of offsets, frame by frame.

    A state is an offset, in steps of `Films.step_seconds`; states near the offsets of windows are
    considered. A frame gains by how well it matches the coloured frame at the offset. A change of
    offset has a cost and must move forwards in the coloured film. Frames that the coloured film
    lacks are passed over in a gap, in which they gain nothing.
    """

    def __init__(
        self, films: Films, windows: list[Window], rate: float, dissimilarity: float | None = None
    ) -> None:
        self.films, self.rate = films, rate
        self.step = films.step_seconds(rate)
        reach = NEIGHBOURS * round(films.color.frame_seconds / self.step)
        self.around = np.arange(-reach, reach + 1)
        # Repeated frames come alternately early and late, which no single offset can follow.
        is_even = self.step == films.color.frame_seconds
        self.slacks = (0.0,) if is_even else (-self.step / 2, self.step / 2)
        self.window_seconds = np.array([window.seconds for window in windows])
        offsets = np.array([window.offset_seconds for window in windows]) / self.step
        self.phase = float(np.angle(np.exp(2j * np.pi * offsets).mean()) / (2 * np.pi))
        self.window_states = np.round(offsets - self.phase).astype(np.int64)
        self.is_sharp = np.array([window.sharpness for window in windows]) > 0.5
        self.dissimilarity = dissimilarity or usual_dissimilarity([w.similarity for w in windows])

    def find(self) -> tuple[Seconds, float]:
        """Return the offset of each black-and-white frame, in seconds, and their total gain.

        The costs of changes are subtracted from the gain. Frames in gaps have the offset nan.
        """
        frames = len(self.films.bw)
        states = np.zeros(0, np.int64)
        scores = _Scores(np.zeros(0), np.zeros(0), np.zeros(0))
        history: list[_Step] = []
        for begin in range(0, frames, BLOCK_FRAMES):
            block = np.arange(begin, min(begin + BLOCK_FRAMES, frames))
            wanted = self._states(block)
            gains = self._gains(block, wanted)
            kept, moved, scores = _carry(states, wanted, scores)
            states = wanted
            for row, gain in enumerate(gains):
                step = _Step(states, None if row else (kept, moved))
                scores = self._advance(step, begin + row, gain, scores)
                history.append(step)
        return self._trace(history, scores), float(max(scores.states.max(), scores.gaps.max()))

    def _offset(self, states: NDArray[np.int64]) -> Seconds:
        return np.asarray((states + self.phase) * self.step, np.float64)

    def _states(self, block: Indices) -> NDArray[np.int64]:
        """Return the states to consider for a block of frames, ascending."""
        begin, end = self.films.bw.seconds[block[[0, -1]]]
        low, high = np.searchsorted(self.window_seconds, (begin - NEAR_SECONDS, end + NEAR_SECONDS))
        near = set(range(low, high))
        for sure in (np.arange(len(self.is_sharp)), np.flatnonzero(self.is_sharp)):
            after = int(np.searchsorted(self.window_seconds[sure], begin))
            near |= {int(sure[n]) for n in (after - 1, after) if 0 <= n < len(sure)}
        return np.unique(self.window_states[sorted(near)][:, None] + self.around)

    def _gains(self, block: Indices, states: NDArray[np.int64]) -> Floats:
        """Return the gain (N, K) of each frame of a block in each state.

        The best state's gain indicates whether the frame has a counterpart at all. How much worse
        the others are is known far more precisely, as noise and grading affect all alike.
        """
        films = self.films
        times = self.rate * films.bw.seconds[block][:, None] + self._offset(states)
        dissimilarity = np.empty(times.shape)
        strength = np.empty(times.shape)
        breaks = np.flatnonzero(np.diff(states) > 4 * NEIGHBOURS) + 1
        for part in np.split(np.arange(len(states)), breaks):
            found = films.color.at(times[:, part])
            strength[:, part] = films.strength(block, found)
            similarity = [films.similarity(block, times[:, part] + slack) for slack in self.slacks]
            dissimilarity[:, part] = strength[:, part] - np.maximum.reduce(similarity)
        half = films.color.frame_seconds / 2
        first, last = films.color.seconds[[0, -1]]
        outside = (times < first - half) | (times > last + half)
        dissimilarity[outside] = 5
        least = dissimilarity.min(axis=1, keepdims=True)
        border = min(max(5 * self.dissimilarity, 0.15), 0.5)
        gain = np.clip(1.5 * strength - 1.5 * least / border, -1.5, 1)
        noise = np.maximum(self.dissimilarity, np.minimum(least, 0.5)) / 4
        gain -= np.minimum((dissimilarity - least) / noise, 4)
        gain[outside] = -6
        return np.asarray(gain, np.float32)

    def _advance(self, step: _Step, frame: int, gain: Floats, scores: _Scores) -> _Scores:
        """Return the scores of a frame, given those before it, and fill in how it was reached."""
        count = len(scores.states)
        every = np.arange(count)
        now = self.rate * self.films.bw.seconds[frame]
        offsets = self._offset(step.states)
        # From gaps: to states in which the coloured film is further than when the gap began.
        reachable = np.searchsorted(offsets, scores.gap_starts - now + self.step / 2)
        order = np.argsort(scores.gaps, kind="stable")
        order = order[reachable[order] < count]
        entry, entered = np.full(count, -np.inf), np.full(count, -1)
        entry[reachable[order]], entered[reachable[order]] = scores.gaps[order], order
        from_gap, gap_at = _running_max(entry)
        # From lower states: skipping coloured frames that the other film lacks.
        best, best_at = _running_max(scores.states)
        forward = np.concatenate(([-np.inf], best[:-1] - JUMP_COST))
        ways = np.stack((scores.states, forward, from_gap, np.zeros(count)))  # by transition
        step.way = ways.argmax(axis=0).astype(np.uint8)
        forward_at = np.concatenate(([-1], best_at[:-1]))
        sources = np.stack((every, forward_at, entered[gap_at], np.full(count, -1)))
        step.source = sources[step.way, every].astype(np.int32)
        new_gaps = scores.states - JUMP_COST
        step.stays = scores.gaps >= new_gaps
        began = now - self._frame_seconds(frame) + offsets
        return _Scores(
            ways[step.way, every] + gain,
            np.where(step.stays, scores.gaps, new_gaps),
            np.where(step.stays, scores.gap_starts, began),
        )

    def _frame_seconds(self, frame: int) -> float:
        seconds = self.films.bw.seconds
        return self.rate * float(seconds[frame] - seconds[frame - 1]) if frame else 0.0

    def _trace(self, history: list[_Step], scores: _Scores) -> Seconds:
        offsets = np.full(len(history), np.nan)
        in_gap = scores.gaps.max() > scores.states.max()
        state = int((scores.gaps if in_gap else scores.states).argmax())
        for frame in range(len(history) - 1, -1, -1):
            step = history[frame]
            if in_gap:
                in_gap = bool(step.stays[state])
            else:
                offsets[frame] = self._offset(step.states[state])
                way = step.way[state]
                if way == _START:
                    break
                state, in_gap = int(step.source[state]), way == _FROM_GAP
            if step.origins is not None:
                state = int(step.origins[1 if in_gap else 0][state])
                if state < 0:
                    break
        return offsets


class _Step:
    """Back pointers: how each state of a frame was reached.

    Attributes:
        origins: for a block's first frame, the indices, in the block before, of the states and of
            the gaps after them; -1 for none.
        way: the transition, from `_SAME` to `_START`.
        stays: whether the gap after a state continues an earlier one.
    """

    __slots__ = ("origins", "source", "states", "stays", "way")

    def __init__(self, states: NDArray[np.int64], origins: tuple[Indices, Indices] | None) -> None:
        self.states, self.origins = states, origins
        self.way = np.zeros(0, np.uint8)
        self.source = np.zeros(0, np.int32)
        self.stays = np.zeros(0, np.bool_)


def _carry(
    old: NDArray[np.int64], new: NDArray[np.int64], scores: _Scores
) -> tuple[Indices, Indices, _Scores]:
    """Carry scores over to new states: of common states, and of each gap to the next state up.

    Returns:
        For each new state, the index of the old state and of the old gap that it takes over, or -1;
        and the scores.
    """
    kept, moved = np.full(len(new), -1), np.full(len(new), -1)
    states, gaps = np.full(len(new), -np.inf), np.full(len(new), -np.inf)
    gap_starts = np.zeros(len(new))
    if len(old):
        place = np.minimum(np.searchsorted(new, old), len(new) - 1)
        stays = np.flatnonzero(new[place] == old)
        kept[place[stays]], states[place[stays]] = stays, scores.states[stays]
        order = np.argsort(scores.gaps, kind="stable")  # the best gap comes last and wins
        moved[place[order]] = order
        gaps[place[order]] = scores.gaps[order]
        gap_starts[place[order]] = scores.gap_starts[order]
    return kept, moved, _Scores(states, gaps, gap_starts)


def _running_max(values: Seconds) -> tuple[Seconds, Indices]:
    """Return the largest value up to each place, and its index."""
    largest = np.maximum.accumulate(values)
    at = np.maximum.accumulate(np.where(values >= largest, np.arange(len(values)), 0))
    return largest, at

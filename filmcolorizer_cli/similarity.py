"""Similarity of the frames of two films, one by one and over a few seconds."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import Floats
from filmcolorizer_cli.registration import Comparison, Placement
from filmcolorizer_cli.signatures import Frames, Seconds, Signatures

VECTORS_AT_ONCE = 4096
WINDOW_SECONDS = 3.0  # duration over which one offset is searched for
WINDOW_STEP_SECONDS = 1.5

Indices = NDArray[np.intp]


class Vectors:
    """The vectors of a film's frames in a `Comparison`, stored in one byte per pixel.

    Attributes:
        contrasts: (N,): contrast of each picture; below 1, it is faint.
        lengths: (N,): 1, or less for faint pictures.
    """

    def __init__(self, comparison: Comparison, flat: Callable[[Frames], Floats], frames: Frames):
        parts, scales, contrasts = [], [], []
        for begin in range(0, len(frames), VECTORS_AT_ONCE):
            pictures = flat(frames[begin : begin + VECTORS_AT_ONCE])
            contrasts.append(comparison.contrast(pictures))
            vectors = comparison.normalised(pictures)
            largest = np.abs(vectors).max(axis=1, keepdims=True)
            rounded = np.round(vectors / np.maximum(largest, 1e-9) * 127)
            parts.append(rounded.astype(np.int8))
            # Rounding lengthens some vectors, which could raise correlations above 1.
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


class Films:
    """Two films and the vectors of their frames at one placement."""

    def __init__(self, bw: Signatures, color: Signatures, placement: Placement) -> None:
        comparison = Comparison(placement)
        self.bw, self.color, self.placement = bw, color, placement
        self.bw_vectors = Vectors(comparison, comparison.flat_bw, bw.frames)
        self.color_vectors = Vectors(comparison, comparison.flat_color, color.frames)

    def step_seconds(self, rate: float) -> float:
        """Return the step between distinguishable offsets.

        It is a coloured frame if each frame of the other film has one; otherwise half a frame, as
        repeated frames make finer offsets differ.
        """
        step = self.color.frame_seconds
        is_even = abs(rate * self.bw.frame_seconds / step - 1) < 0.01
        return step if is_even else step / 2

    def centre(self, frames: Indices, rate: float, offset: float) -> float:
        """Return the middle of the offsets at which 90 % of frames keep their counterparts."""
        times = rate * self.bw.seconds[frames]
        found = self.color.at(times + offset)
        half = self.color.frame_seconds / 2
        begin = self.color.seconds[found] - half
        end = self.color.seconds[np.minimum(found + 1, len(self.color) - 1)] - half
        end = np.maximum(end, begin + 2 * half)
        low, high = np.percentile(begin - times, 95), np.percentile(end - times, 5)
        return float(low + high) / 2 if low < high else offset

    def similarity(self, frames: Indices, color_seconds: Seconds) -> Floats:
        """Return the correlations (N, K) of N frames with the coloured frames at times (N, K)."""
        found = self.color.at(color_seconds)
        if found.shape[1] == 1:
            pairs = self.bw_vectors[frames], self.color_vectors[found[:, 0]]
            return np.asarray((pairs[0] * pairs[1]).sum(axis=1, keepdims=True))
        low, high = int(found.min()), int(found.max()) + 1
        table = self.bw_vectors[frames] @ self.color_vectors[low:high].T
        return np.asarray(np.take_along_axis(table, found - low, axis=1))

    def similarity_at(self, frames: Indices, color_seconds: Seconds) -> Floats:
        """Return the correlation (N,) of each frame with the coloured one at its time (N,)."""
        return self.similarity(frames, color_seconds[:, None])[:, 0]

    def strength(self, frames: Indices, color_frames: Indices) -> Floats:
        """Return how strong the pictures of N frames are, (N, ...): 1, or less if both are faint.

        Args:
            color_frames: (N, ...), their counterparts.
        """
        lengths = self.bw_vectors.lengths[frames]
        lengths = lengths.reshape(-1, *(1,) * (color_frames.ndim - 1))
        return np.asarray(np.maximum(lengths, self.color_vectors.lengths[color_frames]))


@dataclass(frozen=True)
class Window:
    """A few seconds of a black-and-white film, and their offset in the coloured one.

    Attributes:
        similarity: mean correlation of the pictures, up to 1.
        sharpness: how much worse offsets more than 2.5 frames away fit, relative to 1 - similarity;
            about 0 where nothing moves.
    """

    seconds: float
    offset_seconds: float
    similarity: float
    sharpness: float


def find_windows(films: Films, runs: list[Seconds], rate: float) -> list[Window]:
    """Find the offset of each few seconds along a chain's runs, to the frame."""
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
    similarity = films.similarity(frames, times).mean(axis=0)
    best = int(similarity.argmax())
    elsewhere = similarity[np.abs(offsets - offsets[best]) > 2.5 * films.color.frame_seconds]
    other = float(elsewhere.max()) if len(elsewhere) else float(similarity[best])
    sharpness = (similarity[best] - other) / (1.001 - similarity[best])
    offset = films.centre(frames, rate, float(offsets[best]))
    return Window(middle, offset, float(similarity[best]), float(sharpness))


def mean_dissimilarity(windows: list[Window]) -> float:
    """Return the geometric mean, as windows with cuts fit badly at any rate; 1 without windows."""
    dissimilarities = [1.001 - window.similarity for window in windows]
    return statistics.geometric_mean(dissimilarities) if dissimilarities else 1.0


def usual_dissimilarity(similarity: Floats | list[float]) -> float:
    """Estimate the dissimilarity of matching pictures, due to noise, grading and the like.

    Args:
        similarity: best correlations found; the better half is taken to be of true matches.
    """
    ascending = np.sort(similarity)
    return max(1 - float(np.median(ascending[len(ascending) // 2 :])), 0.02)

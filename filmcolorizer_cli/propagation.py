"""Propagation of colours along the motion: predicted in key frames, interpolated in between.

Within a shot the network predicts chroma for key frames only. Each prediction is averaged along the
motion with those of the key frames before, so that things keep their colours; what comes into view
again is looked up in remembered key frames. A shot that continues an earlier one starts with the
colours which that one ended with. The frames between two key frames mix the colours of both, warped
backward and forward. In a dissolve, given or detected, each key frame takes its own prediction
alone, and the frames between fade from one to the next.

Everything works on small planes, numpy (H, W) and (H, W, C), at the size that chroma is predicted
at: fine edges come from the luma along which chroma is upsampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.edits import ONE_SHOT, Edits
from filmcolorizer_cli.planes import Floats, Plane
from filmcolorizer_cli.warps import (
    LIT_CODE,
    LOST_CONFIDENCE,
    Motion,
    PastKey,
    Warp,
    has_dissolved,
    past_keys_of,
    pixel_coordinates,
    sample_bilinear,
    shows_same_scene,
    similarity,
)

Predict = Callable[[list[int]], Sequence[Floats]]

MAX_GAP = 24  # frames between two key frames, at most
# Share of the picture without correspondence in the last key frame, above which a frame becomes a
# key frame. A higher value raises PSNR a little, but the colours of running people stay on the
# background, and faces turn grey.
MAX_LOST = 0.3
# Weights count key frames. MAX_WEIGHT is about how many the running mean reaches back over.
# FIRST_WEIGHT is that of the first prediction of a thing, so that its colour does not swing before
# the mean has settled; pixels of less weight are looked up in remembered key frames.
MAX_WEIGHT = 48.0
FIRST_WEIGHT = 24.0

CONFIDENCE_EPSILON = 1e-3  # added, so that pixels without correspondence mix by time alone

# The bilateral grid from which newly visible pixels take the colour correction of their
# surroundings.
CELL_PIXELS = 8  # pixels per side of a cell
TONES = 16  # number of luma levels
GRID_BLURS = 3  # number of blurs, and of cells that corrections reach
CORRECTION_WEIGHT = 3.0  # weight of a correction by the surroundings, at most
KNOWN_WEIGHT = 4.0  # mean weight of the surroundings at which their correction counts in full
# Chroma difference between a pixel's correction and that of its surroundings which lowers its
# weight to 1/e: what passes before something flat leaves its colours there, a stain that would
# last.
STAIN_CHROMA = 0.08

BRIGHT_CODE = 128  # luma from which on predictions are fully reliable
# A picture with blacks has BLACK_PERCENT of its pixels below BLACK_CODE; otherwise it is washed
# out, as in a fade from white.
BLACK_CODE, BLACK_PERCENT = 64, 5
# Exponent of the share of lit pixels: while an iris opens, the picture is mostly black, and the
# network paints it brown.
LIT_POWER = 4
MIN_RELIABILITY = 0.002  # above 0, so that a weighted mean exists

# A pixel that comes into view again takes its colour from one of the remembered key frames, which
# are spread over time, as far as its own weight is low, most of its surroundings have a confident
# warp to that key frame, and the prediction is about the same in both.
MAX_REMEMBERED = 8  # key frames
MIN_UNKNOWN = 0.01  # mean of the unknown share of pixels up to which nothing is recalled
RECALL_RADIUS = 10  # pixels to each side, over which confidence and match are averaged
RECALL_CHROMA = 0.08  # chroma difference that lowers a recalled weight to 1/e

MAX_GAIN = 1.33  # largest gain on chroma, for colourfulness lost by averaging
MAX_GAIN_BETWEEN = 1.1  # the same, for what mixing two key frames loses
# How far a key frame ``MAX_GAP`` frames after the last one moves the gain to the value it needs
# itself; after fewer frames, it is less. A full step, or the same one at each of many key frames in
# a second, would make saturation pump.
GAIN_SHARE = 0.4


@dataclass(frozen=True)
class KeyFrame:
    """Colours of a key frame.

    Attributes:
        luma: (H, W), uint8.
        chroma: (H, W, 2), in [-0.5, 0.5], the running mean of predictions.
        weight: (H, W), number of key frames that the mean counts as, from ``FIRST_WEIGHT`` to
            ``MAX_WEIGHT``; less for dark pixels.
        gain: (), factor that makes chroma nearly as colourful again as the predictions.
    """

    luma: Plane
    chroma: Floats
    weight: Floats
    gain: Floats

    @classmethod
    def first(cls, luma: Plane, predicted: Floats) -> KeyFrame:
        """Return a key frame with the predicted colours alone, nothing being known before it."""
        return cls(luma, predicted, FIRST_WEIGHT * _reliability(luma), np.ones((), np.float32))

    def renewed(
        self,
        warp: Warp,
        luma: Plane,
        predicted: Floats,
        remembered: Sequence[KeyFrame] = (),
        *,
        gap: float = MAX_GAP,
    ) -> KeyFrame:
        """Return the next key frame, with this one's colours carried to it.

        Args:
            warp: from the next key frame to this one.
            luma, predicted: the next key frame's luma, and the chroma predicted for it.
            remembered: key frames before this one.
            gap: distance between both key frames, in frames.
        """
        reliability = _reliability(luma)
        weight, correction = self._warped(warp, predicted)
        same = similarity(self.luma, luma, warp)
        weight *= same
        # A prediction counts as a first one to the extent that its pixel comes out of the dark, as
        # in a fade, or its luma has changed altogether, as in a dissolve; grain hardly matters.
        # Where the warp is not confident, the surroundings decide.
        gained = np.maximum(reliability - warp.apply(_reliability(self.luma)), 0)
        anew = warp.confidence * (gained * same + reliability * (1 - same) ** 4)
        reliability_now = reliability + (FIRST_WEIGHT - 1) * anew
        unknown = 1 - np.minimum(weight / (FIRST_WEIGHT * reliability), 1)
        if remembered and unknown.mean() > MIN_UNKNOWN:
            more, recalled = _recall(remembered, luma, predicted, unknown)
            more *= unknown
            weight += more
            share = more / np.maximum(weight, 1e-6)
            correction += (recalled - correction) * share[..., None]
        around, weight_around = _spread(correction, weight, luma)
        weight *= np.exp(-np.square(correction - around).sum(axis=2) / STAIN_CHROMA**2)
        nearness = np.minimum(weight_around / KNOWN_WEIGHT, 1) * CORRECTION_WEIGHT * reliability
        total = correction * weight[..., None] + around * nearness[..., None]
        chroma = predicted + total / (weight + nearness + reliability_now)[..., None]
        lost = _colorfulness(predicted) / max(_colorfulness(chroma), 1e-6)
        share_of_gain = 1 - (1 - GAIN_SHARE) ** (gap / MAX_GAP)
        gain = self.gain + share_of_gain * (np.clip(lost, 1.0, MAX_GAIN) - self.gain)
        return KeyFrame(
            luma,
            chroma,
            np.clip(weight + reliability_now, FIRST_WEIGHT * reliability, MAX_WEIGHT),
            np.asarray(gain, np.float32),
        )

    def _warped(self, warp: Warp, predicted: Floats) -> tuple[Floats, Floats]:
        """Return the warped weight (H, W), and warped minus predicted chroma (H, W, 2)."""
        weight = warp.apply(self.weight) * warp.confidence
        return weight, warp.apply(self.chroma) - predicted

    def painted(self) -> Floats:
        """Return the chroma (H, W, 2) to paint with, about as colourful as the predictions."""
        return self.chroma * self.gain


@dataclass(frozen=True)
class ShotState:
    """State of a shot at one of its key frames.

    Attributes:
        key_frame: that key frame.
        count: number of key frames before it.
        remembered: some of these, by the number of key frames before each.
        past_keys: of earlier key frames, the latest first.
    """

    key_frame: KeyFrame
    count: int = 0
    remembered: Mapping[int, KeyFrame] = field(default_factory=dict)
    past_keys: Sequence[PastKey] = ()

    def next(self, key_frame: KeyFrame, past_keys: Sequence[PastKey] = ()) -> ShotState:
        """Return the state at the next key frame.

        Of too many remembered key frames, the one with the nearest neighbours is dropped.
        """
        remembered = {**self.remembered, self.count: self.key_frame}
        if len(remembered) > MAX_REMEMBERED:
            counts = list(remembered)
            gaps = {
                own: after - before
                for before, own, after in zip(counts, counts[1:], counts[2:], strict=False)
            }
            del remembered[min(gaps, key=lambda count: gaps[count])]
        return ShotState(key_frame, self.count + 1, remembered, past_keys)

    def returned(self, luma: Plane, predicted: Floats) -> ShotState | None:
        """Return the state at the first frame of a shot that continues this one.

        None where that frame shows another scene.
        """
        if not shows_same_scene(self.key_frame.luma, luma):
            return None
        warp = Motion(self.key_frame.luma, luma).backward
        remembered = list(self.remembered.values())
        # Other shots lie between, so a jump of saturation goes unnoticed.
        return self.next(self.key_frame.renewed(warp, luma, predicted, remembered, gap=math.inf))


class Propagator:
    """Propagation of colours through the frames of a shot, some frames at a time.

    Attributes:
        state: at the last frame so far; None before a shot's first one.
    """

    def __init__(self) -> None:
        self.state: ShotState | None = None
        self._earlier_shot: ShotState | None = None
        self._shot = 0
        self._shots: dict[int, ShotState] = {}  # others that ended, by their first frames' numbers

    def begin_shot(self, first_frame: int, edits: Edits = ONE_SHOT) -> None:
        """Start a shot with the next frame, from nothing or from where an earlier shot ended.

        Args:
            first_frame: number of that frame.
            edits: which shots may continue which; those that none continues are forgotten.
        """
        if self.state is not None:
            self._shots[self._shot] = replace(
                self.state, past_keys=()
            )  # past keys serve to find dissolves in a shot
        needed = {earlier for begin, earlier in edits.returns.items() if begin >= first_frame}
        self._shots = {shot: state for shot, state in self._shots.items() if shot in needed}
        self.state, self._shot = None, first_frame
        earlier = edits.returns.get(first_frame)
        self._earlier_shot = None if earlier is None else self._shots.get(earlier)

    def planes(self) -> dict[str, NDArray[Any]]:
        """Return the current state as named arrays, to resume from later; empty without any."""
        shots = {**self._shots, **({self._shot: self.state} if self.state else {})}
        saved = [
            (shot, count, key_frame)
            for shot, end in shots.items()
            for count, key_frame in ((end.count, end.key_frame), *end.remembered.items())
        ]
        if not saved:
            return {}
        begins, counts, stacked = zip(*saved, strict=True)
        planes = _stacked(stacked)
        if self.state and self.state.past_keys:
            planes |= {
                f"past {name}": plane for name, plane in _stacked(self.state.past_keys).items()
            }
        return {
            "shot": np.array(self._shot),
            "begin": np.array(begins),
            "count": np.array(counts),
            **planes,
        }

    @classmethod
    def from_planes(cls, planes: dict[str, NDArray[Any]]) -> Propagator:
        """Return a propagator that resumes where another one's `planes` were taken."""
        propagator = cls()
        if not planes:
            return propagator
        stacked = map(KeyFrame, *(planes[part.name] for part in fields(KeyFrame)))
        shots: dict[int, dict[int, KeyFrame]] = {}
        for begin, count, key_frame in zip(
            planes["begin"].tolist(), planes["count"].tolist(), stacked, strict=True
        ):
            shots.setdefault(begin, {})[count] = key_frame
        for begin, key_frames in shots.items():
            count = next(iter(key_frames))
            propagator._shots[begin] = ShotState(key_frames.pop(count), count, key_frames)
        propagator._shot = int(planes["shot"])
        propagator.state = propagator._shots.pop(propagator._shot, None)
        if propagator.state and "past luma" in planes:
            past_keys = map(PastKey, *(planes[f"past {part.name}"] for part in fields(PastKey)))
            propagator.state = replace(propagator.state, past_keys=list(past_keys))
        return propagator

    def propagate(
        self, lumas: Sequence[Plane], predict: Predict, *, dissolves: bool = False
    ) -> list[Floats]:
        """Return the chroma (H, W, 2) of the next frames of the shot; the last one is a key frame.

        Args:
            lumas: (H, W), uint8, one or more.
            predict: returns the network's chroma (H, W, 2) for the frames at these indices.
            dissolves: whether these frames lead to another picture, of which nothing is known yet.
        """
        if self.state is None:  # the first frame is a key frame
            first_luma, *lumas = lumas
            motions = _motions(first_luma, lumas)
            warps, keys = _find_keys(motions)
            first_predicted, *others = predict([0, *(key + 1 for key in keys)])
            self.state = self._first(first_luma, first_predicted)
            first = self.state.key_frame.painted()
            return [first, *self._fill(lumas, motions, warps, keys, others, dissolves)]
        motions = _motions(self.state.key_frame.luma, lumas)
        warps, keys = _find_keys(motions)
        return self._fill(lumas, motions, warps, keys, predict(keys), dissolves)

    def _first(self, luma: Plane, predicted: Floats) -> ShotState:
        """Return the state at a shot's first frame, continued from an earlier shot or predicted."""
        earlier, self._earlier_shot = self._earlier_shot, None
        returned = earlier.returned(luma, predicted) if earlier else None
        return returned or ShotState(KeyFrame.first(luma, predicted))

    def _fill(
        self,
        lumas: Sequence[Plane],
        motions: Sequence[Motion],
        warps: Sequence[Warp],
        keys: Sequence[int],
        predicted: Sequence[Floats],
        dissolves: bool,
    ) -> list[Floats]:
        """Return the chroma of the frames after the current key frame; the last is a key frame.

        Args:
            motions: to each of them from the frame before it.
            warps: from each of them to the key frame before it.
            predicted: the chroma predicted for the key frames.
        """
        assert self.state is not None
        chroma: list[Floats] = []
        for key, predicted_in_key in zip(keys, predicted, strict=True):
            first = len(chroma)
            before, luma, warp, gap = self.state.key_frame, lumas[key], warps[key], key + 1 - first
            past_keys = past_keys_of(before.luma, warp, gap, self.state.past_keys)
            restarts = dissolves or has_dissolved(past_keys, luma)
            if restarts:
                self.state = ShotState(
                    KeyFrame.first(luma, predicted_in_key), past_keys=() if dissolves else past_keys
                )
            else:
                remembered = list(self.state.remembered.values())
                key_frame = before.renewed(warp, luma, predicted_in_key, remembered, gap=gap)
                self.state = self.state.next(key_frame, past_keys)
            motions_between = motions[first + 1 : key + 1]
            earlier, later = before.painted(), self.state.key_frame.painted()
            between = _between(earlier, later, warps[first:key], motions_between)
            if not restarts:  # a dissolve may pass through grey
                between = _as_colorful(between, earlier, later)
            chroma += [*between, later]
        return chroma


def _stacked(parts: Sequence[KeyFrame] | Sequence[PastKey]) -> dict[str, NDArray[Any]]:
    """Stack the arrays of several key frames or past keys, by attribute name."""
    names = [part.name for part in fields(parts[0])]
    return {name: np.stack([getattr(part, name) for part in parts]) for name in names}


def _motions(first_luma: Plane, lumas: Sequence[Plane]) -> list[Motion]:
    """Return the motion from each frame to the next one."""
    return [Motion(*pair) for pair in pairwise([first_luma, *lumas])]


def _find_keys(motions: Sequence[Motion]) -> tuple[list[Warp], list[int]]:
    """Return each frame's warp to the key frame before it, and the indices of the key frames."""
    warps: list[Warp] = []
    keys: list[int] = []
    for number, motion in enumerate(motions):
        since = number - (keys[-1] if keys else -1)
        warps.append(motion.backward if since == 1 else motion.backward.composed_with(warps[-1]))
        lost = float((warps[-1].confidence < LOST_CONFIDENCE).mean())
        if lost > MAX_LOST or since == MAX_GAP or number == len(motions) - 1:
            keys.append(number)
    return warps, keys


def _recall(
    remembered: Sequence[KeyFrame], luma: Plane, predicted: Floats, unknown: Floats
) -> tuple[Floats, Floats]:
    """Recall colours of newly visible pixels from the most similar remembered key frame.

    Args:
        remembered: the key frames to choose from.
        luma, predicted: of the frame to recall colours for.
        unknown: (H, W), from 0 where a pixel's colour is well known to 1 where it is not known.

    Returns:
        As `KeyFrame._warped`, with the weight lowered where the match is doubtful.
    """

    def dissimilarity(key_frame: KeyFrame) -> float:
        return float(np.average(cv2.blur(cv2.absdiff(key_frame.luma, luma), side), weights=unknown))

    side = (2 * RECALL_RADIUS + 1,) * 2
    best = min(remembered, key=dissimilarity)
    warp = Motion(best.luma, luma).backward
    weight, correction = best._warped(warp, predicted)
    error = np.square(correction).sum(axis=2) / RECALL_CHROMA**2
    return weight * cv2.blur(warp.confidence, side) * np.exp(-error), correction


def _between(
    first: Floats, last: Floats, warps: Sequence[Warp], motions: Sequence[Motion]
) -> list[Floats]:
    """Return the chroma of the frames between two key frames.

    Args:
        first, last: the chroma (H, W, 2) of the key frames.
        warps: from each frame between to the first key frame.
        motions: from each frame between to the next frame.
    """
    chroma, forward = [], Warp.identity(last.shape[:2])
    for number in reversed(range(len(warps))):
        backward, forward = warps[number], motions[number].forward.composed_with(forward)
        share = (number + 1) / (len(warps) + 1)
        weight = (backward.confidence + CONFIDENCE_EPSILON) * (1 - share)
        weight = weight / (weight + (forward.confidence + CONFIDENCE_EPSILON) * share)
        earlier, later = (
            backward.apply(first),
            forward.apply(last),
        )
        chroma.append((later + (earlier - later) * weight[..., None]).astype(np.float32))
    return chroma[::-1]


def _as_colorful(mixed: Sequence[Floats], first: Floats, last: Floats) -> list[Floats]:
    """Raise the chroma of frames between two key frames to about their colourfulness."""
    strengths = np.linspace(_colorfulness(first), _colorfulness(last), len(mixed) + 2)[1:-1]
    lost = [s / max(_colorfulness(m), 1e-6) for s, m in zip(strengths, mixed, strict=True)]
    gains = np.clip(lost, 1.0, MAX_GAIN_BETWEEN).astype(np.float32)
    return [chroma * gain for chroma, gain in zip(mixed, gains, strict=True)]


def _reliability(luma: Plane) -> Floats:
    """Return how reliable predictions are, (H, W), from ``MIN_RELIABILITY`` to 1, by luma squared.

    So a shot that fades in from black gets the colours predicted later, not those of the dark. The
    same holds for one that fades in from white, as far as it lacks blacks, and for one whose iris
    opens, as far as it is shut.
    """
    blackest = np.percentile(luma, BLACK_PERCENT)
    contrast = np.float32(min((255 - blackest) / (255 - BLACK_CODE), 1.0))
    lit = np.float32((luma > LIT_CODE).mean() ** LIT_POWER)
    return np.clip(np.square(luma / np.float32(BRIGHT_CODE) * contrast) * lit, MIN_RELIABILITY, 1)


def _colorfulness(chroma: Floats) -> float:
    """Return the colourfulness of a picture: the spread of its chroma, and a share of its mean.

    As in Hasler and Süsstrunk 2003 (see `metrics.colorfulness`), but on Cb and Cr.
    """
    means, deviations = cv2.meanStdDev(chroma)
    return float(np.linalg.norm(deviations) + 0.3 * np.linalg.norm(means))


def _spread(planes: Floats, weight: Floats, luma: Plane) -> tuple[Floats, Floats]:
    """Average planes around each pixel, weighted, over near pixels that are about as bright.

    Uses a bilateral grid (Chen, Paris and Durand 2007): cells of some pixels and tones, blurred.

    Args:
        planes: (H, W, C).
        weight: (H, W).
        luma: (H, W), uint8.

    Returns:
        The means (H, W, C), and the mean weight of the averaged pixels, (H, W).
    """
    height, width = luma.shape
    rows, columns = -(-height // CELL_PIXELS), -(-width // CELL_PIXELS)
    tone = luma.astype(np.int64) * TONES // 256
    row, column = np.indices(luma.shape) // CELL_PIXELS
    cell = ((tone * rows + row) * columns + column).ravel()
    weighted = np.dstack((planes * weight[..., None], weight, np.ones_like(weight)))
    sums = [
        np.bincount(cell, plane.ravel(), TONES * rows * columns)
        for plane in weighted.transpose(2, 0, 1)
    ]
    grid = np.stack(sums, axis=1).reshape(TONES, rows, columns, -1).astype(np.float32)
    for _ in range(GRID_BLURS):
        for axis in (0, 1, 2):
            grid = _blurred(grid, axis)
    # The tones are layers below each other, ``rows`` cells each.
    coordinates = (pixel_coordinates(luma.shape) + 0.5) / CELL_PIXELS - 0.5
    coordinates = np.clip(coordinates, 0, (columns - 1, rows - 1))
    coordinates[..., 1] += tone * rows
    found = sample_bilinear(grid.reshape(TONES * rows, columns, -1), coordinates.astype(np.float32))
    weights, pixels = found[..., -2], np.maximum(found[..., -1], 1e-6)
    means = found[..., :-2] / np.maximum(weights, 1e-6)[..., None]
    return np.asarray(means, np.float32), np.asarray(weights / pixels, np.float32)


def _blurred(grid: Floats, axis: int) -> Floats:
    """Blur a grid along an axis with the kernel (1, 2, 1) / 4; beyond its ends are zeros."""
    padded = np.pad(grid, [(1, 1) if number == axis else (0, 0) for number in range(grid.ndim)])
    before, after = np.roll(padded, 1, axis), np.roll(padded, -1, axis)
    inner = [slice(1, -1) if number == axis else slice(None) for number in range(grid.ndim)]
    return np.asarray(((before + after) / 4 + padded / 2)[tuple(inner)])

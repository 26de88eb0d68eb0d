"""Colours carried along the motion: looked at in some frames, taken over by the frames between.

Within a shot the network looks at key frames alone. What it sees there is averaged along the motion
with what it saw in the key frames before, so that a thing keeps its colour; what comes into sight
again is looked up in key frames that are remembered. So is what an earlier shot ended with, where
the film goes back to it. The frames between two key frames take their colours from both, from where
the motion comes and where it leads. In a dissolve, told or noticed, each key frame has what is seen
in it alone, and the frames between go over from one to the next.

All of it is done on small planes, numpy (H, W) and (H, W, C), in the size that chroma is predicted
in: the fine edges come from the luma that chroma is enlarged along.
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

MAX_GAP = 24  # frames from one key frame to the next, where so many are given at once
# Of the picture, that a key frame may not explain of the frames that follow it. With more of it
# PSNR is a little better, but colours of who runs stay on what is behind, and faces turn grey.
MAX_LOST = 0.3
# Key frames that the mean of colours reaches back over, or so; and that the first sight of a thing
# counts as, so that its colour does not swing before the mean has settled. What counts less than
# that is looked up in key frames that are remembered.
MAX_WEIGHT = 48.0
FIRST_WEIGHT = 24.0

CONFIDENCE_EPSILON = 1e-3  # so that what no key frame explains is a plain mix of both

# The grid by which what comes into sight takes over how its surroundings were corrected.
CELL_PIXELS = 8
TONES = 16  # of luma, apart from each other
GRID_BLURS = 3  # steps of a cell, that corrections reach over
CORRECTION_WEIGHT = 3.0  # key frames that a correction by the surroundings counts as, at most
KNOWN_WEIGHT = 4.0  # mean age of these, from which on their correction counts in full
# By which a correction may differ from that of the surroundings, before what is known counts for
# 1/e: what passes before something flat leaves its colours there, a stain that would last.
STAIN_CHROMA = 0.08

BRIGHT_CODE = 128  # of luma from which on all is seen
# The luma that so much of a picture with blacks is darker than, at most; where it is more, all is
# washed out, as in a fade from white.
BLACK_CODE, BLACK_PERCENT = 64, 5
# The power of the share of pixels that are lit: while an iris opens, the network sees little else
# than black, and paints it brown.
LIT_POWER = 4
MIN_RELIABILITY = 0.002  # more than nothing, which no mean can be taken of

# What comes into sight again takes over what one of so many key frames before, apart in time, knew
# of it: where a pixel is hardly known, where the motion from there is trusted by most of what lies
# around, and where the network sees about the same in it.
MAX_REMEMBERED = 8
MIN_UNKNOWN = 0.01  # of the picture, that is hardly known; under it nothing is recalled
RECALL_RADIUS = 10  # pixels around a pixel
RECALL_CHROMA = 0.08  # of difference, which lowers the trust to 1/e

MAX_GAIN = 1.33  # of chroma, for what the mean of differing colours has lost of colourfulness
MAX_GAIN_BETWEEN = 1.1  # the same, for what two key frames lose when they are mixed
# By which a key frame decides on the gain after ``MAX_GAP`` frames; after fewer it does by less.
# All at once, or as much by each of many key frames in a second, saturation would pump.
GAIN_SHARE = 0.4


@dataclass(frozen=True)
class KeyFrame:
    """What is known of the colours of a key frame.

    Attributes:
        luma: (H, W), uint8.
        chroma: (H, W, 2), in [-0.5, 0.5], the mean of what the network saw.
        weight: (H, W), how many key frames they count as, from ``FIRST_WEIGHT`` to ``MAX_WEIGHT``;
            those of dark pixels count as less.
        gain: (), what makes them nearly as colourful again as the network saw the frame.
    """

    luma: Plane
    chroma: Floats
    weight: Floats
    gain: Floats

    @classmethod
    def first(cls, luma: Plane, predicted: Floats) -> KeyFrame:
        """Those of a frame before which nothing was known, as the network saw it."""
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
        """Those of the next key frame.

        Args:
            warp: of its pixels in this one.
            luma, predicted: its luma, and the chroma that the network saw.
            remembered: those of key frames before these.
            gap: how many frames later it is.
        """
        reliability = _reliability(luma)
        weight, correction = self._along(warp, predicted)
        same = similarity(self.luma, luma, warp)
        weight *= same
        # What comes out of the dark, as in a fade, is seen for the first time as far as it does; so
        # is what has changed altogether, as in a dissolve; what grain changes hardly is. Where the
        # motion is not trusted the surroundings tell.
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

    def _along(self, warp: Warp, predicted: Floats) -> tuple[Floats, Floats]:
        """The age (H, W) of what a trail leads to, and how its chroma (H, W, 2) differs."""
        weight = warp.apply(self.weight) * warp.confidence
        return weight, warp.apply(self.chroma) - predicted

    def painted(self) -> Floats:
        """The chroma (H, W, 2) to paint with: about as colourful as the network saw it."""
        return self.chroma * self.gain


@dataclass(frozen=True)
class ShotState:
    """What is known of a shot by one of its key frames.

    Attributes:
        key_frame: of that key frame.
        count: how many key frames led to it.
        remembered: the colours of some of these, by the number of those that led to them.
        past_keys: of earlier ones, the latest first.
    """

    key_frame: KeyFrame
    count: int = 0
    remembered: Mapping[int, KeyFrame] = field(default_factory=dict)
    past_keys: Sequence[PastKey] = ()

    def next(self, key_frame: KeyFrame, past_keys: Sequence[PastKey] = ()) -> ShotState:
        """The same with those of the next key frame.

        Of too many that are remembered, the one whose neighbours are the nearest goes.
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
        """What is known by the first frame of a shot that goes on with this one's end.

        None where it shows something else.
        """
        if not shows_same_scene(self.key_frame.luma, luma):
            return None
        warp = Motion(self.key_frame.luma, luma).backward
        remembered = list(self.remembered.values())
        # Nobody sees saturation jump that had another shot's between.
        return self.next(self.key_frame.renewed(warp, luma, predicted, remembered, gap=math.inf))


class Propagator:
    """Gives the frames of a shot their colours, some frames at a time.

    Attributes:
        state: by the last frame so far; None before a shot's first one.
    """

    def __init__(self) -> None:
        self.state: ShotState | None = None
        self._earlier_shot: ShotState | None = None
        self._shot = 0
        self._shots: dict[int, ShotState] = {}  # others that ended, by their first frames' numbers

    def begin_shot(self, first_frame: int, edits: Edits = ONE_SHOT) -> None:
        """Let the next frame come from nowhere, or from where an earlier shot ended.

        Args:
            first_frame: its number.
            edits: which shots may go on with which; what none does is forgotten.
        """
        if self.state is not None:
            self._shots[self._shot] = replace(
                self.state, past_keys=()
            )  # which nobody needs any more
        needed = {earlier for begin, earlier in edits.returns.items() if begin >= first_frame}
        self._shots = {shot: state for shot, state in self._shots.items() if shot in needed}
        self.state, self._shot = None, first_frame
        earlier = edits.returns.get(first_frame)
        self._earlier_shot = None if earlier is None else self._shots.get(earlier)

    def planes(self) -> dict[str, NDArray[Any]]:
        """What is known by now, by name, to go on from later; nothing where nothing is."""
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
    def of(cls, planes: dict[str, NDArray[Any]]) -> Propagator:
        """One that goes on from where another one's `planes` were taken."""
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
        """The chroma (H, W, 2) of the next frames of the shot; the last one is a key frame.

        Args:
            lumas: (H, W), uint8, one or more.
            predict: gives the chroma (H, W, 2) that the network sees in frames of these numbers.
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
        """What is known by a shot's first frame, as the network sees it or as one ended before."""
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
        """The chroma of frames that follow one whose colours are known; the last is a key frame.

        Args:
            motions: to each of them.
            warps: of each in the key frame before it.
            predicted: the chroma that the network sees in the key frames.
        """
        assert self.state is not None
        chroma: list[Floats] = []
        for key, predicted_in_key in zip(keys, predicted, strict=True):
            first = len(chroma)
            before, luma, warp, gap = self.state.key_frame, lumas[key], warps[key], key + 1 - first
            past_keys = past_keys_of(before.luma, warp, gap, self.state.past_keys)
            is_anew = dissolves or has_dissolved(past_keys, luma)
            if is_anew:
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
            if not is_anew:  # else colours may go through grey
                between = _as_colorful(between, earlier, later)
            chroma += [*between, later]
        return chroma


def _stacked(parts: Sequence[KeyFrame] | Sequence[PastKey]) -> dict[str, NDArray[Any]]:
    """The planes of several of a kind, by name."""
    names = [part.name for part in fields(parts[0])]
    return {name: np.stack([getattr(part, name) for part in parts]) for name in names}


def _motions(first_luma: Plane, lumas: Sequence[Plane]) -> list[Motion]:
    """From each frame to the next one."""
    return [Motion(*pair) for pair in pairwise([first_luma, *lumas])]


def _find_keys(motions: Sequence[Motion]) -> tuple[list[Warp], list[int]]:
    """The trail of each frame in the key frame before it, and which are key frames."""
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
    """What the one of some key frames that shows fresh pixels best knows of them.

    Args:
        remembered: those key frames.
        luma, predicted: of the frame that they are recalled in.
        unknown: (H, W), from 0 where all is known of a pixel to 1 where nothing is.

    Returns:
        As `KeyFrame._along` does.
    """

    def dissimilarity(key_frame: KeyFrame) -> float:
        return float(np.average(cv2.blur(cv2.absdiff(key_frame.luma, luma), side), weights=unknown))

    side = (2 * RECALL_RADIUS + 1,) * 2
    best = min(remembered, key=dissimilarity)
    warp = Motion(best.luma, luma).backward
    weight, correction = best._along(warp, predicted)
    error = np.square(correction).sum(axis=2) / RECALL_CHROMA**2
    return weight * cv2.blur(warp.confidence, side) * np.exp(-error), correction


def _between(
    first: Floats, last: Floats, warps: Sequence[Warp], motions: Sequence[Motion]
) -> list[Floats]:
    """The chroma of the frames between two key frames.

    Args:
        first, last: the chroma (H, W, 2) of these.
        warps: of these frames in the first one.
        motions: from each of them to the next.
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
    """The chroma of frames between two key frames, about as colourful again as these are."""
    strengths = np.linspace(_colorfulness(first), _colorfulness(last), len(mixed) + 2)[1:-1]
    lost = [s / max(_colorfulness(m), 1e-6) for s, m in zip(strengths, mixed, strict=True)]
    gains = np.clip(lost, 1.0, MAX_GAIN_BETWEEN).astype(np.float32)
    return [chroma * gain for chroma, gain in zip(mixed, gains, strict=True)]


def _reliability(luma: Plane) -> Floats:
    """How much is to be seen in the dark, (H, W), from ``MIN_RELIABILITY`` to 1, as luma's square.

    So a shot that fades in from black gets the colours of what is seen later, and not the dark's;
    one that fades in from white does, as far as it is without blacks; and one whose iris opens
    does, as far as it is shut.
    """
    blackest = np.percentile(luma, BLACK_PERCENT)
    contrast = np.float32(min((255 - blackest) / (255 - BLACK_CODE), 1.0))
    lit = np.float32((luma > LIT_CODE).mean() ** LIT_POWER)
    return np.clip(np.square(luma / np.float32(BRIGHT_CODE) * contrast) * lit, MIN_RELIABILITY, 1)


def _colorfulness(chroma: Floats) -> float:
    """How colourful a picture is: the spread of its chroma, and a share of their mean.

    As Hasler and Süsstrunk 2003 have it (see `metrics.colorfulness`), but in Cb and Cr.
    """
    means, deviations = cv2.meanStdDev(chroma)
    return float(np.linalg.norm(deviations) + 0.3 * np.linalg.norm(means))


def _spread(planes: Floats, weight: Floats, luma: Plane) -> tuple[Floats, Floats]:
    """Weighted means of planes over the near pixels that are about as bright, for each pixel.

    A bilateral grid (Chen, Paris and Durand 2007): cells of some pixels and tones, blurred.

    Args:
        planes: (H, W, C).
        weight: (H, W).
        luma: (H, W), uint8.

    Returns:
        The means (H, W, C), and the mean weight of these pixels, (H, W).
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
    # The tones' layers lie below each other, ``rows`` cells each.
    coordinates = (pixel_coordinates(luma.shape) + 0.5) / CELL_PIXELS - 0.5
    coordinates = np.clip(coordinates, 0, (columns - 1, rows - 1))
    coordinates[..., 1] += tone * rows
    found = sample_bilinear(grid.reshape(TONES * rows, columns, -1), coordinates.astype(np.float32))
    weights, pixels = found[..., -2], np.maximum(found[..., -1], 1e-6)
    means = found[..., :-2] / np.maximum(weights, 1e-6)[..., None]
    return np.asarray(means, np.float32), np.asarray(weights / pixels, np.float32)


def _blurred(grid: Floats, axis: int) -> Floats:
    """A grid with each cell mixed with its two neighbours along an axis, nothing being beyond."""
    padded = np.pad(grid, [(1, 1) if number == axis else (0, 0) for number in range(grid.ndim)])
    before, after = np.roll(padded, 1, axis), np.roll(padded, -1, axis)
    inner = [slice(1, -1) if number == axis else slice(None) for number in range(grid.ndim)]
    return np.asarray(((before + after) / 4 + padded / 2)[tuple(inner)])

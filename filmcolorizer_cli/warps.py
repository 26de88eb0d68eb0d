"""Where the pixels of a frame were in another one, how far that is certain, and what it tells.

All of it is done on small lumas (H, W), uint8, in the size that colours are carried in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import Floats, Plane

# Dense inverse search (Kroeger et al. 2016) begins at small copies of the pictures and ends at one
# half of their size, which is as fine as chroma needs.
FINEST_SCALE = 1
PATCH_STRIDE = 6  # of patches of 8 pixels; with 4 it takes half as long again
# What lowers the trust in a motion to 1/e: the distance, in pixels, by which the way there and back
# misses where it began, and the change of luma along it, in code values.
RETURN_PIXELS = 2.0
LUMA_CODES = 14.0
CHANGED_CODES = 14.0  # the same from one key frame to the next, which counts less colours there
LEVEL_RADIUS = 10  # pixels around a pixel, whose common change of luma is one of exposure
LOST_CONFIDENCE = 0.3  # under which a pixel counts as not explained

# What a shot that goes on with an earlier one begins with, of what that one ended with, by their
# motion at a usual contrast, since all of two dark pictures is about the same; of what has detail,
# since black, flat and what surrounds vignettes is the same everywhere. Of 60,000 pairs of photos,
# also darkened, noisy and vignetted ones, those that look alike at a glance had at most 0.26 in
# common; where a camera went on it was 0.33 and more, but where little was where it had been.
MIN_SAME = 0.3
USUAL_CONTRAST = 50.0  # standard deviation of luma, in codes
LIT_CODE = 20  # of luma, from which on a pixel is lit
MIN_SEEN = 0.2  # of the picture, that must have detail
DETAIL_AT_USUAL_CONTRAST = 12.0  # codes, of a pixel's surroundings

# A dissolve makes of a shot something else, though each step of its trails is trusted.
MIN_PAST_FRAMES, MAX_PAST_FRAMES = 10, 28  # back to the key frames that are compared
PAST_DISTANCE = 4  # frames, at least, between those that are kept
CORRELATION_RADIUS = 7  # pixels around a pixel, that are correlated
CORRELATION_NOISE = 3.0  # codes, that are no detail
MIN_DETAIL, MIN_LESS_DETAIL = 6.0, 3.0  # codes, of a pixel's surroundings in the one, the other
MAX_CHANGED_CORRELATION = 0.4  # of correlation, or less
# Of the picture, and of what trails claim of it, what is something else. In live action, also at
# twice its speed and with grain, 0.12 and more of the picture were up to 0.52 of what was claimed,
# and 0.05 and more up to 0.69; in 80 dissolves between such shots 0.05 and more were 0.74 or more.
MIN_CHANGED = ((0.15, 0.55), (0.05, 0.72))
# Trails in crowds, seas and rolling credits are wrong from the start: so few frames before, half of
# what they claim is something else already, of dissolves at most 0.47.
NEAR_FRAMES, MAX_CHANGED_NEAR = (3, 8), 0.5


@dataclass(frozen=True)
class Warp:
    """Where each pixel of a frame was, or is going to be, in another one.

    Attributes:
        coordinates: (H, W, 2), columns and rows there.
        confidence: (H, W), from 0 to 1.
    """

    coordinates: Floats
    confidence: Floats

    @classmethod
    def identity(cls, shape: tuple[int, ...]) -> Warp:
        """That of a frame in itself."""
        return cls(pixel_coordinates(shape), np.ones(shape, np.float32))

    def composed_with(self, further: Warp) -> Warp:
        """This trail, followed by that of the frame that it leads to.

        It is trusted as its least trusted step. Were the steps multiplied, nothing would be left
        after a second under grain or of somebody who walks, whose coat would be coloured anew in
        each key frame. The price: small misses of the way add up unseen, to a pixel or so at edges.
        """
        return Warp(
            self.apply(further.coordinates),
            np.minimum(self.confidence, self.apply(further.confidence)),
        )

    def apply(self, planes: Floats) -> Floats:
        """Planes (H, W) or (H, W, C) of the other frame, moved to where they are in this one."""
        return sample_bilinear(planes, self.coordinates)


class Motion:
    """How two frames that follow each other move.

    Args:
        before, after: their lumas (H, W), uint8.

    Attributes:
        backward: the `Warp` of the later frame in the earlier one.
        forward: that of the earlier frame in the later one.
    """

    def __init__(self, before: Plane, after: Plane) -> None:
        search = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_ULTRAFAST)
        search.setFinestScale(FINEST_SCALE)
        search.setPatchStride(PATCH_STRIDE)
        unknown = np.zeros((*before.shape, 2), np.float32)
        backward = np.asarray(search.calc(after, before, unknown.copy()), np.float32)
        forward = np.asarray(search.calc(before, after, unknown), np.float32)
        self.backward = _warp(after, before, backward, forward)
        self.forward = _warp(before, after, forward, backward)


@dataclass(frozen=True)
class PastKey:
    """An earlier key frame of a shot, and where the pixels of a later one were in it.

    Attributes:
        luma: (H, W), uint8, of the earlier one.
        coordinates, confidence: of the later one's `Warp` in it.
        frames: (), how many frames earlier it is.
    """

    luma: Plane
    coordinates: Floats
    confidence: Floats
    frames: NDArray[np.int64]

    def extended(self, warp: Warp, gap: int) -> PastKey:
        """The same for a frame so many frames later still, by its trail in the later one."""
        whole = warp.composed_with(Warp(self.coordinates, self.confidence))
        return PastKey(self.luma, whole.coordinates, whole.confidence, self.frames + gap)

    def changed_shares(self, luma: Plane) -> tuple[float, float]:
        """How much of the later frame, whose luma this is, shows something else than the earlier.

        Returns:
            The share of the picture, and of what the trail claims to show the same.
        """
        moved = sample_bilinear(self.luma.astype(np.float32), self.coordinates)
        correlation, less, more = _correlation(luma.astype(np.float32), moved)
        claimed = (
            (self.confidence > LOST_CONFIDENCE) & (less > MIN_LESS_DETAIL) & (more > MIN_DETAIL)
        )
        others = float((claimed & (correlation < MAX_CHANGED_CORRELATION)).mean())
        return others, others / max(float(claimed.mean()), 1e-6)


def past_keys_of(
    before: Plane, warp: Warp, gap: int, past_keys: Sequence[PastKey]
) -> list[PastKey]:
    """Of a key frame and those before it, for the next one, the latest first.

    Args:
        before: its luma.
        warp: of the next one in it.
        gap: how many frames later that is.
        past_keys: of those before it, the latest first.
    """
    kept: list[PastKey] = []
    for past_key in reversed(past_keys):  # the earliest first
        frames = int(past_key.frames) + gap
        is_apart = not kept or kept[-1].frames - frames >= PAST_DISTANCE
        if frames <= MAX_PAST_FRAMES and is_apart:
            kept.append(past_key.extended(warp, gap))
    return [PastKey(before, warp.coordinates, warp.confidence, np.array(gap)), *reversed(kept)]


def has_dissolved(past_keys: Sequence[PastKey], luma: Plane) -> bool:
    """Whether a frame, whose luma this is, shows something else than its shot did a while ago."""
    far = [key for key in past_keys if key.frames >= MIN_PAST_FRAMES]
    shares = (
        past_key.changed_shares(luma) for past_key in far[:1] + far[1:][-1:]
    )  # nearest, farthest
    if not any(
        of_picture > least and of_claimed > least_of_claimed
        for of_picture, of_claimed in shares
        for least, least_of_claimed in MIN_CHANGED
    ):
        return False
    near = [
        past_key for past_key in past_keys if NEAR_FRAMES[0] <= past_key.frames <= NEAR_FRAMES[1]
    ]
    return all(key.changed_shares(luma)[1] <= MAX_CHANGED_NEAR for key in near)


def shows_same_scene(ended: Plane, begun: Plane) -> bool:
    """Whether a frame that a shot begins with shows what another one ended with."""
    lit = np.maximum(ended, begun) > LIT_CODE
    if lit.mean() < MIN_SEEN:
        return False
    before, after = _contrasty(ended, lit), _contrasty(begun, lit)
    *_, more = _correlation(before.astype(np.float32), after.astype(np.float32))
    seen = lit & (more > DETAIL_AT_USUAL_CONTRAST)
    if seen.mean() < MIN_SEEN:
        return False
    warp = Motion(before, after).backward
    same = warp.confidence * similarity(before, after, warp)
    return float(same[seen].mean()) >= MIN_SAME


def similarity(luma: Plane, later: Plane, warp: Warp) -> Floats:
    """How much of what a later frame's trail leads to still looks alike, (H, W), from 0 to 1.

    A dissolve changes it bit by bit, so that each step of the trail is trusted.
    """
    moved = warp.apply(luma.astype(np.float32))
    return np.exp(-np.square(_change(later, moved) / CHANGED_CODES))


def _warp(luma: Plane, other: Plane, flow: Floats, flow_back: Floats) -> Warp:
    """A flow, trusted as far as it leads back, stays inside, and shows the same thing."""
    coordinates = pixel_coordinates(luma.shape) + flow
    miss_x, miss_y = cv2.split(flow + sample_bilinear(flow_back, coordinates))
    change = _change(luma, sample_bilinear(other.astype(np.float32), coordinates))
    error = (miss_x**2 + miss_y**2) / RETURN_PIXELS**2 + (change / LUMA_CODES) ** 2
    right, bottom = luma.shape[1] - 0.5, luma.shape[0] - 0.5
    is_inside = cv2.inRange(coordinates, (-0.5, -0.5), (right, bottom)) > 0
    return Warp(coordinates, np.exp(-error) * is_inside)


def _correlation(one: Floats, other: Floats) -> tuple[Floats, Floats, Floats]:
    """Of the surroundings of each pixel in two planes (H, W), with their details, in codes.

    Returns:
        The correlation (H, W), -1 to 1, lower where details are no more than noise; and the
        standard deviations (H, W) of what has less and of what has more detail.
    """
    side = (2 * CORRELATION_RADIUS + 1,) * 2
    products = np.dstack((one, other, one * one, other * other, one * other))
    mean, mean_other, square, square_other, product = cv2.split(cv2.blur(products, side))
    variance = np.maximum(square - mean * mean, 0)
    variance_other = np.maximum(square_other - mean_other * mean_other, 0)
    norm = np.sqrt((variance + CORRELATION_NOISE**2) * (variance_other + CORRELATION_NOISE**2))
    correlation = np.asarray((product - mean * mean_other) / norm, np.float32)
    less, more = np.minimum(variance, variance_other), np.maximum(variance, variance_other)
    return correlation, np.sqrt(less), np.sqrt(more)


def _contrasty(luma: Plane, lit: NDArray[np.bool_]) -> Plane:
    """A frame, the contrast of whose lit part is raised to a usual one, where it is less."""
    mean, deviation = float(luma[lit].mean()), max(float(luma[lit].std()), 1.0)
    gain = max(USUAL_CONTRAST / deviation, 1.0)
    return np.asarray(np.clip((luma - mean) * gain + mean, 0, 255), np.uint8)


def _change(luma: Plane, moved: Floats) -> Floats:
    """How a frame's luma differs from what moved there, (H, W), in codes, but for exposure."""
    change = luma - moved
    side = 2 * LEVEL_RADIUS + 1
    return np.asarray(change - cv2.blur(change, (side, side)), np.float32)


@cache
def pixel_coordinates(shape: tuple[int, ...]) -> Floats:
    """Where each pixel is: (H, W, 2), columns and rows; not to be changed."""
    rows, columns = np.indices(shape, np.float32)
    coordinates = np.stack((columns, rows), axis=2)
    coordinates.flags.writeable = False
    return coordinates


def sample_bilinear(planes: Floats, coordinates: Floats) -> Floats:
    """What planes (H, W) or (H, W, C) show at places (H, W, 2), bilinear; their edge beyond it."""
    remap: Any = cv2.remap  # whose stubs know no maps of one part
    shown = remap(planes, coordinates, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown, np.float32)

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
LOST_TRUST = 0.3  # under which a pixel counts as not explained

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
LEAST_SIGHT_FRAMES, MOST_SIGHT_FRAMES = 10, 28  # back to the key frames that are compared
SIGHT_DISTANCE = 4  # frames, at least, between those that are kept
SIGHT_RADIUS = 7  # pixels around a pixel, that are correlated
SIGHT_NOISE = 3.0  # codes, that are no detail
MIN_DETAIL, MIN_LESS_DETAIL = 6.0, 3.0  # codes, of a pixel's surroundings in the one, the other
SOMETHING_ELSE = 0.4  # of correlation, or less
# Of the picture, and of what trails claim of it, what is something else. In live action, also at
# twice its speed and with grain, 0.12 and more of the picture were up to 0.52 of what was claimed,
# and 0.05 and more up to 0.69; in 80 dissolves between such shots 0.05 and more were 0.74 or more.
ENOUGH_ELSE = ((0.15, 0.55), (0.05, 0.72))
# Trails in crowds, seas and rolling credits are wrong from the start: so few frames before, half of
# what they claim is something else already, of dissolves at most 0.47.
NEAR_FRAMES, MAX_ELSE_NEAR = (3, 8), 0.5


@dataclass(frozen=True)
class Trail:
    """Where each pixel of a frame was, or is going to be, in another one.

    Attributes:
        places: (H, W, 2), columns and rows there.
        trust: (H, W), from 0 to 1.
    """

    places: Floats
    trust: Floats

    @classmethod
    def still(cls, shape: tuple[int, ...]) -> Trail:
        """That of a frame in itself."""
        return cls(places_of(shape), np.ones(shape, np.float32))

    def on(self, further: Trail) -> Trail:
        """This trail, followed by that of the frame that it leads to.

        It is trusted as its least trusted step. Were the steps multiplied, nothing would be left
        after a second under grain or of somebody who walks, whose coat would be coloured anew in
        each key frame. The price: small misses of the way add up unseen, to a pixel or so at edges.
        """
        places = look_up(further.places, self.places)
        return Trail(places, np.minimum(self.trust, look_up(further.trust, self.places)))


class Motion:
    """How two frames that follow each other move.

    Args:
        before, after: their lumas (H, W), uint8.

    Attributes:
        back: the `Trail` of the later frame in the earlier one.
        forth: that of the earlier frame in the later one.
    """

    def __init__(self, before: Plane, after: Plane) -> None:
        search = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_ULTRAFAST)
        search.setFinestScale(FINEST_SCALE)
        search.setPatchStride(PATCH_STRIDE)
        unknown = np.zeros((*before.shape, 2), np.float32)
        back = np.asarray(search.calc(after, before, unknown.copy()), np.float32)
        forth = np.asarray(search.calc(before, after, unknown), np.float32)
        self.back = _trail(after, before, back, forth)
        self.forth = _trail(before, after, forth, back)


@dataclass(frozen=True)
class Sight:
    """An earlier key frame of a shot, and where the pixels of a later one were in it.

    Attributes:
        luma: (H, W), uint8, of the earlier one.
        places, trust: of the later one's `Trail` in it.
        frames: (), how many frames earlier it is.
    """

    luma: Plane
    places: Floats
    trust: Floats
    frames: NDArray[np.int64]

    def carried_on(self, trail: Trail, gap: int) -> Sight:
        """The same for a frame so many frames later still, by its trail in the later one."""
        whole = trail.on(Trail(self.places, self.trust))
        return Sight(self.luma, whole.places, whole.trust, self.frames + gap)

    def something_else(self, luma: Plane) -> tuple[float, float]:
        """How much of the later frame, whose luma this is, shows something else than the earlier.

        Returns:
            The share of the picture, and of what the trail claims to show the same.
        """
        moved = look_up(self.luma.astype(np.float32), self.places)
        correlation, less, more = _correlation(luma.astype(np.float32), moved)
        claimed = (self.trust > LOST_TRUST) & (less > MIN_LESS_DETAIL) & (more > MIN_DETAIL)
        others = float((claimed & (correlation < SOMETHING_ELSE)).mean())
        return others, others / max(float(claimed.mean()), 1e-6)


def sights_of(before: Plane, trail: Trail, gap: int, sights: Sequence[Sight]) -> list[Sight]:
    """Of a key frame and those before it, for the next one, the latest first.

    Args:
        before: its luma.
        trail: of the next one in it.
        gap: how many frames later that is.
        sights: of those before it, the latest first.
    """
    kept: list[Sight] = []
    for sight in reversed(sights):  # the earliest first
        frames = int(sight.frames) + gap
        is_apart = not kept or kept[-1].frames - frames >= SIGHT_DISTANCE
        if frames <= MOST_SIGHT_FRAMES and is_apart:
            kept.append(sight.carried_on(trail, gap))
    return [Sight(before, trail.places, trail.trust, np.array(gap)), *reversed(kept)]


def has_dissolved(sights: Sequence[Sight], luma: Plane) -> bool:
    """Whether a frame, whose luma this is, shows something else than its shot did a while ago."""
    far = [sight for sight in sights if sight.frames >= LEAST_SIGHT_FRAMES]
    shares = (sight.something_else(luma) for sight in far[:1] + far[1:][-1:])  # nearest, farthest
    if not any(
        of_picture > least and of_claimed > least_of_claimed
        for of_picture, of_claimed in shares
        for least, least_of_claimed in ENOUGH_ELSE
    ):
        return False
    near = [sight for sight in sights if NEAR_FRAMES[0] <= sight.frames <= NEAR_FRAMES[1]]
    return all(sight.something_else(luma)[1] <= MAX_ELSE_NEAR for sight in near)


def goes_on(ended: Plane, begun: Plane) -> bool:
    """Whether a frame that a shot begins with shows what another one ended with."""
    lit = np.maximum(ended, begun) > LIT_CODE
    if lit.mean() < MIN_SEEN:
        return False
    before, after = _contrasty(ended, lit), _contrasty(begun, lit)
    *_, more = _correlation(before.astype(np.float32), after.astype(np.float32))
    seen = lit & (more > DETAIL_AT_USUAL_CONTRAST)
    if seen.mean() < MIN_SEEN:
        return False
    trail = Motion(before, after).back
    same = trail.trust * likeness(before, after, trail)
    return float(same[seen].mean()) >= MIN_SAME


def likeness(luma: Plane, later: Plane, trail: Trail) -> Floats:
    """How much of what a later frame's trail leads to still looks alike, (H, W), from 0 to 1.

    A dissolve changes it bit by bit, so that each step of the trail is trusted.
    """
    moved = look_up(luma.astype(np.float32), trail.places)
    return np.exp(-np.square(_change(later, moved) / CHANGED_CODES))


def _trail(luma: Plane, other: Plane, flow: Floats, flow_back: Floats) -> Trail:
    """A flow, trusted as far as it leads back, stays inside, and shows the same thing."""
    places = places_of(luma.shape) + flow
    miss_x, miss_y = cv2.split(flow + look_up(flow_back, places))
    change = _change(luma, look_up(other.astype(np.float32), places))
    error = (miss_x**2 + miss_y**2) / RETURN_PIXELS**2 + (change / LUMA_CODES) ** 2
    right, bottom = luma.shape[1] - 0.5, luma.shape[0] - 0.5
    is_inside = cv2.inRange(places, (-0.5, -0.5), (right, bottom)) > 0
    return Trail(places, np.exp(-error) * is_inside)


def _correlation(one: Floats, other: Floats) -> tuple[Floats, Floats, Floats]:
    """Of the surroundings of each pixel in two planes (H, W), with their details, in codes.

    Returns:
        The correlation (H, W), -1 to 1, lower where details are no more than noise; and the
        standard deviations (H, W) of what has less and of what has more detail.
    """
    side = (2 * SIGHT_RADIUS + 1,) * 2
    products = np.dstack((one, other, one * one, other * other, one * other))
    mean, mean_other, square, square_other, product = cv2.split(cv2.blur(products, side))
    variance = np.maximum(square - mean * mean, 0)
    variance_other = np.maximum(square_other - mean_other * mean_other, 0)
    norm = np.sqrt((variance + SIGHT_NOISE**2) * (variance_other + SIGHT_NOISE**2))
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
def places_of(shape: tuple[int, ...]) -> Floats:
    """Where each pixel is: (H, W, 2), columns and rows; not to be changed."""
    rows, columns = np.indices(shape, np.float32)
    places = np.stack((columns, rows), axis=2)
    places.flags.writeable = False
    return places


def look_up(planes: Floats, places: Floats) -> Floats:
    """What planes (H, W) or (H, W, C) show at places (H, W, 2), bilinear; their edge beyond it."""
    remap: Any = cv2.remap  # whose stubs know no maps of one part
    shown = remap(planes, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown, np.float32)

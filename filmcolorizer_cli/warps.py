"""Dense correspondences between frames with their confidence, and shot checks built on them.

Everything works on small luma planes (H, W), uint8, at the size that colours are carried at.
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

# Dense inverse search (Kroeger et al. 2016) starts at small copies of the pictures and stops at
# half their size, which is as fine as chroma needs.
FINEST_SCALE = 1
PATCH_STRIDE = 6  # pixels between patches of 8x8 pixels; a stride of 4 takes half as long again
# What lowers the confidence to 1/e: the forward-backward error, in pixels, and the change of luma
# along the motion, in code values.
FORWARD_BACKWARD_PIXELS = 2.0
LUMA_CODES = 14.0
CHANGED_CODES = 14.0  # change of luma that lowers the similarity of two frames to 1/e
LEVEL_RADIUS = 10  # pixels around a pixel whose common change of luma counts as exposure
LOST_CONFIDENCE = 0.3  # below this confidence, a pixel counts as having no correspondence

# A shot continues an earlier one if confidence times similarity between the last frame of that one
# and its own first frame is at least MIN_SAME on average. It is measured at a usual contrast, since
# dark pictures differ little, and only where there is detail, since black, flat areas and the
# surroundings of vignettes match everywhere. Of 60,000 pairs of photos, including darkened, noisy
# and vignetted ones, those that look alike at a glance reached at most 0.26; where a camera
# continued, it was 0.33 or more, unless little had stayed in place.
MIN_SAME = 0.3
USUAL_CONTRAST = 50.0  # standard deviation of luma, in codes
LIT_CODE = 20  # luma above which a pixel counts as lit
MIN_COMPARABLE = 0.2  # share of the picture that must be lit and have detail
DETAIL_AT_USUAL_CONTRAST = 12.0  # local standard deviation, in codes, above which there is detail

# A dissolve replaces the picture although each step of the warps is confident. So a frame is
# compared with key frames some way back; distances are in frames, standard deviations in codes.
MIN_PAST_FRAMES, MAX_PAST_FRAMES = 10, 28  # how far back the compared key frames lie
PAST_DISTANCE = 4  # frames between past key frames that are kept, at least
CORRELATION_RADIUS = 7  # pixels to each side in the correlated window
CORRELATION_NOISE = 3.0  # standard deviation, in codes, that counts as noise
MIN_DETAIL, MIN_LESS_DETAIL = 6.0, 3.0  # local deviation in the more and the less detailed frame
MAX_CHANGED_CORRELATION = 0.4  # below this correlation, a pixel counts as changed
# A dissolve needs changed pixels above both shares of one of these pairs: of the picture, and of
# the pixels that the warp claims to match. In live action, also at twice its speed and with grain,
# changes of 0.12 or more of the picture made up at most 0.52 of the claimed pixels, and changes of
# 0.05 or more at most 0.69; in 80 dissolves between such shots, changes of 0.05 or more made up at
# least 0.74.
MIN_CHANGED = ((0.15, 0.55), (0.05, 0.72))
# Warps in crowds, seas and rolling credits are wrong from the start: over this few frames, half of
# the pixels they claim have changed already; in dissolves, at most 0.47.
NEAR_FRAMES, MAX_CHANGED_NEAR = (3, 8), 0.5


@dataclass(frozen=True)
class Warp:
    """Where each pixel of a frame lies in another one: the warp from the former to the latter.

    Attributes:
        coordinates: (H, W, 2), columns and rows in the other frame.
        confidence: (H, W), from 0 to 1.
    """

    coordinates: Floats
    confidence: Floats

    @classmethod
    def identity(cls, shape: tuple[int, ...]) -> Warp:
        """Return the warp from a frame to itself."""
        return cls(pixel_coordinates(shape), np.ones(shape, np.float32))

    def composed_with(self, further: Warp) -> Warp:
        """Return this warp followed by ``further``, which starts at the frame that this leads to.

        The confidence is that of the least confident step. A product of all steps would vanish
        within a second under grain or on a walking person, whose coat would be coloured anew in
        each key frame. The drawback: small errors add up unnoticed, to about a pixel at edges.
        """
        return Warp(
            self.apply(further.coordinates),
            np.minimum(self.confidence, self.apply(further.confidence)),
        )

    def apply(self, planes: Floats) -> Floats:
        """Return planes (H, W) or (H, W, C) of the other frame, aligned with this one."""
        return sample_bilinear(planes, self.coordinates)


class Motion:
    """Optical flow between two consecutive frames, in both directions.

    Args:
        before, after: their luma planes (H, W), uint8.

    Attributes:
        backward: the `Warp` from the later frame to the earlier one.
        forward: the `Warp` from the earlier frame to the later one.
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
    """An earlier key frame of a shot, with the warp from a later frame to it.

    Attributes:
        luma: (H, W), uint8, of the key frame.
        coordinates, confidence: of the `Warp` from the later frame to the key frame.
        frames: (), distance between the two, in frames.
    """

    luma: Plane
    coordinates: Floats
    confidence: Floats
    frames: NDArray[np.int64]

    def extended(self, warp: Warp, gap: int) -> PastKey:
        """Return this past key for a frame ``gap`` frames later, given the warp from there."""
        whole = warp.composed_with(Warp(self.coordinates, self.confidence))
        return PastKey(self.luma, whole.coordinates, whole.confidence, self.frames + gap)

    def changed_shares(self, luma: Plane) -> tuple[float, float]:
        """Measure how much of the later frame, given its luma, differs in content from the earlier.

        Returns:
            The changed share of the picture, and of the pixels that the warp claims to match.
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
    """Return the past keys of the next key frame, the latest first.

    Args:
        before: luma of the current key frame.
        warp: from the next key frame to the current one.
        gap: frames from the current key frame to the next one.
        past_keys: those of the current key frame, the latest first.
    """
    kept: list[PastKey] = []
    for past_key in reversed(past_keys):  # the earliest first
        frames = int(past_key.frames) + gap
        is_apart = not kept or kept[-1].frames - frames >= PAST_DISTANCE
        if frames <= MAX_PAST_FRAMES and is_apart:
            kept.append(past_key.extended(warp, gap))
    return [PastKey(before, warp.coordinates, warp.confidence, np.array(gap)), *reversed(kept)]


def has_dissolved(past_keys: Sequence[PastKey], luma: Plane) -> bool:
    """Whether a frame, given its luma, has other content than its shot did a while ago."""
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
    """Whether the first frame of a shot shows the scene that another shot ended with."""
    lit = np.maximum(ended, begun) > LIT_CODE
    if lit.mean() < MIN_COMPARABLE:
        return False
    before, after = _contrasty(ended, lit), _contrasty(begun, lit)
    *_, more = _correlation(before.astype(np.float32), after.astype(np.float32))
    has_detail = lit & (more > DETAIL_AT_USUAL_CONTRAST)
    if has_detail.mean() < MIN_COMPARABLE:
        return False
    warp = Motion(before, after).backward
    same = warp.confidence * similarity(before, after, warp)
    return float(same[has_detail].mean()) >= MIN_SAME


def similarity(luma: Plane, later: Plane, warp: Warp) -> Floats:
    """Return how similar the luma at both ends of a warp is, (H, W), from 0 to 1.

    A dissolve changes luma gradually, so each step of the warp stays confident.
    """
    moved = warp.apply(luma.astype(np.float32))
    return np.exp(-np.square(_change(later, moved) / CHANGED_CODES))


def _warp(luma: Plane, other: Plane, flow: Floats, flow_back: Floats) -> Warp:
    """Convert a flow to a warp, rated by forward-backward error, luma change and frame bounds."""
    coordinates = pixel_coordinates(luma.shape) + flow
    miss_x, miss_y = cv2.split(flow + sample_bilinear(flow_back, coordinates))
    change = _change(luma, sample_bilinear(other.astype(np.float32), coordinates))
    error = (miss_x**2 + miss_y**2) / FORWARD_BACKWARD_PIXELS**2 + (change / LUMA_CODES) ** 2
    right, bottom = luma.shape[1] - 0.5, luma.shape[0] - 0.5
    is_inside = cv2.inRange(coordinates, (-0.5, -0.5), (right, bottom)) > 0
    return Warp(coordinates, np.exp(-error) * is_inside)


def _correlation(one: Floats, other: Floats) -> tuple[Floats, Floats, Floats]:
    """Correlate the surroundings of each pixel in two planes (H, W), in codes.

    Returns:
        The correlation (H, W), from -1 to 1, lowered where details do not exceed noise; and the
        smaller and the larger of the two local standard deviations, (H, W) each.
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
    """Raise the contrast of a frame so that its lit part has the usual one, if it has less."""
    mean, deviation = float(luma[lit].mean()), max(float(luma[lit].std()), 1.0)
    gain = max(USUAL_CONTRAST / deviation, 1.0)
    return np.asarray(np.clip((luma - mean) * gain + mean, 0, 255), np.uint8)


def _change(luma: Plane, moved: Floats) -> Floats:
    """Return luma minus the warped luma, (H, W), in codes, without changes of exposure."""
    change = luma - moved
    side = 2 * LEVEL_RADIUS + 1
    return np.asarray(change - cv2.blur(change, (side, side)), np.float32)


@cache
def pixel_coordinates(shape: tuple[int, ...]) -> Floats:
    """Return the column and row of each pixel, (H, W, 2); cached, hence read-only."""
    rows, columns = np.indices(shape, np.float32)
    coordinates = np.stack((columns, rows), axis=2)
    coordinates.flags.writeable = False
    return coordinates


def sample_bilinear(planes: Floats, coordinates: Floats) -> Floats:
    """Sample planes (H, W) or (H, W, C) bilinearly at (H, W, 2), with replicated borders."""
    remap: Any = cv2.remap  # OpenCV's stubs require two maps
    shown = remap(planes, coordinates, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown, np.float32)

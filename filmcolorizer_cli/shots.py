"""Shot detection: which changes of the picture begin a shot, as opposed to light and flashes.

ffmpeg's scdet measures by how many codes the picture changes. It therefore misses cuts at low
contrast, as at night or in a faded print, and takes exposure flicker for cuts. So frames are also
compared with their brightness and contrast normalised.

Splices, camera starts, flashbulbs and lightning replace the picture for a moment. The picture after
such a flash either matches the one before it or begins a shot of its own.

An iris that opens or closes within a few frames does not change the picture inside it.

A shot often continues what an earlier one ended with: after an intertitle, in a dialogue that shows
two people in turn, and after a splice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from filmcolorizer_cli.planes import SMALL_SIZE, Floats, Plane, quantile

# Width and height that frames are scaled to, so that small movements do not count.
BLACK_CODE = 32  # luma code up to which a pixel is black; black bars are common to all shots
EXTREMES = 0.2, 0.8  # quantiles to which luma is clipped, so that subtitles do not count
NOISE_CODES = 1.1  # luma noise, added to a contrast before dividing by it
# Dissimilarity (0 to 2) above which frames may be of two shots, and by how much it must exceed that
# of the surrounding frames to prove a cut on its own. In live action, at full contrast or 0.4 of
# it, cuts had 0.23 or more, exceeding their surroundings by at least 0.2; other frames had up to
# 0.23, but exceeded theirs by no more than 0.06.
MIN_DISSIMILARITY, MIN_OUTSTANDING = 0.2, 0.18
# Seconds to either side of a frame that are its surroundings. Slow film shows each frame repeatedly
# and therefore changes by a jump every few frames.
AROUND_SECONDS = 0.13
# Irises. Minimum shares: of the frame that is lit before and after (without its edge), of the frame
# that is lit only once, and of the pixels lit at the smaller opening that are lit at the larger
# one. The inside may change by at most so many codes, and by such a share of the change outside: of
# 66,000 pairs of photos, some at night or within irises of their own, 47 met these limits; of
# irises that stay wider than a tenth of the frame, nearly all did.
MIN_INSIDE, MIN_OUTSIDE, MIN_COMMON = 0.01, 0.02, 0.9
MAX_INSIDE_CODES, MAX_INSIDE_SHARE = 8.0, 0.2
MAX_FLASH_SECONDS = 0.17  # longest flash; anything longer is a shot
MIN_FLASH_CHANGE = 12.0  # mean change of luma that a flash must exceed, in codes
# How much the picture after a flash may differ from the one before it: as a share of the change
# into the flash, and in codes. Different shots differ by more codes.
MAX_REST, MAX_REST_CODES = 0.35, 25.0
# How many shots back a shot may continue one, and the maximum dissimilarity of its first frame to
# that one's last frame. Shots recognisable as of one camera had up to 0.3, others 0.37 or more.
MAX_SHOTS_BACK, MAX_RETURN_DISSIMILARITY = 8, 0.33
MIN_LIT = 0.1  # share of the picture that must be lit to compare it with that of another shot
MIN_CONTRAST = 4.0  # minimum standard deviation of lit pixels for this comparison, in codes
MAX_CANDIDATES = 10_000  # frame pairs that may begin a shot, 1.5 kB each; more are noise


class Shots:
    """Detector of shot boundaries and flashes in frames that are added one by one.

    Args:
        frame_rate: frames per second.

    Attributes:
        flashes: the first frame of each flash and the first one after it, ascending.
    """

    def __init__(self, frame_rate: float) -> None:
        self.flashes: list[tuple[int, int]] = []
        self._changes: list[float] = []  # mean change of each frame from the one before, in codes
        self._dissimilarities: list[float] = []  # of each frame to the one before it
        self._irises: set[int] = set()  # frames whose iris is wider or narrower than just before
        # Frames that may begin a shot: by number, the frame before and the frame itself.
        self._candidates: dict[int, tuple[Plane, Plane]] = {}
        self._around = max(round(AROUND_SECONDS * frame_rate), 1)
        most = int(MAX_FLASH_SECONDS * frame_rate)
        self._frames: deque[Floats] = deque(maxlen=most + 1)  # latest frames, newest first

    def add(self, luma: Plane) -> None:
        """Analyse the next frame (H, W), uint8."""
        small = cv2.resize(luma, SMALL_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        changes = [float(np.abs(frame - small).mean()) for frame in self._frames]
        self._find_flash(changes)
        before = self._frames[0] if self._frames else small
        change, dissimilarity = changes[0] if changes else 0.0, _dissimilarity(before, small)
        may_begin = change > MAX_REST_CODES or dissimilarity > MIN_OUTSTANDING
        if may_begin and len(self._candidates) < MAX_CANDIDATES:
            pair = before.astype(np.uint8), small.astype(np.uint8)
            self._candidates[len(self._changes)] = pair
        if dissimilarity > MIN_OUTSTANDING and _is_iris(before, small):
            self._irises.add(len(self._changes))
        self._changes.append(change)
        self._dissimilarities.append(dissimilarity)
        self._frames.appendleft(small)

    def _find_flash(self, changes: Sequence[float]) -> None:
        """Record the flash that the next frame ends, if any, by its changes from the latest frames.

        Args:
            changes: mean differences in codes from the latest frames, the newest of them first.
        """
        number, peak = len(self._changes), 0.0
        for back, change in enumerate(changes):
            begin = number - back
            if self.flashes and begin < self.flashes[-1][1]:  # that is in the last flash
                break
            if peak > MIN_FLASH_CHANGE and change < min(MAX_REST * peak, MAX_REST_CODES):
                self.flashes.append((begin, number))
                break
            peak = max(peak, change)

    def begins(self, cuts: Sequence[int]) -> list[int]:
        """Return the numbers of the added frames that begin a shot, except the first frame.

        Args:
            cuts: the frames at which ffmpeg's scdet finds a cut, ascending. It compares a change
                with the change one frame earlier, so it finds no cut after a single stray frame.
        """
        in_flashes = {number for begin, end in self.flashes for number in range(begin, end + 1)}
        found = {
            cut
            for cut in cuts
            if cut < len(self._changes) and self._dissimilarities[cut] > MIN_DISSIMILARITY
        }
        behind = {cut + 1 for cut in found if self._is_alone(cut)}
        return sorted((found | behind | self._outstanding()) - in_flashes - self._irises)

    def returns(self, begins: Sequence[int]) -> dict[int, int]:
        """Find the shots that continue what an earlier one ended with.

        Args:
            begins: the first frames of shots, as the method `begins` returns them.

        Returns:
            For the first frame of each such shot, the first frame of the earlier one.
        """
        returns: dict[int, int] = {}
        ends: dict[int, Floats] = {}  # last frames of shots, by the number of their first one
        for shot, begin in zip((0, *begins), begins, strict=False):
            if begin not in self._candidates:
                continue
            end, first = (frame.astype(np.float32) for frame in self._candidates[begin])
            ends[shot] = end
            latest = list(ends)[-MAX_SHOTS_BACK:]
            differences = {
                shot: _dissimilarity_of_lit(ends[shot], first) for shot in reversed(latest)
            }
            best = min(differences, key=lambda shot: differences[shot])
            if differences[best] < MAX_RETURN_DISSIMILARITY:
                returns[begin] = best
        return returns

    def _is_alone(self, number: int) -> bool:
        """Whether the next frame differs greatly from this one, and the one after it hardly."""
        behind, later = (*self._changes[number + 1 : number + 3], 0.0, 0.0)[:2]
        return behind > MAX_REST_CODES and later < MAX_REST * behind

    def _outstanding(self) -> set[int]:
        """Return the frames whose dissimilarity far exceeds that of the frames around them."""
        dissimilarity = np.array(self._dissimilarities)
        padded = np.pad(dissimilarity, self._around)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._around)
        before, after = windows[: len(dissimilarity)], windows[self._around + 1 :]
        around = np.maximum(before.max(axis=1), after.max(axis=1))
        return {*np.flatnonzero(dissimilarity - around > MIN_OUTSTANDING).tolist()}


def _dissimilarity(one: Floats, other: Floats) -> float:
    """Return the dissimilarity of two small frames, 0 to 2, whatever their brightness and contrast.

    Apart from the allowance for noise, it is one minus their correlation inside any bars.
    """
    lit = np.maximum(one, other) > BLACK_CODE
    rows, columns = lit.any(axis=1), lit.any(axis=0)
    if not rows.any():
        return 0.0
    return _normalised_difference(one[rows][:, columns], other[rows][:, columns])


def _is_iris(one: Floats, other: Floats) -> bool:
    """Whether one of two small frames shows a part of the other, with black around it."""
    lit = one > BLACK_CODE, other > BLACK_CODE
    common, outside = lit[0] & lit[1], lit[0] ^ lit[1]
    inside = cv2.erode(common.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if common.sum() < MIN_COMMON * min(lit[0].sum(), lit[1].sum()):
        return False
    if inside.mean() < MIN_INSIDE or outside.mean() < MIN_OUTSIDE:
        return False
    change = np.abs(one - other)
    most = min(MAX_INSIDE_CODES, MAX_INSIDE_SHARE * float(change[outside].mean()))
    return float(change[inside].mean()) < most


def _dissimilarity_of_lit(one: Floats, other: Floats) -> float:
    """Return the dissimilarity of pixels lit in either frame: vignettes share the black around."""
    lit = np.maximum(one, other) > BLACK_CODE
    if lit.mean() < MIN_LIT or min(one[lit].std(), other[lit].std()) < MIN_CONTRAST:
        return 1.0  # there is too little to compare
    return _normalised_difference(one[lit], other[lit])


def _normalised_difference(one: Floats, other: Floats) -> float:
    return float(np.square(_details(one) - _details(other)).mean()) / 2


def _details(shown: Floats) -> Floats:
    """Normalise a small frame, clipped, to mean 0 and, but for the noise allowance, variance 1."""
    codes = shown.astype(np.uint8)
    darkest, brightest = (quantile(codes, share) for share in EXTREMES)
    limited = np.clip(shown, darkest, brightest)
    details: Floats = (limited - limited.mean()) / (limited.std() + NOISE_CODES)
    return details

"""Which changes of the picture begin a shot: not those of its light, nor those of a moment.

ffmpeg's scdet goes by how many codes the picture changes by. So it misses cuts where there is
little contrast, as at night or in a faded print, and takes flicker of the exposure for cuts. So the
picture without its light and contrast is looked at as well.

Splices, camera starts, flashbulbs and lightning make the picture something else for a moment. What
comes behind it is what was there before, or begins a shot of its own.

An iris that opens or shuts within a few frames leaves what it shows as it is.

A shot often goes on with what an earlier one ended with: behind an intertitle, where two people are
shown by turns as they talk, and behind a splice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from filmcolorizer_cli.planes import Floats, Plane, quantile

# Width and height that frames are looked at in, so that small movements do not count.
SMALL_SIZE = 32, 24
BLACK_CODE = 32  # up to which a row or column is black, as bars are, which all shots have in common
EXTREMES = 0.2, 0.8  # quantiles, to which luma is limited, so that subtitles do not count
NOISE_CODES = 1.1  # of luma, besides which a contrast is judged
# Unlikeness, 0 to 2, beyond which frames may be of two shots, and by how much more than that of the
# frames around it tells so alone. In live action, of full contrast or 0.4 of it, cuts had 0.23 or
# more, and 0.2 more than around them; other frames up to 0.23, but no more than 0.06 more.
MIN_DISSIMILARITY, MIN_OUTSTANDING = 0.2, 0.18
# Seconds around a frame; slow film changes by a jump every few frames, which are shown repeatedly.
AROUND_SECONDS = 0.13
# Of an iris: how much of a frame is inside of it, all but its edge, and outside, at least; and how
# much of what is lit while it is more shut is lit while it is more open. What is inside may change
# by so many codes, and by so much of what the outside changes by: of 66,000 pairs of photos, also
# at night and in irises of their own, 47 did, of irises that stay larger than a tenth of the width
# nearly all.
MIN_INSIDE, MIN_OUTSIDE, MIN_COMMON = 0.01, 0.02, 0.9
MAX_INSIDE_CODES, MAX_INSIDE_SHARE = 8.0, 0.2
MAX_SECONDS = 0.17  # of a moment; what lasts longer is seen as a shot
MIN_CHANGE = 12.0  # codes, that luma changes by in the mean
# How much the picture behind a flash may differ from that before it: of the change into the flash,
# and in codes, by which other shots differ more.
MAX_REST, MAX_REST_CODES = 0.35, 25.0
# How many shots back a shot may go on with what one ended with, and how unlike that may be. Those
# of one camera that a glance tells had up to 0.3, other ones 0.37 or more.
MAX_SHOTS_BACK, MAX_DISSIMILARITY = 8, 0.33
MIN_LIT = 0.1  # of the picture, that must be lit for it
MIN_CONTRAST = 4.0  # codes, standard deviation of what is lit
MAX_BORDERS = 10_000  # that are kept, of 1.5 kB; what has more is noise


class Shots:
    """Looks for the begins of shots, and for flashes, in frames that are added one by one.

    Args:
        frame_rate: frames a second.

    Attributes:
        flashes: the numbers of the first frames of flashes, and of those behind them, ascending.
    """

    def __init__(self, frame_rate: float) -> None:
        self.flashes: list[tuple[int, int]] = []
        self._changes: list[float] = []  # of each frame from the one before it, in codes
        self._dissimilarity: list[float] = []  # the same, without light and contrast
        self._irises: set[int] = set()  # frames that show more or less of the one before
        # What may begin a shot, and the frame before it, by the number of the first.
        self._borders: dict[int, tuple[Plane, Plane]] = {}
        self._around = max(round(AROUND_SECONDS * frame_rate), 1)
        most = int(MAX_SECONDS * frame_rate)
        self._frames: deque[Floats] = deque(maxlen=most + 1)  # those before, the last first

    def add(self, luma: Plane) -> None:
        """Look at the next frame (H, W), uint8."""
        small = cv2.resize(luma, SMALL_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        changes = [float(np.abs(frame - small).mean()) for frame in self._frames]
        self._find_flash(changes)
        before = self._frames[0] if self._frames else small
        change, dissimilarity = changes[0] if changes else 0.0, _dissimilarity(before, small)
        may_begin = change > MAX_REST_CODES or dissimilarity > MIN_OUTSTANDING
        if may_begin and len(self._borders) < MAX_BORDERS:
            pair = before.astype(np.uint8), small.astype(np.uint8)
            self._borders[len(self._changes)] = pair
        if dissimilarity > MIN_OUTSTANDING and _is_iris(before, small):
            self._irises.add(len(self._changes))
        self._changes.append(change)
        self._dissimilarity.append(dissimilarity)
        self._frames.appendleft(small)

    def _find_flash(self, changes: Sequence[float]) -> None:
        """Note the flash that the next frame ends, which differs so much from those before."""
        number, peak = len(self._changes), 0.0
        for back, change in enumerate(changes):
            begin = number - back
            if self.flashes and begin < self.flashes[-1][1]:  # still the same one
                break
            if peak > MIN_CHANGE and change < min(MAX_REST * peak, MAX_REST_CODES):
                self.flashes.append((begin, number))
                break
            peak = max(peak, change)

    def begins(self, cuts: Sequence[int]) -> list[int]:
        """The numbers of the frames, of those added, that begin a shot, but for the first one.

        Args:
            cuts: where ffmpeg's scdet finds that, ascending. It goes by how much more or less the
                picture changes than a frame before, so that it finds none behind a single frame of
                something else.
        """
        in_flashes = {number for begin, end in self.flashes for number in range(begin, end + 1)}
        found = {
            cut
            for cut in cuts
            if cut < len(self._changes) and self._dissimilarity[cut] > MIN_DISSIMILARITY
        }
        behind = {cut + 1 for cut in found if self._is_alone(cut)}
        return sorted((found | behind | self._outstanding()) - in_flashes - self._irises)

    def returns(self, begins: Sequence[int]) -> dict[int, int]:
        """Which shots go on with what an earlier one ended with.

        Args:
            begins: of shots, as the method `begins` gives them.

        Returns:
            By the number of a shot's first frame, that of the earlier shot.
        """
        returns: dict[int, int] = {}
        ends: dict[int, Floats] = {}  # by the first frames of the shots that end with them
        for shot, begin in zip((0, *begins), begins, strict=False):
            if begin not in self._borders:
                continue
            end, first = (frame.astype(np.float32) for frame in self._borders[begin])
            ends[shot] = end
            latest = list(ends)[-MAX_SHOTS_BACK:]
            differences = {
                shot: _dissimilarity_of_lit(ends[shot], first) for shot in reversed(latest)
            }
            best = min(differences, key=lambda shot: differences[shot])
            if differences[best] < MAX_DISSIMILARITY:
                returns[begin] = best
        return returns

    def _is_alone(self, number: int) -> bool:
        """Whether a frame is something else than what follows it, which stays as it is."""
        behind, later = (*self._changes[number + 1 : number + 3], 0.0, 0.0)[:2]
        return behind > MAX_REST_CODES and later < MAX_REST * behind

    def _outstanding(self) -> set[int]:
        """The frames that are by far less like the one before than those around them are."""
        dissimilarity = np.array(self._dissimilarity)
        padded = np.pad(dissimilarity, self._around)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._around)
        before, after = windows[: len(dissimilarity)], windows[self._around + 1 :]
        around = np.maximum(before.max(axis=1), after.max(axis=1))
        return {*np.flatnonzero(dissimilarity - around > MIN_OUTSTANDING).tolist()}


def _dissimilarity(one: Floats, other: Floats) -> float:
    """How unlike two small frames are without their light and contrast, 0 to 2.

    But for noise, it is one minus their correlation inside of bars.
    """
    lit = np.maximum(one, other) > BLACK_CODE
    rows, columns = lit.any(axis=1), lit.any(axis=0)
    if not rows.any():
        return 0.0
    return _difference(one[rows][:, columns], other[rows][:, columns])


def _is_iris(one: Floats, other: Floats) -> bool:
    """Whether one of two small frames shows a part of the other, and black around it."""
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
    """The same, of what is lit in either: the black around a vignette is that of all vignettes."""
    lit = np.maximum(one, other) > BLACK_CODE
    if lit.mean() < MIN_LIT or min(one[lit].std(), other[lit].std()) < MIN_CONTRAST:
        return 1.0  # nothing is to be seen
    return _difference(one[lit], other[lit])


def _difference(one: Floats, other: Floats) -> float:
    return float(np.square(_details(one) - _details(other)).mean()) / 2


def _details(shown: Floats) -> Floats:
    """What a small frame shows, of mean 0 and, but for noise, of variance 1."""
    codes = shown.astype(np.uint8)
    darkest, brightest = (quantile(codes, share) for share in EXTREMES)
    limited = np.clip(shown, darkest, brightest)
    details: Floats = (limited - limited.mean()) / (limited.std() + NOISE_CODES)
    return details

"""Which changes of the picture begin a shot: not those of a moment, after which it goes on.

Splices, camera starts, flashbulbs and lightning make the picture something else for a moment. What
comes behind it is what was there before, or begins a shot of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from filmcolorizer_cli.video import Floats, Plane

SIZE = 32, 24  # width and height that frames are looked at in, so that small movements do not count
MAX_SECONDS = 0.17  # of a moment; what lasts longer is seen as a shot
LEAST_CHANGE = 12.0  # codes, that luma changes by in the mean
# How much the picture behind a flash may differ from that before it: of the change into the flash,
# and in codes, by which other shots differ more.
MAX_REST, MAX_REST_CODES = 0.35, 25.0


class Flashes:
    """Looks for flashes in frames that are added one by one.

    Args:
        frame_rate: frames a second.

    Attributes:
        spans: the numbers of the first frames of flashes, and of those behind them, ascending.
    """

    def __init__(self, frame_rate: float) -> None:
        self.spans: list[tuple[int, int]] = []
        self._changes: list[float] = []  # of each frame, from the one before it
        most = int(MAX_SECONDS * frame_rate)
        self._frames: deque[Floats] = deque(maxlen=most + 1)  # those before, the last first

    def add(self, luma: Plane) -> None:
        """Look at the next frame (H, W), uint8."""
        small = cv2.resize(luma, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        changes = [float(np.abs(frame - small).mean()) for frame in self._frames]
        number, peak = len(self._changes), 0.0
        for back, change in enumerate(changes):
            begin = number - back
            if self.spans and begin < self.spans[-1][1]:  # still the same one
                break
            if peak > LEAST_CHANGE and change < min(MAX_REST * peak, MAX_REST_CODES):
                self.spans.append((begin, number))
                break
            peak = max(peak, change)
        self._changes.append(changes[0] if changes else 0.0)
        self._frames.appendleft(small)

    def shot_begins(self, cuts: Sequence[int]) -> list[int]:
        """The numbers of the frames, of those added, that begin a shot, but for the first one.

        Args:
            cuts: where ffmpeg's scdet finds that, ascending. It goes by how much more or less the
                picture changes than a frame before, so that it finds none behind a single frame of
                something else.
        """
        in_flashes = {number for begin, end in self.spans for number in range(begin, end + 1)}
        found = {cut for cut in cuts if cut < len(self._changes)}
        behind = {cut + 1 for cut in found if self._is_alone(cut)}
        return sorted((found | behind) - in_flashes)

    def _is_alone(self, number: int) -> bool:
        """Whether a frame is something else than what follows it, which stays as it is."""
        behind, later = (*self._changes[number + 1 : number + 3], 0.0, 0.0)[:2]
        return behind > MAX_REST_CODES and later < MAX_REST * behind

"""Cadence: how a film's pictures became video frames, one to one, repeated or in fields.

2:3 pulldown turns film of 24 pictures a second into NTSC video: of every four pictures, two are
shown for two fields and two for three, which makes five frames, two of them woven from two
pictures. Silent film, of 16 to 20 pictures a second, has pulldowns of three and four fields. In PAL
video a picture may consist of the last field of one frame and the first field of the next. DVDs
leave the pulldown to the player, by flags (soft pulldown). Where film is brought to 25 or 30 whole
frames a second, frames repeat the one before at regular intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.video import FIELDS, TIMELINE_FRAME_RATE, FieldOrder, Film

NTSC_FIELD_SECONDS, MAX_FIELD_TIME_ERROR_SECONDS = 1001 / 60000, 0.0025
MIN_SOFT_PULLDOWN = 0.3  # share of frames that last two fields, and of those that last three
PULLDOWN_CYCLE = 5  # fields from one repeated field to the next
MIN_CYCLE, MAX_CYCLE = 2, 25  # frames per cycle that ffmpeg's decimate supports
# Upper limits of differences, relative to the usual difference: between fields of one picture, and
# between repeated frames or fields.
MAX_OF_FIELDS, MAX_OF_REPEATS = 0.45, 0.3
MAX_ORDER_RATIO = 0.7  # a field order is clear if its measure is below this share of the other's
# Share of frames that repeat. The minimum finds one a second, which turns 24 frames into 25; the
# maximum excludes films that show each picture twice, of which any frame may be dropped. The last
# is the minimum share of repeated fields in film in fields.
MIN_REPEATS, MAX_REPEATS, MIN_REPEATED_FIELDS = 0.015, 0.42, 0.13
MIN_FIELD_TO_FRAME_REPEATS = 1.5  # minimum ratio of repeated fields to repeated frames
MIN_MOTION = 0.3  # luma codes by which a quarter of adjacent frames or more differ where film moves
MIN_FRAMES, MIN_MOVING_RUNS = 8, 2  # frames in a run, and number of runs, needed for a finding
TINY = 0.01  # luma codes; keeps ratios defined where nothing differs
# How many frames in runs must have one field order: as a share of all, as a count, and as a
# multiple of the frames with the other order. If any frame is progressive, one more frame is
# counted with the other order, because scrolling text looks interlaced now and then.
MIN_SHARE_INTERLACED, MIN_INTERLACED = 0.1, 2
MIN_INTERLACED_ODDS = 5

Differences = NDArray[np.float64]
Pictures = NDArray[np.int16]

# Frames a second. Above, pictures are shown so often that reading 24 frames a second misses none.
MAX_CADENCE_RATE = 31


@dataclass(frozen=True)
class Cadence:
    """How pictures became frames.

    Attributes:
        field_order: which of a frame's two fields was taken first; ``progressive`` if both were
            taken at once.
        fields_match: whether each field belongs to a whole film picture, whose other field may be
            in another frame.
        repeats: whether frames or fields regularly repeat earlier ones.
        is_soft_pulldown: whether frames alternately last two and three fields, as on DVDs, whose
            flags leave the pulldown to the player.
    """

    field_order: FieldOrder = "progressive"
    fields_match: bool = False
    repeats: bool = False
    is_soft_pulldown: bool = False

    @property
    def parity(self) -> str:
        """ffmpeg's name for which field comes first."""
        return FIELDS.get(self.field_order, "auto")

    @property
    def is_film_in_fields(self) -> bool:
        """Whether fields come from film pictures, rather than each from its own moment."""
        return self.field_order in FIELDS and (self.fields_match or self.repeats)

    @property
    def without_frame_repeats(self) -> Cadence:
        """This cadence if it has fields, else one to one, as repeated frames hide no picture."""
        return self if self.field_order != "progressive" else ONE_TO_ONE

    def cycle(self, frame_rate: Fraction, wanted: Fraction = TIMELINE_FRAME_RATE) -> int:
        """Return the cycle, in frames, of which one repeated frame is dropped; 0 to drop none.

        It is chosen so that about the wanted frame rate remains.

        Args:
            frame_rate: the film's frame rate.
            wanted: the frame rate that should remain.
        """
        if not self.repeats or wanted >= frame_rate:
            return 0
        cycle = round(frame_rate / (frame_rate - wanted))
        return cycle if MIN_CYCLE <= cycle <= MAX_CYCLE else 0

    def picture_rate(self, frame_rate: Fraction) -> Fraction:
        """Return the pictures per second that remain when `cycle` drops frames for the timeline."""
        cycle = self.cycle(frame_rate, TIMELINE_FRAME_RATE)
        return frame_rate * (cycle - 1) / cycle if cycle else frame_rate


ONE_TO_ONE = Cadence()


@dataclass(frozen=True)
class Run:
    """A run of consecutive frames.

    Attributes:
        seconds: when each frame begins.
        field_orders: which field of each frame is the earlier, from `sidecars.read_field_orders`.
        fields: (N, height, 2, width) top and bottom fields, downscaled, uint8; N may be 0 where
            fields need not be examined.
    """

    seconds: Sequence[float]
    field_orders: Sequence[str]
    fields: Plane


def may_be_pulled_down(film: Film) -> bool:
    """Whether a film may have more frames than pictures, or fields that match other frames'.

    Only cases that matter at 24 frames a second count. R'G'B' is excluded, as ffmpeg could compare
    it only after conversion.
    """
    is_faster = TIMELINE_FRAME_RATE < film.frame_rate <= MAX_CADENCE_RATE
    return is_faster and not av.VideoFormat(film.pixel_format).is_rgb


def find_cadence(runs: Sequence[Run]) -> Cadence:
    """Determine how pictures became the frames of a film, from runs all over it."""
    # The first and last frame of a run were compared with frames of another run.
    order = find_field_order([run.field_orders[1:-1] for run in runs])
    if runs and order == "progressive" and _is_soft_pulldown(runs):
        return Cadence(is_soft_pulldown=True)
    moving = [run.fields.astype(np.int16) for run in runs if _moves(run.fields)]
    if len(moving) < MIN_MOVING_RUNS:
        return Cadence(order)
    # Progressive pictures that move by one line a frame give the same result, without field order.
    if order in FIELDS and _shift(moving, order) < MAX_OF_FIELDS:
        return Cadence(order, fields_match=True)
    changes = [_changes(fields) for fields in moving]
    repeats = _share_of_repeated_frames(changes)
    pulldown = {first: _pulldown(changes, first) for first in FIELDS}
    if order in FIELDS:
        of_fields = _share_of_repeated_fields(changes)
        repeat = of_fields > max(MIN_REPEATED_FIELDS, MIN_FIELD_TO_FRAME_REPEATS * repeats)
        is_film = repeat or pulldown[order] < MAX_OF_FIELDS
        return Cadence(order, fields_match=is_film, repeats=is_film)
    # Noise may hide a field order. Where whole frames repeat, so do their fields.
    first, other = sorted(pulldown, key=lambda first: pulldown[first])
    is_film = pulldown[first] < min(MAX_OF_FIELDS, MAX_ORDER_RATIO * pulldown[other])
    if is_film and repeats < MIN_REPEATS:
        return Cadence(first, fields_match=True, repeats=True)
    return Cadence(repeats=MIN_REPEATS <= repeats <= MAX_REPEATS)


def find_field_order(runs: Sequence[Sequence[str]]) -> FieldOrder:
    """Determine the field order of a film from those of frames (`sidecars.read_field_orders`)."""
    counts = Counter(word for run in runs for word in run)
    top, bottom = counts["tff"], counts["bff"]
    others = min(top, bottom) + (1 if counts["progressive"] else 0)
    needed = max(
        MIN_SHARE_INTERLACED * counts.total(), MIN_INTERLACED_ODDS * others, MIN_INTERLACED
    )
    if max(top, bottom) < needed:
        return "progressive"
    return "top" if top > bottom else "bottom"


def _is_soft_pulldown(runs: Sequence[Run]) -> bool:
    """Whether many frames last two fields, and many last three."""
    intervals = np.concatenate([np.diff(run.seconds) for run in runs])
    two, three = (
        np.abs(intervals - n * NTSC_FIELD_SECONDS) < MAX_FIELD_TIME_ERROR_SECONDS for n in (2, 3)
    )
    return len(intervals) >= MIN_FRAMES and min(two.mean(), three.mean()) > MIN_SOFT_PULLDOWN


def _changes(fields: Pictures) -> Differences:
    """Return each field's mean difference (N - 1, 2) from the frame before, of (N, h, 2, w)."""
    changes: Differences = np.abs(np.diff(fields, axis=0)).mean(axis=(1, 3))
    return changes


def _moves(fields: Plane) -> bool:
    """Whether a run is long enough, and has enough motion, to show its cadence."""
    if len(fields) < MIN_FRAMES:
        return False
    return float(np.quantile(_changes(fields.astype(np.int16)), 0.75)) > MIN_MOTION


def _share_of_repeated_fields(runs: Sequence[Differences]) -> float:
    """Return the share of fields that hardly differ from the one before of the same parity."""
    changes = [run.reshape(-1) for run in runs]
    repeats = [run < MAX_OF_REPEATS * np.quantile(run, 0.75) for run in changes]
    return float(np.concatenate(repeats).mean())


def _share_of_repeated_frames(runs: Sequence[Differences]) -> float:
    """Return the share of frames that hardly differ from the one before.

    Only single repeats count: several in a row mean that motion comes to rest.
    """
    repeats = []
    for run in (changes.mean(axis=1) for changes in runs):
        beside = np.minimum(run[:-2], run[2:])
        repeats.append((run[1:-1] < MAX_OF_REPEATS * beside) & (beside > MIN_MOTION))
    return float(np.concatenate(repeats).mean())


def _pulldown(runs: Sequence[Differences], first: FieldOrder) -> float:
    """Return how much every fifth field differs from the frame before, relative to other fields.

    Args:
        runs: the result of `_changes` for each run.
        first: the field order to assume.
    """
    least = most = 0.0
    for changes in runs:
        in_turn = (changes if first == "top" else changes[:, ::-1]).reshape(-1)
        parted = (
            (in_turn[n::PULLDOWN_CYCLE].mean(), np.delete(in_turn, np.s_[n::PULLDOWN_CYCLE]))
            for n in range(PULLDOWN_CYCLE)
        )
        once, others = min(
            ((float(once), float(np.median(others))) for once, others in parted),
            key=lambda pair: (pair[0] + TINY) / (pair[1] + TINY),
        )
        least, most = least + once, most + others
    return (least + TINY) / (most + TINY)


def _shift(runs: Sequence[Pictures], first: FieldOrder) -> float:
    """Return the difference between a frame's last field and the next frame's first field.

    It is relative to the difference between the two fields of one frame.
    """
    later, earlier = (1, 0) if first == "top" else (0, 1)
    across = within = 0.0
    for fields in runs:
        last, following = fields[:-1, :, later], fields[1:, :, earlier]
        across += float(np.median(np.abs(last - following).mean(axis=(1, 2))))
        within += float(np.median(np.abs(last - fields[:-1, :, earlier]).mean(axis=(1, 2))))
    return (across + TINY) / (within + TINY)

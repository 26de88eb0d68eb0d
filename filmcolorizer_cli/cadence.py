"""How the pictures of a film became the frames of a video: one each, repeated, or in fields.

Film at 24 pictures a second became NTSC video by 2:3 pulldown: of each four pictures two are shown
for two fields and two for three, which makes five frames, two of them woven of two pictures. Silent
film, at 16 to 20 pictures a second, became it by pulldowns of three and four fields. In PAL video a
picture may be spread over the last field of one frame and the first one of the next. On DVDs the
pulldown is left to the player, by flags (soft pulldown). And where film was made 25 or 30 whole
frames a second, one of so many frames repeats the one before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.video import FIELDS, TIMELINE_FRAME_RATE, FieldOrder

NTSC_FIELD_SECONDS, ROUNDING_SECONDS = 1001 / 60000, 0.0025
MIN_SOFT_PULLDOWN = 0.3  # of all frames, that are shown for two fields, and for three
PULLDOWN_CYCLE = 5  # fields from one that repeats another to the next
MIN_CYCLE, MAX_CYCLE = 2, 25  # frames, that ffmpeg's decimate knows
# How much fields may differ that are said to be of one picture, by how much others do; and frames,
# or fields, that repeat.
MAX_OF_FIELDS, MAX_OF_REPEATS = 0.45, 0.3
MAX_OF_OTHER = 0.7  # of what is found by the other order of fields, that tells it apart
# Of all frames, that repeat: at least one a second, which makes 25 of 24, and not so many that each
# picture comes twice, when any may be left out. And of all fields, where film lies in them.
MIN_REPEATS, MAX_REPEATS, MIN_REPEATED_FIELDS = 0.015, 0.42, 0.13
MIN_OF_FRAMES = 1.5  # times as many fields as frames must repeat where pictures lie in fields
MIN_MOTION = 0.3  # luma codes by which at least a quarter of neighbours differ where anything moves
MIN_FRAMES, MIN_MOVING_RUNS = 8, 2  # of a run, and of runs, that tell
TINY = 0.01  # luma codes, less than which is nothing
# How many of the frames in runs must be made of two fields: of all, at least, and for each that has
# the other order. Where some are whole pictures, one such frame more than was seen is counted:
# scrolling letters look like two fields now and then.
MIN_SHARE_INTERLACED, MIN_INTERLACED = 0.1, 2
MIN_INTERLACED_ODDS = 5

Differences = NDArray[np.float64]
Pictures = NDArray[np.int16]


@dataclass(frozen=True)
class Cadence:
    """How pictures became frames.

    Attributes:
        field_order: which of a frame's two fields was taken first; ``progressive`` where both were
            at once.
        fields_match: whether each field belongs to a whole picture of film, though perhaps to that
            of another frame.
        repeats: whether some frames, or fields, repeat those before, time and again.
        is_soft_pulldown: whether frames are shown for two and for three fields by turns, as DVDs
            flag film for players to do the pulldown.
    """

    field_order: FieldOrder = "progressive"
    fields_match: bool = False
    repeats: bool = False
    is_soft_pulldown: bool = False

    @property
    def parity(self) -> str:
        """ffmpeg's name of which field comes first."""
        return FIELDS.get(self.field_order, "auto")

    @property
    def is_film_in_fields(self) -> bool:
        """Whether fields hold pictures of film, rather than each a moment of its own."""
        return self.field_order in FIELDS and (self.fields_match or self.repeats)

    @property
    def in_fields(self) -> Cadence:
        """The same without repeats of whole frames, which hide nothing of any picture."""
        return self if self.field_order != "progressive" else ONE_TO_ONE

    def cycle(self, frame_rate: Fraction, wanted: Fraction = TIMELINE_FRAME_RATE) -> int:
        """How many frames there are to one that repeats another and is left out; 0 if none is.

        So few are left out that about as many remain as are wanted.

        Args:
            frame_rate: that the film has.
            wanted: that is to remain.
        """
        if not self.repeats or wanted >= frame_rate:
            return 0
        cycle = round(frame_rate / (frame_rate - wanted))
        return cycle if MIN_CYCLE <= cycle <= MAX_CYCLE else 0

    def picture_rate(self, frame_rate: Fraction) -> Fraction:
        """How many pictures a second remain without what `cycle` leaves out for the timeline."""
        cycle = self.cycle(frame_rate, TIMELINE_FRAME_RATE)
        return frame_rate * (cycle - 1) / cycle if cycle else frame_rate


ONE_TO_ONE = Cadence()


@dataclass(frozen=True)
class Run:
    """Some consecutive frames.

    Attributes:
        seconds: when each begins.
        words: which field of each is the earlier, as `frames.read_fields` tells.
        fields: (N, height, 2, width) their top and bottom fields, small, uint8; N may be 0, where
            nothing is to be found in them.
    """

    seconds: Sequence[float]
    words: Sequence[str]
    fields: Plane


def find_cadence(runs: Sequence[Run]) -> Cadence:
    """How pictures became the frames of a film, by runs of frames from all over it."""
    # The first and last frame of a run were held against frames of another.
    order = find_field_order([run.words[1:-1] for run in runs])
    if runs and order == "progressive" and _is_soft_pulldown(runs):
        return Cadence(is_soft_pulldown=True)
    moving = [run.fields.astype(np.int16) for run in runs if _moves(run.fields)]
    if len(moving) < MIN_MOVING_RUNS:
        return Cadence(order)
    # A whole picture that moves by a line a frame looks the same, but in no order of fields.
    if order in FIELDS and _shift(moving, order) < MAX_OF_FIELDS:
        return Cadence(order, fields_match=True)
    changes = [_changes(fields) for fields in moving]
    repeats = _share_of_repeated_frames(changes)
    pulldown = {first: _pulldown(changes, first) for first in FIELDS}
    if order in FIELDS:
        of_fields = _share_of_repeated_fields(changes)
        repeat = of_fields > max(MIN_REPEATED_FIELDS, MIN_OF_FRAMES * repeats)
        is_film = repeat or pulldown[order] < MAX_OF_FIELDS
        return Cadence(order, fields_match=is_film, repeats=is_film)
    # Noise may hide an order of fields. Where whole frames repeat, their fields do as well.
    first, other = sorted(pulldown, key=lambda first: pulldown[first])
    is_film = pulldown[first] < min(MAX_OF_FIELDS, MAX_OF_OTHER * pulldown[other])
    if is_film and repeats < MIN_REPEATS:
        return Cadence(first, fields_match=True, repeats=True)
    return Cadence(repeats=MIN_REPEATS <= repeats <= MAX_REPEATS)


def find_field_order(runs: Sequence[Sequence[str]]) -> FieldOrder:
    """In which order the fields of frames were taken, by what `frames.read_fields` says of each."""
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
    """Whether frames are shown for two and for three fields by turns."""
    intervals = np.concatenate([np.diff(run.seconds) for run in runs])
    two, three = (np.abs(intervals - n * NTSC_FIELD_SECONDS) < ROUNDING_SECONDS for n in (2, 3))
    return len(intervals) >= MIN_FRAMES and min(two.mean(), three.mean()) > MIN_SOFT_PULLDOWN


def _changes(fields: Pictures) -> Differences:
    """How much each field differs (N - 1, 2) from that of the frame before; of (N, h, 2, w)."""
    changes: Differences = np.abs(np.diff(fields, axis=0)).mean(axis=(1, 3))
    return changes


def _moves(fields: Plane) -> bool:
    """Whether a run is long enough, and moves, so that its cadence is to be seen."""
    if len(fields) < MIN_FRAMES:
        return False
    return float(np.quantile(_changes(fields.astype(np.int16)), 0.75)) > MIN_MOTION


def _share_of_repeated_fields(runs: Sequence[Differences]) -> float:
    """How many fields hardly differ from the last of their parity, of all."""
    changes = [run.reshape(-1) for run in runs]
    repeats = [run < MAX_OF_REPEATS * np.quantile(run, 0.75) for run in changes]
    return float(np.concatenate(repeats).mean())


def _share_of_repeated_frames(runs: Sequence[Differences]) -> float:
    """How many frames hardly differ from the one before, of all.

    One alone: where several follow each other, what moves comes to rest.
    """
    repeats = []
    for run in (changes.mean(axis=1) for changes in runs):
        beside = np.minimum(run[:-2], run[2:])
        repeats.append((run[1:-1] < MAX_OF_REPEATS * beside) & (beside > MIN_MOTION))
    return float(np.concatenate(repeats).mean())


def _pulldown(runs: Sequence[Differences], first: FieldOrder) -> float:
    """How little one of each five fields differs from the last of its parity, by what others do.

    Args:
        runs: how much the top and bottom fields of frames differ from those of the frames before.
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
    """How little the last field of a frame differs from the first one of the next.

    By how much the two fields of a frame do.
    """
    later, earlier = (1, 0) if first == "top" else (0, 1)
    across = within = 0.0
    for fields in runs:
        last, following = fields[:-1, :, later], fields[1:, :, earlier]
        across += float(np.median(np.abs(last - following).mean(axis=(1, 2))))
        within += float(np.median(np.abs(last - fields[:-1, :, earlier]).mean(axis=(1, 2))))
    return (across + TINY) / (within + TINY)

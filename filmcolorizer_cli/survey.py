"""One look through a whole film before it is colorized.

Where its shots begin, and where they dissolve into each other, which of them are in colour already,
where the bars around the picture end, and how pictures became its frames.
"""

from __future__ import annotations

import math
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from filmcolorizer_cli.cadence import ONE_TO_ONE, Cadence, Run, find_cadence
from filmcolorizer_cli.dissolves import Dissolves
from filmcolorizer_cli.edits import Edits
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.frames import (
    Bursts,
    Sampling,
    can_match_fields,
    may_be_pulled_down,
    read_field_pictures,
    read_fields,
    read_strips,
    read_ticks,
    read_ycbcr,
)
from filmcolorizer_cli.planes import NEUTRAL, DeepPlane, Floats, Plane
from filmcolorizer_cli.progress import Track, no_track
from filmcolorizer_cli.shots import Shots
from filmcolorizer_cli.timeline import Spans, Timeline
from filmcolorizer_cli.video import FIELDS, MAX_FRAME_RATE, TIMELINE_FRAME_RATE, Film

WIDTH, HEIGHT = 128, 96  # pixels of the frames that are looked at for cuts and colour
FRAMES_A_SECOND = 6  # that are looked at for colour and dissolves

CELL = 8  # pixels, in width and height, of which chroma is the mean
TONES = 64  # of equally many pixels each, whose median chroma is taken for tint
# Chroma beyond the tint, in code values, above which a shot is in colour: of untinted film (dirt
# and noise of copies reach 1.4, colour films fall to 2.7), and how much more by each code value of
# tint, which strong compression leaves its traces of.
MIN_CHROMA = 1.6
MIN_CHROMA_OF_TINT = 0.03

# Runs of consecutive frames are looked at in full size: so far apart that short films have about
# RUNS of them, and long ones MAX_RUNS. A bit off half seconds, or they would be at the same places
# of each second, and perhaps never where a frame is repeated once a second.
MIN_RUN_DISTANCE_SECONDS, RUN_DISTANCE_SECONDS, OFF_SECONDS = 0.5, 1.5, 0.03
RUNS, MAX_RUNS = 40, 250
RUN_FRAMES = 10  # two of every five frames are combed where film became NTSC video

MAX_BLACK = 40  # luma code up to which a bar may be lifted, with its noise
PICTURE_LIFT = 10  # luma codes above the bar, which the picture must reach somewhere in the film
MIN_LIT = 0.6  # of the length of a bar's inner edge, where picture must begin
MIN_LIT_INSIDE = 0.9  # of the rows (columns) between bars: what is less is a title on black
EDGE_TOLERANCE = 0.02  # of the side, by which an edge may be slanted, bent or blurred
EDGE_TOLERANCE_PIXELS = 4
# Of a side. The dark part of a scene may look like one bar, but seldom like two alike.
MAX_BAR = 0.3
MAX_LONE_BAR = 0.04
MIN_BAR_OF_OTHER = 0.5

PEAK_FRAMES = 3  # that something is lit for, at least, to be picture
EDGE_CELLS = 4  # pixels of small frames, of both edges, by which these are blurred

LONGEST_FRAME_SECONDS = 0.1  # of what moves; slides are held for longer

LOOKS = 6  # short parts of a film that `glance` looks through
LOOK_SECONDS = 1.0
MIN_LOOKS_ALIKE = 2  # where an order of fields must be found, of which still pictures have none


@dataclass(frozen=True)
class PixelArea:
    """The picture inside its bars, in pixels of the upright frame.

    All edges are even, so that chroma planes of half the size can be cut as well, but for an edge
    of the frame itself where that is odd.
    """

    left: int
    top: int
    width: int
    height: int

    def of(self, luma: DeepPlane) -> DeepPlane:
        """The part of a luma plane (H, W) that is in it."""
        return luma[self.top : self.top + self.height, self.left : self.left + self.width]

    def of_chroma(self, chroma: DeepPlane) -> DeepPlane:
        """The part of chroma planes (2, ceil(H / 2), ceil(W / 2)) that is in it."""
        top, left = self.top // 2, self.left // 2
        bottom, right = top - -self.height // 2, left - -self.width // 2
        return chroma[:, top:bottom, left:right]

    def scaled(self, before: tuple[int, int], after: tuple[int, int]) -> PixelArea:
        """The same part of a frame that was resized, from and to these widths and heights."""
        left, right = (
            _scaled_edge(edge, before[0], after[0]) for edge in (self.left, self.left + self.width)
        )
        top, bottom = (
            _scaled_edge(edge, before[1], after[1]) for edge in (self.top, self.top + self.height)
        )
        return PixelArea(left, top, right - left, bottom - top)

    def framed(self, chroma: DeepPlane, shape: tuple[int, ...], neutral: int) -> DeepPlane:
        """Chroma of the area (2, ceil(height / 2), ceil(width / 2)), with neutral bars around it.

        Args:
            shape: of the frame's luma.
            neutral: the code of no colour.
        """
        if shape == (self.height, self.width):
            return chroma
        top, left = self.top // 2, self.left // 2
        bottom = -(-shape[0] // 2) - top - chroma.shape[1]
        right = -(-shape[1] // 2) - left - chroma.shape[2]
        return np.pad(chroma, ((0, 0), (top, bottom), (left, right)), constant_values=neutral)


def _scaled_edge(edge: int, before: int, after: int) -> int:
    """The even place of an edge when a side becomes so long; its end stays its end."""
    return after if edge == before else round(edge * after / before / 2) * 2


@dataclass(frozen=True)
class Survey:
    """What was found in a film, or in a part of one.

    Attributes:
        seconds: from the first frame looked at to the end of the last one.
        cuts: where shots begin, in seconds from the first frame, ascending; 0 is not among them.
        dissolves: begins and ends, in seconds, known to a sixth of one (to a frame of films with
            fewer), of what leads from one picture to another without a cut, ascending.
        returns: where shots begin, in seconds, that may go on with what an earlier one ended with,
            and where that one does, ascending.
        colored: begins and ends, in seconds, of whole shots that are in colour already, ascending;
            those that follow each other are one.
        area: the picture without black bars at its sides.
        cadence: how pictures became frames, as measured, whatever the film is flagged as; one each,
            or one for each woven frame, in doubt.
    """

    seconds: float
    cuts: tuple[float, ...]
    dissolves: Spans
    returns: Spans
    colored: Spans
    area: PixelArea
    cadence: Cadence

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Survey:
        """What `dataclasses.asdict` and JSON made of one."""
        dissolves, returns, colored = (
            tuple((first, second) for first, second in plain[name])
            for name in ("dissolves", "returns", "colored")
        )
        return cls(
            plain["seconds"],
            tuple(plain["cuts"]),
            dissolves,
            returns,
            colored,
            PixelArea(**plain["area"]),
            Cadence(**plain["cadence"]),
        )

    def edits(self, times: Timeline) -> Edits:
        """In numbers of the frames that are shown at these times."""
        at = times.number_at
        return Edits(
            cuts=[at(cut) for cut in self.cuts],
            dissolves=[(at(begin), at(end)) for begin, end in self.dissolves],
            returns={at(begin): at(earlier) for begin, earlier in self.returns},
        )


def survey(
    film: Film,
    *,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    frame_rate: Fraction = TIMELINE_FRAME_RATE,
    damage: Spans | None = None,
    cadence_to_be: Callable[[Cadence], Cadence] = lambda found: found,
    track: Track = no_track,
) -> Survey:
    """Look through a film, or a part of one, in one pass; in two where pictures are no frames.

    A cut may lie between the two fields of a frame. Whole pictures made of them show what the first
    one does, so that the first ones alone tell where the cut will be. Where film lies in fields, or
    frames are left out, the second pass is at what is left.

    Args:
        start_seconds, duration_seconds: the part to look at; to the film's end when not given.
        frame_rate: frames a second that are looked at for cuts.
        damage: what is left out, as in a `Sampling`.
        cadence_to_be: by which the film will be read, by what is found.
        track: wraps the frames, given their number and a label, to show progress.

    Raises:
        VideoError: the film is broken or cut short.
    """
    part = start_seconds, duration_seconds
    found, runs = _look(film, *part, frame_rate, damage, ONE_TO_ONE, track)
    found = replace(found, cadence=_cadence(film, runs))
    cadence = cadence_to_be(found.cadence)
    is_retimed = cadence.is_soft_pulldown or cadence.cycle(film.frame_rate, frame_rate) > 0
    if cadence.field_order not in FIELDS and not is_retimed:  # "flagged" names no first field
        return found
    by_pictures, _ = _look(film, *part, frame_rate, damage, cadence, track)
    return replace(by_pictures, cadence=found.cadence)


def _look(
    film: Film,
    start_seconds: float,
    duration_seconds: float | None,
    frame_rate: Fraction,
    damage: Spans | None,
    cadence: Cadence,
    track: Track,
) -> tuple[Survey, list[Run]]:
    """One pass, at the frames of a cadence; of interlaced video, at the first fields.

    Returns:
        What was found, and the runs of frames by which a cadence is told.
    """
    with tempfile.TemporaryDirectory() as folder:
        cuts_file, fields_file, rows_file, columns_file, pictures_file = (
            Path(folder) / name for name in ("cuts", "fields", "rows", "columns", "pictures")
        )
        is_video = cadence.field_order != "progressive" and not cadence.is_film_in_fields
        sampling = Sampling(
            WIDTH,
            HEIGHT,
            frame_rate=frame_rate,
            start_seconds=start_seconds,
            duration_seconds=duration_seconds,
            cuts_file=cuts_file,
            cadence=ONE_TO_ONE if is_video else cadence,
            first_fields=cadence.field_order if is_video else "progressive",
            damage=damage,
        )
        total = sampling.frame_count(film)
        seconds = float(total / sampling.frame_rate)
        bursts = Bursts(
            _run_distance(seconds),
            RUN_FRAMES / min(float(film.frame_rate), MAX_FRAME_RATE),
            fields_file,
            rows_file,
            columns_file,
            pictures_file if may_be_pulled_down(film) else None,
        )
        every = max(round(sampling.frame_rate / FRAMES_A_SECOND), 1)
        rate = float(sampling.frame_rate / every)
        tinge, dissolves, peaks, count = _Tinge(rate), Dissolves(rate), _Peaks(), 0
        shots = Shots(float(sampling.frame_rate))
        with closing(read_ycbcr(film, sampling, bursts=bursts)) as frames:
            for frame in track(frames, total, "frames looked at"):
                shots.add(frame[..., 0])
                peaks.add(frame[..., 0])
                if count % every == 0:
                    tinge.add(frame)
                    dissolves.add(frame[..., 0])
                count += 1
        seconds = float(count / sampling.frame_rate)

        def at(number: int) -> float:
            return float(number / sampling.frame_rate)

        begins = shots.begins(read_ticks(cuts_file))
        returns = shots.returns(begins).items()
        cuts = [at(begin) for begin in begins]
        rows, columns = read_strips(film, bursts)
        looks = read_fields(fields_file)
        if _begins_before(looks, film):
            rows, columns = rows[1:], columns[1:]
        found = Survey(
            seconds=seconds,
            cuts=tuple(cuts),
            dissolves=dissolves.spans(),
            returns=tuple((at(begin), at(earlier)) for begin, earlier in returns),
            colored=_colored(tinge, [0.0, *cuts, seconds]),
            area=peaks.widened(find_area(rows, columns), rows, columns),
            cadence=cadence,
        )
        return found, _runs(looks, read_field_pictures(bursts), bursts)


def _runs(looks: Sequence[tuple[float, str]], fields: Plane, bursts: Bursts) -> list[Run]:
    """The runs of consecutive frames that were looked at."""
    numbers = [math.floor(seconds / bursts.every_seconds) for seconds, _ in looks]
    begins = [n for n in range(len(numbers)) if n == 0 or numbers[n] != numbers[n - 1]]
    return [
        Run([s for s, _ in looks[begin:end]], [w for _, w in looks[begin:end]], fields[begin:end])
        for begin, end in pairwise([*begins, len(looks)])
    ]


def _cadence(film: Film, runs: Sequence[Run]) -> Cadence:
    """How pictures became frames, as far as they can be had again."""
    found = find_cadence(runs)
    return replace(found, fields_match=found.fields_match and can_match_fields(film))


def _begins_before(looks: Sequence[tuple[float, str]], film: Film) -> bool:
    """Whether the first frame that was looked at is from before the part, and not held into it."""
    one_frame = min(1 / float(film.credible_rate), LONGEST_FRAME_SECONDS)
    return len(looks) > 1 and looks[0][0] < 0 and looks[1][0] < one_frame


def glance(film: Film, start: float, seconds: float) -> tuple[PixelArea, Cadence]:
    """The picture inside its bars and its cadence, by some short looks at a part of a film.

    Where it is damaged it is not looked at.

    Raises:
        VideoError: nothing of the part can be read; of a short one, something cannot.
    """
    parts = [(start, seconds)]
    if seconds > LOOKS * LOOK_SECONDS:
        apart = seconds / LOOKS
        parts = [(start + (number + 0.5) * apart, LOOK_SECONDS) for number in range(LOOKS)]
    looks, runs, damage = list[Survey](), list[list[Run]](), None
    for part in parts:
        try:
            look, seen = _look(
                film,
                *part,
                TIMELINE_FRAME_RATE,
                None,
                ONE_TO_ONE,
                no_track,
            )
        except VideoError as error:
            damage = error
            continue
        looks.append(look)
        runs.append(seen)
    if damage and not looks:
        raise damage
    # What is picture in one place is picture everywhere.
    left, top = min(look.area.left for look in looks), min(look.area.top for look in looks)
    right = max(look.area.left + look.area.width for look in looks)
    bottom = max(look.area.top + look.area.height for look in looks)
    area = PixelArea(left, top, right - left, bottom - top)
    cadence = _cadence(film, [run for seen in runs for run in seen])
    alike = sum(find_cadence(seen).field_order == cadence.field_order for seen in runs)
    return area, cadence if alike >= min(MIN_LOOKS_ALIKE, len(parts)) else ONE_TO_ONE


def cadence_of(film: Film, start: float, seconds: float) -> Cadence:
    """How pictures became the frames of a part of a film; one each where it cannot be told."""
    try:
        return glance(film, start, seconds)[1]
    except VideoError:  # damaged, perhaps where nothing is wanted
        return ONE_TO_ONE


def _run_distance(seconds: float) -> float:
    """From one run of frames to the next, in seconds, in a film of this length."""
    distance = min(max(seconds / RUNS, MIN_RUN_DISTANCE_SECONDS), RUN_DISTANCE_SECONDS)
    return math.floor(2 * max(distance, seconds / MAX_RUNS)) / 2 + OFF_SECONDS


class _Tinge:
    """How much colour frames hold, beyond a tint, as two numbers for each.

    Tints and casts give pixels of the same luma the same chroma, so each tone's median is taken
    off. Of what is left, noise differs from frame to frame, so that only what a frame has in common
    with the one before counts.
    """

    def __init__(self, frame_rate: float) -> None:
        self.frame_rate = frame_rate
        self.common: list[float] = []  # mean over cells of the product of two frames' left chroma
        self.whole: list[float] = []  # mean over cells of the square of all chroma
        self._before: Floats | None = None

    def add(self, frame: Plane) -> None:
        """Look at the next frame (H, W, 3), Y', Cb and Cr."""
        luma, *planes = frame.transpose(2, 0, 1)
        chroma = np.stack(planes).reshape(2, -1).astype(np.float32) - NEUTRAL
        order = np.argsort(luma, axis=None, kind="stable")
        tones = chroma[:, order].reshape(2, TONES, -1)
        tones -= np.median(tones, axis=2, keepdims=True)
        beyond = np.empty_like(chroma)
        beyond[:, order] = tones.reshape(2, -1)
        cells = _cells(beyond)
        before = cells if self._before is None else self._before
        self.common.append(float((cells * before).sum(axis=0).mean()))
        self.whole.append(float(np.square(_cells(chroma)).sum(axis=0).mean()))
        self._before = cells

    def is_colored(self, begin_seconds: float, end_seconds: float) -> bool | None:
        """Whether a shot that begins and ends at these times holds colour beyond a tint.

        None where it is too short to tell.
        """
        begin, end = (math.ceil(s * self.frame_rate - 1e-3) for s in (begin_seconds, end_seconds))
        if end - begin < 2:
            return None
        # The first frame of a shot has nothing in common with the one before.
        common = max(float(np.median(self.common[begin + 1 : end])), 0.0)
        whole = float(np.median(self.whole[begin:end]))
        return math.sqrt(common) > MIN_CHROMA + MIN_CHROMA_OF_TINT * math.sqrt(whole)


def has_color(frames: Sequence[Plane]) -> bool:
    """Whether frames of one shot hold colour beyond a tint.

    Args:
        frames: two or more, ``FRAMES_A_SECOND`` of the film: Y', Cb and Cr (HEIGHT, WIDTH, 3),
            limited range.
    """
    tinge = _Tinge(FRAMES_A_SECOND)
    for frame in frames:
        tinge.add(frame)
    return bool(tinge.is_colored(0, len(frames) / FRAMES_A_SECOND))


class _Peaks:
    """How bright the picture gets in each place of small frames, wherever in the film.

    Runs are seconds apart, in long films half a minute: what is shown wider only between them would
    count as bars. Specks do not count, nor what is no wider than the blur of an edge.
    """

    def __init__(self) -> None:
        self._recent: deque[Plane] = deque(maxlen=PEAK_FRAMES)
        self._peaks = np.zeros((HEIGHT, WIDTH), np.uint8)

    def add(self, luma: Plane) -> None:
        """Look at the next frame (HEIGHT, WIDTH), limited range."""
        self._recent.append(luma)
        if len(self._recent) == PEAK_FRAMES:
            np.maximum(self._peaks, np.minimum.reduce(list(self._recent)), out=self._peaks)

    def widened(self, area: PixelArea, rows: Plane, columns: Plane) -> PixelArea:
        """The area of runs, or a wider one where there was picture outside of it.

        Args:
            rows, columns: of the runs, as `find_area` takes them.
        """
        if not len(rows) or not len(columns):
            return area
        padded = np.pad(self._peaks, 1, mode="edge")
        inner = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).min(axis=(2, 3))
        wider = find_area(
            np.concatenate((rows, _stretched(inner, *rows.shape[1:])[None])),
            np.concatenate((columns, _stretched(inner, *columns.shape[1:])[None])),
        )
        more_rows = (wider.height - area.height) * HEIGHT / rows.shape[1]
        more_columns = (wider.width - area.width) * WIDTH / columns.shape[2]
        return wider if max(more_rows, more_columns) > EDGE_CELLS else area


def _stretched(plane: Plane, height: int, width: int) -> Plane:
    """A plane in another size, each place as the nearest one was."""
    row = np.arange(height) * plane.shape[0] // height
    column = np.arange(width) * plane.shape[1] // width
    return plane[row][:, column]


def _cells(chroma: Floats) -> Floats:
    """The mean of square cells of chroma (2, HEIGHT * WIDTH)."""
    parts = chroma.reshape(2, HEIGHT // CELL, CELL, WIDTH // CELL, CELL)
    means: Floats = parts.mean(axis=4).mean(axis=2)
    return means


def _colored(tinge: _Tinge, bounds: Sequence[float]) -> Spans:
    """The spans of shots in colour, between these times, joined where they touch.

    A shot that is too short to tell is taken for what the one before it is.
    """
    spans: list[tuple[float, float]] = []
    for begin, end in pairwise(bounds):
        follows = bool(spans) and spans[-1][1] == begin
        is_colored = tinge.is_colored(begin, end)
        if is_colored or (is_colored is None and follows):
            spans.append((spans.pop()[0] if follows else begin, end))
    return tuple(spans)


def find_area(rows: Plane, columns: Plane) -> PixelArea:
    """Where the picture is that frames show inside black bars.

    Args:
        rows: (N, height, parts) mean luma of parts of rows of N frames, uint8, limited range.
        columns: (N, parts, width) of parts of columns.
    """
    height, width = rows.shape[1], columns.shape[2]
    if not len(rows) or not len(columns):
        return PixelArea(0, 0, width, height)
    # What is picture in one frame is picture in all of them.
    row_peaks, column_peaks = rows.max(axis=0), columns.max(axis=0).T
    top, bottom = _bars(row_peaks)
    left, right = _bars(_inside(column_peaks, top, bottom, height))
    top, bottom = _bars(_inside(row_peaks, left, right, width))
    left, top = left - left % 2, top - top % 2
    right_edge, bottom_edge = width - right, height - bottom
    right_edge = min(right_edge + right_edge % 2, width)
    bottom_edge = min(bottom_edge + bottom_edge % 2, height)
    return PixelArea(left, top, right_edge - left, bottom_edge - top)


def _inside(peaks: Plane, before: int, after: int, side: int) -> Plane:
    """The parts (lines, parts) that lie wholly between bars on the side they divide."""
    edges = np.linspace(0, side, peaks.shape[1] + 1)
    return peaks[:, (edges[:-1] >= before) & (edges[1:] <= side - after)]


def _bars(peaks: Plane) -> tuple[int, int]:
    """How many lines at the begin and at the end of lines (lines, parts) of peak luma are bars."""
    side = len(peaks)
    bars = [_bar(peaks), _bar(peaks[::-1])]
    for number, other in ((0, bars[1]), (1, bars[0])):
        if bars[number] > MAX_LONE_BAR * side and other < MIN_BAR_OF_OTHER * bars[number]:
            bars[number] = 0
    return bars[0], bars[1]


def _bar(peaks: Plane) -> int:
    """How many of the first lines (lines, parts) of peak luma are a bar for certain."""
    side = len(peaks)
    black = float(np.median(peaks[0]))
    if black > MAX_BLACK:
        return 0
    lit = (peaks > black + PICTURE_LIFT).mean(axis=1)
    picture = np.flatnonzero(lit >= MIN_LIT)
    bar = int(np.argmax(lit > 0))
    if not len(picture) or bar > MAX_BAR * side:
        return 0
    tolerance = max(EDGE_TOLERANCE * side, EDGE_TOLERANCE_PIXELS)
    is_straight = picture[0] - bar <= tolerance
    is_filled = len(picture) >= MIN_LIT_INSIDE * (picture[-1] + 1 - picture[0])
    return bar if is_straight and is_filled else 0

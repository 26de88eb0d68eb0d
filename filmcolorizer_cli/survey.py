"""Survey of a film before it is colorized.

It finds cuts and dissolves, shots that are already in colour, the black bars around the picture,
the cadence (how pictures became frames), and whether the film is faded.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from filmcolorizer_cli.areas import PixelArea
from filmcolorizer_cli.bars import MAX_BLACK, Peaks, find_area
from filmcolorizer_cli.cadence import ONE_TO_ONE, Cadence, Run, find_cadence, may_be_pulled_down
from filmcolorizer_cli.color_detection import ColorDetector, has_color
from filmcolorizer_cli.dissolves import Dissolves
from filmcolorizer_cli.edits import Edits
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.fading import black_of, film_black, is_faded, may_be_faded
from filmcolorizer_cli.filtergraphs import can_match_fields
from filmcolorizer_cli.frames import read_luma, read_ycbcr
from filmcolorizer_cli.planes import BLACK, Plane
from filmcolorizer_cli.progress import Track, no_track
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.shots import Shots
from filmcolorizer_cli.sidecars import (
    LOOK_SIZE,
    Bursts,
    ShotFiles,
    read_field_orders,
    read_fields,
    read_pts,
    read_strips,
)
from filmcolorizer_cli.timeline import Spans, Timeline
from filmcolorizer_cli.video import BARE_STREAMS, FIELDS, MAX_FRAME_RATE, TIMELINE_FRAME_RATE, Film

FRAMES_A_SECOND = 6  # frames per second that are analysed for colour and dissolves

# Runs of consecutive frames are analysed at full size. Their spacing gives short films about RUNS
# of them, and long films MAX_RUNS. OFF_SECONDS keeps it from being a multiple of half a second:
# runs at the same point of every second might never include a frame that repeats once a second.
MIN_RUN_DISTANCE_SECONDS, RUN_DISTANCE_SECONDS, OFF_SECONDS = 0.5, 1.5, 0.03
RUNS, MAX_RUNS = 40, 250
RUN_FRAMES = 10  # frames in a run; in film that became NTSC video, two of every five are combed

MAX_FRAME_SECONDS = 0.1  # longest time that a frame of moving pictures is shown; slides are longer

SAMPLES = 6  # short samples that `glance` and `is_in_color` take of a film
SAMPLE_SECONDS = 1.0  # length of a sample that `glance` takes
FRAMES_PER_SAMPLE = 3  # frames per sample in which `is_in_color` measures colour
MIN_SAMPLES_ALIKE = 2  # samples that must show the field order found; still pictures show none
SAMPLES_FOR_BLACKS = 20  # single frames, all over a film, that are sampled if a part has no blacks


@dataclass(frozen=True)
class Survey:
    """The findings about a film, or about a part of one.

    Attributes:
        seconds: duration from the first surveyed frame to the end of the last one.
        cuts: where shots begin, in seconds from the first frame, ascending; 0 is not among them.
        dissolves: starts and ends of dissolves, in seconds, ascending; accurate to a sixth of a
            second, or to one frame in films with fewer frames per second.
        returns: pairs, ascending: where a shot begins that may continue what an earlier shot ended
            with, and where that earlier shot begins, both in seconds.
        colored: starts and ends, in seconds, of whole shots that are already in colour, ascending;
            adjacent ones are merged.
        area: the picture without black bars.
        cadence: how pictures became frames, as measured, regardless of the film's flags; if in
            doubt, one picture per frame or per woven frame.
        is_faded: whether the whole film, not only this part, has lost its blacks.
    """

    seconds: float
    cuts: tuple[float, ...]
    dissolves: Spans
    returns: Spans
    colored: Spans
    area: PixelArea
    cadence: Cadence
    is_faded: bool

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Survey:
        """Restore a survey from what `dataclasses.asdict` and JSON made of it."""
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
            plain["is_faded"],
        )

    def edits(self, times: Timeline) -> Edits:
        """Return the edits in frame numbers of this timeline."""
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
    reading_cadence: Callable[[Cadence], Cadence] = lambda found: found,
    track: Track = no_track,
) -> Survey:
    """Survey a film, or a part of one: in one pass, or in two if its frames are not pictures.

    In interlaced video a cut may lie between the two fields of a frame. A whole picture made of
    both shows what the first field shows, so the second pass reads only first fields to find where
    the cut will be. Where film lies in fields, or frames are left out, the second pass reads the
    pictures that remain.

    Args:
        start_seconds, duration_seconds: the part to survey; without a duration, to the film's end.
        frame_rate: frames per second that are analysed for cuts.
        damage: what is left out, as in a `Sampling`.
        reading_cadence: returns the cadence that the film will be read by, given the one found.
        track: wraps the frames, given their number and a label, to show progress.

    Raises:
        VideoError: the film is broken or cut short.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """
    part = start_seconds, duration_seconds
    found, runs = _look(film, *part, frame_rate, damage, ONE_TO_ONE, track)
    found = replace(found, cadence=_cadence(film, runs))
    cadence = reading_cadence(found.cadence)
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
    """Survey the frames of a cadence, or the first fields of interlaced video, in one pass.

    Returns:
        The findings, and the runs of frames in which a cadence can be found.
    """
    with tempfile.TemporaryDirectory() as folder:
        cuts_file, field_orders_file, rows_file, columns_file, fields_file = (
            Path(folder) / name for name in ("cuts", "field_orders", "rows", "columns", "fields")
        )
        is_video = cadence.field_order != "progressive" and not cadence.is_film_in_fields
        sampling = Sampling(
            *LOOK_SIZE,
            frame_rate=frame_rate,
            start_seconds=start_seconds,
            duration_seconds=duration_seconds,
            cadence=ONE_TO_ONE if is_video else cadence,
            first_fields=cadence.field_order if is_video else "progressive",
            damage=damage,
        )
        total = sampling.frame_count(film)
        bursts = Bursts(
            _run_distance(float(total / sampling.frame_rate)),
            RUN_FRAMES / min(float(film.frame_rate), MAX_FRAME_RATE),
            field_orders_file,
            rows_file,
            columns_file,
            fields_file if may_be_pulled_down(film) else None,
        )
        seen = _FrameStatistics(sampling.frame_rate)
        shot_files = ShotFiles(cuts_file)
        read = read_ycbcr(film, sampling, bursts=bursts, shot_files=shot_files)
        with closing(read) as frames:
            for frame in track(frames, total, "frames looked at"):
                seen.add(frame)
        rows, columns = read_strips(film, bursts)
        field_orders = read_field_orders(field_orders_file)
        if _begins_before(field_orders, film):
            rows, columns = rows[1:], columns[1:]
        is_part = start_seconds > 0 or duration_seconds is not None
        if is_part:  # it may be only a title or a bright shot
            faded = may_be_faded(seen.blacks) and not _has_blacks(film)
        else:
            faded = is_faded(seen.blacks)
        black = max(film_black(seen.blacks), BLACK) if faded else BLACK
        found = seen.survey(read_pts(cuts_file), rows, columns, cadence, black, is_faded=faded)
        return found, _runs(field_orders, read_fields(bursts), bursts)


class _FrameStatistics:
    """Accumulator of what the small frames of a film show, added one by one.

    Args:
        frame_rate: frames per second.
    """

    def __init__(self, frame_rate: Fraction) -> None:
        self.frame_rate = frame_rate
        self.count = 0
        self.peaks = Peaks(*reversed(LOOK_SIZE))
        self._every = max(round(frame_rate / FRAMES_A_SECOND), 1)
        rate = float(frame_rate / self._every)
        self._shots = Shots(float(frame_rate))
        self._colors, self._dissolves = ColorDetector(rate), Dissolves(rate)
        self.blacks: list[float] = []

    def add(self, frame: Plane) -> None:
        """Analyse the next frame, Y'CbCr (H, W, 3)."""
        luma = frame[..., 0]
        self._shots.add(luma)
        self.peaks.add(luma)
        if self.count % self._every == 0:
            self._colors.add(frame)
            self._dissolves.add(luma)
            self.blacks.append(black_of(luma))
        self.count += 1

    def survey(
        self,
        changes: Sequence[int],
        rows: Plane,
        columns: Plane,
        cadence: Cadence,
        black: float,
        *,
        is_faded: bool,
    ) -> Survey:
        """Combine the findings of all frames.

        Args:
            changes: the numbers of frames that may begin a shot, according to ffmpeg.
            rows, columns: strips of pictures, as `find_area` takes them.
            black: the code that the blacks of these frames, and so their bars, reach if the film
                is faded; else ``BLACK``.
        """
        max_black = black + MAX_BLACK - BLACK
        area = self.peaks.widened(find_area(rows, columns, max_black), rows, columns, max_black)

        def at(number: int) -> float:
            return float(number / self.frame_rate)

        begins = self._shots.begins(changes)
        cuts = [at(begin) for begin in begins]
        returns = self._shots.returns(begins).items()
        return Survey(
            seconds=at(self.count),
            cuts=tuple(cuts),
            dissolves=self._dissolves.spans(),
            returns=tuple((at(begin), at(earlier)) for begin, earlier in returns),
            colored=self._colors.colored([0.0, *cuts, at(self.count)]),
            area=area,
            cadence=cadence,
            is_faded=is_faded,
        )


def _runs(field_orders: Sequence[tuple[float, str]], fields: Plane, bursts: Bursts) -> list[Run]:
    """Group the frames of all bursts into runs of consecutive frames."""
    numbers = [math.floor(seconds / bursts.every_seconds) for seconds, _ in field_orders]
    begins = [n for n in range(len(numbers)) if n == 0 or numbers[n] != numbers[n - 1]]
    return [
        Run(
            [s for s, _ in field_orders[begin:end]],
            [w for _, w in field_orders[begin:end]],
            fields[begin:end],
        )
        for begin, end in pairwise([*begins, len(field_orders)])
    ]


def _cadence(film: Film, runs: Sequence[Run]) -> Cadence:
    """Find the cadence; its fields match only where ffmpeg can match them in this film."""
    found = find_cadence(runs)
    return replace(found, fields_match=found.fields_match and can_match_fields(film))


def _begins_before(field_orders: Sequence[tuple[float, str]], film: Film) -> bool:
    """Whether the first frame of the runs precedes the part and is not held into it."""
    one_frame = min(1 / float(film.credible_rate), MAX_FRAME_SECONDS)
    return len(field_orders) > 1 and field_orders[0][0] < 0 and field_orders[1][0] < one_frame


class Glance(NamedTuple):
    """The findings in a few short samples of a film, as in a `Survey`."""

    area: PixelArea
    cadence: Cadence = ONE_TO_ONE
    is_faded: bool = False


def glance(film: Film, start_seconds: float, duration_seconds: float) -> Glance:
    """Survey a few short samples of a part of a film, skipping damaged ones.

    A part of up to ``SAMPLES * SAMPLE_SECONDS`` is a single sample.

    Raises:
        VideoError: none of the samples can be read.
        FfmpegError: ffmpeg itself failed, or was ended from outside.
    """
    parts = [(start_seconds, duration_seconds)]
    if duration_seconds > SAMPLES * SAMPLE_SECONDS:
        apart = duration_seconds / SAMPLES
        starts = (start_seconds + (number + 0.5) * apart for number in range(SAMPLES))
        parts = [(start, SAMPLE_SECONDS) for start in starts]
    samples, runs, damage = list[Survey](), list[list[Run]](), None
    for part in parts:
        try:
            sample, runs_of_sample = _look(
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
        samples.append(sample)
        runs.append(runs_of_sample)
    if damage and not samples:
        raise damage
    # What is picture in one sample counts as picture in the whole film.
    areas = [sample.area for sample in samples]
    left, top = min(area.left for area in areas), min(area.top for area in areas)
    right = max(area.left + area.width for area in areas)
    bottom = max(area.top + area.height for area in areas)
    area = PixelArea(left, top, right - left, bottom - top)
    cadence = _cadence(film, [run for some in runs for run in some])
    alike = sum(find_cadence(some).field_order == cadence.field_order for some in runs)
    if alike < min(MIN_SAMPLES_ALIKE, len(runs)):
        cadence = ONE_TO_ONE
    return Glance(area, cadence, any(sample.is_faded for sample in samples))  # each is of the film


@lru_cache(maxsize=4)
def _has_blacks(film: Film) -> bool:
    """Whether frames from all over a film have blacks; assumed where seeking is impossible."""
    if film.container in BARE_STREAMS:
        return True
    blacks = []
    for number in range(SAMPLES_FOR_BLACKS):
        start = (number + 0.5) * film.duration_seconds / SAMPLES_FOR_BLACKS
        one_frame = float(1 / TIMELINE_FRAME_RATE)
        sampling = Sampling(*LOOK_SIZE, start_seconds=start, duration_seconds=one_frame)
        with suppress(VideoError):
            blacks += [black_of(frame) for frame in read_luma(film, sampling)]
    return not is_faded(blacks)


def cadence_of(film: Film, start_seconds: float, duration_seconds: float) -> Cadence:
    """Find the cadence of a part of a film; one picture per frame if it cannot be found."""
    try:
        return glance(film, start_seconds, duration_seconds).cadence
    except VideoError:  # damaged, but perhaps not where frames are needed
        return ONE_TO_ONE


def is_in_color(film: Film) -> bool:
    """Whether short samples of a film have colours beyond a tint; skips what cannot be read."""
    every = round(TIMELINE_FRAME_RATE / FRAMES_A_SECOND)
    for number in range(SAMPLES):
        sampling = Sampling(
            *LOOK_SIZE,
            start_seconds=(number + 0.5) * film.duration_seconds / SAMPLES,
            duration_seconds=float(FRAMES_PER_SAMPLE * every / TIMELINE_FRAME_RATE),
            every=every,
        )
        with suppress(VideoError):
            frames = list(read_ycbcr(film, sampling))
            if len(frames) > 1 and has_color(frames):
                return True
    return False


def _run_distance(seconds: float) -> float:
    """Return the seconds from one run of frames to the next, in a film of this length."""
    distance = min(max(seconds / RUNS, MIN_RUN_DISTANCE_SECONDS), RUN_DISTANCE_SECONDS)
    return math.floor(2 * max(distance, seconds / MAX_RUNS)) / 2 + OFF_SECONDS

"""Alignment of two versions of one film, in time and in the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli import alignment
from filmcolorizer_cli.alignment import Stretch
from filmcolorizer_cli.areas import Area, farthest_move
from filmcolorizer_cli.errors import OptionError, SyncError, VideoError
from filmcolorizer_cli.maps import IDENTITY, MIN_CONFIDENCE, Matrix, Segment, SyncMap
from filmcolorizer_cli.packets import check_clock
from filmcolorizer_cli.progress import Track, no_track
from filmcolorizer_cli.registration import (
    Comparison,
    Placement,
    dissimilarity,
    find_content,
    find_placement,
    is_moved,
    place,
    split_by_placement,
)
from filmcolorizer_cli.signatures import Signatures, read_moment, read_signatures
from filmcolorizer_cli.video import Film, film_identity

MIN_FILM_SECONDS = 2.0  # shortest film that can be aligned
MIN_SURE_SECONDS = 2.0  # shortest total of all stretches; less may be chance
MIN_REEL_SECONDS = 4.0  # shortest part that is aligned on its own
MAX_PANNED_SECONDS = 300.0  # longest gap searched in parts if nothing is found in the whole
AS_LONG_SECONDS = 0.1  # duration difference up to which gaps in both films may show the same
SURE_CONFIDENCE = 0.95  # from this confidence on, a stretch is not examined further
MIN_CONFIDENCE_GAIN = 0.05  # confidence that parts of a stretch must gain to replace it
MIN_OF_DOUBTFUL = 0.7  # share of a doubtful stretch that its parts must cover; the rest are moves
SAME_TIME_SECONDS = 0.11  # largest time difference between a stretch and its parts
MIN_FOUND_AGAIN = 0.9  # share of the found duration that must be found at a refined placement
MAX_SEARCHES = 16  # searches for moved scenes, at most
MIN_MOVED_SECONDS = 10.0  # shortest gap that is searched for moved scenes
REEL_MARGIN_SECONDS = 2.0  # margin before and after a reel in the coloured film
SAMPLES_APART_SECONDS = 0.5  # least interval of the frames that placement changes are found from
PICTURE_SAMPLES = 600  # approximate number of such frames, at most
# If less than this share of the shorter film is found, the coloured film is also tried reversed
# and mirrored.
LARGE_SHARE = 0.3
FLAT_RANGE = 8  # luma codes; a smaller range shows nothing, whatever its noise
MAX_HELD_CHANGE = 8  # mean difference, in luma codes, up to which frames show the same
STATED_LOOKS, MIN_LOOKS = 16, 4  # moments to compare if the offset is stated, and the fewest usable
MAX_DISSIMILARITY = 0.3  # largest `registration.dissimilarity` of moments that show the same
SAME_SIDE = 0.01  # share of the picture by which the sides of equal areas may differ
NOT_MOVED = 0.0015  # share of the picture; smaller moves are measurement error and are dropped
DIGITS = 6  # decimal places of times and coordinates in a map

Gap = tuple[int, int]  # frames without a counterpart, from the first up to the second


def align(bw: Film, color: Film, *, track: Track = no_track) -> SyncMap:
    """Align two versions of a film, in time and in the picture.

    Both are read in a single pass, at the same time, as small pictures.

    Args:
        track: wraps the frames that are read, to show progress.

    Raises:
        SyncError: a film is too short or shows nothing, or the two do not look like the same film.
        VideoError: a film cannot be read, or is joined from several recordings.
    """
    for film in (bw, color):
        check_clock(film)
    signatures = read_signatures(bw, color, track=track)
    for film, part in zip((bw, color), signatures, strict=True):
        _check_visible(film, part)
    found = _line_up_elsewhere(*signatures, _line_up(*signatures))
    stretches = [part for stretch in found for part in _in_parts(*signatures, stretch)]
    _check_found(bw, color, signatures, stretches)
    return SyncMap(
        film_identity(bw),
        film_identity(color),
        tuple(_segment_of(stretch, *signatures) for stretch in stretches),
    )


def _check_visible(film: Film, signatures: Signatures) -> None:
    """Refuse a film that is too short, empty or still."""
    how = "give the offset with `filmcolorizer sync --offset FRAMES`"
    seconds = signatures.duration_seconds
    if seconds < MIN_FILM_SECONDS:
        raise SyncError(
            f"{film.path} is only {seconds:.1f} s long; lining up takes at least"
            f" {MIN_FILM_SECONDS:g} s, so {how}"
        )
    brightest, darkest = signatures.frames.max(axis=0), signatures.frames.min(axis=0)
    if int(brightest.max()) - int(darkest.min()) < FLAT_RANGE:
        raise SyncError(
            f"{film.path} shows an empty picture throughout (luma {int(darkest.min())} to"
            f" {int(brightest.max())}), so it cannot be lined up; {how}"
        )
    if int((brightest - darkest).max()) < FLAT_RANGE:
        raise SyncError(
            f"{film.path} shows a still picture throughout, so it cannot be lined up; {how}"
        )


def _check_found(
    bw: Film,
    color: Film,
    signatures: tuple[Signatures, Signatures],
    stretches: list[Stretch],
) -> None:
    """Refuse films that do not match, or of which one runs backwards or is mirrored."""
    sure = _seconds_of(stretches, signatures[0])
    shorter = min(part.duration_seconds for part in signatures)
    if sure >= LARGE_SHARE * shorter:
        return
    refusal = f"{bw.path} and {color.path} do not look like the same film"
    how = (
        "use two versions of the same film, or give the offset with `filmcolorizer sync --offset"
        " FRAMES`"
    )
    for turned, told in (
        (signatures[1].reversed(), "the second runs backwards; reverse it"),
        (signatures[1].mirrored(), "the second is mirrored; flip it, as with ffmpeg's hflip"),
    ):
        if _seconds_of(_line_up(signatures[0], turned), signatures[0]) > sure:
            raise SyncError(f"{refusal}: {told}")
    if sure < MIN_SURE_SECONDS:
        raise SyncError(f"{refusal}: no shot that both show was found with certainty; {how}")


def _seconds_of(stretches: list[Stretch], bw: Signatures) -> float:
    return sum(stretch.end - stretch.begin for stretch in stretches) * bw.frame_seconds


def _line_up(bw: Signatures, color: Signatures, expected_rate: float = 1.0) -> list[Stretch]:
    """Find the stretches that certainly match in two films, in order.

    The frames between them that remain in both films are then aligned on their own, as a reel may
    have been transferred at another speed or crop.

    Args:
        expected_rate: likeliest rate, in seconds of the coloured film per second of the other.
    """
    # Frames of the shorter film are more certain to be in the other one.
    if color.duration_seconds < bw.duration_seconds / 2:
        backwards = find_placement(color, bw)
        placement = None if backwards is None else backwards.reversed()
    else:
        placement = find_placement(bw, color)
    if placement is None:
        return []
    sure = _line_up_reels(bw, color, _align_surely(bw, color, placement, expected_rate))
    if not sure:
        return []
    found: list[Stretch] = []
    besides = (sure[0], *sure)
    gaps = _gaps(bw, color, sure)
    for beside, stretch, (bw_gap, color_gap) in zip(besides, (*sure, None), gaps, strict=True):
        parts = bw.part(*bw_gap), color.part(*color_gap)
        if all(part.duration_seconds >= MIN_REEL_SECONDS for part in parts):
            found += alignment.shift(_line_up_between(*parts, beside), bw_gap[0])
        if stretch is not None:
            found.append(stretch)
    return found


def _line_up_between(bw: Signatures, color: Signatures, beside: Stretch) -> list[Stretch]:
    """Align the gaps that remain in both films before or after a certain stretch.

    Pan and scan changes the placement every few seconds, and none fits most of a minute. If the
    gaps are equally long, the times are known: stretches at other times that are short and not
    quite certain are chance, and if no others remain, parts are aligned at the known times.
    """
    found = _line_up(bw, color, beside.rate)
    seconds = color.duration_seconds
    if abs(beside.rate * bw.duration_seconds - seconds) > AS_LONG_SECONDS:
        return found
    whole = replace(beside, begin=0, end=len(bw))  # only its times are used
    found = [part for part in found if _is_no_chance(bw, part) or _agree(bw, whole, part)]
    return found or (_parts_of(bw, color, whole) if seconds < MAX_PANNED_SECONDS else [])


def _is_no_chance(bw: Signatures, stretch: Stretch) -> bool:
    """Whether a stretch is certain or long."""
    seconds = (stretch.end - stretch.begin) * bw.frame_seconds
    return stretch.confidence >= SURE_CONFIDENCE or seconds >= MIN_REEL_SECONDS


def _in_parts(bw: Signatures, color: Signatures, stretch: Stretch) -> list[Stretch]:
    """Return a doubtful stretch, or its parts if they have more confidence.

    Where the picture moves for a few seconds, a single placement may have been accepted for all.
    """
    if stretch.confidence >= SURE_CONFIDENCE:
        return [stretch]
    parts = _parts_of(bw, color, stretch)
    frames = [part.end - part.begin for part in parts]
    if sum(frames) < MIN_OF_DOUBTFUL * (stretch.end - stretch.begin):
        return [stretch]
    confidence = float(np.average([part.confidence for part in parts], weights=frames))
    if confidence < stretch.confidence + MIN_CONFIDENCE_GAIN:
        return [stretch]
    return [smaller for part in parts for smaller in _in_parts(bw, color, part)]


def _parts_of(bw: Signatures, color: Signatures, stretch: Stretch) -> list[Stretch]:
    """Find certain matches at a stretch's times in its halves, or recursively in their halves."""
    if (stretch.end - stretch.begin) * bw.frame_seconds < 2 * MIN_REEL_SECONDS:
        return []
    margin = round(REEL_MARGIN_SECONDS / color.frame_seconds)
    middle = (stretch.begin + stretch.end) // 2
    parts: list[Stretch] = []
    for begin, end in ((stretch.begin, middle), (middle, stretch.end)):
        first, last = color.at(stretch.color_seconds(bw.seconds[[begin, end - 1]]))
        half = bw.part(begin, end), color.part(max(int(first) - margin, 0), int(last) + margin)
        found = alignment.shift(_line_up(*half, stretch.rate), begin)
        found = [part for part in found if _agree(bw, stretch, part)]
        parts += found or _parts_of(bw, color, replace(stretch, begin=begin, end=end))
    return parts


def _agree(bw: Signatures, stretch: Stretch, part: Stretch) -> bool:
    """Whether a part of a stretch has the same times, to `SAME_TIME_SECONDS`."""
    ends = bw.seconds[[part.begin, part.end - 1]]
    late = part.color_seconds(ends) - stretch.color_seconds(ends)
    return bool(np.abs(late).max() <= SAME_TIME_SECONDS)


def _line_up_elsewhere(bw: Signatures, color: Signatures, found: list[Stretch]) -> list[Stretch]:
    """Add stretches that come in another order: swapped reels, moved scenes.

    Each gap in one film is searched for in each gap of the other, and so are the gaps that remain
    after a find: among reels in reverse order, any two are swapped.
    """
    searched: set[tuple[Gap, Gap]] = set()
    rate = found[0].rate if found else 1.0
    while found and len(searched) < MAX_SEARCHES:
        pair = next((p for p in _pairs_left_out(bw, color, found) if p not in searched), None)
        if pair is None:
            break
        searched.add(pair)
        bw_gap, color_gap = pair
        more = _line_up(bw.part(*bw_gap), color.part(*color_gap), rate)
        found = sorted([*found, *alignment.shift(more, bw_gap[0])], key=lambda s: s.begin)
    return found


def _pairs_left_out(
    bw: Signatures, color: Signatures, found: list[Stretch]
) -> list[tuple[Gap, Gap]]:
    """Return the pairs of a gap between stretches in one film and one in the other.

    The most equal in length come first: a moved scene leaves a gap of its length in each film.
    """
    times = [s.color_seconds(bw.seconds[[s.begin, s.end - 1]]) for s in found]
    shown = [(int(first), int(last) + 1) for first, last in map(color.at, times)]
    bw_gaps = _left_out([(s.begin, s.end) for s in found], len(bw))
    color_gaps = _left_out(shown, len(color))
    pairs = product(_long_enough(bw, bw_gaps), _long_enough(color, color_gaps))

    def difference(pair: tuple[Gap, Gap]) -> float:
        return abs(bw.part(*pair[0]).duration_seconds - color.part(*pair[1]).duration_seconds)

    return sorted(pairs, key=difference)


def _left_out(ranges: list[Gap], end: int) -> list[Gap]:
    """Return the ranges between ranges of frames, from 0 to ``end``."""
    gaps, covered = [], 0
    for first, last in [*sorted(ranges), (end, end)]:
        gaps.append((covered, max(first, covered)))
        covered = max(covered, last)
    return gaps


def _long_enough(film: Signatures, gaps: list[Gap]) -> list[Gap]:
    """Return the gaps that are long enough to hold a moved scene."""
    return [gap for gap in gaps if film.part(*gap).duration_seconds >= MIN_MOVED_SECONDS]


def _align_surely(
    bw: Signatures, color: Signatures, placement: Placement, expected_rate: float
) -> list[Stretch]:
    stretches = alignment.align(bw, color, placement, expected_rate)
    return [
        stretch
        for stretch in stretches
        if stretch.confidence >= MIN_CONFIDENCE and stretch.placement.is_visible
    ]


def _line_up_reels(
    bw: Signatures, color: Signatures, stretches: list[Stretch], *, once_more: bool = True
) -> list[Stretch]:
    """Refine the placement of stretches; where it changes, align the parts on their own.

    With motion across the whole picture, a slightly wrong placement matches a frame early or late,
    so the times are found once more if refinement moves the placement.
    """
    if not stretches:
        return []
    frames = np.concatenate([np.arange(s.begin, s.end) for s in stretches])
    apart = max(len(frames) // PICTURE_SAMPLES, round(SAMPLES_APART_SECONDS / bw.frame_seconds), 1)
    frames = frames[::apart]
    counterparts = _counterparts(bw, color, stretches, frames)
    parts = split_by_placement(
        bw.frames[frames], color.frames[counterparts], stretches[0].placement
    )
    if len(parts) == 1:
        before, after = stretches[0].placement, parts[0][1]
        if once_more and is_moved(before, after):
            again = _align_surely(bw, color, after, stretches[0].rate)
            if _seconds_of(again, bw) > MIN_FOUND_AGAIN * _seconds_of(stretches, bw):
                return _line_up_reels(bw, color, again, once_more=False)
        return [replace(stretch, placement=after) for stretch in stretches]
    reels: list[Stretch] = []
    borders = [0]
    for (_, before), (first, after) in pairwise(parts):
        near = np.arange(frames[max(first - 2, 0)], frames[min(first + 2, len(frames) - 1)])
        borders.append(_border(bw, color, stretches, near, (before, after)))
    margin = round(REEL_MARGIN_SECONDS / color.frame_seconds)
    for (_, placement), (begin, end) in zip(parts, pairwise((*borders, len(bw))), strict=True):
        inside = [s for s in stretches if s.begin < end and s.end > begin]
        ends = np.array((max(inside[0].begin, begin), min(inside[-1].end, end) - 1))
        first, last = _counterparts(bw, color, inside, ends) + (-margin, margin)
        first = 0 if begin == 0 else max(int(first), 0)
        last = len(color) if end == len(bw) else int(last)
        reel = bw.part(begin, end), color.part(first, last)
        contents = find_content(reel[0].frames), find_content(reel[1].frames)
        placement = Placement(placement.color_to_bw, *contents)
        reels += alignment.shift(_align_surely(*reel, placement, stretches[0].rate), begin)
    return reels


def _counterparts(
    bw: Signatures, color: Signatures, stretches: list[Stretch], frames: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return the coloured frames for frames in stretches; a stretch's times extend to the next."""
    owners = np.searchsorted([s.begin for s in stretches], frames, side="right") - 1
    offsets = np.array([s.offset_seconds for s in stretches])[np.maximum(owners, 0)]
    rates = np.array([s.rate for s in stretches])[np.maximum(owners, 0)]
    return color.at(offsets + rates * bw.seconds[frames])


def _border(
    bw: Signatures,
    color: Signatures,
    stretches: list[Stretch],
    frames: NDArray[np.intp],
    placements: tuple[Placement, Placement],
) -> int:
    """Return the frame from which on the second placement fits better than the first."""
    counterparts = _counterparts(bw, color, stretches, frames)
    gains = []
    for placement in placements:
        comparison = Comparison(placement)
        vectors = comparison.bw(bw.frames[frames]), comparison.color(color.frames[counterparts])
        gains.append((vectors[0] * vectors[1]).sum(axis=1))
    sums = np.concatenate(([0.0], np.cumsum(gains[0] - gains[1])))
    return int(frames[0] + sums.argmax())


def _gaps(bw: Signatures, color: Signatures, stretches: list[Stretch]) -> Iterator[tuple[Gap, Gap]]:
    """Yield the gaps in both films before, between and after stretches."""
    bw_begin = color_begin = 0
    for stretch in stretches:
        first, last = stretch.color_seconds(bw.seconds[[stretch.begin, stretch.end - 1]])
        color_first, color_last = color.at(np.array((first, last)))
        yield (bw_begin, stretch.begin), (color_begin, max(int(color_first), color_begin))
        bw_begin, color_begin = stretch.end, max(int(color_last) + 1, color_begin)
    yield (bw_begin, len(bw)), (min(color_begin, len(color)), len(color))


def _segment_of(stretch: Stretch, bw: Signatures, color: Signatures) -> Segment:
    begin = float(bw.seconds[stretch.begin])
    end = _end_of(stretch, bw, color)
    return Segment(
        round(begin, DIGITS),
        round(end, DIGITS),
        # The time may be up to half a frame before the coloured film's first frame.
        max(round(stretch.offset_seconds + stretch.rate * begin, DIGITS), 0.0) + 0.0,
        stretch.rate,
        round(stretch.confidence, 3),
        *_picture_of(stretch.placement),
    )


def _picture_of(placement: Placement) -> tuple[Matrix, Area]:
    """Return a segment's ``matrix`` and ``area``."""
    if farthest_move(placement.bw_to_color() - IDENTITY) < NOT_MOVED:
        placement = placement.moved(np.array(IDENTITY))
    (a, b, x), (c, d, y) = placement.bw_to_color().round(DIGITS).tolist()
    area = Area(*(round(edge, DIGITS) for edge in placement.area()))
    return ((a, b, x), (c, d, y)), area


def _end_of(stretch: Stretch, bw: Signatures, color: Signatures) -> float:
    """Return when the last frame of a stretch stops being shown by both films.

    With uneven frame times, the black-and-white film may hold it for seconds while the coloured one
    moves on to other frames, or ends.
    """
    last = float(bw.seconds[stretch.end - 1])
    end = float(bw.seconds[stretch.end]) if stretch.end < len(bw) else bw.end_seconds
    if end - last < 2 * bw.frame_seconds:
        return end
    first, until = stretch.color_seconds(np.array((last, end)))
    held = color.at(np.arange(first, until, color.frame_seconds))
    change = np.abs(np.subtract(color.frames[held], color.frames[held[0]], dtype=np.int16))
    others = np.flatnonzero(change.mean(axis=1) > MAX_HELD_CHANGE)
    shown = float(color.seconds[held[others[0]]]) if others.size else color.end_seconds
    return max(min(end, (shown - stretch.offset_seconds) / stretch.rate), last + bw.frame_seconds)


def constant_offset(bw: Film, color: Film, offset: int) -> SyncMap:
    """Return the map of two films at the same speed, ``offset`` frames of ``bw`` apart.

    Its confidence is 1, as the offset is stated by the user.

    Raises:
        OptionError: the films do not overlap at this offset.
        VideoError: a film is joined from several recordings.
    """
    for film in (bw, color):
        check_clock(film)
    seconds = float(offset / bw.frame_rate)
    bw_start = max(0.0, -seconds)
    bw_end = min(bw.duration_seconds, color.duration_seconds - seconds)
    if bw_end <= bw_start:
        lowest = -math.ceil(bw.duration_seconds * bw.frame_rate) + 1
        highest = math.ceil(color.duration_seconds * bw.frame_rate) - 1
        raise OptionError(
            f"an offset of {offset} frames leaves no overlap between the two films; it can be from"
            f" {lowest} to {highest}"
        )
    segment = Segment(bw_start, bw_end, bw_start + seconds, rate=1.0, confidence=1.0)
    return SyncMap(film_identity(bw), film_identity(color), (segment,))


def with_placement(bw: Film, color: Film, sync_map: SyncMap) -> SyncMap | None:
    """Add the registration of the pictures to a map of one segment with stated times.

    Returns:
        The map, unchanged if the pictures coincide, or too many moments are damaged or show
        nothing; None if the pictures do not match at these times under any placement.
    """
    [segment] = sync_map.segments
    looks = np.linspace(segment.bw_start_seconds, segment.bw_end_seconds, STATED_LOOKS + 2)[1:-1]
    seen = []
    for seconds in looks.tolist():
        with suppress(VideoError):  # offsets are stated for films that cannot be read whole
            pictures = read_moment(bw, seconds), read_moment(color, segment.color_seconds(seconds))
            if min(picture.std() for picture in pictures) > FLAT_RANGE:
                seen.append(pictures)
    if len(seen) < MIN_LOOKS:
        return sync_map
    bw_frames, color_frames = (np.stack(frames) for frames in zip(*seen, strict=True))
    found = place(bw_frames, color_frames)
    unmoved = found.moved(np.array(IDENTITY))
    placement = min(unmoved, found, key=lambda p: dissimilarity(bw_frames, color_frames, p))
    if dissimilarity(bw_frames, color_frames, placement) > MAX_DISSIMILARITY:
        return None
    matrix, area = _picture_of(placement)
    if matrix == IDENTITY and _are_alike(found.bw_content, found.color_content):
        return sync_map  # e.g. a film and the output of `colorize`: alike to the last pixel
    return replace(sync_map, segments=(replace(segment, matrix=matrix, area=area),))


def _are_alike(one: Area, other: Area) -> bool:
    """Whether two areas are the same, to `SAME_SIDE`."""
    return all(abs(side - same) < SAME_SIDE for side, same in zip(one, other, strict=True))

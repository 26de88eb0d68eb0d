"""How two versions of one film line up in time and in the picture."""

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
    split_by_picture,
)
from filmcolorizer_cli.signatures import Signatures, read_moment, read_signatures
from filmcolorizer_cli.video import Film, film_identity

MIN_FILM_SECONDS = 2.0  # that can be lined up
MIN_SURE_SECONDS = 2.0  # of all stretches together; less may be chance
MIN_REEL_SECONDS = 4.0  # that is lined up on its own
MAX_PANNED_SECONDS = 300.0  # that are searched in parts where nothing was found in the whole
AS_LONG_SECONDS = 0.1  # by which what is left out in both films may differ that both show
SURE_CONFIDENCE = 0.95  # of a stretch that is not looked at once more
SURER = 0.05  # of confidence, by which its parts must be surer
MIN_OF_DOUBTFUL = 0.7  # of it, that they must hold, and their parts of them: the rest are moves
SAME_TIME_SECONDS = 0.11  # by which parts of a stretch may be earlier or later than it
MIN_FOUND_AGAIN = 0.9  # of what was found, that must be found again at a better placement
MAX_SEARCHES = 16  # for scenes that were moved
MIN_MOVED_SECONDS = 10.0  # that is looked for elsewhere than in the order of the film
REEL_MARGIN_SECONDS = 2.0  # of the coloured film, by which its reels may begin elsewhere
SAMPLES_APART_SECONDS = 0.5  # at least, of frames whose pictures are compared for changes
PICTURE_SAMPLES = 600  # at most
# When less of the shorter film is found, it is asked whether it fits as well backwards.
LARGE_SHARE = 0.3
FLAT_RANGE = 8  # luma codes; what changes less shows nothing, whatever its noise
MAX_HELD_CHANGE = 8  # luma codes on average, within which a frame still shows what one before did
STATED_LOOKS, MIN_LOOKS = 16, 4  # at films whose offset is stated
MAX_DISSIMILARITY = 0.3  # of pictures there that show the same, by `registration.dissimilarity`
SAME_SIDE = 0.01  # of the picture, by which those of two may differ that are the same part
NOT_MOVED = 0.0015  # parts of the picture; less is within what is measured, and better left alone
DIGITS = 6  # of times and places in a map

Gap = tuple[int, int]  # frames that were left out, from the first up to the second


def align(bw: Film, color: Film, *, track: Track = no_track) -> SyncMap:
    """Find how two versions of a film line up, in time and in the picture.

    Both are read once, at the same time, as small pictures.

    Args:
        track: wraps the frames that are read, to show progress.

    Raises:
        SyncError: the films are too short, show nothing, or do not look like one film.
        VideoError: a film cannot be read, or is joined of recordings.
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
    """Refuse a film in which nothing tells when it is."""
    how = "state the offset with `filmcolorizer sync --offset FRAMES`"
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
            f" {int(brightest.max())}), so nothing tells when it is; {how}"
        )
    if int((brightest - darkest).max()) < FLAT_RANGE:
        raise SyncError(
            f"{film.path} shows a still picture throughout, so nothing tells when it is; {how}"
        )


def _check_found(
    bw: Film,
    color: Film,
    signatures: tuple[Signatures, Signatures],
    stretches: list[Stretch],
) -> None:
    """Refuse two films that are not one, of which one runs backwards, or is mirrored."""
    sure = _seconds_of(stretches, signatures[0])
    shorter = min(part.duration_seconds for part in signatures)
    if sure >= LARGE_SHARE * shorter:
        return
    refusal = f"{bw.path} and {color.path} do not look like one film"
    how = (
        "give two versions of the same film, or state the offset with"
        " `filmcolorizer sync --offset FRAMES`"
    )
    for turned, told in (
        (signatures[1].reversed(), "the second runs backwards; turn it round"),
        (signatures[1].mirrored(), "the second is mirrored; turn it round, as by ffmpeg's hflip"),
    ):
        if _seconds_of(_line_up(signatures[0], turned), signatures[0]) > sure:
            raise SyncError(f"{refusal}: {told}")
    if sure < MIN_SURE_SECONDS:
        raise SyncError(f"{refusal}: no shot that both show was found with certainty; {how}")


def _seconds_of(stretches: list[Stretch], bw: Signatures) -> float:
    return sum(stretch.end - stretch.begin for stretch in stretches) * bw.frame_seconds


def _line_up(bw: Signatures, color: Signatures, expected_rate: float = 1.0) -> list[Stretch]:
    """Find the stretches of two films that are surely the same, in order.

    What is left on both sides between them is lined up once more, on its own: a reel may have been
    transferred at another speed or crop.

    Args:
        expected_rate: seconds of the coloured film in a second of the other, most likely.
    """
    # What the shorter film shows is more surely in the other one.
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
    """The same of what is left on both sides, before or after a stretch that is sure.

    A picture that was panned and scanned lies otherwise every few seconds, and no placement fits
    most of a minute of it. Where both films are as long there, the times are known: what is short
    and not quite sure of others is chance, and parts are lined up at these.
    """
    found = _line_up(bw, color, beside.rate)
    seconds = color.duration_seconds
    if abs(beside.rate * bw.duration_seconds - seconds) > AS_LONG_SECONDS:
        return found
    whole = replace(beside, begin=0, end=len(bw))  # of which only the times count
    found = [part for part in found if _is_no_chance(bw, part) or _agree(bw, whole, part)]
    return found or (_parts_of(bw, color, whole) if seconds < MAX_PANNED_SECONDS else [])


def _is_no_chance(bw: Signatures, stretch: Stretch) -> bool:
    """Whether a stretch is sure or long."""
    seconds = (stretch.end - stretch.begin) * bw.frame_seconds
    return stretch.confidence >= SURE_CONFIDENCE or seconds >= MIN_REEL_SECONDS


def _in_parts(bw: Signatures, color: Signatures, stretch: Stretch) -> list[Stretch]:
    """A doubtful stretch, or parts of it, where these are surer.

    Where the picture moves for a few seconds, one placement for all may have been found to do.
    """
    if stretch.confidence >= SURE_CONFIDENCE:
        return [stretch]
    parts = _parts_of(bw, color, stretch)
    frames = [part.end - part.begin for part in parts]
    if sum(frames) < MIN_OF_DOUBTFUL * (stretch.end - stretch.begin):
        return [stretch]
    confidence = float(np.average([part.confidence for part in parts], weights=frames))
    if confidence < stretch.confidence + SURER:
        return [stretch]
    return [smaller for part in parts for smaller in _in_parts(bw, color, part)]


def _parts_of(bw: Signatures, color: Signatures, stretch: Stretch) -> list[Stretch]:
    """What is surely the same in the halves of a stretch, or in halves of these, at its times."""
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
    """Whether a part of a stretch has the same times."""
    ends = bw.seconds[[part.begin, part.end - 1]]
    late = part.color_seconds(ends) - stretch.color_seconds(ends)
    return bool(np.abs(late).max() <= SAME_TIME_SECONDS)


def _line_up_elsewhere(bw: Signatures, color: Signatures, found: list[Stretch]) -> list[Stretch]:
    """Add what comes in another order: reels that were swapped, scenes that were moved.

    What is left out on both sides is searched for one stretch after the other, and what that leaves
    again: of reels in reverse order any two are swapped.
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
    """Each gap between stretches in the one film with each in the other.

    Those of about the same length come first: a scene that was moved leaves two of them.
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
    """The ranges between ranges of frames, from 0 to ``end``."""
    gaps, covered = [], 0
    for first, last in [*sorted(ranges), (end, end)]:
        gaps.append((covered, max(first, covered)))
        covered = max(covered, last)
    return gaps


def _long_enough(film: Signatures, gaps: list[Gap]) -> list[Gap]:
    """Those that may hold a scene that was moved."""
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
    """Refine the placement of stretches; where it changes, line the parts up on their own.

    Where something moves through the whole picture, one that is shifted a little is found a frame
    early or late; so the times are found once more at a placement that has moved.
    """
    if not stretches:
        return []
    frames = np.concatenate([np.arange(s.begin, s.end) for s in stretches])
    apart = max(len(frames) // PICTURE_SAMPLES, round(SAMPLES_APART_SECONDS / bw.frame_seconds), 1)
    frames = frames[::apart]
    counterparts = _counterparts(bw, color, stretches, frames)
    parts = split_by_picture(bw.frames[frames], color.frames[counterparts], stretches[0].placement)
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
        placement = Placement(placement.affine, *contents)
        reels += alignment.shift(_align_surely(*reel, placement, stretches[0].rate), begin)
    return reels


def _counterparts(
    bw: Signatures, color: Signatures, stretches: list[Stretch], frames: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The coloured frames that show what frames of stretches, or after them, show."""
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
    """The frame from which on the second placement fits better than the first."""
    counterparts = _counterparts(bw, color, stretches, frames)
    gains = []
    for placement in placements:
        comparison = Comparison(placement)
        vectors = comparison.bw(bw.frames[frames]), comparison.color(color.frames[counterparts])
        gains.append((vectors[0] * vectors[1]).sum(axis=1))
    sums = np.concatenate(([0.0], np.cumsum(gains[0] - gains[1])))
    return int(frames[0] + sums.argmax())


def _gaps(bw: Signatures, color: Signatures, stretches: list[Stretch]) -> Iterator[tuple[Gap, Gap]]:
    """The frames of both films before, between and after stretches."""
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
        # A frame's time may lie up to half a frame before the film's first one.
        max(round(stretch.offset_seconds + stretch.rate * begin, DIGITS), 0.0) + 0.0,
        stretch.rate,
        round(stretch.confidence, 3),
        *_picture_of(stretch.placement),
    )


def _picture_of(placement: Placement) -> tuple[Matrix, Area]:
    """A segment's ``matrix`` and ``area``."""
    if farthest_move(placement.matrix() - IDENTITY) < NOT_MOVED:
        placement = placement.moved(np.array(IDENTITY))
    (a, b, x), (c, d, y) = placement.matrix().round(DIGITS).tolist()
    area = Area(*(round(edge, DIGITS) for edge in placement.area()))
    return ((a, b, x), (c, d, y)), area


def _end_of(stretch: Stretch, bw: Signatures, color: Signatures) -> float:
    """When the last frame of a stretch has been shown, in both films.

    Where frames are not evenly spaced the black-and-white film may hold it for seconds, in which
    the coloured one goes on to something else, or ends.
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
    """The map of two films that run alike, ``offset`` frames of ``bw`` apart.

    Its confidence is 1, since somebody states the offset.

    Raises:
        OptionError: the offset puts the two apart entirely.
        VideoError: a film is joined of recordings.
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
            f"an offset of {offset} frames puts the two films apart entirely;"
            f" it can be from {lowest} to {highest}"
        )
    segment = Segment(bw_start, bw_end, bw_start + seconds, rate=1.0, confidence=1.0)
    return SyncMap(film_identity(bw), film_identity(color), (segment,))


def laid_upon(bw: Film, color: Film, sync_map: SyncMap) -> SyncMap | None:
    """A map of one segment, whose times were stated, with how the pictures lie upon each other.

    Where the films are damaged, or show nothing, it is as it was.

    Returns:
        None where they do not look alike at these times, however they are laid.
    """
    [segment] = sync_map.segments
    looks = np.linspace(segment.bw_start_seconds, segment.bw_end_seconds, STATED_LOOKS + 2)[1:-1]
    seen = []
    for seconds in looks.tolist():
        with suppress(VideoError):  # an offset is stated where a film cannot be read as a whole
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
        return sync_map  # as of a film and what `colorize` made of it: alike to the last pixel
    return replace(sync_map, segments=(replace(segment, matrix=matrix, area=area),))


def _are_alike(one: Area, other: Area) -> bool:
    """Whether two pictures without their bars are the same part of their frames."""
    return all(abs(side - same) < SAME_SIDE for side, same in zip(one, other, strict=True))

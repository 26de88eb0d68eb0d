"""Sync maps: the alignment of two versions of a film, and the files that hold it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from filmcolorizer_cli.areas import WHOLE, Area
from filmcolorizer_cli.errors import SyncError, reason_of
from filmcolorizer_cli.files import replacing
from filmcolorizer_cli.video import Film, film_identity, may_be_same_film

MIN_CONFIDENCE = 0.5  # below this confidence, a stretch is left out
ROOM_SECONDS = 0.5  # a segment may end this much after its film, whose duration is approximate
# Smallest rate and picture scale in a map; the largest is 1 / MIN_SCALE. Also the largest
# off-diagonal element of a matrix.
MIN_SCALE = 0.2
MIN_INSIDE = 0.5  # share of a mapped area's width and height that the coloured picture must exceed
_FORMAT = "filmcolorizer-sync/2"
_JSON_WORDS: dict[type, str] = {str: "text", dict: "{...}", list: "[...]"}
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Segment:
    """A stretch in which colour time = color_start_seconds + rate * (t - bw_start_seconds).

    Times count from the first frame of each film.

    Attributes:
        bw_end_seconds: end of its last frame's display.
        rate: seconds of the coloured film per second of the black-and-white one.
        confidence: confidence in the match, from 0 to 1.
        matrix: maps a point (x, y, 1) of the black-and-white picture to the coloured one, both in
            [0, 1] coordinates, from the top left.
        area: the part of the black-and-white picture that both films show, without bars.
    """

    bw_start_seconds: float
    bw_end_seconds: float
    color_start_seconds: float
    rate: float
    confidence: float
    matrix: Matrix = IDENTITY
    area: Area = WHOLE

    @property
    def duration_seconds(self) -> float:
        """Duration in the black-and-white film."""
        return self.bw_end_seconds - self.bw_start_seconds

    @property
    def offset_seconds(self) -> float:
        """Start time in the coloured film minus that in the black-and-white one."""
        return self.color_start_seconds - self.bw_start_seconds

    def color_seconds(self, bw_seconds: float) -> float:
        """Return the coloured film's time for this time of the black-and-white film."""
        return self.color_start_seconds + self.rate * (bw_seconds - self.bw_start_seconds)


@dataclass(frozen=True)
class SyncMap:
    """The alignment of a black-and-white film and its coloured version.

    Attributes:
        bw, color: identities of the two films (path, frame rate, duration).
        segments: in order of the black-and-white film; frames between them have no counterpart.
    """

    bw: dict[str, Any]
    color: dict[str, Any]
    segments: tuple[Segment, ...]

    @property
    def longest(self) -> Segment:
        """The longest segment, to represent the map where a single one is needed."""
        return max(self.segments, key=lambda segment: segment.duration_seconds)

    def sure(self) -> SyncMap:
        """Return the map without segments below `MIN_CONFIDENCE`.

        Raises:
            SyncError: no segment is left.
        """
        segments = tuple(s for s in self.segments if s.confidence >= MIN_CONFIDENCE)
        if not segments:
            raise SyncError(
                f"the map has no segment with a confidence of {MIN_CONFIDENCE:g} or more; make a"
                " new one with `filmcolorizer sync BW COLOR`"
            )
        return replace(self, segments=segments)

    @property
    def shared_seconds(self) -> float:
        """Total duration of the segments in the black-and-white film."""
        return sum(segment.duration_seconds for segment in self.segments)


def nothing_shared(bw: Film, color: Film) -> SyncError:
    """Return the error for a map that leaves no moment in both films."""
    return SyncError(
        f"{bw.path} and {color.path} share no moment according to this map; make a new one with"
        " `filmcolorizer sync BW COLOR`"
    )


def write_map(sync_map: SyncMap, path: Path) -> None:
    """Write a map as JSON, atomically.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    content = {
        "format": _FORMAT,
        "bw": sync_map.bw,
        "color": sync_map.color,
        "segments": [asdict(segment) for segment in sync_map.segments],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def read_map(path: Path) -> SyncMap:
    """Read a map that `write_map` or a person wrote.

    Raises:
        SyncError: the file is missing or holds no map.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # editors may add a BOM
        _check_named(content, "it", {"format": str})
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {_FORMAT!r}")
        _check_named(content, "it", {"bw": dict, "color": dict, "segments": list})
        segments = tuple(_segment(values) for values in content["segments"])
        sync_map = SyncMap(content["bw"], content["color"], segments)
        _check_map(sync_map)
        return sync_map
    except (OSError, ValueError, RecursionError) as error:
        raise SyncError(
            f"{path} is not a sync map ({reason_of(error)}); make one with `filmcolorizer sync BW"
            " COLOR`"
        ) from None


def check_films(sync_map: SyncMap, bw: Film, color: Film) -> None:
    """Check that a map was made for these two films; properties it lacks are not compared.

    Raises:
        SyncError: a film's frame rate or duration differs from the map's, or a segment ends after
            its film.
    """
    for film, mapped in ((bw, sync_map.bw), (color, sync_map.color)):
        identity = film_identity(film)
        for key in ("frame_rate", "duration_seconds"):
            if key in mapped and not may_be_same_film(identity, identity | {key: mapped[key]}):
                raise SyncError(
                    f"the map is for another film than {film.path}: its {key} is {mapped[key]}, the"
                    f" film's {identity[key]}; make a new map with `filmcolorizer sync BW COLOR`"
                )
    for segment in sync_map.segments:
        ends = (segment.bw_end_seconds, segment.color_seconds(segment.bw_end_seconds))
        for film, end in zip((bw, color), ends, strict=True):
            if end > film.duration_seconds + ROOM_SECONDS:
                raise SyncError(
                    f"the map goes on to {end:.2f} s of {film.path}, which ends at"
                    f" {film.duration_seconds:.2f} s; make a new one with `filmcolorizer sync BW"
                    " COLOR`"
                )


def _check_map(sync_map: SyncMap) -> None:
    """Raise ValueError for a map by which no two films can be aligned."""
    if not sync_map.segments:
        raise ValueError("it has no segments")
    end = 0.0
    for segment in sync_map.segments:
        if not end <= segment.bw_start_seconds < segment.bw_end_seconds:
            raise ValueError(
                f"the segment from {segment.bw_start_seconds:g} to {segment.bw_end_seconds:g} s is"
                " empty, or begins before the one before it ends"
            )
        if segment.color_start_seconds < 0:
            raise ValueError(f"color_start_seconds is {segment.color_start_seconds:g}, below 0")
        if not MIN_SCALE <= segment.rate <= 1 / MIN_SCALE:
            raise ValueError(f"a segment's rate is {segment.rate:g}, not from 0.2 to 5")
        if not 0 <= segment.confidence <= 1:
            raise ValueError(f"a segment's confidence is {segment.confidence:g}, not from 0 to 1")
        (a, b, _), (c, d, _) = segment.matrix
        if not all(MIN_SCALE <= scale <= 1 / MIN_SCALE for scale in (a, d)):
            raise ValueError(f"a segment's matrix scales by {a:g} and {d:g}, not by 0.2 to 5")
        if max(abs(b), abs(c)) > MIN_SCALE:
            raise ValueError("a segment's matrix rotates the picture by more than a little")
        left, top, right, bottom = segment.area
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(f"a segment's area {tuple(segment.area)} is not part of a picture")
        corners = np.array(list(product((left, right), (top, bottom), (1,))))
        shown = corners @ np.array(segment.matrix).T
        low, high = shown.min(axis=0), shown.max(axis=0)
        if ((np.clip(high, 0, 1) - np.clip(low, 0, 1)) <= MIN_INSIDE * (high - low)).any():
            raise ValueError("a segment's matrix leads out of the coloured picture")
        end = segment.bw_end_seconds


def _check_named(values: Any, what: str, kinds: dict[str, type]) -> None:
    """Raise ValueError unless ``values`` is a JSON object with these names and types of values."""
    if not isinstance(values, dict):
        raise ValueError(f"{what} is {values!r:.40}, not a JSON object ({{...}})")
    for name, kind in kinds.items():
        if name not in values:
            raise ValueError(f"{what} lacks {name!r}")
        if not isinstance(values[name], kind):
            raise ValueError(f"{name} is {values[name]!r:.40}, not {_JSON_WORDS[kind]}")


def _segment(values: Any) -> Segment:
    wanted = [field.name for field in fields(Segment)]
    single = [name for name in wanted if name not in ("matrix", "area")]
    _check_named(values, "a segment", dict.fromkeys(single, object))
    for name in values:
        if name not in wanted:
            raise ValueError(f"a segment has a {name!r}, which is none of {', '.join(wanted)}")
    numbers = {name: _numbers(name, [values[name]], 1)[0] for name in single}
    rows = values.get("matrix", IDENTITY)
    if not isinstance(rows, list | tuple) or len(rows) != 2:
        raise ValueError(f"matrix is {rows!r:.40}, not two rows")
    (a, b, x), (c, d, y) = (_numbers("matrix", row, 3) for row in rows)
    area = Area(*_numbers("area", values.get("area", WHOLE), 4))
    return Segment(**numbers, matrix=((a, b, x), (c, d, y)), area=area)


def _numbers(name: str, values: Any, count: int) -> list[float]:
    """Convert ``count`` values to finite numbers.

    Raises:
        ValueError: there are fewer or more values, or one is no finite number.
    """
    if not isinstance(values, list | tuple) or len(values) != count:
        raise ValueError(f"{name} has {values!r:.40}, not {count} numbers")
    numbers = []
    for value in values:
        try:
            numbers.append(float(value))
        except (TypeError, ValueError, OverflowError):
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise ValueError(f"{name} has {value!r:.40}, which is not a finite number")
    return numbers

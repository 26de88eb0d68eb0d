"""How two versions of one film line up in time and in the picture."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.errors import OptionError, SyncError
from filmcolorizer_cli.files import replacing
from filmcolorizer_cli.video import Film, Plane, Sampling, read_luma

SIGNATURE_WIDTH, SIGNATURE_HEIGHT = 16, 12  # pixels of a frame that the search looks at
SHORTEST_OVERLAP_SECONDS = 2.0  # two versions share at least this much
SAME_PICTURE_CORRELATION = 0.5  # of two signatures, from which on they may show one picture
LEAST_CONFIDENCE = 0.5  # share of same pictures below which two films are not taken for one
FLAT_DEVIATION = 4.0  # luma codes; a frame that deviates less from its mean shows nothing
_FORMAT = "filmcolorizer-sync/1"
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

Signatures = NDArray[np.float32]
Track = Callable[[Iterable[Plane], int, str], Iterable[Plane]]


@dataclass(frozen=True)
class Segment:
    """A stretch in which colour time = color_start_seconds + rate * (t - bw_start_seconds).

    Times count from the first frame of each film.

    Attributes:
        rate: seconds of the coloured film in a second of the black-and-white one.
        confidence: how sure the match is, from 0 to 1.
    """

    bw_start_seconds: float
    bw_end_seconds: float
    color_start_seconds: float
    rate: float
    confidence: float

    def color_seconds(self, bw_seconds: float) -> float:
        """The time in the coloured film that shows this moment of the black-and-white one."""
        return self.color_start_seconds + self.rate * (bw_seconds - self.bw_start_seconds)


@dataclass(frozen=True)
class SyncMap:
    """How a black-and-white film and its coloured version line up.

    Attributes:
        bw, color: what identifies the two films (path, frame rate, duration).
        matrix: takes a point (x, y, 1) of the black-and-white picture to the coloured one, both in
            [0, 1] coordinates.
    """

    bw: dict[str, Any]
    color: dict[str, Any]
    segments: tuple[Segment, ...]
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]] = _IDENTITY

    @property
    def is_registered(self) -> bool:
        """Whether the coloured picture has to be moved to fit."""
        return self.matrix != _IDENTITY


def find_offset(
    bw: Film, color: Film, *, track: Track = lambda frames, total, label: frames
) -> tuple[int, float]:
    """Find by how many frames two versions of a film are apart.

    Both are looked at as 16x12 pictures at the frame rate of ``bw``. What changes from frame to
    frame is correlated at all offsets at once (by FFT); the frames that then meet are compared.

    Args:
        track: wraps each film's frames, to show progress.

    Returns:
        The offset in frames of ``bw`` (frame n of ``bw`` is frame n + offset of ``color``), and the
        share of frames whose pictures agree, from 0 to 1.

    Raises:
        SyncError: the films are too short, show nothing, or do not look like one film.
        VideoError: a film cannot be read.
    """
    rate = bw.frame_rate
    a = _signatures(bw, rate, track, "black-and-white film")
    b = _signatures(color, rate, track, "coloured film")
    shortest = math.ceil(SHORTEST_OVERLAP_SECONDS * rate)
    for film, signatures in ((bw, a), (color, b)):
        if len(signatures) < shortest:
            raise SyncError(
                f"{film.path} is only {float(len(signatures) / rate):.1f} s long; lining up takes"
                f" at least {SHORTEST_OVERLAP_SECONDS:g} s, so state the offset with --offset"
                " FRAMES"
            )
        if not np.any(np.diff(signatures, axis=0)):
            raise SyncError(
                f"{film.path} shows a still or empty picture throughout, so nothing tells when it"
                " is; state the offset with --offset FRAMES"
            )
    offset = _best_offset(a, b, shortest)
    confidence = _agreement(a, b, offset)
    if confidence < LEAST_CONFIDENCE:
        raise SyncError(
            f"{bw.path} and {color.path} do not look like one film: at the best offset"
            f" ({offset} frames) only {confidence:.0%} of the pictures agree; give two versions of"
            " the same film, or state the offset with --offset FRAMES"
        )
    return offset, confidence


def constant_offset(bw: Film, color: Film, offset: int, confidence: float) -> SyncMap:
    """The map of two films that run alike, ``offset`` frames of ``bw`` apart.

    Raises:
        OptionError: the offset puts the two apart entirely.
    """
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
    segment = Segment(bw_start, bw_end, bw_start + seconds, 1.0, confidence)
    return SyncMap(film_identity(bw), film_identity(color), (segment,))


def write_map(sync_map: SyncMap, path: Path) -> None:
    """Write a map as JSON, whole or not at all.

    Raises:
        FilmColorizerError: the file cannot be written.
    """
    content = {
        "format": _FORMAT,
        "bw": sync_map.bw,
        "color": sync_map.color,
        "segments": [asdict(segment) for segment in sync_map.segments],
        "picture": {"matrix": sync_map.matrix},
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def read_map(path: Path) -> SyncMap:
    """Read a map that `write_map` or a person wrote.

    Raises:
        SyncError: the file is missing or holds no map.
    """
    try:
        content = json.loads(path.read_text())
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {_FORMAT!r}")
        (a, b, tx), (c, d, ty) = (map(_number, row) for row in content["picture"]["matrix"])
        sync_map = SyncMap(
            bw=dict(content["bw"]),
            color=dict(content["color"]),
            segments=tuple(_segment(values) for values in content["segments"]),
            matrix=((a, b, tx), (c, d, ty)),
        )
        _check_map(sync_map)
        return sync_map
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SyncError(
            f"{path} holds no sync map ({error}); make one with `filmcolorizer sync BW COLOR`"
        ) from None


def check_films(sync_map: SyncMap, bw: Film, color: Film) -> None:
    """Make sure that a map was made for these two films; what it does not say is not compared.

    Raises:
        SyncError: a film has another frame rate or duration than the map's.
    """
    for film, mapped in ((bw, sync_map.bw), (color, sync_map.color)):
        identity = film_identity(film)
        for key in ("frame_rate", "duration_seconds"):
            if key in mapped and mapped[key] != identity[key]:
                raise SyncError(
                    f"the map is of another film than {film.path}: its {key} is {mapped[key]}, the"
                    f" film's {identity[key]}; make a new map with `filmcolorizer sync BW COLOR`"
                )


def _check_map(sync_map: SyncMap) -> None:
    """Refuse, as a ValueError, what no pair of films can be lined up by."""
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
        end = segment.bw_end_seconds
    (a, b, _), (c, d, _) = sync_map.matrix
    if a * d == b * c:
        raise ValueError("its picture matrix squeezes the picture to a line")


def _segment(values: Any) -> Segment:
    segment = Segment(**{name: _number(value) for name, value in dict(values).items()})
    if segment.rate <= 0:
        raise ValueError(f"a segment's rate is {segment.rate:g}, not above 0")
    return segment


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no finite number")
    return number


def film_identity(film: Film) -> dict[str, Any]:
    """What tells a film from others: path, frame rate and duration."""
    return {
        "path": str(film.path),
        "frame_rate": str(film.frame_rate),
        "duration_seconds": film.duration_seconds,
    }


def _signatures(film: Film, frame_rate: Fraction, track: Track, label: str) -> Signatures:
    """(frames, 192): small pictures without their brightness and contrast, nor what never changes.

    Frames that show nothing are all zero.
    """
    sampling = Sampling(SIGNATURE_WIDTH, SIGNATURE_HEIGHT, frame_rate)
    frames: Iterator[Plane] = read_luma(film, sampling)
    small = [frame.ravel() for frame in track(frames, sampling.frame_count(film), label)]
    pictures = np.asarray(small, np.float32).reshape(-1, SIGNATURE_WIDTH * SIGNATURE_HEIGHT)
    pictures -= pictures.mean(axis=1, keepdims=True)
    deviation = pictures.std(axis=1, keepdims=True)
    shows = deviation > FLAT_DEVIATION
    pictures = np.where(shows, pictures / np.maximum(deviation, FLAT_DEVIATION), 0)
    if shows.any():
        pictures -= shows * pictures.mean(axis=0, where=shows)
    return pictures.astype(np.float32)


def _best_offset(a: Signatures, b: Signatures, shortest: int) -> int:
    """The offset at which the changes from frame to frame correlate best."""
    changes_a, changes_b = np.diff(a, axis=0), np.diff(b, axis=0)
    n, m = len(changes_a), len(changes_b)
    size = 1 << (n + m - 1).bit_length()
    spectrum = np.zeros(size // 2 + 1, np.complex128)
    for column_a, column_b in zip(changes_a.T, changes_b.T, strict=True):
        spectrum += np.conj(np.fft.rfft(column_a, size)) * np.fft.rfft(column_b, size)
    # correlation[k] is the sum over t of a[t] * b[t + k]; negative k wrap around
    correlation = np.fft.irfft(spectrum, size)
    offsets = np.arange(-(n - 1), m)
    energy_a = np.concatenate(([0.0], np.cumsum((changes_a**2).sum(axis=1))))
    energy_b = np.concatenate(([0.0], np.cumsum((changes_b**2).sum(axis=1))))
    begin, end = np.maximum(0, -offsets), np.minimum(n, m - offsets)
    shared_a = energy_a[end] - energy_a[begin]
    shared_b = energy_b[end + offsets] - energy_b[begin + offsets]
    overlap = end - begin
    score = correlation[offsets] / np.sqrt(np.maximum(shared_a * shared_b, 1e-9))
    score *= np.sqrt(overlap)  # a chance match is the likelier the fewer frames it rests on
    score[overlap < min(shortest, n, m)] = -np.inf
    return int(offsets[np.argmax(score)])


def _agreement(a: Signatures, b: Signatures, offset: int) -> float:
    """The share of frames, of those that show something, whose signatures correlate."""
    begin, end = max(0, -offset), min(len(a), len(b) - offset)
    pictures_a, pictures_b = a[begin:end], b[begin + offset : end + offset]
    norms = np.linalg.norm(pictures_a, axis=1) * np.linalg.norm(pictures_b, axis=1)
    shows = norms > 0
    if not shows.any():
        return 0.0
    correlation = (pictures_a * pictures_b).sum(axis=1)[shows] / norms[shows]
    return float((correlation > SAME_PICTURE_CORRELATION).mean())

"""Comparison of a colour film's own colours with those that a network predicts from its luma."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from itertools import islice, pairwise
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from filmcolorizer_cli import metrics
from filmcolorizer_cli.areas import PixelArea
from filmcolorizer_cli.color import chroma_from_codes, luma_from_codes, resize, ycbcr_to_rgb
from filmcolorizer_cli.edits import Edits
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.frames import read_pictures
from filmcolorizer_cli.motion import is_reliable, optical_flow, warp
from filmcolorizer_cli.networks import Network, for_inference
from filmcolorizer_cli.painting import Painter
from filmcolorizer_cli.planes import Coding, DeepPlane, Plane
from filmcolorizer_cli.progress import Track, no_track
from filmcolorizer_cli.propagation import Propagator
from filmcolorizer_cli.sampling import Sampling, check_part
from filmcolorizer_cli.survey import Survey, survey
from filmcolorizer_cli.timeline import Timeline
from filmcolorizer_cli.video import Film

SIZE = 360  # default number of lines to compare at; optical flow is slow on more
MIN_SIDE = 16  # pixels; optical flow needs at least these
MIN_SECONDS = 0.25  # seconds of film needed to find out whether it is in colour
LEAD_SECONDS = 1.0  # seconds of a shot coloured before a single frame that is shown
WAYS = ("network", "baseline", "truth")  # ways of colouring, in the order of all measurements
NETWORK, BASELINE, TRUTH = range(len(WAYS))

Picture = tuple[Plane, Plane]  # luma (H, W) and chroma (2, ceil(H/2), ceil(W/2)), uint8


@dataclass(frozen=True)
class FilmScore:
    """Scores of one way of colouring a film or a shot: the network, the grey frame, or the truth.

    Attributes:
        psnr: mean PSNR of the frames, in dB; None for the truth.
        pooled_psnr: PSNR of the mean squared error of all frames, in dB, which single black frames
            do not raise; None for the truth.
        colorfulness: mean colourfulness of the frames.
        flicker: mean absolute change of chroma, in [-0.5, 0.5], along the true motion; None where
            no motion is reliable.
        flicker_ratio: flicker over that of the truth; None where the truth does not flicker at all.
        cdc: colour distribution consistency, in nats; for a film, the mean over its shots, weighted
            by their frames; None for shots that are too short for it.
    """

    psnr: float | None
    pooled_psnr: float | None
    colorfulness: float
    flicker: float | None
    flicker_ratio: float | None
    cdc: float | None


@dataclass(frozen=True)
class ShotEvaluation:
    """Scores on a shot; its begin and end count from the film's first frame."""

    begin_seconds: float
    end_seconds: float
    frames: int
    network: FilmScore
    baseline: FilmScore
    truth: FilmScore


@dataclass(frozen=True)
class FrameSeries:
    """Measurements of each frame, in order; ``seconds`` count from the film's first frame."""

    seconds: tuple[float, ...]
    psnr: tuple[float, ...]
    baseline_psnr: tuple[float, ...]
    colorfulness: tuple[float, ...]
    true_colorfulness: tuple[float, ...]


@dataclass(frozen=True)
class FilmEvaluation:
    """Scores of the network, the grey frame and the truth on a film, or on a part of one.

    Attributes:
        width, height: size that was compared, in pixels, bars included.
        frame_rate: frames compared per second.
        found: the survey of the film, or of the part, before it was compared.
    """

    width: int
    height: int
    frame_rate: Fraction
    frames: int
    network: FilmScore
    baseline: FilmScore
    truth: FilmScore
    shots: tuple[ShotEvaluation, ...]
    series: FrameSeries
    found: Survey


@dataclass(frozen=True)
class FilmOptions:
    """What of a film to compare.

    Attributes:
        size: lines to compare at; films with fewer are compared as they are.
        start_seconds, duration_seconds: the part, in time from the first frame.
        temporal: carry colours along the motion; otherwise, predict each frame on its own.
    """

    size: int = SIZE
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    temporal: bool = True

    def sampling(self, film: Film) -> Sampling:
        """Return the sampling of the frames to compare, at the film's own rate."""
        width, height = film.width, film.height
        if height > self.size:
            width, height = max(round(width * self.size / height / 2), 1) * 2, self.size
        return Sampling(
            width,
            height,
            frame_rate=film.credible_rate,
            start_seconds=self.start_seconds,
            duration_seconds=self.duration_seconds,
        )


def evaluate_film(
    film: Film,
    network: Network,
    options: FilmOptions,
    device: torch.device,
    *,
    track: Track = no_track,
) -> Generator[int, None, FilmEvaluation]:
    """Colorize a colour film's own luma as `colorize` does, and compare the colours with its own.

    The picture inside the film's bars is compared, shot by shot. The chroma of both versions is
    half the size of their luma. Only the last frame is kept, besides those that the colorizer
    processes together or remembers.

    Args:
        track: wraps the frames that are surveyed at first, given their number and a label.

    Yields:
        The number of frames compared so far.

    Raises:
        OptionError: the wanted part has no frame.
        VideoError: the film is black and white, too short or too small, or cannot be read.
    """
    sampling = options.sampling(film)
    check_part(film, sampling)
    found = survey(
        film,
        start_seconds=sampling.start_seconds,
        duration_seconds=sampling.duration_seconds,
        frame_rate=sampling.frame_rate,
        track=track,
    )
    _check_fitness(film, found, sampling)
    painter, edits = _painter(film, found, sampling, network, device), _edits(found, sampling)
    rows: list[dict[str, float]] = []
    shots: list[ShotEvaluation] = []
    total = _Sums()
    propagator = Propagator() if options.temporal else None
    with closing(_read(film, found, sampling)) as pictures:
        for shot in _split(pictures, edits):
            begin, meter = _seconds(sampling, len(rows)), _ShotMeter(film.coding.matrix)
            first = len(rows)
            for painted in _colorize(shot, painter, propagator, edits, first):
                rows.append({"seconds": _seconds(sampling, len(rows)), **meter.add(*painted)})
                yield len(rows)
            sums, end = meter.sums(), _seconds(sampling, len(rows))
            if not sums.frames:  # a cut at the very end
                continue
            shots.append(ShotEvaluation(begin, end, sums.frames, *sums.scores()))
            total += sums
    series = FrameSeries(**{name: tuple(row[name] for row in rows) for name in rows[0]})
    size = _size(sampling)
    return FilmEvaluation(
        *size, sampling.frame_rate, total.frames, *total.scores(), tuple(shots), series, found
    )


def paint_frame(
    film: Film,
    result: FilmEvaluation,
    network: Network,
    options: FilmOptions,
    device: torch.device,
    number: int,
) -> tuple[Plane, Plane, Plane]:
    """Colorize a compared frame again, with up to a second of its shot before it.

    Args:
        number: of the frame, an index into ``result.series``.

    Returns:
        Its luma (H, W), the predicted chroma (2, ceil(H/2), ceil(W/2)), and the true chroma.

    Raises:
        VideoError: the film cannot be read.
    """
    seconds = result.series.seconds
    shot = next(shot for shot in result.shots if seconds[number] < shot.end_seconds)
    begin = next(
        n for n in range(number + 1)
        if seconds[n] >= max(shot.begin_seconds, seconds[number] - LEAD_SECONDS) - 1e-6
    )  # fmt: skip
    sampling = replace(
        options.sampling(film),
        start_seconds=seconds[begin],
        duration_seconds=float((number + 1 - begin) / result.frame_rate),
    )
    with closing(_read(film, result.found, sampling)) as pictures:
        propagator = Propagator() if options.temporal else None
        found = result.found
        painter, edits = _painter(film, found, sampling, network, device), _edits(found, sampling)
        *_, painted = _colorize(pictures, painter, propagator, edits, begin)
    return painted


def mean_score(scores: Sequence[FilmScore]) -> FilmScore:
    """Return the mean over films of equal weight; each number over the films that have it."""
    return FilmScore(
        psnr=_mean(score.psnr for score in scores),
        pooled_psnr=_mean(score.pooled_psnr for score in scores),
        colorfulness=fmean(score.colorfulness for score in scores),
        flicker=_mean(score.flicker for score in scores),
        flicker_ratio=_mean(score.flicker_ratio for score in scores),
        cdc=_mean(score.cdc for score in scores),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _size(sampling: Sampling) -> tuple[int, int]:
    """Return the width and height that `FilmOptions` chose."""
    assert sampling.width is not None
    assert sampling.height is not None
    return sampling.width, sampling.height


def _area(film: Film, found: Survey, sampling: Sampling) -> PixelArea:
    """Return the area of the picture inside its bars, at the size that is compared."""
    return found.area.scaled((film.width, film.height), _size(sampling))


def _check_fitness(film: Film, found: Survey, sampling: Sampling) -> None:
    """Reject a film whose colours cannot be compared.

    Raises:
        VideoError: it is black and white, too short or too small.
    """
    if not found.colored and found.seconds < MIN_SECONDS:
        raise VideoError(
            f"{found.seconds:.2f} s of {film.path} are too short to tell whether they are in"
            f" colour; give a longer part, of {MIN_SECONDS:g} s or more"
        )
    if not found.colored:
        raise VideoError(
            f"{film.path} shows no colours to compare with; give a film in colour, or another part"
            " of it with --start and --duration"
        )
    area = _area(film, found, sampling)
    if min(area.width, area.height) < MIN_SIDE:
        raise VideoError(
            f"{film.path} is compared at {area.width}x{area.height} pixels, too few to follow"
            f" motion in; give one of at least {MIN_SIDE}x{MIN_SIDE}, or a larger --size"
        )


def _read(film: Film, found: Survey, sampling: Sampling) -> Generator[Picture, None, None]:
    """Yield the pictures inside their bars."""
    sampling = replace(sampling, cadence=found.cadence)
    area = _area(film, found, sampling)
    with closing(read_pictures(film, sampling, Coding(matrix=film.coding.matrix))) as pictures:
        for luma, chroma in pictures:
            yield _as_bytes(area.crop(luma)), _as_bytes(area.crop_chroma(chroma))


def _as_bytes(codes: DeepPlane) -> Plane:
    return codes.astype(np.uint8, copy=False)


def _edits(found: Survey, sampling: Sampling) -> Edits:
    """Return the edits in numbers of the compared frames."""
    return found.edits(Timeline.steady(sampling.frame_rate, 0))


def _split(pictures: Iterator[Picture], edits: Edits) -> Iterator[Iterator[Picture]]:
    """Yield the pictures of each shot; each must be read to its end before the next."""
    for begin, end in pairwise([0, *edits.cuts]):
        yield islice(pictures, end - begin)
    yield pictures


def _seconds(sampling: Sampling, number: int) -> float:
    """Return when a frame begins, in seconds from the film's first frame."""
    return sampling.start_seconds + number / float(sampling.frame_rate)


def _painter(
    film: Film, found: Survey, sampling: Sampling, network: Network, device: torch.device
) -> Painter:
    """Return a painter with a network's colours for a film's pictures inside their bars."""
    width, height = _size(sampling)
    return Painter(
        for_inference(network, device, is_faded=found.is_faded),
        device,
        sample_aspect_ratio=film.aspect_ratio * height / width,
        coding=Coding(matrix=film.coding.matrix),
    )


def _colorize(
    shot: Iterator[Picture],
    painter: Painter,
    propagator: Propagator | None,
    edits: Edits,
    first_frame: int,
) -> Iterator[tuple[Plane, Plane, Plane]]:
    """Yield the luma, the predicted chroma and the true chroma of each picture of a shot.

    Args:
        first_frame: number of the first picture among the surveyed frames.
    """
    true_chroma: deque[Plane] = deque()  # of frames that the painter has read ahead

    def lumas() -> Iterator[Plane]:
        for luma, chroma in shot:
            true_chroma.append(chroma)
            yield luma

    for luma, chroma in painter.paint(lumas(), propagator, edits, first_frame):
        yield _as_bytes(luma), _as_bytes(chroma), true_chroma.popleft()


def _zeros() -> Tensor:
    return torch.zeros(len(WAYS), dtype=torch.float64)


@dataclass(frozen=True)
class _Sums:
    """Sums over frames of their measurements in all `WAYS` of colouring; tensors are (3,).

    Attributes:
        squared_error: mean over pixels and channels, on R'G'B' in [0, 1].
        flicker: sum over the ``pixels`` whose motion is reliable.
        cdc: multiplied by ``cdc_frames``, the frames of shots that have one.
    """

    frames: int = 0
    psnr: Tensor = field(default_factory=_zeros)
    squared_error: Tensor = field(default_factory=_zeros)
    colorfulness: Tensor = field(default_factory=_zeros)
    flicker: Tensor = field(default_factory=_zeros)
    pixels: int = 0
    cdc: Tensor = field(default_factory=_zeros)
    cdc_frames: int = 0

    def __add__(self, other: _Sums) -> _Sums:
        names = (entry.name for entry in fields(self))
        return _Sums(*(getattr(self, name) + getattr(other, name) for name in names))

    def scores(self) -> tuple[FilmScore, FilmScore, FilmScore]:
        """Return the scores of the network, the grey frame and the truth."""
        network, baseline, truth = (self._score(way) for way in range(len(WAYS)))
        return network, baseline, replace(truth, psnr=None, pooled_psnr=None)

    def _score(self, way: int) -> FilmScore:
        flicker, true_flicker = self.flicker[way].item(), self.flicker[TRUTH].item()
        return FilmScore(
            psnr=self.psnr[way].item() / self.frames,
            pooled_psnr=metrics.psnr_of_error(self.squared_error[way] / self.frames).item(),
            colorfulness=self.colorfulness[way].item() / self.frames,
            flicker=flicker / self.pixels if self.pixels else None,
            flicker_ratio=flicker / true_flicker if true_flicker else None,
            cdc=self.cdc[way].item() / self.cdc_frames if self.cdc_frames else None,
        )


class _ShotMeter:
    """Measurement of a shot's frames, one after the other, in all ways of colouring."""

    def __init__(self, matrix: str) -> None:
        self._matrix = matrix
        self._sums = _Sums()
        self._consistency = [metrics.ColorDistributionConsistency() for _ in WAYS]
        self._before: tuple[Plane, Tensor] | None = None  # luma and chroma of the frame before

    @torch.inference_mode()
    def add(self, luma: Plane, chroma: Plane, true_chroma: Plane) -> dict[str, float]:
        """Measure the next frame.

        Args:
            luma: (H, W).
            chroma, true_chroma: (2, ceil(H/2), ceil(W/2)).

        Returns:
            Its values for `FrameSeries`, except for the time, by name.
        """
        codes = torch.from_numpy(np.stack((chroma, true_chroma)))
        painted, true = resize(chroma_from_codes(codes, range="limited"), *luma.shape)
        chroma_of_ways = torch.stack((painted, torch.zeros_like(painted), true))  # (3, 2, H, W)
        planes = _luma_planes(luma).expand(len(WAYS), -1, -1, -1)
        ycbcr = torch.cat((planes, chroma_of_ways), dim=1)
        rgb = ycbcr_to_rgb(ycbcr, self._matrix).clamp(0, 1)
        for consistency, histogram in zip(self._consistency, metrics.histograms(rgb), strict=True):
            consistency.add(histogram)
        error = (rgb - rgb[TRUTH]).square().mean(dim=(1, 2, 3))
        psnr, colorfulness = metrics.psnr_of_error(error), metrics.colorfulness(rgb)
        flicker, pixels = self._flicker(luma, chroma_of_ways)
        self._sums += _Sums(
            frames=1,
            psnr=psnr,
            squared_error=error,
            colorfulness=colorfulness,
            flicker=flicker,
            pixels=pixels,
        )
        self._before = luma, chroma_of_ways
        return {
            "psnr": psnr[NETWORK].item(),
            "baseline_psnr": psnr[BASELINE].item(),
            "colorfulness": colorfulness[NETWORK].item(),
            "true_colorfulness": colorfulness[TRUTH].item(),
        }

    def sums(self) -> _Sums:
        """Return the sums over all frames so far."""
        values = [consistency.value() for consistency in self._consistency]
        known = [value for value in values if value is not None]
        if not known:
            return self._sums
        frames = self._sums.frames
        cdc = torch.tensor(known, dtype=torch.float64) * frames
        return replace(self._sums, cdc=cdc, cdc_frames=frames)

    def _flicker(self, luma: Plane, chroma: Tensor) -> tuple[Tensor, int]:
        """Return the summed change of chroma (3,) since the frame before, and its pixel count."""
        if self._before is None:
            return _zeros(), 0
        luma_before, chroma_before = self._before
        flow, flow_back = optical_flow(luma, luma_before), optical_flow(luma_before, luma)
        reliable = is_reliable(_luma_planes(luma), _luma_planes(luma_before), flow, flow_back)
        carried = warp(chroma_before, flow.expand(len(WAYS), -1, -1, -1))
        pixels = int(reliable.sum())
        return metrics.flicker(chroma, carried, reliable) * pixels, pixels


def _luma_planes(luma: Plane) -> Tensor:
    """Convert luma codes (H, W) to luma (1, 1, H, W) in [0, 1]."""
    codes = torch.from_numpy(np.ascontiguousarray(luma))
    return luma_from_codes(codes, range="limited")[None, None].clamp(0, 1)

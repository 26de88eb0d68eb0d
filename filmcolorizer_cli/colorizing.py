"""frames -> network -> frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from filmcolorizer_cli import __version__
from filmcolorizer_cli.color import (
    WORKING_MATRIX,
    change_matrix,
    chroma_to_codes,
    fit_chroma,
    luma_from_codes,
    resize,
)
from filmcolorizer_cli.encoding import CODECS, Encoding, PictureWriter
from filmcolorizer_cli.errors import OptionError, VideoError
from filmcolorizer_cli.networks import Network, autocast, config_to_dict, for_inference
from filmcolorizer_cli.segments import Parts, Segment, identity_of
from filmcolorizer_cli.video import (
    PLAIN,
    Coding,
    DeepPlane,
    Film,
    Sampling,
    Timeline,
    join_film,
    read_coded_luma,
)
from filmcolorizer_cli.weights import checksum

BATCH_SIZE = 8  # frames that the network looks at together
SEGMENT_SECONDS = 10  # of film that a crash costs at most


@dataclass(frozen=True)
class ColorizeOptions:
    """What of a film is colorized, and how it is written.

    Attributes:
        start_seconds, duration_seconds: the part, in time from the first frame.
        vividness: what the saturation is multiplied by.
    """

    encoding: Encoding = field(default_factory=Encoding)
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    vividness: float = 1.0

    def sampling(self) -> Sampling:
        """The frames that are read: of the film's own size, at the rate that is written."""
        return Sampling(
            frame_rate=self.encoding.frame_rate,
            start_seconds=self.start_seconds,
            duration_seconds=self.duration_seconds,
        )


def colorize(
    film: Film,
    target: Path,
    network: Network,
    options: ColorizeOptions,
    device: torch.device,
    *,
    note: Callable[[str], object] = lambda text: None,
) -> Iterator[int]:
    """Write a film's colour version: its own luma, the network's chroma, its sound.

    It is rendered in segments, which gather in ``<target>.parts`` and are joined at last. Stopped
    in whatever way and called again, it goes on after the last segment that is done.

    Args:
        note: is told when an interrupted rendering is taken up, or gives way.

    Yields:
        The number of frames written so far: first those that an interrupted rendering left, if it
        left any, then after each frame.

    Raises:
        OptionError: the film ends before ``start_seconds``, or not a single frame is wanted.
        FilmColorizerError: the target or its parts cannot be written.
        VideoError: the film cannot be read, or the target cannot be written; no target is left.
    """
    if options.start_seconds >= film.duration_seconds:
        raise OptionError(
            f"{film.path} ends at {film.duration_seconds:.2f} s, before the start at"
            f" {options.start_seconds:g} s; give a smaller --start"
        )
    sampling = options.sampling()
    if options.duration_seconds is not None and not sampling.frames_in(options.duration_seconds):
        raise OptionError(
            f"a duration of {options.duration_seconds:g} s is shorter than a frame; give a longer"
            " --duration"
        )
    parts = Parts(
        target,
        _begun_with(film, network, options),
        sampling.frame_count(film),
        round(SEGMENT_SECONDS * sampling.frame_rate),
        CODECS[options.encoding.codec].endings[0],
    )
    if parts.discarded:
        note(f"starting anew: the interrupted rendering was begun with {parts.discarded}")
    elif parts.frames_done:
        note(f"going on after the {parts.frames_done} frames that an interrupted rendering left")
    try:
        yield from _render(parts, film, network, options, device)
        if not parts.frames_done:
            raise VideoError(f"{film.path} gave no picture to colorize; look at it with a player")
        join_film(
            parts.files,
            target,
            film,
            Timeline.steady(sampling.frame_rate, parts.frames_done),
            start_seconds=options.start_seconds,
            duration_seconds=options.duration_seconds,
        )
        parts.remove()
    finally:
        parts.close()


def _render(
    parts: Parts, film: Film, network: Network, options: ColorizeOptions, device: torch.device
) -> Iterator[int]:
    """Write the segments that are missing; yields as `colorize` does."""
    written = parts.frames_done
    if written:
        yield written
    for segment in parts.missing():
        frames = 0
        for _ in _colorize_segment(film, segment, parts.file_of(segment), network, options, device):
            frames += 1
            yield written + frames
        parts.finish(segment, frames)
        written += frames


def _colorize_segment(
    film: Film,
    segment: Segment,
    target: Path,
    network: Network,
    options: ColorizeOptions,
    device: torch.device,
) -> Iterator[None]:
    """Write one segment; no file where the film has ended before it."""
    sampling = options.sampling()
    begin = segment.first_frame / sampling.frame_rate
    start = options.start_seconds + float(begin)
    duration = options.duration_seconds and options.duration_seconds - float(begin)
    if segment.planned_frames is not None:
        duration = float(segment.planned_frames / sampling.frame_rate)
    part = replace(sampling, start_seconds=start, duration_seconds=duration)
    coding = options.encoding.coding
    with closing(read_coded_luma(film, part, coding)) as lumas:
        colored = colorize_frames(
            lumas, network, film.aspect_ratio, device, coding=coding, vividness=options.vividness
        )
        first = next(colored, None)
        if first is None:
            return
        with PictureWriter(target, film, options.encoding) as writer:
            for luma, chroma in chain((first,), colored):
                writer.write(luma, chroma)
                yield


def _begun_with(film: Film, network: Network, options: ColorizeOptions) -> dict[str, Any]:
    """What decides how the segments look, by name."""
    encoding = options.encoding
    return {
        **identity_of(film),
        "frame rate": str(encoding.frame_rate),
        **encoding.options,
        "start": options.start_seconds,
        "duration": options.duration_seconds,
        "vividness": options.vividness,
        "network": config_to_dict(network.config),
        "checksum of the weights": checksum(network),
        "version": __version__,
    }


def colorize_frames(
    lumas: Iterable[DeepPlane],
    network: Network,
    aspect_ratio: float,
    device: torch.device,
    *,
    coding: Coding = PLAIN,
    vividness: float = 1.0,
) -> Iterator[tuple[DeepPlane, DeepPlane]]:
    """Give each luma plane its chroma.

    Args:
        lumas: (H, W) each.
        coding: of luma and chroma.
        aspect_ratio: of the picture as displayed; `film` sees it undistorted, `classic` a square.
        vividness: what the saturation is multiplied by.

    Yields:
        The same luma plane, and chroma (2, ceil(H/2), ceil(W/2)).
    """
    folded = for_inference(network, device)
    working_size = network.config.working_size(aspect_ratio)
    frames = iter(lumas)
    while batch := list(islice(frames, BATCH_SIZE)):
        light = [_light(luma, coding) for luma in batch]
        chroma = _predict_chroma(folded, light, working_size, device)
        for luma, full_light, small_chroma in zip(batch, light, chroma, strict=True):
            yield luma, _full_chroma(full_light, small_chroma, coding, vividness)


def _light(luma: DeepPlane, coding: Coding) -> torch.Tensor:
    """Luma codes (H, W) as (1, 1, H, W) in [0, 1]."""
    codes = torch.from_numpy(luma)[None, None]
    scaled = luma_from_codes(codes, range=coding.range, bit_depth=coding.bit_depth)
    return scaled.clamp_(0, 1)


@torch.inference_mode()
def _predict_chroma(
    network: Network,
    batch: list[torch.Tensor],
    working_size: tuple[int, int],
    device: torch.device,
) -> torch.Tensor:
    """Chroma (B, 2, h/2, w/2) in [-0.5, 0.5] at the size (h, w) that the network works in."""
    luma = torch.cat([resize(light, *working_size) for light in batch])
    luma = luma.to(device, memory_format=torch.channels_last)
    with autocast(device):
        return network.predict_chroma(luma).cpu()


@torch.inference_mode()
def _full_chroma(
    light: torch.Tensor, chroma: torch.Tensor, coding: Coding, vividness: float
) -> DeepPlane:
    """Chroma codes, at half the size of the luma (1, 1, H, W), for chroma (2, h, w)."""
    chroma = change_matrix(chroma[None], WORKING_MATRIX, coding.matrix)
    full = fit_chroma(light, chroma, matrix=coding.matrix, vividness=vividness)
    codes = chroma_to_codes(full, range=coding.range, bit_depth=coding.bit_depth)[0]
    return np.ascontiguousarray(codes.numpy(), coding.sample_type)

"""Colouring of frames by a network: planes of luma in, planes of chroma out."""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice
from typing import Any

import cv2
import numpy as np
import torch

from filmcolorizer_cli.areas import PixelArea
from filmcolorizer_cli.color import (
    WORKING_MATRIX,
    change_matrix,
    luma_code_scale,
    luma_from_codes,
    resize,
)
from filmcolorizer_cli.configs import FilmConfig
from filmcolorizer_cli.edits import ONE_SHOT, Edits
from filmcolorizer_cli.fading import passing_veils
from filmcolorizer_cli.irises import without_iris
from filmcolorizer_cli.networks import FULL_CONTRAST, MAX_VEIL, Network, autocast
from filmcolorizer_cli.planes import PLAIN, Coding, DeepPlane, Floats, Plane
from filmcolorizer_cli.processors import count_processors
from filmcolorizer_cli.progress import Note, no_note
from filmcolorizer_cli.propagation import MAX_GAP, Propagator
from filmcolorizer_cli.upsampling import Upsampler

BATCH_SIZE = 8  # frames that the network processes together
# Frames per batch and CPU thread, where more take more memory and hardly any less time.
FRAMES_OF_THREAD = 2
CHUNK_FRAMES = MAX_GAP  # frames of a shot processed together: up to the next key frame
CHUNK_BYTES = 100_000_000  # bytes of luma held for a chunk; larger frames make shorter chunks
PROCESSORS_OF_THREAD = 4  # processors per network thread; the encoder needs the others
# Colours are carried along the motion at half of this short side, in pixels: the size of the chroma
# of `film`. Smaller films are processed at their own size, down to a minimum; less shows no motion.
MOTION_SIZE = 192
MIN_MOTION_SIZE = 32
# Held while a device other than the CPU is used: Apple's cards end the program where two threads
# call them, and memory too small for one batch is too small for several.
_DEVICE_LOCK = threading.Lock()


@contextmanager
def leaving_processors(workers: int) -> Generator[None, None, None]:
    """Leave most of the processors to the encoder, until the context ends.

    Threads that share a small piece of work wait for each other; beside an encoder that keeps all
    processors busy, they wait longer than one thread would work. This also holds where the network
    runs on a graphics card.

    Args:
        workers: number of threads that call torch.
    """
    threads, threads_of_opencv = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(max(count_processors() // PROCESSORS_OF_THREAD // workers, 1))
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads_of_opencv)


@cache
def _luma_table(coding: Coding) -> Floats:
    """Return the luma in [0, 1] of each code."""
    codes = torch.arange(1 << coding.bit_depth)
    luma = luma_from_codes(codes, range=coding.range, bit_depth=coding.bit_depth)
    return np.asarray(luma.clamp(0, 1).numpy(), np.float32)


@dataclass
class BatchSize:
    """Number of frames per batch, reduced where the memory of a device is too small.

    Attributes:
        note: called with a message about each reduction.
    """

    frames: int = BATCH_SIZE
    note: Note = no_note

    def halve(self) -> None:
        """Halve the number of frames, and report it."""
        self.note(
            f"the device does not have enough memory for {self.frames} frames at once; continuing"
            f" with {self.frames // 2}"
        )
        self.frames //= 2


@dataclass(frozen=True)
class Painter:
    """Colouring of the frames of one film.

    Attributes:
        network: as `for_inference` makes it for the device.
        device: where the network runs.
        sample_aspect_ratio: width of a pixel over its height; `film` gets the picture undistorted,
            `classic` a square.
        coding: of luma and chroma.
        area: the picture inside its bars, which stay neutral and are hidden from the network.
        vividness: factor on the saturation.
        batch_size: frames per batch; reduced once memory is short.
    """

    network: Network
    device: torch.device
    sample_aspect_ratio: float = 1.0
    coding: Coding = PLAIN
    area: PixelArea | None = None
    vividness: float = 1.0
    batch_size: BatchSize = field(default_factory=BatchSize)

    def paint(
        self,
        lumas: Iterable[DeepPlane],
        propagator: Propagator | None = None,
        edits: Edits = ONE_SHOT,
        first_frame: int = 0,
    ) -> Iterator[tuple[DeepPlane, DeepPlane]]:
        """Predict chroma for each luma plane.

        Args:
            lumas: (H, W) each, all of one size.
            propagator: carries colours from frame to frame, including from frames of earlier calls;
                without one, each frame is predicted on its own.
            edits: where shots begin, which colours are carried into only if they continue an
                earlier one; and where they dissolve into each other.
            first_frame: number of the first frame. Frames are processed in chunks that end at
                multiples of ``CHUNK_FRAMES``, so that colours do not depend on where a film is
                divided.

        Yields:
            The same luma plane, and chroma (2, ceil(H/2), ceil(W/2)).
        """
        max_frames = BATCH_SIZE if propagator is None else CHUNK_FRAMES
        upsampler: Upsampler | None = None
        borders = {*edits.cuts, *(chain.from_iterable(edits.dissolves) if propagator else ())}
        for number, chunk in _chunks(lumas, borders, max_frames, first_frame):
            height, width = chunk[0].shape
            shown = self.area or PixelArea(0, 0, width, height)
            views = [_View(shown.crop(luma), self.coding) for luma in chunk]
            upsampler = upsampler or Upsampler(*views[0].half.shape)
            aspect_ratio = self.sample_aspect_ratio * shown.width / shown.height
            if propagator is None:
                found: Iterable[Floats] = self._predict(views, aspect_ratio)
            else:
                if number in edits.cuts:
                    propagator.begin_shot(number, edits)
                is_dissolve = any(begin <= number < end for begin, end in edits.dissolves)
                found = self._propagate(propagator, views, aspect_ratio, is_dissolve)
            neutral = 1 << (self.coding.bit_depth - 1)
            for luma, view, chroma in zip(chunk, views, found, strict=True):
                painted = view.paint(chroma, self.vividness, upsampler)
                yield luma, shown.pad_to_frame(painted, luma.shape, neutral)

    def _propagate(
        self, propagator: Propagator, views: Sequence[_View], aspect_ratio: float, dissolves: bool
    ) -> Iterator[Floats]:
        """Yield the chroma (2, h, w) of consecutive frames, carried along the motion."""
        size = max(min(MOTION_SIZE, *views[0].luma.shape), MIN_MOTION_SIZE)
        shape = FilmConfig(size=size).working_size(aspect_ratio)
        height, width = (-(-side // 2) for side in shape)

        lumas = [_to_bytes(view.luma_at(height, width)) for view in views]
        veils = passing_veils(lumas)

        def predict(numbers: list[int]) -> list[Floats]:
            chosen = [views[number] for number in numbers]
            predicted = self._predict(chosen, aspect_ratio, [veils[number] for number in numbers])
            planes = (
                resize(torch.from_numpy(chroma)[None], height, width)[0] for chroma in predicted
            )
            return [chroma.permute(1, 2, 0).contiguous().numpy() for chroma in planes]

        for chroma in propagator.propagate(lumas, predict, dissolves=dissolves):
            yield np.ascontiguousarray(chroma.transpose(2, 0, 1))

    @torch.inference_mode()
    def _predict(
        self, views: Sequence[_View], aspect_ratio: float, veils: Sequence[float] = ()
    ) -> list[Floats]:
        """Predict chroma (2, h/2, w/2) in [-0.5, 0.5] for each view, at the working size (h, w).

        Args:
            veils: opacity of the white veil over each view, as in a fade, which is removed before
                prediction; empty for none.
        """
        clear = [min(veil, MAX_VEIL) for veil in veils or [0.0] * len(views)]
        size = self.network.config.working_size(aspect_ratio)
        chroma: list[Floats] = []
        is_cpu = self.device.type == "cpu"
        most = FRAMES_OF_THREAD * torch.get_num_threads() if is_cpu else BATCH_SIZE
        with nullcontext() if is_cpu else _DEVICE_LOCK:
            while len(chroma) < len(views):
                some = slice(len(chroma), len(chroma) + min(self.batch_size.frames, most))
                lumas = [view.luma_at(*size) for view in views[some]]
                unveiled = [
                    np.maximum(luma - np.float32(veil), 0) / np.float32(1 - veil) if veil else luma
                    for luma, veil in zip(lumas, clear[some], strict=True)
                ]
                pictures, shown = zip(*map(without_iris, unveiled), strict=True)
                luma = torch.from_numpy(np.stack(pictures)[:, None])
                try:
                    with autocast(self.device):
                        luma = luma.to(self.device, memory_format=torch.channels_last)
                        predicted = self.network.predict_chroma(luma).cpu().numpy()
                    chroma.extend(map(_faded_and_masked, predicted, shown, clear[some]))
                except RuntimeError as error:
                    if not _is_lack_of_memory(error) or self.batch_size.frames == 1:
                        raise
                    self.batch_size.halve()
                    if self.device.type == "cuda":
                        torch.cuda.empty_cache()
                    elif self.device.type == "mps":
                        torch.mps.empty_cache()
        return chroma


def _is_lack_of_memory(error: RuntimeError) -> bool:
    """Whether a device ran out of memory; Apple's cards raise no error class of their own then."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def _faded_and_masked(chroma: Floats, shown: Floats | None, veil: float) -> Floats:
    """Fade chroma (2, h, w) as its veil does, and clear it in the black around an iris."""
    chroma = chroma * np.float32(min((1 - veil) / FULL_CONTRAST, 1))
    if shown is None:
        return chroma
    return chroma * cv2.resize(shown, chroma.shape[:0:-1], interpolation=cv2.INTER_AREA)


def _chunks(
    lumas: Iterable[DeepPlane], borders: Collection[int], max_frames: int, number: int
) -> Iterator[tuple[int, list[DeepPlane]]]:
    """Yield chunks of consecutive frames that no border divides, with the first one's number."""
    frames = iter(lumas)
    while (first := next(frames, None)) is not None:
        step = max_frames
        while step * first.nbytes > CHUNK_BYTES and step % 2 == 0:
            step //= 2
        end = min(
            (number // step + 1) * step,
            *(border for border in borders if border > number),
            number + step,
        )
        chunk = [first, *islice(frames, end - number - 1)]
        yield number, chunk
        number += len(chunk)


class _View:
    """A frame's picture inside its bars.

    Args:
        luma: (H, W), codes.

    Attributes:
        half: (ceil(H/2), ceil(W/2)), codes from black to white, the means of 2x2 blocks.
    """

    def __init__(self, luma: DeepPlane, coding: Coding) -> None:
        self.luma = luma
        self.coding = coding
        scale = luma_code_scale(coding.range, coding.bit_depth)
        legal = np.clip(luma, int(scale.lowest), int(scale.highest))
        height, width = luma.shape
        if height % 2 or width % 2:
            legal = np.pad(legal, ((0, height % 2), (0, width % 2)), mode="edge")
        size = legal.shape[1] // 2, legal.shape[0] // 2
        self.half = _resized(legal, size, cv2.INTER_AREA)
        self._lumas: dict[tuple[int, int], Floats] = {}

    def luma_at(self, height: int, width: int) -> Floats:
        """Return the luma (height, width) in [0, 1]; cached, so it must not be changed."""
        if (height, width) not in self._lumas:
            is_enough = self.half.shape[0] >= height and self.half.shape[1] >= width
            codes = self.half if is_enough else self.luma
            shrinks = codes.shape[0] >= height and codes.shape[1] >= width
            by = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            self._lumas[height, width] = _to_luma(_resized(codes, (width, height), by), self.coding)
        return self._lumas[height, width]

    def paint(self, chroma: Floats, vividness: float, upsampler: Upsampler) -> DeepPlane:
        """Return chroma codes, at half the size of the luma, for chroma (2, h, w)."""
        coding = self.coding
        vivid = torch.from_numpy(chroma) * vividness
        planes = change_matrix(vivid, WORKING_MATRIX, coding.matrix).numpy()
        luma, small = _to_luma(self.half, coding), self.luma_at(*chroma.shape[1:])
        return upsampler.codes(
            luma,
            planes,
            small,
            range=coding.range,
            bit_depth=coding.bit_depth,
            matrix=coding.matrix,
        )


def _resized(codes: DeepPlane, size: tuple[int, int], interpolation: int) -> DeepPlane:
    """Resize codes to this width and height."""
    resized: Any = cv2.resize(codes, size, interpolation=interpolation)
    return np.asarray(resized, codes.dtype)


def _to_luma(codes: DeepPlane, coding: Coding) -> Floats:
    """Convert luma codes to luma in [0, 1]."""
    table = _luma_table(coding)
    if codes.dtype == np.uint8:  # three times as fast
        return np.asarray(cv2.LUT(codes, table), np.float32)
    return np.take(table, codes, mode="clip")  # raw films may hold codes above their bit depth


def _to_bytes(luma: Floats) -> Plane:
    return np.asarray(cv2.convertScaleAbs(luma, alpha=255), np.uint8)

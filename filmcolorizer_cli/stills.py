"""Checks of extracted stills: which to leave out of training, and which to warn about."""

from __future__ import annotations

import bisect
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np

from filmcolorizer_cli.aligned import AlignedPicture
from filmcolorizer_cli.planes import NEUTRAL
from filmcolorizer_cli.progress import Note

MIN_CHROMA = 1.0  # codes from neutral, mean over a still; less is the noise of a grey film
# Stills of at most this mean luma code, such as titles on black and fades, may lack colours. Other
# colourless stills are reported when they exceed this share of the kept stills.
DARK_CODE, MAX_COLORLESS = 45, 0.02
# A still fades when its contrast ratio (see `TakenStill`) is below this factor of the shot's usual
# ratio, which is this percentile.
FADED, USUAL_PERCENTILE = 0.6, 75
MIN_CONTRAST = 5.0  # codes, the standard deviation of luma below which a still is flat
MIN_CORRELATION = 0.7  # correlation of luma above which stills show the same, one perhaps dimmer
MAX_RUNS_REPORTED = 5  # runs of stills that a message lists


@dataclass(frozen=True)
class TakenStill:
    """What is kept about an extracted pair of stills.

    Attributes:
        is_dark: whether the still is so dark that it may lack colours.
        contrast: the contrast of the colour still's luma, relative to the grey still's; None where
            the grey still is flat, or the two show different things.
    """

    name: str
    bw_seconds: float
    color_seconds: float
    has_color: bool
    is_dark: bool
    contrast: float | None


def measure_still(name: str, still: AlignedPicture) -> TakenStill:
    """Measure what the later checks need to know about a pair of stills."""
    shown = still.shown_pixels
    grey, color = still.luma[shown].ravel(), still.ycbcr[..., 0][shown].ravel()
    contrast, own = float(grey.std()), float(color.std())
    is_flat = contrast < MIN_CONTRAST
    is_alike = own < MIN_CONTRAST or (
        not is_flat and np.corrcoef(grey, color)[0, 1] > MIN_CORRELATION
    )
    return TakenStill(
        name,
        still.bw_seconds,
        still.color_seconds,
        _has_color(still),
        float(still.luma.mean()) <= DARK_CODE,
        own / contrast if is_alike and not is_flat else None,
    )


def shots_of(taken: Sequence[TakenStill], cuts: list[float], begin: float) -> list[int]:
    """Return each still's shot number, from 1; cuts are in seconds from ``begin``."""
    return [1 + bisect.bisect_right(cuts, still.bw_seconds - begin + 1e-3) for still in taken]


def faded_stills(taken: Sequence[TakenStill], shots: Sequence[int]) -> set[TakenStill]:
    """Return the stills in which only the coloured film fades, as around advertisements.

    Low contrast throughout a shot is not a fade but the copy's grading.
    """
    faded = set[TakenStill]()
    for _, shot in groupby(zip(shots, taken, strict=True), key=lambda numbered: numbered[0]):
        stills = [still for _, still in shot]
        contrasts = [still.contrast for still in stills if still.contrast is not None]
        if contrasts:
            usual = float(np.percentile(contrasts, USUAL_PERCENTILE))
            faded.update(
                s for s in stills if (usual if s.contrast is None else s.contrast) < FADED * usual
            )
    return faded


def report_stills(taken: Sequence[TakenStill], faded: Set[TakenStill], note: Note) -> None:
    """Report stills left out as faded, and stills that unexpectedly lack colours."""
    if faded:
        note(
            f"{len(faded)} of {len(taken)} stills are left out, since only the coloured film fades"
            f" there: {_describe_runs(taken, faded)}"
        )
    kept = [still for still in taken if still not in faded]
    colorless = {still for still in kept if not still.has_color and not still.is_dark}
    if len(colorless) > MAX_COLORLESS * len(kept):
        note(
            f"{len(colorless)} of {len(kept)} colour stills show no colours:"
            f" {_describe_runs(taken, colorless)}; if the film had any there, delete these pairs,"
            " or the network learns to leave it grey"
        )


def _describe_runs(taken: Sequence[TakenStill], some: Set[TakenStill]) -> str:
    """Describe stills by name and time, with consecutive stills as one run."""
    runs = [
        [still for _, still in run]
        for chosen, run in groupby(((still in some, still) for still in taken), lambda s: s[0])
        if chosen
    ]
    told = []
    for first, *rest in runs[:MAX_RUNS_REPORTED]:
        last = rest[-1] if rest else None
        names = f"{first.name} to {last.name}" if last else first.name
        times = f"{first.bw_seconds:.1f} to {last.bw_seconds:.1f} s" if last else None
        told.append(f"{names} ({times or f'{first.bw_seconds:.1f} s'})")
    more = len(runs) - len(told)
    return ", ".join(told) + (f" and {more} more runs" if more else "")


def _has_color(still: AlignedPicture) -> bool:
    """Whether a still has colours, or a tint, beyond noise around grey."""
    chroma = still.ycbcr[still.shown_pixels][..., 1:]
    small = cv2.resize(chroma, (16, 16), interpolation=cv2.INTER_AREA)
    return float(np.abs(small.astype(float) - NEUTRAL).mean()) > MIN_CHROMA

"""What of the stills that were taken is not to be learnt from, or a person should know of."""

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

MIN_CHROMA = 1.0  # code values, of the mean over a still: less is noise of a grey film
# The mean luma of titles on black and of fades, which have no colours, and the share of other
# stills without any from which on it is told.
DARK_CODE, MAX_COLORLESS = 45, 0.02
# Of the contrast, in that of the grey still, that most stills of a shot have: less is a fade.
FADED, USUAL_PERCENTILE = 0.6, 75
MIN_CONTRAST = 5.0  # code values, standard deviation; less is flat
MIN_CORRELATION = 0.7  # of what shows the same, and may be dimmer
MAX_RUNS_TOLD = 5


@dataclass(frozen=True)
class TakenStill:
    """A pair of stills that was taken.

    Attributes:
        is_dark: whether it may well have no colours.
        contrast: of the colour still's luma, in that of the grey one; None where that is flat, or
            both show different things.
    """

    name: str
    bw_seconds: float
    color_seconds: float
    has_color: bool
    is_dark: bool
    contrast: float | None


def look_over(name: str, still: AlignedPicture) -> TakenStill:
    """What is to be known of a pair of stills later on."""
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
    """The number of each still's shot, from 1 on; cuts count from ``begin``, in seconds."""
    return [1 + bisect.bisect_right(cuts, still.bw_seconds - begin + 1e-3) for still in taken]


def faded_ones(taken: Sequence[TakenStill], shots: Sequence[int]) -> set[TakenStill]:
    """The stills that the coloured film fades in or out where the other one does not.

    As around advertisements. What the whole of a shot has is how the copy is graded.
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


def tell_of(taken: Sequence[TakenStill], faded: Set[TakenStill], note: Note) -> None:
    """Say which stills a person would not expect."""
    if faded:
        note(
            f"{len(faded)} of {len(taken)} stills are left out, which the coloured film alone"
            f" fades: {_describe_runs(taken, faded)}"
        )
    kept = [still for still in taken if still not in faded]
    colorless = {still for still in kept if not still.has_color and not still.is_dark}
    if len(colorless) > MAX_COLORLESS * len(kept):
        note(
            f"{len(colorless)} of {len(kept)} colour stills show no colours:"
            f" {_describe_runs(taken, colorless)}; where the film had any, delete these pairs, or"
            " the network learns to leave it grey"
        )


def _describe_runs(taken: Sequence[TakenStill], some: Set[TakenStill]) -> str:
    """Some of the stills by names and times, those together that follow each other."""
    runs = [
        [still for _, still in run]
        for chosen, run in groupby(((still in some, still) for still in taken), lambda s: s[0])
        if chosen
    ]
    told = []
    for first, *rest in runs[:MAX_RUNS_TOLD]:
        last = rest[-1] if rest else None
        names = f"{first.name} to {last.name}" if last else first.name
        times = f"{first.bw_seconds:.1f} to {last.bw_seconds:.1f} s" if last else None
        told.append(f"{names} ({times or f'{first.bw_seconds:.1f} s'})")
    more = len(runs) - len(told)
    return ", ".join(told) + (f" and {more} more runs" if more else "")


def _has_color(still: AlignedPicture) -> bool:
    """Whether a coloured still, or a tinted one, is more than noise around grey."""
    chroma = still.ycbcr[still.shown_pixels][..., 1:]
    small = cv2.resize(chroma, (16, 16), interpolation=cv2.INTER_AREA)
    return float(np.abs(small.astype(float) - NEUTRAL).mean()) > MIN_CHROMA

"""What has lost its blacks: a faded film as a whole, and pictures that fade from and to white."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.bars import MAX_BLACK
from filmcolorizer_cli.planes import Plane, quantile

# The code of a luma of 0.2, which blacks stay below in a film that has any. A bright shot alone may
# lack them.
VEILED_CODE = 60
BLACK_SHARE = 0.02  # of a picture, that is its blacks
BLACK_PICTURES = 0.2  # of a faded film, that may have blacks: titles made anew, black leader

# Of pictures that follow each other, in luma from 0 to 255. What fades keeps its shapes from one to
# the next, and loses contrast by as much as its blacks rise; what brings something dark does not.
MIN_FADE = 20.0  # by which blacks rise or fall
MIN_SIMILARITY = 0.7  # correlation of neighbours
MAX_CONTRAST_ERROR = 0.3  # of the contrast that is to be left; things move meanwhile
MAX_VEIL_ERROR = 0.15  # between the veil that blacks tell and the one that the mean does
MIN_CONTRAST = 1.0  # below which there is nothing but the veil
# From a veil of so much on it is a fade from or to white that goes on beyond these pictures: what
# is left in the clearest of them is a veil as well, but for blacks as they mostly are.
SURE_FADE, USUAL_BLACK = 0.5, 15.0
STILL_BLACK = 1.0  # by which blacks differ where nothing fades


def black_of(luma: Plane) -> float:
    """The code that the blacks of a small picture (H, W) reach, in limited range, bars aside."""
    rows, columns = (_without_bars(luma.max(axis=axis) > MAX_BLACK) for axis in (1, 0))
    picture = luma[rows, columns]
    return quantile(picture, BLACK_SHARE) if picture.size else 0.0


def _without_bars(is_lit: NDArray[np.bool_]) -> slice:
    """From the first lit line to the last one, without the blurred edges of bars beside them."""
    lit = np.flatnonzero(is_lit)
    if not len(lit):
        return slice(0)
    first, end = int(lit[0]), int(lit[-1]) + 1
    return slice(first + (first > 0), end - (end < len(is_lit)))


def film_black(blacks: Sequence[float]) -> float:
    """The code that a film's blacks reach, by those of its pictures as `black_of` tells them."""
    return float(np.quantile(blacks, BLACK_PICTURES)) if len(blacks) else 0.0


def is_faded(blacks: Sequence[float]) -> bool:
    """Whether hardly any picture of a film has blacks."""
    return film_black(blacks) > VEILED_CODE


def may_be_faded(blacks: Sequence[float]) -> bool:
    """Whether so many pictures of a part of a film lack blacks that the film may have lost them."""
    return bool(len(blacks)) and float(np.quantile(blacks, 1 - BLACK_PICTURES)) > VEILED_CODE


def passing_veils(lumas: Sequence[Plane]) -> list[float]:
    """How white is the veil that comes or goes over pictures that follow each other.

    A picture that fades from or to white is ``veil + (1 - veil) * picture``.

    Args:
        lumas: (H, W) each, from 0 to 255.

    Returns:
        Of each picture from 0 to 1; 0 where blacks do not rise or fall, or do as what moves does.
    """
    blacks = [quantile(luma, BLACK_SHARE) for luma in lumas]
    veils = [0.0] * len(lumas)
    clearest = int(np.argmin(blacks))
    if max(blacks) - blacks[clearest] < MIN_FADE:
        return veils
    contrasts = [float(luma.std()) for luma in lumas]
    means = [float(luma.mean()) for luma in lumas]
    for way in (range(clearest + 1, len(lumas)), range(clearest - 1, -1, -1)):
        before = clearest
        for number in way:
            left = (255 - blacks[number]) / (255 - blacks[clearest])
            left_of_mean = (255 - means[number]) / max(255 - means[clearest], 1.0)
            if abs(left_of_mean - left) > MAX_VEIL_ERROR:
                break
            wanted = contrasts[clearest] * left
            if abs(contrasts[number] - wanted) > MAX_CONTRAST_ERROR * wanted + MIN_CONTRAST:
                break
            if min(contrasts[before], contrasts[number]) > MIN_CONTRAST:
                pair = lumas[before].ravel(), lumas[number].ravel()
                if np.corrcoef(*pair)[0, 1] < MIN_SIMILARITY:
                    break
            veils[number], before = 1 - left, number
    neighbour = {0: 1, len(lumas) - 1: len(lumas) - 2}.get(clearest)
    goes_on = neighbour is not None and blacks[neighbour] - blacks[clearest] > STILL_BLACK
    if max(veils) < SURE_FADE or not goes_on:
        return veils
    black = min(blacks[clearest], USUAL_BLACK)
    fades = [number == clearest or veil > 0 for number, veil in enumerate(veils)]
    return [
        (own - black) / (255 - black) if is_fading else 0.0
        for own, is_fading in zip(blacks, fades, strict=True)
    ]

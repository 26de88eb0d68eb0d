"""Detection of lost blacks: in a faded film as a whole, and in fades from and to white."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.bars import MAX_BLACK
from filmcolorizer_cli.planes import Plane, quantile

# The code of luma 0.2. Blacks stay below it in a film that has any; a bright shot may lack them.
VEILED_CODE = 60
BLACK_SHARE = 0.02  # share of a picture's pixels, the darkest ones, that are its blacks
BLACK_PICTURES = 0.2  # share of a faded film that may have blacks: new titles, black leader

# Thresholds for consecutive pictures, luma 0 to 255. A fading picture keeps its shapes, and loses
# contrast in proportion as its blacks rise; one into which something dark moves does not.
MIN_FADE = 20.0  # codes by which blacks must rise or fall
MIN_CORRELATION = 0.7  # correlation of neighbouring pictures
MAX_CONTRAST_ERROR = 0.3  # relative deviation from the expected contrast; motion changes it too
MAX_VEIL_ERROR = 0.15  # difference of the veils computed from the blacks and from the mean
MIN_CONTRAST = 1.0  # standard deviation in codes below which only the veil is visible
# From a veil of SURE_FADE on, the pictures certainly fade from or to white. If the fade continues
# beyond them, the clearest picture is veiled too: by what its blacks exceed USUAL_BLACK (codes).
SURE_FADE, USUAL_BLACK = 0.5, 15.0
STILL_BLACK = 1.0  # codes by which blacks may differ without a fade


def black_of(luma: Plane) -> float:
    """Return the code that the blacks of a small picture (H, W) reach inside any bars.

    Both the picture and the code are in limited range.
    """
    rows, columns = (_without_bars(luma.max(axis=axis) > MAX_BLACK) for axis in (1, 0))
    picture = luma[rows, columns]
    return quantile(picture, BLACK_SHARE) if picture.size else 0.0


def _without_bars(is_lit: NDArray[np.bool_]) -> slice:
    """Return the span from the first to the last lit line, without the blurred edges of bars."""
    lit = np.flatnonzero(is_lit)
    if not len(lit):
        return slice(0)
    first, end = int(lit[0]), int(lit[-1]) + 1
    return slice(first + (first > 0), end - (end < len(is_lit)))


def film_black(blacks: Sequence[float]) -> float:
    """Return the code that a film's blacks reach, given `black_of` for each of its pictures."""
    return float(np.quantile(blacks, BLACK_PICTURES)) if len(blacks) else 0.0


def is_faded(blacks: Sequence[float]) -> bool:
    """Whether hardly any picture of a film has blacks."""
    return film_black(blacks) > VEILED_CODE


def may_be_faded(blacks: Sequence[float]) -> bool:
    """Whether so many pictures of a part of a film lack blacks that the film may be faded."""
    return bool(len(blacks)) and float(np.quantile(blacks, 1 - BLACK_PICTURES)) > VEILED_CODE


def passing_veils(lumas: Sequence[Plane]) -> list[float]:
    """Measure the white veil that appears or disappears over consecutive pictures.

    A picture that fades from or to white is ``veil + (1 - veil) * picture``.

    Args:
        lumas: (H, W) each, from 0 to 255.

    Returns:
        The veil of each picture, 0 to 1; 0 where blacks do not change, or only because of motion.
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
                if np.corrcoef(*pair)[0, 1] < MIN_CORRELATION:
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

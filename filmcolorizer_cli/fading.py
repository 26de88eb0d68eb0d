"""Whether a film has lost its blacks, as a faded print has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from filmcolorizer_cli.bars import MAX_BLACK
from filmcolorizer_cli.planes import Plane

# The code of a luma of 0.2, which blacks stay below in a film that has any. A bright shot alone may
# lack them.
VEILED_CODE = 60
BLACK_SHARE = 0.02  # of a picture, that is its blacks: more than the blurred edges of bars
LEAST_SEEN = 0.05  # of it, that is brighter than bars; in darker ones there are blacks
BLACK_PICTURES = 0.2  # of a faded film, that may have blacks: titles made anew, black leader


def black_of(luma: Plane) -> float:
    """The code that the blacks of a small picture (H, W) reach, in limited range, bars aside."""
    seen = luma[luma > MAX_BLACK]
    return float(np.quantile(seen, BLACK_SHARE)) if seen.size > LEAST_SEEN * luma.size else 0.0


def is_faded(blacks: Sequence[float]) -> bool:
    """Whether hardly any picture of a film has blacks, as `black_of` tells them."""
    return len(blacks) > 0 and float(np.quantile(blacks, BLACK_PICTURES)) > VEILED_CODE

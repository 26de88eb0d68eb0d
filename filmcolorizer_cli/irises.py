"""Removal of the black around an iris or a vignette, before a network colorizes the picture.

Networks learn from photos, which have no black around a circle: they take such a picture for a
sepia portrait and paint it orange.
"""

from __future__ import annotations

import cv2
import numpy as np

from filmcolorizer_cli.planes import Floats

LIT = 0.08  # luma from which a pixel is lit
# Share of the picture that an iris shows. Less is too little to go by; with more, networks cope.
MIN_SHOWN, MAX_SHOWN = 0.02, 0.6
MIN_FILLED = 0.75  # share of the convex hull of lit pixels that is lit; letters fill little of it
MAX_STRAY = 0.01  # share of the pixels outside the hull that may be lit
MIN_CORE = 0.99  # peak of the mask; below this, the blurs of opposite edges meet
EDGE = 1 / 96  # blur (sigma) of an iris's edge, as a share of the picture's short side


def without_iris(luma: Floats) -> tuple[Floats, Floats | None]:
    """Replace the black around an iris by grey as bright as the mean of what the iris shows.

    Args:
        luma: luma (H, W) in [0, 1].

    Returns:
        The picture, and how much of each pixel is inside the iris, (H, W) in [0, 1]. Without an
        iris, the picture as it is, and None.
    """
    shown = _shown(luma)
    if shown is None:
        return luma, None
    mean = np.float32(np.average(luma, weights=shown))
    return np.asarray(mean + (luma - mean) * shown, np.float32), shown


def _shown(luma: Floats) -> Floats | None:
    """Return how much of each pixel is inside an iris; None if there is no iris."""
    lit = cv2.inRange(cv2.blur(luma, (3, 3)), LIT, np.inf)
    lit_pixels = cv2.countNonZero(lit)
    if not MIN_SHOWN < lit_pixels / lit.size < MAX_SHOWN:
        return None
    contours, _ = cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    inside = np.zeros_like(lit)
    cv2.fillConvexPoly(inside, cv2.convexHull(max(contours, key=cv2.contourArea)), 255)
    pixels, lit_inside = cv2.countNonZero(inside), cv2.countNonZero(cv2.bitwise_and(lit, inside))
    is_whole = lit_inside >= MIN_FILLED * pixels
    is_alone = lit_pixels - lit_inside <= MAX_STRAY * (lit.size - pixels)
    if pixels > MAX_SHOWN * lit.size or not is_whole or not is_alone:
        return None
    blur = EDGE * min(luma.shape)
    side = 2 * round(1.5 * blur) + 1
    core = cv2.erode(inside, np.ones((side, side), np.uint8), borderValue=255)
    shown = cv2.GaussianBlur(core.astype(np.float32) / 255, (0, 0), blur)
    # A strip of light, as between closing doors, would be washed out by the blur of its edges.
    return np.asarray(shown, np.float32) if shown.max() > MIN_CORE else None

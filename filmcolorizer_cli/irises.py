"""What an iris or a vignette shows, made fit for a network to look at.

Photos, of which networks learn, have no black around a circle: they take it for a sepia portrait,
and paint what it shows orange.
"""

from __future__ import annotations

import cv2
import numpy as np

from filmcolorizer_cli.planes import Floats

LIT = 0.08  # luma from which on a pixel is lit
# Of the picture, inside of the hull of what is lit: what is less tells nothing, what is more enough
# of itself. Letters fill little of theirs.
MIN_SHOWN, MAX_SHOWN = 0.02, 0.6
MIN_FILLED = 0.75  # of the hull, that is lit
MAX_STRAY = 0.01  # of what is outside of it, that is lit
MIN_CORE = 0.99  # of the mask where it is highest; with less the blurs of both edges meet
EDGE = 1 / 96  # of the short side, that the edge of an iris is blurred by


def without_iris(luma: Floats) -> tuple[Floats, Floats | None]:
    """A picture with grey, as bright as what an iris shows is in the mean, for the black around it.

    Args:
        luma: luma (H, W) in [0, 1].

    Returns:
        The picture, and how much of each pixel is shown, (H, W) in [0, 1]; as it is, and None,
        where there is no iris.
    """
    shown = _shown(luma)
    if shown is None:
        return luma, None
    mean = np.float32(np.average(luma, weights=shown))
    return np.asarray(mean + (luma - mean) * shown, np.float32), shown


def _shown(luma: Floats) -> Floats | None:
    """How much of each pixel is inside of an iris, if there is one."""
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
    # A line of light, as between doors that shut, would be paled by the blur of its edges.
    return np.asarray(shown, np.float32) if shown.max() > MIN_CORE else None

"""Displacement between two pictures of the same thing, to a fraction of a pixel."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from filmcolorizer_cli.planes import Floats, Plane

BLUR_PIXELS = 1.0  # standard deviation of the blur that suppresses noise
# Response of the phase correlation, 0 to 1. Measured: at least 0.44 for the same frame in worn
# copies, seldom above 0.2 for different frames, and 0.34 for frames of the same shot.
MIN_RESPONSE = 0.3
# Smallest displacement, in pixels, that exceeds the measurement error, and the largest, as a share
# of the side, that is not chance.
MIN_PIXELS, MAX_OF_SIDE = 0.3, 0.08
MIN_SIDE = 96  # pixels; in smaller pictures, different frames look alike as well

# Chroma has less detail than luma, and edges that luma lacks. In one picture in fourteen the two
# are displaced by chance, so the measurement takes many pictures that show different things.
MIN_CHROMA_RESPONSE = 0.05
MIN_CHROMA_PIXELS = 1.0
MIN_PICTURES, MIN_AGREEING = 6, 0.5
MAX_CORRELATION = 0.8  # largest luma correlation, at size SMALL, of pictures held to be different
SMALL = 32, 18  # width and height, in pixels


def displacement(picture: Plane, other: Plane) -> tuple[float, float] | None:
    """Measure how far the other picture's content lies to the right of and below the first one's.

    Phase correlation of the edges, which does not depend on contrast and brightness.

    Source: Kuglin and Hines, "The phase correlation image alignment method", 1975, in OpenCV's
    implementation.

    Args:
        picture, other: (H, W) each, uint8.

    Returns:
        Pixels to the right and down; None if no displacement is clear, or it is negligible.
    """
    if min(picture.shape) < MIN_SIDE:
        return None
    across, down, response = _correlate(_edges(picture), _edges(other))
    far = abs(across) > MAX_OF_SIDE * picture.shape[1] or abs(down) > MAX_OF_SIDE * len(picture)
    if response < MIN_RESPONSE or far or max(abs(across), abs(down)) < MIN_PIXELS:
        return None
    return across, down


def chroma_delay(pictures: Iterable[Plane]) -> tuple[float, float]:
    """Measure how far chroma lies to the right of and below its luma, as on tapes.

    Args:
        pictures: (H, W, 3) each, Y', Cb and Cr, uint8, spread over a film.

    Returns:
        Shares of the width and the height, negative to the left and above; 0 where most pictures
        disagree, or too few show different things.
    """
    found, shape, details = [], (1, 1), list[Floats]()
    for picture in pictures:
        shape = picture.shape[:2]
        shown = _details(picture[..., 0])
        if min(shape) < MIN_SIDE or any(float(shown @ seen) > MAX_CORRELATION for seen in details):
            continue
        details.append(shown)
        luma, blue, red = (_edges(picture[..., plane]) for plane in range(3))
        across, down, response = _correlate(luma, cv2.magnitude(blue, red))
        if response > MIN_CHROMA_RESPONSE:
            found.append((across, down))
    if len(found) < MIN_PICTURES:
        return 0.0, 0.0
    delays = np.array(found)
    middle = np.median(delays, axis=0)
    agree = (np.abs(delays - middle) < MIN_CHROMA_PIXELS).all(axis=1)
    far = np.abs(middle) > np.multiply(MAX_OF_SIDE, shape[::-1])
    if agree.mean() < MIN_AGREEING or far.any():
        return 0.0, 0.0
    middle[np.abs(middle) < MIN_CHROMA_PIXELS] = 0
    across, down = middle / shape[::-1]
    return float(across), float(down)


def _details(luma: Plane) -> Floats:
    """Return a picture at size `SMALL` as a vector of mean 0 and length 1."""
    small = cv2.resize(luma, SMALL, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1.0), np.float32)


def _edges(plane: Plane) -> Floats:
    """Return the gradient magnitude of a blurred plane (H, W)."""
    smooth = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), BLUR_PIXELS)
    steep = cv2.magnitude(cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1))
    return np.asarray(steep, np.float32)


def _correlate(one: Any, other: Any) -> tuple[float, float, float]:
    """Return how far the other's edges lie to the right and down, in pixels, and the response."""
    (across, down), response = cv2.phaseCorrelate(one, other, _window(one.shape))
    return across, down, response


@lru_cache(maxsize=4)
def _window(shape: tuple[int, int]) -> Any:
    return cv2.createHanningWindow(shape[::-1], cv2.CV_32F)

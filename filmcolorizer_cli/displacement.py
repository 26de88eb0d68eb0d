"""How far one picture of a thing lies beside another one of it, to a part of a pixel."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from filmcolorizer_cli.planes import Floats, Plane

BLUR_PIXELS = 1.0  # standard deviation, against noise
# How clear the one best displacement is, 0 to 1: of the same frame in worn copies it was 0.44 or
# more, of other frames seldom above 0.2, and 0.34 of the same shot.
MIN_RESPONSE = 0.3
MIN_PIXELS, MAX_OF_SIDE = 0.3, 0.08  # less is within what is measured, more would be chance
MIN_SIDE = 96  # pixels; in smaller pictures other frames look alike as well

# Chroma has less detail than luma, and other edges beside those of luma. Of one picture in fourteen
# they lie beside each other by chance, so that many tell, which show different things.
MIN_CHROMA_RESPONSE = 0.05
MIN_CHROMA_PIXELS = 1.0
MIN_PICTURES, MIN_AGREEING = 6, 0.5
MAX_CORRELATION = 0.8  # correlation of luma, in small, of pictures that show different things
SMALL = 32, 18  # width and height


def displacement(picture: Plane, other: Plane) -> tuple[float, float] | None:
    """How far the other picture's things lie to the right of and below those of the first one.

    By phase correlation of their edges, which is the same whatever their contrast and light.

    Source: Kuglin and Hines, "The phase correlation image alignment method", 1975, in OpenCV's
    implementation.

    Args:
        picture, other: (H, W) each, uint8.

    Returns:
        Pixels; None where no displacement is clear, or the two lie upon each other.
    """
    if min(picture.shape) < MIN_SIDE:
        return None
    across, down, response = _correlate(_edges(picture), _edges(other))
    far = abs(across) > MAX_OF_SIDE * picture.shape[1] or abs(down) > MAX_OF_SIDE * len(picture)
    if response < MIN_RESPONSE or far or max(abs(across), abs(down)) < MIN_PIXELS:
        return None
    return across, down


def chroma_delay(pictures: Iterable[Plane]) -> tuple[float, float]:
    """How far chroma lies to the right of and below its luma, as it does on tapes.

    Args:
        pictures: (H, W, 3) each, Y', Cb and Cr, uint8, of all over a film.

    Returns:
        In parts of the width and of the height, negative to the left and above; 0 where most
        pictures do not agree, or too few show different things.
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
    """What a picture shows in small, of mean 0 and length 1."""
    small = cv2.resize(luma, SMALL, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1.0), np.float32)


def _edges(plane: Plane) -> Floats:
    """How steep a plane (H, W) is."""
    smooth = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), BLUR_PIXELS)
    steep = cv2.magnitude(cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1))
    return np.asarray(steep, np.float32)


def _correlate(one: Any, other: Any) -> tuple[float, float, float]:
    """How far the other's edges lie to the right and below, in pixels, and how clear that is."""
    (across, down), response = cv2.phaseCorrelate(one, other, _window(one.shape))
    return across, down, response


@lru_cache(maxsize=4)
def _window(shape: tuple[int, int]) -> Any:
    return cv2.createHanningWindow(shape[::-1], cv2.CV_32F)

from __future__ import annotations

import numpy as np

from filmcolorizer_cli.color_detection import ColorDetector


def test_is_colored_of_a_short_shot_is_not_that_of_the_one_before() -> None:
    """The two shots have opposite colours."""
    luma = np.add.outer(np.arange(96), np.arange(128)).astype(np.uint8)
    chroma = np.repeat([[140] * 64 + [116] * 64], 96, axis=0)
    detector = ColorDetector(6.0)
    for one, other in [(chroma, 256 - chroma)] * 6 + [(256 - chroma, chroma)] * 2:
        detector.add(np.dstack((luma, one, other)).astype(np.uint8))
    assert detector.is_colored(0.0, 1.0)
    assert detector.is_colored(1.0, 8 / 6)

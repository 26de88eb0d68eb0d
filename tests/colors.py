"""Colours whose codes are published."""

from __future__ import annotations

# 8-bit limited-range Y', Cb, Cr of colour bars, by ITU-R BT.709-6 and SMPTE RP 219.
BT709_BARS_100 = {
    (1, 1, 1): (235, 128, 128),
    (1, 1, 0): (219, 16, 138),
    (0, 1, 1): (188, 154, 16),
    (0, 1, 0): (173, 42, 26),
    (1, 0, 1): (78, 214, 230),
    (1, 0, 0): (63, 102, 240),
    (0, 0, 1): (32, 240, 118),
    (0, 0, 0): (16, 128, 128),
}

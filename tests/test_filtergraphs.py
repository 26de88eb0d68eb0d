from __future__ import annotations

from pathlib import Path

import pytest

from filmcolorizer_cli.filtergraphs import find_hardware_decoder
from filmcolorizer_cli.video import probe


def test_find_hardware_decoder_does_not_take_the_processor_for_a_card(
    plain_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a card cannot decode, ffmpeg silently decodes on the processor."""
    methods = {"mine": "mine", "none": "yuv420p", "auto": "cuda"}
    monkeypatch.setattr("filmcolorizer_cli.filtergraphs.HARDWARE_DECODERS", methods)
    assert find_hardware_decoder(probe(plain_clip)) is None

from __future__ import annotations

import numpy as np
import pytest
import torch

from filmcolorizer_cli import painting
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.networks import ClassicConfig, build
from filmcolorizer_cli.painting import CHUNK_FRAMES, colorize_frames
from filmcolorizer_cli.propagation import Propagator
from filmcolorizer_cli.video import Sampling, probe, read_luma
from tests.conftest import vivid_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def lumas() -> list[np.ndarray]:
    """Frames of the first shot of the sample film."""
    sampling = Sampling(160, 120, duration_seconds=1.5)
    return list(read_luma(probe(SAMPLE_FILM), sampling))


def test_colorize_frames_carries_colours_and_keeps_luma_order_and_count(
    lumas: list[np.ndarray],
) -> None:
    found = list(colorize_frames(lumas, vivid_network(), CPU, propagator=Propagator()))
    assert len(found) == len(lumas)
    for luma, (kept, chroma) in zip(lumas, found, strict=True):
        np.testing.assert_array_equal(kept, luma)
        assert chroma.shape == (2, 60, 80)


def test_colorize_frames_begins_anew_at_a_cut(lumas: list[np.ndarray]) -> None:
    """The frame behind a cut has the colours that it has alone."""
    cut = 7
    network = vivid_network()
    found = list(colorize_frames(lumas, network, CPU, propagator=Propagator(), cuts={cut}))
    alone = next(iter(colorize_frames(lumas[cut:], network, CPU, propagator=Propagator())))
    np.testing.assert_array_equal(found[cut][1], alone[1])


def test_colorize_frames_of_a_long_shot_is_the_same_in_pieces(lumas: list[np.ndarray]) -> None:
    network = vivid_network()
    whole = list(colorize_frames(lumas, network, CPU, propagator=Propagator()))
    propagator = Propagator()
    pieces = list(colorize_frames(lumas[:CHUNK_FRAMES], network, CPU, propagator=propagator))
    rest = colorize_frames(
        lumas[CHUNK_FRAMES:],
        network,
        CPU,
        propagator=Propagator.of(propagator.planes()),
        first_frame=CHUNK_FRAMES,
    )
    for (_, one), (_, other) in zip(whole, [*pieces, *rest], strict=True):
        np.testing.assert_array_equal(one, other)


def test_colorize_frames_keeps_fewer_large_frames(
    lumas: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "CHUNK_BYTES", 4 * lumas[0].nbytes)
    taken: list[int] = []

    def counted():  # type: ignore[no-untyped-def]
        for number, luma in enumerate(lumas):
            taken.append(number)
            yield luma

    frames = colorize_frames(counted(), vivid_network(), CPU, propagator=Propagator())
    next(frames)
    assert len(taken) == 3  # of 12, 6 and 3 the first that is no more than 4


def test_colorize_frames_carries_what_classic_paints(lumas: list[np.ndarray]) -> None:
    network = build(ClassicConfig()).eval()
    found = list(colorize_frames(lumas[:5], network, CPU, propagator=Propagator()))
    assert [chroma.shape for _, chroma in found] == [(2, 60, 80)] * 5

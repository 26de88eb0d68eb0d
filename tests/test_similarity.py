from __future__ import annotations

import numpy as np
import pytest

from filmcolorizer_cli.chain import find_chain
from filmcolorizer_cli.registration import Comparison
from filmcolorizer_cli.signatures import Frames
from filmcolorizer_cli.similarity import Films, Vectors, find_windows
from tests.versions import CARDS, FRAME, PLACEMENT, Version, frames_of, title_card


def test_find_windows_are_exact_to_the_frame(film: Frames) -> None:
    bw, color = Version(film, frames_of((31, 432))), Version(film, frames_of((0, 432)), seed=1)
    films = Films(bw.signatures, color.signatures, PLACEMENT)
    chain = find_chain(films.bw, films.color, PLACEMENT)
    windows = find_windows(films, [chain], 1.0)
    assert len(windows) >= 8
    for window in windows:
        assert window.offset_seconds == pytest.approx(31 * FRAME, abs=0.01)
        assert window.similarity > 0.9
    assert np.median([window.sharpness for window in windows]) > 0.5


def test_vectors_are_held_to_a_hundredth(film: Frames) -> None:
    comparison = Comparison(PLACEMENT)
    vectors = Vectors(comparison, comparison.flat_bw, film)
    assert len(vectors) == 432
    exact = comparison.bw(film)
    np.testing.assert_allclose(vectors[:], exact, atol=0.002)
    np.testing.assert_allclose((vectors[::7] * exact[::7]).sum(axis=1), 1, atol=0.01)
    np.testing.assert_array_equal(vectors.lengths, 1)
    black = Vectors(comparison, comparison.flat_bw, np.full((3, 768), 16, np.uint8))
    np.testing.assert_allclose(black[:], 0, atol=1e-3)
    np.testing.assert_allclose(black.lengths, 0, atol=1e-3)


def test_vectors_of_title_cards_are_no_more_than_alike() -> None:
    cards = np.stack([title_card(text) for text in CARDS])
    vectors = Vectors(Comparison(PLACEMENT), Comparison(PLACEMENT).flat_bw, cards)
    np.testing.assert_allclose(np.linalg.norm(vectors[:], axis=1), 1, atol=1e-5)

"""Chain of best matches through two films, at a few frames a second, with gaps in either film.

After T. F. Smith and M. S. Waterman, "Identification of Common Molecular Subsequences", 1981, with
a gap cost that does not depend on the gap's length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.planes import Floats
from filmcolorizer_cli.registration import COARSE, Comparison, Placement
from filmcolorizer_cli.signatures import Seconds, Signatures
from filmcolorizer_cli.similarity import usual_dissimilarity

CELLS_PER_SECOND = 4.0
MAX_CELLS = 4096  # cells per side, at most; longer films get larger cells
SAMPLES_PER_SECOND = 12.0  # frames of the coloured film to compare in its cells
GAP_COST = 8.0  # cost of a gap; a matching cell gains up to MAX_GAIN
SLIP_COST = 0.7  # cost of a cell that is skipped or repeated
MAX_GAIN, MAX_LOSS = 2.5, 2.0

# Transitions into a cell: after a gap, from the previous cell of both films, from the same cell of
# the coloured film, and skipping one of its cells; and the number of columns each advances.
_ANEW, _NEXT, _AGAIN, _OVER = range(4)
_COLUMNS = {_ANEW: 1, _NEXT: 1, _AGAIN: 0, _OVER: 2}
_LEFT, _UP, _HERE = range(3)  # direction from a cell to the end of the best chain up to it


def find_chain(bw: Signatures, color: Signatures, placement: Placement) -> Seconds:
    """Find the best chain of matches through both films.

    Returns:
        (N, 2): times in the black-and-white film and in the coloured one, both ascending.
    """
    longest = max(bw.end_seconds - bw.seconds[0], color.end_seconds - color.seconds[0])
    cell = max(1 / CELLS_PER_SECOND, longest / MAX_CELLS)
    gains = _gains(_coarse_similarity(bw, color, placement, cell))
    path = best_chain(gains)
    return path * cell + (bw.seconds[0], color.seconds[0])


def runs_of(chain: Seconds) -> list[Seconds]:
    """Split a chain (N, 2) at its gaps."""
    if len(chain) < 2:
        return []
    steps = np.diff(chain, axis=0)
    cell = steps[:, 0].min()
    breaks = np.flatnonzero((steps[:, 0] > 1.5 * cell) | (steps[:, 1] > 2.5 * cell))
    return np.split(chain, breaks + 1)


def _coarse_similarity(
    bw: Signatures, color: Signatures, placement: Placement, cell: float
) -> Floats:
    """Return the best correlation (N, M) of a frame per row with the frames of each column."""
    comparison = Comparison(placement, COARSE)
    rows = np.arange(bw.seconds[0], bw.end_seconds, cell)
    columns = np.arange(color.seconds[0], color.end_seconds, cell)
    sought = comparison.bw(bw.frames[bw.at(rows)])
    samples = max(round(cell * SAMPLES_PER_SECOND), 1)
    similarity: Floats | None = None
    for sample in range(samples):
        shift = ((sample + 0.5) / samples - 0.5) * cell
        found = comparison.color(color.frames[color.at(columns + shift)])
        table = sought @ found.T
        similarity = table if similarity is None else np.maximum(similarity, table, out=similarity)
    assert similarity is not None
    return similarity


def _gains(similarity: Floats) -> Floats:
    """Return the gain of each match: 0 at a similarity well below that of good matches."""
    dissimilarity = usual_dissimilarity(similarity.max(axis=1))
    border = 1 - min(max(4 * dissimilarity, 0.15), 0.5)
    gains = (similarity - border) * np.float32(3 / (1 - border))
    return np.clip(gains, -MAX_LOSS, MAX_GAIN, out=gains)


def best_chain(gains: Floats) -> NDArray[np.int64]:
    """Find the chain of cells with the largest sum of gains g (N, M), minus the cost of its gaps.

    H(i, j) is the best sum of a chain that ends in the cell, and E(i, j) that of one that ends in
    a row above it and a column to its left, or 0::

        H(i, j) = g(i, j) + max(E(i, j), H(i-1, j-1), H(i-1, j) - SLIP_COST - max(g(i, j), 0),
                                H(i-1, j-2) - SLIP_COST)
        E(i, j) = max(0, max over k < i, l < j of H(k, l) - GAP_COST)

    Returns:
        (L, 2): rows and columns, ascending.
    """
    rows, columns = gains.shape
    came = np.zeros((rows, columns), np.uint8)
    ended = np.zeros((rows, columns), np.uint8)
    none = np.full(1, -np.inf, np.float32)
    here = np.full(columns, -np.inf, np.float32)
    before = np.zeros(columns, np.float32)
    every = np.arange(columns)
    for row in range(rows):
        gain = gains[row]
        ways = np.stack(
            (
                np.concatenate((np.zeros(1, np.float32), before[:-1])),  # _ANEW
                np.concatenate((none, here[:-1])),  # _NEXT
                here - SLIP_COST - np.maximum(gain, 0),  # _AGAIN
                np.concatenate((none, none, here[:-2])) - SLIP_COST,  # _OVER
            )
        )
        came[row] = ways.argmax(axis=0)
        here = ways[came[row], every] + gain
        candidates = np.maximum(here - GAP_COST, before)
        after = np.maximum.accumulate(candidates)
        ended[row] = np.where(after > candidates, _LEFT, np.where(candidates > before, _HERE, _UP))
        before = after
    return _trace_chain(came, ended)


def _trace_chain(came: NDArray[np.uint8], ended: NDArray[np.uint8]) -> NDArray[np.int64]:
    row, column = came.shape[0] - 1, came.shape[1] - 1
    path = []
    in_gap = True
    while row >= 0 and column >= 0:
        if in_gap:
            if ended[row, column] == _LEFT:
                column -= 1
            elif ended[row, column] == _UP:
                row -= 1
            else:
                in_gap = False
            continue
        path.append((row, column))
        way = came[row, column]
        in_gap = way == _ANEW
        row -= 1
        column -= _COLUMNS[int(way)]
    return np.array(path[::-1], np.int64).reshape(-1, 2)

"""Where a film goes from one shot to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Edits:
    """The edits of a film, or of a part of one, in numbers of frames.

    Attributes:
        cuts: of the frames that shots begin with, ascending; 0 is not among them.
        dissolves: of the first frames in dissolves, and of those behind them, ascending.
        returns: of the first frames of shots that may go on with what an earlier one ended with, to
            that of the earlier one.
    """

    cuts: Sequence[int] = ()
    dissolves: Sequence[tuple[int, int]] = ()
    returns: Mapping[int, int] = field(default_factory=dict)

    def is_carried_into(self, cut: int) -> bool:
        """Whether a shot that begins there or later may go on with one that ended before."""
        return any(earlier < cut <= begin for begin, earlier in self.returns.items())


ONE_SHOT = Edits()

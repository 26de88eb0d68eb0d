"""The edits of a film: where one shot gives way to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Edits:
    """The edits of a film, or of a part of one, in frame numbers.

    Attributes:
        cuts: the first frame of each shot, ascending; 0 is not among them.
        dissolves: the first frame of each dissolve and the first one after it, ascending.
        returns: for the first frame of each shot that may continue what an earlier shot ended with,
            the first frame of that earlier shot.
    """

    cuts: Sequence[int] = ()
    dissolves: Sequence[tuple[int, int]] = ()
    returns: Mapping[int, int] = field(default_factory=dict)

    def is_carried_into(self, cut: int) -> bool:
        """Whether a shot that begins at this cut or later may continue one that ended before it."""
        return any(earlier < cut <= begin for begin, earlier in self.returns.items())


ONE_SHOT = Edits()

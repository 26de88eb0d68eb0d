"""The segments of a film that is being rendered: planning them, and tracking which are done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from filmcolorizer_cli.edits import ONE_SHOT, Edits
from filmcolorizer_cli.errors import FilmColorizerError
from filmcolorizer_cli.files import cannot_write, check_folder, followed, replacing
from filmcolorizer_cli.locks import lock
from filmcolorizer_cli.stopping import held_signals
from filmcolorizer_cli.video import count_pictures

_FORMAT_NAME = "filmcolorizer-parts/"
_FORMAT = f"{_FORMAT_NAME}11"
_MANIFEST = "manifest.json"
_LOCK = ".lock"
# Exceptions from reading a file that is not a manifest.
_NO_MANIFEST = OSError, AttributeError, KeyError, RecursionError, TypeError, ValueError
MAX_SHIFT_SHARE = 0.4  # of the usual length, by which a segment may be longer or shorter


@dataclass
class Segment:
    """Consecutive frames of the film that is written.

    Attributes:
        number: index among the film's segments, from 0.
        first_frame: number of its first frame in that film.
        planned_frames: planned number of frames; None for the last segment, which runs to the end.
        needs_colors: whether it needs the `Parts.colors_file` of the segment before.
        frames: number of frames once it is done, else None; 0 if the film ended before it.
        pts: display time of each frame, if they are not evenly spaced.
    """

    number: int
    first_frame: int
    planned_frames: int | None
    needs_colors: bool = False
    frames: int | None = None
    pts: list[int] | None = None

    @property
    def planned_end(self) -> int | None:
        """Number of the first frame after the segment; None for the last segment."""
        return None if self.planned_frames is None else self.first_frame + self.planned_frames


def plan_segments(
    frames: int, usual_frames: int, edits: Edits = ONE_SHOT, *, step: int | None = None
) -> list[Segment]:
    """Divide a film into segments that start at cuts, where a cut is near enough.

    Cuts that no colours are carried across are preferred, so that segments can be rendered at once.

    Args:
        frames: approximate number of frames; the last segment always runs to the film's end.
        usual_frames: length of a segment that has no cut near its end.
        edits: the film's cuts, and which shots may continue earlier ones.
        step: a segment that starts within a shot starts at a multiple of this many frames. It
            continues with the colours of the segment before, as does one whose first shot may
            continue an earlier one. None if each segment stands alone.
    """

    def needs_colors(start: int) -> bool:
        return step is not None and (start not in shots or edits.is_carried_into(start))

    shots = {0, *edits.cuts}
    starts = [0]
    slack = int(MAX_SHIFT_SHARE * usual_frames)
    while (border := _border(starts[-1], usual_frames, step)) < frames:
        near = [cut for cut in edits.cuts if abs(cut - border) <= slack and cut < frames]
        alone = [cut for cut in near if not needs_colors(cut)]
        starts.append(min(alone or near, key=lambda cut: abs(cut - border), default=border))
    planned = [after - start for start, after in pairwise(starts)]
    return [
        Segment(number, start, length, needs_colors(start))
        for number, (start, length) in enumerate(zip(starts, [*planned, None], strict=True))
    ]


def _border(start: int, usual_frames: int, step: int | None) -> int:
    """Return where a segment with this first frame ends, if no cut is near."""
    border = start + usual_frames
    if step is None:
        return border
    return -(-border // step) * step


class Parts:
    """The folder beside a target film that collects its finished segments.

    Each finished segment has its own file there and an entry in the manifest. Both survive a crash,
    and the next rendering with the same options resumes from them.

    Args:
        target: the film that will be written; the folder is ``<target>.parts``.
        begun_with: JSON values that determine how the segments look, by name.
        ending: file name ending of the segments' files, with the dot.
        overwrite: discard a rendering with other options, even if some of its segments are done.

    Attributes:
        discarded: how another rendering, whose folder was deleted, differed; else None.
        segments: the segments in order; empty until they are planned with `begin`.
        known: JSON values that were found out about the film during planning, by name.

    Raises:
        FilmColorizerError: the folder cannot be written, holds something else, or holds segments of
            another rendering.
    """

    def __init__(
        self,
        target: Path,
        begun_with: dict[str, Any],
        ending: str = ".mp4",
        *,
        overwrite: bool = False,
    ) -> None:
        self.folder = parts_folder(target)
        self.ending = ending
        self.begun_with: dict[str, Any] = json.loads(json.dumps(begun_with))
        self.discarded: str | None = None
        self.segments: list[Segment] = []
        self.known: dict[str, Any] = {}
        check_folder(followed(target).parent)
        if not self._read(overwrite):
            self._make_folder()
            self._lock = _lock(self.folder)
            try:
                self._write()
            except FilmColorizerError:
                self.close()
                raise
        for segment in self.segments:  # a file may be missing, or truncated by a power cut
            if segment.frames and count_pictures(self.file_of(segment)) != segment.frames:
                segment.frames = None
        for before, after in reversed([*pairwise(self.segments)]):
            if (
                after.needs_colors
                and after.frames is None
                and not self.colors_file(before).is_file()
            ):
                before.frames = None

    def begin(self, segments: list[Segment], known: dict[str, Any]) -> None:
        """Record the planned segments.

        Raises:
            FilmColorizerError: the manifest cannot be written.
        """
        self.segments, self.known = segments, json.loads(json.dumps(known))
        self._write()

    @property
    def frames_done(self) -> int:
        return sum(segment.frames or 0 for segment in self.segments)

    @property
    def files(self) -> list[Path]:
        """Files of the finished segments, in order; complete once nothing is `missing`."""
        return [self.file_of(segment) for segment in self.segments if segment.frames]

    @property
    def first_file(self) -> Path | None:
        """File of the first finished segment; None before any is finished."""
        return next((self.file_of(segment) for segment in self.segments if segment.frames), None)

    @property
    def pts(self) -> list[int] | None:
        """Display times of the finished frames; None if they are evenly spaced."""
        pts = [time for segment in self.segments for time in segment.pts or ()]
        return pts or None

    @property
    def size_bytes(self) -> int:
        """Total size of the finished segments' files."""
        return sum(path.stat().st_size for path in self.files)

    def missing(self) -> Iterator[Segment]:
        """Yield the segments that are still to be rendered, in order."""
        return (segment for segment in self.segments if segment.frames is None)

    def file_of(self, segment: Segment) -> Path:
        """Return the path of a segment's file, whether it exists yet or not."""
        return self.folder / f"{segment.number + 1:06d}{self.ending}"

    def colors_file(self, segment: Segment) -> Path:
        """Return the path where a segment leaves the colours of its last shots for the next one."""
        return self.file_of(segment).with_suffix(".colors.safetensors")

    def chains(self) -> list[list[Segment]]:
        """Group the `missing` segments, in order, so that each group can be rendered on its own."""
        chains: list[list[Segment]] = []
        for segment in self.missing():
            if segment.needs_colors and chains and chains[-1][-1] is self.before(segment):
                chains[-1].append(segment)
            else:
                chains.append([segment])
        return chains

    def before(self, segment: Segment) -> Segment:
        """Return the segment before this one, which must not be the first."""
        return self.segments[segment.number - 1]

    def leaves_colors(self, segment: Segment) -> bool:
        """Whether the next segment needs this one's colours."""
        return segment is not self.segments[-1] and self.segments[segment.number + 1].needs_colors

    def finish(self, segment: Segment, frames: int, pts: list[int] | None = None) -> None:
        """Record a segment as finished; its file must be complete, unless it has no frames.

        The colours file that it started from is deleted, since those of all segments would take
        more than a gigabyte. If the segment's file is lost later, the segments before it are
        rendered again as well, back to one that does not need colours of the one before.

        Raises:
            FilmColorizerError: the manifest cannot be written.
        """
        segment.frames, segment.pts = frames, pts
        self._write()
        if segment.needs_colors:
            with suppress(OSError):  # otherwise it is deleted with the folder
                self.colors_file(self.before(segment)).unlink()

    def close(self, *, keeps_plan: bool = False) -> None:
        """Release the lock; delete the folder if there is nothing worth keeping in it.

        Args:
            keeps_plan: whether a plan is worth keeping even if no frame is done.
        """
        if not self.frames_done and not (keeps_plan and self.segments):
            self.remove()
        self._unlock()

    def remove(self) -> None:
        """Delete the folder, once the film is written.

        The manifest and the lock go last, so that a killed deletion leaves a recognizable folder.
        """
        with held_signals():
            for path in self.folder.glob("*"):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name not in (_MANIFEST, _LOCK):
                    with suppress(OSError):
                        path.unlink()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, overwrite: bool) -> bool:
        """Resume the same rendering, if there is one; delete another rendering if allowed."""
        if not self.folder.exists():
            return False
        try:
            self._manifest()
        except _NO_MANIFEST:
            if self._holds_anything_else():
                raise FilmColorizerError(
                    f"{self.folder} is needed for the parts of the film but holds something else;"
                    " move it away, or choose another place with -o"
                ) from None
            return False
        self._lock = _lock(self.folder)
        try:
            begun = self._manifest()  # read again: another process may have had the lock until here
        except _NO_MANIFEST:  # that process has finished and deleted the folder
            self._unlock()
            return False
        self.discarded = "another version of this program"
        if begun is not None:
            begun_with, segments, known = begun
            differing = [k for k, v in self.begun_with.items() if begun_with.get(k) != v]
            if not differing:
                self.discarded, self.segments, self.known = None, segments, known
                return True
            name = differing[0]
            self.discarded = f"{name} {begun_with.get(name)}, not {self.begun_with[name]}"
        if self._holds_pictures() and not overwrite:
            self._unlock()
            raise FilmColorizerError(
                f"{self.folder} holds an interrupted rendering that used {self.discarded}; continue"
                " with that, or give --overwrite to start over"
            )
        self.remove()
        self._unlock()
        return False

    def _manifest(self) -> tuple[dict[str, Any], list[Segment], dict[str, Any]] | None:
        """Read a rendering's options, its segments, and what was found out about the film.

        Return None if another version wrote the manifest.

        Raises:
            _NO_MANIFEST: the folder holds no manifest.
        """
        manifest = json.loads((self.folder / _MANIFEST).read_text())
        name = manifest["format"]
        if not name.startswith(_FORMAT_NAME):
            raise ValueError(name)
        if name != _FORMAT:
            return None
        numbered = enumerate(manifest["segments"])
        segments = [Segment(number, **segment) for number, segment in numbered]
        return dict(manifest["begun_with"]), segments, dict(manifest["known"])

    def _holds_anything_else(self) -> bool:
        """Whether there is more than what a crash before the first manifest leaves."""
        return not self.folder.is_dir() or any(
            path.name != _LOCK and not path.name.startswith(f".{_MANIFEST}.")
            for path in self.folder.iterdir()
        )

    def _holds_pictures(self) -> bool:
        """Whether the folder holds a segment's file, or the pts file of an unfinished segment."""
        return any(path.stem.isdigit() for path in self.folder.iterdir())  # whatever the ending

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from None

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _write(self) -> None:
        content = {
            "format": _FORMAT,
            "begun_with": self.begun_with,
            "known": self.known,
            "segments": [_described(segment) for segment in self.segments],
        }
        with replacing(self.folder / _MANIFEST) as temporary:
            temporary.write_text(json.dumps(content))


def _described(segment: Segment) -> dict[str, Any]:
    """Return a segment's entry in the manifest; its number is its index there."""
    # `asdict` would copy the whole list of pts.
    return {name: value for name, value in vars(segment).items() if name != "number"}


def _lock(folder: Path) -> IO[str] | None:
    return lock(folder / _LOCK, f"rendering in {folder}")


def parts_folder(target: Path) -> Path:
    """Return the folder for the segments of a film that is being rendered."""
    film = followed(target)
    return film.with_name(f"{film.name}.parts")


def encoder_of_parts(target: Path) -> str | None:
    """Return the encoder of an interrupted rendering of this target, or None."""
    with suppress(*_NO_MANIFEST):
        manifest = json.loads((parts_folder(target) / _MANIFEST).read_text())
        return str(manifest["begun_with"]["c:v"])
    return None

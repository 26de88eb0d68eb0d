"""The parts of a film that is being rendered: which there are, and which are done."""

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
# What reading a manifest raises that is none.
_NO_MANIFEST = OSError, AttributeError, KeyError, RecursionError, TypeError, ValueError
NEAR = 0.4  # of a segment's usual length, by which it may be longer or shorter


@dataclass
class Segment:
    """Some consecutive frames of the film that is written.

    Attributes:
        number: its place among the film's segments, from 0 on.
        first_frame: its first frame's number in that film.
        planned_frames: how many it is to have; None for the last one, which goes to the end.
        goes_on: whether it needs what the segment before left in its `Parts.colors_file`.
        frames: how many it has, once it is done; 0 where the film ended before it.
        pts: when each of them is shown, where they are not evenly spaced.
    """

    number: int
    first_frame: int
    planned_frames: int | None
    goes_on: bool = False
    frames: int | None = None
    pts: list[int] | None = None

    @property
    def planned_end(self) -> int | None:
        """The number of the first frame after it; None for the last one."""
        return None if self.planned_frames is None else self.first_frame + self.planned_frames


def plan_segments(
    frames: int, usual_frames: int, edits: Edits = ONE_SHOT, *, step: int | None = None
) -> list[Segment]:
    """Divide a film into segments that begin with shots, where shots begin near.

    Best with those that nothing is carried into, so that several can be rendered at once.

    Args:
        frames: about how many the film has; the last segment goes to its end, whatever they are.
        usual_frames: in a segment that no cut is near the end of.
        edits: where its shots begin, and which of them may go on with earlier ones.
        step: segments that begin amid a shot begin with a multiple of so many frames; they and
            those that something is carried into go on with the colours of the one before. None
            where each stands alone.
    """

    def goes_on(start: int) -> bool:
        return step is not None and (start not in shots or edits.is_carried_into(start))

    shots = {0, *edits.cuts}
    starts = [0]
    slack = int(NEAR * usual_frames)
    while (border := _border(starts[-1], usual_frames, step)) < frames:
        near = [cut for cut in edits.cuts if abs(cut - border) <= slack and cut < frames]
        alone = [cut for cut in near if not goes_on(cut)]
        starts.append(min(alone or near, key=lambda cut: abs(cut - border), default=border))
    planned = [after - start for start, after in pairwise(starts)]
    return [
        Segment(number, start, length, goes_on(start))
        for number, (start, length) in enumerate(zip(starts, [*planned, None], strict=True))
    ]


def _border(start: int, usual_frames: int, step: int | None) -> int:
    """Where a segment that begins at a start ends, if no shot begins near."""
    border = start + usual_frames
    if step is None:
        return border
    return -(-border // step) * step


class Parts:
    """The folder beside a film to be written in which its segments gather.

    A segment that is done lies there as a file of its own, and the manifest says so; both survive
    a crash. Whoever renders the same again goes on from there.

    Args:
        target: the film that will be written; the folder is ``<target>.parts``.
        begun_with: plain values that decide what the segments look like, by name.
        ending: of the segments' files, with its dot.
        overwrite: discard a rendering with other options, even if some of its segments are done.

    Attributes:
        discarded: what another rendering was begun with, where its folder had to give way.
        segments: in order; none until they are planned with `begin`.
        known: plain values that were found out about the film when they were planned, by name.

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
        for segment in self.segments:  # a file may have been lost, or cut short with the power
            if segment.frames and count_pictures(self.file_of(segment)) != segment.frames:
                segment.frames = None
        for before, after in reversed([*pairwise(self.segments)]):
            if after.goes_on and after.frames is None and not self.colors_file(before).is_file():
                before.frames = None

    def begin(self, segments: list[Segment], known: dict[str, Any]) -> None:
        """Note which segments there are going to be.

        Raises:
            FilmColorizerError: it cannot be written.
        """
        self.segments, self.known = segments, json.loads(json.dumps(known))
        self._write()

    @property
    def frames_done(self) -> int:
        return sum(segment.frames or 0 for segment in self.segments)

    @property
    def files(self) -> list[Path]:
        """The segments' files, in order; complete once nothing is `missing`."""
        return [self.file_of(segment) for segment in self.segments if segment.frames]

    @property
    def first_file(self) -> Path | None:
        """The first of them; None before any is done."""
        return next((self.file_of(segment) for segment in self.segments if segment.frames), None)

    @property
    def pts(self) -> list[int] | None:
        """When the frames that are done are shown; None where they are evenly spaced."""
        pts = [time for segment in self.segments for time in segment.pts or ()]
        return pts or None

    @property
    def size_bytes(self) -> int:
        """How much room the segments take that are done."""
        return sum(path.stat().st_size for path in self.files)

    def missing(self) -> Iterator[Segment]:
        """The segments that are still to be rendered, in order."""
        return (segment for segment in self.segments if segment.frames is None)

    def file_of(self, segment: Segment) -> Path:
        """Where a segment lies, or is to be written."""
        return self.folder / f"{segment.number + 1:06d}{self.ending}"

    def colors_file(self, segment: Segment) -> Path:
        """Where a segment leaves what it knows of its last shots, for one that needs that."""
        return self.file_of(segment).with_suffix(".colors.safetensors")

    def chains(self) -> list[list[Segment]]:
        """The segments that are `missing`, those together that go on with each other, in order."""
        chains: list[list[Segment]] = []
        for segment in self.missing():
            if segment.goes_on and chains and chains[-1][-1] is self.before(segment):
                chains[-1].append(segment)
            else:
                chains.append([segment])
        return chains

    def before(self, segment: Segment) -> Segment:
        """The segment before one that is not the first."""
        return self.segments[segment.number - 1]

    def leaves_colors(self, segment: Segment) -> bool:
        """Whether another segment goes on with this one's colours."""
        return segment is not self.segments[-1] and self.segments[segment.number + 1].goes_on

    def finish(self, segment: Segment, frames: int, pts: list[int] | None = None) -> None:
        """Note that a segment is done; its file is whole, unless it has no frames.

        What it went on with is deleted, since that of all segments would take more than a gigabyte.
        Should its file be lost, the segments before it are made anew as well, back to one that
        nothing is carried into.

        Raises:
            FilmColorizerError: it cannot be noted.
        """
        segment.frames, segment.pts = frames, pts
        self._write()
        if segment.goes_on:
            with suppress(OSError):  # it goes with the folder then
                self.colors_file(self.before(segment)).unlink()

    def close(self, *, keeps_plan: bool = False) -> None:
        """Let others go on.

        Args:
            keeps_plan: whether what is known of the film is worth keeping without a single segment.
        """
        if not self.frames_done and not (keeps_plan and self.segments):
            self.remove()
        if self._lock is not None:
            self._lock.close()

    def remove(self) -> None:
        """Delete the folder, once the film is written.

        What tells that it is ours goes last, should this be killed.
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
        """Take up the same rendering, if it was begun; what may be of another is deleted."""
        if not self.folder.exists():
            return False
        try:
            self._manifest()
        except _NO_MANIFEST:
            if self._holds_anything_else():
                raise FilmColorizerError(
                    f"{self.folder} is needed for the parts of the film and holds something else;"
                    " move it away, or choose another place with -o"
                ) from None
            return False
        self._lock = _lock(self.folder)
        try:
            begun = self._manifest()  # which another process may have written to until now
        except _NO_MANIFEST:  # that one is done, and the folder gone
            if self._lock is not None:
                self._lock.close()
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
            if self._lock is not None:
                self._lock.close()
            raise FilmColorizerError(
                f"{self.folder} keeps what is done of a rendering that was begun with"
                f" {self.discarded}; go on with that, or give --overwrite to start anew"
            )
        self.remove()
        if self._lock is not None:
            self._lock.close()
        return False

    def _manifest(self) -> tuple[dict[str, Any], list[Segment], dict[str, Any]] | None:
        """What a rendering was begun with, its segments, and what was known of the film.

        None of one by another version.

        Raises:
            _NO_MANIFEST: the folder holds none.
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
        """Whether there is more than what a crash before the first segment leaves."""
        return not self.folder.is_dir() or any(
            path.name != _LOCK and not path.name.startswith(f".{_MANIFEST}.")
            for path in self.folder.iterdir()
        )

    def _holds_pictures(self) -> bool:
        """Whether a segment, or part of one, is lost with the folder."""
        return any(path.stem.isdigit() for path in self.folder.iterdir())  # whatever their codec

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from None

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
    """What the manifest tells of a segment, whose place in it is its number."""
    # `asdict` would copy all times.
    return {name: value for name, value in vars(segment).items() if name != "number"}


def _lock(folder: Path) -> IO[str] | None:
    return lock(folder / _LOCK, f"rendering in {folder}")


def parts_folder(target: Path) -> Path:
    """Where the parts of a film gather that is being rendered."""
    film = followed(target)
    return film.with_name(f"{film.name}.parts")


def encoder_of_parts(target: Path) -> str | None:
    """The encoder that an interrupted rendering of this target was begun with, if there is one."""
    with suppress(*_NO_MANIFEST):
        manifest = json.loads((parts_folder(target) / _MANIFEST).read_text())
        return str(manifest["begun_with"]["c:v"])
    return None

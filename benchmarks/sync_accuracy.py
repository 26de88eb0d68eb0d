"""Print how well sync lines up planted pairs of films, whose truth is known exactly.

OMP_NUM_THREADS=1 python -m benchmarks.sync_accuracy [--seeds 1:60] [--wrong 8] [--cache FOLDER]

Pairs are drawn (drawn_pairs.py) and planted (tests/planter.py) from the films in the data folder;
with a cache, each pair is planted only once.
A frame is rightly claimable if the coloured film shows it or a neighbour of it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.drawn_pairs import planted, planted_wrong
from filmcolorizer_cli import sync
from filmcolorizer_cli.errors import SyncError
from filmcolorizer_cli.maps import Segment, SyncMap
from filmcolorizer_cli.video import probe
from tests.planter import Indices, Planted

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TOLERANCE_FRAMES = 1
NEIGHBOURS = np.arange(-TOLERANCE_FRAMES, TOLERANCE_FRAMES + 1)
TOLERANCE_SECONDS = 1e-6  # tolerance at the ends of segments
GOOD_CORNER_ERROR = 0.01  # share of the coloured picture's width below which corners are good
FAR = 10**6  # error, in frames, of a frame that is lined up with no frame of the film
WORST_PAIRS = 5  # number of pairs listed for each figure

Flags = NDArray[np.bool_]

console = Console(width=120, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Score:
    """How well one pair was lined up; counts are of black-and-white frames.

    Attributes:
        claimed: frames that lie in a segment.
        claimable: claimed frames that can rightly be claimed.
        near: frames of ``claimable`` that were lined up within one frame of the truth.
        wrong: claimed frames that show nothing of the film, or nothing that the other version
            shows, or that were lined up with a frame that is not of the film.
        shared: frames whose exact frame of the film is in the coloured version.
        found: frames of ``shared`` that were claimed and lined up within one frame.
        median_error: median error of ``claimable``, in frames; NaN if there are none.
        corner_error: error of the picture's corners, as a share of the coloured picture's width,
            mean over claimed frames; NaN if there are none.
    """

    seed: int
    kinds: tuple[str, ...]
    claimed: int
    claimable: int
    near: int
    wrong: int
    shared: int
    found: int
    median_error: float
    corner_error: float
    true_segments: int
    found_segments: int
    align_seconds: float
    refusal: str = ""

    @property
    def near_share(self) -> float:
        return _share(self.near, self.claimable)

    @property
    def wrong_share(self) -> float:
        return _share(self.wrong, self.claimed)

    @property
    def found_share(self) -> float:
        return _share(self.found, self.shared)


@dataclass(frozen=True)
class Refusal:
    """The outcome for two films that do not belong together."""

    seed: int
    kinds: tuple[str, ...]
    is_refused: bool
    claimed_seconds: float
    align_seconds: float


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def align(pair: Planted) -> tuple[SyncMap | None, str, float]:
    """Line a pair up; return sync's map or its reason for a refusal, and the seconds it took."""
    bw, color = probe(pair.bw_path), probe(pair.color_path)
    started = time.perf_counter()
    sync_map, refusal = None, ""
    try:
        sync_map = sync.align(bw, color)
    except SyncError as error:
        refusal = str(error)
    return sync_map, refusal, time.perf_counter() - started


def score(seed: int, pair: Planted) -> Score:
    """Line a pair up and compare the result with its truth."""
    sync_map, refusal, seconds = align(pair)
    segments = () if sync_map is None else sync_map.segments
    owner = segment_of(pair, segments)
    is_film = pair.bw_source >= 0
    shared = is_film & np.isin(pair.bw_source, pair.color_source)
    known = pair.color_source[pair.color_source >= 0]
    claimable = is_film & np.isin(pair.bw_source, (known[:, None] + NEIGHBOURS).ravel())
    # Several frames in a row that a variable frame rate drops are neither right nor wrong.
    claimed = (owner >= 0) & (claimable | ~in_stretches(pair))
    predicted = predictions(pair, segments, owner)
    errors = frame_errors(pair, predicted)
    astray = claimed & (pair.color_source[predicted] < 0) & (errors > TOLERANCE_FRAMES)
    rightly = claimed & claimable
    near = errors <= TOLERANCE_FRAMES
    return Score(
        seed=seed,
        kinds=pair.kinds,
        claimed=int(claimed.sum()),
        claimable=int(rightly.sum()),
        near=int((rightly & near).sum()),
        wrong=int((claimed & (~claimable | astray)).sum()),
        shared=int(shared.sum()),
        found=int((shared & claimed & near).sum()),
        median_error=float(np.median(errors[rightly])) if rightly.any() else math.nan,
        corner_error=corner_error(pair, segments, owner),
        true_segments=len(pair.stretches),
        found_segments=len(segments),
        align_seconds=seconds,
        refusal=refusal,
    )


def segment_of(pair: Planted, segments: Sequence[Segment]) -> Indices:
    """Return the segment that claims each frame, (bw frames,); -1 for none."""
    owner = np.full(len(pair.bw_seconds), -1)
    for number, segment in enumerate(segments):
        begun = pair.bw_seconds >= segment.bw_start_seconds - TOLERANCE_SECONDS
        owner[begun & (pair.bw_seconds < segment.bw_end_seconds - TOLERANCE_SECONDS)] = number
    return owner


def in_stretches(pair: Planted) -> Flags:
    """Return whether each frame lies in a stretch that both versions show uncut, (bw frames,)."""
    inside = np.zeros(len(pair.bw_source), bool)
    for first, end in pair.stretches:
        inside |= (pair.bw_source >= first) & (pair.bw_source < end)
    return inside


def predictions(pair: Planted, segments: Sequence[Segment], owner: Indices) -> Indices:
    """Return the coloured frame that each frame is lined up with, (bw frames,); -1 for unclaimed.

    It is the last one that has begun by then, to half a frame, as in players and `extract`.
    """
    begins = pair.color_seconds - np.median(np.diff(pair.color_seconds)) / 2
    predicted = np.full(len(owner), -1)
    for n in np.flatnonzero(owner >= 0):
        seconds = segments[owner[n]].color_seconds(float(pair.bw_seconds[n]))
        predicted[n] = max(int(np.searchsorted(begins, seconds, side="right")) - 1, 0)
    return predicted


def frame_errors(pair: Planted, predicted: Indices) -> Indices:
    """Return the distance of predicted from true frames, (bw frames,), in frames of the film.

    For a predicted frame that is not of the film, it is the distance to the true frame in the
    coloured version. Where a variable frame rate drops frames, the held frame before them is also
    true.
    """
    shown = pair.color_source[predicted]
    errors = np.minimum(np.abs(shown - pair.bw_source), np.abs(shown - held(pair)))
    errors[(pair.bw_source < 0) | (predicted < 0)] = FAR
    for n in np.flatnonzero((shown < 0) & (errors < FAR)):
        true = np.flatnonzero(pair.color_source == pair.bw_source[n])
        errors[n] = np.abs(true - predicted[n]).min(initial=FAR)
    return errors


def held(pair: Planted) -> Indices:
    """Return the film frame that the coloured version holds at each frame, (bw frames,).

    It is the last kept one up to that frame, within its stretch.
    """
    frames = pair.bw_source.copy()
    kept = np.unique(pair.color_source[pair.color_source >= 0])
    for first, end in pair.stretches:
        inside = (frames >= first) & (frames < end)
        place = np.searchsorted(kept, frames[inside], side="right") - 1
        frames[inside] = np.maximum(kept[np.maximum(place, 0)], first)
    return frames


def corner_error(pair: Planted, segments: Sequence[Segment], owner: Indices) -> float:
    """Return the largest error of the corners of what both versions show, in the coloured picture.

    It is a share of the picture's width, and the mean over claimed frames; each frame's error
    compares the matrices of its segment and its reel.
    """
    aspect = probe(pair.color_path).aspect_ratio
    distances, weights = [], []
    for number, segment in enumerate(segments):
        for reel in pair.reels:
            in_reel = (pair.bw_source >= reel.first) & (pair.bw_source < reel.end)
            corners = np.column_stack((np.array(reel.corners), np.ones(len(reel.corners))))
            off = corners @ (np.array(segment.matrix) - np.array(reel.matrix)).T  # (corners, 2)
            distances.append(float(np.hypot(off[:, 0], off[:, 1] / aspect).max()))
            weights.append(int((in_reel & (owner == number)).sum()))
    return float(np.average(distances, weights=weights)) if sum(weights) else math.nan


def check_wrong(seed: int, pair: Planted) -> Refusal:
    """Check whether two films that do not belong together are refused."""
    sync_map, refusal, seconds = align(pair)
    segments = () if sync_map is None else sync_map.segments
    claimed = sum(segment.bw_end_seconds - segment.bw_start_seconds for segment in segments)
    return Refusal(seed, pair.kinds, bool(refusal), claimed, seconds)


def percent(share: float, digits: int = 1) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.{digits}f}%"


def line(score: Score) -> str:
    """Format a pair's figures in one line."""
    if score.refusal:
        return f"{score.seed:4d}  REFUSED: {score.refusal}  ({' '.join(score.kinds)})"
    return (
        f"{score.seed:4d}  near {percent(score.near_share):>6}  median {score.median_error:3.0f}"
        f"  wrong {percent(score.wrong_share):>6}  found {percent(score.found_share):>6}"
        f"  corners {percent(score.corner_error, 2):>7}"
        f"  segments {score.found_segments:2d}/{score.true_segments:2d}"
        f"  {score.align_seconds:5.1f} s  {' '.join(score.kinds)}"
    )


def pooled(scores: Sequence[Score]) -> list[str]:
    """Return the cells of a table row: pairs, refused ones, and figures over all their frames."""

    def over(part: str, whole: str) -> str:
        sums = [sum(getattr(score, name) for score in scores) for name in (part, whole)]
        return percent(_share(*sums), 2)

    corners = [score.corner_error for score in scores if not math.isnan(score.corner_error)]
    good = sum(error < GOOD_CORNER_ERROR for error in corners)
    return [
        str(len(scores)),
        str(sum(bool(score.refusal) for score in scores)),
        over("near", "claimable"),
        over("wrong", "claimed"),
        over("found", "shared"),
        percent(_share(good, len(scores)), 0),
        percent(statistics.median(corners), 2) if corners else "-",
        f"{statistics.mean(score.align_seconds for score in scores):.1f}",
    ]


def print_table(scores: Sequence[Score]) -> None:
    """Print the figures by kind and over all pairs, pooled over frames."""
    table = Table("kind", title="Pooled over frames", title_justify="left")
    heads = ("pairs", "refused", "near", "wrong", "found", "corners<1%", "corners", "seconds")
    for head in heads:
        table.add_column(head, justify="right")
    for kind in sorted({kind for score in scores for kind in score.kinds}):
        table.add_row(kind, *pooled([score for score in scores if kind in score.kinds]))
    table.add_section()
    table.add_row("all", *pooled(scores))
    console.print(table)


def print_worst(scores: Sequence[Score]) -> None:
    """Print the pairs with the worst values of each figure."""
    figures: tuple[tuple[str, Callable[[Score], float], bool], ...] = (
        ("near", lambda score: score.near_share, False),
        ("wrong", lambda score: score.wrong_share, True),
        ("found", lambda score: score.found_share, False),
        ("corners", lambda score: score.corner_error, True),
    )
    for name, figure, is_high_bad in figures:
        known = [score for score in scores if not math.isnan(figure(score))]
        worst = sorted(known, key=figure, reverse=is_high_bad)[:WORST_PAIRS]
        listed = ", ".join(f"{score.seed} ({percent(figure(score), 2)})" for score in worst)
        console.print(f"worst {name}: {listed}")


def save(path: Path | None, scores: Iterable[Score], refusals: Iterable[Refusal]) -> None:
    """Write all figures so far as JSON, with NaN as null."""
    if path is None:
        return
    rows = {"pairs": map(asdict, scores), "wrong": map(asdict, refusals)}
    clean = {
        name: [
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
            for row in entries
        ]
        for name, entries in rows.items()
    }
    path.write_text(json.dumps(clean, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", default="1:60", metavar="FIRST:LAST", help="pairs to plant")
    parser.add_argument("--wrong", type=int, default=8, metavar="N", help="wrong pairs to plant")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the folder of films")
    parser.add_argument("--cache", type=Path, help="where planted films are kept")
    parser.add_argument("--json", type=Path, help="a file to write all figures to")
    return parser.parse_args()


def main() -> None:
    """Score all pairs, then the wrong ones."""
    options = arguments()
    first, last = map(int, options.seeds.split(":"))
    scores: list[Score] = []
    refusals: list[Refusal] = []
    with ExitStack() as stack:
        cache = options.cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for seed in range(first, last + 1):
            scores.append(score(seed, planted(seed, options.data, cache)))
            console.print(line(scores[-1]))
            save(options.json, scores, refusals)
        for seed in range(options.wrong):
            refusals.append(check_wrong(seed, planted_wrong(seed, options.data, cache)))
            outcome = "refused" if refusals[-1].is_refused else "TAKEN FOR ONE FILM"
            console.print(f"wrong {seed:2d}  {outcome}  {' '.join(refusals[-1].kinds)}")
            save(options.json, scores, refusals)
    if scores:
        print_table(scores)
        print_worst(scores)
    if refusals:
        refused = sum(refusal.is_refused for refusal in refusals)
        console.print(f"wrong pairs refused: {refused} of {len(refusals)}")


if __name__ == "__main__":
    main()

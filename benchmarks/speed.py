"""Time colorize against ffmpeg alone, which decodes, greys and encodes the same film alike.

    python -m benchmarks.speed FILM FOLDER [--heights 360,720,1080] [--seconds 60] [--rounds 3]

A part of FILM is scaled to each height and made grey once. Then colorize and ffmpeg alone run in
turn. Prints the median ratio of their times (and of their processor times), frames per second, the
peak memory of all processes together, and the time per frame that each stage takes.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import psutil
import torch
import typer

from benchmarks.programs import FILMCOLORIZER, run_watched
from filmcolorizer_cli import colorizing, models, painting, propagation, rendering, weights
from filmcolorizer_cli.encoding import CODECS, DEFAULT_PRESET, Encoding, PictureWriter
from filmcolorizer_cli.ffmpeg import find_binary
from filmcolorizer_cli.video import probe

GOALS = {360: 1.5, 720: 1.25, 1080: 1.25}  # by height: maximum ratio to the time of ffmpeg alone


def make_clip(film: Path, height: int, start: float, seconds: float, target: Path) -> None:
    """Encode a part of a film in grey, scaled, in good quality."""
    scaled = f"scale=-2:{height}:flags=bicubic,format=gray,format=yuv420p"
    quality = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "16")
    part = ("-ss", str(start), "-t", str(seconds))
    _run([find_binary(), "-v", "error", "-y", *part, "-i", str(film), "-an", "-vf", scaled,
          *quality, str(target)])  # fmt: skip


def floor_command(clip: Path, target: Path) -> list[str]:
    """Return the command of ffmpeg alone, with colorize's default codec, preset and quality."""
    crf = CODECS[Encoding().codec].crf
    made_grey = ("-i", str(clip), "-vf", "format=gray,format=yuv420p")
    quality = ("-c:v", "libx264", "-preset", DEFAULT_PRESET, "-crf", str(crf))
    return [find_binary(), "-v", "error", "-y", *made_grey, *quality, str(target)]


def colorize_command(clip: Path, target: Path, model: str) -> list[str]:
    """Return the colorize command of a user, at the clip's own rate and with one worker."""
    program = [*FILMCOLORIZER, "colorize", str(clip), "-o", str(target)]
    return [*program, "--overwrite", "--fps", "source", "--model", model, "--workers", "1"]


def _run(command: list[str]) -> tuple[float, float, int]:
    """Run a command; return its seconds, processor seconds with children, and peak memory.

    Watching the memory takes a hundredth of a processor.
    """
    before = psutil.Process().cpu_times()
    seconds, peak = run_watched(command)
    after = psutil.Process().cpu_times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    return seconds, spent, peak


def watch_stages() -> defaultdict[str, float]:
    """Make the stages of colorize record how long they take, in seconds of the main thread.

    Decode and encode are the times for which it waits for ffmpeg.
    """
    spent: defaultdict[str, float] = defaultdict(float)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            started, inner = time.perf_counter(), sum(spent.values())
            try:
                return call(*arguments, **more)
            finally:
                # Time in a nested stage counts for that stage only.
                spent[name] += time.perf_counter() - started - (sum(spent.values()) - inner)

        return wrapped

    def decoded(frames: Iterator[Any]) -> Iterator[Any]:
        try:
            take = timed("decode", lambda: next(frames, None))
            while (frame := take()) is not None:
                yield frame
        finally:
            frames.close()  # type: ignore[attr-defined]

    read, survey = vars(rendering)["read_coded_luma"], vars(colorizing)["survey"]
    replaced = (
        (rendering, "read_coded_luma", lambda *a, **k: decoded(read(*a, **k))),
        (colorizing, "survey", timed("survey", survey)),
        (painting.Painter, "_predict", timed("network", painting.Painter._predict)),
        (propagation.Propagator, "propagate", timed("temporal", propagation.Propagator.propagate)),
        (painting._View, "paint", timed("chroma", painting._View.paint)),
        (PictureWriter, "write", timed("encode", PictureWriter.write)),
    )
    for owner, name, replacement in replaced:
        setattr(owner, name, replacement)
    return spent


def stages(
    clip: Path, target: Path, model: str, spent: defaultdict[str, float]
) -> dict[str, float]:
    """Colorize a clip; return the seconds by stage."""
    spent.clear()
    film = probe(clip)
    options = rendering.ColorizeOptions(Encoding(frame_rate=film.frame_rate))
    network = weights.load(models.find_model(model))
    started = time.perf_counter()
    for _ in colorizing.colorize(film, target, network, options, torch.device("cpu")):
        pass
    spent["other"] = time.perf_counter() - started - sum(spent.values())
    return dict(spent)


def main(
    film: Path,
    folder: Path,
    heights: str = "360,720,1080",
    start: float = 60.0,
    seconds: float = 60.0,
    rounds: int = 3,
    model: Annotated[str, typer.Option()] = models.DEFAULT_MODEL,
) -> None:
    """Print a block for each height."""
    folder.mkdir(parents=True, exist_ok=True)
    timings = {}
    for height in map(int, heights.split(",")):
        clip, target = folder / f"grey{height}.mp4", folder / "out.mp4"
        make_clip(film, height, start, seconds, clip)
        pairs = [
            (_run(colorize_command(clip, target, model)), _run(floor_command(clip, target)))
            for _ in range(rounds)
        ]
        ratios = [ours[0] / floor[0] for ours, floor in pairs]
        work = statistics.median(ours[1] / floor[1] for ours, floor in pairs)
        frames = probe(clip).frame_count()
        rate = frames / statistics.median(ours[0] for ours, _ in pairs)
        peak = max(ours[2] for ours, _ in pairs)
        print(
            f"{height}p: {statistics.median(ratios):.2f} times the time of ffmpeg alone"
            f" ({min(ratios):.2f} to {max(ratios):.2f}; goal: at most {GOALS.get(height, 1.25):g}),"
            f" {work:.2f} times its processor time; {rate:.1f} frames a second,"
            f" peak {peak / 1e6:.0f} MB"
        )
        timings[height] = clip, frames
    watched = watch_stages()
    for height, (clip, frames) in timings.items():
        spent = stages(clip, folder / "stages.mp4", model, watched)
        shown = ", ".join(f"{name} {1e3 * t / frames:.1f}" for name, t in spent.items())
        print(f"{height}p, milliseconds a frame: {shown}")


if __name__ == "__main__":
    typer.run(main)

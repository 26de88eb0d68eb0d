"""The Typer commands: they turn options into arguments, results into text, errors into exit codes.

torch and all modules that need it are imported inside the commands, so that help, completion and
usage errors respond at once.
"""

from __future__ import annotations

import errno
import filecmp
import re
import shlex
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from filmcolorizer_cli import __version__, console
from filmcolorizer_cli.errors import (
    FfmpegError,
    FilmColorizerError,
    OptionError,
    VideoError,
    WeightsError,
    reason_of,
)
from filmcolorizer_cli.files import SAMPLE_FILM, filling, lack_of_room, replacing
from filmcolorizer_cli.options import (
    FIND,
    NAMED_SPLITS,
    SPLIT_METAVAR,
    Deinterlace,
    Device,
    Duration,
    Ffmpeg,
    FilmOrPicturesArgument,
    InputFps,
    Json,
    ModelOption,
    NoTemporal,
    OffsetCommand,
    Overwrite,
    PairsArgument,
    Preview,
    Recolor,
    Render,
    Start,
    Vividness,
    complete_init,
    complete_model,
    is_whole_number,
    parse_frame_rate,
    parse_split,
    time_option,
)
from filmcolorizer_cli.stopping import HUNG_UP, INTERRUPTED, TERMINATED, check_signals
from filmcolorizer_cli.targets import (
    beside,
    check_ending,
    check_folder_target,
    check_pictures,
    check_report,
    check_target,
    check_training_targets,
    default_target,
    render_targets,
)
from filmcolorizer_cli.wording import (
    FILM_COLUMNS,
    counted,
    describe_card,
    describe_losses,
    describe_more,
    describe_outcome,
    describe_rate,
    describe_size,
    describe_sounds,
    describe_split,
    describe_time,
    film_evaluation_as_json,
    film_score_rows,
    pair_score_rows,
)

if TYPE_CHECKING:
    import torch

    from filmcolorizer_cli.film_evaluation import FilmEvaluation, FilmOptions
    from filmcolorizer_cli.maps import SyncMap
    from filmcolorizer_cli.models import Model
    from filmcolorizer_cli.networks import Network
    from filmcolorizer_cli.pair_evaluation import Evaluation
    from filmcolorizer_cli.pairs import Pairs
    from filmcolorizer_cli.recipes import TrainingOptions
    from filmcolorizer_cli.rendering import ColorizeOptions
    from filmcolorizer_cli.splits import Split
    from filmcolorizer_cli.training import Outcome, Step
    from filmcolorizer_cli.video import Film
    from filmcolorizer_cli.watching import Watcher

MAX_STILL_SIZE = 8640  # pixels, the largest --size of stills
NEARLY_GREY_MSE = 0.001  # validation MSE of leaving all grey; less means stills without colours
LACK_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|insufficient memory|can't allocate memory", re.I
)
NOT_LOADED = {126, 127, 1114}  # Windows error codes for a library that lacks another one
STOPPED = "stopped; no unfinished file was left behind"
DEMO_MOMENTS_SECONDS = (1.0, 3.0, 5.0)  # times in the sample film, one in each shot


def _sentence_for(error: ImportError | OSError) -> str:
    """Describe an inaccessible folder, a vanished file, or a library that cannot be loaded."""
    if isinstance(error, ImportError) or getattr(error, "winerror", None) in NOT_LOADED:
        return (
            f"a library cannot be loaded ({error}); reinstall filmcolorizer and its dependencies as"
            " in the README"
        )
    name = f"{error.filename}: " if error.filename else ""
    reason = reason_of(error)
    if lack_of_room(reason):
        return f"{name}{reason}; free some disk space"
    is_too_long = error.errno == errno.ENAMETOOLONG
    mend = "choose a shorter name" if is_too_long else "check the path and its permissions"
    return f"{name}{reason}; {mend}"


class Commands(TyperGroup):
    """A command group that turns errors of the library into a one-sentence message."""

    def invoke(self, ctx: Any) -> Any:
        console.notes.clear()
        try:
            result = super().invoke(ctx)
            check_signals()
            return result
        except FilmColorizerError as error:
            console.fail(str(error))
            raise typer.Exit(2 if isinstance(error, OptionError) else 1) from None
        except BrokenPipeError:  # the reader of our output has gone; Typer exits quietly
            raise
        except (ImportError, OSError) as error:
            console.fail(_sentence_for(error))
            raise typer.Exit(1) from None
        except Exception as error:  # torch and OpenCV raise their own types for lack of memory
            is_typers = hasattr(error, "exit_code")  # its message may quote anything
            is_lack = isinstance(error, MemoryError) or LACK_OF_MEMORY.search(str(error))
            if is_typers or not is_lack:
                raise
            console.fail(
                "there is not enough memory for this; close other programs, use a smaller --size or"
                " --batch-size where the command has them, or --device cpu"
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            console.fail(STOPPED)
            raise typer.Exit(INTERRUPTED) from None
        except SystemExit as stop:
            if stop.code in (TERMINATED, HUNG_UP):
                console.fail(STOPPED)
            raise


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Colorize old black-and-white films.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.say(f"filmcolorizer {__version__}")
        raise typer.Exit


@app.callback()
def filmcolorizer(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Colorize old black-and-white films."""


@app.command()
def info(film: FilmOrPicturesArgument, input_fps: InputFps = None, as_json: Json = False) -> None:
    """Show what a film file contains, and what colorizing would make of it."""
    from filmcolorizer_cli.video import TIMELINE_FRAME_RATE

    source = _probe_source(film, input_fps)
    try:
        model, plan = _choose_model(None, source).name, ""
    except WeightsError as error:  # the film can still be described
        model, plan = None, f"not possible with these weights: {error}"
    target = default_target(film)
    frames = source.frame_count(TIMELINE_FRAME_RATE)
    if as_json:
        facts = asdict(source) | {
            name: str(getattr(source, name))
            for name in ("path", "sample_aspect_ratio", "frame_rate", "time_base")
        }
        colorizing = {"target": str(target), "frames": frames, "frame_rate": "24", "model": model}
        console.json(facts | {"colorize": colorizing})
        return
    matrix = source.coding.matrix.upper().replace("BT", "BT.")
    rotation = f", rotated by {source.rotation} degrees" if source.rotation else ""
    console.facts(
        [
            ("film", f"{source.path} ({source.container})"),
            ("picture", f"{describe_size(source)}{rotation}, {source.codec}"),
            ("frame rate", f"{describe_rate(source.frame_rate)} frames a second"),
            (
                "length",
                f"{source.duration_seconds:.2f} s, about {counted(source.frame_count(), 'frame')}",
            ),
            (
                "colour tags",
                f"{matrix}{'' if source.is_matrix_tagged else ' (guessed)'},"
                f" {source.coding.range} range, {source.pixel_format}",
            ),
            ("sound", "; ".join(describe_sounds(source, target)) or "none"),
            *describe_more(source, target),
            (
                "colorize",
                plan
                or f"writes {target}: {counted(frames, 'frame')} at 24 frames a second, H.264 in"
                f" mp4, with the model {model}",
            ),
        ]
    )


@app.command(cls=OffsetCommand)
def sync(
    bw: Annotated[
        Path,
        typer.Argument(metavar="BW", help="The black-and-white film.", readable=False),
    ],
    color: Annotated[
        Path, typer.Argument(metavar="COLOR", help="Its coloured version.", readable=False)
    ],
    offset: Annotated[
        str | None,
        typer.Option(
            metavar="[FRAMES]",
            help="Without a number: only find and print the offset. With one: use it as given."
            " Frame n of BW shows what frame n + FRAMES of COLOR shows, counted in frames of BW.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The map.", show_default="sync.json"),
    ] = None,
    input_fps: InputFps = None,
    preview: Preview = None,
    render: Render = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    ffmpeg: Ffmpeg = None,
) -> None:
    """Line up a black-and-white film and its coloured version."""
    is_number = offset is not None and is_whole_number(offset)
    if offset not in (None, FIND) and not is_number:
        raise typer.BadParameter(
            f"{offset!r} is not a whole number of frames", param_hint="--offset"
        )

    from filmcolorizer_cli import maps
    from filmcolorizer_cli import sync as syncing

    writes = offset != FIND or output is not None
    target = output or Path("sync.json")
    bw_film, color_film = _probe_films([bw, color], input_fps)
    if writes:
        check_target(target, [bw, color], overwrite)
    check_pictures(preview, render, [bw, color], overwrite, target if writes else None)
    if writes:
        check_ending(target, ".json")
    if is_number:
        sync_map = syncing.constant_offset(bw_film, color_film, int(str(offset)))
        with_placement = syncing.with_placement(bw_film, color_film, sync_map)
        if with_placement is None:
            console.note(
                "the pictures do not look alike at this offset, so each is assumed to fill the"
                " other's frame; check with --preview FILE.png"
            )
        sync_map = with_placement or sync_map
    else:
        _note_wrong_order(bw_film, color_film)
        sync_map = syncing.align(bw_film, color_film, track=console.track)
    if writes:
        check_target(target, [bw, color], overwrite)  # a file may have appeared meanwhile
        maps.write_map(sync_map, target)
    _write_pictures(bw_film, color_film, sync_map, preview, render)
    rate = bw_film.frame_rate
    frames = round(sync_map.longest.offset_seconds * rate)
    if as_json:
        console.json(
            {
                "offset_frames": frames,
                "offset_seconds": float(frames / rate),
                "confidence": sync_map.longest.confidence,
                "shared_seconds": sync_map.shared_seconds,
                "segments": [asdict(segment) for segment in sync_map.segments],
                "output": str(target) if writes else None,
            }
        )
        return
    certainty = "as given" if is_number else f"confidence {sync_map.longest.confidence:.2f}"
    pace = f"{sync_map.longest.rate:.5f}"
    shown_rate = "" if pace == "1.00000" else f", rate {pace}"
    console.say(
        f"offset {frames:+d} frames ({float(frames / rate):+.3f} s){shown_rate}, {certainty}"
    )
    if len(sync_map.segments) > 1:
        _print_segments(sync_map, rate)
    # Where frames are not evenly spaced, the end of the last one is an estimate.
    share = min(sync_map.shared_seconds / bw_film.duration_seconds, 1)
    shared = f"{sync_map.shared_seconds:.1f} s that both films show, {share:.0%} of {bw}"
    console.say(f"wrote {target}: {shared}" if writes else shared)


def _note_wrong_order(bw: Film, color: Film) -> None:
    """Note films given in the wrong order before minutes are spent on aligning them."""
    from filmcolorizer_cli.survey import is_in_color

    if not is_in_color(color) and is_in_color(bw):
        console.note(
            f"{bw.path} is in colour and {color.path} is not; give the black-and-white film first"
        )


def _write_pictures(
    bw: Film, color: Film, sync_map: SyncMap, preview: Path | None, render: Path | None
) -> None:
    """Write what --preview and --render ask for."""
    if preview is not None:
        from filmcolorizer_cli import report

        report.save_sync_preview(bw, color, sync_map, preview)
        console.note(f"wrote {preview}: matched frames and the segments")
    if render is not None:
        from filmcolorizer_cli import aligned

        targets = render_targets(render)
        written = aligned.render(bw, color, sync_map, *targets)
        total = aligned.Moments().count(sync_map)
        with filling(render), closing(written):
            frames = max(console.track(written, total, "aligned films"))
        console.note(f"wrote {targets[0]} and {targets[1].name}: {counted(frames, 'frame')} each")


def _print_segments(sync_map: SyncMap, frame_rate: Fraction) -> None:
    rows = [
        (
            describe_time(segment.bw_start_seconds),
            describe_time(segment.bw_end_seconds),
            describe_time(segment.color_start_seconds),
            f"{segment.offset_seconds * frame_rate:+.1f}",
            f"{segment.rate:.5f}",
            f"{segment.confidence:.2f}",
        )
        for segment in sync_map.segments
    ]
    columns = ("from", "to", "colour from", "offset", "rate", "confidence")
    title = f"{len(rows)} segments that both films show; offsets in frames of the first"
    console.table(title, columns, [rows], left=0)


@app.command()
def extract(
    bw: Annotated[
        Path,
        typer.Argument(
            metavar="BW", help="The black-and-white film, or a single colour film.", readable=False
        ),
    ],
    color: Annotated[
        Path | None,
        typer.Argument(metavar="COLOR", help="Its coloured version.", readable=False),
    ] = None,
    sync_file: Annotated[
        Path | None,
        typer.Option(
            "--sync",
            help="A map made by sync; without it, the films are lined up first.",
            readable=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder of pairs.")] = Path(
        "pairs"
    ),
    every: Annotated[
        int, typer.Option(min=1, help="Frames from one still to the next, at 24 a second.")
    ] = 24,
    size: Annotated[
        int,
        typer.Option(
            min=16,
            max=MAX_STILL_SIZE,
            help="Short side of the stills; 64 gives squares of 64x64, as in 2020.",
        ),
    ] = 192,
    input_fps: InputFps = None,
    start: Start = 0.0,
    duration: Duration = None,
    preview: Preview = None,
    render: Render = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    ffmpeg: Ffmpeg = None,
) -> None:
    """Take pairs of grey and colour stills from two versions of a film, or from a colour film."""
    for hint, value in (("--sync", sync_file), ("--preview", preview), ("--render", render)):
        if color is None and value is not None:
            raise typer.BadParameter("it needs both films, BW and COLOR", param_hint=hint)

    from filmcolorizer_cli import extracting, maps
    from filmcolorizer_cli import sync as syncing
    from filmcolorizer_cli.pairs import read_pairs

    bw_film, *others = _probe_films([bw] if color is None else [bw, color], input_fps)
    color_film = others[0] if others else bw_film
    check_folder_target(output, overwrite)
    sources = [film.path for film in (bw_film, color_film)]
    check_pictures(preview, render, sources, overwrite, output)
    if sync_file is not None:
        sync_map = maps.read_map(sync_file)
        maps.check_films(sync_map, bw_film, color_film)
        sync_map = sync_map.sure()
    elif color is None:
        sync_map = syncing.constant_offset(bw_film, bw_film, 0)
    else:
        _note_wrong_order(bw_film, color_film)
        sync_map = syncing.align(bw_film, color_film, track=console.track)
        console.note(
            f"lined up {sync_map.shared_seconds:.1f} s in"
            f" {counted(len(sync_map.segments), 'segment')}"
        )
    options = extracting.ExtractOptions(every, size, start, duration)
    if color is not None and extracting.count_stills(sync_map, options):
        _write_pictures(bw_film, color_film, sync_map, preview, render)
    grey_film = None if color is None else bw_film
    written = extracting.extract(
        grey_film, color_film, sync_map, output, options, note=console.note
    )
    total = extracting.count_stills(sync_map, options)
    for _ in console.track(written, total, "pairs", unit="pairs"):
        pass
    folder = read_pairs(output)
    count = len(folder.pairs)
    shots = len({pair.shot for pair in folder.pairs})
    if as_json:
        console.json(
            {
                "output": str(output),
                "pairs": count,
                "shots": shots,
                "width": folder.width,
                "height": folder.height,
                "notes": console.notes,
            }
        )
        return
    console.say(
        f"wrote {output}: {counted(count, 'pair')} of {folder.width}x{folder.height} stills from"
        f" {counted(shots, 'shot')}"
    )


@app.command()
def train(
    pairs: PairsArgument = Path("pairs"),
    arch: Annotated[
        Literal["film", "classic"],
        typer.Option(
            help="The network: film, or classic, the small one from a student project of 2020."
        ),
    ] = "film",
    init: Annotated[
        str | None,
        typer.Option(
            metavar="default|none|FILE",
            autocompletion=complete_init,
            help="The weights to start from: the shipped ones, random ones, or those in a file.",
            show_default="default for film, none for classic",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the training pairs; if these are few, a pass shows each several"
            " times.",
            show_default="enough for 8,000 pictures, 16,000 with --init none, 18,000 with --split"
            " interleaved, 6,000 with --split none; 20 for classic",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Training pairs per step.",
            show_default="16",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--lr",
            min=0.0,
            max=1.0,
            help="The highest learning rate.",
            show_default="0.002 for film, 0.003 with --split interleaved or none, 0.0001 for"
            " classic",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Short side of the pictures that the network works on.",
            show_default="that of the stills, less with --split interleaved or none, 64 for"
            " classic",
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar=SPLIT_METAVAR,
            help="By time, as shares or as numbers of training and validation pairs (4000,1000);"
            " interleaved (every other pair), for a copy that covers the whole film; or none, to"
            " learn all of a few painted stills.",
        ),
    ] = "70,15,15",
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**63 - 1,
            help="Seed of all random choices; on a CPU, the same seed gives the same weights.",
        ),
    ] = 0,
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted training.")
    ] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also log losses and samples to this folder, for TensorBoard.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The weights.")] = Path(
        "film.safetensors"
    ),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a network for one film on the pairs taken from it."""
    wanted = parse_split(split)

    from filmcolorizer_cli import recipes, training, weights
    from filmcolorizer_cli.history import (
        best_epoch,
        checkpoint_file,
        history_file,
        interrupted_history,
    )
    from filmcolorizer_cli.models import read_model
    from filmcolorizer_cli.networks import pick_device
    from filmcolorizer_cli.pairs import read_pairs
    from filmcolorizer_cli.splits import PARTS, choose_split
    from filmcolorizer_cli.watching import Watcher

    where = pick_device(device)
    folder = read_pairs(pairs)
    parts = choose_split(folder.pairs, folder.every, wanted)
    checkpoint = checkpoint_file(output)
    interrupted = interrupted_history(output)
    history = interrupted if resume else []
    watcher = Watcher(folder, parts, output, history, device=where, board=tensorboard)
    written = [output, history_file(output), watcher.loss_figure, watcher.samples]
    check_training_targets(written, checkpoint, resume, overwrite)
    # This raises if a part is empty, before any work is done.
    counts = [len(folder.part(part, parts)) for part in PARTS]
    shows_all = wanted in NAMED_SPLITS
    short_side = size or recipes.default_size(arch, folder, shows_all=shows_all)
    first = init or ("default" if arch == "film" else "none")
    network, model = training.first_network(arch, first, short_side, seed, is_faded=folder.is_faded)
    defaults = recipes.default_options(
        arch,
        counts[0],
        is_pretrained=model is not None,
        shows_all=shows_all,
        is_painted=wanted == "none",
    )
    options = _with_given(
        defaults, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed
    )
    _note_pairs(folder, split, wanted, parts, counts)
    if model is not None:
        _note_what_was_learnt(model, folder, parts)
    watcher.read(network)
    called = str(Path(first).resolve()) if Path(first).is_file() else first
    steps = training.train(
        network,
        folder,
        parts,
        options,
        output,
        device=where,
        init=called,
        lineage=model.lineage if model else (),
        resume=resume,
    )
    try:
        outcome = _follow_training(steps, watcher, options, counts[0], len(history))
    except (KeyboardInterrupt, SystemExit):
        if checkpoint.exists():
            console.note(
                "the finished epochs are kept: continue with the same command and --resume"
            )
        raise
    history = watcher.history
    watcher.show(weights.load(read_model(output)))
    best = best_epoch(history)
    _note_whether_grey_is_better(outcome)
    if as_json:
        written_files = [str(path) for path in written]
        console.json({"best": asdict(best), "kept": asdict(outcome), "written": written_files})
        return
    console.say(
        f"best of {len(history)} epochs: {best.epoch}, training loss {best.training_loss:.4f},"
        f" validation loss {best.validation_loss:.4f}"
    )
    console.say(describe_outcome(outcome))
    console.say(f"wrote {', '.join(str(path) for path in written)}")


@app.command("eval")
def evaluate(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PAIRS|FILM",
            help="A folder of pairs, or colour films (numbered pictures too).",
            show_default="pairs",
            readable=False,
        ),
    ] = None,
    model: ModelOption = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Also show the scores of the grey picture itself.")
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Size to compare at. Pairs: the short side; 64 gives squares of 64x64, as in 2020."
            " Films: lines; those with fewer are compared as they are.",
            show_default="that of the stills, 360 lines for films",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar=SPLIT_METAVAR,
            help="How to split the pairs to measure, as in train, whatever the network was trained"
            " on.",
            show_default="the one that the network was trained with, else 70,15,15",
        ),
    ] = None,
    input_fps: InputFps = None,
    start: Start = 0.0,
    duration: Duration = None,
    no_temporal: NoTemporal = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write a page, DIR/index.html: scores, plots over the film's time, and the"
            " best, median and worst stills under sliders.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    ffmpeg: Ffmpeg = None,
) -> None:
    """Measure how close a network comes to the true colours of a film's pairs, or of whole films.

    Films are made grey, colorized, and compared with the originals. Flicker is how much colours
    change along the motion (1.00: as much as the true ones); CDC is how much those of the whole
    picture change.
    """
    wanted = None if split is None else parse_split(split)
    paths = sources or [Path("pairs")]
    is_pairs = _is_pairs(paths)
    for hint, value in (
        ("--input-fps", input_fps),
        ("--start", start or None),
        ("--duration", duration),
        ("--no-temporal", no_temporal or None),
    ):
        if is_pairs and value is not None:
            raise typer.BadParameter("it is for films, not for a folder of pairs", param_hint=hint)
    if not is_pairs and split is not None:
        raise typer.BadParameter("it is for a folder of pairs, not for films", param_hint="--split")
    if folders := [path for path in paths if not is_pairs and path.is_dir()]:
        raise OptionError(
            f"{folders[0]} is a folder; eval takes either one folder of pairs or films"
        )

    from filmcolorizer_cli import film_evaluation
    from filmcolorizer_cli.networks import pick_device

    where = pick_device(device)
    if report is not None:
        check_report(report, overwrite)
    if is_pairs:
        _evaluate_pairs(
            paths[0], wanted, model, where, size, report, with_baseline=baseline, as_json=as_json
        )
        return
    films = _probe_films(paths, input_fps)
    options = film_evaluation.FilmOptions(
        size or film_evaluation.SIZE, start, duration, temporal=not no_temporal
    )
    compared = _evaluate_films(
        films, model, options, where, report, with_baseline=baseline, as_json=as_json
    )
    if compared < len(films):  # the errors of the others have been printed
        raise typer.Exit(1)


@app.command()
def colorize(
    film: FilmOrPicturesArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The coloured film.",
            show_default="FILM-color.mp4, .mov for prores, .mkv for ffv1; for pictures"
            " FOLDER-color, beside their folder",
        ),
    ] = None,
    model: ModelOption = None,
    input_fps: InputFps = None,
    fps: Annotated[
        str,
        typer.Option(
            metavar="24|source|N",
            help="Frame rate of the coloured film: the film's own (source), or from 1 to 240.",
        ),
    ] = "24",
    codec: Annotated[
        Literal["h264", "hevc", "av1", "prores", "ffv1"],
        typer.Option(help="The video codec; ffv1 is lossless."),
    ] = "h264",
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Another of ffmpeg's encoders for that codec, such as h264_nvenc.",
            show_default="x264, x265, SVT-AV1, prores_ks or ffv1",
        ),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=63,
            help="The quality, from 0 to 51 (av1: 63); lower is better and gives a larger file.",
            show_default="18 for h264, 20 for hevc, 24 for av1",
        ),
    ] = None,
    preset: Annotated[
        Literal[
            "ultrafast",
            "superfast",
            "veryfast",
            "faster",
            "fast",
            "medium",
            "slow",
            "slower",
            "veryslow",
        ]
        | None,
        typer.Option(
            help="The preset of h264, hevc and av1; slower ones give smaller files.",
            show_default="medium",
        ),
    ] = None,
    hwaccel: Annotated[
        Literal["none", "auto"],
        typer.Option(
            help="Whether to decode and encode on a graphics card where ffmpeg can use it; it has"
            " its own presets."
        ),
    ] = "none",
    vividness: Vividness = 1.0,
    recolor: Recolor = False,
    deinterlace: Deinterlace = "auto",
    skip_damaged: Annotated[
        bool,
        typer.Option("--skip-damaged", help="Skip parts of the film that cannot be decoded."),
    ] = False,
    no_temporal: NoTemporal = False,
    start: Start = 0.0,
    duration: Duration = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Number of parts of the film to render at once.",
            show_default="with x264 one per four processors, for 1080p at most four; else 1",
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    ffmpeg: Ffmpeg = None,
) -> None:
    """Colorize a black-and-white film, and keep its sound."""
    frame_rate = parse_frame_rate(fps)

    from filmcolorizer_cli.encoding import CODECS, Encoding

    encoding = Encoding(crf=crf, preset=preset, codec=codec, encoder=encoder)

    from filmcolorizer_cli.containers import CONTAINERS
    from filmcolorizer_cli.frames import find_hardware_decoder
    from filmcolorizer_cli.packets import own_rate, uneven_pts, with_damaged_sound
    from filmcolorizer_cli.video import probe

    source = _probe_source(film, input_fps)
    target = output or default_target(film, CODECS[codec].endings[0])
    check_ending(target, *CONTAINERS)
    if target.suffix.lower() not in CODECS[codec].endings:
        raise OptionError(
            f"{target} cannot hold {CODECS[codec].name}; give it the ending"
            f" {' or '.join(CODECS[codec].endings)} with -o, or choose another --codec"
        )
    check_target(target, [film], overwrite)
    chosen = _choose_model(model, source)
    source = with_damaged_sound(source)

    # Errors in the files are reported above, before torch is loaded, which takes seconds.
    from filmcolorizer_cli import weights
    from filmcolorizer_cli.colorizing import choose_encoder, usual_workers
    from filmcolorizer_cli.networks import pick_device
    from filmcolorizer_cli.rendering import ColorizeOptions

    where = pick_device(device)
    network = weights.load(chosen)
    encoding = replace(
        encoding,
        frame_rate=frame_rate or own_rate(source),
        coding=CODECS[codec].coding_of(source),
    )
    decoder = None
    if hwaccel == "auto" and not skip_damaged:  # hardware decoders may hide damage
        decoder = find_hardware_decoder(source)
    if hwaccel == "auto" and encoder is None:
        encoding = encoding.with_encoder(choose_encoder(encoding, target))
        if preset and not encoding.preset:
            console.note(f"preset: ignored, since {encoding.encoder} has its own presets")
    options = ColorizeOptions(
        encoding,
        start,
        duration,
        vividness,
        keeps_times=frame_rate is None,
        deinterlace=deinterlace,
        recolor=recolor,
        skips_damage=skip_damaged,
        temporal=not no_temporal,
        hardware=decoder,
    )
    console.note(f"colorizing {film} with the model {chosen.name} on {where.type}")
    for what, outcome in _describe_contents(source, target, options, with_card=hwaccel == "auto"):
        console.note(f"{what}: {outcome}")
    frames = _colorize(
        source, target, network, options, where,
        overwrite=overwrite, workers=workers or usual_workers(source, encoding),
    )  # fmt: skip
    sounds, written = describe_sounds(source, target), probe(target)
    is_even = frame_rate is not None or not uneven_pts(written)
    if as_json:
        console.json(
            {
                "output": str(target),
                "frames": frames,
                **_facts(written),
                "frame_rate": str(encoding.frame_rate) if is_even else None,
                "sounds": sounds,
                "model": chosen.name,
                "notes": console.notes,
            }
        )
        return
    rate = f"at {describe_rate(encoding.frame_rate)} frames a second"
    pace = rate if is_even else "each at its own time"
    console.say(
        f"wrote {target}: {counted(frames, 'frame')}, {written.duration_seconds:.2f} s {pace},"
        f" {describe_size(written)}; sound: {'; '.join(sounds) or 'the source has none'}"
    )


@app.command()
def preview(
    film: FilmOrPicturesArgument,
    frames: Annotated[
        int, typer.Option(min=1, max=200, help="How many frames to take from all over the film.")
    ] = 24,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|FILE",
            autocompletion=complete_model,
            help="A shipped model or a weights file; give it several times to compare models.",
            show_default="./film.safetensors, else default",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.html",
            help="The page; the contact sheet beside it ends in .png.",
            show_default="FILM-preview.html",
        ),
    ] = None,
    input_fps: InputFps = None,
    vividness: Vividness = 1.0,
    recolor: Recolor = False,
    deinterlace: Deinterlace = "auto",
    start: Start = 0.0,
    duration: Duration = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    ffmpeg: Ffmpeg = None,
) -> None:
    """See within a minute what colorizing would make of a film."""
    from filmcolorizer_cli import pages, report, weights
    from filmcolorizer_cli import preview as previewing
    from filmcolorizer_cli.networks import pick_device
    from filmcolorizer_cli.rendering import ColorizeOptions

    where = pick_device(device)
    source = _probe_source(film, input_fps)
    page = output or beside(film, "-preview.html")
    check_ending(page, ".html")
    sheet = page.with_suffix(".png")
    for target in (page, sheet):
        check_target(target, [film], overwrite)
    named = [_choose_model(name, source) for name in models or (None,)]
    networks = {model.name: weights.load(model) for model in named}
    options = ColorizeOptions(
        start_seconds=start,
        duration_seconds=duration,
        vividness=vividness,
        deinterlace=deinterlace,
        recolor=recolor,
    )
    taken = previewing.preview(source, networks, options, where, frames=frames, note=console.note)
    moments = list(console.track(taken, frames, "looking at the film"))
    slides = [
        pages.Slide(
            describe_time(moment.seconds, digits=2),
            moment.pictures,
            "already in colour, and left as it is" if moment.is_colored else "",
        )
        for moment in moments
    ]
    summary = f"{counted(len(slides), 'frame')}, grey and as coloured by {', '.join(networks)}"
    report.save_contact_sheet(slides, f"{film.name}: {summary}", sheet)
    motion = "To see a shot in motion, replace T with the time below its picture:"
    chosen_by_hand = models[0] if models and len(models) == 1 else None
    command = _colorize_command(film, options, chosen_by_hand, input_fps)
    shown = pages.Page(film.name, (summary, motion), command, [pages.Section(slides=slides)])
    pages.save_page(shown, page)
    if as_json:
        told = [{"seconds": m.seconds, "in_color_already": m.is_colored} for m in moments]
        written = {"page": str(page), "sheet": str(sheet)}
        console.json({**written, "models": list(networks), "frames": told})
        return
    console.say(f"wrote {page}: {summary}; open it in a browser")
    console.say(f"wrote {sheet}: the same on one sheet")


@app.command()
def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="A film, such as the source.", readable=False)
    ],
    second: Annotated[
        Path,
        typer.Argument(
            metavar="B", help="Another version of it, such as the coloured one.", readable=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The video of both, .mp4, .mov or .mkv; the sheet of stills beside it ends in"
            " .png.",
            show_default="A-compare.mp4",
        ),
    ] = None,
    layout: Annotated[
        Literal["side", "split"],
        typer.Option(help="Side by side, or the left half of A and the right half of B."),
    ] = "side",
    labels: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B", help="Labels of the two films.", show_default="their file names"
        ),
    ] = None,
    stills: Annotated[
        int, typer.Option(min=1, max=200, help="How many frames the sheet shows.")
    ] = 12,
    input_fps: InputFps = None,
    start: Start = 0.0,
    other_start: Annotated[
        float | None,
        time_option("Start of the part in B, if its times differ from A's.", "the same as --start"),
    ] = None,
    duration: Duration = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    ffmpeg: Ffmpeg = None,
) -> None:
    """Show two films in one video, side by side or as a split picture, with sound."""
    from filmcolorizer_cli import report, splitscreen
    from filmcolorizer_cli.containers import CONTAINERS
    from filmcolorizer_cli.pages import Slide
    from filmcolorizer_cli.video import probe

    before, after = _probe_films([first, second], input_fps)
    target = output or beside(first, "-compare.mp4")
    check_ending(target, *CONTAINERS)
    sheet = target.with_suffix(".png")
    for path in (target, sheet):
        check_target(path, [first, second], overwrite)
    names = labels or (first.name, second.name)
    options = splitscreen.CompareOptions(
        names, layout, start, start if other_start is None else other_start, duration, stills
    )
    written = splitscreen.compare(before, after, target, options)
    total = splitscreen.frame_count(before, after, options)
    frames, kept = console.finish(written, total, "comparing")
    left, right = names if names[0] != names[1] else (f"A {names[0]}", f"B {names[1]}")
    slides = [
        Slide(
            describe_time(still.seconds, digits=2),
            dict(zip((left, right), still.pictures, strict=True)),
        )
        for still in kept
    ]
    report.save_contact_sheet(slides, f"{first.name} and {second.name}", sheet)
    shown = probe(target)
    if as_json:
        written_files = {"output": str(target), "sheet": str(sheet)}
        console.json({**written_files, "frames": frames, **_facts(shown)})
        return
    console.say(
        f"wrote {target}: {counted(frames, 'frame')}, {shown.duration_seconds:.2f} s at"
        f" {describe_rate(shown.frame_rate)} frames a second, {describe_size(shown)}"
    )
    console.say(f"wrote {sheet}: {len(slides)} of them on one sheet")


@app.command()
def models(as_json: Json = False) -> None:
    """List the shipped networks."""
    from filmcolorizer_cli.models import shipped_models

    shipped = shipped_models()
    if as_json:
        console.json(
            [
                {"name": m.name, "path": str(m.path), "size_bytes": m.size_bytes}
                | {"config": m.config, "about": m.about}
                for m in shipped
            ]
        )
        return
    rows = [
        (m.name, m.config["arch"], f"{m.size_bytes / 1e6:.1f} MB")
        + tuple(str(m.about.get(topic, "")) for topic in ("description", "data", "licence"))
        for m in shipped
    ]
    columns = ("name", "network", "size", "for", "trained on", "licence")
    console.table("shipped models", columns, [rows], left=len(columns))


@app.command()
def doctor(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where films would be written.")
    ] = Path(),
    as_json: Json = False,
    ffmpeg: Ffmpeg = None,
) -> None:
    """Check whether this machine has what the program needs, and show what is missing."""
    from filmcolorizer_cli.doctor import examine

    if not folder.is_dir():
        raise OptionError(f"{folder} is not a folder; name one to write films to")
    findings = list(examine(folder))
    missing = [finding.name for finding in findings if finding.is_fatal]
    if as_json:
        console.json({finding.name: asdict(finding) for finding in findings})
    else:
        rows = []
        for finding in findings:
            hint = f"; {finding.hint}" if finding.hint else ""
            rows.append((finding.name, f"{finding.found}{hint}"))
        console.facts(rows)
    if missing:
        raise FilmColorizerError(
            f"no film can be colorized here; follow the hints for {', '.join(missing)}"
        )


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The folder to write into.", file_okay=False)
    ] = Path(),
    device: Device = "auto",
    overwrite: Overwrite = False,
    ffmpeg: Ffmpeg = None,
) -> None:
    """Colorize a short sample film, to check that everything works."""
    from filmcolorizer_cli import report, weights
    from filmcolorizer_cli.models import DEFAULT_MODEL, find_model
    from filmcolorizer_cli.networks import pick_device
    from filmcolorizer_cli.rendering import ColorizeOptions
    from filmcolorizer_cli.video import probe

    where = pick_device(device)
    film = output / "filmcolorizer-sample.mp4"
    target, picture = default_target(film), film.with_suffix(".png")
    # The sample film that an interrupted demo left behind is reused.
    is_there = film.is_file() and filecmp.cmp(film, SAMPLE_FILM, shallow=False)
    for path in (target, picture) if is_there else (film, target, picture):
        check_target(path, [SAMPLE_FILM], overwrite, what="folder")
    if not is_there:
        with replacing(film) as temporary:
            shutil.copyfile(SAMPLE_FILM, temporary)
    chosen = find_model(DEFAULT_MODEL)
    source = _probe_source(film)
    network = weights.load(chosen)
    frames = _colorize(source, target, network, ColorizeOptions(), where, overwrite=overwrite)
    report.save_before_after(source, probe(target), DEMO_MOMENTS_SECONDS, picture)
    console.say(f"wrote {film}: the black-and-white sample, {source.duration_seconds:.0f} s")
    console.say(f"wrote {target}: its {frames} frames in colour, by the model {chosen.name}")
    console.say(f"wrote {picture}: before and after")


def _facts(written: Film) -> dict[str, object]:
    """Return facts about a written film for scripts, with the keys that `info` uses."""
    return {
        "duration_seconds": written.duration_seconds,
        "frame_rate": str(written.frame_rate),
        "width": written.width,
        "height": written.height,
        "sample_aspect_ratio": str(written.sample_aspect_ratio),
    }


def _colorize(
    film: Film,
    target: Path,
    network: Network,
    options: ColorizeOptions,
    device: torch.device,
    *,
    overwrite: bool,
    workers: int = 1,
) -> int:
    from filmcolorizer_cli import colorizing
    from filmcolorizer_cli.segments import parts_folder

    frames = colorizing.colorize(
        film, target, network, options, device,
        workers=workers, overwrite=overwrite, note=console.note, track=console.track,
    )  # fmt: skip
    total = options.sampling().frame_count(film)
    try:
        with closing(frames):  # also when a signal interrupts it
            return max(console.track(frames, total, "colorizing"))
    except (KeyboardInterrupt, SystemExit):
        if parts_folder(target).exists():
            console.note("what has been rendered is kept: continue with the same command")
        raise


def _describe_contents(
    film: Film, target: Path, options: ColorizeOptions, *, with_card: bool
) -> list[tuple[str, str]]:
    """Describe what becomes of a film's contents, and what work a graphics card does."""
    encoding = options.encoding
    frame_rate = None if options.keeps_times else encoding.frame_rate
    part = options.start_seconds, options.duration_seconds
    return [
        *(describe_card(options.hardware, encoding, options.skips_damage) if with_card else []),
        *describe_more(film, target, frame_rate, *part),
        *describe_losses(film, encoding),
    ]


def _colorize_command(
    film: Path, options: ColorizeOptions, model: str | None, input_fps: Fraction | None
) -> str:
    """Return the command line that colorizes 20 s of a film from a time T with these options."""
    name = f"./{film}" if str(film).startswith("-") else str(film)  # not an option
    command = ["filmcolorizer", "colorize", name, "--start", "T", "--duration", "20"]
    if input_fps is not None:
        command += ["--input-fps", str(input_fps)]
    if options.vividness != 1:
        command += ["--vividness", f"{options.vividness:g}"]
    if options.deinterlace != "auto":
        command += ["--deinterlace", options.deinterlace]
    if options.recolor:
        command += ["--recolor"]
    if model is not None:
        command += ["--model", model]
    return shlex.join(command)


def _evaluate_pairs(
    pairs: Path,
    wanted: tuple[float, ...] | str | None,
    name: str | None,
    device: torch.device,
    size: int | None,
    report: Path | None,
    *,
    with_baseline: bool,
    as_json: bool,
) -> None:
    """Measure a model on pairs, print the scores, and write the page of a report."""
    from filmcolorizer_cli import pair_evaluation, weights
    from filmcolorizer_cli.pairs import read_pairs
    from filmcolorizer_cli.splits import choose_split

    folder = read_pairs(pairs)
    model = _model_to_measure(name, report)
    network = weights.load(model)
    if wanted:
        parts = choose_split(folder.pairs, folder.every, wanted)
    else:
        parts = pair_evaluation.split_for(folder, model.about)
    _note_what_was_learnt(model, folder, parts)
    progress = pair_evaluation.evaluate(folder, parts, network, device, size=size)
    result = console.finish(progress, len(folder.pairs), "comparing", unit="pairs")
    _show_evaluation(result, model, pairs, with_baseline=with_baseline, as_json=as_json)
    if report is not None:
        from filmcolorizer_cli.evaluation_page import provenance_of, save_pairs_page

        told = {"pairs": pairs, "size": size, "split": describe_split(parts)}
        made = provenance_of(model, device.type, told)
        with _report_page(report) as page:
            save_pairs_page(result, folder, parts, network, device, page, made)


def _evaluate_films(
    films: list[Film],
    name: str | None,
    options: FilmOptions,
    device: torch.device,
    report: Path | None,
    *,
    with_baseline: bool,
    as_json: bool,
) -> int:
    """Measure a model on colour films made grey, print the scores, and write the page of a report.

    If one of several films cannot be compared, print its error and leave it out.

    Returns:
        The number of films compared.
    """
    from filmcolorizer_cli import film_evaluation, weights
    from filmcolorizer_cli.sampling import check_part
    from filmcolorizer_cli.video import film_identity

    model = _model_to_measure(name, report)
    network = weights.load(model)
    for film in films:  # check all of them before spending hours on the first
        check_part(film, options.sampling(film))
        if _may_know(model, film_identity(film)):
            console.note(
                f"{model.name} may have been trained on {film.path}; if so, its scores are too good"
            )
    results: list[tuple[Film, FilmEvaluation]] = []
    for film in films:
        frames = film_evaluation.evaluate_film(film, network, options, device, track=console.track)
        total = options.sampling(film).frame_count(film)
        try:
            result = console.finish(frames, total, f"comparing {film.path.name}")
        except (FfmpegError, VideoError) as error:
            if error.lack_of_room or (film is films[-1] and not results):
                raise
            console.fail(str(error))
            continue
        results.append((film, result))
    _show_film_evaluations(results, model, with_baseline=with_baseline, as_json=as_json)
    if report is not None:
        from filmcolorizer_cli.evaluation_page import provenance_of, save_films_page

        told = {"films": ", ".join(str(film.path) for film, _ in results), **asdict(options)}
        made = provenance_of(model, device.type, told)
        with _report_page(report) as page:
            save_films_page(results, network, options, device, page, made)
    return len(results)


def _model_to_measure(name: str | None, report: Path | None) -> Model:
    """Find a model by name; if there is to be a report, check that its history can be read."""
    from filmcolorizer_cli.history import read_history
    from filmcolorizer_cli.models import find_model

    model = find_model(name)
    if report is not None:
        read_history(model.path)  # raises if it is damaged, before anything is measured
    return model


def _with_given(defaults: TrainingOptions, **given: Any) -> TrainingOptions:
    """Return the default options with those replaced that were given, that is, are not None."""
    return replace(defaults, **{name: value for name, value in given.items() if value is not None})


def _note_pairs(
    folder: Pairs, split: str, wanted: tuple[float, ...] | str, parts: Split, counts: list[int]
) -> None:
    """Note doubtful stills, parts that came out too small, and how many pairs each part has.

    Args:
        split, wanted: the split as requested, and as parsed.
        parts: the split as made.
        counts: the numbers of pairs for training, validation and test.
    """
    from filmcolorizer_cli.pairs import count_by_hand, doubtful_stills
    from filmcolorizer_cli.splits import falls_short

    for still, doubt in doubtful_stills(folder):
        console.note(f"{still} {doubt}")
    if isinstance(wanted, tuple) and falls_short(wanted, counts):
        console.note(
            f"the film's shots do not allow the split {split}; extract pairs of a longer part, or"
            " give --split interleaved if the coloured copy covers the whole film"
        )
    count, validation, test = counts
    rest = f"; {validation} for validation, {test} for testing"
    if wanted == "none":
        rest = "; none is held back, so the losses are those of the training pairs"
    by_hand = count_by_hand(folder, folder.part("train", parts))
    painted = f", {by_hand} changed by hand" if by_hand else ""
    console.note(f"learning from {counted(count, 'pair')}{painted}{rest}")


def _note_what_was_learnt(model: Model, folder: Pairs, parts: Split) -> None:
    """Note if a model may have been trained on pairs that the split holds back."""
    from filmcolorizer_cli.splits import Undivided

    if not isinstance(parts, Undivided) and _may_know(model, folder.film, parts.describe()):
        console.note(
            f"{model.name} was trained on other parts of this film; it may know pairs of the"
            " validation and test parts, so their scores may be too good"
        )


def _follow_training(
    steps: Generator[Step, None, Outcome],
    watcher: Watcher,
    options: TrainingOptions,
    pairs: int,
    epochs_done: int,
) -> Outcome:
    """Run a training with a progress bar, and return its outcome.

    Args:
        pairs: the number of training pairs.
        epochs_done: the epochs that the training resumes after.
    """
    from filmcolorizer_cli import recipes

    def status(step: Step) -> console.Status:
        if step.finished and step.epoch == options.epochs:
            return console.Status(step.pictures, "choosing weights", "")
        best = f", best {watcher.best.epoch}" if watcher.best else ""
        label = f"epoch {step.epoch}/{options.epochs}"
        return console.Status(step.pictures, label, f"loss {step.loss:.4f}{best}")

    total = (options.epochs - epochs_done) * recipes.pictures_per_epoch(pairs, options)
    watched = watcher.follow(steps, recipes.steps_per_epoch(pairs, options), note=console.log)
    return console.finish(watched, total, "training", unit="pairs", status=status)


def _note_whether_grey_is_better(outcome: Outcome) -> None:
    """Note if the trained network is no closer to the truth than the grey film."""
    if outcome.validation_mse < outcome.grey_validation_mse:
        return
    mend = "train for more --epochs, or from weights that know colours (--init)"
    if outcome.grey_validation_mse < NEARLY_GREY_MSE:
        mend = "its colour stills have hardly any colours: delete the pairs without any"
    console.note(
        "no better than leaving the film grey, which has a validation MSE of"
        f" {outcome.grey_validation_mse:.4f}; {mend}"
    )


def _choose_model(name: str | None, film: Film) -> Model:
    """Find a model by name, or the default; note if that was trained on another film."""
    from filmcolorizer_cli.models import DEFAULT_MODEL, find_model
    from filmcolorizer_cli.video import film_identity

    model = find_model(name)
    learnt = model.about.get("film")
    if name is None and isinstance(learnt, dict) and not _may_know(model, film_identity(film)):
        path = str(learnt.get("path"))
        other = f"another {path}" if path == str(film.path) else f"{path}, not on {film.path}"
        console.note(
            f"{model.name} in this folder was trained on {other}; --model {DEFAULT_MODEL} selects"
            " the shipped model"
        )
    return model


def _may_know(model: Model, film: dict[str, Any], split: dict[str, Any] | None = None) -> bool:
    """Whether a model, or one it was fine-tuned from, may have been trained on this film.

    Args:
        film: the identity of the film, from `video.film_identity`.
        split: if given, ignore trainings with this same split.
    """
    from filmcolorizer_cli.video import may_be_same_film

    return any(
        isinstance(learnt := training.get("film"), dict)
        and may_be_same_film(learnt, film)
        and (split is None or training.get("split") != split)
        for training in model.lineage
    )


def _probe_source(film: Path, input_fps: Fraction | None = None) -> Film:
    from filmcolorizer_cli.ffmpeg import is_bundled, version
    from filmcolorizer_cli.video import is_sequence, probe

    if not is_bundled():
        version()  # raises for another program, with which all films would seem damaged
    if input_fps is None:
        return probe(film)
    if not is_sequence(film):
        raise OptionError(
            f"--input-fps is for numbered pictures such as frames/%05d.png, which {film} is not;"
            " leave it out"
        )
    return probe(film, sequence_rate=input_fps)


def _probe_films(films: list[Path], input_fps: Fraction | None) -> list[Film]:
    """Probe films; a rate applies to numbered pictures, and is an error if there are none."""
    from filmcolorizer_cli.video import is_sequence

    sequences = [film for film in films if is_sequence(film)]
    if not sequences:
        return [_probe_source(film, input_fps) for film in films]
    return [_probe_source(film, input_fps if film in sequences else None) for film in films]


@contextmanager
def _report_page(folder: Path) -> Iterator[Path]:
    """Yield the page to write into a folder, and remove a new folder if nothing is written."""
    page = folder / "index.html"
    with filling(folder):
        yield page
    console.note(f"wrote {page}; open it in a browser")


def _is_pairs(paths: list[Path]) -> bool:
    """Whether a folder of pairs is meant; a missing path is one if it has no extension."""
    if len(paths) > 1 or paths[0].is_file():
        return False
    return paths[0].is_dir() or not paths[0].suffix


def _show_evaluation(
    result: Evaluation, model: Model, pairs: Path, *, with_baseline: bool, as_json: bool
) -> None:
    if as_json:
        scores = asdict(result)
        shown = {
            way: scores[way] for way in ("baseline", "network") if with_baseline or way == "network"
        }
        console.json({"model": model.name, "pairs": str(pairs), **shown})
        return
    sections = [
        [
            # Names that repeat the row above are left out to save width.
            ("" if number else way, measure.removeprefix("MSE "), *numbers)
            for number, (way, measure, *numbers) in enumerate(rows)
        ]
        for rows in pair_score_rows(result, model.name, with_baseline=with_baseline)
    ]
    counts = [f"{part} ({score.pairs})" for part, score in result.network.items()]
    title = f"{pairs}, network {model.config['arch']}: means over the pairs, MSE on RGB in [-1, 1]"
    console.table(title, ("", "", *counts), sections, left=2)


def _show_film_evaluations(
    results: list[tuple[Film, FilmEvaluation]], model: Model, *, with_baseline: bool, as_json: bool
) -> None:
    from filmcolorizer_cli.film_evaluation import WAYS, mean_score

    means = {way: mean_score([getattr(result, way) for _, result in results]) for way in WAYS}
    if as_json:
        ways = [way for way in WAYS if with_baseline or way != "baseline"]
        films = [film_evaluation_as_json(film, result, ways) for film, result in results]
        mean = {way: asdict(means[way]) for way in ways}
        console.json({"model": model.name, "films": films, "mean": mean})
        return
    scores = [
        (film.path.name, {way: getattr(result, way) for way in WAYS}) for film, result in results
    ]
    if len(results) > 1:
        scores.append((f"mean of {len(results)} films", means))
    sections = [
        [
            (name, *[""] * (len(FILM_COLUMNS) - 1)),
            *(
                (f" {way}", *numbers)
                for way, *numbers in film_score_rows(ways, model.name, with_baseline=with_baseline)
            ),
        ]
        for name, ways in scores
    ]
    title = (
        f"network {model.config['arch']}: means over the frames, flicker as a ratio to the truth's"
    )
    console.table(title, FILM_COLUMNS, sections)

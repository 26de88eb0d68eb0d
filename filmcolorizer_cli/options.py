"""Options and arguments that several commands share, and parsers of their values."""

from __future__ import annotations

import math
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from filmcolorizer_cli.files import models_folder

FIND = "find"  # the value of --offset when none is given
MAX_FRAME_RATE = 240
FRAME_RATE = re.compile(r"\d{1,9}(\.\d{1,9}|/\d{1,9})?")
MAX_DENOMINATOR = 100_000  # largest denominator of a frame rate
MAX_SECONDS = 1e7
SPLIT_METAVAR = "SHARES|COUNTS|interleaved|none"
NAMED_SPLITS = ("interleaved", "none")


class OffsetCommand(TyperCommand):
    """A command whose --offset may stand alone anywhere, or be followed by a number of frames."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        joined: list[str] = []
        rest = iter(args)
        for word in rest:
            if word != "--offset":
                joined.append(word)
                continue
            following = next(rest, None)
            if following is not None and re.fullmatch(r"[+-]?[0-9][0-9.,]*", following):
                joined.append(f"--offset={following}")
            else:
                joined.append(f"--offset={FIND}")
                joined += [] if following is None else [following]
        return super().parse_args(ctx, joined)


def is_whole_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,9}", text) is not None


def parse_seconds(text: str) -> float:
    """Parse seconds, or [hours:]minutes:seconds."""
    try:
        parts = [float(part) for part in str(text).split(":")]
    except ValueError:
        parts = []
    largest, *smaller = parts or [-1.0]
    is_time = 0 <= largest < MAX_SECONDS and all(0 <= part < 60 for part in smaller)
    if not is_time or len(smaller) > 2:
        raise typer.BadParameter(
            f"{text!r} is not a time; write seconds, or hours:minutes:seconds, the last two below"
            " 60"
        )
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + part
    return seconds


def time_option(help: str, show_default: str) -> Any:
    """Return an option that takes a time."""
    return typer.Option(parser=parse_seconds, metavar="T", help=help, show_default=show_default)


def parse_frame_rate(text: str) -> Fraction | None:
    """Parse a number or fraction of frames a second; return None for the source's own rate."""
    if text == "source":
        return None
    forms = "a number such as 24, a fraction such as 24000/1001, or source"
    return _exact_rate(text, forms, param_hint="--fps")


def _parse_input_rate(text: str) -> Fraction:
    """Parse a number or fraction of frames a second."""
    return _exact_rate(str(text), "a number such as 18, or a fraction such as 24000/1001")


def _exact_rate(text: str, forms: str, *, param_hint: str | None = None) -> Fraction:
    try:
        rate = Fraction(text if FRAME_RATE.fullmatch(text) else "")
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 1 <= rate <= MAX_FRAME_RATE:
        raise typer.BadParameter(
            f"{text!r} is not a frame rate from 1 to {MAX_FRAME_RATE}; write {forms}",
            param_hint=param_hint,
        )
    # 23.976, 29.97 and 59.94 stand for NTSC rates (n * 1000/1001); fractions are exact.
    ntsc = Fraction(round(rate) * 1000, 1001)
    places = len(text.partition(".")[2])
    cut_off = Fraction(math.floor(ntsc * 10**places), 10**places) if places > 1 else None
    if places and rate.denominator > 1 and rate in (round(ntsc, places), cut_off):
        return ntsc
    return rate.limit_denominator(MAX_DENOMINATOR)


def parse_split(text: str) -> tuple[float, ...] | str:
    """Parse two counts, as in 2020, three shares, or one of ``NAMED_SPLITS``."""
    if text in NAMED_SPLITS:
        return text
    try:
        sizes = tuple(float(size) for size in text.split(","))
    except ValueError:
        sizes = ()
    is_counts = len(sizes) == 2 and all(size >= 1 and size.is_integer() for size in sizes)
    is_shares = len(sizes) == 3 and min(sizes) > 0 and sum(sizes) < float("inf")
    if is_shares:
        sizes = tuple(size / sum(sizes) for size in sizes)
    if not (is_counts or is_shares):
        raise typer.BadParameter(
            f"{text!r} is not a split; write three shares such as 70,15,15, the numbers of training"
            " and validation pairs such as 4000,1000, interleaved, or none",
            param_hint="--split",
        )
    return sizes


def complete_model(incomplete: str) -> list[str]:
    names = [path.stem for path in models_folder().glob("*.safetensors")]
    names += [
        str(path)
        for path in Path().glob("*.safetensors")
        if not path.name.endswith(".checkpoint.safetensors")
    ]
    return sorted(name for name in names if name.startswith(incomplete))


def complete_init(incomplete: str) -> list[str]:
    names = ["none", *complete_model(incomplete)]
    return [name for name in names if name.startswith(incomplete)]


def _use_ffmpeg(context: typer.Context, binary: str | None) -> None:
    if binary is not None and not context.resilient_parsing:
        os.environ["FILMCOLORIZER_FFMPEG"] = binary


# With ``readable=True``, Typer reports an unreadable file as a usage error; with ``readable=False``
# the command opens the file and reports the failure as an error of the file.
FilmOrPicturesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILM",
        help="A film file, or numbered pictures such as frames/%05d.png.",
        readable=False,
    ),
]
InputFps = Annotated[
    Fraction | None,
    typer.Option(
        parser=_parse_input_rate,
        metavar="N",
        help="Frame rate of numbered pictures.",
        show_default="24",
    ),
]
PairsArgument = Annotated[
    Path, typer.Argument(metavar="PAIRS", help="A folder of pairs.", readable=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
Ffmpeg = Annotated[
    str | None,
    typer.Option(
        envvar="FILMCOLORIZER_FFMPEG",
        callback=_use_ffmpeg,
        metavar="PROGRAM",
        help="An ffmpeg to use instead of the bundled one.",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(help="Where the network runs; auto uses a GPU if there is one."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|FILE",
        autocompletion=complete_model,
        help="A shipped model or a weights file.",
        show_default="./film.safetensors, else default",
    ),
]
Start = Annotated[float, time_option("Start of the part, in seconds, M:SS or H:MM:SS.", "0")]
Duration = Annotated[
    float | None, time_option("Length of the part, in seconds, M:SS or H:MM:SS.", "all")
]
Vividness = Annotated[
    float, typer.Option(min=0.0, max=4.0, help="Strength of the colours; 0 leaves the film grey.")
]
Recolor = Annotated[
    bool, typer.Option("--recolor", help="Also colorize shots that are already in colour.")
]
Deinterlace = Annotated[
    Literal["auto", "on", "off"],
    typer.Option(help="Make whole pictures from fields: where they are found, always or never."),
]
NoTemporal = Annotated[
    bool,
    typer.Option("--no-temporal", help="Colour each frame by itself; colours may flicker."),
]
Preview = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.png",
        help="Also write matched frames side by side, and a plot of the segments.",
        show_default=False,
    ),
]
Render = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also write both films aligned, to DIR/bw.mp4 and DIR/color.mp4: everything that both"
        " show, at 24 fps, without sound.",
        show_default=False,
    ),
]

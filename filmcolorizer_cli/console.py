"""The rich consoles, progress bars and tables that commands share."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from filmcolorizer_cli.generators import Result, Returning
from filmcolorizer_cli.stopping import check_signals

QUIET_SECONDS = 1.5  # work that takes no longer shows no progress bar

# Control characters, which file names may contain, could recolour or overwrite terminal lines.
HARMLESS = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (*range(32), *range(127, 160))
    if chr(code) not in "\t\n"
}

T = TypeVar("T")


class Status(NamedTuple):
    """What a progress bar shows after an item.

    Attributes:
        done: the units of work done since the previous item.
        label, note: the texts before and after the bar.
    """

    done: int
    label: str
    note: str


# Emoji codes are off, since a film may be called ":smile:.mp4".
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
notes: list[str] = []  # the notes printed by the running command, for its JSON result


class _RateColumn(ProgressColumn):
    """A progress column with the speed in units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self.unit}/s")


def track(
    items: Iterable[T],
    total: int,
    label: str,
    *,
    unit: str = "frames",
    status: Callable[[T], Status] | None = None,
) -> Generator[T, None, None]:
    """Pass items on, and show a progress bar on stderr once they take over `QUIET_SECONDS`.

    Integer items give the total progress so far; other items count as one unit each.

    Args:
        status: returns what the bar shows after an item, instead.
    """
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        _RateColumn(unit),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}"),
        console=err,
        transient=True,
        disable=not _draws_bars(),
    )
    started = time.monotonic()
    task = progress.add_task(label.translate(HARMLESS), total=total, note="")
    try:
        for item in items:
            check_signals()
            if status is not None:
                shown = status(item)
                progress.update(task, advance=shown.done, description=shown.label, note=shown.note)
            elif isinstance(item, int):
                progress.update(task, completed=item)
            else:
                progress.advance(task)
            if not progress.live.is_started and time.monotonic() - started > QUIET_SECONDS:
                progress.start()
            yield item
    finally:
        progress.stop()


def finish(
    generator: Generator[T, None, Result],
    total: int,
    label: str,
    *,
    unit: str = "frames",
    status: Callable[[T], Status] | None = None,
) -> Result:
    """Run a generator to its end with a progress bar, as `track` does, and return its value."""
    returning = Returning(generator)
    for _ in track(returning, total, label, unit=unit, status=status):
        pass
    return returning.value


def _plain(text: str, style: str = "") -> Text:
    """Return text to print literally, with control characters replaced."""
    return Text(text.translate(HARMLESS), style)


def _draws_bars() -> bool:
    """Whether stderr is a terminal that can redraw lines."""
    return err.is_terminal and not err.is_dumb_terminal


def table(
    title: str,
    columns: Sequence[str],
    sections: Iterable[Iterable[Sequence[str]]],
    *,
    left: int = 1,
) -> None:
    """Print a table with rules between its sections and its first ``left`` columns left-aligned."""
    grid = Table(title=_plain(title, style="bold"), title_justify="left")
    for number, column in enumerate(columns):
        grid.add_column(column, justify="left" if number < left else "right", overflow="fold")
    for section in sections:
        for row in section:
            grid.add_row(*map(_plain, row))
        grid.add_section()
    out.print(grid)


def json(content: object) -> None:
    """Print a result as JSON, for scripts."""
    out.print_json(data=content, ensure_ascii=True)  # file names may not be encodable


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one pair per line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, _plain(value))
    out.print(grid)


def say(text: str) -> None:
    """Print a line of the result to stdout."""
    out.print(_plain(text))


def note(text: str) -> None:
    """Print a line to stderr that informs the user, and keep it for a JSON result."""
    notes.append(text)
    err.print(_plain(text))


def log(text: str) -> None:
    """Print a line of progress to stderr, unless a terminal there shows progress bars."""
    if not _draws_bars():
        err.print(_plain(text))


def fail(text: str) -> None:
    """Print a one-sentence error to stderr."""
    err.print(_plain(f"filmcolorizer: {text}"))

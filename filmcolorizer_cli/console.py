"""The rich console, progress bars and tables, shared by the commands."""

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

QUIET_SECONDS = 1.5  # work that takes no longer shows no bar

# Control characters, such as a file's name may hold, would recolour or rewrite a terminal's lines.
HARMLESS = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (*range(32), *range(127, 160))
    if chr(code) not in "\t\n"
}

T = TypeVar("T")


class Status(NamedTuple):
    """What a bar shows after an item.

    Attributes:
        done: how much more has been done since the item before.
        label, note: what stands before and after the bar.
    """

    done: int
    label: str
    note: str


# Without emoji: a film may be called ":smile:.mp4".
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
notes: list[str] = []  # that the command which runs has printed, for its result as JSON


class _RateColumn(ProgressColumn):
    """How many units a second."""

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
    """Pass items on, with a bar on stderr once they have taken more than a moment.

    Items that are whole numbers tell how far it has come, others count as one each.

    Args:
        status: tells of each item what the bar shows, instead.
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
    """Run a generator to its end, with a bar as `track` shows it; gives what it returns."""
    returning = Returning(generator)
    for _ in track(returning, total, label, unit=unit, status=status):
        pass
    return returning.value


def _plain(text: str, style: str = "") -> Text:
    """Text that is printed as it stands, whatever a film is called."""
    return Text(text.translate(HARMLESS), style)


def _draws_bars() -> bool:
    """Whether there is a terminal in which lines can be drawn anew."""
    return err.is_terminal and not err.is_dumb_terminal


def table(
    title: str,
    columns: Sequence[str],
    sections: Iterable[Iterable[Sequence[str]]],
    *,
    left: int = 1,
) -> None:
    """Print a table whose sections are ruled off; the first ``left`` columns are left-aligned."""
    grid = Table(title=_plain(title, style="bold"), title_justify="left")
    for number, column in enumerate(columns):
        grid.add_column(column, justify="left" if number < left else "right", overflow="fold")
    for section in sections:
        for row in section:
            grid.add_row(*map(_plain, row))
        grid.add_section()
    out.print(grid)


def json(content: object) -> None:
    """Print a result for scripts."""
    out.print_json(data=content, ensure_ascii=True)  # for names that no encoding holds


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one a line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, _plain(value))
    out.print(grid)


def say(text: str) -> None:
    """Print a line of result."""
    out.print(_plain(text))


def note(text: str) -> None:
    """Print a line for the person at the terminal, beside the result."""
    notes.append(text)
    err.print(_plain(text))


def log(text: str) -> None:
    """Print a line of what a bar shows, where there is no terminal that could show one."""
    if not _draws_bars():
        err.print(_plain(text))


def fail(text: str) -> None:
    """Print the one sentence that ends a command."""
    err.print(_plain(f"filmcolorizer: {text}"))

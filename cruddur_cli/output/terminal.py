"""What a person looks at: tables, conversations, progress bars; drawn plain where the stream is no terminal."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)  # fmt: skip
from rich.table import Table
from rich.text import Text

from . import is_terminal, tell
from .text import one_line, printable

_PIPE_WIDTH = 160
_NUMBERS_THAT_NAME = {"pid", "port"}  # 5,432 is no port


def console(stream: TextIO) -> Console:
    """A console for one stream. Where nobody watches, or colour is not wanted, no escape byte leaves it."""
    watched = is_terminal(stream)
    plain = not watched or is_plain()
    fallback = shutil.get_terminal_size((80, 24)).columns
    width = fallback if watched or "COLUMNS" in os.environ else _PIPE_WIDTH
    if plain:
        return Console(
            file=stream, force_terminal=False, color_system=None, no_color=True, width=width,
            highlight=False, markup=False, emoji=False,
        )  # fmt: skip
    # What rows hold is text: neither [bold] nor :smile: in it is ours.
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def is_plain() -> bool:
    """Whether colour and style are unwanted everywhere."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def when(moment: datetime | None, form: str = "%d %b %Y %H:%M") -> str:
    """An instant in local time, for a person."""
    try:
        return "at an unknown time" if moment is None else moment.astimezone().strftime(form)
    except (OverflowError, ValueError):
        return str(moment)


def table(items: Sequence[Any]) -> None:
    """Records as a table, one column a field; where that would cut words in half, one line a field."""
    if not items:
        return
    out = console(sys.stdout)
    rows = [_fields(item) for item in items]
    names = list(rows[0])
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name in names:
        drawn.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(row[name]) for name in names))
    if sum(_needed([name, *(row[name] for row in rows)]) for name in names) + 3 * (len(names) - 1) <= out.width:
        out.print(drawn)
        return
    for number, row in enumerate(rows):
        if number:
            out.print()
        for name in names:
            out.print(Text.assemble((f"{name.replace('_', ' ')}: ", "dim"), row[name]))


def _needed(cells: Sequence[str]) -> int:
    """The width that keeps a column's words whole; what is longer than a UUID is broken in any case."""
    return min(36, max((cell_len(word) for cell in cells for word in cell.split()), default=0))


def details(items: Sequence[Any]) -> None:
    """Each record as lines of name and value."""
    out = console(sys.stdout)
    for number, item in enumerate(items):
        if number:
            out.print()
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in _fields(item).items():
            grid.add_row(name.replace("_", " "), Text(value))
        out.print(grid)


def _fields(item: Any) -> dict[str, str]:
    pairs = (
        [(f.name, getattr(item, f.name)) for f in dataclasses.fields(item)]
        if dataclasses.is_dataclass(item)
        else item.items()
    )
    return {name: _cell(name, value) for name, value in pairs}


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name in _NUMBERS_THAT_NAME:
        return str(value)
    if name.endswith("_at") and isinstance(value, (int, float)):
        value = datetime.fromtimestamp(value, UTC)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {inner}" for key, inner in value.items()) or "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(name, one) for one in value) or "–"
    return one_line(str(value))


def who(record: Any) -> str:
    """The name and handle that a row carries, or what there is of them."""
    handle = f"@{record.user_handle}" if record.user_handle else ""
    return one_line(f"{record.user_display_name or ''} {handle}".strip() or record.user_uuid or "somebody")


def inbox(groups: Sequence[Any]) -> None:
    """A person's conversations: with whom, when, the last words, and the id that get-conversation takes."""
    out = console(sys.stdout)
    for number, group in enumerate(groups):
        if number:
            out.print()
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(overflow="fold")
        head.add_column(justify="right", style="dim")
        head.add_row(Text(who(group), style="bold"), when(group.last_message_at))
        out.print(head)
        words = Text("  " + one_line(group.message))
        words.truncate(out.width, overflow="ellipsis")
        out.print(words)
        out.print(Text(f"  {printable(group.message_group_uuid)}", style="dim"))


def chat(messages: Sequence[Any], mine: str | None) -> None:
    """Messages as a chat, those of the person with the handle ``mine`` on the right; plain lines into a pipe."""
    if is_terminal(sys.stdout):
        from .drawings import draw_chat

        draw_chat(console(sys.stdout), messages, mine)
        return
    for message in messages:
        name = one_line(message.user_handle or message.user_display_name or "somebody")
        sys.stdout.write(f"{when(message.created_at, '%Y-%m-%d %H:%M')}  {name}: {one_line(message.message)}\n")


def capacity(total: Any, operations: Sequence[Any]) -> None:
    """What the command consumed: a table on a terminal, one line elsewhere."""
    out = console(sys.stderr)
    label = "" if total.source == "reported" else f", read units {total.source}"
    if not is_terminal(sys.stderr):
        requests = "1 request" if total.requests == 1 else f"{total.requests:,} requests"
        tell(
            f"consumed capacity: {total.read_units:g} RCU, {total.write_units:g} WCU in {requests}"
            f" on {total.table}{label}"
        )
        return
    indexes = sorted(total.indexes)
    narrow = out.width < 60
    drawn = Table(
        title=Text(f"Consumed capacity, {total.table}{label}", style="dim"),
        title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", style="dim",
    )  # fmt: skip
    drawn.add_column("operation", overflow="fold")
    for name in (["req"] if narrow else ["requests", "items"]) + ["RCU", "WCU"]:
        drawn.add_column(name, justify="right")
    for name in [] if narrow else indexes:
        drawn.add_column(name, justify="right", overflow="fold")
    rows = [
        *operations,
        *([dataclasses.replace(total_row(operations), operation="total")] if len(operations) > 1 else []),
    ]
    for number, row in enumerate(rows):
        counts = [f"{row.requests:,}"] if narrow else [f"{row.requests:,}", f"{row.items:,}"]
        units = [f"{row.read_units:g}", f"{row.write_units:g}"]
        extra = [] if narrow else [f"{row.indexes.get(name, 0):g}" for name in indexes]
        drawn.add_row(row.operation, *counts, *units, *extra, end_section=number == len(operations) - 1)
    out.print(drawn)


def total_row(operations: Sequence[Any]) -> Any:
    """The operations added up into one row."""
    first, *rest = operations
    for row in rest:
        indexes = {
            name: first.indexes.get(name, 0) + row.indexes.get(name, 0) for name in {*first.indexes, *row.indexes}
        }
        first = dataclasses.replace(
            first, requests=first.requests + row.requests, items=first.items + row.items, indexes=indexes,
            read_units=first.read_units + row.read_units, write_units=first.write_units + row.write_units,
        )  # fmt: skip
    return first


class _Rate(ProgressColumn):
    """How many items a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


@contextmanager
def progress(text: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr that leaves nothing behind; comes with a function that advances it."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda count: bar.advance(task, count)

"""What a person looks at: tables, conversations; drawn plain where the stream is no terminal."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from . import NARROW, is_terminal, tell
from .streams import console
from .text import counted, one_line, pieces, printable, units, width_of, wrapped

_UUID = 36  # columns; what is wider than one is broken in any case
_UNBROKEN = re.compile(r"[\d.,]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NUMBERS_THAT_NAME = {"pid", "port"}  # 5,432 is no port


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
    headers = [name.replace("_", " ") for name in names]
    if draw_table(out, headers, [[row[name] for name in names] for row in rows]):
        return
    draw_blocks(out, headers, [[row[name] for name in names] for row in rows])


def people(items: Sequence[Any]) -> None:
    """Identities as a table of what tells who somebody is; the rest stands in the JSON."""
    table(
        [
            {"handle": who.handle, "email": who.email, "status": who.status.replace("_", " ").lower(), "sub": who.sub}
            for who in items
        ]
    )


def draw_table(
    out: Console,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    dim: bool = False,
    total: bool = False,
) -> bool:
    """A table, if it fits without cutting words, numbers or ids in half; else False, and nothing is drawn.

    ``right`` names the columns of numbers; with ``total`` the last row adds up the others.
    """
    edges = 2 if dim else 0
    fitted = _fit([[header, *(row[n] for row in rows)] for n, header in enumerate(headers)], out.width - edges)
    if fitted is None:
        return False
    widths, gap = fitted
    style = "dim" if dim else ""
    drawn = Table(
        box=box.SIMPLE_HEAD, show_edge=dim, pad_edge=False, header_style=style or "bold", style=style,
        padding=(0, 1, 0, gap - 2),
    )  # fmt: skip
    for n, header in enumerate(headers):
        justify: JustifyMethod = "right" if n in right else "left"
        drawn.add_column(Text(wrapped(header, widths[n], cut=True)), width=widths[n], justify=justify, overflow="fold")
    for number, row in enumerate(rows, 1):
        cells = [Text(wrapped(cell, widths[n], cut=True)) for n, cell in enumerate(row)]
        drawn.add_row(*cells, end_section=total and number == len(rows) - 1)
    out.print(drawn)
    return True


def draw_blocks(out: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """What fits no table: a line for each field."""
    for number, row in enumerate(rows):
        if number:
            out.print()
        for header, cell in zip(headers, row, strict=True):
            out.print(Text.assemble((f"{header}: ", "dim"), cell))


def _fit(columns: Sequence[Sequence[str]], room: int) -> tuple[list[int], int] | None:
    """A width for each column and the gap between them; None where a table would have to cut words.

    What is longer than a UUID is broken in any case, at a sign if it has one. When room is short, shorter words are
    too, all but those of the first column, which tells rows apart, numbers and UUIDs.
    """
    natural = [max(map(width_of, cells)) for cells in columns]
    for whole, gap in ((_UUID, 3), (20, 2), (12, 2)):
        left = room - gap * (len(columns) - 1)
        widths = [
            min(most, _needed(cells, whole if n else _UUID))
            for n, (cells, most) in enumerate(zip(columns, natural, strict=True))
        ]
        if sum(widths) > left:
            continue
        while sum(widths) < min(left, sum(natural)):
            # The narrowest first: a time gets its line, and the message beside it the rest.
            n = min((n for n, width in enumerate(widths) if width < natural[n]), key=widths.__getitem__)
            widths[n] += 1
        return widths, gap
    return None


def _needed(cells: Sequence[str], whole: int) -> int:
    """The width of a column that breaks no word of up to ``whole`` columns, and longer ones only after a sign."""
    most = 0
    for word in {word for cell in cells for word in cell.split()}:
        size = width_of(word)
        if size > whole and not _UNBROKEN.fullmatch(word):
            size = max(map(width_of, pieces(word)))
        most = max(most, min(_UUID, size))
    return most


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
    out, watched = console(sys.stdout), is_terminal(sys.stdout)
    for number, group in enumerate(groups):
        if number:
            out.print()
        at = when(group.last_message_at)
        if watched:
            head = Table.grid(expand=True, padding=(0, 1))
            head.add_column(overflow="fold")
            head.add_column(justify="right", style="dim")
            head.add_row(Text(who(group), style="bold"), at)
            out.print(head)
        else:
            out.print(Text(f"{who(group)}  {at}"))
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
        tell(
            f"consumed capacity: {units(total.read_units)} RCU, {units(total.write_units)} WCU in"
            f" {counted(total.requests, 'request')} on {total.table}{label}"
        )
        return
    rows = [
        *operations,
        *([dataclasses.replace(total_row(operations), operation="total")] if len(operations) > 1 else []),
    ]
    out.print(Text(f"Consumed capacity, {total.table}{label}", style="dim"))
    if out.width < NARROW or not _draw_capacity(out, rows, sorted(total.indexes)):
        headers = ["operation", "req", "RCU", "WCU"]
        short = [[row.operation, f"{row.requests:,}", units(row.read_units), units(row.write_units)] for row in rows]
        if not draw_table(out, headers, short, right={1, 2, 3}, dim=True, total=len(rows) > 1):
            draw_blocks(out, headers, short)


def _draw_capacity(out: Console, rows: Sequence[Any], indexes: Sequence[str]) -> bool:
    headers = ["operation", "requests", "items", "RCU", "WCU", *indexes]
    cells = [
        [
            row.operation, f"{row.requests:,}", f"{row.items:,}", units(row.read_units), units(row.write_units),
            *(units(row.indexes.get(name, 0)) for name in indexes),
        ]
        for row in rows
    ]  # fmt: skip
    return draw_table(out, headers, cells, right=range(1, len(headers)), dim=True, total=len(rows) > 1)


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

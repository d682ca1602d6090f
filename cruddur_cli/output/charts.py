"""What a table holds, as something to look at: rows by entity, bars by partition and by day."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from .streams import console
from .terminal import draw_blocks, draw_table
from .text import counted, one_line, units, width_of

_DAYS = 31
_EIGHTHS = " ▏▎▍▌▋▊▉"


def draw_stats(found: Any, *, capacity: str) -> None:
    """The whole of ``dynamodb.stats.Stats``; ``capacity`` says what the units mean."""
    out = console(sys.stdout)
    rows = [
        [
            row.entity, f"{row.items:,}", f"{row.bytes:,}", f"{row.average_bytes:,}", units(row.read_units),
            units(row.write_units),
        ]
        for row in found.entities
    ]  # fmt: skip
    _table(out, ["entity", "items", "bytes", "average", "RCU", "WCU"], rows, right=range(1, 6))
    out.print(Text(capacity, style="dim"))
    if found.partitions:
        about = " (approximate: there are more than were counted at a time)" if found.partitions_approximate else ""
        _title(out, "Largest partitions", about)
        _bars(
            out, [(row.pk, row.items, f"{counted(row.items, 'item')}, {row.bytes:,} bytes") for row in found.partitions]
        )
    if found.days:
        shown = list(found.days.items())[-_DAYS:]
        left = sum(found.days.values()) + found.earlier - sum(count for _, count in shown)
        before = f", {left:,} on {counted(len(found.days) - len(shown), 'day')} before" if left else ""
        _title(out, "Messages per day", f" (UTC{before})")
        _bars(out, [(day, count, f"{count:,}") for day, count in shown])
        years = ", ".join(f"{year}: {count:,}" for year, count in found.years.items())
        out.print(Text.assemble(("years", "bold"), f"  {years}"))
    if found.timeless:
        out.print(Text(f"{counted(found.timeless, 'message has', 'messages have')} a sort key that is no time"))
    if found.lonely_rows is not None:
        _lonely(out, found)


def _lonely(out: Console, found: Any) -> None:
    about = "about " if found.lonely_approximate else ""
    if not found.lonely_rows:
        out.print(Text("every group row has its counterpart"))
        return
    _title(out, "Group rows without their counterpart", f" ({about}{found.lonely_rows:,})")
    rows = [
        [one_line(row.message_group_uuid), one_line(row.user_uuid), one_line(row.other_user_uuid)]
        for row in found.lonely
    ]
    _table(out, ["conversation", "row of", "with"], rows)


def _title(out: Console, text: str, about: str) -> None:
    out.print()
    out.print(Text.assemble((text, "bold"), (about, "dim")))


def _bars(out: Console, rows: Sequence[tuple[str, int, str]]) -> None:
    """A bar each, the longest as long as there is room for."""
    rows = [(one_line(name), count, said) for name, count, said in rows]
    names = max(width_of(name) for name, _, _ in rows)
    said = max(len(each) for _, _, each in rows)
    below = said + 18 > out.width  # then the bar has a line of its own
    names = min(names, out.width if below else max(10, out.width - said - 14))
    room = max(4, min(40, out.width - said - 4 - (0 if below else names)))
    most = max(count for _, count, _ in rows)
    for name, count, each in rows:
        label = Text(name, style="dim")
        label.truncate(names, overflow="ellipsis", pad=not below)
        bar = bars(count / most * room, plain="utf" not in out.encoding.lower())
        line = Text.assemble(label, "\n  " if below else "  ", (bar.ljust(room), "cyan"), "  ", each)
        out.print(line, no_wrap=True, crop=False, soft_wrap=True)


def bars(length: float, *, plain: bool) -> str:
    """A bar of so many columns, to an eighth of one; of number signs where the terminal knows no others."""
    if plain:
        return "#" * max(1, round(length))
    whole, eighth = divmod(max(1, round(length * 8)), 8)
    return ("█" * whole + _EIGHTHS[eighth]).rstrip()


def _table(out: Console, headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> None:
    if not draw_table(out, headers, rows, right=right):
        draw_blocks(out, headers, rows)
        out.print()

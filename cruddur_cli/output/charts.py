"""What a table holds, as something to look at: rows by entity, bars by partition and by day."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .terminal import console
from .text import one_line

_DAYS = 31
_EIGHTHS = " ▏▎▍▌▋▊▉"


def draw_stats(found: Any, *, capacity: str) -> None:
    """The whole of ``dynamodb.stats.Stats``; ``capacity`` says what the units mean."""
    out = console(sys.stdout)
    drawn = _table("entity", ">items", ">bytes", ">average", ">RCU", ">WCU")
    for row in found.entities:
        units = [f"{row.read_units:,g}", f"{row.write_units:,g}"]
        drawn.add_row(row.entity, f"{row.items:,}", f"{row.bytes:,}", f"{row.average_bytes:,}", *units)
    out.print(drawn)
    out.print(Text(capacity, style="dim"))
    if found.partitions:
        about = " (approximate: there are more than were counted at a time)" if found.partitions_approximate else ""
        _title(out, "Largest partitions", about)
        _bars(out, [(row.pk, row.items, f"{row.items:,} items, {row.bytes:,} bytes") for row in found.partitions])
    if found.days:
        shown = list(found.days.items())[-_DAYS:]
        left = sum(found.days.values()) + found.earlier - sum(count for _, count in shown)
        before = f", {left:,} on {len(found.days) - len(shown):,} days before" if left else ""
        _title(out, "Messages per day", f" (UTC{before})")
        _bars(out, [(day, count, f"{count:,}") for day, count in shown])
        years = ", ".join(f"{year}: {count:,}" for year, count in found.years.items())
        out.print(Text.assemble(("years", "bold"), f"  {years}"))
    if found.timeless:
        out.print(Text(f"{found.timeless:,} messages have a sort key that is no time"))
    if found.lonely_rows is not None:
        _lonely(out, found)


def _lonely(out: Console, found: Any) -> None:
    about = "about " if found.lonely_approximate else ""
    if not found.lonely_rows:
        out.print(Text("every group row has its counterpart"))
        return
    _title(out, "Group rows without their counterpart", f" ({about}{found.lonely_rows:,})")
    drawn = _table("conversation", "row of", "with")
    for row in found.lonely:
        drawn.add_row(*(Text(one_line(each)) for each in (row.message_group_uuid, row.user_uuid, row.other_user_uuid)))
    out.print(drawn)


def _title(out: Console, text: str, about: str) -> None:
    out.print()
    out.print(Text.assemble((text, "bold"), (about, "dim")))


def _bars(out: Console, rows: Sequence[tuple[str, int, str]]) -> None:
    """A bar each, the longest as long as there is room for."""
    rows = [(one_line(name), count, said) for name, count, said in rows]
    names = max(len(name) for name, _, _ in rows)
    said = max(len(each) for _, _, each in rows)
    names = min(names, max(10, out.width - said - 14))
    room = max(4, min(40, out.width - names - said - 4))
    most = max(count for _, count, _ in rows)
    for name, count, each in rows:
        clipped = name if len(name) <= names else f"{name[: names - 1]}…"
        bar = bars(count / most * room, plain="utf" not in out.encoding.lower())
        line = Text.assemble((clipped.ljust(names), "dim"), "  ", (bar.ljust(room), "cyan"), "  ", each)
        out.print(line, no_wrap=True, crop=False, soft_wrap=True)


def bars(length: float, *, plain: bool) -> str:
    """A bar of so many columns, to an eighth of one; of number signs where the terminal knows no others."""
    if plain:
        return "#" * max(1, round(length))
    whole, eighth = divmod(max(1, round(length * 8)), 8)
    return ("█" * whole + _EIGHTHS[eighth]).rstrip()


def _table(*names: str) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name in names:
        drawn.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return drawn

"""What a table holds, as something to look at: rows by entity, bars by partition and by day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Protocol

from rich.console import Console
from rich.text import Text

from .tables import table_or_blocks
from .text import counted, one_line, units, width_of

_DAYS = 31
_EIGHTHS = " ▏▎▍▌▋▊▉"


class Entity(Protocol):
    """One kind of item in a table: how many, how large, what they cost."""

    @property
    def entity(self) -> str: ...
    @property
    def items(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def average_bytes(self) -> int: ...
    @property
    def read_units(self) -> float: ...
    @property
    def write_units(self) -> float: ...


class Partition(Protocol):
    """One partition of a table."""

    @property
    def pk(self) -> str: ...
    @property
    def items(self) -> int: ...
    @property
    def bytes(self) -> int: ...


class Lonely(Protocol):
    """A group row without the other person's row."""

    @property
    def message_group_uuid(self) -> str: ...
    @property
    def user_uuid(self) -> str: ...
    @property
    def other_user_uuid(self) -> str: ...


class Stats(Protocol):
    """What a table holds; see ``dynamodb.stats.Stats``."""

    @property
    def entities(self) -> Sequence[Entity]: ...
    @property
    def partitions(self) -> Sequence[Partition]: ...
    @property
    def partitions_approximate(self) -> bool: ...
    @property
    def days(self) -> Mapping[str, int]: ...
    @property
    def earlier(self) -> int: ...
    @property
    def years(self) -> Mapping[str, int]: ...
    @property
    def timeless(self) -> int: ...
    @property
    def lonely_rows(self) -> int | None: ...
    @property
    def lonely_approximate(self) -> bool: ...
    @property
    def lonely(self) -> Sequence[Lonely]: ...


def draw_stats(out: Console, found: Stats, *, capacity: str) -> None:
    """The whole of ``dynamodb.stats.Stats``; ``capacity`` says what the units mean."""
    rows = [
        [
            row.entity, f"{row.items:,}", f"{row.bytes:,}", f"{row.average_bytes:,}", units(row.read_units),
            units(row.write_units),
        ]
        for row in found.entities
    ]  # fmt: skip
    table_or_blocks(out, ["entity", "items", "bytes", "average", "RCU", "WCU"], rows, right=range(1, 6))
    out.print(Text(capacity, style="dim"))
    if found.partitions:
        about = " (approximate: there are too many to count each)" if found.partitions_approximate else ""
        _title(out, "Largest partitions", about)
        widest = max(len(f"{row.bytes:,}") for row in found.partitions)
        said = [(row, "item, " if row.items == 1 else "items,") for row in found.partitions]
        _bars(out, [(row.pk, row.items, f"{row.items:,} {word} {row.bytes:>{widest},} bytes") for row, word in said])
    if found.days:
        shown = dict(list(found.days.items())[-_DAYS:])
        left = sum(found.days.values()) + found.earlier - sum(shown.values())
        before = f", {left:,} on {counted(len(found.days) - len(shown), 'day')} before" if left else ""
        _title(out, "Messages per day", f" (UTC{before})")
        _bars(out, list(_with_gaps(shown)))
        years = ", ".join(f"{year}: {count:,}" for year, count in found.years.items())
        out.print(Text.assemble(("years", "bold"), f"  {years}"))
    if found.timeless:
        out.print(Text(f"{counted(found.timeless, 'message has', 'messages have')} a sort key that is not a time"))
    if found.lonely_rows is not None:
        _lonely(out, found)


def _with_gaps(days: Mapping[str, int]) -> Iterator[tuple[str, int | None, str]]:
    """A bar for each day from the first to the last; days without messages in a row are one line."""
    before: date | None = None
    for text, count in days.items():
        day = date.fromisoformat(text)
        empty = (day - before).days - 1 if before else 0
        if before and empty == 1:
            yield str(before + timedelta(days=1)), 0, "0"
        elif empty:
            yield "…", None, f"{empty:,} days without messages"
        yield text, count, f"{count:,}"
        before = day


def _lonely(out: Console, found: Stats) -> None:
    about = "about " if found.lonely_approximate else ""
    if not found.lonely_rows:
        out.print(Text("Every conversation is listed for both people."))
        return
    _title(out, "Conversations that are listed for one person only", f" ({about}{found.lonely_rows:,})")
    rows = [
        [one_line(row.message_group_uuid), one_line(row.user_uuid), one_line(row.other_user_uuid)]
        for row in found.lonely
    ]
    table_or_blocks(out, ["conversation", "row of", "with"], rows)


def _title(out: Console, text: str, about: str) -> None:
    out.print()
    out.print(Text.assemble((text, "bold"), (about, "dim")))


def _bars(out: Console, rows: Sequence[tuple[str, int | None, str]]) -> None:
    """A bar each, the longest as long as there is room for, and beside it what there is to say, a number first.

    Where there is nothing to count, only that is said.
    """
    drawn = [(one_line(name), count, said) for name, count, said in rows if count is not None]
    digits = max(len(each.split(" ")[0]) for _, _, each in drawn)
    said = max(digits + len(each) - len(each.split(" ")[0]) for _, _, each in drawn)
    names = max(width_of(name) for name, _, _ in drawn)
    below = said + 18 > out.width  # then the bar has a line of its own
    names = min(names, out.width if below else max(10, out.width - said - 14))
    room = max(4, min(40, out.width - said - 4 - (0 if below else names)))
    most = max(count for _, count, _ in drawn)
    for name, count, each in rows:
        label = Text(one_line(name), style="dim")
        label.truncate(names, overflow="ellipsis", pad=not below)
        if count is None:
            out.print(Text.assemble(label, "  ", (each, "dim")), soft_wrap=True)
            continue
        bar = bars(count / most * room, plain="utf" not in out.encoding.lower()) if count else ""
        number = each.split(" ")[0]
        line = Text.assemble(label, "\n  " if below else "  ", (bar.ljust(room), "cyan"), "  ")
        out.print(line.append(f"{number:>{digits}}{each[len(number) :]}"), no_wrap=True, crop=False, soft_wrap=True)


def bars(length: float, *, plain: bool) -> str:
    """A bar of so many columns, to an eighth of one; of number signs where the terminal knows no others."""
    if plain:
        return "#" * max(1, round(length))
    whole, eighth = divmod(max(1, round(length * 8)), 8)
    return ("█" * whole + _EIGHTHS[eighth]).rstrip()

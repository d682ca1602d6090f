"""Draws the statistics of a table: items by entity, and bars for the largest partitions and for messages by day."""

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
    """The items of one kind: their number, their size, and the units that they use."""

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
    """One partition of a table: its key, its items and its size."""

    @property
    def pk(self) -> str: ...
    @property
    def items(self) -> int: ...
    @property
    def bytes(self) -> int: ...


class Lonely(Protocol):
    """A group row whose counterpart, the other person's row, is missing."""

    @property
    def message_group_uuid(self) -> str: ...
    @property
    def user_uuid(self) -> str: ...
    @property
    def other_user_uuid(self) -> str: ...


class Stats(Protocol):
    """The statistics of a table; see ``dynamodb.stats.Stats``."""

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


def draw_stats(out: Console, statistics: Stats, *, capacity: str) -> None:
    """Draw all statistics; ``capacity`` explains the units."""
    rows = [
        [
            row.entity, f"{row.items:,}", f"{row.bytes:,}", f"{row.average_bytes:,}", units(row.read_units),
            units(row.write_units),
        ]
        for row in statistics.entities
    ]  # fmt: skip
    table_or_blocks(out, ["entity", "items", "bytes", "average", "RCU", "WCU"], rows, right=range(1, 6))
    out.print(Text(capacity, style="dim"))
    if statistics.partitions:
        about = " (approximate: there are too many to count each)" if statistics.partitions_approximate else ""
        _title(out, "Largest partitions", about)
        widest = max(len(f"{row.bytes:,}") for row in statistics.partitions)
        labelled = [(row, "item, " if row.items == 1 else "items,") for row in statistics.partitions]
        _bars(
            out, [(row.pk, row.items, f"{row.items:,} {word} {row.bytes:>{widest},} bytes") for row, word in labelled]
        )
    if statistics.days:
        shown = dict(list(statistics.days.items())[-_DAYS:])
        earlier = sum(statistics.days.values()) + statistics.earlier - sum(shown.values())
        before = f", {earlier:,} on {counted(len(statistics.days) - len(shown), 'day')} before" if earlier else ""
        _title(out, "Messages per day", f" (UTC{before})")
        _bars(out, list(_with_gaps(shown)))
        years = ", ".join(f"{year}: {count:,}" for year, count in statistics.years.items())
        out.print(Text.assemble(("years", "bold"), f"  {years}"))
    if statistics.timeless:
        out.print(Text(f"{counted(statistics.timeless, 'message has', 'messages have')} a sort key that is not a time"))
    if statistics.lonely_rows is not None:
        _lonely(out, statistics)


def _with_gaps(days: Mapping[str, int]) -> Iterator[tuple[str, int | None, str]]:
    """Yield a bar for each day: name, count and text. Consecutive days without messages are one line."""
    previous: date | None = None
    for text, count in days.items():
        day = date.fromisoformat(text)
        empty = (day - previous).days - 1 if previous else 0
        if previous and empty == 1:
            yield str(previous + timedelta(days=1)), 0, "0"
        elif empty:
            yield "…", None, f"{empty:,} days without messages"
        yield text, count, f"{count:,}"
        previous = day


def _lonely(out: Console, statistics: Stats) -> None:
    about = "about " if statistics.lonely_approximate else ""
    if not statistics.lonely_rows:
        out.print(Text("Every conversation is listed for both people."))
        return
    _title(out, "Conversations that are listed for one person only", f" ({about}{statistics.lonely_rows:,})")
    rows = [
        [one_line(row.message_group_uuid), one_line(row.user_uuid), one_line(row.other_user_uuid)]
        for row in statistics.lonely
    ]
    table_or_blocks(out, ["conversation", "row of", "with"], rows)


def _title(out: Console, text: str, about: str) -> None:
    out.print()
    out.print(Text.assemble((text, "bold"), (about, "dim")))


def _bars(out: Console, rows: Sequence[tuple[str, int | None, str]]) -> None:
    """Draw a bar for each row (name, count, text). The longest bar fills the space; a text begins with its number.

    A row whose count is None has no bar, only its text.
    """
    drawn = [(one_line(name), count, text) for name, count, text in rows if count is not None]
    digits = max(len(label_text.split(" ")[0]) for _, _, label_text in drawn)
    text_width = max(digits + len(label_text) - len(label_text.split(" ")[0]) for _, _, label_text in drawn)
    names = max(width_of(name) for name, _, _ in drawn)
    below = text_width + 18 > out.width  # the bar is drawn on its own line
    names = min(names, out.width if below else max(10, out.width - text_width - 14))
    room = max(4, min(40, out.width - text_width - 4 - (0 if below else names)))
    largest = max(count for _, count, _ in drawn)
    for name, count, label_text in rows:
        label = Text(one_line(name), style="dim")
        label.truncate(names, overflow="ellipsis", pad=not below)
        if count is None:
            out.print(Text.assemble(label, "  ", (label_text, "dim")), soft_wrap=True)
            continue
        bar = bars(count / largest * room, plain="utf" not in out.encoding.lower()) if count else ""
        number = label_text.split(" ")[0]
        line = Text.assemble(label, "\n  " if below else "  ", (bar.ljust(room), "cyan"), "  ")
        out.print(
            line.append(f"{number:>{digits}}{label_text[len(number) :]}"), no_wrap=True, crop=False, soft_wrap=True
        )


def bars(length: float, *, plain: bool) -> str:
    """A bar of ``length`` columns, to an eighth of a column; with ``plain`` it consists of number signs."""
    if plain:
        return "#" * max(1, round(length))
    whole, eighth = divmod(max(1, round(length * 8)), 8)
    return ("█" * whole + _EIGHTHS[eighth]).rstrip()

"""Draws the consumed capacity of a command: a table on a terminal, one line elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.console import Console
from rich.text import Text

from .streams import NARROW
from .tables import draw_blocks, draw_table
from .text import counted, units


class Operation(Protocol):
    """What all requests of one DynamoDB operation used together."""

    @property
    def operation(self) -> str: ...
    @property
    def requests(self) -> int: ...
    @property
    def items(self) -> int: ...
    @property
    def read_units(self) -> float: ...
    @property
    def write_units(self) -> float: ...
    @property
    def indexes(self) -> Mapping[str, float]: ...


class Consumed(Protocol):
    """What a whole command used; see ``dynamodb.capacity.meter.Consumed``."""

    @property
    def table(self) -> str: ...
    @property
    def read_units(self) -> float: ...
    @property
    def write_units(self) -> float: ...
    @property
    def requests(self) -> int: ...
    @property
    def indexes(self) -> Mapping[str, float]: ...
    @property
    def source(self) -> str: ...


class Meter(Protocol):
    """The meter of a command; see ``dynamodb.capacity.meter.Meter``."""

    def total(self) -> Consumed: ...
    def operations(self) -> Sequence[Operation]: ...


def in_words(total: Consumed) -> str:
    """The total in one line."""
    return (
        f"consumed capacity: {units(total.read_units)} RCU, {units(total.write_units)} WCU in"
        f" {counted(total.requests, 'request')} on {total.table}{_source(total)}"
    )


def read(total: Consumed) -> str:
    """The capacity that was used for reading, as a part of a sentence: ``12 RCU in 3 requests``."""
    source = "" if total.source == "reported" or not total.requests else f" ({total.source})"
    return f"{units(total.read_units)} RCU{source} in {counted(total.requests, 'request')}"


def draw(out: Console, total: Consumed, operations: Sequence[Operation]) -> None:
    """Draw a row for each operation, and the total if there are several. On a narrow terminal it has fewer columns."""
    indexes = sorted(total.indexes)
    rows = [
        [row.operation, f"{row.requests:,}", f"{row.items:,}", units(row.read_units), units(row.write_units),
         *(units(row.indexes.get(name, 0)) for name in indexes)]
        for row in operations
    ]  # fmt: skip
    if len(rows) > 1:
        requests, items = (f"{sum(each):,}" for each in zip(*((o.requests, o.items) for o in operations), strict=True))
        rows.append(
            ["total", requests, items, units(total.read_units), units(total.write_units),
             *(units(total.indexes[name]) for name in indexes)]
        )  # fmt: skip
    out.print()
    out.print(Text(f"Consumed capacity, {total.table}{_source(total)}", style="dim"))
    headers = ["operation", "requests", "items", "RCU", "WCU", *indexes]
    summed = len(operations) > 1
    if out.width >= NARROW and draw_table(out, headers, rows, right=range(1, len(headers)), dim=True, total=summed):
        return
    headers, rows = ["operation", "req", "RCU", "WCU"], [[row[0], row[1], row[3], row[4]] for row in rows]
    if not draw_table(out, headers, rows, right={1, 2, 3}, dim=True, total=summed):
        draw_blocks(out, headers, rows)


def _source(total: Consumed) -> str:
    return "" if total.source == "reported" or not total.requests else f", read units {total.source}"

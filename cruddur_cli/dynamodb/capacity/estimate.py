"""What a command would cost before it runs: capacity units, and the time they take. Pure, and offline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..schema import Index
from .rules import PAGE_LIMIT, Item, item_size, put_units, read_units, write_units

_BURST_S = 300
"""How many seconds' worth of unused capacity a table keeps ("DynamoDB burst and adaptive capacity")."""


@dataclass(frozen=True)
class Throughput:
    """Provisioned capacity, in units per second: the table's own, and each global index's as (read, write)."""

    read: float
    write: float
    indexes: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """What a command would use.

    ``read_units`` and ``write_units`` include the indexes' share, which ``indexes`` gives again by name; ``items`` and
    ``bytes`` are what is read or written. ``at_most`` says that it is no expectation but an upper bound.

    ``seconds`` is how long the table's capacity lets it take at the least, with five minutes of unused capacity counted
    (0: no longer than the requests themselves); None on demand. Others who use the table, and hot partitions, make it
    longer.
    """

    read_units: float = 0.0
    write_units: float = 0.0
    indexes: Mapping[str, float] = field(default_factory=dict)
    items: int = 0
    bytes: int = 0
    at_most: bool = False
    seconds: float | None = None


# ---------------------------------------------------------------------------------------------------------------------
# How much.


def scan(*, items: int, bytes: int, consistent: bool = False, segments: int = 1, index: str | None = None) -> Estimate:
    """A Scan of ``bytes``, which is also an export: pages of 1 MB ("Scanning tables in DynamoDB"), each rounded once;
    the last one of each segment may be rounded for nothing. DescribeTable says ``items`` and ``bytes`` of tables and
    indexes, up to six hours old."""
    pages, rest = divmod(bytes, PAGE_LIMIT)
    least = read_units(0, consistent=consistent)
    units = pages * read_units(PAGE_LIMIT, consistent=consistent)
    units += read_units(rest, consistent=consistent) if rest or not pages else 0.0
    units += (segments - 1) * least
    return Estimate(read_units=units, indexes={index: units} if index else {}, items=items, bytes=bytes)


def query(*, items: int, bytes: int, consistent: bool = False, index: str | None = None) -> Estimate:
    """A Query that evaluates ``items`` of ``bytes`` in all, before its filter: as a Scan of that much."""
    return scan(items=items, bytes=bytes, consistent=consistent, index=index)


def puts(items: Iterable[Item], *, indexes: Sequence[Index] = ()) -> Estimate:
    """Writing these items in batches, where none of their keys is taken: exact, and one item at a time in memory.

    An item that replaces a smaller one costs as much, one that replaces a larger one costs what that one weighs.
    """
    table, by_index, count, size = 0.0, dict[str, float](), 0, 0
    for item in items:
        units = put_units(None, item, indexes)
        table += units.table
        for name, each in units.indexes.items():
            by_index[name] = by_index.get(name, 0.0) + each
        count, size = count + 1, size + item_size(item)
    return Estimate(write_units=table + sum(by_index.values()), indexes=by_index, items=count, bytes=size)


def seed(messages: int, *, message_bytes: int, group_bytes: int, index: str, groups: int = 2) -> Estimate:
    """A seed of ``messages`` of a mean size, and the new rows of their group, which alone are in the index.

    Messages go in batches; the ``groups`` rows in one transaction, at twice the units.
    """
    row = write_units(group_bytes, transaction=True)
    units = messages * write_units(message_bytes) + groups * row * 2
    size = messages * message_bytes + groups * group_bytes
    by_index = {index: groups * row} if groups else {}
    return Estimate(write_units=units, indexes=by_index, items=messages + groups, bytes=size)


def add(parts: Iterable[Estimate]) -> Estimate:
    """One after the other; time has to be worked out for the sum."""
    total = Estimate()
    for part in parts:
        names = {**total.indexes, **part.indexes}
        total = Estimate(
            read_units=total.read_units + part.read_units,
            write_units=total.write_units + part.write_units,
            indexes={name: total.indexes.get(name, 0.0) + part.indexes.get(name, 0.0) for name in names},
            items=total.items + part.items,
            bytes=total.bytes + part.bytes,
        )
    return total


# ---------------------------------------------------------------------------------------------------------------------
# How long.


def throughput(description: Mapping[str, Any]) -> Throughput | None:
    """The provisioned capacity that DescribeTable's ``Table`` tells; None on demand."""
    if (description.get("BillingModeSummary") or {}).get("BillingMode") == "PAY_PER_REQUEST":
        return None

    def units(part: Mapping[str, Any]) -> tuple[float, float]:
        said = part.get("ProvisionedThroughput") or {}
        return float(said.get("ReadCapacityUnits", 0)), float(said.get("WriteCapacityUnits", 0))

    indexes = {index["IndexName"]: units(index) for index in description.get("GlobalSecondaryIndexes") or ()}
    return Throughput(*units(description), indexes)


def seconds_at(units: float, per_second: float, *, burst_s: float = _BURST_S) -> float:
    """Seconds until ``units`` are used at a provisioned rate, where ``burst_s`` seconds' worth of it lay unused before.

    Burst capacity is used as fast as it is asked for, but is not guaranteed ("DynamoDB burst and adaptive capacity").
    """
    if units <= 0:
        return 0.0
    return max(0.0, units / per_second - burst_s) if per_second > 0 else math.inf


def with_time(
    estimate: Estimate, provisioned: Throughput | None, *, rate: float | None = None, burst_s: float = _BURST_S
) -> Estimate:
    """The estimate with ``seconds``: table and indexes work side by side, so the slowest counts; so does ``rate``, the
    units a second that the command keeps to by itself, of which nothing is saved up."""
    reads, writes = estimate.read_units, estimate.write_units
    limits = [] if rate is None else [seconds_at(reads + writes, rate, burst_s=0)]
    if provisioned is not None:
        # A global index that DescribeTable does not know is a local one, which takes the table's capacity.
        own = {name: units for name, units in estimate.indexes.items() if name in provisioned.indexes}
        share = sum(own.values())
        # A command that writes reads nothing from an index.
        reads, writes = (reads, writes - share) if writes else (reads - share, writes)
        limits.append(seconds_at(reads, provisioned.read, burst_s=burst_s))
        limits.append(seconds_at(writes, provisioned.write, burst_s=burst_s))
        kind = 1 if estimate.write_units else 0
        limits += [seconds_at(units, provisioned.indexes[name][kind], burst_s=burst_s) for name, units in own.items()]
    return replace(estimate, seconds=max(limits, default=None))

"""Estimate the capacity units of a command before it runs, and how long they take. Pure, and offline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..schema import Index
from .rules import PAGE_LIMIT, Item, item_size, put_units, read_units, write_units

_BURST_S = 300
"""A table keeps this many seconds of unused capacity ("DynamoDB burst and adaptive capacity")."""


@dataclass(frozen=True)
class Throughput:
    """Provisioned capacity in units per second: that of the table, and that of each global index as (read, write)."""

    read: float
    write: float
    indexes: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """The capacity units and the time that a command would use.

    ``read_units`` and ``write_units`` include those of indexes, which ``indexes`` lists by name. ``items`` and
    ``bytes`` are read or written. ``at_most`` means that the figures are an upper bound.

    ``seconds`` is the shortest time that the provisioned capacity allows, if five minutes of unused capacity are
    available; 0 means that capacity does not slow the command down. It is None for a table on demand. Other users of
    the table and hot partitions make the command slower.
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
    """The estimate for a Scan of ``bytes``, such as an export.

    Pages have 1 MB ("Scanning tables in DynamoDB"), and each is rounded up once. Every segment after the first adds the
    cost of one more rounded page. Take ``items`` and ``bytes`` from DescribeTable; they can be six hours old.
    """
    pages, rest = divmod(bytes, PAGE_LIMIT)
    least = read_units(0, consistent=consistent)
    units = pages * read_units(PAGE_LIMIT, consistent=consistent)
    units += read_units(rest, consistent=consistent) if rest or not pages else 0.0
    units += (segments - 1) * least
    return Estimate(read_units=units, indexes={index: units} if index else {}, items=items, bytes=bytes)


def query(*, items: int, bytes: int, consistent: bool = False, index: str | None = None) -> Estimate:
    """The estimate for a Query that reads ``items`` with ``bytes`` in all before its filter: as for a Scan."""
    return scan(items=items, bytes=bytes, consistent=consistent, index=index)


def puts(items: Iterable[Item], *, indexes: Sequence[Index] = ()) -> Estimate:
    """The exact cost of writing these items in batches, if none of their keys exists. Memory holds one item at a time.

    An item that replaces a smaller one costs the same. One that replaces a larger one costs as much as the larger one.
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
    """The estimate for seeding a number of ``messages`` with a mean size, and ``groups`` new group rows.

    Messages are written in batches. The group rows are in the index, and one transaction writes them at twice the
    units.
    """
    row = write_units(group_bytes, transaction=True)
    units = messages * write_units(message_bytes) + groups * row * 2
    size = messages * message_bytes + groups * group_bytes
    by_index = {index: groups * row} if groups else {}
    return Estimate(write_units=units, indexes=by_index, items=messages + groups, bytes=size)


def add(parts: Iterable[Estimate]) -> Estimate:
    """The sum of several estimates, without ``seconds``: compute the time for the sum."""
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
    """The provisioned capacity in DescribeTable's ``Table``; None for a table on demand."""
    if (description.get("BillingModeSummary") or {}).get("BillingMode") == "PAY_PER_REQUEST":
        return None

    def units(part: Mapping[str, Any]) -> tuple[float, float]:
        provisioned = part.get("ProvisionedThroughput") or {}
        return float(provisioned.get("ReadCapacityUnits", 0)), float(provisioned.get("WriteCapacityUnits", 0))

    indexes = {index["IndexName"]: units(index) for index in description.get("GlobalSecondaryIndexes") or ()}
    return Throughput(*units(description), indexes)


def seconds_at(units: float, per_second: float, *, burst_s: float = _BURST_S) -> float:
    """The seconds that ``units`` take at a rate of ``per_second``, with ``burst_s`` seconds of unused capacity.

    Burst capacity has no rate, but is not guaranteed ("DynamoDB burst and adaptive capacity").
    """
    if units <= 0:
        return 0.0
    return max(0.0, units / per_second - burst_s) if per_second > 0 else math.inf


def with_time(
    estimate: Estimate, provisioned: Throughput | None, *, rate: float | None = None, burst_s: float = _BURST_S
) -> Estimate:
    """The estimate with ``seconds``: the longest of the times of the table, of its indexes and of ``rate``.

    Table and indexes work at the same time. ``rate`` is the command's own limit in units per second, without burst.
    """
    reads, writes = estimate.read_units, estimate.write_units
    limits = [] if rate is None else [seconds_at(reads + writes, rate, burst_s=0)]
    if provisioned is not None:
        # An index without its own provisioned capacity is a local one. It uses the capacity of the table.
        own = {name: units for name, units in estimate.indexes.items() if name in provisioned.indexes}
        share = sum(own.values())
        # A command that writes reads nothing from an index.
        reads, writes = (reads, writes - share) if writes else (reads - share, writes)
        limits.append(seconds_at(reads, provisioned.read, burst_s=burst_s))
        limits.append(seconds_at(writes, provisioned.write, burst_s=burst_s))
        kind = 1 if estimate.write_units else 0
        limits += [seconds_at(units, provisioned.indexes[name][kind], burst_s=burst_s) for name, units in own.items()]
    return replace(estimate, seconds=max(limits, default=None))

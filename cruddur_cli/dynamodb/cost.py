"""What a command would cost before it runs: capacity units, the time they take, and money. Pure, and offline."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .capacity import PAGE_LIMIT, Index, Item, item_size, put_units, read_units, write_units

BURST_S = 300
"""How many seconds' worth of unused capacity a table keeps ("DynamoDB burst and adaptive capacity")."""


@dataclass(frozen=True)
class Throughput:
    """Provisioned capacity, in units per second: the table's own, and each global index's as (read, write)."""

    read: float
    write: float
    indexes: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Prices:
    """Of one region, in USD; None where none is known. ``sources`` names the pages, each with its date."""

    region: str
    read_per_million: float | None
    write_per_million: float | None
    read_unit_hour: float | None
    write_unit_hour: float | None
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """What a command would use.

    ``read_units`` and ``write_units`` include the indexes' share, which ``indexes`` gives again by name; ``items`` and
    ``bytes`` are what is read or written. ``at_most`` says that it is no expectation but an upper bound.

    ``seconds`` is how long the table's capacity lets it take at the least, with five minutes of unused capacity counted
    (0: no longer than the requests themselves); None on demand. Others who use the table, and hot partitions, make it
    longer.

    ``usd_on_demand`` is what an on-demand table adds to the bill for it. ``usd_provisioned`` adds nothing to the bill:
    provisioned hours are paid whether they are used or not. It is the share of those hours that the command takes up,
    and so what it would cost if capacity had to be provisioned for it alone. Both are None without known prices.
    """

    read_units: float = 0.0
    write_units: float = 0.0
    indexes: Mapping[str, float] = field(default_factory=dict)
    items: int = 0
    bytes: int = 0
    at_most: bool = False
    seconds: float | None = None
    usd_on_demand: float | None = None
    usd_provisioned: float | None = None


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


def load(*, items: int, bytes: int, indexed: Mapping[str, int] | None = None) -> Estimate:
    """An import of ``items`` of ``bytes`` in all, from averages: each item as large as the mean, ``indexed`` of them in
    each index that projects all. Exact while no item is larger than 1 KB; ``puts`` is exact for any."""
    each = write_units(math.ceil(bytes / items)) if items else 0.0
    by_index = {name: count * each for name, count in (indexed or {}).items() if count}
    units = items * each + sum(by_index.values())
    return Estimate(write_units=units, indexes=by_index, items=items, bytes=bytes)


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
    """One after the other; time and money have to be worked out for the sum."""
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


def seconds_at(units: float, per_second: float, *, burst_s: float = BURST_S) -> float:
    """Seconds until ``units`` are used at a provisioned rate, where ``burst_s`` seconds' worth of it lay unused before.

    Burst capacity is used as fast as it is asked for, but is not guaranteed ("DynamoDB burst and adaptive capacity").
    """
    if units <= 0:
        return 0.0
    return max(0.0, units / per_second - burst_s) if per_second > 0 else math.inf


def with_time(
    estimate: Estimate, provisioned: Throughput | None, *, rate: float | None = None, burst_s: float = BURST_S
) -> Estimate:
    """The estimate with ``seconds``: table and indexes work side by side, so the slowest counts; so does ``rate``, the
    units a second that the command keeps to by itself, of which nothing is saved up."""
    reads, writes = estimate.read_units, estimate.write_units
    limits = [] if rate is None else [seconds_at(reads + writes, rate, burst_s=0)]
    if provisioned is not None:
        # A global index that DescribeTable does not know is a local one, which takes the table's capacity.
        own = {name: units for name, units in estimate.indexes.items() if name in provisioned.indexes}
        share = sum(own.values())
        # Whatever writes takes no reads from an index.
        reads, writes = (reads, writes - share) if writes else (reads - share, writes)
        limits.append(seconds_at(reads, provisioned.read, burst_s=burst_s))
        limits.append(seconds_at(writes, provisioned.write, burst_s=burst_s))
        kind = 1 if estimate.write_units else 0
        limits += [seconds_at(units, provisioned.indexes[name][kind], burst_s=burst_s) for name, units in own.items()]
    return replace(estimate, seconds=max(limits, default=None))


# ---------------------------------------------------------------------------------------------------------------------
# How much money.


def prices(region: str | None) -> Prices | None:
    """What a region charges, from the table that comes with the program; None for a region that it does not have."""
    known = _price_table()
    on_demand = known["on_demand"]["usd_per_million"].get(region)
    provisioned = known["provisioned"]["usd_per_unit_hour"].get(region)
    if region is None or (on_demand is None and provisioned is None):
        return None
    parts = [known[name] for name, found in (("on_demand", on_demand), ("provisioned", provisioned)) if found]
    return Prices(
        region=region,
        read_per_million=on_demand["read"] if on_demand else None,
        write_per_million=on_demand["write"] if on_demand else None,
        read_unit_hour=provisioned["read"] if provisioned else None,
        write_unit_hour=provisioned["write"] if provisioned else None,
        sources=tuple(f"{part['source']}, as of {part['as_of']}" for part in parts),
    )


def with_money(estimate: Estimate, known: Prices | None) -> Estimate:
    """The estimate in USD, by ``prices``; the free tier is not counted."""
    if known is None:
        return replace(estimate, usd_on_demand=None, usd_provisioned=None)
    reads, writes = estimate.read_units, estimate.write_units
    return replace(
        estimate,
        usd_on_demand=_sum(reads / 1e6, known.read_per_million, writes / 1e6, known.write_per_million),
        usd_provisioned=_sum(reads / 3600, known.read_unit_hour, writes / 3600, known.write_unit_hour),
    )


def _sum(reads: float, read_price: float | None, writes: float, write_price: float | None) -> float | None:
    if read_price is None or write_price is None:
        return None
    return reads * read_price + writes * write_price


@functools.cache
def _price_table() -> dict[str, Any]:
    from importlib import resources  # 8 ms, which only what shows money pays

    text = resources.files(__package__).joinpath("prices.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table

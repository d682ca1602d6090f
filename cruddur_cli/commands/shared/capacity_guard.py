"""What a command would cost, printed before it runs, and the limits of ``--max-units`` and ``--rate``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ... import output
from ...dynamodb import schema, tables
from ...dynamodb.capacity import estimate as estimates
from ...dynamodb.capacity.estimate import Estimate
from ...dynamodb.capacity.limiter import RateLimiter
from ...dynamodb.capacity.rules import Item, item_size, read_units
from ...dynamodb.client import DynamoDB
from ...dynamodb.scanning import Selection
from ...dynamodb.transfer import input_files
from ...errors import CruddurError
from ...output.text import counted
from ...settings import Settings


class ItemCounter:
    """How many items are kept: written, or found to be right."""

    def __init__(self) -> None:
        self.items = 0

    def then(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """What counts, and tells ``advance``."""

        def count(items: int) -> None:
            self.items += items
            advance(items)

        return count


@contextmanager
def limited(
    s: Settings,
    dynamodb: DynamoDB,
    estimate: Callable[[Mapping[str, Any]], Estimate],
    *,
    writes: bool = False,
    done: Callable[[], int] | None = None,
    goes_on: bool = False,
    assuming: str = "",
) -> Iterator[None]:
    """Say the estimate where it matters, and keep what runs inside within ``--max-units`` and ``--rate``.

    ``estimate`` gets DescribeTable's ``Table``. In production the estimate is always said, and without ``--rate`` half
    of the provisioned capacity is left to the application. Raises Incomplete, code ``max_units``, before the limit is
    passed, with what is done and what is left; ``done`` counts that where it is not what this store was asked for, and
    ``goes_on`` says that the place is kept. ``assuming`` is what the estimate assumes, in words; a dry run that writes
    knows at its end.
    """
    if not (s.prod or s.explain or s.dry_run or s.rate or s.max_units):
        yield
        return
    described = tables.description(dynamodb)
    provisioned = estimates.throughput(described)
    rate = s.rate
    if rate is None and s.prod and provisioned is not None:
        rate = (provisioned.write if writes else provisioned.read) / 2
    expected = estimates.with_time(estimate(described), provisioned, rate=rate)
    if s.prod or s.explain or s.dry_run:
        output.tell(sentence(expected, rate=rate, assuming=assuming))
    if rate or s.max_units:
        items, size = described.get("ItemCount", 0), described.get("TableSizeBytes", 0)
        mean = size / items if items else 0.0
        dynamodb.limiter = RateLimiter(max_units=s.max_units, rate=rate, indexes=[schema.GROUPS], item_bytes=mean)
    before = dynamodb.meter.total()
    try:
        yield
        if s.dry_run and writes:
            reads = dynamodb.meter.total().read_units - before.read_units
            found = Estimate(read_units=reads, write_units=dynamodb.meter.planned)
            found = estimates.with_time(found, provisioned, rate=rate)
            units = f"{found.read_units:,.10g} RCU and {found.write_units:,.10g} WCU"
            output.tell("; ".join([f"A real run would use {units}", *_rest(found, rate)]))
    except CruddurError as error:
        if error.code == "max_units":
            asked = (row.items for row in dynamodb.meter.operations() if bool(row.write_units) == writes)
            count = done() if done else sum(asked)
            left = f"of {_about(expected)} {expected.items:,}"
            again = "run the same command again to resume"
            raise error.changed(
                message=f"{error.message} {counted(count, 'item is', 'items are')} done, {left}.",
                hint=again if goes_on else "run it again with a higher --max-units",
            ) from error
        raise
    finally:
        dynamodb.halt()


def sentence(estimate: Estimate, *, rate: float | None, assuming: str = "") -> str:
    """An estimate in words: units, items, time. Of what is written, reads are those that compare."""
    compared = estimate.read_units if estimate.write_units else 0.0
    reads = estimate.read_units - compared
    units = [f"{reads:,.10g} RCU"] if reads else []
    units += [f"{estimate.write_units:,.10g} WCU"] if estimate.write_units or not units else []
    about = _about(estimate)
    first = (
        f"estimate: {'at most ' * estimate.at_most}{' and '.join(units)} for {about} {counted(estimate.items, 'item')}"
        f" ({estimate.bytes:,} bytes){' ' * bool(assuming)}{assuming}"
    )
    if compared:
        first += f", plus up to {compared:,.10g} RCU to compare"
    return "; ".join([first, *_rest(estimate, rate)])


def _rest(estimate: Estimate, rate: float | None) -> list[str]:
    """How long it takes, where the capacity is provisioned or a rate is kept."""
    if estimate.seconds is None:
        return []
    at = f"at {rate:g} units a second" if rate else "at the provisioned rate"
    return [f"{_span(estimate.seconds)} {at}" if estimate.seconds else "within burst capacity"]


def _about(estimate: Estimate) -> str:
    return "at most" if estimate.at_most else "about"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def of_scan(described: Mapping[str, Any], limit: int | None = None, selection: Selection | None = None) -> Estimate:
    """What reading the table costs, or its first ``limit`` items; AWS counts items and bytes every six hours.

    How many items a ``selection`` reads before it has those is not known: at most all.
    """
    items, size = described.get("ItemCount", 0), described.get("TableSizeBytes", 0)
    if limit is not None and limit < items and (selection is None or not selection.filter()):
        items, size = limit, size * limit // items
    at_most = selection is not None and (selection.pk is not None or limit is not None)
    return replace(estimates.scan(items=items, bytes=size), at_most=at_most)


def of_person(described: Mapping[str, Any]) -> Estimate:
    """The most that reading one person's conversations costs: as if all were theirs, each a query of the index and one
    of the table, and both rounded. How many are theirs is known only when they are read."""
    indexes = {each["IndexName"]: each for each in described.get("GlobalSecondaryIndexes", ())}
    index = indexes.get(schema.INDEX, {})
    whole = of_scan(described)
    # ministack says that every index is empty.
    rows, size = index.get("ItemCount") or whole.items, index.get("IndexSizeBytes") or whole.bytes
    entries = estimates.query(items=rows, bytes=size, index=schema.INDEX)
    rounded = Estimate(read_units=float(rows), indexes={schema.INDEX: rows / 2})
    return replace(estimates.add([whole, entries, rounded]), items=whole.items, bytes=whole.bytes, at_most=True)


def of_import(source: input_files.Source, *, compare: bool) -> Estimate:
    """What writing the items of files costs, where none of their keys is taken, and comparing them, where each is;
    standard input is read only once."""
    compared = 0.0

    def items() -> Iterator[Item]:
        nonlocal compared
        for _, item, _ in input_files.items(source) if source.files else ():
            compared += read_units(item_size(item), consistent=True) if compare else 0.0
            yield item

    written = estimates.puts(items(), indexes=[schema.GROUPS])
    return replace(written, read_units=compared)

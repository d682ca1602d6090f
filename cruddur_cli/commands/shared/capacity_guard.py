"""Estimates what a command will use of DynamoDB's capacity, and enforces ``--max-units`` and ``--rate``."""

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
from ...dynamodb.client import DynamoDB
from ...dynamodb.scanning import Selection
from ...errors import CruddurError
from ...output.text import counted
from ...settings import Settings


class ItemCounter:
    """Counts the items that are done: those that are written, and those that are already right."""

    def __init__(self) -> None:
        self.items = 0

    def counting(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """A function that counts the items that it is called with, and passes their number on to ``advance``."""

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
    resumes: bool = False,
    assuming: str = "",
) -> Iterator[None]:
    """Print the estimate, and keep the requests inside the block within ``--max-units`` and ``--rate``.

    The estimate is printed in production, in a dry run and with ``--explain``. ``estimate`` makes it out of
    DescribeTable's ``Table``, and ``assuming`` says in words what it assumes. In production, without ``--rate``, the
    rate is half of the provisioned capacity, so that the application has the rest. A dry run of a command that
    ``writes`` prints at its end what a real run would use.

    Raises Incomplete, code ``max_units``, before the limit is exceeded; the message has the number of items that are
    done. ``done`` counts them where the requests to this store do not. ``resumes`` says that the same command, run
    again, continues where it stopped.
    """
    if not (s.prod or s.explain or s.dry_run or s.rate or s.max_units):
        yield
        return
    description = tables.description(dynamodb)
    provisioned = estimates.throughput(description)
    rate = s.rate
    if rate is None and s.prod and provisioned is not None:
        rate = (provisioned.write if writes else provisioned.read) / 2
    estimated = estimates.with_time(estimate(description), provisioned, rate=rate)
    if s.prod or s.explain or s.dry_run:
        output.tell(sentence(estimated, rate=rate, assuming=assuming))
    if rate or s.max_units:
        items, size = description.get("ItemCount", 0), description.get("TableSizeBytes", 0)
        mean = size / items if items else 0.0
        dynamodb.limiter = RateLimiter(max_units=s.max_units, rate=rate, indexes=[schema.GROUPS], item_bytes=mean)
    used_before = dynamodb.meter.total()
    try:
        yield
        if s.dry_run and writes:
            reads = dynamodb.meter.total().read_units - used_before.read_units
            planned = Estimate(read_units=reads, write_units=dynamodb.meter.planned)
            planned = estimates.with_time(planned, provisioned, rate=rate)
            units = f"{planned.read_units:,.10g} RCU and {planned.write_units:,.10g} WCU"
            output.tell("; ".join([f"A real run would use {units}", *_rest(planned, rate)]))
    except CruddurError as error:
        if error.code == "max_units":
            items_of_requests = (row.items for row in dynamodb.meter.operations() if bool(row.write_units) == writes)
            count = done() if done else sum(items_of_requests)
            total = f"of {_about(estimated)} {estimated.items:,}"
            resume_hint = "run the same command again to resume"
            raise error.changed(
                message=f"{error.message} {counted(count, 'item is', 'items are')} done, {total}.",
                hint=resume_hint if resumes else "run it again with a higher --max-units",
            ) from error
        raise
    finally:
        dynamodb.halt()


def sentence(estimate: Estimate, *, rate: float | None, assuming: str = "") -> str:
    """An estimate in words: units, items and time.

    If the command writes, its reads are those that compare items with the table, and are named last.
    """
    compare_units = estimate.read_units if estimate.write_units else 0.0
    reads = estimate.read_units - compare_units
    units = [f"{reads:,.10g} RCU"] if reads else []
    units += [f"{estimate.write_units:,.10g} WCU"] if estimate.write_units or not units else []
    about = _about(estimate)
    text = (
        f"estimate: {'at most ' * estimate.at_most}{' and '.join(units)} for {about} {counted(estimate.items, 'item')}"
        f" ({estimate.bytes:,} bytes){' ' * bool(assuming)}{assuming}"
    )
    if compare_units:
        text += f", plus up to {compare_units:,.10g} RCU to compare"
    return "; ".join([text, *_rest(estimate, rate)])


def _rest(estimate: Estimate, rate: float | None) -> list[str]:
    """The estimated time as a list of one text; empty where the capacity is on demand and no rate is set."""
    if estimate.seconds is None:
        return []
    rate_text = f"at {rate:g} units a second" if rate else "at the provisioned rate"
    return [f"{_span(estimate.seconds)} {rate_text}" if estimate.seconds else "within burst capacity"]


def _about(estimate: Estimate) -> str:
    return "at most" if estimate.at_most else "about"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def of_scan(description: Mapping[str, Any], limit: int | None = None, selection: Selection | None = None) -> Estimate:
    """The estimate of reading the table, or its first ``limit`` items.

    AWS counts the table's items and bytes every six hours.

    With a ``limit`` and a ``selection`` that filters it is the whole table: how many items are read before enough match
    is not known.
    """
    items, size = description.get("ItemCount", 0), description.get("TableSizeBytes", 0)
    if limit is not None and limit < items and (selection is None or not selection.filter()):
        items, size = limit, size * limit // items
    at_most = selection is not None and (selection.pk is not None or limit is not None)
    return replace(estimates.scan(items=items, bytes=size), at_most=at_most)


def of_person(description: Mapping[str, Any]) -> Estimate:
    """The most that reading one person's conversations uses.

    It is as if all conversations were theirs, and each took a query of the index and one of the table, both rounded up.
    How many they have is known only after reading.
    """
    indexes = {one_index["IndexName"]: one_index for one_index in description.get("GlobalSecondaryIndexes", ())}
    index = indexes.get(schema.INDEX, {})
    table = of_scan(description)
    # ministack reports every index as empty.
    rows, size = index.get("ItemCount") or table.items, index.get("IndexSizeBytes") or table.bytes
    entries = estimates.query(items=rows, bytes=size, index=schema.INDEX)
    rounded = Estimate(read_units=float(rows), indexes={schema.INDEX: rows / 2})
    return replace(estimates.add([table, entries, rounded]), items=table.items, bytes=table.bytes, at_most=True)

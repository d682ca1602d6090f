"""``cruddur ddb scan`` and ``stats``: everything that the table holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Annotated, Any

import typer

from .. import output
from ..dynamodb import formats, memory, messages, scanning, tables
from ..dynamodb import stats as table_stats
from ..dynamodb.client import DynamoDB
from ..errors import BadInput
from ..settings import Settings
from . import costs, stores, transfer
from .options import command
from .transfer import Segments

Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most this many.")]
_SCREENFUL = 500


def register(app: typer.Typer) -> None:
    """Add the commands to their group."""
    command(app, shows=True, table=True, explains=True, paced=True)(scan)
    command(app, shows=True, table=True)(stats)


def scan(
    s: Settings,
    limit: Limit = None,
    segments: Segments = None,
    typed: Annotated[bool, typer.Option("--typed", help="DynamoDB JSON, which loses nothing.")] = False,
) -> None:
    """Show every item, grouped by entity on a terminal; streamed with -o jsonl, json or csv.

    cruddur ddb scan -o jsonl | wc -l
    """
    if typed and s.output not in {"json", "jsonl"}:
        raise BadInput("--typed is for JSON.", hint="-o jsonl")
    most = limit or (_SCREENFUL if s.output == "table" else None)
    with stores.dynamodb(s) as dynamodb, costs.kept(s, dynamodb, lambda table: costs.of_scan(table, most)):
        pages = _pages(dynamodb, segments, limit=most)
        if s.output == "jsonl":
            plain = pages if typed else map(_made_plain, pages)
            count = output.show_pages(s, plain, meter=dynamodb.meter)
        else:
            items = (item for page in pages for item in page)
            change = messages.decode if s.output == "table" else (lambda item: item) if typed else messages.plain
            count = output.show(
                s, map(change, items), draw=output.entities, columns=formats.COLUMNS, meter=dynamodb.meter
            )
        if s.output == "table" and limit is None and count == _SCREENFUL:
            output.note(s, f"The first {count} items; --limit shows more, -o jsonl all.")
        if not count:
            output.note(s, f"Table {s.table} on {dynamodb.at.label} is empty: cruddur ddb seed fills it.")


def stats(
    s: Settings,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, metavar="N", help="Read about this many items instead of all.")
    ] = None,
    segments: Segments = None,
) -> None:
    """Show what the table holds: items, bytes and capacity by entity, largest partitions, messages by day.

    cruddur ddb stats --sample 10000
    """
    with stores.dynamodb(s) as dynamodb:
        total = tables.describe(dynamodb).items
        pages = scanning.sample(dynamodb, sample) if sample else _pages(dynamodb, segments)
        with output.progress(s, "reading", min(sample or total, total)) as advance:
            found = table_stats.collect(_counted(pages, advance), sample=sample is not None)
        read = sum(row.items for row in found.entities)
        rest = {field.name: getattr(found, field.name) for field in fields(found) if field.name != "entities"}
        output.show(
            s,
            found.entities,
            draw=output.stats(found),
            meter=dynamodb.meter,
            extra={**rest, "sample": sample is not None, "items_in_table": total},
        )
        if sample:
            output.note(s, f"A sample: {read:,} of about {total:,} items were read, and nothing is scaled up.")


def _made_plain(page: list[Any]) -> list[Any]:
    """The page with plain items in place of typed ones, which go one by one."""
    for number, item in enumerate(page):
        page[number] = messages.plain(item)
    return page


def _pages(dynamodb: DynamoDB, segments: int | None, *, limit: int | None = None) -> Iterator[list[Any]]:
    """All pages, or those with the first ``limit`` items; in as many segments as were asked for, else as are best."""
    if limit is None:
        memory.give_back()
        return scanning.pages(dynamodb, plan=transfer.planned(dynamodb, tables.describe(dynamodb), segments))
    return scanning.pages(dynamodb, segments=segments or 1, limit=limit)


def _counted(pages: Iterator[list[Any]], advance: Callable[[int], None]) -> Iterator[Any]:
    for page in pages:
        yield from page
        advance(len(page))

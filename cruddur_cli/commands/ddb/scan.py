"""``cruddur ddb scan`` and ``stats``: show the items of the table, and what they use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import output
from ...errors import Again, BadInput
from ...output import github
from ...settings import Settings
from ..shared import completions
from ..shared.options import command
from . import transfer
from .transfer import Segments

if TYPE_CHECKING:
    from rich.console import Console

    from ...dynamodb import stats as table_stats
    from ...dynamodb import tables
    from ...dynamodb.capacity.meter import Meter
    from ...dynamodb.client import DynamoDB
    from ...dynamodb.scanning import Selection
    from ...dynamodb.schema import Item


Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Show at most N items.")]
_SCREENFUL = 500


class EntityFilter(StrEnum):
    """The values of ``--entity``: which rows of the single table are shown."""

    MESSAGE = "message"
    GROUP = "group"


@command(shows=True, table=True, explains=True, paced=True)
def scan(
    s: Settings,
    pk: Annotated[
        str | None,
        typer.Option(
            "--pk",
            metavar="KEY",
            autocompletion=completions.partition_keys,
            help="Query this partition key, such as MSG#ID or GRP#USER.",
        ),
    ] = None,
    entity: Annotated[
        EntityFilter | None, typer.Option("--entity", help="Only messages, or only message groups.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="NAME=VALUE",
            help="Only items with this attribute: a text, a number, true or false. Repeat it for several.",
        ),
    ] = None,
    limit: Limit = None,
    segments: Segments = None,
    typed: Annotated[bool, typer.Option("--typed", help="Print DynamoDB JSON, which keeps every type.")] = False,
) -> None:
    """Show every item of the table. A terminal shows them by entity; -o jsonl, json and csv print them as they arrive.

    --pk reads one partition instead of the table. --entity and --where hide items after they are read: they do not
    reduce the consumed capacity. --where compares whole texts, numbers, true and false. For binary values, sets, lists
    and maps use -o jsonl and jq.

    cruddur ddb scan --entity message --where user_handle=bayko
    """
    from ..shared import capacity_guard, connections

    if typed and s.output not in {"json", "jsonl"}:
        raise BadInput("--typed works only with -o json or -o jsonl.", again=Again(("-o", "jsonl")))
    most = limit or (_SCREENFUL if s.output == "table" else None)
    selection = _selection(pk, entity, where or [])
    if selection and selection.pk is not None and segments:
        raise BadInput(
            "--segments is for reading the whole table, and --pk names one partition.",
            again=Again(without=("--segments",)),
        )
    with (
        connections.dynamodb(s) as dynamodb,
        capacity_guard.limited(s, dynamodb, lambda table: capacity_guard.of_scan(table, most, selection)),
    ):
        pages = _pages(dynamodb, segments, limit=most, selection=selection)
        if s.output == "jsonl" and not s.svg:
            count = output.show_pages(s, pages if typed else map(_made_plain, pages), meter=dynamodb.meter)
        else:
            count = _show_items(s, dynamodb, (item for page in pages for item in page), typed=typed)
        if s.output == "table" and limit is None and count == _SCREENFUL:
            output.note(s, f"The first {count} items; --limit shows more, -o jsonl all.")
        if not count:
            output.note(s, _why_empty(s, dynamodb, selection, where or []))


def _show_items(s: Settings, dynamodb: DynamoDB, items: Iterable[Item], *, typed: bool) -> int:
    """Show the items in the format of ``-o``; returns their number."""
    from ...dynamodb import schema
    from ...dynamodb.conversations import queries

    convert = queries.decode if s.output == "table" else (lambda item: item) if typed else queries.plain
    draw: Callable[[Console, Sequence[Any]], None] = output.entities
    if s.summary if s.output == "table" else s.svg:
        # The items are needed in a second form: plain for the summary of a job, or as rows for a picture.
        items = every_item = list(items)
        if s.output == "table":
            github.keep(s, list(map(queries.plain, every_item)), columns=schema.COLUMNS, meter=dynamodb.meter)
        else:
            rows = [queries.decode(item) for item in every_item[:_SCREENFUL]]
            draw = lambda out, _: output.entities(out, rows)  # noqa: E731
    return output.show(s, map(convert, items), draw=draw, columns=schema.COLUMNS, meter=dynamodb.meter)


def _why_empty(s: Settings, dynamodb: DynamoDB, selection: Selection | None, where: list[str]) -> str:
    """Why a scan shows no item."""
    if not selection:
        return f"Table {s.table} on {dynamodb.at.label} is empty: cruddur ddb seed{s.table_option} fills it."
    is_nested = any(sign in condition.partition("=")[0] for condition in where for sign in ".[")
    remark = " --where compares whole attributes, and does not look into lists and maps." if is_nested else ""
    return f"No item of table {s.table} on {dynamodb.at.label} matches.{remark}"


def _selection(pk: str | None, entity: EntityFilter | None, where: list[str]) -> Selection | None:
    """The selection of the options; None for the whole table. Raises BadInput where they contradict each other."""
    from ...dynamodb import scanning

    conditions: dict[str, str] = {} if pk is None else {"pk": pk}
    for condition in where:
        name, is_pair, value = condition.partition("=")
        if not name or not is_pair:
            raise BadInput(
                f"--where {condition!r} is not NAME=VALUE.", hint="write NAME=VALUE, as in --where user_handle=bayko"
            )
        if conditions.setdefault(name, value) != value:
            raise BadInput(f"--where names {name} twice, with {conditions[name]!r} and {value!r}: no item has both.")
    pk = conditions.pop("pk", None)
    if pk == "" or conditions.get("sk") == "":
        raise BadInput("The partition key or the sort key to look for is empty.")
    prefix = scanning.PREFIXES[entity] if entity else ""
    if pk is not None and not pk.startswith(prefix):
        raise BadInput(f"The partition key of a {entity} begins with {prefix}, and {pk!r} does not.")
    if pk is None and entity is None and not conditions:
        return None
    return scanning.Selection(pk, entity.value if entity and pk is None else None, tuple(conditions.items()))


@command(shows=True, table=True)
def stats(
    s: Settings,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample", min=1, metavar="N", help="Read about N items instead of all; never costs more than reading all."
        ),
    ] = None,
    segments: Segments = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Read this export instead of the table: a file, or the folder of DynamoDB's own export.",
        ),
    ] = None,
) -> None:
    """Show what the table holds and what reading it costs. Also shows the largest partitions, and messages by day.

    With --from it reads only the file, and uses no capacity.

    cruddur ddb stats --sample 10000
    """
    from ...dynamodb import scanning, tables
    from ...dynamodb import stats as table_stats
    from ..shared import connections

    if source is not None:
        if sample or segments:
            raise BadInput("--from always reads the whole export.", again=Again(without=("--sample", "--segments")))
        _stats_of_export(s, source)
        return
    with connections.dynamodb(s) as dynamodb:
        table = tables.describe(dynamodb)
        total = table.items
        parts = scanning.sample_parts(sample, items=total, size=table.bytes) if sample else 0
        pages = scanning.sample(dynamodb, sample, parts=parts) if sample and parts else _pages(dynamodb, segments)
        with output.progress(s, "reading", min(sample or total, total)) as advance:
            statistics = table_stats.collect(_items(pages, advance), sample=parts > 0)
        read_items, read_bytes = (sum(getattr(row, name) for row in statistics.entities) for name in ("items", "bytes"))
        _show_stats(s, statistics, meter=dynamodb.meter, sample=parts > 0, items_in_table=total)
        if parts:
            output.note(
                s, f"A sample: {read_items:,} of about {total:,} items were read. The numbers are not scaled up."
            )
        elif sample:
            output.note(s, f"All {read_items:,} items were read: a sample of {sample:,} would cost as much.")
        if not parts and (read_items, read_bytes) != (total, table.bytes):
            output.note(s, _why_sizes_differ(dynamodb, table, read_items, read_bytes))


def _why_sizes_differ(dynamodb: DynamoDB, table: tables.Table, items: int, size: int) -> str:
    reason = (
        "DynamoDB counts them about every six hours"
        if not dynamodb.at.local
        else f"{dynamodb.at.label} counts bytes by its own rules; this command counts them by DynamoDB's rules"
    )
    described, counted_here = f"{table.items:,} items and {table.bytes:,} bytes", f"{items:,} and {size:,}"
    return f"describe-table says {described}, this command {counted_here}: {reason}."


def _stats_of_export(s: Settings, name: str) -> None:
    from ...dynamodb import stats as table_stats
    from ...dynamodb.transfer import input_files

    source = input_files.find(name, None)
    items = (item for _, item, _ in input_files.items(source))
    with output.progress(s, "reading", None) as advance:
        statistics = table_stats.collect(_advancing(items, advance), sample=False)
    _show_stats(s, statistics, meter=None, sample=False, items_in_table=None)
    output.note(s, f"read from {source.name}; the table was not read")


def _advancing(items: Iterator[Any], advance: Callable[[int], None]) -> Iterator[Any]:
    for item in items:
        yield item
        advance(1)


def _show_stats(
    s: Settings, statistics: table_stats.Stats, *, meter: Meter | None, sample: bool, items_in_table: int | None
) -> None:
    from ...dynamodb import stats as table_stats

    details = {field.name: getattr(statistics, field.name) for field in fields(statistics) if field.name != "entities"}
    extra = {**details, "sample": sample, "items_in_table": items_in_table}
    output.show(
        s, statistics.entities, record=table_stats.Entity, draw=output.stats(statistics), meter=meter, extra=extra
    )


def _made_plain(page: list[Any]) -> list[Any]:
    """The page, with each typed item replaced by its plain form. Replacing one by one frees the typed items early."""
    from ...dynamodb.conversations import queries

    for number, item in enumerate(page):
        page[number] = queries.plain(item)
    return page


def _pages(
    dynamodb: DynamoDB, segments: int | None, *, limit: int | None = None, selection: Selection | None = None
) -> Iterator[list[Any]]:
    """The pages of the table, or those with the first ``limit`` items, in ``segments`` or in as many as are best."""
    from ...dynamodb import scanning, tables

    if selection is not None and (limit is not None or selection.pk is not None):
        return scanning.pages(dynamodb, segments=segments or 1, limit=limit, selection=selection)
    if limit is None:
        scanning.give_memory_back()
        plan = transfer.planned(dynamodb, tables.describe(dynamodb), segments)
        return scanning.pages(dynamodb, plan=plan, selection=selection)
    return scanning.pages(dynamodb, segments=segments or 1, limit=limit)


def _items(pages: Iterator[list[Any]], advance: Callable[[int], None]) -> Iterator[Any]:
    for page in pages:
        yield from page
        advance(len(page))

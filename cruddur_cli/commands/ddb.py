"""``cruddur ddb``: the DynamoDB table and the conversations in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from .. import output, times
from ..dynamodb import formats, memory, messages, scanning, seeding, tables
from ..dynamodb import stats as table_stats
from ..dynamodb.client import DynamoDB
from ..dynamodb.conversation import Line, Person
from ..errors import BadInput, NotFound
from ..postgres import users
from ..settings import SEEDED_GROUP, Settings
from . import confirm, costs, sending, steps, stores, stream, transfer
from .options import command
from .transfer import Segments

app = typer.Typer()
app.add_typer(stream.app, name="stream")

OnDemand = Annotated[bool, typer.Option("--on-demand", help="Pay per request instead of 5 RCU / 5 WCU.")]
Streamed = Annotated[bool, typer.Option("--stream", help="With a stream of new items; added where it is missing.")]
Year = Annotated[int | None, typer.Option("--year", help="Only this year (UTC), as the application asks for it.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Not before this date or time (local unless it says).")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Before this time; a bare date is included.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most this many.")]
Script = Annotated[
    str | None,
    typer.Option("--script", metavar="FILE", help="A conversation of lines `Person 1: …`, `Person 2: …`; - is stdin."),
]
Count = Annotated[
    int | None, typer.Option("--messages", min=1, metavar="N", help="Repeat the script up to N messages.")
]
_SCREENFUL = 500


@command(app, shows=True, changes=True, asks=True, table=True, waits=True, handles=True)
def setup(
    s: Settings,
    script: Script = None,
    count: Count = None,
    on_demand: OnDemand = False,
    with_stream: Streamed = False,
) -> None:
    """Make the table and seed the conversation, where they are missing. Safe to run every time."""
    lines, source = steps.read_script(script)
    pair = steps.people(s)
    with stores.dynamodb(s, changes=True) as dynamodb:
        confirm.replace(s, what=f"table {s.table}", name=s.table, remote=_is_remote(dynamodb))
        made = steps.make_table(s, dynamodb, on_demand=on_demand, stream=with_stream)
        output.note(s, f"table {s.table}: {'created' if made else 'there'}")
        _seed_and_show(s, dynamodb, pair, lines, source, count, missing=made and s.dry_run)


@command(app, shows=True, changes=True, asks=True, table=True, handles=True)
def reset(
    s: Settings,
    script: Script = None,
    count: Count = None,
    on_demand: OnDemand = False,
    with_stream: Streamed = False,
) -> None:
    """Drop the table with everything in it, make it anew and seed it."""
    lines, source = steps.read_script(script)
    pair = steps.people(s)
    with stores.dynamodb(s, changes=True) as dynamodb:
        _drop(s, dynamodb)
        if not s.dry_run:
            steps.make_table(s, dynamodb, on_demand=on_demand, stream=with_stream)
        _seed_and_show(s, dynamodb, pair, lines, source, count, missing=s.dry_run)


@command(app, shows=True)
def list_tables(s: Settings) -> None:
    """List the tables of the account and region."""
    with stores.dynamodb(s) as dynamodb:
        if not output.show(s, tables.names(dynamodb)):
            output.note(s, f"There is no table on {dynamodb.at.label}: cruddur ddb setup makes one.")


@command(app, shows=True, table=True)
def describe_table(s: Settings) -> None:
    """Show the table: keys, index, billing, stream, size."""
    with stores.dynamodb(s) as dynamodb:
        table = tables.describe(dynamodb)
    output.show(s, [table], draw=output.details)
    for difference in tables.differences(table):
        output.warn(f"not as the application expects: {difference}")


@command(app, changes=True, table=True, waits=True)
def schema_load(s: Settings, on_demand: OnDemand = False, with_stream: Streamed = False) -> None:
    """Make the table with its index, and wait until it takes writes. One that is there and fits is left alone."""
    with stores.dynamodb(s, changes=True) as dynamodb:
        made = steps.make_table(s, dynamodb, on_demand=on_demand, stream=with_stream)
    output.note(s, f"table {s.table}: {('would be created' if s.dry_run else 'created') if made else 'already there'}")


@command(app, changes=True, asks=True, table=True)
def drop(
    s: Settings, if_exists: Annotated[bool, typer.Option("--if-exists", help="No error where there is none.")] = False
) -> None:
    """Drop the table with everything in it."""
    with stores.dynamodb(s, changes=True) as dynamodb:
        if not _drop(s, dynamodb) and not if_exists:
            raise NotFound(
                f"There is no table {s.table!r} on {dynamodb.at.label}.", hint="--if-exists", code="table_not_found"
            )


@command(app, shows=True, changes=True, asks=True, table=True, handles=True, paced=True)
def seed(s: Settings, script: Script = None, count: Count = None) -> None:
    """Seed the written conversation between two people. Again leaves the same rows; other messages stay.

    cruddur ddb seed --my-handle londo --other-handle altbrown
    """
    lines, source = steps.read_script(script)
    pair = steps.people(s)
    with stores.dynamodb(s, changes=True) as dynamodb:
        confirm.replace(s, what=f"table {s.table}", name=s.table, remote=_is_remote(dynamodb))
        _seed_and_show(s, dynamodb, pair, lines, source, count, replace_others=True)


@command(app, shows=True, table=True, explains=True, paced=True)
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
            plain = pages if typed else (list(map(messages.plain, page)) for page in pages)
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


@command(app, shows=True, table=True)
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


@command(app, shows=True, table=True, handles=True, explains=True)
def list_conversations(
    s: Settings,
    handle: Annotated[str | None, typer.Argument(metavar="[HANDLE]", help="Whose; by default yours.")] = None,
    year: Year = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
) -> None:
    """List a person's conversations, newest first, with the other person and the last message."""
    window = times.window(year=year, since=since, until=until)
    with stores.postgres(s) as conn:
        user = users.find(conn, handle or s.my_handle)
    with stores.dynamodb(s) as dynamodb:
        groups = messages.list_groups(dynamodb, user.uuid, window=window, limit=limit)
        why = "" if groups else _why(s, dynamodb, f"{user.handle} has no conversation", f"GRP#{user.uuid}", window)
        output.show(s, groups, draw=output.inbox, meter=dynamodb.meter)
    if why:
        output.note(s, why)


@command(app, shows=True, table=True, handles=True, explains=True)
def get_conversation(
    s: Settings,
    group: Annotated[str | None, typer.Argument(metavar="[GROUP]", help="Which; by default the seeded one.")] = None,
    partner: Annotated[
        str | None, typer.Option("--with", metavar="HANDLE", help="The one between you and this person.")
    ] = None,
    year: Year = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most this many, the last ones.")] = 20,
) -> None:
    """Show a conversation, oldest message first; on a terminal it reads like a chat.

    cruddur ddb get-conversation --with bayko --limit 50
    """
    if group and partner:
        raise BadInput("GROUP and --with name two conversations: give one of them.")
    window = times.window(year=year, since=since, until=until)
    found = (users_pair(s, partner) if partner else None, group or SEEDED_GROUP)
    with stores.dynamodb(s) as dynamodb:
        uuid = _find(s, dynamodb, *found[0]) if found[0] else found[1]
        read = messages.latest(dynamodb, uuid, window=window, limit=limit)
        why = "" if read else _why(s, dynamodb, f"Conversation {uuid} has no message", f"MSG#{uuid}", window)
        output.show(s, read, draw=output.chat(s.my_handle), meter=dynamodb.meter)
    if why:
        output.note(s, why)


sending.register(app)
transfer.register(app)


def users_pair(s: Settings, partner: str) -> tuple[users.User, users.User]:
    """The reader and the person they name. Raises NotFound."""
    with stores.postgres(s) as conn:
        return users.find(conn, s.my_handle), users.find(conn, partner)


def _find(s: Settings, dynamodb: DynamoDB, mine: users.User, other: users.User) -> str:
    group = messages.find_group(dynamodb, mine=mine.uuid, other=Person(other.uuid, other.handle, other.display_name))
    if group is None:
        raise NotFound(
            f"{mine.handle} and {other.handle} have no conversation in table {s.table!r}.",
            hint=f"cruddur ddb list-conversations {mine.handle}",
            code="conversation_not_found",
        )
    return group.message_group_uuid


def _seed_and_show(
    s: Settings,
    dynamodb: DynamoDB,
    pair: tuple[Person, Person],
    lines: list[Line],
    source: str,
    count: int | None,
    *,
    missing: bool = False,
    replace_others: bool = False,
) -> None:
    """Seed and show what was done; with ``missing`` (a dry run, no table yet) there is nothing to compare with."""
    if missing:
        done = [
            seeding.Seeded("messages", count or len(lines), 0, 0),
            seeding.Seeded("message groups", 2, 0, 0),
        ]
    else:
        with costs.kept(s, dynamodb, lambda _: costs.of_seed(lines, pair, count), writes=True):
            done = steps.seed_conversation(s, dynamodb, pair, lines, source, count, replace_others=replace_others)
    totals = {name: sum(getattr(row, name) for row in done) for name in ("written", "unchanged", "deleted")}
    output.show(s, done, meter=dynamodb.meter, extra={**totals, "dry_run": s.dry_run})


def _drop(s: Settings, dynamodb: DynamoDB) -> bool:
    """Count what will be lost, ask, drop; False where there is no table."""
    try:
        table = tables.describe(dynamodb)
    except NotFound:
        return False
    losing = f"{table.items:,} items"
    if s.dry_run:
        output.note(s, f"table {s.table} would be dropped: {losing}")
        return True
    if not s.prod:
        tables.refuse_stamped(dynamodb)
    confirm.destroy(
        s, what=f"Table {s.table} on {dynamodb.at.label}", name=s.table, losing=losing, remote=_is_remote(dynamodb)
    )
    dropped = tables.drop(dynamodb, say=lambda text: output.note(s, text))
    output.note(s, f"table {s.table}: dropped")
    return dropped


def _is_remote(dynamodb: DynamoDB) -> bool:
    return dynamodb.at.url is None or stores.is_remote(urlsplit(dynamodb.at.url).hostname or "")


def _why(s: Settings, dynamodb: DynamoDB, nothing: str, pk: str, window: times.Window) -> str:
    """Why nothing was found: other years, the wrong store, an empty table. Asked before the capacity is shown."""
    around = messages.span(dynamodb, pk) if window != times.Window() else None
    if around:
        first, last = (output.when(text) for text in around)
        return f"{nothing} in that time; it has rows from {first} to {last}."
    items = tables.describe(dynamodb).items
    return f"{nothing}. Table {s.table} on {dynamodb.at.label} holds {items:,} items" + (
        "." if items else ": cruddur ddb seed fills it."
    )

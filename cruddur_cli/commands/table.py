"""``cruddur ddb``: the table itself, made, described, seeded, dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated

import typer

from .. import output
from ..dynamodb import seeding, tables
from ..dynamodb.client import DynamoDB
from ..dynamodb.conversation import Line, Person
from ..errors import NotFound
from ..output.text import counted
from ..settings import Settings
from . import confirm, costs, steps, stores
from .options import command

OnDemand = Annotated[bool, typer.Option("--on-demand", help="Pay per request instead of 5 RCU / 5 WCU.")]
Streamed = Annotated[bool, typer.Option("--stream", help="With a stream of new items; added where it is missing.")]
Script = Annotated[
    str | None,
    typer.Option("--script", metavar="FILE", help="A conversation of lines `Person 1: …`, `Person 2: …`; - is stdin."),
]
Count = Annotated[
    int | None, typer.Option("--messages", min=1, metavar="N", help="Repeat the script up to N messages.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to their group."""
    command(app, shows=True, changes=True, asks=True, table=True, waits=True, handles=True)(setup)
    command(app, shows=True, changes=True, asks=True, table=True, handles=True)(reset)
    command(app, shows=True)(list_tables)
    command(app, shows=True, table=True)(describe_table)
    command(app, changes=True, table=True, waits=True)(schema_load)
    command(app, changes=True, asks=True, table=True)(drop)
    command(app, shows=True, changes=True, asks=True, table=True, handles=True, paced=True)(seed)


def setup(
    s: Settings,
    script: Script = None,
    count: Count = None,
    on_demand: OnDemand = False,
    with_stream: Streamed = False,
) -> None:
    """Make the table and seed the conversation, where they are missing. Safe to run every time."""
    with _seeding(s, script, count) as (dynamodb, fill):
        confirm.replace(s, what=f"table {s.table}", name=s.table, remote=stores.is_far(dynamodb.at))
        made = steps.make_table(s, dynamodb, on_demand=on_demand, stream=with_stream)
        output.note(s, f"table {s.table}: {'created' if made else 'there'}")
        fill(missing=made and s.dry_run)


def reset(
    s: Settings,
    script: Script = None,
    count: Count = None,
    on_demand: OnDemand = False,
    with_stream: Streamed = False,
) -> None:
    """Drop the table with everything in it, make it anew and seed it."""
    with _seeding(s, script, count) as (dynamodb, fill):
        _drop(s, dynamodb)
        if not s.dry_run:
            steps.make_table(s, dynamodb, on_demand=on_demand, stream=with_stream)
        fill(missing=s.dry_run)


def list_tables(s: Settings) -> None:
    """List the tables of the account and region."""
    with stores.dynamodb(s) as dynamodb:
        if not output.show(s, tables.names(dynamodb)):
            output.note(s, f"There is no table on {dynamodb.at.label}: cruddur ddb setup makes one.")


def describe_table(s: Settings) -> None:
    """Show the table: keys, index, billing, stream, size."""
    with stores.dynamodb(s) as dynamodb:
        table = tables.describe(dynamodb)
    output.show(s, [table], draw=output.details)
    for difference in tables.differences(table):
        output.warn(f"not as the application expects: {difference}")


def schema_load(s: Settings, on_demand: OnDemand = False, with_stream: Streamed = False) -> None:
    """Make the table with its index, and wait until it takes writes. One that is there and fits is left alone."""
    with stores.dynamodb(s, changes=True) as dynamodb:
        made = steps.make_table(s, dynamodb, on_demand=on_demand, stream=with_stream)
    output.note(s, f"table {s.table}: {('would be created' if s.dry_run else 'created') if made else 'already there'}")


def drop(
    s: Settings, if_exists: Annotated[bool, typer.Option("--if-exists", help="No error where there is none.")] = False
) -> None:
    """Drop the table with everything in it."""
    with stores.dynamodb(s, changes=True) as dynamodb:
        if not _drop(s, dynamodb) and not if_exists:
            raise NotFound(
                f"There is no table {s.table!r} on {dynamodb.at.label}.", hint="--if-exists", code="table_not_found"
            )


def seed(s: Settings, script: Script = None, count: Count = None) -> None:
    """Seed the written conversation between two people. Again leaves the same rows; other messages stay.

    cruddur ddb seed --my-handle londo --other-handle altbrown
    """
    with _seeding(s, script, count) as (dynamodb, fill):
        confirm.replace(s, what=f"table {s.table}", name=s.table, remote=stores.is_far(dynamodb.at))
        fill(replace_others=True)


@contextmanager
def _seeding(s: Settings, script: str | None, count: int | None) -> Iterator[tuple[DynamoDB, Callable[..., None]]]:
    """The store, and what seeds it and shows that; a script or a person that is missing ends it before anything is."""
    lines, source = steps.read_script(script)
    pair = steps.people(s)
    with stores.dynamodb(s, changes=True) as dynamodb:
        yield dynamodb, partial(_seed_and_show, s, dynamodb, pair, lines, source, count)


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
        new = "if nothing is seeded yet"
        with costs.kept(s, dynamodb, lambda _: costs.of_seed(lines, pair, count), writes=True, assuming=new):
            done = steps.seed_conversation(s, dynamodb, pair, lines, source, count, replace_others=replace_others)
    totals = {name: sum(getattr(row, name) for row in done) for name in ("written", "unchanged", "deleted")}
    output.show(s, done, meter=dynamodb.meter, extra={**totals, "dry_run": s.dry_run})


def _drop(s: Settings, dynamodb: DynamoDB) -> bool:
    """Count what will be lost, ask, drop; False where there is no table."""
    try:
        table = tables.describe(dynamodb)
    except NotFound:
        return False
    losing = counted(table.items, "item")
    if s.dry_run:
        output.note(s, f"table {s.table} would be dropped: {losing}")
        return True
    confirm.destroy(
        s,
        what=f"Table {s.table} on {dynamodb.at.label}",
        name=s.table,
        losing=losing,
        remote=stores.is_far(dynamodb.at),
    )
    dropped = tables.drop(dynamodb, say=lambda text: output.note(s, text))
    output.note(s, f"table {s.table}: dropped")
    return dropped

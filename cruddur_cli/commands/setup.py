"""``cruddur setup``: creates everything that Cruddur needs and that is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import output, settings
from ..output import github
from ..output.streams import is_narrow
from ..settings import Settings
from .shared.options import SQL_FILES, STATEMENT_TIMEOUT, NoMigrate, command

if TYPE_CHECKING:
    from ..dynamodb.client import DynamoDB
    from ..dynamodb.schema import MessageGroup
    from .shared import steps

_SHOWN = 3  # conversations, so that the output fits on one screen
NEXT = (
    ("cruddur ddb get-conversation", "read the conversation"),
    ("cruddur ddb scan", "show the single table"),
    ("cruddur db ping", "show which database it is"),
)


@command(
    shows=True,
    changes=True,
    asks=True,
    table=True,
    waits=True,
    handles=True,
    reports=True,
    also=SQL_FILES | STATEMENT_TIMEOUT,
)
def setup(
    s: Settings,
    script: Annotated[
        str | None,
        typer.Option("--script", metavar="FILE", help="Use this conversation file instead of the built-in one."),
    ] = None,
    no_migrate: NoMigrate = False,
) -> None:
    """Create what is missing in every store. Safe to run every time.

    It creates the database, users, user pool, table and conversation, and applies pending migrations. It asks
    before a migration deletes existing rows or columns. With --prod, or on a server outside this machine and its
    network, it only counts pending migrations.
    """
    from ..dynamodb.conversations import queries
    from .shared import confirm, connections, load_sql, migration_step, people, seeding, setup_steps, steps, targets

    settings.check_table_name(s.table, s.origins["table"])
    people.check(s)
    lines, source = seeding.read_script(script)
    at = targets.server(s)
    with connections.dynamodb(s, changes=True) as dynamodb:
        sentence = f"Mock data will be written to {at.label} and to table {s.table} where it is missing."
        confirm.replace(s, what=at.label, name=at.database, remote=targets.is_foreign(at), sentence=sentence)
        scripts = load_sql.Scripts(s)
        setup_steps.check_all(s, at, dynamodb, lines, source, scripts=scripts)
        done_steps: list[steps.Step] = []
        planned = migration_step.plan(s, at, wanted=not no_migrate)
        has_tables = setup_steps.make_database(
            s, at, done_steps, planned, scripts=scripts, check=lambda conn: people.check_pair(s, conn, at)
        )
        pending = migration_step.apply(s, at, done_steps, planned, has_tables=has_tables)
        setup_steps.make_pool(s, done_steps)
        unsynced = setup_steps.sync_step(s, done_steps)
        is_early = s.dry_run and any(step.changed for step in done_steps)
        pair, too_few = (None, None) if is_early else people.pair_if_any(s)
        setup_steps.make_messages(s, dynamodb, done_steps, pair, lines, source, too_few=too_few)
        groups = [] if s.dry_run or pair is None else queries.list_groups(dynamodb, pair[0].uuid)
        extra = {**steps.changes(done_steps), "pending": pending, "dry_run": s.dry_run}
        _show(s, dynamodb, done_steps, groups, extra)
    _tell_next(s)
    try:
        migration_step.report(s, done_steps, pending, unsynced)
    finally:
        if s.output == "table":  # for a person, the capacity is printed last
            output.used(s, dynamodb.meter, brief=True)


def _show(
    s: Settings,
    dynamodb: DynamoDB,
    done_steps: list[steps.Step],
    groups: list[MessageGroup],
    extra: dict[str, int | bool],
) -> None:
    """Show the newest conversations. The job summary gets the steps, and no texts of messages."""
    from ..dynamodb import schema

    github.keep(s, done_steps, extra=extra, meter=dynamodb.meter)
    draw = output.newest(_SHOWN, command=f"cruddur ddb list-conversations{' --prod' if s.prod else ''}")
    output.show(
        s,
        groups,
        draw=draw,
        picture=output.below(output.steps(dry_run=s.dry_run), done_steps, draw),
        record=schema.MessageGroup,
        meter=None if s.output == "table" else dynamodb.meter,
        extra=extra,
    )


def _tell_next(s: Settings) -> None:
    """Print the commands to run next."""
    if s.quiet:
        return
    flag = " --prod" if s.prod else ""
    gap = "\n    " if is_narrow() else "  "
    output.tell("\nNext:\n" + "\n".join(f"  {line + flag:<{30 + len(flag)}}{gap}{what}" for line, what in NEXT))

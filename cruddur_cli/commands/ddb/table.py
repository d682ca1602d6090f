"""``cruddur ddb``: creates, describes, seeds, resets and drops the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ... import output
from ...errors import CruddurError, Exit, NotFound
from ...output.text import counted
from ...settings import Settings
from ..shared.options import NoBackup, command

if TYPE_CHECKING:
    from ...dynamodb import table_settings
    from ...dynamodb.client import DynamoDB
    from ...dynamodb.conversations.seed import Seeded
    from ..shared import seeding


OnDemand = Annotated[
    bool,
    typer.Option(
        "--on-demand",
        help="Use on-demand billing instead of 5 provisioned RCU and WCU. Also switches an existing table.",
    ),
]
Streamed = Annotated[bool, typer.Option("--stream", help="Turn on the table's stream (NEW_IMAGE) if it has none.")]
Script = Annotated[
    str | None,
    typer.Option(
        "--script", metavar="FILE", help="Use this conversation file: lines `Person 1: …`, `Person 2: …`. - is stdin."
    ),
]
Count = Annotated[
    int | None,
    typer.Option("--messages", min=1, metavar="N", help="Seed N messages. A shorter script is repeated."),
]


@command(shows=True, changes=True, asks=True, table=True, waits=True, handles=True, reports=True)
def setup(
    s: Settings,
    script: Script = None,
    count: Count = None,
    on_demand: OnDemand = False,
    with_stream: Streamed = False,
) -> None:
    """Create the table if it is missing. Then seed it, new or not. Safe to run every time."""
    from ..shared import confirm, connections, seeding, setup_steps, targets

    planned = seeding.plan(s, script, count)
    with connections.dynamodb(s, changes=True) as dynamodb:
        confirm.replace(s, what=f"table {s.table}", name=s.table, remote=targets.is_far(dynamodb.at))
        is_created = setup_steps.make_table(s, dynamodb, on_demand=on_demand, stream=with_stream)
        would = "would be " if s.dry_run else ""
        output.outcome(
            s, f"table {s.table}: {f'{would}created' if is_created else 'exists already'}", changed=is_created
        )
        results = _seed(s, dynamodb, planned, has_table=not (is_created and s.dry_run))
    if not is_created and not any(row.written or row.deleted for row in results):
        output.unchanged(s, "The conversation was not changed: the table has every message of it.")


@command(shows=True, changes=True, asks=True, table=True, handles=True, reports=True)
def reset(
    s: Settings,
    script: Script = None,
    count: Count = None,
    on_demand: OnDemand = False,
    with_stream: Streamed = False,
    no_backup: NoBackup = False,
) -> int:
    """Drop the table, create it again and seed it. Everything in it is lost.

    It first checks the script, the people, and your rights to create and fill the table. Billing, stream, time to live,
    point-in-time recovery, tags and deletion protection are kept. With --prod a backup is taken first.
    """
    from ...dynamodb import table_settings
    from ..shared import confirm, connections, seeding, setup_steps, targets

    planned = seeding.plan(s, script, count)
    with connections.dynamodb(s, changes=True) as dynamodb:
        old_settings = _settings(dynamodb)
        if old_settings is None:
            confirm.replace(s, what=f"table {s.table}", name=s.table, remote=targets.is_far(dynamodb.at))
        if old_settings is not None and not s.dry_run:
            table_settings.check_rights(dynamodb, old_settings)
        _drop(s, dynamodb, keep=not no_backup, lost=old_settings.lost() if old_settings else [])
        failures: list[str] = []
        if not s.dry_run:
            setup_steps.make_table(s, dynamodb, on_demand=on_demand, stream=with_stream, like=old_settings)
            failures = table_settings.restore(dynamodb, old_settings) if old_settings else []
        if old_settings is not None:
            output.note(s, f"settings {'that would be kept' if s.dry_run else 'kept'}: {old_settings}")
        try:
            _seed(s, dynamodb, planned, has_table=not s.dry_run)
        except CruddurError as error:
            if s.dry_run or old_settings is None:
                raise
            raise error.adding("The table was dropped and created again; `cruddur ddb seed` seeds it.") from error
    for reason in failures:
        output.warn(f"table {s.table}: a setting could not be turned on again: {reason}")
    return Exit.NO if failures else Exit.DONE


def _settings(dynamodb: DynamoDB) -> table_settings.TableSettings | None:
    from ...dynamodb import table_settings

    try:
        return table_settings.read(dynamodb)
    except NotFound:
        return None


@command(shows=True)
def list_tables(s: Settings) -> None:
    """List the tables of the account and region."""
    from ...dynamodb import tables
    from ..shared import connections

    with connections.dynamodb(s) as dynamodb:
        if not output.show(s, tables.names(dynamodb), record=tables.TableName):
            output.note(s, f"There is no table on {dynamodb.at.label}: cruddur ddb setup creates one.")


@command(shows=True, table=True)
def describe_table(s: Settings) -> None:
    """Show the table: keys, index, billing, stream, size."""
    from ...dynamodb import tables
    from ..shared import connections

    with connections.dynamodb(s) as dynamodb:
        table = tables.describe(dynamodb)
    output.show(s, [table], draw=output.details)
    when = "about every six hours" if not dynamodb.at.local else f"by {dynamodb.at.label} by its own rules"
    output.note(s, f"Items and bytes are counted {when}; cruddur ddb stats reads the table and counts them now.")
    for difference in tables.differences(table):
        output.warn(f"table {s.table} differs from what the application expects: {difference}")


@command(changes=True, table=True, waits=True, reports=True)
def schema_load(s: Settings, on_demand: OnDemand = False, with_stream: Streamed = False) -> None:
    """Create the table and its index if they are missing. A correct table is not changed."""
    from ..shared import connections, setup_steps

    with connections.dynamodb(s, changes=True) as dynamodb:
        is_created = setup_steps.make_table(s, dynamodb, on_demand=on_demand, stream=with_stream)
    result = ("would be created" if s.dry_run else "created") if is_created else "exists already"
    output.outcome(s, f"table {s.table}: {result}", changed=is_created)


@command(changes=True, asks=True, table=True)
def drop(
    s: Settings,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="Report success if the table does not exist.")] = False,
    no_backup: NoBackup = False,
) -> None:
    """Drop the table with everything in it. With --prod a backup is taken first."""
    from ..shared import connections

    with connections.dynamodb(s, changes=True) as dynamodb:
        if not _drop(s, dynamodb, keep=not no_backup) and not if_exists:
            raise NotFound(
                f"There is no table {s.table!r} on {dynamodb.at.label}.",
                hint="pass --if-exists if the table may be missing",
                code="table_not_found",
            )


@command(shows=True, changes=True, asks=True, table=True, handles=True, paced=True, reports=True)
def seed(s: Settings, script: Script = None, count: Count = None) -> None:
    """Seed the script's conversation between two people. Safe to repeat. Messages that people wrote are kept.

    cruddur ddb seed --my-handle londo --other-handle altbrown
    """
    from ..shared import confirm, connections, seeding, targets

    planned = seeding.plan(s, script, count)
    with connections.dynamodb(s, changes=True) as dynamodb:
        confirm.replace(s, what=f"table {s.table}", name=s.table, remote=targets.is_far(dynamodb.at))
        _seed(s, dynamodb, planned)


def _seed(s: Settings, dynamodb: DynamoDB, planned: seeding.SeedPlan, *, has_table: bool = True) -> list[Seeded]:
    """Seed, and show the result. In a dry run without a table, everything would be written."""
    from ...dynamodb.conversations import seed as conversation_seed
    from ..shared import capacity_guard, seeding

    if has_table:
        with capacity_guard.limited(
            s, dynamodb, lambda _: seeding.estimate(planned), writes=True, assuming="if nothing is seeded yet"
        ):
            results = seeding.seed_conversation(s, dynamodb, planned)
    else:
        results = [
            conversation_seed.Seeded("messages", planned.count, 0, 0),
            conversation_seed.Seeded("message groups", 2, 0, 0),
        ]
    totals = {name: sum(getattr(row, name) for row in results) for name in ("written", "unchanged", "deleted")}
    output.show(
        s, results, record=conversation_seed.Seeded, meter=dynamodb.meter, extra={**totals, "dry_run": s.dry_run}
    )
    return results


def _drop(s: Settings, dynamodb: DynamoDB, *, keep: bool, lost: Sequence[str] = ()) -> bool:
    """Count what will be lost, ask, take a backup of a production table, and drop it; False where there is no table.

    ``lost`` names what a table that is created again cannot have.
    """
    from ...dynamodb import tables
    from ..shared import confirm, targets
    from . import way_back

    try:
        table = tables.describe(dynamodb)
    except NotFound:
        return False
    losing = "; ".join([counted(table.items, "item"), *lost])
    has_backup = keep and s.prod
    if s.dry_run:
        first = "; a backup would be taken first" * has_backup
        output.note(s, f"table {s.table} would be dropped: {losing}{first}", losing=losing)
        return True
    is_protected = s.prod and table.deletion_protection
    if not is_protected:
        tables.refuse_protected(dynamodb, table)  # refused here, before a backup is taken
    confirm.destroy(
        s,
        what=f"Table {s.table} on {dynamodb.at.label}",
        name=s.table,
        losing=losing
        + (" (a backup is taken first)" * has_backup)
        + ("; deletion protection is turned off" * is_protected),
        remote=targets.is_far(dynamodb.at),
    )
    if has_backup:
        way_back.backup_first(s, dynamodb)
    say = lambda text: output.note(s, text)  # noqa: E731
    if is_protected:
        tables.unprotect(dynamodb, say=say)
    dropped = tables.drop(dynamodb, say=say)
    output.done(s, f"table {s.table}: dropped")
    return dropped

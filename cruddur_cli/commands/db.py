"""``cruddur db``: the PostgreSQL database and the people in it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

import typer

from .. import output
from ..errors import Exit, NotFound
from ..output.text import counted
from ..postgres import connection, database, effects, locks, sessions, stamp, users
from ..settings import Settings
from . import confirm, files, loading, steps, stores
from . import migrations as migration_commands
from . import sessions as session_commands
from .options import command

File = Annotated[str | None, typer.Option("--file", metavar="FILE", help="Another file of SQL; - is stdin.")]

app = typer.Typer()
_NAMED = 5


@command(app, shows=True, changes=True, asks=True, waits=True)
def setup(s: Settings) -> None:
    """Make the database, its tables and the seeded users, where they are missing. Safe to run every time."""
    at = stores.server(s)
    confirm.replace(s, what=at.label, name=at.database, remote=stores.is_foreign(at))
    done: list[steps.Step] = []
    steps.make_database(s, done)
    if s.output != "table":
        output.show(s, done, extra={**steps.changes(done), "dry_run": s.dry_run})


@command(app, changes=True, waits=True)
def create(s: Settings) -> None:
    """Make the database. One that is there is left alone."""
    at = stores.server(s)
    stores.acting_on(s, at)
    with connection.opened_maintenance(at) as conn:
        made = not s.dry_run and database.create(conn, at.database)
        there = not made and database.exists(conn, at.database)
    output.note(s, f"database {at.database}: {'created' if made else 'already there' if there else 'would be created'}")


@command(app, changes=True, asks=True)
def drop(
    s: Settings, if_exists: Annotated[bool, typer.Option("--if-exists", help="No error where there is none.")] = False
) -> None:
    """Drop the database with everything in it, ending the sessions that use it."""
    at = stores.server(s)
    stores.acting_on(s, at)
    if not _drop(s, at) and not if_exists:
        raise NotFound(f"There is no {at.label}.", hint="--if-exists", code="database_not_found")


@command(app, shows=True, changes=True, asks=True, waits=True)
def reset(s: Settings) -> None:
    """Drop the database and make it anew, with tables and seeded users."""
    at = stores.server(s)
    stores.acting_on(s, at)
    _drop(s, at)
    done: list[steps.Step] = []
    steps.make_database(s, done, anew=True)
    if s.output != "table":
        output.show(s, done, extra={**steps.changes(done), "dry_run": s.dry_run})


def _drop(s: Settings, at: connection.Server) -> bool:
    """Count what will be lost and who is connected, ask, drop; False where there is no such database."""
    with connection.opened_maintenance(at) as conn:
        if not database.exists(conn, at.database):
            return False
        connected = sessions.find(conn, at.database)
    with stores.postgres(s, at=replace(at, read_only=True)) as conn:
        losing = database.tell_rows(conn)
    for session in connected:
        output.note(s, f"connected: {session.user} from {session.client_addr or 'here'} ({session.application_name})")
    losing += f"; {counted(len(connected), 'session ends', 'sessions end')}" if connected else ""
    if s.dry_run:
        output.note(s, f"{at.label} would be dropped: {losing}")
        return True
    stores.refuse_stamped(s, at)
    confirm.destroy(s, what=at.label, name=at.database, losing=losing, remote=stores.is_foreign(at))
    with connection.opened_maintenance(at) as conn:
        dropped = database.drop(conn, at.database)
    output.note(s, f"database {at.database}: dropped")
    return dropped


@command(app, changes=True, asks=True)
def schema_load(s: Settings, file: File = None) -> None:
    """Load the schema, all of it or nothing: the tables that the file names anew. Asks when rows would be lost.

    What else is in the database stays, such as what migrations made; `db reset` makes all anew. Into an empty database
    also what pg_dump wrote, with its rows.
    """
    script = files.schema(s, file)
    at = stores.server(s)
    stores.acting_on(s, at)
    with stores.postgres(s, at=at) as conn, locks.guarded(conn, at):
        if not s.dry_run:
            locks.take(conn, say=lambda text: output.note(s, text))
        held = database.filled(database.rows(conn))
        lost = effects.lost(script.text, [table.table for table in held])
        filled = [table for table in held if table.table in lost]
        losing = ", ".join(f"{table.rows:,} {table.table}" for table in filled)
        loading.warn_of_rest(conn, script)
        if s.dry_run:
            output.note(s, f"the schema would be loaded; lost: {losing or 'nothing'}")
            return
        if not s.prod:
            stamp.refuse(conn, at.label)
        if filled:
            what = f"The tables of {at.label}"
            confirm.destroy(s, what=what, name=at.database, losing=losing, remote=stores.is_foreign(at))
        loading.schema(s, conn, at, script)
    output.note(s, "schema: loaded")


@command(app, shows=True, changes=True, asks=True)
def seed(s: Settings, file: File = None) -> None:
    """Seed users and activities. Again adds nothing; people who are there keep their ids.

    Asks first where the file deletes or changes rows itself.
    """
    script = files.seed(s, file)
    at = stores.server(s)
    losing = effects.losing(script.text)
    if not losing:
        confirm.replace(s, what=at.label, name=at.database, remote=stores.is_foreign(at))
    with stores.postgres(s, changes=True, at=at) as conn:
        steps.refuse_mock_data(s, conn, at)
        if losing:
            loading.confirm_seed(s, conn, at, script, losing)
        before = database.rows(conn)
        written = 0 if s.dry_run else loading.seed(s, conn, at, script)
        tables = database.rows(conn)
    deleted = database.added(tables, before)
    extra = {"written": written, **({"deleted": deleted} if losing else {}), "dry_run": s.dry_run}
    output.show(s, tables, extra=extra)
    if s.dry_run:
        output.note(s, "users and activities that are missing would be added")
    else:
        output.note(s, f"{counted(written, 'row')} added" + (f", {deleted:,} gone" if deleted else ""))


@command(app, shows=True, changes=True)
def add_user(
    s: Settings,
    handle: Annotated[str, typer.Argument(help="The new person's handle.")],
    name: Annotated[str | None, typer.Option("--name", help="The name that is shown; else the handle.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Else an address at example.com.")] = None,
) -> None:
    """Add one person. One who is there is left alone; the UUID is the same every time, so messages find them again.

    cruddur db add-user mira --name 'Mira Lund'
    """
    with stores.postgres(s, changes=True) as conn:
        user, added = users.add(conn, handle, name=name, email=email, dry_run=s.dry_run)
    output.show(s, [user], draw=output.details, extra={"added": int(added and not s.dry_run), "dry_run": s.dry_run})
    output.note(s, f"{user.handle}: {('would be added' if s.dry_run else 'added') if added else 'already there'}")


@command(app, shows=True, waits=True)
def ping(s: Settings) -> None:
    """Connect, and say what answered and how long it took."""
    at = stores.server(s)
    began = time.monotonic()
    with stores.postgres(s, at=at) as conn:
        pong = database.ping(conn, at, (time.monotonic() - began) * 1000)
    output.show(s, [pong], draw=output.details)


@command(app, shows=True, changes=True)
def update_cognito_user_ids(
    s: Settings,
    create: Annotated[bool, typer.Option("--create-missing", help="Add the people whom only Cognito knows.")] = False,
) -> int:
    """Write each person's Cognito id (sub) to the user with their handle, and say what became of everybody.

    Exit code 1 when somebody could not be matched because a handle is there twice.
    """
    results, skipped = steps.sync(s, create=create)
    counts = {name: sum(row.result == name for row in results) for name in ("updated", "unchanged", "created")}
    output.show(s, results, extra={**counts, "dry_run": s.dry_run})
    left = sorted({row.result for row in results} - set(counts))
    # The table says it already; a program that reads the items finds each of them named here alone.
    named = skipped[:_NAMED] if s.output == "table" and len(skipped) > 2 * _NAMED else skipped
    for row in named:
        output.note(s, f"skipped: {row.username} ({row.sub}) has no preferred_username")
    if len(named) < len(skipped):
        output.note(s, f"skipped: {len(skipped) - len(named):,} more, {len(skipped):,} without preferred_username")
    said = output.summary(counts)
    if s.dry_run:
        said = f"would be updated {counts['updated']:,}, would be created {counts['created']:,}, " + output.summary(
            {"unchanged": counts["unchanged"]}
        )
    output.note(s, said + "".join(f", {name} {sum(r.result == name for r in results)}" for name in left))
    return Exit.NO if "duplicate handle" in left else Exit.DONE


session_commands.register(app)
migration_commands.register(app)

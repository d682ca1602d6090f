"""``cruddur db``: creates, loads, seeds, drops and pings the PostgreSQL database."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from ... import output, settings
from ...errors import CruddurError, NotFound, Protected
from ...output import github
from ...output.text import counted
from ...settings import Settings
from ..shared.options import SCHEMA_FILE, SEED_FILE, SQL_FILES, STATEMENT_TIMEOUT, Copy, CopyFirst, NoMigrate, command

if TYPE_CHECKING:
    from ...postgres import connection
    from ..shared import load_sql, migration_step, steps


@command(shows=True, changes=True, asks=True, waits=True, reports=True, also=SQL_FILES | STATEMENT_TIMEOUT)
def setup(s: Settings, no_migrate: NoMigrate = False) -> None:
    """Create the database, tables and users if missing. Safe to run every time.

    Then apply pending migrations, and write the users' Cognito ids. It asks before a migration deletes existing rows or
    columns. With --prod, or on a server outside this machine and its network, it only counts pending migrations.
    """
    from ..shared import confirm, migration_step, setup_steps, targets

    at = targets.server(s)
    sentence = f"Mock data will be written to {at.label} where it is missing."
    confirm.replace(s, what=at.label, name=at.database, remote=targets.is_foreign(at), sentence=sentence)
    planned = migration_step.plan(s, at, wanted=not no_migrate)
    done_steps: list[steps.Step] = []
    has_tables = setup_steps.make_database(s, at, done_steps, planned)
    _finish(s, at, done_steps, planned, has_tables=has_tables)


@command(changes=True, waits=True)
def create(s: Settings) -> None:
    """Create the database if it is missing."""
    from ...postgres import connection, database, production_marker
    from ..shared import connections, targets

    at = targets.server(s)
    connections.acting_on(s, at)
    with connection.opened_maintenance(at) as conn:
        is_created = not s.dry_run and database.create(conn, at.database)
        exists = not is_created and database.exists(conn, at.database)
    if s.prod and is_created:
        with connections.postgres(s, at=at) as conn:
            production_marker.write(conn)
    result = "created" if is_created else "exists already" if exists else "would be created"
    output.outcome(s, f"database {at.database}: {result}", changed=not exists)


@command(changes=True, asks=True)
def release_copy(s: Settings) -> None:
    """Remove the production mark from a copy of production. The copy must be on this machine or its network.

    A dump contains the mark, and a marked database refuses every change without --prod.
    """
    from ...postgres import production_marker
    from ..shared import confirm, connections, targets

    at = targets.server(s)
    connections.acting_on(s, at)
    _refuse_production(s, at)
    with connections.postgres(s, at=at) as conn:
        if not production_marker.is_production(conn):
            output.note(s, f"{at.label} has no production mark; nothing was changed")
            return
        if s.dry_run:
            output.note(s, f"the production mark of {at.label} would be removed")
            return
        sentence = f"{at.label} will no longer count as production: commands without --prod can change it."
        confirm.agree(s, f"{sentence[0].upper()}{sentence[1:]}", name=at.database, remote=False)
        production_marker.release(conn)
    output.done(s, f"{at.label} is no longer marked as production")


@command(changes=True, asks=True)
def drop(
    s: Settings,
    if_exists: Annotated[
        bool, typer.Option("--if-exists", help="Report success if the database does not exist.")
    ] = False,
    backup: CopyFirst = None,
) -> None:
    """Drop the database with everything in it. Ends the sessions that use it. Asks first."""
    from ..shared import connections, targets
    from . import rebuild

    at = targets.server(s)
    connections.acting_on(s, at)
    if not rebuild.drop(s, at, backup) and not if_exists:
        raise NotFound(
            f"There is no {at.label}.",
            hint="pass --if-exists if the database may be missing",
            code="database_not_found",
        )


@command(shows=True, changes=True, asks=True, waits=True, reports=True, also=SQL_FILES | STATEMENT_TIMEOUT)
def reset(s: Settings, no_migrate: NoMigrate = False, backup: CopyFirst = None) -> None:
    """Drop the database, create it again and seed it. Also applies the migrations. Asks first.

    Schema, seed and migrations are tried before anything is dropped. If you may not create databases, the database is
    emptied instead.
    """
    from ..shared import connections, load_sql, migration_step, setup_steps, targets
    from . import rebuild

    at = targets.server(s)
    planned = migration_step.plan(s, at, wanted=not no_migrate)
    connections.acting_on(s, at)
    scripts = load_sql.Scripts(s)
    done_steps = rebuild.clear(s, at, planned, scripts, backup)
    has_tables = setup_steps.make_database(s, at, done_steps, planned, is_reset=True, scripts=scripts)
    _finish(s, at, done_steps, planned, has_tables=has_tables)


def _finish(
    s: Settings,
    at: connection.Server,
    done_steps: list[steps.Step],
    planned: migration_step.MigrationPlan,
    *,
    has_tables: bool,
) -> None:
    """Run the last steps of ``setup`` and ``reset``, and print the result."""
    from ..shared import migration_step, setup_steps, steps

    pending = migration_step.apply(s, at, done_steps, planned, has_tables=has_tables)
    unsynced = setup_steps.sync_step(s, done_steps, starts=False)
    extra = {**steps.changes(done_steps), "pending": pending, "dry_run": s.dry_run}
    github.keep(s, done_steps, extra=extra)
    output.show(
        s, done_steps, record=steps.Step, extra=extra, draw=output.draw_nothing, picture=output.steps(dry_run=s.dry_run)
    )
    migration_step.report(s, done_steps, pending, unsynced)


@command(changes=True, asks=True, reports=True, also=SCHEMA_FILE | STATEMENT_TIMEOUT)
def schema_load(s: Settings, backup: CopyFirst = None) -> None:
    """Load the schema file in one transaction. It drops only the tables that the file drops.

    Asks if rows would be lost. If the file creates a table that exists and does not drop it first, nothing is changed.
    Other objects, such as those that migrations created, stay; `db reset` recreates everything. A file of pg_dump,
    schema and rows, can be loaded into an empty database.
    """
    from ..shared import confirm, connections, load_sql, targets

    script = load_sql.read_schema(s)
    at = targets.server(s)
    connections.acting_on(s, at)
    try:
        is_local = not s.prod and not targets.is_foreign(at)
        if is_local and not s.dry_run and confirm.is_given(s, name=at.database, remote=False):
            load_sql.schema_at_once(s, at, script)
        elif not _load_after_asking(s, at, script, backup):
            return
    except CruddurError as error:
        raise load_sql.unchanged(error) from error
    output.done(s, "schema: loaded")


def _load_after_asking(s: Settings, at: connection.Server, script: load_sql.Script, backup: Copy | None) -> bool:
    """Rehearse a schema, ask if rows would be lost, and load it; False in a dry run."""
    from ...postgres import locks
    from ...postgres.migrations import runner as migration_runner
    from ..shared import confirm, connections, load_sql, targets
    from . import copy_first

    effects = load_sql.rehearse_schema(s, at, script)
    with connections.postgres(s, at=at) as conn:
        load_sql.warn_of_remaining(migration_runner.recorded(conn), script, effects)
    if s.dry_run:
        output.note(s, f"{script}")
        losing = str(effects) if effects else ""
        output.note(s, f"the schema would be loaded; lost: {losing or 'nothing'}", losing=losing)
        return False
    connections.refuse_stamped(s, at)
    if effects:
        copy_first.offer(s, at, backup)
        what, remote = f"The tables of {at.label}", targets.is_foreign(at)
        confirm.destroy(s, what=what, name=at.database, losing=str(effects), remote=remote)
    with connections.postgres(s, at=at) as conn, locks.guarded(conn, at):
        locks.take(conn, say=lambda text: output.note(s, text))
        load_sql.schema(s, conn, at, script)
    return True


@command(shows=True, changes=True, asks=True, reports=True, also=SEED_FILE | STATEMENT_TIMEOUT)
def seed(s: Settings) -> None:
    """Seed users and activities. Safe to repeat: rows that exist are not added again, and people keep their ids.

    Asks first if the file deletes or overwrites rows. The built-in people are not added to a database that has other
    users.
    """
    from ...postgres import database
    from ..shared import connections, load_sql, setup_steps, targets

    script = load_sql.read_seed(s)
    at = targets.server(s)
    connections.acting_on(s, at)
    try:
        effects = load_sql.rehearse_seed(s, at, script)
        load_sql.confirm_seed(s, at, script, effects)
        with connections.postgres(s, at=at) as conn:
            setup_steps.refuse_mock_data(s, conn, at)
            rows_before = database.rows(conn)
            written = 0 if s.dry_run else load_sql.seed(s, conn, at, script)
            rows_after = database.rows(conn)
    except CruddurError as error:
        raise load_sql.unchanged(error) from error
    deleted = database.added(rows_after, rows_before)
    extra = {"written": written, **({"deleted": deleted} if effects else {}), "dry_run": s.dry_run}
    output.show(s, rows_after, record=database.TableRows, extra=extra)
    if s.dry_run:
        output.note(s, f"{script}; users and activities that are missing would be added")
    else:
        added = database.named(database.more(rows_before, rows_after))
        outcome = f"{added} added" + (f", {counted(deleted, 'row')} deleted" if deleted else "")
        output.outcome(s, outcome, changed=written > 0 or deleted > 0)


@command(shows=True, waits=True)
def ping(s: Settings) -> None:
    """Connect, and show the server and its version. Also shows how long it took to answer."""
    from ...postgres import database
    from ..shared import connections, targets

    at = targets.server(s)
    began = time.monotonic()
    with connections.postgres(s, at=at) as conn:
        pong = database.ping(conn, at, (time.monotonic() - began) * 1000)
    output.show(s, [pong], draw=output.details)


def _refuse_production(s: Settings, at: connection.Server) -> None:
    """Raise Protected if this may be production: --prod, a remote host or RDS, or the host of PROD_CONNECTION_URL."""
    from ...postgres import connection
    from ..shared import targets

    if s.prod:
        raise Protected("db release-copy is for copies of production, never for production itself.")
    if targets.is_foreign(at):
        raise Protected(f"{at.label} is not on this machine or its network, so it may be production itself.")
    production = settings.load({"prod": True})
    if production.connection_url is None:
        return
    origin = production.origins["connection_url"]
    parameters = connection.completed(connection.parse_url(production.connection_url, origin=origin))
    host = str(parameters.get("hostaddr") or parameters.get("host") or "")
    if connection.port(parameters) == at.port and _addresses(host) & _addresses(at.address or at.host):
        raise Protected(f"{at.label} is on the server that {origin} names, so it may be production itself.")


def _addresses(hosts: str) -> set[str]:
    """The names and the addresses of hosts, with ``localhost`` for every name of this machine."""
    from ...local import addresses

    result: set[str] = set()
    for host in hosts.split(","):
        names = {host.lower()}
        with suppress(OSError):
            names |= {str(entry[4][0]) for entry in socket.getaddrinfo(host or "localhost", None)}
        result |= {"localhost"} if not host or names & addresses.LOOPBACK or host.startswith("/") else names
    return result

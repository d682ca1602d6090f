"""Drops or empties a database for ``db drop`` and ``db reset``; a reset first tries the files that it will load."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ... import output
from ...errors import CannotConnect, CruddurError, NotFound
from ...output.text import counted
from ...postgres import connection, database, locks, production_marker, sessions
from ...postgres.connection import Server
from ...settings import Settings
from ..shared import confirm, connections, expected_schema, load_sql, migration_step, steps, targets, try_database
from ..shared.options import Copy
from . import copy_first

if TYPE_CHECKING:
    from psycopg import Connection


def drop(s: Settings, at: Server, backup: Copy | None) -> bool:
    """Count what will be lost and print who is connected, ask, drop; False where the database does not exist."""
    if not _ask(s, at, "dropped"):
        return False
    if not s.dry_run:
        copy_first.offer(s, at, backup)
        with connection.opened_maintenance(at) as conn:
            database.drop(conn, at.database)
        output.done(s, f"database {at.database}: dropped")
    return True


def clear(
    s: Settings,
    at: Server,
    planned: migration_step.MigrationPlan,
    scripts: load_sql.Scripts,
    backup: Copy | None,
) -> list[steps.Step]:
    """Drop the database for a ``reset``, or empty it where this role may not create one; returns the steps.

    Before that, schema, seed and migrations are loaded into a database beside it, or in a transaction that is rolled
    back. Raises the errors of these files; then nothing is changed.
    """
    migration_step.check(planned, None)
    assert scripts.schema
    assert scripts.seed
    can_recreate = False
    with suppress(NotFound), connection.opened_maintenance(at) as conn:
        if not database.exists(conn, at.database):
            return _nothing_to_clear(s, at)
        can_recreate = database.can_recreate(conn, at.database)
    if not can_recreate:
        output.note(s, f"{at.user} cannot drop and create this database here, so it is emptied instead")
    if not _ask(s, at, "dropped" if can_recreate else "emptied"):
        return _nothing_to_clear(s, at)
    if s.dry_run:
        return []
    done_steps: list[steps.Step] = []
    try:
        is_tried = can_recreate and _try_beside(s, at, scripts, planned)
        copy_first.offer(s, at, backup)
        if is_tried:
            with connection.opened_maintenance(at) as conn:
                database.drop(conn, at.database)
            result = "dropped"
        else:
            _empty(s, at, scripts, planned)
            result = "emptied, and loaded again"
    except CannotConnect:
        raise
    except CruddurError as error:
        raise error.adding(load_sql.NOTHING) from error
    steps.done(s, done_steps, f"database {at.database}", result, changed=True)
    return done_steps


def _nothing_to_clear(s: Settings, at: Server) -> list[steps.Step]:
    """Confirm as ``setup`` does: nothing is lost, but mock data will be written."""
    confirm.replace(s, what=at.label, name=at.database, remote=targets.is_foreign(at))
    return []


def _ask(s: Settings, at: Server, verb: str) -> bool:
    """Print who is connected, and ask if the database may be lost; False where the database does not exist."""
    connected: list[sessions.Session] = []
    with suppress(NotFound), connection.opened_maintenance(at) as conn:
        if not database.exists(conn, at.database):
            return False
        connected = sessions.find(conn, at.database)
    with connections.postgres(s, at=replace(at, read_only=True)) as conn:
        losing = database.tell_rows(conn)
    if verb == "dropped":
        for session in connected:
            client = session.client_addr or "here"
            output.note(s, f"connected: {session.user} from {client} ({session.application_name})")
        losing += f"; {counted(len(connected), 'session ends', 'sessions end')}" if connected else ""
    if s.dry_run:
        output.note(s, f"{at.label} would be {verb}: {losing}", losing=losing)
        return True
    connections.refuse_stamped(s, at)
    confirm.destroy(s, what=at.label, name=at.database, losing=losing, remote=targets.is_foreign(at))
    return True


def _try_beside(s: Settings, at: Server, scripts: load_sql.Scripts, planned: migration_step.MigrationPlan) -> bool:
    """Load everything into an empty database beside this one, and roll it back, roles included.

    False where the new database cannot be reached, as through some poolers. Raises the errors of the files.
    """
    quiet = replace(s, quiet=True)
    with try_database.beside(at) as temporary:
        try:
            with connections.postgres(quiet, at=temporary) as conn:
                _load(quiet, conn, temporary, scripts, planned)
                conn.rollback()
        except NotFound as error:
            if error.code != "database_not_found":
                raise
            return False
    return True


def _load(
    s: Settings, conn: Connection[Any], at: Server, scripts: load_sql.Scripts, planned: migration_step.MigrationPlan
) -> None:
    load_sql.schema(s, conn, at, scripts.schema)
    definitions = expected_schema.described(conn)
    load_sql.seed(s, conn, at, scripts.seed)
    migration_step.rehearse(s, conn, at, planned)
    expected_schema.store(conn, scripts.schema, planned.files, definitions)


def _empty(s: Settings, at: Server, scripts: load_sql.Scripts, planned: migration_step.MigrationPlan) -> None:
    """Empty the database, load schema and seed, and try the migrations, in one transaction."""
    with connections.postgres(s, at=at) as conn, locks.guarded(conn, at):
        locks.take(conn, say=lambda text: output.note(s, text))
        is_marked = production_marker.is_production(conn)
        database.empty(conn)
        _load(s, conn, at, scripts, planned)
        if is_marked:
            production_marker.write(conn)

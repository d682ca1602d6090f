"""How ``db reset`` destroys a database: only after it has shown that it can build it again."""

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
    """Count what will be lost and who is connected, ask, drop; False where there is no such database."""
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
    planned: migration_step.Plan,
    scripts: load_sql.Scripts,
    backup: Copy | None,
) -> list[steps.Step]:
    """Drop the database for a ``reset``, or empty it where this role may not create one, once it can be built again.

    Schema, seed and migrations are loaded first into a database beside it, or in a transaction that is rolled back.
    Returns what was done. Raises what they are refused for, with nothing changed.
    """
    migration_step.check(planned, None)
    assert scripts.schema
    assert scripts.seed
    recreates = False
    with suppress(NotFound), connection.opened_maintenance(at) as conn:
        if not database.exists(conn, at.database):
            return _nothing_to_clear(s, at)
        recreates = database.can_recreate(conn, at.database)
    if not recreates:
        output.note(s, f"{at.user} cannot drop and create this database here, so it is emptied instead")
    if not _ask(s, at, "dropped" if recreates else "emptied"):
        return _nothing_to_clear(s, at)
    if s.dry_run:
        return []
    done: list[steps.Step] = []
    try:
        tried = recreates and _try_beside(s, at, scripts, planned)
        copy_first.offer(s, at, backup)
        if tried:
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
    steps.done(s, done, f"database {at.database}", result, changed=True)
    return done


def _nothing_to_clear(s: Settings, at: Server) -> list[steps.Step]:
    """Ask what ``setup`` asks: nothing is lost, but mock data will be written."""
    confirm.replace(s, what=at.label, name=at.database, remote=targets.is_foreign(at))
    return []


def _ask(s: Settings, at: Server, verb: str) -> bool:
    """Say who is connected and ask whether the database may be lost; False where there is none."""
    connected: list[sessions.Session] = []
    with suppress(NotFound), connection.opened_maintenance(at) as conn:
        if not database.exists(conn, at.database):
            return False
        connected = sessions.find(conn, at.database)
    with connections.postgres(s, at=replace(at, read_only=True)) as conn:
        losing = database.tell_rows(conn)
    if verb == "dropped":
        for session in connected:
            where = session.client_addr or "here"
            output.note(s, f"connected: {session.user} from {where} ({session.application_name})")
        losing += f"; {counted(len(connected), 'session ends', 'sessions end')}" if connected else ""
    if s.dry_run:
        output.note(s, f"{at.label} would be {verb}: {losing}")
        return True
    connections.refuse_stamped(s, at)
    confirm.destroy(s, what=at.label, name=at.database, losing=losing, remote=targets.is_foreign(at))
    return True


def _try_beside(s: Settings, at: Server, scripts: load_sql.Scripts, planned: migration_step.Plan) -> bool:
    """Load everything into an empty database beside it; False where that cannot be reached, as behind some poolers.

    Raises what a file is refused for. It is rolled back, and so is what belongs to the whole server, such as roles.
    """
    quiet = replace(s, quiet=True)
    with try_database.beside(at) as beside:
        try:
            with connections.postgres(quiet, at=beside) as conn:
                _load(quiet, conn, beside, scripts, planned)
                conn.rollback()
        except NotFound as error:
            if error.code != "database_not_found":
                raise
            return False
    return True


def _load(
    s: Settings, conn: Connection[Any], at: Server, scripts: load_sql.Scripts, planned: migration_step.Plan
) -> None:
    load_sql.schema(s, conn, at, scripts.schema)
    made = expected_schema.described(conn)
    load_sql.seed(s, conn, at, scripts.seed)
    migration_step.rehearse(s, conn, at, planned)
    expected_schema.store(conn, scripts.schema, planned.files, made)


def _empty(s: Settings, at: Server, scripts: load_sql.Scripts, planned: migration_step.Plan) -> None:
    """Empty the database and load schema and seed, in one transaction, in which the migrations are tried as well."""
    with connections.postgres(s, at=at) as conn, locks.guarded(conn, at):
        locks.take(conn, say=lambda text: output.note(s, text))
        stamped = production_marker.is_production(conn)
        database.empty(conn)
        _load(s, conn, at, scripts, planned)
        if stamped:
            production_marker.write(conn)

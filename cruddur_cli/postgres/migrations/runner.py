"""Applies migrations and rolls them back, each in a transaction of its own, and records which are applied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from ...errors import BadInput, CannotConnect, CruddurError, Refused
from ...times import sort_key
from .. import catalogue, locks
from ..connection import Server
from ..sql_files import rehearsal, splitter
from ..sql_files import runner as sql_runner
from . import files as migration_files
from .files import Migration, version_key

if TYPE_CHECKING:
    from psycopg import Connection

TABLE = "public.cruddur_migrations"
_LEGACY = "public.schema_information"
_COLUMN = "last_successful_run"
_COLUMNS = (
    "version text PRIMARY KEY, name text NOT NULL, applied_at timestamptz, adopted boolean NOT NULL DEFAULT false"
)
# duplicate column, table or index, constraint or type, function, schema
_EXISTS = {"42701", "42P07", "42710", "42723", "42P06"}
# A new value of an enumerated type cannot be used in the transaction that adds it.
_NEEDS_COMMIT = "55P04"

_DEFINES = {("ALTER",), ("CREATE",), ("COMMENT",), ("DROP",), ("GRANT",), ("REVOKE",)}
State = Literal["applied", "pending", "adopted"]


@dataclass(frozen=True)
class Status:
    """One migration. ``applied_at`` is an ISO-8601 time in UTC, or None if this program did not apply it.

    The state ``adopted`` means that another program recorded it as applied, in ``schema_information``.
    """

    version: str
    name: str
    state: State
    applied_at: str | None


Done = Callable[[Status], object]


@dataclass(frozen=True)
class _Row:
    name: str
    applied_at: datetime | None = None
    is_adopted: bool = False


@dataclass(frozen=True)
class _State:
    """The migrations that count as applied, by version; and how ``cruddur_migrations`` differs.

    It lacks the versions in ``adopted``, and still has those in ``void``.
    """

    applied: Mapping[str, _Row]
    adopted: tuple[str, ...] = ()
    void: tuple[str, ...] = ()


def status(conn: Connection[Any], files: Sequence[Migration]) -> list[Status]:
    """Every migration that is applied or has a file, the oldest first. Changes nothing."""
    applied = _state(conn, files).applied
    names = {migration.version: migration.name for migration in files}
    every = sorted({*applied, *names}, key=version_key)
    return [_status(version, names.get(version), applied.get(version)) for version in every]


def pending(conn: Connection[Any], files: Sequence[Migration]) -> list[Status]:
    """The migrations that ``migrate`` would apply. Changes nothing. Raises BadInput if one cannot be read."""
    rows = [row for row in status(conn, files) if row.state == "pending"]
    versions_pending = {row.version for row in rows}
    for migration in files:
        if migration.version in versions_pending:
            splitter.split(migration_files.up(migration), source=str(migration.path))
    return rows


def _status(version: str, name: str | None, row: _Row | None) -> Status:
    name = row.name if name is None and row else name
    state: State = "pending" if row is None else "adopted" if row.is_adopted else "applied"
    return Status(version, name or "", state, sort_key(row.applied_at) if row and row.applied_at else None)


def migrate(
    conn: Connection[Any],
    files: Sequence[Migration],
    *,
    server: Server,
    say: sql_runner.Say | None = None,
    done: Done | None = None,
) -> list[Status]:
    """Apply the pending migrations, the oldest first; those that this call applied.

    ``say`` gets a line for a person, such as that it waits for a lock; ``done`` gets each migration after its commit.

    Each is committed with its record before the next begins. The records are read again under the lock, so several
    processes apply each migration once. Raises BadInput and Refused as ``sql_files.run`` does. The failed migration is
    rolled back and earlier ones stay applied; the error's field ``applied`` is their number.
    """

    def applied() -> Iterator[Status]:
        waited = False
        while one := _apply_next(conn, files, server, say, waited=waited):
            yield one
            waited = True

    return _each(applied(), verb="applied", done=done)


def _each(changes: Iterator[Status], *, verb: str, done: Done | None) -> list[Status]:
    """The changes as a list; ``done`` gets each.

    An error gets a field, named by ``verb``, with the number of changes before it.
    """
    results: list[Status] = []
    try:
        for one in changes:
            results.append(one)
            if done is not None:
                done(one)
    except CruddurError as error:
        raise _rolled_back(error, verb, len(results)) from error
    return results


def _rolled_back(error: CruddurError, verb: str, earlier: int) -> CruddurError:
    """The error of one migration, with a sentence about what was changed and the number of earlier migrations."""
    stay = f"{earlier} earlier {'migration stays' if earlier == 1 else 'migrations stay'} {verb}."
    outcome = f"Nothing was changed by it. {stay}" if earlier else "Nothing was changed."
    if isinstance(error, CannotConnect):  # the connection may have failed after the commit
        outcome = stay if earlier else ""
    fields = {**error.fields, verb.replace(" ", "_"): earlier}
    message = f"{error.message} {outcome}".strip()
    return type(error)(message, hint=error.hint, code=error.code, details=error.details, fields=fields)


def _apply_next(
    conn: Connection[Any], files: Sequence[Migration], server: Server, say: sql_runner.Say | None, *, waited: bool
) -> Status | None:
    locks.take(conn, wait_s=locks.TURN_S, say=None if waited else say)
    state = _state(conn, files)
    _record_state(conn, state)
    migration = next((one for one in files if one.version not in state.applied), None)
    if migration is None:
        conn.commit()
        return None
    _up(conn, migration, server, say)
    done = _record(conn, state, migration)
    conn.commit()
    return done


def _up(conn: Connection[Any], migration: Migration, server: Server, say: sql_runner.Say | None) -> None:
    """Run the SQL that applies a migration. If its object exists already, the error suggests ``--mark-applied``."""
    try:
        sql_runner.run(conn, migration_files.up(migration), source=str(migration.path), server=server, say=say)
    except Refused as error:
        if error.fields.get("sqlstate") not in _EXISTS:
            raise
        hint = f"if the database has all of it already: cruddur db migrate --mark-applied {migration.version}"
        raise Refused(error.message, hint=hint, code=error.code, details=error.details, fields=error.fields) from error


def _record(conn: Connection[Any], state: _State, migration: Migration, *, is_run: bool = True) -> Status:
    """Record a migration as applied at the time of the transaction; without a time unless ``is_run``."""
    row = conn.execute(
        f"INSERT INTO {TABLE} (version, name, applied_at) VALUES (%s, %s, {'now()' if is_run else 'NULL'})"
        " ON CONFLICT (version) DO UPDATE SET applied_at = excluded.applied_at, adopted = false"
        " RETURNING applied_at".encode(),
        [migration.version, migration.name],
    ).fetchone()
    assert row is not None
    _mark(conn, [*state.applied, migration.version])
    return _status(migration.version, migration.name, _Row(migration.name, row[0]))


def redo(
    conn: Connection[Any],
    files: Sequence[Migration],
    version: str,
    *,
    server: Server,
    say: sql_runner.Say | None = None,
) -> Status:
    """Run the SQL of an applied migration again, for one that was recorded as applied but did not run.

    Raises BadInput for a migration that is pending or unknown, and Refused as ``migrate`` does.
    """
    try:
        locks.take(conn, say=say)
        migration, state = _recorded(conn, files, version)
        if version not in state.applied:
            raise BadInput(f"Migration {version} is pending.", hint="cruddur db migrate", code="migration_pending")
        _record_state(conn, state)
        _up(conn, migration, server, say)
        done = _record(conn, state, migration)
        conn.commit()
    except CruddurError as error:
        raise _rolled_back(error, "applied", 0) from error
    return done


def mark_applied(
    conn: Connection[Any], files: Sequence[Migration], version: str, *, say: sql_runner.Say | None = None
) -> bool:
    """Record a migration as applied without running it; False if it was recorded already.

    The state of an adopted migration becomes ``applied``. Raises BadInput for an unknown version.
    """
    locks.take(conn, say=say)
    migration, state = _recorded(conn, files, version)
    row = state.applied.get(version)
    if row is not None and not row.is_adopted:
        return False
    _record_state(conn, state)
    _record(conn, state, migration, is_run=False)
    return True


def rehearse(
    conn: Connection[Any], files: Sequence[Migration], *, server: Server, look: Callable[[], object]
) -> list[Migration]:
    """Apply the pending migrations and roll them back; those that the schema contains already.

    The schema contains a migration that fails, consists of definitions only, and leaves the same catalogue when it is
    undone and applied again. ``look`` is called while all the others are applied.

    Runs in the caller's transaction, and stops before a migration that needs a commit. Raises BadInput and Refused as
    ``migrate`` does.
    """
    contained: list[Migration] = []
    pending = _pending_files(conn, files)
    with conn.transaction(force_rollback=True):
        for migration in pending:
            try:
                with conn.transaction():
                    _up(conn, migration, server, None)
            except Refused as error:
                if error.fields.get("sqlstate") == _NEEDS_COMMIT:
                    break
                if not _is_contained(conn, migration, server):
                    raise
                contained.append(migration)
        look()
    return contained


def losses(conn: Connection[Any], files: Sequence[Migration], *, server: Server) -> rehearsal.Effects:
    """What the pending migrations destroy of the existing rows; they are applied and rolled back.

    Only migrations before one that fails count, because ``migrate`` stops there too. The effects are ``unknown`` if a
    migration needs the commit of an earlier one. Raises BadInput.
    """
    pending = _pending_files(conn, files)

    def apply() -> None:
        for migration in pending:
            try:
                with conn.transaction():
                    _up(conn, migration, server, None)
            except Refused as error:
                if error.fields.get("sqlstate") == _NEEDS_COMMIT:
                    raise rehearsal.Unknown(f"{migration.version} needs the commit of an earlier migration") from error
                if error.code == "locked":
                    raise
                return

    # The line end before the semicolon ends a comment in a migration's last line.
    text = "\n;\n".join(migration_files.up(migration) for migration in pending)
    return rehearsal.run(conn, server, text, apply) if pending else rehearsal.Effects()


def build(conn: Connection[Any], files: Sequence[Migration], *, server: Server, commits: bool) -> None:
    """Run the pending migrations on a schema that was just loaded, without those that it contains already.

    Records nothing. Commits only with ``commits``, before a migration that needs earlier definitions committed. Raises
    as ``rehearse`` does.
    """
    for migration in _pending_files(conn, files):
        try:
            with conn.transaction():
                _up(conn, migration, server, None)
        except Refused as error:
            if commits and error.fields.get("sqlstate") == _NEEDS_COMMIT:
                conn.commit()
                _up(conn, migration, server, None)
            elif not _is_contained(conn, migration, server):
                raise


def _pending_files(conn: Connection[Any], files: Sequence[Migration]) -> list[Migration]:
    applied = _state(conn, files).applied
    return [migration for migration in files if migration.version not in applied]


def _is_contained(conn: Connection[Any], migration: Migration, server: Server) -> bool:
    statements = splitter.split(migration_files.up(migration), source=str(migration.path))
    if any(statement.words[:1] not in _DEFINES for statement in statements):
        return False
    before = catalogue.read(conn)
    try:
        with conn.transaction(force_rollback=True):
            sql_runner.run(conn, migration_files.down(migration), source=str(migration.down_source), server=server)
            _up(conn, migration, server, None)
            return before == catalogue.read(conn)
    except CruddurError:
        return False


def find(files: Sequence[Migration], version: str) -> Migration:
    """The migration with that version. Raises BadInput if it has no file."""
    for migration in files:
        if migration.version == version:
            return migration
    raise BadInput(f"There is no migration {version!r}.", hint="cruddur db migration-status", code="no_such_migration")


def _recorded(conn: Connection[Any], files: Sequence[Migration], version: str) -> tuple[Migration, _State]:
    return find(files, version), _state(conn, files)


def to_undo(
    conn: Connection[Any], files: Sequence[Migration], *, steps: int = 1, to: str | None = None
) -> list[Migration]:
    """The migrations that a rollback would undo, the newest first: ``steps`` of them, or all newer than ``to``.

    Raises BadInput if ``to`` is unknown, or if a file is missing or has no down part.
    """
    applied = _state(conn, files).applied
    newest_first = sorted(applied, key=version_key, reverse=True)
    by_version = {migration.version: migration for migration in files}
    if to is None:
        chosen = newest_first[:steps]
    elif to != "0" and to not in applied and to not in by_version:
        raise BadInput(f"There is no migration {to!r}.", hint="cruddur db migration-status", code="no_such_migration")
    else:
        chosen = [version for version in newest_first if version_key(version) > version_key(to)]
    for version in chosen:
        if version not in by_version:
            raise BadInput(
                f"{version} {applied[version].name} was applied and its file is missing, so it cannot be rolled back.",
                hint="restore the file, for example from git",
                code="migration_file_missing",
            )
        migration_files.down(by_version[version])
    return [by_version[version] for version in chosen]


def rollback(
    conn: Connection[Any],
    files: Sequence[Migration],
    *,
    undo: Sequence[Migration],
    server: Server,
    say: sql_runner.Say | None = None,
    done: Done | None = None,
) -> list[Status]:
    """Undo the migrations from ``to_undo``, each in a transaction; their states afterwards, which are ``pending``.

    ``say`` and ``done`` as in ``migrate``. Raises Refused if another session has changed the newest migration since,
    and as ``sql_files.run`` does.
    """
    undone = (_undo_newest(conn, files, migration, server, say) for migration in undo)
    return _each(undone, verb="rolled back", done=done)


def _undo_newest(
    conn: Connection[Any], files: Sequence[Migration], migration: Migration, server: Server, say: sql_runner.Say | None
) -> Status:
    locks.take(conn, wait_s=locks.TURN_S, say=say)
    state = _state(conn, files)
    if max(state.applied, key=version_key, default=None) != migration.version:
        raise Refused(
            f"{migration.version} {migration.name} is not the newest migration of {server.label} any more.",
            hint="cruddur db migration-status",
            code="changed_meanwhile",
        )
    _record_state(conn, state)
    sql_runner.run(conn, migration_files.down(migration), source=str(migration.down_source), server=server, say=say)
    conn.execute(f"DELETE FROM {TABLE} WHERE version = %s".encode(), [migration.version])
    _mark(conn, [version for version in state.applied if version != migration.version])
    conn.commit()
    return Status(migration.version, migration.name, "pending", None)


def recorded(conn: Connection[Any]) -> list[str]:
    """The versions in ``cruddur_migrations``, the oldest first."""
    if not _is_there(conn, TABLE):
        return []
    return sorted((row[0] for row in conn.execute(f"SELECT version FROM {TABLE}".encode())), key=version_key)


def forget(conn: Connection[Any]) -> None:
    """Record no migration as applied, before the schema is loaded again in the same transaction.

    A number that the schema file then writes into ``schema_information`` counts.
    """
    if _is_there(conn, TABLE):
        conn.execute(f"DELETE FROM {TABLE}".encode())
    if _COLUMN in _legacy_columns(conn):
        conn.execute(f"UPDATE {_LEGACY} SET last_successful_run = '0'".encode())


def _state(conn: Connection[Any], files: Iterable[Migration]) -> _State:
    """The applied migrations: those in ``cruddur_migrations``, if ``schema_information`` has the number of the newest.

    Any other number means that the scripts ran, the schema was loaded, or a person wrote it. Then it counts as in the
    scripts: every migration up to that number is applied, and none after it. Migrations older than the newest in
    ``cruddur_migrations`` keep what that table says.
    """
    recorded: dict[str, _Row] = {}
    if _is_there(conn, TABLE):
        # Read through JSON, because a table of an older version has no such column.
        is_adopted = "coalesce((to_jsonb(one) ->> 'adopted')::boolean, false)"
        rows = conn.execute(f"SELECT version, name, applied_at, {is_adopted} FROM {TABLE} AS one".encode()).fetchall()
        recorded = {version: _Row(*row) for version, *row in rows}
    legacy = _legacy(conn)
    newest = max(map(version_key, recorded), default=(0, 0))
    if legacy is None or version_key(legacy) == newest:
        return _State(recorded)
    limit = version_key(legacy)
    void = tuple(version for version in recorded if version_key(version) > limit)
    valid = {version: row for version, row in recorded.items() if version not in void}
    adopted = {
        migration.version: _Row(migration.name, is_adopted=True)
        for migration in files
        if newest < version_key(migration.version) <= limit
    }
    return _State({**valid, **adopted}, tuple(adopted), void)


def _record_state(conn: Connection[Any], state: _State) -> None:
    """Create ``cruddur_migrations`` if it is missing, and add the adopted and delete the void versions."""
    conn.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({_COLUMNS})".encode())
    if "adopted" not in _columns(conn, TABLE):  # a table of an older version
        conn.execute(
            f"ALTER TABLE {TABLE} ADD COLUMN adopted boolean NOT NULL DEFAULT false,"
            " ALTER COLUMN applied_at DROP NOT NULL".encode()
        )
    conn.execute(f"DELETE FROM {TABLE} WHERE version = ANY(%s)".encode(), [list(state.void)])
    for version in state.adopted:
        name = state.applied[version].name
        conn.execute(f"INSERT INTO {TABLE} VALUES (%s, %s, NULL, true)".encode(), [version, name])
    if state.adopted or state.void:
        _mark(conn, state.applied)


def _legacy(conn: Connection[Any]) -> str | None:
    """The number in ``schema_information``; None without a row. Raises Refused for a text that is no number."""
    if _COLUMN not in _legacy_columns(conn):
        return None
    row = conn.execute(f"SELECT last_successful_run::text FROM {_LEGACY} LIMIT 1".encode()).fetchone()
    text = (row[0] or "0").strip().replace(".", "") if row else None
    if text is not None and not re.fullmatch(r"[0-9]+", text):
        raise Refused(
            f"{_LEGACY} should contain the number of the newest migration, but contains {text!r}.",
            hint=f"if no migration was applied, set it to 0: UPDATE {_LEGACY} SET last_successful_run = '0';",
            code="bad_schema_information",
        )
    return text


def _mark(conn: Connection[Any], applied: Iterable[str]) -> None:
    """Write the number of the newest applied migration into ``schema_information``, where the scripts read it.

    The scripts compare numbers of any length. If an older migration has a larger number than the newest, the newest is
    written with 17 digits, so that the scripts do not run the older one again.
    """
    known = list(applied)
    newest = max(known, key=version_key, default="0")
    if any(int(version) > int(newest) for version in known):
        newest = migration_files.comparable(newest)
    columns = _legacy_columns(conn)
    if not columns:
        conn.execute(f"CREATE TABLE {_LEGACY} (id integer PRIMARY KEY, last_successful_run text)".encode())
        columns = {"id", _COLUMN}
    if _COLUMN not in columns:
        return
    if not conn.execute(f"UPDATE {_LEGACY} SET last_successful_run = %s".encode(), [newest]).rowcount:
        names, values = ("id, ", "1, ") if "id" in columns else ("", "")
        conn.execute(f"INSERT INTO {_LEGACY} ({names}last_successful_run) VALUES ({values}%s)".encode(), [newest])


def _legacy_columns(conn: Connection[Any]) -> set[str]:
    """The columns of ``schema_information``, which may lack ``id``; empty if there is no such table."""
    return _columns(conn, _LEGACY)


def _columns(conn: Connection[Any], table: str) -> set[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
    return {row[0] for row in conn.execute(query, [table]).fetchall()}


def _is_there(conn: Connection[Any], table: str) -> bool:
    row = conn.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return bool(row and row[0])

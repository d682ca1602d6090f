"""Which migrations a database has, and how it gets and loses them: one transaction each, in the order of time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, CruddurError, Refused
from ..times import sort_key
from . import lexer, locks, migration_files, scripts, versions
from .connection import Server
from .migration_files import Migration

if TYPE_CHECKING:
    from psycopg import Connection

TABLE = "public.cruddur_migrations"
LEGACY = "public.schema_information"
_COLUMN = "last_successful_run"
_COLUMNS = "version text PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL"


@dataclass(frozen=True)
class Status:
    """One migration: ``applied_at`` is an ISO-8601 time in UTC, or None where it is pending."""

    version: str
    name: str
    applied_at: str | None


@dataclass(frozen=True)
class _Row:
    name: str
    applied_at: datetime


@dataclass(frozen=True)
class _State:
    """What is applied, by version; and how our own table differs from that."""

    applied: Mapping[str, _Row]
    adopted: tuple[str, ...] = ()
    void: tuple[str, ...] = ()


def status(conn: Connection[Any], files: Sequence[Migration]) -> list[Status]:
    """Every migration that is applied or has a file, by time. Changes nothing."""
    applied = _state(conn, files).applied
    names = {migration.version: migration.name for migration in files}
    every = sorted({*applied, *names}, key=versions.key)
    return [_status(version, names.get(version), applied.get(version)) for version in every]


def pending(conn: Connection[Any], files: Sequence[Migration]) -> list[Status]:
    """What ``migrate`` would apply, each file loaded. Raises BadInput as it does; changes nothing."""
    rows = [row for row in status(conn, files) if row.applied_at is None]
    versions_pending = {row.version for row in rows}
    for migration in files:
        if migration.version in versions_pending:
            lexer.split(migration_files.up(migration), source=str(migration.path))
    return rows


def _status(version: str, name: str | None, row: _Row | None) -> Status:
    name = row.name if name is None and row else name
    return Status(version, name or "", sort_key(row.applied_at) if row else None)


def migrate(
    conn: Connection[Any], files: Sequence[Migration], *, server: Server, say: scripts.Say | None = None
) -> list[Status]:
    """Apply what is pending, the oldest first; what was applied here, which another migrator may have shared.

    Each one is committed by itself, together with its record, before the next begins. What is applied is read again
    once the lock is held, so any number of migrators apply each migration once. Raises BadInput and Refused as
    ``scripts.run`` does: of the failing one nothing has happened, the earlier ones stay (``applied`` counts them).
    """

    def applied() -> Iterator[Status]:
        waited = False
        while one := _apply_next(conn, files, server, say, waited=waited):
            yield one
            waited = True

    return _each(conn, applied(), done="applied", say=say)


def _each(conn: Connection[Any], changes: Iterator[Status], *, done: str, say: scripts.Say | None) -> list[Status]:
    """The changes, each told of as it is ``done``, and the next begun in a session of its own.

    An error says how many there were before it, in the field of that name.
    """
    made: list[Status] = []
    conn.prepare_threshold = None  # DISCARD ALL forgets what psycopg had prepared
    try:
        for one in changes:
            made.append(one)
            if say is not None:
                say(f"✓ {one.version} {one.name}: {done}")
            _forget_session(conn)
    except CruddurError as error:
        error.fields[done.replace(" ", "_")] = len(made)
        raise
    return made


def _apply_next(
    conn: Connection[Any], files: Sequence[Migration], server: Server, say: scripts.Say | None, *, waited: bool
) -> Status | None:
    locks.take(conn, wait_s=locks.STATEMENT_S, say=None if waited else say)
    state = _state(conn, files)
    _write_down(conn, state)
    migration = next((found for found in files if found.version not in state.applied), None)
    if migration is None:
        conn.commit()
        return None
    scripts.run(conn, migration_files.up(migration), source=str(migration.path), server=server, say=say)
    row = conn.execute(
        f"INSERT INTO {TABLE} (version, name, applied_at) VALUES (%s, %s, now()) RETURNING applied_at".encode(),
        [migration.version, migration.name],
    ).fetchone()
    assert row is not None
    _mark(conn, [*state.applied, migration.version])
    conn.commit()
    return _status(migration.version, migration.name, _Row(migration.name, row[0]))


def to_undo(
    conn: Connection[Any], files: Sequence[Migration], *, steps: int = 1, to: str | None = None
) -> list[Migration]:
    """What a rollback would undo, the newest first: ``steps`` of them, or all that are newer than version ``to``.

    Raises BadInput where a version is not known, or a file is gone or says nothing of how it is undone.
    """
    applied = _state(conn, files).applied
    newest_first = sorted(applied, key=versions.key, reverse=True)
    by_version = {migration.version: migration for migration in files}
    if to is None:
        chosen = newest_first[:steps]
    elif to != "0" and to not in applied and to not in by_version:
        raise BadInput(f"There is no migration {to!r}.", hint="cruddur db migration-status", code="no_such_migration")
    else:
        chosen = [version for version in newest_first if versions.key(version) > versions.key(to)]
    for version in chosen:
        if version not in by_version:
            raise BadInput(
                f"{version} {applied[version].name} was applied and its file is gone, so it cannot be undone.",
                hint="bring the file back, as from git",
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
    say: scripts.Say | None = None,
) -> list[Status]:
    """Undo what ``to_undo`` has named, one transaction each; what was undone, and when it had been applied.

    Raises Refused where somebody else has changed what is newest since, and as ``scripts.run`` does.
    """
    undone = (_undo_newest(conn, files, migration, server, say) for migration in undo)
    return _each(conn, undone, done="rolled back", say=say)


def _undo_newest(
    conn: Connection[Any], files: Sequence[Migration], migration: Migration, server: Server, say: scripts.Say | None
) -> Status:
    locks.take(conn, wait_s=locks.STATEMENT_S, say=say)
    state = _state(conn, files)
    if max(state.applied, key=versions.key, default=None) != migration.version:
        raise Refused(
            f"{migration.version} {migration.name} is not the newest migration of {server.label} any more.",
            hint="cruddur db migration-status",
            code="changed_meanwhile",
        )
    _write_down(conn, state)
    scripts.run(conn, migration_files.down(migration), source=str(migration.path), server=server, say=say)
    conn.execute(f"DELETE FROM {TABLE} WHERE version = %s".encode(), [migration.version])
    _mark(conn, [version for version in state.applied if version != migration.version])
    conn.commit()
    return _status(migration.version, migration.name, state.applied[migration.version])


def recorded(conn: Connection[Any]) -> list[str]:
    """The versions in our own table, the newest last."""
    if not _is_there(conn, TABLE):
        return []
    return sorted((row[0] for row in conn.execute(f"SELECT version FROM {TABLE}".encode())), key=versions.key)


def forget(conn: Connection[Any]) -> None:
    """Nothing counts as applied from here on: for a schema that is about to be loaded anew, in the same transaction.

    What the schema file itself then writes into ``schema_information`` counts.
    """
    if _is_there(conn, TABLE):
        conn.execute(f"DELETE FROM {TABLE}".encode())
    if _COLUMN in _legacy_columns(conn):
        conn.execute(f"UPDATE {LEGACY} SET last_successful_run = '0'".encode())


def _state(conn: Connection[Any], files: Iterable[Migration]) -> _State:
    """What is applied: what our table has, as far as ``schema_information`` still says what was written with it.

    Where it says something else, somebody used the scripts, or loaded the schema, or wrote it by hand, and it is taken
    as the scripts take it: everything up to its number is applied, nothing after it. Migrations older than our newest
    one stay as our table has them.
    """
    recorded: dict[str, _Row] = {}
    if _is_there(conn, TABLE):
        rows = conn.execute(f"SELECT version, name, applied_at FROM {TABLE}".encode()).fetchall()
        recorded = {version: _Row(name, applied_at) for version, name, applied_at in rows}
    says = _legacy(conn)
    newest = max(map(versions.key, recorded), default=(0, 0))
    if says is None or versions.key(says) == newest:
        return _State(recorded)
    limit = versions.key(says)
    void = tuple(version for version in recorded if versions.key(version) > limit)
    kept = {version: row for version, row in recorded.items() if version not in void}
    # The scripts wrote down the time of the run.
    when = versions.instant(says) or datetime.now(UTC)
    adopted = {
        migration.version: _Row(migration.name, when)
        for migration in files
        if newest < versions.key(migration.version) <= limit
    }
    return _State({**kept, **adopted}, tuple(adopted), void)


def _write_down(conn: Connection[Any], state: _State) -> None:
    """Bring our table in line with what is applied."""
    conn.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({_COLUMNS})".encode())
    conn.execute(f"DELETE FROM {TABLE} WHERE version = ANY(%s)".encode(), [list(state.void)])
    for version in state.adopted:
        row = state.applied[version]
        conn.execute(f"INSERT INTO {TABLE} VALUES (%s, %s, %s)".encode(), [version, row.name, row.applied_at])
    if state.adopted or state.void:
        _mark(conn, state.applied)


def _legacy(conn: Connection[Any]) -> str | None:
    """The number in ``schema_information``; None where there is none. Raises Refused for what is no number."""
    if _COLUMN not in _legacy_columns(conn):
        return None
    row = conn.execute(f"SELECT last_successful_run::text FROM {LEGACY} LIMIT 1".encode()).fetchone()
    text = (row[0] or "0").strip().replace(".", "") if row else None
    if text is not None and not re.fullmatch(r"[0-9]+", text):
        raise Refused(
            f"{LEGACY} should hold the number of the newest migration, and holds {text!r}.",
            hint=f"UPDATE {LEGACY} SET last_successful_run = '0'; means that none was applied",
            code="bad_schema_information",
        )
    return text


def _mark(conn: Connection[Any], applied: Iterable[str]) -> None:
    """Keep ``schema_information`` as the scripts read it: one row, the number of the newest migration applied.

    They compare numbers whatever their length. Where an older migration has more digits than the newest, the newest is
    written with as many, at the same time, so that they do not take the older one for pending.
    """
    known = list(applied)
    newest = max(known, key=versions.key, default="0")
    if any(int(version) > int(newest) for version in known):
        newest = versions.comparable(newest)
    columns = _legacy_columns(conn)
    if not columns:
        conn.execute(f"CREATE TABLE {LEGACY} (id integer PRIMARY KEY, last_successful_run text)".encode())
        columns = {"id", _COLUMN}
    if _COLUMN not in columns:
        return
    if not conn.execute(f"UPDATE {LEGACY} SET last_successful_run = %s".encode(), [newest]).rowcount:
        names, values = ("id, ", "1, ") if "id" in columns else ("", "")
        conn.execute(f"INSERT INTO {LEGACY} ({names}last_successful_run) VALUES ({values}%s)".encode(), [newest])


def _legacy_columns(conn: Connection[Any]) -> set[str]:
    """The columns of ``schema_information``, none where it is missing; some people's has no id."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
    return {row[0] for row in conn.execute(query, [LEGACY]).fetchall()}


def _is_there(conn: Connection[Any], table: str) -> bool:
    row = conn.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return bool(row and row[0])


def _forget_session(conn: Connection[Any]) -> None:
    """Every migration starts in a session as fresh as psql's: no search_path, role or temporary table of the last."""
    conn.autocommit = True
    conn.execute("DISCARD ALL")
    conn.autocommit = False

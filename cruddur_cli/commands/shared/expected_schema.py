"""Owns the expected schema: the one that this checkout's files create.

It is built in a temporary database and stored in a file. ``doctor`` changes nothing, so it compares only with what a
set-up, a migration or ``db diff`` has stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import output
from ...errors import CruddurError, NotConfigured, NotFound
from ...local import home
from ...postgres import catalogue, connection, database, locks
from ...postgres.connection import Server
from ...postgres.migrations import runner as migration_runner
from ...postgres.migrations.files import Migration
from ...settings import Settings
from . import connections, load_sql, targets, try_database
from .load_sql import Script

if TYPE_CHECKING:
    from psycopg import Connection

# Increase it when `catalogue.definitions` describes the same objects in other words.
_FORM = 1
Definitions = dict[str, str]
described = catalogue.definitions


def of_files(
    s: Settings, at: Server, script: Script, files: Sequence[Migration], *, is_production: bool
) -> Definitions:
    """The definitions of what the schema and all migrations create, built on the server ``at``.

    No database is created on a remote server, or beside a database that is marked as production: there the stored
    definitions are returned. Raises NotConfigured where none are stored, and the errors of files that cannot be run.
    """
    if s.prod or is_production or targets.is_foreign(at):
        definitions = _read(_key(script, files))
        if definitions is None:
            raise NotConfigured(
                "The expected schema is not known yet: it is built on a local server, never on this one.",
                hint="run `cruddur db diff` on a local database first, then this again",
                code="expected_schema_unknown",
            )
        return definitions
    definitions = _built(s, at, script, files)
    _write(_key(script, files), definitions)
    return definitions


def stored(s: Settings, migrations: Sequence[Migration]) -> Definitions | None:
    """The stored definitions of what the schema and these migrations create; None where none are stored."""
    try:
        return _read(_key(load_sql.read_schema(s), migrations))
    except CruddurError:
        return None


def store(conn: Connection[Any], script: Script, files: Sequence[Migration], definitions: Definitions) -> None:
    """Store the definitions that a schema has created, under the migrations that count as applied."""
    _write(_key(script, applied(conn, files)), definitions)


def is_met(s: Settings, conn: Connection[Any], files: Sequence[Migration]) -> bool:
    """Whether the database has exactly the schema that is stored for its migrations."""
    if s.origins["schema_file"].startswith("--"):  # it may be standard input, which can be read only once
        return False
    with suppress(CruddurError):
        return stored(s, applied(conn, files)) == described(conn)
    return False


def store_migrated(s: Settings, conn: Connection[Any], files: Sequence[Migration]) -> None:
    """Store the schema of a database after its migration, where ``is_met`` was true before."""
    with suppress(CruddurError):
        store(conn, load_sql.read_schema(s), files, described(conn))


def applied(conn: Connection[Any], files: Sequence[Migration]) -> list[Migration]:
    """The migrations that count as applied in the database."""
    pending = {row.version for row in migration_runner.status(conn, files) if row.state == "pending"}
    return [migration for migration in files if migration.version not in pending]


def _built(s: Settings, at: Server, script: Script, files: Sequence[Migration]) -> Definitions:
    quiet = replace(s, quiet=True)
    with suppress(NotFound):
        with connection.opened_maintenance(at) as conn:
            is_allowed = database.can_create(conn)
        if is_allowed:
            with try_database.beside(at) as temporary, connections.postgres(quiet, at=temporary) as conn:
                return _run_files(quiet, conn, temporary, script, files, commits=True)
    output.note(s, f"{at.user} cannot create a database here: the files are tried in a transaction that is rolled back")
    connections.refuse_stamped(s, at)
    with connections.postgres(s, at=at) as conn, locks.guarded(conn, at):
        locks.take(conn, say=lambda text: output.note(s, text))
        database.empty(conn)
        return _run_files(quiet, conn, at, script, files, commits=False)


def _run_files(
    s: Settings, conn: Connection[Any], at: Server, script: Script, files: Sequence[Migration], *, commits: bool
) -> Definitions:
    """The definitions of what the files create in an empty database. The transaction is rolled back, roles included."""
    try:
        load_sql.schema(s, conn, at, script)
        migration_runner.build(conn, files, server=at, commits=commits)
        return described(conn)
    finally:
        if not conn.closed:
            conn.rollback()


def _key(script: Script, migrations: Sequence[Migration]) -> str | None:
    """The key of an expected schema: a hash of its files. None where a file cannot be read."""
    try:
        contents = [(migration.version, migration.path.read_bytes().hex()) for migration in migrations]
    except OSError:
        return None
    return hashlib.sha256(json.dumps([_FORM, script.text, contents]).encode()).hexdigest()


def _folder() -> Path:
    """The folder of the stored schemas. Raises RuntimeError where the environment names no home."""
    return home.caches() / "schemas"


def _read(key: str | None) -> Definitions | None:
    try:
        definitions = json.loads((_folder() / f"{key}.json").read_text())
        return {str(name): str(text) for name, text in definitions.items()}
    except (OSError, ValueError, AttributeError, RuntimeError):
        return None


def _write(key: str | None, definitions: Definitions) -> None:
    if key is None:
        return
    with suppress(OSError, RuntimeError):  # without the file, doctor reports that it cannot compare
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.write(folder / f"{key}.json", dict[str, object](definitions))

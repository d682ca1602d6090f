"""The schema that this checkout's files make: built in a database of its own, and kept in a file for later.

``doctor`` changes nothing, so it compares only with what was kept: by a set-up, a migration or ``db diff``.
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

# Changes when `catalogue.definitions` describes the same objects in other words.
_FORM = 1
Definitions = dict[str, str]
described = catalogue.definitions


def of_files(
    s: Settings, at: Server, script: Script, files: Sequence[Migration], *, is_production: bool
) -> Definitions:
    """What the schema and all migrations make, built on the server ``at``.

    Remote servers, and those of a database that is marked as production, get no database for this: there it is what
    was kept. Raises NotConfigured where nothing was, and what a file is refused for.
    """
    if s.prod or is_production or targets.is_foreign(at):
        found = _read(_key(script, files))
        if found is None:
            raise NotConfigured(
                "The expected schema is not known yet: it is built on a local server, never on this one.",
                hint="run `cruddur db diff` on a local database first, then this again",
                code="expected_schema_unknown",
            )
        return found
    found = _built(s, at, script, files)
    _write(_key(script, files), found)
    return found


def kept(s: Settings, migrations: Sequence[Migration]) -> Definitions | None:
    """What the schema and these migrations make, if it is known; it is not built here."""
    try:
        return _read(_key(load_sql.read_schema(s), migrations))
    except CruddurError:
        return None


def keep(conn: Connection[Any], script: Script, files: Sequence[Migration], made: Definitions) -> None:
    """Keep what a schema has made, together with the migrations that count as applied."""
    _write(_key(script, applied(conn, files)), made)


def is_met(s: Settings, conn: Connection[Any], files: Sequence[Migration]) -> bool:
    """Whether the database has the very schema that is known for its migrations."""
    if s.origins["schema_file"].startswith("--"):  # standard input can be read once
        return False
    with suppress(CruddurError):
        return kept(s, applied(conn, files)) == described(conn)
    return False


def keep_migrated(s: Settings, conn: Connection[Any], files: Sequence[Migration]) -> None:
    """Keep the schema of a database in which ``is_met`` was true before it was migrated."""
    with suppress(CruddurError):
        keep(conn, load_sql.read_schema(s), files, described(conn))


def applied(conn: Connection[Any], files: Sequence[Migration]) -> list[Migration]:
    """The migrations that count as applied."""
    pending = {row.version for row in migration_runner.status(conn, files) if row.state == "pending"}
    return [each for each in files if each.version not in pending]


def _built(s: Settings, at: Server, script: Script, files: Sequence[Migration]) -> Definitions:
    quiet = replace(s, quiet=True)
    with suppress(NotFound):
        with connection.opened_maintenance(at) as conn:
            is_allowed = database.can_create(conn)
        if is_allowed:
            with try_database.beside(at) as beside, connections.postgres(quiet, at=beside) as conn:
                return _made(quiet, conn, beside, script, files, commits=True)
    output.note(s, f"{at.user} cannot create a database here: the files are tried in a transaction that is rolled back")
    connections.refuse_stamped(s, at)
    with connections.postgres(s, at=at) as conn, locks.guarded(conn, at):
        locks.take(conn, say=lambda text: output.note(s, text))
        database.empty(conn)
        return _made(quiet, conn, at, script, files, commits=False)


def _made(
    s: Settings, conn: Connection[Any], at: Server, script: Script, files: Sequence[Migration], *, commits: bool
) -> Definitions:
    """What the files make in an empty database; rolled back, and so is what belongs to the server, such as roles."""
    try:
        load_sql.schema(s, conn, at, script)
        migration_runner.build(conn, files, server=at, commits=commits)
        return described(conn)
    finally:
        if not conn.closed:
            conn.rollback()


def _key(script: Script, migrations: Sequence[Migration]) -> str | None:
    """What tells one expected schema from another; None where a file cannot be read."""
    try:
        every = [(each.version, each.path.read_bytes().hex()) for each in migrations]
    except OSError:
        return None
    return hashlib.sha256(json.dumps([_FORM, script.text, every]).encode()).hexdigest()


def _folder() -> Path:
    """Raises RuntimeError where the environment names no home."""
    return home.caches() / "schemas"


def _read(key: str | None) -> Definitions | None:
    try:
        found = json.loads((_folder() / f"{key}.json").read_text())
        return {str(name): str(text) for name, text in found.items()}
    except (OSError, ValueError, AttributeError, RuntimeError):
        return None


def _write(key: str | None, made: Definitions) -> None:
    if key is None:
        return
    with suppress(OSError, RuntimeError):  # then doctor says that it cannot compare
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.write(folder / f"{key}.json", dict[str, object](made))

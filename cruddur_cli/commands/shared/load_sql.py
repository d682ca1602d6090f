"""Finds the SQL files that a command loads, counts the rows that they would destroy, and loads them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import output
from ...errors import BadInput, CruddurError, Exit, NotConfigured, Refused
from ...output.text import counted
from ...postgres import database, locks, production_marker, users
from ...postgres.connection import Server
from ...postgres.migrations import runner as migration_runner
from ...postgres.sql_files import idempotent_seed, rehearsal, splitter
from ...postgres.sql_files import runner as sql_runner
from ...settings import Settings
from . import confirm, connections, seed_files, targets

if TYPE_CHECKING:
    from psycopg import Connection

NOTHING = "Nothing was changed."
DATABASE = Path("backend-flask") / "db"
SCHEMA = "schema.sql"
SEED = "seed.sql"
MIGRATIONS = "migrations"
# By the file's name: the setting that names another file, and the built-in file where a checkout has none.
_SETTINGS = {SCHEMA: "schema_file", SEED: "seed_file", MIGRATIONS: "migrations_dir"}
_BUILT_IN = {SCHEMA: "schema.sql", SEED: "users.sql"}
_COMMANDS = {SCHEMA: "schema-load", SEED: "seed"}
_OPTIONS = {SCHEMA: "--file", SEED: "--seed-file (`db seed`: --file)"}
_MAKES_USERS = re.compile(rb'(?i)\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:"?public"?\.)?"?users"?\s*\(')
_LOOKED_AT = 1 << 18  # bytes of each file that are searched for the table
# A search stays inside one checkout, and leaves out folders that programs fill.
_DEPTH = 6
_FOLDERS = 5_000
_SKIPPED = {"node_modules", "venv", "env", "site-packages", "__pycache__", "dist", "build", "target", "vendor", "tests"}
# The first bytes of files that are often given instead of SQL: gzip (RFC 1952), and pg_dump's formats c and t.
_ARCHIVES = (
    (b"\x1f\x8b", "compressed by gzip", "gunzip -c"),
    (b"PGDMP", "an archive of pg_dump", "pg_restore -f -"),
    (b"toc.dat\0", "an archive of pg_dump", "pg_restore -f -"),
)
_DUPLICATE_TABLE = "42P07"


@dataclass(frozen=True)
class Script:
    """The text of an SQL file and its ``source``; ``is_built_in`` where the file comes with this program."""

    name: str
    text: str
    source: str
    is_built_in: bool

    def __str__(self) -> str:
        """The kind and the file, for messages: ``schema: db/schema.sql``."""
        kind = "schema" if self.name == SCHEMA else "seed"
        if not self.is_built_in:
            return f"{kind}: {self.source}"
        return f"{kind}: the built-in one, because there is no {self.name} here"


def read_schema(s: Settings) -> Script:
    """The schema to load.

    Raises BadInput for a file that cannot be used, NotConfigured where several files are possible.
    """
    return _read(s, SCHEMA)


def read_seed(s: Settings) -> Script:
    """The seed to load: users and activities. Raises the same errors as ``read_schema``."""
    return _read(s, SEED)


class Scripts:
    """The schema and the seed of a set-up. Each file is read once, when it is needed.

    One of them may be standard input, which cannot be read twice.
    """

    def __init__(self, s: Settings) -> None:
        self._s = s

    @cached_property
    def schema(self) -> Script:
        """The schema. Raises the same errors as ``read_schema``."""
        return read_schema(self._s)

    @cached_property
    def seed(self) -> Script:
        """The seed. Raises the same errors as ``read_schema``."""
        return read_seed(self._s)


def _read(s: Settings, name: str) -> Script:
    setting = _SETTINGS[name]
    is_option = s.origins[setting].startswith("--")
    if is_option and getattr(s, setting) == "-":
        path: Path | None = Path("-")
    else:
        path = locate(s, name)
    if path is None:
        if name == SCHEMA and (alternatives := _making_users(Path.cwd())):
            file_names = ", ".join(str(path) for path in alternatives[:3])
            output.warn(
                f"not loaded, because no file is named schema.sql: {file_names}; to load a file with the table users,"
                " pass --file FILE"
            )
        return Script(name, seed_files.text(_BUILT_IN[name]), _BUILT_IN[name], is_built_in=True)
    content, source = seed_files.given(str(path))
    _refuse_archive(content, source, _COMMANDS[name])
    text = splitter.decode(content, source=source)
    # Commands of psql are refused here, before any question and before rows are counted. An application's seed may
    # be empty.
    if not splitter.split(text, source=source) and (name == SCHEMA or is_option):
        raise BadInput(f"{source} contains no SQL statement.", code="not_sql")
    if sql_runner.DUMP in text[: sql_runner.DUMP_BEGINS] and f"{sql_runner.DUMP} complete" not in text:
        output.warn(f"{source} lacks pg_dump's last line, '{sql_runner.DUMP} complete': its end may be missing")
    return Script(name, text, source, is_built_in=False)


def _refuse_archive(content: bytes, source: str, command: str) -> None:
    """Raise BadInput for an archive or a compressed file; the hint has the program that makes SQL of it."""
    for first_bytes, what, program in _ARCHIVES:
        if content.startswith(first_bytes):
            file = "FILE" if source == "standard input" else shlex.quote(source)
            raise BadInput(
                f"{source} is {what}, but SQL has to be plain text.",
                hint=f"{program} {file} | cruddur db {command} --file -",
                code="not_sql",
            )


def migrations(s: Settings) -> Path:
    """The folder of the migrations, which need not exist yet. Raises NotConfigured outside of a checkout."""
    folder = find_migrations(s)
    if folder is None:
        raise NotConfigured(
            f"There is no {DATABASE}/{MIGRATIONS} here or above.",
            hint="run it in a checkout of the application, or set migrations_dir in cruddur.toml",
            code="no_migrations_folder",
        )
    return folder


def find_migrations(s: Settings) -> Path | None:
    """The folder of the migrations, which need not exist yet; None outside of a checkout."""
    return locate(s, MIGRATIONS)


def locate(s: Settings, name: str) -> Path | None:
    """The file or folder of that name: from the setting, from the checkout's usual folder, or the only candidate there.

    None where there is none. A path from a setting need not exist, and neither need ``backend-flask/db/migrations``,
    which the first migration creates. Migrations may also be in a folder beside the schema that was found. Raises
    NotConfigured where several files are possible.
    """
    here = Path.cwd()
    configured = getattr(s, _SETTINGS[name])
    if configured is not None:
        # A path in cruddur.toml is relative to the folder of cruddur.toml.
        is_in_file = s.file is not None and s.origins[_SETTINGS[name]].startswith(str(s.file))
        base = s.file.parent if s.file is not None and is_in_file else here
        return _shown(base / Path(configured).expanduser(), here)
    places = [place / DATABASE for place in (here, *here.parents) if (place / DATABASE).is_dir()]
    if name == MIGRATIONS:
        usual_folder = places[0] / name if places else None
        beside_schema = None if usual_folder and usual_folder.is_dir() else _beside_schema(here)
        paths = [path for path in (beside_schema, usual_folder) if path]
        return _shown(paths[0], here) if paths else None
    if places and (places[0] / name).is_file():
        return _shown(places[0] / name, here)
    paths = _candidates(here, name)
    if len(paths) > 1:
        file_names = ", ".join(str(_shown(path, here)) for path in paths[:8])
        raise NotConfigured(
            f"There are {len(paths)} files that may be the {name.partition('.')[0]}: {file_names}.",
            hint=f"pass one of them with {_OPTIONS[name]}, or set {_SETTINGS[name]} in cruddur.toml",
            code="several_files",
        )
    return _shown(paths[0], here) if paths else None


def _beside_schema(here: Path) -> Path | None:
    """The folder of migrations beside the only schema file of the checkout, if there is one."""
    schemas = _candidates(here, SCHEMA)
    folder = schemas[0].parent / MIGRATIONS if len(schemas) == 1 else None
    return folder if folder and folder.is_dir() else None


def checkout(here: Path) -> Path | None:
    """The checkout around ``here``; None outside of a checkout."""
    places = (here, *here.parents)
    marks = (".git", DATABASE.parts[0])  # a checkout from an archive has no .git
    return next((place for mark in marks for place in places if (place / mark).exists()), None)


def _making_users(here: Path) -> list[Path]:
    """The SQL files in the checkout around ``here`` that create a table ``users``: schemas of another name."""
    root = checkout(here)
    schemas = []
    for path in sorted(_sql_files(root)) if root else []:
        with contextlib.suppress(OSError), path.open("rb") as file:
            if _MAKES_USERS.search(file.read(_LOOKED_AT)):
                schemas.append(_shown(path, here))
    return schemas


def _candidates(here: Path, name: str) -> list[Path]:
    """The SQL files in the checkout around ``here`` of exactly this name, else those whose name contains its word."""
    root = checkout(here)
    if root is None:
        return []
    word = name.partition(".")[0]
    matches = sorted(path for path in _sql_files(root) if word in path.stem.lower())
    exact = [path for path in matches if path.name.lower() == name]
    return exact or matches


def _sql_files(root: Path) -> Iterator[Path]:
    for folders, (folder, subfolders, names) in enumerate(os.walk(root)):
        depth = len(Path(folder).relative_to(root).parts)
        visible = [
            name for name in subfolders if not name.startswith(".") and name.lower() not in _SKIPPED | {MIGRATIONS}
        ]
        subfolders[:] = sorted(visible) if depth < _DEPTH and folders < _FOLDERS else []
        yield from (Path(folder) / name for name in names if name.lower().endswith(".sql"))


def _shown(path: Path, here: Path) -> Path:
    """The path for a user in ``here``: relative where it is below ``here``, else unchanged."""
    return Path(os.path.relpath(path, here)) if path.is_relative_to(here) else path


def seeded_uuids() -> dict[str, str]:
    """The UUIDs of the people of the built-in seed, by handle. The keys of the seeded DynamoDB items contain them."""
    return {
        handle: uuid
        for uuid, handle in re.findall(r"\('([0-9a-f-]{36})'::uuid, '[^']*', '(\w+)'", seed_files.text("users.sql"))
    }


def rehearse_schema(s: Settings, at: Server, script: Script) -> rehearsal.Effects:
    """The rows that this schema would destroy. Raises Refused where PostgreSQL refuses the file."""
    return _rehearse(s, at, script, lambda conn: _run_schema(conn, at, script))


def rehearse_seed(s: Settings, at: Server, script: Script) -> rehearsal.Effects:
    """The rows that this seed file would delete or overwrite; none for the built-in one. Raises Refused."""
    if script.is_built_in:
        return rehearsal.Effects()
    return _rehearse(s, at, script, lambda conn: _run_seed(conn, at, script))


def _rehearse(s: Settings, at: Server, script: Script, execute: Any) -> rehearsal.Effects:
    is_production = s.prod or targets.is_foreign(at)
    # A local dry run needs a writable connection, too; everything is rolled back.
    open_at = replace(at, read_only=s.dry_run and is_production)
    with connections.postgres(s, at=open_at) as conn:
        if not s.prod and not s.dry_run:
            production_marker.refuse(conn, at.label)
        return rehearsal.run(conn, at, script.text, lambda: execute(conn), is_production=is_production)


def schema_at_once(s: Settings, at: Server, script: Script) -> None:
    """Load a schema into a local database that is already confirmed: the file runs once, without a rehearsal.

    The rows that it destroys are counted and printed before the commit.
    """
    with connections.postgres(s, at=at) as conn, locks.guarded(conn, at):
        production_marker.refuse(conn, at.label)
        locks.take(conn, say=lambda text: output.note(s, text))
        applied = migration_runner.recorded(conn)
        effects = rehearsal.watch(conn, lambda: schema(s, conn, at, script))
        warn_of_remaining(applied, script, effects)
        if effects:
            confirm.destroy(s, what=f"The tables of {at.label}", name=at.database, losing=str(effects), remote=False)


def schema(s: Settings, conn: Connection[Any], at: Server, script: Script) -> None:
    """Load a schema, all of it or nothing.

    Afterwards only the migrations that the schema itself records count as applied.
    """
    output.note(s, str(script))
    migration_runner.forget(conn)
    _run_schema(conn, at, script, say=lambda text: output.note(s, text))
    if s.prod:
        production_marker.write(conn)  # the file may have dropped the schema that has the mark
    elif production_marker.is_production(conn):
        output.warn(
            f"{script.source} contains the production mark: {at.label} now counts as production, and is not "
            f"changed without --prod. For a copy: cruddur db release-copy"
        )


def _run_schema(conn: Connection[Any], at: Server, script: Script, *, say: sql_runner.Say | None = None) -> None:
    try:
        sql_runner.run(conn, script.text, source=script.source, server=at, say=say)
    except Refused as error:
        if error.fields.get("sqlstate") != _DUPLICATE_TABLE:
            raise
        hint = (
            "the file does not drop the tables that it creates; load it into an empty database: "
            f"cruddur db reset --file {script.source}"
        )
        raise Refused(error.message, hint=hint, code=error.code, details=error.details, fields=error.fields) from error


def warn_of_remaining(applied: Sequence[str], script: Script, effects: rehearsal.Effects) -> None:
    """Warn of objects that a schema file leaves: tables that it does not drop, and objects that migrations created.

    ``applied`` are the migrations that were recorded before.
    """
    remaining = [table for table in effects.staying if table not in database.BOOKKEEPING]
    warnings = []
    if remaining:
        warnings.append(f"{script.source} does not drop {', '.join(remaining)}: they are not changed")
    if applied:
        warnings.append(
            f"{counted(len(applied), 'migration')} (the newest {applied[-1]}) no longer "
            f"{'counts' if len(applied) == 1 else 'count'} as applied; other "
            'objects they created remain, so `cruddur db migrate` may fail with "already exists"'
        )
    if warnings:
        output.warn("; ".join(warnings) + ". `cruddur db reset` creates the whole database again")


def seed(s: Settings, conn: Connection[Any], at: Server, script: Script) -> int:
    """Seed users and activities; returns the number of new rows.

    Existing people keep all their values, also their UUIDs.
    """
    say = lambda text: output.note(s, text)  # noqa: E731
    is_marked = s.prod and production_marker.is_production(conn)
    output.note(s, str(script))
    if not script.is_built_in:
        added = _run_seed(conn, at, script, say=say)
    else:
        reason = _reason_against_built_in(conn)
        if reason:
            output.note(s, reason)
            return 0
        rows_before = database.rows(conn)
        text, _ = idempotent_seed.fitting(conn, script.text)
        sql_runner.run(conn, text, source=script.source, server=at, say=say)
        added = database.added(rows_before, database.rows(conn))
    if is_marked:
        production_marker.write(conn)
    return added


def _run_seed(conn: Connection[Any], at: Server, script: Script, *, say: sql_runner.Say | None = None) -> int:
    known = seeded_uuids()
    return idempotent_seed.run(conn, script.text, source=script.source, server=at, known=known, say=say)


def _reason_against_built_in(conn: Connection[Any]) -> str:
    """Why the built-in seed is not loaded; empty where it can be loaded.

    The built-in people are not added to a database that has other users.
    """
    if not has_users(conn):
        return ""
    if not set(seeded_uuids()) <= set(users.handles(conn)):
        return "the built-in people are not added, because the database has users of its own"
    if not idempotent_seed.fitting(conn, seed_files.text("users.sql"))[1]:
        return "the built-in seed is not loaded, because the tables have other columns than the built-in schema"
    return ""


def fill(s: Settings, conn: Connection[Any], at: Server, scripts: Scripts, *, empty: bool) -> tuple[str, bool]:
    """Load the seed as a step of a set-up: the result in words, and whether it is a change.

    It loads only where there are no users, and not where it would delete or overwrite rows. ``empty`` says that there
    were no tables when the set-up began.
    """
    if not (empty and s.dry_run) and has_users(conn):
        return "exist", False
    script = scripts.seed
    if not empty and not script.is_built_in:
        losing = rehearse_seed(s, at, script)
        if losing:
            output.warn(f"{script.source} is not loaded, because it would destroy {losing}; `cruddur db seed` loads it")
            return "none", False
    if s.dry_run:
        if not script.is_built_in:
            return f"would be seeded from {script.source}", True
        return f"{', '.join(sorted(seeded_uuids()))} would be added", True
    rows_before = database.rows(conn)
    if not seed(s, conn, at, script):
        return "exist" if has_users(conn) else f"none, because {script.source} adds none", False
    return f"{database.named(database.more(rows_before, database.rows(conn)))} added", True


def confirm_seed(s: Settings, at: Server, script: Script, effects: rehearsal.Effects) -> None:
    """Ask before a seed file deletes or overwrites rows. Raises Protected."""
    remote = targets.is_foreign(at)
    if effects:
        sentence = f"{script.source} deletes or overwrites rows of {at.label}: {effects}."
        if s.dry_run:
            output.note(s, sentence)
            return
        confirm.agree(s, sentence, name=at.database, remote=remote, losing=str(effects))
    else:
        confirm.replace(s, what=at.label, name=at.database, remote=remote)


def unchanged(error: CruddurError) -> CruddurError:
    """The error with the sentence that nothing was changed, where PostgreSQL refused the load."""
    return error.adding(NOTHING) if error.exit_code == Exit.REFUSED else error


def has_users(conn: Connection[Any]) -> bool:
    """Whether ``public.users`` has a row."""
    row = conn.execute("SELECT EXISTS (SELECT FROM public.users)").fetchone()
    return bool(row and row[0])

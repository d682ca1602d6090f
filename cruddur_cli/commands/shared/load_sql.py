"""Finds the SQL files that a command loads, counts what they would destroy, and loads them."""

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
# Which setting names another file, and what comes with this program where there is none.
_SETTINGS = {SCHEMA: "schema_file", SEED: "seed_file", MIGRATIONS: "migrations_dir"}
_BUILT_IN = {SCHEMA: "schema.sql", SEED: "users.sql"}
_COMMANDS = {SCHEMA: "schema-load", SEED: "seed"}
_OPTIONS = {SCHEMA: "--file", SEED: "--seed-file (`db seed`: --file)"}
_MAKES_USERS = re.compile(rb'(?i)\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:"?public"?\.)?"?users"?\s*\(')
_LOOKED_AT = 1 << 18  # bytes of each file
# A search stays inside of one checkout, and out of what programs fill.
_DEPTH = 6
_FOLDERS = 5_000
_SKIPPED = {"node_modules", "venv", "env", "site-packages", "__pycache__", "dist", "build", "target", "vendor", "tests"}
# The first bytes of files that people have instead of SQL: RFC 1952, and pg_dump's archives in format c and t.
_ARCHIVES = (
    (b"\x1f\x8b", "compressed by gzip", "gunzip -c"),
    (b"PGDMP", "an archive of pg_dump", "pg_restore -f -"),
    (b"toc.dat\0", "an archive of pg_dump", "pg_restore -f -"),
)
_DUPLICATE_TABLE = "42P07"


@dataclass(frozen=True)
class Script:
    """A file of SQL as text, and what to call it; ``is_built_in`` is one that comes with this program."""

    name: str
    text: str
    source: str
    is_built_in: bool

    def __str__(self) -> str:
        """The name of the file, for messages."""
        kind = "schema" if self.name == SCHEMA else "seed"
        if not self.is_built_in:
            return f"{kind}: {self.source}"
        return f"{kind}: the built-in one, because there is no {self.name} here"


def read_schema(s: Settings) -> Script:
    """The schema to load. Raises BadInput for a file that cannot be used, NotConfigured where several may be meant."""
    return _read(s, SCHEMA)


def read_seed(s: Settings) -> Script:
    """The seed to load: users and activities. Raises as ``read_schema`` does."""
    return _read(s, SEED)


class Scripts:
    """The schema and the seed of a set-up, each read once, when it is needed: one of them may be standard input."""

    def __init__(self, s: Settings) -> None:
        self._s = s

    @cached_property
    def schema(self) -> Script:
        """Raises as ``read_schema`` does."""
        return read_schema(self._s)

    @cached_property
    def seed(self) -> Script:
        """Raises as ``read_schema`` does."""
        return read_seed(self._s)


def _read(s: Settings, name: str) -> Script:
    setting = _SETTINGS[name]
    asked = s.origins[setting].startswith("--")
    if asked and getattr(s, setting) == "-":
        found: Path | None = Path("-")
    else:
        found = locate(s, name)
    if found is None:
        if name == SCHEMA and (others := _making_users(Path.cwd())):
            named = ", ".join(str(path) for path in others[:3])
            output.warn(
                f"not loaded, because no file is named schema.sql: {named}; to load a file with the table users,"
                " pass --file FILE"
            )
        return Script(name, seed_files.text(_BUILT_IN[name]), _BUILT_IN[name], is_built_in=True)
    content, source = seed_files.given(str(found))
    _refuse_archive(content, source, _COMMANDS[name])
    text = splitter.decode(content, source=source)
    # What only psql understands is refused before anything is asked or counted. An application may have no seeds.
    if not splitter.split(text, source=source) and (name == SCHEMA or asked):
        raise BadInput(f"{source} contains no SQL statement.", code="not_sql")
    if sql_runner.DUMP in text[: sql_runner.DUMP_BEGINS] and f"{sql_runner.DUMP} complete" not in text:
        output.warn(f"{source} lacks pg_dump's last line, '{sql_runner.DUMP} complete': its end may be missing")
    return Script(name, text, source, is_built_in=False)


def _refuse_archive(content: bytes, source: str, command: str) -> None:
    """Raise BadInput for an archive or a compressed file, with the program that makes SQL of it."""
    for begins, what, program in _ARCHIVES:
        if content.startswith(begins):
            file = "FILE" if source == "standard input" else shlex.quote(source)
            raise BadInput(
                f"{source} is {what}, but SQL has to be plain text.",
                hint=f"{program} {file} | cruddur db {command} --file -",
                code="not_sql",
            )


def migrations(s: Settings) -> Path:
    """The folder of the migrations, which need not exist yet. Raises NotConfigured where none is known."""
    found = find_migrations(s)
    if found is None:
        raise NotConfigured(
            f"There is no {DATABASE}/{MIGRATIONS} here or above.",
            hint="run it in a checkout of the application, or set migrations_dir in cruddur.toml",
            code="no_migrations_folder",
        )
    return found


def find_migrations(s: Settings) -> Path | None:
    """The folder of the migrations, which need not exist yet; None outside of a checkout."""
    return locate(s, MIGRATIONS)


def locate(s: Settings, name: str) -> Path | None:
    """The file or folder of that name: the one that is set, the checkout's, or the only candidate in the checkout.

    None where there is none. One that is set need not exist, and neither need ``backend-flask/db/migrations``: the
    first migration makes it. Migrations may also be in a folder beside the schema that was found. Raises NotConfigured
    where several files may be meant.
    """
    here = Path.cwd()
    configured = getattr(s, _SETTINGS[name])
    if configured is not None:
        # What cruddur.toml names lies beside cruddur.toml.
        is_written = s.file is not None and s.origins[_SETTINGS[name]].startswith(str(s.file))
        base = s.file.parent if s.file is not None and is_written else here
        return _shown(base / Path(configured).expanduser(), here)
    places = [place / DATABASE for place in (here, *here.parents) if (place / DATABASE).is_dir()]
    if name == MIGRATIONS:
        usual = places[0] / name if places else None
        beside = None if usual and usual.is_dir() else _beside_schema(here)
        found = [path for path in (beside, usual) if path]
        return _shown(found[0], here) if found else None
    if places and (places[0] / name).is_file():
        return _shown(places[0] / name, here)
    found = _candidates(here, name)
    if len(found) > 1:
        named = ", ".join(str(_shown(path, here)) for path in found[:8])
        raise NotConfigured(
            f"There are {len(found)} files that may be the {name.partition('.')[0]}: {named}.",
            hint=f"pass one of them with {_OPTIONS[name]}, or set {_SETTINGS[name]} in cruddur.toml",
            code="several_files",
        )
    return _shown(found[0], here) if found else None


def _beside_schema(here: Path) -> Path | None:
    """The folder of migrations beside the only schema file of the checkout, if there is one."""
    schemas = _candidates(here, SCHEMA)
    folder = schemas[0].parent / MIGRATIONS if len(schemas) == 1 else None
    return folder if folder and folder.is_dir() else None


def _root(here: Path) -> Path | None:
    """The checkout around ``here``; None outside of one."""
    places = (here, *here.parents)
    marks = (".git", DATABASE.parts[0])  # a checkout that was unpacked has no .git
    return next((place for mark in marks for place in places if (place / mark).exists()), None)


def _making_users(here: Path) -> list[Path]:
    """The files of SQL in the checkout around ``here`` that create a table ``users``: a schema of another name."""
    root = _root(here)
    found = []
    for path in sorted(_sql_files(root)) if root else []:
        with contextlib.suppress(OSError), path.open("rb") as file:
            if _MAKES_USERS.search(file.read(_LOOKED_AT)):
                found.append(_shown(path, here))
    return found


def _candidates(here: Path, name: str) -> list[Path]:
    """The files in the checkout around ``here`` that may be meant: those of the very name, else those that have it."""
    root = _root(here)
    if root is None:
        return []
    word = name.partition(".")[0]
    every = sorted(path for path in _sql_files(root) if word in path.stem.lower())
    exact = [path for path in every if path.name.lower() == name]
    return exact or every


def _sql_files(root: Path) -> Iterator[Path]:
    for folders, (folder, inside, names) in enumerate(os.walk(root)):
        depth = len(Path(folder).relative_to(root).parts)
        kept = [one for one in inside if not one.startswith(".") and one.lower() not in _SKIPPED | {MIGRATIONS}]
        inside[:] = sorted(kept) if depth < _DEPTH and folders < _FOLDERS else []
        yield from (Path(folder) / one for one in names if one.lower().endswith(".sql"))


def _shown(path: Path, here: Path) -> Path:
    """The path as a person in ``here`` would write it: relative below it, else whole."""
    return Path(os.path.relpath(path, here)) if path.is_relative_to(here) else path


def seeded_uuids() -> dict[str, str]:
    """The UUIDs that our own seeds give to people, by handle: the ones that DynamoDB's seeded keys hold."""
    return {
        handle: uuid
        for uuid, handle in re.findall(r"\('([0-9a-f-]{36})'::uuid, '[^']*', '(\w+)'", seed_files.text("users.sql"))
    }


def rehearse_schema(s: Settings, at: Server, script: Script) -> rehearsal.Effects:
    """The rows that loading this schema would destroy. Raises Refused where PostgreSQL refuses the file."""
    return _rehearse(s, at, script, lambda conn: _run_schema(conn, at, script))


def rehearse_seed(s: Settings, at: Server, script: Script) -> rehearsal.Effects:
    """The rows that this seed file would delete or overwrite; none for the built-in one. Raises Refused."""
    if script.is_built_in:
        return rehearsal.Effects()
    return _rehearse(s, at, script, lambda conn: _run_seed(conn, at, script))


def _rehearse(s: Settings, at: Server, script: Script, execute: Any) -> rehearsal.Effects:
    is_production = s.prod or targets.is_foreign(at)
    # In a dry run too: everything is rolled back.
    open_at = replace(at, read_only=s.dry_run and is_production)
    with connections.postgres(s, at=open_at) as conn:
        if not s.prod and not s.dry_run:
            production_marker.refuse(conn, at.label)
        return rehearsal.run(conn, at, script.text, lambda: execute(conn), is_production=is_production)


def schema_at_once(s: Settings, at: Server, script: Script) -> None:
    """Load a schema over a local database where no question is left: the file runs once, without a rehearsal.

    What it destroys is counted and said before it is committed.
    """
    with connections.postgres(s, at=at) as conn, locks.guarded(conn, at):
        production_marker.refuse(conn, at.label)
        locks.take(conn, say=lambda text: output.note(s, text))
        applied = migration_runner.recorded(conn)
        effects = rehearsal.watch(conn, lambda: schema(s, conn, at, script))
        warn_of_rest(applied, script, effects)
        if effects:
            confirm.destroy(s, what=f"The tables of {at.label}", name=at.database, losing=str(effects), remote=False)


def schema(s: Settings, conn: Connection[Any], at: Server, script: Script) -> None:
    """Load a schema, all of it or nothing; no migration counts as applied to it but those that it names itself."""
    output.note(s, str(script))
    migration_runner.forget(conn)
    _run_schema(conn, at, script, say=lambda text: output.note(s, text))
    if s.prod:
        production_marker.write(conn)  # the file may have dropped the mark with the rest of its schema
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


def warn_of_rest(applied: Sequence[str], script: Script, effects: rehearsal.Effects) -> None:
    """Say what a schema file leaves in the database: tables that it does not drop, and what migrations made.

    ``applied`` are the migrations that were recorded before.
    """
    staying = [table for table in effects.staying if table not in database.BOOKKEEPING]
    said = []
    if staying:
        said.append(f"{script.source} does not drop {', '.join(staying)}: they are not changed")
    if applied:
        said.append(
            f"{counted(len(applied), 'migration')} (the newest {applied[-1]}) no longer "
            f"{'counts' if len(applied) == 1 else 'count'} as applied; other "
            'objects they created remain, so `cruddur db migrate` may fail with "already exists"'
        )
    if said:
        output.warn("; ".join(said) + ". `cruddur db reset` creates the whole database again")


def seed(s: Settings, conn: Connection[Any], at: Server, script: Script) -> int:
    """Seed users and activities; how many rows are new. Existing people keep everything, above all their UUIDs."""
    say = lambda text: output.note(s, text)  # noqa: E731
    stamped = s.prod and production_marker.is_production(conn)
    output.note(s, str(script))
    if not script.is_built_in:
        added = _run_seed(conn, at, script, say=say)
    else:
        left_out = _left_out(conn)
        if left_out:
            output.note(s, left_out)
            return 0
        before = database.rows(conn)
        text, _ = idempotent_seed.fitting(conn, script.text)
        sql_runner.run(conn, text, source=script.source, server=at, say=say)
        added = database.added(before, database.rows(conn))
    if stamped:
        production_marker.write(conn)
    return added


def _run_seed(conn: Connection[Any], at: Server, script: Script, *, say: sql_runner.Say | None = None) -> int:
    known = seeded_uuids()
    return idempotent_seed.run(conn, script.text, source=script.source, server=at, known=known, say=say)


def _left_out(conn: Connection[Any]) -> str:
    """Why the built-in seed is not loaded; empty where it may be. The built-in people never join other people."""
    if not has_users(conn):
        return ""
    if not set(seeded_uuids()) <= set(users.handles(conn)):
        return "the built-in people are not added, because the database has users of its own"
    if not idempotent_seed.fitting(conn, seed_files.text("users.sql"))[1]:
        return "the built-in seed is not loaded, because the tables have other columns than the built-in schema"
    return ""


def fill(s: Settings, conn: Connection[Any], at: Server, scripts: Scripts, *, empty: bool) -> tuple[str, bool]:
    """The seed as a step of a set-up: what was done, and whether that is a change.

    It runs only where there are no users, and not where it would delete or overwrite other rows. ``empty`` says that
    there were no tables when the set-up began.
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
    before = database.rows(conn)
    if not seed(s, conn, at, script):
        return "exist" if has_users(conn) else f"none, because {script.source} adds none", False
    return f"{database.named(database.more(before, database.rows(conn)))} added", True


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
    """The error of a load that PostgreSQL refused, which says that nothing was changed."""
    return error.adding(NOTHING) if error.exit_code == Exit.REFUSED else error


def has_users(conn: Connection[Any]) -> bool:
    """Whether ``public.users`` has a row."""
    row = conn.execute("SELECT EXISTS (SELECT FROM public.users)").fetchone()
    return bool(row and row[0])

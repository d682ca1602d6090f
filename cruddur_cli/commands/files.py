"""Which file of SQL a command loads, and where the migrations are: named, configured, the application's, or our own."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from .. import checkout, output, seed_files
from ..errors import BadInput, NotConfigured
from ..postgres import lexer
from ..settings import Settings

# The first bytes of files that people have instead of SQL: RFC 1952, and pg_dump's archives in format c and t.
_ARCHIVES = (
    (b"\x1f\x8b", "compressed by gzip", "gunzip -c"),
    (b"PGDMP", "an archive of pg_dump", "pg_restore -f -"),
    (b"toc.dat\0", "an archive of pg_dump", "pg_restore -f -"),
)

# pg_dump's first words, which are also its last ones; a file that was cut between two statements has only the first.
_DUMP = "-- PostgreSQL database dump"
_BEGINNING = 1000


@dataclass(frozen=True)
class Script:
    """A file of SQL, as text, and what to call it; ``ours`` is what comes with this program."""

    text: str
    source: str
    ours: bool


def schema(s: Settings, named: str | None = None) -> Script:
    """The schema to load. Raises BadInput for a file that cannot be read, or that only psql can."""
    return _script(s, named, checkout.SCHEMA, s.schema_file, "schema.sql")


def seed(s: Settings, named: str | None = None) -> Script:
    """The seeds to load: users and activities. Raises BadInput as ``schema`` does."""
    return _script(s, named, checkout.SEED, s.seed_file, "users.sql")


def _script(s: Settings, named: str | None, name: str, configured: str | None, ours: str) -> Script:
    asked = named is not None
    if named is None:
        found = _located(s, name, configured)
        if found is None:
            return Script(seed_files.text(ours), ours, ours=True)
        named = str(found)
    content, source = seed_files.given(named)
    _refuse_archive(content, source, "schema-load" if name == checkout.SCHEMA else "seed")
    text = lexer.decode(content, source=source)
    # What only psql understands is refused before anything is asked or counted. An application may have no seeds.
    if not lexer.split(text, source=source) and (name == checkout.SCHEMA or asked):
        raise BadInput(f"{source} holds no statement of SQL.", code="not_sql")
    if _DUMP in text[:_BEGINNING] and f"{_DUMP} complete" not in text:
        output.warn(f"{source} lacks pg_dump's last line, '{_DUMP} complete': what stood at its end may be missing")
    output.note(s, f"{name}: {source}")
    return Script(text, source, ours=False)


def _refuse_archive(content: bytes, source: str, command: str) -> None:
    """Name the program that makes SQL of what is no text. Raises BadInput."""
    for begins, what, program in _ARCHIVES:
        if content.startswith(begins):
            file = "FILE" if source == "standard input" else shlex.quote(source)
            raise BadInput(
                f"{source} is {what}, and SQL is read as it is.",
                hint=f"{program} {file} | cruddur db {command} --file -",
                code="not_sql",
            )


def migrations(s: Settings) -> Path:
    """The folder of the migrations, which need not exist yet. Raises NotConfigured where none is known."""
    found = _located(s, checkout.MIGRATIONS, s.migrations_dir)
    if found is None:
        raise NotConfigured(
            f"There is no {checkout.DATABASE}/{checkout.MIGRATIONS} here or above.",
            hint="run it in a checkout of the application, or set migrations_dir in cruddur.toml",
            code="no_migrations_folder",
        )
    return found


def _located(s: Settings, name: str, configured: str | None) -> Path | None:
    here = Path.cwd()
    base = s.file.parent if s.file else None
    found = checkout.locate(name, folder=here, configured=configured, base=base)
    return checkout.shown(found, folder=here) if found else None


def seeded_uuids() -> dict[str, str]:
    """The UUIDs that our own seeds give to people, by handle: the ones that DynamoDB's seeded keys hold."""
    return {
        handle: uuid
        for uuid, handle in re.findall(r"\('([0-9a-f-]{36})'::uuid, '[^']*', '(\w+)'", seed_files.text("users.sql"))
    }

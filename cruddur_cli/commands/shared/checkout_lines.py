"""Finds the line of the checkout that causes a finding: in a migration, in the schema or in ``cruddur.toml``.

A finding about data that is only in a store has no such line. It gets the setting that names the store, if the file has
one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import CruddurError
from ...integrity import model
from ...postgres.migrations import files
from ...settings import Settings
from . import load_sql

if TYPE_CHECKING:
    from ...audit.model import Finding as AuditFinding
    from ...integrity.model import Database, Facts, Finding

Line = tuple[str, int]
_SETTINGS = {
    "postgres": ("connection_url",),
    "dynamodb": ("dynamodb_endpoint", "aws_endpoint", "table"),
    "cognito": ("user_pool_id", "cognito_endpoint"),
    "machine": ("home",),
}
_AUDITED = {
    "table": ("table", "dynamodb_endpoint"),
    "database": ("db_instance", "rds_endpoint"),
    "access": ("security_group_id", "security_group_rule_id", "ec2_endpoint"),
    "pool": ("user_pool_id", "cognito_endpoint"),
}


def of_doctor(s: Settings, facts: Facts, finding: Finding) -> Line | None:
    """The file and line of a finding of ``doctor``; None where no file is known."""
    line: Line | None = None
    with suppress(CruddurError, OSError, ValueError):
        if isinstance(facts.database, model.Database):
            line = _of_database(s, facts.database, finding.check)
        if finding.check in {"variables-contradict", "host-unresolved"}:
            line = _of_names(s, facts, finding.check)
    return line or _setting(s, _SETTINGS.get(finding.store, ()))


def of_audit(s: Settings, finding: AuditFinding, accepted: Path | None) -> Line | None:
    """The file and line of a finding of ``audit``; None where no file is known.

    It is the finding's entry in the file of accepted findings, else the setting that names the store.
    """
    entry = None if accepted is None else _line(accepted, rf'check\s*=\s*["\']{re.escape(finding.check)}["\']')
    return entry or _setting(s, _AUDITED.get(finding.check.partition("-")[0], ()))


def _of_database(s: Settings, database: Database, check: str) -> Line | None:
    if check in {"migrations-pending", "migrations-adopted"}:
        state = check.removeprefix("migrations-")
        every = () if isinstance(database.migrations, model.Problem) else database.migrations or ()
        first = next((migration.version for migration in every if migration.state == state), None)
        return next(((str(migration.path), 1) for migration in _migrations(s) if migration.version == first), None)
    objects: list[str] = []
    if check == "tables-missing":
        objects = [f"table public.{name}" for name in database.missing_tables]
    elif check == "schema-differs":
        objects = [migration.object for migration in database.differences or ()]
    elif check == "columns-missing":
        objects = ["table public.users"]
    return next((line for migration in objects if (line := _definition(s, migration)) is not None), None)


def _definition(s: Settings, object_name: str) -> Line | None:
    """The line that creates an object, such as ``column public.users.bio``.

    It is in the newest migration that names the object, else in the schema. A column that no file names has the line of
    its table.
    """
    kind, _, name = object_name.partition(" ")
    owner, _, word = name.rpartition(".")
    table = (word if kind == "table" else owner.rpartition(".")[2]).strip('"')
    create_table = rf"CREATE\s+TABLE\b.*\b{re.escape(table)}\b"
    pattern = create_table if kind == "table" else rf"\b{re.escape(word.strip(chr(34)))}\b"
    for migration in reversed(_migrations(s)):
        if (line := _line(migration.path, pattern, skip_comments=True)) is not None:
            return line
    schema = load_sql.locate(s, "schema.sql")
    return None if schema is None else _line(schema, pattern, after=create_table) or _line(schema, create_table)


def _migrations(s: Settings) -> Sequence[files.Migration]:
    folder = load_sql.find_migrations(s)
    return [] if folder is None or not folder.is_dir() else files.find(folder)


def _of_names(s: Settings, facts: Facts, check: str) -> Line | None:
    def names() -> Iterator[str]:
        if check == "variables-contradict":
            for conflict in facts.machine.contradictions:
                yield from (conflict.used.split()[0], conflict.other.split()[0])
        else:
            origins = {conflict.origin for conflict in facts.machine.unresolved}
            yield from (name for name, origin in s.origins.items() if origin in origins)

    return _setting(s, tuple(names()), otherwise=False)


def _setting(s: Settings, names: Sequence[str], *, otherwise: bool = True) -> Line | None:
    """The line of the first of these settings that ``cruddur.toml`` has.

    Where it has none of them: the first line of the file with ``otherwise``, else None.
    """
    if s.file is None:
        return None
    for name in names:
        if (line := _line(s.file, rf"\s*{re.escape(name)}\s*=", after=r"\s*\[prod\]" if s.prod else None)) is not None:
            return line
    return (str(s.file), 1) if otherwise else None


def _line(path: Path, pattern: str, *, after: str | None = None, skip_comments: bool = False) -> Line | None:
    """The first line of a file that matches ``pattern``; None where there is none.

    With ``after``, only lines behind the first match of ``after`` count.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    start = 0
    if after is not None:
        start = next((number for number, text in enumerate(lines) if re.search(after, text, re.IGNORECASE)), len(lines))
    for number, text in enumerate(lines[start:], start + 1):
        if re.search(pattern, text.partition("--")[0] if skip_comments else text, re.IGNORECASE):
            return str(path), number
    return None

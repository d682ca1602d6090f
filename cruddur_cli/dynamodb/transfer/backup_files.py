"""Backups of a local engine, which has none of its own: an export file for each, in a folder for each table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ...errors import CruddurError, NotFound, Protected
from .. import tables
from ..backups import AVAILABLE, Backup, Restored, check_name
from ..client import DynamoDB
from . import Format, exporter, importer, input_files

_ENDING = ".jsonl.gz"
Say = Callable[[str], None]
Advance = Callable[[int], None]


def listed(root: Path, table: str) -> list[Backup]:
    """Every backup of a table below ``root``, the newest first."""
    found = [_backup(path, table) for path in (root / table).glob(f"*{_ENDING}")]
    return sorted(found, key=lambda one: (one.created_at or datetime.min.replace(tzinfo=UTC), one.backup), reverse=True)


def create(dynamodb: DynamoDB, root: Path, name: str, *, say: Say, advance: Advance) -> tuple[Backup, bool]:
    """The backup with that name, and whether it was made now. A killed one resumes. Raises BadInput, NotFound."""
    check_name(name)
    path = _path(root, dynamodb.table, name)
    if path.exists():
        return _backup(path, dynamodb.table), False
    table = tables.describe(dynamodb)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    exporter.to_file(dynamodb, table, path, format=Format.JSONL, zipped=True, segments=None, say=say, advance=advance)
    path.chmod(0o600)
    return _backup(path, dynamodb.table), True


def find(root: Path, table: str, name: str) -> Backup:
    """The backup with that name, or the file itself. Raises NotFound, which lists the table's backups."""
    for path in (_path(root, table, name), Path(name)):
        if path.is_file():
            return _backup(path, table)
    there = "\n".join(one.backup for one in listed(root, table))
    raise NotFound(
        f"Table {table!r} has no backup {name!r} in {root / table}.",
        details=there or "It has no backup at all.",
        hint="cruddur ddb list-backups",
        code="backup_not_found",
    )


def restore(dynamodb: DynamoDB, into: str, backup: Backup, *, say: Say, advance: Advance) -> Restored:
    """The new table with every item of the file. Raises Protected where there is a table of that name already.

    If it cannot be completed, the table that was begun is dropped.
    """
    target = replace(dynamodb, table=into)
    if tables.exists(target):
        raise Protected(
            f"There is a table {into!r} already, and a restore creates a new table.",
            hint=f"--into {into}-restored",
            code="table_exists",
        )
    source = input_files.find(backup.location, Format.JSONL)
    tables.create(target, say=say)
    try:
        work = importer.Importer(target, compare=False)
        work.run(input_files.items(source), advance=advance)
    except BaseException:
        with suppress(CruddurError):
            tables.drop(target, say=say)
        raise
    table = tables.describe(target)
    return Restored(
        table_name=into,
        restored_from=backup.backup,
        status=table.status,
        expected_items=work.counts.lines - work.counts.duplicates,
        items=table.items,
        differences=tuple(tables.differences(table)),
    )


def _path(root: Path, table: str, name: str) -> Path:
    return root / table / f"{name}{_ENDING}"


def _backup(path: Path, table: str) -> Backup:
    about = path.stat()
    return Backup(
        backup=path.name.removesuffix(_ENDING),
        table_name=table,
        type="file",
        status=AVAILABLE,
        created_at=datetime.fromtimestamp(about.st_mtime, UTC),
        bytes=about.st_size,
        location=str(path.resolve()),
    )

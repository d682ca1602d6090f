"""Backups of a local engine, which has none of its own: an export file for each, in a folder for each table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...errors import CruddurError, NotFound, Protected
from .. import sealing, tables
from ..backups import AVAILABLE, Backup, Restored, check_name
from ..client import DynamoDB
from . import Format, checkpoints, exporter, importer, input_files

_ENDING = ".jsonl.gz"
_NOTE = ".unfinished-restore"
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
    (root / ".gitignore").write_text("*\n")  # the folder may be in a checkout, and messages are private
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


def restore(dynamodb: DynamoDB, root: Path, into: str, backup: Backup, *, say: Say, advance: Advance) -> Restored:
    """The new table with every item of the file. One that was killed is completed.

    Raises Protected where there is another table of that name already. If it cannot be completed, the table that was
    begun is dropped.
    """
    target = replace(dynamodb, table=into)
    source = input_files.find(backup.location, Format.JSONL)
    note = _note(root, into)
    about = {"what": "restore", "files": source.identity(), "backup": backup.backup, "from": backup.table_name}
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with checkpoints.alone(note):
        resumes = tables.exists(target)
        if resumes:
            _check_unfinished(target, note, about)
            say(f"table {into}: its restore was started before")
        else:
            checkpoints.save(note, {}, about=about)
            tables.create(target, say=say)
        try:
            checkpoints.save(note, {"table": _identity(target)}, about=about)
            work = importer.Importer(target, compare=resumes)
            work.run(input_files.items(source), advance=advance)
        except BaseException:
            with suppress(CruddurError):
                tables.drop(target, say=say)
                checkpoints.remove(note)
            raise
        checkpoints.remove(note)
    table = tables.describe(target)
    return Restored(
        table_name=into,
        restored_from=backup.backup,
        status=table.status,
        expected_items=work.counts.lines - work.counts.duplicates,
        items=table.items,
        differences=tuple(tables.differences(table)),
    )


def _check_unfinished(target: DynamoDB, note: Path, about: dict[str, Any]) -> None:
    """Return if the table is what a killed restore of the same backup left. Raises Protected."""
    hint = f"choose another name, such as --into {target.table}-restored"
    try:
        written, state = sealing.unseal(note.read_bytes())
    except (OSError, sealing.Unusable):
        written, state = {}, {}
    # Killed before it could note which table it had created: that one is still empty.
    is_its_table = state["table"] == _identity(target) if "table" in state else not tables.describe(target).items
    if not written or not is_its_table:
        raise Protected(
            f"There is a table {target.table!r} already, and a restore creates a new table.",
            hint=hint,
            code="table_exists",
        )
    if written != about:
        raise Protected(
            f"Table {target.table!r} is an unfinished restore of backup {written.get('backup')!r}, and this is another"
            " backup, or the file was changed.",
            hint=f"{hint}, or cruddur ddb drop --table {target.table}",
            code="table_exists",
        )


def _identity(target: DynamoDB) -> str:
    """What tells a table from a later one of the same name. The embedded engine rounds the time to seconds."""
    made = checkpoints.identity(target, tables.describe(target))["created_at"]
    return f"{made} {tables.description(target).get('TableId', '')}"


def unfinished(root: Path, table: str) -> list[tuple[str, str]]:
    """Restores of the table's backups that were not completed: the backup and the new table of each."""
    found = []
    for note in sorted(root.glob(f"*{_NOTE}")):
        with suppress(OSError, sealing.Unusable):
            written, _ = sealing.unseal(note.read_bytes())
            if written.get("from") == table:
                found.append((str(written.get("backup")), note.name.removesuffix(_NOTE)))
    return found


def _note(root: Path, into: str) -> Path:
    """Where it is noted that the restore into a table is not finished."""
    return root / f"{into}{_NOTE}"


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

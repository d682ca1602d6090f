"""Backups of a local engine, which has no backups itself: one export file each, in one folder for each table."""

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
    """Every backup of a table in the folder ``root``, newest first."""
    backups = [_backup(path, table) for path in (root / table).glob(f"*{_ENDING}")]
    earliest = datetime.min.replace(tzinfo=UTC)
    return sorted(backups, key=lambda each: (each.created_at or earliest, each.backup), reverse=True)


def create(dynamodb: DynamoDB, root: Path, name: str, *, say: Say, advance: Advance) -> tuple[Backup, bool]:
    """Create a backup; return it, and whether this call created it. An interrupted backup is resumed.

    If a backup with that name exists, it is returned. Raises BadInput for a name that DynamoDB does not accept, and
    NotFound if there is no table.
    """
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
    """The backup with the name or the path ``name``. Raises NotFound, which lists the table's backups."""
    for path in (_path(root, table, name), Path(name)):
        if path.is_file():
            return _backup(path, table)
    listing = "\n".join(each.backup for each in listed(root, table))
    raise NotFound(
        f"Table {table!r} has no backup {name!r} in {root / table}.",
        details=listing or "It has no backup at all.",
        hint="cruddur ddb list-backups",
        code="backup_not_found",
    )


def restore(dynamodb: DynamoDB, root: Path, into: str, backup: Backup, *, say: Say, advance: Advance) -> Restored:
    """Restore a backup into the new table ``into``. An interrupted restore is completed.

    Raises Protected if ``into`` is any other existing table. After an error, the unfinished table is dropped.
    """
    target = replace(dynamodb, table=into)
    source = input_files.find(backup.location, Format.JSONL)
    note = _note(root, into)
    about = {"what": "restore", "files": source.identity(), "backup": backup.backup, "from": backup.table_name}
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with checkpoints.lock(note):
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
    """Raise Protected unless the table was left by an interrupted restore of the same backup."""
    hint = f"choose another name, such as --into {target.table}-restored"
    try:
        saved_about, state = sealing.unseal(note.read_bytes())
    except (OSError, sealing.Unusable):
        saved_about, state = {}, {}
    # If the restore was killed before it could note the identity of its new table, that table is still empty.
    is_its_table = state["table"] == _identity(target) if "table" in state else not tables.describe(target).items
    if not saved_about or not is_its_table:
        raise Protected(
            f"There is a table {target.table!r} already, and a restore creates a new table.",
            hint=hint,
            code="table_exists",
        )
    if saved_about != about:
        raise Protected(
            f"Table {target.table!r} is an unfinished restore of backup {saved_about.get('backup')!r}, and this is"
            " another backup, or the file was changed.",
            hint=f"{hint}, or cruddur ddb drop --table {target.table}",
            code="table_exists",
        )


def _identity(target: DynamoDB) -> str:
    """A text that distinguishes a table from a later one with the same name: its time of creation, and its id.

    The time is not enough, because the embedded engine rounds it to seconds.
    """
    created = checkpoints.identity(target, tables.describe(target))["created_at"]
    return f"{created} {tables.description(target).get('TableId', '')}"


def unfinished(root: Path, table: str) -> list[tuple[str, str]]:
    """The unfinished restores of the table's backups: the names of the backup and of the new table of each."""
    restores = []
    for note in sorted(root.glob(f"*{_NOTE}")):
        with suppress(OSError, sealing.Unusable):
            saved_about, _ = sealing.unseal(note.read_bytes())
            if saved_about.get("from") == table:
                restores.append((str(saved_about.get("backup")), note.name.removesuffix(_NOTE)))
    return restores


def _note(root: Path, into: str) -> Path:
    """The path of the note which says that the restore into a table is not finished."""
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

"""Backups of a local engine are files that are found by name, and that only their owner can read."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.backups import Backup, Restored
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.transfer import backup_files
from cruddur_cli.errors import NotFound, Protected
from tests.dynamodb.rows import delete, everything, message_row, write

ROWS = [message_row(f"{number:03}", f"text {number}") for number in range(30)]


def silent(_: object) -> None: ...


def backup(dynamodb: DynamoDB, root: Path, name: str) -> tuple[Backup, bool]:
    return backup_files.create(dynamodb, root, name, say=silent, advance=silent)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that does not exist yet, in another one that does not exist."""
    return tmp_path / "state" / "backups"


def test_a_backup_is_created_once_for_each_name_and_found_by_name(dynamodb: DynamoDB, root: Path) -> None:
    write(dynamodb, ROWS)
    first, is_new = backup(dynamodb, root, "first")
    assert (first.backup, first.table_name, first.type, first.status, is_new) == (
        "first",
        dynamodb.table,
        "file",
        "AVAILABLE",
        True,
    )
    path = Path(first.location)
    assert path == (root / dynamodb.table / "first.jsonl.gz").resolve()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert first.bytes == path.stat().st_size
    assert (root / ".gitignore").read_text() == "*\n"
    content = path.read_bytes()
    assert content[:2] == b"\x1f\x8b"
    write(dynamodb, [message_row("100", "later")])
    again, is_new = backup(dynamodb, root, "first")
    assert (again, is_new, path.read_bytes()) == (first, False, content)
    second, is_new = backup(dynamodb, root, "second")
    assert is_new
    for oldest, names in ((second.location, ["first", "second"]), (path, ["second", "first"])):
        os.utime(path, (9, 9))
        os.utime(second.location, (9, 9))
        os.utime(oldest, (1, 1))
        assert [one.backup for one in backup_files.listed(root, dynamodb.table)] == names
    second = next(one for one in backup_files.listed(root, dynamodb.table) if one.backup == "second")
    for name in ("second", second.location):
        assert backup_files.find(root, dynamodb.table, name) == second
    with pytest.raises(NotFound) as caught:
        backup_files.find(root, dynamodb.table, "third")
    assert caught.value.details == "second\nfirst"
    assert backup_files.listed(root, "another") == []


def test_a_restored_table_has_every_item_and_an_existing_table_is_kept(dynamodb: DynamoDB, root: Path) -> None:
    write(dynamodb, ROWS)
    found, _ = backup(dynamodb, root, "first")
    with pytest.raises(Protected, match="There is a table"):
        backup_files.restore(dynamodb, root, dynamodb.table, found, say=silent, advance=silent)
    into = replace(dynamodb, table=f"{dynamodb.table}-restored")
    reads = dynamodb.meter.total().read_units
    done = backup_files.restore(dynamodb, root, into.table, found, say=silent, advance=silent)
    try:
        assert (done.table_name, done.restored_from, done.expected_items) == (into.table, "first", 30)
        assert done.differences == ()
        assert dynamodb.meter.total().read_units - reads <= 1, "nothing is compared in an empty table"
        assert everything(into) == everything(dynamodb)
    finally:
        tables.drop(into, say=silent)


def test_only_the_table_that_a_killed_restore_left_is_completed(dynamodb: DynamoDB, root: Path) -> None:
    write(dynamodb, ROWS)
    first, _ = backup(dynamodb, root, "first")
    second, _ = backup(dynamodb, root, "second")
    into = replace(dynamodb, table=f"{dynamodb.table}-restored")

    def killed(_: object) -> None:
        raise SystemExit

    def run(which: Backup) -> None:
        backup_files.restore(dynamodb, root, into.table, which, say=silent, advance=silent)

    try:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(tables, "drop", lambda *_, **__: killed(_))
            backup_files.restore(dynamodb, root, into.table, first, say=silent, advance=killed)
        assert backup_files.unfinished(root, dynamodb.table) == [("first", into.table)]
        assert backup_files.unfinished(root, "another") == []
        with pytest.raises(Protected, match="unfinished restore of backup 'first'"):
            run(second)
        tables.drop(into, say=silent)
        tables.create(into, say=silent)
        write(into, ROWS[:1])
        with pytest.raises(Protected, match="There is a table"):
            run(first)
        assert everything(into) == ROWS[:1]
        tables.drop(into, say=silent)
        run(first)
        assert everything(into) == everything(dynamodb)
        assert backup_files.unfinished(root, dynamodb.table) == []
    finally:
        tables.drop(into, say=silent)


def test_a_restore_that_was_killed_as_it_created_its_table_is_completed(dynamodb: DynamoDB, root: Path) -> None:
    write(dynamodb, ROWS)
    found, _ = backup(dynamodb, root, "first")
    into = replace(dynamodb, table=f"{dynamodb.table}-restored")
    create = tables.create

    def killed(*given: Any, **more: Any) -> None:
        create(*given, **more)
        raise SystemExit

    def restored() -> Restored:
        return backup_files.restore(dynamodb, root, into.table, found, say=silent, advance=silent)

    try:
        create(into, say=silent)
        with pytest.raises(Protected, match="There is a table"):
            restored()  # empty as it is, no restore has left it
        tables.drop(into, say=silent)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(tables, "create", killed)
            restored()
        write(into, [message_row("another", "x")])
        with pytest.raises(Protected, match="There is a table"):
            restored()
        delete(into, [message_row("another", "x")])
        assert restored().items == 30
    finally:
        tables.drop(into, say=silent)


def test_a_restore_from_a_file_creates_a_private_folder_for_its_note(dynamodb: DynamoDB, root: Path) -> None:
    write(dynamodb, ROWS)
    found, _ = backup(dynamodb, root, "first")
    elsewhere, into = root.parent / "of" / "another", f"{dynamodb.table}-restored"
    for _ in range(2):
        try:
            backup_files.restore(dynamodb, elsewhere, into, found, say=silent, advance=silent)
        finally:
            tables.drop(replace(dynamodb, table=into), say=silent)
    assert elsewhere.stat().st_mode & 0o777 == 0o700


def test_a_duplicate_item_of_a_backup_is_expected_once(dynamodb: DynamoDB, root: Path) -> None:
    write(dynamodb, ROWS)
    found, _ = backup(dynamodb, root, "twice")
    path = Path(found.location)
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join([*lines, *lines[:7]])))
    into = f"{dynamodb.table}-restored"
    done = backup_files.restore(dynamodb, root, into, found, say=silent, advance=silent)
    try:
        assert done.expected_items == 30
        assert len(everything(replace(dynamodb, table=into))) == 30
    finally:
        tables.drop(replace(dynamodb, table=into), say=silent)

"""The order of migrations by their numbers, and the files that are migrations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cruddur_cli.errors import BadInput
from cruddur_cli.postgres.migrations import files as migration_files
from tests.postgres.conftest import Folder

FIRST = "16811528612904313"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("version", "iso_time"),
    [
        ("1681152861", "2023-04-10T18:54:21"),
        ("1681152861290", "2023-04-10T18:54:21.290000"),
        ("168115286129043", "2023-04-10T18:54:21.290430"),
        ("1681152861290431", "2023-04-10T18:54:21.290431"),
        ("16811528612904313", "2023-04-10T18:54:21.290431"),
        ("1681152861290431399", "2023-04-10T18:54:21.290431"),
        ("20261120101010", "2026-11-20T10:10:10"),
        ("20261120101010123", "2026-11-20T10:10:10.123000"),
        ("202611201010", "2026-11-20T10:10:00"),
        ("20261120", "2026-11-20T00:00:00"),
        ("20000000000000", "2033-05-18T03:33:20"),
        ("0001", None),
        ("42", None),
        ("99999999999999999", None),
        ("4102444799", "2099-12-31T23:59:59"),
        ("4102444800", None),
    ],
)
def test_a_number_is_a_time_in_any_unit_or_a_plain_number(version: str, iso_time: str | None) -> None:
    expected = datetime.fromisoformat(iso_time).replace(tzinfo=UTC) if iso_time else None
    is_time, ticks = key = migration_files.version_key(version)
    assert (EPOCH + timedelta(microseconds=ticks // 10) if is_time else None) == expected
    assert migration_files.version_key(migration_files.comparable(version)) == key or len(version) > 17


def test_migrations_are_ordered_by_time(files: Folder) -> None:
    in_order = ["1", "0002", "10", FIRST, "1683578209210722", "1684466564", "1684466564023", "17000000000000000"]
    in_order += ["20261120101010", "20261120101010123", "1795169411"]
    for version in sorted(in_order):
        files.write(version, "x", "SELECT 1")
    for name in ("add_bio.py", "README.md", "__init__.py", f"{FIRST}.py~", "x_1.sql"):
        (files.path / name).write_text("")
    assert [migration.version for migration in files.migrations()] == in_order


@pytest.mark.parametrize("other", [FIRST, "168115286129043130"])
def test_two_files_with_one_number_are_refused(files: Folder, other: str) -> None:
    files.write(FIRST, "a", "SELECT 1")
    files.write(other, "b", "SELECT 1")
    with pytest.raises(BadInput, match="have the same number") as caught:
        files.migrations()
    assert f"{FIRST}_a.sql" in caught.value.message
    assert f"{other}_b.sql" in caught.value.message


def test_one_migration_may_have_an_up_and_a_down_file(files: Folder) -> None:
    for name, text in {
        "001_a.up.sql": "CREATE TABLE a ()",
        "001_a.down.sql": "DROP TABLE a",
        "2_b.up.sql": "SELECT 1",
    }.items():
        (files.path / name).write_text(text)
    first, second = files.migrations()
    assert (first.version, first.name, second.version, second.name) == ("001", "a", "2", "b")
    assert (migration_files.up(first), migration_files.down(first)) == ("CREATE TABLE a ()", "DROP TABLE a")
    assert first.down_source.name == "001_a.down.sql"
    with pytest.raises(BadInput, match="has no down part") as caught:
        migration_files.down(second)
    assert caught.value.hint and "2_b.down.sql" in caught.value.hint


def test_a_down_file_alone_is_refused(files: Folder) -> None:
    (files.path / "001_a.down.sql").write_text("DROP TABLE a")
    (alone,) = files.migrations()
    with pytest.raises(BadInput, match="needs a line"):
        migration_files.up(alone)


@pytest.mark.parametrize("word", ["+goose", "+migrate"])
def test_the_marks_of_goose_and_sql_migrate_are_read(files: Folder, word: str) -> None:
    (files.path / "1_a.sql").write_text(f"-- {word} Up\nCREATE TABLE a ();\n-- {word} Down\nDROP TABLE a;\n")
    (only,) = files.migrations()
    assert migration_files.up(only).strip() == "CREATE TABLE a ();"
    assert migration_files.down(only).strip() == "DROP TABLE a;"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("-- +goose NO TRANSACTION\n-- +goose Up\nVACUUM;", "line 1: NO TRANSACTION"),
        ("-- a note\n-- +goose no transaction\n-- +goose Up\nVACUUM;", "line 2: no transaction"),
        ("\n-- +migrate Up notransaction\nVACUUM;", "line 2: notransaction"),
        ("-- migrate:up transaction:false\nVACUUM;", "line 1: transaction:false"),
    ],
)
def test_a_migration_outside_of_a_transaction_is_refused(files: Folder, text: str, named: str) -> None:
    (files.path / "1_a.sql").write_text(text)
    (only,) = files.migrations()
    with pytest.raises(BadInput, match=named):
        migration_files.up(only)


def test_sql_without_marks_is_refused_with_what_to_write(files: Folder) -> None:
    (files.path / "1_a.sql").write_text("CREATE TABLE a ();")
    (only,) = files.migrations()
    with pytest.raises(BadInput, match="it has neither") as caught:
        migration_files.up(only)
    assert caught.value.hint and "-- migrate:up" in caught.value.hint


def test_the_sql_is_on_the_lines_where_the_file_has_it(files: Folder) -> None:
    (files.path / "1_a.sql").write_text("\n-- a note\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n")
    (only,) = files.migrations()
    assert migration_files.up(only) == "\n\n\nSELECT 1;\n"
    assert migration_files.down(only) == "\n\n\n\n\nSELECT 2;\n"


NOW = 1_681_152_861_290_431_399


@pytest.mark.parametrize(
    ("versions", "version"),
    [
        ([], "16811528612904313"),
        (["16811528612904312"], "16811528612904313"),
        (["16811528612904313"], "16811528612904314"),
        (["20261120", FIRST], "17951328000000001"),
        (["99999999999999999", "42"], "16811528612904313"),
    ],
)
def test_a_new_migration_is_later_than_every_other_with_a_time(
    files: Folder, versions: list[str], version: str
) -> None:
    for other in versions:
        files.write(other, "x", "SELECT 1")
    made = migration_files.create(files.path, "new", now_ns=NOW, existing=files.migrations())
    assert (made.version, made.path.name) == (version, f"{version}_new.sql")


def test_a_name_has_at_most_150_characters(files: Folder) -> None:
    assert migration_files.create(files.path, "x" * 150, now_ns=NOW, existing=[]).path.exists()
    for name in ("x" * 151, "-", ""):
        with pytest.raises(BadInput, match="cannot name a migration"):
            migration_files.create(files.path, name, now_ns=NOW, existing=[])


@pytest.mark.parametrize("name", ["add bio", "add_bio", "Add-Bio"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_second_migration_of_the_same_name_is_refused(files: Folder, name: str, dry_run: bool) -> None:
    first = migration_files.create(files.path, "add bio", now_ns=NOW, existing=[])
    with pytest.raises(BadInput, match=f"a migration 'add_bio' already: {first.path}") as caught:
        migration_files.create(files.path, name, now_ns=NOW + 10**9, existing=files.migrations(), dry_run=dry_run)
    assert caught.value.code == "migration_exists"
    assert [one.path for one in files.migrations()] == [first.path]
    migration_files.create(files.path, "add bio again", now_ns=NOW, existing=files.migrations())


def test_the_folder_of_a_new_migration_is_made_once_and_not_by_a_dry_run(files: Folder) -> None:
    folder = files.path / "a" / "b"
    planned = migration_files.create(folder, "one", now_ns=NOW, existing=[], dry_run=True)
    assert not folder.parent.exists()
    assert migration_files.create(folder, "one", now_ns=NOW, existing=[]) == planned
    migration_files.create(folder, "two", now_ns=NOW, existing=migration_files.find(folder))
    assert [one.name for one in migration_files.find(folder)] == ["one", "two"]
    with pytest.raises(BadInput, match="cannot be written: File exists"):
        migration_files.create(folder, "one", now_ns=NOW, existing=[])


@pytest.mark.parametrize(
    ("version", "number"),
    [("1700000000001", "17000000000010000"), ("20261120", "17951328000000000"), ("0001", "0001"), ("42", "42")],
)
def test_a_number_is_comparable_where_it_is_a_time(version: str, number: str) -> None:
    assert migration_files.comparable(version) == number

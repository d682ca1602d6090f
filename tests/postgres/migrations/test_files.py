"""The order of migrations by what their numbers mean, and which files count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cruddur_cli.errors import BadInput
from cruddur_cli.postgres.migrations import files as migration_files
from tests.postgres.conftest import Folder

FIRST = "16811528612904313"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("version", "meant"),
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
def test_what_a_number_means(version: str, meant: str | None) -> None:
    expected = datetime.fromisoformat(meant).replace(tzinfo=UTC) if meant else None
    is_time, ticks = key = migration_files.version_key(version)
    assert (EPOCH + timedelta(microseconds=ticks // 10) if is_time else None) == expected
    assert migration_files.version_key(migration_files.comparable(version)) == key or len(version) > 17


def test_the_order_is_that_of_time(files: Folder) -> None:
    in_order = ["1", "0002", "10", FIRST, "1683578209210722", "1684466564", "1684466564023", "17000000000000000"]
    in_order += ["20261120101010", "20261120101010123", "1795169411"]
    for version in sorted(in_order):
        files.write(version, "x", "SELECT 1")
    for name in ("add_bio.py", "README.md", "__init__.py", f"{FIRST}.py~", "x_1.sql"):
        (files.path / name).write_text("")
    assert [migration.version for migration in files.found()] == in_order


@pytest.mark.parametrize("other", [FIRST, "168115286129043130"])
def test_two_files_with_one_number(files: Folder, other: str) -> None:
    files.write(FIRST, "a", "SELECT 1")
    files.write(other, "b", "SELECT 1")
    with pytest.raises(BadInput, match="have the same number") as caught:
        files.found()
    assert f"{FIRST}_a.sql" in caught.value.message
    assert f"{other}_b.sql" in caught.value.message

"""Where a checkout of the application has its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cruddur_cli import checkout


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """``backend-flask/db`` of a checkout, with a schema."""
    folder = tmp_path / "aws-bootcamp" / "backend-flask" / "db"
    (folder / "migrations").mkdir(parents=True)
    (folder / "schema.sql").write_text("")
    return folder


@pytest.mark.parametrize(
    "inside", ["", "backend-flask", "backend-flask/db", "backend-flask/db/migrations", "frontend/src"]
)
def test_from_anywhere_inside(database: Path, inside: str) -> None:
    here = database.parent.parent / inside
    here.mkdir(parents=True, exist_ok=True)
    assert checkout.locate("schema.sql", folder=here) == database / "schema.sql"
    assert checkout.locate("migrations", folder=here) == database / "migrations"


def test_outside_of_one(database: Path, tmp_path: Path) -> None:
    assert checkout.database_folder(tmp_path) is None
    assert checkout.locate("schema.sql", folder=tmp_path) is None
    assert checkout.locate("migrations", folder=tmp_path) is None


def test_a_file_that_is_not_there(database: Path) -> None:
    (database / "migrations").rmdir()
    assert checkout.locate("seed.sql", folder=database) is None
    assert checkout.locate("migrations", folder=database) == database / "migrations", "the first migration makes it"


def test_the_nearest_one_counts(database: Path) -> None:
    inner = database / "copy" / "backend-flask" / "db"
    inner.mkdir(parents=True)
    assert checkout.database_folder(database / "copy") == inner


def test_what_is_configured_wins(database: Path, tmp_path: Path) -> None:
    found = checkout.locate("schema.sql", folder=database, configured="sql/mine.sql", base=tmp_path)
    assert found == tmp_path / "sql" / "mine.sql"
    assert checkout.locate("schema.sql", folder=database, configured="/x.sql", base=tmp_path) == Path("/x.sql")


def test_as_somebody_there_would_write_it(database: Path) -> None:
    assert checkout.shown(database / "schema.sql", folder=database.parent) == Path("db/schema.sql")
    assert checkout.shown(database / "schema.sql", folder=database / "migrations") == database / "schema.sql"

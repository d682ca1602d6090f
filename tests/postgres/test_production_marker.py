"""The mark of production in a database is not removed by accident."""

from __future__ import annotations

import psycopg
import pytest

from tests.commands.conftest import Here, copied, here
from tests.commands.marked import is_marked

__all__ = ["copied", "here"]


@pytest.mark.parametrize(
    "accident",
    [
        "ALTER TABLE cruddur_environment RENAME TO old_environment",
        "DROP TABLE cruddur_environment",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
        "ALTER DATABASE {name} RESET ALL",
    ],
)
def test_the_mark_survives_an_accident(here: Here, copied: str, accident: str) -> None:
    with psycopg.connect(copied, autocommit=True) as conn:
        conn.execute(accident.format(name=copied.rpartition("/")[2]).encode())
    assert is_marked(copied)
    assert here("db", "schema-load", "--yes").code == 6


def test_create_with_prod_marks_the_database_that_it_creates(
    here: Here, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = f"{database}_new"
    monkeypatch.setenv("PROD_CONNECTION_URL", new)
    assert here("db", "create", "--prod").code == 0
    try:
        assert is_marked(new)
    finally:
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {new.rpartition('/')[2]}".encode())

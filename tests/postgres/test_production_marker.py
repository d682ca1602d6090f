"""The mark of production in a database is not removed by accident."""

from __future__ import annotations

import psycopg
import pytest

from cruddur_cli.errors import Protected
from cruddur_cli.postgres import production_marker
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


LOST = {
    "nothing": "SELECT 1",
    "the table": "DROP TABLE cruddur_environment",
    "the row": "DELETE FROM cruddur_environment",
    "the setting": "ALTER DATABASE {name} RESET ALL",
}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_either_place_marks_a_database_and_both_are_released(database: str, lost: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        assert not production_marker.is_production(conn)
        production_marker.refuse(conn, "the database")
        assert not production_marker.release(conn)
        for _ in range(2):
            production_marker.write(conn)
        conn.execute(lost.format(name=conn.info.dbname).encode())
        assert production_marker.is_production(conn)
        with pytest.raises(Protected, match="the database is marked as production") as caught:
            production_marker.refuse(conn, "the database")
        assert caught.value.code == "stamped_production"
        assert production_marker.release(conn)
        assert not production_marker.is_production(conn)
        assert not production_marker.release(conn)


def test_another_name_in_the_table_is_no_mark(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE cruddur_environment (name text PRIMARY KEY)")
        conn.execute("INSERT INTO cruddur_environment VALUES ('staging')")
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET cruddur.environment = 'staging'".encode())
        assert not production_marker.is_production(conn)

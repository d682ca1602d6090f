"""Databases and tables for tests are created, and rows are restored, on the real engines."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.errors import CruddurError, NotFound
from cruddur_cli.postgres import connection
from cruddur_cli.pytest_plugin import copies


@pytest.fixture
def url(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A seeded database, with its own templates."""
    name = database.rpartition("/")[2]
    monkeypatch.setattr(copies, "SEEDED", f"{name}_seeded")
    monkeypatch.setattr(copies, "EMPTY", f"{name}_empty")
    copies.make_templates(database)
    yield database
    with connection.opened_maintenance(database) as conn:
        for template in (copies.SEEDED, copies.EMPTY):
            conn.execute(f'DROP DATABASE "{template}" WITH (FORCE)')


@pytest.fixture
def table(emulator: str) -> Iterator[DynamoDB]:
    """An empty table for this test only."""
    at = aws_client.Endpoint("dynamodb", emulator, aws_client.LOCAL_REGION, "the embedded DynamoDB")
    with opened(at, f"copies-{uuid.uuid4().hex[:12]}") as store:
        tables.create(store)
        yield store
        tables.drop(store)


def handles(url: str) -> list[str]:
    with psycopg.connect(url) as conn:
        return [handle for (handle,) in conn.execute("SELECT handle FROM users ORDER BY 1")]


def test_a_seeded_database_has_the_rows_and_an_empty_one_the_tables(url: str) -> None:
    made = copies.seeded_database(url, f"{url.rpartition('/')[2]}_gw0")
    try:
        assert handles(made) == handles(url) != []
        with copies.empty_database(url) as empty:
            assert handles(empty) == []
        with pytest.raises(NotFound), connection.opened(empty):
            pass
    finally:
        with connection.opened_maintenance(url) as conn:
            conn.execute(f'DROP DATABASE "{made.rpartition("/")[2]}" WITH (FORCE)')


def test_the_versions_of_the_migrations_stay_in_an_empty_database(url: str) -> None:
    with copies.empty_database(url) as empty, psycopg.connect(url) as full, psycopg.connect(empty) as conn:
        versions = "SELECT * FROM schema_information"
        assert conn.execute(versions).fetchall() == full.execute(versions).fetchall() != []


def test_rows_sequences_and_items_are_restored(url: str, table: DynamoDB) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE counted (id serial PRIMARY KEY)")
        conn.execute("INSERT INTO counted DEFAULT VALUES")
    with connection.opened_maintenance(url) as conn:
        conn.execute(f'DROP DATABASE "{copies.SEEDED}"')
        conn.execute(f'CREATE DATABASE "{copies.SEEDED}" TEMPLATE "{url.rpartition("/")[2]}"')
    before, client = handles(url), table.client
    key = {"pk": {"S": "MSG#a"}, "sk": {"S": "2026"}}
    rows = copies.SeededRows(url, [{**key, "message": {"S": "seeded"}}])
    client.put_item(TableName=table.table, Item={**key, "message": {"S": "changed"}})
    client.put_item(TableName=table.table, Item={**key, "sk": {"S": "2027"}})
    with psycopg.connect(url) as conn:
        conn.execute("DELETE FROM activities")
        conn.execute("DELETE FROM users WHERE handle = 'bayko'")
        conn.execute("INSERT INTO counted DEFAULT VALUES")
    rows.put_back(url, client, table.table)
    assert handles(url) == before
    assert copies.items(client, table.table) == [{**key, "message": {"S": "seeded"}}]
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT count(*), nextval('counted_id_seq') FROM counted").fetchone() == (1, 2)


def test_a_transaction_that_has_not_ended_is_an_error_and_changes_nothing(
    url: str, table: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_LOCK_TIMEOUT", "50ms")
    rows = copies.SeededRows(url, [])
    with psycopg.connect(url) as open_transaction:
        open_transaction.execute("DELETE FROM activities")
        with pytest.raises(CruddurError, match="lock"):
            rows.put_back(url, table.client, table.table)
        open_transaction.rollback()
    assert "bayko" in handles(url)


def test_a_table_of_a_test_is_empty_and_dropped_afterwards(table: DynamoDB) -> None:
    with copies.empty_table(table.client, table.table) as name:
        assert name.startswith(table.table)
        assert copies.items(table.client, name) == []
        table.client.put_item(TableName=name, Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
    assert name not in table.client.list_tables()["TableNames"]


def test_a_test_may_drop_its_table_itself(table: DynamoDB) -> None:
    with copies.empty_table(table.client, table.table) as name:
        table.client.delete_table(TableName=name)

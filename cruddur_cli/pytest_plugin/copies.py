"""Create the databases and tables for tests, in milliseconds each, and restore changed rows."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..aws_client import client as aws_client
from ..dynamodb import batch_writer, scanning, tables
from ..dynamodb import client as dynamodb_client
from ..postgres import connection

SEEDED, EMPTY = "cruddur_tests_seeded", "cruddur_tests_empty"
# This table has the applied migrations, which belong to the schema. So an empty database has its rows too.
_MIGRATIONS = "public.schema_information"
# If a transaction of the application locks a table for longer, restoring the rows fails.
_LOCK_TIMEOUT = "10s"
_TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""
_SEQUENCES = "SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences ORDER BY 1"

Item = dict[str, Any]


def make_templates(url: str) -> None:
    """Copy the seeded database twice: with its rows, and without rows. The databases of tests are copies of these."""
    database = urlsplit(url).path.lstrip("/")
    _copy(url, database, SEEDED)
    with connection.opened(_copy(url, database, EMPTY)) as conn:
        if names := [name for (name,) in conn.execute(_TABLES) if name != _MIGRATIONS]:
            conn.execute(f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE")


def seeded_database(url: str, name: str) -> str:
    """Create the database ``name`` with the seeded rows; return its URL."""
    return _copy(url, SEEDED, name)


@contextmanager
def empty_database(url: str) -> Iterator[str]:
    """The URL of a new database with the application's tables and no rows; it is dropped at the end."""
    name = f"test_{secrets.token_hex(8)}"
    try:
        yield _copy(url, EMPTY, name)
    finally:
        with connection.opened_maintenance(url) as conn:
            conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _copy(url: str, template: str, name: str) -> str:
    with connection.opened_maintenance(url) as conn:
        conn.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return _of(url, name)


def _of(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def client(endpoint: str) -> Any:
    """A client for the embedded DynamoDB. It reads no profile and no proxy setting. The caller closes it."""
    at = aws_client.Endpoint("dynamodb", endpoint, aws_client.LOCAL_REGION, "the embedded DynamoDB")
    return aws_client.open_client(at)


def items(client: Any, table: str) -> list[Item]:
    """All items of a table."""
    with dynamodb_client.opened(client=client, table=table) as dynamodb:
        return [item for page in scanning.pages(dynamodb) for item in page]


@contextmanager
def empty_table(client: Any, like: str) -> Iterator[str]:
    """The name of a new, empty table, which begins with ``like``; it is dropped at the end."""
    name = f"{like}-{secrets.token_hex(8)}"
    with dynamodb_client.opened(client=client, table=name) as dynamodb:
        tables.create(dynamodb)
        try:
            yield name
        finally:
            tables.drop(dynamodb)


def seeded_table(client: Any, name: str, rows: list[Item]) -> None:
    """Create the table ``name`` with these items."""
    with dynamodb_client.opened(client=client, table=name) as dynamodb:
        tables.create(dynamodb)
        with batch_writer.opened(dynamodb) as batch:
            for row in rows:
                batch.put(row)


class SeededRows:
    """The seeded rows of both stores, which ``put_back`` restores."""

    def __init__(self, url: str, rows: list[Item]) -> None:
        self._items = {_key(item): item for item in rows}
        self._tables: dict[str, bytes] = {}
        with connection.opened(_of(url, SEEDED)) as conn:
            for (name,) in conn.execute(_TABLES).fetchall():
                with conn.cursor().copy(f"COPY {name} TO STDOUT") as copy:
                    self._tables[name] = b"".join(bytes(part) for part in copy)
            self._sequences = conn.execute(_SEQUENCES).fetchall()

    def put_back(self, url: str, client: Any, table: str) -> None:
        """Restore the seeded rows of the database and the seeded items of the table.

        Raises Refused if a transaction of the application locks a table for ten seconds.
        """
        with connection.opened(url) as conn:
            conn.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            # Restored rows must not fire triggers or foreign keys.
            conn.execute("SET LOCAL session_replication_role = replica")
            if self._tables:
                conn.execute(f"TRUNCATE {', '.join(self._tables)} CASCADE")
            for name, content in self._tables.items():
                with conn.cursor().copy(f"COPY {name} FROM STDIN") as copy:
                    copy.write(content)
            for name, value in self._sequences:
                conn.execute("SELECT setval(%s, %s, %s)", (name, value or 1, value is not None))
        stored = {_key(item): item for item in items(client, table)}
        with dynamodb_client.opened(client=client, table=table) as dynamodb, batch_writer.opened(dynamodb) as batch:
            for key, item in self._items.items():
                if stored.get(key) != item:
                    batch.put(item)
            for key in stored.keys() - self._items.keys():
                batch.delete({name: stored[key][name] for name in ("pk", "sk")})


def _key(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]

"""The database as a whole: whether it is there, made, loaded with a schema, and what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Refused
from . import connection
from .connection import Server

if TYPE_CHECKING:
    from psycopg import Connection

TABLES = ("users", "activities", "schema_information")
# What is about the database itself, and no row that anybody would miss.
BOOKKEEPING = ("schema_information", "cruddur_migrations", "cruddur_environment")


@dataclass(frozen=True)
class Pong:
    """A server's answer to ``ping``."""

    host: str
    port: int
    database: str
    user: str
    version: str
    encrypted: bool
    elapsed_ms: float


@dataclass(frozen=True)
class TableRows:
    """One table and how many rows it holds."""

    table: str
    rows: int


def ping(conn: Connection[Any], server: Server, elapsed_ms: float) -> Pong:
    """What answered; ``elapsed_ms`` is how long the caller waited for it."""
    row = conn.execute("SELECT current_setting('server_version'), current_database(), current_user").fetchone()
    assert row is not None
    return Pong(
        server.host, server.port, row[1], row[2], row[0].split()[0], conn.pgconn.ssl_in_use, round(elapsed_ms, 1)
    )


def exists(conn: Connection[Any], name: str) -> bool:
    """Whether the server has a database of that name."""
    return conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def create(conn: Connection[Any], name: str) -> bool:
    """Make a database; False where it was there already, or where somebody else has just made it.

    ``conn`` is to the maintenance database, outside of a transaction.
    """
    from psycopg import errors, sql

    if exists(conn, connection.check_name(name)):
        return False
    conn.execute("SET lock_timeout = '60s'")  # others that make a database at the same moment take their time
    try:
        conn.execute(sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(name)))
    except (errors.DuplicateDatabase, errors.UniqueViolation):  # which of the two depends on who loses the race where
        return False
    return True


def drop(conn: Connection[Any], name: str) -> bool:
    """Drop a database and end the sessions that use it, in one step; False where there was none.

    ``conn`` is to the maintenance database, outside of a transaction. Source: "DROP DATABASE", WITH (FORCE).
    """
    from psycopg import sql

    if not exists(conn, name):
        return False
    conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    return True


def missing_tables(conn: Connection[Any]) -> list[str]:
    """Which of the application's tables the database does not have."""
    rows = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return [name for name in TABLES if name not in {row[0] for row in rows}]


def rows(conn: Connection[Any]) -> list[TableRows]:
    """The tables in schema ``public``, by name, and how many rows each holds, counted."""
    from psycopg import sql

    names = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    counted = []
    for (name,) in names:
        found = conn.execute(sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(name))).fetchone()
        counted.append(TableRows(name, found[0] if found else 0))
    return counted


def filled(counted: Iterable[TableRows]) -> list[TableRows]:
    """The tables with rows that somebody would miss."""
    return [table for table in counted if table.rows and table.table not in BOOKKEEPING]


def added(before: Iterable[TableRows], after: Iterable[TableRows]) -> int:
    """How many rows more there are, over the tables that have more."""
    had = {table.table: table.rows for table in before}
    return sum(max(0, table.rows - had.get(table.table, 0)) for table in after if table.table not in BOOKKEEPING)


def tell_rows(conn: Connection[Any]) -> str:
    """What would be lost with the database, as ``4 activities, 4 users``; gives up on a table that is locked.

    A session that is stuck must not keep the database from being dropped: that is how it is ended.
    """
    from psycopg import errors, sql

    conn.execute("SET LOCAL lock_timeout = '1s'")
    names = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    told, locked = [], []
    for name in [row[0] for row in names if row[0] not in BOOKKEEPING]:
        try:
            with conn.transaction():
                query = sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(name))
                row = conn.execute(query).fetchone()
            if row and row[0]:
                told.append(f"{row[0]:,} {name}")
        except errors.LockNotAvailable:
            locked.append(name)
            conn.execute("SET LOCAL lock_timeout = '50ms'")  # one who holds a lock holds others too
    if locked:
        told.append(f"the rows of {', '.join(locked)} (not counted: a session holds a lock)")
    return ", ".join(told) or "no rows"


def lock(conn: Connection[Any], name: str = "cruddur schema", *, wait_s: int = 10) -> None:
    """Hold the lock of that name: until the transaction ends, or until the connection closes in autocommit mode.

    Raises Refused after ``wait_s`` behind somebody else.
    """
    from psycopg import errors, sql

    scope, kind = ("SESSION", "lock") if conn.autocommit else ("LOCAL", "xact_lock")
    conn.execute(sql.SQL("SET {} lock_timeout = {}").format(sql.SQL(scope), sql.Literal(f"{wait_s}s")))
    try:
        conn.execute(sql.SQL("SELECT {}(hashtext(%s))").format(sql.Identifier(f"pg_advisory_{kind}")), [name])
    except errors.LockNotAvailable as error:
        raise Refused(
            f"Somebody else has been at work on {name.removeprefix('cruddur ')} for {wait_s} seconds.",
            hint="run it again", code="locked",
        ) from error  # fmt: skip

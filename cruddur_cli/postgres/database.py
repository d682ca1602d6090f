"""Creates, drops and empties the database, and counts its tables and rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import Refused
from . import connection
from .connection import Server

if TYPE_CHECKING:
    from psycopg import Connection

TABLES = ("users", "activities", "schema_information")
# Tables about the database itself, whose rows do not count as data.
BOOKKEEPING = ("schema_information", "cruddur_migrations", "cruddur_environment")


@dataclass(frozen=True)
class Pong:
    """What ``ping`` found out about a server; ``encrypted`` says whether the connection uses TLS."""

    host: str
    port: int
    database: str
    user: str
    version: str
    encrypted: bool
    elapsed_ms: float


@dataclass(frozen=True)
class TableRows:
    """A table's name and its number of rows."""

    table: str
    rows: int


def ping(conn: Connection[Any], server: Server, elapsed_ms: float) -> Pong:
    """The server's version, database and user; ``elapsed_ms`` is how many milliseconds the caller has waited."""
    row = conn.execute("SELECT current_setting('server_version'), current_database(), current_user").fetchone()
    assert row is not None
    return Pong(
        server.host, server.port, row[1], row[2], row[0].split()[0], conn.pgconn.ssl_in_use, round(elapsed_ms, 1)
    )


def clock(conn: Connection[Any]) -> datetime:
    """The server's current time, with its time zone."""
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def exists(conn: Connection[Any], name: str) -> bool:
    """Whether the server has a database with that name."""
    return conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def is_rds(conn: Connection[Any]) -> bool:
    """Whether the server is Amazon RDS, also behind a tunnel.

    Only RDS has the role ``rdsadmin`` or the setting ``rds.extensions``.
    """
    role = "EXISTS (SELECT FROM pg_roles WHERE rolname = 'rdsadmin')"
    setting = "current_setting('rds.extensions', true) IS NOT NULL"
    row = conn.execute(f"SELECT {role} OR {setting}".encode()).fetchone()
    return row is not None and bool(row[0])


def create(conn: Connection[Any], name: str) -> bool:
    """Create a database; False if it exists already, or if another session creates it at the same time.

    ``conn`` is to the maintenance database, outside of a transaction. Raises BadInput for an impossible name.
    """
    from psycopg import errors, sql

    if exists(conn, connection.check_name(name)):
        return False
    try:
        conn.execute(sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(name)))
    except (
        errors.DuplicateDatabase,
        errors.UniqueViolation,
    ):  # which of the two depends on when the other session commits
        return False
    return True


def drop(conn: Connection[Any], name: str, *, force: bool = True) -> bool:
    """Drop a database; False if it does not exist. With ``force`` the same statement ends the sessions that use it.

    ``conn`` is to the maintenance database, outside of a transaction. Source: "DROP DATABASE", WITH (FORCE).
    """
    from psycopg import sql

    if not exists(conn, name):
        return False
    how = sql.SQL(" WITH (FORCE)" if force else "")
    conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}{}").format(sql.Identifier(name), how))
    return True


def drop_unused(conn: Connection[Any], name: str) -> bool:
    """Drop a database; False if it does not exist or a session uses it. Never ends a session."""
    from psycopg import errors

    try:
        return drop(conn, name, force=False)
    except errors.ObjectInUse:
        return False


def can_recreate(conn: Connection[Any], name: str) -> bool:
    """Whether the current role may drop that database and create it again.

    False for the database that ``conn`` is connected to. Source: "DROP DATABASE", "CREATE DATABASE".
    """
    row = conn.execute(
        "SELECT current_database() <> d.datname"
        " AND (r.rolsuper OR (r.rolcreatedb AND pg_has_role(d.datdba, 'USAGE')))"
        " FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = %s",
        [name],
    ).fetchone()
    return bool(row and row[0])


def can_create(conn: Connection[Any]) -> bool:
    """Whether the current role may create databases."""
    row = conn.execute("SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user").fetchone()
    return bool(row and row[0])


_OBJECTS = """
    SELECT o.type, o.identity FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) AS o
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'public'::regnamespace AND d.deptype = 'n'
        AND d.classid <> 'pg_default_acl'::regclass
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
    ORDER BY o.type <> 'table', o.type <> 'view', o.identity LIMIT 1
"""


def empty(conn: Connection[Any]) -> None:
    """Drop all schemas and objects of the database, in the connection's transaction.

    For a role that may not drop the database itself. Schema ``public`` and the extensions stay: the owner of a database
    may lack the right to create them.
    """
    from psycopg import sql

    schemas = conn.execute(
        "SELECT nspname FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid"
        " AND d.deptype = 'e')"
    ).fetchall()
    for (name,) in schemas:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
    # One at a time, because CASCADE drops dependent objects as well. PostgreSQL returns type and name ready to use.
    while row := conn.execute(_OBJECTS.encode()).fetchone():
        conn.execute(f"DROP {row[0].removeprefix('composite ').upper()} {row[1]} CASCADE".encode())


def missing_tables(conn: Connection[Any]) -> list[str]:
    """The tables of ``TABLES`` that the database lacks."""
    rows = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return [name for name in TABLES if name not in {row[0] for row in rows}]


def rows(conn: Connection[Any]) -> list[TableRows]:
    """The tables in schema ``public``, sorted by name, with their numbers of rows. Reads every row to count it."""
    from psycopg import sql

    names = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    counted = []
    for (name,) in names:
        row = conn.execute(sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(name))).fetchone()
        counted.append(TableRows(name, row[0] if row else 0))
    return counted


def filled(counted: Iterable[TableRows]) -> list[TableRows]:
    """The tables that have rows, without those of ``BOOKKEEPING``."""
    return [table for table in counted if table.rows and table.table not in BOOKKEEPING]


def named(counted: Iterable[TableRows]) -> str:
    """The numbers of rows as a text, such as ``4 activities, 1 user``; ``no rows`` without tables."""
    return ", ".join(rows_of(table.table, table.rows) for table in counted) or "no rows"


def rows_of(table: str, number: int) -> str:
    """A number of rows as a text: ``4 activities``, ``1 user``, ``1 row of logs``."""
    if number != 1:
        return f"{number:,} {table}"
    return {"activities": "1 activity", "users": "1 user"}.get(table, f"1 row of {table}")


def added(before: Iterable[TableRows], after: Iterable[TableRows]) -> int:
    """The number of rows that were added to all tables; a table that lost rows counts as 0."""
    return sum(table.rows for table in more(before, after))


def more(before: Iterable[TableRows], after: Iterable[TableRows]) -> list[TableRows]:
    """The tables that gained rows, each with the number of rows gained."""
    had = {table.table: table.rows for table in before}
    grown = (TableRows(table.table, table.rows - had.get(table.table, 0)) for table in after)
    return [table for table in filled(grown) if table.rows > 0]


def tell_rows(conn: Connection[Any]) -> str:
    """The rows that dropping the database deletes, such as ``4 activities, 4 users``.

    A locked table is named but not counted: dropping the database is also how a stuck session is ended.
    """
    from psycopg import errors, sql

    conn.execute("SET LOCAL lock_timeout = '1s'")
    names = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    counted, locked = [], []
    for name in [row[0] for row in names if row[0] not in BOOKKEEPING]:
        try:
            with conn.transaction():
                query = sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(name))
                row = conn.execute(query).fetchone()
            if row and row[0]:
                counted.append(rows_of(name, row[0]))
        except errors.LockNotAvailable:
            locked.append(name)
            conn.execute("SET LOCAL lock_timeout = '50ms'")  # a session that holds one lock often holds others
    if locked:
        counted.append(f"the rows of {', '.join(locked)} (not counted: a session holds a lock)")
    return ", ".join(counted) or "no rows"


def lock(conn: Connection[Any], name: str, *, wait_s: int = 10) -> None:
    """Hold the advisory lock with that name until the transaction ends. Raises Refused after ``wait_s`` seconds."""
    from psycopg import errors, sql

    conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{wait_s}s")))
    conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # the guarded work uses other connections
    try:
        conn.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [name])
    except errors.LockNotAvailable as error:
        raise Refused(
            f"Another session has been working on {name.removeprefix('cruddur ')} for {wait_s} seconds.",
            hint="run it again", code="locked",
        ) from error  # fmt: skip

"""The database as a whole: creates, drops and empties it, and counts its tables and rows."""

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
# Rows about the database itself, which are no data.
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
    """The server's version, database and user; ``elapsed_ms`` is how long the caller waited for the answer."""
    row = conn.execute("SELECT current_setting('server_version'), current_database(), current_user").fetchone()
    assert row is not None
    return Pong(
        server.host, server.port, row[1], row[2], row[0].split()[0], conn.pgconn.ssl_in_use, round(elapsed_ms, 1)
    )


def clock(conn: Connection[Any]) -> datetime:
    """The server's time."""
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def exists(conn: Connection[Any], name: str) -> bool:
    """Whether the server has a database of that name."""
    return conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def is_rds(conn: Connection[Any]) -> bool:
    """Whether the server is Amazon's, also behind a tunnel: only there is a role ``rdsadmin``, and the
    setting ``rds.extensions``."""
    role = "EXISTS (SELECT FROM pg_roles WHERE rolname = 'rdsadmin')"
    setting = "current_setting('rds.extensions', true) IS NOT NULL"
    found = conn.execute(f"SELECT {role} OR {setting}".encode()).fetchone()
    return found is not None and bool(found[0])


def create(conn: Connection[Any], name: str) -> bool:
    """Create a database; False if it exists already, or if another session has just created it.

    ``conn`` is to the maintenance database, outside of a transaction.
    """
    from psycopg import errors, sql

    if exists(conn, connection.check_name(name)):
        return False
    try:
        conn.execute(sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(name)))
    except (errors.DuplicateDatabase, errors.UniqueViolation):  # which of the two depends on who loses the race where
        return False
    return True


def drop(conn: Connection[Any], name: str, *, force: bool = True) -> bool:
    """Drop a database and with ``force`` end the sessions that use it, in one step; False where there was none.

    ``conn`` is to the maintenance database, outside of a transaction. Source: "DROP DATABASE", WITH (FORCE).
    """
    from psycopg import sql

    if not exists(conn, name):
        return False
    how = sql.SQL(" WITH (FORCE)" if force else "")
    conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}{}").format(sql.Identifier(name), how))
    return True


def drop_unused(conn: Connection[Any], name: str) -> bool:
    """Drop a database; False where there is none, or a session uses it. As ``drop``, but never ends a session."""
    from psycopg import errors

    try:
        return drop(conn, name, force=False)
    except errors.ObjectInUse:
        return False


def can_recreate(conn: Connection[Any], name: str) -> bool:
    """Whether this role may drop that database and create it again. Source: "DROP DATABASE", "CREATE DATABASE"."""
    row = conn.execute(
        "SELECT current_database() <> d.datname"
        " AND (r.rolsuper OR (r.rolcreatedb AND pg_has_role(d.datdba, 'USAGE')))"
        " FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = %s",
        [name],
    ).fetchone()
    return bool(row and row[0])


def can_create(conn: Connection[Any]) -> bool:
    """Whether this role may create databases."""
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
    """Drop everything in the database, in the connection's transaction: for a role that may not drop the database.

    Schema ``public`` and the extensions stay: the owner of a database need not have the right to create them.
    """
    from psycopg import sql

    schemas = conn.execute(
        "SELECT nspname FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid"
        " AND d.deptype = 'e')"
    ).fetchall()
    for (name,) in schemas:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
    # One at a time: each takes with it what depends on it. Both parts are PostgreSQL's own words and quotes.
    while row := conn.execute(_OBJECTS.encode()).fetchone():
        conn.execute(f"DROP {row[0].removeprefix('composite ').upper()} {row[1]} CASCADE".encode())


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
    """The tables that have rows."""
    return [table for table in counted if table.rows and table.table not in BOOKKEEPING]


def named(counted: Iterable[TableRows]) -> str:
    """Tables and what each holds, as ``4 activities, 1 user``; ``no rows`` for none."""
    return ", ".join(rows_of(table.table, table.rows) for table in counted) or "no rows"


def rows_of(table: str, number: int) -> str:
    """So many rows of a table, as ``4 activities``, ``1 user``; of a table with another name, ``1 row of logs``."""
    if number != 1:
        return f"{number:,} {table}"
    return {"activities": "1 activity", "users": "1 user"}.get(table, f"1 row of {table}")


def added(before: Iterable[TableRows], after: Iterable[TableRows]) -> int:
    """The number of rows that were added, over all tables that have more rows."""
    return sum(table.rows for table in more(before, after))


def more(before: Iterable[TableRows], after: Iterable[TableRows]) -> list[TableRows]:
    """The tables that have more rows than before, and how many more."""
    had = {table.table: table.rows for table in before}
    grown = (TableRows(table.table, table.rows - had.get(table.table, 0)) for table in after)
    return [table for table in filled(grown) if table.rows > 0]


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
                told.append(rows_of(name, row[0]))
        except errors.LockNotAvailable:
            locked.append(name)
            conn.execute("SET LOCAL lock_timeout = '50ms'")  # one who holds a lock holds others too
    if locked:
        told.append(f"the rows of {', '.join(locked)} (not counted: a session holds a lock)")
    return ", ".join(told) or "no rows"


def lock(conn: Connection[Any], name: str, *, wait_s: int = 10) -> None:
    """Hold the lock of that name until the transaction ends. Raises Refused after ``wait_s`` behind another session."""
    from psycopg import errors, sql

    conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{wait_s}s")))
    conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # the work that it guards is elsewhere
    try:
        conn.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [name])
    except errors.LockNotAvailable as error:
        raise Refused(
            f"Another session has been working on {name.removeprefix('cruddur ')} for {wait_s} seconds.",
            hint="run it again", code="locked",
        ) from error  # fmt: skip

"""Owns the mark of a production database, which counts for every URL that opens the database.

It is stored in two places: in a table, which a dump contains, and in a setting of the database, which stays when the
table is renamed or dropped. One of the two is enough.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import Protected

if TYPE_CHECKING:
    from psycopg import Connection

TABLE = "public.cruddur_environment"
SETTING = "cruddur.environment"


def write(conn: Connection[Any]) -> None:
    """Mark the database as production; a marked one does not change."""
    columns = "name text PRIMARY KEY, stamped_at timestamptz NOT NULL DEFAULT now()"
    conn.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({columns})".encode())
    conn.execute(f"INSERT INTO {TABLE} (name) VALUES ('production') ON CONFLICT DO NOTHING".encode())
    _set(conn, "= 'production'")


def is_production(conn: Connection[Any]) -> bool:
    """Whether the database is marked, in either place."""
    return _is_set(conn) or _is_in_table(conn)


def refuse(conn: Connection[Any], label: str) -> None:
    """Raise Protected if the database is marked: for commands that write and were run without ``--prod``.

    The hint is for a copy of production; it never suggests ``--prod``.
    """
    if is_production(conn):
        raise Protected(
            f"{label} is marked as production, and this command was run without --prod.",
            hint="if this is a copy of production: cruddur db release-copy; if not, name another database",
            code="stamped_production",
        )


def release(conn: Connection[Any]) -> bool:
    """Remove the mark from a copy of production; False if it is not marked."""
    was_marked = is_production(conn)
    if _is_in_table(conn):
        conn.execute(f"DELETE FROM {TABLE}".encode())
    if _is_set(conn):
        _set(conn, None)
    return was_marked


def _is_in_table(conn: Connection[Any]) -> bool:
    table = conn.execute("SELECT to_regclass(%s)", [TABLE]).fetchone()
    if table is None or table[0] is None:
        return False
    return conn.execute(f"SELECT 1 FROM {TABLE} WHERE name = 'production'".encode()).fetchone() is not None


def _is_set(conn: Connection[Any]) -> bool:
    """Whether the setting is stored with the database.

    Read from the catalogue, because ``current_setting`` gives the value from the start of the session.
    """
    row = conn.execute(
        "SELECT 1 FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " WHERE d.datname = current_database() AND s.setrole = 0 AND %s = ANY (s.setconfig)",
        [f"{SETTING}=production"],
    ).fetchone()
    return row is not None


def _set(conn: Connection[Any], value: str | None) -> None:
    """Store the setting, or reset it with None. A role that does not own the database cannot: the table is enough."""
    from psycopg import errors, sql

    change = sql.SQL("SET {} " + value if value else "RESET {}").format(sql.SQL(SETTING))
    name = sql.Identifier(conn.info.dbname)
    with suppress(errors.InsufficientPrivilege), conn.transaction():
        conn.execute(sql.SQL("ALTER DATABASE {} ").format(name) + change)

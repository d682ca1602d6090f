"""The mark inside a database that says: this is production, whatever URL led here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import Protected

if TYPE_CHECKING:
    from psycopg import Connection

TABLE = "public.cruddur_environment"


def write(conn: Connection[Any]) -> None:
    """Mark the database as production; a second time changes nothing."""
    columns = "name text PRIMARY KEY, stamped_at timestamptz NOT NULL DEFAULT now()"
    conn.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({columns})".encode())
    conn.execute(f"INSERT INTO {TABLE} (name) VALUES ('production') ON CONFLICT DO NOTHING".encode())


def is_production(conn: Connection[Any]) -> bool:
    """Whether the database carries the mark."""
    there = conn.execute("SELECT to_regclass(%s)", [TABLE]).fetchone()
    if there is None or there[0] is None:
        return False
    return conn.execute(f"SELECT 1 FROM {TABLE} WHERE name = 'production'".encode()).fetchone() is not None


def refuse(conn: Connection[Any], label: str) -> None:
    """Raise Protected where the database carries the mark: for what writes and came without ``--prod``."""
    if is_production(conn):
        raise Protected(
            f"{label} is stamped as production, and this command came without --prod.",
            hint="--prod",
            code="stamped_production",
        )

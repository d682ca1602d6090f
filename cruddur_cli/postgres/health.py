"""What tells whether a database is well: its version, its people as they are, and who keeps others from writing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import users

if TYPE_CHECKING:
    from psycopg import Connection

# "Explicit Locking": these table locks conflict with what INSERT, UPDATE and DELETE take.
_BLOCKING = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
_HOLDERS = """
    SELECT DISTINCT ON (a.pid) a.pid, a.state, l.mode, c.oid::regclass::text
    FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.granted AND l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database
            WHERE datname = current_database())
        AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND (l.mode = ANY(%s) OR EXISTS (SELECT FROM pg_stat_activity w
            WHERE w.wait_event_type = 'Lock' AND a.pid = ANY(pg_blocking_pids(w.pid))))
    ORDER BY a.pid, l.mode
"""


@dataclass(frozen=True)
class Blocker:
    """A session with a lock that keeps others from writing to a table."""

    pid: int
    state: str | None
    mode: str
    relation: str


def blockers(conn: Connection[Any]) -> list[Blocker]:
    """The sessions that keep others from writing to a table of this database, or that others wait for."""
    return [Blocker(*row) for row in conn.execute(_HOLDERS.encode(), [list(_BLOCKING)]).fetchall()]


def clock(conn: Connection[Any]) -> datetime:
    """What the server's clock says."""
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def columns(conn: Connection[Any]) -> set[str]:
    """The names of the columns of ``public.users``."""
    return users.column_names(conn)


def people(conn: Connection[Any]) -> list[users.User]:
    """Every person, by handle; a column that the table lacks is empty."""
    there = users.column_names(conn)
    wanted = ["uuid::text", "handle", "display_name", "email"]
    named = [name if name.partition(":")[0] in there else "''" for name in wanted]
    id_column = next((name for name in users.ID_COLUMNS if name in there), "''")
    query = f"SELECT {', '.join(named)}, coalesce({id_column}, '') FROM public.users ORDER BY 2, 1"
    return [users.User(*row) for row in conn.execute(query.encode()).fetchall()]

"""Lists the sessions of a database, and ends them or cancels their statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

_FIND = """
    SELECT pid, usename, datname, host(client_addr), application_name, state,
           round(extract(epoch FROM clock_timestamp() - coalesce(
               CASE WHEN state = 'active' THEN query_start ELSE state_change END, backend_start))::numeric, 1)::float
    FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
      AND datname = %(database)s
      AND (%(user)s::text IS NULL OR usename = %(user)s)
      AND (%(application)s::text IS NULL OR application_name = %(application)s)
      AND (%(idle_s)s::float IS NULL OR (state LIKE 'idle%%'
           AND clock_timestamp() - state_change >= make_interval(secs => %(idle_s)s)))
    ORDER BY backend_start, pid
"""
# These table locks conflict with the lock of INSERT, UPDATE and DELETE. Source: "Explicit Locking".
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
class Session:
    """One connection to the database. ``query_age_s`` is how long its statement has run, or it has been idle."""

    pid: int
    user: str | None
    database: str | None
    client_addr: str | None
    application_name: str | None
    state: str | None
    query_age_s: float | None


@dataclass(frozen=True)
class Ended:
    """The result for one session: ``terminated``, ``cancelled``, ``gone`` (it had ended by itself) or ``refused``."""

    pid: int
    user: str | None
    result: str


@dataclass(frozen=True)
class Blocker:
    """A session whose lock blocks writes to a table, or for which another session waits."""

    pid: int
    state: str | None
    mode: str
    relation: str


def find(
    conn: Connection[Any],
    database: str,
    *,
    user: str | None = None,
    application: str | None = None,
    idle_s: float | None = None,
) -> list[Session]:
    """The sessions of a database, the oldest first, without the session of ``conn``.

    ``idle_s`` selects those that have been idle for at least that many seconds. An ordinary role cannot see the states
    of other users' sessions. Source: "The Cumulative Statistics System", pg_stat_activity.
    """
    given = {"database": database, "user": user, "application": application, "idle_s": idle_s}
    return [Session(*row) for row in conn.execute(_FIND, given).fetchall()]


def blockers(conn: Connection[Any]) -> list[Blocker]:
    """The sessions that block writes to a table of this database, or for which other sessions wait."""
    return [Blocker(*row) for row in conn.execute(_HOLDERS.encode(), [list(_BLOCKING)]).fetchall()]


def end(conn: Connection[Any], sessions: Sequence[Session], *, cancel: bool = False) -> list[Ended]:
    """Terminate the sessions, or with ``cancel`` only their statements; one result for each session.

    A pid is signalled only while a session of the listed database has it. Source: "System Administration Functions",
    pg_terminate_backend and pg_cancel_backend.
    """
    from psycopg import errors, sql

    function = sql.Identifier("pg_cancel_backend" if cancel else "pg_terminate_backend")
    statement = sql.SQL(
        "SELECT {}(pid) FROM pg_stat_activity WHERE pid = %s AND datname = %s AND pid <> pg_backend_pid()"
    ).format(function)
    results = []
    with conn.transaction():  # behind a pooler the next statement could go to a session that this has ended
        for session in sessions:
            try:
                with conn.transaction():
                    row = conn.execute(statement, [session.pid, session.database]).fetchone()
                word = ("cancelled" if cancel else "terminated") if row and row[0] else "gone"
            except errors.InsufficientPrivilege:
                word = "refused"
            results.append(Ended(session.pid, session.user, word))
    return results

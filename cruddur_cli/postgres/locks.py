"""Limits how long a change of the schema waits for a lock, and names the session that holds it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import masking
from ..errors import CruddurError, Refused
from . import catalogue, connection
from .connection import Server

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection

TURN_S = 300  # how long a migration waits for another session's migration
_LOOK_AFTER_S = 1.0
_CLIPPED = 100
_KEY = "hashtext('cruddur schema')"
_SESSION = """
    SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(state, ''), query_start,
           coalesce(query, '')
    FROM pg_stat_activity
"""
_BLOCKERS = _SESSION + "WHERE pid = ANY(pg_blocking_pids(%s)) ORDER BY query_start LIMIT 5"
_HOLDER = (
    _SESSION
    + f"""WHERE pid IN (
        SELECT pid FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND ((classid::bigint << 32) | objid::bigint) = {_KEY}::bigint
    )"""
)


@dataclass(frozen=True)
class LockHolder:
    """A session that holds a lock: whose it is, and the pid by which it can be ended.

    ``secret_tables`` are the tables with a column for secrets, which decide what of the query is masked.
    """

    pid: int
    user: str
    application: str
    state: str
    query_start: datetime | None
    query: str
    secret_tables: frozenset[str] = field(default=frozenset(), kw_only=True)

    def __str__(self) -> str:
        since = f", its last statement began {self.query_start:%Y-%m-%d %H:%M:%S %Z}" if self.query_start else ""
        who = f"pid {self.pid}, user {self.user}, application {self.application or '(none)'}, {self.state}"
        query = masking.sql(" ".join(self.query.split()), self.secret_tables)
        return f"{who}{since}: {query[:_CLIPPED]}{'…' if len(query) > _CLIPPED else ''}"


class Watch:
    """Finds the sessions that block a connection, from a second connection and in a thread.

    PostgreSQL's error for a lock time-out names no session, and after it the blocking sessions cannot be found. The
    second connection is opened only while a statement has run for more than a second.
    """

    def __init__(self, conn: Connection[Any], server: Server) -> None:
        self.blockers: list[LockHolder] = []
        self._conn, self._server = conn, server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="cruddur-locks", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=5)

    def _look(self) -> None:
        from psycopg.pq import TransactionStatus

        waiting_since: float | None = None
        while not self._over.wait(0.25):
            if self._conn.pgconn.transaction_status != TransactionStatus.ACTIVE:
                waiting_since = None
                continue
            waiting_since = waiting_since or time.monotonic()
            if time.monotonic() - waiting_since < _LOOK_AFTER_S:
                continue
            # A connection for each look: pg_stat_activity does not change within a transaction. If no connection can
            # be opened, the error names no session.
            with suppress(CruddurError), connection.opened(self._server) as other:
                # Not conn.info.backend_pid: behind a pooler that number is the pooler's.
                pid = self._conn.server_pid  # type: ignore[attr-defined]
                self.blockers = _holders(other, _BLOCKERS, [pid]) or self.blockers

    def refused(self, place: str = "") -> Refused:
        """The error for a lock time-out; it names the sessions that hold the lock, if they were found."""
        who = "\n".join(str(session) for session in self.blockers)
        return Refused(
            f"{place}{self._server.label}: gave up waiting for a lock that "
            + (f"session {self.blockers[0].pid} ({self.blockers[0].user})" if self.blockers else "another session")
            + " holds.",
            details=who or None,
            hint="wait until that session ends, or end it with `cruddur db kill-all`; then repeat this command",
            code="locked",
            fields={"blocking_pids": [session.pid for session in self.blockers]},
        )


@contextmanager
def report_holder(conn: Connection[Any], server: Server) -> Iterator[None]:
    """Raise a lock time-out inside the block as Refused, which names the session that holds the lock."""
    from psycopg import errors

    with Watch(conn, server) as watch:
        try:
            yield
        except errors.LockNotAvailable as error:
            raise watch.refused() from error


@contextmanager
def guarded(conn: Connection[Any], server: Server) -> Iterator[Watch]:
    """Limit every wait until the transaction of ``conn`` ends, and raise a lock time-out as ``report_holder`` does.

    SET statements of a file run later, so they override the limits.
    """
    from psycopg import errors

    connection.set_timeouts(conn)
    with Watch(conn, server) as watch:
        try:
            yield watch
        except errors.LockNotAvailable as error:
            raise watch.refused() from error


def take(conn: Connection[Any], *, wait_s: int = 10, say: Callable[[str], None] | None = None) -> None:
    """Hold the lock for schema changes until the transaction ends, so that only one session changes the schema.

    ``say`` gets a line if another session holds the lock. Raises Refused, which names that session, after ``wait_s``
    seconds.
    """
    from psycopg import errors

    if _scalar(conn, f"SELECT pg_try_advisory_xact_lock({_KEY})"):
        _refresh_catalogue(conn)
        return
    holder = _holder(conn)
    if say is not None:
        say(f"waiting: {holder or 'another session'} is changing the schema")
    connection.set_timeouts(conn)
    before = _scalar(conn, "SELECT current_setting('lock_timeout')")
    try:
        with conn.transaction():
            conn.execute(f"SET LOCAL lock_timeout = '{wait_s}s'".encode())
            _scalar(conn, f"SELECT pg_advisory_xact_lock({_KEY})")
            conn.execute("SELECT set_config('lock_timeout', %s, true)", [before])
        _refresh_catalogue(conn)
    except errors.LockNotAvailable as error:
        holder = _holder(conn) or holder
        raise Refused(
            f"Another session is changing the schema of this database; gave up after {wait_s} s.",
            details=str(holder) if holder else None,
            hint="wait until that session ends, then repeat this command",
            code="locked",
            fields={"blocking_pids": [holder.pid] if holder else []},
        ) from error


def _refresh_catalogue(conn: Connection[Any]) -> None:
    """Make the session see tables that other sessions created or dropped while it waited.

    A session caches the catalogue until it locks a relation for the first time in a transaction (LockRelationOid in
    lmgr.c). An advisory lock does not count, so this locks a catalogue that no other query here reads.
    """
    conn.execute("SELECT FROM pg_catalog.pg_ts_template LIMIT 0")


def _scalar(conn: Connection[Any], query: str) -> Any:
    row = conn.execute(query.encode()).fetchone()
    return row[0] if row else None


def _holder(conn: Connection[Any]) -> LockHolder | None:
    return next(iter(_holders(conn, _HOLDER, [])), None)


def _holders(conn: Connection[Any], query: str, parameters: list[int]) -> list[LockHolder]:
    rows = conn.execute(query.encode(), parameters or None).fetchall()
    is_unclear = any(masking.lists_no_columns(row[-1]) for row in rows)
    secret_tables = catalogue.tables_with_secrets(conn) if is_unclear else frozenset()
    return [LockHolder(*row, secret_tables=secret_tables) for row in rows]

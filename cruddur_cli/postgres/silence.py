"""A server that has fallen silent, told from one that works on a long statement.

One session's process that is stopped (SIGSTOP) in a statement, while the server lives, looks like work:
pg_stat_activity keeps "active" for both, and no function makes a session answer without ending its statement. So a
statement without ``--statement-timeout`` waits for it; with one, the client gives up after that time and ``_GRACE_S``.
One that is stopped between two statements is noticed, because it never becomes active.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import lru_cache
from typing import Any

from ..errors import CannotConnect

# How long no byte comes before a second connection asks; for its login and for its answer; between two doubts. A server
# that is silent from one moment on is given up after SILENCE_S and at most four times ASK_S: 26 s.
SILENCE_S = 10.0
ASK_S = 4.0
_DOUBT_S = 2.0
_GRACE_S = 10.0  # after a time-out that the server itself should have kept
_STATE = "SELECT state, wait_event_type FROM pg_stat_activity WHERE pid = %s"


@lru_cache
def connection_class() -> Any:
    """psycopg's connection, which raises CannotConnect when the server stops answering, at any point.

    ``server_pid`` is the session that works for it, None where that is not known; ``statement_timeout_s`` is what the
    server was asked to keep. ``wait`` is psycopg's own place where it waits for the server: with 3.3 it hands a
    "nothing yet" to what it drives, ten times a second.
    """
    from psycopg import Connection

    class Watched(Connection[Any]):
        server_pid: int | None = None
        statement_timeout_s: float | None = None

        def wait(self, gen: Any, *arguments: Any, **more: Any) -> Any:
            return super().wait(_watch(self, gen), *arguments, **more)

    return Watched


def _watch(conn: Any, gen: Any) -> Generator[Any, Any, Any]:
    """``gen``, unless the server stops answering. Every byte that comes or goes counts as a sign of life."""
    began = heard = time.monotonic()
    patience, doubts = SILENCE_S, 0
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            now = time.monotonic()
            if ready:
                heard, patience, doubts = now, SILENCE_S, 0
            elif conn.statement_timeout_s and now - began > conn.statement_timeout_s + _GRACE_S:
                raise _give_up(conn, f"it ignored a statement time-out of {conn.statement_timeout_s:g} s")
            elif now - heard >= patience:
                if _works(conn):
                    patience, doubts = SILENCE_S, 0
                else:
                    patience, doubts = _DOUBT_S, doubts + 1
                if doubts > 1:
                    raise _give_up(conn, "it no longer works for this connection")
                heard = time.monotonic()
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


def _works(conn: Any) -> bool:
    """Whether the server answers another connection, and still works for this one. Raises CannotConnect."""
    from psycopg import Error

    reason = ""
    for _ in range(2):
        try:
            with _other(conn) as other:
                # Through a pooler another session may work for each transaction: that the server answers is enough.
                if conn.server_pid is None or conn.server_pid != conn.info.backend_pid:
                    other.execute("SELECT 1")
                    return True
                row = other.execute(_STATE, [conn.server_pid]).fetchone()
                # One that waits for its client has said everything, or has heard nothing: the line is cut.
                return row is not None and row[0] in {"active", "disabled", None} and row[1] != "Client"
        except Error as error:
            if "FATAL:" in str(error):  # as for too many connections: the server does answer
                return True
            reason = "a second connection got no answer"
    raise _give_up(conn, reason)


def _other(conn: Any) -> Any:
    """A connection to the same server that is itself given up after ``ASK_S``."""
    from psycopg import Connection, OperationalError

    class Asking(Connection[Any]):
        def wait(self, gen: Any, *arguments: Any, **more: Any) -> Any:
            return super().wait(self._bounded(gen), *arguments, **more)

        @staticmethod
        def _bounded(gen: Any) -> Generator[Any, Any, Any]:
            deadline = time.monotonic() + ASK_S
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if not ready and time.monotonic() > deadline:
                        raise OperationalError("no answer in time")
                    wanted = gen.send(ready)
            except StopIteration as end:
                return end.value

    info = conn.info
    where = {"host": info.host, "hostaddr": info.hostaddr, "port": info.port, "password": info.password}
    parameters = {**info.get_parameters(), **{name: value for name, value in where.items() if value}}
    other = Asking.connect(**{**parameters, "connect_timeout": max(2, int(ASK_S))}, autocommit=True)
    other.prepare_threshold = None
    return other


def _give_up(conn: Any, reason: str) -> CannotConnect:
    place = f"{conn.info.host}:{conn.info.port}"
    conn.pgconn.finish()  # a rollback or a cancellation would only wait again
    return CannotConnect(
        f"PostgreSQL on {place} stopped answering in the middle of a statement: {reason}.",
        hint="run it again; uncommitted changes are rolled back when the server continues",
        code="stopped_answering",
    )

"""Notices a server that has stopped answering, and waits for one that runs a long statement.

It does not notice a single session whose process is stopped (SIGSTOP) during a statement: pg_stat_activity still says
"active", and no function makes a session answer without ending its statement. The client waits for such a session; with
``--statement-timeout`` it gives up ``_GRACE_S`` after that time. A session that is stopped between two statements is
noticed, because it never becomes active.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import lru_cache
from typing import Any

from ..errors import CannotConnect

# A silent server is given up after SILENCE_S and at most four times ASK_S: 26 s.
SILENCE_S = 10.0  # without a byte from the server, before a second connection asks
ASK_S = 4.0  # for the login of the second connection, and for its answer
_RECHECK_S = 2.0  # before the second connection asks once more about a session that does not work
_GRACE_S = 10.0  # after a statement time-out, which the server itself should have kept
_STATE = "SELECT state, wait_event_type FROM pg_stat_activity WHERE pid = %s"


@lru_cache
def connection_class() -> Any:
    """psycopg's Connection class, with a ``wait`` that raises CannotConnect when the server stops answering.

    ``server_pid`` is the pid of the server's session, None if it is not known. ``statement_timeout_s`` is the limit
    that the server got. ``wait`` is where psycopg waits for the server: since 3.3 it tells the generator ten times a
    second that no byte has come.
    """
    from psycopg import Connection

    class Watched(Connection[Any]):
        server_pid: int | None = None
        statement_timeout_s: float | None = None

        def wait(self, gen: Any, *arguments: Any, **more: Any) -> Any:
            return super().wait(_watch(self, gen), *arguments, **more)

    return Watched


def _watch(conn: Any, gen: Any) -> Generator[Any, Any, Any]:
    """The result of ``gen``. Raises CannotConnect if the server stops answering, or ignores its statement time-out.

    Every byte that is received or sent counts as a sign of life.
    """
    began = quiet_since = time.monotonic()
    wait_s, failed_checks = SILENCE_S, 0
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            now = time.monotonic()
            if ready:
                quiet_since, wait_s, failed_checks = now, SILENCE_S, 0
            elif conn.statement_timeout_s and now - began > conn.statement_timeout_s + _GRACE_S:
                raise _give_up(conn, f"it ignored a statement time-out of {conn.statement_timeout_s:g} s")
            elif now - quiet_since >= wait_s:
                if _works(conn):
                    wait_s, failed_checks = SILENCE_S, 0
                else:
                    wait_s, failed_checks = _RECHECK_S, failed_checks + 1
                if failed_checks > 1:
                    raise _give_up(conn, "it no longer works for this connection")
                quiet_since = time.monotonic()
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


def _works(conn: Any) -> bool:
    """Whether the server still works for this connection. Raises CannotConnect if it does not answer a second one."""
    from psycopg import Error

    reason = ""
    for _ in range(2):
        try:
            with _second_connection(conn) as other:
                # Behind a pooler each transaction may have another session: any answer is enough.
                if conn.server_pid is None or conn.server_pid != conn.info.backend_pid:
                    other.execute("SELECT 1")
                    return True
                row = other.execute(_STATE, [conn.server_pid]).fetchone()
                # A session that waits for "Client" has sent its answer or got no statement: the network lost it.
                return row is not None and row[0] in {"active", "disabled", None} and row[1] != "Client"
        except Error as error:
            if "FATAL:" in str(error):  # such as "too many connections": the server answers
                return True
            reason = "a second connection got no answer"
    raise _give_up(conn, reason)


def _second_connection(conn: Any) -> Any:
    """Another connection to the same server; a statement on it fails after ``ASK_S`` seconds."""
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

"""A minimal pooler in transaction mode: each transaction gets another session of the server.

PgBouncer and RDS Proxy do the same. This one uses the session that was used longest ago, so that two transactions of
a client never have the same one. It refuses startup parameters, as PgBouncer does by default.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.waiting import until

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_SESSIONS = 3
# What a session shows of itself that an earlier client may have changed.
_TRACES = """
    SELECT
        (SELECT array_agg(name || '=' || setting ORDER BY name) FROM pg_settings
            WHERE source = 'session' AND setting IS DISTINCT FROM reset_val
                AND name NOT LIKE 'transaction%' AND name <> 'application_name'),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        (SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%array_agg%'),
        (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
        (SELECT count(*) FROM pg_cursors WHERE is_holdable),
        session_user = current_user
"""
CLEAN = (None, 0, 0, 0, 0, True)


class Pooler:
    """Listens on ``port``; ``server`` is the URL of any database on the server behind it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._pools: dict[str, deque[psycopg.Connection[Any]]] = {}
        self._free = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.transactions = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for pool in self._pools.values():
            for session in pool:
                session.close()

    def url(self, database: str) -> str:
        """The URL of a database behind the pooler."""
        parts = urlsplit(self._server)
        login = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{login}@127.0.0.1:{self.port}", path=f"/{database}").geturl()

    def traces(self, database: str) -> list[Any]:
        """The state that clients left in each session of that database; ``CLEAN`` for none."""
        if database not in self._pools:
            return []
        until(lambda: len(self._pools[database]) == _SESSIONS)
        living = [session for session in self._pools[database] if not _readable(session, 0)]
        return [session.execute(_TRACES, prepare=False).fetchone() for session in living]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, EOFError, psycopg.Error):
            given = self._startup(client)
            if given is None:
                return
            extra = given.keys() - {"user", "database", "application_name", "client_encoding"}
            if extra:
                _fail(client, "08P01", f"unsupported startup parameter: {min(extra)}")
                return
            try:
                session = self._take(given["database"])
            except psycopg.OperationalError as error:
                code = "3D000" if "does not exist" in str(error) else "08006"
                _fail(client, code, str(error).rpartition("FATAL:")[2].strip())
                return
            names = ("server_version", "client_encoding", "standard_conforming_strings", "integer_datetimes")
            status = {name: session.info.parameter_status(name) for name in names}
            self._give(given["database"], session)
            _send(client, b"R", struct.pack("!i", 0))
            for name, value in status.items():
                _send(client, b"S", f"{name}\0{value}\0".encode())
            _send(client, b"K", struct.pack("!ii", 7, 7))
            _send(client, b"Z", b"I")
            while self._transaction(client, given["database"]):
                pass

    def _startup(self, client: socket.socket) -> dict[str, str] | None:
        while True:
            length, code = struct.unpack("!ii", _exactly(client, 8))
            if code in {_SSL, _GSS}:
                client.sendall(b"N")
                continue
            if code == _CANCEL:
                return None
            texts = _exactly(client, length - 8).decode().split("\0")
            return dict(zip(texts[0:-2:2], texts[1:-1:2], strict=False))

    def _transaction(self, client: socket.socket, database: str) -> bool:
        """Serve one transaction with one session; False once the client has disconnected."""
        kind, body = _message(client)
        if kind == b"X":
            return False
        session = self._take(database)
        self.transactions += 1
        server = socket.socket(fileno=os.dup(session.fileno()))
        server.setblocking(True)
        over = threading.Event()
        disconnected = False
        try:
            _send(server, kind, body)

            def answer() -> None:
                with suppress(OSError, EOFError):
                    while not over.is_set():
                        back, text = _message(server)
                        if back == b"Z" and text == b"I":
                            over.set()
                        _send(client, back, text)

            thread = threading.Thread(target=answer, daemon=True)
            thread.start()
            while not over.is_set():
                if not _readable(client):
                    if not thread.is_alive() and not over.is_set():
                        raise EOFError
                    continue
                if over.is_set():  # what has come belongs to the next transaction
                    break
                kind, body = _message(client)
                if kind == b"X":
                    disconnected = True
                    break
                _send(server, kind, body)
            if not disconnected:
                thread.join()
        except (OSError, EOFError):
            disconnected = True
        finally:
            server.close()
            if over.is_set():
                self._give(database, session)
            else:  # in the middle of a transaction: the server rolls back
                session.close()
                self._give(database, psycopg.connect(self._direct(database), autocommit=True))
        return not disconnected

    def _direct(self, database: str) -> str:
        return urlsplit(self._server)._replace(path=f"/{database}").geturl()

    def _take(self, database: str) -> psycopg.Connection[Any]:
        with self._free:
            if database not in self._pools:
                fresh = [psycopg.connect(self._direct(database), autocommit=True) for _ in range(_SESSIONS)]
                self._pools[database] = deque(fresh)
            while not self._pools[database]:
                self._free.wait()
            session = self._pools[database].popleft()
        if _readable(session, 0):  # nothing was asked: the server has ended it
            session.close()
            session = psycopg.connect(self._direct(database), autocommit=True)
        return session

    def _give(self, database: str, session: psycopg.Connection[Any]) -> None:
        with self._free:
            self._pools[database].append(session)
            self._free.notify()


@contextmanager
def started(server: str) -> Iterator[Pooler]:
    """Start a pooler in front of the server of that URL, until the block ends."""
    with ExitStack() as stack:
        pooler = Pooler(server)
        stack.callback(pooler.close)
        yield pooler


def _readable(source: Any, timeout_s: float = 0.005) -> bool:
    import select

    return bool(select.select([source], [], [], timeout_s)[0])


def _exactly(source: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = source.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    kind = _exactly(source, 1)
    (length,) = struct.unpack("!i", _exactly(source, 4))
    return kind, _exactly(source, length - 4)


def _send(sink: socket.socket, kind: bytes, body: bytes) -> None:
    sink.sendall(kind + struct.pack("!i", len(body) + 4) + body)


def _fail(client: socket.socket, code: str, text: str) -> None:
    fields = {b"S": "FATAL", b"V": "FATAL", b"C": code, b"M": text}
    _send(client, b"E", b"".join(key + value.encode() + b"\0" for key, value in fields.items()) + b"\0")

"""Real PostgreSQL servers of each major version on this machine, each started once in a run; and psql.

A major version is available if ``TEST_POSTGRES_<major>`` names the folder of its programs (``.ci/run`` fetches 13 to
18), or if Debian has installed it. A test in any folder gets a server so:

- ``postgres_server(15)`` is the URL of the maintenance database, ``postgres_database(15)`` that of an empty database
  for the test (user ``postgres``, a superuser, no password). The test is skipped if that version is not available.
- ``@pytest.mark.parametrize("major", servers.MAJORS)`` runs a test with each in turn; ``postgres_majors`` lists those
  that are available.
- The fixture ``url`` of tests/postgres is an empty database on the embedded server and on each version, in turn.
"""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.postgres.connection import Server

MAJORS = range(13, 19)
# Where psql and pg_dump are, which the packages of ``.ci/postgres`` lack.
BIN = Path("/usr/lib/postgresql/15/bin")
FILE = "file.sql"
# Of servers whose data nobody misses: they never wait for the disk.
QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "backend_flush_after": "0",
    "bgwriter_flush_after": "0",
    "checkpoint_flush_after": "0",
}


@dataclass(frozen=True)
class Psql:
    """The result of psql: its exit code and its stderr."""

    code: int
    err: str


def server(url: str) -> Server:
    """The ``Server`` for a URL."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    name = str(parts["dbname"])
    return Server(parts, str(parts["host"]), int(parts["port"] or 5432), name, str(parts["user"]), f"database {name!r}")


def programs(major: int) -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl`` of a major version; None if it is not available."""
    named = os.environ.get(f"TEST_POSTGRES_{major}")
    found = Path(named) if named else Path(f"/usr/lib/postgresql/{major}/bin")
    if named and not (found / "initdb").exists():
        raise pytest.UsageError(f"TEST_POSTGRES_{major}: there is no initdb in {named}")
    return found if (found / "initdb").exists() else None


def start(folder: Path, major: int) -> str:
    """Start a server with its files in ``folder``, until the run ends; the URL of its maintenance database."""
    found = programs(major)
    assert found is not None
    account: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        who = pwd.getpwnam("postgres")
        account = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
        os.chown(folder, who.pw_uid, who.pw_gid)

    def run(name: str, *arguments: str) -> int:
        command = [str(found / name), "-D", str(folder / "data"), *arguments]
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, cwd=folder, timeout=120, **account)
        return done.returncode

    assert run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync") == 0
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **QUICK}
        options = " ".join([f"-p {port}", *(f"-c {name}={value}" for name, value in settings.items())])
        # Another program may have taken the port meanwhile.
        if run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start") == 0:
            return f"postgresql://postgres@127.0.0.1:{port}/postgres"
    raise AssertionError((folder / "log").read_text())


def hasten(url: str) -> None:
    """Give a running server the fast settings of ``start``."""
    with psycopg.connect(url, autocommit=True) as conn:
        for name, value in QUICK.items():
            conn.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        conn.execute("SELECT pg_reload_conf()")


def create(conn: psycopg.Connection[Any], name: str, template: str) -> bytes:
    """The statement that creates a database in the fastest way: by copying files, as every version before 15 does."""
    strategy = "STRATEGY FILE_COPY" if conn.info.server_version >= 150_000 else ""
    return f"CREATE DATABASE {name} TEMPLATE {template} {strategy}".encode()


class Spares:
    """Databases on one server, each lent to one test; an unused one is lent again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._base = url.rpartition("/")[0]
        self._spare: dict[str, list[tuple[str, object]]] = {}
        self._conn: psycopg.Connection[Any] | None = None

    @contextmanager
    def lend(self, template: str) -> Iterator[str]:
        """The URL of a database for one test, a copy of ``template``, until the block ends."""
        conn = self._connection()
        spare = self._spare.setdefault(template, [])
        name, made = spare.pop() if spare else self._make(conn, template)
        yield f"{self._base}/{name}"
        before, conn = conn, self._connection()
        # Another connection: the server may have crashed, which forgets who was connected.
        if conn is before and self._state(conn, name) == made:
            spare.append((name, made))
        else:
            conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def close(self) -> None:
        """Close the connection; the databases end with their server."""
        if self._conn is not None:
            self._conn.close()

    def _connection(self) -> psycopg.Connection[Any]:
        try:
            if self._conn is not None:
                self._conn.execute("SELECT 1")
                return self._conn
        except psycopg.OperationalError:  # a test has ended it, or the server
            pass
        self._conn = psycopg.connect(self._url, autocommit=True)
        return self._conn

    def _make(self, conn: psycopg.Connection[Any], template: str) -> tuple[str, object]:
        name = f"test_{uuid.uuid4().hex[:12]}"
        conn.execute(create(conn, name, template))
        return name, self._state(conn, name)

    @staticmethod
    def _state(conn: psycopg.Connection[Any], name: str) -> object:
        """A value that changes when a session connects to the database or alters it; None if it does not exist.

        A session counts itself before it leaves the list of sessions, so the list is read first. Servers before 15
        count later.
        """
        if conn.info.server_version < 150_000:
            return object()
        here = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        sessions = conn.execute(here.encode(), [name]).fetchone()
        seen = conn.execute(
            "SELECT d.oid, d.xmin::text, s.sessions, s.xact_commit, s.xact_rollback,"
            " (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = d.oid),"
            " (SELECT count(*) FROM pg_shdescription WHERE objoid = d.oid)"
            " FROM pg_database d LEFT JOIN pg_stat_database s ON s.datid = d.oid WHERE d.datname = %s",
            [name],
        ).fetchone()
        return (sessions, seen) if seen else object()


@cache
def _spares(url: str) -> Spares:
    return Spares(url)


def database(url: str) -> AbstractContextManager[str]:
    """The URL of a new empty database on the server of that URL, until the block ends."""
    return _spares(url).lend("template0")


def psql(url: str, content: bytes, folder: Path) -> Psql:
    """The result of ``psql -1 -v ON_ERROR_STOP=1 -f`` with a file."""
    (folder / FILE).write_bytes(content)
    command = ["psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-f", FILE, url]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    return Psql(done.returncode, done.stderr.decode())


def dump(url: str) -> str:
    """Everything in a database, as text."""
    command = [str(BIN / "pg_dump"), "--inserts", "--no-owner", url]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    # A random word in each dump keeps psql from obeying backslash commands in it.
    return "\n".join(line for line in done.stdout.decode().splitlines() if "restrict " not in line)

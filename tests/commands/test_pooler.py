"""Every command works through a pooler in transaction mode, and leaves no setting in the sessions."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from cruddur_cli.postgres import database as databases
from tests.conftest import Engines
from tests.postgres import pooler as poolers
from tests.postgres.pooler import Pooler
from tests.waiting import until

from .conftest import Here

SEED = """SET search_path TO public; SET client_encoding TO 'SQL_ASCII'; SET SESSION statement_timeout = '9s';
PREPARE p AS SELECT 1; SELECT pg_advisory_lock(1); CREATE TEMPORARY TABLE left_over (i int);
SELECT set_config('application_name', 'left over', false); LISTEN left_over;
INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('Mira', 'mira', 'mira@example.com', 'MOCK');
"""
COMMANDS = (
    ("setup",),
    ("setup",),
    ("db", "ping"),
    ("db", "create"),
    ("db", "schema-load", "-n"),
    ("db", "seed"),
    ("db", "add-user", "mira2"),
    ("db", "update-cognito-user-ids"),
    ("db", "sessions"),
    ("db", "migrate"),
    ("db", "migration-status"),
    ("db", "diff"),
    ("db", "rollback", "--yes"),
    ("ddb", "seed"),
    ("ddb", "seed"),
    ("ddb", "list-conversations"),
    ("ddb", "get-conversation"),
    ("db", "schema-load", "--yes"),
    ("db", "reset", "--yes"),
    ("db", "drop", "--yes"),
    ("db", "setup"),
)


@pytest.fixture
def pooler(engines: Engines) -> Iterator[Pooler]:
    with poolers.started(engines.postgres_url) as found:
        yield found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose SQL files change every setting that a session has."""
    folder = tmp_path / "home" / "backend-flask" / "db"
    (folder / "migrations").mkdir(parents=True)
    (folder / "seed.sql").write_text(SEED)
    (folder / "migrations" / "17000000000000000_more.sql").write_text(
        "-- migrate:up\nSET search_path TO nowhere;\nCREATE TABLE public.more (i int);\n"
        "-- migrate:down\nDROP TABLE more;\n"
    )
    return folder


def name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def test_commands_through_a_pooler_leave_nothing_behind(
    here: Here, pooler: Pooler, database: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTION_URL", pooler.url(name(database)))
    for command in COMMANDS:
        ran = here(*command)
        assert ran.code == 0, (command, ran.err)
        assert all(left == poolers.CLEAN for left in pooler.traces(name(database))), command
    assert pooler.transactions > len(COMMANDS)


def test_two_transactions_have_two_sessions(pooler: Pooler, database: str) -> None:
    with psycopg.connect(pooler.url(name(database)), autocommit=True) as conn:
        pids = {conn.execute("SELECT pg_backend_pid()").fetchone() for _ in range(3)}
        assert len(pids) == 3
        conn.execute("SET lock_timeout = '7s'")
    traces = pooler.traces(name(database))
    assert len(traces) == 3
    assert traces != [poolers.CLEAN] * 3, "the pooler of the tests must show what a session keeps"


def test_a_seeding_that_waits_for_another_one_continues(
    here: Here, pooler: Pooler, database: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of the one that was before is not left with somebody else's session."""
    monkeypatch.setenv("CONNECTION_URL", pooler.url(name(database)))
    assert here("setup").code == 0
    with psycopg.connect(database) as holder:
        databases.lock(holder, f"cruddur seeds {environment['DDB_MESSAGE_TABLE']}")
        monkeypatch.setattr(databases.lock, "__kwdefaults__", {"wait_s": 1})
        monkeypatch.setattr(databases, "lock", lambda conn, of, wait_s: _lock(conn, of))
        ran = here("ddb", "seed")
        assert (ran.code, "Another session has been working" in ran.err) == (5, True), ran.err
    assert here("ddb", "seed").code == 0


_real_lock = databases.lock


def _lock(conn: Any, of: str) -> None:
    _real_lock(conn, of, wait_s=1)


@pytest.fixture
def pgbouncer(engines: Engines, tmp_path: Path) -> Iterator[int]:
    """The port of PgBouncer in transaction mode, with default settings, in front of the embedded PostgreSQL."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no PgBouncer on this machine; .ci/run installs it where it can")
    parts = urlsplit(engines.postgres_url)
    account: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir="/tmp"))
    if os.geteuid() == 0:  # PgBouncer refuses to run as root
        who = pwd.getpwnam("nobody")
        account = {"user": who.pw_uid, "group": who.pw_gid}
        os.chown(folder, who.pw_uid, who.pw_gid)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={parts.port} user={parts.username} password={parts.password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 50\n"
    )
    if account:
        os.chown(settings, account["user"], account["group"])
    process = subprocess.Popen([program, "-q", str(settings)], cwd=folder, **account)
    try:
        until(lambda: _listens(port), at_most_s=20)
        yield port
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_commands_work_through_pgbouncer(
    here: Here, pgbouncer: int, database: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = urlsplit(database).netloc.rpartition("@")[0]
    url = urlsplit(database)._replace(netloc=f"{login}@127.0.0.1:{pgbouncer}").geturl()
    monkeypatch.setenv("CONNECTION_URL", url)
    for command in COMMANDS:
        ran = here(*command)
        assert ran.code == 0, (command, ran.err)
    with psycopg.connect(database) as conn:
        held = conn.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
        assert held == (0,)

"""``db connect``, ``sessions`` and ``kill-all``: what is said where nobody matches, and what ends what."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.conftest import Run

from .conftest import Here


def test_nobody_matches(here: Here) -> None:
    for command in (["sessions"], ["kill-all", "--yes"], ["kill-all", "-n"]):
        assert "No session of database" in here("db", *command, "--user", "somebody").err
        assert "Nobody is connected" in here("db", *command).err


def test_what_is_asked(here: Here, database: str) -> None:
    with psycopg.connect(database):
        ended = here("db", "kill-all")
        assert ended.code == 6
        assert "1 session of database" in ended.err
        cancelled = here("db", "kill-all", "--cancel")
        assert cancelled.code == 6
        assert "will be cancelled" in cancelled.err
        assert "destroyed" not in cancelled.err
        assert "1 session ends" in here("db", "drop", "-n").err


def test_connect_looks_first(cruddur: Run, environment: dict[str, str], tmp_path: Path) -> None:
    parts = urlsplit(environment["CONNECTION_URL"])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = {
            4: f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/cruddur",
            3: parts._replace(netloc=f"nobody:wrong-Pass1@127.0.0.1:{parts.port}").geturl(),
            5: parts._replace(path="/not_there").geturl(),
        }
        for code, url in urls.items():
            began = time.monotonic()
            ran = cruddur("db", "connect", "--", "-c", "SELECT 1", env={"CONNECTION_URL": url})
            assert (ran.code, ran.out) == (code, ""), ran.err
            assert "psql" not in ran.err
            assert time.monotonic() - began < 8
    ran = cruddur("db", "connect", "--", "-XAtc", "SELECT 41 + 1")
    assert (ran.code, ran.out.strip()) == (0, "42"), ran.err


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_a_signal_within_a_savepoint_says_nothing_of_the_connection(
    environment: dict[str, str], database: str, number: str
) -> None:
    import os
    import signal
    import subprocess
    import sys

    from ..postgres import waiting

    with psycopg.connect(database, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(hashtext('cruddur schema'))")
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "cruddur_cli", "db", "setup", "--quiet"]
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, cwd=os.environ["HOME"])
        blocked = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        waiting.until(lambda: holder.execute(blocked).fetchall())
        process.send_signal(getattr(signal, number))
        err = process.communicate(timeout=60)[1].decode()
    assert "ignored" not in err
    assert len(err.splitlines()) == 1, err

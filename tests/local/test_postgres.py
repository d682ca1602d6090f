"""The embedded PostgreSQL recovers, and only its password opens it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psycopg
import pytest

from cruddur_cli.errors import NotConfigured
from cruddur_cli.local import cluster, stack
from tests.local.engines import kill


def test_data_of_another_major_version_is_refused(home: Path) -> None:
    stack.up(aws=False)
    stack.down()
    version = cluster.data_directory(home) / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(NotConfigured, match="PostgreSQL 15"):
        stack.up(aws=False)


def test_only_the_password_opens_postgresql(home: Path) -> None:
    url = stack.up(aws=False).postgres_url
    assert url
    for wrong in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url, password=wrong, dbname="postgres")
    with psycopg.connect(url, dbname="postgres") as conn:
        assert conn.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
        assert conn.execute("SHOW unix_socket_directories").fetchone() == ("",)
        assert conn.execute("SELECT 'é' < 'z', upper('é')").fetchone() == (False, "É")


def test_a_killed_postgresql_recovers(home: Path, sentences: list[str]) -> None:
    url = stack.up(aws=False).postgres_url
    assert url
    with psycopg.connect(url, dbname="postgres") as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    kill("postgres")
    assert stack.postgres_url() is None
    assert stack.up(aws=False, say=sentences.append).postgres_url == url
    assert "not stopped cleanly" in sentences[0]
    with psycopg.connect(url, dbname="postgres") as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)


@pytest.mark.parametrize("content", ["", "4711", "{pid}\n/nowhere\n1\n1\n\n127.0.0.1\n0 0\nready\n", "1\n"])
def test_a_stale_pid_file_is_ignored(home: Path, content: str) -> None:
    # Cut short, or with the number of a process that lives and is no PostgreSQL.
    url = stack.up(aws=False).postgres_url
    stack.down()
    pid_file = cluster.data_directory(home) / "postmaster.pid"
    pid_file.write_text(content.format(pid=os.getpid()))
    (home / "postgres" / "running.json").write_text(json.dumps({"pid": os.getpid(), "port": 1}))
    assert stack.postgres_url() is None
    assert stack.up(aws=False).postgres_url == url

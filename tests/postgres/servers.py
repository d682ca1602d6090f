"""A real PostgreSQL 15 with uuid-ossp, where the machine has its binaries, and psql to compare with."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from cruddur_cli.postgres.connection import Server

BIN = Path("/usr/lib/postgresql/15/bin")
FILE = "file.sql"


@dataclass(frozen=True)
class Psql:
    """What psql left: its exit code and what it said on stderr."""

    code: int
    err: str


def server(url: str) -> Server:
    """The database of a URL, as the library takes it."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    name = str(parts["dbname"])
    return Server(parts, str(parts["host"]), int(parts["port"] or 5432), name, str(parts["user"]), f"database {name!r}")


@contextmanager
def started() -> Iterator[str]:
    """The URL of the maintenance database of a PostgreSQL 15 that runs until the end."""
    account: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        who = pwd.getpwnam("postgres")
        account = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="cruddur-pg15-"))
    try:
        if account:
            os.chown(folder, account["user"], account["group"])
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

        def run(name: str, *arguments: str) -> None:
            command = [str(BIN / name), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=120, **account)

        run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(url: str) -> Iterator[str]:
    """An empty database on the server of that URL, until the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    base = url.rpartition("/")[0]
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        yield f"{base}/{name}"
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def psql(url: str, content: bytes, folder: Path) -> Psql:
    """What ``psql -1 -v ON_ERROR_STOP=1 -f`` does with a file."""
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

"""PostgreSQL's own programs, psql and pg_dump: how they are told which database, without a password in an argument."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import BadInput, NotConfigured, Protected, Refused
from .connection import Server

# What libpq reads from the environment, so that no other user sees it in the argument list.
_VARIABLES = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD",
    "dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "options": "PGOPTIONS", "connect_timeout": "PGCONNECT_TIMEOUT",
    "application_name": "PGAPPNAME", "target_session_attrs": "PGTARGETSESSIONATTRS", "passfile": "PGPASSFILE",
    "channel_binding": "PGCHANNELBINDING", "gssencmode": "PGGSSENCMODE", "client_encoding": "PGCLIENTENCODING",
}  # fmt: skip
# Roles and grants of a managed server do not exist elsewhere.
_DUMP = ("--no-password", "--no-owner", "--no-privileges")
_OLDER = "server version mismatch"


def environment(at: Server) -> dict[str, str]:
    """This process's environment with the connection in libpq's variables; for the embedded one, no others."""
    # A service that PGSERVICE names would count before everything that is set here; its values are in the parameters.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (at.embedded and name.startswith("PG")) and name != "PGSERVICE"
    }
    kept.setdefault("PGCONNECT_TIMEOUT", "10")
    given: dict[str, Any] = {**at.parameters, "dbname": at.database}
    return kept | {variable: str(given[name]) for name, variable in _VARIABLES.items() if given.get(name)}


def leftover(at: Server) -> list[str]:
    """What libpq has no variable for, as a connection string without secrets."""
    from psycopg.conninfo import make_conninfo

    rest = {name: value for name, value in at.parameters.items() if name not in _VARIABLES and "password" not in name}
    return [make_conninfo("", **rest)] if rest else []


def dump(at: Server, path: Path, *, programs: Sequence[str]) -> int:
    """Write the database as SQL to ``path``, which only its owner may read; returns its size in bytes.

    ``programs`` are the pg_dump there are, tried in turn: one that is older than the server refuses. The file takes its
    name when it is whole. Raises NotConfigured without a program, Protected where the file exists, Refused where
    pg_dump fails.
    """
    if not programs:
        raise NotConfigured("pg_dump is not installed.", hint="apt install postgresql-client", code="no_pg_dump")
    if path.exists():
        raise Protected(f"{path} exists already, and is not overwritten.", hint="name another file", code="file_exists")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(number)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}.") from error
    part = Path(name)
    try:
        _run(at, part, programs)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path.stat().st_size


def _run(at: Server, part: Path, programs: Sequence[str]) -> None:
    said = ""
    for program in programs:
        done = subprocess.run(
            [program, *_DUMP, "--file", str(part), *leftover(at)],
            env=environment(at),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return
        said = done.stderr.strip()
        if _OLDER not in said:
            break
    last = said.splitlines()[-1] if said else "it printed nothing"
    hint = "install the pg_dump of the server's version" if _OLDER in said else "cruddur db ping"
    raise Refused(f"pg_dump could not dump {at.label}: {last}", details=said, hint=hint, code="pg_dump_failed")

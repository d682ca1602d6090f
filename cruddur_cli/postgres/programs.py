"""Runs pg_dump, and passes a connection to psql and pg_dump without a password in an argument."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import BadInput, NotConfigured, Protected, Refused
from .connection import Server

# libpq reads these from the environment, where other users cannot see them as they see arguments.
_VARIABLES = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD",
    "dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "options": "PGOPTIONS", "connect_timeout": "PGCONNECT_TIMEOUT",
    "application_name": "PGAPPNAME", "target_session_attrs": "PGTARGETSESSIONATTRS", "passfile": "PGPASSFILE",
    "channel_binding": "PGCHANNELBINDING", "gssencmode": "PGGSSENCMODE", "client_encoding": "PGCLIENTENCODING",
}  # fmt: skip
# Roles and grants of a managed server do not exist elsewhere.
_DUMP = ("--no-password", "--no-owner", "--no-privileges")
_VERSION_MISMATCH = "server version mismatch"  # pg_dump is older than the server


def environment(at: Server) -> dict[str, str]:
    """This process's environment, with the connection in libpq's variables; without other PG* for the embedded server.

    PGCONNECT_TIMEOUT is 10 seconds unless it is set.
    """
    # PGSERVICE would override the variables that are set here; its values are in the parameters already.
    variables = {
        name: value
        for name, value in os.environ.items()
        if not (at.embedded and name.startswith("PG")) and name != "PGSERVICE"
    }
    variables.setdefault("PGCONNECT_TIMEOUT", "10")
    given: dict[str, Any] = {**at.parameters, "dbname": at.database}
    return variables | {variable: str(given[name]) for name, variable in _VARIABLES.items() if given.get(name)}


def without_variable(at: Server) -> list[str]:
    """The parameters that have no variable of libpq, as one connection string without passwords; else no string."""
    from psycopg.conninfo import make_conninfo

    rest = {name: value for name, value in at.parameters.items() if name not in _VARIABLES and "password" not in name}
    return [make_conninfo("", **rest)] if rest else []


def dump(at: Server, path: Path, *, programs: Sequence[str]) -> int:
    """Write the database as SQL to ``path``, which only its owner may read; the size in bytes.

    ``programs`` are the paths of pg_dump to try in turn: one that is older than the server refuses. The file gets its
    name once it is complete. Raises NotConfigured without a program, Protected if the file exists, BadInput if it
    cannot be written, Refused if pg_dump fails.
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
    printed = ""
    for program in programs:
        done = subprocess.run(
            [program, *_DUMP, "--file", str(part), *without_variable(at)],
            env=environment(at),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return
        printed = done.stderr.strip()
        if _VERSION_MISMATCH not in printed:
            break
    last = printed.splitlines()[-1] if printed else "it printed nothing"
    hint = "install the pg_dump of the server's version" if _VERSION_MISMATCH in printed else "cruddur db ping"
    raise Refused(f"pg_dump could not dump {at.label}: {last}", details=printed, hint=hint, code="pg_dump_failed")

"""Remembers which databases are local: completion asks only these, and does not connect to find out.

An SSH tunnel gives production an address of this machine. So a command that connects without ``--prod`` stores in the
user's cache folder whether the server is RDS or the database is marked as production. There is a small file for each
connection string, named by its hash. The file also has the handles that completion read last.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import times
from ...local import home
from ...settings import Settings
from . import targets

if TYPE_CHECKING:
    from psycopg import Connection

    from ...postgres.connection import Server

Handles = list[tuple[str, str]]
_LIFE_S = 24 * 3600.0
_RENEWED_S = 3600.0
_HANDLES_S = 30.0
_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE", "PGSERVICEFILE")


def is_due(s: Settings) -> bool:
    """Whether no command has checked the database within the last hour."""
    return not 0 <= _age_s(_read(s), "noted_at") < _RENEWED_S


def remember_own(s: Settings, at: Server, conn: Connection[Any]) -> None:
    """Check an opened database if it is the one of the settings, and no command checked it within the last hour."""
    if not s.prod and not at.embedded and is_due(s) and _is_own(s, at):
        remember(s, conn)


def remember(s: Settings, conn: Connection[Any]) -> bool:
    """Store whether an opened database is local; returns it. The stored handles are dropped."""
    local = targets.is_local(conn)
    _write(s, {"noted_at": _now(), "is_local": local})
    return local


def is_local(s: Settings) -> bool:
    """Whether a command has found within the last day that the database is local."""
    note = _read(s)
    return note.get("is_local") is True and 0 <= _age_s(note, "noted_at") < _LIFE_S


def handles(s: Settings) -> Handles | None:
    """The handles that ``keep`` stored within the last 30 seconds; else None."""
    note = _read(s)
    if not 0 <= _age_s(note, "read_at") < _HANDLES_S:
        return None
    with suppress(KeyError, TypeError, ValueError):
        pairs: Any = note["handles"]
        return [(str(handle), str(name)) for handle, name in pairs]
    return None


def keep(s: Settings, pairs: Sequence[tuple[str, str]]) -> None:
    """Store the handles of a database for 30 seconds, because a shell asks again at each Tab."""
    _write(s, {**_read(s), "read_at": _now(), "handles": list(pairs)})


def forget_handles(s: Settings) -> None:
    """Drop the stored handles, because a command may have changed them."""
    note = _read(s)
    if note.pop("read_at", None) is not None:
        _write(s, note)


def _is_own(s: Settings, at: Server) -> bool:
    """Whether this is the database that the settings name, at an address of this machine or its network."""
    own = targets.server(s)
    is_same = (own.host, own.address, own.port, own.database) == (at.host, at.address, at.port, at.database)
    return is_same and not targets.is_remote(at.host, at.address)


def _now() -> float:
    return times.of_this_machine().timestamp()


def _age_s(note: dict[str, object], name: str) -> float:
    value = note.get(name)
    return _now() - value if isinstance(value, int | float) else math.inf


def _path(s: Settings) -> Path:
    """The file of this database. Raises RuntimeError or NotConfigured where the environment names no home."""
    at = s.connection_url or str(home.locate())
    key = hashlib.sha256(json.dumps([at, *(os.environ.get(name) for name in _LIBPQ)]).encode())
    return home.caches() / "databases" / f"{key.hexdigest()}.json"


def _read(s: Settings) -> dict[str, object]:
    try:
        return home.read(_path(s))
    except Exception:  # noqa: BLE001 - without the file, completion asks no database
        return {}


def _write(s: Settings, content: dict[str, object]) -> None:
    with suppress(Exception):  # a command does not fail because of this file
        path = _path(s)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.write(path, content)
        for old in path.parent.iterdir():
            if _now() - old.stat().st_mtime > _LIFE_S:
                old.unlink()

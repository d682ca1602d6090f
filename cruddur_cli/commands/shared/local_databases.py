"""The databases that commands have found to be local: completion asks no other, and does not connect to find out.

An SSH tunnel gives production an address of this machine. So a command that connects without ``--prod`` notes in the
user's cache folder whether the server is RDS or the database is marked as production. There is a small file for each
connection string, under its hash; it also has the handles that completion has just read.
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
    """Whether nothing was noted of the database within the last hour."""
    return not 0 <= _age_s(_read(s), "noted_at") < _RENEWED_S


def remember_own(s: Settings, at: Server, conn: Connection[Any]) -> None:
    """``remember`` an opened database, where it is the one of the settings and nothing was noted within the hour."""
    if not s.prod and not at.embedded and is_due(s) and _is_own(s, at):
        remember(s, conn)


def remember(s: Settings, conn: Connection[Any]) -> bool:
    """Remember whether an opened database is local; returns it. The handles that were kept are forgotten."""
    found = targets.is_local(conn)
    _write(s, {"noted_at": _now(), "is_local": found})
    return found


def is_local(s: Settings) -> bool:
    """Whether a command has found within a day that the database is local."""
    found = _read(s)
    return found.get("is_local") is True and 0 <= _age_s(found, "noted_at") < _LIFE_S


def handles(s: Settings) -> Handles | None:
    """The handles that ``keep`` was given a moment ago; else None."""
    found = _read(s)
    if not 0 <= _age_s(found, "read_at") < _HANDLES_S:
        return None
    with suppress(KeyError, TypeError, ValueError):
        kept: Any = found["handles"]
        return [(str(handle), str(name)) for handle, name in kept]
    return None


def keep(s: Settings, found: Sequence[tuple[str, str]]) -> None:
    """Keep the handles of a database for a moment: a shell asks again at each Tab."""
    _write(s, {**_read(s), "read_at": _now(), "handles": list(found)})


def forget_handles(s: Settings) -> None:
    """Forget the handles that were kept: a command may have changed them."""
    found = _read(s)
    if found.pop("read_at", None) is not None:
        _write(s, found)


def _is_own(s: Settings, at: Server) -> bool:
    """Whether this is the very database that the settings name, at an address of this machine or its network."""
    own = targets.server(s)
    is_same = (own.host, own.address, own.port, own.database) == (at.host, at.address, at.port, at.database)
    return is_same and not targets.is_remote(at.host, at.address)


def _now() -> float:
    return times.of_this_machine().timestamp()


def _age_s(found: dict[str, object], name: str) -> float:
    value = found.get(name)
    return _now() - value if isinstance(value, int | float) else math.inf


def _path(s: Settings) -> Path:
    """Raises RuntimeError or NotConfigured where the environment names no home."""
    at = s.connection_url or str(home.locate())
    key = hashlib.sha256(json.dumps([at, *(os.environ.get(name) for name in _LIBPQ)]).encode())
    return home.caches() / "databases" / f"{key.hexdigest()}.json"


def _read(s: Settings) -> dict[str, object]:
    try:
        return home.read(_path(s))
    except Exception:  # noqa: BLE001 - without a note nothing is asked
        return {}


def _write(s: Settings, content: dict[str, object]) -> None:
    with suppress(Exception):  # a command does not fail for it
        path = _path(s)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.write(path, content)
        for old in path.parent.iterdir():
            if _now() - old.stat().st_mtime > _LIFE_S:
                old.unlink()

"""Creates a temporary database beside another one, in which SQL files are tried. Drops it at the end, or later."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ... import times
from ...postgres import connection, database
from ...postgres.connection import Server

if TYPE_CHECKING:
    from psycopg import Connection

# A name has at most 63 bytes: the beginning of the database's name, the minute of its creation and six random digits.
_NAME_BYTES = 36
_STALE_MINUTES = 60


@contextmanager
def beside(at: Server) -> Iterator[Server]:
    """A new empty database on the server of ``at``. It is dropped at the end of the block.

    If the command is killed, a command that runs more than an hour later drops it, unless a session uses it.
    """
    name = f"{_prefix(at)}{_minutes():07x}{secrets.token_hex(3)}"
    with connection.opened_maintenance(at) as conn:
        drop_stale(conn, at)
        database.create(conn, name)
    try:
        yield at.on(name)
    finally:
        with connection.opened_maintenance(at) as conn:
            database.drop(conn, name)


def drop_stale(conn: Connection[Any], at: Server) -> list[str]:
    """Drop the temporary databases of commands that were killed more than an hour ago; returns their names.

    ``conn`` is to the maintenance database, outside of a transaction.
    """
    return [name for name in _stale(conn, _prefix(at)) if database.drop_unused(conn, name)]


def _prefix(at: Server) -> str:
    return f"{at.database.encode()[:_NAME_BYTES].decode(errors='ignore')}_cruddur_try_"


def _minutes() -> int:
    return int(times.now().timestamp()) // 60


def _stale(conn: Connection[Any], prefix: str) -> list[str]:
    rows = conn.execute(
        "SELECT datname FROM pg_database d WHERE starts_with(datname::text, %s) AND pg_has_role(datdba, 'USAGE')"
        " AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)",
        [prefix],
    ).fetchall()
    names = [str(name) for (name,) in rows]
    matches = {name: re.fullmatch("([0-9a-f]{7})[0-9a-f]{6}", name.removeprefix(prefix)) for name in names}
    return [name for name, match in matches.items() if match and int(match[1], 16) < _minutes() - _STALE_MINUTES]

"""Recognizes the embedded stack's own addresses, such as those that ``local env`` prints."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import NotConfigured
from . import cluster
from . import home as homes

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
"""The names and addresses of this machine."""


def is_aws(url: str) -> bool:
    """Whether ``url`` is the embedded AWS: it runs there, or ran there last and no other program has its port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme == "http" and (parts.hostname or "") in LOOPBACK and _has_port("aws", port)


def is_postgres(parameters: Mapping[str, Any]) -> bool:
    """Whether connection parameters have host, port, user and database of the embedded PostgreSQL.

    Another database on that server is a person's own, and may have Cognito ids that the demo pool does not have. The
    password does not count: after a reset it differs, but no other server has that port.
    """
    host, port = str(parameters.get("host") or ""), str(parameters.get("port") or "")
    if parameters.get("hostaddr") or host not in LOOPBACK or not port.isdecimal():
        return False
    is_named = (parameters.get("user"), parameters.get("dbname")) == (cluster.USER, cluster.DATABASE)
    return is_named and _has_port("postgres", int(port))


def _has_port(engine: str, port: int | None) -> bool:
    """Whether that engine runs on ``port``, or would start there because the port is free."""
    try:
        home = homes.locate()
    except NotConfigured:
        return False
    if port is None or homes.read(home / "ports.json").get(engine) != port:
        return False
    if homes.is_held(home / engine / "alive"):
        return True
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False

"""Tells a copy of production from production itself, before the mark of production is taken off."""

from __future__ import annotations

import socket
from contextlib import suppress

from ... import settings
from ...errors import Protected
from ...postgres import connection
from ...settings import Settings
from . import connections

_LOCAL = {"", "localhost", "127.0.0.1", "::1"}


def refuse_production(s: Settings, at: connection.Server) -> None:
    """Raise Protected for what may be production: --prod, a remote host or RDS, the server of PROD_CONNECTION_URL."""
    if s.prod:
        raise Protected("db release-copy is for copies of production, never for production itself.")
    if connections.is_foreign(at):
        raise Protected(f"{at.label} is not on this machine or its network, so it may be production itself.")
    theirs = settings.load({"prod": True})
    if theirs.connection_url is None:
        return
    origin = theirs.origins["connection_url"]
    parameters = connection.completed(connection.parse_url(theirs.connection_url, origin=origin))
    host = str(parameters.get("hostaddr") or parameters.get("host") or "")
    if connection.port(parameters) == at.port and _addresses(host) & _addresses(at.address or at.host):
        raise Protected(f"{at.label} is on the server that {origin} names, so it may be production itself.")


def _addresses(hosts: str) -> set[str]:
    """Where the names lead; the names themselves where they do not resolve, and one word for this machine."""
    found: set[str] = set()
    for host in hosts.split(","):
        names = {host.lower()}
        with suppress(OSError):
            names |= {str(entry[4][0]) for entry in socket.getaddrinfo(host or "localhost", None)}
        found |= {"localhost"} if names & _LOCAL or host.startswith("/") else names
    return found

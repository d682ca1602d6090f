"""Reaches a server within a bounded time, however many hosts a URL names, and tells a wrong setting from a bad line."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import NotConfigured

if TYPE_CHECKING:
    from psycopg import Connection

_ENOUGH_S = 4.0
_LEAST_S = 2  # psycopg and libpq take no less
# What libpq says before it has asked any server, or once a server does not do what sslmode wants.
_SETTINGS = re.compile(
    r"invalid \S+ value|root certificate file|does not support SSL|certificate verify failed|SSL error: certificate"
    r"|server certificate for|server common name|certificate file .* does not exist|private key file"
    r"|definition of service|service file|could not match \d+|invalid port number|invalid connection option"
    r"|bad value for connect_timeout|invalid integer value|sslrootcert=system|GSSAPI encryption required",
    re.IGNORECASE,
)
_TLS = re.compile(r"ssl|certificate|private key", re.IGNORECASE)


def connect(parameters: Mapping[str, Any]) -> Connection[Any]:
    """A connection to the first host that gives one; after about 5 s no other host is tried. Raises psycopg.Error.

    A time-out of the URL's or the environment's own stays.
    """
    import psycopg

    if "connect_timeout" in parameters or "PGCONNECT_TIMEOUT" in os.environ:
        return psycopg.connect(**parameters)
    attempts = list(_attempts(parameters))
    each = "2" if parameters.get("host") == "localhost" else str(max(_LEAST_S, int(_ENOUGH_S) // len(attempts)))
    # psycopg itself weighs the hosts against each other there.
    if len(attempts) <= 2 or {"load_balance_hosts", "target_session_attrs"} & parameters.keys():
        return psycopg.connect(**{**parameters, "connect_timeout": each})
    began, last = time.monotonic(), len(attempts) - 1
    for number, attempt in enumerate(attempts):
        try:
            return psycopg.connect(**{**parameters, **attempt, "connect_timeout": each})
        except psycopg.OperationalError:
            if number == last or time.monotonic() - began >= _ENOUGH_S - 0.25:
                raise
    raise AssertionError("there is always an attempt")


def _attempts(parameters: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Each host that the parameters name, with its address and port."""
    named = {name: str(parameters.get(name) or "").split(",") for name in ("host", "hostaddr", "port")}
    count = max(len(named["host"]), len(named["hostaddr"]))
    for number in range(count):
        attempt = {}
        for name, values in named.items():
            if values == [""]:
                continue
            if len(values) not in {1, count}:  # libpq says what is wrong with that
                yield {}
                return
            attempt[name] = values[number if len(values) == count else 0]
        yield attempt


def wrong_setting(text: str, place: str) -> NotConfigured | None:
    """The error for what libpq said, where it is about a setting and not about the server being there."""
    if not _SETTINGS.search(text):
        return None
    reason = " ".join(text.splitlines()[0].split())
    reason = re.sub(r"^(connection (failed|is bad): )?(connection to server .*? failed: )?", "", reason).rstrip(".")
    if not _TLS.search(text):
        return NotConfigured(
            f"The connection to {place} is not set up right: {reason}.",
            hint="see the connection URL (`cruddur config`), the service file and the PG* variables",
            code="bad_connection_setting",
        )
    named = "" if "sslmode" in reason or "file" in reason else "sslmode asks for what cannot be had: "
    return NotConfigured(
        f"The connection to {place} cannot use TLS as it is set: {named}{reason}.",
        hint="see sslmode in the connection URL or PGSSLMODE: verify-full and verify-ca need sslrootcert=FILE "
        "(or sslrootcert=system), require needs a server with TLS, prefer takes what there is",
        code="bad_tls_setting",
    )


def login_hint(text: str) -> str:
    """What to look at where a server lets nobody in."""
    if "no encryption" in text and "SSL encryption" not in text:
        return "the server may want TLS: sslmode=require in the connection URL or PGSSLMODE (`cruddur config`)"
    return "check the user and password in the connection URL (`cruddur config`)"

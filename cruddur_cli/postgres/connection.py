"""Opens the user store, and turns psycopg's errors into ours."""

from __future__ import annotations

import getpass
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import BadInput, CannotConnect, CruddurError, NotConfigured, NotFound, Refused
from . import reach, waits

if TYPE_CHECKING:
    from psycopg import Connection

MAINTENANCE = "postgres"
_ENCODED = r"(?:[^:@/?#\s%]|%[0-9A-Fa-f]{2})*"
# What libpq reads as it was meant: an @ ends the user's part, and without one there is none anywhere.
_STRICT = rf"postgres(ql)?://({_ENCODED}(:{_ENCODED})?@[^@/?#\s]*(/[^?@\s]*)?(\?.*)?|[^@]*)"


@dataclass(frozen=True)
class Server:
    """One database on one server. ``parameters`` are libpq's and hold the password: print ``label``.

    ``host`` is the name, and ``address`` where libpq goes instead of looking it up (``hostaddr``), if anywhere.
    """

    parameters: Mapping[str, Any] = field(repr=False)
    host: str
    port: int
    database: str
    user: str
    label: str
    embedded: bool = False
    read_only: bool = False
    wait_s: float = 0
    address: str = ""

    def on(self, database: str) -> Server:
        """The same server, another database."""
        return replace(self, database=database)


def parse_url(url: str, *, origin: str) -> dict[str, Any]:
    """The parameters of a connection URL (``postgres://`` or ``postgresql://``) or of a libpq key=value string.

    Raises NotConfigured without repeating the URL, which holds a password; where a character in the password is not
    percent-encoded, the error says so.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        found = conninfo_to_dict(_encoded(url.strip()))
        for port in str(found.get("port") or "0").split(","):
            int(port or 0)
        return found
    except (ProgrammingError, ValueError) as error:
        raise NotConfigured(
            f"{origin} is not a PostgreSQL URL that can be read.",
            hint="postgresql://user:password@host:5432/database; in a password write %40 for @, %2F for /, %23 for #, "
            "%25 for %, %3F for ?, %20 for a space",
            code="bad_connection_url",
        ) from error


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with what libpq adds where the URL is silent: the service file's, then the PG* variables'.

    libpq itself reads both. What decides where a connection goes is then said aloud, to psycopg and psql too: psycopg
    looks names up before libpq has read the service file.
    """
    service = str(given.get("service") or os.environ.get("PGSERVICE") or "")
    plain = _defaults("")
    served = {name: value for name, value in _defaults(service).items() if value != plain.get(name)} if service else {}
    found = {**served, **given}
    if served:
        found.pop("service", None)
    for name in ("host", "hostaddr", "port", "user", "dbname"):
        variable = os.environ.get(_WHERE[name])
        if not found.get(name) and variable:
            found[name] = variable
    return found


_WHERE = {"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}


def _defaults(service: str) -> dict[str, str]:
    """What libpq takes for parameters that nobody gave, with that service; a service that is not there adds nothing."""
    from psycopg.pq import Conninfo

    before = os.environ.pop("PGSERVICE", None)
    try:
        if service:
            os.environ["PGSERVICE"] = service
        return {
            one.keyword.decode(): one.val.decode(errors="surrogateescape")
            for one in Conninfo.get_defaults()
            if one.val is not None and one.keyword != b"service"
        }
    finally:
        os.environ.pop("PGSERVICE", None)
        if before is not None:
            os.environ["PGSERVICE"] = before


def port(parameters: Mapping[str, Any]) -> int:
    """The port, the first where several are named. Raises NotConfigured."""
    text = str(parameters.get("port") or "5432").partition(",")[0] or "5432"
    if not text.isdecimal():
        raise NotConfigured(f"{text!r} is not a port: see the connection URL, the service file and PGPORT.")
    return int(text)


def os_user() -> str:
    """Whom libpq logs in as where nobody is named: the user of the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "the current user"


def _encoded(url: str) -> str:
    """The URL with its password percent-encoded, where somebody left ``/ @ # ? %`` or a space in it as they are."""
    if not re.match(r"postgres(ql)?://", url) or re.fullmatch(_STRICT, url):
        return url
    scheme, _, rest = url.partition("://")
    info, at, tail = rest.rpartition("@")
    user, colon, password = info.partition(":")
    if not at or not colon or not re.fullmatch(r"[^/?#\s]*(/[^?]*)?(\?.*)?", tail):
        return url
    return f"{scheme}://{_encode(user)}{colon}{_encode(password)}@{tail}"


def _encode(text: str) -> str:
    """Percent-encoded; what is encoded already stays."""
    return "".join(
        part if re.fullmatch("%[0-9A-Fa-f]{2}", part) else quote(part, safe="")
        for part in re.split("(%[0-9A-Fa-f]{2})", text)
    )


@contextmanager
def opened(server: Server, *, trace: Callable[[str], None] | None = None) -> Iterator[Connection[Any]]:
    """A connection in a transaction that is committed at the end, or rolled back when something is raised.

    With ``server.read_only`` PostgreSQL itself refuses any change. Raises CannotConnect (within 5 s, more with
    ``wait_s``), NotConfigured for a password, NotFound for a missing database, Refused for an SQL error.
    """
    import psycopg

    if trace is not None:
        trace(f"connect → {server.label}")
    conn = _connect(server)
    try:
        with conn:
            try:
                yield conn
            except BaseException as error:
                _abandon(conn, interrupted=not isinstance(error, Exception))
                raise
    except psycopg.Error as error:
        raise translate(error, server) from error
    finally:
        conn.close()


def _abandon(conn: Connection[Any], *, interrupted: bool) -> None:
    """End a statement that a signal cut short: its lock goes at once, and there is nothing left to roll back."""
    from psycopg.pq import TransactionStatus

    if conn.pgconn.transaction_status == TransactionStatus.ACTIVE:
        with suppress(Exception):  # the server finds out by itself that we are gone
            conn.cancel_safe(timeout=2)
        conn.close()
    elif interrupted:
        conn.close()


@contextmanager
def opened_maintenance(server: Server) -> Iterator[Connection[Any]]:
    """A connection to the server's maintenance database, outside of any transaction: for CREATE and DROP DATABASE."""
    import psycopg

    try:
        conn = _connect(server.on(MAINTENANCE))
    except NotFound:
        conn = _connect(server.on("template1"))
    try:
        conn.autocommit = True
        yield conn
    except psycopg.Error as error:
        raise translate(error, server) from error
    finally:
        conn.close()


def _connect(server: Server) -> Connection[Any]:
    import psycopg

    # It would name host and user where a rollback fails after a signal, and the server rolls back without being told.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    parameters = {**server.parameters, "dbname": server.database, "application_name": "cruddur"}
    if server.embedded:
        _forget_pg_variables()
    options = waits.Options(server.host, server.port, parameters.get("options") or os.environ.get("PGOPTIONS"))
    deadline = time.monotonic() + server.wait_s
    while True:
        try:
            conn = reach.connect(options.add_to(parameters))
        except psycopg.Error as error:
            if options.give_in(error):
                continue
            problem = _connection_problem(error, server)
            if time.monotonic() >= deadline or not isinstance(problem, CannotConnect):
                raise problem from error
            time.sleep(0.25)
            continue
        options.keep()
        conn.read_only = True if server.read_only else None
        return conn


def _forget_pg_variables() -> None:
    """The embedded server is one known address: a PGSERVICE or PGSSLMODE meant for another must not reach libpq."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _connection_problem(error: Exception, server: Server) -> CruddurError:
    # A failed connection carries no SQLSTATE: libpq's text, of which the last line says what the server said.
    text = str(error).strip()
    reason = text.splitlines()[-1].strip() if text else type(error).__name__
    reason = reason.rpartition("FATAL:")[2].strip() or reason
    if f'database "{server.database}" does not exist' in text:
        missing = f"There is no {server.label}."
        return NotFound(missing, hint="cruddur db setup", code="database_not_found")
    wrong = reach.wrong_setting(text, f"PostgreSQL on {server.host}:{server.port}")
    if wrong is not None:
        return wrong
    if re.search(r"password|role \".*\" does not exist|no pg_hba.conf entry|authentication", text):
        return NotConfigured(
            f"PostgreSQL on {server.host}:{server.port} does not let {server.user!r} in: {reason}.",
            hint=reach.login_hint(text),
            code="authentication_failed",
        )
    reason = "no answer in time" if "timeout" in text.lower() else _plain_reason(text, reason)
    return CannotConnect(
        f"PostgreSQL on {server.host}:{server.port} cannot be reached: {reason}.", hint=_advice(server)
    )


def _plain_reason(text: str, reason: str) -> str:
    for words in (
        "Connection refused",
        "starting up",
        "shutting down",
        "Name or service not known",
        "No route to host",
    ):
        if words.lower() in text.lower():
            return words.lower()
    return reason.rstrip(".")


def _advice(server: Server) -> str:
    if server.host.endswith("amazonaws.com"):
        return "is the instance stopped? does the security group let this address in (`cruddur rds update-sg-rule`)?"
    return (
        "cruddur local up" if server.embedded else "is it running? `cruddur config` shows where the address comes from"
    )


def translate(error: Any, server: Server) -> CruddurError:
    """Our error for one of psycopg's. What went wrong in a file of SQL is told by ``scripts``, with its place."""
    import psycopg

    diag = error.diag
    reason = diag.message_primary or str(error).strip() or type(error).__name__
    if error.sqlstate is None or isinstance(error, psycopg.errors.AdminShutdown):
        return CannotConnect(
            f"The connection to {server.label} was lost: {' '.join(reason.split())}.", hint="run it again"
        )
    state = error.sqlstate
    if state == "42P01":
        return NotFound(
            f"{reason[0].upper()}{reason[1:]} in {server.label}.", hint="cruddur db setup", code="table_missing"
        )
    if state == "25006":
        return Refused(f"{server.label} is read-only here: {reason}.", code="read_only")
    if state == "55P03":
        return Refused(
            f"{server.label}: gave up waiting for a lock that another session holds.",
            hint="`cruddur db sessions` shows who is connected; then run it again",
            code="locked",
        )
    details = "\n".join(filter(None, [diag.message_detail, diag.message_hint]))
    return Refused(f"{server.label} refused: {reason} ({state}).", details=details or None, code="sql_error")


def encoded(conn: Connection[Any], text: str) -> bytes:
    """The text in the client_encoding of the session, whatever a file has made it. Raises UnicodeEncodeError.

    SQL_ASCII leaves bytes as they are ("Character Set Support"): the files are UTF-8.
    """
    return text.encode("utf-8" if conn.info.encoding == "ascii" else conn.info.encoding)


def check_name(name: str) -> str:
    """A database name as given, or BadInput: PostgreSQL would cut one of more than 63 bytes without a word."""
    if not name or len(name.encode()) > 63:
        raise BadInput(f"{name!r} cannot be a database name: 1 to 63 bytes.")
    return name

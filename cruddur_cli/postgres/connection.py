"""Opens the user store within a bounded time, watches it for silence, and turns psycopg's errors into CruddurError."""

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

from .. import masking
from ..errors import BadInput, CannotConnect, CruddurError, NotConfigured, NotFound, Refused
from . import silence

if TYPE_CHECKING:
    from psycopg import Connection

_MAINTENANCE = "postgres"
LOCK_S = 5
_CLIENT_CHECK_S = 2
_CONNECT_S = 4.0
_LEAST_S = 2  # psycopg and libpq take no less
# What libpq says before it has asked any server, or once a server does not do what sslmode wants.
_SETTINGS = re.compile(
    r"invalid \S+ value|root certificate file|does not support SSL|certificate verify failed|SSL error: certificate"
    r"|server certificate for|server common name|certificate file .* does not exist|private key file"
    r"|definition of service|service file|could not match \d+|invalid port number|invalid connection option"
    r"|bad value for connect_timeout|invalid integer value|sslrootcert=system|GSSAPI encryption required",
    re.IGNORECASE,
)
# For the transaction alone: on a session behind a pooler, which others are given next, nothing may stay behind. What a
# URL, PGOPTIONS, the role or the database say themselves counts. An operating system that cannot tell that a peer is
# gone refuses the second ("client_connection_check_interval"); 13 does not know it.
_BOUNDS = f"""
    SELECT pg_backend_pid(),
        CASE WHEN current_setting('lock_timeout') = '0' THEN set_config('lock_timeout', '{LOCK_S}s', true) END,
        CASE WHEN current_setting('client_connection_check_interval', true) = '0' AND version() LIKE '%%-linux-%%'
            THEN set_config('client_connection_check_interval', '{_CLIENT_CHECK_S}s', true) END,
        CASE WHEN %s::text IS NOT NULL THEN set_config('statement_timeout', %s, true) END
"""
_TLS = re.compile(r"ssl|certificate|private key", re.IGNORECASE)
_NUMBERS = {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"}
_HOST = re.compile(r"[A-Za-z0-9_.:%\u0080-\U0010ffff-]*|/.*")
_ENCODED = r"(?:[^:@/?#\s%]|%[0-9A-Fa-f]{2})*"
# What libpq reads as it was meant: an @ ends the user's part, and without one there is none anywhere.
_STRICT = rf"postgres(ql)?://({_ENCODED}(:{_ENCODED})?@[^@/?#\s]*(/[^?@\s]*)?(\?.*)?|[^@]*)"


@dataclass(frozen=True)
class Server:
    """One database on one server; ``Server.at(url)`` is that of a URL.

    ``parameters`` are libpq's and hold the password: print ``label``.

    ``host`` is the name, and ``address`` where libpq goes instead of looking it up (``hostaddr``), if anywhere.
    ``advice`` is what to do where it cannot be reached.
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
    statement_timeout_s: float | None = None
    advice: str = ""

    @classmethod
    def at(cls, url: str, *, origin: str = "The URL") -> Server:
        """The database of a URL or of a libpq key=value string. PG* variables and the service file fill its gaps.

        Raises NotConfigured for what cannot be read; ``origin`` is what it calls the text.
        """
        return cls.of(completed(parse_url(url, origin=origin)))

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Server:
        """The database that libpq's parameters lead to. Raises NotConfigured."""
        address = str(parameters.get("hostaddr") or "")
        host = str(parameters.get("host") or address or "localhost")
        database, number = str(parameters.get("dbname") or "cruddur"), port(parameters)
        where = f"{host}:{number}" + (f" (at {address})" if address not in {"", host} else "")
        return cls(
            parameters=parameters,
            host=host,
            port=number,
            database=database,
            user=str(parameters.get("user") or _os_user()),
            label=f"database {database!r} on {where}",
            address=address,
        )

    def on(self, database: str) -> Server:
        """The same server, another database."""
        return replace(self, database=database)


def load_driver() -> None:
    """Load psycopg, which takes longer than a connection does."""
    import psycopg  # noqa: F401


def parse_url(url: str, *, origin: str) -> dict[str, Any]:
    """The parameters of a connection URL (``postgres://`` or ``postgresql://``) or of a libpq key=value string.

    Raises NotConfigured without repeating any part of a text that cannot be read, psycopg's words for it included: each
    part may be the password.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    written = _encoded(url.strip())
    try:
        # A password in it must have a certain place, for the mask and for libpq.
        if masking.is_readable(url.strip()):
            found = conninfo_to_dict(written)
            if _is_plausible(written, found):
                return found
    except (ProgrammingError, ValueError):
        pass
    raise NotConfigured(
        f"{origin} is not a valid PostgreSQL URL.",
        hint="postgresql://user:password@host:5432/database; in a password write %40 for @, %2F for /, %23 for #, "
        "%25 for %, %3F for ?, %20 for a space",
        code="bad_connection_url",
    ) from None


def _is_plausible(written: str, found: Mapping[str, Any]) -> bool:
    """Whether libpq has cut the text where its writer meant it: else a piece of the password would be a host or a name.

    Raises ValueError for what should be a number.
    """
    if any(int(text or 1) not in range(1, 65536) for text in str(found.get("port") or "").split(",")):
        return False
    for name in _NUMBERS & found.keys():
        int(found[name])
    if "://" not in written:
        return True
    # The login and the hosts, then the name of the database; parameters may hold any sign.
    authority = re.split("[/?#]", written.partition("://")[2], maxsplit=1)[0]
    path = written.partition("://")[2].removeprefix(authority).partition("?")[0]
    hosts = str(found.get("host") or "").split(",")
    return authority.count("@") <= 1 and not re.search(r"[@\s]", path) and all(map(_HOST.fullmatch, hosts))


def as_libpq_reads(url: str) -> dict[str, Any]:
    """The parameters that every other program finds in a connection string; none where it cannot read it."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return conninfo_to_dict(url)
    except (ProgrammingError, ValueError):
        return {}


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
    """What libpq takes for parameters that were not given, with that service; a missing service adds nothing."""
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
        raise NotConfigured(f"{text!r} is not a port: check the connection URL, the service file and PGPORT.")
    return int(text)


def _os_user() -> str:
    """The user that libpq logs in as if none is named: that of the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "the current user"


def _encoded(url: str) -> str:
    """The URL with its password percent-encoded, if it holds a plain ``/ @ # ? %`` or a space."""
    if not re.match(r"postgres(ql)?://", url) or re.fullmatch(_STRICT, url):
        return url
    scheme, _, rest = url.partition("://")
    info, at, tail = rest.rpartition("@")
    user, colon, password = info.partition(":")
    # What has a path or parameters before its last @ may have that @ in one of them.
    if not at or not colon or re.search(r"[@/?#\s]", user) or re.search(r"/[^?]*\?.*=", password):
        return url
    if not re.fullmatch(r"[^/?#\s]*(/[^?]*)?(\?.*)?", tail) or not password.isprintable():
        return url
    return f"{scheme}://{_encode(user)}{colon}{_encode(password)}@{tail}"


def _encode(text: str) -> str:
    """Percent-encoded; what is encoded already stays."""
    return "".join(
        part if re.fullmatch("%[0-9A-Fa-f]{2}", part) else quote(part, safe="")
        for part in re.split("(%[0-9A-Fa-f]{2})", text)
    )


@contextmanager
def opened(server: Server | str, *, trace: Callable[[str], None] | None = None) -> Iterator[Connection[Any]]:
    """A connection in a transaction that is committed at the end, or rolled back when something is raised.

    ``server`` may be a URL. With ``read_only`` in it PostgreSQL itself refuses any change. Raises CannotConnect (within
    5 s, more with ``wait_s``), NotConfigured for a password, NotFound for a missing database, Refused for an SQL error.
    """
    import psycopg

    server = Server.at(server) if isinstance(server, str) else server
    if trace is not None:
        trace(f"connect → {server.label}")
    conn = _connect(server)
    try:
        with conn:
            try:
                bound(conn)
                yield conn
            except BaseException as error:
                _abandon(conn, interrupted=not isinstance(error, Exception))
                raise
    except psycopg.Error as error:
        raise translate(error, server) from error
    finally:
        conn.close()


def bound(conn: Connection[Any]) -> None:
    """Bound how long the transaction that begins now waits for a lock, and have the server look after its client.

    ``opened`` has done it for the first transaction of a connection.
    """
    timeout_s = conn.statement_timeout_s  # type: ignore[attr-defined]
    text = f"{timeout_s * 1000:.0f}" if timeout_s else None
    row = conn.execute(_BOUNDS.encode(), [text, text]).fetchone()
    conn.server_pid = row[0] if row else None  # type: ignore[attr-defined]


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
def opened_maintenance(server: Server | str) -> Iterator[Connection[Any]]:
    """A connection to the server's maintenance database, outside of any transaction: for CREATE and DROP DATABASE."""
    import psycopg

    server = Server.at(server) if isinstance(server, str) else server
    try:
        conn = _connect(server.on(_MAINTENANCE))
    except NotFound:
        conn = _connect(server.on("template1"))
    try:
        conn.autocommit = True
        yield conn
    except psycopg.Error as error:
        raise translate(error, server) from error
    finally:
        conn.close()


def connect_to_any_host(parameters: Mapping[str, Any]) -> Any:
    """A connection to the first host that gives one; after about 5 s no other host is tried. Raises psycopg.Error.

    A time-out of the URL's or the environment's own stays.
    """
    import psycopg

    connect = silence.connection_class().connect
    if "connect_timeout" in parameters or "PGCONNECT_TIMEOUT" in os.environ:
        return connect(**parameters)
    attempts = list(_attempts(parameters))
    each = "2" if parameters.get("host") == "localhost" else str(max(_LEAST_S, int(_CONNECT_S) // len(attempts)))
    # psycopg itself weighs the hosts against each other there.
    if len(attempts) <= 2 or {"load_balance_hosts", "target_session_attrs"} & parameters.keys():
        return connect(**{**parameters, "connect_timeout": each})
    began, last = time.monotonic(), len(attempts) - 1
    for number, attempt in enumerate(attempts):
        try:
            return connect(**{**parameters, **attempt, "connect_timeout": each})
        except psycopg.OperationalError:
            if number == last or time.monotonic() - began >= _CONNECT_S - 0.25:
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


def _connect(server: Server) -> Connection[Any]:
    import psycopg

    # It would name host and user where a rollback fails after a signal, and the server rolls back without being told.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    parameters = {**server.parameters, "dbname": server.database, "application_name": "cruddur"}
    if server.embedded:
        _forget_pg_variables()
    deadline = time.monotonic() + server.wait_s
    while True:
        try:
            conn: Connection[Any] = connect_to_any_host(parameters)
        except psycopg.Error as error:
            problem = _connection_problem(error, server)
            if time.monotonic() >= deadline or not isinstance(problem, CannotConnect):
                raise problem from error
            time.sleep(0.25)
            continue
        conn.statement_timeout_s = server.statement_timeout_s  # type: ignore[attr-defined]
        # A pooler gives each transaction another session, which does not know what an earlier one has prepared.
        conn.prepare_threshold = None
        conn.read_only = True if server.read_only else None
        return conn


def _forget_pg_variables() -> None:
    """The embedded server is one known address: a PGSERVICE or PGSSLMODE meant for another must not reach libpq."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _connection_problem(error: Exception, server: Server) -> CruddurError:
    # A failed connection has no SQLSTATE: libpq's text, of which the last line says what the server said.
    text = str(error).strip()
    reason = text.splitlines()[-1].strip() if text else type(error).__name__
    reason = reason.rpartition("FATAL:")[2].strip() or reason
    if f'database "{server.database}" does not exist' in text:
        missing = f"There is no {server.label}."
        return NotFound(missing, hint="cruddur db setup", code="database_not_found")
    wrong = wrong_setting(text, f"PostgreSQL on {server.host}:{server.port}")
    if wrong is not None:
        return wrong
    if re.search(r"password|role \".*\" does not exist|no pg_hba.conf entry|authentication", text):
        return NotConfigured(
            f"PostgreSQL on {server.host}:{server.port} refuses the user {server.user!r}: {reason}.",
            hint=login_hint(text),
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


def wrong_setting(text: str, place: str) -> NotConfigured | None:
    """The error for what libpq said, where it is about a setting and not about the server being there."""
    if not _SETTINGS.search(text):
        return None
    reason = " ".join(text.splitlines()[0].split())
    reason = re.sub(r"^(connection (failed|is bad): )?(connection to server .*? failed: )?", "", reason).rstrip(".")
    if not _TLS.search(text):
        return NotConfigured(
            f"The connection to {place} is configured wrongly: {reason}.",
            hint="check the connection URL (`cruddur config`), the service file and the PG* variables",
            code="bad_connection_setting",
        )
    named = "" if "sslmode" in reason or "file" in reason else "sslmode needs something that is missing: "
    return NotConfigured(
        f"The connection to {place} cannot use TLS as configured: {named}{reason}.",
        hint="check sslmode in the connection URL, or PGSSLMODE: verify-full and verify-ca need sslrootcert=FILE "
        "(or sslrootcert=system), require needs a server with TLS, prefer uses TLS if the server has it",
        code="bad_tls_setting",
    )


def login_hint(text: str) -> str:
    """What to check when a server refuses a login."""
    if "no encryption" in text and "SSL encryption" not in text:
        return "the server may want TLS: sslmode=require in the connection URL or PGSSLMODE (`cruddur config`)"
    return "check the user and password in the connection URL (`cruddur config`)"


def _advice(server: Server) -> str:
    if server.host.endswith("amazonaws.com"):
        return "is the instance stopped? does the security group allow this address (`cruddur rds update-sg-rule`)?"
    if server.embedded:
        return "cruddur local up"
    return server.advice or "is it running? `cruddur config` shows where the address comes from"


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
    """The text in the client_encoding of the session, which a file may have set. Raises UnicodeEncodeError.

    SQL_ASCII leaves bytes as they are ("Character Set Support"): the files are UTF-8.
    """
    return text.encode("utf-8" if conn.info.encoding == "ascii" else conn.info.encoding)


def check_name(name: str) -> str:
    """A database name as given, or BadInput: PostgreSQL would cut one of more than 63 bytes without a word."""
    if not name or len(name.encode()) > 63:
        raise BadInput(f"{name!r} cannot be a database name: 1 to 63 bytes.")
    return name

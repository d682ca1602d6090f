"""Opens the user store within a bounded time, and turns psycopg's errors into CruddurError."""

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
_MIN_CONNECT_S = 2  # psycopg and libpq raise a smaller time-out to this
# libpq's messages about a wrong setting: before it connects, or where the server does not meet sslmode.
_WRONG_SETTING = re.compile(
    r"invalid \S+ value|root certificate file|does not support SSL|certificate verify failed|SSL error: certificate"
    r"|server certificate for|server common name|certificate file .* does not exist|private key file"
    r"|definition of service|service file|could not match \d+|invalid port number|invalid connection option"
    r"|bad value for connect_timeout|invalid integer value|sslrootcert=system|GSSAPI encryption required",
    re.IGNORECASE,
)
# For this transaction only: behind a pooler the session goes to another client afterwards. A value from the URL, from
# PGOPTIONS, the role or the database is kept. Servers on other systems than Linux may refuse
# client_connection_check_interval, and PostgreSQL 13 does not have it.
_TIMEOUTS = f"""
    SELECT pg_backend_pid(),
        CASE WHEN current_setting('lock_timeout') = '0' THEN set_config('lock_timeout', '{LOCK_S}s', true) END,
        CASE WHEN current_setting('client_connection_check_interval', true) = '0' AND version() LIKE '%%-linux-%%'
            THEN set_config('client_connection_check_interval', '{_CLIENT_CHECK_S}s', true) END,
        CASE WHEN %s::text IS NOT NULL THEN set_config('statement_timeout', %s, true) END
"""
_TLS = re.compile(r"ssl|certificate|private key", re.IGNORECASE)
_INTEGERS = {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"}
_HOST = re.compile(r"[A-Za-z0-9_.:%\u0080-\U0010ffff-]*|/.*")
_ENCODED = r"(?:[^:@/?#\s%]|%[0-9A-Fa-f]{2})*"
# A URL that libpq reads as its writer meant it: an @ ends user and password, or the URL has no @.
_STRICT = rf"postgres(ql)?://({_ENCODED}(:{_ENCODED})?@[^@/?#\s]*(/[^?@\s]*)?(\?.*)?|[^@]*)"


@dataclass(frozen=True)
class Server:
    """One database on one server. ``Server.at(url)`` reads a connection URL.

    ``parameters`` are libpq's and contain the password: print ``label`` instead. ``address`` is libpq's ``hostaddr``,
    to which it connects without looking up ``host``; empty if there is none.

    ``read_only`` makes PostgreSQL refuse changes. ``wait_s`` is how many seconds to retry a server that cannot be
    reached, and ``advice`` the hint of the error afterwards. ``statement_timeout_s`` limits each statement; None sets
    no limit.
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
        """The database that a URL or a libpq key=value string names.

        The service file, then PG* variables supply what the text omits. Raises NotConfigured if the text cannot be
        read; the message calls it ``origin``.
        """
        return cls.of(completed(parse_url(url, origin=origin)))

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Server:
        """The database that libpq's parameters name. Raises NotConfigured for a port that is no number."""
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
        """Another database on the same server."""
        return replace(self, database=database)


def load_driver() -> None:
    """Import psycopg, so that a caller can measure a connection without the import, which takes longer."""
    import psycopg  # noqa: F401


def parse_url(url: str, *, origin: str) -> dict[str, Any]:
    """The parameters of a connection URL (``postgres://`` or ``postgresql://``) or of a libpq key=value string.

    Raises NotConfigured if the text cannot be read. The message repeats neither the text nor psycopg's error: any part
    may be the password.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    written = _encoded(url.strip())
    try:
        # The mask and libpq must agree where the password stands.
        if masking.is_readable(url.strip()):
            parameters = conninfo_to_dict(written)
            if _is_plausible(written, parameters):
                return parameters
    except (ProgrammingError, ValueError):
        pass
    raise NotConfigured(
        f"{origin} is not a valid PostgreSQL URL.",
        hint="postgresql://user:password@host:5432/database; in a password write %40 for @, %2F for /, %23 for #, "
        "%25 for %, %3F for ?, %20 for a space",
        code="bad_connection_url",
    ) from None


def _is_plausible(written: str, parameters: Mapping[str, Any]) -> bool:
    """Whether libpq split the text where its writer meant; else a part of the password would be a host or a name.

    Raises ValueError for a parameter that should be a number.
    """
    if any(int(text or 1) not in range(1, 65536) for text in str(parameters.get("port") or "").split(",")):
        return False
    for name in _INTEGERS & parameters.keys():
        int(parameters[name])
    if "://" not in written:
        return True
    # The authority is the login and the hosts, the path is the database's name; parameters may contain any sign.
    authority = re.split("[/?#]", written.partition("://")[2], maxsplit=1)[0]
    path = written.partition("://")[2].removeprefix(authority).partition("?")[0]
    hosts = str(parameters.get("host") or "").split(",")
    return authority.count("@") <= 1 and not re.search(r"[@\s]", path) and all(map(_HOST.fullmatch, hosts))


def as_libpq_reads(url: str) -> dict[str, Any]:
    """The parameters of a connection string as libpq reads it, without this module's checks; empty if it cannot."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return conninfo_to_dict(url)
    except (ProgrammingError, ValueError):
        return {}


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, with those that the URL omits from the service file, then from PG* variables.

    libpq reads both by itself. psycopg looks up the host before libpq has read the service file, so psycopg and psql
    get these values explicitly.
    """
    service = str(given.get("service") or os.environ.get("PGSERVICE") or "")
    plain = _defaults("")
    served = {name: value for name, value in _defaults(service).items() if value != plain.get(name)} if service else {}
    parameters = {**served, **given}
    if served:
        parameters.pop("service", None)
    for name in ("host", "hostaddr", "port", "user", "dbname"):
        variable = os.environ.get(_VARIABLES[name])
        if not parameters.get(name) and variable:
            parameters[name] = variable
    return parameters


_VARIABLES = {"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}


def _defaults(service: str) -> dict[str, str]:
    """libpq's default for each parameter, with that service's values; a missing service adds nothing."""
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
    """The port; of several the first; 5432 without one. Raises NotConfigured for a text that is no number."""
    text = str(parameters.get("port") or "5432").partition(",")[0] or "5432"
    if not text.isdecimal():
        raise NotConfigured(f"{text!r} is not a port: check the connection URL, the service file and PGPORT.")
    return int(text)


def _os_user() -> str:
    """The operating system's user, as whom libpq logs in by default."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "the current user"


def _encoded(url: str) -> str:
    """The URL with user and password percent-encoded, if the password contains a plain ``/ @ # ? %`` or a space."""
    if not re.match(r"postgres(ql)?://", url) or re.fullmatch(_STRICT, url):
        return url
    scheme, _, rest = url.partition("://")
    info, at, tail = rest.rpartition("@")
    user, colon, password = info.partition(":")
    # With a path or parameters before it, the last @ may belong to them.
    if not at or not colon or re.search(r"[@/?#\s]", user) or re.search(r"/[^?]*\?.*=", password):
        return url
    if not re.fullmatch(r"[^/?#\s]*(/[^?]*)?(\?.*)?", tail) or not password.isprintable():
        return url
    return f"{scheme}://{_encode(user)}{colon}{_encode(password)}@{tail}"


def _encode(text: str) -> str:
    """The text percent-encoded; its ``%XX`` stay as they are."""
    return "".join(
        part if re.fullmatch("%[0-9A-Fa-f]{2}", part) else quote(part, safe="")
        for part in re.split("(%[0-9A-Fa-f]{2})", text)
    )


@contextmanager
def opened(server: Server | str, *, trace: Callable[[str], None] | None = None) -> Iterator[Connection[Any]]:
    """A connection in a transaction, which is committed at the end, or rolled back on an exception.

    ``server`` may be a URL. Raises CannotConnect (within about 5 s, later with ``wait_s``), NotConfigured for a refused
    login or a wrong setting, NotFound for a missing database, Refused for an SQL error.
    """
    import psycopg

    server = Server.at(server) if isinstance(server, str) else server
    if trace is not None:
        trace(f"connect → {server.label}")
    conn = _connect(server)
    try:
        with conn:
            try:
                set_timeouts(conn)
                yield conn
            except BaseException as error:
                _abandon(conn, interrupted=not isinstance(error, Exception))
                raise
    except psycopg.Error as error:
        raise translate(error, server) from error
    finally:
        conn.close()


def set_timeouts(conn: Connection[Any]) -> None:
    """Limit how long the transaction that begins now waits for locks and statements, and store its ``server_pid``.

    The server also checks at times whether its client is still connected. ``opened`` calls this for the first
    transaction of a connection.
    """
    timeout_s = conn.statement_timeout_s  # type: ignore[attr-defined]
    text = f"{timeout_s * 1000:.0f}" if timeout_s else None
    row = conn.execute(_TIMEOUTS.encode(), [text, text]).fetchone()
    conn.server_pid = row[0] if row else None  # type: ignore[attr-defined]


def _abandon(conn: Connection[Any], *, interrupted: bool) -> None:
    """Cancel a statement that a signal interrupted, and close the connection: its locks are released at once."""
    from psycopg.pq import TransactionStatus

    if conn.pgconn.transaction_status == TransactionStatus.ACTIVE:
        with suppress(Exception):  # the server notices by itself that the connection is closed
            conn.cancel_safe(timeout=2)
        conn.close()
    elif interrupted:
        conn.close()


@contextmanager
def opened_maintenance(server: Server | str) -> Iterator[Connection[Any]]:
    """A connection to ``postgres``, or to ``template1`` without it, outside of a transaction.

    For CREATE and DROP DATABASE.
    """
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
    """A connection to the first host that accepts one; after about 4 s no other host is tried. Raises psycopg.Error.

    A time-out in the URL or the environment is used unchanged.
    """
    import psycopg

    connect = silence.connection_class().connect
    if "connect_timeout" in parameters or "PGCONNECT_TIMEOUT" in os.environ:
        return connect(**parameters)
    attempts = list(_attempts(parameters))
    each = "2" if parameters.get("host") == "localhost" else str(max(_MIN_CONNECT_S, int(_CONNECT_S) // len(attempts)))
    # With these parameters psycopg itself chooses between the hosts.
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
    """The host, address and port of each server that the parameters name."""
    named = {name: str(parameters.get(name) or "").split(",") for name in ("host", "hostaddr", "port")}
    count = max(len(named["host"]), len(named["hostaddr"]))
    for number in range(count):
        attempt = {}
        for name, values in named.items():
            if values == [""]:
                continue
            if len(values) not in {1, count}:  # libpq reports that the numbers differ
                yield {}
                return
            attempt[name] = values[number if len(values) == count else 0]
        yield attempt


def _connect(server: Server) -> Connection[Any]:
    import psycopg

    # psycopg logs host and user when a rollback fails after a signal, although the server then rolls back by itself.
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
        # Behind a pooler the next transaction may have another session, without this one's prepared statements.
        conn.prepare_threshold = None
        conn.read_only = True if server.read_only else None
        return conn


def _forget_pg_variables() -> None:
    """Remove PG* variables from this process: a PGSERVICE or PGSSLMODE for another server must not reach libpq."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _connection_problem(error: Exception, server: Server) -> CruddurError:
    # A failed connection has no SQLSTATE, only libpq's text; the last line is the server's message.
    text = str(error).strip()
    reason = text.splitlines()[-1].strip() if text else type(error).__name__
    reason = reason.rpartition("FATAL:")[2].strip() or reason
    if f'database "{server.database}" does not exist' in text:
        missing = f"There is no {server.label}."
        return NotFound(missing, hint="cruddur db setup", code="database_not_found")
    setting_error = wrong_setting(text, f"PostgreSQL on {server.host}:{server.port}")
    if setting_error is not None:
        return setting_error
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
    """The error for a message of libpq about a connection setting; None for any other message."""
    if not _WRONG_SETTING.search(text):
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
        hint="check sslmode in the connection URL, or PGSSLMODE: prefer works with every server; "
        "verify-ca and verify-full need sslrootcert=FILE or sslrootcert=system",
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
    """The CruddurError for an error of psycopg. ``sql_files.runner`` adds file and line for a file of SQL."""
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
    """The text in the session's client_encoding, which a file of SQL may have set. Raises UnicodeEncodeError.

    With SQL_ASCII the server converts nothing ("Character Set Support"), so the text is sent as UTF-8.
    """
    return text.encode("utf-8" if conn.info.encoding == "ascii" else conn.info.encoding)


def check_name(name: str) -> str:
    """The database name, unchanged. Raises BadInput for more than 63 bytes, which PostgreSQL would truncate."""
    if not name or len(name.encode()) > 63:
        raise BadInput(f"{name!r} cannot be a database name: 1 to 63 bytes.")
    return name

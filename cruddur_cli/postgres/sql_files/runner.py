"""Runs a file of SQL in one transaction, statement by statement, so that an error names file and line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ... import masking
from ...errors import BadInput, CruddurError, Refused
from .. import catalogue, connection, database, locks
from ..connection import Server
from . import splitter
from .splitter import Statement

if TYPE_CHECKING:
    from psycopg import Connection

Say = Callable[[str], None]
_SAVEPOINT = b"cruddur_file"
_BATCH_INSERTS = 500  # INSERTs in one request
_BATCH_CHARACTERS = 1 << 18  # a batch with at least as many is sent
_WIDTH = 160
_STATEMENT_SHOWN = 240
_EXTENSION = re.compile(
    r"""\s*(?:CREATE|(COMMENT)\s+ON)\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?"uuid-ossp".*""",
    re.IGNORECASE | re.DOTALL,
)
_PIECE = 1 << 20  # characters of rows encoded at once, so that a large dump is not in memory twice
# The last line of the context, in the server's language: COPY users, line 3, column uuid: "x"
_LINE = re.compile(r"^COPY .*?, \w+ ([0-9]+)(?=[,:]|$)", re.MULTILINE)
_CSV = re.compile(r"\bcsv\b", re.IGNORECASE)
_CSV_ROW = re.compile(r'(?:[^"\n]|"[^"]*"?)*')
_ANY_LINE = re.compile(r"[^\n]*\n?")
_TEXT_ROW = re.compile(r"(?:[^\\\n]|\\.)*\n?", re.DOTALL)
# A dump begins and ends with these words; a dump that was cut between two statements has only the first.
DUMP = "-- PostgreSQL database dump"
DUMP_BEGINS = 1000  # they stand within the first characters
# Words of the statements in which a dump names roles of its server.
_ROLES = {"OWNER", "GRANT", "REVOKE"}
_PRIVILEGES = ("ALTER", "DEFAULT", "PRIVILEGES")
# pg_dump sets it since 17; older servers do not have it.
_NEWER = ("SET", "TRANSACTION_TIMEOUT")
# These objects may exist from an earlier load: they survive when the tables or the database are dropped.
_SURVIVES = {("CREATE", "EXTENSION"), ("CREATE", "ROLE"), ("CREATE", "USER"), ("CREATE", "GROUP")}
# Statements that change no table's columns.
_KEEPS_COLUMNS = {("INSERT",), ("COPY",)}
_NAMED = re.compile(r'"(.*)"')
_RDS_ROLE = re.compile(r'"(rds\w*)"')
# The work of DISCARD ALL, which cannot run in a transaction. After the transaction it would be too late: behind a
# pooler the next statement may go to another session, and this one would keep what the file has set.
_FRESH_SESSION = b"; ".join(
    [
        b"CLOSE ALL",
        b"RESET SESSION AUTHORIZATION",
        b"RESET ROLE",
        b"RESET ALL",
        b"DEALLOCATE ALL",
        b"UNLISTEN *",
        b"SELECT pg_advisory_unlock_all()",
        b"DISCARD SEQUENCES",
        b"DISCARD TEMP",
    ]
)
_UUID_FUNCTION = (
    b"CREATE OR REPLACE FUNCTION public.uuid_generate_v4() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE"
    b" AS 'SELECT pg_catalog.gen_random_uuid()'"
)


def run(
    conn: Connection[Any],
    text: str,
    *,
    source: str,
    server: Server,
    say: Say | None = None,
    keeps_session: bool = False,
) -> int:
    """Run a file inside the connection's transaction, whole or not at all; the number of its statements.

    The result is that of ``psql -1 -v ON_ERROR_STOP=1 -f``, except that

    - a COMMIT in the file does not commit: the file's ROLLBACK undoes what psql would undo, in the same transaction;
    - CREATE EXTENSION, CREATE ROLE and CREATE USER do not change what exists already;
    - GRANT and REVOKE of a role that only RDS has are skipped on other servers; in a dump of pg_dump, so are statements
      that name another role that does not exist here;
    - statements that create or drop a database before the file connects to it are skipped;
    - statement_timestamp() may be the same in INSERTs that follow one another, because they are sent together;
    - the session is reset afterwards, unless the caller does so (``keeps_session``).

    A statement waits five seconds for a lock, unless the file sets another time.

    Raises BadInput, before anything is sent, for a command of psql; and Refused with file, line, statement and caret.
    For a lock time-out it names the session that holds the lock (code ``locked``).
    """
    from psycopg import Error

    statements = splitter.split(text, source=source)
    blocks = _Blocks(conn, statements, source=source, say=say)
    _use_utf8(conn)
    statement: Statement | None = None
    secret_tables: frozenset[str] | None = None
    say = _once(say) if say is not None else None
    is_dump = DUMP in text[:DUMP_BEGINS]
    with locks.guarded(conn, server) as watch:
        try:
            # A seed's triggers find the rows of their transaction by its number; a savepoint would have another.
            for batch in ([each] for each in statements) if keeps_session else _batches(statements):
                if len(batch) > 1 and _insert_batch(conn, batch):
                    continue
                for statement in batch:
                    # Queried before it runs, because a failed transaction answers no query.
                    if secret_tables is None and masking.lists_no_columns(statement.text):
                        secret_tables = catalogue.tables_with_secrets(conn)
                    if blocks.is_control(statement):
                        blocks.follow(statement)
                    elif statement.rows is not None:
                        _copy(conn, statement, text)
                    else:
                        _execute(conn, statement, source=source, server=server, say=say, is_dump=is_dump)
                    if statement.words[:1] not in _KEEPS_COLUMNS:
                        secret_tables = None
            statement = None
            # Check deferred constraints now, so that an error names the file.
            conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
            if not keeps_session:
                refresh_session(conn)
        except Error as error:
            raise _refusal(error, statement, text, source, server, watch, secret_tables or frozenset()) from error
        except UnicodeEncodeError as error:
            assert statement is not None
            char = error.object[error.start]
            raise BadInput(
                f"{source}, line {statement.line}: {char!r} is not in the client_encoding that the file has set.",
                hint="set it to UTF8, which the file is",
                code="not_encodable",
            ) from error
    return len(statements)


def _batches(statements: Sequence[Statement]) -> Iterator[list[Statement]]:
    """The statements in their order, in lists: a batch of INSERTs that follow one another, or one statement."""
    batch: list[Statement] = []
    characters = 0
    for statement in statements:
        if statement.words[:1] != ("INSERT",):
            if batch:
                yield batch
            yield [statement]
            batch, characters = [], 0
            continue
        batch.append(statement)
        characters += len(statement.text)
        if len(batch) == _BATCH_INSERTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _insert_batch(conn: Connection[Any], batch: Sequence[Statement]) -> bool:
    """Send INSERTs in one request, all or none; False if one fails. Run each by itself then, to find which one."""
    from psycopg import Error

    try:
        sent = connection.encoded(conn, "\n;".join(statement.text for statement in batch))
    except UnicodeEncodeError:
        return False
    try:
        with conn.transaction():
            conn.execute(sent)
    except Error:
        if conn.closed:
            raise
        return False
    return True


def refresh_session(conn: Connection[Any]) -> None:
    """Reset everything that a file has set for its session, in the same transaction."""
    conn.execute(_FRESH_SESSION)
    connection.set_timeouts(conn)
    _use_utf8(conn)


def _use_utf8(conn: Connection[Any]) -> None:
    """Set client_encoding to UTF-8 if it is another: with SQL_ASCII psycopg returns bytes instead of text."""
    if conn.info.encoding != "utf-8":
        conn.execute("SET LOCAL client_encoding TO 'UTF8'")


class _Blocks:
    """Follows the file's own BEGIN, COMMIT and ROLLBACK, with a savepoint that moves where psql would commit."""

    def __init__(self, conn: Connection[Any], statements: Sequence[Statement], *, source: str, say: Say | None) -> None:
        self._conn, self._is_open = conn, True  # as with psql -1, which sends BEGIN itself
        control = [_control(statement) for statement in statements]
        for statement, kind in zip(statements, control, strict=True):
            if kind == "PREPARE":
                place = f"{source}, line {statement.line}"
                raise BadInput(
                    f"{place}: PREPARE TRANSACTION is not supported, because the whole file is one transaction.",
                    hint="leave the line out",
                    code="transaction_control",
                )
        self._undoes = "ROLLBACK" in control
        if self._undoes:
            self._mark()
        lines = [str(statement.line) for statement, kind in zip(statements, control, strict=True) if kind]
        if lines and say is not None:
            say(
                f"{source}: BEGIN, COMMIT and the like (line {', '.join(lines[:5])}) are ignored: "
                "the file is one transaction"
            )

    @staticmethod
    def is_control(statement: Statement) -> bool:
        return _control(statement) is not None

    def follow(self, statement: Statement) -> None:
        """Do what this BEGIN, COMMIT or ROLLBACK would do, without committing."""
        kind, was_open = _control(statement), self._is_open
        chained = statement.words[-2:] == ("AND", "CHAIN")
        if kind == "BEGIN":
            self._is_open = True
            if not was_open:
                self._mark()
            return
        self._is_open = was_open and chained
        if was_open and kind == "COMMIT":
            self._mark()
        elif was_open:
            self._conn.execute(b"ROLLBACK TO SAVEPOINT " + _SAVEPOINT)

    def _mark(self) -> None:
        """Move the savepoint here: a later ROLLBACK undoes only what follows. Does nothing without a ROLLBACK."""
        if self._undoes:
            self._conn.execute(b"SAVEPOINT " + _SAVEPOINT)


def _control(statement: Statement) -> str | None:
    """How a statement controls the transaction: BEGIN, COMMIT, ROLLBACK or PREPARE; None if it does not."""
    first, second = (*statement.words, "", "")[:2]
    if first == "BEGIN" or (first, second) == ("START", "TRANSACTION"):
        return "BEGIN"
    if (first, second) == ("PREPARE", "TRANSACTION"):
        return "PREPARE"
    if second == "PREPARED":
        return None
    if first in {"COMMIT", "END"}:
        return "COMMIT"
    if first == "ABORT" or (first == "ROLLBACK" and "TO" not in statement.words):
        return "ROLLBACK"
    return None


def _execute(
    conn: Connection[Any], statement: Statement, *, source: str, server: Server, say: Say | None, is_dump: bool
) -> None:
    """Run one statement, or skip it: if it creates an extension or role that exists, or does not fit this server."""
    from psycopg import errors

    place = f"{source}, line {statement.line}"
    first = statement.words[:1]
    if statement.is_of_server:
        if say is not None:
            say(f"{place}: skipped, because cruddur creates and drops the database itself: {_shown(statement, 80)}")
        return
    sent = _encoded(statement, conn, server, say)
    names_role = first in {("GRANT",), ("REVOKE",)} or statement.words[:3] == _PRIVILEGES
    names_role = names_role or (first == ("ALTER",) and "OWNER" in statement.words)
    if statement.words[:2] not in {*_SURVIVES, _NEWER} and not names_role:
        conn.execute(sent)
        return
    try:
        with conn.transaction():
            conn.execute(sent)
    except errors.DuplicateObject as error:
        if first != ("CREATE",) or "MAPPING" in statement.words[:3]:
            raise
        if say is not None:
            say(f"{place}: {error.diag.message_primary}; it was not changed")
    except errors.UndefinedObject as error:
        why = _missing(conn, statement, error.diag.message_primary or "", names_role=names_role and is_dump)
        if why is None:
            raise
        if say is not None:
            say(f"{place}: skipped, because {why}: {_shown(statement, 80)}")


def _missing(conn: Connection[Any], statement: Statement, message: str, *, names_role: bool) -> str | None:
    """Why a statement can be skipped after the server's ``message`` about a missing object; None if it cannot."""
    if statement.words[:2] == _NEWER:
        return "this PostgreSQL is older than the setting"
    of_rds, named = _RDS_ROLE.search(message), _NAMED.search(message)
    if of_rds:
        return f"the role {of_rds[1]} exists only on Amazon RDS"
    if not names_role or named is None or database.is_rds(conn):
        return None
    role = named[1]
    after = rf'(?is)(?:\b(?:TO|FROM|ROLE|USER)\b|,)\s*"?{re.escape(role)}"?(?!\w)'
    is_role = conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount > 0
    return None if is_role or not re.search(after, statement.text) else f"there is no role {role} here"


def _once(say: Say) -> Say:
    """A ``say`` that prints the first note about each missing role: a dump names its owner with every object."""
    noted: set[str] = set()

    def first(text: str) -> None:
        role = re.search(r"there is no role (.*) here: ", text)
        if role is None:
            say(text)
        elif role[1] not in noted:
            noted.add(role[1])
            say(f"{text} (and all others that name it)")

    return first


def _copy(conn: Connection[Any], statement: Statement, text: str) -> None:
    """Run a COPY … FROM STDIN with its rows, which are part of the file's ``text``."""
    assert statement.rows is not None
    start, end = statement.rows
    with conn.cursor().copy(connection.encoded(conn, statement.text)) as copy:
        for position in range(start, end, _PIECE):
            copy.write(connection.encoded(conn, text[position : min(end, position + _PIECE)]))


def row_offset(statement: Statement, text: str, context: str | None) -> int | None:
    """The offset in the file of the row that the context of a server's error names; None if it names no row.

    The server counts rows. In CSV it also counts the line ends inside of a row, but not those of the first row
    ("COPY", File Formats; CopyReadLineText).
    """
    named = _LINE.findall(context or "")
    if statement.rows is None or not named:
        return None
    (position, end), number = statement.rows, int(named[-1])
    row = _TEXT_ROW
    if _CSV.search(statement.text):
        row = _ANY_LINE
        first = _CSV_ROW.match(text, position, end)
        if first is not None and number > 1:
            number += len(re.findall(r"(?<!\r)\n", first[0]))
    while number > 1 and position < end and (passed := row.match(text, position, end)):
        number, position = number - 1, passed.end()
    return position


def _encoded(statement: Statement, conn: Connection[Any], server: Server, say: Say | None) -> bytes:
    """A statement as it is sent; instead of uuid-ossp the embedded server gets the one function of it that is used.

    The embedded PostgreSQL lacks that extension, and the application's own schema file begins by creating it. A dump
    also has a COMMENT on it, which is left out.
    """
    if server.embedded and (extension := _EXTENSION.fullmatch(statement.text)):
        available = conn.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'uuid-ossp'").fetchone()
        if available is None and extension[1]:
            return b""
        if available is None:
            if say is not None:
                say("the embedded PostgreSQL has no uuid-ossp, so uuid_generate_v4() calls gen_random_uuid()")
            return _UUID_FUNCTION
    return connection.encoded(conn, statement.text)


def _refusal(
    error: Any,
    statement: Statement | None,
    text: str,
    source: str,
    server: Server,
    watch: locks.Watch,
    secret_tables: frozenset[str],
) -> CruddurError:
    """The error with file, line, statement, caret, and PostgreSQL's detail, hint and context.

    Values of columns for secrets are masked; ``secret_tables`` are the tables that have such a column.
    """
    from psycopg import errors

    if error.sqlstate is None or isinstance(error, errors.AdminShutdown):
        return connection.translate(error, server)

    rows = text[slice(*statement.rows)] if statement and statement.rows else ""

    def masked(part: str | None) -> str:
        return masking.server_message(part or "", statement.text if statement else "", rows, secret_tables)

    line = statement.line if statement else text.count("\n") + 1
    excerpt = ""
    row = row_offset(statement, text, error.diag.context) if statement else None
    if statement and error.diag.statement_position:
        line, excerpt = _line_with_caret(
            text, statement, statement.offset + int(error.diag.statement_position), secret_tables
        )
    elif row is not None:
        line = text.count("\n", 0, row) + 1
        shown = text[row : row + _WIDTH + 1].partition("\n")[0].rstrip("\r")
        if statement and masking.rows_secret(statement.text, rows, secret_tables):
            shown = masking.MASK
        excerpt = f"{line} | {_clip(shown, _WIDTH)}"
    place = f"{source}, line {line}: " if statement else f"{source}, at its end: "
    if isinstance(error, errors.LockNotAvailable):
        refused = watch.refused(place)
    else:
        reason = masked(error.diag.message_primary or str(error).strip())
        code = "read_only" if isinstance(error, errors.ReadOnlySqlTransaction) else "sql_error"
        refused = Refused(f"{place}{server.label} refused: {reason} ({error.sqlstate}).", code=code)
    if isinstance(error, errors.QueryCanceled) and "statement timeout" in str(error):
        refused = refused.changed(code="timed_out", hint="pass a larger --statement-timeout")
    if isinstance(error, errors.ActiveSqlTransaction):
        word = "CONCURRENTLY" if statement and "CONCURRENTLY" in statement.words else "this statement"
        refused = refused.changed(hint=f"leave out {word}, because the whole file is one transaction")
    if isinstance(error, errors.UndefinedObject) and statement and _ROLES & set(statement.words):
        refused = refused.changed(hint="dump it with `pg_dump --no-owner --no-privileges`, or create the role first")
    sent = f"statement: {_shown(statement, _STATEMENT_SHOWN, secret_tables)}" if statement else ""
    more = (*map(masked, (error.diag.message_detail, error.diag.message_hint, error.diag.context)), refused.details)
    return refused.changed(
        details="\n".join(filter(None, [excerpt, sent, *more])) or None,
        fields={"file": source, "line": line, "sqlstate": error.sqlstate},
    )


def _caret(text: str, position: int) -> tuple[int, str]:
    """The line of a character position (from 1, as PostgreSQL counts), and that line, clipped, with a caret below."""
    before = text[: position - 1]
    column = len(before) - (before.rfind("\n") + 1)
    line = text[len(before) - column :].partition("\n")[0].rstrip("\r")
    number = before.count("\n") + 1
    skipped = max(0, column - _WIDTH // 2)
    margin = f"{number} | " + ("…" if skipped else "")
    padding = "".join("\t" if char == "\t" else " " for char in line[skipped:column].ljust(column - skipped))
    return number, f"{margin}{_clip(line[skipped:], _WIDTH)}\n{' ' * len(margin)}{padding}^"


def _shown(statement: Statement, length: int, secret_tables: frozenset[str] = frozenset()) -> str:
    """A statement in one line, clipped, with a password that it sets masked."""
    return _clip(" ".join(masking.sql(statement.text, secret_tables).split()), length)


def _line_with_caret(text: str, statement: Statement, position: int, secret_tables: frozenset[str]) -> tuple[int, str]:
    """The line of a position in a statement, and that line with a caret; a password that it sets is masked."""
    secret = masking.sql_secret(statement.text, secret_tables)
    if secret is None:
        return _caret(text, position)
    start = statement.offset + secret
    line, last = (text.count("\n", 0, end) + 1 for end in (position - 1, start))
    if line > last:
        return line, f"{line} | {masking.MASK}"
    return _caret(text[:start] + masking.MASK, min(position, start + 1))


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"

"""Runs a file of SQL in one transaction, statement by statement, so that every error has its place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, CruddurError, Refused
from . import connection, copy_rows, lexer, locks
from .connection import Server
from .lexer import Statement

if TYPE_CHECKING:
    from psycopg import Connection

Say = Callable[[str], None]
_SAVEPOINT = b"cruddur_file"
_WIDTH = 160
_STATEMENT_SHOWN = 240
_EXTENSION = re.compile(
    r"""\s*(?:CREATE|(COMMENT)\s+ON)\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?"uuid-ossp".*""",
    re.IGNORECASE | re.DOTALL,
)
# A dump names the roles of the server that it comes from with these.
_ROLES = {"OWNER", "GRANT", "REVOKE"}
_UUID_FUNCTION = (
    b"CREATE OR REPLACE FUNCTION public.uuid_generate_v4() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE"
    b" AS 'SELECT pg_catalog.gen_random_uuid()'"
)


def run(conn: Connection[Any], text: str, *, source: str, server: Server, say: Say | None = None) -> int:
    """Run a whole file inside the connection's transaction, all of it or nothing; how many statements there were.

    What is there afterwards is what ``psql -1 -v ON_ERROR_STOP=1 -f`` leaves, except that a COMMIT in the file commits
    nothing half-way: the file's BEGIN, COMMIT and ROLLBACK undo what they would undo, inside of the one transaction.
    A statement may take five minutes and wait five seconds for a lock, unless the file itself says otherwise.

    Raises BadInput, before anything is sent, for what only psql understands, and Refused with file, line, statement and
    caret; where a lock did not come, with the session that holds it (code ``locked``).
    """
    from psycopg import Error

    statements = lexer.split(text, source=source)
    conn.prepare_threshold = None  # a file may hold DISCARD ALL or DEALLOCATE ALL
    blocks = _Blocks(conn, statements, source=source, say=say)
    _speak_utf8(conn)
    statement: Statement | None = None
    with locks.guarded(conn, server) as watch:
        try:
            for statement in statements:
                if blocks.is_control(statement):
                    blocks.follow(statement)
                elif statement.rows is not None:
                    copy_rows.send(conn, statement, text)
                else:
                    conn.execute(_sent(statement, conn, server, say))
            statement = None
            # What is checked only at the end is checked while the file can still be named.
            conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
            _speak_utf8(conn)
        except Error as error:
            raise _refusal(error, statement, text, source, server, watch) from error
        except UnicodeEncodeError as error:
            assert statement is not None
            char = error.object[error.start]
            raise BadInput(
                f"{source}, line {statement.line}: {char!r} is not in the client_encoding that the file has set.",
                hint="set it to UTF8, which the file is",
                code="not_encodable",
            ) from error
    return len(statements)


def _speak_utf8(conn: Connection[Any]) -> None:
    """A file may set another client_encoding for itself; with SQL_ASCII psycopg would give bytes instead of text."""
    if conn.info.encoding != "utf-8":
        conn.execute("SET client_encoding TO 'UTF8'")


class _Blocks:
    """The file's own BEGIN, COMMIT and ROLLBACK, followed with a savepoint that moves where psql would commit."""

    def __init__(self, conn: Connection[Any], statements: Sequence[Statement], *, source: str, say: Say | None) -> None:
        self._conn, self._is_open = conn, True  # as with psql -1, which sends a BEGIN of its own
        control = [_control(statement) for statement in statements]
        for statement, kind in zip(statements, control, strict=True):
            if kind == "PREPARE":
                place = f"{source}, line {statement.line}"
                raise BadInput(
                    f"{place}: PREPARE TRANSACTION would leave the one transaction of the file.",
                    hint="leave the line out",
                    code="transaction_control",
                )
        self._undoes = "ROLLBACK" in control
        if self._undoes:
            self._mark()
        lines = [str(found.line) for found, kind in zip(statements, control, strict=True) if kind]
        if lines and say is not None:
            say(f"{source}: BEGIN, COMMIT and the like (line {', '.join(lines[:5])}) change nothing: all or nothing")

    @staticmethod
    def is_control(statement: Statement) -> bool:
        return _control(statement) is not None

    def follow(self, statement: Statement) -> None:
        """Do what this BEGIN, COMMIT or ROLLBACK would do, short of committing."""
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
        """From here on a ROLLBACK undoes; what came before it stays."""
        if self._undoes:
            self._conn.execute(b"SAVEPOINT " + _SAVEPOINT)


def _control(statement: Statement) -> str | None:
    """What a statement does with the transaction as a whole: BEGIN, COMMIT, ROLLBACK, PREPARE, or nothing."""
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


def _sent(statement: Statement, conn: Connection[Any], server: Server, say: Say | None) -> bytes:
    """A statement as it goes to the server; the embedded one gets the one function of uuid-ossp that is in use.

    That extension is not among the embedded PostgreSQL's, and the application's own schema file begins with it. A dump
    also comments on it.
    """
    if server.embedded and (extension := _EXTENSION.fullmatch(statement.text)):
        there = conn.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'uuid-ossp'").fetchone()
        if there is None and extension[1]:
            return b""
        if there is None:
            if say is not None:
                say("the embedded PostgreSQL has no uuid-ossp: uuid_generate_v4() is gen_random_uuid() there")
            return _UUID_FUNCTION
    return connection.encoded(conn, statement.text)


def _refusal(
    error: Any, statement: Statement | None, text: str, source: str, server: Server, watch: locks.Watch
) -> CruddurError:
    """The error with its place: file, line, statement, caret, and what PostgreSQL adds."""
    from psycopg import errors

    if error.sqlstate is None or isinstance(error, errors.AdminShutdown):
        return connection.translate(error, server)
    line = statement.line if statement else text.count("\n") + 1
    excerpt = ""
    row = copy_rows.offset(statement, text, error.diag.context) if statement else None
    if statement and error.diag.statement_position:
        line, excerpt = _caret(text, statement.offset + int(error.diag.statement_position))
    elif row is not None:
        line = text.count("\n", 0, row) + 1
        shown = text[row : row + _WIDTH + 1].partition("\n")[0].rstrip("\r")
        excerpt = f"{line} | {_clip(shown, _WIDTH)}"
    place = f"{source}, line {line}: " if statement else f"{source}, at its end: "
    if isinstance(error, errors.LockNotAvailable):
        refused = watch.refused(place)
    else:
        reason = error.diag.message_primary or str(error).strip()
        refused = Refused(f"{place}{server.label} refused: {reason} ({error.sqlstate}).", code="sql_error")
        refused.code = "read_only" if isinstance(error, errors.ReadOnlySqlTransaction) else refused.code
    if isinstance(error, errors.QueryCanceled) and "statement timeout" in str(error):
        refused.code, refused.hint = "timed_out", "put SET LOCAL statement_timeout = '1h'; before it in the file"
    if isinstance(error, errors.UndefinedObject) and statement and _ROLES & set(statement.words):
        refused.hint = "dump it with `pg_dump --no-owner --no-privileges`, or make the role first"
    sent = "statement: " + _clip(" ".join(statement.text.split()), _STATEMENT_SHOWN) if statement else ""
    more = (error.diag.message_detail, error.diag.message_hint, error.diag.context, refused.details)
    refused.details = "\n".join(filter(None, [excerpt, sent, *more])) or None
    refused.fields |= {"file": source, "line": line, "sqlstate": error.sqlstate}
    return refused


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


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"

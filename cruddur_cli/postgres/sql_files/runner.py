"""Runs a file of SQL in one transaction, statement by statement, so that every error has its place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ... import masking
from ...errors import BadInput, CruddurError, Refused
from .. import connection, database, locks
from ..connection import Server
from . import splitter
from .splitter import Statement

if TYPE_CHECKING:
    from psycopg import Connection

Say = Callable[[str], None]
_SAVEPOINT = b"cruddur_file"
_TOGETHER = 500  # INSERTs in one request, and
_TOGETHER_CHARACTERS = 1 << 18  # about as many characters of them
_WIDTH = 160
_STATEMENT_SHOWN = 240
_EXTENSION = re.compile(
    r"""\s*(?:CREATE|(COMMENT)\s+ON)\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?"uuid-ossp".*""",
    re.IGNORECASE | re.DOTALL,
)
_PIECE = 1 << 20  # of characters: a large dump is not held twice
# The last line of the context, in the server's language: COPY users, line 3, column uuid: "x"
_LINE = re.compile(r"^COPY .*?, \w+ ([0-9]+)(?=[,:]|$)", re.MULTILINE)
_CSV = re.compile(r"\bcsv\b", re.IGNORECASE)
_CSV_ROW = re.compile(r'(?:[^"\n]|"[^"]*"?)*')
_ANY_LINE = re.compile(r"[^\n]*\n?")
_TEXT_ROW = re.compile(r"(?:[^\\\n]|\\.)*\n?", re.DOTALL)
# pg_dump's first words, which are also its last ones; a file that was cut between two statements has only the first.
DUMP = "-- PostgreSQL database dump"
DUMP_BEGINS = 1000  # characters, at most, before them
# A dump names the roles of the server that it comes from with these.
_ROLES = {"OWNER", "GRANT", "REVOKE"}
_PRIVILEGES = ("ALTER", "DEFAULT", "PRIVILEGES")
# What pg_dump sets since 17, and older servers do not know.
_NEWER = ("SET", "TRANSACTION_TIMEOUT")
# What outlives the tables, or even the database, although a file that creates it may be loaded again.
_KEPT = {("CREATE", "EXTENSION"), ("CREATE", "ROLE"), ("CREATE", "USER"), ("CREATE", "GROUP")}
# What changes the columns of no table.
_KEEPS_COLUMNS = {("INSERT",), ("COPY",)}
_NAMED = re.compile(r'"(.*)"')
_RDS_ROLE = re.compile(r'"(rds\w*)"')
# What DISCARD ALL does, which cannot run in a transaction: behind a pooler the next transaction would have another
# session. What the file sets, prepares, locks or makes for its session must not stay behind in the one it had.
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
    """Run a whole file inside the connection's transaction, all of it or nothing; how many statements there were.

    What is there afterwards is what ``psql -1 -v ON_ERROR_STOP=1 -f`` leaves, except that

    - a COMMIT in the file commits nothing half-way: the file's BEGIN, COMMIT and ROLLBACK undo what they would undo,
      inside of the one transaction;
    - CREATE EXTENSION, CREATE ROLE and CREATE USER leave what exists already as it is;
    - GRANT and REVOKE of a role that only RDS has are left out on other servers, and in a dump of pg_dump also what
      names any other role that does not exist here;
    - what makes or drops a database before the file connects to it is left out;
    - statement_timestamp() may give the same time in INSERTs that follow one another: they are sent together;
    - the session is as fresh as before, unless ``keeps_session`` says that the caller sees to it.

    A statement waits five seconds for a lock, unless the file itself says otherwise.

    Raises BadInput, before anything is sent, for what only psql understands, and Refused with file, line, statement and
    caret; where a lock did not come, with the session that holds it (code ``locked``).
    """
    from psycopg import Error

    statements = splitter.split(text, source=source)
    blocks = _Blocks(conn, statements, source=source, say=say)
    _speak_utf8(conn)
    statement: Statement | None = None
    secret_tables: frozenset[str] | None = None
    say = _once(say) if say is not None else None
    is_dump = DUMP in text[:DUMP_BEGINS]
    with locks.guarded(conn, server) as watch:
        try:
            # A seed's triggers know the rows of their transaction by its number, and a savepoint has another one.
            for few in ([each] for each in statements) if keeps_session else _together(statements):
                if len(few) > 1 and _insert(conn, few):
                    continue
                for statement in few:
                    # Asked before it runs: a transaction that has failed answers nothing.
                    if secret_tables is None and masking.lists_no_columns(statement.text):
                        secret_tables = _tables_with_secrets(conn)
                    if blocks.is_control(statement):
                        blocks.follow(statement)
                    elif statement.rows is not None:
                        _copy(conn, statement, text)
                    else:
                        _execute(conn, statement, source=source, server=server, say=say, is_dump=is_dump)
                    if statement.words[:1] not in _KEEPS_COLUMNS:
                        secret_tables = None
            statement = None
            # What is checked only at the end is checked while the file can still be named.
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


def _together(statements: Sequence[Statement]) -> Iterator[list[Statement]]:
    """The statements in their order, in lists: of INSERTs that follow one another, or of one statement."""
    few: list[Statement] = []
    characters = 0
    for statement in statements:
        if statement.words[:1] != ("INSERT",):
            if few:
                yield few
            yield [statement]
            few, characters = [], 0
            continue
        few.append(statement)
        characters += len(statement.text)
        if len(few) == _TOGETHER or characters >= _TOGETHER_CHARACTERS:
            yield few
            few, characters = [], 0
    if few:
        yield few


def _insert(conn: Connection[Any], few: Sequence[Statement]) -> bool:
    """Send INSERTs in one request, all of them or none; False where one fails, which only running each can tell."""
    from psycopg import Error

    try:
        sent = connection.encoded(conn, "\n;".join(statement.text for statement in few))
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
    """Take back what a file has set for its session, in the same transaction; what it changed in the database stays."""
    conn.execute(_FRESH_SESSION)
    connection.bound(conn)
    _speak_utf8(conn)


def _speak_utf8(conn: Connection[Any]) -> None:
    """A file may set another client_encoding for itself; with SQL_ASCII psycopg would give bytes instead of text."""
    if conn.info.encoding != "utf-8":
        conn.execute("SET LOCAL client_encoding TO 'UTF8'")


class _Blocks:
    """The file's own BEGIN, COMMIT and ROLLBACK, followed with a savepoint that moves where psql would commit."""

    def __init__(self, conn: Connection[Any], statements: Sequence[Statement], *, source: str, say: Say | None) -> None:
        self._conn, self._is_open = conn, True  # as with psql -1, which sends a BEGIN of its own
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
        lines = [str(found.line) for found, kind in zip(statements, control, strict=True) if kind]
        if lines and say is not None:
            say(
                f"{source}: BEGIN, COMMIT and the like (line {', '.join(lines[:5])}) are ignored: "
                "the file is one transaction"
            )

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


def _execute(
    conn: Connection[Any], statement: Statement, *, source: str, server: Server, say: Say | None, is_dump: bool
) -> None:
    """Run one statement; where the cluster or the database keeps what it creates from an earlier load, leave that."""
    from psycopg import errors

    place = f"{source}, line {statement.line}"
    first = statement.words[:1]
    if statement.is_of_server:
        if say is not None:
            say(f"{place}: skipped, because cruddur creates and drops the database itself: {_shown(statement, 80)}")
        return
    sent = _sent(statement, conn, server, say)
    names_role = first in {("GRANT",), ("REVOKE",)} or statement.words[:3] == _PRIVILEGES
    names_role = names_role or (first == ("ALTER",) and "OWNER" in statement.words)
    if statement.words[:2] not in {*_KEPT, _NEWER} and not names_role:
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
    """Why a statement means nothing on this server, which said that an object is missing; None where it should run."""
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
    """Say of each missing role once what is skipped; a dump names its owner with every object."""
    told: set[str] = set()

    def first(text: str) -> None:
        role = re.search(r"there is no role (.*) here: ", text)
        if role is None:
            say(text)
        elif role[1] not in told:
            told.add(role[1])
            say(f"{text} (and all others that name it)")

    return first


def _tables_with_secrets(conn: Connection[Any]) -> frozenset[str]:
    """The names of the tables that have a column for secrets, without their schema."""
    found = conn.execute(
        "SELECT DISTINCT convert_to(relname::text, 'UTF8') FROM pg_catalog.pg_class AS c"
        " JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid"
        " WHERE c.relkind IN ('r', 'p', 'f', 'v') AND a.attnum > 0 AND NOT a.attisdropped"
        " AND c.relnamespace <> 'pg_catalog'::regnamespace AND a.attname ~* %s",
        [masking.SECRET_COLUMN],
    ).fetchall()
    return frozenset(bytes(name).decode() for (name,) in found)


def _copy(conn: Connection[Any], statement: Statement, text: str) -> None:
    """Run a COPY … FROM STDIN of the file ``text`` with its rows."""
    assert statement.rows is not None
    start, end = statement.rows
    with conn.cursor().copy(connection.encoded(conn, statement.text)) as copy:
        for position in range(start, end, _PIECE):
            copy.write(connection.encoded(conn, text[position : min(end, position + _PIECE)]))


def row_offset(statement: Statement, text: str, context: str | None) -> int | None:
    """Where in the file the row begins that the context of a server's error names; None where it names none.

    The server counts rows. It also counts the line ends inside of a row of CSV, once the first row has shown what a
    line end is ("COPY", File Formats; CopyReadLineText).
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
    """The error with its place: file, line, statement, caret, and what PostgreSQL adds.

    Values of a column for secrets are masked; ``secret_tables`` are the tables that have one.
    """
    from psycopg import errors

    if error.sqlstate is None or isinstance(error, errors.AdminShutdown):
        return connection.translate(error, server)

    rows = text[slice(*statement.rows)] if statement and statement.rows else ""

    def said(part: str | None) -> str:
        return masking.said_of_sql(part or "", statement.text if statement else "", rows, secret_tables)

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
        reason = said(error.diag.message_primary or str(error).strip())
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
    more = (*map(said, (error.diag.message_detail, error.diag.message_hint, error.diag.context)), refused.details)
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
    """A statement in one line, clipped, without a password that it sets."""
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

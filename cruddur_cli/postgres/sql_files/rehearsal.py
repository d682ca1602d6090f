"""Finds out what a file of SQL destroys: runs it in a transaction, and counts rows before and after."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import Refused
from .. import database
from ..connection import Server
from . import splitter

if TYPE_CHECKING:
    from psycopg import Connection

LOCK_S = 2  # how long a rehearsal waits for a lock
_MAX_SEQUENCES = 500
# Work outside of the transaction, which a rollback does not undo.
_OUTSIDE = re.compile(
    r"\b(dblink\w*|lo_import|lo_export|pg_terminate_backend|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile"
    r"|pg_file_\w+|pg_switch_wal|pg_logical_\w+|http_\w+|aws_\w+|PROGRAM)\b|\bCOPY\b.*\bTO\s+'",
    re.IGNORECASE | re.DOTALL,
)
_SYSTEM = r"n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_TABLES = f"""
    SELECT c.oid::bigint, CASE WHEN n.nspname = 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END,
        n.nspname::text, c.relname::text,
        ARRAY(SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND {_SYSTEM}
        AND has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
    ORDER BY 2
"""
# Functions in untrusted languages, other than an extension's, and foreign tables: both may act outside of the
# transaction.
_UNTRUSTED = f"""
    SELECT 'the database has functions in ' || min(l.lanname) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE NOT l.lanpltrusted AND {_SYSTEM}
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') HAVING count(*) > 0
    UNION ALL SELECT 'the database has tables of another server' FROM pg_foreign_table HAVING count(*) > 0
"""
_SEQUENCES = f"""
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), pg_has_role(c.relowner, 'USAGE')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND {_SYSTEM} LIMIT %s
"""


@dataclass(frozen=True)
class Loss:
    """One table that loses rows: how many are deleted, and how many are overwritten (``changed``).

    ``columns`` is the number of columns that the table loses.
    """

    table: str
    deleted: int
    changed: int
    columns: int = 0

    def __str__(self) -> str:
        deleted = database.rows_of(self.table, self.deleted) if self.deleted else ""
        changed = f"{database.rows_of(self.table, self.changed)} overwritten" if self.changed else ""
        columns = f" ({self.columns} {'column' if self.columns == 1 else 'columns'} dropped)" if self.columns else ""
        return ", ".join(filter(None, [deleted, changed])) + columns


class Unknown(Exception):
    """Raised by ``execute`` in a rehearsal that cannot continue; the text is the reason."""


@dataclass(frozen=True)
class Effects:
    """What a file does to the existing rows; true if it loses any.

    ``unknown`` says why this cannot be found out; then all rows count as lost. ``staying`` are the tables that exist
    before and after; empty if ``unknown``.
    """

    losses: tuple[Loss, ...] = ()
    staying: tuple[str, ...] = ()
    unknown: str = ""

    def __bool__(self) -> bool:
        return bool(self.losses)

    def __str__(self) -> str:
        counted = ", ".join(map(str, self.losses)) or "no rows"
        why = f"it is unknown in advance what the file deletes, because {self.unknown}: all rows are counted"
        return f"{counted} ({why})" if self.unknown and self.losses else counted


@dataclass(frozen=True)
class _Table:
    name: str
    schema: str
    relation: str
    columns: frozenset[int]
    rows: int


def run(
    conn: Connection[Any], server: Server, text: str, execute: Callable[[], object], *, is_production: bool = False
) -> Effects:
    """What ``execute`` destroys, which runs the file ``text`` in the transaction of ``conn``; all is rolled back.

    ``execute`` is not called if the database has no rows, or if a rollback would not undo the file. Nor is it called
    with ``is_production``, because a rehearsal locks tables. Raises what ``execute`` raises, because a file that fails
    destroys nothing. The effects are ``unknown`` if another session holds a lock, or if ``execute`` raises Unknown.
    """
    before = _tables(conn)
    filled = _filled(before)
    if not filled:
        conn.rollback()
        return Effects(staying=tuple(table.name for table in before.values()))
    why = "cruddur does not lock production to try a file" if is_production else _reason(conn, text)
    try:
        if not why:
            why = _shield_sequences(conn)
        if why:
            return Effects(tuple(Loss(table.name, table.rows, 0) for table in filled.values()), unknown=why)
        execute()
        return _compare(conn, before, filled)
    except (Refused, Unknown) as error:
        if isinstance(error, Refused) and error.code != "locked":
            raise
        why = str(error) if isinstance(error, Unknown) else "another session holds a lock on what the file changes"
        return Effects(tuple(Loss(table.name, table.rows, 0) for table in filled.values()), unknown=why)
    finally:
        if not conn.closed:
            conn.rollback()


def watch(conn: Connection[Any], execute: Callable[[], object]) -> Effects:
    """What ``execute`` has destroyed in the transaction of ``conn``, which the caller commits or rolls back.

    ``unknown`` is always empty. Raises what ``execute`` raises.
    """
    before = _tables(conn)
    execute()
    return _compare(conn, before, _filled(before))


def _filled(tables: dict[int, _Table]) -> dict[int, _Table]:
    return {oid: table for oid, table in tables.items() if table.rows and table.relation not in database.BOOKKEEPING}


def _reason(conn: Connection[Any], text: str) -> str:
    """Why a rollback would not undo the file; empty if it would."""
    for statement in splitter.split(text):
        outside = _OUTSIDE.search(statement.text)
        if outside is not None:
            word = " ".join(outside[0].split()[:1])
            return f"line {statement.line} ({word}) acts outside of the transaction"
    row = conn.execute(_UNTRUSTED.encode()).fetchone()
    return f"{row[0]}, which may act outside of the transaction" if row else ""


def _shield_sequences(conn: Connection[Any]) -> str:
    """Make sequences advance in this transaction only; the reason if that is impossible, else empty.

    nextval() is not undone by a rollback, but ALTER SEQUENCE … RESTART gives the transaction a sequence of its own
    ("ALTER SEQUENCE", Notes).
    """
    from psycopg import errors

    conn.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'".encode())
    sequences = conn.execute(_SEQUENCES.encode(), [_MAX_SEQUENCES]).fetchall()
    if not all(owned for _, owned in sequences):
        return "it may advance a sequence of another owner"
    if len(sequences) == _MAX_SEQUENCES:
        return f"there are {_MAX_SEQUENCES} sequences or more"
    try:
        for name, _ in sequences:
            row = conn.execute(f"SELECT last_value + is_called::int FROM {name}".encode()).fetchone()
            assert row is not None
            conn.execute(f"ALTER SEQUENCE {name} RESTART WITH {row[0]}".encode())
    except errors.LockNotAvailable:
        conn.rollback()
        return "another session holds a lock on a sequence"
    except errors.DataError:  # its last number is used
        conn.rollback()
        return "a sequence has reached its end"
    return ""


def _tables(conn: Connection[Any]) -> dict[int, _Table]:
    """The tables of the database by oid, each with its rows counted."""
    from psycopg import sql

    tables = {}
    for oid, name, schema, relation, columns in conn.execute(_TABLES.encode()).fetchall():
        query = sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(schema, relation))
        row = conn.execute(query).fetchone()
        tables[oid] = _Table(name, schema, relation, frozenset(columns), row[0] if row else 0)
    return tables


def _compare(conn: Connection[Any], before: dict[int, _Table], filled: dict[int, _Table]) -> Effects:
    """What the transaction has done so far to the rows that existed before it.

    A row that it has not touched has an older transaction's number in ``xmin``. So this finds every deleted or
    overwritten row, whether by the file, a cascade, a trigger, a function, TRUNCATE, or a rewriting ALTER TABLE.
    """
    from psycopg import sql

    after = {row[0]: row for row in conn.execute(_TABLES.encode()).fetchall()}
    losses = []
    for oid, table in filled.items():
        if oid not in after:
            losses.append(Loss(table.name, table.rows, 0))
            continue
        _, _, schema, relation, columns = after[oid]
        query = sql.SQL(
            "SELECT count(*) FILTER (WHERE age(t.xmin) > age(pg_current_xact_id()::xid)), count(*) FROM ONLY {} AS t"
        ).format(sql.Identifier(schema, relation))
        row = conn.execute(query).fetchone()
        assert row is not None
        untouched, total = row
        touched = max(0, table.rows - untouched)
        dropped = len(table.columns - set(columns))
        if not touched and dropped:
            touched, total = table.rows, untouched + table.rows  # every row loses a column
        deleted = max(0, touched - (total - untouched))
        if touched:
            losses.append(Loss(table.name, deleted, touched - deleted, dropped))
    staying = tuple(table.name for oid, table in before.items() if oid in after)
    return Effects(tuple(losses), staying)

"""What a file of SQL would do to rows and tables that are there, told from its text before it runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import lexer

if TYPE_CHECKING:
    from psycopg import Connection

_SHOWN = 5
# What loses no rows although it begins with a word that may: pg_dump writes many an ALTER.
_DROPS = r"\bDROP\b(?!\s+(?:CONSTRAINT|DEFAULT|NOT|EXPRESSION|IDENTITY)\b)"
_WITH_COLUMNS = r"(?:TYPE|DOMAIN|EXTENSION|COLLATION)\b.*\bCASCADE\b"
_HARMLESS = re.compile(
    rf"(?is)DROP\s+(?!TABLE|SCHEMA|OWNED|DATABASE|{_WITH_COLUMNS})|ALTER\b(?!.*{_DROPS})(?!.*\bTYPE\b.*\bUSING\b)"
)
# What reaches tables that it does not name, or that it names only when it runs.
_EVERYTHING = re.compile(
    rf"(?is)DROP\s+(?:SCHEMA|OWNED|DATABASE|{_WITH_COLUMNS})|TRUNCATE\b.*\bCASCADE\b|.*\bEXECUTE\b"
)
_MAKES = re.compile(r"(?is)CREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?!IF\s)([^\s(]+)")
# The columns that our own seeds write, and those of them that are UUIDs.
_SEEDED = {
    "users": {"uuid", "display_name", "handle", "email", "cognito_user_id"},
    "activities": {
        "uuid", "user_uuid", "message", "replies_count", "reply_to_activity_uuid", "created_at", "expires_at",
    },
}  # fmt: skip
_UUIDS = {"uuid", "user_uuid", "reply_to_activity_uuid"}
_COLUMNS = """
    SELECT a.attname::text, a.atttypid = 'uuid'::regtype, a.attnotnull AND NOT a.atthasdef AND a.attidentity = '',
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indpred IS NULL
            AND i.indkey::text = a.attnum::text)
    FROM pg_attribute a WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""


def losing(text: str) -> str:
    """The statements of a file that delete, drop or change what is there: ``line 1: DELETE, line 2: DELETE``."""
    found = [f"line {one.line}: {word}" for one in lexer.split(text) if (word := lexer.losing(one))]
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def lost(text: str, tables: Iterable[str]) -> list[str]:
    """Which of these tables a file of SQL drops, or takes rows from; all of them where it does not say which.

    What a function does that it calls is not seen.
    """
    tables, found = list(tables), set[str]()
    for statement in lexer.split(text):
        if lexer.losing(statement) is None or _HARMLESS.match(statement.text):
            continue
        if _EVERYTHING.match(statement.text):
            return tables
        found |= {table for table in tables if _names(statement.text, table)}
    return [table for table in tables if table in found]


def made(text: str, tables: Iterable[str]) -> list[str]:
    """Which of these tables a file of SQL makes, and would not if they were there."""
    found = {_folded(match[1].rpartition(".")[2]) for one in lexer.split(text) if (match := _MAKES.match(one.text))}
    return [table for table in tables if table in found]


def _names(text: str, table: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(table)}(?!\w)", text, re.IGNORECASE) is not None


def _folded(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name.lower()


def fitting(conn: Connection[Any], text: str) -> tuple[str, bool]:
    """Our own seeds without the statements that these tables cannot take, on their lines; and whether all can be taken.

    The application's own schema has another type where ours has a reply's UUID.
    """
    refused = {table for table in _SEEDED if not _fits(conn, table)}
    if not refused:
        return text, True
    statements = lexer.split(text)
    kept = ""
    for statement in statements:
        if not {word.lower() for word in statement.words[:4]} & refused:
            kept += "\n" * (statement.line - 1 - kept.count("\n")) + statement.text + ";"
    return kept, False


def _fits(conn: Connection[Any], table: str) -> bool:
    columns = {row[0]: row[1:] for row in conn.execute(_COLUMNS.encode(), [f"public.{table}"]).fetchall()}
    seeded = _SEEDED[table]
    return (
        seeded <= set(columns)
        and all(columns[name][0] for name in seeded & _UUIDS)
        and columns["uuid"][2]
        and not any(needed for name, (_, needed, _) in columns.items() if name not in seeded)
    )

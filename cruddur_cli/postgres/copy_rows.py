"""The rows that stand in a file below COPY … FROM STDIN: how they reach the server, and which one an error means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from . import connection
from .lexer import Statement

if TYPE_CHECKING:
    from psycopg import Connection

_PIECE = 1 << 20  # of characters: a large dump is not held twice
# The last line of the context, in the server's language: COPY users, line 3, column uuid: "x"
_LINE = re.compile(r"^COPY .*?, \w+ ([0-9]+)(?=[,:]|$)", re.MULTILINE)
_CSV = re.compile(r"\bcsv\b", re.IGNORECASE)
_CSV_ROW = re.compile(r'(?:[^"\n]|"[^"]*"?)*')
_ANY_LINE = re.compile(r"[^\n]*\n?")
_TEXT_ROW = re.compile(r"(?:[^\\\n]|\\.)*\n?", re.DOTALL)


def send(conn: Connection[Any], statement: Statement, text: str) -> None:
    """Run a COPY … FROM STDIN of the file ``text`` with its rows. Raises psycopg.Error."""
    assert statement.rows is not None
    start, end = statement.rows
    with conn.cursor().copy(connection.encoded(conn, statement.text)) as copy:
        for position in range(start, end, _PIECE):
            copy.write(connection.encoded(conn, text[position : min(end, position + _PIECE)]))


def offset(statement: Statement, text: str, context: str | None) -> int | None:
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

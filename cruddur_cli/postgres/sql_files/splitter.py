"""Splits a file of SQL into its statements, as psql does. Needs no server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ...errors import BadInput

# The rules are those of PostgreSQL's "Lexical Structure" and of psql's own scanner (src/fe_utils/psqlscan.l). Strings
# with standard_conforming_strings = on, as every server since 9.1 has it.
_NAME = "[A-Za-z_\x80-\U0010ffff]"
_TOKEN = re.compile(
    rf"""
      (?P<space>\s+)
    | (?P<line>--[^\n\r]*)
    | (?P<block>/\*)
    | (?P<escaped>[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*(?P<escaped_end>')?)
    | (?P<string>'[^']*'?)
    | (?P<quoted>"[^"]*"?)
    | (?P<dollar>\$(?:{_NAME}[A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<word>{_NAME}[A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<number>[0-9]+|\$[0-9]+)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<end>;)
    | (?P<backslash>\\)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# An INSERT of plain values, from behind its first word to its semicolon: the same tokens in one match, which is faster,
# because a file may contain very many of them. Each token can match in one way only, so a mismatch is found soon. An
# INSERT with a comment, a dollar, an escaped string or deep parentheses is read token by token.
_ATOM = r"""
    \s+(?!\s)
  | (?![eE]'|\s)[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*(?![A-Za-z0-9_$\x80-\U0010ffff])
  | [0-9]+(?![0-9])
  | '[^']*'
  | "[^"]*"
  | -(?!-)
  | /(?!\*)
  | [^\s'"$\\;()\-/A-Za-z0-9_\x80-\U0010ffff]
"""
_GROUP = rf"\((?:{_ATOM}|\((?:{_ATOM}|\((?:{_ATOM})*\))*\))*\)"
_INSERT = re.compile(
    rf"(?P<head>(?:\s|[.]|(?!\s){_NAME}[A-Za-z0-9_\x80-\U0010ffff]*(?![A-Za-z0-9_$\x80-\U0010ffff]))+)"
    rf"(?=\()(?:{_GROUP}|{_ATOM})*;",
    re.VERBOSE,
)
_WORD = re.compile(rf"{_NAME}[A-Za-z0-9_\x80-\U0010ffff]*")
# A string literal may continue after a line end; an escaped one stays escaped.
_CONTINUED = re.compile(r"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:\s|--[^\n\r]*[\n\r])*(?=')")
_ESCAPED_REST = re.compile(r"'[^'\\]*(?:(?:\\.|'')[^'\\]*)*(?P<end>')?", re.DOTALL)
_NESTING = re.compile(r"/\*|\*/")
_FUNCTION = re.compile(r"C(?:OR)?[FP]")
_REST_OF_LINE = re.compile(r"[^\S\n]*(?:--[^\n]*)?(?:\n|\Z)")
# psql ends the rows of a COPY here, in any format. It also ends them at the end of the file.
_END_OF_ROWS = re.compile(r"^\\\.\r?(?:\n|\Z)", re.MULTILINE)
_HINTS = {
    "\\c": "name the database in the connection URL, and leave the line out",
    "\\connect": "name the database in the connection URL, and leave the line out",
    "\\i": "load the other file with a command of its own (--file), or put its SQL here",
    "\\ir": "load the other file with a command of its own (--file), or put its SQL here",
    "\\include": "load the other file with a command of its own (--file), or put its SQL here",
    "\\copy": "write COPY … FROM STDIN; and the rows below it, then a line \\. as pg_dump does",
    "\\set": "write the value where it is used; a file stops at its first error anyway",
}
# Commands that change nothing in the database. pg_dump writes the first two around its output since August 2025; the
# others concern what psql shows.
_HARMLESS = re.compile(
    r"""\\(?:restrict|unrestrict|echo|qecho|warn|timing|pset|conninfo|[xtaqH]|d\w*\+?|l\+?|encoding\s+'?utf-?8'?
      |set\s+(?:ON_ERROR_STOP|ON_ERROR_ROLLBACK|QUIET|ECHO|VERBOSITY|AUTOCOMMIT\s+(?:on|true|1)))(?![\w+])""",
    re.VERBOSE | re.IGNORECASE,
)
_CONNECT = re.compile(r"\\c(?:onnect)?[^\S\n]+(?P<name>[^\n]*)")
# Objects of the server, not of a database: a file may create them before it connects to its database.
_OUTSIDE = {"DATABASE", "ROLE", "USER", "GROUP"}


@dataclass(frozen=True)
class Statement:
    """One statement, with the number of characters before it (``offset``) and its line, counted from 1.

    ``words`` are its first words outside of parentheses and quotes, in upper case. Of an INSERT, only the words before
    the first parenthesis are certain. ``rows`` are the offsets in the file between which the rows of a COPY … FROM
    STDIN stand. ``is_of_server`` marks a statement that creates or drops a database before the file connects to it.
    """

    text: str
    offset: int
    line: int
    words: tuple[str, ...]
    rows: tuple[int, int] | None = None
    is_of_server: bool = False


@dataclass
class _Open:
    """The statement that is being read. By ``initials`` psql's scanner recognizes a function with a body."""

    offset: int | None = None
    words: list[str] = field(default_factory=list)
    count: int = 0
    initials: str = ""
    parens: int = 0
    begins: int = 0

    def take(self, word: str) -> None:
        """Add a bare word, and count BEGIN … END in the body of a function (BEGIN ATOMIC)."""
        upper = word.upper()
        if self.count < 4:
            self.initials += upper[0] if upper in {"CREATE", "FUNCTION", "PROCEDURE", "OR", "REPLACE"} else "-"
        self.count += 1
        if self.parens:
            return
        if len(self.words) < 12 or (self.words[0] == "COPY" and upper in {"FROM", "TO", "STDIN", "STDOUT"}):
            self.words.append(upper)
        if _FUNCTION.match(self.initials):
            if upper == "BEGIN" or (upper == "CASE" and self.begins):
                self.begins += 1
            elif upper == "END" and self.begins:
                self.begins -= 1


def decode(content: bytes, *, source: str) -> str:
    """The text of a file, without a byte-order mark; Windows line ends stay. Raises BadInput with the line.

    The file is UTF-8, or UTF-16 with a byte-order mark, which PowerShell's ``>`` writes. psql would send other bytes to
    the server.
    """
    is_utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        if is_utf_16:
            raise BadInput(
                f"{source} begins as UTF-16, but byte {error.start + 1} is not.",
                hint="save the file as UTF-8",
                code="not_utf8",
            ) from error
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{source}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8.",
            hint="save the file as UTF-8",
            code="not_utf8",
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(f"{source}, line {line}: a NUL character cannot be part of SQL.", code="not_sql")
    return text


def split(text: str, *, source: str = "the text") -> Sequence[Statement]:
    """The statements of a file in order, each without the comments and blanks before it and without its semicolon.

    An unclosed quote, comment or parenthesis reaches to the end of the file, so that PostgreSQL reports it. Raises
    BadInput for a backslash command of psql, a COPY that sends rows to psql, and rows of a COPY without an end.
    """
    try:
        return _statements(text)
    except BadInput as error:
        raise BadInput(
            f"{source}, {error.message}",
            hint=error.hint, code=error.code, details=error.details, fields={"file": source, **error.fields},
        ) from error  # fmt: skip


@lru_cache(maxsize=1)
def _statements(text: str) -> Sequence[Statement]:
    """``split``, cached for the last file, because a file is examined before it runs."""
    statements: list[Statement] = []
    connects: list[tuple[int, int, str]] = []
    current, position, line, counted = _Open(), 0, 1, 0

    def close(end: int, after: int) -> int:
        """Add the statement that ends at ``end``; the offset where reading continues, behind it or its rows."""
        nonlocal current, line, counted
        if current.offset is not None:
            line += text.count("\n", counted, current.offset)
            counted = current.offset
            statement = Statement(text[current.offset : end].rstrip(), current.offset, line, tuple(current.words))
            if statement.words[:1] == ("COPY",):
                statement, after = _with_rows(statement, text, after)
            statements.append(statement)
        current = _Open()
        return after

    def take(word: str, after: int) -> int:
        """Add a bare word; the offset where reading continues, behind it or behind the INSERT that it begins."""
        current.take(word)
        plain = _INSERT.match(text, after) if current.words == ["INSERT"] and not current.parens else None
        if plain is None:
            return after
        current.words += map(str.upper, _WORD.findall(plain["head"]))
        return close(plain.end() - 1, plain.end())

    while match := _TOKEN.match(text, position):
        kind, start, position = match.lastgroup, position, match.end()
        if kind in {"space", "line"}:
            continue
        if kind == "block":
            position, closed = _after_block(text, position)
            if not closed and current.offset is None:
                current.offset = start
            continue
        if kind == "end" and not current.parens and not current.begins:
            position = close(start, position)
            continue
        if kind == "backslash":
            position = _after_command(text, start, connects, len(statements) if current.offset is None else None)
            continue
        if current.offset is None:
            current.offset = start
        if match["escaped"] is not None:
            position = _after_escaped(text, position) if match["escaped_end"] else len(text)
        elif kind == "dollar":
            end = text.find(match[0], position)
            position = len(text) if end < 0 else end + len(match[0])
        elif kind == "word":
            position = take(match[0], position)
        elif kind == "open":
            current.parens += 1
        elif kind == "close" and current.parens:
            current.parens -= 1
    close(len(text), len(text))
    return _for_one_database(text, statements, connects)


def _after_command(text: str, start: int, connects: list[tuple[int, int, str]], count: int | None) -> int:
    """The offset where the line of a psql command ends; adds a ``\\connect`` between statements to ``connects``.

    ``count`` is the number of statements so far, None inside of a statement.
    """
    connect = _CONNECT.match(text, start) if count is not None else None
    if connect is None or count is None:
        return _after_backslash(text, start)
    connects.append((count, start, connect["name"].strip(" \t\r;")))
    return connect.end()


def _for_one_database(
    text: str, statements: list[Statement], connects: Sequence[tuple[int, int, str]]
) -> Sequence[Statement]:
    """The statements; those that create or drop a database before the last ``\\connect`` are marked.

    Raises BadInput if the file connects to another database after a statement for the first.
    """
    name: str | None = None
    for count, start, to in connects:
        if to != name and any(_is_content(statement) for statement in statements[:count]):
            _after_backslash(text, start)
        name = to
    last = connects[-1][0] if connects else 0
    first = [replace(one, is_of_server=one.words[1:2] == ("DATABASE",)) for one in statements[:last]]
    return first + statements[last:]


def _is_content(statement: Statement) -> bool:
    """Whether a statement changes the connected database; settings and objects of the server do not."""
    first, second = (*statement.words, "", "")[:2]
    is_setting = first == "SET" or statement.words[:3] == ("SELECT", "PG_CATALOG", "SET_CONFIG")
    return not is_setting and not (first in {"CREATE", "DROP", "ALTER"} and second in _OUTSIDE)


def _after_block(text: str, position: int) -> tuple[int, bool]:
    """The offset behind a block comment, which may contain others; and whether the comment is closed."""
    depth = 1
    for match in _NESTING.finditer(text, position):
        depth += 1 if match[0] == "/*" else -1
        if not depth:
            return match.end(), True
    return len(text), False


def _after_escaped(text: str, position: int) -> int:
    while match := _CONTINUED.match(text, position):
        rest = _ESCAPED_REST.match(text, match.end())
        assert rest is not None
        position = rest.end()
        if not rest["end"]:
            return len(text)
    return position


def _after_backslash(text: str, start: int) -> int:
    """The offset where the line of a harmless command ends. Raises BadInput for any other command."""
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    command = re.match(r"\\(?:[^\s\\;]+|.?)", text[start:end])
    name = command[0] if command else "\\"
    if _HARMLESS.match(text, start, end):
        return end
    line = text.count("\n", 0, start) + 1
    raise BadInput(
        f"line {line}: {name} is a command of psql, but this file goes to the server directly.",
        details=f"{line} | {text[start:end].rstrip()[:120]}",
        hint=_HINTS.get(name, "leave the line out, or load the file with psql (`cruddur db connect`)"),
        code="psql_command",
        fields={"line": line},
    )


def _with_rows(statement: Statement, text: str, position: int) -> tuple[Statement, int]:
    """A COPY with its rows, if it reads any, and the offset behind them. Raises BadInput."""
    pairs = set(zip(statement.words, statement.words[1:], strict=False))
    if ("TO", "STDOUT") in pairs:
        raise _bad_copy(statement, "COPY … TO STDOUT sends rows to psql, which is not used here", "leave it out")
    if ("FROM", "STDIN") not in pairs:
        return statement, position
    rest = _REST_OF_LINE.match(text, position)
    if rest is None:  # psql would run the rest of the line after the rows
        problem = "the rows of COPY … FROM STDIN begin on the next line, and there is more on this one"
        raise _bad_copy(statement, problem, "put that below the rows")
    end = _END_OF_ROWS.search(text, rest.end())
    if end is None:  # psql loads the rows; but pg_dump always writes that line, so the dump may be incomplete
        problem = "the file ends inside of the rows of this COPY, so it seems to be incomplete"
        raise _bad_copy(statement, problem, "get the file once more, or end the rows with a line \\.")
    return replace(statement, rows=(rest.end(), end.start())), end.end()


def _bad_copy(statement: Statement, problem: str, hint: str) -> BadInput:
    return BadInput(
        f"line {statement.line}: {problem}.",
        details=f"{statement.line} | {statement.text.splitlines()[0][:120]}",
        hint=hint,
        code="copy_stdin",
        fields={"line": statement.line},
    )

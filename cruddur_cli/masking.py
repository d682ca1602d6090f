"""Owns what is never printed: finds passwords in connection strings, and masks them in texts and tracebacks.

A password may be any word, so it is looked for by its place: in a URL, behind the name of a key, in SQL that sets one.
A known secret is also masked anywhere else, unless it is a word that a sentence, a command or SQL may hold.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import quote, unquote

from .errors import CruddurError

MASK = "***"
# Words for an emulator guard nothing, and are in many messages.
_DUMMIES = {"local", "dummy", "fake", "test", "testing", "example", "cruddurlocal"}
# Names that messages hold, which are no words as _WORD has them.
_NAMES = {"PostgreSQL", "DynamoDB", "CloudFormation"}
_SECRET_KEY = r"[\w.-]*(?:password|passwd|passfile|passphrase|pwd|token|secret|access_key)[\w-]*"
_PAIR = re.compile(rf"(?i)(\b{_SECRET_KEY}\s*=\s*)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^&\s\"]+)")
# To the last @ before a space: people leave / @ # in a password as they are. The hints have an example.
_LOGIN = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)(?!user:password@)([^\s:/@]*):([^\s]*)@")
_ONE_WORD = r"(?:[A-Z]?[a-z]{1,14}|[A-Z]{1,10}|\d{1,6})"
_WORD = re.compile(rf"{_ONE_WORD}(?:[-_./ ]{_ONE_WORD})*")
# What libpq knows ("Parameter Key Words"), but for what only a server's operator sets.
_KEYS = (
    r"host|hostaddr|port|dbname|user|password|passfile|require_auth|channel_binding|connect_timeout|client_encoding"
    r"|options|application_name|fallback_application_name|keepalives\w*|tcp_user_timeout|replication|gss\w+|krbsrvname"
    r"|ssl\w+|requirepeer|min_protocol_version|max_protocol_version|service|servicefile|target_session_attrs"
    r"|load_balance_hosts|scram_\w+|oauth_\w+"
)
_URL = re.compile(
    r"(?P<scheme>(?i:postgres|postgresql|http|https))://"
    r"(?:(?P<user>[^:@/?#\[\]\s;]*)(?::(?P<password>.*?))?@)?(?P<host>[\w.,:%\[\]~-]*)"
    r"(?P<path>/[^@:?#=\s]*)?(?P<query>\?\S*)?",
    re.DOTALL,
)
# In SQL: behind PASSWORD (as ''…'' where the SQL is itself in a string), and all that follows in a statement on a role.
_SQL_LITERAL = (
    r"(?:''[^'\s][^'\n]*''|[EN]?'(?:[^'\n]|'')*'?|U&'[^'\n]*'?|\"[^\"\n]*\"?|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$))"
)
_SQL_PASSWORD = re.compile(rf"(?im)(\bPASSWORD[ \t]+){_SQL_LITERAL}")
_ROLE_LINE = re.compile(
    r"(?im)(\b(?:CREATE|ALTER)[ \t]+(?:USER|ROLE|GROUP)[ \t]+[^\s'$].*?\bPASSWORD[ \t]+)(?!NULL\b|\*\*\*).+$"
)
_ROLE = re.compile(
    r"(?is)\b(?:CREATE|ALTER)\s+(?:USER|ROLE|GROUP)\s+[^\s'$].*?(?:(?=['$])|\bPASSWORD\b(?!\s+NULL\b)\s*)"
)
_SETS_PASSWORD = re.compile(r"(?i)\b(?:PASSWORD|PASSWD|PWD)\b\s*(?:=|:=|\bTO\b)?\s*(?=['\"$]|[EN]'|U&')")
# Columns for secrets, in the syntax of Python and of PostgreSQL. A statement names them, or its table has them.
SECRET_COLUMN = r"\w*(?:password|passwd|passphrase|pwd|secret|token|api_?key|private_?key|credential)\w*"
_NAME = r'(?:"[^"]*"|[\w$])+(?:\s*\.\s*(?:"[^"]*"|[\w$])+)*'
_INSERT = re.compile(
    rf"(?is)\bINSERT\s+INTO\s+{_NAME}(?:\s+AS\s+{_NAME})?\s*\((?P<columns>[^)]*)\)"
    r"\s*(?:OVERRIDING\s+\w+\s+VALUE\s*)?(?:VALUES\s*)?"
)
_COPY = re.compile(rf"(?is)\bCOPY\s+{_NAME}\s*\((?P<columns>[^)]*)\)\s*FROM\b")
# The same without a list of columns: their values are those of all columns of the table.
_INSERT_ROWS = re.compile(
    rf"(?is)\bINSERT\s+INTO\s+(?P<table>{_NAME})(?:\s+AS\s+{_NAME})?\s*"
    r"(?=\(?\s*(?:OVERRIDING|VALUES|SELECT|WITH|TABLE)\b)(?:OVERRIDING\s+\w+\s+VALUE\s*)?(?:VALUES\s*)?"
)
_COPY_ROWS = re.compile(rf"(?is)\bCOPY\s+(?P<table>{_NAME})\s+FROM\b")
_CSV_HEADER = re.compile(r"(?is)\bCOPY\b.*\bFROM\b.*\bHEADER\b")
_SETS_COLUMN = re.compile(
    rf"(?i)\b{SECRET_COLUMN}\"?\s*(?::=|=)\s*(?=[^,;\n]*['$])"
    rf"|\([^()']*\b{SECRET_COLUMN}[^()']*\)\s*=\s*(?=[^;\n]*['$])"
)
# What a server repeats of rows: of the one that it refuses, of a key, and of the rows of a COPY.
_ROW = re.compile(r"(?s)(Failing row contains \().*(\))")
_KEY = re.compile(rf"(?i)(\bKey \([^()]*\b{SECRET_COLUMN}[^()]*\)=\().*(\))")
_COPIED = re.compile(r"(?m)^((?:CONTEXT:\s*)?COPY [^\n]*?, line \d+[^\n]*?: )\".*$")
_QUOTED = re.compile(r'"([^"]+)"?')
# In psycopg's message of a server's error: the line of the statement, cut on both sides, or what a function ran.
_ANY_SERVER_LINE = re.compile(r"(?m)^((?:LINE \d+|QUERY):\s*).*$")
_SERVER_LINE = re.compile(r"(?im)^((?:LINE \d+|QUERY):\s*).*(?:['$\"]|PASSWORD).*$")
_QUERY = re.compile(rf"\?(?:(?:{_KEYS})=[^&#\s]*(?:&|$))*")
_PAIRS = re.compile(rf"\s*(?:(?:{_KEYS})\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:[^'\s\\]|\\.)*)(?:\s+|$))+")


def is_readable(value: str) -> bool:
    """Whether a connection string can be read in one way only, so that a password in it has a known place."""
    if "://" not in value.partition("=")[0]:
        return _PAIRS.fullmatch(value) is not None
    found = _URL.fullmatch(value)
    # Without a path before it, an @ behind a ? may end the password, or be in a parameter.
    if found is None or (found["password"] and not found["path"] and "@" in (found["query"] or "")):
        return False
    if found["scheme"].lower().startswith("postgres"):
        if "/" in (found["path"] or "")[1:] or (found["query"] and not _QUERY.fullmatch(found["query"])):
            return False
    elif found["user"]:  # a service takes no login in its address, so it is a secret that went astray
        return False
    ports = re.findall(r":([^:,]*)(?=,|$)", re.sub(r"\[[^\]]*\]", "", found["host"]))
    return "[" not in re.sub(r"\[[^\]]*\]", "", found["host"]) and all(not port or port.isdecimal() for port in ports)


def connection_string(value: str) -> str:
    """A connection URL, or libpq's key=value text, with the passwords in it masked; an unreadable one masked whole."""
    if not is_readable(value):
        return MASK
    found = _URL.fullmatch(value)
    if found is None or not found["password"]:
        return _PAIR.sub(rf"\g<1>{MASK}", value)
    start, end = found.span("password")
    return value[:start] + MASK + _PAIR.sub(rf"\g<1>{MASK}", value[end:])


def text(text: str, secrets: Iterable[str] = ()) -> str:
    """A text in which each value that may be a password is masked: in URLs, behind keys, and known secrets."""
    text = _PAIR.sub(rf"\g<1>{MASK}", _LOGIN.sub(rf"\g<1>\g<2>:{MASK}@", text))
    text = _SQL_PASSWORD.sub(rf"\g<1>{MASK}", _ROLE_LINE.sub(rf"\g<1>{MASK}", text))
    for secret in sorted(secrets, key=len, reverse=True):
        before, after = (r"(?<!\w)" if secret[0].isalnum() else ""), (r"(?!\w)" if secret[-1].isalnum() else "")
        if len(secret) >= 12:  # no accident
            before = after = ""
        text = re.sub(f"{before}{re.escape(secret)}{after}", MASK, text)
    return text


def lists_no_columns(statement: str) -> bool:
    """Whether a statement of SQL inserts or copies rows without a list of columns."""
    return _INSERT_ROWS.search(statement) is not None or _COPY_ROWS.search(statement) is not None


def sql_secret(statement: str, tables: Collection[str] = ()) -> int | None:
    """The position in a statement of SQL from which on it may hold a password or another secret; None where none is.

    ``tables`` are those with a column for secrets, without their schema: only they tell it where no columns are listed.
    """
    found = [
        one.end() for one in (pattern.search(statement) for pattern in (_ROLE, _SETS_PASSWORD, _SETS_COLUMN)) if one
    ]
    return min([*found, *_secrets_inserted(statement, tables)], default=None)


def _secrets_inserted(statement: str, tables: Collection[str]) -> Iterator[int]:
    yield from (one.end() for one in _INSERT.finditer(statement) if _names_secret(one["columns"]))
    yield from (one.end() for one in _INSERT_ROWS.finditer(statement) if _is_one_of(one["table"], tables))


def rows_secret(statement: str, rows: str, tables: Collection[str] = ()) -> bool:
    """Whether the rows of a COPY … FROM STDIN hold a column for secrets: by the statement, its table or a CSV's header.

    ``tables`` are those with such a column, as ``sql_secret`` has them.
    """
    found = _COPY.search(statement)
    if found:
        return _names_secret(found["columns"])
    found = _COPY_ROWS.search(statement)
    if found and _is_one_of(found["table"], tables):
        return True
    return _CSV_HEADER.search(statement) is not None and _names_secret(rows.partition("\n")[0])


def _names_secret(columns: str) -> bool:
    return re.search(SECRET_COLUMN, columns, re.IGNORECASE) is not None


def _is_one_of(table: str, tables: Collection[str]) -> bool:
    """Whether the last part of a table's name, as a statement writes it, is one of these names."""
    name = re.findall(r'"[^"]*"|[^\s."]+', table)[-1]
    return (name[1:-1] if name.startswith('"') else name.lower()) in tables


def sql(statement: str, tables: Collection[str] = ()) -> str:
    """A statement of SQL to be shown; one that sets a password ends before it. ``tables`` as for ``sql_secret``."""
    start = sql_secret(statement, tables)
    return statement if start is None else statement[:start] + MASK


def said_of_sql(said: str, statement: str, rows: str = "", tables: Collection[str] = ()) -> str:
    """What a server says of a statement and of the rows it copies, without the parts that may be a secret.

    ``tables`` as for ``sql_secret``.
    """
    start = sql_secret(statement, tables)
    said = _KEY.sub(rf"\g<1>{MASK}\g<2>", said)
    # The context of an error in a function repeats the statement that the function ran.
    repeated = min(_secrets_inserted(said, tables), default=None)
    if repeated is not None:
        said = f'{said[:repeated]}{MASK}"'
    if rows and rows_secret(statement, rows, tables):
        shown, hidden = statement, rows
    elif start is not None:
        shown, hidden = statement[:start], statement[start:]
    else:
        return text(said)

    def mask(found: re.Match[str]) -> str:
        # The server cuts what is long, and ends it with three points.
        part = found[1].removesuffix("...")
        return f'"{MASK}"' if part not in shown and part in hidden else found[0]

    return text(_without_rows(_QUOTED.sub(mask, said)))


def _without_rows(said: str) -> str:
    return _COPIED.sub(rf'\g<1>"{MASK}"', _ROW.sub(rf"\g<1>{MASK}\g<2>", said))


def error(error: CruddurError, secrets: Iterable[str] = ()) -> CruddurError:
    """The same error with each value that may be a password masked in what a person reads of it."""
    return error.changed(
        message=text(error.message, secrets),
        details=text(error.details, secrets) if error.details else None,
        hint=text(error.hint, secrets) if error.hint else None,
    )


def secrets_of(name: str, value: str) -> Iterator[str]:
    """What a variable or a key of a file holds that is never printed, as written and as decoded."""
    if name in {"PWD", "OLDPWD"} or name.upper().endswith(("_FILE", "_DIR", "_PATH")):
        return  # folders and files, which many messages name
    if re.fullmatch(rf"(?i){_SECRET_KEY}", name):
        found = {value}
    elif "://" in value or "=" in value or "@" in value:
        found = _in_connection_string(value)
    else:
        return
    for secret in found:
        for form in {secret, unquote(secret), quote(secret, safe="")}:
            # A shorter one would blot out half of every sentence.
            if len(form) >= 4 and form not in _DUMMIES | _NAMES and not _WORD.fullmatch(form):
                yield form


def _in_connection_string(value: str) -> set[str]:
    found = {pair[2].strip("'\"") for pair in _PAIR.finditer(value)}
    if is_readable(value):
        url = _URL.fullmatch(value)
        return found | ({url["password"]} if url and url["password"] else set())
    # Any part of it may be the password.
    return found | {value, *re.split(r"[:@/?#&=\s;,|'\"]+", value)}


def debug_traceback(error: BaseException, secrets: Iterable[str]) -> str:
    """A traceback without the values of variables, and without what a parser said of a connection string."""
    chain: list[BaseException] = []
    while error not in chain:
        chain.append(error)
        following = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if following is None:
            break
        error = following
    import traceback

    parts = []
    for one in reversed(chain):
        name = type(one).__qualname__
        # psycopg repeats the connection string that it cannot read, or a part of it.
        is_parser = type(one).__module__.startswith("psycopg") and getattr(one, "sqlstate", None) is None
        hidden = is_parser and name in {"ProgrammingError", "DataError", "InterfaceError"}
        message = "(not shown: it may repeat a connection string)" if hidden else text(_without_sql(one), secrets)
        frames = "".join(traceback.format_tb(one.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{name}: {message}")
    return "\n\n".join(parts)


def _without_sql(error: BaseException) -> str:
    """What an error says, without the SQL in it that may set a password."""
    state, said = getattr(error, "sqlstate", None), str(error)
    if state is None:
        return said
    if state == "42601":  # a syntax error: what is a password cannot be told
        said = _ANY_SERVER_LINE.sub(rf"\g<1>{MASK}", said)
    if state == "42601" or state.startswith("22"):  # a value that cannot be used is quoted
        said = _QUOTED.sub(f'"{MASK}"', said)
    return _KEY.sub(rf"\g<1>{MASK}\g<2>", _without_rows(_SERVER_LINE.sub(rf"\g<1>{MASK}", said)))

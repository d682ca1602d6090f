"""Finds passwords in connection strings and SQL, and masks them in everything that is printed.

A password may be any word, so it is recognized by its place: in a URL, after a key such as ``password=``, in SQL that
sets one. A known secret is masked everywhere, unless it is a word that a sentence, a command or SQL may contain.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import quote, unquote

from .errors import CruddurError

MASK = "***"
# Names in messages that ``_WORD`` does not match.
_NAMES = {"PostgreSQL", "DynamoDB", "CloudFormation"}
_SECRET_KEY = r"[\w.-]*(?:password|passwd|passfile|passphrase|pwd|token|secret|access_key)[\w-]*"
_PAIR = re.compile(rf"(?i)(\b{_SECRET_KEY}\s*=\s*)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^&\s\"]+)")
# Reaches to the last @ before a space, because people write / @ # in a password unencoded. The hints contain
# ``user:password@`` as an example.
_LOGIN = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)(?!user:password@)([^\s:/@]*):([^\s]*)@")
_ONE_WORD = r"(?:[A-Z]?[a-z]{1,14}|[A-Z]{1,10}|\d{1,6})"
_WORD = re.compile(rf"{_ONE_WORD}(?:[-_./ ]{_ONE_WORD})*")
# The parameters of libpq ("Parameter Key Words"), without those that only a server's operator sets.
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
# In SQL: the literal after PASSWORD (''…'' inside of a string), and the rest of a statement that changes a role.
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
# The names of columns for secrets, as a regular expression of both Python and PostgreSQL.
SECRET_COLUMN = r"\w*(?:password|passwd|passphrase|pwd|secret|token|api_?key|private_?key|credential)\w*"
_NAME = r'(?:"[^"]*"|[\w$])+(?:\s*\.\s*(?:"[^"]*"|[\w$])+)*'
_INSERT = re.compile(
    rf"(?is)\bINSERT\s+INTO\s+{_NAME}(?:\s+AS\s+{_NAME})?\s*\((?P<columns>[^)]*)\)"
    r"\s*(?:OVERRIDING\s+\w+\s+VALUE\s*)?(?:VALUES\s*)?"
)
_COPY = re.compile(rf"(?is)\bCOPY\s+{_NAME}\s*\((?P<columns>[^)]*)\)\s*FROM\b")
# The same statements without a list of columns: they have values for all columns of the table.
_INSERT_ROWS = re.compile(
    rf"(?is)\bINSERT\s+INTO\s+(?P<table>{_NAME})(?:\s+AS\s+{_NAME})?\s*"
    r"(?=\(?\s*(?:OVERRIDING|VALUES|SELECT|WITH|TABLE)\b)(?:OVERRIDING\s+\w+\s+VALUE\s*)?(?:VALUES\s*)?"
)
_COPY_ROWS = re.compile(rf"(?is)\bCOPY\s+(?P<table>{_NAME})\s+FROM\b")
# A MERGE has its values in a source before the names of their columns, and may have them in a WITH before it.
_MERGE = re.compile(rf"(?is)\bMERGE\s+INTO\s+(?:ONLY\s+)?(?P<table>{_NAME})")
_WITH = re.compile(r"(?i)\s*WITH\b")
_MERGED_ROWS = re.compile(r"(?is)\bINSERT\s+(?:OVERRIDING\s+\w+\s+VALUE\s+)?VALUES\b")
_CSV_HEADER = re.compile(r"(?is)\bCOPY\b.*\bFROM\b.*\bHEADER\b")
_SETS_COLUMN = re.compile(
    rf"(?i)\b{SECRET_COLUMN}\"?\s*(?::=|=)\s*(?=[^,;\n]*['$])"
    rf"|\([^()']*\b{SECRET_COLUMN}[^()']*\)\s*=\s*(?=[^;\n]*['$])"
)
# Values in a server's message: of the row that it refuses, of a key, and of a row of a COPY.
_ROW = re.compile(r"(?s)(Failing row contains \().*(\))")
_KEY = re.compile(rf"(?i)(\bKey \([^()]*\b{SECRET_COLUMN}[^()]*\)=\().*(\))")
_COPIED = re.compile(r"(?m)^((?:CONTEXT:\s*)?COPY [^\n]*?, line \d+[^\n]*?: )\".*$")
_QUOTED = re.compile(r'"([^"]+)"?')
# Lines in psycopg's message of a server's error: a line of the statement, cut on both sides, or a function's query.
_ANY_SERVER_LINE = re.compile(r"(?m)^((?:LINE \d+|QUERY):\s*).*$")
_SERVER_LINE = re.compile(r"(?im)^((?:LINE \d+|QUERY):\s*).*(?:['$\"]|PASSWORD).*$")
_QUERY = re.compile(rf"\?(?:(?:{_KEYS})=[^&#\s]*(?:&|$))*")
_PAIRS = re.compile(rf"\s*(?:(?:{_KEYS})\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:[^'\s\\]|\\.)*)(?:\s+|$))+")


def is_readable(value: str) -> bool:
    """Whether a connection string can be read in one way only, so that the place of its password is certain."""
    if "://" not in value.partition("=")[0]:
        return _PAIRS.fullmatch(value) is not None
    url = _URL.fullmatch(value)
    # Without a path, an @ after a ? may end the password or belong to a parameter.
    if url is None or (url["password"] and not url["path"] and "@" in (url["query"] or "")):
        return False
    if url["scheme"].lower().startswith("postgres"):
        if "/" in (url["path"] or "")[1:] or (url["query"] and not _QUERY.fullmatch(url["query"])):
            return False
    elif url["user"]:  # an http address of a service has no login, so this may be a secret in the wrong place
        return False
    ports = re.findall(r":([^:,]*)(?=,|$)", re.sub(r"\[[^\]]*\]", "", url["host"]))
    return "[" not in re.sub(r"\[[^\]]*\]", "", url["host"]) and all(not port or port.isdecimal() for port in ports)


def connection_string(value: str) -> str:
    """A connection URL or libpq key=value string with its passwords masked; an unreadable one is masked whole."""
    if not is_readable(value):
        return MASK
    url = _URL.fullmatch(value)
    if url is None or not url["password"]:
        return _PAIR.sub(rf"\g<1>{MASK}", value)
    start, end = url.span("password")
    return value[:start] + MASK + _PAIR.sub(rf"\g<1>{MASK}", value[end:])


def text(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with everything masked that may be a password: in URLs, after keys, in SQL, and known ``secrets``."""
    text = _PAIR.sub(rf"\g<1>{MASK}", _LOGIN.sub(rf"\g<1>\g<2>:{MASK}@", text))
    text = _SQL_PASSWORD.sub(rf"\g<1>{MASK}", _ROLE_LINE.sub(rf"\g<1>{MASK}", text))
    for secret in sorted(secrets, key=len, reverse=True):
        before, after = (r"(?<!\w)" if secret[0].isalnum() else ""), (r"(?!\w)" if secret[-1].isalnum() else "")
        if len(secret) >= 12:  # too long to be part of another word
            before = after = ""
        text = re.sub(f"{before}{re.escape(secret)}{after}", MASK, text)
    return text


def lists_no_columns(statement: str) -> bool:
    """Whether a statement of SQL inserts, merges or copies rows without a list of columns."""
    if _MERGE.search(statement) and _MERGED_ROWS.search(statement):
        return True
    return _INSERT_ROWS.search(statement) is not None or _COPY_ROWS.search(statement) is not None


def sql_secret(statement: str, tables: Collection[str] = ()) -> int | None:
    """The offset from which a statement of SQL may contain a secret; None if it contains none.

    ``tables`` are the names, without their schema, of the tables with a column for secrets. They decide for a
    statement that lists no columns.
    """
    offsets = [
        one.end() for one in (pattern.search(statement) for pattern in (_ROLE, _SETS_PASSWORD, _SETS_COLUMN)) if one
    ]
    return min([*offsets, *_secrets_inserted(statement, tables)], default=None)


def _secrets_inserted(statement: str, tables: Collection[str]) -> Iterator[int]:
    yield from (one.end() for one in _INSERT.finditer(statement) if _names_secret(one["columns"]))
    yield from (one.end() for one in _INSERT_ROWS.finditer(statement) if _is_one_of(one["table"], tables))
    merge = _MERGE.search(statement)
    if merge is not None:
        before = _WITH.match(statement)
        start = before.end() if before else merge.end()
        is_secret_table = _is_one_of(merge["table"], tables) and _MERGED_ROWS.search(statement) is not None
        if is_secret_table or _names_secret(statement[start:]):
            yield start


def rows_secret(statement: str, rows: str, tables: Collection[str] = ()) -> bool:
    """Whether the rows of a COPY … FROM STDIN have a column for secrets, by the statement, its table or a CSV header.

    ``tables`` as for ``sql_secret``.
    """
    copy = _COPY.search(statement)
    if copy:
        return _names_secret(copy["columns"])
    copy = _COPY_ROWS.search(statement)
    if copy and _is_one_of(copy["table"], tables):
        return True
    return _CSV_HEADER.search(statement) is not None and _names_secret(rows.partition("\n")[0])


def _names_secret(columns: str) -> bool:
    return re.search(SECRET_COLUMN, columns, re.IGNORECASE) is not None


def _is_one_of(table: str, tables: Collection[str]) -> bool:
    """Whether the last part of a table's name, as a statement writes it, is in ``tables``."""
    name = re.findall(r'"[^"]*"|[^\s."]+', table)[-1]
    return (name[1:-1] if name.startswith('"') else name.lower()) in tables


def sql(statement: str, tables: Collection[str] = ()) -> str:
    """A statement of SQL with everything masked from a possible secret on. ``tables`` as for ``sql_secret``."""
    start = sql_secret(statement, tables)
    return statement if start is None else statement[:start] + MASK


def server_message(message: str, statement: str, rows: str = "", tables: Collection[str] = ()) -> str:
    """A server's message about a statement and the rows that it copies, with possible secrets masked.

    ``tables`` as for ``sql_secret``.
    """
    start = sql_secret(statement, tables)
    message = _KEY.sub(rf"\g<1>{MASK}\g<2>", message)
    # The context of an error in a function repeats the statement that the function ran.
    inserted = min(_secrets_inserted(message, tables), default=None)
    if inserted is not None:
        message = f'{message[:inserted]}{MASK}"'
    if rows and rows_secret(statement, rows, tables):
        shown, hidden = statement, rows
    elif start is not None:
        shown, hidden = statement[:start], statement[start:]
    else:
        return text(message)

    def mask(quoted: re.Match[str]) -> str:
        # The server truncates a long value, and ends it with three points.
        part = quoted[1].removesuffix("...")
        return f'"{MASK}"' if part not in shown and part in hidden else quoted[0]

    return text(_without_rows(_QUOTED.sub(mask, message)))


def _without_rows(message: str) -> str:
    return _COPIED.sub(rf'\g<1>"{MASK}"', _ROW.sub(rf"\g<1>{MASK}\g<2>", message))


def error(error: CruddurError, secrets: Iterable[str] = ()) -> CruddurError:
    """The same error with possible passwords masked in its message, details and hint."""
    return error.changed(
        message=text(error.message, secrets),
        details=text(error.details, secrets) if error.details else None,
        hint=text(error.hint, secrets) if error.hint else None,
    )


def secrets_of(name: str, value: str) -> Iterator[str]:
    """The secrets in the value of a variable or of a key in a file: as written, percent-decoded and -encoded."""
    if name in {"PWD", "OLDPWD"} or name.upper().endswith(("_FILE", "_DIR", "_PATH")):
        return  # folders and files, which many messages name
    if re.fullmatch(rf"(?i){_SECRET_KEY}", name):
        secrets = {value}
    elif "://" in value or "=" in value or "@" in value:
        secrets = _in_connection_string(value)
    else:
        return
    for secret in secrets:
        for form in {secret, unquote(secret), quote(secret, safe="")}:
            # A shorter secret would mask parts of ordinary sentences.
            if len(form) >= 4 and form not in _NAMES and not _WORD.fullmatch(form):
                yield form


def _in_connection_string(value: str) -> set[str]:
    secrets = {pair[2].strip("'\"") for pair in _PAIR.finditer(value)}
    if is_readable(value):
        url = _URL.fullmatch(value)
        return secrets | ({url["password"]} if url and url["password"] else set())
    # Any part of an unreadable text may be the password.
    return secrets | {value, *re.split(r"[:@/?#&=\s;,|'\"]+", value)}


def debug_traceback(error: BaseException, secrets: Iterable[str]) -> str:
    """A traceback without the values of variables, and without a parser's message about a connection string."""
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
    """The message of an error, without SQL that may set a password."""
    state, message = getattr(error, "sqlstate", None), str(error)
    if state is None:
        return message
    if state == "42601":  # a syntax error: the place of a password is unknown
        message = _ANY_SERVER_LINE.sub(rf"\g<1>{MASK}", message)
    if state == "42601" or state.startswith("22"):  # the message quotes a value that cannot be used
        message = _QUOTED.sub(f'"{MASK}"', message)
    return _KEY.sub(rf"\g<1>{MASK}\g<2>", _without_rows(_SERVER_LINE.sub(rf"\g<1>{MASK}", message)))

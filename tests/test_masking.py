"""Everything that may be a password is masked, and words that only look like one are not."""

from __future__ import annotations

import psycopg
import pytest

from cruddur_cli import masking
from cruddur_cli.errors import CruddurError
from cruddur_cli.settings import secrets

WORDS = ["password", "cruddur", "postgres", "local", "table", "changes", "users", "cruddur-messages", "8000", "SELECT"]


@pytest.mark.parametrize(
    "password", ["plain-secret", "!@/%#: with space", "12/34", "a@b@c", "p%40ss", "what?x=1", "/cruddur@%", "co:lon"]
)
def test_no_password_is_left_in_a_masked_url(password: str) -> None:
    masked = masking.connection_string(f"postgresql://cruddurroot:{password}@db.example:5432/cruddur?sslmode=require")
    assert masked == "postgresql://cruddurroot:***@db.example:5432/cruddur?sslmode=require"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p1@h?application_name=a@b",  # the password may be all of p1@h?application_name=a
        "postgresql://u:p1@h/a/b",
        "postgresql://u:p1@h//d",
        "postgresql://u:p1@h/d?word=x",
        "postgresql://h/d?word=x",
        "POSTGRES://h/a/b",
        "http://p1@h:8000",
        "https://p1:x@h/path",
        "postgresql://u:p1@[::1/d",
        "postgresql://u:p1@h:54a/d",
        "postgresql://h:1,h:2x/d",
        "mysql://u:p1@h/d",
        "host=h password=p1 word=x",
        "p1",
    ],
)
def test_an_address_that_can_be_read_in_two_ways_is_masked_whole(url: str) -> None:
    assert not masking.is_readable(url)
    assert masking.connection_string(url) == "***"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p1@h/d?application_name=a@b", "postgresql://u:***@h/d?application_name=a@b"),
        ("postgresql://u@h?application_name=a@b", "postgresql://u@h?application_name=a@b"),
        ("postgresql://u:p1@h?sslmode=require", "postgresql://u:***@h?sslmode=require"),
        ("postgresql://u:p1@h:/d", "postgresql://u:***@h:/d"),
        ("postgresql://u:p1@[::1]:5432,h:1/d", "postgresql://u:***@[::1]:5432,h:1/d"),
        ("http://h:8000/a/b?word=x", "http://h:8000/a/b?word=x"),
    ],
)
def test_an_address_that_can_be_read_in_one_way_loses_its_password_only(url: str, shown: str) -> None:
    assert masking.connection_string(url) == shown


def test_what_is_no_secret_stays_readable() -> None:
    for url in (
        "http://localhost:8000",
        "https://vpce-1.example/path/below",
        "postgresql://me@h/d",
        "postgresql://h:5432/d",
        "postgresql:///d?host=/tmp",
        "postgresql://me@[::1]:5432/d?application_name=a@b",
        "postgresql://h1:1,h2:2/d",
        "host=h user=me",
    ):
        assert masking.connection_string(url) == url
    assert masking.connection_string("postgresql://h/d?user=me&password=hidden1&sslmode=require") == (
        "postgresql://h/d?user=me&password=***&sslmode=require"
    )
    assert masking.connection_string("host=h password='two words' dbname=d") == "host=h password=*** dbname=d"


@pytest.mark.parametrize("word", WORDS)
def test_a_password_that_is_a_word_masks_no_sentence_no_hint_and_no_sql(word: str) -> None:
    environ = {"CONNECTION_URL": f"postgresql://me:{word}@localhost/cruddur", "PGPASSWORD": word}
    for text in (
        f"There is no {word!r} in the table cruddur-messages; check the password, then run cruddur db drop {word}.",
        f"SELECT {word} FROM users WHERE {word} = 'x' -- {word}",
        "export PROD_CONNECTION_URL=postgresql://user:password@host:5432/cruddur",
        f"http://localhost:8000/{word}",
    ):
        if word != "password" or "=" not in text:
            assert masking.text(text, secrets(environ)) == text
    assert masking.text(f"see postgresql://me:{word}@localhost/cruddur now", secrets(environ)) == (
        "see postgresql://me:***@localhost/cruddur now"
    )
    assert masking.text(f"PGPASSWORD={word} host=h", secrets(environ)) == "PGPASSWORD=*** host=h"


@pytest.mark.parametrize(
    "secret", ["hunter2", "S3cret!", "wJalrXUtnFEMI", "AKIAIOSFODNN7EXAMPLE", "pa ss/w0rd", "a%20b!"]
)
def test_a_secret_that_is_no_word_is_masked_everywhere(secret: str) -> None:
    environ = {"CONNECTION_URL": f"postgresql://me:{secret}@localhost/cruddur", "AWS_SECRET_ACCESS_KEY": secret}
    assert masking.text(f"it said: {secret}, and ended", secrets(environ)) == "it said: ***, and ended"
    if len(secret) < 12 and secret[0].isalnum() and secret[-1].isalnum():
        assert masking.text(f"x{secret}y", secrets(environ)) == f"x{secret}y"


def test_the_working_folder_and_other_paths_are_no_secrets() -> None:
    environ = {
        "PWD": "/home/m3/x1",
        "OLDPWD": "/home/m3",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/t0ken",
        "DB_PWD": "s3cret",
    }
    assert masking.text("/home/m3/x1 /home/m3 /var/run/t0ken s3cret", secrets(environ)) == (
        "/home/m3/x1 /home/m3 /var/run/t0ken ***"
    )


def test_a_dummy_is_no_secret() -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": "cruddurlocal", "AWS_ACCESS_KEY_ID": "local"}
    assert secrets(environ) == ()


def test_a_traceback_shows_no_message_of_a_parser_of_connection_strings() -> None:
    from psycopg.conninfo import conninfo_to_dict

    url = "postgresql:/u:{}@h/d".format("Hidden1")  # a traceback shows lines of source
    try:
        try:
            conninfo_to_dict(url)
        except Exception as error:
            raise ValueError("cannot read it") from error
    except ValueError as error:
        shown = masking.debug_traceback(error, ())
    assert "Hidden1" not in shown
    assert shown.count("Traceback (most recent call last)") == 2
    assert shown.endswith("ValueError: cannot read it")


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("CREATE USER x PASSWORD 'hidden' VALID UNTIL 'never'", "CREATE USER x PASSWORD ***"),
        ("alter role x with encrypted password E'hid\\'den;' login", "alter role x with encrypted password ***"),
        ("CREATE ROLE x PASWORD 'hidden'", "CREATE ROLE x PASWORD ***"),
        ("ALTER USER x PASSWORD hidden", "ALTER USER x PASSWORD ***"),
        ("ALTER USER x PASSWORD $a$hidden$a$", "ALTER USER x PASSWORD ***"),
        (
            "CREATE USER MAPPING FOR x SERVER s OPTIONS (user 'hidden')",
            "CREATE USER MAPPING FOR x SERVER s OPTIONS (user ***",
        ),
        (
            "DO $$BEGIN EXECUTE 'ALTER ROLE x PASSWORD ' || 'hidden'; END$$",
            "DO $$BEGIN EXECUTE 'ALTER ROLE x PASSWORD ***",
        ),
        ("CREATE SERVER s OPTIONS (password 'hidden')", "CREATE SERVER s OPTIONS (password ***"),
        ("SELECT 1 FROM users WHERE password = 'hidden'", "SELECT 1 FROM users WHERE password = ***"),
        (
            "INSERT INTO users (handle, password) VALUES ('x', 'hidden')",
            "INSERT INTO users (handle, password) VALUES ***",
        ),
        ('insert into "a".u AS b("API_Key")values(1)', 'insert into "a".u AS b("API_Key")values***'),
        ("INSERT INTO t (auth_token) SELECT 'hidden'", "INSERT INTO t (auth_token) ***"),
        (
            "INSERT INTO t (a, password_hash) OVERRIDING SYSTEM VALUE VALUES (1, 'hidden')",
            "INSERT INTO t (a, password_hash) OVERRIDING SYSTEM VALUE VALUES ***",
        ),
        (
            "UPDATE users SET a = 1, password_digest = crypt('hidden', x)",
            "UPDATE users SET a = 1, password_digest = ***",
        ),
        ('UPDATE users SET "clientSecret" = $$hidden$$', 'UPDATE users SET "clientSecret" = ***'),
        ("UPDATE users SET (a, token) = ('x', 'hidden')", "UPDATE users SET (a, token) = ***"),
        (
            "WITH x AS (INSERT INTO t (secret) VALUES ('hidden')) SELECT 1",
            "WITH x AS (INSERT INTO t (secret) VALUES ***",
        ),
        (
            "MERGE INTO ONLY u USING (VALUES ('x', 'hidden')) AS s(h, password) ON true WHEN MATCHED THEN DO NOTHING",
            "MERGE INTO ONLY u***",
        ),
        (
            "merge into a.u USING t ON true WHEN NOT MATCHED THEN INSERT (h, token) VALUES ('x', 'hidden')",
            "merge into a.u***",
        ),
        (
            "WITH s(h, token) AS (VALUES ('x', 'hidden')) MERGE INTO u USING s ON true WHEN MATCHED THEN DELETE",
            "WITH***",
        ),
    ],
)
def test_a_statement_is_masked_from_its_password_on(statement: str, shown: str) -> None:
    assert masking.sql(statement) == shown


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (password text DEFAULT 'x', password_hash text)",
        "ALTER ROLE x PASSWORD NULL",
        "CREATE USER x IN GROUP y",
        "SET password_encryption TO 'md5'",
        "INSERT INTO users (handle) VALUES ('create user')",
        "COMMENT ON COLUMN t.password IS 'a hash'",
        "INSERT INTO users (handle, email) VALUES ('token', 'a secret')",
        "COPY users (handle, password) FROM STDIN",
        "UPDATE users SET handle = 'x' WHERE token IS NULL",
        "MERGE INTO users USING t ON true WHEN NOT MATCHED THEN INSERT (handle, email) VALUES ('x', 'y')",
        "WITH t(a) AS (VALUES (1)) MERGE INTO users USING t ON true WHEN MATCHED THEN UPDATE SET bio = 'x'",
    ],
)
def test_a_statement_that_sets_no_password_stays_whole(statement: str) -> None:
    assert masking.sql(statement) == statement
    assert masking.sql_secret(statement) is None
    assert masking.text(statement) == statement


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("LINE 1: ...USER x PASSWORD 'hidden' BOGUS", "LINE 1: ...USER x PASSWORD *** BOGUS"),
        ("ROLE x PASSWORD 'hid''den' BOGUS", "ROLE x PASSWORD *** BOGUS"),
        ("it ran EXECUTE 'x PASSWORD ''hidden'' LOGIN'", "it ran EXECUTE 'x PASSWORD *** LOGIN'"),
        ("...with password 'hidden...", "...with password ***"),
        ("next: create user x password hidden\nthen", "next: create user x password ***\nthen"),
    ],
)
def test_a_password_in_sql_is_masked_in_a_text(text: str, shown: str) -> None:
    assert masking.text(text) == shown
    assert masking.text(shown) == shown


@pytest.mark.parametrize(
    "sentence",
    [
        'password authentication failed for user "hidden"',
        "check the user and password in the connection URL (`cruddur config`)",
        "CREATE ROLE and CREATE USER leave 'x' as it is",
        "The password of 'me' is not known.",
        'column "password" of relation "users" does not exist',
    ],
)
def test_a_sentence_about_passwords_stays_whole(sentence: str) -> None:
    assert masking.text(sentence) == sentence


def test_a_servers_message_repeats_no_password_of_a_statement() -> None:
    statement = "CREATE USER x PASSWORD cruddur, x"
    assert masking.server_message('syntax error at or near "cruddur"', statement) == 'syntax error at or near "***"'
    assert masking.server_message('role "x" is there', statement) == 'role "x" is there'
    assert masking.server_message('role "cruddur" is there', "SELECT 'cruddur'") == 'role "cruddur" is there'


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("INSERT INTO logins VALUES (1, 'x')", "INSERT INTO logins VALUES ***"),
        ('INSERT INTO public."Logins" SELECT 1', 'INSERT INTO public."Logins" ***'),
        (
            "INSERT INTO a.LOGINS OVERRIDING USER VALUE VALUES (1)",
            "INSERT INTO a.LOGINS OVERRIDING USER VALUE VALUES ***",
        ),
        ("INSERT INTO logins (SELECT 'x')", "INSERT INTO logins ***"),
        ("INSERT INTO logins (id) VALUES (1)", None),
        ("INSERT INTO other VALUES (1)", None),
        ('INSERT INTO "LOGINS" VALUES (1)', None),
        ("INSERT INTO logins DEFAULT VALUES", None),
        ("MERGE INTO logins USING t ON true WHEN NOT MATCHED THEN INSERT VALUES (1, 'x')", "MERGE INTO logins***"),
        ("MERGE INTO other USING t ON true WHEN NOT MATCHED THEN INSERT VALUES (1, 'x')", None),
        ("MERGE INTO logins USING t ON true WHEN NOT MATCHED THEN INSERT (id) VALUES (1)", None),
    ],
)
def test_without_a_list_of_columns_the_table_decides_what_is_secret(statement: str, shown: str | None) -> None:
    assert masking.sql(statement, {"logins", "Logins"}) == (shown or statement)
    assert masking.sql(statement) == statement


ROWS = "bob\thidden1\nliz\thidden2\n"


def test_a_servers_message_repeats_no_secret_of_rows() -> None:
    copy, other = "COPY users (handle, password) FROM STDIN", "COPY users (handle, email) FROM STDIN"
    for said, shown in (
        ('COPY users, line 2: "liz\thidden2"', 'COPY users, line 2: "***"'),
        ('COPY users, line 2, column password: "hidden2"', 'COPY users, line 2, column password: "***"'),
        ('invalid input syntax for type uuid: "hidden2"', 'invalid input syntax for type uuid: "***"'),
        ("Failing row contains (1, (liz), hidden2).", "Failing row contains (***)."),
        ('null value in column "handle" of relation "users"', 'null value in column "handle" of relation "users"'),
    ):
        assert masking.server_message(said, copy, ROWS) == shown
        assert masking.server_message(said, other, ROWS) == said
    said = "Key (handle, api_token)=(liz, hidden2) already exists."
    assert masking.server_message(said, "SELECT 1") == "Key (handle, api_token)=(***) already exists."
    unique = "Key (handle)=(liz) already exists."
    assert masking.server_message(unique, copy, ROWS) == unique


@pytest.mark.parametrize(
    ("statement", "first", "is_secret"),
    [
        ("COPY users (handle, password) FROM STDIN", "", True),
        ('copy "a b"."c" ("Token") from stdin', "", True),
        ("COPY users (handle) FROM STDIN WITH (FORMAT csv, HEADER)", "password", False),
        ("COPY users FROM STDIN WITH (FORMAT csv, HEADER)", "handle,password", True),
        ("COPY users FROM STDIN WITH (FORMAT csv, HEADER)", "handle,email", False),
        ("COPY users FROM STDIN", "handle,password", False),
    ],
)
def test_rows_are_secret_where_a_column_is(statement: str, first: str, is_secret: bool) -> None:
    assert masking.rows_secret(statement, f"{first}\nx\ty\n") is is_secret


def test_rows_of_a_copy_without_a_list_of_columns_are_secret_where_the_table_is() -> None:
    assert masking.rows_secret("COPY public.logins FROM STDIN", "1\tx\n", {"logins"})
    assert not masking.rows_secret("COPY public.others FROM STDIN", "1\tx\n", {"logins"})
    assert not masking.rows_secret("COPY logins (id) FROM STDIN", "1\n", {"logins"})
    said = 'COPY logins, line 2, column id: "liz"'
    assert masking.server_message(said, "COPY logins FROM STDIN", ROWS, {"logins"}) == (
        'COPY logins, line 2, column id: "***"'
    )


def test_a_secret_of_twelve_characters_is_masked_inside_of_a_word() -> None:
    assert masking.text("xS3cr3t-value1y", ["S3cr3t-value"]) == "x***1y"
    assert masking.text("xS3cr3t-valuy", ["S3cr3t-valu"]) == "xS3cr3t-valuy"


def test_the_longest_of_two_secrets_is_masked_whole() -> None:
    for secrets_ in (["abc1!", "abc1!-def2"], ["abc1!-def2", "abc1!"]):
        assert masking.text("it is abc1!-def2", secrets_) == "it is ***"


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("!abc1", "x!abc1 y", "x*** y"),
        ("a!bc1", "xa!bc1 y", "xa!bc1 y"),
        ("abc1!", "x abc1!y", "x ***y"),
        ("abc!1", "x abc!1y", "x abc!1y"),
        ("abc!1", "x abc!1, y", "x ***, y"),
    ],
)
def test_a_short_secret_is_no_part_of_a_word(secret: str, text: str, shown: str) -> None:
    assert masking.text(text, [secret]) == shown


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("PGPASSWORD", "a1b2", {"a1b2"}),
        ("PGPASSWORD", "a1b", set()),
        ("PGPASSWORD", "PostgreSQL", set()),
        ("PGPASSWORD", "cruddurlocal", set()),
        ("PGPASSWORD", "a b!", {"a b!", "a%20b%21"}),
        ("HARMLESS", "a1b2c3", set()),
        ("DSN", "host=h password='a1 b2' dbname=d", {"a1 b2", "a1%20b2"}),
        ("DSN", "host=h password=a1b2! dbname=d", {"a1b2!", "a1b2%21"}),
        ("URL", "postgresql://u:a1b2@h/d", {"a1b2"}),
        ("URL", "postgresql://u@h1x2/d", set()),
        ("URL", "http://h1x2:8000", set()),
        (
            "URL",
            "postgresql://u:a1b2!h/d",
            {"postgresql://u:a1b2!h/d", "postgresql%3A%2F%2Fu%3Aa1b2%21h%2Fd", "a1b2!h", "a1b2%21h"},
        ),
        ("LOGIN", "u:a1b2@h", {"u:a1b2@h", "u%3Aa1b2%40h", "a1b2"}),
        ("OPTIONS", "x=a1b2", {"x=a1b2", "x%3Da1b2", "a1b2"}),
        ("SECRET_PATH", "a1b2c3", set()),
    ],
)
def test_the_secrets_in_a_variable(name: str, value: str, found: set[str]) -> None:
    assert set(masking.secrets_of(name, value)) == found


def test_an_error_keeps_what_it_says_and_loses_its_secrets() -> None:
    bare = masking.error(CruddurError("it is abc1!"), ["abc1!"])
    assert (bare.message, bare.details, bare.hint) == ("it is ***", None, None)
    whole = masking.error(CruddurError("m", details="d abc1!", hint="h abc1!"), ["abc1!"])
    assert (whole.details, whole.hint) == ("d ***", "h ***")


@pytest.mark.parametrize(
    ("statement", "lists_none"),
    [
        ("INSERT INTO t VALUES (1)", True),
        ("COPY t FROM STDIN", True),
        ("MERGE INTO t USING s ON true WHEN NOT MATCHED THEN INSERT VALUES (1)", True),
        ("MERGE INTO t USING s ON true WHEN NOT MATCHED THEN INSERT (a) VALUES (1)", False),
        ("INSERT INTO t (a) VALUES (1)", False),
        ("COPY t (a) FROM STDIN", False),
        ("SELECT 1", False),
    ],
)
def test_which_statements_list_no_columns(statement: str, lists_none: bool) -> None:
    assert masking.lists_no_columns(statement) is lists_none


def _shown(error: Exception) -> str:
    with pytest.raises(type(error)) as caught:
        raise error
    return masking.debug_traceback(caught.value, ()).rpartition("\n")[2]


def test_only_a_parser_of_connection_strings_is_not_quoted() -> None:
    hidden = "(not shown: it may repeat a connection string)"
    assert _shown(psycopg.ProgrammingError("it repeats it")) == f"ProgrammingError: {hidden}"
    assert _shown(psycopg.DataError("it repeats it")) == f"DataError: {hidden}"
    assert _shown(psycopg.OperationalError("no answer")) == "OperationalError: no answer"
    assert _shown(psycopg.errors.UndefinedTable("no table")) == "UndefinedTable: no table"
    assert _shown(type("ProgrammingError", (Exception,), {})("of another library")).endswith("of another library")


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("42601", 'at or near "***"\nLINE 1: ***'),
        ("22P02", 'at or near "***"\nLINE 1: SELECT a1b2'),
        ("42703", 'at or near "a1b2"\nLINE 1: SELECT a1b2'),
        (None, 'at or near "a1b2"\nLINE 1: SELECT a1b2'),
    ],
)
def test_what_a_traceback_repeats_of_a_statement(state: str | None, shown: str) -> None:
    error = type("Said", (Exception,), {"sqlstate": state})('at or near "a1b2"\nLINE 1: SELECT a1b2')
    assert masking.debug_traceback(error, ()).partition("Said: ")[2] == shown


def test_the_causes_of_an_error_are_shown_before_it_unless_they_are_suppressed() -> None:
    def shown(*, cause: bool, suppressed: bool) -> list[str]:
        error, first = ValueError("second"), KeyError("first")
        error.__context__ = first
        if cause:
            error.__cause__ = first
        error.__suppress_context__ = suppressed
        return [part.rpartition("\n")[2] for part in masking.debug_traceback(error, ()).split("\n\n")]

    both = ["KeyError: 'first'", "ValueError: second"]
    assert shown(cause=True, suppressed=True) == both
    assert shown(cause=False, suppressed=False) == both
    assert shown(cause=False, suppressed=True) == ["ValueError: second"]

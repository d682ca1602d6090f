"""How a file of SQL is split into statements, and which files are refused before anything is sent."""

from __future__ import annotations

import random
import time

import pytest

from cruddur_cli.errors import BadInput
from cruddur_cli.postgres.sql_files import splitter

ONE_STATEMENT = {
    "quotes": "SELECT ';', 'it''s;', \"a;\"\"b\"",
    "an escaped quote": r"SELECT E'it\'s; \\', e'\\;'",
    "a backslash in a plain string": r"SELECT '\', ';'",
    "a string that goes on below": "SELECT E'a'  -- so;\n  'b\\'; c'",
    "a name that ends in e": "SELECT true::name';\\'",
    "dollars": "DO $$ BEGIN; END; $$",
    "tagged dollars": "SELECT $a$ ; $b$ ; $$ ; $a$",
    "dollars in a name": "SELECT a$b$, ';$b$'",
    "parameters": "SELECT $1, ';', $2",
    "line comments": "SELECT 1 -- ; ' $$ /*\n + 1",
    "nested comments": "SELECT /* ; /* ; */ ' ; */ 1",
    "an operator before a comment": "SELECT 1 +-- ;\n 2",
    "parentheses": "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)",
    "a body": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 ELSE 2 END; END",
    "a body of a procedure": "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; SELECT 2; END",
    "other scripts": "SELECT 'ü;', \"名;\", $ä$ ; $ä$",
}


@pytest.mark.parametrize("text", ONE_STATEMENT.values(), ids=ONE_STATEMENT)
def test_a_semicolon_inside_of_a_statement_does_not_end_it(text: str) -> None:
    assert [found.text for found in splitter.split(f"{text};\n SELECT 2")] == [text, "SELECT 2"]


@pytest.mark.parametrize("text", ["SELECT 'a;", 'SELECT "a;', "SELECT $x$ ; $$;", "/* a; /* b; */", "SELECT (1; 2;"])
def test_an_unclosed_statement_reaches_to_the_end_of_the_file(text: str) -> None:
    assert [found.text for found in splitter.split(f"SELECT 1; {text}")] == ["SELECT 1", text]


def test_an_insert_is_cut_where_any_other_statement_is() -> None:
    """Most INSERTs are read in one match. With another first word of the same length they are read token by token."""
    chance = random.Random(11)
    tokens = [
        "(", ")", "(", ")", "((", "))", ",", ";", "; ", " ", "\n", "\u00a0", "\u00a0E", "E", "e", "x", "1", "1e",
        "$1", "$$", "'a'", "'", "''", "'b;'", "E'\\'", '"c;"', '"', "-", "--", "--\n", "/", "/*", "*/", "\u00fc", ".",
        "::", "=", "a$",
    ]  # fmt: skip
    for number in range(20_000):
        body = "".join(chance.choices(tokens, k=chance.randrange(1, 14)))
        closing = chance.choice(["", ")", "');", "*/", '"', "$$"])
        head = chance.choice(["INTO t ", "", "INTO a.b"])
        text = f"INSERT {head}({body}{closing}); INSERT INTO t VALUES ({number}); SELECT 1"
        assert _cuts(text) == _cuts(text.replace("INSERT", "UPDATE")), text


def _cuts(text: str) -> object:
    try:
        return [(found.offset, found.line, len(found.text)) for found in splitter.split(text)]
    except BadInput as error:
        return error.message


@pytest.mark.parametrize("end", [");", "'", "(", "$"])
def test_a_very_long_insert_is_read_quickly(end: str) -> None:
    text = "INSERT INTO t VALUES (" + ", ".join(f"({number}, 'x')" for number in range(100_000)) + end
    began = time.process_time()
    assert len(splitter.split(text)) == 1
    assert time.process_time() - began < 20


def test_an_insert_has_its_first_words() -> None:
    (found,) = splitter.split("INSERT INTO public.users (handle) VALUES ('x') ON CONFLICT DO NOTHING;")
    assert found.words[:4] == ("INSERT", "INTO", "PUBLIC", "USERS")


def test_a_statement_begins_after_comments_and_blanks() -> None:
    text = "-- one\r\n\r\nSELECT 1;\r\n/* two\n*/ ;; SELECT\n 2 ; -- three\n"
    first, second = splitter.split(text)
    assert (first.text, first.line, text[first.offset :][:8]) == ("SELECT 1", 3, "SELECT 1")
    assert (second.text, second.line, second.offset) == ("SELECT\n 2", 5, text.index("SELECT\n"))


def test_begin_outside_of_a_function_is_no_body() -> None:
    assert (
        len(splitter.split("BEGIN; CREATE TABLE begin_atomic (a int); END; CREATE FUNCTION f() AS 'begin'; SELECT 1"))
        == 5
    )


@pytest.mark.parametrize(
    ("text", "line", "named", "hint"),
    [
        ("SELECT 1;\n\\c cruddur\n", 2, r"\c", "connection URL"),
        ("SELECT 1; \\connect cruddur", 1, r"\connect", "connection URL"),
        ("\r\n\r\n\\i other.sql", 3, r"\i", "--file"),
        ("CREATE TABLE a (i int);\n\\c other\nCREATE TABLE b (i int);", 2, r"\c", "connection URL"),
        ("\\c one\nCREATE TABLE a (i int);\n\\c other", 3, r"\c", "connection URL"),
        ("\\set schema public", 1, r"\set", "first error"),
        ("\\encoding LATIN1", 1, r"\encoding", "psql"),
        ("\\! ls", 1, r"\!", "psql"),
        ("SELECT 1 \\gset", 1, r"\gset", "psql"),
        ("SELECT 1\\;", 1, r"\;", "psql"),
        ("\\", 1, "\\", "psql"),
    ],
)
def test_a_command_of_psql_is_refused_with_its_line(text: str, line: int, named: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        splitter.split(text, source="schema.sql")
    assert caught.value.message.startswith(f"schema.sql, line {line}: {named} is a command of psql")
    assert caught.value.hint and hint in caught.value.hint
    assert caught.value.fields == {"file": "schema.sql", "line": line}


@pytest.mark.parametrize(
    "line",
    [
        "\\set ON_ERROR_STOP on",
        "\\echo 'hello; world'",
        "\\timing",
        "\\pset pager off",
        "\\dt",
        "\\d+ users",
        "\\encoding UTF8",
        "\\c cruddur",
        "\\connect cruddur;",
        "\\c cruddur postgres localhost 5432",
    ],
)
def test_a_command_of_psql_that_changes_no_data_is_ignored(line: str) -> None:
    (statement,) = splitter.split(f"{line}\r\nSELECT 1;\n")
    assert (statement.text, statement.line) == ("SELECT 1", 2)


def test_statements_about_a_database_before_connect_are_marked() -> None:
    text = (
        "SET a = 1;\nCREATE ROLE x;\nDROP DATABASE IF EXISTS c;\nCREATE DATABASE c;\n\\c c\n"
        "CREATE TABLE t (i int);\n\\c c\nDROP DATABASE d;"
    )
    assert [one.line for one in splitter.split(text) if one.is_of_server] == [3, 4]


def test_a_backslash_in_a_string_or_a_comment_is_no_command() -> None:
    text = "\\restrict abc\nSELECT '\\c x', $$\n\\i y\n$$; -- \\c z\n/*\n\\c */\n\\unrestrict abc\n"
    assert len(splitter.split(text)) == 1


@pytest.mark.parametrize("copy", ["copy t (a, b)\nfrom stdin", "COPY t FROM STDIN WITH (FORMAT csv)"])
@pytest.mark.parametrize("end", ["\\.\n", "\\.\r\n", "\\."])
def test_the_rows_below_a_copy_belong_to_it(copy: str, end: str) -> None:
    text = f"SELECT 1;\n{copy}; -- so\n1;'\t\\.\n \\.\n{end}"
    first, second = splitter.split(text)
    assert (first.rows, second.text, second.line) == (None, copy, 2)
    assert second.rows and text[slice(*second.rows)] == "1;'\t\\.\n \\.\n"
    if end.endswith("\n"):
        third = splitter.split(f"{text};\nSELECT 2")[2]
        assert (third.text, third.line) == ("SELECT 2", text.count("\n") + 2)


@pytest.mark.parametrize(
    ("copy", "problem"), [("COPY (SELECT 1) TO STDOUT;", "TO STDOUT"), ("COPY t FROM STDIN; SELECT 2;", "next line")]
)
def test_a_copy_that_only_psql_can_run_is_refused(copy: str, problem: str) -> None:
    with pytest.raises(BadInput, match=f"t, line 2: .*{problem}"):
        splitter.split(f"SELECT 1;\n{copy}\n1\t2\n\\.\n", source="t")


@pytest.mark.parametrize("rest", ["", ";", ";\n", ";\n1\t2\n1\t", ";\n1\n\\", ";\n1\n \\.\n\\.x\n\n--\n"])
def test_rows_without_an_end_are_refused(rest: str) -> None:
    with pytest.raises(BadInput, match=r"t, line 2: .*seems to be incomplete") as caught:
        splitter.split(f"SELECT 1;\nCOPY t FROM STDIN{rest}", source="t")
    assert caught.value.hint and caught.value.hint.endswith("a line \\.")
    assert caught.value.fields == {"file": "t", "line": 2}


def test_a_copy_of_a_file_is_sent_to_the_server() -> None:
    assert len(splitter.split("COPY t FROM '/stdin'; COPY t TO PROGRAM 'stdout'")) == 2


def test_a_byte_order_mark_goes_and_windows_line_ends_stay() -> None:
    assert splitter.decode(b"\xef\xbb\xbfSELECT 1;\r\n", source="x") == "SELECT 1;\r\n"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_with_its_mark_is_read(encoding: str) -> None:
    assert splitter.decode("\ufeffSELECT 'é';\r\n".encode(encoding), source="x") == "SELECT 'é';\r\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"SELECT 1;\nSELECT '\xe9';", "x, line 2: byte 0xe9"),
        ("SELECT 1".encode("utf-16")[:-1], "x begins as UTF-16"),
        (b"SELECT\n\n\0", "x, line 3: a NUL"),
    ],
)
def test_a_file_that_is_no_text_is_refused_with_its_line(content: bytes, problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        splitter.decode(content, source="x")
    assert caught.value.message.startswith(problem)

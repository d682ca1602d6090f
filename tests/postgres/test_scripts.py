"""A file of SQL in one transaction: the same result as psql's, the same error on the right line, nothing half-way."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.errors import BadInput, Refused
from cruddur_cli.postgres import connection, lexer, locks, scripts
from cruddur_cli.postgres.connection import Server

from . import servers, waiting

TABLE = "CREATE TABLE t (a int PRIMARY KEY, b text);\n"
SAME = {
    "nothing": "",
    "only a comment": "-- nothing\n/* at all */",
    "no semicolon at the end": TABLE + "INSERT INTO t VALUES (1, 'x')",
    "Windows line ends": TABLE.replace("\n", "\r\n") + "INSERT INTO t VALUES (1, 'a\r\nb');\r\n",
    "a byte-order mark": "\ufeff" + TABLE,
    "other scripts": TABLE + "INSERT INTO t VALUES (1, 'é ☕ 名 \u202e');",
    "a function": TABLE
    + "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; SELECT 2; $$; INSERT INTO t VALUES (f());",
    "an atomic function": TABLE
    + "CREATE FUNCTION g() RETURNS int BEGIN ATOMIC INSERT INTO t VALUES (7); SELECT 7; END; SELECT g();",
    "a transaction of its own": "BEGIN;\n" + TABLE + "INSERT INTO t VALUES (1);\nCOMMIT;\nINSERT INTO t VALUES (2);",
    "START and END": "START TRANSACTION;\n" + TABLE + "END; INSERT INTO t VALUES (2);",
    "undone at the end": TABLE + "INSERT INTO t VALUES (1); ROLLBACK; CREATE TABLE u (a int);",
    "undone after a commit": TABLE + "COMMIT; BEGIN; INSERT INTO t VALUES (1); ROLLBACK; INSERT INTO t VALUES (2);",
    "undone twice": TABLE
    + "COMMIT; INSERT INTO t VALUES (1); ROLLBACK; BEGIN; INSERT INTO t VALUES (2); ABORT; ABORT;",
    "chained": TABLE
    + "COMMIT AND CHAIN; INSERT INTO t VALUES (1); ROLLBACK AND CHAIN; INSERT INTO t VALUES (2); ROLLBACK;",
    "savepoints": TABLE
    + "SAVEPOINT s; INSERT INTO t VALUES (1); ROLLBACK TO SAVEPOINT s; INSERT INTO t VALUES (2); RELEASE s;",
    "settings of a dump": "SET lock_timeout = 0; SELECT pg_catalog.set_config('search_path', '', false);\n"
    "CREATE TABLE public.t (a int);",
    "rows": TABLE + "COPY t (b, a) FROM stdin;  -- so\n;'\\\\.\t1\n\\N\t2\né ☕\\t\t3\n\\.\nINSERT INTO t VALUES (4);",
    "rows of CSV": TABLE
    + 'COPY t FROM STDIN (FORMAT csv, HEADER);\na,b\n1,"x;\ny"\n2,\n\\.\nCOPY t FROM STDIN CSV;\n3,z\n\\.\n',
    "rows to the end": TABLE + "copy t (a)\nfrom stdin;\n1\n2\n\\.\n",
    "rows with Windows line ends": TABLE + "COPY t FROM STDIN;\r\n1\tx\r\n\\.\r\nINSERT INTO t VALUES (2);\r\n",
    "no rows": TABLE + "COPY t FROM STDIN;\n\\.\nCOPY t FROM STDIN;\n\\.\n",
    "bytes as they are": TABLE
    + "SET client_encoding = 'SQL_ASCII';\nINSERT INTO t VALUES (1, 'é☕');\nCOPY t FROM stdin;\n2\té☕\n\\.\n",
    "rows undone": TABLE + "COMMIT; BEGIN;\nCOPY t (a) FROM STDIN;\n1\n\\.\nROLLBACK;",
    "the application's own": (
        'CREATE EXTENSION IF NOT EXISTS "uuid-ossp";\nDROP TABLE IF EXISTS public.users;\n'
        "CREATE TABLE public.users (uuid UUID DEFAULT uuid_generate_v4() PRIMARY KEY, handle text);\n"
    ),
}
WRONG = {
    "a syntax error half-way": TABLE + "INSERT INTO t VALUES (1, 'x');\n  ('Londo', 'y');\nSELECT 1;",
    "no such table": TABLE + "\n\nSELECT 1,\n  2 FROM\n  missing;",
    "no such column": TABLE + "SELECT 'é☕', c FROM t;",
    "the same key": TABLE + "INSERT INTO t VALUES (1);\n\nINSERT INTO t VALUES (1);",
    "a row of another type": TABLE + "COPY t FROM STDIN;\n1\tx\noops\ty\n\\.\nSELECT 1;",
    "a row that is too short": TABLE + "COPY t (a, b) FROM STDIN;\n1\tx\n\n\\.\n",
    "a row that is there": TABLE + "-- so\nCOPY t FROM STDIN;\n1\ta\\\nb\\\\\n2\tc\n1\td\n\\.\n",
    "a row of CSV": TABLE + 'COPY t FROM STDIN (FORMAT csv);\n1,"a\nb"\n2,"c\nd"\nx,e\n\\.\n',
    "a row after many": TABLE + "COPY t (a) FROM STDIN;\n" + "".join(f"{n}\n" for n in range(400_000)) + "x\n\\.\n",
    "a column of rows that is not there": TABLE + "COPY t (a, c) FROM STDIN;\n1\t2\n\\.\n",
    "an exception": TABLE + "DO $$\nBEGIN\n  RAISE EXCEPTION 'no';\nEND $$;",
    "an open quote": TABLE + "SELECT 'open;\n",
    "an open parenthesis": TABLE + "SELECT (1;\nSELECT 2;\n",
    "a database": TABLE + "CREATE DATABASE x;",
    "a vacuum": TABLE + "VACUUM t;",
    "an index beside the work": TABLE + "CREATE INDEX CONCURRENTLY i ON t (b);",
    "a check at the end": "CREATE TABLE p (a int PRIMARY KEY, b int REFERENCES p DEFERRABLE INITIALLY DEFERRED);\n"
    "INSERT INTO p VALUES (1, 2);\n",
}


@pytest.fixture
def postgres_and_psql(postgres15: str) -> Iterator[tuple[str, str]]:
    """Two empty databases of a PostgreSQL 15: one for us, one for psql."""
    with servers.database(postgres15) as ours, servers.database(postgres15) as theirs:
        yield ours, theirs


def run(at: Server, text: str, **more: Any) -> int:
    with connection.opened(at) as conn:
        return scripts.run(conn, text, source="file.sql", server=at, **more)


def refusal(at: Server, text: str) -> Refused:
    with pytest.raises(Refused) as caught:
        run(at, text)
    return caught.value


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_the_same_result_as_psql(postgres_and_psql: tuple[str, str], tmp_path: Path, text: str) -> None:
    ours, theirs = postgres_and_psql
    content = text.encode()
    said = servers.psql(theirs, content, tmp_path)
    assert said.code == 0, said.err
    run(servers.server(ours), lexer.decode(content, source="file.sql"))
    assert servers.dump(ours) == servers.dump(theirs)


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_the_same_error_as_psql(postgres_and_psql: tuple[str, str], tmp_path: Path, text: str) -> None:
    ours, theirs = postgres_and_psql
    empty = servers.dump(ours)
    said = servers.psql(theirs, text.encode(), tmp_path)
    found = re.search(r"ERROR:  (\w{5}): (.*)", said.err)
    assert said.code == 3 or found, said.err
    assert found
    error = refusal(servers.server(ours), text)
    assert error.exit_code == 5
    assert error.fields["sqlstate"] == found[1]
    assert found[2] in error.message
    assert servers.dump(ours) == servers.dump(theirs) == empty


@pytest.mark.parametrize(
    ("name", "line", "caret"),
    [
        ("a syntax error half-way", 3, "  ('Londo', 'y');\n       ^"),
        ("no such table", 6, "  missing;\n      ^"),
        ("no such column", 2, "SELECT 'é☕', c FROM t;\n                 ^"),
        ("the same key", 4, None),
        ("a row of another type", 4, "oops\ty\n"),
        ("a row that is too short", 4, "\n"),
        ("a row that is there", 7, "1\td\n"),
        ("a row of CSV", 7, "x,e\n"),
        ("a row after many", 400_003, "x\n"),
        ("a column of rows that is not there", 2, None),
        ("an exception", 2, None),
        ("an open quote", 2, "SELECT 'open;\n           ^"),
        ("a database", 2, None),
        ("an index beside the work", 2, None),
    ],
)
def test_file_line_statement_and_caret(at: Server, name: str, line: int, caret: str | None) -> None:
    error = refusal(at, WRONG[name])
    assert error.message.startswith(f"file.sql, line {line}: ")
    assert (error.fields["file"], error.fields["line"]) == ("file.sql", line)
    assert error.details and "statement: " in error.details
    if caret:
        assert error.details.startswith(f"{line} | {caret}")
    with connection.opened(at) as conn:
        assert conn.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_a_long_line_is_clipped_around_its_caret(at: Server) -> None:
    error = refusal(at, "SELECT " + "1, " * 3000 + "oops, " + "2, " * 3000 + "3")
    assert error.details
    line, caret = error.details.splitlines()[:2]
    assert len(line) < 200
    assert line[caret.index("^") :].startswith("oops")


def test_a_commit_in_the_file_commits_nothing_half_way(at: Server) -> None:
    said: list[str] = []
    with pytest.raises(Refused):
        run(at, f"BEGIN;\n{TABLE}COMMIT;\nSELECT broken", say=said.append)
    assert said == ["file.sql: BEGIN, COMMIT and the like (line 1, 3) change nothing: all or nothing"]
    with connection.opened(at) as conn:
        assert conn.execute("SELECT to_regclass('t')").fetchone() == (None,)


@pytest.mark.parametrize("text", ["PREPARE TRANSACTION 'x'", "\\c other", "COPY t TO STDOUT", "COPY t FROM STDIN"])
def test_what_is_refused_before_anything_runs(at: Server, text: str) -> None:
    with pytest.raises(BadInput, match=r"file\.sql, line 2: "):
        run(at, f"{TABLE}{text};")


def test_a_prepared_statement_of_the_files_own(at: Server) -> None:
    run(at, "PREPARE q AS SELECT 1; EXECUTE q; DEALLOCATE ALL; DISCARD SEQUENCES; " + "SELECT 1;" * 20)


def test_a_client_encoding_of_another_kind(at: Server) -> None:
    with connection.opened(at) as conn:
        conn.execute("SET client_encoding TO 'LATIN1'")
        scripts.run(conn, TABLE + "INSERT INTO t VALUES (1, '☕')", source="x", server=at)
        assert conn.execute("SELECT b FROM t").fetchone() == ("☕",)


def test_a_client_encoding_of_the_files_own(at: Server) -> None:
    with connection.opened(at) as conn:
        scripts.run(conn, f"{TABLE}SET client_encoding = 'SQL_ASCII';", source="x", server=at)
        assert conn.execute("SELECT 'é☕'").fetchone() == ("é☕",)
    for text in ("INSERT INTO t VALUES (1, 'é☕');", "COPY t FROM STDIN;\n1\té☕\n\\.\n"):
        with pytest.raises(BadInput, match=r"file\.sql, line 2: '☕' is not in the client_encoding"):
            run(at, f"SET client_encoding = 'LATIN1';\n{text}")


def test_uuid_ossp_on_the_embedded_server(at: Server) -> None:
    embedded = Server(at.parameters, at.host, at.port, at.database, at.user, at.label, embedded=True)
    text = SAME["the application's own"]
    for _ in range(2):
        run(embedded, text + "INSERT INTO public.users (handle) VALUES ('a');")
    with connection.opened(at) as conn:
        assert conn.execute("SELECT count(uuid) FROM public.users").fetchone() == (1,)


def test_the_session_in_the_way_is_named(at: Server, url: str) -> None:
    run(at, TABLE)
    with psycopg.connect(url, application_name="somebody") as holder:
        holder.execute("LOCK TABLE t IN ACCESS SHARE MODE")
        error = refusal(at, "CREATE TABLE u (a int);\nALTER TABLE t ADD COLUMN c int;")
        assert (error.exit_code, error.code) == (5, "locked")
        assert error.message.startswith("file.sql, line 2: ")
        assert error.fields["blocking_pids"] == [holder.info.backend_pid]
        for part in (str(holder.info.backend_pid), "application somebody", "idle in transaction", "LOCK TABLE t"):
            assert error.details and part in error.details
    with connection.opened(at) as conn:
        assert conn.execute("SELECT to_regclass('u')").fetchone() == (None,)


def test_a_lock_on_our_own_way_is_named_too(at: Server, url: str) -> None:
    run(at, TABLE)
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Refused) as caught, connection.opened(at) as conn, locks.guarded(conn, at):
            conn.execute("SELECT count(*) FROM t")
        assert caught.value.fields["blocking_pids"] == [holder.info.backend_pid]


def test_whose_turn_it_is(at: Server, url: str) -> None:
    said: list[str] = []
    with connection.opened(at) as first, connection.opened(at) as second:
        locks.take(first)
        with pytest.raises(Refused) as caught:
            locks.take(second, wait_s=1, say=said.append)
        assert caught.value.fields["blocking_pids"] == [first.info.backend_pid]
        assert f"pid {first.info.backend_pid}" in said[0]
        second.execute("SET LOCAL lock_timeout = '7s'")
        first.rollback()
        locks.take(second, wait_s=1)
        assert second.execute("SHOW lock_timeout").fetchone() == ("7s",)


def test_a_statement_that_takes_too_long(at: Server) -> None:
    error = refusal(at, "SET LOCAL statement_timeout = '50ms';\nSELECT pg_sleep(60);")
    assert (error.code, error.fields["line"]) == ("timed_out", 2)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_client_leaves_no_lock(at: Server, url: str, number: int) -> None:
    run(at, TABLE)
    code = f"""
        from cruddur_cli.postgres import connection, scripts
        from tests.postgres import servers
        at = servers.server({url!r})
        with connection.opened(at) as conn:
            scripts.run(conn, "ALTER TABLE t ADD COLUMN c int; SELECT pg_sleep(600)", source="x", server=at)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    client = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    with psycopg.connect(url, autocommit=True) as conn:
        sleeping = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(600)' AND pid <> pg_backend_pid()"
        )
        waiting.until(lambda: conn.execute(sleeping.encode()).fetchone() == (1,))
        client.send_signal(number)
        client.wait(timeout=30)
        waiting.until(lambda: conn.execute(sleeping.encode()).fetchone() == (0,))
        conn.execute("SET lock_timeout = '5s'")
        conn.execute("ALTER TABLE t ADD COLUMN c int")

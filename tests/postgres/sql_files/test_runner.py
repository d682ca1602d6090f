"""A file of SQL in one transaction has the result and the error of psql, and is never run in part."""

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

from cruddur_cli import masking
from cruddur_cli.errors import BadInput, Refused
from cruddur_cli.postgres import connection, locks
from cruddur_cli.postgres.connection import Server
from cruddur_cli.postgres.sql_files import runner as sql_runner
from cruddur_cli.postgres.sql_files import splitter
from tests import waiting

from .. import servers

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
    """Two empty databases of a PostgreSQL 15: one for cruddur, one for psql."""
    with servers.database(postgres15) as own_url, servers.database(postgres15) as psql_url:
        yield own_url, psql_url


def run(at: Server, text: str, **more: Any) -> int:
    with connection.opened(at) as conn:
        return sql_runner.run(conn, text, source="file.sql", server=at, **more)


def refusal(at: Server, text: str) -> Refused:
    with pytest.raises(Refused) as caught:
        run(at, text)
    return caught.value


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_a_file_has_the_same_result_as_with_psql(postgres_and_psql: tuple[str, str], tmp_path: Path, text: str) -> None:
    own_url, psql_url = postgres_and_psql
    content = text.encode()
    by_psql = servers.psql(psql_url, content, tmp_path)
    assert by_psql.code == 0, by_psql.err
    run(servers.server(own_url), splitter.decode(content, source="file.sql"))
    assert servers.dump(own_url) == servers.dump(psql_url)


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_file_has_the_same_error_as_with_psql(postgres_and_psql: tuple[str, str], tmp_path: Path, text: str) -> None:
    own_url, psql_url = postgres_and_psql
    empty = servers.dump(own_url)
    by_psql = servers.psql(psql_url, text.encode(), tmp_path)
    found = re.search(r"ERROR:  (\w{5}): (.*)", by_psql.err)
    assert by_psql.code == 3 or found, by_psql.err
    assert found
    error = refusal(servers.server(own_url), text)
    assert error.exit_code == 5
    assert error.fields["sqlstate"] == found[1]
    assert found[2] in error.message
    assert servers.dump(own_url) == servers.dump(psql_url) == empty


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
def test_an_error_has_file_line_statement_and_caret(at: Server, name: str, line: int, caret: str | None) -> None:
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


PASSWORDS = [
    ("CREATE USER x PASSWORD 'hidden' BOGUS;", 2),
    ("CREATE USER x PASWORD 'hidden';", 2),
    ("CREATE USER x\n PASSWORD\n'hidden'\n BOGUS;", 5),
    ("CREATE USER x PASSWORD hidden;", 2),
    ("CREATE USER x PASSWORD\nhidden;", 3),
    ('ALTER ROLE x PASSWORD "hidden";', 2),
    ("ALTER ROLE nobody PASSWORD 'hidden';", 2),
    ("ALTER ROLE nobody PASSWORD $$hidden$$ BOGUS;", 2),
    ("ALTER ROLE nobody PASSWORD 'hidden", 2),
    ("DO $$BEGIN EXECUTE 'ALTER ROLE nobody PASSWORD ''hidden'' '; END$$;", 2),
    ("DO $$BEGIN EXECUTE 'ALTER ROLE nobody PASWORD ''hidden'' '; END$$;", 2),
    ("DO $$BEGIN EXECUTE 'ALTER ROLE nobody PASSWORD hidden'; END$$;", 2),
    ("CREATE USER MAPPING FOR x SERVER nowhere OPTIONS (password 'hidden');", 2),
]


@pytest.mark.parametrize(("text", "line"), PASSWORDS)
def test_no_error_shows_a_password_that_the_file_sets(at: Server, text: str, line: int) -> None:
    error = refusal(at, f"SELECT 1;\n{text}")
    assert error.details
    assert "hidden" not in error.message + error.details
    assert error.fields["line"] == line
    assert masking.MASK in error.details
    traceback = masking.debug_traceback(error, ())
    assert "hidden" not in traceback
    assert "nobody" not in text or "nobody" in traceback + error.details


LOGINS = "CREATE TABLE logins (id integer PRIMARY KEY, password text); INSERT INTO logins VALUES (1, 'x');"
SECRET_VALUES = [
    ("INSERT INTO logins (id, password) VALUES ('hidden', 'hidden');", 2),
    ("INSERT INTO logins (id,\n  password)\n  VALUES (NULL, 'hidden');", 2),
    ("INSERT INTO logins (id, password) VALUES (1, 'hidden'), (1, 'hidden');", 2),
    ("INSERT INTO logins (id, password) VALUES (3, 'hidden') BOGUS;", 2),
    ("UPDATE logins SET id = NULL, password = lower('hidden');", 2),
    ("COPY logins (id, password) FROM STDIN;\n3\thidden\nhidden\thidden\n\\.", 4),
    ("COPY logins (id, password) FROM STDIN;\n3\thidden\n\\N\thidden\n\\.", 4),
    ("COPY logins (id, password) FROM STDIN;\n3\thidden\thidden\n\\.", 3),
    ("INSERT INTO logins VALUES ('hidden', 'hidden');", 2),
    ('insert into "public" . "logins" values (3,\n\'hidden\') BOGUS;', 3),
    ("INSERT INTO logins VALUES (3, 'x');\nINSERT INTO logins VALUES (NULL, 'hidden');", 3),
    ("INSERT INTO Logins AS l (SELECT 'hidden', 'hidden');", 2),
    ("DO $$BEGIN INSERT INTO logins VALUES (NULL, 'hidden'); END$$;", 2),
    ("CREATE TABLE later (id int);\nALTER TABLE later ADD api_key text;\nINSERT INTO later VALUES ('hidden');", 4),
    ("DO $$BEGIN INSERT INTO \"logins\" (id, password) VALUES (NULL, 'hidden'); END$$;", 2),
    ("COPY logins FROM STDIN;\n3\thidden\nhidden\thidden\n\\.", 4),
    ("COPY public.logins FROM STDIN WITH (FORMAT csv);\n3,hidden\n,hidden\n\\.", 4),
    ("SET client_encoding TO LATIN1;\nINSERT INTO logins VALUES ('hidden', 'hidden');", 3),
]


@pytest.mark.parametrize("text", ["VALUES ('shown', 'x')", "SELECT 'shown', 'x'"])
def test_an_error_shows_the_values_of_a_table_without_a_column_for_secrets(at: Server, text: str) -> None:
    error = refusal(at, f"{LOGINS}\n{TABLE}INSERT INTO t {text};")
    assert "'shown', 'x'" in str(error.details)


@pytest.mark.parametrize(("text", "line"), SECRET_VALUES)
def test_no_error_shows_a_value_of_a_column_for_secrets(at: Server, text: str, line: int) -> None:
    error = refusal(at, f"{LOGINS}\n{text}")
    assert error.details
    assert "hidden" not in error.message + error.details
    assert error.fields["line"] == line
    assert masking.MASK in error.details + error.message
    assert "hidden" not in masking.debug_traceback(error, ())


def test_the_caret_below_a_masked_password_stands_at_its_beginning(at: Server) -> None:
    error = refusal(at, "SELECT 1;\nCREATE USER x PASSWORD 'hidden' BOGUS;")
    assert error.details
    line, caret = error.details.splitlines()[:2]
    assert line == "2 | CREATE USER x PASSWORD ***"
    assert line[caret.index("^") :] == "***"


def test_a_user_of_a_role_of_rds_is_skipped_without_its_password(at: Server) -> None:
    notes: list[str] = []
    run(at, "CREATE USER x IN ROLE rds_superuser PASSWORD 'hidden';", say=notes.append)
    assert [line.partition(": ")[2] for line in notes] == [
        "skipped, because the role rds_superuser exists only on Amazon RDS: "
        "CREATE USER x IN ROLE rds_superuser PASSWORD ***"
    ]


def test_a_blocking_session_is_shown_without_a_password() -> None:
    session = locks.LockHolder(1, "me", "", "active", None, "ALTER ROLE x\nPASSWORD 'hidden'")
    assert str(session).endswith("active: ALTER ROLE x PASSWORD ***")


def test_a_commit_in_the_file_commits_nothing_half_way(at: Server) -> None:
    notes: list[str] = []
    with pytest.raises(Refused):
        run(at, f"BEGIN;\n{TABLE}COMMIT;\nSELECT broken", say=notes.append)
    assert notes == ["file.sql: BEGIN, COMMIT and the like (line 1, 3) are ignored: the file is one transaction"]
    with connection.opened(at) as conn:
        assert conn.execute("SELECT to_regclass('t')").fetchone() == (None,)


@pytest.mark.parametrize("text", ["PREPARE TRANSACTION 'x'", "\\c other", "COPY t TO STDOUT", "COPY t FROM STDIN"])
def test_commands_of_psql_are_refused_before_anything_runs(at: Server, text: str) -> None:
    with pytest.raises(BadInput, match=r"file\.sql, line 2: "):
        run(at, f"{TABLE}{text};")


def test_a_file_may_prepare_and_discard_its_statements(at: Server) -> None:
    run(at, "PREPARE q AS SELECT 1; EXECUTE q; DEALLOCATE ALL; DISCARD SEQUENCES; " + "SELECT 1;" * 20)


def test_a_session_with_another_encoding_stores_utf_8(at: Server) -> None:
    with connection.opened(at) as conn:
        conn.execute("SET client_encoding TO 'LATIN1'")
        sql_runner.run(conn, TABLE + "INSERT INTO t VALUES (1, '☕')", source="x", server=at)
        assert conn.execute("SELECT b FROM t").fetchone() == ("☕",)


def test_a_file_may_set_its_client_encoding(at: Server) -> None:
    with connection.opened(at) as conn:
        sql_runner.run(conn, f"{TABLE}SET client_encoding = 'SQL_ASCII';", source="x", server=at)
        assert conn.execute("SELECT 'é☕'").fetchone() == ("é☕",)
    for text in ("INSERT INTO t VALUES (1, 'é☕');", "COPY t FROM STDIN;\n1\té☕\n\\.\n"):
        with pytest.raises(BadInput, match=r"file\.sql, line 2: '☕' is not in the client_encoding"):
            run(at, f"SET client_encoding = 'LATIN1';\n{text}")


def test_the_embedded_server_has_the_function_of_uuid_ossp(at: Server) -> None:
    embedded = Server(at.parameters, at.host, at.port, at.database, at.user, at.label, embedded=True)
    text = SAME["the application's own"]
    for _ in range(2):
        run(embedded, text + "INSERT INTO public.users (handle) VALUES ('a');")
    with connection.opened(at) as conn:
        assert conn.execute("SELECT count(uuid) FROM public.users").fetchone() == (1,)


def test_a_blocking_session_is_named(at: Server, url: str) -> None:
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


def test_a_session_that_blocks_an_ordinary_query_is_named(at: Server, url: str) -> None:
    run(at, TABLE)
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Refused) as caught, connection.opened(at) as conn, locks.guarded(conn, at):
            conn.execute("SELECT count(*) FROM t")
        assert caught.value.fields["blocking_pids"] == [holder.info.backend_pid]


def test_the_schema_lock_names_its_holder_and_restores_the_time_out(at: Server, url: str) -> None:
    notes: list[str] = []
    with connection.opened(at) as first, connection.opened(at) as second:
        locks.take(first)
        with pytest.raises(Refused) as caught:
            locks.take(second, wait_s=1, say=notes.append)
        assert caught.value.fields["blocking_pids"] == [first.info.backend_pid]
        assert f"pid {first.info.backend_pid}" in notes[0]
        second.execute("SET LOCAL lock_timeout = '7s'")
        first.rollback()
        locks.take(second, wait_s=1)
        assert second.execute("SHOW lock_timeout").fetchone() == ("7s",)


def test_a_statement_time_out_is_an_error_with_its_line(at: Server) -> None:
    error = refusal(at, "SET LOCAL statement_timeout = '50ms';\nSELECT pg_sleep(60);")
    assert (error.code, error.fields["line"]) == ("timed_out", 2)


@pytest.mark.usefixtures("watchful")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_client_leaves_no_lock(at: Server, url: str, number: int) -> None:
    run(at, TABLE)
    code = f"""
        from cruddur_cli.postgres import connection
        from cruddur_cli.postgres.sql_files import runner
        from tests.postgres import servers
        at = servers.server({url!r})
        with connection.opened(at) as conn:
            runner.run(conn, "ALTER TABLE t ADD COLUMN c int; SELECT pg_sleep(600)", source="x", server=at)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    client = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    with psycopg.connect(url, autocommit=True) as conn:
        sleeping = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(600)' AND pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
        waiting.until(lambda: conn.execute(sleeping.encode()).fetchone() == (1,))
        client.send_signal(number)
        client.wait(timeout=30)
        waiting.until(lambda: conn.execute(sleeping.encode()).fetchone() == (0,))
        conn.execute("SET lock_timeout = '5s'")
        conn.execute("ALTER TABLE t ADD COLUMN c int")


ROLE = "cruddur_test_role"


@pytest.fixture
def no_role(url: str) -> Iterator[None]:
    """Drop the role before and after the test: it belongs to the whole server."""
    yield
    with psycopg.connect(url) as conn:
        conn.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}".encode())


@pytest.mark.usefixtures("no_role")
def test_a_role_and_an_extension_that_exist_are_left_as_they_are(at: Server) -> None:
    notes: list[str] = []
    text = (
        f"CREATE EXTENSION plpgsql;\nCREATE USER {ROLE} PASSWORD 'not-said';\nCREATE TABLE IF NOT EXISTS t (a int);\n"
        f"GRANT SELECT ON t TO {ROLE};\nGRANT rds_iam TO {ROLE};\n"
    )
    for _ in range(2):
        notes.clear()
        with connection.opened(at) as conn:
            sql_runner.run(conn, text, source="file.sql", server=at, say=notes.append)
    assert [line.partition(":")[0] for line in notes] == ["file.sql, line 1", "file.sql, line 2", "file.sql, line 5"]
    assert all(line.endswith("already exists; it was not changed") for line in notes[:2])
    assert "rds_iam exists only on Amazon RDS" in notes[2]
    assert "not-said" not in "".join(notes)


def test_a_grant_to_any_other_role_that_is_missing_is_refused_whole(at: Server) -> None:
    error = refusal(at, TABLE + "GRANT SELECT ON t TO nobody_of_that_name;")
    assert (error.code, error.fields["line"]) == ("sql_error", 2)
    with connection.opened(at) as conn:
        assert conn.execute("SELECT to_regclass('public.t')").fetchone() == (None,)


def test_a_file_leaves_its_session_as_fresh_as_it_was(at: Server) -> None:
    text = (
        "SET search_path TO nowhere; SET work_mem = '1MB'; CREATE TEMPORARY TABLE left_over (i int);\n"
        "PREPARE p AS SELECT 1; SELECT pg_advisory_lock(7); LISTEN x; DECLARE c CURSOR WITH HOLD FOR SELECT 1;\n"
    )
    with connection.opened(at) as conn:
        fresh = _session(conn)
        sql_runner.run(conn, text, source="file.sql", server=at)
        conn.commit()
        assert _session(conn) == fresh


def _session(conn: psycopg.Connection[Any]) -> Any:
    return conn.execute(
        "SELECT current_setting('search_path'), current_setting('work_mem'), to_regclass('pg_temp.left_over'),"
        " (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors),"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),"
        " (SELECT count(*) FROM pg_listening_channels())"
    ).fetchone()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("INSERT INTO many VALUES (7);", "duplicate key"),
        ("INSERT INTO many VALUES (1/0);", "division by zero"),
        ("INSERT INTO many VALUES ('x');", "invalid input syntax"),
        ("INSERT INTO many VALUE (1);", "syntax error"),
    ],
)
def test_of_many_inserts_the_wrong_one_is_named(at: Server, wrong: str, message: str) -> None:
    lines = ["CREATE TABLE many (n int PRIMARY KEY);", *(f"INSERT INTO many VALUES ({n}); -- {n}" for n in range(1200))]
    lines[701] = f"INSERT INTO many VALUES (-1);\n{wrong}"
    with pytest.raises(Refused, match=message) as refused, connection.opened(at) as conn:
        sql_runner.run(conn, "\n".join(lines), source="many.sql", server=at)
    assert "many.sql, line 703" in str(refused.value)


def test_many_inserts_go_in_few_requests(at: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    execute = psycopg.Connection.execute

    def counted(conn: psycopg.Connection[Any], query: Any, *args: Any, **named: Any) -> Any:
        sent.append(query)
        return execute(conn, query, *args, **named)

    text = TABLE + "".join(f"INSERT INTO t VALUES ({number}, 'x');\n" for number in range(2000))
    with connection.opened(at) as conn:
        monkeypatch.setattr(psycopg.Connection, "execute", counted)
        assert sql_runner.run(conn, text, source="many.sql", server=at) == 2001
        assert len(sent) < 30
        assert execute(conn, "SELECT count(*), sum(a) FROM t").fetchone() == (2000, 1999000)
        conn.rollback()

"""A rehearsal counts what a file of SQL destroys, and changes nothing."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from cruddur_cli.errors import Refused
from cruddur_cli.postgres import connection
from cruddur_cli.postgres.connection import Server
from cruddur_cli.postgres.sql_files import rehearsal, runner
from cruddur_cli.postgres.sql_files.rehearsal import Effects

TABLES = """
    CREATE TABLE users (uuid int PRIMARY KEY, handle text, email text);
    CREATE TABLE activities (uuid serial PRIMARY KEY, user_uuid int REFERENCES users ON DELETE CASCADE, text text);
    CREATE TABLE "my table" (i int);
    CREATE SCHEMA other; CREATE TABLE other.log (i int);
    CREATE TABLE schema_information (id int);
    CREATE TYPE mood AS ENUM ('sad');
    INSERT INTO users SELECT i, 'h' || i, 'e' FROM generate_series(1, 4) AS i;
    INSERT INTO activities (user_uuid) SELECT 1 + i % 2 FROM generate_series(1, 6) AS i;
    INSERT INTO "my table" VALUES (1); INSERT INTO other.log VALUES (1), (2); INSERT INTO schema_information VALUES (1);
    CREATE FUNCTION empty_all() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public."my table"; END $$;
    CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM other.log; RETURN NULL; END $$;
    CREATE TRIGGER t AFTER UPDATE ON users FOR EACH STATEMENT EXECUTE FUNCTION also();
"""
DELETED = [
    ("DROP TABLE IF EXISTS public.activities, \"my table\"", "6 activities, 1 row of my table"),
    ("TRUNCATE TABLE ONLY public.activities RESTART IDENTITY", "6 activities"),
    ("TRUNCATE users CASCADE", "6 activities, 4 users"),
    ("DELETE FROM users WHERE uuid = 1", "3 activities, 1 user"),
    ("WITH gone AS (DELETE FROM activities WHERE uuid < 3 RETURNING 1) SELECT 1", "2 activities"),
    ("DO $$ BEGIN EXECUTE 'DROP TABLE activi' || 'ties'; END $$", "6 activities"),
    ("SELECT empty_all()", "1 row of my table"),
    ("UPDATE users SET handle = 'x' WHERE uuid > 2", "2 other.log, 2 users overwritten"),
    (
        "INSERT INTO users VALUES (1, 'x') ON CONFLICT (uuid) DO UPDATE SET handle = 'x'",
        "2 other.log, 1 user overwritten",
    ),
    ("DELETE FROM \"my table\"; INSERT INTO \"my table\" VALUES (2), (3)", "1 row of my table overwritten"),
    ("ALTER TABLE users DROP COLUMN email", "4 users overwritten (1 column dropped)"),
    ("ALTER TABLE users DROP handle, DROP email; DELETE FROM users WHERE uuid > 2", "2 users (2 columns dropped)"),
    ("ALTER TABLE users ALTER handle TYPE int USING 0", "4 users overwritten"),
    ("DROP SCHEMA other CASCADE", "2 other.log"),
    ("SAVEPOINT s; DELETE FROM activities; ROLLBACK TO s; DELETE FROM activities WHERE uuid = 1", "1 activity"),
    ("DROP TABLE activities; CREATE TABLE activities (i int)", "6 activities"),
    ("DELETE FROM users WHERE false; SELECT 'DROP TABLE users'; INSERT INTO users VALUES (9, 'x')", ""),
    ("ALTER TABLE users ADD COLUMN bio text; DROP TRIGGER t ON users; DROP TYPE mood", ""),
    ("DELETE FROM schema_information", ""),
    ("CREATE TABLE more (i int); COPY more FROM stdin;\n1\n\\.\nDELETE FROM more", ""),
]  # fmt: skip


@pytest.fixture(autouse=True)
def tables(at: Server) -> None:
    with connection.opened(at) as conn:
        conn.execute(TABLES.encode())


def rehearse(at: Server, text: str, **more: Any) -> Effects:
    with connection.opened(at) as conn:
        return rehearsal.run(conn, at, text, lambda: runner.run(conn, text, source="file.sql", server=at), **more)


def state(url: str) -> list[Any]:
    with psycopg.connect(url) as conn:
        return conn.execute(
            "SELECT (SELECT array_agg(u::text ORDER BY u::text) FROM users u), (SELECT count(*) FROM activities),"
            " (SELECT last_value FROM activities_uuid_seq), (SELECT count(*) FROM other.log),"
            ' (SELECT count(*) FROM "my table"), (SELECT count(*) FROM pg_class WHERE relnamespace = 2200)'
        ).fetchall()


@pytest.mark.parametrize(("text", "lost"), DELETED)
def test_lost_rows_are_counted_and_the_file_is_rolled_back(at: Server, url: str, text: str, lost: str) -> None:
    before = state(url)
    effects = rehearse(at, text)
    assert (str(effects) if effects else "", effects.unknown) == (lost, "")
    assert state(url) == before


@pytest.mark.parametrize(("text", "lost"), DELETED)
def test_lost_rows_are_counted_while_the_file_is_committed(at: Server, text: str, lost: str) -> None:
    with connection.opened(at) as conn:
        effects = rehearsal.watch(conn, lambda: runner.run(conn, text, source="file.sql", server=at))
    assert (str(effects) if effects else "", effects.unknown) == (lost, "")


def test_the_tables_that_stay_are_named(at: Server) -> None:
    effects = rehearse(at, "DROP TABLE activities; CREATE TABLE activities (i int)")
    assert effects.staying == ("my table", "other.log", "schema_information", "users")


def test_a_sequence_does_not_advance(at: Server, url: str) -> None:
    before = state(url)
    assert not rehearse(
        at, "INSERT INTO activities (text) VALUES ('x'), ('y'); SELECT setval('activities_uuid_seq', 99)"
    )
    assert state(url) == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT 1;\nSELECT dblink_exec('x', 'DELETE FROM users')", "line 2 (dblink_exec)"),
        ("COPY users TO PROGRAM 'cat'", "line 1 (PROGRAM)"),
        ("SELECT lo_export(1, '/tmp/x')", "lo_export"),
        ("SELECT pg_terminate_backend(1)", "pg_terminate_backend"),
    ],
)
def test_all_rows_count_as_lost_if_a_rollback_is_not_enough(at: Server, text: str, why: str) -> None:
    effects = rehearse(at, text)
    assert why in effects.unknown
    assert str(effects).startswith(
        "6 activities, 1 row of my table, 2 other.log, 4 users (it is unknown in advance what the file deletes"
    )


def test_production_is_not_locked_for_a_rehearsal(at: Server) -> None:
    effects = rehearse(at, "SELECT 1", is_production=True)
    assert "does not lock production" in effects.unknown
    assert len(effects.losses) == 4


def test_all_rows_count_as_lost_after_a_short_wait_for_a_lock(at: Server, url: str) -> None:
    with psycopg.connect(url) as stuck:
        stuck.execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")
        effects = rehearse(at, "DROP TABLE users CASCADE")
    assert "another session holds a lock" in effects.unknown
    assert len(effects.losses) == 4


def test_a_file_that_fails_is_refused_before_any_question(at: Server, url: str) -> None:
    before = state(url)
    with pytest.raises(Refused) as caught:
        rehearse(at, "DELETE FROM users;\nCREATE INDEX CONCURRENTLY i ON users (handle);")
    assert caught.value.fields["line"] == 2
    assert state(url) == before


def test_a_database_without_rows_needs_no_rehearsal(at: Server) -> None:
    with connection.opened(at) as conn:
        conn.execute('TRUNCATE users, activities, "my table", other.log')
    assert not rehearse(at, "this is no SQL")


def test_no_session_waits_for_the_end_of_a_rehearsal(at: Server, url: str) -> None:
    ended: list[float] = []

    def write() -> None:
        with psycopg.connect(url) as conn:
            conn.execute("INSERT INTO users VALUES (77, 'late')")
        ended.append(time.monotonic())

    other = threading.Thread(target=write)
    with connection.opened(at) as conn:

        def execute() -> None:
            runner.run(conn, "TRUNCATE users CASCADE", source="file.sql", server=at)
            other.start()

        effects = rehearsal.run(conn, at, "TRUNCATE users CASCADE", execute)
        other.join(20)
        assert ended, "the rehearsal holds no lock after it was counted"
    assert str(effects) == "6 activities, 4 users"

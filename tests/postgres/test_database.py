"""A database is created, dropped, emptied and counted, on the embedded server and every PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest

from cruddur_cli.errors import BadInput, Refused
from cruddur_cli.postgres import database
from cruddur_cli.postgres.connection import Server
from cruddur_cli.postgres.database import TableRows


@pytest.fixture
def conn(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


def test_a_ping_returns_server_database_and_user(at: Server, conn: psycopg.Connection) -> None:
    pong = database.ping(conn, at, 12.345)
    assert (pong.database, pong.user, pong.elapsed_ms) == (conn.info.dbname, conn.info.user, 12.3)
    assert pong.version.split(".")[0] == str(conn.info.server_version // 10_000)
    assert pong.encrypted is False


def test_the_clock_is_that_of_the_server(conn: psycopg.Connection) -> None:
    assert abs(database.clock(conn).timestamp() - time.time()) < 60  # noqa: TID251  # the server's clock is the machine's


def test_a_database_is_created_once_and_dropped_once(conn: psycopg.Connection) -> None:
    name = f"{conn.info.dbname}_new"
    assert database.create(conn, name)
    assert not database.create(conn, name)
    assert database.exists(conn, name)
    assert database.can_recreate(conn, name)
    assert database.drop(conn, name)
    assert not database.drop(conn, name)
    assert not database.exists(conn, name)
    with pytest.raises(BadInput):
        database.create(conn, "x" * 64)


def test_a_database_in_use_is_dropped_only_with_force(url: str, conn: psycopg.Connection) -> None:
    name = f"{conn.info.dbname}_used"
    database.create(conn, name)
    with psycopg.connect(url, dbname=name) as user:
        assert not database.drop_unused(conn, name)
        assert database.exists(conn, name)
        assert database.drop(conn, name)
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
    assert not database.drop_unused(conn, name)


def test_a_role_without_createdb_cannot_recreate_a_database(conn: psycopg.Connection) -> None:
    name = conn.info.dbname
    role = f"weak_{conn.info.backend_pid}"
    assert database.can_create(conn)
    assert not database.can_recreate(conn, name)  # it is the one that is connected to
    conn.execute(f'CREATE ROLE "{role}"')
    try:
        conn.execute(f'SET ROLE "{role}"')
        assert not database.can_create(conn)
        assert not database.can_recreate(conn, "postgres")
    finally:
        conn.execute("RESET ROLE")
        conn.execute(f'DROP ROLE "{role}"')


def test_rds_is_recognized_by_its_role_or_its_setting(conn: psycopg.Connection) -> None:
    assert not database.is_rds(conn)
    conn.execute("SET rds.extensions = 'plpgsql'")
    assert database.is_rds(conn)


def test_emptying_leaves_no_object_of_any_kind(conn: psycopg.Connection) -> None:
    conn.execute("""
        CREATE SCHEMA stories; CREATE TABLE stories.pages (n int);
        CREATE TYPE mood AS ENUM ('sad'); CREATE TYPE pair AS (a int, b int); CREATE DOMAIN handle AS text;
        CREATE TABLE people (id serial PRIMARY KEY, mood mood, name handle);
        CREATE VIEW moods AS SELECT mood FROM people; CREATE MATERIALIZED VIEW kept AS SELECT mood FROM people;
        CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE PROCEDURE nothing() LANGUAGE sql AS '';
        CREATE SEQUENCE numbers;
    """)
    with conn.transaction():
        database.empty(conn)
    query = """
        SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
        UNION ALL SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
        UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = 'stories'
    """
    assert conn.execute(query).fetchall() == []


def test_rows_are_counted_and_missing_tables_named(conn: psycopg.Connection) -> None:
    assert database.missing_tables(conn) == list(database.TABLES)
    assert database.tell_rows(conn) == "no rows"
    conn.execute("CREATE TABLE users (n int); CREATE TABLE logs (n int); CREATE TABLE schema_information (n int)")
    conn.execute("INSERT INTO users SELECT generate_series(1, 1200); INSERT INTO logs VALUES (1)")
    conn.execute("INSERT INTO schema_information VALUES (1)")
    counted = database.rows(conn)
    assert counted == [TableRows("logs", 1), TableRows("schema_information", 1), TableRows("users", 1200)]
    assert database.missing_tables(conn) == ["activities"]
    assert database.filled(counted) == [TableRows("logs", 1), TableRows("users", 1200)]
    assert database.tell_rows(conn) == database.named(database.filled(counted)) == "1 row of logs, 1,200 users"


def test_the_added_rows_are_those_of_tables_that_grew() -> None:
    before = [TableRows("users", 2), TableRows("activities", 5), TableRows("logs", 1)]
    after = [TableRows("users", 4), TableRows("activities", 3), TableRows("logs", 1), TableRows("tags", 1)]
    assert database.more(before, after) == [TableRows("users", 2), TableRows("tags", 1)]
    assert database.added(before, after) == 3
    assert database.named([]) == "no rows"
    assert database.named([TableRows("users", 1), TableRows("activities", 1)]) == "1 user, 1 activity"


def test_a_locked_table_is_named_instead_of_counted(url: str, conn: psycopg.Connection) -> None:
    conn.execute("CREATE TABLE users (n int); CREATE TABLE logs (n int); INSERT INTO users VALUES (1), (2)")
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE logs")
        with conn.transaction():
            summary = database.tell_rows(conn)
    assert summary == "2 users, the rows of logs (not counted: a session holds a lock)"


def test_a_named_lock_is_held_until_the_transaction_ends(url: str, conn: psycopg.Connection) -> None:
    with psycopg.connect(url) as holder:
        database.lock(holder, "cruddur schema")
        with conn.transaction():
            database.lock(conn, "cruddur migrations")
        with pytest.raises(Refused, match="has been working on schema for 1 seconds") as caught, conn.transaction():
            database.lock(conn, "cruddur schema", wait_s=1)
        assert caught.value.code == "locked"
        holder.commit()
        with conn.transaction():
            database.lock(conn, "cruddur schema", wait_s=1)

"""``db reset`` destroys nothing that it cannot build again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import dumps
from tests.commands.conftest import Here
from tests.commands.db.test_database import run
from tests.conftest import Engines

OBJECTS = """
    CREATE VIEW v AS SELECT 1; CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN d AS int; CREATE SEQUENCE s;
    CREATE FUNCTION f(a int, b text) RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'; CREATE AGGREGATE agg (int) (SFUNC = int4pl, STYPE = int);
    CREATE TABLE public."A b" (i int PRIMARY KEY, m mood); CREATE TABLE child () INHERITS ("A b");
    CREATE MATERIALIZED VIEW mv AS SELECT * FROM "A b"; CREATE SCHEMA other; CREATE TABLE other.t (i int);
    CREATE STATISTICS st ON i, m FROM "A b"; CREATE COLLATION col FROM "C";
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """``backend-flask/db`` with a migration, where the schema and the seeds are the built-in ones."""
    folder = tmp_path / "home" / "backend-flask" / "db"
    (folder / "migrations").mkdir(parents=True)
    (folder / "migrations" / "17000000000000000_bio.sql").write_text(
        "-- migrate:up\nALTER TABLE users ADD COLUMN bio text;\n-- migrate:down\nALTER TABLE users DROP COLUMN bio;\n"
    )
    return folder


@pytest.fixture
def owner(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a set-up database whose owner may not create databases, as on a managed server."""
    name = f"owner_{uuid.uuid4().hex[:8]}"
    parts = urlsplit(engines.database_url(name))
    with psycopg.connect(engines.database_url("postgres"), autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'Owner-pass-1'".encode())
        conn.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0".encode())
        yield parts._replace(netloc=f"{name}:Owner-pass-1@127.0.0.1:{parts.port}").geturl()
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        conn.execute(f"DROP ROLE {name}".encode())


def databases(url: str) -> set[str]:
    return {str(row[0]) for row in run(url, "SELECT datname FROM pg_database WHERE datname LIKE '%%cruddur_try%%'")}


def columns(url: str) -> set[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attnum > 0"
    return {str(row[0]) for row in run(url, query)}


def uuids(url: str) -> set[str]:
    return {str(row[0]) for row in run(url, "SELECT uuid FROM users")}


def test_a_reset_creates_everything_again(here: Here, checkout: Path, database: str) -> None:
    run(database, "DELETE FROM users")
    run(database, "CREATE TABLE more (i int)")
    ran = here("db", "reset", "--yes")
    assert ran.code == 0, ran.err
    assert len(dumps.rows(database)["users"]) == 4
    assert "bio" in columns(database)
    assert "more" not in dumps.rows(database)
    assert databases(database) == set()


@pytest.mark.parametrize("broken", ["schema.sql", "seed.sql", "migrations/17000000000000001_broken.sql"])
@pytest.mark.parametrize("as_owner", [False, True])
def test_a_reset_that_could_not_rebuild_drops_nothing(
    here: Here, checkout: Path, database: str, owner: str, broken: str, as_owner: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = owner if as_owner else database
    monkeypatch.setenv("CONNECTION_URL", url)
    assert here("db", "setup").code == 0
    run(url, "CREATE TABLE more (i int)")
    before = dumps.rows(url)
    text = "INSERT INTO nowhere VALUES (1);"
    (checkout / broken).write_text(f"-- migrate:up\n{text}\n-- migrate:down\n" if "/" in broken else text)
    ran = here("db", "reset", "--yes")
    assert ran.code == 5, ran.err
    assert broken in ran.err
    assert "Nothing was changed." in ran.err
    assert "✓" not in ran.err
    assert dumps.rows(url) == before
    assert databases(database) == set()


def test_an_owner_who_may_not_create_databases_gets_an_empty_one(
    here: Here, checkout: Path, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTION_URL", owner)
    assert here("db", "setup").code == 0
    before, known = dumps.rows(owner), uuids(owner)
    run(owner, "DELETE FROM users")
    with psycopg.connect(owner) as conn:
        conn.execute(OBJECTS.encode())
    ran = here("db", "reset", "--yes")
    assert ran.code == 0, ran.err
    assert "emptied instead" in ran.err
    assert "emptied, and loaded again" in ran.err
    assert dumps.rows(owner).keys() == before.keys()
    assert uuids(owner) == known
    assert "bio" in columns(owner)
    assert run(owner, "SELECT nspname FROM pg_namespace WHERE nspname = 'other'") == []
    assert run(owner, "SELECT typname FROM pg_type WHERE typname IN ('mood', 'd')") == []


def test_an_owner_is_asked_about_emptying(
    here: Here, checkout: Path, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTION_URL", owner)
    assert here("db", "setup").code == 0
    ran = here("db", "reset")
    assert ran.code == 6
    assert "4 activities, 4 users" in ran.err


def test_the_maintenance_database_itself_is_emptied(here: Here, engines: Engines, database: str) -> None:
    """It is the one to look from, so it cannot be dropped; nothing of this test may stay in it."""
    from dataclasses import replace

    from cruddur_cli.postgres import connection
    from cruddur_cli.postgres import database as databases_module
    from tests.postgres import servers

    at = replace(servers.server(engines.postgres_url), database="postgres")
    with connection.opened_maintenance(at) as conn:
        assert not databases_module.can_recreate(conn, "postgres")
        assert databases_module.can_recreate(conn, database.rpartition("/")[2])


def test_a_reset_of_a_missing_database_of_production_needs_its_name(
    here: Here, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, but mock data is written, as by ``setup``."""
    name = database.rpartition("/")[2]
    assert here("db", "drop", "--yes").code == 0
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    for answer in ((), ("--yes",), ("--confirm", "wrong")):
        ran = here("db", "reset", "--prod", *answer)
        assert (ran.code, f"--confirm {name}" in ran.err) == (6, True), ran.err
        assert here("db", "ping", "--prod").code == 5
    assert here("db", "reset", "--prod", "--confirm", name).code == 0

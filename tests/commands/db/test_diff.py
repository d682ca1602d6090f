"""``cruddur db diff``: every kind of difference, on a real PostgreSQL, and that the comparison leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli import times
from tests import dumps, processes, waiting
from tests.commands.conftest import Here
from tests.commands.db.test_database import run
from tests.commands.db.test_rebuild import OBJECTS, checkout, databases, owner

__all__ = ["checkout", "owner"]

RICH = """
    CREATE TYPE public.mood AS ENUM ('sad', 'happy');
    CREATE DOMAIN public.short AS text CHECK (length(VALUE) < 10);
    CREATE TABLE public.users (uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(), handle text NOT NULL UNIQUE,
        display_name text, email text, cognito_user_id text, mood public.mood DEFAULT 'sad');
    CREATE TABLE public.activities (id bigserial PRIMARY KEY, user_uuid uuid REFERENCES public.users (uuid));
    CREATE INDEX by_user ON public.activities (user_uuid);
    CREATE FUNCTION public.twice(i int) RETURNS int LANGUAGE sql AS 'SELECT 2 * i';
    CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER touched BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.touch();
    CREATE VIEW public.names AS SELECT handle FROM public.users;
    CREATE SEQUENCE public.numbers;
"""
CHANGES = {
    "table public.more": ("extra", "CREATE TABLE public.more ()"),
    "column public.users.bio": ("extra", "ALTER TABLE public.users ADD bio text"),
    "column public.users.email": ("missing", "ALTER TABLE public.users DROP email"),
    "column public.users.display_name": ("different", "ALTER TABLE public.users ALTER display_name SET NOT NULL"),
    "column public.users.cognito_user_id": (
        "different",
        "ALTER TABLE public.users ALTER cognito_user_id TYPE varchar(9)",
    ),
    "column public.users.mood": ("different", "ALTER TABLE public.users ALTER mood SET DEFAULT 'happy'"),
    "constraint public.users.users_handle_key": (
        "missing",
        "ALTER TABLE public.users DROP CONSTRAINT users_handle_key",
    ),
    "index public.by_user": ("missing", "DROP INDEX public.by_user"),
    "function public.twice(i integer)": (
        "different",
        "CREATE OR REPLACE FUNCTION public.twice(i int) RETURNS int LANGUAGE sql AS 'SELECT 3 * i'",
    ),
    "trigger public.users.touched": ("different", "ALTER TABLE public.users DISABLE TRIGGER touched"),
    "view public.names": (
        "different",
        "CREATE OR REPLACE VIEW public.names AS SELECT upper(handle) AS handle FROM public.users",
    ),
    "sequence public.numbers": ("different", "ALTER SEQUENCE public.numbers INCREMENT 2"),
    "type public.mood": ("different", "ALTER TYPE public.mood ADD VALUE 'angry'"),
    "type public.short": ("different", "ALTER DOMAIN public.short SET NOT NULL"),
    "schema other": ("extra", "CREATE SCHEMA other"),
}


@pytest.fixture
def rich(here: Here, database: str, tmp_path: Path) -> Iterator[str]:
    """A database with an object of every kind, as its schema file makes it."""
    folder = tmp_path / "home" / "backend-flask" / "db"
    folder.mkdir(parents=True)
    (folder / "schema.sql").write_text(RICH)
    (folder / "seed.sql").write_text("SELECT 1;")
    assert here("db", "reset", "--yes").code == 0
    yield database
    assert databases(database) == set()


def differences(here: Here) -> dict[str, Any]:
    ran = here("db", "diff", "-o", "json")
    assert ran.code in {0, 1}, ran.err
    items = json.loads(ran.out)["items"]
    assert ran.code == (1 if items else 0)
    return {item["object"]: item for item in items}


def test_the_schema_that_its_file_made_has_no_difference(here: Here, rich: str) -> None:
    before = dumps.rows(rich)
    assert differences(here) == {}
    assert dumps.rows(rich) == before


def test_the_database_of_a_killed_diff_is_dropped_by_the_next(
    here: Here, rich: str, environment: dict[str, str], tmp_path: Path, today: Callable[[datetime], None]
) -> None:
    home = tmp_path / "home"
    schema = home / "backend-flask" / "db" / "schema.sql"
    schema.write_text(f"{RICH} SELECT pg_sleep(600);")
    sleeps = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(600)%%' AND pid <> pg_backend_pid()"
    running = processes.start(["db", "diff"], environment=environment, cwd=home)
    try:
        waiting.until(lambda: run(rich, sleeps), at_most_s=120)
    finally:
        running.kill()
        running.communicate(timeout=60)
    (left,) = databases(rich)
    run(rich, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{left}'")
    waiting.until(lambda: not run(rich, f"SELECT 1 FROM pg_stat_activity WHERE datname = '{left}'"), at_most_s=120)
    schema.write_text(RICH)
    assert differences(here) == {}
    assert databases(rich) == {left}, "another command may be about to use a young one"
    today(times.now() + timedelta(hours=2))
    assert differences(here) == {}
    assert databases(rich) == set()


@pytest.mark.parametrize("name", CHANGES)
def test_a_single_change_is_the_only_difference(here: Here, rich: str, name: str) -> None:
    change, text = CHANGES[name]
    run(rich, text)
    found = differences(here)
    assert {name: item["change"] for name, item in found.items()} == {name: change}
    assert (found[name]["expected"] is None) == (change == "extra")
    assert (found[name]["actual"] is None) == (change == "missing")


def test_a_table_that_is_missing_altogether_is_one_line(here: Here, rich: str) -> None:
    run(rich, "DROP TABLE public.activities")
    found = here("db", "diff")
    assert [line for line in found.out.splitlines() if "activities" in line] == ["+ table public.activities"]


def test_objects_of_every_kind_are_named(here: Here, database: str) -> None:
    run(database, OBJECTS)
    run(
        database,
        """CREATE TABLE more (i int GENERATED ALWAYS AS IDENTITY, d int GENERATED ALWAYS AS (7) STORED, "a.b" int);
        ALTER TABLE more ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON more USING ("a.b" = 1);
        CREATE TABLE parts (i int) PARTITION BY LIST (i); CREATE TABLE one PARTITION OF parts FOR VALUES IN (1);
        CREATE TYPE pair AS (x int, y text); CREATE UNLOGGED TABLE fast ();""",
    )
    found = {name: item["actual"] for name, item in differences(here).items()}
    expected = {
        'table public."A b"': "",
        "aggregate public.agg(integer)": "integer",
        "procedure public.p()": "CREATE OR REPLACE PROCEDURE public.p() LANGUAGE sql AS $procedure$SELECT 1$procedure$",
        "column public.more.i": "integer not null generated always as identity",
        "column public.more.d": "integer generated as 7",
        'column public.more."a.b"': "integer",
        "table public.more": "row level security",
        "table public.parts": "partitioned",
        "table public.one": "partition",
        "table public.fast": "unlogged",
        "type public.pair": "composite",
        "type public.d": "domain integer",
        "column public.pair.y": "text",
        "schema other": "",
    }
    assert {name: text for name, text in found.items() if name in expected} == expected
    assert {"policy public.more.own", "materialized view public.mv", "table other.t"} <= found.keys()


def test_the_built_in_schema_after_a_set_up_has_no_difference(here: Here, database: str) -> None:
    assert here("db", "setup").code == 0
    assert differences(here) == {}
    assert databases(database) == set()


def test_a_terminal_shows_a_diff(here: Here, database: str) -> None:
    run(database, "ALTER TABLE users ALTER handle DROP NOT NULL, ADD bio text")
    ran = here("db", "diff")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "- column public.users.bio text",
        "- column public.users.handle text",
        "+ column public.users.handle text not null",
    ]
    assert "2 differences" in ran.err


def test_pending_migrations_are_differences_and_are_named(here: Here, checkout: Path, database: str) -> None:
    assert set(differences(here)) == {"column public.users.bio"}
    assert "1 migration pending: cruddur db migrate" in here("db", "diff").err
    assert here("db", "migrate").code == 0
    assert differences(here) == {}


def test_a_migration_that_the_schema_contains_is_no_difference(here: Here, checkout: Path, database: str) -> None:
    from cruddur_cli.commands.shared import seed_files

    text = seed_files.text("schema.sql")
    (checkout / "schema.sql").write_text(f"{text}\nALTER TABLE users ADD COLUMN bio text;\n")
    assert here("db", "reset", "--yes").code == 0
    assert differences(here) == {}


def test_a_migration_that_uses_a_new_value_of_its_type_is_built(here: Here, checkout: Path, database: str) -> None:
    folder = checkout / "migrations"
    (folder / "17000000000000001_mood.sql").write_text(
        "-- migrate:up\nCREATE TYPE mood AS ENUM ('a');\n-- migrate:down\nDROP TYPE mood;\n"
    )
    (folder / "17000000000000002_value.sql").write_text(
        "-- migrate:up\nALTER TYPE mood ADD VALUE 'b';\n-- migrate:down\nSELECT 1;\n"
    )
    (folder / "17000000000000003_use.sql").write_text(
        "-- migrate:up\nALTER TABLE users ADD mood mood DEFAULT 'b';\n-- migrate:down\nSELECT 1;\n"
    )
    assert here("db", "migrate").code == 0
    assert differences(here) == {}
    assert databases(database) == set()


def test_a_role_that_the_schema_creates_does_not_stay(here: Here, checkout: Path, database: str) -> None:
    (checkout / "schema.sql").write_text("CREATE ROLE of_a_diff; CREATE TABLE users (i int);")
    assert differences(here)
    assert run(database, "SELECT 1 FROM pg_roles WHERE rolname = 'of_a_diff'") == []


def test_a_file_that_postgresql_refuses_is_an_error_and_leaves_nothing(
    here: Here, checkout: Path, database: str
) -> None:
    (checkout / "schema.sql").write_text("CREATE TABLE a (i int);\nCREATE TABLE b (i nothing);")
    ran = here("db", "diff")
    assert ran.code == 5
    assert "schema.sql, line 2" in ran.err
    assert databases(database) == set()


def test_a_schema_file_that_is_named_is_the_expected_one(here: Here, database: str, tmp_path: Path) -> None:
    file = tmp_path / "other.sql"
    file.write_text("CREATE TABLE public.users (handle text NOT NULL);")
    ran = here("db", "diff", "--file", str(file), "-o", "json")
    changes = {item["object"]: item["change"] for item in json.loads(ran.out)["items"]}
    assert changes["table public.activities"] == "extra"
    assert "column public.users.handle" not in changes

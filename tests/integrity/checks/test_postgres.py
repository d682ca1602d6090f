"""The checks of PostgreSQL: each is found alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from cruddur_cli.integrity.checks import CHECKS
from cruddur_cli.integrity.model import findings
from tests.integrity.doctored import Breaks, World
from tests.integrity.facts import DATABASE, FACTS

STRANGER = "00000000-0000-4000-8000-000000000001"
BREAKS: Breaks = {
    "tables-missing": lambda world: world.sql("DROP TABLE public.activities"),
    "columns-missing": lambda world: world.sql("ALTER TABLE public.users DROP COLUMN cognito_user_id"),
    "handles-duplicate": lambda world: world.sql(
        "INSERT INTO public.users (uuid, display_name, handle, email, cognito_user_id)"
        f" SELECT '{STRANGER}', display_name, handle, email, cognito_user_id FROM public.users WHERE handle = 'bayko'"
    ),
    "handles-differ-in-case": lambda world: world.sql(
        "INSERT INTO public.users (uuid, display_name, handle, email, cognito_user_id)"
        f" SELECT '{STRANGER}', display_name, 'Bayko', email, cognito_user_id FROM public.users WHERE handle = 'bayko'"
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_is_found_alone_and_nothing_is_written(world: World, name: str) -> None:
    BREAKS[name](world)
    world.finds_alone(name)


def test_postgresql_12_is_too_old_and_13_is_not() -> None:
    for version, expected in ((120_022, ["postgres-version"]), (130_000, [])):
        found = findings(CHECKS, replace(FACTS, database=replace(DATABASE, version=version)))
        assert [each.check for each in found] == expected


def test_a_session_that_holds_a_lock_is_named_with_its_pid(world: World) -> None:
    with psycopg.connect(world.environment["CONNECTION_URL"]) as conn:
        conn.execute("LOCK TABLE public.activities IN SHARE MODE")
        found = world.found()
        assert list(found) == ["locks-held"]
        assert str(conn.info.backend_pid) in found["locks-held"]["evidence"]
    assert world.found() == {}


def test_a_lock_that_keeps_doctor_from_reading_is_the_same_finding(world: World) -> None:
    with psycopg.connect(world.environment["CONNECTION_URL"]) as conn:
        conn.execute("LOCK TABLE public.users")
        found = world.found()
        assert list(found) == ["locks-held"]
        assert str(conn.info.backend_pid) in found["locks-held"]["evidence"]
        assert found["locks-held"]["remedy"] == "cruddur db sessions"


def test_a_database_that_is_marked_as_production_is_a_finding(world: World) -> None:
    world.sql("CREATE TABLE public.cruddur_environment (name text PRIMARY KEY)")
    world.sql("INSERT INTO public.cruddur_environment VALUES ('production')")
    assert list(world.found()) == ["database-marked"]


@pytest.fixture
def migrations(world: World) -> Path:
    """A checkout with one migration, which is applied."""
    folder = Path("backend-flask/db/migrations")
    folder.mkdir(parents=True)
    (folder / "20260101000000_bio.sql").write_text(
        "-- migrate:up\nALTER TABLE public.users ADD COLUMN bio text;\n"
        "-- migrate:down\nALTER TABLE public.users DROP COLUMN bio;\n"
    )
    assert world.here("db", "migrate").code == 0
    assert world.found() == {}
    return folder


def test_a_pending_migration_is_found(world: World, migrations: Path) -> None:
    (migrations / "20260102000000_age.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n")
    assert list(world.found()) == ["migrations-pending"]


def test_an_applied_migration_without_a_file_is_found(world: World, migrations: Path) -> None:
    next(migrations.iterdir()).unlink()
    assert list(world.found()) == ["migration-file-missing"]


def test_a_migration_that_another_program_recorded_is_found(world: World, migrations: Path) -> None:
    (migrations / "20260102000000_age.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n")
    world.sql("UPDATE public.schema_information SET last_successful_run = '20260102000000'")
    assert list(world.found()) == ["migrations-adopted"]


def test_a_record_of_migrations_that_is_no_number_is_found(world: World, migrations: Path) -> None:
    world.sql("UPDATE public.schema_information SET last_successful_run = 'yes'")
    assert list(world.found()) == ["migrations-unreadable"]


# The schema of PostgreSQL.


@pytest.fixture
def known(world: World) -> World:
    """A database whose expected schema is known here, as after a set-up that created the tables."""
    assert "Not compared: the schema" in world.here("doctor").err
    assert world.here("db", "diff").code == 0
    assert "Not compared: the schema" not in world.here("doctor").err
    return world


@pytest.mark.parametrize(
    ("text", "undo", "evidence"),
    [
        ("ALTER TABLE users ADD bio text", "ALTER TABLE users DROP bio", "column public.users.bio is not expected"),
        (
            "ALTER TABLE activities ALTER likes_count SET DEFAULT 1",
            "ALTER TABLE activities ALTER likes_count SET DEFAULT 0",
            "column public.activities.likes_count is integer default 1, expected integer default 0",
        ),
        ("CREATE INDEX i ON users (handle)", "DROP INDEX i", "index public.i is not expected"),
    ],
)
def test_a_schema_that_was_changed_by_hand_is_found_alone(known: World, text: str, undo: str, evidence: str) -> None:
    known.sql(text)
    found = known.found()
    assert list(found) == ["schema-differs"]
    assert evidence in found["schema-differs"]["evidence"]
    assert found["schema-differs"]["remedy"] == "cruddur db diff"
    known.sql(undo)
    assert known.found() == {}


@pytest.mark.parametrize("name", ["tables-missing", "columns-missing"])
def test_what_another_check_names_is_no_second_finding(known: World, name: str) -> None:
    BREAKS[name](known)
    assert list(known.found()) == [name]


def test_the_schema_of_a_set_up_and_of_a_migration_is_known(world: World) -> None:
    assert world.here("db", "reset", "--yes").code == 0
    assert world.here("setup").code == 0
    folder = Path("backend-flask/db/migrations")
    folder.mkdir(parents=True)
    text = "-- migrate:up\nALTER TABLE users ADD bio text;\n-- migrate:down\nALTER TABLE users DROP bio;\n"
    (folder / "20260101000000_bio.sql").write_text(text)
    assert list(world.found()) == ["migrations-pending"]
    assert "Not compared: the schema" not in world.here("doctor").err
    assert world.here("db", "migrate").code == 0
    assert world.found() == {}
    assert "Not compared: the schema" not in world.here("doctor").err
    world.sql("ALTER TABLE users DROP bio")
    assert list(world.found()) == ["schema-differs"]


def test_a_schema_that_differed_before_a_migration_is_not_taken_for_the_expected_one(known: World) -> None:
    known.sql("ALTER TABLE users ADD more text")
    folder = Path("backend-flask/db/migrations")
    folder.mkdir(parents=True)
    (folder / "20260101000000_bio.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n")
    assert known.here("db", "migrate").code == 0
    assert "Not compared: the schema" in known.here("doctor").err
    assert known.here("db", "diff").code == 1
    assert list(known.found()) == ["schema-differs"]

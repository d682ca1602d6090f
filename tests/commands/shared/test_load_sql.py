"""Set-ups, seed files and schema files over existing rows: what they change, and what is printed before."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests import dumps
from tests.commands.conftest import Here
from tests.commands.db.test_database import run
from tests.conftest import Engines

EMPTIES = "DELETE FROM activities;\nWITH gone AS (DELETE FROM users RETURNING 1) SELECT * FROM gone;\n"
APPLICATIONS = """DROP TABLE IF EXISTS users; DROP TABLE IF EXISTS activities;
CREATE TABLE users (uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY, display_name text NOT NULL, handle text NOT NULL,
  email text NOT NULL, cognito_user_id text NOT NULL, created_at timestamp DEFAULT current_timestamp NOT NULL);
CREATE TABLE activities (uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY, user_uuid uuid NOT NULL,
  message text NOT NULL, replies_count integer DEFAULT 0, reposts_count integer DEFAULT 0,
  likes_count integer DEFAULT 0, reply_to_activity_uuid integer, expires_at timestamp,
  created_at timestamp DEFAULT current_timestamp NOT NULL);
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """``backend-flask/db`` of a checkout where the commands run, with a seed file that empties the tables first."""
    folder = tmp_path / "home" / "backend-flask" / "db"
    (folder / "migrations").mkdir(parents=True)
    (folder / "seed.sql").write_text(EMPTIES)
    return folder


def test_a_set_up_runs_no_seed_file_over_people(here: Here, checkout: Path, database: str) -> None:
    def kept() -> dict[str, list[str]]:
        """Every row, without the Cognito ids: the sync writes them if another test has created the demo pool."""
        with psycopg.connect(database) as conn:
            conn.execute("UPDATE users SET cognito_user_id = 'MOCK'")
        return {table: [row.partition("(")[2] for row in rows] for table, rows in dumps.rows(database).items()}

    before = kept()
    for more in ((), ("-n",)):
        ran = here("db", "setup", *more)
        assert ran.code == 0, ran.err
        assert "users: exist" in ran.err
    assert kept() == before


def test_a_set_up_loses_no_other_rows_where_there_are_no_people(here: Here, checkout: Path, database: str) -> None:
    run(database, "DELETE FROM users")
    assert "db seed" in here("db", "setup").err
    assert len(dumps.rows(database)["activities"]) == 4


def test_a_seed_file_that_deletes_is_confirmed(here: Here, checkout: Path, database: str) -> None:
    before = dumps.rows(database)
    for more, code in (((), 6), (("--confirm", "other"), 6), (("-n",), 0)):
        ran = here("db", "seed", *more)
        assert ran.code == code, ran.err
        assert "deletes or overwrites rows" in ran.err
        assert "4 activities, 4 users" in ran.err
        assert dumps.rows(database) == before
    ran = here("db", "seed", "--yes", "-o", "json")
    assert (ran.code, json.loads(ran.out)["written"], json.loads(ran.out)["deleted"]) == (0, 0, 8)
    assert "-8" not in ran.err
    assert here("db", "seed").code == 0  # nothing is left to lose


def test_the_built_in_seed_is_not_loaded_into_another_schema(here: Here, database: str) -> None:
    run(database, APPLICATIONS)
    assert here("db", "setup").code == 0
    assert len(dumps.rows(database)["users"]) == 4
    assert dumps.rows(database)["activities"] == []
    run(database, "DELETE FROM users WHERE handle <> 'bayko'")
    for command in (["setup"], ["setup", "-n"], ["seed"]):
        ran = here("db", *command)
        assert ran.code == 0, ran.err
        assert "would be added" not in ran.err or command == ["seed", "-n"]
    assert len(dumps.rows(database)["users"]) == 1


def test_a_schema_warns_of_the_objects_that_it_leaves(here: Here, checkout: Path, database: str) -> None:
    (checkout / "schema.sql").write_text('DROP TABLE IF EXISTS public.users, public."activities" CASCADE;\n')
    (checkout / "migrations" / "17000000000000000_more.sql").write_text("-- migrate:up\nCREATE TABLE more (i int);\n")
    assert here("db", "migrate").code == 0
    ran = here("db", "schema-load", "--yes")
    assert ran.code == 0
    assert "does not drop more" in ran.err
    assert "17000000000000000" in ran.err
    assert "cruddur db reset" in ran.err


def test_a_dump_loaded_over_rows_destroys_nothing_and_reports_nothing(
    here: Here, checkout: Path, database: str
) -> None:
    """pg_dump writes no DROP unless it is asked to, and an ALTER for every key."""
    (checkout / "schema.sql").write_text(
        "CREATE TABLE public.users (uuid uuid);\nCREATE TABLE public.more (i int);\n"
        "COPY public.users (uuid) FROM stdin;\n\\.\n"
        "ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (uuid);\n"
    )
    before = dumps.rows(database)
    for more in (("-n",), (), ("--yes",)):
        ran = here("db", "schema-load", *more)
        assert ran.code == 5
        assert "destroyed" not in ran.err
        assert 'relation "users" already exists' in ran.err
        assert "Nothing was changed." in ran.err
        assert "cruddur db reset --file" in ran.err
    assert dumps.rows(database) == before


def test_a_schema_that_deletes_rows_reports_them(here: Here, checkout: Path, database: str) -> None:
    (checkout / "schema.sql").write_text("DELETE FROM public.users;\n")
    ran = here("db", "schema-load")
    assert (ran.code, "destroyed: 4 users" in ran.err, "activities" in ran.err) == (6, True, True), ran.err
    assert "4 activities" not in ran.err


def test_a_schema_that_drops_all_keeps_the_stamp(
    here: Here, checkout: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    name = database.rpartition("/")[2]
    (checkout / "schema.sql").write_text("DROP SCHEMA public CASCADE; CREATE SCHEMA public;" + APPLICATIONS)
    assert here("db", "schema-load", "--prod", "--confirm", name).code == 0
    assert run(database, "SELECT name FROM cruddur_environment") == [("production",)]
    assert here("db", "schema-load", "--yes").code == 6


def test_a_stuck_session_does_not_keep_the_database(here: Here, database: str) -> None:
    with psycopg.connect(database) as stuck:
        stuck.execute("LOCK TABLE users")
        ran = here("db", "drop", "-n")
        assert "4 activities" in ran.err
        assert "users (not counted" in ran.err
        assert here("db", "drop", "--yes").code == 0
        with pytest.raises(psycopg.OperationalError):
            stuck.execute("SELECT 1")
        stuck.close()


def test_a_blocked_reader_names_the_session_that_blocks_it(
    here: Here, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=2s")  # what somebody says themselves wins over our five
    with psycopg.connect(database) as stuck:
        stuck.execute("LOCK TABLE users")
        ran = here("ddb", "list-conversations")
        assert ran.code == 5
        assert f"pid {stuck.info.backend_pid}" in ran.err


def test_a_reset_acts_once_and_a_dry_run_would_create_everything(here: Here, database: str) -> None:
    run(database, "INSERT INTO schema_information (id, last_successful_run) VALUES (2, '0')")
    ran = here("db", "reset", "-n")
    assert ran.code == 0
    assert "schema_information" not in ran.err
    assert ": exist" not in ran.err
    ran = here("db", "reset", "--yes")
    assert ran.code == 0
    assert sum(line.startswith("local: ") for line in ran.err.splitlines()) == 1


@pytest.fixture
def elsewhere(tmp_path: Path, environment: dict[str, str], empty_database: str) -> Path:
    """A checkout without ``backend-flask/db``, and an empty database."""
    environment["CONNECTION_URL"] = empty_database
    (tmp_path / "home" / ".git").mkdir()
    folder = tmp_path / "home" / "bin" / "rds" / "sql"
    folder.mkdir(parents=True)
    return folder


def people(url: str) -> list[str]:
    return [str(row[0]) for row in run(url, "SELECT handle FROM users ORDER BY 1")]


MIRA = "INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('M', 'mira', 'm@example.com', 'MOCK');"


def test_the_only_schema_and_seed_of_a_checkout_are_found(elsewhere: Path, here: Here, empty_database: str) -> None:
    (elsewhere / "schema.sql").write_text(APPLICATIONS)
    (elsewhere / "seed.sql").write_text(MIRA)
    ran = here("db", "setup")
    assert ran.code == 0, ran.err
    assert "schema: bin/rds/sql/schema.sql" in ran.err
    assert "seed: bin/rds/sql/seed.sql" in ran.err
    assert people(empty_database) == ["mira"]


def test_several_schemas_are_named_and_nothing_is_created(
    elsewhere: Path, here: Here, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (elsewhere, elsewhere.parent):
        (folder / "schema.sql").write_text(APPLICATIONS)
    (elsewhere.parents[1] / "node_modules").mkdir()
    (elsewhere.parents[1] / "node_modules" / "schema.sql").write_text(APPLICATIONS)
    name = "never_created"
    monkeypatch.setenv("CONNECTION_URL", engines.database_url(name))
    ran = here("db", "setup")
    assert ran.code == 3
    assert "2 files that may be the schema: bin/rds/schema.sql, bin/rds/sql/schema.sql" in ran.err
    assert "schema_file in cruddur.toml" in ran.err
    assert here("db", "ping").code == 5, "the database must not exist"


def test_the_built_in_schema_is_named_as_such(elsewhere: Path, here: Here) -> None:
    ran = here("db", "setup")
    assert ran.code == 0, ran.err
    assert "schema: the built-in one" in ran.err
    assert "seed: the built-in one" in ran.err


def test_a_schema_of_another_name_is_named_before_the_built_in_one_is_loaded(elsewhere: Path, here: Here) -> None:
    (elsewhere / "01_users.sql").write_text(APPLICATIONS)
    (elsewhere / "02_more.sql").write_text("CREATE TABLE more (i int);")
    ran = here("db", "setup")
    assert ran.code == 0, ran.err
    assert "no file is named schema.sql: bin/rds/sql/01_users.sql; to load a file with the table users" in ran.err
    assert "Nothing had to be done" in here("db", "setup").err
    assert "01_users" not in here("db", "setup").err


def test_other_files_are_named_by_option_variable_or_file(
    elsewhere: Path, here: Here, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        (elsewhere / f"{name}.sql").write_text(MIRA.replace("mira", name))
    written = elsewhere.parent / "cruddur.toml"
    written.write_text('seed_file = "sql/one.sql"\nschema_file = "sql/own.sql"\n')
    (elsewhere / "own.sql").write_text(APPLICATIONS)
    monkeypatch.chdir(elsewhere)
    assert here("db", "reset", "--yes").code == 0
    assert people(empty_database) == ["one"]
    monkeypatch.setenv("CRUDDUR_SEED_FILE", "two.sql")
    assert here("db", "reset", "--yes").code == 0
    assert people(empty_database) == ["two"]
    assert here("db", "reset", "--yes", "--file", "own.sql", "--seed-file", "three.sql").code == 0
    assert people(empty_database) == ["three"]


def test_built_in_people_are_not_added_to_other_people(here: Here, database: str) -> None:
    run(database, "DELETE FROM activities")
    run(database, "DELETE FROM users WHERE handle <> 'bayko'")
    for command in (("db", "setup"), ("db", "seed")):
        ran = here(*command)
        assert ran.code == 0, ran.err
        assert people(database) == ["bayko"]
    assert "built-in people are not added" in ran.err


@pytest.mark.parametrize("broken", ["schema.sql", "seed.sql"])
def test_a_refused_set_up_changes_nothing_and_reports_no_change(
    here: Here, checkout: Path, engines: Engines, database: str, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "schema.sql").write_text(APPLICATIONS)
    (checkout / "seed.sql").write_text(MIRA)
    (checkout / broken).write_text((checkout / broken).read_text() + "INSERT INTO nowhere VALUES (1);")
    name = f"{database.rpartition('/')[2]}_new"
    monkeypatch.setenv("CONNECTION_URL", engines.database_url(name))
    ran = here("db", "setup")
    assert ran.code == 5
    assert broken in ran.err
    assert "Nothing was changed." in ran.err
    assert "✓" not in ran.err
    assert here("db", "ping").code == 5, "the database must not exist"


def test_a_dry_run_shows_what_a_file_destroys_and_changes_nothing(here: Here, checkout: Path, database: str) -> None:
    (checkout / "seed.sql").write_text("DO $$ BEGIN DELETE FROM activities WHERE user_uuid IS NOT NULL; END $$;" + MIRA)
    before = dumps.rows(database)
    ran = here("db", "seed", "-n")
    assert ran.code == 0, ran.err
    assert "4 activities" in ran.err
    assert dumps.rows(database) == before

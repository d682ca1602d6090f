"""What a set-up, a seed file and a schema file do to rows that are there, and what is said of it first."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests import dumps

from .conftest import Here
from .test_db import run

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
    before = dumps.rows(database)
    for more in ((), ("-n",)):
        ran = here("db", "setup", *more)
        assert ran.code == 0, ran.err
        assert "users: there" in ran.err
    assert dumps.rows(database) == before


def test_a_set_up_loses_no_other_rows_where_there_are_no_people(here: Here, checkout: Path, database: str) -> None:
    run(database, "DELETE FROM users")
    assert "db seed" in here("db", "setup").err
    assert len(dumps.rows(database)["activities"]) == 4


def test_a_seed_file_that_deletes_is_confirmed(here: Here, checkout: Path, database: str) -> None:
    before = dumps.rows(database)
    for more, code in (((), 6), (("--confirm", "other"), 6), (("-n",), 0)):
        ran = here("db", "seed", *more)
        assert ran.code == code, ran.err
        assert "line 1: DELETE, line 2: DELETE" in ran.err
        assert "4 activities, 4 users" in ran.err
        assert dumps.rows(database) == before
    ran = here("db", "seed", "--yes", "-o", "json")
    assert (ran.code, json.loads(ran.out)["written"], json.loads(ran.out)["deleted"]) == (0, 0, 8)
    assert "-8" not in ran.err
    assert here("db", "seed").code == 0  # nothing is left to lose


def test_our_seeds_keep_away_from_another_schema(here: Here, database: str) -> None:
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


def test_a_schema_says_what_it_leaves(here: Here, checkout: Path, database: str) -> None:
    (checkout / "schema.sql").write_text('DROP TABLE IF EXISTS public.users, public."activities" CASCADE;\n')
    (checkout / "migrations" / "17000000000000000_more.sql").write_text("-- migrate:up\nCREATE TABLE more (i int);\n")
    assert here("db", "migrate").code == 0
    ran = here("db", "schema-load", "--yes")
    assert ran.code == 0
    assert "does not drop more: left" in ran.err
    assert "17000000000000000" in ran.err
    assert "cruddur db reset" in ran.err


def test_a_dump_over_rows_destroys_nothing_and_says_nothing_else(here: Here, checkout: Path, database: str) -> None:
    """pg_dump writes no DROP unless it is asked to, and an ALTER for every key."""
    (checkout / "schema.sql").write_text(
        "CREATE TABLE public.users (uuid uuid);\nCREATE TABLE public.more (i int);\n"
        "COPY public.users (uuid) FROM stdin;\n\\.\n"
        "ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (uuid);\n"
    )
    before = dumps.rows(database)
    ran = here("db", "schema-load", "-n")
    assert ran.code == 0
    assert "lost: nothing" in ran.err
    assert "does not drop activities: left" in ran.err
    assert "makes users without dropping what is there" in ran.err
    ran = here("db", "schema-load")
    assert ran.code == 5
    assert "destroyed" not in ran.err
    assert 'relation "users" already exists' in ran.err
    assert dumps.rows(database) == before


def test_a_schema_that_deletes_says_what_it_loses(here: Here, checkout: Path, database: str) -> None:
    (checkout / "schema.sql").write_text("DELETE FROM public.users WHERE false;\n")
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


def test_a_reader_names_the_session_in_its_way(here: Here, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=2s")  # what somebody says themselves wins over our five
    with psycopg.connect(database) as stuck:
        stuck.execute("LOCK TABLE users")
        ran = here("ddb", "list-conversations")
        assert ran.code == 5
        assert f"pid {stuck.info.backend_pid}" in ran.err


def test_a_reset_acts_once_and_in_a_dry_run_makes_all_anew(here: Here, database: str) -> None:
    run(database, "INSERT INTO schema_information (id, last_successful_run) VALUES (2, '0')")
    ran = here("db", "reset", "-n")
    assert ran.code == 0
    assert "schema_information" not in ran.err
    assert ": there" not in ran.err
    ran = here("db", "reset", "--yes")
    assert ran.code == 0
    assert sum(line.startswith("local: ") for line in ran.err.splitlines()) == 1

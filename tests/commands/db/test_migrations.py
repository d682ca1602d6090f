"""The commands for migrations, and the SQL files that are loaded."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import processes, waiting
from tests.commands.conftest import Here
from tests.conftest import Ran, Run

ADD_BIO = """from lib.db import db

class AddBioColumnMigration:
  def migrate_sql():
    data = \"\"\"
    ALTER TABLE public.users ADD COLUMN bio text;
    \"\"\"
    return data
  def rollback_sql():
    data = \"\"\"
    ALTER TABLE public.users DROP COLUMN bio;
    \"\"\"
    return data

migration = AddBioColumnMigration"""
BIO = "16811528612904313"
SCHEMA = """\ufeffDROP TABLE IF EXISTS public.users;\r
DROP TABLE IF EXISTS public.activities;\r
CREATE TABLE IF NOT EXISTS public.schema_information (id integer UNIQUE, last_successful_run text);\r
INSERT INTO public.schema_information (id, last_successful_run) VALUES (1, '0') ON CONFLICT (id) DO NOTHING;\r
CREATE TABLE public.users (uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY, display_name text, handle text,\r
  email text, cognito_user_id text, created_at timestamp DEFAULT current_timestamp NOT NULL);\r
CREATE TABLE public.activities (uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY, user_uuid uuid NOT NULL,\r
  message text NOT NULL, created_at timestamp DEFAULT current_timestamp NOT NULL);\r
"""
SEED = """INSERT INTO public.users (display_name, email, handle, cognito_user_id)
VALUES ('Andrew Brown', 'a@example.com', 'andrewbrown', 'MOCK'), ('Mira', 'm@example.com', 'mira', 'MOCK');
INSERT INTO public.activities (user_uuid, message)
VALUES ((SELECT uuid FROM public.users WHERE handle = 'mira' LIMIT 1), 'hello');
"""
YES = ("--yes", "-o", "json")


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """``backend-flask/db`` of a checkout, in the folder where the commands run."""
    folder = tmp_path / "home" / "backend-flask" / "db"
    (folder / "migrations").mkdir(parents=True)
    (folder / "migrations" / f"{BIO}_add_bio_column.py").write_text(ADD_BIO)
    return folder


def parsed(ran: Ran) -> Any:
    assert ran.code in {0, 1}, ran.err
    return json.loads(ran.out)


def query(url: str, text: str) -> list[Any]:
    with psycopg.connect(url) as conn:
        return conn.execute(text.encode()).fetchall()


def test_migrate_status_and_rollback(cruddur: Run, application: Path, database: str) -> None:
    status = cruddur("db", "migration-status", "-o", "json")
    assert status.code == 1
    assert parsed(status)["items"] == [
        {"version": BIO, "name": "add_bio_column", "state": "pending", "applied_at": None}
    ]

    done = parsed(cruddur("db", "migrate", "-o", "json"))
    assert (done["applied"], done["dry_run"], done["items"][0]["version"]) == (1, False, BIO)
    assert query(database, "SELECT id, last_successful_run FROM schema_information") == [(1, BIO)]
    status = cruddur("db", "migration-status", "-o", "json")
    assert (status.code, parsed(status)["items"]) == (0, done["items"])

    undone = parsed(cruddur("db", "rollback", *YES))
    assert undone["rolled_back"] == 1
    assert undone["items"] == [{"version": BIO, "name": "add_bio_column", "state": "pending", "applied_at": None}]
    assert parsed(cruddur("db", "rollback", *YES))["rolled_back"] == 0
    assert parsed(cruddur("db", "migrate", "-o", "json"))["applied"] == 1


def test_a_new_migration_is_created(cruddur: Run, application: Path) -> None:
    assert parsed(cruddur("db", "new-migration", "add nick-name", "-n", "-o", "json"))["written"] == 0
    assert len(list((application / "migrations").iterdir())) == 1
    made = parsed(cruddur("db", "new-migration", "add nick-name", "-o", "json"))["items"][0]
    assert (made["name"], len(made["version"])) == ("add_nick_name", 17)
    file = application.parent.parent / made["file"]
    assert file.parent == application / "migrations"
    file.write_text(
        "-- migrate:up\nALTER TABLE users ADD COLUMN nick text;\n-- migrate:down\nALTER TABLE users DROP COLUMN nick;\n"
    )
    assert parsed(cruddur("db", "migrate", "-o", "json"))["applied"] == 2
    assert parsed(cruddur("db", "rollback", "--to", BIO, *YES))["items"][0]["version"] == made["version"]
    file.unlink()


def test_an_empty_migration_is_refused(cruddur: Run, application: Path, database: str) -> None:
    made = cruddur("db", "new-migration", "later")
    assert "Fill in its up part and its down part, then: cruddur db migrate" in made.err
    for more in ((), ("--dry-run",)):
        ran = cruddur("db", "migrate", *more)
        assert ran.code == 2
        assert "_later.sql has no SQL in its up part" in ran.err
    assert len(query(database, "SELECT version FROM cruddur_migrations")) == 1  # the one before it


def test_a_dry_run_loads_the_files(cruddur: Run, application: Path) -> None:
    (application / "migrations" / "17000000000000000_x.py").write_text("import flask_of_nobody\n1 / 0\n")
    ran = cruddur("db", "migrate", "--dry-run")
    assert ran.code == 2
    assert "line 2: ZeroDivisionError" in ran.err


def test_a_dry_run_says_that_it_ran_code_to_read_its_sql(cruddur: Run, application: Path) -> None:
    message = "the Python code of 1 migration was run to read the SQL"
    assert message in cruddur("db", "migrate", "--dry-run").err
    assert message not in cruddur("db", "migrate").err
    assert message not in cruddur("db", "migrate", "--dry-run").err


def test_a_rollback_reports_how_many_migrations_are_rolled_back(cruddur: Run, application: Path) -> None:
    assert "no migration is applied" in cruddur("db", "rollback", "--yes").err
    assert "1 migration applied" in cruddur("db", "migrate").err
    assert f"the newest migration that is applied is {BIO}" in cruddur("db", "rollback", "--to", BIO, "--yes").err
    ran = cruddur("db", "rollback", "--yes")
    assert "1 migration rolled back" in ran.err
    assert "cruddur_migrations" not in ran.err


def test_a_dry_run_changes_nothing(cruddur: Run, application: Path, database: str) -> None:
    done = parsed(cruddur("db", "migrate", "--dry-run", "-o", "json"))
    assert (done["applied"], done["dry_run"], len(done["items"])) == (0, True, 1)
    assert query(database, "SELECT to_regclass('cruddur_migrations')") == [(None,)]
    cruddur("db", "migrate")
    done = parsed(cruddur("db", "rollback", "-n", "--steps", "3", "-o", "json"))
    assert (done["rolled_back"], done["items"][0]["version"]) == (0, BIO)
    assert cruddur("db", "migration-status").code == 0


def test_a_rollback_is_confirmed(cruddur: Run, application: Path, database: str) -> None:
    cruddur("db", "migrate")
    refused = cruddur("db", "rollback", "-o", "json")
    assert refused.code == 6
    assert "--yes" in json.loads(refused.err.splitlines()[-1])["error"]["hint"]
    assert "4 users" in refused.err
    prod: dict[str, str | None] = {"PROD_CONNECTION_URL": database}
    assert cruddur("db", "rollback", "--prod", "--yes", env=prod).code == 6
    assert cruddur("db", "migration-status").code == 0
    name = database.rpartition("/")[2]
    assert cruddur("db", "rollback", "--prod", "--confirm", name, env=prod).code == 0


def test_a_marked_database_is_rolled_back_only_with_prod(cruddur: Run, application: Path, database: str) -> None:
    cruddur("db", "migrate")
    with psycopg.connect(database) as conn:
        conn.execute("CREATE TABLE cruddur_environment (name text)")
        conn.execute("INSERT INTO cruddur_environment VALUES ('production')")
    assert cruddur("db", "rollback", "--yes").code == 6
    assert cruddur("db", "migration-status").code == 0


@pytest.mark.parametrize("more", [("--steps", "1", "--to", BIO), ("--steps", "0"), ("--steps",), ("--to", "17")])
def test_contradictory_options_of_a_rollback_are_refused(
    cruddur: Run, application: Path, more: tuple[str, ...]
) -> None:
    assert cruddur("db", "rollback", "--yes", *more).code == 2


def test_a_failing_migration_is_rolled_back(cruddur: Run, application: Path) -> None:
    bad = application / "migrations" / "17000000000000000_bad.sql"
    bad.write_text("-- migrate:up\nCREATE TABLE x (i int);\nINSERT INTO nowhere VALUES (1);\n")
    ran = cruddur("db", "migrate")
    assert (ran.code, ran.out) == (5, "")
    assert "backend-flask/db/migrations/17000000000000000_bad.sql, line 3: " in ran.err
    assert "3 | INSERT INTO nowhere VALUES (1);\n                  ^" in ran.err
    status = parsed(cruddur("db", "migration-status", "-o", "json"))
    assert [row["state"] for row in status["items"]] == ["applied", "pending"]
    assert "Nothing was changed by it. 1 earlier migration stays applied." in ran.err
    assert " Nothing was changed.\n" in cruddur("db", "migrate").err


def test_a_missing_file_of_an_applied_migration_is_reported(cruddur: Run, application: Path) -> None:
    cruddur("db", "migrate")
    (application / "migrations" / f"{BIO}_add_bio_column.py").unlink()
    status = cruddur("db", "migration-status", "-o", "json", "-q")
    assert (status.code, parsed(status)["items"][0]["name"]) == (0, "add_bio_column")
    assert f"warning: {BIO} add_bio_column was applied, and its file is not in" in status.err


@pytest.mark.parametrize("name", ["migrate", "rollback"])
def test_without_a_folder_of_migrations_the_commands_are_refused(cruddur: Run, name: str) -> None:
    ran = cruddur("db", name, "-o", "json")
    assert ran.code == 3
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert error["code"] == "no_migrations_folder"
    assert "migrations_dir" in error["hint"]


def test_eight_that_migrate_at_once_apply_each_migration_once(
    environment: dict[str, str], application: Path, tmp_path: Path, database: str
) -> None:
    for number in range(5):
        up = f"CREATE TABLE t{number} (i int); SELECT pg_sleep(0.1);"
        (application / "migrations" / f"1700000000000000{number}_t.sql").write_text(f"-- migrate:up\n{up}\n")
    command = ["db", "migrate", "-o", "json"]
    started = [processes.start(command, environment=environment, cwd=tmp_path / "home") for _ in range(8)]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 8, said
    assert sum(json.loads(out)["applied"] for out, _ in said) == 6
    assert query(database, "SELECT count(*) FROM cruddur_migrations") == [(6,)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_running_migration_with_one_line(
    environment: dict[str, str], application: Path, tmp_path: Path, database: str, number: int, code: int
) -> None:
    slow = application / "migrations" / "17000000000000000_slow.sql"
    slow.write_text("-- migrate:up\nCREATE TABLE x (i int); SELECT pg_sleep(600);\n")
    command, pipe = [sys.executable, "-m", "cruddur_cli", "db", "migrate", "--quiet"], subprocess.PIPE
    sleeping = (
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND datname = current_database()"
    )
    process = subprocess.Popen(command, env=environment, cwd=tmp_path / "home", stdout=pipe, stderr=pipe)
    waiting.until(lambda: query(database, sleeping))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, b"")
    assert len(err.splitlines()) == 1, err
    assert b"psycopg" not in err
    waiting.until(lambda: not query(database, sleeping))
    assert query(database, "SELECT to_regclass('x'), count(*) FROM cruddur_migrations") == [(None, 1)]


def test_the_checkouts_own_schema_and_seed_are_loaded(
    cruddur: Run, application: Path, empty_database: str, environment: dict[str, str]
) -> None:
    environment["CONNECTION_URL"] = empty_database
    (application / "schema.sql").write_text(SCHEMA)
    (application / "seed.sql").write_text(SEED)
    ran = cruddur("db", "setup")
    assert ran.code == 0, ran.err
    assert "backend-flask/db/schema.sql" in ran.err
    assert "backend-flask/db/seed.sql" in ran.err
    people = query(empty_database, "SELECT handle, uuid::text FROM users ORDER BY 1")
    assert people[0] == ("andrewbrown", "8b1d22bf-cedf-4fbb-b137-63dc54b4770d")
    assert [handle for handle, _ in people] == ["andrewbrown", "mira"]
    assert parsed(cruddur("db", "seed", "-o", "json"))["written"] == 0
    assert cruddur("db", "migrate").code == 0

    # The file leaves an old schema_information as it is, and the column is gone all the same.
    assert cruddur("db", "schema-load", "--yes").code == 0
    assert query(empty_database, "SELECT last_successful_run FROM schema_information") == [("0",)]
    assert cruddur("db", "migration-status").code == 1
    assert parsed(cruddur("db", "seed", "-o", "json"))["written"] == 3
    assert query(empty_database, "SELECT handle, uuid::text FROM users ORDER BY 1") == people
    assert parsed(cruddur("db", "migrate", "-o", "json"))["applied"] == 1


def test_files_of_settings_and_options_are_loaded(
    cruddur: Run, application: Path, empty_database: str, environment: dict[str, str]
) -> None:
    environment["CONNECTION_URL"] = empty_database
    home = application.parent.parent
    (home / "sql" / "deep").mkdir(parents=True)
    (home / "sql" / "mine.sql").write_text(SCHEMA)
    (home / "sql" / "people.sql").write_text(SEED)
    (application / "schema.sql").write_text("SELECT broken;")
    (home / "cruddur.toml").write_text(
        'schema_file = "sql/mine.sql"\nseed_file = "sql/people.sql"\nmigrations_dir = "sql/deep"\n'
    )
    ran = cruddur("db", "setup")
    assert ran.code == 0, ran.err
    assert parsed(cruddur("db", "migration-status", "-o", "json"))["items"] == []
    assert (
        parsed(cruddur("db", "seed", "--file", "-", "-o", "json", stdin=SEED.replace("mira", "nora")))["written"] == 2
    )
    ran = cruddur("db", "schema-load", "--file", "backend-flask/db/schema.sql", "--yes")
    assert ran.code == 5
    assert "backend-flask/db/schema.sql, line 1: " in ran.err
    assert len(query(empty_database, "SELECT * FROM users")) == 3


def test_psqls_own_commands_are_refused_before_anything_is_asked(
    cruddur: Run, application: Path, database: str
) -> None:
    (application / "schema.sql").write_text("DROP TABLE users;\n\\i other.sql\n")
    (application / "seed.sql").write_text("DELETE FROM users;\n\\i other.sql\n")
    ran = cruddur("db", "schema-load")
    assert ran.code == 2
    assert "backend-flask/db/schema.sql, line 2: \\i is a command of psql" in ran.err
    ran = cruddur("db", "seed", "-o", "json")
    assert ran.code == 2
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert (error["code"], error["file"], error["line"]) == ("psql_command", "backend-flask/db/seed.sql", 2)
    assert query(database, "SELECT count(*) FROM users") == [(4,)]


def adopted(database: str, number: str = BIO) -> None:
    """Record a migration in the table of the application's own script, which does not show if it was applied."""
    with psycopg.connect(database) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS schema_information (id integer UNIQUE, last_successful_run text)")
        conn.execute("DELETE FROM schema_information")
        conn.execute("INSERT INTO schema_information VALUES (1, %s)", [number])


def states(here: Here) -> list[Any]:
    ran = here("db", "migration-status", "-o", "json")
    return [(row["state"], row["applied_at"]) for row in json.loads(ran.out)["items"]]


def test_an_adopted_migration_has_no_time_and_can_be_run_again(here: Here, application: Path, database: str) -> None:
    adopted(database)
    assert states(here) == [("adopted", None)]
    status = here("db", "migration-status")
    assert (status.code, "cruddur db migrate --redo VERSION" in status.err) == (0, True)
    dry = parsed(here("db", "migrate", "--redo", BIO, "-n", "-o", "json"))
    assert (dry["applied"], dry["items"][0]["state"]) == (0, "adopted")
    done = parsed(here("db", "migrate", "--redo", BIO, "-o", "json"))
    assert (done["applied"], done["items"][0]["state"]) == (1, "applied")
    assert done["items"][0]["applied_at"]
    assert query(database, "SELECT bio FROM users") == [(None,)] * 4
    assert states(here) == [("applied", done["items"][0]["applied_at"])]
    assert parsed(here("db", "rollback", *YES))["rolled_back"] == 1


def test_an_adopted_migration_stays_adopted_when_a_later_one_is_applied(
    here: Here, application: Path, database: str
) -> None:
    adopted(database)
    later = "-- migrate:up\nCREATE TABLE later (i int);\n-- migrate:down\nDROP TABLE later;\n"
    (application / "migrations" / "17000000000000000_later.sql").write_text(later)
    assert parsed(here("db", "migrate", "-o", "json"))["applied"] == 1
    assert [state for state, _ in states(here)] == ["adopted", "applied"]
    assert parsed(here("db", "migrate", "--mark-applied", BIO, "-o", "json"))["marked"] == 1
    assert states(here)[0] == ("applied", None)


def test_a_table_of_an_older_version_gets_its_new_column(here: Here, application: Path, database: str) -> None:
    (application / "migrations" / "16000000000000000_old.sql").write_text("-- migrate:up\nSELECT 1;\n")
    with psycopg.connect(database) as conn:
        conn.execute(
            "CREATE TABLE cruddur_migrations"
            " (version text PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL)"
        )
        conn.execute("INSERT INTO cruddur_migrations VALUES ('16000000000000000', 'old', '2026-11-20T10:00:00Z')")
    adopted(database)
    old = ("applied", "2026-11-20T10:00:00.000000+00:00")
    assert states(here) == [old, ("adopted", None)]
    assert parsed(here("db", "migrate", "--mark-applied", BIO, "-o", "json"))["marked"] == 1
    assert states(here) == [old, ("applied", None)]


def test_already_exists_has_a_hint_with_mark_applied(here: Here, application: Path, database: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("ALTER TABLE users ADD COLUMN bio text")
    ran = here("db", "migrate")
    assert ran.code == 5
    assert f"cruddur db migrate --mark-applied {BIO}" in ran.err
    assert "Nothing was changed.\n" in ran.err
    dry = parsed(here("db", "migrate", "--mark-applied", BIO, "-n", "-o", "json"))
    assert (dry["marked"], dry["items"][0]["state"]) == (0, "pending")
    marked = parsed(here("db", "migrate", "--mark-applied", BIO, "-o", "json"))
    assert (marked["marked"], marked["applied"], marked["items"][0]["state"]) == (1, 0, "applied")
    again = here("db", "migrate", "--mark-applied", BIO)
    assert (again.code, "recorded as applied already" in again.err) == (0, True)
    assert (here("db", "migrate").code, here("db", "migration-status").code) == (0, 0)
    assert query(database, "SELECT last_successful_run FROM schema_information") == [(BIO,)]


def test_migrations_that_cannot_be_marked_or_run_again_are_refused(
    here: Here, application: Path, database: str
) -> None:
    for option in ("--mark-applied", "--redo"):
        for more in ((), ("-n",)):
            ran = here("db", "migrate", option, "17", *more)
            assert (ran.code, "There is no migration '17'" in ran.err) == (2, True)
    ran = here("db", "migrate", "--redo", BIO)
    assert (ran.code, f"Migration {BIO} is pending" in ran.err) == (2, True)
    assert here("db", "migrate", "--redo", BIO, "--mark-applied", BIO).code == 2
    assert here("db", "migrate").code == 0
    ran = here("db", "migrate", "--redo", BIO)
    assert (ran.code, "Nothing was changed.\n" in ran.err) == (5, True)

"""A set-up applies pending migrations after the seed, or reports how many are pending."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.commands.shared import seed_files
from tests import dumps
from tests.commands.conftest import Here

BIO, NICK, THIRD = "16811528612904313", "16811528612904314", "16811528612904315"


@pytest.fixture
def checkout(environment: dict[str, str], empty_database: str, tmp_path: Path) -> Path:
    """``backend-flask/db`` of a checkout with two migrations, and an empty database."""
    environment["CONNECTION_URL"] = empty_database
    folder = tmp_path / "home" / "backend-flask" / "db" / "migrations"
    folder.mkdir(parents=True)
    for version, column in ((BIO, "bio"), (NICK, "nick")):
        (folder / f"{version}_add_{column}.sql").write_text(
            f"-- migrate:up\nALTER TABLE users ADD COLUMN {column} text;\n"
            f"-- migrate:down\nALTER TABLE users DROP COLUMN {column};\n"
        )
    return folder.parent


def columns(url: str) -> set[str]:
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'users' AND table_schema = 'public'"
    with psycopg.connect(url) as conn:
        return {row[0] for row in conn.execute(query.encode()).fetchall()}


def steps(text: str) -> dict[str, Any]:
    return {item["step"]: item["result"] for item in json.loads(text)["items"]}


@pytest.mark.parametrize("command", [("setup",), ("db", "setup")])
def test_a_setup_applies_what_is_pending_once(
    environment: dict[str, str], checkout: Path, here: Here, command: tuple[str, ...]
) -> None:
    ran = here(*command)
    assert ran.code == 0, ran.err
    assert "✓ migrations: 2 applied" in ran.err
    lines = ran.err.splitlines()
    order = [next(n for n, line in enumerate(lines) if word in line) for word in ("✓ users", "✓ migrations")]
    assert order == sorted(order)
    if command == ("setup",):
        assert order[1] < next(n for n, line in enumerate(lines) if "Cognito ids" in line)
    assert {"bio", "nick"} <= columns(environment["CONNECTION_URL"])
    before = dumps.rows(environment["CONNECTION_URL"])
    again = here(*command)
    assert (again.code, "Nothing had to be done" in again.err) == (0, True)
    assert "· migrations: none is pending" in again.err
    assert dumps.rows(environment["CONNECTION_URL"]) == before


@pytest.mark.parametrize("command", [("setup",), ("db", "setup")])
def test_with_no_migrate_the_last_line_has_the_number_of_pending_migrations(
    environment: dict[str, str], checkout: Path, here: Here, command: tuple[str, ...]
) -> None:
    for _ in range(2):
        ran = here(*command, "--no-migrate")
        assert ran.code == 0, ran.err
        *_, last = (line for line in ran.err.splitlines() if not line.startswith("consumed capacity"))
        assert last == "2 migrations are pending: cruddur db migrate"
        assert "Nothing had to be done" not in ran.err
        assert "bio" not in columns(environment["CONNECTION_URL"])
    assert json.loads(here(*command, "--no-migrate", "-o", "json").out)["pending"] == 2
    assert here("db", "migrate").code == 0
    assert "Nothing had to be done" in here(*command, "--no-migrate").err


def test_in_production_pending_migrations_are_only_counted(
    environment: dict[str, str], checkout: Path, here: Here
) -> None:
    url = environment["CONNECTION_URL"]
    with psycopg.connect(url) as conn:
        conn.execute(seed_files.text("schema.sql").encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROD_CONNECTION_URL", url)
        ran = here("db", "setup", "--prod", "--confirm", url.rpartition("/")[2])
    assert ran.code == 0, ran.err
    assert "· migrations: 2 pending" in ran.err
    assert ran.err.splitlines()[-1] == "2 migrations are pending: cruddur db migrate --prod"
    assert "bio" not in columns(url)


def test_a_reset_applies_them_to_the_new_database(environment: dict[str, str], checkout: Path, here: Here) -> None:
    assert here("db", "setup", "--no-migrate").code == 0
    ran = here("db", "reset", "--yes")
    assert ran.code == 0, ran.err
    assert "✓ migrations: 2 applied" in ran.err
    assert {"bio", "nick"} <= columns(environment["CONNECTION_URL"])
    assert here("db", "reset", "--yes", "--no-migrate").err.splitlines()[-1].startswith("2 migrations are pending")


def test_a_dry_run_has_the_number_of_migrations_that_would_be_applied(
    environment: dict[str, str], checkout: Path, here: Here
) -> None:
    for command in (("setup", "-n"), ("db", "setup", "-n"), ("db", "reset", "-n")):
        ran = here(*command)
        assert ran.code == 0, ran.err
        assert "+ migrations: 2 would be applied" in ran.err
    assert columns(environment["CONNECTION_URL"]) == set()
    assert here("db", "setup", "--no-migrate").code == 0
    assert steps(here("db", "setup", "-n", "-o", "json").out)["migrations"] == "2 would be applied"
    assert here("db", "setup", "-n", "--no-migrate").err.splitlines()[-1].startswith("2 migrations are pending")


LOSSES = {
    "DELETE FROM public.activities": "4 activities.",
    "TRUNCATE public.users CASCADE": "4 users.",
    "ALTER TABLE public.users DROP COLUMN email": "4 users overwritten (1 column dropped).",
}


@pytest.mark.parametrize(
    ("command", "migration"),
    [(("setup",), "DELETE FROM public.activities"), *((("db", "setup"), migration) for migration in LOSSES)],
)
def test_a_setup_asks_before_migrations_delete_rows_or_columns(
    environment: dict[str, str], checkout: Path, here: Here, command: tuple[str, ...], migration: str
) -> None:
    assert here(*command).code == 0
    (checkout / "migrations" / f"{THIRD}_lose.sql").write_text(f"-- migrate:up\n{migration};\n-- migrate:down\n")
    before = dumps.rows(environment["CONNECTION_URL"])
    ran = here(*command)
    assert ran.code == 6
    assert "Pending migrations delete rows or columns of " in ran.err
    assert f": {LOSSES[migration]} Not confirmed" in ran.err
    assert "pass --yes, or --no-migrate" in ran.err
    dry = here(*command, "--dry-run")
    assert (dry.code, LOSSES[migration] in dry.err) == (0, True)
    assert here(*command, "--no-migrate").code == 0
    assert dumps.rows(environment["CONNECTION_URL"]) == before
    ran = here("db", "setup", "--yes")
    assert (ran.code, "✓ migrations: 1 applied" in ran.err) == (0, True), ran.err
    assert dumps.rows(environment["CONNECTION_URL"]) != before


def test_a_setup_asks_nothing_if_migrations_only_fill_a_column(
    environment: dict[str, str], checkout: Path, here: Here
) -> None:
    assert here("db", "setup").code == 0
    (checkout / "migrations" / f"{THIRD}_fill.sql").write_text(
        "-- migrate:up\nUPDATE public.users SET bio = handle; DELETE FROM public.activities WHERE false;\n"
    )
    ran = here("db", "setup")
    assert (ran.code, "✓ migrations: 1 applied" in ran.err) == (0, True), ran.err
    with psycopg.connect(environment["CONNECTION_URL"]) as conn:
        assert conn.execute("SELECT count(*) FROM users WHERE bio = handle").fetchone() == (4,)


@pytest.mark.parametrize("command", [("setup",), ("db", "setup"), ("db", "reset", "--yes")])
def test_a_file_that_cannot_run_is_refused_before_anything_is_created(
    environment: dict[str, str], checkout: Path, here: Here, command: tuple[str, ...]
) -> None:
    bad = checkout / "migrations" / "17000000000000000_bad.py"
    bad.write_text("class M:\n  def migrate_sql(): return 1 / 0\nmigration = M\n")
    ran = here(*command)
    assert ran.code == 2, ran.err
    assert f"{bad.name}, line 2: ZeroDivisionError" in ran.err
    assert not [line for line in ran.err.splitlines() if line.startswith("✓")]
    assert columns(environment["CONNECTION_URL"]) == set()


@pytest.mark.parametrize("made", [False, True])
def test_a_checkout_without_the_folder_is_no_error(
    environment: dict[str, str], empty_database: str, tmp_path: Path, here: Here, made: bool
) -> None:
    environment["CONNECTION_URL"] = empty_database
    if made:
        (tmp_path / "home" / "backend-flask" / "db").mkdir(parents=True)
    assert here("db", "setup").code == 0
    assert "migrations" not in here("db", "setup").err
    status = here("db", "migration-status", "-o", "json")
    assert (status.code, json.loads(status.out)["items"]) == (0, [])
    assert "there are no migrations here" in status.err


SCHEMA = """CREATE TABLE IF NOT EXISTS public.schema_information (id integer UNIQUE, last_successful_run text);
INSERT INTO public.schema_information VALUES (1, '0') ON CONFLICT DO NOTHING;
CREATE TABLE public.users (uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY, display_name text, handle text,
  email text, cognito_user_id text, bio text, created_at timestamp DEFAULT current_timestamp NOT NULL);
CREATE TABLE public.activities (uuid uuid DEFAULT gen_random_uuid() PRIMARY KEY, user_uuid uuid NOT NULL,
  message text NOT NULL, created_at timestamp DEFAULT current_timestamp NOT NULL);
"""


def test_a_migration_that_the_schema_contains_is_recorded(
    environment: dict[str, str], checkout: Path, here: Here
) -> None:
    (checkout / "schema.sql").write_text(SCHEMA)
    ran = here("db", "setup")
    assert ran.code == 0, ran.err
    assert "✓ migrations: 1 applied" in ran.err
    assert f"{BIO} add_bio: the schema contains it already; recorded as applied" in ran.err
    rows = json.loads(here("db", "migration-status", "-o", "json").out)["items"]
    assert [(row["state"], row["applied_at"] is None) for row in rows] == [("applied", True), ("applied", False)]
    assert "Nothing had to be done" in here("db", "setup").err
    assert here("db", "rollback", "--steps", "2", "--yes").code == 0
    assert "bio" not in columns(environment["CONNECTION_URL"])
    assert here("db", "migrate").code == 0


@pytest.mark.parametrize(
    "up",
    [
        "ALTER TABLE users ADD COLUMN bio text, ADD COLUMN city text",
        "ALTER TABLE users ADD COLUMN bio varchar(9)",
        "ALTER TABLE users ADD COLUMN bio text; UPDATE users SET bio = 'x'",
        "CREATE TABLE other (i int); ALTER TABLE users ADD COLUMN bio text",
        "SELECT broken",
    ],
)
def test_a_migration_that_the_schema_partly_contains_is_refused(
    environment: dict[str, str], checkout: Path, here: Here, up: str
) -> None:
    (checkout / "schema.sql").write_text(SCHEMA)
    down = "ALTER TABLE users DROP COLUMN IF EXISTS bio, DROP COLUMN IF EXISTS city; DROP TABLE IF EXISTS other"
    (checkout / "migrations" / f"{BIO}_add_bio.sql").write_text(f"-- migrate:up\n{up};\n-- migrate:down\n{down};\n")
    ran = here("db", "setup")
    assert ran.code == 5, ran.err
    assert ran.err.count("Nothing was changed.") == 1
    assert "`--no-migrate` sets up the rest" in ran.err
    if "broken" not in up:
        assert f"--mark-applied {BIO}" in ran.err
    assert columns(environment["CONNECTION_URL"]) == set()
    assert here("db", "setup", "--no-migrate").code == 0


@pytest.mark.parametrize("command", [("setup",), ("db", "setup"), ("db", "reset", "--yes")])
def test_migrations_that_drop_the_users_are_refused_and_nothing_is_created(
    environment: dict[str, str], checkout: Path, here: Here, command: tuple[str, ...]
) -> None:
    (checkout / "migrations" / f"{BIO}_add_bio.sql").write_text("-- migrate:up\nDROP TABLE activities, users;\n")
    (checkout / "migrations" / f"{NICK}_add_nick.sql").unlink()
    ran = here(*command)
    assert ran.code == 5, ran.err
    assert "The migrations drop the table public.users, which every command needs." in ran.err
    assert "`--no-migrate` sets up the rest" in ran.err
    assert ran.err.count("Nothing was changed.") == 1
    assert columns(environment["CONNECTION_URL"]) == set()


@pytest.mark.parametrize(
    ("up", "lost"),
    [
        ("DELETE FROM activities", ": 4 activities; `cruddur db seed` adds them again"),
        ("DROP TABLE activities", ": 4 activities"),
        ("ALTER TABLE users ADD COLUMN bio text", ""),
    ],
)
def test_a_setup_says_which_seeded_rows_the_migrations_delete(
    environment: dict[str, str], checkout: Path, here: Here, up: str, lost: str
) -> None:
    (checkout / "migrations" / f"{BIO}_add_bio.sql").write_text(f"-- migrate:up\n{up};\n")
    ran = here("db", "setup")
    assert ran.code == 0, ran.err
    said = [line for line in ran.err.splitlines() if "rows that were just seeded" in line]
    assert [line.partition("just seeded")[2] for line in said] == ([lost] if lost else [])
    assert "✓ migrations: 2 applied" in ran.err
    if "adds them again" in lost:
        assert here("db", "seed").code == 0
        with psycopg.connect(environment["CONNECTION_URL"]) as conn:
            assert conn.execute("SELECT count(*) FROM activities").fetchone() == (4,)


def test_a_new_value_of_a_type_does_not_stop_the_rehearsal(
    environment: dict[str, str], checkout: Path, here: Here
) -> None:
    folder = checkout / "migrations"
    (folder / f"{BIO}_add_bio.sql").write_text("-- migrate:up\nCREATE TYPE mood AS ENUM ('fine');\n")
    (folder / f"{NICK}_add_nick.sql").write_text("-- migrate:up\nALTER TYPE mood ADD VALUE 'sad';\n")
    (folder / "17000000000000000_use.sql").write_text("-- migrate:up\nSELECT 'sad'::mood;\n")
    ran = here("db", "setup")
    assert ran.code == 0, ran.err
    assert "✓ migrations: 3 applied" in ran.err


def test_a_setup_reports_migrations_that_another_program_recorded(
    environment: dict[str, str], checkout: Path, here: Here
) -> None:
    assert here("db", "setup", "--no-migrate").code == 0
    with psycopg.connect(environment["CONNECTION_URL"]) as conn:
        conn.execute("UPDATE schema_information SET last_successful_run = %s", [BIO])
    assert "✓ migrations: 1 applied (1 adopted: `cruddur db migration-status`)" in here("db", "setup").err
    assert "· migrations: none is pending (1 adopted: " in here("db", "setup").err


def test_a_reset_of_the_database_writes_the_ids_after_the_migrations(
    environment: dict[str, str], checkout: Path, here: Here
) -> None:
    assert here("setup").code == 0
    ran = here("db", "reset", "--yes")
    assert ran.code == 0, ran.err
    lines = ran.err.splitlines()
    order = [next(n for n, line in enumerate(lines) if word in line) for word in ("✓ migrations", "✓ Cognito ids")]
    assert order == sorted(order)
    with psycopg.connect(environment["CONNECTION_URL"]) as conn:
        assert conn.execute("SELECT count(*) FROM users WHERE cognito_user_id = 'MOCK'").fetchone() == (0,)
    assert "Nothing had to be done" in here("db", "setup").err


def test_a_seed_with_one_person_sets_up_all_but_the_conversation(
    environment: dict[str, str], checkout: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = environment["CONNECTION_URL"] + "_alone"
    monkeypatch.setenv("CONNECTION_URL", url)
    person = "('Mira', 'mira', 'm@example.com', 'MOCK')"
    (checkout / "seed.sql").write_text(
        f"INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES {person};"
    )
    ran = here("setup")
    assert ran.code == 0, ran.err
    assert "conversation: skipped. A conversation needs two people, and database" in ran.err
    assert "later: cruddur db add-user HANDLE, then cruddur setup" in ran.err
    assert here("db", "add-user", "tomas").code == 0
    ran = here("setup")
    assert ran.code == 0, ran.err
    assert "✓ conversation: 122 messages written" in ran.err
    assert here("db", "drop", "--yes").code == 0


def test_a_setup_says_if_the_tables_may_be_those_of_another_schema(checkout: Path, here: Here) -> None:
    """As in a second checkout that uses the first one's database."""
    note = "`cruddur db diff` shows whether they differ"
    schema = checkout / "schema.sql"
    schema.write_bytes(seed_files.read("schema.sql"))
    assert note not in here("db", "setup").err
    assert note not in here("db", "setup").err
    schema.write_text(schema.read_text() + "\nCREATE TABLE public.tags (name text);\n")
    ran = here("db", "setup")
    assert (ran.code, ran.err.count(note)) == (0, 1)
    assert "schema.sql as it is now" in ran.err
    assert here("db", "diff").code == 1

"""The checks of PostgreSQL: each finds its problem, and no other check does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli.integrity.checks import CHECKS
from cruddur_cli.integrity.differences import Difference
from cruddur_cli.integrity.model import Finding, Machine, Problem, Unresolved, findings
from tests.integrity.doctored import Breaks, World
from tests.integrity.facts import DATABASE, FACTS, Person, evidence_and_remedy, of

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


def test_a_lock_that_blocks_doctor_itself_is_the_same_finding(world: World) -> None:
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
    """A checkout with one applied migration."""
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
    """A database whose expected schema is known, as after a set-up that created the tables."""
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
def test_a_difference_that_another_check_reports_is_left_out(known: World, name: str) -> None:
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


def test_a_schema_that_differed_before_a_migration_is_not_the_expected_one(known: World) -> None:
    known.sql("ALTER TABLE users ADD more text")
    folder = Path("backend-flask/db/migrations")
    folder.mkdir(parents=True)
    (folder / "20260101000000_bio.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n")
    assert known.here("db", "migrate").code == 0
    assert "Not compared: the schema" in known.here("doctor").err
    assert known.here("db", "diff").code == 1
    assert list(known.found()) == ["schema-differs"]


# What is found in facts that no test makes out of a real database.


@dataclass(frozen=True)
class Applied:
    """One migration that is applied or has a file."""

    version: str
    name: str
    state: str


@dataclass(frozen=True)
class Blocker:
    """A session that holds a lock."""

    pid: int
    state: str | None
    mode: str = "ShareLock"
    relation: str = "public.users"


@dataclass(frozen=True)
class Expired:
    """Credentials that have expired."""

    what = "the credentials"
    at = FACTS.now - timedelta(minutes=1)
    remedy = "aws sso login"


def _found(name: str, *, prod: bool = False, **database: Any) -> list[Finding]:
    return of(CHECKS, replace(FACTS, prod=prod, database=replace(DATABASE, **database)), name)


def test_nothing_is_wrong_with_a_database_of_which_nothing_is_said() -> None:
    assert findings(CHECKS, FACTS) == []


@pytest.mark.parametrize(
    ("hint", "evidence", "remedy"),
    [
        ("cruddur local up", "No answer", "cruddur local up"),
        ("is it running?", "No answer (is it running?)", "cruddur config --prod"),
        (None, "No answer", "cruddur config --prod"),
    ],
)
def test_the_advice_of_an_error_is_the_remedy_where_it_is_a_command(
    hint: str | None, evidence: str, remedy: str
) -> None:
    facts = replace(FACTS, prod=True, database=Problem("No answer.", hint, "cannot_connect"))
    assert evidence_and_remedy(CHECKS, facts, "postgres-unreachable") == [(evidence, remedy)]


@pytest.mark.parametrize(
    ("code", "store", "expiry", "is_named_elsewhere"),
    [
        ("cannot_connect", "dynamodb", None, False),
        ("cannot_connect", "postgres", None, True),
        ("sql_error", "postgres", None, False),
        ("engine_stopped", "", None, True),
        ("missing_credentials", "", None, True),
        ("locked", "", None, True),
        ("refused_credentials", "", None, False),
        ("refused_credentials", "", Expired(), True),
        ("cannot_connect", "", Expired(), False),
    ],
)
def test_a_store_is_not_named_again_where_another_check_names_the_cause(
    code: str, store: str, expiry: Expired | None, is_named_elsewhere: bool
) -> None:
    hosts = [Unresolved("URL", "db", store)] if store else []
    machine = Machine(unresolved=hosts, expiry=expiry)
    facts = replace(FACTS, database=Problem("No answer.", None, code), machine=machine)
    assert (evidence_and_remedy(CHECKS, facts, "postgres-unreachable") == []) is is_named_elsewhere


def test_a_version_is_named_by_its_major() -> None:
    for version, major in ((129_999, 12), (120_000, 12), (90_624, 9)):
        (found,) = _found("postgres-version", version=version)
        assert found.evidence == f"database 'cruddur' is PostgreSQL {major}, and gen_random_uuid() needs 13"


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        (["activities", "users"], "cruddur db setup"),
        (["users"], "cruddur db schema-load"),
        (["activities"], "cruddur db schema-load"),
    ],
)
def test_tables_that_are_missing_are_set_up_or_loaded(missing: list[str], remedy: str) -> None:
    (found,) = _found("tables-missing", missing_tables=missing)
    assert (found.evidence, found.remedy) == (f"database 'cruddur' has no table {', '.join(missing)}", remedy)


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        (["uuid", "handle", "display_name", "cognito_user_uuid"], ""),
        (["uuid", "handle", "display_name"], "cognito_user_id"),
        (["uuid", "cognito_user_id"], "handle, display_name"),
        ([], "uuid, handle, display_name, cognito_user_id"),
    ],
)
def test_the_columns_that_public_users_lacks_are_named(columns: list[str], missing: str) -> None:
    found = _found("columns-missing", columns=frozenset(columns))
    remedy = "cruddur db migration-status"
    assert [(one.evidence, one.remedy) for one in found] == (
        [(f"public.users has no column {missing}", remedy)] if missing else []
    )
    assert _found("columns-missing", columns=frozenset(columns), missing_tables=["users"]) == []


def test_the_schema_that_was_expected_is_named_where_it_is_known() -> None:
    extra = [Difference("table public.more", "extra", None, "")]
    (found,) = _found("schema-differs", differences=extra, expected="schema.sql and 2 migrations")
    assert found.evidence == "the schema differs from schema.sql and 2 migrations: table public.more is not expected"
    (found,) = _found("schema-differs", differences=extra)
    assert found.evidence == "the schema differs: table public.more is not expected"


MIGRATIONS = [
    Applied("1", "bio", "applied"),
    Applied("2", "", "adopted"),
    Applied("3", "age", "adopted"),
    Applied("4", "", "pending"),
    Applied("5", "zip", "pending"),
    Applied("6", "", "applied"),
]


def test_migrations_are_named_by_their_state() -> None:
    (pending,) = _found("migrations-pending", migrations=MIGRATIONS)
    assert (pending.evidence, pending.remedy) == ("2 migrations pending: 4, 5 zip", "cruddur db migrate")
    (adopted,) = _found("migrations-adopted", migrations=MIGRATIONS)
    assert (adopted.evidence, adopted.remedy) == (
        "2 migrations recorded by another program only: 2, 3 age",
        "cruddur db migrate --mark-applied 2",
    )
    (named,) = _found("migrations-adopted", migrations=MIGRATIONS[2:])
    assert named.remedy == "cruddur db migrate --mark-applied 3"
    for has_file, lost in ((["1"], "1 applied migration without a file: 6"), (["1", "6"], "")):
        found = _found("migration-file-missing", migrations=MIGRATIONS, has_file=frozenset(has_file))
        assert [one.evidence for one in found] == ([lost] if lost else [])
    (both,) = _found("migration-file-missing", migrations=MIGRATIONS, has_file=frozenset({"2", "4"}))
    assert both.evidence == "2 applied migrations without a file: 1 bio, 6"


@pytest.mark.parametrize("migrations", [None, [], Problem("The record is unreadable.", None, "sql_error")])
def test_without_a_list_of_migrations_none_is_pending_or_lost(migrations: Any) -> None:
    found = findings(CHECKS, replace(FACTS, database=replace(DATABASE, migrations=migrations)))
    assert [(one.check, one.evidence) for one in found] == (
        [("migrations-unreadable", "The record is unreadable")] if isinstance(migrations, Problem) else []
    )


@pytest.mark.parametrize(
    ("handles", "twice", "near"),
    [
        (["gkar", "vir"], "", ""),
        (["gkar", "gkar", "gkar"], "gkar", ""),
        (["gkar", "Gkar"], "", "Gkar and gkar"),
        (["vir", "Vir", "a", "A", "a"], "a", "A and a, Vir and vir"),
        ([None, None], "", ""),
        ([None, "None"], "", ""),
    ],
)
def test_which_handles_are_the_same_or_differ_in_case(handles: list[Any], twice: str, near: str) -> None:
    people = [Person(str(number), handle) for number, handle in enumerate(handles)]
    found = _found("handles-duplicate", people=people)
    assert [one.evidence for one in found] == ([f"several people have the handle {twice}"] if twice else [])
    found = _found("handles-differ-in-case", people=people)
    assert [one.evidence for one in found] == ([f"handles that differ in case only: {near}"] if near else [])


def test_a_session_with_a_lock_is_named_with_what_is_known_of_its_state() -> None:
    (found,) = _found("locks-held", blockers=[Blocker(1, "idle in transaction"), Blocker(2, None)])
    assert found.evidence == (
        "session 1 (idle in transaction) has ShareLock on public.users,"
        " session 2 (state hidden) has ShareLock on public.users"
    )
    for code, said_so in (("locked", [("Locked", "cruddur db sessions")]), ("sql_error", [])):
        facts = replace(FACTS, database=Problem("Locked.", None, code))
        assert evidence_and_remedy(CHECKS, facts, "locks-held") == said_so


@pytest.mark.parametrize(
    ("prod", "mark", "names"),
    [
        (True, False, ["database-not-marked"]),
        (True, True, []),
        (False, True, ["database-marked"]),
        (False, False, []),
    ],
)
def test_a_database_is_marked_in_production_and_nowhere_else(prod: bool, mark: bool, names: list[str]) -> None:
    found = findings(CHECKS, replace(FACTS, prod=prod, database=replace(DATABASE, is_production=mark)))
    assert [one.check for one in found] == names
    assert [one.fixable for one in found] == [prod for _ in names]

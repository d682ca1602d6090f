"""``cruddur doctor``: each thing that can be wrong is broken alone, found alone, and named."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cruddur_cli import times
from cruddur_cli.aws import user_pool
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.schema import INDEX_KEYS, KEY_TYPES, KEYS
from tests import dumps
from tests.conftest import NOWHERE, SEEDED, Engines

from .conftest import Here
from .doctored import World, world
from .production import Run, make_table, production

__all__ = ["production", "world"]

STRANGER = "00000000-0000-4000-8000-000000000001"


def _without_rows(world: World) -> None:
    for row in world.rows():
        world.delete(row)


def _second_row(world: World) -> None:
    row = world.rows()[0]
    moment = times.instant(row["sk"]["S"])
    assert moment is not None
    world.put(row, sk=times.sort_key(moment - timedelta(days=1)))


def _behind(world: World) -> None:
    for row in world.rows():
        moment = times.instant(row["sk"]["S"])
        assert moment is not None
        world.move(row, sk=times.sort_key(moment - timedelta(minutes=1)))


def _ids(world: World) -> dict[str, str]:
    with psycopg.connect(world.environment["CONNECTION_URL"]) as conn:
        return dict(conn.execute("SELECT handle, cognito_user_id FROM public.users").fetchall())


def _anothers_id(world: World) -> None:
    theirs = _ids(world)["londo"]
    world.sql(f"UPDATE public.users SET cognito_user_id = '{theirs}' WHERE handle = 'bayko'")


def _other_form(world: World) -> None:
    message = world.messages()[0]
    world.move(message, sk=message["sk"]["S"].replace("+00:00", "Z"))


def _no_zone(world: World) -> None:
    message = world.messages()[0]
    world.move(message, sk=message["sk"]["S"].replace("+00:00", ""))


def _wrong_prefix(world: World) -> None:
    message = world.messages()[0]
    world.move(message, pk=message["pk"]["S"].replace("MSG#", "MESSAGE#"))


def _last_year(world: World) -> None:
    world.shift(-timedelta(days=366))


def _with_oneself(world: World) -> None:
    row = world.rows()[0]
    me = row["pk"]["S"].removeprefix("GRP#")
    mine = next(other for other in world.messages() if other["user_uuid"]["S"] == me)
    named = {name: mine[name]["S"] for name in ("user_uuid", "user_handle", "user_display_name")}
    world.put(row, message_group_uuid="a-monologue", sk=mine["sk"]["S"], **named)


BREAKS: dict[str, Callable[[World], None]] = {
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
    "cognito-id-mock": lambda world: world.sql(
        "UPDATE public.users SET cognito_user_id = 'MOCK' WHERE handle = 'bayko'"
    ),
    "cognito-id-of-another": _anothers_id,
    "items-foreign": lambda world: world.put({}, pk="SETTING#1", sk="x"),
    "wrong-key-prefix": _wrong_prefix,
    "time-zones-mixed": _no_zone,
    "sort-key-form": _other_form,
    "times-in-future": lambda world: world.shift(timedelta(days=1)),
    "conversation-without-rows": _without_rows,
    "conversation-with-one-row": lambda world: world.delete(world.rows()[0]),
    "conversation-with-doubled-row": _second_row,
    "conversation-behind": _behind,
    "conversation-with-oneself": _with_oneself,
    "uuids-regenerated": lambda world: world.sql(
        "UPDATE public.users SET uuid = gen_random_uuid() WHERE handle = 'bayko'"
    ),
    "rows-of-unknown-people": lambda world: world.sql("DELETE FROM public.users WHERE handle = 'bayko'"),
    "names-changed": lambda world: world.sql(
        "UPDATE public.users SET display_name = 'Andy Bayko' WHERE handle = 'bayko'"
    ),
}


def test_nothing_is_wrong_after_a_set_up(world: World) -> None:
    assert world.found() == {}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_alone_is_found_alone_and_nothing_is_written(world: World, name: str) -> None:
    BREAKS[name](world)
    before = dumps.rows(world.environment["CONNECTION_URL"]), dumps.items(world.environment)
    assert list(world.found()) == [name]
    assert (dumps.rows(world.environment["CONNECTION_URL"]), dumps.items(world.environment)) == before


def test_a_person_who_was_deleted_is_added_again_as_the_rows_name_them(world: World) -> None:
    before = dumps.rows(world.environment["CONNECTION_URL"])["users"]
    BREAKS["rows-of-unknown-people"](world)
    _, *words = shlex.split(world.found()["rows-of-unknown-people"]["remedy"])
    assert words[:3] == ["db", "add-user", "bayko"]
    assert world.here(*words).code == 0
    assert list(world.found()) == ["cognito-id-mock"]
    assert world.here("setup").code == 0
    assert world.found() == {}
    assert len(dumps.rows(world.environment["CONNECTION_URL"])["users"]) == len(before)


def test_the_stream_of_the_table_that_was_read_is_turned_off(world: World) -> None:
    """With default names a command without the endpoint would reach the table of production."""
    _recreate(world, **dict(TABLES["stream-view"]))
    remedy = world.found()["stream-view"]["remedy"]
    assert f"--table-name {world.table.table}" in remedy
    assert f"--endpoint-url {world.table.at.url}" in remedy


def test_conversations_of_an_earlier_year_only_are_a_finding(world: World, today: Callable[[datetime], None]) -> None:
    today(datetime(times.now().year + 1, 3, 1, tzinfo=UTC))
    assert list(world.found()) == ["other-years-only"]


def test_a_left_over_claim_is_said_and_is_no_finding(world: World) -> None:
    world.put({}, pk=f"CLAIM#{SEEDED}", sk="CLAIM", claimed_by="x")
    ran = world.here("doctor")
    assert ran.code == 0
    assert "1 claim of a killed command" in ran.err


def test_a_session_that_holds_a_lock_is_named_with_its_pid(world: World) -> None:
    with psycopg.connect(world.environment["CONNECTION_URL"]) as conn:
        conn.execute("LOCK TABLE public.activities IN SHARE MODE")
        found = world.found()
        assert list(found) == ["locks-held"]
        assert str(conn.info.backend_pid) in found["locks-held"]["evidence"]
    assert world.found() == {}


def test_a_database_that_is_marked_as_production_is_a_finding(world: World) -> None:
    world.sql("CREATE TABLE public.cruddur_environment (name text PRIMARY KEY)")
    world.sql("INSERT INTO public.cruddur_environment VALUES ('production')")
    assert list(world.found()) == ["database-marked"]


def test_a_table_that_is_marked_as_production_is_a_finding(world: World) -> None:
    assert tables.mark_production(world.table)
    assert list(world.found()) == ["table-marked"]


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


# The table itself.


def _recreate(world: World, **changed: Any) -> None:
    tables.drop(world.table, say=lambda _: None)
    units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    index = {
        "IndexName": "message-group-sk-index",
        "KeySchema": INDEX_KEYS,
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": units,
    }
    params: dict[str, Any] = {
        "KeySchema": KEYS,
        "AttributeDefinitions": KEY_TYPES,
        "ProvisionedThroughput": units,
        "GlobalSecondaryIndexes": [{**index, **changed.pop("index", {})}],
        **changed,
    }
    if params["GlobalSecondaryIndexes"] == [index] and not changed:
        del params["GlobalSecondaryIndexes"]
        params["AttributeDefinitions"] = [each for each in KEY_TYPES if each["AttributeName"] in {"pk", "sk"}]
    world.table.client.create_table(TableName=world.table.table, **params)


TABLES: dict[str, dict[str, Any]] = {
    "index-missing": {},
    "table-keys": {
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "message_group_uuid", "KeyType": "RANGE"},
        ]
    },
    "index-keys": {"index": {"KeySchema": [{"AttributeName": "message_group_uuid", "KeyType": "HASH"}]}},
    "index-projection": {"index": {"Projection": {"ProjectionType": "KEYS_ONLY"}}},
    "index-capacity": {"index": {"ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 1}}},
    "stream-view": {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}},
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_another_shape_is_found(world: World, name: str) -> None:
    _recreate(world, **dict(TABLES[name]))
    assert list(world.found()) == [name]


def test_a_missing_table_is_found_and_setup_creates_it(world: World) -> None:
    tables.drop(world.table, say=lambda _: None)
    found = world.found()
    assert list(found) == ["table-missing"]
    assert found["table-missing"]["remedy"] == "cruddur ddb setup"
    assert world.here("ddb", "setup").code == 0
    assert world.found() == {}


def test_items_in_another_store_of_this_machine_are_found(
    world: World, dynamodb_local: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dynamodb_local is None:
        pytest.skip("no DynamoDB Local on this machine; .ci/run starts one")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    found = world.found()
    assert list(found) == ["wrong-store"]
    assert world.environment["AWS_ENDPOINT_URL_DYNAMODB"] in found["wrong-store"]["remedy"]


# The user pool.


@pytest.fixture
def pooled(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same with a user pool that is not the demo pool, in which everybody is."""
    pool = world.pool("andrewbrown", "bayko", "altbrown", "londo")
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", pool.id)
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", world.environment["AWS_ENDPOINT_URL_DYNAMODB"])
    assert world.here("db", "update-cognito-user-ids").code == 0
    assert world.found() == {}
    world.own_pool = pool
    return world


POOLS: dict[str, Callable[[World], Any]] = {
    "cognito-no-handle": lambda world: world.own_pool.add("nameless", None),
    "cognito-only-there": lambda world: world.own_pool.add("new", "gkar"),
    "cognito-only-here": lambda world: world.own_pool.client.admin_delete_user(
        UserPoolId=world.own_pool.id, Username="user-3"
    ),
    "cognito-other-case": lambda world: world.own_pool.client.admin_update_user_attributes(
        UserPoolId=world.own_pool.id,
        Username="user-3",
        UserAttributes=[{"Name": "preferred_username", "Value": "Londo"}],
    ),
    "cognito-disabled": lambda world: world.own_pool.client.admin_disable_user(
        UserPoolId=world.own_pool.id, Username="user-3"
    ),
}


@pytest.mark.parametrize("name", POOLS)
def test_what_differs_between_pool_and_database_is_found_alone(pooled: World, name: str) -> None:
    POOLS[name](pooled)
    assert list(pooled.found()) == [name]


@pytest.fixture
def demo_pool(world: World) -> Iterator[None]:
    """The demo pool, which other tests use too, has the same people afterwards."""
    url = world.environment["AWS_ENDPOINT_URL_DYNAMODB"]
    at = aws_client.Endpoint("cognito-idp", url, aws_client.LOCAL_REGION, "Cognito")
    client = aws_client.open_client(at)
    pool = user_pool.require_pool(client, at)
    cognito = user_pool.Cognito(client, at, pool)
    before = {account.username for account in user_pool.identities(cognito)}
    yield
    for account in list(user_pool.identities(cognito)):
        if account.username not in before:
            client.admin_delete_user(UserPoolId=pool, Username=account.username)


@pytest.mark.usefixtures("demo_pool")
def test_a_person_who_was_added_is_not_in_the_demo_pool_until_the_next_set_up(world: World) -> None:
    ran = world.here("db", "add-user", "ines")
    assert ran.code == 0
    assert "ines cannot sign in yet; `cruddur setup` adds the person to the demo user pool" in ran.err
    found = world.found()
    assert list(found) == ["cognito-only-here"]
    assert found["cognito-only-here"]["remedy"] == "cruddur setup"
    assert found["cognito-only-here"]["fixable"]
    assert world.here("setup").code == 0
    assert world.found() == {}
    assert "cannot sign in" not in world.here("db", "add-user", "ines").err


@pytest.mark.usefixtures("demo_pool")
def test_fix_adds_a_person_to_the_demo_pool(world: World) -> None:
    assert world.here("db", "add-user", "ines").code == 0
    assert world.here("doctor", "--fix", "--yes").code == 0
    assert world.found() == {}


# Stores that cannot be read.


def test_a_database_that_cannot_be_reached_does_not_hide_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put({}, pk="SETTING#1", sk="x")
    monkeypatch.setenv("CONNECTION_URL", "postgresql://nobody:secret@127.0.0.1:9/cruddur")
    found = world.found()
    assert list(found) == ["postgres-unreachable", "items-foreign"]
    assert "secret" not in json.dumps(found)


def test_a_dynamodb_that_cannot_be_reached_is_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", NOWHERE)
    assert list(world.found()) == ["dynamodb-unreachable"]


def test_a_user_pool_that_does_not_exist_is_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", "us-east-1_gone")
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", world.environment["AWS_ENDPOINT_URL_DYNAMODB"])
    assert list(world.found()) == ["cognito-unreachable"]


def test_engines_that_do_not_run_are_a_finding_and_are_not_started(
    here: Here, engines: Engines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("CONNECTION_URL", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CRUDDUR_HOME", str(tmp_path / "stopped"))
    ran = here("doctor", "-o", "json")
    assert ran.code == 1
    assert [item["check"] for item in json.loads(ran.out)["items"]] == ["engine-stopped"]
    assert json.loads(ran.out)["items"][0]["remedy"] == "cruddur local up"
    assert not (tmp_path / "stopped").exists()


def test_production_without_the_marks_that_protect_it_is_found(
    production: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(items=0)
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    before = dumps.rows(database)
    ran = production("doctor", "--prod", "-o", "json")
    assert ran.code == 1
    found = json.loads(ran.out)["items"]
    assert [item["check"] for item in found] == ["database-not-marked", "table-not-marked"]
    assert dumps.rows(database) == before


def test_production_never_falls_back_to_another_database(production: Run) -> None:
    make_table(items=0)
    (first, second) = json.loads(production("doctor", "--prod", "-o", "json").out)["items"]
    assert (first["check"], second["check"]) == ("postgres-unreachable", "table-not-marked")
    assert "PROD_CONNECTION_URL is not set" in first["evidence"]


# What is fixed.


FIXABLE = (
    "cognito-id-mock",
    "conversation-without-rows",
    "conversation-with-one-row",
    "conversation-with-doubled-row",
    "conversation-behind",
    "names-changed",
)


def _without_names(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in item.items() if "name" not in name} for item in items]


@pytest.mark.parametrize("name", FIXABLE)
def test_fix_changes_what_it_found_and_can_be_run_twice(world: World, name: str) -> None:
    whole = world.items()
    BREAKS[name](world)
    assert world.found()[name]["fixable"]
    ran = world.here("doctor", "--fix", "--yes", "-o", "json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["fixed"] == 1
    fixed = dumps.rows(world.environment["CONNECTION_URL"]), world.items()
    assert _without_names(fixed[1]) == _without_names(whole)
    again = world.here("doctor", "--fix", "--yes", "-o", "json")
    assert (again.code, json.loads(again.out)["fixed"]) == (0, 0)
    assert (dumps.rows(world.environment["CONNECTION_URL"]), world.items()) == fixed


@pytest.mark.parametrize("name", sorted(BREAKS.keys() - set(FIXABLE)))
def test_fix_does_not_change_what_only_a_person_can_decide(world: World, name: str) -> None:
    BREAKS[name](world)
    before = dumps.rows(world.environment["CONNECTION_URL"]), world.items()
    ran = world.here("doctor", "--fix", "--yes")
    assert ran.code == 1
    assert f"not fixed: {name}" in ran.err
    assert (dumps.rows(world.environment["CONNECTION_URL"]), world.items()) == before


def test_an_id_of_another_person_is_fixed_from_a_pool_of_ones_own(pooled: World) -> None:
    _anothers_id(pooled)
    assert list(pooled.found()) == ["cognito-id-of-another"]
    assert pooled.here("doctor", "--fix", "--yes").code == 0
    assert pooled.found() == {}


def test_several_findings_are_fixed_at_once(world: World) -> None:
    for name in ("conversation-with-one-row", "names-changed", "cognito-id-mock", "items-foreign"):
        BREAKS[name](world)
    ran = world.here("doctor", "--fix", "--yes", "-o", "json")
    assert ran.code == 1
    assert [item["check"] for item in json.loads(ran.out)["items"]] == ["items-foreign"]
    assert json.loads(ran.out)["fixed"] == 3


def test_fix_asks_first_and_changes_nothing_without_an_answer(world: World) -> None:
    BREAKS["conversation-with-one-row"](world)
    before = world.items()
    ran = world.here("doctor", "--fix")
    assert ran.code == 6
    assert "--yes" in ran.err
    assert world.items() == before


def test_a_row_of_a_conversation_without_messages_is_left(world: World) -> None:
    row = world.rows()[0]
    world.put(row, message_group_uuid="empty", sk=world.messages()[0]["sk"]["S"])
    ran = world.here("doctor", "--fix", "--yes")
    assert ran.code == 1
    assert "1 conversation not fixed" in ran.err
    assert list(world.found()) == ["conversation-with-one-row"]


def test_fix_gives_production_the_marks_once_its_name_is_confirmed(
    production: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(items=0)
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    refused = production("doctor", "--prod", "--fix", "--yes")
    assert refused.code == 6
    assert refused.err.index("RCU") < refused.err.index("doctor will fix: database-not-marked, table-not-marked")
    left = json.loads(production("doctor", "--prod", "-o", "json").out)["items"]
    assert [item["check"] for item in left] == ["database-not-marked", "table-not-marked"]
    ran = production("doctor", "--prod", "--fix", "--confirm", "cruddur-messages", "-o", "json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["fixed"] == 2


def test_nothing_is_wrong_after_a_set_up_of_dynamodb_local(
    here: Here, dynamodb_local: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dynamodb_local is None:
        pytest.skip("no DynamoDB Local on this machine; .ci/run starts one")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    assert here("setup").code == 0
    ran = here("doctor", "-o", "json")
    assert (ran.code, json.loads(ran.out)["items"]) == (0, [])


def test_nothing_is_wrong_after_a_set_up_of_a_database_of_ones_own(
    here: Here,
    postgres_majors: list[int],
    postgres_database: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONNECTION_URL", postgres_database(max(postgres_majors, default=18)))
    assert here("setup").code == 0
    ran = here("doctor", "-o", "json")
    assert (ran.code, json.loads(ran.out)["items"]) == (0, [])


# What it costs.


def test_within_max_units_a_sample_is_read_and_says_what_it_leaves_open(world: World) -> None:
    BREAKS["conversation-with-one-row"](world)
    ran = world.here("doctor", "--max-units", "2", "-o", "json")
    told = json.loads(ran.out)
    assert told["sampled"]
    assert told["consumed_capacity"]["read_units"] <= 2
    assert "Not checked: the group rows" in ran.err
    assert told["items"] == []
    whole = json.loads(world.here("doctor", "--max-units", "100", "-o", "json").out)
    assert not whole["sampled"]
    assert [item["check"] for item in whole["items"]] == ["conversation-with-one-row"]


def test_an_export_is_read_instead_of_the_table(world: World, tmp_path: Path) -> None:
    BREAKS["conversation-with-one-row"](world)
    file = str(tmp_path / "messages.jsonl")
    assert world.here("ddb", "export", file).code == 0
    for row in world.rows():
        world.delete(row)
    ran = world.here("doctor", "--from", file, "-o", "json")
    assert [item["check"] for item in json.loads(ran.out)["items"]] == ["conversation-with-one-row"]
    assert "consumed_capacity" not in json.loads(ran.out)


def test_fix_reads_the_whole_table_only(world: World) -> None:
    assert world.here("doctor", "--fix", "--max-units", "2").code == 2


def test_production_says_what_the_reading_costs(
    production: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(items=3)
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    assert "at most 1000 RCU are used" in production("doctor", "--prod").err

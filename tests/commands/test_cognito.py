"""The user pool and the sync: everybody is listed, the right rows are written, and nobody is passed over in silence."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cruddur_cli import sdk
from tests import dumps
from tests.conftest import Engines

from .conftest import Here

FIELDS = ["handle", "sub", "username", "email", "status", "enabled", "created_at"]


@pytest.fixture
def client(engines: Engines) -> Any:
    return sdk.open_client(sdk.Endpoint("cognito-idp", engines.aws, None, "the engine"))


@pytest.fixture
def pool(client: Any, engines: Engines, here: Here, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A pool of this test's own, which the commands are pointed at."""
    made = client.create_user_pool(PoolName=f"test-{uuid.uuid4().hex[:8]}")["UserPool"]["Id"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", engines.aws)
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", made)
    yield made
    client.delete_user_pool(UserPoolId=made)


def add(client: Any, pool: str, username: str, handle: str | None) -> str:
    attributes = [{"Name": "email", "Value": f"{username}@example.com"}]
    attributes += [{"Name": "preferred_username", "Value": handle}] if handle else []
    user = client.admin_create_user(
        UserPoolId=pool, Username=username, MessageAction="SUPPRESS", UserAttributes=attributes
    )["User"]
    return next(str(one["Value"]) for one in user["Attributes"] if one["Name"] == "sub")


def insert(url: str, *handles: str) -> None:
    import psycopg

    with psycopg.connect(url) as conn:
        for handle in handles:
            conn.execute(
                "INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES (%s, %s, %s, 'MOCK')",
                [handle, handle, f"{handle}@example.com"],
            )


def ids(url: str) -> dict[str, str]:
    import psycopg

    with psycopg.connect(url) as conn:
        return dict(conn.execute("SELECT handle, cognito_user_id FROM users").fetchall())


def test_all_of_130_people_are_listed_and_synced_and_five_are_named(
    here: Here, client: Any, pool: str, database: str
) -> None:
    subs = {f"person{n}": add(client, pool, f"person{n}", f"person{n}") for n in range(125)}
    nameless = {f"nameless{n}": add(client, pool, f"nameless{n}", None) for n in range(5)}
    insert(database, *subs)
    listed = json.loads(here("cognito", "list-users", "-o", "json").out)
    assert listed["count"] == 130
    assert all(list(item) == FIELDS for item in listed["items"])
    assert {item["username"]: item["sub"] for item in listed["items"]} == {**subs, **nameless}
    assert {item["handle"] for item in listed["items"] if item["username"] in nameless} == {None}
    ran = here("db", "update-cognito-user-ids", "-o", "json")
    done = json.loads(ran.out)
    assert (ran.code, done["updated"], done["unchanged"]) == (0, 125, 0)
    assert Counter(item["result"] for item in done["items"]) == {"updated": 125, "no handle": 5, "still MOCK": 4}
    for name, sub in nameless.items():
        assert f"skipped: {name} ({sub})" in ran.err
    assert {handle: found for handle, found in ids(database).items() if handle in subs} == subs
    before = dumps.rows(database)
    again = json.loads(here("db", "update-cognito-user-ids", "-o", "json").out)
    assert (again["updated"], again["unchanged"]) == (0, 125)
    assert dumps.rows(database) == before


def test_what_cannot_be_matched_is_named_and_nobody_is_overwritten(
    here: Here, client: Any, pool: str, database: str
) -> None:
    sub = add(client, pool, "andrew", "andrewbrown")
    add(client, pool, "upper", "BAYKO")
    add(client, pool, "stranger", "stranger")
    add(client, pool, "first", "londo")
    add(client, pool, "second", "londo")
    ran = here("db", "update-cognito-user-ids", "-o", "json")
    items = [(item["handle"], item["result"]) for item in json.loads(ran.out)["items"]]
    assert ran.code == 1  # a handle that two people have needs somebody to look at it
    assert Counter(items) == {
        ("andrewbrown", "updated"): 1,
        ("BAYKO", "no such user"): 1,
        ("stranger", "no such user"): 1,
        ("londo", "duplicate handle"): 2,
        ("altbrown", "still MOCK"): 1,
        ("bayko", "still MOCK"): 1,
        ("londo", "still MOCK"): 1,
    }
    assert ids(database) == {"andrewbrown": sub, "bayko": "MOCK", "altbrown": "MOCK", "londo": "MOCK"}


def test_a_handle_that_two_rows_have_is_written_for_neither(here: Here, client: Any, pool: str, database: str) -> None:
    add(client, pool, "andrew", "andrewbrown")
    insert(database, "andrewbrown")
    before = dumps.rows(database)
    ran = here("db", "update-cognito-user-ids", "-o", "json")
    assert ran.code == 1
    assert json.loads(ran.out)["items"][0]["result"] == "duplicate handle"
    assert dumps.rows(database) == before


def test_booleans_are_the_same_words_in_csv_and_json(here: Here, client: Any, pool: str) -> None:
    add(client, pool, "andrew", "andrewbrown")
    assert "true" in here("cognito", "list-users", "-o", "csv").out.splitlines()[1].split(",")


def test_a_handle_that_differs_in_case_only_is_not_added(here: Here, client: Any, pool: str, database: str) -> None:
    for username, handle in (("a", "Bayko"), ("b", "Mira"), ("c", "mira"), ("d", "new")):
        add(client, pool, username, handle)
    before = ids(database)
    for flags in (["-n"], []):
        ran = here("db", "update-cognito-user-ids", "--create-missing", "-o", "json", *flags)
        found = {item["handle"]: item["result"] for item in json.loads(ran.out)["items"]}
        assert found["Bayko"] == "no such user"
        assert sorted((found["Mira"], found["mira"])) == ["created", "no such user"]
        assert found["new"] == "created"
        assert "not added: Bayko differs from bayko in case only" in ran.err
        assert ran.err.count("not added") == 2
    assert {handle.lower() for handle in set(ids(database)) - set(before)} == {"mira", "new"}
    assert len(ids(database)) == len(before) + 2


def test_many_who_are_skipped_are_counted_where_a_table_names_them(
    here: Here, client: Any, pool: str, database: str
) -> None:
    for n in range(12):
        add(client, pool, f"nameless{n}", None)
    assert here("db", "update-cognito-user-ids", "-o", "json").err.count("skipped: nameless") == 12
    err = here("db", "update-cognito-user-ids").err
    assert err.count("skipped: nameless") == 5
    assert "skipped: 7 more, 12 without preferred_username" in err


def test_a_dry_run_of_the_sync_says_the_same_and_writes_nothing(
    here: Here, client: Any, pool: str, database: str
) -> None:
    add(client, pool, "andrew", "andrewbrown")
    before = dumps.rows(database)
    shown = here("db", "update-cognito-user-ids", "-n", "-o", "json")
    ran = json.loads(shown.out)
    assert (ran["updated"], ran["dry_run"]) == (1, True)
    assert "would be updated 1" in shown.err
    assert dumps.rows(database) == before


def test_an_update_that_fails_half_way_writes_nobody(here: Here, client: Any, pool: str, database: str) -> None:
    import psycopg

    for handle in ("andrewbrown", "bayko", "altbrown", "londo"):
        add(client, pool, handle, handle)
    with psycopg.connect(database) as conn:
        conn.execute("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF (SELECT count(*) FROM users WHERE cognito_user_id <> 'MOCK') >= 2 OR NEW.handle = 'londo' THEN
                    RAISE EXCEPTION 'no more today';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION refuse()""")
    before = dumps.rows(database)
    ran = here("db", "update-cognito-user-ids")
    assert (ran.code, ran.out) == (5, "")
    assert "no more today" in ran.err
    assert dumps.rows(database) == before


def test_an_empty_pool_and_a_missing_pool_are_told_apart(
    here: Here, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = here("cognito", "list-users")
    assert (ran.code, ran.out) == (0, "")
    assert "has no users" in ran.err
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", "us-east-1_NotThere")
    assert here("cognito", "list-users").code == 5


@pytest.fixture
def demo(here: Here, engines: Engines, client: Any) -> dict[str, str]:
    """The demo pool of the embedded stack, with the seeded people in it; their ids by handle."""
    assert here("setup").code == 0
    listed = json.loads(here("cognito", "list-users", "-o", "json").out)["items"]
    return {item["handle"]: item["sub"] for item in listed if item["handle"]}


def set_id(url: str, handle: str, value: str) -> None:
    import psycopg

    with psycopg.connect(url) as conn:
        conn.execute("UPDATE users SET cognito_user_id = %s WHERE handle = %s", [value, handle])


@pytest.mark.parametrize("command", [["setup"], ["db", "update-cognito-user-ids"]])
def test_the_demo_pool_replaces_mock_and_no_real_id(
    here: Here, demo: dict[str, str], database: str, command: list[str]
) -> None:
    set_id(database, "andrewbrown", "real-id-of-somebody")
    set_id(database, "bayko", "MOCK")
    ran = here(*command)
    assert ran.code == 0, ran.err
    found = ids(database)
    assert (found["andrewbrown"], found["bayko"]) == ("real-id-of-somebody", demo["bayko"])
    assert "1 person keeps another id: the demo pool replaces MOCK only" in ran.err
    assert "user pool cruddur-demo, the embedded Cognito at http" in ran.err


def test_a_database_of_production_gets_neither_mock_rows_nor_ids_of_the_demo_pool(
    here: Here, demo: dict[str, str], database: str
) -> None:
    import psycopg

    from cruddur_cli.postgres import stamp

    set_id(database, "bayko", "MOCK")
    insert(database, "customer")
    with psycopg.connect(database) as conn:
        stamp.write(conn)
    before = dumps.rows(database)
    for command in (["setup"], ["setup", "-n"], ["db", "setup"], ["db", "seed"], ["db", "update-cognito-user-ids"]):
        ran = here(*command)
        assert ran.code == 6, command
        assert "next: --prod" in ran.err
    assert dumps.rows(database) == before
    listed = json.loads(here("cognito", "list-users", "-o", "json").out)["items"]
    assert "customer" not in {item["handle"] for item in listed}

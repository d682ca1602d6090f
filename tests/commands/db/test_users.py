"""`db update-cognito-user-ids`: the right rows are written, and each person who is skipped is named."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests import dumps
from tests.commands.conftest import Here
from tests.commands.pools import add, ids, insert
from tests.conftest import Engines


def test_an_ambiguous_match_is_named_and_no_person_is_overwritten(
    here: Here, cognito: Any, pool: str, database: str
) -> None:
    sub = add(cognito, pool, "andrew", "andrewbrown")
    add(cognito, pool, "upper", "BAYKO")
    add(cognito, pool, "stranger", "stranger")
    add(cognito, pool, "first", "londo")
    add(cognito, pool, "second", "londo")
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


def test_a_handle_that_two_rows_have_is_written_for_neither(here: Here, cognito: Any, pool: str, database: str) -> None:
    add(cognito, pool, "andrew", "andrewbrown")
    insert(database, "andrewbrown")
    before = dumps.rows(database)
    ran = here("db", "update-cognito-user-ids", "-o", "json")
    assert ran.code == 1
    assert json.loads(ran.out)["items"][0]["result"] == "duplicate handle"
    assert dumps.rows(database) == before


def test_a_handle_that_differs_in_case_only_is_not_added(here: Here, cognito: Any, pool: str, database: str) -> None:
    for username, handle in (("a", "Bayko"), ("b", "Mira"), ("c", "mira"), ("d", "new")):
        add(cognito, pool, username, handle)
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


def test_many_skipped_people_are_counted_and_not_all_named(here: Here, cognito: Any, pool: str, database: str) -> None:
    for n in range(12):
        if n == 10:  # so few are all named
            assert here("db", "update-cognito-user-ids").err.count("skipped: nameless") == 10
        add(cognito, pool, f"nameless{n}", None)
    assert here("db", "update-cognito-user-ids", "-o", "json").err.count("skipped: nameless") == 12
    err = here("db", "update-cognito-user-ids").err
    assert err.count("skipped: nameless") == 5
    assert "skipped: 7 more; in all 12 have no preferred_username" in err


def test_a_dry_run_of_the_sync_reports_the_same_and_writes_nothing(
    here: Here, cognito: Any, pool: str, database: str
) -> None:
    add(cognito, pool, "andrew", "andrewbrown")
    before = dumps.rows(database)
    shown = here("db", "update-cognito-user-ids", "-n", "-o", "json")
    ran = json.loads(shown.out)
    assert (ran["updated"], ran["dry_run"]) == (1, True)
    assert "would be updated 1" in shown.err
    assert dumps.rows(database) == before


def test_an_update_that_fails_half_way_writes_nothing(here: Here, cognito: Any, pool: str, database: str) -> None:
    import psycopg

    for handle in ("andrewbrown", "bayko", "altbrown", "londo"):
        add(cognito, pool, handle, handle)
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


@pytest.fixture
def demo(here: Here, engines: Engines, cognito: Any) -> dict[str, str]:
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
    assert "1 person keeps a Cognito id of another pool: only MOCK is replaced" in ran.err
    assert "user pool cruddur-demo, the embedded Cognito at http" in ran.err


def test_a_database_of_production_gets_neither_mock_rows_nor_ids_of_the_demo_pool(
    here: Here, demo: dict[str, str], database: str
) -> None:
    import psycopg

    from cruddur_cli.postgres import production_marker

    set_id(database, "bayko", "MOCK")
    insert(database, "customer")
    with psycopg.connect(database) as conn:
        production_marker.write(conn)
    before = dumps.rows(database)
    for command in (["setup"], ["setup", "-n"], ["db", "setup"], ["db", "seed"], ["db", "update-cognito-user-ids"]):
        ran = here(*command)
        assert ran.code == 6, command
        assert "this command was run without --prod" in ran.err
    assert dumps.rows(database) == before
    listed = json.loads(here("cognito", "list-users", "-o", "json").out)["items"]
    assert "customer" not in {item["handle"] for item in listed}


def test_what_is_said_of_a_person_who_is_added(here: Here, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def added(*options: str) -> tuple[int, bool, str]:
        ran = here("db", "add-user", "mira", "-o", "json", *options)
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)
        return found["added"], found["dry_run"], ran.err

    number, is_dry, err = added("-n")
    assert (number, is_dry) == (0, True)
    assert "mira: would be added" in err and "cannot sign in" not in err
    number, is_dry, err = added()
    assert (number, is_dry) == (1, False)
    assert "mira: added" in err
    assert "mira cannot sign in yet; `cruddur setup` adds the person to the demo user pool" in err
    number, _, err = added()
    assert number == 0
    assert "mira: exists already" in err and "cannot sign in" not in err


@pytest.mark.parametrize("prod", [False, True])
def test_a_person_of_a_real_pool_signs_up_before_the_ids_are_synced(
    here: Here, database: str, monkeypatch: pytest.MonkeyPatch, prod: bool
) -> None:
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    if not prod:
        monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", "eu-west-1_pool")
    ran = here("db", "add-user", "mira", *(["--prod"] if prod else []))
    assert ran.code == 0, ran.err
    lines = [line for line in ran.err.splitlines() if "cannot sign in yet" in line]
    assert [" ".join(line.split()).partition("; ")[2] for line in lines] == [
        f"once mira has signed up: cruddur db update-cognito-user-ids{' --prod' if prod else ''}"
    ]


def test_each_kind_of_result_is_counted(here: Here, cognito: Any, pool: str) -> None:
    for username, handle in (("a", "andrewbrown"), ("b", "stranger"), ("c", "another-stranger-yet")):
        add(cognito, pool, username, handle)
    err = here("db", "update-cognito-user-ids", "-n").err
    assert "would be updated 1, would be created 0, unchanged 0, no such user 2, still MOCK 3" in " ".join(err.split())
    ran = here("db", "update-cognito-user-ids", "-o", "json")
    assert ran.code == 0
    assert {name: value for name, value in json.loads(ran.out).items() if name not in {"items", "count"}} == {
        "updated": 1,
        "unchanged": 0,
        "created": 0,
        "dry_run": False,
    }

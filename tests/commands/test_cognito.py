"""The user pool and the sync: all people are listed, the right rows are written, and skipped people are named."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests import dumps
from tests.commands.pools import add, ids, insert
from tests.conftest import Run

from .conftest import Here

FIELDS = ["handle", "sub", "username", "email", "status", "enabled", "created_at"]


def test_all_of_130_people_are_listed_and_synced_and_five_are_named(
    here: Here, cognito: Any, pool: str, database: str
) -> None:
    subs = {f"person{n}": add(cognito, pool, f"person{n}", f"person{n}") for n in range(125)}
    nameless = {f"nameless{n}": add(cognito, pool, f"nameless{n}", None) for n in range(5)}
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


def test_booleans_are_the_same_words_in_csv_and_json(here: Here, cognito: Any, pool: str) -> None:
    add(cognito, pool, "andrew", "andrewbrown")
    assert "true" in here("cognito", "list-users", "-o", "csv").out.splitlines()[1].split(",")


def test_an_empty_pool_and_a_missing_pool_are_told_apart(
    here: Here, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = here("cognito", "list-users")
    assert (ran.code, ran.out) == (0, "")
    assert "has no users" in ran.err
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", "us-east-1_NotThere")
    assert here("cognito", "list-users").code == 5


def test_json_keeps_every_field_of_a_person(cruddur: Run) -> None:
    cruddur("setup", "-q")
    found = json.loads(cruddur("cognito", "list-users", "-o", "json").out)["items"][0]
    assert set(found) >= {"username", "enabled", "created_at"}

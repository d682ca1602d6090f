"""``cruddur doctor``: without a problem there is no finding, and production needs its marks."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests import dumps
from tests.commands.conftest import Here
from tests.commands.production import Run, make_table, production
from tests.integrity.doctored import World, world

__all__ = ["production", "world"]


def test_nothing_is_wrong_after_a_set_up(world: World) -> None:
    assert world.found() == {}


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

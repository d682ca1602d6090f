"""The checks of the user pool: each is found alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cruddur_cli.integrity.checks.cognito import CHECKS
from cruddur_cli.integrity.model import Pool, Problem, findings
from tests.integrity.doctored import Breaks, World
from tests.integrity.facts import FACTS

BREAKS: Breaks = {
    "cognito-id-mock": lambda world: world.sql(
        "UPDATE public.users SET cognito_user_id = 'MOCK' WHERE handle = 'bayko'"
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_is_found_alone_and_nothing_is_written(world: World, name: str) -> None:
    BREAKS[name](world)
    world.finds_alone(name)


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


def test_a_store_that_cannot_be_read_leaves_out_what_compares_it() -> None:
    problem = Problem("no answer", None, "cannot_connect")
    pool = Pool("user pool p", "p", is_demo=False, replaces_ids=True, accounts=[])
    for facts in (replace(FACTS, pool=pool, database=problem), replace(FACTS, pool=problem)):
        assert {each.check for each in findings(CHECKS, facts)} <= {"cognito-unreachable"}


@pytest.mark.parametrize("name", POOLS)
def test_what_differs_between_pool_and_database_is_found_alone(pooled: World, name: str) -> None:
    POOLS[name](pooled)
    assert list(pooled.found()) == [name]


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

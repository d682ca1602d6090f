"""The checks of the user pool: each finds its problem, and no other check does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cruddur_cli.integrity.checks.cognito import CHECKS
from cruddur_cli.integrity.model import Facts, Pool, Problem, findings
from tests.integrity.doctored import Breaks, World
from tests.integrity.facts import DATABASE, FACTS, Account, Person, evidence_and_remedy, of

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


# What is found in facts that no test makes out of real stores.

POOL = Pool("user pool p", "p-1", is_demo=False, replaces_ids=True, accounts=[])
DEMO = replace(POOL, label="the demo user pool", is_demo=True, replaces_ids=False)


def _facts(people: list[Person], accounts: list[Account], pool: Pool = POOL) -> Facts:
    return replace(FACTS, database=replace(DATABASE, people=people), pool=replace(pool, accounts=accounts))


def test_a_pool_is_compared_only_where_the_database_was_read_too() -> None:
    facts = _facts([], [Account("gkar")])
    assert [one.check for one in findings(CHECKS, facts)] == ["cognito-only-there"]
    assert findings(CHECKS, replace(facts, database=None)) == []
    assert findings(CHECKS, replace(facts, pool=None, database=replace(DATABASE, people=[Person("u", "gkar")]))) == []


def test_people_whose_id_is_still_mock_are_those_in_the_pool() -> None:
    people = [Person("1", "gkar"), Person("2", "lennier"), Person("3", "vir", cognito_user_id="sub"), Person("4", "na")]
    found = evidence_and_remedy(
        CHECKS, _facts(people, [Account("gkar"), Account("vir"), Account("lennier")]), "cognito-id-mock"
    )
    assert found == [("the Cognito id of 2 people is still MOCK: gkar, lennier", "cruddur db update-cognito-user-ids")]


def test_an_account_without_a_handle_is_named_unless_the_pool_is_the_demo_pool() -> None:
    accounts = [Account(None, username="b"), Account("", username="a"), Account("gkar", username="c")]
    assert evidence_and_remedy(
        CHECKS, _facts([Person("1", "gkar", cognito_user_id="x")], accounts), "cognito-no-handle"
    ) == [
        (
            "2 accounts of user pool p without preferred_username: a, b",
            "aws cognito-idp admin-update-user-attributes --user-pool-id p-1"
            " --username a --user-attributes Name=preferred_username,Value=HANDLE",
        )
    ]
    assert evidence_and_remedy(CHECKS, _facts([], accounts, DEMO), "cognito-no-handle") == []


def test_people_without_an_account_are_named_and_setup_adds_them_to_the_demo_pool() -> None:
    people = [Person("1", "Gkar"), Person("2", "vir"), Person("3", ""), Person("4", "vir")]
    found = of(CHECKS, _facts(people, [Account("gkar"), Account(None)]), "cognito-only-here")
    evidence = "1 person of the database not in user pool p: vir"
    assert [(one.evidence, one.remedy, one.fixable) for one in found] == [
        (evidence, "cruddur cognito list-users", False)
    ]
    (demo,) = of(CHECKS, _facts(people, [Account("gkar")], DEMO), "cognito-only-here")
    assert (demo.remedy, demo.fixable) == ("cruddur setup", True)


def test_accounts_without_a_person_are_named_unless_the_pool_is_the_demo_pool() -> None:
    people = [Person("1", "Gkar"), Person("2", "")]
    accounts = [Account("gkar"), Account("vir"), Account(None), Account("vir")]
    assert evidence_and_remedy(CHECKS, _facts(people, accounts), "cognito-only-there") == [
        ("1 account of user pool p not in the database: vir", "cruddur db update-cognito-user-ids --create-missing")
    ]
    assert evidence_and_remedy(CHECKS, _facts(people, accounts, DEMO), "cognito-only-there") == []


@pytest.mark.parametrize(
    ("handles", "accounts", "evidence"),
    [
        (["gkar"], ["Gkar"], "gkar (in Cognito Gkar)"),
        (["gkar"], ["gkar"], ""),
        (["gkar"], ["gkar", "Gkar"], ""),
        (["gkar"], ["vir"], ""),
        ([""], ["vir", None], ""),
        (["gkar", "Gkar"], ["Gkar"], ""),
        (["gkar", "vir"], ["GKAR", "Vir", None, ""], "gkar (in Cognito GKAR), vir (in Cognito Vir)"),
    ],
)
def test_which_handles_differ_in_case_only(handles: list[str], accounts: list[str | None], evidence: str) -> None:
    people = [Person(str(number), handle) for number, handle in enumerate(handles)]
    found = evidence_and_remedy(CHECKS, _facts(people, [Account(handle) for handle in accounts]), "cognito-other-case")
    said_so = f"handles with another case in Cognito: {evidence}"
    assert found == ([(said_so, "cruddur cognito list-users")] if evidence else [])


def test_a_disabled_account_of_the_demo_pool_counts_only_for_a_person_here() -> None:
    accounts = [
        Account("gkar", username="gkar-1", enabled=False),
        Account("vir", username="vir-1", enabled=False),
        Account("londo", username="londo-1"),
    ]
    people = [Person("1", "gkar"), Person("2", "londo")]
    command = "aws cognito-idp admin-enable-user --user-pool-id p-1 --username gkar-1"
    assert evidence_and_remedy(CHECKS, _facts(people, accounts), "cognito-disabled") == [
        ("2 accounts disabled: gkar-1, vir-1", command)
    ]
    assert evidence_and_remedy(CHECKS, _facts(people, accounts, DEMO), "cognito-disabled") == [
        ("1 account disabled: gkar-1", command)
    ]

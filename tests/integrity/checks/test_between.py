"""The checks that the stores agree: each finds its problem, and no other check does."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from cruddur_cli.integrity.checks.between import CHECKS
from cruddur_cli.integrity.model import Facts, Pool, Problem, findings
from cruddur_cli.integrity.rows import Rows, Tally
from tests import dumps
from tests.integrity.doctored import Breaks, World
from tests.integrity.facts import DATABASE, FACTS, TABLE, Account, Person, evidence_and_remedy, of


def _ids(world: World) -> dict[str, str]:
    with psycopg.connect(world.environment["CONNECTION_URL"]) as conn:
        return dict(conn.execute("SELECT handle, cognito_user_id FROM public.users").fetchall())


def _anothers_id(world: World) -> None:
    londos_id = _ids(world)["londo"]
    world.sql(f"UPDATE public.users SET cognito_user_id = '{londos_id}' WHERE handle = 'bayko'")


def _with_oneself(world: World) -> None:
    row = world.rows()[0]
    me = row["pk"]["S"].removeprefix("GRP#")
    mine = next(other for other in world.messages() if other["user_uuid"]["S"] == me)
    named = {name: mine[name]["S"] for name in ("user_uuid", "user_handle", "user_display_name")}
    world.put(row, message_group_uuid="a-monologue", sk=mine["sk"]["S"], **named)


BREAKS: Breaks = {
    "cognito-id-of-another": _anothers_id,
    "uuids-regenerated": lambda world: world.sql(
        "UPDATE public.users SET uuid = gen_random_uuid() WHERE handle = 'bayko'"
    ),
    "rows-of-unknown-people": lambda world: world.sql("DELETE FROM public.users WHERE handle = 'bayko'"),
    "names-changed": lambda world: world.sql(
        "UPDATE public.users SET display_name = 'Andy Bayko' WHERE handle = 'bayko'"
    ),
    "conversation-with-oneself": _with_oneself,
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_is_found_alone_and_nothing_is_written(world: World, name: str) -> None:
    BREAKS[name](world)
    world.finds_alone(name)


@pytest.mark.parametrize(
    ("column", "value", "change"),
    [("display_name", "Andy Bayko", "Andrew Bayko is now Andy Bayko"), ("handle", "andy", "@bayko is now @andy")],
)
def test_the_changed_name_is_in_the_finding(world: World, column: str, value: str, change: str) -> None:
    world.sql(f"UPDATE public.users SET {column} = '{value}' WHERE handle = 'bayko'")
    assert world.found()["names-changed"]["evidence"].endswith(f"with an old name: {change}")


def test_rows_of_people_are_found_if_the_database_is_empty(world: World) -> None:
    world.sql("DELETE FROM public.activities; DELETE FROM public.users")
    found = world.found()["rows-of-unknown-people"]
    assert found["evidence"].startswith("public.users is empty, and rows name 2 people: andrewbrown, bayko")
    _, *words = shlex.split(found["remedy"])
    assert words == ["db", "seed"]
    assert world.here(*words).code == 0
    assert "rows-of-unknown-people" not in world.found()


def test_the_remedy_adds_a_deleted_person_with_the_names_in_the_rows(world: World) -> None:
    before = dumps.rows(world.environment["CONNECTION_URL"])["users"]
    BREAKS["rows-of-unknown-people"](world)
    _, *words = shlex.split(world.found()["rows-of-unknown-people"]["remedy"])
    assert words[:3] == ["db", "add-user", "bayko"]
    assert world.here(*words).code == 0
    assert list(world.found()) == ["cognito-id-mock"]
    assert world.here("setup").code == 0
    assert world.found() == {}
    assert len(dumps.rows(world.environment["CONNECTION_URL"])["users"]) == len(before)


# What is found in facts that no test makes out of real stores.

ANDREW = Person("u-andrew", "andrewbrown", "Andrew Brown", "sub-andrew")
BAYKO = Person("u-bayko", "bayko", "Andrew Bayko", "sub-bayko")


def _facts(names: Mapping[Any, int], *people: Person, owners: tuple[str, ...] = (), **database: Any) -> Facts:
    rows = Rows(names=Counter(names), owners=set(owners))
    return replace(
        FACTS,
        database=replace(DATABASE, people=people, **database),
        table=replace(TABLE, rows=rows),
        table_option=" --table t",
    )


def test_rows_and_people_are_compared_only_where_both_could_be_read() -> None:
    facts = _facts({("u-9", "gkar", None): 1}, ANDREW, columns=frozenset({"uuid", "handle"}))
    problem = Problem("no answer", None, "cannot_connect")
    assert [found.check for found in findings(CHECKS, facts)] == ["rows-of-unknown-people"]
    lacking = replace(DATABASE, people=[], columns=frozenset({"uuid", "display_name"}))
    for other in (
        replace(facts, table=problem),
        replace(facts, database=problem),
        replace(facts, database=lacking),
        replace(facts, table=None),
    ):
        assert findings(CHECKS, other) == []


def test_a_handle_in_rows_with_another_uuid_is_an_orphan_and_no_unknown_person() -> None:
    facts = _facts({("u-old", "bayko", None): 2, ("u-andrew", "andrewbrown", None): 1}, ANDREW, BAYKO)
    (found,) = findings(CHECKS, facts)
    assert (found.check, found.evidence, found.remedy) == (
        "uuids-regenerated",
        "bayko: the rows have another user UUID than the database",
        "cruddur ddb seed --table t",
    )


def test_people_of_rows_without_a_handle_have_no_other_uuid() -> None:
    nameless = replace(ANDREW, handle=None)  # type: ignore[arg-type]  # a column that allows NULL
    assert evidence_and_remedy(CHECKS, _facts({("u-9", None, None): 1}, nameless), "uuids-regenerated") == []


def test_an_unknown_owner_is_named_by_any_row_that_gives_a_handle() -> None:
    names = {("u-9", "gkar", "G'Kar"): 1, ("u-9", None, None): 1, ("u-bayko", "bayko", None): 1}
    facts = _facts(names, BAYKO, owners=("u-9", "u-8", "u-bayko"))
    assert evidence_and_remedy(CHECKS, facts, "rows-of-unknown-people") == [
        (
            "2 people in rows and not in the database: gkar, u-8",
            "cruddur db add-user gkar --uuid u-9 --name 'G'\"'\"'Kar'",
        )
    ]


def test_an_unknown_person_is_added_with_their_own_name_or_with_none() -> None:
    names = {("u-9", "gkar", None): 1, ("u-8", "lennier", "Lennier"): 1, ("u-9", "gkar", ""): 1}
    ((_, remedy),) = evidence_and_remedy(CHECKS, _facts(names, BAYKO), "rows-of-unknown-people")
    assert remedy == "cruddur db add-user gkar --uuid u-9"


def test_an_unknown_person_without_a_handle_is_looked_up_by_their_rows() -> None:
    facts = _facts({}, BAYKO, owners=("u 9",))
    assert evidence_and_remedy(CHECKS, facts, "rows-of-unknown-people") == [
        ("1 person in rows and not in the database: u 9", "cruddur ddb scan --pk 'GRP#u 9' --table t")
    ]


def test_an_empty_table_of_people_is_restored_in_production_and_seeded_elsewhere() -> None:
    facts = _facts({("u-9", "gkar", None): 1})
    evidence = "public.users is empty, and rows name 1 person: gkar"
    assert evidence_and_remedy(CHECKS, facts, "rows-of-unknown-people") == [(evidence, "cruddur db seed")]
    production = replace(facts, prod=True)
    assert evidence_and_remedy(CHECKS, production, "rows-of-unknown-people") == [
        (evidence, "cruddur rds list-snapshots")
    ]


@pytest.mark.parametrize(
    ("handle", "name", "evidence"),
    [
        ("bayko", "Andrew Bayko", ""),
        (None, None, ""),
        ("bayko", None, ""),
        (None, "Andrew Bayko", ""),
        ("andy", None, "andy is now Andrew Bayko"),
        ("andy", "Andrew Bayko", "@andy is now @bayko"),
        (None, "Andy", "Andy is now Andrew Bayko"),
        ("bayko", "Andy", "Andy is now Andrew Bayko"),
    ],
)
def test_each_name_that_a_row_has_is_compared(handle: str | None, name: str | None, evidence: str) -> None:
    facts = _facts({("u-bayko", handle, name): 3, ("u-9", "stranger", "Stranger"): 1}, BAYKO)
    found = of(CHECKS, facts, "names-changed")
    assert [(one.evidence, one.cost, one.remedy) for one in found] == (
        [(f"3 rows with an old name: {evidence}", "about 6 WCU", "cruddur doctor --fix --table t")] if evidence else []
    )


def test_a_person_without_a_display_name_is_called_by_their_handle() -> None:
    nameless = replace(BAYKO, display_name="")
    assert evidence_and_remedy(CHECKS, _facts({("u-bayko", "bayko", "bayko"): 1}, nameless), "names-changed") == []
    assert len(evidence_and_remedy(CHECKS, _facts({("u-bayko", "bayko", "Andy"): 1}, nameless), "names-changed")) == 1


def test_a_conversation_with_oneself_is_found_without_a_database() -> None:
    rows = Rows(with_oneself=Tally(1, ["g of u"]))
    facts = replace(
        FACTS, database=None, table=replace(TABLE, rows=rows, is_production=None), table_option=" --table t"
    )
    assert evidence_and_remedy(CHECKS, facts, "conversation-with-oneself") == [
        ("1 conversation of a person with themselves: g of u", "cruddur ddb scan --table t")
    ]
    assert evidence_and_remedy(CHECKS, replace(facts, table=None), "conversation-with-oneself") == []


@pytest.mark.parametrize(
    ("person", "evidence"),
    [
        (BAYKO, ""),
        (replace(BAYKO, cognito_user_id="MOCK"), ""),
        (replace(BAYKO, cognito_user_id="sub-andrew"), "bayko has the id of andrewbrown"),
        (replace(BAYKO, cognito_user_id="sub-gone"), "bayko has an id that is not their account's"),
        (replace(BAYKO, handle="gkar", cognito_user_id="sub-gone"), ""),
        (replace(BAYKO, handle="gkar", cognito_user_id="sub-andrew"), "gkar has the id of andrewbrown"),
        (replace(BAYKO, handle="Andrewbrown", cognito_user_id="sub-andrew"), ""),
        (replace(BAYKO, handle="gkar", cognito_user_id="sub-nameless"), ""),
    ],
)
def test_whose_cognito_id_a_person_has(person: Person, evidence: str) -> None:
    accounts = [Account("andrewbrown", "sub-andrew"), Account("bayko", "sub-bayko"), Account(None, "sub-nameless")]
    pool = Pool("user pool p", "p", is_demo=False, replaces_ids=True, accounts=accounts)
    facts = replace(FACTS, database=replace(DATABASE, people=[person]), pool=pool)
    found = of(CHECKS, facts, "cognito-id-of-another")
    assert [one.evidence for one in found] == ([evidence] if evidence else [])
    assert all((one.fixable, one.remedy) == (True, "cruddur db update-cognito-user-ids") for one in found)


def test_an_id_of_no_account_is_left_and_one_of_another_is_not_replaced() -> None:
    accounts = [Account("andrewbrown", "sub-andrew"), Account("bayko", "sub-bayko")]
    pool = Pool("demo", "p", is_demo=True, replaces_ids=False, accounts=accounts)

    def found(sub: str) -> list[tuple[str, str, bool]]:
        facts = replace(FACTS, database=replace(DATABASE, people=[replace(BAYKO, cognito_user_id=sub)]), pool=pool)
        return [(one.evidence, one.remedy, one.fixable) for one in of(CHECKS, facts, "cognito-id-of-another")]

    assert found("sub-gone") == []
    assert found("sub-andrew") == [("bayko has the id of andrewbrown", "cruddur db connect", False)]

"""The checks of what must agree between the stores: each is found alone."""

from __future__ import annotations

import shlex

import psycopg
import pytest

from tests import dumps
from tests.integrity.doctored import Breaks, World


def _ids(world: World) -> dict[str, str]:
    with psycopg.connect(world.environment["CONNECTION_URL"]) as conn:
        return dict(conn.execute("SELECT handle, cognito_user_id FROM public.users").fetchall())


def _anothers_id(world: World) -> None:
    theirs = _ids(world)["londo"]
    world.sql(f"UPDATE public.users SET cognito_user_id = '{theirs}' WHERE handle = 'bayko'")


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
    ("column", "value", "said"),
    [("display_name", "Andy Bayko", "Andrew Bayko is now Andy Bayko"), ("handle", "andy", "@bayko is now @andy")],
)
def test_the_name_that_was_changed_is_said(world: World, column: str, value: str, said: str) -> None:
    world.sql(f"UPDATE public.users SET {column} = '{value}' WHERE handle = 'bayko'")
    assert world.found()["names-changed"]["evidence"].endswith(f"with an old name: {said}")


def test_rows_of_people_are_found_although_the_database_has_nobody(world: World) -> None:
    world.sql("DELETE FROM public.activities; DELETE FROM public.users")
    found = world.found()["rows-of-unknown-people"]
    assert found["evidence"].startswith("public.users is empty, and rows name 2 people: andrewbrown, bayko")
    _, *words = shlex.split(found["remedy"])
    assert words == ["db", "seed"]
    assert world.here(*words).code == 0
    assert "rows-of-unknown-people" not in world.found()


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

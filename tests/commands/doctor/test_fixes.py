"""``cruddur doctor --fix``: what it fixes, what only a user can decide, and the question before."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.commands.doctor import fixes
from cruddur_cli.dynamodb.transfer import anonymized_copy
from cruddur_cli.integrity.checks import CHECKS
from tests import dumps
from tests.commands.production import Run, make_table, production
from tests.integrity.breaks import BREAKS
from tests.integrity.doctored import World, demo_pool, pooled, world

__all__ = ["demo_pool", "pooled", "production", "world"]


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
    BREAKS["cognito-id-of-another"](pooled)
    assert list(pooled.found()) == ["cognito-id-of-another"]
    assert pooled.here("doctor", "--fix", "--yes").code == 0
    assert pooled.found() == {}


def test_fix_writes_no_real_name_into_rows_that_a_copy_anonymized(world: World) -> None:
    for item in world.items():
        copied, _ = anonymized_copy.anonymized(item)
        assert copied is not None
        world.table.client.put_item(TableName=world.table.table, Item=copied)
    named = world.messages()[0]
    world.put(named, user_handle="an-old-name", user_display_name="An Old Name")
    before = world.items()
    assert world.found()["names-changed"]["evidence"].startswith("1 row with an old name: An Old Name is now ")
    message = f"{len(before) - 1} rows from an anonymized copy: the made-up names differ from those in the database."
    ran = world.here("doctor", "--fix", "--yes")
    assert ran.code == 0, ran.err
    assert "names in 1 row fixed" in ran.err
    assert message in " ".join(ran.err.split())
    after = world.items()
    assert [item for item in after if item not in before] == [world.messages()[0]]
    assert world.found() == {}


def test_several_findings_are_fixed_at_once(world: World) -> None:
    for name in ("conversation-with-one-row", "names-changed", "cognito-id-mock", "items-foreign"):
        BREAKS[name](world)
    ran = world.here("doctor", "--fix", "--yes", "-o", "json")
    assert ran.code == 1
    assert [item["check"] for item in json.loads(ran.out)["items"]] == ["items-foreign"]
    assert json.loads(ran.out)["fixed"] == 3


TOGETHER = (
    ("names-changed", "conversation-without-rows", "cognito-id-mock"),
    ("conversation-with-one-row", "conversation-with-doubled-row", "names-changed"),
    ("conversation-behind", "conversation-with-one-row", "cognito-id-mock"),
    ("conversation-with-one-row", "conversation-behind", "conversation-with-doubled-row"),
)


@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_findings_of_the_same_row_are_all_named_and_fixed_in_one_run(world: World, names: tuple[str, ...]) -> None:
    whole = world.items()
    for name in names:
        BREAKS[name](world)
    assert set(world.found()) >= set(names)
    ran = world.here("doctor", "--fix", "--yes", "-o", "json")
    assert (ran.code, json.loads(ran.out)["items"]) == (0, []), ran.err
    assert _without_names(world.items()) == _without_names(whole)
    assert world.found() == {}


def test_fix_asks_first_and_changes_nothing_without_an_answer(world: World) -> None:
    BREAKS["conversation-with-one-row"](world)
    before = world.items()
    ran = world.here("doctor", "--fix")
    assert ran.code == 6
    assert "--yes" in ran.err
    assert world.items() == before


def test_a_row_of_a_conversation_without_messages_is_kept(world: World) -> None:
    row = world.rows()[0]
    world.put(row, message_group_uuid="empty", sk=world.messages()[0]["sk"]["S"])
    ran = world.here("doctor", "--fix", "--yes")
    assert ran.code == 1
    assert "1 conversation not fixed" in ran.err
    assert list(world.found()) == ["conversation-with-one-row"]


@pytest.mark.usefixtures("demo_pool")
def test_fix_adds_a_person_to_the_demo_pool(world: World) -> None:
    assert world.here("db", "add-user", "ines").code == 0
    assert world.here("doctor", "--fix", "--yes").code == 0
    assert world.found() == {}


@pytest.mark.usefixtures("demo_pool")
def test_ids_are_written_once_for_a_new_person_and_one_with_a_mock_id(world: World) -> None:
    assert world.here("db", "add-user", "ines").code == 0
    BREAKS["cognito-id-mock"](world)
    assert {"cognito-only-here", "cognito-id-mock"} <= world.found().keys()
    ran = world.here("doctor", "--fix", "--yes")
    assert ran.code == 0, ran.err
    assert ran.err.count("Cognito ids of") == 1
    assert "Cognito ids of 2 people written" in ran.err
    assert world.found() == {}


def test_each_check_that_says_so_has_a_fix() -> None:
    assert {check.name for check in CHECKS if check.fixable} == set().union(*fixes.FIXES.values())


def test_fix_gives_production_the_marks_once_its_name_is_confirmed(
    production: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(items=0)
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    refused = production("doctor", "--prod", "--fix", "--yes")
    assert refused.code == 6
    asked = refused.err.index("doctor will fix: database-not-marked, table-not-marked")
    assert refused.err.index("RCU") < refused.err.index("is not marked as production") < asked
    left = json.loads(production("doctor", "--prod", "-o", "json").out)["items"]
    assert [item["check"] for item in left] == ["database-not-marked", "table-not-marked"]
    ran = production("doctor", "--prod", "--fix", "--confirm", "cruddur-messages", "-o", "json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["fixed"] == 2


def test_fix_refuses_a_table_that_it_may_not_read_whole_before_it_reads(world: World) -> None:
    BREAKS["conversation-behind"](world)
    before = world.items()
    ran = world.here("doctor", "--fix", "--yes", "--max-units", "5", "-o", "json")
    assert ran.code == 6
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert error["code"] == "max_units"
    assert "up to 3 times" in error["message"]
    assert world.items() == before
    needed = int(error["hint"].split()[1]) + 50  # of which the rest is for writes
    ran = world.here("doctor", "--fix", "--yes", "--max-units", f"{needed}", "-o", "json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["fixed"] == 1
    assert not json.loads(ran.out)["sampled"]


def test_fix_stops_at_the_limit_and_keeps_what_it_fixed(world: World) -> None:
    everyone = world.rows()
    message = world.messages()[-1]
    newest = times.instant(message["sk"]["S"])
    assert newest is not None
    for number in range(40):
        group = f"another-{number}"
        world.put(message, pk=f"MSG#{group}", message_uuid=group)
        for row in everyone:
            sk = times.sort_key(newest - timedelta(seconds=number + 1))
            world.put(row, message_group_uuid=group, sk=sk)
    needed = json.loads(world.here("doctor", "--fix", "--yes", "--max-units", "1", "-o", "json").err.splitlines()[-1])
    least = needed["error"]["hint"].split()[1]
    ran = world.here("doctor", "--fix", "--yes", "--max-units", least)
    assert ran.code == 1
    assert "Stopped before the limit" in ran.err
    assert "What was fixed until then is kept." in ran.err
    assert "nothing is wrong" not in ran.err
    left = world.found()["conversation-behind"]["evidence"]
    assert "40 conversations" not in left
    assert world.here("doctor", "--fix", "--yes").code == 0
    assert world.found() == {}

"""The checks of the table: each finds its problem, and no other check does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.schema import INDEX_KEYS, KEY_TYPES, KEYS
from cruddur_cli.integrity import rows
from cruddur_cli.integrity.checks import CHECKS
from cruddur_cli.integrity.model import Finding, OtherStore, Problem, TableFacts, findings
from cruddur_cli.integrity.rows import Conversation, Rows, Tally
from tests.conftest import SEEDED
from tests.integrity.doctored import Breaks, World
from tests.integrity.facts import FACTS, TABLE, evidence_and_remedy, of


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


def _other_form(world: World) -> None:
    message = world.messages()[0]
    world.move(message, sk=message["sk"]["S"].replace("+00:00", "Z"))


def _no_zone(world: World) -> None:
    message = world.messages()[0]
    world.move(message, sk=message["sk"]["S"].replace("+00:00", ""))


def _wrong_prefix(world: World) -> None:
    message = world.messages()[0]
    world.move(message, pk=message["pk"]["S"].replace("MSG#", "MESSAGE#"))


BREAKS: Breaks = {
    "items-foreign": lambda world: world.put({}, pk="SETTING#1", sk="x"),
    "wrong-key-prefix": _wrong_prefix,
    "time-zones-mixed": _no_zone,
    "sort-key-form": _other_form,
    "times-in-future": lambda world: world.shift(timedelta(days=1)),
    "conversation-without-rows": _without_rows,
    "conversation-with-one-row": lambda world: world.delete(world.rows()[0]),
    "conversation-with-doubled-row": _second_row,
    "conversation-behind": _behind,
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_is_found_alone_and_nothing_is_written(world: World, name: str) -> None:
    BREAKS[name](world)
    world.finds_alone(name)


def test_throttled_requests_are_a_finding_with_a_remedy_that_fits_the_billing() -> None:
    assert findings(CHECKS, replace(FACTS, table=TABLE)) == []
    (found,) = findings(CHECKS, replace(FACTS, table=replace(TABLE, throttled=1)))
    assert (found.check, found.evidence) == ("requests-throttled", "1 request of this command throttled")
    assert found.remedy == "cruddur ddb setup --on-demand"
    on_demand = replace(TABLE, throttled_in_a_day=2, write_capacity=None, index_write_capacity=None)
    (found,) = findings(CHECKS, replace(FACTS, table=on_demand))
    assert found.remedy == "cruddur ddb stats"


def test_conversations_of_an_earlier_year_only_are_a_finding(world: World, today: Callable[[datetime], None]) -> None:
    today(datetime(times.now().year + 1, 3, 1, tzinfo=UTC))
    assert list(world.found()) == ["other-years-only"]


def test_a_claim_of_a_killed_command_is_a_note_and_no_finding(world: World) -> None:
    world.put({}, pk=f"CLAIM#{SEEDED}", sk="CLAIM", claimed_by="x")
    ran = world.here("doctor")
    assert ran.code == 0
    assert "1 claim left by a killed command" in ran.err


def test_a_table_that_is_marked_as_production_is_a_finding(world: World) -> None:
    assert tables.mark_production(world.table)
    assert list(world.found()) == ["table-marked"]


@pytest.mark.parametrize(
    ("check", "written"), [("time-zones-mixed", "T10:00:00-05:30"), ("sort-key-form", "T10:00:00Z")]
)
def test_the_finding_says_which_keys_seeding_does_not_replace(world: World, check: str, written: str) -> None:
    seeded = world.messages()[0]
    moment = times.instant(seeded["sk"]["S"])
    assert moment is not None
    day = (moment - timedelta(days=2)).date()
    world.put(seeded, sk=f"{day}{written}", message_uuid="6f1d8b38-3b1f-4c52-9d3f-0d6b8ab6a6f1")
    found = world.found()[check]
    assert "(was not seeded, so no command corrects the keys; " in found["evidence"]
    assert found["remedy"] == f"cruddur ddb get-conversation {SEEDED}"
    assert world.here(*found["remedy"].split()[1:]).code == 0
    world.move(seeded, sk=seeded["sk"]["S"].replace("+00:00", "" if check == "time-zones-mixed" else "Z"))
    found = world.found()[check]
    assert found["evidence"].startswith("2 items whose sort key")
    assert "(1 of them was not seeded" in found["evidence"]
    assert found["remedy"] == "cruddur ddb seed"
    assert world.here(*found["remedy"].split()[1:]).code == 0
    assert world.found()[check]["evidence"].startswith("1 item whose sort key")


def test_rows_without_a_prefix_among_others_are_shown_by_the_remedy(world: World) -> None:
    _wrong_prefix(world)
    found = world.found()["wrong-key-prefix"]
    assert "(ddb seed does not replace them)" in found["evidence"]
    ran = world.here(*shlex.split(found["remedy"])[1:], "-o", "json")
    assert ran.code == 0, ran.err
    assert [item["pk"] for item in json.loads(ran.out)["items"]] == [f"MESSAGE#{SEEDED}"]


def test_the_remedy_repairs_a_table_of_rows_without_a_prefix(world: World) -> None:
    for item in world.items():
        world.move(item, pk=item["pk"]["S"].replace("#", ":"))
    found = world.found()["wrong-key-prefix"]
    _, *words = shlex.split(found["remedy"])
    assert words == ["ddb", "reset"]
    assert world.here(*words, "--yes").code == 0
    assert world.found() == {}


@pytest.mark.parametrize("change", ["production", "sample", "export"])
def test_the_remedy_for_rows_without_a_prefix_resets_nothing_else(change: str) -> None:
    item = {name: {"S": "1"} for name in ("sk", "message", "message_uuid")}
    wrong = rows.collect([{**item, "pk": {"S": "MESSAGE#1"}}], now=FACTS.now)
    wrong.is_sample = change == "sample"
    table = replace(TABLE, rows=wrong, stream_off="" if change == "export" else "aws …")
    (found,) = (
        one
        for one in findings(CHECKS, replace(FACTS, prod=change == "production", table=table))
        if one.check == "wrong-key-prefix"
    )
    assert found.remedy.startswith("cruddur ddb scan --pk 'MESSAGE#1'")


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


SHAPES: dict[str, dict[str, Any]] = {
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


@pytest.mark.parametrize("name", SHAPES)
def test_a_table_of_another_shape_is_found(world: World, name: str) -> None:
    _recreate(world, **dict(SHAPES[name]))
    assert list(world.found()) == [name]


def test_the_stream_of_the_table_that_was_read_is_turned_off(world: World) -> None:
    """With default names, a command without the endpoint would reach the production table."""
    _recreate(world, **dict(SHAPES["stream-view"]))
    remedy = world.found()["stream-view"]["remedy"]
    assert f"--table-name {world.table.table}" in remedy
    assert f"--endpoint-url {world.table.at.url}" in remedy


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


# What is found in facts that no test makes out of a real table.


def _found(name: str, *, prod: bool = False, **table: Any) -> list[Finding]:
    facts = replace(FACTS, prod=prod, table_option=" --table t", table=replace(TABLE, **table))
    return of(CHECKS, facts, name)


def test_a_missing_table_is_created_unless_another_store_has_its_items() -> None:
    missing = Problem("There is no table cruddur-messages.", "cruddur ddb setup", "table_not_found")
    facts = replace(FACTS, table=missing)
    assert [one.check for one in findings(CHECKS, facts)] == ["table-missing"]
    assert evidence_and_remedy(CHECKS, facts, "table-missing") == [
        ("There is no table cruddur-messages", "cruddur ddb setup")
    ]
    elsewhere = replace(facts, others=[OtherStore("the embedded DynamoDB", "http://localhost:4566")])
    assert [(one.check, one.evidence, one.remedy) for one in findings(CHECKS, elsewhere)] == [
        (
            "wrong-store",
            "table cruddur-messages has no items here, but the embedded DynamoDB has some:"
            " it was seeded into another store",
            "AWS_ENDPOINT_URL_DYNAMODB=http://localhost:4566 cruddur ddb list-conversations",
        )
    ]
    silent = replace(facts, table=Problem("No answer.", None, "cannot_connect"))
    assert [one.check for one in findings(CHECKS, silent)] == ["dynamodb-unreachable"]


def test_an_index_is_missing_or_has_other_keys_or_projects_less() -> None:
    (missing,) = findings(CHECKS, replace(FACTS, table=replace(TABLE, index_keys=None, projection=None)))
    assert missing.check == "index-missing"
    (keys,) = _found("index-keys", index_keys="j")
    assert (keys.evidence, keys.remedy) == ("index keys j, expected i", "cruddur ddb reset --table t")
    assert _found("index-keys", index_keys="i") == []


@pytest.mark.parametrize(
    ("table", "index", "is_less"), [(5, 4, True), (5, 5, False), (5, 6, False), (None, 4, False), (5, None, False)]
)
def test_an_index_with_less_write_capacity_than_its_table_throttles(
    table: int | None, index: int | None, is_less: bool
) -> None:
    found = _found("index-capacity", write_capacity=table, index_write_capacity=index)
    assert [(one.evidence, one.cost, one.remedy) for one in found] == (
        [
            (
                "the index has 4 WCU and the table 5: the index throttles writes to the table",
                "on-demand requests are billed one by one",
                "cruddur ddb setup --on-demand --table t",
            )
        ]
        if is_less
        else []
    )


def test_throttled_requests_of_now_and_of_a_day_are_one_finding() -> None:
    (found,) = _found("requests-throttled", throttled=2, throttled_in_a_day=1)
    assert found.evidence == (
        "2 requests of this command throttled, 1 request throttled in the last 24 hours (CloudWatch)"
    )
    assert (found.remedy, found.cost) == (
        "cruddur ddb setup --on-demand --table t",
        "on-demand requests are billed one by one",
    )
    (on_demand,) = _found("requests-throttled", throttled_in_a_day=1, write_capacity=None)
    assert (on_demand.remedy, on_demand.cost) == ("cruddur ddb stats --table t", "no capacity")
    assert _found("requests-throttled", throttled=0, throttled_in_a_day=0) == []


@pytest.mark.parametrize(
    ("view", "is_wrong"),
    [(None, False), ("NEW_IMAGE", False), ("NEW_AND_OLD_IMAGES", False), ("OLD_IMAGE", True), ("KEYS_ONLY", True)],
)
def test_a_stream_has_to_contain_new_items(view: str | None, is_wrong: bool) -> None:
    found = _found("stream-view", stream_view=view, stream_off="turn-off")
    assert [(one.evidence, one.remedy) for one in found] == (
        [
            (
                f"the stream contains {view}: the stream processor reads NEW_IMAGE",
                "turn-off && cruddur ddb setup --stream --table t",
            )
        ]
        if is_wrong
        else []
    )


@pytest.mark.parametrize(
    ("prod", "mark", "names"),
    [
        (True, False, ["table-not-marked"]),
        (True, True, []),
        (True, None, []),
        (False, True, ["table-marked"]),
        (False, False, []),
        (False, None, []),
    ],
)
def test_a_table_is_marked_in_production_and_nowhere_else(prod: bool, mark: bool | None, names: list[str]) -> None:
    found = findings(CHECKS, replace(FACTS, prod=prod, database=None, table=replace(TABLE, is_production=mark)))
    assert [one.check for one in found] == names
    assert [one.fixable for one in found] == [prod for _ in names]


def test_examples_of_items_are_followed_by_how_many_more_there_are() -> None:
    three, four = Tally(3, ["a", "b", "c"]), Tally(4, ["a", "b", "c"])
    (found,) = _found("items-foreign", rows=Rows(foreign=three))
    assert (found.evidence, found.remedy) == (
        "3 items of another kind than messages and group rows: a, b, c",
        "cruddur ddb scan --table t",
    )
    (found,) = _found("items-foreign", rows=Rows(foreign=four))
    assert found.evidence == "4 items of another kind than messages and group rows: a, b, c and 1 more"
    (found,) = _found("times-in-future", rows=Rows(future=Tally(1, ["a"])))
    assert (found.evidence, found.remedy) == (
        "1 item dated in the future: new messages sort before them: a",
        "cruddur ddb seed --table t",
    )


@pytest.mark.parametrize(
    ("tally", "unseeded", "words", "remedy"),
    [
        (Tally(2, ["MSG#g a", "MSG#g b"]), Tally(), "", "ddb seed"),
        (Tally(1, ["MSG#g a"]), Tally(1, ["MSG#g a"]), " (was not seeded, ", "ddb get-conversation g"),
        (Tally(2, ["MSG#g a"]), Tally(2, ["MSG#g a"]), " (were not seeded, ", "ddb get-conversation g"),
        (Tally(1, ["GRP#u a"]), Tally(1, ["GRP#u a"]), " (was not seeded, ", "ddb list-conversations"),
        (Tally(3, ["MSG#g a"]), Tally(1, ["MSG#g a"]), " (1 of them was not seeded, ", "ddb seed"),
        (Tally(3, ["MSG#g a"]), Tally(2, ["MSG#g a"]), " (2 of them were not seeded, ", "ddb seed"),
    ],
)
def test_keys_in_another_form_are_seeded_again_or_shown(tally: Tally, unseeded: Tally, words: str, remedy: str) -> None:
    for name, account in (
        ("time-zones-mixed", Rows(other_zone=tally, unseeded_zone=unseeded)),
        ("sort-key-form", Rows(other_form=tally, unseeded_form=unseeded)),
    ):
        (one,) = _found(name, rows=account)
        assert one.remedy == f"cruddur {remedy} --table t"
        assert words in one.evidence
        assert ("not seeded" in one.evidence) == bool(words)


@pytest.mark.parametrize(
    ("years", "newest"),
    [
        ([], None),
        ([0], None),
        ([2026], None),
        ([2025, 2026], None),
        ([2025, 0], 2025),
        ([2024, 2025, 2027], 2025),
        ([2027], None),
        ([1], 1),
    ],
)
def test_a_year_is_past_until_this_one(years: list[int], newest: int | None) -> None:
    account = Rows()
    account.years.update(years)
    found = _found("other-years-only", rows=account)
    evidence = f"the newest conversation is from {newest}, and the application shows only 2026"
    assert [(one.evidence, one.remedy) for one in found] == (
        [(evidence, "cruddur ddb seed --table t")] if newest else []
    )
    assert _found("other-years-only", rows=replace(account, is_sample=True)) == []


EARLY, LATE = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("conversation", "names"),
    [
        (Conversation(), []),
        (Conversation(newest=LATE), ["conversation-without-rows"]),
        (Conversation({"a": [LATE], "b": [LATE]}, {"a", "b"}, LATE), []),
        (Conversation({"a": [LATE]}, {"b"}, LATE), ["conversation-with-one-row"]),
        (Conversation({"a": [LATE]}, {"a"}, LATE), []),
        (Conversation({"a": [LATE, EARLY], "b": [LATE]}, {"a", "b"}, LATE), ["conversation-with-doubled-row"]),
        (Conversation({"a": [LATE], "b": [EARLY]}, {"a", "b"}, LATE), ["conversation-behind"]),
        (Conversation({"a": [EARLY], "b": [EARLY]}, {"a", "b"}), []),
        (Conversation({"a": [LATE], "b": [LATE]}, {"a", "b"}, EARLY), []),
    ],
)
def test_what_the_group_rows_of_a_conversation_lack(conversation: Conversation, names: list[str]) -> None:
    account = Rows(conversations={"g": conversation})
    table = replace(TABLE, rows=account)
    assert [one.check for one in findings(CHECKS, replace(FACTS, table=table))] == names
    sample = replace(TABLE, rows=replace(account, is_sample=True))
    assert findings(CHECKS, replace(FACTS, table=sample)) == []


def test_a_finding_about_conversations_says_its_cost_and_how_many_were_compared() -> None:
    wrong = {name: Conversation(newest=LATE) for name in ("h", "g")}
    (found,) = _found("conversation-without-rows", rows=Rows(conversations=wrong))
    assert (found.evidence, found.cost, found.remedy, found.fixable) == (
        "2 conversations without a group row: g, h",
        "about 24 WCU",
        "cruddur doctor --fix --table t",
        True,
    )
    (found,) = _found("conversation-without-rows", rows=Rows(conversations=wrong, shift=3))
    assert found.evidence.endswith("g, h (1 conversation in 8 was compared)")


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("table-missing", Problem("There is no table.", None, "table_not_found")),
        ("table-keys", replace(TABLE, keys="j")),
        ("index-missing", replace(TABLE, index_keys=None)),
        ("index-projection", replace(TABLE, projection="KEYS_ONLY")),
        ("table-not-marked", replace(TABLE, is_production=False)),
    ],
)
def test_what_mends_a_table_names_the_one_that_was_read(name: str, table: TableFacts | Problem) -> None:
    (found,) = of(CHECKS, replace(FACTS, prod=True, table=table, table_option=" --table t"), name)
    assert found.remedy.endswith(" --table t --prod")


@pytest.mark.parametrize(
    ("items", "claims", "stream_off", "prod", "is_whole"),
    [
        (2, 0, "turn-off", False, True),
        (3, 1, "turn-off", False, True),
        (3, 0, "turn-off", False, False),
        (2, 0, "", False, False),
        (2, 0, "turn-off", True, False),
    ],
)
def test_only_a_table_without_any_other_item_is_reset(
    items: int, claims: int, stream_off: str, prod: bool, is_whole: bool
) -> None:
    account = Rows(items=items, claims=claims, wrong_prefix=Tally(2, ["MESSAGE:g a", "MESSAGE:h b"]))
    (found,) = _found("wrong-key-prefix", prod=prod, rows=account, stream_off=stream_off)
    what, examples = "2 items whose key lacks the prefix MSG# or GRP#", "MESSAGE:g a, MESSAGE:h b"
    assert (found.evidence, found.remedy) == (
        (f"{what}: {examples}", "cruddur ddb reset --table t")
        if is_whole
        else (
            f"{what} (ddb seed does not replace them): {examples}",
            f"cruddur ddb scan --pk MESSAGE:g --table t{' --prod' if prod else ''}",
        )
    )

"""The checks of the table: each is found alone."""

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
from cruddur_cli.integrity.model import TableFacts, findings
from tests.conftest import SEEDED
from tests.integrity.doctored import Breaks, World
from tests.integrity.facts import FACTS

TABLE = TableFacts(
    label="DynamoDB",
    keys="k",
    expected_keys="k",
    index_keys="i",
    expected_index_keys="i",
    projection="ALL",
    write_capacity=5,
    index_write_capacity=5,
    stream_view=None,
    is_production=None,
    rows=rows.collect([], now=FACTS.now),
)


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


def test_a_left_over_claim_is_said_and_is_no_finding(world: World) -> None:
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
def test_keys_that_seeding_does_not_replace_are_said_to_stay(world: World, check: str, written: str) -> None:
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


def test_a_table_of_rows_without_a_prefix_is_put_right_by_the_remedy(world: World) -> None:
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
    """With default names a command without the endpoint would reach the table of production."""
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

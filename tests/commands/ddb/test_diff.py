"""``cruddur ddb diff``: each part of the table, on a real engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.schema import INDEX, INDEX_KEYS, KEY_TYPES, KEYS
from tests.commands.conftest import Here

UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
INDEXED = {
    "IndexName": INDEX,
    "KeySchema": INDEX_KEYS,
    "Projection": {"ProjectionType": "ALL"},
    "ProvisionedThroughput": UNITS,
}
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


@pytest.fixture
def made(table: DynamoDB) -> Iterator[Callable[..., None]]:
    """A function that creates the command's table with these parameters."""

    def make(**changed: Any) -> None:
        params = {"ProvisionedThroughput": UNITS, "GlobalSecondaryIndexes": [INDEXED], **changed}
        params = {"KeySchema": KEYS, "AttributeDefinitions": KEY_TYPES, **params}
        table.client.create_table(TableName=table.table, **params)

    yield make
    tables.drop(table, say=lambda _: None)


def differences(here: Here) -> dict[str, Any]:
    ran = here("ddb", "diff", "-o", "json")
    assert ran.code in {0, 1}, ran.err
    found = {item["object"]: (item["actual"], item["expected"]) for item in json.loads(ran.out)["items"]}
    assert ran.code == (1 if found else 0)
    return found


def test_a_table_after_its_set_up_has_no_difference(here: Here, made: Callable[..., None]) -> None:
    assert here("ddb", "schema-load").code == 0
    assert differences(here) == {}


def test_a_stream_of_new_items_is_the_owners_choice(here: Here, made: Callable[..., None]) -> None:
    made(StreamSpecification=STREAM)
    assert differences(here) == {}


def test_a_table_that_is_paid_per_request_has_no_difference(here: Here, made: Callable[..., None]) -> None:
    assert here("ddb", "schema-load", "--on-demand").code == 0
    assert differences(here) == {}


SHAPES: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    "keys": (
        {"KeySchema": [KEYS[0], {"AttributeName": "message_group_uuid", "KeyType": "RANGE"}]},
        "pk (HASH), message_group_uuid (RANGE)",
        "pk (HASH), sk (RANGE)",
    ),
    f"index {INDEX}": (
        {"GlobalSecondaryIndexes": [{**INDEXED, "Projection": {"ProjectionType": "KEYS_ONLY"}}]},
        "message_group_uuid (HASH), sk (RANGE), projection KEYS_ONLY",
        "message_group_uuid (HASH), sk (RANGE), projection ALL",
    ),
    "index another": (
        {"GlobalSecondaryIndexes": [INDEXED, {**INDEXED, "IndexName": "another"}]},
        "message_group_uuid (HASH), sk (RANGE), projection ALL",
        None,
    ),
    f"billing of {INDEX}": (
        {
            "GlobalSecondaryIndexes": [
                {**INDEXED, "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 1}}
            ]
        },
        "provisioned, 5 RCU / 1 WCU",
        "provisioned, 5 RCU / 5 WCU",
    ),
    "stream": (
        {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}},
        "KEYS_ONLY",
        "NEW_IMAGE",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_single_change_is_the_only_difference(here: Here, made: Callable[..., None], name: str) -> None:
    changed, actual, expected = SHAPES[name]
    made(**changed)
    assert differences(here) == {name: (actual, expected)}


def test_a_terminal_shows_a_diff(here: Here, made: Callable[..., None]) -> None:
    made(StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    ran = here("ddb", "diff")
    assert ran.code == 1
    assert ran.out.splitlines()[:2] == ["- stream KEYS_ONLY", "+ stream NEW_IMAGE"]


def test_a_missing_table_is_an_error_that_names_what_creates_it(here: Here) -> None:
    ran = here("ddb", "diff")
    assert ran.code == 5
    assert "cruddur ddb" in ran.err

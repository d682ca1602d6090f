"""A stream's record has a new message or none, or is malformed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cruddur_cli.dynamodb.streams import records
from tests.dynamodb.rows import GROUP, ME, OTHER, group_row, message_row


def record(image: dict[str, Any] | None, event: str = "INSERT") -> dict[str, Any]:
    about: dict[str, Any] = {"SequenceNumber": "7", "ApproximateCreationDateTime": 1_700_000_000}
    if image is not None:
        about |= {"Keys": {name: image[name] for name in ("pk", "sk") if name in image}, "NewImage": image}
    return {"eventName": event, "dynamodb": about}


def test_a_new_message_is_read_with_its_conversation() -> None:
    found = records.message(record(message_row("2026-11-20T10:00:00Z", "hello")))
    assert found is not None
    assert (found[0], found[1].message, found[1].user_handle) == (GROUP, "hello", "andrewbrown")


def test_a_new_message_is_read_if_only_the_item_has_its_key() -> None:
    told = record(message_row("2026-11-20T10:00:00Z", "hello"))
    del told["dynamodb"]["Keys"]
    found = records.message(told)
    assert found is not None
    assert (found[0], found[1].message) == (GROUP, "hello")


@pytest.mark.parametrize("event", ["MODIFY", "REMOVE"])
def test_changes_other_than_new_items_move_no_row(event: str) -> None:
    assert records.message(record(message_row("2026-11-20T10:00:00Z", "hello"), event)) is None


def test_a_new_group_row_moves_no_row() -> None:
    assert records.message(record(group_row(ME, OTHER, "2026-11-20T10:00:00Z", "hello"))) is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "not an INSERT"),
        ({"eventName": "NEWS"}, "not an INSERT"),
        (record(None), "no partition key"),
        ({"eventName": "INSERT", "dynamodb": {"Keys": {"pk": {"S": "MSG#g"}}}}, "does not contain the new item"),
        (record({"pk": {"S": "MSG#g"}, "sk": {"S": "2026-11-20T10:00:00Z"}}), "a message without message"),
        (record(message_row("2026-11-20T10:00:00Z", "x", group="")), "a message without a conversation"),
        (record(message_row("yesterday", "x")), "'yesterday' is not a time"),
    ],
)
def test_a_malformed_record_says_what_is_wrong(given: Any, why: str) -> None:
    with pytest.raises(records.MalformedRecord, match=why):
        records.message(given)


def test_a_described_record_has_its_place_time_and_values() -> None:
    found = records.describe(record(message_row("2026-11-20T10:00:00Z", "hello")))
    assert (found.sequence_number, found.event, found.entity) == ("7", "INSERT", "message")
    assert (found.at, found.item["message"]) == (datetime.fromtimestamp(1_700_000_000, UTC), "hello")
    empty = records.describe("nonsense")
    assert (empty.sequence_number, empty.event, empty.at, empty.item) == ("", "", None, {})

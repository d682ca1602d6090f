"""The rows of conversations are repaired, also while other writers send to the same conversations."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.dynamodb import scanning
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.conversations import repair
from cruddur_cli.dynamodb.conversations import send as sending
from cruddur_cli.dynamodb.schema import Item, Person, read_message
from cruddur_cli.integrity import rows as integrity_rows
from cruddur_cli.integrity.checks.dynamodb import WRONG

ANDREW, BAYKO = Person("a", "andrewbrown", "Andrew Brown"), Person("b", "bayko", "Andrew Bayko")
RENAMED = Person("b", "bayko", "Andy Bayko")


def _items(dynamodb: DynamoDB, prefix: str = "") -> list[Item]:
    found = [item for page in scanning.pages(dynamodb) for item in page]
    return [item for item in found if item["pk"]["S"].startswith(prefix)]


def _wrong(dynamodb: DynamoDB) -> set[str]:
    found = integrity_rows.collect(_items(dynamodb), now=times.now())
    return {name for name, test in WRONG.items() for one in found.conversations.values() if test(one)}


def _delete(dynamodb: DynamoDB, item: Item) -> None:
    dynamodb.client.delete_item(TableName=dynamodb.table, Key={"pk": item["pk"], "sk": item["sk"]})


@pytest.mark.parametrize("lost", [1, 2])
def test_missing_group_rows_are_created_from_the_messages(dynamodb: DynamoDB, lost: int) -> None:
    group = sending.start(dynamodb, ANDREW, BAYKO, "one").message_group_uuid
    sending.send(dynamodb, BAYKO, "two", group=group)
    before = sorted(map(str, _items(dynamodb)))
    for row in _items(dynamodb, "GRP#")[:lost]:
        _delete(dynamodb, row)
    assert _wrong(dynamodb)
    assert repair.group(dynamodb, group)
    assert sorted(map(str, _items(dynamodb))) == before


def test_a_conversation_without_messages_is_not_changed(dynamodb: DynamoDB) -> None:
    assert not repair.group(dynamodb, "nothing")
    assert _items(dynamodb) == []


def test_a_rename_does_not_create_a_row_that_was_moved_meanwhile(dynamodb: DynamoDB) -> None:
    sending.start(dynamodb, ANDREW, BAYKO, "one")
    row = next(item for item in _items(dynamodb, "GRP#a"))
    sending.send(dynamodb, BAYKO, "two", receiver=ANDREW)
    before = sorted(map(str, _items(dynamodb)))
    assert not repair.rename(dynamodb, row, RENAMED)
    assert sorted(map(str, _items(dynamodb))) == before


def test_a_rename_does_not_change_a_row_that_another_writer_renamed(dynamodb: DynamoDB) -> None:
    """For example, an anonymized copy can run at the same time."""
    sending.start(dynamodb, ANDREW, BAYKO, "one")
    (row,) = _items(dynamodb, "GRP#a")
    for name in ("user_handle", "user_display_name"):
        copied = {**row, name: {"S": "another"}}
        dynamodb.client.put_item(TableName=dynamodb.table, Item=copied)
        assert not repair.rename(dynamodb, row, RENAMED)
        assert _items(dynamodb, "GRP#a") == [copied]


def test_writers_and_repairs_at_once_lose_nothing_and_move_no_row_backwards(dynamodb: DynamoDB) -> None:
    group = sending.start(dynamodb, ANDREW, BAYKO, "start").message_group_uuid
    acknowledged: list[str] = []
    errors: list[BaseException] = []
    over = threading.Event()

    def write(sender: Person) -> None:
        try:
            with opened(dynamodb.at, dynamodb.table) as own:
                for number in range(12):
                    sent = sending.send(own, sender, f"{sender.handle} {number}", group=group)
                    acknowledged.append(sent.message.message_uuid)
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            errors.append(error)

    def mend() -> None:
        try:
            with opened(dynamodb.at, dynamodb.table) as own:
                while not over.is_set():
                    repair.group(own, group)
                    for item in _items(own):
                        # A claim, which may be there for a moment, has no such attribute.
                        if item.get("user_uuid") == {"S": RENAMED.uuid}:
                            repair.rename(own, item, RENAMED)
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=write, args=[person]) for person in (ANDREW, BAYKO)]
    mender = threading.Thread(target=mend)
    for thread in (*threads, mender):
        thread.start()
    for row in _items(dynamodb, "GRP#")[:1]:
        _delete(dynamodb, row)
    for thread in threads:
        thread.join()
    over.set()
    mender.join()
    assert errors == []
    stored = {read_message(item).message_uuid: item for item in _items(dynamodb, "MSG#")}
    assert set(acknowledged) <= set(stored)
    assert len(stored) == 1 + len(acknowledged)
    assert repair.group(dynamodb, group)
    assert _wrong(dynamodb) == set()
    newest: Any = max(item["sk"]["S"] for item in stored.values())
    assert {item["sk"]["S"] for item in _items(dynamodb, "GRP#")} == {newest}

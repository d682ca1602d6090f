"""Applied records give the right group rows, in any order, number and state."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from cruddur_cli.dynamodb import schema
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.streams import processor, records
from tests import faults
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, Item, everything, group_row, message_row, write
from tests.dynamodb.shards import both_rows, group_texts, hundred, minute, read_all, record, streaming, write_in_turn


def rows(dynamodb: DynamoDB) -> list[tuple[str, str]]:
    return group_texts(everything(dynamodb))


@pytest.fixture
def conversation(dynamodb: DynamoDB) -> DynamoDB:
    """A table with a conversation whose last message is old."""
    write(dynamodb, both_rows())
    return dynamodb


def test_a_message_moves_the_row_of_each_person(conversation: DynamoDB) -> None:
    before = {item["pk"]["S"]: item for item in everything(conversation)}
    said = message_row(minute(5), "new")
    done = processor.apply(conversation, [record(1, said)])
    assert (done.moved, done.messages, done.failure) == (2, 1, None)
    last = schema.last_message_attributes(schema.read_message(said))
    assert last["message"] == {"S": "new"}
    for item in everything(conversation):
        old = before[item["pk"]["S"]]
        assert item == {**old, "sk": {"S": minute(5)}, **last}


def test_all_counts_of_an_empty_batch_are_zero(conversation: DynamoDB) -> None:
    none = processor.BatchResult(records=0, messages=0, ignored=0, conversations=0, moved=0, unchanged=0, repaired=0)
    assert processor.apply(conversation, []) == processor.BatchResult() == none


def test_a_batch_of_one_conversation_makes_the_requests_of_one_message(conversation: DynamoDB) -> None:
    done = processor.apply(conversation, hundred())
    assert (done.records, done.messages, done.conversations) == (100, 100, 1)
    assert rows(conversation) == [(minute(100), "message 100")] * 2
    write_requests = [each for each in conversation.meter.operations() if each.operation == "TransactWriteItems"]
    assert write_requests[0].requests == 1


@pytest.mark.parametrize("size", [1, 7, 100])
def test_twice_reversed_and_shuffled_batches_end_in_the_same_rows(conversation: DynamoDB, size: int) -> None:
    batch = hundred()
    random.Random(size).shuffle(batch)
    times = [rows(conversation)[0][0]]
    for order in (batch, batch, batch[::-1]):
        for begin in range(0, 100, size * 5):
            assert processor.apply(conversation, order[begin : begin + size * 5]).failure is None
            times.append(rows(conversation)[0][0])
    assert rows(conversation) == [(minute(100), "message 100")] * 2
    assert times == sorted(times), "never backwards"


def test_two_messages_with_one_time_give_the_same_rows_in_either_order(conversation: DynamoDB) -> None:
    both = [
        record(1, message_row("2026-11-20T12:00:00+02:00", "b")),
        record(2, message_row("2026-11-20T10:00:00.000000+00:00", "a")),
    ]
    for order in (both, both[::-1], both[:1], both[1:]):
        assert processor.apply(conversation, order).failure is None
    assert [text for _, text in rows(conversation)] == ["old", "old"], "and an older one moves nothing"
    later = [record(3, message_row(minute(5), "b")), record(4, message_row("2026-11-20T10:05:00", "a"))]
    ends = []
    for order in (later, later[::-1]):
        processor.apply(conversation, order)
        ends.append(rows(conversation))
    assert ends[0] == ends[1]


def old_lambda(dynamodb: DynamoDB, sk: str, text: str, *, read: list[Item], dies: bool = False) -> None:
    """Do what the application's first Lambda does for one message, with the rows that it ``read`` a moment ago.

    It deletes each row and puts it again, without a condition.
    """
    for item in read:
        dynamodb.call("delete_item", TableName=dynamodb.table, Key={"pk": item["pk"], "sk": item["sk"]})
        if dies:
            return
        moved = {**item, "sk": {"S": sk}, "message": {"S": text}}
        dynamodb.call("put_item", TableName=dynamodb.table, Item=moved)


@pytest.mark.parametrize("dies", [False, True])
def test_rows_that_the_old_lambda_left_are_repaired_from_the_oldest_record(conversation: DynamoDB, dies: bool) -> None:
    messages = [message_row(minute(5), "first"), message_row(minute(6), "second")]
    write(conversation, messages)
    read = [item for item in everything(conversation) if item["pk"]["S"].startswith("GRP#")]
    both = [record(number, message) for number, message in enumerate(messages, 1)]
    assert processor.apply(conversation, both).moved == 2
    old_lambda(conversation, minute(5), "first", read=read, dies=dies)
    if not dies:
        assert rows(conversation) == [(minute(5), "first"), (minute(6), "second")] * 2, "each person has two rows"
    assert processor.apply(conversation, both).failure is None
    assert rows(conversation) == [(minute(6), "second")] * 2
    found = everything(conversation)
    assert processor.apply(conversation, both).moved == 0
    assert everything(conversation) == found


def test_a_row_that_the_old_lambda_deleted_is_created_again(conversation: DynamoDB) -> None:
    message = message_row(minute(5), "first")
    write(conversation, [message])
    read = [item for item in everything(conversation) if item["pk"]["S"].startswith("GRP#")]
    old_lambda(conversation, minute(5), "first", read=read, dies=True)
    assert len(rows(conversation)) == 1
    assert processor.apply(conversation, [record(1, message)]).failure is None
    assert rows(conversation) == [(minute(5), "first")] * 2


def test_a_malformed_record_ends_the_batch_at_its_place(conversation: DynamoDB) -> None:
    done = processor.apply(conversation, hundred(poisoned=40))
    assert done.failure is not None
    assert (done.failure.index, done.failure.sequence_number) == (39, f"{40:030d}")
    assert done.records == 39
    assert rows(conversation) == [(minute(39), "message 39")] * 2, "1 to 39 are applied"
    number = done.failure.sequence_number
    rest = processor.apply(conversation, hundred(poisoned=40)[39:], skip={number})
    assert rest.failure is None
    assert rows(conversation) == [(minute(100), "message 100")] * 2


POISON: list[Any] = [
    None,
    {},
    "text",
    {"eventName": "INSERT"},
    {"eventName": "UPSERT", "dynamodb": {"Keys": {"pk": {"S": "MSG#g"}}}},
    record(1, message_row(minute(1), "x"), NewImage=None),
    record(1, message_row(minute(1), "x"), Keys={"pk": {"N": "1"}}, NewImage={}),
    record(1, message_row("not a time", "x")),
    record(1, message_row("", "x")),
    record(1, {**message_row(minute(1), "x"), "message": {"N": "1"}}),
    record(1, {**message_row(minute(1), "x"), "pk": {"S": "MSG#"}}),
    record(1, {k: v for k, v in message_row(minute(1), "x").items() if k != "message"}),
]


@pytest.mark.parametrize("poison", POISON, ids=range(len(POISON)))
def test_every_kind_of_malformed_record_ends_the_batch(conversation: DynamoDB, poison: Any) -> None:
    batch = [record(1, message_row(minute(5), "before")), poison, record(3, message_row(minute(7), "after"))]
    done = processor.apply(conversation, batch)
    assert done.failure is not None
    assert (done.failure.index, done.failure.error) == (1, None)
    assert done.failure.reason
    assert rows(conversation) == [(minute(5), "before")] * 2


def test_group_rows_removals_changes_and_strangers_are_ignored(conversation: DynamoDB) -> None:
    late = minute(50)
    ignored = [
        record(1, group_row(ME, OTHER, late, "x")),
        record(2, message_row(late, "removed"), event="REMOVE", NewImage=None),
        record(3, message_row(late, "changed"), event="MODIFY"),
        record(4, {"pk": {"S": "CLAIM#g"}, "sk": {"S": "CLAIM"}}),
        record(5, {"pk": {"S": "anything"}, "sk": {"S": "at all"}}),
    ]
    before, requests = everything(conversation), conversation.meter.total().requests
    done = processor.apply(conversation, ignored)
    assert (done.ignored, done.messages, done.failure) == (5, 0, None)
    assert conversation.meter.total().requests == requests
    assert everything(conversation) == before


def test_records_of_its_own_writes_cause_no_more_writes(dynamodb: DynamoDB) -> None:
    with streaming(dynamodb) as source:
        write(dynamodb, [*both_rows(), message_row(minute(5), "new")])
        kept: dict[str, Any] = {}
        first = processor.apply(dynamodb, read_all(source, kept))
        second = processor.apply(dynamodb, read_all(source, kept))
        assert (first.messages, first.moved) == (1, 2)
        assert (second.messages, second.ignored) == (0, 4)
        assert read_all(source, kept) == []


def test_odd_ids_naive_times_and_missing_names_are_handled(dynamodb: DynamoDB) -> None:
    group = "not a uuid # at all"
    nameless: Item = {
        name: value
        for name, value in message_row("2026-11-20T10:05:00", "naive", group=group).items()
        if name not in {"user_display_name", "user_handle", "message_uuid"}
    }
    write(dynamodb, [group_row(a, b, minute(0), "old", group=group) for a, b in ((ME, OTHER), (OTHER, ME))])
    assert processor.apply(dynamodb, [record(1, nameless)]).moved == 2
    assert [text for _, text in rows(dynamodb)] == ["naive", "naive"]
    offset = message_row("2026-11-20T13:06:00+03:00", "offset", group=group)
    assert processor.apply(dynamodb, [record(2, offset)]).moved == 2
    assert {item["user_handle"]["S"] for item in everything(dynamodb)} == {"andrewbrown", "bayko"}


def test_the_missing_row_of_one_person_is_created_again(dynamodb: DynamoDB) -> None:
    write(dynamodb, [group_row(ME, OTHER, minute(0), "old")])
    done = processor.apply(dynamodb, [record(1, message_row(minute(5), "new"))])
    assert (done.moved, done.repaired) == (1, 1)
    assert rows(dynamodb) == [(minute(5), "new")] * 2


def test_an_unknown_conversation_is_named_and_does_not_stop_the_others(conversation: DynamoDB) -> None:
    unknown = message_row(minute(5), "hello?", group="nobody's", sender=THIRD)
    done = processor.apply(conversation, [record(1, unknown), record(2, message_row(minute(5), "new"))])
    assert done.failure is None
    assert len(done.unmovable) == 1
    assert "nobody's" in done.unmovable[0]
    assert rows(conversation) == [(minute(5), "new")] * 2


def test_after_a_store_error_the_first_unapplied_record_is_returned(conversation: DynamoDB) -> None:
    groups = ["one", "two", "three"]
    write(
        conversation,
        [
            group_row(a, b, minute(n), "old", group=group)
            for n, group in enumerate(groups)
            for a, b in ((ME, OTHER), (OTHER, ME))
        ],
    )
    batch = [record(n, message_row(minute(n + 5), f"m{n}", group=groups[n % 3])) for n in range(30)]
    conversation.busy_s = 0.2
    struck = faults.answers(conversation.client, "TransactWriteItems", "ProvisionedThroughputExceededException")
    done = processor.apply(conversation, batch)
    assert struck.count
    assert done.failure is not None
    assert (done.failure.index, done.records) == (0, 0)
    assert done.failure.error is not None


@pytest.mark.parametrize("deadline_s", [None, 600])
def test_after_the_first_error_no_other_conversation_is_begun(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch, deadline_s: int | None
) -> None:
    groups = ["one", "two", "three"]
    for a, b in ((ME, OTHER), (OTHER, ME)):
        write(dynamodb, [group_row(a, b, minute(n), "old", group=group) for n, group in enumerate(groups)])
    monkeypatch.setattr(processor, "WIDTH", 1)
    struck = faults.answers(dynamodb.client, "TransactWriteItems", "ValidationException", times=1)
    batch = [record(n, message_row(minute(n + 5), f"m{n}", group=group)) for n, group in enumerate(groups)]
    done = processor.apply(dynamodb, batch, deadline=deadline_s and time.monotonic() + deadline_s)
    assert done.failure is not None
    assert "ValidationException" in done.failure.reason
    assert (done.failure.index, done.records, done.moved, len(struck.at)) == (0, 0, 0, 1)


def test_before_the_deadline_everything_is_applied(conversation: DynamoDB) -> None:
    done = processor.apply(conversation, hundred(), deadline=time.monotonic() + 600)
    assert (done.failure, done.moved) == (None, 2)


def test_after_the_deadline_nothing_is_begun(conversation: DynamoDB) -> None:
    done = processor.apply(conversation, hundred(), deadline=time.monotonic())
    assert done.failure is not None
    assert (done.failure.index, done.moved) == (0, 0)
    assert "time" in done.failure.reason


def test_conflicting_transactions_are_repeated(conversation: DynamoDB) -> None:
    struck = faults.answers(conversation.client, "TransactWriteItems", "TransactionConflictException", times=3)
    assert processor.apply(conversation, hundred()).failure is None
    assert struck.count == 3
    assert rows(conversation) == [(minute(100), "message 100")] * 2


def test_a_dry_run_only_counts(conversation: DynamoDB) -> None:
    before = everything(conversation)
    done = processor.apply(conversation, hundred(poisoned=40), dry_run=True)
    assert (done.messages, done.conversations, done.moved) == (39, 1, 0)
    assert everything(conversation) == before


def test_many_conversations_that_move_at_once_each_get_the_right_rows(dynamodb: DynamoDB) -> None:
    groups = [f"{GROUP}-{n}" for n in range(12)]
    for a, b in ((ME, OTHER), (OTHER, ME)):
        write(dynamodb, (group_row(a, b, minute(n), "old", group=group) for n, group in enumerate(groups)))
    with streaming(dynamodb) as source:
        write_in_turn(dynamodb, (message_row(minute(60 + n), f"{n % 12}", group=groups[n % 12]) for n in range(48)))
        batch = read_all(source)
    assert len([each for each in batch if records.message(each)]) == 48
    done = processor.apply(dynamodb, batch)
    assert (done.failure, done.conversations, done.moved) == (None, 12, 24)
    found = [item for item in everything(dynamodb) if item["pk"]["S"].startswith("GRP#")]
    assert sorted((item["message_group_uuid"]["S"], item["sk"]["S"]) for item in found) == sorted(
        (group, minute(60 + 36 + n)) for n, group in enumerate(groups) for _ in range(2)
    )

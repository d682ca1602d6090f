"""The Lambda function applies the records of an event and reports the first that fails."""

from __future__ import annotations

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.stream_lambda import handler as lambda_handler
from tests import faults
from tests.dynamodb.rows import ME, OTHER, group_row, message_row
from tests.dynamodb.shards import hundred, minute, record
from tests.stream_lambda.invocations import Context, apply, rows


def test_an_applied_batch_reports_nothing_and_can_be_repeated(conversation: DynamoDB) -> None:
    for _ in range(2):
        assert apply(hundred()) == []
        assert rows(conversation) == [(minute(100), "message 100")] * 2
    assert apply(hundred()[:50]) == []
    assert rows(conversation) == [(minute(100), "message 100")] * 2, "never backwards"


def test_an_empty_batch_and_no_context_are_answered(conversation: DynamoDB) -> None:
    assert apply([]) == []
    assert lambda_handler.handler({"Records": []}, None) == {"batchItemFailures": []}


def test_the_first_malformed_record_is_reported(conversation: DynamoDB) -> None:
    assert apply(hundred(poisoned=40)) == [f"{40:030d}"]
    assert rows(conversation) == [(minute(39), "message 39")] * 2


def test_a_record_without_a_number_fails_the_whole_batch(conversation: DynamoDB) -> None:
    """Lambda repeats the whole batch if the identifier is empty."""
    assert apply([None, *hundred()]) == [""]


def test_retries_of_lambda_end_at_the_malformed_record_and_after_it(conversation: DynamoDB) -> None:
    """Lambda begins again at the reported record, and skips it after a number of retries."""
    left, tries = hundred(poisoned=40), 0
    while left:
        failed = apply(left)
        if not failed:
            break
        place = [each["dynamodb"]["SequenceNumber"] for each in left].index(failed[0])
        tries = tries + 1 if place == 0 else 0
        left = left[1:] if tries == 3 else left[place:]
    assert rows(conversation) == [(minute(100), "message 100")] * 2


def test_a_busy_store_is_reported_before_the_time_out(conversation: DynamoDB) -> None:
    assert apply([]) == []
    (store,) = lambda_handler.opened()
    struck = faults.answers(store.client, "TransactWriteItems", "ProvisionedThroughputExceededException")
    assert apply(hundred(), Context(3_000)) == [f"{1:030d}"]
    assert struck.count
    assert rows(conversation) == [(minute(0), "old")] * 2


def test_its_own_group_rows_are_ignored(conversation: DynamoDB) -> None:
    assert (
        apply([record(1, group_row(ME, OTHER, minute(9), "x")), record(2, message_row("x", "y"), event="REMOVE")]) == []
    )
    assert rows(conversation) == [(minute(0), "old")] * 2


def test_the_table_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDB_MESSAGE_TABLE", raising=False)
    with pytest.raises(KeyError, match="DDB_MESSAGE_TABLE"):
        lambda_handler.handler({"Records": []}, None)


# The archive, unpacked where there is nothing else.

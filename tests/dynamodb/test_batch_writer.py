"""Batches of 25 are written, the last item of a key is stored, and unprocessed requests are retried or reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cruddur_cli.dynamodb import batch_writer
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.errors import Exit, Refused
from tests import faults
from tests.dynamodb.rows import everything, message_row, write

HALF_OF_THE_SHORTEST_PAUSE_S = 0.015


def puts(count: int, *, keys: int) -> Iterator[dict[str, Any]]:
    """``count`` items for ``keys`` keys in turn; the text is the number of the item."""
    for number in range(count):
        yield message_row(f"{number % keys:06}", f"{number}")


def test_half_of_each_batch_unprocessed_five_times_writes_each_item_once(dynamodb: DynamoDB) -> None:
    found = faults.unprocessed(dynamodb.client, rounds=5)
    told: list[int] = []
    write(dynamodb, puts(200, keys=200), advance=told.append)
    assert found.struck >= 5 * 8
    assert len(found.written) == len(set(found.written)) == 200
    assert min(found.pauses()) > HALF_OF_THE_SHORTEST_PAUSE_S
    assert sum(told) == 200
    assert [item["message"]["S"] for item in everything(dynamodb)] == [f"{n}" for n in range(200)]
    written = {each.operation: each.items for each in dynamodb.meter.operations()}["BatchWriteItem"]
    assert written == 200


def test_requests_that_stay_unprocessed_end_with_an_error(dynamodb: DynamoDB) -> None:
    dynamodb.busy_s = 0.3
    found = faults.unprocessed(dynamodb.client, rounds=faults.FOREVER, share=1.0)
    with pytest.raises(Refused, match="25 of a batch of 25 were not processed") as caught:
        write(dynamodb, puts(1000, keys=1000))
    assert caught.value.exit_code == Exit.REFUSED
    assert "same command again" in (caught.value.hint or "")
    assert 1 < found.struck < 1000
    assert len(found.sent) < 1000
    assert everything(dynamodb) == []


def test_the_time_limit_counts_from_the_last_progress(dynamodb: DynamoDB) -> None:
    """Each round writes one item: 25 rounds take at least three times the time limit."""
    dynamodb.busy_s = 0.2
    found = faults.unprocessed(dynamodb.client, rounds=faults.FOREVER, share=1.0, least=1)
    write(dynamodb, puts(25, keys=25))
    assert found.struck == 24
    assert len(everything(dynamodb)) == 25


@pytest.mark.parametrize(("count", "keys"), [(26, 26), (26, 1), (1000, 1000), (1000, 13), (1000, 990)])
def test_the_last_item_of_a_key_is_stored_within_and_across_batches(dynamodb: DynamoDB, count: int, keys: int) -> None:
    found = faults.unprocessed(dynamodb.client, rounds=0)
    told: list[int] = []
    write(dynamodb, puts(count, keys=keys), advance=told.append)
    assert keys <= sum(told) == len(found.written) <= count
    assert found.largest <= 25
    last = {n % keys: f"{n}" for n in range(count)}
    assert [item["message"]["S"] for item in everything(dynamodb)] == [last[n] for n in sorted(last)]


def test_the_last_item_of_a_key_is_stored_if_its_first_batch_is_unprocessed(dynamodb: DynamoDB) -> None:
    faults.unprocessed(dynamodb.client, rounds=3)
    write(dynamodb, puts(300, keys=30))
    assert [item["message"]["S"] for item in everything(dynamodb)] == [f"{n}" for n in range(270, 300)]


def test_twenty_five_thousand_rows_with_repeated_keys_are_merged(dynamodb: DynamoDB) -> None:
    found = faults.unprocessed(dynamodb.client, rounds=0)

    def items() -> Iterator[dict[str, Any]]:
        for number in range(25_000):
            key = number - 1 if number % 10 == 9 else number
            yield {"pk": {"S": "k"}, "sk": {"S": f"{key:06}"}, "n": {"S": f"{number}"}}

    write(dynamodb, items())
    assert 22_500 <= len(found.written) <= 23_000
    assert found.largest == 25
    kept = everything(dynamodb)
    assert len(kept) == 22_500
    assert all(int(item["n"]["S"]) == int(item["sk"]["S"]) + (int(item["sk"]["S"]) % 10 == 8) for item in kept)


def test_a_delete_after_a_put_of_the_same_key_wins(dynamodb: DynamoDB) -> None:
    row = message_row("1", "x")
    with batch_writer.opened(dynamodb) as batch:
        batch.put(row)
        batch.delete({"pk": row["pk"], "sk": row["sk"]})
    assert everything(dynamodb) == []


def test_an_error_in_the_block_ends_the_writing(dynamodb: DynamoDB) -> None:
    with pytest.raises(ZeroDivisionError), batch_writer.opened(dynamodb) as batch:
        for item in puts(30, keys=30):
            batch.put(item)
        raise ZeroDivisionError
    assert len(everything(dynamodb)) in {0, 25}  # a batch that was not sent is not sent any more


def test_the_number_of_written_rows_is_known_after_a_flush(dynamodb: DynamoDB) -> None:
    with batch_writer.opened(dynamodb) as batch:
        for item in puts(30, keys=30):
            batch.put(item)
        batch.flush()
        assert batch.written == len(everything(dynamodb)) == 30


def test_throttling_and_server_errors_are_retried(dynamodb: DynamoDB) -> None:
    throttled = faults.answers(dynamodb.client, "BatchWriteItem", "ThrottlingException", times=4)
    broken = faults.answers(dynamodb.client, "BatchWriteItem", "InternalServerError", status=500, times=3)
    write(dynamodb, puts(100, keys=100))
    assert (throttled.count, broken.count) == (4, 3)
    assert len(everything(dynamodb)) == 100


def test_a_lost_answer_leaves_each_item_once(dynamodb: DynamoDB) -> None:
    lost = faults.loses_answers(dynamodb.client, "BatchWriteItem", times=3)
    write(dynamodb, puts(100, keys=100))
    assert lost.count == 3
    assert len(everything(dynamodb)) == 100


def test_a_refused_batch_ends_the_others(dynamodb: DynamoDB) -> None:
    struck = faults.answers(dynamodb.client, "BatchWriteItem", "ValidationException")
    with pytest.raises(Refused, match="injected"):
        write(dynamodb, puts(2000, keys=2000))
    assert struck.count <= 2 * batch_writer.WIDTH

"""Writes many items: batches of 25, several at a time, what comes back unprocessed again and again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event
from typing import Any

from ..errors import Refused
from .client import DynamoDB

# "BatchWriteItem": 25 requests a call, no key twice. 400 KB an item keeps any 25 below its 16 MB.
BATCH = 25
# Measured on DynamoDB Local and two cores, in items a second, medians of four: 8 at once write 5,000, 12 as many, 16
# write 5,500 and 32 write 5,100. That is 15 % less than without asking for the consumed capacity, which is wanted.
WIDTH = 16
Item = dict[str, Any]
Request = dict[str, Any]


def put_request(item: Item) -> Request:
    """The request that writes one item."""
    return {"PutRequest": {"Item": item}}


@contextmanager
def opened(dynamodb: DynamoDB, *, advance: Callable[[int], None] = lambda _: None) -> Iterator[BatchWriter]:
    """A writer for many puts and deletes; all of them are written when the block ends.

    ``advance`` is called with the number of requests of each batch that is written. Requests for one key keep their
    order: the last wins. Raises Refused when DynamoDB accepts nothing more for ``dynamodb.busy_s``; what was written
    stays, and writing the same again is safe.
    """
    sender = BatchSender(dynamodb)
    with ThreadPoolExecutor(WIDTH, thread_name_prefix="batch") as pool:
        try:
            writer = BatchWriter(sender, pool, advance)
            yield writer
            writer.flush()
        except BaseException:
            sender.give_up()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class BatchWriter:
    """Collects puts and deletes, and sends each 25 of them as a batch, several batches at once.

    ``written`` is the number of requests that are written.
    """

    def __init__(self, sender: BatchSender, pool: ThreadPoolExecutor, advance: Callable[[int], None]) -> None:
        self.written = 0
        self._sender, self._pool, self._advance = sender, pool, advance
        self._batch: dict[tuple[str, str], Request] = {}
        self._in_flight: dict[Future[int], Collection[tuple[str, str]]] = {}
        self._keys_in_flight: set[tuple[str, str]] = set()
        self._finished: SimpleQueue[Future[int]] = SimpleQueue()

    def put(self, item: Item) -> None:
        """Write an item."""
        self._add(item, put_request(item))

    def delete(self, key: Item) -> None:
        """Delete the item with this key."""
        self._add(key, {"DeleteRequest": {"Key": key}})

    def flush(self) -> None:
        """Send what was collected, and wait until everything is written."""
        if self._batch:
            self._send()
        while self._in_flight:
            self._wait_for_one()

    def _add(self, row: Item, request: Request) -> None:
        self._batch[row["pk"]["S"], row["sk"]["S"]] = request
        if len(self._batch) == BATCH:
            self._send()

    def _send(self) -> None:
        while len(self._in_flight) >= WIDTH or not self._keys_in_flight.isdisjoint(self._batch):
            self._wait_for_one()
        future = self._pool.submit(self._sender.write, list(self._batch.values()))
        self._in_flight[future] = self._batch
        self._keys_in_flight.update(self._batch)
        self._batch = {}
        future.add_done_callback(self._finished.put)

    def _wait_for_one(self) -> None:
        future = self._finished.get()
        self._keys_in_flight.difference_update(self._in_flight.pop(future))
        number = future.result()
        self.written += number
        self._advance(number)


class BatchSender:
    """What the batches of one command share: while one of them gets on, none gives up."""

    def __init__(self, dynamodb: DynamoDB) -> None:
        self._dynamodb = dynamodb
        self._stalled, self._busy = dynamodb.backoff(), dynamodb.backoff()
        self._given_up = Event()

    def give_up(self) -> None:
        """Send nothing more: the command has failed, or was interrupted."""
        self._given_up.set()
        self._dynamodb.halt()

    def pause(self, what: str) -> None:
        """Wait because nothing was done in a round. Raises Refused when that has gone on for too long."""
        if not self._stalled.wait():
            raise Refused(
                f"DynamoDB is too busy: {what}.",
                hint="run the same command again: it writes only what is missing",
                code="unprocessed",
            )

    def write(self, batch: list[Request]) -> int:
        """One batch, sent until nothing comes back, with a pause each time. Such rounds are bounded."""
        left = batch
        while left and not self._given_up.is_set():
            answer = self._dynamodb.call(
                "batch_write_item", backoff=self._busy, RequestItems={self._dynamodb.table: left}
            )
            again = answer.get("UnprocessedItems", {}).get(self._dynamodb.table, [])
            if len(again) < len(left):
                self._stalled.progress()
            if again and not self._stalled.wait():
                raise Refused(
                    f"DynamoDB accepts no more writes: {len(again)} of a batch of {len(batch)} were not processed.",
                    hint="run the same command again: it writes only what is missing",
                    code="unprocessed",
                )
            left = again
        return len(batch)

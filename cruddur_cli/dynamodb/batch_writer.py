"""Write many items in batches of 25, several batches at once, and retry unprocessed requests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event
from typing import Any

from ..errors import Refused
from .client import DynamoDB

# "BatchWriteItem": at most 25 requests and 16 MB, and no key twice. An item has at most 400 KB, so 25 items always fit.
BATCH = 25
# How many batches are sent at once. Items per second on DynamoDB Local and two cores, medians of four: 5,000 with 8 and
# with 12 batches, 5,500 with 16, 5,100 with 32. Asking for the consumed capacity costs 15 % of that; it is needed.
WIDTH = 16
Item = dict[str, Any]
Request = dict[str, Any]


def put_request(item: Item) -> Request:
    """The request of BatchWriteItem that writes one item."""
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
    """Sends the batches of one command. The batches share their pauses: while one makes progress, none gives up."""

    def __init__(self, dynamodb: DynamoDB) -> None:
        self._dynamodb = dynamodb
        self._stalled, self._busy = dynamodb.backoff(), dynamodb.backoff()
        self._given_up = Event()

    def give_up(self) -> None:
        """Send no more requests, because the command has failed or was interrupted."""
        self._given_up.set()
        self._dynamodb.halt()

    def pause(self, what: str) -> None:
        """Wait after a round without progress. Raises Refused if there was no progress for ``dynamodb.busy_s``."""
        if not self._stalled.wait():
            raise Refused(
                f"DynamoDB is too busy: {what}.",
                hint="run the same command again: it writes only what is missing",
                code="unprocessed",
            )

    def write(self, batch: list[Request]) -> int:
        """Send one batch until no request is unprocessed; return the number of its requests.

        It pauses before each retry. Raises Refused if there was no progress for ``dynamodb.busy_s``.
        """
        left = batch
        while left and not self._given_up.is_set():
            answer = self._dynamodb.call(
                "batch_write_item", backoff=self._busy, RequestItems={self._dynamodb.table: left}
            )
            unprocessed = answer.get("UnprocessedItems", {}).get(self._dynamodb.table, [])
            if len(unprocessed) < len(left):
                self._stalled.progress()
            if unprocessed and not self._stalled.wait():
                raise Refused(
                    f"DynamoDB accepts no more writes: {len(unprocessed)} of a batch of {len(batch)}"
                    " were not processed.",
                    hint="run the same command again: it writes only what is missing",
                    code="unprocessed",
                )
            left = unprocessed
        return len(batch)

"""Writes many items: batches of 25, several at a time, what comes back unprocessed again and again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
Request = dict[str, Any]


def put_request(item: Request) -> Request:
    """The request that writes one item."""
    return {"PutRequest": {"Item": item}}


def delete_request(key: Request) -> Request:
    """The request that deletes one item."""
    return {"DeleteRequest": {"Key": key}}


def write_all(
    dynamodb: DynamoDB, requests: Iterable[Request], *, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Carry out all requests; ``advance`` is told how many were done, as they are.

    Requests for one key keep their order: the last wins. Raises Refused when DynamoDB takes nothing more for
    ``dynamodb.busy_s``; what was written stays, and writing the same again is safe.
    """
    writer = Writer(dynamodb)
    landed: SimpleQueue[Future[int]] = SimpleQueue()
    flying: dict[Future[int], Collection[tuple[str, str]]] = {}
    busy: set[tuple[str, str]] = set()

    def land() -> None:
        future = landed.get()
        busy.difference_update(flying.pop(future))
        advance(future.result())

    with ThreadPoolExecutor(WIDTH, thread_name_prefix="batch") as pool:
        try:
            for batch in _batches(requests):
                while len(flying) >= WIDTH or not busy.isdisjoint(batch):
                    land()
                future = pool.submit(writer.write, list(batch.values()))
                flying[future] = batch
                busy.update(batch)
                future.add_done_callback(landed.put)
            while flying:
                land()
        except BaseException:
            writer.give_up()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _batches(requests: Iterable[Request]) -> Iterator[dict[tuple[str, str], Request]]:
    batch: dict[tuple[str, str], Request] = {}
    for request in requests:
        batch[_key(request)] = request
        if len(batch) == BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def _key(request: Request) -> tuple[str, str]:
    row = request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]
    return row["pk"]["S"], row["sk"]["S"]


class Writer:
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

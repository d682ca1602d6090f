"""Reads a whole table, page by page, in one or several segments, with memory that does not grow."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ..sdk import Patience
from .capacity import PAGE_LIMIT
from .client import DynamoDB

Item = dict[str, Any]
Key = dict[str, Any]
Produced = TypeVar("Produced")


# What was measured on two cores (benchmarks/transfer.py, 100,000 items, 32 MB): DynamoDB Local walks the rest of a
# segment for each page, so that one segment takes 54 s, 8 take 10 s, 64 take 6 s and 256 take 5 s: a segment should be
# about a page. On AWS a segment is as good as another, and each costs at least one request. Of threads, 2, 4 and 8 did
# not differ there, where engine and client share the cores; over a network a page takes longer to come than to write,
# and one more page waits for each.
SEGMENT_BYTES = PAGE_LIMIT
MOST_SEGMENTS = 64
READERS = 4


def choose_segments(dynamodb: DynamoDB, size: int) -> int:
    """Into how many segments a table of ``size`` bytes is best cut; one for a table of one page.

    ministack walks and sorts its whole table for each page, and hashes every key where there are segments: one is best.
    """
    if dynamodb.at.embedded:
        return 1
    return max(1, min(MOST_SEGMENTS, -(-size // SEGMENT_BYTES)))


def pages(dynamodb: DynamoDB, *, segments: int = 1, limit: int | None = None) -> Iterator[list[Item]]:
    """The pages of a Scan, at most 1 MB each ("Scanning tables in DynamoDB"), in no order across segments.

    ``limit`` is how many items are wanted at the most; no more are asked for. Raises NotFound for a missing table.
    """
    if segments == 1 or (limit is not None and limit <= 1000):
        yield from _cut(_segment(dynamodb, {}, limit), limit)
        return
    patience = dynamodb.patience()
    yield from _cut(
        spread(range(segments), lambda number: segment(dynamodb, number, segments, patience=patience)), limit
    )


def segment(
    dynamodb: DynamoDB, number: int, segments: int, *, after: Key | None = None, patience: Patience | None = None
) -> Iterator[list[Item]]:
    """The pages of one segment, counted from 0, in an order that does not change while the table does not.

    ``after`` is the key of the item behind which to begin. ``patience`` is what segments share that are read at once:
    none gives up while another gets on.
    """
    params: dict[str, Any] = {"Segment": number, "TotalSegments": segments} if segments > 1 else {}
    if after is not None:
        params["ExclusiveStartKey"] = after
    return _segment(dynamodb, params, patience=patience)


def sample(dynamodb: DynamoDB, count: int, *, parts: int = 100) -> Iterator[list[Item]]:
    """At most ``count`` items from all over the table: the first ones of many segments, in equal shares.

    A segment is a range of hashed partition keys ("Scanning tables in DynamoDB", parallel scan), so a share may come
    from one large partition. Where segments hold less than their share, fewer come back.
    """
    parts = max(1, min(parts, count))
    for part in range(parts):
        share = count // parts + (part < count % parts)
        yield from _cut(_segment(dynamodb, {"Segment": part, "TotalSegments": parts}, share), share)


def _segment(
    dynamodb: DynamoDB, params: dict[str, Any], limit: int | None = None, *, patience: Patience | None = None
) -> Iterator[list[Item]]:
    left = limit
    while left is None or left > 0:
        if left is not None:
            params["Limit"] = left
        answer = dynamodb.call("scan", patience=patience, TableName=dynamodb.table, **params)
        yield answer["Items"]
        if not answer.get("LastEvaluatedKey"):
            return
        params["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        left = None if left is None else left - len(answer["Items"])


def _cut(found: Iterator[list[Item]], limit: int | None) -> Iterator[list[Item]]:
    left = limit
    for page in found:
        if left is None:
            yield page
            continue
        yield page[:left]
        left -= len(page)
        if left <= 0:
            return


def spread(
    segments: Iterable[int], produce: Callable[[int], Iterator[Produced]], *, readers: int = MOST_SEGMENTS
) -> Iterator[Produced]:
    """What ``produce`` yields for each segment, from ``readers`` threads at once, which take one segment after another.

    A reader that is ahead waits, so that little is held at any time. The first error ends all, and is raised here.
    """
    ready: queue.Queue[tuple[Produced] | BaseException | None] = queue.Queue(maxsize=2)
    stop = threading.Event()
    left = deque(segments)

    def offer(thing: tuple[Produced] | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(thing, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            while not stop.is_set():
                try:
                    number = left.popleft()
                except IndexError:
                    break
                for thing in produce(number):
                    if not offer((thing,)):
                        return
            offer(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            offer(error)

    threads = [threading.Thread(target=read, daemon=True) for _ in range(min(readers, len(left)))]
    for thread in threads:
        thread.start()
    try:
        finished = 0
        while finished < len(threads):
            thing = ready.get()
            if thing is None:
                finished += 1
            elif isinstance(thing, BaseException):
                raise thing
            else:
                yield thing[0]
    finally:
        stop.set()
        for thread in threads:
            thread.join()

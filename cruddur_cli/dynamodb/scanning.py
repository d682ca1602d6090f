"""Reads a whole table, page by page, in one or several segments, with memory that does not grow."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from .client import DynamoDB

Item = dict[str, Any]


def pages(dynamodb: DynamoDB, *, segments: int = 1, limit: int | None = None) -> Iterator[list[Item]]:
    """The pages of a Scan, at most 1 MB each ("Scanning tables in DynamoDB"), in no order across segments.

    ``limit`` is how many items are wanted at the most; no more are asked for. Raises NotFound for a missing table.
    """
    if segments == 1 or (limit is not None and limit <= 1000):
        yield from _cut(_segment(dynamodb, {}, limit), limit)
        return
    yield from _cut(_parallel(dynamodb, segments), limit)


def sample(dynamodb: DynamoDB, count: int, *, parts: int = 100) -> Iterator[list[Item]]:
    """At most ``count`` items from all over the table: the first ones of many segments, in equal shares.

    A segment is a range of hashed partition keys ("Scanning tables in DynamoDB", parallel scan), so a share may come
    from one large partition. Where segments hold less than their share, fewer come back.
    """
    parts = max(1, min(parts, count))
    for part in range(parts):
        share = count // parts + (part < count % parts)
        yield from _cut(_segment(dynamodb, {"Segment": part, "TotalSegments": parts}, share), share)


def _segment(dynamodb: DynamoDB, params: dict[str, Any], limit: int | None = None) -> Iterator[list[Item]]:
    left = limit
    while left is None or left > 0:
        if left is not None:
            params["Limit"] = left
        answer = dynamodb.call("scan", TableName=dynamodb.table, **params)
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


def _parallel(dynamodb: DynamoDB, segments: int) -> Iterator[list[Item]]:
    """All segments at once; a reader that is ahead waits, so that few pages are held at any time."""
    ready: queue.Queue[list[Item] | BaseException | None] = queue.Queue(maxsize=2)
    stop = threading.Event()

    def offer(thing: list[Item] | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(thing, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read(segment: int) -> None:
        try:
            for page in _segment(dynamodb, {"Segment": segment, "TotalSegments": segments}):
                if not offer(page):
                    return
            offer(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            offer(error)

    readers = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(segments)]
    for reader in readers:
        reader.start()
    try:
        finished = 0
        while finished < segments:
            thing = ready.get()
            if thing is None:
                finished += 1
            elif isinstance(thing, BaseException):
                raise thing
            else:
                yield thing
    finally:
        stop.set()
        for reader in readers:
            reader.join()

"""Reads a whole table, page by page, in one or several segments, with memory that does not grow."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import Incomplete
from ..sdk import Patience
from .capacity import PAGE_LIMIT
from .client import DynamoDB

Item = dict[str, Any]
Key = dict[str, Any]
Produced = TypeVar("Produced")


# What was measured on two cores with benchmarks/run.py and 100,000 items, 32 MB, on DynamoDB Local. For each page
# it fetches and sorts the rest of the segment, so that 50 partitions take 54 s in one segment, 10 s in 8, 6 s in 64 and
# 5 s in 256: a segment should be about a page. A single partition is always in one segment, and takes 16 s; with a
# Limit of as many items as a page holds, of which nothing else is noticed, 8 s. On AWS a segment is as good as another
# and costs at least one request, so there are at most 64. Of threads, 2, 4 and 8 did not differ, as engine and client
# share the cores; over a network a page takes longer to come than to write, so that two are on their way. Each is up to
# 8 MB of objects: 2 take 1.1 times the memory for 200,000 items that they do for 10,000, 3 take 1.2 times.
MOST_SEGMENTS = 64
READERS = 2
_SPARE = 1.25


@dataclass(frozen=True)
class Plan:
    """How a table is read: in how many segments, how many of them at once, and how many items a page may hold."""

    segments: int = 1
    readers: int = MOST_SEGMENTS
    page_items: int | None = None


def plan(dynamodb: DynamoDB, *, items: int, size: int, segments: int | None = None) -> Plan:
    """How a table of so many items and bytes is best read, as far as that was not asked for in ``segments``.

    ministack walks and sorts its whole table for each page, and hashes every key where there are segments: one is best.
    """
    page_items = max(1, int(_SPARE * PAGE_LIMIT * items / size)) if items and size else None
    if segments is not None:
        return Plan(segments, segments, page_items)
    best = 1 if dynamodb.at.embedded else max(1, min(MOST_SEGMENTS, -(-size // PAGE_LIMIT)))
    return Plan(best, READERS, page_items)


def pages(
    dynamodb: DynamoDB, *, segments: int = 1, plan: Plan | None = None, limit: int | None = None
) -> Iterator[list[Item]]:
    """The pages of a Scan, at most 1 MB each ("Scanning tables in DynamoDB"), in no order across segments.

    ``plan`` is more than ``segments``. ``limit`` is how many items are wanted at the most; no more are asked for.
    Raises NotFound for a missing table.
    """
    plan = plan or Plan(segments)
    if plan.segments == 1 or (limit is not None and limit <= 1000):
        yield from _cut(_segment(dynamodb, {}, limit, page_items=plan.page_items), limit)
        return
    patience = dynamodb.patience()

    def produce(number: int) -> Iterator[list[Item]]:
        return segment(dynamodb, number, plan, patience=patience)

    yield from _cut(spread(range(plan.segments), produce, readers=plan.readers, halt=dynamodb.halt), limit)


def segment(
    dynamodb: DynamoDB, number: int, plan: Plan, *, after: Key | None = None, patience: Patience | None = None
) -> Iterator[list[Item]]:
    """The pages of one segment, counted from 0, in an order that does not change while the table does not.

    ``after`` is the key of the item behind which to begin. ``patience`` is what segments share that are read at once:
    none gives up while another gets on.
    """
    params: dict[str, Any] = {"Segment": number, "TotalSegments": plan.segments} if plan.segments > 1 else {}
    if after is not None:
        params["ExclusiveStartKey"] = after
    return _segment(dynamodb, params, patience=patience, page_items=plan.page_items)


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
    dynamodb: DynamoDB,
    params: dict[str, Any],
    limit: int | None = None,
    *,
    patience: Patience | None = None,
    page_items: int | None = None,
) -> Iterator[list[Item]]:
    left = limit
    while left is None or left > 0:
        asked = min((most for most in (left, page_items) if most is not None), default=None)
        if asked is not None:
            params["Limit"] = asked
        answer = dynamodb.call("scan", patience=patience, TableName=dynamodb.table, **params)
        page, after = answer["Items"], answer.get("LastEvaluatedKey")
        left = None if left is None else left - len(page)
        # Items are smaller here than they are elsewhere, and the page was not full.
        if page_items is not None and len(page) >= page_items:
            page_items *= 2
        del answer
        yield page
        del page  # a page is ten times its JSON in memory: it must not wait for the next one
        if not after:
            return
        params["ExclusiveStartKey"] = after


def _cut(found: Iterator[list[Item]], limit: int | None) -> Iterator[list[Item]]:
    left = limit
    for page in found:
        if left is None:
            yield page
        else:
            count = len(page)
            yield page[:left]
            left -= count
            if left <= 0:
                return
        del page


def spread(
    segments: Iterable[int],
    produce: Callable[[int], Iterator[Produced]],
    *,
    readers: int = MOST_SEGMENTS,
    halt: Callable[[], None] = lambda: None,
) -> Iterator[Produced]:
    """What ``produce`` yields for each segment, from ``readers`` threads at once, which take one segment after another.

    A reader that is ahead waits, so that little is held at any time. The first error ends all, and is raised here; a
    limit that is reached ends each reader by itself, so that nothing is lost that another one has read already.
    ``halt`` ends what readers wait for, where somebody interrupts.
    """
    ready: queue.Queue[tuple[Produced] | BaseException | None] = queue.Queue(maxsize=1)
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
                    del thing
            offer(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            offer(error)

    threads = [threading.Thread(target=read, daemon=True) for _ in range(min(readers, len(left)))]
    for thread in threads:
        thread.start()
    finished = 0
    try:
        stopped: Incomplete | None = None
        while finished < len(threads):
            thing = ready.get()
            if thing is None:
                finished += 1
            elif isinstance(thing, Incomplete):
                finished, stopped = finished + 1, thing
            elif isinstance(thing, BaseException):
                raise thing
            else:
                yield thing[0]
            del thing
        if stopped is not None:
            raise stopped
    finally:
        stop.set()
        if finished < len(threads):
            halt()
        for thread in threads:
            thread.join()

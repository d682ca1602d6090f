"""Reads a whole table, page by page, in one or several segments, with memory that does not grow."""

from __future__ import annotations

import queue
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

from ..aws_client import answers
from ..aws_client.client import Backoff
from ..errors import Incomplete
from .capacity.rules import PAGE_LIMIT, read_units
from .client import DynamoDB
from .schema import GROUP_PREFIX, MESSAGE_PREFIX

Item = dict[str, Any]
PREFIXES = {"message": MESSAGE_PREFIX, "group": GROUP_PREFIX}
"""What the partition keys of each entity begin with."""
# What DynamoDB takes for a number, at most 38 digits ("Supported data types and naming rules").
_NUMBER = re.compile(r"-?\d{1,38}(\.\d{1,30})?")
Key = dict[str, Any]
Produced = TypeVar("Produced")
# What a reader yielded and the event that it was used; the error that ended a reader; or None at its end.
_Offered = tuple[Produced, threading.Event] | BaseException | None


# What was measured on two cores with benchmarks/run.py and 100,000 items, 32 MB, on DynamoDB Local. For each page
# it fetches and sorts the rest of the segment, so that 50 partitions take 54 s in one segment, 10 s in 8, 6 s in 64 and
# 5 s in 256: a segment should be about a page. A single partition is always in one segment, and takes 16 s; with a
# Limit of as many items as a page holds, of which nothing else is noticed, 8 s. On AWS a segment is as good as another
# and costs at least one request, so there are at most 64. Of threads, 2, 4 and 8 did not differ, as engine and client
# share the cores; over a network a page takes longer to come than to write, so that two are on their way. One is
# parsed, into 8 MB of objects: with two, the peak came when both had just been parsed, which a long scan sees and a
# short one does not (59 MB for a million items, 50 for 100,000; one at a time 49 for both).
MOST_SEGMENTS = 64
READERS = 2
_SPARE = 1.25
_PARTS = 100
# mallopt's names in malloc.h.
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_THRESHOLD_BYTES = 128 * 1024


@dataclass(frozen=True)
class ScanPlan:
    """How a table is read: in how many segments, how many of them at once, and how many items a page may hold."""

    segments: int = 1
    readers: int = MOST_SEGMENTS
    page_items: int | None = None


@dataclass(frozen=True)
class Selection:
    """Which items are wanted: those of the partition ``pk``, of an ``entity``, and with attributes of a value.

    ``where`` holds names and values as a person types them: ``5`` is the text and the number, ``true`` the text and the
    truth. DynamoDB charges for the items that a filter drops, too; only ``pk``, and ``sk`` in it, make a read smaller.
    """

    pk: str | None = None
    entity: str | None = None
    where: tuple[tuple[str, str], ...] = ()

    def key(self) -> dict[str, Any]:
        """The key condition of a Query; empty where a Scan has to read the whole table."""
        if self.pk is None:
            return {}
        sk = dict(self.where).get("sk")
        values = {":pk": {"S": self.pk}} | ({} if sk is None else {":sk": {"S": sk}})
        condition = "pk = :pk" + ("" if sk is None else " AND sk = :sk")
        return {"KeyConditionExpression": condition, "ExpressionAttributeValues": values}

    def filter(self) -> dict[str, Any]:
        """The filter expression with its names and values; empty where every item that is read is wanted."""
        conditions: list[str] = []
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        if self.entity is not None and self.pk is None:  # a filter of a Query may not name its keys
            conditions.append("begins_with(pk, :prefix)")
            values[":prefix"] = {"S": PREFIXES[self.entity]}
        for number, (name, text) in enumerate(self._filtered()):
            names[f"#a{number}"] = name
            alternatives = []
            for letter, value in zip("xyz", _typed(text), strict=False):
                values[f":{letter}{number}"] = value
                alternatives.append(f"#a{number} = :{letter}{number}")
            conditions.append(alternatives[0] if len(alternatives) == 1 else f"({' OR '.join(alternatives)})")
        if not conditions:
            return {}
        request = {"FilterExpression": " AND ".join(conditions), "ExpressionAttributeValues": values}
        return {**request, "ExpressionAttributeNames": names} if names else request

    def holds(self, item: Item) -> bool:
        """Whether ``filter`` would keep an item."""
        if self.entity is not None and not item["pk"].get("S", "").startswith(PREFIXES[self.entity]):
            return False
        return all(_is_one_of(item.get(name), _typed(text)) for name, text in self._filtered())

    def _filtered(self) -> list[tuple[str, str]]:
        return [(name, text) for name, text in self.where if self.pk is None or name != "sk"]


def _typed(text: str) -> list[Item]:
    """The values that a text may mean."""
    if text in {"true", "false"}:
        return [{"S": text}, {"BOOL": text == "true"}]
    return [{"S": text}, {"N": text}] if _NUMBER.fullmatch(text) else [{"S": text}]


def _is_one_of(value: Item | None, wanted: list[Item]) -> bool:
    if value is None:
        return False
    if "N" in value:
        return any(Decimal(value["N"]) == Decimal(one["N"]) for one in wanted if "N" in one)
    return value in wanted


def plan(dynamodb: DynamoDB, *, items: int, size: int, segments: int | None = None) -> ScanPlan:
    """How a table of so many items and bytes is best read, as far as that was not asked for in ``segments``.

    ministack walks and sorts its whole table for each page, and hashes every key where there are segments: one is best.
    """
    page_items = max(1, int(_SPARE * PAGE_LIMIT * items / size)) if items and size else None
    if segments is not None:
        return ScanPlan(segments, segments, page_items)
    best = 1 if dynamodb.at.embedded else max(1, min(MOST_SEGMENTS, -(-size // PAGE_LIMIT)))
    return ScanPlan(best, READERS, page_items)


def pages(
    dynamodb: DynamoDB,
    *,
    segments: int = 1,
    plan: ScanPlan | None = None,
    limit: int | None = None,
    selection: Selection | None = None,
) -> Iterator[list[Item]]:
    """The pages of a Scan, at most 1 MB each ("Scanning tables in DynamoDB"), in no order across segments.

    ``plan`` is more than ``segments``. ``limit`` is how many items are wanted at the most; no more are asked for,
    unless ``selection`` drops some of those that are read. Raises NotFound for a missing table.
    """
    plan = plan or ScanPlan(segments)
    if selection is not None:
        yield from _cut(_selected(dynamodb, plan, selection, limit), limit)
        return
    if plan.segments == 1 or (limit is not None and limit <= 1000):
        yield from _cut(_segment(dynamodb, {}, limit, page_items=plan.page_items), limit)
        return
    backoff = dynamodb.backoff()

    def produce(number: int) -> Iterator[list[Item]]:
        return segment(dynamodb, number, plan, backoff=backoff)

    yield from _cut(spread(range(plan.segments), produce, readers=plan.readers, halt=dynamodb.halt), limit)


def _selected(dynamodb: DynamoDB, plan: ScanPlan, selection: Selection, limit: int | None) -> Iterator[list[Item]]:
    """The pages of a selection, of which the filter is DynamoDB's.

    An engine that does not say what a read consumed gets no filter: the figure is computed from every item that is
    read, so that the filter runs here.
    """
    key, dropped = selection.key(), selection.filter()
    own = dropped if dynamodb.meter.computed else {}
    sent = {**key, **({} if own else dropped)}
    if key and dropped and not own:
        sent["ExpressionAttributeValues"] = {**key["ExpressionAttributeValues"], **dropped["ExpressionAttributeValues"]}
    asked = limit if limit is not None and not dropped else None
    found: Iterator[list[Item]]
    if key:
        found = _segment(dynamodb, sent, asked, operation="query")
    elif plan.segments == 1:
        found = _segment(dynamodb, sent, page_items=plan.page_items)
    else:
        backoff = dynamodb.backoff()

        def produce(number: int) -> Iterator[list[Item]]:
            part = {"Segment": number, "TotalSegments": plan.segments}
            return _segment(dynamodb, {**part, **sent}, backoff=backoff, page_items=plan.page_items)

        found = spread(range(plan.segments), produce, readers=plan.readers, halt=dynamodb.halt)
    for page in found:
        yield [item for item in page if selection.holds(item)] if own else page
        del page


def segment(
    dynamodb: DynamoDB, number: int, plan: ScanPlan, *, after: Key | None = None, backoff: Backoff | None = None
) -> Iterator[list[Item]]:
    """The pages of one segment, counted from 0, in an order that does not change while the table does not.

    ``after`` is the key of the item behind which to begin. ``backoff`` is what segments share that are read at once:
    none gives up while another gets on.
    """
    params: dict[str, Any] = {"Segment": number, "TotalSegments": plan.segments} if plan.segments > 1 else {}
    if after is not None:
        params["ExclusiveStartKey"] = after
    return _segment(dynamodb, params, backoff=backoff, page_items=plan.page_items)


def sample_parts(count: int, *, items: int, size: int) -> int:
    """In how many segments to sample a table of so many items and bytes; 0 where reading all of it costs no more.

    Each request costs half a unit at least, so that many small ones cost more than the whole of a small table. Where
    the figures are missing, one segment can never cost more than all.
    """
    if not items or not size:
        return 1
    if count >= items:
        return 0
    spare = read_units(size, consistent=False) - read_units(size * count // items, consistent=False)
    return max(0, min(_PARTS, count, int(spare / 0.5)))


def sample(dynamodb: DynamoDB, count: int, *, parts: int = _PARTS) -> Iterator[list[Item]]:
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
    backoff: Backoff | None = None,
    page_items: int | None = None,
    operation: str = "scan",
) -> Iterator[list[Item]]:
    left, turn = limit, answers.TURN.get()
    while left is None or left > 0:
        asked = min((most for most in (left, page_items) if most is not None), default=None)
        if asked is not None:
            params["Limit"] = asked
        answer = dynamodb.call(operation, backoff=backoff, TableName=dynamodb.table, **params)
        page, after = answer["Items"], answer.get("LastEvaluatedKey")
        left = None if left is None else left - len(page)
        # Items are smaller here than they are elsewhere, and the page was not full.
        if page_items is not None and answer["ScannedCount"] >= page_items:
            page_items *= 2
        del answer
        try:
            yield page
            del page  # a page is ten times its JSON in memory: it must not wait for the next one
        finally:
            if turn is not None:
                turn.give_back()
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


class _Handover(Generic[Produced]):
    """Where readers hand over what they yield, one thing at a time, until it is closed."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[_Offered[Produced]] = queue.Queue(maxsize=1)
        self.closed = threading.Event()

    def put(self, thing: _Offered[Produced]) -> bool:
        """Wait until there is room for it; False where the handover is closed."""
        while not self.closed.is_set():
            try:
                self.waiting.put(thing, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def hand_over(self, thing: Produced) -> bool:
        """Wait until the thing was used; False where the handover is closed."""
        used = threading.Event()
        if not self.put((thing, used)):
            return False
        while not used.wait(0.1):
            if self.closed.is_set():
                return False
        return True


def spread(
    segments: Iterable[int],
    produce: Callable[[int], Iterator[Produced]],
    *,
    readers: int = MOST_SEGMENTS,
    halt: Callable[[], None] = lambda: None,
) -> Iterator[Produced]:
    """What ``produce`` yields for each segment, from ``readers`` threads at once, which take one segment after another.

    While one page is used, the other readers fetch theirs, and wait with it unparsed: memory holds one page and the
    bytes of a few. The first error ends all, and is raised here; a limit that is reached ends each reader by itself, so
    that nothing is lost that another one has read already.
    ``halt`` ends what readers wait for, on an interrupt.
    """
    handover, turn = _Handover[Produced](), answers.Turn()
    left = deque(segments)

    def read() -> None:
        answers.TURN.set(turn)
        try:
            while not handover.closed.is_set():
                try:
                    number = left.popleft()
                except IndexError:
                    break
                for thing in produce(number):
                    if not handover.hand_over(thing):
                        return
                    del thing
            handover.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            handover.put(error)
        finally:
            turn.give_back()  # an error keeps the frames that would have done so

    threads = [threading.Thread(target=read, daemon=True) for _ in range(min(readers, len(left)))]
    for thread in threads:
        thread.start()
    finished = 0
    try:
        stopped: Incomplete | None = None
        while finished < len(threads):
            thing = handover.waiting.get()
            if thing is None:
                finished += 1
            elif isinstance(thing, Incomplete):
                finished, stopped = finished + 1, thing
            elif isinstance(thing, BaseException):
                raise thing
            else:
                found, used = thing
                del thing
                yield found
                del found
                used.set()
                continue
            del thing
        if stopped is not None:
            raise stopped
    finally:
        handover.closed.set()
        if finished < len(threads):
            halt()
        for thread in threads:
            thread.join()


def give_memory_back() -> None:
    """Keep a process that reads many pages at the size of one.

    Large blocks come from the system one by one, and go back when they are freed ("mallopt", man page).

    glibc does so at first, but raises the bound with the first block that is freed, to the size of that block. Answers
    of 1 MB then leave holes among small objects: 100,000 items take 80 MB instead of 42. Elsewhere it does nothing.
    """
    with suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes

        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
        libc.mallopt(_M_ARENA_MAX, 1)

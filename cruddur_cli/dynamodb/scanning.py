"""Read a table page by page, in one or several segments, with constant memory."""

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
"""The prefix of each entity's partition keys."""
# A number has at most 38 digits ("Supported data types and naming rules").
_NUMBER = re.compile(r"-?\d{1,38}(\.\d{1,30})?")
Key = dict[str, Any]
Produced = TypeVar("Produced")
# What a reader hands over: a value and the event to set when it was used, the error that ended the reader, or None at
# its end.
_Handed = tuple[Produced, threading.Event] | BaseException | None


# These numbers were measured with benchmarks/run.py: 100,000 items (32 MB), DynamoDB Local, two cores.
# - Segments: for each page, DynamoDB Local fetches and sorts the rest of the segment. A table of 50 partitions takes 54
#   s in 1 segment, 10 s in 8, 6 s in 64 and 5 s in 256. So a segment should be about as large as a page. On AWS the
#   number of segments does not change the time, but each segment costs at least one request, so there are at most 64.
# - Limit: a single partition is always in one segment, and takes 16 s. With a Limit of as many items as a page holds,
#   it takes 8 s, and the pages are the same.
# - Readers: 2, 4 and 8 threads take the same time, because engine and client share the cores. Over a network, a page
#   takes longer to arrive than to write, so there are two readers.
# - Only one page is parsed at a time, because a parsed page takes 8 MB. The peak is then 49 MB, for 100,000 and for a
#   million items. With two parsed pages it is 50 MB and 59 MB.
MOST_SEGMENTS = 64
READERS = 2
_SPARE = 1.25
_PARTS = 100
# Parameters of mallopt, from malloc.h.
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_THRESHOLD_BYTES = 128 * 1024


@dataclass(frozen=True)
class ScanPlan:
    """How to read a table: the number of segments, of segments at once, and the most items of a page (None: 1 MB)."""

    segments: int = 1
    readers: int = MOST_SEGMENTS
    page_items: int | None = None


@dataclass(frozen=True)
class Selection:
    """The items to read: those of the partition ``pk``, of an ``entity``, and with the attribute values ``where``.

    ``where`` holds names and values as the user types them: ``5`` matches the text and the number, ``true`` the text
    and the boolean. DynamoDB also charges for items that a filter removes. Only ``pk``, and ``sk`` within it, make a
    read cheaper.
    """

    pk: str | None = None
    entity: str | None = None
    where: tuple[tuple[str, str], ...] = ()

    def key(self) -> dict[str, Any]:
        """The key condition of a Query; empty if the selection needs a Scan."""
        if self.pk is None:
            return {}
        sk = dict(self.where).get("sk")
        values = {":pk": {"S": self.pk}} | ({} if sk is None else {":sk": {"S": sk}})
        condition = "pk = :pk" + ("" if sk is None else " AND sk = :sk")
        return {"KeyConditionExpression": condition, "ExpressionAttributeValues": values}

    def filter(self) -> dict[str, Any]:
        """The filter expression with its names and values; empty if nothing has to be filtered."""
        conditions: list[str] = []
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        if self.entity is not None and self.pk is None:  # the filter of a Query must not use the keys
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
    """The attribute values that match a typed text."""
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
    """The fastest plan to read a table of ``items`` items and ``size`` bytes; ``segments`` overrides the number.

    The embedded engine gets one segment: ministack sorts its whole table for each page, and with several segments it
    also hashes every key.
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
    """Yield the pages of a Scan, at most 1 MB each ("Scanning tables in DynamoDB"), in no order across segments.

    ``plan`` overrides ``segments``. ``limit`` is the most items to yield. Without a ``selection``, no more are read;
    with one, more may be read, because the filter runs after the read. With ``selection.pk`` it is a Query. Raises
    NotFound if there is no table.
    """
    plan = plan or ScanPlan(segments)
    if selection is not None:
        yield from _limited(_selected(dynamodb, plan, selection, limit), limit)
        return
    if plan.segments == 1 or (limit is not None and limit <= 1000):
        yield from _limited(_segment(dynamodb, {}, limit, page_items=plan.page_items), limit)
        return
    backoff = dynamodb.backoff()

    def produce(number: int) -> Iterator[list[Item]]:
        return segment(dynamodb, number, plan, backoff=backoff)

    yield from _limited(spread(range(plan.segments), produce, readers=plan.readers, halt=dynamodb.halt), limit)


def _selected(dynamodb: DynamoDB, plan: ScanPlan, selection: Selection, limit: int | None) -> Iterator[list[Item]]:
    """Yield the pages of a selection. DynamoDB runs the filter.

    If the engine does not report the consumed capacity, the filter runs here, because the capacity is then computed
    from every item that was read.
    """
    key, filtering = selection.key(), selection.filter()
    filters_here = bool(filtering) and dynamodb.meter.computed
    params = {**key, **({} if filters_here else filtering)}
    if key and filtering and not filters_here:
        values = {**key["ExpressionAttributeValues"], **filtering["ExpressionAttributeValues"]}
        params["ExpressionAttributeValues"] = values
    read_limit = limit if limit is not None and not filtering else None
    read: Iterator[list[Item]]
    if key:
        read = _segment(dynamodb, params, read_limit, operation="query")
    elif plan.segments == 1:
        read = _segment(dynamodb, params, page_items=plan.page_items)
    else:
        backoff = dynamodb.backoff()

        def produce(number: int) -> Iterator[list[Item]]:
            part = {"Segment": number, "TotalSegments": plan.segments}
            return _segment(dynamodb, {**part, **params}, backoff=backoff, page_items=plan.page_items)

        read = spread(range(plan.segments), produce, readers=plan.readers, halt=dynamodb.halt)
    for page in read:
        yield [item for item in page if selection.holds(item)] if filters_here else page
        del page


def segment(
    dynamodb: DynamoDB, number: int, plan: ScanPlan, *, after: Key | None = None, backoff: Backoff | None = None
) -> Iterator[list[Item]]:
    """Yield the pages of the segment ``number``, from 0. The order of the items is the same each time, unless the table
    changes.

    Reading begins after the item with the key ``after``. Segments that are read at once share a ``backoff``, so that
    none gives up while another makes progress.
    """
    params: dict[str, Any] = {"Segment": number, "TotalSegments": plan.segments} if plan.segments > 1 else {}
    if after is not None:
        params["ExclusiveStartKey"] = after
    return _segment(dynamodb, params, backoff=backoff, page_items=plan.page_items)


def sample_parts(count: int, *, items: int, size: int) -> int:
    """The number of segments for a sample of ``count`` items; 0 if reading the whole table costs no more.

    Each request costs at least half a unit, so many small requests can cost more than reading a small table. If the
    table's ``items`` or ``size`` in bytes is unknown, the number is 1, which never costs more than the whole table.
    """
    if not items or not size:
        return 1
    if count >= items:
        return 0
    spare = read_units(size, consistent=False) - read_units(size * count // items, consistent=False)
    return max(0, min(_PARTS, count, int(spare / 0.5)))


def sample(dynamodb: DynamoDB, count: int, *, parts: int = _PARTS) -> Iterator[list[Item]]:
    """Yield at most ``count`` items: the first ones of ``parts`` segments, in equal shares.

    A segment is a range of hashed partition keys ("Scanning tables in DynamoDB", parallel scan), so a share may come
    from one large partition. If a segment has fewer items than its share, the sample is smaller than ``count``.
    """
    parts = max(1, min(parts, count))
    for part in range(parts):
        share = count // parts + (part < count % parts)
        yield from _limited(_segment(dynamodb, {"Segment": part, "TotalSegments": parts}, share), share)


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
        page_limit = min((most for most in (left, page_items) if most is not None), default=None)
        if page_limit is not None:
            params["Limit"] = page_limit
        answer = dynamodb.call(operation, backoff=backoff, TableName=dynamodb.table, **params)
        page, after = answer["Items"], answer.get("LastEvaluatedKey")
        left = None if left is None else left - len(page)
        # The limit was reached before 1 MB, because the items are small here. Raise it for the next page.
        if page_items is not None and answer["ScannedCount"] >= page_items:
            page_items *= 2
        del answer
        try:
            yield page
            del page  # a parsed page is ten times as large as its JSON: free it before the next one is read
        finally:
            if turn is not None:
                turn.give_back()
        if not after:
            return
        params["ExclusiveStartKey"] = after


def _limited(pages: Iterator[list[Item]], limit: int | None) -> Iterator[list[Item]]:
    left = limit
    for page in pages:
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
    """A queue of one place, through which readers hand over values until it is closed."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[_Handed[Produced]] = queue.Queue(maxsize=1)
        self.closed = threading.Event()

    def put(self, handed: _Handed[Produced]) -> bool:
        """Wait for room and put it into the queue; return False if the handover is closed."""
        while not self.closed.is_set():
            try:
                self.waiting.put(handed, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def hand_over(self, value: Produced) -> bool:
        """Put a value into the queue and wait until it was used; return False if the handover is closed."""
        used = threading.Event()
        if not self.put((value, used)):
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
    """Yield what ``produce`` yields for each segment. ``readers`` threads work at once, each on one segment at a time.

    While the caller uses one page, the other readers fetch theirs and keep it unparsed. So memory holds one parsed page
    and the bytes of a few others. The first error ends all readers and is raised here. Incomplete, which means that the
    capacity limit was reached, ends only its reader, and is raised at the end: the pages of the others are not lost.
    ``halt`` is called on an error or an interrupt, and ends the readers' waiting for the rate limit.
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
                for value in produce(number):
                    if not handover.hand_over(value):
                        return
                    del value
            handover.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            handover.put(error)
        finally:
            turn.give_back()  # after an error, the traceback keeps the generator that would give it back suspended

    threads = [threading.Thread(target=read, daemon=True) for _ in range(min(readers, len(left)))]
    for thread in threads:
        thread.start()
    finished = 0
    try:
        limit_reached: Incomplete | None = None
        while finished < len(threads):
            handed = handover.waiting.get()
            if handed is None:
                finished += 1
            elif isinstance(handed, Incomplete):
                finished, limit_reached = finished + 1, handed
            elif isinstance(handed, BaseException):
                raise handed
            else:
                value, used = handed
                del handed
                yield value
                del value
                used.set()
                continue
            del handed
        if limit_reached is not None:
            raise limit_reached
    finally:
        handover.closed.set()
        if finished < len(threads):
            halt()
        for thread in threads:
            thread.join()


def give_memory_back() -> None:
    """Keep the memory of a process that reads many pages as small as for one page. It has an effect only with glibc.

    glibc allocates blocks above a threshold from the system, and returns them when they are freed (man page of
    mallopt). By default the threshold grows with the first freed block, to the size of that block. Answers of 1 MB then
    leave holes between small objects, and 100,000 items take 80 MB instead of 42. This fixes the threshold.
    """
    with suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes

        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
        libc.mallopt(_M_ARENA_MAX, 1)

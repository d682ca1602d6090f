"""Writes items of a file into the table: compared with what is there, in order of the file for each key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import CruddurError, Refused
from . import batches, checkpoints, typed
from .capacity import put_units, read_units, write_units
from .client import DynamoDB
from .repeated import Keys
from .sources import Place, Placed
from .tables import GROUPS

Item = dict[str, Any]
# "BatchGetItem": 100 keys a call. Large items end a group sooner, so that little is held.
GROUP = 100
GROUP_BYTES = 1024 * 1024
NEW, REPLACED, UNCHANGED = range(3)
_INVALID = "ValidationException"


@dataclass(frozen=True)
class Counts:
    """What became of rows; each key counts once. ``duplicates`` are items whose key came again: the last one won."""

    new: int = 0
    replaced: int = 0
    unchanged: int = 0
    duplicates: int = 0

    @property
    def written(self) -> int:
        """Rows that are not what they were."""
        return self.new + self.replaced

    @property
    def lines(self) -> int:
        """Items that were dealt with."""
        return self.written + self.unchanged + self.duplicates

    def plus(self, done: Iterable[int]) -> Counts:
        """With so many more rows, each by what was done."""
        counted = [0, 0, 0]
        for each in done:
            counted[each] += 1
        return replace(
            self,
            new=self.new + counted[NEW],
            replaced=self.replaced + counted[REPLACED],
            unchanged=self.unchanged + counted[UNCHANGED],
        )


class ItemRefused(Refused):
    """DynamoDB takes everything but this item. ``there`` is how many items of the file are in the table by then."""

    def __init__(self, error: CruddurError, key: tuple[str, str], place: Place, there: int) -> None:
        pk, sk = key
        message = f"the item pk={pk!r} sk={sk!r}: {error.message}"
        super().__init__(message, code="item_refused", fields={**error.fields, "pk": pk, "sk": sk})
        self.place, self.there = place, there


@dataclass
class Group:
    """Items that are compared and written together, by key, and the place of each; the last place among them, how many
    lines they were, and how many of those had a key that came again. ``done`` is what was done with each, once it
    is."""

    items: dict[tuple[str, str], Item]
    places: dict[tuple[str, str], Place]
    last: Place
    lines: int = 0
    again: int = 0
    done: list[int] | None = None


Keep = Callable[[Place, Counts], None]


class Importer:
    """One import: what was counted so far, and how to go on.

    ``compare`` False writes every row without looking; in an empty table there is nothing to look at. ``known`` says
    whether the counts tell new rows from others. ``lines`` are dealt with and nothing before them is open; ``there``
    are the items that are in the table, whatever is still open between them.
    """

    def __init__(
        self, dynamodb: DynamoDB, *, compare: bool = True, dry_run: bool = False, counts: Counts | None = None
    ) -> None:
        self.counts = counts or Counts()
        self.lines, self.there = 0, self.counts.written + self.counts.unchanged
        self.dry_run = dry_run
        self._dynamodb = dynamodb
        empty = is_empty(dynamodb)
        self._compare = compare and not empty
        self.known = compare or empty
        # Where units are few, groups are small and in turn: what is compared and not written, or written with something
        # before it unfinished, is paid for again.
        self._limit = dynamodb.budget.limit if dynamodb.budget else None
        self._width = batches.WIDTH if self._limit is None else 1
        self._writer = batches.Writer(dynamodb)
        self._reading = dynamodb.patience()

    def run(
        self, found: Iterator[Placed], *, keep: Keep = lambda *_: None, advance: Callable[[int], None] = lambda _: None
    ) -> Counts:
        """Write all items. ``keep`` is told how far everything is written, ``advance`` how many lines were dealt with.

        Raises what reading raises, once everything before it is written; ItemRefused for an item that DynamoDB does not
        take; Refused where it takes no more.
        """
        with Keys() as keys:

            def finished(group: Group) -> None:
                assert group.done is not None
                for key, each in zip(group.items, group.done, strict=True):
                    keys.add(key, each)
                self.counts = replace(self.counts.plus(group.done), duplicates=self.counts.duplicates + group.again)
                self.lines += group.lines
                keep(group.last, self.counts)
                advance(group.lines)

            try:
                self._run(_groups(found, self._limit), finished)
            finally:
                self.counts = _settle(self.counts, keys)
        return self.counts

    def _run(self, groups: Iterator[Group], finished: Callable[[Group], None]) -> None:
        """Carry out groups, several at once but those with a common key in turn; ``finished`` gets them in order."""
        flying: dict[Future[list[int]], Group] = {}
        order: deque[Group] = deque()

        def land() -> None:
            ready, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in ready:
                group = flying.pop(future)
                group.done = future.result()
                self.there += len(group.items)
            # Only what has nothing unfinished before it is behind the checkpoint.
            while order and order[0].done is not None:
                finished(order.popleft())

        failure: CruddurError | None = None
        with ThreadPoolExecutor(self._width, thread_name_prefix="import") as pool:
            try:
                while failure is None:
                    try:
                        group = next(groups, None)
                    except CruddurError as error:  # a bad line: what came before it is written all the same
                        failure, group = error, None
                    if group is None:
                        break
                    while (
                        len(flying) >= self._width
                        or len(order) >= 4 * batches.WIDTH
                        or any(not group.items.keys().isdisjoint(other.items) for other in flying.values())
                    ):
                        land()
                    order.append(group)
                    flying[pool.submit(self._carry_out, group)] = group
                while flying:
                    land()
            except ItemRefused as error:
                pool.shutdown()  # nothing is wrong with what is under way: it is written, and counted
                error.there += self.there
                for future, group in flying.items():
                    other = future.exception()
                    error.there += other.there if isinstance(other, ItemRefused) else 0 if other else len(group.items)
                raise
            except BaseException:
                self._writer.give_up()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failure is not None:
            raise failure

    def _carry_out(self, group: Group) -> list[int]:
        """Compare one group and write what differs; what was done with each item."""
        there = self._read(list(group.items)) if self._compare else {}
        done: list[int] = []
        keys: list[tuple[str, str]] = []
        units = 0.0
        for key, item in group.items.items():
            old = there.get(key)
            each = NEW if old is None else UNCHANGED if typed.same(old, item) else REPLACED
            done.append(each)
            if each != UNCHANGED:
                keys.append(key)
                units += put_units(old, item, [GROUPS]).total
        if self.dry_run:
            self._dynamodb.meter.plan(units)
        else:
            for first in range(0, len(keys), batches.BATCH):
                self._write(group, keys[first : first + batches.BATCH], there=done.count(UNCHANGED) + first)
        return done

    def _write(self, group: Group, keys: list[tuple[str, str]], *, there: int) -> None:
        """One batch. Where DynamoDB does not take it, it does not say which item it means: then one after the other."""
        try:
            self._writer.write([batches.put_request(group.items[key]) for key in keys])
        except Refused as error:
            if error.fields.get("aws_code") != _INVALID:
                raise
            if len(keys) == 1:
                raise ItemRefused(error, keys[0], group.places[keys[0]], there) from error
            for number, key in enumerate(keys):
                self._write(group, [key], there=there + number)

    def _read(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """The items there are under these keys, read consistently: a stale copy would be taken for unchanged."""
        wanted = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in keys]
        found: dict[tuple[str, str], Item] = {}
        while wanted:
            answer = self._dynamodb.call(
                "batch_get_item",
                patience=self._reading,
                RequestItems={self._dynamodb.table: {"Keys": wanted, "ConsistentRead": True}},
            )
            for item in answer.get("Responses", {}).get(self._dynamodb.table, []):
                found[typed.key(item)] = item
            left = answer.get("UnprocessedKeys", {}).get(self._dynamodb.table, {}).get("Keys", [])
            if left and len(left) == len(wanted):
                self._writer.pause(f"{len(left)} keys of a batch came back unread")
            wanted = left
        return found


def is_empty(dynamodb: DynamoDB) -> bool:
    """Whether the table holds nothing: then there is nothing to compare with, which would cost a read for each row."""
    params: dict[str, Any] = {"Limit": 1, "ConsistentRead": True}
    while True:
        answer = dynamodb.call("scan", TableName=dynamodb.table, **params)
        if answer["Items"]:
            return False
        if not answer.get("LastEvaluatedKey"):
            return True
        params["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _groups(found: Iterator[Placed], limit: float | None = None) -> Iterator[Group]:
    """Items in groups, each key once: the last of it. A bad line is raised behind the group that it ends.

    With a ``limit`` of units, a group is a batch at most, and about a quarter of it, or one item.
    """
    group: Group | None = None
    size, units = 0, 0.0
    most = GROUP if limit is None else batches.BATCH
    failure: CruddurError | None = None
    while True:
        try:
            placed = next(found, None)
        except CruddurError as error:
            failure, placed = error, None
        if placed is None:
            break
        place, item, length = placed
        key = typed.key(item)
        each = read_units(length, consistent=True) + write_units(length)
        if group is not None and limit is not None and units + each > limit / 4:
            yield group
            group = None
        if group is None:
            group, size, units = Group({}, {}, place), 0, 0.0
        group.again += key in group.items
        group.items[key] = item
        group.places[key] = place
        group.last, group.lines = place, group.lines + 1
        size, units = size + length, units + each
        if len(group.items) == most or size >= GROUP_BYTES:
            yield group
            group = None
    if group is not None:
        yield group
    if failure is not None:
        raise failure


def _settle(counts: Counts, keys: Keys) -> Counts:
    """Count keys that came again in a later group once: as new or replaced if ever they were, else unchanged."""
    found = [counts.new, counts.replaced, counts.unchanged]
    more = 0
    for done in keys.repeated():
        for each in done:
            found[each] -= 1
        found[NEW if NEW in done else REPLACED if REPLACED in done else UNCHANGED] += 1
        more += len(done) - 1
    return Counts(found[NEW], found[REPLACED], found[UNCHANGED], counts.duplicates + more)


class Kept:
    """The checkpoint of an import of one source into one table; written now and then, as nothing is lost by its age."""

    def __init__(self, path: Path, about: dict[str, Any], *, every: int = 20) -> None:
        self._path, self._about, self._every = path, about, every
        self._told = 0
        self._last: tuple[Place, Counts] | None = None

    def load(self) -> tuple[Place | None, Counts]:
        """Where to go on, and what was counted. Raises Protected for the checkpoint of something else."""
        state = checkpoints.load(self._path, about=self._about)
        return (None, Counts()) if state is None else (Place(**state["after"]), Counts(**state["counts"]))

    def keep(self, place: Place, counts: Counts) -> None:
        """Say that everything up to a place is written."""
        self._last = (place, counts)
        if self._told % self._every == 0:
            self.flush()
        self._told += 1

    def flush(self) -> None:
        """Have on the disk what was said last."""
        if self._last is not None:
            place, counts = self._last
            checkpoints.save(self._path, {"after": asdict(place), "counts": asdict(counts)}, about=self._about)
            self._last = None

    def remove(self) -> None:
        """Forget it: all is written, or the file is not what it should be."""
        checkpoints.remove(self._path)

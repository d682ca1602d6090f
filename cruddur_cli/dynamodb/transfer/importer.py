"""Writes items of a file into the table: compared with what is there, in order of the file for each key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import CruddurError, Refused
from .. import batch_writer, sealing
from ..capacity.rules import put_units, read_units, write_units
from ..client import DynamoDB
from ..schema import GROUPS
from . import attribute_values, checkpoints, duplicate_keys
from .duplicate_keys import Keys
from .input_files import Place, Placed, Source

Item = dict[str, Any]
# "BatchGetItem": 100 keys a call. Large items end a group sooner, so that little is held.
GROUP = 100
_GROUP_BYTES = 1024 * 1024
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
class Portion:
    """Items that are compared and written together, by key, and the place of each; the last place among them, how many
    lines they were, and how many of those had a key that came again. ``size`` is their bytes in the file, ``units``
    what comparing and writing them takes at most. ``done`` is what was done with each, once it is."""

    items: dict[tuple[str, str], Item]
    places: dict[tuple[str, str], Place]
    last: Place
    lines: int = 0
    again: int = 0
    size: int = 0
    units: float = 0.0
    done: list[int] | None = None


Keep = Callable[[Place, Counts], None]


class Importer:
    """One import: what was counted so far, and how to resume.

    ``compare`` False writes every row without looking; in an empty table there is nothing to look at. ``known`` says
    whether the counts tell new rows from others. ``lines`` are dealt with and nothing before them is open; ``there``
    are the items that are in the table, also behind unwritten ones, and ``dealt_with`` their lines, those of
    an import that goes on included. ``keys`` are those that an import which goes on has dealt with, or begun.
    ``replaces`` is given the old and the new row of each that differs.
    """

    def __init__(
        self,
        dynamodb: DynamoDB,
        *,
        compare: bool = True,
        dry_run: bool = False,
        counts: Counts | None = None,
        keys: Keys | None = None,
        replaces: Callable[[Item, Item], None] = lambda *_: None,
    ) -> None:
        self.counts = counts or Counts()
        self.lines, self.there = 0, self.counts.written + self.counts.unchanged
        self.dealt_with = self.counts.lines
        self.dry_run = dry_run
        self._replaces = replaces
        self._dynamodb = dynamodb
        empty = is_empty(dynamodb)
        self._compare = compare and not empty
        self.known = compare or empty
        # Where units are few, groups are small and in turn: what is compared and not written, or written with something
        # before it unfinished, is paid for again.
        self._limit = dynamodb.limiter.limit if dynamodb.limiter else None
        self._width = batch_writer.WIDTH if self._limit is None else 1
        self._sender = batch_writer.BatchSender(dynamodb)
        self._reading = dynamodb.backoff()
        self._keys = keys or Keys()

    def run(
        self, found: Iterator[Placed], *, keep: Keep = lambda *_: None, advance: Callable[[int], None] = lambda _: None
    ) -> Counts:
        """Write all items. ``keep`` is told how far everything is written, ``advance`` how many lines were dealt with.

        Raises what reading raises, once everything before it is written; ItemRefused for an item that DynamoDB does not
        take; Refused where it takes no more.
        """
        with self._keys as keys:

            def finished(group: Portion) -> None:
                assert group.done is not None
                self.counts = replace(self.counts.plus(group.done), duplicates=self.counts.duplicates + group.again)
                self.lines += group.lines
                keep(group.last, self.counts)
                advance(group.lines)

            try:
                self._run(_groups(found, self._limit), finished)
            finally:
                self.counts = _settle(self.counts, keys)
        return self.counts

    def _run(self, groups: Iterator[Portion], finished: Callable[[Portion], None]) -> None:
        """Carry out groups, several at once but those with a common key in turn; ``finished`` gets them in order."""
        flying: dict[Future[list[int]], Portion] = {}
        order: deque[Portion] = deque()

        def land() -> None:
            ready, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in ready:
                group = flying.pop(future)
                group.done = future.result()
                self.there += len(group.items)
                self.dealt_with += group.lines
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
                        or len(order) >= 4 * batch_writer.WIDTH
                        or any(not group.items.keys().isdisjoint(other.items) for other in flying.values())
                    ):
                        land()
                    order.append(group)
                    flying[pool.submit(self._carry_out, group)] = group
                while flying:
                    land()
            except ItemRefused as error:
                pool.shutdown()  # nothing is wrong with what is under way: it is written, and counted
                there = error.there + self.there
                for future, group in flying.items():
                    other = future.exception()
                    there += other.there if isinstance(other, ItemRefused) else 0 if other else len(group.items)
                raise error.changed(there=there) from error
            except BaseException:
                self._sender.give_up()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failure is not None:
            raise failure

    def _carry_out(self, group: Portion) -> list[int]:
        """Compare one group and write what differs; what was done with each item."""
        there = self._read(list(group.items)) if self._compare else {}
        done: dict[tuple[str, str], int] = {}
        wanted: list[tuple[str, str]] = []
        units = 0.0
        for key, item in group.items.items():
            old = there.get(key)
            if old is None:
                each = NEW
            elif attribute_values.same(old, item):
                each = UNCHANGED
            else:
                each = REPLACED
                self._replaces(old, item)
            if each != UNCHANGED:
                wanted.append(key)
                units += put_units(old, item, [GROUPS]).total
            # Written by this import before it was killed, a row is the same already, and was new or another one.
            begun = self._keys.begun(key, group.places[key])
            done[key] = each if begun is None else min(begun, each)
        self._keys.add((key, group.places[key], each) for key, each in done.items())
        if self.dry_run:
            self._dynamodb.meter.plan(units)
        else:
            right = len(done) - len(wanted)
            for first in range(0, len(wanted), batch_writer.BATCH):
                self._write(group, wanted[first : first + batch_writer.BATCH], there=right + first)
        return list(done.values())

    def _write(self, group: Portion, keys: list[tuple[str, str]], *, there: int) -> None:
        """One batch. Where DynamoDB does not take it, it does not say which item it means: then one after the other."""
        try:
            self._sender.write([batch_writer.put_request(group.items[key]) for key in keys])
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
                backoff=self._reading,
                RequestItems={self._dynamodb.table: {"Keys": wanted, "ConsistentRead": True}},
            )
            for item in answer.get("Responses", {}).get(self._dynamodb.table, []):
                found[attribute_values.key(item)] = item
            left = answer.get("UnprocessedKeys", {}).get(self._dynamodb.table, {}).get("Keys", [])
            if len(left) == len(wanted):
                self._sender.pause(f"{len(left)} keys of a batch came back unread")
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


def _groups(found: Iterator[Placed], limit: float | None = None) -> Iterator[Portion]:
    """Items in groups, each key once: the last of it. A bad line is raised behind the group that it ends.

    With a ``limit`` of units, a group is a batch at most, and about a quarter of it, or one item.
    """
    group: Portion | None = None
    most = GROUP if limit is None else batch_writer.BATCH
    failure: CruddurError | None = None
    while True:
        try:
            placed = next(found, None)
        except CruddurError as error:
            failure, placed = error, None
        if placed is None:
            break
        place, item, length = placed
        key = attribute_values.key(item)
        each = read_units(length, consistent=True) + write_units(length)
        if group is not None and limit is not None and group.units + each > limit / 4:
            yield group
            group = None
        if group is None:
            group = Portion({}, {}, place)
        group.again += key in group.items
        group.items[key] = item
        group.places[key] = place
        group.last, group.lines = place, group.lines + 1
        group.size, group.units = group.size + length, group.units + each
        if len(group.items) == most or group.size >= _GROUP_BYTES:
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
        for kind, times in enumerate(done):
            found[kind] -= times
        found[next(kind for kind, times in enumerate(done) if times)] += 1
        more += sum(done) - 1
    return Counts(found[NEW], found[REPLACED], found[UNCHANGED], counts.duplicates + more)


class Kept:
    """The checkpoint of an import of one source into one table, and the keys that it has dealt with.

    It is written now and then: what was begun after it is in the keys, so that counts stay true.
    """

    def __init__(self, path: Path, about: dict[str, Any], *, every: int = 20) -> None:
        self._path, self._about, self._every = path, about, every
        self._keys = path.with_name(f"{path.name}-keys")
        self._told = 0
        self._last: tuple[Place, Counts] | None = None

    def load(self, source: Source) -> tuple[Place | None, Counts, Keys]:
        """The position, what was counted, and with which keys. Raises Protected if the checkpoint cannot be used."""
        import sqlite3

        state = checkpoints.load(self._path, about=self._about)
        try:
            after, counts = (None, Counts()) if state is None else _state(state, source)
            if after is None:
                duplicate_keys.remove(self._keys)
            elif not self._keys.exists():
                raise sealing.Unusable(f"{self._keys.name} is missing, which records what was done with each key")
            keys = Keys(self._keys)
            if after is not None:
                keys.resume(after)
                if keys.count() != counts.lines - counts.duplicates:
                    raise sealing.Unusable(f"{self._keys.name} does not belong to it")
            else:  # from now on the keys say what was begun, and this whose they are
                self._save(Place(0, 0), counts)
        except (sealing.Unusable, sqlite3.DatabaseError) as error:
            raise checkpoints.refused(self._path, str(error)) from error
        return after, counts, keys

    def keep(self, place: Place, counts: Counts) -> None:
        """Say that everything up to a place is written."""
        self._last = (place, counts)
        if self._told % self._every == 0:
            self.flush()
        self._told += 1

    def flush(self) -> None:
        """Have on the disk what was said last."""
        if self._last is not None:
            self._save(*self._last)
            self._last = None

    def end(self) -> None:
        """Keep what was said last; or nothing, where nothing was begun."""
        self.flush()
        with Keys(self._keys) as keys:
            begun = keys.count()
        if not begun:
            self.remove()

    def _save(self, place: Place, counts: Counts) -> None:
        checkpoints.save(self._path, {"after": asdict(place), "counts": asdict(counts)}, about=self._about)

    def remove(self) -> None:
        """Forget it: all is written, or the file is not what it should be."""
        checkpoints.remove(self._path)
        duplicate_keys.remove(self._keys)


def _state(state: dict[str, Any], source: Source) -> tuple[Place, Counts]:
    """The place and the counts of a state. Raises Unusable where it can be that of no import of the source."""
    if state.keys() != {"after", "counts"} or not all(isinstance(each, dict) for each in state.values()):
        raise sealing.Unusable("it lacks the position or the counts")
    if state["after"].keys() != {"file", "line"}:
        raise sealing.Unusable("its position is not a line of a file")
    if state["counts"].keys() != asdict(Counts()).keys():
        raise sealing.Unusable("its counts are not those of an import")
    place = Place(**{name: sealing.whole_number(each) for name, each in state["after"].items()})
    counts = Counts(**{name: sealing.whole_number(each) for name, each in state["counts"].items()})
    if place.file >= len(source.files):
        raise sealing.Unusable(f"it names file {place.file + 1}, and {source.name} has {len(source.files)}")
    if bool(place.line) != bool(counts.lines):
        raise sealing.Unusable(f"it counts {counts.lines:,} items up to line {place.line:,}")
    if place.file == 0 and counts.lines > place.line:
        raise sealing.Unusable(f"it counts {counts.lines:,} items in {place.line:,} lines")
    return place, counts

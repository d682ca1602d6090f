"""Import items into the table: compare them with the stored rows, and write those that differ.

Items with the same key are written in the order of the file.
"""

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
# "BatchGetItem": at most 100 keys. Large items end a group earlier, to limit the memory.
GROUP = 100
_GROUP_BYTES = 1024 * 1024
NEW, REPLACED, UNCHANGED = range(3)
_INVALID = "ValidationException"


@dataclass(frozen=True)
class Counts:
    """The number of rows by outcome. Each key counts once.

    ``duplicates`` are the items whose key occurs again later; the last item of a key is stored.
    """

    new: int = 0
    replaced: int = 0
    unchanged: int = 0
    duplicates: int = 0

    @property
    def written(self) -> int:
        """The rows that were created or changed."""
        return self.new + self.replaced

    @property
    def lines(self) -> int:
        """The items of the file that were imported, with duplicates."""
        return self.written + self.unchanged + self.duplicates

    def plus(self, outcomes: Iterable[int]) -> Counts:
        """These counts plus one row for each outcome: NEW, REPLACED or UNCHANGED."""
        counted = [0, 0, 0]
        for each in outcomes:
            counted[each] += 1
        return replace(
            self,
            new=self.new + counted[NEW],
            replaced=self.replaced + counted[REPLACED],
            unchanged=self.unchanged + counted[UNCHANGED],
        )


class ItemRefused(Refused):
    """DynamoDB refuses this item. ``in_table`` is the number of the file's items that are in the table."""

    def __init__(self, error: CruddurError, key: tuple[str, str], place: Place, in_table: int) -> None:
        pk, sk = key
        message = f"the item pk={pk!r} sk={sk!r}: {error.message}"
        super().__init__(message, code="item_refused", fields={**error.fields, "pk": pk, "sk": sk})
        self.place, self.in_table = place, in_table


@dataclass
class Portion:
    """Items that are compared and written together, by key, with the place of each in the file.

    ``last`` is the last place, ``lines`` the number of lines, ``duplicates`` the number of lines whose key occurs again
    in this portion. ``size`` is their bytes in the file, ``units`` the most units to compare and write them.
    ``outcomes`` has the outcome of each item, once they are written.
    """

    items: dict[tuple[str, str], Item]
    places: dict[tuple[str, str], Place]
    last: Place
    lines: int = 0
    duplicates: int = 0
    size: int = 0
    units: float = 0.0
    outcomes: list[int] | None = None


Keep = Callable[[Place, Counts], None]


class Importer:
    """One import into a table, with its counts.

    With ``compare=False``, every row is written without reading the stored one first. An empty table is never compared.
    ``keys`` and ``counts`` are those of the import that is resumed. ``replaces`` is called with the old and the new row
    of each row that differs.

    ``counts_are_exact`` is False if the counts do not distinguish new, replaced and unchanged rows. ``lines`` is the
    number of lines that this run has finished, up to the first unfinished one. ``in_table`` is the number of items that
    are in the table, and ``lines_done`` that of their lines; both include lines after an unfinished one, and those of
    earlier runs.
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
        self.lines, self.in_table = 0, self.counts.written + self.counts.unchanged
        self.lines_done = self.counts.lines
        self.dry_run = dry_run
        self._replaces = replaces
        self._dynamodb = dynamodb
        empty = is_empty(dynamodb)
        self._compare = compare and not empty
        self.counts_are_exact = compare or empty
        # With a limit of units, portions are small, and run one at a time: a resumed import pays again for items that
        # were compared but not written, or written after an unfinished portion.
        self._limit = dynamodb.limiter.limit if dynamodb.limiter else None
        self._width = batch_writer.WIDTH if self._limit is None else 1
        self._sender = batch_writer.BatchSender(dynamodb)
        self._reading = dynamodb.backoff()
        self._keys = keys or Keys()

    def run(
        self, items: Iterator[Placed], *, keep: Keep = lambda *_: None, advance: Callable[[int], None] = lambda _: None
    ) -> Counts:
        """Import all items, and return the counts.

        ``keep`` is called with the place up to which everything is written, and the counts so far. ``advance`` is
        called with the number of lines that are done. If reading ``items`` raises an error, it is raised after
        everything before it is written. Raises ItemRefused for an item that DynamoDB does not accept, and Refused if
        DynamoDB accepts no more writes.
        """
        with self._keys as keys:

            def finished(group: Portion) -> None:
                assert group.outcomes is not None
                counts = self.counts.plus(group.outcomes)
                self.counts = replace(counts, duplicates=counts.duplicates + group.duplicates)
                self.lines += group.lines
                keep(group.last, self.counts)
                advance(group.lines)

            try:
                self._run(_portions(items, self._limit), finished)
            finally:
                self.counts = _count_keys_once(self.counts, keys)
        return self.counts

    def _run(self, groups: Iterator[Portion], finished: Callable[[Portion], None]) -> None:
        """Import portions, several at once, but never two with a common key. ``finished`` is called in their order."""
        in_flight: dict[Future[list[int]], Portion] = {}
        order: deque[Portion] = deque()

        def wait_for_one() -> None:
            ready, _ = wait(in_flight, return_when=FIRST_COMPLETED)
            for future in ready:
                group = in_flight.pop(future)
                group.outcomes = future.result()
                self.in_table += len(group.items)
                self.lines_done += group.lines
            # A portion is finished only if every portion before it is done, so that the checkpoint skips nothing.
            while order and order[0].outcomes is not None:
                finished(order.popleft())

        failure: CruddurError | None = None
        with ThreadPoolExecutor(self._width, thread_name_prefix="import") as pool:
            try:
                while failure is None:
                    try:
                        group = next(groups, None)
                    except CruddurError as error:  # a malformed line; the items before it are written first
                        failure, group = error, None
                    if group is None:
                        break
                    while (
                        len(in_flight) >= self._width
                        or len(order) >= 4 * batch_writer.WIDTH
                        or any(not group.items.keys().isdisjoint(other.items) for other in in_flight.values())
                    ):
                        wait_for_one()
                    order.append(group)
                    in_flight[pool.submit(self._import, group)] = group
                while in_flight:
                    wait_for_one()
            except ItemRefused as error:
                pool.shutdown()  # wait for the portions in flight, and count their items
                in_table = error.in_table + self.in_table
                for future, group in in_flight.items():
                    other = future.exception()
                    in_table += other.in_table if isinstance(other, ItemRefused) else 0 if other else len(group.items)
                raise error.changed(in_table=in_table) from error
            except BaseException:
                self._sender.give_up()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failure is not None:
            raise failure

    def _import(self, group: Portion) -> list[int]:
        """Compare a portion with the table and write the items that differ; return the outcome of each item."""
        stored = self._read(list(group.items)) if self._compare else {}
        outcomes: dict[tuple[str, str], int] = {}
        to_write: list[tuple[str, str]] = []
        units = 0.0
        for key, item in group.items.items():
            old = stored.get(key)
            if old is None:
                outcome = NEW
            elif attribute_values.same(old, item):
                outcome = UNCHANGED
            else:
                outcome = REPLACED
                self._replaces(old, item)
            if outcome != UNCHANGED:
                to_write.append(key)
                units += put_units(old, item, [GROUPS]).total
            # If this import wrote the row before it was killed, the row is equal now. Its first outcome counts.
            begun = self._keys.begun(key, group.places[key])
            outcomes[key] = outcome if begun is None else min(begun, outcome)
        self._keys.add((key, group.places[key], outcome) for key, outcome in outcomes.items())
        if self.dry_run:
            self._dynamodb.meter.plan(units)
        else:
            equal = len(outcomes) - len(to_write)
            for first in range(0, len(to_write), batch_writer.BATCH):
                self._write(group, to_write[first : first + batch_writer.BATCH], in_table=equal + first)
        return list(outcomes.values())

    def _write(self, group: Portion, keys: list[tuple[str, str]], *, in_table: int) -> None:
        """Write one batch. If DynamoDB refuses it, write the items one by one, to find the refused one.

        ``in_table`` is the number of the portion's items that are in the table already. Raises ItemRefused.
        """
        try:
            self._sender.write([batch_writer.put_request(group.items[key]) for key in keys])
        except Refused as error:
            if error.fields.get("aws_code") != _INVALID:
                raise
            if len(keys) == 1:
                raise ItemRefused(error, keys[0], group.places[keys[0]], in_table) from error
            for number, key in enumerate(keys):
                self._write(group, [key], in_table=in_table + number)

    def _read(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """The stored items with these keys, by key. They are read consistently, because a stale copy may seem equal."""
        wanted = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in keys]
        stored: dict[tuple[str, str], Item] = {}
        while wanted:
            answer = self._dynamodb.call(
                "batch_get_item",
                backoff=self._reading,
                RequestItems={self._dynamodb.table: {"Keys": wanted, "ConsistentRead": True}},
            )
            for item in answer.get("Responses", {}).get(self._dynamodb.table, []):
                stored[attribute_values.key(item)] = item
            left = answer.get("UnprocessedKeys", {}).get(self._dynamodb.table, {}).get("Keys", [])
            if len(left) == len(wanted):
                self._sender.pause(f"{len(left)} keys of a batch came back unread")
            wanted = left
        return stored


def is_empty(dynamodb: DynamoDB) -> bool:
    """Whether the table has no items. An import into an empty table saves the read of each row."""
    params: dict[str, Any] = {"Limit": 1, "ConsistentRead": True}
    while True:
        answer = dynamodb.call("scan", TableName=dynamodb.table, **params)
        if answer["Items"]:
            return False
        if not answer.get("LastEvaluatedKey"):
            return True
        params["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _portions(items: Iterator[Placed], limit: float | None = None) -> Iterator[Portion]:
    """Yield the items in portions. A portion has each key once, with the last item of that key.

    An error of ``items`` is raised after the portion that it ends. With a ``limit`` of units, a portion has at most the
    items of one batch, and uses about a quarter of the limit, or has one item.
    """
    group: Portion | None = None
    most = GROUP if limit is None else batch_writer.BATCH
    failure: CruddurError | None = None
    while True:
        try:
            placed = next(items, None)
        except CruddurError as error:
            failure, placed = error, None
        if placed is None:
            break
        place, item, length = placed
        key = attribute_values.key(item)
        item_units = read_units(length, consistent=True) + write_units(length)
        if group is not None and limit is not None and group.units + item_units > limit / 4:
            yield group
            group = None
        if group is None:
            group = Portion({}, {}, place)
        group.duplicates += key in group.items
        group.items[key] = item
        group.places[key] = place
        group.last, group.lines = place, group.lines + 1
        group.size, group.units = group.size + length, group.units + item_units
        if len(group.items) == most or group.size >= _GROUP_BYTES:
            yield group
            group = None
    if group is not None:
        yield group
    if failure is not None:
        raise failure


def _count_keys_once(counts: Counts, keys: Keys) -> Counts:
    """The counts with one outcome for each key that occurs in several portions: new, else replaced, else unchanged.

    The other occurrences count as duplicates.
    """
    totals = [counts.new, counts.replaced, counts.unchanged]
    more = 0
    for outcomes in keys.repeated():
        for outcome, times in enumerate(outcomes):
            totals[outcome] -= times
        totals[next(outcome for outcome, times in enumerate(outcomes) if times)] += 1
        more += sum(outcomes) - 1
    return Counts(totals[NEW], totals[REPLACED], totals[UNCHANGED], counts.duplicates + more)


class ImportCheckpoint:
    """The checkpoint of an import of one source into one table, and the database of the keys that it has begun.

    It is saved once for ``every`` finished portions. Keys that were begun after the last save are in the database, so
    that the counts of a resumed import are right.
    """

    def __init__(self, path: Path, about: dict[str, Any], *, every: int = 20) -> None:
        self._path, self._about, self._every = path, about, every
        self._keys = path.with_name(f"{path.name}-keys")
        self._calls = 0
        self._last: tuple[Place, Counts] | None = None

    def load(self, source: Source) -> tuple[Place | None, Counts, Keys]:
        """The place to resume after (None: from the start), the counts up to it, and the keys.

        Raises Protected if the checkpoint cannot be used.
        """
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
            else:  # save who the keys belong to before the first key is added
                self._save(Place(0, 0), counts)
        except (sealing.Unusable, sqlite3.DatabaseError) as error:
            raise checkpoints.refused(self._path, str(error)) from error
        return after, counts, keys

    def keep(self, place: Place, counts: Counts) -> None:
        """Note that everything up to ``place`` is written, and save this with each ``every``-th call."""
        self._last = (place, counts)
        if self._calls % self._every == 0:
            self.flush()
        self._calls += 1

    def flush(self) -> None:
        """Save the last noted place, if it is not saved."""
        if self._last is not None:
            self._save(*self._last)
            self._last = None

    def end(self) -> None:
        """Save the last noted place after an interruption. If no key was begun, delete the checkpoint."""
        self.flush()
        with Keys(self._keys) as keys:
            is_empty = keys.is_empty()
        if is_empty:
            self.remove()

    def _save(self, place: Place, counts: Counts) -> None:
        checkpoints.save(self._path, {"after": asdict(place), "counts": asdict(counts)}, about=self._about)

    def remove(self) -> None:
        """Delete the checkpoint and its keys, because the import is complete or the file must be corrected."""
        checkpoints.remove(self._path)
        duplicate_keys.remove(self._keys)


def _state(state: dict[str, Any], source: Source) -> tuple[Place, Counts]:
    """The place and the counts in a checkpoint's state.

    Raises Unusable if no import of the source can have saved this state.
    """
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

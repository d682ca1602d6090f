"""Count the items of a table by entity, partition and day, with bounded memory. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from .capacity.rules import item_size, read_units
from .conversations.queries import decode
from .schema import GROUPS, Item, read_group, read_message

_ENTITIES = {"group": "message groups", "message": "messages", "other": "other items"}


@dataclass(frozen=True)
class Entity:
    """The number and size of the items of one kind, and their capacity units by DynamoDB's rules.

    ``read_units`` is the cost of reading all of them with Query or Scan, eventually consistent. ``write_units`` is the
    cost of writing each of them once, including the index.
    """

    entity: str
    items: int
    bytes: int
    average_bytes: int
    read_units: float
    write_units: float


@dataclass(frozen=True)
class Partition:
    """A partition key and the number and bytes of its items.

    If there were more partitions than counters, up to ``uncertain`` of the items may belong to other partitions.
    """

    pk: str
    items: int
    bytes: int
    uncertain: int


@dataclass(frozen=True)
class Lonely:
    """A group row without its counterpart: the other person's row is missing, or this row is a duplicate."""

    message_group_uuid: str
    user_uuid: str
    other_user_uuid: str


@dataclass(frozen=True)
class Stats:
    """The statistics of a table.

    ``days`` and ``years`` count messages by their day and year in UTC. ``earlier`` counts messages before the first
    listed day, ``timeless`` those whose sort key is not a time. ``lonely_rows`` counts the group rows without a
    counterpart; it is None for a sample, which may lack the counterpart. ``partitions_approximate`` and
    ``lonely_approximate`` are true if the number of counters was too small for exact figures.
    """

    entities: list[Entity]
    partitions: list[Partition]
    partitions_approximate: bool
    days: dict[str, int]
    earlier: int
    years: dict[str, int]
    timeless: int
    lonely_rows: int | None
    lonely_approximate: bool
    lonely: list[Lonely] = field(default_factory=list)


def collect(
    items: Iterable[Item], *, sample: bool = False, top: int = 10, counters: int = 20_000, days: int = 4_000
) -> Stats:
    """The statistics of ``items``. Pass ``sample=True`` if they are only a part of the table.

    ``top`` is the number of partitions and of lonely rows in the result. ``counters`` and ``days`` bound the memory:
    the most partitions, the most group rows that wait for their counterpart, and the most days. All days are kept up to
    twice ``days``; then the earliest ones are added up.
    """
    kinds = {kind: _Kind() for kind in _ENTITIES}
    partitions = _Largest(counters)
    pairs = _Pairs(counters)
    calendar = _Calendar(days)
    for item in items:
        row = decode(item)
        size = item_size(item)
        kinds[row.entity].add(item, size)
        partitions.add(item.get("pk", {}).get("S", "?"), size)
        if row.entity == "message":
            moment = read_message(item).created_at
            calendar.add(moment.date() if moment else None)
        elif row.entity == "group" and not sample:
            group = read_group(item)
            pairs.add(group.message_group_uuid, row.owner, group.user_uuid)
    return Stats(
        entities=[kind.entity(_ENTITIES[name]) for name, kind in kinds.items() if kind.items or name != "other"],
        partitions=partitions.top(top),
        partitions_approximate=partitions.approximate,
        days={str(day): count for day, count in sorted(calendar.days.items())},
        earlier=calendar.earlier,
        years={str(year): count for year, count in sorted(calendar.years.items())},
        timeless=calendar.timeless,
        lonely_rows=None if sample else pairs.lonely,
        lonely_approximate=pairs.shift > 0,
        lonely=[] if sample else pairs.examples(top),
    )


class _Kind:
    def __init__(self) -> None:
        self.items = self.bytes = self.writes = 0

    def add(self, item: Item, size: int) -> None:
        self.items += 1
        self.bytes += size
        # "DynamoDB read and write operations": a write costs a unit per KB, rounded up. An item with the index's key
        # costs the same again in the index, which contains it whole.
        self.writes += -(-size // 1024) * (2 if GROUPS.partition_key in item else 1)

    def entity(self, name: str) -> Entity:
        average = round(self.bytes / self.items) if self.items else 0
        reads = read_units(self.bytes, consistent=False) if self.items else 0.0
        return Entity(name, self.items, self.bytes, average, reads, float(self.writes))


class _Largest:
    """The partitions with the most items, found with a bounded number of counters.

    The algorithm is from "Efficient computation of frequent and top-k elements in data streams" (Metwally, Agrawal, El
    Abbadi). If there is no free counter, a new key takes over the counter with the smallest count, which becomes the
    uncertainty of the new key.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # For each partition key: the count of items, their bytes, and the uncertainty of the count.
        self._counts: dict[str, list[int]] = {}
        self.approximate = False
        self._spare: list[str] = []
        self._limit = 0

    def add(self, pk: str, size: int) -> None:
        counter = self._counts.get(pk)
        if counter is None:
            counter = self._counts[pk] = [0, 0, self._make_room()]
            counter[0] = counter[2]
        counter[0] += 1
        counter[1] += size

    def _make_room(self) -> int:
        """Free a counter if none is free, and return the uncertainty of the new key.

        Sorting takes long, so each sort finds a tenth of the counters, the smallest ones, for the next calls.
        """
        if len(self._counts) < self._most:
            return 0
        self.approximate = True
        while True:
            while self._spare:
                pk = self._spare.pop()
                counter = self._counts.get(pk)
                if counter is not None and counter[0] <= self._limit:
                    del self._counts[pk]
                    return counter[0]
            by_count = sorted(self._counts, key=lambda pk: self._counts[pk][0])[: max(1, self._most // 10)]
            self._limit = self._counts[by_count[-1]][0]
            self._spare = by_count[::-1]

    def top(self, number: int) -> list[Partition]:
        largest = sorted(self._counts.items(), key=lambda each: (-each[1][0] + each[1][2], each[0]))[:number]
        return [Partition(pk, count, size, uncertain) for pk, (count, size, uncertain) in largest]


class _Pairs:
    """The group rows whose counterpart was not read yet.

    If there are too many, half of the conversations, chosen by hash, are ignored from then on. ``lonely`` is then
    estimated from the others: the number of rows times two for each such step (``shift``).
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[bytes, tuple[str, str, str]] = {}
        self.shift = 0

    def add(self, group: str, owner: str, other: str) -> None:
        digest = hashlib.blake2b("\0".join([group, *sorted((owner, other))]).encode(), digest_size=16)
        if int.from_bytes(digest.digest()[:8]) % (1 << self.shift):
            return
        own_digest, other_digest = (digest.copy() for _ in range(2))
        own_digest.update(f"\0{owner}".encode())
        other_digest.update(f"\0{other}".encode())
        base = digest.digest()[:8]
        counterpart = base + other_digest.digest()[:8]
        if self._waiting.pop(counterpart, None) is None:
            key = base + own_digest.digest()[:8]
            while key in self._waiting:  # a duplicate row
                key = base + hashlib.blake2b(key, digest_size=8).digest()
            self._waiting[key] = (group, owner, other)
        while len(self._waiting) > self._most:
            self.shift += 1
            half = {key: row for key, row in self._waiting.items() if not int.from_bytes(key[:8]) % (1 << self.shift)}
            self._waiting = half

    @property
    def lonely(self) -> int:
        return len(self._waiting) << self.shift

    def examples(self, number: int) -> list[Lonely]:
        return [Lonely(*row) for row in sorted(self._waiting.values())[:number]]


class _Calendar:
    def __init__(self, most: int) -> None:
        self._most = most
        self.days: Counter[date] = Counter()
        self.years: Counter[int] = Counter()
        self.earlier = self.timeless = 0

    def add(self, day: date | None) -> None:
        if day is None:
            self.timeless += 1
            return
        self.years[day.year] += 1
        self.days[day] += 1
        if len(self.days) > 2 * self._most:
            for old in sorted(self.days)[: -self._most]:
                self.earlier += self.days.pop(old)

"""What a table holds, counted over an iterator of items with memory that does not grow with them. Pure."""

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
    """One kind of item: how many, how large, and what they cost by DynamoDB's rules: reading all of them with Query or
    Scan, eventually consistent, and writing each once, the index included."""

    entity: str
    items: int
    bytes: int
    average_bytes: int
    read_units: float
    write_units: float


@dataclass(frozen=True)
class Partition:
    """A partition key with what stands under it; at most ``uncertain`` of the items may be another one's."""

    pk: str
    items: int
    bytes: int
    uncertain: int


@dataclass(frozen=True)
class Lonely:
    """A group row whose counterpart, the other person's row of the conversation, is missing; or it is doubled."""

    message_group_uuid: str
    user_uuid: str
    other_user_uuid: str


@dataclass(frozen=True)
class Stats:
    """The whole account. ``days`` and ``years`` count messages by UTC; ``earlier`` are those before the first day that
    is listed, ``timeless`` those whose time cannot be read. ``lonely_rows`` is None for a sample, which cannot tell;
    the lists that more would not fit into say so: ``partitions_approximate``, ``lonely_approximate``."""

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
    """Count all items. ``counters`` bounds how many partitions, and group rows that still wait for their counterpart,
    are remembered at a time, ``days`` how many days."""
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
        # "DynamoDB read and write operations": a write costs a unit for each KB begun, and again in an index that
        # holds the item whole, which is the case for what has the index's key.
        self.writes += -(-size // 1024) * (2 if GROUPS.partition_key in item else 1)

    def entity(self, name: str) -> Entity:
        average = round(self.bytes / self.items) if self.items else 0
        reads = read_units(self.bytes, consistent=False) if self.items else 0.0
        return Entity(name, self.items, self.bytes, average, reads, float(self.writes))


class _Largest:
    """The partitions with the most items, by "Efficient computation of frequent and top-k elements in data streams"
    (Metwally, Agrawal, El Abbadi): as many counters as fit; a new key takes over the smallest, with its count as doubt.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, list[int]] = {}
        self.approximate = False
        self._spare: list[str] = []
        self._limit = 0

    def add(self, pk: str, size: int) -> None:
        found = self._counts.get(pk)
        if found is None:
            found = self._counts[pk] = [0, 0, self._make_room()]
            found[0] = found[2]
        found[0] += 1
        found[1] += size

    def _make_room(self) -> int:
        """The doubt that a new key starts with. The smallest are looked for a tenth at a time: sorting is dear."""
        if len(self._counts) < self._most:
            return 0
        self.approximate = True
        while True:
            while self._spare:
                pk = self._spare.pop()
                known = self._counts.get(pk)
                if known is not None and known[0] <= self._limit:
                    del self._counts[pk]
                    return known[0]
            by_count = sorted(self._counts, key=lambda pk: self._counts[pk][0])[: max(1, self._most // 10)]
            self._limit = self._counts[by_count[-1]][0]
            self._spare = by_count[::-1]

    def top(self, number: int) -> list[Partition]:
        largest = sorted(self._counts.items(), key=lambda each: (-each[1][0] + each[1][2], each[0]))[:number]
        return [Partition(pk, count, size, doubt) for pk, (count, size, doubt) in largest]


class _Pairs:
    """Group rows whose counterpart did not come yet.

    Where too many wait, every second conversation by hash is left out, and the count is worked out from the rest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[bytes, tuple[str, str, str]] = {}
        self.shift = 0

    def add(self, group: str, owner: str, other: str) -> None:
        digest = hashlib.blake2b("\0".join([group, *sorted((owner, other))]).encode(), digest_size=16)
        if int.from_bytes(digest.digest()[:8]) % (1 << self.shift):
            return
        mine, theirs = (digest.copy() for _ in range(2))
        mine.update(f"\0{owner}".encode())
        theirs.update(f"\0{other}".encode())
        base = digest.digest()[:8]
        counterpart = base + theirs.digest()[:8]
        if self._waiting.pop(counterpart, None) is None:
            key = base + mine.digest()[:8]
            while key in self._waiting:  # a doubled row
                key = base + hashlib.blake2b(key, digest_size=8).digest()
            self._waiting[key] = (group, owner, other)
        while len(self._waiting) > self._most:
            self.shift += 1
            kept = {key: row for key, row in self._waiting.items() if not int.from_bytes(key[:8]) % (1 << self.shift)}
            self._waiting = kept

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

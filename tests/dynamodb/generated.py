"""Generated requests to one table, with the units of each by the rules: the same 2,000 on every machine.

They come from one seeded generator, and only from ``random()`` and functions based on it. So a recording is valid for
other versions of Python too.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cruddur_cli.dynamodb.capacity import rules
from cruddur_cli.dynamodb.capacity.rules import Units, item_size
from cruddur_cli.dynamodb.schema import Index
from tests.dynamodb import documented

Item = dict[str, dict[str, Any]]

INDEXES = (
    Index("everything", "g", "sk", "ALL"),
    Index("keys", "n", None, "KEYS_ONLY"),
    Index("some", "b", "n", "INCLUDE", ("note", "größe")),
    Index("local", "pk", "n", "KEYS_ONLY"),
)
TABLE = "generated"
KEY_TYPES = {"pk": "S", "sk": "S", "g": "S", "n": "N", "b": "B"}
_NAMES = ("note", "größe", "message", "l", "M", "a.b", "名前", "user_display_name", "x" * 60)

# Where DynamoDB Local, of 2020, is documented wrong: its own share, which the documentation does not have.
EMPTY_PAGE = "an empty page of Query or Scan costs nothing"
MISSING_GET = "a key without an item costs nothing in BatchGetItem"
MISSING_DELETE = "deleting a key without an item costs two units in BatchWriteItem"
TRANSACTION = "a write in a transaction costs four times as much, not twice, unless it deletes a key without an item"
TRANSACTION_EQUAL = "of several actions of a transaction that cost the same, one is counted"
OTHER_HALF = "an item that has one key of an index, and then the other one, costs the index a unit without being in it"
SCANNED_INDEX = "a Scan of an index costs as much as the whole items"
DIFFERENCES = {
    EMPTY_PAGE: "“DynamoDB read and write operations”: Query and Scan are charged even if no data exists",
    MISSING_GET: "“BatchGetItem”: a request for a nonexistent item consumes the minimum read capacity units",
    MISSING_DELETE: "“BatchWriteItem”: delete operations on nonexistent items consume one write capacity unit",
    TRANSACTION: "“Amazon DynamoDB Transactions: How it works”: two underlying writes of every item",
    TRANSACTION_EQUAL: "“Amazon DynamoDB Transactions: How it works”: two underlying writes of every item",
    OTHER_HALF: "“Using Global Secondary Indexes in DynamoDB”: no cost if not present in the index before or after",
    SCANNED_INDEX: "“Using Global Secondary Indexes in DynamoDB”: read units are of the sizes of the index entries",
}


@dataclass(frozen=True)
class Operation:
    """One request, its units by the documentation, and the differences of DynamoDB Local by name."""

    name: str
    request: dict[str, Any]
    documented: Units
    differences: dict[str, Units] = field(default_factory=dict)

    @property
    def local(self) -> Units:
        """The units that DynamoDB Local should report."""
        return documented.add_units([self.documented, *self.differences.values()])


def operations(count: int, *, seed: int) -> list[Operation]:
    """``count`` requests to an empty table, which must be sent in this order."""
    return list(_Generator(seed).make(count))


class _Generator:
    """Generates requests, and knows the items of the table after each of them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.table: dict[tuple[str, str], Item] = {}

    def make(self, count: int) -> Iterable[Operation]:
        kinds: list[Callable[[], Operation]] = [
            *[self.put] * 6,
            *[self.update] * 5,
            self.delete,
            *[self.batch_write] * 3,
            *[self.transact_write] * 3,
            *[self.get] * 3,
            *[self.batch_get] * 2,
            *[self.transact_get] * 2,
            *[self.query] * 3,
            *[self.query_index] * 3,
            self.scan,
        ]
        for _ in range(count):
            yield self.one_of(kinds)()

    # Chance.

    def below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def one_of(self, things: Any) -> Any:
        return things[self.below(len(things))]

    def text(self, length: int) -> str:
        return "".join(self.one_of(string.ascii_letters + "éß€漢😀") for _ in range(length))

    def number(self) -> str:
        """Any number that DynamoDB accepts, in any form that it accepts."""
        digits = "".join(self.one_of("0123456789") for _ in range(1 + self.below(38)))
        digits = digits[: 1 + self.below(8)] if self.chance(0.6) else digits
        point = self.below(len(digits))
        text = digits if self.chance(0.5) else f"{digits[: point + 1]}.{digits[point + 1 :] or '0'}"
        text += "0" * self.below(4) if "." in text else ""
        exponent = f"{self.one_of('eE')}{self.below(60) - 30}" if self.chance(0.3) else ""
        return ("-" if self.chance(0.3) else "") + text + exponent

    def bytes(self, length: int) -> bytes:
        return bytes(self.below(256) for _ in range(length))

    def members(self, make: Callable[[], Any], key: Callable[[Any], Any]) -> list[Any]:
        found = {key(value): value for value in (make() for _ in range(1 + self.below(4)))}
        return list(found.values())

    def value(self, depth: int = 0) -> dict[str, Any]:
        """A value of any type."""
        kind = self.one_of(("S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", *(("L", "M") if depth < 3 else ())))
        made: dict[str, Callable[[], Any]] = {
            # Never empty: DynamoDB has taken that since 2020, this engine does not in a batch.
            "S": lambda: self.text(1 + self.below(30)),
            "N": self.number,
            "B": lambda: self.bytes(1 + self.below(20)),
            "BOOL": lambda: self.chance(0.5),
            "NULL": lambda: True,
            "SS": lambda: self.members(lambda: self.text(1 + self.below(8)), str),
            "NS": lambda: self.members(self.number, Decimal),
            "BS": lambda: self.members(lambda: self.bytes(1 + self.below(8)), bytes),
            "L": lambda: [self.value(depth + 1) for _ in range(self.below(4))],
            "M": lambda: {self.one_of(_NAMES): self.value(depth + 1) for _ in range(self.below(4))},
        }
        return {kind: made[kind]()}

    def attributes(self) -> Item:
        """Some attributes. Those of indexes have the types of the keys and few values, so that values repeat."""
        made: Item = {self.one_of(_NAMES): self.value() for _ in range(self.below(6))}
        if self.chance(0.5):
            made["g"] = {"S": self.one_of(("g1", "g2", "größer"))}
        if self.chance(0.5):
            made["n"] = {"N": self.one_of(("1", "1.0", "-20", "3e2", "300", "0"))}
        if self.chance(0.4):
            made["b"] = {"B": self.one_of((b"\x00", b"\xff\xfe", b"abc"))}
        return made

    def padded(self, item: Item) -> Item:
        """The item, often padded to whole blocks or to one byte more, so that an error in its size is visible."""
        if not self.chance(0.7):
            return item
        blocks = 1 + self.below(3) if self.chance(0.9) else 4 * (1 + self.below(5))
        missing = blocks * rules.WRITE_BLOCK + self.below(2) - item_size(item) - len("pad")
        return item | {"pad": {"S": "x" * missing}} if missing > 0 else item

    def key(self, *, present: bool = False) -> Item:
        if present and self.table and self.chance(0.93):
            pk, sk = self.one_of(sorted(self.table))
        else:
            pk, sk = self.one_of(("MSG#a", "MSG#b", "GRP#ü", "GRP#d")), f"2026-11-{10 + self.below(16)}"
        return {"pk": {"S": pk}, "sk": {"S": sk}}

    def keys(self, count: int, *, present: bool = True) -> list[Item]:
        found = {_key(key): key for key in (self.key(present=present) for _ in range(count))}
        return list(found.values())

    def item(self, key: Item) -> Item:
        return self.padded(key | self.attributes())

    def store(self, key: Item, item: Item | None) -> Item | None:
        """Put an item at a key, or delete it; return the item that was there."""
        old = self.table.pop(_key(key), None)
        if item is not None:
            self.table[_key(key)] = item
        return old

    # Writes.

    def put(self) -> Operation:
        key = self.key(present=self.chance(0.5))
        new = self.table[_key(key)] if _key(key) in self.table and self.chance(0.1) else self.item(key)
        old = self.store(key, new)
        units = rules.put_units(old, new, INDEXES)
        return Operation("PutItem", {"TableName": TABLE, "Item": new}, units, _other_halves([(old, new)]))

    def change(self, key: Item) -> tuple[Item, dict[str, Any]]:
        """An item as an update leaves it, and the update."""
        old = self.table.get(_key(key), key)
        given = self.attributes()
        gone = [name for name in sorted(old) if name not in given and name not in key and self.chance(0.2)]
        new = {name: value for name, value in (old | given).items() if name not in gone}
        names = {f"#{number}": name for number, name in enumerate([*given, *gone])}
        marks = {name: mark for mark, name in names.items()}
        parts = ["SET " + ", ".join(f"{marks[name]} = :{marks[name][1:]}" for name in given)] if given else []
        parts += ["REMOVE " + ", ".join(marks[name] for name in gone)] if gone else []
        request: dict[str, Any] = {"TableName": TABLE, "Key": key}
        if parts:
            request |= {"UpdateExpression": " ".join(parts), "ExpressionAttributeNames": names}
        if given:
            request["ExpressionAttributeValues"] = {f":{marks[name][1:]}": value for name, value in given.items()}
        return new, request

    def update(self) -> Operation:
        key = self.key(present=True)
        new, request = self.change(key)
        old = self.store(key, new)
        units = documented.update_units(old, new, INDEXES)
        return Operation("UpdateItem", request, units, _other_halves([(old, new)]))

    def delete(self) -> Operation:
        key = self.key(present=True)
        units = rules.delete_units(self.store(key, None), INDEXES)
        return Operation("DeleteItem", {"TableName": TABLE, "Key": key}, units)

    def batch_write(self) -> Operation:
        requests, changes, missing = [], [], 0
        for key in self.keys(1 + self.below(8)):
            new = self.item(key) if self.chance(0.75) else None
            old = self.store(key, new)
            requests.append({"PutRequest": {"Item": new}} if new else {"DeleteRequest": {"Key": key}})
            changes.append((old, new))
            missing += old is None and new is None
        units = documented.batch_write_units(changes, INDEXES)
        differences = _other_halves(changes)
        if missing:
            differences[MISSING_DELETE] = Units(1.0 * missing)
        return Operation("BatchWriteItem", {"RequestItems": {TABLE: requests}}, units, differences)

    def transact_write(self) -> Operation:
        actions: list[dict[str, Any]] = []
        changes: list[rules.Change] = []
        checked: list[Item | None] = []
        for key in self.keys(1 + self.below(5)):
            new: Item | None = None
            match self.one_of(("Put", "Put", "Update", "Update", "Delete", "ConditionCheck")):
                case "Put":
                    new = self.item(key)
                    actions.append({"Put": {"TableName": TABLE, "Item": new}})
                case "Update":
                    new, request = self.change(key)
                    while "UpdateExpression" not in request:  # a transaction takes none without
                        new, request = self.change(key)
                    actions.append({"Update": request})
                case "Delete":
                    actions.append({"Delete": {"TableName": TABLE, "Key": key}})
                case _:
                    there = _key(key) in self.table
                    condition = "attribute_exists(pk)" if there else "attribute_not_exists(pk)"
                    check = {"TableName": TABLE, "Key": key, "ConditionExpression": condition}
                    actions.append({"ConditionCheck": check})
                    checked.append(self.table.get(_key(key)))
                    continue
            changes.append((self.store(key, new), new))
        units = documented.transact_write_units(changes, INDEXES, checked=checked)
        differences = _in_transaction(changes, checked)
        return Operation("TransactWriteItems", {"TransactItems": actions}, units, differences)

    # Reads.

    def get(self) -> Operation:
        key, consistent = self.key(present=True), self.chance(0.5)
        units = documented.get_units(self.table.get(_key(key)), consistent=consistent)
        request = {"TableName": TABLE, "Key": key, "ConsistentRead": consistent}
        return Operation("GetItem", self.narrowed(request), Units(units))

    def narrowed(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request, sometimes for one attribute only, which costs the same."""
        return request | {"ProjectionExpression": "note"} if self.chance(0.2) else request

    def batch_get(self) -> Operation:
        keys, consistent = self.keys(1 + self.below(10)), self.chance(0.5)
        items = [self.table.get(_key(key)) for key in keys]
        units = Units(documented.batch_get_units(items, consistent=consistent))
        request = self.narrowed({"Keys": keys, "ConsistentRead": consistent})
        missing = items.count(None) * documented.get_units(None, consistent=consistent)
        differences = {MISSING_GET: Units(-missing)} if missing else {}
        return Operation("BatchGetItem", {"RequestItems": {TABLE: request}}, units, differences)

    def transact_get(self) -> Operation:
        keys = self.keys(1 + self.below(5))
        units = rules.transact_get_units(self.table.get(_key(key)) for key in keys)
        request = {"TransactItems": [{"Get": {"TableName": TABLE, "Key": key}} for key in keys]}
        return Operation("TransactGetItems", request, Units(units))

    def page(self, name: str, request: dict[str, Any], items: list[Item], index: Index | None) -> Operation:
        """One page of a Query or Scan that evaluates these items."""
        consistent = index is None and self.chance(0.4)
        units = documented.page_units(items, consistent=consistent, index=index)
        request = {"TableName": TABLE, **request, "ConsistentRead": consistent}
        if (index is None or index.projection == "ALL") and self.chance(0.3):
            request |= {"FilterExpression": "attribute_exists(message)"}
        if self.chance(0.1):
            request["Select"] = "COUNT"
        differences = {} if items else {EMPTY_PAGE: _negative(units)}
        if index is not None and name == "Scan" and items:
            more = documented.page_units(items).table - units.indexes[index.name]
            differences = {SCANNED_INDEX: Units(0.0, {index.name: more})} if more else {}
        return Operation(name, request, units, differences)

    def query(self) -> Operation:
        pk = self.one_of(("MSG#a", "MSG#b", "GRP#ü", "GRP#d") * 3 + ("GRP#nobody",))
        found = [item for (partition, _), item in sorted(self.table.items()) if partition == pk]
        values: dict[str, Any] = {":pk": {"S": pk}}
        request: dict[str, Any] = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": values}
        if self.chance(0.3):
            low = f"2026-11-{10 + self.below(8)}"
            request["KeyConditionExpression"] += " AND sk >= :low"
            values[":low"] = {"S": low}
            found = [item for item in found if item["sk"]["S"] >= low]
        if self.chance(0.3):
            found.reverse()
            request["ScanIndexForward"] = False
        if self.chance(0.4):
            request["Limit"] = 1 + self.below(12)
            found = found[: request["Limit"]]
        return self.page("Query", request, found, None)

    def query_index(self) -> Operation:
        index = self.one_of(INDEXES)
        entries = [item for item in self.table.values() if rules.index_entry(item, index) is not None]
        if self.chance(0.25):
            return self.page("Scan", {"IndexName": index.name}, entries, index)
        some: Item = (
            self.one_of(entries) if entries and self.chance(0.9) else {index.partition_key: _NOBODY[index.name]}
        )
        value = some[index.partition_key]
        found = [item for item in entries if _same(item[index.partition_key], value)]
        request = {
            "IndexName": index.name,
            "KeyConditionExpression": f"{index.partition_key} = :value",
            "ExpressionAttributeValues": {":value": value},
        }
        return self.page("Query", request, found, index)

    def scan(self) -> Operation:
        items = list(self.table.values())
        assert sum(map(item_size, items)) < rules.PAGE_LIMIT, "one page holds the table"
        return self.page("Scan", {}, items, None)


_NOBODY: dict[str, dict[str, Any]] = {
    "everything": {"S": "-"},
    "keys": {"N": "99"},
    "some": {"B": b"-"},
    "local": {"S": "-"},
}


def _negative(units: Units) -> Units:
    return Units(-units.table, {name: -each for name, each in units.indexes.items()})


def _in_transaction(changes: list[rules.Change], checked: list[Item | None]) -> dict[str, Units]:
    """The units of a transaction by the rules of DynamoDB Local."""
    actions = [(change, documented.transact_write_units([change], INDEXES)) for change in changes]
    actions += [((item, item), documented.transact_write_units([], checked=[item])) for item in checked if item]
    actions += [((None, {}), documented.transact_write_units([], checked=[None])) for item in checked if not item]
    doubled, equal, halves = [], [], []
    counted = set()
    for change, units in actions:
        twice = Units(0.0) if change == (None, None) else units
        half = documented.add_units(_other_halves([change], each=4.0).values())
        said = documented.add_units([units, twice, half])
        if (found := (said.table, *sorted(said.indexes.items()))) in counted:
            equal.append(_negative(said))
        counted.add(found)
        doubled.append(twice)
        halves.append(half)
    parts = {TRANSACTION: doubled, TRANSACTION_EQUAL: equal, OTHER_HALF: halves}
    return {rule: total for rule, units in parts.items() if (total := documented.add_units(units)).total}


def _other_halves(changes: Iterable[rules.Change], *, each: float = 1.0) -> dict[str, Units]:
    """The units that ``OTHER_HALF`` adds. Only an item with one of an index's two own keys has this difference."""
    met = 0
    for old, new in changes:
        before, after = ([name for name in ("b", "n") if name in (item or {})] for item in (old, new))
        met += len(before) == len(after) == 1 and before != after
    return {OTHER_HALF: Units(0.0, {"some": each * met})} if met else {}


def _key(key: Item) -> tuple[str, str]:
    return key["pk"]["S"], key["sk"]["S"]


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return Decimal(one["N"]) == Decimal(other["N"]) if "N" in one else one == other

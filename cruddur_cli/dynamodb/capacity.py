"""DynamoDB's rules of size and capacity: what an item weighs in bytes, and what reading or writing it costs in units.

Each rule names the AWS page that it is from, by its title in the Amazon DynamoDB Developer Guide or the API reference.
Items are in DynamoDB JSON, binary values as ``bytes``; an item that does not exist is None. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

Item = Mapping[str, Mapping[str, Any]]

ITEM_LIMIT = 400 * 1024
"""The most bytes one item may have, names and values together ("Constraints in Amazon DynamoDB")."""

PAGE_LIMIT = 1024 * 1024
"""The most bytes one page of Query or Scan reads, before any filter ("Querying tables in DynamoDB")."""

READ_BLOCK = 4 * 1024
WRITE_BLOCK = 1024


@dataclass(frozen=True)
class Index:
    """A secondary index as far as its cost depends on it: its keys, and which attributes its entries hold.

    ``included`` are the attributes that ``INCLUDE`` adds; the keys of table and index are in every entry ("Attribute
    projections" in "Using Global Secondary Indexes in DynamoDB").
    """

    name: str
    partition_key: str
    sort_key: str | None = None
    projection: Literal["ALL", "KEYS_ONLY", "INCLUDE"] = "ALL"
    included: tuple[str, ...] = ()
    table_keys: tuple[str, ...] = ("pk", "sk")


@dataclass(frozen=True)
class Units:
    """Capacity units of one kind, reads or writes: the table's share, and each index's that took part."""

    table: float
    indexes: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """What ``CapacityUnits`` of a whole answer says: the table's share and the indexes'."""
        return self.table + sum(self.indexes.values())


Change = tuple[Item | None, Item | None]
"""One item before and after a write: (None, item) is new, (item, None) is deleted."""


def item_size(item: Item) -> int:
    """Bytes of an item in DynamoDB JSON (binary values as ``bytes``): its names in UTF-8 plus its values.

    By "DynamoDB item sizes and formats". Raises ``ValueError`` for a value that is not exactly one of DynamoDB's types.
    """
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def read_units(size: int, *, consistent: bool = False, transaction: bool = False) -> float:
    """Units of reading ``size`` bytes at once: 1 for each 4 KB begun, half of that for an eventually consistent read,
    twice that in a transaction.

    Nothing found costs as much as one block: DynamoDB had to look ("DynamoDB read and write operations").
    """
    return max(1, -(-size // READ_BLOCK)) * (2.0 if transaction else 1.0 if consistent else 0.5)


def write_units(size: int, *, transaction: bool = False) -> float:
    """Units of writing an item of ``size`` bytes: 1 for each KB begun, at least 1; twice that in a transaction.

    By "DynamoDB read and write operations"; deleting or failing to find an item costs the least unit as well.
    """
    return max(1, -(-size // WRITE_BLOCK)) * (2.0 if transaction else 1.0)


# ---------------------------------------------------------------------------------------------------------------------
# Reads.


def get_units(item: Item | None, *, consistent: bool = False) -> float:
    """Read units of GetItem: the whole item counts, whatever is projected ("DynamoDB read and write operations")."""
    return read_units(item_size(item or {}), consistent=consistent)


def batch_get_units(items: Iterable[Item | None], *, consistent: bool = False) -> float:
    """Read units of BatchGetItem: each item is rounded by itself, and a key without an item costs the least
    ("DynamoDB read and write operations"; "BatchGetItem")."""
    return sum(get_units(item, consistent=consistent) for item in items)


def transact_get_units(items: Iterable[Item | None]) -> float:
    """Read units of TransactGetItems: two reads of each item, one to prepare and one to commit ("Amazon DynamoDB
    Transactions: How it works", capacity management)."""
    return sum(read_units(item_size(item or {}), transaction=True) for item in items)


def page_units(items: Iterable[Item], *, consistent: bool = False, index: Index | None = None) -> Units:
    """Read units of one page of Query or Scan that evaluates ``items``, before its filter.

    The page is one read: sizes are added up, then rounded ("DynamoDB read and write operations"). In an index its
    entries count, and nothing is taken from the table ("Read capacity units" in "Using Global Secondary Indexes in
    DynamoDB"). An empty page costs the least, "even if no data exists".
    """
    if index is None:
        return Units(read_units(sum(map(item_size, items)), consistent=consistent))
    entries = (index_entry(item, index) for item in items)
    units = read_units(sum(item_size(entry) for entry in entries if entry is not None), consistent=consistent)
    return Units(0.0, {index.name: units})


# ---------------------------------------------------------------------------------------------------------------------
# Writes.


def put_units(old: Item | None, new: Item, indexes: Sequence[Index] = (), *, transaction: bool = False) -> Units:
    """Write units of PutItem of ``new`` in the place of ``old``: the larger of the two counts ("DynamoDB read and write
    operations"), and what each index takes (``index_write_units``)."""
    return _change_units((old, new), indexes, transaction=transaction)


def update_units(old: Item | None, new: Item, indexes: Sequence[Index] = (), *, transaction: bool = False) -> Units:
    """Write units of UpdateItem that leaves ``new``: the larger of the item before and after, in full even if one
    attribute changes or none ("DynamoDB read and write operations")."""
    return _change_units((old, new), indexes, transaction=transaction)


def delete_units(old: Item | None, indexes: Sequence[Index] = (), *, transaction: bool = False) -> Units:
    """Write units of DeleteItem: the size of what is deleted, at least 1 ("DynamoDB read and write operations"), also
    where nothing was ("BatchWriteItem": deleting a nonexistent item costs one unit)."""
    return _change_units((old, None), indexes, transaction=transaction)


def batch_write_units(changes: Iterable[Change], indexes: Sequence[Index] = ()) -> Units:
    """Write units of BatchWriteItem: those of its puts and deletes, each rounded by itself ("DynamoDB read and write
    operations")."""
    return add_units(_change_units(change, indexes, transaction=False) for change in changes)


def transact_write_units(
    changes: Iterable[Change], indexes: Sequence[Index] = (), *, checked: Iterable[Item | None] = ()
) -> Units:
    """Write units of TransactWriteItems, twice those of the same writes: one to prepare and one to commit ("Amazon
    DynamoDB Transactions: How it works", capacity management).

    ``checked`` are the items of its ConditionChecks. The page says nothing of them, nor of indexes; DynamoDB Local
    takes a check's item in blocks of 4 KB, as reading it would, and doubles indexes as it does the table.
    """
    checks = Units(sum(read_units(item_size(item or {}), transaction=True) for item in checked))
    return add_units([*(_change_units(change, indexes, transaction=True) for change in changes), checks])


def failed_write_units(old: Item | None, new: Item | None, *, transaction: bool = False) -> float:
    """Write units of a write whose condition was false: as much of the table as if it had been true, nothing of the
    indexes. ``new`` is what would have been there.

    "Working with items and attributes in DynamoDB" (conditional writes): the larger of the existing item and the one to
    be written counts, at least 1. The older "Managing settings on DynamoDB provisioned capacity tables" had it less.
    """
    return write_units(max(item_size(old or {}), item_size(new or {})), transaction=transaction)


def index_entry(item: Item | None, index: Index) -> Item | None:
    """What ``index`` holds of ``item``; None where it lacks a key of the index, which is then sparse ("Using Global
    Secondary Indexes in DynamoDB", data synchronization)."""
    keys = [key for key in (index.partition_key, index.sort_key) if key is not None]
    if item is None or any(key not in item for key in keys):
        return None
    if index.projection == "ALL":
        return item
    kept = {*index.table_keys, *keys, *(index.included if index.projection == "INCLUDE" else ())}
    return {name: value for name, value in item.items() if name in kept}


def index_write_units(old: Item | None, new: Item | None, index: Index, *, transaction: bool = False) -> float:
    """Write units that ``index`` takes when ``old`` becomes ``new``; 0 where its entry stays what it is.

    By "Write capacity units" in "Using Global Secondary Indexes in DynamoDB": a new entry is one write, a deleted one
    is one write, another key is two (the old entry is deleted, a new one put), other projected attributes are one. Each
    write counts by its entry's size, a change in place by the larger of both.
    """
    before, after = index_entry(old, index), index_entry(new, index)
    if before is None and after is None:
        return 0.0
    if before is None or after is None:
        return write_units(item_size(before or after or {}), transaction=transaction)
    if canonical(before) == canonical(after):
        return 0.0
    sizes = [item_size(before), item_size(after)]
    keys = [key for key in (index.partition_key, index.sort_key) if key is not None]
    if any(_canonical_value(before[key]) != _canonical_value(after[key]) for key in keys):
        return sum(write_units(size, transaction=transaction) for size in sizes)
    return write_units(max(sizes), transaction=transaction)


def add_units(parts: Iterable[Units]) -> Units:
    """The sum, index by index."""
    table, indexes = 0.0, dict[str, float]()
    for part in parts:
        table += part.table
        for name, units in part.indexes.items():
            indexes[name] = indexes.get(name, 0.0) + units
    return Units(table, indexes)


def _change_units(change: Change, indexes: Sequence[Index], *, transaction: bool) -> Units:
    old, new = change
    taken = {index.name: index_write_units(old, new, index, transaction=transaction) for index in indexes}
    return Units(
        write_units(max(item_size(old or {}), item_size(new or {})), transaction=transaction),
        {name: units for name, units in taken.items() if units},
    )


# ---------------------------------------------------------------------------------------------------------------------
# Values.


def canonical(item: Item) -> dict[str, Any]:
    """An item that equals another one where DynamoDB takes them for the same: numbers by value, sets without order."""
    return {name: _canonical_value(value) for name, value in item.items()}


def _canonical_value(value: Mapping[str, Any]) -> tuple[str, Any]:
    ((kind, content),) = value.items()
    match kind:
        case "N":
            content = Decimal(content)
        case "NS":
            content = frozenset(map(Decimal, content))
        case "SS" | "BS":
            content = frozenset(content)
        case "L":
            content = [_canonical_value(element) for element in content]
        case "M":
            content = canonical(content)
    return kind, content


def _value_size(value: Mapping[str, Any]) -> int:
    """Bytes of one value without its name. Of sets the page says nothing: here DynamoDB Local is the source."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            size = len(content.encode())
        case "N":
            size = _number_size(content)
        case "B":
            size = len(content)
        case "BOOL" | "NULL":
            size = 1
        case "SS" | "NS" | "BS":
            size = sum(_value_size({kind[0]: member}) for member in content)
        case "L":
            size = 3 + sum(1 + _value_size(element) for element in content)
        case "M":
            size = 3 + len(content) + item_size(content)
        case _:
            raise ValueError(f"DynamoDB has no type {kind!r}")
    return size


def _number_size(number: str) -> int:
    """Bytes of a number: 1, and 1 for each two significant digits, and 1 for a minus sign.

    "DynamoDB item sizes and formats" calls its rule approximate and omits two things that DynamoDB Local does: the
    sign, and that digits pair up from the decimal point, so that 1.5 and 120 take two pairs where 15 takes one.
    """
    digits, lowest = significant(number)
    if not digits:
        return 1
    pairs = -(-(lowest + digits) // 2) - lowest // 2
    return 1 + pairs + number.startswith("-")


def significant(number: str) -> tuple[int, int]:
    """How many significant digits a number has, and the power of ten of the last of them; no digits are zero."""
    mantissa, _, exponent = number.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("+-").partition(".")
    digits = (whole + fraction).lstrip("0")
    found = digits.rstrip("0")
    return len(found), int(exponent or 0) - len(fraction) + len(digits) - len(found)

"""DynamoDB's rules for the size of an item in bytes, and for the capacity units of reads and writes. Pure.

Each rule names the AWS page that it comes from, by its title in the Amazon DynamoDB Developer Guide or the API
reference. Items are in DynamoDB JSON, with binary values as ``bytes``. An item that does not exist is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..schema import Index

Item = Mapping[str, Mapping[str, Any]]

ITEM_LIMIT = 400 * 1024
"""The most bytes of one item, names and values together ("Constraints in Amazon DynamoDB")."""

PAGE_LIMIT = 1024 * 1024
"""The most bytes that one page of Query or Scan reads, before any filter ("Querying tables in DynamoDB")."""

READ_BLOCK = 4 * 1024
WRITE_BLOCK = 1024


@dataclass(frozen=True)
class Units:
    """Capacity units of a read or a write: those of the table itself, and those of each index that it used."""

    table: float
    indexes: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """The units of the table and of all indexes, as in ``CapacityUnits`` of an answer."""
        return self.table + sum(self.indexes.values())


Change = tuple[Item | None, Item | None]
"""One item before and after a write: (None, item) is a new item, (item, None) a deleted one."""


def item_size(item: Item) -> int:
    """The bytes of an item: its names in UTF-8 plus its values ("DynamoDB item sizes and formats").

    Raises ValueError for a value that does not have exactly one of DynamoDB's types.
    """
    size = 0
    for name, value in item.items():
        text = value.get("S")
        # A short cut for texts, because a large table has millions of them.
        size += _text_size(text) if type(text) is str and len(value) == 1 else _value_size(value)
        size += _text_size(name)
    return size


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def read_units(size: int, *, consistent: bool = False, transaction: bool = False) -> float:
    """The units of one read of ``size`` bytes ("DynamoDB read and write operations").

    A strongly consistent read costs 1 unit per 4 KB, rounded up. An eventually consistent read costs half of that, a
    read in a transaction twice that. A read that finds nothing costs as much as 4 KB.
    """
    return max(1, -(-size // READ_BLOCK)) * (2.0 if transaction else 1.0 if consistent else 0.5)


def write_units(size: int, *, transaction: bool = False) -> float:
    """The units of writing an item of ``size`` bytes: 1 per KB, rounded up, at least 1; twice that in a transaction.

    Deleting an item that does not exist also costs the minimum ("DynamoDB read and write operations").
    """
    return max(1, -(-size // WRITE_BLOCK)) * (2.0 if transaction else 1.0)


# ---------------------------------------------------------------------------------------------------------------------
# Reads.


def transact_get_units(items: Iterable[Item | None]) -> float:
    """The read units of TransactGetItems: two reads of each item, one to prepare and one to commit.

    The rule is from "Amazon DynamoDB Transactions: How it works", capacity management.
    """
    return sum(read_units(item_size(item or {}), transaction=True) for item in items)


# ---------------------------------------------------------------------------------------------------------------------
# Writes.


def put_units(old: Item | None, new: Item, indexes: Sequence[Index] = (), *, transaction: bool = False) -> Units:
    """The write units of a PutItem that replaces ``old`` by ``new``, with those of each index.

    The larger of the two items counts ("DynamoDB read and write operations").
    """
    return _change_units((old, new), indexes, transaction=transaction)


def delete_units(old: Item | None, indexes: Sequence[Index] = (), *, transaction: bool = False) -> Units:
    """The write units of a DeleteItem, with those of each index.

    The size of the deleted item counts ("DynamoDB read and write operations"). Deleting an item that does not exist
    costs one unit ("BatchWriteItem").
    """
    return _change_units((old, None), indexes, transaction=transaction)


def index_entry(item: Item | None, index: Index) -> Item | None:
    """The entry of ``item`` in ``index``; None if the item lacks a key of the index.

    Such an item is not in the index ("Using Global Secondary Indexes in DynamoDB", data synchronization).
    """
    keys = [key for key in (index.partition_key, index.sort_key) if key is not None]
    if item is None or any(key not in item for key in keys):
        return None
    if index.projection == "ALL":
        return item
    projected = {*index.table_keys, *keys, *(index.included if index.projection == "INCLUDE" else ())}
    return {name: value for name, value in item.items() if name in projected}


def index_write_units(old: Item | None, new: Item | None, index: Index, *, transaction: bool = False) -> float:
    """The write units that ``index`` uses when ``old`` becomes ``new``; 0 if its entry does not change.

    By "Write capacity units" in "Using Global Secondary Indexes in DynamoDB", a new or a deleted entry is one write. A
    changed key of the entry is two: the old entry is deleted, and a new one is put. Another change is one. The size of
    the entry counts; for a change in place, the larger of both sizes.
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


def _change_units(change: Change, indexes: Sequence[Index], *, transaction: bool) -> Units:
    old, new = change
    of_indexes = {index.name: index_write_units(old, new, index, transaction=transaction) for index in indexes}
    return Units(
        write_units(max(item_size(old or {}), item_size(new or {})), transaction=transaction),
        {name: units for name, units in of_indexes.items() if units},
    )


# ---------------------------------------------------------------------------------------------------------------------
# Values.


def canonical(item: Item) -> dict[str, Any]:
    """A form of an item for comparison. Two items have equal forms if DynamoDB treats them as equal: numbers are
    compared by value, and sets without order."""
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
    """The bytes of one value without its name. AWS's page has no rule for sets; this one is that of DynamoDB Local."""
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
    """The bytes of a number: 1, plus 1 for each pair of significant digits, plus 1 for a minus sign.

    "DynamoDB item sizes and formats" calls its rule approximate. Two parts of this rule come from DynamoDB Local: the
    sign, and that pairs start at the decimal point. So 1.5 and 120 have two pairs, and 15 has one.
    """
    digits, lowest = significant(number)
    if not digits:
        return 1
    pairs = -(-(lowest + digits) // 2) - lowest // 2
    return 1 + pairs + number.startswith("-")


def significant(number: str) -> tuple[int, int]:
    """The number of a number's significant digits, and the power of ten of the last one. Zero has no digits."""
    mantissa, _, exponent = number.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("+-").partition(".")
    digits = (whole + fraction).lstrip("0")
    stripped = digits.rstrip("0")
    return len(stripped), int(exponent or 0) - len(fraction) + len(digits) - len(stripped)

"""DynamoDB's rules of size and capacity: what an item weighs in bytes, and what reading or writing it costs in units.

Each rule names the AWS page that it is from, by its title in the Amazon DynamoDB Developer Guide or the API reference.
Items are in DynamoDB JSON, binary values as ``bytes``; an item that does not exist is None. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..schema import Index

Item = Mapping[str, Mapping[str, Any]]

ITEM_LIMIT = 400 * 1024
"""The most bytes one item may have, names and values together ("Constraints in Amazon DynamoDB")."""

PAGE_LIMIT = 1024 * 1024
"""The most bytes one page of Query or Scan reads, before any filter ("Querying tables in DynamoDB")."""

READ_BLOCK = 4 * 1024
WRITE_BLOCK = 1024


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
    size = 0
    for name, value in item.items():
        text = value.get("S")
        # Nearly all values are texts, and a large table has millions of them.
        size += _text_size(text) if type(text) is str and len(value) == 1 else _value_size(value)
        size += _text_size(name)
    return size


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


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


def transact_get_units(items: Iterable[Item | None]) -> float:
    """Read units of TransactGetItems: two reads of each item, one to prepare and one to commit ("Amazon DynamoDB
    Transactions: How it works", capacity management)."""
    return sum(read_units(item_size(item or {}), transaction=True) for item in items)


# ---------------------------------------------------------------------------------------------------------------------
# Writes.


def put_units(old: Item | None, new: Item, indexes: Sequence[Index] = (), *, transaction: bool = False) -> Units:
    """Write units of PutItem of ``new`` in the place of ``old``: the larger of the two counts ("DynamoDB read and write
    operations"), and what each index takes (``index_write_units``)."""
    return _change_units((old, new), indexes, transaction=transaction)


def delete_units(old: Item | None, indexes: Sequence[Index] = (), *, transaction: bool = False) -> Units:
    """Write units of DeleteItem: the size of what is deleted, at least 1 ("DynamoDB read and write operations"), also
    where nothing was ("BatchWriteItem": deleting a nonexistent item costs one unit)."""
    return _change_units((old, None), indexes, transaction=transaction)


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

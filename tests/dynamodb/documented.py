"""Rules of DynamoDB's capacity from its documentation that no command needs, to compare engines with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cruddur_cli.dynamodb.capacity.rules import (
    Change,
    Item,
    Units,
    delete_units,
    index_entry,
    item_size,
    put_units,
    read_units,
    write_units,
)
from cruddur_cli.dynamodb.schema import Index


def _change_units(change: Change, indexes: Sequence[Index], *, transaction: bool = False) -> Units:
    old, new = change
    if new is None:
        return delete_units(old, indexes, transaction=transaction)
    return put_units(old, new, indexes, transaction=transaction)


def get_units(item: Item | None, *, consistent: bool = False) -> float:
    """Read units of GetItem: the whole item counts, whatever is projected ("DynamoDB read and write operations")."""
    return read_units(item_size(item or {}), consistent=consistent)


def add_units(parts: Iterable[Units]) -> Units:
    """The sum of the units, with one sum for each index."""
    table, indexes = 0.0, dict[str, float]()
    for part in parts:
        table += part.table
        for name, units in part.indexes.items():
            indexes[name] = indexes.get(name, 0.0) + units
    return Units(table, indexes)


def batch_get_units(items: Iterable[Item | None], *, consistent: bool = False) -> float:
    """Read units of BatchGetItem: each item is rounded by itself, and a key without an item costs the least
    ("DynamoDB read and write operations"; "BatchGetItem")."""
    return sum(get_units(item, consistent=consistent) for item in items)


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


def update_units(old: Item | None, new: Item, indexes: Sequence[Index] = (), *, transaction: bool = False) -> Units:
    """Write units of UpdateItem that leaves ``new``: the larger of the item before and after, in full even if one
    attribute changes or none ("DynamoDB read and write operations")."""
    return put_units(old, new, indexes, transaction=transaction)


def batch_write_units(changes: Iterable[Change], indexes: Sequence[Index] = ()) -> Units:
    """Write units of BatchWriteItem: those of its puts and deletes, each rounded by itself ("DynamoDB read and write
    operations")."""
    return add_units(_change_units(change, indexes) for change in changes)


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

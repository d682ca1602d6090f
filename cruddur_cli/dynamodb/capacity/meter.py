"""Add up the consumed capacity of a command's requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from ..schema import Index
from .rules import Item, delete_units, item_size, put_units, read_units, transact_get_units

_READS = frozenset({"GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan"})
_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})


@dataclass(frozen=True)
class Consumed:
    """The capacity units that a whole command used; ``-o json`` prints it as ``consumed_capacity``.

    Read and write units include those of indexes, which ``indexes`` lists by name. ``requests`` counts the answers to
    data requests: each page, segment and repeated batch is one. ``source`` is ``reported`` (by the engine) or
    ``computed`` (from the items).
    """

    table: str
    read_units: float
    write_units: float
    requests: int
    indexes: dict[str, float]
    source: str


@dataclass(frozen=True)
class Operation:
    """The capacity units that all requests of one operation used.

    ``operation`` is DynamoDB's name. ``items`` counts the items that were read, before any filter, or written; it does
    not count unprocessed ones.
    """

    operation: str
    requests: int
    items: int
    read_units: float
    write_units: float
    indexes: dict[str, float]


class Meter:
    """Adds up the consumed capacity of one command on one table. Threads may share a meter.

    ``computed`` means that the engine's read units are placeholders, and are computed from the items of each answer
    instead. It may be set until the first answer is added. Write units are always those of the engine.

    ``planned`` is the number of write units that a dry run would use.
    """

    def __init__(self, table: str, *, computed: bool) -> None:
        self._table = table
        self.computed = computed
        self.planned = 0.0
        self._operations: dict[str, Operation] = {}
        self._lock = Lock()

    def add(self, operation: str, request: Mapping[str, Any], response: Mapping[str, Any]) -> float:
        """Count one successful answer, and return its read and write units together.

        The request must have ``ReturnConsumedCapacity="INDEXES"``; all arguments have botocore's form. An operation
        that uses no capacity (``DescribeTable``, ``CreateTable``, …) or another table is not counted. An answer without
        ``ConsumedCapacity`` counts as a request with 0 units.

        Raises ValueError if ``computed`` is set and the answer does not contain whole items: DynamoDB charges for whole
        items even if it returns a count, a projection or filtered items.
        """
        if operation not in _READS | _WRITES or self._table not in _tables(request):
            return 0.0
        items = _items(operation, request, response, self._table)
        reads, writes, indexes = _reported_units(operation, response, self._table)
        if self.computed and operation in _READS:
            reads = _computed_read_units(operation, request, response, self._table)
            # Only Query and Scan can name an index. Such a read uses no capacity of the table itself.
            indexes = {request["IndexName"]: reads} if "IndexName" in request else {}
        with self._lock:
            so_far = self._operations.get(operation, Operation(operation, 0, 0, 0.0, 0.0, {}))
            self._operations[operation] = Operation(
                operation,
                so_far.requests + 1,
                so_far.items + items,
                _sum(so_far.read_units, reads),
                _sum(so_far.write_units, writes),
                _sum_by_index(so_far.indexes, indexes),
            )
        return _sum(reads, writes)

    def plan(self, units: float) -> None:
        """Add write units that a dry run would use."""
        with self._lock:
            self.planned += units

    def operations(self) -> list[Operation]:
        """One record for each operation, in the order of their first requests."""
        with self._lock:
            return list(self._operations.values())

    def total(self) -> Consumed:
        """The units of all requests so far; zeros before the first request."""
        operations = self.operations()
        return Consumed(
            table=self._table,
            read_units=_sum(*(each.read_units for each in operations)),
            write_units=_sum(*(each.write_units for each in operations)),
            requests=sum(each.requests for each in operations),
            indexes=_sum_by_index(*(each.indexes for each in operations)),
            source="computed" if self.computed else "reported",
        )


def least_units(operation: str, request: Mapping[str, Any], table: str, *, indexes: Sequence[Index] = ()) -> float:
    """The least units that a request can use on ``table``, known before it is sent; 0 if it uses no capacity.

    An item that is put counts as new. An item that is read or deleted counts as one block.
    """
    reading = read_units(0, consistent=request.get("ConsistentRead", False))
    match operation:
        case "Query" | "Scan" | "GetItem":
            return reading
        case "BatchGetItem":
            of_table = request["RequestItems"].get(table, {"Keys": ()})
            return len(of_table["Keys"]) * read_units(0, consistent=of_table.get("ConsistentRead", False))
        case "TransactGetItems":
            return read_units(0, transaction=True) * _tables(request).count(table)
        case "PutItem" | "DeleteItem" | "UpdateItem":
            return _least_write(request.get("Item"), indexes)
        case "BatchWriteItem":
            puts = [each.get("PutRequest", {}).get("Item") for each in request["RequestItems"].get(table, ())]
            return sum(_least_write(item, indexes) for item in puts)
        case "TransactWriteItems":
            actions = [details for action in request["TransactItems"] for details in action.values()]
            puts = [details.get("Item") for details in actions if details["TableName"] == table]
            return sum(_least_write(item, indexes, transaction=True) for item in puts)
    return 0.0


def _least_write(item: Item | None, indexes: Sequence[Index], *, transaction: bool = False) -> float:
    if item is None:
        return delete_units(None, transaction=transaction).total
    return put_units(None, item, indexes, transaction=transaction).total


def _items(operation: str, request: Mapping[str, Any], response: Mapping[str, Any], table: str) -> int:
    """The number of items of ``table`` that a request read or wrote."""
    count: int = 1
    match operation:
        case "Query" | "Scan":
            count = response["ScannedCount"]
        case "GetItem":
            count = "Item" in response
        case "BatchGetItem":
            count = len(response["Responses"].get(table, ()))
        case "TransactGetItems":
            count = sum("Item" in each for each in _get_answers(request, response, table))
        case "BatchWriteItem":
            count = len(request["RequestItems"][table]) - len(response.get("UnprocessedItems", {}).get(table, ()))
        case "TransactWriteItems":
            count = _tables(request).count(table)
    return count


def _reported_units(operation: str, response: Mapping[str, Any], table: str) -> tuple[float, float, dict[str, float]]:
    """Read units, write units and units by index, as the engine reports them; zeros if it reports none.

    ``CapacityUnits`` includes the indexes, and is the only figure that every engine reports. In the answer to a write,
    ``ReadCapacityUnits`` means that the client token was repeated, which only reads ("TransactWriteItems").
    """
    consumed = response.get("ConsumedCapacity") or ()
    own = [each for each in ([consumed] if isinstance(consumed, Mapping) else consumed) if each["TableName"] == table]
    units = sum(each["CapacityUnits"] for each in own)
    reads = units if operation in _READS else sum(each.get("ReadCapacityUnits", 0.0) for each in own)
    indexes = [each.get(kind, {}) for each in own for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")]
    return reads, units - reads, _sum_by_index(*({n: i["CapacityUnits"] for n, i in each.items()} for each in indexes))


def _computed_read_units(operation: str, request: Mapping[str, Any], response: Mapping[str, Any], table: str) -> float:
    """Read units by the rules of "DynamoDB read and write operations".

    A page of Query or Scan is rounded up once. Each item of GetItem or BatchGetItem is rounded up on its own, and a key
    without an item costs the minimum ("BatchGetItem").
    """
    options, counted = request, True
    if operation == "TransactGetItems":
        return transact_get_units(each.get("Item") for each in _get_answers(request, response, table))
    if operation == "BatchGetItem":
        options = request["RequestItems"][table]
        sizes = [item_size(item) for item in response["Responses"].get(table, ())]
        unread = response.get("UnprocessedKeys", {}).get(table, {"Keys": ()})
        sizes += [0] * (len(options["Keys"]) - len(unread["Keys"]) - len(sizes))
    elif operation == "GetItem":
        sizes = [item_size(response.get("Item", {}))]
    else:
        sizes = [sum(item_size(item) for item in response.get("Items", ()))]
        counted = len(response.get("Items", ())) == response["ScannedCount"]
    if not counted or "ProjectionExpression" in options:
        raise ValueError(f"the read units of a {operation} that does not return whole items cannot be computed")
    return sum(read_units(size, consistent=options.get("ConsistentRead", False)) for size in sizes)


def _get_answers(request: Mapping[str, Any], response: Mapping[str, Any], table: str) -> list[Mapping[str, Any]]:
    """The answers of TransactGetItems to the gets of ``table``. Answers have the order of the request."""
    answers, actions = response["Responses"], request["TransactItems"]
    return [answers[place] for place, action in enumerate(actions) if action["Get"]["TableName"] == table]


def _tables(request: Mapping[str, Any]) -> list[str]:
    """The table of each action of a transaction, each table of a batch, or the table of any other request."""
    actions = [details for action in request.get("TransactItems", ()) for details in action.values()]
    return [each["TableName"] for each in actions] or list(request.get("RequestItems", ())) or [request["TableName"]]


def _sum(*units: float) -> float:
    """The sum, rounded to one decimal: units come in halves, so this removes only rounding errors of floats."""
    return round(float(sum(units)), 1)


def _sum_by_index(*parts: Mapping[str, float]) -> dict[str, float]:
    return {name: _sum(*(part.get(name, 0.0) for part in parts)) for part in parts for name in part}

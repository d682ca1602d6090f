"""Opens the message store and is the only way to it: every request is counted, retried and its errors are ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .. import sdk
from ..errors import CruddurError, NotFound
from . import wire
from .budget import Budget
from .metering import Meter

_METERED = {
    "query": "Query",
    "scan": "Scan",
    "get_item": "GetItem",
    "batch_get_item": "BatchGetItem",
    "transact_get_items": "TransactGetItems",
    "put_item": "PutItem",
    "delete_item": "DeleteItem",
    "batch_write_item": "BatchWriteItem",
    "update_item": "UpdateItem",
    "transact_write_items": "TransactWriteItems",
}
_CHARGED = {"ConditionalCheckFailedException", "TransactionCanceledException"}


@dataclass
class DynamoDB:
    """An opened DynamoDB and the one table a command works on."""

    client: Any
    table: str
    at: sdk.Endpoint
    meter: Meter
    patience_s: float = 25.0
    budget: Budget | None = None
    _known: bool = field(default=False, repr=False)

    def call(self, operation: str, *, patience: sdk.Patience | None = None, **params: Any) -> Any:
        """The answer to one request; ``operation`` in snake case. Raises our errors.

        A request that consumes capacity asks for the figure, and the figure is added to ``meter``. With a ``budget``
        it waits its turn, may come back with a smaller page, and raises Incomplete before the limit would be passed.
        """
        name = _METERED.get(operation)
        if name is None:
            return self._ask(operation, params, patience)
        params["ReturnConsumedCapacity"] = "INDEXES"
        if self.budget is None:
            answer = self._ask(operation, params, patience)
            self._count(name, params, answer)
            return answer
        held = self.budget.admit(name, params, table=self.table)
        params = {**(held.request or params)}
        units, answer = 0.0, None
        try:
            answer = self._ask(operation, params, patience)
            units = self._count(name, params, answer)
        except CruddurError as error:
            # A condition that was false costs what the write would have ("Working with items and attributes").
            if error.fields.get("aws_code") in _CHARGED:
                units = held.expected
            raise
        finally:
            self.budget.after(units, held, answer=answer)
        return answer

    def _ask(self, operation: str, params: Mapping[str, Any], patience: sdk.Patience | None) -> Any:
        try:
            return sdk.call(self.client, operation, params, at=self.at, patience=patience or self.patience())
        except NotFound as error:
            raise self._missing(error) from error.__cause__

    def _count(self, name: str, params: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
        """Add one answer to the meter; its capacity units come back."""
        if not self._known:
            headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            self.meter.computed = self.meter.computed or _makes_figures_up(headers)
            self._known = True
        return self.meter.add(name, params, answer)

    def halt(self) -> None:
        """Have no request of a command that is over wait for its rate, which may take minutes: it is not made."""
        if self.budget is not None:
            self.budget.stop()

    def patience(self) -> sdk.Patience:
        """A fresh allowance of tries, shared by the requests that belong together."""
        return sdk.Patience(self.at, self.patience_s)

    def _missing(self, error: CruddurError) -> CruddurError:
        return NotFound(
            f"There is no table {self.table!r} on {self.at.label}.",
            hint=f"cruddur ddb schema-load --table {self.table}" + ("" if self.at.local else " --prod"),
            code="table_not_found",
            fields=error.fields,
        )


@contextmanager
def opened(
    at: sdk.Endpoint, table: str, *, computed: bool = False, trace: Callable[[str], None] | None = None
) -> Iterator[DynamoDB]:
    """The message store at ``at``; closed at the end. Raises NotConfigured, later CannotConnect, NotFound, Refused."""
    with sdk.opened(at, trace=trace) as client:
        wire.shorten(client)
        yield DynamoDB(client=client, table=table, at=at, meter=Meter(table, computed=computed))


def _makes_figures_up(headers: Mapping[str, str]) -> bool:
    """Whether an answer comes from ministack or moto, whose read capacity is a placeholder.

    ministack gives every service S3's ``x-amz-id-2``, which neither DynamoDB nor DynamoDB Local sends.
    """
    return "x-amz-id-2" in headers or headers.get("server", "").lower().startswith("werkzeug")

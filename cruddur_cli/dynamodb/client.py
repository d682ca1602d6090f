"""Opens the message store and is the only way to it: every request is counted and retried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..aws_client import client as aws_client
from ..errors import CruddurError, NotConfigured, NotFound
from .capacity.limiter import RateLimiter
from .capacity.meter import Meter

if TYPE_CHECKING:
    import boto3

TABLE = "cruddur-messages"
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
    at: aws_client.Endpoint
    meter: Meter
    busy_s: float = aws_client.TIMEOUTS.busy
    limiter: RateLimiter | None = None
    tags: dict[str, list[dict[str, str]]] = field(default_factory=dict, repr=False)
    """The tags of a table by its ARN, as they were read, so that one command asks for them once."""
    _known: bool = field(default=False, repr=False)

    def call(self, operation: str, *, backoff: aws_client.Backoff | None = None, **params: Any) -> Any:
        """The answer to one request; ``operation`` in snake case. Raises our errors.

        A request that consumes capacity asks for the figure, and the figure is added to ``meter``. With a ``limiter``
        it waits its turn, may come back with a smaller page, and raises Incomplete before the limit would be passed.
        """
        name = _METERED.get(operation)
        if name is None:
            return self._ask(operation, params, backoff)
        params["ReturnConsumedCapacity"] = "INDEXES"
        if self.limiter is None:
            answer = self._ask(operation, params, backoff)
            self._count(name, params, answer)
            return answer
        held = self.limiter.acquire(name, params, table=self.table)
        params = {**(held.request or params)}
        units, answer = 0.0, None
        try:
            answer = self._ask(operation, params, backoff)
            units = self._count(name, params, answer)
        except CruddurError as error:
            # A condition that was false costs what the write would have ("Working with items and attributes").
            if error.fields.get("aws_code") in _CHARGED:
                units = held.expected
            raise
        finally:
            self.limiter.settle(units, held, answer=answer)
        return answer

    def _ask(self, operation: str, params: Mapping[str, Any], backoff: aws_client.Backoff | None) -> Any:
        try:
            return aws_client.call(self.client, operation, params, at=self.at, backoff=backoff or self.backoff())
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
        if self.limiter is not None:
            self.limiter.stop()

    def backoff(self) -> aws_client.Backoff:
        """The pauses between tries, for requests that belong together: while one gets on, none of them gives up."""
        return aws_client.Backoff(busy_s=self.busy_s, unreachable_s=self.at.unreachable_s)

    def _missing(self, error: CruddurError) -> CruddurError:
        return NotFound(
            f"There is no table {self.table!r} on {self.at.label}.",
            hint=f"cruddur ddb schema-load --table {self.table}" + ("" if self.at.local else " --prod"),
            code="table_not_found",
            fields=error.fields,
        )


@contextmanager
def opened(
    at: aws_client.Endpoint | None = None,
    table: str = TABLE,
    *,
    client: Any = None,
    session: boto3.Session | None = None,
    computed: bool = False,
    trace: Callable[[str], None] | None = None,
) -> Iterator[DynamoDB]:
    """The message store at ``at``; or that of a DynamoDB ``client`` of boto3, or of a ``session``.

    What is opened here is closed at the end; a client that was given stays open. Raises NotConfigured, later
    CannotConnect, NotFound, Refused.
    """
    if at is not None:
        with aws_client.opened(at, trace=trace) as made:
            yield DynamoDB(client=made, table=table, at=at, meter=Meter(table, computed=computed))
        return
    if client is None and session is None:
        raise NotConfigured("A message store needs an endpoint, or a client or a session of boto3.")
    given = client if client is not None else session.client("dynamodb")  # type: ignore[union-attr]
    try:
        with aws_client.lent(given) as found:
            yield DynamoDB(client=given, table=table, at=found, meter=Meter(table, computed=computed))
    finally:
        if client is None:
            given.close()


def _makes_figures_up(headers: Mapping[str, str]) -> bool:
    """Whether an answer comes from ministack or moto, whose read capacity is a placeholder.

    ministack gives every service S3's ``x-amz-id-2``, which neither DynamoDB nor DynamoDB Local sends.
    """
    return "x-amz-id-2" in headers or headers.get("server", "").lower().startswith("werkzeug")

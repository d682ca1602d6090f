"""Open the message store. Every request to it goes through here: it is counted, retried and kept within limits."""

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
    """An opened DynamoDB, and the one table that a command works on.

    ``busy_s`` is how many seconds a request is retried while DynamoDB refuses it as too busy.
    """

    client: Any
    table: str
    at: aws_client.Endpoint
    meter: Meter
    busy_s: float = aws_client.TIMEOUTS.busy
    limiter: RateLimiter | None = None
    tags: dict[str, list[dict[str, str]]] = field(default_factory=dict, repr=False)
    """The tags of each table by its ARN. They are kept so that a command reads them once."""
    _engine_checked: bool = field(default=False, repr=False)

    def call(self, operation: str, *, backoff: aws_client.Backoff | None = None, **params: Any) -> Any:
        """The answer to one request; ``operation`` is in snake case.

        The consumed capacity of the request is added to ``meter``. With a ``limiter``, the request waits for the rate,
        may return a smaller page, and is not sent if it could exceed the limit: then Incomplete is raised. Raises
        NotFound if there is no table, NotConfigured, CannotConnect or Refused.
        """
        name = _METERED.get(operation)
        if name is None:
            return self._send(operation, params, backoff)
        params["ReturnConsumedCapacity"] = "INDEXES"
        if self.limiter is None:
            answer = self._send(operation, params, backoff)
            self._meter(name, params, answer)
            return answer
        reservation = self.limiter.acquire(name, params, table=self.table)
        params = {**(reservation.request or params)}
        units, answer = 0.0, None
        try:
            answer = self._send(operation, params, backoff)
            units = self._meter(name, params, answer)
        except CruddurError as error:
            # A write with a false condition costs as much as the write ("Working with items and attributes").
            if error.fields.get("aws_code") in _CHARGED:
                units = reservation.expected
            raise
        finally:
            self.limiter.settle(units, reservation, answer=answer)
        return answer

    def _send(self, operation: str, params: Mapping[str, Any], backoff: aws_client.Backoff | None) -> Any:
        try:
            return aws_client.call(self.client, operation, params, at=self.at, backoff=backoff or self.backoff())
        except NotFound as error:
            raise self._table_not_found(error) from error.__cause__

    def _meter(self, name: str, params: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
        """Add one answer to the meter, and return its capacity units."""
        if not self._engine_checked:
            headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            self.meter.computed = self.meter.computed or _has_placeholder_units(headers)
            self._engine_checked = True
        return self.meter.add(name, params, answer)

    def halt(self) -> None:
        """Stop the requests that wait for the rate limit, because the command has ended. They are not sent."""
        if self.limiter is not None:
            self.limiter.stop()

    def backoff(self) -> aws_client.Backoff:
        """New pauses between retries. Requests that share them do not give up while one of them makes progress."""
        return aws_client.Backoff(busy_s=self.busy_s, unreachable_s=self.at.unreachable_s)

    def _table_not_found(self, error: CruddurError) -> CruddurError:
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
    """The message store at the endpoint ``at``, or that of boto3's DynamoDB ``client`` or ``session``.

    A client that is created here is closed at the end; the given ``client`` stays open. ``computed`` says that the
    engine's read units are placeholders. ``trace`` gets the lines that explain each request. Raises NotConfigured; the
    requests raise CannotConnect, NotFound and Refused.
    """
    if at is not None:
        with aws_client.opened(at, trace=trace) as opened_client:
            yield DynamoDB(client=opened_client, table=table, at=at, meter=Meter(table, computed=computed))
        return
    if client is None and session is None:
        raise NotConfigured("A message store needs an endpoint, or a client or a session of boto3.")
    boto3_client = client if client is not None else session.client("dynamodb")  # type: ignore[union-attr]
    try:
        with aws_client.lent(boto3_client) as endpoint:
            yield DynamoDB(client=boto3_client, table=table, at=endpoint, meter=Meter(table, computed=computed))
    finally:
        if client is None:
            boto3_client.close()


def _has_placeholder_units(headers: Mapping[str, str]) -> bool:
    """Whether an answer comes from ministack or moto, whose read units are placeholders.

    ministack adds S3's header ``x-amz-id-2`` to every service. DynamoDB and DynamoDB Local do not send it.
    """
    return "x-amz-id-2" in headers or headers.get("server", "").lower().startswith("werkzeug")

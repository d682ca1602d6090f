"""The handler of the stream function: ``cruddur_cli.stream_lambda.handler.handler``.

``cruddur ddb stream package`` writes the archive to upload. docs/lambda.md has the function's policy and event source.
The function needs only the libraries of Lambda's Python runtime.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import Any

from ..aws_client import client as aws_client
from ..dynamodb.capacity.meter import Meter
from ..dynamodb.client import DynamoDB
from ..dynamodb.streams import processor

_logger = logging.getLogger("cruddur")
_logger.setLevel(logging.INFO)
_opened: dict[tuple[str, str | None], DynamoDB] = {}
# The seconds of the function's time that are reserved for its answer.
_RESERVE_S = 2.0


def handler(event: Any, context: Any) -> dict[str, list[dict[str, str]]]:
    """Apply the records of one batch; report the first record that was not applied, if any.

    Lambda continues from the lowest reported sequence number ("Configuring partial batch response with DynamoDB and
    Lambda"). If the record has no sequence number, the reported one is empty, and Lambda repeats the whole batch. An
    event without records raises KeyError, and Lambda repeats the batch too.
    """
    batch = event["Records"]
    dynamodb = _open()
    left_s = _left_s(context)
    dynamodb.busy_s = min(aws_client.TIMEOUTS.busy_lambda, left_s / 2)
    before = dynamodb.meter.total().write_units
    result = processor.apply(dynamodb, batch, deadline=time.monotonic() + left_s - dynamodb.busy_s)
    for reason in result.unmovable:
        _logger.warning("%s", reason)
    _logger.info(
        "%s",
        json.dumps(
            {
                "records": result.records,
                "messages": result.messages,
                "ignored": result.ignored,
                "conversations": result.conversations,
                "moved": result.moved,
                "unchanged": result.unchanged,
                "repaired": result.repaired,
                "write_units": dynamodb.meter.total().write_units - before,
            }
        ),
    )
    if result.failure is None:
        return {"batchItemFailures": []}
    _logger.error("record %s was not applied: %s", result.failure.sequence_number, result.failure.reason)
    return {"batchItemFailures": [{"itemIdentifier": result.failure.sequence_number}]}


def _left_s(context: Any) -> float:
    """The seconds that this invocation has left for its work, at least 0.5."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return float(max(0.5, (remaining() / 1000 if remaining else 30.0) - _RESERVE_S))


def _open() -> DynamoDB:
    """The opened store of the table, which is kept for the next invocations.

    The name of the table must be set, because a default could be a wrong table in AWS. ``AWS_ENDPOINT_URL_DYNAMODB``
    names another engine, to try the function there. On AWS, the credentials and the region are those of the function.
    """
    table = os.environ["DDB_MESSAGE_TABLE"]
    url = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ.get("AWS_ENDPOINT_URL") or None
    if (table, url) not in _opened:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        at = aws_client.Endpoint("dynamodb", url, region)
        _opened[table, url] = DynamoDB(aws_client.open_client(at), table, at, Meter(table, computed=False))
    return _opened[table, url]


def opened() -> list[DynamoDB]:
    """The stores that are kept for the next invocations."""
    return list(_opened.values())


def forget() -> None:
    """Close and forget these stores."""
    for dynamodb in _opened.values():
        dynamodb.client.close()
    _opened.clear()

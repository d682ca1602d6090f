"""The stream processor as a Lambda function: ``cruddur_cli.stream_lambda.handler.handler``.

``cruddur ddb stream package`` makes the archive one uploads; docs/lambda.md has its policy and its event source. It
needs what the Lambda Python runtime brings, and nothing else.
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
# What is kept of a function's time for its answer.
_RESERVE_S = 2.0


def handler(event: Any, context: Any) -> dict[str, list[dict[str, str]]]:
    """Apply the records of one batch; returns the first that was not applied, where there is one.

    Lambda continues from the lowest sequence number that is reported ("Configuring partial batch response with DynamoDB
    and Lambda"); an empty one, of a record that has none, makes it repeat the whole batch. An event without records
    raises KeyError, which does the same.
    """
    batch = event["Records"]
    dynamodb = _open()
    left_s = _left_s(context)
    dynamodb.busy_s = min(aws_client.TIMEOUTS.busy_lambda, left_s / 2)
    before = dynamodb.meter.total().write_units
    done = processor.apply(dynamodb, batch, deadline=time.monotonic() + left_s - dynamodb.busy_s)
    for reason in done.unmovable:
        _logger.warning("%s", reason)
    _logger.info(
        "%s",
        json.dumps(
            {
                "records": done.records,
                "messages": done.messages,
                "ignored": done.ignored,
                "conversations": done.conversations,
                "moved": done.moved,
                "unchanged": done.unchanged,
                "repaired": done.repaired,
                "write_units": dynamodb.meter.total().write_units - before,
            }
        ),
    )
    if done.failure is None:
        return {"batchItemFailures": []}
    _logger.error("record %s was not applied: %s", done.failure.sequence_number, done.failure.reason)
    return {"batchItemFailures": [{"itemIdentifier": done.failure.sequence_number}]}


def _left_s(context: Any) -> float:
    """Seconds this invocation has; 3 is Lambda's own default of a function's time-out."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return float(max(0.5, (remaining() / 1000 if remaining else 30.0) - _RESERVE_S))


def _open() -> DynamoDB:
    """The table's store, kept from one invocation to the next. The table's name has to be set: no default reaches AWS.

    ``AWS_ENDPOINT_URL_DYNAMODB`` names an engine to try it on; on AWS the role's credentials and region count.
    """
    table = os.environ["DDB_MESSAGE_TABLE"]
    url = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ.get("AWS_ENDPOINT_URL") or None
    if (table, url) not in _opened:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        at = aws_client.Endpoint("dynamodb", url, region)
        _opened[table, url] = DynamoDB(aws_client.open_client(at), table, at, Meter(table, computed=False))
    return _opened[table, url]


def opened() -> list[DynamoDB]:
    """The stores that are kept."""
    return list(_opened.values())


def forget() -> None:
    """Close what is kept."""
    for dynamodb in _opened.values():
        dynamodb.client.close()
    _opened.clear()

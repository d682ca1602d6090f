"""How many requests DynamoDB throttled, as CloudWatch counts them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ... import times
from ...aws_client import client as aws_client
from ...dynamodb import schema
from ...errors import CruddurError
from ...settings import Settings
from . import connections

_DAY = timedelta(days=1)
_METRICS = ("ReadThrottleEvents", "WriteThrottleEvents")


def in_a_day(s: Settings, at: aws_client.Endpoint) -> tuple[int | None, str]:
    """How many requests to the table and its index were throttled in the last 24 hours; None and the reason if unknown.

    Asks AWS: only for a table that is there. Source: "DynamoDB metrics and dimensions".
    """
    here = aws_client.Endpoint("cloudwatch", None, at.region, read_only=True)
    try:
        with aws_client.opened(here, trace=connections.trace(s)) as client:
            return round(sum(_sums(client, here, s.table))), ""
    except CruddurError as error:
        return None, error.message


def _sums(client: Any, here: aws_client.Endpoint, table: str) -> Iterator[float]:
    of_table = [{"Name": "TableName", "Value": table}]
    of_index = [*of_table, {"Name": "GlobalSecondaryIndexName", "Value": schema.INDEX}]
    end = times.now()
    for metric in _METRICS:
        for dimensions in (of_table, of_index):
            params = {
                "Namespace": "AWS/DynamoDB",
                "MetricName": metric,
                "Dimensions": dimensions,
                "StartTime": end - _DAY,
                "EndTime": end,
                "Period": int(_DAY.total_seconds()),
                "Statistics": ["Sum"],
            }
            answer = aws_client.call(client, "get_metric_statistics", params, at=here)
            yield from (point["Sum"] for point in answer["Datapoints"])

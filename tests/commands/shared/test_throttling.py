"""Throttled requests in CloudWatch, against an account by moto."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

import pytest

from cruddur_cli import times
from cruddur_cli.dynamodb.schema import INDEX
from tests.commands.production import TABLE, Run, client, make_table, production

__all__ = ["production"]


@pytest.fixture
def account(production: Run, database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """An account with a table in which nothing is wrong but the marks."""
    make_table(items=0)
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    assert production("doctor", "--prod", "--fix", "--confirm", TABLE).code == 0
    return production


def _throttle(metric: str, number: int, *, hours: int, **dimensions: str) -> None:
    point = {
        "MetricName": metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in {"TableName": TABLE, **dimensions}.items()],
        "Timestamp": times.now() - timedelta(hours=hours),
        "Value": float(number),
    }
    client("cloudwatch").put_metric_data(Namespace="AWS/DynamoDB", MetricData=[point])


@pytest.mark.parametrize(
    ("metric", "dimensions"),
    [
        ("ReadThrottleEvents", {}),
        ("WriteThrottleEvents", {}),
        ("WriteThrottleEvents", {"GlobalSecondaryIndexName": INDEX}),
    ],
)
def test_requests_that_were_throttled_today_are_a_finding(
    account: Run, metric: str, dimensions: Mapping[str, str]
) -> None:
    _throttle(metric, 7, hours=2, **dimensions)
    ran = account("doctor", "--prod", "-o", "json")
    (found,) = json.loads(ran.out)["items"]
    assert found["check"] == "requests-throttled"
    # moto adds the figure of an index to the table's, CloudWatch does not.
    assert found["evidence"] in {f"{n} requests throttled in the last 24 hours (CloudWatch)" for n in (7, 14)}


def test_requests_that_were_throttled_two_days_ago_are_no_finding(account: Run) -> None:
    _throttle("ReadThrottleEvents", 7, hours=50)
    assert account("doctor", "--prod").code == 0


def test_without_the_permission_the_rest_is_checked_and_that_is_said(
    account: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.cloudwatch.responses import CloudWatchResponse

    def denied(self: object) -> tuple[int, dict[str, str], str]:
        return 403, {}, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"

    monkeypatch.setattr(CloudWatchResponse, "get_metric_statistics", denied)
    ran = account("doctor", "--prod")
    assert ran.code == 0, ran.err
    assert "Not checked: throttled requests" in ran.err

"""The clock and the throttling of a service are observed in the answers of a real engine."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.aws_client.observations import observed
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.errors import Refused


def is_dynamodb_local(dynamodb: DynamoDB) -> bool:
    """Whether it is DynamoDB Local, which sends no Date."""
    return dynamodb.at.url == os.environ.get("TEST_DYNAMODB_LOCAL")


def test_the_clock_of_the_service_is_that_of_this_machine(dynamodb: DynamoDB) -> None:
    with observed(dynamodb.client) as seen:
        assert seen.ahead_s is None
        dynamodb.call("describe_table", TableName=dynamodb.table)
    if is_dynamodb_local(dynamodb):
        assert seen.ahead_s is None
        return
    assert seen.ahead_s is not None
    assert abs(seen.ahead_s) < 60


def test_a_machine_that_is_an_hour_behind_sees_the_service_ahead(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = times.of_this_machine
    monkeypatch.setattr(times, "of_this_machine", lambda: read() - timedelta(hours=1))
    with observed(dynamodb.client) as seen:
        dynamodb.call("describe_table", TableName=dynamodb.table)
    assert seen.ahead_s == (None if is_dynamodb_local(dynamodb) else pytest.approx(3600, abs=60))


def _throttled_once(client: Any) -> None:
    answers = iter([b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down"}'])

    def answer(request: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        body = next(answers, None)
        if body is None:
            return None

        class Raw:
            def stream(self, **_: Any) -> Any:
                yield body

        return AWSResponse(request.url, 400, {"content-type": "application/x-amz-json-1.0"}, Raw())  # type: ignore[arg-type]

    client.meta.events.register("before-send.dynamodb.*", answer)


def test_a_throttled_request_is_counted_although_it_is_repeated(dynamodb: DynamoDB) -> None:
    _throttled_once(dynamodb.client)
    with observed(dynamodb.client) as seen:
        dynamodb.call("describe_table", TableName=dynamodb.table)
    assert seen.throttled == 1


def test_another_error_is_not_throttling_and_counting_ends_with_the_block(dynamodb: DynamoDB) -> None:
    with observed(dynamodb.client) as seen, pytest.raises(Refused):
        dynamodb.call("describe_table", TableName="not-there")
    _throttled_once(dynamodb.client)
    dynamodb.call("describe_table", TableName=dynamodb.table)
    assert seen.throttled == 0

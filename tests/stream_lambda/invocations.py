"""Invoke the function as Lambda does."""

from __future__ import annotations

from typing import Any

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.stream_lambda import handler as lambda_handler
from tests.dynamodb.rows import everything
from tests.dynamodb.shards import group_texts


class Context:
    """The context that Lambda passes to the function."""

    def __init__(self, left_ms: int = 30_000) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._left_ms


def apply(records: list[Any], context: Any = None) -> list[str]:
    """The sequence numbers that the function reports for a batch."""
    answer = lambda_handler.handler({"Records": records}, context or Context())
    assert list(answer) == ["batchItemFailures"]
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def rows(dynamodb: DynamoDB) -> list[tuple[str, str]]:
    return group_texts(everything(dynamodb))

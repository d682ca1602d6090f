"""A fixture with a conversation whose group rows the function moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.stream_lambda import handler as lambda_handler
from tests.dynamodb.rows import write
from tests.dynamodb.shards import both_rows


@pytest.fixture
def conversation(dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDB]:
    """A table with a conversation. Its name is in the variable that the function reads."""
    write(dynamodb, both_rows())
    monkeypatch.setenv("DDB_MESSAGE_TABLE", dynamodb.table)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.at.url or "")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield dynamodb
    lambda_handler.forget()

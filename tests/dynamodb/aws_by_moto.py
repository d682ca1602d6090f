"""A message store on moto, whose answers a test can change, because moto shows only the last state of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from moto import mock_aws

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb.client import DynamoDB, opened
from tests.commands import production

Change = Callable[[dict[str, Any]], None]


@contextmanager
def store(table: str = production.TABLE) -> Iterator[DynamoDB]:
    """The store, with a table of three messages."""
    with mock_aws():
        production.make_table(table)
        at = aws_client.Endpoint("dynamodb", None, production.REGION, "DynamoDB at AWS", own=True)
        with opened(at, table) as found:
            yield found


def answers(dynamodb: DynamoDB, operation: str, *changes: Change) -> list[str]:
    """Change the next answers to an operation, one after the other; the returned list has one entry for each."""
    left, done = list(changes), []

    def change(parsed: dict[str, Any], **_: Any) -> None:
        if left:
            left.pop(0)(parsed)
            done.append(operation)

    dynamodb.client.meta.events.register(f"after-call.dynamodb.{operation}", change)
    return done


def refuses(dynamodb: DynamoDB, operation: str, *codes: str) -> list[str]:
    """Refuse the next requests of an operation with these codes."""
    from botocore.awsrequest import AWSResponse, HTTPHeaders

    left, done = list(codes), []

    def refuse(**_: Any) -> Any:
        if not left:
            return None
        done.append(code := left.pop(0))
        parsed = {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        return AWSResponse("", 400, HTTPHeaders(), None), parsed

    dynamodb.client.meta.events.register(f"before-call.dynamodb.{operation}", refuse)
    return done


def answered(dynamodb: DynamoDB, operation: str, answer: dict[str, Any]) -> None:
    """Answer the next request of an operation that moto does not support."""
    from botocore.awsrequest import AWSResponse, HTTPHeaders

    left = [answer]

    def respond(**_: Any) -> Any:
        if not left:
            return None
        parsed = {**left.pop(), "ResponseMetadata": {"HTTPStatusCode": 200}}
        return AWSResponse("", 200, HTTPHeaders(), None), parsed

    dynamodb.client.meta.events.register(f"before-call.dynamodb.{operation}", respond)


def silent(_: str) -> None:
    pass

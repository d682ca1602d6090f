"""A fixture for commands with --prod: an AWS account simulated by moto in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from cruddur_cli.cli import main as cli
from cruddur_cli.dynamodb.schema import INDEX, INDEX_KEYS, KEY_TYPES, KEYS
from tests.conftest import Ran

REGION, TABLE = "eu-central-1", "cruddur-messages"
Run = Callable[..., Ran]


def client(service: str) -> Any:
    """A boto3 client of the simulated account."""
    config = Config(ignore_configured_endpoint_urls=True, proxies={})  # type: ignore[call-arg]
    return boto3.client(service, region_name=REGION, config=config)  # type: ignore[call-overload]


def make_table(name: str = TABLE, *, items: int = 3) -> Any:
    """Create a table as the application expects it, with messages; returns its client."""
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        KeySchema=KEYS,
        AttributeDefinitions=KEY_TYPES,
        GlobalSecondaryIndexes=[{"IndexName": INDEX, "KeySchema": INDEX_KEYS, "Projection": {"ProjectionType": "ALL"}}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(items):
        key = {"pk": {"S": "MSG#g"}, "sk": {"S": f"2026-11-20T10:00:{number:02}.000000+00:00"}}
        dynamodb.put_item(TableName=name, Item={**key, "message": {"S": f"m{number}"}})
    return dynamodb


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """A function that runs a command against an empty account by moto; the test adds ``--prod``."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HTTP_PROXY")
    monkeypatch.delenv("HTTPS_PROXY")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        code = cli.run(list(arguments))
        return Ran(code, *capfd.readouterr())

    with mock_aws():
        yield run
    for number, handler in before.items():
        signal.signal(number, handler)

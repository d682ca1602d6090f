"""Fixtures that run commands in this process, where a process of their own would only take time."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.cli import main as cli
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.postgres import production_marker
from tests.conftest import Engines, Ran

Here = Callable[..., Ran]


@pytest.fixture
def here(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Here]:
    """A function that runs a command as ``cruddur`` does, in the same environment, with pipes as streams."""
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        code = cli.run(list(arguments))
        return Ran(code, *capfd.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def table(environment: dict[str, str]) -> Iterator[DynamoDB]:
    """The opened message store of the test's commands, with their table."""
    url = environment["AWS_ENDPOINT_URL_DYNAMODB"]
    at = aws_client.Endpoint("dynamodb", url, aws_client.LOCAL_REGION, f"DynamoDB at {url}")
    with opened(at, environment["DDB_MESSAGE_TABLE"]) as store:
        yield store


@pytest.fixture
def empty(table: DynamoDB) -> DynamoDB:
    """The commands' table, empty."""
    tables.create(table, say=lambda _: None)
    return table


@pytest.fixture
def unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host names of compose services do not resolve."""
    ask = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **more: Any) -> Any:
        if host in {"db", "dynamodb-local"}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC, because the application's years are in local time."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def parsed(ran: Ran) -> Any:
    """The JSON that a command printed; the command must have succeeded."""
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


@pytest.fixture
def copied(database: str) -> str:
    """A database with the production mark in both places, like a copy from a dump with -C."""
    with psycopg.connect(database) as conn:
        production_marker.write(conn)
    return database


@pytest.fixture
def cognito(engines: Engines) -> Any:
    """A client of the engine's Cognito."""
    return aws_client.open_client(aws_client.Endpoint("cognito-idp", engines.aws, None, "the engine"))


@pytest.fixture
def pool(cognito: Any, engines: Engines, here: Here, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A user pool for this test only; the commands use it."""
    made = cognito.create_user_pool(PoolName=f"test-{uuid.uuid4().hex[:8]}")["UserPool"]["Id"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", engines.aws)
    monkeypatch.setenv("AWS_COGNITO_USER_POOL_ID", made)
    yield made
    cognito.delete_user_pool(UserPoolId=made)

"""Commands in this very process, where a process of their own would only cost time."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cruddur_cli import cli, sdk
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from tests.conftest import Ran

Here = Callable[..., Ran]


@pytest.fixture
def here(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Here]:
    """Runs a command as ``cruddur`` does, in the same environment, with both streams as pipes."""
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
    """The opened message store of the test's commands, whose table they make."""
    url = environment["AWS_ENDPOINT_URL_DYNAMODB"]
    at = sdk.Endpoint("dynamodb", url, sdk.LOCAL_REGION, f"DynamoDB at {url}")
    with opened(at, environment["DDB_MESSAGE_TABLE"]) as store:
        yield store


@pytest.fixture
def empty(table: DynamoDB) -> DynamoDB:
    """The commands' table, empty."""
    tables.create(table, say=lambda _: None)
    return table


@pytest.fixture
def unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose's names mean nothing outside of its network."""
    ask = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **more: Any) -> Any:
        if host in {"db", "dynamodb-local"}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def parsed(ran: Ran) -> Any:
    """What a command printed with -o json; it has to have succeeded."""
    assert ran.code == 0, ran.err
    return json.loads(ran.out)

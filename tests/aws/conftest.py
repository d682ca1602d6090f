"""Fixtures for the simulated account: one server for all tests, restored for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cruddur_cli.aws.group_rules import EC2
from tests.aws.account import Account, serving
from tests.aws.rules import opened


@pytest.fixture(scope="session")
def server() -> Iterator[Account]:
    with serving() as found:
        yield found


@pytest.fixture
def account(server: Account) -> Account:
    server.empty()
    return server


@pytest.fixture(scope="session")
def shared(server: Account) -> Iterator[EC2]:
    found = opened(server)
    yield found
    found.client.close()


@pytest.fixture
def ec2(account: Account, shared: EC2) -> EC2:
    assert shared.at.url == account.url
    return shared

"""The account that these tests talk to: one server for all of them, filled anew for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.aws.account import Account, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Account]:
    with serving() as found:
        yield found


@pytest.fixture
def account(server: Account) -> Account:
    server.empty()
    return server

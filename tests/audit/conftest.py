"""Fixtures with the simulated account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws
from moto.core.models import MockAWS

from tests import processes
from tests.audit.account import Account, build
from tests.audit.alone import audit


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[MockAWS, Account]]:
    """A simulated account in which every check passes, with moto running."""
    mock = mock_aws()
    mock.start()
    account = build()
    audit(account)  # opens the clients, for all copies
    account.requests.clear()
    mock.stop(remove_data=False)
    yield mock, account
    mock.reset()


@pytest.fixture
def account(built: tuple[MockAWS, Account], monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """A simulated account in which every check passes; changes by a test do not reach other tests."""
    # So many clients look for credentials at so many places otherwise.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    mock, account = built
    mock.start(reset=False)
    yield account
    mock.stop(remove_data=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test with the account in a copy of this process, which is five times as fast as a new account."""
    if "account" not in pyfuncitem.fixturenames:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    if raised := processes.apart(lambda: pyfuncitem.obj(**arguments)):
        pytest.fail(raised, pytrace=False)
    return True

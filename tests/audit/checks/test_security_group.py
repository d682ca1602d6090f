"""The checks of the security group: each is found alone, and tells the command that mends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.audit.account import Account, let_in
from tests.audit.alone import Breaks, each_change, found_alone


def _let_in(network: str, description: str = "", *, days: float = 0) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        moment = account.now - timedelta(days=days)
        let_in(account, network, description.format(f"{moment:%Y-%m-%dT%H:%MZ}"))

    return change


BREAKS: Breaks = {
    "access-open": [_let_in("0.0.0.0/0")],
    "access-wide": [_let_in("203.0.0.0/16")],
    "access-stale": [_let_in("203.0.113.9/32", "cruddur me@laptop {}", days=31)],
    "access-expired": [_let_in("203.0.113.10/32", "cruddur until {}", days=0.1)],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)

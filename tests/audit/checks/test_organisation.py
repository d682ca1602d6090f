"""The checks of the organisation: each is found alone, and tells the command that mends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.audit.account import Account, client
from tests.audit.alone import Breaks, each_change, found_alone


def _detached(name: str) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        organizations = client("organizations")
        root = organizations.list_roots()["Roots"][0]["Id"]
        organizations.detach_policy(PolicyId=account.organisation_policies[name], TargetId=root)

    return change


BREAKS: Breaks = {
    "organisation-deletion": [_detached("keep-tables")],
    "organisation-regions": [_detached("regions")],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)

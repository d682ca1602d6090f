"""The checks of the user pool: each is found alone, and tells the command that mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.audit.account import Account
from tests.audit.alone import Breaks, each_change, found_alone


def _pool(**change: Any) -> Callable[[Account], None]:
    return lambda account: account.say("DescribeUserPool", lambda parsed: parsed["UserPool"].update(change))


def _weak_passwords(account: Account) -> None:
    account.say(
        "DescribeUserPool",
        lambda parsed: parsed["UserPool"]["Policies"]["PasswordPolicy"].update(MinimumLength=6, RequireSymbols=False),
    )


BREAKS: Breaks = {
    "pool-mfa": [_pool(MfaConfiguration="OFF")],
    "pool-passwords": [_weak_passwords],
    "pool-self-registration": [_pool(AutoVerifiedAttributes=[])],
    "pool-deletion-protection": [_pool(DeletionProtection="INACTIVE")],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)

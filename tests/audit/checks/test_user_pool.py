"""The checks of the user pool: each is found alone, and tells the command that mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cruddur_cli.audit.model import PASS
from tests.audit.account import Account
from tests.audit.alone import Breaks, audit, each_change, found_alone


def _pool(**change: Any) -> Callable[[Account], None]:
    return lambda account: account.say("DescribeUserPool", lambda parsed: parsed["UserPool"].update(change))


def _weak_passwords(account: Account) -> None:
    account.say(
        "DescribeUserPool",
        lambda parsed: parsed["UserPool"]["Policies"]["PasswordPolicy"].update(MinimumLength=6, RequireSymbols=False),
    )


def _temporary(days: int) -> Callable[[Account], None]:
    """Temporary passwords that are valid for so many days."""
    return lambda account: account.say(
        "DescribeUserPool",
        lambda parsed: parsed["UserPool"]["Policies"]["PasswordPolicy"].update(TemporaryPasswordValidityDays=days),
    )


BREAKS: Breaks = {
    "pool-mfa": [_pool(MfaConfiguration="OFF")],
    "pool-passwords": [_weak_passwords, _temporary(8)],
    "pool-self-registration": [_pool(AutoVerifiedAttributes=[])],
    "pool-deletion-protection": [_pool(DeletionProtection="INACTIVE")],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


def test_temporary_passwords_may_be_valid_for_seven_days(account: Account) -> None:
    _temporary(7)(account)
    assert audit(account)["pool-passwords"].result == PASS

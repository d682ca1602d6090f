"""The checks of alarms: each is found alone, and tells the command that mends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.audit.account import TABLE, Account, alarm, client
from tests.audit.alone import Breaks, each_change, found_alone


def _no_alarm(metric: str) -> Callable[[Account], None]:
    return lambda _: client("cloudwatch").delete_alarms(AlarmNames=[f"{TABLE}-{metric}"])


BREAKS: Breaks = {
    "alarm-throttling": [_no_alarm("WriteThrottleEvents")],
    "alarm-errors": [_no_alarm("SystemErrors"), lambda _: alarm("SystemErrors", with_action=False)],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)

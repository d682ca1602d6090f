"""The checks of the stream's function: each is found alone, and tells the command that mends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.audit.account import ARN, Account, grant
from tests.audit.alone import Breaks, each_change, found_alone


def _may(action: str, resource: str) -> Callable[[Account], None]:
    return lambda _: grant({"Effect": "Allow", "Action": action, "Resource": resource})


BREAKS: Breaks = {
    "function-role": [_may("dynamodb:*", ARN), _may("s3:GetObject", "*")],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)

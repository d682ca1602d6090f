"""The checks of the stream's function: each fails alone, with a command that fixes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cruddur_cli.audit.checks import stream_function as function
from cruddur_cli.audit.model import FAIL, PASS
from tests.audit.account import ARN, Account, grant
from tests.audit.alone import Breaks, each_change, found_alone
from tests.audit.answers import finding


def _may(action: str, resource: str) -> Callable[[Account], None]:
    return lambda _: grant({"Effect": "Allow", "Action": action, "Resource": resource})


BREAKS: Breaks = {
    "function-role": [_may("dynamodb:*", ARN), _may("s3:GetObject", "*")],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_fails_alone_with_a_command_that_fixes_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


# What is decided from answers that no test makes moto give.


def _found(actions: list[str], *, resource: str = "*", **configuration: Any) -> tuple[str, str]:
    policy = {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": resource}]}
    answers: dict[Any, Any] = {
        function.FUNCTION: {"Role": "arn:aws:iam::123456789012:role/service-role/stream", **configuration},
        function.INLINE_TEXTS: {"PolicyDocument": policy},
        function.MANAGED_TEXTS: [],
    }
    found = finding("function-role", answers)
    return found.result, found.evidence


def test_a_function_in_a_vpc_may_make_its_network_interfaces() -> None:
    action = ["ec2:CreateNetworkInterface"]
    assert _found(action, VpcConfig={"VpcId": "vpc-1"}) == (PASS, "stream: no more than the least policy")
    others: list[dict[str, Any]] = [{}, {"VpcConfig": {}}, {"VpcConfig": {"VpcId": ""}}]
    for elsewhere in others:
        assert _found(action, **elsewhere) == (FAIL, "stream may also: ec2:CreateNetworkInterface on *")


def test_six_actions_are_named_and_the_rest_are_counted() -> None:
    names = [f"s3:A{number}" for number in range(8)]
    shown = ", ".join(f"{name} on *" for name in names[:6])
    assert _found(names[:6]) == (FAIL, f"stream may also: {shown}")
    assert _found(names[:7]) == (FAIL, f"stream may also: {shown}, and 1 more")
    assert _found(names) == (FAIL, f"stream may also: {shown}, and 2 more")


def test_an_encrypted_table_needs_keys_of_the_account() -> None:
    key = "arn:aws:kms:eu-central-1:123456789012:key/1"
    assert _found(["kms:Decrypt"], resource=key)[0] == PASS
    assert _found(["kms:Encrypt"], resource=key)[0] == FAIL

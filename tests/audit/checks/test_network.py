"""The checks of the network: each is found alone, and tells the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cruddur_cli.audit.model import FAIL, PASS
from tests.audit.account import Account, client
from tests.audit.alone import Breaks, audit, each_change, found_alone


def _no_endpoint(account: Account) -> None:
    client("ec2").delete_vpc_endpoints(VpcEndpointIds=[account.endpoint])
    account.say("DescribeVpcEndpoints", _without_deleted)


def _without_deleted(parsed: dict[str, Any]) -> None:
    parsed["VpcEndpoints"] = [one for one in parsed["VpcEndpoints"] if one["State"] != "deleted"]


def _open_endpoint(account: Account) -> None:
    default = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}
    client("ec2").modify_vpc_endpoint(VpcEndpointId=account.endpoint, PolicyDocument=json.dumps(default))


BREAKS: Breaks = {
    "vpc-endpoint": [_no_endpoint],
    "vpc-endpoint-policy": [_open_endpoint],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


@pytest.mark.parametrize(
    ("kind", "routes", "result"),
    [("Gateway", ["rtb-1"], PASS), ("Gateway", [], FAIL), ("Interface", [], PASS)],
)
def test_only_a_gateway_needs_a_route_table(account: Account, kind: str, routes: list[str], result: str) -> None:
    def change(parsed: dict[str, Any]) -> None:
        parsed["VpcEndpoints"][0] |= {"VpcEndpointType": kind, "RouteTableIds": routes}

    account.say("DescribeVpcEndpoints", change)
    assert audit(account)["vpc-endpoint"].result == result

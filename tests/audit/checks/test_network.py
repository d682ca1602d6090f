"""The checks of the network: each fails alone, with a command that fixes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cruddur_cli.audit.checks import database, network
from cruddur_cli.audit.model import FAIL, PASS, UNSEEN
from tests.audit.account import Account, client
from tests.audit.alone import Breaks, audit, each_change, found_alone
from tests.audit.answers import finding, seen


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
def test_each_fails_alone_with_a_command_that_fixes_it(
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


# What is decided from answers that no test makes moto give.


def _endpoint(**fields: Any) -> dict[str, Any]:
    return {
        "VpcEndpointId": "vpce-1",
        "ServiceName": "com.amazonaws.eu-central-1.dynamodb",
        "State": "Available",
        "RouteTableIds": ["rtb-1"],
        **fields,
    }


def _answers(*endpoints: dict[str, Any], vpc: str | None = "vpc-1") -> dict[Any, Any]:
    instance = {"DBInstanceIdentifier": "db", "Engine": "postgres", "DBSubnetGroup": {"VpcId": vpc} if vpc else {}}
    return {database.INSTANCES: {"DBInstances": [instance]}, network.ENDPOINTS: {"VpcEndpoints": list(endpoints)}}


@pytest.mark.parametrize(
    ("fields", "is_usable"),
    [
        ({}, True),
        ({"State": "pending"}, False),
        ({"ServiceName": "com.amazonaws.eu-central-1.s3"}, False),
        ({"ServiceName": "com.amazonaws.eu-central-1.dynamodb-streams"}, False),
        ({"RouteTableIds": []}, False),
        ({"VpcEndpointType": "Interface", "RouteTableIds": []}, True),
        ({"VpcEndpointType": "Interface", "State": "deleting"}, False),
    ],
)
def test_an_endpoint_takes_traffic_that_is_available_and_led_to(fields: dict[str, Any], is_usable: bool) -> None:
    answers = _answers(_endpoint(**fields))
    found = finding("vpc-endpoint", answers)
    assert (found.result == PASS) is is_usable
    kind = fields.get("VpcEndpointType", "Gateway")
    assert found.evidence == (f"vpce-1 ({kind}) in vpc-1" if is_usable else "no usable endpoint for DynamoDB in vpc-1")
    assert is_usable or "--vpc-id vpc-1 " in str(found.remedy)
    assert (finding("vpc-endpoint-policy", answers).result == UNSEEN) is not is_usable


def test_the_vpc_is_the_one_that_is_named_or_the_instance_s() -> None:
    def asked(**scope: Any) -> object:
        (params,) = network.ENDPOINTS.params(seen(_answers(), **scope))
        return params["Filters"]

    assert asked() == [{"Name": "vpc-id", "Values": ["vpc-1"]}]
    assert asked(vpc_id="vpc-2") == [{"Name": "vpc-id", "Values": ["vpc-2"]}]
    outside = finding("vpc-endpoint", _answers(vpc=None))
    assert outside.evidence == "The database instance is in no VPC: name the application's with --vpc."
    assert finding("vpc-endpoint", _answers(), vpc_id="vpc-2").resource.endswith("vpc/vpc-2")
    assert outside.resource.endswith("vpc/*")


def test_only_the_endpoint_with_full_access_is_named() -> None:
    full = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]})
    less = json.dumps(
        {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "dynamodb:Get*", "Resource": "*"}]}
    )
    one, two = _endpoint(PolicyDocument=less), _endpoint(VpcEndpointId="vpce-2", PolicyDocument=full)
    found = finding("vpc-endpoint-policy", _answers(one, two))
    assert (found.result, found.evidence) == (FAIL, "vpce-2: full access for everyone (the default policy)")
    assert finding("vpc-endpoint-policy", _answers(one)).evidence == "vpce-1: limited by a policy"

"""Checks how the application's network reaches DynamoDB."""

from __future__ import annotations

from collections.abc import Iterable

from .. import policies
from ..model import Ask, CannotSee, Params, Scope, Seen, Verdict, document, failed, passed
from .database import INSTANCES, instance
from .registry import check


def vpc(seen: Seen) -> str:
    """The id of the application's VPC: that of the scope, else the database instance's. Raises CannotSee."""
    if seen.scope.vpc_id:
        return seen.scope.vpc_id
    vpc_id = instance(seen).get("DBSubnetGroup", {}).get("VpcId")
    if not vpc_id:
        raise CannotSee("The database instance is in no VPC: name the application's with --vpc.")
    return str(vpc_id)


def _of_vpc(seen: Seen) -> Iterable[Params]:
    return [{"Filters": [{"Name": "vpc-id", "Values": [vpc(seen)]}]}]


ENDPOINTS = Ask(
    "ec2",
    "describe_vpc_endpoints",
    "ec2:DescribeVpcEndpoints",
    _of_vpc,
    needs=(INSTANCES,),
    pages=("VpcEndpoints", "NextToken", "NextToken"),
)


def _resource(scope: Scope) -> str:
    return f"arn:{scope.partition}:ec2:{scope.region}:{scope.account}:vpc/{scope.vpc_id or '*'}"


def _usable(seen: Seen) -> list[dict[str, object]]:
    """DynamoDB's available endpoints; a gateway endpoint needs a route table that leads to it."""
    return [
        one
        for one in seen.listed(ENDPOINTS)
        if one["ServiceName"].endswith(".dynamodb")
        and one.get("State", "").lower() == "available"
        and (one.get("VpcEndpointType") == "Interface" or one.get("RouteTableIds"))
    ]


@check(
    "vpc-endpoint",
    "The application's VPC reaches DynamoDB through an endpoint, not through the internet",
    severity="medium",
    controls=("AWS Config service-vpc-endpoint-enabled",),
    asks=(INSTANCES, ENDPOINTS),
    resource=_resource,
)
def endpoint(seen: Seen) -> Verdict:
    """Control: "Checks if Service Endpoint … is created for each VPC"."""
    endpoints = _usable(seen)
    if endpoints:
        return passed(
            ", ".join(
                f"{one['VpcEndpointId']} ({one.get('VpcEndpointType') or 'Gateway'}) in {vpc(seen)}"
                for one in endpoints
            )
        )
    command = (
        f"ec2 create-vpc-endpoint --vpc-id {vpc(seen)} --service-name com.amazonaws.{seen.scope.region}.dynamodb "
        "--route-table-ids ROUTE_TABLE"
    )
    return failed(f"no usable endpoint for DynamoDB in {vpc(seen)}", remedy=seen.scope.aws(command))


@check(
    "vpc-endpoint-policy",
    "The policy of DynamoDB's VPC endpoint does not give full access",
    severity="low",
    controls=("AWS PrivateLink Guide, Control access to VPC endpoints using endpoint policies",),
    asks=(INSTANCES, ENDPOINTS),
    resource=_resource,
)
def endpoint_policy(seen: Seen) -> Verdict:
    """The default policy gives full access, so data can be written to a table of any account."""
    endpoints = _usable(seen)
    if not endpoints:
        raise CannotSee(f"There is no usable endpoint for DynamoDB in {vpc(seen)}.")
    wide = [str(one["VpcEndpointId"]) for one in endpoints if policies.is_open(document(one.get("PolicyDocument")))]
    if not wide:
        return passed(f"{', '.join(str(one['VpcEndpointId']) for one in endpoints)}: limited by a policy")
    command = f"ec2 modify-vpc-endpoint --vpc-endpoint-id {wide[0]} --policy-document file://endpoint-policy.json"
    return failed(f"{', '.join(wide)}: full access for everyone (the default policy)", remedy=seen.scope.aws(command))

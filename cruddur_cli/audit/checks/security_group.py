"""Checks which addresses PostgreSQL's security groups allow."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from ...aws import group_rules
from ..model import Ask, CannotSee, Params, Scope, Seen, Verdict, either, failed, passed
from .database import INSTANCES, instance
from .registry import check

PORT = 5432
STALE_DAYS = 30
# The shortest prefix of a network that may be one office or one provider's gateway, by version of IP.
_WIDEST = {4: 24, 6: 48}


def _groups(seen: Seen) -> list[str]:
    if seen.scope.security_group_id:
        return [seen.scope.security_group_id]
    groups = [str(one["VpcSecurityGroupId"]) for one in instance(seen).get("VpcSecurityGroups", [])]
    if not groups:
        raise CannotSee("The database instance has no security group in a VPC: name it with --group-id.")
    return groups


def _of_groups(seen: Seen) -> Iterable[Params]:
    return [{"Filters": [{"Name": "group-id", "Values": _groups(seen)}]}]


RULES = Ask(
    "ec2",
    "describe_security_group_rules",
    "ec2:DescribeSecurityGroupRules",
    _of_groups,
    needs=(INSTANCES,),
    pages=("SecurityGroupRules", "NextToken", "NextToken"),
)


def _resource(scope: Scope) -> str:
    group = scope.security_group_id or "*"
    return f"arn:{scope.partition}:ec2:{scope.region}:{scope.account}:security-group/{group}"


def _inbound(seen: Seen) -> list[dict[str, Any]]:
    """The inbound rules that include PostgreSQL's port."""
    return [
        rule
        for rule in seen.listed(RULES)
        if not rule.get("IsEgress")
        and (
            rule.get("IpProtocol") == "-1"
            or (rule.get("IpProtocol") in {"tcp", "6"} and rule.get("FromPort", -1) <= PORT <= rule.get("ToPort", -1))
        )
    ]


def _network(rule: dict[str, Any]) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    text = rule.get("CidrIpv4") or rule.get("CidrIpv6")
    return ipaddress.ip_network(text, strict=False) if text else None


def _source(rule: dict[str, Any]) -> str:
    group = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
    return str(rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId") or group or "unknown")


def _name(rule: dict[str, Any]) -> str:
    note = rule.get("Description")
    return f"{_source(rule)} ({rule['SecurityGroupRuleId']}{f', {note}' if note else ''})"


def _revoke(seen: Seen, rule: dict[str, Any]) -> str:
    return seen.scope.aws(
        f"ec2 revoke-security-group-ingress --group-id {rule['GroupId']} "
        f"--security-group-rule-ids {rule['SecurityGroupRuleId']}"
    )


@check(
    "access-open",
    "PostgreSQL's port is not open to the whole internet",
    severity="critical",
    controls=(
        "Security Hub EC2.19",
        "AWS Config restricted-common-ports",
        "Security Hub EC2.18",
        "AWS Config vpc-sg-open-only-to-authorized-ports",
    ),
    asks=(INSTANCES, RULES),
    resource=_resource,
)
def is_open(seen: Seen) -> Verdict:
    """Control: "Security groups should not allow unrestricted access to ports with high risk"; 5432 is such a port."""
    open_rules = [rule for rule in _inbound(seen) if (network := _network(rule)) is not None and network.prefixlen == 0]
    if not open_rules:
        return passed("no rule for 0.0.0.0/0 or ::/0")
    return failed(f"open to {either([_name(rule) for rule in open_rules])}", remedy=_revoke(seen, open_rules[0]))


@check(
    "access-wide",
    "Each rule for PostgreSQL allows one machine or one small network",
    severity="high",
    controls=("AWS Well-Architected Framework, SEC05-BP02 Control traffic flow within your network layers",),
    asks=(INSTANCES, RULES),
    resource=_resource,
)
def wide(seen: Seen) -> Verdict:
    """Fails for public networks of more than 256 addresses (IPv6: a /48). Another check is about the whole internet."""
    rules = _inbound(seen)
    wide_rules = [
        rule
        for rule in rules
        if (network := _network(rule)) is not None
        and not network.is_private
        and 0 < network.prefixlen < _WIDEST[network.version]
    ]
    if not wide_rules:
        return passed(f"allowed: {either([_name(rule) for rule in rules], none='no address')}")
    return failed(
        f"wide networks are allowed: {either([_name(rule) for rule in wide_rules])}",
        remedy=_revoke(seen, wide_rules[0]),
    )


def _dated(seen: Seen, moment_of: Callable[[str], datetime | None]) -> list[tuple[datetime, dict[str, Any]]]:
    """The rules whose description contains a moment, without those that `cruddur rds revoke` has closed."""
    open_ = [rule for rule in _inbound(seen) if _source(rule) not in group_rules.CLOSED.values()]
    moments = [(moment_of(rule.get("Description") or ""), rule) for rule in open_]
    return [(moment, rule) for moment, rule in moments if moment is not None]


@check(
    "access-stale",
    f"No rule for one machine is older than {STALE_DAYS} days",
    severity="medium",
    controls=("Amazon VPC User Guide, Security group rules",),
    asks=(INSTANCES, RULES),
    resource=_resource,
)
def stale(seen: Seen) -> Verdict:
    """The address of a workspace soon belongs to another person. Only rules that cruddur wrote contain their date."""
    dated = _dated(seen, group_rules.written_at)
    old = [rule for moment, rule in dated if seen.scope.now - moment > timedelta(days=STALE_DAYS)]
    if not old:
        return passed(f"{len(dated)} rule{'s' * (len(dated) != 1)} with a date, none older than {STALE_DAYS} days")
    return failed(f"old rules: {either([_name(rule) for rule in old])}", remedy=_revoke(seen, old[0]))


@check(
    "access-expired",
    "No expired rule is still open",
    severity="medium",
    controls=("Amazon VPC User Guide, Security group rules",),
    asks=(INSTANCES, RULES),
    resource=_resource,
)
def expired(seen: Seen) -> Verdict:
    """Fails for rules of `cruddur rds update-sg-rule --for` whose end, in the description, has passed."""
    dated = _dated(seen, group_rules.ends_at)
    past = [rule for moment, rule in dated if moment <= seen.scope.now]
    if not past:
        return passed(f"{len(dated)} rule{'s' * (len(dated) != 1)} for a limited time, none expired")
    return failed(f"expired: {either([_name(rule) for rule in past])}", remedy="cruddur rds revoke --expired")

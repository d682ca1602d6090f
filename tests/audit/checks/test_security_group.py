"""The checks of the security group: each fails alone, with a command that fixes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cruddur_cli.audit.checks import database, security_group
from cruddur_cli.audit.model import CannotSee
from tests.audit.account import Account, let_in
from tests.audit.alone import Breaks, each_change, found_alone
from tests.audit.answers import NOW, finding, passes, seen


def _let_in(network: str, description: str = "", *, days: float = 0) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        moment = account.now - timedelta(days=days)
        let_in(account, network, description.format(f"{moment:%Y-%m-%dT%H:%MZ}"))

    return change


BREAKS: Breaks = {
    "access-open": [_let_in("0.0.0.0/0")],
    "access-wide": [_let_in("203.0.0.0/16")],
    "access-stale": [_let_in("203.0.113.9/32", "cruddur me@laptop {}", days=31)],
    "access-expired": [_let_in("203.0.113.10/32", "cruddur until {}", days=0.1)],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_fails_alone_with_a_command_that_fixes_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


# What is decided from answers that no test makes moto give.


def _rule(source: str | None = "198.51.100.7/32", **fields: Any) -> dict[str, Any]:
    kind = "CidrIpv6" if source and ":" in source else "CidrIpv4"
    return {
        "SecurityGroupRuleId": "sgr-1",
        "GroupId": "sg-1",
        "IpProtocol": "tcp",
        "FromPort": 5432,
        "ToPort": 5432,
        **({kind: source} if source else {}),
        **fields,
    }


def _answers(*rules: dict[str, Any], groups: tuple[str, ...] = ("sg-1",)) -> dict[Any, Any]:
    listed = [{"VpcSecurityGroupId": name} for name in groups]
    instance = {"DBInstanceIdentifier": "db", "Engine": "postgres", "VpcSecurityGroups": listed}
    return {
        database.INSTANCES: {"DBInstances": [instance]},
        security_group.RULES: {"SecurityGroupRules": list(rules)},
    }


@pytest.mark.parametrize(
    ("fields", "reaches"),
    [
        ({}, True),
        ({"IpProtocol": "6"}, True),
        ({"IpProtocol": "-1", "FromPort": -1, "ToPort": -1}, True),
        ({"IpProtocol": "udp"}, False),
        ({"IsEgress": True}, False),
        ({"IsEgress": False}, True),
        ({"FromPort": 0, "ToPort": 65_535}, True),
        ({"FromPort": 5432, "ToPort": 5500}, True),
        ({"FromPort": 5400, "ToPort": 5432}, True),
        ({"FromPort": 5433, "ToPort": 5500}, False),
        ({"FromPort": 5400, "ToPort": 5431}, False),
        ({"IpProtocol": "-1", "IsEgress": True}, False),
    ],
)
def test_a_rule_allows_access_whose_ports_include_postgresql_s(fields: dict[str, Any], reaches: bool) -> None:
    assert passes("access-open", _answers(_rule("0.0.0.0/0", **fields))) is not reaches
    assert passes("access-open", _answers(_rule("::/0", **fields))) is not reaches


@pytest.mark.parametrize(
    ("source", "is_open", "is_wide"),
    [
        ("0.0.0.0/0", True, False),
        ("0.0.0.0/1", False, True),
        ("203.0.112.0/23", False, True),
        ("8.8.8.0/24", False, False),
        ("203.0.113.9/23", False, True),
        ("10.0.0.0/8", False, False),
        ("::/0", True, False),
        ("2600::/47", False, True),
        ("2600::/48", False, False),
        (None, False, False),
    ],
)
def test_a_network_is_wide_with_more_than_256_public_addresses(
    source: str | None, is_open: bool, is_wide: bool
) -> None:
    assert passes("access-open", _answers(_rule(source))) is not is_open
    assert passes("access-wide", _answers(_rule(source))) is not is_wide


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"CidrIpv4": "198.51.100.7/32"}, "198.51.100.7/32"),
        ({"CidrIpv6": "2600::1/128"}, "2600::1/128"),
        ({"PrefixListId": "pl-1"}, "pl-1"),
        ({"ReferencedGroupInfo": {"GroupId": "sg-2"}}, "sg-2"),
        ({"ReferencedGroupInfo": None}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_who_is_allowed_is_said(fields: dict[str, Any], words: str) -> None:
    assert finding("access-wide", _answers(_rule(None, **fields))).evidence == f"allowed: {words} (sgr-1)"
    noted = _rule(None, **fields, Description="me")
    assert finding("access-wide", _answers(noted)).evidence == f"allowed: {words} (sgr-1, me)"
    assert finding("access-wide", _answers()).evidence == "allowed: no address"


@pytest.mark.parametrize(
    ("days", "source", "evidence"),
    [
        (30, "198.51.100.7/32", "1 rule with a date, none older than 30 days"),
        (31, "198.51.100.7/32", "old rules: 198.51.100.7/32 (sgr-1, cruddur me@laptop 2026-10-20T12:00Z)"),
        (31, "127.0.0.1/32", "0 rules with a date, none older than 30 days"),
    ],
)
def test_a_rule_of_cruddur_is_old_after_thirty_days(days: int, source: str, evidence: str) -> None:
    description = f"cruddur me@laptop {NOW - timedelta(days=days):%Y-%m-%dT%H:%MZ}"
    found = finding("access-stale", _answers(_rule(source, Description=description), _rule()))
    assert found.evidence == evidence
    assert (found.remedy or "") == (
        "aws ec2 revoke-security-group-ingress --group-id sg-1 --security-group-rule-ids sgr-1 --region eu-central-1"
        if evidence.startswith("old")
        else ""
    )


def test_a_rule_ends_at_its_minute_and_a_closed_one_allows_no_access() -> None:
    def found(minutes: int, source: str = "198.51.100.7/32") -> str:
        end = f"{NOW + timedelta(minutes=minutes):%Y-%m-%dT%H:%MZ}"
        description = f"cruddur me@laptop 2026-11-20T10:00Z until {end}"
        return finding("access-expired", _answers(_rule(source, Description=description))).evidence

    assert found(1) == "1 rule for a limited time, none expired"
    assert found(0).startswith("expired: 198.51.100.7/32 (sgr-1, ")
    assert found(-1).startswith("expired: ")
    assert found(-1, "127.0.0.1/32") == "0 rules for a limited time, none expired"
    assert found(-1, "::1/128") == "0 rules for a limited time, none expired"
    assert finding("access-stale", _answers()).evidence == "0 rules with a date, none older than 30 days"


def test_the_groups_are_the_one_that_is_named_or_all_of_the_instance() -> None:
    def asked(answers: dict[Any, Any], **scope: Any) -> object:
        (params,) = security_group.RULES.params(seen(answers, **scope))
        return params["Filters"]

    both = _answers(groups=("sg-1", "sg-2"))
    assert asked(both) == [{"Name": "group-id", "Values": ["sg-1", "sg-2"]}]
    assert asked(both, security_group_id="sg-9") == [{"Name": "group-id", "Values": ["sg-9"]}]
    assert finding("access-open", both, security_group_id="sg-9").resource.endswith("security-group/sg-9")
    assert finding("access-open", both).resource.endswith("security-group/*")
    with pytest.raises(CannotSee, match="no security group in a VPC"):
        asked(_answers(groups=()))

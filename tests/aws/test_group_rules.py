"""The rules of security groups are read, shown as text and listed in errors."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cruddur_cli.aws import group_rules, security_group
from cruddur_cli.aws.group_rules import EC2
from cruddur_cli.errors import NotFound, Refused
from tests.aws.account import GROUP, RULE, Account, Entry, Refusal, other
from tests.aws.rules import denied


def test_a_stale_group_lists_the_rules_of_the_region(account: Account, ec2: EC2) -> None:
    account.fail("DescribeSecurityGroupRules", Refusal("InvalidSecurityGroupRuleId.NotFound"))
    account.fail("DescribeSecurityGroupRules", Refusal("InvalidGroup.NotFound"))
    with pytest.raises(NotFound) as caught:
        security_group.find(ec2, group_id="sg-0ffffffffffffffff", rule_id="sgr-ffffffffffffffff")
    assert RULE in str(caught.value.details)


def test_group_names_that_cannot_be_read_are_left_out(account: Account, ec2: EC2) -> None:
    account.fail("DescribeSecurityGroups", denied())
    with pytest.raises(NotFound) as caught:
        security_group.find(ec2, group_id=GROUP, rule_id="sgr-ffffffffffffffff")
    assert caught.value.details == f"{GROUP}  {RULE}  198.51.100.1/32  GITPOD"


def test_a_long_list_is_cut_for_people_only(account: Account, ec2: EC2) -> None:
    account.page = 7
    account.put(*(other(f"sgr-{number:016x}", ipv4=f"198.51.100.{number}/32") for number in range(2, 62)))
    with pytest.raises(NotFound) as caught:
        security_group.find(ec2, group_id=GROUP, rule_id="sgr-ffffffffffffffff")
    assert str(caught.value.details).splitlines()[-1] == "… and 41 more"
    assert len(caught.value.fields["candidates"]) == 61  # type: ignore[arg-type]


ENTRY: dict[str, Any] = {
    "GroupId": GROUP,
    "SecurityGroupRuleId": RULE,
    "IsEgress": False,
    "IpProtocol": "tcp",
    "FromPort": 5432,
    "ToPort": 5432,
    "CidrIpv4": "198.51.100.1/32",
    "Description": "GITPOD",
}
ENDS = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "inbound tcp 5432 from IPv4 198.51.100.1/32"),
        ({"IsEgress": True}, "outbound tcp 5432 to IPv4 198.51.100.1/32"),
        ({"FromPort": 0, "ToPort": 0}, "inbound tcp 0 from IPv4 198.51.100.1/32"),
        ({"FromPort": 0, "ToPort": 65_535}, "inbound tcp 0-65535 from IPv4 198.51.100.1/32"),
        ({"CidrIpv4": None, "CidrIpv6": "2001:db8::1/128"}, "inbound tcp 5432 from IPv6 2001:db8::1/128"),
        ({"CidrIpv4": None, "PrefixListId": "pl-1"}, "inbound tcp 5432 from prefix list pl-1"),
        ({"CidrIpv4": "", "ReferencedGroupInfo": {"GroupId": "sg-2"}}, "inbound tcp 5432 from security group sg-2"),
        ({"IpProtocol": "-1", "FromPort": -1, "ToPort": -1}, "inbound every protocol from IPv4 198.51.100.1/32"),
    ],
)
def test_a_rule_in_words(fields: dict[str, Any], words: str) -> None:
    assert str(group_rules._rule({**ENTRY, **fields})) == words


def test_missing_members_of_an_answer_give_an_inbound_rule_without_ports() -> None:
    rule = group_rules._rule({"IpProtocol": "50"})
    assert (rule.inbound, rule.kind, rule.source, rule.description) == (True, "unknown", "", "")
    assert str(rule) == "inbound 50 from unknown "


@pytest.mark.parametrize(
    ("fields", "is_postgres"),
    [
        ({}, True),
        ({"IpProtocol": "6"}, True),
        ({"IpProtocol": "udp"}, False),
        ({"IsEgress": True}, False),
        ({"FromPort": 5431}, False),
        ({"ToPort": 5433}, False),
        ({"FromPort": 5433, "ToPort": 5433}, False),
    ],
)
def test_a_rule_for_postgresql_is_inbound_and_only_for_its_port(fields: dict[str, Any], is_postgres: bool) -> None:
    assert group_rules._rule({**ENTRY, **fields}).is_postgres is is_postgres


@pytest.mark.parametrize(
    ("description", "is_marked", "ends"),
    [
        ("GITPOD", True, None),
        ("gitpod of me", True, None),
        ("cruddur me@laptop 2026-11-20T10:00Z", True, None),
        ("mine; cruddur me@laptop 2026-11-20T10:00Z until 2026-11-20T12:00Z", True, ENDS),
        ("until 2026-11-20T12:00Z", False, None),
        ("of Ann", False, None),
        ("", False, None),
    ],
)
def test_a_mark_comes_from_cruddur_or_the_script_and_may_have_an_end(
    description: str, is_marked: bool, ends: datetime | None
) -> None:
    rule = group_rules._rule({**ENTRY, "Description": description})
    assert (rule.is_marked, rule.expires_at) == (is_marked, ends)
    for closed in group_rules.CLOSED.values():
        assert replace(rule, source=closed).expires_at is None


def test_the_times_in_a_description_are_read() -> None:
    text = "cruddur me@laptop 2026-11-20T10:00Z until 2026-11-20T12:00Z"
    assert group_rules.written_at(text) == ENDS - timedelta(hours=2)
    assert group_rules.ends_at(text) == ENDS
    assert group_rules.written_at("cruddur me@laptop 2026-13-20T10:00Z") is None
    assert group_rules.ends_at("of Ann") is None


def test_a_rule_expires_in_the_minute_of_its_end(account: Account, ec2: EC2) -> None:
    ending = "cruddur me@laptop 2026-11-20T10:00Z until 2026-11-20T12:00Z"
    account.put(
        Entry(description=ending),
        other("sgr-0000000000000002", description=ending, from_port=22, to_port=22),
        other("sgr-0000000000000003", ipv4="198.51.100.3/32", description="of Ann"),
    )
    assert [rule.rule_id for rule in group_rules.expired(ec2, ENDS)] == [RULE]
    assert group_rules.expired(ec2, ENDS - timedelta(seconds=1)) == []
    assert group_rules.expired(ec2, ENDS, group_ids=["sg-0bbbbbbbbbbbbbbb2"]) == []


def test_rules_are_read_in_pages_of_1000_and_filtered_by_group(account: Account, ec2: EC2) -> None:
    assert len(group_rules.rules(ec2)) == 1
    assert group_rules.rules(ec2, group_ids=[]) == group_rules.rules(ec2, group_ids=[GROUP])[:0]
    asked = account.sent("DescribeSecurityGroupRules")
    assert {params["MaxResults"] for params in asked} == {"1000"}
    assert [params.get("Filter.1.Name") for params in asked] == [None, "group-id", "group-id"]


def test_a_missing_group_or_rule_is_none_and_other_errors_are_raised(account: Account, ec2: EC2) -> None:
    account.fail("DescribeSecurityGroupRules", Refusal("InvalidGroup.NotFound"))
    assert group_rules.rules(ec2, group_ids=[GROUP]) == []
    assert group_rules.read(ec2, "sgr-00000000000000ff") is None
    found = group_rules.read(ec2, RULE)
    assert found is not None
    assert found.rule_id == RULE
    for read in (lambda: group_rules.rules(ec2), lambda: group_rules.read(ec2, RULE)):
        account.fail("DescribeSecurityGroupRules", denied())
        with pytest.raises(Refused):
            read()


def test_candidates_are_rules_of_the_group_or_else_of_the_region(account: Account, ec2: EC2) -> None:
    account.put(
        other("sgr-0000000000000002", group="sg-0bbbbbbbbbbbbbbb2"),
        other("sgr-0000000000000003", ipv4="198.51.100.3/32", from_port=22, to_port=22),
    )

    def named(group: str | None) -> tuple[list[str], str | None]:
        error = group_rules.with_candidates(NotFound, "none", ec2, group, code="x")
        return [one["rule_id"] for one in error.fields["candidates"]], error.hint  # type: ignore[attr-defined]

    first = f"--group-id {GROUP} --rule-id {RULE}, or --discover"
    assert named(GROUP) == ([RULE], first)
    assert named(None) == ([RULE, "sgr-0000000000000002"], first)
    assert named("sg-0ccccccccccccccc3") == ([RULE, "sgr-0000000000000002"], first)
    account.rules.clear()
    none = group_rules.with_candidates(NotFound, "none", ec2, GROUP, code="x")
    assert (none.details, none.hint) == (
        "There is no inbound rule for tcp 5432.",
        "check the region with `cruddur config`",
    )
    account.fail("DescribeSecurityGroupRules", denied())
    unread = group_rules.with_candidates(NotFound, "none", ec2, GROUP, code="x")
    assert "lack the permission ec2:DescribeSecurityGroupRules" in str(unread.details)
    assert unread.hint == "--group-id GROUP --rule-id RULE"


@pytest.mark.parametrize(("number", "last"), [(20, "sgr-"), (21, "… and 1 more")])
def test_twenty_rules_are_listed(account: Account, ec2: EC2, number: int, last: str) -> None:
    rules = [group_rules._rule({**ENTRY, "SecurityGroupRuleId": f"sgr-{place}"}) for place in range(number)]
    error = group_rules.listing(NotFound, "many", ec2, rules, hint="choose", code="x")
    lines = str(error.details).splitlines()
    assert lines[0] == f"{GROUP}  cruddur-db  sgr-0  198.51.100.1/32  GITPOD"
    assert len(lines) == min(number, 20) + (number > 20)
    assert last in lines[-1]

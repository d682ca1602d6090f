"""The rules of security groups: read, named, and listed for a person."""

from __future__ import annotations

import pytest

from cruddur_cli.aws import security_group
from cruddur_cli.aws.group_rules import EC2
from cruddur_cli.errors import NotFound
from tests.aws.account import GROUP, RULE, Account, Refusal, other
from tests.aws.rules import denied


def test_a_stale_group_lists_the_rules_of_the_region(account: Account, ec2: EC2) -> None:
    account.fail("DescribeSecurityGroupRules", Refusal("InvalidSecurityGroupRuleId.NotFound"))
    account.fail("DescribeSecurityGroupRules", Refusal("InvalidGroup.NotFound"))
    with pytest.raises(NotFound) as caught:
        security_group.find(ec2, group_id="sg-0ffffffffffffffff", rule_id="sgr-ffffffffffffffff")
    assert RULE in str(caught.value.details)


def test_names_that_may_not_be_read_are_left_out(account: Account, ec2: EC2) -> None:
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

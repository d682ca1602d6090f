"""The rule is found, checked, sent with every field and read back."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from cruddur_cli.aws import address, group_rules, security_group
from cruddur_cli.aws.address import Address
from cruddur_cli.aws.group_rules import EC2
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.errors import Incomplete, NotConfigured, NotFound, Protected, Refused
from tests.aws.account import GROUP, OTHER_GROUP, RULE, Account, Entry, Refusal, other
from tests.aws.rules import denied, opened

pytestmark = pytest.mark.usefixtures("soon")
HERE = address.parse("203.0.113.7", origin="--ip")
HERE_6 = address.parse("2001:db8::7", origin="--ip")
MARK = "cruddur me@laptop 2026-11-20T10:00Z"


def set_address(ec2: EC2, rule_id: str = RULE, *, to: Address = HERE, settle_s: float = 0) -> security_group.RuleChange:
    rule = security_group.find(ec2, group_id=GROUP, rule_id=rule_id)
    return security_group.set_address(ec2, rule, address=to, description=MARK, settle_s=settle_s)


def test_the_rule_is_set_to_the_address_and_says_who_and_when(account: Account, ec2: EC2) -> None:
    change = set_address(ec2)
    assert change == security_group.RuleChange(GROUP, RULE, "198.51.100.1/32", "203.0.113.7/32", MARK, "updated")
    assert account.rules[RULE] == Entry(ipv4="203.0.113.7/32", description=MARK)
    assert account.operations() == [
        "DescribeSecurityGroupRules",
        "ModifySecurityGroupRules",
        "DescribeSecurityGroupRules",
    ]


def test_the_whole_rule_is_sent(account: Account, ec2: EC2) -> None:
    set_address(ec2)
    rule = "SecurityGroupRule.1.SecurityGroupRule"
    assert account.sent("ModifySecurityGroupRules") == [
        {
            "GroupId": GROUP,
            "SecurityGroupRule.1.SecurityGroupRuleId": RULE,
            f"{rule}.IpProtocol": "tcp",
            f"{rule}.FromPort": "5432",
            f"{rule}.ToPort": "5432",
            f"{rule}.CidrIpv4": "203.0.113.7/32",
            f"{rule}.Description": MARK,
        }
    ]


def test_an_ipv6_rule_stays_an_ipv6_rule(account: Account, ec2: EC2) -> None:
    account.put(Entry(ipv4=None, ipv6="2001:db8::1/128"))
    assert set_address(ec2, to=HERE_6).after == "2001:db8::7/128"
    assert account.rules[RULE] == Entry(ipv4=None, ipv6="2001:db8::7/128", description=MARK)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, MARK),
        ("GITPOD", MARK),
        ("cruddur you@gitpod 2026-01-02T03:04Z", MARK),
        ("office of Ann", f"office of Ann; {MARK}"),
        ("office of Ann; cruddur you@gitpod 2026-01-02T03:04Z", f"office of Ann; {MARK}"),
        ("x" * 255, "x" * (255 - len(MARK) - 2) + f"; {MARK}"),
    ],
)
def test_a_persons_own_description_is_kept(account: Account, ec2: EC2, before: str | None, after: str) -> None:
    account.put(Entry(description=before))
    assert set_address(ec2).description == after
    assert account.rules[RULE].description == after
    assert len(after) <= 255


@pytest.mark.parametrize(("user", "host"), [("me", "laptop"), ("mé\n", "ein/PC <1>"), ("", ""), ("u" * 500, "h" * 500)])
def test_the_mark_has_only_characters_that_aws_accepts(user: str, host: str) -> None:
    moment = datetime(2026, 11, 20, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    mark = security_group.mark(user, host, moment)
    assert mark.endswith(" 2026-11-20T10:00Z")
    assert len(mark) <= 255
    assert set(mark) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-:/()#,@[]+=&;{}!$*")
    assert group_rules.MARK.fullmatch(mark)


def test_a_rule_with_the_right_address_is_not_changed(account: Account, ec2: EC2) -> None:
    account.put(Entry(ipv4="203.0.113.7/32", description="of somebody"))
    change = set_address(ec2)
    assert (change.result, change.before, change.description) == ("unchanged", "203.0.113.7/32", "of somebody")
    assert account.operations() == ["DescribeSecurityGroupRules"]


def test_a_read_only_endpoint_sends_nothing(account: Account) -> None:
    change = set_address(opened(account, read_only=True))
    assert (change.before, change.after) == ("198.51.100.1/32", "203.0.113.7/32")
    assert account.operations() == ["DescribeSecurityGroupRules"]
    assert account.rules[RULE] == Entry()


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (lambda _: Entry(), "from IPv4 198.51.100.1/32"),
        (lambda new: Entry(ipv4=new.ipv4, description=None), "''"),
        (lambda new: Entry(ipv4=new.ipv4, description=MARK, to_port=6000), "5432-6000"),
        (lambda new: Entry(ipv4=new.ipv4, description=MARK, protocol="udp"), "udp"),
        (lambda _: None, "it no longer exists"),
    ],
    ids=["not changed", "description lost", "ports", "protocol", "deleted"],
)
def test_a_rule_that_is_read_back_differently_is_an_error(account: Account, ec2: EC2, kept: Any, said: str) -> None:
    account.on_modify = kept
    with pytest.raises(Incomplete) as caught:
        set_address(ec2)
    assert caught.value.exit_code == 1
    assert said in caught.value.message


def test_an_answer_that_is_late_is_waited_for(account: Account, ec2: EC2) -> None:
    account.stale_for = 3
    assert set_address(ec2, settle_s=20).result == "updated"
    assert account.operations().count("DescribeSecurityGroupRules") == 5
    assert account.operations().count("ModifySecurityGroupRules") == 1


@pytest.mark.parametrize(
    ("entry", "to", "said"),
    [
        (Entry(egress=True), HERE, "outbound tcp 5432 to IPv4 198.51.100.1/32"),
        (Entry(from_port=22, to_port=22), HERE, "inbound tcp 22 from IPv4"),
        (Entry(from_port=0, to_port=65535), HERE, "inbound tcp 0-65535 from IPv4"),
        (Entry(from_port=5432, to_port=5433), HERE, "inbound tcp 5432-5433"),
        (Entry(protocol="udp"), HERE, "inbound udp 5432"),
        (Entry(protocol="-1", from_port=-1, to_port=-1), HERE, "inbound every protocol from"),
        (Entry(ipv4=None, referenced=OTHER_GROUP), HERE, f"a security group ({OTHER_GROUP})"),
        (Entry(ipv4=None, prefix_list="pl-1"), HERE, "a prefix list (pl-1)"),
        (Entry(ipv4=None, ipv6="2001:db8::1/128"), HERE, "allows IPv6"),
        (Entry(), HERE_6, "allows IPv4"),
    ],
)
def test_a_rule_for_another_port_or_source_is_not_changed(
    account: Account, ec2: EC2, entry: Entry, to: Address, said: str
) -> None:
    account.put(entry)
    with pytest.raises(Protected) as caught:
        set_address(ec2, to=to)
    assert said in caught.value.message
    assert to.network in str(caught.value.hint)
    assert account.operations() == ["DescribeSecurityGroupRules"]
    assert account.rules[RULE] == entry


@pytest.mark.parametrize("rule_id", ["sgr-ffffffffffffffff", "nonsense"])
def test_an_unknown_rule_id_lists_the_existing_rules(account: Account, ec2: EC2, rule_id: str) -> None:
    account.put(other("sgr-0000000000000002", egress=True), other("sgr-0000000000000003", from_port=22, to_port=22))
    with pytest.raises(NotFound) as caught:
        security_group.find(ec2, group_id=GROUP, rule_id=rule_id)
    assert rule_id in caught.value.message
    assert caught.value.details == f"{GROUP}  cruddur-db  {RULE}  198.51.100.1/32  GITPOD"
    assert caught.value.hint == f"--group-id {GROUP} --rule-id {RULE}, or --discover"
    assert caught.value.fields["candidates"] == [
        {
            "group_id": GROUP,
            "group_name": "cruddur-db",
            "rule_id": RULE,
            "source": "198.51.100.1/32",
            "description": "GITPOD",
        }
    ]


def test_a_missing_rule_id_is_not_configured(ec2: EC2) -> None:
    with pytest.raises(NotConfigured, match="DB_SG_RULE_ID") as caught:
        security_group.find(ec2, group_id=None, rule_id=None)
    assert RULE in str(caught.value.details)


def test_a_rule_of_another_group_is_refused(account: Account, ec2: EC2) -> None:
    account.put(other("sgr-0000000000000002", group=OTHER_GROUP))
    with pytest.raises(NotFound, match=f"belongs to group {OTHER_GROUP}, not to {GROUP}") as caught:
        security_group.find(ec2, group_id=GROUP, rule_id="sgr-0000000000000002")
    assert RULE in str(caught.value.details)
    assert "ModifySecurityGroupRules" not in account.operations()


def test_without_a_group_the_group_of_the_rule_is_used(ec2: EC2) -> None:
    assert security_group.find(ec2, group_id=None, rule_id=RULE).group_id == GROUP


def test_an_unreadable_list_of_rules_does_not_hide_the_problem(account: Account, ec2: EC2) -> None:
    account.fail("DescribeSecurityGroupRules", Refusal("InvalidSecurityGroupRuleId.NotFound"), denied())
    with pytest.raises(NotFound) as caught:
        security_group.find(ec2, group_id=GROUP, rule_id="sgr-ffffffffffffffff")
    assert "ec2:DescribeSecurityGroupRules" in str(caught.value.details)


@pytest.mark.parametrize(
    "message",
    [
        "You are not authorized to perform this operation. User: arn:aws:iam::1:user/me is not authorized to perform: "
        "ec2:ModifySecurityGroupRules on resource: arn:aws:ec2:… Encoded authorization failure message: " + "x" * 900,
        "You are not authorized to perform this operation.",
    ],
)
def test_a_missing_permission_is_named(account: Account, ec2: EC2, message: str) -> None:
    account.fail("ModifySecurityGroupRules", denied(message))
    with pytest.raises(Refused, match=r"lack the permission ec2:ModifySecurityGroupRules\.$") as caught:
        set_address(ec2)
    assert (caught.value.exit_code, caught.value.code) == (5, "access_denied")
    assert account.rules[RULE] == Entry()


@pytest.mark.parametrize("code", ["AuthFailure", "RequestExpired", "InvalidClientTokenId"])
def test_refused_credentials_are_not_configured(account: Account, ec2: EC2, code: str) -> None:
    account.fail("DescribeSecurityGroupRules", Refusal(code, "no", 401))
    with pytest.raises(NotConfigured):
        set_address(ec2)


@pytest.mark.parametrize(
    ("code", "status"), [("RequestLimitExceeded", 503), ("Unavailable", 503), ("InternalError", 500)]
)
def test_a_busy_service_is_asked_again(account: Account, ec2: EC2, code: str, status: int) -> None:
    for operation in ("DescribeSecurityGroupRules", "ModifySecurityGroupRules"):
        account.fail(operation, *[Refusal(code, status=status)] * 2)
    assert set_address(ec2).result == "updated"
    assert account.operations().count("ModifySecurityGroupRules") == 3


def test_another_rule_that_allows_the_address_is_named(account: Account, ec2: EC2) -> None:
    account.put(other("sgr-0000000000000002", ipv4="203.0.113.7/32", description="mine"))
    with pytest.raises(Refused, match=r"allows 203\.0\.113\.7/32 already") as caught:
        set_address(ec2)
    assert "sgr-0000000000000002" in str(caught.value.details)
    assert "--rule-id sgr-0000000000000002" in str(caught.value.hint)
    assert account.rules[RULE] == Entry()


def discover(ec2: EC2, to: Address = HERE) -> group_rules.Rule:
    return security_group.discover(ec2, group_ids=[GROUP, OTHER_GROUP], address=to)


NOISE = (
    other("sgr-00000000000000a1", egress=True, description="GITPOD"),
    other("sgr-00000000000000a2", from_port=22, to_port=22, description="GITPOD"),
    other("sgr-00000000000000a3", ipv4=None, referenced=OTHER_GROUP, description="the application"),
    other("sgr-00000000000000a4", ipv4=None, ipv6="2001:db8::1/128", description="GITPOD"),
    other("sgr-00000000000000a5", group="sg-0ccccccccccccccc3"),
)


@pytest.mark.parametrize("description", ["GITPOD", "gitpod workspace", MARK, f"office; {MARK}", "of somebody", None])
def test_the_marked_rule_or_the_only_rule_is_discovered(account: Account, ec2: EC2, description: str | None) -> None:
    account.put(Entry(description=description), *NOISE)
    assert discover(ec2).rule_id == RULE
    assert discover(ec2, HERE_6).rule_id == "sgr-00000000000000a4"


def test_a_marked_rule_is_preferred(account: Account, ec2: EC2) -> None:
    account.put(Entry(description=MARK), other("sgr-0000000000000002", ipv4="198.51.100.0/24", description="office"))
    assert discover(ec2).rule_id == RULE


@pytest.mark.parametrize("description", ["GITPOD", "of somebody"])
def test_several_rules_are_listed_and_none_is_chosen(account: Account, ec2: EC2, description: str) -> None:
    account.put(
        Entry(description=description),
        other("sgr-0000000000000002", ipv4="198.51.100.2/32", description=description, group=OTHER_GROUP),
    )
    with pytest.raises(NotConfigured, match="2 rules") as caught:
        discover(ec2)
    assert str(caught.value.details).splitlines() == [
        f"{GROUP}  cruddur-db  {RULE}  198.51.100.1/32  {description}",
        f"{OTHER_GROUP}  web  sgr-0000000000000002  198.51.100.2/32  {description}",
    ]


def test_the_error_without_a_rule_says_how_to_add_one(account: Account, ec2: EC2) -> None:
    account.rules = {entry.rule_id: entry for entry in NOISE if entry.ipv6 is None}
    with pytest.raises(NotFound) as caught:
        discover(ec2)
    assert caught.value.hint is not None
    assert caught.value.hint.endswith(f"--group-id {GROUP} --protocol tcp --port 5432 --cidr 203.0.113.7/32")
    with pytest.raises(NotFound, match="IPv6"):
        discover(ec2, HERE_6)


def test_groups_are_found_by_name(account: Account, ec2: EC2) -> None:
    assert security_group.groups_named(ec2, "cruddur-db") == [GROUP]
    assert security_group.groups_named(ec2, OTHER_GROUP) == [OTHER_GROUP]
    with pytest.raises(NotFound, match="'nobody'") as caught:
        security_group.groups_named(ec2, "nobody")
    assert "cruddur-db" in str(caught.value.details)


def test_the_emulator_accepts_the_same_requests_and_answers(emulator: str) -> None:
    at = aws_client.Endpoint("ec2", emulator, "us-east-1", f"EC2 at {emulator}")
    with aws_client.opened(at) as client:
        ec2 = EC2(client, at)
        group = client.create_security_group(GroupName=f"cruddur-{getpass.getuser()}", Description="a test")["GroupId"]
        made = client.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 5432,
                    "ToPort": 5432,
                    "IpRanges": [{"CidrIp": "198.51.100.1/32", "Description": "GITPOD"}],
                }
            ],
        )
        try:
            rule = security_group.discover(ec2, group_ids=[group], address=HERE)
            assert rule.rule_id == made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
            assert security_group.set_address(ec2, rule, address=HERE, description=MARK).result == "updated"
            again = security_group.find(ec2, group_id=group, rule_id=rule.rule_id)
            assert (again.source, again.description, again.from_port) == ("203.0.113.7/32", MARK, 5432)
            assert security_group.set_address(ec2, again, address=HERE, description="later").result == "unchanged"
            with pytest.raises(NotFound):
                security_group.find(ec2, group_id=group, rule_id="sgr-ffffffffffffffff")
        finally:
            client.delete_security_group(GroupId=group)


def test_the_time_of_the_mark_is_utc() -> None:
    assert security_group.mark("me", "laptop", datetime(2026, 11, 20, 10, tzinfo=UTC)) == MARK


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("", ""),
        ("GITPOD", ""),
        ("GITPOD of Ann", "GITPOD of Ann; "),
        ("Büro <1>", "B-ro -1-; "),
        (" ; of Ann ; ", "of Ann; "),
        ("x" * 217, "x" * 217 + "; "),
        ("x" * 219, "x" * 218 + "; "),
    ],
)
def test_a_description_has_at_most_255_characters_with_the_mark(own: str, kept: str) -> None:
    rule = group_rules._rule({"Description": own})
    described = security_group._describe(rule, MARK)
    assert described == f"{kept}{MARK}"
    assert len(described) <= 255


def test_a_mark_has_ninety_characters_of_user_and_host_and_ends_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    moment, until = datetime(2026, 11, 20, 12, tzinfo=east), datetime(2026, 11, 20, 14, 30, tzinfo=east)
    who = f"{'u' * 90}@{'h' * 90}"
    assert security_group.mark("u" * 91, "h" * 91, moment) == f"cruddur {who} 2026-11-20T10:00Z"
    assert security_group.mark("a b", "", moment, until=until) == (
        "cruddur a-b@unknown 2026-11-20T10:00Z until 2026-11-20T12:30Z"
    )


@pytest.mark.parametrize(
    ("one", "two", "is_same"),
    [
        ("198.51.100.7/32", "198.51.100.7", True),
        ("198.51.100.7/24", "198.51.100.0/24", True),
        ("198.51.100.7/32", "198.51.100.8/32", False),
        ("sg-1", "sg-1", False),
        ("198.51.100.7", "sg-1", False),
    ],
)
def test_equal_networks_are_compared_by_value(one: str, two: str, is_same: bool) -> None:
    assert security_group._same_network(one, two) is is_same
    assert security_group._same_network(two, one) is is_same


def test_the_command_that_adds_a_rule_has_the_address() -> None:
    assert security_group._authorize(GROUP, HERE) == (
        f"aws ec2 authorize-security-group-ingress --group-id {GROUP} --protocol tcp --port 5432 --cidr 203.0.113.7/32"
    )
    assert security_group._authorize(GROUP, HERE_6) == (
        f"aws ec2 authorize-security-group-ingress --group-id {GROUP}"
        " --ip-permissions 'IpProtocol=tcp,FromPort=5432,ToPort=5432,Ipv6Ranges=[{CidrIpv6=2001:db8::7/128}]'"
    )

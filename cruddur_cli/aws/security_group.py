"""The inbound rule that lets one machine reach PostgreSQL: found, checked, pointed elsewhere, read back."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..aws_client import client as aws_client
from ..errors import Incomplete, NotConfigured, NotFound, Protected, Refused
from . import group_rules
from .address import Address
from .group_rules import EC2, MARK, PORT, Rule
from .service import pages

_LONGEST = 255
# "SecurityGroupRuleRequest": what a description may hold.
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]")


@dataclass(frozen=True)
class RuleChange:
    """The result for a rule: the network that it allowed before, and the one that it allows now."""

    group_id: str
    rule_id: str
    before: str
    after: str
    description: str
    result: str


def mark(user: str, host: str, moment: datetime, *, until: datetime | None = None) -> str:
    """Who pointed the rule here, and when, in characters that AWS takes: ``cruddur me@laptop 2026-11-20T10:00Z``.

    With ``until`` it ends in the minute from which the rule has expired.
    """
    who = "@".join(_NOT_ALLOWED.sub("-", part).replace(" ", "-")[:90] or "unknown" for part in (user, host))
    end = f" until {until.astimezone(UTC):%Y-%m-%dT%H:%MZ}" if until else ""
    return f"cruddur {who} {moment.astimezone(UTC):%Y-%m-%dT%H:%MZ}{end}"


def find(ec2: EC2, *, group_id: str | None, rule_id: str | None) -> Rule:
    """The rule with that id, in that group where one is named.

    Raises NotConfigured where no rule is named, NotFound where there is none or it is another group's; both list the
    rules that there are.
    """
    if rule_id is None:
        problem = "No security group rule is named (DB_SG_RULE_ID)."
        raise group_rules.with_candidates(NotConfigured, problem, ec2, group_id, code="rule_not_named")
    rule = group_rules.read(ec2, rule_id)
    if rule is None:
        problem = f"There is no security group rule {rule_id!r} in {ec2.region} ({ec2.at.label})."
        raise group_rules.with_candidates(NotFound, problem, ec2, group_id, code="rule_not_found")
    if group_id and rule.group_id != group_id:
        problem = f"Rule {rule_id} belongs to group {rule.group_id}, not to {group_id}."
        raise group_rules.with_candidates(NotFound, problem, ec2, group_id, code="rule_of_another_group")
    return rule


def discover(ec2: EC2, *, group_ids: Sequence[str], address: Address) -> Rule:
    """The rule in one of the groups that takes such an address: the one that is marked, else the only one.

    Raises NotFound where there is none, NotConfigured where several could be meant; both list them.
    """
    found = [rule for rule in group_rules.rules(ec2, group_ids=group_ids) if rule.is_postgres]
    usable = [rule for rule in found if rule.kind == address.kind]
    chosen = [rule for rule in usable if rule.is_marked] or usable
    groups = ", ".join(group_ids)
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        problem = f"No rule in {groups} allows an {address.kind} address at tcp {PORT}."
        raise group_rules.listing(
            NotFound, problem, ec2, found, hint=_authorize(group_ids[0], address), code="rule_not_found"
        )
    problem = f"{len(chosen)} rules in {groups} allow an {address.kind} address at tcp {PORT}; choose one."
    raise group_rules.listing(
        NotConfigured, problem, ec2, chosen, hint=group_rules.name_it(chosen), code="rule_ambiguous"
    )


def groups_named(ec2: EC2, name: str) -> list[str]:
    """The ids of the security groups with that name (an id is its own). Raises NotFound, which lists what there is."""
    if name.startswith("sg-"):
        return [name]
    params = {"Filters": [{"Name": "group-name", "Values": [name]}]}
    found = [str(group["GroupId"]) for group in pages(ec2, "describe_security_groups", params, "SecurityGroups")]
    if not found:
        problem = f"There is no security group named {name!r} in {ec2.region} ({ec2.at.label})."
        raise group_rules.with_candidates(NotFound, problem, ec2, None, code="group_not_found")
    return found


def check(rule: Rule, address: Address) -> None:
    """Raise Protected where the rule cannot be set to the address: it allows another kind of source."""
    if not rule.is_postgres:
        problem = f"Rule {rule.rule_id} of {rule.group_id} is not an inbound rule for tcp {PORT}; it is {rule}."
    elif rule.kind in {"prefix list", "security group"}:
        problem = f"Rule {rule.rule_id} of {rule.group_id} allows a {rule.kind} ({rule.source}), not an address."
    elif rule.kind != address.kind:
        # "SecurityGroupRuleRequest": "When you modify a rule, you cannot change the rule type."
        problem = (
            f"Rule {rule.rule_id} of {rule.group_id} allows {rule.kind} ({rule.source}), but {address.network} "
            f"is {address.kind}, and AWS cannot change a rule from one to the other."
        )
    else:
        return
    hint = f"pass --discover or another --rule-id, or add a rule: {_authorize(rule.group_id, address)}"
    raise Protected(problem, hint=hint, code="unsuitable_rule")


def set_address(
    ec2: EC2, rule: Rule, *, address: Address, description: str, ends: bool = False, settle_s: float = 3.0
) -> RuleChange:
    """Point a checked rule at the address and read it back; a rule that allows it already is not changed.

    ModifySecurityGroupRules replaces the whole rule, so every field is sent. EC2 is "eventually consistent": what is
    read back may be old for ``settle_s``. ``ends`` says that the description contains an end, which replaces the
    one that a rule for the same address has. A person's own description is kept before the mark. With a read-only
    endpoint nothing is sent. Raises Incomplete where another rule than the one sent is read back.
    """
    check(rule, address)
    text = _describe(rule, description)
    if _same_network(rule.source, address.network) and not (ends or rule.expires_at):
        return _change(rule, rule.source, rule.description, "unchanged")
    if ec2.at.read_only:
        return _change(rule, address.network, text, "updated")
    wanted = {
        "IpProtocol": rule.protocol,
        "FromPort": rule.from_port,
        "ToPort": rule.to_port,
        f"Cidr{address.kind.replace('IPv', 'Ipv')}": address.network,
        "Description": text,
    }
    params = {
        "GroupId": rule.group_id,
        "SecurityGroupRules": [{"SecurityGroupRuleId": rule.rule_id, "SecurityGroupRule": wanted}],
    }
    try:
        aws_client.call(ec2.client, "modify_security_group_rules", params, at=ec2.at)
    except Refused as error:
        if error.fields.get("aws_code") != "InvalidPermission.Duplicate":
            raise
        raise _duplicate(ec2, rule, address) from error
    _read_back(ec2, rule, address, text, settle_s)
    return _change(rule, address.network, text, "updated")


def close(ec2: EC2, rule: Rule, *, description: str) -> RuleChange:
    """Set a rule to an address that no machine has, so that it keeps its id; a closed rule is not changed."""
    nowhere = group_rules.CLOSED.get(rule.kind)
    if nowhere is None:
        raise Protected(f"Rule {rule.rule_id} of {rule.group_id} allows a {rule.kind} ({rule.source}), not an address.")
    return set_address(ec2, rule, address=Address(nowhere, int(rule.kind[-1]), "revoked"), description=description)


def _read_back(ec2: EC2, rule: Rule, address: Address, description: str, settle_s: float) -> None:
    backoff = aws_client.Backoff(busy_s=settle_s)
    while True:
        now = group_rules.read(ec2, rule.rule_id)
        if (
            now is not None
            and now.is_postgres
            and now.group_id == rule.group_id
            and _same_network(now.source, address.network)
            and now.description == description
        ):
            return
        if not backoff.wait():
            break
    found = "it no longer exists" if now is None else f"it is {now}, {now.description!r}"
    raise Incomplete(
        f"Rule {rule.rule_id} of {rule.group_id} was set to {address.network}, {description!r}; read back: {found}.",
        hint="run it again; another person may be changing the same rule",
        code="read_back_differs",
    )


def _duplicate(ec2: EC2, rule: Rule, address: Address) -> Refused:
    others = [
        other
        for other in group_rules.rules(ec2, group_ids=[rule.group_id])
        if other.rule_id != rule.rule_id and other.is_postgres and _same_network(other.source, address.network)
    ]
    return group_rules.listing(
        Refused,
        f"Another rule of {rule.group_id} allows {address.network} already; {rule.rule_id} was not changed.",
        ec2,
        others,
        hint=f"you can connect now; next time pass {group_rules.name_it(others)}",
        code="duplicate_rule",
    )


def _describe(rule: Rule, description: str) -> str:
    """The mark, after a person's own text; an earlier mark, and the scripts' word, are replaced."""
    own = MARK.sub("", rule.description).strip(" ;")
    own = "" if own == "GITPOD" else _NOT_ALLOWED.sub("-", own)
    return f"{own[: _LONGEST - len(description) - 2]}; {description}" if own else description


def _same_network(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_network(one, strict=False) == ipaddress.ip_network(other, strict=False)
    except ValueError:
        return False


def _change(rule: Rule, after: str, description: str, result: str) -> RuleChange:
    return RuleChange(rule.group_id, rule.rule_id, rule.source, after, description, result)


def _authorize(group_id: str, address: Address) -> str:
    command = f"aws ec2 authorize-security-group-ingress --group-id {group_id}"
    if address.version == 4:
        return f"{command} --protocol tcp --port {PORT} --cidr {address.network}"
    ranges = f"IpProtocol=tcp,FromPort={PORT},ToPort={PORT},Ipv6Ranges=[{{CidrIpv6={address.network}}}]"
    return f"{command} --ip-permissions '{ranges}'"

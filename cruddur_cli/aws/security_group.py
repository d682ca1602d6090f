"""Find, check, change and close the inbound rule that allows one machine to connect to PostgreSQL."""

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
# "SecurityGroupRuleRequest": every character that a description must not contain.
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]")


@dataclass(frozen=True)
class RuleChange:
    """The result for one rule: the network that it allowed before, and the one that it allows now.

    ``result`` is ``updated`` or ``unchanged``.
    """

    group_id: str
    rule_id: str
    before: str
    after: str
    description: str
    result: str


def mark(user: str, host: str, moment: datetime, *, until: datetime | None = None) -> str:
    """A description that says who changed the rule, and when: ``cruddur me@laptop 2026-11-20T10:00Z``.

    It has only characters that AWS accepts. With ``until``, it ends with the minute in which the rule expires.
    """
    who = "@".join(_NOT_ALLOWED.sub("-", part).replace(" ", "-")[:90] or "unknown" for part in (user, host))
    end = f" until {until.astimezone(UTC):%Y-%m-%dT%H:%MZ}" if until else ""
    return f"cruddur {who} {moment.astimezone(UTC):%Y-%m-%dT%H:%MZ}{end}"


def find(ec2: EC2, *, group_id: str | None, rule_id: str | None) -> Rule:
    """The rule with the id ``rule_id``; if ``group_id`` is given, the rule must belong to that group.

    Raises NotConfigured without a ``rule_id``, and NotFound if there is no such rule or it belongs to another group.
    Both list the existing rules.
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
    """The rule of the groups that can be set to the address: the only marked one, or else the only one.

    Raises NotFound if there is none, and NotConfigured if there are several. Both list the rules.
    """
    for_postgres = [rule for rule in group_rules.rules(ec2, group_ids=group_ids) if rule.is_postgres]
    usable = [rule for rule in for_postgres if rule.kind == address.kind]
    candidates = [rule for rule in usable if rule.is_marked] or usable
    groups = ", ".join(group_ids)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        problem = f"No rule in {groups} allows an {address.kind} address at tcp {PORT}."
        raise group_rules.listing(
            NotFound, problem, ec2, for_postgres, hint=_authorize(group_ids[0], address), code="rule_not_found"
        )
    problem = f"{len(candidates)} rules in {groups} allow an {address.kind} address at tcp {PORT}; choose one."
    raise group_rules.listing(
        NotConfigured, problem, ec2, candidates, hint=group_rules.name_it(candidates), code="rule_ambiguous"
    )


def groups_named(ec2: EC2, name: str) -> list[str]:
    """The ids of the security groups with that name; an id is returned as it is.

    Raises NotFound, which lists the existing rules.
    """
    if name.startswith("sg-"):
        return [name]
    params = {"Filters": [{"Name": "group-name", "Values": [name]}]}
    ids = [str(group["GroupId"]) for group in pages(ec2, "describe_security_groups", params, "SecurityGroups")]
    if not ids:
        problem = f"There is no security group named {name!r} in {ec2.region} ({ec2.at.label})."
        raise group_rules.with_candidates(NotFound, problem, ec2, None, code="group_not_found")
    return ids


def check(rule: Rule, address: Address) -> None:
    """Raise Protected if the rule cannot be set to the address, because it has another port or kind of source."""
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
    """Set the rule to the address, and read it back.

    A rule that allows the address already is changed only if it has an end, or if the new ``description`` has one
    (``ends``). ModifySecurityGroupRules replaces the whole rule, so every field is sent. A description that a person
    wrote is kept before the mark. EC2 is "eventually consistent", so the read is repeated for ``settle_s`` seconds.
    With a read-only endpoint, nothing is sent.

    Raises Protected as ``check``, Refused if another rule of the group allows the address, and Incomplete if the rule
    that is read back differs.
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
    """Close a rule: set it to the loopback address, so that it allows no machine and keeps its id.

    A closed rule is not changed. Raises Protected if the rule's source is not an address.
    """
    loopback = group_rules.CLOSED.get(rule.kind)
    if loopback is None:
        raise Protected(f"Rule {rule.rule_id} of {rule.group_id} allows a {rule.kind} ({rule.source}), not an address.")
    return set_address(ec2, rule, address=Address(loopback, int(rule.kind[-1]), "revoked"), description=description)


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
    actual = "it no longer exists" if now is None else f"it is {now}, {now.description!r}"
    raise Incomplete(
        f"Rule {rule.rule_id} of {rule.group_id} was set to {address.network}, {description!r}; read back: {actual}.",
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
    """The rule's new description: the text that a person wrote, then the mark.

    An earlier mark is replaced, and so is ``GITPOD``, the description that the scripts write.
    """
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

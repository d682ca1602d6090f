"""Read the rules of security groups, and list them in errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from ..aws_client import client as aws_client
from ..errors import CruddurError, Refused
from .service import Service, pages

Error = TypeVar("Error", bound=CruddurError)
PORT = 5432
_MINUTE = r"\d{4}-\d\d-\d\dT\d\d:\d\dZ"
MARK = re.compile(rf"cruddur \S+@\S+ {_MINUTE}(?: until (?P<until>{_MINUTE}))?")
CLOSED = {"IPv4": "127.0.0.1/32", "IPv6": "::1/128"}
"""The source of a closed rule: the loopback address, which no other machine has. So the rule keeps its id."""
# The parts of a description that this program wrote: the time of the change, and the end of the rule.
_WRITTEN = re.compile(r"cruddur \S+@\S+ (\d{4}-\d\d-\d\dT\d\d:\d\dZ)")
_ENDS = re.compile(r"until (\d{4}-\d\d-\d\dT\d\d:\d\dZ)")
_PAGE = 1000  # "DescribeSecurityGroupRules": 5 to 1000 a page
_SHOWN = 20
_SOURCES = (
    ("CidrIpv4", "IPv4"),
    ("CidrIpv6", "IPv6"),
    ("PrefixListId", "prefix list"),
    ("ReferencedGroupInfo", "security group"),
)


def written_at(description: str) -> datetime | None:
    """The time at which this program wrote the description; None if it did not write it."""
    return _parsed(_WRITTEN, description)


def ends_at(description: str) -> datetime | None:
    """The time at which a rule with this description expires; None if the description has no end."""
    return _parsed(_ENDS, description)


def _parsed(pattern: re.Pattern[str], description: str) -> datetime | None:
    match = pattern.search(description)
    try:
        return datetime.strptime(match[1], "%Y-%m-%dT%H:%M%z") if match else None
    except ValueError:
        return None


class EC2(Service):
    """The opened EC2 service."""


@dataclass(frozen=True)
class Rule:
    """One rule of a security group. ``kind`` is the kind of its source: IPv4, IPv6, prefix list or security group."""

    group_id: str
    rule_id: str
    inbound: bool
    protocol: str
    from_port: int
    to_port: int
    kind: str
    source: str
    description: str

    @property
    def is_postgres(self) -> bool:
        """Whether it is an inbound rule for exactly PostgreSQL's port."""
        return self.inbound and self.protocol in {"tcp", "6"} and self.from_port == self.to_port == PORT

    @property
    def is_marked(self) -> bool:
        """Whether this program, or the script it replaces (``GITPOD``), wrote the rule."""
        return bool(MARK.search(self.description)) or self.description.upper().startswith("GITPOD")

    @property
    def expires_at(self) -> datetime | None:
        """The time at which the rule expires, from ``--for``; None if it has no end or is closed."""
        match = MARK.search(self.description)
        if match is None or match["until"] is None or self.source in CLOSED.values():
            return None
        return datetime.strptime(match["until"], "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)

    def __str__(self) -> str:
        ports = "" if self.from_port < 0 else f" {self.from_port}"
        if self.to_port != self.from_port:
            ports += f"-{self.to_port}"
        protocol = "every protocol" if self.protocol == "-1" else f"{self.protocol}{ports}"
        way = "inbound" if self.inbound else "outbound"
        return f"{way} {protocol} {'from' if self.inbound else 'to'} {self.kind} {self.source}"


def rules(ec2: EC2, *, group_ids: Sequence[str] | None = None) -> list[Rule]:
    """Every rule of the groups, or of the region without groups. Groups that do not exist have no rules."""
    params: dict[str, Any] = {"MaxResults": _PAGE}
    if group_ids is not None:
        params["Filters"] = [{"Name": "group-id", "Values": list(group_ids)}]
    try:
        return [_rule(entry) for entry in pages(ec2, "describe_security_group_rules", params, "SecurityGroupRules")]
    except Refused as error:
        if str(error.fields.get("aws_code", "")).startswith("InvalidGroup"):
            return []
        raise


def expired(ec2: EC2, now: datetime, *, group_ids: Sequence[str] | None = None) -> list[Rule]:
    """The rules for PostgreSQL whose end has passed, and that are not closed."""
    for_postgres = [rule for rule in rules(ec2, group_ids=group_ids) if rule.is_postgres]
    return [rule for rule in for_postgres if rule.expires_at is not None and rule.expires_at <= now]


def read(ec2: EC2, rule_id: str) -> Rule | None:
    """The rule with that id; None if there is none."""
    try:
        answer = aws_client.call(
            ec2.client, "describe_security_group_rules", {"SecurityGroupRuleIds": [rule_id]}, at=ec2.at
        )
    except Refused as error:
        if str(error.fields.get("aws_code", "")).startswith("InvalidSecurityGroupRuleId"):
            return None
        raise
    returned = [_rule(entry) for entry in answer.get("SecurityGroupRules", [])]
    return next((rule for rule in returned if rule.rule_id == rule_id), None)


def _rule(entry: dict[str, Any]) -> Rule:
    field, kind = next(((field, kind) for field, kind in _SOURCES if entry.get(field)), ("", "unknown"))
    source = entry.get(field, "")
    return Rule(
        group_id=entry.get("GroupId", ""),
        rule_id=entry.get("SecurityGroupRuleId", ""),
        inbound=not entry.get("IsEgress", False),
        protocol=entry.get("IpProtocol", ""),
        from_port=entry.get("FromPort", -1),
        to_port=entry.get("ToPort", -1),
        kind=kind,
        source=str(source.get("GroupId", "")) if isinstance(source, dict) else str(source),
        description=entry.get("Description", ""),
    )


def name_it(candidates: Sequence[Rule]) -> str:
    """The options that select the first of the rules, for a hint."""
    if not candidates:
        return "--group-id GROUP --rule-id RULE"
    return f"--group-id {candidates[0].group_id} --rule-id {candidates[0].rule_id}"


def with_candidates(kind: type[Error], problem: str, ec2: EC2, group_id: str | None, *, code: str) -> Error:
    """An error that lists the rules for PostgreSQL: those of the group, or those of the region if it has none."""
    try:
        of_group = rules(ec2, group_ids=[group_id]) if group_id else []
        candidates = [rule for rule in of_group if rule.is_postgres] or [
            rule for rule in rules(ec2) if rule.is_postgres
        ]
    except CruddurError as error:
        # The problem is still the first one, so it stays the message. Why the list cannot be read is a detail.
        return kind(problem, details=f"({error.message})", hint=name_it([]), code=code)
    hint = f"{name_it(candidates)}, or --discover" if candidates else "check the region with `cruddur config`"
    return listing(kind, problem, ec2, candidates, hint=hint, code=code)


def listing(kind: type[Error], problem: str, ec2: EC2, candidates: Sequence[Rule], *, hint: str, code: str) -> Error:
    """An error that lists these rules below its message: group, group name, rule, source, description."""
    names = _group_names(ec2, sorted({rule.group_id for rule in candidates}))
    listed = [
        {
            "group_id": rule.group_id,
            "group_name": names.get(rule.group_id),
            "rule_id": rule.rule_id,
            "source": rule.source,
            "description": rule.description,
        }
        for rule in candidates
    ]
    lines = ["  ".join(str(value) for value in entry.values() if value) for entry in listed[:_SHOWN]]
    if len(candidates) > _SHOWN:
        lines.append(f"… and {len(candidates) - _SHOWN} more")
    details = "\n".join(lines) or f"There is no inbound rule for tcp {PORT}."
    return kind(problem, details=details, hint=hint, code=code, fields={"candidates": listed})


def _group_names(ec2: EC2, group_ids: Sequence[str]) -> dict[str, str]:
    if not group_ids:
        return {}
    try:
        groups = pages(ec2, "describe_security_groups", {"GroupIds": list(group_ids)}, "SecurityGroups")
        return {str(group["GroupId"]): str(group.get("GroupName", "")) for group in groups}
    except CruddurError:
        return {}

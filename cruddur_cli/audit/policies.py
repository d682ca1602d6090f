"""Reads IAM policies: who is allowed which action on what; and writes the policy that an audit needs.

Sources: "IAM JSON policy elements reference"; for what counts as public, "The meaning of 'public'" in the S3 and
DynamoDB guides on blocking public access.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .model import Check

# Condition keys that limit a statement to one network, organisation, account or caller.
_LIMITING = {
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
}


@dataclass(frozen=True)
class PolicyStatement:
    """One statement of a policy. A single text in the JSON is a tuple of one here.

    ``negated`` are those of NotAction, NotResource and NotPrincipal that the statement has.
    """

    sid: str
    allows: bool
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    negated: tuple[str, ...] = field(default=())

    @property
    def is_limited(self) -> bool:
        """Whether a condition limits it to a network, organisation, account or caller."""
        return any(
            key.lower() in _LIMITING and "not" not in operator.lower() and not set(values) & {"*", "0.0.0.0/0", "::/0"}
            for operator, key, values in self.conditions
        )

    def covers_action(self, action: str) -> bool:
        """Whether the statement applies to an action."""
        hit = any(matches(pattern, action, fold=True) for pattern in self.actions)
        return hit != ("NotAction" in self.negated)

    def covers_resource(self, arn: str) -> bool:
        """Whether the statement applies to a resource."""
        hit = any(matches(pattern, arn) for pattern in self.resources)
        return hit != ("NotResource" in self.negated)


def statements(policy: Mapping[str, Any]) -> Iterator[PolicyStatement]:
    """The statements of a policy; entries that are no objects are skipped."""
    for entry in _list(policy.get("Statement")):
        if not isinstance(entry, Mapping):
            continue
        conditions = tuple(
            (operator, key, tuple(map(str, _list(values))))
            for operator, tests in (entry.get("Condition") or {}).items()
            for key, values in tests.items()
        )
        yield PolicyStatement(
            sid=str(entry.get("Sid", "")),
            allows=entry.get("Effect") == "Allow",
            principals=tuple(_principals(entry.get("Principal", entry.get("NotPrincipal")))),
            actions=tuple(map(str, _list(entry.get("Action", entry.get("NotAction"))))),
            resources=tuple(map(str, _list(entry.get("Resource", entry.get("NotResource", "*"))))),
            conditions=conditions,
            negated=tuple(name for name in ("NotAction", "NotResource", "NotPrincipal") if name in entry),
        )


def outsiders(policy: Mapping[str, Any], account: str) -> list[str]:
    """The principals outside of the account that a resource's policy allows, each with its statement's Sid."""
    allowed = []
    for one in statements(policy):
        if not one.allows or one.is_limited:
            continue
        outside = ["everyone except " + name for name in one.principals] if "NotPrincipal" in one.negated else []
        outside += [name for name in one.principals if not outside and _is_outside(name, account)]
        allowed += [f"{name}{f' ({one.sid})' if one.sid else ''}" for name in outside]
    return allowed


def _is_outside(principal: str, account: str) -> bool:
    """Whether a principal is not of this account: ``*``, another account or its users. AWS services do not count."""
    if principal.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return False
    owner = principal.split(":")[4] if principal.startswith("arn:") and principal.count(":") >= 5 else principal
    return owner != account


def beyond(policies: Iterable[Mapping[str, Any]], least: Mapping[str, Any]) -> list[str]:
    """What the policies allow and ``least`` does not: ``action on resource``, sorted."""
    allowed = [one for one in statements(least) if one.allows]
    excess = set()
    for one in (one for policy in policies for one in statements(policy) if one.allows):
        if one.negated:
            excess.add(f"{' and '.join(one.negated)}: {', '.join(one.actions)} on {', '.join(one.resources)}")
            continue
        for action in one.actions:
            for resource in one.resources:
                if not any(_within(action, resource, other) for other in allowed):
                    excess.add(f"{action} on {resource}")
    return sorted(excess)


def _within(action: str, resource: str, other: PolicyStatement) -> bool:
    return any(matches(pattern, action, fold=True) for pattern in other.actions) and any(
        matches(pattern, resource) for pattern in other.resources
    )


def is_open(policy: Mapping[str, Any]) -> bool:
    """Whether a statement allows everyone every action on every resource, as an endpoint's default policy does."""
    return any(
        one.allows
        and not one.conditions
        and "*" in one.principals
        and bool({"*", "dynamodb:*"} & set(one.actions))
        and "*" in one.resources
        for one in statements(policy)
    )


def matches(pattern: str, text: str, *, fold: bool = False) -> bool:
    """Whether a pattern with ``*`` and ``?`` matches a whole text. ``fold`` ignores case, as actions do."""
    return _compiled(pattern, fold).fullmatch(text) is not None


@cache
def _compiled(pattern: str, fold: bool) -> re.Pattern[str]:
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if fold else 0))


def _principals(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [str(name) for names in value.values() for name in _list(names)]
    return [str(name) for name in _list(value)]


def _list(value: object) -> Sequence[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def needed(checks: Sequence[Check]) -> list[str]:
    """The IAM actions that the checks need, sorted. All of them only read."""
    return sorted({permission for check in checks for permission in check.permissions})


def policy(checks: Sequence[Check]) -> dict[str, Any]:
    """The smallest policy for a complete audit. It names no resource, because most of its actions have none."""
    statement = {"Sid": "CruddurAudit", "Effect": "Allow", "Action": needed(checks), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}

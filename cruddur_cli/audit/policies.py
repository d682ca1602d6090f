"""IAM policies read: what a statement allows, to whom, on what; and the policy that an audit needs.

By "IAM JSON policy elements reference" and, for what counts as public, "The meaning of 'public'" in the S3 and
DynamoDB guides on blocking public access.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .model import Check

# Condition keys that tie a statement to one network, organisation, account or caller.
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
    """One statement of a policy, with lists where JSON may have a single text."""

    sid: str
    allows: bool
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    negated: tuple[str, ...] = field(default=())  # NotAction, NotResource, NotPrincipal

    @property
    def is_limited(self) -> bool:
        """Whether a condition ties it to a network, organisation, account or caller."""
        return any(
            key.lower() in _LIMITING and "not" not in operator.lower() and not set(values) & {"*", "0.0.0.0/0", "::/0"}
            for operator, key, values in self.conditions
        )

    def covers_action(self, action: str) -> bool:
        """Whether it speaks about an action."""
        hit = any(matches(pattern, action, fold=True) for pattern in self.actions)
        return hit != ("NotAction" in self.negated)

    def covers_resource(self, arn: str) -> bool:
        """Whether it speaks about a resource."""
        hit = any(matches(pattern, arn) for pattern in self.resources)
        return hit != ("NotResource" in self.negated)


def statements(policy: Mapping[str, Any]) -> Iterator[PolicyStatement]:
    """The statements of a policy."""
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
    """Whom a resource's policy allows from outside of the account, each with the statement that does."""
    found = []
    for one in statements(policy):
        if not one.allows or one.is_limited:
            continue
        strangers = ["everyone except " + either for either in one.principals] if "NotPrincipal" in one.negated else []
        strangers += [name for name in one.principals if not strangers and _is_outside(name, account)]
        found += [f"{name}{f' ({one.sid})' if one.sid else ''}" for name in strangers]
    return found


def _is_outside(principal: str, account: str) -> bool:
    """Services act for an account of their own; of accounts, only the audited one is inside."""
    if principal.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return False
    owner = principal.split(":")[4] if principal.startswith("arn:") and principal.count(":") >= 5 else principal
    return owner != account


def beyond(policies: Iterable[Mapping[str, Any]], least: Mapping[str, Any]) -> list[str]:
    """What policies allow beyond another one: ``action on resource``, sorted."""
    allowed = [one for one in statements(least) if one.allows]
    found = set()
    for one in (one for policy in policies for one in statements(policy) if one.allows):
        if one.negated:
            found.add(f"{' and '.join(one.negated)}: {', '.join(one.actions)} on {', '.join(one.resources)}")
            continue
        for action in one.actions:
            for resource in one.resources:
                if not any(_within(action, resource, other) for other in allowed):
                    found.add(f"{action} on {resource}")
    return sorted(found)


def _within(action: str, resource: str, other: PolicyStatement) -> bool:
    return any(matches(pattern, action, fold=True) for pattern in other.actions) and any(
        matches(pattern, resource) for pattern in other.resources
    )


def is_open(policy: Mapping[str, Any]) -> bool:
    """Whether a statement allows every action on every resource to everyone: an endpoint's default policy."""
    return any(
        one.allows
        and not one.conditions
        and "*" in one.principals
        and bool({"*", "dynamodb:*"} & set(one.actions))
        and "*" in one.resources
        for one in statements(policy)
    )


def matches(pattern: str, text: str, *, fold: bool = False) -> bool:
    """Whether a pattern with ``*`` and ``?`` matches a whole text. Actions do not tell large letters from small."""
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
    """Every IAM action that the checks need, sorted. All of them read; none changes anything."""
    return sorted({permission for check in checks for permission in check.permissions})


def policy(checks: Sequence[Check]) -> dict[str, Any]:
    """The least policy with which an audit sees everything. Most of its actions know no resource: it names none."""
    statement = {"Sid": "CruddurAudit", "Effect": "Allow", "Action": needed(checks), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}

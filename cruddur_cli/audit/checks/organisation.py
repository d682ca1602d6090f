"""Checks what the organisation's policies forbid, even if this account's own policies allow it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..model import Ask, Params, Seen, Verdict, document, either, failed, passed
from ..policies import PolicyStatement, statements
from .registry import account, check

_NO_ORGANISATION = frozenset({"AWSOrganizationsNotInUseException"})
_REGION_KEY = "aws:requestedregion"
_FILTER = "SERVICE_CONTROL_POLICY"


def _above(answer: Params) -> Params | None:
    """The parameters of the next request for a parent; None at the root."""
    parents = answer.get("Parents") or []
    return {"ChildId": parents[0]["Id"]} if parents and parents[0]["Type"] != "ROOT" else None


def _targets(seen: Seen) -> Iterable[Params]:
    parents = [one["Id"] for answer in seen.all(PARENTS) for one in answer.get("Parents") or []]
    return [{"TargetId": target, "Filter": _FILTER} for target in ([seen.scope.account, *parents] if parents else [])]


def _ids(seen: Seen) -> Iterable[Params]:
    return [{"PolicyId": name} for name in dict.fromkeys(one["Id"] for one in seen.listed(ATTACHED))]


ORGANISATION = Ask(
    "organizations",
    "describe_organization",
    "organizations:DescribeOrganization",
    lambda _: [{}],
    none=_NO_ORGANISATION,
)
PARENTS = Ask(
    "organizations",
    "list_parents",
    "organizations:ListParents",
    lambda seen: [{"ChildId": seen.scope.account}],
    after=_above,
    none=_NO_ORGANISATION,
)
ATTACHED = Ask(
    "organizations",
    "list_policies_for_target",
    "organizations:ListPoliciesForTarget",
    _targets,
    needs=(PARENTS,),
    pages=("Policies", "NextToken", "NextToken"),
)
DOCUMENTS = Ask("organizations", "describe_policy", "organizations:DescribePolicy", _ids, needs=(ATTACHED,))


def _denials(seen: Seen) -> Iterator[tuple[str, PolicyStatement]]:
    """The Deny statements of the organisation's policies for this account, each with the policy's name."""
    for answer in seen.all(DOCUMENTS):
        policy = answer["Policy"]
        for one in statements(document(policy["Content"])):
            if not one.allows:
                yield policy["PolicySummary"]["Name"], one


def _outside(seen: Seen) -> str | None:
    """Why no policy of an organisation can limit this account; None if one can."""
    organisation: dict[str, Any] = seen.one(ORGANISATION).get("Organization") or {}
    if not organisation:
        return "the account is in no organisation"
    if organisation.get("MasterAccountId") == seen.scope.account:
        return "this is the organisation's management account, which its policies do not limit"
    return None


def _create(seen: Seen, name: str, statement: dict[str, Any]) -> str:
    content = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": name, "Effect": "Deny", **statement}]})
    return seen.scope.aws(
        f"organizations create-policy --type {_FILTER} --name {name} --description 'Cruddur' --content '{content}'"
    )


def _forbids(one: PolicyStatement, action: str, arn: str) -> bool:
    """Whether a Deny statement forbids an action on a resource; one that limits regions does not count."""
    is_regional = any(key.lower() == _REGION_KEY for _, key, _ in one.conditions)
    return not is_regional and one.covers_action(action) and one.covers_resource(arn)


@check(
    "organisation-deletion",
    "The organisation forbids deleting the table",
    severity="low",
    controls=("AWS Organizations User Guide, Service control policies (SCPs)",),
    asks=(ORGANISATION, PARENTS, ATTACHED, DOCUMENTS),
    resource=account,
)
def deletion(seen: Seen) -> Verdict:
    """An organisation's policy also limits the account's administrators, and a thief of their credentials."""
    action = "dynamodb:DeleteTable"
    outside = _outside(seen)
    names = [] if outside else [name for name, one in _denials(seen) if _forbids(one, action, seen.scope.table_arn)]
    if names:
        return passed(f"{action} is denied by {either(list(dict.fromkeys(names)))}")
    statement = {"Action": [action, "dynamodb:DeleteBackup"], "Resource": "*"}
    return failed(
        outside or f"no service control policy denies {action}", remedy=_create(seen, "KeepTables", statement)
    )


@check(
    "organisation-regions",
    "The organisation limits the regions",
    severity="low",
    controls=("AWS Organizations User Guide, Service control policies (SCPs)",),
    asks=(ORGANISATION, PARENTS, ATTACHED, DOCUMENTS),
    resource=account,
)
def regions(seen: Seen) -> Verdict:
    """Passes with a Deny on aws:RequestedRegion, so that no data is copied to a region without monitoring."""
    outside = _outside(seen)
    limits = {} if outside else {
        name: values
        for name, one in _denials(seen)
        for _, key, values in one.conditions
        if key.lower() == _REGION_KEY
    }  # fmt: skip
    if limits:
        return passed("; ".join(f"{name}: {either(values)}" for name, values in limits.items()))
    statement = {
        "NotAction": ["iam:*", "organizations:*", "sts:*", "support:*"],
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": [seen.scope.region]}},
    }
    return failed(
        outside or "no service control policy limits aws:RequestedRegion", remedy=_create(seen, "Regions", statement)
    )

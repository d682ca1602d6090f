"""The checks of the organisation: each fails alone, with a command that fixes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cruddur_cli.audit.checks import organisation
from cruddur_cli.audit.model import PASS
from tests.audit.account import ACCOUNT, ARN, Account, client
from tests.audit.alone import Breaks, each_change, found_alone
from tests.audit.answers import finding, passes, seen


def _detached(name: str) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        organizations = client("organizations")
        root = organizations.list_roots()["Roots"][0]["Id"]
        organizations.detach_policy(PolicyId=account.organisation_policies[name], TargetId=root)

    return change


BREAKS: Breaks = {
    "organisation-deletion": [_detached("keep-tables")],
    "organisation-regions": [_detached("regions")],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_fails_alone_with_a_command_that_fixes_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


# What is decided from answers that no test makes moto give.


def _answers(*statements: dict[str, Any], manager: str | None = "210987654321") -> dict[Any, Any]:
    """One policy for each statement: ``p0``, ``p1``."""
    texts = [
        {"Policy": {"PolicySummary": {"Name": f"p{number}"}, "Content": json.dumps({"Statement": [statement]})}}
        for number, statement in enumerate(statements)
    ]
    organisation_is = {"Organization": {"MasterAccountId": manager}} if manager else {}
    return {organisation.ORGANISATION: organisation_is, organisation.DOCUMENTS: texts}


DENIAL = {"Effect": "Deny", "Action": "dynamodb:Delete*", "Resource": "*"}
IN_REGIONS = {"StringNotEquals": {"aws:RequestedRegion": ["eu-central-1", "eu-west-1"]}}


@pytest.mark.parametrize(
    ("statement", "is_denied"),
    [
        (DENIAL, True),
        ({**DENIAL, "Effect": "Allow"}, False),
        ({**DENIAL, "Action": "dynamodb:DeleteBackup"}, False),
        ({**DENIAL, "Resource": ARN}, True),
        ({**DENIAL, "Resource": f"{ARN}-2"}, False),
        ({**DENIAL, "Condition": IN_REGIONS}, False),
        ({**DENIAL, "Condition": {"Bool": {"aws:MultiFactorAuthPresent": ["false"]}}}, True),
    ],
)
def test_a_denial_holds_for_the_table_in_its_region(statement: dict[str, Any], is_denied: bool) -> None:
    assert passes("organisation-deletion", _answers(statement)) is is_denied


def test_each_policy_that_denies_is_named_once() -> None:
    assert finding("organisation-deletion", _answers(DENIAL, DENIAL)).evidence == (
        "dynamodb:DeleteTable is denied by p0, p1"
    )
    found = finding("organisation-regions", _answers(DENIAL, {**DENIAL, "Condition": IN_REGIONS}))
    assert found.evidence == "p1: eu-central-1, eu-west-1"
    other = {**DENIAL, "Condition": {"Bool": {"aws:MultiFactorAuthPresent": ["false"]}}}
    assert not passes("organisation-regions", _answers(other))


@pytest.mark.parametrize(
    ("manager", "evidence"),
    [
        (None, "the account is in no organisation"),
        (ACCOUNT, "this is the organisation's management account, which its policies do not limit"),
    ],
)
def test_no_policy_limits_an_account_outside_or_at_the_top(manager: str | None, evidence: str) -> None:
    answers = _answers({**DENIAL, "Condition": IN_REGIONS}, DENIAL, manager=manager)
    for check in ("organisation-deletion", "organisation-regions"):
        found = finding(check, answers)
        assert found.result != PASS
        assert found.evidence == evidence


def test_the_policies_of_the_account_and_of_all_above_it_are_read() -> None:
    up = organisation.PARENTS.after
    assert up is not None
    assert up({"Parents": [{"Id": "ou-1", "Type": "ORGANIZATIONAL_UNIT"}]}) == {"ChildId": "ou-1"}
    assert up({"Parents": [{"Id": "r-1", "Type": "ROOT"}]}) is None
    assert up({}) is None
    parents: list[dict[str, Any]] = [{"Parents": [{"Id": "ou-1"}]}, {"Parents": [{"Id": "r-1"}]}]
    targets = organisation.ATTACHED.params(seen({organisation.PARENTS: parents}))
    assert [one["TargetId"] for one in targets] == [ACCOUNT, "ou-1", "r-1"]
    assert list(organisation.ATTACHED.params(seen({organisation.PARENTS: [{}]}))) == []
    attached = {organisation.ATTACHED: [{"Policies": [{"Id": "p"}]}, {"Policies": [{"Id": "q"}, {"Id": "p"}]}]}
    assert list(organisation.DOCUMENTS.params(seen(attached))) == [{"PolicyId": "p"}, {"PolicyId": "q"}]

"""The principals, actions and resources that a policy allows are read."""

from __future__ import annotations

from typing import Any

import pytest

from cruddur_cli.audit.policies import beyond, is_open, matches, outsiders, statements

MINE, OTHER = "123456789012", "210987654321"
TABLE = f"arn:aws:dynamodb:eu-central-1:{MINE}:table/t"


def allow(**fields: Any) -> dict[str, Any]:
    base = {"Effect": "Allow", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": TABLE}
    return {"Statement": [{**base, **fields}]}


@pytest.mark.parametrize(
    "principal",
    [
        "*",
        {"AWS": "*"},
        {"AWS": ["*"]},
        {"AWS": OTHER},
        {"AWS": f"arn:aws:iam::{OTHER}:root"},
        {"AWS": [f"arn:aws:iam::{MINE}:role/app", f"arn:aws:iam::{OTHER}:user/me"]},
    ],
)
def test_principals_of_other_accounts_are_outsiders(principal: Any) -> None:
    assert len(outsiders(allow(Principal=principal), MINE)) == 1


@pytest.mark.parametrize(
    "principal",
    [{"AWS": MINE}, {"AWS": f"arn:aws:iam::{MINE}:role/app"}, {"Service": "replication.dynamodb.amazonaws.com"}],
)
def test_the_account_itself_and_services_are_no_outsiders(principal: Any) -> None:
    assert outsiders(allow(Principal=principal), MINE) == []


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"StringEquals": {"aws:SourceVpce": "vpce-1"}}, 0),
        ({"StringEquals": {"AWS:PrincipalOrgID": ["o-1", "o-2"]}}, 0),
        ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, 0),
        ({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, 1),
        ({"StringLike": {"aws:PrincipalArn": "*"}}, 1),
        ({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}, 1),
        ({"Bool": {"aws:SecureTransport": "true"}}, 1),
    ],
)
def test_only_conditions_on_the_caller_limit(condition: dict[str, Any], found: int) -> None:
    assert len(outsiders(allow(Condition=condition), MINE)) == found


def test_a_denial_allows_no_principal_and_notprincipal_everyone() -> None:
    assert outsiders(allow(Effect="Deny"), MINE) == []
    policy = allow(NotPrincipal={"AWS": MINE}, Sid="Odd")
    del policy["Statement"][0]["Principal"]
    assert outsiders(policy, MINE) == [f"everyone except {MINE} (Odd)"]


def test_beyond_names_each_excess_action_and_resource() -> None:
    least = allow(Action=["dynamodb:Query", "dynamodb:PutItem"], Resource=[TABLE, f"{TABLE}/index/*"])
    assert beyond([allow(Action="dynamodb:query", Resource=f"{TABLE}/index/i")], least) == []
    assert beyond([allow(Action="dynamodb:*")], least) == [f"dynamodb:* on {TABLE}"]
    assert beyond([allow(Action="dynamodb:Query", Resource="*")], least) == ["dynamodb:Query on *"]
    assert beyond([allow(Action="dynamodb:P*Item")], least) == [f"dynamodb:P*Item on {TABLE}"]
    assert beyond([allow(Effect="Deny", Action="*")], least) == []
    without = allow(NotAction="iam:*")
    del without["Statement"][0]["Action"]
    assert beyond([without], least) == [f"NotAction: iam:* on {TABLE}"]


def test_a_denial_by_notaction_and_notresource_is_read() -> None:
    (one,) = statements({"Statement": {"Effect": "Deny", "NotAction": "iam:*", "NotResource": TABLE}})
    assert one.covers_action("dynamodb:DeleteTable")
    assert not one.covers_action("iam:GetUser")
    assert not one.covers_resource(TABLE)
    assert one.covers_resource(f"{TABLE}x")


def test_only_full_access_without_a_condition_is_open() -> None:
    assert is_open(allow(Action="*", Resource="*"))
    assert is_open(allow(Action=["dynamodb:*"], Resource=["*"], Principal={"AWS": "*"}))
    assert not is_open(allow(Action="*", Resource="*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}))
    assert not is_open(allow(Action="*", Resource=TABLE))
    assert not is_open({})


def test_patterns_match_whole_texts_only() -> None:
    assert matches("dynamodb:Get*", "dynamodb:GetItem")
    assert matches("DYNAMODB:get?tem", "dynamodb:GetItem", fold=True)
    assert not matches("dynamodb:Get", "dynamodb:GetItem")
    assert not matches("a.c", "abc")

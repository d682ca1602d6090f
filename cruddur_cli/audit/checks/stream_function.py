"""Checks that the role of the stream's Lambda function allows no more than the function needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...stream_lambda import policy
from ..model import Ask, Params, Seen, Verdict, document, either, failed, passed
from ..policies import beyond
from .registry import check

_SHOWN = 6

FUNCTION = Ask(
    "lambda",
    "get_function_configuration",
    "lambda:GetFunctionConfiguration",
    lambda seen: [{"FunctionName": seen.scope.function}],
)


def _role(seen: Seen) -> str:
    return str(seen.one(FUNCTION)["Role"]).rpartition("/")[2]


def _of_role(seen: Seen) -> Iterable[Params]:
    return [{"RoleName": _role(seen)}]


def _inline(seen: Seen) -> Iterable[Params]:
    return [{"RoleName": _role(seen), "PolicyName": name} for name in seen.listed(INLINE)]


def _attached(seen: Seen) -> Iterable[Params]:
    return [{"PolicyArn": one["PolicyArn"]} for one in seen.listed(ATTACHED)]


def _versions(seen: Seen) -> Iterable[Params]:
    policies = [answer["Policy"] for answer in seen.all(MANAGED)]
    return [{"PolicyArn": one["Arn"], "VersionId": one["DefaultVersionId"]} for one in policies]


INLINE = Ask(
    "iam",
    "list_role_policies",
    "iam:ListRolePolicies",
    _of_role,
    needs=(FUNCTION,),
    pages=("PolicyNames", "Marker", "Marker"),
)
INLINE_TEXTS = Ask("iam", "get_role_policy", "iam:GetRolePolicy", _inline, needs=(FUNCTION, INLINE))
ATTACHED = Ask(
    "iam",
    "list_attached_role_policies",
    "iam:ListAttachedRolePolicies",
    _of_role,
    needs=(FUNCTION,),
    pages=("AttachedPolicies", "Marker", "Marker"),
)
MANAGED = Ask("iam", "get_policy", "iam:GetPolicy", _attached, needs=(ATTACHED,))
MANAGED_TEXTS = Ask("iam", "get_policy_version", "iam:GetPolicyVersion", _versions, needs=(MANAGED,))


def _least(seen: Seen) -> dict[str, Any]:
    """The smallest policy for the function, with the permissions for an encrypted table, any queue and a VPC."""
    scope = seen.scope
    least = policy.of(
        partition=scope.partition,
        region=scope.region,
        account=scope.account,
        table=scope.table,
        function=scope.function,
        queue="*",
    )
    keys = f"arn:{scope.partition}:kms:{scope.region}:{scope.account}:key/*"
    least["Statement"].append({"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": keys})
    if seen.one(FUNCTION).get("VpcConfig", {}).get("VpcId"):
        least["Statement"].append({"Effect": "Allow", "Action": list(policy.IN_A_VPC), "Resource": "*"})
    return least


@check(
    "function-role",
    "The stream function's role has no more permissions than it needs",
    severity="high",
    controls=(
        "AWS Well-Architected Framework, SEC03-BP02 Grant least privilege access",
        "Security Hub IAM.21",
        "AWS Config iam-policy-no-statements-with-full-access",
    ),
    asks=(FUNCTION, INLINE, INLINE_TEXTS, ATTACHED, MANAGED, MANAGED_TEXTS),
    resource=lambda scope: f"arn:{scope.partition}:lambda:{scope.region}:{scope.account}:function:{scope.function}",
)
def role(seen: Seen) -> Verdict:
    """Compares the role's policies with the smallest one, which docs/lambda.md prints."""
    texts = [answer["PolicyDocument"] for answer in seen.all(INLINE_TEXTS)]
    texts += [answer["PolicyVersion"]["Document"] for answer in seen.all(MANAGED_TEXTS)]
    name = _role(seen)
    excess = beyond([document(text) for text in texts], _least(seen))
    if not excess:
        return passed(f"{name}: no more than the least policy")
    more = f", and {len(excess) - _SHOWN} more" if len(excess) > _SHOWN else ""
    command = f"iam put-role-policy --role-name {name} --policy-name cruddur-stream --policy-document file://least.json"
    return failed(f"{name} may also: {either(excess[:_SHOWN])}{more}", remedy=seen.scope.aws(command))

"""Checks the user pool: passwords, second factors, registration, and deletion protection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..model import Ask, CannotSee, Params, Scope, Seen, Verdict, either, failed, passed
from .registry import check

LONGEST_TEMPORARY_DAYS = 7
SHORTEST_PASSWORD = 8


def _named(seen: Seen) -> Iterable[Params]:
    if seen.scope.user_pool_id is None:
        raise CannotSee("No user pool is named: set AWS_COGNITO_USER_POOL_ID.")
    return [{"UserPoolId": seen.scope.user_pool_id}]


POOL = Ask("cognito-idp", "describe_user_pool", "cognito-idp:DescribeUserPool", _named)


def _region(scope: Scope) -> str:
    """The pool's region, from its id; it may differ from the table's."""
    return scope.user_pool_id.partition("_")[0] if scope.user_pool_id and "_" in scope.user_pool_id else scope.region


def _aws(seen: Seen, command: str) -> str:
    return replace(seen.scope, region=_region(seen.scope)).aws(command)


def _resource(scope: Scope) -> str:
    return f"arn:{scope.partition}:cognito-idp:{_region(scope)}:{scope.account}:userpool/{scope.user_pool_id or '*'}"


def _pool(seen: Seen) -> dict[str, Any]:
    return dict(seen.one(POOL)["UserPool"])


def _update(seen: Seen, change: str) -> str:
    """The commands that change the pool. UpdateUserPool resets settings that are not sent, so the first reads it."""
    pool = seen.scope.user_pool_id
    read = _aws(seen, f"cognito-idp describe-user-pool --user-pool-id {pool}")
    return f"{read}; then with every setting of it: " + _aws(
        seen, f"cognito-idp update-user-pool --user-pool-id {pool} {change}"
    )


@check(
    "pool-mfa",
    "People can use a second factor to sign in",
    severity="medium",
    controls=("Security Hub Cognito.5", "AWS Config cognito-user-pool-mfa-enabled"),
    asks=(POOL,),
    resource=_resource,
)
def mfa(seen: Seen) -> Verdict:
    """Control: "MFA should be enabled for Cognito user pools", for pools with sign-in by password."""
    pool = _pool(seen)
    first = pool.get("Policies", {}).get("SignInPolicy", {}).get("AllowedFirstAuthFactors") or ["PASSWORD"]
    setting = pool.get("MfaConfiguration", "OFF")
    if "PASSWORD" not in first:
        return passed(f"no sign-in with a password: {either(first)}")
    if setting in {"ON", "OPTIONAL"}:
        return passed("a second factor is required" if setting == "ON" else "a second factor is optional")
    command = (
        f"cognito-idp set-user-pool-mfa-config --user-pool-id {seen.scope.user_pool_id} --mfa-configuration ON "
        "--software-token-mfa-configuration Enabled=true"
    )
    return failed("a second factor is off", remedy=_aws(seen, command))


@check(
    "pool-passwords",
    "The user pool requires strong passwords",
    severity="medium",
    controls=("Security Hub Cognito.3", "AWS Config cognito-user-pool-password-policy-check"),
    asks=(POOL,),
    resource=_resource,
)
def passwords(seen: Seen) -> Verdict:
    """Control: "Password policies for Cognito user pools should have strong configurations", with its defaults."""
    rules = _pool(seen).get("Policies", {}).get("PasswordPolicy", {})
    length, days = int(rules.get("MinimumLength", 0)), int(rules.get("TemporaryPasswordValidityDays", 7))
    kinds = ("Lowercase", "Uppercase", "Numbers", "Symbols")
    weak = [f"{length} characters are enough"] if length < SHORTEST_PASSWORD else []
    weak += [f"no {kind.lower()} needed" for kind in kinds if not rules.get(f"Require{kind}")]
    weak += [f"temporary passwords are valid for {days} days"] if days > LONGEST_TEMPORARY_DAYS else []
    if not weak:
        return passed(f"at least {length} characters of four kinds; temporary passwords are valid for {days} days")
    policy = f"MinimumLength={max(length, SHORTEST_PASSWORD)},"
    policy += "".join(f"Require{kind}=true," for kind in kinds)
    policy += f"TemporaryPasswordValidityDays={min(days, LONGEST_TEMPORARY_DAYS)}"
    return failed(either(weak), remedy=_update(seen, f"--policies 'PasswordPolicy={{{policy}}}'"))


@check(
    "pool-self-registration",
    "People who register have to verify an e-mail address or a phone number",
    severity="medium",
    controls=("Amazon Cognito Developer Guide, Signing up and confirming user accounts",),
    asks=(POOL,),
    resource=_resource,
)
def self_registration(seen: Seen) -> Verdict:
    """People register with Cruddur by themselves; without a verified address, programs can register too."""
    pool = _pool(seen)
    if pool.get("AdminCreateUserConfig", {}).get("AllowAdminCreateUserOnly"):
        return passed("only administrators create users")
    verified = pool.get("AutoVerifiedAttributes") or []
    if verified:
        return passed(f"anyone can register, with a verified {either(verified)}")
    change = "--auto-verified-attributes email"
    return failed("anyone can register, and no address is verified", remedy=_update(seen, change))


@check(
    "pool-deletion-protection",
    "The user pool cannot be deleted by one request",
    severity="medium",
    controls=("Security Hub Cognito.6", "AWS Config cognito-user-pool-deletion-protection-enabled"),
    asks=(POOL,),
    resource=_resource,
)
def deletion_protection(seen: Seen) -> Verdict:
    """Control: "Cognito user pools should have deletion protection enabled"."""
    if _pool(seen).get("DeletionProtection") == "ACTIVE":
        return passed("deletion protection is on")
    return failed("deletion protection is off", remedy=_update(seen, "--deletion-protection ACTIVE"))

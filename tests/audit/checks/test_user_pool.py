"""The checks of the user pool: each fails alone, with a command that fixes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cruddur_cli.audit.checks import user_pool
from cruddur_cli.audit.model import FAIL, PASS, CannotSee
from tests.audit.account import Account
from tests.audit.alone import Breaks, audit, each_change, found_alone
from tests.audit.answers import finding, seen


def _pool(**change: Any) -> Callable[[Account], None]:
    return lambda account: account.say("DescribeUserPool", lambda parsed: parsed["UserPool"].update(change))


def _weak_passwords(account: Account) -> None:
    account.say(
        "DescribeUserPool",
        lambda parsed: parsed["UserPool"]["Policies"]["PasswordPolicy"].update(MinimumLength=6, RequireSymbols=False),
    )


def _temporary(days: int) -> Callable[[Account], None]:
    """Set for how many days temporary passwords are valid."""
    return lambda account: account.say(
        "DescribeUserPool",
        lambda parsed: parsed["UserPool"]["Policies"]["PasswordPolicy"].update(TemporaryPasswordValidityDays=days),
    )


BREAKS: Breaks = {
    "pool-mfa": [_pool(MfaConfiguration="OFF")],
    "pool-passwords": [_weak_passwords, _temporary(8)],
    "pool-self-registration": [_pool(AutoVerifiedAttributes=[])],
    "pool-deletion-protection": [_pool(DeletionProtection="INACTIVE")],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_fails_alone_with_a_command_that_fixes_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


def test_temporary_passwords_may_be_valid_for_seven_days(account: Account) -> None:
    _temporary(7)(account)
    assert audit(account)["pool-passwords"].result == PASS


# What is decided from answers that no test makes moto give.


def _found(check: str, **pool: Any) -> tuple[str, str, str]:
    found = finding(check, {user_pool.POOL: {"UserPool": pool}})
    return found.result, found.evidence, found.remedy or ""


@pytest.mark.parametrize(
    ("pool", "evidence"),
    [
        ({"MfaConfiguration": "ON"}, "a second factor is required"),
        ({"MfaConfiguration": "OPTIONAL"}, "a second factor is optional"),
        ({"MfaConfiguration": "OFF"}, "a second factor is off"),
        ({}, "a second factor is off"),
        (
            {"Policies": {"SignInPolicy": {"AllowedFirstAuthFactors": ["EMAIL_OTP", "WEB_AUTHN"]}}},
            "no sign-in with a password: EMAIL_OTP, WEB_AUTHN",
        ),
        ({"Policies": {"SignInPolicy": {"AllowedFirstAuthFactors": ["PASSWORD"]}}}, "a second factor is off"),
        ({"Policies": {"SignInPolicy": {}}}, "a second factor is off"),
    ],
)
def test_who_signs_in_with_a_password_can_use_a_second_factor(pool: dict[str, Any], evidence: str) -> None:
    result, said, _ = _found("pool-mfa", **pool)
    assert (result, said) == (FAIL if evidence.endswith("off") else PASS, evidence)


def _passwords(**rules: Any) -> tuple[str, str, str]:
    kinds = {f"Require{kind}": True for kind in ("Lowercase", "Uppercase", "Numbers", "Symbols")}
    return _found("pool-passwords", Policies={"PasswordPolicy": {"MinimumLength": 8, **kinds, **rules}})


def test_a_password_has_eight_characters_of_four_kinds() -> None:
    words = "at least 8 characters of four kinds; temporary passwords are valid for 7 days"
    assert _passwords() == (PASS, words, "")
    assert _passwords(TemporaryPasswordValidityDays=2)[1].endswith("valid for 2 days")
    result, evidence, remedy = _passwords(MinimumLength=7, RequireNumbers=False, TemporaryPasswordValidityDays=8)
    assert (result, evidence) == (
        FAIL,
        "7 characters are enough, no numbers needed, temporary passwords are valid for 8 days",
    )
    kinds = "RequireLowercase=true,RequireUppercase=true,RequireNumbers=true,RequireSymbols=true"
    assert f"PasswordPolicy={{MinimumLength=8,{kinds},TemporaryPasswordValidityDays=7}}" in remedy


def test_what_is_stronger_than_needed_stays_as_it_is() -> None:
    _, _, remedy = _passwords(MinimumLength=20, RequireSymbols=False, TemporaryPasswordValidityDays=3)
    assert "MinimumLength=20," in remedy
    assert "TemporaryPasswordValidityDays=3}" in remedy


def test_a_pool_without_rules_for_passwords_lacks_each_of_them() -> None:
    assert _found("pool-passwords")[1] == (
        "0 characters are enough, no lowercase needed, no uppercase needed, no numbers needed, no symbols needed"
    )


@pytest.mark.parametrize(
    ("pool", "evidence"),
    [
        ({"AdminCreateUserConfig": {"AllowAdminCreateUserOnly": True}}, "only administrators create users"),
        ({"AutoVerifiedAttributes": ["email"]}, "anyone can register, with a verified email"),
        (
            {"AdminCreateUserConfig": {"AllowAdminCreateUserOnly": False}},
            "anyone can register, and no address is verified",
        ),
        ({}, "anyone can register, and no address is verified"),
    ],
)
def test_who_may_register(pool: dict[str, Any], evidence: str) -> None:
    result, said, _ = _found("pool-self-registration", **pool)
    assert (result, said) == (FAIL if "no address" in evidence else PASS, evidence)


@pytest.mark.parametrize(
    ("pool", "region"),
    [("us-east-1_Abc", "us-east-1"), ("named-otherwise", "eu-central-1"), (None, "eu-central-1")],
)
def test_the_region_of_a_pool_is_the_one_that_its_id_begins_with(pool: str | None, region: str) -> None:
    found = finding("pool-deletion-protection", {user_pool.POOL: {"UserPool": {}}}, user_pool_id=pool)
    assert found.resource == f"arn:aws:cognito-idp:{region}:123456789012:userpool/{pool or '*'}"
    assert str(found.remedy).endswith(f"--deletion-protection ACTIVE --region {region}")


def test_only_a_pool_that_is_named_is_read() -> None:
    assert list(user_pool.POOL.params(seen({}))) == [{"UserPoolId": "eu-central-1_pool"}]
    with pytest.raises(CannotSee, match="set AWS_COGNITO_USER_POOL_ID"):
        user_pool.POOL.params(seen({}, user_pool_id=None))

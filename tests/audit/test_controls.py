"""The controls in checks exist at AWS, and each has its page."""

from __future__ import annotations

import pytest

from cruddur_cli.audit import controls
from cruddur_cli.audit.checks import CHECKS

# The rule that AWS Security Hub's User Guide names for each control; None where it is a rule of Security Hub's own, or
# there is none.
RULES = {
    "CloudTrail.1": "multi-region-cloudtrail-enabled",
    "CloudTrail.3": "cloudtrail-enabled",
    "CloudWatch.15": "cloudwatch-alarm-action-check",
    "Cognito.3": "cognito-user-pool-password-policy-check",
    "Cognito.5": "cognito-user-pool-mfa-enabled",
    "Cognito.6": "cognito-user-pool-deletion-protection-enabled",
    "Config.1": None,
    "DynamoDB.1": "dynamodb-autoscaling-enabled",
    "DynamoDB.2": "dynamodb-pitr-enabled",
    "DynamoDB.5": None,
    "DynamoDB.6": "dynamodb-table-deletion-protection-enabled",
    "EC2.18": "vpc-sg-open-only-to-authorized-ports",
    "EC2.19": "restricted-common-ports",
    "IAM.21": "iam-policy-no-statements-with-full-access",
    "KMS.3": None,
    "RDS.2": "rds-instance-public-access-check",
    "RDS.3": "rds-storage-encrypted",
    "RDS.8": "rds-instance-deletion-protection-enabled",
    "RDS.11": "db-instance-backup-enabled",
    "RDS.13": "rds-automatic-minor-version-upgrade-enabled",
}
# Managed rules for what no control of Security Hub asks for.
ALONE = {
    "dynamodb-last-backup-recovery-point-created",
    "dynamodb-table-encrypted-kms",
    "kms-cmk-not-scheduled-for-deletion",
    "service-vpc-endpoint-enabled",
}


def test_each_control_has_the_rule_that_aws_names_for_it() -> None:
    seen = set()
    for check in CHECKS:
        hub = [name.removeprefix("Security Hub ") for name in check.controls if name.startswith("Security Hub ")]
        rules = {name.removeprefix("AWS Config ") for name in check.controls if name.startswith("AWS Config ")}
        expected = {rule for name in hub if (rule := RULES[name])}
        assert rules - ALONE - set(RULES.values()) == set(), check.name
        assert expected <= rules, check.name
        seen |= set(hub)
    assert seen == set(RULES)


@pytest.mark.parametrize(
    ("control", "page"),
    [
        ("Security Hub DynamoDB.6", "securityhub/latest/userguide/dynamodb-controls.html#dynamodb-6"),
        ("AWS Config dynamodb-pitr-enabled", "config/latest/developerguide/dynamodb-pitr-enabled.html"),
        (
            "Amazon RDS User Guide, Rotating your SSL/TLS certificate",
            "AmazonRDS/latest/UserGuide/UsingWithRDS.SSL-certificate-rotation.html",
        ),
    ],
)
def test_a_control_has_the_page_that_describes_it(control: str, page: str) -> None:
    assert controls.page(control) == f"https://docs.aws.amazon.com/{page}"


def test_every_check_has_a_page_or_the_title_of_one() -> None:
    titles = {name for check in CHECKS for name in check.controls if controls.page(name) is None}
    assert all(", " in title for title in titles), titles

"""Deletion protection and point-in-time recovery."""

from __future__ import annotations

from typing import Any

from cruddur_cli.dynamodb import protection, tables
from cruddur_cli.dynamodb.client import DynamoDB
from tests.dynamodb import aws_by_moto
from tests.dynamodb.aws_by_moto import silent


def test_protection_waits_until_a_new_table_can_have_it(aws: DynamoDB) -> None:
    refused = aws_by_moto.refuses(aws, "UpdateContinuousBackups", "ContinuousBackupsUnavailableException")
    done = protection.protect(aws, on=True, production=True, dry_run=False, say=silent)
    assert {one.result for one in done} == {"changed"}
    assert len(refused) == 1
    assert tables.is_stamped(aws)


def test_an_engine_that_knows_no_recovery_or_forgets_protection_says_so(aws: DynamoDB) -> None:
    aws_by_moto.refuses(aws, "DescribeContinuousBackups", "UnknownOperationException")

    def forgets(parsed: dict[str, Any]) -> None:
        parsed["Table"]["DeletionProtectionEnabled"] = False

    aws_by_moto.answers(aws, "DescribeTable", *[forgets] * 5)
    done = protection.protect(aws, on=True, production=False, dry_run=False, say=silent)
    assert [(one.setting, one.after, one.result) for one in done] == [
        ("deletion protection", "off", "not known to this engine"),
        ("point-in-time recovery", "off", "not known to this engine"),
    ]

"""The checks of the table: each is found alone, and tells the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cruddur_cli.audit.model import FAIL, PASS
from tests.audit.account import ARN, SCALED, TABLE, Account, backed_up, client, recovery
from tests.audit.alone import Breaks, audit, each_change, found_alone


def _sse_off(account: Account) -> None:
    account.say("DescribeTable", lambda parsed: parsed["Table"].pop("SSEDescription", None))


def _key_deleted(account: Account) -> None:
    client("kms").schedule_key_deletion(KeyId=account.key, PendingWindowInDays=7)


def _key_disabled(account: Account) -> None:
    client("kms").disable_key(KeyId=account.key)


def _unprotected(_: Account) -> None:
    client("dynamodb").update_table(TableName=TABLE, DeletionProtectionEnabled=False)


def _no_backup(_: Account) -> None:
    dynamodb = client("dynamodb")
    for one in dynamodb.list_backups(TableName=TABLE)["BackupSummaries"]:
        dynamodb.delete_backup(BackupArn=one["BackupArn"])


def _old_backup(account: Account) -> None:
    account.say("ListBackups", backed_up(account.now - timedelta(days=8)))


def _no_tags(_: Account) -> None:
    client("dynamodb").untag_resource(ResourceArn=ARN, TagKeys=["Project"])


def _fixed(resource: str, dimension: str) -> Callable[[Account], None]:
    return lambda _: client("application-autoscaling").deregister_scalable_target(
        ServiceNamespace="dynamodb", ResourceId=resource, ScalableDimension=dimension
    )


def table_policy(principal: object, condition: dict[str, Any] | None = None) -> None:
    statement: dict[str, Any] = {
        "Sid": "Readers",
        "Effect": "Allow",
        "Principal": principal,
        "Action": "dynamodb:GetItem",
        "Resource": ARN,
    }
    if condition:
        statement["Condition"] = condition
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client("dynamodb").put_resource_policy(ResourceArn=ARN, Policy=text)


def _expiring(_: Account) -> None:
    specification = {"Enabled": True, "AttributeName": "expires"}
    client("dynamodb").update_time_to_live(TableName=TABLE, TimeToLiveSpecification=specification)


BREAKS: Breaks = {
    "table-encryption": [_sse_off],
    "table-key": [_key_deleted, _key_disabled],
    "table-deletion-protection": [_unprotected],
    "table-point-in-time-recovery": [lambda _: recovery(False, 0), lambda _: recovery(True, 6)],
    "table-backup": [_no_backup, _old_backup],
    "table-tags": [_no_tags],
    "table-scaling": [_fixed(*target) for target in SCALED],
    "table-resource-policy": [
        lambda _: table_policy("*"),
        lambda _: table_policy({"AWS": "arn:aws:iam::210987654321:root"}),
    ],
    "table-time-to-live": [_expiring],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)


@pytest.mark.parametrize(("days", "result"), [(7, PASS), (6, FAIL)])
def test_a_window_of_seven_days_is_enough(account: Account, days: int, result: str) -> None:
    recovery(on=True, days=days)
    assert audit(account)["table-point-in-time-recovery"].result == result


def test_the_backups_are_counted(account: Account) -> None:
    assert audit(account)["table-backup"].evidence.startswith("1 backup, the last on ")
    client("dynamodb").create_backup(TableName=TABLE, BackupName="another")
    assert audit(account)["table-backup"].evidence.startswith("2 backups, the last on ")

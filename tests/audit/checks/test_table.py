"""The checks of the table: each fails alone, with a command that fixes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cruddur_cli.audit.checks import table
from cruddur_cli.audit.model import FAIL, PASS
from tests.audit.account import ARN, SCALED, TABLE, Account, backed_up, client, recovery
from tests.audit.alone import Breaks, audit, each_change, found_alone
from tests.audit.answers import NOW, finding, passes, seen


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
def test_each_fails_alone_with_a_command_that_fixes_it(
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


# What is decided from answers that no test makes moto give.


def _table(**fields: Any) -> dict[Any, Any]:
    return {table.TABLE: {"Table": fields}}


@pytest.mark.parametrize(
    ("description", "is_encrypted"),
    [
        ({"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": "arn:k"}, True),
        ({"Status": "UPDATING", "SSEType": "KMS"}, True),
        ({"Status": "DISABLING", "SSEType": "KMS"}, False),
        ({"Status": "ENABLED", "SSEType": "AES256"}, False),
        ({}, False),
    ],
)
def test_a_table_is_encrypted_while_its_key_in_kms_is_in_use(description: dict[str, str], is_encrypted: bool) -> None:
    assert passes("table-encryption", _table(SSEDescription=description)) is is_encrypted


def _key(state: str = "Enabled", *, deleted: datetime | None = None, **sse: Any) -> tuple[str, str | None]:
    key: dict[str, Any] = {"Arn": "arn:k", "KeyId": "k", "KeyState": state, "KeyManager": "CUSTOMER"}
    if deleted:
        key["DeletionDate"] = deleted
    found = finding("table-key", {**_table(SSEDescription=sse), table.KEY: {"KeyMetadata": key}})
    return found.evidence, found.remedy


def test_a_key_that_is_lost_is_named_with_the_day() -> None:
    until, lost = datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    assert _key() == ("arn:k is enabled, managed by customer", None)
    pending = "aws kms cancel-key-deletion --key-id k --region eu-central-1"
    enable = "aws kms enable-key --key-id k --region eu-central-1"
    assert _key("PendingDeletion", deleted=until) == ("arn:k is PendingDeletion, on 2026-12-01", pending)
    assert _key("Disabled") == ("arn:k is Disabled", enable)
    assert _key(InaccessibleEncryptionDateTime=lost) == ("arn:k is Enabled; no access since 2026-11-02", enable)
    assert finding("table-key", {**_table(), table.KEY: []}).evidence.startswith("AWS owns the key; ")


def test_the_key_that_is_read_is_the_table_s() -> None:
    assert list(table.KEY.params(seen(_table(SSEDescription={"KMSMasterKeyArn": "arn:k"})))) == [{"KeyId": "arn:k"}]
    assert list(table.KEY.params(seen(_table()))) == []


def _recovery(**description: Any) -> tuple[str, str | None]:
    answer = {"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": description}}
    found = finding("table-point-in-time-recovery", {table.RECOVERY: answer})
    return found.evidence, found.remedy


def test_the_window_of_a_restore_is_said_where_both_of_its_ends_are_known() -> None:
    since, until = datetime(2026, 11, 1, 10, 30, tzinfo=UTC), datetime(2026, 11, 20, 11, 55, tzinfo=UTC)
    on = {"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": 7}
    assert _recovery(**on) == ("point-in-time recovery is on for 7 days", None)
    assert _recovery(PointInTimeRecoveryStatus="ENABLED") == ("point-in-time recovery is on for 35 days", None)
    both = {"EarliestRestorableDateTime": since, "LatestRestorableDateTime": until}
    words = "point-in-time recovery is on for 7 days, today from 2026-11-01 10:30Z to 2026-11-20 11:55Z"
    assert _recovery(**on, **both) == (words, None)
    for name, moment in both.items():
        assert _recovery(**on, **{name: moment}) == ("point-in-time recovery is on for 7 days", None)
    off = _recovery(PointInTimeRecoveryStatus="DISABLED")
    assert off == ("point-in-time recovery is off", "cruddur ddb protect --table cruddur-messages --prod")
    assert "RecoveryPeriodInDays=35" in str(_recovery(PointInTimeRecoveryStatus="ENABLED", RecoveryPeriodInDays=6)[1])


def _backup(name: str, days: float, status: str = "AVAILABLE") -> dict[str, Any]:
    return {"BackupName": name, "BackupStatus": status, "BackupCreationDateTime": NOW - timedelta(days=days)}


def test_the_newest_backup_that_is_available_is_not_older_than_seven_days() -> None:
    def found(*backups: dict[str, Any]) -> tuple[str, str]:
        one = finding("table-backup", {table.BACKUPS: {"BackupSummaries": list(backups)}})
        return one.result, one.evidence

    assert found(_backup("old", 9), _backup("new", 7), _backup("mid", 8)) == (
        PASS,
        "3 backups, the last on 2026-11-13 (new)",
    )
    assert found(_backup("a", 7.001)) == (FAIL, "1 backup, the last on 2026-11-13 (a)")
    assert found(_backup("a", 1, "CREATING")) == (FAIL, "there is no backup")
    assert found(_backup("a", 1, "CREATING"), _backup("b", 9)) == (FAIL, "1 backup, the last on 2026-11-11 (b)")


def test_tags_of_aws_itself_name_no_owner() -> None:
    assert not passes("table-tags", {table.TAGS: {"Tags": [{"Key": "aws:cloudformation:stack-name"}]}})
    found = finding("table-tags", {table.TAGS: {"Tags": [{"Key": "aws:x"}, {"Key": "Owner"}, {"Key": "Project"}]}})
    assert found.evidence == "tags: Owner, Project"


def test_a_table_on_demand_needs_no_scaling_and_each_missing_one_is_named() -> None:
    assert passes("table-scaling", {**_table(BillingModeSummary={"BillingMode": "PAY_PER_REQUEST"}), table.SCALING: []})
    provisioned = _table(
        BillingModeSummary={"BillingMode": "PROVISIONED"}, GlobalSecondaryIndexes=[{"IndexName": "by-group"}]
    )
    have = [{"ResourceId": f"table/{TABLE}", "ScalableDimension": "dynamodb:table:ReadCapacityUnits"}]
    found = finding("table-scaling", {**provisioned, table.SCALING: {"ScalableTargets": have}})
    assert found.evidence == (
        "provisioned without scaling: WriteCapacityUnits of the table,"
        " ReadCapacityUnits of by-group, WriteCapacityUnits of by-group"
    )


def test_without_a_resource_policy_no_other_account_is_allowed() -> None:
    def found(**answer: str) -> tuple[str, str]:
        one = finding("table-resource-policy", {table.RESOURCE_POLICY: answer})
        return one.result, one.evidence

    statement = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "*", "Resource": "*"}
    assert found() == (PASS, "no resource policy")
    own = "the resource policy allows no other account"
    assert found(Policy=json.dumps({"Statement": [statement]})) == (PASS, own)
    other = {**statement, "Principal": {"AWS": "210987654321"}}
    assert found(Policy=json.dumps({"Statement": [other]})) == (FAIL, "the resource policy allows: 210987654321")


@pytest.mark.parametrize(
    ("status", "is_off"), [("ENABLED", False), ("ENABLING", False), ("DISABLING", True), ("DISABLED", True)]
)
def test_time_to_live_is_off_unless_it_is_on_or_being_turned_on(status: str, is_off: bool) -> None:
    answer = {"TimeToLiveDescription": {"TimeToLiveStatus": status, "AttributeName": "it's"}}
    found = finding("table-time-to-live", {table.TIME_TO_LIVE: answer})
    assert (found.result == PASS) is is_off
    assert is_off or "AttributeName=it" in str(found.remedy)


def test_a_table_without_deletion_protection_is_protected_by_a_command() -> None:
    assert passes("table-deletion-protection", _table(DeletionProtectionEnabled=True))
    for fields in ({"DeletionProtectionEnabled": False}, {}):
        found = finding("table-deletion-protection", _table(**fields))
        assert (found.result, found.remedy) == (FAIL, "cruddur ddb protect --table cruddur-messages --prod")

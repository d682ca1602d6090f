"""Backups by moto; the states on the way, which it does not show, are injected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cruddur_cli.dynamodb import backups
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.errors import BadInput, CannotConnect, Refused
from tests.dynamodb import aws_by_moto
from tests.dynamodb.aws_by_moto import silent


def creating(parsed: dict[str, Any]) -> None:
    parsed["BackupDescription"]["BackupDetails"]["BackupStatus"] = "CREATING"


def restoring(parsed: dict[str, Any]) -> None:
    parsed["Table"]["TableStatus"] = "CREATING"


def test_creating_a_backup_waits_and_reports_each_state_once(aws: DynamoDB) -> None:
    changed = aws_by_moto.answers(aws, "DescribeBackup", creating, creating)
    said: list[str] = []
    made, is_new = backups.create(aws, "weekly", say=said.append, wait_s=30)
    assert (made.status, is_new, len(changed), said) == ("AVAILABLE", True, 2, ["backup weekly: creating"])


def test_waiting_ends_and_the_backup_continues(aws: DynamoDB) -> None:
    aws_by_moto.answers(aws, "DescribeBackup", *[creating] * 50)
    with pytest.raises(CannotConnect, match="backup weekly: creating, and not done after 0 s") as caught:
        backups.create(aws, "weekly", say=silent, wait_s=0)
    assert caught.value.code == "still_running"
    assert [one.backup for one in backups.listed(aws)] == ["weekly"]


def test_a_backup_that_is_deleted_meanwhile_is_an_error(aws: DynamoDB) -> None:
    def deleted(parsed: dict[str, Any]) -> None:
        parsed["BackupDescription"]["BackupDetails"]["BackupStatus"] = "DELETED"

    aws_by_moto.answers(aws, "DescribeBackup", deleted)
    with pytest.raises(Refused, match="is DELETED"):
        backups.create(aws, "weekly", say=silent, wait_s=5)


def test_a_backup_of_a_new_table_is_retried_until_backups_are_enabled(aws: DynamoDB) -> None:
    refused = aws_by_moto.refuses(aws, "CreateBackup", *["ContinuousBackupsUnavailableException"] * 2)
    assert backups.create(aws, "weekly", say=silent, wait_s=5)[1]
    assert len(refused) == 2


@pytest.mark.parametrize("name", ["ab", "a b", "a/b", "x" * 256, ""])
def test_a_backup_name_that_dynamodb_does_not_accept_is_refused(aws: DynamoDB, name: str) -> None:
    with pytest.raises(BadInput):
        backups.create(aws, name, say=silent, wait_s=5)


def test_the_default_name_of_a_backup_is_the_table_and_the_second() -> None:
    moment = datetime(2026, 11, 20, 10, 0, 1, tzinfo=UTC)
    assert backups.name_at("messages", moment) == "messages-20261120T100001Z"
    backups.check_name(backups.name_at("x" * 255, moment))


def test_a_restore_waits_and_compares_the_table_with_its_source(aws: DynamoDB) -> None:
    backup, _ = backups.create(aws, "weekly", say=silent, wait_s=5)
    aws_by_moto.answers(aws, "DescribeTable", lambda _: None, restoring, restoring)
    said: list[str] = []
    done = backups.restore(aws, "second", backup=backup, moment=None, say=said.append, wait_s=30)
    assert (done.status, done.expected_items, done.differences) == ("ACTIVE", 3, ())
    assert "table second: creating" in said


def test_an_index_that_was_not_restored_is_named(aws: DynamoDB) -> None:
    backup, _ = backups.create(aws, "weekly", say=silent, wait_s=5)

    def without(parsed: dict[str, Any]) -> None:
        if parsed.get("Table", {}).get("TableName") == "second":
            parsed["Table"]["GlobalSecondaryIndexes"] = []

    aws_by_moto.answers(aws, "DescribeTable", *[without] * 10)
    done = backups.restore(aws, "second", backup=backup, moment=None, say=silent, wait_s=30)
    assert any("message-group-sk-index" in each for each in done.differences)


def test_times_outside_the_recovery_window_are_refused(aws: DynamoDB) -> None:
    assert backups.window(aws) is None
    now = datetime(2026, 11, 20, 10, tzinfo=UTC)

    def enabled(parsed: dict[str, Any]) -> None:
        parsed["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"] = {
            "PointInTimeRecoveryStatus": "ENABLED",
            "EarliestRestorableDateTime": now - timedelta(days=35),
            "LatestRestorableDateTime": now,
        }

    aws_by_moto.answers(aws, "DescribeContinuousBackups", *[enabled] * 3)
    backups.check_moment(aws, now - timedelta(days=3))
    for moment in (now + timedelta(minutes=5), now - timedelta(days=36)):
        with pytest.raises(Refused) as caught:
            backups.check_moment(aws, moment)
        assert caught.value.hint == "--to-time between 2026-10-16T10:00:00Z and 2026-11-20T10:00:00Z"


def test_items_are_counted_over_all_pages(aws: DynamoDB) -> None:
    def page(parsed: dict[str, Any]) -> None:
        parsed.update(Items=parsed["Items"][:2], LastEvaluatedKey={"pk": {"S": "MSG#g"}, "sk": {"S": "1"}})

    aws_by_moto.answers(aws, "Scan", page)
    assert backups.count(aws) == 2 + 3


def test_all_pages_of_backups_are_listed_the_newest_first(aws: DynamoDB) -> None:
    for name in ("one", "two"):
        backups.create(aws, name, say=silent, wait_s=5)

    def more(parsed: dict[str, Any]) -> None:
        parsed["LastEvaluatedBackupArn"] = f"arn:aws:dynamodb:eu-central-1:123456789012:table/{aws.table}/backup/1"
        del parsed["BackupSummaries"][1:]

    aws_by_moto.answers(aws, "ListBackups", more)
    found = backups.listed(aws)
    assert len(found) == 3
    assert found == sorted(found, key=lambda one: str(one.created_at), reverse=True)

"""A table's protection is changed, and its settings are given to the table that replaces it."""

from __future__ import annotations

from typing import Any

import pytest

from cruddur_cli.dynamodb import table_settings, tables
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.errors import Refused
from tests import faults
from tests.dynamodb import aws_by_moto
from tests.dynamodb.aws_by_moto import silent
from tests.dynamodb.rows import everything, message_row, write


def say(_: str) -> None: ...


def knows_tags(dynamodb: DynamoDB) -> bool:
    return not str(tables.description(dynamodb)["TableArn"]).startswith(tables.UNTAGGED)


def made_again(dynamodb: DynamoDB) -> table_settings.TableSettings:
    kept = table_settings.read(dynamodb)
    table_settings.check_rights(dynamodb, kept)
    tables.drop(dynamodb, say=say)
    tables.create(dynamodb, like=kept.create, index_throughput=kept.index_throughput, say=say)
    assert table_settings.restore(dynamodb, kept) == []
    return table_settings.read(dynamodb)


def test_a_recreated_table_has_billing_stream_and_ttl_of_the_old_one(dynamodb: DynamoDB) -> None:
    view = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    dynamodb.call("update_table", TableName=dynamodb.table, StreamSpecification=view)
    tables.wait_ready(dynamodb, say=say)
    wanted = {"Enabled": True, "AttributeName": "expires_at"}
    dynamodb.call("update_time_to_live", TableName=dynamodb.table, TimeToLiveSpecification=wanted)
    before = table_settings.read(dynamodb)
    assert "stream NEW_AND_OLD_IMAGES, time to live by expires_at" in str(before)
    after = made_again(dynamodb)
    assert (after.create, after.time_to_live) == (before.create, before.time_to_live)
    assert after.stream_arn != before.stream_arn
    (lost,) = before.lost()[:1]
    assert str(before.stream_arn) in lost
    assert "Lambda" in lost


@pytest.mark.parametrize("on_demand", [False, True])
def test_a_recreated_table_has_the_billing_of_the_old_one(dynamodb: DynamoDB, on_demand: bool) -> None:
    tables.drop(dynamodb, say=say)
    like = {} if on_demand else {"ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 9}}
    tables.create(dynamodb, on_demand=on_demand, like=like or None, say=say)
    before = tables.describe(dynamodb).billing
    assert before == ("on demand" if on_demand else "provisioned, 7 RCU / 9 WCU")
    made_again(dynamodb)
    assert tables.describe(dynamodb).billing == before


def test_tags_and_recovery_are_kept_if_the_engine_supports_them(dynamodb: DynamoDB) -> None:
    if not knows_tags(dynamodb):
        kept = table_settings.read(dynamodb)
        assert (kept.tags, kept.recovery) == ((), None)
        return
    tables.tag(dynamodb, [{"Key": "team", "Value": "blue"}])
    wanted = {"PointInTimeRecoveryEnabled": True}
    dynamodb.call("update_continuous_backups", TableName=dynamodb.table, PointInTimeRecoverySpecification=wanted)
    before = table_settings.read(dynamodb)
    assert any("earlier times" in text for text in before.lost())
    after = made_again(dynamodb)
    assert after.tags == ({"Key": "team", "Value": "blue"},)
    assert after.recovery == before.recovery
    assert after.recovery is not None


def test_a_provisioned_table_is_switched_to_on_demand(dynamodb: DynamoDB) -> None:
    before = tables.describe(dynamodb).billing
    assert tables.make_on_demand(dynamodb, say=say, dry_run=True) == (before, "on demand")
    assert tables.describe(dynamodb).billing == before
    assert tables.make_on_demand(dynamodb, say=say) == (before, "on demand")
    assert tables.describe(dynamodb).billing == "on demand"
    assert tables.make_on_demand(dynamodb, say=say) is None


@pytest.mark.parametrize("operation", ["CreateTable", "BatchWriteItem", "PutItem", "DeleteItem"])
def test_a_missing_right_is_found_before_the_table_is_dropped(dynamodb: DynamoDB, operation: str) -> None:
    write(dynamodb, [message_row("2026", "hello")])
    before = everything(dynamodb)
    kept = table_settings.read(dynamodb)
    faults.answers(dynamodb.client, operation, "AccessDeniedException", times=faults.FOREVER)
    with pytest.raises(Refused, match=f"lack the permission dynamodb:{operation}. Nothing was changed"):
        table_settings.check_rights(dynamodb, kept)
    assert everything(dynamodb) == before


def test_checking_rights_changes_no_item(dynamodb: DynamoDB) -> None:
    write(dynamodb, [message_row("2026", "hello")])
    before = everything(dynamodb)
    table_settings.check_rights(dynamodb, table_settings.read(dynamodb))
    assert everything(dynamodb) == before


def test_a_setting_that_cannot_be_restored_is_reported(dynamodb: DynamoDB) -> None:
    kept = table_settings.TableSettings(time_to_live="expires_at")
    faults.answers(dynamodb.client, "UpdateTimeToLive", "LimitExceededException", times=faults.FOREVER)
    (failed,) = table_settings.restore(dynamodb, kept)
    assert failed.startswith("time to live: ")


def test_protection_is_retried_until_a_new_table_accepts_it(aws: DynamoDB) -> None:
    refused = aws_by_moto.refuses(aws, "UpdateContinuousBackups", "ContinuousBackupsUnavailableException")
    done = table_settings.protect(aws, on=True, production=True, dry_run=False, say=silent)
    assert {one.result for one in done} == {"changed"}
    assert len(refused) == 1
    assert tables.is_production(aws)


def test_protection_that_an_engine_does_not_support_is_reported(aws: DynamoDB) -> None:
    aws_by_moto.refuses(aws, "DescribeContinuousBackups", "UnknownOperationException")

    def forgets(parsed: dict[str, Any]) -> None:
        parsed["Table"]["DeletionProtectionEnabled"] = False

    aws_by_moto.answers(aws, "DescribeTable", *[forgets] * 5)
    done = table_settings.protect(aws, on=True, production=False, dry_run=False, say=silent)
    assert [(one.setting, one.after, one.result) for one in done] == [
        ("deletion protection", "off", "not known to this engine"),
        ("point-in-time recovery", "off", "not known to this engine"),
    ]

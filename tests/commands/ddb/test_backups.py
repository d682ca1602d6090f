"""``ddb backup``, ``list-backups``, ``restore``, ``protect``, and the backup before a table is dropped."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.dynamodb import backups, tables
from cruddur_cli.dynamodb.client import DynamoDB
from tests import processes
from tests.commands.conftest import Here, parsed
from tests.commands.production import TABLE, Run, client, make_table, production
from tests.dynamodb.rows import everything

__all__ = ["production"]


def body(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


# On AWS, by moto.


def test_a_backup_is_created_once_listed_and_restored_into_a_new_table(production: Run) -> None:
    dynamodb = make_table()
    made = production("ddb", "backup", "weekly", "--prod", "-o", "json")
    assert made.code == 0, made.err
    (item,) = body(made.out)["items"]
    assert (item["backup"], item["table_name"], item["type"], item["status"]) == (
        "weekly",
        TABLE,
        "on demand",
        "AVAILABLE",
    )
    again = body(production("ddb", "backup", "weekly", "--prod", "-o", "json").out)
    assert (again["written"], again["unchanged"]) == (0, 1)
    assert len(body(production("ddb", "list-backups", "--prod", "-o", "json").out)["items"]) == 1

    ran = production("ddb", "restore", "weekly", "--into", "messages-2", "--prod")
    assert ran.code == 0, ran.err
    assert dynamodb.scan(TableName="messages-2", Select="COUNT")["Count"] == 3
    table = dynamodb.describe_table(TableName="messages-2")["Table"]
    assert table["DeletionProtectionEnabled"]
    tags = dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    assert {"Key": "cruddur:environment", "Value": "production"} in tags
    recovery = dynamodb.describe_continuous_backups(TableName="messages-2")["ContinuousBackupsDescription"]
    assert recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert "DDB_MESSAGE_TABLE=messages-2" in ran.err
    assert "cruddur ddb protect --off --table cruddur-messages --prod" in ran.err
    # The old one is as it was.
    assert not dynamodb.describe_table(TableName=TABLE)["Table"]["DeletionProtectionEnabled"]


def test_the_backups_of_a_table_that_was_dropped_are_listed(production: Run) -> None:
    make_table(TABLE, items=1)
    assert production("ddb", "drop", "--prod", "--confirm", TABLE).code == 0
    ran = production("ddb", "list-backups", "--prod", "-o", "json")
    assert (ran.code, json.loads(ran.out)["count"]) == (0, 1), ran.err
    assert f"cruddur ddb restore BACKUP --into {TABLE} --prod" in ran.err


def test_a_restore_that_was_interrupted_is_waited_for_and_another_table_is_refused(production: Run) -> None:
    make_table()
    production("ddb", "backup", "weekly", "--prod")
    assert production("ddb", "restore", "weekly", "--into", "messages-2", "--prod").code == 0
    again = production("ddb", "restore", "weekly", "--into", "messages-2", "--prod", "-o", "json")
    assert again.code == 0, again.err
    assert "its restore was started before" in again.err
    (item,) = body(again.out)["items"]
    assert (item["expected_items"], item["items"], item["differences"]) == (3, 3, [])
    make_table("other", items=0)
    refused = production("ddb", "restore", "weekly", "--into", "other", "--prod")
    assert refused.code == 6
    assert "--into other-restored" in refused.err


def test_a_table_is_restored_to_a_time_of_its_recovery_window(production: Run) -> None:
    dynamodb = make_table()
    without = production("ddb", "restore", "--to-time", "2026-11-20T10:00Z", "--into", "messages-2", "--prod")
    assert (without.code, "no point-in-time recovery" in without.err) == (5, True)
    assert production("ddb", "protect", "--prod").code == 0
    early = production("ddb", "restore", "--to-time", "2001-01-01T10:00Z", "--into", "messages-2", "--prod")
    assert (early.code, "--to-time between" in early.err) == (5, True)
    last = dynamodb.describe_continuous_backups(TableName=TABLE)["ContinuousBackupsDescription"]
    moment = times.sort_key(last["PointInTimeRecoveryDescription"]["LatestRestorableDateTime"])
    ran = production("ddb", "restore", "--to-time", moment, "--into", "messages-2", "--prod")
    assert ran.code == 0, ran.err
    assert dynamodb.scan(TableName="messages-2", Select="COUNT")["Count"] == 3


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("today", datetime(2026, 11, 20, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 19, tzinfo=UTC)),
        ("1h", datetime(2026, 11, 20, 15, 30, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 13, 16, 30, tzinfo=UTC)),
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_a_table_is_restored_to_a_day_or_to_a_length_of_time_before_now(
    production: Run, in_utc: None, monkeypatch: pytest.MonkeyPatch, typed: str, meant: datetime
) -> None:
    monkeypatch.setattr(times, "now", lambda: datetime(2026, 11, 20, 16, 30, tzinfo=UTC))
    recovery = (datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 11, 20, 16, 25, tzinfo=UTC))
    monkeypatch.setattr(backups, "window", lambda _: recovery)
    asked: list[datetime] = []

    def restore(*_: object, moment: datetime, **__: object) -> backups.Restored:
        asked.append(moment)
        return backups.Restored("messages-2", TABLE, "ACTIVE", 3, 3, ())

    monkeypatch.setattr(backups, "restore", restore)
    make_table("messages-2")
    words = ("ddb", "restore", "--to-time", typed, "--into", "messages-2", "--prod")
    assert f"{TABLE} at {meant:%Y-%m-%dT%H:%M:%SZ}" in production(*words, "--dry-run").err
    assert asked == []
    assert production(*words).code == 0
    assert asked == [meant]


def test_a_missing_backup_is_refused_with_the_list_of_backups(production: Run) -> None:
    make_table()
    production("ddb", "backup", "weekly", "--prod")
    ran = production("ddb", "restore", "daily", "--into", "messages-2", "--prod")
    assert ran.code == 5
    assert "has no backup 'daily'" in ran.err
    assert "  weekly  " in ran.err
    client("dynamodb").create_backup(TableName=TABLE, BackupName="weekly")
    two = production("ddb", "restore", "weekly", "--into", "messages-2", "--prod")
    assert (two.code, "2 backups of table" in two.err) == (3, True)


def test_wrong_names_and_incomplete_requests_are_usage_errors(production: Run) -> None:
    make_table()
    assert production("ddb", "backup", "a b", "--prod").code == 2
    assert production("ddb", "restore", "--into", "messages-2", "--prod").code == 2
    assert production("ddb", "restore", "x", "--to-time", "2026-11-20", "--into", "messages-2", "--prod").code == 2
    assert production("ddb", "restore", "x", "--into", "prod", "--prod").code == 2


def test_a_dry_run_makes_restores_and_protects_nothing(production: Run) -> None:
    dynamodb = make_table()
    production("ddb", "backup", "weekly", "--prod")
    for words in (["backup", "daily"], ["restore", "weekly", "--into", "messages-2"], ["protect"], ["drop"]):
        ran = production("ddb", *words, "--prod", "--dry-run")
        assert ran.code == 0, ran.err
    assert len(dynamodb.list_backups(TableName=TABLE)["BackupSummaries"]) == 1
    assert dynamodb.list_tables()["TableNames"] == [TABLE]
    assert not dynamodb.describe_table(TableName=TABLE)["Table"]["DeletionProtectionEnabled"]


def test_protect_reports_what_it_changed_and_off_needs_the_name(production: Run) -> None:
    dynamodb = make_table()
    first = body(production("ddb", "protect", "--prod", "-o", "json").out)
    assert [(one["setting"], one["result"]) for one in first["items"]] == [
        ("deletion protection", "changed"),
        ("point-in-time recovery", "changed"),
        ("tag of production", "changed"),
    ]
    again = body(production("ddb", "protect", "--prod", "-o", "json").out)
    assert (again["updated"], again["unchanged"]) == (0, 3)
    refused = production("ddb", "protect", "--off", "--prod", "--yes")
    assert (refused.code, "--confirm cruddur-messages" in refused.err) == (6, True)
    off = production("ddb", "protect", "--off", "--prod", "--confirm", TABLE)
    assert off.code == 0, off.err
    assert not dynamodb.describe_table(TableName=TABLE)["Table"]["DeletionProtectionEnabled"]


def test_protection_in_production_is_lifted_only_for_the_typed_name(production: Run) -> None:
    dynamodb = make_table()
    production("ddb", "protect", "--prod")
    for confirmation in (["--yes"], ["--confirm", "wrong"]):
        assert production("ddb", "drop", "--prod", *confirmation).code == 6
        assert dynamodb.list_backups()["BackupSummaries"] == []
        assert dynamodb.describe_table(TableName=TABLE)["Table"]["DeletionProtectionEnabled"] is True
    ran = production("ddb", "drop", "--prod", "--confirm", TABLE)
    assert ran.code == 0, ran.err
    assert "deletion protection is turned off" in ran.err
    assert len(dynamodb.list_backups()["BackupSummaries"]) == 1
    assert dynamodb.list_tables()["TableNames"] == []


def test_a_table_that_is_created_with_prod_is_protected(production: Run) -> None:
    import boto3

    assert production("ddb", "schema-load", "--prod").code == 0
    table = boto3.client("dynamodb", region_name="eu-central-1").describe_table(TableName=TABLE)["Table"]
    assert table["DeletionProtectionEnabled"] is True


def test_an_export_of_production_is_for_its_owner_alone(production: Run, tmp_path: Path) -> None:
    make_table()
    file = tmp_path / "all.jsonl"
    file.touch(0o644)
    ran = production("ddb", "export", str(file), "--prod")
    assert ran.code == 0, ran.err
    assert file.stat().st_mode & 0o777 == 0o600


# A local engine: a file.


def test_a_local_backup_is_a_file_and_comes_back_whole(here: Here, table: DynamoDB, tmp_path: Path) -> None:
    assert here("ddb", "setup").code == 0
    made = parsed(here("ddb", "backup", "before", "-o", "json"))
    (item,) = made["items"]
    path = Path(item["location"])
    assert (item["type"], path.name, path.stat().st_mode & 0o777) == ("file", "before.jsonl.gz", 0o600)
    assert parsed(here("ddb", "backup", "before", "-o", "json"))["unchanged"] == 1
    assert [one["backup"] for one in parsed(here("ddb", "list-backups", "-o", "json"))["items"]] == ["before"]

    into = f"{table.table}-back"
    ran = here("ddb", "restore", "before", "--into", into, "-o", "json")
    assert ran.code == 0, ran.err
    rows = parsed(here("ddb", "scan", "-o", "json", "--table", into))["items"]
    assert sorted(rows, key=str) == sorted(parsed(here("ddb", "scan", "-o", "json"))["items"], key=str)
    assert json.loads(ran.out)["items"][0]["differences"] == []
    again = here("ddb", "restore", "before", "--into", into)
    assert (again.code, "table_exists" in again.err or "already" in again.err) == (6, True)
    assert here("ddb", "drop", "--table", into, "--yes").code == 0


def test_a_missing_table_without_a_backup_is_reported(here: Here, table: DynamoDB) -> None:
    ran = here("ddb", "list-backups")
    assert (ran.code, ran.out) == (0, "")
    assert f"There is no table {table.table} on" in ran.err
    assert here("ddb", "schema-load").code == 0
    assert f"Table {table.table} has no backup: cruddur ddb backup" in here("ddb", "list-backups").err


def test_a_local_engine_keeps_no_earlier_times(here: Here, table: DynamoDB) -> None:
    assert here("ddb", "setup").code == 0
    ran = here("ddb", "restore", "--to-time", "2026-11-20T10:00Z", "--into", "messages-2")
    assert (ran.code, "has no point-in-time recovery" in ran.err) == (2, True)
    missing = here("ddb", "restore", "never", "--into", "messages-2")
    assert (missing.code, "has no backup 'never'" in missing.err) == (5, True)


def test_a_local_restore_that_fails_leaves_no_half_table(here: Here, table: DynamoDB, tmp_path: Path) -> None:
    assert here("ddb", "setup").code == 0
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"pk": {"S": "MSG#g"}, "sk": {"S": "1"}}\nno item\n')
    into = f"{table.table}-broken"
    ran = here("ddb", "restore", str(broken), "--into", into)
    assert ran.code != 0
    assert into not in here("ddb", "list-tables", "-o", "json").out


def test_a_killed_local_restore_is_listed_and_completed(
    here: Here, table: DynamoDB, environment: dict[str, str], tmp_path: Path
) -> None:
    assert here("ddb", "setup").code == 0
    for number in range(2_000):
        dumped = {"pk": {"S": f"MSG#{number % 50}"}, "sk": {"S": f"{number:06}"}, "message_uuid": {"S": f"{number}"}}
        with (tmp_path / "many.jsonl").open("a") as file:
            file.write(json.dumps(dumped) + "\n")
    assert here("ddb", "import", str(tmp_path / "many.jsonl"), "--yes").code == 0
    assert here("ddb", "backup", "before").code == 0
    into = replace(table, table=f"{table.table}-back")
    words = ["ddb", "restore", "before", "--into", into.table]
    try:
        for least in (0, 25, 1_000):
            running = processes.start(words, environment=environment, cwd=tmp_path)
            while running.poll() is None and _count(into) < least:
                time.sleep(0.01)
            if least == 0:
                while running.poll() is None and not tables.exists(into):
                    time.sleep(0.001)
            running.kill()
            running.communicate(timeout=60)
        assert tables.exists(into), "it was killed each time, or is complete"
        if _count(into) < 2_000:
            assert f"Table {into.table} is incomplete" in here("ddb", "list-backups").err
            assert "another backup" in here(*words[:2], str(tmp_path / "many.jsonl"), *words[3:]).err
        ran = here(*words, "-o", "json")
        if ran.code == 6:  # the last one was quicker than the kill
            assert "There is a table" in ran.err
        else:
            assert "its restore was started before" in ran.err
            assert parsed(ran)["items"][0]["expected_items"] == _count(table)
        assert everything(into) == everything(table)
        assert "incomplete" not in here("ddb", "list-backups").err
        again = here(*words)
        assert (again.code, "There is a table" in again.err) == (6, True)
    finally:
        tables.drop(into, say=lambda _: None)


def _count(dynamodb: DynamoDB) -> int:
    return len(everything(dynamodb)) if tables.exists(dynamodb) else -1


def test_a_local_table_is_protected_as_far_as_its_engine_can(here: Here, table: DynamoDB) -> None:
    assert here("ddb", "setup").code == 0
    done = parsed(here("ddb", "protect", "-o", "json"))
    assert {one["setting"] for one in done["items"]} == {"deletion protection", "point-in-time recovery"}
    assert here("ddb", "protect", "--off", "--yes").code == 0
    assert here("ddb", "drop", "--yes").code == 0

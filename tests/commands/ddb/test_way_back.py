"""A backup of a production table is taken before the table is lost."""

from __future__ import annotations

from typing import Any

import botocore.client
import botocore.exceptions
import pytest

from tests.commands.ddb.test_backups import body
from tests.commands.production import TABLE, Run, make_table, production

__all__ = ["production"]


def test_a_dropped_table_of_production_is_backed_up_first(production: Run) -> None:
    dynamodb = make_table()
    ran = production("ddb", "drop", "--prod", "--confirm", TABLE)
    assert ran.code == 0, ran.err
    assert dynamodb.list_tables()["TableNames"] == []
    (backup,) = dynamodb.list_backups()["BackupSummaries"]
    assert f"cruddur ddb restore {backup['BackupName']} --into TABLE --prod" in ran.err
    listed = body(production("ddb", "list-backups", "--prod", "-o", "json").out)
    assert listed["items"][0]["backup"] == backup["BackupName"]
    back = production("ddb", "restore", backup["BackupName"], "--into", TABLE, "--prod")
    assert back.code == 0, back.err
    assert dynamodb.scan(TableName=TABLE, Select="COUNT")["Count"] == 3


def test_a_table_of_production_that_is_reset_is_backed_up_first(
    production: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb = make_table()
    monkeypatch.setenv("PROD_CONNECTION_URL", database)
    ran = production("ddb", "reset", "--prod", "--confirm", TABLE)
    assert "is available. To restore it: cruddur ddb restore" in ran.err, ran.err
    (backup,) = dynamodb.list_backups(TableName=TABLE)["BackupSummaries"]
    assert production("ddb", "restore", backup["BackupName"], "--into", "before", "--prod").code == 0
    assert dynamodb.scan(TableName="before", Select="COUNT")["Count"] == 3


def test_no_backup_takes_no_backup(production: Run) -> None:
    dynamodb = make_table()
    assert production("ddb", "drop", "--prod", "--confirm", TABLE, "--no-backup").code == 0
    assert dynamodb.list_backups()["BackupSummaries"] == []
    assert dynamodb.list_tables()["TableNames"] == []


def test_a_backup_that_fails_keeps_the_table(production: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    dynamodb = make_table()
    send = vars(botocore.client.BaseClient)["_make_api_call"]

    def denied(self: Any, operation: str, params: Any) -> Any:
        if operation == "CreateBackup":
            raise botocore.exceptions.ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, operation)
        return send(self, operation, params)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", denied)
    ran = production("ddb", "drop", "--prod", "--confirm", TABLE)
    assert ran.code == 5
    assert "lack the permission dynamodb:CreateBackup" in ran.err
    assert dynamodb.list_tables()["TableNames"] == [TABLE]
    assert production("ddb", "drop", "--prod", "--confirm", "wrong").code == 6
    assert dynamodb.list_tables()["TableNames"] == [TABLE]

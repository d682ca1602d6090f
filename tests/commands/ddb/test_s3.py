"""``ddb export s3://…`` and ``ddb import s3://…`` against moto, from one table into another."""

from __future__ import annotations

import json
from typing import Any

import botocore.client
import pytest

from tests.commands.production import REGION, TABLE, Run, client, make_table, production

__all__ = ["production"]
BUCKET = "cruddur-exports"


@pytest.fixture
def dynamodb(production: Run) -> Any:
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return make_table()


def data_folder() -> str:
    """The folder with the items of the only export. moto gives it another name than the export, and no manifest."""
    (entry,) = client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    return str(entry["Key"].rpartition("/")[0])


def test_a_table_goes_to_s3_and_comes_back_as_a_new_protected_table(production: Run, dynamodb: Any) -> None:
    refused = production("ddb", "export", f"s3://{BUCKET}/nightly", "--prod")
    assert (refused.code, "cruddur ddb protect --table cruddur-messages --prod" in refused.err) == (5, True)
    assert production("ddb", "protect", "--prod").code == 0
    ran = production("ddb", "export", f"s3://{BUCKET}/nightly", "--prod", "-o", "json")
    assert ran.code == 0, ran.err
    (item,) = json.loads(ran.out)["items"]
    assert (item["status"], item["items"]) == ("completed", 3)
    assert item["location"].startswith(f"s3://{BUCKET}/nightly/AWSDynamoDB/")
    assert f"cruddur ddb import {item['location']} --into TABLE --prod" in ran.err

    dry = production("ddb", "import", f"s3://{BUCKET}/{data_folder()}", "--into", "copied", "--prod", "--dry-run")
    assert dry.code == 0, dry.err
    assert dynamodb.list_tables()["TableNames"] == [TABLE]
    back = production("ddb", "import", f"s3://{BUCKET}/{data_folder()}", "--into", "copied", "--prod", "-o", "json")
    assert back.code == 0, back.err
    body = json.loads(back.out)
    assert (body["written"], body["items"][0]["errors"], body["items"][0]["differences"]) == (3, 0, [])
    mine, theirs = (dynamodb.scan(TableName=name)["Items"] for name in (TABLE, "copied"))
    assert sorted(mine, key=str) == sorted(theirs, key=str)
    assert dynamodb.describe_table(TableName="copied")["Table"]["DeletionProtectionEnabled"]
    assert "DDB_MESSAGE_TABLE=copied" in back.err
    assert "switch over" not in production("history", "--prod").out


def test_an_import_without_items_fails_and_prints_no_switch_over(production: Run, dynamodb: Any) -> None:
    ran = production("ddb", "import", f"s3://{BUCKET}/nothing", "--into", "copied", "--prod")
    assert (ran.code, "no item was imported" in ran.err, "switch over" in ran.err) == (1, True, False), ran.err
    assert not dynamodb.describe_table(TableName="copied")["Table"]["DeletionProtectionEnabled"]
    assert "cruddur ddb drop --table copied --no-backup --prod" in ran.err


def test_an_import_into_a_table_that_exists_is_refused(
    production: Run, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table("other", items=1)
    send = vars(botocore.client.BaseClient)["_make_api_call"]

    def none(self: Any, operation: str, params: Any) -> Any:
        # moto knows no ListImports.
        return {"ImportSummaryList": []} if operation == "ListImports" else send(self, operation, params)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", none)
    for more in ([], ["--dry-run"]):
        ran = production("ddb", "import", f"s3://{BUCKET}/x", "--into", "other", "--prod", *more)
        assert (ran.code, "There is a table 'other' already" in ran.err) == (6, True), ran.err
    assert dynamodb.scan(TableName="other", Select="COUNT")["Count"] == 1


def test_contradictory_arguments_are_usage_errors_before_any_request(production: Run) -> None:
    for words in (
        ["export", f"s3://{BUCKET}/x"],
        ["export", "s3://x", "--prod"],
        ["export", f"s3://{BUCKET}/x", "--prod", "--format", "csv"],
        ["import", f"s3://{BUCKET}/x", "--prod"],
        ["import", f"s3://{BUCKET}/x", "--prod", "--into", "prod"],
        ["import", "file.jsonl", "--into", "copied", "--prod"],
    ):
        assert production("ddb", *words).code == 2, words

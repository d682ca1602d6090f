"""The archive for AWS Lambda works with only the libraries of Lambda's runtime."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.stream_lambda import package as lambda_package
from tests.dynamodb.rows import ME, OTHER, everything, message_row
from tests.dynamodb.shards import hundred, minute, record
from tests.stream_lambda.invocations import rows

ALONE = """
import importlib.abc, json, sys
folder, packages, events = sys.argv[1:4]
MAY = {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six", "cruddur_cli"}
class Runtime(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in MAY and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"the Lambda runtime has no {name}", name=name)
        return None
sys.meta_path.insert(0, Runtime())
sys.path[:0] = [folder]
sys.path.append(packages)
from cruddur_cli import lambda_handler
assert lambda_handler.__file__.startswith(folder), lambda_handler.__file__
print(json.dumps([lambda_handler.handler(event, None) for event in json.load(open(events))]))
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"typer", "rich", "psycopg", "ministack", "boto3"}, loaded
"""


@pytest.fixture
def alone(conversation: DynamoDB, tmp_path: Path) -> Any:
    """Run the archive's handler on events, in an interpreter with only the packages of the runtime."""
    folder = tmp_path / "function"
    content, _ = lambda_package.build()
    (tmp_path / "archive.zip").write_bytes(content)
    zipfile.ZipFile(tmp_path / "archive.zip").extractall(folder)
    environment = {
        "DDB_MESSAGE_TABLE": conversation.table,
        "AWS_ENDPOINT_URL_DYNAMODB": str(conversation.at.url),
        "AWS_REGION": "us-east-1",
        "HOME": "/nonexistent",
    }

    def run(events: list[Any], **more: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "events.json").write_text(json.dumps(events))
        arguments = [str(folder), sysconfig.get_path("purelib"), str(tmp_path / "events.json")]
        # -S leaves out site-packages, and with them the editable install of this checkout; -P this folder.
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", ALONE, *arguments],
            env={name: value for name, value in {**environment, **more}.items() if value},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_the_archive_applies_recorded_events_with_nothing_but_the_runtime(alone: Any, conversation: DynamoDB) -> None:
    done = alone([{"Records": hundred(poisoned=40)}, {"Records": hundred()[40:]}])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        {"batchItemFailures": [{"itemIdentifier": f"{40:030d}"}]},
        {"batchItemFailures": []},
    ]
    assert rows(conversation) == [(minute(100), "message 100")] * 2
    assert "was not applied" in done.stderr


def test_the_archive_repairs_rows_and_names_unknown_conversations(alone: Any, conversation: DynamoDB) -> None:
    """These cases run code that other batches do not: a naive time, a missing row, an unknown conversation."""
    mine = next(item for item in everything(conversation) if item["pk"]["S"] == f"GRP#{ME.uuid}")
    conversation.call("delete_item", TableName=conversation.table, Key={"pk": mine["pk"], "sk": mine["sk"]})
    events = [
        {"Records": [record(1, message_row("2026-11-20 12:00", "naive", sender=OTHER))]},
        {"Records": [record(2, message_row(minute(3), "hello?", group="nobody's"))]},
        {"Records": [record(3, message_row("20261120T130000Z", "basic form"))]},
    ]
    done = alone(events)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"batchItemFailures": []}] * 3
    assert [text for _, text in rows(conversation) if text != "hello?"] == ["basic form"] * 2


def test_an_error_of_the_store_is_reported_and_not_raised(alone: Any) -> None:
    done = alone([{"Records": hundred()}], DDB_MESSAGE_TABLE="no-such-table")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"batchItemFailures": [{"itemIdentifier": f"{1:030d}"}]}]
    assert "no table 'no-such-table'" in done.stderr

"""The Lambda function: what it answers to events, and the archive, alone with what the Lambda runtime brings."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli import lambda_archive, lambda_handler
from cruddur_cli.dynamodb.client import DynamoDB
from tests import faults
from tests.dynamodb.rows import ME, OTHER, everything, group_row, message_row, write
from tests.dynamodb.streams import both_rows, group_texts, hundred, minute, record


class Context:
    """What Lambda hands over beside the event."""

    def __init__(self, left_ms: int = 30_000) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._left_ms


@pytest.fixture
def conversation(dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDB]:
    """A table with a conversation, named to the function as Lambda would."""
    write(dynamodb, both_rows())
    monkeypatch.setenv("DDB_MESSAGE_TABLE", dynamodb.table)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.at.url or "")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield dynamodb
    lambda_handler.forget()


def apply(records: list[Any], context: Any = None) -> list[str]:
    """What the function reports for a batch."""
    answer = lambda_handler.handler({"Records": records}, context or Context())
    assert list(answer) == ["batchItemFailures"]
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def rows(dynamodb: DynamoDB) -> list[tuple[str, str]]:
    return group_texts(everything(dynamodb))


def test_a_batch_that_is_applied_reports_nothing_and_again_changes_nothing(conversation: DynamoDB) -> None:
    for _ in range(2):
        assert apply(hundred()) == []
        assert rows(conversation) == [(minute(100), "message 100")] * 2
    assert apply(hundred()[:50]) == []
    assert rows(conversation) == [(minute(100), "message 100")] * 2, "never backwards"


def test_an_empty_batch_and_no_context_are_answered(conversation: DynamoDB) -> None:
    assert apply([]) == []
    assert lambda_handler.handler({"Records": []}, None) == {"batchItemFailures": []}


def test_record_40_of_100_is_reported_as_the_lowest(conversation: DynamoDB) -> None:
    assert apply(hundred(poisoned=40)) == [f"{40:030d}"]
    assert rows(conversation) == [(minute(39), "message 39")] * 2


def test_a_record_without_a_number_fails_the_whole_batch(conversation: DynamoDB) -> None:
    """An empty identifier is what Lambda takes for that."""
    assert apply([None, *hundred()]) == [""]


def test_lambda_s_retries_end_at_the_poisoned_record_and_behind_it(conversation: DynamoDB) -> None:
    """What Lambda does: begin again at the record that is reported, and give up on it after so many retries."""
    left, tries = hundred(poisoned=40), 0
    while left:
        failed = apply(left)
        if not failed:
            break
        place = [each["dynamodb"]["SequenceNumber"] for each in left].index(failed[0])
        tries = tries + 1 if place == 0 else 0
        left = left[1:] if tries == 3 else left[place:]
    assert rows(conversation) == [(minute(100), "message 100")] * 2


def test_a_store_that_is_busy_is_reported_in_time(conversation: DynamoDB) -> None:
    assert apply([]) == []
    (store,) = lambda_handler.opened()
    struck = faults.answers(store.client, "TransactWriteItems", "ProvisionedThroughputExceededException")
    assert apply(hundred(), Context(3_000)) == [f"{1:030d}"]
    assert struck.count
    assert rows(conversation) == [(minute(0), "old")] * 2


def test_its_own_group_rows_are_ignored(conversation: DynamoDB) -> None:
    assert (
        apply([record(1, group_row(ME, OTHER, minute(9), "x")), record(2, message_row("x", "y"), event="REMOVE")]) == []
    )
    assert rows(conversation) == [(minute(0), "old")] * 2


def test_the_table_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDB_MESSAGE_TABLE", raising=False)
    with pytest.raises(KeyError, match="DDB_MESSAGE_TABLE"):
        lambda_handler.handler({"Records": []}, None)


def test_the_policy_in_the_page_allows_what_the_function_does_and_no_more(
    conversation: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of batch through a proxy: what it saw is what the statements on table and index allow."""
    page = (Path(__file__).parents[1] / "docs" / "lambda.md").read_text(encoding="utf-8")
    policy = json.loads(page.partition("<!-- policy -->\n```json\n")[2].partition("```")[0])
    statements = {each["Sid"]: each for each in policy["Statement"]}
    lonely = [group_row(ME, OTHER, minute(n), "old", group=f"g{n}") for n in (1, 2)]
    doubled = [group_row(OTHER, ME, minute(n), "old", group="g2") for n in (2, 3)]
    write(conversation, [*lonely, *doubled])
    used: dict[str, set[str]] = {"table": set(), "index": set()}
    with faults.recorded(conversation.at.url or "") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        for group in ("5ae290ed-55d1-47a0-bc6d-fe2bc2700399", "g1", "g2", "nobody's"):
            for number in (1, 20):
                apply([record(number, message_row(minute(number), f"m{number}", group=group, sender=OTHER))])
    for operation, request, _ in proxy.seen:
        actions = [f"{verb}Item" for each in request.get("TransactItems", []) for verb in each] or [operation]
        used["index" if "IndexName" in request else "table"] |= {f"dynamodb:{action}" for action in actions}
    assert used["index"] == {statements["FindGroupRows"]["Action"]}
    assert used["table"] == set(statements["MoveGroupRows"]["Action"])


# The archive, unpacked where there is nothing else.

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
    """Runs the archive's handler on events, in an interpreter that has nothing but the runtime's packages."""
    folder = tmp_path / "function"
    content, _ = lambda_archive.build()
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


def test_the_archive_repairs_and_names_what_cannot_be_moved(alone: Any, conversation: DynamoDB) -> None:
    """Paths of the code that a plain batch does not take: a naive time, a lost row, a conversation nobody knows."""
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


def test_what_holds_the_archive_up_is_reported_not_raised(alone: Any) -> None:
    done = alone([{"Records": hundred()}], DDB_MESSAGE_TABLE="no-such-table")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"batchItemFailures": [{"itemIdentifier": f"{1:030d}"}]}]
    assert "no table 'no-such-table'" in done.stderr

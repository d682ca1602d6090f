"""Commands that read the clock, on unusual days. ``pytest --today 2028-02-29T12:00`` runs all tests on one day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.postgres.migrations import files as migration_files
from tests import clock
from tests.commands.conftest import Here, parsed
from tests.conftest import SEEDED, Run
from tests.dynamodb.rows import Item


@pytest.fixture(params=clock.DAYS)
def day(request: pytest.FixtureRequest, today: Callable[[datetime], None]) -> datetime:
    found = clock.DAYS[request.param]
    today(found)
    return found


def at(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["created_at"])


def asked_by_the_application(table: DynamoDB, pk: str) -> list[Item]:
    """The application's own query: items whose sort key begins with this year, newest first."""
    answer = table.client.query(
        TableName=table.table,
        KeyConditionExpression="pk = :pk AND begins_with(sk,:year)",
        ExpressionAttributeValues={":year": {"S": str(times.now().year)}, ":pk": {"S": pk}},
        ScanIndexForward=False,
        Limit=20,
    )
    found: list[Item] = answer["Items"]
    return found


def test_what_is_seeded_is_in_the_past_and_found_again(here: Here, day: datetime) -> None:
    assert here("ddb", "setup", "-q").code == 0
    messages = parsed(here("ddb", "get-conversation", "-o", "json"))["items"]
    assert len(messages) == 20
    assert [at(item) for item in messages] == sorted(at(item) for item in messages)
    assert day - timedelta(hours=2) < at(messages[-1]) < times.now()
    (group,) = parsed(here("ddb", "list-conversations", "-o", "json"))["items"]
    assert group["last_message_at"] == messages[-1]["created_at"]
    again = parsed(here("ddb", "seed", "-o", "json"))
    assert (again["written"], again["deleted"]) == (0, 0)
    assert messages == parsed(here("ddb", "get-conversation", "-o", "json"))["items"]


def test_a_sent_message_is_the_newest_and_the_application_shows_it(here: Here, table: DynamoDB, day: datetime) -> None:
    assert here("ddb", "setup", "-q").code == 0
    for text in ("one", "two"):
        assert here("ddb", "send-message", text).code == 0
    messages = parsed(here("ddb", "get-conversation", "-o", "json"))["items"]
    assert [item["message"] for item in messages[-2:]] == ["one", "two"]
    assert day <= at(messages[-2]) < at(messages[-1]) <= times.now()
    assert [item["message"]["S"] for item in asked_by_the_application(table, f"MSG#{SEEDED}")][:2] == ["two", "one"]
    shown = parsed(here("ddb", "get-conversation", "--year", str(day.year), "-o", "json"))["items"]
    assert shown[-1] == messages[-1]


def test_a_new_conversation_is_in_this_year(here: Here, table: DynamoDB, day: datetime) -> None:
    assert here("ddb", "setup", "-q").code == 0
    assert here("ddb", "start-conversation", "--to", "londo", "hello").code == 0
    newest = parsed(here("ddb", "list-conversations", "-o", "json"))["items"][0]
    assert (newest["user_handle"], newest["last_message_at"][:10]) == ("londo", f"{day:%Y-%m-%d}")
    (sent,) = asked_by_the_application(table, f"MSG#{newest['message_group_uuid']}")
    assert sent["message"]["S"] == "hello"


def test_a_new_migration_is_numbered_by_its_time(here: Here, day: datetime, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "backend-flask" / "db" / "migrations"
    folder.mkdir(parents=True)
    for name in ("first", "second"):
        assert here("db", "new-migration", name).code == 0
    numbers = [path.name.partition("_")[0] for path in sorted(folder.iterdir())]
    made = [migration_files.version_key(number)[1] / 10_000_000 for number in numbers]
    assert len(made) == 2
    assert all(day.timestamp() <= one <= times.now().timestamp() for one in made)


def test_another_process_has_the_same_day(cruddur: Run, today: Callable[[datetime], None]) -> None:
    today(clock.DAYS["29 February"])
    assert cruddur("ddb", "setup", "-q").code == 0
    assert cruddur("ddb", "send-message", "leap").code == 0
    newest = parsed(cruddur("ddb", "get-conversation", "-o", "json"))["items"][-1]
    assert (newest["message"], newest["created_at"][:10]) == ("leap", "2028-02-29")

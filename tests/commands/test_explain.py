"""``--explain`` tells the requests that are made, and docs/data-model.md shows them as they are."""

from __future__ import annotations

import re

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.explaining import explain
from tests.commands.conftest import Here
from tests.docs import pages
from tests.dynamodb.rows import ME, OTHER, group_row, message_row

PAGE = pages.REPOSITORY / "docs" / "data-model.md"


def requests(text: str) -> list[str]:
    """The lines that are requests or their actions, with everything that differs from run to run replaced."""
    named = [
        line
        for line in text.splitlines()
        if re.match(r"(Query|TransactWriteItems|  (Put|Delete|ConditionCheck)) ", line)
    ]
    return [str(pages.generate().steady(line)) for line in named]


@pytest.mark.parametrize(
    ("pattern", "arguments"),
    [
        ("A", ("get-conversation", "--limit", "2")),
        ("B", ("list-conversations",)),
        ("C", ("start-conversation", "--from", "londo", "--to", "altbrown", "Shall we talk?")),
        ("D", ("send-message", "--from", "bayko", "--to", "andrewbrown", "hello")),
    ],
)
def test_the_page_shows_the_requests_of_each_pattern(
    here: Here, table: DynamoDB, pattern: str, arguments: tuple[str, ...]
) -> None:
    assert here("ddb", "setup", "-q").code == 0
    ran = here("ddb", *arguments, "--explain")
    assert ran.code == 0
    made = requests(ran.err)
    assert made
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {pattern}:")[1].split("\n## ")[0]
    assert [line for line in made if line not in requests(section)] == []


def test_an_index_a_condition_and_a_limit_are_told() -> None:
    asked = {
        "KeyConditionExpression": "message_group_uuid = :g",
        "ExpressionAttributeValues": {":g": {"S": "g"}},
        "IndexName": "message-group-sk-index",
        "ScanIndexForward": False,
        "Limit": 1,
    }
    first, second = explain("Query", asked)
    assert first == (
        "Query  message_group_uuid = 'g', index message-group-sk-index, newest first, at most 1, eventually consistent"
    )
    assert "0.5 RCU" in second
    assert explain("DescribeTable", {}) == []


def test_expected_units_of_what_is_put_are_those_of_its_size() -> None:
    large = message_row("2026-11-20", "x" * 2000)
    group = group_row(ME, OTHER, "2026-11-20", "x" * 2000)
    lines = explain("TransactWriteItems", {"TransactItems": [{"Put": {"Item": large}}, {"Put": {"Item": group}}]})
    assert lines[2] == "    expected: 6 WCU"
    assert lines[4] == "    expected: 6 WCU and 6 in message-group-sk-index"

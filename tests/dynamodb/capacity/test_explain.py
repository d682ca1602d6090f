"""`--explain` shows the index, the condition, the limit and the expected units of a request."""

from __future__ import annotations

from typing import Any

import pytest

from cruddur_cli.dynamodb.capacity.explain import explain
from tests.dynamodb.rows import ME, OTHER, group_row, message_row


def test_an_explanation_names_index_condition_and_limit() -> None:
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


def test_the_expected_units_of_a_put_come_from_the_size_of_the_item() -> None:
    large = message_row("2026-11-20", "x" * 2000)
    group = group_row(ME, OTHER, "2026-11-20", "x" * 2000)
    lines = explain("TransactWriteItems", {"TransactItems": [{"Put": {"Item": large}}, {"Put": {"Item": group}}]})
    assert lines[2] == "    expected: 6 WCU"
    assert lines[4] == "    expected: 6 WCU and 6 in message-group-sk-index"


def test_a_delete_costs_twice_in_a_transaction() -> None:
    delete = {"Key": {"pk": {"S": "MSG#g"}, "sk": {"S": "1"}}}
    for operation, request, units in (
        ("TransactWriteItems", {"TransactItems": [{"Delete": delete}]}, 2),
        ("DeleteItem", delete, 1),
    ):
        told = "\n".join(explain(operation, request))
        assert f"expected: {units} WCU per KB of the stored item, rounded up" in told, told


KEY = {"pk": {"S": "GRP#1"}, "sk": {"S": "2"}}
LONG = {":g": {"S": "x" * 61}}


@pytest.mark.parametrize(
    ("operation", "request_", "told"),
    [
        (
            "Scan",
            {"Segment": 0, "TotalSegments": 4, "ConsistentRead": True, "ExclusiveStartKey": KEY},
            [
                "Scan  every item, part 1 of 4, next page, strongly consistent",
                "  expected: 1 RCU per 4 KB, rounded up once a page; a page has at most 1 MB",
            ],
        ),
        (
            "Query",
            {
                "KeyConditionExpression": "#p = :p AND #q",
                "FilterExpression": "a = :number",
                "ExpressionAttributeNames": {"#p": "pk"},
                "ExpressionAttributeValues": {":p": {"S": "y" * 60}, ":number": {"N": "7"}},
                "ScanIndexForward": True,
                "Limit": 1000,
            },
            [
                f"Query  pk = '{'y' * 60}' AND #q, filter a = '7', at most 1,000, eventually consistent",
                "  expected: 0.5 RCU per 4 KB, rounded up once a page; a page has at most 1 MB",
            ],
        ),
        (
            "Query",
            {"KeyConditionExpression": "pk = :g AND sk = :h", "ExpressionAttributeValues": LONG},
            [
                f"Query  pk = '{'x' * 59}…' AND sk = ':h', eventually consistent",
                "  expected: 0.5 RCU per 4 KB, rounded up once a page; a page has at most 1 MB",
            ],
        ),
        (
            "GetItem",
            {"Key": KEY},
            ["GetItem  GRP#1 | 2, eventually consistent", "  expected: 0.5 RCU per 4 KB, rounded up"],
        ),
        (
            "GetItem",
            {"Key": KEY, "ConsistentRead": True},
            ["GetItem  GRP#1 | 2, strongly consistent", "  expected: 1 RCU per 4 KB, rounded up"],
        ),
        ("PutItem", {"Item": {**KEY, "a": {"S": "x" * 1024}}}, ["PutItem  GRP#1 | 2", "  expected: 2 WCU"]),
        (
            "DeleteItem",
            {"Key": KEY, "ConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": "1"}}},
            [
                "DeleteItem  GRP#1 | 2  if a = '1'",
                "  expected: 1 WCU per KB of the stored item, rounded up, and 1 in message-group-sk-index",
            ],
        ),
        (
            "TransactWriteItems",
            {"TransactItems": [{"ConditionCheck": {"Key": KEY}}, {"Delete": {"Key": {**KEY, "pk": {"S": "MSG#1"}}}}]},
            [
                "TransactWriteItems  2 actions, all or nothing",
                "  ConditionCheck GRP#1 | 2",
                "    expected: 2 WCU per 4 KB of the stored item, rounded up",
                "  Delete MSG#1 | 2",
                "    expected: 2 WCU per KB of the stored item, rounded up",
            ],
        ),
        (
            "BatchWriteItem",
            {"RequestItems": {"t": [{}, {}], "u": [{}]}},
            ["BatchWriteItem  3 items, no transaction", "  expected: 1 WCU per KB of each item, rounded up"],
        ),
    ],
)
def test_an_explanation_has_every_part_of_the_request(
    operation: str, request_: dict[str, Any], told: list[str]
) -> None:
    assert explain(operation, request_) == told

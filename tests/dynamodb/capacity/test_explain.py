"""What `--explain` tells of a request: index, condition, limit, expected units."""

from __future__ import annotations

from cruddur_cli.dynamodb.capacity.explain import explain
from tests.dynamodb.rows import ME, OTHER, group_row, message_row


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


def test_a_delete_costs_twice_in_a_transaction() -> None:
    delete = {"Key": {"pk": {"S": "MSG#g"}, "sk": {"S": "1"}}}
    for operation, request, units in (
        ("TransactWriteItems", {"TransactItems": [{"Delete": delete}]}, 2),
        ("DeleteItem", delete, 1),
    ):
        told = "\n".join(explain(operation, request))
        assert f"expected: {units} WCU per KB of the stored item, rounded up" in told, told

"""The policy of the function allows what the function needs, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.stream_lambda import policy as policies
from tests import faults
from tests.dynamodb.rows import ME, OTHER, group_row, message_row, write
from tests.dynamodb.shards import minute, record
from tests.stream_lambda.invocations import apply


def test_the_policy_of_the_page_allows_the_functions_requests_and_no_more(
    conversation: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy records the requests of every kind of batch. They are those that the statements allow."""
    page = (Path(__file__).parents[2] / "docs" / "lambda.md").read_text(encoding="utf-8")
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
    made = policies.of(
        partition="aws",
        region="REGION",
        account="ACCOUNT",
        table="cruddur-messages",
        function="cruddur-stream",
        queue="cruddur-stream-failed",
    )
    assert policy == made
    assert used["index"] == {statements["FindGroupRows"]["Action"]}
    assert used["table"] == set(statements["MoveGroupRows"]["Action"])

"""The entries of all pages of an answer are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cruddur_cli.aws.service import Service, pages
from cruddur_cli.aws_client import client as aws_client
from tests.aws.account import Account


@pytest.fixture
def ec2(account: Account) -> Iterator[Service]:
    at = aws_client.Endpoint("ec2", account.url, "eu-west-1", "EC2 of the test")
    with aws_client.opened(at) as client:
        yield Service(client, at)


def answered(ec2: Service, answers: dict[str | None, dict[str, Any]]) -> list[str | None]:
    """Answer a request by its token; the returned list has the tokens that were sent."""
    sent: list[str | None] = []

    def answer(params: dict[str, Any], **_: Any) -> None:
        sent.append(params.get("body", {}).get("NextToken"))

    def change(parsed: dict[str, Any], **_: Any) -> None:
        parsed.clear()
        parsed.update(answers[sent[-1]])

    ec2.client.meta.events.register("before-call.ec2.DescribeSecurityGroups", answer)
    ec2.client.meta.events.register("after-call.ec2.DescribeSecurityGroups", change)
    return sent


def groups(ec2: Service) -> list[str]:
    return [one["GroupId"] for one in pages(ec2, "describe_security_groups", {}, "SecurityGroups")]


def test_every_page_is_read_even_an_empty_one(ec2: Service) -> None:
    sent = answered(
        ec2,
        {
            None: {"SecurityGroups": [{"GroupId": "a"}], "NextToken": "1"},
            "1": {"SecurityGroups": [], "NextToken": "2"},
            "2": {"SecurityGroups": [{"GroupId": "b"}, {"GroupId": "c"}]},
        },
    )
    assert groups(ec2) == ["a", "b", "c"]
    assert sent == [None, "1", "2"]


def test_a_repeated_page_token_ends_the_reading(ec2: Service) -> None:
    sent = answered(
        ec2,
        {
            None: {"SecurityGroups": [{"GroupId": "a"}], "NextToken": "1"},
            "1": {"SecurityGroups": [{"GroupId": "b"}], "NextToken": "1"},
        },
    )
    assert groups(ec2) == ["a", "b"]
    assert sent == [None, "1"]


def test_the_region_is_that_of_the_client(ec2: Service) -> None:
    assert ec2.region == "eu-west-1"

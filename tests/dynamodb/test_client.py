"""The library accepts sessions and clients of boto3, and returns sessions."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import opened
from cruddur_cli.dynamodb.conversations import queries, send
from cruddur_cli.errors import CannotConnect, NotConfigured
from tests import faults
from tests.dynamodb.rows import ME, OTHER, everything, message_row, write


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """A boto3 session, as a program creates it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return boto3.Session("local", "local", region_name=aws_client.LOCAL_REGION)


@pytest.fixture
def name(session: boto3.Session, endpoint: str) -> Iterator[str]:
    """The name of a table that exists."""
    found = f"boto3-{uuid.uuid4().hex[:8]}"
    with opened(client=session.client("dynamodb", endpoint_url=endpoint), table=found) as dynamodb:
        tables.create(dynamodb, say=lambda _: None)
        yield found
        tables.drop(dynamodb, say=lambda _: None)


def test_a_client_of_boto3_sends_reads_and_stays_open(session: boto3.Session, endpoint: str, name: str) -> None:
    client = session.client("dynamodb", endpoint_url=endpoint)
    with opened(client=client, table=name) as dynamodb:
        assert (dynamodb.at.url, dynamodb.at.label) == (endpoint, f"DynamoDB at {endpoint}")
        sent = send.start(dynamodb, ME, OTHER, "hello")
        write(dynamodb, [{**message_row(f"{n}", "x"), "b": {"B": b"\x00"}} for n in range(30)])
        assert [message.message for message in queries.latest(dynamodb, sent.message_group_uuid)] == ["hello"]
        assert len(everything(dynamodb)) == 33
        assert sum(item.get("b") == {"B": b"\x00"} for item in everything(dynamodb)) == 30
        assert dynamodb.meter.total().requests > 3
    assert len(client.scan(TableName=name)["Items"]) == 33


def test_two_stores_share_a_client_and_leave_no_handler_on_it(session: boto3.Session, endpoint: str, name: str) -> None:
    client = session.client("dynamodb", endpoint_url=endpoint)
    with opened(client=client, table=name) as one:
        with opened(client=client, table=name) as two:
            write(one, [message_row("1", "x")])
            assert everything(one) == everything(two)
        assert len(everything(one)) == 1
    seen: list[bytes] = []
    client.meta.events.register("before-parse.dynamodb", lambda response_dict, **_: seen.append(response_dict["body"]))
    client.scan(TableName=name)
    assert b"Items" in seen[0]


def test_answers_to_a_client_of_boto3_are_checked_too(session: boto3.Session, endpoint: str) -> None:
    with faults.falsified(endpoint, faults.html) as proxy:
        client = session.client(
            "dynamodb", endpoint_url=proxy.url, config=Config(retries={"total_max_attempts": 1, "mode": "standard"})
        )
        with opened(client=client, table="t") as dynamodb, pytest.raises(CannotConnect, match="is not DynamoDB"):
            backoff = aws_client.Backoff(unreachable_s=0.1)
            dynamodb.call("scan", backoff=backoff, TableName="t")


def test_a_session_opens_a_store_that_is_closed_at_the_end(
    session: boto3.Session, endpoint: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    with opened(session=session, table=name) as dynamodb:
        assert everything(dynamodb) == []


def test_a_session_of_boto3_is_returned(endpoint: str, name: str) -> None:
    at = aws_client.Endpoint("dynamodb", endpoint, aws_client.LOCAL_REGION, "the engine")
    given = aws_client.session(at)
    assert isinstance(given, boto3.Session)
    client = given.client("dynamodb", endpoint_url=at.url)
    assert client.describe_table(TableName=name)["Table"]["TableName"] == name
    assert client.meta.config.retries["total_max_attempts"] == 1
    with opened(client=client, table=name) as dynamodb:
        assert everything(dynamodb) == []


def test_a_client_for_aws_differs_from_a_client_for_an_engine(session: boto3.Session) -> None:
    with aws_client.lent(session.client("dynamodb", region_name="eu-west-1")) as at:
        assert (at.url, at.region, at.local, at.label) == (None, "eu-west-1", False, "DynamoDB in eu-west-1")


def test_a_store_needs_an_endpoint_a_client_or_a_session() -> None:
    with pytest.raises(NotConfigured, match="endpoint, or a client or a session"), opened(table="t"):
        pass

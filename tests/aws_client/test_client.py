"""A request is retried for a limited time, its errors are translated, and a dry run's client cannot write."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.errors import CannotConnect, CruddurError, Exit, NotConfigured, NotFound, Refused
from tests import faults
from tests.dynamodb.rows import everything, message_row, write

BUSY = [
    ("ThrottlingException", 400),
    ("ProvisionedThroughputExceededException", 400),
    ("RequestLimitExceeded", 400),
    ("TransactionConflictException", 400),
    ("InternalServerError", 500),
    ("ServiceUnavailable", 503),
    ("Whatever", 502),
]


def ask(dynamodb: DynamoDB) -> Any:
    return dynamodb.call("get_item", TableName=dynamodb.table, Key={"pk": {"S": "a"}, "sk": {"S": "b"}})


@pytest.fixture
def at(endpoint: str) -> aws_client.Endpoint:
    """The endpoint of a real engine."""
    return aws_client.Endpoint("dynamodb", endpoint, "us-east-1", "the engine")


@pytest.mark.parametrize(("code", "status"), BUSY)
def test_a_request_to_a_busy_service_is_retried_until_it_answers(dynamodb: DynamoDB, code: str, status: int) -> None:
    struck = faults.answers(dynamodb.client, "GetItem", code, status=status, times=3)
    ask(dynamodb)
    assert (struck.count, len(struck.at)) == (3, 4)
    assert min(b - a for a, b in pairwise(struck.at)) > 0.02
    assert dynamodb.meter.total().requests == 1


@pytest.mark.parametrize(("code", "status"), BUSY)
def test_a_service_that_stays_busy_is_refused(dynamodb: DynamoDB, code: str, status: int) -> None:
    dynamodb.busy_s = 0.6
    struck = faults.answers(dynamodb.client, "GetItem", code, status=status)
    with pytest.raises(Refused) as caught:
        ask(dynamodb)
    assert struck.count >= 2
    assert caught.value.exit_code == Exit.REFUSED


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        ("ValidationException", Refused, 5),
        ("AccessDeniedException", Refused, 5),
        ("ResourceNotFoundException", NotFound, 5),
        ("UnrecognizedClientException", NotConfigured, 3),
        ("ExpiredTokenException", NotConfigured, 3),
    ],
)
def test_a_refused_request_is_not_retried(
    dynamodb: DynamoDB, code: str, kind: type[CruddurError], exit_code: int
) -> None:
    struck = faults.answers(dynamodb.client, "GetItem", code)
    with pytest.raises(kind) as caught:
        ask(dynamodb)
    assert (struck.count, caught.value.exit_code) == (1, exit_code)


def test_a_missing_table_is_named_with_the_command_that_makes_it(dynamodb: DynamoDB) -> None:
    dynamodb.table = "elsewhere"
    with pytest.raises(NotFound, match="no table 'elsewhere'") as caught:
        ask(dynamodb)
    assert (caught.value.code, caught.value.hint) == ("table_not_found", "cruddur ddb schema-load --table elsewhere")


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
@pytest.mark.parametrize("attempts", ["1", "9"])
def test_the_number_of_attempts_does_not_depend_on_botocore_settings(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch, mode: str, attempts: str
) -> None:
    monkeypatch.setenv("AWS_RETRY_MODE", mode)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", attempts)
    client = aws_client.open_client(dynamodb.at)
    struck = faults.answers(client, "ListTables", "InternalServerError", status=500)
    tries = 0

    class Counted(aws_client.Backoff):
        def wait(self, *, busy: bool = True, silent: bool = False) -> bool:
            nonlocal tries
            tries += 1
            return tries < 6

    with pytest.raises(Refused):
        aws_client.call(client, "list_tables", {}, at=dynamodb.at, backoff=Counted())
    client.close()
    assert struck.count == 6


def test_a_refused_connection_is_retried_and_then_an_error() -> None:
    at = aws_client.Endpoint("dynamodb", faults.refused_url(), "us-east-1", "DynamoDB there", unreachable_s=0.4)
    told: list[str] = []
    with (
        opened(at, "messages", trace=told.append) as dynamodb,
        pytest.raises(CannotConnect, match=r"DynamoDB there cannot be reached \(connection refused\)") as caught,
    ):
        ask(dynamodb)
    assert caught.value.exit_code == Exit.UNREACHABLE
    assert len(told) >= 3


def test_a_server_that_comes_back_is_reached(emulator: str) -> None:
    at = aws_client.Endpoint("dynamodb", faults.refused_url(), "us-east-1", "DynamoDB there")
    client = aws_client.open_client(at)
    sent = 0

    def come_back(request: Any, **_: Any) -> None:
        nonlocal sent
        sent += 1
        if sent == 3:
            request.url = f"{emulator}/"

    client.meta.events.register("before-send.dynamodb.ListTables", come_back)
    assert "TableNames" in aws_client.call(client, "list_tables", {}, at=at)
    client.close()
    assert sent == 3


def test_a_silent_server_is_given_up_after_three_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        aws_client.TIMEOUTS.silent_tries * aws_client.TIMEOUTS.read <= 20
    )  # with its pauses, below the 30 seconds that are promised
    monkeypatch.setattr(aws_client, "TIMEOUTS", aws_client.Timeouts(read=0.15))
    told: list[str] = []
    with faults.silent_server() as url:
        at = aws_client.Endpoint("dynamodb", url, "us-east-1", "DynamoDB there")
        with (
            opened(at, "messages", trace=told.append) as dynamodb,
            pytest.raises(CannotConnect, match="no answer in time"),
        ):
            ask(dynamodb)
    assert len(told) == 3


@pytest.mark.parametrize(
    "operation",
    [
        "put_item",
        "delete_item",
        "update_item",
        "batch_write_item",
        "transact_write_items",
        "create_table",
        "delete_table",
        "update_table",
        "execute_statement",
        "tag_resource",
    ],
)
def test_the_client_of_a_dry_run_sends_no_write(dynamodb: DynamoDB, operation: str) -> None:
    row = message_row("1", "kept")
    write(dynamodb, [row])
    key = {"pk": row["pk"], "sk": row["sk"]}
    name = {"TableName": dynamodb.table}
    put = {"Put": {"Item": message_row("2", "new"), **name}}
    every: dict[str, dict[str, Any]] = {
        "put_item": {"Item": message_row("2", "new"), **name},
        "delete_item": {"Key": key, **name},
        "update_item": {"Key": key, **name},
        "batch_write_item": {"RequestItems": {dynamodb.table: [{"DeleteRequest": {"Key": key}}]}},
        "transact_write_items": {"TransactItems": [put]},
        "create_table": {"KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}], "AttributeDefinitions": [], **name},
        "delete_table": name,
        "update_table": name,
        "execute_statement": {"Statement": "DELETE FROM x"},
        "tag_resource": {"ResourceArn": "arn", "Tags": []},
    }
    at = aws_client.Endpoint("dynamodb", dynamodb.at.url, "us-east-1", "here", read_only=True)
    with aws_client.opened(at) as client, pytest.raises(AssertionError, match="attempted in a dry run"):
        aws_client.call(client, operation, every[operation], at=at)
    assert everything(dynamodb) == [row]


def test_the_client_of_a_dry_run_reads(dynamodb: DynamoDB) -> None:
    write(dynamodb, [message_row("1", "kept")])
    at = aws_client.Endpoint("dynamodb", dynamodb.at.url, "us-east-1", "here", read_only=True)
    with opened(at, dynamodb.table) as reading:
        assert len(everything(reading)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "nobody"),
        ("AWS_CONFIG_FILE", "/nonexistent"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ("AWS_CA_BUNDLE", "/nonexistent"),
        ("AWS_SESSION_TOKEN", "expired"),
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("AWS_MAX_ATTEMPTS", "none"),
    ],
)
def test_a_local_endpoint_is_reached_with_any_variables(
    at: aws_client.Endpoint, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with aws_client.opened(at) as client:
        assert "TableNames" in aws_client.call(client, "list_tables", {}, at=at)


def test_an_unknown_profile_on_aws_is_a_missing_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(NotConfigured, match="nobody"):
        aws_client.open_client(aws_client.Endpoint("dynamodb", None, "us-east-1", "AWS"))


@pytest.mark.parametrize(("region", "said"), [(None, "No AWS region"), ("not a region", "not an AWS region")])
def test_aws_needs_a_region(region: str | None, said: str) -> None:
    with pytest.raises(NotConfigured, match=said):
        aws_client.open_client(aws_client.Endpoint("dynamodb", None, region, "AWS"))


def test_aws_without_credentials_says_where_to_get_them() -> None:
    assert os.environ["AWS_EC2_METADATA_DISABLED"] == "true"
    at = aws_client.Endpoint("dynamodb", None, "us-east-1", "AWS")
    with aws_client.opened(at) as client, pytest.raises(NotConfigured) as caught:
        aws_client.call(client, "list_tables", {}, at=at)
    assert caught.value.hint == "aws configure, or aws sso login"

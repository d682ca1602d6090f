"""An answer is accepted only from the service: requests with false answers are repeated, and then fail."""

from __future__ import annotations

import threading
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cruddur_cli.aws import group_rules, instance, user_pool
from cruddur_cli.aws_client import answers
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import scanning, schema, tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.conversations import queries, send
from cruddur_cli.dynamodb.streams import reader as stream_reader
from cruddur_cli.dynamodb.transfer import Format, exporter, importer, input_files
from cruddur_cli.errors import CannotConnect
from tests import faults
from tests.aws import account as accounts
from tests.dynamodb.rows import ME, OTHER, delete, everything, message_row, write
from tests.dynamodb.shards import read_all

KINDS = pytest.mark.parametrize("kind", faults.FALSE, ids=lambda kind: kind.__name__)


def impatient(url: str, service: str = "dynamodb") -> aws_client.Endpoint:
    """An endpoint with a short wait."""
    return aws_client.Endpoint(service, url, aws_client.LOCAL_REGION, f"{service} there", unreachable_s=0.2)


def every_operation(name: str) -> dict[str, dict[str, Any]]:
    """Every operation of the package on DynamoDB, on a table without rows."""
    row = message_row("2026-11-20", "new")
    key = {"pk": row["pk"], "sk": row["sk"]}
    table = {"TableName": name}
    return {
        "list_tables": {},
        "describe_table": table,
        "query": {**table, **queries.partition("MSG#1")},
        "scan": table,
        "get_item": {**table, "Key": key},
        "batch_get_item": {"RequestItems": {name: {"Keys": [key]}}},
        "put_item": {**table, "Item": row},
        "batch_write_item": {"RequestItems": {name: [{"PutRequest": {"Item": row}}]}},
        "transact_write_items": {"TransactItems": [{"Put": {**table, "Item": row}}]},
        "delete_item": {**table, "Key": key},
        "update_table": {**table, "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}},
        "create_table": {
            "TableName": name,
            "KeySchema": schema.KEYS,
            "AttributeDefinitions": schema.KEY_TYPES[:2],
            "BillingMode": "PAY_PER_REQUEST",
        },
        "delete_table": table,
    }


@KINDS
def test_a_false_answer_to_any_operation_is_never_success(dynamodb: DynamoDB, kind: Any) -> None:
    with faults.falsified(str(dynamodb.at.url), kind) as proxy, opened(impatient(proxy.url), dynamodb.table) as false:
        false.at = impatient(proxy.url)
        for operation, params in every_operation(dynamodb.table).items():
            backoff = aws_client.Backoff(busy_s=0.1, unreachable_s=0.1)
            with pytest.raises(CannotConnect) as caught:
                aws_client.call(false.client, operation, params, at=false.at, backoff=backoff)
            damaged = kind is faults.flipped
            assert caught.value.code == ("damaged_answer" if damaged else "not_the_service")
            assert ("arrives damaged" if damaged else f"The server at {proxy.url} is not DynamoDB") in str(caught.value)
        assert min(proxy.struck.values()) >= 2
        assert len(proxy.struck) == len(every_operation(""))


def test_false_answers_between_true_ones_change_nothing(endpoint: str, tmp_path: Path) -> None:
    with (
        faults.falsified(endpoint, faults.first_of_each(*faults.FALSE)) as proxy,
        opened(
            aws_client.Endpoint("dynamodb", proxy.url, aws_client.LOCAL_REGION, "there"), "false-answers"
        ) as dynamodb,
    ):
        tables.create(dynamodb, stream=True, say=lambda _: None)
        try:
            sent = send.start(dynamodb, ME, OTHER, "first")
            send.send(dynamodb, OTHER, "second", group=sent.message_group_uuid)
            write(dynamodb, [message_row(f"2026-11-{day:02}", "old") for day in range(1, 31)])
            said = [message.message for message in queries.latest(dynamodb, sent.message_group_uuid)]
            assert said == ["first", "second"]
            file = tmp_path / "all.jsonl"
            whole = everything(dynamodb)
            exporter.to_file(dynamodb, tables.describe(dynamodb), file, format=Format.JSONL, zipped=False, segments=2)
            delete(dynamodb, whole)
            assert not everything(dynamodb)
            done = importer.Importer(dynamodb).run(input_files.items(input_files.find(str(file), None)))
            assert (done.new + done.unchanged, everything(dynamodb)) == (len(whole), whole)
            with stream_reader.opened(dynamodb) as source:
                assert len(read_all(source)) >= 2 * len(whole)
            assert any(sum(map(len, [page])) for page in scanning.pages(dynamodb, segments=3))
        finally:
            tables.drop(dynamodb, say=lambda _: None)
        assert set(proxy.struck) >= {
            "CreateTable", "DescribeTable", "Query", "Scan", "BatchWriteItem", "TransactWriteItems", "PutItem",
            "DescribeStream", "GetShardIterator", "GetRecords", "DeleteTable",
        }  # fmt: skip


@KINDS
def test_a_false_answer_of_cognito_is_never_success(emulator: str, kind: Any) -> None:
    with faults.falsified(emulator, kind) as proxy, aws_client.opened(impatient(proxy.url, "cognito-idp")) as client:
        pool = user_pool.Cognito(client, impatient(proxy.url, "cognito-idp"), "us-east-1_x")
        for ask in (
            lambda: list(user_pool.identities(pool)),
            lambda: user_pool.find_pool(client, pool.at, "x"),
            lambda: user_pool.make_demo_pool(client, pool.at),
        ):
            with pytest.raises(CannotConnect, match=r"is not Cognito|arrives damaged"):
                ask()


@KINDS
def test_a_false_answer_of_ec2_or_rds_is_never_success(kind: Any) -> None:
    with accounts.serving() as account, faults.falsified(account.url, kind) as proxy:
        account.add_instance()
        at = impatient(proxy.url, "ec2")
        with aws_client.opened(at) as client, pytest.raises(CannotConnect, match=r"is not EC2|arrives damaged"):
            group_rules.read(group_rules.EC2(client, at), accounts.RULE)
        at = impatient(proxy.url, "rds")
        with aws_client.opened(at) as client, pytest.raises(CannotConnect, match=r"is not RDS|arrives damaged"):
            instance.find(instance.RDS(client, at), name=None)


def answer(status: int, headers: dict[str, str], body: bytes, *, operation: str = "PutItem", due: bool = True) -> Any:
    """The result of the check of an answer."""
    service = SimpleNamespace(resolved_protocol="json")
    model = SimpleNamespace(name=operation, service_model=service, output_shape=object() if due else None)
    return answers.check(model, {"status_code": status, "headers": headers, "body": body})


JSON = {"Content-Type": "application/x-amz-json-1.0"}
ID = {"x-amzn-RequestId": "1"}


def test_an_empty_object_needs_a_request_id_if_no_member_is_expected() -> None:
    assert answer(200, {**JSON, **ID}, b"{}") == {}
    with pytest.raises(answers.Foreign, match="no request id"):
        answer(200, JSON, b"{}")
    assert answer(200, JSON, b'{"Items": []}', operation="Query") == {"Items": []}
    with pytest.raises(answers.Foreign, match="has no Items"):
        answer(200, {**JSON, **ID}, b'{"Items": {}}', operation="Query")


def test_an_empty_body_is_accepted_only_if_none_is_expected() -> None:
    assert answer(200, ID, b"", operation="TagResource", due=False) is None
    with pytest.raises(answers.Foreign):
        answer(200, {}, b"", operation="TagResource", due=False)
    with pytest.raises(answers.Foreign, match="is empty"):
        answer(200, {**JSON, **ID}, b"")


def test_a_checksum_of_the_received_bytes_is_compared() -> None:
    right = str(zlib.crc32(b"{}"))
    assert answer(200, {**JSON, **ID, "X-Amz-Crc32": right}, b"{}") == {}
    with pytest.raises(answers.Foreign) as caught:
        answer(200, {**JSON, **ID, "X-Amz-Crc32": right}, b"{ }")
    assert caught.value.damaged
    assert answer(200, {**JSON, **ID, "x-amz-crc32": "1", "content-encoding": "gzip"}, b"{}") == {}


@pytest.mark.parametrize("body", [b'{"__type": "a#ThrottlingException"}', b'{"code": "Throttling"}'])
def test_an_error_of_aws_differs_from_that_of_another_server(body: bytes) -> None:
    assert answer(400, {}, body) is None
    assert answer(503, {"x-amzn-ErrorType": "ServiceUnavailable"}, b"") is None
    with pytest.raises(answers.Foreign, match="status 404"):
        answer(404, {}, b'{"error": "no such page"}')


def test_a_server_that_is_not_dynamodb_is_recognized(endpoint: str) -> None:
    asked = ("dynamodb", "DynamoDB_20120810.ListTables", "{}", "TableNames")
    assert aws_client.speaks(endpoint, *asked)
    assert not aws_client.speaks(endpoint, *asked[:3], "SomethingElse")
    assert not aws_client.speaks(faults.refused_url(), *asked)
    with faults.silent_server() as url, pytest.raises(CannotConnect, match="does not answer"):
        aws_client.speaks(url, *asked, timeout_s=0.1)


def test_one_thread_at_a_time_holds_a_parsed_answer() -> None:
    turn, held, order = answers.Turn(), threading.Event(), []

    def second() -> None:
        answers.TURN.set(turn)
        held.wait(60)
        answer(200, JSON, b'{"Items": []}', operation="Query")
        order.append("parsed")
        turn.give_back()

    thread = threading.Thread(target=second)
    thread.start()
    turn.take()
    turn.take()  # twice is once
    held.set()
    thread.join(0.3)
    order.append("given back")
    turn.give_back()
    turn.give_back()  # what another one may hold by now stays held
    thread.join(60)
    assert order == ["given back", "parsed"]

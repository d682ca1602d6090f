"""Every undocumented part of botocore that is used, and the slower way without it."""

from __future__ import annotations

import inspect
from typing import Any

import botocore.loaders
import pytest

from cruddur_cli.aws_client import botocore_parts, fast_json
from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb.client import DynamoDB
from tests.dynamodb.rows import everything, message_row, write


def test_the_loader_has_the_two_methods_that_are_replaced() -> None:
    for name, parameters in (
        ("list_available_services", ["self", "type_name"]),
        ("load_data_with_path", ["self", "name"]),
    ):
        reading = getattr(botocore.loaders.Loader, name)
        # One of them is wrapped by a cache, which leaves the arguments in a closure.
        inner = [cell.cell_contents for cell in reading.__closure__ or () if callable(cell.cell_contents)]
        assert list(inspect.signature(inner[0] if inner else reading).parameters) == parameters


def test_an_answer_is_seen_with_its_model_before_it_is_parsed(dynamodb: DynamoDB) -> None:
    seen: list[dict[str, Any]] = []
    dynamodb.client.meta.events.register("before-parse.dynamodb.ListTables", lambda **event: seen.append(event))
    aws_client.call(dynamodb.client, "list_tables", {}, at=dynamodb.at)
    (event,) = seen
    assert event["operation_model"].name == "ListTables"
    assert event["operation_model"].service_model.resolved_protocol == "json"
    assert event["response_dict"].keys() >= {"status_code", "headers", "body"}
    assert event["customized_response_dict"] == {}


def test_items_are_those_of_the_answer_with_binary_values_as_bytes(dynamodb: DynamoDB) -> None:
    item = {**message_row("1", "text"), "b": {"B": b"\x00\xff"}, "bs": {"BS": [b"\x01"]}, "n": {"N": "1.5"}}
    write(dynamodb, [item])
    assert everything(dynamodb) == [item]
    seen: list[bytes] = []
    dynamodb.client.meta.events.register_last(
        "before-parse.dynamodb", lambda response_dict, **_: seen.append(response_dict["body"])
    )
    assert everything(dynamodb) == [item]
    assert seen == [b"{}"]


def test_requests_that_are_set_aside_are_put_back_into_the_body(dynamodb: DynamoDB) -> None:
    bodies: list[bytes] = []
    events = dynamodb.client.meta.events
    events.register("before-send.dynamodb.BatchWriteItem", lambda request, **_: bodies.append(request.body))
    write(dynamodb, [message_row("1", "text")])
    assert b'"PutRequest"' in bodies[0]
    assert b'"DeleteRequest"' not in bodies[0]


def test_without_the_dict_botocore_parses_the_answer_itself(dynamodb: DynamoDB) -> None:
    write(dynamodb, [message_row("1", "text")])
    handlers: list[Any] = []

    class Meta:
        service_model = dynamodb.client.meta.service_model

        class events:
            @staticmethod
            def register(_: str, handle: Any, **__: Any) -> None:
                handlers.append(handle)

    class Client:
        meta = Meta

    botocore_parts.on_answers(Client, lambda model, response: {"Items": "read"})
    response = {"status_code": 200, "headers": {}, "body": b'{"Items": []}'}
    handlers[0](operation_model=None, response_dict=response, some_new_thing=1)
    assert response["body"] == b'{"Items": []}'
    customized: dict[str, Any] = {}
    handlers[0](operation_model=None, response_dict=response, customized_response_dict=customized)
    assert (customized, response["body"]) == ({"Items": "read"}, b"{}")


def test_a_loader_without_these_methods_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def __init__(self) -> None:
            self.registered: list[str] = []

        def register_component(self, name: str, _: Any) -> None:
            self.registered.append(name)

        def get_config_variable(self, _: str) -> None:
            return None

    monkeypatch.delattr(botocore.loaders.Loader, "load_data_with_path")
    session = Session()
    botocore_parts.quicken(session, "dynamodb", local=True)
    assert session.registered == []


def test_operations_with_many_items_are_decoded_with_json() -> None:
    assert [name for name in ("Scan", "Query", "BatchGetItem", "ListUsers") if not fast_json.is_plain(name)] == []
    assert not fast_json.is_plain("DescribeTable")

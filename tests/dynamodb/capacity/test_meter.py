"""Sizes and capacity units equal numbers computed by hand, and those that two engines report.

DynamoDB Local is Amazon's own code, so its read units are the reference. Its answers to the requests below are recorded
in ``recorded_capacity.json``, for machines without Java. After a change of the requests, record them again:

    TEST_DYNAMODB_LOCAL=http://127.0.0.1:8000 TEST_RECORD_CAPACITY=1 pytest tests/dynamodb/capacity/test_meter.py
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import botocore.session
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from cruddur_cli.dynamodb.capacity.meter import Consumed, Meter, Operation, least_units
from cruddur_cli.dynamodb.capacity.rules import ITEM_LIMIT, item_size, read_units

INDEX = "message-group-sk-index"
RECORDED = Path(__file__).with_name("recorded_capacity.json")
Item = dict[str, dict[str, Any]]


# ---------------------------------------------------------------------------------------------------------------------
# Sizes. By hand: bytes of the name, plus what stands beside each value.


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": ""}, 0),
        ({"S": "hello"}, 5),
        ({"S": "é€😀"}, 2 + 3 + 4),
        ({"B": b"\x00\xff\x10"}, 3),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
        ({"N": "0"}, 1),
        ({"N": "-0.0"}, 1),
        ({"N": "7"}, 1 + 1),
        ({"N": "42"}, 1 + 1),
        ({"N": "123"}, 1 + 2),
        ({"N": "1234"}, 1 + 2),
        ({"N": "-42"}, 1 + 1 + 1),
        ({"N": "0042"}, 1 + 1),
        ({"N": "4200"}, 1 + 1),
        ({"N": "42e2"}, 1 + 1),
        ({"N": "4.2E+3"}, 1 + 1),
        ({"N": "120"}, 1 + 2),
        ({"N": "1.5"}, 1 + 2),
        ({"N": "0.5"}, 1 + 1),
        ({"N": "0.05"}, 1 + 1),
        ({"N": "1e-3"}, 1 + 1),
        ({"N": "1" * 38}, 1 + 19),
        ({"N": "-" + "1" * 38}, 1 + 19 + 1),
        ({"SS": ["a", "bé"]}, 1 + 3),
        ({"NS": ["1", "-123"]}, 2 + 4),
        ({"BS": [b"a", b"bc"]}, 1 + 2),
        ({"L": []}, 3),
        ({"M": {}}, 3),
        ({"L": [{"S": "ab"}, {"N": "12"}]}, 3 + (1 + 2) + (1 + 2)),
        ({"M": {"ab": {"S": "cd"}, "e": {"L": [{"BOOL": True}]}}}, 3 + (1 + 2 + 2) + (1 + 1 + 3 + 1 + 1)),
    ],
)
def test_size_of_a_value(value: dict[str, Any], size: int) -> None:
    assert item_size({"a": value}) == 1 + size


def test_size_of_an_item_is_its_names_and_values() -> None:
    item = {"pk": {"S": "GRP#1"}, "sk": {"S": "2026"}, "größe": {"N": "10"}}
    assert item_size(item) == (2 + 5) + (2 + 4) + (7 + 2)
    assert item_size({}) == 0


@pytest.mark.parametrize("value", [{}, {"X": "a"}, {"S": "a", "N": "1"}])
def test_a_value_of_an_unknown_type_has_no_size(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"type|unpack"):
        item_size({"a": value})


@pytest.mark.parametrize(
    ("size", "eventual", "consistent"),
    [
        (0, 0.5, 1.0),
        (1, 0.5, 1.0),
        (4096, 0.5, 1.0),
        (4097, 1.0, 2.0),
        (8192, 1.0, 2.0),
        (1024 * 1024, 128.0, 256.0),
        (ITEM_LIMIT, 50.0, 100.0),
    ],
)
def test_read_units_of_a_size(size: int, eventual: float, consistent: float) -> None:
    assert read_units(size, consistent=False) == eventual
    assert read_units(size, consistent=True) == consistent


# ---------------------------------------------------------------------------------------------------------------------
# The meter, with answers written down here.


def consumed(units: float, *, table: str = "t", **more: Any) -> dict[str, Any]:
    return {"TableName": table, "CapacityUnits": units, **more}


ROW = {"pk": {"S": "x" * 1500}}
KEYED = {"Key": ROW, "TableName": "t"}


@pytest.mark.parametrize(
    ("operation", "request_", "units"),
    [
        ("Query", {"TableName": "t"}, 0.5),
        ("Scan", {"TableName": "t", "ConsistentRead": True}, 1.0),
        ("GetItem", KEYED, 0.5),
        ("BatchGetItem", {"RequestItems": {"t": {"Keys": [ROW, ROW, ROW]}, "other": {"Keys": [ROW]}}}, 1.5),
        ("BatchGetItem", {"RequestItems": {"t": {"Keys": [ROW] * 3, "ConsistentRead": True}}}, 3.0),
        ("BatchGetItem", {"RequestItems": {"other": {"Keys": [ROW]}}}, 0.0),
        ("TransactGetItems", {"TransactItems": [{"Get": KEYED}, {"Get": {**KEYED, "TableName": "other"}}]}, 2.0),
        ("PutItem", {"TableName": "t", "Item": ROW}, 2.0),
        ("DeleteItem", KEYED, 1.0),
        ("BatchWriteItem", {"RequestItems": {"t": [{"PutRequest": {"Item": ROW}}, {"DeleteRequest": {}}]}}, 3.0),
        ("BatchWriteItem", {"RequestItems": {"other": [{"PutRequest": {"Item": ROW}}]}}, 0.0),
        (
            "TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": "t", "Item": ROW}}, {"Delete": {**KEYED, "TableName": "other"}}]},
            4.0,
        ),
        ("TransactWriteItems", {"TransactItems": [{"Delete": KEYED}, {"ConditionCheck": KEYED}]}, 4.0),
        ("DescribeTable", {"TableName": "t"}, 0.0),
    ],
)
def test_the_least_that_a_request_can_cost(operation: str, request_: Any, units: float) -> None:
    assert least_units(operation, request_, "t") == units


def test_before_the_first_request_all_figures_are_zero() -> None:
    assert Meter("t", computed=False).total() == Consumed("t", 0.0, 0.0, 0, {}, "reported")


def test_the_total_has_the_fields_of_the_contract() -> None:
    meter = Meter("cruddur-messages", computed=False)
    request = {"TableName": "cruddur-messages", "IndexName": INDEX}
    index: dict[str, Any] = {"GlobalSecondaryIndexes": {INDEX: {"CapacityUnits": 0.5}}}
    meter.add(
        "Query",
        request,
        {
            "Items": [],
            "Count": 0,
            "ScannedCount": 0,
            "ConsumedCapacity": consumed(0.5, table="cruddur-messages", **index),
        },
    )
    assert json.dumps(asdict(meter.total())) == (
        '{"table": "cruddur-messages", "read_units": 0.5, "write_units": 0.0, "requests": 1, '
        '"indexes": {"message-group-sk-index": 0.5}, "source": "reported"}'
    )


def test_operations_in_order_of_first_use() -> None:
    meter = Meter("t", computed=False)
    page = {"Items": [{}], "Count": 1, "ScannedCount": 3, "ConsumedCapacity": consumed(1.5)}
    meter.add("Scan", {"TableName": "t"}, page)
    meter.add("PutItem", {"TableName": "t"}, {"ConsumedCapacity": consumed(2.0)})
    meter.add("Scan", {"TableName": "t"}, page)
    assert meter.operations() == [
        Operation("Scan", requests=2, items=6, read_units=3.0, write_units=0.0, indexes={}),
        Operation("PutItem", requests=1, items=1, read_units=0.0, write_units=2.0, indexes={}),
    ]


def test_a_request_that_uses_no_capacity_is_not_counted() -> None:
    meter = Meter("t", computed=True)
    meter.add("DescribeTable", {"TableName": "t"}, {"Table": {}})
    meter.add("ListTables", {}, {"TableNames": []})
    assert meter.total().requests == 0
    assert meter.operations() == []


def test_the_units_of_an_answer_are_returned() -> None:
    meter = Meter("t", computed=False)
    assert meter.add("DescribeTable", {"TableName": "t"}, {"Table": {}}) == 0.0
    assert meter.add("PutItem", {"TableName": "u"}, {"ConsumedCapacity": consumed(2.0, table="u")}) == 0.0
    assert meter.add("PutItem", {"TableName": "t"}, {"ConsumedCapacity": consumed(2.0)}) == 2.0
    assert meter.add("GetItem", {"TableName": "t"}, {"ConsumedCapacity": consumed(0.5)}) == 0.5


def test_the_units_of_dry_runs_are_added_up() -> None:
    meter = Meter("t", computed=False)
    assert meter.planned == 0.0
    meter.plan(2.0)
    meter.plan(1.5)
    assert meter.planned == 3.5
    assert meter.total().write_units == 0.0


def test_computing_can_be_turned_on_after_the_meter_is_created() -> None:
    """Only the first answer says which engine it is."""
    meter = Meter("t", computed=False)
    meter.computed = True
    meter.add("GetItem", {"TableName": "t"}, {"Item": {"a": {"S": "x" * 5000}}, "ConsumedCapacity": consumed(0.5)})
    assert meter.total() == Consumed("t", 1.0, 0.0, 1, {}, "computed")


def test_a_get_that_finds_nothing_reads_no_item() -> None:
    meter = Meter("t", computed=True)
    meter.add("GetItem", {"TableName": "t"}, {})
    meter.add("GetItem", {"TableName": "t", "ConsistentRead": True}, {"Item": {"a": {"S": "b"}}})
    meter.add("GetItem", {"TableName": "t"}, {"Item": {"a": {"S": "b"}}})
    assert meter.operations() == [Operation("GetItem", 3, 2, 0.5 + 1.0 + 0.5, 0.0, {})]


def test_a_transaction_of_gets_counts_the_items_that_it_found() -> None:
    meter = Meter("t", computed=True)
    gets = [{"Get": {"TableName": table, "Key": {"a": {"S": "b"}}}} for table in ("t", "t", "t", "other")]
    found = {"Item": {"a": {"S": "b"}}}
    meter.add("TransactGetItems", {"TransactItems": gets}, {"Responses": [found, {}, found, found]})
    (operation,) = meter.operations()
    assert (operation.requests, operation.items) == (1, 2)


def test_a_data_request_without_figures_is_still_a_request() -> None:
    meter = Meter("t", computed=False)
    meter.add("DeleteItem", {"TableName": "t"}, {})
    assert meter.total() == Consumed("t", 0.0, 0.0, 1, {}, "reported")


def test_requests_for_other_tables_are_not_counted() -> None:
    meter = Meter("t", computed=False)
    meter.add("PutItem", {"TableName": "u"}, {"ConsumedCapacity": consumed(1.0, table="u")})
    meter.add(
        "BatchWriteItem",
        {"RequestItems": {"t": [{}, {}, {}], "u": [{}]}},
        {
            "UnprocessedItems": {"t": [{}], "u": [{}]},
            "ConsumedCapacity": [consumed(4.0, table="u"), consumed(2.0, table="t")],
        },
    )
    meter.add(
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Put": {"TableName": "t"}},
                {"Delete": {"TableName": "u"}},
                {"Update": {"TableName": "t"}},
            ]
        },
        {"ConsumedCapacity": [consumed(4.0, table="t"), consumed(2.0, table="u")]},
    )
    assert meter.operations() == [
        Operation("BatchWriteItem", requests=1, items=2, read_units=0.0, write_units=2.0, indexes={}),
        Operation("TransactWriteItems", requests=1, items=2, read_units=0.0, write_units=4.0, indexes={}),
    ]


def test_a_repeated_client_token_only_reads() -> None:
    meter = Meter("t", computed=True)
    request = {"TransactItems": [{"Put": {"TableName": "t"}}]}
    meter.add("TransactWriteItems", request, {"ConsumedCapacity": [consumed(2.0, WriteCapacityUnits=2.0)]})
    meter.add("TransactWriteItems", request, {"ConsumedCapacity": [consumed(2.0, ReadCapacityUnits=2.0)]})
    assert (meter.total().read_units, meter.total().write_units) == (2.0, 2.0)


def test_adding_leaves_no_float_artefacts() -> None:
    meter = Meter("t", computed=False)
    for units in (0.1, 0.2):
        index: dict[str, Any] = {"GlobalSecondaryIndexes": {"i": {"CapacityUnits": units}}}
        meter.add("PutItem", {"TableName": "t"}, {"ConsumedCapacity": consumed(units, **index)})
        meter.add("DeleteItem", {"TableName": "t"}, {"ConsumedCapacity": consumed(units, **index)})
    assert repr(meter.operations()[0].write_units) == "0.3"
    assert repr(meter.total().write_units) == "0.6"
    assert repr(meter.total().indexes) == "{'i': 0.6}"


def test_threads_that_share_a_meter_lose_no_request() -> None:
    meter = Meter("t", computed=True)
    page = {"Items": [{"a": {"S": "x" * 4096}}], "Count": 1, "ScannedCount": 1}
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(meter.add, "Scan", {"TableName": "t", "IndexName": "i"}, page) for _ in range(4000)]
        for future in futures:
            future.result()
    finally:
        sys.setswitchinterval(before)
    assert meter.total() == Consumed("t", 4000.0, 0.0, 4000, {"i": 4000.0}, "computed")


def test_batch_get_rounds_each_key_by_itself() -> None:
    """The example of "DynamoDB read and write operations": 1.5 KB and 6.5 KB cost 4 KB + 8 KB; a missing key 4 KB."""
    meter = Meter("t", computed=True)
    items = [{"a": {"S": "x" * (1536 - 1)}}, {"a": {"S": "x" * (6656 - 1)}}]
    response = {"Responses": {"t": items}, "UnprocessedKeys": {"t": {"Keys": [{}, {}]}}}
    meter.add("BatchGetItem", {"RequestItems": {"t": {"Keys": [{}] * 5, "ConsistentRead": True}}}, response)
    assert meter.operations() == [Operation("BatchGetItem", 1, 2, 1.0 + 2.0 + 1.0, 0.0, {})]


@pytest.mark.parametrize(
    ("operation", "request_", "response"),
    [
        ("Query", {"TableName": "t", "Select": "COUNT"}, {"Count": 2, "ScannedCount": 2}),
        ("Scan", {"TableName": "t", "FilterExpression": "a = :a"}, {"Items": [{}], "Count": 1, "ScannedCount": 2}),
        ("Scan", {"TableName": "t", "ProjectionExpression": "a"}, {"Items": [{}], "Count": 1, "ScannedCount": 1}),
        ("GetItem", {"TableName": "t", "ProjectionExpression": "a"}, {"Item": {}}),
        (
            "BatchGetItem",
            {"RequestItems": {"t": {"Keys": [{}], "ProjectionExpression": "a"}}},
            {"Responses": {"t": [{}]}},
        ),
    ],
)
def test_answers_without_whole_items_cannot_be_computed(
    operation: str, request_: dict[str, Any], response: dict[str, Any]
) -> None:
    """If the engine reports true units, such answers are counted."""
    with pytest.raises(ValueError, match=f"{operation} that does not return whole items"):
        Meter("t", computed=True).add(operation, request_, response)
    reported = Meter("t", computed=False)
    reported.add(operation, request_, response | {"ConsumedCapacity": consumed(1.5)})
    assert reported.total().read_units == 1.5


# ---------------------------------------------------------------------------------------------------------------------
# The engines.


class Answer(NamedTuple):
    operation: str
    request: dict[str, Any]
    response: dict[str, Any]


def client_of(endpoint: str) -> Any:
    return botocore.session.Session().create_client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def create_table(client: Any) -> str:
    name = f"capacity-{uuid4().hex}"
    throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}

    def keys(partition: str) -> list[dict[str, str]]:
        return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]

    index = {"IndexName": INDEX, "KeySchema": keys("message_group_uuid"), "Projection": {"ProjectionType": "ALL"}}
    client.create_table(
        TableName=name,
        KeySchema=keys("pk"),
        AttributeDefinitions=[
            {"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk", "message_group_uuid")
        ],
        GlobalSecondaryIndexes=[{**index, "ProvisionedThroughput": throughput}],
        ProvisionedThroughput=throughput,
    )
    return name


@pytest.fixture(params=["emulator", "dynamodb_local"])
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[Any, str]]:
    """A client of each engine, with its own table."""
    endpoint = request.getfixturevalue(request.param)
    if endpoint is None:
        pytest.skip("no DynamoDB Local here")
    client = client_of(endpoint)
    table = create_table(client)
    yield client, table
    client.delete_table(TableName=table)


@pytest.mark.parametrize(
    "value",
    [
        {"S": "plain"},
        {"S": "é€😀"},
        {"B": b"\x00\xff"},
        {"BOOL": True},
        {"NULL": True},
        {"N": "0"},
        {"N": "123"},
        {"N": "-123"},
        {"N": "120"},
        {"N": "1.5"},
        {"N": "-" + "1" * 38},
        {"SS": ["a", "bé"]},
        {"NS": ["1", "-123"]},
        {"BS": [b"a", b"bc"]},
        {"L": []},
        {"M": {"ab": {"S": "cd"}, "e": {"L": [{"BOOL": True}]}}},
    ],
)
def test_engines_charge_by_the_same_sizes(engine: tuple[Any, str], value: dict[str, Any]) -> None:
    """A write costs one unit per KB, rounded up. So the byte after the first KB shows which bytes an engine counts."""
    client, table = engine
    item: Item = {"pk": {"S": "a"}, "sk": {"S": "b"}, "größe": value, "pad": {"S": ""}}
    for size, units in ((1024, 1.0), (1025, 2.0)):
        item["pad"] = {"S": ""}
        item["pad"] = {"S": "x" * (size - item_size(item))}
        # Deleted between: an overwritten item would count if it were the larger one.
        answer = client.put_item(TableName=table, Item=item, ReturnConsumedCapacity="INDEXES")
        assert answer["ConsumedCapacity"]["CapacityUnits"] == units
        client.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})


def test_engines_have_the_same_item_limit(engine: tuple[Any, str]) -> None:
    client, table = engine
    item = text_item("a", "b", size=ITEM_LIMIT)
    assert item_size(item) == ITEM_LIMIT
    answer = client.put_item(TableName=table, Item=item, ReturnConsumedCapacity="INDEXES")
    assert answer["ConsumedCapacity"]["CapacityUnits"] == 400.0
    with pytest.raises(ClientError, match="exceeded the maximum allowed size"):
        client.put_item(TableName=table, Item=text_item("a", "b", size=ITEM_LIMIT + 1))


# ---------------------------------------------------------------------------------------------------------------------
# The same requests to both engines.


def text_item(pk: str, sk: str, *, size: int, **more: str) -> Item:
    """An item with only texts, as those of the application, of exactly that many bytes."""
    texts = {"pk": pk, "sk": sk, **more}
    used = sum(len(name.encode()) + len(text.encode()) for name, text in texts.items())
    return {name: {"S": text} for name, text in texts.items()} | {
        "message": {"S": "x" * (size - used - len(b"message"))}
    }


def key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def requests(table: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The requests in order: name of the step, operation, parameters. They do not depend on the clock or on chance."""
    yield from writes(table)
    yield from reads(table)


def writes(table: str) -> Iterator[tuple[str, str, dict[str, Any]]]:

    def puts(*items: Item) -> Iterator[dict[str, Any]]:
        for start in range(0, len(items), 25):
            yield {"RequestItems": {table: [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]}}

    short = [text_item("MSG#short", f"2026-11-20T10:{n:02}", size=230 + n, user_handle="bäyko") for n in range(30)]
    long = [text_item("MSG#long", f"{n:03}", size=1500) for n in range(45)]
    # 256 of these are exactly 1 MB, so that no engine can cut a page elsewhere.
    even = [text_item("MSG#even", f"{n:03}", size=4096) for n in range(260)]
    # 34 of these are less than 1 MB, 35 are more.
    uneven = [text_item("MSG#uneven", f"{n:03}", size=30_001) for n in range(40)]
    groups = [text_item("GRP#me", f"{n:03}", size=300 + n, message_group_uuid="short") for n in range(6)]
    large_group = text_item("GRP#you", "000", size=1025, message_group_uuid="long")

    for name, items in (("write short", short), ("write long", long), ("write even", even), ("write uneven", uneven)):
        for batch in puts(*items):
            yield name, "BatchWriteItem", batch
    for batch in puts(*groups, large_group):
        yield "write group rows", "BatchWriteItem", batch
    for batch in puts(groups[0], text_item("GRP#me", "001", size=310, message_group_uuid="short"), short[0]):
        yield "write rows again, one of them changed", "BatchWriteItem", batch

    yield "put message", "PutItem", {"Item": text_item("MSG#one", "1", size=1024)}
    yield "put larger message in its place", "PutItem", {"Item": text_item("MSG#one", "1", size=2049)}
    yield "put smaller message in its place", "PutItem", {"Item": text_item("MSG#one", "1", size=100)}
    yield "put group row", "PutItem", {"Item": text_item("GRP#me", "9", size=500, message_group_uuid="one")}
    yield "put group row unchanged", "PutItem", {"Item": text_item("GRP#me", "9", size=500, message_group_uuid="one")}
    yield (
        "put group row of another group",
        "PutItem",
        {"Item": text_item("GRP#me", "9", size=500, message_group_uuid="o")},
    )
    yield "put group row out of the index", "PutItem", {"Item": text_item("GRP#me", "9", size=500)}
    yield "delete message", "DeleteItem", {"Key": key("MSG#long", "044")}
    yield "delete group row", "DeleteItem", {"Key": key("GRP#you", "000")}
    yield "delete nothing", "DeleteItem", {"Key": key("MSG#none", "1")}
    deletes = [{"DeleteRequest": {"Key": key("MSG#long", "043")}}, {"DeleteRequest": {"Key": key("GRP#me", "005")}}]
    yield "delete message and group row", "BatchWriteItem", {"RequestItems": {table: deletes}}
    update = {"UpdateExpression": "SET user_handle = :h", "ExpressionAttributeValues": {":h": {"S": "londo"}}}
    nothing = [{"DeleteRequest": {"Key": key("MSG#none", f"{n}")}} for n in range(3)]
    yield "delete nothing in a batch", "BatchWriteItem", {"RequestItems": {table: nothing}}
    yield "update message", "UpdateItem", {"Key": key("MSG#long", "042"), **update}
    send = [
        {"Put": {"TableName": table, "Item": text_item("MSG#short", "2026-11-20T11:00", size=240)}},
        {"Delete": {"TableName": table, "Key": key("GRP#me", "004")}},
        {"Put": {"TableName": table, "Item": text_item("GRP#me", "010", size=300, message_group_uuid="short")}},
    ]
    yield "send message", "TransactWriteItems", {"TransactItems": send, "ClientRequestToken": table[-32:]}
    yield "send message again", "TransactWriteItems", {"TransactItems": send, "ClientRequestToken": table[-32:]}


def reads(table: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    def query(value: str, **more: Any) -> dict[str, Any]:
        name = "message_group_uuid" if "IndexName" in more else "pk"
        values = {":p": {"S": value}} | more.pop("values", {})
        condition = f"{name} = :p{more.pop('also', '')}"
        return {"KeyConditionExpression": condition, "ExpressionAttributeValues": values, **more}

    yield "query", "Query", query("MSG#short")
    yield "query backwards", "Query", query("MSG#short", ScanIndexForward=False)
    yield "query consistently", "Query", query("MSG#short", ConsistentRead=True)
    yield "query a year", "Query", query("MSG#short", also=" AND begins_with(sk, :y)", values={":y": {"S": "2026"}})
    some = {":a": {"S": "010"}, ":b": {"S": "012"}}
    yield "query between", "Query", query("MSG#long", also=" AND sk BETWEEN :a AND :b", values=some)
    yield "query more than 4 KB", "Query", query("MSG#long")
    yield "query index", "Query", query("short", IndexName=INDEX)
    yield "query index backwards", "Query", query("short", IndexName=INDEX, ScanIndexForward=False)
    yield "query even pages", "Query", query("MSG#even")
    yield "query even pages consistently", "Query", query("MSG#even", ConsistentRead=True)
    yield "query uneven pages", "Query", query("MSG#uneven")
    yield "query uneven pages consistently", "Query", query("MSG#uneven", ConsistentRead=True)
    yield "query nothing", "Query", query("MSG#none")
    yield "query nothing consistently", "Query", query("MSG#none", ConsistentRead=True)
    yield "query nothing in index", "Query", query("none", IndexName=INDEX)
    yield "query 20 at a time", "Query", query("MSG#long", Limit=20)
    yield "query 20 at a time backwards", "Query", query("MSG#long", Limit=20, ScanIndexForward=False)
    yield "query 2 at a time in index", "Query", query("short", IndexName=INDEX, Limit=2)
    yield "get", "GetItem", {"Key": key("MSG#short", "2026-11-20T10:00")}
    yield "get more than 4 KB", "GetItem", {"Key": key("MSG#uneven", "000")}
    yield "get more than 4 KB consistently", "GetItem", {"Key": key("MSG#uneven", "000"), "ConsistentRead": True}
    yield "get nothing", "GetItem", {"Key": key("MSG#none", "1")}
    yield "get nothing consistently", "GetItem", {"Key": key("MSG#none", "1"), "ConsistentRead": True}
    keys = [
        key("MSG#short", "2026-11-20T10:00"),
        key("MSG#uneven", "000"),
        key("MSG#even", "000"),
        key("MSG#none", "1"),
    ]
    yield "get batch", "BatchGetItem", {"RequestItems": {table: {"Keys": keys}}}
    consistent = {"Keys": keys, "ConsistentRead": True}
    yield "get batch consistently", "BatchGetItem", {"RequestItems": {table: consistent}}
    yield "scan", "Scan", {}
    yield "scan consistently", "Scan", {"ConsistentRead": True}
    yield "scan 100 at a time", "Scan", {"Limit": 100}
    yield "scan index", "Scan", {"IndexName": INDEX}
    for segment in range(4):
        yield "scan segments", "Scan", {"Segment": segment, "TotalSegments": 4}


# The engines scan in different orders and cut uneven pages at different places, and each page is rounded by itself.
DIFFERENT_PAGES = {
    "query uneven pages",
    "query uneven pages consistently",
    "scan",
    "scan consistently",
    "scan 100 at a time",
    "scan segments",
}
TRANSACTIONS = {"send message", "send message again"}


def perform(endpoint: str) -> tuple[str, dict[str, list[Answer]]]:
    """The table's name, and the answers of each step; queries and scans are read to their last page."""
    client = client_of(endpoint)
    table = create_table(client)
    answers: dict[str, list[Answer]] = {}
    for name, operation, parameters in requests(table):
        request = {**parameters, "ReturnConsumedCapacity": "INDEXES"}
        if operation not in {"BatchGetItem", "BatchWriteItem", "TransactWriteItems"}:
            request["TableName"] = table
        while True:
            response = getattr(client, xform_name(operation))(**request)
            answers.setdefault(name, []).append(Answer(operation, request, response))
            if "LastEvaluatedKey" not in response:
                break
            request = {**request, "ExclusiveStartKey": response["LastEvaluatedKey"]}
    client.delete_table(TableName=table)
    return table, answers


@pytest.fixture(scope="module")
def on_emulator(emulator: str) -> tuple[str, dict[str, list[Answer]]]:
    return perform(emulator)


@pytest.fixture(scope="module")
def on_dynamodb_local(dynamodb_local: str | None) -> tuple[str, dict[str, list[Answer]]]:
    if dynamodb_local is None:
        pytest.skip("no DynamoDB Local here")
    return perform(dynamodb_local)


def metered(table: str, answers: list[Answer], *, computed: bool) -> Consumed:
    meter = Meter(table, computed=computed)
    for answer in answers:
        meter.add(*answer)
    return meter.total()


def figures_of(answers: list[Answer]) -> dict[str, Any]:
    """An engine's own figures, added up without the meter."""
    found: dict[str, Any] = {"read_units": 0.0, "write_units": 0.0, "indexes": {}, "pages": []}
    for operation, _, response in answers:
        said = response.get("ConsumedCapacity", [])
        for each in said if isinstance(said, list) else [said]:
            reads = operation in {"Query", "Scan", "GetItem", "BatchGetItem"} or "ReadCapacityUnits" in each
            found["read_units" if reads else "write_units"] += each["CapacityUnits"]
            for index, units in each.get("GlobalSecondaryIndexes", {}).items():
                found["indexes"][index] = found["indexes"].get(index, 0.0) + units["CapacityUnits"]
        found["pages"] += [response["ScannedCount"]] if "ScannedCount" in response else []
    return found


def for_nothing(answers: list[Answer]) -> float:
    """The units that DynamoDB charges, and DynamoDB Local does not, for empty pages and for a batch's missing keys.

    "DynamoDB read and write operations": Query and Scan are charged "even if no data exists". "BatchGetItem": requests
    for nonexistent items consume the minimum. (For a GetItem without an item DynamoDB Local does charge.)
    """
    units = 0.0
    for operation, request, response in answers:
        nothing, options = int(response.get("ScannedCount") == 0), request
        if operation == "BatchGetItem":
            ((table, options),) = request["RequestItems"].items()
            nothing = len(options["Keys"]) - len(response["Responses"][table])
        units += nothing * (1.0 if options.get("ConsistentRead") else 0.5)
    return units


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, Any]:
    figures: Mapping[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return figures


def test_the_recording_is_what_dynamodb_local_says(on_dynamodb_local: tuple[str, dict[str, list[Answer]]]) -> None:
    _, answers = on_dynamodb_local
    figures = {name: figures_of(found) for name, found in answers.items()}
    if os.environ.get("TEST_RECORD_CAPACITY"):
        lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in figures.items()]
        RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    assert json.loads(RECORDED.read_text(encoding="utf-8")) == figures


@pytest.mark.parametrize("where", ["on_emulator", "on_dynamodb_local"])
def test_reported_totals_are_the_engines_own(where: str, request: pytest.FixtureRequest) -> None:
    table, answers = request.getfixturevalue(where)
    everything = [answer for found in answers.values() for answer in found]
    said = figures_of(everything)
    total = metered(table, everything, computed=False)
    assert (total.read_units, total.write_units) == (said["read_units"], said["write_units"])
    assert (total.indexes, total.requests, total.source) == (said["indexes"], len(everything), "reported")


def test_the_rules_give_what_dynamodb_local_reports(on_dynamodb_local: tuple[str, dict[str, list[Answer]]]) -> None:
    """They are compared answer by answer, with the items that DynamoDB Local returned."""
    table, answers = on_dynamodb_local
    for name in answers.keys() - TRANSACTIONS:
        for answer in answers[name]:
            said, worked_out = figures_of([answer]), metered(table, [answer], computed=True)
            assert worked_out.read_units == said["read_units"] + for_nothing([answer]), name
            assert worked_out.write_units == said["write_units"], name
            read_in_index = "IndexName" in answer.request
            assert worked_out.indexes == ({INDEX: worked_out.read_units} if read_in_index else said["indexes"]), name


def test_read_units_on_the_emulator(
    on_emulator: tuple[str, dict[str, list[Answer]]], recorded: Mapping[str, Any]
) -> None:
    """They equal those of DynamoDB Local for every step with the same pages."""
    table, answers = on_emulator
    assert recorded.keys() == answers.keys(), "the requests have changed: record anew"
    for name in answers.keys() - DIFFERENT_PAGES - TRANSACTIONS:
        found, said = metered(table, answers[name], computed=True), recorded[name]
        pages = [response["ScannedCount"] for _, _, response in answers[name] if "ScannedCount" in response]
        assert pages == said["pages"], name
        assert found.read_units == said["read_units"] + for_nothing(answers[name]), name
        in_index = sum(said["indexes"].values()) + (for_nothing(answers[name]) if said["indexes"] else 0.0)
        assert sum(found.indexes.values()) == in_index, name


def test_read_units_of_different_pages(
    on_emulator: tuple[str, dict[str, list[Answer]]], recorded: Mapping[str, Any]
) -> None:
    """Two engines differ by at most a block for each page: rounding adds less than that, and an empty page is one."""
    table, answers = on_emulator
    for name in DIFFERENT_PAGES:
        found, said = metered(table, answers[name], computed=True), recorded[name]
        block = 1.0 if answers[name][0].request.get("ConsistentRead") else 0.5
        size = sum(item_size(item) for _, _, response in answers[name] for item in response["Items"])
        exact = size / 4096 * block
        assert exact <= found.read_units <= exact + block * len(answers[name]), name
        assert abs(found.read_units - said["read_units"]) <= block * max(len(answers[name]), len(said["pages"])), name
        assert sum(said["pages"]) == sum(response["ScannedCount"] for _, _, response in answers[name]), name


def test_the_engines_end_pages_at_different_items(
    on_emulator: tuple[str, dict[str, list[Answer]]], recorded: Mapping[str, Any]
) -> None:
    """The emulator stops before the item that would pass 1 MB, DynamoDB Local after it."""
    _, answers = on_emulator
    assert [response["ScannedCount"] for _, _, response in answers["query uneven pages"]] == [34, 6]
    assert recorded["query uneven pages"]["pages"] == [35, 5]
    assert [response["ScannedCount"] for _, _, response in answers["query even pages"]] == [256, 4]


# Units of each write as a whole and in the index, by hand from "DynamoDB read and write operations" (a unit for each KB
# begun, of the larger item when one replaces another; each item of a batch by itself; a delete of nothing is one),
# "Using Global Secondary Indexes in DynamoDB" (one write to enter, change or leave the index, two to move within it,
# none where nothing changes) and "Amazon DynamoDB Transactions: How it works" (twice for each item in the table; the
# index follows after the commit, once).
WRITES = {
    "write short": (30, 0),
    "write long": (45 * 2, 0),
    "write even": (260 * 4, 0),
    "write uneven": (40 * 30, 0),
    "write group rows": (6 * 2 + 2 * 2, 6 + 2),
    "write rows again, one of them changed": (3 + 1, 1),
    "put message": (1, 0),
    "put larger message in its place": (3, 0),
    "put smaller message in its place": (3, 0),
    "put group row": (2, 1),
    "put group row unchanged": (1, 0),
    "put group row of another group": (3, 2),
    "put group row out of the index": (2, 1),
    "delete message": (2, 0),
    "delete group row": (2 * 2, 2),
    "delete nothing": (1, 0),
    "delete message and group row": (2 + 2, 1),
    "delete nothing in a batch": (3, 0),
    "update message": (2, 0),
    "send message": (3 * 2 + 2, 2),
}


def test_write_units_on_the_emulator_are_true(
    on_emulator: tuple[str, dict[str, list[Answer]]], recorded: Mapping[str, Any]
) -> None:
    """So the meter uses them as they are.

    DynamoDB Local agrees, except where the one of 2020 contradicts the documentation: there a transaction of one item
    of 500 bytes costs 4 units and so does one of three, and a delete of nothing costs 1 alone but 2 in a batch.
    """
    table, answers = on_emulator
    for name in answers:
        found = metered(table, answers[name], computed=True)
        if found.write_units == 0:
            continue
        assert (found.write_units, sum(found.indexes.values())) == WRITES[name], name
        if name not in TRANSACTIONS | {"delete nothing in a batch"}:
            assert (recorded[name]["write_units"], sum(recorded[name]["indexes"].values())) == WRITES[name], name
    assert WRITES.keys() == {name for name in answers if figures_of(answers[name])["write_units"]}


def test_repeating_a_transaction_reads_its_items(on_emulator: tuple[str, dict[str, list[Answer]]]) -> None:
    """Two read units for each of the three ("TransactWriteItems", ``ClientRequestToken``)."""
    table, answers = on_emulator
    total = metered(table, answers["send message again"], computed=True)
    assert (total.read_units, total.write_units) == (6.0, 0.0)


def test_the_items_within_a_limit_are_charged(recorded: Mapping[str, Any]) -> None:
    """43 messages of 1,500 bytes are left, and the update made the last of them longer."""
    assert recorded["query 20 at a time"]["pages"] == [20, 20, 3]
    assert recorded["query 20 at a time"]["read_units"] == 2 * read_units(20 * 1500, consistent=False) + read_units(
        3 * 1500 + len("user_handle" + "londo"), consistent=False
    )

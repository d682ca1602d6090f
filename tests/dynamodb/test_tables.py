"""The table is created once, waited for with a limit, compared and dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.schema import INDEX
from cruddur_cli.errors import CannotConnect, Exit, NotFound, Protected, Refused
from tests import faults
from tests.dynamodb.rows import everything, message_row, write

quietly: Callable[[str], None] = lambda _: None  # noqa: E731


@pytest.fixture
def store(endpoint: str) -> Iterator[DynamoDB]:
    """An opened store whose table does not exist yet."""
    with opened(aws_client.Endpoint("dynamodb", endpoint, "us-east-1", "here"), f"test-{uuid4().hex}") as found:
        yield found
        tables.drop(found, say=quietly)


def looks(status: str, index: str | None = None) -> Callable[[dict[str, Any]], None]:
    def change(table: dict[str, Any]) -> None:
        table["TableStatus"] = status
        if index is None:
            table.pop("GlobalSecondaryIndexes", None)
        else:
            table["GlobalSecondaryIndexes"][0]["IndexStatus"] = index

    return change


@pytest.mark.parametrize(("on_demand", "billing"), [(False, "provisioned, 5 RCU / 5 WCU"), (True, "on demand")])
def test_a_new_table_has_the_schema_that_the_application_expects(
    store: DynamoDB, on_demand: bool, billing: str
) -> None:
    assert tables.create(store, on_demand=on_demand, say=quietly) is True
    table = tables.describe(store)
    assert tables.differences(table) == []
    assert (table.status, table.items, table.billing, table.stream) == ("ACTIVE", 0, billing, None)
    assert table.keys == "pk (HASH), sk (RANGE)"


def test_an_existing_table_is_not_changed(store: DynamoDB) -> None:
    tables.create(store, say=quietly)
    write(store, [message_row("1", "kept")])
    assert tables.create(store, say=quietly) is False
    assert len(everything(store)) == 1


def test_six_creations_at_once_create_one_table(store: DynamoDB) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: tables.create(store, say=quietly), range(6)))
    assert sum(made) == 1


@pytest.mark.parametrize(
    ("keys", "types", "index", "expected"),
    [
        (("pk",), {"pk": "S"}, False, ["keys: pk (HASH) (expected", "message-group-sk-index: missing"]),
        (("pk", "sk"), {"pk": "S", "sk": "N"}, False, ["sk (RANGE, N)", "message-group-sk-index: missing"]),
        (("message_group_uuid", "sk"), {"message_group_uuid": "S", "sk": "S"}, False, ["keys: message_", "missing"]),
        (("pk", "sk"), {"pk": "S", "sk": "S", "message_group_uuid": "S"}, True, ["projection KEYS_ONLY"]),
    ],
)
def test_differences_of_the_schema_are_found(
    store: DynamoDB, keys: tuple[str, ...], types: dict[str, str], index: bool, expected: list[str]
) -> None:
    def schema(*names: str) -> list[dict[str, str]]:
        return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]

    units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    more: dict[str, Any] = {}
    if index:
        projection = {"ProjectionType": "KEYS_ONLY"}
        names = schema("message_group_uuid", "sk")
        more["GlobalSecondaryIndexes"] = [
            {"IndexName": INDEX, "KeySchema": names, "Projection": projection, "ProvisionedThroughput": units}
        ]
    definitions = [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]
    store.client.create_table(
        TableName=store.table,
        KeySchema=schema(*keys),
        AttributeDefinitions=definitions,
        ProvisionedThroughput=units,
        **more,
    )
    assert tables.create(store, say=quietly) is False
    found = tables.differences(tables.describe(store))
    assert len(found) == len(expected)
    assert all(part in difference for part, difference in zip(expected, found, strict=True))


def test_a_table_that_is_creating_and_an_index_that_comes_later_are_waited_for(store: DynamoDB) -> None:
    states = [
        looks("CREATING"),
        looks("CREATING", "CREATING"),
        looks("ACTIVE", "CREATING"),
        looks("ACTIVE", "UPDATING"),
    ]
    struck = faults.table_looks(store.client, *states)
    said: list[str] = []
    assert tables.create(store, say=said.append) is True
    assert struck.count == 4
    assert [text.partition(": ")[2] for text in said] == [
        "CREATING",
        f"CREATING, {INDEX} CREATING",
        f"ACTIVE, {INDEX} CREATING",
        f"ACTIVE, {INDEX} UPDATING",
    ]


def test_a_new_table_may_not_be_visible_at_once(store: DynamoDB) -> None:
    struck = faults.answers(store.client, "DescribeTable", "ResourceNotFoundException", times=2)
    assert tables.create(store, say=quietly) is True
    assert struck.count == 2


def test_creating_a_table_that_is_never_ready_ends_with_an_error(store: DynamoDB) -> None:
    faults.table_looks(store.client, *[looks("CREATING")] * 50)
    with pytest.raises(CannotConnect, match="not ready yet after") as caught:
        tables.create(store, say=quietly, wait_s=0.3)
    assert caught.value.exit_code == Exit.UNREACHABLE
    with opened(store.at, store.table) as other:
        assert tables.drop(other, say=quietly) is True


def test_a_table_that_is_being_deleted_is_waited_for_and_recreated(store: DynamoDB) -> None:
    tables.create(store, say=quietly)
    write(store, [message_row("1", "old")])

    def vanish(_: dict[str, Any]) -> None:
        with opened(store.at, store.table) as other:
            tables.drop(other, say=quietly)

    def leaving(table: dict[str, Any]) -> None:
        vanish(table)
        table["TableStatus"] = "DELETING"

    faults.table_looks(store.client, leaving)
    assert tables.create(store, say=quietly) is True
    assert everything(store) == []


def test_dropping_frees_the_name_and_a_second_drop_finds_nothing(store: DynamoDB) -> None:
    tables.create(store, say=quietly)
    assert tables.drop(store, say=quietly) is True
    assert tables.exists(store) is False
    assert tables.drop(store, say=quietly) is False
    with pytest.raises(NotFound, match="no table"):
        tables.describe(store)


def test_a_busy_table_is_waited_for_and_then_dropped(store: DynamoDB) -> None:
    tables.create(store, say=quietly)
    faults.table_looks(store.client, looks("UPDATING", "CREATING"), looks("UPDATING", "ACTIVE"))
    busy = faults.answers(store.client, "DeleteTable", "ResourceInUseException", times=2)
    assert tables.drop(store, say=quietly) is True
    assert busy.count == 2
    assert tables.exists(store) is False


def test_dropping_a_table_that_stays_busy_ends_with_an_error(store: DynamoDB) -> None:
    tables.create(store, say=quietly)
    store.busy_s = 0.3
    with opened(store.at, store.table) as other:
        other.busy_s = 0.3
        faults.answers(other.client, "DeleteTable", "ResourceInUseException")
        with pytest.raises(Refused):
            tables.drop(other, say=quietly)


def test_a_table_with_deletion_protection_is_not_dropped(store: DynamoDB) -> None:
    tables.create(store, say=quietly)
    faults.table_looks(store.client, lambda table: table.update(DeletionProtectionEnabled=True))
    with pytest.raises(Protected, match="deletion protection") as caught:
        tables.drop(store, say=quietly)
    assert (caught.value.code, caught.value.exit_code) == ("deletion_protected", 6)
    assert "cruddur ddb protect --off --table " in (caught.value.hint or "")
    assert tables.exists(store)


def test_every_page_of_table_names_is_read(store: DynamoDB) -> None:
    tables.create(store, say=quietly)

    def one_a_page(params: dict[str, Any], **_: Any) -> None:
        params["Limit"] = 1

    with opened(store.at, store.table) as other:
        tables.create(DynamoDB(other.client, f"{store.table}-b", store.at, other.meter), say=quietly)
        store.client.meta.events.register("provide-client-params.dynamodb.ListTables", one_a_page)
        found = [row.table_name for row in tables.names(store)]
        other.table = f"{store.table}-b"
        tables.drop(other, say=quietly)
    assert {store.table, f"{store.table}-b"} <= set(found)
    assert len(found) == len(set(found))


def test_a_drop_ends_if_another_command_creates_the_table_again(store: DynamoDB) -> None:
    tables.create(store)
    before = tables.description(store)
    with opened(store.at, store.table) as other:
        store.client.meta.events.register("after-call.dynamodb.DeleteTable", lambda **_: tables.create(other))
        assert tables.drop(store, wait_s=5)
    assert not tables.are_same(tables.description(store), before)

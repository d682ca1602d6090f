"""Computed units equal those of DynamoDB Local for 2,000 generated requests, which cover every rule of capacity.

DynamoDB Local, Amazon's own code, is the reference. Where it contradicts the documentation, the documentation decides,
by the rules in ``generated.DIFFERENCES``. Its answers are recorded in ``recorded_units.json``, for machines without
Java. After a change of the generator, record them again:

    TEST_DYNAMODB_LOCAL=http://127.0.0.1:8000 TEST_RECORD_CAPACITY=1 pytest tests/dynamodb/capacity/test_rules.py
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore import xform_name

from cruddur_cli.dynamodb.capacity import rules
from cruddur_cli.dynamodb.capacity.rules import Units, item_size
from cruddur_cli.dynamodb.schema import Index
from tests.dynamodb import documented
from tests.dynamodb.capacity.test_meter import client_of
from tests.dynamodb.generated import DIFFERENCES, INDEXES, KEY_TYPES, TABLE, Operation, operations

COUNT, SEED = 2000, 20261120
RECORDED = Path(__file__).with_name("recorded_units.json")
Reported = list[tuple[float, dict[str, float]]]
"""By request: units of the table, and of each index that took any."""


@pytest.fixture(scope="module")
def generated() -> list[Operation]:
    return operations(COUNT, seed=SEED)


@pytest.fixture(scope="module")
def reported(generated: list[Operation], dynamodb_local: str | None) -> Reported:
    """The units that DynamoDB Local reports now, or those that were recorded."""
    if dynamodb_local is None:
        recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
        assert recorded["requests"] == fingerprint(generated), "the generator changed: record anew (see above)"
        return [(table, indexes) for table, indexes in recorded["units"]]
    answers = perform(dynamodb_local, generated)
    if os.environ.get("TEST_RECORD_CAPACITY"):
        units = ",\n".join(json.dumps(each) for each in answers)
        text = f'{{"requests": "{fingerprint(generated)}", "units": [\n{units}\n]}}\n'
        RECORDED.write_text(text, encoding="utf-8")
    return answers


def fingerprint(generated: list[Operation]) -> str:
    """A hash of the requests, which identifies the recording that belongs to them."""
    text = json.dumps([[each.name, each.request] for each in generated], default=bytes.hex, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def perform(endpoint: str, generated: list[Operation]) -> Reported:
    """The units of each request, sent in order to a new table."""
    client = client_of(endpoint)
    table = f"rules-{uuid4().hex}"
    client.create_table(TableName=table, **schema())
    try:
        return [one_answer(client, table, operation) for operation in generated]
    finally:
        client.delete_table(TableName=table)


def schema() -> dict[str, Any]:
    throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}

    def keys(partition: str, sort: str | None) -> list[dict[str, str]]:
        both = [(partition, "HASH"), (sort, "RANGE")] if sort else [(partition, "HASH")]
        return [{"AttributeName": str(name), "KeyType": kind} for name, kind in both]

    def of(index: Index) -> dict[str, Any]:
        projection: dict[str, Any] = {"ProjectionType": index.projection}
        if index.included:
            projection["NonKeyAttributes"] = list(index.included)
        schema = keys(index.partition_key, index.sort_key)
        return {"IndexName": index.name, "KeySchema": schema, "Projection": projection}

    return {
        "KeySchema": keys("pk", "sk"),
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": kind} for n, kind in KEY_TYPES.items()],
        "GlobalSecondaryIndexes": [
            of(index) | {"ProvisionedThroughput": throughput} for index in INDEXES if index.partition_key != "pk"
        ],
        "LocalSecondaryIndexes": [of(index) for index in INDEXES if index.partition_key == "pk"],
        "ProvisionedThroughput": throughput,
    }


def one_answer(client: Any, table: str, operation: Operation) -> tuple[float, dict[str, float]]:
    request = at_table(operation.request, table) | {"ReturnConsumedCapacity": "INDEXES"}
    answer = getattr(client, xform_name(operation.name))(**request)
    consumed = answer["ConsumedCapacity"]
    consumed = consumed[0] if isinstance(consumed, list) else consumed
    by_index = {**consumed.get("GlobalSecondaryIndexes", {}), **consumed.get("LocalSecondaryIndexes", {})}
    assert "LastEvaluatedKey" not in answer or "Limit" in request
    return consumed["Table"]["CapacityUnits"], {
        name: units["CapacityUnits"] for name, units in sorted(by_index.items()) if units["CapacityUnits"]
    }


def at_table(part: Any, table: str) -> Any:
    """A request with the name of this run's table, which is not part of the generated request."""
    if isinstance(part, dict):
        return {(table if name == TABLE else name): at_table(value, table) for name, value in part.items()}
    if isinstance(part, list):
        return [at_table(value, table) for value in part]
    return table if part == TABLE else part


def plainly(units: Units) -> tuple[float, dict[str, float]]:
    return units.table, {name: each for name, each in sorted(units.indexes.items()) if each}


def test_computed_units_are_the_engines_own(generated: list[Operation], reported: Reported) -> None:
    """They are equal except for the differences that each request names."""
    wrong = [
        (number, operation.name, plainly(operation.local), answered)
        for number, (operation, answered) in enumerate(zip(generated, reported, strict=True))
        if plainly(operation.local) != answered
    ]
    assert wrong == []


@pytest.mark.parametrize("rule", DIFFERENCES)
def test_known_differences_follow_the_documentation(rule: str, generated: list[Operation], reported: Reported) -> None:
    """Each difference occurs often, and the units of every request that names one differ without it."""
    met = [pair for pair in zip(generated, reported, strict=True) if rule in pair[0].differences]
    assert len(met) >= 10
    for operation, answered in met:
        others = [units for name, units in operation.differences.items() if name != rule]
        assert plainly(documented.add_units([operation.documented, *others])) != answered


def test_most_requests_need_no_exception(generated: list[Operation]) -> None:
    """Writes in transactions always differ. Of the other requests, less than one in six does."""
    others = [each for each in generated if each.name != "TransactWriteItems"]
    assert sum(bool(each.differences) for each in others) < len(others) / 6


def test_the_recording_is_what_dynamodb_local_says(
    generated: list[Operation], reported: Reported, dynamodb_local: str | None
) -> None:
    if dynamodb_local is None:
        pytest.skip("no DynamoDB Local here")
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert recorded["requests"] == fingerprint(generated)
    assert [(table, indexes) for table, indexes in recorded["units"]] == reported


def test_generated_requests_meet_every_rule(generated: list[Operation]) -> None:
    names = Counter(operation.name for operation in generated)
    assert sum(names.values()) == COUNT
    assert min(names[name] for name in ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "Scan")) >= 50
    assert min(names[name] for name in ("GetItem", "BatchGetItem", "TransactGetItems", "Query")) >= 100
    put = [each.request["Item"] for each in generated if each.name == "PutItem"]
    kinds = Counter(kind for one in put for value in one.values() for kind in value)
    assert min(kinds[kind] for kind in ("S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M")) >= 20
    for index in INDEXES:
        taken = [each.documented.indexes.get(index.name, 0.0) for each in generated if each.name == "PutItem"]
        assert {0.0, 1.0, 2.0} <= set(taken)


# ---------------------------------------------------------------------------------------------------------------------
# By hand: what no engine tells.


def item(size: int, **more: str) -> dict[str, dict[str, Any]]:
    made = {name: {"S": text} for name, text in {"pk": "p", "sk": "s", **more}.items()}
    return made | {"m": {"S": "x" * (size - item_size(made) - 1)}}


def test_the_limits_are_those_of_the_documentation() -> None:
    limits = (rules.ITEM_LIMIT, rules.PAGE_LIMIT, rules.READ_BLOCK, rules.WRITE_BLOCK)
    assert limits == (409_600, 1_048_576, 4096, 1024)


def test_a_read_is_eventually_consistent_by_default() -> None:
    assert [rules.read_units(size) for size in (0, 1, 4096, 4097)] == [0.5, 0.5, 0.5, 1.0]
    assert [rules.read_units(size, consistent=True) for size in (0, 4096, 4097)] == [1.0, 1.0, 2.0]
    assert [rules.read_units(size, transaction=True) for size in (0, 4096, 4097)] == [2.0, 2.0, 4.0]


def test_a_write_is_not_in_a_transaction_by_default() -> None:
    assert [rules.write_units(size) for size in (0, 1, 1024, 1025)] == [1.0, 1.0, 1.0, 2.0]
    assert [rules.write_units(size, transaction=True) for size in (0, 1024, 1025)] == [2.0, 2.0, 4.0]
    assert (rules.put_units(None, item(1025)).total, rules.delete_units(item(1025)).total) == (2.0, 2.0)
    assert rules.put_units(None, item(1025), transaction=True).total == 4.0
    assert rules.delete_units(None, transaction=True).total == 2.0


@pytest.mark.parametrize(
    ("number", "digits", "lowest"),
    [
        ("15", 2, 0),
        ("1.5", 2, -1),
        ("-0.25", 2, -2),
        ("120", 2, 1),
        ("1.50", 2, -1),
        ("0012.30e4", 3, 3),
        ("9.99E+125", 3, 123),
        ("1e-130", 1, -130),
    ],
)
def test_a_number_has_significant_digits_and_a_lowest_power_of_ten(number: str, digits: int, lowest: int) -> None:
    assert rules.significant(number) == (digits, lowest)


@pytest.mark.parametrize("number", ["0", "-0.00", "0E-999"])
def test_zero_has_no_significant_digit(number: str) -> None:
    assert rules.significant(number)[0] == 0


@pytest.mark.parametrize("value", [{"S": "x", "N": "1"}, {}, {"X": "1"}])
def test_a_value_without_a_type_or_with_two_types_has_no_size(value: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"DynamoDB has no type|unpack"):
        item_size({"a": value})


@pytest.mark.parametrize(
    ("old", "new", "units"),
    [
        (None, None, 1.0),
        (None, 1024, 1.0),
        (1024, 100, 1.0),
        (300 * 1024, 310 * 1024, 310.0),
        (310 * 1024, 300 * 1024, 310.0),
    ],
)
def test_a_failed_condition_costs_the_larger_item(old: int | None, new: int | None, units: float) -> None:
    """The error of a refused write has no units, so this rule comes only from the documentation."""
    before, after = (None if size is None else item(size) for size in (old, new))
    assert documented.failed_write_units(before, after) == units
    assert documented.failed_write_units(before, after, transaction=True) == 2 * units


GROUPS = Index("message-group-sk-index", "message_group_uuid", "sk")


@pytest.mark.parametrize(
    ("old", "new", "units"),
    [
        (None, item(300), 0.0),  # sparse: a message is not in the index
        (None, item(300, message_group_uuid="g"), 1.0),  # a new entry
        (item(300, message_group_uuid="g"), item(400, message_group_uuid="g"), 1.0),  # changed in place
        (item(2000, message_group_uuid="g"), item(400, message_group_uuid="g"), 2.0),  # … by the larger one
        (item(300, message_group_uuid="g"), item(300, message_group_uuid="g"), 0.0),  # nothing changed
        (item(300, message_group_uuid="g"), item(300, message_group_uuid="h"), 2.0),  # moved: deleted and put
        (item(2000, message_group_uuid="g"), item(400, message_group_uuid="h"), 3.0),  # … each by its own size
        (item(300, message_group_uuid="g"), item(300), 1.0),  # out of the index
        (item(300, message_group_uuid="g"), None, 1.0),  # deleted
    ],
)
def test_units_of_an_index(old: Any, new: Any, units: float) -> None:
    assert rules.index_write_units(old, new, GROUPS) == units
    assert rules.index_write_units(old, new, GROUPS, transaction=True) == 2 * units


def test_index_entries_have_the_projected_attributes() -> None:
    whole = item(3000, message_group_uuid="g", note="n")
    keys = {"pk", "sk", "message_group_uuid"}

    def held(projection: Any, *included: str) -> set[str]:
        index = Index("i", "message_group_uuid", "sk", projection, included)
        return set(rules.index_entry(whole, index) or {})

    assert held("ALL") == set(whole)
    assert held("KEYS_ONLY") == keys
    assert held("INCLUDE", "note", "absent") == keys | {"note"}


def test_an_index_entry_with_equal_values_is_not_written_again() -> None:
    one = item(300, message_group_uuid="g") | {"n": {"N": "1.0"}, "s": {"NS": ["1", "2"]}, "l": {"L": [{"N": "30"}]}}
    other = one | {"n": {"N": "1"}, "s": {"NS": ["2.0", "1"]}, "l": {"L": [{"N": "3e1"}]}}
    assert rules.index_write_units(one, other, GROUPS) == 0.0

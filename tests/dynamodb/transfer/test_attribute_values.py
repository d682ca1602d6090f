"""At each limit of DynamoDB, the last allowed value is read and the next one is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cruddur_cli.dynamodb.capacity.rules import ITEM_LIMIT, item_size
from cruddur_cli.dynamodb.transfer import attribute_values
from cruddur_cli.dynamodb.transfer.attribute_values import MalformedItem, TooLarge

KEYS: dict[str, Any] = {"pk": {"S": "a"}, "sk": {"S": "b"}}


def read(**attributes: Any) -> Any:
    item = json.loads(json.dumps({**KEYS, **attributes}))
    return attribute_values.read(item, json_bytes=len(json.dumps(item)))


def nested(levels: int) -> Any:
    """A value with that many levels; a text has one level."""
    value: Any = {"S": "x"}
    for level in range(levels - 1):
        value = {"L": [value]} if level % 2 else {"M": {"m": value}}
    return value


@pytest.mark.parametrize(
    "attributes",
    [
        {"pk": {"S": "x" * 2048}},
        {"pk": {"S": "é" * 1024}},
        {"sk": {"S": "x" * 1024}},
        {"sk": {"S": "é" * 512}},
        {"message_group_uuid": {"S": "g"}},
        {"n": {"N": "9" * 38}},
        {"n": {"N": "1E-130"}},
        {"n": {"N": "9.9E+125"}},
        {"n": {"N": "-.5"}},
        {"n": {"N": "0E-999"}},
        {"x": {"BOOL": False}},
        {"x": {"NULL": True}},
        {"x": {"L": []}},
        {"x": {"M": {}}},
        {"x": {"NS": ["1", "2"]}},
        {"x": {"SS": ["a", "b"]}},
        {"x": nested(32)},
    ],
)
def test_the_last_value_within_a_limit_is_read_as_it_is(attributes: dict[str, Any]) -> None:
    assert read(**attributes) == {**KEYS, **attributes}


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"pk": {"S": "x" * 2049}}, "has a pk of more than 2,048 bytes"),
        ({"pk": {"S": "é" * 1025}}, "has a pk of more than 2,048 bytes"),
        ({"sk": {"S": "x" * 1025}}, "has a sk of more than 1,024 bytes"),
        ({"sk": {"S": "é" * 513}}, "has a sk of more than 1,024 bytes"),
        ({"pk": {"S": ""}}, "has no pk that is a string"),
        ({"sk": {"N": "1"}}, "has no sk that is a string"),
        ({"message_group_uuid": {"S": ""}}, "has a message_group_uuid that is not a string"),
        ({"message_group_uuid": {"N": "1"}}, "has a message_group_uuid that is not a string"),
        ({"n": {"N": "1" + "0" * 37 + "1"}}, "has a number in 'n' that DynamoDB cannot hold"),
        ({"n": {"N": "1" * 61}}, f"has a number in 'n' that DynamoDB cannot hold: {'1' * 60}"),
        ({"n": {"N": "1E-131"}}, "has a number in 'n' that DynamoDB cannot hold"),
        ({"n": {"N": "1E+126"}}, "has a number in 'n' that DynamoDB cannot hold"),
        ({"n": {"N": 1}}, "has an N in 'n' that is not a number in quotes"),
        ({"n": {"N": "1 "}}, "has an N in 'n' that is not a number in quotes"),
        ({"x": {"S": 1}}, "has an S in 'x' that is not a string"),
        ({"x": {"B": "a"}}, "has a B in 'x' that is not a base64 string"),
        ({"x": {"B": "YQ==!"}}, "has a B in 'x' that is not a base64 string"),
        ({"x": {"B": 1}}, "has a B in 'x' that is not a base64 string"),
        ({"x": {"BOOL": 1}}, "has a BOOL in 'x' that is neither true nor false"),
        ({"x": {"NULL": False}}, "has a NULL in 'x' that is not true"),
        ({"x": {"NULL": 1}}, "has a NULL in 'x' that is not true"),
        ({"x": {"L": {}}}, "has an L in 'x' that is not a list"),
        ({"x": {"M": []}}, "has an M in 'x' that is not an object"),
        ({"x": {"SS": []}}, "has a set in 'x' that is not a list with members"),
        ({"x": {"SS": "ab"}}, "has a set in 'x' that is not a list with members"),
        ({"x": {"SS": ["a", "a"]}}, "has a set in 'x' with a member twice"),
        ({"x": {"NS": ["1", "1.0"]}}, "has a set in 'x' with a member twice"),
        ({"x": {"BS": ["YQ==", "YQ=="]}}, "has a set in 'x' with a member twice"),
        ({"x": {"Q": 1}}, "has an unknown type 'Q' in 'x'"),
        ({"x": "text"}, "has a value that is not typed, 'x'"),
        ({"x": {"S": "a", "N": "1"}}, "has a value that is not typed, 'x'"),
        ({"x": {}}, "has a value that is not typed, 'x'"),
        ({"x": {"M": {"y": {"L": [{"S": 1}]}}}}, "has an S in 'x.y' that is not a string"),
        ({"x": nested(33)}, "nests more than 32 levels deep"),
    ],
)
def test_the_first_value_beyond_a_limit_is_refused(attributes: dict[str, Any], why: str) -> None:
    with pytest.raises(MalformedItem) as caught:
        read(**attributes)
    assert str(caught.value).startswith(why)
    assert "1" * 61 not in str(caught.value), "a long number is cut"


def test_a_binary_value_is_read_as_bytes_in_every_place() -> None:
    found = read(b={"B": "YQ=="}, s={"BS": ["YQ==", "Yg=="]}, l={"L": [{"B": ""}]}, m={"M": {"x": {"B": "YQ=="}}})
    assert (found["b"], found["s"]) == ({"B": b"a"}, {"BS": [b"a", b"b"]})
    assert (found["l"], found["m"]) == ({"L": [{"B": b""}]}, {"M": {"x": {"B": b"a"}}})


def test_an_item_of_the_largest_size_is_read_and_one_byte_more_is_refused() -> None:
    room = ITEM_LIMIT - item_size({**KEYS, "x": {"S": ""}})
    assert read(x={"S": "x" * room})["x"] == {"S": "x" * room}
    with pytest.raises(TooLarge, match="makes an item of 409,601 bytes, more than the 409,600"):
        read(x={"S": "x" * (room + 1)})
    with pytest.raises(TooLarge):
        attribute_values.read({**KEYS, "x": {"S": "x" * (room + 1)}})


def test_a_value_that_is_not_an_item_is_refused() -> None:
    with pytest.raises(MalformedItem, match="is not an object"):
        attribute_values.read([], json_bytes=2)
    with pytest.raises(MalformedItem, match="--format dynamodb-json"):
        attribute_values.read({"Item": KEYS}, json_bytes=60)

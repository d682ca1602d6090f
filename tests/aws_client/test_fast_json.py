"""Items that are encoded without botocore are the same as those that botocore returns or sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cruddur_cli.aws_client import fast_json


def test_binary_values_become_bytes_at_any_place_of_an_answer() -> None:
    item: dict[str, Any] = {
        "s": {"S": "B"},
        "b": {"B": "AAE="},
        "bs": {"BS": ["AA==", "AQ=="]},
        "m": {"M": {"l": {"L": [{"B": "AA=="}, {"N": "1"}]}}},
    }
    expected = {
        "s": {"S": "B"},
        "b": {"B": b"\x00\x01"},
        "bs": {"BS": [b"\x00", b"\x01"]},
        "m": {"M": {"l": {"L": [{"B": b"\x00"}, {"N": "1"}]}}},
    }
    for shape in (
        {"Items": [item], "LastEvaluatedKey": {"pk": {"B": "AA=="}}},
        {"Responses": {"t": [item]}, "UnprocessedKeys": {"t": {"Keys": [{"pk": {"B": "AA=="}}]}}},
    ):
        raw = json.dumps(shape).encode()
        answer = json.loads(raw)
        fast_json.decode(raw, answer)
        items = answer.get("Items") or answer["Responses"]["t"]
        key = answer.get("LastEvaluatedKey") or answer["UnprocessedKeys"]["t"]["Keys"][0]
        assert (items, key) == ([expected], {"pk": {"B": b"\x00"}})


def test_requests_are_set_aside_from_the_model_and_put_back_into_the_body() -> None:
    requests = {"t": [{"PutRequest": {"Item": {"pk": {"S": "ü"}, "b": {"B": b"\x00"}}}}]}
    params: dict[str, Any] = {"RequestItems": requests}
    context: dict[str, Any] = {}
    fast_json.set_aside(params, context)
    assert params["RequestItems"] == {"t": [{"DeleteRequest": {"Key": {}}}]}
    sent: dict[str, Any] = {"body": json.dumps({**params, "ReturnConsumedCapacity": "INDEXES"})}
    fast_json.put_back(sent, context)
    assert json.loads(sent["body"]) == {
        "RequestItems": {"t": [{"PutRequest": {"Item": {"pk": {"S": "ü"}, "b": {"B": "AA=="}}}}]},
        "ReturnConsumedCapacity": "INDEXES",
    }
    assert context == {}


@pytest.mark.parametrize("wrong", [{}, {"RequestItems": {"t": []}}, {"RequestItems": "t"}])
def test_a_malformed_request_is_left_to_botocore(wrong: dict[str, Any]) -> None:
    context: dict[str, Any] = {}
    fast_json.set_aside(params := dict(wrong), context)
    assert (params, context) == (wrong, {})


def test_a_value_of_an_unknown_type_is_refused() -> None:
    context: dict[str, Any] = {}
    fast_json.set_aside({"RequestItems": {"t": [{"PutRequest": {"Item": {"pk": {"S": object()}}}}]}}, context)
    with pytest.raises(TypeError, match="object"):
        fast_json.put_back({"body": "{}"}, context)

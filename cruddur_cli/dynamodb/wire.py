"""Takes botocore's slow ways out of requests and answers that carry many items; every other one is left to it.

botocore walks its model for each value of each item, 40 µs an item. DynamoDB's wire format *is* the format that
botocore hands out, but for binary values, so the C parser of ``json`` does the same in 3 µs. Done with events only:
before-parse is where an answer may be read in another way, before-call where a request's body may be replaced.
"""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

from .. import json_answers

_ANSWERS = ("Scan", "Query", "BatchGetItem")
_REQUESTS = "cruddur_requests"


def shorten(client: Any) -> None:
    """Make a client of DynamoDB read and write items by the shorter way. What callers see stays the same."""
    read = partial(json_answers.take, decode=_decode_answer)
    for operation in _ANSWERS:
        client.meta.events.register(f"before-parse.dynamodb.{operation}", read)
    client.meta.events.register("before-parameter-build.dynamodb.BatchWriteItem", _set_aside)
    client.meta.events.register("before-call.dynamodb.BatchWriteItem", _put_back)


def _decode_answer(raw: bytes, answer: dict[str, Any]) -> None:
    if b'"B"' not in raw and b'"BS"' not in raw:
        return
    for item in answer.get("Items") or ():
        _decode(item)
    for items in (answer.get("Responses") or {}).values():
        for item in items:
            _decode(item)
    # A place to go on from, or keys that were left, go back as they came: through botocore, which takes bytes.
    _decode(answer.get("LastEvaluatedKey") or {})
    for left in (answer.get("UnprocessedKeys") or {}).values():
        for key in left["Keys"]:
            _decode(key)


def _decode(values: dict[str, Any]) -> None:
    """Binary values in place: base64 text on the wire, bytes in Python."""
    for value in values.values():
        _decode_value(value)


def _decode_value(value: dict[str, Any]) -> None:
    if "S" in value:
        return
    if "B" in value:
        value["B"] = base64.b64decode(value["B"])
    elif "BS" in value:
        value["BS"] = [base64.b64decode(member) for member in value["BS"]]
    elif "M" in value:
        _decode(value["M"])
    elif "L" in value:
        for element in value["L"]:
            _decode_value(element)


def _set_aside(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Keep the requests from the model; what it sees in their place is one of the right form, to the same table."""
    requests = params.get("RequestItems")
    if isinstance(requests, dict) and all(requests.values()):
        context[_REQUESTS] = requests
        params["RequestItems"] = {table: [{"DeleteRequest": {"Key": {}}}] for table in requests}


def _put_back(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    if _REQUESTS in context:
        body = {**json.loads(params["body"]), "RequestItems": context.pop(_REQUESTS)}
        params["body"] = json.dumps(body, default=_binary).encode()


def _binary(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"{type(value).__name__} is no value of DynamoDB's")

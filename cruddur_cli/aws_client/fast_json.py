"""Takes botocore's slow ways out of requests and answers that carry many items; every other one is left to it.

botocore walks its model for each value of each item, 40 µs an item. DynamoDB's wire format *is* the format that
botocore hands out, but for binary values, so the C parser of ``json`` does the same in 3 µs.
"""

from __future__ import annotations

import base64
import json
from typing import Any

# A page of users is long as well; their times stay seconds.
_ANSWERS = {"Scan", "Query", "BatchGetItem", "ListUsers"}
_REQUESTS = "cruddur_requests"


def is_plain(operation: str) -> bool:
    """Whether the JSON of an answer is what callers get, so that botocore need not walk through its model."""
    return operation in _ANSWERS


def decode(raw: bytes, answer: dict[str, Any]) -> None:
    """Make binary values bytes, in place, where ``raw``, which the answer was parsed from, has any."""
    if b'"B"' not in raw and b'"BS"' not in raw:
        return
    for item in answer.get("Items") or ():
        _decode(item)
    responses = answer.get("Responses")
    for items in responses.values() if isinstance(responses, dict) else ():
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


def set_aside(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Keep the requests from the model; what it sees in their place is one of the right form, to the same table."""
    requests = params.get("RequestItems")
    if isinstance(requests, dict) and all(requests.values()):
        context[_REQUESTS] = requests
        params["RequestItems"] = {table: [{"DeleteRequest": {"Key": {}}}] for table in requests}


def put_back(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Write the requests that were set aside into the body, as they are."""
    if _REQUESTS in context:
        body = {**json.loads(params["body"]), "RequestItems": context.pop(_REQUESTS)}
        params["body"] = json.dumps(body, default=_binary).encode()


def _binary(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"{type(value).__name__} is not a value that DynamoDB can store")

"""Explain a DynamoDB request in words: its key condition, its index and the expected units. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..schema import GROUPS, INDEX
from .rules import put_units

_SHOWN = 60


def explain(operation: str, request: Mapping[str, Any]) -> list[str]:
    """The lines that explain a request: its keys and conditions, then the expected units. Without capacity, no lines.

    ``operation`` is DynamoDB's name; ``request`` has botocore's form. The cost of a read is not known before, so the
    rule is shown. The units of a new item are computed from its size ("DynamoDB read and write operations", "Amazon
    DynamoDB Transactions: How it works").
    """
    match operation:
        case "Query" | "Scan":
            return _read(operation, request)
        case "GetItem":
            return [f"GetItem  {_key(request['Key'])}{_consistency(request)}", f"  expected: {_read_rule(request)}"]
        case "PutItem" | "DeleteItem":
            what, expected = _action(operation.removesuffix("Item"), request, transaction=False)
            return [f"{operation}  {what}", f"  expected: {expected}"]
        case "TransactWriteItems":
            actions = [(verb, about) for each in request["TransactItems"] for verb, about in each.items()]
            lines = [f"TransactWriteItems  {len(actions)} actions, all or nothing"]
            for verb, about in actions:
                what, expected = _action(verb, about, transaction=True)
                lines += [f"  {verb} {what}", f"    expected: {expected}"]
            return lines
        case "BatchWriteItem":
            count = sum(len(requests) for requests in request["RequestItems"].values())
            return [
                f"BatchWriteItem  {count} items, no transaction",
                "  expected: 1 WCU per KB of each item, rounded up",
            ]
    return []


def _read(operation: str, request: Mapping[str, Any]) -> list[str]:
    condition = _filled(request.get("KeyConditionExpression", "every item"), request)
    index = f", index {request['IndexName']}" if "IndexName" in request else ""
    order = "" if request.get("ScanIndexForward", True) else ", newest first"
    limit = f", at most {request['Limit']:,}" if "Limit" in request else ""
    part = f", part {request['Segment'] + 1} of {request['TotalSegments']}" if "Segment" in request else ""
    next_page = ", next page" if "ExclusiveStartKey" in request else ""
    filtering = f", filter {_filled(request['FilterExpression'], request)}" if "FilterExpression" in request else ""
    line = f"{operation}  {condition}{filtering}{index}{order}{limit}{part}{next_page}{_consistency(request)}"
    return [line, f"  expected: {_read_rule(request)} once a page; a page has at most 1 MB"]


def _consistency(request: Mapping[str, Any]) -> str:
    return ", strongly consistent" if request.get("ConsistentRead") else ", eventually consistent"


def _read_rule(request: Mapping[str, Any]) -> str:
    return f"{1 if request.get('ConsistentRead') else 0.5} RCU per 4 KB, rounded up"


def _action(verb: str, about: Mapping[str, Any], *, transaction: bool) -> tuple[str, str]:
    """The key and condition of one write, and its expected units."""
    condition = _filled(about.get("ConditionExpression", ""), about)
    suffix = f"  if {condition}" if condition else ""
    times = 2 if transaction else 1
    if verb == "Put":
        units = put_units(None, about["Item"], [GROUPS], transaction=transaction)
        share = "".join(f" and {each:g} in {name}" for name, each in units.indexes.items())
        return f"{_key(about['Item'])}{suffix}", f"{units.table:g} WCU{share}"
    if verb == "ConditionCheck":
        return f"{_key(about['Key'])}{suffix}", f"{times} WCU per 4 KB of the stored item, rounded up"
    in_index = f", and {times} in {INDEX}" if about["Key"]["pk"]["S"].startswith("GRP#") else ""
    return f"{_key(about['Key'])}{suffix}", f"{times} WCU per KB of the stored item, rounded up{in_index}"


def _key(item: Mapping[str, Any]) -> str:
    return f"{item['pk']['S']} | {item['sk']['S']}"


def _filled(expression: str, request: Mapping[str, Any]) -> str:
    """An expression with its placeholders replaced by the values and attribute names."""
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})

    def replacement(name: re.Match[str]) -> str:
        if name[0].startswith("#"):
            return str(names.get(name[0], name[0]))
        text = str(next(iter(values.get(name[0], {"": name[0]}).values())))
        return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")

    return re.sub(r"[:#]\w+", replacement, expression)

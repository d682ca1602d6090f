"""Check an item in DynamoDB JSON, and compare two items. Pure; binary values are bytes.

The rules are from "DynamoDB JSON data format" (AttributeValue in the API reference), "Supported data types and naming
rules in Amazon DynamoDB" and "Constraints in Amazon DynamoDB".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from ..capacity.rules import ITEM_LIMIT, canonical, item_size, significant
from ..schema import GROUPS, Item

_KEY_BYTES = {"pk": 2048, "sk": 1024}
_DEPTH = 32
# A Decimal cannot have a longer exponent, even if its value is zero.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,18})?", re.ASCII)


class MalformedItem(ValueError):
    """The item is not valid. The message ends a sentence that begins with the item's place, such as "line 3"."""

    code = "malformed_line"


class TooLarge(MalformedItem):
    """The item is larger than DynamoDB's limit of 400 KB."""

    code = "item_too_large"


def read(item: Any, *, json_bytes: int | None = None) -> Item:
    """The item of parsed JSON: the same object, with base64 texts of binary values replaced by bytes.

    ``json_bytes`` is the length of the JSON, if it was JSON. An item is never larger than its JSON, so only long ones
    are measured. Raises MalformedItem if DynamoDB would refuse the item.
    """
    if not isinstance(item, dict):
        raise MalformedItem("is not an object")
    if list(item) == ["Item"]:
        raise MalformedItem("is as DynamoDB itself exports it, which is --format dynamodb-json")
    for name, value in item.items():
        if type(value) is not dict or len(value) != 1 or type(value.get("S")) is not str:
            _value(name, value, 1)
    for name, most in _KEY_BYTES.items():
        text = item.get(name, {}).get("S")
        if not text:
            raise MalformedItem(f"has no {name} that is a string")
        if len(text.encode("utf-8", "surrogatepass")) > most:
            raise MalformedItem(f"has a {name} of more than {most:,} bytes")
    indexed = item.get(GROUPS.partition_key)
    if indexed is not None and not indexed.get("S"):
        raise MalformedItem(f"has a {GROUPS.partition_key} that is not a string, which the index requires")
    if json_bytes is None or json_bytes > ITEM_LIMIT:
        size = item_size(item)
        if size > ITEM_LIMIT:
            raise TooLarge(f"makes an item of {size:,} bytes, more than the {ITEM_LIMIT:,} that DynamoDB allows")
    return item


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two items are equal for DynamoDB: numbers are compared by value, and sets without order."""
    if one == other:
        return True
    return one.keys() == other.keys() and canonical(one) == canonical(other)


def key(item: Mapping[str, Any]) -> tuple[str, str]:
    """The partition key and the sort key of an item, as texts."""
    return item["pk"]["S"], item["sk"]["S"]


def _value(name: str, value: Any, depth: int) -> None:
    """Check one value, and replace base64 texts in it by bytes. Raises MalformedItem."""
    if type(value) is not dict or len(value) != 1:
        raise MalformedItem(f'has a value that is not typed, {name!r}: a string is {{"S": "…"}}')
    if depth > _DEPTH:
        raise MalformedItem(f"nests more than {_DEPTH} levels deep in {name!r}")
    ((kind, content),) = value.items()
    check = _KINDS.get(kind)
    if check is None:
        raise MalformedItem(f"has an unknown type {kind!r} in {name!r}")
    if check is _list or check is _map:
        check(name, content, depth)
        return
    value[kind] = check(name, content, depth)


def _text(name: str, content: Any, _: int) -> str:
    if type(content) is not str:
        raise MalformedItem(f"has an S in {name!r} that is not a string")
    return content


def _number(name: str, content: Any, _: int) -> str:
    if type(content) is not str or not _NUMBER.fullmatch(content):
        raise MalformedItem(f"has an N in {name!r} that is not a number in quotes")
    # "Supported data types": 38 digits of precision, from 1E-130 to 9.99…E+125.
    digits, lowest = significant(content)
    if digits > 38 or (digits and not -130 <= lowest + digits - 1 <= 125):
        raise MalformedItem(f"has a number in {name!r} that DynamoDB cannot hold: {content[:60]}")
    return content


def _binary(name: str, content: Any, _: int) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise MalformedItem(f"has a B in {name!r} that is not a base64 string") from None


def _boolean(name: str, content: Any, _: int) -> bool:
    if type(content) is not bool:
        raise MalformedItem(f"has a BOOL in {name!r} that is neither true nor false")
    return content


def _null(name: str, content: Any, _: int) -> bool:
    if content is not True:
        raise MalformedItem(f"has a NULL in {name!r} that is not true")
    return True


def _set(check: Callable[[str, Any, int], Any]) -> Callable[[str, Any, int], Any]:
    def members(name: str, content: Any, depth: int) -> list[Any]:
        if type(content) is not list or not content:
            raise MalformedItem(f"has a set in {name!r} that is not a list with members")
        checked = [check(name, member, depth) for member in content]
        different = set(map(Decimal, checked)) if check is _number else set(checked)
        if len(different) < len(checked):
            raise MalformedItem(f"has a set in {name!r} with a member twice")
        return checked

    return members


def _list(name: str, content: Any, depth: int) -> None:
    if type(content) is not list:
        raise MalformedItem(f"has an L in {name!r} that is not a list")
    for element in content:
        _value(name, element, depth + 1)


def _map(name: str, content: Any, depth: int) -> None:
    if type(content) is not dict:
        raise MalformedItem(f"has an M in {name!r} that is not an object")
    for inner, element in content.items():
        _value(f"{name}.{inner}", element, depth + 1)


_KINDS: dict[str, Callable[[str, Any, int], Any]] = {
    "S": _text, "N": _number, "B": _binary, "BOOL": _boolean, "NULL": _null, "L": _list, "M": _map,
    "SS": _set(_text), "NS": _set(_number), "BS": _set(_binary),
}  # fmt: skip

"""Messages and message groups in the table: found by key, in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ...errors import BadInput
from ...times import Window, is_canonical, sort_key, text_before, text_before_offset
from .. import schema
from ..capacity.rules import ITEM_LIMIT, item_size
from ..client import DynamoDB
from ..schema import Item, Message, MessageGroup, Person, message_item, read_group, read_message

# Rows asked for beyond those wanted: where a conversation is short, or its messages are hours apart, they show that no
# other can be newer, and one request is enough.
_LOOKBACK = 20
_EPOCH = datetime.min.replace(tzinfo=UTC)


def check_size(group: str, message: Message, people: Sequence[Person]) -> None:
    """Raise BadInput when DynamoDB would not take the message, or a group row whose last one it is: over 400 KB."""
    sizes = [item_size(message_item(group, message))]
    last, sk = schema.last_said(message), sort_key(created_at(message))
    # Every owner's uuid is as long as the other person's.
    sizes += [item_size(schema.group_item(other.uuid, group, other, last, sk)) for other in people]
    if max(sizes) > ITEM_LIMIT:
        raise BadInput(
            f"A message that makes an item of {max(sizes):,} bytes is larger than the {ITEM_LIMIT:,} that DynamoDB"
            " takes: nothing was written.",
            code="item_too_large",
        )


@dataclass(frozen=True)
class Row:
    """One item of the single table with its keys decoded: ``entity`` is group, message or other; ``owner`` is the
    user of a group row and the conversation of a message. The record of its entity is set, the other two are None."""

    entity: str
    owner: str
    group: MessageGroup | None = None
    message: Message | None = None
    other: Mapping[str, object] | None = None


def decode(item: Item) -> Row:
    """The entity of an item, and its record; an item that is neither message nor group is its own record."""
    kind, _, owner = item.get("pk", {}).get("S", "").partition("#")
    if kind == "GRP":
        return Row("group", owner, group=read_group(item))
    if kind == "MSG":
        return Row("message", owner, message=read_message(item))
    return Row("other", "", other=plain(item))


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as plain values. Numbers become Decimal, sets lists; ``--typed`` loses nothing."""
    return {name: value["S"] if "S" in value else _plain(value) for name, value in item.items()}


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    if kind == "N":
        return Decimal(inner)
    if kind == "NS":
        return [Decimal(number) for number in inner]
    if kind == "L":
        return [_plain(element) for element in inner]
    if kind == "M":
        return plain(inner)
    return None if kind == "NULL" else inner


def query(dynamodb: DynamoDB, **params: Any) -> Iterator[list[Item]]:
    """The pages of one query, all of them; a page may be empty and still have a next one."""
    while True:
        answer = dynamodb.call("query", TableName=dynamodb.table, **params)
        yield answer["Items"]
        if not answer.get("LastEvaluatedKey"):
            return
        params["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def partition(pk: str, window: Window | None = None, *, low: str = "") -> dict[str, Any]:
    """What a query needs to read one partition: in the window, and from the sort key ``low`` on."""
    condition, values = "pk = :pk", {":pk": {"S": pk}}
    first, high = window.texts() if window else (None, None)
    low = max(low, first or "")
    if low and high is not None:
        condition += " AND sk BETWEEN :low AND :high"
    elif low:
        condition += " AND sk >= :low"
    elif high is not None:
        condition += " AND sk < :high"
    values |= {name: {"S": text} for name, text in ((":low", low), (":high", high)) if text}
    return {"KeyConditionExpression": condition, "ExpressionAttributeValues": values}


def span(dynamodb: DynamoDB, pk: str) -> tuple[str, str] | None:
    """The first and the last sort key of a partition, as they are written; None where it is empty."""
    ends = [
        item["sk"]["S"]
        for forward in (True, False)
        for item in next(query(dynamodb, **partition(pk), ScanIndexForward=forward, Limit=1))
    ]
    return (ends[0], ends[1]) if len(ends) == 2 else None


def list_groups(
    dynamodb: DynamoDB,
    user_uuid: str,
    *,
    other: Person | None = None,
    window: Window | None = None,
    limit: int | None = None,
    see: Callable[[Item], None] = lambda _: None,
) -> list[MessageGroup]:
    """A person's conversations, newest first (access pattern B); every page is read, so that the order is by time.

    With ``other`` only those with that person. ``see`` is given each item that is read.
    """
    window = window or Window()
    groups = []
    for page in query(dynamodb, **partition(f"GRP#{user_uuid}", window), ScanIndexForward=False):
        for item in page:
            see(item)
            group = read_group(item)
            if window.holds(group.last_message_at) and (other is None or _is_with(group, other)):
                groups.append(group)
    groups.sort(key=lambda group: group.last_message_at or _EPOCH, reverse=True)
    return groups[:limit]


def latest(
    dynamodb: DynamoDB,
    group: str,
    *,
    window: Window | None = None,
    limit: int = 20,
    see: Callable[[Item], None] = lambda _: None,
) -> list[Message]:
    """The last ``limit`` messages of a conversation, oldest first (access pattern A). ``see`` is given each item read.

    Text order is time order only among sort keys in UTC: a row written with another offset stands up to half a day
    away from its time. So reading continues, after the first page, to where no row can be newer than those found.
    """
    window = window or Window()
    params: dict[str, Any] = {**partition(f"MSG#{group}", window), "ScanIndexForward": False}
    params["Limit"] = min(limit + _LOOKBACK, 1000)
    found: list[Message] = []
    mixed, low, place = False, "", {}
    while True:
        answer = dynamodb.call("query", TableName=dynamodb.table, **params)
        for item in answer["Items"]:
            see(item)
            place = {"pk": item["pk"], "sk": item["sk"]}
            mixed = mixed or not is_canonical(item["sk"]["S"])
            message = read_message(item)
            if window.holds(message.created_at):
                found.append(message)
        there_is_more = "LastEvaluatedKey" in answer
        if not there_is_more and not low:
            break
        params["ExclusiveStartKey"] = place = answer.get("LastEvaluatedKey", place)
        if len(found) < limit:
            continue
        found.sort(key=created_at, reverse=True)
        oldest = created_at(found[limit - 1])
        bound = text_before(oldest) if mixed else text_before_offset(oldest)
        if place["sk"]["S"] < bound or (not there_is_more and bound >= low):
            break
        low = bound
        params |= {**partition(f"MSG#{group}", window, low=low), "Limit": 1000}
    found.sort(key=created_at)
    return found[-limit:]


def tail(dynamodb: DynamoDB, group: str, *, limit: int) -> list[Message]:
    """The messages with the last ``limit`` sort keys of a conversation, oldest first, read consistently.

    As few requests as that takes, and what was just written is there; but unlike ``latest`` it does not look for
    messages whose offset puts their key elsewhere.
    """
    found: list[Message] = []
    params = {**partition(f"MSG#{group}"), "ScanIndexForward": False, "ConsistentRead": True, "Limit": limit}
    for page in query(dynamodb, **params):
        found += map(read_message, page)
        if len(found) >= limit:
            break
    return sorted(found[:limit], key=created_at)


def created_at(message: Message) -> datetime:
    """The time of a message, from its sort key; the earliest time if the sort key is not a time."""
    return message.created_at or _EPOCH


def find_group(dynamodb: DynamoDB, *, mine: str, other: Person, prefer: str | None = None) -> MessageGroup | None:
    """The conversation between the person with the uuid ``mine`` and ``other``; None where there is none.

    Where they have several it is ``prefer``, else the newest.
    """
    found = list_groups(dynamodb, mine, other=other)
    return next((group for group in found if group.message_group_uuid == prefer), found[0] if found else None)


def _is_with(group: MessageGroup, other: Person) -> bool:
    """Whether the other person of a group row is ``other``, by uuid or, after a move of the database, by handle."""
    return group.user_uuid == other.uuid or (other.handle is not None and group.user_handle == other.handle)

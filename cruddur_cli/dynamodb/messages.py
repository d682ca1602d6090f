"""Messages and message groups in the table: the only code that knows how their items are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ..errors import BadInput
from ..times import Window, instant, is_canonical, sort_key, text_before, text_before_offset
from .capacity import ITEM_LIMIT, item_size
from .client import DynamoDB
from .conversation import Message, MessageGroup, Person

Item = dict[str, Any]
# Rows asked for beyond those wanted: where a conversation is short, or its messages are hours apart, they show that no
# other can be newer, and one request is enough.
_LOOKBACK = 20
_EPOCH = datetime.min.replace(tzinfo=UTC)


def message_item(group: str, message: Message) -> Item:
    """The item of one message."""
    assert message.created_at is not None
    return _texts(
        pk=f"MSG#{group}",
        sk=sort_key(message.created_at),
        message_uuid=message.message_uuid,
        message=message.message,
        user_uuid=message.user_uuid,
        user_display_name=message.user_display_name,
        user_handle=message.user_handle,
    )


def group_item(owner: str, group: MessageGroup, sk: str) -> Item:
    """The item of a conversation as the person with the uuid ``owner`` sees it."""
    return _texts(
        pk=f"GRP#{owner}",
        sk=sk,
        message_group_uuid=group.message_group_uuid,
        message=group.message,
        user_uuid=group.user_uuid,
        user_display_name=group.user_display_name,
        user_handle=group.user_handle,
    )


def check_size(group: str, message: Message, people: Sequence[Person]) -> None:
    """Raise BadInput when DynamoDB would not take the message, or a group row whose last one it is: over 400 KB."""
    sizes = [item_size(message_item(group, message))]
    for other in people:
        view = MessageGroup(group, other.uuid, other.handle, other.display_name, message.message, message.created_at)
        # Every owner's uuid is as long as the other person's.
        sizes.append(item_size(group_item(other.uuid, view, sort_key(moment(message)))))
    if max(sizes) > ITEM_LIMIT:
        raise BadInput(
            f"A message that makes an item of {max(sizes):,} bytes is larger than the {ITEM_LIMIT:,} that DynamoDB"
            " takes: nothing was written.",
            code="item_too_large",
        )


def _texts(**attributes: str | None) -> Item:
    return {name: {"S": value} for name, value in attributes.items() if value is not None}


def read_message(item: Mapping[str, Any]) -> Message:
    """A message from its item; attributes that are missing there are None, or empty texts where there must be one."""
    return Message(_text(item, "message_uuid") or "", *_written(item))


def read_group(item: Mapping[str, Any]) -> MessageGroup:
    """A message group from its item, as ``read_message``."""
    return MessageGroup(_text(item, "message_group_uuid") or "", *_written(item))


def _written(item: Mapping[str, Any]) -> tuple[str, str | None, str | None, str, datetime | None]:
    """Who wrote what and when, as the fields behind the id of both records: uuid, handle and name, text, time."""
    who, handle, name = _text(item, "user_uuid") or "", _text(item, "user_handle"), _text(item, "user_display_name")
    return who, handle, name, _text(item, "message") or "", instant(_text(item, "sk") or "")


@dataclass(frozen=True)
class Row:
    """One item of the single table with its keys decoded: ``entity`` is group, message or other; ``owner`` is the
    user of a group row and the conversation of a message."""

    entity: str
    owner: str
    record: MessageGroup | Message | Item


def decode(item: Item) -> Row:
    """Which entity an item is, and its record; an item of neither entity is its own record."""
    kind, _, owner = item.get("pk", {}).get("S", "").partition("#")
    if kind == "GRP":
        return Row("group", owner, read_group(item))
    if kind == "MSG":
        return Row("message", owner, read_message(item))
    return Row("other", "", plain(item))


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


def _text(item: Mapping[str, Any], name: str) -> str | None:
    found: str | None = item.get(name, {}).get("S")
    return found


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
    dynamodb: DynamoDB, user_uuid: str, *, window: Window | None = None, limit: int | None = None
) -> list[MessageGroup]:
    """A person's conversations, newest first (access pattern B); every page is read, so that the order is by time."""
    window = window or Window()
    pages = query(dynamodb, **partition(f"GRP#{user_uuid}", window), ScanIndexForward=False)
    groups = [group for page in pages for group in map(read_group, page) if window.holds(group.last_message_at)]
    groups.sort(key=lambda group: group.last_message_at or _EPOCH, reverse=True)
    return groups[:limit]


def latest(dynamodb: DynamoDB, group: str, *, window: Window | None = None, limit: int = 20) -> list[Message]:
    """The last ``limit`` messages of a conversation, oldest first (access pattern A).

    Text order is time order only among sort keys in UTC: a row written with another offset stands up to half a day
    away from its time. So reading goes on, after the first page, to where no row can be newer than those found.
    """
    window = window or Window()
    params: dict[str, Any] = {**partition(f"MSG#{group}", window), "ScanIndexForward": False}
    params["Limit"] = min(limit + _LOOKBACK, 1000)
    found: list[Message] = []
    mixed, low, place = False, "", {}
    while True:
        answer = dynamodb.call("query", TableName=dynamodb.table, **params)
        for item in answer["Items"]:
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
        found.sort(key=moment, reverse=True)
        oldest = moment(found[limit - 1])
        bound = text_before(oldest) if mixed else text_before_offset(oldest)
        if place["sk"]["S"] < bound or (not there_is_more and bound >= low):
            break
        low = bound
        params |= {**partition(f"MSG#{group}", window, low=low), "Limit": 1000}
    found.sort(key=moment)
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
    return sorted(found[:limit], key=moment)


def moment(message: Message) -> datetime:
    """When a message was written; the beginning of time where its sort key is no time."""
    return message.created_at or _EPOCH


def find_group(dynamodb: DynamoDB, *, mine: str, other: Person) -> MessageGroup | None:
    """The newest conversation between the person with the uuid ``mine`` and ``other``; None where there is none."""
    for group in list_groups(dynamodb, mine):
        if group.user_uuid == other.uuid or (other.handle is not None and group.user_handle == other.handle):
            return group
    return None

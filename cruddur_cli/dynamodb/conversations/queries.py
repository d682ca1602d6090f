"""Query messages and message groups by key, and return them in time order."""

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

# `latest` reads this many rows more than its limit. In a short conversation, or one with hours between its messages,
# these rows prove that no other message is newer, so that one request is enough.
_LOOKBACK = 20
_EPOCH = datetime.min.replace(tzinfo=UTC)


def check_size(group: str, message: Message, people: Sequence[Person]) -> None:
    """Raise BadInput if the message's item, or a group row with this last message, is larger than 400 KB.

    400 KB is DynamoDB's limit for an item. ``people`` are the people whom the group rows name.
    """
    sizes = [item_size(message_item(group, message))]
    last, sk = schema.last_message_attributes(message), sort_key(created_at(message))
    # Uuids have one length, so the other person's uuid stands for the owner's here.
    sizes += [item_size(schema.group_item(other.uuid, group, other, last, sk)) for other in people]
    if max(sizes) > ITEM_LIMIT:
        raise BadInput(
            f"A message that makes an item of {max(sizes):,} bytes is larger than the {ITEM_LIMIT:,} that DynamoDB"
            " takes: nothing was written.",
            code="item_too_large",
        )


@dataclass(frozen=True)
class Row:
    """One item with its partition key decoded.

    ``entity`` is group, message or other. ``owner`` is the user of a group row, the conversation of a message, and
    empty for others. The record of the entity is set; the other two are None.
    """

    entity: str
    owner: str
    group: MessageGroup | None = None
    message: Message | None = None
    other: Mapping[str, object] | None = None


def decode(item: Item) -> Row:
    """The entity of an item and its record; an item that is neither message nor group row gives its plain values."""
    kind, _, owner = item.get("pk", {}).get("S", "").partition("#")
    if kind == "GRP":
        return Row("group", owner, group=read_group(item))
    if kind == "MSG":
        return Row("message", owner, message=read_message(item))
    return Row("other", "", other=plain(item))


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as plain values. Numbers become Decimal, and sets become lists; use ``--typed`` to keep the types."""
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
    """Yield every page of one query. A page can be empty although more pages follow."""
    while True:
        answer = dynamodb.call("query", TableName=dynamodb.table, **params)
        yield answer["Items"]
        if not answer.get("LastEvaluatedKey"):
            return
        params["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def partition(pk: str, window: Window | None = None, *, low: str = "") -> dict[str, Any]:
    """The parameters of a query for one partition, in the window and from the sort key ``low`` on."""
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
    """The first and the last sort key of a partition, as stored; None if the partition is empty."""
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
    """A person's conversations, newest first (access pattern B).

    Every page is read, because sort keys with different offsets are not in time order. With ``other``, only the
    conversations with that person are returned. ``see`` is called with each item that is read.
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
    """The last ``limit`` messages of a conversation, oldest first (access pattern A).

    Text order is time order only among sort keys in UTC. A sort key with another offset differs from its time by up to
    15 hours. So reading continues after the first page until no unread row can be newer than the messages that were
    read. ``see`` is called with each item that is read.
    """
    window = window or Window()
    params: dict[str, Any] = {**partition(f"MSG#{group}", window), "ScanIndexForward": False}
    params["Limit"] = min(limit + _LOOKBACK, 1000)
    messages: list[Message] = []
    has_other_forms, low, last_key = False, "", {}
    while True:
        answer = dynamodb.call("query", TableName=dynamodb.table, **params)
        for item in answer["Items"]:
            see(item)
            last_key = {"pk": item["pk"], "sk": item["sk"]}
            has_other_forms = has_other_forms or not is_canonical(item["sk"]["S"])
            message = read_message(item)
            if window.holds(message.created_at):
                messages.append(message)
        has_more = "LastEvaluatedKey" in answer
        if not has_more and not low:
            break
        params["ExclusiveStartKey"] = last_key = answer.get("LastEvaluatedKey", last_key)
        if len(messages) < limit:
            continue
        messages.sort(key=created_at, reverse=True)
        oldest = created_at(messages[limit - 1])
        bound = text_before(oldest) if has_other_forms else text_before_offset(oldest)
        if last_key["sk"]["S"] < bound or (not has_more and bound >= low):
            break
        low = bound
        params |= {**partition(f"MSG#{group}", window, low=low), "Limit": 1000}
    messages.sort(key=created_at)
    return messages[-limit:]


def tail(dynamodb: DynamoDB, group: str, *, limit: int) -> list[Message]:
    """The messages with the last ``limit`` sort keys of a conversation, oldest first, read consistently.

    The result contains messages that were written just before. Unlike ``latest``, this does not search for newer
    messages whose offset gives them an earlier sort key, so it usually makes one request.
    """
    messages: list[Message] = []
    params = {**partition(f"MSG#{group}"), "ScanIndexForward": False, "ConsistentRead": True, "Limit": limit}
    for page in query(dynamodb, **params):
        messages += map(read_message, page)
        if len(messages) >= limit:
            break
    return sorted(messages[:limit], key=created_at)


def created_at(message: Message) -> datetime:
    """The time of a message, from its sort key; the earliest time if the sort key is not a time."""
    return message.created_at or _EPOCH


def find_group(dynamodb: DynamoDB, *, mine: str, other: Person, prefer: str | None = None) -> MessageGroup | None:
    """The conversation between the person with the uuid ``mine`` and ``other``; None if they have none.

    If they have several, it is the one with the id ``prefer``, or else the newest.
    """
    groups = list_groups(dynamodb, mine, other=other)
    return next((group for group in groups if group.message_group_uuid == prefer), groups[0] if groups else None)


def _is_with(group: MessageGroup, other: Person) -> bool:
    """Whether a group row names ``other``, by uuid or by handle. Uuids differ after the users were created again."""
    return group.user_uuid == other.uuid or (other.handle is not None and group.user_handle == other.handle)

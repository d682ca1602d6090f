"""Messages and message groups in the table: the only code that knows how their items are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ..errors import BadInput, Refused
from ..times import Window, instant, is_canonical, sort_key, text_before, text_before_offset
from .capacity import ITEM_LIMIT, item_size
from .client import DynamoDB
from .conversation import Message, MessageGroup, Person, seeded_position
from .tables import INDEX

Item = dict[str, Any]
# Rows asked for beyond those wanted: most conversations then take one request.
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
        sizes.append(item_size(group_item(other.uuid, view, sort_key(_moment(message)))))
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
    text = _reader(item)
    return Message(
        message_uuid=text("message_uuid") or "",
        user_uuid=text("user_uuid") or "",
        user_handle=text("user_handle"),
        user_display_name=text("user_display_name"),
        message=text("message") or "",
        created_at=instant(text("sk") or ""),
    )


def read_group(item: Mapping[str, Any]) -> MessageGroup:
    """A message group from its item, as ``read_message``."""
    text = _reader(item)
    return MessageGroup(
        message_group_uuid=text("message_group_uuid") or "",
        user_uuid=text("user_uuid") or "",
        user_handle=text("user_handle"),
        user_display_name=text("user_display_name"),
        message=text("message") or "",
        last_message_at=instant(text("sk") or ""),
    )


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
    return {name: _plain(value) for name, value in item.items()}


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


def _reader(item: Mapping[str, Any]) -> Any:
    return lambda name: item.get(name, {}).get("S")


def query(dynamodb: DynamoDB, **params: Any) -> Iterator[list[Item]]:
    """The pages of one query, all of them; a page may be empty and still have a next one."""
    while True:
        answer = dynamodb.call("query", TableName=dynamodb.table, **params)
        yield answer["Items"]
        if not answer.get("LastEvaluatedKey"):
            return
        params["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _partition(pk: str, window: Window | None = None, *, low: str = "") -> dict[str, Any]:
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
        for item in next(query(dynamodb, **_partition(pk), ScanIndexForward=forward, Limit=1))
    ]
    return (ends[0], ends[1]) if len(ends) == 2 else None


def list_groups(
    dynamodb: DynamoDB, user_uuid: str, *, window: Window | None = None, limit: int | None = None
) -> list[MessageGroup]:
    """A person's conversations, newest first (access pattern B); every page is read, so that the order is by time."""
    window = window or Window()
    pages = query(dynamodb, **_partition(f"GRP#{user_uuid}", window), ScanIndexForward=False)
    groups = [group for page in pages for group in map(read_group, page) if window.holds(group.last_message_at)]
    groups.sort(key=lambda group: group.last_message_at or _EPOCH, reverse=True)
    return groups[:limit]


def latest(dynamodb: DynamoDB, group: str, *, window: Window | None = None, limit: int = 20) -> list[Message]:
    """The last ``limit`` messages of a conversation, oldest first (access pattern A).

    Text order is time order only among sort keys in UTC: a row written with another offset stands up to half a day
    away from its time. So reading goes on, after the first page, to where no row can be newer than those found.
    """
    window = window or Window()
    params: dict[str, Any] = {**_partition(f"MSG#{group}", window), "ScanIndexForward": False}
    params["Limit"] = min(limit + _LOOKBACK, 1000)
    found: list[Message] = []
    mixed = False
    while True:
        answer = dynamodb.call("query", TableName=dynamodb.table, **params)
        for item in answer["Items"]:
            mixed = mixed or not is_canonical(item["sk"]["S"])
            message = read_message(item)
            if window.holds(message.created_at):
                found.append(message)
        start = answer.get("LastEvaluatedKey")
        if not start:
            break
        params["ExclusiveStartKey"] = start
        if len(found) < limit:
            continue
        found.sort(key=_moment, reverse=True)
        oldest = _moment(found[limit - 1])
        bound = text_before(oldest) if mixed else text_before_offset(oldest)
        if start["sk"]["S"] < bound:
            break
        del found[limit:]
        params |= _partition(f"MSG#{group}", window, low=bound)
        params["Limit"] = 1000
    found.sort(key=_moment)
    return found[-limit:]


def _moment(message: Message) -> datetime:
    return message.created_at or _EPOCH


def find_group(dynamodb: DynamoDB, *, mine: str, other: Person) -> MessageGroup | None:
    """The newest conversation between the person with the uuid ``mine`` and ``other``; None where there is none."""
    for group in list_groups(dynamodb, mine):
        if group.user_uuid == other.uuid or (other.handle is not None and group.user_handle == other.handle):
            return group
    return None


@dataclass(frozen=True)
class Change:
    """What replacing a seeded conversation takes: the items to put, the keys to delete, and what is right already."""

    put: Item | None = None
    delete: Item | None = None
    last: Message | None = None


def stored(dynamodb: DynamoDB, group: str) -> Iterator[Item]:
    """Every message item of a conversation by sort key, read consistently."""
    for page in query(dynamodb, **_partition(f"MSG#{group}"), ConsistentRead=True):
        yield from page


def changes(group: str, wanted: Iterable[Message], existing: Iterable[Item]) -> Iterator[Change]:
    """How to get from the existing messages to the wanted ones, one step a message; messages people wrote stay,
    also where one has the very key of a wanted one.

    Both come in sort-key order and are walked together, so that memory does not grow with the conversation.
    ``Change.last`` is the message that stands there afterwards.
    """
    ahead = iter(existing)
    old = next(ahead, None)
    for message in wanted:
        item = message_item(group, message)
        while old is not None and old["sk"]["S"] < item["sk"]["S"]:
            yield _keep_or_delete(group, old)
            old = next(ahead, None)
        if old is None or old["sk"]["S"] != item["sk"]["S"]:
            yield Change(put=item, last=message)
            continue
        if not _is_seeded(group, old):
            yield Change(last=read_message(old))
        else:
            yield Change(put=None if old == item else item, last=message)
        old = next(ahead, None)
    while old is not None:
        yield _keep_or_delete(group, old)
        old = next(ahead, None)


def _keep_or_delete(group: str, item: Item) -> Change:
    if _is_seeded(group, item):
        return Change(delete={"pk": item["pk"], "sk": item["sk"]})
    return Change(last=read_message(item))


def _is_seeded(group: str, item: Item) -> bool:
    return seeded_position(group, item.get("message_uuid", {}).get("S", "")) is not None


def place_groups(
    dynamodb: DynamoDB, group: str, people: Sequence[Person], last: Message, *, dry_run: bool = False
) -> tuple[int, int]:
    """Make the two people's group rows say what the last message says, and be the only ones of the conversation.

    One conditional transaction, tried again from the table's own state when somebody else moves the rows meanwhile; a
    message that was sent after ``last`` was read counts instead of it.
    Comes back with how many rows are written and deleted. The index finds rows of people who are no longer part of
    the conversation; the two people's own are read consistently from the table.
    """
    patience = dynamodb.patience()
    while True:
        if not dry_run:
            last = _newest(dynamodb, group, last)
        actions, counts = _group_actions(dynamodb, group, people, last)
        if dry_run or not actions:
            return counts
        try:
            dynamodb.call("transact_write_items", TransactItems=actions, patience=patience)
        except Refused as error:
            if not _was_overtaken(error) or not patience.wait():
                raise
            continue
        return counts


def _newest(dynamodb: DynamoDB, group: str, last: Message) -> Message:
    """``last``, or a message of the conversation that is newer by now; read consistently."""
    since = Window(since=last.created_at)
    for page in query(dynamodb, **_partition(f"MSG#{group}", since), ConsistentRead=True):
        last = max(last, *map(read_message, page), key=_moment)
    return last


def _was_overtaken(error: Refused) -> bool:
    """Whether a transaction was cancelled for what somebody else did meanwhile, and nothing else."""
    answer: Any = error.fields.get("response") or {}
    reasons = {reason.get("Code", "None") for reason in answer.get("CancellationReasons", [])} - {"None"}
    return bool(reasons) and reasons <= {
        "ConditionalCheckFailed",
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    }


def _group_actions(
    dynamodb: DynamoDB, group: str, people: Sequence[Person], last: Message
) -> tuple[list[dict[str, Any]], tuple[int, int]]:
    assert last.created_at is not None
    first, second = people
    wanted = {}
    for owner, other in ((first, second), (second, first)):
        view = MessageGroup(group, other.uuid, other.handle, other.display_name, last.message, last.created_at)
        item = group_item(owner.uuid, view, sort_key(last.created_at))
        wanted[item["pk"]["S"], item["sk"]["S"]] = item
    found = {(item["pk"]["S"], item["sk"]["S"]): item for item in _group_rows(dynamodb, group, people)}
    actions: list[dict[str, Any]] = []
    free = {"ConditionExpression": "attribute_not_exists(pk)"}
    still = {"ConditionExpression": "message_group_uuid = :g", "ExpressionAttributeValues": {":g": {"S": group}}}
    for key, item in found.items():
        if key not in wanted:
            row = {"pk": item["pk"], "sk": item["sk"]}
            actions.append({"Delete": {"TableName": dynamodb.table, "Key": row, **still}})
    deleted = len(actions)
    for key, item in wanted.items():
        if found.get(key) != item:
            unmoved = still if key in found else free
            actions.append({"Put": {"TableName": dynamodb.table, "Item": item, **unmoved}})
    return actions, (len(actions) - deleted, deleted)


def _group_rows(dynamodb: DynamoDB, group: str, people: Sequence[Person]) -> Iterator[Item]:
    for person in people:
        for page in query(dynamodb, **_partition(f"GRP#{person.uuid}"), ConsistentRead=True):
            yield from (item for item in page if item.get("message_group_uuid", {}).get("S") == group)
    own = {f"GRP#{person.uuid}" for person in people}
    key = {"KeyConditionExpression": "message_group_uuid = :g", "ExpressionAttributeValues": {":g": {"S": group}}}
    for page in query(dynamodb, IndexName=INDEX, **key):
        yield from (item for item in page if item["pk"]["S"] not in own)

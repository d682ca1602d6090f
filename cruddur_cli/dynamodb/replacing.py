"""Replaces the seeded messages of a conversation and moves its group rows, from whatever state the table is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Refused
from ..times import Window, sort_key
from .client import DynamoDB
from .conversation import Message, MessageGroup, Person, seeded_position
from .messages import Item, group_item, message_item, moment, partition, query, read_message
from .tables import INDEX


@dataclass(frozen=True)
class Change:
    """What replacing a seeded conversation takes: the items to put, the keys to delete, and what is right already."""

    put: Item | None = None
    delete: Item | None = None
    last: Message | None = None


def stored(dynamodb: DynamoDB, group: str) -> Iterator[Item]:
    """Every message item of a conversation by sort key, read consistently."""
    for page in query(dynamodb, **partition(f"MSG#{group}"), ConsistentRead=True):
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
    for page in query(dynamodb, **partition(f"MSG#{group}", since), ConsistentRead=True):
        last = max(last, *map(read_message, page), key=moment)
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
        for page in query(dynamodb, **partition(f"GRP#{person.uuid}"), ConsistentRead=True):
            yield from (item for item in page if item.get("message_group_uuid", {}).get("S") == group)
    own = {f"GRP#{person.uuid}" for person in people}
    key = {"KeyConditionExpression": "message_group_uuid = :g", "ExpressionAttributeValues": {":g": {"S": group}}}
    for page in query(dynamodb, IndexName=INDEX, **key):
        yield from (item for item in page if item["pk"]["S"] not in own)

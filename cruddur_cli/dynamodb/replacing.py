"""How to replace the seeded messages of a conversation, from whatever state the table is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .client import DynamoDB
from .conversation import Message, seeded_position
from .messages import Item, message_item, partition, query, read_message


@dataclass(frozen=True)
class Change:
    """What replacing a seeded conversation takes: the items to put, the keys to delete, and what is right already.
    ``old`` is what stands where something is put or deleted."""

    put: Item | None = None
    delete: Item | None = None
    old: Item | None = None
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
        if not is_seeded(group, old):
            yield Change(last=read_message(old))
        else:
            yield Change(put=None if old == item else item, old=old, last=message)
        old = next(ahead, None)
    while old is not None:
        yield _keep_or_delete(group, old)
        old = next(ahead, None)


def _keep_or_delete(group: str, item: Item) -> Change:
    if is_seeded(group, item):
        return Change(delete={"pk": item["pk"], "sk": item["sk"]}, old=item)
    return Change(last=read_message(item))


def is_seeded(group: str, item: Item) -> bool:
    """Whether an item is a message that a seeding wrote, not a person."""
    return seeded_position(group, item.get("message_uuid", {}).get("S", "")) is not None

"""Move the group rows of a conversation, so that each person has exactly one row, with the last message.

The sort key of a group row is the time of the last message, and the key of an item cannot change. So a move is a delete
and a put in one conditional transaction. Decisions depend only on consistent reads of the table. The index can lag
behind; it only tells whose rows to read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from ...errors import Refused
from ...times import sort_key, text_before_offset
from .. import schema
from ..client import DynamoDB
from ..schema import GROUPS, Item, Message, Person, message_item, read_message
from . import participants, transactions
from .participants import Age, Participant, Participants
from .queries import created_at, partition, query
from .transactions import Action, TransactionPlan

# A transaction has at most ten actions: a message, a claim, and for each of two people a put and this many deletes. AWS
# takes 100, but DynamoDB Local of 2020 takes ten. More duplicate rows are deleted by the next transaction.
_MOST_DELETED = 3
_HALF_MOVED_S = 0.3


@dataclass(frozen=True)
class Last:
    """The last message of a conversation as group rows store it: its age, and the attributes that come from it."""

    age: Age
    attributes: Item

    @classmethod
    def of(cls, message: Message) -> Last:
        """The age and the attributes of a message."""
        return cls((created_at(message), message.message), schema.last_message_attributes(message))


@dataclass(frozen=True)
class Moved:
    """The number of people by what happened to their group rows of a conversation.

    ``moved``: the row had an older message. ``unchanged``: it has this message or a newer one. ``repaired``: the person
    had no row or several, and now has one. ``missing`` says which rows could not be repaired, and why.
    """

    moved: int
    unchanged: int
    repaired: int
    missing: str | None = None


class KeyTaken(Refused):
    """Another message of the conversation has the same sort key; nothing was written."""

    code = "time_taken"


def advance(
    dynamodb: DynamoDB,
    group: str,
    message: Message,
    *,
    people: tuple[Person, Person] | None = None,
    write_message: bool = False,
    find_stored: Callable[[], Message | None] | None = None,
    known: Participants | None = None,
    dry_run: bool = False,
) -> Moved:
    """Move each person's group row of the conversation to ``message``, unless the row has a newer message.

    It runs one conditional transaction, and after a conflict reads the table and tries again. With ``write_message``
    the transaction also stores the message, unless it is stored already. Duplicate rows are deleted. A missing row is
    created from ``people``, from the other person's row or from the messages; otherwise ``Moved.missing`` names it.
    ``known`` replaces the first read of the rows.

    If the id of the message does not determine its key, the message may be stored at another key. Then ``find_stored``
    returns the stored message or None. It is called before each attempt, under a claim, so that no other process that
    also does this can store the message in between.

    Raises KeyTaken if another message has this message's key. Raises Refused if the message is stored with another text
    or sender, or when conflicting writes do not end in time.
    """
    if message.created_at is None:
        return Moved(0, 0, 0, f"message {message.message_uuid} of conversation {group} has no readable time")
    sender = schema.sender(message)

    def plan(attempt: int) -> TransactionPlan[Moved]:
        read = known if known and not attempt else participants.find(dynamodb, group, sender, people=people)
        stored = find_stored() if find_stored else None
        step = _plan(dynamodb.table, group, read, stored or message)
        without_row = sum(not participant.rows for participant in read.people)
        if not attempt and not dry_run and 0 < without_row < len(read.people):
            # Older code of the application moves a row by a delete and a later put. Wait for the put: a row that is
            # missing makes this plan take a claim and read again.
            time.sleep(_HALF_MOVED_S)
        if not write_message or stored or (attempt and is_stored(dynamodb, group, message)):
            return step
        actions = [_message_put(dynamodb.table, group, message), *step.actions]
        return replace(step, actions=actions, needs_claim=step.needs_claim or find_stored is not None)

    if dry_run:
        return transactions.dry_run(dynamodb, plan)
    return transactions.carry_out(dynamodb, group, plan)[0]


def overwrite(
    dynamodb: DynamoDB, group: str, people: Sequence[Person], last: Message, *, dry_run: bool = False
) -> tuple[int, int]:
    """Give each of the two people one group row with the last message, and delete all other group rows.

    Returns how many rows are written and how many are deleted. ``last`` is the last message that the caller read; if a
    newer one was sent since, the rows get the newer one. Rows of other people are deleted.
    """
    first, second = people

    def plan(attempt: int) -> TransactionPlan[tuple[int, int]]:
        both = participants.find(dynamodb, group, first, people=(first, second)).people
        needs_claim = any(not participant.rows for participant in both)
        if needs_claim and not attempt and not dry_run:  # under the claim everything is read again
            return TransactionPlan((0, 0), needs_claim=True)
        newest = last if dry_run else _newest(dynamodb, group, last)
        outsiders = [owner for owner in participants.owners(dynamodb, group) if owner not in {first.uuid, second.uuid}]
        old = [row for owner in outsiders for row in participants.read(dynamodb, group, owner).rows]
        puts: list[Action] = []
        for participant in both:
            item = _row(group, participant, Last.of(newest))
            current = next((row for row in participant.rows if row["sk"] == item["sk"]), None)
            old += [row for row in participant.rows if row is not current]
            if current != item:
                puts.append(_put(dynamodb.table, group, item, replaces=current is not None))
        deleted = old if dry_run else old[: 2 * _MOST_DELETED]
        return TransactionPlan(
            (len(puts), len(deleted)),
            [*(_on_row(dynamodb.table, group, row, "Delete") for row in deleted), *puts],
            needs_claim=needs_claim,
            unfinished=len(deleted) < len(old),
        )

    if dry_run:
        return transactions.dry_run(dynamodb, plan)
    results = transactions.carry_out(dynamodb, group, plan)
    return sum(written for written, _ in results), sum(deleted for _, deleted in results)


def _newest(dynamodb: DynamoDB, group: str, last: Message) -> Message:
    """``last``, or the newest message that was sent since ``last`` was read; read consistently.

    The query starts at ``text_before_offset``, because every program that sends messages today writes a time with a
    ``T``, in any offset.
    """
    low = text_before_offset(created_at(last))
    for page in query(dynamodb, **partition(f"MSG#{group}", low=low), ConsistentRead=True):
        last = max([last, *map(read_message, page)], key=created_at)
    return last


def is_stored(dynamodb: DynamoDB, group: str, message: Message) -> bool:
    """Whether the table has a message at its key, read consistently.

    Raises KeyTaken if another message has the key, and Refused if the stored message has another text or sender.
    """
    item = message_item(group, message)
    key = {name: item[name] for name in ("pk", "sk")}
    current = dynamodb.call("get_item", TableName=dynamodb.table, Key=key, ConsistentRead=True).get("Item")
    if current is None:
        return False
    stored = read_message(current)
    if stored.message_uuid != message.message_uuid:
        raise KeyTaken(
            f"Conversation {group} has another message with the same time: {stored.message_uuid}.",
            hint="send it without --message-uuid: it then gets the current time",
        )
    check_same(group, stored, message)
    return True


def check_same(group: str, stored: Message, message: Message) -> None:
    """Raise Refused if a stored message has another text or sender than the message to send."""
    if (stored.message, stored.user_uuid) != (message.message, message.user_uuid):
        raise Refused(
            f"Message {message.message_uuid} is in conversation {group} already, with another text or sender.",
            hint="send it without --message-uuid: it is then a new message",
            code="message_differs",
        )


# Plan the actions of a transaction.


def _plan(table: str, group: str, read: Participants, message: Message) -> TransactionPlan[Moved]:
    last = newest = Last.of(message)
    row = read.newest_row()
    if row is not None and participants.age(row) > last.age:
        newest = Last(participants.age(row), schema.last_message_attributes_of_row(row))
    actions: list[Action] = []
    outcomes = []
    for participant in read.people:
        outcome, steps = _change(table, group, participant, last, newest)
        outcomes.append(outcome)
        actions += steps
    moved, unchanged, repaired = map(outcomes.count, ("moved", "unchanged", "repaired"))
    return TransactionPlan(
        Moved(moved, unchanged, repaired, read.missing),
        actions,
        needs_claim=any(not participant.rows for participant in read.people),
        unfinished=any(len(participant.rows) > _MOST_DELETED for participant in read.people),
    )


def _change(table: str, group: str, participant: Participant, last: Last, newest: Last) -> tuple[str, list[Action]]:
    """The outcome for one person (a field of ``Moved``), and the actions on their rows.

    A missing row gets ``newest``, which is the message of the other person's row if that is newer than ``last``.
    """
    rows = participant.rows
    if rows and participants.age(rows[0]) >= last.age:
        surplus = [_on_row(table, group, row, "Delete") for row in rows[1 : _MOST_DELETED + 1]]
        if not surplus:
            return "unchanged", []
        # Delete the other rows only if the row that stays still exists.
        return "repaired", [_on_row(table, group, rows[0], "ConditionCheck"), *surplus]
    item = _row(group, participant, last if rows else newest)
    old = [row for row in rows if row["sk"] != item["sk"]]
    deletes = [_on_row(table, group, row, "Delete") for row in old[:_MOST_DELETED]]
    put = _put(table, group, item, replaces=len(old) < len(rows))
    return "moved" if len(rows) == 1 else "repaired", [*deletes, put]


def _row(group: str, participant: Participant, last: Last) -> Item:
    """A person's group row with the message ``last``. It keeps only those attributes of an older row that another
    application added.

    If another conversation of the person has the same sort key, three more decimals make the key unique. Every reader
    reads the same microsecond from it, and text order is still time order.
    """
    old = participant.rows[0] if participant.rows else {}
    sk = canonical = sort_key(last.age[0])
    for number in count(1):
        if sk not in participant.taken:
            break
        sk = f"{canonical[:-6]}{number:03}{canonical[-6:]}"
    item = schema.group_item(participant.owner, group, participant.other or schema.read_other(old), last.attributes, sk)
    if not item["user_uuid"]["S"]:  # a reader would take an empty uuid for a person's
        del item["user_uuid"]
    return {**schema.undeclared(old), **item}


def _on_row(table: str, group: str, row: Item, verb: str) -> Action:
    """An action (Delete, ConditionCheck) on a row, on the condition that it is still this conversation's row."""
    return {verb: {"TableName": table, "Key": {"pk": row["pk"], "sk": row["sk"]}, **_is_row_of(group)}}


def _put(table: str, group: str, item: Item, *, replaces: bool) -> Action:
    """Put a row, on the condition that its key holds a row of this conversation (``replaces``) or no item."""
    is_free = {"ConditionExpression": "attribute_not_exists(pk)"}
    return {"Put": {"TableName": table, "Item": item, **(_is_row_of(group) if replaces else is_free)}}


def _is_row_of(group: str) -> dict[str, Any]:
    condition = f"{GROUPS.partition_key} = :g"
    return {"ConditionExpression": condition, "ExpressionAttributeValues": {":g": {"S": group}}}


def _message_put(table: str, group: str, message: Message) -> Action:
    item = message_item(group, message)
    values = {":u": item["message_uuid"], ":m": item["message"], ":s": item["user_uuid"]}
    same = "message_uuid = :u AND message = :m AND user_uuid = :s"
    return {
        "Put": {
            "TableName": table,
            "Item": item,
            "ConditionExpression": f"attribute_not_exists(pk) OR ({same})",
            "ExpressionAttributeValues": values,
        }
    }

"""The group rows of a conversation: finds them, and moves them so that each person has exactly one, the newest.

A row's key holds its time, and keys never change: a move is a delete and a put in one conditional transaction. What is
decided is decided from the table, read consistently; the index, which may be late, only says whose rows to read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import Refused
from ...times import sort_key, text_before_offset
from .. import schema
from ..capacity.meter import least_units
from ..client import DynamoDB
from ..schema import GROUPS, Item, Message, Person, message_item, read_message
from . import participants, transactions
from .participants import Age, Participant, Participants
from .queries import created_at, partition, query
from .transactions import Action, TransactionPlan

# A message, a claim, and for each of two people a put and so many deletes: ten actions. AWS takes 100, but DynamoDB
# Local of 2020 no more than these. Further doubled rows go in the next transaction.
_MOST_DELETED = 3
_HALF_MOVED_S = 0.3


@dataclass(frozen=True)
class Last:
    """What group rows say of a conversation's last message: how new it is, and the attributes that come from it."""

    age: Age
    said: Item

    @classmethod
    def of(cls, message: Message) -> Last:
        """What they say of this one."""
        return cls((created_at(message), message.message), schema.last_said(message))


@dataclass(frozen=True)
class Moved:
    """The result for a conversation's group rows: ``moved`` were older, ``unchanged`` say that message or a newer one
    already, ``repaired`` were missing or doubled and are right now. ``missing`` names what could not be repaired."""

    moved: int
    unchanged: int
    repaired: int
    missing: str | None = None


class KeyTaken(Refused):
    """Another message of the conversation has the very time of this one; nothing was written."""

    code = "time_taken"


def advance(
    dynamodb: DynamoDB,
    group: str,
    message: Message,
    *,
    people: tuple[Person, Person] | None = None,
    write_message: bool = False,
    look: Callable[[], Message | None] | None = None,
    found: Participants | None = None,
    dry_run: bool = False,
) -> Moved:
    """Make each person's group row of the conversation say what ``message`` says, unless it is newer: never backwards.

    One conditional transaction, tried again from the table's own state when another process writes meanwhile. With
    ``write_message`` it holds the message too: all or nothing, and one that is stored already is stored once. Doubled
    rows are deleted; a missing one is written from ``people``, from the other side's row or from the messages, else
    ``Moved.missing`` names it. ``found`` saves the first reading.

    A message whose id does not tell its key may be stored at another: ``look`` finds it then, asked before each try and
    under a claim, so that no other process that looks stores it in between.

    Raises KeyTaken where another message has its key, Refused where the message is stored with another text, or when
    others do not stop writing to the conversation.
    """
    if message.created_at is None:
        return Moved(0, 0, 0, f"message {message.message_uuid} of conversation {group} has no readable time")
    sender = schema.sender(message)

    def plan(tries: int) -> TransactionPlan[Moved]:
        now = found if found and not tries else participants.find(dynamodb, group, sender, people=people)
        stored = look() if look else None
        step = _plan(dynamodb.table, group, now, stored or message)
        if not tries and not dry_run and 0 < sum(not participant.rows for participant in now.people) < len(now.people):
            # Older code of the application moves a row by a delete and then a put: it may be on its way.
            time.sleep(_HALF_MOVED_S)
        if not write_message or stored or (tries and is_stored(dynamodb, group, message)):
            return step
        actions = [_message_put(dynamodb.table, group, message), *step.actions]
        return replace(step, actions=actions, alone=step.alone or look is not None)

    if dry_run:
        planned = plan(0)
        request = {"TransactItems": planned.actions}
        dynamodb.meter.plan(least_units("TransactWriteItems", request, dynamodb.table, indexes=[GROUPS]))
        return planned.result
    return transactions.carry_out(dynamodb, group, plan)[0]


def overwrite(
    dynamodb: DynamoDB, group: str, people: Sequence[Person], last: Message, *, dry_run: bool = False
) -> tuple[int, int]:
    """Make the two people's group rows say exactly what the last message says, and be the conversation's only ones.

    Returns how many rows are written and deleted. A message that was sent after ``last`` was read counts
    instead of it; rows of people who are no longer part of the conversation go.
    """
    first, second = people

    def plan(tries: int) -> TransactionPlan[tuple[int, int]]:
        both = participants.find(dynamodb, group, first, people=(first, second)).people
        alone = any(not participant.rows for participant in both)
        if alone and not tries and not dry_run:  # everything is read again, under a claim
            return TransactionPlan((0, 0), alone=True)
        newest = last if dry_run else _newest(dynamodb, group, last)
        strangers = [owner for owner in participants.owners(dynamodb, group) if owner not in {first.uuid, second.uuid}]
        old = [row for owner in strangers for row in participants.read(dynamodb, group, owner).rows]
        puts: list[Action] = []
        for participant in both:
            item = _row(group, participant, Last.of(newest))
            there = next((row for row in participant.rows if row["sk"] == item["sk"]), None)
            old += [row for row in participant.rows if row is not there]
            if there != item:
                puts.append(_put(dynamodb.table, group, item, over=there is not None))
        now = old if dry_run else old[: 2 * _MOST_DELETED]
        return TransactionPlan(
            (len(puts), len(now)),
            [*(_on_row(dynamodb.table, group, row, "Delete") for row in now), *puts],
            alone=alone,
            unfinished=len(now) < len(old),
        )

    if dry_run:
        planned = plan(0)
        request = {"TransactItems": planned.actions}
        dynamodb.meter.plan(least_units("TransactWriteItems", request, dynamodb.table, indexes=[GROUPS]))
        return planned.result
    done = transactions.carry_out(dynamodb, group, plan)
    return sum(written for written, _ in done), sum(deleted for _, deleted in done)


def _newest(dynamodb: DynamoDB, group: str, last: Message) -> Message:
    """``last``, or a message of the conversation that was sent since it was read; read consistently.

    Every program that sends now writes a time with a ``T``, in any offset.
    """
    low = text_before_offset(created_at(last))
    for page in query(dynamodb, **partition(f"MSG#{group}", low=low), ConsistentRead=True):
        last = max([last, *map(read_message, page)], key=created_at)
    return last


def is_stored(dynamodb: DynamoDB, group: str, message: Message) -> bool:
    """Whether a message is in the table, at its key, read consistently.

    Raises KeyTaken where another one is there, Refused where it has another text or sender there.
    """
    item = message_item(group, message)
    key = {name: item[name] for name in ("pk", "sk")}
    there = dynamodb.call("get_item", TableName=dynamodb.table, Key=key, ConsistentRead=True).get("Item")
    if there is None:
        return False
    stored = read_message(there)
    if stored.message_uuid != message.message_uuid:
        raise KeyTaken(
            f"Conversation {group} has another message with the same time: {stored.message_uuid}.",
            hint="send it without --message-uuid: it then gets the current time",
        )
    check_same(group, stored, message)
    return True


def check_same(group: str, stored: Message, message: Message) -> None:
    """Raise Refused where a message that is stored says something else than the one that is to be sent."""
    if (stored.message, stored.user_uuid) != (message.message, message.user_uuid):
        raise Refused(
            f"Message {message.message_uuid} is in conversation {group} already, with another text or sender.",
            hint="send it without --message-uuid: it is then a new message",
            code="message_differs",
        )


# Deciding and writing.


def _plan(table: str, group: str, found: Participants, message: Message) -> TransactionPlan[Moved]:
    last = newest = Last.of(message)
    row = found.newest_row()
    if row is not None and participants.age(row) > last.age:
        newest = Last(participants.age(row), schema.last_said_in(row))
    actions: list[Action] = []
    outcomes = []
    for participant in found.people:
        outcome, steps = _change(table, group, participant, last, newest)
        outcomes.append(outcome)
        actions += steps
    moved, unchanged, repaired = map(outcomes.count, ("moved", "unchanged", "repaired"))
    return TransactionPlan(
        Moved(moved, unchanged, repaired, found.missing),
        actions,
        alone=any(not participant.rows for participant in found.people),
        unfinished=any(len(participant.rows) > _MOST_DELETED for participant in found.people),
    )


def _change(table: str, group: str, participant: Participant, last: Last, newest: Last) -> tuple[str, list[Action]]:
    """What one person's rows take. A missing row is created from the other person's row, which may be newer."""
    rows = participant.rows
    if rows and participants.age(rows[0]) >= last.age:
        surplus = [_on_row(table, group, row, "Delete") for row in rows[1 : _MOST_DELETED + 1]]
        if not surplus:
            return "unchanged", []
        # The one that stays has to be there still when the others go.
        return "repaired", [_on_row(table, group, rows[0], "ConditionCheck"), *surplus]
    item = _row(group, participant, last if rows else newest)
    old = [row for row in rows if row["sk"] != item["sk"]]
    deletes = [_on_row(table, group, row, "Delete") for row in old[:_MOST_DELETED]]
    put = _put(table, group, item, over=len(old) < len(rows))
    return "moved" if len(rows) == 1 else "repaired", [*deletes, put]


def _row(group: str, participant: Participant, last: Last) -> Item:
    """A person's row that says ``last``, and nothing of what an older row said but what another application put there.

    Where another conversation of theirs has the very time, further decimals make the key its own: the same instant
    for every reader, and the right place in the order.
    """
    old = participant.rows[0] if participant.rows else {}
    sk = canonical = sort_key(last.age[0])
    for number in range(1, 1000):
        if sk not in participant.taken:
            break
        sk = f"{canonical[:-6]}{number:03}{canonical[-6:]}"
    item = schema.group_item(participant.owner, group, participant.other or schema.read_other(old), last.said, sk)
    if not item["user_uuid"]["S"]:  # an empty one would be taken for a person's
        del item["user_uuid"]
    return {**schema.undeclared(old), **item}


def _on_row(table: str, group: str, row: Item, verb: str) -> Action:
    """An action (Delete, ConditionCheck) on a row that has to be there still, as this conversation's."""
    return {verb: {"TableName": table, "Key": {"pk": row["pk"], "sk": row["sk"]}, **_still(group)}}


def _put(table: str, group: str, item: Item, *, over: bool) -> Action:
    """Put a row where this conversation's own stands (``over``), or where nothing does."""
    free = {"ConditionExpression": "attribute_not_exists(pk)"}
    return {"Put": {"TableName": table, "Item": item, **(_still(group) if over else free)}}


def _still(group: str) -> dict[str, Any]:
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

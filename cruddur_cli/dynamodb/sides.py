"""Who is in a conversation, and their group rows of it: read consistently, whatever is missing or doubled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from .client import DynamoDB
from .conversation import Person
from .messages import Item, partition, query, read_group, tail
from .tables import INDEX

# How far back the people of a conversation whose rows are lost are looked for among those who wrote.
_RECENT = 200
_START = datetime.min.replace(tzinfo=UTC)
# A time and the text written then: what puts group rows in order, so that two messages of one instant end the same in
# whatever order they come.
Age = tuple[datetime, str]


@dataclass(frozen=True)
class Side:
    """One person's side of a conversation: with whom, as far as is known, and their rows of it, newest first.

    ``taken`` holds the sort keys of their other conversations.
    """

    owner: str
    other: Person | None
    rows: tuple[Item, ...]
    taken: frozenset[str]


@dataclass(frozen=True)
class Sides:
    """Everybody whose row a message moves; ``missing`` says what cannot be known, ``stranger`` that the sender has no
    part in the conversation."""

    sides: tuple[Side, ...]
    missing: str | None = None
    stranger: bool = False

    def newest(self) -> Age:
        """The last message as the rows have it; the beginning of time where there is no row."""
        return max((age(row) for each in self.sides for row in each.rows), default=(_START, ""))


def find(dynamodb: DynamoDB, group: str, sender: Person, *, people: tuple[Person, Person] | None = None) -> Sides:
    """The sides of a conversation, read consistently from the table.

    ``people`` says whose they are. Otherwise the sender's own row names the other person; where it is lost, the index
    leads to the other side's; where both are, the messages say who wrote in the conversation.
    """
    if people is not None:
        first, second = people
        return Sides((side(dynamodb, group, first.uuid, second), side(dynamodb, group, second.uuid, first)))
    mine = side(dynamodb, group, sender.uuid)
    if mine.other is not None and mine.other.uuid == sender.uuid:
        return Sides((mine,))
    if mine.other is not None:
        return Sides((mine, side(dynamodb, group, mine.other.uuid, sender)))
    found = [side(dynamodb, group, owner) for owner in owners(dynamodb, group) if owner != sender.uuid]
    found = [each for each in found if each.rows]
    partners = [each for each in found if each.other is None or each.other.uuid == sender.uuid]
    if len(partners) == 1:
        (theirs,) = partners
        writers = [person for person in _writers(dynamodb, group) if person.uuid == theirs.owner]
        other = writers[0] if writers else Person(theirs.owner, None, None)
        return Sides((replace(mine, other=other), replace(theirs, other=_completed(sender, theirs.other))))
    who = f"{sender.handle or sender.uuid} and conversation {group}"
    if found:
        nobody = None if mine.rows else f"{who}: there is no group row, and those of others do not name them"
        return Sides((*([mine] if mine.rows else []), *found), nobody, stranger=not mine.rows)
    writers = _writers(dynamodb, group)
    others = [person for person in writers if person.uuid != sender.uuid]
    stranger = not mine.rows and all(person.uuid != sender.uuid for person in writers)
    if len(others) == 1:
        return Sides((replace(mine, other=others[0]), side(dynamodb, group, others[0].uuid, sender)), None, stranger)
    nobody = f"{who}: no group row and no message says who the other person is"
    return Sides((mine,) if mine.rows else (), nobody, stranger)


def between(
    dynamodb: DynamoDB, first: Person, second: Person, *, otherwise: str | None = None
) -> tuple[str, Sides] | None:
    """The conversation of two people and their sides of it, read consistently; the newest where they have several.

    People are known by their uuids alone: a handle may be somebody else's by now. ``otherwise`` is the conversation
    that they get where they have none.
    """
    theirs = {
        first.uuid: _read(dynamodb, **partition(f"GRP#{first.uuid}"), ConsistentRead=True),
        second.uuid: _read(dynamodb, **partition(f"GRP#{second.uuid}"), ConsistentRead=True),
    }
    found = [
        (age(row), read_group(row).message_group_uuid)
        for owner, other in ((first, second), (second, first))
        for row in theirs[owner.uuid]
        if read_group(row).user_uuid == other.uuid and read_group(row).message_group_uuid
    ]
    group = max(found)[1] if found else otherwise
    if group is None:
        return None
    mine = _sorted_out(theirs[first.uuid], group, first.uuid, second)
    return group, Sides((mine, _sorted_out(theirs[second.uuid], group, second.uuid, first)))


def _read(dynamodb: DynamoDB, **params: Any) -> list[Item]:
    return [item for page in query(dynamodb, **params) for item in page]


def side(dynamodb: DynamoDB, group: str, owner: str, other: Person | None = None) -> Side:
    """One person's side, read consistently; ``other`` where it is known who they speak with."""
    return _sorted_out(_read(dynamodb, **partition(f"GRP#{owner}"), ConsistentRead=True), group, owner, other)


def _sorted_out(items: list[Item], group: str, owner: str, other: Person | None) -> Side:
    rows = [item for item in items if read_group(item).message_group_uuid == group]
    taken = frozenset(item["sk"]["S"] for item in items if read_group(item).message_group_uuid != group)
    rows.sort(key=age, reverse=True)
    named = [person for person in map(_other, rows) if person.uuid and (other is None or person.uuid == other.uuid)]
    known = named[0] if named else None
    return Side(owner, _completed(other, known) if other else known, tuple(rows), taken)


def _other(row: Item) -> Person:
    group = read_group(row)
    return Person(group.user_uuid, group.user_handle, group.user_display_name)


def _completed(person: Person, known: Person | None) -> Person:
    """A person with the names that a row still has, where they have none themselves."""
    if known is None:
        return person
    return Person(person.uuid, person.handle or known.handle, person.display_name or known.display_name)


def age(row: Item) -> Age:
    """How new a group row is; the beginning of time where its sort key is no time."""
    group = read_group(row)
    return group.last_message_at or _START, group.message


def owners(dynamodb: DynamoDB, group: str) -> list[str]:
    """Whose rows the index knows, each once; it may be late, so their rows have to be read from the table."""
    key = {"KeyConditionExpression": "message_group_uuid = :g", "ExpressionAttributeValues": {":g": {"S": group}}}
    found = _read(dynamodb, IndexName=INDEX, **key)
    return list(dict.fromkeys(item["pk"]["S"].removeprefix("GRP#") for item in found))


def _writers(dynamodb: DynamoDB, group: str) -> list[Person]:
    """Who wrote the recent messages of a conversation, each once, by the names they had last."""
    found: dict[str, Person] = {}
    for message in reversed(tail(dynamodb, group, limit=_RECENT)):
        if message.user_uuid:
            found.setdefault(
                message.user_uuid, Person(message.user_uuid, message.user_handle, message.user_display_name)
            )
    return list(found.values())

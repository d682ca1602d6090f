"""Find the people of a conversation and their group rows, even if rows are missing or duplicated.

Rows are read consistently from the table. The index, which can lag behind, only says whose rows to read; ``handles``
alone takes its answer from the index.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ..client import DynamoDB
from ..schema import Item, Person, completed, in_group, read_group, read_other
from ..schema import sender as sender_of
from .queries import partition, query, tail

# If group rows are missing, the people of a conversation are the senders of this many last messages.
_RECENT = 200
_START = datetime.min.replace(tzinfo=UTC)
# The order of group rows: by the time of the last message, then by its text. The text decides between two messages with
# one time, so that the result does not depend on which message comes first.
Age = tuple[datetime, str]


@dataclass(frozen=True)
class Participant:
    """One person of a conversation, and their group rows of it, newest first.

    ``owner`` is the person's uuid. ``other`` is the other person, if known. ``taken`` holds the sort keys of the
    person's other conversations.
    """

    owner: str
    other: Person | None
    rows: tuple[Item, ...]
    taken: frozenset[str]


@dataclass(frozen=True)
class Participants:
    """The people whose group rows a message moves.

    ``missing`` says which group row cannot be created, and why. ``stranger`` is True if the sender is not part of the
    conversation.
    """

    people: tuple[Participant, ...]
    missing: str | None = None
    stranger: bool = False

    def newest(self) -> Age:
        """The age of the newest row; the earliest age if there is no row."""
        row = self.newest_row()
        return (_START, "") if row is None else age(row)

    def newest_row(self) -> Item | None:
        """The newest of all rows; None if there is no row."""
        return max((row for each in self.people for row in each.rows), key=age, default=None)


def find(
    dynamodb: DynamoDB, group: str, sender: Person, *, people: tuple[Person, Person] | None = None
) -> Participants:
    """The people of a conversation and their rows, read consistently from the table.

    If ``people`` is given, the rows of these two are read. Otherwise the sender's own row names the other person. If
    that row is missing, the index leads to the other person's row. If both are missing, the other person is the one who
    sent the last messages.
    """
    if people is not None:
        first, second = people
        return Participants((read(dynamodb, group, first.uuid, second), read(dynamodb, group, second.uuid, first)))
    own = read(dynamodb, group, sender.uuid)
    if own.other is not None and own.other.uuid == sender.uuid:
        return Participants((own,))
    if own.other is not None:
        return Participants((own, read(dynamodb, group, own.other.uuid, sender)))
    rest = [read(dynamodb, group, owner) for owner in owners(dynamodb, group) if owner != sender.uuid]
    rest = [participant for participant in rest if participant.rows]
    partners = [each for each in rest if each.other is None or each.other.uuid == sender.uuid]
    if len(partners) == 1:
        (partner,) = partners
        writers = [person for person in _writers(dynamodb, group) if person.uuid == partner.owner]
        other = writers[0] if writers else Person(partner.owner, None, None)
        return Participants((replace(own, other=other), replace(partner, other=completed(sender, partner.other))))
    who = f"{sender.handle or sender.uuid} and conversation {group}"
    if rest:
        missing = None if own.rows else f"{who}: there is no group row, and the other people's rows do not name them"
        return Participants((*([own] if own.rows else []), *rest), missing, stranger=not own.rows)
    writers = _writers(dynamodb, group)
    others = [person for person in writers if person.uuid != sender.uuid]
    stranger = not own.rows and all(person.uuid != sender.uuid for person in writers)
    if len(others) == 1:
        return Participants(
            (replace(own, other=others[0]), read(dynamodb, group, others[0].uuid, sender)), None, stranger
        )
    missing = f"{who}: no group row and no message says who the other person is"
    return Participants((own,) if own.rows else (), missing, stranger)


def between(
    dynamodb: DynamoDB, first: Person, second: Person, *, prefer: str | None = None, otherwise: str | None = None
) -> tuple[str, Participants] | None:
    """The id of the conversation of two people, and their rows of it, read consistently.

    If they have several conversations, it is the one with the id ``prefer``, or else the newest. If they have none, it
    is ``otherwise``; without that, None is returned. People are compared by uuid only, because a handle may now belong
    to another person.
    """
    rows_of = {
        first.uuid: _read(dynamodb, **partition(f"GRP#{first.uuid}"), ConsistentRead=True),
        second.uuid: _read(dynamodb, **partition(f"GRP#{second.uuid}"), ConsistentRead=True),
    }
    shared = [
        (age(row), read_group(row).message_group_uuid)
        for owner, other in ((first, second), (second, first))
        for row in rows_of[owner.uuid]
        if read_group(row).user_uuid == other.uuid and read_group(row).message_group_uuid
    ]
    groups = [group for _, group in sorted(shared, reverse=True)]
    group = prefer if prefer in groups else groups[0] if groups else otherwise
    if group is None:
        return None
    participant = _participant(rows_of[first.uuid], group, first.uuid, second)
    return group, Participants((participant, _participant(rows_of[second.uuid], group, second.uuid, first)))


def _read(dynamodb: DynamoDB, **params: Any) -> list[Item]:
    return [item for page in query(dynamodb, **params) for item in page]


def read(dynamodb: DynamoDB, group: str, owner: str, other: Person | None = None) -> Participant:
    """The participant with the uuid ``owner``, read consistently. Pass ``other`` if the other person is known."""
    return _participant(_read(dynamodb, **partition(f"GRP#{owner}"), ConsistentRead=True), group, owner, other)


def _participant(items: list[Item], group: str, owner: str, other: Person | None) -> Participant:
    """The participant ``owner`` of a conversation, from all group rows of that person."""
    rows = [item for item in items if read_group(item).message_group_uuid == group]
    taken = frozenset(item["sk"]["S"] for item in items if read_group(item).message_group_uuid != group)
    rows.sort(key=age, reverse=True)
    named = [person for person in map(read_other, rows) if person.uuid and (other is None or person.uuid == other.uuid)]
    known = named[0] if named else None
    return Participant(owner, completed(other, known) if other else known, tuple(rows), taken)


def age(row: Item) -> Age:
    """The time and text of a group row's last message; the earliest time if its sort key is not a time."""
    group = read_group(row)
    return group.last_message_at or _START, group.message


def owners(dynamodb: DynamoDB, group: str) -> list[str]:
    """The uuids of the people who have a group row in the index, each once.

    The index can lag behind the table, so read their rows from the table.
    """
    return list(dict.fromkeys(item["pk"]["S"].removeprefix("GRP#") for item in _index_rows(dynamodb, group)))


def handles(dynamodb: DynamoDB, group: str) -> set[str]:
    """The handles in a conversation's rows of the index; each row has the handle of the other person."""
    return {handle for item in _index_rows(dynamodb, group) if (handle := read_group(item).user_handle)}


def _index_rows(dynamodb: DynamoDB, group: str) -> list[Item]:
    return _read(dynamodb, **in_group(group))


def members(dynamodb: DynamoDB, group: str) -> set[str]:
    """The uuids of the people of a conversation; empty if there is no such conversation.

    They are the people of its group rows, which are read consistently. Without group rows, they are the senders of the
    last messages.
    """
    uuids: set[str] = set()
    for owner in owners(dynamodb, group):
        participant = read(dynamodb, group, owner)
        if participant.rows:
            uuids |= {owner, *([participant.other.uuid] if participant.other else [])}
    return uuids or {person.uuid for person in _writers(dynamodb, group)}


def _writers(dynamodb: DynamoDB, group: str) -> list[Person]:
    """The senders of the last messages of a conversation, each once, with the names of their last message."""
    writers: dict[str, Person] = {}
    for message in reversed(tail(dynamodb, group, limit=_RECENT)):
        if message.user_uuid:
            writers.setdefault(message.user_uuid, sender_of(message))
    return list(writers.values())

"""Who is in a conversation, and their group rows of it: read consistently, also where rows are missing or doubled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ..client import DynamoDB
from ..schema import Item, Person, completed, in_group, read_group, read_other
from ..schema import sender as sender_of
from .queries import partition, query, tail

# How far back the people of a conversation whose rows are lost are looked for among those who wrote.
_RECENT = 200
_START = datetime.min.replace(tzinfo=UTC)
# A time and the text written then: what puts group rows in order, so that two messages of one instant end the same in
# any order they come.
Age = tuple[datetime, str]


@dataclass(frozen=True)
class Participant:
    """One person's side of a conversation: with whom, as far as is known, and their rows of it, newest first.

    ``taken`` holds the sort keys of their other conversations.
    """

    owner: str
    other: Person | None
    rows: tuple[Item, ...]
    taken: frozenset[str]


@dataclass(frozen=True)
class Participants:
    """The people whose rows a message moves; ``missing`` says what cannot be known, ``stranger`` that the sender has no
    part in the conversation."""

    people: tuple[Participant, ...]
    missing: str | None = None
    stranger: bool = False

    def newest(self) -> Age:
        """The last message as the rows have it; the beginning of time where there is no row."""
        row = self.newest_row()
        return (_START, "") if row is None else age(row)

    def newest_row(self) -> Item | None:
        """The row that says so."""
        return max((row for each in self.people for row in each.rows), key=age, default=None)


def find(
    dynamodb: DynamoDB, group: str, sender: Person, *, people: tuple[Person, Person] | None = None
) -> Participants:
    """The people of a conversation and their rows, read consistently from the table.

    ``people`` says whose they are. Otherwise the sender's own row names the other person; where it is lost, the index
    leads to the other side's; where both are, the messages say who wrote in the conversation.
    """
    if people is not None:
        first, second = people
        return Participants((read(dynamodb, group, first.uuid, second), read(dynamodb, group, second.uuid, first)))
    mine = read(dynamodb, group, sender.uuid)
    if mine.other is not None and mine.other.uuid == sender.uuid:
        return Participants((mine,))
    if mine.other is not None:
        return Participants((mine, read(dynamodb, group, mine.other.uuid, sender)))
    found = [read(dynamodb, group, owner) for owner in owners(dynamodb, group) if owner != sender.uuid]
    found = [each for each in found if each.rows]
    partners = [each for each in found if each.other is None or each.other.uuid == sender.uuid]
    if len(partners) == 1:
        (theirs,) = partners
        writers = [person for person in _writers(dynamodb, group) if person.uuid == theirs.owner]
        other = writers[0] if writers else Person(theirs.owner, None, None)
        return Participants((replace(mine, other=other), replace(theirs, other=completed(sender, theirs.other))))
    who = f"{sender.handle or sender.uuid} and conversation {group}"
    if found:
        missing = None if mine.rows else f"{who}: there is no group row, and the other people's rows do not name them"
        return Participants((*([mine] if mine.rows else []), *found), missing, stranger=not mine.rows)
    writers = _writers(dynamodb, group)
    others = [person for person in writers if person.uuid != sender.uuid]
    stranger = not mine.rows and all(person.uuid != sender.uuid for person in writers)
    if len(others) == 1:
        return Participants(
            (replace(mine, other=others[0]), read(dynamodb, group, others[0].uuid, sender)), None, stranger
        )
    missing = f"{who}: no group row and no message says who the other person is"
    return Participants((mine,) if mine.rows else (), missing, stranger)


def between(
    dynamodb: DynamoDB, first: Person, second: Person, *, prefer: str | None = None, otherwise: str | None = None
) -> tuple[str, Participants] | None:
    """The conversation of two people and their rows of it, read consistently.

    Where they have several it is ``prefer``, else the newest. People are known by their uuids alone: a handle may be
    another person's by now. ``otherwise`` is the conversation that they get where they have none.
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
    groups = [group for _, group in sorted(found, reverse=True)]
    group = prefer if prefer in groups else groups[0] if groups else otherwise
    if group is None:
        return None
    mine = _sorted_out(theirs[first.uuid], group, first.uuid, second)
    return group, Participants((mine, _sorted_out(theirs[second.uuid], group, second.uuid, first)))


def _read(dynamodb: DynamoDB, **params: Any) -> list[Item]:
    return [item for page in query(dynamodb, **params) for item in page]


def read(dynamodb: DynamoDB, group: str, owner: str, other: Person | None = None) -> Participant:
    """One person's side, read consistently; ``other`` where it is known who they speak with."""
    return _sorted_out(_read(dynamodb, **partition(f"GRP#{owner}"), ConsistentRead=True), group, owner, other)


def _sorted_out(items: list[Item], group: str, owner: str, other: Person | None) -> Participant:
    rows = [item for item in items if read_group(item).message_group_uuid == group]
    taken = frozenset(item["sk"]["S"] for item in items if read_group(item).message_group_uuid != group)
    rows.sort(key=age, reverse=True)
    named = [person for person in map(read_other, rows) if person.uuid and (other is None or person.uuid == other.uuid)]
    known = named[0] if named else None
    return Participant(owner, completed(other, known) if other else known, tuple(rows), taken)


def age(row: Item) -> Age:
    """How new a group row is; the beginning of time where its sort key is no time."""
    group = read_group(row)
    return group.last_message_at or _START, group.message


def owners(dynamodb: DynamoDB, group: str) -> list[str]:
    """Whose rows the index knows, each once; it may be late, so their rows have to be read from the table."""
    return list(dict.fromkeys(item["pk"]["S"].removeprefix("GRP#") for item in _index_rows(dynamodb, group)))


def handles(dynamodb: DynamoDB, group: str) -> set[str]:
    """The handles that the index's rows of a conversation name: each row that of the other person."""
    return {handle for item in _index_rows(dynamodb, group) if (handle := read_group(item).user_handle)}


def _index_rows(dynamodb: DynamoDB, group: str) -> list[Item]:
    return _read(dynamodb, **in_group(group))


def members(dynamodb: DynamoDB, group: str) -> set[str]:
    """Whose conversation it is: the people of its group rows, else those who wrote lately; empty where it is not there.

    The index only says whose rows to read; the rows are read consistently.
    """
    found: set[str] = set()
    for owner in owners(dynamodb, group):
        theirs = read(dynamodb, group, owner)
        if theirs.rows:
            found |= {owner, *([theirs.other.uuid] if theirs.other else [])}
    return found or {person.uuid for person in _writers(dynamodb, group)}


def _writers(dynamodb: DynamoDB, group: str) -> list[Person]:
    """Who wrote the recent messages of a conversation, each once, by the names they had last."""
    found: dict[str, Person] = {}
    for message in reversed(tail(dynamodb, group, limit=_RECENT)):
        if message.user_uuid:
            found.setdefault(message.user_uuid, sender_of(message))
    return list(found.values())

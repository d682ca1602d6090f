"""Start conversations and add messages (access patterns C and D).

One transaction writes the message and both group rows: all of them or nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from ... import times
from ...errors import BadInput, CruddurError, NotFound
from ..client import DynamoDB
from ..schema import Message, Person, written_by
from . import group_rows, message_ids, participants
from .group_rows import KeyTaken, Moved
from .participants import Participants
from .queries import check_size, created_at, tail

# AWS refuses a request whose time differs from AWS's clock by more than 5 minutes ("Signature Version 4"). If a message
# is ahead of this machine's clock by less, its sender's clock was ahead, and the next message comes a microsecond after
# it. If it is ahead by more, its time is wrong, and is ignored.
SKEW = timedelta(minutes=5)
# A message whose id contains no time is searched for among this many last messages.
_RECENT = 200
_KEY_LIMIT = 2048
_MAX_ATTEMPTS = 20
# `last_lines` reads this many more messages than it returns: sort keys with other offsets can be later than the sent
# message's key.
_LOOKBACK = 20
# The namespace of the ids (UUID version 5) that this module gives to conversations.
_CONVERSATIONS = uuid.UUID("8a3f5a0e-52c4-5d43-9a3c-6f0b3c1f6a51")


@dataclass(frozen=True)
class Sent:
    """The result of sending a message.

    ``written`` is False if the message was stored before. ``started`` is True if the conversation had no group row.
    """

    message_group_uuid: str
    message: Message
    written: bool
    started: bool
    moved: Moved


def check(text: str, *, sender: Person | None = None, receiver: Person | None = None, group: str | None = None) -> None:
    """Raise BadInput if these arguments cannot make a message. Sends no request."""
    for what, value in (("The message", text), ("The conversation's id", group or "")):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadInput(f"{what} is not Unicode text (character {error.start + 1}).", code="not_text") from error
    if not text.strip():
        raise BadInput("The message is empty.", code="empty_message")
    if group is not None and not 0 < len(group.encode()) <= _KEY_LIMIT - len("CLAIM#"):
        raise BadInput("A conversation's id is a text of 1 to 2,042 bytes.")
    if sender is not None and receiver is not None and sender.uuid == receiver.uuid:
        raise BadInput(
            f"{sender.handle or sender.uuid} cannot write to themselves: a conversation needs two people.",
            code="same_person",
        )
    if sender is not None:
        # This id is as long as every id of cruddur. The id of an existing conversation is checked once it is known.
        any_uuid = str(_CONVERSATIONS)
        written = written_by(sender, text, message_uuid=any_uuid, at=times.now())
        check_size(group or any_uuid, written, [sender, *([receiver] if receiver else [])])


def group_of(first: Person, second: Person) -> str:
    """The id of a new conversation of two people. Their order does not matter, so both get the same conversation if
    they start it at the same time."""
    return str(uuid.uuid5(_CONVERSATIONS, " ".join(sorted((first.uuid, second.uuid)))))


def start(
    dynamodb: DynamoDB,
    sender: Person,
    receiver: Person,
    text: str,
    *,
    message_uuid: str | None = None,
    clock: Callable[[], datetime] = times.now,
    dry_run: bool = False,
) -> Sent:
    """Send a message to a person, and start a conversation if the two people have none. See ``send``."""
    check(text, sender=sender, receiver=receiver)
    draft = _Draft(text, sender, message_uuid, clock)
    with draft.id_in_errors():
        between = participants.between(dynamodb, sender, receiver, otherwise=group_of(sender, receiver))
        assert between is not None
        group, known = between
        return _deliver(dynamodb, group, known, draft, people=(sender, receiver), dry_run=dry_run)


def send(
    dynamodb: DynamoDB,
    sender: Person,
    text: str,
    *,
    group: str | None = None,
    receiver: Person | None = None,
    prefer: str | None = None,
    message_uuid: str | None = None,
    clock: Callable[[], datetime] = times.now,
    dry_run: bool = False,
) -> Sent:
    """Add a message to the conversation with the id ``group``, or to the one of ``sender`` and ``receiver``.

    If the two people have several conversations, it is the one with the id ``prefer``, or else the newest.

    A message with a ``message_uuid`` is stored once, however often it is sent. An id that cruddur generated contains
    the time, and so determines the sort key. A message with another id is searched for among the last 200 messages.
    Without an id, or with one that contains no time, the message gets the time of ``clock``. If the conversation's last
    message is ahead of ``clock`` by at most ``SKEW``, it gets a time one microsecond after that message.

    Raises BadInput before anything is written, and NotFound if there is no such conversation or the sender is not in
    it. Every error of a store has the message's id in ``fields["message_uuid"]``, so that the caller can send the same
    message again.
    """
    check(text, sender=sender, receiver=receiver, group=group)
    draft = _Draft(text, sender, message_uuid, clock)
    with draft.id_in_errors():
        if group is not None:
            known = participants.find(dynamodb, group, sender)
            if known.stranger or known.missing:
                raise _not_in(dynamodb, group, sender, known)
            return _deliver(dynamodb, group, known, draft, people=None, dry_run=dry_run)
        if receiver is None:
            raise BadInput("A message needs a conversation or a receiver.")
        between = participants.between(dynamodb, sender, receiver, prefer=prefer)
        if between is None:
            raise NotFound(
                f"{_name(sender)} and {_name(receiver)} have no conversation in table {dynamodb.table!r}.",
                hint=f"cruddur ddb start-conversation --from {_name(sender)} --to {_name(receiver)} TEXT",
                code="conversation_not_found",
            )
        return _deliver(dynamodb, *between, draft, people=(sender, receiver), dry_run=dry_run)


def _name(person: Person) -> str:
    return person.handle or person.uuid


def _not_in(dynamodb: DynamoDB, group: str, sender: Person, known: Participants) -> NotFound:
    hint = f"cruddur ddb list-conversations {_name(sender)}"
    if not known.people and not tail(dynamodb, group, limit=1):
        return NotFound(
            f"There is no conversation {group!r} in table {dynamodb.table!r}.", hint=hint, code="conversation_not_found"
        )
    if known.stranger:
        return NotFound(
            f"{_name(sender)} is not part of conversation {group!r}: nothing was written.",
            hint=hint,
            code="not_in_conversation",
        )
    return NotFound(f"Nothing was written: {known.missing}.", hint=hint, code="group_rows_lost")


class _Draft:
    """A message that is being sent, with its id and its time.

    The id contains the time, unless the caller gave an id that contains none.
    """

    def __init__(self, text: str, sender: Person, message_uuid: str | None, clock: Callable[[], datetime]) -> None:
        self.text = text
        self.sender = sender
        self.clock = clock
        self.id_is_given = message_uuid is not None
        self.at = clock()
        id_time = message_ids.written_at(message_uuid) if message_uuid is not None else self.at
        self.id_has_time = id_time is not None
        if message_uuid is None:
            self.uuid = message_ids.generate(self.at)
            return
        if not message_uuid.strip() or not message_uuid.isprintable() or len(message_uuid) > 200:
            raise BadInput("--message-uuid is not an id of a message.", code="not_a_message_uuid")
        self.uuid = message_uuid
        if id_time is None:
            return
        self.uuid = str(uuid.UUID(message_uuid))
        if id_time > self.at + SKEW:
            raise BadInput(f"The id {message_uuid} contains a time in the future: {id_time:%Y-%m-%d %H:%M:%SZ}.")
        self.at = id_time

    def move_after(self, newest: datetime) -> None:
        """Set a time after ``newest``, unless the given id contains the time.

        If ``newest`` is more than ``SKEW`` ahead of the clock, the clock's time is used.
        """
        if self.id_is_given and self.id_has_time:
            return
        now = self.clock()
        self.at = newest + timedelta(microseconds=1) if now <= newest <= now + SKEW else now
        if not self.id_is_given:
            self.uuid = message_ids.generate(self.at)

    def message(self) -> Message:
        return written_by(self.sender, self.text, message_uuid=self.uuid, at=self.at)

    @contextmanager
    def id_in_errors(self) -> Iterator[None]:
        """Add the message's id to the fields of every error in the block, so that the message can be sent again."""
        try:
            yield
        except CruddurError as error:
            raise error.changed(fields={"message_uuid": self.uuid, **error.fields}) from error


def _deliver(
    dynamodb: DynamoDB,
    group: str,
    known: Participants,
    draft: _Draft,
    *,
    people: tuple[Person, Person] | None,
    dry_run: bool,
) -> Sent:
    started = not any(participant.rows for participant in known.people)
    draft.move_after(known.newest()[0])
    others = [participant.other for participant in known.people if participant.other is not None]
    check_size(group, draft.message(), others)
    stored: Message | None = None

    def find_stored() -> Message | None:
        nonlocal stored
        stored = stored or _find(dynamodb, group, draft.message())
        return stored

    if draft.id_is_given and draft.id_has_time and group_rows.is_stored(dynamodb, group, draft.message()):
        stored = draft.message()
    for attempt in range(_MAX_ATTEMPTS):
        try:
            moved = group_rows.advance(
                dynamodb,
                group,
                draft.message(),
                people=people,
                write_message=stored is None,
                find_stored=None if draft.id_has_time else find_stored,
                known=None if attempt else known,
                dry_run=dry_run,
            )
            break
        except KeyTaken:
            if (draft.id_is_given and draft.id_has_time) or attempt == _MAX_ATTEMPTS - 1:
                raise
            draft.move_after(draft.at)
    return Sent(group, stored or draft.message(), stored is None, started, moved)


def last_lines(dynamodb: DynamoDB, sent: Sent, *, limit: int) -> list[Message]:
    """The last ``limit`` messages of the conversation after sending, oldest first.

    The sent message is among them unless so many messages are newer.
    """
    messages = tail(dynamodb, sent.message_group_uuid, limit=limit + _LOOKBACK)
    if all(message.message_uuid != sent.message.message_uuid for message in messages):
        messages = sorted([*messages, sent.message], key=created_at)
    return messages[-limit:]


def _find(dynamodb: DynamoDB, group: str, message: Message) -> Message | None:
    """The stored message with the id of ``message`` among the last 200 messages; None if it is not there.

    Raises Refused if the stored message has another text or sender.
    """
    for stored in tail(dynamodb, group, limit=_RECENT):
        if stored.message_uuid == message.message_uuid:
            group_rows.check_same(group, stored, message)
            return stored
    return None

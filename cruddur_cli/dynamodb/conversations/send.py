"""Starts conversations and adds messages (access patterns C and D): the message and both group rows, or nothing."""

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

# AWS refuses requests whose clock is further off than this ("Signature Version 4": 5 minutes), so a message that is
# newer than our clock by less was sent by a machine whose clock is ahead; by more, its time is not used.
SKEW = timedelta(minutes=5)
# How far back a message is looked for whose id does not tell when it was written.
_RECENT = 200
_KEY_LIMIT = 2048
_TRIES = 20
# Keys read beyond the lines that are shown: those of messages with other offsets may stand behind the sent one's.
_LOOKBACK = 20
# The namespace of our conversations' ids.
_CONVERSATIONS = uuid.UUID("8a3f5a0e-52c4-5d43-9a3c-6f0b3c1f6a51")


@dataclass(frozen=True)
class Sent:
    """The result of sending: ``written`` is False for a message that was stored before, ``started`` True for the first
    of a conversation."""

    message_group_uuid: str
    message: Message
    written: bool
    started: bool
    moved: Moved


def check(text: str, *, sender: Person | None = None, receiver: Person | None = None, group: str | None = None) -> None:
    """Raise BadInput if the text, sender, receiver or conversation cannot make a message. Asks no store."""
    for what, value in (("The message", text), ("The conversation's id", group or "")):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadInput(f"{what} is not Unicode text (character {error.start + 1}).", code="not_text") from error
    if not text.strip():
        raise BadInput("The message is empty.", code="empty_message")
    if group is not None and not 0 < len(f"MSG#{group}".encode()) - 4 <= _KEY_LIMIT - len("CLAIM#"):
        raise BadInput("A conversation's id is a text of 1 to 2,042 bytes.")
    if sender is not None and receiver is not None and sender.uuid == receiver.uuid:
        raise BadInput(
            f"{sender.handle or sender.uuid} cannot write to themselves: a conversation needs two people.",
            code="same_person",
        )
    if sender is not None:
        # As long as any id of cruddur: what an existing conversation's own takes is checked when it is known.
        written = written_by(sender, text, message_uuid=str(uuid.UUID(int=0)), at=times.now())
        check_size(group or str(uuid.UUID(int=0)), written, [sender, *([receiver] if receiver else [])])


def group_of(first: Person, second: Person) -> str:
    """The id that a new conversation of two people gets. It is the same for both, so two who start at once share it."""
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
    """Send the first message to a person; one more, if the two have a conversation. Otherwise as ``send``."""
    check(text, sender=sender, receiver=receiver)
    draft = _Draft(text, sender, message_uuid, clock)
    with draft.named():
        between = participants.between(dynamodb, sender, receiver, otherwise=group_of(sender, receiver))
        assert between is not None
        group, found = between
        return _deliver(dynamodb, group, found, draft, people=(sender, receiver), dry_run=dry_run)


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
    """Add a message to a conversation: the one with the id ``group``, else the one with ``receiver``.

    Where the two have several it is ``prefer``, else the newest.

    With ``message_uuid`` it is stored once however often it is sent. An id of cruddur has the time, and so the key;
    one of another kind is looked for among the last 200 messages. The time is the clock's, or a microsecond
    after a message that is newer than the clock by less than ``SKEW``.

    Raises BadInput before anything is asked, NotFound where there is no such conversation or the sender is not in it,
    Refused and CannotConnect with the id in ``fields["message_uuid"]``, so that it can be sent again.
    """
    check(text, sender=sender, receiver=receiver, group=group)
    draft = _Draft(text, sender, message_uuid, clock)
    with draft.named():
        if group is not None:
            found = participants.find(dynamodb, group, sender)
            if found.stranger or found.missing:
                raise _not_in(dynamodb, group, sender, found)
            return _deliver(dynamodb, group, found, draft, people=None, dry_run=dry_run)
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


def _not_in(dynamodb: DynamoDB, group: str, sender: Person, found: Participants) -> NotFound:
    hint = f"cruddur ddb list-conversations {_name(sender)}"
    if not found.people and not tail(dynamodb, group, limit=1):
        return NotFound(
            f"There is no conversation {group!r} in table {dynamodb.table!r}.", hint=hint, code="conversation_not_found"
        )
    if found.stranger:
        return NotFound(
            f"{_name(sender)} is not part of conversation {group!r}: nothing was written.",
            hint=hint,
            code="not_in_conversation",
        )
    return NotFound(f"Nothing was written: {found.missing}.", hint=hint, code="group_rows_lost")


class _Draft:
    """A message that is on its way: its id and its time, which belong together unless the id is of another kind."""

    def __init__(self, text: str, sender: Person, message_uuid: str | None, clock: Callable[[], datetime]) -> None:
        self.text = text
        self.sender = sender
        self.clock = clock
        self.given = message_uuid is not None
        self.at = clock()
        said = message_ids.written_at(message_uuid) if message_uuid is not None else self.at
        self.dated = said is not None
        """Whether the id says the time."""
        if message_uuid is None:
            self.uuid = message_ids.generate(self.at)
            return
        if not message_uuid.strip() or not message_uuid.isprintable() or len(message_uuid) > 200:
            raise BadInput("--message-uuid is not an id of a message.", code="not_a_message_uuid")
        self.uuid = message_uuid
        if said is None:
            return
        self.uuid = str(uuid.UUID(message_uuid))
        if said > self.at + SKEW:
            raise BadInput(f"The id {message_uuid} contains a time in the future: {said:%Y-%m-%d %H:%M:%SZ}.")
        self.at = said

    def after(self, newest: datetime) -> None:
        """Take a time that is not before ``newest``, if cruddur chooses the time."""
        if self.given and self.dated:
            return
        now = self.clock()
        self.at = newest + timedelta(microseconds=1) if now <= newest <= now + SKEW else now
        if not self.given:
            self.uuid = message_ids.generate(self.at)

    def message(self) -> Message:
        return written_by(self.sender, self.text, message_uuid=self.uuid, at=self.at)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors carry the id, so that the same message can be sent again."""
        try:
            yield
        except CruddurError as error:
            raise error.changed(fields={"message_uuid": self.uuid, **error.fields}) from error


def _deliver(
    dynamodb: DynamoDB,
    group: str,
    found: Participants,
    draft: _Draft,
    *,
    people: tuple[Person, Person] | None,
    dry_run: bool,
) -> Sent:
    started = not any(participant.rows for participant in found.people)
    draft.after(found.newest()[0])
    others = [participant.other for participant in found.people if participant.other is not None]
    check_size(group, draft.message(), others)
    stored: Message | None = None

    def look() -> Message | None:
        nonlocal stored
        stored = stored or _find(dynamodb, group, draft.message())
        return stored

    if draft.given and draft.dated and group_rows.is_stored(dynamodb, group, draft.message()):
        stored = draft.message()
    for tries in range(_TRIES):
        try:
            moved = group_rows.advance(
                dynamodb,
                group,
                draft.message(),
                people=people,
                write_message=stored is None,
                look=None if draft.dated else look,
                found=None if tries else found,
                dry_run=dry_run,
            )
            break
        except KeyTaken:
            if (draft.given and draft.dated) or tries == _TRIES - 1:
                raise
            draft.after(draft.at)
    return Sent(group, stored or draft.message(), stored is None, started, moved)


def last_lines(dynamodb: DynamoDB, sent: Sent, *, limit: int) -> list[Message]:
    """The conversation's last messages after sending, oldest first, the sent one among them unless it is older."""
    there = tail(dynamodb, sent.message_group_uuid, limit=limit + _LOOKBACK)
    if all(message.message_uuid != sent.message.message_uuid for message in there):
        there = sorted([*there, sent.message], key=created_at)
    return there[-limit:]


def _find(dynamodb: DynamoDB, group: str, message: Message) -> Message | None:
    """The message with that id among the last ones. Raises Refused where it has another text or sender."""
    for stored in tail(dynamodb, group, limit=_RECENT):
        if stored.message_uuid == message.message_uuid:
            group_rows.check_same(group, stored, message)
            return stored
    return None

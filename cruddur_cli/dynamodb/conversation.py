"""What a conversation is: its records, how one is written as text, and the rows that a written one becomes. Pure."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from ..errors import BadInput

STEP = timedelta(minutes=1)
_LINE = re.compile(r"Person ([12]):[ \t]?(.*)", re.DOTALL)
_SHOWN_FAULTS = 5


@dataclass(frozen=True)
class Person:
    """Somebody in a conversation, as the rows name them."""

    uuid: str
    handle: str | None
    display_name: str | None


@dataclass(frozen=True)
class Message:
    """One message; the user is its sender. ``created_at`` is None where the row's sort key is no time."""

    message_uuid: str
    user_uuid: str
    user_handle: str | None
    user_display_name: str | None
    message: str
    created_at: datetime | None


@dataclass(frozen=True)
class MessageGroup:
    """A conversation as one of its two people sees it; the user is the other one."""

    message_group_uuid: str
    user_uuid: str
    user_handle: str | None
    user_display_name: str | None
    message: str
    last_message_at: datetime | None


@dataclass(frozen=True)
class Line:
    """One line of a written conversation: ``speaker`` is 1 or 2, ``number`` counts from 1."""

    number: int
    speaker: int
    text: str


def parse(content: bytes, source: str) -> list[Line]:
    """The lines of a written conversation, ``Person 1: …`` and ``Person 2: …``; blank ones are passed over.

    A byte-order mark and Windows line ends are no part of it. Raises BadInput with file and line for anything else,
    and where there is no message at all.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise BadInput(f"{source}, line {number}: not UTF-8.", hint="save the file as UTF-8") from error
    lines, faults = [], []
    # Not splitlines(): form feeds and the Unicode separators belong to the text.
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r")
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            faults.append(f"{source}, line {number}: {_clip(line)}")
        elif not found[2].strip():
            faults.append(f"{source}, line {number}: there is no text after Person {found[1]}")
        else:
            lines.append(Line(number, int(found[1]), found[2]))
    if faults:
        more = f"\n… and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        raise BadInput(
            f"{faults[0].partition(': ')[0]} is not a line of a conversation: nothing was written.",
            details="\n".join(faults[:_SHOWN_FAULTS]) + more,
            hint="a line reads `Person 1: hello` or `Person 2: hello`",
            code="malformed_script",
        )
    if not lines:
        raise BadInput(
            f"{source} holds no message: nothing was written.",
            hint="a line reads `Person 1: hello`",
            code="empty_script",
        )
    return lines


def _clip(line: str) -> str:
    return line if len(line) <= 60 else f"{line[:59]}…"


def compose(
    lines: Sequence[Line], people: tuple[Person, Person], *, group: str, start: datetime, count: int
) -> Iterator[Message]:
    """``count`` messages from ``start`` on, a minute apart; the lines are repeated as often as that takes.

    The ids depend on the group and the position alone, so that seeding again replaces what it once seeded.
    """
    for position in range(count):
        line = lines[position % len(lines)]
        person = people[line.speaker - 1]
        yield Message(
            message_uuid=seeded_uuid(group, position),
            user_uuid=person.uuid,
            user_handle=person.handle,
            user_display_name=person.display_name,
            message=line.text,
            created_at=start + position * STEP,
        )


def start_for(count: int, now: datetime, *, seeded_start: datetime | None = None) -> datetime:
    """When a seeded conversation of ``count`` messages begins: where it began before, as long as its end is past.

    A new one ends before the current hour, so that two people who seed at once choose the same times. Raises BadInput
    for more minutes than there have been.
    """
    if seeded_start is not None and count - 1 < (now - seeded_start) / STEP:
        return seeded_start
    hour = now.replace(minute=0, second=0, microsecond=0)
    try:
        return hour - count * STEP
    except OverflowError as error:
        raise BadInput(f"{count:,} messages, a minute apart, would begin before the year 1.") from error


def seeded_uuid(group: str, position: int) -> str:
    """The id of a seeded message: a version-8 UUID (RFC 9562) that carries its position in the last 48 bits.

    Raises OverflowError for a position that has more bits.
    """
    if not 0 <= position < 1 << 48:
        raise OverflowError(position)
    return f"{_seeded_start(group)}{position:012x}"


@cache
def _seeded_start(group: str) -> str:
    digest = bytearray(hashlib.blake2b(f"cruddur seed {group}".encode(), digest_size=10).digest())
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest) + bytes(6)))[:24]


def seeded_position(group: str, message_uuid: str) -> int | None:
    """The position that a seeded message's id carries; None for a message that somebody wrote."""
    try:
        position = int(message_uuid[-12:], 16)
        return position if seeded_uuid(group, position) == message_uuid else None
    except (ValueError, OverflowError):
        return None

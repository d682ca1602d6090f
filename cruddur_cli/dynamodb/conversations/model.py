"""A conversation that is written as text, and the messages that it becomes; its records are the schema's. Pure."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from ...errors import BadInput
from ..schema import Message, MessageGroup, Person, written_by

__all__ = [
    "Line",
    "Message",
    "MessageGroup",
    "Person",
    "Schedule",
    "compose",
    "parse",
    "schedule_for",
    "seeded_position",
    "seeded_uuid",
]

STEP = timedelta(minutes=1)
_TICK = timedelta(microseconds=1)
_LINE = re.compile(r"Person ([12]):[ \t]?(.*)", re.DOTALL)
_SHOWN_FAULTS = 5


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


@dataclass(frozen=True)
class Schedule:
    """When the messages of a seeded conversation were written: the first one at ``start``, then one each ``step``."""

    start: datetime
    step: timedelta = STEP

    def at(self, position: int) -> datetime:
        """When the message at this position was written."""
        return self.start + position * self.step

    @classmethod
    def through(cls, *points: tuple[int, datetime]) -> Schedule:
        """The schedule that two messages lie on, or one: each is a position and a time.

        A pause between two that no seeding makes is none of a schedule: then the first one counts, with minutes.
        """
        position, moment = points[0]
        step = STEP
        if len(points) > 1:
            number = points[1][0] - position
            pause, rest = divmod((points[1][1] - moment) // _TICK, number) if number > 0 else (0, 0)
            if 0 < pause <= STEP // _TICK and not rest:
                step = pause * _TICK
        return cls(moment - position * step, step)


def compose(
    lines: Sequence[Line], people: tuple[Person, Person], *, group: str, schedule: Schedule, count: int
) -> Iterator[Message]:
    """``count`` messages as ``schedule`` says; the lines are repeated as often as that takes.

    The ids depend on the group and the position alone, so that seeding again replaces what it once seeded.
    """
    for position in range(count):
        line = lines[position % len(lines)]
        person = people[line.speaker - 1]
        yield written_by(person, line.text, message_uuid=seeded_uuid(group, position), at=schedule.at(position))


def schedule_for(count: int, now: datetime, *, year: int, seeded: Schedule | None = None) -> Schedule:
    """When ``count`` seeded messages are written: as they were before (``seeded``), as long as their end is past.

    New ones end before the current hour, so that two people who seed at once choose the same times. They end in
    ``year``, the only one that the application shows: where its first hour is not over, the pauses shrink to what has
    passed of it. Where it has not begun in UTC, which sort keys are written in, they end before it.

    Raises BadInput for more minutes than there have been.
    """
    if seeded is not None and count - 1 < (now - seeded.start) / seeded.step:
        return seeded
    begin = datetime(year, 1, 1, tzinfo=UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    if hour <= begin < now:
        end = now.replace(second=0, microsecond=0)
        passed = (end if end > begin else now) - begin
        step = min(STEP, passed // _TICK // count * _TICK)
        if step:
            return Schedule(begin, step)
    try:
        return Schedule(min(hour, datetime(year + 1, 1, 1, tzinfo=UTC)) - count * STEP)
    except OverflowError as error:
        raise BadInput(f"{count:,} messages, a minute apart, would begin before the year 1.") from error


def seeded_uuid(group: str, position: int) -> str:
    """The id of a seeded message: a version-8 UUID (RFC 9562) that holds its position in the last 48 bits.

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
    """The position that a seeded message's id holds; None for a message that a person wrote."""
    try:
        position = int(message_uuid[-12:], 16)
        return position if seeded_uuid(group, position) == message_uuid else None
    except (ValueError, OverflowError):
        return None

"""Parse a conversation file, and compute the messages that a seed creates from it. Pure.

The records ``Message``, ``MessageGroup`` and ``Person`` are defined in ``schema`` and imported here.
"""

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
    """One line of a conversation file: ``speaker`` is 1 or 2; ``number`` is the line number, from 1."""

    number: int
    speaker: int
    text: str


def parse(content: bytes, source: str) -> list[Line]:
    """The lines of a conversation file, ``Person 1: …`` and ``Person 2: …``. Blank lines are skipped.

    A byte-order mark and Windows line ends are removed. Raises BadInput if the file is not UTF-8, if a line has another
    form (the error names file and line), or if there is no message.
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
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(f"{source}, line {number}: {_clip(line)}")
        elif not match[2].strip():
            faults.append(f"{source}, line {number}: there is no text after Person {match[1]}")
        else:
            lines.append(Line(number, int(match[1]), match[2]))
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
    """The times of a seeded conversation's messages: the first is at ``start``, each next one ``step`` later."""

    start: datetime
    step: timedelta = STEP

    def at(self, position: int) -> datetime:
        """The time of the message at a position; positions count from 0."""
        return self.start + position * self.step

    @classmethod
    def through(cls, *points: tuple[int, datetime]) -> Schedule:
        """The schedule that fits one or two messages; each point is a position and a time.

        Two points give the step. If a seed cannot have used that step, or if there is one point, the step is a minute.
        """
        position, moment = points[0]
        step = STEP
        if len(points) > 1:
            distance = points[1][0] - position
            pause, rest = divmod((points[1][1] - moment) // _TICK, distance) if distance > 0 else (0, 0)
            if 0 < pause <= STEP // _TICK and not rest:
                step = pause * _TICK
        return cls(moment - position * step, step)


def compose(
    lines: Sequence[Line], people: tuple[Person, Person], *, group: str, schedule: Schedule, count: int
) -> Iterator[Message]:
    """Yield ``count`` messages at the times of ``schedule``; the lines are repeated until there are enough.

    An id depends only on the group and the position, so that a later seed overwrites the same messages.
    """
    for position in range(count):
        line = lines[position % len(lines)]
        person = people[line.speaker - 1]
        yield written_by(person, line.text, message_uuid=seeded_uuid(group, position), at=schedule.at(position))


def schedule_for(count: int, now: datetime, *, year: int, seeded: Schedule | None = None) -> Schedule:
    """The schedule of ``count`` seeded messages: ``seeded``, the earlier one, if its last message is in the past.

    A new schedule ends before the current hour, so that two people who seed at the same time get the same times. It
    ends in ``year``, the only year that the application shows. In the first hour of ``year`` the step shrinks, so that
    all messages fit into the part of the hour that is over. If ``year`` has not begun in UTC, the time zone of sort
    keys, the schedule ends before it.

    Raises BadInput if the first message would be before the year 1.
    """
    if seeded is not None and count - 1 < (now - seeded.start) / seeded.step:
        return seeded
    begin = datetime(year, 1, 1, tzinfo=UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    if hour <= begin < now:
        end = now.replace(second=0, microsecond=0)
        elapsed = (end if end > begin else now) - begin
        step = min(STEP, elapsed // _TICK // count * _TICK)
        if step:
            return Schedule(begin, step)
    try:
        return Schedule(min(hour, datetime(year + 1, 1, 1, tzinfo=UTC)) - count * STEP)
    except OverflowError as error:
        raise BadInput(f"{count:,} messages, a minute apart, would begin before the year 1.") from error


def seeded_uuid(group: str, position: int) -> str:
    """The id of a seeded message: a UUID of version 8 (RFC 9562) with the position in its last 48 bits.

    Raises OverflowError if the position is negative or needs more than 48 bits.
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
    """The position in the id of a seeded message; None if a person wrote the message."""
    try:
        position = int(message_uuid[-12:], 16)
        return position if seeded_uuid(group, position) == message_uuid else None
    except (ValueError, OverflowError):
        return None

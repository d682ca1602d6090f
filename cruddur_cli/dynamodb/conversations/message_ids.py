"""Ids of messages that carry the time they were written, so that one id is one key. Pure.

UUID version 7 (RFC 9562, section 5.7) with 48 bits of milliseconds, and in the next 12 the fraction of one (section
6.2, method 3): fine enough to give back the microsecond that a sort key is written with.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def generate(moment: datetime) -> str:
    """A new id of a message written at ``moment``; 62 of its bits are random."""
    milliseconds, microseconds = divmod((moment - _EPOCH) // _MICROSECOND, 1000)
    fraction = microseconds * 4096 // 1000
    number = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=number))


def written_at(message_uuid: str) -> datetime | None:
    """The time that an id holds, to the microsecond; None for an id that is no UUID of version 7."""
    try:
        number = uuid.UUID(message_uuid)
    except ValueError:
        return None
    if number.version != 7:
        return None
    milliseconds, fraction = number.int >> 80, number.int >> 64 & 0xFFF
    # Rounded up: the least microsecond whose fraction this is. Another program's random bits may be more than any.
    microseconds = min(999, -(-fraction * 1000 // 4096))
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds, microseconds=microseconds)
    except OverflowError:
        return None

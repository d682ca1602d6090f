"""Message ids that contain the time of the message, so that an id determines the sort key. Pure.

They are UUIDs of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then 12 bits with the fraction of a
millisecond (section 6.2, method 3). That is precise enough to read back the microsecond of the sort key.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def generate(moment: datetime) -> str:
    """A new id for a message written at ``moment``; 62 of its bits are random."""
    milliseconds, microseconds = divmod((moment - _EPOCH) // _MICROSECOND, 1000)
    fraction = microseconds * 4096 // 1000
    number = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=number))


def written_at(message_uuid: str) -> datetime | None:
    """The time in an id, to the microsecond; None if the id is not a UUID of version 7."""
    try:
        number = uuid.UUID(message_uuid)
    except ValueError:
        return None
    if number.version != 7:
        return None
    milliseconds, fraction = number.int >> 80, number.int >> 64 & 0xFFF
    # Rounded up, to the first microsecond that has this fraction. Another program may put random bits here, which can
    # be larger than the fraction of any microsecond.
    microseconds = min(999, -(-fraction * 1000 // 4096))
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds, microseconds=microseconds)
    except OverflowError:
        return None

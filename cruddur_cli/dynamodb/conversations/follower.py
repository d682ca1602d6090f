"""Poll a conversation for new messages, and return each message once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from ... import times
from ..client import DynamoDB
from ..schema import Message, read_message
from . import queries

_OVERLAP = timedelta(minutes=1)
"""Each query begins this long before the last message, because writers' clocks differ and reads lag behind writes."""
# A sort key with another offset can be up to 15 hours away from its time. To find these rows, a wide query reads a day
# or two; it costs more, so it runs less often.
_WIDE_S = 10.0
_ITEMS_A_SECOND = 50


class Follower:
    """Finds the new messages of one conversation. Two messages are different if their sort keys or their ids differ.

    When it is created, it reads the messages of the last day or two, so that ``new`` does not return them.
    """

    def __init__(self, dynamodb: DynamoDB, group: str) -> None:
        self._dynamodb, self._pk = dynamodb, f"MSG#{group}"
        self._known: set[tuple[str, str]] = set()
        self._last: datetime | None = None
        self._next_wide_at = 0.0
        self._polled_at = times.now()
        self._read(self._wide_bound(), is_wide=True)

    def know(self, messages: Iterable[Message], sort_keys: dict[str, str]) -> None:
        """Add messages that the caller has shown already; ``sort_keys`` holds their sort keys by message id."""
        for message in messages:
            self._known.add((sort_keys[message.message_uuid], message.message_uuid))
            self._update_last(message.created_at)

    def new(self) -> list[Message]:
        """The messages that have arrived since the last call, oldest first. Raises CannotConnect or Refused."""
        now = times.now()
        wide = self._wide_bound()
        is_wide = time.monotonic() >= self._next_wide_at
        low = wide if is_wide or self._last is None else max(wide, times.sort_key(min(self._last, now) - _OVERLAP))
        messages = self._read(low, is_wide=is_wide)
        # Set only now: if a query fails, for days perhaps, the next one begins at the last successful poll.
        self._polled_at = now
        self._known = {(sk, uuid) for sk, uuid in self._known if sk >= self._wide_bound()}
        return sorted(messages, key=queries.created_at)

    def _wide_bound(self) -> str:
        """A text that sorts before every form of a time since the last poll."""
        return times.text_before(self._polled_at - _OVERLAP)

    def _read(self, low: str, *, is_wide: bool) -> list[Message]:
        """The unknown messages from the sort key ``low`` on. They become known once every page is read."""
        unknown: dict[tuple[str, str], Message] = {}
        items = 0
        for page in queries.query(self._dynamodb, **queries.partition(self._pk, low=low)):
            items += len(page)
            for item in page:
                message = read_message(item)
                key = (item["sk"]["S"], message.message_uuid)
                if key not in self._known:
                    unknown[key] = message
        self._known |= unknown.keys()
        for message in unknown.values():
            self._update_last(message.created_at)
        if is_wide:
            self._next_wide_at = time.monotonic() + max(_WIDE_S, items / _ITEMS_A_SECOND)
        return list(unknown.values())

    def _update_last(self, moment: datetime | None) -> None:
        if moment is not None and (self._last is None or moment > self._last):
            self._last = moment

"""The new messages of a conversation, as they arrive: each once, by queries from the last sort key on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from ... import times
from ..client import DynamoDB
from ..schema import Message, read_message
from . import queries

_OVERLAP = timedelta(minutes=1)
"""How far before the last message each look begins: the clocks of two writers differ, and reads lag behind writes."""
# Only a row in another form or with another offset stands further away, up to 15 hours, and looking there costs more.
_WIDE_S = 10.0
_ITEMS_A_SECOND = 50


class Follower:
    """Looks for what is new in one conversation. A message is what has its own sort key and id.

    It knows the messages of the last day or two, in texts, from when it is made, so that none of them is new.
    """

    def __init__(self, dynamodb: DynamoDB, group: str) -> None:
        self._dynamodb, self._pk = dynamodb, f"MSG#{group}"
        self._known: set[tuple[str, str]] = set()
        self._last: datetime | None = None
        self._wide_at = 0.0
        self._looked = times.now()
        self._read(self._wide(), is_wide=True)

    def know(self, messages: Iterable[Message], sort_keys: dict[str, str]) -> None:
        """Take messages, with their sort keys by id, for known ones: they are shown already."""
        for message in messages:
            self._known.add((sort_keys[message.message_uuid], message.message_uuid))
            self._see(message.created_at)

    def new(self) -> list[Message]:
        """The messages that have arrived since the last look, oldest first. Raises what a query raises."""
        now = times.now()
        wide = self._wide()
        is_wide = time.monotonic() >= self._wide_at
        low = wide if is_wide or self._last is None else max(wide, times.sort_key(min(self._last, now) - _OVERLAP))
        found = self._read(low, is_wide=is_wide)
        # A store may have been away for days: what was written meanwhile is looked for from the last look on.
        self._looked = now
        self._known = {(sk, uuid) for sk, uuid in self._known if sk >= self._wide()}
        return sorted(found, key=queries.created_at)

    def _wide(self) -> str:
        """A text before every way of writing a time since the last look."""
        return times.text_before(self._looked - _OVERLAP)

    def _read(self, low: str, *, is_wide: bool) -> list[Message]:
        """The messages from a sort key on that are not known; they are known as soon as every page is read."""
        found: dict[tuple[str, str], Message] = {}
        items = 0
        for page in queries.query(self._dynamodb, **queries.partition(self._pk, low=low)):
            items += len(page)
            for item in page:
                message = read_message(item)
                key = (item["sk"]["S"], message.message_uuid)
                if key not in self._known:
                    found[key] = message
        self._known |= found.keys()
        for message in found.values():
            self._see(message.created_at)
        if is_wide:
            self._wide_at = time.monotonic() + max(_WIDE_S, items / _ITEMS_A_SECOND)
        return list(found.values())

    def _see(self, moment: datetime | None) -> None:
        if moment is not None and (self._last is None or moment > self._last):
            self._last = moment

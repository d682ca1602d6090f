"""Summarizes the items of the table one by one, in a limited amount of memory. Pure."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ..dynamodb.conversations.model import seeded_position
from ..dynamodb.schema import GROUP_PREFIX, MESSAGE_PREFIX, Item, read_other
from ..times import has_no_zone, instant, is_canonical

_CLAIM_PREFIX = "CLAIM#"
_EPOCH = datetime.min.replace(tzinfo=UTC)
# The clocks of machines that write rows may differ by this much.
_AHEAD = timedelta(minutes=5)
# If two conversations have the same time, a group row's key gets three more decimals, which make it unique.
_NINE_DECIMALS = re.compile(r"(.{26})\d{3}(\+00:00)")


@dataclass
class Conversation:
    """One conversation: ``rows`` are the times of each owner's group rows, ``others`` the people they name.

    ``newest`` is the time of the newest message.
    """

    rows: dict[str, list[datetime]] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    newest: datetime = _EPOCH

    @property
    def is_with_oneself(self) -> bool:
        """Whether both participants are the same person."""
        return len(self.rows) == 1 and self.others == set(self.rows)

    @property
    def has_messages(self) -> bool:
        """Whether a message with a readable time was read."""
        return self.newest != _EPOCH


@dataclass
class Tally:
    """A number of items, and the keys of the first three."""

    items: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, key: str) -> None:
        """Count one item."""
        self.items += 1
        if len(self.examples) < 3:
            self.examples.append(key)


@dataclass
class Rows:
    """The summary of a table.

    ``other_form`` and ``other_zone`` count the items with an unusual sort key, and ``unseeded_form`` and
    ``unseeded_zone`` those of them that seeding does not replace. ``names`` counts the rows by the person that they
    name: uuid, handle, display name. ``years`` counts group rows by year.

    ``conversations`` has one in ``1 << shift`` conversations, chosen by id, so that memory is limited. In a sample
    (``is_sample``) any of them may be incomplete.
    """

    seeded: str = ""
    items: int = 0
    is_sample: bool = False
    conversations: dict[str, Conversation] = field(default_factory=dict)
    shift: int = 0
    owners: set[str] = field(default_factory=set)
    names: Counter[tuple[str, str | None, str | None]] = field(default_factory=Counter)
    years: Counter[int] = field(default_factory=Counter)
    foreign: Tally = field(default_factory=Tally)
    wrong_prefix: Tally = field(default_factory=Tally)
    other_form: Tally = field(default_factory=Tally)
    other_zone: Tally = field(default_factory=Tally)
    unseeded_form: Tally = field(default_factory=Tally)
    unseeded_zone: Tally = field(default_factory=Tally)
    future: Tally = field(default_factory=Tally)
    with_oneself: Tally = field(default_factory=Tally)
    claims: int = 0


def collect(items: Iterable[Item], *, now: datetime, most: int = 10_000, seeded: str = "") -> Rows:
    """The summary of these items, with at most ``most`` conversations.

    ``seeded`` is the id of the seeded conversation.
    """
    rows = Rows(seeded=seeded)
    for item in items:
        _add(rows, item, now, most)
    return rows


def _add(rows: Rows, item: Item, now: datetime, most: int) -> None:
    rows.items += 1
    pk, sk = _key(item, "pk"), _key(item, "sk")
    if pk.startswith(_CLAIM_PREFIX):
        rows.claims += 1
        return
    is_group, is_message = pk.startswith(GROUP_PREFIX), pk.startswith(MESSAGE_PREFIX)
    if not ((is_group and "message_group_uuid" in item) or (is_message and "message_uuid" in item)):
        has_attributes = "message" in item and ("message_group_uuid" in item or "message_uuid" in item)
        (rows.wrong_prefix if has_attributes else rows.foreign).add(f"{pk} {sk}")
        return
    moment = instant(sk)
    _add_time(rows, item, moment, now)
    other = read_other(item)
    if other.uuid:
        rows.names[other.uuid, other.handle, other.display_name] += 1
    if is_group:
        owner, group = pk.removeprefix(GROUP_PREFIX), _key(item, "message_group_uuid")
        rows.owners.add(owner)
        rows.years[moment.year if moment else 0] += 1
        if other.uuid == owner:
            rows.with_oneself.add(f"{group} of {owner}")
        one = _conversation(rows, group, most)
        if one is not None:
            one.rows.setdefault(owner, []).append(moment or _EPOCH)
            one.others.add(other.uuid)
        return
    one = _conversation(rows, pk.removeprefix(MESSAGE_PREFIX), most)
    if one is not None and moment is not None:
        one.newest = max(one.newest, moment)


def _add_time(rows: Rows, item: Item, moment: datetime | None, now: datetime) -> None:
    pk, sk = _key(item, "pk"), _key(item, "sk")
    if moment is not None and moment > now + _AHEAD:
        rows.future.add(f"{pk} {sk}")
    if is_canonical(sk) or is_canonical(_NINE_DECIMALS.sub(r"\1\2", sk)):
        return
    is_zone = moment is not None and (has_no_zone(sk) or not re.search(r"(Z|[+-]00:?00|[+-]00)$", sk))
    (rows.other_zone if is_zone else rows.other_form).add(f"{pk} {sk}")
    if not _is_of_seed(item, rows.seeded):
        (rows.unseeded_zone if is_zone else rows.unseeded_form).add(f"{pk} {sk}")


def _is_of_seed(item: Item, group: str) -> bool:
    """Whether ``ddb seed`` writes this item: a seeded message, or a group row of the seeded conversation."""
    if _key(item, "pk") == f"{MESSAGE_PREFIX}{group}":
        return seeded_position(group, _key(item, "message_uuid")) is not None
    return _key(item, "message_group_uuid") == group


def _conversation(rows: Rows, group: str, most: int) -> Conversation | None:
    """The summary of a conversation, added if it is new; None for one that is not selected by its id."""
    if not _is_selected(group, rows.shift):
        return None
    one = rows.conversations.get(group)
    if one is None:
        one = rows.conversations[group] = Conversation()
        while len(rows.conversations) > most:
            rows.shift += 1
            rows.conversations = {
                each: value for each, value in rows.conversations.items() if _is_selected(each, rows.shift)
            }
    return one if _is_selected(group, rows.shift) else None


def _is_selected(group: str, shift: int) -> bool:
    if not shift:
        return True
    digest = hashlib.blake2b(group.encode()).digest()
    return not int.from_bytes(digest) % (1 << shift)


def _key(item: Mapping[str, Mapping[str, str]], name: str) -> str:
    return item.get(name, {}).get("S", "")

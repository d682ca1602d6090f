"""What the items of the table say, gathered one by one with memory that does not grow with them. Pure."""

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
# Clocks of machines that write differ by as much.
_AHEAD = timedelta(minutes=5)
# A group row whose time is another conversation's too has three more decimals, which make its key its own.
_NINE_DECIMALS = re.compile(r"(.{26})\d{3}(\+00:00)")


@dataclass
class Conversation:
    """What the rows of one conversation say: each person's times, and the newest message."""

    rows: dict[str, list[datetime]] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    newest: datetime = _EPOCH

    @property
    def is_with_oneself(self) -> bool:
        """Whether the only person in it is the other one too."""
        return len(self.rows) == 1 and self.others == set(self.rows)

    @property
    def has_messages(self) -> bool:
        """Whether a message with a readable time was read."""
        return self.newest != _EPOCH


@dataclass
class Tally:
    """How many items, and the keys of the first few."""

    items: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, key: str) -> None:
        """Count one item."""
        self.items += 1
        if len(self.examples) < 3:
            self.examples.append(key)


@dataclass
class Rows:
    """The account of a table.

    ``kept_form`` and ``kept_zone`` are those of ``other_form`` and ``other_zone`` that seeding again does not replace.
    ``names`` counts the rows by the person that they name: uuid, handle, display name. ``years`` are those of the group
    rows. Of the conversations every ``1 << shift`` th is kept, chosen by its id, so that memory is bounded; in a sample
    none of them is known to be whole.
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
    kept_form: Tally = field(default_factory=Tally)
    kept_zone: Tally = field(default_factory=Tally)
    future: Tally = field(default_factory=Tally)
    with_oneself: Tally = field(default_factory=Tally)
    claims: int = 0


def collect(items: Iterable[Item], *, now: datetime, most: int = 10_000, seeded: str = "") -> Rows:
    """The account of these items; ``most`` bounds how many conversations are kept at a time.

    ``seeded`` is the id of the seeded conversation.
    """
    found = Rows(seeded=seeded)
    for item in items:
        _add(found, item, now, most)
    return found


def _add(found: Rows, item: Item, now: datetime, most: int) -> None:
    found.items += 1
    pk, sk = _key(item, "pk"), _key(item, "sk")
    if pk.startswith(_CLAIM_PREFIX):
        found.claims += 1
        return
    is_group, is_message = pk.startswith(GROUP_PREFIX), pk.startswith(MESSAGE_PREFIX)
    if not ((is_group and "message_group_uuid" in item) or (is_message and "message_uuid" in item)):
        looks_like_ours = "message" in item and ("message_group_uuid" in item or "message_uuid" in item)
        (found.wrong_prefix if looks_like_ours else found.foreign).add(f"{pk} {sk}")
        return
    moment = instant(sk)
    _see_time(found, item, moment, now)
    other = read_other(item)
    if other.uuid:
        found.names[other.uuid, other.handle, other.display_name] += 1
    if is_group:
        owner, group = pk.removeprefix(GROUP_PREFIX), _key(item, "message_group_uuid")
        found.owners.add(owner)
        found.years[moment.year if moment else 0] += 1
        if other.uuid == owner:
            found.with_oneself.add(f"{group} of {owner}")
        one = _conversation(found, group, most)
        if one is not None:
            one.rows.setdefault(owner, []).append(moment or _EPOCH)
            one.others.add(other.uuid)
        return
    one = _conversation(found, pk.removeprefix(MESSAGE_PREFIX), most)
    if one is not None and moment is not None:
        one.newest = max(one.newest, moment)


def _see_time(found: Rows, item: Item, moment: datetime | None, now: datetime) -> None:
    pk, sk = _key(item, "pk"), _key(item, "sk")
    if moment is not None and moment > now + _AHEAD:
        found.future.add(f"{pk} {sk}")
    if is_canonical(sk) or is_canonical(_NINE_DECIMALS.sub(r"\1\2", sk)):
        return
    is_zone = moment is not None and (has_no_zone(sk) or not re.search(r"(Z|[+-]00:?00|[+-]00)$", sk))
    (found.other_zone if is_zone else found.other_form).add(f"{pk} {sk}")
    if not _is_of_seed(item, found.seeded):
        (found.kept_zone if is_zone else found.kept_form).add(f"{pk} {sk}")


def _is_of_seed(item: Item, group: str) -> bool:
    """Whether ``ddb seed`` writes this item: a seeded message, or a group row of the seeded conversation."""
    if _key(item, "pk") == f"{MESSAGE_PREFIX}{group}":
        return seeded_position(group, _key(item, "message_uuid")) is not None
    return _key(item, "message_group_uuid") == group


def _conversation(found: Rows, group: str, most: int) -> Conversation | None:
    """The account of a conversation, begun where it is new; None where it is not among those that are kept."""
    if not _is_kept(group, found.shift):
        return None
    one = found.conversations.get(group)
    if one is None:
        one = found.conversations[group] = Conversation()
        while len(found.conversations) > most:
            found.shift += 1
            kept = {each: value for each, value in found.conversations.items() if _is_kept(each, found.shift)}
            found.conversations = kept
    return one if _is_kept(group, found.shift) else None


def _is_kept(group: str, shift: int) -> bool:
    if not shift:
        return True
    digest = hashlib.blake2b(group.encode()).digest()
    return not int.from_bytes(digest) % (1 << shift)


def _key(item: Mapping[str, Mapping[str, str]], name: str) -> str:
    return item.get(name, {}).get("S", "")

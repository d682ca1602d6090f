"""What a stream's record says: which entity it is about, and the message that it brings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..conversations.queries import decode, plain
from ..schema import Message, read_message

_EVENTS = {"INSERT", "MODIFY", "REMOVE"}


class MalformedRecord(ValueError):
    """A record that is not what DynamoDB and the application write; the text says what is wrong with it."""


@dataclass(frozen=True)
class StreamRecord:
    """One record for a person: ``event`` is INSERT, MODIFY or REMOVE, ``at`` about when, ``entity`` and ``owner`` as in
    ``messages.Row``; ``item`` is the new item as plain values, or what is left of an old one: its keys."""

    sequence_number: str
    event: str
    at: datetime | None
    entity: str
    owner: str
    item: dict[str, Any]


@dataclass(frozen=True)
class RecordCounts:
    """What records were, and group rows by what was done to them."""

    records: int = 0
    messages: int = 0
    ignored: int = 0
    moved: int = 0
    unchanged: int = 0
    repaired: int = 0


def describe(record: Any) -> StreamRecord:
    """A record of GetRecords or of a Lambda event; what is missing in a malformed one is empty."""
    about = _part(record, "dynamodb")
    item = _part(about, "NewImage") or _part(about, "Keys")
    try:
        row, shown = decode(dict(item)), plain(item)
        entity, owner = row.entity, row.owner
    except (AttributeError, TypeError, ValueError):
        entity, owner, shown = "other", "", dict(item)
    event = record.get("eventName") if isinstance(record, Mapping) else None
    return StreamRecord(sequence_number(record), str(event or ""), changed_at(record), entity, owner, shown)


def sequence_number(record: Any) -> str:
    """Where the record stands in its shard; empty where it does not say."""
    found = _part(record, "dynamodb").get("SequenceNumber")
    return found if isinstance(found, str) else ""


def changed_at(record: Any) -> datetime | None:
    """About when the change was made: to the second, on DynamoDB Local to the minute. Lambda gives a number."""
    found = _part(record, "dynamodb").get("ApproximateCreationDateTime")
    if isinstance(found, datetime):
        return found.astimezone(UTC)
    try:
        return datetime.fromtimestamp(float(found), UTC)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def message(record: Any) -> tuple[str, Message] | None:
    """The conversation and the message that a record brings; None for what moves no group row.

    That is every change but a new item, and every item but a message: the program that applies records writes group
    rows, and applying those would never end. Raises MalformedRecord.
    """
    if not isinstance(record, Mapping) or record.get("eventName") not in _EVENTS:
        raise MalformedRecord("it is not an INSERT, MODIFY or REMOVE")
    about = _part(record, "dynamodb")
    pk = _text(_part(about, "Keys") or _part(about, "NewImage"), "pk")
    if pk is None:
        raise MalformedRecord("it has no partition key")
    if record["eventName"] != "INSERT" or not pk.startswith("MSG#"):
        return None
    item = _part(about, "NewImage")
    if not item:
        raise MalformedRecord("it does not contain the new item")
    missing = [name for name in ("sk", "message") if _text(item, name) is None]
    if missing or pk == "MSG#":
        raise MalformedRecord(f"a message without {', '.join(missing) or 'a conversation'}")
    found = read_message(item)
    if found.created_at is None:
        raise MalformedRecord(f"the message's sort key {_text(item, 'sk')!r} is not a time")
    return pk.removeprefix("MSG#"), found


def _part(whole: Any, name: str) -> Mapping[str, Any]:
    found = whole.get(name) if isinstance(whole, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(item: Mapping[str, Any], name: str) -> str | None:
    found = _part(item, name).get("S")
    return found if isinstance(found, str) else None

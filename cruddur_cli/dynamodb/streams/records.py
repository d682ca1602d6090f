"""Read a stream's record: the entity that it is about, and the new message that it contains. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..conversations.queries import decode, plain
from ..schema import Message, read_message

_EVENTS = {"INSERT", "MODIFY", "REMOVE"}


class MalformedRecord(ValueError):
    """The record does not have the form that DynamoDB and the application write; the message says what is wrong."""


@dataclass(frozen=True)
class StreamRecord:
    """One record, to be shown.

    ``event`` is INSERT, MODIFY or REMOVE, ``at`` the approximate time. ``entity`` and ``owner`` are as in
    ``queries.Row``. ``item`` is the new item as plain values; for a deleted item it has only the keys.
    """

    sequence_number: str
    event: str
    at: datetime | None
    entity: str
    owner: str
    item: dict[str, Any]


@dataclass(frozen=True)
class RecordCounts:
    """The number of records by kind, and of people by what happened to their group rows (see ``group_rows.Moved``).

    ``messages`` are new messages; ``ignored`` are records that move no group row.
    """

    records: int = 0
    messages: int = 0
    ignored: int = 0
    moved: int = 0
    unchanged: int = 0
    repaired: int = 0


def describe(record: Any) -> StreamRecord:
    """The record to show, from a record of GetRecords or of a Lambda event. Missing parts are empty."""
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
    """The record's sequence number in its shard; empty if it is missing."""
    number = _part(record, "dynamodb").get("SequenceNumber")
    return number if isinstance(number, str) else ""


def changed_at(record: Any) -> datetime | None:
    """The approximate time of the change in UTC: to the second, on DynamoDB Local to the minute; None if missing.

    GetRecords gives a datetime, a Lambda event a number.
    """
    created = _part(record, "dynamodb").get("ApproximateCreationDateTime")
    if isinstance(created, datetime):
        return created.astimezone(UTC)
    try:
        return datetime.fromtimestamp(float(created), UTC)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def message(record: Any) -> tuple[str, Message] | None:
    """The conversation and the new message of a record; None if the record moves no group row.

    Only a new item that is a message moves group rows. Records of group rows must not, because applying records writes
    group rows, and that would never end. Raises MalformedRecord.
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
    new = read_message(item)
    if new.created_at is None:
        raise MalformedRecord(f"the message's sort key {_text(item, 'sk')!r} is not a time")
    return pk.removeprefix("MSG#"), new


def _part(whole: Any, name: str) -> Mapping[str, Any]:
    part = whole.get(name) if isinstance(whole, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _text(item: Mapping[str, Any], name: str) -> str | None:
    text = _part(item, name).get("S")
    return text if isinstance(text, str) else None

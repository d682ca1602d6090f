"""Rows for tests, written as the application writes them, and read completely."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from cruddur_cli.dynamodb import batch_writer, scanning
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.conversations.model import Message, Person

ME = Person("8b1d22bf-cedf-4fbb-b137-63dc54b4770d", "andrewbrown", "Andrew Brown")
OTHER = Person("ae39bc99-6163-4521-bdb4-fd380e2751c3", "bayko", "Andrew Bayko")
THIRD = Person("cfaad814-98c9-4b25-9fbb-20b167c79f7b", "altbrown", "Alt Brown")
GROUP = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399"
Item = dict[str, Any]


def utc(*parts: int) -> datetime:
    """A time in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def message_row(sk: str, text: str, *, group: str = GROUP, sender: Person = ME) -> Item:
    """A message as the application's backend writes it, under any sort key."""
    return {
        "pk": {"S": f"MSG#{group}"},
        "sk": {"S": sk},
        "message": {"S": text},
        "message_uuid": {"S": f"written {text[:80]}"},
        "user_uuid": {"S": sender.uuid},
        "user_display_name": {"S": sender.display_name},
        "user_handle": {"S": sender.handle},
    }


def group_row(owner: Person, other: Person, sk: str, text: str, *, group: str = GROUP) -> Item:
    """A message group as the application's backend writes it."""
    return {
        "pk": {"S": f"GRP#{owner.uuid}"},
        "sk": {"S": sk},
        "message_group_uuid": {"S": group},
        "message": {"S": text},
        "user_uuid": {"S": other.uuid},
        "user_display_name": {"S": other.display_name},
        "user_handle": {"S": other.handle},
    }


def write(dynamodb: DynamoDB, items: Iterable[Item], *, advance: Callable[[int], None] = lambda _: None) -> None:
    """Put items."""
    with batch_writer.opened(dynamodb, advance=advance) as batch:
        for item in items:
            batch.put(item)


def delete(dynamodb: DynamoDB, items: Iterable[Item]) -> None:
    """Delete items by their keys."""
    with batch_writer.opened(dynamodb) as batch:
        for item in items:
            batch.delete({name: item[name] for name in ("pk", "sk")})


def everything(dynamodb: DynamoDB) -> list[Item]:
    """Every item of the table, by key."""
    items = [item for page in scanning.pages(dynamodb) for item in page]
    return sorted(items, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


def texts(messages: Iterable[Message]) -> list[str]:
    """The texts of the messages."""
    return [message.message for message in messages]

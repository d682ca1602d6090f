"""Brings rows of one table into another: which ones, and with whose names and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import messages, pseudonyms, scanning
from .client import DynamoDB
from .sources import Place, Placed
from .tables import INDEX

Item = dict[str, Any]


@dataclass
class LeftOut:
    """What was not copied, because nobody knows what it says about people: rows of no known entity, rows by what their
    keys and ids are not, and attributes by their names."""

    unknown: int = 0
    telling: int = 0
    attributes: Counter[str] = field(default_factory=Counter)


def everything(dynamodb: DynamoDB, plan: scanning.Plan) -> Iterator[Item]:
    """Every row of the table."""
    for page in scanning.pages(dynamodb, plan=plan):
        yield from page


def conversations(dynamodb: DynamoDB, user_uuid: str) -> Iterator[Item]:
    """A person's group rows, then of each conversation the other people's rows and the messages."""
    groups: dict[str, None] = {}
    for page in messages.query(dynamodb, **messages.partition(f"GRP#{user_uuid}")):
        for item in page:
            groups[item.get("message_group_uuid", {}).get("S", "")] = None
            yield item
    for group in groups:
        if not group:
            continue
        about = {
            "IndexName": INDEX,
            "KeyConditionExpression": "message_group_uuid = :group",
            "ExpressionAttributeValues": {":group": {"S": group}},
        }
        for page in messages.query(dynamodb, **about):
            yield from (item for item in page if item["pk"]["S"] != f"GRP#{user_uuid}")
        for page in messages.query(dynamodb, **messages.partition(f"MSG#{group}")):
            yield from page


def replaced(items: Iterable[Item], left_out: LeftOut) -> Iterator[Item]:
    """The rows with other people's names and words in them; what is not known is counted in ``left_out``."""
    for item in items:
        changed, unknown = pseudonyms.of(item)
        left_out.attributes.update(unknown)
        if changed is not None:
            yield changed
        elif pseudonyms.is_known(item):
            left_out.telling += 1
        else:
            left_out.unknown += 1


def placed(items: Iterable[Item]) -> Iterator[Placed]:
    """Rows as an import takes them: they stand in no file, so that their place is their number."""
    for number, item in enumerate(items, 1):
        yield Place(0, number), item, _weight(item)


def _weight(item: Item) -> int:
    """About how many bytes an item is: enough to end a group of large ones."""
    return sum(len(value["S"]) if "S" in value else 100 for value in item.values())

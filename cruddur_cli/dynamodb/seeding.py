"""Puts a written conversation into the table, so that doing it again leaves exactly the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from ..errors import BadInput, Refused
from ..times import instant
from . import batches, group_rows, messages, replacing
from .capacity import delete_units, put_units
from .client import DynamoDB
from .conversation import STEP, Line, Message, Person, compose, seeded_position, start_for


@dataclass(frozen=True)
class Seeded:
    """What seeding did to one kind of row."""

    entity: str
    written: int
    unchanged: int
    deleted: int


def check(lines: Sequence[Line], people: tuple[Person, Person], *, group: str, source: str, now: datetime) -> None:
    """Raise BadInput, with its line, for a text that makes an item larger than DynamoDB takes."""
    for line, message in zip(lines, compose(lines, people, group=group, start=now, count=len(lines)), strict=True):
        try:
            messages.check_size(group, message, people)
        except BadInput as error:
            raise BadInput(f"{source}, line {line.number}: {error.message}", code=error.code) from error


def replace_conversation(
    dynamodb: DynamoDB,
    lines: Sequence[Line],
    people: tuple[Person, Person],
    *,
    group: str,
    count: int,
    now: datetime,
    dry_run: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Seeded]:
    """Make the seeded messages of ``group`` be the first ``count`` of the repeated lines, and its group rows fit.

    Only rows that differ are written, only rows that an earlier seeding left are deleted. The group rows come last:
    killed at any point, running it again ends in the same rows. Memory does not grow with ``count``.
    """
    existing = replacing.stored(dynamodb, group)
    head, seeded_start = _find_start(group, existing)
    start = start_for(count, now, seeded_start=seeded_start)
    wanted = compose(lines, people, group=group, start=start, count=count)
    tally = _Tally()

    def requests() -> Iterator[dict[str, Any]]:
        for change in replacing.changes(group, wanted, chain(head, existing)):
            tally.see(change)
            if change.put is not None:
                yield batches.put_request(change.put)
            elif change.delete is not None:
                yield batches.delete_request(change.delete)
            else:
                advance(1)

    if dry_run:
        for _ in requests():
            pass
        dynamodb.meter.plan(tally.units)
    else:
        _write(dynamodb, requests(), count, advance)
    assert tally.last is not None
    written, deleted = group_rows.place(dynamodb, group, people, tally.last, dry_run=dry_run)
    return [
        Seeded("messages", tally.put, count - tally.put, tally.deleted),
        Seeded("message groups", written, 2 - written, deleted),
    ]


def _write(dynamodb: DynamoDB, requests: Iterator[dict[str, Any]], count: int, advance: Callable[[int], None]) -> None:
    written = 0

    def landed(number: int) -> None:
        nonlocal written
        written += number
        advance(number)

    try:
        batches.write_all(dynamodb, requests, advance=landed)
    except Refused as error:
        raise Refused(
            f"{error.message} {written:,} rows were right by then, out of a conversation of {count:,} messages.",
            hint=error.hint,
            code=error.code,
            fields=error.fields,
        ) from error


def _find_start(group: str, existing: Iterator[dict[str, Any]]) -> tuple[list[dict[str, Any]], datetime | None]:
    """The items read until the first seeded one, and when the conversation that it belongs to began."""
    head = []
    for item in existing:
        head.append(item)
        position = seeded_position(group, item.get("message_uuid", {}).get("S", ""))
        moment = instant(item["sk"]["S"])
        if position is not None and moment is not None:
            return head, moment - position * STEP
    return head, None


@dataclass
class _Tally:
    put: int = 0
    deleted: int = 0
    last: Message | None = None
    units: float = 0.0

    def see(self, change: replacing.Change) -> None:
        if change.put is not None:
            self.put += 1
            self.units += put_units(change.old, change.put).total
        elif change.delete is not None:
            self.deleted += 1
            self.units += delete_units(change.old).total
        message = change.last
        if message is None or message.created_at is None:
            return
        if self.last is None or self.last.created_at is None or message.created_at >= self.last.created_at:
            self.last = message

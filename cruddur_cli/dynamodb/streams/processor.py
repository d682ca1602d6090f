"""Apply a stream's records to the group rows: the half of access pattern D that the stream function does."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import CruddurError
from ..client import DynamoDB
from ..conversations import group_rows
from ..schema import Message
from . import records

WIDTH = 8
"""How many conversations are moved at once."""


@dataclass(frozen=True)
class Failure:
    """The first record that was not applied: its index in the batch, its sequence number, and the reason.

    ``error`` is the store's error. None means that the record is malformed and can never be applied.
    """

    index: int
    sequence_number: str
    reason: str
    error: CruddurError | None = None


@dataclass(frozen=True)
class BatchResult(records.RecordCounts):
    """The result for a batch.

    ``conversations`` is the number of conversations with a new message. ``unmovable`` has a text for each conversation
    that still lacks a group row, with the reason. ``failure`` is the record that ended the batch, if any.
    """

    conversations: int = 0
    unmovable: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass
class _Plan:
    """The newest message of each conversation, and the index of the conversation's first message in the batch."""

    newest: dict[str, Message] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    ignored: int = 0
    failure: Failure | None = None


def apply(
    dynamodb: DynamoDB,
    batch: Sequence[Any],
    *,
    skip: Collection[str] = (),
    deadline: float | None = None,
    dry_run: bool = False,
) -> BatchResult:
    """Move the group rows of each conversation to its newest message in the batch.

    Only the newest message of a conversation makes requests. Applying a batch again, late or in another order gives the
    same rows, because newer rows are not changed. The first record that cannot be applied ends the batch: all records
    before it are applied, and the result has it as ``failure``. ``skip`` holds sequence numbers of records to ignore.
    After ``deadline`` (of ``time.monotonic``) no further conversation is begun, which is also a failure.
    """
    plan = _plan(batch, skip)
    result = BatchResult(
        records=len(batch) if plan.failure is None else plan.failure.index,
        messages=plan.messages,
        ignored=plan.ignored,
        conversations=len(plan.newest),
        failure=plan.failure,
    )
    if dry_run or not plan.newest:
        return result
    moved, errors = _move_all(dynamodb, plan.newest, deadline)
    if errors:
        group = min(errors, key=lambda each: plan.first[each])
        index = plan.first[group]
        failure = Failure(index, records.sequence_number(batch[index]), errors[group].message, errors[group])
        result = replace(result, records=index, failure=failure)
    return replace(
        result,
        moved=sum(each.moved for each in moved),
        unchanged=sum(each.unchanged for each in moved),
        repaired=sum(each.repaired for each in moved),
        unmovable=tuple(each.missing for each in moved if each.missing),
    )


def _plan(batch: Sequence[Any], skip: Collection[str]) -> _Plan:
    plan = _Plan()
    for index, record in enumerate(batch):
        number = records.sequence_number(record)
        try:
            new = None if number in skip else records.message(record)
        except records.MalformedRecord as error:
            plan.failure = Failure(index, number, str(error))
            break
        if new is None:
            plan.ignored += 1
            continue
        plan.messages += 1
        group, message = new
        plan.first.setdefault(group, index)
        known = plan.newest.get(group)
        if known is None or _order(message) >= _order(known):
            plan.newest[group] = message
    return plan


def _order(message: Message) -> Any:
    """The order of messages: by time, then by text. Group rows are compared in the same way."""
    return message.created_at, message.message


def _move_all(
    dynamodb: DynamoDB, newest: dict[str, Message], deadline: float | None
) -> tuple[list[group_rows.Moved], dict[str, CruddurError]]:
    """Move the rows of each conversation; return the results, and the errors by conversation.

    Conversations share no row, so several are moved at once. After the first error, no other is begun.
    """
    moved: list[group_rows.Moved] = []
    errors: dict[str, CruddurError] = {}

    def move(group: str, message: Message) -> None:
        if errors or (deadline is not None and time.monotonic() >= deadline):
            errors[group] = next(iter(errors.values()), None) or CruddurError(
                "the function's time-out was too near to begin with this record"
            )
            return
        try:
            moved.append(group_rows.advance(dynamodb, group, message))
        except CruddurError as error:
            errors[group] = error

    if len(newest) == 1:
        move(*next(iter(newest.items())))
        return moved, errors
    with ThreadPoolExecutor(WIDTH, thread_name_prefix="stream") as pool:
        futures = [pool.submit(move, group, message) for group, message in newest.items()]
        try:
            _raise_first(futures)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return moved, errors


def _raise_first(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result()

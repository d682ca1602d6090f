"""Applies a stream's records to the group rows, as access pattern D does it from the other side."""

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


@dataclass(frozen=True)
class Failure:
    """The first record that was not applied: its place in the batch and in the stream, and why.

    ``error`` is what a store said; None is a record that can never be applied.
    """

    index: int
    sequence_number: str
    reason: str
    error: CruddurError | None = None


@dataclass(frozen=True)
class BatchResult(records.RecordCounts):
    """The result for a batch. ``unmovable`` says of conversations why a row is still missing."""

    conversations: int = 0
    unmovable: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass
class _Plan:
    """The newest message of each conversation, and where in the batch its first one stands."""

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
    """Move the group rows to the newest message of each conversation in the batch; only the newest makes a request.

    Applying a batch again, late, or backwards ends in the same rows, because rows that are newer stay. The first
    record that cannot be applied ends the batch: everything before it is applied, and it is the ``failure``, so that
    nothing is passed over but what ``skip`` names. After ``deadline`` (``time.monotonic``) nothing more is begun.
    """
    plan = _plan(batch, skip)
    done = BatchResult(
        records=len(batch) if plan.failure is None else plan.failure.index,
        messages=plan.messages,
        ignored=plan.ignored,
        conversations=len(plan.newest),
        failure=plan.failure,
    )
    if dry_run or not plan.newest:
        return done
    moved, errors = _move_all(dynamodb, plan.newest, deadline)
    if errors:
        group = min(errors, key=lambda each: plan.first[each])
        index = plan.first[group]
        failure = Failure(index, records.sequence_number(batch[index]), errors[group].message, errors[group])
        done = replace(done, records=index, failure=failure)
    return replace(
        done,
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
            found = None if number in skip else records.message(record)
        except records.MalformedRecord as error:
            plan.failure = Failure(index, number, str(error))
            break
        if found is None:
            plan.ignored += 1
            continue
        plan.messages += 1
        group, message = found
        plan.first.setdefault(group, index)
        known = plan.newest.get(group)
        if known is None or _order(message) >= _order(known):
            plan.newest[group] = message
    return plan


def _order(message: Message) -> Any:
    """Time, then text: as group rows are compared, so that equal times end the same in any order."""
    return message.created_at, message.message


def _move_all(
    dynamodb: DynamoDB, newest: dict[str, Message], deadline: float | None
) -> tuple[list[group_rows.Moved], dict[str, CruddurError]]:
    """Move each conversation's rows; returns what was done, and with the errors by conversation.

    Conversations share no row, so several are moved at once. After the first error no other is begun.
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
        flying = [pool.submit(move, group, message) for group, message in newest.items()]
        try:
            _raise_first(flying)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return moved, errors


def _raise_first(flying: list[Future[None]]) -> None:
    for future in flying:
        future.result()

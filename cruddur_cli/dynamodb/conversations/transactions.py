"""Carries out one conditional transaction against other writers: read, decide, write, and again when overtaken."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ...errors import Refused
from ..client import DynamoDB

Action = dict[str, Any]
Result = TypeVar("Result")
# "CancellationReason" in TransactWriteItems: what another writer did meanwhile, or a store that is busy.
_OVERTAKEN = {"ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


@dataclass(frozen=True)
class TransactionPlan(Generic[Result]):
    """What is to be written, from what was just read; no action: nothing.

    ``alone``: it puts something at a key that another writer's conditions would not meet, so a claim has to be held.
    ``unfinished``: more is left to do after it, because a transaction takes 100 actions.
    """

    result: Result
    actions: Sequence[Action] = ()
    alone: bool = False
    unfinished: bool = False


def carry_out(dynamodb: DynamoDB, name: str, plan: Callable[[int], TransactionPlan[Result]]) -> list[Result]:
    """What the plans that were carried out came to; ``plan`` reads the table and decides, told which try it is.

    A plan that was overtaken is made again, after a pause that grows and is jittered; ``name`` is what a claim is on.
    A request that is only repeated, because its answer was lost, has the same token and is the same transaction
    ("TransactWriteItems", ClientRequestToken). Raises Refused, with the code ``busy`` when the others do not leave off.
    """
    backoff, claim, done, tries = dynamodb.backoff(), _Claim(dynamodb, name), [], 0
    while True:
        step = plan(tries)
        tries += 1
        if step.alone and not claim.held:
            claim.take()
            continue
        if step.actions:
            actions = [*step.actions, *([claim.end()] if step.alone else [])]
            token = str(uuid.uuid4())
            try:
                dynamodb.call("transact_write_items", backoff=backoff, TransactItems=actions, ClientRequestToken=token)
            except Refused as error:
                if not _was_overtaken(error):
                    raise
                claim.held = False  # another writer may have it by now
                if not backoff.wait():
                    raise _busy(dynamodb, name, error) from error
                continue
            if step.alone:
                claim.ended()
            backoff.progress()
        done.append(step.result)
        if not step.unfinished:
            claim.drop()
            return done


def _was_overtaken(error: Refused) -> bool:
    answer: Any = error.fields.get("response") or {}
    reasons = {reason.get("Code", "None") for reason in answer.get("CancellationReasons", [])} - {"None"}
    return bool(reasons) and reasons <= _OVERTAKEN


def _busy(dynamodb: DynamoDB, name: str, error: Refused) -> Refused:
    return Refused(
        f"Conversation {name} in table {dynamodb.table!r}: gave up after {dynamodb.busy_s:.0f} seconds of conflicting"
        " writes.",
        hint="run the same command again: it continues safely",
        code="busy",
        fields=error.fields,
    )


class _Claim:
    """The right to write what no condition can protect, such as a first row, whose key no other write would meet.

    Who claims last has the right: taking it is a plain put, and the transaction deletes it on condition that it is
    still theirs. So between a writer's reading and its commit no other claimant commits, and none waits for a claim
    that a killed process left: the next one takes it over and ends it.
    """

    def __init__(self, dynamodb: DynamoDB, name: str) -> None:
        self._dynamodb = dynamodb
        self._key = {"pk": {"S": f"CLAIM#{name}"}, "sk": {"S": "CLAIM"}}
        self._mark = {"S": str(uuid.uuid4())}
        self.held = False
        self._left = False

    def take(self) -> None:
        """Claim; what was read before has to be read again."""
        self._mark = {"S": str(uuid.uuid4())}
        self._dynamodb.call("put_item", TableName=self._dynamodb.table, Item={**self._key, "claimed_by": self._mark})
        self.held = self._left = True

    def end(self) -> Action:
        """The action that makes a transaction fail when another writer claimed meanwhile."""
        return {"Delete": self._deletion()}

    def ended(self) -> None:
        """Note that the transaction took it away."""
        self.held = self._left = False

    def drop(self) -> None:
        """Leave nothing behind after a claim that was not needed in the end."""
        if not self._left:
            return
        try:
            self._dynamodb.call("delete_item", **self._deletion())
        except Refused as error:
            if error.fields.get("aws_code") != "ConditionalCheckFailedException":
                raise

    def _deletion(self) -> dict[str, Any]:
        return {
            "TableName": self._dynamodb.table,
            "Key": self._key,
            "ConditionExpression": "claimed_by = :mark",
            "ExpressionAttributeValues": {":mark": self._mark},
        }

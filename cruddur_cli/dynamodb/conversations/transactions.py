"""Run conditional transactions beside other writers: read, plan, write, and retry after a conflict."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

from ...errors import Refused
from ..capacity.meter import least_units
from ..client import DynamoDB
from ..schema import GROUPS

Action = dict[str, Any]
Result = TypeVar("Result")
# Codes of "CancellationReason" in TransactWriteItems: another writer was first, or the table is throttled.
_CONFLICTS = {"ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


@dataclass(frozen=True)
class TransactionPlan(Generic[Result]):
    """The actions of one transaction, planned from rows that were just read. Without actions nothing is written.

    ``needs_claim``: it puts an item at a key that no other writer's conditions cover, so a claim must be held.
    ``unfinished``: another transaction must follow, because the number of actions is limited.
    """

    result: Result
    actions: Sequence[Action] = ()
    needs_claim: bool = False
    unfinished: bool = False


def carry_out(dynamodb: DynamoDB, name: str, plan: Callable[[int], TransactionPlan[Result]]) -> list[Result]:
    """Run transactions until nothing is unfinished; return the result of each plan that was carried out.

    ``plan`` gets the number of the attempt, from 0, reads the table and plans one transaction. After a conflict it is
    called again, after a growing random pause. ``name`` is the conversation that a claim is for. When the answer to a
    request was lost, the request is repeated with the same token, and DynamoDB carries it out once
    ("TransactWriteItems", ClientRequestToken).

    Raises Refused, with the code ``busy`` when the conflicts do not end in time.
    """
    backoff, claim, results = dynamodb.backoff(), _Claim(dynamodb, name), list[Result]()
    for attempt in count():
        step = plan(attempt)
        if step.needs_claim and not claim.held:
            claim.take()
            continue
        if step.actions:
            actions = [*step.actions, *([claim.delete_action()] if step.needs_claim else [])]
            token = str(uuid.uuid4())
            try:
                dynamodb.call("transact_write_items", backoff=backoff, TransactItems=actions, ClientRequestToken=token)
            except Refused as error:
                if not _is_conflict(error):
                    raise
                claim.held = False  # another writer may have taken it over
                if not backoff.wait():
                    raise _busy(dynamodb, name, error) from error
                continue
            if step.needs_claim:
                claim.mark_deleted()
            backoff.progress()
        results.append(step.result)
        if not step.unfinished:
            claim.delete()
            break
    return results


def dry_run(dynamodb: DynamoDB, plan: Callable[[int], TransactionPlan[Result]]) -> Result:
    """The result of the first plan, which is not carried out; the write units that it takes are added to the meter."""
    planned = plan(0)
    request = {"TransactItems": planned.actions}
    dynamodb.meter.plan(least_units("TransactWriteItems", request, dynamodb.table, indexes=[GROUPS]))
    return planned.result


def _is_conflict(error: Refused) -> bool:
    answer: Any = error.fields.get("response") or {}
    reasons = {reason.get("Code", "None") for reason in answer.get("CancellationReasons", [])} - {"None"}
    return bool(reasons) and reasons <= _CONFLICTS


def _busy(dynamodb: DynamoDB, name: str, error: Refused) -> Refused:
    return Refused(
        f"Conversation {name} in table {dynamodb.table!r}: gave up after {dynamodb.busy_s:.0f} seconds of conflicting"
        " writes.",
        hint="run the same command again: it continues safely",
        code="busy",
        fields=error.fields,
    )


class _Claim:
    """An item that gives one writer the right to put an item that no condition protects, such as a first group row.

    The last writer that puts the claim has the right. Its transaction deletes the claim, on the condition that the
    claim still has its mark. So no other claimant commits between a writer's reads and its commit. Nothing waits for
    the claim of a process that was killed: the next writer overwrites it, and then deletes it.
    """

    def __init__(self, dynamodb: DynamoDB, name: str) -> None:
        self._dynamodb = dynamodb
        self._key = {"pk": {"S": f"CLAIM#{name}"}, "sk": {"S": "CLAIM"}}
        self._mark = {"S": str(uuid.uuid4())}
        self.held = False
        self._is_stored = False

    def take(self) -> None:
        """Put the claim. The caller must then read its rows again."""
        self._mark = {"S": str(uuid.uuid4())}
        self._dynamodb.call("put_item", TableName=self._dynamodb.table, Item={**self._key, "claimed_by": self._mark})
        self.held = self._is_stored = True

    def delete_action(self) -> Action:
        """The action that deletes the claim; it makes the transaction fail if another writer has taken it over."""
        return {"Delete": self._deletion()}

    def mark_deleted(self) -> None:
        """Note that the transaction has deleted the claim."""
        self.held = self._is_stored = False

    def delete(self) -> None:
        """Delete the claim if no transaction has deleted it and no other writer has taken it over."""
        if not self._is_stored:
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

"""Real processes send at the same time, are killed and lose answers: no acknowledged message is lost.

``TEST_RACE_MESSAGES=1000 TEST_RACE_CONVERSATIONS=50 TEST_RACE_KILLS=25`` runs them longer.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cruddur_cli import times
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.conversations import send as sending
from cruddur_cli.dynamodb.conversations import transactions
from cruddur_cli.dynamodb.conversations.model import Person
from cruddur_cli.dynamodb.conversations.transactions import TransactionPlan
from cruddur_cli.errors import Refused
from cruddur_cli.integrity import rows as integrity_rows
from cruddur_cli.integrity.checks.dynamodb import WRONG
from tests import faults
from tests.dynamodb.rows import ME, OTHER, everything, write

MESSAGES = int(os.environ.get("TEST_RACE_MESSAGES", "160"))
CONVERSATIONS = int(os.environ.get("TEST_RACE_CONVERSATIONS", "20"))
KILLS = int(os.environ.get("TEST_RACE_KILLS", "12"))
PROCESSES = 8
SENDER = Path(__file__).parents[1] / "sender.py"
Pair = tuple[Person, Person]


class Acknowledged(NamedTuple):
    """A message that a process has acknowledged as stored."""

    group: str
    uuid: str
    text: str


def pairs(count: int) -> list[Pair]:
    """One person in conversation with ``count`` others."""
    return [(ME, Person(f"other-{n}", f"other{n}", f"Other {n}")) for n in range(count)]


def begin(dynamodb: DynamoDB, number: int, among: list[Pair], count: int, *, loses: bool = False) -> Any:
    task = {
        "endpoint": dynamodb.at.url,
        "table": dynamodb.table,
        "pairs": [[[who.uuid, who.handle, who.display_name] for who in pair] for pair in among],
        "count": count,
        "number": number,
        "loses": loses,
    }
    return subprocess.Popen(
        [sys.executable, str(SENDER), json.dumps(task)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_all(processes: list[Any]) -> None:
    """Start all of them at once, when all are ready."""
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def wait_for_each(processes: list[Any]) -> None:
    """Wait until each process has acknowledged a message, without reading it from its pipe."""
    for process in processes:
        assert select.select([process.stdout], [], [], 60)[0]


def read_acknowledged(output: str) -> list[Acknowledged]:
    """The acknowledged messages. A line that a kill has cut off does not count."""
    return [Acknowledged(**json.loads(line)) for line in output.splitlines(keepends=True) if line.endswith("}\n")]


def finish(processes: list[Any]) -> list[Acknowledged]:
    acknowledged = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        acknowledged += read_acknowledged(out)
    return acknowledged


def assert_right(dynamodb: DynamoDB, acknowledged: list[Acknowledged]) -> int:
    """Assert that every acknowledged message is stored once, and that each person has one row for each conversation,
    with its newest message.

    Returns the number of messages.
    """
    messages: dict[str, list[Any]] = defaultdict(list)
    rows: dict[str, list[Any]] = defaultdict(list)
    rest = []
    for item in everything(dynamodb):
        kind, _, owner = item["pk"]["S"].partition("#")
        if kind == "MSG":
            messages[owner].append(item)
        elif kind == "GRP":
            rows[item["message_group_uuid"]["S"]].append((owner, item["sk"]["S"], item["message"]["S"]))
        else:
            rest.append(item)
    stored = Counter((group, item["message_uuid"]["S"]) for group, items in messages.items() for item in items)
    assert set(stored.values()) <= {1}
    assert {(each.group, each.uuid) for each in acknowledged} <= set(stored)
    assert rows.keys() == messages.keys()
    for group, items in messages.items():
        newest = max(items, key=lambda item: str(item["sk"]["S"]))
        owners = sorted(owner for owner, _, _ in rows[group])
        assert len(owners) == len(set(owners)) == 2, (group, rows[group])
        assert {row[1:] for row in rows[group]} == {(newest["sk"]["S"], newest["message"]["S"])}
    account = integrity_rows.collect(everything(dynamodb), now=times.now())
    assert not [name for name, test in WRONG.items() if any(map(test, account.conversations.values()))]
    return sum(map(len, messages.values()))


@pytest.mark.parametrize("conversations", [1, CONVERSATIONS])
def test_eight_processes_that_send_at_once_lose_no_message(dynamodb: DynamoDB, conversations: int) -> None:
    among = pairs(conversations)
    processes = [begin(dynamodb, n, among, MESSAGES // PROCESSES) for n in range(PROCESSES)]
    start_all(processes)
    acknowledged = finish(processes)
    assert len(acknowledged) == MESSAGES // PROCESSES * PROCESSES
    assert assert_right(dynamodb, acknowledged) == len(acknowledged)
    assert not [item for item in everything(dynamodb) if item["pk"]["S"].startswith("CLAIM#")]


def test_lost_answers_after_the_commit_store_no_message_twice(dynamodb: DynamoDB) -> None:
    each = MESSAGES // PROCESSES // 2
    processes = [begin(dynamodb, n, pairs(3), each, loses=True) for n in range(PROCESSES)]
    start_all(processes)
    acknowledged = finish(processes)
    assert len(acknowledged) == each * PROCESSES
    assert assert_right(dynamodb, acknowledged) == len(acknowledged)


def test_killed_senders_lose_no_acknowledged_message(dynamodb: DynamoDB) -> None:
    """Each killed process is replaced by another one while the others continue, with new conversations all the time."""
    chance = random.Random(5)
    among = [(Person(f"a{n}", "a", None), Person(f"b{n}", None, "B")) for n in range(KILLS + PROCESSES)]
    alive = [begin(dynamodb, n, among, 10_000) for n in range(4)]
    waiting = [begin(dynamodb, n, among, 10_000) for n in range(4, 4 + KILLS)]
    start_all(alive)
    acknowledged: list[Acknowledged] = []
    try:
        for number, following in enumerate(waiting):
            victim = alive.pop(0)
            if number % 3:  # the others may be killed before they have sent anything
                wait_for_each([victim])
            time.sleep(chance.uniform(0.02, 0.2))
            victim.send_signal(signal.SIGKILL)
            acknowledged += read_acknowledged(victim.communicate(timeout=60)[0])
            start_all([following])
            alive.append(following)
        wait_for_each(alive)
    finally:
        for process in [*alive, *waiting]:
            process.kill()
    for process in alive:
        acknowledged += read_acknowledged(process.communicate(timeout=60)[0])
    assert len(acknowledged) >= KILLS * 2 // 3 + len(alive)
    assert_right(dynamodb, acknowledged)


def test_two_people_who_start_at_the_same_time_share_one_conversation(dynamodb: DynamoDB) -> None:
    processes = [begin(dynamodb, n, [(ME, OTHER)], 1) for n in range(PROCESSES)]
    start_all(processes)
    acknowledged = finish(processes)
    assert {each.group for each in acknowledged} == {sending.group_of(ME, OTHER)}
    assert assert_right(dynamodb, acknowledged) == PROCESSES


@pytest.mark.parametrize(
    ("codes", "is_overtaken"),
    [
        (["ConditionalCheckFailed", "None"], True),
        (["TransactionConflict"], True),
        (["None", "None"], False),
        ([], False),
        (["ValidationError"], False),
        (["ConditionalCheckFailed", "ItemCollectionSizeLimitExceeded"], False),
        (["ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"], True),
    ],
)
def test_only_a_conflict_with_another_writer_is_retried(codes: list[str], is_overtaken: bool) -> None:
    response = {"CancellationReasons": [{"Code": code} for code in codes]}
    error = Refused("x", fields={"response": response})
    assert transactions._is_conflict(error) is is_overtaken


ITEM = {"pk": {"S": "MSG#g"}, "sk": {"S": "1"}}


def put(dynamodb: DynamoDB) -> dict[str, Any]:
    return {"Put": {"TableName": dynamodb.table, "Item": ITEM}}


def each_time(plan: TransactionPlan[str]) -> Callable[[int], TransactionPlan[str]]:
    """The same plan for a few attempts."""

    def attempted(attempt: int) -> TransactionPlan[str]:
        assert attempt < 9, "the transaction never ends"
        return plan

    return attempted


def test_a_plan_gets_the_number_of_the_attempt(dynamodb: DynamoDB) -> None:
    attempts: list[int] = []

    def plan(attempt: int) -> TransactionPlan[str]:
        attempts.append(attempt)
        return TransactionPlan(f"{attempt}", [put(dynamodb)], unfinished=len(attempts) < 4)

    faults.cancels(dynamodb.client, "TransactionConflict", times=2)
    assert transactions.carry_out(dynamodb, "g", plan) == ["2", "3"]
    assert attempts == [0, 1, 2, 3]
    assert everything(dynamodb) == [ITEM]


def test_a_dry_run_is_the_first_plan_and_counts_its_units(dynamodb: DynamoDB) -> None:
    attempts: list[int] = []

    def plan(attempt: int) -> TransactionPlan[str]:
        attempts.append(attempt)
        row = {**ITEM, "message_group_uuid": {"S": "g"}}
        return TransactionPlan("done", [{"Put": {"TableName": dynamodb.table, "Item": row}}], needs_claim=True)

    assert transactions.dry_run(dynamodb, plan) == "done"
    assert (attempts, dynamodb.meter.planned) == ([0], 4.0)
    assert everything(dynamodb) == []


@pytest.mark.parametrize(("needs_claim", "claims", "actions"), [(True, 1, 2), (False, 0, 1)])
def test_a_claim_is_taken_once_if_a_plan_needs_one(
    dynamodb: DynamoDB, needs_claim: bool, claims: int, actions: int
) -> None:
    taken, sent, deleted = (
        faults.asked(dynamodb.client, name) for name in ("PutItem", "TransactWriteItems", "DeleteItem")
    )
    plan = TransactionPlan("done", [put(dynamodb)], needs_claim=needs_claim)
    assert transactions.carry_out(dynamodb, "g", each_time(plan)) == ["done"]
    assert [len(requests) for requests in (taken, sent, deleted)] == [claims, 1, 0]
    assert len(sent[0]["TransactItems"]) == actions
    assert everything(dynamodb) == [ITEM]


def test_a_claim_that_the_last_plan_did_not_need_is_deleted(dynamodb: DynamoDB) -> None:
    deleted = faults.asked(dynamodb.client, "DeleteItem")

    def plan(attempt: int) -> TransactionPlan[int]:
        return TransactionPlan(attempt) if attempt else TransactionPlan(attempt, [put(dynamodb)], needs_claim=True)

    assert transactions.carry_out(dynamodb, "g", plan) == [1]
    assert len(deleted) == 1
    assert everything(dynamodb) == []


def test_a_claim_that_another_writer_took_over_is_not_deleted(dynamodb: DynamoDB) -> None:
    claim = {"pk": {"S": "CLAIM#g"}, "sk": {"S": "CLAIM"}, "claimed_by": {"S": "another"}}

    def plan(attempt: int) -> TransactionPlan[int]:
        if attempt:
            write(dynamodb, [claim])
            return TransactionPlan(attempt)
        return TransactionPlan(attempt, [put(dynamodb)], needs_claim=True)

    assert transactions.carry_out(dynamodb, "g", plan) == [1]
    assert everything(dynamodb) == [claim]


def test_a_claim_is_taken_again_after_a_conflict(dynamodb: DynamoDB) -> None:
    taken = faults.asked(dynamodb.client, "PutItem")
    faults.cancels(dynamodb.client, "TransactionConflict", times=1)
    plan = TransactionPlan("done", [put(dynamodb)], needs_claim=True)
    assert transactions.carry_out(dynamodb, "g", each_time(plan)) == ["done"]
    assert len(taken) == 2
    assert everything(dynamodb) == [ITEM]


def test_other_errors_of_a_claim_are_raised(dynamodb: DynamoDB) -> None:
    def plan(attempt: int) -> TransactionPlan[int]:
        return TransactionPlan(attempt) if attempt else TransactionPlan(attempt, [put(dynamodb)], needs_claim=True)

    faults.answers(dynamodb.client, "DeleteItem", "AccessDeniedException")
    with pytest.raises(Refused, match="lack the permission dynamodb:DeleteItem"):
        transactions.carry_out(dynamodb, "g", plan)

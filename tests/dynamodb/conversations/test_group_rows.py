"""Group rows are moved, repaired or not changed, in any state of the table, the index and other writers."""

from __future__ import annotations

import copy
import random
import time
from datetime import timedelta
from typing import Any

import pytest

from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.conversations import participants
from cruddur_cli.dynamodb.conversations.group_rows import Moved, advance, overwrite
from cruddur_cli.dynamodb.conversations.model import Message, Person
from cruddur_cli.errors import Refused
from cruddur_cli.times import instant, sort_key
from tests import faults
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, everything, group_row, message_row, utc, write

OLD = "2026-11-20T09:00:00.000000+00:00"
NOW = utc(2026, 11, 20, 10)
SK = sort_key(NOW)


def message(text: str = "hello", *, at: Any = NOW, sender: Person = ME) -> Message:
    return Message(f"written {text[:80]}", sender.uuid, sender.handle, sender.display_name, text, at)


def rows(dynamodb: DynamoDB, group: str = GROUP) -> list[tuple[str | None, ...]]:
    """Owner, key, text, and the other person, of each row of a conversation."""
    return [
        (
            item["pk"]["S"].removeprefix("GRP#"),
            item["sk"]["S"],
            item["message"]["S"],
            *(item.get(f"user_{name}", {}).get("S") for name in ("uuid", "handle", "display_name")),
        )
        for item in everything(dynamodb)
        if item.get("message_group_uuid", {}).get("S") == group
    ]


def expected_rows(sk: str, text: str, me: Person = ME, other: Person = OTHER) -> list[tuple[str | None, ...]]:
    """The expected rows of a conversation."""
    return sorted(
        (owner.uuid, sk, text, whom.uuid, whom.handle, whom.display_name)
        for owner, whom in ((me, other), (other, me))
    )  # fmt: skip


def pair(sk: str = OLD, *, group: str = GROUP) -> list[Any]:
    return [group_row(ME, OTHER, sk, "before", group=group), group_row(OTHER, ME, sk, "before", group=group)]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_message_with_an_unreadable_time_moves_no_row_and_is_named(dynamodb: DynamoDB, dry_run: bool) -> None:
    write(dynamodb, pair())
    before = everything(dynamodb)
    done = advance(dynamodb, GROUP, message(at=None), write_message=True, dry_run=dry_run)
    assert done == Moved(0, 0, 0, f"message written hello of conversation {GROUP} has no readable time")
    assert everything(dynamodb) == before


@pytest.mark.parametrize("people", [None, (ME, OTHER), (OTHER, ME)])
@pytest.mark.parametrize("sender", [ME, OTHER])
def test_both_rows_move_to_the_message(dynamodb: DynamoDB, sender: Person, people: Any) -> None:
    write(dynamodb, pair())
    assert advance(dynamodb, GROUP, message(sender=sender), people=people) == Moved(2, 0, 0)
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert advance(dynamodb, GROUP, message(sender=sender), people=people) == Moved(0, 2, 0)
    assert advance(dynamodb, GROUP, message("late", at=NOW - timedelta(microseconds=1)), people=people).unchanged == 2
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert len(everything(dynamodb)) == 2


@pytest.mark.parametrize(
    ("sk", "moves"),
    [
        ("2026-11-20T10:00:00", False),  # naive: UTC
        ("2026-11-20T10:00:00+00:00", False),  # whole seconds
        ("2026-11-20T12:00:00.000001+02:00", False),  # newer, in another offset
        ("2026-11-20T12:00:00.000000+02:00", False),  # the same instant
        ("2026-11-20T11:30:00.000000+02:00", True),  # the greater text is the earlier time
        ("2026-11-20T04:30:00-05:00", True),
        ("2026-11-20T05:30:00-05:00", False),  # the lesser text is the later time
        ("2026-11-20 09:59:59", True),
        ("yesterday", True),  # no time at all
        ("", True),
    ],
)
def test_times_are_compared_not_their_texts(dynamodb: DynamoDB, sk: str, moves: bool) -> None:
    if not sk:
        sk = " "  # an empty text is no key
    write(dynamodb, [group_row(ME, OTHER, sk, "there"), group_row(OTHER, ME, sk, "there")])
    moved = advance(dynamodb, GROUP, message())
    assert moved == (Moved(2, 0, 0) if moves else Moved(0, 2, 0))
    assert rows(dynamodb) == (expected_rows(SK, "hello") if moves else expected_rows(sk, "there"))


def test_two_messages_with_one_time_give_the_same_rows_in_either_order(dynamodb: DynamoDB) -> None:
    for number, texts in enumerate((["a", "b"], ["b", "a"])):
        write(dynamodb, pair(group=str(number)))
        for text in texts:
            advance(dynamodb, str(number), message(text))
    assert [[row[2] for row in rows(dynamodb, group)] for group in "01"] == [["b", "b"]] * 2


def test_another_conversation_with_the_same_time_keeps_its_row(dynamodb: DynamoDB) -> None:
    write(dynamodb, [*pair(), group_row(ME, THIRD, SK, "elsewhere", group="g2")])
    write(dynamodb, [group_row(ME, Person("x", "x", "x"), SK.replace("+", "001+"), "third", group="g3")])
    assert advance(dynamodb, GROUP, message()) == Moved(2, 0, 0)
    (mine,) = [row for row in rows(dynamodb) if row[0] == ME.uuid]
    assert (mine[1], instant(str(mine[1]))) == (SK.replace("+", "002+"), NOW)
    assert len(rows(dynamodb, "g2")) == len(rows(dynamodb, "g3")) == 1
    assert advance(dynamodb, GROUP, message()) == Moved(0, 2, 0)
    assert advance(dynamodb, GROUP, message("next", at=NOW + timedelta(microseconds=1))) == Moved(2, 0, 0)
    assert len(everything(dynamodb)) == 4


def test_a_second_conversation_with_the_same_time_gets_the_next_free_decimal(dynamodb: DynamoDB) -> None:
    write(dynamodb, [*pair(), group_row(ME, THIRD, SK, "elsewhere", group="g2")])
    assert advance(dynamodb, GROUP, message()) == Moved(2, 0, 0)
    assert [row[1] for row in rows(dynamodb) if row[0] == ME.uuid] == [SK.replace("+", "001+")]


def test_two_hundred_conversations_of_one_person_may_end_in_the_same_microsecond(dynamodb: DynamoDB) -> None:
    taken = [SK, *(SK.replace("+", f"{number:03}+") for number in range(1, 200))]
    write(dynamodb, [*pair(), *(group_row(ME, THIRD, sk, "x", group=f"g{n}") for n, sk in enumerate(taken))])
    assert advance(dynamodb, GROUP, message()) == Moved(2, 0, 0)
    (mine,) = [row for row in rows(dynamodb) if row[0] == ME.uuid]
    assert (mine[1], instant(str(mine[1]))) == (SK.replace("+", "200+"), NOW)


def test_other_attributes_move_with_a_row_and_missing_names_are_kept(dynamodb: DynamoDB) -> None:
    mine, theirs = pair()
    write(dynamodb, [{**mine, "pinned": {"BOOL": True}}, theirs])
    advance(dynamodb, GROUP, message(sender=Person(ME.uuid, None, None)))
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert [item.get("pinned") for item in everything(dynamodb)] == [{"BOOL": True}, None]


def test_rows_without_names_stay_without_them_and_get_the_senders(dynamodb: DynamoDB) -> None:
    names = {"user_handle", "user_display_name"}
    bare = [{key: value for key, value in row.items() if key not in names} for row in pair()]
    write(dynamodb, bare)
    assert advance(dynamodb, GROUP, message(sender=OTHER)) == Moved(2, 0, 0)
    assert rows(dynamodb) == sorted(
        [(ME.uuid, SK, "hello", *vars(OTHER).values()), (OTHER.uuid, SK, "hello", ME.uuid, None, None)]
    )


@pytest.mark.parametrize("group", ["not a uuid", "ünï#cödé", "5AE290ED", "x" * 2000])
def test_the_id_of_a_conversation_need_not_be_a_uuid_to_move_its_rows(dynamodb: DynamoDB, group: str) -> None:
    write(dynamodb, pair(group=group))
    assert advance(dynamodb, group, message(), write_message=True) == Moved(2, 0, 0)
    assert rows(dynamodb, group) == expected_rows(SK, "hello")
    assert len(everything(dynamodb)) == 3


# Other writers, busy engines, late answers.


def stale_index(dynamodb: DynamoDB) -> faults.Struck:
    """Freeze the answers of the index at their present state."""
    struck = faults.Struck()
    kept: dict[str, Any] = {}

    def before(params: dict[str, Any], context: dict[str, Any], **_: Any) -> Any:
        context["index"] = "IndexName" in str(params["body"])
        if context["index"] and kept:
            struck.count += 1
            return kept["http"], copy.deepcopy(kept["parsed"])
        return None

    def after(http_response: Any, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if context.get("index") and not kept:
            kept.update(http=http_response, parsed=copy.deepcopy(parsed))

    dynamodb.client.meta.events.register("before-call.dynamodb.Query", before)
    dynamodb.client.meta.events.register("after-call.dynamodb.Query", after)
    participants.owners(dynamodb, GROUP)
    return struck


@pytest.mark.parametrize("lost", [None, 0, 1])
def test_a_stale_index_neither_duplicates_nor_loses_a_row(dynamodb: DynamoDB, lost: int | None) -> None:
    write(dynamodb, pair())
    struck = stale_index(dynamodb)
    sent = NOW
    with opened(dynamodb.at, dynamodb.table) as other:
        for number in range(5):
            sent = NOW + timedelta(seconds=2 * number)
            advance(other, GROUP, message("meanwhile", at=sent), people=(ME, OTHER))
            if lost is not None:
                owner = (ME, OTHER)[lost]
                key = {"pk": {"S": f"GRP#{owner.uuid}"}, "sk": {"S": sort_key(sent)}}
                other.call("delete_item", TableName=other.table, Key=key)
            moved = advance(dynamodb, GROUP, message("ours", at=sent + timedelta(seconds=1)))
            assert (moved.moved, moved.repaired, moved.missing) == ((2, 0, None) if lost is None else (1, 1, None))
    assert [row[:3] for row in rows(dynamodb)] == [
        row[:3] for row in expected_rows(sort_key(sent + timedelta(seconds=1)), "ours")
    ]
    assert (struck.count > 0) == (lost == 0)  # the index is asked only where the sender's own row is lost


def test_rows_move_if_the_index_has_no_entries_yet(dynamodb: DynamoDB) -> None:
    struck = stale_index(dynamodb)
    write(dynamodb, [group_row(OTHER, ME, OLD, "before"), message_row(OLD, "before", sender=OTHER)])
    assert advance(dynamodb, GROUP, message()) == Moved(1, 0, 1)
    assert struck.count >= 1
    assert rows(dynamodb) == expected_rows(SK, "hello")


@pytest.mark.parametrize("code", ["ConditionalCheckFailed", "TransactionConflict", "ThrottlingError"])
def test_a_transaction_that_is_cancelled_three_times_succeeds(dynamodb: DynamoDB, code: str) -> None:
    write(dynamodb, pair())
    struck = faults.cancels(dynamodb.client, code, times=3)
    assert advance(dynamodb, GROUP, message(), write_message=True) == Moved(2, 0, 0)
    assert struck.count == 3
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert len(everything(dynamodb)) == 3


def test_conflicts_that_do_not_end_give_a_busy_error(dynamodb: DynamoDB) -> None:
    write(dynamodb, pair())
    before = everything(dynamodb)
    faults.cancels(dynamodb.client, "TransactionConflict")
    dynamodb.busy_s = 0.3
    with pytest.raises(Refused) as failed:
        advance(dynamodb, GROUP, message(), write_message=True)
    assert failed.value.code == "busy"
    assert GROUP in failed.value.message
    assert everything(dynamodb) == before


def test_an_error_that_is_not_a_conflict_is_raised_at_once(dynamodb: DynamoDB) -> None:
    write(dynamodb, pair())
    struck = faults.cancels(dynamodb.client, "ValidationError")
    with pytest.raises(Refused):
        advance(dynamodb, GROUP, message())
    assert struck.count == 1


def test_a_row_that_moves_between_reading_and_writing_is_read_again(dynamodb: DynamoDB) -> None:
    """In each of five attempts, another writer is first, with a message that is newer or older."""
    write(dynamodb, pair())
    chance, times = random.Random(3), [NOW]

    def overtake() -> None:
        at = NOW + timedelta(seconds=chance.randint(-30, -1))
        with opened(dynamodb.at, dynamodb.table) as other:
            if advance(other, GROUP, message("theirs", at=at)).moved:
                times.append(at)

    faults.overtakes(dynamodb.client, "TransactWriteItems", act=overtake, times=5)
    assert advance(dynamodb, GROUP, message()) == Moved(2, 0, 0)
    assert len(times) > 1
    assert rows(dynamodb) == expected_rows(SK, "hello")


def test_a_move_of_older_code_between_delete_and_put_is_waited_for(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older code of the application deletes a row and puts it later. In between, the row only seems to be missing."""
    write(dynamodb, [group_row(ME, OTHER, OLD, "before")])
    pauses = []

    def put(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            with opened(dynamodb.at, dynamodb.table) as other:
                write(other, [group_row(OTHER, ME, "2026-11-20T11:30:00+02:00", "theirs")])

    monkeypatch.setattr(time, "sleep", put)
    assert advance(dynamodb, GROUP, message()) == Moved(2, 0, 0)
    assert pauses == [0.3]
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert len(everything(dynamodb)) == 2


@pytest.mark.parametrize("missing", [0, 1, 2])
@pytest.mark.parametrize("overwrites", [False, True])
def test_a_row_that_is_missing_is_created_under_a_claim(dynamodb: DynamoDB, missing: int, overwrites: bool) -> None:
    write(dynamodb, pair()[missing:])
    claims = faults.asked(dynamodb.client, "PutItem")
    if overwrites:
        overwrite(dynamodb, GROUP, (ME, OTHER), message())
    else:
        advance(dynamodb, GROUP, message(), people=(ME, OTHER))
    assert len(claims) == (missing > 0)
    assert rows(dynamodb) == expected_rows(SK, "hello")


def test_rows_are_read_consistently_before_a_decision(dynamodb: DynamoDB) -> None:
    write(dynamodb, pair())
    queries, gets = (faults.asked(dynamodb.client, operation) for operation in ("Query", "GetItem"))
    overwrite(dynamodb, GROUP, (ME, OTHER), message())
    faults.cancels(dynamodb.client, "TransactionConflict", times=1)
    advance(dynamodb, GROUP, message("next", at=NOW + timedelta(seconds=1)), write_message=True)
    participants.between(dynamodb, ME, OTHER)
    of_the_table = [each.get("ConsistentRead", False) for each in queries if "IndexName" not in each]
    assert (set(of_the_table), len(of_the_table)) == ({True}, 2 + 1 + 2 * 2 + 2)
    assert [each["ConsistentRead"] for each in gets] == [True]


def test_a_transaction_deletes_three_rows_of_each_person(dynamodb: DynamoDB) -> None:
    """DynamoDB Local of 2020 takes at most ten actions."""
    each = ((ME, OTHER), (OTHER, ME))
    for group in ("moved", "overwritten"):
        stray = [f"2026-{10 + (group == 'moved')}-01T08:{n:02}:00" for n in range(7)]
        write(dynamodb, [group_row(*side, sk, "stray", group=group) for sk in stray for side in each])
    sent = faults.asked(dynamodb.client, "TransactWriteItems")
    advance(dynamodb, "moved", message(), write_message=True)
    assert [len(request["TransactItems"]) for request in sent] == [1 + 2 * (1 + 3), 2 * (1 + 3), 2 * (1 + 1)]
    sent.clear()
    assert overwrite(dynamodb, "overwritten", (ME, OTHER), message()) == (2, 14)
    assert [len(request["TransactItems"]) for request in sent] == [2 + 6, 6, 2]
    assert len(rows(dynamodb, "moved")) == len(rows(dynamodb, "overwritten")) == 2


@pytest.mark.parametrize("operation", ["PutItem", "TransactWriteItems"])
def test_rows_that_another_process_creates_meanwhile_are_not_created_twice(dynamodb: DynamoDB, operation: str) -> None:
    """The other process creates them after the first read: before the claim, or before the transaction."""

    def overtake() -> None:
        with opened(dynamodb.at, dynamodb.table) as other:
            advance(other, GROUP, message("theirs", at=NOW - timedelta(seconds=1)), people=(OTHER, ME))

    struck = faults.overtakes(dynamodb.client, operation, act=overtake)
    assert advance(dynamodb, GROUP, message(), people=(ME, OTHER)) == Moved(2, 0, 0)
    assert struck.count == 1
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert len(everything(dynamodb)) == 2


def test_another_conversation_that_takes_the_same_key_meanwhile_keeps_it(dynamodb: DynamoDB) -> None:
    write(dynamodb, pair())

    def overtake() -> None:
        with opened(dynamodb.at, dynamodb.table) as other:
            write(other, [group_row(ME, THIRD, SK, "elsewhere", group="g2")])

    struck = faults.overtakes(dynamodb.client, "TransactWriteItems", act=overtake)
    assert advance(dynamodb, GROUP, message()) == Moved(2, 0, 0)
    assert len(struck.at) == 2
    assert [row[2] for row in rows(dynamodb, "g2")] == ["elsewhere"]
    assert [instant(str(row[1])) for row in rows(dynamodb)] == [NOW, NOW]


def test_a_claim_that_a_killed_process_left_does_not_block_others(dynamodb: DynamoDB) -> None:
    claim = {"pk": {"S": f"CLAIM#{GROUP}"}, "sk": {"S": "CLAIM"}, "claimed_by": {"S": "somebody who died"}}
    write(dynamodb, [claim])
    assert advance(dynamodb, GROUP, message(), people=(ME, OTHER)) == Moved(0, 0, 2)
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert len(everything(dynamodb)) == 2


@pytest.mark.parametrize("times", [1, 2])
def test_a_request_with_a_lost_answer_is_repeated_with_the_same_token(dynamodb: DynamoDB, times: int) -> None:
    write(dynamodb, pair())
    tokens: list[str] = []
    dynamodb.client.meta.events.register(
        "before-parameter-build.dynamodb.TransactWriteItems",
        lambda params, **_: tokens.append(params["ClientRequestToken"]),
    )
    lost = faults.loses_answers(dynamodb.client, "TransactWriteItems", times=times)
    advance(dynamodb, GROUP, message(), write_message=True)
    assert lost.count == times
    assert len(tokens) == times + 1
    assert len(set(tokens)) == 1
    assert rows(dynamodb) == expected_rows(SK, "hello")
    assert len(everything(dynamodb)) == 3


def test_a_dry_run_counts_and_writes_nothing(dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch) -> None:
    write(dynamodb, [pair()[0]])
    before = everything(dynamodb)
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert advance(dynamodb, GROUP, message(), write_message=True, dry_run=True) == Moved(1, 0, 1)
    assert everything(dynamodb) == before
    assert pauses == [], "a dry run does not wait"

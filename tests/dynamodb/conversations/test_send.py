"""A message is stored once, with both group rows, in order and in the right conversation; or nothing is written."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from cruddur_cli.aws_client import client as aws_client
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.conversations import group_rows, message_ids, queries
from cruddur_cli.dynamodb.conversations import send as sending
from cruddur_cli.dynamodb.conversations.group_rows import KeyTaken
from cruddur_cli.dynamodb.conversations.model import Message, Person
from cruddur_cli.dynamodb.conversations.send import SKEW, send, start
from cruddur_cli.errors import BadInput, CannotConnect, CruddurError, NotFound, Refused
from cruddur_cli.times import instant, sort_key
from tests import faults
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, everything, group_row, message_row, texts, utc, write

NOW = utc(2026, 11, 20, 10)
STEP = timedelta(microseconds=1)
SOMETIME = "2026-11-18T10:00:00+05:30"
MEET = sending.group_of(ME, OTHER)


def clock(at: datetime = NOW) -> Any:
    return lambda: at


def rows(dynamodb: DynamoDB, kind: str) -> list[dict[str, Any]]:
    return [queries.plain(item) for item in everything(dynamodb) if item["pk"]["S"].startswith(kind)]


def assert_whole(dynamodb: DynamoDB, *, people: int = 2) -> None:
    """Assert that each person of a conversation has one row, with its last message, and that nothing else is stored."""
    written, groups = rows(dynamodb, "MSG#"), rows(dynamodb, "GRP#")
    assert len(everything(dynamodb)) == len(written) + len(groups)
    for group in {row["message_group_uuid"] for row in groups}:
        mine = [row for row in groups if row["message_group_uuid"] == group]
        last = max((row for row in written if row["pk"] == f"MSG#{group}"), key=lambda row: instant(row["sk"]) or NOW)
        assert len({row["pk"] for row in mine}) == len(mine) == people
        assert {(instant(row["sk"]), row["message"]) for row in mine} == {(instant(last["sk"]), last["message"])}


# Starting and going on.


def test_a_conversation_starts_with_a_message_and_two_rows(dynamodb: DynamoDB) -> None:
    sent = start(dynamodb, ME, OTHER, "first", clock=clock())
    assert (sent.message_group_uuid, sent.written, sent.started) == (MEET, True, True)
    assert (sent.moved.moved, sent.moved.repaired, sent.moved.missing) == (0, 2, None)
    assert (sent.message.created_at, message_ids.written_at(sent.message.message_uuid)) == (NOW, NOW)
    (item,) = rows(dynamodb, "MSG#")
    assert item == {
        "pk": f"MSG#{MEET}",
        "sk": "2026-11-20T10:00:00.000000+00:00",
        "message_uuid": sent.message.message_uuid,
        "message": "first",
        "user_uuid": ME.uuid,
        "user_handle": ME.handle,
        "user_display_name": ME.display_name,
    }
    assert sorted(row["user_handle"] for row in rows(dynamodb, "GRP#")) == ["andrewbrown", "bayko"]
    assert_whole(dynamodb)


@pytest.mark.parametrize("group", [MEET, GROUP, "no uuid"])
def test_starting_an_existing_conversation_continues_it_from_either_side(dynamodb: DynamoDB, group: str) -> None:
    sk = "2026-11-19T10:00:00"
    write(dynamodb, [message_row(sk, "old", group=group), message_row(SOMETIME, "other's", group="g2")])
    write(dynamodb, [group_row(ME, OTHER, sk, "old", group=group), group_row(OTHER, ME, sk, "old", group=group)])
    write(dynamodb, [group_row(*side, SOMETIME, "other's", group="g2") for side in ((ME, THIRD), (THIRD, ME))])
    for number, (sender, receiver) in enumerate(((ME, OTHER), (OTHER, ME))):
        sent = start(dynamodb, sender, receiver, f"again {number}", clock=clock(NOW + number * STEP))
        assert (sent.message_group_uuid, sent.started, sent.moved.moved) == (group, False, 2)
    assert texts(queries.latest(dynamodb, group)) == ["old", "again 0", "again 1"]
    assert_whole(dynamodb)


@pytest.mark.parametrize("lost", [ME, OTHER])
def test_a_conversation_with_a_missing_row_is_found_from_the_other_row(dynamodb: DynamoDB, lost: Person) -> None:
    start(dynamodb, ME, OTHER, "first", clock=clock())
    for row in rows(dynamodb, f"GRP#{lost.uuid}"):
        dynamodb.call("delete_item", TableName=dynamodb.table, Key={"pk": {"S": row["pk"]}, "sk": {"S": row["sk"]}})
    sent = send(dynamodb, ME, "second", receiver=OTHER, clock=clock(NOW + STEP))
    assert (sent.message_group_uuid, sent.moved.moved, sent.moved.repaired, sent.started) == (MEET, 1, 1, False)
    assert_whole(dynamodb)


def test_a_message_continues_the_newest_of_several_conversations(dynamodb: DynamoDB) -> None:
    for group, sk in (
        ("a", "2026-11-20T09:00:00+00:00"),
        ("b", "2026-11-20T05:00:00-05:00"),
        ("c", "2026-11-20T09:30"),
    ):
        write(dynamodb, [message_row(sk, group, group=group)])
        write(dynamodb, [group_row(ME, OTHER, sk, group, group=group), group_row(OTHER, ME, sk, group, group=group)])
    assert send(dynamodb, OTHER, "hello", receiver=ME, clock=clock(NOW + STEP)).message_group_uuid == "b"
    assert_whole(dynamodb)


def test_a_reassigned_handle_does_not_open_the_old_conversation(dynamodb: DynamoDB) -> None:
    start(dynamodb, ME, OTHER, "between us", clock=clock())
    usurper = Person("somebody else", OTHER.handle, OTHER.display_name)
    with pytest.raises(NotFound):
        send(dynamodb, ME, "hello", receiver=usurper)
    assert start(dynamodb, ME, usurper, "hello", clock=clock(NOW + STEP)).message_group_uuid != MEET
    assert_whole(dynamodb)


def test_a_message_by_group_finds_the_other_person(dynamodb: DynamoDB) -> None:
    start(dynamodb, ME, OTHER, "first", clock=clock())
    sent = send(dynamodb, OTHER, "second", group=MEET, clock=clock(NOW + STEP))
    assert (sent.moved.moved, sent.started) == (2, False)
    assert texts(queries.latest(dynamodb, MEET)) == ["first", "second"]
    assert_whole(dynamodb)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"group": "nowhere"}, "conversation_not_found"),
        ({"group": MEET}, "not_in_conversation"),
        ({"receiver": ME}, "conversation_not_found"),
    ],
)
def test_a_conversation_that_is_not_the_senders_is_refused(dynamodb: DynamoDB, asked: Any, code: str) -> None:
    start(dynamodb, ME, OTHER, "between us", clock=clock())
    before = everything(dynamodb)
    with pytest.raises(NotFound) as failed:
        send(dynamodb, THIRD, "let me in", **asked)
    assert failed.value.code == code
    assert everything(dynamodb) == before


def test_a_conversation_whose_rows_name_nobody_is_refused(dynamodb: DynamoDB) -> None:
    write(dynamodb, [message_row("2026-11-19T10:00:00", "talking to myself")])
    with pytest.raises(NotFound) as failed:
        send(dynamodb, ME, "hello?", group=GROUP)
    assert failed.value.code == "group_rows_lost"
    assert len(everything(dynamodb)) == 1


# Once, however often.


@pytest.mark.parametrize("kind", ["ours", "version 4", "a word"])
@pytest.mark.parametrize("later", [timedelta(0), timedelta(minutes=3), timedelta(days=30)])
def test_the_same_id_is_stored_once(dynamodb: DynamoDB, kind: str, later: timedelta) -> None:
    ids = {"ours": message_ids.generate(NOW), "version 4": str(uuid.UUID(int=5, version=4)), "a word": "retry-1"}
    first = start(dynamodb, ME, OTHER, "once", message_uuid=ids[kind], clock=clock(NOW))
    before = everything(dynamodb)
    asked: tuple[Any, ...] = ({"group": MEET}, {"receiver": OTHER})
    for where in asked:
        name = ids[kind].upper() if kind == "ours" else ids[kind]
        again = send(dynamodb, ME, "once", message_uuid=name, clock=clock(NOW + later), **where)
        assert (first.written, again.written) == (True, False)
        assert again.message == first.message
    assert everything(dynamodb) == before
    send(dynamodb, OTHER, "meanwhile", group=MEET, clock=clock(NOW + later + STEP))
    assert not send(dynamodb, ME, "once", group=MEET, message_uuid=ids[kind], clock=clock(NOW + later)).written
    assert texts(queries.latest(dynamodb, MEET)) == ["once", "meanwhile"]
    assert_whole(dynamodb)


def test_the_same_id_with_another_text_or_sender_is_refused(dynamodb: DynamoDB) -> None:
    for name in (message_ids.generate(NOW), "by-hand"):
        start(dynamodb, ME, OTHER, name, message_uuid=name, clock=clock())
    before = everything(dynamodb)
    for row in rows(dynamodb, "MSG#"):
        for sender, text in ((ME, "changed"), (OTHER, row["message"])):
            with pytest.raises(Refused) as failed:
                send(dynamodb, sender, text, group=MEET, message_uuid=row["message_uuid"], clock=clock())
            assert failed.value.code == "message_differs"
    assert everything(dynamodb) == before


@pytest.mark.parametrize("operation", ["PutItem", "TransactWriteItems"])
def test_a_message_that_is_sent_twice_at_the_same_time_is_stored_once(dynamodb: DynamoDB, operation: str) -> None:
    """The second sender runs completely between the first one's read and its claim, or its transaction."""
    start(dynamodb, ME, OTHER, "first", clock=clock())
    for number, name in enumerate((message_ids.generate(NOW + STEP), "by-hand")):
        struck: list[int] = []

        def overtake(name: str = name, struck: list[int] = struck, **_: Any) -> None:
            struck.append(1)
            if len(struck) == 1:
                with opened(dynamodb.at, dynamodb.table) as other:
                    send(other, ME, name, group=MEET, message_uuid=name, clock=clock(NOW + 2 * STEP))

        with opened(dynamodb.at, dynamodb.table) as mine:
            mine.client.meta.events.register(f"before-call.dynamodb.{operation}", overtake)
            send(mine, ME, name, group=MEET, message_uuid=name, clock=clock(NOW + 3 * STEP))
        assert len(rows(dynamodb, "MSG#")) == number + 2
        assert_whole(dynamodb)


@pytest.mark.parametrize("name", [None, "by-hand"])
def test_a_message_whose_answer_is_lost_can_be_sent_again(dynamodb: DynamoDB, name: str | None) -> None:
    start(dynamodb, ME, OTHER, "first", clock=clock())
    dynamodb.busy_s = 0.2
    with opened(dynamodb.at, dynamodb.table) as mine:
        mine.busy_s = 0.2
        faults.loses_answers(mine.client, "TransactWriteItems", times=faults.FOREVER)
        with pytest.raises(CruddurError) as failed:
            send(mine, ME, "lost?", group=MEET, message_uuid=name, clock=clock(NOW + STEP))
    uuid = str(failed.value.fields["message_uuid"])
    assert name is None or uuid == name
    again = send(dynamodb, ME, "lost?", group=MEET, message_uuid=uuid, clock=clock(NOW + 9 * STEP))
    assert not again.written
    assert texts(queries.latest(dynamodb, MEET)) == ["first", "lost?"]
    assert_whole(dynamodb)


def test_an_unreachable_store_gives_an_error_with_the_message_id() -> None:
    at = aws_client.Endpoint("dynamodb", faults.refused_url(), aws_client.LOCAL_REGION, "nowhere", unreachable_s=0.2)
    with opened(at, "messages") as nowhere, pytest.raises(CannotConnect) as failed:
        send(nowhere, ME, "hello", group=GROUP, clock=clock())
    assert message_ids.written_at(str(failed.value.fields["message_uuid"])) == NOW


@pytest.mark.parametrize("code", ["TransactionConflict", "ConditionalCheckFailed"])
def test_a_first_message_and_another_survive_three_cancellations(dynamodb: DynamoDB, code: str) -> None:
    struck = faults.cancels(dynamodb.client, code, times=3)
    assert start(dynamodb, ME, OTHER, "first", clock=clock()).started
    assert struck.count == 3
    struck = faults.cancels(dynamodb.client, code, times=3)
    send(dynamodb, ME, "second", group=MEET, clock=clock(NOW + STEP))
    assert struck.count == 3
    assert texts(queries.latest(dynamodb, MEET)) == ["first", "second"]
    assert_whole(dynamodb)


@pytest.mark.parametrize(("name", "read"), [("x" * 200, True), ("x" * 201, False), (" ", False), ("a\tb", False)])
def test_an_id_has_up_to_two_hundred_printable_characters(dynamodb: DynamoDB, name: str, read: bool) -> None:
    if read:
        assert start(dynamodb, ME, OTHER, "hello", message_uuid=name, clock=clock()).written
        return
    with pytest.raises(BadInput) as failed:
        start(dynamodb, ME, OTHER, "hello", message_uuid=name, clock=clock())
    assert failed.value.code == "not_a_message_uuid"


def test_an_id_that_tells_no_time_is_looked_for_among_two_hundred_messages(dynamodb: DynamoDB) -> None:
    start(dynamodb, ME, OTHER, "first", clock=clock())
    asked = faults.asked(dynamodb.client, "Query")
    send(dynamodb, ME, "second", group=MEET, message_uuid="by-hand", clock=clock(NOW + STEP))
    assert {each.get("Limit") for each in asked} == {None, 200}


@pytest.mark.parametrize("name", [None, "by-hand"])
def test_after_twenty_taken_times_sending_is_given_up(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    start(dynamodb, ME, OTHER, "first", clock=clock())
    tried: list[datetime | None] = []

    def taken(_: object, __: str, message: Message, **___: object) -> Any:
        tried.append(message.created_at)
        raise KeyTaken("taken")

    monkeypatch.setattr(group_rows, "advance", taken)
    with pytest.raises(KeyTaken):
        send(dynamodb, ME, "second", group=MEET, message_uuid=name, clock=clock(NOW))
    assert tried == [NOW + number * STEP for number in range(1, 21)]


# Order and clocks.


def test_two_messages_in_one_microsecond_get_different_times(dynamodb: DynamoDB) -> None:
    for number in range(4):
        sent = start(dynamodb, (ME, OTHER)[number % 2], (OTHER, ME)[number % 2], str(number), clock=clock())
        assert message_ids.written_at(sent.message.message_uuid) == sent.message.created_at == NOW + number * STEP
    assert texts(queries.latest(dynamodb, MEET)) == ["0", "1", "2", "3"]
    assert_whole(dynamodb)


def test_a_key_of_another_message_that_the_rows_do_not_show_is_not_taken(dynamodb: DynamoDB) -> None:
    start(dynamodb, ME, OTHER, "first", clock=clock(NOW - STEP))
    write(dynamodb, [message_row(sort_key(NOW), "without rows", group=MEET, sender=OTHER)])
    name = message_ids.generate(NOW)
    with pytest.raises(KeyTaken) as failed:
        send(dynamodb, ME, "ours", group=MEET, message_uuid=name, clock=clock())
    assert failed.value.hint
    send(dynamodb, ME, "ours", group=MEET, clock=clock())
    send(dynamodb, ME, "mine", group=MEET, clock=clock(), message_uuid="by-hand")
    assert texts(queries.latest(dynamodb, MEET)) == ["first", "without rows", "ours", "mine"]
    assert_whole(dynamodb)


@pytest.mark.parametrize(
    ("ahead", "at"),
    [
        (timedelta(0), STEP),
        (timedelta(seconds=90), timedelta(seconds=90) + STEP),
        (SKEW, timedelta(minutes=5) + STEP),
        (timedelta(minutes=5) + STEP, timedelta(0)),
        (timedelta(days=999), timedelta(0)),
        (timedelta(hours=-1), timedelta(0)),
    ],
)
def test_a_clock_that_is_behind_keeps_the_order(dynamodb: DynamoDB, ahead: timedelta, at: timedelta) -> None:
    start(dynamodb, ME, OTHER, "ahead", clock=clock(NOW + ahead))
    sent = send(dynamodb, OTHER, "answer", receiver=ME, clock=clock())
    assert sent.message.created_at == NOW + at
    assert_whole(dynamodb)


def test_an_id_from_the_future_is_refused_and_an_old_one_stays_old(dynamodb: DynamoDB) -> None:
    start(dynamodb, ME, OTHER, "first", clock=clock())
    with pytest.raises(BadInput):
        send(dynamodb, ME, "tomorrow", group=MEET, message_uuid=message_ids.generate(NOW + SKEW + STEP), clock=clock())
    ahead = message_ids.generate(NOW + SKEW)
    assert send(dynamodb, ME, "a clock ahead", group=MEET, message_uuid=ahead, clock=clock(), dry_run=True).written
    old = message_ids.generate(NOW - timedelta(days=3))
    assert send(dynamodb, ME, "late", group=MEET, message_uuid=old, clock=clock()).moved.unchanged == 2
    assert texts(queries.latest(dynamodb, MEET)) == ["late", "first"]
    assert_whole(dynamodb)


# What else there is.


def test_people_without_names_can_send_messages(dynamodb: DynamoDB) -> None:
    me, other = Person("1", None, None), Person("2", "two", None)
    start(dynamodb, me, other, "hello", clock=clock())
    send(dynamodb, other, "hi", group=sending.group_of(me, other), clock=clock(NOW + STEP))
    assert [(row.get("user_handle"), "user_display_name" in row) for row in rows(dynamodb, "MSG#")] == [
        (None, False),
        ("two", False),
    ]
    assert_whole(dynamodb)


@pytest.mark.parametrize("limit", [1, 5, 100])
def test_the_last_lines_contain_the_sent_message_among_keys_with_offsets(dynamodb: DynamoDB, limit: int) -> None:
    """Thirty messages of the last hour have keys with an offset of two hours, which sort after the new one's key."""
    hour = [(NOW - timedelta(minutes=n + 1) + timedelta(hours=2)).replace(tzinfo=None).isoformat() for n in range(30)]
    write(dynamodb, [message_row(f"{at}+02:00", str(n), group=MEET) for n, at in enumerate(hour)])
    sent = start(dynamodb, ME, OTHER, "new", clock=clock())
    asked = faults.asked(dynamodb.client, "Query")
    shown = texts(sending.last_lines(dynamodb, sent, limit=limit))
    assert asked[0]["Limit"] == limit + 20
    assert shown[-3:] == ["1", "0", "new"][-limit:]


def test_a_message_that_is_the_last_one_is_shown_once(dynamodb: DynamoDB) -> None:
    first = start(dynamodb, ME, OTHER, "first", clock=clock())
    second = send(dynamodb, OTHER, "second", group=MEET, clock=clock(NOW + STEP))
    for sent in (first, second):
        assert texts(sending.last_lines(dynamodb, sent, limit=5)) == ["first", "second"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text": "lone \ud83d surrogate"}, "The message is not Unicode text (character 6)."),
        ({"group": "g\udcff"}, "The conversation's id is not Unicode text (character 2)."),
        ({"group": "é" * 1021 + "x"}, "A conversation's id is a text of 1 to 2,042 bytes."),
        ({"sender": ME, "receiver": ME}, "andrewbrown cannot write to themselves: a conversation needs two people."),
        (
            {"sender": Person("1", None, None), "receiver": Person("1", "x", None)},
            "1 cannot write to themselves: a conversation needs two people.",
        ),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused_in_words(asked: Any, said: str) -> None:
    with pytest.raises(BadInput) as failed:
        sending.check(**{"text": "hello", **asked})
    assert failed.value.message == said


def test_a_message_that_can_be_sent_is_accepted() -> None:
    for asked in ({}, {"group": "é" * 1021}, {"sender": ME}, {"receiver": ME}, {"sender": ME, "receiver": OTHER}):
        sending.check("hello", **asked)


@pytest.mark.parametrize(("person", "name"), [(THIRD, "altbrown"), (Person("3", None, None), "3")])
def test_people_of_no_conversation_are_named_by_the_handle_else_the_uuid(
    dynamodb: DynamoDB, person: Person, name: str
) -> None:
    start(dynamodb, ME, OTHER, "between us", clock=clock())
    asked = faults.asked(dynamodb.client, "Query")
    for where, said in (
        ({"receiver": ME}, f"{name} and andrewbrown have no conversation in table {dynamodb.table!r}."),
        ({"group": MEET}, f"{name} is not part of conversation {MEET!r}: nothing was written."),
        ({"group": "nowhere"}, f"There is no conversation 'nowhere' in table {dynamodb.table!r}."),
    ):
        with pytest.raises(NotFound) as failed:
            send(dynamodb, person, "hello", **where)
        assert failed.value.message == said
    assert asked[-1]["Limit"] == 1, "one message tells that there is a conversation"


def test_a_dry_run_returns_the_message_and_writes_nothing(dynamodb: DynamoDB) -> None:
    sent = start(dynamodb, ME, OTHER, "first", clock=clock(), dry_run=True)
    assert (sent.started, sent.written, sent.moved.repaired) == (True, True, 2)
    assert everything(dynamodb) == []
    start(dynamodb, ME, OTHER, "first", clock=clock())
    before = everything(dynamodb)
    assert send(dynamodb, ME, "second", group=MEET, clock=clock(NOW + STEP), dry_run=True).moved.moved == 2
    assert send(dynamodb, ME, "second", group=MEET, message_uuid="by-hand", dry_run=True).written
    assert everything(dynamodb) == before


def test_a_message_uses_two_reads_and_one_transaction(dynamodb: DynamoDB) -> None:
    """It takes two consistent reads, and one transaction with the message and a delete and a put for each row."""
    start(dynamodb, ME, OTHER, "first", clock=clock())
    asked: list[str] = []  # also what is refused, which the meter does not count
    with opened(dynamodb.at, dynamodb.table) as fresh:
        fresh.client.meta.events.register("before-call.dynamodb", lambda model, **_: asked.append(model.name))
        send(fresh, ME, "second", receiver=OTHER, clock=clock(NOW + STEP))
        used = {each.operation: each for each in fresh.meter.operations()}
    assert sorted(asked) == ["Query", "Query", "TransactWriteItems"]
    assert {name: each.requests for name, each in used.items()} == {"Query": 2, "TransactWriteItems": 1}
    assert used["TransactWriteItems"].items == 5
    assert used["Query"].read_units == 2

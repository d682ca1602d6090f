"""Messages and groups are read from every page, with every form of time, and returned in time order."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from cruddur_cli.dynamodb import schema
from cruddur_cli.dynamodb.capacity.rules import ITEM_LIMIT, item_size
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.conversations import queries
from cruddur_cli.dynamodb.conversations.model import Message, MessageGroup, Person
from cruddur_cli.errors import BadInput
from cruddur_cli.times import Window, sort_key
from tests import faults
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, group_row, message_row, texts, utc, write

NEW_YEAR = utc(2026, 1, 1)
ZONES = [timezone(timedelta(minutes=m)) for m in (0, 330, -210, 840, -720, 60)]


def mixed_rows(count: int) -> list[tuple[datetime, dict[str, object]]]:
    """Messages around New Year, minutes apart, each with another form and time zone."""
    chance = random.Random(count)
    found = []
    for number in range(count):
        moment = NEW_YEAR + timedelta(minutes=7 * (number - count // 2))
        form = chance.choice(["canonical", "zone", "zone", "naive", "whole", "zulu", "space"])
        local = moment.astimezone(chance.choice(ZONES))
        sk = {
            "canonical": sort_key(moment),
            "zone": local.isoformat(timespec="microseconds"),
            "naive": moment.replace(tzinfo=None).isoformat(),
            "whole": local.isoformat(timespec="seconds"),
            "zulu": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "space": moment.strftime("%Y-%m-%d %H:%M:%S"),
        }[form]
        found.append((moment, message_row(sk, f"{number}")))
    return found


@pytest.mark.parametrize("limit", [1, 3, 20, 100, 1000])
def test_mixed_zones_around_new_year_hide_nothing_and_come_in_time_order(dynamodb: DynamoDB, limit: int) -> None:
    rows = mixed_rows(400)
    write(dynamodb, [row for _, row in rows])
    read = queries.latest(dynamodb, GROUP, limit=limit)
    assert texts(read) == [f"{number}" for number in range(400)][-limit:]
    assert [message.created_at for message in read] == [moment for moment, _ in rows][-limit:]


@pytest.mark.parametrize(("offset_h", "position"), [(-12, "before"), (14, "after"), (-3, "before")])
def test_the_newest_message_is_found_with_any_offset(dynamodb: DynamoDB, offset_h: int, position: str) -> None:
    """An application in another time zone adds a message to a seeded conversation, whose times are in UTC."""
    start = utc(2026, 11, 20, 8)
    seeded = [message_row(sort_key(start + timedelta(minutes=n)), f"{n}") for n in range(122)]
    local = (start + timedelta(minutes=130)).astimezone(timezone(timedelta(hours=offset_h)))
    answer = message_row(local.isoformat(), "answer", sender=OTHER)
    assert (answer["sk"]["S"] < seeded[0]["sk"]["S"]) == (position == "before")
    write(dynamodb, [*seeded, answer])
    assert texts(queries.latest(dynamodb, GROUP)) == [*(f"{n}" for n in range(103, 122)), "answer"]
    assert texts(queries.latest(dynamodb, GROUP, limit=1)) == ["answer"]


def test_only_the_last_half_day_of_a_long_conversation_is_read(dynamodb: DynamoDB) -> None:
    rows = [message_row(sort_key(utc(2026, 3, 1) + timedelta(minutes=n)), f"{n}") for n in range(3000)]
    write(dynamodb, rows)
    before = {each.operation: each.items for each in dynamodb.meter.operations()}.get("Query", 0)
    assert texts(queries.latest(dynamodb, GROUP, limit=2)) == ["2998", "2999"]
    read = {each.operation: each.items for each in dynamodb.meter.operations()}["Query"] - before
    assert read <= 12 * 60 + 40


@pytest.mark.parametrize(("limit", "first"), [(1, 21), (5, 25), (980, 1000), (981, 1000), (5000, 1000)])
def test_a_few_more_rows_are_asked_for_than_are_wanted(dynamodb: DynamoDB, limit: int, first: int) -> None:
    rows = [message_row(sort_key(utc(2026, 3, 1) + timedelta(minutes=n)), f"{n}") for n in range(60)]
    write(dynamodb, rows)
    asked = faults.asked(dynamodb.client, "Query")
    assert len(queries.latest(dynamodb, GROUP, limit=limit)) == min(limit, 60)
    assert [each["Limit"] for each in asked] == ([first, 1000] if limit < 60 else [first])


def test_the_tail_is_read_with_one_consistent_request(dynamodb: DynamoDB) -> None:
    rows = [message_row(sort_key(utc(2026, 3, 1) + timedelta(minutes=n)), f"{n}") for n in range(30)]
    write(dynamodb, [*rows, message_row("2026-03-01T02:00:00+02:00", "in another zone")])
    asked = faults.asked(dynamodb.client, "Query")
    assert texts(queries.tail(dynamodb, GROUP, limit=3)) == ["in another zone", "28", "29"]
    assert [(each["Limit"], each["ConsistentRead"]) for each in asked] == [(3, True)]
    assert len(queries.tail(dynamodb, GROUP, limit=100)) == 31


@pytest.mark.parametrize("limit", [2, 500])
def test_a_window_filters_by_instant_not_by_text(dynamodb: DynamoDB, limit: int) -> None:
    rows = mixed_rows(400)
    write(dynamodb, [row for _, row in rows])
    since, until = NEW_YEAR - timedelta(hours=3), NEW_YEAR + timedelta(hours=2)
    for window in (Window(since, until), Window(since, None), Window(None, until), Window(NEW_YEAR, utc(2027, 1, 1))):
        expected = [f"{number}" for number, (moment, _) in enumerate(rows) if window.holds(moment)]
        assert texts(queries.latest(dynamodb, GROUP, window=window, limit=limit)) == expected[-limit:]


def test_every_page_of_large_messages_is_read(dynamodb: DynamoDB) -> None:
    rows = [message_row(sort_key(utc(2026, 3, 1, 0, n)), f"{n:02}{'x' * 200_000}") for n in range(14)]
    write(dynamodb, rows)
    assert [text[:2] for text in texts(queries.latest(dynamodb, GROUP, limit=100))] == [f"{n:02}" for n in range(14)]


def test_a_row_with_an_unreadable_time_is_shown(dynamodb: DynamoDB) -> None:
    write(dynamodb, [message_row("yesterday", "when?"), message_row("2026-11-20T10:00:00", "ten")])
    read = queries.latest(dynamodb, GROUP)
    assert [(message.message, message.created_at) for message in read] == [
        ("when?", None),
        ("ten", utc(2026, 11, 20, 10)),
    ]
    assert texts(queries.latest(dynamodb, GROUP, window=Window(utc(2026, 1, 1), None))) == ["ten"]


def test_a_row_with_missing_attributes_is_read(dynamodb: DynamoDB) -> None:
    write(dynamodb, [{"pk": {"S": f"MSG#{GROUP}"}, "sk": {"S": "2026-11-20T10:00:00Z"}, "extra": {"N": "1"}}])
    assert queries.latest(dynamodb, GROUP) == [Message("", "", None, None, "", utc(2026, 11, 20, 10))]


@pytest.mark.parametrize("group", ["not-a-uuid", "ünï #1", "x"])
def test_a_group_id_need_not_be_a_uuid(dynamodb: DynamoDB, group: str) -> None:
    write(dynamodb, [message_row("2026-11-20T10:00:00", "here", group=group)])
    assert texts(queries.latest(dynamodb, group)) == ["here"]


def test_a_thousand_conversations_are_listed_newest_first(dynamodb: DynamoDB) -> None:
    chance = random.Random(3)
    rows = []
    for number in range(1000):
        moment = (NEW_YEAR + timedelta(minutes=number - 500)).astimezone(chance.choice(ZONES))
        rows.append(group_row(ME, OTHER, moment.isoformat(), f"{number} {'x' * 1500}", group=f"group {number}"))
    write(dynamodb, rows)
    listed = queries.list_groups(dynamodb, ME.uuid)
    assert [group.message_group_uuid for group in listed] == [f"group {n}" for n in reversed(range(1000))]
    assert queries.list_groups(dynamodb, ME.uuid, limit=3) == listed[:3]
    year = Window(utc(2025, 1, 1), NEW_YEAR)
    assert queries.list_groups(dynamodb, ME.uuid, window=year) == listed[500:]
    assert queries.list_groups(dynamodb, OTHER.uuid) == []


def test_a_conversation_is_found_by_its_people_even_with_a_new_uuid(dynamodb: DynamoDB) -> None:
    write(
        dynamodb,
        [
            group_row(ME, OTHER, "2026-11-20T10:00:00Z", "old", group="old"),
            group_row(ME, OTHER, "2026-11-20T11:00:00Z", "new", group="new"),
            group_row(ME, THIRD, "2026-11-20T12:00:00Z", "third", group="third"),
        ],
    )
    found = queries.find_group(dynamodb, mine=ME.uuid, other=OTHER)
    assert found == MessageGroup("new", OTHER.uuid, "bayko", "Andrew Bayko", "new", utc(2026, 11, 20, 11))
    renamed = type(OTHER)("another uuid", "bayko", None)
    assert queries.find_group(dynamodb, mine=ME.uuid, other=renamed) == found
    assert queries.find_group(dynamodb, mine=OTHER.uuid, other=THIRD) is None


def test_the_preferred_conversation_or_else_the_newest_is_found(dynamodb: DynamoDB) -> None:
    write(dynamodb, [group_row(ME, OTHER, f"2026-11-20T1{n}:00:00Z", "x", group=f"g{n}") for n in range(3)])
    found = [queries.find_group(dynamodb, mine=ME.uuid, other=OTHER, prefer=each) for each in ("g1", "another", None)]
    assert [group and group.message_group_uuid for group in found] == ["g1", "g2", "g2"]


def test_people_without_a_handle_are_identified_by_the_uuid(dynamodb: DynamoDB) -> None:
    row = group_row(ME, OTHER, "2026-11-20T10:00:00Z", "x")
    del row["user_handle"]
    write(dynamodb, [row])
    nobody = Person("another uuid", None, None)
    assert queries.find_group(dynamodb, mine=ME.uuid, other=nobody) is None
    assert queries.find_group(dynamodb, mine=ME.uuid, other=Person(OTHER.uuid, None, None)) is not None


def test_the_greater_key_comes_first_among_conversations_with_one_time(dynamodb: DynamoDB) -> None:
    keys = ("2026-11-20T10:00:00+00:00", "2026-11-20T10:00:00Z", "yesterday", "today")
    write(dynamodb, [group_row(ME, OTHER, sk, "x", group=sk) for sk in keys])
    listed = queries.list_groups(dynamodb, ME.uuid)
    assert [group.message_group_uuid for group in listed] == [keys[1], keys[0], "yesterday", "today"]


def test_the_span_of_a_partition_is_its_first_and_last_key(dynamodb: DynamoDB) -> None:
    pk = f"MSG#{GROUP}"
    assert queries.span(dynamodb, pk) is None
    write(dynamodb, [message_row(f"2026-11-2{n}", f"{n}") for n in range(3)])
    assert queries.span(dynamodb, pk) == ("2026-11-20", "2026-11-22")


@pytest.mark.parametrize("text", ["nul\x00", "\u202eשלום", "😀" * 3, "\x1b[2J", "a\nb\r\nc", "\ud7ff\ue000\uffff"])
def test_texts_are_read_exactly_as_they_were_written(dynamodb: DynamoDB, text: str) -> None:
    sent = Message("u", ME.uuid, ME.handle, ME.display_name, text, datetime(2026, 11, 20, tzinfo=UTC))
    write(dynamodb, [schema.message_item(GROUP, sent)])
    assert queries.latest(dynamodb, GROUP) == [sent]


NINE, TEN = utc(2026, 11, 20, 9), utc(2026, 11, 20, 10)
FROM_NINE, TO_TEN = Window(NINE, None), Window(None, TEN)
SINCE, UNTIL = FROM_NINE.texts()[0], TO_TEN.texts()[1]


@pytest.mark.parametrize(
    ("window", "low", "condition", "values"),
    [
        (None, "", "", {}),
        (None, "2026", " AND sk >= :low", {":low": "2026"}),
        (FROM_NINE, "", " AND sk >= :low", {":low": SINCE}),
        (FROM_NINE, "2025", " AND sk >= :low", {":low": SINCE}),
        (FROM_NINE, "2027", " AND sk >= :low", {":low": "2027"}),
        (TO_TEN, "", " AND sk < :high", {":high": UNTIL}),
        (TO_TEN, "2026", " AND sk BETWEEN :low AND :high", {":low": "2026", ":high": UNTIL}),
        (Window(NINE, TEN), "", " AND sk BETWEEN :low AND :high", {":low": SINCE, ":high": UNTIL}),
    ],
)
def test_a_partition_is_read_in_its_window_and_from_its_lowest_key(
    window: Window | None, low: str, condition: str, values: dict[str, str]
) -> None:
    assert queries.partition("MSG#1", window, low=low) == {
        "KeyConditionExpression": f"pk = :pk{condition}",
        "ExpressionAttributeValues": {":pk": {"S": "MSG#1"}} | {name: {"S": text} for name, text in values.items()},
    }


def test_a_message_may_be_as_large_as_its_item_and_its_group_rows_allow() -> None:
    def sized(length: int) -> Message:
        return Message("u" * 36, ME.uuid, ME.handle, ME.display_name, "x" * length, TEN)

    room = ITEM_LIMIT - item_size(schema.message_item(GROUP, sized(0)))
    queries.check_size(GROUP, sized(room), [])
    with pytest.raises(BadInput, match="makes an item of 409,601 bytes is larger than the 409,600"):
        queries.check_size(GROUP, sized(room + 1), [])
    named = Person(OTHER.uuid, "bayko", "B" * 1000)
    row = item_size(
        schema.group_item(ME.uuid, GROUP, named, schema.last_message_attributes(sized(room)), sort_key(TEN))
    )
    with pytest.raises(BadInput, match=f"makes an item of {row:,} bytes"):
        queries.check_size(GROUP, sized(room), [ME, named])
    queries.check_size(GROUP, sized(room - (row - ITEM_LIMIT)), [ME, named])


def test_items_become_plain_values_and_entities() -> None:
    item = {
        "pk": {"S": "X"}, "n": {"N": "1.50"}, "ns": {"NS": ["1"]}, "l": {"L": [{"NULL": True}, {"BOOL": False}]},
        "m": {"M": {"ss": {"SS": ["a"]}}}, "b": {"B": b"\x00"},
    }  # fmt: skip
    plain = {"pk": "X", "n": Decimal("1.50"), "ns": [Decimal(1)], "l": [None, False], "m": {"ss": ["a"]}, "b": b"\x00"}
    assert queries.plain(item) == plain
    assert queries.decode(item) == queries.Row("other", "", other=plain)
    assert queries.decode(message_row("2026", "hi")).entity == "message"
    row = queries.decode(group_row(ME, OTHER, "2026", "hi"))
    assert (row.entity, row.owner) == ("group", ME.uuid)

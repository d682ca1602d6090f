"""A seed always gives the same rows, keeps messages that people wrote, and updates the group rows."""

from __future__ import annotations

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from cruddur_cli.dynamodb import tables
from cruddur_cli.dynamodb.client import DynamoDB, opened
from cruddur_cli.dynamodb.conversations import queries
from cruddur_cli.dynamodb.conversations import seed as seeding
from cruddur_cli.dynamodb.conversations.group_rows import overwrite
from cruddur_cli.dynamodb.conversations.model import Line, Message, Person
from cruddur_cli.errors import BadInput, Refused
from cruddur_cli.times import instant, sort_key
from tests import faults
from tests.dynamodb.rows import GROUP, ME, OTHER, THIRD, Item, everything, group_row, message_row, texts, utc, write

NOW = utc(2026, 11, 20, 10, 30)
LINES = [Line(n + 1, n % 2 + 1, f"line {n}") for n in range(6)]
PAIR = (ME, OTHER)


def seed(
    dynamodb: DynamoDB,
    *,
    lines: list[Line] = LINES,
    people: tuple[Person, Person] = PAIR,
    count: int | None = None,
    now: Any = NOW,
    dry_run: bool = False,
    year: int | None = None,
) -> tuple[int, int]:
    """Rows written and deleted."""
    year = now.year if year is None else year
    done = seeding.replace_conversation(
        dynamodb, lines, people, group=GROUP, count=count or len(lines), now=now, dry_run=dry_run, year=year
    )
    return sum(row.written for row in done), sum(row.deleted for row in done)


def test_the_group_rows_are_written_if_a_page_of_messages_is_empty(dynamodb: DynamoDB) -> None:
    """This happens if another program deletes the conversation meanwhile."""
    last = Message("of the last", ME.uuid, ME.handle, ME.display_name, "gone", NOW)
    assert overwrite(dynamodb, GROUP, PAIR, last) == (2, 0)
    assert [row["message"]["S"] for row in everything(dynamodb)] == ["gone", "gone"]


def test_a_seed_counts_the_written_and_deleted_rows_of_each_kind(dynamodb: DynamoDB) -> None:
    def counted(lines: list[Line], **more: Any) -> list[tuple[str, int, int, int]]:
        done = seeding.replace_conversation(
            dynamodb, lines, PAIR, group=GROUP, count=len(lines), now=NOW, year=NOW.year, **more
        )
        return [(row.entity, row.written, row.unchanged, row.deleted) for row in done]

    new = [("messages", 6, 0, 0), ("message groups", 2, 0, 0)]
    assert counted(LINES, dry_run=True) == new
    assert counted(LINES) == new
    assert counted(LINES) == [("messages", 0, 6, 0), ("message groups", 0, 2, 0)]
    changed = [*LINES[:2], Line(3, 1, "changed"), *LINES[3:]]
    assert counted(changed) == [("messages", 1, 5, 0), ("message groups", 0, 2, 0)]
    assert counted(changed[:5]) == [("messages", 0, 5, 1), ("message groups", 2, 0, 2)]


def group_rows(dynamodb: DynamoDB) -> list[tuple[str, str, str, str]]:
    """Owner, sort key, message and other person of every group row."""
    return [
        (item["pk"]["S"].removeprefix("GRP#"), item["sk"]["S"], item["message"]["S"], item["user_handle"]["S"])
        for item in everything(dynamodb)
        if item["pk"]["S"].startswith("GRP#")
    ]


def test_a_seeded_conversation_is_past_a_minute_apart_and_fits_its_group_rows(dynamodb: DynamoDB) -> None:
    assert seed(dynamodb) == (8, 0)
    read = queries.latest(dynamodb, GROUP)
    assert texts(read) == [f"line {n}" for n in range(6)]
    moments = [message.created_at for message in read if message.created_at]
    assert all(b - a == timedelta(minutes=1) for a, b in pairwise(moments))
    assert moments[-1] < NOW
    last = sort_key(moments[-1])
    assert group_rows(dynamodb) == [(ME.uuid, last, "line 5", "bayko"), (OTHER.uuid, last, "line 5", "andrewbrown")]


def test_seeding_again_later_writes_nothing(dynamodb: DynamoDB) -> None:
    seed(dynamodb)
    before = everything(dynamodb)
    writes = dynamodb.meter.total().write_units
    for now in (NOW, NOW + timedelta(hours=5), utc(2026, 12, 31, 23, 59)):
        assert seed(dynamodb, now=now) == (0, 0)
    assert everything(dynamodb) == before
    assert dynamodb.meter.total().write_units == writes


def shown_by_the_application(dynamodb: DynamoDB, year: int) -> list[str]:
    """The messages that the application's queries find, newest first, and the group rows."""
    found = []
    for pk in (f"MSG#{GROUP}", f"GRP#{ME.uuid}", f"GRP#{OTHER.uuid}"):
        answer = dynamodb.client.query(
            TableName=dynamodb.table,
            KeyConditionExpression="pk = :pk AND begins_with(sk,:year)",
            ExpressionAttributeValues={":year": {"S": str(year)}, ":pk": {"S": pk}},
            ScanIndexForward=False,
            Limit=20,
        )
        found += [item["message"]["S"] for item in answer["Items"]]
    return found


@pytest.mark.parametrize("now", [utc(2027, 1, 1, 0, 10), utc(2027, 1, 1, 0, 0, 2), utc(2027, 3, 5, 12)])
def test_after_new_year_seeded_messages_move_into_the_new_year(dynamodb: DynamoDB, now: datetime) -> None:
    seed(dynamodb)
    before = message_row("2026-11-01T00:00:00", "written before")
    write(dynamodb, [before])
    said = [f"line {n}" for n in (5, 4, 3, 2, 1, 0)]
    assert shown_by_the_application(dynamodb, 2027) == []
    assert seed(dynamodb, now=now, dry_run=True) == (8, 8)
    assert shown_by_the_application(dynamodb, 2027) == []
    seed(dynamodb, now=now)
    assert shown_by_the_application(dynamodb, 2027) == [*said, "line 5", "line 5"]
    found = everything(dynamodb)
    assert len(found) == 9
    assert before in found
    assert all(item["sk"]["S"] < sort_key(now) for item in found)
    for later in (now, now + timedelta(minutes=1), utc(2027, 6, 1), utc(2027, 12, 31, 23, 59)):
        assert seed(dynamodb, now=later) == (0, 0)
    assert everything(dynamodb) == found


@pytest.mark.parametrize(
    "sk", ["2026-12-30T10:00:00.000000+00:00", "2027-01-01T00:00:05Z", "2026-12-31T19:30:00-05:00"]
)
def test_a_conversation_that_people_continued_keeps_its_times(dynamodb: DynamoDB, sk: str) -> None:
    seed(dynamodb)
    write(dynamodb, [message_row(sk, "written since")])
    seed(dynamodb)
    before = everything(dynamodb)
    assert seed(dynamodb, now=utc(2027, 1, 1, 0, 40)) == (0, 0)
    assert everything(dynamodb) == before


def test_a_move_into_the_new_year_that_was_killed_is_completed(dynamodb: DynamoDB) -> None:
    seed(dynamodb, count=60)
    dynamodb.busy_s = 0.2
    faults.unprocessed(dynamodb.client, rounds=faults.FOREVER, share=0.5)
    with pytest.raises(Refused):
        seed(dynamodb, count=60, now=utc(2027, 1, 1, 0, 10))
    with opened(dynamodb.at, dynamodb.table) as other:
        seed(other, count=60, now=utc(2027, 1, 1, 0, 12))
        assert len(everything(other)) == 62
        assert len(shown_by_the_application(other, 2027)) == 22


@pytest.mark.parametrize(("dry_run", "moves"), [(True, "would move"), (False, "move")])
def test_a_move_into_the_shown_year_is_reported(dynamodb: DynamoDB, dry_run: bool, moves: str) -> None:
    seed(dynamodb)
    now, said = utc(2027, 1, 1, 0, 10), list[str]()
    for year in (2026, 2027):
        seeding.replace_conversation(
            dynamodb, LINES, PAIR, group=GROUP, count=6, now=now, year=year, dry_run=dry_run, say=said.append
        )
    assert said == [f"the application shows 2027 only: the seeded messages {moves} into it"]


def test_the_year_that_is_shown_is_that_of_the_local_time(dynamodb: DynamoDB) -> None:
    now = utc(2026, 11, 20, 10, 30)
    seeding.replace_conversation(dynamodb, LINES, PAIR, group=GROUP, count=6, now=now)
    before = everything(dynamodb)
    later = utc(2027, 3, 5, 12)
    seeding.replace_conversation(dynamodb, LINES, PAIR, group=GROUP, count=6, now=later)
    assert everything(dynamodb) != before
    assert len(shown_by_the_application(dynamodb, 2027)) == 8


def script_row(second: int, *, minutes: int = 0, microsecond: int = 123_456) -> Item:
    """A message as the application's own script seeds it: one a minute, to the microsecond."""
    moment = utc(2026, 11, 19, 10, 0, second, microsecond) + timedelta(minutes=minutes)
    return message_row(moment.replace(tzinfo=None).isoformat(), f"{second} {minutes} {microsecond}")


TWELVE = [script_row(7, minutes=n) for n in range(12)]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([script_row(7, minutes=n) for n in range(9)], None),
        ([script_row(7, minutes=n) for n in range(10)], "10"),
        ([script_row(7, minutes=n) for n in range(23)], "23"),
        ([script_row(7, minutes=n + n // 5) for n in range(20)], None),  # a minute is missing after each fifth
        ([script_row(7, minutes=n, microsecond=n) for n in range(20)], None),
        ([script_row(second, minutes=n) for second in (7, 8) for n in range(10)], "20"),
        # Other messages lie between them, of more moments than are remembered.
        ([*TWELVE, *(script_row(9, microsecond=n) for n in range(250))], "12"),
        ([*TWELVE, *(script_row(9, minutes=8, microsecond=n) for n in range(250))], "12"),
    ],
)
def test_messages_that_the_scripts_seeded_are_counted_and_kept(
    dynamodb: DynamoDB, rows: list[Item], told: str | None
) -> None:
    write(dynamodb, rows)
    said: list[str] = []
    for dry_run in (True, False):
        seeding.replace_conversation(
            dynamodb, LINES, PAIR, group=GROUP, count=6, now=NOW, year=NOW.year, dry_run=dry_run, say=said.append
        )
    found = [text.partition(" older messages")[0] for text in said]
    assert found == ([told] * 2 if told else [])
    assert len(everything(dynamodb)) == len(rows) + 8


def test_every_message_is_a_step_whether_it_is_written_or_not(dynamodb: DynamoDB) -> None:
    changed = [Line(1, 1, "other"), *LINES[1:]]
    for lines in (LINES, LINES, changed):
        steps: list[int] = []
        seeding.replace_conversation(
            dynamodb, lines, PAIR, group=GROUP, count=6, now=NOW, year=NOW.year, advance=steps.append
        )
        assert sum(steps) == 6


def test_a_dry_run_plans_the_units_that_seeding_takes(dynamodb: DynamoDB) -> None:
    seed(dynamodb)
    long = [Line(1, 1, "x" * 3000), *LINES[1:]]
    seed(dynamodb, lines=long, dry_run=True)
    before = dynamodb.meter.total().write_units
    seed(dynamodb, lines=long)
    assert dynamodb.meter.total().write_units - before == dynamodb.meter.planned == 4


def test_a_dry_run_plans_a_unit_for_each_message_that_seeding_deletes(dynamodb: DynamoDB) -> None:
    """And the least of a transaction: two puts of 2 in the table and 2 in the index each, and two deletes of 2."""
    seed(dynamodb, count=10)
    seed(dynamodb, count=6, dry_run=True)
    assert dynamodb.meter.planned == 4 * 1 + 2 * (2 + 2) + 2 * 2


def test_the_later_key_is_the_last_message_if_two_have_one_time(dynamodb: DynamoDB) -> None:
    seed(dynamodb)
    last = queries.latest(dynamodb, GROUP)[-1].created_at
    assert last is not None
    write(dynamodb, [message_row(last.strftime("%Y-%m-%dT%H:%M:%SZ"), "at once", sender=OTHER)])
    seed(dynamodb)
    assert [row[1:3] for row in group_rows(dynamodb)] == [(sort_key(last), "at once")] * 2


def test_a_message_without_a_time_is_kept_and_is_not_the_last(dynamodb: DynamoDB) -> None:
    write(dynamodb, [message_row("yesterday", "when?"), message_row("1 day ago", "before?")])
    seed(dynamodb)
    assert [row[2] for row in group_rows(dynamodb)] == ["line 5"] * 2
    assert len(everything(dynamodb)) == 10


def test_a_shorter_script_deletes_the_seeded_messages_that_are_left(dynamodb: DynamoDB) -> None:
    seed(dynamodb, count=40)
    seed(dynamodb, lines=LINES[:3])
    assert texts(queries.latest(dynamodb, GROUP)) == ["line 0", "line 1", "line 2"]
    assert [row[2] for row in group_rows(dynamodb)] == ["line 2"] * 2
    assert len(everything(dynamodb)) == 5


def test_a_changed_line_changes_one_row(dynamodb: DynamoDB) -> None:
    seed(dynamodb)
    changed = [Line(1, 1, "other"), *LINES[1:]]
    assert seed(dynamodb, lines=changed) == (1, 0)
    assert texts(queries.latest(dynamodb, GROUP))[:2] == ["other", "line 1"]


def test_a_conversation_that_outgrows_the_past_moves_back(dynamodb: DynamoDB) -> None:
    seed(dynamodb)
    seed(dynamodb, count=500)
    read = queries.latest(dynamodb, GROUP, limit=1000)
    assert texts(read) == [f"line {n % 6}" for n in range(500)]
    assert read[-1].created_at is not None
    assert read[-1].created_at < NOW
    assert len(everything(dynamodb)) == 502


@pytest.mark.parametrize(
    "sk", ["2026-11-20T09:56:30.000000+00:00", "2026-11-20T15:27:00+05:30", "2026-11-20T09:56:00Z", "2025-01-01T00:00"]
)
def test_messages_that_people_wrote_stay(dynamodb: DynamoDB, sk: str) -> None:
    seed(dynamodb)
    mine = message_row(sk, "mine")
    write(dynamodb, [mine])
    seed(dynamodb)
    seed(dynamodb, lines=LINES[:2])
    seed(dynamodb, count=900)
    assert mine in everything(dynamodb)
    assert len(everything(dynamodb)) == 903


def test_a_message_that_a_person_wrote_under_a_seeded_key_stays(dynamodb: DynamoDB) -> None:
    mine = message_row(sort_key(utc(2026, 11, 20, 9, 56)), "mine")
    write(dynamodb, [mine])
    seed(dynamodb)
    assert mine in everything(dynamodb)
    assert texts(queries.latest(dynamodb, GROUP)) == ["line 0", "line 1", "mine", "line 3", "line 4", "line 5"]


@pytest.mark.parametrize(
    "sk", ["2026-11-20T10:10:00.000001+00:00", "2026-11-20T05:00:00-05:30", "2026-11-21T00:10+14:00"]
)
def test_the_group_rows_show_a_newer_message_that_a_person_wrote(dynamodb: DynamoDB, sk: str) -> None:
    seed(dynamodb)
    write(dynamodb, [message_row(sk, "newest", sender=OTHER)])
    seed(dynamodb)
    moment = instant(sk)
    assert moment is not None
    last = sort_key(moment)
    assert group_rows(dynamodb) == [(ME.uuid, last, "newest", "bayko"), (OTHER.uuid, last, "newest", "andrewbrown")]


def test_a_seed_with_another_partner_deletes_the_row_of_the_first_one(dynamodb: DynamoDB) -> None:
    seed(dynamodb)
    seed(dynamodb, people=(ME, THIRD))
    assert [(owner, handle) for owner, _, _, handle in group_rows(dynamodb)] == [
        (ME.uuid, "altbrown"),
        (THIRD.uuid, "andrewbrown"),
    ]
    assert {message.user_handle for message in queries.latest(dynamodb, GROUP)} == {"andrewbrown", "altbrown"}


def test_group_rows_of_outsiders_are_deleted_and_other_rows_are_kept(dynamodb: DynamoDB) -> None:
    others = group_row(ME, THIRD, "2026-11-09T10:00:00", "elsewhere", group="another")
    stray = [group_row(ME, OTHER, f"2026-11-0{n}T10:00:00", "stray") for n in range(1, 5)]
    write(dynamodb, [others, *stray, group_row(THIRD, ME, "2026-11-02T10:00:00", "stray")])
    seed(dynamodb)
    rows = [row for row in group_rows(dynamodb) if row[2] != "elsewhere"]
    assert [(row[0], row[2]) for row in rows] == [(ME.uuid, "line 5"), (OTHER.uuid, "line 5")]
    assert others in everything(dynamodb)


def test_a_dry_run_reports_the_changes_and_makes_none(dynamodb: DynamoDB) -> None:
    seed(dynamodb, count=10)
    before = everything(dynamodb)
    assert seed(dynamodb, lines=LINES[:2], people=(ME, THIRD), dry_run=True) == (3, 10)
    assert everything(dynamodb) == before
    assert seed(dynamodb, lines=LINES[:2], people=(ME, THIRD)) == (3, 10)


def test_a_message_sent_during_a_seed_stays_the_last_one(dynamodb: DynamoDB) -> None:
    """After the seed has read the conversation, a person sends a message, and the stream moves the group rows."""
    seed(dynamodb)
    sk = "2026-11-20T10:20:00.000000+00:00"

    def send() -> None:
        with opened(dynamodb.at, dynamodb.table) as other:
            write(other, [message_row(sk, "sent", sender=OTHER)])
            newest = Message("written sent", OTHER.uuid, OTHER.handle, OTHER.display_name, "sent", instant(sk))
            overwrite(other, GROUP, PAIR, newest)

    struck = faults.overtakes(dynamodb.client, "TransactWriteItems", "BatchWriteItem", act=send)
    seed(dynamodb, lines=[Line(1, 1, "changed"), *LINES[1:]])
    assert struck.count == 1
    assert [row[1:3] for row in group_rows(dynamodb)] == [(sk, "sent")] * 2


def test_two_seeds_at_the_same_time_leave_one_conversation(dynamodb: DynamoDB) -> None:
    """Two clients run at the same time. Neither writes a batch, or group rows, before the other is ready."""
    barriers = {name: threading.Barrier(2) for name in ("BatchWriteItem", "TransactWriteItems")}
    met: list[str] = []

    def one(_: int) -> tuple[int, int]:
        seen: set[str] = set()

        def before(model: Any, **_: Any) -> None:
            if model.name in barriers and model.name not in seen:
                seen.add(model.name)
                barriers[model.name].wait(30)
                met.append(model.name)

        with opened(dynamodb.at, dynamodb.table) as mine:
            mine.client.meta.events.register("before-call.dynamodb", before)
            return seed(mine, count=300)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(2)))
    assert sorted(met) == ["BatchWriteItem"] * 2 + ["TransactWriteItems"] * 2
    assert len(group_rows(dynamodb)) == 2
    assert texts(queries.latest(dynamodb, GROUP, limit=1000)) == [f"line {n % 6}" for n in range(300)]
    assert len(everything(dynamodb)) == 302


def test_group_rows_that_move_at_the_last_moment_are_read_again(dynamodb: DynamoDB) -> None:
    seed(dynamodb, lines=LINES[:5])

    def move() -> None:
        with opened(dynamodb.at, dynamodb.table) as other:
            seed(other, lines=LINES[:5], people=(ME, THIRD))

    struck = faults.overtakes(dynamodb.client, "TransactWriteItems", act=move)
    seed(dynamodb)
    assert len(struck.at) == 2
    assert [(row[0], row[2]) for row in group_rows(dynamodb)] == [(ME.uuid, "line 5"), (OTHER.uuid, "line 5")]


@pytest.mark.parametrize("code", ["TransactionConflictException", "ThrottlingException", "InternalServerError"])
def test_a_cancelled_transaction_is_repeated_until_it_succeeds(dynamodb: DynamoDB, code: str) -> None:
    struck = faults.answers(dynamodb.client, "TransactWriteItems", code, times=3)
    assert seed(dynamodb) == (8, 0)
    assert struck.count == 3
    assert len(group_rows(dynamodb)) == 2


def test_a_lost_answer_to_the_transaction_leaves_one_row_each(dynamodb: DynamoDB) -> None:
    lost = faults.loses_answers(dynamodb.client, "TransactWriteItems", times=1)
    seed(dynamodb)
    assert lost.count == 1
    assert len(group_rows(dynamodb)) == 2


def test_a_failed_seed_says_how_many_rows_it_wrote_and_another_completes_it(dynamodb: DynamoDB) -> None:
    dynamodb.busy_s = 0.2
    faults.unprocessed(dynamodb.client, rounds=faults.FOREVER, share=1.0)
    with pytest.raises(Refused, match="the conversation has 300 messages") as caught:
        seed(dynamodb, count=300)
    assert caught.value.code == "unprocessed"
    with opened(dynamodb.at, dynamodb.table) as other:
        seed(other, count=300)
        assert len(everything(other)) == 302


@pytest.mark.parametrize("text", ["é" * 205_000, "x" * 409_600, "😀" * 102_400])
def test_a_line_that_is_too_large_is_named_before_any_request(dynamodb: DynamoDB, text: str) -> None:
    lines = [*LINES, Line(41, 2, text)]
    with pytest.raises(BadInput, match=r"talk\.txt, line 41: .* nothing was written") as caught:
        seeding.check(lines, PAIR, group=GROUP, source="talk.txt", now=NOW)
    assert caught.value.code == "item_too_large"
    assert everything(dynamodb) == []


def test_the_longest_accepted_line_fits_into_the_message_and_the_group_rows(dynamodb: DynamoDB) -> None:
    long, people = 409_600, (ME, Person(OTHER.uuid, "bayko", "A very long display name " * 10))
    while True:
        lines = [Line(1, 1, "x" * long)]
        try:
            seeding.check(lines, people, group=GROUP, source="f", now=NOW)
            break
        except BadInput:
            long -= 1
    assert long > 409_600 - 1000
    seed(dynamodb, lines=lines, people=people)
    assert len(everything(dynamodb)) == 3


def test_memory_does_not_grow_with_the_conversation(dynamodb: DynamoDB) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            seed(dynamodb, count=count, dry_run=True)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    seed(dynamodb)
    peak(100)
    assert peak(12_000) < peak(2_000) + 500_000


def test_a_seed_into_a_table_without_the_index_is_refused(dynamodb: DynamoDB) -> None:
    tables.drop(dynamodb, say=lambda _: None)
    with pytest.raises(Refused, match="no table"):
        seed(dynamodb)

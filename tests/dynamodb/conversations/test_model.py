"""Conversation files are parsed line by line or refused with file and line, and always give the same messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from cruddur_cli.commands.shared import seed_files
from cruddur_cli.dynamodb.conversations.model import (
    Line,
    Person,
    Schedule,
    compose,
    parse,
    schedule_for,
    seeded_position,
    seeded_uuid,
)
from cruddur_cli.errors import BadInput, Exit
from cruddur_cli.times import sort_key

PEOPLE = (Person("1" * 36, "andrewbrown", "Andrew Brown"), Person("2" * 36, "bayko", None))
NOW = datetime(2026, 1, 1, 0, 20, tzinfo=UTC)


def test_the_built_in_conversation_has_over_a_hundred_lines_of_two_people() -> None:
    lines = parse(seed_files.read("conversation.txt"), "conversation.txt")
    assert len(lines) > 100
    assert {line.speaker for line in lines} == {1, 2}


def test_windows_line_ends_byte_order_mark_and_blank_lines_are_removed() -> None:
    content = "\ufeffPerson 1: Hello \r\n\r\n   \r\nPerson 2:no space\r\nPerson 1: last".encode()
    assert parse(content, "f") == [Line(1, 1, "Hello "), Line(4, 2, "no space"), Line(5, 1, "last")]


@pytest.mark.parametrize(
    "text",
    [
        "😀 👩‍👩‍👧 é",
        "שלום עולם \u202eabc\u202c",
        "\x1b[31mred\x1b]0;title\x07 \x9b2J",
        "form\x0cfeed\x0bvt\x1cfs\x85nel\u2028ls\u2029ps",
        "nul\x00 and tab\t",
        "Person 2: quoted",
        "lone\rcarriage return",
        "x" * 500_000,
    ],
)
def test_any_text_is_kept_exactly(text: str) -> None:
    assert parse(f"Person 1: {text}\nPerson 2: ok\n".encode(), "f")[0] == Line(1, 1, text)


def test_ten_thousand_lines_keep_their_numbers() -> None:
    lines = parse("".join(f"Person {n % 2 + 1}: number {n}\n" for n in range(10_000)).encode(), "f")
    assert [line.number for line in lines] == list(range(1, 10_001))
    assert lines[-1].text == "number 9999"


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (b"Person 1: a\nPerson 3: b\n", 2),
        (b"Person 1: a\n\nperson 2: b\n", 3),
        (b"Person 1: a\n Person 2: b\n", 2),
        (b"Person 1: a\nhello\n", 2),
        (b"Person 1:\n", 1),
        (b"Person 1:   \n", 1),
        (b"Person 1 : a\n", 1),
        ("Person 1: é\n".encode() * 3 + b"Person 1: \xff\n", 4),
    ],
)
def test_a_malformed_line_is_named_with_file_and_number(content: bytes, number: int) -> None:
    with pytest.raises(BadInput) as caught:
        parse(content, "talk.txt")
    assert f"talk.txt, line {number}" in caught.value.message
    assert caught.value.exit_code == Exit.USAGE


def test_the_first_faults_are_shown_and_the_rest_counted() -> None:
    with pytest.raises(BadInput) as caught:
        parse(b"x\n" * 12, "talk.txt")
    assert caught.value.details is not None
    assert caught.value.details.splitlines()[4:] == ["talk.txt, line 5: x", "… and 7 more"]


def test_up_to_five_faults_are_all_shown() -> None:
    with pytest.raises(BadInput) as caught:
        parse(b"x\n" * 5, "talk.txt")
    assert caught.value.details is not None
    assert caught.value.details.splitlines() == [f"talk.txt, line {number}: x" for number in range(1, 6)]


def test_a_faulty_line_is_shown_up_to_sixty_characters() -> None:
    for length, shown in ((60, "x" * 60), (61, "x" * 59 + "…"), (62, "x" * 59 + "…")):
        with pytest.raises(BadInput) as caught:
            parse(b"x" * length, "talk.txt")
        assert caught.value.details == f"talk.txt, line 1: {shown}"


@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n", "\ufeff".encode()])
def test_a_file_without_a_message_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match=r"talk\.txt holds no message"):
        parse(content, "talk.txt")


def test_a_line_without_a_text_is_named_with_its_person() -> None:
    with pytest.raises(BadInput) as caught:
        parse(b"Person 1: hello\nPerson 2:  \n", source="talk.txt")
    assert caught.value.details == "talk.txt, line 2: there is no text after Person 2"


def test_messages_are_a_minute_apart_in_one_width_and_repeat_the_lines() -> None:
    lines = [Line(1, 1, "a"), Line(2, 2, "b"), Line(3, 1, "c")]
    schedule = schedule_for(7, NOW, year=NOW.year)
    made = list(compose(lines, PEOPLE, group="g", schedule=schedule, count=7))
    assert [message.message for message in made] == list("abcabca")
    assert [message.user_handle for message in made[:3]] == ["andrewbrown", "bayko", "andrewbrown"]
    moments = [message.created_at for message in made if message.created_at]
    assert {b - a for a, b in pairwise(moments)} == {timedelta(minutes=1)}
    assert moments[-1] < NOW
    assert len({len(sort_key(moment)) for moment in moments}) == 1


def test_a_seeded_conversation_keeps_its_start_while_its_end_is_past() -> None:
    first = schedule_for(3, NOW, year=NOW.year)
    later = NOW + timedelta(days=30)
    assert schedule_for(3, later, year=later.year, seeded=first) == first
    assert schedule_for(1000, later, year=later.year, seeded=first) == first
    for minutes, is_kept in ((2, False), (2.5, True), (3, True)):  # the third message is two minutes after the first
        now = first.start + timedelta(minutes=minutes)
        kept = Schedule(first.start, timedelta(minutes=1))
        assert (schedule_for(3, now, year=now.year, seeded=kept) == kept) == is_kept
    grown = schedule_for(10**6, later, year=later.year, seeded=first)
    assert grown.at(10**6 - 1) < later


def test_a_new_conversation_ends_a_minute_before_the_hour() -> None:
    now = datetime(2026, 11, 20, 10, 17, 31, 5, tzinfo=UTC)
    assert schedule_for(3, now, year=2026) == Schedule(datetime(2026, 11, 20, 9, 57, tzinfo=UTC))


@pytest.mark.parametrize(
    ("now", "count", "step"),
    [
        (datetime(2027, 1, 1, 0, 10, 30, 7, tzinfo=UTC), 10, timedelta(minutes=1)),
        (datetime(2027, 1, 1, 0, 10, 30, 7, tzinfo=UTC), 11, timedelta(minutes=10) // 11),
        (datetime(2027, 1, 1, 0, 10, 30, 7, tzinfo=UTC), 1000, timedelta(milliseconds=600)),
        (datetime(2027, 1, 1, 0, 0, 30, 7, tzinfo=UTC), 2, timedelta(seconds=15, microseconds=3)),
    ],
)
def test_in_the_first_hour_of_a_year_the_whole_minutes_are_shared_out(
    now: datetime, count: int, step: timedelta
) -> None:
    assert schedule_for(count, now, year=2027) == Schedule(datetime(2027, 1, 1, tzinfo=UTC), step)


def test_an_earlier_year_ends_a_minute_before_the_next_one() -> None:
    for now in (datetime(2027, 1, 1, 0, 10, tzinfo=UTC), datetime(2027, 1, 1, 4, 10, tzinfo=UTC)):
        assert schedule_for(2, now, year=2026) == Schedule(datetime(2026, 12, 31, 23, 58, tzinfo=UTC))


def test_two_people_who_seed_at_once_choose_the_same_times() -> None:
    assert schedule_for(5, NOW, year=NOW.year) == schedule_for(5, NOW + timedelta(seconds=59), year=NOW.year)


@pytest.mark.parametrize("seeded", [None, Schedule(NOW)])
def test_a_schedule_that_begins_before_the_year_1_is_refused(seeded: Schedule | None) -> None:
    with pytest.raises(BadInput, match="before the year 1"):
        schedule_for(10**18, NOW, year=NOW.year, seeded=seeded)


@pytest.mark.parametrize("count", [1, 122, 3000, 100_000])
@pytest.mark.parametrize(
    ("now", "year"),
    [
        (datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC), 2027),
        (datetime(2027, 1, 1, 0, 10, tzinfo=UTC), 2027),
        (datetime(2027, 1, 1, 0, 59, 59, tzinfo=UTC), 2027),
        (datetime(2027, 1, 1, 1, 0, tzinfo=UTC), 2027),
        (datetime(2026, 12, 31, 23, 55, tzinfo=UTC), 2026),
        (datetime(2028, 2, 29, 12, 0, tzinfo=UTC), 2028),
        # West of Greenwich the year is still the old one, where sort keys have the new one already.
        (datetime(2027, 1, 1, 0, 10, tzinfo=UTC), 2026),
        (datetime(2027, 1, 1, 4, 10, tzinfo=UTC), 2026),
    ],
)
def test_a_seeded_conversation_ends_in_the_year_that_is_shown_and_in_the_past(
    now: datetime, year: int, count: int
) -> None:
    schedule = schedule_for(count, now, year=year)
    last = schedule.at(count - 1)
    assert last.year == year
    assert last < now
    assert timedelta(0) < schedule.step <= timedelta(minutes=1)
    assert schedule_for(count, now + timedelta(hours=3), year=year, seeded=schedule) == schedule


def test_a_conversation_ends_before_a_new_year_that_has_not_begun_in_utc() -> None:
    now = datetime(2026, 12, 31, 22, 10, tzinfo=UTC)
    assert schedule_for(122, now, year=2027).at(121) < now


def test_a_schedule_is_computed_from_two_of_its_messages() -> None:
    schedule = Schedule(datetime(2027, 1, 1, tzinfo=UTC), timedelta(microseconds=4_918_032))
    assert Schedule.through((3, schedule.at(3)), (7, schedule.at(7))) == schedule
    minutes = Schedule(schedule.start)
    for other in ((1, minutes.at(3)), (3, minutes.at(500)), (9, minutes.at(3)), (0, minutes.at(2))):
        assert Schedule.through((2, minutes.at(2)), other) in {minutes, Schedule(minutes.at(0))}
    assert Schedule.through((2, minutes.at(2))) == minutes


@pytest.mark.parametrize(
    ("later", "pause", "step"),
    [
        (3, timedelta(microseconds=1), timedelta(microseconds=1)),
        (3, timedelta(minutes=1), timedelta(minutes=1)),
        (4, timedelta(seconds=3), timedelta(seconds=1.5)),
        # No seeding makes these pauses: none at all, a longer one than a minute, one that is no whole microsecond.
        (3, timedelta(0), timedelta(minutes=1)),
        (3, timedelta(minutes=1, microseconds=1), timedelta(minutes=1)),
        (4, timedelta(microseconds=3), timedelta(minutes=1)),
        # Nor does it give one position two times.
        (2, timedelta(seconds=1), timedelta(minutes=1)),
        (1, timedelta(seconds=-1), timedelta(minutes=1)),
    ],
)
def test_the_step_of_a_schedule_is_computed_from_two_messages(later: int, pause: timedelta, step: timedelta) -> None:
    first = datetime(2027, 1, 1, 12, tzinfo=UTC)
    assert Schedule.through((2, first), (later, first + pause)) == Schedule(first - 2 * step, step)


def test_seeded_ids_are_uuids_that_carry_their_position() -> None:
    ids = [seeded_uuid("g", position) for position in (0, 1, 25_000, 2**48 - 1)]
    assert [UUID(text).version for text in ids] == [8] * 4
    assert [seeded_position("g", text) for text in ids] == [0, 1, 25_000, 2**48 - 1]


def test_seeded_ids_stay_the_same_in_later_versions() -> None:
    """A later version of cruddur recognizes seeded messages by their ids, and overwrites them."""
    assert seeded_uuid("g", 0) == "1d926843-df5c-8957-bc68-000000000000"
    assert seeded_uuid("5ae290ed-55d1-47a0-bc6d-fe2bc2700399", 121) == "1b928483-f405-8636-a194-000000000079"


@pytest.mark.parametrize("position", [-1, 2**48])
def test_a_position_that_is_too_large_for_an_id_is_an_error(position: int) -> None:
    with pytest.raises(OverflowError):
        seeded_uuid("g", position)


@pytest.mark.parametrize(
    "text", ["", "not a uuid", "2b5e7c5e-0d52-4b4f-a4f7-62d4a8f8ab0c", seeded_uuid("other", 3), "-" * 36, "é" * 36]
)
def test_other_ids_have_no_position(text: str) -> None:
    assert seeded_position("g", text) is None

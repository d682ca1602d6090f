"""Times are written in one form and read in every form, and options give the right windows."""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cruddur_cli import times
from cruddur_cli.errors import BadInput
from cruddur_cli.times import Window, instant, is_canonical, sort_key, text_before, text_before_offset, window
from tests import clock

KOLKATA = timezone(timedelta(hours=5, minutes=30))
NEWFOUNDLAND = timezone(-timedelta(hours=3, minutes=30))
FAR = [timezone(timedelta(hours=14)), timezone(-timedelta(hours=12)), UTC, KOLKATA, NEWFOUNDLAND]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    "moment",
    [
        utc(2026, 11, 20, 10),
        utc(2026, 11, 20, 10, 0, 0, 1),
        datetime(2026, 11, 20, 15, 30, tzinfo=KOLKATA),
        utc(33, 1, 1),
    ],
)
def test_a_sort_key_has_one_width_and_reads_back(moment: datetime) -> None:
    assert len(sort_key(moment)) == len("2026-11-20T10:00:00.000000+00:00")
    assert is_canonical(sort_key(moment))
    assert instant(sort_key(moment)) == moment


def test_sort_keys_of_any_zone_are_in_time_order() -> None:
    chance = random.Random(1)
    moments = [utc(2025, 12, 30) + timedelta(seconds=chance.randrange(10**6)) for _ in range(200)]
    moments = [moment.astimezone(chance.choice(FAR)) for moment in moments]
    assert sorted(moments) == sorted(moments, key=sort_key)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-20T10:00:00.123456+00:00", utc(2026, 11, 20, 10, 0, 0, 123456)),
        ("2026-11-20T10:00:00+00:00", utc(2026, 11, 20, 10)),
        ("2026-11-20T10:00:00Z", utc(2026, 11, 20, 10)),
        ("2026-11-20T10:00:00.123Z", utc(2026, 11, 20, 10, 0, 0, 123000)),
        ("2026-11-20T10:00:00", utc(2026, 11, 20, 10)),
        ("2026-11-20T10:00:00.123456", utc(2026, 11, 20, 10, 0, 0, 123456)),
        ("2026-11-20 10:00:00.5+00:00", utc(2026, 11, 20, 10, 0, 0, 500000)),
        ("2026-11-20T15:30:00.000001+05:30", utc(2026, 11, 20, 10, 0, 0, 1)),
        ("2026-11-20T06:30:00-03:30", utc(2026, 11, 20, 10)),
        ("2026-11-20T10:00:00-0000", utc(2026, 11, 20, 10)),
        ("20261120T100000Z", utc(2026, 11, 20, 10)),
        ("2026-11-20T24:00:00", utc(2026, 11, 21)),
        ("2026-11-20", utc(2026, 11, 20)),
    ],
)
def test_every_form_that_rows_hold_is_read(text: str, meant: datetime) -> None:
    assert instant(text) == meant


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-11-20T25:00", "9999-12-31T23:59:59-12:00", "0"])
def test_a_text_that_is_no_time_is_none(text: str) -> None:
    assert instant(text) is None


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"])
def test_no_row_of_a_window_is_outside_of_its_texts(form: str) -> None:
    """In every form, the text of an instant is between the bounds of a query for its window."""
    chance = random.Random(2)
    for _ in range(300):
        since = utc(2025, 12, 28) + timedelta(seconds=chance.randrange(10**6))
        until = since + timedelta(seconds=chance.randrange(1, 10**5))
        low, high = Window(since, until).texts()
        assert low is not None
        assert high is not None
        for moment in (since, until - timedelta(microseconds=1)):
            text = moment.astimezone(chance.choice(FAR)).strftime(form)
            assert low <= text < high
            assert text_before(moment) <= text
            assert " " in text or text_before_offset(moment) <= text


def test_the_texts_of_a_window_take_in_no_more_than_any_offset_needs() -> None:
    assert text_before(utc(2026, 11, 20, 15)) == "2026-11-20"
    assert text_before(utc(2026, 11, 20, 14, 59)) == "2026-11-19"
    assert Window(None, utc(2026, 11, 20, 8, 59)).texts() == (None, "2026-11-21")
    assert Window(None, utc(2026, 11, 20, 9)).texts() == (None, "2026-11-22")
    assert text_before_offset(utc(2026, 11, 20, 12)) == "2026-11-20T00:00"
    assert text_before_offset(utc(2026, 11, 20, 11, 59)) == "2026-11-19T23:59"


def test_bounds_at_the_ends_of_the_calendar_are_open() -> None:
    low, high = Window(utc(1, 1, 1), utc(9999, 12, 31)).texts()
    assert low is not None
    assert high is not None
    assert low <= "0001-01-01T00:00"
    assert high > "9999-12-31T23:59"
    assert text_before_offset(utc(1, 1, 1)) <= "0001-01-01"


def test_a_window_holds_its_beginning_and_not_its_end() -> None:
    held = Window(utc(2026, 1, 1), utc(2026, 1, 2))
    assert held.holds(utc(2026, 1, 1))
    assert not held.holds(utc(2026, 1, 2))
    assert held.holds(utc(2026, 1, 1, 23, 59))
    assert not held.holds(utc(2025, 12, 31, 23, 59))
    assert not Window(held.since, None).holds(utc(2025, 12, 31))
    assert not Window(None, held.until).holds(utc(2026, 1, 3))
    for some in (held, Window(held.since, None), Window(None, held.until)):
        assert not some.holds(None)
    assert Window().holds(None)


def test_a_year_is_a_year_in_utc() -> None:
    for year in (1, 2026, 9998):
        assert window(year=year, since=None, until=None) == Window(utc(year, 1, 1), utc(year + 1, 1, 1))


@pytest.mark.parametrize(
    ("since", "until", "meant"),
    [
        ("2026-11-20", None, Window(utc(2026, 11, 19, 18, 30), None)),
        ("2026-11-20T10:00Z", None, Window(utc(2026, 11, 20, 10), None)),
        ("2026-11-20 10:00", None, Window(utc(2026, 11, 20, 4, 30), None)),
        (None, "2026-11-20", Window(None, utc(2026, 11, 20, 18, 30))),
        (None, "2026-11-20T10:00+05:30", Window(None, utc(2026, 11, 20, 4, 30))),
        (None, " 20261120 ", Window(None, utc(2026, 11, 20, 18, 30))),
        ("20261120", None, Window(utc(2026, 11, 19, 18, 30), None)),
    ],
)
def test_a_typed_time_without_an_offset_is_local(since: str | None, until: str | None, meant: Window) -> None:
    assert window(year=None, since=since, until=until, local=KOLKATA) == meant


@pytest.mark.parametrize(
    ("year", "since", "until"),
    [
        (None, "soon", None),
        (None, "", None),
        (None, None, " "),
        (2026, "", None),
        (None, "-1h", None),
        (None, "+2d", None),
        (None, "-2026-11-20", None),
        (None, "+5 November", None),
        (None, None, "2026-02-30"),
        (None, "2026-11-21", "2026-11-20"),
        (2026, "2026-01-01", None),
        (0, None, None),
        (9999, None, None),
    ],
)
def test_an_impossible_window_is_refused(year: int | None, since: str | None, until: str | None) -> None:
    with pytest.raises(BadInput):
        window(year=year, since=since, until=until)


@pytest.mark.parametrize(
    "typed", ["05.11.2026", "11/05/2026", "5-11-26", "5/11", "5/11 10:00", "10:00 5.11.2026", "12/11/2026"]
)
def test_a_date_whose_month_would_have_to_be_guessed_is_refused(typed: str) -> None:
    for option in ("--since", "--until", "--to-time"):
        with pytest.raises(BadInput, match="which number is the month"):
            times.parse(typed, option, local=UTC)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("31.12.2025", utc(2025, 12, 31)),
        ("13/11/2025", utc(2025, 11, 13)),
        ("11.11.2025", utc(2025, 11, 11)),
        ("2025/11/05", utc(2025, 11, 5)),
        ("2025-11-05T00-03", utc(2025, 11, 5, 3)),
        ("5 Nov 2025", utc(2025, 11, 5)),
    ],
)
def test_a_date_that_can_mean_only_one_day_is_accepted(typed: str, meant: datetime) -> None:
    assert times.parse(typed, "--since", local=UTC) == meant


def test_a_time_without_a_year_is_in_this_year_where_the_person_is(today: Callable[[datetime], None]) -> None:
    """Ten past midnight of 1 January, UTC: in Newfoundland it is still the old year."""
    today(utc(2027, 1, 1, 0, 10))
    assert window(year=None, since="1 March", until=None, local=UTC).since == utc(2027, 3, 1)
    assert window(year=None, since="1 March", until=None, local=KOLKATA).since == utc(2027, 2, 28, 18, 30)
    assert window(year=None, since="1 March", until=None, local=NEWFOUNDLAND).since == utc(2026, 3, 1, 3, 30)


@pytest.mark.parametrize("day", clock.DAYS)
@pytest.mark.parametrize(
    ("typed", "first", "end"),
    [
        ("2025-11", utc(2025, 11, 1), utc(2025, 12, 1)),
        ("November 2025", utc(2025, 11, 1), utc(2025, 12, 1)),
        ("2025", utc(2025, 1, 1), utc(2026, 1, 1)),
        ("2025-02", utc(2025, 2, 1), utc(2025, 3, 1)),
        ("2025-12", utc(2025, 12, 1), utc(2026, 1, 1)),
        ("29 Feb 2024", utc(2024, 2, 29), utc(2024, 3, 1)),
        ("31 December 2025", utc(2025, 12, 31), utc(2026, 1, 1)),
        ("2025-11-20T00:00", utc(2025, 11, 20), utc(2025, 11, 20)),
        ("2025-11-20 01:01:01", utc(2025, 11, 20, 1, 1, 1), utc(2025, 11, 20, 1, 1, 1)),
    ],
)
def test_a_day_a_month_and_a_year_begin_at_since_and_are_included_by_until(
    today: Callable[[datetime], None], day: str, typed: str, first: datetime, end: datetime
) -> None:
    today(clock.DAYS[day])
    assert window(year=None, since=typed, until=None, local=UTC) == Window(first, None)
    assert window(year=None, since=None, until=typed, local=UTC) == Window(None, end)
    assert times.parse(typed, "--to-time", local=UTC) == first
    if first < end:
        assert window(year=None, since=typed, until=typed, local=UTC) == Window(first, end)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("10:00", utc(2027, 3, 21, 4, 30)),
        ("9:05", utc(2027, 3, 21, 3, 35)),
        ("10:00:30", utc(2027, 3, 21, 4, 30, 30)),
        ("1 pm", utc(2027, 3, 21, 7, 30)),
        (" 1:15 PM ", utc(2027, 3, 21, 7, 45)),
    ],
)
def test_a_time_without_a_date_is_today_where_the_person_is(
    today: Callable[[datetime], None], typed: str, meant: datetime
) -> None:
    """Half past eight in the evening of 20 March, UTC: in Kolkata it is the 21st."""
    today(utc(2027, 3, 20, 20, 30))
    assert window(year=None, since=typed, until=None, local=KOLKATA).since == meant
    assert window(year=None, since=None, until=typed, local=KOLKATA).until == meant


@pytest.mark.parametrize(
    ("typed", "before"),
    [
        ("30s", timedelta(seconds=30)),
        ("90m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1 h 30 m", timedelta(minutes=90)),
        ("2W", timedelta(weeks=2)),
    ],
)
def test_a_duration_is_that_long_ago(today: Callable[[datetime], None], typed: str, before: timedelta) -> None:
    today(utc(2027, 3, 20, 20, 30))
    since = window(year=None, since=typed, until=None).since
    assert since is not None
    assert abs(utc(2027, 3, 20, 20, 30) - before - since) < timedelta(seconds=10)


@pytest.mark.parametrize("option", ["since", "until"])
@pytest.mark.parametrize("typed", ["20", "27", "5", "friday", "30x", "1h30", "h", "1y"])
def test_a_text_that_names_neither_year_nor_month_nor_a_clocks_time_is_refused(option: str, typed: str) -> None:
    with pytest.raises(BadInput, match="is not a time"):
        window(year=None, **{"since": None, "until": None, option: typed})  # type: ignore[arg-type]


@pytest.mark.parametrize("day", clock.DAYS)
def test_a_month_alone_is_its_first_day_in_this_year(today: Callable[[datetime], None], day: str) -> None:
    today(clock.DAYS[day])
    assert window(year=None, since="November", until=None, local=UTC).since == utc(clock.DAYS[day].year, 11, 1)
    assert window(year=None, since=None, until="November", local=UTC).until == utc(clock.DAYS[day].year, 12, 1)


@pytest.mark.parametrize(
    ("text", "zoneless"),
    [
        ("2026-11-20T10:00:00.000000+00:00", False),
        ("2026-11-20T10:00:00+05:30", False),
        ("2026-11-20T10:00:00Z", False),
        ("2026-11-20T10:00:00", True),
        ("2026-11-20 10:00", True),
        ("2026-11-20", True),
        ("2026-324T10:00", True),
        ("2026-324T10:00Z", False),
        ("soon", False),
    ],
)
def test_a_time_without_an_offset_is_told_from_one_with(text: str, zoneless: bool) -> None:
    assert times.has_no_zone(text) is zoneless


@pytest.mark.parametrize("day", clock.DAYS)
def test_the_clock_runs_on_from_the_day_it_is_set_to(today: Callable[[datetime], None], day: str) -> None:
    today(clock.DAYS[day])
    first, then = times.now(), times.now_ns()
    assert clock.DAYS[day] <= first < clock.DAYS[day] + timedelta(minutes=1)
    assert first.timestamp() <= then / 1e9 + 0.001
    assert first <= times.now()


@pytest.mark.parametrize(
    ("typed", "since", "until"),
    [
        ("today", utc(2026, 11, 20), utc(2026, 11, 21)),
        (" Yesterday ", utc(2026, 11, 19), utc(2026, 11, 20)),
        ("30m", utc(2026, 11, 20, 16, 29), utc(2026, 11, 20, 16, 29)),
        ("1h", utc(2026, 11, 20, 15, 59), utc(2026, 11, 20, 15, 59)),
        ("7d", utc(2026, 11, 13, 16, 59), utc(2026, 11, 13, 16, 59)),
        ("2 W", utc(2026, 11, 6, 16, 59), utc(2026, 11, 6, 16, 59)),
        ("2026-11", utc(2026, 11, 1), utc(2026, 12, 1)),
    ],
)
def test_a_day_or_a_length_of_time_is_counted_from_now(
    monkeypatch: pytest.MonkeyPatch, typed: str, since: datetime, until: datetime
) -> None:
    monkeypatch.setattr(times, "now", lambda: utc(2026, 11, 20, 16, 59))
    assert window(year=None, since=typed, until=None, local=UTC).since == since
    assert window(year=None, since=None, until=typed, local=UTC).until == until


def test_yesterday_is_a_day_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "now", lambda: utc(2026, 11, 20, 20))
    assert window(year=None, since="yesterday", until=None, local=KOLKATA).since == utc(2026, 11, 19, 18, 30)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
@pytest.mark.parametrize(
    ("option", "typed"),
    [
        ("since", "0001-01-01"), ("since", "0001-01-01T00:00+14:00"),
        ("until", "9999-12-31"), ("until", "9999-12"), ("until", "9999"), ("until", "9999-12-31T23:59:59-12:00"),
    ],
)  # fmt: skip
def test_a_date_at_an_end_of_the_calendar_leaves_no_row_out(
    monkeypatch: pytest.MonkeyPatch, zone: str, option: str, typed: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        since, until = (typed if option == name else None for name in ("since", "until"))
        found = window(year=None, since=since, until=until)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found.holds(utc(1, 1, 2))
    assert found.holds(utc(9999, 12, 31))
    low, high = found.texts()
    assert low is None or low <= "0001-01-01T00:00"
    assert high is None or high > "9999-12-31T23:59"
    if found.since:
        assert text_before_offset(found.since) <= "0001-01-01"


@pytest.mark.parametrize("typed", ["99999999999d", "1x", "the day before"])
def test_a_text_that_is_no_duration_is_refused(typed: str) -> None:
    with pytest.raises(BadInput, match="is not a time") as caught:
        window(year=None, since=typed, until=None, local=UTC)
    assert caught.value.hint == "write 2026-11-20, 2026-11-20T10:00Z, today, yesterday, 1h or 7d"


def test_a_day_that_only_a_leap_year_has_is_read_without_its_year(today: Callable[[datetime], None]) -> None:
    today(utc(2028, 3, 1))
    assert window(year=None, since="29 Feb", until="29 Feb", local=UTC) == Window(utc(2028, 2, 29), utc(2028, 3, 1))


def test_a_program_s_clock_is_the_machine_s() -> None:
    """Of a program that starts: the tests may have set this one's."""
    spec = importlib.util.spec_from_file_location("cruddur_cli.times_of_a_program", times.__file__)
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = fresh
    try:
        spec.loader.exec_module(fresh)
    finally:
        del sys.modules[spec.name]
    assert fresh._shift == timedelta(0)

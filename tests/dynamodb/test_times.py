"""Times: one width when written, every form that rows hold when read, and the windows that people ask for."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cruddur_cli.errors import BadInput
from cruddur_cli.times import Window, instant, is_canonical, sort_key, text_before, text_before_offset, window

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
def test_what_is_no_time_is_none(text: str) -> None:
    assert instant(text) is None


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"])
def test_no_row_of_a_window_is_outside_of_its_texts(form: str) -> None:
    """However an instant is written, its text lies between the bounds that a query of its window asks for."""
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
    assert not held.holds(None)
    assert Window().holds(None)


def test_a_year_is_a_year_in_utc() -> None:
    assert window(year=2026, since=None, until=None) == Window(utc(2026, 1, 1), utc(2027, 1, 1))


@pytest.mark.parametrize(
    ("since", "until", "meant"),
    [
        ("2026-11-20", None, Window(utc(2026, 11, 19, 18, 30), None)),
        ("2026-11-20T10:00Z", None, Window(utc(2026, 11, 20, 10), None)),
        ("2026-11-20 10:00", None, Window(utc(2026, 11, 20, 4, 30), None)),
        (None, "2026-11-20", Window(None, utc(2026, 11, 20, 18, 30))),
        (None, "2026-11-20T10:00+05:30", Window(None, utc(2026, 11, 20, 4, 30))),
    ],
)
def test_what_people_type_is_local_time_unless_it_says(since: str | None, until: str | None, meant: Window) -> None:
    assert window(year=None, since=since, until=until, local=KOLKATA) == meant


@pytest.mark.parametrize(
    ("year", "since", "until"),
    [
        (None, "soon", None),
        (None, None, "2026-02-30"),
        (None, "2026-11-21", "2026-11-20"),
        (2026, "2026-01-01", None),
        (0, None, None),
        (9999, None, None),
        (None, "0001-01-01T00:00+14:00", None),
    ],
)
def test_a_window_that_cannot_be_is_refused(year: int | None, since: str | None, until: str | None) -> None:
    with pytest.raises(BadInput):
        window(year=year, since=since, until=until)

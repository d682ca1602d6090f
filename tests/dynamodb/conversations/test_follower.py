"""A follower returns every message once, in any order and form, and with any clock of its writer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import pytest

from cruddur_cli import times
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.conversations import queries
from cruddur_cli.dynamodb.conversations.follower import Follower
from cruddur_cli.errors import CannotConnect
from tests.dynamodb.rows import GROUP, message_row, texts, utc, write

NOON = utc(2026, 11, 20, 12)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the clock to that many seconds after noon. Wide queries run every ten seconds."""

    def be(seconds: float) -> None:
        monkeypatch.setattr(times, "now", lambda: NOON + timedelta(seconds=seconds))
        monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + seconds)

    be(0)
    return be


def write_message(dynamodb: DynamoDB, text: str, seconds: float, zone: timezone | None = None, form: str = "") -> None:
    """Write a message with a time that many seconds after noon."""
    moment = NOON + timedelta(seconds=seconds)
    local = moment.astimezone(zone) if zone else moment
    sk = local.strftime(form) if form else local.isoformat() if zone else times.sort_key(moment)
    write(dynamodb, [message_row(sk, text)])


def test_stored_messages_are_not_new_and_later_ones_are_new_once(dynamodb: DynamoDB, at: Callable[..., None]) -> None:
    for age in (0, 30, 90, 3600, 86_400 * 3):
        write_message(dynamodb, f"old {age}", -age)
    following = Follower(dynamodb, GROUP)
    assert following.new() == []
    at(1)
    write_message(dynamodb, "second", 0.9)
    write_message(dynamodb, "first", 0.8)
    assert texts(following.new()) == ["first", "second"]
    assert following.new() == []
    at(2)
    write_message(dynamodb, "third", 1.5)
    assert texts(following.new()) == ["third"]
    at(15)
    assert following.new() == []


def test_messages_with_one_second_or_one_key_are_different_messages(
    dynamodb: DynamoDB, at: Callable[..., None]
) -> None:
    following = Follower(dynamodb, GROUP)
    for text in ("one", "two", "three"):
        write_message(dynamodb, text, {"one": 1, "two": 1.000001, "three": 1}[text])
        assert texts(following.new()) == [text]


def test_a_message_with_a_late_clock_is_found_within_the_overlap_at_once(
    dynamodb: DynamoDB, at: Callable[..., None]
) -> None:
    following = Follower(dynamodb, GROUP)
    at(5)
    write_message(dynamodb, "now", 5)
    assert texts(following.new()) == ["now"]
    write_message(dynamodb, "59 seconds late", -54)
    assert texts(following.new()) == ["59 seconds late"]
    write_message(dynamodb, "an hour late", -3600)
    assert following.new() == []
    at(10)
    assert texts(following.new()) == ["an hour late"]


def test_a_clock_ahead_hides_no_other_message(dynamodb: DynamoDB, at: Callable[..., None]) -> None:
    write_message(dynamodb, "tomorrow", 86_400)
    following = Follower(dynamodb, GROUP)
    following.new()
    at(3)
    write_message(dynamodb, "now", 3)
    assert texts(following.new()) == ["now"]


@pytest.mark.parametrize(
    ("hours", "form"),
    [(14, ""), (-12, ""), (5.5, "%Y-%m-%d %H:%M:%S"), (-9.5, "%Y-%m-%dT%H:%M:%S"), (0, "%Y-%m-%dT%H:%MZ")],
)
def test_the_next_wide_query_finds_every_form_and_offset(
    dynamodb: DynamoDB, at: Callable[..., None], hours: float, form: str
) -> None:
    following = Follower(dynamodb, GROUP)
    write_message(dynamodb, "canonical", 1)
    assert texts(following.new()) == ["canonical"]
    write_message(dynamodb, "other", 2, timezone(timedelta(hours=hours)), form)
    found = following.new()
    at(11)
    assert texts([*found, *following.new()]) == ["other"]
    assert following.new() == []


def test_after_days_without_the_store_nothing_is_missed(
    dynamodb: DynamoDB, at: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    following = Follower(dynamodb, GROUP)
    write_message(dynamodb, "before", 1)
    assert texts(following.new()) == ["before"]
    with monkeypatch.context() as patch:

        def away(*_: object, **__: object) -> None:
            raise CannotConnect("away")

        patch.setattr(dynamodb, "call", away)
        for seconds in (5, 20, 86_400 * 2):
            at(seconds)
            with pytest.raises(CannotConnect):
                following.new()
        assert following._known
    for day in range(5):
        write_message(dynamodb, f"day {day}", 60 + 86_400 * day)
    at(86_400 * 4 + 120)
    assert texts(following.new()) == [f"day {day}" for day in range(5)]


def test_a_page_that_fails_is_read_again(
    dynamodb: DynamoDB, at: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page of new messages arrived, and the second did not. None of them counts as known."""
    following = Follower(dynamodb, GROUP)
    write(
        dynamodb, [message_row(times.sort_key(NOON + timedelta(seconds=n)), f"{n} " + "x" * 300_000) for n in range(6)]
    )
    ask, asked = dynamodb.call, 0

    def call(operation: str, **params: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise CannotConnect("away")
        return ask(operation, **params)

    monkeypatch.setattr(dynamodb, "call", call)
    with pytest.raises(CannotConnect):
        following.new()
    assert [text[:1] for text in texts(following.new())] == ["0", "1", "2", "3", "4", "5"]


def test_wide_queries_run_less_often_if_they_read_many_items(dynamodb: DynamoDB, at: Callable[..., None]) -> None:
    write(dynamodb, (message_row(times.sort_key(NOON - timedelta(hours=5, seconds=n)), f"{n}") for n in range(1000)))
    following = Follower(dynamodb, GROUP)
    write_message(dynamodb, "now", 0)
    following.new()

    def items() -> int:
        return {each.operation: each.items for each in dynamodb.meter.operations()}["Query"]

    before = items()
    for second in (1, 5, 10, 19):
        at(second)
        assert following.new() == []
    assert items() - before == 4
    at(21)
    following.new()
    assert items() - before > 1000


@pytest.mark.parametrize("seed", range(3))
def test_random_messages_are_each_returned_once(dynamodb: DynamoDB, at: Callable[..., None], seed: int) -> None:
    chance = random.Random(seed)
    following = Follower(dynamodb, GROUP)
    following.know(queries.latest(dynamodb, GROUP), {})
    written: list[str] = []
    found: list[str] = []
    second = 0.0
    for number in range(60):
        second += chance.random() * 3
        at(second)
        zone = chance.choice([None, None, timezone(timedelta(hours=chance.randint(-12, 14)))])
        write_message(
            dynamodb, f"m{number}", second - chance.random() * chance.choice([1, 50, 50_000]) - number / 1e6, zone
        )
        written.append(f"m{number}")
        if chance.random() < 0.5:
            found += texts(following.new())
    at(second + 60)
    found += texts(following.new())
    assert sorted(found) == sorted(written)

"""The account of a table's items: what counts as which kind, and how much of it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from cruddur_cli.dynamodb.schema import Item
from cruddur_cli.integrity import rows

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _item(**texts: str) -> Item:
    return {name: {"S": text} for name, text in texts.items()}


def _message(group: str, sk: str) -> Item:
    return _item(pk=f"MSG#{group}", sk=sk, message_uuid="m", message="hello", user_uuid="u")


def test_more_decimals_that_make_a_key_its_own_are_no_other_form() -> None:
    found = rows.collect([_message("g", "2026-11-20T10:00:00.000000001+00:00")], now=NOW)
    assert (found.other_form.items, found.other_zone.items) == (0, 0)


def test_a_key_in_utc_is_another_form_and_one_in_local_time_another_zone() -> None:
    forms = ["2026-11-20T10:00:00Z", "2026-11-20T10:00:00+00:00", "no time"]
    zones = ["2026-11-20T10:00:00", "2026-11-20T10:00:00.000000+02:00"]
    found = rows.collect([_message("g", sk) for sk in (*forms, *zones)], now=NOW)
    assert (found.other_form.items, found.other_zone.items) == (len(forms), len(zones))


def test_a_clock_that_is_a_minute_ahead_writes_nothing_of_the_future() -> None:
    near, far = "2026-11-20T12:01:00.000000+00:00", "2026-11-20T12:06:00.000000+00:00"
    assert rows.collect([_message("g", near), _message("g", far)], now=NOW).future.items == 1


def test_of_many_conversations_a_share_is_kept_and_each_of_them_whole() -> None:
    def items() -> Iterator[Item]:
        for number in range(2_000):
            yield _message(f"g{number}", "2026-11-20T10:00:00.000000+00:00")
        for number in range(2_000):
            yield _message(f"g{number}", "2026-11-20T11:00:00.000000+00:00")

    found = rows.collect(items(), now=NOW, most=100)
    assert found.shift > 0
    assert 0 < len(found.conversations) <= 100
    assert {one.newest.hour for one in found.conversations.values()} == {11}


def test_of_few_conversations_every_one_is_kept_and_every_item_counted() -> None:
    found = rows.collect([_message(f"g{number}", "2026-11-20T10:00:00.000000+00:00") for number in range(20)], now=NOW)
    assert (found.items, found.shift, len(found.conversations)) == (20, 0, 20)
    assert rows.collect([], now=NOW).items == 0

"""The summary of a table's items: the kind of each, and the number of conversations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cruddur_cli.dynamodb.conversations.model import seeded_uuid
from cruddur_cli.dynamodb.schema import Item
from cruddur_cli.integrity import rows

pytestmark = pytest.mark.usefixtures("soon")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _item(**texts: str) -> Item:
    return {name: {"S": text} for name, text in texts.items()}


def _message(group: str, sk: str) -> Item:
    return _item(pk=f"MSG#{group}", sk=sk, message_uuid="m", message="hello", user_uuid="u")


def test_a_key_with_nine_decimals_is_in_the_usual_form() -> None:
    summary = rows.collect([_message("g", "2026-11-20T10:00:00.000000001+00:00")], now=NOW)
    assert (summary.other_form.items, summary.other_zone.items) == (0, 0)


def test_a_key_in_utc_is_another_form_and_one_in_local_time_another_zone() -> None:
    forms = ["2026-11-20T10:00:00Z", "2026-11-20T10:00:00+00:00", "no time"]
    zones = ["2026-11-20T10:00:00", "2026-11-20T10:00:00.000000+02:00"]
    summary = rows.collect([_message("g", sk) for sk in (*forms, *zones)], now=NOW)
    assert (summary.other_form.items, summary.other_zone.items) == (len(forms), len(zones))


def test_what_seeding_does_not_write_again_is_counted_as_kept() -> None:
    seeded, zone, form = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399", "2026-11-20T10:00:00", "2026-11-20T10:00:00Z"
    own = seeded_uuid(seeded, 1)

    def counted(item: Item) -> tuple[int, int, int, int]:
        summary = rows.collect([item], now=NOW, seeded=seeded)
        return (
            summary.other_zone.items,
            summary.unseeded_zone.items,
            summary.other_form.items,
            summary.unseeded_form.items,
        )

    for sk, of_seed, kept in ((zone, (1, 0, 0, 0), (1, 1, 0, 0)), (form, (0, 0, 1, 0), (0, 0, 1, 1))):
        assert counted({**_message(seeded, sk), "message_uuid": {"S": own}}) == of_seed
        assert counted(_message(seeded, sk)) == kept
        assert counted({**_message("g", sk), "message_uuid": {"S": own}}) == kept
        assert counted(_group("a", "b", seeded, sk)) == of_seed
        assert counted(_group("a", "b", "g", sk)) == kept


def test_a_clock_that_is_a_minute_ahead_writes_nothing_of_the_future() -> None:
    near, far = "2026-11-20T12:05:00.000000+00:00", "2026-11-20T12:05:00.000001+00:00"
    summary = rows.collect([_message("g", near), _message("g", far), _message("g", "no time")], now=NOW)
    assert (summary.future.items, summary.future.examples) == (1, [f"MSG#g {far}"])


def test_of_many_conversations_some_are_selected_each_complete() -> None:
    def items() -> Iterator[Item]:
        for number in range(2_000):
            yield _message(f"g{number}", "2026-11-20T10:00:00.000000+00:00")
        for number in range(2_000):
            yield _message(f"g{number}", "2026-11-20T11:00:00.000000+00:00")

    summary = rows.collect(items(), now=NOW, most=100)
    assert summary.shift > 0
    assert 0 < len(summary.conversations) <= 100
    assert {one.newest.hour for one in summary.conversations.values()} == {11}


def test_the_share_that_is_kept_is_the_largest_that_fits_and_the_one_that_is_said() -> None:
    ids = [f"g{number}" for number in range(4_000)]
    items = [_message(group, "2026-11-20T10:00:00.000000+00:00") for group in ids]
    summary = rows.collect(items, now=NOW, most=600)
    assert summary.shift == 3
    assert abs(len(summary.conversations) - 4_000 / (1 << summary.shift)) < 50
    exact = rows.collect(items[:20], now=NOW, most=20)
    assert (exact.shift, len(exact.conversations)) == (0, 20)


def test_of_few_conversations_all_are_selected_and_all_items_counted() -> None:
    summary = rows.collect(
        [_message(f"g{number}", "2026-11-20T10:00:00.000000+00:00") for number in range(20)], now=NOW
    )
    assert (summary.items, summary.shift, len(summary.conversations)) == (20, 0, 20)
    assert rows.collect([], now=NOW).items == 0


def test_claims_are_counted_and_are_no_items_of_another_kind() -> None:
    assert rows.collect([], now=NOW).claims == 0
    summary = rows.collect([_item(pk="CLAIM#g", sk="CLAIM", claimed_by="x")], now=NOW)
    assert (summary.claims, summary.items, summary.foreign.items) == (1, 1, 0)


def _group(owner: str, other: str, group: str, sk: str) -> Item:
    return _item(
        pk=f"GRP#{owner}", sk=sk, message_group_uuid=group, message="hello", user_uuid=other, user_handle=f"@{other}"
    )


def test_group_rows_give_owners_years_names_and_who_is_in_a_conversation() -> None:
    early, late = "2024-11-20T10:00:00.000000+00:00", "2026-11-20T10:00:00.000000+00:00"
    given = [_group("a", "b", "g", late), _group("b", "a", "g", early), _group("a", "b", "h", "no time")]
    summary = rows.collect([*given, _group("c", "c", "alone", late)], now=NOW)
    assert summary.owners == {"a", "b", "c"}
    assert summary.years == {2024: 1, 2026: 2, 0: 1}
    assert summary.names == {("b", "@b", None): 2, ("a", "@a", None): 1, ("c", "@c", None): 1}
    assert not summary.is_sample
    one = summary.conversations["g"]
    assert ({name: [moment.year for moment in times] for name, times in one.rows.items()}, one.others) == (
        {"a": [2026], "b": [2024]},
        {"a", "b"},
    )
    assert not one.is_with_oneself
    assert summary.conversations["alone"].is_with_oneself
    assert (summary.with_oneself.items, summary.with_oneself.examples) == (1, ["alone of c"])


def test_an_item_is_recognized_by_its_prefix_and_its_id_together() -> None:
    sk = "2026-11-20T10:00:00.000000+00:00"
    strange = [
        _item(pk="GRP#a", sk=sk, message_uuid="m"),
        _item(pk="MSG#a", sk=sk, message_group_uuid="g"),
        _item(pk="SETTING#1", sk=sk),
    ]
    moved = [_item(pk="MESSAGE#g", sk=sk, message_uuid="m", message="hello")]
    moved += [_item(pk="GROUP#g", sk=sk, message_group_uuid="g", message="hello")]
    summary = rows.collect([*strange, *moved], now=NOW)
    assert (summary.foreign.items, summary.wrong_prefix.examples) == (3, ["MESSAGE#g " + sk, "GROUP#g " + sk])
    assert summary.conversations == {}


def test_the_newest_message_counts_in_any_order_and_three_keys_are_named() -> None:
    texts = [f"2026-11-20T1{hour}:00:00.000000+00:00" for hour in (0, 2, 1)]
    one = rows.collect([_message("g", sk) for sk in texts], now=NOW).conversations["g"]
    assert (one.newest.hour, one.has_messages) == (12, True)
    summary = rows.collect([_item(pk=f"SETTING#{number}", sk="x") for number in range(5)], now=NOW)
    assert (summary.foreign.items, len(summary.foreign.examples)) == (5, 3)

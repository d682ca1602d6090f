"""Statistics are exact while there are enough counters, and are marked as approximate otherwise."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Iterator

from cruddur_cli.dynamodb import stats
from cruddur_cli.dynamodb.capacity.rules import item_size
from cruddur_cli.dynamodb.conversations.model import Person
from tests.dynamodb.rows import Item, group_row, message_row
from tests.dynamodb.shards import minute


def conversation(number: int) -> list[Item]:
    """The two group rows of a conversation whose people have no other conversation."""
    first, second = (Person(f"{side}{number}", side, side) for side in "ab")
    both = ((first, second), (second, first))
    return [group_row(owner, other, minute(number), "x", group=f"group {number}") for owner, other in both]


def test_bytes_and_units_are_those_of_the_items() -> None:
    items = [*conversation(1), message_row(minute(1), "x" * 5000), {"pk": {"S": "odd"}, "sk": {"S": "row"}}]
    found = {each.entity: each for each in stats.collect(items).entities}
    assert {name: each.items for name, each in found.items()} == {"message groups": 2, "messages": 1, "other items": 1}
    assert found["messages"].bytes == item_size(items[2])
    assert (found["messages"].write_units, found["messages"].read_units) == (6.0, 1.0)
    assert found["message groups"].write_units == 4.0, "each is in the index too"


def test_a_group_row_needs_its_counterpart_in_any_order() -> None:
    items = [item for number in range(500) for item in conversation(number)]
    for seed in range(3):
        random.Random(seed).shuffle(items)
        assert stats.collect(items).lonely_rows == 0
        assert stats.collect(items[1:]).lonely_rows == 1
    (lonely,) = stats.collect(conversation(7)[:1]).lonely
    assert (lonely.message_group_uuid, lonely.user_uuid, lonely.other_user_uuid) == ("group 7", "a7", "b7")


def test_a_duplicate_row_lacks_a_counterpart() -> None:
    mine, theirs = conversation(7)
    again = {**mine, "sk": {"S": minute(8)}}
    for order in ([mine, theirs, again], [mine, again, theirs], [again, theirs, mine]):
        assert stats.collect(order).lonely_rows == 1


def test_the_largest_partitions_are_exact_while_they_fit() -> None:
    items = [message_row(minute(n), "x", group=f"g{g}") for g in range(30) for n in range(g + 1)]
    random.Random(1).shuffle(items)
    found = stats.collect(items, top=3)
    assert [(each.pk, each.items, each.uncertain) for each in found.partitions] == [
        ("MSG#g29", 30, 0),
        ("MSG#g28", 29, 0),
        ("MSG#g27", 28, 0),
    ]
    assert not found.partitions_approximate


def test_with_more_partitions_than_counters_the_large_ones_are_still_found() -> None:
    large = Counter({f"large{n}": 300 + 50 * n for n in range(5)})
    items = [message_row(minute(n), "x", group=name) for name, count in large.items() for n in range(count)]
    items += [message_row(minute(1), "x", group=f"small{n}") for n in range(3000)]
    random.Random(1).shuffle(items)
    found = stats.collect(items, top=5, counters=100)
    assert found.partitions_approximate
    assert {each.pk for each in found.partitions} == {f"MSG#{name}" for name in large}
    for each in found.partitions:
        assert each.items - each.uncertain <= large[each.pk.removeprefix("MSG#")] <= each.items


def test_with_more_waiting_rows_than_counters_their_number_is_an_estimate() -> None:
    items = [item for number in range(4000) for item in conversation(number)[: 1 + (number % 2)]]
    random.Random(1).shuffle(items)
    found = stats.collect(items, counters=500)
    assert found.lonely_approximate
    assert found.lonely_rows is not None
    assert 1600 < found.lonely_rows < 2400


def test_days_before_the_first_listed_one_are_counted_together() -> None:
    items = [message_row(f"20{n // 28 % 90 + 10:02}-0{n % 9 + 1}-{n % 28 + 1:02}", "x") for n in range(500)]
    found = stats.collect(items, days=10)
    assert sum(found.days.values()) + found.earlier == 500
    assert sum(found.years.values()) == 500
    assert found.earlier


def test_memory_does_not_grow_with_the_table() -> None:
    def table(count: int) -> Iterator[Item]:
        return (item for number in range(count) for item in conversation(number))

    def peak(count: int) -> int:
        tracemalloc.start()
        stats.collect(table(count), counters=200)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(4_000) < 2 * peak(1_000)

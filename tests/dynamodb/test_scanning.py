"""A scan reads every page and segment once, reads no more than its limit, and uses constant memory."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from cruddur_cli.dynamodb import scanning
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.errors import NotFound, Refused
from tests import faults, waiting
from tests.dynamodb.rows import message_row, write


def keys(pages: object) -> list[str]:
    return sorted(item["sk"]["S"] for page in pages for item in page)  # type: ignore[attr-defined]


@pytest.fixture
def three_mb(dynamodb: DynamoDB) -> DynamoDB:
    """A table of 3 MB, in 40 partitions."""
    write(dynamodb, (message_row(f"{n:03}", "x" * 9_800, group=f"{n % 40}") for n in range(320)))
    return dynamodb


@pytest.mark.parametrize("segments", [1, 4, 64])
def test_three_megabytes_are_read_to_the_last_page(three_mb: DynamoDB, segments: int) -> None:
    assert keys(scanning.pages(three_mb, segments=segments)) == [f"{n:03}" for n in range(320)]
    scans = {each.operation: each for each in three_mb.meter.operations()}["Scan"]
    assert scans.items == 320
    assert scans.requests >= max(3, segments)


@pytest.mark.parametrize(("limit", "segments"), [(1, 1), (7, 4), (300, 1), (320, 1), (5000, 1), (2000, 4)])
def test_a_scan_yields_at_most_its_limit(three_mb: DynamoDB, limit: int, segments: int) -> None:
    assert len(keys(scanning.pages(three_mb, segments=segments, limit=limit))) == min(limit, 320)


def test_a_scan_reads_no_more_items_than_its_limit(three_mb: DynamoDB) -> None:
    assert len(keys(scanning.pages(three_mb, limit=5))) == 5
    assert {each.operation: each.items for each in three_mb.meter.operations()}["Scan"] == 5


def test_an_empty_table_has_one_empty_page(dynamodb: DynamoDB) -> None:
    assert list(scanning.pages(dynamodb)) == [[]]
    assert keys(scanning.pages(dynamodb, segments=8)) == []


@pytest.mark.parametrize("segments", [1, 4])
def test_a_missing_table_is_not_found(dynamodb: DynamoDB, segments: int) -> None:
    dynamodb.table = "no-such-table"
    with pytest.raises(NotFound, match="no table 'no-such-table'"):
        list(scanning.pages(dynamodb, segments=segments))


def test_a_segment_that_fails_ends_the_scan_with_its_error(three_mb: DynamoDB) -> None:
    struck = faults.answers(three_mb.client, "Scan", "ValidationException", times=1)
    with pytest.raises(Refused, match="injected"):
        list(scanning.pages(three_mb, segments=4))
    assert struck.count == 1


def test_a_throttled_page_is_read_again(three_mb: DynamoDB) -> None:
    struck = faults.answers(three_mb.client, "Scan", "ProvisionedThroughputExceededException", times=3)
    assert len(keys(scanning.pages(three_mb, segments=4))) == 320
    assert struck.count == 3


def test_a_reader_that_stops_early_leaves_no_thread(three_mb: DynamoDB) -> None:
    before = threading.active_count()
    pages = scanning.pages(three_mb, segments=8)
    assert next(pages) is not None
    pages.close()  # type: ignore[attr-defined]
    assert threading.active_count() <= before


@pytest.mark.parametrize("segments", [1, 4])
def test_memory_does_not_grow_with_the_table(dynamodb: DynamoDB, segments: int) -> None:
    """The 35 pages are not in memory together: one is parsed, and each reader keeps the bytes of one more."""
    size, count = 40_000, 880
    write(dynamodb, (message_row(f"{n}", "x" * size, group=f"{n}") for n in range(count)))
    tracemalloc.start()
    try:
        read = sum(len(page) for page in scanning.pages(dynamodb, segments=segments))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == count
    assert peak < size * count / 2


def test_segments_do_not_run_ahead_of_a_slow_reader(dynamodb: DynamoDB) -> None:
    """One page is in use. Each other reader has requested one page, and keeps its unparsed bytes."""
    write(dynamodb, (message_row(f"{n}", "x" * 40_000, group=f"{n}") for n in range(800)))
    sent: list[None] = []
    dynamodb.client.meta.events.register("before-send.dynamodb.Scan", lambda **_: sent.append(None))
    pages = scanning.pages(dynamodb, segments=4)
    next(pages)
    waiting.until(lambda: len(sent) == 4)
    time.sleep(0.2)
    scans = {each.operation: each for each in dynamodb.meter.operations()}["Scan"]
    assert (len(sent), scans.requests) == (4, 1)
    assert 1 + sum(1 for _ in pages) > 20


def test_a_failed_reader_does_not_block_the_waiting_readers(three_mb: DynamoDB) -> None:
    """It fails after it has parsed a page, while the others wait for the turn to parse."""
    sent: list[None] = []
    three_mb.client.meta.events.register("before-send.dynamodb.Scan", lambda **_: sent.append(None))
    before = threading.active_count()

    def produce(number: int) -> Iterator[int]:
        for page in scanning.segment(three_mb, number, scanning.ScanPlan(4, 4)):
            waiting.until(lambda: len(sent) >= 4)
            raise OSError(28, f"no space left for {len(page)} items")
        yield 0

    with pytest.raises(OSError, match="no space left"):
        list(scanning.spread(range(4), produce, readers=4))
    assert threading.active_count() <= before


MIXED: list[dict[str, Any]] = [
    {"number": {"N": "5"}},
    {"number": {"N": "5.0"}},
    {"number": {"S": "5"}},
    {"number": {"S": "5.0"}},
    {"flag": {"BOOL": True}, "number": {"N": "-12"}},
    {"flag": {"S": "true"}},
    {"flag": {"NULL": True}, "number": {"L": [{"N": "5"}]}},
    {"a.b": {"S": "x"}, "size": {"S": "5"}},
]
"""Attributes of every type: one name is reserved by DynamoDB, one is a path elsewhere."""
SELECTIONS = [
    scanning.Selection(entity="message"),
    scanning.Selection(entity="group"),
    scanning.Selection(entity="message", where=(("number", "5"),)),
    scanning.Selection(where=(("number", "5"), ("size", "5"))),
    scanning.Selection(where=(("number", "5"),)),
    scanning.Selection(where=(("number", "5.0"),)),
    scanning.Selection(where=(("number", "-12"), ("flag", "true"))),
    scanning.Selection(where=(("flag", "true"),)),
    scanning.Selection(where=(("flag", "false"),)),
    scanning.Selection(where=(("size", "5"),)),
    scanning.Selection(where=(("a.b", "x"),)),
    scanning.Selection(where=(("sk", "3"),)),
    scanning.Selection(pk="MSG#g"),
    scanning.Selection(pk="MSG#g", where=(("sk", "3"),)),
    scanning.Selection(pk="MSG#g", where=(("sk", "3"), ("number", "5"))),
    scanning.Selection(pk="MSG#g", where=(("number", "5"),)),
    scanning.Selection(pk="MSG#other"),
]


def found_by(
    dynamodb: DynamoDB, selection: scanning.Selection, *, segments: int = 1, limit: int | None = None
) -> list[str]:
    pages = scanning.pages(dynamodb, selection=selection, segments=segments, limit=limit)
    return sorted(f"{item['pk']['S']} {item['sk']['S']}" for page in pages for item in page)


def test_a_selection_gives_the_same_items_by_both_filters(dynamodb: DynamoDB) -> None:
    items = [
        {"pk": {"S": pk}, "sk": {"S": str(number)}, **attributes}
        for pk in ("MSG#g", "GRP#u")
        for number, attributes in enumerate(MIXED)
    ]
    write(dynamodb, items)
    counts = []
    for selection in SELECTIONS:
        dynamodb.meter.computed = True
        ours = found_by(dynamodb, selection)
        dynamodb.meter.computed = False
        assert found_by(dynamodb, selection) == ours, selection
        assert found_by(dynamodb, selection, segments=4) == ours, selection
        counts.append(len(ours))
    assert counts == [8, 8, 3, 0, 6, 6, 2, 4, 0, 2, 2, 2, 8, 1, 0, 3, 0]


def test_a_key_makes_a_read_cheaper_and_a_filter_does_not(three_mb: DynamoDB) -> None:
    computed = three_mb.meter.computed
    assert len(found_by(three_mb, scanning.Selection(pk="MSG#7"))) == 8
    assert [(one.operation, one.items) for one in three_mb.meter.operations()] == [
        ("BatchWriteItem", 320),
        ("Query", 8),
    ]
    before = three_mb.meter.total().read_units
    assert found_by(three_mb, scanning.Selection(where=(("message_uuid", "none"),)), limit=1) == []
    after = three_mb.meter.total().read_units
    assert {each.operation: each.items for each in three_mb.meter.operations()}["Scan"] == 320
    assert after - before > 300 or not computed


@pytest.mark.parametrize("limit", [1, 3, 8, 9])
def test_a_limit_counts_selected_items(three_mb: DynamoDB, limit: int) -> None:
    assert len(found_by(three_mb, scanning.Selection(pk="MSG#7"), limit=limit)) == min(limit, 8)
    late = scanning.Selection(where=(("sk", "319"),))
    assert found_by(three_mb, late, limit=limit) == ["MSG#39 319"]

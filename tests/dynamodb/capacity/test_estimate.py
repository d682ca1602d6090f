"""Estimates equal numbers computed by hand, and the units that engines report."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cruddur_cli.dynamodb import scanning, schema
from cruddur_cli.dynamodb.capacity import estimate as estimates
from cruddur_cli.dynamodb.capacity.estimate import Estimate, Throughput
from cruddur_cli.dynamodb.capacity.rules import item_size
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.dynamodb.schema import Index
from tests.dynamodb.rows import ME, OTHER, group_row, message_row, write

GROUPS = Index(schema.INDEX, "message_group_uuid", "sk")
MB = 1024 * 1024


@pytest.mark.parametrize(
    ("size", "consistent", "segments", "units"),
    [
        (0, False, 1, 0.5),  # an empty table is looked at
        (1, True, 1, 1.0),
        (4096, False, 1, 0.5),
        (4097, False, 1, 1.0),
        (MB, False, 1, 128.0),
        (MB + 1, False, 1, 128.5),
        (3 * MB, True, 1, 768.0),
        (MB, False, 4, 129.5),
    ],
)
def test_a_scan_by_hand(size: int, consistent: bool, segments: int, units: float) -> None:
    estimate = estimates.scan(items=7, bytes=size, consistent=consistent, segments=segments)
    assert (estimate.read_units, estimate.write_units, estimate.items, estimate.bytes) == (units, 0.0, 7, size)


def test_a_scan_has_one_segment_and_is_eventually_consistent_by_default() -> None:
    assert estimates.scan(items=1, bytes=8192) == Estimate(read_units=1.0, items=1, bytes=8192)


def test_an_estimate_of_no_items_is_zero() -> None:
    assert Estimate() == estimates.add([]) == Estimate(0.0, 0.0, {}, items=0, bytes=0, at_most=False, seconds=None)


def test_the_units_of_a_read_from_an_index_are_those_of_the_index() -> None:
    assert estimates.query(items=8, bytes=16_000, index="i") == Estimate(
        read_units=2.0, indexes={"i": 2.0}, items=8, bytes=16_000
    )


def test_writes_by_hand() -> None:
    # 1,000 messages of one unit, and two rows in a transaction: two units each in the table, and in the index.
    assert estimates.seed(1000, message_bytes=300, group_bytes=250, index="i") == Estimate(
        write_units=1008.0, indexes={"i": 4.0}, items=1002, bytes=300_500
    )
    assert estimates.seed(1000, message_bytes=1025, group_bytes=250, index="i", groups=0).write_units == 2000.0


def test_a_sum_keeps_the_indexes_apart() -> None:
    total = estimates.add(
        [estimates.query(items=1, bytes=9, index="i"), Estimate(write_units=4.0, indexes={"j": 2.0}, items=2, bytes=9)]
    )
    assert total == Estimate(0.5, 4.0, {"i": 0.5, "j": 2.0}, 3, 18)


# ---------------------------------------------------------------------------------------------------------------------
# Time.


def test_time_counts_five_minutes_of_unused_capacity() -> None:
    """150 units a second keep 45,000: "DynamoDB burst and adaptive capacity", and AWS's example of spiky workloads."""
    assert estimates.seconds_at(45_000, 150) == 0.0
    assert estimates.seconds_at(45_150, 150) == 1.0
    assert estimates.seconds_at(45_000, 150, burst_s=0) == 300.0
    assert estimates.seconds_at(1, 0) == math.inf
    assert estimates.seconds_at(301, 1) == 1.0
    assert estimates.seconds_at(0, 0) == 0.0


@pytest.mark.parametrize(
    ("estimate", "seconds"),
    [
        (Estimate(read_units=1500), 0.0),
        (Estimate(read_units=2000), 100.0),
        (Estimate(write_units=4000), 100.0),
        (Estimate(read_units=2000, write_units=4500), 150.0),
        (Estimate(write_units=4000 + 900, indexes={"i": 900}), 150.0),  # the index is the slower one
        (Estimate(write_units=4000, indexes={"local": 1000}), 100.0),  # a local index takes the table's
        (Estimate(read_units=1200, indexes={"i": 1200}), 0.0),
    ],
)
def test_time_is_that_of_the_slowest(estimate: Estimate, seconds: float) -> None:
    provisioned = Throughput(5, 10, {"i": (5, 2)})
    assert estimates.with_time(estimate, provisioned).seconds == seconds


def test_the_rate_of_a_command_has_no_burst() -> None:
    estimate = Estimate(read_units=1000)
    assert estimates.with_time(estimate, Throughput(5, 5), rate=2.5).seconds == 400.0
    assert estimates.with_time(estimate, None, rate=100).seconds == 10.0
    assert estimates.with_time(estimate, None).seconds is None


def test_throughput_is_read_from_describe_table(dynamodb: DynamoDB) -> None:
    description: dict[str, Any] = dynamodb.call("describe_table", TableName=dynamodb.table)["Table"]
    assert estimates.throughput(description) == Throughput(5.0, 5.0, {schema.INDEX: (5.0, 5.0)})
    assert estimates.throughput({"BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}}) is None
    assert estimates.throughput({}) == Throughput(0.0, 0.0)
    assert estimates.throughput({"GlobalSecondaryIndexes": [{"IndexName": "i"}]}) == Throughput(0, 0, {"i": (0.0, 0.0)})


# ---------------------------------------------------------------------------------------------------------------------
# The engines.


def test_estimates_equal_the_units_that_are_used(dynamodb: DynamoDB) -> None:
    """The units of written items are exact. Those of a scan can differ by a unit for each page, because sizes vary."""
    rows = [message_row(f"{n:04}", "x" * (1 + n * 7)) for n in range(400)]
    groups = [group_row(ME, OTHER, f"{n}", "m" * (1 + 700 * n)) for n in range(4)]
    estimate = estimates.puts([*rows, *groups], indexes=[GROUPS])
    write(dynamodb, [*rows, *groups])
    used = dynamodb.meter.total()
    assert used.write_units == estimate.write_units
    assert used.indexes == estimate.indexes
    assert (estimate.items, estimate.bytes) == (404, sum(map(item_size, [*rows, *groups])))
    scan = estimates.scan(items=estimate.items, bytes=estimate.bytes)
    assert sum(len(page) for page in scanning.pages(dynamodb)) == 404
    assert abs(dynamodb.meter.total().read_units - scan.read_units) <= 1.0


def test_a_large_scan_is_estimated_within_a_hundredth(dynamodb: DynamoDB) -> None:
    write(dynamodb, (message_row(f"{n:03}", "x" * 9_800, group=f"{n % 40}") for n in range(320)))
    before = dynamodb.meter.total().read_units
    size = sum(item_size(item) for page in scanning.pages(dynamodb) for item in page)
    used = dynamodb.meter.total().read_units - before
    assert estimates.scan(items=320, bytes=size).read_units == pytest.approx(used, rel=0.01)

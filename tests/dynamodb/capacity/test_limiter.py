"""Limits and rates of capacity, on both engines and with a simulated clock."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cruddur_cli.dynamodb import scanning
from cruddur_cli.dynamodb.capacity import limiter as limiters
from cruddur_cli.dynamodb.capacity import meter
from cruddur_cli.dynamodb.capacity.limiter import RateLimiter, Reservation
from cruddur_cli.dynamodb.capacity.rules import read_units
from cruddur_cli.dynamodb.client import DynamoDB
from cruddur_cli.errors import Exit, Incomplete, Refused
from tests import faults
from tests.dynamodb.rows import everything, message_row, write
from tests.waiting import no_longer_than


class Clock:
    """A clock whose time passes only while a thread sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def paced(rate: float) -> tuple[RateLimiter, Clock]:
    clock = Clock()
    return RateLimiter(rate=rate, clock=clock.time, sleep=clock.sleep), clock


def reserve(limiter: RateLimiter, units: float) -> Reservation:
    """Reserve units for a request that may cost that many."""
    return limiter.acquire("Units", {"units": units}, table="t")


@pytest.fixture(autouse=True)
def requests_of_any_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    least_units = meter.least_units

    def least(operation: str, request: Mapping[str, Any], table: str, **known: Any) -> float:
        return float(request["units"]) if operation == "Units" else least_units(operation, request, table, **known)

    monkeypatch.setattr(limiters, "least_units", least)


@pytest.fixture(autouse=True)
def no_test_waits_for_ever() -> Iterator[None]:
    """A limiter that never stops waiting fails its test."""
    with no_longer_than(100):
        yield


# ---------------------------------------------------------------------------------------------------------------------
# The limit.


def test_a_request_that_would_exceed_the_limit_is_refused_before_it_is_sent() -> None:
    limiter = RateLimiter(max_units=10)
    limiter.settle(4.0, reserve(limiter, 6.0))
    with pytest.raises(Incomplete, match="1 request has used 4, 6 are left"):
        reserve(limiter, 7.0)
    limiter.settle(5.5, reserve(limiter, 6.0))
    with pytest.raises(Incomplete) as refused:
        reserve(limiter, 1.0)
    error = refused.value
    assert (error.exit_code, error.code) == (Exit.NO, "max_units")
    assert error.message == (
        "Stopped before the limit of 10 capacity units: 2 requests have used 9.5, 0.5 are left, and the next request"
        " may take 1."
    )
    assert error.fields == {"max_units": 10, "used_units": 9.5, "left_units": 0.5, "next_units": 1.0, "requests": 2}
    limiter.settle(0.5, reserve(limiter, 0.5))
    assert limiter.used == 10.0


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ([], "0 requests have used 0, 10 are left, and the next request may take 11"),
        ([0.0], "0 requests have used 0, 10 are left, and the next request may take 11"),
        ([0.5], "1 request has used 0.5, 9.5 are left, and the next request may take 11"),
        ([12.0], "1 request has used 12, 0 are left, and the next request may take 11"),
    ],
)
def test_the_error_says_how_many_units_are_used_and_left(units: list[float], said: str) -> None:
    limiter = RateLimiter(max_units=10)
    for each in units:
        limiter.settle(each, reserve(limiter, 10.0))
    with pytest.raises(Incomplete) as refused:
        reserve(limiter, 11.0)
    assert said in refused.value.message


def test_the_limit_is_none_if_there_is_no_limit() -> None:
    assert RateLimiter(max_units=10).limit == 10
    assert RateLimiter(rate=10).limit is None


def test_a_failed_request_releases_its_units() -> None:
    limiter = RateLimiter(max_units=1)
    for _ in range(5):
        limiter.settle(0.0, reserve(limiter, 1.0))
    assert limiter.used == 0.0


def test_a_request_waits_for_units_that_other_requests_reserved() -> None:
    """The other request may cost less, and then its units are released."""
    limiter = RateLimiter(max_units=10)
    reservation = reserve(limiter, 8.0)
    got = threading.Event()

    def wait_for_more() -> None:
        limiter.settle(4.0, reserve(limiter, 4.0))
        got.set()

    waiting = threading.Thread(target=wait_for_more, daemon=True)
    waiting.start()
    assert not got.wait(0.05)
    limiter.settle(6.0, reservation)
    assert got.wait(10)
    waiting.join()
    assert limiter.used == 10.0


def test_threads_together_do_not_exceed_the_limit() -> None:
    limiter = RateLimiter(max_units=500)
    peak, lock = [0.0], threading.Lock()

    def work(seed: int) -> int:
        chance, done = random.Random(seed), 0
        while True:
            expected = chance.randint(1, 20)
            try:
                reservation = reserve(limiter, expected)
            except Incomplete:
                return done
            limiter.settle(chance.randint(0, expected), reservation)
            with lock:
                peak[0] = max(peak[0], limiter.used)
            done += 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) > 50
    assert 480 <= peak[0] <= 500


def test_rounding_errors_of_floats_do_not_stay_reserved() -> None:
    """A rounding error that stays reserved would make later requests wait for ever."""
    limiter = RateLimiter(max_units=1)
    parts = [0.1, 0.2, 0.3]
    reservations = [reserve(limiter, part) for part in parts]
    for each in reservations:
        limiter.settle(0.0, each)
    with pytest.raises(Incomplete):
        reserve(limiter, 1.1)
    limiter.settle(1.0, reserve(limiter, 1.0))


# ---------------------------------------------------------------------------------------------------------------------
# The rate.


def test_a_rate_holds_on_average() -> None:
    limiter, clock = paced(10)
    for _ in range(100):
        limiter.settle(5.0, reserve(limiter, 5.0))
    # 500 units at 10 a second; nothing is saved up before the beginning, and nobody waits after the last.
    assert clock.now == pytest.approx((500 - 5) / 10)
    assert max(clock.slept) == pytest.approx(0.5)


def test_the_actual_cost_of_a_request_counts() -> None:
    """A request was expected to cost 1 unit and cost 20. The next one waits for the difference."""
    limiter, clock = paced(10)
    limiter.settle(20.0, reserve(limiter, 1.0))
    reserve(limiter, 1.0)
    assert clock.slept == [pytest.approx(2.0)]


def test_units_that_were_overestimated_are_released() -> None:
    limiter, clock = paced(10)
    for _ in range(10):
        limiter.settle(1.0, reserve(limiter, 100.0))
    assert clock.slept == [pytest.approx(0.1)] * 9


def test_a_pause_saves_at_most_one_second_of_units() -> None:
    limiter, clock = paced(10)
    limiter.settle(10.0, reserve(limiter, 10.0))
    clock.now += 3600
    for _ in range(4):
        limiter.settle(10.0, reserve(limiter, 10.0))
    assert clock.slept == [pytest.approx(1.0), pytest.approx(1.0)]


def test_a_waiting_thread_holds_no_lock_and_sees_released_units() -> None:
    """While one thread waits for the rate, another one settles a request that cost less than expected."""
    limiter = RateLimiter(rate=1)
    first = reserve(limiter, 10_000.0)
    got = threading.Event()

    def wait() -> None:
        reserve(limiter, 5.0)
        got.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not got.wait(0.05)
    limiter.settle(0.1, first)
    assert limiter.used == 0.1
    assert got.wait(10)


def test_a_waiting_thread_waits_longer_if_another_request_cost_more() -> None:
    """At first it had to wait for 5 seconds only."""
    clock = Clock()
    reservations: list[Reservation] = []

    def sleep(seconds: float) -> None:
        if reservations:
            limiter.settle(20.0, reservations.pop())
        clock.sleep(seconds)

    limiter = RateLimiter(rate=1, clock=clock.time, sleep=sleep)
    reservations.append(reserve(limiter, 5.0))
    reserve(limiter, 1.0)
    assert clock.slept == [5.0, 15.0]


@pytest.mark.parametrize(
    ("rate", "item_bytes", "consistent", "limit", "likely"),
    [
        # Nothing is known of the items: few of them, and charged for a full page until the answer is there.
        (10.0, 0.0, False, 25, 128.0),
        (10.0, 0.0, True, 25, 256.0),
        # 1 KB each takes 0.125 units, twice that where the read is consistent: what the rate gives in a second.
        (10.0, 1024.0, False, 80, 10.0),
        (10.0, 1024.0, True, 40, 10.0),
        # Not less than eight blocks of 4 KB, which would cost mostly what they are rounded up by.
        (1.0, 1024.0, False, 32, 4.0),
        (1.0, 1024.0, True, 32, 8.0),
        # One item at least.
        (1.0, 400 * 1024.0, False, 1, 50.0),
        # Small items are rounded up to half a block: the least that a request can cost.
        (10.0, 1.0, False, 81920, 10.0),
        # A second's worth is a whole page, or more: nothing to limit.
        (127.5, 1024.0, False, 1020, 127.5),
        (128.0, 1024.0, False, None, 128.0),
        (255.0, 1024.0, True, 1020, 255.0),
        (256.0, 1024.0, True, None, 256.0),
    ],
)
@pytest.mark.parametrize("operation", ["Scan", "Query"])
def test_a_page_is_as_large_as_the_rate_allows_in_a_second(
    operation: str, rate: float, item_bytes: float, consistent: bool, limit: int | None, likely: float
) -> None:
    limiter = RateLimiter(rate=rate, item_bytes=item_bytes, clock=Clock().time)
    request = {"TableName": "t", "ConsistentRead": consistent}
    reservation = limiter.acquire(operation, request, table="t")
    assert reservation.request is not None
    assert (reservation.request.get("Limit"), reservation.likely) == (limit, likely)
    assert {**reservation.request, "Limit": None} == {**request, "Limit": None}
    assert "Limit" not in request


def test_the_size_of_a_page_depends_on_the_cost_of_the_last_page() -> None:
    """A smaller limit of the command itself is kept."""
    limiter, _ = paced(10)
    reservation = limiter.acquire("Scan", {"TableName": "t"}, table="t")
    assert (reservation.request, reservation.likely) == ({"TableName": "t", "Limit": 25}, 128.0)
    limiter.settle(5.0, reservation, answer={"ScannedCount": 25})
    reservation = limiter.acquire("Scan", {"TableName": "t"}, table="t")
    assert (reservation.request, reservation.likely) == ({"TableName": "t", "Limit": 50}, 10.0)
    limiter.settle(10.0, reservation, answer={"ScannedCount": 0})  # of no item nothing is learned
    reservation = limiter.acquire("Scan", {"TableName": "t", "Limit": 7}, table="t")
    assert reservation.request == {"TableName": "t", "Limit": 7}
    assert reservation.likely == pytest.approx(1.4)


@pytest.mark.parametrize(("more", "page"), [({}, 178.0), ({"ConsistentRead": True}, 356.0)])
def test_a_page_has_no_limit_if_the_largest_page_fits(more: dict[str, Any], page: float) -> None:
    """The largest page has 1 MB and an item of 400 KB, with which it goes beyond that."""
    request = {"TableName": "t", **more}
    reservation = RateLimiter(max_units=page).acquire("Query", request, table="t")
    assert (reservation.request, reservation.expected) == (request, page)
    reservation = RateLimiter(max_units=page - 0.5).acquire("Query", request, table="t")
    assert reservation.request == {**request, "Limit": 1}


def test_a_page_takes_half_of_the_units_that_other_pages_leave() -> None:
    limiter = RateLimiter(max_units=100)
    request = {"TableName": "t"}
    limiter.settle(2.0, limiter.acquire("Scan", request, table="t"), answer={"ScannedCount": 1})
    limiter.settle(8.0, limiter.acquire("Scan", request, table="t"), answer={"ScannedCount": 4})
    limiter.settle(30.0, limiter.acquire("Scan", request, table="t"), answer={"ScannedCount": 15})
    for most, expected in ((3, 12.0), (2, 8.0), (1, 2.0)):
        reservation = limiter.acquire("Scan", {"TableName": "t", "Limit": most}, table="t")
        assert reservation.expected == expected
    reservation = limiter.acquire("Scan", request, table="t")
    assert (reservation.request, reservation.expected) == ({"TableName": "t", "Limit": 9}, 36.0)


def test_near_the_limit_a_page_takes_half_of_the_units_left() -> None:
    """The first page has one item. Each next one has at most four times as many, and at most the command's limit."""
    limiter = RateLimiter(max_units=100)
    request = {"TableName": "t"}
    reservation = limiter.acquire("Scan", request, table="t")
    assert (reservation.request, reservation.expected) == ({"TableName": "t", "Limit": 1}, 0.5)
    limiter.settle(2.0, reservation, answer={"ScannedCount": 1})
    reservation = limiter.acquire("Scan", request, table="t")
    assert (reservation.request, reservation.expected) == ({"TableName": "t", "Limit": 4}, 16.0)
    limiter.settle(8.0, reservation, answer={"ScannedCount": 4})
    reservation = limiter.acquire("Scan", request, table="t")
    assert (reservation.request, reservation.expected) == ({"TableName": "t", "Limit": 16}, 64.0)
    limiter.settle(30.0, reservation, answer={"ScannedCount": 15})
    reservation = limiter.acquire("Scan", request, table="t")
    assert (reservation.request, reservation.expected) == ({"TableName": "t", "Limit": 15}, 60.0)
    limiter.settle(0.0, reservation)
    reservation = limiter.acquire("Scan", {"TableName": "t", "Limit": 3}, table="t")
    assert (reservation.request, reservation.expected) == ({"TableName": "t", "Limit": 3}, 12.0)
    limiter.settle(57.0, reservation, answer={"ScannedCount": 3})  # 3 are left, and the next item may take 19
    with pytest.raises(Incomplete, match="3 are left, and the next request may take 19"):
        limiter.acquire("Scan", request, table="t")


def test_a_write_is_expected_to_cost_as_much_as_the_last_write() -> None:
    """The cost is learned as a multiple of the least cost, because an index can double it."""
    limiter = RateLimiter(max_units=100)
    request = {"TableName": "t", "Item": {"pk": {"S": "x" * 1500}}}
    reservation = limiter.acquire("PutItem", request, table="t")
    assert (reservation.expected, reservation.request) == (2.0, request)
    limiter.settle(6.0, reservation, answer={})
    reservation = limiter.acquire("PutItem", request, table="t")
    assert reservation.expected == 6.0
    limiter.settle(1.0, reservation, answer={})
    assert limiter.acquire("PutItem", request, table="t").expected == 2.0


def test_a_request_to_another_table_does_not_change_the_expected_cost() -> None:
    limiter = RateLimiter(max_units=100)
    own: dict[str, Any] = {"RequestItems": {"t": [{"DeleteRequest": {}}]}}
    another: dict[str, Any] = {"RequestItems": {"u": [{"DeleteRequest": {}}]}}
    limiter.settle(3.0, limiter.acquire("BatchWriteItem", own, table="t"), answer={})
    limiter.settle(0.0, limiter.acquire("BatchWriteItem", another, table="t"), answer={})
    assert limiter.acquire("BatchWriteItem", own, table="t").expected == 3.0


def test_stop_ends_waiting_threads() -> None:
    limiter = RateLimiter(rate=0.001)
    reserve(limiter, 100.0)
    told: list[str] = []

    def wait() -> None:
        try:
            reserve(limiter, 100.0)
        except Incomplete as error:
            told.append(error.message)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    time.sleep(0.05)
    limiter.stop()
    waiting.join(10)
    assert told == ["The command has ended."]


# ---------------------------------------------------------------------------------------------------------------------
# The engines.


@pytest.fixture
def three_hundred(dynamodb: DynamoDB) -> DynamoDB:
    """A table of 300 items of different sizes, 370 KB in all: 46 units to scan."""
    write(dynamodb, (message_row(f"{n:03}", "x" * (1 + n * 37 % 2000), group=f"{n % 40}") for n in range(300)))
    return dynamodb


@pytest.mark.parametrize("limit", [0.5, 3.0, 10.0, 30.0])
@pytest.mark.parametrize("segments", [1, 4])
def test_a_scan_stops_before_its_limit(three_hundred: DynamoDB, limit: float, segments: int) -> None:
    before = three_hundred.meter.total().read_units
    three_hundred.limiter = RateLimiter(max_units=limit)
    seen: list[str] = []
    with pytest.raises(Incomplete, match="Stopped before the limit"):
        for page in scanning.pages(three_hundred, segments=segments):
            seen += [item["pk"]["S"] + item["sk"]["S"] for item in page]
    used = three_hundred.meter.total().read_units - before
    assert used == three_hundred.limiter.used
    assert limit / 3 <= used <= limit
    assert len(seen) == len(set(seen))


def test_a_scan_within_its_limit_finds_everything(three_hundred: DynamoDB) -> None:
    """Near the limit, pages are smaller, and each is rounded up; no item is left out."""
    three_hundred.limiter = RateLimiter(max_units=100)
    assert sum(len(page) for page in scanning.pages(three_hundred)) == 300
    assert 40 <= three_hundred.limiter.used <= 60
    three_hundred.limiter = RateLimiter(max_units=1000)
    assert sum(len(page) for page in scanning.pages(three_hundred)) == 300
    assert three_hundred.meter.operations()[-1].operation == "Scan"


class QuickClock(Clock):
    """A clock that is ten times as fast, for threads. A sleeping thread wakes soon, because units may be released."""

    def time(self) -> float:
        return time.monotonic() * 10

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.2) / 10)


class Watch:
    """Records when each request was sent, and how many units it cost."""

    def __init__(self, store: DynamoDB, rate: float, *, clock: Clock, item_bytes: float = 0.0) -> None:
        self.rate = rate
        self.spent: list[tuple[float, float]] = []
        self.limiter = RateLimiter(rate=rate, item_bytes=item_bytes, clock=clock.time, sleep=clock.sleep)
        store.limiter = self.limiter
        begun: dict[int, float] = {}
        admit, settle = self.limiter.acquire, self.limiter.settle

        def before(operation: str, request: Mapping[str, Any], *, table: str) -> Reservation:
            reservation = admit(operation, request, table=table)
            begun[id(reservation)] = clock.time()
            return reservation

        def after(actual: float, reservation: Reservation, *, answer: Mapping[str, Any] | None = None) -> None:
            self.spent.append((begun[id(reservation)], actual))
            settle(actual, reservation, answer=answer)

        self.limiter.acquire, self.limiter.settle = before, after  # type: ignore[method-assign]

    def check(self) -> None:
        """In any span, at most the rate, one unused second and one request were used."""
        self.spent.sort()
        most = max(units for _, units in self.spent)
        for number, (begin, _) in enumerate(self.spent):
            total = 0.0
            for end, units in self.spent[number:]:
                total += units
                assert total <= self.rate * (end - begin + 1) + most + 0.01, (begin, end, total)


@pytest.mark.parametrize("item_bytes", [0.0, 1230.0])
@pytest.mark.parametrize(("rate", "segments"), [(1.0, 1), (5.0, 1), (30.0, 1), (5.0, 4), (30.0, 4)])
def test_a_scan_with_a_rate_uses_only_slightly_more_units(
    three_hundred: DynamoDB, rate: float, segments: int, item_bytes: float
) -> None:
    """One page would cost 43.5 units. Small pages are rounded up more often, but are never as small as that error."""
    clock = Clock() if segments == 1 else QuickClock()
    begin = clock.time()
    watch = Watch(three_hundred, rate, clock=clock, item_bytes=item_bytes)
    assert sum(len(page) for page in scanning.pages(three_hundred, segments=segments)) == 300
    assert watch.limiter.used <= 52
    assert max(units for _, units in watch.spent) <= 2.5 * max(rate, 4)
    assert clock.time() - begin >= (watch.limiter.used - 2.5 * max(rate, 4)) / rate
    watch.check()


def test_after_a_batch_larger_than_the_rate_the_next_one_waits(dynamodb: DynamoDB) -> None:
    clock = QuickClock()
    begin = clock.time()
    watch = Watch(dynamodb, 20, clock=clock)
    write(dynamodb, (message_row(f"{n:03}", "text") for n in range(200)))
    assert [units for _, units in watch.spent] == [25] * 8
    assert clock.time() - begin >= 7 * 25 / 20
    watch.check()


@pytest.mark.parametrize(("limit", "written"), [(24, 0), (25, 25), (110, 100), (200, 200)])
def test_batches_stop_before_their_limit(dynamodb: DynamoDB, limit: int, written: int) -> None:
    dynamodb.limiter = RateLimiter(max_units=limit)
    items = [message_row(f"{n:03}", "text") for n in range(200)]
    if written < 200:
        with pytest.raises(Incomplete, match=f"ha(s|ve) used {written}, {limit - written} are left, and the next"):
            write(dynamodb, items)
    else:
        write(dynamodb, items)
    assert dynamodb.limiter.used == dynamodb.meter.total().write_units == written
    dynamodb.limiter = None
    assert len(everything(dynamodb)) == written


def test_unprocessed_requests_are_paid_once(dynamodb: DynamoDB) -> None:
    faults.unprocessed(dynamodb.client, rounds=3)
    dynamodb.limiter = RateLimiter(max_units=100)
    write(dynamodb, [message_row(f"{n:03}", "text") for n in range(100)])
    assert dynamodb.limiter.used == dynamodb.meter.total().write_units == 100


def test_a_false_condition_uses_units_and_a_refused_request_does_not(dynamodb: DynamoDB) -> None:
    dynamodb.limiter = RateLimiter(max_units=100)
    row = message_row("1", "x" * 3000)
    dynamodb.call("put_item", TableName=dynamodb.table, Item=row)
    paid = dynamodb.limiter.used
    for condition, code in (("attribute_not_exists(pk)", "ConditionalCheck"), ("no condition", "Validation")):
        with pytest.raises(Refused, match=code):
            dynamodb.call("put_item", TableName=dynamodb.table, Item=row, ConditionExpression=condition)
    assert dynamodb.limiter.used == 2 * paid


def test_a_page_can_be_larger_than_any_before(dynamodb: DynamoDB) -> None:
    """One item of 400 KB after many small ones cannot be foreseen. Only half of the units left are in reserve."""
    write(dynamodb, (message_row(f"{n:03}", "x" * (390_000 if n == 99 else 10)) for n in range(100)))
    dynamodb.limiter = RateLimiter(max_units=20)
    with pytest.raises(Incomplete):
        list(scanning.pages(dynamodb))
        reserve(dynamodb.limiter, 1.0)
    assert dynamodb.limiter.used <= 20 + read_units(400 * 1024)
